//! What an engine is made with beside its settings, and why it cannot be made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{MAX_RATE, Playbook, Seed, WallClock, Workload, service_time, trace, workload};
use crate::domain::rules::RuleError;
use crate::domain::{ErrorCode, EventMask};
use crate::mechanisms::auth::Role;
use crate::mechanisms::flags::flagd::Definitions;
use crate::records::ledger::Start;

/// Why an engine cannot be made of its settings.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is the error of the room that it names")]
pub enum EngineError {
    #[error("rules: {0}")]
    Rules(#[from] RuleError),
    #[error(transparent)]
    Traces(#[from] crate::telemetry::traces::TracesError),
    #[error(transparent)]
    Auth(#[from] crate::mechanisms::auth::PermissionError),
    #[error(transparent)]
    Flags(#[from] crate::mechanisms::flags::FlagsError),
    #[error(transparent)]
    Breaker(#[from] crate::mechanisms::breaker::BreakerError),
    #[error(transparent)]
    Limits(#[from] crate::mechanisms::limits::LimitsError),
    #[error(transparent)]
    Validation(#[from] crate::pipeline::validation::EmptyLimits),
    #[error(transparent)]
    Chaos(#[from] crate::mechanisms::chaos::ChaosError),
    #[error(transparent)]
    Cache(#[from] crate::mechanisms::cache::CacheError),
    #[error(transparent)]
    I18n(#[from] crate::mechanisms::i18n::I18nError),
    #[error(transparent)]
    Slo(#[from] crate::mechanisms::slo::SloError),
    #[error(transparent)]
    Ledger(#[from] crate::records::ledger::LedgerError),
    #[error(transparent)]
    Workload(#[from] workload::WorkloadError),
    #[error(transparent)]
    Dependencies(#[from] crate::pipeline::dependency::DependencyError),
    #[error(transparent)]
    ServiceTime(#[from] service_time::ServiceTimeError),
    #[error("engine.max_concurrent_evaluations is {0}; it must be from 1 to 100000")]
    Concurrency(usize),
    #[error("engine.timeout_ms is 0; an evaluation needs at least 1 ms")]
    Timeout,
    #[error("workload.rate is {0}; it must be at most {MAX_RATE} a second, or 0 for as fast as they go")]
    Rate(u32),
}

impl EngineError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Flags(error) => error.code(),
            Self::Breaker(error) => error.code(),
            Self::Limits(error) => error.code(),
            Self::Chaos(error) => error.code(),
            Self::Cache(error) => error.code(),
            Self::I18n(error) => error.code(),
            Self::Slo(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::Workload(workload::WorkloadError::Range { .. }) => ErrorCode::InvalidRange,
            _ => ErrorCode::Configuration,
        }
    }
}

/// Who came in with a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authenticated {
    /// The name.
    pub user: String,
    /// The role.
    pub role: Role,
    /// The token's id.
    pub token_id: String,
}

/// What a session is given beside its settings.
pub struct Options {
    /// The seed.
    pub seed: Seed,
    /// The wall clock; `None` for the virtual one.
    pub wall: Option<WallClock>,
    /// Numbers from outside, instead of the configured workload.
    pub workload: Option<Workload>,
    /// Kinds of events that somebody will look at.
    pub events: EventMask,
    /// How many events are kept until they are taken.
    pub event_limit: usize,
    /// Whether finished evaluations are kept until they are taken, in order of admission.
    pub results: bool,
    /// Whether what goes on the ledger is kept until it is taken.
    pub leaves: bool,
    /// Where the ledger goes on; from nothing by default.
    pub ledger: Start,
    /// Who came in with a token: that goes on record.
    pub authenticated: Option<Authenticated>,
    /// Whether frames tell what became of each call that reached a breaker.
    pub calls: bool,
    /// Whether finished evaluations are kept until they are taken, in order of completion: for journal and repository.
    pub keep: bool,
    /// Where the stopwatch's readings around each middleware go; only on the wall clock, and for a single evaluation.
    pub readings: Option<trace::Readings>,
    /// Flags to set before the start, `NAME=VALUE`.
    pub flags: Vec<String>,
    /// The flags of the file that the settings name.
    pub definitions: Option<Definitions>,
    /// Where game days come from.
    pub playbook: Option<Arc<dyn Playbook>>,
}

impl Options {
    /// On the virtual clock, with nobody looking.
    pub fn simulated(seed: u64) -> Self {
        Self {
            seed: Seed(seed),
            wall: None,
            workload: None,
            events: EventMask::NONE,
            event_limit: 8_192,
            results: false,
            leaves: false,
            ledger: Start::default(),
            authenticated: None,
            calls: false,
            keep: false,
            readings: None,
            flags: Vec::new(),
            definitions: None,
            playbook: None,
        }
    }

    /// On the wall clock, with nobody looking.
    pub fn live(seed: Seed) -> Self {
        Self { seed, wall: Some(WallClock::start()), ..Self::simulated(0) }
    }
}
