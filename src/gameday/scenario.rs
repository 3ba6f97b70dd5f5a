//! The scenario file: what is injected when, what must hold before it, and what is expected of it.

use serde::{Deserialize, Serialize};

use crate::config::{Diagnostic, parse};
use crate::domain::Outcome;
use crate::engine::director::ScenarioView;
use crate::engine::tally::Counts;
use crate::mechanisms::chaos::{Fault, Level};

/// A scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is started by.
    pub name: String,
    /// One line.
    pub title: String,
    /// What it does.
    pub description: String,
    /// What the drill teaches.
    pub teaches: String,
    /// What must hold before anything is injected.
    #[serde(default)]
    pub steady_state: SteadyState,
    /// What is injected, one phase after another.
    pub phases: Vec<Phase>,
    /// Evaluations after the last phase, with nothing injected.
    #[serde(default = "recovery")]
    pub recovery_evaluations: u64,
    /// What is expected.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

const fn recovery() -> u64 {
    20
}

/// What must hold before anything is injected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SteadyState {
    /// Evaluations that are watched.
    pub evaluations: u64,
    /// What must hold over them.
    pub expect: Vec<Check>,
}

impl Default for SteadyState {
    fn default() -> Self {
        let check = Check { probe: Probe::WrongRatio, at_least: None, at_most: Some(0.0) };
        Self { evaluations: 10, expect: vec![check] }
    }
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// What is armed.
    pub faults: Vec<Fault>,
    /// 1 to 5.
    pub level: u8,
    /// How many evaluations it takes.
    pub evaluations: u64,
}

/// Something that can be measured over a part of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Wrong answers among answers.
    WrongRatio,
    /// Right answers among all evaluations.
    RightRatio,
    /// Failed evaluations among all.
    FailedRatio,
    /// Rejected evaluations among all.
    RejectedRatio,
    /// The 99th percentile of latency, milliseconds.
    #[serde(rename = "p99_ms")]
    P99Ms,
    /// How often breakers tripped.
    BreakerTrips,
    /// How often faults were injected.
    Injections,
}

impl Probe {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::WrongRatio => "wrong answers",
            Self::RightRatio => "right answers",
            Self::FailedRatio => "failed evaluations",
            Self::RejectedRatio => "rejected evaluations",
            Self::P99Ms => "p99 latency",
            Self::BreakerTrips => "breaker trips",
            Self::Injections => "injected faults",
        }
    }

    /// A figure of it, with its unit.
    pub fn figure(self, value: f64) -> String {
        match self {
            Self::WrongRatio | Self::RightRatio | Self::FailedRatio | Self::RejectedRatio => {
                format!("{:.1} %", value * 100.0)
            }
            Self::P99Ms => format!("{value:.1} ms"),
            Self::BreakerTrips | Self::Injections => format!("{value:.0}"),
        }
    }

    /// What it is over a part of a drill; `None` when nothing was counted.
    pub fn measure(self, part: &Part) -> Option<f64> {
        let counts = &part.counts;
        let share = |some: u64, all: u64| (all > 0).then(|| some as f64 / all as f64);
        match self {
            Self::WrongRatio => share(counts.wrong, counts.of(Outcome::Ok)),
            Self::RightRatio => share(counts.right(), counts.evaluations),
            Self::FailedRatio => share(counts.of(Outcome::Failed), counts.evaluations),
            Self::RejectedRatio => share(counts.of(Outcome::Rejected), counts.evaluations),
            Self::P99Ms => (counts.evaluations > 0).then(|| part.p99_ns as f64 / 1e6),
            Self::BreakerTrips => Some(part.breaker_trips as f64),
            Self::Injections => Some(part.injections as f64),
        }
    }
}

/// What was counted over a part of a drill.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Part {
    /// Finished evaluations.
    pub counts: Counts,
    /// The 99th percentile of latency, nanoseconds.
    pub p99_ns: u64,
    /// Injected faults.
    pub injections: u64,
    /// Breaker trips.
    pub breaker_trips: u64,
}

/// A probe with its tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What is measured.
    pub probe: Probe,
    /// The smallest value tolerated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The largest value tolerated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

impl Check {
    /// In words.
    pub fn text(&self) -> String {
        let probe = self.probe;
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) => {
                format!("{} from {} to {}", probe.text(), probe.figure(least), probe.figure(most))
            }
            (Some(least), None) => format!("{} at least {}", probe.text(), probe.figure(least)),
            (None, Some(most)) => format!("{} at most {}", probe.text(), probe.figure(most)),
            (None, None) => probe.text().to_owned(),
        }
    }

    /// Whether it holds, and the figure found. With nothing counted it does not hold.
    pub fn holds(&self, part: &Part) -> (bool, String) {
        match self.probe.measure(part) {
            None => (false, "nothing was counted".into()),
            Some(value) => {
                let holds =
                    self.at_least.is_none_or(|least| value >= least) && self.at_most.is_none_or(|most| value <= most);
                (holds, self.probe.figure(value))
            }
        }
    }
}

/// During which part of a drill an expectation is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum During {
    /// All phases together.
    Phases,
    /// After the last phase.
    Recovery,
    /// Phases and recovery together.
    All,
}

/// An expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// What is measured.
    pub probe: Probe,
    /// The smallest value tolerated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The largest value tolerated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// When.
    pub during: During,
}

impl Expectation {
    /// Its probe with its tolerance.
    pub const fn check(&self) -> Check {
        Check { probe: self.probe, at_least: self.at_least, at_most: self.at_most }
    }

    /// In words.
    pub fn text(&self) -> String {
        let when = match self.during {
            During::Phases => "while faults are injected",
            During::Recovery => "after the last fault",
            During::All => "over the whole drill",
        };
        format!("{} {when}", self.check().text())
    }
}

/// Evaluations that a phase may take at most.
const LONGEST: u64 = 100_000_000;

impl Scenario {
    /// Reads a scenario file's text and checks all of it, so that nothing is injected by a scenario that is wrong.
    ///
    /// # Errors
    /// [`Diagnostic`] with the place.
    pub fn parse(text: &str, file: &str) -> Result<Self, Diagnostic> {
        let scenario: Self = parse(text, file)?;
        scenario.check().map_err(|(needle, problem)| {
            let found = text.lines().enumerate().find_map(|(at, line)| {
                needle.as_ref().and_then(|needle| line.find(needle.as_str())).map(|column| (at + 1, column + 1))
            });
            let source = found.and_then(|(line, _)| text.lines().nth(line - 1)).unwrap_or_default();
            Diagnostic { file: file.to_owned(), place: found, problem, source: source.to_owned() }
        })?;
        Ok(scenario)
    }

    /// The first thing that is wrong, with a text to find its place by.
    fn check(&self) -> Result<(), (Option<String>, String)> {
        if self.phases.is_empty() {
            return Err((Some("phases".into()), "a scenario needs at least one phase".into()));
        }
        for phase in &self.phases {
            let at = Some(phase.name.clone());
            if Level::new(phase.level).is_none() {
                return Err((at, format!("phase `{}` has level {}; levels are 1 to 5", phase.name, phase.level)));
            }
            if phase.faults.is_empty() {
                let problem = format!("phase `{}` injects nothing; there are {}", phase.name, Fault::names());
                return Err((at, problem));
            }
            if !(1..=LONGEST).contains(&phase.evaluations) {
                let problem = format!("phase `{}` must take from 1 to {LONGEST} evaluations", phase.name);
                return Err((at, problem));
            }
        }
        if self.steady_state.evaluations > LONGEST || self.recovery_evaluations > LONGEST {
            return Err((None, format!("a part of a drill takes at most {LONGEST} evaluations")));
        }
        let checks = self.expect.iter().map(Expectation::check).chain(self.steady_state.expect.iter().copied());
        for check in checks {
            let toothless = check.at_least.is_none() && check.at_most.is_none();
            let nan = check.at_least.is_some_and(f64::is_nan) || check.at_most.is_some_and(f64::is_nan);
            if toothless || nan {
                let problem = format!("`{}` has no tolerance; give at_least or at_most", check.probe.text());
                return Err((Some("probe".into()), problem));
            }
        }
        if self.recovery_evaluations == 0 && self.expect.iter().any(|expect| expect.during == During::Recovery) {
            let problem = "something is expected of the recovery, which has 0 evaluations".into();
            return Err((Some("recovery_evaluations".into()), problem));
        }
        Ok(())
    }

    /// Evaluations that it takes in all.
    pub fn evaluations(&self) -> u64 {
        let phases: u64 = self.phases.iter().map(|phase| phase.evaluations).sum();
        self.steady_state.evaluations + phases + self.recovery_evaluations
    }

    /// As the menu shows it.
    pub fn view(&self) -> ScenarioView {
        ScenarioView {
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            teaches: self.teaches.clone(),
            phases: self
                .phases
                .iter()
                .map(|phase| format!("{}: {}, {} evaluations", phase.name, armed(phase), phase.evaluations))
                .collect(),
            expectations: self.expect.iter().map(Expectation::text).collect(),
            evaluations: self.evaluations(),
        }
    }
}

/// What is armed in a phase, in words.
pub fn armed(phase: &Phase) -> String {
    let faults: Vec<_> = phase.faults.iter().map(|fault| fault.name()).collect();
    let percent = Level::new(phase.level).map_or(0.0, Level::probability) * 100.0;
    format!("level {} ({percent:.0} %) {}", phase.level, faults.join(", "))
}
