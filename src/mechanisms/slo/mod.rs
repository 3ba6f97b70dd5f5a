//! Service levels as the caller sees them: latency, accuracy and availability, their error budgets, and the alerts
//! that say when a budget burns too fast.
//!
//! It runs on every finished evaluation, whichever way it finished, so corrupted answers, injected latency, cache hits
//! and rejections all count. The right answer is the one that the rules give that the flags left on.
//!
//! ```
//! use std::sync::Arc;
//! use fizzops::domain::{EventMask, RuleSet, Source, Timestamp};
//! use fizzops::mechanisms::slo::{SloConfig, SloMiddleware};
//! use fizzops::pipeline::{Context, Middleware, Outbox};
//!
//! let rules = Arc::new(RuleSet::classic());
//! let config = SloConfig { enabled: true, ..SloConfig::default() };
//! let mut slo = SloMiddleware::new(&config, Arc::clone(&rules), Timestamp::EPOCH).unwrap();
//! let mut context = Context::new(0, 15, rules.all(), Timestamp::EPOCH);
//! context.answer(rules.matches(3, rules.all()), Source::Strategy);
//! slo.leave(&mut context, &mut Outbox::new(EventMask::NONE, 0));
//! assert!(!context.correct, "Fizz is not the right answer for 15");
//! ```

mod alert;
mod calendar;
mod config;
mod counters;
mod error;
mod message;
mod middleware;
#[cfg(test)]
mod model_tests;
pub mod openslo;
pub mod prometheus;
mod ring;
mod rota;
mod slos;
mod spec;
#[cfg(test)]
mod tests;
mod tracker;
mod view;

pub use alert::{Alert, AlertState, CHAIN, Severity};
pub use calendar::{Calendar, CalendarError, time_zone};
pub use config::{
    AlertingConfig, BudgetConfig, LatencyObjective, Objectives, PolicyConfig, RuleConfig, SloConfig, Target,
};
pub use counters::{Cause, Counters, Observation, UnknownCounter};
pub use error::SloError;
pub use message::span;
pub use middleware::SloMiddleware;
pub use ring::{Cell, Ratio, Ring};
pub use rota::{Engineer, OnCallConfig, Override, Rota, Turn};
pub use slos::{PolicyAction, SloCommand, Slos};
pub use spec::{Budgeting, BurnRule, Factor, Indicator, NotASpan, Op, SloSpec, Span, Unit, Window, percent, shorthand};
pub use view::{LinkView, RuleView, ServiceLevel, SloView, SlosView};
