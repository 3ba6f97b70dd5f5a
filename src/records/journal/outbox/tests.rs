#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::sink::{Sink, Undelivered};
use super::*;
use crate::records::files::simulated::{Faults, SimulatedDisk};
use crate::records::journal::log::{Expected, Log, LogConfig, NewEvent};

/// A receiver that remembers what it took and answers as it is told.
#[derive(Debug, Clone, Default)]
struct Receiver {
    took: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<Undelivered>>>,
    /// Events with this number are never taken.
    poison: Option<u64>,
}

impl Sink for Receiver {
    fn send(&mut self, events: &[Value]) -> Result<(), Undelivered> {
        if let Some(answer) = self.answers.lock().unwrap().pop() {
            return Err(answer);
        }
        let poison = |event: &Value| self.poison.is_some_and(|number| event["data"]["n"] == number);
        if events.iter().any(poison) {
            return Err(Undelivered::Refused("it does not like it".into()));
        }
        let ids = events.iter().map(|event| event["id"].as_str().unwrap().to_owned());
        self.took.lock().unwrap().extend(ids);
        Ok(())
    }
}

fn id(number: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(1 << 100 | u128::from(number))
}

fn event(kind: &str, number: u64) -> NewEvent {
    NewEvent::new(kind, &format!("{{\"n\":{number}}}")).named(id(number))
}

fn config() -> OutboxConfig {
    OutboxConfig { filter: "type = Wanted".into(), batch: 3, ..OutboxConfig::default() }
}

/// A journal with the wanted events 1 to `count` and others between them.
fn journal(disk: &SimulatedDisk, count: u64) -> Reader {
    let mut log = Log::open(Arc::new(disk.clone()), "journal", LogConfig { segment_bytes: 2_000 }).unwrap();
    for number in 1..=count {
        log.append("operations", Expected::Any, &[event("Wanted", number), event("Other", number + 1_000_000)])
            .unwrap();
        log.commit().unwrap();
    }
    Reader::open(Arc::new(disk.clone()), "journal").unwrap()
}

fn sender(disk: &SimulatedDisk, receiver: &Receiver, config: &OutboxConfig) -> Sender {
    let outbox = Outbox::open(Arc::new(disk.clone())).unwrap();
    Sender::new(outbox, config, Box::new(receiver.clone()), 7).unwrap()
}

/// Steps until there is nothing to do, without waiting: the waits that there would have been.
fn drain(sender: &mut Sender, reader: &Reader) -> Vec<Duration> {
    let mut waits = Vec::new();
    loop {
        match sender.step(reader, reader.totals().version, Timestamp::EPOCH).unwrap() {
            Step::Went(_) => {}
            Step::Idle => return waits,
            Step::Wait(wait) | Step::Refused(wait) => waits.push(wait),
        }
        assert!(waits.len() < 1_000, "it comes to an end");
    }
}

fn took(receiver: &Receiver) -> Vec<String> {
    receiver.took.lock().unwrap().clone()
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| id(number).to_string()).collect()
}

#[test]
fn what_the_filter_selects_is_delivered_once_and_in_order() {
    let disk = SimulatedDisk::new(1);
    let reader = journal(&disk, 40);
    let receiver = Receiver::default();
    let mut first = sender(&disk, &receiver, &config());
    assert_eq!(first.outbox().waiting(&reader, &config().filter().unwrap()).unwrap(), 40);
    assert_eq!(first.step(&reader, 7, Timestamp::EPOCH).unwrap(), Step::Went(3));
    assert_eq!(first.step(&reader, 7, Timestamp::EPOCH).unwrap(), Step::Went(1), "nothing behind what is durable");
    assert_eq!(first.step(&reader, 7, Timestamp::EPOCH).unwrap(), Step::Idle);
    drop(first);
    let mut second = sender(&disk, &receiver, &config());
    assert!(drain(&mut second, &reader).is_empty());
    assert_eq!(took(&receiver), ids(1..=40));
    second.settle().unwrap();
    let outbox = Outbox::read(Arc::new(disk.clone())).unwrap();
    assert_eq!((outbox.state().cursor, outbox.state().delivered), (80, 40));
    assert_eq!(outbox.waiting(&reader, &config().filter().unwrap()).unwrap(), 0);
}

#[test]
fn a_refused_event_is_a_dead_letter_and_holds_nobody_up() {
    let disk = SimulatedDisk::new(1);
    let reader = journal(&disk, 10);
    let mut receiver = Receiver { poison: Some(5), ..Receiver::default() };
    let waits = drain(&mut sender(&disk, &receiver, &config()), &reader);
    assert_eq!(waits.len(), 2, "three tries, two waits");
    assert_eq!(took(&receiver), ids((1..=10).filter(|number| *number != 5)));
    let outbox = Outbox::read(Arc::new(disk.clone())).unwrap();
    let letters = outbox.dead_letters().unwrap();
    assert_eq!((letters.len(), letters[0].id(), letters[0].tries), (1, id(5).to_string().as_str(), 3));
    assert_eq!(letters[0].problem, "it does not like it");
    // Sent again and refused again it is dead again; sent again and taken it is gone.
    assert_eq!(outbox.retry(None).unwrap(), 1);
    assert_eq!(outbox.retry(None).unwrap(), 0, "it is marked already");
    drain(&mut sender(&disk, &receiver, &config()), &reader);
    let letters = outbox.dead_letters().unwrap();
    assert_eq!((letters.len(), letters[0].tries, letters[0].again), (1, 4, false));
    assert!(outbox.retry(Some(&["nobody".into()])).unwrap_err().to_string().contains("no dead letter nobody"));
    assert_eq!(outbox.retry(Some(&[id(5).to_string()])).unwrap(), 1);
    receiver.poison = None;
    drain(&mut sender(&disk, &receiver, &config()), &reader);
    assert!(outbox.dead_letters().unwrap().is_empty());
    assert_eq!(took(&receiver).last(), Some(&id(5).to_string()));
    assert_eq!(Outbox::read(Arc::new(disk)).unwrap().state().delivered, 10);
}

#[test]
fn a_receiver_that_is_away_is_waited_for_longer_and_longer() {
    let disk = SimulatedDisk::new(1);
    let reader = journal(&disk, 4);
    let receiver = Receiver::default();
    let away = Undelivered::Unavailable { why: "nobody is there".into(), after: None };
    *receiver.answers.lock().unwrap() = vec![away.clone(); 9];
    let waits = drain(&mut sender(&disk, &receiver, &config()), &reader);
    let seconds = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0];
    assert_eq!(waits.len(), seconds.len());
    for (wait, plain) in waits.iter().zip(seconds) {
        let ratio = wait.as_secs_f64() / plain;
        assert!((0.9..=1.1).contains(&ratio) && ratio != 1.0, "{wait:?} is about {plain} s");
    }
    assert_eq!(took(&receiver), ids(1..=4), "none is given up");
    // The same seed waits the same; what the receiver asks for is heard, up to the cap.
    let disk = SimulatedDisk::new(1);
    let reader = journal(&disk, 4);
    let asked = |seconds| Undelivered::Unavailable { why: "busy".into(), after: Some(Duration::from_secs(seconds)) };
    *receiver.answers.lock().unwrap() = vec![asked(9_999), asked(7), away];
    let heard = drain(&mut sender(&disk, &receiver, &config()), &reader);
    assert_eq!(heard, [waits[0], Duration::from_secs(7), Duration::from_secs(30)]);
}

#[test]
fn a_damaged_cursor_and_another_journal_are_refused() {
    let disk = SimulatedDisk::new(1);
    let reader = journal(&disk, 10);
    drain(&mut sender(&disk, &Receiver::default(), &config()), &reader);
    let shorter = journal(&SimulatedDisk::new(2), 3);
    let error = sender(&disk, &Receiver::default(), &config()).step(&shorter, 6, Timestamp::EPOCH).unwrap_err();
    assert!(
        error.is_integrity() && error.to_string().contains("up to event 20, and the journal ends with event 6"),
        "{error}"
    );
    disk.flip("outbox/cursor", 12).unwrap();
    let error = Outbox::read(Arc::new(disk)).unwrap_err();
    assert!(error.is_integrity() && error.to_string().contains("its checksum differs"), "{error}");
}

#[test]
fn settings_that_cannot_be_are_told() {
    for (config, says) in [
        (OutboxConfig { sink: Some("gopher://x".into()), ..config() }, "outbox.sink: `gopher://x`"),
        (OutboxConfig { filter: "typ = X".into(), ..config() }, "did you mean `type`?"),
        (OutboxConfig { batch: 0, ..config() }, "outbox.batch is 0"),
        (OutboxConfig { tries: 0, ..config() }, "outbox.tries is 0"),
        (OutboxConfig { jitter: 2.0, ..config() }, "outbox.jitter is 2"),
    ] {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(OutboxConfig::default().check().is_ok());
}

/// A journal and its outbox live on a disk that fails, with a receiver that fails too; at the end everything that was
/// acknowledged was delivered or is a dead letter.
fn live(seed: u64) -> (usize, usize, usize) {
    let disk = SimulatedDisk::new(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let receiver = Receiver { poison: Some(3), ..Receiver::default() };
    let mut acknowledged = BTreeSet::new();
    let (mut next, mut crashes) = (1, 0);
    for life in 0..5 {
        disk.set_faults(Faults::default());
        let mut log = Log::open(Arc::new(disk.clone()), "journal", LogConfig { segment_bytes: 1_500 }).unwrap();
        let outbox = Outbox::open(Arc::new(disk.clone())).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let mut sender = Sender::new(outbox, &config(), Box::new(receiver.clone()), seed).unwrap();
        let odds = if life == 4 { 0 } else { 20_000 };
        disk.set_faults(Faults { write_eio: odds, write_enospc: odds, sync_eio: odds, other_eio: odds });
        'life: for _ in 0..rng.random_range(1..12) {
            let mut staged = Vec::new();
            for _ in 0..rng.random_range(0..6) {
                let kind = if rng.random_bool(0.6) { "Wanted" } else { "Other" };
                if log.append("operations", Expected::Any, &[event(kind, next)]).is_err() {
                    break 'life;
                }
                if kind == "Wanted" {
                    staged.push(next);
                }
                next += 1;
            }
            if log.commit().is_err() {
                break;
            }
            acknowledged.extend(staged);
            let until = log.acknowledged();
            let Ok(reader) = Reader::open(Arc::new(disk.clone()), "journal") else { break };
            for _ in 0..rng.random_range(0..8) {
                if rng.random_bool(0.2) {
                    let away = Undelivered::Unavailable { why: "away".into(), after: None };
                    receiver.answers.lock().unwrap().push(away);
                }
                if sender.step(&reader, until, Timestamp::EPOCH).is_err() {
                    break 'life;
                }
            }
        }
        drop((log, sender));
        if rng.random_bool(0.7) {
            disk.crash();
            crashes += 1;
        }
    }
    disk.set_faults(Faults::default());
    Log::open(Arc::new(disk.clone()), "journal", LogConfig::default()).unwrap();
    let reader = Reader::open(Arc::new(disk.clone()), "journal").unwrap();
    let mut last = sender(&disk, &receiver, &config());
    drain(&mut last, &reader);
    let dead = last.outbox().dead_letters().unwrap();
    let taken = took(&receiver);
    let mut counts = BTreeMap::new();
    for id in &taken {
        *counts.entry(id.clone()).or_insert(0) += 1;
    }
    for number in &acknowledged {
        let name = id(*number).to_string();
        let buried = dead.iter().any(|letter| letter.id() == name);
        assert!(counts.contains_key(&name) || buried, "seed {seed}: acknowledged event {number} is lost");
    }
    let mut firsts = Vec::new();
    reader
        .events(0, |event| {
            if event.kind == "Wanted" && counts.contains_key(&event.id.to_string()) {
                firsts.push(event.id.to_string());
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let mut seen = BTreeSet::new();
    let order: Vec<_> = taken.iter().filter(|id| seen.insert((*id).clone())).cloned().collect();
    assert_eq!(order, firsts, "seed {seed}: what is delivered is in the journal, first deliveries in its order");
    assert!(dead.iter().all(|letter| letter.id() == id(3).to_string()), "seed {seed}");
    (acknowledged.len(), taken.len() - counts.len(), crashes)
}

#[test]
fn on_failing_disks_everything_acknowledged_is_delivered_at_least_once() {
    let (mut events, mut again, mut crashes) = (0, 0, 0);
    for seed in 0..300 {
        let lived = live(seed);
        (events, again, crashes) = (events + lived.0, again + lived.1, crashes + lived.2);
    }
    println!("300 outboxes, 5 lives each: {events} events, {again} delivered again, {crashes} crashes");
    assert!(events > 3_000 && crashes > 800 && again > 0, "{events} {again} {crashes}");
}

/// The kind of content, the token and the content of each delivery that was taken.
type Got = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A web server that answers with these statuses in turn, then 202: what it was sent, with the kind of content.
fn server(answers: Vec<&'static str>) -> (String, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/events", listener.local_addr().unwrap());
    let got = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&got);
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut kind, mut token) = (0, String::new(), String::new());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                let (name, value) = line.split_once(':').unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().unwrap(),
                    "content-type" => kind = value.trim().to_owned(),
                    "authorization" => token = value.trim().to_owned(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = answers.next().unwrap_or("202 Accepted");
            if answer.starts_with('2') {
                into.lock().unwrap().push((kind, token, serde_json::from_slice(&body).unwrap()));
            }
            let mut stream = stream;
            let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, got)
}

#[test]
fn a_web_server_gets_cloud_events_whatever_it_answers_at_first() {
    let disk = SimulatedDisk::new(1);
    let reader = journal(&disk, 4);
    let (address, got) =
        server(vec!["503 Busy\r\nRetry-After: 2", "202 Accepted", "429 Too Many\r\nRetry-After: 1", "400 Bad"]);
    let sink = sink::open(&address, Duration::from_secs(5), Some("secret".into())).unwrap();
    let outbox = Outbox::open(Arc::new(disk.clone())).unwrap();
    let mut sender = Sender::new(outbox, &config(), sink, 1).unwrap();
    let waits = drain(&mut sender, &reader);
    assert_eq!((waits.len(), waits[0]), (3, Duration::from_secs(2)), "busy, too many, bad: {waits:?}");
    let got = got.lock().unwrap();
    let (kind, token, batch) = &got[0];
    assert_eq!(kind, "application/cloudevents-batch+json; charset=utf-8");
    assert_eq!((token.as_str(), batch.as_array().unwrap().len()), ("Bearer secret", 3));
    let (kind, _, single) = &got[1];
    assert_eq!(kind, "application/cloudevents+json; charset=utf-8");
    assert_eq!((single["specversion"].as_str(), single["type"].as_str()), (Some("1.0"), Some("fizzops.Wanted")));
    assert_eq!(single["id"].as_str(), Some(id(4).to_string().as_str()));
    assert!(sender.outbox().dead_letters().unwrap().is_empty());
    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut nobody = sink::open(&format!("http://{closed}/"), Duration::from_secs(1), None).unwrap();
    assert!(matches!(nobody.send(std::slice::from_ref(single)), Err(Undelivered::Unavailable { .. })));
}
