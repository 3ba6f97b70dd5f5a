//! The breaker itself: one state machine for every preset, in constant time per call.
//!
//! It knows calls, time and its policy. It emits nothing and has no name: the registry gives it one and tells others.

use std::collections::VecDeque;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::config::BreakerSettings;
use super::error::BreakerError;
use super::explain::{Call, Cause, Rate, Span, Suspects, Transition};
use super::policy::{Policy, Shape};
use super::state::State;
use super::window::{CountWindow, NO_CONFIDENCE, Sample, Sums, Trail, Window};
use crate::domain::{ErrorCode, Timestamp, time};

/// Leave to make one call. Give it back with [`Breaker::finish`] or [`Breaker::release`], exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    /// The period of one state in which it was given.
    period: u64,
    /// Given while half-open.
    trial: bool,
}

impl Permit {
    /// As an opaque number, for those who carry it.
    pub const fn ticket(self) -> u64 {
        self.period << 1 | self.trial as u64
    }

    /// From the number.
    pub const fn from_ticket(ticket: u64) -> Self {
        Self { period: ticket >> 1, trial: ticket & 1 == 1 }
    }
}

/// A call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// When to try again: the rest of the wait; zero while all trial calls are out; `None` when nobody knows.
    pub retry_after: Option<Duration>,
}

/// How a permitted call ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ended {
    /// What was asked; only for the explanation.
    pub number: i64,
    /// Whether it failed. A call that took longer than the call timeout is a failure whatever this says.
    pub failed: bool,
    /// What went wrong; only for the explanation.
    pub error: Option<ErrorCode>,
    /// From admission to the end.
    pub duration: Duration,
    /// The answer's confidence, where it has one, 0 to 1.
    pub confidence: Option<f32>,
}

/// Counts over the breaker's life; `reset` begins them anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) calls: u64,
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) slow: u64,
    pub(super) rejections: u64,
    pub(super) timeouts: u64,
    pub(super) released: u64,
    pub(super) late: u64,
    pub(super) degraded: u64,
    pub(super) trips: u64,
    pub(super) consecutive_failures: u64,
    pub(super) consecutive_successes: u64,
    pub(super) last_failure: Option<Timestamp>,
    pub(super) last_success: Option<Timestamp>,
}

/// Which window the present state records into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Current {
    Closed,
    Trials,
    Nothing,
}

/// A circuit breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    pub(super) policy: Policy,
    rng: ChaCha8Rng,
    pub(super) state: State,
    pub(super) since: Timestamp,
    /// Changes of state so far: tells a permit's period from another.
    period: u64,
    /// Openings in a row without a recovery.
    pub(super) attempt: u32,
    /// The present wait in open, nanoseconds.
    pub(super) wait: u64,
    /// The first moment at which an open breaker lets a trial call through.
    pub(super) due: Timestamp,
    window: Window,
    trials: CountWindow,
    pub(super) current: Current,
    pub(super) trail: Trail,
    suspects: Suspects,
    /// Refusals since the present window began.
    pub(super) refused: u64,
    /// Trial calls that may still begin.
    pub(super) left: u32,
    /// Trial calls that have begun and not ended.
    pub(super) out: u32,
    last_trial: Timestamp,
    /// Trial calls that succeeded in this half-open period.
    pub(super) passed: u32,
    /// Rules that a measuring breaker has reported already: bits for consecutive, failure rate, slow rate.
    reported: u8,
    pub(super) totals: Totals,
    /// Entries of the history so far, those forgotten included.
    pub(super) entries: u64,
    pub(super) history: VecDeque<Transition>,
}

impl Breaker {
    /// As many transitions as are remembered.
    pub const HISTORY: usize = 16;
    /// More changes of state than this are not caught up with in one step after a long silence.
    const CATCH_UP: usize = 8;

    /// A breaker that begins at `now`.
    ///
    /// # Errors
    /// [`BreakerError::Configuration`] names the key with an impossible value.
    pub fn new(settings: &BreakerSettings, now: Timestamp, rng: ChaCha8Rng) -> Result<Self, BreakerError> {
        let policy = Policy::new(settings)?;
        let mut breaker = Self {
            window: Window::new(policy.shape),
            trials: CountWindow::new(policy.trials),
            rng,
            state: State::Closed,
            since: now,
            period: 0,
            attempt: 0,
            wait: 0,
            due: now,
            current: Current::Closed,
            trail: Trail::default(),
            suspects: Suspects::new(),
            refused: 0,
            left: 0,
            out: 0,
            last_trial: now,
            passed: 0,
            reported: 0,
            totals: Totals::default(),
            entries: 0,
            history: VecDeque::with_capacity(Self::HISTORY),
            policy,
        };
        if breaker.policy.initial != State::Closed {
            breaker.enter(breaker.policy.initial, now);
            breaker.totals.trips = 0;
        }
        Ok(breaker)
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The latest changes of state, oldest first, at most [`Breaker::HISTORY`].
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Transition> {
        self.history.iter()
    }

    /// Asks for leave to make a call.
    ///
    /// # Errors
    /// [`Refusal`] when the call is not to be made.
    #[inline]
    pub fn acquire(&mut self, now: Timestamp) -> Result<Permit, Refusal> {
        if self.state == State::Closed {
            self.totals.calls += 1;
            return Ok(Permit { period: self.period, trial: false });
        }
        self.acquire_guarded(now)
    }

    fn acquire_guarded(&mut self, now: Timestamp) -> Result<Permit, Refusal> {
        self.tick(now);
        if self.state == State::Open && now >= self.due {
            self.half_open(now);
        }
        let retry_after = match self.state {
            State::Disabled => return Ok(Permit { period: self.period, trial: false }),
            State::Closed | State::MetricsOnly => {
                self.totals.calls += 1;
                return Ok(Permit { period: self.period, trial: false });
            }
            State::HalfOpen if self.left > 0 => {
                self.left -= 1;
                self.out += 1;
                self.last_trial = now;
                self.totals.calls += 1;
                return Ok(Permit { period: self.period, trial: true });
            }
            State::HalfOpen => Some(Duration::ZERO),
            State::Open => Some(self.due.since(now)),
            State::ForcedOpen => None,
        };
        self.totals.calls += 1;
        self.totals.rejections += 1;
        self.refused += 1;
        Err(Refusal { retry_after })
    }

    /// Whether a call of this length is over the call timeout. A disabled breaker keeps out of it.
    pub fn times_out(&self, duration: Duration) -> bool {
        self.state != State::Disabled && self.policy.call_timeout.is_some_and(|limit| time::nanos(duration) > limit)
    }

    /// A permitted call has ended.
    pub fn finish(&mut self, permit: Permit, ended: &Ended, now: Timestamp) {
        if self.state != State::Closed {
            self.tick(now);
        }
        if matches!(self.state, State::Disabled | State::ForcedOpen) {
            return;
        }
        let duration_ns = time::nanos(ended.duration);
        let timed_out = self.policy.call_timeout.is_some_and(|limit| duration_ns > limit);
        let failed = ended.failed || timed_out;
        let slow = self.policy.slow_after.is_some_and(|limit| duration_ns > limit);
        let confidence_ppm = match ended.confidence {
            Some(confidence) => {
                self.totals.degraded += u64::from(confidence < self.policy.confidence);
                (confidence.clamp(0.0, 1.0) * 1e6) as u32
            }
            None => NO_CONFIDENCE,
        };
        self.totals.timeouts += u64::from(timed_out);
        self.totals.slow += u64::from(slow);
        if failed {
            self.totals.failures += 1;
            self.totals.last_failure = Some(now);
        } else {
            self.totals.successes += 1;
            self.totals.last_success = Some(now);
        }
        let late = permit.period != self.period;
        if late {
            self.totals.late += 1;
            // It says nothing about the time since: open keeps it for the record, others only where the preset says so.
            if self.state != State::Open && !self.policy.counts_late {
                return;
            }
        } else if permit.trial {
            self.out = self.out.saturating_sub(1);
        }
        if failed {
            self.totals.consecutive_failures += 1;
            self.totals.consecutive_successes = 0;
        } else {
            self.totals.consecutive_failures = 0;
            self.totals.consecutive_successes += 1;
        }
        let error = ended.error.or(timed_out.then_some(ErrorCode::CallTimeout));
        let sample = Sample { failed, slow, duration_ns, confidence_ppm };
        let Some(sums) = self.record(sample, ended.number, error, now) else { return };
        let tipping =
            || Call { at: now, number: ended.number, error, duration_ms: duration_ns as f64 / 1e6, failed, slow };
        match self.state {
            State::Closed => {
                if let Some((cause, _)) = self.exceeded(&sums, failed, self.policy.minimum, 0) {
                    self.to(State::Open, now, cause, Some(tipping()));
                }
            }
            State::MetricsOnly => {
                if let Some((cause, rules)) = self.exceeded(&sums, failed, self.policy.minimum, self.reported) {
                    self.reported |= rules;
                    self.remember(State::MetricsOnly, now, cause, Some(tipping()));
                }
            }
            State::HalfOpen => self.judge_trial(&sums, failed, now, tipping),
            State::Open if failed && self.policy.from_last_failure => self.due = now + Duration::from_nanos(self.wait),
            State::Open | State::ForcedOpen | State::Disabled => {}
        }
    }

    /// A permitted call was not made, or its end says nothing about what is protected.
    pub fn release(&mut self, permit: Permit, now: Timestamp) {
        if self.state != State::Closed {
            self.tick(now);
        }
        self.totals.released += 1;
        let own = permit.trial && permit.period == self.period;
        if own {
            self.out = self.out.saturating_sub(1);
        }
        // resilience4j gives a trial back for any release, even of a permit from before.
        if self.state == State::HalfOpen && (own || self.policy.counts_late) {
            self.left = self.left.saturating_add(1);
        }
    }

    /// Does what time alone brings about, at the moments at which it was due.
    ///
    /// Every other method does it too; call this where nobody calls for a while ([`Breaker::next_transition`]).
    pub fn tick(&mut self, now: Timestamp) {
        for _ in 0..Self::CATCH_UP {
            let Some(at) = self.next_transition().filter(|at| *at <= now) else { return };
            match self.state {
                State::Open => self.half_open(at),
                _ => self.expire(at),
            }
        }
    }

    /// When it will change its state without a call, as things stand.
    pub fn next_transition(&self) -> Option<Timestamp> {
        match self.state {
            State::Open => self.policy.automatic.then_some(self.due),
            State::HalfOpen => {
                let limit = self.policy.half_open_limit.map(|(limit, _)| self.since + Duration::from_nanos(limit));
                let abandon = self.policy.abandon.filter(|_| self.left == 0 && self.out > 0);
                let abandon = abandon.map(|limit| self.last_trial + Duration::from_nanos(limit));
                limit.into_iter().chain(abandon).min()
            }
            _ => None,
        }
    }

    /// Goes to `to` because `by` said `command`. Closing begins a new window.
    ///
    /// # Errors
    /// The state it is in, when that may not become `to` ([`State::may_become`]).
    pub fn command(&mut self, to: State, command: &str, by: &str, now: Timestamp) -> Result<(), State> {
        self.tick(now);
        if !self.state.may_become(to) {
            return Err(self.state);
        }
        self.to(to, now, Cause::Operator { command: command.to_owned(), by: by.to_owned() }, None);
        Ok(())
    }

    /// Back to closed with all counts at zero; only the history stays.
    pub fn reset(&mut self, by: &str, now: Timestamp) {
        self.tick(now);
        self.to(State::Closed, now, Cause::Operator { command: "reset".to_owned(), by: by.to_owned() }, None);
        self.totals = Totals::default();
        self.trail.clear();
    }

    /// The sums of the window in use, at `now`.
    pub(super) fn sums(&self, now: Timestamp) -> Sums {
        match self.current {
            Current::Closed => self.window.sums(now),
            Current::Trials => *self.trials.sums(),
            Current::Nothing => Sums::default(),
        }
    }

    /// Calls before a rate counts in the window in use.
    pub(super) const fn minimum(&self) -> u32 {
        if matches!(self.current, Current::Trials) { self.policy.trial_minimum } else { self.policy.minimum }
    }

    fn record(&mut self, sample: Sample, number: i64, error: Option<ErrorCode>, now: Timestamp) -> Option<Sums> {
        let sums = match self.current {
            Current::Closed => *self.window.record(sample, now),
            Current::Trials => {
                self.trials.record(sample);
                *self.trials.sums()
            }
            Current::Nothing => return None,
        };
        self.trail.record(sample);
        if sample.failed || sample.slow {
            self.suspects.note(now, number, error, (sample.failed, sample.slow, sample.duration_ns));
        } else {
            self.suspects.pass();
        }
        Some(sums)
    }

    /// The rule of closed that `sums` break, and its bits; those in `except` are left out.
    fn exceeded(&self, sums: &Sums, failed: bool, minimum: u32, except: u8) -> Option<(Cause, u8)> {
        if let Some(threshold) = self.policy.consecutive
            && self.totals.consecutive_failures >= u64::from(threshold)
            && except & 1 == 0
            && failed
        {
            let failures = self.totals.consecutive_failures;
            return Some((Cause::ConsecutiveFailures { failures, threshold }, 1));
        }
        if sums.calls < u64::from(minimum) || self.policy.failures_tip && !failed {
            return None;
        }
        let above = |part: u64, threshold: Option<f64>, bit: u8| {
            let threshold = threshold.filter(|_| except & bit == 0)?;
            // Multiplied out: no division per call, and the percentage is not rounded before it is compared.
            (part as f64 * 100.0 >= threshold * sums.calls as f64).then(|| Rate {
                rate: Sums::rate(part, sums.calls).unwrap_or_default(),
                threshold,
                counted: part,
            })
        };
        let failure = above(sums.failed, self.policy.failure_rate, 2);
        let slow = above(sums.slow, self.policy.slow_rate, 4);
        if failure.is_none() && slow.is_none() {
            return None;
        }
        let span = match (self.current, self.policy.shape) {
            (Current::Trials, _) => Span::Trials(sums.calls),
            (_, Shape::Calls(_)) => Span::Calls(sums.calls),
            (_, Shape::Seconds(seconds)) => Span::Seconds { calls: sums.calls, seconds },
        };
        let bits = u8::from(failure.is_some()) * 2 + u8::from(slow.is_some()) * 4;
        let slow_ms = slow.and(self.policy.slow_after).map(|limit| limit / 1_000_000);
        Some((Cause::Rates { failure, slow, slow_ms, span, minimum }, bits))
    }

    fn judge_trial(&mut self, sums: &Sums, failed: bool, now: Timestamp, tipping: impl FnOnce() -> Call) {
        if let Some(successes) = self.policy.successes {
            if failed {
                self.to(State::Open, now, Cause::TrialFailed { passed: self.passed }, Some(tipping()));
                return;
            }
            self.passed += 1;
            if self.passed >= successes {
                self.to(State::Closed, now, Cause::TrialsPassed { passed: self.passed }, None);
            }
            return;
        }
        self.passed += u32::from(!failed);
        if sums.calls < u64::from(self.policy.trial_minimum) {
            return;
        }
        match self.exceeded(sums, failed, self.policy.trial_minimum, 0) {
            Some((cause, _)) => self.to(State::Open, now, cause, Some(tipping())),
            None => {
                let rate = |part| Sums::rate(part, sums.calls).unwrap_or_default();
                let (failure_rate, slow_rate) = (rate(sums.failed), rate(sums.slow));
                self.to(State::Closed, now, Cause::TrialRates { failure_rate, slow_rate, calls: sums.calls }, None);
            }
        }
    }

    fn half_open(&mut self, at: Timestamp) {
        let cause = Cause::WaitOver {
            waited_ms: self.wait / 1_000_000,
            attempt: self.attempt,
            next_ms: self.policy.wait.planned(self.attempt.saturating_add(1)) / 1_000_000,
        };
        self.to(State::HalfOpen, at, cause, None);
    }

    /// Half-open has lasted too long, or its trial calls have.
    fn expire(&mut self, at: Timestamp) {
        match self.policy.half_open_limit {
            Some((limit, then)) if self.since + Duration::from_nanos(limit) <= at => {
                let cause = Cause::HalfOpenExpired { after_ms: limit / 1_000_000, ended: self.trials.sums().calls };
                self.to(then, at, cause, None);
            }
            _ => {
                let after_ms = self.policy.abandon.unwrap_or_default() / 1_000_000;
                self.to(State::Open, at, Cause::TrialsAbandoned { missing: self.out, after_ms }, None);
            }
        }
    }

    fn to(&mut self, to: State, at: Timestamp, cause: Cause, tipped_by: Option<Call>) {
        self.remember(to, at, cause, tipped_by);
        self.enter(to, at);
        if let Some(entry) = self.history.back_mut() {
            entry.attempt = self.attempt;
            entry.trips = self.totals.trips;
            entry.wait_ms = (to == State::Open).then_some(self.wait / 1_000_000);
        }
    }

    fn remember(&mut self, to: State, at: Timestamp, cause: Cause, tipped_by: Option<Call>) {
        let window = self.sums(at).calls;
        let calls = match &cause {
            Cause::ConsecutiveFailures { failures, .. } => self.suspects.among(*failures, |failed, _| failed),
            Cause::Rates { failure, slow, .. } => {
                let (failure, slow) = (failure.is_some(), slow.is_some());
                self.suspects.among(window, |failed, late| failed && failure || late && slow)
            }
            Cause::TrialFailed { .. } | Cause::TrialRates { .. } => self.suspects.among(window, |_, _| true),
            _ => Vec::new(),
        };
        if self.history.len() == Self::HISTORY {
            self.history.pop_front();
        }
        let (sequence, from) = (self.entries, self.state);
        self.entries += 1;
        let (attempt, trips) = (self.attempt, self.totals.trips);
        let entry = Transition { sequence, at, from, to, cause, attempt, wait_ms: None, trips, tipped_by, calls };
        self.history.push_back(entry);
    }

    fn enter(&mut self, to: State, at: Timestamp) {
        self.period += 1;
        self.state = to;
        self.since = at;
        (self.left, self.out, self.passed, self.reported) = (0, 0, 0, 0);
        let current = match to {
            // The window that made it open stays, and late results still go into it.
            State::Open => {
                self.attempt = self.attempt.saturating_add(1);
                self.wait = self.policy.wait.draw(self.attempt, &mut self.rng);
                // Strictly after the end of the wait is one nanosecond later.
                self.due = at + Duration::from_nanos(self.wait.saturating_add(u64::from(self.policy.strictly_after)));
                self.totals.trips += 1;
                return;
            }
            State::HalfOpen => {
                self.left = self.policy.trials;
                Current::Trials
            }
            State::Closed | State::MetricsOnly => {
                self.attempt = 0;
                self.totals.consecutive_failures = 0;
                Current::Closed
            }
            State::Disabled => {
                self.attempt = 0;
                Current::Nothing
            }
            State::ForcedOpen => {
                self.attempt = self.attempt.saturating_add(1);
                Current::Nothing
            }
        };
        self.current = current;
        self.refused = 0;
        match current {
            Current::Closed => self.window.clear(),
            Current::Trials => self.trials.clear(),
            Current::Nothing => {}
        }
        self.suspects.clear();
    }
}
