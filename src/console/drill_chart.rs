//! A drill along its own time: what callers got, what was injected and which breakers were open, on one axis.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::theme::{Role, Theme};
use crate::engine::director::{Bucket, DrillView};

const LABEL: u16 = 10;
/// As many rows as it takes.
pub const HEIGHT: u16 = 5;

/// Draws it into at most [`HEIGHT`] rows.
pub fn draw(theme: &Theme, drill: &DrillView, area: Rect, buf: &mut Buffer) {
    let columns = usize::from(area.width.saturating_sub(LABEL));
    let series = &drill.series;
    if area.height < HEIGHT || columns == 0 || series.is_empty() {
        return;
    }
    let column = |at: usize| {
        let from = at * series.len() / columns;
        let to = ((at + 1) * series.len() / columns).max(from + 1);
        series.get(from..to.min(series.len())).and_then(|part| part.iter().cloned().reduce(Bucket::and))
    };
    let rows: [(&str, Role); 4] =
        [("bad", Role::Bad), ("slowest", Role::Chart), ("faults", Role::Mark), ("breakers", Role::Watch)];
    for (row, (title, _)) in (0..).zip(rows) {
        buf.set_stringn(area.x, area.y + row, title, LABEL.into(), theme.style(Role::Muted));
    }
    let slowest = series.iter().map(|bucket| bucket.slowest_ns).max().unwrap_or(0).max(1) as f64;
    for at in 0..columns {
        let Some(bucket) = column(at) else { continue };
        let bad = bucket.wrong + bucket.failed + bucket.rejected;
        let all = (bucket.right + bad).max(1) as f64;
        let shares = [
            bad as f64 / all,
            bucket.slowest_ns as f64 / slowest,
            f64::from(u8::from(bucket.injections > 0)),
            f64::from(u8::from(bucket.open > 0)),
        ];
        for ((row, share), (_, role)) in (0..).zip(shares).zip(rows) {
            // Whatever is not zero is seen.
            let height = (share.clamp(0.0, 1.0) * 8.0).ceil() as usize;
            if let Some(bar) = theme.glyphs.bars.get(height).filter(|_| height > 0) {
                buf.set_stringn(area.x + LABEL + at as u16, area.y + row, bar, 1, theme.style(role));
            }
        }
    }
    let took = series.last().map_or(0.0, |last| last.at.since(drill.began).as_secs_f64());
    let legend = format!("the drill's own time, {took:.1} s so far; bad: wrong, failed, refused");
    buf.set_stringn(area.x + LABEL, area.y + 4, legend, columns, theme.style(Role::Muted));
}
