//! The thread that writes a session's ledger: the engine hands over what is to be kept and goes on; a checkpoint is
//! signed once a second while there is something new, and at the end.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::data::LEDGER;
use super::super::keys::note_signer;
use super::super::{Exit, Failure};
use crate::engine::drive::Sink;
use crate::records::data_dir::DataDir;
use crate::records::ledger::{Kept, KeyKind, LedgerConfig, Start, StoreError, Writer};

/// What the thread may be behind: some thousand leaves, a few megabytes. When the disk is slower than that, the engine
/// waits: what was done must be on record.
const BEHIND: usize = 4_096;
const BETWEEN: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_millis(100);

/// A session's ledger on disk.
pub struct Keeper {
    sender: Option<SyncSender<Kept>>,
    thread: JoinHandle<Result<(), StoreError>>,
    start: Start,
    /// The lock, when the ledger is in the data directory.
    dir: Option<DataDir>,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = if matches!(error, StoreError::Io { .. } | StoreError::NotALedger(_) | StoreError::Busy(_)) {
            Exit::Usage
        } else {
            Exit::Integrity
        };
        Self::new(exit, Some(error.code()), error.to_string())
    }
}

impl Keeper {
    /// Begins a ledger in this directory or goes on with the one that is there.
    /// Without a folder it is the data directory's own, which is locked then.
    pub fn open(folder: Option<&Path>, data: &Path, config: &LedgerConfig) -> Result<Self, Failure> {
        let dir = if folder.is_none() { Some(DataDir::lock(data)?) } else { None };
        let folder = folder.map_or_else(|| data.join(LEDGER), Path::to_owned);
        let signer = note_signer(&data.join(super::KEY_FILE), &config.origin, KeyKind::Log)?;
        let mut writer = Writer::open(&folder, signer).map_err(|error| match error {
            StoreError::Io { error, .. } => Failure::write(&folder, &error),
            error => error.into(),
        })?;
        let start = writer.start();
        let (sender, kept) = sync_channel(BEHIND);
        let thread = std::thread::spawn(move || {
            let mut signed = Instant::now();
            loop {
                match kept.recv_timeout(IDLE) {
                    Ok(Kept::Entry(bytes)) => drop(writer.append(&bytes)?),
                    Ok(Kept::Block(block)) => writer.push_block(&block)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return writer.checkpoint(),
                }
                if signed.elapsed() >= BETWEEN {
                    writer.checkpoint()?;
                    signed = Instant::now();
                }
            }
        });
        Ok(Self { sender: Some(sender), thread, start, dir })
    }

    /// Where the engine's ledger goes on.
    pub fn start(&self) -> Start {
        self.start.clone()
    }

    /// The data directory's lock, for whoever keeps other things there too.
    pub const fn take_dir(&mut self) -> Option<DataDir> {
        self.dir.take()
    }

    /// Where the engine hands over.
    pub fn sink(&mut self) -> Option<Sink<Kept>> {
        let sender = self.sender.take()?;
        Some(Box::new(move |kept| match sender.send(kept) {
            Ok(()) => ControlFlow::Continue(()),
            // The thread has ended with an error, which is told at the end.
            Err(_) => ControlFlow::Break(()),
        }))
    }

    /// Signs the last checkpoint, once the engine has let go of the sink.
    pub fn finish(self) -> Result<(), Failure> {
        drop(self.sender);
        match self.thread.join() {
            Ok(result) => result.map_err(Failure::from),
            Err(_) => Err(Failure::new(Exit::Integrity, None, "the ledger's writer stopped unexpectedly")),
        }
    }
}
