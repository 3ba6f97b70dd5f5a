//! How fast the engine is: ten million numbers through the chain on one core. The goal is that the whole chain, with every
//! in-memory middleware on, takes at most 10 s for them: 1 us an evaluation. Ratios between the rows of one run are what
//! to quote; machines are noisy.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot be set up stops")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fizzops::domain::Timestamp;
use fizzops::engine::{Engine, Options, Seed, Settings, WorkloadKind};

const NUMBERS: u64 = 1_000_000;

/// `NUMBERS` numbers drawn from 1..10 000 by Zipf, as fast as they go.
fn workload(mut settings: Settings) -> Settings {
    settings.workload.kind = WorkloadKind::Zipf;
    (settings.workload.from, settings.workload.to) = (1, 10_000);
    settings.workload.rate = 0;
    settings
}

/// Every mechanism on, chaos and ledger off.
fn in_memory() -> Settings {
    let mut settings = workload(Settings::everything());
    settings.blockchain.enabled = false;
    settings
}

fn run(mut engine: Engine) -> u64 {
    while engine.counts().evaluations < NUMBERS {
        let now = engine.next_due().unwrap_or(Timestamp::MAX);
        engine.advance(now, 2_048);
    }
    engine.counts().evaluations
}

fn chain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(NUMBERS)).sample_size(10).measurement_time(Duration::from_secs(15));
    let ledger = |difficulty| {
        let mut settings = workload(Settings::everything());
        settings.blockchain.difficulty = difficulty;
        settings
    };
    let chaos = || {
        let mut settings = in_memory();
        (settings.chaos.enabled, settings.chaos.level) = (true, 5);
        settings
    };
    let misses = || {
        let mut settings = in_memory();
        (settings.workload.kind, settings.workload.to) = (WorkloadKind::Range, i64::MAX);
        settings
    };
    let cases = [
        ("bare rules", workload(Settings::default())),
        ("whole chain", in_memory()),
        ("whole chain, no number twice", misses()),
        ("whole chain, ledger difficulty 0", ledger(0)),
        ("whole chain, ledger difficulty 2", ledger(2)),
    ];
    for (name, settings) in &cases {
        group.bench_with_input(BenchmarkId::new("wall clock", name), settings, |bencher, settings| {
            bencher.iter_batched(
                || Engine::new(settings, Options::live(Seed(7))).expect("the settings are possible"),
                |engine| assert!(black_box(run(engine)) >= NUMBERS),
                BatchSize::PerIteration,
            );
        });
    }
    for (name, settings) in [("whole chain", in_memory()), ("whole chain, chaos level 5", chaos())] {
        group.bench_with_input(BenchmarkId::new("virtual clock", name), &settings, |bencher, settings| {
            bencher.iter_batched(
                || Engine::new(settings, Options::simulated(7)).expect("the settings are possible"),
                |engine| assert!(black_box(run(engine)) >= NUMBERS),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, chain);
criterion_main!(benches);
