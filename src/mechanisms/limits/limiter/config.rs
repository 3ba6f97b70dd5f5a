//! The section `limits.limiter`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Rate;

/// How a rate is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// The generic cell rate algorithm: an even pace with bursts, constant memory.
    #[default]
    Gcra,
    /// Strictly never more than N in any span; remembers N moments.
    SlidingLog,
    /// Approximately never more than N in any span; constant memory.
    WeightedWindow,
}

impl Algorithm {
    /// As it is written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gcra => "gcra",
            Self::SlidingLog => "sliding_log",
            Self::WeightedWindow => "weighted_window",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The section `limits.limiter`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimiterConfig {
    /// Whether calls are limited.
    pub enabled: bool,
    /// How.
    pub algorithm: Algorithm,
    /// `N/unit`, the unit being second, minute, hour or day.
    pub limit: Rate,
    /// Calls that may come at once (gcra only); null is as many as the limit's N.
    pub burst: Option<u32>,
}

impl Default for LimiterConfig {
    fn default() -> Self {
        Self { enabled: false, algorithm: Algorithm::Gcra, limit: Rate::per_second(100), burst: None }
    }
}
