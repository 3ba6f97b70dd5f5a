//! What the engine counts of finished evaluations: for the session, and for every second of it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::classification::Classifier;
use crate::domain::time::nanos;
use crate::domain::{Classification, ErrorCode, Evaluation, Outcome, Source, Timestamp};
use crate::pipeline::timing::Latencies;

/// Counts of finished evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub evaluations: u64,
    /// By outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 6],
    /// With outcome ok, by class, in the order of [`Classification::ALL`].
    pub classes: [u64; 4],
    /// With outcome ok, but the answer is wrong.
    pub wrong: u64,
    /// Answered by the cache.
    pub cached: u64,
    /// Touched by an injected fault.
    pub faulted: u64,
}

impl Counts {
    /// Those of one outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// Those of one class.
    pub fn class(&self, class: Classification) -> u64 {
        self.classes[class as usize]
    }

    /// Answered rightly.
    pub fn right(&self) -> u64 {
        self.of(Outcome::Ok) - self.wrong
    }

    fn record(&mut self, evaluation: &Evaluation, classifier: Classifier) {
        self.evaluations += 1;
        self.outcomes[evaluation.outcome as usize] += 1;
        if evaluation.outcome == Outcome::Ok {
            self.classes[classifier.classify(evaluation.matched) as usize] += 1;
            self.wrong += u64::from(!evaluation.correct);
        }
        self.cached += u64::from(evaluation.source == Source::Cache);
        self.faulted += u64::from(evaluation.faults != 0);
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = *self;
        rest.evaluations -= earlier.evaluations;
        rest.wrong -= earlier.wrong;
        rest.cached -= earlier.cached;
        rest.faulted -= earlier.faulted;
        for (count, before) in rest.outcomes.iter_mut().zip(earlier.outcomes) {
            *count -= before;
        }
        for (count, before) in rest.classes.iter_mut().zip(earlier.classes) {
            *count -= before;
        }
        rest
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum.evaluations += one.evaluations;
            sum.wrong += one.wrong;
            sum.cached += one.cached;
            sum.faulted += one.faulted;
            sum.outcomes.iter_mut().zip(one.outcomes).for_each(|(sum, one)| *sum += one);
            sum.classes.iter_mut().zip(one.classes).for_each(|(sum, one)| *sum += one);
            sum
        })
    }
}

/// One interval of the session, for charts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When the interval ended.
    pub at: Timestamp,
    /// How long it was, milliseconds.
    pub span_ms: u64,
    /// What finished within it.
    pub counts: Counts,
    /// The median latency of what finished within it, nanoseconds.
    pub p50_ns: u64,
    /// The 99th percentile, nanoseconds.
    pub p99_ns: u64,
    /// The longest, nanoseconds.
    pub max_ns: u64,
    /// The error budgets' burn rates at its end, in the order of the SLOs; absent for one with nothing counted.
    pub burn_rates: Vec<Option<f64>>,
    /// Breakers that would refuse a call at its end.
    pub breakers_open: u32,
    /// The chaos level at its end, 0 for off.
    pub chaos_level: u8,
}

/// A finished evaluation, as the console lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// When it finished.
    pub at: Timestamp,
    /// Its place in the session.
    #[serde(default)]
    pub sequence: u64,
    /// What was asked.
    pub number: i64,
    /// What was shown.
    pub output: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why not ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorCode>,
    /// Whether the answer was right.
    pub correct: bool,
    /// Who answered.
    pub source: Source,
    /// How long it took, nanoseconds.
    pub duration_ns: u64,
    /// Injected faults that touched it, a bit each.
    #[serde(default)]
    pub faults: u8,
    /// How many attempts it took; 0 where nothing is tried again.
    #[serde(default)]
    pub attempts: u32,
}

/// The counting itself.
#[derive(Debug)]
pub struct Tally {
    classifier: Classifier,
    counts: Counts,
    /// At the end of the last interval.
    marked: Counts,
    interval: Latencies,
    interval_began: Timestamp,
    recent: VecDeque<(Timestamp, Evaluation)>,
}

impl Tally {
    /// How long an interval is.
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// How many finished evaluations are listed.
    pub const RECENT: usize = 12;

    /// From `now` on.
    pub fn new(classifier: Classifier, now: Timestamp) -> Self {
        Self {
            classifier,
            counts: Counts::default(),
            marked: Counts::default(),
            interval: Latencies::coarse(),
            interval_began: now,
            recent: VecDeque::with_capacity(Self::RECENT),
        }
    }

    /// Counts a finished evaluation; `listed` also keeps it for the list of recent ones.
    pub fn record(&mut self, at: Timestamp, evaluation: &Evaluation, listed: bool) {
        self.counts.record(evaluation, self.classifier);
        self.interval.record(nanos(evaluation.duration));
        if listed {
            if self.recent.len() == Self::RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((at, evaluation.clone()));
        }
    }

    /// The session's counts.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// When the present interval ends.
    pub fn interval_ends(&self) -> Timestamp {
        self.interval_began + Self::INTERVAL
    }

    /// Ends the present interval at `now`: its counts and latencies. The mechanisms' figures are the caller's to add.
    pub fn end_interval(&mut self, now: Timestamp) -> Sample {
        let latency = self.interval.view();
        let sample = Sample {
            at: now,
            span_ms: now.since(self.interval_began).as_millis().try_into().unwrap_or(u64::MAX),
            counts: self.counts.since(&self.marked),
            p50_ns: latency.p50_ns,
            p99_ns: latency.p99_ns,
            max_ns: latency.max_ns,
            burn_rates: Vec::new(),
            breakers_open: 0,
            chaos_level: 0,
        };
        self.marked = self.counts;
        self.interval.clear();
        self.interval_began = now;
        sample
    }

    /// The last finished evaluations, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = (Timestamp, &Evaluation)> {
        self.recent.iter().map(|(at, evaluation)| (*at, evaluation))
    }
}
