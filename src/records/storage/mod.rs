//! Results that are kept: a repository with units of work over memory, SQLite or files. A unit of work is committed as a
//! whole or not at all, and one that is let go of without a commit is rolled back. Another backend is another file that
//! implements [`Repository`].
//!
//! ```
//! use fizzops::records::specification::{Filter, results::SCHEMA};
//! use fizzops::records::storage::{Memory, Repository as _, StoredResult};
//!
//! let mut repository = Memory::default();
//! let mut unit = repository.begin()?;
//! unit.add(StoredResult { id: "a".into(), number: 15, ..StoredResult::default() })?;
//! unit.commit()?;
//! drop(repository.begin()?.add(StoredResult { id: "b".into(), number: 3, ..StoredResult::default() }));
//! let filter = Filter::parse("number > 2", &SCHEMA).unwrap();
//! assert_eq!(repository.find(&filter, 10)?.len(), 1, "what was not committed is not there");
//! # Ok::<(), fizzops::records::storage::StorageError>(())
//! ```

mod filesystem;
mod memory;
pub mod migrations;
mod row;
mod sqlite;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt::Debug;
use std::io;

pub use filesystem::FileRepository;
pub use memory::Memory;
pub use row::{MatchedRule, Shaper, StoredResult};
pub use sqlite::{SqliteRepository, open as open_sqlite};
pub use writer::RepositoryWriter;

use crate::domain::ErrorCode;
use crate::records::specification::Filter;

/// Why a repository cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A result of this id is there.
    #[error("there is a result {0} already; an id names one result for ever")]
    Duplicate(String),
    /// The system refused.
    #[error("the repository's {path} cannot be {verb}: {source}")]
    Io {
        /// What was to be done, as in "cannot be read".
        verb: &'static str,
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Another program has the database for itself.
    #[error("the database {path} is locked by another program; end it, or wait until it is done")]
    Busy {
        /// Which.
        path: String,
    },
    /// There is no room left.
    #[error("the database {path} cannot be written: the disk is full; everything committed before is kept")]
    Full {
        /// Which.
        path: String,
    },
    /// The file is no database, or a damaged one.
    #[error("{path} is no sound database: {problem}")]
    Damaged {
        /// Which.
        path: String,
        /// What SQLite says.
        problem: String,
    },
    /// SQLite refused.
    #[error("the database {path} failed: {problem}")]
    Database {
        /// Which.
        path: String,
        /// What SQLite says.
        problem: String,
    },
    /// The schema is not what it should be.
    #[error(transparent)]
    Migration(#[from] migrations::MigrationError),
    /// Its writer is gone.
    #[error("{0}")]
    Stopped(String),
}

impl StorageError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Migration(error) => error.code(),
            _ => ErrorCode::Repository,
        }
    }

    /// Whether what is there is not what this program wrote: exit code 4.
    pub const fn is_integrity(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Migration(error) => error.is_integrity(),
            _ => false,
        }
    }

    pub(super) fn sqlite(path: &str, error: &rusqlite::Error) -> Self {
        use rusqlite::ffi::ErrorCode as Code;
        let path = path.to_owned();
        let problem = error.to_string();
        match error.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy { path },
            Some(Code::DiskFull) => Self::Full { path },
            Some(Code::NotADatabase | Code::DatabaseCorrupt) => Self::Damaged { path, problem },
            _ => Self::Database { path, problem },
        }
    }
}

/// Where results are kept.
pub trait Repository: Debug + Send {
    /// Its name, as it is chosen by.
    fn name(&self) -> &'static str;

    /// Begins a unit of work. There is one at a time.
    ///
    /// # Errors
    /// [`StorageError`].
    fn begin(&mut self) -> Result<Box<dyn UnitOfWork + '_>, StorageError>;

    /// A committed result.
    ///
    /// # Errors
    /// [`StorageError`]; none of this id is no error.
    fn get(&self, id: &str) -> Result<Option<StoredResult>, StorageError>;

    /// Committed results that a filter accepts, by number and then by id, at most `limit`.
    ///
    /// # Errors
    /// [`StorageError`].
    fn find(&self, filter: &Filter, limit: usize) -> Result<Vec<StoredResult>, StorageError>;

    /// How the committed result of this id differs from this one, in whatever is kept of it: `Some(None)` when it does not,
    /// `None` when there is none.
    ///
    /// # Errors
    /// [`StorageError`].
    fn difference(&self, expected: &StoredResult) -> Result<Option<Option<String>>, StorageError> {
        let found = self.get(&expected.id)?;
        Ok(found.map(|found| (found != *expected).then(|| format!("it is {found:?}"))))
    }

    /// How many results are committed.
    ///
    /// # Errors
    /// [`StorageError`].
    fn count(&self) -> Result<u64, StorageError>;
}

/// Changes that happen together. Dropping one without [`UnitOfWork::commit`] rolls it back.
pub trait UnitOfWork {
    /// Stages a result.
    ///
    /// # Errors
    /// [`StorageError::Duplicate`] when its id is taken; the unit must be rolled back then.
    fn add(&mut self, result: StoredResult) -> Result<(), StorageError>;

    /// A result: a staged one, else a committed one.
    ///
    /// # Errors
    /// [`StorageError`].
    fn get(&self, id: &str) -> Result<Option<StoredResult>, StorageError>;

    /// Makes everything staged durable, together.
    ///
    /// # Errors
    /// [`StorageError`]; nothing was committed then.
    fn commit(self: Box<Self>) -> Result<(), StorageError>;

    /// Lets everything staged go.
    ///
    /// # Errors
    /// [`StorageError`]; nothing was committed all the same.
    fn rollback(self: Box<Self>) -> Result<(), StorageError>;
}
