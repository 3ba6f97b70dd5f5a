//! Results in memory: what tests and short sessions need.

use std::collections::BTreeMap;

use super::{Repository, StorageError, StoredResult, UnitOfWork};
use crate::records::specification::Filter;

/// Results in memory.
#[derive(Debug, Default)]
pub struct Memory {
    committed: BTreeMap<String, StoredResult>,
}

struct Unit<'a> {
    committed: &'a mut BTreeMap<String, StoredResult>,
    staged: BTreeMap<String, StoredResult>,
}

/// Those that a filter accepts, in the order that every backend answers in.
pub(super) fn select<'a>(
    all: impl Iterator<Item = &'a StoredResult>,
    filter: &Filter,
    limit: usize,
) -> Vec<StoredResult> {
    let mut found: Vec<_> = all.filter(|result| filter.matches(*result)).collect();
    found.sort_by(|a, b| (a.number, &a.id).cmp(&(b.number, &b.id)));
    found.into_iter().take(limit).cloned().collect()
}

impl Repository for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn begin(&mut self) -> Result<Box<dyn UnitOfWork + '_>, StorageError> {
        Ok(Box::new(Unit { committed: &mut self.committed, staged: BTreeMap::new() }))
    }

    fn get(&self, id: &str) -> Result<Option<StoredResult>, StorageError> {
        Ok(self.committed.get(id).cloned())
    }

    fn find(&self, filter: &Filter, limit: usize) -> Result<Vec<StoredResult>, StorageError> {
        Ok(select(self.committed.values(), filter, limit))
    }

    fn count(&self) -> Result<u64, StorageError> {
        Ok(self.committed.len() as u64)
    }
}

impl UnitOfWork for Unit<'_> {
    fn add(&mut self, result: StoredResult) -> Result<(), StorageError> {
        if self.staged.contains_key(&result.id) || self.committed.contains_key(&result.id) {
            return Err(StorageError::Duplicate(result.id));
        }
        self.staged.insert(result.id.clone(), result);
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Option<StoredResult>, StorageError> {
        Ok(self.staged.get(id).or_else(|| self.committed.get(id)).cloned())
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let Self { committed, mut staged } = *self;
        committed.append(&mut staged);
        Ok(())
    }

    fn rollback(self: Box<Self>) -> Result<(), StorageError> {
        Ok(())
    }
}
