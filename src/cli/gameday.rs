//! `fizzops gameday`: list, show, validate and run drills.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::data::{DataArgs, LedgerArg};
use super::ledger::Keeper;
use super::session::{ClockArgs, ConfigSource, Recording, load, recorded_scenarios, runtime, scenarios};
use super::{Exit, Failure, gameday_toolkit as toolkit};
use crate::domain::EventMask;
use crate::engine::director::Verdict;
use crate::engine::drive::{Pace, Sink, Sinks, spawn};
use crate::engine::{Command, Engine, Frame, Options, Settings, WallClock, WorkloadKind};
use crate::gameday::report::{self, Report};
use crate::gameday::scenario::schema;
use crate::gameday::{Scenario, Scenarios};
use crate::recording::Given;

const AFTER_HELP: &str = "\
Examples:
  fizzops gameday list
  fizzops gameday run modulo_meltdown --virtual --seed 7
  fizzops gameday run ./my-drill.yaml --record drill.fizz --report html drill.html
  fizzops gameday run retry_storm --virtual --repeat 20 --vary-seed --report junit drill.xml
  fizzops gameday schema > scenario.schema.json
  fizzops gameday run experiment.json --journal journal.json
  fizzops gameday export modulo_meltdown --output meltdown.json

The verdict decides the exit code: 0 held, 1 not held, inconclusive or aborted, 5 never ran, 130 interrupted. A first
Ctrl-C takes everything back and sees whether the steady state returns, a second one ends at once.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct GamedayArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// List the scenarios
    List,
    /// Show what a scenario does, teaches and expects
    Show {
        /// A scenario's name, or a file
        name: String,
    },
    /// Check a scenario file
    Validate {
        /// The file
        file: PathBuf,
    },
    /// Print the JSON Schema of scenario files
    Schema,
    /// Run a scenario or a Chaos Toolkit experiment to its verdict
    #[command(after_help = AFTER_HELP)]
    Run(Box<RunArgs>),
    /// Check a Chaos Toolkit experiment and write it as a scenario that `gameday run` runs
    Import(toolkit::ImportArgs),
    /// Write a scenario as a Chaos Toolkit experiment that `chaos run` runs
    Export(toolkit::ExportArgs),
    /// What a Chaos Toolkit journal comes to, as an exit code
    Verdict(toolkit::VerdictArgs),
}

/// The formats of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Html,
    Markdown,
    Json,
    Junit,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// A scenario's name, or a file
    name: String,
    #[command(flatten)]
    clock: ClockArgs,
    #[command(flatten)]
    source: ConfigSource,
    /// Evaluations a second [default: as fast as they go on the virtual clock, else 1000]
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// The first number; the drill counts up from it
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    start: i64,
    /// Record the session to FILE
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    ledger: LedgerArg,
    /// Write a report: html, md, json or junit (repeatable)
    #[arg(long, num_args = 2, value_names = ["FORMAT", "FILE"])]
    report: Vec<String>,
    /// Write the distribution of response times as HdrHistogram's tools read it
    #[arg(long, value_name = "FILE")]
    histogram: Option<PathBuf>,
    /// Times as fast as on the wall, on the virtual clock [default: as fast as it goes]
    #[arg(long, value_name = "TIMES", requires = "simulated", value_parser = positive)]
    speed: Option<f64>,
    /// Run it N times, and tell how often it came to which verdict
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    repeat: u64,
    /// With --repeat: another seed each time, counted up from the first one
    #[arg(long)]
    vary_seed: bool,
    /// Write Chaos Toolkit's journal to FILE
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Keep every evaluation and every operation in the durable journal
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    dir: super::data::DataDirArg,
    /// Only the verdict, without the post-mortem
    #[arg(long, short)]
    quiet: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(times) if times > 0.0 && times.is_finite() => Ok(times),
        _ => Err("give a number above 0, e.g. 10".into()),
    }
}

/// Runs.
pub fn main(args: &GamedayArgs) -> Result<Exit, Failure> {
    match &args.command {
        Sub::List => {
            let known = scenarios()?;
            let lines = known
                .all()
                .iter()
                .map(|scenario| format!("{:<26} {:<24} {}\n", scenario.name, scenario.length(), scenario.title));
            super::output::print(&lines.collect::<String>())
        }
        Sub::Show { name } => {
            let mut known = scenarios()?;
            let scenario = find(&mut known, name)?;
            super::output::print(&show(&scenario))
        }
        Sub::Validate { file } if toolkit::names_experiment(&file.to_string_lossy()) => toolkit::validate(file),
        Sub::Validate { file } => {
            let scenario = scenarios()?.add_file(file)?.clone();
            let phases = scenario.phases.len();
            let plural = if phases == 1 { "" } else { "s" };
            super::output::print(&format!(
                "{}: {} is a valid scenario of {phases} phase{plural}, {}\n",
                file.display(),
                scenario.name,
                scenario.length()
            ))
        }
        Sub::Schema => super::output::print(&format!("{:#}\n", schema())),
        Sub::Run(args) if toolkit::names_experiment(&args.name) => experiment(args),
        Sub::Run(args) => run(args),
        Sub::Import(args) => toolkit::import(args),
        Sub::Export(args) => toolkit::export(args, &find(&mut scenarios()?, &args.name)?),
        Sub::Verdict(args) => toolkit::verdict(args),
    }
}

fn find(known: &mut Scenarios, name: &str) -> Result<Scenario, Failure> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    if is_file { Ok(known.add_file(path)?.clone()) } else { Ok(known.get(name)?.clone()) }
}

fn show(scenario: &Scenario) -> String {
    let view = scenario.view(String::new());
    let mut text = format!(
        "{}: {}\n\n{}\n\nteaches      {}\nhypothesis   {}\nannounces    {}\ntakes        {}\n",
        view.name,
        view.title,
        view.description,
        view.teaches,
        scenario.hypothesis.trim(),
        scenario.announces.verdict().text(),
        view.length
    );
    if !view.tags.is_empty() {
        text.push_str(&format!("tags         {}\n", view.tags.join(", ")));
    }
    text.push_str("steady state\n");
    scenario.steady_state.expect.iter().for_each(|check| text.push_str(&format!("  {}\n", check.text())));
    text.push_str("phases\n");
    view.phases.iter().for_each(|phase| text.push_str(&format!("  {phase}\n")));
    if let Some(stop) = &scenario.stop_when {
        text.push_str(&format!("stops when\n  {stop}\n"));
    }
    text.push_str("expects\n");
    view.expectations.iter().for_each(|expectation| text.push_str(&format!("  {expectation}\n")));
    text
}

/// The reports that are asked for: format and file.
fn reports(args: &RunArgs) -> Result<Vec<(Format, PathBuf)>, Failure> {
    let pairs = args.report.chunks(2).map(|pair| {
        let [format, file] = pair else { return Err(Failure::usage("--report takes a format and a file")) };
        let format = match format.as_str() {
            "html" => Format::Html,
            "md" | "markdown" => Format::Markdown,
            "json" => Format::Json,
            "junit" | "xml" => Format::Junit,
            other => {
                return Err(Failure::usage(format!("--report {other}: there are html, md, json and junit")));
            }
        };
        let path = PathBuf::from(file);
        // Told before anything runs, not after a long drill.
        std::fs::File::create(&path).map_err(|error| Failure::write(&path, &error))?;
        Ok((format, path))
    });
    pairs.collect()
}

/// One run: what is reported of it, and whether it was interrupted.
struct Ran {
    report: Report,
    interrupted: bool,
    responses: String,
}

/// Runs a Chaos Toolkit experiment, which has processes and calls in place of an engine.
fn experiment(args: &RunArgs) -> Result<Exit, Failure> {
    let without_meaning = [
        ("--seed", args.clock.seed.is_some()),
        ("--virtual", args.clock.simulated),
        ("--rate", args.rate.is_some()),
        ("--record", args.record.is_some()),
        ("--ledger", args.ledger.is_given()),
    ];
    if let Some((flag, _)) = without_meaning.into_iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{flag}: a Chaos Toolkit experiment runs no engine; --journal FILE keeps its run"
        )));
    }
    toolkit::run(Path::new(&args.name), args.journal.as_deref(), args.quiet)
}

fn run(args: &RunArgs) -> Result<Exit, Failure> {
    // First, so that no journal of an earlier run is taken for this one's.
    let journal = args.journal.as_deref().map(toolkit::DrillJournal::create).transpose()?;
    let mut known = scenarios()?;
    let scenario = find(&mut known, &args.name)?;
    let wanted = reports(args)?;
    let first = args.clock.seed().0;
    let mut ran = Vec::new();
    for round in 0..args.repeat {
        let seed = if args.vary_seed { first.wrapping_add(round) } else { first };
        let one = once(args, &known, &scenario, seed)?;
        let interrupted = one.interrupted;
        if args.repeat > 1 && !args.quiet {
            let line = format!("seed {seed}: {} ({})\n", one.report.verdict.text(), one.report.reason);
            super::output::print(&line)?;
        }
        ran.push(one);
        if interrupted {
            break;
        }
    }
    let Some(last) = ran.last() else { return Err(Failure::usage("--repeat 0 runs nothing")) };
    let interrupted = last.interrupted;
    let all: Vec<&Report> = ran.iter().map(|one| &one.report).collect();
    write_reports(&wanted, &all)?;
    if let Some(path) = &args.histogram {
        std::fs::write(path, &last.responses).map_err(|error| Failure::write(path, &error))?;
    }
    let text = match (args.repeat, args.quiet) {
        (1, true) => format!("{}: {} ({})\n", last.report.scenario, last.report.verdict.text(), last.report.reason),
        (1, false) => report::text(&last.report),
        _ => frequencies(&all),
    };
    super::output::print(&text)?;
    let worst = |verdict| all.iter().any(|report| report.verdict == verdict);
    let exit = match () {
        () if interrupted => Exit::Interrupted,
        () if all.iter().all(|report| report.verdict == Verdict::Held) => Exit::Done,
        () if worst(Verdict::NeverRan) => Exit::NeverRan,
        () => Exit::NotHeld,
    };
    journal.map_or(Ok(()), |journal| {
        journal.of(&scenario, &args.name, last.report.seed).finish(exit, &last.report.reason)
    })?;
    Ok(exit)
}

/// How often a scenario came to which verdict.
fn frequencies(all: &[&Report]) -> String {
    let name = all.first().map_or("", |report| report.scenario.as_str());
    let mut text = format!("{name}: {} runs\n", all.len());
    let verdicts = [Verdict::Held, Verdict::NotHeld, Verdict::Inconclusive, Verdict::Aborted, Verdict::NeverRan];
    for verdict in verdicts {
        let count = all.iter().filter(|report| report.verdict == verdict).count();
        if count > 0 {
            let share = count as f64 * 100.0 / all.len() as f64;
            text.push_str(&format!("  {:<13} {count:>5}  {share:>5.1} %\n", verdict.text()));
        }
    }
    text
}

fn write_reports(wanted: &[(Format, PathBuf)], all: &[&Report]) -> Result<(), Failure> {
    // Where one is told, it is the first that did not hold.
    let told = all.iter().find(|report| report.verdict != Verdict::Held).or_else(|| all.last());
    for (format, path) in wanted {
        let text = match (format, told) {
            (_, None) => continue,
            (Format::Html, Some(one)) => report::html(one),
            (Format::Markdown, Some(one)) => report::markdown(one),
            (Format::Json, Some(one)) if all.len() == 1 => one.json(),
            (Format::Json, _) => serde_json::to_string_pretty(all).unwrap_or_default() + "\n",
            (Format::Junit, _) => report::junit(all).map_err(|error| Failure::write(path, &error))?,
        };
        std::fs::write(path, text).map_err(|error| Failure::write(path, &error))?;
    }
    Ok(())
}

fn once(args: &RunArgs, known: &Scenarios, scenario: &Scenario, seed: u64) -> Result<Ran, Failure> {
    let mut base = Settings::everything();
    base.workload.kind = WorkloadKind::Range;
    (base.workload.from, base.workload.to) = (args.start, i64::MAX);
    base.workload.rate = if args.clock.simulated { 0 } else { 1_000 };
    // A drill counts up, one evaluation after another, so that its phases follow each other exactly.
    base.engine.max_concurrent_evaluations = 1;
    // Checked when the scenario was read, on another base that differs in the workload only.
    let base = scenario.settings(&base).map_err(|(_, problem)| Failure::usage(problem))?;
    let rate = args.rate.map(|rate| ("workload.rate", rate.to_string(), "--rate"));
    let mut settings = load(&base, &args.source, &rate.into_iter().collect::<Vec<_>>())?.value;
    // Nothing of the engine's, and of no recording.
    settings.rbac.users.clear();
    let mut keeper = args.ledger.open(&args.dir, &settings)?;
    let start = keeper.as_ref().map(Keeper::start).unwrap_or_default();
    let data = DataArgs::journalled(args.dir.clone(), args.keep);
    let given = Given {
        scenarios: recorded_scenarios(known),
        stop_after_drill: true,
        ledger: start.clone(),
        ..Given::default()
    };
    let progress = Progress::new(!args.quiet && args.repeat == 1);
    // Without a terminal and a file nobody takes frames, and none are made.
    let watched = progress.is_some() || args.record.is_some() || data.keeps();
    let options = Options {
        wall: (!args.clock.simulated).then(WallClock::start),
        events: if watched { EventMask::operations() } else { EventMask::NONE },
        event_limit: 65_536,
        leaves: keeper.is_some(),
        ledger: start,
        calls: args.record.is_some(),
        definitions: super::flags::definitions(&settings)?,
        keep: data.keeps(),
        playbook: Some(Arc::new(known.clone())),
        ..Options::simulated(seed)
    };
    let mut engine = Engine::new(&settings, options)?;
    let info = engine.info().clone();
    let recording = args.record.as_ref().map(|path| Recording::create(path, &info, &settings, given)).transpose()?;
    let kept = data.open(&mut engine, &settings, keeper.as_mut().and_then(Keeper::take_dir))?;
    let mut record = kept.frames(recording.as_ref().map(Recording::sink));
    let start = Command::StartGameDay { name: scenario.name.clone() };
    engine.apply("command line", start).map_err(|refusal| Failure::usage(refusal.to_string()))?;
    engine.stop_after_drill();
    let frame = match progress {
        None => record,
        Some(progress) => Some(Box::new(move |frame: Arc<Frame>| {
            progress.show(&frame);
            record.as_mut().map_or(ControlFlow::Continue(()), |record| record(frame))
        }) as Sink<Arc<Frame>>),
    };
    let sinks = Sinks { frame, kept: kept.sink(), ledger: keeper.as_mut().and_then(Keeper::sink), ..Sinks::default() };
    let pace = args.speed.map_or(Pace::Unpaced, Pace::Times);
    let (mut engine, interrupted) = runtime()?.block_on(until_verdict(engine, pace, sinks))?;
    if let Some(keeper) = keeper {
        keeper.finish()?;
    }
    if let Some(recording) = recording {
        recording.finish(engine.ledger_head())?;
    }
    engine.hide_journal();
    kept.finish(args.quiet)?;
    let Some(drill) = engine.drill() else {
        return Err(Failure::new(Exit::NeverRan, None, "the drill left no result"));
    };
    let head = engine.ledger_head();
    let report = Report::new(&info, &drill, &engine.snapshot(), head);
    Ok(Ran { report, interrupted, responses: engine.responses().distribution() })
}

/// Runs the engine until the drill is over. A first interrupt aborts the drill, which still sees whether the steady state
/// returns; a second one ends the session.
async fn until_verdict(engine: Engine, pace: Pace, sinks: Sinks) -> Result<(Engine, bool), Failure> {
    let (remote, mut task) = spawn(engine, pace, sinks);
    let mut interrupts = 0;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let engine = loop {
        let terminated = async {
            match &mut terminate {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            engine = &mut task => break engine,
            _ = tokio::signal::ctrl_c() => interrupts += 1,
            _ = terminated => interrupts += 1,
        }
        if interrupts == 1 {
            remote.send("interrupt", Command::AbortGameDay);
            eprintln!(
                "everything is taken back; watching whether the steady state returns (interrupt again to end now)"
            );
        } else {
            remote.send("interrupt", Command::Stop);
        }
    };
    let engine = engine.map_err(|error| Failure::new(Exit::Usage, None, format!("the engine stopped: {error}")))?;
    Ok((engine, interrupts > 0))
}

/// The running phase, on a terminal.
struct Progress {
    bar: indicatif::ProgressBar,
}

impl Progress {
    fn new(wanted: bool) -> Option<Self> {
        use std::io::IsTerminal as _;
        if !wanted || !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = indicatif::ProgressBar::new(1_000);
        if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        Some(Self { bar })
    }

    fn show(&self, frame: &Frame) {
        let Some(drill) = &frame.snapshot.drill else { return };
        if drill.ended.is_some() {
            self.bar.finish_and_clear();
        } else if let Some(phase) = drill.phases.get(drill.phase) {
            self.bar.set_position((phase.done * 1e3) as u64);
            let place = format!("{} of {}", drill.phase + 1, drill.phases.len());
            self.bar.set_message(format!("{} ({place}): {}", phase.name, phase.armed));
        }
    }
}
