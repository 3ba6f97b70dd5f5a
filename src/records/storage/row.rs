//! A result as a repository keeps it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::classification::Classifier;
use crate::domain::time::nanos;
use crate::domain::{ErrorCode, Evaluation, Outcome, RuleSet, Source, Timestamp};
use crate::records::specification::{Candidate, Datum, results::ResultField};

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedRule {
    /// Its name.
    pub rule_name: String,
    /// Its divisor.
    pub rule_divisor: i64,
    /// Its label.
    pub rule_label: String,
    /// Its priority.
    pub rule_priority: i32,
}

/// A finished evaluation, whole and readable by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredResult {
    /// Its name for ever, a UUID.
    pub id: String,
    /// What was asked.
    pub number: i64,
    /// What was answered; `None` where there was no answer.
    pub output: Option<String>,
    /// The rules that the answer says matched.
    pub matched_rules: Vec<MatchedRule>,
    /// How long it took, nanoseconds.
    pub processing_time_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Its class, where the outcome is ok.
    pub class: Option<String>,
    /// Why it did not end well.
    pub error: Option<ErrorCode>,
    /// Whether the answer was right.
    pub correct: bool,
    /// Who answered.
    pub source: Source,
    /// Its place in its session, from 0.
    pub sequence: u64,
    /// When it finished, by its session's clock.
    pub at: Timestamp,
    /// Injected faults that touched it, a bit each.
    pub faults: u8,
    /// How often it was tried; 0 where nothing is tried again.
    pub attempts: u32,
    /// The session's id.
    pub session_id: Arc<str>,
    /// The strategy's lowest confidence, where it has one.
    pub confidence: Option<f64>,
}

impl Default for StoredResult {
    fn default() -> Self {
        Self {
            id: String::new(),
            number: 0,
            output: None,
            matched_rules: Vec::new(),
            processing_time_ns: 0,
            outcome: Outcome::Ok,
            class: None,
            error: None,
            correct: false,
            source: Source::None,
            sequence: 0,
            at: Timestamp::EPOCH,
            faults: 0,
            attempts: 0,
            session_id: Arc::from(""),
            confidence: None,
        }
    }
}

/// Makes results of a session's evaluations.
#[derive(Debug, Clone)]
pub struct Shaper {
    session_id: Arc<str>,
    seed: u64,
    rules: Arc<RuleSet>,
    classifier: Classifier,
}

impl Shaper {
    /// For the session with this id, seed and rules.
    pub fn new(session_id: &str, seed: u64, rules: Arc<RuleSet>) -> Self {
        Self { session_id: session_id.into(), seed, classifier: Classifier::new(&rules), rules }
    }

    /// The result of an evaluation that finished then.
    pub fn shape(&self, at: Timestamp, evaluation: &Evaluation) -> StoredResult {
        let ok = evaluation.outcome == Outcome::Ok;
        let matched = self.rules.named(evaluation.matched).map(|rule| MatchedRule {
            rule_name: rule.name.clone(),
            rule_divisor: rule.divisor,
            rule_label: rule.label.clone(),
            rule_priority: rule.priority,
        });
        StoredResult {
            id: evaluation.id(self.seed).to_string(),
            number: evaluation.number,
            output: ok.then(|| evaluation.output.text(evaluation.number, &self.rules).into_owned()),
            matched_rules: matched.collect(),
            processing_time_ns: nanos(evaluation.duration),
            outcome: evaluation.outcome,
            class: ok.then(|| self.classifier.classify(evaluation.matched).name().to_owned()),
            error: evaluation.error,
            correct: evaluation.correct,
            source: evaluation.source,
            sequence: evaluation.sequence,
            at,
            faults: evaluation.faults,
            attempts: evaluation.attempts,
            session_id: Arc::clone(&self.session_id),
            confidence: evaluation.confidence.map(f64::from),
        }
    }
}

/// 63 bits: what SQLite's integers hold.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Candidate for StoredResult {
    fn field(&self, place: usize) -> Datum<'_> {
        let text = |text: &'static str| Datum::Text(Cow::Borrowed(text));
        match ResultField::ALL.get(place) {
            Some(ResultField::Number) => Datum::Integer(self.number),
            Some(ResultField::Output) => self.output.as_deref().map_or(Datum::Null, |text| Datum::Text(text.into())),
            Some(ResultField::Outcome) => text(self.outcome.name()),
            Some(ResultField::Class) => self.class.as_deref().map_or(Datum::Null, |text| Datum::Text(text.into())),
            Some(ResultField::Error) => self.error.map_or(Datum::Null, |error| text(error.code())),
            Some(ResultField::Correct) => Datum::Bool(self.correct),
            Some(ResultField::Source) => text(self.source.name()),
            Some(ResultField::Sequence) => Datum::Integer(integer(self.sequence)),
            Some(ResultField::Duration) => Datum::Integer(integer(self.processing_time_ns)),
            Some(ResultField::At) => Datum::Integer(integer(self.at.as_nanos())),
            Some(ResultField::Faults) => Datum::Integer(self.faults.into()),
            Some(ResultField::Attempts) => Datum::Integer(self.attempts.into()),
            Some(ResultField::Session) => Datum::Text(Cow::Borrowed(&self.session_id)),
            Some(ResultField::Confidence) => self.confidence.map_or(Datum::Null, Datum::Real),
            None => Datum::Null,
        }
    }
}
