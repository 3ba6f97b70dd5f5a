//! What an evaluation was, as a set of counters that it belongs to. Indicators are ratios of such sets.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::text::nearest;
use crate::domain::time::nanos;
use crate::domain::{ErrorCode, Outcome, Source};
use crate::pipeline::Context;

macro_rules! counters {
    ($($bit:literal $constant:ident $name:literal $meaning:literal;)*) => {
        impl Counters {
            $(#[doc = $meaning] pub const $constant: Self = Self(1 << $bit);)*

            /// Every counter: its name, itself, and what it counts.
            pub const ALL: &'static [(&'static str, Self, &'static str)] =
                &[$(($name, Self::$constant, $meaning),)*];
        }
    };
}

/// A set of the engine's counters, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters(pub u32);

counters! {
    0 EVALUATIONS "evaluations" "Every finished evaluation.";
    1 ANSWERED "answered" "Those with an answer, right or wrong.";
    2 RIGHT "right" "Those with the right answer.";
    3 WRONG "wrong" "Those with a wrong answer.";
    4 DENIED "denied" "Those whose caller had no leave.";
    5 REJECTED "rejected" "Those that a breaker or a limit refused.";
    6 FAILED "failed" "Those that ended in an error.";
    7 TIMED_OUT "timed_out" "Those whose answer did not come in time.";
    8 INVALID "invalid" "Those outside of what is accepted.";
    9 CACHED "cached" "Those that the cache answered.";
    10 COMPUTED "computed" "Those that the strategy answered.";
    11 FAULTED "faulted" "Those that an injected fault touched.";
    12 RETRIED "retried" "Those that were tried more than once.";
}

impl Counters {
    /// No counter.
    pub const NONE: Self = Self(0);

    /// In either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a counter is in both.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names in it, in the order of [`Counters::ALL`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(_, counter, _)| self.meets(*counter)).map(|(name, ..)| *name)
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" + "))
    }
}

/// The text names no counter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no counter `{name}`{hint} (there are {known})")]
pub struct UnknownCounter {
    name: String,
    hint: String,
    known: String,
}

impl FromStr for Counters {
    type Err = UnknownCounter;

    fn from_str(text: &str) -> Result<Self, UnknownCounter> {
        let found = Self::ALL.iter().find(|(name, ..)| *name == text).map(|(_, counter, _)| *counter);
        found.ok_or_else(|| {
            let names = || Self::ALL.iter().map(|(name, ..)| *name);
            UnknownCounter {
                name: text.to_owned(),
                hint: nearest(text, names()).map_or(String::new(), |near| format!("; did you mean `{near}`?")),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }
}

/// A finished evaluation, as indicators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observation {
    /// The counters that it belongs to.
    pub counters: Counters,
    /// What the caller waited, nanoseconds.
    pub latency_ns: u64,
    /// Injected faults that touched it, a bit each in the order of the reference's table.
    pub faults: u8,
    /// Why it has no answer.
    pub error: Option<ErrorCode>,
    /// Its wrong answer would be right with other rules on: it is from before a flag's change.
    pub outdated: bool,
}

impl Observation {
    /// Of an evaluation that was answered after `latency`.
    pub fn answered(right: bool, latency: Duration) -> Self {
        let verdict = if right { Counters::RIGHT } else { Counters::WRONG };
        let counters = Counters::EVALUATIONS.or(Counters::ANSWERED).or(Counters::COMPUTED).or(verdict);
        Self { counters, latency_ns: nanos(latency), ..Self::default() }
    }

    /// Of an evaluation that failed after `latency`.
    pub fn failed(latency: Duration) -> Self {
        let counters = Counters::EVALUATIONS.or(Counters::FAILED);
        Self { counters, latency_ns: nanos(latency), ..Self::default() }
    }

    /// Of the evaluation in `context`, whose answer was judged.
    #[inline]
    pub fn of(context: &Context) -> Self {
        let outcome = match context.outcome {
            Outcome::Ok => match context.source {
                Source::None => Counters::NONE,
                Source::Strategy => Counters::ANSWERED.or(Counters::COMPUTED),
                Source::Cache => Counters::ANSWERED.or(Counters::CACHED),
            },
            Outcome::Denied => Counters::DENIED,
            Outcome::Rejected => Counters::REJECTED,
            Outcome::Failed => Counters::FAILED,
            Outcome::TimedOut => Counters::TIMED_OUT,
            Outcome::Invalid => Counters::INVALID,
        };
        let mut counters = Counters::EVALUATIONS.or(outcome);
        if counters.meets(Counters::ANSWERED) {
            counters = counters.or(if context.correct { Counters::RIGHT } else { Counters::WRONG });
        }
        if context.faults | context.past_faults != 0 {
            counters = counters.or(Counters::FAULTED);
        }
        if context.attempt > 1 {
            counters = counters.or(Counters::RETRIED);
        }
        let faults = context.faults;
        Self { counters, latency_ns: nanos(context.duration), faults, error: context.error, outdated: false }
    }
}

/// What can eat an error budget. The first five are the injected faults, in the order of their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause(u8);

impl Cause {
    /// How many there are.
    pub const COUNT: usize = 11;
    const NAMES: [&'static str; Self::COUNT] = [
        "fault result_corruption",
        "fault latency_injection",
        "fault exception_injection",
        "fault rule_engine_failure",
        "fault confidence_manipulation",
        "the open breaker",
        "the limits",
        "answers from before a flag changed",
        "wrong answers of the cache",
        "time-outs",
        "other errors",
    ];
    const CORRUPTION: u8 = 1;
    const LATENCY: u8 = 1 << 1;
    const EXCEPTION: u8 = 1 << 2;

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Its name, as a sentence goes on after "by".
    pub fn name(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// What ate budget with this bad evaluation; `late` when it was bad for its latency.
    #[cold]
    pub fn of(observation: &Observation, late: bool) -> Self {
        let Observation { counters, faults, error, .. } = *observation;
        match error {
            Some(ErrorCode::CircuitOpen) => return Self(5),
            Some(ErrorCode::RateLimited | ErrorCode::BulkheadFull) => return Self(6),
            _ => {}
        }
        // Of several faults, the one that does such a thing.
        let likely = match () {
            () if late => Self::LATENCY,
            () if !counters.meets(Counters::ANSWERED) => Self::EXCEPTION | Self::LATENCY,
            () => Self::CORRUPTION,
        };
        let fault = if faults & likely != 0 { faults & likely } else { faults };
        if fault != 0 && fault.trailing_zeros() < 5 {
            return Self(fault.trailing_zeros() as u8);
        }
        match () {
            () if observation.outdated => Self(7),
            () if counters.meets(Counters::CACHED) && counters.meets(Counters::WRONG) => Self(8),
            () if counters.meets(Counters::TIMED_OUT) => Self(9),
            () => Self(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_read_back_by_name_and_the_nearest_is_offered() {
        for (name, counter, meaning) in Counters::ALL {
            assert_eq!(name.parse(), Ok(*counter));
            assert!(counter.to_string() == *name && meaning.ends_with('.'));
        }
        let error = "anwsered".parse::<Counters>().unwrap_err().to_string();
        assert!(error.contains("did you mean `answered`?"), "{error}");
    }

    #[test]
    fn a_bad_evaluation_has_one_cause() {
        let failed = Observation::failed(Duration::ZERO);
        let open = Observation { error: Some(ErrorCode::CircuitOpen), faults: 4, ..failed };
        assert_eq!(Cause::of(&open, false).name(), "the open breaker");
        let both = Observation { faults: 0b110, ..Observation::answered(true, Duration::from_secs(1)) };
        assert_eq!(Cause::of(&both, true).name(), "fault latency_injection");
        assert_eq!(Cause::of(&Observation { faults: 0b101, ..failed }, false).name(), "fault exception_injection");
        let mut stale = Observation::answered(false, Duration::ZERO);
        stale.counters = stale.counters.or(Counters::CACHED);
        assert_eq!(Cause::of(&stale, false).name(), "wrong answers of the cache");
        stale.outdated = true;
        assert_eq!(Cause::of(&stale, false).name(), "answers from before a flag changed");
        assert_eq!(Cause::of(&failed, false).name(), "other errors");
    }
}
