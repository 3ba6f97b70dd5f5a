//! The engine: one deterministic state machine. Commands and the passing of time go in, frames come out.
//!
//! It composes the mechanisms, admits evaluations at a rate, keeps those that wait for their answers, counts what
//! finishes and carries out commands. It never waits: a driver ([`drive`]) tells it the time and hands its frames on.
//!
//! ```
//! use fizzops::domain::Timestamp;
//! use fizzops::engine::{Engine, Options, Settings, WorkloadKind};
//!
//! let mut settings = Settings::everything();
//! settings.workload.kind = WorkloadKind::Range;
//! settings.workload.to = 100;
//! let mut engine = Engine::new(&settings, Options::simulated(7)).unwrap();
//! while let Some(due) = engine.next_due() {
//!     engine.advance(due, 1_000);
//! }
//! assert!(engine.is_finished());
//! assert_eq!(engine.counts().evaluations, 100);
//! ```

pub mod agreement;
mod check;
pub mod clock;
pub mod command;
pub mod director;
mod drill;
pub mod drive;
mod evaluate;
pub mod frame;
mod inflight;
mod mechanisms;
mod options;
mod orders;
mod results;
pub mod seed;
mod service_time;
pub mod settings;
pub mod tally;
pub mod trace;
mod waiting;
pub mod workload;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub use check::{Check, Checked};
pub use clock::{ClockKind, WallClock};
pub use command::{Command, Refusal};
pub use director::{Director, Playbook};
pub use frame::{Frame, Instruction, SessionInfo, Snapshot};
pub use options::{Authenticated, EngineError, Options};
pub use seed::Seed;
pub use settings::Settings;
pub use workload::{InputError, Workload, WorkloadKind};

use crate::domain::classification::Classifier;
use crate::domain::{Evaluation, Event, EventMask, Kind, Payload, ResultId, Rule, RuleMask, RuleSet, Timestamp};
use crate::mechanisms::flags::flagd::Definitions;
use crate::mechanisms::flags::{FlagsCommand, FlagsError, FlagsMiddleware};
use crate::mechanisms::limits::RetryMiddleware;
use crate::mechanisms::slo::{PolicyAction, ServiceLevel};
use crate::mechanisms::strategy::{Strategy, strategy};
use crate::pipeline::chain::Stopwatch;
use crate::pipeline::dependency::Dependencies;
use crate::pipeline::timing::Latencies;
use crate::pipeline::{Chain, Context, Outbox};
use crate::records::ledger::{Header, Kept, Ledger, Mining};
use director::DrillView;
use drill::drill_name;
use inflight::InFlight;
use mechanisms::Mechanisms;
use results::Results;
use seed::Stream;
use service_time::ServiceTime;
use tally::{Counts, Sample, Tally};

/// More evaluations a second than this are asked for with 0: as fast as they go.
pub const MAX_RATE: u32 = 1_000_000;

/// When evaluations arrive.
#[derive(Debug, Clone, Copy)]
struct Arrivals {
    rate: u32,
    /// The moment of arrival number 0.
    origin: Timestamp,
    count: u64,
}

impl Arrivals {
    fn restart(&mut self, now: Timestamp) {
        self.origin = now;
        self.count = 0;
    }

    fn next(&self, now: Timestamp) -> Timestamp {
        if self.rate == 0 {
            return now;
        }
        let nanos = u128::from(self.count) * 1_000_000_000 / u128::from(self.rate);
        self.origin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The engine.
pub struct Engine {
    seed: Seed,
    wall: Option<WallClock>,
    now: Timestamp,
    info: SessionInfo,
    rules: Arc<RuleSet>,
    classifier: Classifier,
    chain: Chain,
    /// The place of the retries in the chain.
    retries: usize,
    mechanisms: Mechanisms,
    dependencies: Dependencies,
    /// What callers waited, counted from when their evaluations were meant to begin.
    responses: Latencies,
    /// The service levels at the end of the last second, while a game day runs.
    levels: Vec<ServiceLevel>,
    paused_at: Option<Timestamp>,
    strategy: Box<dyn Strategy>,
    service_time: ServiceTime,
    timeout: Duration,
    max_in_flight: usize,
    workload: Workload,
    arrivals: Arrivals,
    /// After the input had nothing yet, when to ask it again.
    ask_again: Timestamp,
    paused: bool,
    steps: u32,
    stopping: bool,
    /// Somebody stopped it before the end of its workload: nothing is tried again.
    halted: bool,
    finished: bool,
    input_error: Option<InputError>,
    sequence: u64,
    inflight: InFlight,
    /// Those that wait for a place, in the order of the bulkhead's queue.
    parked: VecDeque<Context>,
    checks: Vec<Check>,
    out: Outbox,
    tally: Tally,
    samples: Vec<Sample>,
    /// Whether anybody looks at frames: recent evaluations and samples are kept only then.
    watched: bool,
    ledger: Option<Ledger>,
    results: Option<Results>,
    /// Finished since they were taken last, for whoever keeps them.
    kept: Option<Vec<(Timestamp, Evaluation)>>,
    readings: Option<trace::Readings>,
    playbook: Option<Arc<dyn Playbook>>,
    director: Option<Box<dyn Director>>,
    drill: Option<DrillView>,
    frames: u64,
    stop_after_drill: bool,
    /// Steps of [`Engine::advance`] so far: with the instructions' places among them, a session can be repeated exactly.
    turns: u64,
    /// No step beyond this one.
    last_turn: u64,
    /// What was told from outside since the last frame; kept only for somebody who looks.
    instructions: Vec<Instruction>,
}

/// How long before its end a lease is renewed; leases are longer.
const RENEWED_EARLY: Duration = Duration::from_secs(1);

/// The intervals that are kept for the next frame, at least: an hour.
const SAMPLES: usize = 3_600;

impl Engine {
    /// Whether an engine can be made of these settings. It is made, so that this cannot say another thing than
    /// [`Engine::new`].
    ///
    /// # Errors
    /// [`EngineError`]; where a setting is impossible the message begins with its dotted path.
    pub fn check(settings: &Settings) -> Result<(), EngineError> {
        let mut settings = settings.clone();
        // Only work, however long it takes.
        settings.cache.warming.enabled = false;
        // Read and checked by whoever makes the engine.
        settings.feature_flags.file = None;
        Self::new(&settings, Options::simulated(0)).map(drop)
    }

    /// An engine at its start.
    ///
    /// # Errors
    /// [`EngineError`] for settings that are impossible; nothing has run then.
    pub fn new(settings: &Settings, options: Options) -> Result<Self, EngineError> {
        let Options {
            seed,
            wall,
            workload,
            events,
            event_limit,
            results,
            leaves,
            ledger,
            authenticated,
            calls,
            keep,
            readings,
            flags,
            definitions,
            playbook,
        } = options;
        let now = wall.map_or(Timestamp::from_millis(settings.virtual_clock.start_ms), |clock| clock.began());
        let rules = Arc::new(RuleSet::new(with_flagged(settings))?);
        let mut mechanisms = Mechanisms::new(settings, &rules, seed, now)?;
        let dependencies = Dependencies::new(&settings.dependencies, &rules)?;
        mechanisms.breaker.depend_on(&dependencies.names(), now)?;
        mechanisms.chaos.know_dependencies(dependencies.names());
        if calls {
            mechanisms.breaker.keep_calls();
        }
        govern(&mut mechanisms.flags, settings, &rules, definitions.as_ref())?;
        for flag in &flags {
            mechanisms.flags.override_with(flag)?;
        }
        let engine = &settings.engine;
        if !(1..=100_000).contains(&engine.max_concurrent_evaluations) {
            return Err(EngineError::Concurrency(engine.max_concurrent_evaluations));
        }
        if engine.timeout_ms == 0 {
            return Err(EngineError::Timeout);
        }
        if settings.workload.rate > MAX_RATE {
            return Err(EngineError::Rate(settings.workload.rate));
        }
        let workload = match workload {
            Some(workload) => workload,
            None => Workload::new(&settings.workload, seed.stream(Stream::Workload))?,
        };
        let ledger = if settings.blockchain.enabled {
            // On the wall clock a driver's thread mines; on the virtual one blocks are part of what repeats itself.
            let mining = if wall.is_some() { Mining::Aside } else { Mining::Inline };
            let mut ledger = Ledger::new(&settings.blockchain, ledger, mining, now)?;
            if leaves {
                ledger.keep();
            }
            Some(ledger)
        } else {
            None
        };
        let clock = if wall.is_some() { ClockKind::Wall } else { ClockKind::Virtual };
        let classifier = Classifier::new(&rules);
        let mut chain = Chain::new(&mut mechanisms);
        if let Some(one_in) = mechanisms.traces.one_in() {
            chain.trace(one_in);
        }
        let mut out = Outbox::new(events, event_limit);
        out.now = now;
        if ledger.is_some() {
            out.audit(EventMask::audited());
        }
        mechanisms.cache.warm(now, &mut out);
        let levels = mechanisms.slo.view(now);
        let levels: Vec<&str> = levels.slos.iter().map(|slo| slo.name.as_str()).collect();
        let info = SessionInfo {
            session_id: ResultId::new(seed.0, now.as_nanos()).to_string(),
            seed: seed.0,
            clock,
            began: now,
            workload: workload.text().to_owned(),
            total: workload.total(),
            strategy: engine.strategy.name().to_owned(),
            rules: rules.to_string(),
            scenarios: playbook.as_ref().map(|playbook| playbook.scenarios(&levels, &mechanisms)).unwrap_or_default(),
        };
        let mut ledger = ledger;
        if let Some(ledger) = &mut ledger {
            let facts = agreement::SessionFacts {
                session_id: info.session_id.clone(),
                seed: seed.0,
                began: now,
                rules: rules.rules().to_vec(),
            };
            // Plain data; writing it to memory cannot fail.
            ledger.event(now, agreement::SESSION_RULES, &serde_json::to_string(&facts).unwrap_or_default());
        }
        out.emit(Kind::SessionStarted, || Payload::SessionStarted {
            session_id: info.session_id.clone(),
            seed: seed.0,
            clock: clock.name().to_owned(),
        });
        if let Some(Authenticated { user, role, token_id }) = authenticated {
            let role = role.name().to_owned();
            out.emit(Kind::TokenValidated, || Payload::TokenValidated { user, role, token_id });
        }
        Ok(Self {
            seed,
            wall,
            now,
            info,
            classifier,
            retries: chain.place(RetryMiddleware::NAME).unwrap_or_default(),
            chain,
            mechanisms,
            dependencies,
            levels: Vec::new(),
            responses: Latencies::default(),
            paused_at: None,
            strategy: strategy(engine.strategy, &rules),
            service_time: ServiceTime::new(&settings.virtual_clock.service_time, seed.stream(Stream::ServiceTime))?,
            timeout: Duration::from_millis(engine.timeout_ms),
            max_in_flight: engine.max_concurrent_evaluations,
            workload,
            arrivals: Arrivals { rate: settings.workload.rate, origin: now, count: 0 },
            ask_again: now,
            paused: false,
            steps: 0,
            stopping: false,
            halted: false,
            finished: false,
            input_error: None,
            sequence: 0,
            inflight: InFlight::default(),
            parked: VecDeque::new(),
            checks: Vec::new(),
            tally: Tally::new(classifier, now),
            samples: Vec::new(),
            watched: events != EventMask::NONE,
            out,
            ledger,
            results: results.then(Results::default),
            kept: keep.then(Vec::new),
            readings,
            playbook,
            director: None,
            drill: None,
            frames: 0,
            stop_after_drill: false,
            turns: 0,
            last_turn: u64::MAX,
            instructions: Vec::new(),
            rules,
        })
    }

    /// What does not change in the session.
    pub const fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// The rules, those that flags bring included.
    pub const fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// The seed.
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// The engine's present moment.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Counts since the start.
    pub const fn counts(&self) -> &Counts {
        self.tally.counts()
    }

    /// Every number has been evaluated, or the session was stopped; the ledger's last block is closed.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// What was wrong with the numbers from outside, if they ended for that.
    pub const fn input_error(&self) -> Option<&InputError> {
        self.input_error.as_ref()
    }

    /// The game day that runs, or the last one that did.
    pub fn drill(&self) -> Option<DrillView> {
        self.director.as_ref().map(|director| director.view()).or_else(|| self.drill.clone())
    }

    /// When something is to be done next; `None` when nothing ever will be, unless a command comes.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.finished {
            return None;
        }
        let timer = if self.under_way() == 0 && !self.may_admit() { None } else { Some(self.tally.interval_ends()) };
        let wake = self.wake();
        [self.inflight.next_due(), self.arrival(), self.turn(), timer, wake].into_iter().flatten().min()
    }

    fn may_admit(&self) -> bool {
        !self.finished
            && !self.stopping
            && (!self.paused || self.steps > 0)
            && self.under_way() < self.max_in_flight
            && self.results.as_ref().is_none_or(Results::has_room)
    }

    /// When time alone changes something: a game day, a breaker that turns by itself.
    fn wake(&self) -> Option<Timestamp> {
        // What a game day measures in time waits while the session is paused.
        let director = self.director.as_ref().filter(|_| !self.paused).and_then(|director| director.wake());
        // A lease is renewed before it ends, as long as there is a game day to hold it.
        let early = if self.director.is_some() { RENEWED_EARLY } else { Duration::ZERO };
        let lease = self.mechanisms.chaos.next_expiry().map(|at| at.before(early));
        let own = [self.mechanisms.breaker.next_transition(), lease];
        director.into_iter().chain(own.into_iter().flatten()).min()
    }

    fn arrival(&self) -> Option<Timestamp> {
        let next = if self.paused { self.now } else { self.arrivals.next(self.now) };
        self.may_admit().then(|| next.max(self.ask_again))
    }

    /// Does what is due at or before `now`, in order of time, at most `budget` evaluations; how many finished or were
    /// admitted. On the virtual clock the engine's moment moves from one thing to the next, and never beyond `now`.
    pub fn advance(&mut self, now: Timestamp, budget: usize) -> usize {
        if self.wall.is_some() {
            self.now = self.now.max(now);
        }
        let mut done = 0;
        while done < budget && !self.finished && self.turns < self.last_turn {
            // On the wall clock, what is done here takes time: whatever is due by now is due.
            let now = if self.wall.is_some() { now.max(self.now) } else { now };
            let due = self.inflight.next_due().unwrap_or(Timestamp::MAX);
            let arrival = self.arrival().unwrap_or(Timestamp::MAX);
            let timer = self.tally.interval_ends();
            let wake = self.wake().unwrap_or(Timestamp::MAX);
            let turn = self.turn().unwrap_or(Timestamp::MAX);
            let next = due.min(arrival).min(timer).min(wake).min(turn);
            if next > now {
                break;
            }
            self.turns += 1;
            if self.wall.is_none() {
                self.now = self.now.max(next);
            }
            self.out.now = self.now;
            if next == turn {
                // Before anything else that is due: who arrives now comes after those who wait.
                done += usize::from(self.take_turn());
            } else if next == due {
                if let Some((at, mut waiting)) = self.inflight.take_due(now) {
                    let at = self.wall.map_or(at, |clock| clock.now());
                    if waiting.resting {
                        self.try_again(waiting.context, at);
                    } else {
                        let traced = self.readings.is_some() || self.chain.traces(waiting.context.sequence);
                        let read = self.wall.filter(|_| traced).map(|clock| self.reading(clock));
                        let stopwatch = read.as_ref().map(|read| read as Stopwatch<'_>);
                        self.complete(&mut waiting.context, Some(waiting.answer), at, stopwatch);
                    }
                    done += 1;
                }
            } else if next == timer {
                self.end_interval();
                if self.mechanisms.slo.has_actions() {
                    self.keep_budget_policy();
                }
            } else if next == wake {
                self.mechanisms.breaker.tick(self.now, &mut self.out);
                if let Some(director) = &self.director {
                    self.mechanisms.chaos.renew(&drill_name(director.scenario()), self.now);
                }
                self.mechanisms.chaos.expire(self.now);
                self.direct();
            } else {
                done += usize::from(self.admit());
            }
            self.tell_blocks();
            self.finish_if_done();
        }
        done
    }

    /// Puts what happened since the last look on the ledger, and tells of the blocks that were closed.
    fn tell_blocks(&mut self) {
        let Some(ledger) = &mut self.ledger else { return };
        for payload in self.out.take_audit().into_iter().flatten() {
            let facts = serde_json::to_value(&payload).ok().and_then(|value| value.get("payload").cloned());
            ledger.event(self.now, payload.kind().name(), &facts.unwrap_or_default().to_string());
        }
        for block in ledger.newly_closed() {
            self.out.emit(Kind::LedgerBlockMined, || Payload::LedgerBlockMined {
                index: block.index,
                leaves: block.leaves,
                nonce: block.nonce,
                hash: block.hash.to_string(),
            });
        }
    }

    fn end_interval(&mut self) {
        let now = self.now;
        if let Some(ledger) = &mut self.ledger {
            ledger.flush(now);
        }
        self.mechanisms.slo.check(now, &mut self.out);
        if self.director.is_some() {
            self.read_levels();
        }
        let mut sample = self.tally.end_interval(now);
        if self.watched {
            sample.burn_rates = self.mechanisms.slo.burn_rates(now);
            sample.breakers_open = self.mechanisms.breaker.open(now);
            sample.chaos_level = self.mechanisms.chaos.armed().0;
            // Frames that nobody takes must not become a memory without an end.
            if self.samples.len() >= 2 * SAMPLES {
                self.samples.drain(..SAMPLES);
            }
            self.samples.push(sample);
        }
    }

    /// A budget ran low: what its policy asks for is done as a command, so that the ledger has it with its reason.
    #[cold]
    fn keep_budget_policy(&mut self) {
        for PolicyAction::TurnOff { flag, reason } in self.mechanisms.slo.take_actions() {
            let command = Command::Flags(FlagsCommand::Set { flag, enabled: false });
            // A flag that is not there is on record as refused.
            let _ = self.apply(&format!("budget policy: {reason}"), command);
        }
    }

    fn finish_if_done(&mut self) {
        if self.finished || !self.stopping || self.under_way() > 0 {
            return;
        }
        self.close_drill("the end of the session");
        let ms = self.now.since(self.info.began).as_secs_f64() * 1_000.0;
        let (session_id, evaluations) = (self.info.session_id.clone(), self.counts().evaluations);
        self.out.emit(Kind::SessionEnded, || Payload::SessionEnded { session_id, duration_ms: ms, evaluations });
        self.tell_blocks();
        if let Some(ledger) = &mut self.ledger {
            ledger.close(self.now);
        }
        self.tell_blocks();
        if self.watched {
            self.end_interval();
        }
        self.finished = true;
    }

    /// Puts the answers for these numbers into the cache, the last ones as far as it has room: before the first
    /// evaluation, for a cache that shall not begin cold.
    pub fn warm(&mut self, numbers: &[i64]) {
        self.out.now = self.now;
        self.mechanisms.cache.warm_with(numbers, self.now, &mut self.out);
    }

    /// What callers waited, counted from the moment at which each evaluation was meant to begin: an engine that falls
    /// behind its schedule cannot hide it (coordinated omission).
    pub const fn responses(&self) -> &Latencies {
        &self.responses
    }

    /// The checks that the driver is to make since the last call.
    pub fn take_checks(&mut self) -> Vec<Check> {
        std::mem::take(&mut self.checks)
    }

    /// A check was made.
    pub fn checked(&mut self, found: Checked) {
        let now = self.wall.map_or(self.now, |clock| clock.now());
        self.inflight.report(found.slot, found.ticket, found.matched, now);
    }

    /// Whether evaluations wait for their answers, for a place or for another attempt.
    pub fn is_waiting(&self) -> bool {
        self.under_way() > 0
    }

    /// The next finished evaluation in order of admission, for engines that keep results.
    pub fn next_result(&mut self) -> Option<Evaluation> {
        self.results.as_mut()?.take()
    }

    /// The evaluations that finished since the last call, for engines that keep them: in order of completion, with when.
    pub fn take_kept(&mut self) -> Vec<(Timestamp, Evaluation)> {
        self.kept.as_mut().map(|kept| std::mem::replace(kept, Vec::with_capacity(kept.len()))).unwrap_or_default()
    }

    /// From now on the journal's view tells how the durable one stands.
    pub fn show_journal(&mut self, durable: crate::records::journal::store::Appender) {
        self.mechanisms.journal.show(durable);
    }

    /// Lets go of the durable journal, so that its writer can end; the view tells how it stood last.
    pub fn hide_journal(&mut self) {
        self.mechanisms.journal.hide();
    }

    /// What is to be written to the ledger's directory since the last call.
    pub fn take_leaves(&mut self) -> Vec<Kept> {
        self.ledger.as_mut().map(Ledger::take).unwrap_or_default()
    }

    /// The block that the driver is to mine, and how many nonces it is worth.
    pub fn take_mining(&mut self) -> Option<(Header, u64)> {
        self.ledger.as_mut()?.take_mining()
    }

    /// What became of it: the block and the hashes that it took, or nothing when it was given up.
    pub fn mined(&mut self, found: Option<(Header, u64)>) {
        if let Some(ledger) = &mut self.ledger {
            ledger.mined(found);
        }
        self.tell_blocks();
    }

    /// The events since the last frame.
    pub fn pending_events(&self) -> &[Event] {
        self.out.pending()
    }

    /// The ledger's head, if there is a ledger: the size of its tree and the root.
    pub fn ledger_head(&self) -> Option<String> {
        self.ledger.as_ref().map(Ledger::head)
    }
}

/// Gives the flags what they decide by: the file's definitions, the experiment's rule, and what targeting may know.
fn govern(
    flags: &mut FlagsMiddleware,
    settings: &Settings,
    rules: &RuleSet,
    definitions: Option<&Definitions>,
) -> Result<(), FlagsError> {
    let config = &settings.feature_flags;
    match (definitions, &config.file) {
        (Some(definitions), _) => flags.load(definitions)?,
        (None, Some(file)) if config.enabled => return Err(FlagsError::NotRead(file.clone())),
        (None, _) => {}
    }
    let configured = |label: &str| settings.rules.iter().any(|rule| rule.label == label);
    let brought = rules.rules().iter().enumerate().filter(|(_, rule)| !configured(&rule.label));
    flags.experiment(brought.fold(RuleMask::NONE, |mask, (at, _)| mask.with(at)));
    flags.attribute("strategy", settings.engine.strategy.name());
    flags.attribute("locale", &settings.i18n.locale);
    Ok(())
}

/// The configured rules, and the experiment's when flags are on: Wuzz for multiples of 7.
fn with_flagged(settings: &Settings) -> Vec<Rule> {
    let mut rules = settings.rules.clone();
    if settings.feature_flags.enabled && !rules.iter().any(|rule| rule.label == "Wuzz") {
        rules.push(Rule::new("WuzzRule", 7, "Wuzz", 3));
    }
    rules
}
