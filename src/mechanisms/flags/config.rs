//! The section `feature_flags`, and flags of the reference's own kinds with the seven that it predefines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::FlagsError;
use super::flag::{Lifecycle, Rollout, Target};
use super::flagd::Generation;

/// The section `feature_flags`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlagsConfig {
    /// Whether flags decide anything.
    pub enabled: bool,
    /// A file of definitions; when it is given, its flags are all that there are.
    pub file: Option<String>,
    /// The generation of `fractional` in the file.
    pub fractional: Generation,
    /// The flags by name, where there is no file.
    pub predefined_flags: BTreeMap<String, FlagConfig>,
}

/// One flag in `feature_flags.predefined_flags`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagConfig {
    /// Whether it can be on at all.
    pub enabled: bool,
    /// What decides beyond that.
    pub rollout: Rollout,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Flags that must be on for it to be on.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// The label of the rule that it switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

impl Default for FlagsConfig {
    fn default() -> Self {
        let flag = |enabled, rollout, description: &str, rule: Option<&str>| FlagConfig {
            enabled,
            rollout,
            lifecycle: Lifecycle::Active,
            description: description.into(),
            depends_on: Vec::new(),
            rule: rule.map(str::to_owned),
        };
        let primes = FlagConfig {
            depends_on: vec!["wuzz_rule_experimental".into()],
            ..flag(true, Rollout::Targeting { rule: Target::Prime }, "The experiment's numbers that are prime", None)
        };
        let tenth = Rollout::Percentage { percentage: 10.0 };
        let third = Rollout::Percentage { percentage: 30.0 };
        let predefined_flags = [
            ("fizz_rule_enabled", flag(true, Rollout::Boolean, "The rule for multiples of 3", Some("Fizz"))),
            ("buzz_rule_enabled", flag(true, Rollout::Boolean, "The rule for multiples of 5", Some("Buzz"))),
            ("wuzz_rule_experimental", flag(true, third, "An experiment: a rule for multiples of 7", Some("Wuzz"))),
            ("wuzz_prime_targeting", primes),
            ("ml_strategy_canary", flag(false, tenth, "Numbers for the machine learning strategy", None)),
            ("blockchain_audit", flag(false, Rollout::Boolean, "Audit of every evaluation", None)),
            ("tracing_enabled", flag(false, Rollout::Boolean, "A trace of every evaluation", None)),
        ];
        let predefined_flags = predefined_flags.into_iter().map(|(name, flag)| (name.to_owned(), flag)).collect();
        Self { enabled: false, file: None, fractional: Generation::default(), predefined_flags }
    }
}

impl FlagConfig {
    /// Whether it is possible: a percentage is from 0 to 100, a divisor is not 0.
    ///
    /// # Errors
    /// [`FlagsError`] that names `flag`.
    pub fn check(&self, flag: &str) -> Result<(), FlagsError> {
        match self.rollout {
            Rollout::Percentage { percentage } if !(0.0..=100.0).contains(&percentage) => {
                Err(FlagsError::Percentage { flag: flag.to_owned(), percentage })
            }
            Rollout::Targeting { rule: Target::Modulo { divisor: 0, .. } } => Err(FlagsError::Divisor(flag.to_owned())),
            _ => Ok(()),
        }
    }
}
