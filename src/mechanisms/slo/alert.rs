//! Alerts: how bad, and where they stand.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// How bad it is, by how far the last minute's share of good events is below the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// More than 5 points: answer within 5 minutes.
    P1,
    /// More than 1 point: within 15 minutes.
    P2,
    /// More than 0.1 points: within an hour.
    P3,
    /// Less: on the next business day.
    P4,
}

impl Severity {
    /// For a gap of this size, 0 to 1.
    pub fn of_gap(gap: f64) -> Self {
        match gap {
            gap if gap > 0.05 => Self::P1,
            gap if gap > 0.01 => Self::P2,
            gap if gap > 0.001 => Self::P3,
            _ => Self::P4,
        }
    }

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
        }
    }

    /// How soon somebody must look, and how they are told.
    pub const fn policy(self) -> &'static str {
        match self {
            Self::P1 => "within 5 min, by phone, SMS, mail and chat",
            Self::P2 => "within 15 min, by push, mail and chat",
            Self::P3 => "within 1 h, by mail and chat",
            Self::P4 => "next business day, by mail digest",
        }
    }
}

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

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// From 1, in order of firing.
    pub id: u64,
    /// For which objective.
    pub slo: String,
    /// How bad it was when it was worst.
    pub severity: Severity,
    /// What it means, in a sentence, as of its firing.
    pub message: String,
    /// Where it stands.
    pub state: AlertState,
    /// When it fired.
    pub fired: Timestamp,
    /// Who acknowledged it, and when.
    pub acknowledged: Option<(String, Timestamp)>,
    /// When its condition ended.
    pub resolved: Option<Timestamp>,
}
