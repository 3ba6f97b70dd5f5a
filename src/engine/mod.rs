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
pub mod clock;
pub mod command;
pub mod director;
pub mod drive;
pub mod frame;
mod inflight;
mod mechanisms;
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

pub use clock::{ClockKind, WallClock};
pub use command::{Command, Refusal};
pub use director::{Director, Playbook};
pub use frame::{Frame, Instruction, SessionInfo, Snapshot};
pub use seed::Seed;
pub use settings::Settings;
pub use workload::{InputError, Workload, WorkloadKind};

use serde::{Deserialize, Serialize};

use crate::domain::classification::Classifier;
use crate::domain::rules::{RuleError, divides};
use crate::domain::time::nanos;
use crate::domain::{
    Classification, ErrorCode, Evaluation, Event, EventMask, Kind, Outcome, Payload, ResultId, Rule, RuleMask, RuleSet,
    Source, Timestamp,
};
use crate::mechanisms::auth::Role;
use crate::mechanisms::chaos::ChaosCommand;
use crate::mechanisms::flags::flagd::Definitions;
use crate::mechanisms::flags::{FlagsCommand, FlagsError, FlagsMiddleware};
use crate::mechanisms::i18n::I18nCommand;
use crate::mechanisms::limits::RetryMiddleware;
use crate::mechanisms::slo::{PolicyAction, ServiceLevel};
use crate::mechanisms::strategy::{Answer, Plan, Strategy, strategy};
use crate::pipeline::chain::Stopwatch;
use crate::pipeline::dependency::Dependencies;
use crate::pipeline::timing::Latencies;
use crate::pipeline::{Chain, Context, Flow, Outbox};
use crate::records::ledger::{Header, Kept, Ledger, Mining, Start};
use director::{Direction, DrillView, Moment};
use inflight::{InFlight, Slot};
use mechanisms::Mechanisms;
use results::Results;
use seed::Stream;
use service_time::ServiceTime;
use tally::{Counts, Recent, Sample, Tally};
use workload::Next;

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

/// More evaluations a second than this are asked for with 0: as fast as they go.
pub const MAX_RATE: u32 = 1_000_000;

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

/// A check that the driver makes, side by side with others: does this rule match?
#[derive(Debug, Clone, Copy)]
pub struct Check {
    slot: Slot,
    ticket: u64,
    rule: usize,
    divisor: i64,
    number: i64,
}

/// What a check found.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    slot: Slot,
    ticket: u64,
    matched: RuleMask,
}

impl Check {
    /// Makes it.
    pub fn make(self) -> Checked {
        let hit = divides(self.divisor, self.number);
        let matched = if hit { RuleMask::NONE.with(self.rule) } else { RuleMask::NONE };
        Checked { slot: self.slot, ticket: self.ticket, matched }
    }
}

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

/// As whom a game day commands.
fn drill_name(scenario: &str) -> String {
    format!("game day {scenario}")
}

/// Reads the wall clock at most this far behind schedule; arrivals that are longer overdue are not made up for.
const BACKLOG: Duration = Duration::from_secs(1);

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

    /// Takes the next number in; whether there was one.
    fn admit(&mut self) -> bool {
        match self.workload.draw() {
            Next::Number(number) => {
                self.steps = self.steps.saturating_sub(1);
                let intended = if self.paused { self.now } else { self.arrivals.next(self.now) };
                self.arrivals.count += 1;
                if self.wall.is_some() && self.now.since(self.arrivals.next(self.now)) > BACKLOG {
                    self.arrivals.restart(self.now);
                }
                self.begin(number, intended);
                true
            }
            Next::Later => {
                self.ask_again = self.now + Duration::from_millis(1);
                false
            }
            Next::End => {
                self.stopping = true;
                false
            }
            Next::Broken(error) => {
                self.input_error = Some(error);
                self.stopping = true;
                false
            }
        }
    }

    fn begin(&mut self, number: i64, intended: Timestamp) {
        let sequence = self.sequence;
        self.sequence += 1;
        if let Some(results) = &mut self.results {
            results.expect();
        }
        self.out.emit(Kind::NumberProcessingStarted, || Payload::NumberProcessingStarted { number, sequence });
        let mut context = Context::new(sequence, number, self.rules.all(), self.now);
        context.intended = intended;
        context.dependency = self.dependencies.of(number);
        // Reading a clock around each middleware is for a sample of the evaluations only, and only on the wall clock.
        let wall = self.wall.filter(|_| sequence.is_multiple_of(Chain::SAMPLE) || self.chain.traces(sequence));
        let read = wall.map(|clock| self.reading(clock));
        let stopwatch = read.as_ref().map(|read| read as Stopwatch<'_>);
        let flow = self.chain.enter(&mut self.mechanisms, &mut context, &mut self.out, stopwatch);
        self.go(context, flow, stopwatch);
    }

    /// Reads the clock, and writes each reading down where that is asked for.
    fn reading(&self, clock: WallClock) -> impl Fn() -> u64 + use<> {
        let readings = self.readings.clone();
        move || {
            let now = clock.now().as_nanos();
            if let Some(readings) = &readings {
                readings.note(now);
            }
            now
        }
    }

    /// On with an evaluation that has come in as far as `flow` says.
    #[inline]
    fn go(&mut self, mut context: Context, flow: Flow, stopwatch: Option<Stopwatch<'_>>) {
        let number = context.number;
        let (answer, checks, service) = match flow {
            Flow::Wait => {
                self.parked.push_back(context);
                return;
            }
            // What is refused or cached takes time too, or virtual time would stand still while a breaker is open.
            Flow::Finish if self.wall.is_none() => (None, RuleMask::NONE, self.service_time.shortest()),
            Flow::Finish => (None, RuleMask::NONE, Duration::ZERO),
            Flow::Continue => self.ask(number, context.rules),
        };
        let wait = context.delay + service;
        if wait.is_zero() && checks.is_empty() {
            let at = self.wall.map_or(self.now, |clock| clock.now());
            self.complete(&mut context, answer, at, stopwatch);
            return;
        }
        if wait > self.timeout {
            context.fail(Outcome::TimedOut, ErrorCode::CallTimeout);
        }
        let due = self.now + wait.min(self.timeout);
        let (slot, ticket) = self.inflight.put(context, answer.unwrap_or_default(), checks.count(), due);
        for rule in checks.indices() {
            if let Some(divisor) = self.rules.rules().get(rule).map(|rule| rule.divisor) {
                self.checks.push(Check { slot, ticket, rule, divisor, number });
            }
        }
    }

    /// Asks the strategy: an answer, or the checks that the driver must make for it, and how long it takes. On the
    /// virtual clock checks are made here and take as long as the slowest of them.
    fn ask(&mut self, number: i64, on: RuleMask) -> (Option<Answer>, RuleMask, Duration) {
        let simulated = self.wall.is_none();
        match self.strategy.plan(number, on) {
            Plan::Answered(answer) => {
                let service = if simulated { self.service_time.draw() } else { Duration::ZERO };
                (Some(answer), RuleMask::NONE, service)
            }
            Plan::Concurrent(checks) if simulated => {
                let slowest = (0..checks.count()).map(|_| self.service_time.draw()).max().unwrap_or_default();
                let answer = Answer { matched: self.rules.matches(number, checks), confidence: None };
                (Some(answer), RuleMask::NONE, slowest)
            }
            Plan::Concurrent(checks) => (None, checks, Duration::ZERO),
        }
    }

    /// The answer has come, or the evaluation ended without one.
    fn complete(
        &mut self,
        context: &mut Context,
        answer: Option<Answer>,
        at: Timestamp,
        stopwatch: Option<Stopwatch<'_>>,
    ) {
        self.now = self.now.max(at);
        self.out.now = self.now;
        context.complete(self.now);
        if let Some(answer) = answer
            && context.outcome == Outcome::Ok
            && context.source == Source::None
        {
            context.answer(answer.matched, Source::Strategy);
            context.confidence = answer.confidence;
            self.tell_rules(context);
        }
        if context.attempt == 0 || !self.goes_on(context, stopwatch) {
            self.end(context, stopwatch);
        }
    }

    /// No attempt will follow.
    fn end(&mut self, context: &mut Context, stopwatch: Option<Stopwatch<'_>>) {
        self.chain.leave(&mut self.mechanisms, context, &mut self.out, stopwatch);
        self.mechanisms.timing.count(context);
        let evaluation = context.finish();
        self.tally.record(self.now, &evaluation, self.watched);
        let response = self.now.since(context.intended);
        self.responses.record(nanos(response));
        self.tell_result(&evaluation);
        if let Some(ledger) = &mut self.ledger {
            ledger.evaluation(&evaluation, self.now);
        }
        if let Some(director) = &mut self.director {
            director.observe(self.now, &evaluation, response);
            self.direct();
        }
        if let Some(kept) = &mut self.kept {
            kept.push((self.now, evaluation.clone()));
        }
        if let Some(results) = &mut self.results {
            results.put(evaluation);
        }
        if self.mechanisms.slo.has_actions() {
            self.keep_budget_policy();
        }
    }

    fn tell_rules(&mut self, context: &Context) {
        if !(self.out.wants(Kind::RuleMatched) || self.out.wants(Kind::RuleNotMatched)) {
            return;
        }
        let number = context.number;
        for (index, rule) in self.rules.rules().iter().enumerate().filter(|(index, _)| context.rules.contains(*index)) {
            if context.matched.contains(index) {
                let (rule, label) = (rule.name.clone(), rule.label.clone());
                self.out.emit(Kind::RuleMatched, || Payload::RuleMatched { number, rule, label });
            } else {
                let rule = rule.name.clone();
                self.out.emit(Kind::RuleNotMatched, || Payload::RuleNotMatched { number, rule });
            }
        }
    }

    fn tell_result(&mut self, evaluation: &Evaluation) {
        let Evaluation { number, sequence, outcome, error, .. } = *evaluation;
        if let Some(code) = error {
            self.out.emit(Kind::ErrorOccurred, || Payload::ErrorOccurred {
                number: Some(number),
                code,
                error: code.meaning().to_owned(),
            });
        }
        self.out.emit(Kind::NumberProcessed, || Payload::NumberProcessed {
            number,
            sequence,
            output: evaluation.shown(&self.rules),
            outcome,
        });
        if outcome == Outcome::Ok {
            match self.classifier.classify(evaluation.matched) {
                Classification::Fizz => self.out.emit(Kind::FizzDetected, || Payload::FizzDetected { number }),
                Classification::Buzz => self.out.emit(Kind::BuzzDetected, || Payload::BuzzDetected { number }),
                Classification::FizzBuzz => {
                    self.out.emit(Kind::FizzBuzzDetected, || Payload::FizzBuzzDetected { number });
                }
                Classification::Plain => {
                    self.out.emit(Kind::PlainNumberDetected, || Payload::PlainNumberDetected { number });
                }
            }
        }
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

    fn moment(&self) -> Moment<'_> {
        let (chaos_level, armed) = self.mechanisms.chaos.armed();
        Moment {
            // While the session is paused no time passes for a game day, whatever else looks at the clock.
            now: self.paused_at.unwrap_or(self.now),
            counts: self.tally.counts(),
            breaker_trips: self.mechanisms.breaker.trips(),
            breakers_open: self.mechanisms.breaker.open(self.now),
            alerts_fired: self.mechanisms.slo.fired(),
            chaos_level,
            armed,
            injections_active: self.mechanisms.chaos.active() as u32,
            injections: self.mechanisms.chaos.injections(),
            cache: self.mechanisms.cache.looked_up(),
            retries: self.mechanisms.retry.retries(),
            levels: &self.levels,
            state: &self.mechanisms,
        }
    }

    fn read_levels(&mut self) {
        self.levels = self.mechanisms.slo.levels(self.now);
    }

    /// Asks the running game day what is to be done, and does it.
    fn direct(&mut self) {
        let Some(mut director) = self.director.take() else { return };
        let mut commands = Vec::new();
        let direction = director.direct(&self.moment(), &mut commands);
        self.carry_out(&mut *director, commands);
        match direction {
            Direction::Continue => self.director = Some(director),
            Direction::Done => self.end_drill(&mut *director),
        }
    }

    fn carry_out(&mut self, director: &mut dyn Director, commands: Vec<Command>) {
        for decided in director.decided() {
            self.out.emit(Kind::GamedayExpectationDecided, || Payload::GamedayExpectationDecided {
                scenario: director.scenario().to_owned(),
                expectation: decided.text,
                held: decided.standing == director::Standing::Held,
                actual: decided.actual,
            });
        }
        if commands.is_empty() {
            return;
        }
        let by = drill_name(director.scenario());
        for command in commands {
            // What a validated scenario asks for is refused only if an operator got in its way; that is on record.
            let _ = self.carry(&by, None, command);
        }
    }

    fn end_drill(&mut self, director: &mut dyn Director) {
        let view = director.view();
        self.out.emit(Kind::ChaosGamedayEnded, || Payload::ChaosGamedayEnded {
            scenario: view.scenario.clone(),
            verdict: view.verdict.text().to_owned(),
            phases_completed: view.phases.iter().filter(|phase| phase.ended.is_some()).count() as u32,
        });
        let by = format!("game day {}", view.scenario);
        // The expectations stand before the verdict that follows from them.
        self.tell_blocks();
        if let Some(ledger) = &mut self.ledger {
            ledger.command(self.now, &by, "", "\"verdict\"", &format!("{}: {}", view.verdict.text(), view.reason));
        }
        self.drill = Some(view);
        if self.stop_after_drill {
            self.halt();
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

    /// Ends the running game day's faults; it goes on only to see whether the steady state is back.
    fn abort_drill(&mut self, by: &str) -> bool {
        let Some(mut director) = self.director.take() else { return false };
        let mut commands = Vec::new();
        director.abort(by, &self.moment(), &mut commands);
        self.carry_out(&mut *director, commands);
        self.director = Some(director);
        if self.paused || self.stopping {
            // Nothing will be evaluated that could show whether the steady state is back.
            self.close_drill(by);
        } else {
            self.direct();
        }
        true
    }

    /// Ends the running game day here and now.
    fn close_drill(&mut self, by: &str) {
        let Some(mut director) = self.director.take() else { return };
        let mut commands = Vec::new();
        director.close(by, &self.moment(), &mut commands);
        self.carry_out(&mut *director, commands);
        self.end_drill(&mut *director);
    }

    /// Carries out a command of the program itself (a game day's, a signal's) at the engine's present moment. Every
    /// command and its answer go on the ledger.
    ///
    /// # Errors
    /// [`Refusal`] with the reason; nothing has changed then.
    pub fn apply(&mut self, by: &str, command: Command) -> Result<String, Refusal> {
        self.apply_as(by, None, command)
    }

    /// Carries out an operator's command, if that role may give it; what it may not is put on record as well.
    ///
    /// # Errors
    /// [`Refusal`] with the reason; nothing has changed then.
    pub fn apply_as(&mut self, by: &str, role: Option<Role>, command: Command) -> Result<String, Refusal> {
        self.note(by, role, Some(command.clone()));
        let result = self.carry(by, role, command);
        self.finish_if_done();
        result
    }

    /// Ends the session because whoever took its results is gone.
    fn cut_short(&mut self) {
        self.note("the end of its results", None, None);
        self.halt();
        self.finish_if_done();
    }

    fn note(&mut self, by: &str, role: Option<Role>, command: Option<Command>) {
        if self.watched {
            self.instructions.push(Instruction { turn: self.turns, by: by.to_owned(), role, command });
        }
    }

    /// On the virtual clock: goes on until so many steps were made since the start, or nothing is left to be done.
    pub fn run_to_turn(&mut self, turn: u64) {
        self.last_turn = turn;
        self.advance(Timestamp::MAX.before(Duration::from_nanos(1)), usize::MAX);
        self.last_turn = u64::MAX;
    }

    /// On the virtual clock: goes on to where an instruction was given, and follows it as it was followed then.
    pub fn repeat(&mut self, instruction: &Instruction) {
        self.run_to_turn(instruction.turn);
        match &instruction.command {
            // Whether it was refused is among the events.
            Some(command) => drop(self.apply_as(&instruction.by, instruction.role, command.clone())),
            None => self.cut_short(),
        }
    }

    /// As [`Engine::apply`], but the session goes on: a game day that is closed with it has several commands to give.
    fn carry(&mut self, by: &str, role: Option<Role>, command: Command) -> Result<String, Refusal> {
        if let Some(clock) = self.wall {
            self.now = self.now.max(clock.now());
        }
        self.out.now = self.now;
        let text = command.text();
        let denied = role.and_then(|role| role.refusal(command.duty()));
        let result = match denied {
            Some(reason) => Err(Refusal(reason)),
            None => self.execute(by, command),
        };
        // What a command brought about stands before it: it happened while it was carried out.
        self.tell_blocks();
        let answer = match &result {
            Ok(answer) => answer.clone(),
            Err(refusal) => format!("refused: {refusal}"),
        };
        if let Some(ledger) = &mut self.ledger {
            ledger.command(self.now, by, role.map_or("", Role::name), &text, &answer);
        }
        self.tell_blocks();
        let by = by.to_owned();
        match &result {
            Ok(_) => self.out.emit(Kind::CommandAccepted, || Payload::CommandAccepted { command: text, by, answer }),
            Err(refusal) => self.out.emit(Kind::CommandRefused, || Payload::CommandRefused {
                command: text,
                by,
                reason: refusal.0.clone(),
            }),
        }
        result
    }

    fn execute(&mut self, by: &str, command: Command) -> Result<String, Refusal> {
        let now = self.now;
        let refuse = |error: &dyn std::fmt::Display| Refusal(error.to_string());
        if self.finished {
            return Err(Refusal("the session is over".into()));
        }
        match command {
            Command::Pause => {
                self.paused = true;
                self.paused_at.get_or_insert(now);
                self.steps = 0;
                Ok("paused".into())
            }
            Command::Resume => {
                self.paused = false;
                self.arrivals.restart(now);
                if let (Some(since), Some(director)) = (self.paused_at.take(), &mut self.director) {
                    director.shift(now.since(since));
                }
                Ok("running".into())
            }
            Command::Step { count } if !self.paused => {
                Err(Refusal(format!("only a paused session can be stepped; pause it before stepping {count}")))
            }
            Command::Step { count } => {
                self.steps = self.steps.saturating_add(count.max(1));
                Ok(format!("{} evaluations are let in", count.max(1)))
            }
            Command::SetRate { per_second } if per_second > MAX_RATE => {
                Err(Refusal(format!("a rate is at most {MAX_RATE} a second; 0 is as fast as they go")))
            }
            Command::SetRate { per_second } => {
                self.arrivals.rate = per_second;
                self.arrivals.restart(now);
                Ok(match per_second {
                    0 => "evaluations come as fast as they go".into(),
                    rate => format!("{rate} evaluations a second"),
                })
            }
            Command::Limiter(command) => {
                self.mechanisms.limiter.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Bulkhead(command) => {
                self.mechanisms.bulkhead.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Retry(command) => {
                self.mechanisms.retry.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Breaker(command) => {
                self.mechanisms.breaker.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Flags(command) => {
                self.mechanisms.flags.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Cache(command) => Ok(self.mechanisms.cache.command(command, now, &mut self.out)),
            Command::Chaos(command) => {
                self.mechanisms.chaos.command(&command, by, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Slo(command) => {
                self.mechanisms.slo.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::I18n(command) => {
                let answer = self.mechanisms.translator.command(&command, &mut self.out);
                if let (Ok(_), I18nCommand::SetLocale { locale }) = (&answer, &command) {
                    self.mechanisms.flags.attribute("locale", locale);
                }
                answer.map_err(|error| refuse(&error))
            }
            Command::Ledger(command) => match &mut self.ledger {
                Some(ledger) => ledger.order(&command).map_err(Refusal),
                None => Err(Refusal("no ledger is kept: blockchain.enabled is false".into())),
            },
            Command::StartGameDay { name } => self.start_drill(&name),
            Command::AbortGameDay => {
                if self.abort_drill(by) {
                    Ok("the game day is aborted and everything it injected is taken back".into())
                } else {
                    Err(Refusal("no game day is running".into()))
                }
            }
            Command::ExtendGameDay => match &mut self.director {
                Some(director) => director.extend().map_err(Refusal),
                None => Err(Refusal("no game day is running".into())),
            },
            Command::Stop => {
                self.halt();
                Ok("the session ends".into())
            }
        }
    }

    fn start_drill(&mut self, name: &str) -> Result<String, Refusal> {
        if let Some(director) = &self.director {
            return Err(Refusal(format!("game day {} is running; abort it first", director.scenario())));
        }
        let Some(playbook) = self.playbook.clone() else {
            return Err(Refusal("this session has no game days".into()));
        };
        self.read_levels();
        if let Some(reason) = self.mechanisms.slo.refuses_game_days(self.now) {
            return Err(Refusal(reason));
        }
        let director = playbook.start(name, &self.moment()).map_err(Refusal)?;
        let scenario = director.scenario().to_owned();
        self.out.emit(Kind::ChaosGamedayStarted, || Payload::ChaosGamedayStarted { scenario: scenario.clone() });
        self.director = Some(director);
        self.direct();
        Ok(format!("game day {scenario} begins"))
    }

    /// Puts the answers for these numbers into the cache, the last ones as far as it has room: before the first
    /// evaluation, for a cache that shall not begin cold.
    pub fn warm(&mut self, numbers: &[i64]) {
        self.out.now = self.now;
        self.mechanisms.cache.warm_with(numbers, self.now, &mut self.out);
    }

    /// Ends the session once the running game day has come to its verdict.
    pub const fn stop_after_drill(&mut self) {
        self.stop_after_drill = true;
    }

    /// Takes back whatever fault injection does now: for drivers that end a session from outside.
    pub fn disarm(&mut self, by: &str) {
        self.close_drill(by);
        if self.mechanisms.chaos.armed().0 != 0 || self.mechanisms.chaos.active() > 0 {
            let _ = self.apply(by, Command::Chaos(ChaosCommand::RevertAll));
        }
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
