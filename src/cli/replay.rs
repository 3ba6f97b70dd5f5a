//! `fizzops replay`: a recorded session in the console, or what it was in a few lines where there is no terminal.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::live::{Look, duration, exit, terminal};
use super::session::runtime;
use super::{Exit, Failure};
use crate::console::picture::{Picture, picture, size};
use crate::console::theme::Depth;
use crate::console::{self, App, Player, Source, Tab, format};
use crate::domain::{ErrorCode, Outcome};
use crate::recording::Recording;

const AFTER_HELP: &str = "\
Keys: space plays and pauses, + and - change the speed, left and right go 5 seconds, home and end to the ends.

Examples:
  fizzops --record day.fizz      record a session
  fizzops replay day.fizz        and look at it again
  fizzops replay day.fizz --frame 12s --tab breakers --format svg > breakers.svg";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ReplayArgs {
    /// The recording
    file: PathBuf,
    /// Print one screen, as it was this long after the start (e.g. 12s), and end; `end` is the last one
    #[arg(long, value_name = "TIME", value_parser = moment)]
    frame: Option<Duration>,
    /// Which tab is printed
    #[arg(long, value_enum, default_value_t = Tab::Overview, requires = "frame")]
    tab: Tab,
    /// How large the printed screen is
    #[arg(long, value_name = "COLSxROWS", value_parser = size, default_value = "120x40", requires = "frame")]
    size: (u16, u16),
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Picture::Text, requires = "frame")]
    format: Picture,
    #[command(flatten)]
    look: Look,
}

/// A moment of a recording.
fn moment(text: &str) -> Result<Duration, String> {
    if text == "end" { Ok(Duration::MAX) } else { duration(text) }
}

/// Runs.
pub fn main(args: &ReplayArgs) -> Result<Exit, Failure> {
    let recording = Recording::open(&args.file)?;
    let damage = recording.damage.clone();
    let exit = if let Some(at) = args.frame {
        super::output::print(&screen(args, recording, at)?)?;
        Exit::Done
    } else if std::io::stdout().is_terminal() {
        let theme = args.look.theme()?;
        console::watch_logs(false);
        let mut app = App::new(recording.header.info, theme);
        if let Some(damage) = &damage {
            app.notify(format!("the recording is damaged, what is whole is shown: {damage}"));
        }
        let source = Source::Replay(Player::new(recording.frames));
        let ended = runtime()?.block_on(console::run(&mut app, source, None)).map_err(|error| terminal(&error))?;
        exit(ended)
    } else {
        super::output::print(&summary(&recording))?;
        Exit::Done
    };
    match damage {
        None => Ok(exit),
        Some(damage) => Err(Failure::new(
            Exit::Integrity,
            Some(ErrorCode::RecordingDamaged),
            format!("{} is damaged, what is whole was shown: {damage}", args.file.display()),
        )),
    }
}

/// One screen.
fn screen(args: &ReplayArgs, recording: Recording, at: Duration) -> Result<String, Failure> {
    let began = recording.header.info.began;
    let last = recording.frames.last().map_or(Duration::ZERO, |frame| frame.at.since(began));
    if at != Duration::MAX && at > last {
        let seconds = last.as_secs_f64();
        return Err(Failure::usage(format!(
            "--frame: the recording ends after {seconds:.1} s; `end` is its last screen"
        )));
    }
    let depth = if args.format == Picture::Text { Depth::None } else { Depth::True };
    let mut app = App::new(recording.header.info, args.look.theme_for(depth)?);
    console::watch_logs(false);
    app.open(args.tab);
    let shown = recording.frames.into_iter().take_while(|frame| frame.at.since(began) <= at);
    shown.for_each(|frame| app.fold(Arc::new(frame)));
    let (width, height) = args.size;
    Ok(picture(&app, width, height, args.format))
}

fn summary(recording: &Recording) -> String {
    let info = &recording.header.info;
    // A recording that was opened has a frame.
    let Some(last) = recording.frames.last() else { return String::new() };
    let now = &last.snapshot;
    let counts = &now.counts;
    let mut text = format!(
        "session      {} seed {} {} clock\nbegan        {}\nlasted       {}\nframes       {}\nworkload     {}\n",
        info.session_id,
        info.seed,
        info.clock.name(),
        info.began,
        format::long(last.at.since(info.began).as_secs()),
        recording.frames.len(),
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
    if let Some(head) = &recording.ledger_head {
        text.push_str(&format!("ledger head  {head}\n"));
    }
    text
}
