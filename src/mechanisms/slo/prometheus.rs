//! The same objectives as recording and alerting rules of Prometheus. For the engine's own indicators it takes two
//! counters, `fizzops_slo_good_total` and `fizzops_slo_events_total`, with a label `slo`.
//!
//! ```
//! use fizzops::mechanisms::slo::{SloConfig, prometheus};
//!
//! let rules = prometheus::rules(&SloConfig::default().objectives().unwrap(), 20);
//! // The YAML quotes the expression, and with it the label's value.
//! assert!(rules.contains(r#"slo:sli_error:ratio_rate1h{slo=\"latency\"} > (14.4 * 0.001)"#));
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::message::bad;
use super::spec::{Budgeting, BurnRule, Indicator, SloSpec, Window, percent, shorthand};

/// The counter of good events.
pub const GOOD: &str = "fizzops_slo_good_total";
/// The recorded share of each slice of time that is good.
const SLICES: &str = "slo:sli_slice:good_ratio";
/// The counter of all events.
pub const EVENTS: &str = "fizzops_slo_events_total";

/// Rules for these objectives, as the YAML of a rule file. Rules for burn rates need `minimum` events in their long
/// window, unless their objective says otherwise.
pub fn rules(specs: &[SloSpec], minimum: u64) -> String {
    let mut text = String::from("# Written by `fizzops slo rules --prometheus`.\ngroups:\n");
    for spec in specs {
        // Writing to a string cannot fail.
        let _ = objective(&mut text, spec, minimum);
    }
    text
}

/// A text as a YAML scalar: JSON's are among them.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn objective(text: &mut String, spec: &SloSpec, minimum: u64) -> std::fmt::Result {
    let name = &spec.name;
    let period = spec.window.seconds();
    let of = format!("{{slo=\"{name}\"}}");
    if let Some(seconds) = spec.budgeting.slice() {
        // Once a slice, so that a long window reads a sample a slice.
        let slice = shorthand(seconds);
        writeln!(text, "  - name: fizzops-slo-slices-{name}\n    interval: {slice}\n    rules:")?;
        let ratio = good_ratio(spec, &slice);
        let judged = match spec.budgeting {
            Budgeting::Timeslices { target, .. } => format!("({ratio}) >= bool {target}"),
            _ => ratio,
        };
        record(text, SLICES, &judged, spec)?;
    }
    writeln!(text, "  - name: fizzops-slo-sli-{name}\n    rules:")?;
    let windows: BTreeSet<u64> =
        spec.rules.iter().flat_map(|rule| [Some(rule.long), rule.short]).flatten().chain([period]).collect();
    for seconds in windows {
        record(text, &ratio_name(seconds), &error_ratio(spec, seconds), spec)?;
    }
    writeln!(text, "  - name: fizzops-slo-meta-{name}\n    rules:")?;
    let whole = ratio_name(period);
    if let Window::Calendar(calendar) = &spec.window {
        writeln!(text, "      # The period is a calendar's; its last {} stand for it here.", calendar.every)?;
    }
    record(text, "slo:objective:ratio", &format!("vector({})", spec.target), spec)?;
    record(text, "slo:error_budget:ratio", &format!("vector({})", spec.allowed()), spec)?;
    record(text, "slo:time_period:days", &format!("vector({})", period as f64 / 86_400.0), spec)?;
    let remaining = format!("1 - {whole}{of} / {}", spec.allowed());
    record(text, "slo:error_budget_remaining:ratio", &remaining, spec)?;
    if spec.rules.is_empty() {
        return Ok(());
    }
    writeln!(text, "  - name: fizzops-slo-alerts-{name}\n    rules:")?;
    for rule in &spec.rules {
        alert(text, spec, rule, spec.minimum_events.unwrap_or(minimum))?;
    }
    Ok(())
}

fn ratio_name(seconds: u64) -> String {
    format!("slo:sli_error:ratio_rate{}", shorthand(seconds))
}

fn record(text: &mut String, name: &str, expression: &str, spec: &SloSpec) -> std::fmt::Result {
    writeln!(text, "      - record: {name}")?;
    writeln!(text, "        expr: {}", quoted(expression))?;
    writeln!(text, "        labels: {{ slo: {}, service: {} }}", quoted(&spec.name), quoted(&spec.service))
}

/// The share of good events over `window`, as an expression.
fn good_ratio(spec: &SloSpec, window: &str) -> String {
    let fill = |query: &str| query.replace("{{.window}}", window);
    match &spec.indicator {
        Indicator::Query { part, bad: false, total } => format!("({}) / ({})", fill(part), fill(total)),
        Indicator::Query { part, bad: true, total } => format!("1 - ({}) / ({})", fill(part), fill(total)),
        _ => {
            let rate = |counter: &str| format!("sum(rate({counter}{{slo=\"{}\"}}[{window}]))", spec.name);
            format!("{} / {}", rate(GOOD), rate(EVENTS))
        }
    }
}

fn error_ratio(spec: &SloSpec, seconds: u64) -> String {
    let window = shorthand(seconds);
    match spec.budgeting {
        Budgeting::Occurrences => format!("1 - ({})", good_ratio(spec, &window)),
        _ => format!("1 - avg_over_time({SLICES}{{slo=\"{}\"}}[{window}])", spec.name),
    }
}

/// `right-answers` as `RightAnswers`.
fn camel(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

fn alert(text: &mut String, spec: &SloSpec, rule: &BurnRule, minimum: u64) -> std::fmt::Result {
    let name = &spec.name;
    let ours = !matches!(spec.indicator, Indicator::Query { .. });
    let beyond = |seconds: u64| {
        let (series, sign) = (ratio_name(seconds), rule.op.sign());
        format!("{series}{{slo=\"{name}\"}} {sign} ({} * {})", rule.factor, spec.allowed())
    };
    let mut burns = beyond(rule.long);
    if let Some(short) = rule.short {
        write!(burns, " and {}", beyond(short))?;
    }
    let long = shorthand(rule.long);
    let events = format!("sum(increase({EVENTS}{{slo=\"{name}\"}}[{long}]))");
    if ours && spec.budgeting == Budgeting::Occurrences && minimum > 0 {
        write!(burns, " and on() {events} >= {minimum}")?;
    }
    let mut conditions = Vec::new();
    if rule.when_breaching {
        conditions.push(burns);
    }
    if rule.when_no_data && ours {
        conditions.push(format!("{events} == 0 or absent({EVENTS}{{slo=\"{name}\"}})"));
    }
    if conditions.is_empty() {
        return writeln!(text, "      # {}: the policy asks for no alert that rules can tell.", rule.name);
    }
    let kind = if rule.severity.pages() { "page" } else { "ticket" };
    let target = percent(spec.target);
    let summary = format!("the {name} budget burns more than {} times as fast as it may over {long}", rule.factor);
    let share = rule.budget_share.map_or(String::new(), |share| {
        format!(" So {} % of the budget of {} are gone in {long}.", percent(share), shorthand(spec.window.seconds()))
    });
    let description = format!(
        "{{{{ $value | humanizePercentage }}}} {} in {long}; the target is {target} %.{share} Respond {}.",
        bad(spec),
        rule.severity.response()
    );
    writeln!(text, "      - alert: {}BudgetBurn", camel(name))?;
    writeln!(text, "        expr: {}", quoted(&conditions.join(" or ")))?;
    if rule.after > 0 {
        writeln!(text, "        for: {}", shorthand(rule.after))?;
    }
    writeln!(text, "        labels:")?;
    for (label, value) in [
        ("slo", name.as_str()),
        ("service", &spec.service),
        ("severity", rule.severity.name()),
        ("kind", kind),
        ("rule", &rule.name),
    ] {
        writeln!(text, "          {label}: {}", quoted(value))?;
    }
    writeln!(text, "        annotations:")?;
    writeln!(text, "          summary: {}", quoted(&summary))?;
    writeln!(text, "          description: {}", quoted(&description))
}
