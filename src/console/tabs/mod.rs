//! The screens, one file a tab. A screen answers one question in a sentence at its top, and shows the evidence below.
//! Screens draw what the latest frame says; they change nothing.

mod breakers;
mod caches;
mod flags;
mod game_days;
mod journal;
mod ledger;
mod logs;
mod overview;
mod pipeline;
mod slos;

pub use logs::draw as draw_logs;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::commands::Tab;
use super::filter::Chosen;
use super::theme::{Role, Theme};
use super::timeline::Timeline;
use super::widgets::{self, Axis, Chart};
use crate::domain::{Outcome, Timestamp};
use crate::engine::tally::{Counts, Sample};
use crate::engine::{Frame, SessionInfo, Snapshot};

/// What a screen is drawn from.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What does not change in the session.
    pub info: &'a SessionInfo,
    /// The latest frame.
    pub frame: &'a Frame,
    /// What came before it.
    pub timeline: &'a Timeline,
    /// How it is drawn.
    pub theme: &'a Theme,
    /// The selected row of the tab's list.
    pub selected: usize,
    /// Which evaluations are listed.
    pub filter: Option<&'a Chosen>,
}

impl<'a> View<'a> {
    /// The subsystems.
    pub const fn now(&self) -> &'a Snapshot {
        &self.frame.snapshot
    }

    /// The frame's moment.
    pub const fn at(&self) -> Timestamp {
        self.frame.at
    }

    /// What finished in the last `seconds` intervals.
    pub fn lately(&self, seconds: usize) -> Counts {
        self.timeline.samples(seconds).map(|sample| sample.counts).sum()
    }

    /// Evaluations a second in the last interval.
    pub fn throughput(&self) -> Option<f64> {
        self.timeline.samples(1).next().and_then(per_second)
    }
}

/// Evaluations a second of an interval.
pub fn per_second(sample: &Sample) -> Option<f64> {
    (sample.span_ms > 0).then(|| sample.counts.evaluations as f64 * 1_000.0 / sample.span_ms as f64)
}

/// A share of what finished in an interval.
pub fn ratio(some: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| some as f64 / all as f64)
}

/// Evaluations that did not end well: failed, timed out or rejected.
pub fn bad(counts: &Counts) -> u64 {
    counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut) + counts.of(Outcome::Rejected)
}

/// The answer to the tab's question, with the state that it tells of.
pub fn sentence(tab: Tab, view: &View<'_>) -> (Role, String) {
    match tab {
        Tab::Overview => overview::sentence(view),
        Tab::Pipeline => pipeline::sentence(view),
        Tab::Breakers => breakers::sentence(view),
        Tab::Caches => caches::sentence(view),
        Tab::Slos => slos::sentence(view),
        Tab::Flags => flags::sentence(view),
        Tab::GameDays => game_days::sentence(view),
        Tab::Ledger => ledger::sentence(view),
        Tab::Journal => journal::sentence(view),
        Tab::Logs => logs::sentence(view),
    }
}

/// The evidence.
pub fn draw(tab: Tab, view: &View<'_>, area: Rect, buf: &mut Buffer) {
    match tab {
        Tab::Overview => overview::draw(view, area, buf),
        Tab::Pipeline => pipeline::draw(view, area, buf),
        Tab::Breakers => breakers::draw(view, area, buf),
        Tab::Caches => caches::draw(view, area, buf),
        Tab::Slos => slos::draw(view, area, buf),
        Tab::Flags => flags::draw(view, area, buf),
        Tab::GameDays => game_days::draw(view, area, buf),
        Tab::Ledger => ledger::draw(view, area, buf),
        Tab::Journal => journal::draw(view, area, buf),
        Tab::Logs => {} // Drawn by the application, which knows how far it is scrolled.
    }
}

/// The ids of the rows that can be selected on a tab, in order.
pub fn rows(tab: Tab, info: &SessionInfo, snapshot: &Snapshot, filter: Option<&Chosen>) -> Vec<String> {
    match tab {
        Tab::Pipeline => snapshot.traces.recent.iter().rev().map(|trace| trace.sequence.to_string()).collect(),
        Tab::Journal => {
            super::filter::evaluations(snapshot, filter).map(|evaluation| evaluation.sequence.to_string()).collect()
        }
        Tab::Breakers => snapshot.breakers.iter().map(|breaker| breaker.name.clone()).collect(),
        Tab::Slos => snapshot.slos.slos.iter().map(|slo| slo.name.clone()).collect(),
        Tab::Flags => snapshot.flags.flags.iter().map(|flag| flag.name.clone()).collect(),
        // The latest first, as they are drawn.
        Tab::Ledger => snapshot.ledger.audit.iter().rev().map(|entry| entry.index.to_string()).collect(),
        Tab::GameDays => info.scenarios.iter().map(|scenario| scenario.name.clone()).collect(),
        _ => Vec::new(),
    }
}

/// Draws charts below one another on one axis, with the marks under them; `rows` high each.
fn charts(view: &View<'_>, charts: &[Chart<'_>], rows: u16, area: &mut Rect, buf: &mut Buffer) {
    let axis = Axis::new(view.timeline, area.width);
    for chart in charts {
        axis.chart(view.theme, chart, widgets::take(area, rows), buf);
    }
    axis.marks(view.theme, widgets::take(area, 2), buf);
}

/// How high charts can be when `used` rows are needed for the rest.
fn chart_rows(area: Rect, used: u16, charts: u16) -> u16 {
    (area.height.saturating_sub(used + 2) / charts).clamp(1, 6)
}
