//! The post-mortem of a drill, as text: what was expected, what happened phase by phase, and what follows from it.

use std::fmt::Write as _;

use super::repeat_command;
use crate::domain::{Outcome, Timestamp};
use crate::engine::director::{DrillView, PhaseView, Standing};
use crate::engine::frame::{SessionInfo, Snapshot};

/// Writes it, at most 78 columns wide.
pub fn post_mortem(info: &SessionInfo, drill: &DrillView, snapshot: &Snapshot) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, info, drill, snapshot);
    text
}

fn write(text: &mut String, info: &SessionInfo, drill: &DrillView, snapshot: &Snapshot) -> std::fmt::Result {
    writeln!(text, "POST-MORTEM  {} ({})", drill.title, drill.scenario)?;
    writeln!(text, "{}", "=".repeat(78))?;
    writeln!(text, "verdict      {}: {}", drill.verdict.text(), drill.reason)?;
    let ended = drill.ended.unwrap_or(drill.began);
    writeln!(text, "when         {} to {} ({})", drill.began, ended, span(drill.began, ended))?;
    writeln!(text, "session      {}  seed {}  {} clock", info.session_id, info.seed, info.clock.name())?;
    writeln!(text, "\nEXPECTATIONS")?;
    for expectation in &drill.expectations {
        let mark = match expectation.standing {
            Standing::Held => "held    ",
            Standing::Failed => "NOT HELD",
            Standing::Pending => "pending ",
        };
        let found =
            if expectation.actual.is_empty() { String::new() } else { format!("  (found {})", expectation.actual) };
        writeln!(text, "  {mark}  {}{found}", expectation.text)?;
    }
    if drill.expectations.is_empty() {
        writeln!(text, "  none")?;
    }
    writeln!(text, "\nPHASES")?;
    writeln!(
        text,
        "  {:<24} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9}",
        "", "answers", "wrong", "failed", "refused", "faults", "p99 ms"
    )?;
    for phase in &drill.phases {
        let counts = &phase.counts;
        let name: String = phase.name.chars().take(24).collect();
        writeln!(
            text,
            "  {name:<24} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9.2}",
            counts.of(Outcome::Ok),
            counts.wrong,
            counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut),
            counts.of(Outcome::Rejected),
            phase.injections,
            phase.p99_ns as f64 / 1e6
        )?;
    }
    writeln!(text, "\nTIMELINE")?;
    for phase in &drill.phases {
        if let Some(began) = phase.began {
            writeln!(text, "  +{:<10} {}: {} armed", span(drill.began, began), phase.name, phase.armed)?;
        }
    }
    for breaker in &snapshot.breakers {
        for step in
            breaker.transitions.iter().filter(|step| step.transition.at >= drill.began && step.transition.at <= ended)
        {
            writeln!(text, "  +{:<10} breaker {}", span(drill.began, step.transition.at), step.text)?;
        }
    }
    writeln!(text, "\nWHAT FOLLOWS")?;
    for finding in findings(drill) {
        writeln!(text, "  - {finding}")?;
    }
    writeln!(text, "\nREPEAT       {}", repeat_command(info, &drill.scenario))
}

/// Statements that the drill's own figures support, and nothing else.
fn findings(drill: &DrillView) -> Vec<String> {
    let total = |of: fn(&PhaseView) -> u64| drill.phases.iter().map(of).sum::<u64>();
    let (faults, wrong) = (total(|phase| phase.injections), total(|phase| phase.counts.wrong));
    let failed = total(|phase| phase.counts.of(Outcome::Failed) + phase.counts.of(Outcome::TimedOut));
    let rejected = total(|phase| phase.counts.of(Outcome::Rejected));
    let cached = total(|phase| phase.counts.cached);
    let trips = total(|phase| phase.breaker_trips);
    let mut findings = Vec::new();
    if faults == 0 {
        findings.push("No fault was injected: nothing was tested.".into());
        return findings;
    }
    if wrong > 0 {
        findings.push(format!(
            "{wrong} wrong answers reached callers: nothing between the fault and the caller checks an answer."
        ));
    }
    match (trips, failed) {
        (0, 0) => findings.push("No evaluation failed, so the breaker had nothing to do.".into()),
        (0, failed) => {
            findings.push(format!("{failed} evaluations failed, never enough in a row to trip the breaker."));
        }
        (trips, _) => findings.push(format!("The breaker tripped {trips} times and refused {rejected} evaluations.")),
    }
    if cached > 0 {
        findings.push(format!("The cache answered {cached} evaluations without the strategy."));
    }
    if let Some(slowest) = drill.phases.iter().max_by_key(|phase| phase.p99_ns).filter(|phase| phase.p99_ns > 0) {
        let p99 = slowest.p99_ns as f64 / 1e6;
        findings.push(format!("Answers were slowest in phase {}: p99 {p99:.2} ms.", slowest.name));
    }
    findings
}

fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.since(from).as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}
