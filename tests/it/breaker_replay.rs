//! What a session keeps of its calls is enough: replayed under the recorded configuration, they make exactly the
//! transitions that the live breaker made, and the same calls are refused.

use std::time::Duration;

use fizzops::domain::{Event, EventMask, Outcome, Payload, Timestamp};
use fizzops::engine::seed::Stream;
use fizzops::engine::{Command, Engine, Frame, Options, Seed, Settings, WorkloadKind};
use fizzops::mechanisms::breaker::{
    BreakerCommand, BreakerConfig, BreakerSettings, CallHistory, Preset, Recorded, Registry, Transition, Verdict,
    what_if,
};
use proptest::prelude::*;

/// A session that was watched closely.
struct Live {
    transitions: Vec<Transition>,
    recorded: Recorded,
    /// Numbers of the evaluations that were rejected, in order of admission.
    rejected: Vec<i64>,
    frames: Vec<Frame>,
}

fn settings(breaker: BreakerConfig, numbers: i64) -> Settings {
    let mut settings = Settings::everything();
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.from, settings.workload.to, settings.workload.rate) = (1, numbers, 1_000);
    settings.chaos.enabled = true;
    settings.chaos.level = 4;
    // Some calls say nothing about what is protected.
    settings.validation.max = numbers - numbers / 10;
    settings.circuit_breaker = BreakerConfig { enabled: true, ..breaker };
    settings
}

fn run(settings: &Settings, seed: u64, orders: &[(u64, BreakerCommand)]) -> Live {
    let options = Options { calls: true, results: true, events: EventMask::operations(), ..Options::simulated(seed) };
    let mut engine = Engine::new(settings, options).unwrap();
    let began = engine.info().began;
    let (mut transitions, mut rejected, mut frames) = (Vec::<Transition>::new(), Vec::new(), Vec::new());
    let mut history = CallHistory::default();
    let mut orders = orders.iter().peekable();
    while let Some(due) = engine.next_due() {
        // Few enough at a time that no transition is forgotten before it is seen.
        engine.advance(due, 4);
        while let Some((_, command)) = orders.next_if(|(after, _)| engine.counts().evaluations >= *after) {
            // What the state machine has no edge for is refused live, and not on record.
            let _ = engine.apply("operator", Command::Breaker(command.clone()));
        }
        while let Some(evaluation) = engine.next_result() {
            if evaluation.outcome == Outcome::Rejected {
                rejected.push(evaluation.number);
            }
        }
        let frame = engine.frame();
        for step in &frame.snapshot.breakers[0].transitions {
            if step.transition.sequence >= transitions.len() as u64 {
                assert_eq!(step.transition.sequence, transitions.len() as u64, "one was missed");
                transitions.push(step.transition.clone());
            }
        }
        frame.calls.iter().for_each(|block| history.add(block).unwrap());
        frames.push(frame);
    }
    let rng = Seed(seed).stream(Stream::Breaker);
    let recorded = history.recorded(began, engine.now(), Registry::EVALUATION.stream(&rng));
    Live { transitions, recorded, rejected, frames }
}

fn assert_exact(live: &Live, breaker: &BreakerConfig) {
    let settings = breaker.settings();
    let answer = what_if(&live.recorded, &settings, &settings).unwrap();
    assert_eq!(answer.first, answer.second);
    assert_eq!(answer.first.transitions, live.transitions);
    let numbers = answer.first.refused.iter().map(|place| live.recorded.calls[*place].number);
    assert_eq!(numbers.collect::<Vec<_>>(), live.rejected);
    assert_eq!(answer.first.unjudged, 0, "whatever was refused is refused");
}

/// Configurations that open and close often within a few seconds.
fn restless(preset: Preset) -> BreakerConfig {
    let quick = BreakerConfig {
        preset,
        failure_threshold: 3,
        success_threshold: 2,
        half_open_max_calls: 2,
        backoff_base_ms: 20,
        backoff_max_ms: 200,
        timeout_ms: 50,
        sliding_window_size: Some(10),
        ..BreakerConfig::default()
    };
    match preset {
        Preset::Efp => BreakerConfig { backoff_jitter: 0.5, call_timeout_ms: Some(40), ..quick },
        Preset::Aref => quick,
        // Polly knows no shorter wait than half a second, and one trial call.
        Preset::Polly => BreakerConfig {
            minimum_number_of_calls: Some(5),
            failure_rate_threshold: Some(10.0),
            wait_duration_in_open_state_ms: Some(500),
            ..quick
        },
        Preset::Resilience4j => BreakerConfig {
            minimum_number_of_calls: Some(5),
            failure_rate_threshold: Some(40.0),
            permitted_number_of_calls_in_half_open_state: Some(3),
            wait_duration_in_open_state_ms: Some(30),
            randomized_wait_factor: Some(0.3),
            ..quick
        },
    }
}

#[test]
fn with_every_preset_the_replay_is_exact() {
    let mut without_verdict = 0;
    for preset in Preset::ALL {
        let breaker = restless(preset);
        let live = run(&settings(breaker.clone(), 5_000), 7, &[]);
        assert!(live.transitions.len() > 10, "{preset}: only {} transitions", live.transitions.len());
        let count = |is: fn(Verdict) -> bool| live.recorded.calls.iter().filter(|call| is(call.verdict)).count();
        assert!(count(|verdict| matches!(verdict, Verdict::Failure(Some(_)))) > 20, "{preset}");
        assert!(count(|verdict| verdict == Verdict::Refused) > 100, "{preset}");
        without_verdict += count(|verdict| verdict == Verdict::NoVerdict);
        assert_eq!(live.recorded.calls.len(), 5_000, "every evaluation reached the breaker");
        assert_exact(&live, &breaker);
    }
    assert!(without_verdict > 100, "only {without_verdict}");
}

#[test]
fn without_what_does_not_count_it_would_not_be() {
    // A call without a verdict takes a trial's place while it is out, so the recording has to have it.
    let breaker = restless(Preset::Efp);
    let mut settings = settings(breaker.clone(), 5_000);
    settings.validation.max = 500;
    let mut live = run(&settings, 7, &[]);
    assert_exact(&live, &breaker);
    live.recorded.calls.retain(|call| call.verdict != Verdict::NoVerdict);
    let answer = what_if(&live.recorded, &breaker.settings(), &breaker.settings()).unwrap();
    assert_ne!(answer.first.transitions, live.transitions);
}

#[test]
fn orders_are_part_of_it() {
    let breaker = restless(Preset::Aref);
    let orders = [
        (200, BreakerCommand::Trip { circuit: None }),
        (400, BreakerCommand::ForceOpen { circuit: Some("evaluation".into()) }),
        (600, BreakerCommand::Disable { circuit: None }),
        (900, BreakerCommand::Reset { circuit: None }),
        (1_200, BreakerCommand::MetricsOnly { circuit: None }),
        (1_500, BreakerCommand::ResetAll {}),
    ];
    let live = run(&settings(breaker.clone(), 3_000), 3, &orders);
    assert_eq!(live.transitions.iter().filter(|transition| transition.by_operator()).count(), orders.len());
    assert_eq!(live.recorded.commands.len(), orders.len());
    assert_exact(&live, &breaker);
}

#[test]
fn a_breaker_that_was_off_leaves_calls_to_try_one_on() {
    let mut settings = settings(BreakerConfig::default(), 2_000);
    settings.circuit_breaker.enabled = false;
    let live = run(&settings, 5, &[]);
    assert!(live.transitions.is_empty() && live.rejected.is_empty());
    assert_eq!(live.recorded.calls.len(), 2_000);
    let twice = BreakerSettings { failure_threshold: 2, ..BreakerSettings::default() };
    let answer = what_if(&live.recorded, &twice, &restless(Preset::Polly).settings()).unwrap();
    assert!(answer.first.opened.is_some() && answer.second.opened.is_some());
    assert!(answer.first.spared > 0);
}

#[test]
fn the_option_changes_nothing_else() {
    let settings = settings(restless(Preset::Efp), 1_000);
    let sessions = [false, true].map(|calls| {
        let options = Options { calls, events: EventMask::operations(), ..Options::simulated(9) };
        let mut engine = Engine::new(&settings, options).unwrap();
        let mut frames = Vec::new();
        while let Some(due) = engine.next_due() {
            engine.advance(due, 100);
            frames.push(engine.frame());
        }
        (frames, engine.ledger_head())
    });
    let [(plain, head), (mut full, full_head)] = sessions;
    assert_eq!(head, full_head);
    assert!(plain.iter().all(|frame| frame.calls.is_empty()));
    assert!(!serde_json::to_string(&plain[5]).unwrap().contains("\"calls\":[{\"circuit\""));
    assert!(full.iter().any(|frame| !frame.calls.is_empty()));
    full.iter_mut().for_each(|frame| frame.calls.clear());
    assert!(full == plain, "only the calls differ");
}

#[test]
fn the_calls_of_a_second_take_less_than_ten_kilobytes_at_a_thousand_a_second() {
    let mut settings = settings(BreakerConfig::default(), 10_000);
    // Nothing repeats itself: numbers drawn from a million, every call with a duration of its own.
    settings.workload.kind = WorkloadKind::Uniform;
    settings.workload.to = 1_000_000;
    let mut engine = Engine::new(&settings, Options { calls: true, ..Options::simulated(7) }).unwrap();
    let mut sizes = Vec::new();
    for _ in 0..10 {
        // As a recorder packs them: the frames of a second together.
        let mut second = Vec::new();
        for _ in 0..30 {
            engine.advance(engine.now().max(engine.next_due().unwrap()) + Duration::from_micros(33_333), 10_000);
            for block in engine.frame().calls {
                serde_json::to_writer(&mut second, &block).unwrap();
            }
        }
        sizes.push(zstd::encode_all(second.as_slice(), 3).unwrap().len());
    }
    println!("{sizes:?} bytes for about 1 000 calls each, {} in all", engine.counts().evaluations);
    assert!(engine.counts().evaluations > 9_500);
    assert!(sizes.iter().all(|size| *size < 10_000), "{sizes:?}");
}

fn presets() -> impl Strategy<Value = BreakerConfig> {
    let bits = (any::<bool>(), any::<bool>(), any::<bool>());
    (0..4_usize, bits, 1..8_u32, 1..4_u32, 1..100_u64).prop_map(
        |(preset, (automatic, limited, timed), threshold, trials, wait)| {
            let preset = Preset::ALL[preset];
            let mut breaker = restless(preset);
            breaker.automatic_transition_from_open_to_half_open_enabled = automatic;
            breaker.max_wait_duration_in_half_open_state_ms = if limited { wait } else { 0 };
            breaker.failure_threshold = threshold;
            (breaker.half_open_max_calls, breaker.success_threshold) = (trials, 1.max(trials - 1));
            breaker.timeout_ms = wait;
            if timed || preset == Preset::Polly {
                breaker.sliding_window_type = Some(fizzops::mechanisms::breaker::WindowType::TimeBased);
            }
            breaker
        },
    )
}

fn orders() -> impl Strategy<Value = Vec<(u64, BreakerCommand)>> {
    let command = prop_oneof![
        Just(BreakerCommand::Trip { circuit: None }),
        Just(BreakerCommand::Close { circuit: None }),
        Just(BreakerCommand::ForceHalfOpen { circuit: None }),
        Just(BreakerCommand::Reset { circuit: None }),
    ];
    prop::collection::vec((0..1_000_u64, command), 0..6).prop_map(|mut orders| {
        orders.sort_by_key(|(after, _)| *after);
        orders
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn however_it_is_configured_the_replay_is_exact(
        breaker in presets(),
        orders in orders(),
        seed in any::<u64>(),
        rate in prop_oneof![Just(0_u32), Just(200), Just(1_000), Just(20_000)],
        at_once in prop_oneof![Just(1_usize), Just(7), Just(1_024)],
    ) {
        let mut settings = settings(breaker.clone(), 1_000);
        settings.workload.rate = rate;
        settings.engine.max_concurrent_evaluations = at_once;
        settings.engine.timeout_ms = 50;
        assert_exact(&run(&settings, seed, &orders), &breaker);
    }
}

/// Trips or closes are announced as they are recorded: the events say the same as the replay.
#[test]
fn the_events_tell_the_same_story() {
    let breaker = restless(Preset::Resilience4j);
    let live = run(&settings(breaker.clone(), 3_000), 11, &[]);
    let told: Vec<(Timestamp, String)> = live
        .frames
        .iter()
        .flat_map(|frame| &frame.events)
        .filter_map(|Event { at, payload, .. }| match payload {
            Payload::CircuitBreakerStateChanged { from, to, reason, .. } => {
                Some((*at, format!("{from} -> {to}: {reason}")))
            }
            _ => None,
        })
        .collect();
    let answer = what_if(&live.recorded, &breaker.settings(), &breaker.settings()).unwrap();
    let sentences: Vec<String> = answer.first.transitions.iter().map(ToString::to_string).collect();
    assert_eq!(told.into_iter().map(|(_, sentence)| sentence).collect::<Vec<_>>(), sentences);
}
