//! How long answers take on the virtual clock: a distribution given by its percentiles, as an operator would read them
//! off a dashboard. Whole numbers only, so that every machine draws the same times.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The section `virtual_clock.service_time`, microseconds. Between the percentiles times are spread evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceTimeConfig {
    /// The shortest; also what a refusal or a cached answer takes. At least 1.
    pub min_us: u64,
    /// Half of the answers are at most this.
    pub p50_us: u64,
    /// 90 in 100.
    pub p90_us: u64,
    /// 99 in 100.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Default for ServiceTimeConfig {
    fn default() -> Self {
        Self { min_us: 8, p50_us: 20, p90_us: 35, p99_us: 120, max_us: 900 }
    }
}

/// The percentiles do not ascend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "virtual_clock.service_time must ascend from min_us (at least 1) through p50_us, p90_us and p99_us to max_us, up to an hour"
)]
pub struct ServiceTimeError;

/// The model, with its generator.
#[derive(Debug)]
pub struct ServiceTime {
    /// Cumulative share (in 2^32) and time (nanoseconds) of each corner.
    corners: [(u64, u64); 5],
    rng: ChaCha8Rng,
}

impl ServiceTime {
    /// As configured.
    ///
    /// # Errors
    /// [`ServiceTimeError`] when the percentiles do not ascend.
    pub fn new(config: &ServiceTimeConfig, rng: ChaCha8Rng) -> Result<Self, ServiceTimeError> {
        let ServiceTimeConfig { min_us, p50_us, p90_us, p99_us, max_us } = *config;
        let times = [min_us, p50_us, p90_us, p99_us, max_us];
        if min_us == 0 || !times.is_sorted() || max_us > 3_600_000_000 {
            return Err(ServiceTimeError);
        }
        let shares = [0, 50, 90, 99, 100].map(|percent: u64| percent * (1 << 32) / 100);
        let mut corners = [(0, 0); 5];
        for ((corner, share), time) in corners.iter_mut().zip(shares).zip(times) {
            *corner = (share, time * 1_000);
        }
        Ok(Self { corners, rng })
    }

    /// The shortest time: what a refusal or a cached answer takes.
    pub const fn shortest(&self) -> Duration {
        Duration::from_nanos(self.corners[0].1)
    }

    /// One time.
    pub fn draw(&mut self) -> Duration {
        let at = u64::from(self.rng.next_u32());
        let mut low = self.corners[0];
        for high in self.corners {
            if at < high.0 {
                let nanos = low.1 + (high.1 - low.1) * (at - low.0) / (high.0 - low.0);
                return Duration::from_nanos(nanos);
            }
            low = high;
        }
        Duration::from_nanos(low.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seed::{Seed, Stream};

    #[test]
    fn draws_have_the_percentiles_that_were_asked_for() {
        let config = ServiceTimeConfig::default();
        let mut model = ServiceTime::new(&config, Seed(1).stream(Stream::ServiceTime)).unwrap();
        let times: Vec<_> = (0..100_000).map(|_| model.draw().as_nanos() as u64).collect();
        assert!(times.iter().all(|time| (8_000..=900_000).contains(time)));
        for (percent, limit) in [(50.0, 20_000), (90.0, 35_000), (99.0, 120_000)] {
            let within = times.iter().filter(|time| **time <= limit).count() as f64 / 1_000.0;
            assert!((within - percent).abs() < 0.5, "{within} % are at most {limit} ns");
        }
    }

    #[test]
    fn percentiles_that_do_not_ascend_are_refused() {
        let config = ServiceTimeConfig { p90_us: 1, ..ServiceTimeConfig::default() };
        assert!(ServiceTime::new(&config, Seed(1).stream(Stream::ServiceTime)).is_err());
    }
}
