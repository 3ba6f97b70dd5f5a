//! Alerts: how bad, where they stand, and who is told next.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Critical: answer within 5 minutes.
    P1,
    /// High: within 15 minutes.
    P2,
    /// Medium: within an hour.
    P3,
    /// Low: on the next business day.
    P4,
}

impl Severity {
    /// All four, the worst first.
    pub const ALL: [Self; 4] = [Self::P1, Self::P2, Self::P3, Self::P4];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
        }
    }

    /// `P1` to `P4` in any case, the reference's words, or the field's: a page is a P1, a ticket a P3. `None` for others.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "p1" | "critical" | "page" | "sev1" => Some(Self::P1),
            "p2" | "high" | "sev2" => Some(Self::P2),
            "p3" | "medium" | "warning" | "ticket" | "sev3" => Some(Self::P3),
            "p4" | "low" | "info" | "sev4" => Some(Self::P4),
            _ => None,
        }
    }

    /// Whether somebody is woken for it, or a ticket is enough.
    pub const fn pages(self) -> bool {
        matches!(self, Self::P1 | Self::P2)
    }

    /// How soon somebody must look.
    pub const fn response(self) -> &'static str {
        match self {
            Self::P1 => "within 5 min",
            Self::P2 => "within 15 min",
            Self::P3 => "within 1 h",
            Self::P4 => "next business day",
        }
    }

    /// How they are told.
    pub const fn channels(self) -> &'static [&'static str] {
        match self {
            Self::P1 => &["phone", "SMS", "email", "chat"],
            Self::P2 => &["push", "email", "chat"],
            Self::P3 => &["email", "chat"],
            Self::P4 => &["email digest"],
        }
    }
}

/// The escalation chain: who acts, and how. An alert that nobody acknowledges goes one up after each timeout.
pub const CHAIN: [(&str, &str); 4] = [
    ("On-Call Engineer", "acknowledges and investigates"),
    ("Senior Engineer", "takes over and calls in whoever is needed"),
    ("Principal Incident Commander", "declares an incident and leads it"),
    ("VP of Engineering", "informs customers on the status page"),
];

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has looked yet.
    Firing,
    /// Somebody is on it.
    Acknowledged,
    /// Its condition has ended.
    Resolved,
}

/// An alert. An objective has at most one at a time: what gets worse raises it, and is told again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// From 1, in order of firing.
    pub id: u64,
    /// For which objective.
    pub slo: String,
    /// How bad it was when it was worst.
    pub severity: Severity,
    /// The rule that fired, or that raised it last.
    pub rule: String,
    /// What it means, in a sentence, as of its firing or its raising.
    pub message: String,
    /// Where it stands.
    pub state: AlertState,
    /// When it fired.
    pub fired: Timestamp,
    /// When its severity last got worse.
    pub raised: Option<Timestamp>,
    /// How far up the chain it has gone, from 1.
    pub level: u8,
    /// How people are told.
    pub channels: Vec<String>,
    /// Who acknowledged it, and when.
    pub acknowledged: Option<(String, Timestamp)>,
    /// When its condition ended.
    pub resolved: Option<Timestamp>,
}
