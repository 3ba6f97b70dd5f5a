//! The report of a drill: every figure once, from which each format is written.

mod html;
mod junit;
mod markdown;
mod text;

use serde::{Deserialize, Serialize};

use super::repeat_command;
use crate::domain::{Outcome, Timestamp};
use crate::engine::director::{Absorbed, Bucket, DrillView, ExpectationView, Incident, PhaseView, StopView, Verdict};
use crate::engine::frame::{SessionInfo, Snapshot};

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use text::text;

/// Everything that is known of a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this document.
    pub version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// What it should show.
    pub hypothesis: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The session that it ran in.
    pub session: String,
    /// The session's seed.
    pub seed: u64,
    /// The session's clock.
    pub clock: String,
    /// The command that repeats it on the virtual clock.
    pub repeat: String,
    /// The ledger's head at its end.
    pub ledger_head: Option<String>,
    /// What was expected, and what was found.
    pub expectations: Vec<ExpectationView>,
    /// The stop condition.
    pub stop: Option<StopView>,
    /// What happened in each phase.
    pub phases: Vec<PhaseView>,
    /// When what was noticed.
    pub incident: Incident,
    /// From the onset to the detection, milliseconds.
    pub time_to_detect_ms: Option<f64>,
    /// From the onset to the recovery, milliseconds.
    pub time_to_recover_ms: Option<f64>,
    /// What absorbed the faults.
    pub absorbed: Absorbed,
    /// What happened when, from the beginning on.
    pub timeline: Vec<Moment>,
    /// The drill along time.
    pub series: Vec<Bucket>,
    /// Statements that the figures support.
    pub findings: Vec<String>,
    /// What to do about them.
    pub actions: Vec<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}

impl Report {
    /// Of a drill that has ended, in a session as it is now.
    pub fn new(info: &SessionInfo, drill: &DrillView, snapshot: &Snapshot, ledger_head: Option<String>) -> Self {
        let incident = &drill.incident;
        let since = |to: Option<Timestamp>| Some(to?.since(incident.onset?).as_secs_f64() * 1e3);
        let (findings, actions) = findings(drill);
        Self {
            version: 1,
            scenario: drill.scenario.clone(),
            title: drill.title.clone(),
            hypothesis: drill.hypothesis.clone(),
            verdict: drill.verdict,
            reason: drill.reason.clone(),
            began: drill.began,
            ended: drill.ended.unwrap_or(drill.began),
            session: info.session_id.clone(),
            seed: info.seed,
            clock: info.clock.name().to_owned(),
            repeat: repeat_command(info, &drill.scenario),
            ledger_head,
            expectations: drill.expectations.clone(),
            stop: drill.stop.clone(),
            phases: drill.phases.clone(),
            incident: incident.clone(),
            time_to_detect_ms: since(incident.detected),
            time_to_recover_ms: since(incident.recovered),
            absorbed: drill.absorbed,
            timeline: timeline(drill, snapshot),
            series: drill.series.clone(),
            findings,
            actions,
        }
    }

    /// As JSON, with a line break at its end.
    pub fn json(&self) -> String {
        // Plain data; writing it to memory cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// How long after its beginning something was, in words.
    fn after(&self, at: Timestamp) -> String {
        format!("+{}", length(at.since(self.began).as_secs_f64()))
    }
}

/// A time in words.
fn length(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 600.0 => format!("{s:.1} s"),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

fn timeline(drill: &DrillView, snapshot: &Snapshot) -> Vec<Moment> {
    let ended = drill.ended.unwrap_or(Timestamp::MAX);
    let mut moments = Vec::new();
    let mut add = |at: Timestamp, text: String| moments.push(Moment { at, text });
    for phase in &drill.phases {
        if let Some(began) = phase.began {
            add(began, format!("phase {}: {}", phase.name, phase.armed));
        }
    }
    for breaker in &snapshot.breakers {
        for step in breaker.transitions.iter().filter(|step| (drill.began..=ended).contains(&step.transition.at)) {
            add(step.transition.at, format!("breaker {}", step.text));
        }
    }
    for alert in snapshot.slos.active.iter().chain(&snapshot.slos.resolved) {
        if (drill.began..=ended).contains(&alert.fired) {
            add(alert.fired, format!("alert on {}: {}", alert.slo, alert.message));
        }
    }
    for expectation in &drill.expectations {
        if let Some(at) = expectation.at {
            add(at, format!("{}: {} ({})", expectation.standing.text(), expectation.text, expectation.actual));
        }
    }
    let incident = &drill.incident;
    let detected = format!("detected by {}", incident.detected_by);
    for (at, text) in [
        (incident.onset, "first evaluation hit"),
        (incident.detected, detected.as_str()),
        (incident.mitigated, "mitigated"),
        (incident.recovered, "recovered: the last bad answer"),
    ] {
        if let Some(at) = at {
            add(at, text.to_owned());
        }
    }
    moments.sort_by_key(|moment| moment.at);
    moments
}

/// Statements that the drill's own figures support, and nothing else; with what to do about each.
fn findings(drill: &DrillView) -> (Vec<String>, Vec<String>) {
    let injected = || drill.phases.iter().filter(|phase| phase.injections > 0 || phase.breaker_trips > 0);
    let total = |of: fn(&PhaseView) -> u64| drill.phases.iter().map(of).sum::<u64>();
    let (faults, wrong) = (total(|phase| phase.injections), total(|phase| phase.counts.wrong));
    let failed = total(|phase| phase.counts.of(Outcome::Failed));
    let timed_out = total(|phase| phase.counts.of(Outcome::TimedOut));
    let (trips, retries) = (total(|phase| phase.breaker_trips), total(|phase| phase.retries));
    let (mut findings, mut actions) = (Vec::new(), Vec::new());
    let mut find = |finding: String, action: &str| {
        findings.push(finding);
        if !action.is_empty() {
            actions.push(action.to_owned());
        }
    };
    let absorbed = &drill.absorbed;
    if faults == 0 {
        find(
            "No evaluation was hit: nothing was tested.".into(),
            "Widen the target or raise the rate, and run it again.",
        );
        return (findings, actions);
    }
    find(
        format!(
            "{} evaluations were hit; {} of them reached their callers as a wrong answer, an error or nothing.",
            absorbed.hit, absorbed.reached
        ),
        "",
    );
    if wrong > 0 {
        find(
            format!(
                "{wrong} wrong answers reached callers: nothing between the fault and the caller checks an answer."
            ),
            "Check answers where a wrong one costs more than none, or alert on accuracy.",
        );
    }
    let incident = &drill.incident;
    if incident.onset.is_some() && incident.detected.is_none() {
        find(
            "Neither an alert nor a breaker noticed the faults.".into(),
            "Add an objective, or a condition on one, that sees this fault.",
        );
    }
    match (trips, failed + timed_out) {
        (0, 0) => find("No evaluation failed, so the breaker had nothing to do.".into(), ""),
        (0, failed) => find(
            format!("{failed} evaluations failed or timed out, and no breaker tripped."),
            "If that many failures should stop calls, lower the breaker's threshold: fizzops breaker what-if shows by how much.",
        ),
        (trips, _) => find(
            format!(
                "Breakers tripped {trips} times and kept {} evaluations from the faults, without an answer.",
                absorbed.refused_by_breaker
            ),
            "",
        ),
    }
    if timed_out > 0 {
        find(
            format!("{timed_out} evaluations hung until they timed out, and held their places as long."),
            "Shorten engine.timeout_ms to what callers really wait for.",
        );
    }
    if retries > 0 {
        let evaluations: u64 = injected().map(|phase| phase.counts.evaluations).sum();
        let amplified = (evaluations + retries) as f64 / evaluations.max(1) as f64;
        find(
            format!(
                "{retries} retries saved {} evaluations and made {amplified:.2} calls of each one.",
                absorbed.by_retry
            ),
            if amplified > 1.2 { "Give the retries a budget (limits.retry.budget)." } else { "" },
        );
    }
    if absorbed.answered_by_cache > 0 {
        find(format!("The cache answered {} evaluations while faults were injected.", absorbed.answered_by_cache), "");
    }
    if let Some(slowest) = drill.phases.iter().max_by_key(|phase| phase.p99_ns).filter(|phase| phase.p99_ns > 0) {
        let (p99, response) = (slowest.p99_ns as f64 / 1e6, slowest.response_p99_ns as f64 / 1e6);
        let hidden = if response > p99 * 1.1 {
            format!("; counted from when they were meant to begin, {response:.1} ms")
        } else {
            String::new()
        };
        find(format!("Answers were slowest in phase {}: p99 {p99:.1} ms{hidden}.", slowest.name), "");
    }
    if drill.verdict == Verdict::Inconclusive {
        find("Too few evaluations to judge by.".into(), "Make the phases longer, or raise the rate.");
    }
    (findings, actions)
}
