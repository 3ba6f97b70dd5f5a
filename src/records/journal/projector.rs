//! The projection of current results kept up beside a session that writes the journal: a thread of its own follows what is
//! acknowledged and saves a checkpoint each time, so that a question, or a rebuild after a crash, begins near the end. It
//! must not project what is not durable, and neither the engine nor the journal's writer ever waits for it.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::JournalError;
use super::log::Reader;
use super::projection::CurrentResults;
use super::store::Progress;
use crate::records::files::Files;

/// The thread.
#[derive(Debug)]
pub struct Projector {
    thread: JoinHandle<Result<CurrentResults, JournalError>>,
    stop: SyncSender<()>,
}

impl Projector {
    /// Begins to follow the writer behind `progress`, from the last checkpoint on; a checkpoint every `interval`.
    ///
    /// # Errors
    /// [`JournalError::Io`] when there can be no thread.
    pub fn spawn(
        files: Arc<dyn Files>,
        folder: &str,
        progress: Progress,
        interval: Duration,
    ) -> Result<Self, JournalError> {
        let (stop, stopped) = sync_channel(1);
        let folder = folder.to_owned();
        let thread = std::thread::Builder::new().name("projector".into()).spawn(move || {
            let follow = |state: &mut CurrentResults| {
                let until = progress.acknowledged();
                if until > state.version {
                    state.bring_to(&Reader::open(Arc::clone(&files), &folder)?, until)?;
                    state.save(&*files)?;
                }
                Ok::<(), JournalError>(())
            };
            let mut state =
                CurrentResults::as_of(&*files, &Reader::open(Arc::clone(&files), &folder)?, progress.acknowledged())?;
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                follow(&mut state)?;
            }
            follow(&mut state)?;
            Ok(state)
        });
        let thread = thread.map_err(|error| JournalError::io("opened", "thread", error))?;
        Ok(Self { thread, stop })
    }

    /// Projects what is left, saves the last checkpoint and ends. Call it when the journal's writer has ended.
    ///
    /// # Errors
    /// Why it stopped before; the events themselves are whole.
    pub fn finish(self) -> Result<CurrentResults, JournalError> {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err(JournalError::Stopped("the projector ended without a word".into())))
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::super::log::{Log, LogConfig, Session};
    use super::super::store::{Store, StoreConfig};
    use super::*;
    use crate::domain::{Evaluation, RuleSet, Timestamp};
    use crate::records::files::simulated::SimulatedDisk;

    #[test]
    fn what_is_kept_up_live_is_what_is_rebuilt_from_nothing_while_the_writer_runs() {
        let disk = SimulatedDisk::new(1);
        let files: Arc<dyn Files> = Arc::new(disk.clone());
        let rules = Arc::new(RuleSet::classic());
        let mut log = Log::open(Arc::clone(&files), "journal", LogConfig { segment_bytes: 3_000 }).unwrap();
        log.begin_session(Session { id: "s".into(), seed: 1, began: Timestamp::EPOCH, rules: Arc::clone(&rules) });
        let quick = StoreConfig { commit_interval: Duration::from_millis(1), queue: 8 };
        let (appender, store) = Store::spawn(log, quick, None).unwrap();
        let projector =
            Projector::spawn(Arc::clone(&files), "journal", appender.progress(), Duration::from_millis(2)).unwrap();
        let fresh = || {
            let reader = Reader::open(Arc::clone(&files), "journal").unwrap();
            let mut state = CurrentResults::default();
            state.bring_to(&reader, reader.totals().version).unwrap();
            state
        };
        for sequence in 0..600u64 {
            let number = (sequence * 7 % 50) as i64;
            let evaluation = Evaluation::computed(sequence, number, &rules, Duration::from_nanos(sequence));
            appender.evaluations(vec![(Timestamp::from_nanos(sequence), evaluation)]).unwrap();
            if sequence % 100 == 99 {
                // Rebuilt while it is written: whatever is there is consistent with itself.
                let state = fresh();
                assert!(state.results.values().all(|current| current.version <= state.version));
            }
        }
        drop(appender);
        store.finish().unwrap();
        let live = projector.finish().unwrap();
        assert_eq!(live, fresh());
        // The last checkpoint is the whole of it: nothing is read behind it.
        let reader = Reader::open(Arc::clone(&files), "journal").unwrap();
        assert_eq!(CurrentResults::as_of(&*files, &reader, live.version).unwrap(), live);
        let mut behind = 0;
        reader
            .visit(live.version, |_| {
                behind += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(behind, 0);
    }
}
