//! The waits, the budget and the counts of retries.

use proptest::prelude::*;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::domain::{ErrorCode, EventMask};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn retry(config: RetryConfig) -> Retry {
    Retry::new(&RetryConfig { enabled: true, ..config }, ChaCha8Rng::seed_from_u64(3)).unwrap()
}

fn waits(config: RetryConfig) -> Vec<u64> {
    let mut retry = retry(config);
    let mut attempt = retry.begin(NOW);
    std::iter::from_fn(|| retry.next(&mut attempt, Outcome::Failed, NOW))
        .map(|wait| u64::try_from(wait.as_millis()).unwrap())
        .collect()
}

#[test]
fn intervals_grow_as_named() {
    let config = |interval| RetryConfig { max_attempts: 6, interval, ..RetryConfig::default() };
    assert_eq!(waits(config(Interval::Fixed)), [500; 5]);
    assert_eq!(waits(config(Interval::Linear)), [500, 1_000, 1_500, 2_000, 2_500]);
    let steps = RetryConfig { step_ms: Some(100), ..config(Interval::Linear) };
    assert_eq!(waits(steps), [500, 600, 700, 800, 900]);
    assert_eq!(waits(config(Interval::Exponential)), [500, 750, 1_125, 1_687, 2_530], "cut at every step");
    let capped = RetryConfig { max_wait_ms: 1_000, ..config(Interval::Exponential) };
    assert_eq!(waits(capped), [500, 750, 1_000, 1_000, 1_000]);
}

#[test]
fn only_failures_and_timeouts_are_repeated() {
    for outcome in Outcome::ALL {
        let mut retry = retry(RetryConfig::default());
        let mut attempt = retry.begin(NOW);
        let again = retry.next(&mut attempt, outcome, NOW).is_some();
        assert_eq!(again, matches!(outcome, Outcome::Failed | Outcome::TimedOut), "{outcome}");
        let stop = match outcome {
            Outcome::Ok => Some(Stop::Succeeded),
            Outcome::Failed | Outcome::TimedOut => None,
            _ => Some(Stop::Final),
        };
        assert_eq!(attempt.stop(), stop, "{outcome}");
    }
}

#[test]
fn the_budget_bounds_what_retries_do_to_the_load() {
    let budget = BudgetConfig { min_per_second: 0, ..BudgetConfig::default() };
    let mut retry = retry(RetryConfig { max_attempts: 4, budget, ..RetryConfig::default() });
    for _ in 0..1_000 {
        let mut attempt = retry.begin(NOW);
        while retry.next(&mut attempt, Outcome::Failed, NOW).is_some() {}
    }
    let view = retry.view(NOW);
    assert_eq!((view.requests, view.retries, view.budget), (1_000, 200, Some(0)));
    assert_eq!(view.amplification, Some(1.2), "not 4");
    assert_eq!(view.over_budget + view.exhausted, 1_000);
}

#[test]
fn operators_switch_it_and_it_counts() {
    let (mut retry, mut out) = (retry(RetryConfig::default()), Outbox::new(EventMask::NONE, 0));
    let mut attempt = retry.begin(NOW);
    assert!(retry.next(&mut attempt, Outcome::TimedOut, NOW).is_some());
    assert_eq!((retry.next(&mut attempt, Outcome::Ok, NOW), attempt.number()), (None, 2));
    assert_eq!(retry.view(NOW).recovered, 1);
    let mut order = |command| retry.command(&command, "ops", NOW, &mut out);
    assert_eq!(order(RetryCommand::Disable).unwrap(), "retry disabled by ops");
    assert_eq!(order(RetryCommand::MaxAttempts { max_attempts: 5 }).unwrap(), "retry limited to 5 attempts by ops");
    let error = order(RetryCommand::MaxAttempts { max_attempts: 0 }).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (ErrorCode::Configuration, "limits.retry.max_attempts: 0 is not between 1 and 100")
    );
    order(RetryCommand::Reset).unwrap();
    let mut attempt = retry.begin(NOW);
    assert_eq!(retry.next(&mut attempt, Outcome::Failed, NOW), None);
    let view = retry.view(NOW);
    assert_eq!((view.requests, view.recovered, view.amplification), (0, 0, None));
    assert_eq!(serde_json::from_str::<RetryView>(&serde_json::to_string(&view).unwrap()).unwrap(), view);
}

#[test]
fn impossible_values_are_refused() {
    let refused = |config: RetryConfig| Retry::new(&config, ChaCha8Rng::seed_from_u64(0)).unwrap_err().to_string();
    let default = RetryConfig::default;
    assert_eq!(
        refused(RetryConfig { max_wait_ms: 499, ..default() }),
        "limits.retry.max_wait_ms: 499 is less than wait_ms = 500"
    );
    assert_eq!(
        refused(RetryConfig { retry_on: vec![Outcome::Rejected], ..default() }),
        "limits.retry.retry_on: `rejected` is final; there are failed, timed_out"
    );
    assert_eq!(
        refused(RetryConfig { multiplier: f64::INFINITY, ..default() }),
        "limits.retry.multiplier: inf is not a number from 1 on"
    );
    assert_eq!(
        refused(RetryConfig { randomized_factor: 1.1, ..default() }),
        "limits.retry.randomized_factor: 1.1 is not between 0 and 1"
    );
}

fn kinds() -> impl Strategy<Value = (Interval, Jitter)> {
    let intervals = prop::sample::select(vec![Interval::Fixed, Interval::Linear, Interval::Exponential]);
    let jitters = vec![Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Randomized];
    (intervals, prop::sample::select(jitters))
}

proptest! {
    #[test]
    fn waits_stay_between_their_ends(
        (interval, jitter) in kinds(),
        seed in any::<u64>(),
        wait_ms in 1_u64..2_000,
        factor in 0.0_f64..=1.0,
    ) {
        let budget = BudgetConfig { enabled: false, ..BudgetConfig::default() };
        let (max_attempts, multiplier, max_wait_ms, randomized_factor) = (9, 2.0, 5_000, factor);
        let config = RetryConfig {
            enabled: true, max_attempts, interval, wait_ms, multiplier, max_wait_ms, jitter, randomized_factor, budget,
            ..RetryConfig::default()
        };
        let mut retry = Retry::new(&config, ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let mut attempt = retry.begin(NOW);
        let mut before = wait_ms as f64;
        for number in 1..max_attempts {
            let wait = retry.next(&mut attempt, Outcome::Failed, NOW).unwrap().as_secs_f64() * 1e3;
            let plan = match interval {
                Interval::Fixed => wait_ms,
                Interval::Linear => wait_ms * u64::from(number),
                Interval::Exponential => wait_ms << (number - 1),
            };
            let plan = plan.min(max_wait_ms) as f64;
            let (low, high) = match jitter {
                Jitter::None => (plan, plan),
                Jitter::Full => (0.0, plan),
                Jitter::Equal => (plan / 2.0, plan),
                Jitter::Decorrelated => (wait_ms as f64, (before * 3.0).min(5_000.0)),
                Jitter::Randomized => ((plan * (1.0 - factor) - 1.0).max(1.0), (plan * (1.0 + factor) + 1.0).min(5_000.0)),
            };
            prop_assert!(wait >= low - 1e-5 && wait <= high + 1e-5, "{low} <= {wait} <= {high}");
            before = wait;
        }
        prop_assert_eq!(retry.next(&mut attempt, Outcome::Failed, NOW), None);
    }
}
