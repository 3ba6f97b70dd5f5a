//! Game days: a hypothesis, faults that test it, and a verdict that a machine can act on. A game day drives an engine
//! by commands and takes back whatever it armed, however it ends.

pub mod condition;
pub mod inject;
pub mod measure;
pub mod probe;
pub mod report;
pub mod run;
pub mod scenario;
pub mod span;
pub mod toolkit;

use std::path::Path;

pub use scenario::Scenario;

use crate::config::Diagnostic;
use crate::domain::text::nearest;
use crate::engine::director::{Director, Lookup, Moment, Playbook, ScenarioView};
use crate::engine::frame::SessionInfo;

/// The scenarios that a session has.
#[derive(Debug, Clone)]
pub struct Scenarios {
    scenarios: Vec<Scenario>,
}

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Its file cannot be read.
    #[error("the scenario {path} cannot be read: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its file is larger than any scenario.
    #[error("the scenario {0} is larger than 1 MiB")]
    TooLarge(String),
    /// Its file is not right.
    #[error(transparent)]
    Content(#[from] Diagnostic),
    /// There is none of this name.
    #[error("there is no scenario `{name}`{hint}; there are {known}")]
    NotFound {
        /// As given.
        name: String,
        /// The nearest one.
        hint: String,
        /// All of them.
        known: String,
    },
}

impl Scenarios {
    /// The files in scenarios/, which are built in: name and text.
    pub const fn files() -> &'static [(&'static str, &'static str)] {
        &[
            ("confidence_crisis.yaml", include_str!("../../scenarios/confidence_crisis.yaml")),
            ("modulo_meltdown.yaml", include_str!("../../scenarios/modulo_meltdown.yaml")),
            ("slow_burn.yaml", include_str!("../../scenarios/slow_burn.yaml")),
            ("total_chaos.yaml", include_str!("../../scenarios/total_chaos.yaml")),
            ("retry_storm.yaml", include_str!("../../scenarios/retry_storm.yaml")),
            ("cache_stampede.yaml", include_str!("../../scenarios/cache_stampede.yaml")),
            ("flag_rollout_gone_wrong.yaml", include_str!("../../scenarios/flag_rollout_gone_wrong.yaml")),
            ("month_of_slow_burn.yaml", include_str!("../../scenarios/month_of_slow_burn.yaml")),
            ("cascading_failure.yaml", include_str!("../../scenarios/cascading_failure.yaml")),
            ("inventory_degradation.yaml", include_str!("../../scenarios/inventory_degradation.yaml")),
            ("notification_overload.yaml", include_str!("../../scenarios/notification_overload.yaml")),
            ("order_service_latency.yaml", include_str!("../../scenarios/order_service_latency.yaml")),
            ("payment_provider_failure.yaml", include_str!("../../scenarios/payment_provider_failure.yaml")),
        ]
    }

    /// Those that are built in.
    ///
    /// # Errors
    /// [`Diagnostic`] never, unless a file was broken before the program was built; a test reads all.
    pub fn built_in() -> Result<Self, Diagnostic> {
        let scenarios =
            Self::files().iter().map(|(file, text)| Scenario::parse(text, file)).collect::<Result<_, _>>()?;
        Ok(Self { scenarios })
    }

    /// These alone.
    pub fn of(scenarios: impl IntoIterator<Item = Scenario>) -> Self {
        Self { scenarios: scenarios.into_iter().collect() }
    }

    /// Also the one in this file, in place of any of the same name.
    ///
    /// # Errors
    /// [`ScenarioError`] when it cannot be read or is not right.
    pub fn add_file(&mut self, path: &Path) -> Result<&Scenario, ScenarioError> {
        let name = path.display().to_string();
        let io = |source| ScenarioError::Io { path: name.clone(), source };
        if std::fs::metadata(path).map_err(io)?.len() > 1024 * 1024 {
            return Err(ScenarioError::TooLarge(name));
        }
        let scenario = Scenario::parse(&std::fs::read_to_string(path).map_err(io)?, &name)?;
        self.scenarios.retain(|known| known.name != scenario.name);
        self.scenarios.insert(0, scenario);
        // It was just put there.
        self.scenarios.first().ok_or(ScenarioError::TooLarge(name))
    }

    /// All of them.
    pub fn all(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ScenarioError::NotFound`] with the nearest name and all of them.
    pub fn get(&self, name: &str) -> Result<&Scenario, ScenarioError> {
        self.scenarios.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            let names = || self.scenarios.iter().map(|scenario| scenario.name.as_str());
            ScenarioError::NotFound {
                name: name.to_owned(),
                hint: nearest(name, names()).map_or(String::new(), |near| format!("; did you mean `{near}`?")),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }
}

impl Playbook for Scenarios {
    fn scenarios(&self, levels: &[&str], state: &dyn Lookup) -> Vec<ScenarioView> {
        let known = probe::Known { levels, state };
        self.scenarios.iter().map(|scenario| scenario.view(scenario.needs(&known))).collect()
    }

    fn start(&self, name: &str, moment: &Moment<'_>) -> Result<Box<dyn Director>, String> {
        let scenario = self.get(name).map_err(|error| error.to_string())?;
        let levels: Vec<&str> = moment.levels.iter().map(|level| level.name.as_str()).collect();
        let needs = scenario.needs(&probe::Known { levels: &levels, state: moment.state });
        if !needs.is_empty() {
            let way = format!("`fizzops gameday run {name}` brings what it needs");
            return Err(format!("this session has not what {name} needs: {needs}; {way}"));
        }
        Ok(Box::new(run::Drill::new(scenario, moment)))
    }
}

/// The command that repeats a drill of a session on the virtual clock.
pub fn repeat_command(info: &SessionInfo, scenario: &str) -> String {
    format!("fizzops gameday run {scenario} --virtual --seed {}", info.seed)
}

#[cfg(test)]
mod tests;
