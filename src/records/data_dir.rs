//! The data directory: the one place where records are kept, and the lock that keeps a second engine out of it. It must
//! not know what is in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::domain::ErrorCode;

/// The version of the directory's layout.
pub const VERSION: u32 = 1;
const FORMAT: &str = "fizzops-data ";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another engine holds it.
    #[error("{path} is in use by the engine with process id {pid}; end it, or choose another directory with --data-dir", path = path.display())]
    Locked {
        /// Which.
        path: PathBuf,
        /// Whose, as it wrote it down.
        pid: String,
    },
    /// A later version of the program made it.
    #[error("{path} is a data directory of version {version}; this program knows version {VERSION}", path = path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Something else is there.
    #[error("{path} is no data directory: its file `format` says {found:?}", path = path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The system refused.
    #[error("the data directory {path} cannot be used: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DataDirError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::EventStore
    }

    /// Whether what is there is not what this program wrote: exit code 4.
    pub const fn is_integrity(&self) -> bool {
        matches!(self, Self::Newer { .. } | Self::Foreign { .. })
    }
}

/// A data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held as long as this value is; the system lets go of it when the process ends, however it ends.
    lock: Option<File>,
}

impl DataDir {
    /// Makes the directory if it is not there, and locks it for this process alone.
    ///
    /// # Errors
    /// [`DataDirError`]; nothing has changed then.
    pub fn lock(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(io)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Whoever holds it wrote its id before it did anything else; an empty file is one that is just about to.
                let _ = lock.read_to_string(&mut pid);
                let pid = if pid.trim().is_empty() { "unknown".to_owned() } else { pid.trim().to_owned() };
                return Err(DataDirError::Locked { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        lock.set_len(0).map_err(io)?;
        lock.seek(SeekFrom::Start(0)).map_err(io)?;
        writeln!(lock, "{}", std::process::id()).map_err(io)?;
        let format = path.join("format");
        if !format.exists() {
            std::fs::write(&format, format!("{FORMAT}{VERSION}\n")).map_err(io)?;
        }
        check(path)?;
        Ok(Self { path: path.to_owned(), lock: Some(lock) })
    }

    /// Opens a directory that is there for reading, whoever holds it.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn read(path: &Path) -> Result<Self, DataDirError> {
        check(path)?;
        Ok(Self { path: path.to_owned(), lock: None })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process holds it.
    pub const fn is_locked(&self) -> bool {
        self.lock.is_some()
    }
}

fn check(path: &Path) -> Result<(), DataDirError> {
    let text = std::fs::read_to_string(path.join("format"))
        .map_err(|source| DataDirError::Io { path: path.to_owned(), source })?;
    let version = text.trim().strip_prefix(FORMAT.trim_end()).and_then(|rest| rest.trim().parse::<u32>().ok());
    match version {
        Some(version) if version <= VERSION => Ok(()),
        Some(version) => Err(DataDirError::Newer { path: path.to_owned(), version }),
        None => Err(DataDirError::Foreign { path: path.to_owned(), found: text.chars().take(40).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_with_the_first_ones_process_id() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::lock(folder.path()).unwrap();
        let error = DataDir::lock(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process id {};", std::process::id())), "{error}");
        assert!(!DataDir::read(folder.path()).unwrap().is_locked(), "readers are let in");
        drop(first);
        assert!(DataDir::lock(folder.path()).unwrap().is_locked());
    }

    #[test]
    fn a_newer_or_a_foreign_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("format"), "fizzops-data 2\n").unwrap();
        assert!(matches!(DataDir::lock(folder.path()), Err(DataDirError::Newer { version: 2, .. })));
        std::fs::write(folder.path().join("format"), "something else").unwrap();
        assert!(matches!(DataDir::lock(folder.path()), Err(DataDirError::Foreign { .. })));
        assert!(matches!(DataDir::read(&folder.path().join("none")), Err(DataDirError::Io { .. })));
    }
}
