//! How the program ends: the exit codes, and the one message of a failure.

use std::io::Write as _;
use std::process::ExitCode;

use crate::config::{ConfigError, Diagnostic};
use crate::domain::ErrorCode;
use crate::engine::EngineError;
use crate::gameday::ScenarioError;
use crate::recording::RecordingError;

/// The exit codes, the same for every subcommand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The run finished, but a hypothesis, an SLO gate or a comparison did not hold.
    NotHeld = 1,
    /// Usage or configuration.
    Usage = 2,
    /// Not authenticated or not permitted.
    NotPermitted = 3,
    /// A ledger, a recording or a database is not what it claims.
    Integrity = 4,
    /// A scenario never ran, because its steady state did not hold before.
    NeverRan = 5,
    /// Interrupted.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure: its message, its code where it has one, and how the program ends.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, where, and what would be right.
    pub message: String,
    /// Its code.
    pub code: Option<ErrorCode>,
    /// How the program ends.
    pub exit: Exit,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(exit: Exit, code: Option<ErrorCode>, message: impl Into<String>) -> Self {
        Self { message: message.into(), code, exit }
    }

    /// Something given on the command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, None, message)
    }

    /// Something cannot be written there.
    pub fn write(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::usage(format!("{} cannot be written: {error}", path.display()))
    }

    /// Prints it on stderr.
    pub fn print(&self) {
        let mut text = format!("error: {}", self.message);
        if let Some(code) = self.code {
            text.push_str(&format!("\n  [{code}] fizzops explain {code} says more"));
        }
        // With stderr closed there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, Some(ErrorCode::Configuration), error.to_string())
    }
}

impl From<Diagnostic> for Failure {
    fn from(error: Diagnostic) -> Self {
        Self::new(Exit::Usage, Some(ErrorCode::Configuration), error.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::new(Exit::Usage, Some(error.code()), error.to_string())
    }
}

impl From<ScenarioError> for Failure {
    fn from(error: ScenarioError) -> Self {
        Self::new(Exit::Usage, Some(ErrorCode::ChaosExperiment), error.to_string())
    }
}

impl From<RecordingError> for Failure {
    fn from(error: RecordingError) -> Self {
        let exit = if matches!(error, RecordingError::Io { .. }) { Exit::Usage } else { Exit::Integrity };
        Self::new(exit, Some(error.code()), error.to_string())
    }
}
