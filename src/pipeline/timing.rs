//! Takes the time of every evaluation that is let in, as the caller sees it: from admission to the end. The wait for a
//! place in the bulkhead, every attempt with the waits between them, and injected latency are part of it.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Context, Flow, Middleware, Outbox};
use crate::domain::time::nanos;

/// Latencies in nanoseconds, in constant memory.
///
/// `HdrHistogram` (Tene): recording is O(1). Values above an hour are counted as an hour.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

/// The figures of a set of latencies, nanoseconds; all 0 when there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LatencyView {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50_ns: u64,
    /// Nine in ten are at most this.
    pub p90_ns: u64,
    /// 99 in 100 are at most this.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

const HOUR: u64 = 3_600_000_000_000;

impl Default for Latencies {
    /// With three significant digits.
    fn default() -> Self {
        Self::with_digits(3)
    }
}

impl Latencies {
    /// With two significant digits, in a tenth of the memory: for what is cleared and read every second, where a chart is
    /// all that comes of it.
    pub fn coarse() -> Self {
        Self::with_digits(2)
    }

    fn with_digits(digits: u8) -> Self {
        #[expect(clippy::expect_used, reason = "1..=an hour with 2 or 3 digits is within the documented bounds")]
        let histogram = Histogram::new_with_bounds(1, HOUR, digits).expect("constant bounds");
        Self { histogram }
    }

    /// Counts one latency.
    pub fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds.min(HOUR));
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.histogram.clear();
    }

    /// The latency that `quantile` (0 to 1) of them do not exceed, nanoseconds.
    pub fn quantile(&self, quantile: f64) -> u64 {
        if self.histogram.is_empty() { 0 } else { self.histogram.value_at_quantile(quantile).min(self.histogram.max()) }
    }

    /// The percentile distribution, as `HdrHistogram`'s tools write and plot it (`.hgrm`): value in milliseconds,
    /// percentile, how many are at most that, 1/(1-percentile).
    pub fn distribution(&self) -> String {
        let mut text =
            format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
        let mut count = 0;
        for step in self.histogram.iter_quantiles(5) {
            count += step.count_since_last_iteration();
            let (value, quantile) = (step.value_iterated_to() as f64 / 1e6, step.quantile_iterated_to());
            text.push_str(&format!("{value:>12.6} {quantile:>2.12} {count:>10}"));
            if quantile < 1.0 {
                text.push_str(&format!(" {:>14.2}", 1.0 / (1.0 - quantile)));
            }
            text.push('\n');
        }
        let figures = |value: f64| value / 1e6;
        text.push_str(&format!(
            "#[Mean    = {:>12.6}, StdDeviation   = {:>12.6}]\n#[Max     = {:>12.6}, Total count    = {:>12}]\n",
            figures(self.histogram.mean()),
            figures(self.histogram.stdev()),
            figures(self.histogram.max() as f64),
            self.histogram.len()
        ));
        text
    }

    /// The usual figures.
    pub fn view(&self) -> LatencyView {
        LatencyView {
            count: self.histogram.len(),
            p50_ns: self.quantile(0.50),
            p90_ns: self.quantile(0.90),
            p99_ns: self.quantile(0.99),
            max_ns: self.histogram.max(),
        }
    }
}

/// The middleware, at priority 1. What was refused further out was never started, so it has no time here.
///
/// It sees each attempt, and takes the time so far at the end of each; an evaluation is counted once, by
/// [`Timing::count`], when the last attempt has ended.
#[derive(Debug, Default)]
pub struct Timing {
    latencies: Latencies,
}

impl Timing {
    /// Counts a finished evaluation, if it was let in.
    pub fn count(&mut self, context: &Context) {
        if context.timed {
            self.latencies.record(nanos(context.duration));
        }
    }

    /// The latencies of the session so far.
    pub fn view(&self) -> LatencyView {
        self.latencies.view()
    }
}

impl Middleware for Timing {
    fn name(&self) -> &'static str {
        "timing"
    }

    fn priority(&self) -> i16 {
        1
    }

    fn enter(&mut self, context: &mut Context, _out: &mut Outbox) -> Flow {
        context.timed = true;
        Flow::Continue
    }

    fn leave(&mut self, context: &mut Context, _out: &mut Outbox) {
        context.duration = context.now.since(context.admitted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, RuleSet, Timestamp};
    use std::time::Duration;

    #[test]
    fn the_duration_is_from_admission_to_the_end() {
        let mut timing = Timing::default();
        let mut out = Outbox::new(EventMask::NONE, 0);
        let mut context = Context::new(0, 1, RuleSet::classic().all(), Timestamp::from_millis(10));
        assert_eq!(timing.enter(&mut context, &mut out), Flow::Continue);
        context.now = Timestamp::from_millis(25);
        timing.leave(&mut context, &mut out);
        assert_eq!((context.duration, timing.view().count), (Duration::from_millis(15), 0), "it may be tried again");
        timing.count(&context);
        assert_eq!(timing.view().count, 1);
    }

    #[test]
    fn no_latency_is_no_figure_and_a_long_one_does_not_break_it() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.view(), LatencyView::default());
        latencies.record(u64::MAX);
        assert!(latencies.view().max_ns >= HOUR);
    }
}
