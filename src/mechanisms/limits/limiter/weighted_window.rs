//! The weighted sliding window: two counters stand for the log, on the assumption that the calls of the window before
//! were spread evenly. Constant memory, and an error that is small where the traffic is even.

use super::{Allowed, Limited, Rate};
use crate::domain::{Timestamp, time};

/// One limit by a weighted window. Windows begin at multiples of their length since the epoch.
///
/// ```
/// use std::time::Duration;
/// use fizzops::domain::Timestamp;
/// use fizzops::mechanisms::limits::WeightedWindow;
///
/// let mut limit = WeightedWindow::new("4/minute".parse()?);
/// let minute = Timestamp::from_millis(600_000);
/// for _ in 0..4 {
///     assert!(limit.check(minute).is_ok());
/// }
/// // A quarter into the next minute the four before weigh 4 * 3/4 = 3, so that one more fits.
/// let later = minute + Duration::from_secs(75);
/// assert!(limit.check(later).is_ok());
/// let retry_after = limit.check(later).unwrap_err().retry_after;
/// assert!(limit.check(later + retry_after).is_ok(), "when the four weigh less than three");
/// # Ok::<(), fizzops::mechanisms::limits::LimitsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct WeightedWindow {
    limit: u64,
    /// Nanoseconds.
    size: u64,
    /// Which window `current` counts.
    window: u64,
    current: u64,
    previous: u64,
}

impl WeightedWindow {
    /// A limit of `rate`.
    pub fn new(rate: Rate) -> Self {
        Self { limit: u64::from(rate.count()), size: time::nanos(rate.per()), window: 0, current: 0, previous: 0 }
    }

    /// Asks for one call.
    ///
    /// # Errors
    /// [`Limited`] with the time until the next one is allowed, to the nanosecond.
    pub fn check(&mut self, now: Timestamp) -> Result<Allowed, Limited> {
        let window = now.as_nanos() / self.size;
        // A clock that steps back stays in the latest window.
        if window > self.window {
            // The window before the last is two back: it counts for nothing.
            self.previous = if window == self.window + 1 { self.current } else { 0 };
            self.current = 0;
            self.window = window;
        }
        let elapsed = now.as_nanos().saturating_sub(self.window.saturating_mul(self.size));
        // Everything is multiplied by the window's length, so that nothing is rounded.
        let size = u128::from(self.size);
        let weighted = u128::from(self.previous) * u128::from(self.size - elapsed) + u128::from(self.current) * size;
        if weighted >= u128::from(self.limit) * size {
            return Err(Limited { retry_after: std::time::Duration::from_nanos(self.retry_after(elapsed)) });
        }
        self.current += 1;
        let used = u64::try_from(weighted / size).unwrap_or(u64::MAX);
        Ok(Allowed { remaining: u32::try_from(self.limit.saturating_sub(used + 1)).unwrap_or(u32::MAX) })
    }

    /// Whether both counters are, or would now be, zero.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        let window = now.as_nanos() / self.size;
        self.current == 0 && (self.previous == 0 || window > self.window) || window > self.window + 1
    }

    /// Nanoseconds from `elapsed` of this window until a call is allowed.
    fn retry_after(&self, elapsed: u64) -> u64 {
        let left = self.size - elapsed;
        if self.current < self.limit {
            return left - self.fading(self.previous, self.limit - self.current);
        }
        left + (self.size - self.fading(self.current, self.limit))
    }

    /// The longest rest of a window in which `count` calls of the window before weigh less than `room`.
    fn fading(&self, count: u64, room: u64) -> u64 {
        let product = u128::from(room) * u128::from(self.size);
        // The largest x with count * x < room * size; the quotient is at most the size because count >= room here.
        u64::try_from(product.div_ceil(u128::from(count.max(1))) - 1).unwrap_or(u64::MAX).min(self.size)
    }
}
