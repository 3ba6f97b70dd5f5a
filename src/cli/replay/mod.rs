//! `fizzops replay`: a recorded session in the console, as a picture or a cast, verified, compared or redacted; or what it
//! was in a few lines where there is no terminal.

mod cast;

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::live::{Look, duration, exit, terminal};
use super::session::runtime;
use super::{Exit, Failure};
use crate::console::narrate;
use crate::console::picture::{Picture, picture, size};
use crate::console::theme::Depth;
use crate::console::{self, App, Player, Source, Tab, format};
use crate::domain::{ErrorCode, Event, Outcome};
use crate::engine::Playbook;
use crate::gameday::{Scenario, Scenarios};
use crate::recording::{Difference, Fault, Notes, Recording, RedactError, Repeated, compare, redact, repeat, verify};
use cast::{Cast, Version};

const AFTER_HELP: &str = "\
Keys: space plays and pauses, + and - change the speed (0.1 to 100 times), left and right go 5 seconds, t goes to a time,
a f b c go to the next alert, fault, breaker transition or command (in capitals: the one before), < and > step by event,
, and . by frame, m sets a marker, n goes to the next one, [ and ] bound a loop, i writes a note into FILE.notes.jsonl.

Examples:
  fizzops --record day.fizz                       record a session
  fizzops replay day.fizz                         and look at it again
  fizzops replay day.fizz --verify                is it whole, and does it repeat?
  fizzops replay day.fizz --frame 12s --tab breakers --format svg > breakers.svg
  fizzops replay day.fizz --export-cast day.cast --tab breakers --speed 10
  fizzops replay day.fizz --redact events,auth --output shared.fizz
  fizzops replay diff monday.fizz tuesday.fizz    where do two sessions part?

Exit codes: 1 two sessions differ; 2 usage; 4 the recording is cut, changed, or does not repeat.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ReplayArgs {
    #[command(subcommand)]
    command: Option<Sub>,
    /// The recording
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Check every byte and link, the ledger's head, and on the virtual clock repeat the session
    #[arg(long, conflicts_with_all = ["frame", "export_cast", "redact"])]
    verify: bool,
    /// Print one screen, as it was this long after the start (e.g. 12s), and end; `end` is the last one
    #[arg(long, value_name = "TIME", value_parser = moment, group = "screens")]
    frame: Option<Duration>,
    /// Write the session as an asciicast to OUT
    #[arg(long, value_name = "OUT", group = "screens")]
    export_cast: Option<PathBuf>,
    /// Which version of the asciicast format
    #[arg(long, value_enum, default_value_t = Version::Two, requires = "export_cast")]
    cast_version: Version,
    /// How many times as fast as it was the cast is
    #[arg(long, value_name = "X", default_value = "1", value_parser = speed, requires = "export_cast")]
    speed: f64,
    /// Which tab is printed or exported
    #[arg(long, value_enum, default_value_t = Tab::Overview, requires = "screens")]
    tab: Tab,
    /// How large the screen is
    #[arg(long, value_name = "COLSxROWS", value_parser = size, default_value = "120x40", requires = "screens")]
    size: (u16, u16),
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Picture::Text, requires = "frame")]
    format: Picture,
    /// Write a copy without these sections (events, samples, instructions, calls, or a part of the snapshot such as auth)
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', requires = "output", conflicts_with = "screens")]
    redact: Vec<String>,
    /// Where the copy goes; it must not exist yet
    #[arg(long, value_name = "COPY", requires = "redact")]
    output: Option<PathBuf>,
    #[command(flatten)]
    look: Look,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Tell where two recorded sessions part
    Diff {
        /// A recording
        one: PathBuf,
        /// Another one
        other: PathBuf,
    },
}

/// A moment of a recording.
fn moment(text: &str) -> Result<Duration, String> {
    match text {
        "end" => Ok(Duration::MAX),
        "0" | "0s" => Ok(Duration::ZERO),
        text => duration(text),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|speed| (0.1..=1_000.0).contains(speed))
        .ok_or_else(|| "a speed is from 0.1 to 1000".into())
}

/// Runs.
pub fn main(args: &ReplayArgs) -> Result<Exit, Failure> {
    if let Some(Sub::Diff { one, other }) = &args.command {
        return diff(one, other);
    }
    let Some(file) = &args.file else { return Err(Failure::usage("which recording?")) };
    if args.verify {
        return verified(file);
    }
    if let Some(copy) = &args.output {
        return redacted(file, &args.redact, copy);
    }
    let mut recording = Recording::open(file)?;
    if let Some(at) = args.frame {
        let text = screen(args, &mut recording, at)?;
        super::output::print(&text)?;
        return ended(recording.damage(), file, Exit::Done);
    }
    if let Some(out) = &args.export_cast {
        export(args, &mut recording, out)?;
        return ended(recording.damage(), file, Exit::Done);
    }
    if !std::io::stdout().is_terminal() {
        recording.check();
        let text = summary(&mut recording)?;
        super::output::print(&text)?;
        return ended(recording.damage(), file, Exit::Done);
    }
    let damage = recording.damage().map(str::to_owned);
    let mut app = App::new(recording.header.info.clone(), args.look.theme()?);
    if let Some(damage) = &damage {
        app.notify(format!("the recording is damaged, what is whole is shown: {damage}"));
    }
    let source = Source::Replay(Box::new(Player::new(recording)));
    let end = runtime()?.block_on(console::run(&mut app, source, None)).map_err(|error| terminal(&error))?;
    ended(damage.as_deref(), file, exit(end))
}

/// The exit code, or the failure that a damaged recording is.
fn ended(damage: Option<&str>, file: &Path, exit: Exit) -> Result<Exit, Failure> {
    match damage {
        None => Ok(exit),
        Some(damage) => {
            let message = format!("{} is damaged, what is whole was shown: {damage}", file.display());
            Err(Failure::new(Exit::Integrity, Some(ErrorCode::RecordingDamaged), message))
        }
    }
}

/// One screen.
fn screen(args: &ReplayArgs, recording: &mut Recording, at: Duration) -> Result<String, Failure> {
    let length = recording.to().since(recording.from());
    if at != Duration::MAX && at > length {
        let seconds = length.as_secs_f64();
        return Err(Failure::usage(format!(
            "--frame: the recording ends after {seconds:.1} s; `end` is its last screen"
        )));
    }
    let depth = if args.format == Picture::Text { Depth::None } else { Depth::True };
    let mut app = App::new(recording.header.info.clone(), args.look.theme_for(depth)?);
    app.open(args.tab);
    let moment = if at == Duration::MAX { recording.to() } else { recording.from() + at };
    let frame = recording.at(moment)?;
    app.show(recording.moment(frame, console::timeline::EVENTS, console::timeline::SAMPLES)?);
    let (width, height) = args.size;
    Ok(picture(&app, width, height, args.format))
}

/// A cast of all of it.
fn export(args: &ReplayArgs, recording: &mut Recording, out: &Path) -> Result<(), Failure> {
    let write = |error: std::io::Error| Failure::write(out, &error);
    let mut app = App::new(recording.header.info.clone(), args.look.theme_for(Depth::True)?);
    app.open(args.tab);
    let file = BufWriter::new(File::create(out).map_err(write)?);
    let title = format!("fizzops {} {}", recording.header.info.session_id, args.tab.title());
    let mut cast =
        Cast::new(file, args.cast_version, args.size, args.speed, recording.from(), &title).map_err(write)?;
    let last = recording.frames().saturating_sub(1);
    for place in 0..recording.chunks().len() {
        let first = recording.chunks().get(place).map_or(0, |chunk| chunk.first);
        for (at, frame) in (first..).zip(recording.chunk_frames(place)?) {
            app.fold(Arc::clone(&frame));
            cast.frame(&app, &frame, at == last).map_err(write)?;
        }
    }
    cast.finish().map_err(write)
}

/// The scenarios that a session had.
fn playbook(recording: &Recording) -> Option<Arc<dyn Playbook>> {
    let texts = &recording.header.given.scenarios;
    let scenarios = texts.iter().filter_map(|text| Scenario::parse(text, "the recording").ok());
    (!texts.is_empty()).then(|| Arc::new(Scenarios::of(scenarios)) as Arc<dyn Playbook>)
}

fn verified(file: &Path) -> Result<Exit, Failure> {
    let failed = |message: String| {
        let message = format!("{}: {message}", file.display());
        Failure::new(Exit::Integrity, Some(ErrorCode::RecordingDamaged), message)
    };
    let found = verify(file).map_err(|fault| match fault {
        Fault::Unreadable(error) => error.into(),
        fault => failed(fault.to_string()),
    })?;
    let mut recording = Recording::open(file)?;
    let playbook = playbook(&recording);
    let repeated = match repeat(&mut recording, playbook)? {
        Repeated::Same { events } => format!("yes: {} events and every frame are the same", format::grouped(events)),
        Repeated::Differs { frame, problem } => {
            return Err(failed(format!("it does not repeat: frame {frame}, {problem}")));
        }
        Repeated::Not(why) => format!("no: {why}"),
    };
    let mut text = format!(
        "chunks       {}, each with the hash of the one before\nframes       {}\nevents       {}\n",
        found.chunks,
        format::grouped(found.frames),
        format::grouped(found.events)
    );
    if let Some(head) = &found.ledger_head {
        text.push_str(&format!("ledger head  {head}\n"));
    }
    if !found.redacted.is_empty() {
        text.push_str(&format!("redacted     {}\n", found.redacted.join(", ")));
    }
    text.push_str(&format!("repeated     {repeated}\nseal         {}\n", found.seal));
    super::output::print(&text)
}

fn redacted(file: &Path, fields: &[String], copy: &Path) -> Result<Exit, Failure> {
    let done = redact(file, fields, copy).map_err(|error| match error {
        RedactError::Unknown { .. } => Failure::usage(format!("--redact: {error}")),
        RedactError::Io(error) => Failure::write(copy, &error),
        RedactError::Recording(error) | RedactError::Fault(Fault::Unreadable(error)) => error.into(),
        RedactError::Fault(fault) => {
            let message = format!("{}: {fault}; only a whole recording is copied", file.display());
            Failure::new(Exit::Integrity, Some(ErrorCode::RecordingDamaged), message)
        }
    })?;
    let mut text = format!("{} without {}\nseal         {}\n", copy.display(), done.sections.join(", "), done.seal);
    let notes = Notes::beside(file, "");
    if notes.path().is_file() {
        text.push_str(&format!("the notes in {} are not part of it\n", notes.path().display()));
    }
    super::output::print(&text)
}

fn diff(one: &Path, other: &Path) -> Result<Exit, Failure> {
    let (mut first, mut second) = (Recording::open(one)?, Recording::open(other)?);
    let Difference { settings, event, events, frame } = compare(&mut first, &mut second)?;
    let mut text = String::new();
    settings.iter().for_each(|difference| text.push_str(&format!("settings     {difference}\n")));
    let after = |span: Duration| format!("{:.3} s", span.as_secs_f64());
    let tell = |event: &Option<Event>| event.as_ref().map_or("nothing more".into(), |event| narrate::tell(event).text);
    match &event {
        Some((at, event, other_event)) => {
            text.push_str(&format!(
                "events       part after {} that are the same, at {}\n",
                format::grouped(events),
                after(*at)
            ));
            text.push_str(&format!(
                "  {}: {}\n  {}: {}\n",
                one.display(),
                tell(event),
                other.display(),
                tell(other_event)
            ));
        }
        None => text.push_str(&format!("events       all {} are the same\n", format::grouped(events))),
    }
    match &frame {
        Some((at, place)) => text.push_str(&format!("frames       part at {}: {place}\n", after(*at))),
        None => text.push_str("frames       those made at the same moments are the same\n"),
    }
    super::output::print(&text)?;
    let damage = first.damage().map(|damage| (one, damage)).or(second.damage().map(|damage| (other, damage)));
    let same = settings.is_empty() && event.is_none() && frame.is_none();
    match damage {
        Some((file, damage)) => ended(Some(damage), file, Exit::Done),
        None => Ok(if same { Exit::Done } else { Exit::NotHeld }),
    }
}

fn summary(recording: &mut Recording) -> Result<String, Failure> {
    let last = recording.frame(recording.frames().saturating_sub(1))?;
    let info = &recording.header.info;
    let now = &last.snapshot;
    let counts = &now.counts;
    let mut text = format!(
        "session      {} seed {} {} clock\nbegan        {}\nlasted       {}\nframes       {}\nworkload     {}\n",
        info.session_id,
        info.seed,
        info.clock.name(),
        info.began,
        format::long(last.at.since(info.began).as_secs()),
        recording.frames(),
        info.workload
    );
    text.push_str(&format!(
        "evaluations  {}: right {}, wrong {}, failed {}, rejected {}\n",
        format::grouped(counts.evaluations),
        format::share(counts.right(), counts.evaluations),
        format::share(counts.wrong, counts.evaluations),
        format::share(counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut), counts.evaluations),
        format::share(counts.of(Outcome::Rejected), counts.evaluations),
    ));
    if let Some(drill) = &now.drill {
        text.push_str(&format!("game day     {}: {} ({})\n", drill.scenario, drill.verdict.text(), drill.reason));
    }
    text.push_str(&format!("alerts       {} fired, {} active\n", now.slos.fired, now.slos.active.len()));
    if let Some(head) = recording.ledger_head() {
        text.push_str(&format!("ledger head  {head}\n"));
    }
    if !recording.redacted().is_empty() {
        text.push_str(&format!("redacted     {}\n", recording.redacted().join(", ")));
    }
    let (notes, others) = Notes::beside(recording.path().as_ref(), &info.session_id)
        .read()
        .map_err(|error| Failure::usage(error.to_string()))?;
    for note in notes {
        let after = format::long(note.at.since(info.began).as_secs());
        text.push_str(&format!("note         {after}, {}: {}\n", note.by, note.text));
    }
    if others > 0 {
        text.push_str(&format!("notes        {others} lines cannot be read\n"));
    }
    Ok(text)
}
