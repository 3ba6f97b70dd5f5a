//! `fizzops flags` as a shell sees it, and files of definitions in a run.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{Ran, fizzops, program};
use serde_json::Value;

const FILE: &str = r#"$evaluators:
  gold: {"==": [{var: tier}, gold]}
flags:
  checkout:
    state: ENABLED
    variants: {on: true, off: false}
    defaultVariant: "off"
    targeting:
      if: [{$ref: gold}, "on", {fractional: [["on", 25], ["off", 75]]}]
    metadata: {description: The new checkout}
  fizz:
    state: ENABLED
    variants: {on: true, off: false}
    defaultVariant: "on"
    metadata: {fizzops.rule: Fizz}
"#;

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn with_file(command: &str, more: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "flags.yaml", FILE);
    fizzops(&format!("flags {command} {file} {more}"))
}

#[test]
fn list_shows_all_flags() {
    let ran = fizzops("flags list");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout.lines().count(), 8, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("wuzz_rule_experimental  on   30 %     Wuzz   active      An experiment"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("; needs wuzz_rule_experimental"), "{}", ran.stdout);
    let ran = with_file("list --file", "--format json");
    let flags: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((flags[0]["name"].as_str(), flags[0]["rollout"].as_str()), (Some("checkout"), Some("fractional v3")));
}

#[test]
fn eval_explains_each_node() {
    let ran = fizzops("flags eval wuzz_rule_experimental --context number=14");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "wuzz_rule_experimental = true  (variant on)  SPLIT\n"));
    let ran = with_file("eval checkout --file", "--context tier=gold --explain");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected = r#"checkout = true  (variant on)  TARGETING_MATCH
  is it enabled? = true
  may it be on? = true  (it is active)
  {"if":[{"$ref":"gold"},"on",{"fractional":[["on",25],["off",75]]}]} = "on"
    {"$ref":"gold"} = true
      {"==":[{"var":"tier"},"gold"]} = true
        {"var":"tier"} = "gold"
    {"fractional":[["on",25],["off",75]]} = -  (not reached)
"#;
    assert_eq!(ran.stdout, expected);
    let ran = with_file("eval checkout --file", "--context {\"targetingKey\":\"user-1\"} --explain");
    let last = ran.stdout.lines().last().unwrap();
    assert!(last.contains("(v3: hash 0x") && last.contains(" of 100 -> "), "{last}");
    let ran = with_file("eval checkout --file", "--context tier=gold --explain --format json");
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["resolution"]["reason"], "TARGETING_MATCH");
    assert_eq!(told["nodes"].as_array().unwrap().len(), 7);
}

#[test]
fn eval_refuses_what_it_cannot_answer() {
    let ran = fizzops("flags eval wuzz_rule_experimentl --context number=14");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean `wuzz_rule_experimental`?"), "{}", ran.stderr);
    let ran = with_file("eval fizz --file", "--type integer");
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.contains("TYPE_MISMATCH: true is not of the type that was asked for"), "{}", ran.stdout);
    let ran = fizzops("flags eval wuzz_rule_experimental");
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.contains("needs a `number` in the context"), "{}", ran.stdout);
    for context in ["number", "{]"] {
        let ran = fizzops(&format!("flags eval fizz_rule_enabled --context {context}"));
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("--context {context}: ")), "{}", ran.stderr);
    }
}

/// What is wrong, and the one error: place, path, rule.
const BAD: [(&str, &str, &str, &str); 13] = [
    ("[\"on\", 25], [\"off\", 75]", "[\"on\", 2147483647], [\"off\", 75]", ":9:", "[rule weights]"),
    ("[\"on\", 25]", "[\"on\", 0.5]", ":9:", "[rule weights]"),
    (
        "{$ref: gold}, ",
        "{$ref: golf}, ",
        ":9:",
        "`$evaluators` has no rule `golf`; did you mean `gold`? [rule reference]",
    ),
    ("{var: tier}, gold", "{$ref: gold}, gold", ":2:", "in a circle: gold -> gold [rule reference-cycle]"),
    ("{on: true, off: false}", "{on: true, off: 0}", ":6:", "this is a number [rule variant-type]"),
    ("defaultVariant: \"off\"", "defaultVariant: \"offf\"", ":7:", "did you mean `off`? [rule default-variant]"),
    (
        "    defaultVariant: \"on\"",
        "    defaultVarant: \"on\"",
        ":14:",
        "did you mean `defaultVariant`? [rule known-key]",
    ),
    ("state: ENABLED", "state: ON", ":5:", "[rule shape]"),
    (
        "{description: The new",
        "{fizzops.depends_on: nothing, a: The new",
        ":10:",
        "there is no flag `nothing` [rule dependency]",
    ),
    (
        "{description: The new checkout}",
        "{fizzops.depends_on: checkout}",
        ":10:",
        "in a circle: checkout -> checkout [rule dependency-cycle]",
    ),
    ("      if: ", "      iff: ", ":9:", "did you mean `if`? [rule operation]"),
    ("  fizz:\n", "  checkout:\n", ":11:", "the key `checkout` is there twice [rule syntax]"),
    ("  fizz:\n", "  fizz: [\n", ":13:", "[rule syntax]"),
];

#[test]
fn a_bad_file_is_one_error_with_place_and_rule() {
    let folder = tempfile::tempdir().unwrap();
    for (right, wrong, place, rule) in BAD {
        let text = FILE.replacen(right, wrong, 1);
        assert_ne!(text, FILE, "{right}");
        let file = written(folder.path(), "flags.yaml", &text);
        for command in [
            "flags validate",
            "run --feature-flags --range 1 3 --no-banner --set feature_flags.file=",
            "flags list --file",
        ] {
            let gap = if command.ends_with('=') { "" } else { " " };
            let ran = fizzops(&format!("{command}{gap}{file}"));
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{wrong}: {}", ran.stderr);
            let line = ran.stderr.lines().next().unwrap();
            assert!(line.starts_with(&format!("error: {file}{place}")), "{command} {wrong}: {line}");
            assert!(line.ends_with(rule), "{command} {wrong}: {line}");
            let errors = ran.stderr.lines().filter(|line| line.contains("[rule ")).count();
            assert_eq!(errors, 1, "{wrong}: {}", ran.stderr);
        }
    }
}

#[test]
fn bad_flags_of_our_own_kinds_are_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = |line: &str| written(folder.path(), "flags.yaml", &format!("native:\n  one: {line}\n"));
    for (line, place, message) in [
        (
            "{enabled: true, rollout: {type: PERCENTAGE, percentage: 101}}",
            ":2:52: native.one.rollout.percentage: ",
            "[rule rollout]",
        ),
        (
            "{enabled: true, rollout: {type: TARGETING, rule: {kind: modulo, divisor: 0, remainder: 1}}}",
            ":2:51: native.one.rollout.rule: ",
            "[rule rollout]",
        ),
        ("{enabled: true, rollout: {type: TARGETING, rule: {kind: perfect}}}", ":2:", "[rule shape]"),
        ("{enabled: true, rollout: {type: BOOLEAN}, depends: [a]}", ":2:", "[rule known-key]"),
        (
            "{enabled: true, rollout: {type: BOOLEAN}, depends_on: [two]}",
            ":2:50: native.one.depends_on: ",
            "there is no flag `two` [rule dependency]",
        ),
    ] {
        let file = file(line);
        let ran = fizzops(&format!("flags validate {file}"));
        assert_eq!(ran.code, 2, "{line}");
        let told = ran.stderr.lines().next().unwrap();
        assert!(told.starts_with(&format!("error: {file}{place}")) && told.ends_with(message), "{told}");
    }
}

#[test]
fn validate_tells_of_good_files_and_of_what_has_no_effect() {
    let ran = with_file("validate", "");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.ends_with("flags.yaml: 2 flags, no errors, no warnings\n"), "{}", ran.stdout);
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "flags.yaml", &FILE.replace("[\"on\", 25]", "[\"onn\", 25]"));
    let ran = fizzops(&format!("flags validate {file}"));
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("2 flags, no errors, 1 warning"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("no variant of this name; did you mean `on`? [rule targeting-variant]"),
        "{}",
        ran.stderr
    );
    let ran = fizzops("flags validate nowhere.yaml");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("nowhere.yaml: it cannot be read"), "{}", ran.stderr);
}

#[test]
fn rebucket_shows_how_many_keys_move() {
    let ran = with_file("rebucket", "--keys 10000 --format json");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((told["before"]["fractional"].as_str(), told["after"]["fractional"].as_str()), (Some("v2"), Some("v3")));
    let flag = &told["flags"][0];
    assert_eq!((flag["flag"].as_str(), flag["keys"].as_u64()), (Some("checkout"), Some(10_000)));
    let moved = flag["moved"].as_u64().unwrap();
    assert!((3_500..4_000).contains(&moved), "2 x 25 % x 75 % of them: {moved}");
    let ran = with_file("rebucket", "--keys 1000 --from v3 --to v3");
    assert!(ran.stdout.contains("checkout: 0 of 1 000 keys move (0.0 %)"), "{}", ran.stdout);
}

#[test]
fn rebucket_compares_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let old = written(folder.path(), "old.yaml", FILE);
    let new = written(folder.path(), "new.yaml", &FILE.replace("25", "35").replace("75", "65"));
    let ran = fizzops(&format!("flags rebucket {old} {new} --keys 10000 --show 2 --format json"));
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let moves = told["flags"][0]["moves"].as_array().unwrap();
    assert_eq!(moves.len(), 1, "a rollout that grows takes nobody out: {moves:?}");
    assert_eq!((moves[0]["from"].as_str(), moves[0]["to"].as_str()), (Some("off"), Some("on")));
    assert!((850..1_150).contains(&moves[0]["keys"].as_u64().unwrap()), "a tenth: {moves:?}");
    assert_eq!(moves[0]["examples"].as_array().unwrap().len(), 2);
    let keys = written(folder.path(), "keys.txt", "ann\nbob\n\ncarol\n");
    let ran = fizzops(&format!("flags rebucket {old} {new} --keys-from {keys}"));
    assert!(ran.stdout.contains("of 3 keys move"), "{}", ran.stdout);
    let ran = fizzops(&format!("flags rebucket {old} --flag fizz"));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("no flag `fizz` is split by `fractional`"), "{}", ran.stderr);
}

#[test]
fn a_run_takes_its_flags_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = FILE.replace(
        "    defaultVariant: \"on\"",
        "    defaultVariant: \"on\"\n    targeting: {if: [{\"<\": [{var: number}, 4]}, \"off\"]}",
    );
    let file = written(folder.path(), "flags.yaml", &text);
    let ran =
        fizzops(&format!("run --feature-flags --set feature_flags.file={file} --range 1 7 --no-banner --no-summary"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout, "1\n2\n3\n4\nBuzz\nFizz\n7\n");
    let ran =
        fizzops(&format!("run --set feature_flags.file={file} --flag fizz=off --range 6 6 --no-banner --no-summary"));
    assert_eq!(ran.stdout, "6\n", "{}", ran.stderr);
}

/// The shipped file says what the built-in flags say.
#[test]
fn the_shipped_file_is_as_good_as_none() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/flags.yaml");
    let of_file =
        fizzops(&format!("run --feature-flags --set feature_flags.file={file} --range 1 210 --no-banner --no-summary"));
    let built_in = fizzops("run --feature-flags --range 1 210 --no-banner --no-summary");
    assert_eq!((of_file.code, built_in.code), (0, 0), "{}", of_file.stderr);
    assert_eq!(of_file.stdout, built_in.stdout);
    assert!(built_in.stdout.contains("Wuzz"));
}

#[test]
fn a_live_engine_takes_a_good_file_over_and_refuses_a_bad_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "flags.yaml", FILE);
    let session = folder.path().join("day.fizz");
    let mut child = program()
        .args(["--set", "feature_flags.enabled=true", "--set"])
        .arg(format!("feature_flags.file={file}"))
        .args(["--rate", "50", "--duration", "6s", "--record"])
        .arg(&session)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let wait = |until: u64| std::thread::sleep(Duration::from_millis(until).saturating_sub(began.elapsed()));
    wait(1_500);
    written(folder.path(), "flags.yaml", &FILE.replace("state: ENABLED", "state: DISABLED"));
    wait(3_500);
    written(folder.path(), "flags.yaml", &FILE.replace("25", "2147483647"));
    assert!(child.wait().unwrap().success());
    let mut recording = fizzops::recording::Recording::open(&session).unwrap();
    let frames: Vec<Value> =
        (0..recording.frames()).map(|frame| serde_json::to_value(&*recording.frame(frame).unwrap()).unwrap()).collect();
    let events = frames.iter().flat_map(|frame| frame["events"].as_array().unwrap());
    let told: Vec<String> = events
        .filter(|event| event["payload"]["by"] == file.as_str())
        .filter_map(|event| {
            let text = |key: &str| event["payload"][key].as_str().map(str::to_owned);
            text("answer").or_else(|| text("reason"))
        })
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], format!("{file} is in force: changed 2 flags, 0 as before"));
    assert!(
        told[1].contains("is refused, the definitions from before stay: ") && told[1].ends_with("[rule weights]"),
        "{told:?}"
    );
    let last = &frames.last().unwrap()["snapshot"]["flags"];
    assert!(last["flags"].as_array().unwrap().iter().all(|flag| flag["enabled"] == false), "{last}");
    assert!(last["file"]["refused"][0].as_str().unwrap().contains(":9:"), "{last}");
}
