//! `--journal`, `--repository`, `fizzops journal` and `fizzops migrate` as a shell sees them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::common::{Ran, fizzops, program};
use serde_json::Value;
use tempfile::TempDir;

/// A data directory with 1 to 30 by the classic rules.
fn thirty() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    let ran = fizzops(&format!("run --range 1 30 --quiet --no-summary --journal --data-dir {dir}"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    (folder, dir)
}

fn journal(dir: &str, args: &[&str]) -> Ran {
    program().arg("journal").args(args).args(["--data-dir", dir]).output().unwrap().into()
}

fn good(dir: &str, args: &[&str]) -> String {
    let ran = journal(dir, args);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}");
    ran.stdout
}

fn refused(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, code, "{}", ran.stderr);
    for text in says {
        assert!(ran.stderr.contains(text), "`{text}` is missing in:\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

/// The value behind a name in a list of totals.
fn total(text: &str, name: &str) -> u64 {
    let line =
        text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit("  ").next().unwrap().trim().replace(' ', "").parse().unwrap()
}

#[test]
fn event_fifty_of_one_to_thirty_is_in_the_twelfth_evaluation() {
    let (_folder, dir) = thirty();
    let then = good(&dir, &["at", "50"]);
    assert!(then.starts_with("after event 50\n"), "{then}");
    assert_eq!(total(&then, "evaluations"), 11);
    let stats = good(&dir, &["stats"]);
    let facts = ["NumberReceived", "DivisibilityChecked", "RuleMatched", "LabelAssigned", "EvaluationCompleted"];
    assert_eq!(facts.map(|fact| total(&stats, fact)), [30, 32, 16, 30, 30]);
    assert_eq!(["fizz", "buzz", "fizzbuzz", "plain"].map(|class| total(&stats, class)), [8, 4, 2, 16]);
    assert_eq!(total(&stats, "events"), 138 + total(&stats, "other events"));
    assert!(good(&dir, &["replay"]).starts_with("replayed 14"));
    assert!(good(&dir, &["verify"]).starts_with("journal verified: 14"));
    let then = good(&dir, &["at", "50", "--results"]);
    assert!(then.contains("          11  11\n") && !then.contains("          12  Fizz\n"), "{then}");
    assert!(good(&dir, &["at", "2020-01-01T00:00:00Z"]).starts_with("after event 0\n"));
}

#[test]
fn a_filter_finds_what_it_says_in_every_format() {
    let (_folder, dir) = thirty();
    let found = good(&dir, &["query", "number > 10 and output = \"Fizz\" and outcome != failed", "--format", "ndjson"]);
    let numbers: Vec<_> =
        found.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [12, 18, 21, 24, 27]);
    let last = good(&dir, &["query", "class = fizzbuzz", "--last", "--limit", "1", "--format", "csv"]);
    assert_eq!(last.lines().count(), 2);
    assert!(last.lines().nth(1).unwrap().contains(",30,FizzBuzz,ok,"), "{last}");
    assert_eq!(good(&dir, &["query"]).lines().count(), 30);
    let operations = good(&dir, &["query", "--stream", "operations"]);
    assert!(operations.contains("SESSION_STARTED") && operations.contains("SESSION_ENDED"), "{operations}");
}

#[test]
fn exports_are_cloud_events() {
    let (_folder, dir) = thirty();
    let whole = good(&dir, &["export"]);
    let events: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ids = std::collections::BTreeSet::new();
    for event in &events {
        assert_eq!(event["specversion"], "1.0");
        for required in ["id", "source", "type"] {
            assert!(!event[required].as_str().unwrap().is_empty(), "{event}");
        }
        assert!(event.as_object().unwrap().keys().all(|key| key.chars().all(|c| c.is_ascii_lowercase())), "{event}");
        assert!(ids.insert((event["source"].clone().to_string(), event["id"].to_string())), "{event}");
    }
    let facts = good(&dir, &["export", "--facts", "number = 15"]);
    let kinds: Vec<_> = facts
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "fizzops.NumberReceived",
            "fizzops.DivisibilityChecked",
            "fizzops.RuleMatched",
            "fizzops.DivisibilityChecked",
            "fizzops.RuleMatched",
            "fizzops.LabelAssigned",
            "fizzops.EvaluationCompleted"
        ]
    );
    let received: Value = serde_json::from_str(facts.lines().next().unwrap()).unwrap();
    assert_eq!(
        (received["data"]["priority"].as_str(), received["dataschemaversion"].as_str()),
        (Some("normal"), Some("2"))
    );
    assert_eq!(good(&dir, &["export", "--format", "csv", "number <= 5"]).lines().count(), 6);
}

#[test]
fn streams_keep_expected_versions_and_names() {
    let (_folder, dir) = thirty();
    let id = "00000000-0000-8000-8000-000000000001";
    let first = good(&dir, &["append", "notes", "--kind", "Note", "--expect", "none", "--id", id]);
    assert!(first.contains("is on the disk, number 1 of stream notes"), "{first}");
    assert!(good(&dir, &["append", "notes", "--kind", "Note", "--id", id]).contains("was there already"));
    refused(&journal(&dir, &["append", "operations", "--kind", "Note"]), 2, &["is the engine's own", "EFP-ES04"]);
    let timed = journal(&dir, &["query", "number = 15", "--timing"]);
    assert!(timed.code == 0 && timed.stderr.starts_with("fizzops: the query find took "), "{}", timed.stderr);
    let conflict = journal(&dir, &["append", "notes", "--kind", "Note", "--expect", "none"]);
    refused(&conflict, 2, &["stream `notes` is at version 1; it was expected to have no events", "EFP-ES09"]);
    refused(&journal(&dir, &["append", "notes", "--kind", "Note", "--data", "{"]), 2, &["no JSON value"]);
}

#[test]
fn what_is_asked_wrongly_is_told_with_its_place() {
    let (_folder, dir) = thirty();
    refused(
        &journal(&dir, &["query", "number > 10 and outcom != ok"]),
        2,
        &["did you mean `outcome`?", "number > 10 and outcom != ok\n                  ^^^^^^"],
    );
    refused(&journal(&dir, &["at", "9999"]), 2, &["there is no event 9999 yet", "EFP-ES08"]);
    refused(&journal(&dir, &["at", "yesterday"]), 2, &["neither an event's number nor a time"]);
    refused(&journal("/nonexistent/data", &["stats"]), 2, &["/nonexistent/data"]);
    refused(&journal(&dir, &["compact"]), 2, &["--keep-events"]);
}

fn segment(dir: &str) -> std::path::PathBuf {
    Path::new(dir).join("journal/00000000000000000001.seg")
}

#[test]
fn damage_is_refused_with_exit_code_four_and_a_torn_tail_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    for _ in 0..2 {
        let ran = fizzops(&format!("run --range 1 500 --quiet --no-summary --journal --data-dir {dir}"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    let whole = std::fs::read(segment(&dir)).unwrap();
    let verified = good(&dir, &["verify"]);
    std::fs::write(segment(&dir), [&whole[..], b"FzR\x01 torn"].concat()).unwrap();
    let ran = fizzops(&format!("run --range 1 1 --no-summary --journal --data-dir {dir}"));
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("9 torn bytes were cut off the journal"), "{}", ran.stderr);
    assert_ne!(good(&dir, &["verify"]), verified, "it went on");
    let mut damaged = whole.clone();
    damaged[400] ^= 1;
    std::fs::write(segment(&dir), &damaged).unwrap();
    for ran in [
        journal(&dir, &["stats"]),
        journal(&dir, &["verify"]),
        fizzops(&format!("run --range 1 1 --journal --data-dir {dir}")),
    ] {
        refused(&ran, 4, &["the journal is damaged", "at byte", "a good record follows", "EFP-ES01"]);
    }
    assert_eq!(std::fs::read(segment(&dir)).unwrap(), damaged, "nothing was changed");
}

#[test]
fn a_newer_data_directory_is_refused() {
    let (_folder, dir) = thirty();
    std::fs::write(Path::new(&dir).join("format"), "fizzops-data 2\n").unwrap();
    for args in ["run --range 1 1 --journal", "journal stats", "migrate status"] {
        let ran = fizzops(&format!("{args} --data-dir {dir}"));
        refused(&ran, 4, &["is a data directory of version 2; this program knows version 1"]);
    }
}

#[test]
fn a_second_engine_is_refused_with_the_first_ones_process_id_and_readers_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    let mut first = program()
        .args([
            "run",
            "--range",
            "1",
            "100000000",
            "--rate",
            "2000",
            "--journal",
            "--acks",
            "--quiet",
            "--data-dir",
            &dir,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    BufReader::new(first.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert!(told.starts_with("acknowledged journal "), "{told}");
    let second = fizzops(&format!("run --range 1 1 --journal --data-dir {dir}"));
    let stats = journal(&dir, &["stats"]);
    first.kill().unwrap();
    first.wait().unwrap();
    refused(&second, 2, &[&format!("is in use by the engine with process id {};", first.id())]);
    assert_eq!(stats.code, 0, "{}", stats.stderr);
    let third = fizzops(&format!("run --range 1 1 --quiet --journal --data-dir {dir}"));
    assert_eq!(third.code, 0, "the lock is gone with its process: {}", third.stderr);
}

#[test]
fn a_full_disk_ends_the_session_and_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    // A limit on the size of files is what a full disk looks like to a program, without filling one.
    let script = format!(
        "trap '' XFSZ; ulimit -f 200; exec {} run --range 1 10000000 --journal --acks --no-summary --no-banner --set event_sourcing.commit_interval_ms=1 --data-dir {dir} >/dev/null",
        env!("CARGO_BIN_EXE_fizzops")
    );
    let ran: Ran = std::process::Command::new("bash").args(["-c", &script]).output().unwrap().into();
    refused(&ran, 2, &["the journal stopped", "could not be written", "EFP-ES00"]);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "one message");
    let acknowledged = |line: &str| line.strip_prefix("acknowledged journal ").and_then(|n| n.parse::<u64>().ok());
    let last = ran.stderr.lines().filter_map(acknowledged).max().unwrap();
    assert!(ran.stderr.contains(&format!("everything up to event {last} is on the disk")), "{}", ran.stderr);
    let there = total(&good(&dir, &["stats"]), "events");
    assert_eq!(there, last);
}

#[test]
fn compaction_lets_go_of_old_events_and_verification_still_holds() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    let ran = fizzops(&format!(
        "run --range 1 60000 --quiet --no-summary --journal --data-dir {dir} --set event_sourcing.segment_bytes=65536 --set event_sourcing.commit_interval_ms=1"
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let before = good(&dir, &["stats"]);
    let results = good(&dir, &["at", &total(&before, "events").to_string(), "--results"]);
    let told = good(&dir, &["compact", "--keep-events", "20000"]);
    assert!(told.starts_with("compacted ") && !told.starts_with("compacted 0"), "{told}");
    let after = good(&dir, &["stats"]);
    for name in ["evaluations", "fizz", "EvaluationCompleted"] {
        assert_eq!(total(&before, name), total(&after, name));
    }
    assert_eq!(total(&before, "events") + 1, total(&after, "events"), "the compaction itself is on record");
    let operations = good(&dir, &["query", "--stream", "operations"]);
    assert!(operations.contains(r#"ES_COMMAND_HANDLED {"command":"compact","by":""#), "{operations}");
    assert!(good(&dir, &["verify"]).contains("compacted)"));
    assert_eq!(good(&dir, &["at", &total(&before, "events").to_string(), "--results"]), results, "from the snapshot");
    refused(&journal(&dir, &["at", "50"]), 2, &["were compacted", "EFP-ES08"]);
}

#[test]
fn current_results_are_kept_up_with_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    let run = |set: &str| {
        let args = "run --range 1 300 --no-banner --no-summary --journal --virtual";
        let ran = fizzops(&format!("{args} --data-dir {dir} {set}"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stderr
    };
    let told = run("--set event_sourcing.checkpoint_seconds=1");
    assert!(told.contains("current results: 300 numbers, checkpoint at event "), "{told}");
    let checkpoints = || std::fs::read_dir(Path::new(&dir).join("projections")).unwrap().count();
    assert_eq!(checkpoints(), 1);
    let events = total(&good(&dir, &["stats"]), "events").to_string();
    let with = good(&dir, &["at", &events, "--results"]);
    std::fs::remove_dir_all(Path::new(&dir).join("projections")).unwrap();
    assert_eq!(good(&dir, &["at", &events, "--results"]), with, "from nothing it is the same");
}

#[test]
fn results_are_kept_and_the_schema_goes_up_and_down() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    let run = |kind: &str| {
        fizzops(&format!(
            "run --range 1 100 --no-banner --no-summary --repository {kind} --data-dir {dir} --virtual --seed 3"
        ))
    };
    for kind in ["sqlite", "filesystem", "memory"] {
        let ran = run(kind);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stderr, format!("repository {kind}: 100 results committed\n"));
    }
    assert_eq!(std::fs::read_dir(Path::new(&dir).join("results")).unwrap().count(), 100);
    refused(&run("sqlite"), 2, &["an id names one result for ever", "EFP-RP00"]);
    let migrate = |args: &str| fizzops(&format!("migrate {args} --data-dir {dir}"));
    let up = migrate("up");
    assert_eq!((up.code, up.stdout.lines().count()), (0, 4), "the first is applied already: {}", up.stderr);
    assert_eq!(migrate("up").stdout, "nothing is pending\n");
    assert_eq!(migrate("seed --range 1 50").stdout, "seeded 50 results\n");
    assert_eq!(migrate("down --to m002").stdout.lines().count(), 3);
    assert_eq!(migrate("down --steps 1").stdout, "took back m002_add_is_prime\n");
    let status = migrate("status");
    let marks: Vec<_> = status.stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(marks, ["[+]", "[-]", "[-]", "[-]", "[-]"]);
    refused(&migrate("up --to m042"), 2, &["there is no migration m042", "EFP-MG01"]);
    let database = rusqlite::Connection::open(Path::new(&dir).join("results.db")).unwrap();
    database.execute("UPDATE schema_migrations SET checksum = 'x' WHERE state = 'applied'", ()).unwrap();
    refused(&migrate("up"), 4, &["was applied with the checksum x", "EFP-MG05"]);
}

#[test]
fn a_database_locked_by_another_program_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    let first = fizzops(&format!("run --range 1 5 --quiet --no-summary --repository sqlite --data-dir {dir}"));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let database = rusqlite::Connection::open(Path::new(&dir).join("results.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ran = fizzops(&format!("run --range 1 5 --quiet --no-summary --repository sqlite --data-dir {dir}"));
    refused(&ran, 2, &["is locked by another program", "EFP-RP00"]);
}

#[test]
fn a_trace_shows_every_middleware_of_one_number() {
    let ran = fizzops("trace 15 --seed 7");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("trace ") && ran.stdout.contains("evaluate(15)  FizzBuzz"), "{}", ran.stdout);
    for name in ["tracing", "authorization", "flags", "cache", "journal", "strategy", "translation", "slo"] {
        assert!(ran.stdout.lines().any(|line| line.trim_start().starts_with(name)), "{name}: {}", ran.stdout);
    }
    let ran = fizzops("trace 15 --seed 7 --format otlp");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let nanos = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    let root = &spans[0];
    assert_eq!((root["parentSpanId"].as_str(), root["traceId"].as_str().map(str::len)), (Some(""), Some(32)));
    for span in &spans[1..] {
        let parent = spans.iter().find(|other| other["spanId"] == span["parentSpanId"]).expect("a parent");
        assert!(nanos(span, "startTimeUnixNano") >= nanos(parent, "startTimeUnixNano"), "{span}");
        assert!(nanos(span, "endTimeUnixNano") <= nanos(root, "endTimeUnixNano"), "{span}");
    }
    refused(&fizzops("trace fifteen"), 2, &["fifteen"]);
}
