//! Results as files, one JSON document each. A unit of work is written beside the results, then a marker is put that lists
//! it, then its files take their names: opening finishes a unit whose marker is there and removes one without.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::memory::select;
use super::{Repository, StorageError, StoredResult, UnitOfWork};
use crate::records::files::{Files, replace};
use crate::records::specification::Filter;

const MARKER: &str = "commit.list";
const TEMPORARY: &str = ".json.new";

/// Results as files in one folder.
#[derive(Debug)]
pub struct FileRepository {
    files: Arc<dyn Files>,
    folder: String,
}

fn failed(verb: &'static str, path: &str) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_owned();
    move |source| StorageError::Io { verb, path, source }
}

impl FileRepository {
    /// Opens the folder, made if it is not there, and settles what a crash left.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn open(files: Arc<dyn Files>, folder: &str) -> Result<Self, StorageError> {
        files.make_folder(folder).map_err(failed("made", folder))?;
        let repository = Self { files, folder: folder.to_owned() };
        repository.settle()?;
        Ok(repository)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.files.list(&self.folder).map_err(failed("read", &self.folder))
    }

    /// Finishes a unit that was committed, and lets go of one that was not.
    fn settle(&self) -> Result<(), StorageError> {
        let names = self.names()?;
        if names.iter().any(|name| name == MARKER) {
            let path = self.path(MARKER);
            let list = self.files.read(&path, 0, usize::MAX).map_err(failed("read", &path))?;
            self.publish(String::from_utf8_lossy(&list).lines())?;
        }
        for name in names.iter().filter(|name| name.ends_with(TEMPORARY) || name.ends_with(".tmp")) {
            let path = self.path(name);
            match self.files.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("removed", &path)(error)),
                _ => {}
            }
        }
        self.files.sync_folder(&self.folder).map_err(failed("synced", &self.folder))
    }

    /// Gives the files of a unit their names and takes the marker away.
    fn publish<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Result<(), StorageError> {
        for id in ids {
            let from = self.path(&format!("{id}{TEMPORARY}"));
            match self.files.rename(&from, &self.path(&format!("{id}.json"))) {
                // It has its name already: this was done before a crash.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed.map_err(failed("renamed", &from))?,
            }
        }
        self.files.sync_folder(&self.folder).map_err(failed("synced", &self.folder))?;
        let marker = self.path(MARKER);
        self.files.remove(&marker).map_err(failed("removed", &marker))?;
        self.files.sync_folder(&self.folder).map_err(failed("synced", &self.folder))
    }

    fn read(&self, id: &str) -> Result<Option<StoredResult>, StorageError> {
        if !is_name(id) {
            return Ok(None);
        }
        let path = self.path(&format!("{id}.json"));
        match self.files.read(&path, 0, usize::MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| StorageError::Damaged { path, problem: error.to_string() }),
        }
    }
}

/// Whether an id can be a file's name: no separators, nothing hidden.
fn is_name(id: &str) -> bool {
    (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Repository for FileRepository {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn begin(&mut self) -> Result<Box<dyn UnitOfWork + '_>, StorageError> {
        Ok(Box::new(Unit { repository: self, staged: BTreeMap::new() }))
    }

    fn get(&self, id: &str) -> Result<Option<StoredResult>, StorageError> {
        self.read(id)
    }

    fn find(&self, filter: &Filter, limit: usize) -> Result<Vec<StoredResult>, StorageError> {
        let mut all = Vec::new();
        for name in self.names()? {
            if let Some(id) = name.strip_suffix(".json") {
                all.extend(self.read(id)?);
            }
        }
        Ok(select(all.iter(), filter, limit))
    }

    fn difference(&self, expected: &StoredResult) -> Result<Option<Option<String>>, StorageError> {
        let path = self.path(&format!("{}.json", expected.id));
        match self.files.read(&path, 0, usize::MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
            Ok(bytes) => {
                let wanted = serde_json::to_vec_pretty(expected).unwrap_or_default();
                let at = bytes.iter().zip(&wanted).position(|(one, other)| one != other);
                let at = at.or_else(|| (bytes.len() != wanted.len()).then(|| bytes.len().min(wanted.len())));
                Ok(Some(at.map(|at| {
                    let line = wanted.iter().take(at).filter(|byte| **byte == b'\n').count();
                    let lines = |bytes: &[u8]| {
                        String::from_utf8_lossy(bytes).lines().nth(line).unwrap_or_default().trim().to_owned()
                    };
                    format!("{path} line {} says `{}`, not `{}`", line + 1, lines(&bytes), lines(&wanted))
                })))
            }
        }
    }

    fn count(&self) -> Result<u64, StorageError> {
        Ok(self.names()?.iter().filter(|name| name.ends_with(".json")).count() as u64)
    }
}

struct Unit<'a> {
    repository: &'a mut FileRepository,
    staged: BTreeMap<String, StoredResult>,
}

impl UnitOfWork for Unit<'_> {
    fn add(&mut self, result: StoredResult) -> Result<(), StorageError> {
        if !is_name(&result.id) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "an id has letters, digits and dashes");
            return Err(StorageError::Io { verb: "written", path: result.id, source });
        }
        let taken = self.staged.contains_key(&result.id)
            || self.repository.files.size(&self.repository.path(&format!("{}.json", result.id))).is_ok();
        if taken {
            return Err(StorageError::Duplicate(result.id));
        }
        self.staged.insert(result.id.clone(), result);
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Option<StoredResult>, StorageError> {
        match self.staged.get(id) {
            Some(result) => Ok(Some(result.clone())),
            None => self.repository.read(id),
        }
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let repository = self.repository;
        let write = || {
            for (id, result) in &self.staged {
                let path = repository.path(&format!("{id}{TEMPORARY}"));
                // Plain data; writing it to memory cannot fail.
                let bytes = serde_json::to_vec_pretty(result).unwrap_or_default();
                let written = repository.files.append(&path).and_then(|mut file| {
                    file.write(&bytes)?;
                    file.sync()
                });
                written.map_err(failed("written", &path))?;
            }
            repository.files.sync_folder(&repository.folder).map_err(failed("synced", &repository.folder))?;
            let list: String = self.staged.keys().map(|id| format!("{id}\n")).collect();
            replace(&*repository.files, &repository.folder, MARKER, list.as_bytes())
                .map_err(failed("written", &repository.path(MARKER)))
        };
        if self.staged.is_empty() {
            return Ok(());
        }
        if let Err(error) = write() {
            // What cannot be removed now is when the folder is opened again.
            let _ = repository.settle();
            return Err(error);
        }
        // From here on it is committed: what fails now is finished when the folder is opened again.
        repository.publish(self.staged.keys().map(String::as_str))
    }

    fn rollback(self: Box<Self>) -> Result<(), StorageError> {
        Ok(())
    }
}
