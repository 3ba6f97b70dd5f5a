//! The rate limiter in the chain, its view and its commands.

use serde::{Deserialize, Serialize};

use super::super::LimitsError;
use super::{Algorithm, Allowed, Limited, Limiter, LimiterConfig, Rate};
use crate::domain::{ErrorCode, Outcome, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// What the console shows of the rate limiter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimiterView {
    /// Whether calls are limited.
    pub enabled: bool,
    /// How.
    pub algorithm: Algorithm,
    /// The rate, e.g. `100/second`.
    pub limit: Rate,
    /// Calls that may come at once; `None` where the algorithm has no bursts.
    pub burst: Option<u32>,
    /// Calls let through.
    pub allowed: u64,
    /// Calls refused.
    pub rejected: u64,
    /// Calls that would have been let through after the latest one that was; 0 after a refusal; `None` before the first.
    pub remaining: Option<u32>,
    /// How long the latest refused caller was told to wait, milliseconds.
    pub last_retry_after_ms: Option<f64>,
    /// When that was.
    pub last_rejected: Option<Timestamp>,
}

/// What an operator can order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimiterCommand {
    /// Limits from now on.
    Enable,
    /// Lets everything through from now on.
    Disable,
    /// Changes the rate; what was used so far is forgotten.
    Limit {
        /// The new rate.
        limit: Rate,
        /// Calls that may come at once (gcra only); null is as many as the limit's N.
        #[serde(default)]
        burst: Option<u32>,
    },
    /// Forgets what was used so far, and sets the counts to zero.
    Reset,
}

/// One rate limit for all evaluations. Name `rate limiter`, priority -2. A refused one ends as `rejected` (EFP-RL00)
/// with the time after which a call would be let through.
#[derive(Debug)]
pub struct LimiterMiddleware {
    config: LimiterConfig,
    limiter: Limiter,
    allowed: u64,
    rejected: u64,
    last: Option<Result<Allowed, Limited>>,
    last_retry_after_ms: Option<f64>,
    last_rejected: Option<Timestamp>,
}

impl LimiterMiddleware {
    /// From the section `limits.limiter`.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] for an impossible value, also when the section is not enabled.
    pub fn new(config: &LimiterConfig, now: Timestamp) -> Result<Self, LimitsError> {
        Ok(Self {
            limiter: Limiter::new(config, now)?,
            config: config.clone(),
            allowed: 0,
            rejected: 0,
            last: None,
            last_retry_after_ms: None,
            last_rejected: None,
        })
    }

    /// What there is to see.
    pub fn view(&self, _now: Timestamp) -> LimiterView {
        let bursts = self.config.algorithm == Algorithm::Gcra;
        LimiterView {
            enabled: self.config.enabled,
            algorithm: self.config.algorithm,
            limit: self.config.limit,
            burst: bursts.then(|| self.config.burst.unwrap_or_else(|| self.config.limit.count())),
            allowed: self.allowed,
            rejected: self.rejected,
            remaining: self.last.map(|last| last.map_or(0, |allowed| allowed.remaining)),
            last_retry_after_ms: self.last_retry_after_ms,
            last_rejected: self.last_rejected,
        }
    }

    /// Does what `by` orders, and says so.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] for a rate that cannot be enforced.
    pub fn command(
        &mut self,
        command: &LimiterCommand,
        by: &str,
        now: Timestamp,
        _out: &mut Outbox,
    ) -> Result<String, LimitsError> {
        Ok(match command {
            LimiterCommand::Enable | LimiterCommand::Disable => {
                self.config.enabled = *command == LimiterCommand::Enable;
                format!("rate limiter {} by {by}", if self.config.enabled { "enabled" } else { "disabled" })
            }
            LimiterCommand::Limit { limit, burst } => {
                let config = LimiterConfig { limit: *limit, burst: *burst, ..self.config.clone() };
                self.limiter = Limiter::new(&config, now)?;
                self.config = config;
                self.last = None;
                format!("rate limiter set to {limit} by {by}")
            }
            LimiterCommand::Reset => {
                *self = Self::new(&self.config, now)?;
                format!("rate limiter reset by {by}")
            }
        })
    }
}

impl Middleware for LimiterMiddleware {
    fn name(&self) -> &'static str {
        "rate limiter"
    }

    fn priority(&self) -> i16 {
        -2
    }

    fn enter(&mut self, context: &mut Context, _out: &mut Outbox) -> Flow {
        if !self.config.enabled {
            return Flow::Continue;
        }
        let answer = self.limiter.check(context.now);
        self.last = Some(answer);
        match answer {
            Ok(_) => {
                self.allowed += 1;
                Flow::Continue
            }
            Err(Limited { retry_after }) => {
                self.rejected += 1;
                self.last_retry_after_ms = Some(retry_after.as_secs_f64() * 1e3);
                self.last_rejected = Some(context.now);
                context.fail(Outcome::Rejected, ErrorCode::RateLimited);
                context.retry_after = Some(retry_after);
                Flow::Finish
            }
        }
    }
}
