//! A repository's writer: a thread of its own that takes finished evaluations over a bounded queue and commits them in units
//! of work, so that the engine's thread never waits for a database, only for a full queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{Repository, Shaper, StorageError};
use crate::domain::{Evaluation, Timestamp};

/// Finished evaluations, with when each finished.
type Batch = Vec<(Timestamp, Evaluation)>;

/// Told of each commit: how many results are committed.
pub type Acknowledge = Box<dyn FnMut(u64) + Send>;

/// Results in one unit of work, at most.
const UNIT: usize = 10_000;
/// Batches that may wait.
const QUEUE: usize = 64;

#[derive(Debug, Default)]
struct Shared {
    committed: AtomicU64,
    reason: Mutex<Option<String>>,
}

/// The writer.
#[derive(Debug)]
pub struct RepositoryWriter {
    queue: SyncSender<Batch>,
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), StorageError>>,
}

impl RepositoryWriter {
    /// A writer of its own for `repository`. `acknowledge` is called after each commit, on the writer's thread.
    ///
    /// # Errors
    /// [`StorageError::Io`] when there can be no thread.
    pub fn spawn(
        repository: Box<dyn Repository>,
        shaper: Shaper,
        acknowledge: Option<Acknowledge>,
    ) -> Result<Self, StorageError> {
        let (queue, batches) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("repository".into())
            .spawn(move || {
                let result = write(repository, &shaper, &batches, &told, acknowledge);
                if let Err(error) = &result {
                    told.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
                }
                result
            })
            .map_err(|source| StorageError::Io { verb: "started", path: "thread".into(), source })?;
        Ok(Self { queue, shared, thread })
    }

    /// Brings finished evaluations; waits only when the queue is full.
    ///
    /// # Errors
    /// [`StorageError::Stopped`] with the reason, once the writer has ended.
    pub fn bring(&self, batch: Batch) -> Result<(), StorageError> {
        self.queue.send(batch).map_err(|_| {
            let reason = self.shared.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
            StorageError::Stopped(reason.unwrap_or_else(|| "the repository is closed".into()))
        })
    }

    /// Results committed so far.
    pub fn committed(&self) -> u64 {
        self.shared.committed.load(Ordering::Acquire)
    }

    /// Waits until everything that was brought is committed: how many results that is.
    ///
    /// # Errors
    /// Why the writer stopped before.
    pub fn finish(self) -> Result<u64, StorageError> {
        let Self { queue, shared, thread } = self;
        drop(queue);
        let stopped = || Err(StorageError::Stopped("the repository's writer ended without a word".into()));
        thread.join().unwrap_or_else(|_| stopped())?;
        Ok(shared.committed.load(Ordering::Acquire))
    }
}

fn write(
    mut repository: Box<dyn Repository>,
    shaper: &Shaper,
    batches: &Receiver<Batch>,
    shared: &Shared,
    mut acknowledge: Option<Acknowledge>,
) -> Result<(), StorageError> {
    while let Ok(first) = batches.recv() {
        let mut unit = repository.begin()?;
        let mut count = 0;
        let mut next = Some(first);
        while let Some(batch) = next {
            for (at, evaluation) in &batch {
                unit.add(shaper.shape(*at, evaluation))?;
            }
            count += batch.len();
            next = if count < UNIT { batches.try_recv().ok() } else { None };
        }
        unit.commit()?;
        let committed = shared.committed.fetch_add(count as u64, Ordering::AcqRel) + count as u64;
        if let Some(acknowledge) = &mut acknowledge {
            acknowledge(committed);
        }
    }
    Ok(())
}
