//! The experiment: what it consists of, and everything that is checked about it before anything runs.

use std::time::Duration;

use serde_json::Value;

use super::document::{self, Node, Problem, placed};
use super::http::HttpCall;
use super::process::ProcessCall;
use super::tolerance::Tolerance;
pub use super::variables::Environment;
use super::variables::{Redactor, Variables};
use super::{MAX_ACTIVITIES, MAX_BACKGROUND, MAX_SECONDS, ToolkitError};
use crate::domain::text::nearest;

/// An experiment that has been checked: variables are put in, programs are found, patterns and paths are read.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// One line, with its variables put in and without secrets.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What must hold before and after the method.
    pub hypothesis: Option<Hypothesis>,
    /// What is done and looked at, one after another.
    pub method: Vec<Activity>,
    /// What is done to go back.
    pub rollbacks: Vec<Activity>,
    /// When the hypothesis is looked at.
    pub hypothesis_strategy: HypothesisStrategy,
    /// When rollbacks are played.
    pub rollback_strategy: RollbackStrategy,
    /// The document, with everything that has no effect here too.
    pub(super) document: Value,
    pub(super) redactor: Redactor,
}

/// What must hold.
#[derive(Debug, Clone)]
pub struct Hypothesis {
    /// One line.
    pub title: String,
    /// Each has a tolerance.
    pub probes: Vec<Activity>,
}

/// Something that is done or looked at.
#[derive(Debug, Clone)]
pub struct Activity {
    /// What it is called.
    pub name: String,
    /// `action` or `probe`.
    pub role: Role,
    /// What is run.
    pub provider: Provider,
    /// The wait before it.
    pub before: Duration,
    /// The wait after it.
    pub after: Duration,
    /// Whether the next one starts without waiting for it.
    pub background: bool,
    /// What its output must be; probes of a hypothesis have one.
    pub tolerance: Option<Tolerance>,
    pub(super) document: Value,
}

/// Whether an activity changes something or looks at something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It changes something.
    Action,
    /// It looks at something.
    Probe,
}

impl Role {
    /// `action` or `probe`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Probe => "probe",
        }
    }
}

/// What an activity runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// A program.
    Process(ProcessCall),
    /// A call.
    Http(HttpCall),
}

/// The kinds of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Process,
    Http,
}

impl Kind {
    pub const fn article(self) -> &'static str {
        match self {
            Self::Process => "a process",
            Self::Http => "an HTTP call",
        }
    }

    /// The parts of an output.
    pub const fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Process => &["status", "stdout", "stderr"],
            Self::Http => &["status", "headers", "body"],
        }
    }

    /// Those that are texts.
    pub const fn texts(self) -> &'static [&'static str] {
        match self {
            Self::Process => &["stdout", "stderr"],
            Self::Http => &["body"],
        }
    }
}

impl Provider {
    const fn kind(&self) -> Kind {
        match self {
            Self::Process(_) => Kind::Process,
            Self::Http(_) => Kind::Http,
        }
    }
}

/// When the hypothesis is looked at (`runtime.hypothesis.strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HypothesisStrategy {
    /// Before and after the method.
    #[default]
    Default,
    /// Before it only.
    Before,
    /// After it only.
    After,
    /// Never.
    Skip,
}

/// When rollbacks are played (`runtime.rollbacks.strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RollbackStrategy {
    /// Whenever the method began, however it ended.
    #[default]
    Default,
    /// Even when the method never began.
    Always,
    /// Never.
    Never,
    /// When the hypothesis did not hold after the method, or the run was interrupted.
    Deviated,
}

const EXPERIMENT_KEYS: [&str; 14] = [
    "version",
    "title",
    "description",
    "tags",
    "configuration",
    "secrets",
    "steady-state-hypothesis",
    "method",
    "rollbacks",
    "controls",
    "contributions",
    "extensions",
    "runtime",
    "dry",
];
const ACTIVITY_KEYS: [&str; 10] =
    ["type", "name", "provider", "tolerance", "pauses", "background", "controls", "ref", "dry", "timeout"];
const PYTHON: &str =
    "Python code is not run here: use a provider of type process or http, or run the experiment with `chaos`";

impl Experiment {
    /// Reads an experiment, JSON or YAML by the file's name, and checks all of it.
    ///
    /// # Errors
    /// [`ToolkitError::Content`] with the place of the first thing that is wrong.
    pub fn parse(text: &str, file: &str, environment: Environment<'_>) -> Result<Self, ToolkitError> {
        let document = document::read(text, file)?;
        let checked = Self::check(&document, environment);
        checked.map_err(|problem| ToolkitError::Content(placed(text, file, problem)))
    }

    /// The document as it was read, with everything that has no effect here too.
    pub const fn document(&self) -> &Value {
        &self.document
    }

    fn check(document: &Value, environment: Environment<'_>) -> Result<Self, Problem> {
        let root = Node::root(document);
        root.mapping("an experiment")?;
        root.no_misspelt_key(&EXPERIMENT_KEYS)?;
        let title = root.required_text("title", "an experiment")?;
        let description = root.required_text("description", "an experiment")?.to_owned();
        let tags = list(&root, "tags")?;
        let tags = tags.iter().map(|tag| tag.text("a tag").map(str::to_owned)).collect::<Result<_, _>>()?;
        for extension in list(&root, "extensions")? {
            extension.required_text("name", "an extension")?;
        }
        if let Some(contributions) = root.get("contributions") {
            contributions.mapping("`contributions`")?;
        }
        not_dry(&root)?;
        no_controls(&root)?;
        let variables = Variables::load(&root, environment)?;
        let Some(method) = root.get("method") else {
            return Err(root.problem("an experiment needs a `method`; it may be an empty list, []"));
        };
        method.list("`method`")?;
        let rollbacks = list(&root, "rollbacks")?;
        let (hypothesis_strategy, rollback_strategy) = strategies(&root)?;
        let section = root.get("steady-state-hypothesis");
        let probes = section.as_ref().map(|section| list(section, "probes")).transpose()?.unwrap_or_default();
        let method: Vec<_> = method.items().collect();
        let count = probes.len() + method.len() + rollbacks.len();
        if count > MAX_ACTIVITIES {
            return Err(root.problem(format!("{count} activities are more than {MAX_ACTIVITIES}")));
        }
        let checker = Checker { variables: &variables, known: method.iter().chain(&probes).cloned().collect() };
        let hypothesis = section.map(|section| checker.hypothesis(&section, &probes)).transpose()?;
        let method = method.iter().map(|node| checker.activity(node)).collect::<Result<Vec<_>, _>>()?;
        let rollbacks = rollbacks.iter().map(|node| checker.activity(node)).collect::<Result<Vec<_>, _>>()?;
        if [&method, &rollbacks].iter().any(|all| all.iter().filter(|one| one.background).count() > MAX_BACKGROUND) {
            return Err(root.problem(format!("more than {MAX_BACKGROUND} activities run in the background")));
        }
        let redactor = variables.redactor();
        Ok(Self {
            title: redactor.text(&super::values::text(&variables.substitute(&title.into()))),
            description,
            tags,
            hypothesis,
            method,
            rollbacks,
            hypothesis_strategy,
            rollback_strategy,
            document: document.clone(),
            redactor,
        })
    }
}

struct Checker<'a> {
    variables: &'a Variables,
    /// What a `ref` may name.
    known: Vec<Node<'a>>,
}

impl Checker<'_> {
    fn hypothesis(&self, node: &Node<'_>, probes: &[Node<'_>]) -> Result<Hypothesis, Problem> {
        node.mapping("`steady-state-hypothesis`")?;
        node.no_misspelt_key(&["title", "probes", "controls"])?;
        no_controls(node)?;
        let title = node.required_text("title", "a steady-state hypothesis")?.to_owned();
        let probes = probes.iter().map(|probe| {
            let mut activity = self.activity(probe)?;
            let Some(tolerance) = probe.get("tolerance") else {
                return Err(
                    probe.problem(format!("the probe `{}` of the hypothesis needs a `tolerance`", activity.name))
                );
            };
            activity.tolerance = Some(Tolerance::parse(&tolerance, activity.provider.kind(), self.variables)?);
            Ok(activity)
        });
        Ok(Hypothesis { title, probes: probes.collect::<Result<_, _>>()? })
    }

    /// An activity, or what its `ref` stands for.
    fn activity(&self, node: &Node<'_>) -> Result<Activity, Problem> {
        node.mapping("an activity")?;
        let Some(reference) = node.get("ref") else { return self.written_out(node) };
        let name = reference.text("`ref`")?;
        let names = || self.known.iter().filter_map(|known| known.value.get("name").and_then(Value::as_str));
        // The hypothesis comes last and wins, as Chaos Toolkit has it.
        let found = self.known.iter().rev().find(|known| known.value.get("name").and_then(Value::as_str) == Some(name));
        let Some(found) = found.filter(|found| found.get("ref").is_none()) else {
            let near = nearest(name, names()).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(reference.problem(format!("there is no activity `{name}` to refer to{near}")));
        };
        self.written_out(found)
    }

    fn written_out(&self, node: &Node<'_>) -> Result<Activity, Problem> {
        node.no_misspelt_key(&ACTIVITY_KEYS)?;
        let role = match node.required_text("type", "an activity")? {
            "action" => Role::Action,
            "probe" => Role::Probe,
            other => {
                let at = node.get("type");
                let problem = format!("`{other}` is no type of an activity; there are action and probe");
                return Err(at.as_ref().unwrap_or(node).problem(problem));
            }
        };
        let name = node.required_text("name", "an activity")?.to_owned();
        not_dry(node)?;
        no_controls(node)?;
        let Some(found) = node.get("provider") else {
            return Err(node.problem(format!("the {} `{name}` needs a `provider`", role.name())));
        };
        let provider = provider(&found, self.variables)?;
        let pauses = node.get("pauses");
        if let Some(pauses) = &pauses {
            pauses.mapping("`pauses`")?;
            pauses.no_misspelt_key(&["before", "after"])?;
        }
        let pause = |key: &str| {
            let Some(at) = pauses.as_ref().and_then(|pauses| pauses.get(key)) else { return Ok(Duration::ZERO) };
            let value = self.variables.substitute(at.value);
            let span = value.as_f64().filter(|number| (0.0..=MAX_SECONDS).contains(number));
            let wrong = || at.problem(format!("a pause is a number of seconds from 0 to {MAX_SECONDS}"));
            span.map(Duration::from_secs_f64).ok_or_else(wrong)
        };
        let background = node.get("background").map_or(Ok(false), |at| at.boolean("`background`"))?;
        Ok(Activity {
            name,
            role,
            provider,
            before: pause("before")?,
            after: pause("after")?,
            background,
            tolerance: None,
            document: node.value.clone(),
        })
    }
}

/// Checks a provider.
pub(super) fn provider(node: &Node<'_>, variables: &Variables) -> Result<Provider, Problem> {
    node.mapping("`provider`")?;
    let given = node.required_text("type", "a provider")?;
    let at = node.get("type");
    let at = at.as_ref().unwrap_or(node);
    match given {
        "process" => ProcessCall::parse(node, variables).map(Provider::Process),
        "http" => HttpCall::parse(node, variables).map(Provider::Http),
        "python" => {
            let module = node.value.get("module").and_then(Value::as_str);
            let module = module.map_or(String::new(), |module| format!(" ({module})"));
            Err(at.problem(format!("the provider `python`{module} is not supported. {PYTHON}")))
        }
        other => {
            let near = nearest(other, ["process", "http"]);
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Err(at.problem(format!("there is no provider `{other}`{near} (there are process and http)")))
        }
    }
}

/// A time limit in seconds.
pub(super) fn time_limit(node: &Node<'_>, key: &str, variables: &Variables) -> Result<Option<Duration>, Problem> {
    node.get(key).map(|at| limit(&at, &format!("`{key}`"), variables)).transpose()
}

/// A number of seconds that is more than 0.
pub(super) fn limit(at: &Node<'_>, what: &str, variables: &Variables) -> Result<Duration, Problem> {
    let value = variables.substitute(at.value);
    let span = value.as_f64().filter(|number| *number >= 0.001 && *number <= MAX_SECONDS);
    let wrong = || at.problem(format!("{what} is a number of seconds from 0.001 to {MAX_SECONDS}"));
    span.map(Duration::from_secs_f64).ok_or_else(wrong)
}

fn list<'a>(node: &Node<'a>, key: &str) -> Result<Vec<Node<'a>>, Problem> {
    let Some(found) = node.get(key) else { return Ok(Vec::new()) };
    found.list(&format!("`{key}`"))?;
    Ok(found.items().collect())
}

fn no_controls(node: &Node<'_>) -> Result<(), Problem> {
    if list(node, "controls")?.is_empty() {
        return Ok(());
    }
    Err(node.key_problem(
        "controls",
        format!("`controls` are not supported, and without them it would be another run. {PYTHON}"),
    ))
}

fn not_dry(node: &Node<'_>) -> Result<(), Problem> {
    if node.get("dry").is_none() {
        return Ok(());
    }
    let problem = "`dry` is not supported, and without it everything would really run; take it out, or run the experiment \
                   with `chaos run --dry`";
    Err(node.key_problem("dry", problem))
}

fn strategies(root: &Node<'_>) -> Result<(HypothesisStrategy, RollbackStrategy), Problem> {
    let Some(runtime) = root.get("runtime") else { return Ok(Default::default()) };
    runtime.mapping("`runtime`")?;
    runtime.no_misspelt_key(&["hypothesis", "rollbacks"])?;
    let strategy = |section: &str| {
        let Some(found) = runtime.get(section) else { return Ok(None) };
        found.mapping(&format!("`{section}`"))?;
        found.no_misspelt_key(&["strategy"])?;
        found.get("strategy").map(|at| at.text("`strategy`").map(|name| (name, at.clone()))).transpose()
    };
    let hypothesis = match strategy("hypothesis")? {
        None => HypothesisStrategy::Default,
        Some((name, at)) => match name {
            "default" => HypothesisStrategy::Default,
            "before-method-only" => HypothesisStrategy::Before,
            "after-method-only" => HypothesisStrategy::After,
            "skip" => HypothesisStrategy::Skip,
            other => {
                return Err(at.problem(format!(
                    "the strategy `{other}` is not supported; there are default, before-method-only, after-method-only and \
                     skip"
                )));
            }
        },
    };
    let rollbacks = match strategy("rollbacks")? {
        None => RollbackStrategy::Default,
        Some((name, at)) => match name {
            "default" => RollbackStrategy::Default,
            "always" => RollbackStrategy::Always,
            "never" => RollbackStrategy::Never,
            "deviated" => RollbackStrategy::Deviated,
            other => {
                let problem = format!("there is no strategy `{other}`; there are default, always, never and deviated");
                return Err(at.problem(problem));
            }
        },
    };
    Ok((hypothesis, rollbacks))
}
