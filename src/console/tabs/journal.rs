//! What happened to the numbers, fact by fact?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::View;
use crate::console::format::{clock, grouped, share};
use crate::console::theme::Role;
use crate::console::widgets::{self, gauge, line};
use crate::domain::Classification;
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
    widgets::rule(theme, "last facts", widgets::take(&mut area, 1), buf);
    let lines = journal.tail.iter().rev().map(|entry| {
        line(
            theme,
            [
                (Role::Muted, format!("{:>12}  {}  ", grouped(entry.version), clock(entry.at))),
                (Role::Text, entry.text.clone()),
            ],
        )
    });
    widgets::lines(area, buf, lines.collect());
}
