//! What is wrong in a file of definitions, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::ErrorCode;

/// Whether a problem keeps a file from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file can be used; something in it has no effect.
    Warning,
}

/// What a file must keep to: the name of the rule that a problem breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constraint {
    /// The text is JSON or YAML, and no key is there twice.
    Syntax,
    /// Every key is one that something reads.
    KnownKey,
    /// What must be there is.
    RequiredKey,
    /// A value is of the shape that its key asks for.
    Shape,
    /// All variants of a flag are of one type.
    VariantType,
    /// The default variant is one of the variants.
    DefaultVariant,
    /// What targeting can yield is one of the variants.
    TargetingVariant,
    /// Metadata are texts, numbers and truth values; those that this program reads say something it knows.
    Metadata,
    /// A targeting rule is made of known operations.
    Operation,
    /// An operation has as many arguments as it takes, of the kinds it takes.
    Arguments,
    /// A `$ref` names one of the `$evaluators`.
    Reference,
    /// `$evaluators` do not refer to each other in a circle.
    ReferenceCycle,
    /// The weights of `fractional` are whole numbers, not all 0, and sum to at most 2147483647.
    Weights,
    /// A flag depends on flags that are there and that are on or off.
    Dependency,
    /// Flags do not depend on each other in a circle.
    DependencyCycle,
    /// A percentage is 0 to 100 and a divisor is not 0.
    Rollout,
}

impl Constraint {
    /// As it is written: `variant-type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::KnownKey => "known-key",
            Self::RequiredKey => "required-key",
            Self::Shape => "shape",
            Self::VariantType => "variant-type",
            Self::DefaultVariant => "default-variant",
            Self::TargetingVariant => "targeting-variant",
            Self::Metadata => "metadata",
            Self::Operation => "operation",
            Self::Arguments => "arguments",
            Self::Reference => "reference",
            Self::ReferenceCycle => "reference-cycle",
            Self::Weights => "weights",
            Self::Dependency => "dependency",
            Self::DependencyCycle => "dependency-cycle",
            Self::Rollout => "rollout",
        }
    }

    /// Which kind of fault it is to break it.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Operation | Self::Arguments | Self::Reference | Self::ReferenceCycle | Self::TargetingVariant => {
                ErrorCode::FlagTargeting
            }
            Self::Weights | Self::Rollout => ErrorCode::FlagRollout,
            Self::Dependency => ErrorCode::FlagDependency,
            Self::DependencyCycle => ErrorCode::FlagCycle,
            _ => ErrorCode::Flags,
        }
    }
}

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// What it breaks.
    pub rule: Constraint,
    /// The file's name, as given.
    pub file: String,
    /// From 1; `None` when the place is not known.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// The keys that lead to it, e.g. `flags.new_checkout.targeting.if[0]`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        for position in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{position}")?;
        }
        let colon = if self.path.is_empty() { "" } else { ": " };
        let word = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, ": {word}{}{colon}{} [rule {}]", self.path, self.message, self.rule.name())
    }
}

/// A step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mechanisms::flags) enum Step {
    Key(String),
    Index(usize),
}

/// The steps from the document's root to one of its values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::mechanisms::flags) struct Path(pub(super) Vec<Step>);

impl Path {
    pub(in crate::mechanisms::flags) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    pub(super) fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => write!(f, "{}{key}", if place == 0 { "" } else { "." })?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A problem before its place in the text is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mechanisms::flags) struct Finding {
    pub(super) severity: Severity,
    pub(super) rule: Constraint,
    pub(super) path: Path,
    pub(super) message: String,
}

impl Finding {
    pub(in crate::mechanisms::flags) fn error(rule: Constraint, path: Path, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, rule, path, message: message.into() }
    }

    pub(super) fn warning(rule: Constraint, path: Path, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, rule, path, message: message.into() }
    }
}
