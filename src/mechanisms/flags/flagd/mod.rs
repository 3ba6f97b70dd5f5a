//! Flags as flagd defines them: a file of variants with targeting in JSONLogic. Checks files, compiles and evaluates
//! their rules. Knows nothing of operators' commands, of counts or of the pipeline.

mod cbor;
pub(super) mod definitions;
mod document;
mod explain;
mod fractional;
mod murmur;
mod operators;
mod problem;
mod rebucket;
mod resolve;
mod rules;
mod schema;

pub use definitions::Definitions;
pub use explain::{Explanation, Node};
pub use fractional::{Draw, Generation, WEIGHT_LIMIT, draw};
pub use problem::{Constraint, Problem, Severity};
pub use rebucket::{Move, Rebucketed, rebucket};
pub use resolve::{Failure, FailureKind, Resolution, VariantType};
