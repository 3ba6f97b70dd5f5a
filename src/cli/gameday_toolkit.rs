//! `fizzops gameday` with Chaos Toolkit experiments: import, export, run, and the verdict of a journal.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Exit, Failure};
use crate::engine::WallClock;
use crate::gameday::Scenario;
use crate::gameday::toolkit::{
    Experiment, Export, Interrupt, JournalFile, Runner, ToolkitError, Verdict, export as exported, is_experiment,
    journal, read, to_yaml, verdict_of,
};

const IMPORT_HELP: &str = "\
Everything is checked: variables of the environment, programs on PATH, tolerances, patterns. Activities with the provider \
python are refused; secrets come from the environment only.

Examples:
  fizzops gameday import experiment.json
  fizzops gameday import experiment.json --output drill.yaml
  fizzops gameday run drill.yaml --journal journal.json";

const EXPORT_HELP: &str = "\
The experiment's action runs the drill, and its hypothesis asks for the drill's verdict afterwards. Where it is run, the \
program must be on PATH, and FIZZOPS_JOURNAL may name the file that the verdict is handed over in.

Examples:
  fizzops gameday export modulo_meltdown --output meltdown.json
  chaos validate meltdown.json
  chaos run meltdown.json
  fizzops gameday export ./my-drill.yaml --seed 7 --output my-drill.json";

const VERDICT_HELP: &str = "\
Exit codes: 0 the hypothesis held, 1 it did not, 5 the experiment never ran because its steady state did not hold before, \
130 it was interrupted. `chaos run` ends with 0 also for an experiment that never ran.

Examples:
  chaos run experiment.json; fizzops gameday verdict journal.json";

#[derive(Debug, Args)]
#[command(after_help = IMPORT_HELP)]
pub struct ImportArgs {
    /// A Chaos Toolkit experiment, .json or .yaml
    file: PathBuf,
    /// Write the scenario to FILE rather than to stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub struct ExportArgs {
    /// A scenario's name, or a file
    pub name: String,
    /// Write the experiment to FILE (.json, or .yaml) rather than to stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The seed of the drill, which runs on the virtual clock
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How this program is called where the experiment is run
    #[arg(long, value_name = "PATH", default_value = "fizzops")]
    program: String,
}

#[derive(Debug, Args)]
#[command(after_help = VERDICT_HELP)]
pub struct VerdictArgs {
    /// A journal of `chaos run` or of `gameday run --journal`
    file: PathBuf,
}

impl From<ToolkitError> for Failure {
    fn from(error: ToolkitError) -> Self {
        Self::new(Exit::Usage, Some(error.code()), error.to_string())
    }
}

/// Whether this names the file of an experiment rather than a scenario of ours.
pub fn names_experiment(name: &str) -> bool {
    let path = Path::new(name);
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    json || read(path).is_ok_and(|text| is_experiment(&text, name))
}

fn load(path: &Path) -> Result<Experiment, Failure> {
    let text = read(path)?;
    Ok(Experiment::parse(&text, &path.display().to_string(), &|name| std::env::var(name).ok())?)
}

/// `gameday validate FILE` of an experiment.
pub fn validate(path: &Path) -> Result<Exit, Failure> {
    let experiment = load(path)?;
    super::output::print(&format!("{}: {}\n", path.display(), summary(&experiment)))
}

fn summary(experiment: &Experiment) -> String {
    let probes = experiment.hypothesis.as_ref().map_or(0, |hypothesis| hypothesis.probes.len());
    let (method, rollbacks) = (experiment.method.len(), experiment.rollbacks.len());
    format!(
        "a valid Chaos Toolkit experiment of {probes} steady-state {}, {method} {} and {rollbacks} {}",
        plural(probes, "probe", "probes"),
        plural(method, "activity", "activities"),
        plural(rollbacks, "rollback", "rollbacks")
    )
}

const fn plural(count: usize, one: &'static str, more: &'static str) -> &'static str {
    if count == 1 { one } else { more }
}

/// `gameday import`.
pub fn import(args: &ImportArgs) -> Result<Exit, Failure> {
    let experiment = load(&args.file)?;
    let place = args.output.as_deref().unwrap_or_else(|| Path::new("stdout"));
    let text = to_yaml(experiment.document(), &place.display().to_string())?;
    let Some(output) = &args.output else { return super::output::print(&text) };
    write(output, &text)?;
    let (from, to) = (args.file.display(), output.display());
    super::output::print(&format!("{from}: {}; fizzops gameday run {to} runs it\n", summary(&experiment)))
}

/// `gameday export`.
pub fn export(args: &ExportArgs, scenario: &Scenario) -> Result<Exit, Failure> {
    let how = Export { drill: &args.name, seed: args.seed, program: &args.program };
    let document = exported(scenario, &how);
    let yaml =
        args.output.as_ref().and_then(|path| path.extension()).is_some_and(|found| found == "yaml" || found == "yml");
    let text = if yaml { to_yaml(&document, &args.name)? } else { format!("{document:#}\n") };
    let Some(output) = &args.output else { return super::output::print(&text) };
    if !yaml && output.extension().is_none_or(|extension| extension != "json") {
        return Err(Failure::usage(format!(
            "--output {}: an experiment is a .json, .yaml or .yml file",
            output.display()
        )));
    }
    write(output, &text)?;
    super::output::print(&format!("{0} was written; chaos run {0} runs it\n", output.display()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::write(path, &error))
}

/// `gameday verdict`.
pub fn verdict(args: &VerdictArgs) -> Result<Exit, Failure> {
    let (verdict, reason) = verdict_of(&args.file)?;
    super::output::print(&format!("{} ({reason})\n", verdict.text()))?;
    Ok(exit(verdict))
}

const fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Held | Verdict::Completed => Exit::Done,
        Verdict::NotHeld | Verdict::Inconclusive => Exit::NotHeld,
        Verdict::NeverRan => Exit::NeverRan,
        Verdict::Interrupted => Exit::Interrupted,
    }
}

/// `gameday run` of an experiment: what happens goes to stderr as it happens, the verdict to stdout.
pub fn run(path: &Path, journal: Option<&Path>, quiet: bool) -> Result<Exit, Failure> {
    let experiment = load(path)?;
    let journal = journal.map(JournalFile::create).transpose()?;
    let interrupt = Interrupt::default();
    let listener = listen(&interrupt)?;
    let report = |progress: &crate::gameday::toolkit::Progress| {
        if !quiet {
            // With stderr closed there is nobody to tell; the run goes on.
            let _ = writeln!(std::io::stderr(), "{}", progress.text());
        }
    };
    let outcome = Runner::new(&experiment, &interrupt, &report).run();
    listener.close();
    if let Some(journal) = journal {
        journal.finish(&outcome.journal)?;
    }
    let mut text = format!("{}: {} ({})\n", experiment.title, outcome.verdict.text(), outcome.reason);
    for rollback in &outcome.failed_rollbacks {
        text.push_str(&format!("not rolled back: {rollback}\n"));
    }
    super::output::print(&text)?;
    Ok(match exit(outcome.verdict) {
        Exit::Done if !outcome.failed_rollbacks.is_empty() => Exit::NotHeld,
        exit => exit,
    })
}

/// Ctrl-C, SIGTERM and a terminal that goes away are wishes to stop.
fn listen(interrupt: &Interrupt) -> Result<signal_hook::iterator::Handle, Failure> {
    let mut wanted = vec![SIGINT, SIGTERM];
    if !hangup_is_ignored() {
        wanted.push(SIGHUP);
    }
    let signals = Signals::new(wanted);
    let mut signals = signals.map_err(|error| Failure::usage(format!("signals cannot be listened to: {error}")))?;
    let handle = signals.handle();
    let interrupt = interrupt.clone();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            interrupt.raise();
            let _ = writeln!(std::io::stderr(), "interrupted: what has begun is taken back; once more gives that up");
        }
    });
    Ok(handle)
}

/// Whether the program was started to outlive its terminal, as `nohup` does it. Known on Linux only.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    ignored.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// `gameday run NAME --journal FILE`: the journal of a drill of ours.
pub struct DrillJournal {
    file: JournalFile,
    clock: WallClock,
    experiment: Value,
}

impl DrillJournal {
    /// Tries the place before the drill runs.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        Ok(Self { file: JournalFile::create(path)?, clock: WallClock::start(), experiment: Value::Null })
    }

    /// Says which drill it is.
    pub fn of(mut self, scenario: &Scenario, name: &str, seed: u64) -> Self {
        self.experiment = exported(scenario, &Export { drill: name, seed, program: "fizzops" });
        self
    }

    /// Writes how the drill ended; its exit code tells its verdict.
    pub fn finish(self, ended: Exit, reason: &str) -> Result<(), Failure> {
        let verdict = match ended {
            Exit::Done => Verdict::Held,
            Exit::NeverRan => Verdict::NeverRan,
            Exit::Interrupted => Verdict::Interrupted,
            _ => Verdict::NotHeld,
        };
        let (start, end) = (self.clock.began(), self.clock.now());
        Ok(self.file.finish(&journal::of_drill(&self.experiment, verdict, reason, start, end))?)
    }
}
