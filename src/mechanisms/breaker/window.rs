//! Sliding windows: the last N calls, or the calls of the last N seconds, summed up in constant time per call.
//!
//! A window only counts. What follows from the counts is the state machine's business.

use std::collections::VecDeque;

use super::policy::Shape;
use crate::domain::Timestamp;

/// One finished call, as a window keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sample {
    pub(super) failed: bool,
    pub(super) slow: bool,
    pub(super) duration_ns: u64,
    /// Millionths; more than a million for a call without confidence.
    pub(super) confidence_ppm: u32,
}

/// The confidence of a call that has none.
pub(super) const NO_CONFIDENCE: u32 = u32::MAX;

/// The sums over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
    pub(super) slow_failed: u64,
    pub(super) duration_ns: u64,
    pub(super) confident: u64,
    pub(super) confidence_ppm: u64,
}

impl Sums {
    fn add(&mut self, sample: Sample) {
        self.calls += 1;
        self.failed += u64::from(sample.failed);
        self.slow += u64::from(sample.slow);
        self.slow_failed += u64::from(sample.failed && sample.slow);
        self.duration_ns = self.duration_ns.wrapping_add(sample.duration_ns);
        if sample.confidence_ppm != NO_CONFIDENCE {
            self.confident += 1;
            self.confidence_ppm += u64::from(sample.confidence_ppm);
        }
    }

    fn remove(&mut self, other: &Self) {
        self.calls -= other.calls;
        self.failed -= other.failed;
        self.slow -= other.slow;
        self.slow_failed -= other.slow_failed;
        // Wrapping on both sides: what was added comes off again, whatever the sum passed through.
        self.duration_ns = self.duration_ns.wrapping_sub(other.duration_ns);
        self.confident -= other.confident;
        self.confidence_ppm -= other.confidence_ppm;
    }

    /// Percent of the calls; zero calls have no rate.
    pub(super) fn rate(part: u64, calls: u64) -> Option<f64> {
        (calls > 0).then(|| part as f64 * 100.0 / calls as f64)
    }
}

/// The last N calls.
#[derive(Debug, Clone)]
pub(super) struct CountWindow {
    ring: Vec<Sample>,
    size: usize,
    /// Where the next sample goes once the ring is full: the place of the oldest.
    next: usize,
    sums: Sums,
}

impl CountWindow {
    pub(super) fn new(size: u32) -> Self {
        let size = size as usize;
        Self { ring: Vec::with_capacity(size), size, next: 0, sums: Sums::default() }
    }

    pub(super) fn record(&mut self, sample: Sample) {
        if self.ring.len() < self.size {
            self.ring.push(sample);
        } else if let Some(oldest) = self.ring.get_mut(self.next) {
            let mut gone = Sums::default();
            gone.add(*oldest);
            *oldest = sample;
            self.sums.remove(&gone);
            self.next = if self.next + 1 == self.size { 0 } else { self.next + 1 };
        }
        self.sums.add(sample);
    }

    pub(super) const fn sums(&self) -> &Sums {
        &self.sums
    }

    pub(super) fn clear(&mut self) {
        self.ring.clear();
        self.next = 0;
        self.sums = Sums::default();
    }
}

/// The calls of the last N whole seconds, the present one included. A second leaves as a whole (resilience4j).
#[derive(Debug, Clone)]
pub(super) struct TimeWindow {
    /// Seconds that had calls, oldest first, with their sums. Empty seconds cost nothing.
    buckets: VecDeque<(u64, Sums)>,
    seconds: u64,
    sums: Sums,
}

impl TimeWindow {
    fn new(seconds: u32) -> Self {
        Self { buckets: VecDeque::with_capacity(seconds as usize), seconds: u64::from(seconds), sums: Sums::default() }
    }

    fn record(&mut self, sample: Sample, now: Timestamp) {
        // A clock that steps back stays in the latest second.
        let second = self.buckets.back().map_or(0, |(second, _)| *second).max(now.as_secs());
        while let Some((oldest, sums)) = self.buckets.front() {
            if oldest + self.seconds > second {
                break;
            }
            self.sums.remove(sums);
            self.buckets.pop_front();
        }
        self.sums.add(sample);
        match self.buckets.back_mut() {
            Some((latest, sums)) if *latest == second => sums.add(sample),
            _ => {
                let mut sums = Sums::default();
                sums.add(sample);
                self.buckets.push_back((second, sums));
            }
        }
    }

    fn sums(&self, now: Timestamp) -> Sums {
        let mut sums = self.sums;
        for (_, gone) in self.buckets.iter().take_while(|(second, _)| second + self.seconds <= now.as_secs()) {
            sums.remove(gone);
        }
        sums
    }

    fn clear(&mut self) {
        self.buckets.clear();
        self.sums = Sums::default();
    }
}

/// The window over which closed is judged.
#[derive(Debug, Clone)]
pub(super) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    pub(super) fn new(shape: Shape) -> Self {
        match shape {
            Shape::Calls(size) => Self::Count(CountWindow::new(size)),
            Shape::Seconds(seconds) => Self::Time(TimeWindow::new(seconds)),
        }
    }

    /// Takes a call in and returns the sums with it.
    pub(super) fn record(&mut self, sample: Sample, now: Timestamp) -> &Sums {
        match self {
            Self::Count(window) => {
                window.record(sample);
                &window.sums
            }
            Self::Time(window) => {
                window.record(sample, now);
                &window.sums
            }
        }
    }

    /// The sums at `now`.
    pub(super) fn sums(&self, now: Timestamp) -> Sums {
        match self {
            Self::Count(window) => window.sums,
            Self::Time(window) => window.sums(now),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Count(window) => window.clear(),
            Self::Time(window) => window.clear(),
        }
    }
}

/// The latest calls in a row, for drawing, whatever the window is.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail {
    /// Two bits a call, the latest lowest: failed, slow.
    bits: u128,
    calls: u8,
}

impl Trail {
    /// As many calls as are kept.
    pub(super) const LENGTH: u8 = 64;

    pub(super) fn record(&mut self, sample: Sample) {
        self.bits = self.bits << 2 | u128::from(sample.failed) << 1 | u128::from(sample.slow);
        self.calls = (self.calls + 1).min(Self::LENGTH);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The last `calls` of them, oldest first: `.` good, `s` slow, `X` failed, `S` failed and slow.
    pub(super) fn marks(&self, calls: u64) -> String {
        let shown = u64::from(self.calls).min(calls);
        (0..shown)
            .rev()
            .map(|back| match self.bits >> (2 * back) & 3 {
                0 => '.',
                1 => 's',
                2 => 'X',
                _ => 'S',
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(bits: u8, duration_ns: u64) -> Sample {
        let confidence_ppm = if bits & 4 == 0 { NO_CONFIDENCE } else { 700_000 + u32::from(bits) };
        Sample { failed: bits & 1 == 1, slow: bits & 2 == 2, duration_ns, confidence_ppm }
    }

    fn sum(samples: impl Iterator<Item = Sample>) -> Sums {
        samples.fold(Sums::default(), |mut sums, sample| {
            sums.add(sample);
            sums
        })
    }

    proptest! {
        #[test]
        fn a_count_window_is_the_tail_of_all_calls(
            size in 1_u32..12,
            calls in prop::collection::vec((0_u8..8, 0_u64..u64::MAX), 0..60),
        ) {
            let mut window = Window::new(Shape::Calls(size));
            let mut all = Vec::new();
            for (bits, duration) in calls {
                all.push(sample(bits, duration));
                let sums = *window.record(sample(bits, duration), Timestamp::EPOCH);
                let tail = all.len().saturating_sub(size as usize);
                prop_assert_eq!(sums, sum(all[tail..].iter().copied()));
            }
        }

        #[test]
        fn a_time_window_is_what_happened_in_its_seconds(
            seconds in 1_u32..7,
            calls in prop::collection::vec((0_u64..2_500, 0_u8..8), 0..60),
        ) {
            let mut window = Window::new(Shape::Seconds(seconds));
            let mut now = 1_700_000_000_000;
            let mut all = Vec::new();
            for (advance, bits) in calls {
                now += advance;
                let at = Timestamp::from_millis(now);
                let young = |all: &[(u64, Sample)]| {
                    let from = at.as_secs() + 1 - u64::from(seconds);
                    sum(all.iter().filter(|(second, _)| *second >= from).map(|(_, sample)| *sample))
                };
                prop_assert_eq!(window.sums(at), young(&all));
                all.push((at.as_secs(), sample(bits, 5)));
                let sums = *window.record(sample(bits, 5), at);
                prop_assert_eq!(sums, young(&all));
            }
        }
    }

    #[test]
    fn a_trail_shows_the_latest_calls_oldest_first() {
        let mut trail = Trail::default();
        assert_eq!(trail.marks(10), "");
        for bits in [0, 2, 1, 3] {
            trail.record(sample(bits, 0));
        }
        assert_eq!(trail.marks(10), ".sXS");
        assert_eq!(trail.marks(2), "XS");
        for _ in 0..100 {
            trail.record(sample(0, 0));
        }
        assert_eq!(trail.marks(u64::MAX), ".".repeat(64));
    }
}
