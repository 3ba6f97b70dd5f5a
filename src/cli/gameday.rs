//! `fizzops gameday`: list, show, validate and run drills.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::session::{ClockArgs, ConfigSource, Recording, WriteError, ledger_sink, load, runtime, scenarios};
use super::{Exit, Failure};
use crate::domain::EventMask;
use crate::engine::director::{DrillView, Verdict};
use crate::engine::drive::{Pace, Sinks, spawn};
use crate::engine::{Command, Engine, Options, Settings, WallClock, WorkloadKind};
use crate::gameday::{Scenario, Scenarios, post_mortem};

const AFTER_HELP: &str = "\
Examples:
  fizzops gameday list
  fizzops gameday run modulo_meltdown --virtual --seed 7
  fizzops gameday run ./my-drill.yaml --record drill.fizz

The verdict decides the exit code: 0 held, 1 not held or aborted, 5 never ran, 130 interrupted.";

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
    /// Run a scenario to its verdict
    Run(RunArgs),
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
    /// Write the ledger to FILE
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    #[command(flatten)]
    data: super::data::DataArgs,
    /// Only the verdict, without the post-mortem
    #[arg(long, short)]
    quiet: bool,
}

/// Runs.
pub fn main(args: &GamedayArgs) -> Result<Exit, Failure> {
    match &args.command {
        Sub::List => {
            let known = scenarios()?;
            let lines = known.all().iter().map(|scenario| {
                format!("{:<20} {:>4} evaluations  {}\n", scenario.name, scenario.evaluations(), scenario.title)
            });
            super::output::print(&lines.collect::<String>())
        }
        Sub::Show { name } => {
            let mut known = scenarios()?;
            let scenario = find(&mut known, name)?;
            super::output::print(&show(&scenario))
        }
        Sub::Validate { file } => {
            let scenario = scenarios()?.add_file(file)?.clone();
            let phases = scenario.phases.len();
            super::output::print(&format!(
                "{}: {} is a valid scenario of {phases} phases and {} evaluations\n",
                file.display(),
                scenario.name,
                scenario.evaluations()
            ))
        }
        Sub::Run(args) => run(args),
    }
}

fn find(known: &mut Scenarios, name: &str) -> Result<Scenario, Failure> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    if is_file { Ok(known.add_file(path)?.clone()) } else { Ok(known.get(name)?.clone()) }
}

fn show(scenario: &Scenario) -> String {
    let view = scenario.view();
    let mut text =
        format!("{}: {}\n\n{}\n\nteaches: {}\n\nphases\n", view.name, view.title, view.description, view.teaches);
    view.phases.iter().for_each(|phase| text.push_str(&format!("  {phase}\n")));
    text.push_str("expects\n");
    view.expectations.iter().for_each(|expectation| text.push_str(&format!("  {expectation}\n")));
    text
}

fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let mut known = scenarios()?;
    let scenario = find(&mut known, &args.name)?;
    let mut base = Settings::everything();
    base.workload.kind = WorkloadKind::Range;
    (base.workload.from, base.workload.to) = (args.start, i64::MAX);
    base.workload.rate = if args.clock.simulated { 0 } else { 1_000 };
    // A drill counts up, one evaluation after another, so that its phases follow each other exactly.
    base.engine.max_concurrent_evaluations = 1;
    let rate = args.rate.map(|rate| ("workload.rate", rate.to_string(), "--rate"));
    let settings = load(&base, &args.source, &rate.into_iter().collect::<Vec<_>>())?.value;
    let options = Options {
        wall: (!args.clock.simulated).then(WallClock::start),
        events: EventMask::operations(),
        event_limit: 65_536,
        leaves: args.ledger.is_some(),
        calls: args.record.is_some(),
        keep: args.data.keeps(),
        playbook: Some(Arc::new(known)),
        ..Options::simulated(args.clock.seed().0)
    };
    let mut engine = Engine::new(&settings, options)?;
    let info = engine.info().clone();
    let recording = args.record.as_ref().map(|path| Recording::create(path, &info, &settings)).transpose()?;
    let error = WriteError::default();
    let kept = args.data.open(&mut engine, &settings)?;
    let mut record = kept.frames(recording.as_ref().map(Recording::sink));
    let start = Command::StartGameDay { name: scenario.name.clone() };
    engine.apply("command line", start).map_err(|refusal| Failure::usage(refusal.to_string()))?;
    engine.stop_after_drill();
    let sinks = Sinks {
        frame: record.take(),
        kept: kept.sink(),
        block: args.ledger.as_ref().map(|path| ledger_sink(path, &error)).transpose()?,
        ..Sinks::default()
    };
    let (mut engine, interrupted) = runtime()?.block_on(async {
        let (remote, mut task) = spawn(engine, Pace::Unpaced, sinks);
        let mut interrupted = false;
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
                _ = tokio::signal::ctrl_c(), if !interrupted => interrupted = true,
                _ = terminated, if !interrupted => interrupted = true,
            }
            if interrupted {
                remote.send("interrupt", Command::AbortGameDay);
                remote.send("interrupt", Command::Stop);
            }
        };
        let engine = engine.map_err(|error| Failure::new(Exit::Usage, None, format!("the engine stopped: {error}")))?;
        Ok::<_, Failure>((engine, interrupted))
    })?;
    if let Some(recording) = recording {
        recording.finish(engine.ledger_head())?;
    }
    engine.hide_journal();
    kept.finish(args.quiet)?;
    if let Some(failure) = error.take() {
        return Err(failure);
    }
    let Some(drill) = engine.drill() else {
        return Err(Failure::new(Exit::NeverRan, None, "the drill left no result"));
    };
    let snapshot = engine.snapshot();
    let text = if args.quiet { line(&drill) } else { post_mortem::post_mortem(&info, &drill, &snapshot) };
    super::output::print(&text)?;
    Ok(match drill.verdict {
        _ if interrupted => Exit::Interrupted,
        Verdict::Held => Exit::Done,
        Verdict::NeverRan => Exit::NeverRan,
        Verdict::NotHeld | Verdict::Aborted | Verdict::Running => Exit::NotHeld,
    })
}

fn line(drill: &DrillView) -> String {
    format!("{}: {} ({})\n", drill.scenario, drill.verdict.text(), drill.reason)
}
