//! A drill that ends before its time, by a signal or a panic: nothing stays in force, and the verdict says so.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fizzops::engine::director::Verdict;
use fizzops::engine::drive::{Pace, Remote, Sink, Sinks, drive};
use fizzops::engine::{Command, Engine, Frame, Options, Settings, WorkloadKind};
use fizzops::gameday::Scenarios;
use fizzops::recording::{Recording, RecordingError};
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Ran, fizzops, program};

/// Faults of several kinds for as long as nobody ends them.
const OUTAGE: &str = "\
name: outage
title: Outage
description: Half of all calls fail until somebody ends it.
teaches: That whatever ends it, it ends.
hypothesis: Nothing of it stays.
settings:
  workload: { kind: range, rate: 1000, from: 1, to: 1000000000 }
  engine: { max_concurrent_evaluations: 64 }
  cache: { enabled: false }
  circuit_breaker: { enabled: false }
  limits: { bulkhead: { enabled: true, max_concurrent: 32 } }
steady_state:
  for: 200ms
  expect:
    - { probe: failed_ratio, at_most: 0 }
phases:
  - name: Half of all calls fail
    for: 5m
    inject:
      - { fault: exception_injection, rate: 0.5 }
      - { fault: latency_injection, rate: 0.1, min_ms: 5, max_ms: 20 }
recovery:
  settle: 300ms
  for: 300ms
expect:
  - { probe: wrong_ratio, at_most: 0, during: all }
";

fn outage(folder: &Path) -> Scenarios {
    let path = folder.join("outage.yaml");
    std::fs::write(&path, OUTAGE).unwrap();
    let mut scenarios = Scenarios::built_in().unwrap();
    scenarios.add_file(&path).unwrap();
    scenarios
}

/// Runs the drill with somebody who panics so many times while something is injected.
async fn panics(times: u32) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.to, settings.workload.rate) = (i64::MAX, 1_000);
    let options = Options { playbook: Some(Arc::new(outage(folder.path()))), ..Options::simulated(1) };
    let mut engine = Engine::new(&settings, options).unwrap();
    engine.apply("test", Command::StartGameDay { name: "outage".into() }).unwrap();
    engine.stop_after_drill();
    let mut left = times;
    let sink: Sink<Arc<Frame>> = Box::new(move |frame| {
        if left > 0 && (!frame.snapshot.chaos.injections.is_empty() || left < times) {
            left -= 1;
            // Without the hook that prints it.
            std::panic::resume_unwind(Box::new("out of paper"));
        }
        ControlFlow::Continue(())
    });
    let (_remote, inbox) = Remote::new();
    drive(engine, Pace::Unpaced, inbox, None, Sinks { frame: Some(sink), ..Sinks::default() }).await
}

fn is_reverted(engine: &mut Engine) {
    let chaos = engine.snapshot().chaos;
    assert_eq!((chaos.level, chaos.injections.len()), (0, 0));
}

#[tokio::test]
async fn a_panic_takes_everything_back_and_the_verdict_says_so() {
    let mut engine = panics(1).await;
    let found = engine.drill().unwrap();
    assert_eq!(found.verdict, Verdict::Aborted);
    assert!(found.reason.starts_with("by a panic (out of paper) in phase Half"), "{}", found.reason);
    assert!(found.reason.ends_with("everything was taken back, the steady state holds again"), "{}", found.reason);
    is_reverted(&mut engine);
}

#[tokio::test]
async fn a_second_panic_ends_the_session_with_nothing_in_force() {
    let mut engine = panics(u32::MAX).await;
    let found = engine.drill().unwrap();
    assert_eq!(found.verdict, Verdict::Aborted);
    assert!(found.reason.ends_with("whether the steady state is back was not seen"), "{}", found.reason);
    is_reverted(&mut engine);
}

#[tokio::test]
#[should_panic(expected = "out of paper")]
async fn a_panic_without_a_game_day_is_not_hidden() {
    let engine = Engine::new(&Settings::everything(), Options::simulated(1)).unwrap();
    let sink: Sink<Arc<Frame>> = Box::new(|_| panic!("out of paper"));
    let (_remote, inbox) = Remote::new();
    drive(engine, Pace::Unpaced, inbox, None, Sinks { frame: Some(sink), ..Sinks::default() }).await;
}

/// A drill on the wall clock, and what it was sent after how long.
fn signalled(folder: &Path, signal: Signal, after: Duration) -> Option<Ran> {
    outage(folder);
    let child = program()
        .args([
            "gameday",
            "run",
            "outage.yaml",
            "--seed",
            "7",
            "--record",
            "drill.fizz",
            "--report",
            "json",
            "drill.json",
        ])
        .args(["--keep", "--data-dir", "data"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    kill_process(Pid::from_child(&child), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    // Killed outright: always so by SIGKILL, by the others before it listens, when nothing is injected yet.
    output.status.code().is_some().then(|| output.into())
}

/// What the last frame of the recording has in force: chaos level and injections.
fn last_in_force(folder: &Path) -> Result<(u8, usize), RecordingError> {
    let mut recording = Recording::open(&folder.join("drill.fizz"))?;
    let last = recording.frames() - 1;
    let chaos = recording.frame(last)?.snapshot.chaos.clone();
    Ok((chaos.level, chaos.injections.len()))
}

fn moments(count: usize, longest: u64) -> Vec<Duration> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("seed {seed}");
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed.into());
    (0..count).map(|_| Duration::from_millis(rng.random_range(5..longest))).collect()
}

/// Five at a time, each in a folder of its own: with what it was sent, and what came of it.
fn at_random_moments(signals: &[Signal], count: usize, look: impl Fn(&Path, Signal, Duration, Option<Ran>) + Sync) {
    for moments in moments(count, 2_500).chunks(5) {
        std::thread::scope(|scope| {
            for (at, after) in moments.iter().enumerate() {
                let (signal, look) = (signals[at % signals.len()], &look);
                scope.spawn(move || {
                    let folder = tempfile::tempdir().unwrap();
                    let ran = signalled(folder.path(), signal, *after);
                    look(folder.path(), signal, *after, ran);
                });
            }
        });
    }
}

#[test]
fn interrupted_and_terminated_at_any_moment_it_ends_with_everything_reverted_and_a_verdict() {
    let judged = std::sync::atomic::AtomicUsize::new(0);
    at_random_moments(&[Signal::INT, Signal::TERM], 20, |folder, signal, after, ran| {
        let Some(ran) = ran else {
            let in_force = last_in_force(folder).unwrap_or((0, 0));
            assert_eq!(
                in_force,
                (0, 0),
                "{signal:?} after {after:?}: it was not heard, so nothing may be injected yet"
            );
            return;
        };
        judged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(ran.code, 130, "{signal:?} after {after:?}: {}{}", ran.stdout, ran.stderr);
        let report: Value = serde_json::from_slice(&std::fs::read(folder.join("drill.json")).unwrap()).unwrap();
        assert_eq!(report["verdict"], "aborted", "{report}");
        let reason = report["reason"].as_str().unwrap();
        assert!(
            reason.ends_with("the steady state holds again") || reason.ends_with("nothing had been injected"),
            "{signal:?} after {after:?}: {reason}"
        );
        assert_eq!(last_in_force(folder).unwrap(), (0, 0));
        let path = folder.join("drill.fizz").display().to_string();
        let verified = fizzops(&format!("replay --verify {path}"));
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    });
    assert!(judged.into_inner() > 10, "most were interrupted while they ran");
}

#[test]
fn killed_at_any_moment_nothing_outside_is_changed_and_the_recording_is_readable() {
    let read = std::sync::atomic::AtomicUsize::new(0);
    at_random_moments(&[Signal::KILL], 10, |folder, _, after, ran| {
        assert!(ran.is_none(), "it was killed");
        match last_in_force(folder) {
            Ok(_) => _ = read.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            Err(RecordingError::Io { .. } | RecordingError::Empty { .. }) => {}
            Err(error) => panic!("killed after {after:?}: {error}"),
        }
        // What it leaves is what it was asked to write, and the next drill begins as if it had never been.
        let mut left: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.retain(|name| !["outage.yaml", "drill.fizz", "drill.json", "data"].contains(&name.as_str()));
        assert_eq!(left, Vec::<String>::new());
        let data = folder.join("data").display().to_string();
        let again = fizzops(&format!("gameday run total_chaos --virtual --seed 7 --quiet --keep --data-dir {data}"));
        assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);
    });
    assert!(read.into_inner() > 5, "most were killed while they recorded");
}
