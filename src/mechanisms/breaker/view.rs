//! What the console shows of a breaker. Bounded in size, whatever the breaker has seen.

use serde::{Deserialize, Serialize};

use super::config::Preset;
use super::explain::Transition;
use super::machine::{Breaker, Current};
use super::policy::Shape;
use super::registry::BreakerKey;
use super::state::State;
use super::window::{Sums, Trail};
use crate::domain::Timestamp;

/// One breaker at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakerView {
    /// Its name in commands and events.
    pub name: String,
    /// What it belongs to.
    pub scope: String,
    /// What it protects from.
    pub dependency: String,
    /// Whether calls go through it.
    pub enabled: bool,
    /// Whose rules it follows.
    pub preset: Preset,
    /// Where it stands. An open one whose wait is over stays open until the next call, unless it turns by itself.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Openings in a row without a recovery; 0 while closed.
    pub attempt: u32,
    /// Open: the rest of the wait, 0 once the next call would be a trial; half-open without a trial left: 0.
    pub retry_after_ms: Option<u64>,
    /// Open: the whole wait. Milliseconds.
    pub wait_ms: Option<u64>,
    /// The wait should it open now, or open again, before jitter. Milliseconds.
    pub next_wait_ms: u64,
    /// The half-open period, while there is one.
    pub trials: Option<TrialsView>,
    /// Counts since the start or the last reset.
    pub totals: TotalsView,
    /// What the present state is judged by.
    pub window: WindowView,
    /// The rules in force.
    pub rules: RulesView,
    /// The latest changes of state, oldest first, at most 16, each with its sentence.
    pub transitions: Vec<TransitionView>,
}

/// A half-open period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialsView {
    /// Trial calls per period.
    pub allowed: u32,
    /// That may still begin.
    pub left: u32,
    /// That have begun and not ended.
    pub out: u32,
    /// That succeeded.
    pub passed: u32,
    /// Successes, or ended calls where rates decide, that it takes to decide.
    pub needed: u32,
}

/// Counts over the breaker's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsView {
    /// Calls that came, refused ones included. A disabled breaker counts nothing.
    pub calls: u64,
    /// Ended well.
    pub successes: u64,
    /// Ended badly, timeouts included.
    pub failures: u64,
    /// Took longer than a call may without being slow.
    pub slow: u64,
    /// Refused.
    pub rejections: u64,
    /// Over the call timeout.
    pub timeouts: u64,
    /// Given back without a verdict: denied, invalid or cancelled behind the breaker.
    pub released: u64,
    /// Ended in another period than they began in.
    pub late: u64,
    /// Answers below the confidence threshold.
    pub degraded: u64,
    /// Times it opened.
    pub trips: u64,
    /// Failures in a row up to now.
    pub consecutive_failures: u64,
    /// Successes in a row up to now.
    pub consecutive_successes: u64,
    /// The latest failure.
    pub last_failure: Option<Timestamp>,
    /// The latest success.
    pub last_success: Option<Timestamp>,
}

/// The sliding window in use: closed's, or the trial calls' while half-open (and after they failed).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowView {
    /// `calls`, `seconds` or `trials`; `none` while forced open or disabled.
    pub kind: String,
    /// How many of those it holds.
    pub size: u32,
    /// Calls in it.
    pub calls: u64,
    /// Failed ones.
    pub failed: u64,
    /// Slow ones, failed or not.
    pub slow: u64,
    /// Refused since it began.
    pub refused: u64,
    /// Percent; `None` below the minimum number of calls.
    pub failure_rate: Option<f64>,
    /// Percent; `None` below the minimum number of calls.
    pub slow_call_rate: Option<f64>,
    /// Mean duration, milliseconds.
    pub average_ms: Option<f64>,
    /// Mean confidence of the answers that have one, 0 to 1.
    pub average_confidence: Option<f64>,
    /// Its calls, the latest 64 at most, oldest first: `.` good, `s` slow, `X` failed, `S` failed and slow.
    pub marks: String,
    /// The latest 64 calls whatever the state was, in the same letters.
    pub recent: String,
}

/// The rules in force; `None` is a rule that does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RulesView {
    /// Failures in a row that open.
    pub failure_threshold: Option<u32>,
    /// Successes in a row that close.
    pub success_threshold: Option<u32>,
    /// Percent of failures that opens.
    pub failure_rate_threshold: Option<f64>,
    /// Percent of slow calls that opens.
    pub slow_call_rate_threshold: Option<f64>,
    /// A longer call is slow, milliseconds.
    pub slow_call_duration_threshold_ms: Option<u64>,
    /// Calls before a rate counts.
    pub minimum_number_of_calls: u32,
    /// A longer call is a failure, milliseconds.
    pub call_timeout_ms: Option<u64>,
}

/// A change of state with its sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransitionView {
    /// The facts.
    pub transition: Transition,
    /// The same as a sentence: `closed -> open: …`.
    pub text: String,
}

impl Breaker {
    /// What there is to see at `now`.
    pub fn view(&self, key: &BreakerKey, enabled: bool, now: Timestamp) -> BreakerView {
        let policy = &self.policy;
        let retry_after_ms = match self.state {
            // Rounded up: who waits this long is not refused for a fraction of a millisecond.
            State::Open => Some(u64::try_from(self.due.since(now).as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)),
            State::HalfOpen => (self.left == 0).then_some(0),
            _ => None,
        };
        let trials = (self.state == State::HalfOpen).then(|| TrialsView {
            allowed: policy.trials,
            left: self.left,
            out: self.out,
            passed: self.passed,
            needed: policy.successes.unwrap_or(policy.trial_minimum),
        });
        let total = &self.totals;
        BreakerView {
            name: key.to_string(),
            scope: key.scope.clone(),
            dependency: key.dependency.clone(),
            enabled,
            preset: policy.preset,
            state: self.state,
            since: self.since,
            attempt: self.attempt,
            retry_after_ms,
            wait_ms: (self.state == State::Open).then_some(self.wait / 1_000_000),
            next_wait_ms: policy.wait.planned(self.attempt.saturating_add(1)) / 1_000_000,
            trials,
            totals: TotalsView {
                calls: total.calls,
                successes: total.successes,
                failures: total.failures,
                slow: total.slow,
                rejections: total.rejections,
                timeouts: total.timeouts,
                released: total.released,
                late: total.late,
                degraded: total.degraded,
                trips: total.trips,
                consecutive_failures: total.consecutive_failures,
                consecutive_successes: total.consecutive_successes,
                last_failure: total.last_failure,
                last_success: total.last_success,
            },
            window: self.window_view(now),
            rules: RulesView {
                failure_threshold: policy.consecutive,
                success_threshold: policy.successes,
                failure_rate_threshold: policy.failure_rate,
                slow_call_rate_threshold: policy.slow_rate,
                slow_call_duration_threshold_ms: policy.slow_after.map(|limit| limit / 1_000_000),
                minimum_number_of_calls: policy.minimum,
                call_timeout_ms: policy.call_timeout.map(|limit| limit / 1_000_000),
            },
            transitions: self
                .history()
                .map(|transition| TransitionView { transition: transition.clone(), text: transition.to_string() })
                .collect(),
        }
    }

    /// Whether a call at `now` would be refused.
    pub fn would_refuse(&self, now: Timestamp) -> bool {
        match self.state {
            State::ForcedOpen => true,
            State::Open => self.due > now,
            State::HalfOpen => self.left == 0,
            State::Closed | State::Disabled | State::MetricsOnly => false,
        }
    }

    /// The window in use at `now`.
    pub fn window_view(&self, now: Timestamp) -> WindowView {
        let (kind, size) = match (self.current, self.policy.shape) {
            (Current::Nothing, _) => ("none", 0),
            (Current::Trials, _) => ("trials", self.policy.trials),
            (Current::Closed, Shape::Calls(size)) => ("calls", size),
            (Current::Closed, Shape::Seconds(size)) => ("seconds", size),
        };
        let sums = self.sums(now);
        let enough = sums.calls >= u64::from(self.minimum());
        let rate = |part| Sums::rate(part, sums.calls).filter(|_| enough);
        WindowView {
            kind: kind.to_owned(),
            size,
            calls: sums.calls,
            failed: sums.failed,
            slow: sums.slow,
            refused: self.refused,
            failure_rate: rate(sums.failed),
            slow_call_rate: rate(sums.slow),
            average_ms: (sums.calls > 0).then(|| sums.duration_ns as f64 / sums.calls as f64 / 1e6),
            average_confidence: (sums.confident > 0).then(|| sums.confidence_ppm as f64 / sums.confident as f64 / 1e6),
            marks: self.trail.marks(sums.calls),
            recent: self.trail.marks(u64::from(Trail::LENGTH)),
        }
    }
}
