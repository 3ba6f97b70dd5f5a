//! Probes: what can be measured of a drill. Some are counted over a part of it, some are a state at a moment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::Outcome;
use crate::domain::text::nearest;
use crate::engine::director::Moment;
use crate::engine::tally::Counts;
use crate::mechanisms::breaker::State;

/// How a figure is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Share,
    Millis,
    Count,
    Times,
    PerSecond,
    Bool,
}

/// What a probe's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Nothing,
    Slo,
    Breaker,
    Flag,
}

macro_rules! kinds {
    ($($(#[doc = $note:literal])+ $kind:ident $name:literal $words:literal $unit:ident $named:ident;)*) => {
        /// The kinds of probes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[doc = $note])+ $kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// As it is written.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            const fn words(self) -> &'static str {
                match self { $(Self::$kind => $words,)* }
            }

            const fn unit(self) -> Unit {
                match self { $(Self::$kind => Unit::$unit,)* }
            }

            const fn named(self) -> Named {
                match self { $(Self::$kind => Named::$named,)* }
            }

            /// What it measures, for the documentation.
            pub const fn note(self) -> &'static str {
                match self { $(Self::$kind => concat!($($note),+),)* }
            }
        }
    };
}

kinds! {
    /// Wrong answers among answers.
    WrongRatio "wrong_ratio" "wrong answers" Share Nothing;
    /// Right answers among all evaluations.
    RightRatio "right_ratio" "right answers" Share Nothing;
    /// Failed evaluations among all.
    FailedRatio "failed_ratio" "failed evaluations" Share Nothing;
    /// Timed-out evaluations among all.
    TimedOutRatio "timed_out_ratio" "timed-out evaluations" Share Nothing;
    /// Rejected evaluations among all.
    RejectedRatio "rejected_ratio" "rejected evaluations" Share Nothing;
    /// Answers that the cache gave among all look-ups in it.
    CacheHitRatio "cache_hit_ratio" "cache hits" Share Nothing;
    /// The median latency.
    P50Ms "p50_ms" "p50 latency" Millis Nothing;
    /// The 99th percentile of latency.
    P99Ms "p99_ms" "p99 latency" Millis Nothing;
    /// The 99th percentile of latency, counted from when evaluations were meant to begin.
    ResponseP99Ms "response_p99_ms" "p99 response time" Millis Nothing;
    /// Finished evaluations.
    Evaluations "evaluations" "evaluations" Count Nothing;
    /// Finished evaluations a second.
    Throughput "throughput" "throughput" PerSecond Nothing;
    /// Injections, evaluations that were hit twice counted twice.
    Injections "injections" "injected faults" Count Nothing;
    /// How often breakers tripped.
    BreakerTrips "breaker_trips" "breaker trips" Count Nothing;
    /// Alerts that fired.
    Alerts "alerts" "alerts fired" Count Nothing;
    /// Further attempts.
    Retries "retries" "retries" Count Nothing;
    /// Further attempts for each evaluation.
    RetryRatio "retry_ratio" "retries per evaluation" Times Nothing;
    /// Breakers that would refuse a call now.
    BreakersOpen "breakers_open" "open breakers" Count Nothing;
    /// Whether the named breaker is open now: 1 or 0.
    BreakerOpen "breaker_open" "open breaker" Bool Breaker;
    /// How many times faster than allowed the named service level's budget burns now.
    BurnRate "burn_rate" "burn rate" Times Slo;
    /// The share of the named service level's budget that is left now.
    BudgetLeft "budget_left" "error budget left" Share Slo;
    /// Whether the named service level has an alert now: 1 or 0.
    Alerting "alerting" "alert" Bool Slo;
    /// Whether the named flag is on now: 1 or 0.
    Flag "flag" "flag" Bool Flag;
}

/// A probe: a kind, and for some kinds a name, as in `burn_rate(latency)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Probe {
    /// What is measured.
    pub kind: Kind,
    /// Of what; empty for kinds that take no name.
    pub name: String,
}

/// What was counted over a part of a drill.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Part {
    /// Finished evaluations.
    pub counts: Counts,
    /// The median latency, nanoseconds.
    pub p50_ns: u64,
    /// The 99th percentile of latency, nanoseconds.
    pub p99_ns: u64,
    /// The same, counted from when evaluations were meant to begin.
    pub response_p99_ns: u64,
    /// The longest, counted so.
    pub response_max_ns: u64,
    /// Injections.
    pub injections: u64,
    /// Breaker trips.
    pub breaker_trips: u64,
    /// Alerts that fired.
    pub alerts: u64,
    /// Further attempts.
    pub retries: u64,
    /// Look-ups in the cache that found an answer, and those that did not.
    pub cache: [u64; 2],
    /// How long it has been, nanoseconds.
    pub took_ns: u64,
}

impl Probe {
    /// Whether it is a state at a moment, rather than counted over a part of a drill.
    pub const fn is_state(&self) -> bool {
        use Kind::{Alerting, BreakerOpen, BreakersOpen, BudgetLeft, BurnRate, Flag};
        matches!(self.kind, BreakersOpen | BreakerOpen | BurnRate | BudgetLeft | Alerting | Flag)
    }

    /// In words.
    pub fn text(&self) -> String {
        match self.kind {
            _ if self.name.is_empty() => self.kind.words().to_owned(),
            Kind::BreakerOpen => format!("breaker {} open", self.name),
            Kind::Alerting => format!("alert on {}", self.name),
            Kind::Flag => format!("flag {} on", self.name),
            _ => format!("{} of {}", self.kind.words(), self.name),
        }
    }

    /// A figure of it, with its unit.
    pub fn figure(&self, value: f64) -> String {
        match self.kind.unit() {
            Unit::Share => format!("{:.2} %", value * 100.0),
            Unit::Millis => format!("{value:.1} ms"),
            Unit::Count => format!("{value:.0}"),
            Unit::Times => format!("{value:.2}x"),
            Unit::PerSecond => format!("{value:.1}/s"),
            Unit::Bool => if value >= 0.5 { "yes" } else { "no" }.into(),
        }
    }

    /// What it is; `None` when there is nothing to measure it by.
    pub fn measure(&self, part: &Part, moment: &Moment<'_>) -> Option<f64> {
        let counts = &part.counts;
        let share = |some: u64, all: u64| (all > 0).then(|| some as f64 / all as f64);
        let of = |outcome| share(counts.of(outcome), counts.evaluations);
        let millis = |nanos: u64| (counts.evaluations > 0).then(|| nanos as f64 / 1e6);
        let level = || moment.levels.iter().find(|level| level.name == self.name);
        let yes = |yes: bool| if yes { 1.0 } else { 0.0 };
        match self.kind {
            Kind::WrongRatio => share(counts.wrong, counts.of(Outcome::Ok)),
            Kind::RightRatio => share(counts.right(), counts.evaluations),
            Kind::FailedRatio => of(Outcome::Failed),
            Kind::TimedOutRatio => of(Outcome::TimedOut),
            Kind::RejectedRatio => of(Outcome::Rejected),
            Kind::CacheHitRatio => share(part.cache[0], part.cache[0] + part.cache[1]),
            Kind::P50Ms => millis(part.p50_ns),
            Kind::P99Ms => millis(part.p99_ns),
            Kind::ResponseP99Ms => millis(part.response_p99_ns),
            Kind::Evaluations => Some(counts.evaluations as f64),
            Kind::Throughput => (part.took_ns > 0).then(|| counts.evaluations as f64 * 1e9 / part.took_ns as f64),
            Kind::Injections => Some(part.injections as f64),
            Kind::BreakerTrips => Some(part.breaker_trips as f64),
            Kind::Alerts => Some(part.alerts as f64),
            Kind::Retries => Some(part.retries as f64),
            Kind::RetryRatio => share(part.retries, counts.evaluations),
            Kind::BreakersOpen => Some(f64::from(moment.breakers_open)),
            Kind::BreakerOpen => {
                moment.state.breaker(&self.name).map(|state| yes(matches!(state, State::Open | State::ForcedOpen)))
            }
            Kind::BurnRate => level().and_then(|level| level.burn_rate),
            Kind::BudgetLeft => level().map(|level| level.budget_left),
            Kind::Alerting => level().map(|level| yes(level.alerting)),
            Kind::Flag => moment.state.flag(&self.name).map(yes),
        }
    }

    /// What it needs that is not there; `None` when it can be measured.
    pub fn missing(&self, known: &Known<'_>) -> Option<String> {
        let there = match self.kind.named() {
            Named::Nothing => true,
            Named::Slo => known.levels.contains(&self.name.as_str()),
            Named::Breaker => known.state.breaker(&self.name).is_some(),
            Named::Flag => known.state.flag(&self.name).is_some(),
        };
        (!there).then(|| match self.kind.named() {
            Named::Slo => format!("the service level `{}`", self.name),
            Named::Breaker => format!("the breaker `{}`", self.name),
            _ => format!("the flag `{}`", self.name),
        })
    }
}

/// What a session has, to see whether a scenario can run in it.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The service levels.
    pub levels: &'a [&'a str],
    /// What else has a name.
    pub state: &'a dyn crate::engine::director::Lookup,
}

impl FromStr for Probe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.trim().strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((kind, name)) => (kind.trim(), name.trim()),
            None => (text.trim(), ""),
        };
        let found = Kind::ALL.iter().find(|known| known.name() == kind).ok_or_else(|| {
            let names = || Kind::ALL.iter().map(|kind| kind.name());
            let near = nearest(kind, names()).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            format!("there is no probe `{kind}`{near} (there are {})", names().collect::<Vec<_>>().join(", "))
        })?;
        match (found.named(), name.is_empty()) {
            (Named::Nothing, false) => Err(format!("`{kind}` takes no name; leave `({name})` off")),
            (Named::Nothing, true) | (_, false) => Ok(Self { kind: *found, name: name.to_owned() }),
            (Named::Slo, true) => Err(format!("`{kind}` needs a service level, as in `{kind}(availability)`")),
            (Named::Breaker, true) => Err(format!("`{kind}` needs a breaker, as in `{kind}(evaluation)`")),
            (Named::Flag, true) => Err(format!("`{kind}` needs a flag, as in `{kind}(fizz_rule_enabled)`")),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() { f.pad(self.kind.name()) } else { write!(f, "{}({})", self.kind.name(), self.name) }
    }
}

impl Serialize for Probe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Probe {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Probe".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let plain: Vec<_> =
            Kind::ALL.iter().filter(|kind| kind.named() == Named::Nothing).map(|kind| kind.name()).collect();
        let named: Vec<_> =
            Kind::ALL.iter().filter(|kind| kind.named() != Named::Nothing).map(|kind| kind.name()).collect();
        let notes: Vec<_> = Kind::ALL.iter().map(|kind| format!("{}:{}", kind.name(), kind.note())).collect();
        schemars::json_schema!({
            "description": format!("What is measured. {}", notes.join(" ")),
            "anyOf": [
                { "type": "string", "enum": plain },
                { "type": "string", "pattern": format!(r"^({})\(.+\)$", named.join("|")) }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_read_and_written() {
        for text in ["wrong_ratio", "burn_rate(latency)", "breaker_open(evaluation/payments)", "flag(a)"] {
            assert_eq!(text.parse::<Probe>().unwrap().to_string(), text);
        }
        for (text, says) in [
            ("wrong_rato", "did you mean `wrong_ratio`"),
            ("burn_rate", "needs a service level"),
            ("breaker_open()", "needs a breaker"),
            ("wrong_ratio(x)", "takes no name"),
        ] {
            let error = text.parse::<Probe>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
