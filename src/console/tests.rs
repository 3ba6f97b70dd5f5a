//! Screens from recorded frames: what they show, at which sizes, and that a replay shows the same.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::commands::Tab;
use super::theme::{Depth, Theme};
use super::*;
use crate::domain::{EventMask, Timestamp};
use crate::engine::{Command, Engine, Frame, Options, SessionInfo, Settings};
use crate::gameday::Scenarios;
use crate::mechanisms::breaker::BreakerCommand;
use crate::mechanisms::chaos::ChaosCommand;
use crate::mechanisms::flags::FlagsCommand;
use crate::mechanisms::limits::{BulkheadCommand, LimiterCommand, RetryCommand};
use crate::recording::{Recorder, Recording};

/// A session on the virtual clock that has something of everything: 10 s of calm, a game day, chaos, a tripped breaker,
/// a flag turned off.
struct Session {
    info: SessionInfo,
    settings: Settings,
    frames: Vec<Frame>,
}

fn session(orders: &[(u64, Command)], seconds: u64) -> Session {
    let mut settings = Settings::everything();
    settings.workload.rate = 100;
    let options = Options {
        events: EventMask::operations(),
        playbook: Some(Arc::new(Scenarios::built_in().unwrap())),
        ..Options::simulated(7)
    };
    let mut engine = Engine::new(&settings, options).unwrap();
    let info = engine.info().clone();
    let mut frames = vec![engine.frame()];
    let mut orders = orders.iter();
    let mut order = orders.next();
    for tenth in 1..=seconds * 10 {
        let at = info.began + std::time::Duration::from_millis(tenth * 100);
        engine.advance(at, usize::MAX);
        while let Some((due, command)) = order
            && *due * 10 <= tenth
        {
            let _ = engine.apply(OPERATOR, command.clone());
            order = orders.next();
        }
        frames.push(engine.frame());
    }
    Session { info, settings, frames }
}

fn eventful() -> Session {
    session(
        &[
            (10, Command::StartGameDay { name: "modulo_meltdown".into() }),
            (14, Command::Chaos(ChaosCommand::SetLevel { level: 3 })),
            (20, Command::Breaker(BreakerCommand::ForceOpen { circuit: None })),
            (22, Command::Flags(FlagsCommand::Toggle { flag: "fizz_rule_enabled".into() })),
        ],
        24,
    )
}

fn app(session: &Session) -> App {
    let mut app = App::new(session.info.clone(), Theme::plain());
    session.frames.iter().for_each(|frame| app.fold(Arc::new(frame.clone())));
    app
}

fn press(app: &mut App, text: &str) -> Option<Effect> {
    let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
    text.chars().fold(None, |_, letter| {
        app.on_key(&match letter {
            '\n' => key(KeyCode::Enter),
            '\x1b' => key(KeyCode::Esc),
            letter => key(KeyCode::Char(letter)),
        })
    })
}

fn screen(app: &App, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| app.draw(frame.area(), frame.buffer_mut())).unwrap();
    terminal
}

fn text(app: &App, width: u16, height: u16) -> String {
    screen(app, width, height).backend().to_string()
}

#[test]
fn every_tab_at_both_sizes() {
    let session = eventful();
    let mut app = app(&session);
    for (key, tab) in "123456789".chars().zip(Tab::ALL) {
        press(&mut app, &key.to_string());
        assert_eq!(app.tab(), tab);
        for (width, height) in [(80, 24), (160, 45)] {
            insta::assert_snapshot!(format!("{tab:?}_{width}x{height}"), text(&app, width, height));
        }
    }
}

#[test]
fn limits_that_are_on_tell_their_figures() {
    let orders = [
        (1, Command::SetRate { per_second: 400 }),
        (1, Command::Limiter(LimiterCommand::Enable)),
        (1, Command::Bulkhead(BulkheadCommand::MaxConcurrent { max_concurrent: 3 })),
        (1, Command::Bulkhead(BulkheadCommand::Enable)),
        (1, Command::Retry(RetryCommand::Enable)),
        (1, Command::Chaos(ChaosCommand::SetLevel { level: 4 })),
    ];
    let mut app = app(&session(&orders, 12));
    press(&mut app, "2");
    insta::assert_snapshot!("limits_on_160x45", text(&app, 160, 45));
}

#[test]
fn overlays_say_what_they_do() {
    let mut app = app(&eventful());
    press(&mut app, "?lang");
    insta::assert_snapshot!("help_searched", text(&app, 80, 24));
    assert!(matches!(press(&mut app, "\n"), Some(Effect::Send(Command::I18n(_)))));
    press(&mut app, "3t");
    insta::assert_snapshot!("confirm_trip", text(&app, 80, 24));
    assert_eq!(press(&mut app, "n"), None);
    let trip = BreakerCommand::Trip { circuit: Some("evaluation".into()) };
    assert_eq!(press(&mut app, "ty"), Some(Effect::Send(Command::Breaker(trip))));
    press(&mut app, "x");
    insta::assert_snapshot!("chaos_levels", text(&app, 80, 24));
    assert_eq!(press(&mut app, "2"), Some(Effect::Send(Command::Chaos(ChaosCommand::SetLevel { level: 2 }))));
}

#[test]
fn a_selection_stays_with_its_row_and_names_the_target() {
    let mut app = app(&eventful());
    press(&mut app, "6jj");
    let Some(Effect::Send(Command::Flags(FlagsCommand::Toggle { flag }))) = press(&mut app, "\ny") else { panic!() };
    assert_eq!(flag, "fizz_rule_enabled");
    assert_eq!(press(&mut app, "jj\x1b]"), None, "a flag without a percentage cannot be rolled");
    press(&mut app, "G");
    let Some(Effect::Send(Command::Flags(FlagsCommand::Roll { flag, percentage }))) = press(&mut app, "]y") else {
        panic!()
    };
    assert_eq!((flag.as_str(), percentage), ("wuzz_rule_experimental", 40.0));
    let started = press(&mut app, "7j\ny");
    assert_eq!(started, Some(Effect::Send(Command::StartGameDay { name: "modulo_meltdown".into() })));
}

#[test]
fn any_size_is_drawn() {
    let mut app = app(&eventful());
    for key in "1234567890?".chars() {
        press(&mut app, &key.to_string());
        for (width, height) in
            (1..100).step_by(7).flat_map(|width| (1..50).step_by(5).map(move |height| (width, height)))
        {
            screen(&app, width, height);
        }
        for (width, height) in [(60, 15), (61, 16), (79, 15), (60, 60), (300, 15), (500, 120)] {
            screen(&app, width, height);
        }
    }
    press(&mut app, "\x1b1");
    assert!(text(&app, 59, 15).contains("needs 60x15, this is 59x15"));
    assert!(text(&app, 20, 5).contains("FizzOps needs"));
    let empty = App::new(session(&[], 1).info, Theme::plain());
    assert!(text(&empty, 80, 24).contains("Waiting for the first frame"));
}

#[test]
fn states_are_told_without_colour_and_in_ascii() {
    let session = eventful();
    let mut ascii = Theme::plain();
    ascii.glyphs = theme::ASCII;
    let mut app = App::new(session.info.clone(), ascii);
    session.frames.iter().for_each(|frame| app.fold(Arc::new(frame.clone())));
    for key in "123456789".chars() {
        press(&mut app, &key.to_string());
        let text = text(&app, 120, 40);
        assert!(text.is_ascii(), "{}", text.lines().find(|line| !line.is_ascii()).unwrap());
    }
    press(&mut app, "3");
    assert!(text(&app, 80, 24).contains("X forced open"));
    let no_color = Theme::built_in("dark", Depth::None).unwrap().unwrap();
    let mut app = App::new(session.info.clone(), no_color);
    app.fold(Arc::new(session.frames.last().unwrap().clone()));
    let terminal = screen(&app, 80, 24);
    let plain = |cell: &ratatui::buffer::Cell| {
        cell.fg == ratatui::style::Color::Reset && cell.bg == ratatui::style::Color::Reset
    };
    assert!(terminal.backend().buffer().content().iter().all(plain));
}

/// All of a screen but its last two rows, which tell where a replay stands and which keys it has.
fn body(app: &App) -> Buffer {
    let area = Rect::new(0, 0, 120, 40);
    let mut buffer = Buffer::empty(area);
    app.draw(area, &mut buffer);
    buffer.resize(Rect { height: 38, ..area });
    buffer
}

#[test]
fn a_recorded_game_day_replays_to_the_same_last_screen_as_was_seen_live() {
    let session = eventful();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.fizz");
    let mut recorder = Recorder::create(&path, &session.info, &session.settings).unwrap();
    session.frames.iter().for_each(|frame| recorder.frame(frame).unwrap());
    recorder.finish(None).unwrap();
    let recording = Recording::open(&path).unwrap();
    let mut live = app(&session);
    let mut replayed = App::new(recording.header.info, Theme::plain());
    let mut player = Player::new(recording.frames);
    let show = |replayed: &mut App, player: &mut Player| {
        player.due().iter().for_each(|frame| replayed.fold(Arc::clone(frame)));
        replayed.set_player(player.view());
    };
    // Played, paused, taken back and on: the end is the same.
    show(&mut replayed, &mut player);
    player.pass(std::time::Duration::from_secs(13));
    show(&mut replayed, &mut player);
    assert!(player.act(PlayerAction::Back));
    replayed.rewind();
    show(&mut replayed, &mut player);
    assert_ne!(body(&live), body(&replayed));
    assert!(!player.act(PlayerAction::ToEnd));
    show(&mut replayed, &mut player);
    for key in "123456789".chars() {
        press(&mut live, &key.to_string());
        press(&mut replayed, &key.to_string());
        assert_eq!(body(&live), body(&replayed), "tab {key}");
    }
    press(&mut replayed, "1");
    insta::assert_snapshot!("replay_at_its_end", text(&replayed, 80, 24));
}

#[test]
fn a_player_stops_at_its_end_and_plays_again() {
    let frames = session(&[], 3).frames;
    let (first, last) = (frames.first().unwrap().at, frames.last().unwrap().at);
    let mut player = Player::new(frames);
    assert_eq!(player.due().len(), 1);
    player.act(PlayerAction::Faster);
    player.pass(std::time::Duration::from_secs(1));
    assert_eq!(player.view().position, std::time::Duration::from_secs(2));
    player.pass(std::time::Duration::from_secs(60));
    assert_eq!(player.view().position, last.since(first));
    assert!(!player.is_playing());
    assert_eq!(player.due().last().unwrap().at, last);
    assert!(player.act(PlayerAction::Toggle), "it goes back to its start");
    assert_eq!(player.due().first().map(|frame| frame.at), Some(first));
    assert!(player.is_playing() && first > Timestamp::EPOCH);
}
