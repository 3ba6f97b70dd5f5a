//! Reads a session file: opens it by its index or by its chunks' heads, and decodes a chunk only when it is asked for.
//! Whatever is wrong with it, what is whole before that is read. Memory is bounded by the limits in `chunk`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::calls;
use super::chunk::{self, BadHead, HEAD, Head, Kind, Line};
use super::sections::{CALLS, Decoder, Grids, History, SNAPSHOT, assemble};
use super::{Footer, Header, Mark, VERSION};
use crate::domain::{ErrorCode, Event, Timestamp};
use crate::engine::tally::Sample;
use crate::engine::{Engine, Frame, Options};
use crate::mechanisms::breaker::CallBlock;

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} is no session recording: {problem}")]
    NotARecording {
        /// The file.
        path: String,
        /// What was found instead.
        problem: String,
    },
    /// It is of another version.
    #[error("{path} is a recording of version {version}; this program reads version {VERSION}")]
    Version {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
    },
    /// It ends, or goes wrong, before its first frame.
    #[error("{path} ends before its first frame: {damage}")]
    Empty {
        /// The file.
        path: String,
        /// What is wrong behind the header.
        damage: String,
    },
    /// A chunk is not what it should be.
    #[error("{path}: {damage}")]
    Damaged {
        /// The file.
        path: String,
        /// Which chunk, and what is wrong.
        damage: String,
    },
}

impl RecordingError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } => ErrorCode::Generic,
            Self::NotARecording { .. } | Self::Version { .. } => ErrorCode::Recording,
            Self::Empty { .. } | Self::Damaged { .. } => ErrorCode::RecordingDamaged,
        }
    }
}

/// What is known of a chunk without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkInfo {
    /// Where its head is in the file.
    pub offset: u64,
    /// How long it is, head and body.
    pub length: u64,
    /// The place of its first frame among all.
    pub first: u64,
    /// How many frames it has.
    pub frames: u32,
    /// How many events.
    pub events: u32,
    /// Whether it can be read without those before.
    pub key: bool,
    /// When its first frame was made.
    pub from: Timestamp,
    /// When its last one was.
    pub to: Timestamp,
}

impl ChunkInfo {
    pub(super) fn of(head: &Head, offset: u64) -> Self {
        Self {
            offset,
            length: HEAD as u64 + head.body_length(),
            first: head.first,
            frames: head.frames,
            events: head.events,
            key: head.kind == Kind::Key,
            from: head.from,
            to: head.to,
        }
    }
}

/// What a console needs to show a moment that it has not played up to.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The frame.
    pub frame: Arc<Frame>,
    /// The last events before those of the frame, oldest first.
    pub events: Vec<Event>,
    /// The last samples before those of the frame, oldest first.
    pub samples: Vec<Sample>,
    /// How many events there were before those of the frame that no recording has.
    pub missed: u64,
}

/// Whatever has a file's bytes.
pub(super) trait Bytes: Read + Seek + Send {}

impl<T: Read + Seek + Send> Bytes for T {}

/// A session file, open.
pub struct Recording {
    file: Box<dyn Bytes>,
    /// How long it was when it was opened.
    length: u64,
    path: String,
    /// What the session was.
    pub header: Header,
    /// Those with frames, in order.
    chunks: Vec<ChunkInfo>,
    marks: Vec<Mark>,
    footer: Option<Footer>,
    damage: Option<String>,
    indexed: bool,
    redacted: Vec<String>,
    /// What stands in for parts that were taken out; made when it is first needed.
    blank: Option<BTreeMap<String, Value>>,
    decoder: Decoder,
    /// The chunk that the decoder reads next.
    next: usize,
    /// The last chunk that was decoded.
    present: Option<(usize, Vec<Arc<Frame>>)>,
}

/// What the index begins and ends with.
const INDEX: [u8; 8] = *b"FIZZINDX";
/// No index is longer.
const INDEX_LIMIT: u64 = 24 * 1024 * 1024;
/// No file has more chunks.
const CHUNKS: usize = 1_000_000;
/// No chunk has more frames.
const FRAMES: u32 = 4_096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    /// Of each chunk, header and footer too: its length, first frame, frames, events, 1 for a key chunk, and its span from
    /// and to, as differences from the chunk before.
    chunks: Vec<(u64, u64, u32, u32, u8, i64, i64)>,
    /// Time as the difference from the mark before, the event's number likewise, and the letter.
    marks: Vec<(i64, i64, super::MarkKind)>,
}

/// The index of a file whose chunks end at `end`, as it is written: a skippable frame with packed JSON, a check, where
/// it begins, and a word to know it by.
pub(super) fn index_bytes(chunks: &[ChunkInfo], marks: &[Mark], end: u64) -> io::Result<Vec<u8>> {
    let (mut from, mut to) = (0_i64, 0_i64);
    let step = |last: &mut i64, at: u64| (at as i64).wrapping_sub(std::mem::replace(last, at as i64));
    let index = Index {
        chunks: chunks
            .iter()
            .map(|one| {
                let span = (step(&mut from, one.from.as_nanos()), step(&mut to, one.to.as_nanos()));
                (one.length, one.first, one.frames, one.events, one.key.into(), span.0, span.1)
            })
            .collect(),
        marks: {
            let (mut at, mut event) = (0, 0);
            marks
                .iter()
                .map(|mark| (step(&mut at, mark.at.as_nanos()), step(&mut event, mark.event), mark.kind))
                .collect()
        },
    };
    let packed = chunk::pack(&serde_json::to_string(&index)?, 9)?;
    let check: chunk::Hash = Sha256::digest(&packed).into();
    let length = packed.len() + 8 + 32 + 16;
    let mut bytes = chunk::SKIPPABLE.to_vec();
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend(INDEX);
    bytes.extend(packed);
    bytes.extend(check);
    bytes.extend(end.to_le_bytes());
    bytes.extend(INDEX);
    Ok(bytes)
}

/// The index of a file whose chunks end at `end`; `None` unless every byte is as [`index_bytes`] writes it.
pub(super) fn read_index(bytes: &[u8], end: u64) -> Option<(Vec<ChunkInfo>, Vec<Mark>)> {
    let length = u32::try_from(bytes.len()).ok()?.checked_sub(8)?;
    let (start, rest) = (bytes.get(..16)?, bytes.get(16..)?);
    let (packed, rest) = rest.split_at_checked(rest.len().checked_sub(48)?)?;
    let hash: chunk::Hash = Sha256::digest(packed).into();
    let outer = [chunk::SKIPPABLE.as_slice(), &length.to_le_bytes(), &INDEX].concat();
    if start != outer || rest != [hash.as_slice(), &end.to_le_bytes(), &INDEX].concat() {
        return None;
    }
    let text = chunk::unpack(packed, INDEX_LIMIT).ok()?;
    let index: Index = serde_json::from_str(&text).ok()?;
    let (mut offset, mut from, mut to) = (0_u64, 0_i64, 0_i64);
    let mut chunks = Vec::with_capacity(index.chunks.len());
    for (length, first, frames, events, key, from_step, to_step) in index.chunks {
        from = from.wrapping_add(from_step);
        to = to.wrapping_add(to_step);
        let (start, end) = (Timestamp::from_nanos(from as u64), Timestamp::from_nanos(to as u64));
        chunks.push(ChunkInfo { offset, length, first, frames, events, key: key != 0, from: start, to: end });
        offset = offset.checked_add(length)?;
    }
    let (mut at, mut event) = (0_i64, 0_i64);
    let marks = index.marks.into_iter().map(|(time, number, kind)| {
        at = at.wrapping_add(time);
        event = event.wrapping_add(number);
        Mark { at: Timestamp::from_nanos(at as u64), event: event as u64, kind }
    });
    Some((chunks, marks.collect()))
}

/// A chunk as it was read: its head and its three lines, unpacked.
pub(super) struct RawChunk {
    pub head: Head,
    pub lines: [String; 3],
}

/// Reads `length` bytes at `offset`.
fn read_at(file: &mut dyn Bytes, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Reads the head at `offset`.
pub(super) fn read_head(file: &mut dyn Bytes, offset: u64) -> Result<Head, BadHead> {
    let bytes = read_at(file, offset, HEAD as u64).map_err(|_| BadHead::Damaged("its head is cut off"))?;
    Head::read(&bytes)
}

/// Reads the chunk at `offset`, and checks its bytes.
///
/// # Errors
/// A sentence.
pub(super) fn read_chunk(file: &mut dyn Bytes, offset: u64, wanted: [bool; 3]) -> Result<RawChunk, String> {
    let head = read_head(file, offset).map_err(|error| match error {
        BadHead::Damaged(problem) => problem.to_owned(),
        BadHead::Version(version) => format!("it is of version {version}"),
    })?;
    let limits = [chunk::HISTORY, chunk::LINE, chunk::CALLS];
    // Packed lines are shorter than the same unpacked, or by next to nothing longer.
    if head.lengths.iter().zip(limits).any(|(length, limit)| u64::from(*length) > limit + 65_536)
        || head.frames > FRAMES
    {
        return Err("it says that it is larger than any chunk".into());
    }
    let body = read_at(file, offset + HEAD as u64, head.body_length()).map_err(|_| "it is cut off".to_owned())?;
    if chunk::check(&body) != head.body {
        return Err("its content was changed".into());
    }
    let mut lines: [String; 3] = Default::default();
    let mut rest = body.as_slice();
    for (((length, limit), line), wanted) in head.lengths.iter().zip(limits).zip(&mut lines).zip(wanted) {
        let (packed, after) = rest.split_at_checked(*length as usize).ok_or("it is cut off")?;
        rest = after;
        if wanted && !packed.is_empty() {
            *line = chunk::unpack(packed, limit)?;
        }
    }
    Ok(RawChunk { head, lines })
}

impl Recording {
    /// Opens a file. Nothing but its header and index is read.
    ///
    /// # Errors
    /// [`RecordingError`] when there is nothing to show. A file that is damaged further on is opened up to there.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let name = path.display().to_string();
        let io = |source| RecordingError::Io { path: name.clone(), source };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        Self::read(Box::new(file), length, name)
    }

    /// As [`Recording::open`], of whatever has the file's bytes.
    pub(super) fn read(mut file: Box<dyn Bytes>, length: u64, name: String) -> Result<Self, RecordingError> {
        let io = |source| RecordingError::Io { path: name.clone(), source };
        let not = |problem: String| RecordingError::NotARecording { path: name.clone(), problem };
        let damaged = |damage: String| RecordingError::Damaged { path: name.clone(), damage };
        let mut start = Vec::new();
        (&mut *file).take(12).read_to_end(&mut start).map_err(io)?;
        if start.get(..4) == Some(&chunk::ZSTD) {
            return Err(other(&mut *file, &name));
        }
        if start.get(..4) != Some(&chunk::SKIPPABLE) || start.get(8..12) != Some(b"FIZZ") {
            return Err(not(if start.is_empty() {
                "it is empty".into()
            } else {
                "it begins with something else".into()
            }));
        }
        let first = read_head(&mut *file, 0).map_err(|error| match error {
            BadHead::Version(version) => RecordingError::Version { path: name.clone(), version },
            BadHead::Damaged(problem) => damaged(format!("chunk 0: {problem}")),
        })?;
        let raw = read_chunk(&mut *file, 0, [true; 3]).map_err(|problem| damaged(format!("chunk 0: {problem}")))?;
        if first.kind != Kind::Header {
            return Err(not("its first chunk is no header".into()));
        }
        let header = header(&raw).map_err(|problem| damaged(format!("chunk 0: {problem}")))?;
        let redacted = redacted(&raw).map_err(|problem| damaged(format!("chunk 0: {problem}")))?;
        let mut recording = Self {
            file,
            length,
            path: name,
            header,
            chunks: Vec::new(),
            marks: Vec::new(),
            footer: None,
            damage: None,
            indexed: false,
            redacted,
            blank: None,
            decoder: Decoder::default(),
            next: 0,
            present: None,
        };
        if !recording.use_index(length) {
            recording.scan(length);
        }
        if recording.chunks.is_empty() {
            let damage = recording.damage.unwrap_or_else(|| "it has none".into());
            return Err(RecordingError::Empty { path: recording.path, damage });
        }
        Ok(recording)
    }

    /// Takes the index at the end of the file, if there is one that fits it.
    fn use_index(&mut self, length: u64) -> bool {
        let Some(tail) = length.checked_sub(16).and_then(|at| read_at(&mut *self.file, at, 16).ok()) else {
            return false;
        };
        let Some((end, word)) = tail.split_first_chunk::<8>() else { return false };
        let end = u64::from_le_bytes(*end);
        let size = length.checked_sub(end).filter(|size| (72..=INDEX_LIMIT).contains(size));
        let Some(size) = size.filter(|_| word == INDEX) else { return false };
        let Ok(bytes) = read_at(&mut *self.file, end, size) else { return false };
        let Some((mut chunks, marks)) = read_index(&bytes, end) else { return false };
        let Some(last) = chunks.pop() else { return false };
        let Ok(footer) = read_chunk(&mut *self.file, last.offset, [true; 3]) else { return false };
        let fits = last.offset + last.length == end
            && footer.head.kind == Kind::Footer
            && chunks.iter().skip(1).all(|one| one.frames > 0 && one.frames <= FRAMES)
            && chunks.get(1).is_none_or(|first| first.key)
            && chunks.iter().skip(1).zip(chunks.iter().skip(2)).all(|(one, next)| {
                next.first == one.first + u64::from(one.frames) && one.from <= one.to && one.to <= next.from
            });
        let Ok(footer) = self::footer(&footer) else { return false };
        if !fits || chunks.is_empty() {
            return false;
        }
        chunks.remove(0);
        self.chunks = chunks;
        self.marks = marks;
        self.footer = Some(footer);
        self.indexed = true;
        true
    }

    /// Goes through the chunks' heads, as far as they are whole.
    fn scan(&mut self, length: u64) {
        let mut offset = 0;
        let mut chunks: Vec<ChunkInfo> = Vec::new();
        let mut number = 0;
        let damage = loop {
            let wrong = |problem: &str| Some(format!("chunk {number} at byte {offset}: {problem}"));
            if offset == length {
                break Some(format!(
                    "it ends after chunk {} without a footer; the session did not end in order",
                    number - 1
                ));
            }
            let head = match read_head(&mut *self.file, offset) {
                Ok(head) => head,
                Err(BadHead::Damaged(problem)) => break wrong(problem),
                Err(BadHead::Version(_)) => break wrong("it is of another version"),
            };
            let info = ChunkInfo::of(&head, offset);
            if offset + info.length > length {
                break wrong("it is cut off");
            }
            if head.number != number {
                break wrong("it is out of order");
            }
            if chunks.len() >= CHUNKS {
                break wrong("there are more chunks than this program reads");
            }
            match head.kind {
                Kind::Header if number == 0 => {}
                Kind::Key | Kind::Frames if number > 0 && (1..=FRAMES).contains(&info.frames) => {
                    let next = chunks.last().map_or(0, |last| last.first + u64::from(last.frames));
                    let order = info.from <= info.to && chunks.last().is_none_or(|last| last.to <= info.from);
                    if info.first != next || !order || (chunks.is_empty() && !info.key) {
                        break wrong("its frames do not follow those before");
                    }
                    chunks.push(info);
                }
                Kind::Footer => {
                    let read = read_chunk(&mut *self.file, offset, [true; 3]).and_then(|raw| footer(&raw));
                    match read {
                        Err(problem) => break wrong(&problem),
                        Ok(footer) => self.footer = Some(footer),
                    }
                    // Without a footer's index a file is whole but slow to open; with something else it is damaged.
                    break Some(if offset + info.length == length {
                        "its index is missing".into()
                    } else {
                        format!("its index at byte {} is damaged", offset + info.length)
                    });
                }
                _ => break wrong("it is not where it belongs"),
            }
            offset += info.length;
            number += 1;
        };
        self.damage = damage;
        self.chunks = chunks;
        // Events are in a line of their own, so that this does not read the frames.
        for place in 0..self.chunks.len() {
            if self.chunks.get(place).is_some_and(|chunk| chunk.events > 0)
                && let Ok(history) = self.history(place)
            {
                self.marks.extend(history.events.values().flatten().filter_map(Mark::of));
            }
        }
    }

    /// The file's name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many frames it has; at least one.
    pub fn frames(&self) -> u64 {
        self.chunks.last().map_or(0, |last| last.first + u64::from(last.frames))
    }

    /// When its first frame was made.
    pub fn from(&self) -> Timestamp {
        self.chunks.first().map_or(Timestamp::EPOCH, |chunk| chunk.from)
    }

    /// When its last one was.
    pub fn to(&self) -> Timestamp {
        self.chunks.last().map_or(Timestamp::EPOCH, |chunk| chunk.to)
    }

    /// The chunks that have frames.
    pub fn chunks(&self) -> &[ChunkInfo] {
        &self.chunks
    }

    /// The moments that somebody looks for, in order.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The ledger's head at the end, of a session that ended in order with a ledger.
    pub fn ledger_head(&self) -> Option<&str> {
        self.footer.as_ref()?.ledger_head.as_deref()
    }

    /// How the session ended, if it did in order.
    pub const fn footer(&self) -> Option<&Footer> {
        self.footer.as_ref()
    }

    /// What is wrong with the file behind the last frame; `None` for a whole one.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Sections whose content was taken out; frames show them as at the start of such a session.
    pub fn redacted(&self) -> &[String] {
        &self.redacted
    }

    /// Whether it was opened by its index, and not by reading all heads.
    pub const fn is_indexed(&self) -> bool {
        self.indexed
    }

    pub(super) fn file(&mut self) -> &mut dyn Bytes {
        &mut *self.file
    }

    /// How long the file was when it was opened, bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    fn damaged(&self, place: usize, problem: &str) -> RecordingError {
        RecordingError::Damaged { path: self.path.clone(), damage: format!("chunk {}: {problem}", place + 1) }
    }

    fn raw(&mut self, place: usize, wanted: [bool; 3]) -> Result<RawChunk, RecordingError> {
        let info = self.chunks.get(place).copied().ok_or_else(|| self.damaged(place, "there is none"))?;
        let raw = read_chunk(&mut *self.file, info.offset, wanted).map_err(|problem| self.damaged(place, &problem))?;
        if ChunkInfo::of(&raw.head, info.offset) != info || raw.head.number != place as u64 + 1 {
            return Err(self.damaged(place, "it is not the one that the index names"));
        }
        Ok(raw)
    }

    /// What happened between the frames of a chunk.
    pub(super) fn history(&mut self, place: usize) -> Result<History, RecordingError> {
        let raw = self.raw(place, [true, false, false])?;
        let [text, ..] = &raw.lines;
        self.read_history(place, text, raw.head.frames)
    }

    fn read_history(&self, place: usize, text: &str, frames: u32) -> Result<History, RecordingError> {
        if text.is_empty() {
            return Ok(History::default());
        }
        let line = Line::read(text, "history").and_then(|line| History::read(&line, frames));
        line.map_err(|problem| self.damaged(place, &problem))
    }

    /// The place of the chunk that has this frame.
    fn place(&self, frame: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.first + u64::from(chunk.frames) <= frame)
    }

    /// The last frame at or before a moment; the first one when there is none.
    pub fn at(&mut self, moment: Timestamp) -> Result<u64, RecordingError> {
        let place = self.chunks.partition_point(|chunk| chunk.from <= moment).saturating_sub(1);
        self.decode(place)?;
        let first = self.chunks.get(place).map_or(0, |chunk| chunk.first);
        let frames = self.present.as_ref().map(|(_, frames)| frames.as_slice()).unwrap_or_default();
        let before = frames.partition_point(|frame| frame.at <= moment);
        Ok(first + before.saturating_sub(1) as u64)
    }

    /// A frame by its place, from 0.
    ///
    /// # Errors
    /// [`RecordingError::Damaged`] when its chunk, or one that it builds on, is not whole.
    pub fn frame(&mut self, frame: u64) -> Result<Arc<Frame>, RecordingError> {
        let place = self.place(frame);
        self.decode(place)?;
        let first = self.chunks.get(place).map_or(0, |chunk| chunk.first);
        let frames = self.present.as_ref().map(|(_, frames)| frames.as_slice()).unwrap_or_default();
        let found = usize::try_from(frame.saturating_sub(first)).ok().and_then(|at| frames.get(at));
        found.cloned().ok_or_else(|| self.damaged(place, "there is no such frame"))
    }

    /// The frames of a chunk.
    ///
    /// # Errors
    /// As [`Recording::frame`].
    pub fn chunk_frames(&mut self, place: usize) -> Result<Vec<Arc<Frame>>, RecordingError> {
        self.decode(place)?;
        Ok(self.present.as_ref().map(|(_, frames)| frames.clone()).unwrap_or_default())
    }

    /// The calls of a chunk's frames, in order.
    ///
    /// # Errors
    /// As [`Recording::frame`].
    pub fn chunk_calls(&mut self, place: usize) -> Result<Vec<CallBlock>, RecordingError> {
        let raw = self.raw(place, [false, false, true])?;
        let [_, _, text] = &raw.lines;
        Ok(self.read_calls(place, text)?.into_iter().map(|(_, block)| block).collect())
    }

    fn read_calls(&self, place: usize, text: &str) -> Result<Vec<(u32, CallBlock)>, RecordingError> {
        let read = || {
            if text.is_empty() {
                return Ok(Vec::new());
            }
            let line = Line::read(text, "calls")?;
            match line.get(CALLS) {
                None => Ok(Vec::new()),
                Some(text) if chunk::redacted(text).is_some() => Ok(Vec::new()),
                Some(text) => {
                    let packed = serde_json::from_str(text).map_err(|error| format!("section {CALLS}: {error}"))?;
                    calls::decode(&packed).map_err(|problem| format!("section {CALLS}: {problem}"))
                }
            }
        };
        read().map_err(|problem: String| self.damaged(place, &problem))
    }

    /// Decodes a chunk, and those that it builds on and that were not just decoded.
    fn decode(&mut self, place: usize) -> Result<(), RecordingError> {
        if self.present.as_ref().is_some_and(|(present, _)| *present == place) {
            return Ok(());
        }
        let upto = self.chunks.get(..=place).ok_or_else(|| self.damaged(place, "there is none"))?;
        let key = upto.iter().rposition(|chunk| chunk.key).unwrap_or(0);
        if !(key..=place).contains(&self.next) || self.next == key {
            self.decoder = Decoder::default();
            self.next = key;
        }
        let from = self.next;
        // Whatever goes wrong, the decoder begins at a key chunk the next time.
        self.next = usize::MAX;
        self.present = None;
        for at in from..=place {
            let last = at == place;
            let raw = self.raw(at, [last, true, last])?;
            let grids = self.read_grids(at, &raw, last)?;
            if !last {
                continue;
            }
            let [history, _, calls] = &raw.lines;
            let history = self.read_history(at, history, raw.head.frames)?;
            let calls = self.read_calls(at, calls)?;
            let places: Vec<u32> = (0..raw.head.frames).collect();
            if !grids.redacted.is_empty() && self.blank.is_none() {
                self.blank = Some(blank(&self.header));
            }
            let blank = |name: &str| self.blank.as_ref().and_then(|blank| blank.get(name).cloned());
            let frames =
                assemble(grids, &history, calls, &places, blank).map_err(|problem| self.damaged(at, &problem))?;
            let ordered = frames.iter().zip(frames.iter().skip(1)).all(|(one, next)| one.at <= next.at);
            if !ordered || frames.first().map(|frame| frame.at) != Some(raw.head.from) {
                return Err(self.damaged(at, "its frames are not of the times that its head says"));
            }
            self.present = Some((at, frames.into_iter().map(Arc::new).collect()));
        }
        self.next = place + 1;
        Ok(())
    }

    fn read_grids(&mut self, place: usize, raw: &RawChunk, wanted: bool) -> Result<Grids, RecordingError> {
        let [_, text, _] = &raw.lines;
        let line = Line::read(text, "frames").map_err(|problem| self.damaged(place, &problem))?;
        let read = self.decoder.decode(&line, raw.head.frames, |_| wanted);
        read.map_err(|problem| self.damaged(place, &problem))
    }

    /// What a console needs to show a frame as if it had been there from the start: at most so many events and samples.
    ///
    /// # Errors
    /// As [`Recording::frame`].
    pub fn moment(&mut self, frame: u64, events: usize, samples: usize) -> Result<Moment, RecordingError> {
        let place = self.place(frame);
        let shown = self.frame(frame)?;
        let first = self.chunks.get(place).map_or(0, |chunk| chunk.first);
        let within = u32::try_from(frame - first).unwrap_or(u32::MAX);
        let (mut events_back, mut samples_back): (Vec<Vec<Event>>, Vec<Vec<Sample>>) = Default::default();
        let (mut found_events, mut found_samples) = (0, 0);
        for at in (0..=place).rev() {
            if found_events >= events && found_samples >= samples {
                break;
            }
            if found_samples >= samples && self.chunks.get(at).is_some_and(|chunk| chunk.events == 0) {
                continue;
            }
            let history = self.history(at)?;
            let before = |index: &u32| at < place || *index < within;
            for (_, list) in history.events.into_iter().rev().filter(|(index, _)| before(index)) {
                found_events += list.len();
                events_back.push(list);
            }
            for (_, list) in history.samples.into_iter().rev().filter(|(index, _)| before(index)) {
                found_samples += list.len();
                samples_back.push(list);
            }
        }
        let events_list: Vec<Event> = events_back.into_iter().rev().flatten().collect();
        let samples_list: Vec<Sample> = samples_back.into_iter().rev().flatten().collect();
        let recorded: u64 = self.chunks.iter().take(place).map(|chunk| u64::from(chunk.events)).sum();
        let here = self.history(place)?;
        let upto: usize = here.events.range(..=within).map(|(_, list)| list.len()).sum();
        let missed = shown.events_made.saturating_sub(recorded + upto as u64);
        let cut = |length: usize, most: usize| length.saturating_sub(most);
        Ok(Moment {
            events: events_list.split_at(cut(events_list.len(), events)).1.to_vec(),
            samples: samples_list.split_at(cut(samples_list.len(), samples)).1.to_vec(),
            frame: shown,
            missed,
        })
    }

    /// The event with this number, of those that were recorded, and the place of its frame.
    ///
    /// # Errors
    /// As [`Recording::frame`].
    pub fn event(&mut self, number: u64, at: Timestamp) -> Result<Option<u64>, RecordingError> {
        // An event is told by a frame made when it happened, or later.
        for place in self.chunks.partition_point(|chunk| chunk.to < at)..self.chunks.len() {
            if self.chunks.get(place).is_none_or(|chunk| chunk.events == 0) {
                continue;
            }
            for (index, events) in self.history(place)?.events {
                if events.iter().any(|event| event.sequence == number) {
                    return Ok(self.chunks.get(place).map(|chunk| chunk.first + u64::from(index)));
                }
                if events.iter().any(|event| event.sequence > number) {
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// The next frame after this one, or the last one before it, in which an event is told.
    ///
    /// # Errors
    /// As [`Recording::frame`].
    pub fn frame_with_event(&mut self, frame: u64, forward: bool) -> Result<Option<u64>, RecordingError> {
        let here = self.place(frame);
        let places: Vec<usize> = if forward { (here..self.chunks.len()).collect() } else { (0..=here).rev().collect() };
        for place in places {
            let Some(info) = self.chunks.get(place).copied().filter(|chunk| chunk.events > 0) else { continue };
            let history = self.history(place)?;
            let mut frames = history.events.keys().map(|index| info.first + u64::from(*index));
            let found = if forward { frames.find(|at| *at > frame) } else { frames.rfind(|at| *at < frame) };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Reads every byte and checks it against its chunk's head, without decoding: the first chunk that is not whole.
    /// From then on the recording ends before it.
    pub fn check(&mut self) -> Option<&str> {
        for place in 0..self.chunks.len() {
            if let Err(RecordingError::Damaged { damage, .. }) = self.raw(place, [false; 3]) {
                self.end_before(place, damage);
                break;
            }
        }
        self.damage()
    }

    /// Shows only what is before this chunk, because of what is wrong with it.
    pub fn end_before(&mut self, place: usize, damage: String) {
        self.chunks.truncate(place.max(1));
        let to = self.to();
        self.marks.retain(|mark| mark.at <= to);
        self.damage = Some(damage);
        self.footer = None;
    }
}

/// The document of a chunk that has one section of this name.
fn single<T: serde::de::DeserializeOwned>(raw: &RawChunk, name: &str) -> Result<T, String> {
    let [_, text, _] = &raw.lines;
    let line = Line::read(text, "frames")?;
    let text = line.get(name).ok_or_else(|| format!("its {name} is missing"))?;
    serde_json::from_str(text).map_err(|error| format!("{name}: {error}"))
}

/// The sections that a copy says were taken out.
fn redacted(raw: &RawChunk) -> Result<Vec<String>, String> {
    let [_, text, _] = &raw.lines;
    let line = Line::read(text, "frames")?;
    let list = line.get("redacted").map(serde_json::from_str).transpose();
    list.map(Option::unwrap_or_default).map_err(|error| format!("redacted: {error}"))
}

pub(super) fn header(raw: &RawChunk) -> Result<Header, String> {
    single(raw, "header")
}

pub(super) fn footer(raw: &RawChunk) -> Result<Footer, String> {
    single(raw, "footer")
}

/// What a zstd file that is no recording of this version is.
fn other(file: &mut dyn Bytes, path: &str) -> RecordingError {
    let not = |problem: &str| RecordingError::NotARecording { path: path.to_owned(), problem: problem.into() };
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(64 * 1024).read_to_end(&mut bytes));
    if read.is_err() {
        return not("it cannot be read");
    }
    let mut line = Vec::new();
    if let Ok(decoder) = zstd::Decoder::with_buffer(bytes.as_slice()) {
        // What is there of the first line is enough, and an end that is cut off is none of it.
        let _ = decoder.take(64 * 1024).read_to_end(&mut line);
    }
    let text = String::from_utf8_lossy(&line);
    let version = text
        .strip_prefix(r#"{"header":{"format":"fizzops-session","version":"#)
        .and_then(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok());
    match version {
        Some(version) => RecordingError::Version { path: path.to_owned(), version },
        None => not("it is packed by zstd, but its first line is no header"),
    }
}

/// The parts of a session's first snapshot under the recorded settings.
fn blank(header: &Header) -> BTreeMap<String, Value> {
    let snapshot = Engine::new(&header.settings, Options::simulated(header.info.seed))
        .ok()
        .and_then(|mut engine| serde_json::to_value(engine.snapshot()).ok());
    match snapshot {
        Some(Value::Object(parts)) => {
            parts.into_iter().map(|(name, value)| (format!("{SNAPSHOT}{name}"), value)).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// Whatever is behind the chunks, as much of it as an index may be.
pub(super) fn read_rest(file: &mut dyn Bytes, offset: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(INDEX_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
