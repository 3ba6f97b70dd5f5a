//! Session files: what a session showed, written as it runs, read back at any moment, and proved.
//!
//! The format is described in docs/session-format.md: chunks of about a second, each zstd frames of JSON lines, so
//! `zstdcat FILE | jq` reads it. A file that was cut off is readable up to its last whole chunk. This room draws nothing
//! and looks at no clock but the engine's.
//!
//! ```
//! use fizzops::domain::EventMask;
//! use fizzops::engine::{Engine, Options, Settings, WorkloadKind};
//! use fizzops::recording::{Header, Recorder, Recording};
//!
//! let mut settings = Settings::everything();
//! settings.workload.kind = WorkloadKind::Range;
//! (settings.workload.to, settings.workload.rate) = (5_000, 1_000);
//! let options = Options { events: EventMask::operations(), ..Options::simulated(7) };
//! let mut engine = Engine::new(&settings, options).unwrap();
//! let file = tempfile::NamedTempFile::new().unwrap();
//! let mut recorder = Recorder::create(file.path(), &Header::new(engine.info(), &settings)).unwrap();
//! while let Some(due) = engine.next_due() {
//!     engine.advance(due + std::time::Duration::from_millis(100), 100_000);
//!     recorder.frame(&engine.frame()).unwrap();
//! }
//! recorder.finish(engine.ledger_head()).unwrap();
//!
//! let mut recording = Recording::open(file.path()).unwrap();
//! assert_eq!(recording.damage(), None);
//! let last = recording.frame(recording.frames() - 1).unwrap();
//! assert!(last.snapshot.finished && last.snapshot.counts.evaluations == 5_000);
//! ```

mod background;
mod calls;
mod chunk;
mod compare;
mod grid;
mod header;
mod marks;
mod notes;
mod pack;
mod reader;
mod redact;
mod repeat;
mod sections;
mod verify;
mod writer;

pub use background::Background;
pub use compare::{Difference, compare};
pub use header::{Events, Footer, Given, Header};
pub use marks::{Mark, MarkKind};
pub use notes::{Note, Notes, NotesError};
pub use reader::{ChunkInfo, Moment, Recording, RecordingError};
pub use redact::{RedactError, Redaction, redact};
pub use repeat::{Repeated, repeat};
pub use verify::{Fault, Verified, verify};
pub use writer::Recorder;

/// What a file of this format calls itself.
pub const FORMAT: &str = "fizzops-session";
/// The version that this program writes, and the only one it reads.
pub const VERSION: u32 = 2;

#[cfg(test)]
mod tests;
