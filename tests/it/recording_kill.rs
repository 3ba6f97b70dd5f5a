//! The recorder is killed, and its file is read: what was written a second before is there, and replay shows it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::{fizzops, program};
use fizzops::domain::Timestamp;
use fizzops::recording::{Recording, RecordingError, verify};
use rand::{RngExt as _, SeedableRng as _};

fn now() -> Timestamp {
    Timestamp::EPOCH + SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// What the last second may become on a machine that does much else.
const LAST: Duration = Duration::from_millis(1_500);

/// Records, kills after a while, reads: how much is lost, if there was anything yet.
fn kill(path: &std::path::Path, after: Duration) -> Option<Duration> {
    let mut child = program()
        .args(["--seed", "7", "--rate", "1000", "--duration", "60s", "--record"])
        .arg(path)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let killed = now();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut recording = match Recording::open(path) {
        // Killed before there was anything: there is no file, or none with a frame.
        Err(RecordingError::Io { .. } | RecordingError::Empty { .. }) => return None,
        read => read.unwrap(),
    };
    let damage = recording.damage().map(str::to_owned).expect("it did not end in order");
    let last = recording.frames() - 1;
    let frame = recording.frame(last).unwrap_or_else(|error| panic!("killed after {after:?}: {error}"));
    assert!(verify(path).is_err(), "an unfinished file is not verified");
    assert!(recording.check().is_some_and(|again| again == damage), "whatever is shown is whole");
    Some(killed.since(frame.at))
}

#[test]
fn whatever_moment_it_is_killed_at_the_last_second_is_all_that_is_lost() {
    let seed = now().as_nanos();
    println!("seed {seed}");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let moments: Vec<Duration> = (0..50).map(|_| Duration::from_millis(rng.random_range(5..3_000))).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut losses = Vec::new();
    for (group, moments) in moments.chunks(10).enumerate() {
        std::thread::scope(|scope| {
            let kills: Vec<_> = moments
                .iter()
                .enumerate()
                .map(|(at, after)| {
                    let path = folder.path().join(format!("{group}-{at}.fizz"));
                    scope.spawn(move || (*after, kill(&path, *after)))
                })
                .collect();
            losses.extend(kills.into_iter().map(|kill| kill.join().unwrap()));
        });
    }
    let lost: Vec<Duration> = losses.iter().filter_map(|(_, lost)| *lost).collect();
    println!("{} of 50 had frames; at most {:?} were lost", lost.len(), lost.iter().max());
    assert!(lost.len() > 25, "most were killed while they recorded");
    for (after, lost) in &losses {
        assert!(lost.is_none_or(|lost| lost < LAST), "killed after {after:?}, {lost:?} are lost");
    }
    // And replay shows such a file, and says what is wrong with it.
    let (place, _) = losses.iter().enumerate().find(|(_, (_, lost))| lost.is_some()).unwrap();
    let path = folder.path().join(format!("{}-{}.fizz", place / 10, place % 10));
    let ran = fizzops(&format!("replay {}", path.display()));
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stdout.contains("evaluations") && ran.stderr.contains("did not end in order"), "{}", ran.stderr);
}
