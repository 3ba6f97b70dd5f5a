//! What a session keeps in its data directory: the durable journal and the repository, behind their writers' threads.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ledger::Keeper;
use super::{Exit, Failure};
use crate::domain::{Evaluation, Event, Payload, Timestamp};
use crate::engine::drive::Sink;
use crate::engine::{Engine, Frame, Settings, WallClock};
use crate::records::data_dir::{DataDir, DataDirError};
use crate::records::files::Disk;
use crate::records::journal::JournalError;
use crate::records::journal::desk::OPERATIONS;
use crate::records::journal::log::{Log, LogConfig, NewEvent, Session};
use crate::records::journal::outbox::{Background, Outbox, OutboxError, Sender, sink};
use crate::records::journal::projector::Projector;
use crate::records::journal::store::{Acknowledge, Appender, Store, StoreConfig};
use crate::records::ledger::{Ledger, Mining};
use crate::records::storage::{
    FileRepository, Memory, Repository, RepositoryWriter, Shaper, SqliteRepository, StorageError,
};

/// The journal's folder in a data directory.
pub const JOURNAL: &str = "journal";
/// The ledger's folder in a data directory.
pub const LEDGER: &str = "ledger";
/// The database's name in a data directory.
pub const DATABASE: &str = "results.db";
/// The folder of the repository of files in a data directory.
pub const RESULTS: &str = "results";

/// Where data is.
#[derive(Debug, Clone, Default, Args)]
pub struct DataDirArg {
    /// Where keys, journal, ledger and repository are kept [default: the platform's data directory]
    #[arg(long, value_name = "DIR", env = "EFP_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

impl DataDirArg {
    /// The directory, as given or the platform's.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        path(self.data_dir.as_ref())
    }
}

/// Whether a ledger is kept, and where.
#[derive(Debug, Clone, Default, Args)]
pub struct LedgerArg {
    /// Keep the ledger in this directory, or go on with the one that is there [default: `ledger` in the data directory]
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    ledger: Option<Option<PathBuf>>,
}

impl LedgerArg {
    /// Whether one is asked for.
    pub const fn is_given(&self) -> bool {
        self.ledger.is_some()
    }

    /// Opens the ledger, where one is asked for.
    pub fn open(&self, dir: &DataDirArg, settings: &Settings) -> Result<Option<Keeper>, Failure> {
        let Some(folder) = &self.ledger else { return Ok(None) };
        Keeper::open(folder.as_deref(), &dir.path()?, &settings.blockchain).map(Some)
    }

    /// Puts on record, where a ledger is asked for, that somebody was not let in; the failure itself.
    pub fn refused(&self, dir: &DataDirArg, settings: &Settings, name: Option<&str>, failure: Failure) -> Failure {
        let record = || {
            let Some(mut keeper) = self.open(dir, settings)? else { return Ok(()) };
            let who = name.map(|name| format!(" (the name given was {name})")).unwrap_or_default();
            let payload = Payload::TokenValidationFailed { reason: failure.message.clone() + &who };
            let facts = serde_json::to_value(&payload).unwrap_or_default();
            let facts = facts.get("payload").unwrap_or(&facts).to_string();
            let now = moment();
            let mut ledger = Ledger::new(&settings.blockchain, keeper.start(), Mining::Inline, now)
                .map_err(|error| Failure::usage(error.to_string()))?;
            ledger.keep();
            ledger.event(now, payload.kind().name(), &facts);
            ledger.close(now);
            if let Some(mut sink) = keeper.sink() {
                // Why the writer stopped is told at its end.
                let _ = ledger.take().into_iter().try_for_each(&mut sink);
            }
            keeper.finish()
        };
        match (failure.exit, record()) {
            (Exit::NotPermitted, Err(other)) => {
                let message = format!("{}; and that is not on record: {}", failure.message, other.message);
                Failure { message, ..failure }
            }
            _ => failure,
        }
    }
}

/// Where data is, for subcommands of a subcommand.
#[derive(Debug, Clone, Default, Args)]
pub struct SharedDataDirArg {
    /// Where keys, journal, ledger and repository are kept [default: the platform's data directory]
    #[arg(long, value_name = "DIR", env = "EFP_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
}

impl SharedDataDirArg {
    /// The directory, as given or the platform's.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        path(self.data_dir.as_ref())
    }
}

/// The directory, as given or the platform's.
fn path(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    let platform = || directories::ProjectDirs::from("", "", "fizzops").map(|dirs| dirs.data_dir().to_owned());
    given.cloned().or_else(platform).ok_or_else(|| Failure::usage("there is no home directory; give --data-dir"))
}

/// Where results are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// Nowhere, once the session is over.
    Memory,
    /// In a database.
    Sqlite,
    /// A file each.
    Filesystem,
}

/// What a session keeps.
#[derive(Debug, Clone, Default, Args)]
pub struct DataArgs {
    #[command(flatten)]
    pub dir: DataDirArg,
    /// Keep every evaluation and every operation in the durable journal
    #[arg(long)]
    journal: bool,
    /// Keep every result in a repository
    #[arg(long, value_enum, value_name = "KIND")]
    repository: Option<Backend>,
    /// Deliver alerts, verdicts, breaker transitions and commands from the journal to http://…, https://… or file:PATH
    #[arg(long, value_name = "SINK", env = "EFP_OUTBOX_SINK", requires = "journal")]
    outbox: Option<String>,
    /// Tell on stderr what is on the disk, commit by commit
    #[arg(long)]
    acks: bool,
}

/// What is being kept, until [`Kept::finish`].
#[derive(Default)]
pub struct Kept {
    appender: Option<Appender>,
    store: Option<Store>,
    outbox: Option<Background>,
    projector: Option<Projector>,
    repository: Arc<Mutex<Option<RepositoryWriter>>>,
    name: &'static str,
    /// Held until the end.
    _dir: Option<DataDir>,
}

pub fn moment() -> Timestamp {
    WallClock::start().now()
}

impl DataArgs {
    /// A journal in this directory, if one is wanted, and no repository.
    pub const fn journalled(dir: DataDirArg, journal: bool) -> Self {
        Self { dir, journal, repository: None, outbox: None, acks: false }
    }

    /// Whether evaluations are to be kept by the engine.
    pub const fn keeps(&self) -> bool {
        self.journal || self.repository.is_some()
    }

    /// Whether operations are kept: their events must be subscribed to.
    pub const fn journals(&self) -> bool {
        self.journal
    }

    /// Locks the data directory and starts the writers; the engine's views tell of them from then on.
    /// `held` is the directory when it is locked already.
    pub fn open(&self, engine: &mut Engine, settings: &Settings, held: Option<DataDir>) -> Result<Kept, Failure> {
        if !self.keeps() {
            return Ok(Kept { _dir: held, ..Kept::default() });
        }
        let path = self.dir.path()?;
        let dir = held.map_or_else(|| DataDir::lock(&path), Ok)?;
        let mut kept = Kept::default();
        let files = || Disk::new(&path).map(Arc::new).map_err(|error| Failure::write(&path, &error));
        let info = engine.info();
        if self.journal {
            let config = &settings.event_sourcing;
            let mut log = Log::open(files()?, JOURNAL, LogConfig { segment_bytes: config.segment_bytes })?;
            if log.cut() > 0 {
                eprintln!(
                    "fizzops: {} torn bytes were cut off the journal; nothing of them was acknowledged",
                    log.cut()
                );
            }
            let rules = Arc::clone(engine.rules());
            log.begin_session(Session { id: info.session_id.clone(), seed: info.seed, began: info.began, rules });
            let store = StoreConfig {
                commit_interval: Duration::from_millis(config.commit_interval_ms),
                ..StoreConfig::default()
            };
            let tell: Option<Acknowledge> = self.acks.then(|| {
                let tell: Acknowledge = Box::new(|version| tell("journal", version));
                tell
            });
            let (appender, store) = Store::spawn(log, store, tell)?;
            if config.checkpoint_seconds > 0 {
                let interval = Duration::from_secs(config.checkpoint_seconds);
                kept.projector = Some(Projector::spawn(files()?, JOURNAL, appender.progress(), interval)?);
            }
            kept.outbox = self.deliver(&appender, files()?, settings, info.seed)?;
            (kept.appender, kept.store) = (Some(appender), Some(store));
        }
        if let Some(backend) = self.repository {
            let repository: Box<dyn Repository> = match backend {
                Backend::Memory => Box::new(Memory::default()),
                Backend::Sqlite => Box::new(SqliteRepository::open(&path.join(DATABASE), moment())?),
                Backend::Filesystem => Box::new(FileRepository::open(files()?, RESULTS)?),
            };
            kept.name = repository.name();
            let shaper = Shaper::new(&info.session_id, info.seed, Arc::clone(engine.rules()));
            let acks: Option<Box<dyn FnMut(u64) + Send>> =
                if self.acks { Some(Box::new(|count| tell("repository", count))) } else { None };
            let writer = RepositoryWriter::spawn(repository, shaper, acks)?;
            kept.repository = Arc::new(Mutex::new(Some(writer)));
        }
        if let Some(appender) = &kept.appender {
            engine.show_journal(appender.clone());
        }
        kept._dir = Some(dir);
        Ok(kept)
    }
}

impl DataArgs {
    /// Begins to deliver the journal's events, where that is wanted.
    fn deliver(
        &self,
        appender: &Appender,
        files: Arc<Disk>,
        settings: &Settings,
        seed: u64,
    ) -> Result<Option<Background>, Failure> {
        let config = &settings.outbox;
        let Some(address) = self.outbox.as_ref().or(config.sink.as_ref()) else { return Ok(None) };
        let receiver = sink::open(address, Duration::from_millis(config.timeout_ms), token())?;
        let sender = Sender::new(Outbox::open(files.clone())?, config, receiver, seed)?;
        let poll = Duration::from_millis(config.poll_ms);
        Ok(Some(Background::spawn(sender, files, JOURNAL, appender.progress(), poll, Box::new(moment))?))
    }
}

/// What proves to a receiver who sends. It is never written anywhere.
pub fn token() -> Option<String> {
    std::env::var("EFP_OUTBOX_TOKEN").ok().filter(|token| !token.is_empty())
}

fn tell(what: &str, version: u64) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "acknowledged {what} {version}");
}

/// Events as the journal keeps them.
fn operations(events: &[Event]) -> Vec<NewEvent> {
    let shape = |event: &Event| {
        let value = serde_json::to_value(&event.payload).unwrap_or_default();
        let data = value.get("payload").cloned().unwrap_or_default();
        NewEvent { at: event.at, ..NewEvent::new(event.kind().name(), &data.to_string()) }
    };
    events.iter().map(shape).collect()
}

impl Kept {
    /// Where finished evaluations go.
    pub fn sink(&self) -> Option<Sink<Vec<(Timestamp, Evaluation)>>> {
        let (appender, repository) = (self.appender.clone(), Arc::clone(&self.repository));
        let has_repository = repository.lock().is_ok_and(|writer| writer.is_some());
        if appender.is_none() && !has_repository {
            return None;
        }
        Some(Box::new(move |batch| {
            // Why a writer stopped is told at the end.
            if has_repository
                && let Ok(writer) = repository.lock()
                && let Some(writer) = writer.as_ref()
                && writer.bring(batch.clone()).is_err()
            {
                return ControlFlow::Break(());
            }
            match &appender {
                Some(appender) if appender.evaluations(batch).is_err() => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }))
    }

    /// `inner`, and operations to the journal where there is one.
    pub fn frames(&self, inner: Option<Sink<Arc<Frame>>>) -> Option<Sink<Arc<Frame>>> {
        let Some(appender) = self.appender.clone() else { return inner };
        let mut inner = inner;
        let mask = crate::domain::EventMask::operations();
        Some(Box::new(move |frame| {
            let events: Vec<_> = frame.events.iter().filter(|event| mask.contains(event.kind())).cloned().collect();
            if !events.is_empty() {
                // Why a writer stopped is told at the end; the evaluations' sink ends the session.
                let _ = appender.tell(OPERATIONS, operations(&events));
            }
            if let Some(sink) = &mut inner
                && sink(frame).is_break()
            {
                inner = None;
            }
            ControlFlow::Continue(())
        }))
    }

    /// Waits until everything is on the disk and says so. Call it once the engine and its sinks are gone.
    pub fn finish(self, quiet: bool) -> Result<(), Failure> {
        let Self { appender, store, outbox, projector, repository, name, _dir } = self;
        drop(appender);
        let writer = repository.lock().ok().and_then(|mut writer| writer.take());
        let mut text = String::new();
        let stored = writer.map(RepositoryWriter::finish).transpose();
        let log = store.map(Store::finish).transpose();
        let delivered = outbox.map(Background::finish).transpose();
        let projected = projector.map(Projector::finish).transpose();
        if let Some(log) = log? {
            text.push_str(&format!(
                "journal: {} events, {} evaluations on the disk, head {}\n",
                log.acknowledged(),
                log.totals().evaluations,
                log.head().get(..16).unwrap_or_default()
            ));
        }
        if let Some(current) = projected? {
            let numbers = current.results.len();
            text.push_str(&format!("current results: {numbers} numbers, checkpoint at event {}\n", current.version));
        }
        if let Some(state) = delivered? {
            text.push_str(&format!("outbox: {} events delivered", state.delivered));
            match state.problem {
                Some(problem) => text.push_str(&format!(", others wait or were given up: {problem}\n")),
                None => text.push('\n'),
            }
        }
        if let Some(count) = stored? {
            text.push_str(&format!("repository {name}: {count} results committed\n"));
        }
        if !quiet && !text.is_empty() {
            // With stderr closed there is nobody to tell.
            let _ = write!(std::io::stderr(), "{text}");
        }
        Ok(())
    }
}

const fn exit(integrity: bool) -> Exit {
    if integrity { Exit::Integrity } else { Exit::Usage }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::new(exit(error.is_integrity()), Some(error.code()), error.to_string())
    }
}

impl From<OutboxError> for Failure {
    fn from(error: OutboxError) -> Self {
        Self::new(exit(error.is_integrity()), Some(error.code()), error.to_string())
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::new(exit(error.is_integrity()), Some(error.code()), error.to_string())
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        Self::new(exit(error.is_integrity()), Some(error.code()), error.to_string())
    }
}
