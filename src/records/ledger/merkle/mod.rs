//! The Merkle tree of RFC 6962 (section 2.1): hashes of leaves and nodes, the growing edge, proofs and their checks.
//! It knows nothing of what leaves mean or where nodes are kept.
//!
//! ```
//! use fizzops::records::ledger::merkle::{Tree, leaf_hash, verify_consistency, verify_inclusion};
//!
//! let mut tree = Tree::default();
//! let leaves = ["trip", "reset", "pause"].map(|leaf| leaf_hash(leaf.as_bytes()));
//! leaves.into_iter().for_each(|leaf| tree.push(leaf));
//! let (old, size) = (tree.root(), tree.size());
//! tree.push(leaf_hash(b"resume"));
//!
//! let proof = tree.prove_inclusion(1, 4).unwrap();
//! verify_inclusion(&leaves[1], 1, 4, &proof, &tree.root()).unwrap();
//! assert!(verify_inclusion(&leaves[0], 1, 4, &proof, &tree.root()).is_err());
//! let proof = tree.prove_consistency(size, 4).unwrap();
//! verify_consistency(size, 4, &old, &tree.root(), &proof).unwrap();
//! ```

mod proof;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use proof::{
    Nodes, ProofError, ProveError, prove_consistency, prove_inclusion, range_root, verify_consistency, verify_inclusion,
};

use super::hash::Hash;

/// A leaf's hash: SHA-256 over a byte 0 and the data, so that no leaf can be taken for a node.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// A node's hash: SHA-256 over a byte 1 and the hashes of its children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // One update: the hasher's buffer is filled once.
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(bytes).into())
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// The right edge of a growing tree: the roots of its complete subtrees, the largest first. Appending costs two hashes on
/// the average and O(log n) at most; memory is a hash per bit of the size.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

/// An edge as it is written, before it is believed.
#[derive(Deserialize)]
struct Parts {
    size: u64,
    nodes: Vec<Hash>,
}

impl TryFrom<Parts> for Frontier {
    type Error = &'static str;

    fn try_from(parts: Parts) -> Result<Self, Self::Error> {
        Self::new(parts.size, parts.nodes).ok_or("a tree's edge has a node for every bit of its size")
    }
}

impl Frontier {
    /// The edge of a tree with this many leaves; `None` unless there is a node for every bit of the size.
    pub fn new(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest (leftmost) first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends a leaf. `seen` is told of every node that it completes, itself included: level, index in it, hash.
    pub fn push_with(&mut self, leaf: Hash, mut seen: impl FnMut(u32, u64, &Hash)) {
        let (mut hash, mut index, mut level) = (leaf, self.size, 0);
        seen(level, index, &hash);
        while index & 1 == 1 {
            // An odd index has its left neighbour at the end of the edge.
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            index >>= 1;
            level += 1;
            seen(level, index, &hash);
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _, _| {});
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return empty_root() };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }

    /// The root over the leaves from `start` on; `None` unless a complete subtree begins there, or nothing does.
    pub fn root_from(&self, start: u64) -> Option<Hash> {
        let mut at = self.size;
        let mut root: Option<Hash> = None;
        for (place, node) in self.nodes.iter().rev().enumerate() {
            if at == start {
                break;
            }
            // The nth node from the right stands for the nth lowest bit of the size.
            let bit = (0..place).fold(self.size, |rest, _| rest & rest.wrapping_sub(1)).trailing_zeros();
            at -= 1 << bit;
            root = Some(root.map_or(*node, |right| node_hash(node, &right)));
        }
        root.filter(|_| at == start)
    }
}

/// A whole tree in memory: 64 bytes a leaf. For tests, small ledgers and figures; large ones are kept in tiles.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    levels: Vec<Vec<Hash>>,
    frontier: Frontier,
}

impl Tree {
    /// Appends a leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        let levels = &mut self.levels;
        self.frontier.push_with(leaf, |level, _, hash| {
            let level = level as usize;
            if levels.len() == level {
                levels.push(Vec::new());
            }
            if let Some(nodes) = levels.get_mut(level) {
                nodes.push(*hash);
            }
        });
    }

    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Its root.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The root that it had at this size; `None` for a size that it has not had yet.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        if size > self.size() {
            return None;
        }
        range_root(self, 0, size).ok()
    }

    /// That the leaf at `index` is in the tree of the first `size` leaves.
    ///
    /// # Errors
    /// [`ProveError`] when it is not.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, ProveError<Missing>> {
        self.within(size)?;
        prove_inclusion(self, index, size)
    }

    /// That the tree of the first `new` leaves begins with the tree of the first `old` ones.
    ///
    /// # Errors
    /// [`ProveError`] for sizes that it has not had.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ProveError<Missing>> {
        self.within(new)?;
        prove_consistency(self, old, new)
    }

    const fn within(&self, size: u64) -> Result<(), ProveError<Missing>> {
        if size > self.frontier.size { Err(ProveError::Source(Missing)) } else { Ok(()) }
    }
}

/// The tree has no such node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree is smaller than that")]
pub struct Missing;

impl Nodes for Tree {
    type Error = Missing;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Missing> {
        let nodes = self.levels.get(level as usize).ok_or(Missing)?;
        usize::try_from(index).ok().and_then(|index| nodes.get(index)).copied().ok_or(Missing)
    }
}
