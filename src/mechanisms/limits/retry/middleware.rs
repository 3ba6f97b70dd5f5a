//! Retries in the chain.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::{Attempt, Retry, RetryCommand, RetryConfig, RetryView};
use crate::domain::Timestamp;
use crate::mechanisms::limits::LimitsError;
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// Retries around the evaluation. Name `retry`, priority -2, after the bulkhead, so outside of the breaker (-1).
///
/// A middleware repeats nothing and cannot wait. When an attempt has ended, whoever drives the chain takes the context
/// out as far as here, asks [`RetryMiddleware::again`], and sends it in again after the wait.
#[derive(Debug)]
pub struct RetryMiddleware {
    retry: Retry,
}

impl RetryMiddleware {
    /// The middleware's name.
    pub const NAME: &'static str = "retry";

    /// From the section `limits.retry`; `rng` is for jitter.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] for an impossible value, also when the section is not enabled.
    pub fn new(config: &RetryConfig, rng: ChaCha8Rng) -> Result<Self, LimitsError> {
        Ok(Self { retry: Retry::new(config, rng)? })
    }

    /// Further attempts so far.
    pub const fn retries(&self) -> u64 {
        self.retry.retries()
    }

    /// The attempt has ended as the context says, at the context's present moment: how long to wait before it is tried
    /// again, or `None` when this is how the evaluation ends.
    pub fn again(&mut self, context: &mut Context) -> Option<Duration> {
        if context.attempt == 0 || context.cancelled {
            return None;
        }
        // The first wait of decorrelated jitter goes by the configured one.
        let wait = if context.attempt == 1 { self.retry.first_wait() } else { context.backoff };
        let mut attempt = Attempt::resumed(context.attempt, wait);
        let wait = self.retry.next(&mut attempt, context.outcome, context.now)?;
        context.attempt = attempt.number();
        context.backoff = wait;
        Some(wait)
    }

    /// The context, which waits to be tried again, will not be: it ends as its last attempt did.
    pub fn forgo(&mut self, context: &mut Context) {
        self.retry.forgo(context.backoff);
        context.attempt = context.attempt.saturating_sub(1);
    }

    /// What there is to see at `now`.
    pub fn view(&self, now: Timestamp) -> RetryView {
        self.retry.view(now)
    }

    /// Does what `by` orders, and says so.
    ///
    /// # Errors
    /// As [`Retry::command`].
    pub fn command(
        &mut self,
        command: &RetryCommand,
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<String, LimitsError> {
        self.retry.command(command, by, now, out)
    }
}

impl Middleware for RetryMiddleware {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn priority(&self) -> i16 {
        -2
    }

    fn enter(&mut self, context: &mut Context, _out: &mut Outbox) -> Flow {
        if self.retry.config.enabled {
            context.attempt = self.retry.begin(context.now).number();
        }
        Flow::Continue
    }
}
