//! From documents to objectives: what they name is looked up, and every rule of the specification is checked.

use serde_yaml::Value;

use super::document::{
    ConditionEntry, ConditionSpec, Metadata, Method, Metric, Object, PolicyEntry, PolicySpec, SliSpec, SliceWindow,
    SloDocument,
};
use super::{Documents, Origin, Written};
use crate::config::Diagnostic;
use crate::domain::text::nearest;
use crate::mechanisms::slo::alert::Severity;
use crate::mechanisms::slo::calendar::Calendar;
use crate::mechanisms::slo::config::{SloConfig, check_windows};
use crate::mechanisms::slo::counters::Counters;
use crate::mechanisms::slo::error::SloError;
use crate::mechanisms::slo::spec::{Budgeting, BurnRule, Factor, Indicator, SloSpec, Span, Window, percent, shorthand};

/// A condition's annotation: the share of the budget that its factor is derived from.
const SHARE: &str = "fizzops/budget-share";
/// A condition's annotation: the window over which it must burn as fast, too.
const SHORT: &str = "fizzops/short-window";
/// An objective's annotation: the events that its long windows need.
const MINIMUM: &str = "fizzops/minimum-events";

/// What an indicator is, before its objective says what is good.
enum Measure {
    Ratio(Indicator),
    Latency(Counters),
}

impl Documents {
    /// The objectives that the documents define. Those without alert policies get the rules of `config`.
    ///
    /// # Errors
    /// [`SloError::Document`] for the first thing that is not right, [`SloError::NoObjective`] when there is none.
    pub fn objectives(&self, config: &SloConfig) -> Result<Vec<SloSpec>, SloError> {
        self.check()?;
        let mut all: Vec<SloSpec> = Vec::new();
        for slo in &self.slos {
            all.extend(self.slo(slo, config)?);
        }
        if all.is_empty() { Err(SloError::NoObjective) } else { Ok(all) }
    }

    /// Checks what no objective uses, too.
    fn check(&self) -> Result<(), Diagnostic> {
        let described = |origin: &Origin, text: &Option<String>| match text {
            Some(text) if text.chars().count() > 1_050 => {
                Err(origin.wrong("spec.description", "it is too long", "a description has at most 1050 characters"))
            }
            _ => Ok(()),
        };
        for sli in &self.slis {
            described(&sli.origin, &sli.object.spec.description)?;
            self.measure(&sli.object.spec, &sli.origin, "spec")?;
        }
        for one in &self.policies {
            described(&one.origin, &one.object.spec.description)?;
            self.condition(&one.object.spec, &one.origin, "spec")?;
        }
        for one in &self.conditions {
            described(&one.origin, &one.object.spec.description)?;
            severity(&one.object.spec, &one.origin, "spec")?;
        }
        for one in &self.services {
            described(&one.origin, &one.object.spec.description)?;
        }
        for one in &self.sources {
            described(&one.origin, &one.object.spec.description)?;
        }
        self.targets.iter().try_for_each(|one| described(&one.origin, &one.object.spec.description))
    }

    fn slo(&self, written: &Written<SloDocument>, config: &SloConfig) -> Result<Vec<SloSpec>, SloError> {
        let Written { origin, object: Object { metadata, spec, .. } } = written;
        if !self.services.is_empty() {
            find(&self.services, &spec.service, "Service", origin, "spec.service")?;
        }
        let measure = match (&spec.indicator, &spec.indicator_ref) {
            (Some(inline), None) => self.measure(&inline.spec, origin, "spec.indicator.spec")?,
            (None, Some(name)) => {
                let sli = find(&self.slis, name, "SLI", origin, "spec.indicatorRef")?;
                self.measure(&sli.object.spec, &sli.origin, "spec")?
            }
            (one, _) => {
                let what = if one.is_some() { "it is given beside indicatorRef" } else { "there is no indicator" };
                return Err(origin.wrong("spec.indicator", what, "exactly one of indicator and indicatorRef").into());
            }
        };
        let window = window(spec, origin)?;
        let rules = match &spec.alert_policies {
            None => config.rules(window.seconds(), "sla.alerting.rules")?,
            Some(entries) => {
                let each = entries.iter().enumerate().map(|(index, entry)| {
                    let place = format!("spec.alertPolicies.{index}");
                    self.rule(entry, origin, &place, window.seconds())
                });
                each.collect::<Result<_, _>>()?
            }
        };
        if spec.objectives.is_empty() {
            return Err(origin.wrong("spec.objectives", "there is none", "an SLO has at least one objective").into());
        }
        if matches!(measure, Measure::Latency(_)) && spec.objectives.len() > 1 {
            let rule = "with a thresholdMetric there is exactly one objective";
            return Err(origin.wrong("spec.objectives.1", "it is one too many", rule).into());
        }
        let minimum_events = match metadata.annotations.get(MINIMUM) {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let place = format!("metadata.annotations.{MINIMUM}");
                origin.wrong(&place, format!("`{text}` is no number"), "it is a whole number of events")
            })?),
        };
        let mut all = Vec::new();
        for index in 0..spec.objectives.len() {
            let (target, indicator, budgeting) = objective(spec, index, &measure, origin)?;
            if let Some(slice) = budgeting.slice()
                && let Some(rule) = rules.iter().find(|rule| rule.short.unwrap_or(rule.long) < slice)
            {
                let problem =
                    format!("rule {} looks at {} only", rule.name, shorthand(rule.short.unwrap_or(rule.long)));
                let place = format!("spec.objectives.{index}.timeSliceWindow");
                return Err(origin.wrong(&place, problem, "no alert window is shorter than a slice").into());
            }
            let name = match spec.objectives.len() {
                1 => metadata.name.clone(),
                _ => format!("{}-{}", metadata.name, index + 1),
            };
            let promise = spec.description.clone().unwrap_or_else(|| format!("{} % good: {name}", percent(target)));
            all.push(SloSpec {
                name,
                promise,
                service: spec.service.clone(),
                indicator,
                target,
                budgeting,
                window: window.clone(),
                rules: rules.clone(),
                minimum_events,
            });
        }
        Ok(all)
    }

    fn measure(&self, sli: &SliSpec, origin: &Origin, place: &str) -> Result<Measure, Diagnostic> {
        let at = |part: &str| format!("{place}.{part}");
        match (&sli.threshold_metric, &sli.ratio_metric) {
            (Some(metric), None) => {
                let place = at("thresholdMetric.metricSource");
                if self.source(metric, origin, &place)? != Source::Engine {
                    let rule = "a thresholdMetric is one of the engine's (type fizzops)";
                    return Err(origin.wrong(&place, "its source is another system", rule));
                }
                let spec = &metric.metric_source.spec;
                if spec.get("metric").and_then(Value::as_str) != Some("latency_ms") {
                    let rule = "the engine has one metric with a threshold: `metric: latency_ms`";
                    return Err(origin.wrong(&format!("{place}.spec"), "it names no metric of the engine", rule));
                }
                let total = match spec.get("counter").or(spec.get("counters")) {
                    None => Counters::ANSWERED.or(Counters::TIMED_OUT),
                    Some(_) => counters(metric, origin, &place)?,
                };
                Ok(Measure::Latency(total))
            }
            (None, Some(ratio)) => {
                let place = at("ratioMetric");
                if ratio.raw.is_some() || ratio.raw_type.is_some() {
                    let rule = "a ratio is counted from good or bad events and all of them; raw ratios are not read";
                    return Err(origin.wrong(&format!("{place}.raw"), "it is a ratio made elsewhere", rule));
                }
                let (part, name, bad) = match (&ratio.good, &ratio.bad) {
                    (Some(good), None) => (good, "good", false),
                    (None, Some(bad)) => (bad, "bad", true),
                    (good, _) => {
                        let what = if good.is_some() { "both good and bad are given" } else { "neither is given" };
                        return Err(origin.wrong(&place, what, "exactly one of good and bad"));
                    }
                };
                let Some(total) = &ratio.total else {
                    return Err(origin.wrong(&place, "total is missing", "good or bad comes with total"));
                };
                let (part_at, total_at) =
                    (format!("{place}.{name}.metricSource"), format!("{place}.total.metricSource"));
                let sources = (self.source(part, origin, &part_at)?, self.source(total, origin, &total_at)?);
                Ok(Measure::Ratio(match sources {
                    (Source::Engine, Source::Engine) => {
                        let (part, total) = (counters(part, origin, &part_at)?, counters(total, origin, &total_at)?);
                        if bad { Indicator::Bad { bad: part, total } } else { Indicator::Good { good: part, total } }
                    }
                    (Source::Prometheus, Source::Prometheus) => {
                        let (part, total) = (query(part, origin, &part_at)?, query(total, origin, &total_at)?);
                        Indicator::Query { part, bad, total }
                    }
                    _ => return Err(origin.wrong(&total_at, "its source is another one", "both have the same source")),
                }))
            }
            (one, _) => {
                let what = if one.is_some() { "both metrics are given" } else { "no metric is given" };
                Err(origin.wrong(place, what, "exactly one of thresholdMetric and ratioMetric"))
            }
        }
    }

    fn source(&self, metric: &Metric, origin: &Origin, place: &str) -> Result<Source, Diagnostic> {
        let source = &metric.metric_source;
        let named = match &source.metric_source_ref {
            None => None,
            Some(name) => {
                let place = format!("{place}.metricSourceRef");
                let found = find(&self.sources, name, "DataSource", origin, &place)?;
                Some(found.object.spec.r#type.as_str())
            }
        };
        match source.r#type.as_deref().or(named) {
            Some("fizzops") => Ok(Source::Engine),
            Some(other) if other.eq_ignore_ascii_case("prometheus") => Ok(Source::Prometheus),
            Some(other) => Err(origin.wrong(
                &format!("{place}.type"),
                format!("`{other}` is not read"),
                "a source is of type fizzops (the engine's counters) or Prometheus (rules only)",
            )),
            None => Err(origin.wrong(place, "its type is missing", "a metricSource has a type or a metricSourceRef")),
        }
    }

    /// The one condition of a policy, with where it is written.
    fn condition<'a>(
        &'a self,
        policy: &'a PolicySpec,
        origin: &'a Origin,
        place: &str,
    ) -> Result<(&'a Metadata, &'a ConditionSpec, &'a Origin, String), Diagnostic> {
        for (index, target) in policy.notification_targets.iter().enumerate() {
            let place = format!("{place}.notificationTargets.{index}");
            match (&target.target_ref, &target.spec) {
                (Some(name), None) => {
                    find(&self.targets, name, "AlertNotificationTarget", origin, &format!("{place}.targetRef"))?;
                }
                (None, Some(_)) => inline(target.kind.as_deref(), "AlertNotificationTarget", origin, &place)?,
                _ => return Err(origin.wrong(&place, "it names no target", "exactly one of targetRef and spec")),
            }
        }
        let place = format!("{place}.conditions");
        let [ConditionEntry { condition_ref, kind, metadata, spec, .. }] = policy.conditions.as_slice() else {
            let what = format!("there are {}", policy.conditions.len());
            return Err(origin.wrong(&place, what, "an AlertPolicy has exactly one condition"));
        };
        match (condition_ref, metadata, spec) {
            (Some(name), None, None) => {
                let place = format!("{place}.0.conditionRef");
                let found = find(&self.conditions, name, "AlertCondition", origin, &place)?;
                Ok((&found.object.metadata, &found.object.spec, &found.origin, "spec".into()))
            }
            (None, Some(metadata), Some(spec)) => {
                let place = format!("{place}.0");
                inline(kind.as_deref(), "AlertCondition", origin, &place)?;
                Ok((metadata, spec, origin, format!("{place}.spec")))
            }
            _ => {
                let rule = "exactly one of conditionRef and a condition with metadata and spec";
                Err(origin.wrong(&format!("{place}.0"), "it names no condition", rule))
            }
        }
    }

    fn rule(&self, entry: &PolicyEntry, origin: &Origin, place: &str, period: u64) -> Result<BurnRule, Diagnostic> {
        let (policy, policy_origin, policy_place) = match (&entry.alert_policy_ref, &entry.metadata, &entry.spec) {
            (Some(name), None, None) => {
                let place = format!("{place}.alertPolicyRef");
                let found = find(&self.policies, name, "AlertPolicy", origin, &place)?;
                (&found.object.spec, &found.origin, "spec".to_owned())
            }
            (None, Some(_), Some(spec)) => {
                inline(entry.kind.as_deref(), "AlertPolicy", origin, place)?;
                (spec, origin, format!("{place}.spec"))
            }
            _ => {
                let rule = "exactly one of alertPolicyRef and a policy with metadata and spec";
                return Err(origin.wrong(place, "it names no policy", rule));
            }
        };
        let (metadata, spec, origin, place) = self.condition(policy, policy_origin, &policy_place)?;
        let above = place.strip_suffix("spec").unwrap_or(&place);
        let note = |name: &str| format!("{above}metadata.annotations.{name}");
        let condition = &spec.condition;
        let at = |part: &str| format!("{place}.condition.{part}");
        let long = condition.lookback_window.seconds();
        let short = match metadata.annotations.get(SHORT) {
            None => None,
            Some(text) => Some(
                text.parse::<Span>()
                    .map_err(|error| origin.wrong(&note(SHORT), error, "the short window is a duration"))?,
            ),
        };
        check_windows(long, short.map(Span::seconds), period).map_err(|problem| {
            origin.wrong(&at("lookbackWindow"), problem, "windows fit into each other and into the period")
        })?;
        let (factor, budget_share) = factor(condition.threshold, metadata, long, period, origin, (&note, &at))?;
        let after = match condition.alert_after.as_deref() {
            None | Some("0" | "0m" | "0h" | "0d") => 0,
            Some(text) => {
                let span = text.parse::<Span>();
                span.map_err(|error| origin.wrong(&at("alertAfter"), error, "alertAfter is a duration, or 0m"))?
                    .seconds()
            }
        };
        let mut channels = Vec::new();
        for target in &policy.notification_targets {
            let found = target.target_ref.as_ref().and_then(|name| self.targets.iter().find(|one| one.name() == name));
            channels.extend(target.spec.as_ref().or(found.map(|one| &one.object.spec)).map(|spec| spec.target.clone()));
        }
        Ok(BurnRule {
            name: metadata.name.clone(),
            long,
            short: short.map(Span::seconds),
            op: condition.op,
            factor,
            budget_share,
            severity: severity(spec, origin, &place)?,
            after,
            when_breaching: policy.alert_when_breaching,
            when_resolved: policy.alert_when_resolved,
            when_no_data: policy.alert_when_no_data,
            channels,
        })
    }
}

/// Names of places: of an annotation, and of a key of the condition.
type Places<'a> = (&'a dyn Fn(&str) -> String, &'a dyn Fn(&str) -> String);

/// The factor, from the share, the threshold, or both when they agree.
fn factor(
    threshold: Option<f64>,
    metadata: &Metadata,
    long: u64,
    period: u64,
    origin: &Origin,
    (note, at): Places<'_>,
) -> Result<(Factor, Option<f64>), Diagnostic> {
    let share = match metadata.annotations.get(SHARE) {
        None => None,
        Some(text) => {
            let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
            let rule = "the share is a number above 0 and at most 1";
            Some(share.ok_or_else(|| origin.wrong(&note(SHARE), format!("`{text}` is no share"), rule))?)
        }
    };
    match (share, threshold) {
        (Some(share), threshold) => {
            let factor = Factor::of_share(share, period, long);
            if let Some(threshold) = threshold.filter(|one| (one / factor.value() - 1.0).abs() > 0.005) {
                let problem = format!(
                    "{threshold} does not follow from {} % of a budget of {} in {}: that is {factor}",
                    percent(share),
                    shorthand(period),
                    shorthand(long)
                );
                let rule = format!("threshold is {SHARE} x period / lookbackWindow, or left out");
                return Err(origin.wrong(&at("threshold"), problem, &rule));
            }
            Ok((factor, Some(share)))
        }
        (None, Some(threshold)) if threshold.is_finite() && (0.0..=1e9).contains(&threshold) => {
            Ok((Factor::of_rate(threshold), None))
        }
        (None, Some(threshold)) => {
            Err(origin.wrong(&at("threshold"), format!("{threshold} is no burn rate"), "it is a number from 0 on"))
        }
        (None, None) => {
            let rule = format!("a condition has a threshold, or the annotation {SHARE} that it is derived from");
            Err(origin.wrong(&at("threshold"), "it is missing", &rule))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Engine,
    Prometheus,
}

fn inline(kind: Option<&str>, wanted: &str, origin: &Origin, place: &str) -> Result<(), Diagnostic> {
    match kind {
        Some(kind) if kind != wanted => {
            let place = format!("{place}.kind");
            Err(origin.wrong(&place, format!("`{kind}` cannot be here"), &format!("here is an {wanted}")))
        }
        _ => Ok(()),
    }
}

fn find<'a, S>(
    all: &'a [Written<S>],
    name: &str,
    kind: &str,
    origin: &Origin,
    place: &str,
) -> Result<&'a Written<S>, Diagnostic> {
    all.iter().find(|one| one.name() == name).ok_or_else(|| {
        let near = nearest(name, all.iter().map(Written::name));
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        origin.wrong(place, format!("there is no {kind} `{name}`{hint}"), "what is referred to is defined")
    })
}

fn severity(spec: &ConditionSpec, origin: &Origin, place: &str) -> Result<Severity, Diagnostic> {
    Severity::parse(&spec.severity).ok_or_else(|| {
        let rule = "severity is P1 to P4, critical, high, medium or low, page or ticket";
        origin.wrong(&format!("{place}.severity"), format!("`{}` is not known", spec.severity), rule)
    })
}

fn window(spec: &SloDocument, origin: &Origin) -> Result<Window, Diagnostic> {
    const ONE: &str = "an SLO has exactly one timeWindow";
    let [one] = spec.time_window.as_slice() else {
        return Err(match spec.time_window.len() {
            0 => origin.wrong("spec.timeWindow", "there is no time window", ONE),
            _ => origin.wrong("spec.timeWindow.1", "it is one too many", ONE),
        });
    };
    let place = "spec.timeWindow.0";
    match (&one.calendar, one.is_rolling.unwrap_or(one.calendar.is_none())) {
        (None, true) => Ok(Window::Rolling(one.duration)),
        (Some(calendar), false) => Calendar::new(one.duration, &calendar.start_time, &calendar.time_zone)
            .map(Window::Calendar)
            .map_err(|error| origin.wrong(&format!("{place}.calendar"), error, "a calendar has a date and a zone")),
        (Some(_), true) => Err(origin.wrong(place, "it rolls and has a calendar", "a window rolls or has a calendar")),
        (None, false) => Err(origin.wrong(place, "it neither rolls nor has a calendar", "a window is one of both")),
    }
}

fn objective(
    spec: &SloDocument,
    index: usize,
    measure: &Measure,
    origin: &Origin,
) -> Result<(f64, Indicator, Budgeting), Diagnostic> {
    let place = format!("spec.objectives.{index}");
    let at = |part: &str| format!("{place}.{part}");
    let Some(one) = spec.objectives.get(index) else {
        return Err(origin.wrong(&place, "it is missing", "an SLO has at least one objective"));
    };
    const ONE: &str = "exactly one of target and targetPercent";
    let (target, key, bounds) = match (one.target, one.target_percent) {
        (Some(target), None) => (target, "target", "target is from 0 to below 1"),
        (None, Some(percent)) => (percent / 100.0, "targetPercent", "targetPercent is from 0 to below 100"),
        (None, None) => return Err(origin.wrong(&place, "it has no target", ONE)),
        (Some(_), Some(_)) => {
            return Err(origin.wrong(&at("targetPercent"), "it is given beside target", ONE));
        }
    };
    // A budget below a billionth is none.
    if !(0.0..=1.0 - 1e-9).contains(&target) {
        return Err(origin.wrong(&at(key), "it is no target", bounds));
    }
    let target = (target * 1e12).round() / 1e12;
    let indicator = match (measure, one.op, one.value) {
        (Measure::Latency(total), Some(op), Some(value)) if value > 0.0 && value <= 86_400_000.0 => {
            Indicator::Latency { op, threshold_ns: (value * 1e6).round() as u64, total: *total }
        }
        (Measure::Latency(_), Some(_), Some(value)) => {
            return Err(origin.wrong(&at("value"), format!("{value} is no latency"), "milliseconds, at most a day"));
        }
        (Measure::Latency(_), ..) => {
            return Err(origin.wrong(
                &place,
                "op or value is missing",
                "with a thresholdMetric there are op and value",
            ));
        }
        (Measure::Ratio(indicator), None, None) => indicator.clone(),
        (Measure::Ratio(_), op, _) => {
            let key = if op.is_some() { "op" } else { "value" };
            return Err(origin.wrong(
                &at(key),
                "there is nothing to compare",
                "op and value are for a thresholdMetric",
            ));
        }
    };
    let slice = match &one.time_slice_window {
        None => None,
        Some(SliceWindow::Minutes(0)) => {
            return Err(origin.wrong(&at("timeSliceWindow"), "it has no length", "at least one minute"));
        }
        Some(SliceWindow::Minutes(minutes)) => Some(u64::from(*minutes) * 60),
        Some(SliceWindow::Span(span)) => Some(span.seconds()),
    };
    let budgeting = match (spec.budgeting_method, slice, one.time_slice_target) {
        (Method::Occurrences, None, None) => Budgeting::Occurrences,
        (Method::Occurrences, slice, _) => {
            let key = if slice.is_some() { "timeSliceWindow" } else { "timeSliceTarget" };
            return Err(origin.wrong(&at(key), "occurrences have no slices", "time slices are for Timeslices"));
        }
        (Method::Timeslices, Some(seconds), Some(target)) if target > 0.0 && target <= 1.0 => {
            Budgeting::Timeslices { seconds, target }
        }
        (Method::Timeslices, Some(_), Some(target)) => {
            return Err(origin.wrong(&at("timeSliceTarget"), format!("it is {target}"), "above 0 and at most 1"));
        }
        (Method::Timeslices, ..) => {
            let rule = "Timeslices need timeSliceTarget and timeSliceWindow";
            return Err(origin.wrong(&place, "timeSliceTarget or timeSliceWindow is missing", rule));
        }
        (Method::RatioTimeslices, Some(seconds), _) => Budgeting::RatioTimeslices { seconds },
        (Method::RatioTimeslices, None, _) => {
            return Err(origin.wrong(&place, "timeSliceWindow is missing", "RatioTimeslices need timeSliceWindow"));
        }
    };
    Ok((target, indicator, budgeting))
}

fn counters(metric: &Metric, origin: &Origin, place: &str) -> Result<Counters, Diagnostic> {
    const RULE: &str = "`counter: NAME`, or `counters: [NAME, ...]` for what is in any of them";
    let spec = &metric.metric_source.spec;
    let (key, names) = match (spec.get("counter"), spec.get("counters")) {
        (Some(one), None) => ("counter", vec![one]),
        (None, Some(Value::Sequence(many))) if !many.is_empty() => ("counters", many.iter().collect()),
        _ => return Err(origin.wrong(&format!("{place}.spec"), "it names no counter", RULE)),
    };
    names.into_iter().try_fold(Counters::NONE, |set, name| {
        let name = name.as_str().unwrap_or_default();
        let counter = name.parse::<Counters>();
        let place = format!("{place}.spec.{key}");
        Ok(set.or(counter.map_err(|error| origin.wrong(&place, error, RULE))?))
    })
}

fn query(metric: &Metric, origin: &Origin, place: &str) -> Result<String, Diagnostic> {
    const RULE: &str = "a Prometheus query has {{.window}} where its range is";
    let query = metric.metric_source.spec.get("query").and_then(Value::as_str).unwrap_or_default();
    if query.contains("{{.window}}") {
        Ok(query.trim().to_owned())
    } else {
        Err(origin.wrong(&format!("{place}.spec"), "it has no query with a range to fill in", RULE))
    }
}
