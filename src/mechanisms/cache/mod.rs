//! The cache of answers. It keeps canonical answers only: it sits inside of fault injection and translation, so what
//! they do to an answer is never served again.
//!
//! Its parts stand alone: a [`Store`] keeps values of any kind up to a weight, by any [`Policy`]; [`Shards`] are several
//! of them that never disagree; [`compare`] tells what each policy would have made of a trace.
//!
//! ```
//! use std::sync::Arc;
//! use fizzops::domain::{EventMask, RuleSet, Source, Timestamp};
//! use fizzops::mechanisms::cache::{CacheConfig, CacheMiddleware};
//! use fizzops::pipeline::{Context, Flow, Middleware, Outbox};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let rules = RuleSet::classic();
//! let config = CacheConfig { enabled: true, ..CacheConfig::default() };
//! let mut cache = CacheMiddleware::new(&config, &Arc::new(rules.clone()), ChaCha8Rng::seed_from_u64(1)).unwrap();
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

pub mod compare;
mod config;
mod eulogy;
mod ghost;
mod list;
mod middleware;
mod order;
mod policies;
mod shards;
mod store;
#[cfg(test)]
mod tests;

pub use config::{CacheCommand, CacheConfig, CacheError, WarmingConfig};
pub use middleware::{CacheMiddleware, CacheView, EvictionView};
pub use order::{Policy, UnknownPolicy};
pub use shards::{Coherence, Happened, IllegalStep, Line, MOST_SHARDS, Read, Reason, Shards};
pub use store::{Entry, Found, Store};
