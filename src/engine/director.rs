//! Something that drives the engine by commands at exact moments: a game day. The engine knows only this trait, so that
//! a drill is the same whether it was started from the console, headless, or from afar.

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::tally::Counts;
use crate::domain::{Evaluation, Timestamp};
use crate::mechanisms::chaos::Fault;

/// What a director may look at when it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The engine's present moment.
    pub now: Timestamp,
    /// The session's counts.
    pub counts: &'a Counts,
    /// How often breakers tripped in the session.
    pub breaker_trips: u64,
    /// Breakers that would refuse a call now.
    pub breakers_open: u32,
    /// Alerts that fired in the session.
    pub alerts_fired: u64,
    /// The chaos level, 0 for off.
    pub chaos_level: u8,
    /// What is armed.
    pub armed: &'a [Fault],
    /// Injections in the session.
    pub injections: u64,
}

/// Whether a drill goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It goes on.
    Continue,
    /// It is over: its view is final.
    Done,
}

/// A drill that is running.
pub trait Director: Send {
    /// Called for each finished evaluation, in order.
    fn observe(&mut self, at: Timestamp, evaluation: &Evaluation);

    /// Called after each `observe`, and at its own [`Director::wake`]. Commands that it adds are carried out at once, in
    /// order, before anything else happens.
    fn direct(&mut self, moment: &Moment<'_>, commands: &mut Vec<Command>) -> Direction;

    /// When it wants to be asked even if nothing finishes.
    fn wake(&self) -> Option<Timestamp>;

    /// Ends it before its time: it adds the commands that take back what it did; its view is final then.
    fn abort(&mut self, by: &str, moment: &Moment<'_>, commands: &mut Vec<Command>);

    /// As it is shown.
    fn view(&self) -> DrillView;
}

/// Where drills come from.
pub trait Playbook: Send + Sync {
    /// All of them, by name.
    fn scenarios(&self) -> Vec<ScenarioView>;

    /// Starts one.
    ///
    /// # Errors
    /// A sentence for the operator: no such scenario (naming the nearest), or one that cannot start.
    fn start(&self, name: &str, moment: &Moment<'_>) -> Result<Box<dyn Director>, String>;
}

/// A scenario, as the menu shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioView {
    /// What it is started by.
    pub name: String,
    /// One line.
    pub title: String,
    /// A few lines on what it does.
    pub description: String,
    /// What the drill teaches.
    pub teaches: String,
    /// Its phases, a line each.
    pub phases: Vec<String>,
    /// What is expected, a line each.
    pub expectations: Vec<String>,
    /// Evaluations that it takes in all.
    pub evaluations: u64,
}

/// How a drill ended, or that it has not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It runs.
    Running,
    /// Every expectation held.
    Held,
    /// At least one did not.
    NotHeld,
    /// It was ended before its time.
    Aborted,
    /// The steady state did not hold before, so nothing was injected.
    NeverRan,
}

impl Verdict {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Held => "held",
            Self::NotHeld => "not held",
            Self::Aborted => "aborted",
            Self::NeverRan => "never ran",
        }
    }
}

/// Where an expectation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not decided yet.
    Pending,
    /// It held.
    Held,
    /// It did not.
    Failed,
}

/// One phase of a drill, with what happened in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseView {
    /// Its name.
    pub name: String,
    /// What is armed in it, in words.
    pub armed: String,
    /// Evaluations that it takes.
    pub planned: u64,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What finished within it.
    pub counts: Counts,
    /// The 99th percentile of latency within it, nanoseconds.
    pub p99_ns: u64,
    /// Injections within it.
    pub injections: u64,
    /// Breaker trips within it.
    pub breaker_trips: u64,
}

/// One expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectationView {
    /// In words.
    pub text: String,
    /// Where it stands.
    pub standing: Standing,
    /// The figure that was found, in words; empty while pending with nothing counted.
    pub actual: String,
}

/// A drill, as it is shown. After its end it stays until the next one starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillView {
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The phase that runs, or the last one that did.
    pub phase: usize,
    /// All phases.
    pub phases: Vec<PhaseView>,
    /// All expectations.
    pub expectations: Vec<ExpectationView>,
    /// How it stands.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
}
