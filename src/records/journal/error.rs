//! Why the journal cannot do what was asked.

use std::io;

use super::log::Expected;
use crate::domain::ErrorCode;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error("the journal's {path} cannot be {verb}: {source}")]
    Io {
        /// What was to be done, as in "cannot be read".
        verb: &'static str,
        /// Which file, below the data directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A sync failed: nobody knows what of the last commit is on the disk.
    #[error(
        "the journal stopped: {path} could not be synced ({cause}); everything up to event {acknowledged} is on the disk, \
         what came after it was never acknowledged"
    )]
    SyncFailed {
        /// Which file.
        path: String,
        /// Why.
        cause: String,
        /// The last event that is known to be durable.
        acknowledged: u64,
    },
    /// A write failed, and nothing was written since.
    #[error(
        "the journal stopped: {path} could not be written ({cause}); everything up to event {acknowledged} is on the disk"
    )]
    WriteFailed {
        /// Which file.
        path: String,
        /// Why.
        cause: String,
        /// The last event that is known to be durable.
        acknowledged: u64,
    },
    /// What is on the disk is not what was written there.
    #[error(
        "the journal is damaged: {path} at byte {offset}: {problem}; good records follow or should, so nothing is cut"
    )]
    Corrupt {
        /// Which file.
        path: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// A later version of the program wrote it.
    #[error("the journal's {path} is of version {version}; this program reads up to version {known}")]
    Newer {
        /// Which file.
        path: String,
        /// Its version.
        version: u32,
        /// The newest that is known.
        known: u32,
    },
    /// A stream is not where the writer thought.
    #[error("stream `{stream}` is at version {actual}; it was expected {expected}")]
    Conflict {
        /// Which.
        stream: String,
        /// What was expected.
        expected: Expected,
        /// The stream's version: its last event's number in it, 0 when it has none.
        actual: u64,
    },
    /// An event id is taken.
    #[error("event {id} is in the journal already, as event {version} of all; an id names one event for ever")]
    Duplicate {
        /// The id.
        id: uuid::Uuid,
        /// The number of the event that has it.
        version: u64,
    },
    /// Not an event that can be kept.
    #[error("an event cannot be kept: {0}")]
    Invalid(String),
    /// A moment is outside of what is kept.
    #[error("{0}")]
    Temporal(String),
    /// Its writer is gone: it stopped for this reason.
    #[error("{0}")]
    Stopped(String),
    /// An upcaster is missing.
    #[error("{kind} of version {found} cannot be read as version {wanted}: no step leads on from version {stuck}")]
    Upcast {
        /// The event's type.
        kind: String,
        /// Its version.
        found: u16,
        /// The version that is asked for.
        wanted: u16,
        /// Where the chain of steps ends.
        stuck: u16,
    },
}

impl JournalError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } | Self::SyncFailed { .. } | Self::WriteFailed { .. } | Self::Stopped(_) => {
                ErrorCode::EventStore
            }
            Self::Corrupt { .. } => ErrorCode::EventSequence,
            Self::Newer { .. } | Self::Upcast { .. } => ErrorCode::EventDecode,
            Self::Conflict { .. } => ErrorCode::VersionConflict,
            Self::Duplicate { .. } | Self::Invalid(_) => ErrorCode::CommandInvalid,
            Self::Temporal(_) => ErrorCode::TemporalQuery,
        }
    }

    /// Whether what is kept is not what it claims to be, or may not be: exit code 4.
    pub const fn is_integrity(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Newer { .. } | Self::SyncFailed { .. } | Self::Upcast { .. })
    }

    pub(super) fn io(verb: &'static str, path: &str, source: io::Error) -> Self {
        Self::Io { verb, path: path.to_owned(), source }
    }
}
