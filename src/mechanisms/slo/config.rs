//! The section `sla`: objectives, alerting, who is on call.

use serde::{Deserialize, Serialize};

use crate::domain::ErrorCode;

/// The section `sla`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SloConfig {
    /// Whether service levels are watched.
    pub enabled: bool,
    /// The objectives.
    pub slos: Objectives,
    /// How the error budget is watched.
    pub error_budget: BudgetConfig,
    /// When alerts fire.
    pub alerting: AlertingConfig,
    /// Who is called.
    pub on_call: OnCallConfig,
}

/// The three objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objectives {
    /// Answers that came in time, among all answers and time-outs.
    pub latency: LatencyObjective,
    /// Right answers, among all answers.
    pub accuracy: Target,
    /// Evaluations that were answered, among all that the caller was entitled to.
    pub availability: Target,
}

/// An objective on latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyObjective {
    /// The share that must be good, between 0 and 1.
    pub target: f64,
    /// In time is up to this, milliseconds.
    pub threshold_ms: f64,
}

/// An objective on a share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The share that must be good, between 0 and 1.
    pub target: f64,
}

/// How the error budget is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// An alert fires when the last minute burned the budget more than this many times faster than allowed.
    pub burn_rate_threshold: f64,
}

/// When alerts fire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertingConfig {
    /// After an alert is resolved, none fires for the same objective for this long.
    pub cooldown_seconds: u64,
    /// No alert fires with fewer events than this in the last minute.
    pub minimum_events: u64,
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnCallConfig {
    /// The team.
    pub team_name: String,
    /// How long each engineer is on call.
    pub rotation_interval_hours: u64,
    /// In order of rotation.
    pub engineers: Vec<Engineer>,
}

/// Somebody who can be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engineer {
    /// Their name.
    pub name: String,
    /// Where to write.
    #[serde(default)]
    pub email: String,
    /// Where to call.
    #[serde(default)]
    pub phone: String,
    /// What they are.
    #[serde(default)]
    pub title: String,
}

impl Default for Objectives {
    fn default() -> Self {
        Self {
            latency: LatencyObjective::default(),
            accuracy: Target { target: 0.999_99 },
            availability: Target { target: 0.999_9 },
        }
    }
}

impl Default for LatencyObjective {
    fn default() -> Self {
        Self { target: 0.999, threshold_ms: 100.0 }
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { burn_rate_threshold: 2.0 }
    }
}

impl Default for AlertingConfig {
    fn default() -> Self {
        Self { cooldown_seconds: 60, minimum_events: 20 }
    }
}

impl Default for OnCallConfig {
    fn default() -> Self {
        let engineer = |name: &str, title: &str| Engineer {
            name: name.into(),
            email: String::new(),
            phone: String::new(),
            title: title.into(),
        };
        Self {
            team_name: "FizzBuzz Reliability Engineering".into(),
            rotation_interval_hours: 168,
            engineers: vec![engineer("primary", "On-Call Engineer")],
        }
    }
}

/// A setting is impossible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SloError {
    /// Not a target.
    #[error("sla.slos.{name}.target is {target}; it must be above 0 and below 1")]
    Target {
        /// Of which objective.
        name: &'static str,
        /// As configured.
        target: f64,
    },
    /// Not a time.
    #[error("sla.slos.latency.threshold_ms is {0}; it must be above 0")]
    Threshold(f64),
    /// Not a factor.
    #[error("sla.error_budget.burn_rate_threshold is {0}; it must be a number from 1 on")]
    BurnRate(f64),
    /// Nobody to call.
    #[error("sla.on_call.engineers is empty; name at least one")]
    NobodyOnCall,
    /// No rotation.
    #[error("sla.on_call.rotation_interval_hours is 0; it must be at least 1")]
    Rotation,
    /// No such alert.
    #[error("there is no active alert {0}")]
    NoAlert(u64),
}

impl SloError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NobodyOnCall => ErrorCode::NobodyOnCall,
            Self::NoAlert(_) => ErrorCode::CommandInvalid,
            _ => ErrorCode::SloConfiguration,
        }
    }
}

impl SloConfig {
    /// Whether every setting is possible.
    ///
    /// # Errors
    /// [`SloError`] for the first that is not.
    pub fn check(&self) -> Result<(), SloError> {
        let targets = [
            ("latency", self.slos.latency.target),
            ("accuracy", self.slos.accuracy.target),
            ("availability", self.slos.availability.target),
        ];
        for (name, target) in targets {
            if !(target > 0.0 && target < 1.0) {
                return Err(SloError::Target { name, target });
            }
        }
        let threshold = self.slos.latency.threshold_ms;
        if !(threshold.is_finite() && threshold > 0.0) {
            return Err(SloError::Threshold(threshold));
        }
        let burn = self.error_budget.burn_rate_threshold;
        if !(burn.is_finite() && burn >= 1.0) {
            return Err(SloError::BurnRate(burn));
        }
        if self.on_call.engineers.is_empty() {
            return Err(SloError::NobodyOnCall);
        }
        if self.on_call.rotation_interval_hours == 0 {
            return Err(SloError::Rotation);
        }
        Ok(())
    }
}
