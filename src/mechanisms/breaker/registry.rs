//! Breakers by what they belong to and what they protect from, each with its own settings, and the events of each.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::config::{BreakerConfig, BreakerSettings};
use super::error::BreakerError;
use super::explain::{Cause, Transition};
use super::machine::{Breaker, Ended, Permit, Refusal};
use super::policy::Policy;
use super::state::State;
use super::view::BreakerView;
use crate::domain::{Kind, Payload, Timestamp};
use crate::pipeline::Outbox;

/// Names a breaker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BreakerKey {
    /// What it belongs to, e.g. `evaluation` or `upstream`.
    pub scope: String,
    /// What it protects from, e.g. `strategy` or a service's name.
    pub dependency: String,
}

impl BreakerKey {
    /// A key of these parts.
    pub fn new(scope: &str, dependency: &str) -> Self {
        Self { scope: scope.to_owned(), dependency: dependency.to_owned() }
    }

    /// The breaker around the evaluation itself, shown as `evaluation`.
    pub fn evaluation() -> Self {
        Self::new("evaluation", "strategy")
    }

    /// From `scope/dependency`, or from `evaluation`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some((scope, dependency)) if !scope.is_empty() && !dependency.is_empty() => {
                Some(Self::new(scope, dependency))
            }
            None if text == "evaluation" => Some(Self::evaluation()),
            _ => None,
        }
    }
}

impl fmt::Display for BreakerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.scope.as_str(), self.dependency.as_str()) == ("evaluation", "strategy") {
            return f.pad("evaluation");
        }
        write!(f, "{}/{}", self.scope, self.dependency)
    }
}

#[derive(Debug)]
struct Entry {
    key: BreakerKey,
    name: String,
    breaker: Breaker,
}

/// A place in a [`Registry`]; stays valid as long as the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(usize);

impl Slot {
    /// Its own stream of the registry's generator, so that what one breaker draws does not move what another draws.
    pub fn stream(self, rng: &ChaCha8Rng) -> ChaCha8Rng {
        let mut rng = rng.clone();
        rng.set_stream(self.0 as u64 + 1);
        rng
    }
}

/// All breakers of an engine. The evaluation's own is always there, in [`Registry::EVALUATION`].
#[derive(Debug)]
pub struct Registry {
    entries: Vec<Entry>,
    slots: BTreeMap<BreakerKey, usize>,
    settings: BreakerSettings,
    instances: BTreeMap<BreakerKey, BreakerSettings>,
    rng: ChaCha8Rng,
}

impl Registry {
    /// The slot of the breaker around the evaluation.
    pub const EVALUATION: Slot = Slot(0);
    /// As many breakers as one registry keeps.
    pub const LIMIT: usize = 256;

    /// The evaluation's breaker, and settings for those to come. Breakers named under `instances` are made at once, so
    /// that the console shows them before their first call.
    ///
    /// # Errors
    /// [`BreakerError::Configuration`] for the first impossible value, [`BreakerError::TooMany`] above the limit.
    pub fn new(config: &BreakerConfig, now: Timestamp, rng: ChaCha8Rng) -> Result<Self, BreakerError> {
        let mut instances = BTreeMap::new();
        for (name, settings) in &config.instances {
            let key = BreakerKey::parse(name).ok_or_else(|| {
                BreakerError::configuration(format!("instances.{name}"), "the key is not of the form scope/dependency")
            })?;
            Policy::new(settings).map_err(|error| error.within(name))?;
            if instances.insert(key, settings.clone()).is_some() {
                let twice = "`evaluation` and `evaluation/strategy` are the same breaker";
                return Err(BreakerError::configuration(format!("instances.{name}"), twice));
            }
        }
        // Checked also when every breaker in use has settings of its own.
        Policy::new(&config.settings())?;
        let mut registry =
            Self { entries: Vec::new(), slots: BTreeMap::new(), settings: config.settings(), instances, rng };
        registry.slot(&BreakerKey::evaluation(), now)?;
        let keys: Vec<_> = registry.instances.keys().cloned().collect();
        for key in keys {
            registry.slot(&key, now)?;
        }
        Ok(registry)
    }

    /// The breaker of `key`, made when there is none yet. Look it up once and keep the slot.
    ///
    /// # Errors
    /// [`BreakerError::TooMany`] above the limit.
    pub fn slot(&mut self, key: &BreakerKey, now: Timestamp) -> Result<Slot, BreakerError> {
        if let Some(slot) = self.slots.get(key) {
            return Ok(Slot(*slot));
        }
        let slot = self.entries.len();
        if slot == Self::LIMIT {
            return Err(BreakerError::TooMany(Self::LIMIT));
        }
        let settings = self.instances.get(key).unwrap_or(&self.settings);
        let breaker = Breaker::new(settings, now, Slot(slot).stream(&self.rng))?;
        self.entries.push(Entry { key: key.clone(), name: key.to_string(), breaker });
        self.slots.insert(key.clone(), slot);
        Ok(Slot(slot))
    }

    /// The slot with this name: `evaluation` or `scope/dependency`.
    ///
    /// # Errors
    /// [`BreakerError::UnknownCircuit`] lists the names that there are.
    pub fn find(&self, name: &str) -> Result<Slot, BreakerError> {
        let slot = BreakerKey::parse(name).and_then(|key| self.slots.get(&key).copied());
        slot.map(Slot).ok_or_else(|| BreakerError::UnknownCircuit {
            name: name.to_owned(),
            known: self.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The breaker itself, to look at.
    pub fn breaker(&self, slot: Slot) -> Option<&Breaker> {
        self.entries.get(slot.0).map(|entry| &entry.breaker)
    }

    /// What it was configured with: its own settings, else those of the section.
    pub fn settings(&self, slot: Slot) -> &BreakerSettings {
        self.entries.get(slot.0).and_then(|entry| self.instances.get(&entry.key)).unwrap_or(&self.settings)
    }

    /// Its name.
    pub fn name(&self, slot: Slot) -> &str {
        self.entries.get(slot.0).map_or("", |entry| &entry.name)
    }

    /// All slots, in the order in which they were made.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.entries.len()).map(Slot)
    }

    /// Asks for leave to make a call about `number`. A slot of another registry lets everything through.
    ///
    /// # Errors
    /// [`Refusal`] when the call is not to be made.
    #[inline]
    pub fn acquire(&mut self, slot: Slot, number: i64, now: Timestamp, out: &mut Outbox) -> Result<Permit, Refusal> {
        let Some(entry) = self.entries.get_mut(slot.0) else { return Ok(Permit::from_ticket(0)) };
        let before = entry.breaker.entries;
        let answer = entry.breaker.acquire(now);
        if entry.breaker.entries != before {
            entry.announce(before, out);
        }
        if let Err(refusal) = &answer {
            let (name, rejections) = (&entry.name, entry.breaker.totals.rejections);
            out.emit(Kind::CircuitBreakerCallRejected, || Payload::CircuitBreakerCallRejected {
                circuit: name.clone(),
                number,
                retry_after_ms: refusal.retry_after.map_or(0, |wait| wait.as_millis() as u64),
                rejections,
            });
        }
        answer
    }

    /// Whether a call of this length is over the slot's call timeout. A disabled breaker has none.
    pub fn times_out(&self, slot: Slot, duration: Duration) -> bool {
        self.breaker(slot).is_some_and(|breaker| breaker.times_out(duration))
    }

    /// A permitted call has ended.
    #[inline]
    pub fn finish(&mut self, slot: Slot, permit: Permit, ended: &Ended, now: Timestamp, out: &mut Outbox) {
        self.change(slot, out, |breaker| breaker.finish(permit, ended, now));
    }

    /// A permitted call was not made, or its end says nothing about what is protected.
    pub fn release(&mut self, slot: Slot, permit: Permit, now: Timestamp, out: &mut Outbox) {
        self.change(slot, out, |breaker| breaker.release(permit, now));
    }

    /// Does what time alone brings about.
    pub fn tick(&mut self, now: Timestamp, out: &mut Outbox) {
        for slot in self.slots() {
            self.change(slot, out, |breaker| breaker.tick(now));
        }
    }

    /// When the first of them will change its state without a call.
    pub fn next_transition(&self) -> Option<Timestamp> {
        self.entries.iter().filter_map(|entry| entry.breaker.next_transition()).min()
    }

    /// Takes one to another state.
    ///
    /// # Errors
    /// [`BreakerError::IllegalTransition`] when it may not go there from where it is.
    pub(super) fn command(
        &mut self,
        slot: Slot,
        (to, command): (State, &str),
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), BreakerError> {
        let done = self.change(slot, out, |breaker| breaker.command(to, command, by, now));
        let circuit = || self.name(slot).to_owned();
        done.unwrap_or(Ok(())).map_err(|from| BreakerError::IllegalTransition { circuit: circuit(), from, to })
    }

    /// Back to a fresh closed state.
    pub(super) fn reset(&mut self, slot: Slot, by: &str, now: Timestamp, out: &mut Outbox) {
        self.change(slot, out, |breaker| breaker.reset(by, now));
    }

    /// Times any of them opened.
    pub fn trips(&self) -> u64 {
        self.entries.iter().map(|entry| entry.breaker.totals.trips).sum()
    }

    /// How many would refuse a call at `now`.
    pub fn refusing(&self, now: Timestamp) -> u32 {
        self.entries.iter().map(|entry| u32::from(entry.breaker.would_refuse(now))).sum()
    }

    /// All of them, in the order in which they were made.
    pub fn view(&self, enabled: bool, now: Timestamp) -> Vec<BreakerView> {
        self.entries.iter().map(|entry| entry.breaker.view(&entry.key, enabled, now)).collect()
    }

    #[inline]
    fn change<T>(&mut self, slot: Slot, out: &mut Outbox, change: impl FnOnce(&mut Breaker) -> T) -> Option<T> {
        let entry = self.entries.get_mut(slot.0)?;
        let before = entry.breaker.entries;
        let result = change(&mut entry.breaker);
        if entry.breaker.entries != before {
            entry.announce(before, out);
        }
        Some(result)
    }
}

impl Entry {
    /// Emits what the history gained since it had `before` entries.
    #[cold]
    fn announce(&self, before: u64, out: &mut Outbox) {
        for transition in self.breaker.history.iter().filter(|transition| transition.sequence >= before) {
            self.tell(transition, out);
        }
    }

    fn tell(&self, transition: &Transition, out: &mut Outbox) {
        let &Transition { from, to, .. } = transition;
        // Closing a closed breaker changes nothing for anybody; what a measuring one would have done is news.
        if from == to && (to != State::MetricsOnly || transition.by_operator()) {
            return;
        }
        let circuit = || self.name.clone();
        let trips = transition.trips;
        match to {
            State::Open => out.emit(Kind::CircuitBreakerTripped, || Payload::CircuitBreakerTripped {
                circuit: circuit(),
                trips,
                failures: match &transition.cause {
                    Cause::ConsecutiveFailures { failures, .. } => *failures,
                    Cause::Rates { failure: Some(rate), .. } => rate.counted,
                    _ => transition.calls.iter().filter(|call| call.failed).count() as u64,
                },
                backoff_ms: transition.wait_ms.unwrap_or_default(),
            }),
            State::HalfOpen => out.emit(Kind::CircuitBreakerHalfOpen, || Payload::CircuitBreakerHalfOpen {
                circuit: circuit(),
                attempt: transition.attempt,
            }),
            State::Closed if matches!(from, State::Open | State::HalfOpen | State::ForcedOpen) => {
                out.emit(Kind::CircuitBreakerRecovered, || Payload::CircuitBreakerRecovered {
                    circuit: circuit(),
                    trips,
                });
            }
            _ => {}
        }
        out.emit(Kind::CircuitBreakerStateChanged, || Payload::CircuitBreakerStateChanged {
            circuit: circuit(),
            from: from.to_string(),
            to: to.to_string(),
            reason: transition.reason(),
        });
    }
}
