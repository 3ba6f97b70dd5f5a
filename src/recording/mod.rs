//! Session files: what a session showed, written as it runs, and read back as frames.
//!
//! The format is described in docs/session-format.md: zstd frames of JSON lines, so `zstdcat FILE | jq` reads it. A file
//! that was cut off is readable up to the last whole line of its last whole zstd frame.

mod reader;
mod writer;

use serde::{Deserialize, Serialize};

pub use reader::{Recording, RecordingError};
pub use writer::Recorder;

use crate::engine::{SessionInfo, Settings};

/// What a file of this format calls itself.
pub const FORMAT: &str = "fizzops-session";
/// The version that this program writes, and the only one it reads.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// What does not change in the session.
    pub info: SessionInfo,
    /// Its resolved configuration.
    pub settings: Settings,
}

/// The last line of a session that ended in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    /// How many frames there are.
    pub frames: u64,
    /// The ledger's head at the end.
    pub ledger_head: Option<String>,
}

/// A line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<H, F> {
    Header(H),
    Frame(F),
    Footer(Footer),
}

#[cfg(test)]
mod tests;
