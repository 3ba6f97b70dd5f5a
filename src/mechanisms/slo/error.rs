//! What can be wrong with service levels.

use super::calendar::CalendarError;
use crate::config::Diagnostic;
use crate::domain::ErrorCode;

/// A setting, a document or a command is impossible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SloError {
    /// Not a target.
    #[error("sla.slos.{name}.target is {target}; it must be above 0 and below 1")]
    Target {
        /// Of which objective.
        name: String,
        /// As configured.
        target: f64,
    },
    /// Not a time.
    #[error("sla.slos.latency.threshold_ms is {0}; it must be above 0 and at most a day")]
    Threshold(f64),
    /// A key that is no more.
    #[error("{key} is replaced by {by}")]
    Replaced {
        /// The old one.
        key: &'static str,
        /// The new one, and why.
        by: &'static str,
    },
    /// Not a period.
    #[error("sla.error_budget.window_days is {0}; it must be from 1 to 366")]
    Period(u32),
    /// Not a share.
    #[error("{key} is {share}; it must be {bounds}")]
    Share {
        /// Which.
        key: String,
        /// As configured.
        share: f64,
        /// What it may be.
        bounds: &'static str,
    },
    /// Windows that do not fit.
    #[error("{place}: {problem}")]
    Window {
        /// Of which rule or objective.
        place: String,
        /// What does not fit.
        problem: String,
    },
    /// Not a scale.
    #[error("sla.time_scale is {0}; it must be from 1 to 1000000")]
    TimeScale(u32),
    /// Nobody to call.
    #[error("sla.on_call.engineers is empty; name at least one")]
    NobodyOnCall,
    /// No rotation.
    #[error("sla.on_call.rotation_interval_hours is {0}; it must be from 1 to 87600")]
    Rotation(u64),
    /// An exception from the rota that cannot be.
    #[error("sla.on_call.overrides[{index}]: {problem}")]
    Override {
        /// Which.
        index: usize,
        /// What is wrong.
        problem: String,
    },
    /// A document is not right.
    #[error(transparent)]
    Document(#[from] Diagnostic),
    /// An objective that this engine cannot count.
    #[error("{slo}: its indicator is counted elsewhere ({source_type}); an engine watches indicators of type fizzops")]
    NotOurs {
        /// Which.
        slo: String,
        /// Where.
        source_type: String,
    },
    /// No objective at all.
    #[error("the documents define no SLO")]
    NoObjective,
    /// A calendar that cannot be.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
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
