//! A segment: a file of records with a header that says where the journal stood before it, and once it is full a footer
//! with a sparse index, so that neither opening nor a question about the past reads what it does not need.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::blocks::{EVALUATIONS, EVENT, EvaluationReader, SESSION, Session, StoredEvent, next_block, put_block};
use super::bytes::{Cursor, Undecodable, put, put_text};
use super::record::{self, Hash, Record, RecordKind};
use super::totals::Totals;
use crate::domain::classification::Classifier;
use crate::domain::{Evaluation, Timestamp};
use crate::records::files::Files;
use crate::records::journal::JournalError;

const MAGIC: [u8; 8] = *b"FzJournl";
/// The version of the form that is written.
pub(super) const FORM: u32 = 1;
/// How long a header is.
pub(super) const HEADER: usize = 8 + 4 + 8 + 8 + Totals::BYTES + 32 + 4;
const TRAILER_MAGIC: [u8; 8] = *b"FzFooter";
const TRAILER: usize = 16;
/// At least so many bytes are between two entries of an index.
pub(super) const INDEX_EVERY: u64 = 64 * 1024;

/// Where the journal stands between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// Commits so far.
    pub commit: u64,
    /// The greatest moment of any event so far, nanoseconds: the journal's own time, which never goes back.
    pub time: u64,
    /// What follows from all events so far.
    pub totals: Totals,
    /// The chain of hashes.
    pub chain: Hash,
}

impl Mark {
    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORM.to_le_bytes());
        out.extend_from_slice(&self.commit.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        self.totals.put(&mut out);
        out.extend_from_slice(&self.chain);
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.commit.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        self.totals.put(out);
        out.extend_from_slice(&self.chain);
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Undecodable> {
        Ok(Self {
            commit: cursor.u64()?,
            time: cursor.u64()?,
            totals: Totals::read(cursor)?,
            chain: cursor.take(32)?.try_into().map_err(|_| Undecodable("a hash is cut"))?,
        })
    }
}

/// A place in a segment where reading can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub offset: u64,
    pub before: Mark,
}

/// What is known of a segment without reading its records.
#[derive(Debug, Clone, Default)]
pub(super) struct Segment {
    pub name: String,
    pub before: Mark,
    pub after: Mark,
    /// Where its records end.
    pub end: u64,
    pub sealed: bool,
    /// Its records were let go; their hashes are kept.
    pub compacted: bool,
    pub index: Vec<IndexEntry>,
    pub sessions: Vec<Arc<Session>>,
    /// Streams that have events in it, with the position of their last one.
    pub streams: BTreeMap<String, u64>,
    /// Ids of events in it, with their numbers in the journal.
    pub ids: Vec<(u128, u64)>,
    /// The last record, which a crashed machine may still owe the disk.
    pub last_record: Option<u64>,
}

/// What a walk over a segment's records tells.
#[derive(Debug)]
pub enum Item<'a> {
    /// An evaluation.
    Evaluation {
        /// The number of the last event before its first one.
        before: u64,
        /// When it finished.
        at: Timestamp,
        /// Its session.
        session: &'a Arc<Session>,
        /// What it is.
        evaluation: &'a Evaluation,
    },
    /// An event of another stream.
    Event(&'a StoredEvent),
}

/// Reads the blocks of a commit, counting on from `mark`. `sessions` are those of the segment so far; one that is declared
/// again (the walk began behind the index that lists it) is the same one. The visitor sees the mark before each item.
pub(super) fn walk(
    body: &[u8],
    mark: &mut Mark,
    sessions: &mut Vec<Arc<Session>>,
    mut visit: impl FnMut(&Mark, Item<'_>) -> std::ops::ControlFlow<()>,
) -> Result<std::ops::ControlFlow<()>, Undecodable> {
    use std::ops::ControlFlow::{Break, Continue};
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        let (kind, content) = next_block(&mut cursor)?;
        match kind {
            SESSION => {
                let mut inner = Cursor::new(content);
                let place = inner.number()? as usize;
                let session = Session::read(&mut inner)?;
                match sessions.get(place) {
                    None if place == sessions.len() => sessions.push(Arc::new(session)),
                    Some(known) if **known == session => {}
                    _ => return Err(Undecodable("a session is declared out of order")),
                }
            }
            EVALUATIONS => {
                let mut reader = EvaluationReader::new(content)?;
                let session = sessions.get(reader.session).ok_or(Undecodable("a session is not declared"))?;
                let classifier: Classifier = session.classifier();
                while let Some((at, evaluation)) = reader.next()? {
                    let item = Item::Evaluation { before: mark.totals.version, at, session, evaluation: &evaluation };
                    if visit(mark, item).is_break() {
                        return Ok(Break(()));
                    }
                    mark.totals.evaluation(&evaluation, classifier);
                    mark.time = mark.time.max(at.as_nanos());
                }
            }
            EVENT => {
                let event = StoredEvent::read(&mut Cursor::new(content), mark.totals.version + 1)?;
                if visit(mark, Item::Event(&event)).is_break() {
                    return Ok(Break(()));
                }
                mark.totals.other();
                mark.time = mark.time.max(event.at.as_nanos());
            }
            _ => return Err(Undecodable("a block is of an unknown kind")),
        }
    }
    Ok(Continue(()))
}

/// Puts a session's declaration.
pub(super) fn put_session(out: &mut Vec<u8>, place: u64, session: &Session) {
    let mut content = Vec::new();
    put(&mut content, place);
    session.put(&mut content);
    put_block(out, SESSION, &content);
}

fn corrupt(path: &str, offset: u64, problem: impl Into<String>) -> JournalError {
    JournalError::Corrupt { path: path.to_owned(), offset, problem: problem.into() }
}

impl Segment {
    pub fn name_for(before: &Mark) -> String {
        format!("{:020}.seg", before.totals.version + 1)
    }

    /// The footer record with its trailer. The footer is a link of the chain too.
    pub fn footer(&self, offset: u64) -> (Vec<u8>, Hash) {
        let mut body = Vec::new();
        self.summary(&mut body);
        let mut out = Vec::new();
        let chain = record::put(&mut out, RecordKind::Footer, self.after.commit, &body, &self.after.chain);
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&TRAILER_MAGIC);
        (out, chain)
    }

    fn summary(&self, out: &mut Vec<u8>) {
        self.after.put(out);
        put(out, self.index.len() as u64);
        for entry in &self.index {
            put(out, entry.offset);
            entry.before.put(out);
        }
        put(out, self.sessions.len() as u64);
        for session in &self.sessions {
            session.put(out);
        }
        put(out, self.streams.len() as u64);
        for (stream, position) in &self.streams {
            put_text(out, stream);
            put(out, *position);
        }
        put(out, self.ids.len() as u64);
        for (id, version) in &self.ids {
            out.extend_from_slice(&id.to_le_bytes());
            put(out, *version);
        }
    }

    fn read_summary(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Undecodable> {
        self.after = Mark::read(cursor)?;
        for _ in 0..cursor.length()? {
            self.index.push(IndexEntry { offset: cursor.number()?, before: Mark::read(cursor)? });
        }
        for _ in 0..cursor.length()? {
            self.sessions.push(Arc::new(Session::read(cursor)?));
        }
        for _ in 0..cursor.length()? {
            self.streams.insert(cursor.text()?.to_owned(), cursor.number()?);
        }
        for _ in 0..cursor.length()? {
            self.ids.push((cursor.u128()?, cursor.number()?));
        }
        if cursor.is_empty() { Ok(()) } else { Err(Undecodable("a footer is longer than it says")) }
    }

    /// What compaction leaves in the place of this segment: its header, and a record with the hashes of all its records
    /// and its summary without index. Anybody who kept the records can still prove them by the chain.
    pub fn compacted(&self, links: &[Hash]) -> Vec<u8> {
        let mut body = Vec::new();
        put(&mut body, links.len() as u64);
        for link in links {
            body.extend_from_slice(link);
        }
        let bare = Self { index: Vec::new(), sessions: Vec::new(), ..self.clone() };
        bare.summary(&mut body);
        let mut out = self.before.header();
        record::put(&mut out, RecordKind::Compacted, self.after.commit, &body, &self.after.chain);
        out
    }

    /// Reads header and end of a segment; the records between only when it has no footer. `None` for a file that was
    /// being made when the machine stopped: nothing was ever committed to it.
    pub fn open(files: &dyn Files, folder: &str, name: &str) -> Result<Option<Self>, JournalError> {
        let path = format!("{folder}/{name}");
        let size = files.size(&path).map_err(|error| JournalError::io("read", &path, error))?;
        let read = |offset: u64, length: usize| {
            files.read(&path, offset, length).map_err(|error| JournalError::io("read", &path, error))
        };
        let header = read(0, HEADER)?;
        let before = match Self::read_header(&header, &path) {
            Ok(before) => before,
            Err(JournalError::Corrupt { .. }) if size <= HEADER as u64 => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut segment = Self { name: name.to_owned(), before, after: before, ..Self::default() };
        if Self::name_for(&before) != name {
            return Err(corrupt(
                &path,
                0,
                format!("its name says another beginning than {}", before.totals.version + 1),
            ));
        }
        segment.end = HEADER as u64;
        if size > (HEADER + TRAILER) as u64 {
            let trailer = read(size - TRAILER as u64, TRAILER)?;
            if trailer[8..] == TRAILER_MAGIC {
                let offset = u64::from_le_bytes(trailer[..8].try_into().unwrap_or_default());
                if offset >= HEADER as u64 && offset < size {
                    let bytes = read(offset, usize::try_from(size - offset).unwrap_or(usize::MAX))?;
                    // A trailer whose footer is not whole is a torn one: the records are read instead.
                    if let Ok(footer) = record::read(&bytes)
                        && footer.kind == RecordKind::Footer
                        && footer.length + TRAILER == bytes.len()
                    {
                        segment.take_footer(&footer, offset, &path)?;
                        return Ok(Some(segment));
                    }
                }
            }
        }
        let first = read(HEADER as u64, record::HEAD + 1)?;
        if first.get(record::HEAD) == Some(&(RecordKind::Compacted as u8)) {
            let bytes = read(HEADER as u64, usize::try_from(size).unwrap_or(usize::MAX))?;
            let whole = record::read(&bytes).map_err(|error| corrupt(&path, HEADER as u64, error.0))?;
            segment.take_compacted(&whole).map_err(|error| corrupt(&path, HEADER as u64, error))?;
            return Ok(Some(segment));
        }
        segment.scan(files, folder)?;
        Ok(Some(segment))
    }

    fn take_footer(&mut self, footer: &Record<'_>, offset: u64, path: &str) -> Result<(), JournalError> {
        self.read_summary(&mut Cursor::new(footer.body)).map_err(|error| corrupt(path, offset, error.0))?;
        if record::chained(&self.after.chain, &footer.link) != footer.chain {
            return Err(corrupt(path, offset, "its hash does not follow from the one before"));
        }
        self.after.chain = footer.chain;
        self.end = offset;
        self.sealed = true;
        self.last_record = Some(offset);
        Ok(())
    }

    fn take_compacted(&mut self, whole: &Record<'_>) -> Result<(), String> {
        let mut cursor = Cursor::new(whole.body);
        let mut read = || -> Result<Hash, Undecodable> {
            let mut chain = self.before.chain;
            for _ in 0..cursor.number()? {
                let link: Hash = cursor.take(32)?.try_into().map_err(|_| Undecodable("a hash is cut"))?;
                chain = record::chained(&chain, &link);
            }
            self.read_summary(&mut cursor)?;
            Ok(chain)
        };
        let chain = read().map_err(|error| error.0.to_owned())?;
        if chain != self.after.chain {
            return Err("its hashes do not lead to the one after it".into());
        }
        (self.sealed, self.compacted) = (true, true);
        Ok(())
    }

    fn read_header(bytes: &[u8], path: &str) -> Result<Mark, JournalError> {
        let bad = |problem: &str| corrupt(path, 0, problem);
        let Some((content, checksum)) = bytes.split_at_checked(HEADER - 4).filter(|(_, rest)| rest.len() == 4) else {
            return Err(bad("its header is cut"));
        };
        if content[..8] != MAGIC {
            return Err(bad("it is no segment of a journal"));
        }
        if crc32c::crc32c(content).to_le_bytes() != checksum {
            return Err(bad("its header's checksum differs"));
        }
        let mut cursor = Cursor::new(&content[8..]);
        let version = cursor.u32().map_err(|error| bad(error.0))?;
        if version != FORM {
            return Err(JournalError::Newer { path: path.to_owned(), version, known: FORM });
        }
        Mark::read(&mut cursor).map_err(|error| bad(error.0))
    }

    /// Goes over every record from the header on and finds where the good ones end.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when a good record follows a bad one.
    fn scan(&mut self, files: &dyn Files, folder: &str) -> Result<(), JournalError> {
        let path = format!("{folder}/{}", self.name);
        let bytes = files.read(&path, 0, usize::MAX).map_err(|error| JournalError::io("read", &path, error))?;
        let mut at = HEADER;
        while at < bytes.len() {
            let found = match record::read(&bytes[at..]) {
                Ok(found) => found,
                Err(error) => {
                    return match record::find(&bytes[at + 1..]) {
                        Some(next) => {
                            let problem = format!("{}, and a good record follows at byte {}", error.0, at + 1 + next);
                            Err(corrupt(&path, at as u64, problem))
                        }
                        // What was being written when the machine stopped.
                        None => Ok(()),
                    };
                }
            };
            let bad = |problem: &str| corrupt(&path, at as u64, problem);
            if found.commit != self.after.commit {
                return Err(bad("a record is missing before it"));
            }
            if record::chained(&self.after.chain, &found.link) != found.chain {
                return Err(bad("its hash does not follow from the one before"));
            }
            match found.kind {
                RecordKind::Commit => {
                    self.note(at as u64);
                    let mut mark = self.after;
                    let (streams, ids) = (&mut self.streams, &mut self.ids);
                    let walked = walk(found.body, &mut mark, &mut self.sessions, |_, item| {
                        if let Item::Event(event) = item {
                            streams.insert(event.stream.clone(), event.position);
                            ids.push((event.id.as_u128(), event.version));
                        }
                        std::ops::ControlFlow::Continue(())
                    });
                    let _ = walked.map_err(|error| bad(error.0))?;
                    self.after = Mark { commit: mark.commit + 1, chain: found.chain, ..mark };
                }
                // A footer whose trailer was torn off: it is written again.
                RecordKind::Footer => return Ok(()),
                RecordKind::Compacted => return Err(bad("a compacted segment has records before it")),
            }
            self.last_record = Some(at as u64);
            at += found.length;
            self.end = at as u64;
        }
        Ok(())
    }

    /// A record begins at `offset`: it gets an entry in the index if it is far enough from the last one.
    pub fn note(&mut self, offset: u64) {
        if self.index.last().is_none_or(|last| offset - last.offset >= INDEX_EVERY) {
            self.index.push(IndexEntry { offset, before: self.after });
        }
    }

    /// The last place in the index that satisfies `early`, or the segment's beginning.
    pub fn place(&self, early: impl Fn(&Mark) -> bool) -> IndexEntry {
        let count = self.index.partition_point(|entry| early(&entry.before));
        let start = IndexEntry { offset: HEADER as u64, before: self.before };
        count.checked_sub(1).and_then(|at| self.index.get(at)).copied().unwrap_or(start)
    }
}

/// Every segment of a journal in order, linked to one another. The last one need not be sealed; a file that was being made
/// when the machine stopped is the second part of the answer.
pub(super) fn open_all(files: &dyn Files, folder: &str) -> Result<(Vec<Segment>, Option<String>), JournalError> {
    let names = files.list(folder).map_err(|error| JournalError::io("read", folder, error))?;
    let names: Vec<_> = names.into_iter().filter(|name| name.ends_with(".seg")).collect();
    let mut segments: Vec<Segment> = Vec::with_capacity(names.len());
    let mut unmade = None;
    for (at, name) in names.iter().enumerate() {
        let path = format!("{folder}/{name}");
        let before = segments.last().map_or_else(Mark::default, |last| last.after);
        if segments.last().is_some_and(|last| !last.sealed) {
            return Err(corrupt(&path, 0, "the segment before it has no end"));
        }
        match Segment::open(files, folder, name)? {
            Some(segment) if segment.before != before => {
                let expected = before.totals.version + 1;
                return Err(corrupt(&path, 0, format!("it does not follow on event {expected}; a segment is missing")));
            }
            Some(segment) => segments.push(segment),
            None if at + 1 == names.len() => unmade = Some(name.clone()),
            None => return Err(corrupt(&path, 0, "its header is cut")),
        }
    }
    Ok((segments, unmade))
}
