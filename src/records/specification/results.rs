//! The fields of finished evaluations.

use super::{Field, Schema, Type};

/// The places of the fields in [`SCHEMA`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of its name")]
#[repr(usize)]
pub enum ResultField {
    Number,
    Output,
    Outcome,
    Class,
    Error,
    Correct,
    Source,
    Sequence,
    Duration,
    At,
    Faults,
    Attempts,
    Session,
    Confidence,
}

impl ResultField {
    /// All of them, in their places.
    pub const ALL: [Self; 14] = [
        Self::Number,
        Self::Output,
        Self::Outcome,
        Self::Class,
        Self::Error,
        Self::Correct,
        Self::Source,
        Self::Sequence,
        Self::Duration,
        Self::At,
        Self::Faults,
        Self::Attempts,
        Self::Session,
        Self::Confidence,
    ];
}

const OUTCOMES: &[&str] = &["ok", "denied", "rejected", "failed", "timed_out", "invalid"];
const CLASSES: &[&str] = &["fizz", "buzz", "fizzbuzz", "plain"];
const SOURCES: &[&str] = &["none", "strategy", "cache"];

const fn field(name: &'static str, column: &'static str, kind: Type) -> Field {
    Field { name, column, kind, nullable: false }
}

const fn nullable(name: &'static str, column: &'static str, kind: Type) -> Field {
    Field { name, column, kind, nullable: true }
}

/// What a filter over evaluations may name. `output` and `class` have a value where the outcome is ok, `error` where it
/// is not, `confidence` where the strategy has one.
pub static SCHEMA: Schema = Schema {
    fields: &[
        field("number", "number", Type::Integer),
        nullable("output", "output", Type::Text),
        field("outcome", "outcome", Type::Choice(OUTCOMES)),
        nullable("class", "class", Type::Choice(CLASSES)),
        nullable("error", "error", Type::Text),
        field("correct", "correct", Type::Bool),
        field("source", "source", Type::Choice(SOURCES)),
        field("sequence", "sequence", Type::Integer),
        field("duration", "processing_time_ns", Type::Span),
        field("at", "at_ns", Type::Time),
        field("faults", "faults", Type::Integer),
        field("attempts", "attempts", Type::Integer),
        field("session", "session_id", Type::Text),
        nullable("confidence", "confidence", Type::Real),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Classification, Outcome, Source};

    #[test]
    fn the_choices_are_the_domains() {
        assert!(Outcome::ALL.map(Outcome::name).iter().eq(OUTCOMES));
        assert!(Classification::ALL.map(Classification::name).iter().eq(CLASSES));
        assert!([Source::None, Source::Strategy, Source::Cache].map(Source::name).iter().eq(SOURCES));
        assert_eq!(SCHEMA.fields.len(), ResultField::ALL.len());
        assert_eq!(SCHEMA.fields[ResultField::Session as usize].name, "session");
        assert_eq!(SCHEMA.fields[ResultField::Duration as usize].name, "duration");
    }
}
