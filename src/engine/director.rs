//! Something that drives the engine by commands at exact moments: a game day. The engine knows only this trait, so that
//! a drill is the same whether it was started from the console, headless, or from afar.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::tally::Counts;
use crate::domain::{Evaluation, Timestamp};
use crate::mechanisms::breaker::State;
use crate::mechanisms::chaos::Fault;
use crate::mechanisms::limits::Rate;
use crate::mechanisms::slo::ServiceLevel;

/// What a director may look at when it is asked.
#[derive(Clone, Copy)]
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
    /// Injections in force.
    pub injections_active: u32,
    /// Evaluations that were hit in the session.
    pub injections: u64,
    /// Look-ups that found an answer in the cache, and those that did not.
    pub cache: [u64; 2],
    /// Further attempts in the session.
    pub retries: u64,
    /// The service levels, as of the end of the last second.
    pub levels: &'a [ServiceLevel],
    /// What is looked up by name.
    pub state: &'a dyn Lookup,
}

/// The state of what has a name.
pub trait Lookup {
    /// Whether a flag is on; `None` when there is none of that name.
    fn flag(&self, name: &str) -> Option<bool>;
    /// A breaker's state.
    fn breaker(&self, name: &str) -> Option<State>;
    /// Whether the bulkhead is on, and how many places it has.
    fn bulkhead(&self) -> (bool, u32);
    /// Whether the limiter is on, and its rate.
    fn limiter(&self) -> (bool, Rate);
    /// Whether there is a dependency of that name.
    fn dependency(&self, name: &str) -> bool;
    /// Whether there is a rule with that label.
    fn rule(&self, label: &str) -> bool;
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
    /// Called for each finished evaluation, in order. `response` is what its caller waited, counted from the moment when
    /// it was meant to be asked.
    fn observe(&mut self, at: Timestamp, evaluation: &Evaluation, response: Duration);

    /// Called after each `observe`, and at its own [`Director::wake`]. Commands that it adds are carried out at once, in
    /// order, before anything else happens.
    fn direct(&mut self, moment: &Moment<'_>, commands: &mut Vec<Command>) -> Direction;

    /// When it wants to be asked even if nothing finishes.
    fn wake(&self) -> Option<Timestamp>;

    /// Ends it before its time: it adds the commands that take back what it did, and goes on only to see whether the
    /// steady state is back.
    fn abort(&mut self, by: &str, moment: &Moment<'_>, commands: &mut Vec<Command>);

    /// The session ends: whatever it still has to do it does now, and its view is final.
    fn close(&mut self, by: &str, moment: &Moment<'_>, commands: &mut Vec<Command>);

    /// Makes the running phase longer by its own length.
    ///
    /// # Errors
    /// Why it may not be, for the operator.
    fn extend(&mut self) -> Result<String, String>;

    /// Nothing was evaluated for this long, because the session was paused: what is measured in time waits with it.
    fn shift(&mut self, by: Duration);

    /// Expectations that were decided since the last call.
    fn decided(&mut self) -> Vec<ExpectationView>;

    /// Its scenario's name.
    fn scenario(&self) -> &str;

    /// As it is shown.
    fn view(&self) -> DrillView;
}

/// Where drills come from.
pub trait Playbook: Send + Sync {
    /// All of them, by name, with what each needs that a session with these service levels, in this state, has not.
    fn scenarios(&self, levels: &[&str], state: &dyn Lookup) -> Vec<ScenarioView>;

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
    /// How long it takes, in words.
    pub length: String,
    /// What it is about, a word each.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What it needs that this session has not, in words; empty when it can start.
    #[serde(default)]
    pub needs: String,
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
    /// No expectation failed, but at least one had too few evaluations to be judged by.
    Inconclusive,
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
            Self::Inconclusive => "inconclusive",
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
    /// There were too few evaluations to judge by.
    Inconclusive,
}

impl Standing {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Failed => "not held",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// One phase of a drill, with what happened in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseView {
    /// Its name.
    pub name: String,
    /// What is armed in it, in words.
    pub armed: String,
    /// How long it takes, in words.
    pub planned: String,
    /// How much of it is done, 0 to 1.
    pub done: f64,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What finished within it.
    pub counts: Counts,
    /// The median latency within it, nanoseconds.
    pub p50_ns: u64,
    /// The 99th percentile of latency within it, nanoseconds.
    pub p99_ns: u64,
    /// The 99th percentile, counted from when evaluations were meant to begin, nanoseconds.
    pub response_p99_ns: u64,
    /// The longest, counted so, nanoseconds.
    pub response_max_ns: u64,
    /// Injections within it.
    pub injections: u64,
    /// Breaker trips within it.
    pub breaker_trips: u64,
    /// Alerts that fired within it.
    pub alerts: u64,
    /// Further attempts within it.
    pub retries: u64,
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
    /// When it was decided.
    pub at: Option<Timestamp>,
}

/// A stop condition, and how far from it the drill is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopView {
    /// As it is written.
    pub text: String,
    /// The figures that it is about, in words.
    pub now: String,
    /// Whether it was met.
    pub met: bool,
}

/// The moments of the incident that a drill made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Incident {
    /// The first evaluation that was hit.
    pub onset: Option<Timestamp>,
    /// The first alert that fired, or the first breaker that opened, after it.
    pub detected: Option<Timestamp>,
    /// Which of the two.
    pub detected_by: String,
    /// When callers were first kept from the faults: a breaker opened, or everything was taken back.
    pub mitigated: Option<Timestamp>,
    /// The last bad answer before the steady state held again.
    pub recovered: Option<Timestamp>,
}

/// What became of the evaluations that were hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Absorbed {
    /// Evaluations that were hit.
    pub hit: u64,
    /// Among them: right in the end, because another attempt was made.
    pub by_retry: u64,
    /// Among them: right all the same, though late or with a made-up confidence.
    pub late: u64,
    /// Among them: what reached the caller was wrong, an error, or nothing.
    pub reached: u64,
    /// Evaluations that a breaker kept from the faults, without an answer.
    pub refused_by_breaker: u64,
    /// Evaluations that the cache answered rightly.
    pub answered_by_cache: u64,
}

/// A drill, as it is shown. After its end it stays until the next one starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillView {
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// What it shall show, in a sentence.
    pub hypothesis: String,
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
    /// The stop condition, if it has one.
    pub stop: Option<StopView>,
    /// The moments of the incident.
    pub incident: Incident,
    /// What absorbed the faults.
    pub absorbed: Absorbed,
    /// Injections that are in force by its order.
    pub injections: u32,
    /// The drill along time.
    pub series: Vec<Bucket>,
    /// How it stands.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
}

/// A stretch of a drill, for charts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bucket {
    /// When it began.
    pub at: Timestamp,
    /// Right answers.
    pub right: u64,
    /// Wrong answers.
    pub wrong: u64,
    /// Evaluations that failed, timed out, were denied or invalid.
    pub failed: u64,
    /// Evaluations that were rejected.
    pub rejected: u64,
    /// The slowest evaluation, nanoseconds.
    pub slowest_ns: u64,
    /// Breakers that were open, at most.
    pub open: u32,
    /// Injections in force, at most.
    pub injections: u32,
}

impl Bucket {
    /// Both as one.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        Self {
            at: self.at,
            right: self.right + next.right,
            wrong: self.wrong + next.wrong,
            failed: self.failed + next.failed,
            rejected: self.rejected + next.rejected,
            slowest_ns: self.slowest_ns.max(next.slowest_ns),
            open: self.open.max(next.open),
            injections: self.injections.max(next.injections),
        }
    }
}
