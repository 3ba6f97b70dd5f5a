//! `fizzops trace N`: evaluates one number and shows where its time went.

use clap::{Args, ValueEnum};

use super::session::{ConfigSource, load, runtime};
use super::{Exit, Failure};
use crate::domain::{Evaluation, ResultId};
use crate::engine::drive::{Pace, Sinks, drive};
use crate::engine::trace::{Readings, Span};
use crate::engine::{Engine, Options, Seed, Settings, WallClock, WorkloadKind};

const AFTER_HELP: &str = "\
Examples:
  fizzops trace 15
  fizzops trace 15 --chaos-level 5 --seed 3        with faults injected
  fizzops trace 15 --format otlp > trace.json      for an OpenTelemetry collector";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A waterfall.
    Text,
    /// OTLP in JSON, as a collector takes it at /v1/traces.
    Otlp,
}

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct TraceArgs {
    /// The number
    #[arg(allow_negative_numbers = true)]
    number: i64,
    #[command(flatten)]
    source: ConfigSource,
    /// The seed that all randomness comes from [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// With faults at this level, 1 to 5
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=5))]
    chaos_level: Option<u8>,
    /// How it is shown
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs.
pub fn main(args: &TraceArgs) -> Result<Exit, Failure> {
    let mut base = Settings::everything();
    base.workload.kind = WorkloadKind::Range;
    let mut flags = vec![
        ("workload.kind", "range".to_owned(), "trace"),
        ("workload.from", args.number.to_string(), "N"),
        ("workload.to", args.number.to_string(), "N"),
        // A trace is of one attempt.
        ("limits.retry.enabled", "false".to_owned(), "trace"),
    ];
    if let Some(level) = args.chaos_level {
        flags.push(("chaos.enabled", "true".to_owned(), "--chaos-level"));
        flags.push(("chaos.level", level.to_string(), "--chaos-level"));
    }
    let settings = load(&base, &args.source, &flags)?.value;
    let seed = args.seed.map_or_else(Seed::from_entropy, Seed);
    let readings = Readings::default();
    let options = Options { readings: Some(readings.clone()), keep: true, ..Options::live(seed) };
    let engine = Engine::new(&settings, options)?;
    let rules = std::sync::Arc::clone(engine.rules());
    let finished = std::sync::Arc::new(std::sync::Mutex::new(None::<Evaluation>));
    let found = std::sync::Arc::clone(&finished);
    let kept: crate::engine::drive::Sink<Vec<(crate::domain::Timestamp, Evaluation)>> = Box::new(move |batch| {
        if let (Ok(mut found), Some((_, evaluation))) = (found.lock(), batch.into_iter().next_back()) {
            *found = Some(evaluation);
        }
        std::ops::ControlFlow::Continue(())
    });
    let mut engine = runtime()?.block_on(async {
        let (_orders, inbox) = tokio::sync::mpsc::unbounded_channel();
        drive(engine, Pace::Unpaced, inbox, None, Sinks { kept: Some(kept), ..Sinks::default() }).await
    });
    let layers = engine.snapshot().pipeline;
    let missing = || Failure::usage(format!("{} left no trace of a single attempt", args.number));
    let spans = readings.spans(&layers, args.number).ok_or_else(missing)?;
    let evaluation = finished.lock().ok().and_then(|mut found| found.take()).ok_or_else(missing)?;
    let trace_id = ResultId::new(!seed.0, WallClock::start().began().as_nanos()).to_string().replace('-', "");
    super::output::print(&match args.format {
        Format::Text => waterfall(&spans, &trace_id, &evaluation.shown(&rules)),
        Format::Otlp => otlp(&spans, &trace_id, &evaluation),
    })
}

/// Width of the bars.
const WIDTH: usize = 40;

fn waterfall(spans: &[Span], trace_id: &str, shown: &str) -> String {
    let Some(root) = spans.first() else { return String::new() };
    let whole = (root.to_ns - root.from_ns).max(1);
    let us = |ns: u64| ns as f64 / 1e3;
    let mut text = format!("trace {trace_id}  {}  {shown}  {:.1} us\n", root.name, us(whole));
    for span in spans {
        let scale = |ns: u64| (ns as f64 / whole as f64 * WIDTH as f64) as usize;
        let before = scale(span.from_ns - root.from_ns).min(WIDTH - 1);
        let length = scale(span.to_ns - span.from_ns).clamp(1, WIDTH - before);
        let name: String = format!("{}{}", "  ".repeat(span.depth.min(1)), span.name).chars().take(25).collect();
        text.push_str(&format!(
            "{name:<25} |{}{}{}| {:>10.1} us, own {:>9.1} us\n",
            " ".repeat(before),
            "=".repeat(length),
            " ".repeat(WIDTH - before - length),
            us(span.to_ns - span.from_ns),
            us(span.own_ns)
        ));
    }
    text
}

/// One trace as OTLP in JSON: ids in hexadecimal, 64-bit integers as texts.
fn otlp(spans: &[Span], trace_id: &str, evaluation: &Evaluation) -> String {
    use serde_json::json;
    let id =
        |place: usize| ResultId::new(1, place as u64).to_string().replace('-', "").chars().take(16).collect::<String>();
    let parent = |place: usize, span: &Span| {
        spans[..place].iter().rposition(|before| before.depth < span.depth).map_or_else(String::new, id)
    };
    let ok = evaluation.outcome == crate::domain::Outcome::Ok;
    let all: Vec<_> = spans
        .iter()
        .enumerate()
        .map(|(place, span)| {
            let mut attributes =
                vec![json!({ "key": "fizzops.own_ns", "value": { "intValue": span.own_ns.to_string() } })];
            if place == 0 {
                let number = evaluation.number.to_string();
                attributes.push(json!({ "key": "fizzbuzz.number", "value": { "intValue": number } }));
                let outcome = evaluation.outcome.name();
                attributes.push(json!({ "key": "fizzbuzz.outcome", "value": { "stringValue": outcome } }));
            }
            json!({
                "traceId": trace_id, "spanId": id(place), "parentSpanId": parent(place, span), "name": span.name,
                "kind": if place == 0 { 2 } else { 1 },
                "startTimeUnixNano": span.from_ns.to_string(), "endTimeUnixNano": span.to_ns.to_string(),
                "attributes": attributes, "status": { "code": if ok || place > 0 { 1 } else { 2 } },
            })
        })
        .collect();
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "fizzops" } }] });
    let scope = json!({ "name": "fizzops", "version": env!("CARGO_PKG_VERSION") });
    let document =
        json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "scope": scope, "spans": all }] }] });
    format!("{document}\n")
}
