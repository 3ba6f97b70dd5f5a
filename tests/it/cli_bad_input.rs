//! Bad input: one clear message with what, where and what would be right, the right exit code, and nothing lost.

use crate::common::{Ran, fizzops, fizzops_reading};

/// Asserts the exit code, that it is no panic, and that stderr says all of this.
fn refused(ran: &Ran, code: i32, says: &[&str]) {
    let stderr = &ran.stderr;
    assert_eq!(ran.code, code, "{stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
    for text in says {
        assert!(stderr.contains(text), "`{text}` is missing in:\n{stderr}");
    }
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn configuration_is_told_with_line_column_and_the_nearest_key() {
    for (text, says) in [
        ("cache:\n  max_sise: 5\n", &["2:3", "max_sise", "max_size"][..]),
        ("cache:\n  max_size: many\n", &["2:13", "max_size"]),
        ("circut_breaker:\n  enabled: true\n", &["1:1", "circuit_breaker"]),
        ("cache: [1,\n", &["input.yaml"]),
    ] {
        let (_folder, path) = file(text);
        refused(&fizzops(&format!("run --config {path}")), 2, says);
    }
    refused(&fizzops("run --set cache.max_sise=5"), 2, &["max_sise", "max_size"]);
    refused(&fizzops("run --set cache"), 2, &["KEY=VALUE"]);
    refused(&fizzops("run --config /nowhere/at/all.yaml"), 2, &["/nowhere/at/all.yaml"]);
}

#[test]
fn an_impossible_value_is_told_with_the_place_where_it_was_given() {
    for (text, says) in [
        (
            "circuit_breaker:\n  failure_threshold: 0\n",
            &["input.yaml:2:3", "failure_threshold: 0", "between 1 and"][..],
        ),
        (
            "circuit_breaker:\n  preset: resilience4j\n  failure_rate_threshold: 130\n",
            &["input.yaml:3:3", "at most 100"],
        ),
        ("circuit_breaker:\n  preset: resilience4j\n  sliding_window_size: 0\n", &["input.yaml:3:3", "between 1 and"]),
        ("circuit_breaker:\n  preset: hystrix\n", &["input.yaml:2:11", "hystrix", "resilience4j"]),
        ("cache:\n  eviction_policy: lur\n", &["input.yaml:2:3", "lur", "lru"]),
        ("cache:\n  enabled: true\n  max_size: 0\n", &["input.yaml:3:3", "cache.max_size is 0"]),
        ("cache:\n  warming:\n    range_start: 900\n", &["input.yaml:3:5", "900"]),
        ("limits:\n  bulkhead:\n    enabled: true\n    max_concurrent: 0\n", &["input.yaml:4:5", "max_concurrent"]),
        ("limits:\n  limiter:\n    limit: 5/fortnight\n", &["input.yaml", "fortnight", "second"]),
        ("limits:\n  retry:\n    max_attempts: 0\n", &["input.yaml:3:5", "max_attempts"]),
        ("sla:\n  slos:\n    accuracy: { target: 1.5 }\n", &["input.yaml", "1.5"]),
    ] {
        let (_folder, path) = file(text);
        let ran = fizzops(&format!("run --config {path}"));
        refused(&ran, 2, says);
        assert_eq!(ran.stdout, "", "nothing ran");
        refused(&fizzops(&format!("config show --config {path}")), 2, says);
    }
    refused(&fizzops("run --cache-size 0"), 2, &["--cache-size", "cache.max_size is 0"]);
    refused(&fizzops("run --set circuit_breaker.failure_threshold=0"), 2, &["--set", "failure_threshold: 0"]);
}

#[test]
fn values_on_the_command_line() {
    refused(&fizzops("run --range 10 1"), 2, &["10", "1"]);
    refused(&fizzops("run --range one 10"), 2, &["one"]);
    refused(&fizzops("run --strategy standrad"), 2, &["standrad", "standard"]);
    refused(&fizzops("run --locale jp"), 2, &["jp", "ja"]);
    refused(&fizzops("run --flag fizz_rule_enable=off"), 2, &["fizz_rule_enable", "fizz_rule_enabled"]);
    refused(&fizzops("run --chaos-level 9"), 2, &["9", "1"]);
    refused(&fizzops("run --role wizard"), 2, &["wizard"]);
    refused(&fizzops("run --frmat json"), 2, &["--format"]);
    refused(&fizzops("gameday run modulo_meltdwon"), 2, &["modulo_meltdwon", "modulo_meltdown"]);
    refused(&fizzops("explain EFP-CB99"), 2, &["EFP-CB99"]);
    refused(&fizzops("--theme drak"), 2, &["drak", "dark"]);
    refused(&fizzops("--duration soon"), 2, &["soon", "30s"]);
    refused(&fizzops("--speed 2"), 2, &["--virtual"]);
}

#[test]
fn a_bad_number_is_told_with_its_line_and_what_came_before_is_kept() {
    let ran = fizzops_reading("run --input - --no-summary", "3\n5\nseven\n9\n");
    refused(&ran, 2, &["3", "seven"]);
    assert_eq!(ran.stdout, "Fizz\nBuzz\n");
    let ran = fizzops_reading("run --input - --no-summary", "99999999999999999999\n");
    refused(&ran, 2, &["99999999999999999999"]);
    refused(&fizzops("run --input /nowhere/numbers"), 2, &["/nowhere/numbers"]);
}

#[test]
fn a_bad_scenario_injects_nothing() {
    let text = "name: x\ntitle: X\ndescription: d\nteaches: t\nphases:\n  - { name: A, faults: [result_coruption], level: 1, evaluations: 10 }\n";
    let (_folder, path) = file(text);
    refused(&fizzops(&format!("gameday run {path}")), 2, &["6:", "result_corruption"]);
    refused(&fizzops(&format!("gameday validate {path}")), 2, &["result_corruption"]);
}

#[test]
fn a_damaged_recording_shows_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.fizz");
    let ran =
        fizzops(&format!("gameday run slow_burn --virtual --seed 2 --rate 5 --quiet --record {}", path.display()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let ran = fizzops(&format!("replay {}", path.display()));
    refused(&ran, 4, &["damaged", "day.fizz"]);
    assert!(ran.stdout.contains("frames"), "what is whole is shown: {}", ran.stdout);
    std::fs::write(&path, b"not a recording").unwrap();
    refused(&fizzops(&format!("replay {}", path.display())), 4, &["no session recording"]);
    refused(&fizzops("replay /nowhere/day.fizz"), 2, &["/nowhere/day.fizz"]);
}

#[test]
fn a_ledger_with_one_changed_byte_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    let made = fizzops(&format!("run --range 1 3000 --ledger {} --quiet --virtual", path.display()));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let verify = || fizzops(&format!("ledger verify {}", path.display()));
    assert_eq!(verify().code, 0);
    for name in ["checkpoint", "blocks.jsonl", "verifier.key"] {
        let file = path.join(name);
        let bytes = std::fs::read(&file).unwrap();
        // One byte in each tenth of the file.
        for tenth in 0..10 {
            let at = bytes.len() * tenth / 10;
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&file, &changed).unwrap();
            let ran = verify();
            // A damaged key is no ledger's fault: it is what was given to verify with.
            refused(&ran, if name == "verifier.key" && ran.code == 2 { 2 } else { 4 }, &["audit"]);
        }
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        assert_ne!(verify().code, 0);
        std::fs::write(&file, &bytes).unwrap();
    }
}

#[test]
fn an_unwritable_path_is_told_before_anything_runs() {
    for flag in ["--record", "--ledger"] {
        let ran = fizzops(&format!("run --range 1 10 {flag} /nowhere/at/all"));
        refused(&ran, 2, &["/nowhere/at/all", "cannot be written"]);
        assert_eq!(ran.stdout, "", "nothing ran");
    }
}

#[test]
fn who_may_not_gets_a_record_that_says_so() {
    let ran = fizzops("run --range 1 3 --user mallory --role anonymous --no-summary");
    assert!(ran.stdout.lines().count() == 3, "{}", ran.stdout);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}
