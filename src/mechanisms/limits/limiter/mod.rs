//! Rate limits: how many calls may come in a span of time. Three algorithms with one contract, one limit or one per key.
//!
//! The generic cell rate algorithm (ITU-T I.371, by way of the crate governor) gives an even pace with bursts in constant
//! memory; the sliding log never lets more than N pass in any span and remembers N moments; the weighted window comes near
//! to that with two counters. A refused call is told the shortest wait after which it would be allowed.
//!
//! ```
//! use std::time::Duration;
//! use fizzops::domain::Timestamp;
//! use fizzops::mechanisms::limits::{Algorithm, Limiter, LimiterConfig, Rate};
//!
//! let limit = Rate::per_second(2);
//! let config = LimiterConfig { enabled: true, algorithm: Algorithm::SlidingLog, limit, burst: None };
//! let now = Timestamp::from_millis(1_000);
//! let mut limiter = Limiter::new(&config, now)?;
//! assert_eq!(limiter.check(now).map(|allowed| allowed.remaining), Ok(1));
//! assert!(limiter.check(now + Duration::from_millis(400)).is_ok());
//! let refused = limiter.check(now + Duration::from_millis(500)).unwrap_err();
//! let next = now + Duration::from_millis(500) + refused.retry_after;
//! assert!(limiter.check(next).is_ok(), "it was told when to come back");
//! # Ok::<(), fizzops::mechanisms::limits::LimitsError>(())
//! ```

mod config;
mod gcra;
mod keyed;
mod middleware;
mod rate;
mod sliding_log;
#[cfg(test)]
mod tests;
mod weighted_window;

use std::time::Duration;

pub use config::{Algorithm, LimiterConfig};
pub use gcra::Gcra;
pub use keyed::KeyedLimiter;
pub use middleware::{LimiterCommand, LimiterMiddleware, LimiterView};
pub use rate::Rate;
pub use sliding_log::SlidingLog;
pub use weighted_window::WeightedWindow;

use super::LimitsError;
use crate::domain::Timestamp;

/// A call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Calls that would be allowed at the same moment after it. For the weighted window: by its own formula.
    pub remaining: u32,
}

/// A call may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// The shortest wait after which a call is allowed, if nobody else comes first.
    pub retry_after: Duration,
}

/// One rate limit by any of the algorithms.
#[derive(Debug)]
pub enum Limiter {
    /// An even pace with bursts.
    Gcra(Gcra),
    /// Never more than N in any span.
    SlidingLog(SlidingLog),
    /// Two counters instead of a log.
    WeightedWindow(WeightedWindow),
}

impl Limiter {
    /// As `config` says, unused at `now`.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] names the key with an impossible value.
    pub fn new(config: &LimiterConfig, now: Timestamp) -> Result<Self, LimitsError> {
        if config.algorithm != Algorithm::Gcra && config.burst.is_some() {
            let reason = format!("the algorithm {} has no bursts; leave it out", config.algorithm);
            return Err(LimitsError::configuration("limiter.burst", reason));
        }
        Ok(match config.algorithm {
            Algorithm::Gcra => {
                Self::Gcra(Gcra::new(config.limit, config.burst.unwrap_or_else(|| config.limit.count()), now)?)
            }
            Algorithm::SlidingLog => Self::SlidingLog(SlidingLog::new(config.limit)?),
            Algorithm::WeightedWindow => Self::WeightedWindow(WeightedWindow::new(config.limit)),
        })
    }

    /// Asks for one call.
    ///
    /// # Errors
    /// [`Limited`] with the time until the next one is allowed.
    pub fn check(&mut self, now: Timestamp) -> Result<Allowed, Limited> {
        match self {
            Self::Gcra(limit) => limit.check(now),
            Self::SlidingLog(limit) => limit.check(now),
            Self::WeightedWindow(limit) => limit.check(now),
        }
    }

    /// Whether it could be forgotten: it answers as one that was never asked.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        match self {
            Self::Gcra(limit) => limit.is_idle(now),
            Self::SlidingLog(limit) => limit.is_idle(now),
            Self::WeightedWindow(limit) => limit.is_idle(now),
        }
    }
}
