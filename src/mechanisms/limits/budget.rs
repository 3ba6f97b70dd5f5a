//! A retry budget (Finagle's): retries may be a share of the requests of the last seconds, and a few more in any case.
//!
//! When everything fails, retries without a budget multiply the load by the number of attempts. A budget bounds it.

use serde::{Deserialize, Serialize};

use super::error::LimitsError;
use crate::domain::Timestamp;

/// The section `limits.retry.budget`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Whether retries need it.
    pub enabled: bool,
    /// What a request puts in, in retries: 0.2 is a retry for every five requests.
    pub ratio: f64,
    /// Retries per second that are there without any request.
    pub min_per_second: u32,
    /// How long requests and retries count, milliseconds, at least 1000.
    pub ttl_ms: u64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { enabled: true, ratio: 0.2, min_per_second: 10, ttl_ms: 10_000 }
    }
}

/// Thousandths of a retry, so that sums are exact.
const RETRY: i64 = 1_000;
/// The time to live goes by in this many steps.
const SLOTS: u64 = 10;

/// What is left for retries.
///
/// ```
/// use fizzops::domain::Timestamp;
/// use fizzops::mechanisms::limits::{Budget, BudgetConfig};
///
/// let config = BudgetConfig { ratio: 0.5, min_per_second: 0, ..BudgetConfig::default() };
/// let mut budget = Budget::new(&config)?;
/// let now = Timestamp::from_millis(5_000);
/// assert!(!budget.withdraw(now), "nothing was asked for, so nothing may be repeated");
/// budget.deposit(now);
/// budget.deposit(now);
/// assert!(budget.withdraw(now), "two requests pay for one retry");
/// assert!(!budget.withdraw(now));
/// # Ok::<(), fizzops::mechanisms::limits::LimitsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Budget {
    deposit: i64,
    reserve: i64,
    slot_ns: u64,
    /// What came in less what went out, a step each; the step `n` of the clock is at `n % SLOTS`.
    slots: [i64; SLOTS as usize],
    /// The clock's latest step.
    latest: u64,
    sum: i64,
}

impl Budget {
    /// A budget that holds its reserve.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] names the key with an impossible value.
    pub fn new(config: &BudgetConfig) -> Result<Self, LimitsError> {
        if !(0.0..=1_000.0).contains(&config.ratio) {
            let reason = format!("{} is not between 0 and 1000", config.ratio);
            return Err(LimitsError::configuration("retry.budget.ratio", reason));
        }
        if !(1_000..=3_600_000).contains(&config.ttl_ms) {
            let reason = format!("{} is not between 1000 and 3600000", config.ttl_ms);
            return Err(LimitsError::configuration("retry.budget.ttl_ms", reason));
        }
        let ttl_ms = config.ttl_ms.cast_signed();
        Ok(Self {
            deposit: (config.ratio * RETRY as f64).round() as i64,
            // Retries per second times milliseconds are thousandths of a retry.
            reserve: i64::from(config.min_per_second) * ttl_ms,
            slot_ns: config.ttl_ms * 1_000_000 / SLOTS,
            slots: [0; SLOTS as usize],
            latest: 0,
            sum: 0,
        })
    }

    /// A request was made.
    pub fn deposit(&mut self, now: Timestamp) {
        self.put(self.deposit, now);
    }

    /// Takes a retry out, if there is one.
    pub fn withdraw(&mut self, now: Timestamp) -> bool {
        self.advance(now);
        if self.sum + self.reserve < RETRY {
            return false;
        }
        self.put(-RETRY, now);
        true
    }

    /// Whole retries that could be made at once at `now`.
    pub fn balance(&self, now: Timestamp) -> u64 {
        let mut then = self.clone();
        then.advance(now);
        u64::try_from((then.sum + then.reserve) / RETRY).unwrap_or_default()
    }

    fn put(&mut self, amount: i64, now: Timestamp) {
        self.advance(now);
        if let Some(slot) = self.slots.get_mut((self.latest % SLOTS) as usize) {
            *slot += amount;
            self.sum += amount;
        }
    }

    fn advance(&mut self, now: Timestamp) {
        let step = now.as_nanos() / self.slot_ns;
        // A clock that steps back stays in the latest step.
        for gone in 1..=step.saturating_sub(self.latest).min(SLOTS) {
            if let Some(slot) = self.slots.get_mut(((self.latest + gone) % SLOTS) as usize) {
                self.sum -= std::mem::take(slot);
            }
        }
        self.latest = self.latest.max(step);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_balance_is_the_sum_of_what_has_not_expired(
            ratio in 0_u32..1_500,
            min_per_second in 0_u32..3,
            steps in prop::collection::vec((0_u64..800, any::<bool>()), 1..200),
        ) {
            let config =
                BudgetConfig { ratio: f64::from(ratio) / 1e3, min_per_second, ttl_ms: 5_000, enabled: true };
            let mut budget = Budget::new(&config).unwrap();
            let (mut now_ms, mut log) = (1_700_000_000_123_u64, Vec::<(u64, i64)>::new());
            for (advance, request) in steps {
                now_ms += advance;
                let now = Timestamp::from_millis(now_ms);
                let step = now_ms / 500;
                let live: i64 = log.iter().filter(|(at, _)| at + 10 > step).map(|(_, amount)| amount).sum();
                let balance = live + i64::from(min_per_second) * 5_000;
                prop_assert_eq!(budget.balance(now), u64::try_from(balance / 1_000).unwrap_or(0));
                if request {
                    budget.deposit(now);
                    log.push((step, i64::from(ratio)));
                } else {
                    prop_assert_eq!(budget.withdraw(now), balance >= 1_000);
                    if balance >= 1_000 {
                        log.push((step, -1_000));
                    }
                }
            }
        }
    }

    #[test]
    fn impossible_values_are_refused() {
        let error = Budget::new(&BudgetConfig { ratio: -0.1, ..BudgetConfig::default() }).unwrap_err();
        assert_eq!(error.to_string(), "limits.retry.budget.ratio: -0.1 is not between 0 and 1000");
        assert!(Budget::new(&BudgetConfig { ttl_ms: 999, ..BudgetConfig::default() }).is_err());
        assert!(Budget::new(&BudgetConfig { ratio: f64::NAN, ..BudgetConfig::default() }).is_err());
    }
}
