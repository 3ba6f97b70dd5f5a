//! The bulkhead's queue and the retries in the pipeline: counted by hand on the virtual clock, and over settings drawn
//! at random, where no evaluation may be lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fizzops::domain::{ErrorCode, Evaluation, EventMask, Outcome};
use fizzops::engine::drive::{Pace, Sinks, spawn};
use fizzops::engine::{Command, Engine, Options, Seed, Settings, Snapshot, WorkloadKind};
use fizzops::mechanisms::breaker::BreakerCommand;
use fizzops::mechanisms::chaos::{ChaosCommand, Fault};
use fizzops::mechanisms::limits::{BulkheadCommand, Interval, Jitter, RetryCommand};
use fizzops::mechanisms::strategy::StrategyKind;
use fizzops::pipeline::chain::LayerView;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// `numbers` numbers at `rate` a second, each answered in `answer_ms`.
fn settings(numbers: i64, rate: u32, answer_ms: u64) -> Settings {
    let mut settings = Settings::default();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.from, settings.workload.to, settings.workload.rate) = (1, numbers, rate);
    let service = &mut settings.virtual_clock.service_time;
    for time in
        [&mut service.min_us, &mut service.p50_us, &mut service.p90_us, &mut service.p99_us, &mut service.max_us]
    {
        *time = answer_ms * 1_000;
    }
    settings
}

fn bulkhead(settings: &mut Settings, max_concurrent: u32, max_queue: u32, max_wait_ms: u64) {
    let config = &mut settings.limits.bulkhead;
    config.enabled = true;
    (config.max_concurrent, config.max_queue, config.max_wait_ms) = (max_concurrent, max_queue, max_wait_ms);
}

/// Exceptions into `level` of evaluations (3 is 30 %), and retries after 20 ms without a budget.
fn failing(settings: &mut Settings, level: u8) {
    settings.chaos.enabled = true;
    settings.chaos.level = level;
    settings.chaos.fault_types = vec![Fault::ExceptionInjection];
    settings.limits.retry.enabled = true;
    settings.limits.retry.wait_ms = 20;
    settings.limits.retry.budget.enabled = false;
}

fn engine(settings: &Settings) -> Engine {
    Engine::new(settings, Options { results: true, ..Options::simulated(7) }).unwrap()
}

fn finish(engine: &mut Engine) -> Vec<Evaluation> {
    let mut results: Vec<_> = std::iter::from_fn(|| engine.next_result()).collect();
    while let Some(due) = engine.next_due() {
        assert!(due >= engine.now(), "time goes on");
        engine.advance(due, 1_000);
        results.extend(std::iter::from_fn(|| engine.next_result()));
    }
    assert!(engine.is_finished(), "nothing is left that would never come due");
    results
}

fn run(settings: &Settings) -> (Vec<Evaluation>, Snapshot) {
    let mut engine = engine(settings);
    let results = finish(&mut engine);
    (results, engine.snapshot())
}

fn micros(results: &[Evaluation]) -> Vec<u128> {
    results.iter().map(|result| result.duration.as_micros()).collect()
}

fn layer<'a>(snapshot: &'a Snapshot, name: &str) -> &'a LayerView {
    snapshot.pipeline.iter().find(|layer| layer.name == name).unwrap()
}

#[test]
fn a_burst_takes_the_places_then_the_queue_and_the_rest_is_refused() {
    // Eight at once, two places, three may wait, 10 ms an answer: two run, three wait, three are refused. At 10 ms two
    // of those who wait go on; the third would at 20 ms, but it waits 15 ms at most.
    let mut settings = settings(8, 0, 10);
    bulkhead(&mut settings, 2, 3, 15);
    let (results, snapshot) = run(&settings);
    let view = &snapshot.bulkhead;
    assert_eq!((view.accepted, view.rejected, view.expired, view.completed), (4, 3, 1, 4));
    assert_eq!((view.active, view.queued, view.peak), (0, 0, 2));
    assert_eq!((view.average_wait_ms, view.average_held_ms), (Some(10.0), Some(10.0)));
    let outcomes: Vec<_> = results.iter().map(|result| result.outcome).collect();
    assert_eq!(outcomes, [[Outcome::Ok; 4], [Outcome::Rejected; 4]].concat());
    // The expired one is refused as soon as it has waited more than 15 ms. Who is refused on arrival waits for nothing.
    assert_eq!(micros(&results), [10_000, 10_000, 20_000, 20_000, 15_000, 0, 0, 0]);
    assert_eq!(results[4].duration, Duration::from_nanos(15 * MS + 1));
    assert!(results[4..].iter().all(|result| result.error == Some(ErrorCode::BulkheadFull)));
    // 10 ms a call over two places; nobody knew that yet when the last three were refused.
    assert_eq!(results[4].retry_after, Some(Duration::from_millis(5)));
    assert_eq!(results[5].retry_after, None);
    // Two waited 10 ms, one 15 ms and a nanosecond: the wait is the bulkhead's latency.
    let layer = layer(&snapshot, "bulkhead");
    assert_eq!((layer.calls, layer.short_circuits, layer.delay_ns), (8, 4, 35 * MS + 1));
    assert_eq!((snapshot.latency.count, snapshot.in_flight), (4, 0), "four were let in");
    assert!(snapshot.latency.max_ns >= 20 * MS, "as the caller sees it: {:?}", snapshot.latency);
}

#[test]
fn a_steady_stream_waits_longer_and_longer_until_somebody_has_waited_too_long() {
    // One every 4 ms, two places, 10 ms an answer: pairs wait 0, 2 and 4 ms. The seventh comes at 24 ms and would begin
    // at 30 ms, after 6 ms; it gives up after 5 ms, and the next ones wait less again.
    let mut settings = settings(10, 250, 10);
    bulkhead(&mut settings, 2, 3, 5);
    let (results, snapshot) = run(&settings);
    let view = &snapshot.bulkhead;
    assert_eq!((view.accepted, view.rejected, view.expired), (9, 0, 1));
    let waits = [0, 0, 2, 2, 4, 4, 5, 2, 2, 4];
    let expected: Vec<u128> =
        (0..).zip(waits).map(|(place, wait)| if place == 6 { 5_000 } else { (wait + 10) * 1_000 }).collect();
    assert_eq!(micros(&results), expected);
    assert_eq!(results[6].outcome, Outcome::Rejected);
    assert!((view.average_wait_ms.unwrap() - 20.0 / 7.0).abs() < 1e-9);
}

#[test]
fn a_wait_for_a_place_counts_against_the_latency_objective() {
    let mut settings = settings(4, 0, 10);
    bulkhead(&mut settings, 1, 10, 1_000);
    settings.sla.enabled = true;
    settings.sla.slos.latency.threshold_ms = 25.0;
    let (results, snapshot) = run(&settings);
    assert_eq!(micros(&results), [10_000, 20_000, 30_000, 40_000]);
    let latency = &snapshot.slos.slos[0];
    assert_eq!((latency.name.as_str(), latency.session.good, latency.session.total), ("latency", 2, 4));
}

#[test]
fn the_breaker_does_not_take_a_wait_for_a_slow_answer() {
    let mut settings = settings(4, 0, 10);
    bulkhead(&mut settings, 1, 10, 1_000);
    settings.circuit_breaker.enabled = true;
    settings.circuit_breaker.call_timeout_ms = Some(15);
    let (results, _) = run(&settings);
    assert!(results.iter().all(|result| result.outcome == Outcome::Ok), "{results:?}");
    settings.circuit_breaker.call_timeout_ms = Some(5);
    let (results, snapshot) = run(&settings);
    assert!(results.iter().all(|result| result.outcome == Outcome::TimedOut), "{results:?}");
    assert_eq!(snapshot.breakers[0].totals.timeouts, 4);
}

#[test]
fn a_pause_a_command_and_the_end_find_those_who_wait() {
    let mut settings = settings(6, 0, 10);
    bulkhead(&mut settings, 1, 10, 1_000);
    let mut engine = engine(&settings);
    let began = engine.now();
    engine.advance(began + Duration::from_millis(5), 100);
    assert_eq!((engine.snapshot().bulkhead.queued, engine.snapshot().in_flight, engine.is_waiting()), (5, 6, true));
    engine.apply("test", Command::Pause).unwrap();
    engine.advance(began + Duration::from_millis(15), 100);
    assert_eq!((engine.counts().evaluations, engine.snapshot().bulkhead.queued), (1, 4), "those who wait go on");
    let two = BulkheadCommand::MaxConcurrent { max_concurrent: 2 };
    engine.apply("test", Command::Bulkhead(two)).unwrap();
    assert_eq!(engine.next_due(), Some(engine.now()), "there is a place at once");
    engine.advance(engine.now(), 100);
    assert_eq!(engine.snapshot().bulkhead.queued, 3);
    engine.apply("test", Command::Bulkhead(BulkheadCommand::Disable)).unwrap();
    engine.advance(engine.now(), 100);
    assert_eq!((engine.snapshot().bulkhead.queued, engine.snapshot().bulkhead.active), (0, 5));
    engine.apply("test", Command::Stop).unwrap();
    assert!(!engine.is_finished());
    let results = finish(&mut engine);
    assert_eq!(results.len(), 6);
    assert!(results.iter().all(|result| result.outcome == Outcome::Ok));
    assert_eq!(engine.snapshot().bulkhead.active, 0);
}

#[test]
fn a_session_that_is_stopped_finishes_who_waits_for_a_place() {
    let mut settings = settings(6, 0, 10);
    bulkhead(&mut settings, 2, 2, 12);
    let mut engine = engine(&settings);
    engine.advance(engine.now(), 5);
    engine.apply("test", Command::Stop).unwrap();
    let results = finish(&mut engine);
    let of = |outcome| results.iter().filter(|result| result.outcome == outcome).count();
    assert_eq!((results.len(), of(Outcome::Ok), of(Outcome::Rejected)), (5, 4, 1));
}

#[test]
fn three_attempts_turn_thirty_percent_of_failures_into_three() {
    let mut settings = settings(20_000, 1_000, 1);
    failing(&mut settings, 3);
    let (results, snapshot) = run(&settings);
    let failed = snapshot.counts.of(Outcome::Failed);
    // 0.3 ^ 3 of 20 000 is 540, with a standard deviation of 23.
    assert!((440..640).contains(&failed), "{failed}");
    let retry = &snapshot.retry;
    assert_eq!((retry.requests, retry.exhausted, retry.over_budget), (20_000, failed, 0));
    let attempts: u64 = results.iter().map(|result| u64::from(result.attempts)).sum();
    assert_eq!(attempts, retry.requests + retry.retries);
    let saved = results.iter().filter(|result| result.attempts > 1 && result.outcome == Outcome::Ok).count();
    assert_eq!(saved as u64, retry.recovered);
    // What a saved one waited for: every attempt (a failed one takes the shortest time) and the waits between them.
    for result in &results {
        let attempts = u64::from(result.attempts);
        assert_eq!(result.duration.as_nanos(), u128::from(attempts * MS + (attempts - 1) * 20 * MS));
        assert_eq!(result.faults != 0, attempts > 1, "the faults of earlier attempts are not forgotten");
        assert_eq!(result.correct, result.outcome == Outcome::Ok);
    }
    assert_eq!((layer(&snapshot, "flags").calls, layer(&snapshot, "slo").calls), (20_000, 20_000), "outside: one each");
    assert_eq!((layer(&snapshot, "retry").calls, layer(&snapshot, "chaos").calls), (20_000, attempts));
    assert_eq!(layer(&snapshot, "retry").delay_ns, retry.retries * 20 * MS);
    assert_eq!(snapshot.latency.count, 20_000, "an evaluation has one latency");
}

#[test]
fn retries_never_exceed_their_budget() {
    let mut settings = settings(10_000, 1_000, 1);
    failing(&mut settings, 4);
    settings.limits.retry.budget.enabled = true;
    (settings.limits.retry.budget.ratio, settings.limits.retry.budget.min_per_second) = (0.1, 0);
    let (_, snapshot) = run(&settings);
    let retry = snapshot.retry;
    assert!((950..=1_000).contains(&retry.retries), "half of them fail and want more: {}", retry.retries);
    assert!(retry.over_budget > 3_000, "{}", retry.over_budget);
    assert!(retry.amplification.unwrap() <= 1.1);
}

#[test]
fn the_breaker_sees_each_attempt_and_its_refusal_is_final() {
    let mut settings = settings(2_000, 1_000, 1);
    failing(&mut settings, 3);
    settings.circuit_breaker.enabled = true;
    let mut watched = engine(&settings);
    watched.apply("test", Command::Breaker(BreakerCommand::MetricsOnly { circuit: None })).unwrap();
    finish(&mut watched);
    let snapshot = watched.snapshot();
    let totals = snapshot.breakers[0].totals;
    assert_eq!(totals.calls, 2_000 + snapshot.retry.retries);
    assert_eq!(totals.failures, snapshot.retry.retries + snapshot.retry.exhausted);

    failing(&mut settings, 5);
    let (results, snapshot) = run(&settings);
    let refused: Vec<_> = results.iter().filter(|result| result.error == Some(ErrorCode::CircuitOpen)).collect();
    assert!(refused.iter().all(|result| result.outcome == Outcome::Rejected && result.retry_after.is_some()));
    assert!(refused.iter().any(|result| result.attempts > 1 && result.duration > Duration::from_millis(20)));
    assert!(refused.iter().any(|result| result.attempts == 1 && result.duration.is_zero()));
    assert_eq!(snapshot.breakers[0].totals.rejections, refused.len() as u64, "no second try after a refusal");
}

#[test]
fn a_place_is_held_through_all_attempts() {
    // One place: the second evaluation begins when the first has failed three times, at 1 + 20 + 1 + 20 + 1 ms.
    let mut settings = settings(2, 0, 1);
    failing(&mut settings, 5);
    bulkhead(&mut settings, 1, 1, 1_000);
    // Four in five attempts fail: among a few seeds there is one where all six do.
    let failed = (0..100).find_map(|seed| {
        settings.chaos.seed = Some(seed);
        Some(run(&settings)).filter(|(results, _)| results.iter().all(|result| result.outcome == Outcome::Failed))
    });
    let (results, snapshot) = failed.unwrap();
    assert_eq!(results.iter().map(|result| result.attempts).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(micros(&results), [43_000, 86_000]);
    assert_eq!((snapshot.bulkhead.peak, snapshot.bulkhead.average_held_ms), (1, Some(43.0)));
}

#[test]
fn only_named_outcomes_are_repeated() {
    let mut settings = settings(500, 1_000, 1);
    failing(&mut settings, 5);
    settings.chaos.fault_types = vec![Fault::LatencyInjection];
    settings.engine.timeout_ms = 100;
    let (results, snapshot) = run(&settings);
    assert!(results.iter().any(|result| result.attempts == 3 && result.outcome == Outcome::TimedOut));
    assert!(snapshot.retry.recovered > 0);
    settings.limits.retry.retry_on = vec![Outcome::Failed];
    let (results, snapshot) = run(&settings);
    assert!(results.iter().all(|result| result.attempts == 1));
    assert_eq!(snapshot.retry.retries, 0);
}

#[test]
fn a_session_that_is_stopped_ends_those_between_two_attempts_as_they_failed() {
    let mut settings = settings(20, 0, 1);
    failing(&mut settings, 5);
    (settings.limits.retry.wait_ms, settings.limits.retry.max_wait_ms) = (3_600_000, 3_600_000);
    let mut engine = engine(&settings);
    let began = engine.now();
    engine.advance(began + Duration::from_secs(2), 1_000);
    let waiting = engine.snapshot().in_flight;
    assert!(waiting > 10 && engine.snapshot().retry.retries == waiting);
    engine.apply("test", Command::Pause).unwrap();
    engine.apply("test", Command::Stop).unwrap();
    let results = finish(&mut engine);
    assert_eq!((results.len(), engine.now()), (20, began + Duration::from_secs(2)));
    let failed: Vec<_> = results.iter().filter(|result| result.outcome == Outcome::Failed).collect();
    assert_eq!((failed.len() as u64, engine.snapshot().retry.retries), (waiting, 0));
    assert!(failed.iter().all(|result| result.attempts == 1 && result.duration == Duration::from_secs(2)));
}

#[test]
fn retries_are_ordered_while_the_session_runs() {
    let mut settings = settings(3_000, 1_000, 1);
    failing(&mut settings, 3);
    settings.limits.retry.enabled = false;
    let mut engine = engine(&settings);
    let began = engine.now();
    engine.advance(began + Duration::from_secs(1), usize::MAX);
    assert_eq!((engine.snapshot().retry.requests, layer(&engine.snapshot(), "retry").delay_ns), (0, 0));
    engine.apply("test", Command::Retry(RetryCommand::Enable)).unwrap();
    engine.advance(began + Duration::from_secs(2), usize::MAX);
    assert!(engine.snapshot().retry.retries > 250);
    engine.apply("test", Command::Retry(RetryCommand::Disable)).unwrap();
    let results = finish(&mut engine);
    assert_eq!(results.len(), 3_000);
    let tried = |from: usize, to: usize| results[from..to].iter().map(|result| result.attempts).max();
    assert_eq!((tried(0, 900), tried(1_100, 1_900), tried(2_100, 3_000)), (Some(0), Some(3), Some(0)));
    let refused = engine.apply("test", Command::Retry(RetryCommand::MaxAttempts { max_attempts: 0 }));
    assert!(refused.is_err(), "the session is over");
}

/// Settings with everything that can hold an evaluation up or end it early.
fn drawn() -> impl Strategy<Value = Settings> {
    let limits = (any::<bool>(), 1_u32..6, 0_u32..6, 1_u64..60);
    let jitters = vec![Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Randomized];
    let intervals = vec![Interval::Fixed, Interval::Linear, Interval::Exponential];
    let retry = (any::<bool>(), 1_u32..6, 0_u64..50, any::<bool>(), prop::sample::select(jitters));
    let more = (prop::sample::select(intervals), 1_usize..20, prop::sample::select(vec![0, 200, 2_000]), 1_u64..8);
    let chaos = (0_u8..6, prop::sample::subsequence(Fault::ALL.to_vec(), 1..=5), any::<bool>(), any::<bool>());
    (limits, retry, more, chaos).prop_map(|(limits, retry, more, chaos)| {
        let mut settings = settings(150, more.2, more.3);
        (settings.limits.bulkhead.enabled, settings.limits.limiter.enabled) = (limits.0, chaos.3);
        bulkhead(&mut settings, limits.1, limits.2, limits.3);
        settings.limits.bulkhead.enabled = limits.0;
        settings.engine.max_concurrent_evaluations = more.1;
        settings.engine.timeout_ms = 200;
        (settings.chaos.enabled, settings.chaos.level) = (chaos.0 > 0, chaos.0.max(1));
        settings.chaos.fault_types = chaos.1;
        (settings.circuit_breaker.enabled, settings.cache.enabled) = (chaos.2, chaos.3);
        let config = &mut settings.limits.retry;
        (config.enabled, config.max_attempts, config.wait_ms) = (retry.0, retry.1, retry.2);
        (config.budget.enabled, config.jitter, config.interval) = (retry.3, retry.4, more.0);
        (config.budget.ratio, config.budget.min_per_second) = (0.25, 0);
        settings
    })
}

fn orders() -> impl Strategy<Value = Vec<(u64, Command)>> {
    let orders = vec![
        Command::Pause,
        Command::Resume,
        Command::Resume,
        Command::Step { count: 3 },
        Command::Stop,
        Command::Bulkhead(BulkheadCommand::Enable),
        Command::Bulkhead(BulkheadCommand::Disable),
        Command::Bulkhead(BulkheadCommand::MaxConcurrent { max_concurrent: 1 }),
        Command::Bulkhead(BulkheadCommand::MaxConcurrent { max_concurrent: 9 }),
        Command::Bulkhead(BulkheadCommand::Reset),
        Command::Retry(RetryCommand::Enable),
        Command::Retry(RetryCommand::Disable),
        Command::Retry(RetryCommand::MaxAttempts { max_attempts: 2 }),
        Command::Chaos(ChaosCommand::SetLevel { level: 4 }),
        Command::Chaos(ChaosCommand::Disarm),
    ];
    prop::collection::vec((0_u64..80, prop::sample::select(orders)), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is configured: each number that was admitted has exactly one result, and nothing is held any more.
    #[test]
    fn no_evaluation_is_lost(settings in drawn()) {
        let (results, snapshot) = run(&settings);
        prop_assert_eq!(results.len(), 150);
        for (place, result) in results.iter().enumerate() {
            prop_assert_eq!((result.sequence, result.number), (place as u64, place as i64 + 1));
        }
        let view = &snapshot.bulkhead;
        prop_assert_eq!((view.active, view.queued, snapshot.in_flight), (0, 0, 0));
        prop_assert_eq!(view.accepted, view.completed);
        prop_assert!(!view.enabled || view.peak <= view.max_concurrent);
        let refused = results.iter().filter(|result| result.error == Some(ErrorCode::BulkheadFull)).count();
        prop_assert_eq!(refused as u64, view.rejected + view.expired);
        let retry = &snapshot.retry;
        let attempts: u64 = results.iter().map(|result| u64::from(result.attempts)).sum();
        prop_assert_eq!(attempts, retry.requests + retry.retries);
        if settings.limits.retry.enabled && settings.limits.retry.budget.enabled {
            prop_assert!(retry.retries * 4 <= retry.requests, "{} of {}", retry.retries, retry.requests);
        }
        prop_assert_eq!(results, run(&settings).0, "the same again");
    }

    /// The same, with an operator who gets in the way.
    #[test]
    fn no_evaluation_is_lost_whatever_is_ordered(settings in drawn(), orders in orders()) {
        let mut engine = engine(&settings);
        for (wait_ms, order) in orders {
            engine.advance(engine.now() + Duration::from_millis(wait_ms), usize::MAX);
            // What comes too late is refused.
            let _ = engine.apply("test", order);
        }
        let _ = engine.apply("test", Command::Resume);
        let results = finish(&mut engine);
        for (place, result) in results.iter().enumerate() {
            prop_assert_eq!((result.sequence, result.number), (place as u64, place as i64 + 1));
        }
        let snapshot = engine.snapshot();
        prop_assert_eq!(results.len() as u64, snapshot.counts.evaluations);
        prop_assert_eq!((snapshot.bulkhead.active, snapshot.bulkhead.queued, snapshot.in_flight), (0, 0, 0));
    }
}

#[test]
fn a_session_with_retries_and_a_queue_repeats_frame_by_frame() {
    let frames = || {
        let mut settings = Settings::everything();
        settings.workload.kind = WorkloadKind::Range;
        (settings.workload.to, settings.workload.rate) = (2_000, 2_000);
        failing(&mut settings, 4);
        settings.chaos.fault_types = Fault::ALL.to_vec();
        settings.limits.retry.jitter = Jitter::Decorrelated;
        bulkhead(&mut settings, 20, 30, 200);
        let options = Options { events: EventMask::ALL, event_limit: usize::MAX, ..Options::simulated(11) };
        let mut engine = Engine::new(&settings, options).unwrap();
        let mut frames = Vec::new();
        while let Some(due) = engine.next_due() {
            engine.advance(due + Duration::from_millis(100), usize::MAX);
            frames.push(serde_json::to_string(&engine.frame()).unwrap());
        }
        let snapshot = engine.snapshot();
        assert!(snapshot.bulkhead.expired + snapshot.bulkhead.rejected > 0 && snapshot.retry.recovered > 0);
        frames
    };
    assert_eq!(frames(), frames());
}

#[tokio::test]
async fn on_the_wall_clock_too_every_number_has_its_result() {
    let mut settings = settings(300, 0, 1);
    failing(&mut settings, 3);
    settings.engine.strategy = StrategyKind::ParallelAsync;
    (settings.limits.retry.wait_ms, settings.limits.retry.jitter) = (2, Jitter::Full);
    bulkhead(&mut settings, 4, 400, 60_000);
    let results = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&results);
    let taken = Box::new(move |evaluation| {
        sink.lock().unwrap().push(evaluation);
        std::ops::ControlFlow::Continue(())
    });
    let engine = Engine::new(&settings, Options { results: true, ..Options::live(Seed(7)) }).unwrap();
    let (_remote, task) = spawn(engine, Pace::Unpaced, Sinks { result: Some(taken), ..Sinks::default() });
    let mut engine = task.await.unwrap();
    let snapshot = engine.snapshot();
    let results = results.lock().unwrap();
    assert_eq!((results.len(), engine.counts().evaluations), (300, 300));
    assert!(results.iter().zip(0_u64..).all(|(result, place): (&Evaluation, u64)| result.sequence == place));
    assert_eq!((snapshot.bulkhead.peak, snapshot.bulkhead.active, snapshot.bulkhead.rejected), (4, 0, 0));
    assert!(snapshot.retry.retries > 30 && layer(&snapshot, "bulkhead").delay_ns > 0);
}
