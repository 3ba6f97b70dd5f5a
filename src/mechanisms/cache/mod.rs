//! The cache of answers. It keeps canonical answers only: it sits inside of fault injection and translation, so what
//! they do to an answer is never served again.
//!
//! ```
//! use fizzops::domain::{EventMask, RuleSet, Source, Timestamp};
//! use fizzops::mechanisms::cache::{CacheConfig, CacheMiddleware};
//! use fizzops::pipeline::{Context, Flow, Middleware, Outbox};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let rules = RuleSet::classic();
//! let config = CacheConfig { enabled: true, ..CacheConfig::default() };
//! let mut cache = CacheMiddleware::new(&config, ChaCha8Rng::seed_from_u64(1)).unwrap();
//! let mut out = Outbox::new(EventMask::NONE, 0);
//! let mut context = Context::new(0, 15, rules.all(), Timestamp::EPOCH);
//! assert_eq!(cache.enter(&mut context, &mut out), Flow::Continue);
//! context.answer(rules.matches(15, rules.all()), Source::Strategy);
//! cache.leave(&mut context, &mut out);
//!
//! let mut again = Context::new(1, 15, rules.all(), Timestamp::EPOCH);
//! assert_eq!(cache.enter(&mut again, &mut out), Flow::Finish);
//! assert_eq!((again.matched, again.source), (context.matched, Source::Cache));
//! ```

mod store;

use std::collections::VecDeque;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use store::{Entry, Policy, Store};

use crate::domain::{ErrorCode, Kind, Payload, RuleSet, Source, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// The section `cache`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Whether it is in force.
    pub enabled: bool,
    /// How many answers it keeps.
    pub max_size: usize,
    /// How long an answer is good, seconds.
    pub ttl_seconds: f64,
    /// Which answer leaves when it is full.
    pub eviction_policy: Policy,
    /// Answers that are put in before the first evaluation.
    pub warming: WarmingConfig,
}

/// The section `cache.warming`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmingConfig {
    /// Whether it is done.
    pub enabled: bool,
    /// The first number.
    pub range_start: i64,
    /// The last number.
    pub range_end: i64,
}

impl Default for WarmingConfig {
    fn default() -> Self {
        Self { enabled: false, range_start: 1, range_end: 100 }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            max_size: 1_024,
            ttl_seconds: 3_600.0,
            eviction_policy: Policy::Lru,
            warming: WarmingConfig::default(),
        }
    }
}

/// A setting is impossible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CacheError {
    /// No room, or more than memory should be spent on.
    #[error("cache.max_size is {0}; it must be from 1 to 100000000")]
    Capacity(usize),
    /// Not a time.
    #[error("cache.ttl_seconds is {0}; it must be above 0")]
    Ttl(f64),
    /// Start after end.
    #[error("cache.warming.range_start ({0}) is greater than range_end ({1})")]
    Warming(i64, i64),
}

impl CacheError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Capacity(_) => ErrorCode::CacheCapacity,
            Self::Ttl(_) => ErrorCode::Configuration,
            Self::Warming(..) => ErrorCode::CacheWarming,
        }
    }
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheCommand {
    /// Forget every answer.
    Clear,
    /// Forget the answers for one number.
    Invalidate {
        /// Which.
        number: i64,
    },
    /// Let answers leave by another policy from now on.
    SetPolicy {
        /// Which.
        policy: Policy,
    },
}

/// An answer that left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictionView {
    /// When.
    pub at: Timestamp,
    /// For which number.
    pub number: i64,
    /// `capacity`, `expired` or `invalidated`.
    pub reason: String,
    /// How old it was, milliseconds.
    pub age_ms: u64,
    /// How often it had been used.
    pub uses: u64,
}

/// The cache, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheView {
    /// Whether it is in force.
    pub enabled: bool,
    /// The policy's name.
    pub policy: String,
    /// Answers that it has.
    pub entries: u64,
    /// Answers that it can have.
    pub capacity: u64,
    /// How long an answer is good, milliseconds.
    pub ttl_ms: u64,
    /// Look-ups that found an answer.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Answers that left because it was full.
    pub evicted: u64,
    /// Answers that left because they were too old.
    pub expired: u64,
    /// Answers that left because somebody said so.
    pub invalidated: u64,
    /// The last answers that left, oldest first.
    pub recent: Vec<EvictionView>,
}

impl CacheView {
    /// Hits among look-ups, 0 to 1; `None` before the first look-up.
    pub fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.hits + self.misses;
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }
}

/// How many evictions are listed.
const RECENT: usize = 10;

/// The middleware, at priority 4.
#[derive(Debug)]
pub struct CacheMiddleware {
    config: CacheConfig,
    ttl: Duration,
    store: Store,
    hits: u64,
    misses: u64,
    evicted: u64,
    expired: u64,
    invalidated: u64,
    recent: VecDeque<(Timestamp, Entry, &'static str)>,
}

impl CacheMiddleware {
    /// As configured, empty.
    ///
    /// # Errors
    /// [`CacheError`] for a setting that is impossible.
    pub fn new(config: &CacheConfig, rng: ChaCha8Rng) -> Result<Self, CacheError> {
        if !(1..=100_000_000).contains(&config.max_size) {
            return Err(CacheError::Capacity(config.max_size));
        }
        let ttl = Duration::try_from_secs_f64(config.ttl_seconds)
            .ok()
            .filter(|ttl| !ttl.is_zero())
            .ok_or(CacheError::Ttl(config.ttl_seconds))?;
        let WarmingConfig { range_start, range_end, .. } = config.warming;
        if range_start > range_end {
            return Err(CacheError::Warming(range_start, range_end));
        }
        Ok(Self {
            config: config.clone(),
            ttl,
            store: Store::new(config.eviction_policy, config.max_size, rng),
            hits: 0,
            misses: 0,
            evicted: 0,
            expired: 0,
            invalidated: 0,
            recent: VecDeque::with_capacity(RECENT),
        })
    }

    /// Puts in the answers for the configured range, if that is configured; how many that were.
    pub fn warm(&mut self, rules: &RuleSet, now: Timestamp, out: &mut Outbox) -> u64 {
        let WarmingConfig { enabled, range_start: from, range_end: to } = self.config.warming;
        if !(enabled && self.config.enabled) {
            return 0;
        }
        // Answers beyond the capacity would only push the first ones out again.
        let numbers = (from..=to).take(self.config.max_size);
        let entries = numbers.map(|number| {
            self.store.put((number, rules.all()), rules.matches(number, rules.all()), now);
        });
        let entries = entries.count() as u64;
        out.emit(Kind::CacheWarming, || Payload::CacheWarming { entries, from, to });
        entries
    }

    /// Carries out a command; the answer is a sentence for the operator.
    pub fn command(&mut self, command: CacheCommand, out: &mut Outbox) -> String {
        match command {
            CacheCommand::Clear => {
                let entries = self.store.clear() as u64;
                self.invalidated += entries;
                out.emit(Kind::CacheInvalidation, || Payload::CacheInvalidation { what: "all".into(), entries });
                format!("cache is empty; {entries} answers are forgotten")
            }
            CacheCommand::Invalidate { number } => {
                let entries = self.store.remove_if(|entry| entry.key.0 == number) as u64;
                self.invalidated += entries;
                out.emit(Kind::CacheInvalidation, || Payload::CacheInvalidation { what: number.to_string(), entries });
                format!("cache has forgotten {entries} answers for {number}")
            }
            CacheCommand::SetPolicy { policy } => {
                self.store.set_policy(policy);
                format!("cache evicts by {} from now on", policy.name())
            }
        }
    }

    /// As it is shown.
    pub fn view(&self) -> CacheView {
        CacheView {
            enabled: self.config.enabled,
            policy: self.store.policy().name().to_owned(),
            entries: self.store.len() as u64,
            capacity: self.config.max_size as u64,
            ttl_ms: u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            hits: self.hits,
            misses: self.misses,
            evicted: self.evicted,
            expired: self.expired,
            invalidated: self.invalidated,
            recent: self
                .recent
                .iter()
                .map(|(at, entry, reason)| EvictionView {
                    at: *at,
                    number: entry.key.0,
                    reason: (*reason).to_owned(),
                    age_ms: u64::try_from(at.since(entry.created).as_millis()).unwrap_or(u64::MAX),
                    uses: entry.uses,
                })
                .collect(),
        }
    }

    fn left(&mut self, entry: Entry, reason: &'static str, now: Timestamp, out: &mut Outbox) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((now, entry, reason));
        out.emit(Kind::CacheEviction, || Payload::CacheEviction { number: entry.key.0, reason: reason.to_owned() });
    }
}

impl Middleware for CacheMiddleware {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn priority(&self) -> i16 {
        4
    }

    fn enter(&mut self, context: &mut Context, out: &mut Outbox) -> Flow {
        if !self.config.enabled {
            return Flow::Continue;
        }
        let key = (context.number, context.rules);
        let number = context.number;
        let stale = self.store.peek(&key).is_some_and(|entry| context.now.since(entry.created) > self.ttl);
        if stale && let Some(entry) = self.store.remove(&key) {
            self.expired += 1;
            self.left(entry, "expired", context.now, out);
        }
        if let Some(matched) = self.store.get(&key) {
            self.hits += 1;
            context.answer(matched, Source::Cache);
            out.emit(Kind::CacheHit, || Payload::CacheHit { number });
            return Flow::Finish;
        }
        self.misses += 1;
        out.emit(Kind::CacheMiss, || Payload::CacheMiss { number });
        Flow::Continue
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        if !self.config.enabled || !context.is_answered() {
            return;
        }
        let key = (context.number, context.rules);
        if let Some(entry) = self.store.put(key, context.matched, context.now) {
            self.evicted += 1;
            self.left(entry, "capacity", context.now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, Outcome, RuleMask};
    use rand_chacha::rand_core::SeedableRng;

    fn cache(config: CacheConfig) -> Result<CacheMiddleware, CacheError> {
        CacheMiddleware::new(&CacheConfig { enabled: true, ..config }, ChaCha8Rng::seed_from_u64(1))
    }

    fn ask(cache: &mut CacheMiddleware, number: i64, rules: RuleMask, now: u64) -> Source {
        let mut out = Outbox::new(EventMask::NONE, 0);
        let mut context = Context::new(0, number, rules, Timestamp::from_millis(now));
        if cache.enter(&mut context, &mut out) == Flow::Continue {
            context.answer(RuleSet::classic().matches(number, rules), Source::Strategy);
            cache.leave(&mut context, &mut out);
        }
        context.source
    }

    #[test]
    fn another_set_of_rules_is_another_answer() {
        let mut cache = cache(CacheConfig::default()).unwrap();
        assert_eq!(ask(&mut cache, 15, RuleMask(3), 0), Source::Strategy);
        assert_eq!(ask(&mut cache, 15, RuleMask(2), 0), Source::Strategy);
        assert_eq!(ask(&mut cache, 15, RuleMask(3), 0), Source::Cache);
        assert_eq!(cache.view().hit_ratio(), Some(1.0 / 3.0));
    }

    #[test]
    fn an_answer_is_good_for_its_time_to_live() {
        let mut cache = cache(CacheConfig { ttl_seconds: 1.0, ..CacheConfig::default() }).unwrap();
        ask(&mut cache, 1, RuleMask(3), 0);
        assert_eq!(ask(&mut cache, 1, RuleMask(3), 1_000), Source::Cache);
        assert_eq!(ask(&mut cache, 1, RuleMask(3), 1_001), Source::Strategy);
        assert_eq!(cache.view().recent[0].reason, "expired");
    }

    #[test]
    fn what_failed_is_not_kept() {
        let mut cache = cache(CacheConfig::default()).unwrap();
        let mut out = Outbox::new(EventMask::NONE, 0);
        let mut context = Context::new(0, 1, RuleMask(3), Timestamp::EPOCH);
        assert_eq!(cache.enter(&mut context, &mut out), Flow::Continue);
        context.fail(Outcome::TimedOut, ErrorCode::CallTimeout);
        cache.leave(&mut context, &mut out);
        assert_eq!(cache.view().entries, 0);
    }

    #[test]
    fn it_is_warmed_and_cleared_on_request() {
        let warming = WarmingConfig { enabled: true, range_start: 1, range_end: 100 };
        let mut cache = cache(CacheConfig { warming, max_size: 60, ..CacheConfig::default() }).unwrap();
        let mut out = Outbox::new(EventMask::operations(), 10);
        assert_eq!(cache.warm(&RuleSet::classic(), Timestamp::EPOCH, &mut out), 60);
        assert_eq!(ask(&mut cache, 60, RuleMask(3), 0), Source::Cache);
        cache.command(CacheCommand::Invalidate { number: 60 }, &mut out);
        assert_eq!(ask(&mut cache, 60, RuleMask(3), 0), Source::Strategy);
        cache.command(CacheCommand::Clear, &mut out);
        assert_eq!((cache.view().entries, cache.view().invalidated), (0, 61));
    }

    #[test]
    fn impossible_settings_are_refused() {
        assert!(cache(CacheConfig { max_size: 0, ..CacheConfig::default() }).is_err());
        assert!(cache(CacheConfig { ttl_seconds: f64::NAN, ..CacheConfig::default() }).is_err());
    }
}
