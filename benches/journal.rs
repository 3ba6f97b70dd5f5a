//! What keeping everything costs: the engine with the durable journal on against the same engine without, beside a bare
//! buffered append and a row of SQLite in a batch; and how long a journal of ten million evaluations takes to open and to
//! be asked about the past. Goals: 1.5 million evaluations a second with the journal on, 500 ms to open, 50 ms a question.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot be set up stops")]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fizzops::domain::{Evaluation, RuleSet, Source, Timestamp};
use fizzops::engine::{Engine, Options, Seed, Settings, WorkloadKind};
use fizzops::records::files::Disk;
use fizzops::records::journal::log::{Log, LogConfig, Moment, Reader, Session};
use fizzops::records::journal::store::{Store, StoreConfig};
use fizzops::records::storage::{Repository as _, Shaper, SqliteRepository};

/// The same workload as `benches/engine.rs`: every mechanism on, Zipf numbers, the ledger off.
fn settings() -> Settings {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Zipf;
    (settings.workload.from, settings.workload.to) = (1, 10_000);
    settings.workload.rate = 0;
    settings.blockchain.enabled = false;
    settings
}

const NUMBERS: u64 = 4_000_000;

fn session(rules: Arc<RuleSet>) -> Session {
    Session { id: "00000000-0000-8000-8000-000000000007".into(), seed: 7, began: Timestamp::EPOCH, rules }
}

/// Evaluations a second of one engine; with `keep`, every one of them goes to a durable journal, and the time ends when
/// the last one is on the disk.
fn engine(settings: &Settings, keep: bool) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new(settings, Options { keep, ..Options::live(Seed(7)) }).expect("possible settings");
    let writer = keep.then(|| {
        let disk = Arc::new(Disk::new(folder.path()).expect("a folder"));
        let mut log = Log::open(disk, "journal", LogConfig::default()).expect("a journal");
        log.begin_session(session(Arc::clone(engine.rules())));
        Store::spawn(log, StoreConfig::default(), None).expect("a thread")
    });
    let began = Instant::now();
    while engine.counts().evaluations < NUMBERS {
        let now = engine.next_due().unwrap_or(Timestamp::MAX);
        engine.advance(now, 2_048);
        if let Some((appender, _)) = &writer {
            appender.evaluations(engine.take_kept()).expect("the disk takes them");
        }
    }
    let evaluations = engine.counts().evaluations;
    if let Some((appender, store)) = writer {
        drop(appender);
        let log = store.finish().expect("everything is on the disk");
        assert_eq!(log.totals().evaluations, evaluations);
    }
    evaluations as f64 / began.elapsed().as_secs_f64()
}

fn evaluation(sequence: u64, rules: &RuleSet) -> Evaluation {
    let number = (sequence.wrapping_mul(7_919) % 10_000) as i64 + 1;
    Evaluation {
        source: if sequence.is_multiple_of(3) { Source::Strategy } else { Source::Cache },
        ..Evaluation::computed(sequence, number, rules, Duration::from_nanos(300 + sequence % 200))
    }
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// The middle of several runs.
fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let settings = settings();
    println!("engine, every in-memory mechanism on, {NUMBERS} evaluations, median of 3");
    let without = median((0..3).map(|_| engine(&settings, false)).collect());
    let with = median((0..3).map(|_| engine(&settings, true)).collect());
    println!("  without a journal          {without:>12.0} evaluations/s");
    println!("  with the durable journal   {with:>12.0} evaluations/s   {:.2} of without", with / without);
    let mut lean = settings.clone();
    lean.otel.enabled = false;
    lean.event_sourcing.enabled = false;
    let bare = median((0..3).map(|_| engine(&lean, false)).collect());
    let kept = median((0..3).map(|_| engine(&lean, true)).collect());
    println!("  in-memory journal and traces off: without {bare:>12.0}, with the durable journal {kept:>12.0}");

    let folder = tempfile::tempdir().expect("a folder");
    let rules = Arc::new(RuleSet::classic());
    let count = 1_000_000u64;
    let mut file = BufWriter::new(File::create(folder.path().join("bare")).expect("a file"));
    let began = Instant::now();
    for _ in 0..count {
        file.write_all(black_box(&[7; 100])).expect("it is written");
    }
    file.flush().expect("it is written");
    let bare = began.elapsed().as_secs_f64() / count as f64 * 1e9;
    println!("a 100-byte buffered append  {bare:>8.1} ns");

    let disk = Arc::new(Disk::new(folder.path()).expect("a folder"));
    let mut log = Log::open(disk.clone(), "journal", LogConfig::default()).expect("a journal");
    log.begin_session(session(Arc::clone(&rules)));
    let ten_million = 10_000_000u64;
    let (began, mut staging) = (Instant::now(), Duration::ZERO);
    for start in (0..ten_million).step_by(50_000) {
        let batch: Vec<_> = (start..start + 50_000).map(|sequence| evaluation(sequence, &rules)).collect();
        let staged = Instant::now();
        for evaluation in &batch {
            log.evaluation(Timestamp::from_nanos(evaluation.sequence * 500), evaluation).expect("it is staged");
        }
        staging += staged.elapsed();
        log.commit().expect("it is on the disk");
    }
    let each = staging.as_secs_f64() / ten_million as f64 * 1e9;
    println!("staging an evaluation       {each:>8.1} ns   {:.2} of the append", each / bare);
    println!("ten million evaluations, written and synced in 200 commits: {:.1} s", began.elapsed().as_secs_f64());
    let events = log.acknowledged();
    drop(log);

    let reader = Reader::open(disk.clone(), "journal").expect("a journal");
    let bytes = reader.bytes().expect("files") as f64 / ten_million as f64;
    println!("{events} events, {bytes:.1} bytes an evaluation, {} segments", reader.segments());
    let open = |_| {
        let began = Instant::now();
        black_box(Log::open(disk.clone(), "journal", LogConfig::default()).expect("a journal"));
        ms(began.elapsed())
    };
    println!("opening it                  {:>8.2} ms", median((0..5).map(open).collect()));
    let ask = |moment: Moment| {
        let began = Instant::now();
        black_box(reader.as_of(moment).expect("it is kept"));
        ms(began.elapsed())
    };
    let places = (1..=99u64).map(|place| events / 100 * place + 1);
    let by_version: Vec<f64> = places.clone().map(|version| ask(Moment::Version(version))).collect();
    let by_time: Vec<f64> =
        (1..=99u64).map(|place| ask(Moment::Time(Timestamp::from_nanos(ten_million * 5 * place)))).collect();
    let worst = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    println!(
        "a question by event number  {:>8.2} ms, at worst {:.2} ms",
        median(by_version.clone()),
        worst(&by_version)
    );
    println!("a question by time          {:>8.2} ms, at worst {:.2} ms", median(by_time.clone()), worst(&by_time));
    let began = Instant::now();
    let mut seen = 0u64;
    reader
        .visit(0, |_| {
            seen += 1;
            std::ops::ControlFlow::Continue(())
        })
        .expect("it is whole");
    println!("going over all of them      {:>8.0} ms ({seen})", ms(began.elapsed()));

    let shaper = Shaper::new("s", 7, Arc::clone(&rules));
    let mut repository =
        SqliteRepository::open(&folder.path().join("results.db"), Timestamp::EPOCH).expect("a database");
    let began = Instant::now();
    let rows = 200_000u64;
    for start in (0..rows).step_by(10_000) {
        let mut unit = repository.begin().expect("a transaction");
        for sequence in start..start + 10_000 {
            unit.add(shaper.shape(Timestamp::EPOCH, &evaluation(sequence, &rules))).expect("it is added");
        }
        unit.commit().expect("it is committed");
    }
    let row = began.elapsed().as_secs_f64() / rows as f64 * 1e9;
    println!("a row of SQLite in a batch  {row:>8.0} ns   {:.0} of the journal's", row / each);
}
