//! Game days: a hypothesis, faults that test it, and a verdict that a machine can act on. A game day drives an engine
//! by commands and takes back whatever it armed, however it ends.

pub mod post_mortem;
pub mod run;
pub mod scenario;

use std::path::Path;

pub use scenario::Scenario;

use crate::config::Diagnostic;
use crate::domain::text::nearest;
use crate::engine::director::{Director, Moment, Playbook, ScenarioView};
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
    /// Those that are built in: the files in scenarios/.
    ///
    /// # Errors
    /// [`Diagnostic`] never, unless a file was broken before the program was built; a test reads all.
    pub fn built_in() -> Result<Self, Diagnostic> {
        const FILES: [(&str, &str); 4] = [
            ("confidence_crisis.yaml", include_str!("../../scenarios/confidence_crisis.yaml")),
            ("modulo_meltdown.yaml", include_str!("../../scenarios/modulo_meltdown.yaml")),
            ("slow_burn.yaml", include_str!("../../scenarios/slow_burn.yaml")),
            ("total_chaos.yaml", include_str!("../../scenarios/total_chaos.yaml")),
        ];
        let scenarios = FILES.iter().map(|(file, text)| Scenario::parse(text, file)).collect::<Result<_, _>>()?;
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
    fn scenarios(&self) -> Vec<ScenarioView> {
        self.scenarios.iter().map(Scenario::view).collect()
    }

    fn start(&self, name: &str, moment: &Moment<'_>) -> Result<Box<dyn Director>, String> {
        let scenario = self.get(name).map_err(|error| error.to_string())?;
        Ok(Box::new(run::Drill::new(scenario, moment)))
    }
}

/// The command that repeats a drill of a session on the virtual clock.
pub fn repeat_command(info: &SessionInfo, scenario: &str) -> String {
    format!("fizzops gameday run {scenario} --virtual --seed {}", info.seed)
}

#[cfg(test)]
mod tests;
