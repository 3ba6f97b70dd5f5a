//! Feature flags: which rules are on for a number. Switched by operators, rolled out to a share of the numbers, aimed
//! at some of them, and depending on each other without circles. Defined in the configuration, or in a file in flagd's
//! format. Reads no file itself: whoever runs the engine does.
//!
//! ```
//! use fizzops::domain::{EventMask, Rule, RuleSet, Timestamp};
//! use fizzops::mechanisms::flags::{FlagsConfig, FlagsMiddleware};
//! use fizzops::pipeline::{Context, Flow, Middleware, Outbox};
//!
//! let rules = RuleSet::classic();
//! let config = FlagsConfig { enabled: true, ..FlagsConfig::default() };
//! let mut flags = FlagsMiddleware::new(&config, &rules).unwrap();
//! flags.override_with("fizz_rule_enabled=off").unwrap();
//! let mut context = Context::new(0, 15, rules.all(), Timestamp::EPOCH);
//! assert_eq!(flags.enter(&mut context, &mut Outbox::new(EventMask::NONE, 0)), Flow::Continue);
//! assert_eq!(&*rules.label(rules.matches(15, context.rules)), "Buzz");
//! ```

mod config;
mod entry;
mod error;
pub mod flag;
pub mod flagd;
mod middleware;
mod order;
mod reason;
mod set;
#[cfg(test)]
mod tests;
mod view;

pub use config::{FlagConfig, FlagsConfig};
pub use error::FlagsError;
pub use middleware::{FlagsCommand, FlagsMiddleware};
pub use reason::{Reason, Reasons};
pub use set::{FlagSet, context_of};
pub use view::{FileView, FlagView, FlagsView};
