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
use crate::recording::{Header, MarkKind, Notes, Recorder, Recording};

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

/// The session in a file, open.
fn recorded(session: &Session, folder: &tempfile::TempDir) -> Recording {
    let path = folder.path().join("day.fizz");
    let mut recorder = Recorder::create(&path, &Header::new(&session.info, &session.settings)).unwrap();
    session.frames.iter().for_each(|frame| recorder.frame(frame).unwrap());
    recorder.finish(None).unwrap();
    Recording::open(&path).unwrap()
}

fn show(app: &mut App, player: &mut Player) {
    match player.due().unwrap() {
        Due::Frames(frames) => frames.into_iter().for_each(|frame| app.fold(frame)),
        Due::Moment(moment) => app.show(*moment),
    }
    app.set_player(player.view());
}

fn assert_same_screens(live: &mut App, replayed: &mut App) {
    for key in "1234567890".chars() {
        press(live, &key.to_string());
        press(replayed, &key.to_string());
        assert_eq!(body(live), body(replayed), "tab {key}");
    }
}

#[test]
fn a_recorded_game_day_replays_to_the_same_last_screen_as_was_seen_live() {
    let session = eventful();
    let folder = tempfile::tempdir().unwrap();
    let mut live = app(&session);
    let mut replayed = App::new(session.info.clone(), Theme::plain());
    let mut player = Player::new(recorded(&session, &folder));
    // Played, paused, taken back and on: the end is the same.
    show(&mut replayed, &mut player);
    player.pass(std::time::Duration::from_secs(13));
    show(&mut replayed, &mut player);
    player.act(&PlayerAction::Back).unwrap();
    show(&mut replayed, &mut player);
    assert_ne!(body(&live), body(&replayed));
    player.act(&PlayerAction::ToEnd).unwrap();
    show(&mut replayed, &mut player);
    assert_same_screens(&mut live, &mut replayed);
    press(&mut replayed, "1");
    insta::assert_snapshot!("replay_at_its_end", text(&replayed, 80, 24));
    // And played from start to end, frame by frame.
    let mut played = App::new(session.info.clone(), Theme::plain());
    let mut player = Player::new(recorded(&session, &folder));
    while player.is_playing() {
        player.pass(std::time::Duration::from_millis(90));
        show(&mut played, &mut player);
    }
    assert_same_screens(&mut live, &mut played);
}

#[test]
fn every_moment_is_shown_as_it_was_live() {
    let session = eventful();
    let folder = tempfile::tempdir().unwrap();
    let mut recording = recorded(&session, &folder);
    let mut live = App::new(session.info.clone(), Theme::plain());
    for (at, frame) in session.frames.iter().enumerate() {
        live.fold(Arc::new(frame.clone()));
        if at % 23 != 0 {
            continue;
        }
        let place = recording.at(frame.at).unwrap();
        let mut replayed = App::new(session.info.clone(), Theme::plain());
        replayed.show(recording.moment(place, timeline::EVENTS, timeline::SAMPLES).unwrap());
        for key in "1234567890".chars() {
            press(&mut live, &key.to_string());
            press(&mut replayed, &key.to_string());
            assert_eq!(text(&live, 100, 30), text(&replayed, 100, 30), "frame {at}, tab {key}");
        }
    }
}

#[test]
fn a_player_stops_at_its_end_and_plays_again() {
    let session = session(&[], 3);
    let folder = tempfile::tempdir().unwrap();
    let (first, last) = (session.frames.first().unwrap().at, session.frames.last().unwrap().at);
    let mut app = App::new(session.info.clone(), Theme::plain());
    let mut player = Player::new(recorded(&session, &folder));
    show(&mut app, &mut player);
    assert_eq!(app.frame().unwrap().at, first);
    player.act(&PlayerAction::Faster).unwrap();
    player.pass(std::time::Duration::from_secs(1));
    assert_eq!(player.view().at, first + std::time::Duration::from_secs(2));
    player.pass(std::time::Duration::from_secs(60));
    assert_eq!(player.view().at, last);
    assert!(!player.is_playing());
    show(&mut app, &mut player);
    assert_eq!(app.frame().unwrap().at, last);
    player.act(&PlayerAction::Toggle).unwrap();
    show(&mut app, &mut player);
    assert_eq!(app.frame().unwrap().at, first, "it goes back to its start");
    assert!(player.is_playing() && first > Timestamp::EPOCH);
    for _ in 0..20 {
        player.act(&PlayerAction::Faster).unwrap();
    }
    assert_eq!(player.view().speed, 100.0);
    for _ in 0..20 {
        player.act(&PlayerAction::Slower).unwrap();
    }
    assert_eq!(player.view().speed, 0.1);
}

#[test]
fn a_player_steps_seeks_loops_and_finds() {
    let session = eventful();
    let folder = tempfile::tempdir().unwrap();
    let recording = recorded(&session, &folder);
    let marks = recording.marks().to_vec();
    let expected: Vec<_> =
        session.frames.iter().flat_map(|frame| &frame.events).filter_map(crate::recording::Mark::of).collect();
    assert!(marks == expected && marks.len() > 10);
    let mut app = App::new(session.info.clone(), Theme::plain());
    let mut player = Player::new(recording);
    show(&mut app, &mut player);
    let act = |player: &mut Player, app: &mut App, action: PlayerAction| {
        let done = player.act(&action);
        show(app, player);
        done.map(|()| app.frame().unwrap().sequence)
    };
    assert_eq!(act(&mut player, &mut app, PlayerAction::Frame { forward: true }), Ok(1));
    assert_eq!(act(&mut player, &mut app, PlayerAction::Frame { forward: true }), Ok(2));
    assert_eq!(act(&mut player, &mut app, PlayerAction::Frame { forward: false }), Ok(1));
    assert!(!player.is_playing());
    let with_events: Vec<u64> =
        session.frames.iter().filter(|frame| !frame.events.is_empty()).map(|frame| frame.sequence).collect();
    let next = *with_events.iter().find(|at| **at > 1).unwrap();
    assert_eq!(act(&mut player, &mut app, PlayerAction::Event { forward: true }), Ok(next));
    let last = *with_events.iter().rfind(|at| **at < next).unwrap();
    assert_eq!(act(&mut player, &mut app, PlayerAction::Event { forward: false }), Ok(last));
    for kind in [MarkKind::Alert, MarkKind::Fault, MarkKind::Breaker, MarkKind::Command] {
        act(&mut player, &mut app, PlayerAction::ToStart).unwrap();
        let frames: Vec<u64> = session
            .frames
            .iter()
            .filter(|frame| frame.events.iter().any(|event| MarkKind::of(event) == Some(kind)))
            .map(|frame| frame.sequence)
            .collect();
        for frame in &frames {
            assert_eq!(act(&mut player, &mut app, PlayerAction::Mark { kind, forward: true }), Ok(*frame));
        }
        let more = act(&mut player, &mut app, PlayerAction::Mark { kind, forward: true });
        assert_eq!(more, Err(format!("there is no later {}", kind.name())));
        for frame in frames.iter().rev().skip(1) {
            assert_eq!(act(&mut player, &mut app, PlayerAction::Mark { kind, forward: false }), Ok(*frame));
        }
    }
    let seconds = std::time::Duration::from_secs;
    assert_eq!(act(&mut player, &mut app, PlayerAction::Seek(seconds(7))), Ok(70));
    let beyond = act(&mut player, &mut app, PlayerAction::Seek(seconds(99)));
    assert_eq!(beyond, Err("the recording ends after 24.0 s".into()));
    act(&mut player, &mut app, PlayerAction::Marker).unwrap();
    act(&mut player, &mut app, PlayerAction::LoopFrom).unwrap();
    act(&mut player, &mut app, PlayerAction::Seek(seconds(9))).unwrap();
    act(&mut player, &mut app, PlayerAction::LoopTo).unwrap();
    act(&mut player, &mut app, PlayerAction::Seek(seconds(8))).unwrap();
    player.act(&PlayerAction::Toggle).unwrap();
    player.pass(seconds(2));
    show(&mut app, &mut player);
    assert_eq!(app.frame().unwrap().sequence, 70, "it plays from the loop's begin");
    player.act(&PlayerAction::NoLoop).unwrap();
    player.pass(seconds(4));
    show(&mut app, &mut player);
    assert_eq!(app.frame().unwrap().sequence, 110);
    assert_eq!(act(&mut player, &mut app, PlayerAction::NextMarker), Ok(70));
    // Notes are kept beside the file, and shown where they were written.
    player.annotate("ada", "here it began").unwrap();
    show(&mut app, &mut player);
    insta::assert_snapshot!("replay_with_note_and_marks", text(&app, 100, 24));
    let notes = Notes::beside(&folder.path().join("day.fizz"), &session.info.session_id);
    assert_eq!(notes.read().unwrap().0[0].text, "here it began");
}

#[test]
fn a_live_session_is_looked_back_at_and_returned_to() {
    let session = eventful();
    let mut live = app(&session);
    let now = body(&live);
    press(&mut live, "<<");
    let frame = live.frame().unwrap().sequence;
    assert!((130..=141).contains(&frame), "{frame}");
    assert!(text(&live, 100, 30).contains("as it was 10 s ago; the session goes on"));
    let mut then = App::new(session.info.clone(), Theme::plain());
    session.frames.iter().take(frame as usize + 1).for_each(|frame| then.fold(Arc::new(frame.clone())));
    for key in "1234567890".chars() {
        press(&mut live, &key.to_string());
        press(&mut then, &key.to_string());
        assert_eq!(body(&live), body(&then), "tab {key}");
    }
    press(&mut live, "1\x1b");
    assert_eq!(body(&live), now, "the present is back");
    press(&mut live, "<>>");
    assert_eq!(body(&live), now, "beyond the last frame is the present");
    // Only so much is kept: a frame half a second, for ten minutes.
    let mut past = past::Past::default();
    for at in 0..10_000_u64 {
        let frame = Frame { at: Timestamp::from_millis(at * 100), ..session.frames[0].clone() };
        past.keep(&Arc::new(frame));
    }
    assert_eq!(past.kept(), 1_200);
}

#[test]
fn the_way_of_an_evaluation_is_opened_from_both_lists() {
    let session = session(&[(5, Command::Chaos(ChaosCommand::SetLevel { level: 2 }))], 12);
    let mut app = app(&session);
    // The newest one that came as far as the strategy.
    let traces = &session.frames.last().unwrap().snapshot.traces.recent;
    let whole = |trace: &&crate::telemetry::traces::TraceView| trace.spans.iter().any(|span| span.layer.is_none());
    let trace = traces.iter().rfind(whole).unwrap();
    let place = traces.iter().rev().position(|one| one == trace).unwrap();
    press(&mut app, &format!("2{}\n", "j".repeat(place)));
    for (width, height) in [(80, 24), (160, 45)] {
        insta::assert_snapshot!(format!("way_{width}x{height}"), text(&app, width, height));
    }
    assert!(text(&app, 160, 45).contains(&trace.trace_id));
    let spans = &trace.spans;
    assert!(spans.len() > 12, "{spans:?}");
    let ended = spans.iter().map(|span| span.to_ns).max().unwrap();
    assert_eq!(ended, trace.duration_ns, "on the virtual clock the spans add up to the evaluation");
    // What is open stays as it was while the session goes on.
    let shown = text(&app, 160, 45);
    press(&mut app, "j");
    assert_eq!(text(&app, 160, 45), shown, "it has room for all, nothing scrolls");
    press(&mut app, "\x1b9\n");
    assert!(text(&app, 100, 30).contains("It was not traced: one in 100 is."), "{}", text(&app, 100, 30));
    press(&mut app, "\x1b");
    assert!(!text(&app, 100, 30).contains("It was not traced"));
}

#[test]
fn evaluations_are_filtered_as_the_journal_is_asked() {
    let mut app = app(&session(&[], 12));
    press(&mut app, "9/numbr > 10\n");
    let wrong = text(&app, 80, 24);
    insta::assert_snapshot!("filter_wrong", wrong);
    assert!(wrong.contains("`number`?") && wrong.contains("^^^^^"), "{wrong}");
    press(&mut app, "\x1b/number > 10 and source = cache\n");
    insta::assert_snapshot!("filtered_80x24", text(&app, 80, 24));
    assert!(text(&app, 160, 45).contains("evaluations where number > 10 and source = cache"));
    press(&mut app, "\x1b");
    assert!(!text(&app, 160, 45).contains("evaluations where"));
    press(&mut app, "/number < 0\n");
    assert!(text(&app, 80, 24).contains("None of the last evaluations is like that. Esc shows all."));
    assert_eq!(press(&mut app, "\n"), None);
    assert!(text(&app, 80, 24).contains("there is no evaluation to open"));
}
