//! A scenario of ours as an experiment that `chaos` runs: the drill is its action, and its hypothesis reads the verdict.

use serde_json::{Value, json};

use super::ToolkitError;
use crate::gameday::Scenario;

/// What an export says beside the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export<'a> {
    /// What `fizzops gameday run` is given: a name, or the path of a file.
    pub drill: &'a str,
    /// The seed of the drill, which runs on the virtual clock.
    pub seed: u64,
    /// How the program is called where `chaos` runs.
    pub program: &'a str,
}

/// Time limit of the drill in the exported experiment, seconds.
const DRILL_SECONDS: u64 = 3_600;

/// The experiment.
///
/// `chaos` takes no notice of how an action ends, so that the drill writes a journal and the hypothesis, looked at after
/// the method, asks `fizzops gameday verdict` for its verdict. The drill looks at its own steady state before it injects
/// anything, and one that never ran is a hypothesis that does not hold: with `chaos` alone it would be a success.
pub fn export(scenario: &Scenario, how: &Export<'_>) -> Value {
    let stem: String =
        scenario.name.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect();
    let process = |arguments: Value, timeout: u64| json!({"type": "process", "path": how.program, "arguments": arguments, "timeout": timeout});
    let run = json!([
        "gameday",
        "run",
        how.drill,
        "--virtual",
        "--seed",
        how.seed.to_string(),
        "--quiet",
        "--journal",
        "${journal}"
    ]);
    json!({
        "title": scenario.title,
        "description": scenario.description.trim(),
        "tags": ["fizzops", scenario.name],
        "configuration": {
            "journal": {"type": "env", "key": "FIZZOPS_JOURNAL", "default": format!("{stem}.journal.json")}
        },
        "runtime": {"hypothesis": {"strategy": "after-method-only"}},
        "steady-state-hypothesis": {
            "title": format!("the drill {} is held: its steady state before, its expectations, its recovery", scenario.name),
            "probes": [{
                "type": "probe",
                "name": "the verdict of the drill is held",
                "tolerance": 0,
                "provider": process(json!(["gameday", "verdict", "${journal}"]), 60)
            }]
        },
        "method": [{
            "type": "action",
            "name": format!("run the drill {}", scenario.name),
            "provider": process(run, DRILL_SECONDS)
        }],
        "rollbacks": []
    })
}

/// A document as YAML, its keys in the format's order.
///
/// # Errors
/// [`ToolkitError::Write`] when YAML cannot tell it, which JSON's values never do.
pub fn to_yaml(document: &Value, path: &str) -> Result<String, ToolkitError> {
    let source = |error: serde_yaml::Error| std::io::Error::other(error.to_string());
    let fail = |error| ToolkitError::Write { path: path.to_owned(), source: source(error) };
    let mut ordered = serde_json::Map::new();
    if let Value::Object(members) = document {
        for key in ORDER {
            if let Some(value) = members.get(key) {
                ordered.insert(key.to_owned(), value.clone());
            }
        }
        for (key, value) in members.iter().filter(|(key, _)| !ORDER.contains(&key.as_str())) {
            ordered.insert(key.clone(), value.clone());
        }
    }
    serde_yaml::to_string(&ordered).map_err(fail)
}

const ORDER: [&str; 12] = [
    "title",
    "description",
    "tags",
    "contributions",
    "configuration",
    "secrets",
    "runtime",
    "controls",
    "steady-state-hypothesis",
    "method",
    "rollbacks",
    "extensions",
];
