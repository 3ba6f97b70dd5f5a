//! A block, its canonical bytes and its proof of work.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hash::Hash;
use crate::domain::Timestamp;

/// What a block is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "leaf", rename_all = "snake_case", deny_unknown_fields)]
pub enum Leaf {
    /// A finished evaluation.
    Evaluation {
        /// Its place in the session.
        sequence: u64,
        /// What was asked.
        number: i64,
        /// How it ended.
        outcome: String,
        /// The rules that matched, a bit each.
        matched: u64,
        /// Whether the answer was right.
        correct: bool,
    },
    /// A command, by an operator or a game day.
    Command {
        /// When, nanoseconds since the epoch.
        at: u64,
        /// By whom.
        by: String,
        /// Which, as JSON.
        command: String,
        /// What it was answered.
        answer: String,
    },
}

/// A block without its leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// From 0, which is the genesis block.
    pub index: u64,
    /// When it was closed, nanoseconds since the epoch.
    pub timestamp: Timestamp,
    /// The hash of the block before; zeros for the genesis block.
    pub previous: Hash,
    /// How many leaves it has.
    pub leaves: u64,
    /// The hash over their canonical bytes.
    pub leaves_hash: Hash,
    /// How many zero digits its hash begins with.
    pub difficulty: u32,
    /// What was tried until it did.
    pub nonce: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Header {
    /// The hash that the other fields give: SHA-256 over index, timestamp, previous hash, leaf count, leaves' hash,
    /// difficulty and nonce, numbers as eight bytes, most significant first.
    pub fn compute(&self) -> Hash {
        self.work().finish(self.nonce)
    }

    fn work(&self) -> Work {
        let state = Sha256::new()
            .chain_update(self.index.to_be_bytes())
            .chain_update(self.timestamp.as_nanos().to_be_bytes())
            .chain_update(self.previous.0)
            .chain_update(self.leaves.to_be_bytes())
            .chain_update(self.leaves_hash.0)
            .chain_update(u64::from(self.difficulty).to_be_bytes());
        Work { state }
    }

    /// Finds the nonce, counting from 0; how many hashes that took.
    pub fn mine(&mut self) -> u64 {
        let work = self.work();
        // A hash with so few zeros (at most 4 digits) is found long before the numbers run out.
        for nonce in 0..u64::MAX {
            let hash = work.finish(nonce);
            if hash.has_zeros(self.difficulty) {
                self.nonce = nonce;
                self.hash = hash;
                return nonce + 1;
            }
        }
        u64::MAX
    }
}

/// The part of a header's hash that does not depend on the nonce, done once.
struct Work {
    state: Sha256,
}

impl Work {
    fn finish(&self, nonce: u64) -> Hash {
        Hash(self.state.clone().chain_update(nonce.to_be_bytes()).finalize().into())
    }
}

/// The hash over the canonical bytes of leaves, one after another.
#[derive(Debug, Clone, Default)]
pub struct LeavesHasher {
    state: Sha256,
    count: u64,
}

impl LeavesHasher {
    /// An evaluation: a byte 0, then sequence, number and matches as eight bytes each, outcome and correctness as one.
    pub fn evaluation(&mut self, sequence: u64, number: i64, outcome: u8, matched: u64, correct: bool) {
        let mut bytes = [0u8; 27];
        bytes[1..9].copy_from_slice(&sequence.to_be_bytes());
        bytes[9..17].copy_from_slice(&number.to_be_bytes());
        bytes[17..25].copy_from_slice(&matched.to_be_bytes());
        bytes[25] = outcome;
        bytes[26] = u8::from(correct);
        self.state.update(bytes);
        self.count += 1;
    }

    /// A command: a byte 1, the moment as eight bytes, then each text after its length as eight bytes.
    pub fn command(&mut self, at: u64, by: &str, command: &str, answer: &str) {
        self.state.update([1]);
        self.state.update(at.to_be_bytes());
        for text in [by, command, answer] {
            self.state.update((text.len() as u64).to_be_bytes());
            self.state.update(text);
        }
        self.count += 1;
    }

    /// How many leaves it has seen.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The hash; it starts anew.
    pub fn finish(&mut self) -> Hash {
        self.count = 0;
        Hash(std::mem::take(&mut self.state).finalize().into())
    }
}

/// A block with its leaves, as a line of a ledger's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Everything but the leaves.
    pub header: Header,
    /// The leaves.
    pub leaves: Vec<Leaf>,
}
