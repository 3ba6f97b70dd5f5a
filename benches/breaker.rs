//! What a breaker and a limit cost per call, and what a replay costs per recorded call.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot be set up stops")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fizzops::domain::{EventMask, RuleMask, Source, Timestamp};
use fizzops::mechanisms::breaker::{
    Breaker, BreakerConfig, BreakerMiddleware, BreakerSettings, Ended, Preset, Recorded, RecordedCall, State, Verdict,
    WindowType, what_if,
};
use fizzops::mechanisms::limits::{Algorithm, BulkheadConfig, BulkheadMiddleware, Limiter, LimiterConfig, Rate};
use fizzops::pipeline::{Context, Middleware, Outbox};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const STEP: Duration = Duration::from_micros(1);

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

/// A closed breaker, one call in ten failing, below every threshold.
fn closed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker/acquire+finish");
    let by_time = BreakerSettings {
        sliding_window_type: Some(WindowType::TimeBased),
        sliding_window_size: Some(60),
        ..BreakerSettings::of(Preset::Resilience4j)
    };
    // Polly opens at ten percent of failures; here it shall stay closed.
    let polly = BreakerSettings { failure_rate_threshold: Some(50.0), ..BreakerSettings::of(Preset::Polly) };
    let cases = [
        ("efp", BreakerSettings::default()),
        ("resilience4j, 100 calls", BreakerSettings::of(Preset::Resilience4j)),
        ("resilience4j, 60 s", by_time),
        ("polly", polly),
        ("aref", BreakerSettings::of(Preset::Aref)),
    ];
    for (name, settings) in cases {
        let Ok(mut breaker) = Breaker::new(&settings, START, rng()) else { continue };
        let (mut now, mut number) = (START, 0_i64);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                now += STEP;
                number += 1;
                if let Ok(permit) = breaker.acquire(now) {
                    let (failed, duration) = (number % 10 == 0, STEP);
                    let ended = Ended { number, failed, error: None, duration, confidence: None };
                    breaker.finish(permit, black_box(&ended), now);
                }
            });
        });
        assert_eq!(breaker.state(), State::Closed, "{name} measured something else");
    }
    group.finish();
}

/// The same call by a crate in wide use: it reads the clock itself, and can be called from many threads.
fn others(criterion: &mut Criterion) {
    use failsafe::CircuitBreaker as _;
    let mut group = criterion.benchmark_group("breaker/acquire+finish");
    let policy = failsafe::failure_policy::consecutive_failures(5, failsafe::backoff::constant(Duration::from_secs(1)));
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    let mut number = 0_u64;
    group.bench_function("failsafe", |bencher| {
        bencher.iter(|| {
            number += 1;
            black_box(breaker.call(|| if number.is_multiple_of(10) { Err(()) } else { Ok(()) })).is_ok()
        });
    });
    assert!(breaker.is_call_permitted(), "failsafe measured something else");
    let minute = Duration::from_secs(60);
    let backoff = failsafe::backoff::constant(Duration::from_secs(1));
    let policy = failsafe::failure_policy::success_rate_over_time_window(0.5, 10, minute, backoff);
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    group.bench_function("failsafe, success rate over 60 s", |bencher| {
        bencher.iter(|| {
            number += 1;
            black_box(breaker.call(|| if number.is_multiple_of(10) { Err(()) } else { Ok(()) })).is_ok()
        });
    });
    group.finish();
}

/// governor by itself, on a clock that stands where it is put, at twice the rate that it allows.
fn governor(criterion: &mut Criterion) {
    let clock = governor::clock::FakeRelativeClock::default();
    let burst = std::num::NonZeroU32::MIN;
    let quota = governor::Quota::with_period(STEP * 2).expect("a period").allow_burst(burst);
    let limiter = governor::RateLimiter::direct_with_clock(quota, clock.clone());
    let mut group = criterion.benchmark_group("limiter/check");
    group.bench_function("governor", |bencher| {
        bencher.iter(|| {
            clock.advance(STEP);
            black_box(limiter.check()).is_ok()
        });
    });
    group.finish();
}

/// What the chain pays: in and out of the middleware, with nobody listening.
fn middleware(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("middleware/enter+leave");
    let mut out = Outbox::new(EventMask::NONE, 0);
    for enabled in [true, false] {
        let config = BreakerConfig { enabled, ..BreakerConfig::default() };
        let Ok(mut breaker) = BreakerMiddleware::new(&config, START, rng()) else { continue };
        let name = if enabled { "circuit breaker" } else { "circuit breaker, off" };
        group.bench_function(name, |bencher| {
            bencher.iter(|| through(&mut breaker, &mut out));
        });
    }
    let config = BulkheadConfig { enabled: true, ..BulkheadConfig::default() };
    if let Ok(mut bulkhead) = BulkheadMiddleware::new(&config) {
        group.bench_function("bulkhead", |bencher| {
            bencher.iter(|| through(&mut bulkhead, &mut out));
        });
    }
    group.finish();
}

fn through(middleware: &mut impl Middleware, out: &mut Outbox) {
    let mut context = Context::new(0, black_box(15), RuleMask::NONE, START);
    if middleware.enter(&mut context, out) == fizzops::pipeline::Flow::Continue {
        context.answer(RuleMask::NONE, Source::Strategy);
        middleware.leave(&mut context, out);
    }
    black_box(context.outcome);
}

/// Limits at twice the rate that they allow: every second call is refused.
fn limiters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limiter/check");
    for algorithm in [Algorithm::Gcra, Algorithm::SlidingLog, Algorithm::WeightedWindow] {
        let burst = (algorithm == Algorithm::Gcra).then_some(1);
        let config = LimiterConfig { enabled: true, algorithm, limit: Rate::per_second(500_000), burst };
        let Ok(mut limiter) = Limiter::new(&config, START) else { continue };
        let mut now = START;
        group.bench_function(BenchmarkId::from_parameter(algorithm), |bencher| {
            bencher.iter(|| {
                now += STEP;
                black_box(limiter.check(now))
            });
        });
    }
    group.finish();
}

/// Two configurations over ten thousand calls of which a tenth in the middle fails.
fn replay(criterion: &mut Criterion) {
    let calls: Vec<RecordedCall> = (0..10_000_u64)
        .map(|place| RecordedCall {
            at: START + Duration::from_millis(place * 10),
            duration: Duration::from_millis(place % 25),
            verdict: if (4_500..5_500).contains(&place) { Verdict::Failure(None) } else { Verdict::Success },
            number: place as i64,
        })
        .collect();
    let mut group = criterion.benchmark_group("breaker/what_if");
    group.throughput(Throughput::Elements(calls.len() as u64));
    let recorded = Recorded::of(calls, 7);
    group.bench_function("efp against resilience4j", |bencher| {
        let (efp, r4j) = (BreakerSettings::default(), BreakerSettings::of(Preset::Resilience4j));
        bencher.iter(|| black_box(what_if(&recorded, &efp, &r4j)));
    });
    group.finish();
}

criterion_group!(benches, closed, others, middleware, limiters, governor, replay);
criterion_main!(benches);
