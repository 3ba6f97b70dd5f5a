//! The six states and which of them may follow which.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a breaker stands. The vocabulary is resilience4j's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls pass and are judged.
    #[default]
    #[serde(alias = "CLOSED")]
    Closed,
    /// Calls are refused until the wait is over.
    #[serde(alias = "OPEN")]
    Open,
    /// A few trial calls pass; their outcome decides.
    #[serde(alias = "HALF_OPEN")]
    HalfOpen,
    /// Calls are refused until somebody says otherwise.
    #[serde(alias = "FORCED_OPEN")]
    ForcedOpen,
    /// Calls pass, nothing is recorded.
    #[serde(alias = "DISABLED")]
    Disabled,
    /// Calls pass and are recorded; nothing follows from it.
    #[serde(alias = "METRICS_ONLY")]
    MetricsOnly,
}

impl State {
    /// All six.
    pub const ALL: [Self; 6] =
        [Self::Closed, Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::Disabled, Self::MetricsOnly];

    /// As it is shown: `closed`, `open`, `half_open`, `forced_open`, `disabled`, `metrics_only`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }

    /// Whether `next` may follow: 33 of the 36 pairs (resilience4j 2.4). A closed breaker does not become half-open,
    /// and one that only measures neither opens nor half-opens.
    pub const fn may_become(self, next: Self) -> bool {
        !matches!((self, next), (Self::Closed, Self::HalfOpen) | (Self::MetricsOnly, Self::Open | Self::HalfOpen))
    }

    /// Whether every call is refused now or until a wait is over.
    pub const fn refuses(self) -> bool {
        matches!(self, Self::Open | Self::ForcedOpen)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_three_transitions_are_legal() {
        let legal = State::ALL.iter().flat_map(|from| State::ALL.iter().filter(|to| from.may_become(**to))).count();
        assert_eq!(legal, 33);
        assert!(State::ALL.iter().all(|state| state.may_become(*state) && state.may_become(State::Closed)));
    }

    #[test]
    fn names_are_those_of_the_serialised_form_and_the_upper_case_ones_are_read_too() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            let upper = format!("\"{}\"", state.name().to_uppercase());
            assert_eq!(serde_json::from_str::<State>(&upper).unwrap(), state);
        }
    }
}
