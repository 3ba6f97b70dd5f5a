//! `fizzops breaker what-if` as a shell sees it: record a session, then ask what another breaker would have done.

use crate::common::{Ran, fizzops};
use fizzops::recording::{Recorder, Recording};
use serde_json::Value;
use tempfile::TempDir;

/// Records four seconds of chaos at level 4 on the virtual clock, and says where.
fn record(folder: &TempDir, more: &str) -> String {
    let file = folder.path().join("day.fizz").display().to_string();
    let ran = fizzops(&format!(
        "run --all --chaos-level 4 --virtual --seed 7 --rate 500 --range 1 2000 --quiet --no-summary --record {file} \
         --set circuit_breaker.failure_threshold=2 --set circuit_breaker.backoff_base_ms=50 \
         --set circuit_breaker.backoff_max_ms=50 {more}"
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    file
}

fn what_if(file: &str, more: &str) -> Ran {
    fizzops(&format!("breaker what-if {file} {more}"))
}

fn document(file: &str, more: &str) -> Value {
    let ran = what_if(file, &format!("{more} --format json"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn the_same_configuration_gives_the_same_timeline_and_it_is_the_recorded_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(&folder, "");
    let answer = document(&file, "");
    assert_eq!(answer["recorded"], answer["what_if"]);
    assert_eq!(answer["answer"], "would have opened at the same moment and refused as many calls");
    assert_eq!(answer["calls"], 2_000);
    assert_eq!(answer["dropped"], 0);
    assert_eq!(answer["recorded"]["configuration"]["failure_threshold"], 2);
    // What the recording itself says of the breaker, frame by frame.
    let mut recording = Recording::open(file.as_ref()).unwrap();
    let frames: Vec<Value> =
        (0..recording.frames()).map(|frame| serde_json::to_value(&*recording.frame(frame).unwrap()).unwrap()).collect();
    let told: Vec<String> = frames
        .iter()
        .flat_map(|frame| frame["events"].as_array().unwrap())
        .filter(|event| event["kind"] == "CIRCUIT_BREAKER_STATE_CHANGED")
        .map(|event| {
            let text = |key: &str| event["payload"][key].as_str().unwrap();
            format!("{} -> {}: {}", text("from"), text("to"), text("reason"))
        })
        .collect();
    let steps = answer["recorded"]["transitions"].as_array().unwrap();
    let sentences: Vec<&str> = steps.iter().map(|step| step["sentence"].as_str().unwrap()).collect();
    assert!(sentences.len() > 5 && sentences == told, "{sentences:#?}\n{told:#?}");
    let last = &frames.last().unwrap()["snapshot"]["breakers"][0]["totals"];
    assert_eq!(answer["recorded"]["refused"]["count"], last["rejections"]);
    assert_eq!(answer["refused"], last["rejections"], "and those are the ones that were refused");
}

#[test]
fn another_configuration_gives_another_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(&folder, "");
    let other = "--preset resilience4j --set failure_rate_threshold=10 \
                 --set circuit_breaker.minimum_number_of_calls=20";
    let answer = document(&file, other);
    let (recorded, what_if_side) = (&answer["recorded"], &answer["what_if"]);
    assert_eq!(what_if_side["configuration"]["preset"], "resilience4j");
    assert_eq!(what_if_side["configuration"]["failure_rate_threshold"], 10.0);
    let first = &what_if_side["transitions"][0];
    assert_eq!((first["from"].as_str(), first["to"].as_str()), (Some("closed"), Some("open")));
    assert!(first["sentence"].as_str().unwrap().contains("failure rate"), "{first}");
    assert_eq!(first["after_ms"], what_if_side["opened_ms"]);
    assert_ne!(first["after_ms"], recorded["opened_ms"]);
    // It waits a minute: the session ends before.
    assert_eq!(what_if_side["transitions"].as_array().unwrap().len(), 1);
    let refused = &what_if_side["refused"];
    let count = |key: &str| refused[key].as_u64().unwrap();
    assert!(count("failed") > 0 && count("succeeded") > 0 && count("unknown") > 0, "{refused}");
    assert!(count("count") >= count("failed") + count("succeeded") + count("unknown"));
    assert_eq!(refused["first"].as_array().unwrap().len(), 10);
    assert!(answer["answer"].as_str().unwrap().contains("refused"), "{}", answer["answer"]);

    let text = what_if(&file, other);
    assert_eq!(text.code, 0, "{}", text.stderr);
    assert!(
        text.stdout.contains("\nrecorded   preset efp with failure_threshold=2 backoff_base_ms=50 backoff_max_ms=50\n"),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains("\nwhat if    preset resilience4j with failure_rate_threshold=10.0"),
        "{}",
        text.stdout
    );
    assert!(text.stdout.contains(first["sentence"].as_str().unwrap()));
    assert!(text.stdout.ends_with(&format!("answer     {}\n", answer["answer"].as_str().unwrap())), "{}", text.stdout);
}

#[test]
fn a_more_patient_breaker_lets_calls_through_of_which_nobody_knows_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(&folder, "");
    let answer = document(&file, "--set failure_threshold=1000");
    assert_eq!(answer["what_if"]["transitions"], Value::Array(vec![]));
    assert_eq!(answer["what_if"]["unjudged"], answer["refused"]);
    assert!(answer["answer"].as_str().unwrap().starts_with("would not have opened and refused"));
    let text = what_if(&file, "--set failure_threshold=1000").stdout;
    assert!(text.contains("that the recorded breaker refused; how they would have ended is not known"), "{text}");
}

#[test]
fn a_breaker_that_was_off_can_be_tried_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(&folder, "--set circuit_breaker.enabled=false");
    let answer = document(&file, "");
    assert_eq!((&answer["recorded"]["configuration"], &answer["refused"]), (&Value::Null, &0.into()));
    assert!(answer["what_if"]["refused"]["failed"].as_u64().unwrap() > 0, "{}", answer["what_if"]["refused"]);
    assert!(what_if(&file, "").stdout.contains("\nrecorded   the breaker was off\n"));
}

#[test]
fn game_days_and_live_sessions_are_recorded_with_their_calls_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("day.fizz").display().to_string();
    let drill = fizzops(&format!("gameday run modulo_meltdown --virtual --seed 7 --quiet --record {file}"));
    assert!(drill.code == 0 || drill.code == 1, "{}", drill.stderr);
    let answer = document(&file, "");
    assert!(answer["calls"].as_u64().unwrap() >= 55 && answer["dropped"] == 0, "the whole drill: {}", answer["calls"]);
    assert_eq!(answer["recorded"]["refused"]["count"], answer["refused"]);
    let live = fizzops(&format!("--virtual --speed 100 --rate 100 --duration 1s --record {file}"));
    assert_eq!(live.code, 0, "{}", live.stderr);
    assert!(document(&file, "")["calls"].as_u64().unwrap() > 100);
}

#[test]
fn what_cannot_be_is_told_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(&folder, "");
    for (more, told) in [
        ("--set failure_treshold=9", "did you mean `failure_threshold`?"),
        ("--set failure_threshold=many", "--set failure_threshold: invalid type"),
        ("--set failure_threshold", "write KEY=VALUE"),
        ("--set failure_threshold=0", "circuit_breaker.failure_threshold: 0 is not between"),
        ("--set wait_duration_in_open_state_ms=5", "set backoff_base_ms"),
        ("--preset reslience4j", "resilience4j"),
        ("--circuit upstream/payments", "there are: evaluation"),
        ("--format yaml", "possible values"),
    ] {
        let ran = what_if(&file, more);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{more}");
        assert!(ran.stderr.contains(told), "{more}: {}", ran.stderr);
    }
    let missing = what_if("/nonexistent/day.fizz", "");
    assert_eq!((missing.code, missing.stdout.as_str()), (2, ""));
}

#[test]
fn a_recording_without_calls_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(&folder, "");
    let mut recording = Recording::open(file.as_ref()).unwrap();
    let mut recorder = Recorder::create(file.as_ref(), &recording.header).unwrap();
    for frame in 0..recording.frames() {
        let mut frame = (*recording.frame(frame).unwrap()).clone();
        frame.calls.clear();
        recorder.frame(&frame).unwrap();
    }
    recorder.finish(None).unwrap();
    let ran = what_if(&file, "");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("has no calls of breaker evaluation"), "{}", ran.stderr);
    assert_eq!(fizzops(&format!("replay {file}")).code, 0, "it is shown as before");
}

#[test]
fn of_a_damaged_recording_what_is_whole_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let file = record(&folder, "");
    let whole = document(&file, "");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() * 3 / 4]).unwrap();
    let ran = what_if(&file, "--format json");
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("is damaged, what is whole was replayed"), "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let calls = answer["calls"].as_u64().unwrap();
    assert!(calls > 100 && calls < 2_000, "{calls}");
    assert!(answer["damage"].is_string());
    let steps = |answer: &Value| answer["recorded"]["transitions"].as_array().unwrap().clone();
    assert!(!steps(&answer).is_empty());
    assert_eq!(steps(&answer)[..], steps(&whole)[..steps(&answer).len()], "as far as it goes, it is the same");
}
