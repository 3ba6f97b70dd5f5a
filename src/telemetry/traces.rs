//! Traces: a span around each sampled evaluation, from the first middleware to the last.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::domain::{ErrorCode, Kind, Outcome, Payload, ResultId, Timestamp};
use crate::pipeline::trace::Span;
use crate::pipeline::{Chain, Context, Flow, Middleware, Outbox};

/// The section `otel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// Whether evaluations are traced.
    pub enabled: bool,
    /// The share of evaluations that is, 0 to 1: one in round(1 / rate).
    pub sampling_rate: f64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { enabled: false, sampling_rate: 0.01 }
    }
}

/// A rate is impossible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("otel.sampling_rate is {0}; it must be above 0 and at most 1")]
pub struct TracesError(f64);

impl TracesError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::Configuration
    }
}

/// A finished trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceView {
    /// 32 hexadecimal digits (W3C trace context), determined by the seed.
    pub trace_id: String,
    /// What was asked.
    pub number: i64,
    /// When it began.
    pub began: Timestamp,
    /// How long it took, nanoseconds.
    pub duration_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Its place in the session.
    #[serde(default)]
    pub sequence: u64,
    /// Each middleware and the strategy, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
}

/// The mechanism, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracesView {
    /// Whether evaluations are traced.
    pub enabled: bool,
    /// One evaluation in this many is.
    pub one_in: u64,
    /// Traces finished so far.
    pub traces: u64,
    /// The last ones, oldest first.
    pub recent: Vec<TraceView>,
}

const RECENT: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Trace {
    sequence: u64,
    number: i64,
    began: Timestamp,
    ended: Timestamp,
    outcome: Outcome,
}

/// The middleware, at priority -10, outside of all others.
#[derive(Debug)]
pub struct Traces {
    enabled: bool,
    one_in: u64,
    seed: u64,
    traces: u64,
    recent: VecDeque<Trace>,
}

impl Traces {
    /// As configured; trace ids follow from `seed`.
    ///
    /// # Errors
    /// [`TracesError`] for a rate that is impossible.
    pub fn new(config: &TracesConfig, seed: u64) -> Result<Self, TracesError> {
        let rate = config.sampling_rate;
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(TracesError(rate));
        }
        let one_in = (1.0 / rate).round().max(1.0) as u64;
        Ok(Self { enabled: config.enabled, one_in, seed, traces: 0, recent: VecDeque::with_capacity(RECENT) })
    }

    fn id(&self, sequence: u64) -> String {
        ResultId::new(!self.seed, sequence).to_string().replace('-', "")
    }

    fn sampled(&self, context: &Context) -> bool {
        self.enabled && context.sequence.is_multiple_of(self.one_in)
    }

    /// One evaluation in this many is traced; `None` when none is.
    pub fn one_in(&self) -> Option<u64> {
        self.enabled.then_some(self.one_in)
    }

    /// As it is shown, with the spans that `chain` noted.
    pub fn view(&self, chain: &Chain) -> TracesView {
        let recent = self.recent.iter().map(|trace| TraceView {
            trace_id: self.id(trace.sequence),
            number: trace.number,
            began: trace.began,
            duration_ns: crate::domain::time::nanos(trace.ended.since(trace.began)),
            outcome: trace.outcome,
            sequence: trace.sequence,
            spans: chain.spans(trace.sequence, trace.began),
        });
        TracesView { enabled: self.enabled, one_in: self.one_in, traces: self.traces, recent: recent.collect() }
    }
}

impl Middleware for Traces {
    fn name(&self) -> &'static str {
        "tracing"
    }

    fn priority(&self) -> i16 {
        -10
    }

    fn enter(&mut self, context: &mut Context, out: &mut Outbox) -> Flow {
        if self.sampled(context) {
            let (sequence, number) = (context.sequence, context.number);
            out.emit(Kind::TraceStarted, || Payload::TraceStarted { trace_id: self.id(sequence), number });
        }
        Flow::Continue
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        if !self.sampled(context) {
            return;
        }
        self.traces += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        let (sequence, number, outcome) = (context.sequence, context.number, context.outcome);
        self.recent.push_back(Trace { sequence, number, began: context.admitted, ended: context.now, outcome });
        let duration_us = context.now.since(context.admitted).as_secs_f64() * 1e6;
        out.emit(Kind::TraceEnded, || Payload::TraceEnded {
            trace_id: self.id(sequence),
            number,
            duration_us,
            outcome,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, RuleSet};
    use crate::pipeline::Layers;

    struct Nothing;

    impl Layers for Nothing {
        fn count(&self) -> usize {
            0
        }

        fn layer(&mut self, _index: usize) -> &mut dyn Middleware {
            unreachable!("there is none")
        }
    }

    #[test]
    fn one_evaluation_in_so_many_is_traced() {
        let mut traces = Traces::new(&TracesConfig { enabled: true, sampling_rate: 0.1 }, 7).unwrap();
        let mut out = Outbox::new(EventMask::ALL, 100);
        for sequence in 0..100 {
            let mut context = Context::new(sequence, 1, RuleSet::classic().all(), Timestamp::from_nanos(10));
            assert_eq!(traces.enter(&mut context, &mut out), Flow::Continue);
            context.now = Timestamp::from_nanos(35);
            traces.leave(&mut context, &mut out);
        }
        let view = traces.view(&Chain::new(&mut Nothing));
        assert_eq!((view.traces, out.take().len(), view.recent[0].duration_ns), (10, 20, 25));
        assert!(view.recent.iter().all(|trace| trace.trace_id.len() == 32));
        assert!(Traces::new(&TracesConfig { enabled: true, sampling_rate: 0.0 }, 7).is_err());
    }
}
