//! OpenSLO v1 documents: read, checked, and made into objectives. Errors name the file, the place and the rule.
//!
//! ```
//! use fizzops::mechanisms::slo::{SloConfig, openslo};
//!
//! let text = "
//! apiVersion: openslo/v1
//! kind: SLO
//! metadata: { name: right-answers }
//! spec:
//!   service: evaluation
//!   indicator:
//!     metadata: { name: right }
//!     spec:
//!       ratioMetric:
//!         good: { metricSource: { type: fizzops, spec: { counter: right } } }
//!         total: { metricSource: { type: fizzops, spec: { counter: answered } } }
//!   timeWindow: [{ duration: 30d, isRolling: true }]
//!   budgetingMethod: Occurrences
//!   objectives: [{ targetPercent: 99.9 }]
//! ";
//! let slos = openslo::read(text, "slo.yaml").unwrap().objectives(&SloConfig::default()).unwrap();
//! assert_eq!((slos[0].name.as_str(), slos[0].target), ("right-answers", 0.999));
//! // Without alert policies of its own it has the workbook's rules.
//! assert_eq!(slos[0].rules[0].factor.to_string(), "14.4");
//! let wrong = openslo::read(&text.replace("kind: SLO", "kind: SLOO"), "slo.yaml").unwrap_err().to_string();
//! assert!(wrong.starts_with("slo.yaml:3:1: kind: there is no kind `SLOO`; did you mean `SLO`?"), "{wrong}");
//! ```

#[allow(missing_docs, reason = "the fields are OpenSLO's own; its specification is their documentation")]
mod document;
mod locate;
mod resolve;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_yaml::Value;

use crate::config::{Diagnostic, parse};
use crate::domain::text::nearest;
use document::{ConditionSpec, DataSourceSpec, Object, PolicySpec, ServiceSpec, SliSpec, SloDocument, TargetSpec};
use locate::locate;

/// The kinds of OpenSLO v1.
pub const KINDS: [&str; 7] =
    ["DataSource", "Service", "SLI", "SLO", "AlertPolicy", "AlertCondition", "AlertNotificationTarget"];

/// Where an object is written.
#[derive(Debug, Clone)]
struct Origin {
    file: Arc<str>,
    /// Its document, with as many empty lines before it as there are lines before it in the file.
    text: Arc<str>,
}

impl Origin {
    /// What is wrong at `path`; `rule` is what OpenSLO or this engine asks for.
    fn wrong(&self, path: &str, problem: impl std::fmt::Display, rule: &str) -> Diagnostic {
        let (line, column) = locate(&self.text, path);
        let source = self.text.lines().nth(line - 1).unwrap_or_default().to_owned();
        let problem = format!("{path}: {problem} (rule: {rule})");
        Diagnostic { file: self.file.to_string(), place: Some((line, column)), problem, source }
    }
}

#[derive(Debug, Clone)]
struct Written<S> {
    origin: Origin,
    object: Object<S>,
}

impl<S> Written<S> {
    fn name(&self) -> &str {
        &self.object.metadata.name
    }
}

/// Documents that belong together: what one names may be in another.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    sources: Vec<Written<DataSourceSpec>>,
    services: Vec<Written<ServiceSpec>>,
    slis: Vec<Written<SliSpec>>,
    slos: Vec<Written<SloDocument>>,
    policies: Vec<Written<PolicySpec>>,
    conditions: Vec<Written<ConditionSpec>>,
    targets: Vec<Written<TargetSpec>>,
}

/// Reads the documents of one text, `---` between them; `file` is what it is called in messages.
///
/// # Errors
/// [`Diagnostic`] for the first thing that is not right.
pub fn read(text: &str, file: &str) -> Result<Documents, Diagnostic> {
    let mut documents = Documents::default();
    documents.add(text, file)?;
    Ok(documents)
}

impl Documents {
    /// Reads another text.
    ///
    /// # Errors
    /// As [`read`].
    pub fn add(&mut self, text: &str, file: &str) -> Result<(), Diagnostic> {
        let file: Arc<str> = file.into();
        let mut above = 0;
        let mut document = String::new();
        for (number, line) in (1..).zip(text.lines().chain(["---"])) {
            let marker = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
            if marker.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
                self.document(&document, &file)?;
                above = number;
                document = "\n".repeat(above);
            } else {
                document.push_str(line);
                document.push('\n');
            }
        }
        debug_assert!(above > 0);
        Ok(())
    }

    /// Takes in one document, padded with empty lines to its place.
    fn document(&mut self, text: &str, file: &Arc<str>) -> Result<(), Diagnostic> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(());
        }
        let tree: Value = parse(text, file)?;
        let origin = Origin { file: Arc::clone(file), text: text.into() };
        const RULE: &str = "an OpenSLO document has apiVersion openslo/v1, kind, metadata and spec";
        let field = |key: &str| match tree.get(key) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(origin.wrong(key, "it must be a text", RULE)),
            None => Err(origin.wrong(key, "it is missing", RULE)),
        };
        let version = field("apiVersion")?;
        if version != "openslo/v1" {
            return Err(origin.wrong("apiVersion", format!("`{version}` is not known; write openslo/v1"), RULE));
        }
        let kind = field("kind")?;
        match kind {
            "DataSource" => put(&mut self.sources, text, origin),
            "Service" => put(&mut self.services, text, origin),
            "SLI" => put(&mut self.slis, text, origin),
            "SLO" => put(&mut self.slos, text, origin),
            "AlertPolicy" => put(&mut self.policies, text, origin),
            "AlertCondition" => put(&mut self.conditions, text, origin),
            "AlertNotificationTarget" => put(&mut self.targets, text, origin),
            other => {
                let near = nearest(other, KINDS).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                let rule = format!("kind is one of {}", KINDS.join(", "));
                Err(origin.wrong("kind", format!("there is no kind `{other}`{near}"), &rule))
            }
        }
    }

    /// How many objects there are of each kind, in the order of [`KINDS`]; kinds without any are left out.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let counts = [
            self.sources.len(),
            self.services.len(),
            self.slis.len(),
            self.slos.len(),
            self.policies.len(),
            self.conditions.len(),
            self.targets.len(),
        ];
        KINDS.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

fn put<S: DeserializeOwned>(all: &mut Vec<Written<S>>, text: &str, origin: Origin) -> Result<(), Diagnostic> {
    let object: Object<S> = parse(text, &origin.file).map_err(|error| placed(error, text))?;
    let name = &object.metadata.name;
    const RULE: &str = "a name has 1 to 63 of a-z 0-9 -, and a letter or a digit at both ends (RFC 1123)";
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !plain || name.is_empty() || name.len() > 63 || name.starts_with('-') || name.ends_with('-') {
        return Err(origin.wrong("metadata.name", format!("`{name}` is no name"), RULE));
    }
    if let Some(other) = all.iter().find(|other| other.name() == name) {
        let kind = object.kind.unwrap_or_default();
        let (line, _) = locate(&other.origin.text, "metadata.name");
        let problem = format!("the {kind} `{name}` is there already, at {}:{line}", other.origin.file);
        return Err(origin.wrong("metadata.name", problem, "names are unique within a kind"));
    }
    all.push(Written { origin, object });
    Ok(())
}

/// The error where its key is, rather than where the section around it begins.
fn placed(mut error: Diagnostic, text: &str) -> Diagnostic {
    let Some((path, rest)) = error.problem.split_once(": ") else { return error };
    if !path.starts_with("spec") && !path.starts_with("metadata") {
        return error;
    }
    let (line, column) = locate(text, &path.replace('[', ".").replace(']', ""));
    // The parser names the section once more.
    let rest = rest.split_once(": ").filter(|(section, _)| path.starts_with(section)).map_or(rest, |(_, rest)| rest);
    error.problem = format!("{path}: {rest}");
    error.place = Some((line, column));
    error.source = text.lines().nth(line - 1).unwrap_or_default().to_owned();
    error
}
