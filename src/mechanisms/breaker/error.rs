//! What can be wrong with a breaker's configuration or with a command to it.

use super::state::State;
use crate::domain::ErrorCode;

/// Why a breaker cannot be made, or does not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError {
    /// A value that no breaker can work with.
    #[error("circuit_breaker.{key}: {reason}")]
    Configuration {
        /// The key within the section, e.g. `failure_threshold` or `instances.upstream/payments.timeout_ms`.
        key: String,
        /// What would be right.
        reason: String,
    },
    /// The state machine has no such edge.
    #[error("breaker {circuit} cannot go from {from} to {to}{hint}", hint = hint(*.from))]
    IllegalTransition {
        /// The breaker's name.
        circuit: String,
        /// Where it is.
        from: State,
        /// Where it was told to go.
        to: State,
    },
    /// Nothing has this name.
    #[error("there is no breaker `{name}`; there are: {known}")]
    UnknownCircuit {
        /// What was asked for.
        name: String,
        /// The names that there are, comma separated.
        known: String,
    },
    /// The section's `enabled` is false.
    #[error("circuit breakers are not enabled")]
    NotEnabled,
    /// More breakers than one registry keeps.
    #[error("{0} breakers are as many as one registry keeps")]
    TooMany(usize),
}

impl BreakerError {
    /// The code of the catalogue.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Configuration { .. } | Self::TooMany(_) => ErrorCode::Configuration,
            Self::IllegalTransition { .. } | Self::UnknownCircuit { .. } => ErrorCode::CommandInvalid,
            Self::NotEnabled => ErrorCode::NotInitialised,
        }
    }

    pub(super) fn configuration(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Configuration { key: key.into(), reason: reason.into() }
    }

    /// The same complaint, about a key inside of an instance.
    pub(super) fn within(self, instance: &str) -> Self {
        match self {
            Self::Configuration { key, reason } => {
                Self::Configuration { key: format!("instances.{instance}.{key}"), reason }
            }
            other => other,
        }
    }
}

fn hint(from: State) -> &'static str {
    match from {
        State::Closed => "; trip it instead, it becomes half-open by itself",
        _ => "; close it first",
    }
}
