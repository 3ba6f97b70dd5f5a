//! The strict limit: never more than N calls in any span of the given length. It remembers every call of the span.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::LimitsError;
use super::{Allowed, Limited, Rate};
use crate::domain::Timestamp;

/// One limit by a log of the calls that were allowed. Refused ones are not in it, so that who hammers recovers.
///
/// ```
/// use std::time::Duration;
/// use fizzops::domain::Timestamp;
/// use fizzops::mechanisms::limits::SlidingLog;
///
/// let now = Timestamp::from_millis(1_000);
/// let mut limit = SlidingLog::new("2/second".parse()?)?;
/// assert!(limit.check(now).is_ok());
/// assert!(limit.check(now + Duration::from_millis(900)).is_ok());
/// let limited = limit.check(now + Duration::from_millis(950)).unwrap_err();
/// assert_eq!(limited.retry_after, Duration::from_millis(50), "then the first one is a second ago");
/// # Ok::<(), fizzops::mechanisms::limits::LimitsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SlidingLog {
    log: VecDeque<Timestamp>,
    most: u32,
    span: Duration,
}

impl SlidingLog {
    /// The most calls that a log may remember: 8 MB.
    pub const MOST: u32 = 1_000_000;

    /// A limit of `rate`.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] for more calls than [`SlidingLog::MOST`].
    pub fn new(rate: Rate) -> Result<Self, LimitsError> {
        if rate.count() > Self::MOST {
            let reason = format!("a sliding log remembers at most {} calls; use gcra for {rate}", Self::MOST);
            return Err(LimitsError::configuration("limiter.limit", reason));
        }
        // A long log grows as it is used: there may be one for each of many keys.
        let capacity = rate.count().min(1_024) as usize;
        Ok(Self { log: VecDeque::with_capacity(capacity), most: rate.count(), span: rate.per() })
    }

    /// Asks for one call.
    ///
    /// # Errors
    /// [`Limited`] with the time until the next one is allowed.
    pub fn check(&mut self, now: Timestamp) -> Result<Allowed, Limited> {
        // At most as many as were put in before: constant time per call on average.
        while self.log.front().is_some_and(|oldest| *oldest + self.span <= now) {
            self.log.pop_front();
        }
        match self.log.front() {
            Some(oldest) if self.log.len() >= self.most as usize => {
                Err(Limited { retry_after: (*oldest + self.span).since(now) })
            }
            _ => {
                self.log.push_back(now);
                Ok(Allowed { remaining: self.most - self.log.len() as u32 })
            }
        }
    }

    /// Whether every call that it remembers is over.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.log.back().is_none_or(|latest| *latest + self.span <= now)
    }
}
