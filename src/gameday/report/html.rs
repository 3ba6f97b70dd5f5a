//! The report as one HTML file that needs nothing else: styles and charts are in it, no script is.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::{Report, length};
use crate::domain::Outcome;
use crate::engine::director::{Bucket, Standing, Verdict};

const STYLE: &str = "\
:root{color-scheme:light dark;--good:#2a8a57;--bad:#c0392b;--watch:#b8860b;--muted:#7a7f87;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.muted{color:var(--muted)}
.good{color:var(--good)}.bad{color:var(--bad)}.watch{color:var(--watch)}code{font-size:.9em}
svg{width:100%;height:auto}svg text{fill:currentColor;font:10px system-ui,sans-serif}";

/// Writes it.
pub fn html(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report);
    text
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "good",
        Verdict::NotHeld => "bad",
        _ => "watch",
    }
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let title = escape(report.title.as_str());
    writeln!(text, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")?;
    writeln!(
        text,
        "<meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body>"
    )?;
    writeln!(
        text,
        "<h1>{title}: <span class=\"{}\">{}</span></h1><p>{}</p>",
        class(report.verdict),
        report.verdict.text(),
        escape(report.reason.as_str())
    )?;
    writeln!(text, "<p><strong>Hypothesis.</strong> {}</p>", escape(report.hypothesis.as_str()))?;
    let took = length(report.ended.since(report.began).as_secs_f64());
    writeln!(
        text,
        "<p class=\"muted\">{} to {} ({took}), session {}, seed {}, {} clock</p>",
        report.began,
        report.ended,
        escape(report.session.as_str()),
        report.seed,
        escape(report.clock.as_str())
    )?;
    writeln!(text, "<h2>Over time</h2>{}", chart(report))?;
    writeln!(text, "<h2>Expectations</h2><table><tr><th></th><th>expectation</th><th>found</th></tr>")?;
    for one in &report.expectations {
        let class = match one.standing {
            Standing::Held => "good",
            Standing::Failed => "bad",
            Standing::Pending | Standing::Inconclusive => "watch",
        };
        writeln!(
            text,
            "<tr><td class=\"{class}\">{}</td><td>{}</td><td>{}</td></tr>",
            one.standing.text(),
            escape(one.text.as_str()),
            escape(one.actual.as_str())
        )?;
    }
    writeln!(text, "</table><h2>Phases</h2><table><tr><th>phase</th><th>injected</th>")?;
    for name in ["right", "wrong", "failed", "refused", "hits", "alerts", "p99 ms", "p99 response ms"] {
        write!(text, "<th class=\"n\">{name}</th>")?;
    }
    writeln!(text, "</tr>")?;
    for phase in report.phases.iter().filter(|phase| phase.began.is_some()) {
        let counts = &phase.counts;
        write!(
            text,
            "<tr><td>{}</td><td class=\"muted\">{}</td>",
            escape(phase.name.as_str()),
            escape(phase.armed.as_str())
        )?;
        for count in [
            counts.right(),
            counts.wrong,
            counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut),
            counts.of(Outcome::Rejected),
            phase.injections,
            phase.alerts,
        ] {
            write!(text, "<td class=\"n\">{count}</td>")?;
        }
        let (p99, response) = (phase.p99_ns as f64 / 1e6, phase.response_p99_ns as f64 / 1e6);
        writeln!(text, "<td class=\"n\">{p99:.2}</td><td class=\"n\">{response:.2}</td></tr>")?;
    }
    let ms = |time: Option<f64>| time.map_or("-".into(), |ms| length(ms / 1e3));
    writeln!(
        text,
        "</table><p>Detected <strong>{}</strong> and recovered <strong>{}</strong> after the onset.</p>",
        ms(report.time_to_detect_ms),
        ms(report.time_to_recover_ms)
    )?;
    let absorbed = &report.absorbed;
    writeln!(text, "<h2>What absorbed the faults</h2><table>")?;
    for (name, count) in [
        ("evaluations hit", absorbed.hit),
        ("right in the end by another attempt", absorbed.by_retry),
        ("right all the same, late or with a made-up confidence", absorbed.late),
        ("reached the caller wrong, as an error or not at all", absorbed.reached),
        ("refused by a breaker", absorbed.refused_by_breaker),
        ("answered by the cache", absorbed.answered_by_cache),
    ] {
        writeln!(text, "<tr><td>{name}</td><td class=\"n\">{count}</td></tr>")?;
    }
    writeln!(text, "</table><h2>Timeline</h2><table>")?;
    for moment in &report.timeline {
        let at = report.after(moment.at);
        writeln!(text, "<tr><td class=\"n muted\">{at}</td><td>{}</td></tr>", escape(moment.text.as_str()))?;
    }
    writeln!(text, "</table><h2>What follows</h2><ul>")?;
    report.findings.iter().try_for_each(|finding| writeln!(text, "<li>{}</li>", escape(finding.as_str())))?;
    if !report.actions.is_empty() {
        writeln!(text, "</ul><h2>What to do</h2><ul>")?;
        report.actions.iter().try_for_each(|action| writeln!(text, "<li>{}</li>", escape(action.as_str())))?;
    }
    writeln!(
        text,
        "</ul><p class=\"muted\">Repeat it: <code>{}</code></p></body></html>",
        escape(report.repeat.as_str())
    )
}

/// Right, wrong, failed and refused evaluations stacked along time, with what was injected and which breakers were open
/// below.
fn chart(report: &Report) -> String {
    const WIDTH: f64 = 900.0;
    const HEIGHT: f64 = 160.0;
    const ROW: f64 = 14.0;
    let buckets = &report.series;
    let total = |bucket: &Bucket| bucket.right + bucket.wrong + bucket.failed + bucket.rejected;
    let most = buckets.iter().map(total).max().unwrap_or(0).max(1) as f64;
    let step = (WIDTH - 60.0) / buckets.len().max(1) as f64;
    let mut text = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"evaluations over time\">",
        HEIGHT + 3.0 * ROW + 8.0
    );
    let mut bar = |x: f64, y: f64, height: f64, colour: &str| {
        let _ = write!(
            text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>",
            step.max(0.5)
        );
    };
    for (at, bucket) in buckets.iter().enumerate() {
        let x = 60.0 + at as f64 * step;
        let mut y = HEIGHT;
        for (count, colour) in [
            (bucket.right, "#2a8a57"),
            (bucket.wrong, "#c0392b"),
            (bucket.failed, "#e67e22"),
            (bucket.rejected, "#b8a36a"),
        ] {
            let height = count as f64 / most * (HEIGHT - 10.0);
            if count > 0 {
                y -= height;
                bar(x, y, height, colour);
            }
        }
        if bucket.injections > 0 {
            bar(x, HEIGHT + 4.0, ROW - 4.0, "#8e44ad");
        }
        if bucket.open > 0 {
            bar(x, HEIGHT + 4.0 + ROW, ROW - 4.0, "#b8860b");
        }
    }
    let _ = write!(text, "<text x=\"0\" y=\"12\">{most:.0}</text><text x=\"0\" y=\"{HEIGHT}\">0</text>");
    let _ = write!(
        text,
        "<text x=\"0\" y=\"{}\">faults</text><text x=\"0\" y=\"{}\">breakers</text>",
        HEIGHT + ROW,
        HEIGHT + 2.0 * ROW
    );
    let _ = write!(
        text,
        "<text x=\"60\" y=\"{}\">green right, red wrong, orange failed, sand refused; {} in all</text></svg>",
        HEIGHT + 3.0 * ROW + 4.0,
        length(report.ended.since(report.began).as_secs_f64())
    );
    text
}
