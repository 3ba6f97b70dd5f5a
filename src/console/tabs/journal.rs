//! What happened to the numbers, fact by fact?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::View;
use crate::console::filter::evaluations;
use crate::console::format::{clock, cut, grouped, share, span};
use crate::console::theme::Role;
use crate::console::widgets::{self, gauge, line};
use crate::domain::{Classification, Outcome};
use crate::engine::tally::Recent;
use crate::records::journal::FACTS;

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let journal = &view.now().journal;
    if let Some(durable) = &journal.durable {
        if let Some(reason) = &durable.stopped {
            return (Role::Bad, format!("Nothing more is written: {reason}"));
        }
        let text = format!(
            "On the disk: {} events, {} evaluations in {} files; {} evaluations are on their way.",
            grouped(durable.acknowledged),
            grouped(durable.evaluations),
            grouped(durable.segments),
            grouped(durable.behind)
        );
        return (Role::Good, text);
    }
    if !journal.enabled {
        return (Role::Info, "No journal is kept: --set event_sourcing.enabled=true.".into());
    }
    let text = format!(
        "{} facts about {} evaluations; the last {} are in memory, {} snapshots were taken.",
        grouped(journal.events),
        grouped(journal.statistics.evaluations),
        grouped(journal.retained),
        grouped(journal.snapshots)
    );
    (Role::Good, text)
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let journal = &view.now().journal;
    let mut kinds = widgets::take(&mut area, FACTS.len() as u16 + 1);
    let right = Rect { x: kinds.x + kinds.width * 3 / 5, width: kinds.width - kinds.width * 3 / 5, ..kinds };
    kinds.width = kinds.width * 3 / 5;
    let columns = [
        ("fact", Constraint::Length(20), false),
        ("count", Constraint::Length(12), true),
        ("", Constraint::Fill(1), false),
    ];
    let rows = FACTS.iter().zip(journal.by_kind).map(|(name, count)| {
        let part = if journal.events > 0 { count as f64 / journal.events as f64 } else { 0.0 };
        vec![(Role::Text, (*name).to_owned()), (Role::Text, grouped(count)), (Role::Chart, gauge(theme, part, 10))]
    });
    widgets::table(theme, &columns, rows.collect(), None, kinds, buf);
    let all = journal.statistics.classes.iter().sum();
    let mut classes = vec![line(theme, [(Role::Muted, "what follows from them".to_owned())])];
    classes.extend(Classification::ALL.iter().zip(journal.statistics.classes).map(|(class, count)| {
        line(
            theme,
            [
                (Role::Text, format!("{:<9}", class.name())),
                (Role::Text, format!("{:>12}", grouped(count))),
                (Role::Muted, format!("  {}", share(count, all))),
            ],
        )
    }));
    widgets::lines(right, buf, classes);
    widgets::take(&mut area, 1);
    let (mut evaluations, mut facts) = if area.width >= 120 {
        let left = Rect { width: area.width * 3 / 5, ..area };
        (left, Rect { x: area.x + left.width + 2, width: area.width - left.width - 2, ..area })
    } else {
        let half = area.height.div_ceil(2);
        let top = widgets::take(&mut area, half);
        (top, area)
    };
    let title = view.filter.map_or_else(
        || "evaluations".to_owned(),
        |filter| format!("evaluations where {}", cut(&filter.text, usize::from(evaluations.width).saturating_sub(26))),
    );
    widgets::rule(theme, &title, widgets::take(&mut evaluations, 1), buf);
    list(view, evaluations, buf);
    widgets::rule(theme, "last facts", widgets::take(&mut facts, 1), buf);
    let lines = journal.tail.iter().rev().map(|entry| {
        line(
            theme,
            [
                (Role::Muted, format!("{:>12}  {}  ", grouped(entry.version), clock(entry.at))),
                (Role::Text, entry.text.clone()),
            ],
        )
    });
    widgets::lines(facts, buf, lines.collect());
}

fn list(view: &View<'_>, area: Rect, buf: &mut Buffer) {
    let traced = |one: &Recent| view.now().traces.recent.iter().any(|trace| trace.sequence == one.sequence);
    let rows: Vec<_> = evaluations(view.now(), view.filter)
        .map(|one| {
            let (role, word) = match (one.outcome, one.correct) {
                (Outcome::Ok, true) => (Role::Text, one.output.clone()),
                (Outcome::Ok, false) => (Role::Bad, format!("{} (wrong)", one.output)),
                (outcome, _) => (Role::Watch, outcome.name().to_owned()),
            };
            vec![
                (Role::Muted, clock(one.at)),
                (Role::Text, one.number.to_string()),
                (role, word),
                (Role::Muted, one.source.name().to_owned()),
                (Role::Text, span(one.duration_ns)),
                (Role::Info, if traced(one) { "traced".to_owned() } else { String::new() }),
            ]
        })
        .collect();
    if rows.is_empty() {
        let text = match view.filter {
            Some(_) => "None of the last evaluations is like that. Esc shows all.",
            None => "Nothing was evaluated yet.",
        };
        widgets::wrapped(view.theme, Role::Muted, text, area, buf);
        return;
    }
    let columns = [
        ("finished", Constraint::Length(12), false),
        ("number", Constraint::Length(10), true),
        ("answer", Constraint::Fill(1), false),
        ("by", Constraint::Length(8), false),
        ("took", Constraint::Length(9), true),
        ("", Constraint::Length(6), false),
    ];
    widgets::table(view.theme, &columns, rows, Some(view.selected), area, buf);
}
