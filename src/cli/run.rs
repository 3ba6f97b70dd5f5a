//! `fizzops run`: evaluate without a console. Results alone go to stdout.

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;
use indicatif::{ProgressBar, ProgressStyle};

use super::data::LedgerArg;
use super::ledger::Keeper;
use super::output::{Format, Results};
use super::session::{ClockArgs, ConfigSource, Recording, load, runtime};
use super::token::{Identity, identify};
use super::{Exit, Failure, summary};
use crate::domain::{EventMask, Kind};
use crate::engine::drive::{Pace, Sink, Sinks, spawn};
use crate::engine::seed::Stream;
use crate::engine::workload::{Feed, Next, WorkloadKind};
use crate::engine::{Command, Engine, Frame, InputError, Options, Seed, Settings, WallClock, Workload};
use crate::mechanisms::i18n::Catalogue;
use crate::mechanisms::strategy::StrategyKind;
use crate::recording::{Events, Given};

const AFTER_HELP: &str = "\
Examples:
  fizzops run --range 1 100 --no-summary            the classic hundred lines
  fizzops run --range 1 30 --format csv > out.csv   results to a file, the summary on the terminal
  seq 5 50 | fizzops run --input -                  numbers from standard input
  fizzops run --all --chaos-level 5 --virtual --seed 7 --range 1 100000 --format ndjson
                                                    everything on, repeatable byte for byte
  fizzops run --draw zipf --count 5000 --cache --sla --sla-dashboard";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RunArgs {
    /// Evaluate START to END [default: 1 100]
    #[arg(long, num_args = 2, value_names = ["START", "END"], allow_negative_numbers = true, conflicts_with = "input")]
    range: Option<Vec<i64>>,
    /// Evaluate the numbers in FILE, one a line; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "draw")]
    input: Option<PathBuf>,
    /// Draw numbers of the range at random instead, --count of them
    #[arg(long, value_parser = PossibleValuesParser::new(["uniform", "zipf"]), requires = "count")]
    draw: Option<String>,
    /// Evaluate at most N numbers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    format: Format,
    /// What answers
    #[arg(long, value_parser = PossibleValuesParser::new(StrategyKind::ALL.map(StrategyKind::name)))]
    strategy: Option<String>,
    /// Evaluations a second [default: as fast as they go]
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    #[command(flatten)]
    clock: ClockArgs,
    #[command(flatten)]
    source: ConfigSource,
    /// Turn every mechanism on (chaos only with --chaos or --chaos-level)
    #[arg(long)]
    all: bool,
    /// Refuse calls after failures in a row
    #[arg(long)]
    circuit_breaker: bool,
    /// Show the breaker afterwards
    #[arg(long)]
    circuit_status: bool,
    /// Keep answers
    #[arg(long)]
    cache: bool,
    /// Which answer leaves a full cache: lru, lfu, fifo, random, clock, 2q, arc, lirs, sieve, s3_fifo or w_tinylfu
    #[arg(long, value_name = "POLICY")]
    cache_policy: Option<String>,
    /// How many answers are kept
    #[arg(long, value_name = "N")]
    cache_size: Option<usize>,
    /// Fill the cache with the answers for the range beforehand
    #[arg(long)]
    cache_warm: bool,
    /// Fill the cache with the answers for the numbers that a recorded session asked for last
    #[arg(long, value_name = "RECORDING")]
    cache_warm_from: Option<PathBuf>,
    /// Show the cache afterwards
    #[arg(long)]
    cache_stats: bool,
    /// Inject faults
    #[arg(long)]
    chaos: bool,
    /// How many: 1 (5 %) to 5 (80 %); turns chaos on
    #[arg(long, value_name = "1..5")]
    chaos_level: Option<u8>,
    /// Watch service levels
    #[arg(long)]
    sla: bool,
    /// Show them afterwards
    #[arg(long)]
    sla_dashboard: bool,
    /// Exit with 1 if a service level is below its target at the end
    #[arg(long)]
    slo_gate: bool,
    /// Show who is on call
    #[arg(long)]
    on_call: bool,
    /// Let flags decide which rules are on
    #[arg(long)]
    feature_flags: bool,
    /// Set a flag, e.g. --flag fizz_rule_enabled=off (repeatable); turns flags on
    #[arg(long, value_name = "NAME=VALUE")]
    flag: Vec<String>,
    /// List the flags and stop
    #[arg(long)]
    list_flags: bool,
    /// Keep domain events
    #[arg(long)]
    event_sourcing: bool,
    /// Keep an audit ledger
    #[arg(long)]
    blockchain: bool,
    /// How many zero digits each block's hash begins with, 0 to 6
    #[arg(long, value_name = "N")]
    mining_difficulty: Option<u32>,
    #[command(flatten)]
    ledger: LedgerArg,
    /// Trace a sample of the evaluations
    #[arg(long)]
    otel: bool,
    /// Write outputs in this language
    #[arg(long, value_name = "CODE")]
    locale: Option<String>,
    /// List the languages and stop
    #[arg(long)]
    list_locales: bool,
    /// Who evaluates; turns authorization on
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// In which role; turns authorization on
    #[arg(long)]
    role: Option<String>,
    /// Come in with the token in FILE, instead of $EFP_TOKEN; turns authorization on
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Add sequence, source, time, faults and correctness to JSON records
    #[arg(long)]
    metadata: bool,
    /// Tell every event on stderr
    #[arg(long, short)]
    verbose: bool,
    /// Record the session to FILE
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    data: super::data::DataArgs,
    /// Without the line that says what begins
    #[arg(long)]
    no_banner: bool,
    /// Without the summary
    #[arg(long)]
    no_summary: bool,
    /// Nothing on stderr but errors
    #[arg(long, short)]
    quiet: bool,
}

impl RunArgs {
    fn settings(&self) -> Result<Settings, Failure> {
        let mut base = Settings::default();
        base.workload.kind = WorkloadKind::Range;
        (base.workload.from, base.workload.to, base.workload.rate) = (1, 100, 0);
        if self.all {
            base.turn_everything_on();
        }
        let on = |wanted: bool, path, flag| wanted.then(|| (path, String::from("true"), flag));
        let text = |value: &Option<String>, path, flag| value.as_ref().map(|value| (path, quoted(value), flag));
        let role = self.role.is_some() || self.user.is_some();
        let role_text = match &self.role {
            Some(role) => {
                let role: crate::mechanisms::auth::Role =
                    role.parse().map_err(|error| Failure::usage(format!("--role: {error}")))?;
                Some(role.name().to_owned())
            }
            None => None,
        };
        let range = self.range.as_deref().unwrap_or_default();
        let chaos = self.chaos || self.chaos_level.is_some();
        let ledger = self.blockchain || self.ledger.is_given() || self.mining_difficulty.is_some();
        let warm = self.cache_warm || self.cache_warm_from.is_some();
        let policy = self.cache_policy.is_some() || self.cache_size.is_some() || warm;
        let flags = [
            range.first().map(|from| ("workload.from", from.to_string(), "--range")),
            range.get(1).map(|to| ("workload.to", to.to_string(), "--range")),
            // A batch ends: whatever the file draws for the console, numbers are counted up unless draws are asked for.
            text(&Some(self.draw.clone().unwrap_or_else(|| "range".into())), "workload.kind", "--draw"),
            self.rate.map(|rate| ("workload.rate", rate.to_string(), "--rate")),
            text(&self.strategy, "engine.strategy", "--strategy"),
            on(self.circuit_breaker || self.circuit_status, "circuit_breaker.enabled", "--circuit-breaker"),
            on(self.cache || self.cache_stats || policy, "cache.enabled", "--cache"),
            text(&self.cache_policy, "cache.eviction_policy", "--cache-policy"),
            self.cache_size.map(|size| ("cache.max_size", size.to_string(), "--cache-size")),
            on(self.cache_warm, "cache.warming.enabled", "--cache-warm"),
            on(chaos, "chaos.enabled", "--chaos"),
            self.chaos_level.map(|level| ("chaos.level", level.to_string(), "--chaos-level")),
            on(self.sla || self.sla_dashboard || self.slo_gate || self.on_call, "sla.enabled", "--sla"),
            on(self.feature_flags || !self.flag.is_empty(), "feature_flags.enabled", "--feature-flags"),
            on(self.event_sourcing, "event_sourcing.enabled", "--event-sourcing"),
            on(ledger, "blockchain.enabled", "--blockchain"),
            self.mining_difficulty.map(|digits| ("blockchain.difficulty", digits.to_string(), "--mining-difficulty")),
            on(self.otel, "otel.enabled", "--otel"),
            text(&self.locale, "i18n.locale", "--locale"),
            on(role, "rbac.enabled", "--role"),
            text(&self.user, "rbac.user", "--user"),
            text(&role_text, "rbac.role", "--role"),
        ];
        let flags: Vec<_> = flags.into_iter().flatten().collect();
        let mut settings = load(&base, &self.source, &flags)?.value;
        if self.cache_warm && self.range.is_some() {
            settings.cache.warming.range_start = settings.workload.from;
            settings.cache.warming.range_end = settings.workload.to;
        }
        Ok(settings)
    }

    /// What a recording says of the session beside its settings.
    fn given(&self) -> Given {
        let outside = |flag| format!("it was given numbers by {flag}, which are not in the recording");
        let input = self.input.as_ref().map(|_| outside("--input"));
        Given {
            events: if self.verbose { Events::All } else { Events::Operations },
            flags: self.flag.clone(),
            count: self.count,
            unrepeatable: input.or_else(|| self.cache_warm_from.as_ref().map(|_| outside("--cache-warm-from"))),
            ..Given::default()
        }
    }

    fn workload(&self, settings: &Settings, seed: Seed) -> Result<Option<Workload>, Failure> {
        let rng = seed.stream(Stream::Workload);
        let (mut feed, text): (Feed, String) = match (&self.input, self.count) {
            (Some(path), _) => (numbers(path, !self.clock.simulated)?, format!("numbers from {}", path.display())),
            (None, Some(count)) => {
                let workload = Workload::counted(&settings.workload, count, rng);
                return Ok(Some(workload.map_err(crate::engine::EngineError::from)?));
            }
            (None, None) => return Ok(None),
        };
        if let Some(count) = self.count {
            let mut left = count;
            let mut all = feed;
            feed = Box::new(move || {
                if left == 0 {
                    return Next::End;
                }
                let next = all();
                left -= u64::from(matches!(next, Next::Number(_)));
                next
            });
        }
        Ok(Some(Workload::feed(feed, text, rng)))
    }
}

/// A text as a YAML scalar.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// No line of a number list is longer.
const LINE_LIMIT: u64 = 4096;

/// Numbers from a file or standard input, read by a thread of its own so that a slow writer holds nobody up.
/// On the wall clock the feed says "later" when there is none yet; on the virtual clock it waits.
fn numbers(path: &std::path::Path, live: bool) -> Result<Feed, Failure> {
    let (name, input): (String, Box<dyn Read + Send>) = if path.as_os_str() == "-" {
        ("standard input".into(), Box::new(io::stdin()))
    } else {
        let file = std::fs::File::open(path)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
        (path.display().to_string(), Box::new(file))
    };
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<Next>>(16);
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        let mut batch = Vec::new();
        let mut text = Vec::new();
        for line in 1u64.. {
            text.clear();
            let broken = |column: usize, problem: String| {
                Next::Broken(InputError { place: format!("{name}:{line}:{column}"), problem })
            };
            let next = match input.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut text) {
                Err(error) => broken(1, format!("cannot be read: {error}")),
                Ok(0) => Next::End,
                Ok(_) => match number(&text) {
                    Ok(None) => continue,
                    Ok(Some(number)) => Next::Number(number),
                    Err((column, problem)) => broken(column, problem),
                },
            };
            let last = !matches!(next, Next::Number(_));
            batch.push(next);
            // What a terminal or a pipe gives is passed on at once; a file in batches.
            let full = batch.len() >= 1024 || input.buffer().is_empty();
            let unwanted = (last || full) && sender.send(std::mem::take(&mut batch)).is_err();
            if unwanted || last {
                return;
            }
        }
    });
    let mut ready = Vec::new().into_iter();
    Ok(Box::new(move || {
        loop {
            if let Some(next) = ready.next() {
                return next;
            }
            let received = if live {
                match receiver.try_recv() {
                    Err(std::sync::mpsc::TryRecvError::Empty) => return Next::Later,
                    received => received.ok(),
                }
            } else {
                receiver.recv().ok()
            };
            match received {
                Some(batch) => ready = batch.into_iter(),
                None => return Next::End,
            }
        }
    }))
}

/// The number on a line; `None` for an empty one. The error has the column, from 1.
fn number(line: &[u8]) -> Result<Option<i64>, (usize, String)> {
    let text = String::from_utf8_lossy(line);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(None);
    }
    let column = text.len() - text.trim_start().len() + 1;
    trimmed.parse().map(Some).map_err(|_| {
        let shown: String = trimmed.chars().take(40).collect();
        (column, format!("`{shown}` is no number; each line has one whole number from {} to {}", i64::MIN, i64::MAX))
    })
}

/// Runs.
pub fn main(args: &RunArgs) -> Result<Exit, Failure> {
    if args.list_locales {
        return super::output::print(&locales()?);
    }
    let mut settings = args.settings()?;
    let identity = identify(&settings, &args.data.dir, args.token_file.as_deref(), args.user.as_deref())
        .map_err(|failure| args.ledger.refused(&args.data.dir, &settings, args.user.as_deref(), failure))?;
    // Nothing of the engine's, and of no recording.
    settings.rbac.users.clear();
    match &identity {
        Some(identity) => {
            settings.rbac.enabled = true;
            (settings.rbac.user, settings.rbac.role) = (identity.user.clone(), identity.role);
        }
        None if !args.quiet && (args.user.is_some() || args.role.is_some()) => {
            eprintln!(
                "warning: {} is believed to be {}; a token would prove it",
                settings.rbac.user,
                settings.rbac.role.name()
            );
        }
        None => {}
    }
    let seed = args.clock.seed();
    let events = if args.verbose {
        EventMask::ALL
    } else if args.record.is_some() || args.data.journals() {
        EventMask::operations()
    } else {
        EventMask::NONE
    };
    let mut keeper = args.ledger.open(&args.data.dir, &settings)?;
    let start = keeper.as_ref().map(Keeper::start).unwrap_or_default();
    let authenticated = identity.and_then(Identity::by_token);
    let given = Given { ledger: start.clone(), authenticated: authenticated.clone(), ..args.given() };
    let options = Options {
        seed,
        wall: (!args.clock.simulated).then(WallClock::start),
        workload: args.workload(&settings, seed)?,
        events,
        event_limit: if args.verbose { usize::MAX } else { 65_536 },
        results: true,
        leaves: keeper.is_some(),
        ledger: start,
        authenticated,
        calls: args.record.is_some(),
        keep: args.data.keeps(),
        readings: None,
        flags: args.flag.clone(),
        definitions: super::flags::definitions(&settings)?,
        playbook: None,
    };
    let warm = args.cache_warm_from.as_deref().map(super::cache::recorded_numbers).transpose()?;
    let mut engine = Engine::new(&settings, options)?;
    if let Some(numbers) = warm {
        engine.warm(&numbers);
    }
    if args.list_flags {
        return super::output::print(&summary::flags(&engine.snapshot().flags));
    }
    let info = engine.info().clone();
    let held = keeper.as_mut().and_then(Keeper::take_dir);
    let kept = args.data.open(&mut engine, &settings, held)?;
    let recording = args.record.as_ref().map(|path| Recording::create(path, &info, &settings, given)).transpose()?;
    if !args.no_banner && !args.quiet {
        eprintln!("fizzops: {} by {}, {} clock, seed {}", info.workload, info.strategy, info.clock.name(), info.seed);
    }
    let rules = Arc::clone(engine.rules());
    let out = Results::stdout(args.format, args.metadata, seed.0).map_err(|error| stdout(&error))?;
    let out = Arc::new(Mutex::new((out, None::<io::Error>)));
    let result: Sink<_> = {
        let out = Arc::clone(&out);
        Box::new(move |evaluation| {
            let Ok(mut out) = out.lock() else { return ControlFlow::Break(()) };
            match out.0.record(&evaluation, &rules) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    out.1.get_or_insert(error);
                    ControlFlow::Break(())
                }
            }
        })
    };
    let bar = progress(args, info.total);
    let sinks = Sinks {
        frame: kept.frames(frames(args.verbose, recording.as_ref())),
        kept: kept.sink(),
        result: Some(result),
        ledger: keeper.as_mut().and_then(Keeper::sink),
        progress: bar.as_ref().map(|bar| advance(bar.clone())),
    };
    let began = Instant::now();
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut engine = runtime()?.block_on(async {
        let (remote, task) = spawn(engine, Pace::Unpaced, sinks);
        let watch = {
            let interrupted = Arc::clone(&interrupted);
            tokio::spawn(async move {
                if tokio::signal::ctrl_c().await.is_ok() {
                    interrupted.store(true, Ordering::SeqCst);
                    remote.send("interrupt", Command::Stop);
                }
                // The engine ends when every sender of commands is gone or it has finished; keep ours.
                std::future::pending::<()>().await;
            })
        };
        let engine = task.await;
        watch.abort();
        engine.map_err(|error| Failure::new(Exit::Usage, None, format!("the engine stopped: {error}")))
    })?;
    let took = began.elapsed();
    // Signed whatever becomes of the output.
    let signed = keeper.map_or(Ok(()), Keeper::finish);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    // Whatever becomes of stdout, what was brought is kept first.
    engine.hide_journal();
    let told = kept.finish(args.quiet);
    let (seconds, head) = (if args.clock.simulated { None } else { Some(took) }, engine.ledger_head());
    let summary = summary::of(&engine, seconds, head.clone());
    if let Ok(mut out) = out.lock() {
        let ended = match out.1.take() {
            None => out.0.finish((!args.no_summary).then_some(&summary)),
            Some(error) => Err(error),
        };
        match ended {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
            Err(error) => return Err(stdout(&error)),
        }
    }
    signed?;
    if let Some(recording) = recording {
        recording.finish(head)?;
    }
    told?;
    finish(args, &mut engine, &summary, took, interrupted.load(Ordering::SeqCst))
}

fn finish(
    args: &RunArgs,
    engine: &mut Engine,
    summary: &super::output::Summary,
    took: Duration,
    interrupted: bool,
) -> Result<Exit, Failure> {
    let snapshot = engine.snapshot();
    if !args.quiet {
        if !args.no_summary && !matches!(args.format, Format::Json | Format::Xml) {
            eprint!("{}", summary::text(summary, took));
        }
        if args.circuit_status {
            eprint!("{}", summary::breakers(&snapshot.breakers));
        }
        if args.cache_stats {
            eprint!("{}", summary::cache(&snapshot.cache));
        }
        if args.sla_dashboard {
            eprint!("{}", summary::slos(&snapshot.slos));
        }
        if args.on_call {
            let slos = &snapshot.slos;
            eprintln!("on call: {} ({}) until {}", slos.on_call, slos.team, slos.on_call_until);
        }
    }
    if let Some(error) = engine.input_error() {
        return Err(Failure::new(Exit::Usage, Some(crate::domain::ErrorCode::InvalidNumber), error.to_string()));
    }
    if interrupted {
        return Ok(Exit::Interrupted);
    }
    let missed = snapshot.slos.slos.iter().find(|slo| slo.session.compliance().is_some_and(|share| share < slo.target));
    match missed.filter(|_| args.slo_gate) {
        Some(slo) => {
            let share = slo.session.compliance().unwrap_or(1.0) * 100.0;
            eprintln!("SLO gate: {} is {share:.4} %, promised: {}", slo.name, slo.objective);
            Ok(Exit::NotHeld)
        }
        None => Ok(Exit::Done),
    }
}

fn stdout(error: &io::Error) -> Failure {
    Failure::usage(format!("stdout cannot be written: {error}"))
}

fn frames(verbose: bool, recording: Option<&Recording>) -> Option<Sink<Arc<Frame>>> {
    let mut record = recording.map(Recording::sink);
    if !verbose && record.is_none() {
        return None;
    }
    let operations = EventMask::operations();
    Some(Box::new(move |frame: Arc<Frame>| {
        if verbose {
            use std::io::Write as _;
            let mut err = io::BufWriter::new(io::stderr().lock());
            for event in &frame.events {
                let payload = serde_json::to_value(&event.payload).unwrap_or_default();
                // With stderr closed there is nobody to tell.
                let _ = writeln!(err, "{} {} {}", event.at, event.kind(), payload.get("payload").unwrap_or(&payload));
            }
        }
        match &mut record {
            None => ControlFlow::Continue(()),
            // What happens per evaluation is not recorded, even when it is told.
            Some(record) if verbose => {
                let mut frame = (*frame).clone();
                frame.events.retain(|event| operations.contains(event.kind()) || event.kind() == Kind::EventsDropped);
                record(Arc::new(frame))
            }
            Some(record) => record(frame),
        }
    }))
}

/// A progress bar on a terminal, for runs over a second.
fn progress(args: &RunArgs, total: Option<u64>) -> Option<ProgressBar> {
    let total = args.count.or(total)?;
    if args.quiet || args.verbose || !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{bar:30} {human_pos} of {human_len}  {per_sec}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    Some(bar)
}

fn advance(bar: ProgressBar) -> Box<dyn FnMut(u64) + Send> {
    let began = Instant::now();
    let mut drawn = began;
    Box::new(move |done| {
        let now = Instant::now();
        if now - began > Duration::from_secs(1) && now - drawn > Duration::from_millis(100) {
            bar.set_position(done);
            drawn = now;
        }
    })
}

fn locales() -> Result<String, Failure> {
    let catalogue = Catalogue::built_in().map_err(|error| Failure::usage(error.to_string()))?;
    let mut text = format!("{:<5} {:<14} {:<9} {:>4}  plural when\n", "code", "name", "fallback", "keys");
    for locale in catalogue.translations() {
        let fallback = locale.fallback.as_deref().unwrap_or("none");
        text.push_str(&format!(
            "{:<5} {:<14} {fallback:<9} {:>4}  {}\n",
            locale.locale,
            locale.name,
            locale.texts.len(),
            locale.plural.text()
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_one_number_or_an_error_with_its_column() {
        assert_eq!(number(b"  -7 \n"), Ok(Some(-7)));
        assert_eq!(number(b"\r\n"), Ok(None));
        assert_eq!(number(b"  seven").unwrap_err().0, 3);
        assert!(number(b"9223372036854775808").is_err());
        assert!(number(&[0xff, 0xfe]).is_err());
    }
}
