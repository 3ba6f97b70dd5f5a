//! A file of definitions: flagd's flags and, beside them, flags of the reference's own kinds. A file is taken whole or
//! refused whole.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datalogic_rs::{Engine, Logic};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::config::FlagConfig;
use super::super::error::FlagsError;
use super::super::flag::Lifecycle;
use super::document::Document;
use super::fractional::Generation;
use super::operators;
use super::problem::{Problem, Severity};
use super::schema::{self, Mode};

/// The flags of a file, checked and compiled; cheap to clone. Written as its source, and checked again when read.
///
/// ```
/// use fizzops::mechanisms::flags::flagd::{Definitions, Generation};
///
/// let text = r#"
/// flags:
///   new_checkout:
///     state: ENABLED
///     variants: {on: true, off: false}
///     defaultVariant: "off"
///     targeting: {if: [{ends_with: [{var: email}, "@example.com"]}, "on"]}
/// "#;
/// let definitions = Definitions::parse(text, "flags.yaml", Generation::V3)?;
/// assert_eq!(definitions.names().collect::<Vec<_>>(), ["new_checkout"]);
///
/// let broken = text.replace("defaultVariant: \"off\"", "defaultVariant: \"offf\"");
/// let error = Definitions::parse(&broken, "flags.yaml", Generation::V3).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "flags.yaml:6:5: flags.new_checkout.defaultVariant: there is no variant `offf`; did you mean `off`? \
///      [rule default-variant]"
/// );
/// # Ok::<(), fizzops::mechanisms::flags::FlagsError>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Source", try_from = "Source")]
pub struct Definitions(Arc<Inner>);

struct Inner {
    source: Source,
    engine: Engine,
    flags: BTreeMap<String, Arc<Definition>>,
    native: BTreeMap<String, FlagConfig>,
    evaluators: Map<String, Value>,
    warnings: Vec<Problem>,
}

/// What definitions are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    file: String,
    generation: Generation,
    text: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lenient: bool,
}

impl From<Definitions> for Source {
    fn from(definitions: Definitions) -> Self {
        definitions.0.source.clone()
    }
}

impl TryFrom<Source> for Definitions {
    type Error = FlagsError;

    fn try_from(source: Source) -> Result<Self, FlagsError> {
        Self::build(source)
    }
}

impl PartialEq for Definitions {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Definitions").field(&self.0.source).finish()
    }
}

/// A flag as flagd defines it.
#[derive(Debug)]
pub(in crate::mechanisms::flags) struct Definition {
    pub(in crate::mechanisms::flags) enabled: bool,
    /// Names and values, in the file's order.
    pub(in crate::mechanisms::flags) variants: Vec<(String, Value)>,
    /// The place of the default variant.
    pub(in crate::mechanisms::flags) default: Option<usize>,
    /// The rule as written; `None` also for `{}`.
    pub(in crate::mechanisms::flags) rule: Option<Value>,
    /// The rule with its references resolved, ready to be evaluated.
    pub(in crate::mechanisms::flags) targeting: Option<Targeting>,
    /// The file's metadata under the flag's own.
    pub(in crate::mechanisms::flags) metadata: BTreeMap<String, Value>,
    pub(in crate::mechanisms::flags) description: String,
    /// The label of the rule of the pipeline that it switches.
    pub(in crate::mechanisms::flags) label: Option<String>,
    pub(in crate::mechanisms::flags) depends_on: Vec<String>,
    pub(in crate::mechanisms::flags) lifecycle: Lifecycle,
}

/// A targeting rule.
#[derive(Debug)]
pub(in crate::mechanisms::flags) enum Targeting {
    Rule {
        logic: Logic,
        /// Whether `fractional` is in it.
        fractional: bool,
    },
    /// One that cannot be evaluated, and why. Only lenient definitions have any.
    Broken(String),
}

impl PartialEq for Definition {
    /// Whether both were written alike; what was compiled follows from that, but for `$evaluators`.
    fn eq(&self, other: &Self) -> bool {
        self.enabled == other.enabled
            && self.variants == other.variants
            && self.default == other.default
            && self.rule == other.rule
            && self.metadata == other.metadata
    }
}

impl Definition {
    /// Whether all its values are true or false.
    pub(in crate::mechanisms::flags) fn is_boolean(&self) -> bool {
        self.variants.iter().all(|(_, value)| value.is_boolean())
    }

    /// Whether the variant at this place means that the flag is on: its value is `true`.
    pub(in crate::mechanisms::flags) fn is_on(&self, variant: Option<usize>) -> bool {
        variant.and_then(|at| self.variants.get(at)).is_some_and(|(_, value)| *value == Value::Bool(true))
    }

    /// Where the variant of this name is.
    pub(in crate::mechanisms::flags) fn variant(&self, name: &str) -> Option<usize> {
        self.variants.iter().position(|(variant, _)| variant == name)
    }

    /// Whether its rule splits by `fractional`.
    pub(in crate::mechanisms::flags) const fn is_split(&self) -> bool {
        matches!(self.targeting, Some(Targeting::Rule { fractional: true, .. }))
    }
}

impl Definitions {
    /// The definitions in `text`, JSON or YAML, with `fractional` of this generation. `file` names the text in messages;
    /// its ending tells the format, where it has one.
    ///
    /// # Errors
    /// [`FlagsError::Definitions`] with every problem and its place.
    pub fn parse(text: &str, file: &str, generation: Generation) -> Result<Self, FlagsError> {
        Self::build(Source { file: file.to_owned(), generation, text: text.to_owned(), lenient: false })
    }

    /// The definitions in `text` as flagd's own evaluators take them: a flag whose targeting cannot be evaluated is kept,
    /// and its evaluation is an error. For finding out what another evaluator would make of a file.
    ///
    /// # Errors
    /// [`FlagsError::Definitions`] for a text that is no document, and for flags without a state or variants.
    pub fn lenient(text: &str, file: &str, generation: Generation) -> Result<Self, FlagsError> {
        Self::build(Source { file: file.to_owned(), generation, text: text.to_owned(), lenient: true })
    }

    fn build(source: Source) -> Result<Self, FlagsError> {
        let engine = operators::engine(source.generation);
        let document =
            Document::read(&source.text, &source.file).map_err(|problem| FlagsError::Definitions(vec![problem]))?;
        let mode = if source.lenient { Mode::Lenient } else { Mode::Strict };
        let (read, findings) = schema::read(&document.value, &engine, mode);
        let mut problems: Vec<Problem> = findings.iter().map(|finding| document.place(finding)).collect();
        problems.sort_by_key(|problem| (problem.severity, problem.line, problem.column));
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            problems.retain(|problem| problem.severity == Severity::Error);
            return Err(FlagsError::Definitions(problems));
        }
        let schema::Read { flags, native, evaluators } = read;
        Ok(Self(Arc::new(Inner { source, engine, flags, native, evaluators, warnings: problems })))
    }

    /// The same definitions with `fractional` of another generation.
    ///
    /// # Errors
    /// None that the definitions did not have before.
    pub fn with_generation(&self, generation: Generation) -> Result<Self, FlagsError> {
        Self::build(Source { generation, ..self.0.source.clone() })
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.0.source.file
    }

    /// Which generation of `fractional` they use.
    pub fn generation(&self) -> Generation {
        self.0.source.generation
    }

    /// The names of all flags, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.0.flags.keys().chain(self.0.native.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.into_iter()
    }

    /// The flags among them that `fractional` splits, sorted.
    pub fn split(&self) -> impl Iterator<Item = &str> {
        self.0.flags.iter().filter(|(_, flag)| flag.is_split()).map(|(name, _)| name.as_str())
    }

    /// What in the file has no effect.
    pub fn warnings(&self) -> &[Problem] {
        &self.0.warnings
    }

    pub(in crate::mechanisms::flags) fn flags(&self) -> &BTreeMap<String, Arc<Definition>> {
        &self.0.flags
    }

    pub(in crate::mechanisms::flags) fn native(&self) -> &BTreeMap<String, FlagConfig> {
        &self.0.native
    }

    pub(in crate::mechanisms::flags) fn evaluators(&self) -> &Map<String, Value> {
        &self.0.evaluators
    }

    pub(in crate::mechanisms::flags) fn engine(&self) -> &Engine {
        &self.0.engine
    }
}
