//! What can be told of evaluations while they run: debug lines, and traces.

pub mod logging;
pub mod traces;
