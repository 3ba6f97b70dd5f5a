//! `--outbox` and `fizzops outbox` as a shell sees them.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Ran, fizzops, program};
use serde_json::Value;

/// A web server that takes every second delivery, and nothing whose data names `poison`: the ids of what it took.
fn receiver(poison: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let took = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&took);
    std::thread::spawn(move || {
        for (turn, mut stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let text = String::from_utf8(body).unwrap();
            let answer = if turn % 2 == 0 {
                "503 Service Unavailable"
            } else if text.contains(poison) {
                "422 Unprocessable Content"
            } else {
                let ids = match serde_json::from_str(&text).unwrap() {
                    Value::Array(many) => many,
                    one => vec![one],
                };
                into.lock().unwrap().extend(ids.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
                "204 No Content"
            };
            let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, took)
}

fn outbox(dir: &str, args: &[&str]) -> Ran {
    program().arg("outbox").args(args).args(["--data-dir", dir]).output().unwrap().into()
}

fn append(dir: &str, data: &str) {
    let ran: Ran = program()
        .args(["journal", "append", "notes", "--kind", "NOTE", "--data", data, "--data-dir", dir])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// The journal's events of a stream, by id.
fn ids(dir: &str, stream: &str, kind: &str) -> BTreeSet<String> {
    let ran = fizzops(&format!("journal query --stream {stream} --limit 1000000 --format ndjson --data-dir {dir}"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let events = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["type"] == kind).map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_waits_is_sent_what_is_refused_is_listed_and_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    for number in 1..=5 {
        append(&dir, &format!("{{\"n\":{number}{}}}", if number == 2 { ",\"poison\":true" } else { "" }));
    }
    let notes = "--filter=type = NOTE";
    let status = outbox(&dir, &["status", notes]);
    assert!(status.stdout.contains("waiting       5\n") && status.code == 0, "{}{}", status.stdout, status.stderr);
    let (address, took) = receiver("poison");
    let send = |to: &str| {
        outbox(&dir, &["send", notes, "--sink", to, "--set", "outbox.backoff_ms=1", "--set", "outbox.tries=4"])
    };
    let sent = send(&address);
    assert_eq!(sent.code, 1, "{}", sent.stderr);
    assert!(sent.stdout.starts_with("delivered 4 events; 0 wait, 1 dead letters\n"), "{}", sent.stdout);
    let list = outbox(&dir, &["list"]);
    let letter = list.stdout.split(' ').next().unwrap().to_owned();
    assert!(list.stdout.contains("fizzops.NOTE  4 tries") && list.stdout.contains("422"), "{}", list.stdout);
    let json: Value = serde_json::from_str(&outbox(&dir, &["list", "--format", "ndjson"]).stdout).unwrap();
    assert_eq!((json["event"]["id"].as_str(), &json["event"]["data"]["n"]), (Some(letter.as_str()), &Value::from(2)));
    let missing = outbox(&dir, &["retry", "no-such-event"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("there is no dead letter no-such-event"), "{}", missing.stderr);
    assert!(outbox(&dir, &["retry", &letter]).stdout.starts_with("1 dead letters are sent again"));
    let file = folder.path().join("again.ndjson");
    let sent = send(&format!("file:{}", file.display()));
    assert_eq!((sent.code, sent.stdout.as_str()), (0, "delivered 1 events; 0 wait, 0 dead letters\n"));
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((line["id"].as_str(), line["specversion"].as_str()), (Some(letter.as_str()), Some("1.0")));
    let mut all: Vec<_> = took.lock().unwrap().clone();
    assert_eq!(all.len(), 4, "each was taken once");
    all.push(letter);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), ids(&dir, "notes", "NOTE"));
}

#[test]
fn a_session_delivers_beside_its_work_and_the_rest_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    let (address, took) = receiver("nothing is poison");
    let ran = fizzops(&format!(
        "run --range 1 1500 --rate 1000 --circuit-breaker --chaos-level 5 --seed 3 --journal --no-banner --no-summary \
         --format ndjson --outbox {address} --set outbox.poll_ms=20 --set circuit_breaker.failure_threshold=1 --set circuit_breaker.backoff_base_ms=5 --set outbox.backoff_ms=1 --set outbox.batch=2 --data-dir {dir}"
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("outbox: "), "{}", ran.stderr);
    // Every second delivery fails: what the last one left waits on the disk.
    let sent = outbox(&dir, &["send", "--sink", &address, "--set", "outbox.backoff_ms=1"]);
    assert_eq!(sent.code, 0, "{}{}", sent.stdout, sent.stderr);
    let transitions = ids(&dir, "operations", "CIRCUIT_BREAKER_STATE_CHANGED");
    let took: BTreeSet<_> = took.lock().unwrap().iter().cloned().collect();
    assert!(transitions.len() > 1 && transitions.is_subset(&took), "{} of {}", took.len(), transitions.len());
}

#[test]
fn whatever_kills_the_program_everything_is_delivered_at_least_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    let file = folder.path().join("events.ndjson");
    let sink = format!("file:{}", file.display());
    for crash in 0..8u64 {
        let mut child = program()
            .args(["run", "--range", "1", "1000000000", "--rate", "5000", "--circuit-breaker", "--chaos-level", "5"])
            .args(["--set", "circuit_breaker.failure_threshold=1", "--set", "circuit_breaker.backoff_base_ms=5"])
            .args(["--set", "outbox.poll_ms=10", "--seed"])
            .args([&crash.to_string(), "--journal", "--outbox", &sink, "--quiet", "--data-dir", &dir])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + crash * 7_919 % 300));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(Path::new(&dir).join("journal").is_dir(), "one of them had begun");
    let sent = outbox(&dir, &["send", "--sink", &sink]);
    assert_eq!(sent.code, 0, "{}{}", sent.stdout, sent.stderr);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect();
    let delivered: BTreeSet<_> = lines.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let there = ids(&dir, "operations", "CIRCUIT_BREAKER_STATE_CHANGED");
    assert!(there.len() > 3 && there.is_subset(&delivered), "{} events, {} delivered", there.len(), delivered.len());
    println!("8 crashes: {} events, {} lines", there.len(), lines.len());
}

#[test]
fn what_cannot_be_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data").display().to_string();
    append(&dir, "{}");
    let refused = |args: &[&str], code: i32, says: &str| {
        let ran = outbox(&dir, args);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "`{says}` is missing in:\n{}", ran.stderr);
    };
    refused(&["send"], 2, "give --sink");
    refused(&["send", "--sink", "gopher://x"], 2, "is none of http://");
    refused(&["send", "--sink", "http://me:pw@x/"], 2, "EFP_OUTBOX_TOKEN");
    refused(&["status", "--filter", "typ = X"], 2, "^^^");
    refused(&["status", "--set", "outbox.tries=0"], 2, "outbox.tries is 0");
    let cursor = Path::new(&dir).join("outbox");
    std::fs::create_dir_all(&cursor).unwrap();
    std::fs::write(cursor.join("cursor"), "00000000 {\"cursor\":7}\n").unwrap();
    refused(&["status"], 4, "its checksum differs");
    let ran = fizzops(&format!("run --range 1 2 --quiet --outbox file:x --data-dir {dir}"));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--journal"), "{}", ran.stderr);
}
