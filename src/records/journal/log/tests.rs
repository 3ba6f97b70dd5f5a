#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::domain::{Outcome, Output, RuleSet, Source};
use crate::records::files::simulated::{Faults, SimulatedDisk};

fn session(seed: u64) -> Session {
    Session {
        id: uuid::Uuid::from_u128(seed.into()).to_string(),
        seed,
        began: Timestamp::from_millis(1_000),
        rules: Arc::new(RuleSet::classic()),
    }
}

fn evaluation(sequence: u64, number: i64) -> Evaluation {
    let rules = RuleSet::classic();
    let mut evaluation = Evaluation {
        source: if number % 4 == 0 { Source::Cache } else { Source::Strategy },
        ..Evaluation::computed(sequence, number, &rules, Duration::from_nanos(300 + sequence % 50))
    };
    if number % 11 == 0 {
        evaluation.outcome = Outcome::Rejected;
        evaluation.error = Some(crate::domain::ErrorCode::CircuitOpen);
        evaluation.source = Source::None;
        evaluation.matched = crate::domain::RuleMask::NONE;
        evaluation.output = Output::Decimal;
        evaluation.correct = false;
    }
    evaluation
}

fn small() -> LogConfig {
    LogConfig { segment_bytes: 2_000 }
}

fn at(sequence: u64) -> Timestamp {
    Timestamp::from_nanos(1_000_000_000 + sequence * 500)
}

/// Evaluations 1..=`count`, a commit after every `each`.
fn filled(disk: &SimulatedDisk, count: u64, each: u64, config: LogConfig) -> Log {
    let mut log = Log::open(Arc::new(disk.clone()), "journal", config).unwrap();
    log.begin_session(session(7));
    for sequence in 0..count {
        log.evaluation(at(sequence), &evaluation(sequence, sequence as i64 + 1)).unwrap();
        if (sequence + 1) % each == 0 {
            log.commit().unwrap();
        }
    }
    log.commit().unwrap();
    log
}

fn all(reader: &Reader, after: u64) -> Vec<(u64, Timestamp, Evaluation)> {
    let mut found = Vec::new();
    reader
        .visit(after, |item| {
            if let Item::Evaluation { before, at, evaluation, .. } = item {
                found.push((before, at, evaluation.clone()));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn reader(disk: &SimulatedDisk) -> Reader {
    Reader::open(Arc::new(disk.clone()), "journal").unwrap()
}

#[test]
fn what_was_committed_comes_back_over_many_segments() {
    let disk = SimulatedDisk::new(1);
    let log = filled(&disk, 3_000, 70, small());
    assert!(log.segments() > 10, "{}", log.segments());
    let reader = reader(&disk);
    let found = all(&reader, 0);
    assert_eq!(found.len(), 3_000);
    let mut before = 0;
    for (sequence, (first, when, found)) in found.iter().enumerate() {
        let sequence = sequence as u64;
        assert_eq!((*first, *when, found), (before, at(sequence), &evaluation(sequence, sequence as i64 + 1)));
        before += fact_count(found);
    }
    assert_eq!((reader.totals(), reader.totals().version), (*log.totals(), before));
    let report = reader.verify().unwrap();
    assert_eq!((report.head, report.totals), (log.head(), *log.totals()));
    assert_eq!(Log::open(Arc::new(disk), "journal", small()).unwrap().head(), log.head(), "opening changes nothing");
}

#[test]
fn a_question_about_the_past_is_a_fold_over_the_events() {
    let disk = SimulatedDisk::new(1);
    let log = filled(&disk, 700, 33, LogConfig { segment_bytes: 3_000 });
    let reader = reader(&disk);
    let classifier = session(7).classifier();
    let found = all(&reader, 0);
    let mut fold = Totals::default();
    for (before, when, evaluation) in &found {
        assert_eq!(reader.as_of(Moment::Version(*before)).unwrap(), fold);
        assert_eq!(reader.as_of(Moment::Time(Timestamp::from_nanos(when.as_nanos() - 1))).unwrap(), fold);
        for part in 1..fact_count(evaluation) {
            let mut partly = fold;
            partly.part_of(evaluation, classifier, part);
            assert_eq!(reader.as_of(Moment::Version(before + part)).unwrap(), partly);
        }
        fold.evaluation(evaluation, classifier);
        assert_eq!(reader.as_of(Moment::Time(*when)).unwrap(), fold);
    }
    assert_eq!(reader.as_of(Moment::Version(fold.version)).unwrap(), *log.totals());
    assert_eq!(reader.as_of(Moment::Time(Timestamp::EPOCH)).unwrap(), Totals::default());
    let error = reader.as_of(Moment::Version(fold.version + 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("there is no event {} yet; the last one is {}", fold.version + 1, fold.version)
    );
    for (from, (before, ..)) in found.iter().enumerate().step_by(13) {
        assert_eq!(all(&reader, *before).len(), found.len() - from, "from event {before} on");
    }
}

#[test]
fn events_alone_are_what_a_visit_finds_of_them() {
    let disk = SimulatedDisk::new(1);
    let mut log = filled(&disk, 400, 40, small());
    for turn in 0..12u64 {
        let config = small();
        if turn % 4 == 3 {
            // Long stretches, whole segments too, without an event of a stream.
            drop(log);
            log = filled(&disk, 900, 50, config);
        }
        log.append("notes", Expected::Any, &[NewEvent::new("Note", "1"), NewEvent::new("Note", "2")]).unwrap();
        log.commit().unwrap();
    }
    let reader = reader(&disk);
    let last = reader.totals().version;
    for after in (0..=last).step_by(61).chain([last - 1, last]) {
        let (mut alone, mut among) = (Vec::new(), Vec::new());
        reader
            .events(after, |event| {
                alone.push(event.version);
                ControlFlow::Continue(())
            })
            .unwrap();
        reader
            .visit(after, |item| {
                if let Item::Event(event) = item {
                    among.push(event.version);
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(alone, among, "after {after}");
    }
    let mut first = None;
    reader
        .events(0, |event| {
            first = Some(event.version);
            ControlFlow::Break(())
        })
        .unwrap();
    assert!(first.is_some_and(|version| version > 400));
}

#[test]
fn a_torn_tail_is_cut_and_damage_before_good_records_is_refused() {
    let disk = SimulatedDisk::new(1);
    let log = filled(&disk, 200, 20, LogConfig::default());
    let name = "journal/00000000000000000001.seg";
    let size = disk.size(name).unwrap();
    // Half a record at the end is what a crash leaves.
    disk.append(name).unwrap().write(b"FzR\x01 half a record").unwrap();
    let again = Log::open(Arc::new(disk.clone()), "journal", LogConfig::default()).unwrap();
    assert_eq!((again.cut(), again.acknowledged(), disk.size(name).unwrap()), (18, log.acknowledged(), size));
    drop(again);
    disk.flip(name, 900).unwrap();
    let error = Log::open(Arc::new(disk.clone()), "journal", LogConfig::default()).unwrap_err();
    assert!(error.is_integrity(), "{error}");
    let told = error.to_string();
    assert!(told.contains("00000000000000000001.seg at byte ") && told.contains("a good record follows"), "{told}");
    assert_eq!(disk.size(name).unwrap(), size, "nothing is cut");
    assert!(Reader::open(Arc::new(disk), "journal").unwrap_err().is_integrity());
}

#[test]
fn every_flipped_byte_of_closed_segments_is_found_by_verify() {
    let disk = SimulatedDisk::new(1);
    let log = filled(&disk, 300, 30, LogConfig { segment_bytes: 900 });
    assert!(log.segments() > 2);
    let name = "journal/00000000000000000001.seg";
    for at in 0..usize::try_from(disk.size(name).unwrap()).unwrap() {
        disk.flip(name, at).unwrap();
        let found = Reader::open(Arc::new(disk.clone()), "journal").and_then(|reader| reader.verify());
        assert!(found.is_err_and(|error| error.is_integrity()), "byte {at}");
        disk.flip(name, at).unwrap();
    }
    disk.remove(name).unwrap();
    let error = Reader::open(Arc::new(disk), "journal").unwrap_err().to_string();
    assert!(error.contains("does not follow on event 1; a segment is missing"), "{error}");
}

#[test]
fn a_newer_journal_is_refused() {
    let disk = SimulatedDisk::new(1);
    drop(filled(&disk, 1, 1, LogConfig::default()));
    let name = "00000000000000000001.seg";
    let mut bytes = disk.read(&format!("journal/{name}"), 0, usize::MAX).unwrap();
    bytes[8] = 9;
    let checksum = crc32c::crc32c(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..HEADER].copy_from_slice(&checksum.to_le_bytes());
    crate::records::files::replace(&disk, "journal", name, &bytes).unwrap();
    let error = Log::open(Arc::new(disk), "journal", LogConfig::default()).unwrap_err();
    assert!(matches!(error, JournalError::Newer { version: 9, known: 1, .. }), "{error}");
}

#[test]
fn streams_have_expected_versions_and_events_have_names() {
    let disk = SimulatedDisk::new(1);
    let mut log = Log::open(Arc::new(disk.clone()), "journal", small()).unwrap();
    let note = |text: &str| NewEvent::new("Note", &format!("{{\"text\":\"{text}\"}}"));
    let conflict = |result: Result<Appended, JournalError>| match result {
        Err(JournalError::Conflict { actual, .. }) => actual,
        other => panic!("{other:?}"),
    };
    assert_eq!(conflict(log.append("a", Expected::Exists, &[note("x")])), 0);
    assert_eq!(conflict(log.append("a", Expected::Exact(1), &[note("x")])), 0);
    let first = log.append("a", Expected::None, &[note("1"), note("2")]).unwrap();
    assert_eq!(first, Appended { version: 2, position: 2, again: false });
    assert_eq!(conflict(log.append("a", Expected::None, &[note("x")])), 2, "what is staged counts");
    assert_eq!(log.append("a", Expected::Exact(2), &[note("3")]).unwrap().position, 3);
    assert_eq!(log.append("b", Expected::Any, &[note("other stream")]).unwrap().position, 1);
    let id = uuid::Uuid::from_u128(42);
    let named = log.append("a", Expected::Exists, &[note("4").named(id)]).unwrap();
    log.commit().unwrap();
    drop(log);
    disk.crash();
    let mut log = Log::open(Arc::new(disk), "journal", small()).unwrap();
    assert_eq!((log.position("a"), log.position("b"), log.acknowledged()), (4, 1, 5));
    let again = log.append("a", Expected::Exact(0), &[note("4").named(id)]).unwrap();
    assert_eq!(again, Appended { again: true, ..named });
    let half = [note("4").named(id), note("5").named(uuid::Uuid::from_u128(43))];
    assert!(matches!(log.append("a", Expected::Any, &half), Err(JournalError::Duplicate { version: 5, .. })));
    let twice = [note("5").named(uuid::Uuid::from_u128(43)), note("5").named(uuid::Uuid::from_u128(43))];
    assert!(matches!(log.append("a", Expected::Any, &twice), Err(JournalError::Invalid(_))));
    for (stream, event) in [("", note("x")), ("a", NewEvent::new("", "{}")), ("a", NewEvent::new("Note", "{"))] {
        assert!(matches!(log.append(stream, Expected::Any, &[event]), Err(JournalError::Invalid(_))));
    }
    assert_eq!(log.commit().unwrap(), 5, "nothing was staged");
}

#[test]
fn after_a_failed_sync_nothing_more_is_written() {
    let disk = SimulatedDisk::new(3);
    let mut log = filled(&disk, 10, 10, LogConfig::default());
    let acknowledged = log.acknowledged();
    disk.set_faults(Faults { sync_eio: 1_000_000, ..Faults::default() });
    log.append("a", Expected::Any, &[NewEvent::new("Note", "1")]).unwrap();
    let error = log.commit().unwrap_err();
    assert!(error.is_integrity(), "{error}");
    assert!(error.to_string().contains(&format!("everything up to event {acknowledged} is on the disk")), "{error}");
    disk.set_faults(Faults::default());
    assert!(matches!(log.commit(), Err(JournalError::Stopped(_))), "a second sync would prove nothing");
    assert!(log.append("a", Expected::Any, &[NewEvent::new("Note", "1")]).is_err());
    assert_eq!(log.acknowledged(), acknowledged);
}

#[test]
fn compaction_keeps_the_chain_the_streams_and_the_names() {
    let disk = SimulatedDisk::new(1);
    let mut log = filled(&disk, 100, 10, small());
    let id = uuid::Uuid::from_u128(1);
    log.append("a", Expected::Any, &[NewEvent::new("Note", "1").named(id)]).unwrap();
    log.commit().unwrap();
    for sequence in 100..2_000 {
        log.evaluation(at(sequence), &evaluation(sequence, sequence as i64 + 1)).unwrap();
        if sequence % 50 == 0 {
            log.commit().unwrap();
        }
    }
    log.commit().unwrap();
    let (head, totals) = (log.head(), *log.totals());
    let whole = reader(&disk);
    let nothing = log.compact(Retention { events: Some(1_000_000), since: None }).unwrap();
    assert_eq!((nothing.segments, nothing.first), (0, 1));
    let report = log.compact(Retention { events: Some(2_000), since: None }).unwrap();
    assert!(report.segments > 3 && report.bytes > 5_000, "{report:?}");
    assert!(report.first <= totals.version - 2_000 + 1, "at least so many are kept");
    drop(log);
    disk.crash();
    let mut log = Log::open(Arc::new(disk.clone()), "journal", small()).unwrap();
    assert_eq!((log.head(), *log.totals(), log.position("a")), (head.clone(), totals, 1));
    assert!(log.append("a", Expected::Any, &[NewEvent::new("Note", "1").named(id)]).unwrap().again);
    let left = reader(&disk);
    let verified = left.verify().unwrap();
    assert_eq!((verified.head, verified.compacted as u64), (head, report.segments));
    assert_eq!(left.first(), report.first);
    assert_eq!(all(&left, left.first() - 1), all(&left, report.first - 1));
    assert_eq!(left.as_of(Moment::Version(report.first - 1)).unwrap().version, report.first - 1);
    let error = left.visit(0, |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("were compacted; what is kept begins with event"), "{error}");
    assert!(left.as_of(Moment::Version(5)).is_err());
    // Whoever read the journal before still sees that it is the same one.
    assert_eq!(whole.totals(), left.totals());
}

/// One life of a journal on a disk that fails: appends and commits until something goes wrong or it is told to stop, then a
/// crash or only a restart. What was acknowledged must be there, whatever happened.
fn live(seed: u64) -> (u64, u64) {
    let disk = SimulatedDisk::new(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let config = LogConfig { segment_bytes: rng.random_range(400..4_000) };
    // Everything that was ever staged, in order: evaluations by number, events by name.
    let mut acknowledged: Vec<i64> = Vec::new();
    let mut names: Vec<u128> = Vec::new();
    let (mut commits, mut failures) = (0, 0);
    let mut next = 1i64;
    for life in 0..6u64 {
        disk.set_faults(Faults::default());
        let mut log = Log::open(Arc::new(disk.clone()), "journal", config)
            .unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        let reader = Reader::open(Arc::new(disk.clone()), "journal").unwrap();
        let (mut numbers, mut found, mut expected) = (Vec::new(), Vec::new(), 0);
        reader
            .visit(0, |item| {
                match item {
                    Item::Evaluation { before, evaluation, .. } => {
                        assert_eq!(before, expected, "seed {seed}: gapless");
                        expected += fact_count(evaluation);
                        numbers.push(evaluation.number);
                    }
                    Item::Event(event) => {
                        expected += 1;
                        assert_eq!(event.version, expected, "seed {seed}: gapless");
                        found.push(event.id.as_u128());
                    }
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        reader.verify().unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        assert_eq!((log.acknowledged(), expected), (reader.totals().version, log.acknowledged()));
        assert!(numbers.starts_with(&acknowledged), "seed {seed}, life {life}: an acknowledged evaluation is lost");
        assert!(found.starts_with(&names), "seed {seed}, life {life}: an acknowledged event is lost");
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: doubled or out of order");
        (acknowledged, names) = (numbers, found);
        log.begin_session(session(seed + life));
        let odds = if rng.random_bool(0.7) { 30_000 } else { 0 };
        disk.set_faults(Faults { write_eio: odds, write_enospc: odds, sync_eio: odds, other_eio: odds });
        for _ in 0..rng.random_range(1..25) {
            let (mut staged, mut staged_names) = (Vec::new(), Vec::new());
            for _ in 0..rng.random_range(1..60) {
                let stands = if rng.random_bool(0.05) {
                    let id = rng.random::<u128>();
                    staged_names.push(id);
                    let event = NewEvent::new("Note", "{}").named(uuid::Uuid::from_u128(id));
                    log.append("notes", Expected::Any, &[event]).map(drop)
                } else {
                    staged.push(next);
                    next += 1;
                    log.evaluation(at(next as u64), &evaluation(next as u64, next - 1))
                };
                if stands.is_err() {
                    break;
                }
            }
            if rng.random_bool(0.03) {
                break; // The machine stops with something staged.
            }
            match log.commit() {
                Ok(version) => {
                    assert_eq!(version, log.acknowledged());
                    acknowledged.append(&mut staged);
                    names.append(&mut staged_names);
                    commits += 1;
                }
                Err(_) => {
                    failures += 1;
                    break;
                }
            }
            if rng.random_bool(0.02) {
                // Keeps everything; it must survive the crash all the same.
                let _ = log.compact(Retention { events: Some(u64::MAX), since: None });
            }
        }
        drop(log);
        if rng.random_bool(0.7) {
            disk.crash();
        }
    }
    (commits, failures)
}

#[test]
fn a_thousand_journals_on_failing_disks_lose_nothing_that_was_acknowledged() {
    let (mut commits, mut failures) = (0, 0);
    for seed in 0..1_000 {
        let (done, failed) = live(seed);
        commits += done;
        failures += failed;
    }
    println!("1000 journals, 6 lives each: {commits} commits, {failures} of them refused by the disk");
    assert!(commits > 20_000 && failures > 500, "the disks failed: {commits} {failures}");
    assert_eq!(live(12), live(12), "a seed is a run");
}

proptest! {
    #[test]
    fn any_evaluations_come_back_in_any_grouping(
        all in prop::collection::vec(blocks::tests::evaluations(), 1..120),
        each in 1usize..40,
        segment_bytes in 300u64..5_000,
    ) {
        let disk = SimulatedDisk::new(1);
        let mut log = Log::open(Arc::new(disk.clone()), "journal", LogConfig { segment_bytes }).unwrap();
        log.begin_session(session(1));
        for group in all.chunks(each) {
            for (at, evaluation) in group {
                log.evaluation(*at, evaluation).unwrap();
            }
            log.commit().unwrap();
        }
        let found: Vec<_> = self::all(&reader(&disk), 0).into_iter().map(|(_, at, found)| (at, found)).collect();
        prop_assert_eq!(found, all);
    }
}
