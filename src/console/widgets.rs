//! What the screens are made of: lines of parts with a role each, tables, gauges, and charts on one time axis.

use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::Style;
use ratatui::symbols::bar;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{
    Cell, Paragraph, RenderDirection, Row, Sparkline, StatefulWidget, Table, TableState, Widget, Wrap,
};

use super::format::cut;
use super::theme::{Role, Theme};
use super::timeline::Timeline;
use crate::domain::Timestamp;
use crate::engine::tally::Sample;

/// A piece of text with what it means.
pub type Part = (Role, String);

/// A line of parts.
pub fn line(theme: &Theme, parts: impl IntoIterator<Item = Part>) -> Line<'static> {
    Line::from_iter(parts.into_iter().map(|(role, text)| Span::styled(text, theme.style(role))))
}

/// Writes lines from the top, cut at the right edge.
pub fn lines(area: Rect, buf: &mut Buffer, lines: Vec<Line<'_>>) {
    Paragraph::new(lines).render(area, buf);
}

/// Writes a text that goes on in the next line.
pub fn wrapped(theme: &Theme, role: Role, text: impl Into<String>, area: Rect, buf: &mut Buffer) {
    Paragraph::new(text.into()).style(theme.style(role)).wrap(Wrap { trim: true }).render(area, buf);
}

/// The sign of a state.
pub fn sign(theme: &Theme, role: Role) -> &'static str {
    match role {
        Role::Good => theme.glyphs.good,
        Role::Watch | Role::Info => theme.glyphs.watch,
        Role::Bad => theme.glyphs.bad,
        Role::Held => theme.glyphs.held,
        _ => theme.glyphs.dot,
    }
}

/// A rule across, with a title in it.
pub fn rule(theme: &Theme, title: &str, area: Rect, buf: &mut Buffer) {
    let border = theme.style(Role::Border);
    buf.set_stringn(area.x, area.y, theme.glyphs.rule.repeat(area.width.into()), area.width.into(), border);
    if !title.is_empty() && area.width > 6 {
        let title = format!(" {} ", cut(title, usize::from(area.width) - 4));
        buf.set_stringn(area.x + 2, area.y, title, usize::from(area.width) - 2, theme.style(Role::Title));
    }
}

/// A gauge of `width` columns for a share from 0 to 1.
pub fn gauge(theme: &Theme, share: f64, width: usize) -> String {
    let bars = &theme.glyphs.gauge;
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let mut text = bars[8].repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push_str(bars[eighths % 8]);
    }
    let filled = eighths.div_ceil(8);
    text.push_str(&theme.glyphs.empty.repeat(width.saturating_sub(filled)));
    text
}

/// A column of a table: its heading, its width, and whether its values are numbers.
pub type Column = (&'static str, Constraint, bool);

/// Draws a table. The selected row is reversed and kept in sight.
pub fn table(
    theme: &Theme,
    columns: &[Column],
    rows: Vec<Vec<Part>>,
    selected: Option<usize>,
    area: Rect,
    buf: &mut Buffer,
) {
    let align = |right: bool| if right { Alignment::Right } else { Alignment::Left };
    let header = columns.iter().map(|(title, _, right)| Cell::from(Text::from(*title).alignment(align(*right))));
    let rows = rows.into_iter().map(|row| {
        let cells = row.into_iter().zip(columns).map(|((role, text), (_, _, right))| {
            Cell::from(Text::from(Line::from(Span::styled(text, theme.style(role)))).alignment(align(*right)))
        });
        Row::new(cells.collect::<Vec<_>>())
    });
    let table = Table::new(rows, columns.iter().map(|(_, width, _)| *width))
        .header(Row::new(header.collect::<Vec<_>>()).style(theme.style(Role::Muted)))
        .column_spacing(2)
        .row_highlight_style(theme.selected());
    let mut state = TableState::new().with_selected(selected);
    StatefulWidget::render(table, area, buf, &mut state);
}

/// The time axis that all charts of a screen share: one column an interval, the latest at the right.
pub struct Axis<'a> {
    samples: Vec<&'a Sample>,
    timeline: &'a Timeline,
    label: u16,
    value: u16,
}

/// A chart on the axis.
pub struct Chart<'a> {
    /// What it shows.
    pub title: &'a str,
    /// The figure of each interval; `None` where there is none.
    pub figure: &'a dyn Fn(&Sample) -> Option<f64>,
    /// How a figure is written.
    pub text: &'a dyn Fn(f64) -> String,
    /// A figure that fills the chart, if it is fixed; else the largest one does.
    pub full: Option<f64>,
    /// How it is drawn.
    pub role: Role,
}

impl<'a> Axis<'a> {
    const LABEL: u16 = 13;
    const VALUE: u16 = 11;

    /// For charts of this width.
    pub fn new(timeline: &'a Timeline, width: u16) -> Self {
        let columns = width.saturating_sub(Self::LABEL + Self::VALUE);
        Self { samples: timeline.samples(columns.into()).collect(), timeline, label: Self::LABEL, value: Self::VALUE }
    }

    /// Draws a chart: its title and largest figure at the left, the latest figure at the right.
    pub fn chart(&self, theme: &Theme, chart: &Chart<'_>, area: Rect, buf: &mut Buffer) {
        if area.height == 0 || area.width <= self.label + self.value {
            return;
        }
        let figures: Vec<Option<f64>> = self.samples.iter().map(|sample| (chart.figure)(sample)).collect();
        let largest = figures.iter().flatten().copied().fold(0.0, f64::max);
        let full = chart.full.unwrap_or(largest);
        let muted = theme.style(Role::Muted);
        buf.set_stringn(area.x, area.y, chart.title, self.label.into(), theme.style(Role::Text));
        if area.height > 1 && full > 0.0 {
            let scale = format!("to {}", (chart.text)(full));
            buf.set_stringn(area.x, area.y + 1, scale, usize::from(self.label) - 1, muted);
        }
        let latest = figures.last().copied().flatten().map_or_else(|| "-".to_owned(), chart.text);
        let right = area.right().saturating_sub(self.value);
        let bottom = area.bottom() - 1;
        buf.set_stringn(right, bottom, format!("{latest:>10}"), self.value.into(), theme.style(Role::Text));
        let plot = Rect { x: area.x + self.label, width: area.width - self.label - self.value, ..area };
        let steps = f64::from(area.height) * 8.0;
        // Whatever is not zero is seen.
        let height = |figure: f64| {
            if full > 0.0 { ((figure / full).clamp(0.0, 1.0) * steps).ceil() as u64 } else { 0 }
        };
        Sparkline::default()
            .data(figures.iter().rev().map(|figure| figure.map(height)))
            .max(steps as u64)
            .direction(RenderDirection::RightToLeft)
            .bar_set(bars(theme))
            .absent_value_symbol(" ")
            .style(theme.style(chart.role))
            .render(plot, buf);
    }

    /// Draws the marks of each interval, two rows of them.
    pub fn marks(&self, theme: &Theme, area: Rect, buf: &mut Buffer) {
        if area.height == 0 || area.width <= self.label + self.value {
            return;
        }
        // What was done stands above what came of it.
        self.row(theme, "actions", "FDGC", "F fault  D drill  G flag  C command", area, buf);
        if area.height > 1 {
            self.row(theme, "effects", "AB", "A alert  B breaker", Rect { y: area.y + 1, ..area }, buf);
        }
    }

    /// A row of marks: of each interval the first one of `letters` that it has.
    fn row(&self, theme: &Theme, title: &str, letters: &str, legend: &str, area: Rect, buf: &mut Buffer) {
        buf.set_stringn(area.x, area.y, title, self.label.into(), theme.style(Role::Muted));
        let end = area.right() - self.value;
        for (back, sample) in (1..).zip(self.samples.iter().rev()) {
            let from = Timestamp::from_millis(sample.at.as_millis().saturating_sub(sample.span_ms));
            let marks = self.timeline.between(from, sample.at).filter_map(|event| super::narrate::tell(event).mark);
            let first = marks.filter_map(|mark| Some((letters.find(mark)?, mark))).min();
            if let Some((_, mark)) = first
                && end >= area.x + back
            {
                buf.set_string(end - back, area.y, mark.to_string(), theme.style(Role::Mark));
            }
        }
        if self.samples.len() < 4 {
            buf.set_stringn(
                area.x + self.label,
                area.y,
                legend,
                (end - area.x - self.label).into(),
                theme.style(Role::Muted),
            );
        }
    }
}

fn bars(theme: &Theme) -> bar::Set<'static> {
    let bars = theme.glyphs.bars;
    bar::Set {
        empty: bars[0],
        one_eighth: bars[1],
        one_quarter: bars[2],
        three_eighths: bars[3],
        half: bars[4],
        five_eighths: bars[5],
        three_quarters: bars[6],
        seven_eighths: bars[7],
        full: bars[8],
    }
}

/// The first `height` rows of `area`, and the rest.
pub fn take(area: &mut Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    let top = Rect { height, ..*area };
    area.y += height;
    area.height -= height;
    top
}

/// Clears an area in the middle of `outer` for an overlay with a title, and yields what is inside its border.
pub fn overlay(theme: &Theme, title: &str, width: u16, height: u16, outer: Rect, buf: &mut Buffer) -> Rect {
    let (width, height) = (width.min(outer.width), height.min(outer.height));
    let area = Rect { x: outer.x + (outer.width - width) / 2, y: outer.y + (outer.height - height) / 3, width, height };
    ratatui::widgets::Clear.render(area, buf);
    buf.set_style(area, theme.base());
    let block = ratatui::widgets::Block::bordered()
        .border_set(theme.glyphs.border)
        .border_style(theme.style(Role::Accent))
        .title(Span::styled(format!(" {title} "), theme.style(Role::Title)));
    let inner = block.inner(area);
    block.render(area, buf);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// Reverses a row.
pub fn reverse(theme: &Theme, area: Rect, buf: &mut Buffer) {
    buf.set_style(area, theme.selected());
}

/// Writes one text at a place.
pub fn put(x: u16, y: u16, text: &str, style: Style, area: Rect, buf: &mut Buffer) {
    if y < area.bottom() && x < area.right() {
        buf.set_stringn(x, y, text, (area.right() - x).into(), style);
    }
}
