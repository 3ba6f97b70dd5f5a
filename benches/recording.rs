//! How large an hour is, how long opening and seeking take, and what recording costs the engine.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot be set up stops")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use fizzops::domain::{EventMask, Timestamp};
use fizzops::engine::drive::{Pace, Sinks, spawn};
use fizzops::engine::{Engine, Options, Settings, WallClock, WorkloadKind};
use fizzops::recording::{Background, Header, Recording};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a session to its end, recorded or not, with whoever looks at frames; how long that took.
fn run(settings: &Settings, options: Options, record: Option<&Path>) -> Duration {
    let engine = Engine::new(settings, Options { calls: record.is_some(), ..options }).unwrap();
    let mut recorder = record.map(|path| Background::create(path, &Header::new(engine.info(), settings)).unwrap());
    let (sender, done) = std::sync::mpsc::channel();
    let sink: fizzops::engine::drive::Sink<Arc<fizzops::engine::Frame>> = Box::new(move |frame| {
        let finished = frame.snapshot.finished;
        if let Some(recorder) = &mut recorder {
            recorder.frame(frame);
        }
        if finished {
            let _ = sender.send(recorder.take());
        }
        std::ops::ControlFlow::Continue(())
    });
    let began = Instant::now();
    let engine = runtime().block_on(async {
        let (_remote, task) = spawn(engine, Pace::Unpaced, Sinks { frame: Some(sink), ..Sinks::default() });
        task.await.unwrap()
    });
    let took = began.elapsed();
    if let Some(recorder) = done.recv().unwrap() {
        recorder.finish(engine.ledger_head()).unwrap();
    }
    took
}

/// An hour of the console's own session at 1 000 evaluations a second.
fn hour(path: &Path) -> u64 {
    let mut settings = Settings::everything();
    settings.workload.rate = 1_000;
    let options = Options { events: EventMask::operations(), calls: true, ..Options::simulated(7) };
    let mut engine = Engine::new(&settings, options).unwrap();
    let mut recorder = Background::create(path, &Header::new(engine.info(), &settings)).unwrap();
    let began = engine.now();
    for tenth in 1..=36_000_u64 {
        engine.advance(began + Duration::from_millis(tenth * 100), usize::MAX);
        recorder.frame(Arc::new(engine.frame()));
    }
    recorder.finish(engine.ledger_head()).unwrap();
    std::fs::metadata(path).unwrap().len()
}

fn reading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hour.fizz");
    let size = hour(&path);
    println!("recording/one hour at 1 000 a second: {:.1} MB", size as f64 / 1e6);
    let mut group = criterion.benchmark_group("recording");
    group.sample_size(20);
    group.bench_function("open an hour", |bencher| bencher.iter(|| black_box(Recording::open(&path).unwrap())));
    let cut = folder.path().join("cut.fizz");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 1_000]).unwrap();
    group.bench_function("open an hour that was cut", |bencher| {
        bencher.iter(|| black_box(Recording::open(&cut).unwrap()));
    });
    let mut recording = Recording::open(&path).unwrap();
    let (from, frames) = (recording.from(), recording.frames());
    let mut at = 0_u64;
    group.bench_function("seek anywhere", |bencher| {
        bencher.iter(|| {
            // A step that is prime to the length goes everywhere.
            at = (at + 1_234_567) % 3_590_000;
            let moment: Timestamp = from + Duration::from_millis(at);
            let frame = recording.at(moment).unwrap();
            black_box(recording.moment(frame.min(frames - 1), 500, 600).unwrap())
        });
    });
    group.finish();
}

fn cost(_: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.fizz");
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.to, settings.workload.rate) = (6_000_000, 0);
    // In turns, so that whatever else the machine does is shared; the best of each.
    let mut best = [Duration::MAX; 2];
    for _ in 0..5 {
        for (slot, record) in best.iter_mut().zip([None, Some(path.as_path())]) {
            let options =
                Options { events: EventMask::operations(), wall: Some(WallClock::start()), ..Options::simulated(7) };
            *slot = (*slot).min(run(&settings, options, record));
        }
    }
    let [without, with] = best.map(|took| took.as_secs_f64());
    println!(
        "recording/cost at full rate: {:.3} s without, {:.3} s with, {:+.1} %",
        without,
        with,
        (with / without - 1.0) * 100.0
    );
}

criterion_group!(benches, reading, cost);
criterion_main!(benches);
