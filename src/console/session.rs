//! The console's loop: frames, keys, signals and time, whichever comes first; it draws when something changed, at most
//! 30 times a second, and sleeps otherwise.

use std::io;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::app::{App, Effect, OPERATOR};
use super::player::{Due, Player};
use super::terminal::Screen;
use crate::engine::Frame;
use crate::engine::drive::Remote;
use crate::recording::Notes;

/// Where frames come from.
pub enum Source {
    /// A live engine.
    Live {
        /// Takes commands.
        remote: Remote,
        /// Yields frames; subscribed before the first one.
        frames: Receiver<std::sync::Arc<Frame>>,
        /// Where notes go, of a session that is recorded.
        notes: Option<Notes>,
    },
    /// A recorded session.
    Replay(Box<Player>),
}

/// Why the console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The operator left.
    Quit,
    /// A signal, Ctrl-C or the loss of the terminal.
    Interrupted,
    /// Its time was over.
    TimeIsUp,
}

/// Between two drawings, at least.
const DRAW_INTERVAL: Duration = Duration::from_millis(33);

/// Runs the console until it ends; the terminal is restored then. `time` ends it by itself.
///
/// # Errors
/// As the terminal does.
pub async fn run(app: &mut App, mut source: Source, time: Option<Duration>) -> io::Result<Ended> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut stop = signal(SignalKind::from_raw(signal_hook::consts::SIGTSTP))?;
    let mut screen = Screen::enter()?;
    let mut keys = EventStream::new();
    let began = Instant::now();
    let end = time.map(|time| began + time);
    let mut drawn = began;
    let mut ticked = began;
    let mut changed = true;
    loop {
        if let Source::Replay(player) = &mut source {
            let now = Instant::now();
            player.pass(now - ticked);
            ticked = now;
            changed |= show(app, player);
        }
        if changed && Instant::now() >= drawn {
            screen.draw(app)?;
            drawn = Instant::now() + DRAW_INTERVAL;
            changed = false;
        }
        let moving = matches!(&source, Source::Replay(player) if player.is_playing());
        let wake = if changed { Some(drawn) } else { moving.then(|| Instant::now() + DRAW_INTERVAL) };
        let effect = tokio::select! {
            // Keys first: however many frames come, the operator is heard.
            biased;
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) => {
                    changed = true;
                    app.on_key(&key)
                }
                Some(Ok(_)) => {
                    changed = true;
                    None
                }
                Some(Err(_)) | None => return Ok(Ended::Interrupted),
            },
            () = signalled(&mut hangup, &mut terminate, &mut interrupt) => return Ok(Ended::Interrupted),
            _ = stop.recv() => Some(Effect::Suspend),
            () = sleep_until(end) => return Ok(Ended::TimeIsUp),
            frame = next(&mut source) => {
                if let Some(frame) = frame {
                    app.fold(frame);
                    changed = true;
                }
                None
            }
            () = sleep_until(wake) => None,
        };
        match (effect, &mut source) {
            (None, _) => {}
            (Some(Effect::Quit), _) => return Ok(Ended::Quit),
            (Some(Effect::Interrupt), _) => return Ok(Ended::Interrupted),
            (Some(Effect::Suspend), _) => {
                screen.suspend()?;
                changed = true;
            }
            (Some(Effect::Send(command)), Source::Live { remote, .. }) => {
                let by = app.operator();
                remote.send_as(&by.name, by.role, command);
            }
            (Some(Effect::Play(action)), Source::Replay(player)) => {
                if let Err(problem) = player.act(&action) {
                    app.notify(problem);
                }
                changed = true;
            }
            (Some(Effect::Annotate { text, .. }), Source::Replay(player)) => {
                let said = player.annotate(&author(), &text);
                app.notify(said.unwrap_or_else(|problem| problem));
            }
            (Some(Effect::Annotate { at, text }), Source::Live { notes, .. }) => match notes {
                None => app.notify("nobody records this session: notes are kept beside a recording, --record FILE"),
                Some(notes) => match notes.add(at, &author(), &text) {
                    Ok(_) => app.notify(format!("noted in {}", notes.path().display())),
                    Err(error) => app.notify(format!("the note is not kept: {error}")),
                },
            },
            // The table of commands offers neither to the other.
            (Some(Effect::Send(_)), Source::Replay(_)) | (Some(Effect::Play(_)), Source::Live { .. }) => {}
        }
    }
}

/// Who writes notes.
fn author() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| OPERATOR.into())
}

/// Shows what is due of a replay; whether anything changed.
fn show(app: &mut App, player: &mut Player) -> bool {
    let some = match player.due() {
        Ok(Due::Frames(frames)) => {
            let some = !frames.is_empty();
            frames.into_iter().for_each(|frame| app.fold(frame));
            some
        }
        Ok(Due::Moment(moment)) => {
            app.show(*moment);
            true
        }
        Err(problem) => {
            app.notify(format!("the recording is damaged, what is whole is shown: {problem}"));
            true
        }
    };
    app.set_player(player.view());
    some || player.is_playing()
}

/// The next frame of a live engine; waits for ever when there will be none.
async fn next(source: &mut Source) -> Option<std::sync::Arc<Frame>> {
    match source {
        Source::Live { frames, .. } => match frames.recv().await {
            Ok(frame) => Some(frame),
            // Frames that were missed are counted by their events' numbers.
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => std::future::pending().await,
        },
        Source::Replay(_) => std::future::pending().await,
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn signalled(one: &mut Signal, two: &mut Signal, three: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = two.recv() => {}
        _ = three.recv() => {}
    }
}
