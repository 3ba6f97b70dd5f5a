//! What a leaf of the ledger's tree says, and its canonical bytes: numbers with the most significant byte first, texts
//! after their length. An entry has one encoding, and what is not that encoding is no entry.

use std::time::Duration;

use serde::Serialize;

use crate::domain::time::nanos;
use crate::domain::{ErrorCode, Evaluation, Outcome, Output, RuleMask, Source, Timestamp};
use crate::records::ledger::hash::Hash;

/// The longest entry: tiles write the length in two bytes.
const ENTRY_LIMIT: usize = 65_535;
// Four texts with their lengths, the kind and the time.
const _: () = assert!(BATCH_BYTES + ROW + 8 + 4 + TEXT_LIMIT <= ENTRY_LIMIT && 9 + 4 * (4 + TEXT_LIMIT) <= ENTRY_LIMIT);
/// The most evaluations in an entry.
pub const BATCH_LIMIT: usize = 2_048;
/// An entry of evaluations is closed when it has so many bytes, however few evaluations they are.
pub const BATCH_BYTES: usize = 40_000;
/// The bytes of an evaluation beside its texts.
const ROW: usize = 54;
/// The bytes before the first one: what it is, when, how many.
const BATCH_HEAD: usize = 13;
/// What stands for no confidence: not a number.
const NO_CONFIDENCE: u32 = u32::MAX;
/// A longer text is kept as its hash.
const TEXT_LIMIT: usize = 16_000;

/// What was shown, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The number itself.
    Decimal,
    /// The labels of these rules, a bit each.
    Labels(u64),
    /// Another text.
    Text(String),
}

/// An evaluation, as it is kept: whole, so that a row of a repository can be made of it again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its place in the session.
    pub sequence: u64,
    /// What was asked.
    pub number: i64,
    /// The rules that matched, a bit each.
    pub matched: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the answer was right.
    pub correct: bool,
    /// When it finished, nanoseconds since the epoch.
    pub at: u64,
    /// How long it took, nanoseconds.
    pub duration: u64,
    /// Who answered.
    pub source: Source,
    /// Injected faults that touched it, a bit each.
    pub faults: u8,
    /// How often it was tried.
    pub attempts: u32,
    /// The strategy's lowest confidence, where it has one.
    pub confidence: Option<f32>,
    /// Why it did not end well.
    pub error: Option<ErrorCode>,
    /// What was shown.
    pub output: Shown,
}

impl Row {
    /// The row of an evaluation that finished then.
    pub fn of(at: Timestamp, evaluation: &Evaluation) -> Self {
        Self {
            sequence: evaluation.sequence,
            number: evaluation.number,
            matched: evaluation.matched.0,
            outcome: evaluation.outcome,
            correct: evaluation.correct,
            at: at.as_nanos(),
            duration: nanos(evaluation.duration),
            source: evaluation.source,
            faults: evaluation.faults,
            attempts: evaluation.attempts,
            confidence: evaluation.confidence,
            error: evaluation.error,
            output: match &evaluation.output {
                Output::Decimal => Shown::Decimal,
                Output::Labels(mask) => Shown::Labels(mask.0),
                Output::Text(text) => Shown::Text(kept(text).into_owned()),
            },
        }
    }

    /// The evaluation, without when a rejected caller might have tried again: that is not kept.
    pub fn evaluation(&self) -> Evaluation {
        Evaluation {
            sequence: self.sequence,
            number: self.number,
            outcome: self.outcome,
            error: self.error,
            output: match &self.output {
                Shown::Decimal => Output::Decimal,
                Shown::Labels(mask) => Output::Labels(RuleMask(*mask)),
                Shown::Text(text) => Output::Text(text.as_str().into()),
            },
            matched: RuleMask(self.matched),
            correct: self.correct,
            source: self.source,
            duration: Duration::from_nanos(self.duration),
            retry_after: None,
            confidence: self.confidence,
            faults: self.faults,
            attempts: self.attempts,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, NoEntry> {
        let (sequence, number, matched) = (cursor.number()?, cursor.number()?.cast_signed(), cursor.number()?);
        let [outcome, correct] = cursor.take()?;
        let (at, duration) = (cursor.number()?, cursor.number()?);
        let [source, faults] = cursor.take()?;
        let (attempts, confidence) = (u32::from_be_bytes(cursor.take()?), u32::from_be_bytes(cursor.take()?));
        let [error, tag] = cursor.take()?;
        let code = cursor.slice(usize::from(error))?;
        let code = std::str::from_utf8(code).map_err(|_| NoEntry("a code is not UTF-8"))?;
        let known = |code: &str| ErrorCode::ALL.iter().find(|known| known.code() == code).copied();
        Ok(Self {
            sequence,
            number,
            matched,
            outcome: *Outcome::ALL.get(usize::from(outcome)).ok_or(NoEntry("there is no such outcome"))?,
            correct: match correct {
                0 => false,
                1 => true,
                _ => return Err(NoEntry("a flag is neither 0 nor 1")),
            },
            at,
            duration,
            source: match source {
                0 => Source::None,
                1 => Source::Strategy,
                2 => Source::Cache,
                _ => return Err(NoEntry("there is no such source")),
            },
            faults,
            attempts,
            confidence: match confidence {
                NO_CONFIDENCE => None,
                bits if f32::from_bits(bits).is_finite() => Some(f32::from_bits(bits)),
                _ => return Err(NoEntry("a confidence is no number")),
            },
            error: if code.is_empty() { None } else { Some(known(code).ok_or(NoEntry("there is no such code"))?) },
            output: match tag {
                0 => Shown::Decimal,
                1 => Shown::Labels(cursor.number()?),
                2 => Shown::Text(cursor.text()?),
                _ => return Err(NoEntry("there is no such output")),
            },
        })
    }
}

/// What a leaf says. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// Evaluations, in order of completion.
    Evaluations {
        /// When the batch was closed.
        at: u64,
        /// At least one.
        rows: Vec<Row>,
    },
    /// A command, carried out or refused.
    Command {
        /// When.
        at: u64,
        /// By whom.
        by: String,
        /// In which role; empty for game days and the engine itself.
        role: String,
        /// Which, as JSON.
        command: String,
        /// What it was answered.
        answer: String,
    },
    /// Something that happened: an alert, a fault, a flag's change, a breaker's step, a verdict.
    Event {
        /// When.
        at: u64,
        /// The event's name in the catalogue.
        name: String,
        /// Its facts, as JSON.
        facts: String,
    },
}

/// The bytes are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no entry of a ledger: {0}")]
pub struct NoEntry(&'static str);

/// An entry of evaluations that is being filled: one buffer, no allocation per evaluation.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    count: u32,
}

impl Batch {
    /// Adds one that finished then.
    #[inline]
    pub fn push(&mut self, at: Timestamp, evaluation: &Evaluation) {
        if self.bytes.is_empty() {
            self.bytes.resize(BATCH_HEAD, 0);
        }
        let error = evaluation.error.map_or("", ErrorCode::code);
        let mut bytes = [0; ROW - 2];
        bytes[..8].copy_from_slice(&evaluation.sequence.to_be_bytes());
        bytes[8..16].copy_from_slice(&evaluation.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&evaluation.matched.0.to_be_bytes());
        bytes[24] = evaluation.outcome as u8;
        bytes[25] = u8::from(evaluation.correct);
        bytes[26..34].copy_from_slice(&at.as_nanos().to_be_bytes());
        bytes[34..42].copy_from_slice(&nanos(evaluation.duration).to_be_bytes());
        bytes[42] = evaluation.source as u8;
        bytes[43] = evaluation.faults;
        bytes[44..48].copy_from_slice(&evaluation.attempts.to_be_bytes());
        let confidence = evaluation.confidence.filter(|confidence| confidence.is_finite());
        bytes[48..52].copy_from_slice(&confidence.map_or(NO_CONFIDENCE, f32::to_bits).to_be_bytes());
        self.bytes.extend_from_slice(&bytes);
        let tag = match evaluation.output {
            Output::Decimal => 0,
            Output::Labels(_) => 1,
            Output::Text(_) => 2,
        };
        // A code has eight letters.
        self.bytes.extend_from_slice(&[error.len() as u8, tag]);
        self.bytes.extend_from_slice(error.as_bytes());
        match &evaluation.output {
            Output::Decimal => {}
            Output::Labels(mask) => self.bytes.extend_from_slice(&mask.0.to_be_bytes()),
            Output::Text(text) => put(&mut self.bytes, text),
        }
        self.count += 1;
    }

    /// Whether no more should be added.
    pub const fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES
    }

    /// How many it has.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The entry's bytes; it starts anew.
    pub fn close(&mut self, at: u64) -> Vec<u8> {
        let capacity = self.bytes.len();
        let mut bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(capacity));
        if bytes.is_empty() {
            bytes.resize(BATCH_HEAD, 0);
        }
        bytes[1..9].copy_from_slice(&at.to_be_bytes());
        bytes[9..13].copy_from_slice(&self.count.to_be_bytes());
        self.count = 0;
        bytes
    }
}

/// A text as it is kept: itself, or its hash when it is too long for an entry.
fn kept(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= TEXT_LIMIT {
        return text.into();
    }
    format!("sha256:{} of {} bytes", Hash::of(text.as_bytes()), text.len()).into()
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let text = kept(text);
    // At most the limit above.
    bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// A command's entry.
pub fn encode_command(at: u64, by: &str, role: &str, command: &str, answer: &str) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&at.to_be_bytes());
    [by, role, command, answer].into_iter().for_each(|text| put(&mut bytes, text));
    bytes
}

/// An event's entry.
pub fn encode_event(at: u64, name: &str, facts: &str) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend_from_slice(&at.to_be_bytes());
    [name, facts].into_iter().for_each(|text| put(&mut bytes, text));
    bytes
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], NoEntry> {
        let (found, rest) = self.0.split_first_chunk::<N>().ok_or(NoEntry("they are cut off"))?;
        self.0 = rest;
        Ok(*found)
    }

    fn number(&mut self) -> Result<u64, NoEntry> {
        self.take().map(u64::from_be_bytes)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], NoEntry> {
        let (found, rest): (&'a [u8], _) = self.0.split_at_checked(length).ok_or(NoEntry("they are cut off"))?;
        self.0 = rest;
        Ok(found)
    }

    fn text(&mut self) -> Result<String, NoEntry> {
        let length = u32::from_be_bytes(self.take()?) as usize;
        if length > TEXT_LIMIT {
            return Err(NoEntry("a text is too long"));
        }
        String::from_utf8(self.slice(length)?.to_vec()).map_err(|_| NoEntry("a text is not UTF-8"))
    }
}

impl Entry {
    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Evaluations { at, rows } => {
                let mut batch = Batch::default();
                rows.iter().for_each(|row| batch.push(Timestamp::from_nanos(row.at), &row.evaluation()));
                batch.close(*at)
            }
            Self::Command { at, by, role, command, answer } => encode_command(*at, by, role, command, answer),
            Self::Event { at, name, facts } => encode_event(*at, name, facts),
        }
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`NoEntry`] for any others.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoEntry> {
        let mut cursor = Cursor(bytes);
        let [kind] = cursor.take()?;
        let at = cursor.number()?;
        let entry = match kind {
            0 => {
                let count = u32::from_be_bytes(cursor.take()?) as usize;
                if count == 0 || count > BATCH_LIMIT {
                    return Err(NoEntry("the number of evaluations is another one"));
                }
                let rows = (0..count).map(|_| Row::read(&mut cursor)).collect::<Result<_, _>>()?;
                Self::Evaluations { at, rows }
            }
            1 => Self::Command {
                at,
                by: cursor.text()?,
                role: cursor.text()?,
                command: cursor.text()?,
                answer: cursor.text()?,
            },
            2 => Self::Event { at, name: cursor.text()?, facts: cursor.text()? },
            _ => return Err(NoEntry("there is no such kind")),
        };
        if cursor.0.is_empty() { Ok(entry) } else { Err(NoEntry("something follows them")) }
    }

    /// When, nanoseconds since the epoch.
    pub const fn at(&self) -> u64 {
        match self {
            Self::Evaluations { at, .. } | Self::Command { at, .. } | Self::Event { at, .. } => *at,
        }
    }

    /// Its kind: `evaluations`, `command` or `event`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Evaluations { .. } => "evaluations",
            Self::Command { .. } => "command",
            Self::Event { .. } => "event",
        }
    }

    /// In a sentence.
    pub fn text(&self) -> String {
        match self {
            Self::Evaluations { rows, .. } => {
                let right = rows.iter().filter(|row| row.correct).count();
                let span = rows.first().zip(rows.last());
                let (from, to) = span.map_or((0, 0), |(first, last)| (first.sequence, last.sequence));
                format!("{} evaluations, {right} right, sequence {from} to {to}", rows.len())
            }
            Self::Command { by, role, command, answer, .. } if role.is_empty() => {
                format!("{by}: {answer} ({command})")
            }
            Self::Command { by, role, command, answer, .. } => format!("{by} ({role}): {answer} ({command})"),
            Self::Event { name, facts, .. } => format!("{name} {}", told(facts)),
        }
    }
}

/// Facts in JSON as they are read: `key value, key value`.
fn told(facts: &str) -> String {
    let Ok(facts) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(facts) else {
        return facts.to_owned();
    };
    let told = facts.iter().map(|(key, value)| match value {
        serde_json::Value::String(text) => format!("{key} {text}"),
        value => format!("{key} {value}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = Row> {
        let output = prop_oneof![
            Just(Shown::Decimal),
            any::<u64>().prop_map(Shown::Labels),
            "[a-zA-Z0-9é]{0,20}".prop_map(Shown::Text)
        ];
        let source = prop_oneof![Just(Source::None), Just(Source::Strategy), Just(Source::Cache)];
        let error = prop::option::of(prop::sample::select(ErrorCode::ALL));
        let numbers = (any::<u64>(), any::<i64>(), any::<u64>(), any::<u64>(), any::<u64>());
        let rest = (0usize..6, any::<bool>(), any::<u8>(), any::<u32>(), prop::option::of(0f32..1.0));
        (numbers, rest, source, error, output).prop_map(
            |((sequence, number, matched, at, duration), rest, source, error, output)| {
                let (outcome, correct, faults, attempts, confidence) = rest;
                let outcome = Outcome::ALL[outcome];
                Row {
                    sequence,
                    number,
                    matched,
                    outcome,
                    correct,
                    at,
                    duration,
                    source,
                    faults,
                    attempts,
                    confidence,
                    error,
                    output,
                }
            },
        )
    }

    fn entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            (any::<u64>(), prop::collection::vec(row(), 1..20)).prop_map(|(at, rows)| Entry::Evaluations { at, rows }),
            (any::<u64>(), ".*", ".*", ".*", ".*").prop_map(|(at, by, role, command, answer)| Entry::Command {
                at,
                by,
                role,
                command,
                answer
            }),
            (any::<u64>(), ".*", ".*").prop_map(|(at, name, facts)| Entry::Event { at, name, facts }),
        ]
    }

    proptest! {
        #[test]
        fn an_entry_reads_back_and_has_one_encoding(entry in entry(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let bytes = entry.encode();
            prop_assert_eq!(Entry::decode(&bytes), Ok(entry.clone()));
            let mut other = bytes.clone();
            other[at.index(bytes.len())] ^= 1 << bit;
            if let Ok(another) = Entry::decode(&other) {
                prop_assert_eq!(another.encode(), other, "what is read is written the same way");
                prop_assert_ne!(another, entry);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(entry) = Entry::decode(&bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }
    }

    #[test]
    fn the_largest_entries_fit() {
        let mut evaluation = Row::read(&mut Cursor(&[0; ROW])).unwrap().evaluation();
        evaluation.output = Output::Text("x".repeat(TEXT_LIMIT).into());
        let mut batch = Batch::default();
        while !batch.is_full() {
            batch.push(Timestamp::EPOCH, &evaluation);
        }
        assert!(batch.close(0).len() <= ENTRY_LIMIT);
        let long = "x".repeat(1_000_000);
        let bytes = encode_command(0, &long, &long, &long, &long);
        assert!(bytes.len() <= ENTRY_LIMIT);
        let Ok(Entry::Command { by, .. }) = Entry::decode(&bytes) else { panic!("it is a command") };
        assert!(by.starts_with("sha256:") && by.ends_with("of 1000000 bytes"), "{by}");
    }
}
