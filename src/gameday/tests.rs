use std::sync::Arc;

use super::*;
use crate::domain::{EventMask, Kind};
use crate::engine::director::{Standing, Verdict};
use crate::engine::workload::WorkloadKind;
use crate::engine::{Command, Engine, Options, Settings};
use crate::mechanisms::chaos::{ChaosCommand, Fault};

fn engine(seed: u64, scenarios: Scenarios, numbers: i64) -> Engine {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    settings.workload.to = numbers;
    let options =
        Options { playbook: Some(Arc::new(scenarios)), events: EventMask::operations(), ..Options::simulated(seed) };
    Engine::new(&settings, options).unwrap()
}

fn run(engine: &mut Engine, evaluations: u64) {
    while engine.counts().evaluations < evaluations {
        let Some(due) = engine.next_due() else { break };
        engine.advance(due, 1);
    }
}

fn start(engine: &mut Engine, name: &str) {
    engine.apply("test", Command::StartGameDay { name: name.into() }).unwrap();
}

#[test]
fn every_shipped_scenario_runs_to_its_verdict_over_twenty_seeds() {
    let scenarios = Scenarios::built_in().unwrap();
    assert_eq!(scenarios.all().len(), 4);
    for scenario in scenarios.all() {
        for seed in 0..20 {
            let mut engine = engine(seed, scenarios.clone(), 1_000_000);
            start(&mut engine, &scenario.name);
            run(&mut engine, scenario.evaluations() + 2_000);
            let drill = engine.drill().unwrap();
            assert_eq!(drill.verdict, Verdict::Held, "{} with seed {seed}: {}", scenario.name, drill.reason);
            let planned: Vec<_> = drill.phases.iter().map(|phase| (phase.planned, phase.counts.evaluations)).collect();
            assert!(planned.iter().all(|(planned, done)| planned == done), "{planned:?}");
            assert_eq!(engine.snapshot().chaos.level, 0, "everything is taken back");
        }
    }
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
    assert_eq!(armed, [1, 3, 5, 0]);
}

#[test]
fn an_aborted_drill_leaves_nothing_armed_and_says_who() {
    let scenarios = Scenarios::built_in().unwrap();
    let mut engine = engine(7, scenarios, 1_000_000);
    start(&mut engine, "total_chaos");
    run(&mut engine, 15);
    assert_ne!(engine.snapshot().chaos.level, 0);
    assert!(engine.apply("test", Command::StartGameDay { name: "slow_burn".into() }).is_err(), "one at a time");
    engine.apply("ann", Command::AbortGameDay).unwrap();
    let drill = engine.drill().unwrap();
    assert_eq!((drill.verdict, engine.snapshot().chaos.level), (Verdict::Aborted, 0));
    assert!(drill.reason.contains("by ann"), "{}", drill.reason);
    assert!(engine.apply("ann", Command::AbortGameDay).is_err());
}

#[test]
fn the_end_of_the_session_ends_the_drill_and_takes_back_its_faults() {
    let mut engine = engine(7, Scenarios::built_in().unwrap(), 20);
    start(&mut engine, "total_chaos");
    run(&mut engine, 1_000);
    assert!(engine.is_finished());
    assert_eq!(engine.drill().unwrap().verdict, Verdict::Aborted);
    assert_eq!(engine.snapshot().chaos.level, 0);
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

#[test]
fn bad_scenarios_are_told_with_their_place() {
    let text = include_str!("../../scenarios/slow_burn.yaml");
    let error = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        Scenario::parse(&changed, "x.yaml").unwrap_err().to_string()
    };
    assert!(error("latency_injection", "latency_injecton").contains("did you mean `latency_injection`?"));
    assert!(error("level: 1", "level: 9").contains("levels are 1 to 5"));
    assert!(error("evaluations: 10", "evaluations: ten").contains("x.yaml:"));
    assert!(error("teaches:", "teachs:").contains("did you mean `teaches`?"));
    assert!(Scenarios::built_in().unwrap().get("slow_bern").unwrap_err().to_string().contains("`slow_burn`"));
}
