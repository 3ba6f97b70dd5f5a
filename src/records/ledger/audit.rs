//! The last commands and events with what proves them: while the tree grows, each collects the hashes beside its path, so
//! that a proof is there at once and nothing else of the tree is kept.

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::hash::Hash;
use super::merkle::{Frontier, verify_inclusion};
use crate::domain::Timestamp;

/// How many are kept.
pub(super) const KEPT: usize = 16;

/// A command or an event among the leaves, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// Its leaf, from 0.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// `command` or `event`.
    pub kind: String,
    /// In a sentence.
    pub text: String,
}

/// A proof, as it is shown: whoever looks can check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    /// Of which leaf.
    pub index: u64,
    /// What that says.
    pub text: String,
    /// Its hash.
    pub leaf: Hash,
    /// From its sibling up.
    pub path: Vec<Hash>,
    /// The tree's size.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
}

impl ProofView {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        verify_inclusion(&self.leaf, self.index, self.size, &self.path, &self.root).is_ok()
    }
}

/// A leaf whose path is watched.
#[derive(Debug)]
pub(super) struct Audit {
    view: AuditView,
    leaf: Hash,
    /// The complete sibling at each level, as far as it is known.
    siblings: Vec<Option<Hash>>,
}

impl Audit {
    /// Of the leaf that is about to be appended to `before`: the siblings on its left are there already.
    pub fn new(before: &Frontier, leaf: Hash, bytes: &[u8]) -> Self {
        let index = before.size();
        let mut siblings = vec![None; 64];
        let levels = (0..64usize).rev().filter(|level| index >> level & 1 == 1);
        for (level, node) in levels.zip(before.nodes()) {
            siblings[level] = Some(*node);
        }
        let (at, kind, text) =
            Entry::decode(bytes).map_or((0, "", String::new()), |entry| (entry.at(), entry.kind(), entry.text()));
        let view = AuditView { index, at: Timestamp::from_nanos(at), kind: kind.to_owned(), text };
        Self { view, leaf, siblings }
    }

    pub const fn index(&self) -> u64 {
        self.view.index
    }

    pub fn view(&self) -> AuditView {
        self.view.clone()
    }

    /// A node is complete.
    pub fn see(&mut self, level: u32, index: u64, hash: &Hash) {
        if index == self.view.index.checked_shr(level).unwrap_or(0) ^ 1
            && let Some(sibling) = self.siblings.get_mut(level as usize)
        {
            *sibling = Some(*hash);
        }
    }

    /// The proof in the tree with this edge.
    pub fn prove(&self, edge: &Frontier) -> Option<ProofView> {
        let (index, size) = (self.view.index, edge.size());
        let (mut from, mut to) = (0, size);
        let mut path = Vec::new();
        while to - from > 1 {
            // The largest power of two below the number of leaves.
            let level = u64::BITS - 1 - (to - from - 1).leading_zeros();
            let middle = from + (1 << level);
            let whole = index >= middle || to - middle == 1 << level;
            path.push(if whole { (*self.siblings.get(level as usize)?)? } else { edge.root_from(middle)? });
            if index < middle {
                to = middle;
            } else {
                from = middle;
            }
        }
        path.reverse();
        let proof = ProofView { index, text: self.view.text.clone(), leaf: self.leaf, path, size, root: edge.root() };
        proof.holds().then_some(proof)
    }
}
