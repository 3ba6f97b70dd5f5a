//! Limits: how often a failure is repeated, how many calls run at once, how many come in a span of time.
//!
//! Each is a state machine over moments that it is given. None of them waits, sleeps or reads a clock: who asks, waits.
//! Priority -2, between flags (-3) and the circuit breaker (-1): a call that a limit refuses has cost nothing yet, and
//! is no failure that a breaker should hear of. From outside in: the rate limiter, so that who comes too often takes no
//! place in a queue; the bulkhead; the retries, so that an evaluation holds one place through all of its attempts, and
//! each attempt asks the breaker.

mod budget;
pub mod bulkhead;
#[cfg(test)]
mod bulkhead_tests;
mod error;
pub mod limiter;
pub mod retry;

use serde::{Deserialize, Serialize};

pub use budget::{Budget, BudgetConfig};
pub use bulkhead::{Admission, Bulkhead, BulkheadCommand, BulkheadConfig, BulkheadMiddleware, BulkheadView, Turn};
pub use error::LimitsError;
pub use limiter::{
    Algorithm, Allowed, Gcra, KeyedLimiter, Limited, Limiter, LimiterCommand, LimiterConfig, LimiterMiddleware,
    LimiterView, Rate, SlidingLog, WeightedWindow,
};
pub use retry::{Attempt, Interval, Jitter, Retry, RetryCommand, RetryConfig, RetryMiddleware, RetryView, Stop};

/// The section `limits`: everything off.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Further attempts.
    pub retry: RetryConfig,
    /// Calls at once.
    pub bulkhead: BulkheadConfig,
    /// Calls in a span of time.
    pub limiter: LimiterConfig,
}
