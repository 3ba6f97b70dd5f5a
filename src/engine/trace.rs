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

#[cfg(test)]
mod tests {
    use crate::engine::{Engine, Options, Seed, Settings, WorkloadKind};
    use crate::telemetry::traces::TracesView;

    fn traced(options: Options) -> TracesView {
        let mut settings = Settings::everything();
        settings.otel.sampling_rate = 1.0;
        settings.workload.kind = WorkloadKind::Range;
        (settings.workload.to, settings.workload.rate) = (40, 0);
        settings.chaos.enabled = true;
        settings.chaos.level = 3;
        let mut engine = Engine::new(&settings, options).unwrap();
        while let Some(due) = engine.next_due() {
            engine.advance(due, 1_000);
        }
        engine.snapshot().traces
    }

    #[test]
    fn spans_lie_within_those_that_they_are_in_on_both_clocks() {
        for options in [Options::live(Seed(3)), Options::simulated(3)] {
            let wall = options.wall.is_some();
            let view = traced(options);
            assert_eq!((view.traces, view.recent.len()), (40, 8));
            for trace in &view.recent {
                assert!(trace.spans.len() > 5, "{trace:?}");
                let mut around: Vec<&crate::pipeline::trace::Span> = Vec::new();
                for span in &trace.spans {
                    around.truncate(span.depth.into());
                    assert!(span.from_ns <= span.to_ns, "{trace:?}");
                    if let Some(outer) = around.last() {
                        assert!(outer.from_ns <= span.from_ns && span.to_ns <= outer.to_ns, "{trace:?}");
                    }
                    around.push(span);
                }
                let own: u64 = trace.spans.iter().filter(|span| span.layer.is_some()).map(|span| span.own_ns).sum();
                assert_eq!(own > 0, wall, "own work is measured on the wall clock only: {trace:?}");
            }
        }
        assert_eq!(traced(Options::simulated(3)), traced(Options::simulated(3)), "a seed is a session");
    }
}
