//! A debug line when an evaluation comes in and one when it goes out, for whoever turned that level on.

use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// The middleware, at priority 2. Without a subscriber at debug level it costs a look at one number.
#[derive(Debug, Default)]
pub struct Logging;

impl Middleware for Logging {
    fn name(&self) -> &'static str {
        "logging"
    }

    fn priority(&self) -> i16 {
        2
    }

    fn enter(&mut self, context: &mut Context, _out: &mut Outbox) -> Flow {
        tracing::debug!(target: "fizzops::evaluation", number = context.number, "in");
        Flow::Continue
    }

    fn leave(&mut self, context: &mut Context, _out: &mut Outbox) {
        tracing::debug!(
            target: "fizzops::evaluation",
            number = context.number,
            outcome = context.outcome.name(),
            duration_us = context.duration.as_micros() as u64,
            "out"
        );
    }
}
