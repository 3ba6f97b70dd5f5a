//! An evaluation of the journal, as filters and tables ask about it. Texts are made only when they are asked for.

use std::borrow::Cow;

use super::log::{Session, StoredEvent};
use crate::domain::time::nanos;
use crate::domain::{Evaluation, Kind, Outcome, Timestamp};
use crate::records::specification::{Candidate, Datum, events::EventField, results::ResultField};

/// One evaluation of the journal.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationRow<'a> {
    /// When it finished.
    pub at: Timestamp,
    /// Its session.
    pub session: &'a Session,
    /// What it is.
    pub evaluation: &'a Evaluation,
}

fn integer(value: u64) -> Datum<'static> {
    Datum::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Candidate for EvaluationRow<'_> {
    fn field(&self, place: usize) -> Datum<'_> {
        let Self { at, session, evaluation } = *self;
        let text = |text: &'static str| Datum::Text(Cow::Borrowed(text));
        let ok = evaluation.outcome == Outcome::Ok;
        match ResultField::ALL.get(place) {
            Some(ResultField::Number) => Datum::Integer(evaluation.number),
            Some(ResultField::Output) if ok => Datum::Text(evaluation.output.text(evaluation.number, &session.rules)),
            Some(ResultField::Outcome) => text(evaluation.outcome.name()),
            Some(ResultField::Class) if ok => text(session.classifier().classify(evaluation.matched).name()),
            Some(ResultField::Error) => evaluation.error.map_or(Datum::Null, |error| text(error.code())),
            Some(ResultField::Correct) => Datum::Bool(evaluation.correct),
            Some(ResultField::Source) => text(evaluation.source.name()),
            Some(ResultField::Sequence) => integer(evaluation.sequence),
            Some(ResultField::Duration) => integer(nanos(evaluation.duration)),
            Some(ResultField::At) => integer(at.as_nanos()),
            Some(ResultField::Faults) => Datum::Integer(evaluation.faults.into()),
            Some(ResultField::Attempts) => Datum::Integer(evaluation.attempts.into()),
            Some(ResultField::Session) => Datum::Text(Cow::Borrowed(&session.id)),
            Some(ResultField::Confidence) => {
                evaluation.confidence.map_or(Datum::Null, |confidence| Datum::Real(confidence.into()))
            }
            Some(ResultField::Output | ResultField::Class) | None => Datum::Null,
        }
    }
}

impl Candidate for StoredEvent {
    fn field(&self, place: usize) -> Datum<'_> {
        let text = |text| Datum::Text(Cow::Borrowed(text));
        match EventField::ALL.get(place) {
            Some(EventField::Type) => text(&self.kind),
            Some(EventField::Group) => self.kind.parse::<Kind>().map_or(Datum::Null, |kind| text(kind.group())),
            Some(EventField::Stream) => text(&self.stream),
            Some(EventField::Event) => integer(self.version),
            Some(EventField::Position) => integer(self.position),
            Some(EventField::At) => integer(self.at.as_nanos()),
            Some(EventField::Data) => text(&self.data),
            None => Datum::Null,
        }
    }
}
