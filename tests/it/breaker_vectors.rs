//! Our breaker, told to be resilience4j, answers every step as resilience4j 2.4 did under random configurations.
//!
//! The vectors are read from the folder that `FIZZOPS_VECTORS` names (default `../shared/vectors`); where that is not
//! there, from the copies in `tests/data`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use fizzops::domain::Timestamp;
use fizzops::mechanisms::breaker::{Breaker, BreakerSettings, Ended, Permit, Preset, State};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Deserialize;
use serde_json::Value;

/// Where the vectors' clock starts, milliseconds since the epoch.
const START_MS: u64 = 1_700_000_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    advance_ms: u64,
    op: String,
    duration_ms: u64,
    state: State,
    failure_rate: f64,
    slow_call_rate: f64,
    buffered: u64,
    failed: u64,
    slow: u64,
    not_permitted: u64,
}

fn folder() -> PathBuf {
    if let Some(given) = std::env::var_os("FIZZOPS_VECTORS") {
        return PathBuf::from(given).join("breaker");
    }
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let shared = here.join("../shared/vectors/breaker");
    if shared.is_dir() { shared } else { here.join("tests/data/breaker") }
}

/// The configuration's keys are ours, but for the preset.
fn settings(line: &str) -> BreakerSettings {
    let mut line: Value = serde_json::from_str(line).unwrap();
    line["config"]["preset"] = Value::from(Preset::Resilience4j.name());
    serde_json::from_value(line["config"].take()).unwrap()
}

struct Player {
    breaker: Breaker,
    now: Timestamp,
    permits: VecDeque<Permit>,
}

impl Player {
    fn finish(&mut self, permit: Permit, failed: bool, duration_ms: u64) {
        let duration = Duration::from_millis(duration_ms);
        let ended = Ended { number: 0, failed, error: None, duration, confidence: None };
        self.breaker.finish(permit, &ended, self.now);
    }

    fn go(&mut self, to: State) {
        self.breaker.command(to, "vector", "test", self.now).unwrap();
        self.permits.clear();
    }

    fn play(&mut self, step: &Step) {
        self.now += Duration::from_millis(step.advance_ms);
        match step.op.as_str() {
            "acquire" => self.permits.push_back(self.breaker.acquire(self.now).expect("granted")),
            "acquire_denied" | "call_denied" => {
                self.breaker.acquire(self.now).expect_err("refused");
            }
            "call_success" | "call_error" => {
                let permit = self.breaker.acquire(self.now).expect("granted");
                self.finish(permit, step.op == "call_error", step.duration_ms);
            }
            "finish_success" | "finish_error" => {
                let permit = self.permits.pop_front().expect("an overlapping call");
                self.finish(permit, step.op == "finish_error", step.duration_ms);
            }
            "release" => {
                let permit = self.permits.pop_front().expect("an overlapping call");
                self.breaker.release(permit, self.now);
            }
            "reset" => {
                self.breaker.reset("test", self.now);
                self.permits.clear();
            }
            "to_closed" => self.go(State::Closed),
            "to_open" => self.go(State::Open),
            "to_disabled" => self.go(State::Disabled),
            "to_forced_open" => self.go(State::ForcedOpen),
            "to_metrics_only" => self.go(State::MetricsOnly),
            other => panic!("unknown operation {other}"),
        }
    }

    fn check(&self, step: &Step, place: &str) {
        let window = self.breaker.window_view(self.now);
        assert_eq!(self.breaker.state(), step.state, "state at {place}");
        let counts = (window.calls, window.failed, window.slow, window.refused);
        assert_eq!(counts, (step.buffered, step.failed, step.slow, step.not_permitted), "counts at {place}");
        for (ours, theirs) in [(window.failure_rate, step.failure_rate), (window.slow_call_rate, step.slow_call_rate)] {
            // Theirs are printed with four places.
            assert!((ours.unwrap_or(-1.0) - theirs).abs() < 5.1e-5, "{ours:?} for {theirs} at {place}");
        }
    }
}

#[test]
fn every_step_of_every_vector_is_answered_as_by_resilience4j() {
    let folder = folder();
    let mut files: Vec<_> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(error) => return println!("skipped: {}: {error}", folder.display()),
    };
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut steps = 0;
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let mut lines = text.lines();
        let now = Timestamp::from_millis(START_MS);
        let breaker =
            Breaker::new(&settings(lines.next().unwrap()), now, ChaCha8Rng::seed_from_u64(0)).expect("a configuration");
        let mut player = Player { breaker, now, permits: VecDeque::new() };
        for (line, step) in lines.enumerate() {
            let step: Step = serde_json::from_str(step).unwrap();
            let place = format!("{}:{} ({})", file.display(), line + 2, step.op);
            player.play(&step);
            player.check(&step, &place);
            steps += 1;
        }
    }
    assert!(files.len() >= 24 && steps >= 9_600, "{} files with {steps} steps are too few", files.len());
}
