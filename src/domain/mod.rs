//! What is true without machinery: numbers, rules, classifications, evaluations, the event catalogue, error codes
//! and timestamps. Nothing here reads a clock, does I/O or knows a runtime.

pub mod classification;
pub mod error_code;
pub mod evaluation;
pub mod event;
pub mod rules;
pub mod secret;
pub mod selection;
pub mod text;
pub mod time;

pub use classification::Classification;
pub use error_code::ErrorCode;
pub use evaluation::{Evaluation, Outcome, Output, ResultId, Source};
pub use event::{Event, EventMask, Kind, Payload};
pub use rules::{Rule, RuleMask, RuleSet};
pub use secret::Secret;
pub use selection::Selection;
pub use time::Timestamp;
