//! Compaction: old segments give back their room. What is left of one are the hashes of its records, so that the chain can
//! still be followed from the first event on and anybody who kept a record can prove that it was in it, the streams'
//! positions, and the names of events, so that none is appended again.

use super::record::{self, Hash};
use super::segment::{HEADER, Segment};
use super::{JournalError, Log};
use crate::domain::Timestamp;
use crate::records::files::replace;

/// What is kept. A segment goes only when every condition that is given lets it go, and only whole; the one being written
/// never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// At least so many of the last events.
    pub events: Option<u64>,
    /// Everything after this moment.
    pub since: Option<Timestamp>,
}

/// What compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactReport {
    /// Segments that were compacted now.
    pub segments: u64,
    /// Events that went with them.
    pub events: u64,
    /// Bytes given back.
    pub bytes: u64,
    /// The number of the first event that is kept.
    pub first: u64,
}

impl Log {
    /// Lets go of what `retention` does not ask to keep. Each segment is replaced at once: a crash leaves the old one or
    /// the compacted one.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when a segment is not what it should be (it is left as it is); [`JournalError::Io`].
    pub fn compact(&mut self, retention: Retention) -> Result<CompactReport, JournalError> {
        self.check()?;
        let keep_from = retention.events.map_or(u64::MAX, |events| self.acknowledged().saturating_sub(events));
        let since = retention.since.map_or(u64::MAX, Timestamp::as_nanos);
        let mut report = CompactReport { first: 1, ..CompactReport::default() };
        for at in 0..self.closed.len() {
            let Some(segment) = self.closed.get(at) else { break };
            if segment.after.totals.version > keep_from || segment.after.time >= since {
                break;
            }
            report.first = segment.after.totals.version + 1;
            if segment.compacted {
                continue;
            }
            let path = format!("{}/{}", self.folder, segment.name);
            let size = self.files.size(&path).map_err(|error| JournalError::io("read", &path, error))?;
            let left = segment.compacted(&self.links(segment, &path)?);
            replace(&*self.files, &self.folder, &segment.name, &left)
                .map_err(|error| JournalError::io("written", &path, error))?;
            report.segments += 1;
            report.events += segment.after.totals.version - segment.before.totals.version;
            report.bytes += size.saturating_sub(left.len() as u64);
            if let Some(segment) = self.closed.get_mut(at) {
                segment.compacted = true;
                segment.index.clear();
                segment.sessions.clear();
            }
        }
        Ok(report)
    }

    /// The hashes of a segment's records, its footer's included.
    fn links(&self, segment: &Segment, path: &str) -> Result<Vec<Hash>, JournalError> {
        let bytes = self.files.read(path, 0, usize::MAX).map_err(|error| JournalError::io("read", path, error))?;
        let mut links = Vec::new();
        let mut chain = segment.before.chain;
        let mut at = HEADER;
        let corrupt = |at: usize, problem: &str| JournalError::Corrupt {
            path: path.to_owned(),
            offset: at as u64,
            problem: problem.to_owned(),
        };
        while at as u64 <= segment.end {
            let rest = bytes.get(at..).unwrap_or_default();
            let found = record::read(rest).map_err(|error| corrupt(at, error.0))?;
            chain = record::chained(&chain, &found.link);
            if chain != found.chain {
                return Err(corrupt(at, "its hash does not follow from the one before"));
            }
            links.push(found.link);
            at += found.length;
        }
        if chain != segment.after.chain {
            return Err(corrupt(at, "its records do not lead to its end"));
        }
        Ok(links)
    }
}
