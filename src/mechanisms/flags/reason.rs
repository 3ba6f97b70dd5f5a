//! Why a flag has the value that it has. OpenFeature's reasons, and two of our own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Nothing is to be decided: there is no targeting.
    Static,
    /// Targeting decided nothing, or there is no default variant.
    Default,
    /// Targeting decided.
    TargetingMatch,
    /// A percentage decided.
    Split,
    /// The flag is disabled.
    Disabled,
    /// Its lifecycle does not let it be on.
    Inactive,
    /// A flag that it depends on is off.
    DependencyNotMet,
    /// Targeting failed.
    Error,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Static,
        Self::Default,
        Self::TargetingMatch,
        Self::Split,
        Self::Disabled,
        Self::Inactive,
        Self::DependencyNotMet,
        Self::Error,
    ];

    /// As OpenFeature writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::Default => "DEFAULT",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Disabled => "DISABLED",
            Self::Inactive => "INACTIVE",
            Self::DependencyNotMet => "DEPENDENCY_NOT_MET",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How often each reason was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reasons([u64; Reason::ALL.len()]);

impl Reasons {
    /// Once more.
    pub fn count(&mut self, reason: Reason) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Those that were given at all, with how often.
    pub fn given(&self) -> Vec<(Reason, u64)> {
        Reason::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0).collect()
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
