//! The real program under full load is killed at random moments and started again: whatever it acknowledged is there.

use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};

use crate::common::program;
use fizzops::domain::Timestamp;
use fizzops::records::files::Disk;
use fizzops::records::journal::log::{Item, Reader, fact_count};
use fizzops::records::storage::{Repository as _, SqliteRepository};

/// How often; `FIZZOPS_CRASHES` says another number.
const CRASHES: u64 = 12;

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_program_is_killed() {
    let crashes = std::env::var("FIZZOPS_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(CRASHES);
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed.into());
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let (mut journaled, mut stored, mut mid_commit) = (0u64, 0u64, 0);
    for crash in 0..crashes {
        let mut child = program()
            .args(["run", "--range", "1", "1000000000", "--journal", "--repository", "sqlite", "--acks", "--quiet"])
            .args(["--no-summary", "--set", "event_sourcing.segment_bytes=300000", "--seed", &crash.to_string()])
            .arg("--data-dir")
            .arg(&dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let reader = BufReader::new(child.stderr.take().unwrap());
        let told = std::thread::spawn(move || {
            let (mut journal, mut repository, mut other) = (0, 0, String::new());
            for line in reader.lines().map_while(Result::ok) {
                let number = |what| line.strip_prefix(what).and_then(|rest| rest.parse::<u64>().ok());
                if let Some(version) = number("acknowledged journal ") {
                    assert!(version > journal, "acknowledgements go on");
                    journal = version;
                } else if let Some(count) = number("acknowledged repository ") {
                    repository = count;
                } else if !line.contains("torn bytes were cut") {
                    other = line;
                }
            }
            (journal, repository, other)
        });
        // Somewhere between its first breath and a good part of a second.
        std::thread::sleep(Duration::from_millis(rng.random_range(60..560)));
        child.kill().unwrap();
        child.wait().unwrap();
        let (journal, repository, other) = told.join().unwrap();
        assert_eq!(other, "", "crash {crash}: it had nothing to complain of");
        journaled = journaled.max(journal);
        stored += repository;

        if !dir.join("journal").is_dir() {
            continue; // It was killed before it had made anything.
        }
        let reader = Reader::open(Arc::new(Disk::new(&dir).unwrap()), "journal").unwrap();
        let report = reader.verify().unwrap_or_else(|error| panic!("crash {crash}: {error}"));
        assert!(report.totals.version >= journaled, "crash {crash}: {} of {journaled}", report.totals.version);
        mid_commit += u32::from(report.totals.version > journaled);
        journaled = report.totals.version;
        let mut next = 0;
        reader
            .visit(0, |item| {
                match item {
                    Item::Evaluation { before, evaluation, .. } => {
                        assert_eq!(before, next, "crash {crash}: gapless, once");
                        next += fact_count(evaluation);
                    }
                    Item::Event(event) => {
                        next += 1;
                        assert_eq!(event.version, next, "crash {crash}: gapless, once");
                    }
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(next, journaled);
        if dir.join("results.db").exists() {
            let database = SqliteRepository::open(&dir.join("results.db"), Timestamp::EPOCH).unwrap();
            let there = database.count().unwrap();
            assert!(there >= stored, "crash {crash}: {there} of {stored} results");
            stored = there;
        }
    }
    println!(
        "{crashes} crashes: {journaled} events and {stored} results kept, {mid_commit} killed between disk and word"
    );
    assert!(journaled > 1_000 && stored > 1_000, "it was under load: {journaled} events, {stored} results");
}
