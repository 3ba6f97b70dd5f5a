//! FizzOps: an operations console for rehearsing failure.
//!
//! Commands go in, frames come out. The rooms, from the foundation up (each may use those above it in this list, never
//! those below, and mechanisms never each other; `tests/architecture.rs` holds them to it):

pub mod cli;
pub mod config;
pub mod console;
pub mod domain;
pub mod engine;
pub mod gameday;
pub mod mechanisms;
pub mod pipeline;
pub mod recording;
pub mod records;
pub mod telemetry;
