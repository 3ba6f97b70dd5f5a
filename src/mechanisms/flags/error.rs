//! Why definitions or a command are refused.

use crate::domain::ErrorCode;

use super::flag::Lifecycle;
use super::flagd::Problem;

/// Why a definition or a command is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FlagsError {
    /// No such flag.
    #[error("there is no flag `{name}`{hint}")]
    NotFound {
        /// As given.
        name: String,
        /// The nearest one, and how to see all.
        hint: String,
    },
    /// A circle of dependencies.
    #[error("flags depend on each other in a circle: {0}")]
    Cycle(String),
    /// Not a percentage.
    #[error("flag `{flag}` has a percentage of {percentage}; it must be from 0 to 100")]
    Percentage {
        /// Which.
        flag: String,
        /// As given.
        percentage: f64,
    },
    /// Division by 0.
    #[error("flag `{0}` targets by a divisor of 0; every divisor must be another number")]
    Divisor(String),
    /// Not NAME=VALUE.
    #[error("`{0}` is no flag setting; write NAME=on or NAME=off")]
    Override(String),
    /// Only percentages can be changed like this.
    #[error("flag `{0}` is not rolled out by percentage")]
    NotPercentage(String),
    /// A step that no life takes.
    #[error("flag `{flag}` cannot go from {} to {}; {}", .from.name(), .to.name(), next(*.from))]
    Lifecycle {
        /// Which.
        flag: String,
        /// Where it is.
        from: Lifecycle,
        /// Where it was to go.
        to: Lifecycle,
    },
    /// A file of definitions is not right; every problem with its place. Never empty.
    #[error("{}", list(.0))]
    Definitions(Vec<Problem>),
    /// A file of definitions could not be taken over: the message has the place.
    #[error("{file} is refused, the definitions from before stay: {problem}")]
    Refused {
        /// Its name.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The settings name a file, but whoever made the engine did not read it.
    #[error("feature_flags.file is {0}, but its definitions were not handed to the engine")]
    NotRead(String),
}

fn next(from: Lifecycle) -> String {
    let next: Vec<&str> = Lifecycle::ALL.into_iter().filter(|to| from.may_become(*to)).map(Lifecycle::name).collect();
    match next.as_slice() {
        [] => "nothing comes after it".into(),
        next => format!("next can be {}", next.join(" or ")),
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

impl FlagsError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } | Self::Override(_) => ErrorCode::FlagNotFound,
            Self::Cycle(_) => ErrorCode::FlagCycle,
            Self::Percentage { .. } | Self::NotPercentage(_) => ErrorCode::FlagRollout,
            Self::Divisor(_) => ErrorCode::FlagTargeting,
            Self::Lifecycle { .. } => ErrorCode::FlagLifecycle,
            Self::Definitions(problems) => match problems.as_slice() {
                [problem, ..] => problem.rule.code(),
                [] => ErrorCode::Flags,
            },
            Self::Refused { .. } | Self::NotRead(_) => ErrorCode::Flags,
        }
    }
}
