//! The post-mortem as plain text, at most 100 columns wide but for long sentences.

use std::fmt::Write as _;

use super::{Report, length};
use crate::domain::Outcome;

/// Writes it.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(text, "POST-MORTEM  {} ({})", report.title, report.scenario)?;
    writeln!(text, "{}", "=".repeat(78))?;
    writeln!(text, "verdict      {}: {}", report.verdict.text(), report.reason)?;
    if !report.hypothesis.is_empty() {
        writeln!(text, "hypothesis   {}", report.hypothesis)?;
    }
    let took = length(report.ended.since(report.began).as_secs_f64());
    writeln!(text, "when         {} to {} ({took})", report.began, report.ended)?;
    writeln!(text, "session      {}  seed {}  {} clock", report.session, report.seed, report.clock)?;
    writeln!(text, "\nEXPECTATIONS")?;
    for expectation in &report.expectations {
        let found =
            if expectation.actual.is_empty() { String::new() } else { format!("  (found {})", expectation.actual) };
        writeln!(text, "  {:<12}  {}{found}", expectation.standing.text().to_uppercase(), expectation.text)?;
    }
    if report.expectations.is_empty() {
        writeln!(text, "  none")?;
    }
    writeln!(text, "\nPHASES")?;
    writeln!(
        text,
        "  {:<24} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9}",
        "", "right", "wrong", "failed", "refused", "hits", "alerts", "p99 ms"
    )?;
    for phase in report.phases.iter().filter(|phase| phase.began.is_some()) {
        let counts = &phase.counts;
        let name: String = phase.name.chars().take(24).collect();
        writeln!(
            text,
            "  {name:<24} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9.2}",
            counts.right(),
            counts.wrong,
            counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut),
            counts.of(Outcome::Rejected),
            phase.injections,
            phase.alerts,
            phase.p99_ns as f64 / 1e6
        )?;
    }
    writeln!(text, "\nTIMELINE")?;
    const SHOWN: usize = 24;
    for moment in report.timeline.iter().take(SHOWN) {
        writeln!(text, "  {:<11} {}", report.after(moment.at), moment.text)?;
    }
    if report.timeline.len() > SHOWN {
        writeln!(text, "  ... and {} more", report.timeline.len() - SHOWN)?;
    }
    let ms = |time: Option<f64>| time.map_or("-".into(), |ms| length(ms / 1e3));
    writeln!(text, "\nDETECTED     {} after the onset", ms(report.time_to_detect_ms))?;
    writeln!(text, "RECOVERED    {} after the onset", ms(report.time_to_recover_ms))?;
    writeln!(text, "\nWHAT FOLLOWS")?;
    report.findings.iter().try_for_each(|finding| writeln!(text, "  - {finding}"))?;
    if !report.actions.is_empty() {
        writeln!(text, "\nWHAT TO DO")?;
        report.actions.iter().try_for_each(|action| writeln!(text, "  - {action}"))?;
    }
    writeln!(text, "\nREPEAT       {}", report.repeat)
}
