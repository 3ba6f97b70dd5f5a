//! Chaos Toolkit experiments as a shell sees them: run, interrupted, imported, refused.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::common::{Ran, fizzops, program};
use serde_json::{Value, json};
use tempfile::TempDir;

fn write(folder: &TempDir, document: &Value) -> String {
    let path = folder.path().join("experiment.json");
    std::fs::write(&path, format!("{document:#}")).unwrap();
    path.display().to_string()
}

fn shell(name: &str, script: &str) -> Value {
    json!({"type": "action", "name": name, "provider": {"type": "process", "path": "sh", "arguments": ["-c", script]}})
}

/// An experiment whose probe wants that there is no file `broken` in the folder, and whose rollback takes it away.
fn experiment(folder: &TempDir, method: Value) -> Value {
    let broken = folder.path().join("broken").display().to_string();
    let provider = json!({"type": "process", "path": "test", "arguments": ["-e", broken]});
    json!({
        "title": "nothing is broken", "description": "d",
        "steady-state-hypothesis": {"title": "whole", "probes": [
            {"type": "probe", "name": "not broken", "tolerance": 1, "provider": provider}
        ]},
        "method": method,
        "rollbacks": [shell("mend", &format!("rm -f {broken}"))]
    })
}

fn journal(folder: &TempDir) -> Value {
    serde_json::from_slice(&std::fs::read(folder.path().join("journal.json")).unwrap()).unwrap()
}

fn run(folder: &TempDir, document: &Value) -> Ran {
    let file = write(folder, document);
    fizzops(&format!("gameday run {file} --journal {}", folder.path().join("journal.json").display()))
}

#[test]
fn what_holds_is_held_and_what_does_not_is_not_and_both_are_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken");
    let ran = run(&folder, &experiment(&folder, json!([shell("nothing", "true")])));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("nothing is broken: held ("), "{}", ran.stdout);
    // What happens is told as it happens.
    for line in ["steady state before the method: whole", "action nothing", "ok   nothing: succeeded", "rollbacks"] {
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
    }
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let written = journal(&folder);
    let expected =
        "chaoslib-version platform node experiment start status deviated steady_states run rollbacks end duration";
    assert_eq!(keys(&written).join(" "), expected);
    assert_eq!(keys(&written["run"][0]).join(" "), "activity output start status end duration");
    let probe = &written["steady_states"]["before"]["probes"][0];
    assert_eq!(keys(probe).join(" "), "activity output start status end duration tolerance_met");
    assert_eq!((&written["status"], &written["deviated"]), (&json!("completed"), &json!(false)));

    let ran = run(&folder, &experiment(&folder, json!([shell("break", &format!("touch {}", broken.display()))])));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("not held (the steady state did not hold after the method: `not broken`"),
        "{}",
        ran.stdout
    );
    let written = journal(&folder);
    assert_eq!((&written["status"], &written["deviated"]), (&json!("completed"), &json!(true)));
    assert_eq!(written["steady_states"]["after"]["steady_state_met"], false);
    assert_eq!(written["rollbacks"][0]["status"], "succeeded");
    assert!(!broken.exists(), "the rollback was played");
    assert!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().ends_with(".tmp") })
    );
}

#[test]
fn a_steady_state_that_fails_before_gives_5_and_nothing_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    std::fs::write(folder.path().join("broken"), "").unwrap();
    let ran = run(&folder, &experiment(&folder, json!([shell("mark", &format!("touch {}", mark.display()))])));
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("never ran (the steady state did not hold before: `not broken`: status 0"),
        "{}",
        ran.stdout
    );
    assert!(!mark.exists() && folder.path().join("broken").exists(), "neither method nor rollbacks");
    let written = journal(&folder);
    assert_eq!((&written["status"], &written["deviated"]), (&json!("completed"), &json!(false)));
    assert_eq!((&written["run"], &written["rollbacks"]), (&json!([]), &json!([])));
    let verdict = fizzops(&format!("gameday verdict {}", folder.path().join("journal.json").display()));
    assert_eq!((verdict.code, verdict.stdout.starts_with("never ran")), (5, true), "{}", verdict.stdout);
}

/// Starts a run, waits until it says `when`, sends the signals, and returns its exit code and stdout.
fn interrupted(file: &str, journal: &Path, when: &str, signals: &[&str]) -> (i32, String) {
    let mut child = program()
        .args(["gameday", "run", file, "--journal", &journal.display().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains(when)), "it says {when}");
    // The shell has started once it has made its mark.
    let started = journal.with_file_name("started");
    while !started.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for signal in signals {
        let sent = std::process::Command::new("kill").args([*signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let output = child.wait_with_output().unwrap();
    rest.join().unwrap();
    (output.status.code().expect("it ends by itself"), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn an_interrupted_run_plays_its_rollbacks_and_ends_what_it_started() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let script = format!("touch {}; touch {}; sleep 60; touch {}", at("broken"), at("started"), at("late"));
        let mut background = shell("behind", "sleep 61");
        background["background"] = json!(true);
        let method = json!([background, shell("break", &script), shell("never", &format!("touch {}", at("never")))]);
        let file = write(&folder, &experiment(&folder, method));
        let (code, stdout) = interrupted(&file, Path::new(&at("journal.json")), "action break", &[signal]);
        assert_eq!(code, 130, "{stdout}");
        assert!(stdout.contains("interrupted (interrupted, and rollbacks were played)"), "{stdout}");
        let written = journal(&folder);
        assert_eq!((&written["status"], &written["deviated"]), (&json!("interrupted"), &json!(false)));
        assert_eq!(written["steady_states"]["after"], Value::Null);
        let states: Vec<_> =
            written["run"].as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap()).collect();
        assert_eq!(states, ["aborted", "aborted"]);
        assert_eq!(written["rollbacks"][0]["status"], "succeeded");
        for name in ["broken", "late", "never"] {
            assert!(!folder.path().join(name).exists(), "{signal}: {name}");
        }
    }
}

#[test]
fn secrets_are_used_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut document = experiment(&folder, json!([shell("say", "echo ${token} >&2; echo ${token}; false ${token}")]));
    document["secrets"] = json!({"api": {"token": {"type": "env", "key": "TEST_TOKEN"}}});
    document["title"] = json!("with ${token}");
    let file = write(&folder, &document);
    let place = folder.path().join("journal.json");
    let mut command = program();
    command.args(["gameday", "run", &file, "--journal", &place.display().to_string()]).env("TEST_TOKEN", "hunter-2");
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(journal(&folder)["run"][0]["output"]["stdout"], "[secret token]\n");
    let text = std::fs::read_to_string(place).unwrap() + &ran.stdout + &ran.stderr;
    assert!(!text.contains("hunter-2"), "{text}");
}

#[test]
fn an_action_or_a_rollback_that_cannot_be_done_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let mut slow = shell("slow", "sleep 30");
    slow["provider"]["timeout"] = json!(0.2);
    let ran = run(&folder, &experiment(&folder, json!([slow])));
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("inconclusive") && ran.stdout.contains("time limit of 0.2 s"), "{}", ran.stdout);
    assert_eq!(journal(&folder)["run"][0]["status"], "failed");

    let mut document = experiment(&folder, json!([]));
    document["rollbacks"][0]["provider"] = json!({"type": "http", "url": "http://127.0.0.1:1/"});
    let ran = run(&folder, &document);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("held (") && ran.stdout.contains("not rolled back: the action `mend`"),
        "{}",
        ran.stdout
    );
}

#[test]
fn an_imported_experiment_is_a_scenario_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, &experiment(&folder, json!([shell("nothing", "true")])));
    let yaml = folder.path().join("drill.yaml").display().to_string();
    let ran = fizzops(&format!("gameday import {file} --output {yaml}"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("1 steady-state probe, 1 activity and 1 rollback"), "{}", ran.stdout);
    assert_eq!(fizzops(&format!("gameday import {file}")).stdout, std::fs::read_to_string(&yaml).unwrap());
    assert_eq!(fizzops(&format!("gameday validate {yaml}")).code, 0);
    assert_eq!(fizzops(&format!("gameday run {yaml} --quiet")).code, 0);
}

#[test]
fn bad_input_is_refused_with_its_place_and_nothing_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let python = json!({"type": "action", "name": "kill", "provider": {"type": "python", "module": "chaosk8s.pod", "func": "x"}});
    let document = experiment(&folder, json!([shell("mark", &format!("touch {}", mark.display())), python]));
    let file = write(&folder, &document);
    for command in ["run", "validate", "import"] {
        let ran = fizzops(&format!("gameday {command} {file}"));
        assert_eq!(ran.code, 2);
        assert_eq!(ran.stdout, "");
        for said in
            ["experiment.json:39:17: the provider `python` (chaosk8s.pod) is not supported", "process or http", "EFP-"]
        {
            assert!(ran.stderr.contains(said), "`{said}` is missing in {}", ran.stderr);
        }
    }
    assert!(!mark.exists(), "nothing runs before everything is checked");
    let file = write(&folder, &experiment(&folder, json!([shell("mark", &format!("touch {}", mark.display()))])));
    for (args, says) in [
        (format!("run {file} --virtual"), "--virtual: a Chaos Toolkit experiment runs no engine"),
        (format!("run {file} --journal /nowhere/at/all.json"), "/nowhere/at/all.json cannot be written"),
        ("run /nowhere/x.json".into(), "/nowhere/x.json cannot be read"),
        (format!("import {file} --output /nowhere/x.yaml"), "/nowhere/x.yaml cannot be written"),
        ("export modulo_meltdwon".into(), "did you mean `modulo_meltdown`?"),
        ("export slow_burn --output x.txt".into(), ".json, .yaml or .yml"),
        (format!("verdict {file}"), "is no Chaos Toolkit journal: it has no `status`"),
        ("verdict /nowhere/x.json".into(), "/nowhere/x.json cannot be read"),
    ] {
        let ran = fizzops(&format!("gameday {args}"));
        assert_eq!(ran.code, 2, "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args}: {}", ran.stderr);
    }
    assert!(!mark.exists());
}

#[test]
fn a_drill_of_ours_writes_a_journal_too() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("journal.json");
    let ran = fizzops(&format!("gameday run modulo_meltdown --virtual --seed 7 --quiet --journal {}", place.display()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let written = journal(&folder);
    assert_eq!((&written["status"], &written["deviated"]), (&json!("completed"), &json!(false)));
    assert_eq!(written["run"][0]["output"]["verdict"], "held");
    assert_eq!(fizzops(&format!("gameday verdict {}", place.display())).code, 0);
}
