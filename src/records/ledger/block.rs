//! Blocks with proof of work over the same leaves. They add a cost to rewriting, and nothing against whoever holds the
//! key: what protects the past is a checkpoint that somebody else has kept.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hash::Hash;
use crate::domain::Timestamp;

/// What the program says wherever it shows the work.
pub const HONEST: &str = "Proof of work makes rewriting as costly as writing was, and no more: whoever holds the ledger's key \
can redo it. What protects the past is a checkpoint kept elsewhere, or a witness.";

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// From 0, which is the genesis block.
    pub index: u64,
    /// When it was closed, nanoseconds since the epoch.
    pub timestamp: Timestamp,
    /// How many leaves it adds.
    pub leaves: u64,
    /// How many leaves the tree has with them.
    pub size: u64,
    /// The tree's root then.
    pub root: Hash,
    /// The hash of the block before; zeros for the genesis block.
    #[serde(rename = "previous_hash")]
    pub previous: Hash,
    /// How many zero digits its hash begins with.
    pub difficulty: u32,
    /// What was tried until it did.
    pub nonce: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Hashes between two looks at whether mining was cancelled.
const LOOK: u64 = 1 << 14;

impl Header {
    /// The hash that the other fields give: SHA-256 over index, timestamp, leaves, size, root, previous hash, difficulty
    /// and nonce, numbers as eight bytes, most significant first.
    pub fn compute(&self) -> Hash {
        finish(&self.work(), self.nonce)
    }

    fn work(&self) -> Sha256 {
        Sha256::new()
            .chain_update(self.index.to_be_bytes())
            .chain_update(self.timestamp.as_nanos().to_be_bytes())
            .chain_update(self.leaves.to_be_bytes())
            .chain_update(self.size.to_be_bytes())
            .chain_update(self.root.0)
            .chain_update(self.previous.0)
            .chain_update(u64::from(self.difficulty).to_be_bytes())
    }

    /// Finds the nonce, counting from 0, trying at most `tries`; how many hashes that took. `None` when it was not found
    /// or `cancel` was set meanwhile.
    pub fn mine(&mut self, tries: u64, cancel: &AtomicBool) -> Option<u64> {
        let work = self.work();
        for nonce in 0..tries {
            if nonce % LOOK == 0 && cancel.load(Ordering::Relaxed) {
                return None;
            }
            let hash = finish(&work, nonce);
            if hash.has_zeros(self.difficulty) {
                self.nonce = nonce;
                self.hash = hash;
                return Some(nonce + 1);
            }
        }
        None
    }

    /// Whether it may follow `last`: number, link, dates, size, difficulty, hash and work.
    ///
    /// # Errors
    /// What differs, in a sentence.
    pub fn check(&self, last: Option<&Self>) -> Result<(), String> {
        let index = last.map_or(0, |last| last.index + 1);
        if self.index != index {
            return Err(format!("it is numbered {} and should be {index}", self.index));
        }
        let previous = last.map_or(Hash::default(), |last| last.hash);
        if self.previous != previous {
            return Err(format!("its previous hash is {}, the block before has {previous}", self.previous));
        }
        if let Some(last) = last {
            if self.difficulty != last.difficulty {
                return Err(format!("its difficulty is {}, the block before has {}", self.difficulty, last.difficulty));
            }
            if self.timestamp < last.timestamp {
                return Err("it is dated before the block before it".into());
            }
        }
        let size = last.map_or(0, |last| last.size);
        if size.checked_add(self.leaves) != Some(self.size) {
            return Err(format!("it says that {} leaves follow {size} and make {}", self.leaves, self.size));
        }
        let hash = self.compute();
        if self.hash != hash {
            return Err(format!("its fields give the hash {hash}, it says {}", self.hash));
        }
        if !hash.has_zeros(self.difficulty) {
            return Err(format!("its hash does not begin with {} zero digits", self.difficulty));
        }
        Ok(())
    }
}

fn finish(work: &Sha256, nonce: u64) -> Hash {
    Hash(work.clone().chain_update(nonce.to_be_bytes()).finalize().into())
}
