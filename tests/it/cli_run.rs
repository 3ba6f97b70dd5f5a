//! `fizzops run` as a shell sees it: results on stdout and nothing else, in every format.

use crate::common::{fizzops, fizzops_reading, program};
use std::collections::BTreeMap;

#[test]
fn the_classic_hundred_lines() {
    let ran = fizzops("run --range 1 100 --no-summary");
    let expected: String = (1..=100)
        .map(|number| match (number % 3, number % 5) {
            (0, 0) => "FizzBuzz\n".to_owned(),
            (0, _) => "Fizz\n".to_owned(),
            (_, 0) => "Buzz\n".to_owned(),
            _ => format!("{number}\n"),
        })
        .collect();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, expected.as_str()));
}

/// Outputs counted: 8 Fizz, 4 Buzz, 2 FizzBuzz and 16 plain.
fn assert_thirty<'a>(outputs: impl IntoIterator<Item = &'a str>) {
    let mut counts = BTreeMap::new();
    for output in outputs {
        let class = if output.parse::<i64>().is_ok() { "plain" } else { output };
        *counts.entry(class.to_owned()).or_insert(0) += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(class, count)| (class.as_str(), *count)).collect();
    assert_eq!(counts, [("Buzz", 4), ("Fizz", 8), ("FizzBuzz", 2), ("plain", 16)]);
}

#[test]
fn json_is_one_document_with_its_summary() {
    let ran = fizzops("run --range 1 30 --format json --seed 7");
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let results = document["results"].as_array().unwrap();
    assert_thirty(results.iter().map(|result| result["output"].as_str().unwrap()));
    assert_eq!(results[14]["number"], 15);
    assert_eq!(results[14]["outcome"], "ok");
    assert_eq!(results[14]["matched_rules"].as_array().unwrap().len(), 2);
    assert_eq!(results[14]["result_id"].as_str().unwrap().len(), 36);
    assert_eq!(document["summary"]["total_numbers"], 30);
    let again = fizzops("run --range 1 30 --format json --seed 7");
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(document["results"], again["results"], "the seed determines the ids");
}

#[test]
fn ndjson_is_a_document_a_line() {
    let ran = fizzops("run --range 1 30 --format ndjson");
    let lines: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_thirty(lines.iter().map(|line| line["output"].as_str().unwrap()));
}

#[test]
fn csv_has_a_header_and_a_record_each() {
    let ran = fizzops("run --range 1 30 --format csv");
    let mut reader = csv::Reader::from_reader(ran.stdout.as_bytes());
    let output = reader.headers().unwrap().iter().position(|name| name == "output").unwrap();
    let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_thirty(records.iter().map(|record| &record[output]));
}

#[test]
fn xml_is_well_formed_with_its_summary() {
    use quick_xml::events::Event;
    let ran = fizzops("run --range 1 30 --format xml");
    let mut reader = quick_xml::Reader::from_str(&ran.stdout);
    reader.config_mut().check_end_names = true;
    let (mut depth, mut outputs, mut names) = (0, Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                depth += 1;
                names.push(start.name().as_ref().to_owned());
            }
            Event::End(_) => {
                depth -= 1;
                names.pop();
            }
            Event::Text(text) if names.last().is_some_and(|name| name == "output") => {
                outputs.push(text.to_string());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "everything that opens closes");
    assert_thirty(outputs.iter().map(String::as_str));
    assert!(ran.stdout.contains("<sessionSummary>"));
}

#[test]
fn plain_has_only_results_on_stdout_and_the_rest_on_stderr() {
    let ran = fizzops("run --range 1 30 --sla --sla-dashboard --cache --cache-stats --circuit-status --verbose");
    assert_thirty(ran.stdout.lines());
    assert!(ran.stderr.contains("NUMBER_PROCESSED"), "events are told on stderr");
    assert!(ran.stderr.contains("availability"));
}

#[test]
fn flags_decide_which_rules_apply() {
    let ran = fizzops("run --range 3 15 --flag fizz_rule_enabled=off --flag wuzz_rule_experimental=off --no-summary");
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!((lines[0], lines[2], lines[12]), ("3", "Buzz", "Buzz"));
    let wuzz = fizzops("run --range 1 200 --feature-flags --no-summary");
    assert!(wuzz.stdout.lines().any(|line| line == "Wuzz"), "the experiment shows");
    assert!(wuzz.stdout.lines().any(|line| line == "28"), "but not for every multiple of 7");
}

#[test]
fn a_translated_answer_is_still_right() {
    let ran = fizzops("run --range 1 15 --locale ja --sla --format json");
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["results"][14]["output"], "フィズバズ");
    assert_eq!(document["summary"]["wrong_count"], 0);
    let dashboard = fizzops("run --range 1 15 --locale ja --sla-dashboard");
    let accuracy = dashboard.stderr.lines().find(|line| line.contains("accuracy")).unwrap();
    assert!(accuracy.contains("100"), "accuracy stays 100 %: {accuracy}");
}

#[test]
fn numbers_come_from_a_file_or_stdin_and_go_beyond_the_classic_range() {
    let ran = fizzops_reading("run --input - --no-summary", "15\n\n-3\n0\n  9  \n");
    assert_eq!(ran.stdout, "FizzBuzz\nFizz\nFizzBuzz\nFizz\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.txt");
    std::fs::write(&path, "5\n7\n").unwrap();
    let ran = fizzops(&format!("run --no-summary --input {}", path.display()));
    assert_eq!(ran.stdout, "Buzz\n7\n");
    let negative = fizzops("run --range -5 0 --no-summary");
    assert_eq!(negative.stdout, "Buzz\n-4\nFizz\n-2\n-1\nFizzBuzz\n");
}

#[test]
fn every_strategy_gives_the_same_answers() {
    let standard = fizzops("run --range 1 300 --no-summary");
    for strategy in ["chain_of_responsibility", "parallel_async"] {
        let other = fizzops(&format!("run --range 1 300 --no-summary --strategy {strategy}"));
        assert_eq!(other.stdout, standard.stdout, "{strategy}");
    }
}

#[test]
fn with_chaos_every_number_has_a_record_with_an_outcome() {
    let ran = fizzops("run --all --chaos-level 5 --range 1 100000 --virtual --seed 3 --format ndjson --no-summary");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut outcomes = BTreeMap::new();
    for (number, line) in (1..).zip(ran.stdout.lines()) {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["number"], number);
        let outcome = record["outcome"].as_str().unwrap().to_owned();
        assert_eq!(record["output"].is_string(), outcome == "ok", "{line}");
        assert_eq!(record["error"].is_null(), outcome == "ok", "{line}");
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    assert_eq!(outcomes.values().sum::<u64>(), 100_000);
    assert!(outcomes["failed"] > 0 && outcomes["rejected"] > 0 && outcomes["ok"] > 0, "{outcomes:?}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let line = format!("'{}' run --range 1 10000000 | head -n 3", program().get_program().to_str().unwrap());
    let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n2\nFizz\n");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("anic") && !stderr.contains("error"), "{stderr}");
}

#[test]
fn a_gate_on_the_service_levels_decides_the_exit_code() {
    let args = "run --range 1 2000 --virtual --seed 1 --slo-gate --no-summary --quiet";
    assert_eq!(fizzops(args).code, 0);
    assert_eq!(fizzops(&format!("{args} --chaos-level 4")).code, 1);
}

#[test]
fn a_ledger_and_a_recording_are_written_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, record) = (folder.path().join("audit"), folder.path().join("day.fizz"));
    let ran = fizzops(&format!(
        "run --all --range 1 5000 --virtual --seed 5 --ledger {} --record {} --quiet",
        ledger.display(),
        record.display()
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let verified = fizzops(&format!("ledger verify {}", ledger.display()));
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.stdout.contains("5 000") || verified.stdout.contains("5000"), "{}", verified.stdout);
    let replayed = fizzops(&format!("replay {}", record.display()));
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    assert!(replayed.stdout.contains("evaluations  5 000"), "{}", replayed.stdout);
}

#[test]
fn without_a_terminal_the_console_prints_a_line_a_second() {
    let ran = fizzops("--seed 7 --rate 100 --duration 2500ms");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!((1..=3).contains(&lines.len()), "{}", ran.stdout);
    assert!(lines.iter().all(|line| line.contains("running") && line.contains("right=100%")), "{}", ran.stdout);
}

#[test]
fn a_game_day_has_a_verdict_and_an_exit_code() {
    let ran = fizzops("gameday run modulo_meltdown --virtual --seed 7");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("verdict      held") && ran.stdout.contains("PHASES"), "{}", ran.stdout);
    let listed = fizzops("gameday list");
    for name in ["modulo_meltdown", "confidence_crisis", "slow_burn", "total_chaos"] {
        assert!(listed.stdout.contains(name), "{}", listed.stdout);
    }
}

#[test]
fn help_has_examples_and_the_exit_codes() {
    let help = fizzops("--help");
    for code in ["130  interrupted", "5    a scenario never ran", "4    integrity"] {
        assert!(help.stdout.contains(code), "{}", help.stdout);
    }
    for sub in ["run", "gameday", "replay"] {
        assert!(fizzops(&format!("{sub} --help")).stdout.contains("Examples:"), "{sub}");
    }
    assert!(fizzops("explain EFP-CB00").stdout.contains("EFP-CB00"));
}

#[test]
fn a_batch_ends_whatever_the_file_draws_for_the_console() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/fizzops.yaml");
    let ran = fizzops(&format!("run --config {example} --range 1 3 --rate 0 --no-summary"));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "1\n2\nFizz\n"));
}

#[test]
fn metadata_tells_the_attempts_where_failures_are_repeated() {
    let args = "run --chaos-level 5 --virtual --range 1 50 --format ndjson --metadata --no-summary";
    let attempts = |args: &str| {
        let ran = crate::common::fizzops(args);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let metadata = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["metadata"].clone();
        ran.stdout.lines().map(|line| metadata(line)["attempts"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(attempts(args), [None; 50]);
    let repeated = attempts(&format!("{args} --set limits.retry.enabled=true --set limits.retry.max_attempts=2"));
    assert_eq!((repeated.iter().min(), repeated.iter().max()), (Some(&Some(1)), Some(&Some(2))));
}
