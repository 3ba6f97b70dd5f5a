//! Events as sentences, for the list of what happened last and for the logs.

use tracing::Level;

use super::format::cut;
use crate::domain::{Event, Payload};

/// An event in words: how much it matters, what it is about, one sentence, and a mark for charts where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How much it matters.
    pub level: Level,
    /// What it is about.
    pub topic: &'static str,
    /// The sentence.
    pub text: String,
    /// One letter, for charts: F fault, B breaker, A alert, G flag, C command, D drill.
    pub mark: Option<char>,
}

/// Tells an event.
pub fn tell(event: &Event) -> Told {
    use Payload::*;
    let told = |level, topic, text: String, mark| Told { level, topic, text, mark };
    match &event.payload {
        SessionStarted { seed, clock, .. } => {
            told(Level::INFO, "session", format!("session begins on the {clock} clock, seed {seed}"), None)
        }
        SessionEnded { evaluations, .. } => {
            told(Level::INFO, "session", format!("session ends after {evaluations} evaluations"), None)
        }
        CircuitBreakerStateChanged { circuit, from, to, reason } => {
            told(Level::WARN, "breaker", format!("breaker {circuit} {from} -> {to}: {reason}"), Some('B'))
        }
        CircuitBreakerTripped { circuit, trips, backoff_ms, .. } => told(
            Level::DEBUG,
            "breaker",
            format!("breaker {circuit} tripped, {trips} so far, waits {backoff_ms} ms"),
            None,
        ),
        CircuitBreakerHalfOpen { circuit, .. } => {
            told(Level::DEBUG, "breaker", format!("breaker {circuit} tries again"), None)
        }
        CircuitBreakerRecovered { circuit, .. } => {
            told(Level::INFO, "breaker", format!("breaker {circuit} has recovered"), None)
        }
        ChaosMonkeyActivated { level: 0, by, .. } => {
            told(Level::INFO, "chaos", format!("chaos is off, by {by}"), Some('F'))
        }
        ChaosMonkeyActivated { level, label, faults, by } => told(
            Level::WARN,
            "chaos",
            format!("chaos level {level} ({label}): {} armed by {by}", faults.join(", ")),
            Some('F'),
        ),
        ChaosGamedayStarted { scenario } => {
            told(Level::INFO, "gameday", format!("game day {scenario} begins"), Some('D'))
        }
        GamedayExpectationDecided { expectation, held, actual, .. } => {
            let word = if *held { "held" } else { "not held" };
            told(Level::INFO, "gameday", format!("{word}: {expectation} (found {actual})"), None)
        }
        ChaosGamedayEnded { scenario, verdict, .. } => {
            told(Level::INFO, "gameday", format!("game day {scenario}: {verdict}"), Some('D'))
        }
        FlagStateChanged { flag, enabled, by } => {
            let state = if *enabled { "on" } else { "off" };
            told(Level::WARN, "flags", format!("flag {flag} is {state}, by {by}"), Some('G'))
        }
        SlaAlertFired { alert, severity, message, .. } => {
            told(Level::ERROR, "slo", format!("alert {alert} {severity}: {message}"), Some('A'))
        }
        SlaAlertAcknowledged { alert, by, .. } => {
            told(Level::INFO, "slo", format!("alert {alert} acknowledged by {by}"), None)
        }
        SlaAlertResolved { alert, slo, after_ms } => {
            let seconds = *after_ms as f64 / 1_000.0;
            told(Level::INFO, "slo", format!("alert {alert} ({slo}) resolved after {seconds:.1} s"), None)
        }
        SlaErrorBudgetExhausted { slo } => told(Level::ERROR, "slo", format!("the {slo} budget is used up"), None),
        SlaSloViolation { slo, target, actual } => told(
            Level::DEBUG,
            "slo",
            format!("{slo} is {:.3} % where its alert looks, promised {:.3} %", actual * 100.0, target * 100.0),
            None,
        ),
        CacheInvalidation { what, entries } => {
            told(Level::INFO, "cache", format!("cache invalidated: {what}, {entries} answers"), Some('C'))
        }
        CacheWarming { entries, from, to } => {
            told(Level::INFO, "cache", format!("cache warmed with {entries} answers of {from} to {to}"), None)
        }
        CommandAccepted { command, by, answer } => {
            // A command may carry a whole file; the ledger has all of it.
            told(Level::INFO, "command", format!("{by}: {answer} ({})", cut(command, 160)), Some('C'))
        }
        CommandRefused { command, by, reason } => {
            told(Level::WARN, "command", format!("{by} was refused {}: {reason}", cut(command, 160)), None)
        }
        LedgerBlockMined { index, leaves, nonce, .. } => {
            told(Level::DEBUG, "ledger", format!("block {index} with {leaves} leaves, nonce {nonce}"), None)
        }
        EsSnapshotTaken { version, evaluations } => {
            told(Level::DEBUG, "journal", format!("snapshot at event {version}, {evaluations} evaluations"), None)
        }
        LocaleChanged { from, to } => {
            told(Level::INFO, "locale", format!("outputs are in {to}, before in {from}"), None)
        }
        // What else may come is told by its name and facts.
        other => {
            let text = serde_json::to_value(other).ok().and_then(|value| value.get("payload").map(ToString::to_string));
            told(Level::DEBUG, "event", format!("{} {}", other.kind(), text.unwrap_or_default()), None)
        }
    }
}
