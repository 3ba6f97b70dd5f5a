//! Frames: what the engine tells of itself. A console cannot tell whether they come from a live engine or a file.

use serde::{Deserialize, Serialize};

use super::Engine;
use super::clock::ClockKind;
use super::command::Command;
use super::director::{DrillView, ScenarioView};
use super::tally::{Counts, Recent, Sample};
use crate::domain::time::nanos;
use crate::domain::{Event, Timestamp};
use crate::mechanisms::auth::{AuthView, Role};
use crate::mechanisms::breaker::{BreakerView, CallBlock};
use crate::mechanisms::cache::CacheView;
use crate::mechanisms::chaos::ChaosView;
use crate::mechanisms::flags::FlagsView;
use crate::mechanisms::i18n::I18nView;
use crate::mechanisms::limits::{BulkheadView, LimiterView, RetryView};
use crate::mechanisms::slo::SlosView;
use crate::pipeline::chain::LayerView;
use crate::pipeline::timing::LatencyView;
use crate::records::journal::JournalView;
use crate::records::ledger::{Ledger, LedgerView};
use crate::telemetry::traces::TracesView;

/// What does not change in a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its id.
    pub session_id: String,
    /// Its seed.
    pub seed: u64,
    /// Its clock.
    pub clock: ClockKind,
    /// When it began.
    pub began: Timestamp,
    /// Which numbers are asked for, in words.
    pub workload: String,
    /// How many numbers that is, if it ends.
    pub total: Option<u64>,
    /// What answers.
    pub strategy: String,
    /// The rules, in words.
    pub rules: String,
    /// The game days that can be started.
    pub scenarios: Vec<ScenarioView>,
}

/// Every subsystem at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// No more evaluations are admitted.
    pub paused: bool,
    /// The session is over.
    pub finished: bool,
    /// Evaluations a second asked for; 0 is as fast as they go.
    pub rate: u32,
    /// Evaluations that wait for their answers, for a place in the bulkhead or for their next attempt.
    pub in_flight: u64,
    /// Counts since the start.
    pub counts: Counts,
    /// Latencies since the start.
    pub latency: LatencyView,
    /// The middleware, outermost first.
    pub pipeline: Vec<LayerView>,
    /// Who may evaluate.
    pub auth: AuthView,
    /// Which rules are on.
    pub flags: FlagsView,
    /// The rate limiter.
    pub limiter: LimiterView,
    /// The bulkhead.
    pub bulkhead: BulkheadView,
    /// The retries.
    pub retry: RetryView,
    /// The breakers.
    pub breakers: Vec<BreakerView>,
    /// Fault injection.
    pub chaos: ChaosView,
    /// The cache.
    pub cache: CacheView,
    /// The journal.
    pub journal: JournalView,
    /// Translation.
    pub i18n: I18nView,
    /// Service levels.
    pub slos: SlosView,
    /// The ledger.
    pub ledger: LedgerView,
    /// Traces.
    pub traces: TracesView,
    /// The game day that runs, or the last one that did.
    pub drill: Option<DrillView>,
    /// The last finished evaluations, oldest first.
    pub recent: Vec<Recent>,
}

/// What an engine was told from outside: a game day's own commands are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instruction {
    /// So many steps had been made.
    pub turn: u64,
    /// Who said so.
    pub by: String,
    /// In which role; `None` for the program itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What; `None` ends the session because nobody takes its results any more.
    pub command: Option<Command>,
}

/// A snapshot, and what happened since the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// From 0, gapless.
    pub sequence: u64,
    /// When it was made, by the engine's clock.
    pub at: Timestamp,
    /// The events since the frame before.
    pub events: Vec<Event>,
    /// Events made so far; more than were seen means that some were missed.
    pub events_made: u64,
    /// The intervals that ended since the frame before.
    pub samples: Vec<Sample>,
    /// The calls that breakers saw since the frame before; only for sessions that keep them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallBlock>,
    /// Steps that the engine made so far.
    #[serde(default)]
    pub turn: u64,
    /// What it was told from outside since the frame before, with the steps before it: on the virtual clock that, the
    /// seed and the settings are enough to repeat the session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<Instruction>,
    /// The subsystems.
    pub snapshot: Snapshot,
}

impl Engine {
    /// A snapshot and what happened since the last one.
    pub fn frame(&mut self) -> Frame {
        let sequence = self.frames;
        self.frames += 1;
        Frame {
            sequence,
            at: self.now,
            events: self.out.take(),
            events_made: self.out.made(),
            samples: std::mem::take(&mut self.samples),
            calls: self.mechanisms.breaker.take_calls(),
            turn: self.turns,
            instructions: std::mem::take(&mut self.instructions),
            snapshot: self.snapshot(),
        }
    }

    /// Every subsystem now.
    pub fn snapshot(&mut self) -> Snapshot {
        let now = self.now;
        let drill = self.drill();
        let in_flight = self.under_way() as u64;
        let rules = &self.rules;
        let mechanisms = &mut self.mechanisms;
        let recent = self.tally.recent().map(|(at, evaluation)| Recent {
            at,
            sequence: evaluation.sequence,
            number: evaluation.number,
            output: evaluation.shown(rules),
            outcome: evaluation.outcome,
            error: evaluation.error,
            correct: evaluation.correct,
            source: evaluation.source,
            duration_ns: nanos(evaluation.duration),
            faults: evaluation.faults,
            attempts: evaluation.attempts,
        });
        Snapshot {
            paused: self.paused,
            finished: self.finished,
            rate: self.arrivals.rate,
            in_flight,
            counts: *self.tally.counts(),
            latency: mechanisms.timing.view(),
            pipeline: self.chain.view(),
            auth: mechanisms.auth.view(),
            flags: mechanisms.flags.view(),
            limiter: mechanisms.limiter.view(now),
            bulkhead: mechanisms.bulkhead.view(now),
            retry: mechanisms.retry.view(now),
            breakers: mechanisms.breaker.view(now),
            chaos: mechanisms.chaos.view(),
            cache: mechanisms.cache.view(),
            journal: mechanisms.journal.view(),
            i18n: mechanisms.translator.view(),
            slos: mechanisms.slo.view(now),
            ledger: self.ledger.as_ref().map(Ledger::view).unwrap_or_default(),
            traces: mechanisms.traces.view(&self.chain),
            drill,
            recent: recent.collect(),
        }
    }
}
