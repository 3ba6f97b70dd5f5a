//! `fizzops slo` as a shell sees it, and what it says of documents that are not right.

use crate::common::{Ran, fizzops};
use tempfile::TempDir;

const SHIPPED: &str = include_str!("../../config/slo.yaml");

/// An SLO by itself, with places for what goes wrong.
const SLO: &str = "\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: right
spec:
  service: evaluation
  indicator:
    metadata:
      name: right
    spec:
      ratioMetric:
        good:
          metricSource:
            type: fizzops
            spec:
              counter: right
        total:
          metricSource:
            type: fizzops
            spec:
              counter: answered
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.99
";

fn file(folder: &TempDir, text: &str) -> String {
    let path = folder.path().join("slo.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn validate(text: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, text);
    fizzops(&format!("slo validate {path}"))
}

#[test]
fn the_shipped_documents_are_valid() {
    let ran = validate(SHIPPED);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let counts = "1 DataSource, 1 Service, 3 SLI, 3 SLO, 4 AlertPolicy, 4 AlertCondition, 6 AlertNotificationTarget";
    assert!(ran.stdout.contains(counts), "{}", ran.stdout);
    assert_eq!(validate(SLO).code, 0);
}

#[test]
fn what_is_wrong_is_one_error_with_the_file_the_place_and_the_rule() {
    let cases: [(&str, &str, &str, &str); 26] = [
        ("kind: SLO", "kind: SLOO", ":2:1: kind: there is no kind `SLOO`; did you mean `SLO`?", "kind is one of"),
        ("openslo/v1", "openslo/v2", ":1:1: apiVersion: `openslo/v2` is not known", "apiVersion openslo/v1"),
        (
            "target: 0.99",
            "target: 0.99\n      targetPercent: 99",
            ":28:7: spec.objectives.0.targetPercent: it is given beside target",
            "exactly one of target and targetPercent",
        ),
        (
            "    - target: 0.99",
            "    - displayName: x",
            ":27:5: spec.objectives.0: it has no target",
            "exactly one of target",
        ),
        (
            "  timeWindow:\n    - duration: 30d\n      isRolling: true\n",
            "",
            "spec.timeWindow: there is no time window",
            "exactly one timeWindow",
        ),
        (
            "isRolling: true",
            "isRolling: false",
            ":23:5: spec.timeWindow.0: it neither rolls nor",
            "a window is one of both",
        ),
        (
            "isRolling: true",
            "calendar: { startTime: 2026-01-01 00:00:00, timeZone: Mars/Base }",
            ":24:7: spec.timeWindow.0.calendar: there is no time zone `Mars/Base`",
            "a date and a zone",
        ),
        ("duration: 30d", "duration: 30x", ":23:7: spec.timeWindow[0].duration: `30x` is no duration", "m h d w M Q Y"),
        ("target: 0.99", "target: 1", ":27:7: spec.objectives.0.target: it is no target", "from 0 to below 1"),
        ("target: 0.99", "targetPercent: 100", ":27:7: spec.objectives.0.targetPercent: it is no", "below 100"),
        ("target: 0.99", "target: many", "target", "expected f64"),
        ("target: 0.99", "tarket: 0.99", ":27:7: ", "did you mean `target`?"),
        (
            "target: 0.99",
            "target: 0.99\n      op: lte",
            ":28:7: spec.objectives.0.op: there is nothing to compare",
            "op and value are for a thresholdMetric",
        ),
        ("counter: right", "counter: rihgt", "did you mean `right`?", "`counter: NAME`"),
        ("        good:", "        good2:", ":12:9: ", "did you mean `good`?"),
        ("type: fizzops", "type: Datadog", "`Datadog` is not read", "type fizzops"),
        (
            "type: fizzops",
            "metricSourceRef: engine",
            "there is no DataSource `engine`",
            "what is referred to is defined",
        ),
        ("    metadata:\n      name: right\n    spec:", "    spec:", "missing field `metadata`", "spec.indicator"),
        ("Occurrences", "Occurences", "did you mean `Occurrences`?", "Timeslices"),
        ("Occurrences", "Timeslices", "timeSliceTarget or timeSliceWindow is missing", "Timeslices need"),
        ("name: right\nspec", "name: Right\nspec", ":4:3: metadata.name: `Right` is no name", "RFC 1123"),
        ("  objectives:\n    - target: 0.99\n", "", "spec.objectives: there is none", "at least one objective"),
        (
            "  objectives:",
            "  alertPolicies: [{ alertPolicyRef: pager }]\n  objectives:",
            "there is no AlertPolicy `pager`",
            "what is referred to is defined",
        ),
        ("kind: SLO\n", "kind: SLO\nkind: SLO\n", "duplicate", "kind"),
        ("spec:\n  service: evaluation", "spec:\n  service: [", "slo.yaml:", ""),
        ("apiVersion: openslo/v1\n", "", ":1:1: apiVersion: it is missing", "apiVersion openslo/v1"),
    ];
    for (from, to, place, rule) in cases {
        assert!(SLO.contains(from), "{from}");
        let ran = validate(&SLO.replacen(from, to, 1));
        assert_eq!(ran.code, 2, "{to}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
        assert_eq!(ran.stderr.matches("error:").count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("slo.yaml") && ran.stderr.contains(place), "{place}\n{}", ran.stderr);
        assert!(ran.stderr.contains(rule), "{rule}\n{}", ran.stderr);
        assert!(ran.stderr.contains("[EFP-SL05]"), "{}", ran.stderr);
    }
}

#[test]
fn alert_documents_are_checked_too() {
    let cases = [
        (
            "threshold: 14.4",
            "threshold: 2",
            "2 does not follow from 2 % of a budget of 30d in 1h: that is 14.4",
            "threshold is fizzops/budget-share x period / lookbackWindow, or left out",
        ),
        ("fizzops/budget-share: \"0.02\"", "fizzops/budget-share: \"2\"", "`2` is no share", "above 0 and at most 1"),
        ("fizzops/short-window: 5m", "fizzops/short-window: 2h", "must be shorter than the long one of 1h", "fit into"),
        ("lookbackWindow: 3d", "lookbackWindow: 6w", "longer than the objective's period of 30d", "fit into"),
        ("severity: P1", "severity: awful", "`awful` is not known", "P1 to P4"),
        ("[{ conditionRef: burn-1h }]", "[]", "spec.conditions: there are 0", "exactly one condition"),
        ("[{ conditionRef: burn-1h }]", "[{ conditionRef: burn-1y }]", "did you mean `burn-1h`?", "is defined"),
        ("{ targetRef: sms }", "{ targetRef: fax }", "there is no AlertNotificationTarget `fax`", "is defined"),
        ("service: evaluation", "service: evalution", "did you mean `evaluation`?", "is defined"),
        (
            "metadata: { name: sms }",
            "metadata: { name: phone }",
            "`phone` is there already, at",
            "unique within a kind",
        ),
        ("      value: 100\n", "", "op or value is missing", "with a thresholdMetric there are op and value"),
    ];
    for (from, to, problem, rule) in cases {
        assert!(SHIPPED.contains(from), "{from}");
        let ran = validate(&SHIPPED.replacen(from, to, 1));
        assert_eq!(ran.code, 2, "{to}: {}", ran.stdout);
        assert!(ran.stderr.contains(problem) && ran.stderr.contains(rule), "{problem}\n{}", ran.stderr);
    }
}

#[test]
fn a_week_needs_other_factors_than_a_month() {
    let week = SHIPPED.replace("duration: 30d", "duration: 7d");
    assert!(validate(&week).stderr.contains("that is 3.36"), "the month's threshold is refused");
    let derived: String = week
        .lines()
        .map(|line| {
            let cut = line.find("threshold: ").map(|at| (at, line[at..].find(", ").unwrap() + at + 2));
            cut.map_or_else(|| line.to_owned(), |(from, to)| format!("{}{}", &line[..from], &line[to..])) + "\n"
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &derived);
    let ran = fizzops(&format!("slo list {path}"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("P1 3.36x, P2 1.4x, P3 0.7x"), "{}", ran.stdout);
    assert!(ran.stdout.contains("note: latency: rule burn-1d fires at 0.7x"), "{}", ran.stdout);
}

#[test]
fn an_engine_runs_on_documents_and_refuses_what_it_cannot_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, SLO);
    let ran = fizzops(&format!("run --range 1 30 --sla-dashboard --virtual --no-banner --set sla.openslo=[{path}]"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("slo right") && ran.stderr.contains("100.0000 %"), "{}", ran.stderr);
    let path = file(&folder, &SLO.replacen("target: 0.99", "target: 0.99\n      targetPercent: 99", 1));
    let ran = fizzops(&format!("run --range 1 30 --sla --virtual --set sla.openslo=[{path}]"));
    assert_eq!(ran.code, 2);
    assert!(ran.stdout.is_empty() && ran.stderr.contains(":28:7: spec.objectives.0.targetPercent"), "{}", ran.stderr);
    // A file that a configuration file names is beside it.
    file(&folder, SLO);
    let config = folder.path().join("fizzops.yaml");
    std::fs::write(&config, "sla:\n  openslo: [slo.yaml]\n").unwrap();
    let ran = fizzops(&format!("slo list --config {}", config.display()));
    assert!(ran.code == 0 && ran.stdout.contains("right "), "{}{}", ran.stdout, ran.stderr);
    let query = SLO
        .replace("type: fizzops", "type: Prometheus")
        .replace("counter: right", "query: 'good[{{.window}}]'")
        .replace("counter: answered", "query: 'all[{{.window}}]'");
    let path = file(&folder, &query);
    assert!(validate(&query).stdout.contains("an engine does not watch it"));
    let ran = fizzops(&format!("run --range 1 30 --sla --virtual --set sla.openslo=[{path}]"));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("right: its indicator is counted elsewhere (Prometheus)"), "{}", ran.stderr);
}

#[test]
fn settings_that_are_gone_say_what_took_their_place() {
    let ran = fizzops("run --range 1 3 --sla --set sla.error_budget.burn_rate_threshold=2");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("burn_rate_threshold is replaced by sla.alerting.rules"), "{}", ran.stderr);
}

#[test]
fn who_is_on_call_is_told_for_any_moment() {
    let rota = "--set sla.on_call.engineers=[{name:Ada,email:ada@example.org},{name:Grace}] \
                --set sla.on_call.rotation_interval_hours=24";
    // YAML wants a space after the colon, which the shell would split.
    let rota = rota.replace("name:", "\"name\":").replace("email:", "\"email\":");
    let ran = fizzops(&format!("slo on-call --at 1970-01-02T06:00:00Z {rota}"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("now   Grace, until 1970-01-03T00:00:00.000Z"), "{}", ran.stdout);
    assert!(ran.stdout.contains("next  Ada (ada@example.org)"), "{}", ran.stdout);
    assert!(ran.stdout.contains("L2 Senior Engineer") && ran.stdout.contains("P1 within 5 min"), "{}", ran.stdout);
    assert_eq!(fizzops("slo on-call --at soon").code, 2);
    let nobody = fizzops("slo on-call --set sla.on_call.engineers=[]");
    assert!(nobody.code == 2 && nobody.stderr.contains("EFP-SL04"), "{}", nobody.stderr);
}

#[test]
fn an_objective_is_shown_and_the_nearest_name_offered() {
    let ran = fizzops("slo show accuracy");
    assert!(ran.code == 0 && ran.stdout.contains("> 14.4x in 1h and in 5m"), "{}", ran.stdout);
    let ran = fizzops("slo show acuracy");
    assert!(ran.code == 2 && ran.stderr.contains("did you mean `accuracy`?"), "{}", ran.stderr);
    assert!(fizzops("slo list --counters").stdout.contains("timed_out"));
}
