//! What it costs to tell the service levels of an evaluation, beside hdrhistogram's record alone.

#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, reason = "a bench")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use fizzops::domain::{EventMask, RuleSet, Source, Timestamp};
use fizzops::mechanisms::slo::{Observation, SloConfig, SloMiddleware, Slos};
use fizzops::pipeline::{Context, Middleware, Outbox};
use hdrhistogram::Histogram;

const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// At a million evaluations a second.
const STEP: Duration = Duration::from_micros(1);
/// As on the virtual clock of a month: ten a second, so that every tenth evaluation begins another second.
const SLOW: Duration = Duration::from_millis(100);

fn slos() -> Slos {
    Slos::new(&SloConfig { enabled: true, ..SloConfig::default() }, START).expect("the defaults are possible")
}

/// Every hundredth evaluation is wrong, every thousandth fails, latencies vary.
fn observation(number: u64) -> Observation {
    let latency = Duration::from_nanos(number * 7_919 % 150_000_000);
    match number {
        n if n.is_multiple_of(1_000) => Observation::failed(latency),
        n => Observation::answered(!n.is_multiple_of(100), latency),
    }
}

fn record(criterion: &mut Criterion) {
    let observations: Vec<Observation> = (0..4_096).map(observation).collect();
    let mut group = criterion.benchmark_group("slo/record");
    for (name, step) in [("three objectives, 1 000 000/s", STEP), ("three objectives, 10/s", SLOW)] {
        let (mut slos, mut now, mut at) = (slos(), START, 0_usize);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                now += step;
                at = (at + 1) & 4_095;
                slos.record(black_box(&observations[at]), now);
            });
        });
    }
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are possible");
    let mut at = 0_usize;
    group.bench_function("hdrhistogram alone", |bencher| {
        bencher.iter(|| {
            at = (at + 1) & 4_095;
            histogram.record(black_box(observations[at].latency_ns + 1)).expect("it is within the bounds");
        });
    });
    group.finish();
    ratio(&observations, &mut histogram);
}

/// Both in turns, so that whatever else the machine does meets both; medians of the rounds.
fn ratio(observations: &[Observation], histogram: &mut Histogram<u64>) {
    const ROUNDS: usize = 201;
    const COUNT: u32 = 100_000;
    let (mut slos, mut now) = (slos(), START);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for at in 0..COUNT as usize {
            now += STEP;
            slos.record(black_box(&observations[at & 4_095]), now);
        }
        ours.push(begin.elapsed());
        let begin = Instant::now();
        for at in 0..COUNT as usize {
            histogram.record(black_box(observations[at & 4_095].latency_ns + 1)).expect("it is within the bounds");
        }
        theirs.push(begin.elapsed());
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    let each = |times: &[Duration]| times[ROUNDS / 2].as_nanos() as f64 / f64::from(COUNT);
    let (ours, theirs) = (each(&ours), each(&theirs));
    println!("slo/ratio: three objectives {ours:.1} ns, hdrhistogram {theirs:.1} ns, ratio {:.2}", ours / theirs);
}

/// What the chain pays: the right answer found, three objectives told.
fn middleware(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slo/leave");
    let rules = Arc::new(RuleSet::classic());
    for enabled in [true, false] {
        let config = SloConfig { enabled, ..SloConfig::default() };
        let mut slo = SloMiddleware::new(&config, Arc::clone(&rules), START).expect("the defaults are possible");
        let mut out = Outbox::new(EventMask::NONE, 0);
        let mut context = Context::new(0, 0, rules.all(), START);
        let name = if enabled { "with the right answer" } else { "the right answer alone (off)" };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                context.now += STEP;
                context.number = (context.number + 1) & 4_095;
                context.answer(rules.matches(black_box(context.number), rules.all()), Source::Strategy);
                slo.leave(&mut context, &mut out);
                black_box(context.correct)
            });
        });
    }
    group.finish();
}

/// A look at every rule of three objectives, and the figures for a frame.
fn look(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slo/look");
    let (mut slos, mut now) = (slos(), START);
    let mut out = Outbox::new(EventMask::NONE, 0);
    let observations: Vec<Observation> = (0..4_096).map(|number| observation(number * 2 + 1)).collect();
    group.bench_function("check", |bencher| {
        bencher.iter(|| {
            now += Duration::from_millis(250);
            slos.record(&observations[now.as_millis() as usize & 4_095], now);
            slos.check(now, &mut out);
        });
    });
    group.bench_function("view", |bencher| bencher.iter(|| black_box(slos.view(now))));
    group.finish();
}

criterion_group!(benches, record, middleware, look);
criterion_main!(benches);
