//! The breaker in the chain, and what an operator can tell it.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::calls::{CallBlock, CallLog};
use super::config::BreakerConfig;
use super::error::BreakerError;
use super::machine::{Ended, Permit};
use super::registry::{BreakerKey, Registry, Slot};
use super::state::State;
use super::view::BreakerView;
use crate::domain::{ErrorCode, Outcome, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// What an operator, a scenario or another mechanism can order. `circuit` is `evaluation` or `scope/dependency`;
/// without it the evaluation's breaker is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerCommand {
    /// Opens it; it becomes half-open when its wait is over.
    Trip {
        /// Which one.
        #[serde(default)]
        circuit: Option<String>,
    },
    /// Opens it until another command.
    ForceOpen {
        /// Which one.
        #[serde(default)]
        circuit: Option<String>,
    },
    /// Closes it, with an empty window.
    Close {
        /// Which one.
        #[serde(default)]
        circuit: Option<String>,
    },
    /// Lets a few trial calls decide now. Not from `closed` or `metrics_only`.
    ForceHalfOpen {
        /// Which one.
        #[serde(default)]
        circuit: Option<String>,
    },
    /// Lets everything pass and records nothing.
    Disable {
        /// Which one.
        #[serde(default)]
        circuit: Option<String>,
    },
    /// Lets everything pass and reports when it would have opened.
    MetricsOnly {
        /// Which one.
        #[serde(default)]
        circuit: Option<String>,
    },
    /// Closes it and sets its counts to zero.
    Reset {
        /// Which one.
        #[serde(default)]
        circuit: Option<String>,
    },
    /// The same for every breaker.
    ResetAll {},
}

impl BreakerCommand {
    /// The word of the command, the state it leads to, and what has happened then.
    pub(super) const fn effect(&self) -> (&'static str, State, &'static str) {
        match self {
            Self::Trip { .. } => ("trip", State::Open, "tripped"),
            Self::ForceOpen { .. } => ("force_open", State::ForcedOpen, "held open"),
            Self::Close { .. } => ("close", State::Closed, "closed"),
            Self::ForceHalfOpen { .. } => ("force_half_open", State::HalfOpen, "made half-open"),
            Self::Disable { .. } => ("disable", State::Disabled, "disabled"),
            Self::MetricsOnly { .. } => ("metrics_only", State::MetricsOnly, "set to metrics only"),
            Self::Reset { .. } | Self::ResetAll {} => ("reset", State::Closed, "reset"),
        }
    }

    fn circuit(&self) -> Option<&str> {
        match self {
            Self::Trip { circuit }
            | Self::ForceOpen { circuit }
            | Self::Close { circuit }
            | Self::ForceHalfOpen { circuit }
            | Self::Disable { circuit }
            | Self::MetricsOnly { circuit }
            | Self::Reset { circuit } => circuit.as_deref(),
            Self::ResetAll {} => None,
        }
    }
}

/// The breakers of an engine; as a middleware it puts the evaluation behind its own.
///
/// What counts as what: an answer is a success, also a wrong one (accuracy is the SLOs' business); `failed` and
/// `timed_out` are failures. `denied`, `invalid`, a rejection further in and a cancelled call say nothing about what
/// the breaker protects, so they give their permit back and leave no trace in the window. An answer that took longer
/// than the call timeout is taken away: the evaluation ends as `timed_out` (EFP-CB01). A refused call is a result with
/// the outcome `rejected` (EFP-CB00), never a recorded failure.
#[derive(Debug)]
pub struct BreakerMiddleware {
    enabled: bool,
    registry: Registry,
    /// By the number of the dependency that answers; the evaluation's own first.
    slots: Vec<Slot>,
    /// The evaluation's calls since the last frame, when somebody records them.
    log: Option<Box<CallLog>>,
}

impl BreakerMiddleware {
    /// From the section `circuit_breaker`; `rng` is for jitter.
    ///
    /// # Errors
    /// [`BreakerError::Configuration`] for an impossible value, also when the section is not enabled.
    pub fn new(config: &BreakerConfig, now: Timestamp, rng: ChaCha8Rng) -> Result<Self, BreakerError> {
        Ok(Self {
            enabled: config.enabled,
            registry: Registry::new(config, now, rng)?,
            slots: vec![Registry::EVALUATION],
            log: None,
        })
    }

    /// Puts calls to each of these dependencies behind a breaker of its own, `evaluation/NAME`; the first has number 1.
    ///
    /// # Errors
    /// [`BreakerError`] when there are too many, or a name can be none of a breaker.
    pub fn depend_on(&mut self, names: &[String], now: Timestamp) -> Result<(), BreakerError> {
        self.slots.truncate(1);
        for name in names {
            let slot = self.registry.slot(&BreakerKey::new("evaluation", name), now)?;
            self.slots.push(slot);
        }
        Ok(())
    }

    #[inline]
    fn slot(&self, context: &Context) -> Slot {
        self.slots.get(usize::from(context.dependency)).copied().unwrap_or(Registry::EVALUATION)
    }

    /// Whether calls go through breakers.
    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The breakers, to look at.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The breakers, for calls that are made outside of the chain.
    pub const fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Times any of them opened.
    pub fn trips(&self) -> u64 {
        self.registry.trips()
    }

    /// How many would refuse a call at `now`.
    pub fn open(&self, now: Timestamp) -> u32 {
        if self.enabled { self.registry.refusing(now) } else { 0 }
    }

    /// Every breaker, the evaluation's first.
    pub fn view(&self, now: Timestamp) -> Vec<BreakerView> {
        self.registry.view(self.enabled, now)
    }

    /// From now on keeps what becomes of each call until it is taken, also when calls do not go through breakers.
    pub fn keep_calls(&mut self) {
        self.log = Some(Box::default());
    }

    /// The calls since the last time, breaker by breaker; empty unless they are kept.
    pub fn take_calls(&mut self) -> Vec<CallBlock> {
        let name = self.registry.name(Registry::EVALUATION);
        self.log.as_mut().and_then(|log| log.take(name)).into_iter().collect()
    }

    /// Does what time alone brings about: the automatic half-open, and half-open periods that end.
    pub fn tick(&mut self, now: Timestamp, out: &mut Outbox) {
        if self.enabled {
            self.registry.tick(now, out);
        }
    }

    /// When [`BreakerMiddleware::tick`] is due next; `None` when nothing waits for time alone.
    pub fn next_transition(&self) -> Option<Timestamp> {
        if self.enabled { self.registry.next_transition() } else { None }
    }

    /// Does what `by` orders, and says so.
    ///
    /// # Errors
    /// [`BreakerError`] when breakers are off, there is none of that name, or it may not go there.
    pub fn command(
        &mut self,
        command: &BreakerCommand,
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<String, BreakerError> {
        if !self.enabled {
            return Err(BreakerError::NotEnabled);
        }
        let (word, to, done) = command.effect();
        if *command == (BreakerCommand::ResetAll {}) {
            let slots: Vec<Slot> = self.registry.slots().collect();
            for slot in &slots {
                self.registry.reset(*slot, by, now, out);
            }
            self.keep_command(Registry::EVALUATION, command, by, now);
            let plural = if slots.len() == 1 { "" } else { "s" };
            return Ok(format!("{} breaker{plural} {done} by {by}", slots.len()));
        }
        let slot = match command.circuit() {
            Some(name) => self.registry.find(name)?,
            None => Registry::EVALUATION,
        };
        if matches!(command, BreakerCommand::Reset { .. }) {
            self.registry.reset(slot, by, now, out);
        } else {
            self.registry.command(slot, (to, word), by, now, out)?;
        }
        self.keep_command(slot, command, by, now);
        Ok(format!("breaker {} {done} by {by}", self.registry.name(slot)))
    }

    fn keep_command(&mut self, slot: Slot, command: &BreakerCommand, by: &str, now: Timestamp) {
        if let Some(log) = self.log.as_mut().filter(|_| slot == Registry::EVALUATION) {
            log.command(command, by, now);
        }
    }
}

impl Middleware for BreakerMiddleware {
    fn name(&self) -> &'static str {
        "circuit breaker"
    }

    fn priority(&self) -> i16 {
        -1
    }

    fn enter(&mut self, context: &mut Context, out: &mut Outbox) -> Flow {
        let slot = self.slot(context);
        // What is kept of calls is kept of the evaluation's own breaker.
        let mut log = self.log.as_mut().filter(|_| slot == Registry::EVALUATION);
        if !self.enabled {
            if let Some(log) = &mut log {
                log.begin(context);
                // Only so that it is known on the way out.
                context.permit = Some(0);
            }
            return Flow::Continue;
        }
        match self.registry.acquire(slot, context.number, context.now, out) {
            Ok(permit) => {
                context.permit = Some(permit.ticket());
                if let Some(log) = &mut log {
                    log.begin(context);
                }
                Flow::Continue
            }
            Err(refusal) => {
                context.fail(Outcome::Rejected, ErrorCode::CircuitOpen);
                context.retry_after = refusal.retry_after;
                if let Some(log) = &mut log {
                    log.refuse(context);
                }
                Flow::Finish
            }
        }
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        let Some(ticket) = context.permit.take() else { return };
        let permit = Permit::from_ticket(ticket);
        let failed = match context.outcome {
            _ if context.cancelled => None,
            Outcome::Ok => Some(false),
            Outcome::Failed | Outcome::TimedOut => Some(true),
            Outcome::Denied | Outcome::Rejected | Outcome::Invalid => None,
        };
        // What it protects has this attempt's time; waits for a place and earlier attempts are not its doing.
        let duration = context.now.since(context.attempted);
        let slot = self.slot(context);
        if let Some(log) = self.log.as_mut().filter(|_| slot == Registry::EVALUATION) {
            log.end(context, failed, duration);
        }
        if !self.enabled {
            return;
        }
        let Some(failed) = failed else {
            return self.registry.release(slot, permit, context.now, out);
        };
        if !failed && self.registry.times_out(slot, duration) {
            context.fail(Outcome::TimedOut, ErrorCode::CallTimeout);
        }
        let ended =
            Ended { number: context.number, failed, error: context.error, duration, confidence: context.confidence };
        self.registry.finish(slot, permit, &ended, context.now, out);
    }
}
