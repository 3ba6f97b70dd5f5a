//! The bulkhead: at most so many calls at once, a bounded queue before it, and a bounded wait in the queue.
//!
//! A dependency that becomes slow must not take every thread, connection and byte of memory with it (Nygard, "Release
//! It!", bulkheads). So a call takes a place; when all are taken it waits in the queue, first come first served, and is
//! refused when the queue is full or it has waited too long.
//!
//! It holds tickets, not calls, and it never waits itself: whoever drives it keeps what a ticket stands for, and asks
//! whose turn it is after a release and at the next expiry. In the chain the ticket is the evaluation's sequence:
//! [`BulkheadMiddleware`] answers [`Flow::Wait`], the engine keeps the context, and [`BulkheadMiddleware::poll`] says
//! when it goes on.
//!
//! ```
//! use fizzops::engine::{Engine, Options, Settings, WorkloadKind};
//!
//! // Three numbers at once; two places; every answer takes 10 ms.
//! let mut settings = Settings::default();
//! settings.workload.kind = WorkloadKind::Range;
//! (settings.workload.to, settings.workload.rate) = (3, 0);
//! (settings.limits.bulkhead.enabled, settings.limits.bulkhead.max_concurrent) = (true, 2);
//! let service = &mut settings.virtual_clock.service_time;
//! (service.min_us, service.p50_us, service.p90_us, service.p99_us, service.max_us) =
//!     (10_000, 10_000, 10_000, 10_000, 10_000);
//! let mut engine = Engine::new(&settings, Options { results: true, ..Options::simulated(7) }).unwrap();
//! while let Some(due) = engine.next_due() {
//!     engine.advance(due, 1_000);
//! }
//! let took = std::iter::from_fn(|| engine.next_result()).map(|result| result.duration.as_millis());
//! assert_eq!(took.collect::<Vec<_>>(), [10, 10, 20], "the third waited for a place");
//! assert_eq!(engine.snapshot().bulkhead.average_wait_ms, Some(10.0));
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::LimitsError;
use crate::domain::{ErrorCode, Outcome, Timestamp, time};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// The section `limits.bulkhead`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BulkheadConfig {
    /// Whether calls are refused. Those under way are counted in any case.
    pub enabled: bool,
    /// Calls at once.
    pub max_concurrent: u32,
    /// Calls that may wait for a place; 0 is none.
    pub max_queue: u32,
    /// How long one may wait, milliseconds.
    pub max_wait_ms: u64,
}

impl Default for BulkheadConfig {
    fn default() -> Self {
        Self { enabled: false, max_concurrent: 50, max_queue: 100, max_wait_ms: 10_000 }
    }
}

/// What becomes of a call that asks for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It has one.
    Admitted,
    /// It waits; [`Bulkhead::poll`] says when its turn has come or its wait is over.
    Queued,
    /// Neither a place nor room in the queue.
    Refused {
        /// When a place might be free, going by how long calls took so far; `None` before the first has ended.
        retry_after: Option<Duration>,
    },
}

/// What becomes of a call that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The call with this ticket has a place now.
    Admitted(u64),
    /// The call with this ticket has waited too long; it is refused.
    Expired(u64),
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    accepted: u64,
    queued: u64,
    rejected: u64,
    expired: u64,
    completed: u64,
    peak: u32,
    held_ns: u64,
    waited_ns: u64,
}

/// Places for calls, first come first served.
///
/// ```
/// use std::time::Duration;
/// use fizzops::domain::Timestamp;
/// use fizzops::mechanisms::limits::{Admission, Bulkhead, BulkheadConfig, Turn};
///
/// let config = BulkheadConfig { max_concurrent: 1, max_queue: 1, ..BulkheadConfig::default() };
/// let mut bulkhead = Bulkhead::new(&config)?;
/// let now = Timestamp::from_millis(1_000);
/// assert_eq!(bulkhead.acquire(1, now), Admission::Admitted);
/// assert_eq!(bulkhead.acquire(2, now), Admission::Queued);
/// assert_eq!(bulkhead.acquire(3, now), Admission::Refused { retry_after: None });
/// bulkhead.release(Duration::from_millis(20));
/// assert_eq!(bulkhead.poll(now + Duration::from_millis(20)), Some(Turn::Admitted(2)));
/// # Ok::<(), fizzops::mechanisms::limits::LimitsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bulkhead {
    config: BulkheadConfig,
    active: u32,
    /// Tickets that wait and since when, the longest first.
    queue: VecDeque<(u64, Timestamp)>,
    totals: Totals,
}

/// The most calls that may run or wait at once.
const MOST: u32 = 1_000_000;

fn concurrent(max_concurrent: u32) -> Result<(), LimitsError> {
    if (1..=MOST).contains(&max_concurrent) {
        return Ok(());
    }
    let reason = format!("{max_concurrent} is not between 1 and {MOST}");
    Err(LimitsError::configuration("bulkhead.max_concurrent", reason))
}

impl Bulkhead {
    /// An empty one.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] names the key with an impossible value.
    pub fn new(config: &BulkheadConfig) -> Result<Self, LimitsError> {
        concurrent(config.max_concurrent)?;
        if config.max_queue > MOST {
            let reason = format!("{} is above {MOST}", config.max_queue);
            return Err(LimitsError::configuration("bulkhead.max_queue", reason));
        }
        if config.max_queue > 0 && config.max_wait_ms == 0 {
            let reason = "0 refuses everybody in the queue at once; set max_queue to 0 for no queue";
            return Err(LimitsError::configuration("bulkhead.max_wait_ms", reason));
        }
        let queue = VecDeque::with_capacity(config.max_queue.min(1_024) as usize);
        Ok(Self { config: config.clone(), active: 0, queue, totals: Totals::default() })
    }

    /// Takes a place for a call that cannot wait; whether there was one. Those in the queue come first.
    pub fn try_acquire(&mut self) -> bool {
        let free = self.active < self.config.max_concurrent && self.queue.is_empty();
        if free {
            self.take();
        } else {
            self.totals.rejected += 1;
        }
        free
    }

    /// Takes a place for the call with this ticket, or one in the queue.
    pub fn acquire(&mut self, ticket: u64, now: Timestamp) -> Admission {
        if self.active < self.config.max_concurrent && self.queue.is_empty() {
            self.take();
            return Admission::Admitted;
        }
        if self.queue.len() < self.config.max_queue as usize {
            self.queue.push_back((ticket, now));
            self.totals.queued += 1;
            return Admission::Queued;
        }
        self.totals.rejected += 1;
        Admission::Refused { retry_after: self.estimate() }
    }

    /// A call gives its place back after it held it for `held`. Then ask [`Bulkhead::poll`] who is next.
    pub fn release(&mut self, held: Duration) {
        self.active = self.active.saturating_sub(1);
        self.totals.completed += 1;
        self.totals.held_ns = self.totals.held_ns.saturating_add(time::nanos(held));
    }

    /// Whose wait has ended by `now`, and how. Ask until there is nobody: after a release, at
    /// [`Bulkhead::next_expiry`], and after a command.
    pub fn poll(&mut self, now: Timestamp) -> Option<Turn> {
        self.poll_within(now, self.config.max_concurrent)
    }

    fn poll_within(&mut self, now: Timestamp, places: u32) -> Option<Turn> {
        let (ticket, since) = *self.queue.front()?;
        let waited = now.since(since);
        if waited > Duration::from_millis(self.config.max_wait_ms) {
            self.queue.pop_front();
            self.totals.expired += 1;
            return Some(Turn::Expired(ticket));
        }
        if self.active >= places {
            return None;
        }
        self.queue.pop_front();
        self.totals.waited_ns = self.totals.waited_ns.saturating_add(time::nanos(waited));
        self.take();
        Some(Turn::Admitted(ticket))
    }

    /// The first moment at which somebody will have waited too long.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let (_, since) = self.queue.front()?;
        Some(*since + Duration::from_millis(self.config.max_wait_ms) + Duration::from_nanos(1))
    }

    /// Whoever waits with this ticket does not want the place any more; whether somebody did.
    pub fn cancel(&mut self, ticket: u64) -> bool {
        let place = self.queue.iter().position(|(waiting, _)| *waiting == ticket);
        place.and_then(|place| self.queue.remove(place)).is_some()
    }

    /// Calls under way.
    pub const fn active(&self) -> u32 {
        self.active
    }

    /// Calls that wait.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// When a further call might find a place: the mean time that a call holds one, over the places, for everybody
    /// who waits and for it. At least a millisecond.
    pub fn estimate(&self) -> Option<Duration> {
        let mean = self.totals.held_ns.checked_div(self.totals.completed)?;
        let turns = self.queue.len() as u64 + 1;
        let wait = mean.saturating_mul(turns) / u64::from(self.config.max_concurrent);
        Some(Duration::from_nanos(wait.max(1_000_000)))
    }

    fn take(&mut self) {
        self.active += 1;
        self.totals.accepted += 1;
        self.totals.peak = self.totals.peak.max(self.active);
    }
}

/// What the console shows of the bulkhead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BulkheadView {
    /// Whether calls are refused.
    pub enabled: bool,
    /// Calls at once.
    pub max_concurrent: u32,
    /// Calls that may wait.
    pub max_queue: u32,
    /// How long one may wait, milliseconds.
    pub max_wait_ms: u64,
    /// Calls under way.
    pub active: u32,
    /// Calls that wait.
    pub queued: u32,
    /// The most that were under way at once.
    pub peak: u32,
    /// Percent of the places that are taken; above 100 after the limit was lowered.
    pub utilisation: f64,
    /// Calls that got a place.
    pub accepted: u64,
    /// Calls that were refused at once.
    pub rejected: u64,
    /// Calls that waited too long.
    pub expired: u64,
    /// Calls that gave their place back.
    pub completed: u64,
    /// Mean time that a call held its place, milliseconds.
    pub average_held_ms: Option<f64>,
    /// Mean wait of those who waited and got a place, milliseconds.
    pub average_wait_ms: Option<f64>,
}

/// What an operator can order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkheadCommand {
    /// Refuses from now on.
    Enable,
    /// Lets everything through from now on.
    Disable,
    /// Changes the number of places. Those who are over a lower one may finish.
    MaxConcurrent {
        /// Calls at once.
        max_concurrent: u32,
    },
    /// Sets the counts to zero. Places and queue stay as they are.
    Reset,
}

/// The bulkhead around the evaluation. Name `bulkhead`, priority -2, after the rate limiter.
///
/// A middleware cannot wait: an evaluation that has to answers [`Flow::Wait`] and is kept by whoever drives the chain,
/// who asks [`BulkheadMiddleware::poll`] at [`BulkheadMiddleware::next_turn`]. A refused one ends as `rejected`
/// (EFP-RL01) with the time after which a place might be free.
#[derive(Debug)]
pub struct BulkheadMiddleware {
    enabled: bool,
    bulkhead: Bulkhead,
}

impl BulkheadMiddleware {
    /// From the section `limits.bulkhead`.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] for an impossible value, also when the section is not enabled.
    pub fn new(config: &BulkheadConfig) -> Result<Self, LimitsError> {
        Ok(Self { enabled: config.enabled, bulkhead: Bulkhead::new(config)? })
    }

    /// Which waiting evaluation, by its sequence, goes on now or has waited too long: always the one that has waited
    /// longest. Whoever goes on has its place already. Ask until there is none.
    pub fn poll(&mut self, now: Timestamp) -> Option<Turn> {
        self.bulkhead.poll_within(now, self.places())
    }

    /// When [`BulkheadMiddleware::poll`] has an answer: `now` if there is a place for the first who waits, else when
    /// its wait is over. `None` while nobody waits.
    pub fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        let expiry = self.bulkhead.next_expiry()?;
        Some(if self.bulkhead.active < self.places() { now } else { expiry.max(now) })
    }

    /// Ends an evaluation for which there is no place.
    pub fn refuse(&self, context: &mut Context) {
        context.fail(Outcome::Rejected, ErrorCode::BulkheadFull);
        context.retry_after = self.bulkhead.estimate();
    }

    /// Nobody waits for a bulkhead that is off.
    const fn places(&self) -> u32 {
        if self.enabled { self.bulkhead.config.max_concurrent } else { u32::MAX }
    }

    /// The places themselves, to look at.
    pub const fn bulkhead(&self) -> &Bulkhead {
        &self.bulkhead
    }

    /// What there is to see.
    pub fn view(&self, _now: Timestamp) -> BulkheadView {
        let Bulkhead { config, active, queue, totals } = &self.bulkhead;
        let mean_ms = |sum: u64, count: u64| (count > 0).then(|| sum as f64 / count as f64 / 1e6);
        let waited = totals.queued.saturating_sub(totals.expired + queue.len() as u64);
        BulkheadView {
            enabled: self.enabled,
            max_concurrent: config.max_concurrent,
            max_queue: config.max_queue,
            max_wait_ms: config.max_wait_ms,
            active: *active,
            queued: u32::try_from(queue.len()).unwrap_or(u32::MAX),
            peak: totals.peak,
            utilisation: f64::from(*active) * 100.0 / f64::from(config.max_concurrent),
            accepted: totals.accepted,
            rejected: totals.rejected,
            expired: totals.expired,
            completed: totals.completed,
            average_held_ms: mean_ms(totals.held_ns, totals.completed),
            average_wait_ms: mean_ms(totals.waited_ns, waited),
        }
    }

    /// Does what `by` orders, and says so.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] for a number of places that cannot be.
    pub fn command(
        &mut self,
        command: &BulkheadCommand,
        by: &str,
        _now: Timestamp,
        _out: &mut Outbox,
    ) -> Result<String, LimitsError> {
        Ok(match command {
            BulkheadCommand::Enable | BulkheadCommand::Disable => {
                self.enabled = *command == BulkheadCommand::Enable;
                format!("bulkhead {} by {by}", if self.enabled { "enabled" } else { "disabled" })
            }
            BulkheadCommand::MaxConcurrent { max_concurrent } => {
                concurrent(*max_concurrent)?;
                self.bulkhead.config.max_concurrent = *max_concurrent;
                format!("bulkhead set to {max_concurrent} at once by {by}")
            }
            BulkheadCommand::Reset => {
                let peak = self.bulkhead.active;
                // Those who wait now will be counted when their wait ends.
                let queued = self.bulkhead.queue.len() as u64;
                self.bulkhead.totals = Totals { peak, queued, ..Totals::default() };
                format!("bulkhead counts reset by {by}")
            }
        })
    }
}

impl Middleware for BulkheadMiddleware {
    fn name(&self) -> &'static str {
        "bulkhead"
    }

    fn priority(&self) -> i16 {
        -2
    }

    fn enter(&mut self, context: &mut Context, _out: &mut Outbox) -> Flow {
        if !self.enabled {
            // Counted all the same: whoever leaves gives a place back, also after it was switched on in between.
            self.bulkhead.take();
            return Flow::Continue;
        }
        match self.bulkhead.acquire(context.sequence, context.now) {
            Admission::Admitted => Flow::Continue,
            Admission::Queued => Flow::Wait,
            Admission::Refused { .. } => {
                self.refuse(context);
                Flow::Finish
            }
        }
    }

    fn leave(&mut self, context: &mut Context, _out: &mut Outbox) {
        self.bulkhead.release(context.now.since(context.placed));
    }
}
