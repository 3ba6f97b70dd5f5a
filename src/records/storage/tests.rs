#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::prelude::*;

use super::migrations::{MigrationError, Migrator, is_prime};
use super::*;
use crate::domain::{ErrorCode, Outcome, Source, Timestamp};
use crate::records::files::simulated::{Faults, SimulatedDisk};
use crate::records::specification::{Filter, results::SCHEMA};

fn result(id: u64, number: i64) -> StoredResult {
    let failed = number % 7 == 0;
    let class =
        ["fizzbuzz", "plain", "plain", "fizz", "plain", "buzz"].get(usize::try_from(number.rem_euclid(6)).unwrap());
    StoredResult {
        id: format!("00000000-0000-8000-8000-{id:012}"),
        number,
        output: (!failed).then(|| number.to_string()),
        matched_rules: vec![MatchedRule {
            rule_name: "FizzRule".into(),
            rule_divisor: 3,
            rule_label: "Fizz".into(),
            rule_priority: 1,
        }],
        processing_time_ns: 1_000 + id,
        outcome: if failed { Outcome::Failed } else { Outcome::Ok },
        class: class.filter(|_| !failed).map(|class| (*class).to_owned()),
        error: failed.then_some(ErrorCode::ChaosInduced),
        correct: !failed,
        source: if failed { Source::None } else { Source::Strategy },
        sequence: id,
        at: Timestamp::from_nanos(id * 10),
        faults: 1,
        attempts: 2,
        session_id: Arc::from("s"),
        confidence: id.is_multiple_of(2).then_some(0.5),
    }
}

fn all(repository: &dyn Repository) -> Vec<StoredResult> {
    repository.find(&Filter::all(&SCHEMA), usize::MAX).unwrap()
}

fn sqlite(folder: &tempfile::TempDir) -> SqliteRepository {
    SqliteRepository::open(&folder.path().join("results.db"), Timestamp::EPOCH).unwrap()
}

/// Every backend keeps the same rules.
fn exercise(repository: &mut dyn Repository) {
    let (one, two) = (result(1, 3), result(2, 7));
    let mut unit = repository.begin().unwrap();
    unit.add(one.clone()).unwrap();
    assert_eq!(unit.get(&one.id).unwrap(), Some(one.clone()), "what is staged is seen within");
    unit.rollback().unwrap();
    assert_eq!(repository.count().unwrap(), 0);
    let mut unit = repository.begin().unwrap();
    unit.add(one.clone()).unwrap();
    drop(unit);
    assert_eq!(repository.count().unwrap(), 0, "without a commit nothing is kept");
    let mut unit = repository.begin().unwrap();
    unit.add(two.clone()).unwrap();
    unit.add(one.clone()).unwrap();
    unit.commit().unwrap();
    assert_eq!(all(repository), [one.clone(), two.clone()], "by number, not as they came");
    assert_eq!((repository.get(&two.id).unwrap(), repository.get("nothing").unwrap()), (Some(two.clone()), None));
    let mut unit = repository.begin().unwrap();
    unit.add(result(3, 1)).unwrap();
    assert!(matches!(unit.add(one.clone()), Err(StorageError::Duplicate(id)) if id == one.id));
    drop(unit);
    assert_eq!(repository.count().unwrap(), 2, "the whole unit is gone");
    let find = |text: &str| repository.find(&Filter::parse(text, &SCHEMA).unwrap(), 10).unwrap();
    assert_eq!(find("outcome = failed and error = EFP-CH01"), [two]);
    assert_eq!(find("confidence is null"), [one]);
    assert_eq!(repository.find(&Filter::all(&SCHEMA), 1).unwrap().len(), 1);
}

#[test]
fn all_three_backends_do_the_same() {
    let folder = tempfile::tempdir().unwrap();
    exercise(&mut Memory::default());
    exercise(&mut sqlite(&folder));
    exercise(&mut FileRepository::open(Arc::new(SimulatedDisk::new(1)), "results").unwrap());
}

#[test]
fn sqlite_and_files_keep_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = crate::records::files::Disk::new(folder.path()).unwrap();
    let open: [Box<dyn Fn() -> Box<dyn Repository>>; 2] = [
        Box::new(|| Box::new(sqlite(&folder))),
        Box::new(|| Box::new(FileRepository::open(Arc::new(disk.clone()), "results").unwrap())),
    ];
    for open in open {
        let mut repository = open();
        let mut unit = repository.begin().unwrap();
        for id in 0..50 {
            unit.add(result(id, id as i64)).unwrap();
        }
        unit.commit().unwrap();
        drop(repository);
        assert_eq!(all(&*open()), (0..50).map(|id| result(id, id as i64)).collect::<Vec<_>>());
    }
}

#[test]
fn a_unit_of_files_is_whole_or_not_there_whatever_the_disk_does() {
    let (mut kept, mut refused) = (0, 0);
    for seed in 0..300u64 {
        let disk = SimulatedDisk::new(seed);
        let mut known: Vec<Vec<StoredResult>> = Vec::new();
        for round in 0..4u64 {
            disk.set_faults(Faults::default());
            let mut repository = FileRepository::open(Arc::new(disk.clone()), "results").unwrap();
            let odds = if seed % 2 == 0 { 0 } else { 40_000 };
            disk.set_faults(Faults { write_eio: odds, write_enospc: odds, sync_eio: odds, other_eio: odds });
            let unit: Vec<_> = (0..5).map(|at| result(round * 10 + at, (round * 10 + at) as i64)).collect();
            let mut work = repository.begin().unwrap();
            for one in &unit {
                work.add(one.clone()).unwrap();
            }
            let committed = work.commit();
            disk.set_faults(Faults::default());
            disk.crash();
            let repository = FileRepository::open(Arc::new(disk.clone()), "results").unwrap();
            let there = unit.iter().filter(|one| repository.get(&one.id).unwrap().as_ref() == Some(*one)).count();
            assert!(there == 0 || there == 5, "seed {seed}, round {round}: {there} of 5");
            if committed.is_ok() {
                assert_eq!(there, 5, "seed {seed}, round {round}: committed");
                kept += 1;
            } else {
                refused += 1;
            }
            if there == 5 {
                known.push(unit);
            }
            for one in known.iter().flatten() {
                assert_eq!(repository.get(&one.id).unwrap().as_ref(), Some(one), "seed {seed}");
            }
            assert_eq!(repository.count().unwrap(), known.len() as u64 * 5);
        }
    }
    assert!(kept > 500 && refused > 50, "{kept} {refused}");
}

#[test]
fn files_cannot_leave_their_folder() {
    let mut repository = FileRepository::open(Arc::new(SimulatedDisk::new(1)), "results").unwrap();
    let mut unit = repository.begin().unwrap();
    assert!(unit.add(StoredResult { id: "../x".into(), ..StoredResult::default() }).is_err());
    drop(unit);
    assert_eq!(repository.get("../x").unwrap(), None);
}

#[test]
fn migrations_go_up_and_down_and_fill_what_they_add() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.db");
    let clock = || Timestamp::from_millis(5_000);
    let mut migrator = Migrator::open(&path).unwrap();
    assert!(matches!(migrator.seed(1, 50, clock()), Err(StorageError::Migration(MigrationError::Unseedable))));
    assert_eq!(migrator.up(Some("m001"), &clock).unwrap(), ["m001_initial_schema"]);
    assert_eq!(migrator.seed(1, 50, clock()).unwrap(), 50);
    assert_eq!(migrator.seed(1, 50, clock()).unwrap(), 0, "seeding again adds nothing");
    assert_eq!(migrator.up(None, &clock).unwrap().len(), 4);
    assert_eq!(migrator.up(None, &clock).unwrap().len(), 0);
    let connection = open_sqlite(&path).unwrap();
    let count = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM fizzbuzz_results WHERE is_prime"), 15);
    assert_eq!(count("SELECT count(*) FROM fizzbuzz_results WHERE ml_confidence = 1.0"), 50);
    assert_eq!((count("SELECT count(*) FROM fizz_results"), count("SELECT count(*) FROM buzz_results")), (16, 10));
    let hash: String = connection
        .query_row("SELECT blockchain_hash FROM fizzbuzz_results WHERE number = 15", (), |row| row.get(0))
        .unwrap();
    assert_eq!(hash, migrations::blockchain_hash(15, "FizzBuzz"));
    // What comes later has the new columns and tables too.
    let mut repository = SqliteRepository::open(&path, clock()).unwrap();
    let mut unit = repository.begin().unwrap();
    unit.add(StoredResult { number: 97, ..result(1_000, 3) }).unwrap();
    unit.commit().unwrap();
    drop(repository);
    assert_eq!(count("SELECT is_prime FROM fizzbuzz_results WHERE number = 97"), 1);
    assert_eq!(count("SELECT count(*) FROM fizz_results"), 17);
    drop(connection);
    assert_eq!(migrator.keep("m002").unwrap(), 2);
    let back = migrator.down(2, &clock).unwrap();
    assert_eq!(back, ["m005_split_fizz_buzz_tables", "m004_add_blockchain_hash", "m003_add_confidence"]);
    let status = migrator.status().unwrap();
    assert_eq!(status.iter().map(MigrationStatus::mark).collect::<String>(), "[+][+][-][-][-]");
    assert_eq!(status[2].rolled_back_at, Some(clock()));
    assert_eq!(migrator.down(0, &clock).unwrap().len(), 2);
    assert_eq!(migrator.up(None, &clock).unwrap().len(), 5, "and up again");
    assert!(matches!(migrator.up(Some("m009"), &clock), Err(StorageError::Migration(MigrationError::NotFound { .. }))));
}

use migrations::MigrationStatus;

#[test]
fn changed_and_unknown_migrations_are_refused_and_failed_ones_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.db");
    let clock = || Timestamp::EPOCH;
    let mut migrator = Migrator::open(&path).unwrap();
    migrator.up(Some("2"), &clock).unwrap();
    // Somebody's column is in the way of the third.
    let other = open_sqlite(&path).unwrap();
    other.execute_batch("CREATE TABLE buzz_results (x)").unwrap();
    let error = migrator.up(None, &clock).unwrap_err();
    assert!(error.to_string().starts_with("m005_split_fizz_buzz_tables failed and was rolled back"), "{error}");
    let status = migrator.status().unwrap();
    assert_eq!(status[4].mark(), "[!]");
    assert!(status[4].error.as_deref().unwrap().contains("already exists"));
    assert!(other.prepare("SELECT * FROM fizz_results").is_err(), "its first half is gone too");
    other.execute("UPDATE schema_migrations SET checksum = 'other' WHERE name LIKE 'm002%'", ()).unwrap();
    let error = Migrator::open(&path).unwrap_err();
    assert!(
        error.is_integrity() && error.to_string().contains("m002_add_is_prime was applied with the checksum other")
    );
    other.execute("DELETE FROM schema_migrations WHERE name LIKE 'm002%'", ()).unwrap();
    other
        .execute("INSERT INTO schema_migrations (name, state, checksum) VALUES ('m099_later', 'applied', 'x')", ())
        .unwrap();
    let error = Migrator::open(&path).unwrap_err();
    assert!(error.is_integrity() && error.to_string().contains("a newer version made it"), "{error}");
}

#[test]
fn a_locked_database_and_a_foreign_file_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.db");
    let mut repository = sqlite(&folder);
    let other = open_sqlite(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = repository.begin().map(drop).unwrap_err();
    assert!(matches!(error, StorageError::Busy { .. }) && !error.is_integrity(), "{error}");
    let foreign = folder.path().join("foreign.db");
    std::fs::write(&foreign, "x".repeat(5_000)).unwrap();
    let error = SqliteRepository::open(&foreign, Timestamp::EPOCH).unwrap_err();
    assert!(matches!(error, StorageError::Damaged { .. }) && error.is_integrity(), "{error}");
}

#[test]
fn a_full_disk_is_told_and_what_was_committed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut repository = sqlite(&folder);
    let mut unit = repository.begin().unwrap();
    (0..100).for_each(|id| unit.add(result(id, 3)).unwrap());
    unit.commit().unwrap();
    repository.fill();
    let mut unit = repository.begin().unwrap();
    let told = (100..100_000).find_map(|id| unit.add(result(id, 3)).err());
    let Some(StorageError::Full { path }) = &told else { panic!("{told:?}") };
    assert!(path.ends_with("results.db"));
    assert!(told.as_ref().unwrap().to_string().contains("full"), "{told:?}");
    drop(unit);
    assert_eq!(repository.count().unwrap(), 100);
    drop(repository);
    assert_eq!(all(&sqlite(&folder)).len(), 100, "and when it is opened again");
}

#[test]
fn primes_are_prime() {
    let slow = |n: i64| n > 1 && (2..n).take_while(|d| d * d <= n).all(|d| n % d != 0);
    for n in -5..5_000 {
        assert_eq!(is_prime(n), slow(n), "{n}");
    }
    assert!(is_prime(9_223_372_036_854_775_783) && !is_prime(i64::MAX) && !is_prime(3_215_031_751));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn random_units_give_the_same_in_every_backend(
        units in prop::collection::vec((prop::collection::vec((0u64..40, -20i64..20), 0..6), any::<bool>()), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let disk = SimulatedDisk::new(1);
        let mut memory = Memory::default();
        let mut database = sqlite(&folder);
        let mut files = FileRepository::open(Arc::new(disk), "results").unwrap();
        let backends: [&mut dyn Repository; 3] = [&mut memory, &mut database, &mut files];
        let mut found = Vec::new();
        for repository in backends {
            let mut told = Vec::new();
            for (adds, commit) in &units {
                let mut unit = repository.begin().unwrap();
                let added: Vec<_> = adds.iter().map(|(id, number)| unit.add(result(*id, *number)).is_ok()).collect();
                if *commit && added.iter().all(|ok| *ok) {
                    unit.commit().unwrap();
                } else {
                    unit.rollback().unwrap();
                }
                told.push(added);
            }
            found.push((told, all(repository)));
        }
        prop_assert_eq!(&found[0], &found[1]);
        prop_assert_eq!(&found[0], &found[2]);
    }
}
