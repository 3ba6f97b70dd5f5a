//! A slow, obvious implementation that keeps every sample, and random histories to compare with. Windows, budgets, burn
//! rates and the moments at which alerts fire and resolve are told by both, at every step.

use std::time::Duration;

use proptest::prelude::*;

use super::openslo;
use super::*;
use crate::domain::{EventMask, Payload, Timestamp};
use crate::pipeline::Outbox;

/// One event: its second, and whether it was good.
type Sample = (u64, bool);

/// The share of a slice or of an event that is good, in parts of `whole`.
#[derive(Clone, Copy)]
struct Unit {
    second: u64,
    good: u64,
    whole: u64,
}

struct Model {
    spec: SloSpec,
    samples: Vec<Sample>,
    began: u64,
    second: u64,
    minimum: u64,
    cooldown: u64,
    firing: bool,
    quiet: Option<u64>,
    told: Vec<(u64, &'static str)>,
}

impl Model {
    /// What the objective counts: events, or slices that are over.
    fn units(&self) -> Vec<Unit> {
        let Some(length) = self.spec.budgeting.slice() else {
            let unit = |(second, good): &Sample| Unit { second: *second, good: u64::from(*good), whole: 1 };
            return self.samples.iter().map(unit).collect();
        };
        let mut units = Vec::new();
        for slice in self.began / length..self.second / length {
            let inside: Vec<&Sample> = self.samples.iter().filter(|(second, _)| second / length == slice).collect();
            if inside.is_empty() {
                continue;
            }
            let good = inside.iter().filter(|(_, good)| *good).count() as u64;
            let all = inside.len() as u64;
            let second = (slice + 1) * length - 1;
            units.push(match self.spec.budgeting {
                Budgeting::Timeslices { target, .. } => {
                    Unit { second, good: u64::from(good as f64 / all as f64 >= target), whole: 1 }
                }
                _ => Unit { second, good: good * 1_000_000_000 / all, whole: 1_000_000_000 },
            });
        }
        units
    }

    fn sum(units: &[Unit], within: impl Fn(u64) -> bool) -> Ratio {
        let inside = units.iter().filter(|unit| within(unit.second));
        inside.fold(Ratio::default(), |sum, unit| Ratio { good: sum.good + unit.good, total: sum.total + unit.whole })
    }

    /// A window of `seconds` ends with the slot that is going on.
    fn window(&self, units: &[Unit], seconds: u64) -> Ratio {
        let width = Ring::width(seconds);
        let now = self.second / width;
        Self::sum(units, |second| second / width + seconds / width > now)
    }

    fn burn(&self, ratio: Ratio) -> Option<f64> {
        (ratio.total > 0).then(|| (1.0 - ratio.good as f64 / ratio.total as f64) / (1.0 - self.spec.target))
    }

    fn budget_left(&self, units: &[Unit]) -> f64 {
        let (ratio, from, period) = match &self.spec.window {
            Window::Rolling(span) => {
                let period = span.seconds();
                (self.window(units, period), self.second.saturating_sub(period - 1), period)
            }
            Window::Calendar(calendar) => {
                let (from, to) = calendar.period(self.second);
                (Self::sum(units, |second| (from..to).contains(&second)), from, to - from)
            }
        };
        let watched = self.second + 1 - from.max(self.began);
        1.0 - self.burn(ratio).unwrap_or(0.0) * watched as f64 / period as f64
    }

    /// Whether any rule holds, by whole numbers.
    fn holds(&self, units: &[Unit]) -> bool {
        self.spec.rules.iter().any(|rule| {
            let beyond = |seconds: u64| {
                let ratio = self.window(units, seconds);
                // bad / total > share x period / long x (1 - target), in millionths of everything.
                let share = (rule.budget_share.unwrap() * 1e6).round() as u128;
                let allowed = ((1.0 - self.spec.target) * 1e6).round() as u128;
                let left = u128::from(ratio.total - ratio.good) * u128::from(rule.long) * 1_000_000_000_000;
                let right = u128::from(ratio.total) * share * u128::from(self.spec.window.seconds()) * allowed;
                ratio.total > 0 && left > right
            };
            let enough = self.spec.budgeting.slice().is_some() || self.window(units, rule.long).total >= self.minimum;
            enough && beyond(rule.long) && rule.short.is_none_or(beyond)
        })
    }

    fn check(&mut self, now: u64) {
        let units = self.units();
        let holds = self.holds(&units);
        let cooled = self.quiet.is_none_or(|quiet| now - quiet >= self.cooldown);
        if holds && !self.firing && cooled {
            self.firing = true;
            self.told.push((now, "fired"));
        } else if !holds && self.firing {
            self.firing = false;
            self.quiet = Some(now);
            self.told.push((now, "resolved"));
        }
    }
}

#[derive(Debug, Clone)]
struct Setting {
    window: &'static str,
    calendar: bool,
    target: f64,
    method: &'static str,
    slice: &'static str,
    scale: u32,
    cooldown: u64,
    rules: Vec<(u32, u32, f64)>,
}

fn setting() -> impl Strategy<Value = Setting> {
    let rule = (2u32..40, 1u32..5, prop::sample::select(vec![0.01, 0.05, 0.2, 0.5]));
    (
        prop::sample::select(vec![("1h", false), ("90m", false), ("1h", true), ("40m", true)]),
        prop::sample::select(vec![0.5, 0.9, 0.99, 0.999]),
        prop::sample::select(vec![("Occurrences", ""), ("Timeslices", "1m"), ("RatioTimeslices", "1m")]),
        prop::sample::select(vec![1u32, 7]),
        prop::sample::select(vec![0u64, 60, 600]),
        prop::collection::vec(rule, 1..4),
    )
        .prop_map(|((window, calendar), target, (method, slice), scale, cooldown, rules)| Setting {
            window,
            calendar,
            target,
            method,
            slice,
            scale,
            cooldown,
            rules,
        })
}

/// As a document, so that histories go through the reading of documents, too.
fn document(setting: &Setting) -> String {
    let Setting { window, calendar, target, method, slice, rules, .. } = setting;
    let window = if *calendar {
        format!("{{ duration: {window}, calendar: {{ startTime: 2026-01-01 00:10:00, timeZone: Asia/Kathmandu }} }}")
    } else {
        format!("{{ duration: {window}, isRolling: true }}")
    };
    let slices = match *method {
        "Timeslices" => format!(", timeSliceTarget: 0.75, timeSliceWindow: {slice}"),
        "RatioTimeslices" => format!(", timeSliceWindow: {slice}"),
        _ => String::new(),
    };
    let mut policies = String::new();
    for (index, (long, short, share)) in rules.iter().enumerate() {
        let short = if short < long { format!(", fizzops/short-window: {short}m") } else { String::new() };
        policies.push_str(&format!(
            "    - metadata: {{ name: policy-{index} }}
      spec:
        alertWhenBreaching: true
        conditions:
        - metadata: {{ name: rule-{index}, annotations: {{ fizzops/budget-share: \"{share}\"{short} }} }}
          spec:
            severity: page
            condition: {{ op: gt, lookbackWindow: {long}m }}
"
        ));
    }
    format!(
        "apiVersion: openslo/v1
kind: SLO
metadata: {{ name: answered }}
spec:
  service: evaluation
  indicator:
    metadata: {{ name: answered }}
    spec:
      ratioMetric:
        bad: {{ metricSource: {{ type: fizzops, spec: {{ counter: failed }} }} }}
        total: {{ metricSource: {{ type: fizzops, spec: {{ counter: evaluations }} }} }}
  timeWindow: [{window}]
  budgetingMethod: {method}
  objectives: [{{ target: {target}{slices} }}]
  alertPolicies:
{policies}"
    )
}

/// A step: how far the clock goes (milliseconds, back when negative), how many events come then, how many of them bad.
fn step() -> impl Strategy<Value = (i64, u64, u64)> {
    let clock = prop_oneof![
        8 => 0i64..90_000,
        4 => 0i64..2_000,
        // To the edges of slots and slices, over whole windows, and back.
        2 => Just(60_000i64),
        1 => 1_000_000i64..8_000_000,
        1 => -600_000i64..0,
    ];
    (clock, 0u64..12, 0u64..12)
}

const START: u64 = 1_767_225_600_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn budgets_burn_rates_and_alert_times_are_those_of_every_sample(
        setting in setting(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut config = SloConfig { enabled: true, time_scale: setting.scale, ..SloConfig::default() };
        config.alerting.cooldown_seconds = setting.cooldown;
        config.alerting.minimum_events = 5;
        config.alerting.escalation_timeout_seconds = 0;
        config.specs = openslo::read(&document(&setting), "slo.yaml").unwrap().objectives(&config).unwrap();
        let start = Timestamp::from_millis(START);
        let mut slos = Slos::new(&config, start).unwrap();
        let mut out = Outbox::new(EventMask::operations(), 100_000);
        let mut model = Model {
            spec: config.specs[0].clone(),
            samples: Vec::new(),
            began: START / 1_000,
            second: START / 1_000,
            minimum: 5,
            cooldown: setting.cooldown * 1_000_000_000,
            firing: false,
            quiet: None,
            told: Vec::new(),
        };
        let scaled = |at: Timestamp| {
            start.as_nanos() + (at.as_nanos() - start.as_nanos().min(at.as_nanos())) * u64::from(setting.scale)
        };
        let mut told = Vec::new();
        let mut clock = START as i64;
        let mut next_check = start;
        for (advance, events, bad) in steps {
            clock += advance;
            let now = Timestamp::from_millis(clock as u64);
            // Time does not go back for a count.
            model.second = model.second.max(scaled(now) / 1_000_000_000);
            for event in 0..events {
                let good = event >= bad;
                let one = if good {
                    Observation::answered(true, Duration::ZERO)
                } else {
                    Observation::failed(Duration::ZERO)
                };
                slos.record(&one, now);
                model.samples.push((model.second, good));
            }
            let due = slos.is_due(now);
            prop_assert_eq!(due, now >= next_check);
            slos.check(now, &mut out);
            if due {
                // The shortest window is a minute or more: with a scale of 7 a twentieth of it is longer than 250 ms.
                next_check = now + Duration::from_millis(250);
                let nanos = scaled(now).max(model.second * 1_000_000_000);
                model.check(nanos);
                for event in out.take() {
                    match event.payload {
                        Payload::SlaAlertFired { .. } => told.push((nanos, "fired")),
                        Payload::SlaAlertResolved { .. } => told.push((nanos, "resolved")),
                        _ => {}
                    }
                }
                prop_assert_eq!(&told, &model.told);
            }
            let view = &slos.view(now).slos[0];
            let units = model.units();
            let left = model.budget_left(&units);
            prop_assert!((view.budget_left - left).abs() < 1e-6 * left.abs().max(1.0), "{} {left}", view.budget_left);
            for (rule, seen) in model.spec.rules.iter().zip(&view.rules) {
                let pairs = [(Some(rule.long), seen.long_burn), (rule.short, seen.short_burn)];
                for (seconds, burn) in pairs {
                    let Some(seconds) = seconds else { continue };
                    let expected = model.burn(model.window(&units, seconds));
                    prop_assert_eq!(expected.is_some(), burn.is_some());
                    let (expected, burn) = (expected.unwrap_or(0.0), burn.unwrap_or(0.0));
                    prop_assert!((expected - burn).abs() < 1e-6 * expected.max(1.0), "{expected} {burn}");
                }
            }
            prop_assert_eq!(view.session.total, model.samples.len() as u64);
        }
    }
}
