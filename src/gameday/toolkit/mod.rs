//! Chaos Toolkit experiments: read, checked, run, written as a journal, and made from scenarios of ours, so that other
//! people's experiments run here and ours run under `chaos`. It runs processes and HTTP calls; it drives no engine.
//!
//! The format is that of chaostoolkit-lib 1.44. Where its behaviour hides a failure ours differs, and
//! `docs/chaos-toolkit.md` lists every difference.
//!
//! ```
//! use fizzops::gameday::toolkit::{Experiment, Interrupt, Runner, Verdict};
//!
//! let text = r#"{
//!   "title": "true stays true", "description": "The smallest experiment that there is.",
//!   "steady-state-hypothesis": {"title": "true is true", "probes": [
//!     {"type": "probe", "name": "true", "tolerance": 0, "provider": {"type": "process", "path": "true"}}
//!   ]},
//!   "method": []
//! }"#;
//! let experiment = Experiment::parse(text, "true.json", &|_variable| None)?;
//! let outcome = Runner::new(&experiment, &Interrupt::default(), &|_progress| {}).run();
//! assert_eq!(outcome.verdict, Verdict::Held);
//! assert_eq!(outcome.journal["status"], "completed");
//! # Ok::<(), fizzops::gameday::toolkit::ToolkitError>(())
//! ```

mod document;
pub mod experiment;
pub mod export;
mod http;
pub mod journal;
mod process;
pub mod run;
pub mod tolerance;
mod values;
mod variables;

use std::path::Path;

pub use document::is_experiment;
pub use experiment::Experiment;
pub use export::{Export, export, to_yaml};
pub use journal::{JournalFile, verdict_of};
pub use run::{Interrupt, Outcome, Progress, Runner, Verdict};

use crate::config::Diagnostic;
use crate::domain::ErrorCode;

/// The longest file that is read, bytes.
pub const MAX_FILE: u64 = 1024 * 1024;
/// The most activities that an experiment may have.
pub const MAX_ACTIVITIES: usize = 1_000;
/// The most activities that may run in the background at once.
pub const MAX_BACKGROUND: usize = 64;
/// The longest pause or time limit, seconds.
pub const MAX_SECONDS: f64 = 86_400.0;
/// What a process may write to one stream, and how long the body of a response may be, bytes.
pub const MAX_OUTPUT: usize = 4 * 1024 * 1024;
/// The time limit of a process without one of its own, seconds. Chaos Toolkit waits for ever.
pub const PROCESS_SECONDS: f64 = 3_600.0;
/// The time limit of an HTTP call without one of its own, seconds. Chaos Toolkit waits for ever.
pub const HTTP_SECONDS: f64 = 60.0;

/// Why there is no experiment, or no journal.
#[derive(Debug, thiserror::Error)]
pub enum ToolkitError {
    /// Its file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{path} cannot be written: {source}")]
    Write {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its file is larger than any experiment.
    #[error("{0} is larger than 1 MiB, which no experiment is")]
    TooLarge(String),
    /// Its file's name does not say what it is.
    #[error("{0}: an experiment is a .json, .yaml or .yml file")]
    Extension(String),
    /// What it says is not right.
    #[error(transparent)]
    Content(#[from] Diagnostic),
    /// A journal is none.
    #[error("{path} is no Chaos Toolkit journal: {problem}")]
    Journal {
        /// Which file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ToolkitError {
    /// Its code in the catalogue.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::ChaosExperiment
    }
}

/// Reads a file's text.
///
/// # Errors
/// [`ToolkitError::Read`] and [`ToolkitError::TooLarge`].
pub fn read(path: &Path) -> Result<String, ToolkitError> {
    let name = path.display().to_string();
    let fail = |source| ToolkitError::Read { path: name.clone(), source };
    if std::fs::metadata(path).map_err(fail)?.len() > MAX_FILE {
        return Err(ToolkitError::TooLarge(name));
    }
    std::fs::read_to_string(path).map_err(fail)
}

/// Whether this file is JSON by its name; an experiment in YAML ends in .yaml or .yml.
fn is_json(file: &str) -> Option<bool> {
    let extension = Path::new(file).extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "json" => Some(true),
        "yaml" | "yml" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
