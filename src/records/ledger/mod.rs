//! The audit ledger: blocks with proof of work over the evaluations and the commands, each linked to the one before.
//!
//! What it proves: nothing in it was changed without redoing the work of every later block. What it does not prove:
//! that whoever holds the file did not write it anew from the start; for that, keep a copy of the head elsewhere.
//!
//! ```
//! use fizzops::domain::Timestamp;
//! use fizzops::records::ledger::{Ledger, LedgerConfig, verify, write_header};
//!
//! let mut ledger = Ledger::new(&LedgerConfig { enabled: true, ..LedgerConfig::default() }, Timestamp::EPOCH).unwrap();
//! ledger.keep_leaves();
//! ledger.command(Timestamp::EPOCH, "operator", "\"pause\"", "paused");
//! ledger.close(Timestamp::EPOCH);
//! let mut file = Vec::new();
//! write_header(&mut file).unwrap();
//! for block in ledger.take_blocks() {
//!     serde_json::to_writer(&mut file, &block).unwrap();
//!     file.push(b'\n');
//! }
//! assert_eq!(verify(file.as_slice()).unwrap().blocks, 2);
//! ```

mod block;
mod file;
mod hash;
pub mod merkle;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

pub use block::{Block, Header, Leaf, LeavesHasher};
pub use file::{Report, VerifyError, verify, write_header};
pub use hash::{Hash, NoHash};

use crate::domain::{ErrorCode, Evaluation, Timestamp};

/// The section `blockchain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// Whether a ledger is kept.
    pub enabled: bool,
    /// How many zero digits each hash begins with, 0 to 4.
    pub difficulty: u32,
    /// Leaves that close a block.
    pub block_size: u64,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self { enabled: false, difficulty: 2, block_size: 1_024 }
    }
}

/// A setting is impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It would take too long.
    #[error(
        "a mining difficulty of {0} would take about 16^{0} hashes a block and hold the engine up; it must be from 0 to 4"
    )]
    Difficulty(u32),
    /// No leaf, or too many for memory.
    #[error("blockchain.block_size is {0}; it must be from 1 to 1000000")]
    BlockSize(u64),
}

impl LedgerError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Difficulty(_) => ErrorCode::LedgerDifficulty,
            Self::BlockSize(_) => ErrorCode::Configuration,
        }
    }
}

/// The ledger, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LedgerView {
    /// Whether a ledger is kept.
    pub enabled: bool,
    /// Blocks so far, the genesis block included.
    pub blocks: u64,
    /// Leaves in closed blocks.
    pub leaves: u64,
    /// Leaves that wait for the next block.
    pub pending: u64,
    /// Leaves that close a block.
    pub block_size: u64,
    /// Commands among all leaves.
    pub commands: u64,
    /// Zero digits of each hash.
    pub difficulty: u32,
    /// Hashes tried so far.
    pub hashes: u64,
    /// The last block's hash.
    pub head: String,
    /// The last blocks, oldest first.
    pub recent: Vec<Header>,
    /// Whether the last blocks' hashes, links and work were right when they were looked at for this view.
    pub sound: bool,
}

const RECENT: usize = 16;

/// A growing chain. Only the last blocks are kept in memory.
#[derive(Debug)]
pub struct Ledger {
    config: LedgerConfig,
    head: Header,
    recent: VecDeque<Header>,
    hasher: LeavesHasher,
    /// The leaves of the block that is being filled, when somebody wants them.
    leaves: Option<Vec<Leaf>>,
    closed: Vec<Block>,
    /// How many of those were told of.
    told: usize,
    total: u64,
    commands: u64,
    hashes: u64,
}

impl Ledger {
    /// With its genesis block, mined.
    ///
    /// # Errors
    /// [`LedgerError`] for a setting that is impossible.
    pub fn new(config: &LedgerConfig, now: Timestamp) -> Result<Self, LedgerError> {
        if config.difficulty > 4 {
            return Err(LedgerError::Difficulty(config.difficulty));
        }
        if !(1..=1_000_000).contains(&config.block_size) {
            return Err(LedgerError::BlockSize(config.block_size));
        }
        let mut hasher = LeavesHasher::default();
        let mut head = Header {
            index: 0,
            timestamp: now,
            previous: Hash::default(),
            leaves: 0,
            leaves_hash: hasher.finish(),
            difficulty: config.difficulty,
            nonce: 0,
            hash: Hash::default(),
        };
        let hashes = head.mine();
        Ok(Self {
            config: config.clone(),
            recent: VecDeque::from([head.clone()]),
            told: 0,
            closed: vec![Block { header: head.clone(), leaves: Vec::new() }],
            head,
            hasher,
            leaves: None,
            total: 0,
            commands: 0,
            hashes,
        })
    }

    /// Keeps the leaves too, for whoever takes the blocks. Without it blocks come without leaves.
    pub fn keep_leaves(&mut self) {
        self.leaves.get_or_insert_default();
    }

    /// Adds a finished evaluation. A block that is full now is closed.
    pub fn evaluation(&mut self, evaluation: &Evaluation, now: Timestamp) {
        let Evaluation { sequence, number, outcome, matched, correct, .. } = *evaluation;
        self.hasher.evaluation(sequence, number, outcome as u8, matched.0, correct);
        if let Some(leaves) = &mut self.leaves {
            let outcome = outcome.name().to_owned();
            leaves.push(Leaf::Evaluation { sequence, number, outcome, matched: matched.0, correct });
        }
        if self.hasher.count() >= self.config.block_size {
            self.close(now);
        }
    }

    /// Adds a command, with its answer. A block that is full now is closed.
    pub fn command(&mut self, now: Timestamp, by: &str, command: &str, answer: &str) {
        let at = now.as_nanos();
        self.hasher.command(at, by, command, answer);
        self.commands += 1;
        if let Some(leaves) = &mut self.leaves {
            let (by, command, answer) = (by.to_owned(), command.to_owned(), answer.to_owned());
            leaves.push(Leaf::Command { at, by, command, answer });
        }
        if self.hasher.count() >= self.config.block_size {
            self.close(now);
        }
    }

    /// Closes the block that is being filled, unless it is empty.
    pub fn close(&mut self, now: Timestamp) {
        let count = self.hasher.count();
        if count == 0 {
            return;
        }
        let mut header = Header {
            index: self.head.index + 1,
            timestamp: now,
            previous: self.head.hash,
            leaves: count,
            leaves_hash: self.hasher.finish(),
            difficulty: self.config.difficulty,
            nonce: 0,
            hash: Hash::default(),
        };
        self.hashes += header.mine();
        self.total += count;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(header.clone());
        self.head = header.clone();
        let leaves = self.leaves.as_mut().map(std::mem::take).unwrap_or_default();
        self.closed.push(Block { header, leaves });
    }

    /// The blocks closed since the last call.
    pub fn take_blocks(&mut self) -> Vec<Block> {
        self.told = 0;
        std::mem::take(&mut self.closed)
    }

    /// The headers of the blocks closed since this was last asked. Blocks without leaves need no taking: they are
    /// forgotten once they have been told of, so that memory does not grow with nobody to take them.
    pub fn newly_closed(&mut self) -> Vec<Header> {
        if self.told == self.closed.len() {
            return Vec::new();
        }
        let headers = self.closed.iter().skip(self.told).map(|block| block.header.clone()).collect();
        if self.leaves.is_none() {
            self.closed.clear();
        }
        self.told = self.closed.len();
        headers
    }

    /// The last block's hash.
    pub const fn head(&self) -> &Hash {
        &self.head.hash
    }

    /// As it is shown. Recomputes the hashes of the last blocks, so that `sound` is a finding and not a claim.
    pub fn view(&self) -> LedgerView {
        let links = self.recent.iter().zip(self.recent.iter().skip(1)).all(|(one, next)| next.previous == one.hash);
        let work =
            self.recent.iter().all(|block| block.compute() == block.hash && block.hash.has_zeros(block.difficulty));
        LedgerView {
            enabled: self.config.enabled,
            blocks: self.head.index + 1,
            leaves: self.total,
            pending: self.hasher.count(),
            block_size: self.config.block_size,
            commands: self.commands,
            difficulty: self.config.difficulty,
            hashes: self.hashes,
            head: self.head.hash.to_string(),
            recent: self.recent.iter().cloned().collect(),
            sound: links && work,
        }
    }
}
