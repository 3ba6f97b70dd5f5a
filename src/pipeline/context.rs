//! What is known of one evaluation while it goes through the chain.

use std::time::Duration;

use crate::domain::{ErrorCode, Evaluation, Outcome, Output, RuleMask, Source, Timestamp};

/// One evaluation on its way. Contexts are reused, so a new one costs no allocation.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Its place in the session, from 0.
    pub sequence: u64,
    /// What was asked.
    pub number: i64,
    /// The dependency that answers, by its number from 1; 0 where none is named.
    pub dependency: u8,
    /// When it was meant to be asked, by the schedule of arrivals; its admission where there is no schedule.
    pub intended: Timestamp,
    /// When it was admitted, by the engine's clock: it has arrived, and may still have to wait for a place.
    pub admitted: Timestamp,
    /// When it had its place among those that run at once: its admission, or the end of its wait.
    pub placed: Timestamp,
    /// When the present attempt began: when it had its place, or later where an earlier attempt failed.
    pub attempted: Timestamp,
    /// The breaker's number for this attempt, in a session that keeps its calls.
    pub call: u64,
    /// The present moment: the moment of admission on the way in, of completion on the way out.
    pub now: Timestamp,
    /// Whoever asked does not want the answer any more.
    pub cancelled: bool,
    /// The rules that are on for this number: all, unless flags took some away.
    pub rules: RuleMask,
    /// How it ends; `Ok` until something else is decided.
    pub outcome: Outcome,
    /// Why not `Ok`.
    pub error: Option<ErrorCode>,
    /// The rules that the answer says matched.
    pub matched: RuleMask,
    /// What will be shown.
    pub output: Output,
    /// Who gave the answer; `None` until there is one.
    pub source: Source,
    /// The lowest confidence of the strategy, where it has one.
    pub confidence: Option<f32>,
    /// Whether the answer is right, as the SLO mechanism found.
    pub correct: bool,
    /// Latency that a middleware adds before the answer, to be waited out by the driver.
    pub delay: Duration,
    /// What the caller waited: from admission to completion, with the wait for a place, every attempt and the waits
    /// between them. Zero for what was refused on arrival.
    pub duration: Duration,
    /// The timing middleware let it in, so its duration counts among the latencies.
    pub timed: bool,
    /// When a rejected caller may try again.
    pub retry_after: Option<Duration>,
    /// Injected faults that touched the present attempt, a bit each.
    pub faults: u8,
    /// Injected faults that touched earlier attempts, a bit each.
    pub past_faults: u8,
    /// Which attempt this is, from 1; 0 where nothing is tried again.
    pub attempt: u32,
    /// The wait before the present attempt; zero for the first.
    pub backoff: Duration,
    /// A fault that is to be injected on the way out: its number in the table of faults.
    pub planned_fault: Option<u8>,
    /// The breaker's permit, while one is held: an opaque ticket that the breaker understands.
    pub permit: Option<u64>,
    /// How many middleware it has entered and not left.
    pub(super) depth: usize,
}

impl Context {
    /// A context for the evaluation of `number`, with every rule of `rules` on.
    pub fn new(sequence: u64, number: i64, rules: RuleMask, now: Timestamp) -> Self {
        Self {
            sequence,
            number,
            rules,
            intended: now,
            admitted: now,
            placed: now,
            attempted: now,
            now,
            ..Self::default()
        }
    }

    /// Gives the honest answer.
    pub fn answer(&mut self, matched: RuleMask, source: Source) {
        self.matched = matched;
        self.output = Output::of(matched);
        self.source = source;
    }

    /// Ends it without an answer.
    pub fn fail(&mut self, outcome: Outcome, error: ErrorCode) {
        self.outcome = outcome;
        self.error = Some(error);
        self.matched = RuleMask::NONE;
        self.output = Output::Decimal;
        self.source = Source::None;
    }

    /// Its wait for a place is over, whether it got one or not.
    pub(super) const fn waited(&mut self, now: Timestamp) {
        self.now = now;
        self.placed = now;
        self.attempted = now;
    }

    /// It is tried again: nothing that the attempt before left behind is known any more, but which faults it met.
    pub(super) fn retried(&mut self, now: Timestamp) {
        self.now = now;
        self.attempted = now;
        self.outcome = Outcome::Ok;
        self.error = None;
        self.answer(RuleMask::NONE, Source::None);
        self.confidence = None;
        self.delay = Duration::ZERO;
        self.retry_after = None;
        self.past_faults |= std::mem::take(&mut self.faults);
        self.planned_fault = None;
        self.permit = None;
    }

    /// The present moment is that of its completion. Whoever was made to wait has a duration, wherever it ends; for all
    /// others it begins with the timing middleware.
    pub fn complete(&mut self, now: Timestamp) {
        self.now = now;
        if self.attempted != self.admitted || !self.backoff.is_zero() {
            self.duration = now.since(self.admitted);
        }
    }

    /// Whether there is an answer, right or wrong.
    pub fn is_answered(&self) -> bool {
        self.outcome == Outcome::Ok && self.source != Source::None
    }

    /// The finished evaluation.
    pub fn finish(&self) -> Evaluation {
        Evaluation {
            sequence: self.sequence,
            number: self.number,
            outcome: self.outcome,
            error: self.error,
            output: self.output.clone(),
            matched: self.matched,
            correct: self.correct,
            source: self.source,
            duration: self.duration,
            retry_after: self.retry_after,
            confidence: self.confidence,
            faults: self.faults | self.past_faults,
            attempts: self.attempt,
        }
    }
}
