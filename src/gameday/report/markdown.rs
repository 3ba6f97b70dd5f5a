//! The report as Markdown, for a pull request or a wiki.

use std::fmt::Write as _;

use super::{Report, length};
use crate::domain::Outcome;

/// Writes it.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report);
    text
}

/// What would end a cell or begin markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(text, "# {}: {}\n", cell(&report.title), report.verdict.text())?;
    writeln!(text, "{}\n", cell(&report.reason))?;
    writeln!(text, "**Hypothesis.** {}\n", cell(&report.hypothesis))?;
    let took = length(report.ended.since(report.began).as_secs_f64());
    writeln!(
        text,
        "Scenario `{}`, {} to {} ({took}), session `{}`.\n",
        report.scenario, report.began, report.ended, report.session
    )?;
    writeln!(text, "## Expectations\n\n| | expectation | found |\n|---|---|---|")?;
    for one in &report.expectations {
        writeln!(text, "| {} | {} | {} |", one.standing.text(), cell(&one.text), cell(&one.actual))?;
    }
    writeln!(
        text,
        "\n## Phases\n\n| phase | injected | right | wrong | failed | refused | hits | alerts | p99 ms | p99 response ms |"
    )?;
    writeln!(text, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")?;
    for phase in report.phases.iter().filter(|phase| phase.began.is_some()) {
        let counts = &phase.counts;
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} |",
            cell(&phase.name),
            cell(&phase.armed),
            counts.right(),
            counts.wrong,
            counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut),
            counts.of(Outcome::Rejected),
            phase.injections,
            phase.alerts,
            phase.p99_ns as f64 / 1e6,
            phase.response_p99_ns as f64 / 1e6
        )?;
    }
    let ms = |time: Option<f64>| time.map_or("-".into(), |ms| length(ms / 1e3));
    writeln!(
        text,
        "\nDetected {} and recovered {} after the onset.\n",
        ms(report.time_to_detect_ms),
        ms(report.time_to_recover_ms)
    )?;
    writeln!(text, "## Timeline\n")?;
    for moment in &report.timeline {
        writeln!(text, "- {} {}", report.after(moment.at), cell(&moment.text))?;
    }
    writeln!(text, "\n## What follows\n")?;
    report.findings.iter().try_for_each(|finding| writeln!(text, "- {}", cell(finding)))?;
    if !report.actions.is_empty() {
        writeln!(text, "\n## What to do\n")?;
        report.actions.iter().try_for_each(|action| writeln!(text, "- [ ] {}", cell(action)))?;
    }
    writeln!(text, "\nRepeat it with `{}`.", report.repeat)
}
