//! The event catalogue: every kind that can happen, with a stable name and a typed payload.
//!
//! An event object is made only when somebody subscribed to its kind ([`EventMask`]); what is counted per evaluation
//! is aggregated by the mechanisms instead.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error_code::ErrorCode;
use super::evaluation::Outcome;
use super::time::Timestamp;

macro_rules! catalogue {
    ($($group:literal { $($kind:ident $name:literal { $($field:ident: $type:ty),* };)* })*) => {
        /// What kind of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the stable names in `Kind::name` are the documentation")]
        pub enum Kind { $($($kind,)*)* }

        impl Kind {
            /// Every kind, in the catalogue's order.
            pub const ALL: &'static [Self] = &[$($(Self::$kind,)*)*];

            /// The stable name, as it is written in recordings and outputs.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$kind => $name,)*)* }
            }

            /// The group it belongs to.
            pub const fn group(self) -> &'static str {
                match self { $($(Self::$kind => $group,)*)* }
            }
        }

        /// What happened, with its facts. Spans are in milliseconds, ratios between 0 and 1, unless a name says otherwise.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "payload")]
        #[allow(missing_docs, reason = "fields are named by what they hold")]
        pub enum Payload {
            $($(#[serde(rename = $name)] $kind { $($field: $type),* },)*)*
        }

        impl Payload {
            /// Which kind it is of.
            pub const fn kind(&self) -> Kind {
                match self { $($(Self::$kind { .. } => Kind::$kind,)*)* }
            }
        }
    };
}

catalogue! {
    "session" {
        SessionStarted "SESSION_STARTED" { session_id: String, seed: u64, clock: String };
        SessionEnded "SESSION_ENDED" { session_id: String, duration_ms: f64, evaluations: u64 };
    }
    "number" {
        NumberProcessingStarted "NUMBER_PROCESSING_STARTED" { number: i64, sequence: u64 };
        NumberProcessed "NUMBER_PROCESSED" { number: i64, sequence: u64, output: String, outcome: Outcome };
    }
    "rule" {
        RuleMatched "RULE_MATCHED" { number: i64, rule: String, label: String };
        RuleNotMatched "RULE_NOT_MATCHED" { number: i64, rule: String };
    }
    "classification" {
        FizzDetected "FIZZ_DETECTED" { number: i64 };
        BuzzDetected "BUZZ_DETECTED" { number: i64 };
        FizzBuzzDetected "FIZZBUZZ_DETECTED" { number: i64 };
        PlainNumberDetected "PLAIN_NUMBER_DETECTED" { number: i64 };
    }
    "middleware" {
        MiddlewareEntered "MIDDLEWARE_ENTERED" { number: i64, middleware: String };
        MiddlewareExited "MIDDLEWARE_EXITED" { number: i64, middleware: String };
    }
    "output" {
        OutputFormatted "OUTPUT_FORMATTED" { format: String, records: u64 };
    }
    "error" {
        ErrorOccurred "ERROR_OCCURRED" { number: Option<i64>, code: ErrorCode, error: String };
    }
    "breaker" {
        CircuitBreakerStateChanged "CIRCUIT_BREAKER_STATE_CHANGED" { circuit: String, from: String, to: String, reason: String };
        CircuitBreakerTripped "CIRCUIT_BREAKER_TRIPPED" { circuit: String, trips: u64, failures: u64, backoff_ms: u64 };
        CircuitBreakerRecovered "CIRCUIT_BREAKER_RECOVERED" { circuit: String, trips: u64 };
        CircuitBreakerHalfOpen "CIRCUIT_BREAKER_HALF_OPEN" { circuit: String, attempt: u32 };
        CircuitBreakerCallRejected "CIRCUIT_BREAKER_CALL_REJECTED" { circuit: String, number: i64, retry_after_ms: u64, rejections: u64 };
    }
    "tracing" {
        TraceStarted "TRACE_STARTED" { trace_id: String, number: i64 };
        TraceEnded "TRACE_ENDED" { trace_id: String, number: i64, duration_us: f64, outcome: Outcome };
        SpanStarted "SPAN_STARTED" { trace_id: String, span_id: String, name: String };
        SpanEnded "SPAN_ENDED" { trace_id: String, span_id: String, name: String, duration_us: f64 };
    }
    "authorization" {
        AuthorizationGranted "AUTHORIZATION_GRANTED" { user: String, role: String, number: i64, permission: String };
        AuthorizationDenied "AUTHORIZATION_DENIED" { user: String, role: String, number: i64, permission: String, denial_id: String, denial: serde_json::Map<String, serde_json::Value> };
        TokenValidated "TOKEN_VALIDATED" { user: String, role: String, token_id: String };
        TokenValidationFailed "TOKEN_VALIDATION_FAILED" { reason: String };
    }
    "event sourcing" {
        EsNumberReceived "ES_NUMBER_RECEIVED" { version: u64, number: i64 };
        EsDivisibilityChecked "ES_DIVISIBILITY_CHECKED" { version: u64, number: i64, divisor: i64, divisible: bool, rule: String };
        EsRuleMatched "ES_RULE_MATCHED" { version: u64, number: i64, rule: String, label: String };
        EsLabelAssigned "ES_LABEL_ASSIGNED" { version: u64, number: i64, label: String, matched: u32 };
        EsEvaluationCompleted "ES_EVALUATION_COMPLETED" { version: u64, number: i64, output: String, duration_us: f64 };
        EsSnapshotTaken "ES_SNAPSHOT_TAKEN" { version: u64, evaluations: u64 };
        EsCommandDispatched "ES_COMMAND_DISPATCHED" { command: String };
        EsCommandHandled "ES_COMMAND_HANDLED" { command: String };
        EsQueryDispatched "ES_QUERY_DISPATCHED" { query: String };
        EsProjectionUpdated "ES_PROJECTION_UPDATED" { projection: String, version: u64 };
        EsEventReplayed "ES_EVENT_REPLAYED" { version: u64 };
        EsTemporalQueryExecuted "ES_TEMPORAL_QUERY_EXECUTED" { as_of: u64, events: u64 };
    }
    "chaos" {
        ChaosMonkeyActivated "CHAOS_MONKEY_ACTIVATED" { level: u8, label: String, faults: Vec<String>, by: String };
        ChaosFaultInjected "CHAOS_FAULT_INJECTED" { fault: String, level: u8, number: i64, description: String };
        ChaosResultCorrupted "CHAOS_RESULT_CORRUPTED" { number: i64, from: String, to: String };
        ChaosLatencyInjected "CHAOS_LATENCY_INJECTED" { number: i64, latency_ms: f64 };
        ChaosExceptionInjected "CHAOS_EXCEPTION_INJECTED" { number: i64, message: String };
        ChaosGamedayStarted "CHAOS_GAMEDAY_STARTED" { scenario: String };
        ChaosGamedayEnded "CHAOS_GAMEDAY_ENDED" { scenario: String, verdict: String, phases_completed: u32 };
    }
    "flags" {
        FlagEvaluated "FLAG_EVALUATED" { number: i64, on: Vec<String>, active_labels: Vec<String>, disabled_labels: Vec<String> };
        FlagStateChanged "FLAG_STATE_CHANGED" { flag: String, enabled: bool, by: String };
        FlagDependencyResolved "FLAG_DEPENDENCY_RESOLVED" { flag: String, dependency: String, met: bool };
        FlagRolloutDecision "FLAG_ROLLOUT_DECISION" { flag: String, number: i64, bucket: f64, included: bool };
    }
    "slo" {
        SlaEvaluationRecorded "SLA_EVALUATION_RECORDED" { number: i64, latency_ms: f64, accurate: bool, available: bool };
        SlaSloChecked "SLA_SLO_CHECKED" { slo: String, target: f64, current: f64, violated: bool };
        SlaSloViolation "SLA_SLO_VIOLATION" { slo: String, target: f64, actual: f64 };
        SlaAlertFired "SLA_ALERT_FIRED" { alert: u64, slo: String, severity: String, message: String };
        SlaAlertAcknowledged "SLA_ALERT_ACKNOWLEDGED" { alert: u64, slo: String, by: String };
        SlaAlertResolved "SLA_ALERT_RESOLVED" { alert: u64, slo: String, after_ms: u64 };
        SlaErrorBudgetUpdated "SLA_ERROR_BUDGET_UPDATED" { slo: String, consumed: f64, remaining: f64, burn_rate: f64 };
        SlaErrorBudgetExhausted "SLA_ERROR_BUDGET_EXHAUSTED" { slo: String };
    }
    "anti-corruption layer" {
        ClassificationAmbiguity "CLASSIFICATION_AMBIGUITY" { number: i64, confidence: f64 };
        StrategyDisagreement "STRATEGY_DISAGREEMENT" { number: i64, strategy: String, answer: String, reference: String };
    }
    "cache" {
        CacheHit "CACHE_HIT" { number: i64 };
        CacheMiss "CACHE_MISS" { number: i64 };
        CacheEviction "CACHE_EVICTION" { number: i64, reason: String };
        CacheInvalidation "CACHE_INVALIDATION" { what: String, entries: u64 };
        CacheWarming "CACHE_WARMING" { entries: u64, from: i64, to: i64 };
        CacheCoherenceTransition "CACHE_COHERENCE_TRANSITION" { number: i64, shard: u32, from: String, to: String };
        CacheEulogyComposed "CACHE_EULOGY_COMPOSED" { number: i64, text: String };
    }
    "repository" {
        RepositoryResultAdded "REPOSITORY_RESULT_ADDED" { result_id: String, number: i64 };
        RepositoryCommitted "REPOSITORY_COMMITTED" { results: u64 };
        RepositoryRolledBack "REPOSITORY_ROLLED_BACK" { results: u64 };
        RollbackFileDeleted "ROLLBACK_FILE_DELETED" { path: String };
    }
    "migrations" {
        MigrationStarted "MIGRATION_STARTED" { migration: String };
        MigrationApplied "MIGRATION_APPLIED" { migration: String, duration_ms: f64 };
        MigrationRolledBack "MIGRATION_ROLLED_BACK" { migration: String };
        MigrationFailed "MIGRATION_FAILED" { migration: String, error: String };
        MigrationSeedStarted "MIGRATION_SEED_STARTED" { from: i64, to: i64 };
        MigrationSeedCompleted "MIGRATION_SEED_COMPLETED" { rows: u64 };
        MigrationSchemaChanged "MIGRATION_SCHEMA_CHANGED" { statement: String };
    }
    "operation" {
        CommandAccepted "COMMAND_ACCEPTED" { command: String, by: String, answer: String };
        CommandRefused "COMMAND_REFUSED" { command: String, by: String, reason: String };
        GamedayPhaseStarted "GAMEDAY_PHASE_STARTED" { scenario: String, phase: String, index: u32, of: u32 };
        GamedayExpectationDecided "GAMEDAY_EXPECTATION_DECIDED" { scenario: String, expectation: String, held: bool, actual: String };
        LedgerBlockMined "LEDGER_BLOCK_MINED" { index: u64, leaves: u64, nonce: u64, hash: String };
        LocaleChanged "LOCALE_CHANGED" { from: String, to: String };
        EventsDropped "EVENTS_DROPPED" { events: u64 };
    }
}

/// The text names no kind of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no event of the catalogue")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of kinds: what somebody subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventMask(u128);

// A mask holds a bit per kind.
const _: () = assert!(Kind::ALL.len() <= 128);

impl EventMask {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind, those per evaluation included.
    pub const ALL: Self = Self(u128::MAX >> (128 - Kind::ALL.len()));

    /// What an operator wants to know of: what changes state, alerts, faults armed, commands. Nothing that happens
    /// per evaluation.
    pub fn operations() -> Self {
        use Kind::*;
        [
            SessionStarted,
            SessionEnded,
            CircuitBreakerStateChanged,
            CircuitBreakerTripped,
            CircuitBreakerRecovered,
            CircuitBreakerHalfOpen,
            TokenValidated,
            TokenValidationFailed,
            EsSnapshotTaken,
            ChaosMonkeyActivated,
            ChaosGamedayStarted,
            ChaosGamedayEnded,
            FlagStateChanged,
            SlaSloViolation,
            SlaAlertFired,
            SlaAlertAcknowledged,
            SlaAlertResolved,
            SlaErrorBudgetExhausted,
            CacheInvalidation,
            CacheWarming,
            RepositoryCommitted,
            RepositoryRolledBack,
            MigrationApplied,
            MigrationRolledBack,
            MigrationFailed,
            CommandAccepted,
            CommandRefused,
            GamedayPhaseStarted,
            GamedayExpectationDecided,
            LedgerBlockMined,
            LocaleChanged,
            EventsDropped,
        ]
        .into_iter()
        .fold(Self::NONE, Self::with)
    }

    /// What goes on the ledger: alerts, faults armed, flags and breakers changed, verdicts, who came in. Nothing that
    /// happens per evaluation.
    pub fn audited() -> Self {
        use Kind::*;
        [
            SessionStarted,
            SessionEnded,
            CircuitBreakerStateChanged,
            TokenValidated,
            TokenValidationFailed,
            ChaosMonkeyActivated,
            ChaosGamedayStarted,
            ChaosGamedayEnded,
            FlagStateChanged,
            SlaAlertFired,
            SlaAlertAcknowledged,
            SlaAlertResolved,
            SlaErrorBudgetExhausted,
            CacheInvalidation,
            GamedayPhaseStarted,
            GamedayExpectationDecided,
        ]
        .into_iter()
        .fold(Self::NONE, Self::with)
    }

    /// With `kind` too.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `kind` is in it.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 >> kind as u8 & 1 == 1
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Gapless from 0 over the events that were made in a session.
    pub sequence: u64,
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub payload: Payload,
}

impl Event {
    /// Which kind it is of.
    pub const fn kind(&self) -> Kind {
        self.payload.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_every_kind_of_the_reference_once() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        let of_reference = Kind::ALL.iter().filter(|kind| kind.group() != "operation").count();
        assert_eq!(of_reference, 78, "the reference's groups sum to 78");
    }

    #[test]
    fn an_event_reads_back_from_its_json() {
        let event = Event {
            sequence: 3,
            at: Timestamp::from_nanos(5),
            payload: Payload::CircuitBreakerHalfOpen { circuit: "evaluation".into(), attempt: 2 },
        };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"sequence":3,"at":5,"kind":"CIRCUIT_BREAKER_HALF_OPEN","payload":{"circuit":"evaluation","attempt":2}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }

    #[test]
    fn masks_hold_what_was_put_in() {
        let mask = EventMask::operations();
        assert!(mask.contains(Kind::SlaAlertFired) && !mask.contains(Kind::NumberProcessed));
        assert!(Kind::ALL.iter().all(|kind| EventMask::ALL.contains(*kind) && !EventMask::NONE.contains(*kind)));
    }
}
