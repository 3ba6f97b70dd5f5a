//! `fizzops replay` as a shell sees it: verify, export, compare, redact, and whatever is wrong with a file.

use std::path::{Path, PathBuf};

use crate::common::{Ran, fizzops};
use tempfile::TempDir;

fn record(folder: &TempDir, name: &str, more: &str) -> PathBuf {
    let path = folder.path().join(name);
    let ran = fizzops(&format!(
        "run --all --virtual --seed 7 --rate 1000 --range 1 12000 --chaos-level 3 --quiet --no-summary --record {} {more}",
        path.display()
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    path
}

fn replay(path: &Path, more: &str) -> Ran {
    fizzops(&format!("replay {} {more}", path.display()))
}

fn refused(ran: &Ran, code: i32, told: &[&str]) {
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stderr.matches("error:").count(), 1, "one message: {}", ran.stderr);
    told.iter().for_each(|told| assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr));
}

#[test]
fn a_recording_is_verified_and_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(&folder, "day.fizz", "--flag wuzz_rule_experimental=off");
    let ran = replay(&path, "--verify");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for told in ["repeated     yes", "seal ", "ledger head"] {
        assert!(ran.stdout.contains(told), "{}", ran.stdout);
    }
    let game = folder.path().join("game.fizz");
    let ran = fizzops(&format!("gameday run modulo_meltdown --virtual --seed 7 --quiet --record {}", game.display()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = replay(&game, "--verify");
    assert!(ran.code == 0 && ran.stdout.contains("repeated     yes"), "{}{}", ran.stdout, ran.stderr);
    let draws = folder.path().join("draws.fizz");
    let args = "run --all --virtual --draw zipf --count 3000 --rate 1000 --verbose --no-summary";
    assert_eq!(fizzops(&format!("{args} --record {}", draws.display())).code, 0);
    let ran = replay(&draws, "--verify");
    assert!(ran.code == 0 && ran.stdout.contains("repeated     yes"), "{}{}", ran.stdout, ran.stderr);
    let live = folder.path().join("live.fizz");
    assert_eq!(fizzops(&format!("--rate 100 --duration 1500ms --record {}", live.display())).code, 0);
    let ran = replay(&live, "--verify");
    assert!(ran.code == 0 && ran.stdout.contains("no: it ran on the wall clock"), "{}{}", ran.stdout, ran.stderr);
    let commanded = folder.path().join("paced.fizz");
    let args = "--virtual --speed 20 --seed 3 --duration 1s --chaos-level 2";
    assert_eq!(fizzops(&format!("{args} --record {}", commanded.display())).code, 0);
    let ran = replay(&commanded, "--verify");
    assert!(ran.code == 0 && ran.stdout.contains("repeated     yes"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn what_is_wrong_with_a_file_is_told_in_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(&folder, "day.fizz", "");
    let bytes = std::fs::read(&path).unwrap();
    let bad = folder.path().join("bad.fizz");
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    std::fs::write(&bad, &changed).unwrap();
    refused(&replay(&bad, "--verify"), 4, &["chunk ", " at byte ", "EFP-RC01"]);
    let ran = replay(&bad, "");
    refused(&ran, 4, &["is damaged, what is whole was shown", "chunk "]);
    assert!(ran.stdout.contains("evaluations"), "{}", ran.stdout);
    std::fs::write(&bad, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let ran = replay(&bad, "");
    refused(&ran, 4, &["it is cut off"]);
    assert!(ran.stdout.contains("evaluations"), "{}", ran.stdout);
    refused(&replay(&bad, "--verify"), 4, &["chunk "]);
    changed = bytes.clone();
    changed[12] = 9;
    std::fs::write(&bad, &changed).unwrap();
    refused(&replay(&bad, ""), 4, &["a recording of version 9; this program reads version 2"]);
    std::fs::write(&bad, "1,2,3\n").unwrap();
    refused(&replay(&bad, "--verify"), 4, &["is no session recording"]);
    refused(&replay(Path::new("/nowhere/day.fizz"), "--verify"), 2, &["/nowhere/day.fizz cannot be read"]);
    refused(&replay(&path, "--frame 99h"), 2, &["the recording ends after 12"]);
    refused(&replay(&path, "--export-cast /dev/full"), 2, &["/dev/full cannot be written", "No space"]);
    refused(&replay(&path, "--export-cast /nowhere/x.cast"), 2, &["/nowhere/x.cast cannot be written"]);
    refused(
        &replay(&path, "--redact evnts --output /tmp/never.fizz"),
        2,
        &["no section `evnts`", "did you mean `events`"],
    );
    refused(&replay(&path, &format!("--redact events --output {}", path.display())), 2, &["cannot be written"]);
    assert!(std::fs::read(&path).unwrap() == bytes, "the recording is as it was");
    let full = fizzops("run --range 1 10 --virtual --quiet --no-summary --record /dev/full");
    refused(&full, 2, &["/dev/full cannot be written"]);
}

#[test]
fn a_screen_at_any_time_is_the_one_of_its_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(&folder, "day.fizz", "");
    let at = |time: &str| {
        let ran = replay(&path, &format!("--frame {time} --tab breakers --size 100x30"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        ran.stdout
    };
    assert!(at("0").contains("00:00:00"), "{}", at("0"));
    // A frame is kept each quarter of a second: the one before 5 s.
    assert!(at("5s").contains("00:00:04") || at("5s").contains("00:00:05"), "{}", at("5s"));
    assert_eq!(at("end"), at("end"));
    assert_ne!(at("5s"), at("end"));
}

#[test]
fn a_cast_shows_the_screens() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(&folder, "day.fizz", "");
    let screen = replay(&path, "--frame end --tab slos --size 100x30").stdout;
    let out = folder.path().join("day.cast");
    for version in [2, 3] {
        let more =
            format!("--export-cast {} --cast-version {version} --tab slos --size 100x30 --speed 4", out.display());
        let ran = replay(&path, &more);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let cast = std::fs::read_to_string(&out).unwrap();
        let header: serde_json::Value = serde_json::from_str(cast.lines().next().unwrap()).unwrap();
        assert_eq!(header["version"], version);
        let size = if version == 2 {
            [&header["width"], &header["height"]]
        } else {
            [&header["term"]["cols"], &header["term"]["rows"]]
        };
        assert_eq!(size, [100, 30]);
        let mut terminal = vt100::Parser::new(30.try_into().unwrap(), 100.try_into().unwrap(), 0);
        let (mut length, mut last, mut marks) = (0.0, 0.0, 0);
        for line in cast.lines().skip(1) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let time = event[0].as_f64().unwrap();
            length = if version == 2 { time } else { length + time };
            assert!(length >= last, "time goes on");
            last = length;
            match event[1].as_str().unwrap() {
                "o" => terminal.process(event[2].as_str().unwrap().as_bytes()),
                "m" => marks += 1,
                other => panic!("{other}"),
            }
        }
        assert!((2.9..3.2).contains(&length) && marks > 0, "12 s four times as fast: {length}, {marks} marks");
        let shown: Vec<String> = terminal.screen().contents().lines().map(|line| line.trim_end().to_owned()).collect();
        let expected: Vec<&str> = screen.trim_end().lines().collect();
        assert_eq!(shown.join("\n").trim_end(), expected.join("\n"));
    }
}

#[test]
fn asciinema_reads_a_cast_as_we_draw_it() {
    let installed = std::process::Command::new("asciinema").arg("--version").output();
    let Ok(installed) = installed else {
        println!("skipped: asciinema is not installed (cargo install asciinema)");
        return;
    };
    println!("{}", String::from_utf8_lossy(&installed.stdout));
    let folder = tempfile::tempdir().unwrap();
    let path = record(&folder, "day.fizz", "");
    let (cast, text) = (folder.path().join("day.cast"), folder.path().join("day.txt"));
    for version in [2, 3] {
        let more = format!("--export-cast {} --cast-version {version} --size 100x30", cast.display());
        assert_eq!(replay(&path, &more).code, 0);
        let run = std::process::Command::new("asciinema")
            .args(["convert", "--overwrite", "-f", "txt"])
            .args([&cast, &text])
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let converted = std::fs::read_to_string(&text).unwrap();
        let lines = |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&converted), lines(&replay(&path, "--frame end --size 100x30").stdout), "version {version}");
    }
}

#[test]
fn a_copy_is_redacted_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(&folder, "day.fizz", "");
    let copy = folder.path().join("shared.fizz");
    let ran = replay(&path, &format!("--redact events,auth,calls --output {}", copy.display()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let seal = |text: &str| text.lines().find(|line| line.starts_with("seal ")).unwrap().to_owned();
    let verified = replay(&copy, "--verify");
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert_eq!(seal(&verified.stdout), seal(&replay(&path, "--verify").stdout));
    assert!(verified.stdout.contains("redacted     calls, events, snapshot.auth"), "{}", verified.stdout);
    assert!(replay(&copy, "").stdout.contains("redacted     calls"), "it says so wherever it is shown");
}

#[test]
fn two_sessions_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let one = record(&folder, "one.fizz", "");
    let same = record(&folder, "same.fizz", "");
    let other = record(&folder, "other.fizz", "--set cache.max_size=10");
    let diff = |other: &Path| fizzops(&format!("replay diff {} {}", one.display(), other.display()));
    let ran = diff(&same);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("are the same"), "{}", ran.stdout);
    let ran = diff(&other);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("cache.max_size: 1024, 10") && ran.stdout.contains("part at"), "{}", ran.stdout);
    refused(&diff(Path::new("/nowhere/x.fizz")), 2, &["/nowhere/x.fizz cannot be read"]);
}
