use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn parse(document: &Value) -> Result<Experiment, ToolkitError> {
    let environment = |name: &str| (name == "TOKEN").then(|| "s3cr3t".to_owned());
    Experiment::parse(&format!("{document:#}"), "x.json", &environment)
}

/// A whole experiment with one part of it replaced; `null` leaves it out.
fn with(path: &str, value: Value) -> Value {
    let mut document = json!({
        "title": "t", "description": "d",
        "steady-state-hypothesis": {"title": "h", "probes": [
            {"type": "probe", "name": "p", "tolerance": 0, "provider": {"type": "process", "path": "true"}}
        ]},
        "method": [{"type": "action", "name": "a", "provider": {"type": "http", "url": "http://localhost/"}}]
    });
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    if let Value::Array(items) = parent {
        items[key.parse::<usize>().unwrap()] = value;
    } else {
        parent[key] = value;
    }
    document
}

const PROBE: &str = "/steady-state-hypothesis/probes/0";

#[test]
fn every_bad_input_has_one_message_with_its_place_and_what_would_be_right() {
    let tolerance = |value: Value| with(&format!("{PROBE}/tolerance"), value);
    let provider = |value: Value| with("/method/0/provider", value);
    let process = |key: &str, value: Value| {
        let mut provider = json!({"type": "process", "path": "true"});
        provider[key] = value;
        with("/method/0/provider", provider)
    };
    let http = |key: &str, value: Value| {
        let mut provider = json!({"type": "http", "url": "http://localhost/"});
        provider[key] = value;
        with("/method/0/provider", provider)
    };
    let activity = |key: &str, value: Value| with(&format!("/method/0/{key}"), value);
    for (document, says) in [
        (json!([]), &["1:1", "an experiment is a mapping, not a list"][..]),
        (with("/title", json!(null)), &["needs a `title`"]),
        (with("/title", json!("")), &["2:12", "`title` is empty"]),
        (with("/description", json!(3)), &["`description` is a text, not a number"]),
        (with("/tags", json!([""])), &["a tag is empty"]),
        (with("/tags", json!("x")), &["`tags` is a list, not a text"]),
        (with("/method", json!(null)), &["needs a `method`", "[]"]),
        (with("/method", json!({})), &["`method` is a list, not a mapping"]),
        (with("/rollback", json!([])), &["28:3", "unknown key `rollback`; did you mean `rollbacks`?"]),
        (with("/extensions", json!([{}])), &["an extension needs a `name`"]),
        (with("/contributions", json!(1)), &["`contributions` is a mapping"]),
        (with("/controls", json!([{"name": "c"}])), &["`controls` are not supported", "chaos"]),
        (with("/dry", json!("actions")), &["`dry` is not supported", "chaos run --dry"]),
        (
            with("/runtime", json!({"hypothesis": {"strategy": "continuously"}})),
            &["`continuously`", "after-method-only"],
        ),
        (with("/runtime", json!({"rollbacks": {"strategy": "sometimes"}})), &["`sometimes`", "deviated"]),
        (
            with("/configuration", json!({"c": {"type": "env", "key": "NOPE"}})),
            &["NOPE, which is not set", "`default`"],
        ),
        (
            with("/configuration", json!({"c": {"type": "env", "key": "TOKEN", "env_var_type": "int"}})),
            &["`c` must be a whole number"],
        ),
        (with("/configuration", json!({"c": {"type": "probe", "name": "x"}})), &["`c` is found by a probe"]),
        (with("/secrets", json!({"t": {"s": "plain"}})), &["`t.s`", "{type: env, key: VARIABLE}"]),
        (with("/secrets", json!({"t": {"s": {"type": "vault", "path": "x"}}})), &["`vault`", "only the environment"]),
        (with("/secrets", json!({"t": {"type": "env", "key": "TOKEN"}})), &["below a target"]),
        (with("/secrets", json!({"t": {"s": {"type": "env", "key": "NOPE"}}})), &["NOPE, which is not set"]),
        (with("/steady-state-hypothesis/title", json!(null)), &["needs a `title`"]),
        (tolerance(json!(null)), &["the probe `p` of the hypothesis needs a `tolerance`"]),
        (tolerance(json!(true)), &["true or false, which the output of a process never equals", "stdout"]),
        (tolerance(json!("ok")), &["a text, which the output of a process never equals", "regex"]),
        (tolerance(json!(0.5)), &["0.5 is no whole number"]),
        (tolerance(json!([])), &["empty list"]),
        (tolerance(json!([0, "1"])), &["holds a text"]),
        (tolerance(json!({"type": "regexp"})), &["`regexp`; did you mean `regex`?"]),
        (tolerance(json!({"type": "regex", "target": "stdout"})), &["needs a `pattern`"]),
        (tolerance(json!({"type": "regex", "target": "stdout", "pattern": "("})), &["`(` is no pattern"]),
        (tolerance(json!({"type": "regex", "pattern": "x"})), &["needs a `target`: stdout or stderr"]),
        (tolerance(json!({"type": "regex", "target": "status", "pattern": "x"})), &["`status` cannot be compared"]),
        (tolerance(json!({"type": "jsonpath", "target": "stdout", "path": "$["})), &["`$[` is no JSON path"]),
        (tolerance(json!({"type": "jsonpath", "path": "$", "count": -1})), &["`count`", "from 0"]),
        (tolerance(json!({"type": "range", "target": "stdout", "range": [1]})), &["two numbers"]),
        (tolerance(json!({"type": "range", "target": "stdout", "range": [2, 1]})), &["the smaller number first"]),
        (
            tolerance(json!({"type": "probe", "name": "x", "provider": {"type": "python", "module": "m"}})),
            &["the provider `python` (m) is not supported"],
        ),
        (activity("type", json!("check")), &["`check` is no type", "action and probe"]),
        (activity("name", json!(null)), &["needs a `name`"]),
        (activity("provider", json!(null)), &["the action `a` needs a `provider`"]),
        (activity("pauses", json!({"before": -1})), &["a pause is a number of seconds from 0 to 86400"]),
        (activity("pauses", json!({"before": "long"})), &["a pause is a number"]),
        (activity("pauses", json!({"befor": 1})), &["`befor`; did you mean `before`?"]),
        (activity("background", json!("yes")), &["`background` is true or false"]),
        (activity("ref", json!("q")), &["no activity `q` to refer to"]),
        (
            provider(json!({"type": "python", "module": "chaosk8s.pod"})),
            &["23:17", "`python` (chaosk8s.pod) is not supported", "process or http", "chaos"],
        ),
        (provider(json!({"type": "proces"})), &["no provider `proces`; did you mean `process`?"]),
        (process("path", json!("no-such-program-anywhere")), &["no program `no-such-program-anywhere` on PATH"]),
        (process("path", json!("/etc/hostname-not-there")), &["is not there"]),
        (process("path", json!("/")), &["is no program that may be run"]),
        (process("arguments", json!([["x"]])), &["an argument is a text"]),
        (process("arguments", json!(3)), &["`arguments` is a list"]),
        (process("timeout", json!(0)), &["`timeout` is a number of seconds from 0.001 to 86400"]),
        (process("timeout", json!(1e9)), &["`timeout` is a number"]),
        (process("argument", json!([])), &["`argument`; did you mean `arguments`?"]),
        (http("url", json!("localhost/x")), &["no URL to call", "http://HOST/PATH"]),
        (http("url", json!("ftp://localhost/")), &["no http:// or https://"]),
        (http("url", json!(null)), &["needs a `url`"]),
        (http("method", json!("GE T")), &["`GE T` is no HTTP method"]),
        (http("headers", json!([])), &["`headers` is a mapping"]),
        (http("headers", json!({"a b": "c"})), &["`a b` is no name of a header"]),
        (http("headers", json!({"a": ["c"]})), &["the header a is a text"]),
        (http("headers", json!({"a": "c\nd"})), &["no header can carry"]),
        (http("arguments", json!({"a": {"b": 1}})), &["a query or a form", "application/json"]),
        (http("timeout", json!([1])), &["[CONNECT, READ]"]),
        (http("max_retries", json!(-1)), &["`max_retries` is a whole number"]),
        (http("expected_status", json!("ok")), &["`expected_status` is a whole number"]),
        (http("verify_tls", json!(1)), &["`verify_tls` is true or false"]),
    ] {
        let error = parse(&document).expect_err(&document.to_string());
        let text = error.to_string();
        assert!(text.starts_with("x.json:"), "it has a place: {text}");
        for said in says {
            assert!(text.contains(said), "`{said}` is missing in:\n{text}");
        }
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let one = json!({"type": "action", "name": "a", "provider": {"type": "process", "path": "true"}});
    let error = parse(&with("/method", vec![one.clone(); MAX_ACTIVITIES + 1].into())).unwrap_err();
    assert!(error.to_string().contains("are more than 1000"), "{error}");
    let mut background = one;
    background["background"] = json!(true);
    let error = parse(&with("/method", vec![background; MAX_BACKGROUND + 1].into())).unwrap_err();
    assert!(error.to_string().contains("more than 64 activities run in the background"), "{error}");
}

#[test]
fn texts_that_are_no_documents_have_their_place() {
    let parse = |text: &str, file: &str| Experiment::parse(text, file, &|_| None).unwrap_err().to_string();
    assert!(parse("{\n  \"title\": }", "x.json").starts_with("x.json:2:12: expected value"));
    assert!(parse("title: [1\nb: 2\n", "x.yaml").starts_with("x.yaml:"));
    assert!(parse("{}", "x.txt").contains(".json, .yaml or .yml"));
    let line = format!("{{\"title\": \"{}\", \"description\": 3}}", "x".repeat(300));
    assert!(parse(&line, "x.json").starts_with("x.json:1:330: `description` is a text"), "{}", parse(&line, "x.json"));
}

#[test]
fn keys_of_others_are_kept_and_have_no_effect() {
    let mut document = with("/extensions", json!([{"name": "chatops", "room": "x"}]));
    document["x-team"] = json!("payments");
    document["version"] = json!("1.0.0");
    document["contributions"] = json!({"reliability": "high"});
    assert_eq!(parse(&document).unwrap().document(), &document);
}

#[test]
fn a_tolerance_may_be_a_variable() {
    let mut document = with(&format!("{PROBE}/tolerance"), json!("${wanted}"));
    document["configuration"] = json!({"wanted": [0, 3]});
    let probe = &parse(&document).unwrap().hypothesis.unwrap().probes[0];
    assert!(matches!(&probe.tolerance, Some(tolerance::Tolerance::Statuses(all)) if *all == [0, 3]));
}

#[test]
fn the_probe_of_a_tolerance_is_given_the_output() {
    // sh -c SCRIPT value OUTPUT: the output is the first argument of the script.
    let script = "case \"$1\" in *'\"status\":0'*) exit 0;; *) exit 1;; esac";
    for (path, verdict) in [("true", Verdict::Held), ("false", Verdict::NeverRan)] {
        let provider = json!({"type": "process", "path": "sh", "arguments": {"-c": script}});
        let mut document =
            with(&format!("{PROBE}/tolerance"), json!({"type": "probe", "name": "t", "provider": provider}));
        document.pointer_mut(PROBE).unwrap()["provider"]["path"] = json!(path);
        document["method"] = json!([]);
        let outcome = Runner::new(&parse(&document).unwrap(), &Interrupt::default(), &|_| {}).run();
        assert_eq!(outcome.verdict, verdict, "{}", outcome.reason);
    }
}

#[test]
fn a_process_that_writes_without_end_is_ended() {
    let mut document = with("/method/0/provider", json!({"type": "process", "path": "yes"}));
    document["method"][0]["type"] = json!("action");
    let outcome = Runner::new(&parse(&document).unwrap(), &Interrupt::default(), &|_| {}).run();
    assert_eq!(outcome.verdict, Verdict::Inconclusive);
    assert!(outcome.reason.contains("more than 4 MiB to stdout"), "{}", outcome.reason);
    assert_eq!(outcome.journal["run"][0]["status"], "failed");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~\n]{0,12}".prop_map(Value::from),
        prop_oneof!["yes", "no", "on", "~", "1e3", "0x1f", "- a", "a: b", "null", "2001-01-01"].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z ]{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn yaml_says_what_json_said(extra in value()) {
        let mut document = with("/extensions", json!([{"name": "e", "content": extra}]));
        document["contributions"] = json!({"security": "none"});
        let yaml = to_yaml(&document, "x.yaml").unwrap();
        let again = Experiment::parse(&yaml, "x.yaml", &|_| None).unwrap();
        prop_assert_eq!(again.document(), &document);
    }

    #[test]
    fn no_document_makes_it_panic(mangled in value(), at in 0_usize..12) {
        let paths = ["/title", "/method", "/rollbacks", "/tags", "/configuration", "/secrets", "/runtime", "/controls",
            "/steady-state-hypothesis", "/method/0", "/method/0/provider", "/steady-state-hypothesis/probes/0/tolerance"];
        let _ = parse(&with(paths[at], mangled)).is_ok();
    }
}
