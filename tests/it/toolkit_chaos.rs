//! Against the real Chaos Toolkit, where it is: `pip install chaostoolkit`, and `chaos` on PATH or in `$FIZZOPS_CHAOS`.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{Ran, fizzops, program};
use serde_json::{Value, json};

/// The real tool; `None`, and said, where it is missing.
fn chaos() -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&places).map(|place| place.join("chaos")).find(|path| path.is_file());
    let found = std::env::var_os("FIZZOPS_CHAOS").map(PathBuf::from).or(on_path);
    if found.is_none() {
        eprintln!("skipped: there is no `chaos` on PATH or in $FIZZOPS_CHAOS (pip install chaostoolkit)");
    }
    found
}

/// PATH with our program on it.
fn path() -> OsString {
    let ours = Path::new(env!("CARGO_BIN_EXE_fizzops")).parent().unwrap();
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([ours.to_owned()].into_iter().chain(std::env::split_paths(&places))).unwrap()
}

/// Runs the real tool with our program on PATH.
fn run_chaos(chaos: &Path, folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(chaos);
    command.arg("--no-version-check").args(args).current_dir(folder).env("PATH", path()).env("HOME", folder);
    command.env("XDG_CONFIG_HOME", "/nonexistent").output().unwrap()
}

fn names() -> Vec<String> {
    let list = fizzops("gameday list").stdout;
    let known = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap();
    let stems: Vec<_> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let names: Vec<_> = list.lines().filter_map(known).filter(|name| stems.contains(name)).collect();
    assert!(names.len() >= 4, "{list}");
    names
}

#[test]
fn every_exported_scenario_is_valid_to_the_real_tool_and_one_runs_there() {
    let folder = tempfile::tempdir().unwrap();
    let chaos = chaos();
    for name in names() {
        for extension in ["json", "yaml"] {
            let file = folder.path().join(format!("{name}.{extension}")).display().to_string();
            let ran = fizzops(&format!("gameday export {name} --seed 7 --output {file}"));
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            let Some(chaos) = &chaos else { continue };
            let output = run_chaos(chaos, folder.path(), &["validate", &file]);
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let Some(chaos) = &chaos else { return };
    let output = run_chaos(chaos, folder.path(), &["run", "modulo_meltdown.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let drill = folder.path().join("modulo_meltdown.journal.json");
    let drill: Value = serde_json::from_slice(&std::fs::read(drill).unwrap()).unwrap();
    assert_eq!(drill["run"][0]["output"]["verdict"], "held");
}

/// A server that answers `/` with 200 and JSON, and anything else with 503.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            // The request is read to its end, so that closing does not cut the answer off.
            while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
            let status = if first.starts_with("GET / ") { "200 OK" } else { "503 Service Unavailable" };
            let body = "{\"healthy\": true, \"items\": [1, 2]}";
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
            let _ = write!(&stream, "{head}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    port
}

fn probe(name: &str, tolerance: Value, provider: Value) -> Value {
    json!({"type": "probe", "name": name, "tolerance": tolerance, "provider": provider})
}

fn process(path: &str, arguments: Value) -> Value {
    json!({"type": "process", "path": path, "arguments": arguments})
}

/// What two journals must have in common: everything but moments, durations and the machine.
fn essence(journal: &Value) -> Value {
    let entry = |run: &Value| {
        let mut output = run["output"].clone();
        if let Some(headers) = output.get_mut("headers") {
            let known = headers.as_object().unwrap().iter();
            *headers = known
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        let keys: Vec<_> = run.as_object().unwrap().keys().cloned().collect();
        json!({"activity": run["activity"], "status": run["status"], "output": output, "met": run["tolerance_met"], "keys": keys})
    };
    let entries = |runs: &Value| runs.as_array().unwrap().iter().map(entry).collect::<Value>();
    let state = |state: &Value| match state {
        Value::Null => Value::Null,
        state => json!({"met": state["steady_state_met"], "probes": entries(&state["probes"])}),
    };
    let states = &journal["steady_states"];
    let mut experiment = journal["experiment"].clone();
    experiment.as_object_mut().unwrap().remove("dry");
    json!({
        "keys": journal.as_object().unwrap().keys().cloned().collect::<Vec<_>>(),
        "status": journal["status"], "deviated": journal["deviated"], "experiment": experiment,
        "before": state(&states["before"]), "after": state(&states["after"]), "during": states["during"],
        "run": entries(&journal["run"]), "rollbacks": entries(&journal["rollbacks"]),
    })
}

#[test]
fn an_experiment_has_the_same_verdict_and_journal_here_and_there() {
    let Some(chaos) = chaos() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let port = serve().to_string();
    let http = |path: &str| json!({"type": "http", "url": format!("http://${{host}}:${{port}}{path}"), "timeout": 5});
    let service = || probe("service", json!(200), http("/"));
    let whole = || probe("whole", json!(1), process("test", json!(["-e", at("broken")])));
    let action = |provider: Value| json!({"type": "action", "name": "act", "provider": provider});
    let text = json!({"type": "regex", "target": "stdout", "pattern": "^all is well$"});
    let method = json!([
        action(process("sh", json!("-c 'echo out; echo err >&2; exit 3'"))),
        {"type": "probe", "name": "look", "provider": http("/down"), "pauses": {"before": 0.05, "after": 0.05}},
        {"ref": "service"},
    ]);
    for (name, probes, method, theirs, ours) in [
        (
            "held",
            json!([service(), whole(), probe("text", text, process("echo", json!(["all is", "well"])))]),
            method,
            0,
            0,
        ),
        ("not held", json!([whole()]), json!([action(process("touch", json!([at("broken")])))]), 1, 1),
        (
            "never ran",
            json!([probe("down", json!([200, 204]), http("/down"))]),
            json!([action(process("true", json!([])))]),
            0,
            5,
        ),
    ] {
        let document = json!({
            "title": name, "description": "An HTTP and a process probe.", "tags": ["test"],
            "configuration": {"host": "127.0.0.1", "port": {"type": "env", "key": "TEST_PORT", "default": port}},
            "steady-state-hypothesis": {"title": "all is well", "probes": probes},
            "method": method,
            "rollbacks": [action(process("rm", json!(["-f", at("broken")])))],
            "contributions": {"reliability": "high"},
            "extensions": [{"name": "kept"}],
        });
        let file = at("experiment.json");
        std::fs::write(&file, document.to_string()).unwrap();
        let output = run_chaos(&chaos, folder.path(), &["run", &file, "--journal-path", &at("theirs.json")]);
        assert_eq!(output.status.code(), Some(theirs), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let imported = fizzops(&format!("gameday import {file} --output {}", at("drill.yaml")));
        assert_eq!(imported.code, 0, "{}", imported.stderr);
        let ran = fizzops(&format!("gameday run {} --journal {}", at("drill.yaml"), at("ours.json")));
        assert_eq!(ran.code, ours, "{name}: {}{}", ran.stdout, ran.stderr);
        let read = |name: &str| serde_json::from_slice::<Value>(&std::fs::read(at(name)).unwrap()).unwrap();
        let (mut their, our) = (essence(&read("theirs.json")), essence(&read("ours.json")));
        if ours == 5 {
            // The one difference: what was not done is not rolled back.
            assert_eq!(their["rollbacks"].as_array().unwrap().len(), 1);
            their["rollbacks"] = json!([]);
        }
        assert_eq!(their, our, "{name}");
        // And their journal comes to our verdict.
        assert_eq!(fizzops(&format!("gameday verdict {}", at("theirs.json"))).code, ours);
    }
}

#[test]
fn a_drill_that_is_not_held_is_a_failure_to_the_real_tool() {
    let Some(chaos) = chaos() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.json").display().to_string();
    assert_eq!(fizzops(&format!("gameday export slow_burn --output {file}")).code, 0);
    // A journal that says otherwise is put in place of the drill's.
    let mut document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let other = json!({
        "status": "completed", "deviated": false, "steady_states": {"before": {"steady_state_met": false}, "after": null}
    });
    let script = format!("-c 'echo \"{}\" > slow_burn.journal.json'", other.to_string().replace('"', "\\\""));
    document["method"][0]["provider"] = process("sh", json!(script));
    std::fs::write(&file, document.to_string()).unwrap();
    let output = run_chaos(&chaos, folder.path(), &["run", &file]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = program();
    command.args(["gameday", "run", &file]).current_dir(folder.path()).env("PATH", path());
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 1, "{}", ran.stdout);
}
