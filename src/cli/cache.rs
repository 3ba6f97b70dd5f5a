//! `fizzops cache compare`: what every policy would make of a stream of keys, and how large a cache is worth while.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};
use rustc_hash::FxHashMap;

use super::{Exit, Failure};
use crate::console::picture;
use crate::domain::ErrorCode;
use crate::domain::text::grouped;
use crate::mechanisms::breaker::CallHistory;
use crate::mechanisms::cache::Policy;
use crate::mechanisms::cache::compare::{Row, belady, break_even, hits};
use crate::recording::Recording;

const AFTER_HELP: &str = "\
A trace has one key a line, plain or gzip. Every policy starts with an empty cache and sees the keys in their order;
belady knows the future, so nobody can do better.

Examples:
  fizzops cache compare --trace keys.txt.gz --sizes 100,500,1000
  fizzops --record day.fizz && fizzops cache compare --recording day.fizz --sizes 512,1024";

#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Hit ratios of every policy and of Belady's at each size, a miss-ratio curve, and the break-even size
    Compare(CompareArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables and a chart
    Text,
    /// One JSON document
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
struct CompareArgs {
    #[command(flatten)]
    keys: Keys,
    /// Sizes to compare at, entries
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "100,500,1000", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    sizes: Vec<u64>,
    /// The policy that others are measured against
    #[arg(long, value_name = "POLICY", default_value = "lru", value_parser = policy)]
    baseline: Policy,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Where keys come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Keys {
    /// Keys, one a line, plain or gzip
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// The numbers that a recorded session asked for
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
}

fn policy(text: &str) -> Result<Policy, String> {
    text.parse().map_err(|error: crate::mechanisms::cache::UnknownPolicy| error.to_string())
}

/// Runs.
pub fn main(args: &CacheArgs) -> Result<Exit, Failure> {
    let Sub::Compare(args) = &args.command;
    let trace = match (&args.keys.trace, &args.keys.recording) {
        (Some(path), _) => read_trace(path)?,
        (None, Some(path)) => recorded(path)?,
        // clap asks for one of them.
        (None, None) => return Err(Failure::usage("name a --trace or a --recording")),
    };
    let mut sizes = args.sizes.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let bar = progress(sizes.len());
    let rows: Vec<Row> = sizes
        .iter()
        .map(|size| {
            let row = Row::of(*size, &trace);
            bar.inc(1);
            row
        })
        .collect();
    bar.finish_and_clear();
    let text = match args.format {
        Format::Json => {
            let document = serde_json::json!({
                "requests": trace.len(),
                "keys": distinct(&trace),
                "policies": Policy::ALL.map(Policy::name),
                "sizes": rows,
            });
            format!("{document:#}\n")
        }
        Format::Text => report(&trace, &rows, args.baseline),
    };
    super::output::print(&text)
}

fn progress(sizes: usize) -> indicatif::ProgressBar {
    use std::io::IsTerminal as _;
    if io::stderr().is_terminal() {
        indicatif::ProgressBar::new(sizes as u64)
    } else {
        indicatif::ProgressBar::hidden()
    }
}

fn distinct(trace: &[u64]) -> u64 {
    // Keys are numbered in the order in which they first come.
    trace.iter().max().map_or(0, |last| last + 1)
}

fn report(trace: &[u64], rows: &[Row], baseline: Policy) -> String {
    let keys = distinct(trace);
    let mut text = format!("{} requests for {} keys\n\n", grouped(trace.len() as u64), grouped(keys));
    text.push_str(&format!("{:<12}", "hits, %"));
    rows.iter().for_each(|row| text.push_str(&format!("{:>12}", grouped(row.size))));
    text.push('\n');
    for (at, policy) in Policy::ALL.iter().enumerate() {
        text.push_str(&format!("{:<12}", policy.name()));
        for row in rows {
            let ratio = row.policies.get(at).copied().unwrap_or_default();
            let best = if row.best().0 == *policy { "*" } else { " " };
            text.push_str(&format!("{:>11.2}{best}", ratio * 100.0));
        }
        text.push('\n');
    }
    text.push_str(&format!("{:<12}", "belady"));
    rows.iter().for_each(|row| text.push_str(&format!("{:>11.2} ", row.belady * 100.0)));
    text.push_str("\n* the best that can be had at this size\n\n");
    if let Some(row) = rows.last() {
        let (best, _) = row.best();
        text.push_str(&curve(trace, keys, baseline, best));
        text.push_str(&format!("      upper line {baseline}, dots {best}, lower line belady\n"));
        text.push('\n');
    }
    for row in rows {
        let (best, ratio) = row.best();
        let ours = row.ratio(baseline);
        let percent = ours * 100.0;
        let size = grouped(row.size);
        let line = match break_even(best, ours, row.size, trace) {
            _ if best == baseline => format!("{baseline} is the best at {size}: {percent:.2} %"),
            Some(even) => format!(
                "{best} with {} entries answers as much as {baseline} with {size} ({percent:.2} %); with {size} it answers {:.2} %",
                grouped(even),
                ratio * 100.0
            ),
            // The best at this size answers more than the baseline, so it breaks even here at the latest.
            None => format!("{best} at {size}: {:.2} %", ratio * 100.0),
        };
        text.push_str(&format!("break-even  {line}\n"));
    }
    text
}

/// Miss ratios over the size, for the baseline, the best policy and Belady.
fn curve(trace: &[u64], keys: u64, baseline: Policy, best: Policy) -> String {
    const POINTS: u64 = 24;
    let most = keys.max(2) as f64;
    let mut sizes: Vec<u64> = (0..=POINTS).map(|at| most.powf(at as f64 / POINTS as f64).round() as u64).collect();
    sizes.dedup();
    let points = |miss: &dyn Fn(u64) -> u64| -> Vec<(f64, f64)> {
        let ratio = |size| 100.0 - miss(size) as f64 * 100.0 / trace.len().max(1) as f64;
        sizes.iter().map(|size| ((*size as f64).log10(), ratio(*size))).collect()
    };
    let ours = points(&|size| hits(baseline, size, trace));
    let theirs = points(&|size| hits(best, size, trace));
    let least = points(&|size| belady(size, trace));
    let set = |name: &'static str, marker, data| {
        Dataset::default().name(name).marker(marker).graph_type(GraphType::Line).data(data)
    };
    let right = most.log10();
    let at = |part: f64| format!("{:.0}", most.powf(part));
    let chart = Chart::new(vec![
        set(baseline.name(), Marker::Braille, &ours),
        set(best.name(), Marker::Dot, &theirs),
        set("belady", Marker::Braille, &least),
    ])
    .x_axis(Axis::default().title("entries").bounds([0.0, right]).labels([at(0.0), at(0.5), at(1.0)]))
    .y_axis(Axis::default().title("misses, %").bounds([0.0, 100.0]).labels(["0", "50", "100"]));
    let area = Rect::new(0, 0, 78, 18);
    let mut buffer = Buffer::empty(area);
    buffer.set_style(area, Style::reset());
    chart.render(area, &mut buffer);
    picture::text(&buffer)
}

/// No key is longer.
const KEY_LIMIT: u64 = 4_096;
/// No trace has more keys.
const TRACE_LIMIT: usize = 200_000_000;

/// Reads a trace: its keys, numbered in the order in which they first come.
fn read_trace(path: &Path) -> Result<Vec<u64>, Failure> {
    let name = path.display();
    let wrong = |problem: String| Failure::new(Exit::Usage, Some(ErrorCode::Configuration), problem);
    let unreadable = |error: io::Error| wrong(format!("{name} cannot be read: {error}"));
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let packed = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    if !packed && path.extension().is_some_and(|extension| extension == "gz") {
        return Err(wrong(format!("{name} is not gzip, though it is called so; pack it, or leave .gz off its name")));
    }
    let source: Box<dyn Read> = if packed { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut lines = BufReader::new(source);
    // Keys are numbered as they come; the map is only asked, never walked.
    let mut numbers: FxHashMap<Vec<u8>, u64> = FxHashMap::default();
    let mut trace = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let number = trace.len() + 1;
        let read = lines.by_ref().take(KEY_LIMIT).read_until(b'\n', &mut line);
        if read.map_err(|error| wrong(format!("{name}:{number}: {error}")))? == 0 {
            break;
        }
        let key = line.trim_ascii();
        if key.is_empty() {
            return Err(wrong(format!("{name}:{number}: the line is empty; a trace has one key a line")));
        }
        if line.len() as u64 == KEY_LIMIT && !line.ends_with(b"\n") {
            return Err(wrong(format!("{name}:{number}: a key is at most {} bytes long", KEY_LIMIT - 1)));
        }
        if trace.len() == TRACE_LIMIT {
            return Err(wrong(format!("{name}: a trace has at most {TRACE_LIMIT} keys")));
        }
        let next = numbers.len() as u64;
        let number = match numbers.get(key) {
            Some(number) => *number,
            None => *numbers.entry(key.to_owned()).or_insert(next),
        };
        trace.push(number);
    }
    if trace.is_empty() {
        return Err(wrong(format!("{name} has no key; a trace has one a line")));
    }
    Ok(trace)
}

/// The numbers that a recorded session asked its evaluation for, in order of arrival.
pub fn recorded_numbers(path: &Path) -> Result<Vec<i64>, Failure> {
    let mut recording = Recording::open(path)?;
    let mut calls = CallHistory::default();
    let mut blocks = Vec::new();
    for place in 0..recording.chunks().len() {
        blocks.extend(recording.chunk_calls(place)?);
    }
    for block in blocks.iter().filter(|block| block.circuit == EVALUATION) {
        calls.add(block).map_err(|error| {
            let message = format!("{}: {error}", path.display());
            Failure::new(Exit::Integrity, Some(ErrorCode::RecordingDamaged), message)
        })?;
    }
    let numbers: Vec<i64> = calls.numbers();
    if numbers.is_empty() {
        let hint = "it was recorded without its calls, or nothing was asked";
        return Err(Failure::usage(format!("{} has no numbers: {hint}", path.display())));
    }
    Ok(numbers)
}

/// The breaker in front of the evaluation, whose calls are those numbers.
const EVALUATION: &str = "evaluation";

/// The same as a trace.
fn recorded(path: &Path) -> Result<Vec<u64>, Failure> {
    // As above: asked, never walked.
    let mut known: FxHashMap<i64, u64> = FxHashMap::default();
    let numbers = recorded_numbers(path)?;
    Ok(numbers
        .into_iter()
        .map(|number| {
            let next = known.len() as u64;
            *known.entry(number).or_insert(next)
        })
        .collect())
}
