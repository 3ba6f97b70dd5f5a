//! What every session has in common: its configuration, its clock, and the files it writes.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Args;

use super::{Exit, Failure};
use crate::config::{Layers, Loaded, Origin};
use crate::domain::ErrorCode;
use crate::engine::drive::Sink;
use crate::engine::{Engine, EngineError, Frame, Seed, SessionInfo, Settings};
use crate::gameday::Scenarios;
use crate::mechanisms::slo::openslo::Documents;
use crate::recording::{Background, Given, Header};

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigSource {
    /// A YAML file with settings [default: ./fizzops.yaml, then the user's configuration folder]
    #[arg(long, value_name = "FILE", env = "EFP_CONFIG_PATH")]
    pub config: Option<PathBuf>,
    /// Set one value, e.g. --set cache.max_size=10 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Clock and seed.
#[derive(Debug, Clone, Default, Args)]
pub struct ClockArgs {
    /// The seed that all randomness comes from [default: another one each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Run on the virtual clock: the same inputs give the same bytes
    #[arg(long = "virtual")]
    pub simulated: bool,
}

impl ClockArgs {
    /// The seed: as given; 0 on the virtual clock, so that a plain --virtual repeats itself; else anything.
    pub fn seed(&self) -> Seed {
        match self.seed {
            Some(seed) => Seed(seed),
            None if self.simulated => Seed(0),
            None => Seed::from_entropy(),
        }
    }
}

/// Environment variables with the settings that they stand for.
const VARIABLES: [(&str, &str); 5] = [
    ("EFP_RANGE_START", "workload.from"),
    ("EFP_RANGE_END", "workload.to"),
    ("EFP_STRATEGY", "engine.strategy"),
    ("EFP_LOCALE", "i18n.locale"),
    ("EFP_RATE", "workload.rate"),
];

/// Puts the layers on one another: `base`, the file, the environment, `flags` (path, YAML text, flag). An impossible value
/// is told with the place where it was given.
pub fn load(
    base: &Settings,
    source: &ConfigSource,
    flags: &[(&str, String, &str)],
) -> Result<Loaded<Settings>, Failure> {
    let mut layers = Layers::new(base)?;
    let file = source.config.clone().or_else(|| {
        let user = directories::ProjectDirs::from("", "", "fizzops").map(|dirs| dirs.config_dir().join("fizzops.yaml"));
        [Some(PathBuf::from("fizzops.yaml")), user].into_iter().flatten().find(|path| path.is_file())
    });
    if let Some(file) = file {
        layers.file(&file)?;
    }
    for (variable, path) in VARIABLES {
        if let Ok(text) = std::env::var(variable) {
            layers.set(path, &text, Origin::Variable(variable.into()))?;
        }
    }
    for setting in &source.set {
        let (path, text) = setting
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--set {setting}: write KEY=VALUE, e.g. cache.max_size=10")))?;
        layers.set(path.trim(), text, Origin::Flag("--set".into()))?;
    }
    for (path, text, flag) in flags {
        layers.set(path, text, Origin::Flag((*flag).into()))?;
    }
    let mut loaded = layers.load()?;
    if !loaded.value.sla.openslo.is_empty() {
        // Files that a file names are beside it.
        let paths: Vec<PathBuf> = match loaded.origin("sla.openslo") {
            Origin::File(file) => loaded.value.sla.openslo.iter().map(|path| super::slo::beside(file, path)).collect(),
            _ => loaded.value.sla.openslo.clone(),
        };
        let specs = read_slos(&paths)?.objectives(&loaded.value.sla);
        loaded.value.sla.specs =
            specs.map_err(|error| Failure::new(Exit::Usage, Some(error.code()), error.to_string()))?;
    }
    let placed = |error: EngineError| Failure::new(Exit::Usage, Some(error.code()), loaded.locate(&error.to_string()));
    Engine::check(&loaded.value).map_err(placed)?;
    let outbox = loaded.value.outbox.check();
    outbox.map_err(|error| Failure::new(Exit::Usage, Some(error.code()), loaded.locate(&error.to_string())))?;
    Ok(loaded)
}

/// No file of documents is larger.
const SLO_LIMIT: u64 = 1024 * 1024;

/// Reads OpenSLO files.
pub fn read_slos(paths: &[PathBuf]) -> Result<Documents, Failure> {
    let mut documents = Documents::default();
    for path in paths {
        let name = path.display().to_string();
        let wrong = |problem: String| Failure::new(Exit::Usage, Some(ErrorCode::SloConfiguration), problem);
        let unreadable = |error: std::io::Error| wrong(format!("{name} cannot be read: {error}"));
        if std::fs::metadata(path).map_err(unreadable)?.len() > SLO_LIMIT {
            return Err(wrong(format!("{name} is larger than 1 MiB")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        documents.add(&text, &name).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(documents)
}

/// The scenarios that are built in.
pub fn scenarios() -> Result<Scenarios, Failure> {
    Ok(Scenarios::built_in()?)
}

/// Scenarios as a recording keeps them.
pub fn recorded_scenarios(scenarios: &Scenarios) -> Vec<String> {
    // JSON is YAML too; scenarios are plain data, so that writing them does not fail.
    scenarios.all().iter().filter_map(|scenario| serde_json::to_string(scenario).ok()).collect()
}

/// A recording that frames go to; [`Recording::finish`] ends it.
pub struct Recording {
    recorder: Arc<Mutex<Background>>,
    path: PathBuf,
}

impl Recording {
    /// Creates the file. `given` is what the session has beside its settings.
    pub fn create(path: &Path, info: &SessionInfo, settings: &Settings, given: Given) -> Result<Self, Failure> {
        let recorder = Background::create(path, &Header::with(info, settings, given));
        let recorder = recorder.map_err(|error| Failure::write(path, &error))?;
        Ok(Self { recorder: Arc::new(Mutex::new(recorder)), path: path.to_owned() })
    }

    /// Where frames go. A session goes on without its recording when that cannot be written; its end says so.
    pub fn sink(&self) -> Sink<Arc<Frame>> {
        let recorder = Arc::clone(&self.recorder);
        Box::new(move |frame| match recorder.lock().map(|mut recorder| recorder.frame(frame)) {
            Ok(true) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        })
    }

    /// Writes the footer.
    pub fn finish(self, ledger_head: Option<String>) -> Result<(), Failure> {
        let recorder = Arc::try_unwrap(self.recorder).ok().and_then(|recorder| recorder.into_inner().ok());
        let finished = match recorder {
            Some(recorder) => recorder.finish(ledger_head).map(drop),
            // The engine is done with its sinks when its task has ended.
            None => Err(std::io::Error::other("it is still written to")),
        };
        finished.map_err(|error| Failure::write(&self.path, &error))
    }
}

/// A runtime for the engine's background task and the checks made side by side.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Usage, None, format!("no thread can be started: {error}")))
}
