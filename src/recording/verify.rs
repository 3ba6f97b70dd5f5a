//! Reads a whole session file as an auditor does: every byte, every link, every count, and the ledger's head. It says
//! which chunk is not what it claims. What a hash chain proves, and what not, is in docs/session-format.md.

use std::collections::BTreeMap;
use std::path::Path;

use super::chunk::{self, Head, Kind, Line};
use super::reader::{RawChunk, footer, read_chunk, read_index};
use super::{ChunkInfo, Footer, Mark, Recording, RecordingError};
use crate::domain::Payload;

/// A file that is what it claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Chunks, with those of the header and the footer.
    pub chunks: u64,
    /// Frames.
    pub frames: u64,
    /// Events.
    pub events: u64,
    /// What the file commits to: a redacted copy has the same as its original.
    pub seal: String,
    /// The ledger's head, which the footer, the last frame and the last block told of agree on.
    pub ledger_head: Option<String>,
    /// Sections that were taken out.
    pub redacted: Vec<String>,
}

/// What is not as it claims.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read as a recording at all.
    #[error(transparent)]
    Unreadable(#[from] RecordingError),
    /// A chunk is wrong.
    #[error("chunk {chunk} at byte {offset}: {problem}")]
    Chunk {
        /// Which, from 0, which is the header's.
        chunk: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// What follows the last chunk is wrong.
    #[error("the index at byte {offset}: {problem}")]
    Index {
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// The file ends without saying how the session did.
    #[error("it ends after chunk {chunk} without a footer: the session did not end in order, or its end was cut off")]
    NoFooter {
        /// The last whole chunk.
        chunk: u64,
    },
}

/// Every section's digest, from its text and salt or from what stands in its place.
pub(super) fn digests(raw: &RawChunk) -> Result<Vec<(String, chunk::Hash)>, String> {
    let [_, frames, _] = &raw.lines;
    let frames = Line::read(frames, "frames")?;
    let whole = |text: &str| serde_json::from_str::<String>(text).map_err(|error| format!("its salt: {error}"));
    let common = frames.get("salt").map(whole).transpose()?;
    let single: BTreeMap<String, String> = match frames.get("salts") {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("its salts: {error}"))?,
        None => BTreeMap::new(),
    };
    let mut found = Vec::new();
    for (text, name) in raw.lines.iter().zip(chunk::LINES).filter(|(text, _)| !text.is_empty()) {
        let line = Line::read(text, name)?;
        if line.get("chunk") != Some(raw.head.number.to_string().as_str()) {
            return Err(format!("its line of {name} is of another chunk"));
        }
        for (name, text) in line.sections() {
            let digest = match (chunk::redacted(text), single.get(name), &common) {
                (Some(digest), ..) => digest,
                (None, Some(salt), _) => chunk::digest(salt, text),
                (None, None, Some(salt)) => chunk::digest(&chunk::salt(salt, name), text),
                (None, None, None) => return Err(format!("section {name} has no salt")),
            };
            found.push((name.to_owned(), digest));
        }
    }
    Ok(found)
}

/// A section that was taken out without being listed.
fn unlisted(raw: &RawChunk, listed: &[String]) -> Option<String> {
    raw.lines.iter().zip(chunk::LINES).filter(|(text, _)| !text.is_empty()).find_map(|(text, name)| {
        let line = Line::read(text, name).ok()?;
        let mut gone = line.sections().filter(|(_, text)| chunk::redacted(text).is_some());
        gone.find(|(name, _)| !listed.iter().any(|listed| listed == name)).map(|(name, _)| name.to_owned())
    })
}

/// Verifies a file, except by repeating its session.
///
/// # Errors
/// [`Fault`] for the first thing that is not right, with its place.
pub fn verify(path: &Path) -> Result<Verified, Fault> {
    verify_open(Recording::open(path)?)
}

pub(super) fn verify_open(mut recording: Recording) -> Result<Verified, Fault> {
    let length = recording.length();
    let (mut offset, mut number, mut last) = (0_u64, 0_u64, [0; 32]);
    let (mut chunks, mut marks): (Vec<ChunkInfo>, Vec<Mark>) = Default::default();
    let mut events = 0;
    let ending: (Footer, Shown, Option<String>) = loop {
        let wrong = |problem: String| Fault::Chunk { chunk: number, offset, problem };
        if offset == length {
            return Err(Fault::NoFooter { chunk: number.saturating_sub(1) });
        }
        // A head that cannot be read is told as such; everything else by reading the chunk.
        let raw = read_chunk(recording.file(), offset, [true; 3]).map_err(wrong)?;
        let head: Head = raw.head;
        if head.number != number {
            return Err(wrong(format!("it is numbered {}", head.number)));
        }
        if head.previous != last {
            let (says, has) = (chunk::hex(&head.previous), chunk::hex(&last));
            return Err(wrong(format!("it follows on a chunk with the hash {says}, the one before has {has}")));
        }
        let expected = chunks.last().map_or(0, |last| last.first + u64::from(last.frames));
        if head.first != expected {
            return Err(wrong(format!("its first frame is {}, {expected} comes next", head.first)));
        }
        last = chunk::commitment(&head, &digests(&raw).map_err(wrong)?);
        if let Some(name) = unlisted(&raw, recording.redacted()) {
            return Err(wrong(format!("section {name} was taken out, and the header does not say so")));
        }
        let info = ChunkInfo::of(&head, offset);
        chunks.push(info);
        match head.kind {
            Kind::Header if number == 0 => {}
            Kind::Footer => {
                let footer = footer(&raw).map_err(wrong)?;
                if footer.frames != info.first || footer.events != events {
                    let Footer { frames, events: told, .. } = footer;
                    let problem =
                        format!("it says {frames} frames and {told} events, there are {} and {events}", info.first);
                    return Err(wrong(problem));
                }
                break ledger_heads(&mut recording, footer).map_err(|error| wrong(error.to_string()))?;
            }
            Kind::Key | Kind::Frames if number > 0 => {
                let place = chunks.len() - 2;
                if recording.chunks().get(place) != Some(&info) {
                    return Err(match recording.damage() {
                        Some(damage) => wrong(damage.to_owned()),
                        None => wrong("the index says something else of it".into()),
                    });
                }
                let frames = recording.chunk_frames(place).map_err(|error| wrong(error.to_string()))?;
                let told = frames.iter().flat_map(|frame| &frame.events);
                let count = told.clone().count() as u64;
                let without = recording.redacted().iter().any(|name| name == "events");
                if !without && count != u64::from(info.events) {
                    return Err(wrong(format!("it has {count} events, its head says {}", info.events)));
                }
                marks.extend(told.filter_map(Mark::of));
                events += u64::from(info.events);
            }
            _ => return Err(wrong("it is not where it belongs".into())),
        }
        offset += info.length;
        number += 1;
    };
    let (Footer { ledger_head, frames, .. }, shown, told) = ending;
    let wrong = |problem: String| Fault::Chunk { chunk: number, offset, problem };
    if let (Some(other), Some(head)) = (&shown.root, &ledger_head)
        && other != head
    {
        return Err(wrong(format!("the ledger's head is {head}, by the last frame it is {other}")));
    }
    if let (Some(block), Some(told)) = (&shown.block, &told)
        && block != told
    {
        return Err(wrong(format!("the ledger's head is block {block}, by the last block told of it is {told}")));
    }
    let end = chunks.last().map_or(0, |last| last.offset + last.length);
    let wrong = |problem: &str| Fault::Index { offset: end, problem: problem.into() };
    let bytes = super::reader::read_rest(recording.file(), end).map_err(|error| wrong(&error.to_string()))?;
    match read_index(&bytes, end) {
        None if bytes.is_empty() => return Err(wrong("it is missing")),
        None => return Err(wrong("it was changed")),
        Some((indexed, marked)) if indexed != chunks || marked != marks => {
            return Err(wrong("it says something else than the chunks"));
        }
        Some(_) => {}
    }
    let redacted = recording.redacted().to_vec();
    Ok(Verified { chunks: number + 1, frames, events, seal: chunk::hex(&last), ledger_head, redacted })
}

/// The ledger as the last frame of a finished session shows it.
#[derive(Debug, Default)]
struct Shown {
    /// The tree's size and root.
    root: Option<String>,
    /// The last block's hash.
    block: Option<String>,
}

/// The footer with the ledger as the last frame shows it, and the last block that was told of.
fn ledger_heads(recording: &mut Recording, footer: Footer) -> Result<(Footer, Shown, Option<String>), RecordingError> {
    let without = |name: &str| recording.redacted().iter().any(|redacted| redacted == name);
    let (no_ledger, no_events) = (without("snapshot.ledger"), without("events"));
    let last = recording.frame(recording.frames().saturating_sub(1))?;
    let view = &last.snapshot.ledger;
    let shown = if view.enabled && !no_ledger && last.snapshot.finished {
        let block = Some(view.head.clone()).filter(|head| !head.is_empty());
        Shown { root: Some(format!("{} {}", view.leaves, view.root)), block }
    } else {
        Shown::default()
    };
    let mut told = None;
    if !no_events && last.snapshot.finished {
        for place in (0..recording.chunks().len()).rev() {
            let history = recording.history(place)?;
            told = history.events.values().flatten().rev().find_map(|event| match &event.payload {
                Payload::LedgerBlockMined { hash, .. } => Some(hash.clone()),
                _ => None,
            });
            if told.is_some() {
                break;
            }
        }
    }
    Ok((footer, shown, told))
}
