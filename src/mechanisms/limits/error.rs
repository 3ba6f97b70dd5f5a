//! What can be wrong with a limit's configuration or with a command to it.

use crate::domain::ErrorCode;

/// Why a limit cannot be made, or does not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A value that cannot work.
    #[error("limits.{key}: {reason}")]
    Configuration {
        /// The key within the section, e.g. `bulkhead.max_concurrent`.
        key: &'static str,
        /// What would be right.
        reason: String,
    },
    /// Not of the form `100/second`.
    #[error("`{text}` is no rate: {reason}")]
    Rate {
        /// What was given.
        text: String,
        /// What would be right.
        reason: &'static str,
    },
}

impl LimitsError {
    /// The code of the catalogue.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Configuration { .. } | Self::Rate { .. } => ErrorCode::Configuration,
        }
    }

    pub(super) fn configuration(key: &'static str, reason: impl Into<String>) -> Self {
        Self::Configuration { key, reason: reason.into() }
    }
}
