use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::EventMask;

const FAILED: Call = Call { number: 7, error: Some(ErrorCode::ChaosInduced), duration: Duration::ZERO };
const FINE: Call = Call { number: 7, error: None, duration: Duration::ZERO };

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn call(breaker: &mut Breaker, outcome: Call, now: Timestamp) -> bool {
    match breaker.acquire(now) {
        Admission::Permitted(ticket) => {
            breaker.record(ticket, outcome, now);
            true
        }
        Admission::Refused(_) => false,
    }
}

fn tripped() -> Breaker {
    let mut breaker = Breaker::new(&BreakerConfig::default(), at(0)).unwrap();
    for _ in 0..5 {
        assert!(call(&mut breaker, FAILED, at(0)));
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let mut breaker = Breaker::new(&BreakerConfig::default(), at(0)).unwrap();
    for outcome in [FAILED, FAILED, FAILED, FAILED, FINE, FAILED, FAILED, FAILED, FAILED] {
        call(&mut breaker, outcome, at(0));
    }
    assert_eq!(breaker.state(), State::Closed);
    call(&mut breaker, FAILED, at(0));
    assert_eq!(breaker.state(), State::Open);
    let reason = &breaker.history().last().unwrap().reason;
    assert_eq!(reason, "5 failures in a row (threshold 5); the call that tipped it: n = 7, EFP-CH01");
}

#[test]
fn three_trial_calls_close_it_again() {
    let mut breaker = tripped();
    assert!(!call(&mut breaker, FINE, at(999)));
    for _ in 0..3 {
        assert!(call(&mut breaker, FINE, at(1_000)));
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.streaks().3, 0);
}

#[test]
fn each_failed_trial_doubles_the_wait_up_to_the_maximum() {
    let mut breaker = tripped();
    let mut now = 0;
    for expected in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        assert_eq!(breaker.backoff(), Duration::from_millis(expected));
        now += expected;
        assert!(call(&mut breaker, FAILED, at(now)));
    }
}

#[test]
fn half_open_lets_only_the_trial_calls_in_and_a_released_place_is_free_again() {
    let mut breaker = tripped();
    let tickets: Vec<_> = (0..3).map(|_| breaker.acquire(at(1_000))).collect();
    assert!(tickets.iter().all(|admission| matches!(admission, Admission::Permitted(_))));
    assert_eq!(breaker.acquire(at(1_000)), Admission::Refused(Duration::ZERO));
    let Admission::Permitted(ticket) = tickets[0] else { unreachable!() };
    breaker.release(ticket);
    assert!(matches!(breaker.acquire(at(1_000)), Admission::Permitted(_)));
}

#[test]
fn a_call_that_ends_after_the_state_changed_decides_nothing() {
    let mut breaker = Breaker::new(&BreakerConfig::default(), at(0)).unwrap();
    let Admission::Permitted(late) = breaker.acquire(at(0)) else { unreachable!() };
    for _ in 0..5 {
        call(&mut breaker, FAILED, at(0));
    }
    for _ in 0..2 {
        call(&mut breaker, FINE, at(1_000));
    }
    breaker.record(late, FAILED, at(1_000));
    assert_eq!(breaker.state(), State::HalfOpen);
    call(&mut breaker, FINE, at(1_000));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_slow_success_is_a_failure() {
    let mut breaker = Breaker::new(&BreakerConfig::default(), at(0)).unwrap();
    for millis in [5_000, 5_001] {
        call(&mut breaker, Call { duration: Duration::from_millis(millis), ..FINE }, at(0));
    }
    assert_eq!((breaker.totals().failures, breaker.totals().timeouts), (1, 1));
}

#[test]
fn an_operator_has_the_last_word() {
    let config = BreakerConfig { enabled: true, ..BreakerConfig::default() };
    let mut middleware = BreakerMiddleware::new(&config, at(0)).unwrap();
    let mut out = Outbox::new(EventMask::operations(), 100);
    middleware.command(BreakerCommand::ForceOpen, "operator", at(0), &mut out);
    assert!(middleware.view(at(1_000_000))[0].refuses);
    middleware.command(BreakerCommand::Reset, "operator", at(2_000_000), &mut out);
    let view = &middleware.view(at(2_000_000))[0];
    assert_eq!((view.state, view.refuses), (State::Closed, false));
    let kinds: Vec<_> = out.take().iter().map(|event| event.kind()).collect();
    use Kind::*;
    assert_eq!(
        kinds,
        [CircuitBreakerTripped, CircuitBreakerStateChanged, CircuitBreakerRecovered, CircuitBreakerStateChanged]
    );
}

#[test]
fn impossible_settings_are_refused() {
    let default = BreakerConfig::default;
    for config in [
        BreakerConfig { failure_threshold: 0, ..default() },
        BreakerConfig { success_threshold: 4, ..default() },
        BreakerConfig { backoff_multiplier: f64::NAN, ..default() },
        BreakerConfig { backoff_base_ms: 70_000, ..default() },
        BreakerConfig { sliding_window_size: 0, ..default() },
    ] {
        assert!(Breaker::new(&config, at(0)).is_err(), "{config:?}");
    }
}

/// The slow and obvious version: keeps the whole list of outcomes since the last change of state.
struct Model {
    state: State,
    since: u64,
    outcomes: Vec<bool>,
    attempt: u32,
}

impl Model {
    fn step(&mut self, now: u64, fine: bool) -> bool {
        let wait = (1_000u64 << self.attempt.min(10)).min(60_000);
        if self.state == State::Open {
            if now - self.since < wait {
                return false;
            }
            self.state = State::HalfOpen;
            self.since = now;
            self.outcomes.clear();
        }
        self.outcomes.push(fine);
        let trailing = self.outcomes.iter().rev().take_while(|outcome| **outcome == fine).count();
        let next = match (self.state, fine) {
            (State::Closed, false) if trailing >= 5 => State::Open,
            (State::HalfOpen, false) => {
                self.attempt += 1;
                State::Open
            }
            (State::HalfOpen, true) if trailing >= 3 => {
                self.attempt = 0;
                State::Closed
            }
            (state, _) => state,
        };
        if next != self.state {
            self.state = next;
            self.since = now;
            self.outcomes.clear();
        }
        true
    }
}

proptest! {
    #[test]
    fn it_does_what_the_obvious_version_does(steps in prop::collection::vec((0u64..3_000, any::<bool>()), 1..300)) {
        let mut breaker = Breaker::new(&BreakerConfig::default(), at(0)).unwrap();
        let mut model = Model { state: State::Closed, since: 0, outcomes: vec![], attempt: 0 };
        let mut now = 0;
        for (advance, fine) in steps {
            now += advance;
            let passed = call(&mut breaker, if fine { FINE } else { FAILED }, at(now));
            prop_assert_eq!(passed, model.step(now, fine));
            prop_assert_eq!(breaker.state(), model.state);
        }
    }
}
