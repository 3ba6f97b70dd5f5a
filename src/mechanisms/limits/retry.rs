//! When a failed attempt is repeated, and after how long. A policy that the driver asks; it repeats nothing itself.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::budget::{Budget, BudgetConfig};
use super::error::LimitsError;
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
        Attempt { number: 1, wait_ns: self.config.wait_ms.saturating_mul(1_000_000), stop: None }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::domain::{ErrorCode, EventMask};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn retry(config: RetryConfig) -> Retry {
        Retry::new(&RetryConfig { enabled: true, ..config }, ChaCha8Rng::seed_from_u64(3)).unwrap()
    }

    fn waits(config: RetryConfig) -> Vec<u64> {
        let mut retry = retry(config);
        let mut attempt = retry.begin(NOW);
        std::iter::from_fn(|| retry.next(&mut attempt, Outcome::Failed, NOW))
            .map(|wait| u64::try_from(wait.as_millis()).unwrap())
            .collect()
    }

    #[test]
    fn intervals_grow_as_named() {
        let config = |interval| RetryConfig { max_attempts: 6, interval, ..RetryConfig::default() };
        assert_eq!(waits(config(Interval::Fixed)), [500; 5]);
        assert_eq!(waits(config(Interval::Linear)), [500, 1_000, 1_500, 2_000, 2_500]);
        let steps = RetryConfig { step_ms: Some(100), ..config(Interval::Linear) };
        assert_eq!(waits(steps), [500, 600, 700, 800, 900]);
        assert_eq!(waits(config(Interval::Exponential)), [500, 750, 1_125, 1_687, 2_530], "cut at every step");
        let capped = RetryConfig { max_wait_ms: 1_000, ..config(Interval::Exponential) };
        assert_eq!(waits(capped), [500, 750, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn only_failures_and_timeouts_are_repeated() {
        for outcome in Outcome::ALL {
            let mut retry = retry(RetryConfig::default());
            let mut attempt = retry.begin(NOW);
            let again = retry.next(&mut attempt, outcome, NOW).is_some();
            assert_eq!(again, matches!(outcome, Outcome::Failed | Outcome::TimedOut), "{outcome}");
            let stop = match outcome {
                Outcome::Ok => Some(Stop::Succeeded),
                Outcome::Failed | Outcome::TimedOut => None,
                _ => Some(Stop::Final),
            };
            assert_eq!(attempt.stop(), stop, "{outcome}");
        }
    }

    #[test]
    fn the_budget_bounds_what_retries_do_to_the_load() {
        let budget = BudgetConfig { min_per_second: 0, ..BudgetConfig::default() };
        let mut retry = retry(RetryConfig { max_attempts: 4, budget, ..RetryConfig::default() });
        for _ in 0..1_000 {
            let mut attempt = retry.begin(NOW);
            while retry.next(&mut attempt, Outcome::Failed, NOW).is_some() {}
        }
        let view = retry.view(NOW);
        assert_eq!((view.requests, view.retries, view.budget), (1_000, 200, Some(0)));
        assert_eq!(view.amplification, Some(1.2), "not 4");
        assert_eq!(view.over_budget + view.exhausted, 1_000);
    }

    #[test]
    fn operators_switch_it_and_it_counts() {
        let (mut retry, mut out) = (retry(RetryConfig::default()), Outbox::new(EventMask::NONE, 0));
        let mut attempt = retry.begin(NOW);
        assert!(retry.next(&mut attempt, Outcome::TimedOut, NOW).is_some());
        assert_eq!((retry.next(&mut attempt, Outcome::Ok, NOW), attempt.number()), (None, 2));
        assert_eq!(retry.view(NOW).recovered, 1);
        let mut order = |command| retry.command(&command, "ops", NOW, &mut out);
        assert_eq!(order(RetryCommand::Disable).unwrap(), "retry disabled by ops");
        assert_eq!(order(RetryCommand::MaxAttempts { max_attempts: 5 }).unwrap(), "retry limited to 5 attempts by ops");
        let error = order(RetryCommand::MaxAttempts { max_attempts: 0 }).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            (ErrorCode::Configuration, "limits.retry.max_attempts: 0 is not between 1 and 100")
        );
        order(RetryCommand::Reset).unwrap();
        let mut attempt = retry.begin(NOW);
        assert_eq!(retry.next(&mut attempt, Outcome::Failed, NOW), None);
        let view = retry.view(NOW);
        assert_eq!((view.requests, view.recovered, view.amplification), (0, 0, None));
        assert_eq!(serde_json::from_str::<RetryView>(&serde_json::to_string(&view).unwrap()).unwrap(), view);
    }

    #[test]
    fn impossible_values_are_refused() {
        let refused = |config: RetryConfig| Retry::new(&config, ChaCha8Rng::seed_from_u64(0)).unwrap_err().to_string();
        let default = RetryConfig::default;
        assert_eq!(
            refused(RetryConfig { max_wait_ms: 499, ..default() }),
            "limits.retry.max_wait_ms: 499 is less than wait_ms = 500"
        );
        assert_eq!(
            refused(RetryConfig { retry_on: vec![Outcome::Rejected], ..default() }),
            "limits.retry.retry_on: `rejected` is final; there are failed, timed_out"
        );
        assert_eq!(
            refused(RetryConfig { multiplier: f64::INFINITY, ..default() }),
            "limits.retry.multiplier: inf is not a number from 1 on"
        );
        assert_eq!(
            refused(RetryConfig { randomized_factor: 1.1, ..default() }),
            "limits.retry.randomized_factor: 1.1 is not between 0 and 1"
        );
    }

    fn kinds() -> impl Strategy<Value = (Interval, Jitter)> {
        let intervals = prop::sample::select(vec![Interval::Fixed, Interval::Linear, Interval::Exponential]);
        let jitters = vec![Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Randomized];
        (intervals, prop::sample::select(jitters))
    }

    proptest! {
        #[test]
        fn waits_stay_between_their_ends(
            (interval, jitter) in kinds(),
            seed in any::<u64>(),
            wait_ms in 1_u64..2_000,
            factor in 0.0_f64..=1.0,
        ) {
            let budget = BudgetConfig { enabled: false, ..BudgetConfig::default() };
            let (max_attempts, multiplier, max_wait_ms, randomized_factor) = (9, 2.0, 5_000, factor);
            let config = RetryConfig {
                enabled: true, max_attempts, interval, wait_ms, multiplier, max_wait_ms, jitter, randomized_factor, budget,
                ..RetryConfig::default()
            };
            let mut retry = Retry::new(&config, ChaCha8Rng::seed_from_u64(seed)).unwrap();
            let mut attempt = retry.begin(NOW);
            let mut before = wait_ms as f64;
            for number in 1..max_attempts {
                let wait = retry.next(&mut attempt, Outcome::Failed, NOW).unwrap().as_secs_f64() * 1e3;
                let plan = match interval {
                    Interval::Fixed => wait_ms,
                    Interval::Linear => wait_ms * u64::from(number),
                    Interval::Exponential => wait_ms << (number - 1),
                };
                let plan = plan.min(max_wait_ms) as f64;
                let (low, high) = match jitter {
                    Jitter::None => (plan, plan),
                    Jitter::Full => (0.0, plan),
                    Jitter::Equal => (plan / 2.0, plan),
                    Jitter::Decorrelated => (wait_ms as f64, (before * 3.0).min(5_000.0)),
                    Jitter::Randomized => ((plan * (1.0 - factor) - 1.0).max(1.0), (plan * (1.0 + factor) + 1.0).min(5_000.0)),
                };
                prop_assert!(wait >= low - 1e-5 && wait <= high + 1e-5, "{low} <= {wait} <= {high}");
                before = wait;
            }
            prop_assert_eq!(retry.next(&mut attempt, Outcome::Failed, NOW), None);
        }
    }
}
