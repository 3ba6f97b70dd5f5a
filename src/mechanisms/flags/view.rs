//! What the console sees of flags.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

use super::flag::Lifecycle;
use super::flagd::Generation;
use super::reason::Reason;

/// A flag, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagView {
    /// Its name.
    pub name: String,
    /// `boolean`, `30 %` or what it targets; for flagd's flags their default variant, `targeting` or `fractional v3`.
    pub rollout: String,
    /// Whether it can be on at all.
    pub enabled: bool,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// What it is for.
    pub description: String,
    /// Flags that must be on for it to be on.
    pub depends_on: Vec<String>,
    /// The label of the rule that it switches; a flag without one is evaluated only when something asks for it.
    pub rule: Option<String>,
    /// Numbers that it was evaluated for.
    pub evaluations: u64,
    /// Numbers among them that it was on for.
    pub on: u64,
    /// How often each reason was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<(Reason, u64)>,
    /// The variants of a flagd flag, in the file's order, with how often each was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<(String, u64)>,
    /// The targeting rule of a flagd flag in JSON, cut where it is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targeting: Option<String>,
    /// Why its targeting failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who changed it last, and when.
    pub changed: Option<(String, Timestamp)>,
}

/// The file of definitions in force, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileView {
    /// Its name.
    pub file: String,
    /// The generation of `fractional`.
    pub generation: Generation,
    /// When it was read anew; `None` while it is as it was at the start.
    pub loaded: Option<Timestamp>,
    /// What was wrong with it when it changed last, and when that was; the definitions from before are in force then.
    pub refused: Option<(String, Timestamp)>,
}

/// The mechanism, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagsView {
    /// Whether flags decide anything.
    pub enabled: bool,
    /// Where the flags come from, when that is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileView>,
    /// The flags, by name.
    pub flags: Vec<FlagView>,
    /// Changes by operators so far.
    pub changes: u64,
}
