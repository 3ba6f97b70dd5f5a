//! The section: defaults, presets, and what is refused; and the waits that the settings make.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::policy::{Policy, Wait};
use super::*;
use crate::domain::{ErrorCode, Timestamp};

fn refused(yaml: &str) -> String {
    let config: BreakerConfig = serde_yaml::from_str(yaml).unwrap();
    let error = BreakerMiddleware::new(&config, Timestamp::EPOCH, ChaCha8Rng::seed_from_u64(0)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Configuration);
    error.to_string()
}

#[test]
fn defaults_are_those_of_the_platform() {
    let config: BreakerConfig = serde_yaml::from_str("{}").unwrap();
    assert_eq!(config, BreakerConfig::default());
    let set = config.settings().resolved();
    assert!(!config.enabled);
    assert_eq!((set.preset, set.failure_threshold, set.success_threshold), (Preset::Efp, 5, 3));
    assert_eq!((set.timeout_ms, set.sliding_window_size, set.half_open_max_calls), (30_000, Some(10), 3));
    assert_eq!((set.backoff_base_ms, set.backoff_max_ms, set.backoff_multiplier), (1_000, 60_000, 2.0));
    assert_eq!((set.ml_confidence_threshold, set.call_timeout_ms), (0.7, Some(5_000)));
}

#[test]
fn presets_fill_in_what_is_left_out_and_keep_what_is_given() {
    let r4j = BreakerSettings::of(Preset::Resilience4j).resolved();
    assert_eq!((r4j.failure_rate_threshold, r4j.slow_call_rate_threshold), (Some(50.0), Some(100.0)));
    assert_eq!((r4j.slow_call_duration_threshold_ms, r4j.wait_duration_in_open_state_ms), (Some(60_000), Some(60_000)));
    assert_eq!((r4j.sliding_window_size, r4j.minimum_number_of_calls), (Some(100), Some(100)));
    assert_eq!(r4j.permitted_number_of_calls_in_half_open_state, Some(10));
    assert_eq!((r4j.sliding_window_type, r4j.call_timeout_ms), (Some(WindowType::CountBased), Some(0)));
    let polly = BreakerSettings::of(Preset::Polly).resolved();
    assert_eq!((polly.failure_rate_threshold, polly.minimum_number_of_calls), (Some(10.0), Some(100)));
    assert_eq!((polly.sliding_window_type, polly.sliding_window_size), (Some(WindowType::TimeBased), Some(30)));
    assert_eq!(polly.permitted_number_of_calls_in_half_open_state, Some(1));
    assert_eq!(polly.wait_duration_in_open_state_ms, Some(5_000));
    let aref = Policy::new(&BreakerSettings::of(Preset::Aref)).unwrap();
    assert_eq!((aref.consecutive, aref.trials, aref.successes), (Some(5), 3, Some(3)));
    assert_eq!(aref.wait.planned(7), 30_000_000_000);
    let given = BreakerSettings { failure_rate_threshold: Some(33.0), ..BreakerSettings::of(Preset::Polly) };
    assert_eq!(given.resolved().failure_rate_threshold, Some(33.0));
    assert_eq!(given.resolved().resolved(), given.resolved());
}

#[test]
fn unknown_keys_are_refused_in_the_section_and_in_an_instance() {
    for yaml in ["failure_treshold: 3", "instances: { upstream/a: { enabled: true } }", "preset: hystrix"] {
        assert!(serde_yaml::from_str::<BreakerConfig>(yaml).is_err(), "{yaml}");
    }
}

#[test]
fn impossible_values_are_refused_by_name() {
    for (yaml, message) in [
        ("failure_threshold: 0", "circuit_breaker.failure_threshold: 0 is not between 1 and 4294967295"),
        (
            "success_threshold: 4",
            "circuit_breaker.success_threshold: 4 successes cannot come from half_open_max_calls = 3 trial calls: \
             it would never close",
        ),
        ("backoff_max_ms: 999", "circuit_breaker.backoff_max_ms: 999 is not between 1000 and 18446744073709551615"),
        ("backoff_jitter: 1.5", "circuit_breaker.backoff_jitter: 1.5 is not between 0 and 1"),
        ("backoff_jitter: .nan", "circuit_breaker.backoff_jitter: NaN is not between 0 and 1"),
        (
            "failure_rate_threshold: 0",
            "circuit_breaker.failure_rate_threshold: 0 is not above 0 and at most 100 (percent)",
        ),
        ("sliding_window_size: 0", "circuit_breaker.sliding_window_size: 0 is not between 1 and 1000000"),
        (
            "{ sliding_window_type: TIME_BASED, sliding_window_size: 86401 }",
            "circuit_breaker.sliding_window_size: 86401 is not between 1 and 86400",
        ),
        (
            "wait_duration_in_open_state_ms: 1",
            "circuit_breaker.wait_duration_in_open_state_ms: the preset efp does not use it; set backoff_base_ms",
        ),
        (
            "minimum_number_of_calls: 5",
            "circuit_breaker.minimum_number_of_calls: the preset efp does not use it; \
             set failure_rate_threshold too, or leave it out",
        ),
        (
            "{ preset: polly, wait_duration_in_open_state_ms: 499 }",
            "circuit_breaker.wait_duration_in_open_state_ms: 499 is not between 500 and 86400000",
        ),
        (
            "instances: { upstream/a: { timeout_ms: 0, preset: aref } }",
            "circuit_breaker.instances.upstream/a.timeout_ms: 0 is not between 1 and 18446744073709551615",
        ),
        (
            "instances: { upstream: {} }",
            "circuit_breaker.instances.upstream: the key is not of the form scope/dependency",
        ),
    ] {
        assert_eq!(refused(yaml), message);
    }
}

#[test]
fn a_rate_may_be_added_to_counting_failures() {
    let settings = BreakerSettings {
        failure_rate_threshold: Some(60.0),
        minimum_number_of_calls: Some(5),
        ..BreakerSettings::default()
    };
    let now = Timestamp::from_millis(1_000);
    let mut breaker = Breaker::new(&settings, now, ChaCha8Rng::seed_from_u64(0)).unwrap();
    for (place, failed) in [true, false, true, false, true].into_iter().enumerate() {
        let permit = breaker.acquire(now).unwrap();
        let (number, duration) = (place as i64, std::time::Duration::ZERO);
        breaker.finish(permit, &Ended { number, failed, error: None, duration, confidence: None }, now);
    }
    let transition = breaker.history().last().unwrap();
    assert_eq!(
        transition.to_string(),
        "closed -> open: failure rate 60.0 % >= 60 % over the last 5 calls (minimum 5); the call that tipped it: n = 4 failed"
    );
    let numbers: Vec<_> = transition.calls.iter().map(|call| call.number).collect();
    assert_eq!(numbers, [0, 2, 4], "the calls that the rate counts");
}

#[test]
fn a_breaker_may_begin_in_any_state() {
    for state in State::ALL {
        let settings = BreakerSettings { initial_state: state, ..BreakerSettings::default() };
        let now = Timestamp::from_millis(1_000);
        let mut breaker = Breaker::new(&settings, now, ChaCha8Rng::seed_from_u64(0)).unwrap();
        assert_eq!(breaker.state(), state);
        assert_eq!(breaker.history().count(), 0);
        assert_eq!(breaker.acquire(now).is_err(), state.refuses());
    }
}

#[test]
fn intervals_are_cut_to_whole_milliseconds_at_every_step() {
    let wait = Wait::Interval { initial_ms: 5, multiplier: 1.5, max_ms: 20, random: 0.0 };
    let waits: Vec<_> = (1..=6).map(|attempt| wait.planned(attempt) / 1_000_000).collect();
    assert_eq!(waits, [5, 7, 10, 15, 20, 20], "22 without the limit; 5 * 1.5^3 would be 16");
    let still = Wait::Interval { initial_ms: 7, multiplier: 1.0, max_ms: u64::MAX, random: 0.0 };
    assert_eq!(still.planned(u32::MAX), 7_000_000);
    let endless = Wait::Backoff { base_ms: 1, multiplier: 10.0, max_ms: 60_000, jitter: 0.0 };
    assert_eq!(endless.planned(u32::MAX), 60_000_000_000);
}

proptest! {
    #[test]
    fn jitter_stays_within_its_share(seed in any::<u64>(), share in 0.01_f64..=1.0, attempt in 1_u32..12) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let backoff = Wait::Backoff { base_ms: 100, multiplier: 2.0, max_ms: 5_000, jitter: share };
        let (planned, drawn) = (backoff.planned(attempt) as f64, backoff.draw(attempt, &mut rng) as f64);
        prop_assert!(drawn <= planned && drawn >= (planned * (1.0 - share) - 1e6).max(1e6), "{drawn} of {planned}");
        let interval = Wait::Interval { initial_ms: 100, multiplier: 1.5, max_ms: 1_000, random: share };
        let exact = 100.0 * 1.5_f64.powi(attempt as i32 - 1);
        let drawn = interval.draw(attempt, &mut rng) as f64 / 1e6;
        prop_assert!(drawn <= 1_000.0 && drawn <= exact * (1.0 + share) + 1.0, "{drawn} of {exact}");
        let low = ((exact - 3.0 * attempt as f64) * (1.0 - share) - 1.0).min(1_000.0);
        prop_assert!(drawn >= low, "{drawn} of {exact}");
    }
}
