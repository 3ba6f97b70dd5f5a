//! The scenario file: what shall be shown, what is injected when and into what, when to stop, and what is expected.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::inject::{BlastRadius, Inject};
use super::probe::{Known, Probe};
use super::span::Span;
use crate::config::{Diagnostic, overlay, parse};
use crate::engine::director::{ScenarioView, Verdict};
use crate::engine::{Engine, Settings};
use crate::mechanisms::chaos::{Fault, Level};

/// A scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// What it is about, a word each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What it shall show, in a sentence.
    pub hypothesis: String,
    /// The verdict that it comes to on the default configuration.
    #[serde(default)]
    pub announces: Announced,
    /// Configuration that it brings when it is run by itself; a session that runs already keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub settings: Option<serde_yaml::Value>,
    /// What must hold before anything is injected, and again afterwards.
    #[serde(default)]
    pub steady_state: SteadyState,
    /// What may be hit at most; every injection stays within it.
    #[serde(default, skip_serializing_if = "BlastRadius::is_everything")]
    pub blast_radius: BlastRadius,
    /// Bounds that it sets itself.
    #[serde(default)]
    pub safety: Safety,
    /// What is injected, one phase after another.
    pub phases: Vec<Phase>,
    /// When the drill ends before its time: everything is taken back then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_when: Option<Condition>,
    /// Commands that put right what the drill may have left behind, after everything was taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollbacks: Vec<Rollback>,
    /// What comes after the last phase.
    #[serde(default)]
    pub recovery: Recovery,
    /// What is expected.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// The verdict that a scenario comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Announced {
    /// Every expectation holds.
    #[default]
    Held,
    /// At least one does not: the drill shows a weakness.
    NotHeld,
    /// The stop condition ends it.
    Aborted,
}

impl Announced {
    /// As the engine tells it.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Held => Verdict::Held,
            Self::NotHeld => Verdict::NotHeld,
            Self::Aborted => Verdict::Aborted,
        }
    }
}

/// What must hold before anything is injected, and again afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SteadyState {
    /// How long it is watched.
    #[serde(rename = "for")]
    pub span: Span,
    /// What must hold over it.
    pub expect: Vec<Check>,
}

impl Default for SteadyState {
    fn default() -> Self {
        let probe = Probe { kind: super::probe::Kind::WrongRatio, name: String::new() };
        Self { span: Span::Evaluations(10), expect: vec![Check { probe, at_least: None, at_most: Some(0.0) }] }
    }
}

/// Bounds on what is injected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Safety {
    /// No injection hits more than this share; at most 0.9.
    pub max_rate: f64,
    /// Nothing is injected for longer than this in all; more than 5m must be asked for here.
    pub max_duration: Span,
}

/// No injection may hit a larger share of what it targets.
pub const HIGHEST_RATE: f64 = 0.9;

impl Default for Safety {
    fn default() -> Self {
        Self { max_rate: HIGHEST_RATE, max_duration: Span::Time(std::time::Duration::from_secs(300)) }
    }
}

/// One phase. It has either faults at a level, or injections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it takes.
    #[serde(rename = "for")]
    pub span: Span,
    /// Faults that are drawn from, at `level`, for every evaluation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub faults: Vec<Fault>,
    /// 1 (5 % of evaluations) to 5 (80 %).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Faults, each with its own rate and target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inject: Vec<Inject>,
}

/// What comes after the last phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recovery {
    /// Time that the system has to come back by itself; what happens in it is not judged.
    pub settle: Span,
    /// How long the steady state is watched then.
    #[serde(rename = "for")]
    pub span: Span,
}

impl Default for Recovery {
    fn default() -> Self {
        Self { settle: Span::NONE, span: Span::Evaluations(20) }
    }
}

/// A command that puts something right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rollback {
    /// Every breaker is closed, its record forgotten.
    ResetBreakers,
    /// The cache forgets every answer.
    FlushCache,
    /// A flag is turned on or off.
    SetFlag {
        /// Which.
        flag: String,
        /// On or off.
        enabled: bool,
    },
}

/// A probe with its tolerance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        let probe = &self.probe;
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) => {
                format!("{} from {} to {}", probe.text(), probe.figure(least), probe.figure(most))
            }
            (Some(least), None) => format!("{} at least {}", probe.text(), probe.figure(least)),
            (None, Some(most)) => format!("{} at most {}", probe.text(), probe.figure(most)),
            (None, None) => probe.text(),
        }
    }

    /// Whether a value is tolerated.
    pub fn holds(&self, value: f64) -> bool {
        self.at_least.is_none_or(|least| value >= least) && self.at_most.is_none_or(|most| value <= most)
    }

    /// By how much a value that is not tolerated misses, in words.
    pub fn misses(&self, value: f64) -> String {
        let figure = |by: f64| self.probe.figure(by);
        match (self.at_least, self.at_most) {
            (Some(least), _) if value < least => format!("{}, {} too little", figure(value), figure(least - value)),
            (_, Some(most)) if value > most => format!("{}, {} too much", figure(value), figure(value - most)),
            _ => figure(value),
        }
    }

    fn check(&self) -> Result<(), String> {
        let bounds = [self.at_least, self.at_most];
        if bounds.iter().flatten().any(|bound| !bound.is_finite()) {
            return Err("a tolerance is a finite number".into());
        }
        match bounds {
            [None, None] => Err(format!("`{}` has no tolerance; give at_least or at_most", self.probe)),
            [Some(least), Some(most)] if least > most => Err(format!("nothing is at least {least} and at most {most}")),
            _ => Ok(()),
        }
    }
}

/// During which part of a drill an expectation is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum During {
    /// All phases together.
    #[default]
    Phases,
    /// After the last phase, once it has settled.
    Recovery,
    /// From the first phase to the end.
    All,
}

/// An expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Over which part it is measured, and judged at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during: Option<During>,
    /// A deadline instead: it must hold at some moment within this time from the first injection on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// With fewer evaluations than this the expectation is not judged.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub minimum: u64,
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_one(minimum: &u64) -> bool {
    *minimum == 1
}

impl Expectation {
    /// Its probe with its tolerance.
    pub fn check(&self) -> Check {
        Check { probe: self.probe.clone(), at_least: self.at_least, at_most: self.at_most }
    }

    /// In words.
    pub fn text(&self) -> String {
        let when = match (self.within, self.during.unwrap_or_default()) {
            (Some(within), _) => return format!("{} within {within} of the first injection", self.check().text()),
            (None, During::Phases) => "while faults are injected",
            (None, During::Recovery) => "after the last fault",
            (None, During::All) => "over the whole drill",
        };
        format!("{} {when}", self.check().text())
    }
}

/// Where something is wrong, as a path such as `phases[0].inject[1].rate`, and what is.
pub type Problem = (String, String);

impl Scenario {
    /// Reads a scenario file's text and checks all of it, so that nothing is injected by a scenario that is wrong.
    ///
    /// # Errors
    /// [`Diagnostic`] with the place.
    pub fn parse(text: &str, file: &str) -> Result<Self, Diagnostic> {
        let scenario: Self = parse(text, file)?;
        scenario
            .check()
            .map_err(|(path, problem)| Diagnostic::at_key(text, file, &path, format!("{path}: {problem}")))?;
        Ok(scenario)
    }

    /// `base` with the scenario's own settings on top of it.
    ///
    /// # Errors
    /// What is wrong with its settings.
    pub fn settings(&self, base: &Settings) -> Result<Settings, Problem> {
        let wrong = |problem: String| ("settings".to_owned(), problem);
        let Some(part) = &self.settings else { return Ok(base.clone()) };
        let settings = overlay(base, part).map_err(wrong)?;
        Engine::check(&settings).map_err(|error| wrong(error.to_string()))?;
        Ok(settings)
    }

    /// The first thing that is wrong.
    fn check(&self) -> Result<(), Problem> {
        let wrong = |path: &str, problem: &str| Err((path.to_owned(), problem.to_owned()));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return wrong("name", "a name has letters, digits, _ and - only");
        }
        if self.phases.is_empty() {
            return wrong("phases", "a scenario needs at least one phase");
        }
        let Safety { max_rate, max_duration } = self.safety;
        if !(max_rate > 0.0 && max_rate <= HIGHEST_RATE) {
            return wrong("safety.max_rate", &format!("{max_rate} is not above 0 and at most {HIGHEST_RATE}"));
        }
        self.blast_radius.check().map_err(|(key, problem)| (format!("blast_radius.{key}"), problem))?;
        for (at, phase) in self.phases.iter().enumerate() {
            self.check_phase(phase, &format!("phases[{at}]"))?;
        }
        let total: std::time::Duration = self.phases.iter().filter_map(|phase| phase.span.time()).sum();
        if let Some(most) = max_duration.time()
            && total > most
        {
            let (total, most) = (Span::Time(total), Span::Time(most));
            return wrong(
                "phases",
                &format!("the phases take {total}, more than {most}; if that is meant, set safety.max_duration"),
            );
        }
        for (at, check) in self.steady_state.expect.iter().enumerate() {
            check.check().map_err(|problem| (format!("steady_state.expect[{at}]"), problem))?;
        }
        for (at, expect) in self.expect.iter().enumerate() {
            let path = format!("expect[{at}]");
            expect.check().check().map_err(|problem| (path.clone(), problem))?;
            self.check_expectation(expect, &path)?;
        }
        if self.steady_state.span.is_zero() && !self.steady_state.expect.is_empty() {
            return wrong("steady_state.for", "something must hold before, but it is watched for 0 evaluations");
        }
        self.settings(&Settings::everything()).map(drop)
    }

    fn check_expectation(&self, expect: &Expectation, path: &str) -> Result<(), Problem> {
        let wrong = |key: &str, problem: String| Err((format!("{path}.{key}"), problem));
        match (expect.within, expect.during) {
            (Some(_), Some(_)) => wrong("within", "an expectation has either `within` or `during`".into()),
            (Some(Span::Evaluations(_)), None) => wrong("within", "a deadline is a time, such as 30s".into()),
            (Some(_), None) => Ok(()),
            (None, _) if expect.probe.is_state() && expect.during != Some(During::Recovery) => wrong(
                "probe",
                format!(
                    "`{}` is a state; say by when it holds (within: 30s), or that it holds at the end (during: recovery)",
                    expect.probe
                ),
            ),
            (None, Some(During::Recovery)) if self.recovery.span.is_zero() => {
                wrong("during", "something is expected of the recovery, which is watched for 0 evaluations".into())
            }
            (None, _) => Ok(()),
        }
    }

    fn check_phase(&self, phase: &Phase, path: &str) -> Result<(), Problem> {
        let wrong = |key: &str, problem: String| Err((format!("{path}.{key}"), problem));
        if phase.span.is_zero() {
            return wrong("for", format!("phase `{}` takes no time", phase.name));
        }
        match (phase.level, phase.faults.as_slice(), phase.inject.as_slice()) {
            (None, [], []) => {
                return wrong(
                    "name",
                    format!("phase `{}` injects nothing; give faults with a level, or inject", phase.name),
                );
            }
            (Some(level), _, _) if Level::new(level).is_none() => {
                return wrong("level", format!("phase `{}` has level {level}; levels are 1 to 5", phase.name));
            }
            (Some(_), [], _) => {
                let problem = format!("phase `{}` has a level and no faults; there are {}", phase.name, Fault::names());
                return wrong("level", problem);
            }
            (None, [_, ..], _) => {
                return wrong("faults", format!("phase `{}` has faults and no level, 1 to 5", phase.name));
            }
            (Some(_), [_, ..], _) if !self.blast_radius.is_everything() => {
                let problem = "faults with a level hit every evaluation; with a blast radius use inject".into();
                return wrong("faults", problem);
            }
            _ => {}
        }
        for (at, inject) in phase.inject.iter().enumerate() {
            let path = format!("{path}.inject[{at}]");
            let within = |(key, problem): (String, String)| (format!("{path}.{key}"), problem);
            inject.check(self.safety.max_rate, &self.blast_radius).map_err(within)?;
            let earlier = phase.inject.iter().take(at);
            if let Some(other) = earlier.enumerate().find(|(_, other)| other.overlaps(inject)).map(|(at, _)| at) {
                let problem = format!(
                    "overlaps with inject[{other}]: both are {} into the same evaluations; give one of them another target",
                    inject.fault.name()
                );
                return Err((format!("{path}.fault"), problem));
            }
        }
        Ok(())
    }

    /// What it needs that a session has not, in words; empty when it can start.
    pub fn needs(&self, known: &Known<'_>) -> String {
        let mut missing = Vec::new();
        let checks = self.expect.iter().map(|expect| &expect.probe);
        let steady = self.steady_state.expect.iter().map(|check| &check.probe);
        let stop = self.stop_when.iter().flat_map(|stop| stop.probes().into_iter().map(|(probe, _)| probe));
        for probe in checks.chain(steady).chain(stop) {
            missing.extend(probe.missing(known));
        }
        let radius = std::iter::once((&self.blast_radius.dependencies, &self.blast_radius.rules));
        let injects = self.phases.iter().flat_map(|phase| &phase.inject);
        let targets = injects.clone().map(|inject| (&inject.dependencies, &inject.rules));
        for (dependencies, rules) in radius.chain(targets) {
            let absent = dependencies.iter().filter(|name| !known.state.dependency(name));
            missing.extend(absent.map(|name| format!("the dependency `{name}`")));
            missing.extend(
                rules.iter().filter(|label| !known.state.rule(label)).map(|label| format!("the rule `{label}`")),
            );
        }
        missing.extend(injects.filter_map(|inject| inject.missing(known.state)));
        for rollback in &self.rollbacks {
            if let Rollback::SetFlag { flag, .. } = rollback
                && known.state.flag(flag).is_none()
            {
                missing.push(format!("the flag `{flag}`"));
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing.join(", ")
    }

    /// How long it takes, in words: the parts that have the same unit added up.
    pub fn length(&self) -> String {
        let spans = self.phases.iter().map(|phase| phase.span);
        let all = spans.chain([self.steady_state.span, self.recovery.settle, self.recovery.span]);
        let (mut count, mut time) = (0, std::time::Duration::ZERO);
        for span in all {
            match span {
                Span::Evaluations(more) => count += more,
                Span::Time(more) => time += more,
            }
        }
        match (count, time.is_zero()) {
            (count, true) => Span::Evaluations(count).to_string(),
            (0, false) => Span::Time(time).to_string(),
            (count, false) => format!("{} and {}", Span::Time(time), Span::Evaluations(count)),
        }
    }

    /// As the menu shows it.
    pub fn view(&self, needs: String) -> ScenarioView {
        ScenarioView {
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.trim().to_owned(),
            teaches: self.teaches.trim().to_owned(),
            phases: self
                .phases
                .iter()
                .map(|phase| format!("{}: {}, {}", phase.name, armed(phase, &self.blast_radius), phase.span))
                .collect(),
            expectations: self.expect.iter().map(Expectation::text).collect(),
            length: self.length(),
            tags: self.tags.clone(),
            needs,
        }
    }
}

/// What a phase injects, in words.
pub fn armed(phase: &Phase, radius: &BlastRadius) -> String {
    let level = phase.level.map(|level| {
        let faults: Vec<_> = phase.faults.iter().map(|fault| fault.name()).collect();
        format!("{} at level {level}", faults.join(" + "))
    });
    let injects = phase.inject.iter().map(|inject| inject.text(radius));
    level.into_iter().chain(injects).collect::<Vec<_>>().join("; ")
}

/// The JSON Schema of scenario files.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".into(), "FizzOps scenario".into());
    }
    schema
}
