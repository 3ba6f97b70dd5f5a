//! What flags cost per evaluation: the predefined seven, a flagd rule, and the logic crate alone beside it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot be set up stops")]

use std::hint::black_box;
use std::time::Instant;

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
    for (name, numbers) in [("10 000 numbers", 10_000), ("a million numbers, each a new one", 1_000_000)] {
        group.bench_function(format!("the seven predefined, {name}"), |bencher| {
            bencher.iter(|| {
                number = (number + 1) % numbers;
                set.evaluate_all(black_box(number), NOW);
            });
        });
    }
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

    side_by_side();
}

/// The best of many short turns of each, one after the other, so that a slow moment of the machine hits all of them or
/// none; nanoseconds.
fn side_by_side() {
    let config = FlagsConfig { enabled: true, ..FlagsConfig::default() };
    let mut set = FlagSet::of(&config.predefined_flags, &rules()).unwrap();
    let mut native = FlagsMiddleware::new(&config, &rules()).unwrap();
    let mut flags = of_file(Generation::V3);
    let mut alone = Alone::new();
    let mut out = Outbox::new(EventMask::NONE, 0);
    let all = rules().all();
    let mut context = Context::new(0, 0, all, NOW);
    let mut best = [f64::MAX; 5];
    for turn in 0..2_000_i64 {
        const CALLS: i64 = 500;
        let mut timed = |which: usize, call: &mut dyn FnMut(i64)| {
            let began = Instant::now();
            (turn * CALLS..(turn + 1) * CALLS).for_each(call);
            let nanos = began.elapsed().as_nanos() as f64 / CALLS as f64;
            if let Some(best) = best.get_mut(which) {
                *best = best.min(nanos);
            }
        };
        timed(0, &mut |number| set.evaluate_all(black_box(number), NOW));
        timed(4, &mut |number| set.evaluate_all(black_box(number % 500 + 1), NOW));
        timed(1, &mut |number| {
            context.number = number;
            context.rules = all;
            let _ = native.enter(black_box(&mut context), &mut out);
        });
        timed(2, &mut |number| {
            context.number = number;
            context.rules = all;
            let _ = flags.enter(black_box(&mut context), &mut out);
        });
        timed(3, &mut |number| {
            black_box(alone.evaluate(black_box(number)));
        });
    }
    let [seven, deciding, flagd, alone, again] = best;
    println!("flags, best of 2 000 turns, each number a new one unless said otherwise:");
    println!("  the seven predefined            {seven:6.1} ns");
    println!("  the same, 500 numbers again     {again:6.1} ns");
    println!("  the middleware with them        {deciding:6.1} ns");
    println!("  a condition and fractional v3   {flagd:6.1} ns, {:.2} times datalogic-rs alone", flagd / alone);
    println!("  datalogic-rs alone              {alone:6.1} ns");
}

criterion_group!(benches, native, flagd);
criterion_main!(benches);
