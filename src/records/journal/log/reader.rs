//! Reading a journal, also while an engine writes it: what is read is what was durable when the reader was opened.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::record::{self, RecordKind};
use super::segment::{HEADER, IndexEntry, Mark, Segment, open_all, walk};
use super::totals::fact_count;
use super::{JournalError, StoredEvent, Totals, hex};
use crate::domain::Timestamp;
use crate::records::files::Files;

pub use super::segment::Item;

/// A moment of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the event with this number.
    Version(u64),
    /// After the last event of which, and of everything before it, the time is at or before this one.
    Time(Timestamp),
}

/// A journal, open for reading.
#[derive(Debug)]
pub struct Reader {
    files: Arc<dyn Files>,
    folder: String,
    segments: Vec<Segment>,
}

/// What [`Reader::verify`] went over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments.
    pub segments: usize,
    /// Those of them that were compacted: their hashes were checked, their events are gone.
    pub compacted: usize,
    /// Commits that were read.
    pub commits: u64,
    /// What follows from all events.
    pub totals: Totals,
    /// The head of the chain of hashes, in hexadecimal.
    pub head: String,
}

impl Reader {
    /// Opens the journal in `folder` as it is now. A torn tail is not read; it is cut when an engine opens the journal.
    ///
    /// # Errors
    /// As [`Log::open`](super::Log::open).
    pub fn open(files: Arc<dyn Files>, folder: &str) -> Result<Self, JournalError> {
        let (segments, _) = open_all(&*files, folder)?;
        Ok(Self { files, folder: folder.to_owned(), segments })
    }

    fn last(&self) -> Mark {
        self.segments.last().map_or_else(Mark::default, |last| last.after)
    }

    /// What follows from all events.
    pub fn totals(&self) -> Totals {
        self.last().totals
    }

    /// The head of the chain of hashes, in hexadecimal.
    pub fn head(&self) -> String {
        hex(&self.last().chain)
    }

    /// How many segments there are.
    pub const fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The number of the first event that compaction left; 1 when there was none.
    pub fn first(&self) -> u64 {
        self.segments.iter().take_while(|segment| segment.compacted).last().map_or(0, |last| last.after.totals.version)
            + 1
    }

    /// Streams with the position of their last event, in order of their names.
    pub fn streams(&self) -> std::collections::BTreeMap<String, u64> {
        let all = self.segments.iter().flat_map(|segment| &segment.streams);
        all.map(|(stream, position)| (stream.clone(), *position)).collect()
    }

    /// How many bytes the journal takes.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn bytes(&self) -> Result<u64, JournalError> {
        self.segments.iter().map(|segment| self.size(segment)).sum()
    }

    fn size(&self, segment: &Segment) -> Result<u64, JournalError> {
        let path = self.path(segment);
        self.files.size(&path).map_err(|error| JournalError::io("read", &path, error))
    }

    fn path(&self, segment: &Segment) -> String {
        format!("{}/{}", self.folder, segment.name)
    }

    /// Bytes behind the last record that are none, with the file's name and where they begin: what a machine that stopped
    /// left of a commit, what an engine is just writing, or damage.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn torn(&self) -> Result<Option<(String, u64, u64)>, JournalError> {
        let Some(last) = self.segments.last().filter(|last| !last.sealed) else { return Ok(None) };
        let size = self.size(last)?;
        Ok((size > last.end).then(|| (self.path(last), last.end, size - last.end)))
    }

    /// Goes over a segment's commits in `[start, end)`. The visitor sees the mark before each item.
    fn walk(
        &self,
        segment: &Segment,
        start: IndexEntry,
        end: u64,
        mut visit: impl FnMut(&Mark, Item<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, JournalError> {
        let path = self.path(segment);
        let length = usize::try_from(end.saturating_sub(start.offset)).unwrap_or(usize::MAX);
        let bytes = self.files.read(&path, start.offset, length);
        let bytes = bytes.map_err(|error| JournalError::io("read", &path, error))?;
        let mut mark = start.before;
        let mut sessions = segment.sessions.clone();
        let mut at = 0;
        while at < bytes.len() {
            let offset = start.offset + at as u64;
            let corrupt =
                |problem: &str| JournalError::Corrupt { path: path.clone(), offset, problem: problem.to_owned() };
            let found = record::read(&bytes[at..]).map_err(|error| corrupt(error.0))?;
            if found.kind != RecordKind::Commit {
                break;
            }
            if found.commit != mark.commit {
                return Err(corrupt("a record is missing before it"));
            }
            let chain = record::chained(&mark.chain, &found.link);
            if chain != found.chain {
                return Err(corrupt("its hash does not follow from the one before"));
            }
            if walk(found.body, &mut mark, &mut sessions, &mut visit).map_err(|error| corrupt(error.0))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            mark = Mark { commit: mark.commit + 1, chain, ..mark };
            at += found.length;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Shows `visit` every evaluation and event behind the event number `after`, in order, until it breaks.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`], [`JournalError::Io`]; [`JournalError::Temporal`] when compaction took what is asked for.
    pub fn visit(&self, after: u64, mut visit: impl FnMut(Item<'_>) -> ControlFlow<()>) -> Result<(), JournalError> {
        for segment in self.segments.iter().filter(|segment| segment.after.totals.version > after) {
            self.check_kept(segment)?;
            let start = segment.place(|before| before.totals.version <= after);
            let flow = self.walk(segment, start, segment.end, |mark, item| {
                let behind = match &item {
                    Item::Evaluation { evaluation, .. } => mark.totals.version + fact_count(evaluation) > after,
                    Item::Event(event) => event.version > after,
                };
                if behind { visit(item) } else { ControlFlow::Continue(()) }
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Shows `visit` every event behind the event number `after` that is no evaluation, in order, until it breaks. Stretches
    /// of evaluations alone are not read where the index tells of them.
    ///
    /// # Errors
    /// As [`Reader::visit`].
    pub fn events(
        &self,
        after: u64,
        mut visit: impl FnMut(&StoredEvent) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        for segment in self.segments.iter().filter(|segment| segment.after.totals.version > after) {
            if segment.after.totals.others == segment.before.totals.others {
                continue;
            }
            self.check_kept(segment)?;
            for (at, entry) in segment.index.iter().enumerate() {
                let next = segment.index.get(at + 1);
                let (end, then) = next.map_or((segment.end, segment.after), |next| (next.offset, next.before));
                if then.totals.version <= after || then.totals.others == entry.before.totals.others {
                    continue;
                }
                let flow = self.walk(segment, *entry, end, |_, item| match item {
                    Item::Event(event) if event.version > after => visit(event),
                    _ => ControlFlow::Continue(()),
                })?;
                if flow.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn check_kept(&self, segment: &Segment) -> Result<(), JournalError> {
        if segment.compacted {
            let first = self.first();
            return Err(JournalError::Temporal(format!(
                "events {} to {} were compacted; what is kept begins with event {first}",
                segment.before.totals.version + 1,
                segment.after.totals.version
            )));
        }
        Ok(())
    }

    /// The event number at which a moment is, which a visitor or a projection can be taken to.
    ///
    /// # Errors
    /// As [`Reader::as_of`].
    pub fn version_at(&self, moment: Moment) -> Result<u64, JournalError> {
        self.as_of(moment).map(|totals| totals.version)
    }

    /// What followed from the events at a moment: from the nearest entry of the index on, so that it takes the same time
    /// however long the journal is.
    ///
    /// # Errors
    /// [`JournalError::Temporal`] for an event that is not there yet or was compacted; [`JournalError::Corrupt`],
    /// [`JournalError::Io`].
    pub fn as_of(&self, moment: Moment) -> Result<Totals, JournalError> {
        let last = self.last();
        if let Moment::Version(version) = moment
            && version > last.totals.version
        {
            let problem = format!("there is no event {version} yet; the last one is {}", last.totals.version);
            return Err(JournalError::Temporal(problem));
        }
        let early = |mark: &Mark| match moment {
            Moment::Version(version) => mark.totals.version <= version,
            Moment::Time(time) => mark.time <= time.as_nanos(),
        };
        if early(&last) {
            return Ok(last.totals);
        }
        let at = self.segments.partition_point(|segment| early(&segment.before));
        let Some(segment) = at.checked_sub(1).and_then(|at| self.segments.get(at)) else {
            return Ok(Totals::default());
        };
        if moment == Moment::Version(segment.before.totals.version) {
            return Ok(segment.before.totals);
        }
        self.check_kept(segment)?;
        let start = segment.place(early);
        let next = segment.index.partition_point(|entry| entry.offset <= start.offset);
        let end = segment.index.get(next).map_or(segment.end, |entry| entry.offset);
        let mut state = start.before.totals;
        let _ = self.walk(segment, start, end, |mark, item| {
            state = mark.totals;
            match (item, moment) {
                (Item::Evaluation { at, .. }, Moment::Time(time)) if at > time => ControlFlow::Break(()),
                (Item::Event(event), Moment::Time(time)) if event.at > time => ControlFlow::Break(()),
                (Item::Evaluation { evaluation, session, .. }, Moment::Version(version)) => {
                    let left = version - mark.totals.version;
                    state.part_of(evaluation, session.classifier(), left);
                    if fact_count(evaluation) > left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
                (Item::Event(event), Moment::Version(version)) if event.version > version => ControlFlow::Break(()),
                (Item::Evaluation { evaluation, session, .. }, Moment::Time(_)) => {
                    state.evaluation(evaluation, session.classifier());
                    ControlFlow::Continue(())
                }
                (Item::Event(_), _) => {
                    state.other();
                    ControlFlow::Continue(())
                }
            }
        })?;
        Ok(state)
    }

    /// Reads everything and checks it against everything else: checksums, the chain of hashes, the numbers of events and
    /// commits, the positions in streams, and what the indexes say.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] with the place; [`JournalError::Io`].
    pub fn verify(&self) -> Result<VerifyReport, JournalError> {
        let mut report = VerifyReport {
            segments: self.segments.len(),
            compacted: 0,
            commits: 0,
            totals: self.totals(),
            head: self.head(),
        };
        let mut positions = std::collections::BTreeMap::new();
        for segment in &self.segments {
            if segment.compacted {
                report.compacted += 1;
                positions.extend(segment.streams.clone());
                continue;
            }
            let start = IndexEntry { offset: HEADER as u64, before: segment.before };
            let (mut state, mut wrong) = (segment.before.totals, None);
            let mut entries = segment.index.iter().peekable();
            let _ = self.walk(segment, start, segment.end, |mark, item| {
                while let Some(entry) = entries.next_if(|entry| entry.before.commit <= mark.commit) {
                    if entry.before.commit == mark.commit && entry.before.totals.version > mark.totals.version {
                        wrong.get_or_insert_with(|| "the index does not tell what is there".to_owned());
                    }
                }
                state = mark.totals;
                match item {
                    Item::Evaluation { evaluation, session, .. } => state.evaluation(evaluation, session.classifier()),
                    Item::Event(event) => {
                        state.other();
                        let position = positions.entry(event.stream.clone()).or_insert(0);
                        *position += 1;
                        if *position != event.position {
                            wrong.get_or_insert_with(|| {
                                format!(
                                    "event {} is number {} of its stream, not {position}",
                                    event.version, event.position
                                )
                            });
                        }
                    }
                }
                ControlFlow::Continue(())
            })?;
            if state != segment.after.totals {
                wrong.get_or_insert_with(|| "its footer does not tell what is there".to_owned());
            }
            if let Some(problem) = wrong {
                return Err(JournalError::Corrupt { path: self.path(segment), offset: segment.end, problem });
            }
            report.commits += segment.after.commit - segment.before.commit;
        }
        Ok(report)
    }
}
