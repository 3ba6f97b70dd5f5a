//! `fizzops flags`: definitions looked at, checked, evaluated and compared. Also reads the file that the settings name,
//! and watches it for a running engine.

use std::fmt::Write as _;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value};

use super::session::{ConfigSource, load};
use super::{Exit, Failure};
use crate::console::format::grouped;
use crate::domain::{RuleSet, Timestamp};
use crate::engine::drive::Remote;
use crate::engine::{Command, Settings};
use crate::mechanisms::flags::flagd::{
    Definitions, Explanation, Generation, Problem, Rebucketed, Resolution, Severity, VariantType, rebucket,
};
use crate::mechanisms::flags::{FlagSet, FlagView, FlagsCommand, FlagsError};

const AFTER_HELP: &str = "\
A file has flags in flagd's definition format (JSON or YAML), and in its section `native` those of this program's own \
kinds. Without one, the configuration's flags are meant.

Examples:
  fizzops flags list
  fizzops flags eval wuzz_rule_experimental --context number=14 --explain
  fizzops flags eval new_checkout --file flags.json --context '{\"tier\": \"gold\"}'
  fizzops flags validate flags.json
  fizzops flags rebucket flags.json --keys 10000
  fizzops flags rebucket old.json new.json --keys 10000 --by user.name

Exit codes: 0 done, 2 a file, a flag or a context is not right.";

const REBUCKET_HELP: &str = "\
With one file, each flag that `fractional` splits is evaluated under two generations of it. With two files, the first \
is before and the second after, both under the newest generation unless --from or --to say otherwise.

Examples:
  fizzops flags rebucket flags.json --keys 10000
  fizzops flags rebucket flags.json --keys 10000 --from v1 --to v2 --show 10
  fizzops flags rebucket flags.json --keys-from users.txt --by user.name
  fizzops flags rebucket old.json new.json --keys 10000 --format json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct FlagsArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// All flags, and what they are
    List(ListArgs),
    /// What a flag is for a context, and why
    Eval(EvalArgs),
    /// Whether files of definitions are right
    Validate(ValidateArgs),
    /// Which keys get another variant under another generation of `fractional`, or with another file
    #[command(after_help = REBUCKET_HELP)]
    Rebucket(RebucketArgs),
}

/// Where flags come from.
#[derive(Debug, Args)]
struct FlagSource {
    /// A file of definitions in place of the configuration's flags
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The generation of `fractional`: v1, v2 or v3 [default: the configuration's, v3]
    #[arg(long, value_name = "GENERATION")]
    fractional: Option<Generation>,
    #[command(flatten)]
    source: ConfigSource,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    from: FlagSource,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Debug, Args)]
struct EvalArgs {
    /// The flag
    flag: String,
    /// What is known: KEY=VALUE, or an object in JSON (repeatable); `number` is also the targetingKey
    #[arg(long, value_name = "CONTEXT")]
    context: Vec<String>,
    /// Every operation of the rule with what it yielded
    #[arg(long)]
    explain: bool,
    /// The type that is asked for; another one is an error
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kind: Option<Type>,
    /// Take a file as flagd's evaluators do: a rule that cannot be evaluated is an error of its flag alone
    #[arg(long, requires = "file")]
    lenient: bool,
    #[command(flatten)]
    from: FlagSource,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Debug, Args)]
struct ValidateArgs {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct RebucketArgs {
    /// The file, or the one before
    file: PathBuf,
    /// The file after
    other: Option<PathBuf>,
    /// How many keys: 1 to N, as text
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    keys: u64,
    /// What stands before the number of each key
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Keys from a file instead, one a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "prefix"])]
    keys_from: Option<PathBuf>,
    /// Where in the context the key goes
    #[arg(long, value_name = "PATH", default_value = "targetingKey")]
    by: String,
    /// What else is known: KEY=VALUE, or an object in JSON (repeatable)
    #[arg(long, value_name = "CONTEXT")]
    context: Vec<String>,
    /// The generation before [default: v2 for one file, v3 for two]
    #[arg(long, value_name = "GENERATION")]
    from: Option<Generation>,
    /// The generation after [default: v3]
    #[arg(long, value_name = "GENERATION")]
    to: Option<Generation>,
    /// Only this flag
    #[arg(long, value_name = "FLAG")]
    flag: Option<String>,
    /// How many keys of each move are named
    #[arg(long, value_name = "N", default_value_t = 5)]
    show: usize,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// One document
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Type {
    Boolean,
    String,
    Integer,
    Float,
    Object,
}

impl From<FlagsError> for Failure {
    fn from(error: FlagsError) -> Self {
        Self::new(Exit::Usage, Some(error.code()), error.to_string())
    }
}

/// Runs.
pub fn main(args: &FlagsArgs) -> Result<Exit, Failure> {
    match &args.command {
        Sub::List(args) => list(args),
        Sub::Eval(args) => eval(args),
        Sub::Validate(args) => validate(args),
        Sub::Rebucket(args) => compare(args),
    }
}

/// A file of definitions is not larger.
const SIZE_LIMIT: u64 = 4 << 20;

fn text(path: &Path) -> Result<String, String> {
    let name = path.display();
    let unreadable = |error: std::io::Error| format!("{name}: it cannot be read: {error}");
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > SIZE_LIMIT {
        return Err(format!("{name}: it has {size} bytes, and a file of definitions at most {SIZE_LIMIT}"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn parsed(path: &Path, generation: Generation) -> Result<Definitions, Failure> {
    let text = text(path).map_err(Failure::usage)?;
    Definitions::parse(&text, &path.display().to_string(), generation).map_err(|error| first(&error))
}

/// The first problem of a file, and how to see the others.
fn first(error: &FlagsError) -> Failure {
    let FlagsError::Definitions(problems) = error else {
        return Failure::new(Exit::Usage, Some(error.code()), error.to_string());
    };
    let more = match (problems.len(), problems.first()) {
        (2.., Some(first)) => {
            format!("\n  and {} more: fizzops flags validate {}", problems.len() - 1, first.file)
        }
        _ => String::new(),
    };
    let first = problems.first().map(Problem::to_string).unwrap_or_default();
    Failure::new(Exit::Usage, Some(error.code()), format!("{first}{more}"))
}

/// The definitions of the file that the settings name, where flags are on.
pub fn definitions(settings: &Settings) -> Result<Option<Definitions>, Failure> {
    let flags = &settings.feature_flags;
    let file = flags.file.as_deref().filter(|_| flags.enabled);
    file.map(|file| parsed(Path::new(file), flags.fractional)).transpose()
}

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at the file that the settings name, and sends what it holds whenever it has changed; never ends by itself.
pub async fn watch(settings: Settings, remote: Remote) {
    let flags = settings.feature_flags;
    let Some(file) = flags.file.filter(|_| flags.enabled) else { return std::future::pending().await };
    let path = Path::new(&file);
    let mut seen = stamp(path);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamp(path);
        if now == seen {
            continue;
        }
        seen = now;
        let read = text(path)
            .and_then(|text| Definitions::parse(&text, &file, flags.fractional).map_err(|error| first(&error).message));
        let command = match read {
            Ok(definitions) => FlagsCommand::Reload { definitions },
            Err(problem) => FlagsCommand::ReloadFailed { file: file.clone(), problem },
        };
        remote.send(&file, Command::Flags(command));
    }
}

/// What changes when a file does; `None` while it is not there.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl FlagSource {
    /// The flags, over the configured rules.
    fn set(&self, lenient: bool) -> Result<FlagSet, Failure> {
        let settings = load(&Settings::default(), &self.source, &[])?.value;
        let flags = &settings.feature_flags;
        let generation = self.fractional.unwrap_or(flags.fractional);
        let rules = RuleSet::new(settings.rules.clone()).map_err(|error| Failure::usage(error.to_string()))?;
        let file = self.file.clone().or_else(|| flags.file.as_ref().map(PathBuf::from));
        match file {
            None => Ok(FlagSet::of(&flags.predefined_flags, &rules)?),
            Some(file) if lenient => {
                let text = text(&file).map_err(Failure::usage)?;
                let definitions = Definitions::lenient(&text, &file.display().to_string(), generation);
                Ok(FlagSet::load(&definitions.map_err(|error| first(&error))?, &rules)?)
            }
            Some(file) => Ok(FlagSet::load(&parsed(&file, generation)?, &rules)?),
        }
    }
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let flags = args.from.set(false)?.views();
    if args.format == Form::Json {
        return json(&flags);
    }
    super::output::print(&table(&flags))
}

/// The flags, a line each.
fn table(flags: &[FlagView]) -> String {
    let widest =
        |text: fn(&FlagView) -> usize, title: &str| flags.iter().map(text).max().unwrap_or_default().max(title.len());
    let name = widest(|flag| flag.name.chars().count(), "flag");
    let rollout = widest(|flag| flag.rollout.chars().count(), "rollout");
    let mut text = format!("{:name$}  is   {:rollout$}  rule   life        description\n", "flag", "rollout");
    for flag in flags {
        let state = if flag.enabled { "on" } else { "off" };
        let rule = flag.rule.as_deref().unwrap_or("-");
        let mut about = flag.description.clone();
        if !flag.depends_on.is_empty() {
            let gap = if about.is_empty() { "" } else { "; " };
            let _ = write!(about, "{gap}needs {}", flag.depends_on.join(", "));
        }
        let line = format!(
            "{:name$}  {state:<3}  {:rollout$}  {rule:<5}  {:<10}  {about}",
            flag.name,
            flag.rollout,
            flag.lifecycle.name()
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The context that `--context` gives.
fn context(given: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut context = Map::new();
    for part in given {
        if part.trim_start().starts_with('{') {
            let object: Map<String, Value> = serde_json::from_str(part)
                .map_err(|error| Failure::usage(format!("--context {part}: it is no object in JSON: {error}")))?;
            context.extend(object);
            continue;
        }
        let (key, value) = part.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--context {part}: write KEY=VALUE or an object in JSON, e.g. number=15"))
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        context.insert(key.trim().to_owned(), value);
    }
    if let Some(number) = context.get("number").and_then(Value::as_i64)
        && !context.contains_key("targetingKey")
    {
        context.insert("targetingKey".into(), Value::String(number.to_string()));
    }
    Ok(context)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(crate::domain::time::nanos(since))
}

fn eval(args: &EvalArgs) -> Result<Exit, Failure> {
    let context = context(&args.context)?;
    let set = args.from.set(args.lenient)?;
    let mut told = set.explain(&args.flag, &context, now())?;
    if let Some(kind) = args.kind {
        told.resolution = told.resolution.typed(match kind {
            Type::Boolean => VariantType::Boolean,
            Type::String => VariantType::String,
            Type::Integer => VariantType::Integer,
            Type::Float => VariantType::Float,
            Type::Object => VariantType::Object,
        });
    }
    let failed = told.resolution.error.is_some();
    match (args.format, args.explain) {
        (Form::Json, true) => json(&told)?,
        (Form::Json, false) => json(&told.resolution)?,
        (Form::Text, explain) => super::output::print(&answer(&told, explain))?,
    };
    Ok(if failed { Exit::Usage } else { Exit::Done })
}

fn answer(told: &Explanation, explain: bool) -> String {
    let Resolution { value, variant, reason, error, .. } = &told.resolution;
    let value = value.as_ref().map_or_else(|| "the caller's own default".into(), Value::to_string);
    let mut text = format!("{} = {value}", told.flag);
    if let Some(variant) = variant {
        let _ = write!(text, "  (variant {variant})");
    }
    let _ = writeln!(text, "  {reason}");
    if let Some(error) = error {
        let _ = writeln!(text, "  {}: {}", error.kind, error.message);
    }
    if !explain {
        return text;
    }
    for node in &told.nodes {
        let value = node.value.as_ref().map_or_else(|| "-".into(), Value::to_string);
        let note = node.note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
        let _ = writeln!(text, "  {:indent$}{} = {value}{note}", "", node.rule, indent = node.depth * 2);
    }
    text
}

fn validate(args: &ValidateArgs) -> Result<Exit, Failure> {
    let mut wrong: Option<Failure> = None;
    for path in &args.files {
        let file = path.display().to_string();
        let read = text(path)
            .map_err(Failure::usage)
            .and_then(|text| Definitions::parse(&text, &file, Generation::default()).map_err(Failure::from));
        match read {
            Ok(definitions) => {
                let warnings = definitions.warnings();
                for warning in warnings {
                    debug_assert_eq!(warning.severity, Severity::Warning);
                    eprintln!("{warning}");
                }
                let count = |count: usize, what: &str| match count {
                    0 => format!("no {what}s"),
                    1 => format!("1 {what}"),
                    many => format!("{many} {what}s"),
                };
                let flags = count(definitions.names().count(), "flag");
                super::output::print(&format!("{file}: {flags}, no errors, {}\n", count(warnings.len(), "warning")))?;
            }
            // The failures of all files are told in one message.
            Err(failure) => match &mut wrong {
                None => wrong = Some(failure),
                Some(first) => {
                    first.message.push('\n');
                    first.message.push_str(&failure.message);
                }
            },
        }
    }
    wrong.map_or(Ok(Exit::Done), Err)
}

/// What `rebucket` tells.
#[derive(Debug, Serialize)]
struct Comparison {
    before: Side,
    after: Side,
    /// Flags that only one of the two files splits.
    only_before: Vec<String>,
    only_after: Vec<String>,
    flags: Vec<Rebucketed>,
}

#[derive(Debug, Serialize)]
struct Side {
    file: String,
    fractional: Generation,
}

fn compare(args: &RebucketArgs) -> Result<Exit, Failure> {
    let to = args.to.unwrap_or_default();
    let from = args.from.unwrap_or(if args.other.is_some() { to } else { Generation::V2 });
    let before = parsed(&args.file, from)?;
    let after = match &args.other {
        Some(other) => parsed(other, to)?,
        None => before.with_generation(to)?,
    };
    let context = context(&args.context)?;
    let listed = args.keys_from.as_deref().map(keys).transpose()?;
    let keys = || -> Box<dyn Iterator<Item = String>> {
        match &listed {
            Some(keys) => Box::new(keys.iter().cloned()),
            None => Box::new((1..=args.keys).map(|key| format!("{}{key}", args.prefix))),
        }
    };
    let wanted = |flag: &&str| args.flag.as_deref().is_none_or(|wanted| wanted == *flag);
    let named = |definitions: &Definitions| definitions.names().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (named(&before), named(&after));
    // What either of them splits may move, also from or to a rule without a split.
    let mut split: Vec<&str> = before.split().chain(after.split()).filter(wanted).collect();
    split.sort_unstable();
    split.dedup();
    if let (Some(flag), true) = (&args.flag, split.is_empty()) {
        let message = format!("{}: no flag `{flag}` is split by `fractional`", args.file.display());
        return Err(Failure::new(Exit::Usage, Some(crate::domain::ErrorCode::FlagNotFound), message));
    }
    let only = |names: &[String]| {
        split.iter().filter(|flag| !names.iter().any(|name| name == *flag)).map(|flag| (*flag).to_owned()).collect()
    };
    let (only_before, only_after): (Vec<String>, Vec<String>) = (only(&new), only(&old));
    let at = now();
    let flags = split
        .iter()
        .filter(|flag| [&old, &new].iter().all(|names| names.iter().any(|name| name == *flag)))
        .map(|flag| rebucket((&before, &after), flag, keys(), &args.by, &context, at, args.show))
        .collect();
    let side =
        |definitions: &Definitions| Side { file: definitions.file().to_owned(), fractional: definitions.generation() };
    let told = Comparison { before: side(&before), after: side(&after), only_before, only_after, flags };
    match args.format {
        Form::Json => json(&told),
        Form::Text => super::output::print(&moves(&told)),
    }
}

/// Keys from a file, one a line.
fn keys(path: &Path) -> Result<Vec<String>, Failure> {
    let fail = |error: std::io::Error| Failure::usage(format!("{}: it cannot be read: {error}", path.display()));
    let file = std::io::BufReader::new(std::fs::File::open(path).map_err(fail)?);
    let lines: Result<Vec<String>, _> = file.lines().collect();
    let keys: Vec<String> = lines.map_err(fail)?.into_iter().filter(|line| !line.is_empty()).collect();
    if keys.is_empty() {
        return Err(Failure::usage(format!("{}: there is no key in it", path.display())));
    }
    Ok(keys)
}

fn moves(told: &Comparison) -> String {
    let Comparison { before, after, only_before, only_after, flags } = told;
    let mut text = if before.file == after.file {
        format!("{}: fractional {} -> {}\n", before.file, before.fractional, after.fractional)
    } else {
        format!("{} ({}) -> {} ({})\n", before.file, before.fractional, after.file, after.fractional)
    };
    if flags.is_empty() {
        text.push_str("no flag in it is split by `fractional`\n");
    }
    for flag in flags {
        let percent = 100.0 * flag.moved as f64 / flag.keys.max(1) as f64;
        let (moved, keys) = (grouped(flag.moved), grouped(flag.keys));
        let _ = writeln!(text, "\n{}: {moved} of {keys} keys move ({percent:.1} %)", flag.flag);
        let mut variants: Vec<&String> = flag.before.keys().chain(flag.after.keys()).collect();
        variants.sort_unstable();
        variants.dedup();
        let _ = writeln!(text, "  {:<20} {:>10} {:>10}", "variant", "before", "after");
        for variant in variants {
            let of =
                |counts: &std::collections::BTreeMap<String, u64>| grouped(counts.get(variant).copied().unwrap_or(0));
            let _ = writeln!(text, "  {variant:<20} {:>10} {:>10}", of(&flag.before), of(&flag.after));
        }
        for one in &flag.moves {
            let rest = one.keys - one.examples.len() as u64;
            let dots = if rest > 0 { ", ..." } else { "" };
            let _ = writeln!(
                text,
                "  {} -> {}: {}  ({}{dots})",
                one.from,
                one.to,
                grouped(one.keys),
                one.examples.join(", ")
            );
        }
    }
    for (names, file) in [(only_before, &before.file), (only_after, &after.file)] {
        for name in names {
            let _ = writeln!(text, "\n{name}: only in {file}");
        }
    }
    text
}

fn json(value: &impl Serialize) -> Result<Exit, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::usage(error.to_string()))?;
    super::output::print(&format!("{text}\n"))
}
