//! The ledger's figures: what it costs per evaluation, how fast an entry is proved and how fast a ledger is verified at
//! ten million leaves. Each is printed as a time, a rate or a ratio to something measured in the same run.
//!
//! `FIZZOPS_LEAVES=100000 cargo bench --bench ledger` makes it short.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fizzops::domain::{Evaluation, Outcome, Output, RuleMask, Source, Timestamp};
use fizzops::engine::{Engine, Options, Seed, Settings, WorkloadKind};
use fizzops::records::files::Disk;
use fizzops::records::journal::log::{Log, LogConfig, Session};
use fizzops::records::journal::store::{Store, StoreConfig};
use fizzops::records::ledger::merkle::{Frontier, leaf_hash, prove_inclusion, verify_inclusion};
use fizzops::records::ledger::{Entry, Kept, KeyKind, NoteSigner, Reader, Row, Writer, verify};

const EVALUATIONS: i64 = 2_000_000;

fn signer() -> NoteSigner {
    NoteSigner::new("example.org/bench", KeyKind::Log, &[7; 32]).unwrap()
}

/// Evaluations a second of a bare service with the journal on, without a ledger, with one in memory, and with one that a
/// thread writes; with `durable`, every evaluation goes to the journal on the disk as well, and the time ends when the
/// last one is there.
fn engine(ledger: bool, folder: Option<&std::path::Path>, durable: Option<&std::path::Path>) -> f64 {
    let mut settings = Settings::default();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.from, settings.workload.to, settings.workload.rate) = (1, EVALUATIONS, 0);
    settings.event_sourcing.enabled = true;
    settings.blockchain.enabled = ledger;
    let options = Options { leaves: folder.is_some(), keep: durable.is_some(), ..Options::live(Seed(1)) };
    let mut engine = Engine::new(&settings, options).unwrap();
    let journal = durable.map(|folder| {
        let mut log = Log::open(Arc::new(Disk::new(folder).unwrap()), "journal", LogConfig::default()).unwrap();
        let (id, rules) = (engine.info().session_id.clone(), Arc::clone(engine.rules()));
        log.begin_session(Session { id, seed: 1, began: Timestamp::EPOCH, rules });
        Store::spawn(log, StoreConfig::default(), None).unwrap()
    });
    let (sender, kept) = std::sync::mpsc::sync_channel::<Vec<Kept>>(64);
    let mut writer = folder.map(|folder| Writer::open(folder, signer()).unwrap());
    let thread = std::thread::spawn(move || {
        for some in kept {
            for one in some {
                match (&mut writer, one) {
                    (Some(writer), Kept::Entry(bytes)) => drop(writer.append(&bytes).unwrap()),
                    (Some(writer), Kept::Block(block)) => writer.push_block(&block).unwrap(),
                    (None, _) => {}
                }
            }
        }
        if let Some(writer) = &mut writer {
            writer.checkpoint().unwrap();
        }
    });
    let began = Instant::now();
    while let Some(due) = engine.next_due() {
        engine.advance(due, 2_048);
        if folder.is_some() {
            sender.send(engine.take_leaves()).unwrap();
        }
        if let Some((appender, _)) = &journal {
            appender.evaluations(engine.take_kept()).unwrap();
        }
    }
    if let Some((appender, store)) = journal {
        drop(appender);
        assert_eq!(store.finish().unwrap().totals().evaluations, EVALUATIONS as u64);
    }
    let took = began.elapsed();
    assert_eq!(engine.counts().evaluations, EVALUATIONS as u64);
    drop(sender);
    thread.join().unwrap();
    EVALUATIONS as f64 / took.as_secs_f64()
}

fn main() {
    let leaves: u64 = std::env::var("FIZZOPS_LEAVES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let folder = tempfile::tempdir().unwrap();
    let (without, memory) = (engine(false, None, None), engine(true, None, None));
    let disk = engine(true, Some(&folder.path().join("engine")), None);
    let durable = engine(true, Some(&folder.path().join("both")), Some(&folder.path().join("journal")));
    println!("journal on, ledger off                {without:>12.0} evaluations/s");
    println!("journal on, ledger in memory          {memory:>12.0} evaluations/s  {:.2} of off", memory / without);
    println!("journal on, ledger written beside     {disk:>12.0} evaluations/s  {:.2} of off", disk / without);
    println!("the same, journal durable too         {durable:>12.0} evaluations/s  {:.2} of off", durable / without);

    let folder = folder.path().join("large");
    let entry = |index: u64| {
        let evaluation = Evaluation {
            sequence: index,
            number: 7,
            outcome: Outcome::Ok,
            error: None,
            output: Output::Labels(RuleMask(1)),
            matched: RuleMask(1),
            correct: true,
            source: Source::Strategy,
            duration: Duration::from_nanos(80),
            retry_after: None,
            confidence: None,
            faults: 0,
            attempts: 0,
        };
        let at = Timestamp::from_nanos(index);
        Entry::Evaluations { at: index, rows: vec![Row::of(at, &evaluation)] }.encode()
    };
    let began = Instant::now();
    let mut writer = Writer::open(&folder, signer()).unwrap();
    for index in 0..leaves {
        writer.append(&entry(index)).unwrap();
    }
    writer.checkpoint().unwrap();
    println!("{leaves} leaves of {} bytes written in {:.1} s", entry(0).len(), began.elapsed().as_secs_f64());
    let key = signer().verifier();
    drop(writer);

    let reader = Reader::open(&folder, &key).unwrap();
    let mut slowest = Duration::ZERO;
    let mut all = Duration::ZERO;
    const PROOFS: u64 = 200;
    for place in 0..PROOFS {
        // A fresh reader: nothing is kept from the proof before.
        let index = place * (leaves / PROOFS) + place % (leaves / PROOFS).max(1);
        let began = Instant::now();
        let fresh = Reader::open(&folder, &key).unwrap();
        let bytes = fresh.entry(index).unwrap().unwrap();
        let path = prove_inclusion(&fresh, index, leaves).unwrap();
        let took = began.elapsed();
        verify_inclusion(&leaf_hash(&bytes), index, leaves, &path, &reader.checkpoint().root).unwrap();
        slowest = slowest.max(took);
        all += took;
    }
    println!(
        "inclusion proof at {leaves} leaves: {:.3} ms on average, {:.3} ms the slowest of {PROOFS}",
        all.as_secs_f64() * 1e3 / PROOFS as f64,
        slowest.as_secs_f64() * 1e3
    );

    let entries: Vec<Vec<u8>> = (0..1_000_000.min(leaves)).map(entry).collect();
    let mut best = 0f64;
    for round in 0..3 {
        // Hashing alone: every leaf and every node of the same tree, from memory.
        let began = Instant::now();
        let mut frontier = Frontier::default();
        for index in 0..leaves {
            frontier.push(leaf_hash(&entries[(index % entries.len() as u64) as usize]));
        }
        black_box(frontier.root());
        let hashing = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let report = verify(&folder, &key, None).unwrap();
        let verifying = began.elapsed().as_secs_f64();
        assert_eq!(report.evaluations, leaves);
        best = best.max(hashing / verifying);
        println!(
            "round {round}: hashing alone {hashing:.2} s, verifying {verifying:.2} s: {:.2} of its speed",
            hashing / verifying
        );
    }
    println!("verifying {leaves} leaves: {best:.2} of the speed of hashing alone at best");
}
