//! Which call would fail now, and why?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::overview::breaker_state;
use super::{View, chart_rows, charts, ratio};
use crate::console::format::{ago, elapsed, grouped, long, percent};
use crate::console::theme::Role;
use crate::console::widgets::{self, Chart, Part, line, sign};
use crate::domain::Outcome;
use crate::mechanisms::breaker::{BreakerView, State};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let breakers: Vec<_> = view.now().breakers.iter().filter(|breaker| breaker.enabled).collect();
    let refusing: Vec<_> = breakers.iter().filter(|breaker| would_refuse(breaker)).collect();
    match refusing.first() {
        _ if breakers.is_empty() => {
            (Role::Info, "No breaker protects anything: --set circuit_breaker.enabled=true.".into())
        }
        None => {
            let tripped = breakers.iter().filter(|breaker| breaker.state != State::Closed).count();
            let trying = breakers.iter().find(|breaker| breaker.state == State::HalfOpen);
            match trying.and_then(|breaker| Some((breaker, breaker.trials?))) {
                Some((breaker, trials)) => (
                    Role::Held,
                    format!(
                        "{} is half-open: {} of {} trial calls passed.",
                        breaker.name, trials.passed, trials.needed
                    ),
                ),
                None => (
                    Role::Good,
                    format!("A call now would pass: {} of {} closed.", breakers.len() - tripped, count(breakers.len())),
                ),
            }
        }
        Some(breaker) => {
            let wait = match breaker.retry_after_ms {
                Some(0) => "the next call is a trial".into(),
                Some(ms) => format!("{:.1} s until a trial", ms as f64 / 1_000.0),
                None => "until somebody resets it".into(),
            };
            (
                Role::Bad,
                format!(
                    "{} of {} would refuse a call now. {}: {wait}.",
                    refusing.len(),
                    count(breakers.len()),
                    breaker.name
                ),
            )
        }
    }
}

fn count(breakers: usize) -> String {
    if breakers == 1 { "1 breaker".into() } else { format!("{breakers} breakers") }
}

fn would_refuse(breaker: &BreakerView) -> bool {
    breaker.state == State::ForcedOpen || (breaker.state == State::Open && breaker.retry_after_ms != Some(0))
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let breakers = &view.now().breakers;
    let wide = area.width >= 110;
    let columns = [
        ("breaker", Constraint::Length(if wide { 24 } else { 10 }), false),
        ("state", Constraint::Length(13), false),
        ("failures", Constraint::Length(8), true),
        ("slow", Constraint::Length(if wide { 6 } else { 4 }), true),
        ("window", Constraint::Fill(1), false),
        ("refused", Constraint::Length(7), true),
        ("trips", Constraint::Length(5), true),
        ("since", Constraint::Length(if wide { 16 } else { 8 }), true),
    ];
    let rows = breakers.iter().map(|breaker| {
        let (role, word) = if breaker.enabled { breaker_state(breaker.state) } else { (Role::Muted, "off") };
        // Roughly what the table leaves to the window.
        let room = usize::from(area.width).saturating_sub(if wide { 107 } else { 70 }).max(8);
        let from = breaker.window.recent.len().saturating_sub(room);
        vec![
            (Role::Text, breaker.name.clone()),
            (role, format!("{} {word}", sign(view.theme, role))),
            (Role::Text, failures(breaker)),
            (Role::Text, rate(breaker.window.slow_call_rate)),
            // The marks are ASCII letters, one a call.
            (Role::Text, breaker.window.recent.get(from..).unwrap_or_default().to_owned()),
            (if breaker.totals.rejections > 0 { Role::Watch } else { Role::Muted }, grouped(breaker.totals.rejections)),
            (Role::Text, breaker.totals.trips.to_string()),
            (Role::Muted, ago(breaker.since, view.at())),
        ]
    });
    let height = (breakers.len() as u16 + 1).min(area.height / 3);
    widgets::table(view.theme, &columns, rows.collect(), Some(view.selected), widgets::take(&mut area, height), buf);
    widgets::take(&mut area, 1);
    let rows = chart_rows(area, 9, 2).min(4);
    let share = |figure: f64| percent(Some(figure));
    let of = |outcomes: &'static [Outcome]| {
        move |sample: &crate::engine::tally::Sample| {
            ratio(outcomes.iter().map(|outcome| sample.counts.of(*outcome)).sum(), sample.counts.evaluations)
        }
    };
    charts(
        view,
        &[
            Chart {
                title: "failed",
                figure: &of(&[Outcome::Failed, Outcome::TimedOut]),
                text: &share,
                full: None,
                role: Role::Bad,
            },
            Chart { title: "rejected", figure: &of(&[Outcome::Rejected]), text: &share, full: None, role: Role::Watch },
        ],
        rows,
        &mut area,
        buf,
    );
    widgets::take(&mut area, 1);
    let Some(breaker) = breakers.get(view.selected) else { return };
    widgets::rule(view.theme, &breaker.name, widgets::take(&mut area, 1), buf);
    widgets::lines(area, buf, detail(view, breaker, area.height.into()));
}

/// Failures against what opens it: in a row, or as a rate.
fn failures(breaker: &BreakerView) -> String {
    match (breaker.rules.failure_threshold, breaker.trials) {
        (_, Some(trials)) => format!("{}/{} ok", trials.passed, trials.needed),
        (Some(threshold), None) => format!("{}/{threshold}", breaker.totals.consecutive_failures),
        (None, None) => rate(breaker.window.failure_rate),
    }
}

fn rate(percent: Option<f64>) -> String {
    percent.map_or_else(|| "-".into(), |percent| format!("{percent:.0} %"))
}

fn detail(view: &View<'_>, breaker: &BreakerView, height: usize) -> Vec<ratatui::text::Line<'static>> {
    let theme = view.theme;
    let rules = &breaker.rules;
    let mut opens = Vec::new();
    if let Some(failures) = rules.failure_threshold {
        opens.push(format!("{failures} failures in a row"));
    }
    if let Some(percent) = rules.failure_rate_threshold {
        opens.push(format!("{percent} % failed of at least {} calls", rules.minimum_number_of_calls));
    }
    if let (Some(percent), Some(ms)) = (rules.slow_call_rate_threshold, rules.slow_call_duration_threshold_ms) {
        opens.push(format!("{percent} % over {ms} ms"));
    }
    let window = &breaker.window;
    let figures = format!(
        "last {} of {} {}: {} failed, {} slow; {} calls, mean {}",
        window.calls,
        window.size,
        window.kind,
        window.failed,
        window.slow,
        grouped(breaker.totals.calls),
        window.average_ms.map_or_else(|| "-".into(), |ms| format!("{ms:.3} ms")),
    );
    let waits = format!("{} when it opens next, attempt {}", long_ms(breaker.next_wait_ms), breaker.attempt + 1);
    let row = |name: &str, text: String| line(theme, [(Role::Muted, format!("{name:<8} ")), (Role::Text, text)]);
    let mut lines = vec![
        row("opens", format!("{} ({})", opens.join(", or "), breaker.preset.name())),
        row("window", figures),
        row("waits", waits),
    ];
    let mut name = "why";
    for step in breaker.transitions.iter().rev().take(height.saturating_sub(lines.len())) {
        let parts: Vec<Part> = vec![
            (Role::Muted, format!("{name:<8} {}  ", elapsed(view.info.began, step.transition.at))),
            (Role::Text, step.text.clone()),
        ];
        lines.push(line(theme, parts));
        name = "";
    }
    if breaker.transitions.is_empty() {
        lines.push(row("why", "it has been closed from the start; t trips it, f holds it open".into()));
    }
    lines
}

fn long_ms(ms: u64) -> String {
    if ms < 60_000 { format!("{:.1} s", ms as f64 / 1_000.0) } else { long(ms / 1_000) }
}
