//! Every command of the engine needs a permission, every role has its table, and every attempt is on record.

use fizzops::domain::{EventMask, Payload};
use fizzops::engine::{Command, Engine, Options, Settings, WorkloadKind};
use fizzops::mechanisms::auth::{Duty, Role};
use fizzops::mechanisms::cache::CacheCommand;
use fizzops::mechanisms::chaos::{ChaosCommand, Fault};
use fizzops::mechanisms::slo::SloCommand;
use fizzops::records::ledger::{Entry, Kept, LedgerCommand};
use serde_json::json;

/// A command from the JSON in which it is recorded.
fn read(value: serde_json::Value) -> Command {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// One of each kind, with the duty that it should need.
fn all() -> Vec<(Command, Duty)> {
    vec![
        (Command::Pause, Duty::Session),
        (Command::Resume, Duty::Session),
        (Command::Step { count: 1 }, Duty::Session),
        (Command::SetRate { per_second: 10 }, Duty::Session),
        (read(json!({"limiter": "disable"})), Duty::Breaker),
        (read(json!({"bulkhead": "reset"})), Duty::Breaker),
        (read(json!({"retry": "disable"})), Duty::Breaker),
        (read(json!({"breaker": {"trip": {"circuit": null}}})), Duty::Breaker),
        (read(json!({"flags": {"toggle": {"flag": "fizz_rule_enabled"}}})), Duty::Flag),
        (Command::Cache(CacheCommand::Clear), Duty::Cache),
        (Command::Chaos(ChaosCommand::SetLevel { level: 3 }), Duty::Chaos),
        (Command::Chaos(ChaosCommand::Arm { level: 1, faults: vec![Fault::ALL[0]] }), Duty::Chaos),
        (Command::Chaos(ChaosCommand::SetLevel { level: 0 }), Duty::Session),
        (Command::Chaos(ChaosCommand::Disarm), Duty::Session),
        (Command::Slo(SloCommand::Acknowledge { alert: None }), Duty::Alert),
        (read(json!({"i18n": {"set_locale": {"locale": "de"}}})), Duty::Session),
        (Command::Ledger(LedgerCommand::Prove { index: 0 }), Duty::Ledger),
        (Command::StartGameDay { name: "x".into() }, Duty::Chaos),
        (Command::AbortGameDay, Duty::Session),
        (Command::Stop, Duty::Session),
        (Command::ExtendGameDay, Duty::Chaos),
    ]
}

/// The place of a command's kind; a new kind does not compile until it is put here, and then into the list above.
const fn kind(command: &Command) -> usize {
    match command {
        Command::Pause => 0,
        Command::Resume => 1,
        Command::Step { .. } => 2,
        Command::SetRate { .. } => 3,
        Command::Limiter(_) => 4,
        Command::Bulkhead(_) => 5,
        Command::Retry(_) => 6,
        Command::Breaker(_) => 7,
        Command::Flags(_) => 8,
        Command::Cache(_) => 9,
        Command::Chaos(_) => 10,
        Command::Slo(_) => 11,
        Command::I18n(_) => 12,
        Command::Ledger(_) => 13,
        Command::StartGameDay { .. } => 14,
        Command::AbortGameDay => 15,
        Command::Stop => 16,
        Command::ExtendGameDay => 17,
    }
}

#[test]
fn every_command_needs_a_permission() {
    let mut kinds: Vec<_> = all().iter().map(|(command, _)| kind(command)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..18).collect::<Vec<_>>(), "one of each kind is in the list");
    for (command, duty) in all() {
        assert_eq!(command.duty(), duty, "{command:?}");
    }
}

fn engine() -> Engine {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.from, settings.workload.to, settings.workload.rate) = (1, 1_000, 1_000);
    let options = Options { leaves: true, events: EventMask::operations(), ..Options::simulated(3) };
    Engine::new(&settings, options).unwrap()
}

#[test]
fn what_a_role_may_not_is_refused_changes_nothing_and_is_on_the_ledger() {
    for role in Role::ALL {
        for (command, duty) in all() {
            let mut engine = engine();
            let before = engine.snapshot();
            let result = engine.apply_as("ann", Some(role), command.clone());
            let entries: Vec<_> = engine
                .take_leaves()
                .into_iter()
                .filter_map(|kept| match kept {
                    Kept::Entry(bytes) => Some(Entry::decode(&bytes).unwrap()),
                    Kept::Block(_) => None,
                })
                .collect();
            let recorded = entries.iter().any(|entry| {
                matches!(entry, Entry::Command { by, role: in_role, command: text, .. }
                    if by == "ann" && in_role == role.name() && *text == command.text())
            });
            assert!(recorded, "{role:?} {command:?}: {entries:?}");
            if role.may(duty) {
                // It may still be refused for what it asks, but not for who asks.
                assert!(result.is_ok() || !result.unwrap_err().to_string().contains("permission"));
                continue;
            }
            let refusal = result.unwrap_err().to_string();
            assert!(refusal.contains(duty.permission()) && refusal.contains(role.name()), "{refusal}");
            let after = engine.snapshot();
            assert_eq!(
                (before.paused, before.rate, before.chaos, before.cache),
                (after.paused, after.rate, after.chaos, after.cache,)
            );
            assert_eq!((before.flags, before.breakers, before.finished), (after.flags, after.breakers, after.finished));
            let told = engine.pending_events().iter().any(|event| {
                matches!(&event.payload, Payload::CommandRefused { by, reason, .. } if by == "ann" && *reason == refusal)
            });
            assert!(told, "the console is told");
        }
    }
}

#[test]
fn alerts_faults_flags_and_verdicts_are_on_the_ledger() {
    let mut engine = engine();
    engine.apply("test", read(json!({"flags": {"toggle": {"flag": "fizz_rule_enabled"}}}))).unwrap();
    engine.apply("test", Command::Chaos(ChaosCommand::SetLevel { level: 5 })).unwrap();
    engine.apply("test", read(json!({"breaker": {"trip": {"circuit": null}}}))).unwrap();
    while let Some(due) = engine.next_due() {
        engine.advance(due, 1_000);
    }
    let names: std::collections::BTreeSet<_> = engine
        .take_leaves()
        .into_iter()
        .filter_map(|kept| match kept {
            Kept::Entry(bytes) => Some(Entry::decode(&bytes).unwrap()),
            Kept::Block(_) => None,
        })
        .filter_map(|entry| match entry {
            Entry::Event { name, .. } => Some(name),
            _ => None,
        })
        .collect();
    for name in [
        "SESSION_STARTED",
        "FLAG_STATE_CHANGED",
        "CHAOS_MONKEY_ACTIVATED",
        "CIRCUIT_BREAKER_STATE_CHANGED",
        "SESSION_ENDED",
    ] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
}
