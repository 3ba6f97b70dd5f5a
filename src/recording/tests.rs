use proptest::prelude::*;

use super::*;
use crate::domain::EventMask;
use crate::engine::{Engine, Frame, Options, WorkloadKind};

fn session() -> (Vec<Frame>, Vec<u8>) {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    settings.workload.to = 3_000;
    let options = Options { events: EventMask::operations(), ..Options::simulated(7) };
    let mut engine = Engine::new(&settings, options).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut recorder = Recorder::create(file.path(), engine.info(), &settings).unwrap();
    let mut frames = Vec::new();
    while let Some(due) = engine.next_due() {
        engine.advance(due, 100_000);
        if engine.counts().evaluations.is_multiple_of(500) {
            let frame = engine.frame();
            recorder.frame(&frame).unwrap();
            frames.push(frame);
        }
    }
    recorder.finish(engine.ledger_head()).unwrap();
    (frames, std::fs::read(file.path()).unwrap())
}

#[test]
fn what_was_written_is_read_back() {
    let (frames, bytes) = session();
    let recording = Recording::read(bytes.as_slice(), "x").unwrap();
    assert!(recording.frames == frames, "the frames differ");
    assert_eq!(recording.damage, None);
    assert_eq!(recording.header.info.seed, 7);
    assert!(recording.ledger_head.is_some());
}

#[test]
fn a_file_that_is_cut_anywhere_is_read_up_to_there() {
    let (frames, bytes) = session();
    let mut most = 0;
    for length in (0..bytes.len()).step_by(37) {
        match Recording::read(&bytes[..length], "x") {
            Ok(recording) => {
                assert!(recording.damage.is_some(), "{length}");
                assert!(recording.frames[..] == frames[..recording.frames.len()], "cut at {length}");
                most = most.max(recording.frames.len());
            }
            Err(error) => assert!(most == 0, "{error}"),
        }
    }
    assert!(most > 0);
}

#[test]
fn something_else_is_refused_by_name() {
    let error = |bytes: &[u8]| Recording::read(bytes, "x.txt").unwrap_err().to_string();
    assert!(error(b"hello").contains("x.txt is no session recording"));
    assert!(error(b"").contains("x.txt is no session recording"));
    let newer = zstd::encode_all(
        &br#"{"header":{"format":"fizzops-session","version":2}}
"#[..],
        1,
    )
    .unwrap();
    assert!(error(&newer).contains("version 2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_change_makes_it_panic_or_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (frames, mut bytes) = session();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(recording) = Recording::read(bytes.as_slice(), "x") {
            prop_assert!(recording.damage.is_some() || recording.frames == frames);
        }
    }
}
