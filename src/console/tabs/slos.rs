//! How long do the error budgets last?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::overview::slo_state;
use super::{View, chart_rows, charts};
use crate::console::format::{ago, grouped, percent};
use crate::console::theme::Role;
use crate::console::widgets::{self, Chart, Part, gauge, line, sign};
use crate::domain::Timestamp;
use crate::engine::tally::Sample;
use crate::mechanisms::slo::{Alert, AlertState, SloView, span};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let slos = &view.now().slos;
    if !slos.enabled {
        return (Role::Info, "No objective is watched: --set sla.enabled=true.".into());
    }
    let used_up: Vec<_> = slos.slos.iter().filter(|slo| slo.budget_left <= 0.0).map(|slo| slo.name.as_str()).collect();
    if !used_up.is_empty() {
        return (Role::Bad, format!("Used up: the budget of {}.", used_up.join(", ")));
    }
    let lasting = slos.slos.iter().filter_map(|slo| Some((slo.lasts_ms?, slo)));
    match lasting.min_by_key(|(lasts, _)| *lasts) {
        Some((lasts, slo)) => {
            let burn = slo.burn_rate.unwrap_or_default();
            let role = if slo.alert.is_some_and(|severity| severity.pages()) { Role::Bad } else { Role::Watch };
            let text = format!(
                "At the last minute's rate the {} budget is gone in {}: it burns {} as fast as it may.",
                slo.name,
                span(lasts),
                burns(burn)
            );
            (role, text)
        }
        None => (Role::Good, "Every budget lasts: none burned faster than it may in the last minute.".into()),
    }
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let slos = &view.now().slos;
    let wide = area.width >= 110;
    let columns = [
        ("objective", Constraint::Fill(1), false),
        ("target", Constraint::Length(8), true),
        ("minute", Constraint::Length(10), true),
        ("period", Constraint::Length(8), true),
        ("burn", Constraint::Length(7), true),
        ("budget left", Constraint::Length(if wide { 32 } else { 13 }), false),
        ("lasts", Constraint::Length(if wide { 14 } else { 8 }), true),
    ];
    let rows = slos.slos.iter().map(|slo| {
        let (role, minute) = slo_state(slo);
        let left = slo.budget_left.max(0.0);
        let bar = gauge(theme, left, if wide { 23 } else { 4 });
        let tight = match slo.lasts_ms {
            None => "-".into(),
            Some(ms) if wide => span(ms),
            // One unit is enough where there is little room.
            Some(ms) => span(ms).split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        };
        vec![
            (Role::Text, if wide { format!("{}: {}", slo.name, slo.objective) } else { slo.name.clone() }),
            (Role::Muted, percent(Some(slo.target))),
            (role, format!("{} {minute}", sign(theme, role))),
            (Role::Text, percent(slo.period.compliance())),
            (role, slo.burn_rate.map_or_else(|| "-".into(), burns)),
            (role, format!("{bar} {:>5.1} %", left * 100.0)),
            (Role::Text, tight),
        ]
    });
    let height = slos.slos.len() as u16 + 1;
    widgets::table(theme, &columns, rows.collect(), Some(view.selected), widgets::take(&mut area, height), buf);
    if let Some(slo) = slos.slos.get(view.selected) {
        detail(view, slo, wide, &mut area, buf);
    }
    widgets::take(&mut area, 1);
    let count = slos.slos.len() as u16;
    let rows = chart_rows(area, 8, count.max(1)).min(5);
    let burn = |index: usize| move |sample: &Sample| sample.burn_rates.get(index).copied().flatten();
    let figures: Vec<_> = (0..slos.slos.len()).map(burn).collect();
    let titles: Vec<&str> = slos.slos.iter().map(|slo| slo.name.as_str()).collect();
    let drawn: Vec<Chart<'_>> = figures
        .iter()
        .zip(&titles)
        .map(|(figure, title)| Chart { title, figure, text: &burns, full: None, role: Role::Watch })
        .collect();
    charts(view, &drawn, rows, &mut area, buf);
    let title = format!("alerts: {} active, {} fired so far", slos.active.len(), slos.fired);
    widgets::rule(theme, &title, widgets::take(&mut area, 1), buf);
    let duty = widgets::take(&mut Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area }, 1);
    area.height = area.height.saturating_sub(1);
    alerts(view, area, buf);
    let until = if slos.on_call_until == Timestamp::MAX {
        String::new()
    } else {
        format!(" until {}, then {}", date(slos.on_call_until), slos.on_call_next)
    };
    let duty_text = format!("on call for {}: {}{until}", slos.team, slos.on_call);
    widgets::lines(duty, buf, vec![line(theme, [(Role::Muted, duty_text)])]);
}

/// The selected objective: what its budget is, what ate it, and how far its rules are from firing.
fn detail(view: &View<'_>, slo: &SloView, wide: bool, area: &mut Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let eaten = match slo.eaten.first() {
        None => format!("nothing of {} eaten", grouped(slo.period.total)),
        Some((cause, part)) => {
            let of = format!("{} of {} bad", grouped(slo.period.bad()), grouped(slo.period.total));
            format!("{of}, {:.0} % by {cause}", part * 100.0)
        }
    };
    let budget = format!("{} budget ({}), {}: {eaten}", slo.name, slo.tier, slo.window);
    widgets::lines(widgets::take(area, 1), buf, vec![line(theme, [(Role::Muted, budget)])]);
    let figure = |burn: Option<f64>| burn.map_or_else(|| "-".into(), burns);
    let part = |rule: &crate::mechanisms::slo::RuleView| -> Part {
        let role = if rule.holds { Role::Bad } else { Role::Muted };
        let mark = if rule.holds { sign(theme, Role::Bad) } else { "" };
        let short = match &rule.short {
            Some(short) if wide => format!(", {short} {}", figure(rule.short_burn)),
            _ => String::new(),
        };
        let severity = rule.severity.name();
        let (long, factor) = (&rule.long, (rule.factor * 100.0).round() / 100.0);
        let now = if wide || rule.holds { format!(" {}", figure(rule.long_burn)) } else { String::new() };
        (role, format!("{mark}{severity} {long}{now}{short} {} {factor}x", rule.op))
    };
    let mut parts: Vec<Part> = vec![(Role::Muted, "alerts ".into())];
    for rule in &slo.rules {
        parts.push(part(rule));
        parts.push((Role::Muted, "  ".into()));
    }
    widgets::lines(widgets::take(area, 1), buf, vec![line(theme, parts)]);
}

/// How many times faster than allowed.
fn burns(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}x") } else { format!("{}x", grouped(rate.round() as u64)) }
}

fn date(at: Timestamp) -> String {
    at.to_string().chars().take(16).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

fn alerts(view: &View<'_>, area: Rect, buf: &mut Buffer) {
    let slos = &view.now().slos;
    let head = |alert: &Alert| {
        let (role, word) = match alert.state {
            AlertState::Firing => (Role::Bad, "firing".to_owned()),
            AlertState::Acknowledged => (Role::Watch, "taken".to_owned()),
            AlertState::Resolved => (Role::Good, "resolved".to_owned()),
        };
        let when = ago(alert.resolved.unwrap_or(alert.fired), view.at());
        let level = if alert.level > 1 && alert.state == AlertState::Firing {
            let link = slos.escalation.iter().find(|link| link.level == alert.level);
            link.map_or_else(String::new, |link| format!("-> {} ", link.title))
        } else {
            String::new()
        };
        [
            (role, format!("{} A{} {} {word:<9}", sign(view.theme, role), alert.id, alert.severity.name())),
            (Role::Muted, format!("{when:<13}{level}")),
            (Role::Text, alert.message.clone()),
        ]
    };
    let mut lines = Vec::new();
    if let Some(reason) = &slos.game_days_refused {
        lines.push(line(view.theme, [(Role::Held, format!("{} {reason}", sign(view.theme, Role::Held)))]));
    }
    // What is going on is told whole, over as many lines as it takes, where there is room for that.
    let roomy = usize::from(area.height) >= 2 * slos.active.len();
    for alert in slos.active.iter().rev().chain(slos.resolved.iter().rev()) {
        let [state, when, message] = head(alert);
        let used = state.1.chars().count() + when.1.chars().count();
        let room = usize::from(area.width).saturating_sub(used).max(20);
        let whole = roomy && alert.state != AlertState::Resolved;
        let pieces = if whole { wrap(&message.1, room) } else { vec![message.1.clone()] };
        for (number, piece) in pieces.into_iter().enumerate() {
            let parts = if number == 0 {
                vec![state.clone(), when.clone(), (Role::Text, piece)]
            } else {
                vec![(Role::Text, format!("{:used$}{piece}", ""))]
            };
            lines.push(line(view.theme, parts));
        }
    }
    if lines.is_empty() {
        lines.push(line(view.theme, [(Role::Muted, "No alert has fired. x injects faults.".to_owned())]));
    }
    widgets::lines(area, buf, lines);
}

/// A text in lines of at most `width` letters, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        let gap = usize::from(!last.is_empty());
        if last.chars().count() + gap + word.chars().count() > width && gap == 1 {
            lines.push(word.to_owned());
        } else {
            if gap == 1 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
