//! The moments of a session that somebody looks for: alerts, faults, a breaker's steps, commands. Each is an event; the
//! index keeps them so that they can be found without reading the session.

use serde::{Deserialize, Serialize};

use crate::domain::{Event, Payload, Timestamp};

/// What kind of moment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MarkKind {
    /// An alert fired.
    #[serde(rename = "A")]
    Alert,
    /// Faults were armed or taken back.
    #[serde(rename = "F")]
    Fault,
    /// A breaker changed its state.
    #[serde(rename = "B")]
    Breaker,
    /// Somebody told the engine something.
    #[serde(rename = "C")]
    Command,
    /// A flag changed.
    #[serde(rename = "G")]
    Flag,
    /// A game day began or ended.
    #[serde(rename = "D")]
    Drill,
}

impl MarkKind {
    /// All of them, the gravest first: where several share a place, the first is drawn.
    pub const ALL: [Self; 6] = [Self::Alert, Self::Breaker, Self::Fault, Self::Drill, Self::Command, Self::Flag];

    /// The letter on charts and in files.
    pub const fn letter(self) -> char {
        match self {
            Self::Alert => 'A',
            Self::Fault => 'F',
            Self::Breaker => 'B',
            Self::Command => 'C',
            Self::Flag => 'G',
            Self::Drill => 'D',
        }
    }

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Fault => "fault",
            Self::Breaker => "breaker transition",
            Self::Command => "command",
            Self::Flag => "flag",
            Self::Drill => "game day",
        }
    }

    /// The one of an event; most have none.
    pub const fn of(event: &Event) -> Option<Self> {
        Some(match &event.payload {
            Payload::SlaAlertFired { .. } => Self::Alert,
            Payload::ChaosMonkeyActivated { .. } => Self::Fault,
            Payload::CircuitBreakerStateChanged { .. } => Self::Breaker,
            Payload::CommandAccepted { .. } | Payload::CommandRefused { .. } => Self::Command,
            Payload::FlagStateChanged { .. } => Self::Flag,
            Payload::ChaosGamedayStarted { .. } | Payload::ChaosGamedayEnded { .. } => Self::Drill,
            _ => return None,
        })
    }
}

/// A marked moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// The event's number.
    pub event: u64,
    /// What.
    pub kind: MarkKind,
}

impl Mark {
    /// Of an event, if it is a marked one.
    pub fn of(event: &Event) -> Option<Self> {
        MarkKind::of(event).map(|kind| Self { at: event.at, event: event.sequence, kind })
    }
}
