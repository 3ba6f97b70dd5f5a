//! On the virtual clock the same inputs give the same bytes: results, events and the ledger's head, run after run, in
//! debug and in release.

use std::sync::Arc;

use fizzops::domain::EventMask;
use fizzops::engine::{Engine, Options, Settings, WorkloadKind};
use fizzops::gameday::Scenarios;
use fizzops::records::ledger::Kept;
use sha2::{Digest as _, Sha256};

/// A session with every subsystem on and chaos at level 5: the hash over every result, every event and every frame.
fn fingerprint(seed: u64, numbers: i64) -> (String, String) {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.from, settings.workload.to, settings.workload.rate) = (1, numbers, 0);
    settings.chaos.enabled = true;
    settings.chaos.level = 5;
    settings.otel.enabled = true;
    settings.limits.limiter.enabled = true;
    settings.limits.bulkhead.enabled = true;
    let options = Options {
        events: EventMask::ALL,
        event_limit: usize::MAX,
        results: true,
        leaves: true,
        playbook: Some(Arc::new(Scenarios::built_in().unwrap())),
        ..Options::simulated(seed)
    };
    let mut engine = Engine::new(&settings, options).unwrap();
    let mut hasher = Sha256::new();
    let mut results = 0;
    while let Some(due) = engine.next_due() {
        engine.advance(due, 1_000);
        while let Some(evaluation) = engine.next_result() {
            results += 1;
            hasher.update(format!("{evaluation:?}\n"));
        }
        hasher.update(serde_json::to_vec(&engine.frame()).unwrap());
        for kept in engine.take_leaves() {
            match kept {
                Kept::Entry(bytes) => hasher.update(bytes),
                Kept::Block(block) => hasher.update(serde_json::to_vec(&block).unwrap()),
            }
        }
    }
    assert_eq!(results, numbers);
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (hash, engine.ledger_head().unwrap())
}

#[test]
fn everything_on_and_chaos_at_level_5_repeats_byte_for_byte() {
    let one = fingerprint(7, 3_000);
    assert_eq!(one, fingerprint(7, 3_000));
    assert_ne!(one, fingerprint(8, 3_000), "another seed is another session");
}

/// Debug and release give the same: both are compared with what was once written down. Whoever changes what a session
/// does on purpose changes these too.
#[test]
fn every_build_gives_the_same_session() {
    let (hash, head) = fingerprint(7, 3_000);
    insta::assert_snapshot!("session_of_seed_7", format!("sha256 {hash}\nledger {head}"));
}

#[test]
fn the_command_line_repeats_itself_too() {
    let args = "run --all --chaos-level 5 --virtual --seed 11 --range 1 2000 --format json --verbose --no-summary";
    let (one, other) = (crate::common::fizzops(args), crate::common::fizzops(args));
    assert_eq!(one.code, 0, "{}", one.stderr);
    assert!(one.stderr.contains("CHAOS_FAULT_INJECTED") && one.stdout.contains("\"outcome\":\"rejected\""));
    assert_eq!(one.stdout, other.stdout);
    assert_eq!(one.stderr, other.stderr, "events are told in the same order, with the same times");
}
