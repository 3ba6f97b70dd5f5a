//! Delivery beside a session that writes the journal: a thread of its own, which neither the engine nor the journal's writer
//! ever waits for.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{OutboxError, Sender, State, Step};
use crate::domain::Timestamp;
use crate::records::files::Files;
use crate::records::journal::JournalError;
use crate::records::journal::log::Reader;
use crate::records::journal::store::Progress;

/// The thread.
#[derive(Debug)]
pub struct Background {
    thread: JoinHandle<Result<Sender, OutboxError>>,
    stop: SyncSender<()>,
}

struct Work {
    sender: Sender,
    files: Arc<dyn Files>,
    folder: String,
    progress: Progress,
    now: Box<dyn Fn() -> Timestamp + Send>,
}

impl Work {
    /// Delivers what is durable, until nothing is left or a delivery fails: how long to wait then.
    fn deliver(&mut self) -> Result<Option<Duration>, OutboxError> {
        // What was durable before the journal is looked at; what is written but not synced is not delivered.
        let until = self.progress.acknowledged();
        let reader = Reader::open(Arc::clone(&self.files), &self.folder)?;
        loop {
            match self.sender.step(&reader, until, (self.now)())? {
                Step::Went(_) => {}
                Step::Idle => return Ok(None),
                Step::Wait(wait) | Step::Refused(wait) => return Ok(Some(wait)),
            }
        }
    }
}

impl Background {
    /// Begins to deliver what the writer behind `progress` acknowledges in the journal `folder` of `files`. It looks for
    /// new events every `poll`.
    ///
    /// # Errors
    /// [`OutboxError::Io`] when there can be no thread.
    pub fn spawn(
        sender: Sender,
        files: Arc<dyn Files>,
        folder: &str,
        progress: Progress,
        poll: Duration,
        now: Box<dyn Fn() -> Timestamp + Send>,
    ) -> Result<Self, OutboxError> {
        let (stop, stopped) = sync_channel(1);
        let mut work = Work { sender, files, folder: folder.to_owned(), progress, now };
        let thread = std::thread::Builder::new().name("outbox".into()).spawn(move || {
            let mut others = None;
            let mut wait = Duration::ZERO;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                // Reading the journal's end is not free: only when there is something new, or again to be sent.
                let there = Some(work.progress.others());
                let again = work.sender.outbox().next_again()?.is_some();
                wait = poll;
                if there != others || again {
                    match work.deliver()? {
                        None => others = there,
                        Some(failed) => (others, wait) = (None, failed),
                    }
                }
            }
            // The journal's writer has ended: one more time over what it wrote, without waiting for a receiver.
            if work.deliver()?.is_none() {
                work.sender.settle()?;
            }
            Ok(work.sender)
        });
        let thread = thread.map_err(|source| OutboxError::Io { path: "thread".into(), source })?;
        Ok(Self { thread, stop })
    }

    /// Delivers what is left, once, and ends; what is not delivered waits on the disk. Call it when the journal's writer
    /// has ended.
    ///
    /// # Errors
    /// Why it stopped before.
    pub fn finish(self) -> Result<State, OutboxError> {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let ended = self
            .thread
            .join()
            .unwrap_or_else(|_| Err(JournalError::Stopped("the outbox's thread ended without a word".into()).into()));
        ended.map(|sender| sender.outbox().state().clone())
    }
}
