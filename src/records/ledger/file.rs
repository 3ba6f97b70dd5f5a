//! A ledger's file: a line that says what it is, then a block a line. Reading it checks everything in it.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use super::block::{Block, Header, Leaf, LeavesHasher};
use super::hash::Hash;
use crate::domain::{ErrorCode, Outcome};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileHeader {
    format: String,
    version: u32,
}

const FORMAT: &str = "fizzops-ledger";
const VERSION: u32 = 1;
/// No line of a ledger is longer: a block has at most a million leaves.
const LINE_LIMIT: u64 = 512 * 1024 * 1024;

/// Writes the first line.
///
/// # Errors
/// As writing does.
pub fn write_header(file: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *file, &FileHeader { format: FORMAT.into(), version: VERSION })?;
    file.write_all(b"\n")
}

/// What a whole ledger holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Blocks, the genesis block included.
    pub blocks: u64,
    /// Evaluations in them.
    pub evaluations: u64,
    /// Commands in them.
    pub commands: u64,
    /// The last block's hash.
    pub head: Hash,
    /// Zero digits that each hash begins with.
    pub difficulty: u32,
}

/// Why a ledger is not believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error("the ledger cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("line 1: this is no ledger (a ledger begins with {{\"format\":\"{FORMAT}\",\"version\":{VERSION}}})")]
    NotALedger,
    /// It is of a later version.
    #[error("line 1: the ledger is of version {0}; this program reads version {VERSION}")]
    Newer(u32),
    /// It has no block.
    #[error("the ledger has no genesis block")]
    Empty,
    /// A line is not what it should be.
    #[error("line {line}, block {block}: {problem}")]
    Block {
        /// From 1.
        line: u64,
        /// From 0.
        block: u64,
        /// What differs.
        problem: String,
    },
}

impl VerifyError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::LedgerIntegrity
    }
}

/// Checks every block: form, number, link, leaves, hash, proof of work; the genesis block too. Memory is bounded by
/// the longest block.
///
/// # Errors
/// [`VerifyError`] for the first thing that is not right, with its place.
pub fn verify(file: impl Read) -> Result<Report, VerifyError> {
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    read_line(&mut file, &mut line)?;
    let header: FileHeader = serde_json::from_slice(&line).map_err(|_| VerifyError::NotALedger)?;
    if header.format != FORMAT {
        return Err(VerifyError::NotALedger);
    }
    if header.version != VERSION {
        return Err(VerifyError::Newer(header.version));
    }
    if !canonical(&header, &line) {
        return Err(VerifyError::NotALedger);
    }
    let mut last: Option<Header> = None;
    let mut report = Report { blocks: 0, evaluations: 0, commands: 0, head: Hash::default(), difficulty: 0 };
    loop {
        read_line(&mut file, &mut line)?;
        if line.is_empty() {
            break;
        }
        let fail = |problem: String| VerifyError::Block { line: report.blocks + 2, block: report.blocks, problem };
        if line.last() != Some(&b'\n') {
            return Err(fail("the line is cut off; the ledger ends before it does".into()));
        }
        let block: Block = serde_json::from_slice(&line).map_err(|error| fail(format!("not a block: {error}")))?;
        if !canonical(&block, &line) {
            return Err(fail("the line is not written as the program writes it; it was changed".into()));
        }
        check(&block, last.as_ref(), report.blocks).map_err(fail)?;
        for leaf in &block.leaves {
            match leaf {
                Leaf::Evaluation { .. } => report.evaluations += 1,
                Leaf::Command { .. } => report.commands += 1,
            }
        }
        report.blocks += 1;
        report.head = block.header.hash;
        report.difficulty = block.header.difficulty;
        last = Some(block.header);
    }
    if last.is_none() { Err(VerifyError::Empty) } else { Ok(report) }
}

fn read_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    file.take(LINE_LIMIT).read_until(b'\n', line)?;
    Ok(())
}

/// Whether a line is byte for byte what the program writes for this value: spaces, escapes and the order of keys
/// cannot be changed unnoticed.
fn canonical(value: &impl Serialize, line: &[u8]) -> bool {
    serde_json::to_vec(value).is_ok_and(|bytes| line.strip_suffix(b"\n").unwrap_or(line) == bytes)
}

fn check(block: &Block, last: Option<&Header>, index: u64) -> Result<(), String> {
    let header = &block.header;
    if header.index != index {
        return Err(format!("it is numbered {}", header.index));
    }
    let previous = last.map_or(Hash::default(), |last| last.hash);
    if header.previous != previous {
        return Err(format!("its previous hash is {}, the block before has {previous}", header.previous));
    }
    if let Some(last) = last {
        if header.difficulty != last.difficulty {
            return Err(format!("its difficulty is {}, the block before has {}", header.difficulty, last.difficulty));
        }
        if header.timestamp < last.timestamp {
            return Err("it is dated before the block before it".into());
        }
    }
    if header.leaves != block.leaves.len() as u64 {
        return Err(format!("it says that it has {} leaves and has {}", header.leaves, block.leaves.len()));
    }
    let mut hasher = LeavesHasher::default();
    for leaf in &block.leaves {
        match leaf {
            Leaf::Evaluation { sequence, number, outcome, matched, correct } => {
                let outcome = Outcome::ALL
                    .into_iter()
                    .find(|known| known.name() == outcome)
                    .ok_or_else(|| format!("evaluation {sequence} has the unknown outcome `{outcome}`"))?;
                hasher.evaluation(*sequence, *number, outcome as u8, *matched, *correct);
            }
            Leaf::Command { at, by, command, answer } => hasher.command(*at, by, command, answer),
        }
    }
    let leaves_hash = hasher.finish();
    if header.leaves_hash != leaves_hash {
        return Err(format!("its leaves give the hash {leaves_hash}, it says {}", header.leaves_hash));
    }
    let hash = header.compute();
    if header.hash != hash {
        return Err(format!("its fields give the hash {hash}, it says {}", header.hash));
    }
    if !header.hash.has_zeros(header.difficulty) {
        return Err(format!("its hash does not begin with {} zeros", header.difficulty));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Ledger, LedgerConfig};
    use super::*;
    use crate::domain::{Evaluation, Output, RuleMask, Source, Timestamp};
    use proptest::prelude::*;
    use std::time::Duration;

    fn ledger() -> Vec<u8> {
        let config = LedgerConfig { enabled: true, difficulty: 1, block_size: 3 };
        let mut ledger = Ledger::new(&config, Timestamp::from_nanos(5)).unwrap();
        ledger.keep_leaves();
        for sequence in 0..7 {
            let evaluation = Evaluation {
                sequence,
                number: sequence as i64 - 2,
                outcome: Outcome::ALL[sequence as usize % 6],
                error: None,
                output: Output::Decimal,
                matched: RuleMask(sequence),
                correct: sequence % 2 == 0,
                source: Source::Strategy,
                duration: Duration::ZERO,
                retry_after: None,
                confidence: None,
                faults: 0,
                attempts: 0,
            };
            ledger.evaluation(&evaluation, Timestamp::from_nanos(10 + sequence));
        }
        ledger.command(Timestamp::from_nanos(20), "operator", "\"pause\"", "paused \"now\"");
        ledger.close(Timestamp::from_nanos(21));
        let mut file = Vec::new();
        write_header(&mut file).unwrap();
        for block in ledger.take_blocks() {
            serde_json::to_writer(&mut file, &block).unwrap();
            file.push(b'\n');
        }
        assert!(ledger.view().sound);
        file
    }

    #[test]
    fn a_whole_ledger_is_believed() {
        let report = verify(ledger().as_slice()).unwrap();
        assert_eq!((report.blocks, report.evaluations, report.commands, report.difficulty), (4, 7, 1, 1));
    }

    #[test]
    fn every_changed_byte_is_found() {
        let file = ledger();
        for at in 0..file.len() {
            for flip in [1u8, 0x20, 0x80] {
                let mut changed = file.clone();
                changed[at] ^= flip;
                assert!(verify(changed.as_slice()).is_err(), "byte {at} flipped by {flip}");
            }
        }
    }

    #[test]
    fn every_cut_is_found_or_is_a_whole_ledger() {
        let file = ledger();
        for length in 0..file.len() {
            let result = verify(&file[..length]);
            if file[..length].ends_with(b"\n") && length > 60 {
                assert!(result.is_ok(), "a ledger that ends with a whole block is one, up to there");
            } else {
                assert!(result.is_err(), "{length}");
            }
        }
    }

    #[test]
    fn a_forged_genesis_or_a_weaker_difficulty_is_found() {
        let text = String::from_utf8(ledger()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let mut genesis: Block = serde_json::from_str(lines[1]).unwrap();
        genesis.header.difficulty = 0;
        genesis.header.mine();
        let forged = text.replacen(lines[1], &serde_json::to_string(&genesis).unwrap(), 1);
        let error = verify(forged.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("line 3, block 1:"), "{error}");
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(matches!(verify(newer.as_bytes()), Err(VerifyError::Newer(2))));
        assert!(matches!(verify(&b"hello"[..]), Err(VerifyError::NotALedger)));
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..600) {
            let mut file = ledger();
            let at = at.min(file.len());
            file.splice(at..at, bytes);
            let _ = verify(file.as_slice()).is_ok();
        }
    }
}
