//! `fizzops outbox`: events of the journal that leave the process. `status`, `list` and `retry` also work while an engine
//! delivers.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::data::{SharedDataDirArg, moment, token};
use super::session::{ConfigSource, load};
use super::{Exit, Failure};
use crate::domain::text::grouped;
use crate::engine::{Seed, Settings};
use crate::records::journal::desk::RetryDeadLetters;
use crate::records::journal::log::Reader;
use crate::records::journal::outbox::{Outbox, OutboxConfig, Sender, Step, sink};

const AFTER_HELP: &str = "\
Events leave as CloudEvents 1.0 in JSON: by HTTP POST, one in structured mode and more in
batched mode, or a line each to a file. Delivery is at least once; an event's id is the same each
time. EFP_OUTBOX_TOKEN goes along as a bearer token.
A filter names type, group, stream, event, position, at and data, e.g. group in (slo, breaker).

Examples:
  fizzops --journal --outbox https://hooks.example.org/  deliver while a session runs
  fizzops outbox status                                 how far it is, and what waits
  fizzops outbox list                                   dead letters: events that no receiver took
  fizzops outbox retry --all                            they are sent again by the next delivery
  fizzops outbox send --sink file:alerts.ndjson --filter 'type = SLA_ALERT_FIRED'";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct OutboxArgs {
    #[command(flatten)]
    dir: SharedDataDirArg,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each, aligned.
    Table,
    /// A JSON document each line, with the event.
    Ndjson,
}

#[derive(Debug, Args)]
struct Choice {
    #[command(flatten)]
    source: ConfigSource,
    /// Which events leave [default: outbox.filter]
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// How far it is
    Status(Choice),
    /// The dead letters
    List {
        /// How they are written
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Have dead letters sent again by the next delivery
    Retry {
        /// The events' ids
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Deliver everything that waits, now; exit 1 when something could not be delivered
    Send {
        #[command(flatten)]
        choice: Choice,
        /// Where to [default: outbox.sink]
        #[arg(long, value_name = "SINK", env = "EFP_OUTBOX_SINK")]
        sink: Option<String>,
    },
}

impl Choice {
    fn config(&self, sink: Option<&String>) -> Result<OutboxConfig, Failure> {
        let quoted = |text: &String| serde_json::to_string(text).unwrap_or_default();
        let mut flags = Vec::new();
        if let Some(filter) = &self.filter {
            flags.push(("outbox.filter", quoted(filter), "--filter"));
        }
        if let Some(sink) = sink {
            flags.push(("outbox.sink", quoted(sink), "--sink"));
        }
        Ok(load(&Settings::default(), &self.source, &flags)?.value.outbox)
    }
}

/// Runs.
pub fn main(args: &OutboxArgs) -> Result<Exit, Failure> {
    let path = args.dir.path()?;
    match &args.command {
        Sub::Status(choice) => {
            let config = choice.config(None)?;
            let (files, reader) = super::journal::open(&path)?;
            let outbox = Outbox::read(files)?;
            let (state, letters) = (outbox.state(), outbox.dead_letters()?);
            let again = letters.iter().filter(|letter| letter.again).count();
            let mut text = format!(
                "delivered     {}\nwaiting       {}\ndead letters  {}\nsent again    {again} by the next delivery\nup to event   {} of {}\n",
                grouped(state.delivered),
                grouped(outbox.waiting(&reader, &config.filter()?)?),
                letters.len() - again,
                grouped(state.cursor),
                grouped(reader.totals().version)
            );
            if let Some(problem) = &state.problem {
                text.push_str(&format!("last problem  {problem}, {} failures in a row\n", state.failures));
            }
            super::output::print(&text)
        }
        Sub::List { format } => {
            let (files, _) = super::journal::open(&path)?;
            let mut text = String::new();
            for letter in Outbox::read(files)?.dead_letters()? {
                match format {
                    Format::Ndjson => {
                        // Plain data; writing it to memory cannot fail.
                        text.push_str(&serde_json::to_string(&letter).unwrap_or_default());
                        text.push('\n');
                    }
                    Format::Table => text.push_str(&format!(
                        "{}  {}  {}  {} tries  {}{}\n",
                        letter.id(),
                        letter.at,
                        letter.event.get("type").and_then(|kind| kind.as_str()).unwrap_or_default(),
                        letter.tries,
                        letter.problem,
                        if letter.again { "  (to be sent again)" } else { "" }
                    )),
                }
            }
            super::output::print(&text)
        }
        Sub::Retry { ids, all } => {
            let message = RetryDeadLetters((!all).then(|| ids.clone()));
            let marked = super::journal::asking(&path, false)?.send(message)?;
            super::output::print(&format!(
                "{marked} dead letters are sent again by the engine that runs, or by: fizzops outbox send\n"
            ))
        }
        Sub::Send { choice, sink } => send(&path, &choice.config(sink.as_ref())?),
    }
}

fn send(path: &std::path::Path, config: &OutboxConfig) -> Result<Exit, Failure> {
    let Some(address) = &config.sink else {
        return Err(Failure::usage("there is nowhere to deliver to: give --sink, or outbox.sink in the configuration"));
    };
    // There must be a journal before one is opened for writing.
    super::journal::open(path)?;
    // Opened for writing: what a crash left unsynced is durable before it is delivered.
    let (_lock, log) = super::journal::lock(path)?;
    let until = log.acknowledged();
    drop(log);
    let files = super::journal::disk(path)?;
    let reader = Reader::open(Arc::clone(&files), super::data::JOURNAL)?;
    let receiver = sink::open(address, Duration::from_millis(config.timeout_ms), token())?;
    let mut sender = Sender::new(Outbox::open(files)?, config, receiver, Seed::from_entropy().0)?;
    let before = sender.outbox().state().delivered;
    let mut failures = 0;
    let away = loop {
        match sender.step(&reader, until, moment())? {
            Step::Went(_) => failures = 0,
            Step::Idle => break false,
            Step::Refused(wait) => {
                failures = 0;
                std::thread::sleep(wait);
            }
            Step::Wait(_) if failures + 1 >= config.tries => break true,
            Step::Wait(wait) => {
                failures += 1;
                std::thread::sleep(wait);
            }
        }
    };
    if !away {
        sender.settle()?;
    }
    let outbox = sender.outbox();
    let delivered = outbox.state().delivered - before;
    let waiting = outbox.waiting(&reader, &config.filter()?)?;
    let dead = outbox.dead_letters()?.len();
    let mut text = format!("delivered {delivered} events; {waiting} wait, {dead} dead letters\n");
    if let Some(problem) = outbox.state().problem.as_ref().filter(|_| waiting > 0 || dead > 0) {
        text.push_str(&format!("last problem: {problem}\n"));
    }
    super::output::print(&text)?;
    Ok(if waiting > 0 || dead > 0 { Exit::NotHeld } else { Exit::Done })
}
