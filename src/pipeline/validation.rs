//! Refuses numbers outside of the accepted limits, and evaluations that nobody waits for any more.

use serde::{Deserialize, Serialize};

use super::{Context, Flow, Middleware, Outbox};
use crate::domain::{ErrorCode, Outcome};

/// The section `validation`: the limits, both inclusive. The default is what 32 bits hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationConfig {
    /// The smallest number accepted.
    pub min: i64,
    /// The largest number accepted.
    pub max: i64,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self { min: i32::MIN.into(), max: i32::MAX.into() }
    }
}

/// The limits exclude every number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("validation.min ({min}) is greater than validation.max ({max}), so no number would be accepted")]
pub struct EmptyLimits {
    /// As configured.
    pub min: i64,
    /// As configured.
    pub max: i64,
}

/// The middleware, at priority 0.
#[derive(Debug, Clone)]
pub struct Validation {
    limits: std::ops::RangeInclusive<i64>,
}

impl Validation {
    /// With these limits.
    ///
    /// # Errors
    /// [`EmptyLimits`] when `min > max`.
    pub fn new(config: &ValidationConfig) -> Result<Self, EmptyLimits> {
        if config.min > config.max {
            return Err(EmptyLimits { min: config.min, max: config.max });
        }
        Ok(Self { limits: config.min..=config.max })
    }
}

impl Middleware for Validation {
    fn name(&self) -> &'static str {
        "validation"
    }

    fn priority(&self) -> i16 {
        0
    }

    fn enter(&mut self, context: &mut Context, _out: &mut Outbox) -> Flow {
        if context.cancelled {
            context.fail(Outcome::Failed, ErrorCode::Cancelled);
            return Flow::Finish;
        }
        if !self.limits.contains(&context.number) {
            context.fail(Outcome::Invalid, ErrorCode::InvalidNumber);
            return Flow::Finish;
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, RuleSet, Timestamp};

    fn outcome(number: i64, cancelled: bool) -> (Flow, Outcome, Option<ErrorCode>) {
        let mut validation = Validation::new(&ValidationConfig { min: -5, max: 5 }).unwrap();
        let mut context = Context::new(0, number, RuleSet::classic().all(), Timestamp::EPOCH);
        context.cancelled = cancelled;
        let flow = validation.enter(&mut context, &mut Outbox::new(EventMask::NONE, 0));
        (flow, context.outcome, context.error)
    }

    #[test]
    fn the_limits_are_inclusive() {
        assert_eq!(outcome(5, false), (Flow::Continue, Outcome::Ok, None));
        assert_eq!(outcome(-5, false), (Flow::Continue, Outcome::Ok, None));
        assert_eq!(outcome(6, false), (Flow::Finish, Outcome::Invalid, Some(ErrorCode::InvalidNumber)));
    }

    #[test]
    fn a_cancelled_evaluation_goes_no_further() {
        assert_eq!(outcome(1, true), (Flow::Finish, Outcome::Failed, Some(ErrorCode::Cancelled)));
    }

    #[test]
    fn limits_that_exclude_everything_are_refused() {
        assert!(Validation::new(&ValidationConfig { min: 1, max: 0 }).is_err());
    }
}
