//! The transactional outbox: events of the journal that leave the process. The journal is the log that they are committed
//! to, so an event and its place in the outbox are one commit; the outbox keeps how far it has delivered, and what no
//! receiver took. It must not deliver what is not durable, and it looks at no clock.

mod background;
mod send;
pub mod sink;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

pub use background::Background;
pub use send::{Sender, Step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JournalError;
use super::log::Reader;
use crate::domain::{ErrorCode, Timestamp};
use crate::records::files::{Files, replace};
use crate::records::specification::{Filter, events::SCHEMA};

/// The section `outbox`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboxConfig {
    /// Where events of the durable journal are delivered to: `http://…`, `https://…` or `file:PATH`; nowhere without one.
    pub sink: Option<String>,
    /// Which events, as a filter over type, group, stream, event, position, at and data.
    pub filter: String,
    /// Events in one delivery, at most; 1 to 10000.
    pub batch: usize,
    /// How long until it is looked again for new events, milliseconds; at least 10.
    pub poll_ms: u64,
    /// An event that was refused so often is a dead letter; at least 1.
    pub tries: u32,
    /// How long is waited after the first failure, milliseconds; twice as long after each further one.
    pub backoff_ms: u64,
    /// How long is waited at most, milliseconds.
    pub backoff_cap_ms: u64,
    /// By which share a wait is longer or shorter at random, 0 to 1.
    pub jitter: f64,
    /// How long a delivery may take, milliseconds; at least 1.
    pub timeout_ms: u64,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        let operators = "SLA_ALERT_FIRED, SLA_ALERT_ACKNOWLEDGED, SLA_ALERT_RESOLVED, SLA_ERROR_BUDGET_EXHAUSTED, \
                         CHAOS_GAMEDAY_STARTED, CHAOS_GAMEDAY_ENDED, CIRCUIT_BREAKER_STATE_CHANGED, FLAG_STATE_CHANGED, \
                         COMMAND_ACCEPTED, COMMAND_REFUSED";
        Self {
            sink: None,
            filter: format!("type in ({operators})"),
            batch: 100,
            poll_ms: 1_000,
            tries: 3,
            backoff_ms: 1_000,
            backoff_cap_ms: 30_000,
            jitter: 0.1,
            timeout_ms: 5_000,
        }
    }
}

impl OutboxConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`OutboxError::Configuration`] naming the key.
    pub fn check(&self) -> Result<(), OutboxError> {
        let wrong = |problem: String| Err(OutboxError::Configuration(problem));
        if let Some(address) = &self.sink {
            sink::check(address)?;
        }
        self.filter()?;
        if !(1..=10_000).contains(&self.batch) {
            return wrong(format!("outbox.batch is {}; it must be 1 to 10000", self.batch));
        }
        if self.poll_ms < 10 {
            return wrong(format!("outbox.poll_ms is {}; it must be at least 10", self.poll_ms));
        }
        if self.tries == 0 {
            return wrong("outbox.tries is 0; it must be at least 1".into());
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return wrong(format!("outbox.jitter is {}; it must be 0 to 1", self.jitter));
        }
        if self.timeout_ms == 0 {
            return wrong("outbox.timeout_ms is 0; it must be at least 1".into());
        }
        Ok(())
    }

    /// Which events leave.
    ///
    /// # Errors
    /// [`OutboxError::Configuration`] with the place in the filter.
    pub fn filter(&self) -> Result<Filter, OutboxError> {
        Filter::parse(&self.filter, &SCHEMA)
            .map_err(|error| OutboxError::Configuration(format!("outbox.filter: {error}")))
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// A setting is impossible.
    #[error("{0}")]
    Configuration(String),
    /// The system refused.
    #[error("the outbox's {path} cannot be used: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// What is on the disk is not what was written there.
    #[error("the outbox's {path} is damaged: {problem}")]
    Corrupt {
        /// Which file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Its journal is another one, or lost what was delivered.
    #[error("the outbox has delivered up to event {cursor}, and the journal ends with event {last}: it is another one")]
    Ahead {
        /// How far the outbox is.
        cursor: u64,
        /// How far the journal is.
        last: u64,
    },
    /// There is no such dead letter.
    #[error("there is no dead letter {0}; `fizzops outbox list` shows those that there are")]
    Unknown(String),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl OutboxError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Configuration(_) => ErrorCode::OutboxConfiguration,
            Self::Journal(error) => error.code(),
            _ => ErrorCode::Outbox,
        }
    }

    /// Whether what is kept is not what it claims to be: exit code 4.
    pub const fn is_integrity(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Ahead { .. } => true,
            Self::Journal(error) => error.is_integrity(),
            _ => false,
        }
    }
}

/// How far an outbox is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The journal's event up to which everything was delivered, left out by the filter, or given up as a dead letter.
    pub cursor: u64,
    /// Events delivered, those sent again included.
    pub delivered: u64,
    /// Failures in a row since the last delivery.
    pub failures: u32,
    /// Why the last delivery failed, until one does not.
    pub problem: Option<String>,
}

/// An event that no receiver took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The event's number in the journal.
    pub version: u64,
    /// When it was given up.
    pub at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// What the receiver said last.
    pub problem: String,
    /// Whether it is to be sent again.
    #[serde(skip)]
    pub again: bool,
    /// The CloudEvent.
    pub event: Value,
}

impl DeadLetter {
    /// The event's name for ever.
    pub fn id(&self) -> &str {
        self.event.get("id").and_then(Value::as_str).unwrap_or_default()
    }
}

const FOLDER: &str = "outbox";
const CURSOR: &str = "cursor";
const DEAD: &str = "dead-";
const AGAIN: &str = "again-";

/// The outbox's files: a cursor, and a file for each dead letter.
#[derive(Debug)]
pub struct Outbox {
    files: Arc<dyn Files>,
    state: State,
}

impl Outbox {
    /// The outbox of a data directory, made if it is not there; a new one begins with the journal's first event.
    ///
    /// # Errors
    /// [`OutboxError::Corrupt`], [`OutboxError::Io`].
    pub fn open(files: Arc<dyn Files>) -> Result<Self, OutboxError> {
        files.make_folder(FOLDER).map_err(|error| failed(FOLDER, error))?;
        Self::read(files)
    }

    /// As [`Outbox::open`], changing nothing.
    ///
    /// # Errors
    /// [`OutboxError::Corrupt`], [`OutboxError::Io`].
    pub fn read(files: Arc<dyn Files>) -> Result<Self, OutboxError> {
        let state = load(&*files, CURSOR)?.unwrap_or_default();
        Ok(Self { files, state })
    }

    /// How far it is.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// How many events behind the cursor a filter selects.
    ///
    /// # Errors
    /// [`OutboxError::Ahead`], [`OutboxError::Journal`].
    pub fn waiting(&self, reader: &Reader, filter: &Filter) -> Result<u64, OutboxError> {
        self.check(reader)?;
        let mut count = 0;
        reader.events(self.state.cursor, |event| {
            count += u64::from(filter.matches(event));
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    fn check(&self, reader: &Reader) -> Result<(), OutboxError> {
        let (cursor, last) = (self.state.cursor, reader.totals().version);
        if cursor > last { Err(OutboxError::Ahead { cursor, last }) } else { Ok(()) }
    }

    /// Whether anything was ever to be delivered.
    ///
    /// # Errors
    /// [`OutboxError::Io`].
    pub fn is_used(&self) -> Result<bool, OutboxError> {
        self.names().map(|names| !names.is_empty())
    }

    /// Dead letters in the order of their events, those that are to be sent again included.
    ///
    /// # Errors
    /// [`OutboxError::Corrupt`], [`OutboxError::Io`].
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, OutboxError> {
        let mut letters = Vec::new();
        for name in self.names()? {
            let again = name.starts_with(AGAIN);
            if (again || name.starts_with(DEAD))
                && !name.ends_with(".tmp")
                // One that was delivered in the meantime is gone.
                && let Some(letter) = load::<DeadLetter>(&*self.files, &name)?
            {
                letters.push(DeadLetter { again, ..letter });
            }
        }
        letters.sort_by_key(|letter| letter.version);
        letters.dedup_by_key(|letter| letter.version);
        Ok(letters)
    }

    fn names(&self) -> Result<Vec<String>, OutboxError> {
        match self.files.list(FOLDER) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(|error| failed(FOLDER, error)),
        }
    }

    /// Marks dead letters, all of them or those with these ids, to be sent again: how many now are. Whoever delivers next
    /// sends them first; an engine that runs does so by itself.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`] before anything is marked; [`OutboxError::Corrupt`], [`OutboxError::Io`].
    pub fn retry(&self, ids: Option<&[String]>) -> Result<u64, OutboxError> {
        let letters = self.dead_letters()?;
        if let Some(missing) = ids.into_iter().flatten().find(|id| letters.iter().all(|letter| letter.id() != *id)) {
            return Err(OutboxError::Unknown(missing.clone()));
        }
        let mut marked = 0;
        for letter in letters {
            let wanted = ids.is_none_or(|ids| ids.iter().any(|id| id == letter.id()));
            if wanted && !letter.again {
                self.rename(letter.version, DEAD, AGAIN)?;
                marked += 1;
            }
        }
        Ok(marked)
    }

    fn rename(&self, version: u64, from: &str, to: &str) -> Result<(), OutboxError> {
        let path = |prefix: &str| format!("{FOLDER}/{}", name(prefix, version));
        let renamed = self.files.rename(&path(from), &path(to)).and_then(|()| self.files.sync_folder(FOLDER));
        renamed.map_err(|error| failed(&path(from), error))
    }

    /// The first letter that is to be sent again.
    fn next_again(&self) -> Result<Option<DeadLetter>, OutboxError> {
        let names = self.names()?;
        match names.iter().find(|name| name.starts_with(AGAIN) && !name.ends_with(".tmp")) {
            Some(name) => load(&*self.files, name),
            None => Ok(None),
        }
    }

    /// An event that is given up: durable before the cursor goes past it.
    fn bury(&self, letter: &DeadLetter) -> Result<(), OutboxError> {
        save(&*self.files, &name(DEAD, letter.version), letter)
    }

    /// A letter that was delivered after all.
    fn forget(&self, prefix: &str, version: u64) -> Result<(), OutboxError> {
        let path = format!("{FOLDER}/{}", name(prefix, version));
        match self.files.remove(&path).and_then(|()| self.files.sync_folder(FOLDER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, error)),
            _ => Ok(()),
        }
    }

    fn save(&self) -> Result<(), OutboxError> {
        save(&*self.files, CURSOR, &self.state)
    }
}

fn name(prefix: &str, version: u64) -> String {
    format!("{prefix}{version:020}")
}

fn failed(path: &str, source: io::Error) -> OutboxError {
    OutboxError::Io { path: path.to_owned(), source }
}

/// A file is its content's checksum, eight digits, a space and the content as JSON.
fn save(files: &dyn Files, name: &str, content: &impl Serialize) -> Result<(), OutboxError> {
    // Plain data; writing it to memory cannot fail.
    let text = serde_json::to_string(content).unwrap_or_default();
    let bytes = format!("{:08x} {text}\n", crc32c::crc32c(text.as_bytes()));
    replace(files, FOLDER, name, bytes.as_bytes()).map_err(|error| failed(&format!("{FOLDER}/{name}"), error))
}

fn load<T: for<'de> Deserialize<'de>>(files: &dyn Files, name: &str) -> Result<Option<T>, OutboxError> {
    let path = format!("{FOLDER}/{name}");
    let bytes = match files.read(&path, 0, usize::MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| failed(&path, error))?,
    };
    let corrupt = |problem: &str| OutboxError::Corrupt { path: path.clone(), problem: problem.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| corrupt("it is no text"))?;
    let (checksum, content) = text.trim_end().split_once(' ').ok_or_else(|| corrupt("it has no checksum"))?;
    if format!("{:08x}", crc32c::crc32c(content.as_bytes())) != checksum {
        return Err(corrupt("its checksum differs"));
    }
    serde_json::from_str(content).map(Some).map_err(|error| corrupt(&format!("it cannot be read: {error}")))
}
