//! The generic cell rate algorithm (ITU-T I.371), by the `governor` crate on our time: an even pace with bursts.
//!
//! The same as a token bucket that holds `burst` tokens, starts full and gains one every `per / count`.

use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::super::LimitsError;
use super::{Allowed, Limited, Rate};
use crate::domain::{Timestamp, time};

/// A moment of ours, as governor wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, span: Nanos) -> Self {
        Self(self.0.saturating_add(span.as_u64()))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, span: Nanos) -> Self {
        // The trait asks for the same moment back where the subtraction would go below the epoch.
        Self(self.0.checked_sub(span.as_u64()).unwrap_or(self.0))
    }
}

/// A clock that stands where it was put. Atomic only because governor reads it through a shared reference.
#[derive(Debug)]
struct Told(AtomicU64);

impl Clock for Told {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }
}

/// One limit by GCRA.
///
/// ```
/// use std::time::Duration;
/// use fizzops::domain::Timestamp;
/// use fizzops::mechanisms::limits::Gcra;
///
/// let now = Timestamp::from_millis(1_000);
/// let mut limit = Gcra::new("10/second".parse()?, 2, now)?;
/// assert!(limit.check(now).is_ok() && limit.check(now).is_ok(), "a burst of two");
/// assert_eq!(limit.check(now).unwrap_err().retry_after, Duration::from_millis(100));
/// assert!(limit.check(now + Duration::from_millis(100)).is_ok());
/// # Ok::<(), fizzops::mechanisms::limits::LimitsError>(())
/// ```
#[derive(Debug)]
pub struct Gcra {
    governor: RateLimiter<NotKeyed, InMemoryState, Told, StateInformationMiddleware>,
    /// From empty to full.
    refill: Duration,
    last_allowed: Option<Timestamp>,
}

impl Gcra {
    /// A limit of `rate` with bursts of `burst` (at least 1), full at `now`. The interval between calls is cut to whole
    /// nanoseconds.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] when the interval is below a nanosecond, or the burst lasts more than 30 years.
    pub fn new(rate: Rate, burst: u32, now: Timestamp) -> Result<Self, LimitsError> {
        let interval = rate.per() / rate.count();
        let quota = Quota::with_period(interval).ok_or_else(|| {
            LimitsError::configuration("limiter.limit", format!("{rate} is more than one per nanosecond"))
        })?;
        let Some(burst) = NonZeroU32::new(burst) else {
            return Err(LimitsError::configuration("limiter.burst", "0 would refuse everything for ever"));
        };
        let refill = interval.checked_mul(burst.get()).filter(|refill| refill.as_secs() < 1_000_000_000);
        let Some(refill) = refill else {
            let reason = format!("{burst} calls at {rate} take more than 30 years");
            return Err(LimitsError::configuration("limiter.burst", reason));
        };
        let clock = Told(AtomicU64::new(now.as_nanos()));
        let governor = RateLimiter::direct_with_clock(quota.allow_burst(burst), clock).with_middleware();
        Ok(Self { governor, refill, last_allowed: None })
    }

    /// Asks for one call.
    ///
    /// # Errors
    /// [`Limited`] with the time until the next one is allowed.
    pub fn check(&mut self, now: Timestamp) -> Result<Allowed, Limited> {
        self.governor.clock().0.store(now.as_nanos(), Ordering::Relaxed);
        match self.governor.check() {
            Ok(state) => {
                self.last_allowed = Some(now);
                Ok(Allowed { remaining: state.remaining_burst_capacity() })
            }
            Err(until) => Err(Limited { retry_after: until.wait_time_from(Moment(now.as_nanos())) }),
        }
    }

    /// Whether it is full again, as if nothing had ever been asked.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.last_allowed.is_none_or(|last| time::nanos(now.since(last)) >= time::nanos(self.refill))
    }
}
