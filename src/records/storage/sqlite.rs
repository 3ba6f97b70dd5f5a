//! Results in SQLite: write-ahead log, one writer, prepared statements, a transaction for each unit of work. The schema is
//! the migrations' matter; columns that later ones add are filled when they are there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, Value as Sqlite};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params_from_iter};

use super::migrations::{Migrator, blockchain_hash, is_prime};
use super::row::integer;
use super::{Repository, StorageError, StoredResult, UnitOfWork};
use crate::domain::{Outcome, Source, Timestamp};
use crate::records::specification::{Filter, Value};

/// How long a statement waits for another program's.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens a database as this program uses it.
///
/// # Errors
/// [`StorageError`].
pub fn open(path: &Path) -> Result<Connection, StorageError> {
    let name = path.display().to_string();
    let failed = |error: rusqlite::Error| StorageError::sqlite(&name, &error);
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    // A commit is on the disk when it returns.
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Columns that are always there, in the order of [`values`].
const COLUMNS: &str = "result_id, number, output, matched_rules_json, processing_time_ns, outcome, class, error, correct, \
                       source, sequence, at_ns, faults, attempts, session_id, confidence";
const COUNT: usize = 16;
/// Columns that follow from others.
const DERIVED: &str = "is_fizz, is_buzz, is_fizzbuzz, is_plain, rules_matched";

/// Results in a database.
#[derive(Debug)]
pub struct SqliteRepository {
    connection: Connection,
    path: String,
    insert: String,
    optional: [bool; 3],
}

impl SqliteRepository {
    /// Opens a database; a new one gets the first migration.
    ///
    /// # Errors
    /// [`StorageError`]: locked, damaged, of a newer program, or with a migration that was changed.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, StorageError> {
        let mut migrator = Migrator::open(path)?;
        if migrator.applied()?.is_empty() {
            migrator.up(Some("m001"), &|| now)?;
        }
        let connection = migrator.into_connection();
        let path = path.display().to_string();
        let has = |column: &str| {
            connection
                .prepare("SELECT 1 FROM pragma_table_info('fizzbuzz_results') WHERE name = ?")
                .and_then(|mut statement| statement.exists([column]))
                .map_err(|error| StorageError::sqlite(&path, &error))
        };
        let names = ["is_prime", "ml_confidence", "blockchain_hash"];
        let optional = [has(names[0])?, has(names[1])?, has(names[2])?];
        let more: String =
            names.iter().zip(optional).filter(|(_, on)| *on).map(|(name, _)| format!(", {name}")).collect();
        let count = COUNT + 5 + optional.iter().filter(|on| **on).count();
        let marks = vec!["?"; count].join(", ");
        let insert = format!("INSERT INTO fizzbuzz_results ({COLUMNS}, {DERIVED}{more}) VALUES ({marks})");
        Ok(Self { connection, path, insert, optional })
    }

    fn failed(&self, error: &rusqlite::Error) -> StorageError {
        StorageError::sqlite(&self.path, error)
    }

    /// Lets the database have no more room than it takes now: SQLite answers then as on a full disk.
    #[cfg(test)]
    pub(super) fn fill(&self) {
        let pages: i64 = self.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap_or_default();
        let _ = self.connection.pragma_update(None, "max_page_count", pages);
    }
}

/// The values of a row, those of the optional columns last.
pub(super) fn values(result: &StoredResult, optional: [bool; 3]) -> Vec<Sqlite> {
    let text = |text: &Option<String>| text.clone().map_or(Sqlite::Null, Sqlite::Text);
    let class = |name: &str| Sqlite::from(result.class.as_deref() == Some(name));
    let rules = if result.matched_rules.is_empty() {
        "[]".to_owned()
    } else {
        serde_json::to_string(&result.matched_rules).unwrap_or_default()
    };
    let mut values = vec![
        result.id.clone().into(),
        result.number.into(),
        text(&result.output),
        rules.into(),
        integer(result.processing_time_ns).into(),
        result.outcome.name().to_owned().into(),
        text(&result.class),
        result.error.map_or(Sqlite::Null, |error| error.code().to_owned().into()),
        result.correct.into(),
        result.source.name().to_owned().into(),
        integer(result.sequence).into(),
        integer(result.at.as_nanos()).into(),
        i64::from(result.faults).into(),
        i64::from(result.attempts).into(),
        result.session_id.to_string().into(),
        result.confidence.map_or(Sqlite::Null, Sqlite::Real),
        class("fizz"),
        class("buzz"),
        class("fizzbuzz"),
        class("plain"),
        (result.matched_rules.len() as i64).into(),
    ];
    let [prime, confidence, hash] = optional;
    if prime {
        values.push(is_prime(result.number).into());
    }
    if confidence {
        values.push(result.confidence.unwrap_or(1.0).into());
    }
    if hash {
        values.push(blockchain_hash(result.number, result.output.as_deref().unwrap_or_default()).into());
    }
    values
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredResult> {
    let bad = |column: usize, problem: String| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, problem.into())
    };
    let unsigned = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let (outcome, source): (String, String) = (row.get(5)?, row.get(9)?);
    let known = |name: &str| Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
    let sources = [Source::None, Source::Strategy, Source::Cache];
    let error: Option<String> = row.get(7)?;
    Ok(StoredResult {
        id: row.get(0)?,
        number: row.get(1)?,
        output: row.get(2)?,
        matched_rules: serde_json::from_str(&row.get::<_, String>(3)?).map_err(|error| bad(3, error.to_string()))?,
        processing_time_ns: unsigned(4)?,
        outcome: known(&outcome).ok_or_else(|| bad(5, format!("unknown outcome {outcome}")))?,
        class: row.get(6)?,
        error: error.map(|code| code.parse().map_err(|_| bad(7, format!("unknown code {code}")))).transpose()?,
        correct: row.get(8)?,
        source: sources
            .into_iter()
            .find(|known| known.name() == source)
            .ok_or_else(|| bad(9, format!("unknown source {source}")))?,
        sequence: unsigned(10)?,
        at: Timestamp::from_nanos(unsigned(11)?),
        faults: row.get(12)?,
        attempts: row.get(13)?,
        session_id: Arc::from(row.get::<_, String>(14)?),
        confidence: row.get(15)?,
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Integer(value) => ToSqlOutput::from(*value),
            Self::Real(value) => ToSqlOutput::from(*value),
            Self::Text(value) => ToSqlOutput::from(value.as_str()),
            Self::Bool(value) => ToSqlOutput::from(*value),
        })
    }
}

fn get(connection: &Connection, id: &str) -> rusqlite::Result<Option<StoredResult>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM fizzbuzz_results WHERE result_id = ?"))?;
    statement.query_row([id], read).optional()
}

impl Repository for SqliteRepository {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn begin(&mut self) -> Result<Box<dyn UnitOfWork + '_>, StorageError> {
        let Self { connection, path, insert, optional } = self;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| StorageError::sqlite(path, &error))?;
        Ok(Box::new(Unit { transaction, path, insert, optional: *optional }))
    }

    fn get(&self, id: &str) -> Result<Option<StoredResult>, StorageError> {
        get(&self.connection, id).map_err(|error| self.failed(&error))
    }

    fn find(&self, filter: &Filter, limit: usize) -> Result<Vec<StoredResult>, StorageError> {
        let sql = filter.sql();
        let text = format!(
            "SELECT {COLUMNS} FROM fizzbuzz_results WHERE {} ORDER BY number, result_id LIMIT {}",
            sql.clause,
            i64::try_from(limit).unwrap_or(i64::MAX)
        );
        let found = || {
            let mut statement = self.connection.prepare_cached(&text)?;
            statement.query_map(params_from_iter(&sql.parameters), read)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        found().map_err(|error| self.failed(&error))
    }

    fn difference(&self, expected: &StoredResult) -> Result<Option<Option<String>>, StorageError> {
        let names = ["is_prime", "ml_confidence", "blockchain_hash"];
        let more: String =
            names.iter().zip(self.optional).filter(|(_, on)| *on).map(|(name, _)| format!(", {name}")).collect();
        let columns = format!("{COLUMNS}, {DERIVED}{more}");
        let wanted = values(expected, self.optional);
        let found = || {
            let text = format!("SELECT {columns} FROM fizzbuzz_results WHERE result_id = ?");
            let mut statement = self.connection.prepare_cached(&text)?;
            let read = |row: &Row<'_>| (0..wanted.len()).map(|at| row.get::<_, Sqlite>(at)).collect();
            statement.query_row([&expected.id], read).optional()
        };
        let found: Option<Vec<Sqlite>> = found().map_err(|error| self.failed(&error))?;
        Ok(found.map(|found| {
            let mut columns = columns.split(',').map(str::trim).zip(found.iter().zip(&wanted)).enumerate();
            // A column of a later migration is empty in the rows before it.
            let differs = |at: usize, found: &Sqlite, wanted: &Sqlite| {
                found != wanted && !(at >= COUNT + 5 && *found == Sqlite::Null)
            };
            let (_, (name, (found, wanted))) =
                columns.find(|(at, (_, (found, wanted)))| differs(*at, found, wanted))?;
            Some(format!("{name} is {found:?}, not {wanted:?}"))
        }))
    }

    fn count(&self) -> Result<u64, StorageError> {
        self.connection
            .query_row("SELECT count(*) FROM fizzbuzz_results", (), |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
            .map_err(|error| self.failed(&error))
    }
}

/// A transaction. It rolls back when it is dropped.
struct Unit<'a> {
    transaction: Transaction<'a>,
    path: &'a str,
    insert: &'a str,
    optional: [bool; 3],
}

impl UnitOfWork for Unit<'_> {
    fn add(&mut self, result: StoredResult) -> Result<(), StorageError> {
        let failed = |error: rusqlite::Error| {
            let duplicate = error
                .sqlite_error()
                .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY);
            if duplicate { StorageError::Duplicate(result.id.clone()) } else { StorageError::sqlite(self.path, &error) }
        };
        let mut statement = self.transaction.prepare_cached(self.insert).map_err(failed)?;
        statement.execute(params_from_iter(values(&result, self.optional))).map_err(failed)?;
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Option<StoredResult>, StorageError> {
        get(&self.transaction, id).map_err(|error| StorageError::sqlite(self.path, &error))
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let Self { transaction, path, .. } = *self;
        transaction.commit().map_err(|error| StorageError::sqlite(path, &error))
    }

    fn rollback(self: Box<Self>) -> Result<(), StorageError> {
        let Self { transaction, path, .. } = *self;
        transaction.rollback().map_err(|error| StorageError::sqlite(path, &error))
    }
}
