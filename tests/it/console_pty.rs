//! The console as its user has it: the real program in a real pseudo-terminal.

use std::io::{Read as _, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// A running console with what its screen shows.
struct Console {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    bytes: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// Whether lines were edited and echoed before the console took the terminal over.
    cooked_before: bool,
}

/// Long enough for a busy machine; a screen that comes is seen at once.
const PATIENCE: Duration = Duration::from_secs(60);

impl Console {
    fn start(args: &[&str], columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_fizzops"));
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.cwd(std::env::temp_dir());
        let cooked_before = cooked(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let screen = vt100::Parser::new(
            std::num::NonZeroU16::new(rows).unwrap(),
            std::num::NonZeroU16::new(columns).unwrap(),
            0,
        );
        Self { master: pair.master, child, keys, bytes, screen, cooked_before }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen shows `text`.
    fn expect(&mut self, text: &str) {
        self.await_screen(text, |screen| screen.contains(text));
    }

    fn await_screen(&mut self, what: &str, seen: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !seen(&self.screen.screen().contents()) {
            let left = end.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => panic!("never seen: {what}\n{}", self.screen.screen().contents()),
            }
        }
    }

    /// Waits for the end: the exit code. The terminal must be as it was before.
    fn end(mut self) -> u32 {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            while let Ok(bytes) = self.bytes.try_recv() {
                self.screen.process(&bytes);
            }
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > end => {
                    self.child.kill().unwrap();
                    panic!("it does not end:\n{}", self.screen.screen().contents());
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(200)) {
            self.screen.process(&bytes);
        }
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "the main screen is back");
        assert!(!screen.hide_cursor(), "the cursor is back");
        assert_eq!(cooked(&*self.master), self.cooked_before, "line editing and echo are as before");
        status.exit_code()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.process_id().unwrap();
        let kill = format!("kill -{name} {pid}");
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

/// Whether the terminal edits lines and echoes.
fn cooked(master: &dyn MasterPty) -> bool {
    let flags = format!("{:?}", master.get_termios().unwrap().local_flags);
    flags.contains("ICANON") && flags.contains("ECHO")
}

#[test]
fn every_tab_opens_and_quitting_restores_the_terminal() {
    let mut console = Console::start(&["--seed", "7", "--rate", "200"], 100, 30);
    assert!(console.cooked_before);
    console.expect("Healthy: 200 answers a second, all of them right.");
    assert!(console.screen.screen().alternate_screen());
    for (key, shown) in [
        ("2", "own time: a sample"),
        ("3", "A call now would pass"),
        ("4", "answered by the cache"),
        ("5", "Every budget lasts"),
        ("6", "fizz_rule_enabled"),
        ("7", "No game day has run"),
        ("8", "are in the tree"),
        ("9", "NumberReceived"),
        ("0", "session begins on the wall clock, seed 7"),
        ("\t", "throughput"),
        ("?", "What can be done here"),
    ] {
        console.press(key);
        console.expect(shown);
    }
    console.press("\x1b");
    console.await_screen("the help closes", |screen| !screen.contains("What can be done here"));
    console.press(" ");
    console.expect("paused");
    console.press(" ");
    console.expect("running");
    console.press("q");
    assert_eq!(console.end(), 0);
}

#[test]
fn a_game_day_runs_from_the_menu_to_its_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("day.fizz");
    let mut console = Console::start(&["--seed", "7", "--rate", "50", "--record", record.to_str().unwrap()], 100, 30);
    console.expect("running");
    console.press("7j");
    console.expect("The rule engine begins to forget");
    console.press("\r");
    console.expect("Start game day modulo_meltdown?");
    console.press("y");
    console.expect("phase 2 of 6");
    console.expect("Modulo meltdown: held after");
    console.press("q");
    assert_eq!(console.end(), 0);
    // And the recording of it says the same.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_fizzops")).arg("replay").arg(&record).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("game day     modulo_meltdown: held"), "{text}");
    let mut replay = Console::start(&["replay", record.to_str().unwrap()], 100, 30);
    replay.expect("replay playing x1");
    replay.press("\x1b[F7");
    replay.expect("Modulo meltdown: held after");
    replay.press("\x1b[H1");
    replay.expect("00:00:00");
    replay.press("q");
    assert_eq!(replay.end(), 0);
}

#[test]
fn a_game_day_is_aborted_from_the_keys() {
    let mut console = Console::start(&["--seed", "7", "--rate", "5"], 100, 30);
    console.expect("running");
    console.press("7\ry");
    console.expect("A aborts it");
    console.press("A");
    console.expect("aborted after");
    console.press("q");
    assert_eq!(console.end(), 0);
}

#[test]
fn what_disturbs_asks_first_and_alerts_are_acknowledged() {
    let mut console = Console::start(&["--seed", "7", "--virtual", "--speed", "10"], 100, 30);
    console.expect("running");
    console.press("3t");
    console.expect("Trip breaker evaluation?");
    console.press("n");
    console.press("f");
    console.expect("Hold breaker evaluation open?");
    console.press("y");
    console.expect("forced open");
    console.press("1");
    console.expect("alert");
    console.press("a");
    console.expect("acknowledged");
    console.press("3r");
    console.expect("closed");
    console.press("6\r");
    console.expect("It changes answers at once.");
    console.press("y");
    console.expect("1 changes in this session");
    console.press("4c");
    console.expect("Clear the cache?");
    console.press("y");
    console.expect("invalidated");
    console.press("x5");
    console.expect("level 5");
    console.press("+");
    console.expect("2 000/s");
    console.press("\x03");
    assert_eq!(console.end(), 130);
}

#[test]
fn signals_restore_the_terminal() {
    for signal in ["TERM", "HUP"] {
        let mut console = Console::start(&["--seed", "7"], 80, 24);
        console.expect("running");
        console.signal(signal);
        assert_eq!(console.end(), 130, "SIG{signal}");
    }
}

#[test]
fn a_small_terminal_is_told_what_is_needed_and_may_grow() {
    let mut console = Console::start(&["--seed", "7"], 20, 5);
    console.expect("FizzOps needs");
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    console.master.resize(size).unwrap();
    console.screen.screen_mut().set_size(24.try_into().unwrap(), 80.try_into().unwrap());
    console.expect("running");
    console.press("q");
    assert_eq!(console.end(), 0);
}
