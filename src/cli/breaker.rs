//! `fizzops breaker what-if`: a recorded session's calls under another breaker configuration.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Exit, Failure};
use crate::config::{Layers, Origin};
use crate::console::format::grouped;
use crate::domain::{ErrorCode, Timestamp};
use crate::engine::Seed;
use crate::engine::seed::Stream;
use crate::mechanisms::breaker::{
    BreakerError, BreakerSettings, CallHistory, Preset, Recorded, RecordedCall, Registry, State, Timeline, Transition,
    Verdict, WhatIf, what_if,
};
use crate::recording::Recording;

const AFTER_HELP: &str = "\
The calls keep the outcomes and durations that were recorded: a replay of what happened, not a forecast. \
How a call that the recorded breaker refused would have ended is not known; where the other configuration lets it \
through, it counts for nothing, and the output says how many there were. What operators told the breaker holds for both.

Keys are those of the section circuit_breaker. A recorded one that the other preset has no use for is taken out with \
--set KEY=null.

Examples:
  fizzops --record day.fizz
  fizzops breaker what-if day.fizz --set failure_threshold=9
  fizzops breaker what-if day.fizz --preset resilience4j --set failure_rate_threshold=20
  fizzops breaker what-if day.fizz --preset polly --format json";

#[derive(Debug, Args)]
pub struct BreakerArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// When another configuration would have opened, and which calls it would have refused
    WhatIf(WhatIfArgs),
}

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
struct WhatIfArgs {
    /// The recording
    file: PathBuf,
    /// Another preset in place of the recorded one
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Preset::ALL.map(Preset::name)))]
    preset: Option<String>,
    /// Another value, e.g. --set failure_threshold=9 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Which breaker: evaluation or SCOPE/DEPENDENCY
    #[arg(long, value_name = "NAME", default_value = "evaluation")]
    circuit: String,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Two timelines and the answer
    Text,
    /// One document
    Json,
}

/// Runs.
pub fn main(args: &BreakerArgs) -> Result<Exit, Failure> {
    let Sub::WhatIf(args) = &args.command;
    let mut recording = Recording::open(&args.file)?;
    let (report, damage) = report(args, &mut recording)?;
    super::output::print(&match args.format {
        Form::Text => report.text(),
        Form::Json => json(&report)?,
    })?;
    match damage {
        None => Ok(Exit::Done),
        Some(damage) => Err(Failure::new(
            Exit::Integrity,
            Some(ErrorCode::RecordingDamaged),
            format!("{} is damaged, what is whole was replayed: {damage}", args.file.display()),
        )),
    }
}

/// Both replays, and what is wrong with the recording behind the calls that were replayed.
fn report(args: &WhatIfArgs, recording: &mut Recording) -> Result<(Report, Option<String>), Failure> {
    let header = recording.header.clone();
    let (info, section) = (&header.info, &header.settings.circuit_breaker);
    let rng = Seed(info.seed).stream(Stream::Breaker);
    let registry = Registry::new(section, info.began, rng.clone()).map_err(refused)?;
    let slot = registry.find(&args.circuit).map_err(|error| Failure::usage(format!("--circuit: {error}")))?;
    let (circuit, settings) = (registry.name(slot).to_owned(), registry.settings(slot));
    let second = other(args, settings)?;
    let mut history = CallHistory::default();
    let mut ended = info.began;
    let mut damage = 'read: {
        for place in 0..recording.chunks().len() {
            let blocks = match recording.chunk_calls(place) {
                Ok(blocks) => blocks,
                Err(error) => break 'read Some(error.to_string()),
            };
            for block in blocks.iter().filter(|block| block.circuit == circuit) {
                if let Err(error) = history.add(block) {
                    break 'read Some(format!("chunk {}: {error}", place + 1));
                }
            }
            ended = recording.chunks().get(place).map_or(ended, |chunk| chunk.to);
        }
        None
    };
    damage = damage.or_else(|| recording.damage().map(str::to_owned));
    let recorded = history.recorded(info.began, ended, slot.stream(&rng));
    if recorded.calls.is_empty() {
        let path = args.file.display();
        let behind = damage.map_or(String::new(), |damage| format!(" (it is damaged: {damage})"));
        return Err(Failure::usage(format!(
            "{path} has no calls of breaker {circuit}{behind}; sessions recorded with --record by this version have \
             those that reached it"
        )));
    }
    // A breaker that was off let everything pass and recorded nothing.
    let off = !section.enabled;
    let first =
        if off { BreakerSettings { initial_state: State::Disabled, ..settings.clone() } } else { settings.clone() };
    let answer = what_if(&recorded, &first, &second).map_err(refused)?;
    let name = args.file.display().to_string();
    let report = Report::new(name, circuit, &recorded, &answer, [(!off).then_some(&first), Some(&second)]);
    Ok((Report { damage: damage.clone(), ..report }, damage))
}

fn refused(error: BreakerError) -> Failure {
    Failure::new(Exit::Usage, Some(error.code()), error.to_string())
}

/// The recorded settings with those of the command line on top.
fn other(args: &WhatIfArgs, recorded: &BreakerSettings) -> Result<BreakerSettings, Failure> {
    let mut layers = Layers::new(recorded)?;
    if let Some(preset) = &args.preset {
        layers.set("preset", preset, Origin::Flag("--preset".into()))?;
    }
    for setting in &args.set {
        let (key, text) = setting
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--set {setting}: write KEY=VALUE, e.g. failure_threshold=9")))?;
        let key = key.trim();
        let key = key.strip_prefix("circuit_breaker.").unwrap_or(key);
        layers.set(key, text, Origin::Flag(format!("--set {key}")))?;
    }
    Ok(layers.load()?.value)
}

/// As many refused calls are named.
const NAMED: usize = 10;

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    recording: String,
    circuit: String,
    /// The session's length, milliseconds.
    lasted_ms: f64,
    calls: usize,
    failed: usize,
    /// Those that the recorded breaker refused.
    refused: usize,
    /// Those that say nothing about what is protected.
    without_verdict: usize,
    dropped: u64,
    recorded: Side,
    what_if: Side,
    /// The answer in a sentence.
    answer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

/// One configuration and its timeline.
#[derive(Debug, Serialize)]
struct Side {
    /// As it was in force; `None` for a breaker that was off.
    configuration: Option<BreakerSettings>,
    transitions: Vec<Step>,
    refused: Refused,
    /// Let through, although the recorded breaker refused them.
    unjudged: u64,
    /// When it opened first, milliseconds since the start.
    opened_ms: Option<f64>,
    open_ms: f64,
}

#[derive(Debug, Serialize)]
struct Step {
    /// Milliseconds since the start.
    after_ms: f64,
    sentence: String,
    #[serde(flatten)]
    transition: Transition,
}

#[derive(Debug, Serialize)]
struct Refused {
    count: usize,
    failed: u64,
    succeeded: u64,
    /// Refused in the recording too.
    unknown: usize,
    /// The numbers of the first of them.
    first: Vec<i64>,
}

impl Report {
    fn new(
        recording: String,
        circuit: String,
        recorded: &Recorded,
        answer: &WhatIf,
        [first, second]: [Option<&BreakerSettings>; 2],
    ) -> Self {
        let count = |is: fn(&RecordedCall) -> bool| recorded.calls.iter().filter(|call| is(call)).count();
        Self {
            recording,
            circuit,
            lasted_ms: ms(recorded.ended.since(recorded.began)),
            calls: answer.calls,
            failed: count(|call| matches!(call.verdict, Verdict::Failure(_))),
            refused: count(|call| call.verdict == Verdict::Refused),
            without_verdict: count(|call| call.verdict == Verdict::NoVerdict),
            dropped: recorded.dropped,
            recorded: Side::new(recorded, &answer.first, first),
            what_if: Side::new(recorded, &answer.second, second),
            answer: answer.to_string(),
            damage: None,
        }
    }

    fn text(&self) -> String {
        let Self { calls, failed, refused, without_verdict, dropped, .. } = self;
        let mut text = format!(
            "recording  {}\nbreaker    {}: {} calls in {:.1} s, {} of them failed, {} were refused",
            self.recording,
            self.circuit,
            grouped(*calls as u64),
            self.lasted_ms / 1e3,
            grouped(*failed as u64),
            grouped(*refused as u64)
        );
        if *without_verdict > 0 {
            text.push_str(&format!(", {} ended without a verdict", grouped(*without_verdict as u64)));
        }
        text.push('\n');
        if *dropped > 0 {
            text.push_str(&format!(
                "           the recording had no room for {} more; both timelines are without them\n",
                grouped(*dropped)
            ));
        }
        text.push_str("\nrecorded   ");
        self.recorded.print(&mut text);
        text.push_str("\nwhat if    ");
        self.what_if.print(&mut text);
        text.push_str(&format!("\nanswer     {}\n", self.answer));
        text
    }
}

impl Side {
    fn new(recorded: &Recorded, timeline: &Timeline, settings: Option<&BreakerSettings>) -> Self {
        let after_ms = |at: Timestamp| ms(at.since(recorded.began));
        let refused = || timeline.refused.iter().filter_map(|place| recorded.calls.get(*place));
        Self {
            configuration: settings.map(BreakerSettings::resolved),
            transitions: timeline
                .transitions
                .iter()
                .map(|transition| Step {
                    after_ms: after_ms(transition.at),
                    sentence: transition.to_string(),
                    transition: transition.clone(),
                })
                .collect(),
            refused: Refused {
                count: timeline.refused.len(),
                failed: timeline.spared,
                succeeded: timeline.lost,
                unknown: refused().filter(|call| call.verdict == Verdict::Refused).count(),
                first: refused().take(NAMED).map(|call| call.number).collect(),
            },
            unjudged: timeline.unjudged,
            opened_ms: timeline.opened.map(after_ms),
            open_ms: timeline.open_ms,
        }
    }

    fn print(&self, text: &mut String) {
        text.push_str(&self.configuration.as_ref().map_or_else(|| "the breaker was off".into(), configuration));
        text.push('\n');
        for step in &self.transitions {
            text.push_str(&format!("  {:>+12.3} s  {}\n", step.after_ms / 1e3, step.sentence));
        }
        if self.transitions.is_empty() {
            text.push_str("  no transition\n");
        }
        let Refused { count, failed, succeeded, unknown, first } = &self.refused;
        text.push_str(&format!("  refused {} call{}", grouped(*count as u64), if *count == 1 { "" } else { "s" }));
        let parts: Vec<String> = [
            (*failed, "failed in the recording"),
            (*succeeded, "succeeded in it"),
            (*unknown as u64, "were refused in it too"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(*count)))
        .collect();
        if !parts.is_empty() {
            text.push_str(&format!(": {}", parts.join(", ")));
        }
        if !first.is_empty() {
            let numbers: Vec<String> = first.iter().map(i64::to_string).collect();
            let more = if first.len() < *count { ", ..." } else { "" };
            text.push_str(&format!("\n    n = {}{more}", numbers.join(", ")));
        }
        text.push('\n');
        if self.unjudged > 0 {
            text.push_str(&format!(
                "  let through {} that the recorded breaker refused; how they would have ended is not known\n",
                grouped(self.unjudged)
            ));
        }
    }
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// Keys that have a value under every preset, although this one goes by others. They are not worth telling.
fn idle(preset: Preset) -> &'static [&'static str] {
    const BACKOFF: [&str; 4] = ["backoff_base_ms", "backoff_max_ms", "backoff_multiplier", "backoff_jitter"];
    const ALL: [&str; 8] = [
        "failure_threshold",
        "success_threshold",
        "timeout_ms",
        "half_open_max_calls",
        BACKOFF[0],
        BACKOFF[1],
        BACKOFF[2],
        BACKOFF[3],
    ];
    match preset {
        Preset::Efp => &[],
        Preset::Aref => &BACKOFF,
        Preset::Resilience4j | Preset::Polly => &ALL,
    }
}

/// The preset, and what differs from its defaults.
fn configuration(settings: &BreakerSettings) -> String {
    let keys = |settings: &BreakerSettings| match serde_json::to_value(settings.resolved()) {
        Ok(Value::Object(keys)) => keys,
        _ => Map::new(),
    };
    let defaults = keys(&BreakerSettings::of(settings.preset));
    let own: Vec<String> = keys(settings)
        .iter()
        .filter(|(key, value)| defaults.get(*key) != Some(*value) && !idle(settings.preset).contains(&key.as_str()))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let preset = settings.preset;
    if own.is_empty() { format!("preset {preset}") } else { format!("preset {preset} with {}", own.join(" ")) }
}

fn json(report: &Report) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(report)
        .map_err(|error| Failure::usage(format!("the answer cannot be written as JSON: {error}")))?;
    text.push('\n');
    Ok(text)
}
