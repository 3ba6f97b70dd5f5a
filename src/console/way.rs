//! One evaluation's way through the chain, as a waterfall over a screen. It is a copy of what a frame told, so that it stays
//! while the session goes on.

use crossterm::event::KeyCode;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::format::{cut, span};
use super::theme::{Role, Theme};
use super::widgets::{self, Part, line};
use crate::domain::Outcome;
use crate::engine::tally::Recent;
use crate::engine::{SessionInfo, Snapshot};
use crate::telemetry::traces::TraceView;

/// A bar of the waterfall.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bar {
    name: String,
    depth: u8,
    from_ns: u64,
    to_ns: u64,
    own_ns: u64,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    title: String,
    facts: Vec<String>,
    bars: Vec<Bar>,
    /// The first bar that is shown.
    first: usize,
}

impl Way {
    /// The way of the evaluation with this number in the session, as far as the frame tells it.
    pub fn of(sequence: &str, info: &SessionInfo, snapshot: &Snapshot) -> Option<Self> {
        let sequence: u64 = sequence.parse().ok()?;
        let recent = snapshot.recent.iter().find(|one| one.sequence == sequence);
        let trace = snapshot.traces.recent.iter().find(|trace| trace.sequence == sequence);
        let number = recent.map(|one| one.number).or_else(|| trace.map(|trace| trace.number))?;
        let mut facts: Vec<String> = recent.map(told).into_iter().collect();
        let mut bars = Vec::new();
        match trace {
            Some(trace) => {
                let took = format!("{}, {}", trace.outcome.name(), span(trace.duration_ns));
                facts.push(format!("trace {}  {took}", trace.trace_id));
                bars = waterfall(trace, info, snapshot);
            }
            None if snapshot.traces.enabled => facts.push(format!(
                "It was not traced: one in {} is. --set otel.sampling_rate=1 traces all.",
                snapshot.traces.one_in
            )),
            None => facts.push("It was not traced: --set otel.enabled=true turns tracing on.".into()),
        }
        Some(Self { title: format!("Evaluation {sequence}: {number}"), facts, bars, first: 0 })
    }

    /// Takes a key; whether it goes.
    pub fn on_key(&mut self, code: KeyCode) -> bool {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.first = self.first.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => {
                self.first = (self.first + 1).min(self.bars.len().saturating_sub(1));
            }
            KeyCode::Enter | KeyCode::Char('q') => return true,
            _ => {}
        }
        false
    }

    /// Draws it over `area`.
    pub fn draw(&self, theme: &Theme, area: Rect, buf: &mut Buffer) {
        let height = (self.facts.len() + self.bars.len() + 4) as u16;
        let mut inner = widgets::overlay(theme, &self.title, area.width.min(120), height, area, buf);
        for fact in &self.facts {
            widgets::lines(widgets::take(&mut inner, 1), buf, vec![line(theme, [(Role::Text, fact.clone())])]);
        }
        let hint = Rect { y: inner.bottom().saturating_sub(1), height: inner.height.min(1), ..inner };
        inner.height = inner.height.saturating_sub(1);
        let whole = self.bars.iter().map(|bar| bar.to_ns).max().unwrap_or_default().max(1);
        // What names and figures leave.
        let width = usize::from(inner.width).saturating_sub(NAME + 2 * FIGURE + 2);
        let shown = usize::from(inner.height);
        let first = self.first.min(self.bars.len().saturating_sub(shown));
        let lines = self.bars.iter().skip(first).take(shown).map(|bar| line(theme, parts(theme, bar, whole, width)));
        widgets::lines(inner, buf, lines.collect());
        let keys =
            if self.bars.len() > shown { "up and down scroll; Enter or Esc closes" } else { "Enter or Esc closes" };
        widgets::lines(hint, buf, vec![line(theme, [(Role::Muted, keys.to_owned())])]);
    }
}

const NAME: usize = 20;
const FIGURE: usize = 11;

fn told(one: &Recent) -> String {
    let end = match (one.outcome, one.correct) {
        (Outcome::Ok, true) => one.output.clone(),
        (Outcome::Ok, false) => format!("{} (wrong)", one.output),
        (outcome, _) => outcome.name().to_owned(),
    };
    let error = one.error.map_or_else(String::new, |error| format!("  {}", error.code()));
    format!("{end}{error}  {}  {}", one.source.name(), span(one.duration_ns))
}

fn waterfall(trace: &TraceView, info: &SessionInfo, snapshot: &Snapshot) -> Vec<Bar> {
    let name = |layer: Option<u8>| match layer {
        None => info.strategy.clone(),
        Some(layer) => snapshot.pipeline.get(usize::from(layer)).map_or_else(String::new, |layer| layer.name.clone()),
    };
    let bar = |span: &crate::pipeline::trace::Span| Bar {
        name: name(span.layer),
        depth: span.depth,
        from_ns: span.from_ns,
        to_ns: span.to_ns,
        own_ns: span.own_ns,
    };
    trace.spans.iter().map(bar).collect()
}

fn parts(theme: &Theme, bar: &Bar, whole: u64, width: usize) -> Vec<Part> {
    let scale = |at: u64| (u128::from(at) * width as u128 / u128::from(whole)) as usize;
    let before = scale(bar.from_ns).min(width.saturating_sub(1));
    let length = scale(bar.to_ns).saturating_sub(before).max(1).min(width - before.min(width));
    // Indented as far as the name has room for it.
    let indent = usize::from(bar.depth).min(NAME.saturating_sub(bar.name.len() + 1));
    let name = format!("{}{}", " ".repeat(indent), bar.name);
    vec![
        (Role::Text, format!("{:<NAME$}", cut(&name, NAME - 1))),
        (Role::Chart, format!("{}{}", " ".repeat(before), theme.glyphs.bars[8].repeat(length))),
        (Role::Text, format!("{}{:>FIGURE$}", " ".repeat(width - before - length), span(bar.to_ns - bar.from_ns))),
        (Role::Muted, format!("{:>FIGURE$}", span(bar.own_ns))),
    ]
}
