//! The journal on the disk: an append-only log of records in segments. One commit is one record, written and synced before
//! anything in it is acknowledged. It must not be written by two at a time; the data directory's lock sees to that.
//!
//! ```
//! use std::sync::Arc;
//! use fizzops::records::files::simulated::SimulatedDisk;
//! use fizzops::records::journal::log::{Expected, Log, LogConfig, NewEvent};
//!
//! let disk = Arc::new(SimulatedDisk::new(1));
//! let mut log = Log::open(disk.clone(), "journal", LogConfig::default())?;
//! log.append("notes", Expected::None, &[NewEvent::new("Note", r#"{"text":"hello"}"#)])?;
//! assert_eq!(log.acknowledged(), 0, "staged is not kept");
//! assert_eq!(log.commit()?, 1);
//! disk.crash();
//! assert_eq!(Log::open(disk, "journal", LogConfig::default())?.acknowledged(), 1);
//! # Ok::<(), fizzops::records::journal::JournalError>(())
//! ```

mod blocks;
mod bytes;
mod compact;
mod reader;
mod record;
mod segment;
#[cfg(test)]
mod tests;
mod totals;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use blocks::{Session, StoredEvent};
pub use compact::{CompactReport, Retention};
pub use reader::{Item, Moment, Reader, VerifyReport};
pub use totals::{Totals, fact_count, facts};

use super::JournalError;
use crate::domain::classification::Classifier;
use crate::domain::{Evaluation, Timestamp};
use crate::records::files::{Append, Files};
use blocks::{EVENT, EvaluationBlock, put_block};
use record::RecordKind;
use segment::{HEADER, Mark, Segment, put_session};

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is closed once it is this long, bytes.
    pub segment_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { segment_bytes: 16 * 1024 * 1024 }
    }
}

/// Where a writer thinks that a stream is (the four of KurrentDB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Its last event has this number in it, from 1.
    Exact(u64),
    /// It has no events.
    None,
    /// Anywhere.
    Any,
    /// It has events.
    Exists,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => write!(f, "at version {version}"),
            Self::None => f.write_str("to have no events"),
            Self::Any => f.write_str("anywhere"),
            Self::Exists => f.write_str("to have events"),
        }
    }
}

impl std::str::FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "any" => Ok(Self::Any),
            "exists" => Ok(Self::Exists),
            text => text.parse().map(Self::Exact).map_err(|_| "one of none, any, exists, or a version".to_owned()),
        }
    }
}

/// An event that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name for ever; an event with a name that the stream has is not appended again. `None` for one that follows from
    /// its place in the journal.
    pub id: Option<uuid::Uuid>,
    /// Its type.
    pub kind: String,
    /// The version of its type's form, from 1.
    pub form: u16,
    /// When it happened.
    pub at: Timestamp,
    /// What it tells, a JSON value.
    pub data: String,
}

impl NewEvent {
    /// Of form 1, without a name or a time of its own.
    pub fn new(kind: &str, data: &str) -> Self {
        Self { id: None, kind: kind.to_owned(), form: 1, at: Timestamp::EPOCH, data: data.to_owned() }
    }

    /// With this name.
    #[must_use]
    pub const fn named(mut self, id: uuid::Uuid) -> Self {
        self.id = Some(id);
        self
    }
}

/// Where appended events stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The last one's number in the whole journal.
    pub version: u64,
    /// The last one's number in its stream.
    pub position: u64,
    /// They were in the journal already.
    pub again: bool,
}

/// Evaluations in a block, at most: how many have to be gone over to find one.
const BLOCK: u64 = 4_096;
/// The longest text or JSON value of an event, bytes.
const LONGEST: usize = 1024 * 1024;

/// The log, open for appending.
#[derive(Debug)]
pub struct Log {
    files: Arc<dyn Files>,
    folder: String,
    config: LogConfig,
    /// Closed segments.
    closed: Vec<Segment>,
    tail: Segment,
    file: Box<dyn Append>,
    /// Streams with the position of their last event, staged ones included.
    streams: BTreeMap<String, u64>,
    /// Names of events with their numbers, staged ones included.
    ids: BTreeMap<u128, u64>,
    session: Option<Arc<Session>>,
    classifier: Option<Classifier>,
    /// The session's place in the tail, once it is declared there.
    declared: Option<u64>,
    /// After everything staged.
    staged: Mark,
    body: Vec<u8>,
    block: Option<EvaluationBlock>,
    staged_streams: BTreeMap<String, u64>,
    staged_ids: Vec<(u128, u64)>,
    broken: Option<String>,
    cut: u64,
}

impl Log {
    /// Opens the log in `folder`, made if it is not there. A torn tail is cut; whatever the last run may have left unsynced
    /// is written again before anything can build on it.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when a record is bad and good ones follow, or a segment is missing;
    /// [`JournalError::Newer`]; [`JournalError::Io`].
    pub fn open(files: Arc<dyn Files>, folder: &str, config: LogConfig) -> Result<Self, JournalError> {
        files.make_folder(folder).map_err(|error| JournalError::io("made", folder, error))?;
        let (mut segments, unmade) = segment::open_all(&*files, folder)?;
        if let Some(name) = unmade {
            let path = format!("{folder}/{name}");
            files.remove(&path).map_err(|error| JournalError::io("removed", &path, error))?;
        }
        for name in files.list(folder).map_err(|error| JournalError::io("read", folder, error))? {
            // What a replacement left when the machine stopped.
            if name.ends_with(".seg.tmp") {
                let path = format!("{folder}/{name}");
                files.remove(&path).map_err(|error| JournalError::io("removed", &path, error))?;
            }
        }
        let mut cut = 0;
        if let Some(last) = segments.last().filter(|last| !last.compacted) {
            cut = settle(&*files, folder, last)?;
        }
        let mut streams = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for segment in &segments {
            streams.extend(segment.streams.iter().map(|(stream, position)| (stream.clone(), *position)));
            ids.extend(segment.ids.iter().copied());
        }
        let open = segments.pop_if(|last| !last.sealed);
        let (tail, file) = match open {
            Some(tail) => {
                let path = format!("{folder}/{}", tail.name);
                (tail, files.append(&path).map_err(|error| JournalError::io("opened", &path, error))?)
            }
            None => begin(&*files, folder, &segments.last().map_or_else(Mark::default, |last| last.after))?,
        };
        files.sync_folder(folder).map_err(|error| JournalError::io("synced", folder, error))?;
        Ok(Self {
            staged: tail.after,
            files,
            folder: folder.to_owned(),
            config,
            closed: segments,
            tail,
            file,
            streams,
            ids,
            session: None,
            classifier: None,
            declared: None,
            body: Vec::new(),
            block: None,
            staged_streams: BTreeMap::new(),
            staged_ids: Vec::new(),
            broken: None,
            cut,
        })
    }

    /// The number of the last event that is durable.
    pub const fn acknowledged(&self) -> u64 {
        self.tail.after.totals.version
    }

    /// What follows from everything that is durable.
    pub const fn totals(&self) -> &Totals {
        &self.tail.after.totals
    }

    /// Bytes that opening cut off because they were torn.
    pub const fn cut(&self) -> u64 {
        self.cut
    }

    /// How many segments there are.
    pub const fn segments(&self) -> usize {
        self.closed.len() + 1
    }

    /// The hash over everything that is durable, in hexadecimal: two journals with the same head are the same.
    pub fn head(&self) -> String {
        hex(&self.tail.after.chain)
    }

    /// The position of a stream's last event, staged ones included; 0 when it has none.
    pub fn position(&self, stream: &str) -> u64 {
        self.staged_streams.get(stream).or_else(|| self.streams.get(stream)).copied().unwrap_or(0)
    }

    /// Evaluations that follow are of this session.
    pub fn begin_session(&mut self, session: Session) {
        self.close_block();
        self.classifier = Some(session.classifier());
        self.session = Some(Arc::new(session));
        self.declared = None;
    }

    /// Stages a finished evaluation.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] when no session has begun; [`JournalError::Stopped`].
    #[inline]
    pub fn evaluation(&mut self, at: Timestamp, evaluation: &Evaluation) -> Result<(), JournalError> {
        let Some(classifier) = self.classifier else {
            return Err(JournalError::Invalid("an evaluation belongs to a session, and none has begun".into()));
        };
        if self.block.as_ref().is_none_or(|block| block.count() >= BLOCK) {
            self.check()?;
            self.close_block();
            let place = self.declare();
            self.block = Some(EvaluationBlock::new(place, at));
        }
        if let Some(block) = &mut self.block {
            block.push(at, evaluation);
        }
        self.staged.totals.evaluation(evaluation, classifier);
        self.staged.time = self.staged.time.max(at.as_nanos());
        Ok(())
    }

    /// Declares the present session in the tail's records, unless it is: its place.
    fn declare(&mut self) -> u64 {
        if let (None, Some(session)) = (self.declared, &self.session) {
            // Another writer of this program's may have declared the same one before a restart.
            let known = self.tail.sessions.iter().position(|known| known == session);
            let place = known.unwrap_or(self.tail.sessions.len()) as u64;
            if known.is_none() {
                put_session(&mut self.body, place, session);
                self.tail.sessions.push(Arc::clone(session));
            }
            self.declared = Some(place);
        }
        self.declared.unwrap_or_default()
    }

    fn close_block(&mut self) {
        if let Some(block) = self.block.take() {
            debug_assert!(block.session() < self.tail.sessions.len() as u64);
            block.finish(&mut self.body);
        }
    }

    /// Stages events of a stream. Events whose names the journal has already are not appended again: when all of them are
    /// known the answer tells where they stand, whatever was expected.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] with the stream's version; [`JournalError::Duplicate`] when only some of the names are
    /// known; [`JournalError::Invalid`]. Nothing is staged then.
    pub fn append(&mut self, stream: &str, expected: Expected, events: &[NewEvent]) -> Result<Appended, JournalError> {
        self.check()?;
        check_events(stream, events)?;
        let known: Vec<_> =
            events.iter().map(|event| event.id.and_then(|id| self.ids.get(&id.as_u128()).copied())).collect();
        let position = self.position(stream);
        if let (Some(version), true) = (known.iter().copied().max().flatten(), known.iter().all(Option::is_some)) {
            return Ok(Appended { version, position, again: true });
        }
        if let Some((id, version)) = events.iter().zip(&known).find_map(|(event, known)| event.id.zip(*known)) {
            return Err(JournalError::Duplicate { id, version });
        }
        let mut fresh: Vec<_> = events.iter().filter_map(|event| event.id).collect();
        fresh.sort_unstable();
        if let Some(twice) = fresh.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(JournalError::Invalid(format!("two of the events have the id {}", twice[0])));
        }
        let met = match expected {
            Expected::Any => true,
            Expected::None => position == 0,
            Expected::Exists => position > 0,
            Expected::Exact(version) => position == version,
        };
        if !met {
            return Err(JournalError::Conflict { stream: stream.to_owned(), expected, actual: position });
        }
        self.close_block();
        for (event, number) in events.iter().zip(position + 1..) {
            let version = self.staged.totals.version + 1;
            // An event without a name of its own is named by its place.
            let id = event.id.unwrap_or_else(|| {
                uuid::Builder::from_custom_bytes(place_id(&self.tail.before.chain, version)).into_uuid()
            });
            let stored = StoredEvent {
                version,
                stream: stream.to_owned(),
                position: number,
                id,
                kind: event.kind.clone(),
                form: event.form,
                at: event.at,
                data: event.data.clone(),
            };
            let mut content = Vec::new();
            stored.put(&mut content);
            put_block(&mut self.body, EVENT, &content);
            self.staged.totals.other();
            self.staged.time = self.staged.time.max(event.at.as_nanos());
            self.ids.insert(id.as_u128(), version);
            self.staged_ids.push((id.as_u128(), version));
        }
        let position = position + events.len() as u64;
        self.staged_streams.insert(stream.to_owned(), position);
        Ok(Appended { version: self.staged.totals.version, position, again: false })
    }

    /// Bytes staged, about.
    pub fn staged_bytes(&self) -> usize {
        self.body.len() + self.block.as_ref().map_or(0, |block| usize::try_from(block.count()).unwrap_or(0) * 12)
    }

    /// Writes everything staged as one record and syncs it: the number of the last event that is durable now.
    ///
    /// # Errors
    /// [`JournalError::WriteFailed`], [`JournalError::SyncFailed`]: nothing staged is acknowledged, and the log takes
    /// nothing more. To go on it must be opened again.
    pub fn commit(&mut self) -> Result<u64, JournalError> {
        self.check()?;
        self.close_block();
        if self.body.is_empty() {
            return Ok(self.acknowledged());
        }
        let mut out = Vec::with_capacity(self.body.len() + 64);
        let chain =
            record::put(&mut out, RecordKind::Commit, self.tail.after.commit, &self.body, &self.tail.after.chain);
        if out.len() > record::LARGEST {
            return Err(JournalError::Invalid(format!(
                "a commit of {} bytes is larger than a record can be",
                out.len()
            )));
        }
        self.write(&out)?;
        self.tail.note(self.tail.end);
        self.tail.last_record = Some(self.tail.end);
        self.tail.end += out.len() as u64;
        self.tail.after = Mark { commit: self.tail.after.commit + 1, chain, ..self.staged };
        self.staged = self.tail.after;
        self.body.clear();
        let staged = std::mem::take(&mut self.staged_streams);
        self.tail.streams.extend(staged.iter().map(|(stream, position)| (stream.clone(), *position)));
        self.streams.extend(staged);
        self.tail.ids.append(&mut self.staged_ids);
        let acknowledged = self.acknowledged();
        if self.tail.end >= self.config.segment_bytes
            && let Err(error) = self.roll()
        {
            // What was committed is; the next call says why nothing more is.
            self.broken.get_or_insert(error.to_string());
        }
        Ok(acknowledged)
    }

    /// Closes the tail and begins another segment.
    fn roll(&mut self) -> Result<(), JournalError> {
        let (footer, chain) = self.tail.footer(self.tail.end);
        self.write(&footer)?;
        self.tail.after.chain = chain;
        self.tail.sealed = true;
        let (tail, file) = begin(&*self.files, &self.folder, &self.tail.after)?;
        self.closed.push(std::mem::replace(&mut self.tail, tail));
        self.file = file;
        self.staged = self.tail.after;
        self.declared = None;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let path = || format!("{}/{}", self.folder, self.tail.name);
        let acknowledged = self.acknowledged();
        let written = match self.file.write(bytes) {
            Err(error) => Err(JournalError::WriteFailed { path: path(), cause: error.to_string(), acknowledged }),
            Ok(()) => self.file.sync().map_err(|error| JournalError::SyncFailed {
                path: path(),
                cause: error.to_string(),
                acknowledged,
            }),
        };
        if let Err(error) = &written {
            self.broken = Some(error.to_string());
        }
        written
    }

    fn check(&self) -> Result<(), JournalError> {
        self.broken.as_ref().map_or(Ok(()), |reason| Err(JournalError::Stopped(reason.clone())))
    }
}

/// An id that follows from where the segment began and the event's number.
fn place_id(chain: &record::Hash, version: u64) -> [u8; 16] {
    let mut id = [0; 16];
    for (slot, byte) in id.iter_mut().zip(record::chained(chain, &{
        let mut link = [0; 32];
        link[..8].copy_from_slice(&version.to_le_bytes());
        link
    })) {
        *slot = byte;
    }
    id
}

fn check_events(stream: &str, events: &[NewEvent]) -> Result<(), JournalError> {
    let invalid = |problem: String| Err(JournalError::Invalid(problem));
    if stream.is_empty() || stream.len() > 200 || stream.chars().any(char::is_control) {
        return invalid("a stream's name has 1 to 200 bytes and no control characters".into());
    }
    if events.is_empty() {
        return invalid("there is none to append".into());
    }
    for event in events {
        if event.kind.is_empty() || event.kind.len() > 200 || event.kind.chars().any(char::is_control) {
            return invalid("its type has 1 to 200 bytes and no control characters".into());
        }
        if event.data.len() > LONGEST {
            return invalid(format!("its data is {} bytes long; at most {LONGEST} are kept", event.data.len()));
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&event.data) {
            return invalid(format!("its data is no JSON value: {error}"));
        }
    }
    Ok(())
}

/// Begins a segment: durable before anything is written to it.
fn begin(files: &dyn Files, folder: &str, before: &Mark) -> Result<(Segment, Box<dyn Append>), JournalError> {
    let name = Segment::name_for(before);
    let path = format!("{folder}/{name}");
    let made = || {
        let mut file = files.append(&path)?;
        file.write(&before.header())?;
        file.sync()?;
        files.sync_folder(folder)?;
        Ok(file)
    };
    let file = made().map_err(|error| JournalError::io("made", &path, error))?;
    Ok((Segment { name, before: *before, after: *before, end: HEADER as u64, ..Segment::default() }, file))
}

/// Cuts a torn tail, and writes the last record again, in its place: a sync that failed before a restart may have left it in
/// the kernel's memory alone, where reading cannot tell. How many bytes were cut.
fn settle(files: &dyn Files, folder: &str, last: &Segment) -> Result<u64, JournalError> {
    let path = format!("{folder}/{}", last.name);
    let failed = |verb: &'static str| {
        let path = path.clone();
        move |error| JournalError::io(verb, &path, error)
    };
    let size = files.size(&path).map_err(failed("read"))?;
    let end = if last.sealed { size } else { last.end };
    if size > end {
        files.truncate(&path, end).map_err(failed("cut"))?;
    }
    let from = last.last_record.unwrap_or(0);
    let bytes = files.read(&path, from, usize::MAX).map_err(failed("read"))?;
    files.rewrite(&path, from, &bytes).map_err(failed("written"))?;
    Ok(size - end)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
