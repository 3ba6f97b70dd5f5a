//! The scrubber of a replay: the whole session on one line, with its events, notes and markers, and where it is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::player::PlayerView;
use super::theme::{Role, Theme};
use crate::domain::Timestamp;
use crate::recording::MarkKind;

/// The column of a moment on a line of this width.
fn column(view: &PlayerView, moment: Timestamp, width: u16) -> u16 {
    let length = view.to.since(view.from).as_secs_f64();
    let share = if length > 0.0 { moment.since(view.from).as_secs_f64() / length } else { 0.0 };
    (share.clamp(0.0, 1.0) * f64::from(width.saturating_sub(1))).round() as u16
}

/// Draws it. Where several things share a column, the gravest is seen: the place itself, a note, a marker, then events.
pub fn draw(theme: &Theme, view: &PlayerView, area: Rect, buf: &mut Buffer) {
    if area.width < 3 || area.height == 0 {
        return;
    }
    let width = area.width;
    let mut put = |column: u16, text: &str, role: Role| {
        buf.set_stringn(area.x + column, area.y, text, 1, theme.style(role));
    };
    (0..width).for_each(|column| put(column, theme.glyphs.rule, Role::Border));
    if let (Some(from), to) = view.span {
        let (from, to) = (column(view, from, width), column(view, to.unwrap_or(view.to), width));
        (from..=to).for_each(|column| put(column, "=", Role::Held));
        put(from, "[", Role::Held);
        if view.span.1.is_some() {
            put(to, "]", Role::Held);
        }
    }
    for kind in MarkKind::ALL.iter().rev() {
        for mark in view.marks.iter().filter(|mark| mark.kind == *kind) {
            put(column(view, mark.at, width), kind.letter().encode_utf8(&mut [0; 4]), Role::Mark);
        }
    }
    view.markers.iter().for_each(|at| put(column(view, *at, width), "'", Role::Accent));
    view.notes.iter().for_each(|note| put(column(view, note.at, width), "i", Role::Info));
    let place = column(view, view.at, width);
    put(place, "|", Role::Title);
    super::widgets::reverse(theme, Rect { x: area.x + place, width: 1, height: 1, ..area }, buf);
}
