//! Annotations: what people say of a moment of a session, in a file beside its recording, a JSON line each. Several may
//! write at once: each line is appended under a lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// What somebody said of a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of which session.
    pub session: String,
    /// Of which moment, by the session's clock.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// The notes beside a recording.
#[derive(Debug, Clone)]
pub struct Notes {
    path: PathBuf,
    session: String,
}

/// Why a note is not kept, or notes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// Their file.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A note is one line of at most so many characters.
    #[error("a note has from 1 to {0} characters")]
    Length(usize),
}

/// No note is longer, characters.
const LENGTH: usize = 2_000;
/// No file of notes is larger.
const FILE: u64 = 16 * 1024 * 1024;

impl Notes {
    /// Beside the recording at `path`, of the session with this id.
    pub fn beside(path: &Path, session: &str) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".notes.jsonl");
        Self { path: name.into(), session: session.to_owned() }
    }

    /// Their file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self, source: io::Error) -> NotesError {
        NotesError::Io { path: self.path.display().to_string(), source }
    }

    /// Adds a note. It is on disk, whole and on a line of its own, when this returns.
    ///
    /// # Errors
    /// [`NotesError`]; nothing of the note is kept then.
    pub fn add(&self, at: Timestamp, by: &str, text: &str) -> Result<Note, NotesError> {
        let text: String = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        if text.is_empty() || text.chars().count() > LENGTH {
            return Err(NotesError::Length(LENGTH));
        }
        let note = Note { session: self.session.clone(), at, by: by.to_owned(), text };
        self.append(&note).map_err(|error| self.io(error))?;
        Ok(note)
    }

    fn append(&self, note: &Note) -> io::Result<()> {
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&self.path)?;
        file.lock()?;
        let length = file.metadata()?.len();
        // A line that another program left unfinished is not made part of ours.
        if length > 0 {
            file.seek(SeekFrom::Start(length - 1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                line.insert(0, b'\n');
            }
        }
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        if written.is_err() {
            // A full disk may have taken a part of it.
            let _ = file.set_len(length);
        }
        written
    }

    /// The notes of this session, by moment, and how many lines are no notes.
    ///
    /// # Errors
    /// [`NotesError`] when the file is there and cannot be read.
    pub fn read(&self) -> Result<(Vec<Note>, usize), NotesError> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(error) => return Err(self.io(error)),
            Ok(file) => drop(file.take(FILE).read_to_end(&mut bytes).map_err(|error| self.io(error))?),
        }
        let (mut notes, mut others) = (Vec::new(), 0);
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Note>(line) {
                Ok(note) if note.session == self.session => notes.push(note),
                // A file of this name may have held another session before.
                Ok(_) => {}
                Err(_) => others += 1,
            }
        }
        notes.sort_by_key(|note| note.at);
        Ok((notes, others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_say_at_once_is_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::beside(&folder.path().join("day.fizz"), "s1");
        std::fs::write(notes.path(), "{\"session\":\"s1\",\"at\":5,\"by\":\"x\",\"te").unwrap();
        std::thread::scope(|scope| {
            for person in 0..8 {
                let notes = &notes;
                scope.spawn(move || {
                    for at in 0..25 {
                        let by = format!("p{person}");
                        notes.add(Timestamp::from_nanos(at), &by, &format!("note {at}\n{}", "x".repeat(500))).unwrap();
                    }
                });
            }
        });
        let (read, others) = notes.read().unwrap();
        assert_eq!((read.len(), others), (200, 1));
        assert!(read.iter().all(|note| note.text.len() > 500 && !note.text.contains('\n')));
        assert_eq!(Notes::beside(&folder.path().join("day.fizz"), "s2").read().unwrap().0, []);
        assert!(notes.add(Timestamp::EPOCH, "x", " ").unwrap_err().to_string().contains("from 1 to 2000"));
        assert_eq!(Notes::beside(&folder.path().join("none"), "s").read().unwrap(), (Vec::new(), 0));
    }
}
