//! Injections: one effect each, with its own rate, target and lease. A game day puts them in and takes them back; an
//! injection whose lease is not renewed ends by itself, so none outlives whoever asked for it.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::domain::rules::RuleMask;
use crate::domain::selection::Selection;
use crate::domain::{Classification, RuleSet, Timestamp};

/// What an injection does to the evaluations that it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The answer is replaced by a wrong one.
    ResultCorruption,
    /// The answer comes late, by a time drawn between the two bounds.
    LatencyInjection {
        /// The shortest, milliseconds.
        min_ms: u64,
        /// The longest, milliseconds.
        max_ms: u64,
    },
    /// There is an error instead of an answer.
    ExceptionInjection,
    /// The answer is the bare number, whatever matched.
    RuleEngineFailure,
    /// The answer's confidence is made up.
    ConfidenceManipulation,
    /// As after a restart: the answer comes late by `latency_ms` at first, by less and less, and in time after `ramp_ms`.
    SlowStart {
        /// At the beginning, milliseconds.
        latency_ms: u64,
        /// How long it takes to be gone, milliseconds.
        ramp_ms: u64,
    },
    /// Errors in bursts: every call of the first `burst_ms` of each `period_ms`, none of the rest.
    ErrorBurst {
        /// How long a burst is, milliseconds.
        burst_ms: u64,
        /// From one burst to the next, milliseconds.
        period_ms: u64,
    },
    /// No answer ever: whoever asks waits until the call times out.
    Hang,
}

impl Effect {
    /// What it counts as.
    pub const fn fault(self) -> Fault {
        match self {
            Self::ResultCorruption => Fault::ResultCorruption,
            Self::LatencyInjection { .. } | Self::SlowStart { .. } | Self::Hang => Fault::LatencyInjection,
            Self::ExceptionInjection | Self::ErrorBurst { .. } => Fault::ExceptionInjection,
            Self::RuleEngineFailure => Fault::RuleEngineFailure,
            Self::ConfidenceManipulation => Fault::ConfidenceManipulation,
        }
    }

    /// As it is written in scenario files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowStart { .. } => "slow_start",
            Self::ErrorBurst { .. } => "error_burst",
            Self::Hang => "hang",
            _ => self.fault().name(),
        }
    }

    /// In words.
    pub fn text(self) -> String {
        match self {
            Self::LatencyInjection { min_ms, max_ms } => format!("latency_injection {min_ms} to {max_ms} ms"),
            Self::SlowStart { latency_ms, ramp_ms } => {
                format!("slow_start from {latency_ms} ms, gone after {ramp_ms} ms")
            }
            Self::ErrorBurst { burst_ms, period_ms } => format!("error_burst of {burst_ms} ms every {period_ms} ms"),
            _ => self.name().to_owned(),
        }
    }

    /// What is wrong with its figures.
    ///
    /// # Errors
    /// What would be right.
    pub fn check(self) -> Result<(), String> {
        /// An injected wait is never longer, milliseconds.
        const LONGEST: u64 = 60_000;
        match self {
            Self::LatencyInjection { min_ms, max_ms } if min_ms > max_ms || max_ms > LONGEST => Err(format!(
                "latency from {min_ms} to {max_ms} ms is impossible; min must not exceed max, max not {LONGEST}"
            )),
            Self::SlowStart { latency_ms, ramp_ms } if latency_ms > LONGEST || ramp_ms == 0 => {
                Err(format!("slow_start needs a latency_ms of at most {LONGEST} and a ramp_ms of at least 1"))
            }
            Self::ErrorBurst { burst_ms, period_ms } if burst_ms == 0 || burst_ms > period_ms => {
                Err("error_burst needs a burst_ms of at least 1 and at most its period_ms".into())
            }
            _ => Ok(()),
        }
    }
}

/// An injection, as it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// By which it is renewed and reverted; another of the same id is replaced.
    pub id: String,
    /// What it does.
    pub effect: Effect,
    /// To which share of the evaluations that it targets, above 0 and at most 1.
    pub rate: f64,
    /// Which numbers it targets.
    #[serde(default)]
    pub target: Selection,
    /// Only calls to these dependencies; empty for all.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Only evaluations for which these rules are on (by label), so that a flag can be a target; empty for all.
    #[serde(default)]
    pub rules: Vec<String>,
    /// How long it lasts without being renewed, milliseconds.
    pub lease_ms: u64,
}

/// An injection that is in force.
#[derive(Debug)]
pub(super) struct Active {
    pub asked: Injection,
    /// A draw of 32 random bits hits when it is below this.
    pub threshold: u64,
    /// Bit n stands for the dependency with number n; bit 0 for calls to none.
    pub dependencies: u64,
    pub rules: RuleMask,
    pub began: Timestamp,
    pub expires: Timestamp,
    pub injected: u64,
}

impl Active {
    /// Whether it is in force at `now` and targets this evaluation.
    pub fn covers(
        &self,
        now: Timestamp,
        number: i64,
        dependency: u8,
        on: RuleMask,
        class: impl FnOnce() -> Classification,
    ) -> bool {
        now < self.expires
            && self.dependencies & 1 << dependency != 0
            && on.0 & self.rules.0 == self.rules.0
            && (self.asked.target.is_everything() || self.asked.target.picks(number, class()))
    }
}

/// An injection, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InjectionView {
    /// Its id.
    pub id: String,
    /// In words: effect, rate, target.
    pub text: String,
    /// Evaluations that it hit.
    pub injected: u64,
    /// When it ends unless it is renewed.
    pub expires: Timestamp,
    /// Who asked for it.
    pub by: String,
}

impl Injection {
    /// In words.
    pub fn text(&self) -> String {
        let mut text = format!("{} into {} %", self.effect.text(), self.rate * 100.0);
        if !self.target.is_everything() {
            text.push_str(&format!(" of {}", self.target.text()));
        }
        if !self.dependencies.is_empty() {
            text.push_str(&format!(" of calls to {}", self.dependencies.join(", ")));
        }
        if !self.rules.is_empty() {
            text.push_str(&format!(" with {} on", self.rules.join(", ")));
        }
        text
    }

    /// The rules by label as a mask.
    ///
    /// # Errors
    /// The label that no rule has.
    pub(super) fn mask(&self, rules: &RuleSet) -> Result<RuleMask, String> {
        self.rules.iter().try_fold(RuleMask::NONE, |mask, label| {
            rules.by_label(label).map(|index| mask.with(index)).ok_or_else(|| label.clone())
        })
    }
}
