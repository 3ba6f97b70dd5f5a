//! Everything that can be configured, by section. Each room owns the type of its own section.

use serde::{Deserialize, Serialize};

use super::service_time::ServiceTimeConfig;
use super::workload::WorkloadConfig;
use crate::domain::{Rule, RuleSet};
use crate::mechanisms::auth::{AuthConfig, Role};
use crate::mechanisms::breaker::BreakerConfig;
use crate::mechanisms::cache::CacheConfig;
use crate::mechanisms::chaos::ChaosConfig;
use crate::mechanisms::flags::FlagsConfig;
use crate::mechanisms::i18n::I18nConfig;
use crate::mechanisms::limits::LimitsConfig;
use crate::mechanisms::slo::SloConfig;
use crate::mechanisms::strategy::StrategyKind;
use crate::pipeline::dependency::DependencyConfig;
use crate::pipeline::validation::ValidationConfig;
use crate::records::journal::JournalConfig;
use crate::records::journal::outbox::OutboxConfig;
use crate::records::ledger::LedgerConfig;
use crate::telemetry::traces::TracesConfig;

/// The resolved configuration of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The rules, beside those that flags bring.
    pub rules: Vec<Rule>,
    /// What answers, and how many evaluations at a time.
    #[serde(alias = "evaluation")]
    pub engine: EngineConfig,
    /// Which numbers are asked for.
    pub workload: WorkloadConfig,
    /// Which named dependencies answer for which numbers; each has a breaker of its own.
    pub dependencies: Vec<DependencyConfig>,
    /// How long answers take on the virtual clock.
    pub virtual_clock: VirtualClockConfig,
    /// Which numbers are accepted.
    pub validation: ValidationConfig,
    /// Who may evaluate which numbers.
    pub rbac: AuthConfig,
    /// Which rules are on.
    pub feature_flags: FlagsConfig,
    /// How many evaluations come, and run, at once.
    pub limits: LimitsConfig,
    /// When calls are refused.
    pub circuit_breaker: BreakerConfig,
    /// Which faults are injected.
    pub chaos: ChaosConfig,
    /// Which answers are kept.
    pub cache: CacheConfig,
    /// Which domain events are kept.
    pub event_sourcing: JournalConfig,
    /// Which of the journal's events leave the process, and where to.
    pub outbox: OutboxConfig,
    /// In which language answers are.
    pub i18n: I18nConfig,
    /// Which service levels are promised.
    pub sla: SloConfig,
    /// What is proved.
    pub blockchain: LedgerConfig,
    /// What is traced.
    pub otel: TracesConfig,
}

/// The section `engine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// What answers.
    pub strategy: StrategyKind,
    /// Evaluations that may be under way at the same time, those in the bulkhead's queue and between attempts included.
    pub max_concurrent_evaluations: usize,
    /// An attempt that has no answer after this long has timed out, milliseconds. Where nothing is tried again, that is
    /// the evaluation.
    pub timeout_ms: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { strategy: StrategyKind::Standard, max_concurrent_evaluations: 1_024, timeout_ms: 5_000 }
    }
}

/// The section `virtual_clock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VirtualClockConfig {
    /// When a session on the virtual clock begins, milliseconds since the Unix epoch.
    pub start_ms: u64,
    /// How long answers take.
    pub service_time: ServiceTimeConfig,
}

impl Default for VirtualClockConfig {
    fn default() -> Self {
        // 2026-01-01T00:00:00Z
        Self { start_ms: 1_767_225_600_000, service_time: ServiceTimeConfig::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: RuleSet::classic().rules().to_vec(),
            engine: EngineConfig::default(),
            workload: WorkloadConfig::default(),
            dependencies: Vec::new(),
            virtual_clock: VirtualClockConfig::default(),
            validation: ValidationConfig::default(),
            rbac: AuthConfig::default(),
            feature_flags: FlagsConfig::default(),
            limits: LimitsConfig::default(),
            circuit_breaker: BreakerConfig::default(),
            chaos: ChaosConfig::default(),
            cache: CacheConfig::default(),
            event_sourcing: JournalConfig::default(),
            outbox: OutboxConfig::default(),
            i18n: I18nConfig::default(),
            sla: SloConfig::default(),
            blockchain: LedgerConfig::default(),
            otel: TracesConfig::default(),
        }
    }
}

impl Settings {
    /// With every mechanism on and chaos off: what the console and game days begin with.
    pub fn everything() -> Self {
        let mut settings = Self::default();
        settings.turn_everything_on();
        settings
    }

    /// Turns every mechanism on; chaos stays as it is.
    pub fn turn_everything_on(&mut self) {
        self.rbac.enabled = true;
        let nobody = AuthConfig::default();
        if (&self.rbac.user, self.rbac.role) == (&nobody.user, nobody.role) {
            // Nobody in particular may evaluate nothing; a session on one's own machine is one's own.
            (self.rbac.user, self.rbac.role) = ("operator".into(), Role::FizzBuzzSuperuser);
        }
        self.feature_flags.enabled = true;
        self.circuit_breaker.enabled = true;
        self.cache.enabled = true;
        self.event_sourcing.enabled = true;
        self.sla.enabled = true;
        self.blockchain.enabled = true;
        self.otel.enabled = true;
    }
}
