//! Which rules are on, and for whom?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::View;
use crate::console::format::{ago, grouped, share};
use crate::console::theme::Role;
use crate::console::widgets::{self, line, sign};
use crate::mechanisms::flags::{FlagView, Reason};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let flags = &view.now().flags;
    if !flags.enabled {
        return (Role::Info, "Flags are off, every rule is on: --set feature_flags.enabled=true.".into());
    }
    if let Some((file, (problem, at))) = flags.file.as_ref().and_then(|file| Some((file, file.refused.as_ref()?))) {
        let when = ago(*at, view.at());
        let what = problem.strip_prefix(&file.file).unwrap_or(problem).trim_start_matches(':');
        return (Role::Bad, format!("{} was refused {when}, the flags from before hold: {what}", file.file));
    }
    let failing = flags.flags.iter().filter(|flag| count(flag, Reason::Error) > 0).count();
    if failing > 0 {
        return (
            Role::Watch,
            format!("The targeting of {failing} of {} flags fails; its reason says so.", flags.flags.len()),
        );
    }
    let on = flags.flags.iter().filter(|flag| flag.enabled).count();
    let off: Vec<_> = flags.flags.iter().filter(|flag| !flag.enabled).filter_map(|flag| flag.rule.as_deref()).collect();
    let off = if off.is_empty() { String::new() } else { format!(" Off with them: {}.", off.join(", ")) };
    let changed = match flags.changes {
        0 => " None was changed in this session.".into(),
        changes => format!(" {changes} changes in this session."),
    };
    let file = flags.file.as_ref().map_or_else(String::new, |file| {
        let loaded = file.loaded.map_or_else(String::new, |at| format!(" read {}", ago(at, view.at())));
        format!(" From {}{loaded}, fractional {}.", name(&file.file), file.generation)
    });
    (Role::Good, format!("{on} of {} flags are on.{off}{changed}{file}", flags.flags.len()))
}

/// A file without its folders.
fn name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// How often a flag gave a reason.
fn count(flag: &FlagView, reason: Reason) -> u64 {
    flag.reasons.iter().find(|(one, _)| *one == reason).map_or(0, |(_, count)| *count)
}

/// Words with how often each came up and its share, the most frequent first.
fn counted(counts: impl Iterator<Item = (String, u64)>) -> String {
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let all = counts.iter().map(|(_, count)| count).sum();
    let parts = counts.into_iter().map(|(word, count)| format!("{word} {} ({})", grouped(count), share(count, all)));
    parts.collect::<Vec<_>>().join(", ")
}

/// What decides, in few letters.
fn short(rollout: &str) -> String {
    match rollout.strip_prefix("fractional ") {
        Some(generation) => format!("split {generation}"),
        None if rollout == "targeting" => "rule".into(),
        None => rollout.to_owned(),
    }
}

/// A reason as people say it.
const fn said(reason: Reason) -> &'static str {
    match reason {
        Reason::Static => "fixed",
        Reason::Default => "default",
        Reason::TargetingMatch => "targeting",
        Reason::Split => "percentage",
        Reason::Disabled => "disabled",
        Reason::Inactive => "not live",
        Reason::DependencyNotMet => "dependency off",
        Reason::Error => "error",
    }
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let flags = &view.now().flags.flags;
    let narrow = area.width < 110;
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
            (Role::Text, if narrow { short(&flag.rollout) } else { flag.rollout.clone() }),
            (Role::Text, flag.rule.clone().unwrap_or_else(|| "-".into())),
            (Role::Text, share(flag.on, flag.evaluations)),
            (Role::Muted, grouped(flag.evaluations)),
            (Role::Muted, flag.changed.as_ref().map_or_else(|| "-".into(), |(_, at)| ago(*at, view.at()))),
        ]
    });
    let height = (flags.len() as u16 + 1).min(area.height.saturating_sub(7));
    widgets::table(theme, &columns, rows.collect(), Some(view.selected), widgets::take(&mut area, height), buf);
    let Some(flag) = flags.get(view.selected) else { return };
    widgets::take(&mut area, 1);
    widgets::rule(theme, &flag.name, widgets::take(&mut area, 1), buf);
    let needs = if flag.depends_on.is_empty() { "nothing".into() } else { flag.depends_on.join(", ") };
    let changed =
        flag.changed.as_ref().map_or_else(|| "never".into(), |(by, at)| format!("by {by}, {}", ago(*at, view.at())));
    let row = |name: &str, text: String| line(theme, [(Role::Muted, format!("{name:<10}")), (Role::Text, text)]);
    let description = if flag.description.is_empty() { "-".into() } else { flag.description.clone() };
    let why = match flag.rule {
        _ if flag.evaluations > 0 => {
            counted(flag.reasons.iter().map(|(reason, count)| (said(*reason).to_owned(), *count)))
        }
        Some(_) => "no number has come yet".into(),
        None => "it switches no rule, so nothing asks for it".into(),
    };
    let mut lines = vec![row("what", description), row("why", why)];
    if !flag.variants.is_empty() {
        lines.push(row("variants", counted(flag.variants.iter().cloned())));
    }
    lines.push(row("needs", format!("{needs}; it is {}", flag.lifecycle.name())));
    lines.push(row("changed", changed));
    if let Some(error) = &flag.error {
        lines.push(line(theme, [(Role::Muted, format!("{:<10}", "error")), (Role::Bad, error.clone())]));
    }
    let height = lines.len() as u16;
    widgets::lines(widgets::take(&mut area, height), buf, lines);
    if let Some(targeting) = flag.targeting.as_ref().filter(|_| area.height > 0) {
        widgets::wrapped(theme, Role::Text, format!("targeting {targeting}"), area, buf);
    }
}
