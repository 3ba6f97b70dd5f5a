//! Reads a session file. What is whole is kept, whatever comes after it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::{FORMAT, Footer, Header, Line, VERSION};
use crate::domain::ErrorCode;
use crate::engine::Frame;

/// A session that was read.
#[derive(Debug)]
pub struct Recording {
    /// What the session was.
    pub header: Header,
    /// Its frames, at least one.
    pub frames: Vec<Frame>,
    /// The ledger's head at the end, of a session that ended in order with a ledger.
    pub ledger_head: Option<String>,
    /// What is wrong with the file behind the last frame; `None` for a whole one.
    pub damage: Option<String>,
}

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
    /// It is of a later version.
    #[error("{path} is a recording of version {version}; this program reads version {VERSION}")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        version: u64,
    },
    /// It ends before its first frame.
    #[error("{path} ends before its first frame{damage}")]
    Empty {
        /// The file.
        path: String,
        /// What is wrong behind the header.
        damage: String,
    },
}

impl RecordingError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } => ErrorCode::Generic,
            Self::NotARecording { .. } | Self::Newer { .. } => ErrorCode::Recording,
            Self::Empty { .. } => ErrorCode::RecordingDamaged,
        }
    }
}

/// No line is longer.
const LINE_LIMIT: u64 = 64 * 1024 * 1024;
/// No session is larger when it is unpacked.
const TOTAL_LIMIT: u64 = 4 * 1024 * 1024 * 1024;

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// [`RecordingError`] when there is nothing to show. A file that is damaged further on is read up to there.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| RecordingError::Io { path: name.clone(), source })?;
        Self::read(file, &name)
    }

    /// Reads a file's bytes; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub fn read(file: impl Read, path: &str) -> Result<Self, RecordingError> {
        let not = |problem: String| RecordingError::NotARecording { path: path.to_owned(), problem };
        let decoder = zstd::Decoder::new(file).map_err(|error| not(error.to_string()))?;
        let mut lines = BufReader::new(decoder.take(TOTAL_LIMIT));
        let mut line = Vec::new();
        let first = read_line(&mut lines, &mut line).map_err(|error| not(format!("not packed by zstd ({error})")))?;
        if !first {
            return Err(not("its first line is missing".into()));
        }
        let header = header(&line, path)?;
        let mut frames: Vec<Frame> = Vec::new();
        let mut ended = None;
        let damage = loop {
            let number = frames.len() + 2;
            match read_line(&mut lines, &mut line) {
                Ok(true) => {}
                Ok(false) if ended.is_some() => break None,
                Ok(false) => break Some(format!("it is cut off after line {}", number - 1)),
                Err(error) => break Some(format!("line {number}: {error}")),
            }
            if ended.is_some() {
                break Some(format!("line {number}: there is more after the footer"));
            }
            match serde_json::from_slice::<Line<serde::de::IgnoredAny, Frame>>(&line) {
                Ok(Line::Frame(frame)) if frame.sequence == frames.len() as u64 => frames.push(frame),
                Ok(Line::Frame(frame)) => {
                    break Some(format!("line {number}: frame {} where {} should be", frame.sequence, frames.len()));
                }
                Ok(Line::Footer(footer)) if footer.frames == frames.len() as u64 => ended = Some(footer),
                Ok(Line::Footer(footer)) => {
                    break Some(format!("line {number}: {} frames, the footer says {}", frames.len(), footer.frames));
                }
                Ok(Line::Header(_)) => break Some(format!("line {number}: a second header")),
                Err(error) => break Some(format!("line {number}: {error}")),
            }
        };
        if frames.is_empty() {
            let damage = damage.map_or(String::new(), |damage| format!(" ({damage})"));
            return Err(RecordingError::Empty { path: path.to_owned(), damage });
        }
        let ledger_head = ended.and_then(|Footer { ledger_head, .. }| ledger_head);
        Ok(Self { header, frames, ledger_head, damage })
    }
}

/// The next line without its end; `false` at the end of the file. A last line without its end is an error.
fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    lines.take(LINE_LIMIT).read_until(b'\n', line)?;
    match line.pop() {
        None => Ok(false),
        Some(b'\n') => Ok(true),
        Some(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the line is cut off or too long")),
    }
}

fn header(line: &[u8], path: &str) -> Result<Header, RecordingError> {
    let not = |problem: String| RecordingError::NotARecording { path: path.to_owned(), problem };
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|error| not(error.to_string()))?;
    let header = value.get("header").ok_or_else(|| not("its first line is no header".into()))?;
    if header.get("format").and_then(|format| format.as_str()) != Some(FORMAT) {
        return Err(not("its first line is the header of something else".into()));
    }
    match header.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => return Err(RecordingError::Newer { path: path.to_owned(), version }),
        None => return Err(not("its header has no version".into())),
    }
    serde_json::from_value(header.clone()).map_err(|error| not(error.to_string()))
}
