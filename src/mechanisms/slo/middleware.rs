//! The middleware at priority 55: judges each finished evaluation and tells the objectives of it.

use std::sync::Arc;

use super::config::SloConfig;
use super::counters::{Counters, Observation};
use super::error::SloError;
use super::slos::{PolicyAction, SloCommand, Slos};
use super::view::{ServiceLevel, SlosView};
use crate::domain::{Kind, Payload, RuleSet, Source, Timestamp};
use crate::pipeline::{Context, Middleware, Outbox};

/// The middleware.
#[derive(Debug)]
pub struct SloMiddleware {
    enabled: bool,
    slos: Slos,
    rules: Arc<RuleSet>,
}

impl SloMiddleware {
    /// As configured, judging by `rules`, from `now` on.
    ///
    /// # Errors
    /// [`SloError`] for a setting that is impossible.
    pub fn new(config: &SloConfig, rules: Arc<RuleSet>, now: Timestamp) -> Result<Self, SloError> {
        Ok(Self { enabled: config.enabled, slos: Slos::new(config, now)?, rules })
    }

    /// As [`Slos::command`].
    ///
    /// # Errors
    /// As there.
    pub fn command(
        &mut self,
        command: &SloCommand,
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<String, SloError> {
        self.slos.command(command, by, now, out)
    }

    /// Fires and resolves alerts. Called by itself while evaluations finish; the engine calls it when none do.
    pub fn check(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.enabled {
            self.slos.check(now, out);
        }
    }

    /// Whether the budget policy asks for something.
    #[inline]
    pub const fn has_actions(&self) -> bool {
        self.slos.has_actions()
    }

    /// What it asks for, once.
    pub fn take_actions(&mut self) -> Vec<PolicyAction> {
        self.slos.take_actions()
    }

    /// Why no game day may begin now, if so.
    pub fn refuses_game_days(&mut self, now: Timestamp) -> Option<String> {
        self.slos.refuses_game_days(now)
    }

    /// Alerts that fired so far.
    pub const fn fired(&self) -> u64 {
        self.slos.fired()
    }

    /// How many times faster than allowed each budget burned lately.
    pub fn burn_rates(&mut self, now: Timestamp) -> Vec<Option<f64>> {
        self.slos.burn_rates(now)
    }

    /// Each objective's figures.
    pub fn levels(&mut self, now: Timestamp) -> Vec<ServiceLevel> {
        self.slos.levels(now)
    }

    /// As it is shown.
    pub fn view(&mut self, now: Timestamp) -> SlosView {
        self.slos.view(now)
    }
}

impl Middleware for SloMiddleware {
    fn name(&self) -> &'static str {
        "slo"
    }

    fn priority(&self) -> i16 {
        55
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        const CORRUPTED: u8 = 1;
        let right = self.rules.matches(context.number, context.rules);
        context.correct = context.is_answered() && context.matched == right && context.faults & CORRUPTED == 0;
        if !self.enabled {
            return;
        }
        let mut observation = Observation::of(context);
        if observation.counters.meets(Counters::WRONG) && context.source == Source::Cache {
            let divides = self.rules.matches(context.number, self.rules.all());
            observation.outdated = context.matched.0 & !divides.0 == 0;
        }
        self.slos.record(&observation, context.now);
        let (number, latency_ms) = (context.number, context.duration.as_secs_f64() * 1_000.0);
        let (accurate, available) = (context.correct, observation.counters.meets(Counters::ANSWERED));
        out.emit(Kind::SlaEvaluationRecorded, || Payload::SlaEvaluationRecorded {
            number,
            latency_ms,
            accurate,
            available,
        });
        if self.slos.is_due(context.now) {
            self.slos.check(context.now, out);
        }
    }
}
