//! The spans of sampled evaluations: when each middleware was entered and left, and the strategy between. The chain notes
//! it as it walks; on the wall clock by the stopwatch's readings, on the virtual clock by the evaluation's own moments. It
//! must not read a clock, and of an evaluation that is not sampled it knows nothing.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// A span of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The middleware, by its place in the chain's view; `None` for the strategy.
    pub layer: Option<u8>,
    /// How many spans it is within, the whole not counted.
    pub depth: u8,
    /// When it began, nanoseconds after the evaluation's admission.
    pub from_ns: u64,
    /// When it ended.
    pub to_ns: u64,
    /// The middleware's own work in it, nanoseconds; 0 on the virtual clock, where only waiting takes time.
    pub own_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Enter { place: u8, from: u64, to: u64 },
    Leave { place: u8, from: u64, to: u64 },
}

/// Traces that are kept: the last finished ones.
const KEPT: usize = 8;
/// Steps of one evaluation, at most; one that is tried again for ever does not fill the memory.
const STEPS: usize = 512;

/// Notes the steps of sampled evaluations.
#[derive(Debug)]
pub struct Recorder {
    one_in: u64,
    open: BTreeMap<u64, Vec<Step>>,
    /// By sequence, oldest first.
    done: VecDeque<(u64, Vec<Step>)>,
}

impl Recorder {
    /// For one evaluation in `one_in`.
    pub fn new(one_in: u64) -> Self {
        Self { one_in: one_in.max(1), open: BTreeMap::new(), done: VecDeque::with_capacity(KEPT) }
    }

    /// Whether the evaluation with this number is sampled.
    #[inline]
    pub const fn samples(&self, sequence: u64) -> bool {
        sequence.is_multiple_of(self.one_in)
    }

    fn note(&mut self, sequence: u64, step: Step) {
        let steps = self.open.entry(sequence).or_default();
        if steps.len() < STEPS {
            steps.push(step);
        }
    }

    pub(super) fn entered(&mut self, sequence: u64, place: usize, (from, to): (u64, u64)) {
        self.note(sequence, Step::Enter { place: place as u8, from, to });
    }

    pub(super) fn left(&mut self, sequence: u64, place: usize, (from, to): (u64, u64)) {
        self.note(sequence, Step::Leave { place: place as u8, from, to });
    }

    pub(super) fn finished(&mut self, sequence: u64) {
        let Some(steps) = self.open.remove(&sequence) else { return };
        if self.done.len() == KEPT {
            self.done.pop_front();
        }
        self.done.push_back((sequence, steps));
    }

    /// The spans of a finished evaluation that began at `began`, outermost first; `finishing` is the first place of the
    /// middleware that wrap nothing. `None` when it was not sampled or is forgotten.
    pub(super) fn spans(&self, sequence: u64, began: u64, finishing: usize) -> Option<Vec<Span>> {
        let (_, steps) = self.done.iter().rev().find(|(done, _)| *done == sequence)?;
        Some(spans(steps, began, finishing))
    }
}

fn spans(steps: &[Step], began: u64, finishing: usize) -> Vec<Span> {
    let after = |at: u64| at.saturating_sub(began);
    let mut found: Vec<Span> = Vec::new();
    // Spans that are entered and not left: where they are among those found.
    let mut open: Vec<usize> = Vec::new();
    let mut before = None;
    for step in steps {
        match *step {
            Step::Enter { place, from, to } => {
                open.push(found.len());
                let depth = open.len() as u8 - 1;
                let (from_ns, to_ns) = (after(from), after(to));
                found.push(Span { layer: Some(place), depth, from_ns, to_ns, own_ns: to.saturating_sub(from) });
            }
            Step::Leave { place, from, to } if usize::from(place) >= finishing => {
                let (from_ns, to_ns) = (after(from), after(to));
                found.push(Span { layer: Some(place), depth: 0, from_ns, to_ns, own_ns: to.saturating_sub(from) });
            }
            Step::Leave { place, from, to } => {
                // Whoever let it in as far as the innermost had the strategy answer.
                if let Some(Step::Enter { place: last, to: asked, .. }) = before
                    && usize::from(last) + 1 == finishing
                {
                    let (from_ns, to_ns, depth) = (after(asked), after(from), open.len() as u8);
                    found.push(Span { layer: None, depth, from_ns, to_ns, own_ns: from.saturating_sub(asked) });
                }
                // One that ended the evaluation was never left: its span is its entry.
                while let Some(span) = open.pop().and_then(|at| found.get_mut(at)) {
                    if span.layer == Some(place) {
                        span.to_ns = after(to);
                        span.own_ns += to.saturating_sub(from);
                        break;
                    }
                }
            }
        }
        before = Some(*step);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(place: u8, from: u64) -> Step {
        Step::Enter { place, from, to: from + 1 }
    }

    fn leave(place: u8, from: u64) -> Step {
        Step::Leave { place, from, to: from + 1 }
    }

    fn told(steps: &[Step]) -> Vec<(Option<u8>, u8, u64, u64, u64)> {
        let all = spans(steps, 100, 3);
        all.into_iter().map(|span| (span.layer, span.depth, span.from_ns, span.to_ns, span.own_ns)).collect()
    }

    #[test]
    fn spans_lie_within_one_another_and_the_strategy_within_all() {
        let steps =
            [enter(0, 100), enter(1, 102), enter(2, 104), leave(2, 150), leave(1, 152), leave(0, 154), leave(3, 156)];
        let expected = [
            (Some(0), 0, 0, 55, 2),
            (Some(1), 1, 2, 53, 2),
            (Some(2), 2, 4, 51, 2),
            (None, 3, 5, 50, 45),
            (Some(3), 0, 56, 57, 1),
        ];
        assert_eq!(told(&steps), expected);
    }

    #[test]
    fn one_that_was_refused_has_no_strategy_and_one_tried_again_has_two() {
        let refused = [enter(0, 100), enter(1, 102), leave(0, 104), leave(3, 106)];
        assert_eq!(told(&refused), [(Some(0), 0, 0, 5, 2), (Some(1), 1, 2, 3, 1), (Some(3), 0, 6, 7, 1)]);
        let again = [enter(1, 100), enter(2, 102), leave(2, 110), enter(2, 120), leave(2, 130), leave(1, 132)];
        let layers: Vec<_> = told(&again).into_iter().map(|(layer, depth, ..)| (layer, depth)).collect();
        assert_eq!(layers, [(Some(1), 0), (Some(2), 1), (None, 2), (Some(2), 1), (None, 2)]);
    }

    #[test]
    fn the_last_ones_are_kept() {
        let mut recorder = Recorder::new(10);
        assert!(recorder.samples(20) && !recorder.samples(21));
        for sequence in 0..20 {
            recorder.entered(sequence, 0, (1, 2));
            recorder.left(sequence, 0, (3, 4));
            recorder.finished(sequence);
        }
        assert!(recorder.spans(11, 0, 3).is_none() && recorder.spans(12, 0, 3).is_some() && recorder.open.is_empty());
    }
}
