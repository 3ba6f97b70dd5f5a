//! Ledger, journal and repository of the same sessions agree, and whatever is changed in one of them is found and named.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use fizzops::domain::Timestamp;
use fizzops::engine::agreement::{Compared, compare_journal, compare_repository};
use fizzops::records::files::Disk;
use fizzops::records::journal::log::Reader as Journal;
use fizzops::records::ledger::{Reader, VerifierKey, verify};
use fizzops::records::storage::{FileRepository, SqliteRepository};
use proptest::prelude::*;

use crate::common::fizzops;

fn session(data: &Path, more: &str) {
    let ran = fizzops(&format!(
        "run --all --chaos-level 3 --virtual --quiet --no-summary --journal --ledger --data-dir {} {more}",
        data.display()
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// Two sessions, one with a database and one with files, and the key that their ledger is signed with.
fn kept() -> (tempfile::TempDir, VerifierKey) {
    let home = tempfile::tempdir().unwrap();
    session(home.path(), "--seed 5 --range 1 400 --repository sqlite --locale de");
    session(home.path(), "--seed 6 --range 1 40 --repository filesystem");
    let key = std::fs::read_to_string(home.path().join("ledger/verifier.key")).unwrap().parse().unwrap();
    (home, key)
}

/// As `fizzops ledger verify` does: each by itself, then against the ledger.
fn check(data: &Path, key: &VerifierKey) -> Result<[Compared; 3], String> {
    let folder = data.join("ledger");
    verify(&folder, key, None).map_err(|error| error.to_string())?;
    let ledger = Reader::open(&folder, key).map_err(|error| error.to_string())?;
    let files = || Arc::new(Disk::new(data).unwrap());
    let journal = Journal::open(files(), "journal").map_err(|error| error.to_string())?;
    journal.verify().map_err(|error| error.to_string())?;
    let journal = compare_journal(&ledger, &journal).map_err(|error| error.to_string())?;
    let open = SqliteRepository::open(&data.join("results.db"), Timestamp::EPOCH);
    let sqlite = compare_repository(&ledger, &open.map_err(|error| error.to_string())?);
    let sqlite = sqlite.map_err(|error| error.to_string())?;
    let open = FileRepository::open(files(), "results").map_err(|error| error.to_string())?;
    let files = compare_repository(&ledger, &open).map_err(|error| error.to_string())?;
    Ok([journal, sqlite, files])
}

#[test]
fn what_was_kept_agrees() {
    let (home, key) = kept();
    let [journal, sqlite, files] = check(home.path(), &key).unwrap();
    assert_eq!((journal.sessions, journal.evaluations, journal.ledger_alone, journal.other_alone), (2, 440, 0, 0));
    assert!(journal.operations >= 4, "{journal:?}");
    assert_eq!((sqlite.sessions, sqlite.evaluations, sqlite.ledger_alone, sqlite.other_alone), (1, 400, 1, 0));
    assert_eq!((files.sessions, files.evaluations, files.ledger_alone, files.other_alone), (1, 40, 1, 0));
    let ran = fizzops(&format!("ledger verify --data-dir {}", home.path().display()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for says in ["2 sessions, 440 evaluations", "repository sqlite: 400 results", "repository filesystem: 40 results"] {
        assert!(ran.stdout.contains(says), "{}", ran.stdout);
    }
}

#[test]
fn a_journal_of_another_history_is_found_though_its_chain_is_valid() {
    let ((home, _), other) = (kept(), tempfile::tempdir().unwrap());
    // The same seed and so the same session id, but other rules of the house.
    session(other.path(), "--seed 5 --range 1 400 --set cache.enabled=false");
    std::fs::remove_dir_all(home.path().join("journal")).unwrap();
    std::fs::rename(other.path().join("journal"), home.path().join("journal")).unwrap();
    let verified = fizzops(&format!("journal verify --data-dir {}", home.path().display()));
    assert_eq!(verified.code, 0, "by itself it is whole: {}", verified.stderr);
    let ran = fizzops(&format!("ledger verify --data-dir {}", home.path().display()));
    assert_eq!(ran.code, 4, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("the journal's event ") && ran.stderr.contains("the ledger's entry "),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stderr.matches("error:").count(), 1);
}

/// One home for all cases: each puts back what it changed.
static KEPT: LazyLock<Mutex<(tempfile::TempDir, VerifierKey)>> = LazyLock::new(|| Mutex::new(kept()));

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() { below(&entry.path(), found) } else { found.push(entry.path()) }
    }
    found.sort();
}

/// Flips a bit in one of the files, checks, and puts it back.
fn flipped(
    folder: &str,
    suffix: &str,
    file: &prop::sample::Index,
    at: &prop::sample::Index,
    bit: u8,
) -> Result<(), String> {
    let kept = KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut files = Vec::new();
    below(&kept.0.path().join(folder), &mut files);
    // The key is given from outside, and nothing believes the one in the directory.
    files.retain(|file| !file.ends_with("verifier.key") && file.to_str().unwrap().ends_with(suffix));
    let file = &files[file.index(files.len())];
    let whole = std::fs::read(file).unwrap();
    let mut changed = whole.clone();
    let at = at.index(whole.len());
    changed[at] ^= 1 << bit;
    std::fs::write(file, &changed).unwrap();
    let found = check(kept.0.path(), &kept.1);
    std::fs::write(file, &whole).unwrap();
    match found {
        Ok(_) => Err(format!("bit {bit} of byte {at} of {} was not found", file.display())),
        Err(problem)
            if problem.contains('/')
                || problem.contains("result")
                || problem.contains("checkpoint")
                || problem.contains("blocks.jsonl")
                || problem.contains("journal") =>
        {
            Ok(())
        }
        Err(problem) => Err(format!("{} is not named in: {problem}", file.display())),
    }
}

const COLUMNS: [&str; 21] = [
    "result_id",
    "number",
    "output",
    "matched_rules_json",
    "processing_time_ns",
    "outcome",
    "class",
    "error",
    "correct",
    "source",
    "sequence",
    "at_ns",
    "faults",
    "attempts",
    "session_id",
    "confidence",
    "is_fizz",
    "is_buzz",
    "is_fizzbuzz",
    "is_plain",
    "rules_matched",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_of_the_journal_is_found(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        prop_assert_eq!(flipped("journal", ".seg", &file, &at, bit), Ok(()));
    }

    #[test]
    fn any_flipped_bit_of_the_ledger_is_found(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        prop_assert_eq!(flipped("ledger", "", &file, &at, bit), Ok(()));
    }

    #[test]
    fn any_flipped_bit_of_a_repositorys_file_is_found(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        prop_assert_eq!(flipped("results", ".json", &file, &at, bit), Ok(()));
    }

    #[test]
    fn any_flipped_bit_of_a_database_row_is_found(row in 0i64..400, column in 0usize..21, at in any::<prop::sample::Index>(), bit in 0u32..63) {
        use rusqlite::types::Value;
        let kept = KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let connection = rusqlite::Connection::open(kept.0.path().join("results.db")).unwrap();
        let name = COLUMNS[column];
        let (place, value): (String, Value) = connection
            .query_row(
                &format!("SELECT result_id, {name} FROM fizzbuzz_results ORDER BY result_id LIMIT 1 OFFSET ?"),
                [row],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        let changed = match &value {
            Value::Integer(number) => Value::Integer(number ^ 1 << bit),
            Value::Real(number) => Value::Real(f64::from_bits(number.to_bits() ^ 1 << bit)),
            Value::Text(text) if !text.is_empty() => {
                let mut bytes = text.clone().into_bytes();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 7);
                match String::from_utf8(bytes) {
                    Ok(text) => Value::Text(text),
                    Err(_) => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        let update = format!("UPDATE fizzbuzz_results SET {name} = ? WHERE result_id = ?");
        // What the schema itself refuses cannot be there.
        if connection.execute(&update, rusqlite::params![&changed, &place]).is_err() {
            return Ok(());
        }
        let found = check(kept.0.path(), &kept.1);
        let place = match &changed {
            Value::Text(text) if name == "result_id" => text.clone(),
            _ => place,
        };
        connection.execute(&update, rusqlite::params![value, place]).unwrap();
        let problem = found.expect_err(&format!("{name} of row {row} was changed"));
        prop_assert!(problem.contains("result"), "{problem}");
    }
}
