//! One evaluation's way through the chain, as spans: each middleware from its entry to its exit, and the strategy between
//! them. It is put together from the readings of the stopwatch that samples use; it must not time anything itself.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::pipeline::FINISHING;
use crate::pipeline::chain::LayerView;

/// A span of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// A middleware's name, `strategy`, or `evaluate(n)` for the whole.
    pub name: String,
    /// How deep it is nested, 0 for the whole.
    pub depth: usize,
    /// When it began, nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// When it ended.
    pub to_ns: u64,
    /// Its own work in it, nanoseconds.
    pub own_ns: u64,
}

/// Readings of a stopwatch: a pair around each call of a middleware.
#[derive(Debug, Clone, Default)]
pub struct Readings(Arc<Mutex<Vec<u64>>>);

impl Readings {
    pub(super) fn note(&self, reading: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(reading);
    }

    /// The spans of the only evaluation that went through a chain, outermost first; `None` when the readings are not of one
    /// evaluation in one attempt.
    pub fn spans(&self, layers: &[LayerView], number: i64) -> Option<Vec<Span>> {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs: Vec<(u64, u64)> = readings.as_chunks::<2>().0.iter().map(|[from, to]| (*from, *to)).collect();
        let entered: Vec<_> = layers.iter().filter(|layer| layer.priority < FINISHING && layer.calls > 0).collect();
        let finishing: Vec<_> = layers.iter().filter(|layer| layer.priority >= FINISHING).collect();
        let ended = entered.iter().any(|layer| layer.short_circuits > 0);
        let left = entered.len() - usize::from(ended);
        if pairs.len() != entered.len() + left + finishing.len() || entered.iter().any(|layer| layer.calls > 1) {
            return None;
        }
        let (first, last) = (pairs.first()?.0, pairs.last()?.1);
        let mut spans = vec![Span {
            name: format!("evaluate({number})"),
            depth: 0,
            from_ns: first,
            to_ns: last,
            own_ns: (last - first).saturating_sub(pairs.iter().map(|(from, to)| to - from).sum()),
        }];
        for (at, layer) in entered.iter().enumerate() {
            let enter = *pairs.get(at)?;
            // Out in reverse: the innermost that let it pass is the first to see it go.
            let leave = if at < left { *pairs.get(entered.len() + left - 1 - at)? } else { (enter.1, enter.1) };
            spans.push(Span {
                name: layer.name.clone(),
                depth: at + 1,
                from_ns: enter.0,
                to_ns: leave.1,
                own_ns: enter.1 - enter.0 + (leave.1 - leave.0),
            });
        }
        if !ended {
            let (from, to) = (pairs.get(entered.len() - 1)?.1, pairs.get(entered.len())?.0);
            let depth = entered.len() + 1;
            spans.push(Span { name: "strategy".into(), depth, from_ns: from, to_ns: to, own_ns: to - from });
        }
        for (layer, (from, to)) in finishing.iter().zip(&pairs[entered.len() + left..]) {
            let (name, own_ns) = (layer.name.clone(), to - from);
            spans.push(Span { name, depth: 1, from_ns: *from, to_ns: *to, own_ns });
        }
        Some(spans)
    }
}
