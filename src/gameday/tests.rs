use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::{EventMask, Kind, Timestamp};
use crate::engine::director::{DrillView, Standing, Verdict};
use crate::engine::workload::WorkloadKind;
use crate::engine::{Command, Engine, Options, Settings};
use crate::mechanisms::chaos::{ChaosCommand, Fault};

fn engine(seed: u64, scenarios: Scenarios, numbers: i64) -> Engine {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    settings.workload.to = numbers;
    made(seed, &settings, scenarios)
}

fn made(seed: u64, settings: &Settings, scenarios: Scenarios) -> Engine {
    let options =
        Options { playbook: Some(Arc::new(scenarios)), events: EventMask::operations(), ..Options::simulated(seed) };
    Engine::new(settings, options).unwrap()
}

/// Until the drill is over, or `evaluations` were made.
fn run(engine: &mut Engine, evaluations: u64) {
    while engine.counts().evaluations < evaluations
        && engine.drill().is_none_or(|drill| drill.verdict == Verdict::Running)
    {
        let Some(due) = engine.next_due() else { break };
        engine.advance(due, 1);
    }
}

/// Until the drill is over, in large steps.
fn run_out(engine: &mut Engine) -> DrillView {
    while engine.drill().is_some_and(|drill| drill.verdict == Verdict::Running) {
        let Some(due) = engine.next_due() else { break };
        engine.advance(due + std::time::Duration::from_secs(1), 100_000);
    }
    engine.drill().unwrap()
}

fn start(engine: &mut Engine, name: &str) {
    engine.apply("test", Command::StartGameDay { name: name.into() }).unwrap();
}

/// As `gameday run` does it.
fn by_itself(scenario: &Scenario, seed: u64) -> Engine {
    let mut base = Settings::everything();
    base.workload.kind = WorkloadKind::Range;
    base.workload.to = i64::MAX;
    base.engine.max_concurrent_evaluations = 1;
    let settings = scenario.settings(&base).unwrap();
    let mut engine = made(seed, &settings, Scenarios { scenarios: vec![scenario.clone()] });
    start(&mut engine, &scenario.name);
    engine
}

/// Nothing of a drill is left in force.
fn is_reverted(engine: &mut Engine) {
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.chaos.level, 0, "chaos is off");
    assert_eq!(snapshot.chaos.injections, [], "no injection is in force");
    assert!(!snapshot.bulkhead.enabled || snapshot.bulkhead.max_concurrent > 3, "the bulkhead has its places");
}

fn shipped_over(seeds: std::ops::Range<u64>, chosen: impl Fn(&Scenario) -> bool) {
    let scenarios = Scenarios::built_in().unwrap();
    for scenario in scenarios.all().iter().filter(|scenario| chosen(scenario)) {
        for seed in seeds.clone() {
            let mut engine = by_itself(scenario, seed);
            let drill = run_out(&mut engine);
            let wanted = scenario.announces.verdict();
            assert_eq!(drill.verdict, wanted, "{} with seed {seed}: {}", scenario.name, drill.reason);
            is_reverted(&mut engine);
        }
    }
}

fn is_long(scenario: &Scenario) -> bool {
    scenario.name == "month_of_slow_burn"
}

#[test]
fn every_shipped_scenario_comes_to_the_verdict_that_it_announces_over_twenty_seeds() {
    assert_eq!(Scenarios::built_in().unwrap().all().len(), 13);
    shipped_over(0..20, |scenario| !is_long(scenario));
    shipped_over(0..1, is_long);
}

#[test]
#[ignore = "a month of evaluations for each of twenty seeds"]
fn the_month_comes_to_its_verdict_over_twenty_seeds() {
    shipped_over(0..20, is_long);
}

fn pure(chosen: impl Fn(&Scenario) -> bool) {
    for scenario in Scenarios::built_in().unwrap().all().iter().filter(|scenario| chosen(scenario)) {
        for seed in 0..3 {
            let bytes = || {
                let mut engine = by_itself(scenario, seed);
                run_out(&mut engine);
                (serde_json::to_string(&engine.frame()).unwrap(), engine.ledger_head())
            };
            // Side by side: what one does must not reach the other.
            let (first, second) = std::thread::scope(|scope| {
                let other = scope.spawn(bytes);
                (bytes(), other.join().unwrap())
            });
            assert!(first == second, "{} with seed {seed} differs from itself", scenario.name);
        }
    }
}

#[test]
fn a_drill_is_a_pure_function_of_its_inputs() {
    pure(|scenario| !is_long(scenario));
}

#[test]
fn a_month_is_a_pure_function_of_its_inputs() {
    pure(is_long);
}

#[test]
fn each_phase_arms_its_own_faults() {
    let scenarios = Scenarios::built_in().unwrap();
    let mut engine = engine(7, scenarios, 1_000_000);
    start(&mut engine, "modulo_meltdown");
    run(&mut engine, 100_000);
    let events = engine.frame().events;
    let armed: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == Kind::ChaosMonkeyActivated)
        .map(|event| serde_json::to_value(&event.payload).unwrap()["payload"]["level"].as_u64().unwrap())
        .collect();
    // Each phase ends with what it armed being taken back.
    assert_eq!(armed, [0, 1, 0, 3, 0, 5, 0][1..]);
}

#[test]
fn an_aborted_drill_leaves_nothing_armed_says_who_and_looks_whether_all_is_well_again() {
    let scenarios = Scenarios::built_in().unwrap();
    let mut engine = engine(7, scenarios, 1_000_000);
    start(&mut engine, "total_chaos");
    run(&mut engine, 15);
    assert_ne!(engine.snapshot().chaos.level, 0);
    assert!(engine.apply("test", Command::StartGameDay { name: "slow_burn".into() }).is_err(), "one at a time");
    engine.apply("ann", Command::AbortGameDay).unwrap();
    is_reverted(&mut engine);
    assert_eq!(engine.drill().unwrap().verdict, Verdict::Running, "it watches whether the steady state returns");
    run(&mut engine, 1_000_000);
    let drill = engine.drill().unwrap();
    assert_eq!(drill.verdict, Verdict::Aborted);
    assert!(drill.reason.contains("by ann") && drill.reason.contains("steady state"), "{}", drill.reason);
    assert!(drill.expectations.last().unwrap().standing != Standing::Pending);
    assert!(engine.apply("ann", Command::AbortGameDay).is_err());
}

#[test]
fn the_end_of_the_session_ends_the_drill_and_takes_back_its_faults() {
    let mut engine = engine(7, Scenarios::built_in().unwrap(), 20);
    start(&mut engine, "total_chaos");
    run(&mut engine, 1_000);
    assert!(engine.is_finished());
    let drill = engine.drill().unwrap();
    assert_eq!(drill.verdict, Verdict::Aborted);
    assert!(drill.reason.contains("was not seen"), "{}", drill.reason);
    is_reverted(&mut engine);
}

#[test]
fn a_drill_never_runs_when_the_steady_state_does_not_hold_before() {
    let mut engine = engine(7, Scenarios::built_in().unwrap(), 1_000_000);
    let arm = ChaosCommand::Arm { level: 5, faults: vec![Fault::ResultCorruption] };
    engine.apply("test", Command::Chaos(arm)).unwrap();
    start(&mut engine, "slow_burn");
    run(&mut engine, 100);
    let drill = engine.drill().unwrap();
    assert_eq!(drill.verdict, Verdict::NeverRan);
    assert_eq!(drill.expectations[0].standing, Standing::Failed);
    assert_eq!(engine.snapshot().chaos.level, 5, "what others armed stays");
}

const DRILL: &str = "\
name: drill
title: T
description: D
teaches: L
hypothesis: H
phases:
  - { name: A, for: 2s, inject: [ { fault: exception_injection, rate: 0.5 } ] }
recovery: { settle: 60s, for: 20 evaluations }
";

fn scenario(more: &str) -> Scenario {
    Scenario::parse(&format!("{DRILL}{more}"), "drill.yaml").unwrap()
}

/// On the virtual clock at 100 evaluations a second, with nothing in the way of the faults.
fn plain(scenario: Scenario) -> Engine {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    settings.workload.to = i64::MAX;
    settings.workload.rate = 100;
    settings.cache.enabled = false;
    settings.circuit_breaker.enabled = false;
    made(3, &settings, Scenarios { scenarios: vec![scenario] })
}

#[test]
fn a_stop_condition_ends_the_drill_and_takes_everything_back() {
    let mut engine = plain(scenario("stop_when: failed_ratio > 20 %\n"));
    start(&mut engine, "drill");
    let drill = run_out(&mut engine);
    assert_eq!(drill.verdict, Verdict::Aborted);
    assert!(drill.reason.starts_with("by its stop condition failed_ratio > 0.2"), "{}", drill.reason);
    assert!(drill.reason.contains("the steady state holds again"), "{}", drill.reason);
    let phase = &drill.phases[1];
    assert!(phase.counts.evaluations < 30, "it was judged as soon as it could be: {}", phase.counts.evaluations);
    is_reverted(&mut engine);
}

#[test]
fn a_budget_that_burns_too_fast_ends_the_drill() {
    let mut engine = plain(scenario("stop_when: burn_rate(availability) > 14.4\n"));
    start(&mut engine, "drill");
    let drill = run_out(&mut engine);
    assert_eq!(drill.verdict, Verdict::Aborted);
    assert!(drill.reason.starts_with("by its stop condition burn_rate(availability) > 14.4"), "{}", drill.reason);
    is_reverted(&mut engine);
    // Half of them fail where one in a thousand may.
    let mut patient = plain(scenario("stop_when: burn_rate(availability) > 100000\n"));
    start(&mut patient, "drill");
    assert_eq!(run_out(&mut patient).verdict, Verdict::Held);
}

#[test]
fn deadlines_are_met_or_missed_when_they_say() {
    let expect = "expect:\n  - { probe: injections, at_least: 5, within: 1s }\n  - { probe: retries, at_least: 1, within: 1s }\n";
    let mut engine = plain(scenario(expect));
    start(&mut engine, "drill");
    let drill = run_out(&mut engine);
    let [_, met, missed, _] = drill.expectations.as_slice() else { panic!("{:?}", drill.expectations) };
    assert_eq!((met.standing, missed.standing), (Standing::Held, Standing::Failed));
    let began = drill.phases[1].began.unwrap();
    assert!(met.at.unwrap().since(began).as_millis() < 500);
    assert_eq!(missed.at.unwrap().since(began).as_millis(), 1_000, "to the millisecond");
    assert_eq!(drill.verdict, Verdict::NotHeld);
}

#[test]
fn too_few_evaluations_are_inconclusive() {
    let mut engine = plain(scenario("expect:\n  - { probe: failed_ratio, at_most: 0.9, minimum: 1000 }\n"));
    start(&mut engine, "drill");
    let drill = run_out(&mut engine);
    assert_eq!(drill.verdict, Verdict::Inconclusive, "{}", drill.reason);
}

#[test]
fn the_blast_radius_bounds_what_is_hit() {
    let radius = "blast_radius: { numbers: { classes: [fizz], modulo: { divisor: 2 } } }\n";
    let mut engine = plain(scenario(radius));
    start(&mut engine, "drill");
    let began = engine.now();
    run(&mut engine, 250);
    let events = engine.frame().events;
    let hit: Vec<i64> = events
        .iter()
        .filter(|event| event.kind() == Kind::ErrorOccurred && event.at >= began)
        .filter_map(|event| serde_json::to_value(&event.payload).unwrap()["payload"]["number"].as_i64())
        .collect();
    assert!(engine.snapshot().chaos.injected > 5);
    assert!(hit.iter().all(|number| number % 2 == 0 && number % 3 == 0 && number % 5 != 0), "{hit:?}");
}

#[test]
fn mechanisms_are_squeezed_flipped_and_put_back() {
    let text = DRILL.replace(
        "{ fault: exception_injection, rate: 0.5 }",
        "{ fault: squeeze_bulkhead, max_concurrent: 3 }, { fault: squeeze_limiter, limit: 7/second }, \
         { fault: flag_flip, flag: wuzz_rule_experimental, enabled: true }, { fault: clock_skew, by_ms: 5000 }, \
         { fault: cache_flush }",
    );
    let mut engine = plain(Scenario::parse(&text, "drill.yaml").unwrap());
    let state = |engine: &mut Engine| {
        let snapshot = engine.snapshot();
        let wuzz = snapshot.flags.flags.iter().find(|flag| flag.name == "wuzz_rule_experimental").unwrap().enabled;
        let (bulkhead, limiter) = (snapshot.bulkhead, snapshot.limiter);
        (bulkhead.enabled, bulkhead.max_concurrent, limiter.enabled, limiter.limit.to_string(), wuzz)
    };
    let before = state(&mut engine);
    start(&mut engine, "drill");
    while engine.drill().unwrap().phase != 1 {
        let due = engine.next_due().unwrap();
        engine.advance(due, 1);
    }
    assert_eq!(state(&mut engine), (true, 3, true, "7/second".into(), true));
    engine.apply("ann", Command::AbortGameDay).unwrap();
    assert_eq!(state(&mut engine), before);
}

#[test]
fn a_drill_waits_while_the_session_is_paused() {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.to, settings.workload.rate) = (i64::MAX, 100);
    let wall = crate::engine::WallClock::start();
    let playbook: Option<Arc<dyn crate::engine::director::Playbook>> =
        Some(Arc::new(Scenarios { scenarios: vec![scenario("")] }));
    let mut engine = Engine::new(&settings, Options { playbook, wall: Some(wall), ..Options::simulated(3) }).unwrap();
    // Only a clock is needed that says what the test wants: an engine is told the time.
    let mut now = engine.now();
    let mut pass = |engine: &mut Engine, millis: u64| {
        for _ in 0..millis / 10 {
            now += std::time::Duration::from_millis(10);
            engine.advance(now, 1_000);
        }
    };
    start(&mut engine, "drill");
    pass(&mut engine, 1_000);
    assert_eq!(engine.drill().unwrap().phase, 1);
    engine.apply("ann", Command::Pause).unwrap();
    pass(&mut engine, 60_000);
    let waiting = engine.drill().unwrap();
    assert_eq!((waiting.phase, waiting.verdict), (1, Verdict::Running), "a minute of nothing is not its two seconds");
    engine.apply("ann", Command::Resume).unwrap();
    pass(&mut engine, 900);
    assert_eq!(engine.drill().unwrap().phase, 1);
    pass(&mut engine, 200);
    assert_eq!(engine.drill().unwrap().phase, 2, "it goes on where it stood");
}

#[test]
fn a_phase_is_made_longer_once_something_is_injected() {
    let mut engine = plain(scenario(""));
    start(&mut engine, "drill");
    assert!(engine.apply("ann", Command::ExtendGameDay).is_err(), "nothing is injected yet");
    while engine.drill().unwrap().phase != 1 {
        let due = engine.next_due().unwrap();
        engine.advance(due, 1);
    }
    engine.apply("ann", Command::ExtendGameDay).unwrap();
    let drill = run_out(&mut engine);
    let phase = &drill.phases[1];
    assert_eq!(phase.ended.unwrap().since(phase.began.unwrap()).as_secs(), 4);
}

#[test]
fn scenarios_that_are_wrong_are_told_with_their_place() {
    for (from, to, place, says) in [
        ("name: drill", "name: a drill", "1:1", "letters, digits"),
        ("for: 2s", "for: 2 weeks", "7:", "write 20 evaluations"),
        ("for: 2s", "for: 0s", "7:16", "takes no time"),
        ("for: 2s", "for: 1h", "6:1", "safety.max_duration"),
        ("rate: 0.5", "rate: 0.95", "7:", "at most 0.9"),
        (", rate: 0.5", "", "7:", "needs a rate"),
        ("fault: exception_injection", "fault: exeption_injection", "7:", "did you mean"),
        ("rate: 0.5", "rate: 0.5, min_ms: 4", "7:", "takes no min_ms"),
        ("fault: exception_injection", "fault: slow_start", "7:", "needs latency_ms"),
        ("rate: 0.5 }", "rate: 0.5 }, { fault: exception_injection, rate: 0.1 }", "7:", "overlaps with inject[0]"),
        ("rate: 0.5", "rate: 0.5, target: { from: 5, to: 4 }", "7:", "matches no number"),
        ("recovery:", "blast_radius: { numbers: { share: 0 } }\nrecovery:", "8:", "matches no number"),
        ("recovery:", "stop_when: wrong_rato > 5 %\nrecovery:", "8:", "did you mean `wrong_ratio`"),
        ("recovery:", "expect:\n  - { probe: wrong_ratio }\nrecovery:", "9:5", "no tolerance"),
        ("recovery:", "expect:\n  - { probe: wrong_ratio, at_most: some }\nrecovery:", "9:", "at_most"),
        ("recovery:", "expect:\n  - { probe: breakers_open, at_most: 1 }\nrecovery:", "9:7", "is a state"),
        ("recovery:", "expect:\n  - { probe: p9_ms, at_most: 1 }\nrecovery:", "9:", "did you mean `p99_ms`"),
        ("recovery:", "settings: { cache: { max_sise: 4 } }\nrecovery:", "8:1", "max_size"),
        ("recovery:", "settings: { cache: { max_size: 0 } }\nrecovery:", "8:1", "cache.max_size is 0"),
    ] {
        let text = DRILL.replacen(from, to, 1);
        assert_ne!(text, DRILL, "{from} is there");
        let error = Scenario::parse(&text, "drill.yaml").unwrap_err().to_string();
        assert!(error.starts_with(&format!("drill.yaml:{place}")), "{to}: {error}");
        assert!(error.contains(says), "{to}: {error}");
    }
    let radius = "blast_radius: { numbers: { classes: [fizz] } }\nphases:\n  - name: B\n    for: 5\n    inject:\n      - { fault: hang, rate: 0.1, target: { classes: [buzz] } }\n";
    let text = DRILL
        .replace("phases:\n", "extra:\n")
        .lines()
        .filter(|line| !line.contains("name: A") && !line.starts_with("extra"))
        .collect::<Vec<_>>()
        .join("\n");
    let error = Scenario::parse(&format!("{text}\n{radius}"), "drill.yaml").unwrap_err().to_string();
    assert!(error.contains("matches nothing") && error.starts_with("drill.yaml:12:"), "{error}");
}

#[test]
fn a_session_without_what_a_scenario_needs_says_what() {
    let mut engine = engine(1, Scenarios::built_in().unwrap(), 1_000);
    let refused = engine.apply("ann", Command::StartGameDay { name: "payment_provider_failure".into() }).unwrap_err();
    assert!(refused.to_string().contains("the dependency `payments`"), "{refused}");
    assert!(refused.to_string().contains("fizzops gameday run payment_provider_failure"), "{refused}");
    let needs = &engine.info().scenarios.iter().find(|one| one.name == "payment_provider_failure").unwrap().needs;
    assert!(needs.contains("payments"), "the menu says so too: {needs}");
}

#[test]
fn the_schema_describes_every_shipped_scenario() {
    let schema = scenario::schema();
    let known = schema["properties"].as_object().unwrap();
    for (name, text) in Scenarios::files() {
        let document: serde_json::Value = serde_yaml::from_str(text).unwrap();
        for key in document.as_object().unwrap().keys() {
            assert!(known.contains_key(key), "{name}: {key}");
        }
        for required in schema["required"].as_array().unwrap() {
            assert!(document.get(required.as_str().unwrap()).is_some(), "{name}: {required}");
        }
    }
}

#[test]
fn reports_of_all_formats_have_the_same_figures() {
    let mut engine = by_itself(Scenarios::built_in().unwrap().get("retry_storm").unwrap(), 5);
    let drill = run_out(&mut engine);
    let (info, snapshot, head) = (engine.info().clone(), engine.snapshot(), engine.ledger_head());
    let report = report::Report::new(&info, &drill, &snapshot, head);
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    let hits = json["phases"][1]["injections"].as_u64().unwrap();
    assert!(hits > 100);
    let (html, markdown) = (report::html(&report), report::markdown(&report));
    assert!(html.contains(&format!("<td class=\"n\">{hits}</td>")) && markdown.contains(&format!("| {hits} |")));
    for outside in ["http:", "https:", "<script", "src=", "url("] {
        assert!(!html.contains(outside), "the file needs nothing from outside: {outside}");
    }
    // Every figure of every phase, as the file of figures has it.
    for phase in json["phases"].as_array().unwrap() {
        let row =
            html.lines().find(|line| line.contains(&format!("<td>{}</td>", phase["name"].as_str().unwrap()))).unwrap();
        for figure in [phase["injections"].to_string(), phase["alerts"].to_string(), milliseconds(&phase["p99_ns"])] {
            assert!(row.contains(&format!("<td class=\"n\">{figure}</td>")), "{figure} in {row}");
        }
    }
    let absorbed = json["absorbed"].as_object().unwrap();
    assert_eq!(absorbed.len(), 6);
    for (what, count) in absorbed {
        assert!(html.contains(&format!("<td class=\"n\">{count}</td></tr>")), "{what}: {count}");
    }
}

fn milliseconds(nanos: &serde_json::Value) -> String {
    format!("{:.2}", nanos.as_u64().unwrap() as f64 / 1e6)
}

#[test]
fn a_strict_parser_of_junit_reads_every_verdict_as_it_is() {
    let expectations =
        "expect:\n  - { probe: failed_ratio, at_most: 0.1 }\n  - { probe: injections, at_least: 1, minimum: 100000 }\n";
    let aborted = "stop_when: failed_ratio > 20 %\n";
    let reports: Vec<_> = ["", expectations, aborted]
        .into_iter()
        .map(|more| {
            let mut engine = plain(scenario(more));
            start(&mut engine, "drill");
            let drill = run_out(&mut engine);
            report::Report::new(&engine.info().clone(), &drill, &engine.snapshot(), engine.ledger_head())
        })
        .collect();
    let verdicts: Vec<_> = reports.iter().map(|report| report.verdict).collect();
    assert_eq!(verdicts, [Verdict::Held, Verdict::NotHeld, Verdict::Aborted]);
    let text = report::junit(&reports.iter().collect::<Vec<_>>()).unwrap();
    let read = quick_junit::Report::deserialize_from_str(&text).unwrap();
    assert_eq!(read.test_suites.len(), 3);
    let mut all = (0, 0, 0);
    for (suite, report) in read.test_suites.iter().zip(&reports) {
        let of = |wanted: fn(&quick_junit::TestCaseStatus) -> bool| {
            suite.test_cases.iter().filter(|case| wanted(&case.status)).count()
        };
        use quick_junit::{NonSuccessKind as Kind, TestCaseStatus as Status};
        let failures = of(|status| matches!(status, Status::NonSuccess { kind: Kind::Failure, .. }));
        let errors = of(|status| matches!(status, Status::NonSuccess { kind: Kind::Error, .. }));
        let skipped = of(|status| matches!(status, Status::Skipped { .. }));
        assert_eq!(suite.test_cases.len(), report.expectations.len() + 1);
        assert_eq!((suite.tests, suite.failures, suite.errors), (suite.test_cases.len(), failures, errors));
        let standing = |wanted| report.expectations.iter().filter(|one| one.standing == wanted).count();
        assert_eq!(failures, standing(Standing::Failed) + usize::from(report.verdict == Verdict::NotHeld));
        assert_eq!(errors, usize::from(report.verdict == Verdict::Aborted));
        assert_eq!(skipped, standing(Standing::Inconclusive) + standing(Standing::Pending));
        all = (all.0 + suite.tests, all.1 + failures, all.2 + errors);
    }
    assert_eq!((read.tests, read.failures, read.errors), all);
}

fn any_scenario() -> impl Strategy<Value = String> {
    let fault = prop::sample::select(vec![
        "fault: exception_injection, rate: 0.6",
        "fault: result_corruption, rate: 0.4",
        "fault: latency_injection, rate: 0.9, min_ms: 5, max_ms: 900",
        "fault: hang, rate: 0.2, target: { classes: [fizz] }",
        "fault: slow_start, rate: 0.9, latency_ms: 300, ramp_ms: 700",
        "fault: error_burst, rate: 0.9, burst_ms: 40, period_ms: 100",
        "fault: confidence_manipulation, rate: 0.5, target: { share: 0.5 }",
        "fault: squeeze_bulkhead, max_concurrent: 2",
        "fault: squeeze_limiter, limit: 9/second",
        "fault: flag_flip, flag: fizz_rule_enabled, enabled: false",
        "fault: clock_skew, by_ms: 100000",
        "fault: cache_flush",
    ]);
    let span = prop::sample::select(vec!["20 evaluations", "1 evaluation", "300ms", "2s", "70 evaluations"]);
    let phase = (prop::collection::vec(fault, 1..4), span.clone()).prop_map(|(mut faults, span)| {
        faults.sort_unstable();
        faults.dedup();
        let list: Vec<_> = faults.iter().map(|fault| format!("{{ {fault} }}")).collect();
        format!("  - {{ name: P, for: {span}, inject: [ {} ] }}\n", list.join(", "))
    });
    let stop =
        prop::option::of(prop::sample::select(vec!["failed_ratio > 30 %", "wrong_ratio > 10 %", "breakers_open >= 1"]));
    let expect = prop::option::of(prop::sample::select(vec![
        "{ probe: failed_ratio, at_most: 0.2 }",
        "{ probe: breaker_trips, at_least: 1, within: 1s }",
        "{ probe: wrong_ratio, at_most: 0, during: recovery }",
        "{ probe: right_ratio, at_least: 0.9, minimum: 50 }",
    ]));
    (prop::collection::vec(phase, 1..4), stop, expect, span).prop_map(|(phases, stop, expect, settle)| {
        let stop = stop.map_or(String::new(), |stop| format!("stop_when: {stop}\n"));
        let expect = expect.map_or(String::new(), |expect| format!("expect:\n  - {expect}\n"));
        format!(
            "name: any\ntitle: T\ndescription: D\nteaches: L\nhypothesis: H\nphases:\n{}{stop}recovery: {{ settle: {settle} }}\n{expect}",
            phases.concat()
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the scenario, the seed, and the moment of an abort: nothing is in force afterwards, and the verdict agrees
    /// with the events.
    #[test]
    fn no_drill_leaves_anything_behind(text in any_scenario(), seed in 0_u64..1_000, abort in prop::option::of(0_u64..150), close: bool) {
        let scenario = Scenario::parse(&text, "any.yaml").unwrap();
        let mut settings = Settings::everything();
        settings.workload.rate = 200;
        settings.workload.to = i64::MAX;
        let mut engine = made(seed, &settings, Scenarios { scenarios: vec![scenario] });
        let before = engine.snapshot();
        start(&mut engine, "any");
        let mut aborted = false;
        if let Some(after) = abort {
            run(&mut engine, after);
            aborted = engine.apply("ann", if close { Command::Stop } else { Command::AbortGameDay }).is_ok();
        }
        let drill = run_out(&mut engine);
        let after = engine.snapshot();
        prop_assert!(after.chaos.injections.is_empty() && after.chaos.level == 0);
        prop_assert_eq!((after.bulkhead.enabled, after.bulkhead.max_concurrent), (before.bulkhead.enabled, before.bulkhead.max_concurrent));
        prop_assert_eq!((after.limiter.enabled, after.limiter.limit), (before.limiter.enabled, before.limiter.limit));
        let flags = |snapshot: &crate::engine::Snapshot| snapshot.flags.flags.iter().map(|flag| flag.enabled).collect::<Vec<_>>();
        prop_assert_eq!(flags(&after), flags(&before));
        let events = engine.frame().events;
        let ended: Vec<_> = events.iter().filter(|event| event.kind() == Kind::ChaosGamedayEnded).collect();
        prop_assert_eq!(ended.len(), 1);
        let told = serde_json::to_value(&ended[0].payload).unwrap()["payload"]["verdict"].as_str().unwrap().to_owned();
        prop_assert_eq!(told, drill.verdict.text());
        let standing = |wanted| drill.expectations.iter().filter(|one| one.standing == wanted).count();
        match drill.verdict {
            Verdict::Held => prop_assert_eq!(standing(Standing::Held), drill.expectations.len()),
            Verdict::NotHeld | Verdict::NeverRan => prop_assert!(standing(Standing::Failed) > 0),
            Verdict::Inconclusive => prop_assert!(standing(Standing::Inconclusive) > 0 && standing(Standing::Failed) == 0),
            Verdict::Aborted => prop_assert!(aborted || drill.stop.is_some(), "{}", drill.reason),
            Verdict::Running => prop_assert!(false, "it ended"),
        }
        prop_assert!(drill.ended.unwrap() > Timestamp::EPOCH);
    }
}
