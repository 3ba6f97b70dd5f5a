//! The engine's composition: which middleware there are. A new mechanism is a field, a line in `new` and one in `layer`.

use std::sync::Arc;

use super::EngineError;
use super::seed::{Seed, Stream};
use super::settings::Settings;
use crate::domain::{RuleSet, Timestamp};
use crate::mechanisms::auth::AuthMiddleware;
use crate::mechanisms::breaker::BreakerMiddleware;
use crate::mechanisms::cache::CacheMiddleware;
use crate::mechanisms::chaos::Chaos;
use crate::mechanisms::flags::FlagsMiddleware;
use crate::mechanisms::i18n::Translator;
use crate::mechanisms::limits::{BulkheadMiddleware, LimiterMiddleware};
use crate::mechanisms::slo::SloMiddleware;
use crate::pipeline::timing::Timing;
use crate::pipeline::validation::Validation;
use crate::pipeline::{Layers, Middleware};
use crate::records::journal::Journal;
use crate::telemetry::logging::Logging;
use crate::telemetry::traces::Traces;

/// The twelve middleware, and the two limits that are off unless they are configured.
#[derive(Debug)]
pub(super) struct Mechanisms {
    pub traces: Traces,
    pub auth: AuthMiddleware,
    pub flags: FlagsMiddleware,
    pub limiter: LimiterMiddleware,
    pub bulkhead: BulkheadMiddleware,
    pub breaker: BreakerMiddleware,
    pub validation: Validation,
    pub timing: Timing,
    pub logging: Logging,
    pub chaos: Chaos,
    pub cache: CacheMiddleware,
    pub journal: Journal,
    pub translator: Translator,
    pub slo: SloMiddleware,
}

impl Mechanisms {
    pub fn new(settings: &Settings, rules: &Arc<RuleSet>, seed: Seed, now: Timestamp) -> Result<Self, EngineError> {
        let chaos_seed = settings.chaos.seed.map_or(seed, Seed);
        Ok(Self {
            traces: Traces::new(&settings.otel, seed.0)?,
            auth: AuthMiddleware::new(&settings.rbac)?,
            flags: FlagsMiddleware::new(&settings.feature_flags, rules)?,
            limiter: LimiterMiddleware::new(&settings.limits.limiter, now)?,
            bulkhead: BulkheadMiddleware::new(&settings.limits.bulkhead)?,
            breaker: BreakerMiddleware::new(&settings.circuit_breaker, now, seed.stream(Stream::Breaker))?,
            validation: Validation::new(&settings.validation)?,
            timing: Timing::default(),
            logging: Logging,
            chaos: Chaos::new(&settings.chaos, rules, chaos_seed.stream(Stream::Chaos))?,
            cache: CacheMiddleware::new(&settings.cache, rules, seed.stream(Stream::Cache))?,
            journal: Journal::new(&settings.event_sourcing, Arc::clone(rules)),
            translator: Translator::new(&settings.i18n, rules)?,
            slo: SloMiddleware::new(&settings.sla, Arc::clone(rules))?,
        })
    }
}

impl Layers for Mechanisms {
    fn count(&self) -> usize {
        14
    }

    /// In the order that breaks ties of priority: tracing comes before authorization.
    fn layer(&mut self, index: usize) -> &mut dyn Middleware {
        match index {
            0 => &mut self.traces,
            1 => &mut self.auth,
            2 => &mut self.flags,
            3 => &mut self.limiter,
            4 => &mut self.bulkhead,
            5 => &mut self.breaker,
            6 => &mut self.validation,
            7 => &mut self.timing,
            8 => &mut self.logging,
            9 => &mut self.chaos,
            10 => &mut self.cache,
            11 => &mut self.journal,
            12 => &mut self.translator,
            _ => &mut self.slo,
        }
    }
}
