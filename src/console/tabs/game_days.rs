//! What can be rehearsed, and did the last rehearsal hold?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::View;
use crate::console::drill_chart;
use crate::console::format::{elapsed, grouped, long, span};
use crate::console::theme::Role;
use crate::console::widgets::{self, gauge, line, sign};
use crate::domain::Outcome;
use crate::domain::time::nanos;
use crate::engine::director::{DrillView, ScenarioView, Standing, Verdict};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    match &view.now().drill {
        None if view.info.scenarios.is_empty() => (Role::Info, "This session has no game days.".into()),
        None => (Role::Info, "No game day has run. Enter starts the selected one.".into()),
        Some(drill) => (verdict(drill.verdict), headline(view, drill)),
    }
}

/// The colour of a verdict.
pub const fn verdict(verdict: Verdict) -> Role {
    match verdict {
        Verdict::Running => Role::Held,
        Verdict::Held => Role::Good,
        Verdict::NotHeld => Role::Bad,
        Verdict::Aborted | Verdict::NeverRan | Verdict::Inconclusive => Role::Watch,
    }
}

fn headline(view: &View<'_>, drill: &DrillView) -> String {
    let phase = drill.phases.get(drill.phase).map_or("", |phase| phase.name.as_str());
    match drill.verdict {
        Verdict::Running => {
            let place = format!("phase {} of {}", drill.phase + 1, drill.phases.len());
            let time = elapsed(drill.began, view.at());
            format!("{} runs, {place}: {phase}, {time}. A aborts it, e makes the phase longer.", drill.title)
        }
        verdict => {
            let took = drill.ended.map_or(0, |ended| nanos(ended.since(drill.began)));
            let took = if took < 60_000_000_000 { span(took) } else { long(took / 1_000_000_000) };
            format!("{}: {} after {took}: {}.", drill.title, verdict.text(), drill.reason)
        }
    }
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let scenarios = &view.info.scenarios;
    let columns = [
        ("scenario", Constraint::Length(25), false),
        ("takes", Constraint::Length(21), false),
        ("", Constraint::Fill(1), false),
    ];
    let rows = scenarios.iter().map(|scenario| {
        vec![
            (Role::Text, scenario.name.clone()),
            (Role::Text, scenario.length.clone()),
            (Role::Muted, scenario.title.clone()),
        ]
    });
    let height = (scenarios.len() as u16 + 1).min(area.height / 2);
    widgets::table(view.theme, &columns, rows.collect(), Some(view.selected), widgets::take(&mut area, height), buf);
    widgets::take(&mut area, 1);
    let selected = scenarios.get(view.selected);
    match &view.now().drill {
        Some(drill) if area.width >= 140 => {
            let half = Rect { width: area.width / 2 - 1, ..area };
            draw_drill(view, drill, half, buf);
            if let Some(scenario) = selected {
                let rest = Rect { x: area.x + area.width / 2 + 1, width: area.width - area.width / 2 - 1, ..area };
                draw_scenario(view, scenario, rest, buf);
            }
        }
        // What runs, or ran as what is selected, is told; else what the selected one would do.
        Some(drill)
            if drill.verdict == Verdict::Running
                || selected.is_none_or(|scenario| scenario.name == drill.scenario)
                || area.height > 30 =>
        {
            draw_drill(view, drill, area, buf);
        }
        _ => {
            if let Some(scenario) = selected {
                draw_scenario(view, scenario, area, buf);
            }
        }
    }
}

fn draw_scenario(view: &View<'_>, scenario: &ScenarioView, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    widgets::rule(theme, &scenario.title, widgets::take(&mut area, 1), buf);
    let width = area.width.max(1);
    let height = |text: &str| (text.chars().count() as u16).div_ceil(width) + 1;
    let description = height(&scenario.description).min(4);
    widgets::wrapped(theme, Role::Text, scenario.description.as_str(), widgets::take(&mut area, description), buf);
    let teaches = height(&scenario.teaches).min(3);
    widgets::wrapped(theme, Role::Muted, scenario.teaches.as_str(), widgets::take(&mut area, teaches), buf);
    let mut name = "phases";
    let mut lines = Vec::new();
    for phase in &scenario.phases {
        lines.push(line(theme, [(Role::Muted, format!("{name:<8} ")), (Role::Text, phase.clone())]));
        name = "";
    }
    name = "expects";
    if !scenario.needs.is_empty() {
        lines.push(line(theme, [(Role::Watch, "needs    ".into()), (Role::Text, scenario.needs.clone())]));
        let way = format!("fizzops gameday run {} brings it", scenario.name);
        lines.push(line(theme, [(Role::Muted, "         ".into()), (Role::Muted, way)]));
    }
    for expectation in &scenario.expectations {
        lines.push(line(theme, [(Role::Muted, format!("{name:<8} ")), (Role::Text, expectation.clone())]));
        name = "";
    }
    widgets::lines(area, buf, lines);
}

fn draw_drill(view: &View<'_>, drill: &DrillView, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    widgets::rule(theme, &drill.title, widgets::take(&mut area, 1), buf);
    let columns = [
        ("phase", Constraint::Fill(1), false),
        ("done", Constraint::Length(14), false),
        ("wrong", Constraint::Length(5), true),
        ("failed", Constraint::Length(6), true),
        ("refused", Constraint::Length(7), true),
        ("faults", Constraint::Length(6), true),
        ("p99", Constraint::Length(9), true),
    ];
    let rows = drill.phases.iter().enumerate().map(|(index, phase)| {
        let counts = &phase.counts;
        let running = drill.verdict == Verdict::Running && index == drill.phase;
        let role = match (running, phase.began.is_some()) {
            (true, _) => Role::Held,
            (false, true) => Role::Text,
            (false, false) => Role::Muted,
        };
        let figure =
            |count: u64, bad: Role| if count > 0 { (bad, count.to_string()) } else { (Role::Muted, "0".into()) };
        vec![
            (role, format!("{} {}", if running { theme.glyphs.cursor } else { " " }, phase.name)),
            (role, format!("{} {:>6}", gauge(theme, phase.done, 6), grouped(counts.evaluations))),
            figure(counts.wrong, Role::Bad),
            figure(counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut), Role::Bad),
            figure(counts.of(Outcome::Rejected), Role::Watch),
            figure(phase.injections, Role::Watch),
            (Role::Text, span(phase.p99_ns)),
        ]
    });
    let height = drill.phases.len() as u16 + 1;
    widgets::table(theme, &columns, rows.collect(), None, widgets::take(&mut area, height), buf);
    if area.height > drill_chart::HEIGHT + 4 {
        widgets::take(&mut area, 1);
        drill_chart::draw(theme, drill, widgets::take(&mut area, drill_chart::HEIGHT), buf);
        widgets::take(&mut area, 1);
    }
    let stop = drill.stop.as_ref().map(|stop| {
        let (role, now) = if stop.met { (Role::Bad, "met") } else { (Role::Text, stop.now.as_str()) };
        line(
            theme,
            [(Role::Muted, "stops when ".into()), (Role::Text, stop.text.clone()), (role, format!("  ({now})"))],
        )
    });
    let expectations = drill.expectations.iter().map(|expectation| {
        let (role, word) = match expectation.standing {
            Standing::Held => (Role::Good, "held"),
            Standing::Failed => (Role::Bad, "not held"),
            Standing::Pending => (Role::Muted, "pending"),
            Standing::Inconclusive => (Role::Watch, "open"),
        };
        let found =
            if expectation.actual.is_empty() { String::new() } else { format!("  (found {})", expectation.actual) };
        line(
            theme,
            [
                (role, format!("{} {word:<9}", sign(theme, role))),
                (Role::Text, expectation.text.clone()),
                (Role::Muted, found),
            ],
        )
    });
    widgets::lines(area, buf, stop.into_iter().chain(expectations).collect());
}
