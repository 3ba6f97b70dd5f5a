//! What a record holds: sessions, evaluations in about ten bytes each, and events of other streams. Numbers within a block
//! of evaluations are differences to the evaluation before, so a block is read from its beginning.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bytes::{Cursor, Undecodable, put, put_signed, put_text};
use crate::domain::classification::Classifier;
use crate::domain::time::nanos;
use crate::domain::{ErrorCode, Evaluation, Outcome, Output, ResultId, Rule, RuleMask, RuleSet, Source, Timestamp};

/// A session, as its evaluations need it to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, a UUID.
    pub id: String,
    /// Its seed; the names of its results follow from it.
    pub seed: u64,
    /// When it began, by its own clock.
    pub began: Timestamp,
    /// Its rules.
    pub rules: Arc<RuleSet>,
}

#[derive(Serialize, Deserialize)]
struct SessionForm {
    id: String,
    seed: u64,
    began: Timestamp,
    rules: Vec<Rule>,
}

impl Session {
    /// The class of an answer in it.
    pub fn classifier(&self) -> Classifier {
        Classifier::new(&self.rules)
    }

    /// The name of a result.
    pub const fn result_id(&self, sequence: u64) -> ResultId {
        ResultId::new(self.seed, sequence)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let rules = self.rules.rules().to_vec();
        let form = SessionForm { id: self.id.clone(), seed: self.seed, began: self.began, rules };
        // Plain data; writing it to memory cannot fail.
        put_text(out, &serde_json::to_string(&form).unwrap_or_default());
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Undecodable> {
        let form: SessionForm =
            serde_json::from_str(cursor.text()?).map_err(|_| Undecodable("a session is not described"))?;
        let rules = RuleSet::new(form.rules).map_err(|_| Undecodable("a session has impossible rules"))?;
        Ok(Self { id: form.id, seed: form.seed, began: form.began, rules: Arc::new(rules) })
    }
}

/// An event of another stream than the evaluations', as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the whole journal, from 1.
    pub version: u64,
    /// Its stream.
    pub stream: String,
    /// Its number in the stream, from 1.
    pub position: u64,
    /// Its name for ever.
    pub id: uuid::Uuid,
    /// Its type, e.g. `CIRCUIT_BREAKER_TRIPPED`.
    pub kind: String,
    /// The version of its type's form.
    pub form: u16,
    /// When it happened.
    pub at: Timestamp,
    /// What it tells, a JSON value.
    pub data: String,
}

pub(super) const SESSION: u8 = 1;
pub(super) const EVALUATIONS: u8 = 2;
pub(super) const EVENT: u8 = 3;

/// The form of a block of evaluations that is written; those before it are read too.
const EVALUATIONS_FORM: u8 = 1;

impl StoredEvent {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_text(out, &self.stream);
        put(out, self.position);
        out.extend_from_slice(&self.id.as_u128().to_le_bytes());
        put_text(out, &self.kind);
        put(out, self.form.into());
        put(out, self.at.as_nanos());
        put_text(out, &self.data);
    }

    pub(super) fn read(cursor: &mut Cursor<'_>, version: u64) -> Result<Self, Undecodable> {
        Ok(Self {
            version,
            stream: cursor.text()?.to_owned(),
            position: cursor.number()?,
            id: uuid::Uuid::from_u128(cursor.u128()?),
            kind: cursor.text()?.to_owned(),
            form: u16::try_from(cursor.number()?).map_err(|_| Undecodable("a form is no version"))?,
            at: Timestamp::from_nanos(cursor.number()?),
            data: cursor.text()?.to_owned(),
        })
    }
}

/// Appends a block: its kind, its length, its content.
pub(super) fn put_block(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    put(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// The next block's kind and content.
pub(super) fn next_block<'a>(cursor: &mut Cursor<'a>) -> Result<(u8, &'a [u8]), Undecodable> {
    let kind = cursor.byte()?;
    let length = cursor.length()?;
    Ok((kind, cursor.take(length)?))
}

// The first byte of an evaluation: outcome (3 bits), source (2), right (1), how the output is told (2).
const OF_MATCHES: u8 = 0;
const DECIMAL: u8 = 1;
const LABELS: u8 = 2;
const TEXT: u8 = 3;
// The second byte: what else is told.
const HAS_ERROR: u8 = 1;
const HAS_RETRY_AFTER: u8 = 2;
const HAS_CONFIDENCE: u8 = 4;
const HAS_FAULTS: u8 = 8;
const HAS_ATTEMPTS: u8 = 16;
const OUT_OF_ORDER: u8 = 32;

/// A place in the table of texts that stands for "told here".
const INLINE: u64 = 0;
const TEXTS: usize = 255;

/// Evaluations of one session, being put into a block.
#[derive(Debug, Default)]
pub(super) struct EvaluationBlock {
    session: u64,
    count: u64,
    began: u64,
    at: u64,
    number: i64,
    sequence: u64,
    texts: Vec<Arc<str>>,
    body: Vec<u8>,
}

impl EvaluationBlock {
    pub fn new(session: u64, at: Timestamp) -> Self {
        Self { session, began: at.as_nanos(), at: at.as_nanos(), ..Self::default() }
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    pub const fn session(&self) -> u64 {
        self.session
    }

    fn text(&mut self, text: &str) {
        // A session shows few texts, so a list is the quickest table. Place 0 means that the text follows.
        let known = self.texts.iter().position(|known| **known == *text);
        let place = known.or_else(|| {
            (self.texts.len() < TEXTS).then(|| {
                self.texts.push(text.into());
                self.texts.len() - 1
            })
        });
        put(&mut self.body, place.map_or(INLINE, |place| place as u64 + 1));
        if place.is_none() {
            put_text(&mut self.body, text);
        }
    }

    #[inline]
    pub fn push(&mut self, at: Timestamp, evaluation: &Evaluation) {
        let output = match &evaluation.output {
            output if *output == Output::of(evaluation.matched) => OF_MATCHES,
            Output::Decimal => DECIMAL,
            Output::Labels(_) => LABELS,
            Output::Text(_) => TEXT,
        };
        let source = match evaluation.source {
            Source::None => 0,
            Source::Strategy => 1,
            Source::Cache => 2,
        };
        let first = evaluation.outcome as u8 | source << 3 | u8::from(evaluation.correct) << 5 | output << 6;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let in_order = self.count > 0 && evaluation.sequence == self.sequence.wrapping_add(1);
        let second = flag(evaluation.error.is_some(), HAS_ERROR)
            | flag(evaluation.retry_after.is_some(), HAS_RETRY_AFTER)
            | flag(evaluation.confidence.is_some(), HAS_CONFIDENCE)
            | flag(evaluation.faults != 0, HAS_FAULTS)
            | flag(evaluation.attempts != 0, HAS_ATTEMPTS)
            | flag(!in_order, OUT_OF_ORDER);
        self.body.push(first);
        self.body.push(second);
        put_signed(&mut self.body, (at.as_nanos() as i64).wrapping_sub(self.at as i64));
        put_signed(&mut self.body, evaluation.number.wrapping_sub(self.number));
        put(&mut self.body, evaluation.matched.0);
        put(&mut self.body, nanos(evaluation.duration));
        if !in_order {
            put_signed(&mut self.body, evaluation.sequence.wrapping_sub(self.sequence) as i64);
        }
        match &evaluation.output {
            Output::Labels(mask) if output == LABELS => put(&mut self.body, mask.0),
            Output::Text(text) => {
                let text = Arc::clone(text);
                self.text(&text);
            }
            _ => {}
        }
        if let Some(error) = evaluation.error {
            self.text(error.code());
        }
        if let Some(after) = evaluation.retry_after {
            put(&mut self.body, nanos(after));
        }
        if let Some(confidence) = evaluation.confidence {
            self.body.extend_from_slice(&confidence.to_le_bytes());
        }
        if evaluation.faults != 0 {
            self.body.push(evaluation.faults);
        }
        if evaluation.attempts != 0 {
            put(&mut self.body, evaluation.attempts.into());
        }
        (self.at, self.number, self.sequence) = (at.as_nanos(), evaluation.number, evaluation.sequence);
        self.count += 1;
    }

    /// Writes the block to `out`.
    pub fn finish(&self, out: &mut Vec<u8>) {
        let mut content = Vec::with_capacity(self.body.len() + 64);
        content.push(EVALUATIONS_FORM);
        put(&mut content, self.session);
        put(&mut content, self.count);
        put(&mut content, self.began);
        put(&mut content, self.texts.len() as u64);
        for text in &self.texts {
            put_text(&mut content, text);
        }
        content.extend_from_slice(&self.body);
        put_block(out, EVALUATIONS, &content);
    }
}

/// A block of evaluations, being read.
#[derive(Debug)]
pub(super) struct EvaluationReader<'a> {
    /// The session's place in its segment.
    pub session: usize,
    left: u64,
    at: u64,
    number: i64,
    sequence: u64,
    texts: Vec<Arc<str>>,
    body: Cursor<'a>,
}

impl<'a> EvaluationReader<'a> {
    pub fn new(content: &'a [u8]) -> Result<Self, Undecodable> {
        let mut cursor = Cursor::new(content);
        // An older form is brought up to this one here, when there is one.
        if cursor.byte()? != EVALUATIONS_FORM {
            return Err(Undecodable("a block of evaluations has an unknown form"));
        }
        let session = usize::try_from(cursor.number()?).map_err(|_| Undecodable("a session's place is too large"))?;
        let (left, at) = (cursor.number()?, cursor.number()?);
        let mut texts = Vec::new();
        for _ in 0..cursor.length()? {
            texts.push(cursor.text()?.into());
        }
        Ok(Self { session, left, at, number: 0, sequence: 0, texts, body: cursor })
    }

    fn text(&mut self) -> Result<Arc<str>, Undecodable> {
        match self.body.number()? {
            INLINE => Ok(self.body.text()?.into()),
            place => {
                let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
                self.texts.get(place).map(Arc::clone).ok_or(Undecodable("a text is not in its table"))
            }
        }
    }

    /// The next evaluation, with when it finished; `None` after the last.
    #[inline]
    pub fn next(&mut self) -> Result<Option<(Timestamp, Evaluation)>, Undecodable> {
        if self.left == 0 {
            return if self.body.is_empty() { Ok(None) } else { Err(Undecodable("a block is longer than it says")) };
        }
        self.left -= 1;
        let (first, second) = (self.body.byte()?, self.body.byte()?);
        self.at = (self.at as i64).wrapping_add(self.body.signed()?) as u64;
        self.number = self.number.wrapping_add(self.body.signed()?);
        let matched = RuleMask(self.body.number()?);
        let duration = Duration::from_nanos(self.body.number()?);
        self.sequence = if second & OUT_OF_ORDER == 0 {
            self.sequence.wrapping_add(1)
        } else {
            self.sequence.wrapping_add(self.body.signed()? as u64)
        };
        let outcome = Outcome::ALL.get(usize::from(first & 7)).copied().ok_or(Undecodable("an outcome is unknown"))?;
        let source = match first >> 3 & 3 {
            0 => Source::None,
            1 => Source::Strategy,
            2 => Source::Cache,
            _ => return Err(Undecodable("a source is unknown")),
        };
        let output = match first >> 6 {
            OF_MATCHES => Output::of(matched),
            DECIMAL => Output::Decimal,
            LABELS => Output::Labels(RuleMask(self.body.number()?)),
            _ => Output::Text(self.text()?),
        };
        let has = |bit: u8| second & bit != 0;
        let error = if has(HAS_ERROR) {
            let code: ErrorCode = self.text()?.parse().map_err(|_| Undecodable("an error code is unknown"))?;
            Some(code)
        } else {
            None
        };
        let retry_after = if has(HAS_RETRY_AFTER) { Some(Duration::from_nanos(self.body.number()?)) } else { None };
        let confidence = if has(HAS_CONFIDENCE) { Some(f32::from_bits(self.body.u32()?)) } else { None };
        let faults = if has(HAS_FAULTS) { self.body.byte()? } else { 0 };
        let attempts = if has(HAS_ATTEMPTS) {
            u32::try_from(self.body.number()?).map_err(|_| Undecodable("a count of attempts is too large"))?
        } else {
            0
        };
        let evaluation = Evaluation {
            sequence: self.sequence,
            number: self.number,
            outcome,
            error,
            output,
            matched,
            correct: first & 32 != 0,
            source,
            duration,
            retry_after,
            confidence,
            faults,
            attempts,
        };
        Ok(Some((Timestamp::from_nanos(self.at), evaluation)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any evaluation, with when it finished.
    pub(crate) fn evaluations() -> impl Strategy<Value = (Timestamp, Evaluation)> {
        let output = prop_oneof![
            4 => Just(None),
            1 => Just(Some(Output::Decimal)),
            1 => any::<u64>().prop_map(|mask| Some(Output::Labels(RuleMask(mask)))),
            1 => "[a-zé]{0,6}".prop_map(|text| Some(Output::Text(text.into()))),
        ];
        let ends = (0usize..6, 0u8..3, any::<bool>(), prop::option::of(0..ErrorCode::ALL.len()));
        let extras = (prop::option::of(any::<u64>()), prop::option::of(0f32..1.0), any::<u8>(), any::<u32>());
        (any::<(u64, u64, i64, u64, u64)>(), output, ends, extras).prop_map(
            |((at, sequence, number, matched, duration), output, (outcome, source, correct, error), extras)| {
                let matched = RuleMask(matched);
                let evaluation = Evaluation {
                    sequence,
                    number,
                    outcome: Outcome::ALL[outcome],
                    error: error.map(|error| ErrorCode::ALL[error]),
                    output: output.unwrap_or(Output::of(matched)),
                    matched,
                    correct,
                    source: [Source::None, Source::Strategy, Source::Cache][usize::from(source)],
                    duration: Duration::from_nanos(duration),
                    retry_after: extras.0.map(Duration::from_nanos),
                    confidence: extras.1,
                    faults: extras.2,
                    attempts: extras.3,
                };
                (Timestamp::from_nanos(at), evaluation)
            },
        )
    }

    fn read(content: &[u8]) -> Result<Vec<(Timestamp, Evaluation)>, Undecodable> {
        let mut reader = EvaluationReader::new(content)?;
        let mut all = Vec::new();
        while let Some(next) = reader.next()? {
            all.push(next);
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn evaluations_come_back_as_they_were(all in prop::collection::vec(evaluations(), 1..300)) {
            let mut block = EvaluationBlock::new(3, all[0].0);
            for (at, evaluation) in &all {
                block.push(*at, evaluation);
            }
            let mut bytes = Vec::new();
            block.finish(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            let (kind, content) = next_block(&mut cursor).unwrap();
            prop_assert_eq!(kind, EVALUATIONS);
            prop_assert_eq!(read(content).unwrap(), all);
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            bytes.insert(0, EVALUATIONS_FORM);
            let _ = read(&bytes);
            let _ = Session::read(&mut Cursor::new(&bytes));
            let _ = StoredEvent::read(&mut Cursor::new(&bytes), 1);
        }
    }

    #[test]
    fn a_plain_evaluation_takes_about_ten_bytes() {
        let rules = RuleSet::classic();
        let mut block = EvaluationBlock::new(0, Timestamp::from_millis(1_767_225_600_000));
        for sequence in 0..1_000u64 {
            // Zipf-like numbers, half a microsecond apart.
            let number = (sequence * 7_919 % 10_000) as i64;
            let evaluation = Evaluation::computed(sequence, number, &rules, Duration::from_nanos(400 + sequence % 90));
            block.push(Timestamp::from_nanos(1_767_225_600_000_000_000 + sequence * 520), &evaluation);
        }
        let mut bytes = Vec::new();
        block.finish(&mut bytes);
        let each = bytes.len() as f64 / 1_000.0;
        assert!((8.0..12.0).contains(&each), "{each} bytes");
    }
}
