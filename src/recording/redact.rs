//! A copy of a recording without some sections, whose proofs still hold: each section that is taken out leaves its digest,
//! so that every chunk commits to what it did before. The salts of the sections that stay are told one by one; that of one
//! that goes cannot be found from them, so its content cannot be guessed from its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::chunk::{self, Kind, Line, Section};
use super::reader::{index_bytes, read_chunk};
use super::sections::{CALLS, LISTS, SNAPSHOT, Sections};
use super::verify::digests;
use super::writer::chunk_bytes;
use super::{ChunkInfo, Mark, Recording, RecordingError, verify};

/// What was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction {
    /// The sections.
    pub sections: Vec<String>,
    /// What the copy commits to, like its original.
    pub seal: String,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// The original is not whole.
    #[error(transparent)]
    Fault(#[from] super::Fault),
    /// The original cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// There is no such section.
    #[error("there is no section `{name}` to take out{hint}; there are {known}")]
    Unknown {
        /// As given.
        name: String,
        /// The nearest one.
        hint: String,
        /// All of them.
        known: String,
    },
    /// The copy cannot be written.
    #[error("the copy cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Writes a copy of the recording at `path` to `copy` without these sections: `events`, `samples`, `instructions`, `calls`,
/// or a part of the snapshot by its name. A recording is verified before it is copied.
///
/// # Errors
/// [`RedactError`]; there may be an unfinished copy then.
pub fn redact(path: &Path, fields: &[String], copy: &Path) -> Result<Redaction, RedactError> {
    verify(path)?;
    let mut recording = Recording::open(path)?;
    let known = known(&mut recording)?;
    let mut wanted = BTreeSet::new();
    for field in fields {
        let full = format!("{SNAPSHOT}{field}");
        let name = [field, &full].into_iter().find(|name| known.contains(*name)).ok_or_else(|| {
            let short = |name: &str| name.strip_prefix(SNAPSHOT).unwrap_or(name).to_owned();
            let names: Vec<String> = known.iter().map(|name| short(name)).collect();
            let near = crate::domain::text::nearest(field, names.iter().map(String::as_str));
            RedactError::Unknown {
                name: field.clone(),
                hint: near.map_or(String::new(), |near| format!(" (did you mean `{near}`?)")),
                known: names.join(", "),
            }
        })?;
        wanted.insert(name.clone());
    }
    let end = recording.length();
    let mut file = File::create_new(copy)?;
    let (mut offset, mut written) = (0_u64, 0_u64);
    let mut chunks = Vec::new();
    let last = loop {
        let broken = |damage: String| RecordingError::Damaged { path: path.display().to_string(), damage };
        let raw = read_chunk(recording.file(), offset, [true; 3]).map_err(broken)?;
        let digests = digests(&raw).map_err(broken)?;
        let commitment = chunk::commitment(&raw.head, &digests);
        let frames = matches!(raw.head.kind, Kind::Key | Kind::Frames);
        let (sections, salts) = without(&raw, &digests, |name| frames && wanted.contains(name)).map_err(broken)?;
        let mut extra = format!(",\"salts\":{}", serde_json::to_string(&salts).map_err(io::Error::from)?);
        if raw.head.kind == Kind::Header {
            let all: BTreeSet<&String> = wanted.iter().chain(recording.redacted()).collect();
            extra.push_str(&format!(",\"redacted\":{}", serde_json::to_string(&all).map_err(io::Error::from)?));
        }
        let (bytes, head) = chunk_bytes(raw.head, &extra, &sections)?;
        file.write_all(&bytes)?;
        chunks.push(ChunkInfo::of(&head, written));
        written += bytes.len() as u64;
        offset += ChunkInfo::of(&raw.head, offset).length;
        if raw.head.kind == Kind::Footer || offset >= end {
            break commitment;
        }
    };
    // The marks tell when and what happened: they go with the events.
    let marks: Vec<Mark> = if wanted.contains("events") { Vec::new() } else { recording.marks().to_vec() };
    file.write_all(&index_bytes(&chunks, &marks, written)?)?;
    file.sync_all()?;
    Ok(Redaction { sections: wanted.into_iter().collect(), seal: chunk::hex(&last) })
}

/// The sections that can be taken out.
fn known(recording: &mut Recording) -> Result<BTreeSet<String>, RecordingError> {
    let mut known: BTreeSet<String> = LISTS.iter().map(|name| (*name).to_owned()).collect();
    known.insert(CALLS.into());
    if let Ok(serde_json::Value::Object(parts)) = serde_json::to_value(&recording.frame(0)?.snapshot) {
        known.extend(parts.keys().map(|name| format!("{SNAPSHOT}{name}")));
    }
    Ok(known)
}

type Salts = BTreeMap<String, String>;

/// A chunk's sections, those that go replaced by their digests, and the salts of those that stay.
fn without(
    raw: &super::reader::RawChunk,
    digests: &[(String, chunk::Hash)],
    goes: impl Fn(&str) -> bool,
) -> Result<(Sections, Salts), String> {
    let [_, frames, _] = &raw.lines;
    let frames = Line::read(frames, "frames")?;
    let common: Option<String> = frames.get("salt").and_then(|text| serde_json::from_str(text).ok());
    let known: Salts = frames.get("salts").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut salts = Salts::new();
    let mut found = Sections::default();
    let lines: [&mut Vec<Section>; 3] = [&mut found.history, &mut found.frames, &mut found.calls];
    for ((text, name), line) in raw.lines.iter().zip(chunk::LINES).zip(lines) {
        if text.is_empty() {
            continue;
        }
        for (name, text) in Line::read(text, name)?.sections() {
            let gone = goes(name) || chunk::redacted(text).is_some();
            let kept = if gone {
                let digest = digests.iter().find(|(known, _)| known == name).ok_or("a digest is missing")?;
                let redacted = chunk::Redacted { redacted: chunk::hex(&digest.1) };
                serde_json::to_string(&redacted).map_err(|error| error.to_string())?
            } else {
                let salt = known.get(name).cloned().or_else(|| Some(chunk::salt(common.as_ref()?, name)));
                salts.insert(name.to_owned(), salt.ok_or("a salt is missing")?);
                text.to_owned()
            };
            line.push((name.to_owned(), kept));
        }
    }
    Ok((found, salts))
}
