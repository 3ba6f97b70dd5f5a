//! The budget policy in a whole engine: a budget that runs low turns flags off and refuses game days, and the ledger has
//! both with the reason.

use std::sync::Arc;
use std::time::Duration;

use fizzops::domain::{EventMask, Payload};
use fizzops::engine::{Command, Engine, Options, Settings, WorkloadKind};
use fizzops::gameday::Scenarios;
use fizzops::mechanisms::chaos::{ChaosCommand, Fault};
use fizzops::mechanisms::slo::SloCommand;
use fizzops::records::ledger::Kept;

#[test]
fn a_low_budget_turns_flags_off_and_refuses_game_days_and_the_ledger_says_why() {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.to, settings.workload.rate) = (i64::MAX, 1_000);
    // An hour a second: three seconds of a fault are a tenth of the month's budget many times over.
    settings.sla.time_scale = 3_600;
    settings.sla.budget_policy.flags = vec!["wuzz_rule_experimental".into(), "no_such_flag".into()];
    let options = Options {
        events: EventMask::operations(),
        leaves: true,
        playbook: Some(Arc::new(Scenarios::built_in().unwrap())),
        ..Options::simulated(7)
    };
    let mut engine = Engine::new(&settings, options).unwrap();
    let began = engine.now();
    let run = |engine: &mut Engine, seconds: u64| {
        let until = began + Duration::from_secs(seconds);
        while engine.next_due().is_some_and(|due| due <= until) {
            engine.advance(until, 10_000);
        }
    };
    let on = |engine: &mut Engine| {
        let flags = engine.snapshot().flags.flags;
        flags.iter().find(|flag| flag.name == "wuzz_rule_experimental").unwrap().enabled
    };
    run(&mut engine, 2);
    assert!(on(&mut engine));
    assert_eq!(engine.snapshot().slos.game_days_refused, None);
    let arm = ChaosCommand::Arm { level: 1, faults: vec![Fault::ResultCorruption] };
    engine.apply("test", Command::Chaos(arm)).unwrap();
    run(&mut engine, 5);
    assert!(!on(&mut engine), "the experiment is off");
    let start = || Command::StartGameDay { name: "modulo_meltdown".into() };
    let refusal = engine.apply("lead", start()).unwrap_err().to_string();
    assert!(refusal.starts_with("the accuracy budget has none left, below 10 %"), "{refusal}");
    assert!(refusal.ends_with("no game day begins (sla.budget_policy)"), "{refusal}");
    // Once: whoever turns it on again has the last word.
    let toggle = fizzops::mechanisms::flags::FlagsCommand::Set { flag: "wuzz_rule_experimental".into(), enabled: true };
    engine.apply("lead", Command::Flags(toggle)).unwrap();
    run(&mut engine, 7);
    assert!(on(&mut engine));
    let events = engine.frame().events;
    let by = |name: &str| {
        let commands = events.iter().filter_map(|event| match &event.payload {
            Payload::CommandAccepted { command, by, .. } | Payload::CommandRefused { command, by, .. } => {
                Some((command.clone(), by.clone()))
            }
            _ => None,
        });
        commands.filter(|(command, _)| command.contains(name)).map(|(_, by)| by).collect::<Vec<_>>()
    };
    let policy = by("wuzz_rule_experimental");
    assert!(policy[0].starts_with("budget policy: the accuracy budget has"), "{policy:?}");
    assert!(policy[0].ends_with("left, below 25 %"), "{policy:?}");
    assert_eq!((policy.len(), by("no_such_flag").len()), (2, 1));
    engine.apply("test", Command::Stop).unwrap();
    run(&mut engine, 20);
    assert!(engine.is_finished());
    let text = |kept: &Kept| match kept {
        Kept::Entry(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Kept::Block(_) => String::new(),
    };
    let ledger: String = engine.take_leaves().iter().map(text).collect();
    assert!(ledger.contains("budget policy: the accuracy budget has"), "the ledger has who turned it off, and why");
    assert!(ledger.contains("refused: the accuracy budget has none left, below 10 %"), "and why no game day began");
}

#[test]
fn a_running_engine_keeps_its_objectives_when_documents_are_not_right() {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.to, settings.workload.rate) = (1_000, 100);
    let mut engine = Engine::new(&settings, Options::simulated(7)).unwrap();
    let until = engine.now() + Duration::from_secs(2);
    engine.advance(until, 10_000);
    let before = engine.snapshot().slos;
    let shipped = include_str!("../../config/slo.yaml");
    let load = |documents: String| Command::Slo(SloCommand::Load { file: "slo.yaml".into(), documents });
    let bad = shipped.replace("    - duration: 30d\n      isRolling: true\n", "");
    let refusal = engine.apply("test", load(bad)).unwrap_err().to_string();
    assert!(refusal.contains("spec.timeWindow") && refusal.contains("slo.yaml:"), "{refusal}");
    assert_eq!(engine.snapshot().slos, before);
    engine.apply("test", load(shipped.replace("99.99 %", "nearly all"))).unwrap();
    assert_eq!(engine.snapshot().slos.slos[2].objective, "nearly all of evaluations are answered");
    assert_eq!(engine.snapshot().slos.slos[0], before.slos[0]);
}
