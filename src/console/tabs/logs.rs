//! What did the program say about itself? The same sentences live and in a replay, for they are told by the events.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use tracing::Level;

use super::View;
use crate::console::theme::Role;
use crate::console::widgets::{self, line};
use crate::console::{format, narrate};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    match view.timeline.missed() {
        0 => (Role::Info, "Newest at the bottom. Page up scrolls back, page down and G return.".into()),
        missed => (Role::Watch, format!("{missed} events came faster than they could be shown and are missing here.")),
    }
}

/// Draws the log, `back` lines above its end at the bottom.
pub fn draw(view: &View<'_>, back: usize, area: Rect, buf: &mut Buffer) {
    let height = usize::from(area.height);
    let back = back.min(view.timeline.events().count().saturating_sub(height));
    let told = view.timeline.events().skip(back).take(height).map(|event| {
        let told = narrate::tell(event);
        let role = match told.level {
            Level::ERROR => Role::Bad,
            Level::WARN => Role::Watch,
            Level::INFO => Role::Text,
            _ => Role::Muted,
        };
        let text = format!("{} {}: {}", format::clock(event.at), told.topic, told.text);
        line(view.theme, [(role, format!("{:<5} ", told.level)), (role, text)])
    });
    let mut lines: Vec<Line<'_>> = told.collect();
    lines.reverse();
    widgets::lines(area, buf, lines);
}
