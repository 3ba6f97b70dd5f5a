//! The database's schema, step by step: each migration is one transaction, is written down with a checksum, and can be
//! taken back. A database that knows migrations that this program does not, or other ones under their names, is refused.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::sqlite::{open, values};
use super::{Shaper, StorageError};
use crate::domain::{ErrorCode, Evaluation, RuleSet, Timestamp};

/// Why the schema cannot be changed or trusted.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// There is none of this name.
    #[error("there is no migration {name}; there are {known}")]
    NotFound {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// One that it needs is not applied.
    #[error("{migration} needs {needs}, which is not applied")]
    Dependency {
        /// Which.
        migration: String,
        /// What it needs.
        needs: String,
    },
    /// What was applied is not what this program would apply.
    #[error(
        "{migration} was applied with the checksum {applied}, this program has {known}: the database was made by another \
         version of it"
    )]
    Changed {
        /// Which.
        migration: String,
        /// Its checksum in the database.
        applied: String,
        /// Its checksum here.
        known: String,
    },
    /// A later version of the program has been here.
    #[error("the database has the migration {0}, which this program does not know: a newer version made it")]
    Newer(String),
    /// It did not work; it was rolled back.
    #[error("{migration} failed and was rolled back: {problem} (in: {statement})")]
    Failed {
        /// Which.
        migration: String,
        /// The statement's beginning.
        statement: String,
        /// What SQLite says.
        problem: String,
    },
    /// There is no table to seed.
    #[error("there is no table to seed; apply the first migration before: fizzops migrate up")]
    Unseedable,
}

impl MigrationError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::MigrationNotFound,
            Self::Dependency { .. } => ErrorCode::MigrationDependency,
            Self::Changed { .. } | Self::Newer(_) => ErrorCode::MigrationConflict,
            Self::Failed { .. } => ErrorCode::Migration,
            Self::Unseedable => ErrorCode::MigrationSeed,
        }
    }

    /// Whether the database is not what this program made: exit code 4.
    pub const fn is_integrity(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Newer(_))
    }
}

/// A step of the schema.
#[derive(Debug)]
struct Migration {
    name: &'static str,
    needs: &'static [&'static str],
    up: &'static [&'static str],
    down: &'static [&'static str],
}

const MIGRATIONS: [Migration; 5] = [
    Migration {
        name: "m001_initial_schema",
        needs: &[],
        up: &["CREATE TABLE fizzbuzz_results (
                result_id TEXT PRIMARY KEY NOT NULL,
                number INTEGER NOT NULL,
                output TEXT,
                is_fizz INTEGER NOT NULL,
                is_buzz INTEGER NOT NULL,
                is_fizzbuzz INTEGER NOT NULL,
                is_plain INTEGER NOT NULL,
                rules_matched INTEGER NOT NULL,
                matched_rules_json TEXT NOT NULL DEFAULT '[]',
                processing_time_ns INTEGER NOT NULL DEFAULT 0,
                outcome TEXT NOT NULL,
                class TEXT,
                error TEXT,
                correct INTEGER NOT NULL,
                source TEXT NOT NULL,
                sequence INTEGER NOT NULL,
                at_ns INTEGER NOT NULL,
                faults INTEGER NOT NULL DEFAULT 0,
                attempts INTEGER NOT NULL DEFAULT 0,
                session_id TEXT NOT NULL,
                confidence REAL
            ) WITHOUT ROWID"],
        down: &["DROP TABLE fizzbuzz_results"],
    },
    Migration {
        name: "m002_add_is_prime",
        needs: &["m001_initial_schema"],
        up: &[
            "ALTER TABLE fizzbuzz_results ADD COLUMN is_prime INTEGER NOT NULL DEFAULT 0",
            "UPDATE fizzbuzz_results SET is_prime = fizzops_is_prime(number)",
        ],
        down: &["ALTER TABLE fizzbuzz_results DROP COLUMN is_prime"],
    },
    Migration {
        name: "m003_add_confidence",
        needs: &["m001_initial_schema"],
        up: &[
            "ALTER TABLE fizzbuzz_results ADD COLUMN ml_confidence REAL NOT NULL DEFAULT 1.0",
            "UPDATE fizzbuzz_results SET ml_confidence = confidence WHERE confidence IS NOT NULL",
        ],
        down: &["ALTER TABLE fizzbuzz_results DROP COLUMN ml_confidence"],
    },
    Migration {
        name: "m004_add_blockchain_hash",
        needs: &["m001_initial_schema"],
        up: &[
            "ALTER TABLE fizzbuzz_results ADD COLUMN blockchain_hash TEXT",
            "UPDATE fizzbuzz_results SET blockchain_hash = fizzops_blockchain_hash(number, coalesce(output, ''))",
        ],
        down: &["ALTER TABLE fizzbuzz_results DROP COLUMN blockchain_hash"],
    },
    Migration {
        name: "m005_split_fizz_buzz_tables",
        needs: &["m001_initial_schema"],
        up: &[
            "CREATE TABLE fizz_results (result_id TEXT PRIMARY KEY NOT NULL, number INTEGER NOT NULL, output TEXT, \
             rules_matched INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE TABLE buzz_results (result_id TEXT PRIMARY KEY NOT NULL, number INTEGER NOT NULL, output TEXT, \
             rules_matched INTEGER NOT NULL) WITHOUT ROWID",
            "INSERT INTO fizz_results SELECT result_id, number, output, rules_matched FROM fizzbuzz_results \
             WHERE is_fizz OR is_fizzbuzz",
            "INSERT INTO buzz_results SELECT result_id, number, output, rules_matched FROM fizzbuzz_results \
             WHERE is_buzz OR is_fizzbuzz",
            "CREATE TRIGGER split_fizz AFTER INSERT ON fizzbuzz_results WHEN NEW.is_fizz OR NEW.is_fizzbuzz BEGIN \
             INSERT INTO fizz_results VALUES (NEW.result_id, NEW.number, NEW.output, NEW.rules_matched); END",
            "CREATE TRIGGER split_buzz AFTER INSERT ON fizzbuzz_results WHEN NEW.is_buzz OR NEW.is_fizzbuzz BEGIN \
             INSERT INTO buzz_results VALUES (NEW.result_id, NEW.number, NEW.output, NEW.rules_matched); END",
        ],
        down: &[
            "DROP TRIGGER split_fizz",
            "DROP TRIGGER split_buzz",
            "DROP TABLE fizz_results",
            "DROP TABLE buzz_results",
        ],
    },
];

impl Migration {
    /// The first 16 digits of SHA-256 over its name and all of its statements.
    fn checksum(&self) -> String {
        let mut hasher = Sha256::new();
        for part in [self.name].iter().chain(self.up).chain(&["down"]).chain(self.down) {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        hex16(&hasher.finalize())
    }
}

fn hex16(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The first 16 digits of SHA-256 over `fizzbuzz:<number>:<output>`.
pub fn blockchain_hash(number: i64, output: &str) -> String {
    hex16(&Sha256::digest(format!("fizzbuzz:{number}:{output}")))
}

/// Whether a number is prime: Miller and Rabin with bases that are proved to be enough for 64 bits (Sinclair).
pub fn is_prime(number: i64) -> bool {
    let Ok(n) = u64::try_from(number) else { return false };
    if n < 2 || n.is_multiple_of(2) {
        return n == 2;
    }
    let times = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let power = |mut base: u64, mut exponent: u64| {
        let mut result = 1;
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = times(result, base);
            }
            base = times(base, base);
            exponent >>= 1;
        }
        result
    };
    let twos = (n - 1).trailing_zeros();
    [2, 325, 9_375, 28_178, 450_775, 9_780_504, 1_795_265_022].iter().map(|base| base % n).filter(|base| *base > 0).all(
        |base| {
            let mut x = power(base, (n - 1) >> twos);
            x == 1
                || (0..twos).any(|_| {
                    let found = x == n - 1;
                    x = times(x, x);
                    found
                })
        },
    )
}

/// How a migration stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// `pending`, `applied`, `rolled_back` or `failed`.
    pub state: String,
    /// When it was applied last.
    pub applied_at: Option<Timestamp>,
    /// When it was taken back last.
    pub rolled_back_at: Option<Timestamp>,
    /// How long applying it took, milliseconds.
    pub duration_ms: Option<u64>,
    /// Its checksum.
    pub checksum: String,
    /// Why it failed.
    pub error: Option<String>,
}

impl MigrationStatus {
    /// The mark of its state: `[ ]`, `[+]`, `[-]` or `[!]`.
    pub fn mark(&self) -> &'static str {
        match self.state.as_str() {
            "applied" => "[+]",
            "rolled_back" => "[-]",
            "failed" => "[!]",
            _ => "[ ]",
        }
    }
}

/// Changes the schema of one database.
#[derive(Debug)]
pub struct Migrator {
    connection: Connection,
    path: String,
}

type Clock<'a> = &'a dyn Fn() -> Timestamp;

impl Migrator {
    /// Opens a database and checks what was applied to it.
    ///
    /// # Errors
    /// [`StorageError`]; [`MigrationError::Changed`] and [`MigrationError::Newer`] in it.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let connection = open(path)?;
        let migrator = Self { connection, path: path.display().to_string() };
        let deterministic = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        let made = || {
            migrator.connection.create_scalar_function("fizzops_is_prime", 1, deterministic, |call| {
                Ok(is_prime(call.get::<i64>(0)?))
            })?;
            migrator.connection.create_scalar_function("fizzops_blockchain_hash", 2, deterministic, |call| {
                Ok(blockchain_hash(call.get::<i64>(0)?, &call.get::<String>(1)?))
            })?;
            migrator.connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL, \
                 applied_at INTEGER, rolled_back_at INTEGER, duration_ms INTEGER, checksum TEXT NOT NULL, error TEXT)",
            )
        };
        made().map_err(|error| migrator.failed(&error))?;
        migrator.applied()?;
        Ok(migrator)
    }

    fn failed(&self, error: &rusqlite::Error) -> StorageError {
        StorageError::sqlite(&self.path, error)
    }

    /// The connection, with this program's functions.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// Every migration in order, those that the database knows as it knows them.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn status(&self) -> Result<Vec<MigrationStatus>, StorageError> {
        let query = || {
            let mut statement = self.connection.prepare(
                "SELECT name, state, applied_at, rolled_back_at, duration_ms, checksum, error FROM schema_migrations",
            )?;
            let rows = statement.query_map((), |row| {
                let moment = |column: usize| {
                    row.get::<_, Option<i64>>(column).map(|ms| ms.map(|ms| Timestamp::from_millis(ms.unsigned_abs())))
                };
                Ok(MigrationStatus {
                    name: row.get(0)?,
                    state: row.get(1)?,
                    applied_at: moment(2)?,
                    rolled_back_at: moment(3)?,
                    duration_ms: row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
                    checksum: row.get(5)?,
                    error: row.get(6)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let known: BTreeMap<_, _> = query()
            .map_err(|error| self.failed(&error))?
            .into_iter()
            .map(|status| (status.name.clone(), status))
            .collect();
        for status in known.values().filter(|status| status.state == "applied") {
            match MIGRATIONS.iter().find(|migration| migration.name == status.name) {
                None => return Err(MigrationError::Newer(status.name.clone()).into()),
                Some(migration) if migration.checksum() != status.checksum => {
                    return Err(MigrationError::Changed {
                        migration: status.name.clone(),
                        applied: status.checksum.clone(),
                        known: migration.checksum(),
                    }
                    .into());
                }
                Some(_) => {}
            }
        }
        let pending = |migration: &Migration| MigrationStatus {
            name: migration.name.to_owned(),
            state: "pending".to_owned(),
            applied_at: None,
            rolled_back_at: None,
            duration_ms: None,
            checksum: migration.checksum(),
            error: None,
        };
        Ok(MIGRATIONS
            .iter()
            .map(|migration| known.get(migration.name).cloned().unwrap_or_else(|| pending(migration)))
            .collect())
    }

    /// The names of the applied ones, in order.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn applied(&self) -> Result<Vec<String>, StorageError> {
        let all = self.status()?;
        Ok(all.into_iter().filter(|status| status.state == "applied").map(|status| status.name).collect())
    }

    /// The place of the migration that a name or its beginning stands for.
    fn place(name: &str) -> Result<usize, MigrationError> {
        let found = MIGRATIONS.iter().position(|migration| {
            let short = migration.name.split('_').next().unwrap_or_default();
            migration.name == name || short == name || short.trim_start_matches(['m', '0']) == name
        });
        found.ok_or_else(|| MigrationError::NotFound {
            name: name.to_owned(),
            known: MIGRATIONS.iter().map(|migration| migration.name).collect::<Vec<_>>().join(", "),
        })
    }

    /// Applies what is pending, up to `target` where one is given: the names of those that were applied now.
    ///
    /// # Errors
    /// [`MigrationError`]; those applied before the one that failed stay applied.
    pub fn up(&mut self, target: Option<&str>, clock: Clock<'_>) -> Result<Vec<String>, StorageError> {
        let last = target.map_or(Ok(MIGRATIONS.len() - 1), Self::place)?;
        let mut applied = self.applied()?;
        let mut done = Vec::new();
        for migration in &MIGRATIONS[..=last] {
            if applied.iter().any(|name| name == migration.name) {
                continue;
            }
            if let Some(needs) = migration.needs.iter().find(|needs| !applied.iter().any(|name| name == *needs)) {
                let (migration, needs) = (migration.name.to_owned(), (*needs).to_owned());
                return Err(MigrationError::Dependency { migration, needs }.into());
            }
            self.run(migration, migration.up, true, clock)?;
            applied.push(migration.name.to_owned());
            done.push(migration.name.to_owned());
        }
        Ok(done)
    }

    /// Takes back the last applied ones, the last one first, until `keep` are left: the names of those taken back.
    ///
    /// # Errors
    /// [`MigrationError::Failed`]; those taken back before stay so.
    pub fn down(&mut self, keep: usize, clock: Clock<'_>) -> Result<Vec<String>, StorageError> {
        let applied = self.applied()?;
        let mut done = Vec::new();
        for name in applied.iter().skip(keep).rev() {
            if let Some(migration) = MIGRATIONS.iter().find(|migration| migration.name == name) {
                self.run(migration, migration.down, false, clock)?;
                done.push(name.clone());
            }
        }
        Ok(done)
    }

    /// How many of the applied ones are left when everything after `target` is taken back; `0` stands for none.
    ///
    /// # Errors
    /// [`MigrationError::NotFound`].
    pub fn keep(&self, target: &str) -> Result<usize, StorageError> {
        if target == "0" {
            return Ok(0);
        }
        let place = Self::place(target)?;
        let applied = self.applied()?;
        Ok(MIGRATIONS[..=place].iter().filter(|migration| applied.iter().any(|name| name == migration.name)).count())
    }

    fn run(
        &mut self,
        migration: &Migration,
        statements: &[&str],
        up: bool,
        clock: Clock<'_>,
    ) -> Result<(), StorageError> {
        let began = clock();
        let path = self.path.clone();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| StorageError::sqlite(&path, &error))?;
        let mut wrong = None;
        for statement in statements {
            if let Err(error) = transaction.execute_batch(statement) {
                wrong = Some((statement.chars().take(60).collect::<String>(), error));
                break;
            }
        }
        let now = clock();
        let ms = |moment: Timestamp| i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
        let write = |connection: &Connection, state: &str, error: Option<&str>| {
            let took = ms(now) - ms(began);
            connection.execute(
                "INSERT INTO schema_migrations (name, state, applied_at, rolled_back_at, duration_ms, checksum, error) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET state = ?2, checksum = ?6, \
                 error = ?7, applied_at = coalesce(?3, applied_at), rolled_back_at = coalesce(?4, rolled_back_at), \
                 duration_ms = coalesce(?5, duration_ms)",
                rusqlite::params![
                    migration.name,
                    state,
                    (state == "applied").then(|| ms(now)),
                    (state == "rolled_back").then(|| ms(now)),
                    (state == "applied").then_some(took),
                    migration.checksum(),
                    error
                ],
            )
        };
        match wrong {
            None => {
                let state = if up { "applied" } else { "rolled_back" };
                write(&transaction, state, None)
                    .and_then(|_| transaction.commit())
                    .map_err(|error| StorageError::sqlite(&path, &error))
            }
            Some((statement, error)) => {
                let problem = error.to_string();
                transaction.rollback().map_err(|error| StorageError::sqlite(&path, &error))?;
                if up {
                    write(&self.connection, "failed", Some(&problem))
                        .map_err(|error| StorageError::sqlite(&path, &error))?;
                }
                Err(MigrationError::Failed { migration: migration.name.to_owned(), statement, problem }.into())
            }
        }
    }

    /// Writes the results of a range by the classic rules, in one transaction; how many were new.
    ///
    /// # Errors
    /// [`MigrationError::Unseedable`] without a table; [`StorageError`].
    pub fn seed(&mut self, from: i64, to: i64, now: Timestamp) -> Result<u64, StorageError> {
        let applied = self.applied()?;
        if applied.is_empty() {
            return Err(MigrationError::Unseedable.into());
        }
        let has = |short: &str| applied.iter().any(|name| name.starts_with(short));
        let optional = [has("m002"), has("m003"), has("m004")];
        let columns: Vec<_> = ["is_prime", "ml_confidence", "blockchain_hash"]
            .iter()
            .zip(optional)
            .filter(|(_, on)| *on)
            .map(|(name, _)| format!(", {name}"))
            .collect();
        let rules = std::sync::Arc::new(RuleSet::classic());
        let shaper = Shaper::new("seed", 0, std::sync::Arc::clone(&rules));
        let path = self.path.clone();
        let mut written = || -> rusqlite::Result<u64> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut new = 0;
            for number in from..=to {
                let evaluation =
                    Evaluation::computed(number.cast_unsigned(), number, &rules, std::time::Duration::ZERO);
                let mut result = shaper.shape(now, &evaluation);
                result.id = format!("seed-{number}");
                let values = values(&result, optional);
                let sql = format!(
                    "INSERT OR IGNORE INTO fizzbuzz_results (result_id, number, output, matched_rules_json, \
                     processing_time_ns, outcome, class, error, correct, source, sequence, at_ns, faults, attempts, \
                     session_id, confidence, is_fizz, is_buzz, is_fizzbuzz, is_plain, rules_matched{}) VALUES ({})",
                    columns.concat(),
                    vec!["?"; values.len()].join(", ")
                );
                new += transaction.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
            }
            transaction.commit()?;
            Ok(new as u64)
        };
        written().map_err(|error| StorageError::sqlite(&path, &error))
    }
}
