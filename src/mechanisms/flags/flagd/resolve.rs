//! Evaluates a flag: its variant for a context, and why.

use std::collections::BTreeMap;
use std::fmt;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::{DataValue, Engine};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::Timestamp;

use super::super::reason::Reason;
use super::definitions::{Definition, Definitions, Targeting};

/// A kind of failure, as OpenFeature names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureKind {
    /// There is no such flag.
    FlagNotFound,
    /// Targeting cannot be evaluated.
    ParseError,
    /// The value is of another type than was asked for.
    TypeMismatch,
    /// Targeting yields what is no variant.
    General,
}

impl FailureKind {
    /// As OpenFeature writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::ParseError => "PARSE_ERROR",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::General => "GENERAL",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Of which kind.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
}

/// What a flag is for a context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolution {
    /// `None` where the caller's own default holds.
    pub value: Option<Value>,
    /// The variant's name.
    pub variant: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Why not, with reason `ERROR`.
    pub error: Option<Failure>,
    /// The flag's metadata, those of its file included.
    pub metadata: BTreeMap<String, Value>,
}

/// What variants are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantType {
    /// True or false.
    Boolean,
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// An object.
    Object,
}

impl VariantType {
    /// Whether `value` is one.
    pub fn holds(self, value: &Value) -> bool {
        match self {
            Self::Boolean => value.is_boolean(),
            Self::String => value.is_string(),
            Self::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::Float => value.is_number(),
            Self::Object => value.is_object(),
        }
    }
}

impl Resolution {
    pub(in crate::mechanisms::flags) fn failed(
        kind: FailureKind,
        message: String,
        metadata: BTreeMap<String, Value>,
    ) -> Self {
        let error = Some(Failure { kind, message });
        Self { value: None, variant: None, reason: Reason::Error, error, metadata }
    }

    /// The same, or a failure when the value is of another type than `wanted`.
    #[must_use]
    pub fn typed(self, wanted: VariantType) -> Self {
        match &self.value {
            Some(value) if !wanted.holds(value) => {
                let message = format!("{value} is not of the type that was asked for");
                Self::failed(FailureKind::TypeMismatch, message, self.metadata)
            }
            _ => self,
        }
    }
}

/// The place of a variant, and why that one; no allocation unless it failed.
#[derive(Debug)]
pub(in crate::mechanisms::flags) struct Decision {
    pub variant: Option<usize>,
    pub reason: Reason,
    pub failure: Option<Failure>,
}

impl Decision {
    const fn of(variant: Option<usize>, reason: Reason) -> Self {
        Self { variant, reason, failure: None }
    }

    const fn failed(kind: FailureKind, message: String) -> Self {
        Self { variant: None, reason: Reason::Error, failure: Some(Failure { kind, message }) }
    }
}

impl Definition {
    /// Its variant for a context, which is made only if there is something to be decided. Whether the flag is enabled is
    /// for the caller to look at.
    pub(in crate::mechanisms::flags) fn decide<'a>(
        &self,
        engine: &Engine,
        arena: &'a Bump,
        context: impl FnOnce() -> DataValue<'a>,
    ) -> Decision {
        let logic = match &self.targeting {
            None if self.default.is_none() => return Decision::of(None, Reason::Default),
            None => return Decision::of(self.default, Reason::Static),
            Some(Targeting::Broken(message)) => return Decision::failed(FailureKind::ParseError, message.clone()),
            Some(Targeting::Rule { logic, .. }) => logic,
        };
        match engine.evaluate(logic, context(), arena) {
            Ok(value) => self.chosen(value),
            Err(error) => Decision::failed(FailureKind::ParseError, error.to_string()),
        }
    }

    /// The variant that targeting named: by text, or by a truth value or number in the place of one.
    fn chosen(&self, value: &DataValue<'_>) -> Decision {
        let found = match value {
            DataValue::Null => return Decision::of(self.default, Reason::Default),
            DataValue::String(name) => self.variant(name),
            DataValue::Bool(value) => self.variant(if *value { "true" } else { "false" }),
            DataValue::Number(number) => self.variant(&number.to_string()),
            _ => None,
        };
        match found {
            Some(at) => Decision::of(Some(at), Reason::TargetingMatch),
            None => {
                let message = format!("targeting yields {}, which is no variant", value.to_serde_value());
                Decision::failed(FailureKind::General, message)
            }
        }
    }

    fn resolution(&self, decision: Decision) -> Resolution {
        let variant = decision.variant.and_then(|at| self.variants.get(at));
        Resolution {
            value: variant.map(|(_, value)| value.clone()),
            variant: variant.map(|(name, _)| name.clone()),
            reason: decision.reason,
            error: decision.failure,
            metadata: self.metadata.clone(),
        }
    }
}

/// A context as rules see it: with `$flagd.flagKey` and `$flagd.timestamp` (seconds since 1970).
pub(super) fn enriched(context: &Map<String, Value>, flag: &str, now: Timestamp) -> Value {
    let mut context = context.clone();
    let own = serde_json::json!({"flagKey": flag, "timestamp": now.as_secs()});
    context.insert("$flagd".into(), own);
    Value::Object(context)
}

impl Definitions {
    /// What the flagd flag `flag` is for `context`. Dependencies and flags of the reference's kinds are a
    /// [`FlagSet`](crate::mechanisms::flags::FlagSet)'s.
    pub fn resolve(&self, flag: &str, context: &Map<String, Value>, now: Timestamp) -> Resolution {
        let Some(definition) = self.flags().get(flag) else {
            let message = format!("{} defines no flag `{flag}`", self.file());
            return Resolution::failed(FailureKind::FlagNotFound, message, BTreeMap::new());
        };
        let arena = Bump::new();
        let context = || DataValue::from_serde_value_in(&enriched(context, flag, now), &arena);
        if !definition.enabled {
            return definition.resolution(Decision::of(None, Reason::Disabled));
        }
        definition.resolution(definition.decide(self.engine(), &arena, context))
    }
}
