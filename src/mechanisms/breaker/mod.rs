//! Circuit breakers: they stop calling what keeps failing, try again after a wait, and say why they did either.
//!
//! One state machine serves four presets. It must not know what it protects, measure time itself or draw from any
//! generator but the one it was given.
//!
//! ```
//! use std::time::Duration;
//! use fizzops::domain::{ErrorCode, Timestamp};
//! use fizzops::mechanisms::breaker::{Breaker, BreakerSettings, Ended, State};
//! use rand_chacha::ChaCha8Rng;
//! use rand_chacha::rand_core::SeedableRng;
//!
//! let mut now = Timestamp::from_millis(1_767_225_600_000);
//! let settings = BreakerSettings { failure_threshold: 2, ..BreakerSettings::default() };
//! let mut breaker = Breaker::new(&settings, now, ChaCha8Rng::seed_from_u64(7))?;
//! for number in [3, 5] {
//!     let permit = breaker.acquire(now).expect("it is closed");
//!     let error = Some(ErrorCode::ChaosInduced);
//!     let ended = Ended { number, failed: true, error, duration: Duration::from_millis(1), confidence: None };
//!     breaker.finish(permit, &ended, now);
//! }
//! assert_eq!(breaker.state(), State::Open);
//! assert_eq!(
//!     breaker.history().last().unwrap().to_string(),
//!     "closed -> open: 2 failures in a row (threshold 2); the call that tipped it: n = 5 EFP-CH01"
//! );
//! assert_eq!(breaker.acquire(now).unwrap_err().retry_after, Some(Duration::from_secs(1)));
//! now += Duration::from_secs(1);
//! breaker.acquire(now).expect("the first trial call");
//! assert_eq!(breaker.state(), State::HalfOpen);
//! # Ok::<(), fizzops::mechanisms::breaker::BreakerError>(())
//! ```

mod calls;
mod config;
#[cfg(test)]
mod config_tests;
mod error;
mod explain;
mod machine;
mod middleware;
#[cfg(test)]
mod middleware_tests;
#[cfg(test)]
mod model_tests;
mod policy;
mod registry;
mod state;
mod view;
pub mod what_if;
mod window;

pub use calls::{BlockCommand, CallBlock, CallHistory, MalformedCalls, RecordedCall, RecordedCommand, Verdict};
pub use config::{AfterHalfOpen, BreakerConfig, BreakerSettings, Preset, WindowType};
pub use error::BreakerError;
pub use explain::{Call, Cause, Rate, Span, Transition};
pub use machine::{Breaker, Ended, Permit, Refusal};
pub use middleware::{BreakerCommand, BreakerMiddleware};
pub use registry::{BreakerKey, Registry, Slot};
pub use state::State;
pub use view::{BreakerView, RulesView, TotalsView, TransitionView, TrialsView, WindowView};
pub use what_if::{Recorded, Timeline, WhatIf, what_if};
