use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::chunk::{self, Kind, Line};
use super::reader::{RawChunk, read_chunk};
use super::sections::Sections;
use super::verify::verify_open;
use super::writer::chunk_bytes;
use super::*;
use crate::domain::EventMask;
use crate::engine::{Engine, Frame, Options, Settings, WorkloadKind};

fn settings() -> Settings {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.to, settings.workload.rate) = (2_500, 1_000);
    settings.chaos.enabled = true;
    settings.chaos.level = 3;
    settings
}

/// A session of 2.5 s with chaos, ten frames a second, and its file.
fn session() -> (Vec<Frame>, Vec<u8>) {
    session_of(&settings(), 100)
}

/// The same of a bare service: 1.2 s with three frames.
fn short_session() -> (Vec<Frame>, Vec<u8>) {
    let mut settings = Settings::default();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.to, settings.workload.rate) = (12, 10);
    (settings.circuit_breaker.enabled, settings.sla.enabled) = (true, true);
    (settings.chaos.enabled, settings.chaos.level) = (true, 3);
    session_of(&settings, 450)
}

fn session_of(settings: &Settings, step_ms: u64) -> (Vec<Frame>, Vec<u8>) {
    let options = Options { events: EventMask::operations(), calls: true, ..Options::simulated(7) };
    let mut engine = Engine::new(settings, options).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let header = Header::new(engine.info(), settings);
    // The salts are always the same ones: with its seed a fuzzed file is repeated byte for byte.
    let mut recorder = Recorder::write_to(file.reopen().unwrap(), &header, [7; 32]).unwrap();
    let mut frames = Vec::new();
    let mut at = engine.now();
    while !engine.is_finished() {
        at += std::time::Duration::from_millis(step_ms);
        engine.advance(at, usize::MAX);
        let frame = engine.frame();
        recorder.frame(&frame).unwrap();
        frames.push(frame);
    }
    recorder.finish(engine.ledger_head()).unwrap();
    (frames, std::fs::read(file.path()).unwrap())
}

fn open(bytes: &[u8]) -> Result<Recording, RecordingError> {
    Recording::read(Box::new(Cursor::new(bytes.to_vec())), bytes.len() as u64, "x.fizz".into())
}

fn all(recording: &mut Recording) -> Result<Vec<Frame>, RecordingError> {
    (0..recording.frames()).map(|frame| recording.frame(frame).map(Arc::unwrap_or_clone)).collect()
}

#[test]
fn what_was_written_is_read_back() {
    let (frames, bytes) = session();
    let mut recording = open(&bytes).unwrap();
    assert!(recording.is_indexed());
    assert_eq!(recording.damage(), None);
    assert!(all(&mut recording).unwrap() == frames, "the frames differ");
    assert!(frames.iter().any(|frame| !frame.calls.is_empty() && !frame.events.is_empty()));
    assert_eq!(recording.header.info.seed, 7);
    assert!(recording.ledger_head().is_some());
    // From anywhere, in any order.
    for at in (0..frames.len()).rev().chain([5, 20, 6, 21, 0]) {
        let frame = recording.frame(at as u64).unwrap();
        assert!(*frame == frames[at], "{at}");
        assert_eq!(recording.at(frame.at).unwrap(), at as u64);
    }
    let verified = verify_open(open(&bytes).unwrap()).unwrap();
    assert_eq!((verified.frames, verified.seal.len()), (frames.len() as u64, 64));
    assert_eq!(repeat(&mut recording, None).unwrap(), Repeated::Same { events: verified.events });
}

#[test]
fn its_lines_are_read_by_whoever_reads_zstd_and_json() {
    let (frames, bytes) = session();
    let text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = &lines[0]["frames"]["header"];
    assert_eq!((first["version"].as_u64(), first["info"]["seed"].as_u64()), (Some(2), Some(7)));
    let events: usize = lines
        .iter()
        .filter_map(|line| line["history"]["events"].as_object())
        .flat_map(|events| events.values())
        .map(|events| events.as_array().unwrap().len())
        .sum();
    assert_eq!(events, frames.iter().map(|frame| frame.events.len()).sum::<usize>());
    assert_eq!(lines.last().unwrap()["frames"]["footer"]["frames"], frames.len());
    assert!(lines[1]["frames"]["snapshot.counts"].is_array() || lines[2]["frames"]["snapshot.counts"].is_array());
}

#[test]
fn a_file_that_is_cut_anywhere_is_read_up_to_its_last_whole_chunk() {
    let (frames, bytes) = session();
    let ends: Vec<u64> = open(&bytes).unwrap().chunks().iter().map(|chunk| chunk.offset + chunk.length).collect();
    let mut shown = 0;
    for length in (0..bytes.len()).step_by(61).chain(ends.iter().map(|end| *end as usize)) {
        let whole = ends.iter().filter(|end| **end <= length as u64).count();
        match open(&bytes[..length]) {
            Ok(mut recording) => {
                assert!(recording.damage().is_some(), "{length}");
                assert_eq!(recording.chunks().len(), whole, "cut at {length}");
                let read = all(&mut recording).unwrap();
                assert!(read[..] == frames[..read.len()], "cut at {length}");
                assert!(recording.marks().iter().all(|mark| mark.at <= recording.to()));
                assert!(verify_open(recording).is_err());
                shown += 1;
            }
            Err(error) => assert!(whole == 0, "{error}"),
        }
    }
    assert!(shown > 20);
}

/// Which chunk a byte of a file belongs to; the number of chunks for one of the index.
fn owner(bytes: &[u8], at: usize) -> u64 {
    let (mut offset, mut number) = (0, 0);
    let mut file = Cursor::new(bytes);
    while let Ok(raw) = read_chunk(&mut file, offset, [false; 3]) {
        offset += chunk::HEAD as u64 + raw.head.body_length();
        if (at as u64) < offset {
            break;
        }
        number += 1;
        if raw.head.kind == Kind::Footer {
            break;
        }
    }
    number
}

#[test]
fn a_flipped_byte_is_found_and_placed() {
    let (_, bytes) = session();
    let chunks = verify_open(open(&bytes).unwrap()).unwrap().chunks;
    let mut runner = TestRunner::new(Config { cases: 1_500, failure_persistence: None, ..Config::default() });
    runner
        .run(&(any::<prop::sample::Index>(), 1u8..), |(at, flip)| {
            let at = at.index(bytes.len());
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let number = owner(&bytes, at);
            match open(&changed) {
                Err(error) => prop_assert!(number <= 1, "byte {at} of chunk {number}: {error}"),
                Ok(recording) => match verify_open(recording) {
                    Ok(_) => prop_assert!(false, "byte {at} of chunk {number} was not noticed"),
                    Err(Fault::Chunk { chunk, .. }) => prop_assert_eq!(chunk, number, "byte {}", at),
                    Err(Fault::Index { .. }) => prop_assert_eq!(number, chunks, "byte {}", at),
                    Err(other) => prop_assert!(false, "byte {at} of chunk {number}: {other}"),
                },
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_session_whose_configuration_was_edited_does_not_repeat() {
    let (_, bytes) = session();
    let mut original = open(&bytes).unwrap();
    let mut edited = original.header.clone();
    edited.settings.chaos.level = 2;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut recorder = Recorder::create(file.path(), &edited).unwrap();
    all(&mut original).unwrap().iter().for_each(|frame| recorder.frame(frame).unwrap());
    recorder.finish(original.ledger_head().map(str::to_owned)).unwrap();
    // Whoever makes a whole chain anew has a whole chain; but not what that configuration does.
    assert!(verify(file.path()).is_ok());
    let Repeated::Differs { frame: 0, problem } = repeat(&mut Recording::open(file.path()).unwrap(), None).unwrap()
    else {
        panic!("it repeats")
    };
    assert!(problem.contains("event") || problem.contains("snapshot."), "{problem}");
}

#[test]
fn a_copy_without_sections_keeps_its_proofs_and_not_their_content() {
    let (frames, bytes) = session();
    let folder = tempfile::tempdir().unwrap();
    let (path, copy, again) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
    std::fs::write(&path, &bytes).unwrap();
    let seal = verify(&path).unwrap().seal;
    let done = redact(&path, &["calls".into(), "auth".into(), "events".into()], &copy).unwrap();
    assert_eq!((done.sections.len(), &done.seal), (3, &seal));
    let verified = verify(&copy).unwrap();
    assert_eq!(verified.seal, seal, "it commits to what its original did");
    assert_eq!(verified.redacted, ["calls", "events", "snapshot.auth"]);
    let text = String::from_utf8(zstd::decode_all(std::fs::File::open(&copy).unwrap()).unwrap()).unwrap();
    for gone in ["CHAOS_MONKEY_ACTIVATED", "\"verdicts\"", "\"salt\":"] {
        assert!(!text.contains(gone), "{gone}");
    }
    let mut recording = Recording::open(&copy).unwrap();
    let last = recording.frame(recording.frames() - 1).unwrap();
    let original = frames.last().unwrap();
    assert!(last.events.is_empty() && last.calls.is_empty() && recording.marks().is_empty());
    assert_eq!(last.snapshot.counts, original.snapshot.counts);
    assert!(matches!(repeat(&mut recording, None).unwrap(), Repeated::Not(why) if why.contains("taken out")));
    // A copy of the copy; and what is left can still not be changed.
    assert_eq!(redact(&copy, &["cache".into()], &again).unwrap().seal, seal);
    assert_eq!(verify(&again).unwrap().seal, seal);
    let error = redact(&path, &["evnts".into()], &folder.path().join("d")).unwrap_err().to_string();
    assert!(error.contains("did you mean `events`"), "{error}");
    let there = redact(&path, &["events".into()], &copy).unwrap_err().to_string();
    assert!(there.contains("cannot be written"), "{there}");
}

#[test]
fn two_sessions_are_told_apart_where_they_part() {
    let (_, bytes) = session();
    let (mut one, mut other) = (open(&bytes).unwrap(), open(&bytes).unwrap());
    assert!(compare(&mut one, &mut other).unwrap().is_none());
    let mut changed = settings();
    changed.chaos.level = 5;
    let options = Options { events: EventMask::operations(), ..Options::simulated(7) };
    let mut engine = Engine::new(&changed, options).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut recorder = Recorder::create(file.path(), &Header::new(engine.info(), &changed)).unwrap();
    while let Some(due) = engine.next_due() {
        engine.advance(due + std::time::Duration::from_millis(100), usize::MAX);
        recorder.frame(&engine.frame()).unwrap();
    }
    recorder.finish(engine.ledger_head()).unwrap();
    let found = compare(&mut one, &mut Recording::open(file.path()).unwrap()).unwrap();
    assert_eq!(found.settings, ["chaos.level: 3, 5"]);
    let (_, event, another) = found.event.unwrap();
    assert!(event.is_some() && another.is_some());
}

#[test]
fn something_else_is_refused_by_name() {
    let error = |bytes: &[u8]| match open(bytes) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it is read"),
    };
    assert!(error(b"hello").contains("x.fizz is no session recording: it begins with something else"));
    assert!(error(b"").contains("x.fizz is no session recording: it is empty"));
    let zstd = zstd::encode_all(&b"{\"a\":1}\n"[..], 1).unwrap();
    assert!(error(&zstd).contains("its first line is no header"));
    let old = zstd::encode_all(&b"{\"header\":{\"format\":\"fizzops-session\",\"version\":1}}\n"[..], 1).unwrap();
    assert!(error(&old).contains("is a recording of version 1; this program reads version 2"));
    let (_, mut newer) = session();
    newer[12] = 3;
    assert!(error(&newer).contains("is a recording of version 3"));
}

#[test]
fn a_recorder_on_a_thread_keeps_everything_that_happened() {
    let settings = settings();
    let options = Options { events: EventMask::operations(), calls: true, ..Options::simulated(7) };
    let mut engine = Engine::new(&settings, options).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut recorder = Background::create(file.path(), &Header::new(engine.info(), &settings)).unwrap();
    let (mut events, mut samples, mut last) = (Vec::new(), Vec::new(), None);
    let mut at = engine.now();
    let mut made = 0;
    while !engine.is_finished() {
        at += std::time::Duration::from_millis(10);
        engine.advance(at, usize::MAX);
        let frame = Arc::new(engine.frame());
        events.extend(frame.events.clone());
        samples.extend(frame.samples.clone());
        last = Some(Arc::clone(&frame));
        assert!(recorder.frame(frame));
        made += 1;
    }
    recorder.finish(engine.ledger_head()).unwrap();
    let mut recording = Recording::open(file.path()).unwrap();
    let frames = all(&mut recording).unwrap();
    assert!(frames.len() < made / 2, "frames in which nothing is told are thinned out: {} of {made}", frames.len());
    assert!(frames.iter().flat_map(|frame| frame.events.clone()).eq(events));
    assert!(frames.iter().flat_map(|frame| frame.samples.clone()).eq(samples));
    let calls: usize = frames.iter().flat_map(|frame| &frame.calls).map(|block| block.verdicts.len()).sum();
    assert_eq!(calls, 2_500);
    assert!(frames.last().unwrap().snapshot == last.unwrap().snapshot, "the last frame is there");
    assert!(verify(file.path()).is_ok());
    assert!(matches!(repeat(&mut recording, None).unwrap(), Repeated::Same { .. }));
    let full = Background::create("/dev/full".as_ref(), &recording.header);
    assert!(full.is_err(), "a full disk is told at once");
}

/// A chunk with its lines changed and everything that protects them made anew, so that the change is read.
fn forged(raw: &RawChunk, lines: &[String; 3]) -> Option<Vec<u8>> {
    let mut sections = Sections::default();
    let mut extra = String::new();
    let kinds = [&mut sections.history, &mut sections.frames, &mut sections.calls];
    for ((text, name), list) in lines.iter().zip(chunk::LINES).zip(kinds) {
        if let Ok(line) = Line::read(text, name) {
            list.extend(line.sections().map(|(name, text)| (name.to_owned(), text.to_owned())));
            if let Some(salt) = line.get("salt") {
                extra = format!(",\"salt\":{salt}");
            }
        }
    }
    chunk_bytes(raw.head, &extra, &sections).ok().map(|(bytes, _)| bytes)
}

/// Reads everything of a file that can be read.
fn devour(bytes: &[u8]) -> bool {
    let Ok(mut recording) = open(bytes) else { return false };
    let mut read = all(&mut recording).is_ok();
    for place in 0..recording.chunks().len() {
        read &= recording.chunk_calls(place).is_ok();
    }
    let _ = recording.moment(recording.frames() / 2, 500, 600);
    let _ = recording.frame_with_event(0, true);
    let _ = recording.check();
    read & verify_open(recording).is_ok()
}

/// A file that is changed over and over, in its bytes or in what its chunks say.
struct Mutator {
    bytes: Vec<u8>,
    /// Offset and length of each.
    chunks: Vec<(usize, usize)>,
    raws: Vec<RawChunk>,
}

impl Mutator {
    fn new(bytes: Vec<u8>) -> Self {
        let recording = open(&bytes).unwrap();
        let mut chunks = vec![(0, recording.chunks()[0].offset)];
        chunks.extend(recording.chunks().iter().map(|chunk| (chunk.offset, chunk.length)));
        let read = |(offset, _): &(u64, u64)| read_chunk(&mut Cursor::new(&bytes), *offset, [true; 3]).unwrap();
        let raws = chunks.iter().map(read).collect();
        let chunks = chunks.into_iter().map(|(offset, length)| (offset as usize, length as usize)).collect();
        Self { bytes, chunks, raws }
    }

    /// One change or a few. In three of four cases what protects the bytes is made anew, so that the change is read.
    fn changed(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut changed = self.bytes.clone();
        if rng.random_range(0..4) == 0 {
            mutate(&mut changed, rng);
            return changed;
        }
        let place = rng.random_range(0..self.raws.len());
        let mut lines = self.raws[place].lines.clone();
        // Not every chunk has all of its lines.
        let full: Vec<usize> = (0..3).filter(|line| !lines[*line].is_empty()).collect();
        let line = full[rng.random_range(0..full.len())];
        let mut text = lines[line].clone().into_bytes();
        mutate(&mut text, rng);
        lines[line] = String::from_utf8_lossy(&text).into_owned();
        let (offset, length) = self.chunks[place];
        if let Some(forged) = forged(&self.raws[place], &lines) {
            changed.splice(offset..offset + length, forged);
        }
        changed
    }
}

fn mutate(text: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    const WORDS: [&[u8]; 12] = [
        b"0",
        b"9999999999",
        b"[",
        b"]",
        b"{",
        b"}",
        b"\"",
        b",",
        b"-1",
        b"[[[[[[[[[[",
        b"AAAAAAAAAAAAAAAAAAAAAAAA",
        b"4294967295",
    ];
    for _ in 0..rng.random_range(1..4) {
        if text.is_empty() {
            return;
        }
        let at = rng.random_range(0..text.len());
        match rng.random_range(0..5) {
            0 => text[at] ^= 1 << rng.random_range(0..8),
            1 => text[at] = rng.random_range(32..127),
            2 => drop(text.splice(at..at, WORDS[rng.random_range(0..WORDS.len())].iter().copied())),
            3 => {
                let end = (at + rng.random_range(1..40)).min(text.len());
                drop(text.drain(at..end));
            }
            _ => {
                let from = rng.random_range(0..text.len());
                let piece: Vec<u8> = text[from..(from + 30).min(text.len())].to_vec();
                drop(text.splice(at..at, piece.into_iter().cycle().take(300)));
            }
        }
    }
}

/// Reads so many mutated files, one in a hundred of a longer session; how many of them were read to their end.
fn survive(count: u64, seed: u64) -> u64 {
    let (short, long) = (Mutator::new(short_session().1), Mutator::new(session().1));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let changed = |at: u64| (if at.is_multiple_of(100) { &long } else { &short }).changed(&mut rng);
    (0..count).map(changed).filter(|changed| devour(changed)).count() as u64
}

/// A long run by hand: see CONTRIBUTING.md.
#[test]
#[ignore = "as long as FIZZOPS_FUZZ says"]
fn soak() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (count, seed) = (number("FIZZOPS_FUZZ").unwrap_or(20_000), number("FIZZOPS_FUZZ_SEED").unwrap_or(1));
    let whole = survive(count, seed);
    println!("{count} mutated files of seed {seed} were read, {whole} of them to their end");
}

#[test]
fn mutated_files_are_survived_in_256_megabytes() {
    let program = std::env::current_exe().unwrap();
    let script =
        "ulimit -v 262144 && exec \"$0\" --exact recording::tests::soak --ignored --nocapture --test-threads 1";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(&program)
        .env("MALLOC_ARENA_MAX", "1")
        .env("RUST_BACKTRACE", "0")
        .env("FIZZOPS_FUZZ", "20000")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("20000 mutated files"), "{out}\n{err}");
}
