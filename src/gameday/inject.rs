//! What a phase does: faults that go into evaluations, and disturbances of the mechanisms themselves; and within which
//! bounds they stay.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::Selection;
use crate::domain::selection::Modulo;
use crate::engine::Command;
use crate::engine::director::Lookup;
use crate::mechanisms::cache::CacheCommand;
use crate::mechanisms::chaos::{ChaosCommand, Effect, Injection};
use crate::mechanisms::flags::FlagsCommand;
use crate::mechanisms::limits::{BulkheadCommand, LimiterCommand, Rate};

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The answer is replaced by a wrong one.
    ResultCorruption,
    /// The answer comes late, by `min_ms` to `max_ms`.
    LatencyInjection,
    /// There is an error instead of an answer.
    ExceptionInjection,
    /// The answer is the bare number, whatever matched.
    RuleEngineFailure,
    /// The answer's confidence is made up.
    ConfidenceManipulation,
    /// The answer comes late by `latency_ms` at first, in time after `ramp_ms`.
    SlowStart,
    /// Errors for the first `burst_ms` of each `period_ms`.
    ErrorBurst,
    /// No answer: whoever asks waits until the call times out.
    Hang,
    /// `flag` is turned on or off (`enabled`), and back afterwards.
    FlagFlip,
    /// The cache forgets every answer, once.
    CacheFlush,
    /// The cache's clock is `by_ms` ahead, and right again afterwards.
    ClockSkew,
    /// The bulkhead has only `max_concurrent` places, and its own number afterwards.
    SqueezeBulkhead,
    /// The rate limiter has only `limit`, and its own afterwards.
    SqueezeLimiter,
}

impl FaultKind {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResultCorruption => "result_corruption",
            Self::LatencyInjection => "latency_injection",
            Self::ExceptionInjection => "exception_injection",
            Self::RuleEngineFailure => "rule_engine_failure",
            Self::ConfidenceManipulation => "confidence_manipulation",
            Self::SlowStart => "slow_start",
            Self::ErrorBurst => "error_burst",
            Self::Hang => "hang",
            Self::FlagFlip => "flag_flip",
            Self::CacheFlush => "cache_flush",
            Self::ClockSkew => "clock_skew",
            Self::SqueezeBulkhead => "squeeze_bulkhead",
            Self::SqueezeLimiter => "squeeze_limiter",
        }
    }

    /// The figures that it needs; it takes no others.
    const fn figures(self) -> &'static [&'static str] {
        match self {
            Self::LatencyInjection => &["min_ms", "max_ms"],
            Self::SlowStart => &["latency_ms", "ramp_ms"],
            Self::ErrorBurst => &["burst_ms", "period_ms"],
            Self::FlagFlip => &["flag", "enabled"],
            Self::ClockSkew => &["by_ms"],
            Self::SqueezeBulkhead => &["max_concurrent"],
            Self::SqueezeLimiter => &["limit"],
            _ => &[],
        }
    }

    /// Whether it goes into evaluations, and so has a rate and a target.
    const fn goes_into_evaluations(self) -> bool {
        !matches!(
            self,
            Self::FlagFlip | Self::CacheFlush | Self::ClockSkew | Self::SqueezeBulkhead | Self::SqueezeLimiter
        )
    }
}

/// One thing that a phase does. Which figures it has depends on the fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// What.
    pub fault: FaultKind,
    /// Into which share of the evaluations that it targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Which numbers it targets; the blast radius bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SelectionSchema>")]
    pub target: Option<Selection>,
    /// Only calls to these dependencies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Only evaluations for which these rules are on, by label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// `latency_injection`: the shortest wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ms: Option<u64>,
    /// `latency_injection`: the longest wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
    /// `slow_start`: the wait at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// `slow_start`: when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_ms: Option<u64>,
    /// `error_burst`: how long a burst is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst_ms: Option<u64>,
    /// `error_burst`: from one burst to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_ms: Option<u64>,
    /// `flag_flip`: which flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// `flag_flip`: on or off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// `clock_skew`: how far the cache's clock is ahead; below 0, behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_ms: Option<i64>,
    /// `squeeze_bulkhead`: places that are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// `squeeze_limiter`: the rate that is left, e.g. `5/second`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub limit: Option<Rate>,
}

/// The schema of [`Selection`], which knows nothing of schemas.
#[derive(JsonSchema)]
#[schemars(rename = "Selection", deny_unknown_fields)]
#[expect(dead_code, reason = "it is only described")]
pub(super) struct SelectionSchema {
    /// Numbers of these classes, by the right answer.
    classes: Option<Vec<ClassSchema>>,
    /// Numbers from this one on.
    from: Option<i64>,
    /// Numbers up to this one.
    to: Option<i64>,
    /// Numbers that leave this remainder.
    modulo: Option<ModuloSchema>,
    /// This share of the numbers, always the same ones.
    share: Option<f64>,
}

#[derive(JsonSchema)]
#[schemars(rename = "Class", rename_all = "lowercase")]
#[expect(dead_code, reason = "it is only described")]
enum ClassSchema {
    Fizz,
    Buzz,
    FizzBuzz,
    Plain,
}

#[derive(JsonSchema)]
#[schemars(rename = "Modulo", deny_unknown_fields)]
#[expect(dead_code, reason = "it is only described")]
struct ModuloSchema {
    divisor: i64,
    remainder: Option<i64>,
}

/// What may be hit at most.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BlastRadius {
    /// Only these numbers.
    #[serde(skip_serializing_if = "Selection::is_everything")]
    #[schemars(with = "Option<SelectionSchema>")]
    pub numbers: Selection,
    /// Only calls to these dependencies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Only evaluations for which these rules are on, by label.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

impl BlastRadius {
    /// Nothing is spared.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it: key and problem.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        self.numbers.check().map_err(|(key, problem)| (format!("numbers.{key}"), problem))
    }
}

/// What the mechanisms were like before the drill, to be put back.
#[derive(Debug)]
pub struct Before {
    flags: BTreeMap<String, bool>,
    bulkhead: (bool, u32),
    limiter: (bool, Rate),
}

impl Before {
    /// What these may change, as it is now.
    pub(super) fn of<'a>(injects: impl Iterator<Item = &'a Inject>, state: &dyn Lookup) -> Self {
        let flags = injects.filter_map(|inject| inject.flag.clone());
        Self {
            flags: flags.filter_map(|flag| state.flag(&flag).map(|on| (flag, on))).collect(),
            bulkhead: state.bulkhead(),
            limiter: state.limiter(),
        }
    }
}

/// Leases are this long; the engine renews them while the drill runs.
const LEASE_MS: u64 = 5_000;

/// What both pick; the error is the condition that nothing can meet.
fn both(one: &Selection, other: &Selection) -> Result<Selection, &'static str> {
    let classes = match (one.classes.as_slice(), other.classes.as_slice()) {
        ([], classes) | (classes, []) => classes.to_vec(),
        (ours, theirs) => ours.iter().filter(|class| theirs.contains(class)).copied().collect(),
    };
    if classes.is_empty() && !(one.classes.is_empty() && other.classes.is_empty()) {
        return Err("classes");
    }
    let modulo = match (one.modulo, other.modulo) {
        (Some(Modulo { divisor, remainder }), Some(theirs)) => {
            if (Modulo { divisor, remainder }) != theirs {
                return Err("modulo");
            }
            Some(theirs)
        }
        (ours, theirs) => ours.or(theirs),
    };
    let from = one.from.max(other.from);
    let to = match (one.to, other.to) {
        (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
        (ours, theirs) => ours.or(theirs),
    };
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err("from");
    }
    let share = match (one.share, other.share) {
        // The same numbers come first in both, so the smaller share lies within the larger one.
        (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
        (ours, theirs) => ours.or(theirs),
    };
    Ok(Selection { classes, from, to, modulo, share })
}

/// The names in both lists; an empty list stands for all names.
fn names(one: &[String], other: &[String]) -> Option<Vec<String>> {
    match (one, other) {
        ([], names) | (names, []) => Some(names.to_vec()),
        (ours, theirs) => {
            let both: Vec<String> = ours.iter().filter(|name| theirs.contains(name)).cloned().collect();
            (!both.is_empty()).then_some(both)
        }
    }
}

impl Inject {
    fn given(&self) -> [(&'static str, bool); 10] {
        [
            ("min_ms", self.min_ms.is_some()),
            ("max_ms", self.max_ms.is_some()),
            ("latency_ms", self.latency_ms.is_some()),
            ("ramp_ms", self.ramp_ms.is_some()),
            ("burst_ms", self.burst_ms.is_some()),
            ("period_ms", self.period_ms.is_some()),
            ("flag", self.flag.is_some()),
            ("enabled", self.enabled.is_some()),
            ("by_ms", self.by_ms.is_some()),
            ("max_concurrent", self.max_concurrent.is_some() || self.limit.is_some()),
        ]
    }

    fn effect(&self) -> Option<Effect> {
        let ms = Option::unwrap_or_default;
        Some(match self.fault {
            FaultKind::ResultCorruption => Effect::ResultCorruption,
            FaultKind::LatencyInjection => {
                Effect::LatencyInjection { min_ms: ms(self.min_ms), max_ms: ms(self.max_ms) }
            }
            FaultKind::ExceptionInjection => Effect::ExceptionInjection,
            FaultKind::RuleEngineFailure => Effect::RuleEngineFailure,
            FaultKind::ConfidenceManipulation => Effect::ConfidenceManipulation,
            FaultKind::SlowStart => Effect::SlowStart { latency_ms: ms(self.latency_ms), ramp_ms: ms(self.ramp_ms) },
            FaultKind::ErrorBurst => Effect::ErrorBurst { burst_ms: ms(self.burst_ms), period_ms: ms(self.period_ms) },
            FaultKind::Hang => Effect::Hang,
            _ => return None,
        })
    }

    /// What is wrong with it: key and problem.
    pub(super) fn check(&self, max_rate: f64, radius: &BlastRadius) -> Result<(), (String, String)> {
        let wrong = |key: &str, problem: String| Err((key.to_owned(), problem));
        let name = self.fault.name();
        let needed = self.fault.figures();
        for (figure, given) in self.given() {
            let figure = if figure == "max_concurrent" && self.limit.is_some() { "limit" } else { figure };
            let needs = needed.contains(&figure);
            if given && !needs {
                return wrong(figure, format!("{name} takes no {figure}"));
            }
        }
        let missing = |key: &&&str| match **key {
            "limit" => self.limit.is_none(),
            "max_concurrent" => self.max_concurrent.is_none(),
            key => self.given().iter().any(|(known, given)| *known == key && !given),
        };
        if let Some(missing) = needed.iter().find(missing) {
            return wrong("fault", format!("{name} needs {missing}; it takes {}", needed.join(" and ")));
        }
        if !self.fault.goes_into_evaluations() {
            let targeted = self.rate.is_some() || self.target.is_some();
            if targeted || !self.dependencies.is_empty() || !self.rules.is_empty() {
                return wrong("fault", format!("{name} is done once and to all; it takes no rate and no target"));
            }
            if self.max_concurrent == Some(0) {
                return wrong("max_concurrent", "0 places would stop everything; give at least 1".into());
            }
            return Ok(());
        }
        match self.rate {
            None => return wrong("fault", format!("{name} needs a rate, above 0 and at most {max_rate}")),
            Some(rate) if !(rate > 0.0 && rate <= max_rate) => {
                return wrong(
                    "rate",
                    format!("{rate} is not above 0 and at most {max_rate}, the bound of safety.max_rate"),
                );
            }
            Some(_) => {}
        }
        if let Some(effect) = self.effect() {
            effect.check().map_err(|problem| ("fault".to_owned(), problem))?;
        }
        let target = self.target.clone().unwrap_or_default();
        target.check().map_err(|(key, problem)| (format!("target.{key}"), problem))?;
        if let Err(key) = both(&target, &radius.numbers) {
            return wrong("target", format!("with the blast radius it matches nothing: no number meets both {key}"));
        }
        for (key, ours, theirs) in
            [("dependencies", &self.dependencies, &radius.dependencies), ("rules", &self.rules, &radius.rules)]
        {
            if names(ours, theirs).is_none() {
                return wrong(key, format!("with the blast radius it matches nothing: that has {}", theirs.join(", ")));
            }
        }
        Ok(())
    }

    /// Whether both do the same to some of the same evaluations.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let flags = self.flag.is_some() && self.flag != other.flag;
        self.fault == other.fault
            && !flags
            && both(&self.target.clone().unwrap_or_default(), &other.target.clone().unwrap_or_default()).is_ok()
            && names(&self.dependencies, &other.dependencies).is_some()
    }

    /// What it needs that is not there.
    pub(super) fn missing(&self, state: &dyn Lookup) -> Option<String> {
        let flag = self.flag.as_ref().filter(|flag| state.flag(flag).is_none());
        flag.map(|flag| format!("the flag `{flag}`"))
    }

    /// As the chaos mechanism takes it; only for faults that go into evaluations.
    fn injection(&self, id: &str, radius: &BlastRadius) -> Option<Injection> {
        Some(Injection {
            id: id.to_owned(),
            effect: self.effect()?,
            rate: self.rate.unwrap_or_default(),
            // Checked when the scenario was read.
            target: both(&self.target.clone().unwrap_or_default(), &radius.numbers).ok()?,
            dependencies: names(&self.dependencies, &radius.dependencies)?,
            rules: self.rules.iter().chain(&radius.rules).cloned().collect(),
            lease_ms: LEASE_MS,
        })
    }

    /// In words.
    pub fn text(&self, radius: &BlastRadius) -> String {
        if let Some(injection) = self.injection("", radius) {
            return injection.text();
        }
        match self.fault {
            FaultKind::FlagFlip => {
                let to = if self.enabled.unwrap_or_default() { "on" } else { "off" };
                format!("flag {} {to}", self.flag.as_deref().unwrap_or_default())
            }
            FaultKind::ClockSkew => format!("the cache's clock {} ms ahead", self.by_ms.unwrap_or_default()),
            FaultKind::SqueezeBulkhead => {
                format!("the bulkhead squeezed to {} places", self.max_concurrent.unwrap_or_default())
            }
            FaultKind::SqueezeLimiter => {
                format!("the limiter squeezed to {}", self.limit.as_ref().map_or(String::new(), ToString::to_string))
            }
            fault => fault.name().to_owned(),
        }
    }

    /// The commands that do it, and those that take it back, in the order in which they are to be given.
    pub(super) fn commands(&self, id: &str, radius: &BlastRadius, before: &Before) -> (Vec<Command>, Vec<Command>) {
        if let Some(injection) = self.injection(id, radius) {
            let inject = Command::Chaos(ChaosCommand::Inject { injection });
            return (vec![inject], vec![Command::Chaos(ChaosCommand::Revert { id: id.to_owned() })]);
        }
        match self.fault {
            FaultKind::FlagFlip => {
                let flag = self.flag.clone().unwrap_or_default();
                let (was, to) = (before.flags.get(&flag).copied(), self.enabled.unwrap_or_default());
                let set = |enabled| Command::Flags(FlagsCommand::Set { flag: flag.clone(), enabled });
                (vec![set(to)], was.filter(|was| *was != to).map(set).into_iter().collect())
            }
            FaultKind::CacheFlush => (vec![Command::Cache(CacheCommand::Clear)], Vec::new()),
            FaultKind::ClockSkew => {
                let skew = |by_ms| Command::Cache(CacheCommand::SkewClock { by_ms });
                (vec![skew(self.by_ms.unwrap_or_default())], vec![skew(0)])
            }
            FaultKind::SqueezeBulkhead => {
                let (enabled, places) = before.bulkhead;
                let to = |max_concurrent| Command::Bulkhead(BulkheadCommand::MaxConcurrent { max_concurrent });
                let turn = |command| (!enabled).then_some(Command::Bulkhead(command));
                let squeeze =
                    std::iter::once(to(self.max_concurrent.unwrap_or(1))).chain(turn(BulkheadCommand::Enable));
                (squeeze.collect(), turn(BulkheadCommand::Disable).into_iter().chain([to(places)]).collect())
            }
            FaultKind::SqueezeLimiter => {
                let (enabled, rate) = before.limiter;
                let to = |limit| Command::Limiter(LimiterCommand::Limit { limit, burst: None });
                let turn = |command| (!enabled).then_some(Command::Limiter(command));
                let Some(limit) = self.limit else { return (Vec::new(), Vec::new()) };
                let squeeze = std::iter::once(to(limit)).chain(turn(LimiterCommand::Enable));
                (squeeze.collect(), turn(LimiterCommand::Disable).into_iter().chain([to(rate)]).collect())
            }
            _ => (Vec::new(), Vec::new()),
        }
    }
}
