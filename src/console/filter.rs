//! Filters over the evaluations that a screen lists: the language of `fizzops journal query`, on what a frame tells.

use std::borrow::Cow;

use crate::domain::Outcome;
use crate::engine::Snapshot;
use crate::engine::tally::Recent;
use crate::records::specification::{Candidate, Datum, Filter, Schema, results};

/// What a frame tells of an evaluation; the journal knows more.
static SCHEMA: Schema = Schema {
    fields: &[
        results::SCHEMA.fields[results::ResultField::Number as usize],
        results::SCHEMA.fields[results::ResultField::Output as usize],
        results::SCHEMA.fields[results::ResultField::Outcome as usize],
        results::SCHEMA.fields[results::ResultField::Error as usize],
        results::SCHEMA.fields[results::ResultField::Correct as usize],
        results::SCHEMA.fields[results::ResultField::Source as usize],
        results::SCHEMA.fields[results::ResultField::Sequence as usize],
        results::SCHEMA.fields[results::ResultField::Duration as usize],
        results::SCHEMA.fields[results::ResultField::At as usize],
        results::SCHEMA.fields[results::ResultField::Faults as usize],
        results::SCHEMA.fields[results::ResultField::Attempts as usize],
    ],
};

/// A filter, with the text that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// As it was typed.
    pub text: String,
    filter: Filter,
}

impl Chosen {
    /// The filter that a text writes; the error names the place with a caret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let filter = Filter::parse(text, &SCHEMA).map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), filter })
    }
}

impl Candidate for Recent {
    fn field(&self, place: usize) -> Datum<'_> {
        let whole = |value: u64| Datum::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        let text = |text: &'static str| Datum::Text(Cow::Borrowed(text));
        match SCHEMA.fields.get(place).map_or("", |field| field.name) {
            "number" => Datum::Integer(self.number),
            "output" if self.outcome == Outcome::Ok => Datum::Text(Cow::Borrowed(&self.output)),
            "outcome" => text(self.outcome.name()),
            "error" => self.error.map_or(Datum::Null, |error| text(error.code())),
            "correct" => Datum::Bool(self.correct),
            "source" => text(self.source.name()),
            "sequence" => whole(self.sequence),
            "duration" => whole(self.duration_ns),
            "at" => whole(self.at.as_nanos()),
            "faults" => Datum::Integer(self.faults.into()),
            "attempts" => Datum::Integer(self.attempts.into()),
            _ => Datum::Null,
        }
    }
}

/// The evaluations of a frame that a filter accepts, newest first.
pub fn evaluations<'a>(snapshot: &'a Snapshot, filter: Option<&'a Chosen>) -> impl Iterator<Item = &'a Recent> {
    let accepted = move |one: &&Recent| filter.is_none_or(|chosen| chosen.filter.matches(*one));
    snapshot.recent.iter().rev().filter(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ErrorCode, Source, Timestamp};

    #[test]
    fn a_frames_evaluations_are_filtered_as_the_journals_are() {
        let failed = Recent {
            at: Timestamp::EPOCH,
            sequence: 3,
            number: 15,
            output: "failed".into(),
            outcome: Outcome::Failed,
            error: Some(ErrorCode::ChaosInduced),
            correct: false,
            source: Source::None,
            duration_ns: 7_000_000,
            faults: 2,
            attempts: 1,
        };
        for (text, accepted) in [
            ("number > 10 and outcome != ok", true),
            ("output is null and error = 'EFP-CH01'", true),
            ("duration > 5ms and faults > 0 and attempts = 1 and sequence = 3", true),
            ("correct or source = cache", false),
        ] {
            assert_eq!(Chosen::parse(text).unwrap().filter.matches(&failed), accepted, "{text}");
        }
        let error = Chosen::parse("number > 10 and clas = fizz").unwrap_err();
        assert!(error.contains("^^^^"), "{error}");
        assert!(Chosen::parse("session = 'x'").is_err(), "a frame does not tell");
    }
}
