//! Service levels, as they are shown.

use serde::{Deserialize, Serialize};

use super::alert::{Alert, Severity};
use super::ring::Ratio;
use crate::domain::Timestamp;

/// A service level at a moment: what decisions are made by, without what is there to be read.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceLevel {
    /// The objective's name.
    pub name: String,
    /// How many times faster than allowed its budget burns; `None` with nothing counted.
    pub burn_rate: Option<f64>,
    /// The share of its budget that is left.
    pub budget_left: f64,
    /// Whether it has an alert that has not been resolved.
    pub alerting: bool,
}

/// An objective, as it is shown. Spans are of the engine's clock, whatever the time scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SloView {
    /// Its name: `latency`, `accuracy`, `availability`, or what its document says.
    pub name: String,
    /// What is promised, in words.
    pub objective: String,
    /// What a bad event is, as in "4 % were wrong".
    pub bad: String,
    /// The share that must be good.
    pub target: f64,
    /// The budget's period, in words: `rolling 30d`.
    pub window: String,
    /// What the budget is counted in: `occurrences`, `timeslices` or `ratio timeslices`.
    pub budgeting: String,
    /// Events over the session.
    pub session: Ratio,
    /// Events over the last minute.
    pub minute: Ratio,
    /// What was counted in the period: events, or slices (in billionths for `ratio timeslices`).
    pub period: Ratio,
    /// How many times faster than allowed the budget burned lately; absent while nothing was counted.
    pub burn_rate: Option<f64>,
    /// The share of the period's budget that is left: 1 is all, below 0 is overspent.
    pub budget_left: f64,
    /// In a word: `normal`, `caution` (at most half left), `elevated` (a quarter), `critical` (a tenth), `exhausted`.
    pub tier: String,
    /// How long the rest lasts at that rate, milliseconds; absent when it outlasts its period.
    pub lasts_ms: Option<u64>,
    /// What ate the period's budget: the cause and its share, the largest first.
    pub eaten: Vec<(String, f64)>,
    /// The alert rules.
    pub rules: Vec<RuleView>,
    /// The active alert's severity.
    pub alert: Option<Severity>,
}

/// An alert rule, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// Its windows, in words: `1h` and `5m`.
    pub long: String,
    /// The short one.
    pub short: Option<String>,
    /// How the burn rates are compared with the factor: `>`.
    pub op: String,
    /// The burn rate beyond which it fires.
    pub factor: f64,
    /// The burn rate over the long window.
    pub long_burn: Option<f64>,
    /// The burn rate over the short window.
    pub short_burn: Option<f64>,
    /// Whether it fires now.
    pub holds: bool,
}

/// Somebody in the escalation chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// From 1.
    pub level: u8,
    /// What they are.
    pub title: String,
    /// Who.
    pub name: String,
}

/// The mechanism, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlosView {
    /// Whether service levels are watched.
    pub enabled: bool,
    /// How many times shorter than they say periods and windows are.
    pub time_scale: u32,
    /// The objectives.
    pub slos: Vec<SloView>,
    /// Alerts that have not been resolved, oldest first.
    pub active: Vec<Alert>,
    /// The last ones that have, oldest first.
    pub resolved: Vec<Alert>,
    /// Alerts that fired so far.
    pub fired: u64,
    /// Why no game day may begin now.
    pub game_days_refused: Option<String>,
    /// Who is on call, and until when.
    pub on_call: String,
    /// When the next engineer takes over.
    pub on_call_until: Timestamp,
    /// Who is next.
    pub on_call_next: String,
    /// The team.
    pub team: String,
    /// The escalation chain, from the first level on.
    pub escalation: Vec<LinkView>,
}

/// What is left of a budget, in a word (the tiers of the reference).
pub(super) const fn tier(left: f64) -> &'static str {
    match left {
        left if left <= 0.0 => "exhausted",
        left if left < 0.1 => "critical",
        left if left < 0.25 => "elevated",
        left if left <= 0.5 => "caution",
        _ => "normal",
    }
}
