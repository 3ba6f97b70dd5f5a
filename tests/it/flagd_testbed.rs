//! The cases of flagd's testbed (evaluator features and targeting), as a table: tests/data/flagd/cases.jsonl has one a
//! line: generation of `fractional` or `any`, flag, type, the caller's default, context, and what is expected.

use std::collections::BTreeMap;

use fizzops::domain::Timestamp;
use fizzops::mechanisms::flags::flagd::{Definitions, Generation, VariantType};
use serde::Deserialize;
use serde_json::{Map, Value};

const FLAGS: &str = include_str!("data/flagd/flags.json");
const CASES: &str = include_str!("data/flagd/cases.jsonl");

/// Generation, flag, type, default, context, expected.
#[derive(Debug, Deserialize)]
struct Case(String, String, VariantType, Value, Map<String, Value>, Expected);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    value: Option<Value>,
    reason: Option<String>,
    error: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
}

fn cases(generation: &str) -> Vec<Case> {
    let all = CASES.lines().map(|line| serde_json::from_str::<Case>(line).unwrap());
    all.filter(|case| case.0 == generation).collect()
}

fn definitions(generation: Generation) -> Definitions {
    // Some of the flags are wrong on purpose.
    Definitions::lenient(FLAGS, "flags.json", generation).unwrap()
}

fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// What differs from what is expected.
fn wrong(definitions: &Definitions, case: &Case) -> Option<String> {
    let Case(_, flag, kind, default, context, expected) = case;
    // A moment in 2026, for rules that look at the time.
    let now = Timestamp::from_millis(1_767_225_600_000);
    let found = definitions.resolve(flag, context, now).typed(*kind);
    let value = found.value.as_ref().unwrap_or(default);
    let error = found.error.as_ref().map(|error| error.kind.name());
    let right = expected.value.as_ref().is_none_or(|expected| same(expected, value))
        && expected.reason.as_ref().is_none_or(|reason| reason == found.reason.name())
        && expected.error.as_ref().is_none_or(|expected| error.unwrap_or_default() == expected)
        && expected.metadata.as_ref().is_none_or(|metadata| *metadata == found.metadata);
    (!right).then(|| format!("{} {flag} {context:?}: {expected:?}, but {found:?}", definitions.generation()))
}

#[track_caller]
fn pass(cases: &[Case], generation: Generation) {
    let definitions = definitions(generation);
    let wrong: Vec<_> = cases.iter().filter_map(|case| wrong(&definitions, case)).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn cases_without_a_generation_hold_under_every_one() {
    let cases = cases("any");
    assert_eq!(cases.len(), 122);
    for generation in [Generation::V2, Generation::V3] {
        pass(&cases, generation);
    }
    // Nested rules are told for keys whose buckets the first generation does not share.
    let first: Vec<_> = cases.into_iter().filter(|case| !case.1.starts_with("fractional-nested")).collect();
    pass(&first, Generation::V1);
}

#[test]
fn the_first_generation_holds() {
    let cases = cases("v1");
    assert_eq!(cases.len(), 15);
    pass(&cases, Generation::V1);
}

#[test]
fn the_second_generation_holds() {
    let cases = cases("v2");
    assert_eq!(cases.len(), 21);
    pass(&cases, Generation::V2);
}

#[test]
fn the_third_generation_holds() {
    let cases = cases("v3");
    assert_eq!(cases.len(), 132);
    pass(&cases, Generation::V3);
}

/// Every flag of the testbed that a strict reader refuses, each for its one reason.
#[test]
fn what_is_wrong_on_purpose_is_told() {
    let Err(error) = Definitions::parse(FLAGS, "flags.json", Generation::V3) else { panic!("it is not right") };
    let text = error.to_string();
    for (flag, rule) in [
        ("ref-to-nonexistent-evaluator-flag", "reference"),
        ("error-targeting-flag", "operation"),
        ("semver-invalid-operator-flag", "arguments"),
        ("semver-wrong-args-flag", "arguments"),
        ("starts-with-wrong-args-flag", "arguments"),
        ("ends-with-wrong-args-flag", "arguments"),
        ("targeting-null-flag", "arguments"),
    ] {
        let line = text.lines().find(|line| line.contains(&format!("flags.{flag}."))).expect(flag);
        assert!(line.starts_with("flags.json:") && line.ends_with(&format!("[rule {rule}]")), "{line}");
    }
}
