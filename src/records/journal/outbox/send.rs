//! Delivery: the next events behind the cursor, in order, at least once. A receiver that cannot be reached is waited for,
//! and the events with it; an event that it refuses is tried by itself, and after some tries it is a dead letter, so
//! that it does not hold up those behind it.

use std::ops::ControlFlow;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::sink::{Sink, Undelivered};
use super::{AGAIN, DEAD, DeadLetter, Outbox, OutboxConfig, OutboxError};
use crate::domain::Timestamp;
use crate::records::journal::cloud::{Upcasters, cloud_events};
use crate::records::journal::log::{Item, Reader};
use crate::records::specification::Filter;

/// What one step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many events were delivered or given up; there may be more.
    Went(u64),
    /// Nothing is left to deliver.
    Idle,
    /// The receiver cannot be reached; the next step is after so long.
    Wait(Duration),
    /// It refused the next event, which is tried again after so long.
    Refused(Duration),
}

/// No delivery is larger, bytes, unless one event is.
const BATCH_BYTES: usize = 1024 * 1024;

/// Delivers an outbox's events to a receiver.
#[derive(Debug)]
pub struct Sender {
    outbox: Outbox,
    config: OutboxConfig,
    filter: Filter,
    sink: Box<dyn Sink>,
    rng: ChaCha8Rng,
    upcasters: Upcasters,
    /// Everything up to here was looked at. The cursor follows with the next delivery.
    seen: u64,
    /// Events up to here go one by one, since a delivery with them was refused.
    singly: u64,
    /// How often the event at the cursor was refused.
    refused: u32,
}

impl Sender {
    /// As configured; waits are drawn from `seed`.
    ///
    /// # Errors
    /// [`OutboxError::Configuration`].
    pub fn new(outbox: Outbox, config: &OutboxConfig, sink: Box<dyn Sink>, seed: u64) -> Result<Self, OutboxError> {
        config.check()?;
        Ok(Self {
            filter: config.filter()?,
            config: config.clone(),
            sink,
            rng: ChaCha8Rng::seed_from_u64(seed),
            upcasters: Upcasters::known(),
            seen: outbox.state.cursor,
            singly: 0,
            refused: 0,
            outbox,
        })
    }

    /// The outbox.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Delivers what is next: a letter that is to be sent again, or some of the events behind the cursor and not behind
    /// `until`, which must be durable. `now` is when.
    ///
    /// # Errors
    /// [`OutboxError`]; nothing is lost then, what was being delivered is delivered again.
    pub fn step(&mut self, reader: &Reader, until: u64, now: Timestamp) -> Result<Step, OutboxError> {
        if let Some(letter) = self.outbox.next_again()? {
            return self.again(letter, now);
        }
        self.outbox.check(reader)?;
        let (events, reached) = self.gather(reader, until)?;
        if events.is_empty() {
            self.seen = reached.max(until);
            return Ok(Step::Idle);
        }
        let bodies: Vec<Value> = events.iter().map(|(_, event)| event.clone()).collect();
        match self.sink.send(&bodies) {
            Ok(()) => {
                self.delivered(reached, events.len() as u64)?;
                Ok(Step::Went(events.len() as u64))
            }
            Err(Undelivered::Unavailable { why, after }) => Ok(Step::Wait(self.wait(why, after)?)),
            Err(Undelivered::Refused(why)) => match events.as_slice() {
                [(version, event)] => {
                    self.refused += 1;
                    if self.refused < self.config.tries {
                        return Ok(Step::Refused(self.wait(why, None)?));
                    }
                    let (version, tries, event) = (*version, self.refused, event.clone());
                    self.outbox.bury(&DeadLetter { version, at: now, tries, problem: why, again: false, event })?;
                    self.delivered(reached, 0)?;
                    Ok(Step::Went(1))
                }
                // Which of them is it?
                _ => {
                    self.singly = reached;
                    Ok(Step::Went(0))
                }
            },
        }
    }

    /// Selected events with their numbers, and the number up to which everything was looked at.
    fn gather(&self, reader: &Reader, until: u64) -> Result<(Vec<(u64, Value)>, u64), OutboxError> {
        let (mut events, mut reached, mut bytes, mut failed) = (Vec::new(), self.seen, 0, None);
        let most = if self.singly > self.seen { 1 } else { self.config.batch };
        reader.events(self.seen, |event| {
            if event.version > until {
                return ControlFlow::Break(());
            }
            if self.filter.matches(event) {
                if events.len() == most || (bytes + event.data.len() > BATCH_BYTES && !events.is_empty()) {
                    return ControlFlow::Break(());
                }
                bytes += event.data.len();
                match cloud_events(&Item::Event(event), &self.upcasters, false) {
                    Ok(made) => events.extend(made.into_iter().map(|body| (event.version, body))),
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            reached = event.version;
            ControlFlow::Continue(())
        })?;
        match failed {
            // What comes before an event that cannot be told is delivered first.
            Some(error) if events.is_empty() => Err(error.into()),
            _ => Ok((events, reached)),
        }
    }

    fn delivered(&mut self, cursor: u64, count: u64) -> Result<(), OutboxError> {
        self.refused = 0;
        let state = &mut self.outbox.state;
        (state.cursor, state.failures) = (cursor, 0);
        if count > 0 {
            (state.delivered, state.problem) = (state.delivered + count, None);
        }
        self.seen = cursor;
        self.outbox.save()
    }

    fn again(&mut self, letter: DeadLetter, now: Timestamp) -> Result<Step, OutboxError> {
        match self.sink.send(std::slice::from_ref(&letter.event)) {
            Ok(()) => {
                self.outbox.forget(AGAIN, letter.version)?;
                // What a crash between two names may have left of it.
                self.outbox.forget(DEAD, letter.version)?;
                let cursor = self.outbox.state.cursor;
                self.delivered(cursor, 1)?;
                Ok(Step::Went(1))
            }
            Err(Undelivered::Unavailable { why, after }) => Ok(Step::Wait(self.wait(why, after)?)),
            Err(Undelivered::Refused(problem)) => {
                let version = letter.version;
                self.outbox.bury(&DeadLetter { tries: letter.tries + 1, at: now, problem, ..letter })?;
                self.outbox.forget(AGAIN, version)?;
                Ok(Step::Went(0))
            }
        }
    }

    /// The cursor is as far as it was looked; for the end of a session.
    ///
    /// # Errors
    /// [`OutboxError::Io`].
    pub fn settle(&mut self) -> Result<(), OutboxError> {
        if self.seen > self.outbox.state.cursor {
            self.outbox.state.cursor = self.seen;
            self.outbox.save()?;
        }
        Ok(())
    }

    fn wait(&mut self, why: String, after: Option<Duration>) -> Result<Duration, OutboxError> {
        let state = &mut self.outbox.state;
        state.failures = state.failures.saturating_add(1);
        state.problem = Some(why);
        let doublings = state.failures.saturating_sub(1).min(30);
        let wait = self.config.backoff_ms.saturating_mul(1 << doublings).min(self.config.backoff_cap_ms);
        let jitter = if self.config.jitter > 0.0 {
            self.rng.random_range(-self.config.jitter..=self.config.jitter)
        } else {
            0.0
        };
        let wait = Duration::from_millis(wait).mul_f64(1.0 + jitter);
        let cap = Duration::from_millis(self.config.backoff_cap_ms);
        self.outbox.save()?;
        Ok(after.map_or(wait, |after| wait.max(after.min(cap))))
    }
}
