//! When a failed attempt is repeated, and after how long. A policy that the driver asks; it repeats nothing itself.
//!
//! A failure that passes by itself is worth another attempt; one that does not makes everything worse, because retries
//! multiply the load just when there is least room for it. So attempts are few, the waits between them grow and spread
//! (AWS, "Exponential Backoff And Jitter"), and a budget bounds retries to a share of the requests (Finagle).
//!
//! In the chain [`RetryMiddleware`] stands inside of the rate limiter and the bulkhead and outside of the breaker: an
//! evaluation is admitted once and holds its place through all attempts, each attempt asks the breaker and is recorded
//! by it, and a breaker's refusal is final. What stands further out sees one evaluation with the last attempt's
//! outcome and error. Faults and answers are drawn anew for each attempt.
//!
//! ```
//! use fizzops::domain::Outcome;
//! use fizzops::engine::{Engine, Options, Settings, WorkloadKind};
//! use fizzops::mechanisms::chaos::Fault;
//!
//! // Three attempts in ten fail; with three attempts each, 0.3 ^ 3 = 2.7 % of the evaluations do.
//! let mut settings = Settings::default();
//! settings.workload.kind = WorkloadKind::Range;
//! (settings.workload.to, settings.workload.rate) = (10_000, 1_000);
//! (settings.chaos.enabled, settings.chaos.level) = (true, 3);
//! settings.chaos.fault_types = vec![Fault::ExceptionInjection];
//! settings.limits.retry.enabled = true;
//! settings.limits.retry.budget.enabled = false;
//! let mut engine = Engine::new(&settings, Options::simulated(7)).unwrap();
//! while let Some(due) = engine.next_due() {
//!     engine.advance(due, 1_000);
//! }
//! let failed = engine.counts().of(Outcome::Failed);
//! assert!((220..320).contains(&failed), "{failed} of 10 000");
//! assert_eq!(engine.snapshot().retry.exhausted, failed);
//! ```

mod middleware;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use middleware::RetryMiddleware;

use super::budget::{Budget, BudgetConfig};
use super::error::LimitsError;
use crate::domain::time::nanos;
use crate::domain::{Outcome, Timestamp};
use crate::pipeline::Outbox;

/// How the wait grows from attempt to attempt, before jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Always `wait_ms`.
    #[default]
    Fixed,
    /// `wait_ms`, then `step_ms` more each time.
    Linear,
    /// `wait_ms`, then `multiplier` times as long each time, cut to whole milliseconds (resilience4j).
    Exponential,
}

/// How chance spreads the waits, so that those who failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Not at all.
    #[default]
    None,
    /// Between nothing and the wait (AWS "full jitter").
    Full,
    /// Between half of the wait and all of it (AWS "equal jitter").
    Equal,
    /// Between `wait_ms` and three times the wait before, whatever the interval (AWS "decorrelated jitter").
    Decorrelated,
    /// `randomized_factor` of the wait to either side (resilience4j).
    Randomized,
}

/// The section `limits.retry`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Whether anything is repeated.
    pub enabled: bool,
    /// Attempts altogether, the first included.
    pub max_attempts: u32,
    /// How the wait grows.
    pub interval: Interval,
    /// The first wait, milliseconds.
    pub wait_ms: u64,
    /// What a linear interval adds each time, milliseconds; null is `wait_ms` again.
    pub step_ms: Option<u64>,
    /// What an exponential interval multiplies by.
    pub multiplier: f64,
    /// No wait is longer, milliseconds, whatever chance says.
    pub max_wait_ms: u64,
    /// How chance spreads the waits.
    pub jitter: Jitter,
    /// The share to either side for `jitter: randomized`, 0 to 1.
    pub randomized_factor: f64,
    /// Outcomes worth another attempt: `failed`, `timed_out`. Others are final: a refusal repeated is load without hope.
    pub retry_on: Vec<Outcome>,
    /// How many retries there may be in all.
    pub budget: BudgetConfig,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            max_attempts: 3,
            interval: Interval::Fixed,
            wait_ms: 500,
            step_ms: None,
            multiplier: 1.5,
            max_wait_ms: 60_000,
            jitter: Jitter::None,
            randomized_factor: 0.5,
            retry_on: vec![Outcome::Failed, Outcome::TimedOut],
            budget: BudgetConfig::default(),
        }
    }
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It succeeded.
    Succeeded,
    /// The outcome is not worth another attempt, or retries are off.
    Final,
    /// All attempts are used up.
    Attempts,
    /// The budget is.
    Budget,
}

/// One request's way through its attempts. From [`Retry::begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    number: u32,
    wait_ns: u64,
    stop: Option<Stop>,
}

impl Attempt {
    /// Which attempt this is, from 1.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Goes on with attempt `number`, which came after `wait`.
    fn resumed(number: u32, wait: Duration) -> Self {
        Self { number, wait_ns: nanos(wait), stop: None }
    }

    /// Why there is no further one, once that is so.
    pub const fn stop(&self) -> Option<Stop> {
        self.stop
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    requests: u64,
    retries: u64,
    recovered: u64,
    exhausted: u64,
    over_budget: u64,
    waited_ns: u64,
}

/// What the console shows of retries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryView {
    /// Whether anything is repeated.
    pub enabled: bool,
    /// Attempts altogether, the first included.
    pub max_attempts: u32,
    /// How the wait grows.
    pub interval: Interval,
    /// How chance spreads the waits.
    pub jitter: Jitter,
    /// The waits before jitter, milliseconds, the first 16 at most.
    pub waits_ms: Vec<u64>,
    /// Requests begun.
    pub requests: u64,
    /// Further attempts.
    pub retries: u64,
    /// Requests that a further attempt saved.
    pub recovered: u64,
    /// Requests that failed in every attempt.
    pub exhausted: u64,
    /// Retries that the budget did not allow.
    pub over_budget: u64,
    /// Attempts per request: what retries do to the load. `None` before the first request.
    pub amplification: Option<f64>,
    /// Mean wait of a retry, milliseconds.
    pub average_wait_ms: Option<f64>,
    /// Retries that the budget would allow at once; `None` without a budget.
    pub budget: Option<u64>,
}

/// What an operator can order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryCommand {
    /// Repeats failed attempts from now on.
    Enable,
    /// Repeats nothing from now on.
    Disable,
    /// Changes the number of attempts.
    MaxAttempts {
        /// Altogether, the first included.
        max_attempts: u32,
    },
    /// Sets the counts to zero and fills the budget.
    Reset,
}

/// The retry policy.
///
/// ```
/// use std::time::Duration;
/// use fizzops::domain::{Outcome, Timestamp};
/// use fizzops::mechanisms::limits::{Interval, Retry, RetryConfig, Stop};
/// use rand_chacha::ChaCha8Rng;
/// use rand_chacha::rand_core::SeedableRng;
///
/// let config = RetryConfig { enabled: true, interval: Interval::Exponential, ..RetryConfig::default() };
/// let mut retry = Retry::new(&config, ChaCha8Rng::seed_from_u64(7))?;
/// let now = Timestamp::from_millis(1_000);
/// let mut attempt = retry.begin(now);
/// assert_eq!(retry.next(&mut attempt, Outcome::Failed, now), Some(Duration::from_millis(500)));
/// assert_eq!(retry.next(&mut attempt, Outcome::Failed, now), Some(Duration::from_millis(750)));
/// assert_eq!(retry.next(&mut attempt, Outcome::Failed, now), None);
/// assert_eq!(attempt.stop(), Some(Stop::Attempts));
/// # Ok::<(), fizzops::mechanisms::limits::LimitsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Retry {
    config: RetryConfig,
    budget: Budget,
    rng: ChaCha8Rng,
    totals: Totals,
}

/// The most attempts that may be asked for.
const MOST_ATTEMPTS: u32 = 100;

impl Retry {
    /// A policy; `rng` is for jitter.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] names the key with an impossible value.
    pub fn new(config: &RetryConfig, rng: ChaCha8Rng) -> Result<Self, LimitsError> {
        attempts(config.max_attempts)?;
        let refuse = |key, reason: String| Err(LimitsError::configuration(key, reason));
        if config.max_wait_ms < config.wait_ms {
            let reason = format!("{} is less than wait_ms = {}", config.max_wait_ms, config.wait_ms);
            return refuse("retry.max_wait_ms", reason);
        }
        if !(config.multiplier >= 1.0 && config.multiplier.is_finite()) {
            return refuse("retry.multiplier", format!("{} is not a number from 1 on", config.multiplier));
        }
        if !(0.0..=1.0).contains(&config.randomized_factor) {
            return refuse("retry.randomized_factor", format!("{} is not between 0 and 1", config.randomized_factor));
        }
        let hopeless = |outcome: &&Outcome| !matches!(outcome, Outcome::Failed | Outcome::TimedOut);
        if let Some(outcome) = config.retry_on.iter().find(hopeless) {
            return refuse("retry.retry_on", format!("`{outcome}` is final; there are failed, timed_out"));
        }
        let budget = Budget::new(&config.budget)?;
        Ok(Self { config: config.clone(), budget, rng, totals: Totals::default() })
    }

    /// A request begins with its first attempt.
    pub fn begin(&mut self, now: Timestamp) -> Attempt {
        if self.config.enabled {
            self.totals.requests += 1;
            self.budget.deposit(now);
        }
        Attempt::resumed(1, self.first_wait())
    }

    const fn first_wait(&self) -> Duration {
        Duration::from_millis(self.config.wait_ms)
    }

    /// The attempt has ended with `outcome`: how long to wait before the next one, or `None` when this is how the
    /// request ends ([`Attempt::stop`] says why).
    pub fn next(&mut self, attempt: &mut Attempt, outcome: Outcome, now: Timestamp) -> Option<Duration> {
        let stop = if outcome == Outcome::Ok {
            self.totals.recovered += u64::from(attempt.number > 1);
            Stop::Succeeded
        } else if !self.config.enabled || !self.config.retry_on.contains(&outcome) {
            Stop::Final
        } else if attempt.number >= self.config.max_attempts {
            self.totals.exhausted += 1;
            Stop::Attempts
        } else if self.config.budget.enabled && !self.budget.withdraw(now) {
            self.totals.over_budget += 1;
            Stop::Budget
        } else {
            attempt.wait_ns = self.draw(attempt);
            attempt.number += 1;
            self.totals.retries += 1;
            self.totals.waited_ns = self.totals.waited_ns.saturating_add(attempt.wait_ns);
            return Some(Duration::from_nanos(attempt.wait_ns));
        };
        attempt.stop = Some(stop);
        None
    }

    /// The attempt that [`Retry::next`] promised after `wait` will not be made after all. What the budget paid for it
    /// stays paid.
    pub fn forgo(&mut self, wait: Duration) {
        self.totals.retries = self.totals.retries.saturating_sub(1);
        self.totals.waited_ns = self.totals.waited_ns.saturating_sub(nanos(wait));
    }

    /// Further attempts so far.
    pub const fn retries(&self) -> u64 {
        self.totals.retries
    }

    /// What there is to see at `now`.
    pub fn view(&self, now: Timestamp) -> RetryView {
        let Totals { requests, retries, recovered, exhausted, over_budget, waited_ns } = self.totals;
        RetryView {
            enabled: self.config.enabled,
            max_attempts: self.config.max_attempts,
            interval: self.config.interval,
            jitter: self.config.jitter,
            waits_ms: (1..self.config.max_attempts.min(17)).map(|number| self.planned_ms(number)).collect(),
            requests,
            retries,
            recovered,
            exhausted,
            over_budget,
            amplification: (requests > 0).then(|| (requests + retries) as f64 / requests as f64),
            average_wait_ms: (retries > 0).then(|| waited_ns as f64 / retries as f64 / 1e6),
            budget: self.config.budget.enabled.then(|| self.budget.balance(now)),
        }
    }

    /// Does what `by` orders, and says so.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] for a number of attempts that cannot be.
    pub fn command(
        &mut self,
        command: &RetryCommand,
        by: &str,
        _now: Timestamp,
        _out: &mut Outbox,
    ) -> Result<String, LimitsError> {
        match command {
            RetryCommand::Enable => self.config.enabled = true,
            RetryCommand::Disable => self.config.enabled = false,
            RetryCommand::MaxAttempts { max_attempts } => {
                attempts(*max_attempts)?;
                self.config.max_attempts = *max_attempts;
                return Ok(format!("retry limited to {max_attempts} attempts by {by}"));
            }
            RetryCommand::Reset => {
                self.totals = Totals::default();
                self.budget = Budget::new(&self.config.budget)?;
                return Ok(format!("retry counts reset by {by}"));
            }
        }
        Ok(format!("retry {} by {by}", if self.config.enabled { "enabled" } else { "disabled" }))
    }

    /// The wait after attempt `number`, before jitter.
    fn planned_ms(&self, number: u32) -> u64 {
        let first = self.config.wait_ms;
        let wait = match self.config.interval {
            Interval::Fixed => first,
            Interval::Linear => {
                let step = self.config.step_ms.unwrap_or(first);
                first.saturating_add(step.saturating_mul(u64::from(number.saturating_sub(1))))
            }
            Interval::Exponential => (1..number).fold(first, |wait, _| (wait as f64 * self.config.multiplier) as u64),
        };
        wait.min(self.config.max_wait_ms)
    }

    fn draw(&mut self, attempt: &Attempt) -> u64 {
        const MS: u64 = 1_000_000;
        let wait = self.planned_ms(attempt.number).saturating_mul(MS);
        let longest = self.config.max_wait_ms.saturating_mul(MS);
        match self.config.jitter {
            Jitter::None => wait,
            Jitter::Full => self.rng.random_range(0..=wait),
            Jitter::Equal => wait / 2 + self.rng.random_range(0..=wait - wait / 2),
            Jitter::Decorrelated => {
                let base = self.config.wait_ms.saturating_mul(MS);
                self.rng.random_range(base..=attempt.wait_ns.saturating_mul(3).max(base)).min(longest)
            }
            Jitter::Randomized => {
                let ms = (wait / MS) as f64;
                let spread = ms * self.config.randomized_factor;
                let drawn = (ms - spread + self.rng.random::<f64>() * (2.0 * spread + 1.0)) as u64;
                drawn.max(1).saturating_mul(MS).min(longest)
            }
        }
    }
}

fn attempts(max_attempts: u32) -> Result<(), LimitsError> {
    if (1..=MOST_ATTEMPTS).contains(&max_attempts) {
        return Ok(());
    }
    let reason = format!("{max_attempts} is not between 1 and {MOST_ATTEMPTS}");
    Err(LimitsError::configuration("retry.max_attempts", reason))
}
