//! `fizzops` without a subcommand: the console over a live engine, or a line a second where there is no terminal.

use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

use super::data::LedgerArg;
use super::ledger::Keeper;
use super::session::{ClockArgs, ConfigSource, Recording, load, recorded_scenarios, runtime, scenarios};
use super::token::{Identity, identify};
use super::{Exit, Failure};
use crate::console::theme::{ASCII, Depth, Theme};
use crate::console::{self, App, Ended, Operator, format};
use crate::domain::text::nearest;
use crate::domain::{EventMask, Outcome};
use crate::engine::drive::{Pace, Remote, Sinks, drive};
use crate::engine::tally::Counts;
use crate::engine::{Command, Engine, Frame, Options, Settings, WallClock};
use crate::mechanisms::auth::Role;
use crate::recording::{Given, Notes};

#[derive(Debug, Args)]
pub struct LiveArgs {
    #[command(flatten)]
    source: ConfigSource,
    #[command(flatten)]
    clock: ClockArgs,
    /// On the virtual clock, this many times as fast as real time
    #[arg(long, value_name = "X", requires = "simulated", value_parser = speed)]
    speed: Option<f64>,
    /// Evaluations a second; 0 is as fast as they go [default: 1000]
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Begin with faults at this level, 1 to 5
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=5))]
    chaos_level: Option<u8>,
    /// End after this long, e.g. 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Who operates the console [default: rbac.user]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// In which role: what it may not do is shown as such
    #[arg(long)]
    role: Option<Role>,
    /// Come in with the token in FILE, instead of $EFP_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Record the session to FILE
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    ledger: LedgerArg,
    #[command(flatten)]
    data: super::data::DataArgs,
    #[command(flatten)]
    look: Look,
}

/// What the console looks like.
#[derive(Debug, Args)]
pub struct Look {
    /// dark, light, or a theme file
    #[arg(long, value_name = "THEME", env = "EFP_THEME", default_value = "dark")]
    theme: String,
    /// Draw with ASCII characters only
    #[arg(long)]
    ascii: bool,
}

impl Look {
    /// The theme, for what the terminal can show.
    pub fn theme(&self) -> Result<Theme, Failure> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let no_color = !variable("NO_COLOR").is_empty();
        self.theme_for(Depth::of(no_color, &variable("COLORTERM"), &variable("TERM")))
    }

    /// The theme, for this many colours.
    pub fn theme_for(&self, depth: Depth) -> Result<Theme, Failure> {
        let mut theme = match Theme::built_in(&self.theme, depth) {
            Some(theme) => theme?,
            None => self.file(depth)?,
        };
        if self.ascii {
            theme.glyphs = ASCII;
        }
        Ok(theme)
    }

    fn file(&self, depth: Depth) -> Result<Theme, Failure> {
        let text = std::fs::read_to_string(&self.theme).map_err(|error| {
            let known = Theme::NAMES.join(", ");
            let hint =
                nearest(&self.theme, Theme::NAMES).map_or_else(String::new, |name| format!("; did you mean {name}?"));
            Failure::usage(format!(
                "theme {}: neither one of {known} nor a file that can be read ({error}){hint}",
                self.theme
            ))
        })?;
        Ok(Theme::load(&text, &self.theme, depth)?)
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.01..=100_000.0).contains(&speed) => Ok(speed),
        _ => Err("a speed is a number from 0.01 to 100000".into()),
    }
}

/// A span as people write it: 30s, 5m, 1h 30m.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "write it as 30s, 5m or 1h30m".to_owned())?;
    Duration::try_from(span).ok().filter(|span| !span.is_zero()).ok_or_else(|| "it must be longer than nothing".into())
}

/// Runs.
pub fn main(args: &LiveArgs) -> Result<Exit, Failure> {
    let mut flags = Vec::new();
    if let Some(rate) = args.rate {
        flags.push(("workload.rate", rate.to_string(), "--rate"));
    }
    if let Some(level) = args.chaos_level {
        flags.push(("chaos.enabled", "true".into(), "--chaos-level"));
        flags.push(("chaos.level", level.to_string(), "--chaos-level"));
    }
    if let Some(user) = &args.user {
        flags.push(("rbac.user", serde_json::to_string(user).unwrap_or_default(), "--user"));
    }
    if let Some(role) = args.role {
        flags.push(("rbac.role", role.name().into(), "--role"));
    }
    let mut settings = load(&Settings::everything(), &args.source, &flags)?.value;
    let identity = identify(&settings, &args.data.dir, args.token_file.as_deref(), args.user.as_deref())
        .map_err(|failure| args.ledger.refused(&args.data.dir, &settings, args.user.as_deref(), failure))?;
    // Nothing of the engine's, and of no recording.
    settings.rbac.users.clear();
    if let Some(identity) = &identity {
        (settings.rbac.user, settings.rbac.role) = (identity.user.clone(), identity.role);
    }
    // Without authorization everybody at the terminal may do everything.
    let role = if settings.rbac.enabled || identity.is_some() { settings.rbac.role } else { Role::FizzBuzzSuperuser };
    let operator = Operator { name: settings.rbac.user.clone(), role };
    let theme = args.look.theme()?;
    let known = scenarios()?;
    let mut keeper = args.ledger.open(&args.data.dir, &settings)?;
    let start = keeper.as_ref().map(Keeper::start).unwrap_or_default();
    let authenticated = identity.and_then(Identity::by_token);
    let given = Given {
        scenarios: recorded_scenarios(&known),
        ledger: start.clone(),
        authenticated: authenticated.clone(),
        ..Given::default()
    };
    let options = Options {
        wall: (!args.clock.simulated).then(WallClock::start),
        events: EventMask::operations(),
        leaves: keeper.is_some(),
        ledger: start,
        authenticated,
        calls: args.record.is_some(),
        definitions: super::flags::definitions(&settings)?,
        keep: args.data.keeps(),
        playbook: Some(Arc::new(known)),
        ..Options::simulated(args.clock.seed().0)
    };
    let mut engine = Engine::new(&settings, options)?;
    let info = engine.info().clone();
    let held = keeper.as_mut().and_then(Keeper::take_dir);
    let kept = args.data.open(&mut engine, &settings, held)?;
    let recording = args.record.as_ref().map(|path| Recording::create(path, &info, &settings, given)).transpose()?;
    let sinks = Sinks {
        frame: kept.frames(recording.as_ref().map(Recording::sink)),
        kept: kept.sink(),
        ledger: keeper.as_mut().and_then(Keeper::sink),
        ..Sinks::default()
    };
    let pace = Pace::Times(args.speed.unwrap_or(1.0));
    let (mut engine, ended) = runtime()?.block_on(async {
        let (remote, inbox) = Remote::new();
        let frames = remote.frames.subscribe();
        let task = tokio::spawn(drive(engine, pace, inbox, Some(remote.frames.clone()), sinks));
        let watch = tokio::spawn(super::flags::watch(settings.clone(), remote.clone()));
        let ended = if std::io::stdout().is_terminal() {
            let session = info.session_id.clone();
            let mut app = App::new(info, theme);
            app.operate_as(operator);
            let notes = args.record.as_ref().map(|path| Notes::beside(path, &session));
            let source = console::Source::Live { remote: remote.clone(), frames, notes };
            let shown = console::run(&mut app, source, args.duration);
            let shown = AssertUnwindSafe(shown).catch_unwind().await;
            shown.map(|shown| shown.map_err(|error| terminal(&error)))
        } else {
            Ok(lines(frames, &info, args.duration).await)
        };
        watch.abort();
        if ended.is_err() {
            // Where no game day runs this is refused, which is as well.
            remote.send("a panic of the console", Command::AbortGameDay);
        }
        remote.send("the end of the session", Command::Stop);
        let engine = task.await.map_err(|error| Failure::usage(format!("the engine stopped: {error}")))?;
        Ok::<_, Failure>((engine, ended))
    })?;
    if let Some(keeper) = keeper {
        keeper.finish()?;
    }
    if let Some(recording) = recording {
        recording.finish(engine.ledger_head())?;
    }
    engine.hide_journal();
    kept.finish(false)?;
    // The console's panic goes on where everything is taken back and kept.
    let ended = ended.unwrap_or_else(|panic| resume_unwind(panic))?;
    if let Some(path) = &args.record {
        // With stderr closed there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "recorded: fizzops replay {}", path.display());
    }
    Ok(exit(ended))
}

/// The program's end for the console's.
pub const fn exit(ended: Ended) -> Exit {
    match ended {
        Ended::Quit | Ended::TimeIsUp => Exit::Done,
        Ended::Interrupted => Exit::Interrupted,
    }
}

/// The terminal cannot be used.
pub fn terminal(error: &std::io::Error) -> Failure {
    Failure::usage(format!("the terminal cannot be used: {error}"))
}

/// Where there is no terminal: a plain line a second.
async fn lines(
    mut frames: tokio::sync::broadcast::Receiver<Arc<Frame>>,
    info: &crate::engine::SessionInfo,
    time: Option<Duration>,
) -> Result<Ended, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| terminal(&error))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| terminal(&error))?;
    let end = time.map(|time| tokio::time::Instant::now() + time);
    let over = async {
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.tick().await;
    let mut last: Option<Arc<Frame>> = None;
    let mut told = Counts::default();
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(Ended::Interrupted),
            _ = hangup.recv() => return Ok(Ended::Interrupted),
            _ = tokio::signal::ctrl_c() => return Ok(Ended::Interrupted),
            _ = tick.tick() => {
                if let Some(frame) = &last {
                    let line = status(info, frame, &told);
                    told = frame.snapshot.counts;
                    if writeln!(std::io::stdout(), "{line}").is_err() {
                        // Nobody reads on: that is how `| head` ends it.
                        return Ok(Ended::Quit);
                    }
                }
            }
            () = &mut over => return Ok(Ended::TimeIsUp),
            frame = frames.recv() => match frame {
                Ok(frame) => {
                    let finished = frame.snapshot.finished;
                    last = Some(frame);
                    if finished {
                        return Ok(Ended::TimeIsUp);
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(Ended::Quit),
            },
        }
    }
}

/// One line: time, state, and what finished since the line before.
fn status(info: &crate::engine::SessionInfo, frame: &Frame, told: &Counts) -> String {
    let now = &frame.snapshot;
    let counts = now.counts.since(told);
    let share = |count| format::share(count, counts.evaluations);
    let breakers = now.breakers.iter().filter(|breaker| breaker.enabled);
    let states: Vec<_> = breakers.map(|breaker| breaker.state.name()).collect();
    format!(
        "{} {} evaluations={} right={} wrong={} failed={} rejected={} p99={} breaker={} chaos={} alerts={}",
        format::elapsed(info.began, frame.at),
        if now.paused { "paused" } else { "running" },
        counts.evaluations,
        share(counts.right()),
        share(counts.wrong),
        share(counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut)),
        share(counts.of(Outcome::Rejected)),
        format::span(now.latency.p99_ns),
        states.join(","),
        now.chaos.level,
        now.slos.active.len()
    )
    .replace(" %", "%")
    .replace(" us", "us")
    .replace(" ms", "ms")
}
