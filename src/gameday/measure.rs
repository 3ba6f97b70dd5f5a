//! What is counted while a drill runs: over each part of it, and along its whole length for the chart.

use std::time::Duration;

use super::probe::Part;
use crate::domain::{Evaluation, Outcome, Timestamp};
use crate::engine::director::{Bucket, Moment};
use crate::pipeline::timing::Latencies;

/// A part of the drill while it is counted.
#[derive(Debug)]
pub struct Measure {
    /// The session's figures when it began.
    began: Part,
    since: Timestamp,
    latencies: Latencies,
    responses: Latencies,
    /// As of the last update. Percentiles are read only when somebody looks.
    pub part: Part,
    counted: u64,
}

/// Percentiles are read anew after this share of more evaluations.
const FRESH: u64 = 64;

impl Measure {
    /// From this moment on.
    pub fn new(moment: &Moment<'_>) -> Self {
        let began = Part {
            counts: *moment.counts,
            injections: moment.injections,
            breaker_trips: moment.breaker_trips,
            alerts: moment.alerts_fired,
            retries: moment.retries,
            cache: moment.cache,
            ..Part::default()
        };
        Self {
            began,
            since: moment.now,
            latencies: Latencies::default(),
            responses: Latencies::default(),
            part: Part::default(),
            counted: 0,
        }
    }

    /// Counts a finished evaluation's latency and response time, nanoseconds.
    pub fn record(&mut self, latency: u64, response: u64) {
        self.latencies.record(latency);
        self.responses.record(response);
    }

    /// Up to this moment.
    pub fn update(&mut self, moment: &Moment<'_>) {
        let counts = moment.counts.since(&self.began.counts);
        // Reading a percentile walks the histogram: for few evaluations each time, for many now and then.
        let stale = counts.evaluations > self.counted + self.counted / FRESH;
        self.part = Part {
            counts,
            injections: moment.injections - self.began.injections,
            breaker_trips: moment.breaker_trips - self.began.breaker_trips,
            alerts: moment.alerts_fired - self.began.alerts,
            retries: moment.retries - self.began.retries,
            cache: [moment.cache[0] - self.began.cache[0], moment.cache[1] - self.began.cache[1]],
            took_ns: moment.now.since(self.since).as_nanos() as u64,
            ..self.part
        };
        if stale {
            self.counted = counts.evaluations;
            self.part = self.shown();
        }
    }

    /// With percentiles as of now.
    pub fn shown(&self) -> Part {
        Part {
            p50_ns: self.latencies.quantile(0.50),
            p99_ns: self.latencies.quantile(0.99),
            response_p99_ns: self.responses.quantile(0.99),
            response_max_ns: self.responses.quantile(1.0),
            ..self.part
        }
    }
}

/// A drill along time in at most [`Series::MOST`] buckets, however long it is: when they are full, two become one.
#[derive(Debug)]
pub struct Series {
    width: Duration,
    buckets: Vec<Bucket>,
    began: Timestamp,
    state: (u32, u32),
}

impl Series {
    /// As many buckets as there are at most.
    pub const MOST: usize = 96;
    /// How wide a bucket is at first.
    const FIRST: Duration = Duration::from_millis(1);

    /// From this moment on.
    pub const fn new(began: Timestamp) -> Self {
        Self { width: Self::FIRST, buckets: Vec::new(), began, state: (0, 0) }
    }

    fn bucket(&mut self, at: Timestamp) -> Option<&mut Bucket> {
        let mut index = (at.since(self.began).as_nanos() / self.width.as_nanos()) as usize;
        while index >= Self::MOST {
            self.width *= 2;
            index /= 2;
            let halves = std::mem::take(&mut self.buckets);
            self.buckets = halves.chunks(2).filter_map(|pair| pair.iter().cloned().reduce(Bucket::and)).collect();
        }
        while self.buckets.len() <= index {
            let at = self.began + self.width * self.buckets.len() as u32;
            self.buckets.push(Bucket { at, open: self.state.0, injections: self.state.1, ..Bucket::default() });
        }
        self.buckets.get_mut(index)
    }

    /// Counts a finished evaluation.
    pub fn record(&mut self, at: Timestamp, evaluation: &Evaluation) {
        let Some(bucket) = self.bucket(at) else { return };
        match evaluation.outcome {
            Outcome::Ok if evaluation.correct => bucket.right += 1,
            Outcome::Ok => bucket.wrong += 1,
            Outcome::Rejected => bucket.rejected += 1,
            _ => bucket.failed += 1,
        }
        bucket.slowest_ns = bucket.slowest_ns.max(evaluation.duration.as_nanos() as u64);
    }

    /// Takes in what is open and injected now.
    pub fn state(&mut self, moment: &Moment<'_>) {
        let armed = u32::from(moment.chaos_level > 0);
        self.state = (moment.breakers_open, moment.injections_active + armed);
        let (open, injections) = self.state;
        if let Some(bucket) = self.bucket(moment.now) {
            bucket.open = bucket.open.max(open);
            bucket.injections = bucket.injections.max(injections);
        }
    }

    /// The buckets so far.
    pub fn buckets(&self) -> Vec<Bucket> {
        self.buckets.clone()
    }
}
