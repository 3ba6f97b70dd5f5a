//! Writes a session file while the session runs. A chunk is written at once and whole, so whatever ends the program costs
//! the frames since the last chunk at most. When to end a chunk is decided by the session's clock and by its size.

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::chunk::{self, Head, Kind, Section};
use super::reader::index_bytes;
use super::sections::{Encoder, Sections};
use super::{ChunkInfo, Footer, Header, Mark};
use crate::domain::Timestamp;
use crate::engine::Frame;

/// A session file that is being written.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    /// How long it is.
    length: u64,
    /// What salts are drawn from.
    secret: chunk::Hash,
    encoder: Encoder,
    /// The frames of the chunk that is being filled.
    frames: Vec<Frame>,
    /// Roughly how much they hold beside their snapshots.
    weight: usize,
    chunks: Vec<ChunkInfo>,
    marks: Vec<Mark>,
    /// The commitment of the last chunk.
    last: chunk::Hash,
    written: u64,
    events: u64,
}

/// A chunk ends when its frames span so much,
const SPAN: Duration = Duration::from_millis(750);
/// and are at least so many: on the virtual clock at a low rate a frame may span seconds.
const FEW: usize = 8;
/// Or are so many.
const FRAMES: usize = 64;
/// Or have so many events, or calls, counted in eighths.
const WEIGHT: usize = 300_000;
/// Every so many chunks can be read without those before.
const KEYS: usize = 20;
const LEVEL: i32 = 9;

impl Recorder {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// As creating and writing a file does.
    pub fn create(path: &Path, header: &Header) -> io::Result<Self> {
        // A file appears with its header in it, unless the name is that of a device or a link.
        let plain = std::fs::symlink_metadata(path).map_or(true, |known| known.is_file());
        if !plain {
            return Self::write_to(File::create(path)?, header, entropy());
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let recorder = Self::write_to(File::create(&name)?, header, entropy())?;
        std::fs::rename(&name, path)?;
        Ok(recorder)
    }

    /// As [`Recorder::create`], with salts drawn from `secret`: for tests that compare bytes.
    pub(super) fn write_to(file: File, header: &Header, secret: chunk::Hash) -> io::Result<Self> {
        let mut recorder = Self {
            file,
            length: 0,
            secret,
            encoder: Encoder::default(),
            frames: Vec::new(),
            weight: 0,
            chunks: Vec::new(),
            marks: Vec::new(),
            last: [0; 32],
            written: 0,
            events: 0,
        };
        let began = header.info.began;
        recorder.single(Kind::Header, "header", header, began)?;
        Ok(recorder)
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// As writing a file does; what was written before stays readable.
    pub fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        self.take(frame.clone())
    }

    /// Adds a frame of the caller's.
    ///
    /// # Errors
    /// As [`Recorder::frame`].
    pub fn take(&mut self, frame: Frame) -> io::Result<()> {
        let calls: usize = frame.calls.iter().map(|block| block.verdicts.len() + block.commands.len()).sum();
        let weight = frame.events.len() * 8 + calls;
        if !self.frames.is_empty() && self.weight + weight > WEIGHT {
            self.flush()?;
        }
        self.weight += weight;
        let at = frame.at;
        self.frames.push(frame);
        // The first frame is written at once: from then on there is something to show.
        let full = self.chunks.len() == 1
            || self.frames.len() >= FRAMES
            || self.frames.len() >= FEW && self.frames.first().is_some_and(|first| at.since(first.at) >= SPAN);
        if full { self.flush() } else { Ok(()) }
    }

    /// Ends the present chunk and writes it, unless it has no frame.
    ///
    /// # Errors
    /// As writing a file does.
    pub fn flush(&mut self) -> io::Result<()> {
        let (Some(from), Some(to)) = (self.frames.first().map(|one| one.at), self.frames.last().map(|one| one.at))
        else {
            return Ok(());
        };
        let frames = std::mem::take(&mut self.frames);
        self.weight = 0;
        // The first chunk is the header's.
        let key = (self.chunks.len() - 1).is_multiple_of(KEYS);
        let count = frames.len() as u32;
        let events = frames.iter().map(|frame| frame.events.len() as u32).sum();
        self.marks.extend(frames.iter().flat_map(|frame| &frame.events).filter_map(Mark::of));
        let sections = self.encoder.encode(frames, key)?;
        let kind = if key { Kind::Key } else { Kind::Frames };
        self.chunk(kind, count, events, [from, to], &sections)?;
        self.written += u64::from(count);
        self.events += u64::from(events);
        Ok(())
    }

    /// Makes sure that what was written is on disk, whatever happens to the machine.
    ///
    /// # Errors
    /// As `fsync`.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Frames that wait for the end of their chunk.
    pub const fn waiting(&self) -> usize {
        self.frames.len()
    }

    /// How long the file is, bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Writes the footer and the index, and makes sure that all of it is on disk. The seal: what the whole file commits to.
    ///
    /// # Errors
    /// As writing a file does.
    pub fn finish(mut self, ledger_head: Option<String>) -> io::Result<String> {
        self.flush()?;
        let footer = Footer { frames: self.written, events: self.events, ledger_head };
        let at = self.chunks.last().map_or(Timestamp::EPOCH, |chunk| chunk.to);
        self.single(Kind::Footer, "footer", &footer, at)?;
        let index = index_bytes(&self.chunks, &self.marks, self.length)?;
        self.file.write_all(&index)?;
        self.file.sync_all()?;
        Ok(chunk::hex(&self.last))
    }

    /// A chunk of one document.
    fn single(&mut self, kind: Kind, name: &str, document: &impl serde::Serialize, at: Timestamp) -> io::Result<()> {
        let sections =
            Sections { frames: vec![(name.into(), serde_json::to_string(document)?)], ..Sections::default() };
        self.chunk(kind, 0, 0, [at, at], &sections)
    }

    fn chunk(
        &mut self,
        kind: Kind,
        frames: u32,
        events: u32,
        span: [Timestamp; 2],
        sections: &Sections,
    ) -> io::Result<()> {
        let number = self.chunks.len() as u64;
        let salt = chunk::hex(
            Sha256::new()
                .chain_update(self.secret)
                .chain_update(number.to_be_bytes())
                .finalize()
                .get(..16)
                .unwrap_or_default(),
        );
        let [from, to] = span;
        let head = Head {
            kind,
            number,
            first: self.written,
            frames,
            events,
            from,
            to,
            lengths: [0; 3],
            previous: self.last,
            body: [0; 16],
        };
        let extra = format!(",\"salt\":\"{salt}\"");
        let (bytes, head) = chunk_bytes(head, &extra, sections)?;
        self.file.write_all(&bytes)?;
        let all = sections.history.iter().chain(&sections.frames).chain(&sections.calls);
        let digests: Vec<_> =
            all.map(|(name, text)| (name.clone(), chunk::digest(&chunk::salt(&salt, name), text))).collect();
        self.last = chunk::commitment(&head, &digests);
        self.chunks.push(ChunkInfo::of(&head, self.length));
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// A chunk's bytes, and its head with lengths and check filled in. `extra` goes into the line of frames.
pub fn chunk_bytes(mut head: Head, extra: &str, sections: &Sections) -> io::Result<(Vec<u8>, Head)> {
    let mut body = Vec::new();
    let limits = [chunk::HISTORY, chunk::LINE, chunk::CALLS];
    let all: [(&str, &[Section]); 3] = [("", &sections.history), (extra, &sections.frames), ("", &sections.calls)];
    for ((((extra, sections), name), limit), length) in
        all.into_iter().zip(chunk::LINES).zip(limits).zip(&mut head.lengths)
    {
        if sections.is_empty() {
            continue;
        }
        let text = chunk::line(name, head.number, extra, sections);
        if text.len() as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a line of {name} is longer than {limit} bytes"),
            ));
        }
        let packed = chunk::pack(&text, LEVEL)?;
        *length = packed.len() as u32;
        body.extend(packed);
    }
    head.body = chunk::check(&body);
    let mut bytes = head.bytes();
    bytes.extend(body);
    Ok((bytes, head))
}

/// Something that nobody can guess: salts must not follow from the session's seed, which is in the header.
fn entropy() -> chunk::Hash {
    let mut hasher = Sha256::new();
    for _ in 0..4 {
        // The keys of the standard library's hasher are its only portable entropy, 128 bits of it.
        hasher.update(std::hash::RandomState::new().build_hasher().finish().to_be_bytes());
    }
    hasher.finalize().into()
}
