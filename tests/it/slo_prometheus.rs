//! The rules of `fizzops slo rules --prometheus` before Prometheus itself: `promtool check rules`, and `promtool test
//! rules` with an error series that pages when the SRE workbook says so. Skipped, and says so, where there is no promtool.

use std::path::Path;
use std::process::Command;

use crate::common::fizzops;

const SLO: &str = "\
apiVersion: openslo/v1
kind: SLO
metadata: { name: answered }
spec:
  service: evaluation
  indicator:
    metadata: { name: answered }
    spec:
      ratioMetric:
        good: { metricSource: { type: fizzops, spec: { counter: answered } } }
        total: { metricSource: { type: fizzops, spec: { counter: evaluations } } }
  timeWindow: [{ duration: 30d, isRolling: true }]
  budgetingMethod: Occurrences
  objectives: [{ target: 0.999 }]
---
apiVersion: openslo/v1
kind: SLO
metadata: { name: minutes }
spec:
  service: evaluation
  indicator:
    metadata: { name: http }
    spec:
      ratioMetric:
        bad: { metricSource: { type: Prometheus, spec: { query: 'sum(rate(http_errors_total[{{.window}}]))' } } }
        total: { metricSource: { type: Prometheus, spec: { query: 'sum(rate(http_requests_total[{{.window}}]))' } } }
  timeWindow: [{ duration: 1M, calendar: { startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin } }]
  budgetingMethod: Timeslices
  objectives: [{ targetPercent: 99, timeSliceTarget: 0.95, timeSliceWindow: 1m }]
";

fn promtool(folder: &Path, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("promtool").args(args).current_dir(folder).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), text))
}

/// Two thousand minutes at 1000 events each, all good; then 2 % of them bad.
const CLEAN: u64 = 2_000;

#[test]
fn two_percent_of_errors_page_when_the_workbook_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("slo.yaml"), SLO).unwrap();
    let slo = path.join("slo.yaml").display().to_string();
    let ran = fizzops(&format!("slo rules --prometheus {slo}"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    std::fs::write(path.join("rules.yaml"), &ran.stdout).unwrap();
    let Some((right, text)) = promtool(path, &["check", "rules", "rules.yaml"]) else {
        println!("skipped: promtool is not on the path (Debian's package prometheus has it)");
        return;
    };
    assert!(right, "{text}");
    // Of a budget of a thousandth 2 % burn 20 times too fast: 14.4 / 20 of an hour, 43.2 minutes.
    let alert = |minute: u64, fires: bool| {
        format!(
            "      - expr: count(ALERTS{{alertname=\"AnsweredBudgetBurn\",rule=\"burn-1h\",alertstate=\"firing\"}}) or \
             vector(0)\n        eval_time: {}m\n        exp_samples: [{{ labels: '{{}}', value: {} }}]\n",
            CLEAN + minute,
            u8::from(fires)
        )
    };
    let checks: String = [(1, false), (30, false), (42, false), (45, true), (60, true)]
        .map(|(minute, fires)| alert(minute, fires))
        .concat();
    let test = format!(
        "rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'fizzops_slo_events_total{{slo=\"answered\"}}'
        values: '0+1000x{all}'
      - series: 'fizzops_slo_good_total{{slo=\"answered\"}}'
        values: '0+1000x{CLEAN} {next}+980x120'
    promql_expr_test:
{checks}",
        all = CLEAN + 121,
        next = CLEAN * 1_000 + 980,
    );
    std::fs::write(path.join("test.yaml"), test).unwrap();
    let (right, text) = promtool(path, &["test", "rules", "test.yaml"]).unwrap();
    assert!(right, "{text}");
}
