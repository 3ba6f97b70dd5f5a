//! The circuit breaker: refuses calls to what keeps failing, and lets a few through after a while to see whether it
//! has recovered. A refusal is a result of its own (rejected, with the time after which to try again), never an error
//! that ends a session.
//!
//! ```
//! use std::time::Duration;
//! use fizzops::domain::{ErrorCode, Timestamp};
//! use fizzops::mechanisms::breaker::{Admission, Breaker, BreakerConfig, Call, State};
//!
//! let mut breaker = Breaker::new(&BreakerConfig::default(), Timestamp::EPOCH).unwrap();
//! let failed = Call { number: 7, error: Some(ErrorCode::ChaosInduced), duration: Duration::ZERO };
//! for _ in 0..5 {
//!     let Admission::Permitted(ticket) = breaker.acquire(Timestamp::EPOCH) else { unreachable!() };
//!     breaker.record(ticket, failed, Timestamp::EPOCH);
//! }
//! assert_eq!(breaker.state(), State::Open);
//! assert_eq!(breaker.acquire(Timestamp::from_millis(400)), Admission::Refused(Duration::from_millis(600)));
//! ```

mod machine;

use serde::{Deserialize, Serialize};

pub use machine::{Admission, Breaker, Call, State, Totals, Transition};

use crate::domain::{ErrorCode, Kind, Outcome, Payload, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// The section `circuit_breaker`; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Whether it is in force.
    pub enabled: bool,
    /// Failures in a row that open it.
    pub failure_threshold: u32,
    /// Trial calls in a row that close it.
    pub success_threshold: u32,
    /// How many outcomes are kept for the failure rate that is shown.
    pub sliding_window_size: usize,
    /// Trial calls let through while half open.
    pub half_open_max_calls: u32,
    /// How long it stays open the first time.
    pub backoff_base_ms: u64,
    /// How long it stays open at most.
    pub backoff_max_ms: u64,
    /// How much longer it stays open after each failed trial.
    pub backoff_multiplier: f64,
    /// A call that takes longer counts as a failure.
    pub call_timeout_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            failure_threshold: 5,
            success_threshold: 3,
            sliding_window_size: 10,
            half_open_max_calls: 3,
            backoff_base_ms: 1_000,
            backoff_max_ms: 60_000,
            backoff_multiplier: 2.0,
            call_timeout_ms: 5_000,
        }
    }
}

/// A setting is impossible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("circuit_breaker.{key} is {value}; {right}")]
pub struct BreakerError {
    key: &'static str,
    value: String,
    right: &'static str,
}

impl BreakerError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::Configuration
    }
}

impl BreakerConfig {
    fn check(&self) -> Result<(), BreakerError> {
        let fail = |key, value: String, right| Err(BreakerError { key, value, right });
        if self.failure_threshold == 0 {
            return fail("failure_threshold", "0".into(), "at least 1 failure must open it");
        }
        if self.success_threshold == 0 {
            return fail("success_threshold", "0".into(), "at least 1 trial call must close it");
        }
        if self.half_open_max_calls < self.success_threshold {
            let right = "it must be at least success_threshold, or the breaker could never close";
            return fail("half_open_max_calls", self.half_open_max_calls.to_string(), right);
        }
        if !(1..=10_000).contains(&self.sliding_window_size) {
            return fail("sliding_window_size", self.sliding_window_size.to_string(), "it must be from 1 to 10000");
        }
        if !(self.backoff_multiplier.is_finite() && self.backoff_multiplier >= 1.0) {
            return fail("backoff_multiplier", self.backoff_multiplier.to_string(), "it must be a number from 1 on");
        }
        if self.backoff_base_ms > self.backoff_max_ms || self.backoff_max_ms > 86_400_000 {
            let right = "it must not exceed backoff_max_ms, which must not exceed a day";
            return fail("backoff_base_ms", self.backoff_base_ms.to_string(), right);
        }
        Ok(())
    }
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerCommand {
    /// Open it, as if the threshold had been passed; it recovers by itself.
    Trip,
    /// Refuse every call until it is reset.
    ForceOpen,
    /// Close it and forget what it saw.
    Reset,
    /// Let every call pass unwatched until it is reset.
    Disable,
}

/// A breaker, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakerView {
    /// What calls.
    pub scope: String,
    /// What is called.
    pub dependency: String,
    /// Whether it is in force at all.
    pub enabled: bool,
    /// The state.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Whether a call now would be refused.
    pub refuses: bool,
    /// While open: how much longer, milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Totals.
    pub totals: Totals,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Successes in a row.
    pub consecutive_successes: u32,
    /// Trial calls let in while half open.
    pub trials: u32,
    /// Failed trials since it was last closed.
    pub attempt: u32,
    /// How long it stays open at this attempt, milliseconds.
    pub backoff_ms: u64,
    /// The last outcomes, oldest first: `·` a success, `X` a failure.
    pub window: String,
    /// Failures among them, 0 to 1; absent while there are none.
    pub failure_rate: Option<f64>,
    /// The last transitions with their reasons, oldest first.
    pub transitions: Vec<Transition>,
    /// Failures in a row that open it.
    pub failure_threshold: u32,
    /// Trial calls in a row that close it.
    pub success_threshold: u32,
    /// A call that takes longer counts as a failure, milliseconds.
    pub call_timeout_ms: u64,
}

/// The middleware, at priority -1.
#[derive(Debug)]
pub struct BreakerMiddleware {
    enabled: bool,
    config: BreakerConfig,
    breaker: Breaker,
}

/// What calls, and what is called, until there are real services.
const SCOPE: &str = "evaluation";
const DEPENDENCY: &str = "strategy";

impl BreakerMiddleware {
    /// As configured, closed since `now`.
    ///
    /// # Errors
    /// [`BreakerError`] for a setting that is impossible.
    pub fn new(config: &BreakerConfig, now: Timestamp) -> Result<Self, BreakerError> {
        Ok(Self { enabled: config.enabled, config: config.clone(), breaker: Breaker::new(config, now)? })
    }

    /// Carries out a command; the answer is a sentence for the operator.
    pub fn command(&mut self, command: BreakerCommand, by: &str, now: Timestamp, out: &mut Outbox) -> String {
        let (to, answer) = match command {
            BreakerCommand::Trip => (State::Open, "is open; it tries again by itself after its back-off"),
            BreakerCommand::ForceOpen => (State::ForcedOpen, "is forced open until it is reset"),
            BreakerCommand::Reset => (State::Closed, "is closed"),
            BreakerCommand::Disable => (State::Disabled, "is disabled: every call passes until it is reset"),
        };
        self.breaker.force(to, by, now);
        self.announce(out);
        format!("breaker {SCOPE} -> {DEPENDENCY} {answer}")
    }

    /// As they are shown.
    pub fn view(&self, now: Timestamp) -> Vec<BreakerView> {
        let breaker = &self.breaker;
        let (consecutive_failures, consecutive_successes, trials, attempt) = breaker.streaks();
        let failures = breaker.window().filter(|success| !success).count();
        vec![BreakerView {
            scope: SCOPE.to_owned(),
            dependency: DEPENDENCY.to_owned(),
            enabled: self.enabled,
            state: breaker.state(),
            since: breaker.since(),
            refuses: self.enabled && breaker.would_refuse(now),
            retry_after_ms: (breaker.state() == State::Open)
                .then(|| millis(breaker.backoff().saturating_sub(now.since(breaker.since())))),
            totals: *breaker.totals(),
            consecutive_failures,
            consecutive_successes,
            trials,
            attempt,
            backoff_ms: millis(breaker.backoff()),
            window: breaker.window().map(|success| if success { '·' } else { 'X' }).collect(),
            failure_rate: (breaker.window().len() > 0).then(|| failures as f64 / breaker.window().len() as f64),
            transitions: breaker.history().cloned().collect(),
            failure_threshold: self.config.failure_threshold,
            success_threshold: self.config.success_threshold,
            call_timeout_ms: self.config.call_timeout_ms,
        }]
    }

    /// Times it opened.
    pub const fn trips(&self) -> u64 {
        self.breaker.totals().trips
    }

    /// Breakers that would refuse a call at `now`.
    pub fn open(&self, now: Timestamp) -> u32 {
        u32::from(self.enabled && self.breaker.would_refuse(now))
    }

    fn announce(&mut self, out: &mut Outbox) {
        if !self.breaker.has_steps() {
            return;
        }
        let circuit = || format!("{SCOPE} -> {DEPENDENCY}");
        for step in self.breaker.take_steps() {
            let totals = *self.breaker.totals();
            match step.to {
                State::Open | State::ForcedOpen => {
                    out.emit(Kind::CircuitBreakerTripped, || Payload::CircuitBreakerTripped {
                        circuit: circuit(),
                        trips: totals.trips,
                        failures: totals.failures,
                        backoff_ms: millis(self.breaker.backoff()),
                    });
                }
                State::HalfOpen => out.emit(Kind::CircuitBreakerHalfOpen, || Payload::CircuitBreakerHalfOpen {
                    circuit: circuit(),
                    attempt: self.breaker.streaks().3,
                }),
                State::Closed => out.emit(Kind::CircuitBreakerRecovered, || Payload::CircuitBreakerRecovered {
                    circuit: circuit(),
                    trips: totals.trips,
                }),
                State::Disabled => {}
            }
            out.emit(Kind::CircuitBreakerStateChanged, || Payload::CircuitBreakerStateChanged {
                circuit: circuit(),
                from: step.from.name().to_owned(),
                to: step.to.name().to_owned(),
                reason: step.reason.clone(),
            });
        }
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Middleware for BreakerMiddleware {
    fn name(&self) -> &'static str {
        "circuit breaker"
    }

    fn priority(&self) -> i16 {
        -1
    }

    fn enter(&mut self, context: &mut Context, out: &mut Outbox) -> Flow {
        if !self.enabled {
            return Flow::Continue;
        }
        let admission = self.breaker.acquire(context.now);
        self.announce(out);
        match admission {
            Admission::Permitted(ticket) => {
                context.permit = Some(ticket);
                Flow::Continue
            }
            Admission::Refused(retry_after) => {
                context.fail(Outcome::Rejected, ErrorCode::CircuitOpen);
                context.retry_after = Some(retry_after);
                let (number, rejections) = (context.number, self.breaker.totals().rejections);
                out.emit(Kind::CircuitBreakerCallRejected, || Payload::CircuitBreakerCallRejected {
                    circuit: format!("{SCOPE} -> {DEPENDENCY}"),
                    number,
                    retry_after_ms: millis(retry_after),
                    rejections,
                });
                Flow::Finish
            }
        }
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        let Some(ticket) = context.permit.take() else { return };
        match context.outcome {
            // The caller's own mistake says nothing about the dependency.
            Outcome::Denied | Outcome::Invalid | Outcome::Rejected => self.breaker.release(ticket),
            Outcome::Ok | Outcome::Failed | Outcome::TimedOut => {
                let error = if context.outcome == Outcome::Ok { None } else { context.error };
                let duration = context.now.since(context.admitted);
                self.breaker.record(ticket, Call { number: context.number, error, duration }, context.now);
            }
        }
        self.announce(out);
    }
}

#[cfg(test)]
mod tests;
