//! Writes a session file while the session runs. Each chunk of about a second is a zstd frame of its own, complete with
//! its checksum when it is on disk, so whatever ends the program costs the last second at most.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::{FORMAT, Footer, Header, Line, VERSION};
use crate::domain::Timestamp;
use crate::engine::{Frame, SessionInfo, Settings};

/// A session file that is being written.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    chunk: Vec<u8>,
    /// When the present chunk was begun, by the session's clock.
    began: Option<Timestamp>,
    frames: u64,
}

const CHUNK_SPAN: Duration = Duration::from_millis(900);
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
const LEVEL: i32 = 3;

impl Recorder {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// As creating and writing a file does.
    pub fn create(path: &Path, info: &SessionInfo, settings: &Settings) -> io::Result<Self> {
        let mut recorder = Self { file: File::create(path)?, chunk: Vec::new(), began: None, frames: 0 };
        let header = Header { format: FORMAT.into(), version: VERSION, info: info.clone(), settings: settings.clone() };
        recorder.line(&Line::<_, ()>::Header(header))?;
        recorder.flush()?;
        Ok(recorder)
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// As writing a file does; what was written before stays readable.
    pub fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        self.line(&Line::<(), _>::Frame(frame))?;
        self.frames += 1;
        let began = *self.began.get_or_insert(frame.at);
        if frame.at.since(began) >= CHUNK_SPAN || self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the footer and makes sure that all of it is on disk.
    ///
    /// # Errors
    /// As writing a file does.
    pub fn finish(mut self, ledger_head: Option<String>) -> io::Result<()> {
        self.line(&Line::<(), ()>::Footer(Footer { frames: self.frames, ledger_head }))?;
        self.flush()?;
        self.file.sync_all()
    }

    fn line(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.chunk, line)?;
        self.chunk.push(b'\n');
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.write_all(&self.chunk)?;
        self.file.write_all(&encoder.finish()?)?;
        self.chunk.clear();
        self.began = None;
        Ok(())
    }
}
