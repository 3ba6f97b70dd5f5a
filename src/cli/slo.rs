//! `fizzops slo`: what is promised, whether its documents are right, the same as Prometheus rules, and who is on call.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::session::{ConfigSource, load, read_slos};
use super::{Exit, Failure};
use crate::domain::Timestamp;
use crate::engine::{Settings, WallClock};
use crate::mechanisms::slo::openslo::Documents;
use crate::mechanisms::slo::{
    Budgeting, Counters, Indicator, Rota, Severity, SloConfig, SloSpec, percent, prometheus, shorthand,
};

const AFTER_HELP: &str = "\
Objectives come from OpenSLO v1 files where some are named (here or by sla.openslo), else from the section sla of the
configuration. docs/slo.md tells what the engine reads of OpenSLO.

Examples:
  fizzops slo list
  fizzops slo show accuracy
  fizzops slo validate slo.yaml
  fizzops slo rules --prometheus slo.yaml > rules.yaml && promtool check rules rules.yaml
  fizzops slo on-call --at 2026-02-01T08:00:00Z";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct SloArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// List the objectives
    List {
        #[command(flatten)]
        source: Source,
        /// List the counters that indicators can be made of, instead
        #[arg(long)]
        counters: bool,
    },
    /// Show an objective: what counts, its budget, its alert rules
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        source: Source,
    },
    /// Check OpenSLO files
    Validate {
        /// The files; what one names may be in another
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Write recording and alerting rules for the same objectives
    Rules {
        /// For Prometheus
        #[arg(long, required = true)]
        prometheus: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Who is on call now, who is next, and who an alert goes to when nobody acknowledges it
    OnCall {
        /// At this moment, RFC 3339 [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        #[command(flatten)]
        config: ConfigSource,
    },
}

#[derive(Debug, Args)]
struct Source {
    /// OpenSLO files, instead of what the configuration says
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigSource,
}

impl Source {
    fn objectives(&self) -> Result<(SloConfig, Vec<SloSpec>), Failure> {
        let config = load(&Settings::default(), &self.config, &[])?.value.sla;
        let specs = if self.files.is_empty() {
            config.check().map_err(failure)?;
            config.objectives().map_err(failure)?
        } else {
            read_slos(&self.files)?.objectives(&config).map_err(failure)?
        };
        Ok((config, specs))
    }
}

fn failure(error: crate::mechanisms::slo::SloError) -> Failure {
    Failure::new(Exit::Usage, Some(error.code()), error.to_string())
}

/// Runs.
pub fn main(args: &SloArgs) -> Result<Exit, Failure> {
    let text = match &args.command {
        Sub::List { counters: true, .. } => Counters::ALL.iter().fold(String::new(), |mut text, (name, _, meaning)| {
            let _ = writeln!(text, "{name:<12} {meaning}");
            text
        }),
        Sub::List { source, .. } => list(&source.objectives()?.1),
        Sub::Show { name, source } => {
            let (config, specs) = source.objectives()?;
            let spec = specs.iter().find(|spec| spec.name == *name).ok_or_else(|| {
                let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
                let near = crate::domain::text::nearest(name, names.iter().copied());
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                Failure::usage(format!("there is no objective `{name}`{hint} (there are {})", names.join(", ")))
            })?;
            show(spec, config.alerting.minimum_events)
        }
        Sub::Validate { files } => validate(files, &read_slos(files)?)?,
        Sub::Rules { source, .. } => {
            let (config, specs) = source.objectives()?;
            prometheus::rules(&specs, config.alerting.minimum_events)
        }
        Sub::OnCall { at, config } => {
            let settings = load(&Settings::default(), config, &[])?.value;
            on_call(&settings.sla, at.as_deref())?
        }
    };
    super::output::print(&text)
}

fn list(specs: &[SloSpec]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{:<16} {:>9}  {:<14} {:<30} promise", "objective", "target", "period", "alerts above");
    for spec in specs {
        let factors: Vec<String> =
            spec.rules.iter().map(|rule| format!("{} {}x", rule.severity.name(), rule.factor)).collect();
        let period = match &spec.window {
            crate::mechanisms::slo::Window::Rolling(span) => format!("rolling {span}"),
            crate::mechanisms::slo::Window::Calendar(calendar) => format!("calendar {}", calendar.every),
        };
        let target = format!("{} %", percent(spec.target));
        let _ = writeln!(
            text,
            "{:<16} {target:>9}  {period:<14} {:<30} {}",
            spec.name,
            if factors.is_empty() { "none".into() } else { factors.join(", ") },
            spec.promise
        );
    }
    doubts(&mut text, specs);
    text
}

fn doubts(text: &mut String, specs: &[SloSpec]) {
    for doubt in specs.iter().flat_map(SloSpec::doubts) {
        let _ = writeln!(text, "note: {doubt}");
    }
}

fn show(spec: &SloSpec, minimum: u64) -> String {
    let mut text = format!("{}: {}\n\n", spec.name, spec.promise);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    row("service", spec.service.clone());
    let (good, total) = match &spec.indicator {
        Indicator::Good { good, total } => (format!("those in {good}"), total.to_string()),
        Indicator::Bad { bad, total } => (format!("those not in {bad}"), total.to_string()),
        Indicator::Latency { op, threshold_ns, total } => {
            (format!("answered, latency {} {} ms", op.sign(), *threshold_ns as f64 / 1e6), total.to_string())
        }
        Indicator::Query { part, bad, total } => {
            (format!("{}: {part}", if *bad { "all but" } else { "query" }), format!("query: {total}"))
        }
    };
    row("counts", total);
    row("good", good);
    row("target", format!("{} %, so {} % may be bad", percent(spec.target), percent(spec.allowed())));
    row("budget", format!("{}, {}", budgeting(spec.budgeting), spec.window));
    row("traffic", format!("no alert below {} events in the long window", spec.minimum_events.unwrap_or(minimum)));
    text.push_str("\nseverity  fires when the budget burns                          share of budget  respond\n");
    for rule in &spec.rules {
        let short = rule.short.map_or(String::new(), |short| format!(" and in {}", shorthand(short)));
        let after = if rule.after > 0 { format!(" for {}", shorthand(rule.after)) } else { String::new() };
        let when = format!("{} {}x in {}{short}{after}", rule.op.sign(), rule.factor, shorthand(rule.long));
        let share = rule.budget_share.map_or_else(|| "-".into(), |share| format!("{} %", percent(share)));
        let respond = format!("{}: {}", rule.severity.response(), rule.channels.join(", "));
        let _ = writeln!(text, "{:<9} {when:<52} {share:>15}  {respond}", rule.severity.name());
    }
    if spec.rules.is_empty() {
        text.push_str("never: it has no alert policy\n");
    }
    doubts(&mut text, std::slice::from_ref(spec));
    text
}

fn budgeting(budgeting: Budgeting) -> String {
    match budgeting {
        Budgeting::Occurrences => "in events".into(),
        Budgeting::Timeslices { seconds, target } => {
            format!("in slices of {}, good from {} % on", shorthand(seconds), percent(target))
        }
        Budgeting::RatioTimeslices { seconds } => format!("in the average share of slices of {}", shorthand(seconds)),
    }
}

fn validate(files: &[PathBuf], documents: &Documents) -> Result<String, Failure> {
    let specs = match documents.objectives(&SloConfig::default()) {
        Ok(specs) => specs,
        // A file of services or policies alone is right, too.
        Err(crate::mechanisms::slo::SloError::NoObjective) => Vec::new(),
        Err(error) => return Err(failure(error)),
    };
    let counts: Vec<String> = documents.counts().iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let what = if counts.is_empty() { "no document".into() } else { counts.join(", ") };
    let mut text = format!("{}: valid OpenSLO v1: {what}\n", names.join(", "));
    for spec in &specs {
        let _ = writeln!(text, "{}: {}, {}", spec.name, spec.promise, spec.window);
        if matches!(spec.indicator, Indicator::Query { .. }) {
            let _ = writeln!(text, "note: {}: counted by Prometheus; an engine does not watch it", spec.name);
        }
    }
    doubts(&mut text, &specs);
    Ok(text)
}

fn on_call(config: &SloConfig, at: Option<&str>) -> Result<String, Failure> {
    let rota = Rota::new(&config.on_call).map_err(failure)?;
    let at = match at {
        None => WallClock::start().now(),
        Some(text) => {
            let moment = text.parse::<jiff::Timestamp>().ok();
            let millis = moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok());
            let wrong = || Failure::usage(format!("--at {text}: write a moment as 2026-02-01T08:00:00Z"));
            Timestamp::from_millis(millis.ok_or_else(wrong)?)
        }
    };
    let (turn, next) = (rota.at(at), rota.next(at));
    let mut text = format!("{} at {at}\n\n", rota.team());
    let contact = |engineer: &crate::mechanisms::slo::Engineer| {
        let parts = [&engineer.title, &engineer.email, &engineer.phone];
        let known: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        if known.is_empty() { engineer.name.clone() } else { format!("{} ({})", engineer.name, known.join(", ")) }
    };
    let until = if turn.until == Timestamp::MAX { "from now on".into() } else { format!("until {}", turn.until) };
    let _ = writeln!(text, "now   {}, {until}", contact(turn.engineer));
    if turn.until != Timestamp::MAX {
        let _ = writeln!(text, "next  {}", contact(next.engineer));
    }
    let minutes = config.alerting.escalation_timeout_seconds as f64 / 60.0;
    let _ = writeln!(text, "\nan alert goes one up every {minutes} min until somebody acknowledges it:");
    for (level, title, who, action) in rota.chain(at) {
        let _ = writeln!(text, "  L{level} {title:<29} {:<16} {action}", who.name);
    }
    text.push_str("\nseverities:\n");
    for severity in Severity::ALL {
        let _ = writeln!(text, "  {} {:<18} {}", severity.name(), severity.response(), severity.channels().join(", "));
    }
    Ok(text)
}

/// Whether a path of the configuration is meant from where its file is.
pub fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
}
