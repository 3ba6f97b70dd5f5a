//! How long do the error budgets last?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::overview::slo_state;
use super::{View, chart_rows, charts};
use crate::console::format::{ago, grouped, long, percent};
use crate::console::theme::Role;
use crate::console::widgets::{self, Chart, gauge, line, sign};
use crate::domain::Timestamp;
use crate::engine::tally::Sample;
use crate::mechanisms::slo::{Alert, AlertState};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let slos = &view.now().slos;
    if !slos.enabled {
        return (Role::Info, "No objective is watched: --set sla.enabled=true.".into());
    }
    let used_up: Vec<_> = slos.slos.iter().filter(|slo| slo.budget_left <= 0.0).map(|slo| slo.name.as_str()).collect();
    if !used_up.is_empty() {
        return (Role::Bad, format!("Used up for this session: the budget of {}.", used_up.join(", ")));
    }
    let lasting = slos.slos.iter().filter_map(|slo| Some((slo.lasts_ms?, slo)));
    match lasting.min_by_key(|(lasts, _)| *lasts) {
        Some((lasts, slo)) => {
            let burn = slo.burn_rate.unwrap_or_default();
            let role = if burn > slos.burn_rate_threshold { Role::Bad } else { Role::Watch };
            (
                role,
                format!(
                    "At the last minute's rate the {} budget lasts {}, burning {} too fast.",
                    slo.name,
                    long(lasts / 1_000),
                    burns(burn)
                ),
            )
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
        ("session", Constraint::Length(8), true),
        ("burn", Constraint::Length(7), true),
        ("budget left", Constraint::Length(if wide { 32 } else { 13 }), false),
        ("lasts", Constraint::Length(if wide { 14 } else { 8 }), true),
    ];
    let rows = slos.slos.iter().map(|slo| {
        let (role, minute) = slo_state(slo, slos.burn_rate_threshold);
        let bar = gauge(theme, slo.budget_left, if wide { 23 } else { 4 });
        vec![
            (Role::Text, if wide { format!("{}: {}", slo.name, slo.objective) } else { slo.name.clone() }),
            (Role::Muted, percent(Some(slo.target))),
            (role, format!("{} {minute}", sign(theme, role))),
            (Role::Text, percent(slo.session.compliance())),
            (role, slo.burn_rate.map_or_else(|| "-".into(), burns)),
            (role, format!("{bar} {:>5.1} %", slo.budget_left * 100.0)),
            (Role::Text, slo.lasts_ms.map_or_else(|| "-".into(), |ms| long(ms / 1_000))),
        ]
    });
    let height = slos.slos.len() as u16 + 1;
    widgets::table(theme, &columns, rows.collect(), Some(view.selected), widgets::take(&mut area, height), buf);
    if let Some(slo) = slos.slos.get(view.selected) {
        let session = slo.session;
        let text = format!("{}: {} of {} were not.", slo.objective, session.bad(), session.good + session.bad());
        widgets::lines(widgets::take(&mut area, 1), buf, vec![line(theme, [(Role::Muted, text)])]);
    }
    widgets::take(&mut area, 1);
    let count = slos.slos.len() as u16;
    let rows = chart_rows(area, 7, count.max(1)).min(5);
    let burn = |index: usize| move |sample: &Sample| sample.burn_rates.get(index).copied().flatten();
    let figures: Vec<_> = (0..slos.slos.len()).map(burn).collect();
    let titles: Vec<&str> = slos.slos.iter().map(|slo| slo.name.as_str()).collect();
    let drawn: Vec<Chart<'_>> = figures
        .iter()
        .zip(&titles)
        .map(|(figure, title)| Chart { title, figure, text: &burns, full: None, role: Role::Watch })
        .collect();
    charts(view, &drawn, rows, &mut area, buf);
    widgets::take(&mut area, 1);
    let title = format!("alerts: {} active, {} fired so far", slos.active.len(), slos.fired);
    widgets::rule(theme, &title, widgets::take(&mut area, 1), buf);
    let duty = widgets::take(&mut Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area }, 1);
    area.height = area.height.saturating_sub(1);
    alerts(view, area, buf);
    let duty_text = format!(
        "on call for {}: {} until {}, then {}",
        slos.team,
        slos.on_call,
        date(slos.on_call_until),
        slos.on_call_next
    );
    widgets::lines(duty, buf, vec![line(theme, [(Role::Muted, duty_text)])]);
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
    let text = |alert: &Alert| {
        let (role, word) = match alert.state {
            AlertState::Firing => (Role::Bad, "firing".to_owned()),
            AlertState::Acknowledged => (Role::Watch, "taken".to_owned()),
            AlertState::Resolved => (Role::Good, "resolved".to_owned()),
        };
        let when = ago(alert.resolved.unwrap_or(alert.fired), view.at());
        line(
            view.theme,
            [
                (role, format!("{} A{} {} {word:<9}", sign(view.theme, role), alert.id, alert.severity.name())),
                (Role::Muted, format!("{when:<13}")),
                (Role::Text, alert.message.clone()),
            ],
        )
    };
    let mut lines: Vec<_> = slos.active.iter().rev().chain(slos.resolved.iter().rev()).map(text).collect();
    if lines.is_empty() {
        lines.push(line(view.theme, [(Role::Muted, "No alert has fired. x injects faults.".to_owned())]));
    }
    widgets::lines(area, buf, lines);
}
