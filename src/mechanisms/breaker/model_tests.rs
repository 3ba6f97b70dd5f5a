//! The machine against a slow and obvious version: one that keeps every call of a window and counts them anew.

use std::time::Duration;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::domain::Timestamp;

/// A call of the window: the second in which it ended, failed, slow.
type Logged = (u64, bool, bool);

/// Which window the present state has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kept {
    Closed,
    Trials,
    Nothing,
}

#[derive(Debug)]
struct Model {
    set: BreakerSettings,
    state: State,
    since_ms: u64,
    opened: u32,
    wait_ms: u64,
    wait_from_ms: u64,
    kept: Kept,
    log: Vec<Logged>,
    refused: u64,
    failures_in_a_row: u64,
    trials_left: u64,
    trials_out: u64,
    trials_passed: u64,
    last_trial_ms: u64,
    period: u64,
    path: Vec<(u64, State)>,
}

impl Model {
    fn new(settings: &BreakerSettings, now: u64) -> Self {
        Self {
            set: settings.resolved(),
            state: State::Closed,
            since_ms: now,
            opened: 0,
            wait_ms: 0,
            wait_from_ms: 0,
            kept: Kept::Closed,
            log: vec![],
            refused: 0,
            failures_in_a_row: 0,
            trials_left: 0,
            trials_out: 0,
            trials_passed: 0,
            last_trial_ms: 0,
            period: 0,
            path: vec![],
        }
    }

    fn r4j(&self) -> bool {
        self.set.preset == Preset::Resilience4j
    }

    /// resilience4j asks whether now is after the end; its timer goes off at the end.
    fn strictly_after(&self) -> bool {
        self.r4j() && !self.set.automatic_transition_from_open_to_half_open_enabled
    }

    fn trials(&self) -> u64 {
        let of_rates = self.set.permitted_number_of_calls_in_half_open_state;
        u64::from(of_rates.unwrap_or(self.set.half_open_max_calls))
    }

    fn wait(&self) -> u64 {
        match self.set.preset {
            Preset::Efp => {
                let mut wait = self.set.backoff_base_ms as f64;
                for _ in 1..self.opened {
                    wait *= self.set.backoff_multiplier;
                }
                wait.min(self.set.backoff_max_ms as f64) as u64
            }
            Preset::Aref => self.set.timeout_ms,
            _ => {
                let mut wait = self.set.wait_duration_in_open_state_ms.unwrap();
                for _ in 1..self.opened {
                    wait = (wait as f64 * self.set.exponential_backoff_multiplier.unwrap()) as u64;
                }
                wait.min(self.set.exponential_max_wait_duration_in_open_state_ms.unwrap_or(u64::MAX))
            }
        }
    }

    /// The calls that the window holds at `now`.
    fn held(&self, now: u64) -> Vec<Logged> {
        let tail = |count: u64| self.log[self.log.len().saturating_sub(count as usize)..].to_vec();
        let size = u64::from(self.set.sliding_window_size.unwrap());
        match (self.kept, self.set.sliding_window_type) {
            (Kept::Nothing, _) => vec![],
            (Kept::Trials, _) => tail(self.trials()),
            (Kept::Closed, Some(WindowType::CountBased)) => tail(size),
            (Kept::Closed, _) => self.log.iter().copied().filter(|(second, ..)| second + size > now / 1_000).collect(),
        }
    }

    fn go(&mut self, to: State, now: u64) {
        self.path.push((now, to));
        self.period += 1;
        self.state = to;
        self.since_ms = now;
        (self.trials_left, self.trials_out, self.trials_passed) = (0, 0, 0);
        match to {
            State::Open | State::ForcedOpen => self.opened += 1,
            State::HalfOpen => self.trials_left = self.trials(),
            _ => self.opened = 0,
        }
        if to == State::Open {
            self.wait_ms = self.wait();
            self.wait_from_ms = now;
            return;
        }
        self.log.clear();
        self.refused = 0;
        self.kept = match to {
            State::Closed | State::MetricsOnly => Kept::Closed,
            State::HalfOpen => Kept::Trials,
            _ => Kept::Nothing,
        };
        if self.kept == Kept::Closed {
            self.failures_in_a_row = 0;
        }
    }

    /// Time, a millisecond at a time.
    fn pass(&mut self, from: u64, to: u64) {
        for now in from..=to {
            if self.state == State::Open
                && self.set.automatic_transition_from_open_to_half_open_enabled
                && self.wait_is_over(now)
            {
                self.go(State::HalfOpen, now);
            }
            let limit = self.set.max_wait_duration_in_half_open_state_ms;
            if self.state == State::HalfOpen && limit > 0 && now >= self.since_ms + limit {
                self.go(self.set.transition_to_state_after_wait_duration.state(), now);
            }
            if self.state == State::HalfOpen
                && self.set.preset == Preset::Efp
                && self.trials_left == 0
                && self.trials_out > 0
                && now >= self.last_trial_ms + self.set.timeout_ms
            {
                self.go(State::Open, now);
            }
        }
    }

    fn wait_is_over(&self, now: u64) -> bool {
        let end = self.wait_from_ms + self.wait_ms;
        if self.strictly_after() { now > end } else { now >= end }
    }

    /// The period and whether it is a trial, or how long to wait.
    fn acquire(&mut self, now: u64) -> Result<(u64, bool), Option<u64>> {
        if self.state == State::Open && self.wait_is_over(now) {
            self.go(State::HalfOpen, now);
        }
        match self.state {
            State::Closed | State::Disabled | State::MetricsOnly => return Ok((self.period, false)),
            State::HalfOpen if self.trials_left > 0 => {
                self.trials_left -= 1;
                self.trials_out += 1;
                self.last_trial_ms = now;
                return Ok((self.period, true));
            }
            _ => self.refused += 1,
        }
        Err(match self.state {
            State::Open => Some(self.wait_from_ms + self.wait_ms - now),
            State::HalfOpen => Some(0),
            _ => None,
        })
    }

    fn release(&mut self, (period, trial): (u64, bool)) {
        let own = trial && period == self.period;
        if own {
            self.trials_out -= 1;
        }
        if self.state == State::HalfOpen && (own || self.r4j()) {
            self.trials_left += 1;
        }
    }

    fn finish(&mut self, (period, trial): (u64, bool), failed: bool, duration_ms: u64, now: u64) {
        if matches!(self.state, State::Disabled | State::ForcedOpen) {
            return;
        }
        let timeout = self.set.call_timeout_ms.unwrap();
        let failed = failed || timeout > 0 && duration_ms > timeout;
        let slow = self.set.slow_call_duration_threshold_ms.is_some_and(|limit| duration_ms > limit);
        let own = period == self.period;
        if own && trial {
            self.trials_out -= 1;
        }
        if !own && self.state != State::Open && !self.r4j() {
            return;
        }
        self.failures_in_a_row = if failed { self.failures_in_a_row + 1 } else { 0 };
        if self.kept == Kept::Nothing {
            return;
        }
        self.log.push((now / 1_000, failed, slow));
        let held = self.held(now);
        let counts = matches!(self.set.preset, Preset::Efp | Preset::Aref);
        match self.state {
            State::Closed => {
                let row = counts && failed && self.failures_in_a_row >= u64::from(self.set.failure_threshold);
                if row || self.too_high(&held, self.minimum(), failed) == Some(true) {
                    self.go(State::Open, now);
                }
            }
            State::HalfOpen if counts => {
                self.trials_passed += u64::from(!failed);
                if failed {
                    self.go(State::Open, now);
                } else if self.trials_passed == u64::from(self.set.success_threshold) {
                    self.go(State::Closed, now);
                }
            }
            State::HalfOpen => match self.too_high(&held, self.asked_for().min(self.trials()), failed) {
                Some(true) => self.go(State::Open, now),
                Some(false) => self.go(State::Closed, now),
                None => {}
            },
            State::Open if failed && self.set.preset == Preset::Aref => self.wait_from_ms = now,
            _ => {}
        }
    }

    fn asked_for(&self) -> u64 {
        u64::from(self.set.minimum_number_of_calls.unwrap_or(1))
    }

    /// A count window cannot hold more than its size, the trial calls' is another.
    fn minimum(&self) -> u64 {
        let minimum = self.asked_for();
        let counted = self.set.sliding_window_type == Some(WindowType::CountBased);
        if counted { minimum.min(u64::from(self.set.sliding_window_size.unwrap())) } else { minimum }
    }

    fn too_high(&self, held: &[Logged], minimum: u64, failed: bool) -> Option<bool> {
        if (held.len() as u64) < minimum {
            return None;
        }
        let percent = |count: usize| 100.0 * count as f64 / held.len() as f64;
        let failures = percent(held.iter().filter(|(_, failed, _)| *failed).count());
        let slow = percent(held.iter().filter(|(.., slow)| *slow).count());
        let over = |rate: f64, threshold: Option<f64>| threshold.is_some_and(|threshold| rate >= threshold - 1e-9);
        let over = over(failures, self.set.failure_rate_threshold) || over(slow, self.set.slow_call_rate_threshold);
        Some(over && (self.set.preset != Preset::Polly || failed))
    }
}

#[derive(Debug, Clone)]
enum Op {
    Acquire,
    Finish { which: usize, failed: bool, ms: u64 },
    Call { failed: bool, ms: u64 },
    Release { which: usize },
    Command(State),
}

fn operations() -> impl Strategy<Value = Vec<(u64, Op)>> {
    let op = prop_oneof![
        3 => Just(Op::Acquire),
        3 => (any::<usize>(), any::<bool>(), 0_u64..200).prop_map(|(which, failed, ms)| Op::Finish { which, failed, ms }),
        8 => (any::<bool>(), 0_u64..200).prop_map(|(failed, ms)| Op::Call { failed, ms }),
        1 => any::<usize>().prop_map(|which| Op::Release { which }),
        1 => prop::sample::select(&State::ALL[..]).prop_map(Op::Command),
    ];
    let advance = prop_oneof![4 => 0_u64..300, 1 => 0_u64..2_500];
    prop::collection::vec((advance, op), 1..120)
}

fn settings() -> impl Strategy<Value = BreakerSettings> {
    let rules = (1_u32..5, 1_u32..4, 1_u32..4, 1_u32..9, 1_u32..9, any::<bool>());
    let rates = (prop::option::of(1_u32..=100), prop::option::of(1_u32..=100), 20_u64..150);
    let waits = (500_u64..1_500, 1_u32..6, 500_u64..4_000, 0_u64..1_500, any::<bool>(), any::<bool>());
    let presets = prop::sample::select(vec![Preset::Efp, Preset::Resilience4j, Preset::Polly, Preset::Aref]);
    (presets, rules, rates, waits).prop_map(
        |(preset, (fails, successes, trials, size, minimum, by_time), (failure, slow, slow_ms), waits)| {
            let (wait, step, longest, limit, automatic, to_closed) = waits;
            let rate_keys = matches!(preset, Preset::Resilience4j | Preset::Polly);
            let multiplier = 1.0 + f64::from(step) / 4.0;
            let longest = longest.max(wait);
            let judged = rate_keys || failure.is_some() || slow.is_some();
            BreakerSettings {
                failure_threshold: fails,
                success_threshold: successes.min(trials),
                half_open_max_calls: trials,
                timeout_ms: wait,
                backoff_base_ms: wait,
                backoff_max_ms: longest,
                backoff_multiplier: multiplier,
                sliding_window_size: Some(size),
                sliding_window_type: Some(if by_time { WindowType::TimeBased } else { WindowType::CountBased }),
                minimum_number_of_calls: judged.then_some(minimum.max(2)),
                failure_rate_threshold: failure.map(f64::from),
                slow_call_rate_threshold: slow.map(f64::from),
                slow_call_duration_threshold_ms: Some(slow_ms),
                call_timeout_ms: Some(180),
                permitted_number_of_calls_in_half_open_state: rate_keys.then_some(trials),
                wait_duration_in_open_state_ms: rate_keys.then_some(wait),
                exponential_backoff_multiplier: rate_keys.then_some(multiplier),
                exponential_max_wait_duration_in_open_state_ms: rate_keys.then_some(longest),
                max_wait_duration_in_half_open_state_ms: if limit < 500 { 0 } else { limit },
                automatic_transition_from_open_to_half_open_enabled: automatic,
                transition_to_state_after_wait_duration: if to_closed {
                    AfterHalfOpen::Closed
                } else {
                    AfterHalfOpen::Open
                },
                ..BreakerSettings::of(preset)
            }
        },
    )
}

/// The machine, the model, and the permits that both gave.
struct Pair {
    breaker: Breaker,
    model: Model,
    permits: Vec<(Permit, (u64, bool))>,
    now: u64,
}

impl Pair {
    fn acquire(&mut self) -> Result<(), TestCaseError> {
        let strict = self.model.strictly_after();
        match (self.breaker.acquire(Timestamp::from_millis(self.now)), self.model.acquire(self.now)) {
            (Ok(ours), Ok(theirs)) => self.permits.push((ours, theirs)),
            (Err(ours), Err(theirs)) => {
                // Strictly after the end is a nanosecond later.
                let theirs = theirs.map(|ms| {
                    Duration::from_millis(ms)
                        + Duration::from_nanos(u64::from(strict && self.breaker.state() == State::Open))
                });
                prop_assert_eq!(ours.retry_after, theirs);
            }
            (ours, theirs) => prop_assert!(false, "{:?} but the model says {:?}", ours, theirs),
        }
        Ok(())
    }

    fn finish(&mut self, which: usize, failed: bool, ms: u64) {
        if self.permits.is_empty() {
            return;
        }
        let (ours, theirs) = self.permits.swap_remove(which % self.permits.len());
        let duration = Duration::from_millis(ms);
        let ended = Ended { number: 1, failed, error: None, duration, confidence: None };
        self.breaker.finish(ours, &ended, Timestamp::from_millis(self.now));
        self.model.finish(theirs, failed, ms, self.now);
    }

    fn step(&mut self, advance: u64, op: &Op) -> Result<(), TestCaseError> {
        let before = self.now;
        self.now += advance;
        let at = Timestamp::from_millis(self.now);
        self.model.pass(before, self.now);
        match *op {
            Op::Acquire => self.acquire()?,
            Op::Finish { which, failed, ms } => self.finish(which, failed, ms),
            Op::Call { failed, ms } => {
                let permits = self.permits.len();
                self.acquire()?;
                if self.permits.len() > permits {
                    // `swap_remove` of the last one is that one.
                    self.finish(permits, failed, ms);
                }
            }
            Op::Release { which } if !self.permits.is_empty() => {
                let (ours, theirs) = self.permits.swap_remove(which % self.permits.len());
                self.breaker.release(ours, at);
                self.model.release(theirs);
            }
            Op::Release { .. } => {}
            Op::Command(to) => {
                let legal = self.model.state.may_become(to);
                prop_assert_eq!(self.breaker.command(to, "test", "model", at).is_ok(), legal);
                if legal {
                    self.model.go(to, self.now);
                }
            }
        }
        // Time passes for the machine at its next call only; here it has to show.
        self.breaker.tick(at);
        self.model.pass(self.now, self.now);
        self.compare(at)
    }

    fn compare(&self, at: Timestamp) -> Result<(), TestCaseError> {
        let (breaker, model) = (&self.breaker, &self.model);
        let held = model.held(self.now);
        let view = breaker.view(&BreakerKey::evaluation(), true, at);
        let window = &view.window;
        prop_assert_eq!(view.state, model.state);
        prop_assert_eq!(window.calls, held.len() as u64);
        prop_assert_eq!(window.failed, held.iter().filter(|(_, failed, _)| *failed).count() as u64);
        prop_assert_eq!(window.slow, held.iter().filter(|(.., slow)| *slow).count() as u64);
        prop_assert_eq!(window.refused, model.refused);
        prop_assert_eq!(view.attempt, model.opened);
        let trials = view.trials.map_or((0, 0), |trials| (u64::from(trials.left), u64::from(trials.out)));
        prop_assert_eq!(
            trials,
            if model.state == State::HalfOpen { (model.trials_left, model.trials_out) } else { (0, 0) }
        );
        let ours: Vec<_> = breaker
            .history()
            .filter(|entry| entry.from != entry.to || entry.by_operator())
            .map(|entry| (entry.at.as_millis(), entry.to))
            .collect();
        prop_assert!(model.path.ends_with(&ours), "{:?} is not the end of {:?}", ours, model.path);
        if view.window.marks.len() as u64 == window.calls {
            let marks: String = held
                .iter()
                .map(|(_, failed, slow)| match (failed, slow) {
                    (false, false) => '.',
                    (false, true) => 's',
                    (true, false) => 'X',
                    (true, true) => 'S',
                })
                .collect();
            prop_assert_eq!(&view.window.marks, &marks);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_obvious_version_does(settings in settings(), operations in operations()) {
        let now = 1_700_000_000_000;
        let breaker = Breaker::new(&settings, Timestamp::from_millis(now), ChaCha8Rng::seed_from_u64(0));
        let breaker = breaker.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut pair = Pair { breaker, model: Model::new(&settings, now), permits: vec![], now };
        for (advance, op) in &operations {
            pair.step(*advance, op)?;
        }
    }

    #[test]
    fn whoever_waits_as_told_is_let_through(settings in settings()) {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut breaker = Breaker::new(&settings, now, ChaCha8Rng::seed_from_u64(0)).unwrap();
        breaker.command(State::Open, "trip", "test", now).unwrap();
        let wait = breaker.acquire(now).unwrap_err().retry_after.unwrap();
        prop_assert!(breaker.acquire(now + (wait - Duration::from_nanos(1))).is_err());
        prop_assert!(breaker.acquire(now + wait).is_ok());
    }
}
