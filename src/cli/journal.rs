//! `fizzops journal`: ask the durable journal what happened, when, and whether it is whole. Everything but `append`,
//! `compact` and `replay --save` also works while an engine writes.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Subcommand, ValueEnum};

use super::data::{JOURNAL, SharedDataDirArg, moment};
use super::{Exit, Failure};
use crate::domain::text::grouped;
use crate::domain::{Classification, Outcome, Timestamp};
use crate::records::bus::{Bus, Call, Middleware};
use crate::records::data_dir::DataDir;
use crate::records::files::{Disk, Files};
use crate::records::journal::cloud::{Upcasters, cloud_events, evaluation_data};
use crate::records::journal::desk::{Append, AsOf, Audit, Compact, Desk, Find, Wanted};
use crate::records::journal::log::{Expected, Item, Log, LogConfig, Moment, NewEvent, Reader, Retention, Totals};
use crate::records::journal::projection::CurrentResults;
use crate::records::journal::{EvaluationRow, FACTS, JournalError};
use crate::records::specification::{Filter, results::SCHEMA};

const AFTER_HELP: &str = "\
A filter compares fields: number, output, outcome, class, error, correct, source, sequence, duration, at, faults,
attempts, session, confidence; with = != < <= > >=, in (…), between … and …, like, contains, starts_with, ends_with,
is null, and, or, not and brackets.

Examples:
  fizzops run --range 1 1000 --journal --data-dir ./data
  fizzops journal query 'number > 10 and output = \"Fizz\" and outcome != failed' --data-dir ./data
  fizzops journal query 'duration > 5ms and not correct' --last --limit 20
  fizzops journal at 50                                  what was known after event 50
  fizzops journal at 2026-01-01T00:00:30Z --results      every number's last result at that moment
  fizzops journal export --format ndjson > events.ndjson CloudEvents 1.0
  fizzops journal compact --keep-events 1000000";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct JournalArgs {
    #[command(flatten)]
    dir: SharedDataDirArg,
    /// Tell on stderr how long query, at, append and compact took
    #[arg(long, global = true)]
    timing: bool,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each, aligned.
    Table,
    /// A JSON document each line.
    Ndjson,
    /// With a header.
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// CloudEvents 1.0, one each line.
    Ndjson,
    /// Evaluations with a header; other events have no columns.
    Csv,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// The evaluations that a filter accepts
    Query {
        /// What they must be like [default: anything]
        filter: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// The last ones instead of the first
        #[arg(long)]
        last: bool,
        /// Events of this stream instead, e.g. operations
        #[arg(long, value_name = "NAME", conflicts_with = "filter")]
        stream: Option<String>,
        /// How they are written
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// What was known at a moment
    At {
        /// An event's number, or a time in RFC 3339
        moment: String,
        /// Also every number's last result
        #[arg(long)]
        results: bool,
    },
    /// Go over all events again and compare with what is kept of them
    Replay {
        /// Keep the rebuilt projection as a snapshot
        #[arg(long)]
        save: bool,
    },
    /// Check every record, hash and number
    Verify,
    /// What follows from all events
    Stats,
    /// Let go of old events; their hashes stay
    Compact {
        /// Keep at least the last N events
        #[arg(long, value_name = "N", required_unless_present = "keep_since")]
        keep_events: Option<u64>,
        /// Keep everything after this time (RFC 3339)
        #[arg(long, value_name = "TIME", value_parser = time)]
        keep_since: Option<Timestamp>,
    },
    /// Write events for other programs
    Export {
        /// What evaluations must be like [default: anything]; other events are left out then
        filter: Option<String>,
        /// How
        #[arg(long, value_enum, default_value_t = ExportFormat::Ndjson)]
        format: ExportFormat,
        /// Each domain event of an evaluation by itself
        #[arg(long)]
        facts: bool,
        /// Begin behind this event
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: u64,
    },
    /// Append an event to a stream
    Append {
        /// The stream
        stream: String,
        /// The event's type
        #[arg(long, value_name = "TYPE")]
        kind: String,
        /// What it tells, a JSON value
        #[arg(long, default_value = "{}", value_name = "JSON")]
        data: String,
        /// Where the stream must be: none, any, exists, or the number of its last event
        #[arg(long, default_value = "any", value_name = "VERSION")]
        expect: Expected,
        /// The event's name for ever, a UUID; appending it again changes nothing
        #[arg(long, value_name = "UUID")]
        id: Option<uuid::Uuid>,
    },
}

fn time(text: &str) -> Result<Timestamp, String> {
    let moment: jiff::Timestamp = text.parse().map_err(|_| "a time is written as 2026-01-01T00:00:00Z".to_owned())?;
    u64::try_from(moment.as_nanosecond())
        .map(Timestamp::from_nanos)
        .map_err(|_| "it is before 1970 or after 2554".into())
}

/// Runs.
pub fn main(args: &JournalArgs) -> Result<Exit, Failure> {
    let path = args.dir.path()?;
    match &args.command {
        Sub::Query { filter, limit, last, stream, format } => {
            let filter = filter_of(filter.as_deref())?;
            let wanted = stream.clone().map_or(Wanted::Evaluations(filter), Wanted::Stream);
            let csv = *format == Format::Csv && stream.is_none();
            let told: fn(&Item<'_>) -> String = match format {
                Format::Table => |item| shown(item, Format::Table),
                Format::Ndjson => |item| shown(item, Format::Ndjson),
                Format::Csv => |item| shown(item, Format::Csv),
            };
            let found = asking(&path, args.timing)?.send(Find { wanted, limit: *limit, last: *last, told })?;
            lines(csv.then_some(CSV), &found)
        }
        Sub::At { moment, results } => {
            let moment = match moment.parse() {
                Ok(version) => Moment::Version(version),
                Err(_) => Moment::Time(time(moment).map_err(|problem| {
                    Failure::usage(format!("{moment}: neither an event's number nor a time; {problem}"))
                })?),
            };
            let (state, results) = asking(&path, args.timing)?.send(AsOf { moment, results: *results })?;
            let mut text = format!("after event {}\n{}", grouped(state.version), totals(&state));
            for (number, current) in results.into_iter().flat_map(|all| all.results) {
                text.push_str(&format!("{number:>12}  {}\n", current.shown));
            }
            super::output::print(&text)
        }
        Sub::Replay { save } => {
            let lock = save.then(|| DataDir::lock(&path)).transpose()?;
            let (files, reader) = open(&path)?;
            let exit = replay(&*files, &reader, lock.is_some());
            drop(lock);
            exit
        }
        Sub::Verify => {
            let report = open(&path)?.1.verify()?;
            super::output::print(&format!(
                "journal verified: {} events, {} evaluations, {} commits in {} segments ({} compacted)\nhead {}\n",
                grouped(report.totals.version),
                grouped(report.totals.evaluations),
                grouped(report.commits),
                report.segments,
                report.compacted,
                report.head
            ))
        }
        Sub::Stats => {
            let (_, reader) = open(&path)?;
            let mut text = totals(&reader.totals());
            let streams = reader.streams();
            text.push_str(&format!(
                "  {:<20} {} in {} segments, {} bytes, first event kept {}\n",
                "on the disk",
                path.display(),
                reader.segments(),
                grouped(reader.bytes()?),
                reader.first()
            ));
            for (stream, position) in streams {
                text.push_str(&format!("  {:<20} {position} events\n", format!("stream {stream}")));
            }
            super::output::print(&text)
        }
        Sub::Compact { keep_events, keep_since } => {
            let retention = Retention { events: *keep_events, since: *keep_since };
            let report = changing(&path, args.timing, |bus| Ok(bus.send(Compact(retention))?))?;
            super::output::print(&format!(
                "compacted {} segments: {} events, {} bytes given back; what is kept begins with event {}\n",
                report.segments,
                grouped(report.events),
                grouped(report.bytes),
                report.first
            ))
        }
        Sub::Export { filter, format, facts, after } => {
            let filtered = filter.is_some();
            let filter = filter_of(filter.as_deref())?;
            export(&open(&path)?.1, filtered.then_some(&filter), *format, *facts, *after)
        }
        Sub::Append { stream, kind, data, expect, id } => {
            let event = NewEvent { id: *id, ..NewEvent::new(kind, data) };
            let append = Append { stream: stream.clone(), expected: *expect, event };
            let appended = changing(&path, args.timing, |bus| Ok(bus.send(append)?))?;
            let how = if appended.again { "was there already" } else { "is on the disk" };
            super::output::print(&format!(
                "event {} {how}, number {} of stream {stream}\n",
                appended.version, appended.position
            ))
        }
    }
}

fn filter_of(text: Option<&str>) -> Result<Filter, Failure> {
    let parse = |text| Filter::parse(text, &SCHEMA).map_err(|error| Failure::usage(error.to_string()));
    text.map_or_else(|| Ok(Filter::all(&SCHEMA)), parse)
}

pub(super) fn disk(path: &Path) -> Result<Arc<dyn Files>, Failure> {
    Ok(Arc::new(Disk::new(path).map_err(|error| Failure::write(path, &error))?))
}

/// The journal for reading; a directory without one is an error, not an empty journal.
pub(super) fn open(path: &Path) -> Result<(Arc<dyn Files>, Reader), Failure> {
    let dir = DataDir::read(path)?;
    if !dir.path().join(JOURNAL).is_dir() {
        let hint = "keep one with: fizzops run --journal";
        return Err(Failure::usage(format!("{} has no journal; {hint}", path.display())));
    }
    let files = disk(path)?;
    let reader = Reader::open(Arc::clone(&files), JOURNAL)?;
    Ok((files, reader))
}

pub(super) fn lock(path: &Path) -> Result<(DataDir, Log), Failure> {
    let lock = DataDir::lock(path)?;
    let log = Log::open(disk(path)?, JOURNAL, LogConfig::default())?;
    Ok((lock, log))
}

/// Tells how long each message took.
struct Timing(Option<Instant>);

impl Middleware<Desk> for Timing {
    fn before(&mut self, _call: &Call<'_>, _desk: &mut Desk) {
        self.0 = Some(Instant::now());
    }

    fn after(&mut self, call: &Call<'_>, _desk: &mut Desk) -> Result<(), String> {
        if let Some(began) = self.0.take() {
            let ms = began.elapsed().as_secs_f64() * 1e3;
            eprintln!("fizzops: the {} {} took {ms:.3} ms", call.nature.name(), call.name);
        }
        Ok(())
    }
}

fn bus(desk: Desk, timing: bool) -> Bus<Desk> {
    let by = std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "command line".into());
    let bus = Bus::new(desk, &by);
    let bus = if timing { bus.with(Timing(None)) } else { bus };
    bus.with(Audit)
}

/// The way of queries, and of commands that need no lock.
pub(super) fn asking(path: &Path, timing: bool) -> Result<Bus<Desk>, Failure> {
    Ok(bus(Desk::reading(open(path)?.0, JOURNAL, moment()), timing))
}

/// The way of commands, with the directory's lock held as long as they take.
fn changing<T>(
    path: &Path,
    timing: bool,
    send: impl FnOnce(&mut Bus<Desk>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let _lock = DataDir::lock(path)?;
    send(&mut bus(Desk::writing(disk(path)?, JOURNAL, moment())?, timing))
}

/// The counts, a line each.
fn totals(totals: &Totals) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<20} {value}\n"));
    line("events", grouped(totals.version));
    line("evaluations", grouped(totals.evaluations));
    for (class, count) in Classification::ALL.iter().zip(totals.classes) {
        line(class.name(), grouped(count));
    }
    for (outcome, count) in Outcome::ALL.iter().zip(totals.outcomes).skip(1).filter(|(_, count)| *count > 0) {
        line(outcome.name(), grouped(count));
    }
    line("wrong", grouped(totals.wrong));
    line("from the cache", grouped(totals.cached));
    if let Some(mean) = totals.mean_us() {
        line("mean duration", format!("{mean:.3} us"));
    }
    for (name, count) in FACTS.iter().zip(totals.facts) {
        line(name, grouped(count));
    }
    line("other events", grouped(totals.others));
    text
}

fn replay(files: &dyn Files, reader: &Reader, save: bool) -> Result<Exit, Failure> {
    let mut state = Totals::default();
    let mut classifier = None;
    reader.visit(0, |item| {
        match item {
            Item::Evaluation { session, evaluation, .. } => {
                let known = classifier.as_ref().filter(|(id, _)| *id == session.id).map(|(_, known)| *known);
                let known = known.unwrap_or_else(|| session.classifier());
                classifier = Some((session.id.clone(), known));
                state.evaluation(evaluation, known);
            }
            Item::Event(_) => state.other(),
        }
        ControlFlow::Continue(())
    })?;
    let mut projection = CurrentResults::default();
    projection.bring_to(reader, state.version)?;
    if state != reader.totals() {
        let problem = "the events do not add up to what the journal's index says".to_owned();
        return Err(JournalError::Corrupt { path: JOURNAL.into(), offset: 0, problem }.into());
    }
    if save {
        projection.save(files)?;
    }
    let numbers = grouped(projection.results.len() as u64);
    super::output::print(&format!("replayed {} events, {numbers} numbers\n{}", grouped(state.version), totals(&state)))
}

struct Out(BufWriter<io::StdoutLock<'static>>);

impl Out {
    fn line(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(line.as_bytes())?;
        self.0.write_all(b"\n")
    }
}

/// The end of a listing: a closed pipe is none, anything else is a failure.
fn ended(result: io::Result<()>, mut out: Out) -> Result<Exit, Failure> {
    match result.and_then(|()| out.0.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::usage(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

const CSV: &str =
    "event,at,number,output,outcome,error,correct,source,sequence,processing_time_ns,faults,attempts,session";

fn csv_row(item: &Item<'_>) -> Option<String> {
    let Item::Evaluation { before, at, session, evaluation } = item else { return None };
    let version = before + crate::records::journal::log::fact_count(evaluation);
    let ok = evaluation.outcome == Outcome::Ok;
    let output = if ok { evaluation.output.text(evaluation.number, &session.rules) } else { "".into() };
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let error = evaluation.error.map_or("", |error| error.code());
    let fields = [
        version.to_string(),
        at.to_string(),
        evaluation.number.to_string(),
        output.into_owned(),
        evaluation.outcome.name().to_owned(),
        error.to_owned(),
        evaluation.correct.to_string(),
        evaluation.source.name().to_owned(),
        evaluation.sequence.to_string(),
        crate::domain::time::nanos(evaluation.duration).to_string(),
        evaluation.faults.to_string(),
        evaluation.attempts.to_string(),
        session.id.clone(),
    ];
    writer.write_record(&fields).ok()?;
    let bytes = writer.into_inner().ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn shown(item: &Item<'_>, format: Format) -> String {
    match (item, format) {
        (Item::Evaluation { before, at, session, evaluation }, Format::Table) => {
            let version = before + crate::records::journal::log::fact_count(evaluation);
            format!(
                "{version:>12}  {at}  {:>12}  {:<20} {:<8} {:>10} ns",
                evaluation.number,
                evaluation.shown(&session.rules),
                evaluation.source.name(),
                crate::domain::time::nanos(evaluation.duration)
            )
        }
        (Item::Event(event), Format::Table) => {
            format!("{:>12}  {}  {:>6}  {} {}", event.version, event.at, event.position, event.kind, event.data)
        }
        (Item::Evaluation { before, at, session, evaluation }, Format::Ndjson) => {
            let mut data = evaluation_data(item);
            if let Some(fields) = data.as_object_mut() {
                fields.insert("event".into(), (before + crate::records::journal::log::fact_count(evaluation)).into());
                fields.insert("at".into(), at.to_string().into());
                fields.insert("session".into(), session.id.clone().into());
                fields.insert("id".into(), session.result_id(evaluation.sequence).to_string().into());
            }
            data.to_string()
        }
        (Item::Event(event), Format::Ndjson | Format::Csv) => serde_json::json!({
            "event": event.version, "at": event.at.to_string(), "stream": event.stream, "position": event.position,
            "id": event.id.to_string(), "type": event.kind, "data": serde_json::from_str::<serde_json::Value>(&event.data).ok(),
        })
        .to_string(),
        (item, Format::Csv) => csv_row(item).unwrap_or_default(),
    }
}

fn lines(header: Option<&str>, found: &VecDeque<String>) -> Result<Exit, Failure> {
    let mut out = Out(BufWriter::new(io::stdout().lock()));
    let mut write = || header.into_iter().chain(found.iter().map(String::as_str)).try_for_each(|line| out.line(line));
    let written = write();
    ended(written, out)
}

fn export(
    reader: &Reader,
    filter: Option<&Filter>,
    format: ExportFormat,
    facts: bool,
    after: u64,
) -> Result<Exit, Failure> {
    let upcasters = Upcasters::known();
    let mut out = Out(BufWriter::with_capacity(1 << 20, io::stdout().lock()));
    let mut written = if format == ExportFormat::Csv { out.line(CSV) } else { Ok(()) };
    let mut failed = None;
    reader.visit(after.max(reader.first() - 1), |item| {
        let wanted = match (&item, filter) {
            (_, None) => true,
            (Item::Evaluation { at, session, evaluation, .. }, Some(filter)) => {
                filter.matches(&EvaluationRow { at: *at, session, evaluation })
            }
            (Item::Event(_), Some(_)) => false,
        };
        if !wanted || written.is_err() {
            return if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        written = match format {
            ExportFormat::Csv => csv_row(&item).map_or(Ok(()), |row| out.line(&row)),
            ExportFormat::Ndjson => match cloud_events(&item, &upcasters, facts) {
                Ok(events) => events.iter().try_for_each(|event| out.line(&event.to_string())),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            },
        };
        ControlFlow::Continue(())
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => ended(written, out),
    }
}
