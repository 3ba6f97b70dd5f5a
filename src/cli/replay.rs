//! `fizzops replay`: a recorded session in the console, or what it was in a few lines where there is no terminal.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;

use super::live::{Look, exit, terminal};
use super::session::runtime;
use super::{Exit, Failure};
use crate::console::{self, App, Player, Source, format};
use crate::domain::{ErrorCode, Outcome};
use crate::recording::Recording;

const AFTER_HELP: &str = "\
Keys: space plays and pauses, + and - change the speed, left and right go 5 seconds, home and end to the ends.

Examples:
  fizzops --record day.fizz      record a session
  fizzops replay day.fizz        and look at it again";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ReplayArgs {
    /// The recording
    file: PathBuf,
    #[command(flatten)]
    look: Look,
}

/// Runs.
pub fn main(args: &ReplayArgs) -> Result<Exit, Failure> {
    let recording = Recording::open(&args.file)?;
    let damage = recording.damage.clone();
    let exit = if std::io::stdout().is_terminal() {
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
