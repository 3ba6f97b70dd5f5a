//! Time. The one place that reads a clock; everybody else is told what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// Which clock a session runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockKind {
    /// Durations are measured.
    #[default]
    Wall,
    /// Durations come from the model of service times; the same inputs give the same events, byte for byte.
    Virtual,
}

impl ClockKind {
    /// `wall` or `virtual`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Virtual => "virtual",
        }
    }
}

/// The wall clock: the date when the session began, and monotonic time since.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    began: Timestamp,
    origin: Instant,
}

impl WallClock {
    /// Reads the date once.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Timestamp::EPOCH + since_epoch, origin: Instant::now() }
    }

    /// The present moment. Never goes back.
    pub fn now(&self) -> Timestamp {
        self.began + self.origin.elapsed()
    }

    /// The instant at which it will be `moment`.
    pub fn instant(&self, moment: Timestamp) -> Instant {
        self.origin + moment.since(self.began)
    }

    /// When it was started.
    pub const fn began(&self) -> Timestamp {
        self.began
    }
}
