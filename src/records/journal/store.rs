//! The journal's writer: a thread that owns the log, takes batches over a bounded queue and commits them in groups. It waits
//! a little for company before it writes, so that many batches share one sync; whoever appends waits for that sync. It must
//! not look at a clock, and it never goes on after a failure.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::JournalError;
use super::log::{Appended, Expected, Log, NewEvent};
use crate::domain::{Evaluation, Timestamp};

/// Finished evaluations, with when each finished.
pub type Batch = Vec<(Timestamp, Evaluation)>;

/// Told of each commit: the number of the last event that is durable.
pub type Acknowledge = Box<dyn FnMut(u64) + Send>;

enum Request {
    Evaluations(Batch),
    Append {
        stream: String,
        expected: Expected,
        events: Vec<NewEvent>,
        reply: SyncSender<Result<Appended, JournalError>>,
    },
    /// Appended with the next commit; nobody waits for it.
    Tell {
        stream: String,
        events: Vec<NewEvent>,
    },
}

/// A group is committed once it has so many bytes, however little it has waited.
const GROUP: usize = 4 * 1024 * 1024;

/// How a writer works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreConfig {
    /// How long a commit waits for company; a batch is durable after this and one write and sync.
    pub commit_interval: Duration,
    /// Batches that may wait before whoever brings another has to.
    pub queue: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { commit_interval: Duration::from_millis(20), queue: 256 }
    }
}

/// The journal on the disk, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DurableView {
    /// The last event that is on the disk.
    pub acknowledged: u64,
    /// Evaluations on the disk, of this session and all before.
    pub evaluations: u64,
    /// Commits since the engine began.
    pub commits: u64,
    /// Evaluations that were brought and are not on the disk yet.
    pub behind: u64,
    /// Files.
    pub segments: u64,
    /// Why nothing more is written, when that is so.
    pub stopped: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    acknowledged: AtomicU64,
    evaluations: AtomicU64,
    commits: AtomicU64,
    segments: AtomicU64,
    others: AtomicU64,
    brought: AtomicU64,
    written: AtomicU64,
    failed: AtomicBool,
    reason: Mutex<Option<String>>,
}

impl Shared {
    fn note(&self, log: &Log) {
        self.acknowledged.store(log.acknowledged(), Ordering::Release);
        self.others.store(log.totals().others, Ordering::Release);
        self.evaluations.store(log.totals().evaluations, Ordering::Release);
        self.segments.store(log.segments() as u64, Ordering::Release);
    }

    fn fail(&self, reason: String) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.failed.store(true, Ordering::Release);
    }

    fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where batches and events go. Clones go to the same writer; it ends when the last of them is gone.
#[derive(Debug, Clone)]
pub struct Appender {
    queue: SyncSender<Request>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

/// How far a writer is, for whoever must not keep it from ending.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Shared>);

impl Progress {
    /// The last event that is durable.
    pub fn acknowledged(&self) -> u64 {
        self.0.acknowledged.load(Ordering::Acquire)
    }

    /// How many durable events are no evaluations. What it counts is acknowledged already.
    pub fn others(&self) -> u64 {
        self.0.others.load(Ordering::Acquire)
    }
}

/// A writer's thread, to be waited for.
#[derive(Debug)]
pub struct Store {
    thread: JoinHandle<Result<Log, JournalError>>,
    shared: Arc<Shared>,
}

impl Store {
    /// A writer of its own for `log`. `acknowledge` is called after each commit, on the writer's thread.
    ///
    /// # Errors
    /// [`JournalError::Io`] when there can be no thread.
    pub fn spawn(
        log: Log,
        config: StoreConfig,
        acknowledge: Option<Acknowledge>,
    ) -> Result<(Appender, Self), JournalError> {
        let (queue, requests) = sync_channel(config.queue.max(1));
        let shared = Arc::new(Shared::default());
        shared.note(&log);
        let told = Arc::clone(&shared);
        let interval = config.commit_interval.min(Duration::from_millis(100));
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                let result = write(log, &requests, interval, acknowledge, &told);
                if let Err(error) = &result {
                    told.fail(error.to_string());
                }
                result
            })
            .map_err(|error| JournalError::io("opened", "thread", error))?;
        Ok((Appender { queue, shared: Arc::clone(&shared) }, Self { thread, shared }))
    }

    /// Waits until everything that was brought is durable, once every [`Appender`] is gone.
    ///
    /// # Errors
    /// Why the writer stopped before.
    pub fn finish(self) -> Result<Log, JournalError> {
        let Self { thread, shared } = self;
        thread.join().unwrap_or_else(|_| {
            let reason = shared.reason().unwrap_or_else(|| "the journal's writer ended without a word".into());
            Err(JournalError::Stopped(reason))
        })
    }
}

impl Appender {
    /// Brings finished evaluations; waits only when the queue is full.
    ///
    /// # Errors
    /// [`JournalError::Stopped`] with the reason, once the writer has ended. What was acknowledged is on the disk.
    pub fn evaluations(&self, batch: Batch) -> Result<(), JournalError> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(self.stopped());
        }
        self.shared.brought.fetch_add(batch.len() as u64, Ordering::AcqRel);
        self.queue.send(Request::Evaluations(batch)).map_err(|_| self.stopped())
    }

    /// Appends events and waits until they are durable.
    ///
    /// # Errors
    /// As [`Log::append`] and [`Log::commit`]; [`JournalError::Stopped`].
    pub fn append(&self, stream: &str, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, JournalError> {
        let (reply, answer) = sync_channel(1);
        let request = Request::Append { stream: stream.to_owned(), expected, events, reply };
        self.queue.send(request).map_err(|_| self.stopped())?;
        answer.recv().unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Appends events to a stream, wherever it is, with the next commit.
    ///
    /// # Errors
    /// [`JournalError::Stopped`].
    pub fn tell(&self, stream: &str, events: Vec<NewEvent>) -> Result<(), JournalError> {
        match self.queue.try_send(Request::Tell { stream: stream.to_owned(), events }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(request)) => self.queue.send(request).map_err(|_| self.stopped()),
            Err(TrySendError::Disconnected(_)) => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> JournalError {
        JournalError::Stopped(self.shared.reason().unwrap_or_else(|| "the journal is closed".into()))
    }

    /// How far the writer is.
    pub fn progress(&self) -> Progress {
        Progress(Arc::clone(&self.shared))
    }

    /// As it is shown.
    pub fn view(&self) -> DurableView {
        let load = |number: &AtomicU64| number.load(Ordering::Acquire);
        let written = load(&self.shared.written);
        DurableView {
            acknowledged: load(&self.shared.acknowledged),
            evaluations: load(&self.shared.evaluations),
            commits: load(&self.shared.commits),
            behind: load(&self.shared.brought).saturating_sub(written),
            segments: load(&self.shared.segments),
            stopped: self.shared.reason(),
        }
    }
}

type Waiting = Vec<(SyncSender<Result<Appended, JournalError>>, Appended)>;

fn write(
    mut log: Log,
    requests: &Receiver<Request>,
    interval: Duration,
    mut acknowledge: Option<Acknowledge>,
    shared: &Shared,
) -> Result<Log, JournalError> {
    let mut open = true;
    while open {
        let Ok(first) = requests.recv() else { break };
        let (mut waiting, mut evaluations) = (Waiting::new(), 0);
        stage(&mut log, first, &mut waiting, &mut evaluations)?;
        // Company comes within the interval, or it waits for the next commit.
        std::thread::sleep(interval);
        while log.staged_bytes() < GROUP {
            match requests.recv_timeout(Duration::ZERO) {
                Ok(request) => stage(&mut log, request, &mut waiting, &mut evaluations)?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        match log.commit() {
            Ok(version) => {
                shared.note(&log);
                shared.commits.fetch_add(1, Ordering::AcqRel);
                shared.written.fetch_add(evaluations, Ordering::AcqRel);
                if let Some(acknowledge) = &mut acknowledge {
                    acknowledge(version);
                }
                for (reply, appended) in waiting {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(Ok(appended));
                }
            }
            Err(error) => {
                for (reply, _) in waiting {
                    let _ = reply.send(Err(JournalError::Stopped(error.to_string())));
                }
                return Err(error);
            }
        }
    }
    Ok(log)
}

fn stage(log: &mut Log, request: Request, waiting: &mut Waiting, evaluations: &mut u64) -> Result<(), JournalError> {
    match request {
        Request::Evaluations(batch) => {
            *evaluations += batch.len() as u64;
            for (at, evaluation) in &batch {
                log.evaluation(*at, evaluation)?;
            }
            Ok(())
        }
        Request::Append { stream, expected, events, reply } => {
            match log.append(&stream, expected, &events) {
                Ok(appended) => waiting.push((reply, appended)),
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            }
            Ok(())
        }
        Request::Tell { stream, events } => log.append(&stream, Expected::Any, &events).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::log::{LogConfig, Reader};
    use super::*;
    use crate::records::files::simulated::{Faults, SimulatedDisk};

    fn quick() -> StoreConfig {
        StoreConfig { commit_interval: Duration::from_millis(1), queue: 8 }
    }

    #[test]
    fn twenty_appenders_at_once_lose_nothing_and_every_conflict_is_told() {
        let disk = SimulatedDisk::new(1);
        let log = Log::open(Arc::new(disk.clone()), "journal", LogConfig::default()).unwrap();
        let (appender, store) = Store::spawn(log, quick(), None).unwrap();
        let threads: Vec<_> = (0..20u128)
            .map(|me| {
                let appender = appender.clone();
                std::thread::spawn(move || {
                    let (mut acknowledged, mut conflicts, mut position) = (Vec::new(), 0u32, 0);
                    for turn in 0..15u128 {
                        let id = uuid::Uuid::from_u128(me << 64 | turn | 1 << 100);
                        loop {
                            let event = NewEvent::new("Turn", "{}").named(id);
                            match appender.append("shared", Expected::Exact(position), vec![event]) {
                                Ok(appended) => {
                                    assert_eq!(appended.position, position + 1);
                                    acknowledged.push((id, appended.version));
                                    position = appended.position;
                                    break;
                                }
                                Err(JournalError::Conflict { actual, .. }) => {
                                    assert!(actual > position);
                                    conflicts += 1;
                                    position = actual;
                                }
                                Err(other) => panic!("{other}"),
                            }
                        }
                    }
                    (acknowledged, conflicts)
                })
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        drop(appender);
        store.finish().unwrap();
        disk.crash();
        let reader = Reader::open(Arc::new(disk), "journal").unwrap();
        let mut found = BTreeSet::new();
        reader
            .visit(0, |item| {
                if let super::super::log::Item::Event(event) = item {
                    assert!(found.insert((event.id, event.version)), "{} is there twice", event.id);
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        let acknowledged: BTreeSet<_> = results.iter().flat_map(|(all, _)| all.iter().copied()).collect();
        assert_eq!((found.len(), &found), (300, &acknowledged));
        assert!(results.iter().map(|(_, conflicts)| conflicts).sum::<u32>() > 0, "they got in each other's way");
        reader.verify().unwrap();
    }

    #[test]
    fn a_failed_sync_stops_the_writer_and_it_says_so() {
        let disk = SimulatedDisk::new(1);
        let log = Log::open(Arc::new(disk.clone()), "journal", LogConfig::default()).unwrap();
        let (appender, store) = Store::spawn(log, quick(), None).unwrap();
        appender.append("a", Expected::None, vec![NewEvent::new("Note", "1")]).unwrap();
        disk.set_faults(Faults { sync_eio: 1_000_000, ..Faults::default() });
        let error = appender.append("a", Expected::Any, vec![NewEvent::new("Note", "2")]).unwrap_err().to_string();
        assert!(error.contains("could not be synced") && error.contains("everything up to event 1"), "{error}");
        assert!(store.finish().unwrap_err().is_integrity());
        assert_eq!(appender.view().stopped.as_deref(), Some(error.as_str()));
        assert_eq!(appender.evaluations(Vec::new()).unwrap_err().to_string(), error);
        assert_eq!(appender.view().acknowledged, 1);
    }
}
