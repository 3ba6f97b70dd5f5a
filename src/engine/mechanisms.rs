//! The engine's composition: which middleware there are. A new mechanism is a field, a line in `new` and one in `layer`.

use std::sync::Arc;

use super::EngineError;
use super::director::Lookup;
use super::seed::{Seed, Stream};
use super::settings::Settings;
use crate::domain::{RuleSet, Timestamp};
use crate::mechanisms::auth::AuthMiddleware;
use crate::mechanisms::breaker::{Breaker, BreakerMiddleware, State};
use crate::mechanisms::cache::CacheMiddleware;
use crate::mechanisms::chaos::Chaos;
use crate::mechanisms::flags::FlagsMiddleware;
use crate::mechanisms::i18n::Translator;
use crate::mechanisms::limits::{BulkheadMiddleware, LimiterMiddleware, Rate, RetryMiddleware};
use crate::mechanisms::slo::SloMiddleware;
use crate::pipeline::timing::Timing;
use crate::pipeline::validation::Validation;
use crate::pipeline::{Layers, Middleware};
use crate::records::journal::Journal;
use crate::telemetry::logging::Logging;
use crate::telemetry::traces::Traces;

/// The twelve middleware, and the three limits that are off unless they are configured.
#[derive(Debug)]
pub(super) struct Mechanisms {
    pub traces: Traces,
    pub auth: AuthMiddleware,
    pub flags: FlagsMiddleware,
    pub limiter: LimiterMiddleware,
    pub bulkhead: BulkheadMiddleware,
    pub retry: RetryMiddleware,
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
            retry: RetryMiddleware::new(&settings.limits.retry, seed.stream(Stream::Retry))?,
            breaker: BreakerMiddleware::new(&settings.circuit_breaker, now, seed.stream(Stream::Breaker))?,
            validation: Validation::new(&settings.validation)?,
            timing: Timing::default(),
            logging: Logging,
            chaos: Chaos::new(&settings.chaos, rules, chaos_seed.stream(Stream::Chaos))?,
            cache: CacheMiddleware::new(&settings.cache, rules, seed.stream(Stream::Cache))?,
            journal: Journal::new(&settings.event_sourcing, Arc::clone(rules)),
            translator: Translator::new(&settings.i18n, rules)?,
            slo: SloMiddleware::new(&settings.sla, Arc::clone(rules), now)?,
        })
    }
}

impl Lookup for Mechanisms {
    fn flag(&self, name: &str) -> Option<bool> {
        self.flags.view().flags.iter().find(|flag| flag.name == name).map(|flag| flag.enabled)
    }

    fn breaker(&self, name: &str) -> Option<State> {
        let registry = self.breaker.registry();
        registry.find(name).ok().and_then(|slot| registry.breaker(slot)).map(Breaker::state)
    }

    fn bulkhead(&self) -> (bool, u32) {
        let view = self.bulkhead.view(Timestamp::EPOCH);
        (view.enabled, view.max_concurrent)
    }

    fn limiter(&self) -> (bool, Rate) {
        let view = self.limiter.view(Timestamp::EPOCH);
        (view.enabled, view.limit)
    }

    fn dependency(&self, name: &str) -> bool {
        self.chaos.dependencies().iter().any(|known| known == name)
    }

    fn rule(&self, label: &str) -> bool {
        self.chaos.rules().by_label(label).is_some()
    }
}

impl Layers for Mechanisms {
    fn count(&self) -> usize {
        15
    }

    /// In the order that breaks ties of priority: tracing comes before authorization, and of the limits the rate limiter
    /// is outermost and the retries are next to the breaker.
    fn layer(&mut self, index: usize) -> &mut dyn Middleware {
        match index {
            0 => &mut self.traces,
            1 => &mut self.auth,
            2 => &mut self.flags,
            3 => &mut self.limiter,
            4 => &mut self.bulkhead,
            5 => &mut self.retry,
            6 => &mut self.breaker,
            7 => &mut self.validation,
            8 => &mut self.timing,
            9 => &mut self.logging,
            10 => &mut self.chaos,
            11 => &mut self.cache,
            12 => &mut self.journal,
            13 => &mut self.translator,
            _ => &mut self.slo,
        }
    }
}
