//! What flags cost per evaluation: the predefined seven, a flagd rule, and the logic crate alone beside it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot be set up stops")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use datalogic_rs::bumpalo::Bump;
use datalogic_rs::{DataValue, Engine};
use fizzops::domain::{EventMask, Rule, RuleSet, Timestamp};
use fizzops::mechanisms::flags::flagd::{Definitions, Generation};
use fizzops::mechanisms::flags::{FlagSet, FlagsConfig, FlagsMiddleware};
use fizzops::pipeline::{Context, Middleware, Outbox};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn rules() -> RuleSet {
    let mut rules = RuleSet::classic().rules().to_vec();
    rules.push(Rule::new("WuzzRule", 7, "Wuzz", 3));
    RuleSet::new(rules).unwrap()
}

/// One flag with `fractional` and one condition.
fn file() -> String {
    let rule = r#"{"if": [{"==": [{"var": "locale"}, "en"]}, {"fractional": [{"var": "targetingKey"}, ["on", 30], ["off", 70]]}, "off"]}"#;
    format!(
        r#"{{"flags": {{"wuzz": {{"state": "ENABLED", "variants": {{"on": true, "off": false}}, "defaultVariant": "off",
            "targeting": {rule}, "metadata": {{"fizzops.rule": "Wuzz"}}}}}}}}"#
    )
}

fn native(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flags/native");
    let config = FlagsConfig { enabled: true, ..FlagsConfig::default() };
    let mut set = FlagSet::of(&config.predefined_flags, &rules()).unwrap();
    let mut number = 0_i64;
    group.bench_function("the seven predefined, one number", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % 1_000_000;
            set.evaluate_all(black_box(number), NOW);
        });
    });
    let mut flags = FlagsMiddleware::new(&config, &rules()).unwrap();
    let mut out = Outbox::new(EventMask::NONE, 0);
    let all = rules().all();
    let mut context = Context::new(0, 0, all, NOW);
    group.bench_function("middleware, those that decide a rule", |bencher| {
        bencher.iter(|| {
            context.number = (context.number + 1) % 1_000_000;
            context.rules = all;
            flags.enter(black_box(&mut context), &mut out)
        });
    });
    group.finish();
}

/// The logic crate alone: the same condition and the same value to choose by, without flags, buckets or counts.
struct Alone {
    engine: Engine,
    logic: datalogic_rs::Logic,
    arena: Bump,
}

impl Alone {
    fn new() -> Self {
        let engine = Engine::new();
        let rule = r#"{"if": [{"==": [{"var": "locale"}, "en"]}, {"var": "targetingKey"}, "off"]}"#;
        Self { logic: engine.compile(rule).unwrap(), engine, arena: Bump::new() }
    }

    fn evaluate(&mut self, number: i64) -> usize {
        self.arena.reset();
        let arena = &self.arena;
        let entries: &[_] = arena.alloc_slice_copy(&[
            ("number", DataValue::from_i64(number)),
            ("targetingKey", DataValue::String("14")),
            ("strategy", DataValue::String("standard")),
            ("locale", DataValue::String("en")),
        ]);
        let found = self.engine.evaluate(&self.logic, DataValue::Object(entries), arena).unwrap();
        found.as_str().map_or(0, str::len)
    }
}

fn of_file(generation: Generation) -> FlagsMiddleware {
    let config = FlagsConfig { enabled: true, ..FlagsConfig::default() };
    let mut flags = FlagsMiddleware::new(&config, &rules()).unwrap();
    flags.load(&Definitions::parse(&file(), "flags.json", generation).unwrap()).unwrap();
    flags.attribute("strategy", "standard");
    flags.attribute("locale", "en");
    flags
}

fn flagd(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flags/flagd");
    let mut out = Outbox::new(EventMask::NONE, 0);
    let all = rules().all();
    let mut context = Context::new(0, 0, all, NOW);
    for generation in Generation::ALL {
        let mut flags = of_file(generation);
        group.bench_function(format!("a condition and fractional {generation}"), |bencher| {
            bencher.iter(|| {
                context.number = (context.number + 1) % 1_000_000;
                context.rules = all;
                flags.enter(black_box(&mut context), &mut out)
            });
        });
    }
    let mut alone = Alone::new();
    group.bench_function("datalogic-rs alone, the condition", |bencher| bencher.iter(|| alone.evaluate(black_box(14))));
    group.finish();

    // Side by side in turns, so that a slow moment hits both; the best of each.
    let mut flags = of_file(Generation::V3);
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    const TURNS: u32 = 50_000;
    for _ in 0..40 {
        let began = Instant::now();
        for _ in 0..TURNS {
            context.number = (context.number + 1) % 1_000_000;
            context.rules = all;
            black_box(flags.enter(black_box(&mut context), &mut out));
        }
        ours = ours.min(began.elapsed());
        let began = Instant::now();
        for number in 0..TURNS {
            black_box(alone.evaluate(black_box(i64::from(number))));
        }
        theirs = theirs.min(began.elapsed());
    }
    let nanos = |time: Duration| time.as_nanos() as f64 / f64::from(TURNS);
    println!(
        "flags/flagd: {:.0} ns with fractional v3, {:.0} ns datalogic-rs alone: {:.2} times as long",
        nanos(ours),
        nanos(theirs),
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

criterion_group!(benches, native, flagd);
criterion_main!(benches);
