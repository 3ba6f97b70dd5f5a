//! Which rules are on, and for whom?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::View;
use crate::console::format::{ago, grouped, share};
use crate::console::theme::Role;
use crate::console::widgets::{self, line, sign};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let flags = &view.now().flags;
    if !flags.enabled {
        return (Role::Info, "Flags are off, every rule is on: --set feature_flags.enabled=true.".into());
    }
    let on = flags.flags.iter().filter(|flag| flag.enabled).count();
    let off: Vec<_> = flags.flags.iter().filter(|flag| !flag.enabled).filter_map(|flag| flag.rule.as_deref()).collect();
    let off = if off.is_empty() { String::new() } else { format!(" Off with them: {}.", off.join(", ")) };
    let changed = match flags.changes {
        0 => " None was changed in this session.".into(),
        changes => format!(" {changes} changes in this session."),
    };
    (Role::Good, format!("{on} of {} flags are on.{off}{changed}", flags.flags.len()))
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let flags = &view.now().flags.flags;
    let columns = [
        ("flag", Constraint::Fill(2), false),
        ("state", Constraint::Length(6), false),
        ("rollout", Constraint::Fill(1), false),
        ("rule", Constraint::Length(6), false),
        ("on for", Constraint::Length(8), true),
        ("asked", Constraint::Length(11), true),
        ("changed", Constraint::Length(12), true),
    ];
    let rows = flags.iter().map(|flag| {
        let (role, word) = if flag.enabled { (Role::Good, "on") } else { (Role::Muted, "off") };
        vec![
            (Role::Text, flag.name.clone()),
            (role, format!("{} {word}", sign(theme, role))),
            (Role::Text, flag.rollout.clone()),
            (Role::Text, flag.rule.clone().unwrap_or_else(|| "-".into())),
            (Role::Text, share(flag.on, flag.evaluations)),
            (Role::Muted, grouped(flag.evaluations)),
            (Role::Muted, flag.changed.as_ref().map_or_else(|| "-".into(), |(_, at)| ago(*at, view.at()))),
        ]
    });
    let height = (flags.len() as u16 + 1).min(area.height.saturating_sub(5));
    widgets::table(theme, &columns, rows.collect(), Some(view.selected), widgets::take(&mut area, height), buf);
    let Some(flag) = flags.get(view.selected) else { return };
    widgets::take(&mut area, 1);
    widgets::rule(theme, &flag.name, widgets::take(&mut area, 1), buf);
    let needs = if flag.depends_on.is_empty() { "nothing".into() } else { flag.depends_on.join(", ") };
    let changed =
        flag.changed.as_ref().map_or_else(|| "never".into(), |(by, at)| format!("by {by}, {}", ago(*at, view.at())));
    let row = |name: &str, text: String| line(theme, [(Role::Muted, format!("{name:<10}")), (Role::Text, text)]);
    let lines = vec![
        row("what", flag.description.clone()),
        row("needs", format!("{needs}; it is {}", flag.lifecycle.name())),
        row("changed", changed),
    ];
    widgets::lines(area, buf, lines);
}
