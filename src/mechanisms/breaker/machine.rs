//! The circuit breaker as a state machine over moments that it is told: consecutive failures open it, an exponential
//! back-off keeps it open, trial calls close it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BreakerConfig, BreakerError};
use crate::domain::{ErrorCode, Timestamp};

/// The states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Calls pass and are watched.
    Closed,
    /// Calls are refused until the back-off has passed.
    Open,
    /// A few trial calls pass.
    HalfOpen,
    /// Calls are refused until an operator says otherwise.
    ForcedOpen,
    /// Calls pass and nothing is watched.
    Disabled,
}

impl State {
    /// As it is written: `CLOSED`, `OPEN`, `HALF_OPEN`, `FORCED_OPEN`, `DISABLED`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
            Self::ForcedOpen => "FORCED_OPEN",
            Self::Disabled => "DISABLED",
        }
    }
}

/// One step from a state to another, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// From this state.
    pub from: State,
    /// To this one.
    pub to: State,
    /// Which rule decided, with its figures, and the call that tipped it.
    pub reason: String,
}

/// A call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What was asked, for explanations.
    pub number: i64,
    /// The error, for explanations; `None` for a success.
    pub error: Option<ErrorCode>,
    /// How long it took.
    pub duration: Duration,
}

/// What a caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Go on; hand the ticket back with the outcome, or release it.
    Permitted(u64),
    /// Refused; try again after this long.
    Refused(Duration),
}

/// Totals since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Calls that ended.
    pub calls: u64,
    /// Those that went well.
    pub successes: u64,
    /// Those that did not, slow ones included.
    pub failures: u64,
    /// Those among the failures that took longer than the call timeout.
    pub timeouts: u64,
    /// Calls that were refused.
    pub rejections: u64,
    /// Times it opened.
    pub trips: u64,
}

/// The machine. Every operation is O(1).
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
    since: Timestamp,
    /// Which period of a state this is: a call admitted in an earlier one no longer decides anything.
    period: u64,
    consecutive_failures: u32,
    consecutive_successes: u32,
    trials: u32,
    attempt: u32,
    totals: Totals,
    window: VecDeque<bool>,
    /// Steps since they were last taken.
    steps: Vec<Transition>,
    history: VecDeque<Transition>,
}

/// How many transitions are remembered.
const HISTORY: usize = 16;

impl Breaker {
    /// Closed, since `now`.
    ///
    /// # Errors
    /// [`BreakerError`] for a setting that is impossible.
    pub fn new(config: &BreakerConfig, now: Timestamp) -> Result<Self, BreakerError> {
        config.check()?;
        Ok(Self {
            config: config.clone(),
            state: State::Closed,
            since: now,
            period: 0,
            consecutive_failures: 0,
            consecutive_successes: 0,
            trials: 0,
            attempt: 0,
            totals: Totals::default(),
            window: VecDeque::with_capacity(config.sliding_window_size),
            steps: Vec::new(),
            history: VecDeque::with_capacity(HISTORY),
        })
    }

    /// May a call pass at `now`?
    pub fn acquire(&mut self, now: Timestamp) -> Admission {
        if self.state == State::Open && now.since(self.since) >= self.backoff() {
            let waited = self.backoff();
            self.go(State::HalfOpen, now, || format!("{} ms waited", waited.as_millis()));
        }
        match self.state {
            State::Closed | State::Disabled => Admission::Permitted(self.period),
            State::HalfOpen if self.trials < self.config.half_open_max_calls => {
                self.trials += 1;
                Admission::Permitted(self.period)
            }
            State::HalfOpen => self.refuse(Duration::ZERO),
            State::Open => self.refuse(self.backoff().saturating_sub(now.since(self.since))),
            State::ForcedOpen => self.refuse(Duration::from_millis(self.config.backoff_max_ms)),
        }
    }

    fn refuse(&mut self, retry_after: Duration) -> Admission {
        self.totals.rejections += 1;
        Admission::Refused(retry_after)
    }

    /// The call with this ticket ended. Calls of an earlier period are counted but decide nothing.
    pub fn record(&mut self, ticket: u64, call: Call, now: Timestamp) {
        if self.state == State::Disabled {
            return;
        }
        let slow = call.duration > Duration::from_millis(self.config.call_timeout_ms);
        let failed = call.error.is_some() || slow;
        self.totals.calls += 1;
        self.totals.successes += u64::from(!failed);
        self.totals.failures += u64::from(failed);
        self.totals.timeouts += u64::from(slow);
        if ticket != self.period {
            return;
        }
        if self.window.len() == self.config.sliding_window_size {
            self.window.pop_front();
        }
        self.window.push_back(!failed);
        if failed { self.failure(call, slow, now) } else { self.success(now) }
    }

    fn failure(&mut self, call: Call, slow: bool, now: Timestamp) {
        self.consecutive_successes = 0;
        self.consecutive_failures += 1;
        let tipped = move || match (slow, call.error) {
            (true, _) => format!("n = {}, {} ms", call.number, call.duration.as_millis()),
            (false, Some(code)) => format!("n = {}, {code}", call.number),
            (false, None) => format!("n = {}", call.number),
        };
        let threshold = self.config.failure_threshold;
        match self.state {
            State::Closed if self.consecutive_failures >= threshold => {
                let failures = self.consecutive_failures;
                self.totals.trips += 1;
                self.go(State::Open, now, || {
                    format!(
                        "{failures} failures in a row (threshold {threshold}); the call that tipped it: {}",
                        tipped()
                    )
                });
            }
            State::HalfOpen => {
                self.totals.trips += 1;
                self.attempt = self.attempt.saturating_add(1);
                let attempt = self.attempt;
                self.go(State::Open, now, || format!("a trial call failed ({}), attempt {attempt}", tipped()));
            }
            _ => {}
        }
    }

    fn success(&mut self, now: Timestamp) {
        self.consecutive_failures = 0;
        self.consecutive_successes += 1;
        let threshold = self.config.success_threshold;
        if self.state == State::HalfOpen && self.consecutive_successes >= threshold {
            self.attempt = 0;
            self.window.clear();
            self.go(State::Closed, now, || format!("{threshold} trial calls in a row went well"));
        }
    }

    /// The call with this ticket ended without telling anything about the dependency: its trial place is free again.
    pub fn release(&mut self, ticket: u64) {
        if self.state == State::HalfOpen && ticket == self.period {
            self.trials = self.trials.saturating_sub(1);
        }
    }

    /// Goes to `to` because `by` said so. A state that it is already in is entered anew.
    pub fn force(&mut self, to: State, by: &str, now: Timestamp) {
        if to == State::Closed {
            self.attempt = 0;
            self.window.clear();
        }
        if matches!(to, State::Open | State::ForcedOpen) {
            self.totals.trips += 1;
        }
        self.go(to, now, || format!("by {by}"));
    }

    fn go(&mut self, to: State, now: Timestamp, reason: impl FnOnce() -> String) {
        let step = Transition { at: now, from: self.state, to, reason: reason() };
        self.state = to;
        self.since = now;
        self.period += 1;
        self.consecutive_failures = 0;
        self.consecutive_successes = 0;
        self.trials = 0;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(step.clone());
        self.steps.push(step);
    }

    /// How long it stays open at the present attempt: base x multiplier^attempt, at most the maximum.
    pub fn backoff(&self) -> Duration {
        let base = self.config.backoff_base_ms as f64;
        // The maximum is below 2^53 ms, so the float holds it exactly; a huge power saturates to it.
        let grown = base * self.config.backoff_multiplier.powi(i32::try_from(self.attempt).unwrap_or(i32::MAX));
        Duration::from_millis(grown.min(self.config.backoff_max_ms as f64) as u64)
    }

    /// The steps since the last call, oldest first.
    pub fn take_steps(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.steps)
    }

    /// Whether there are steps to take.
    pub fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// The state, as of the last call.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Since when it is in its state.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Totals.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Whether a call at `now` would be refused.
    pub fn would_refuse(&self, now: Timestamp) -> bool {
        match self.state {
            State::Open => now.since(self.since) < self.backoff(),
            State::ForcedOpen => true,
            State::HalfOpen => self.trials >= self.config.half_open_max_calls,
            State::Closed | State::Disabled => false,
        }
    }

    /// The last outcomes, oldest first, `true` for a success.
    pub fn window(&self) -> impl ExactSizeIterator<Item = bool> {
        self.window.iter().copied()
    }

    /// The last transitions, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &Transition> {
        self.history.iter()
    }

    /// Consecutive failures, consecutive successes, trial calls let in, back-off attempt.
    pub const fn streaks(&self) -> (u32, u32, u32, u32) {
        (self.consecutive_failures, self.consecutive_successes, self.trials, self.attempt)
    }
}
