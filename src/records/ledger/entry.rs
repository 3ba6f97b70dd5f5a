//! What a leaf of the ledger's tree says, and its canonical bytes: numbers with the most significant byte first, texts
//! after their length. An entry has one encoding, and what is not that encoding is no entry.

use serde::Serialize;

use crate::domain::Outcome;
use crate::records::ledger::hash::Hash;

/// The longest entry: tiles write the length in two bytes.
const ENTRY_LIMIT: usize = 65_535;
// Four texts with their lengths, the kind and the time.
const _: () = assert!(BATCH_HEAD + BATCH_LIMIT * ROW <= ENTRY_LIMIT && 9 + 4 * (4 + TEXT_LIMIT) <= ENTRY_LIMIT);
/// The most evaluations in an entry.
pub const BATCH_LIMIT: usize = 2_048;
/// The bytes of an evaluation.
const ROW: usize = 26;
/// The bytes before the first one: what it is, when, how many.
const BATCH_HEAD: usize = 13;
/// A longer text is kept as its hash.
const TEXT_LIMIT: usize = 16_000;

/// An evaluation, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
}

/// What a leaf says. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Adds one.
    #[inline]
    pub fn push(&mut self, row: &Row) {
        if self.bytes.is_empty() {
            self.bytes.resize(BATCH_HEAD, 0);
        }
        let mut bytes = [0; ROW];
        bytes[..8].copy_from_slice(&row.sequence.to_be_bytes());
        bytes[8..16].copy_from_slice(&row.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&row.matched.to_be_bytes());
        bytes[24] = row.outcome as u8;
        bytes[25] = u8::from(row.correct);
        self.bytes.extend_from_slice(&bytes);
        self.count += 1;
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

    fn text(&mut self) -> Result<String, NoEntry> {
        let length = u32::from_be_bytes(self.take()?) as usize;
        if length > TEXT_LIMIT {
            return Err(NoEntry("a text is too long"));
        }
        let (found, rest): (&'a [u8], _) = self.0.split_at_checked(length).ok_or(NoEntry("they are cut off"))?;
        self.0 = rest;
        String::from_utf8(found.to_vec()).map_err(|_| NoEntry("a text is not UTF-8"))
    }
}

impl Entry {
    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Evaluations { at, rows } => {
                let mut batch = Batch::default();
                rows.iter().for_each(|row| batch.push(row));
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
                if count == 0 || count > BATCH_LIMIT || cursor.0.len() != count * ROW {
                    return Err(NoEntry("the number of evaluations is another one"));
                }
                let mut rows = Vec::with_capacity(count);
                for _ in 0..count {
                    let (sequence, number, matched) =
                        (cursor.number()?, cursor.number()?.cast_signed(), cursor.number()?);
                    let [outcome, correct] = cursor.take()?;
                    let outcome = Outcome::ALL.get(usize::from(outcome)).ok_or(NoEntry("there is no such outcome"))?;
                    if correct > 1 {
                        return Err(NoEntry("a flag is neither 0 nor 1"));
                    }
                    rows.push(Row { sequence, number, matched, outcome: *outcome, correct: correct == 1 });
                }
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
            Self::Event { name, facts, .. } => format!("{name} {facts}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = Row> {
        (any::<u64>(), any::<i64>(), any::<u64>(), 0usize..6, any::<bool>()).prop_map(
            |(sequence, number, matched, outcome, correct)| Row {
                sequence,
                number,
                matched,
                outcome: Outcome::ALL[outcome],
                correct,
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
        let row = Row { sequence: 1, number: -1, matched: 0, outcome: Outcome::Ok, correct: true };
        let mut batch = Batch::default();
        (0..BATCH_LIMIT).for_each(|_| batch.push(&row));
        assert!(batch.close(0).len() <= ENTRY_LIMIT);
        let long = "x".repeat(1_000_000);
        let bytes = encode_command(0, &long, &long, &long, &long);
        assert!(bytes.len() <= ENTRY_LIMIT);
        let Ok(Entry::Command { by, .. }) = Entry::decode(&bytes) else { panic!("it is a command") };
        assert!(by.starts_with("sha256:") && by.ends_with("of 1000000 bytes"), "{by}");
    }
}
