//! Proofs and their checks: RFC 6962 sections 2.1.1 and 2.1.2 make them, RFC 9162 sections 2.1.3.2 and 2.1.4.2 check them.

use super::{Hash, empty_root, node_hash};

/// Where the nodes of complete subtrees are kept.
pub trait Nodes {
    /// Why one cannot be had.
    type Error;

    /// The root of the leaves `index << level .. (index + 1) << level`.
    ///
    /// # Errors
    /// When it cannot be had.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The leaf is not in a tree of that size.
    #[error("there is no leaf {index} in a tree of {size} leaves; the last one is {}", .size.saturating_sub(1))]
    Index {
        /// Asked for.
        index: u64,
        /// The tree's.
        size: u64,
    },
    /// A tree cannot have shrunk.
    #[error("a tree of {new} leaves cannot have grown from one of {old}")]
    Shrunk {
        /// Before.
        old: u64,
        /// After.
        new: u64,
    },
    /// A node cannot be had.
    #[error(transparent)]
    Source(E),
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// The root over the leaves `from..to`; `from` is where a subtree of at least that many leaves begins, as everywhere in
/// a tree's recursion.
///
/// # Errors
/// As the source of nodes.
pub fn range_root<N: Nodes + ?Sized>(nodes: &N, from: u64, to: u64) -> Result<Hash, N::Error> {
    let mut parts = Vec::new();
    let mut at = from;
    while at < to {
        let level = (u64::BITS - 1 - (to - at).leading_zeros()).min(at.trailing_zeros());
        parts.push(nodes.node(level, at >> level)?);
        at += 1 << level;
    }
    let mut parts = parts.iter().rev();
    let Some(last) = parts.next() else { return Ok(empty_root()) };
    Ok(parts.fold(*last, |right, left| node_hash(left, &right)))
}

/// The audit path of leaf `index` in the tree of `size` leaves, from the leaf's sibling up.
///
/// # Errors
/// [`ProveError`].
pub fn prove_inclusion<N: Nodes + ?Sized>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, ProveError<N::Error>> {
    if index >= size {
        return Err(ProveError::Index { index, size });
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        let sibling = if index < middle { (middle, to) } else { (from, middle) };
        path.push(range_root(nodes, sibling.0, sibling.1).map_err(ProveError::Source)?);
        if index < middle {
            to = middle;
        } else {
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// That the tree of `new` leaves begins with the tree of `old` ones. Empty when there is nothing to prove: for equal
/// sizes, and for `old` 0, which every tree begins with.
///
/// # Errors
/// [`ProveError`].
pub fn prove_consistency<N: Nodes + ?Sized>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, ProveError<N::Error>> {
    if old > new {
        return Err(ProveError::Shrunk { old, new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut from, mut to) = (0, new);
    // Whether the old tree's root is the subtree that is looked at: its verifier has it already then.
    let mut whole = true;
    let mut path = Vec::new();
    while to != old {
        let middle = from + split(to - from);
        let sibling = if old <= middle { (middle, to) } else { (from, middle) };
        path.push(range_root(nodes, sibling.0, sibling.1).map_err(ProveError::Source)?);
        if old <= middle {
            to = middle;
        } else {
            from = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(range_root(nodes, from, to).map_err(ProveError::Source)?);
    }
    path.reverse();
    Ok(path)
}

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf is not in a tree of that size.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    Index {
        /// Claimed.
        index: u64,
        /// The tree's.
        size: u64,
    },
    /// A tree cannot have shrunk.
    #[error("a tree of {new} leaves cannot have grown from one of {old}")]
    Shrunk {
        /// Before.
        old: u64,
        /// After.
        new: u64,
    },
    /// Too few or too many hashes.
    #[error("the proof has {found} hashes; for these sizes it needs {needed}")]
    Length {
        /// In it.
        found: usize,
        /// Needed.
        needed: usize,
    },
    /// The hashes lead elsewhere.
    #[error("the proof leads to the root {found}, the tree has {expected}: it is of another tree or another leaf")]
    Root {
        /// Computed.
        found: Hash,
        /// Claimed.
        expected: Hash,
    },
    /// The hashes do not lead to the old root.
    #[error("the proof leads to the old root {found}, the old tree had {expected}: history was rewritten")]
    OldRoot {
        /// Computed.
        found: Hash,
        /// Claimed.
        expected: Hash,
    },
}

/// How many hashes the audit path of `index` has in a tree of `size` leaves.
fn path_length(index: u64, size: u64) -> usize {
    // Below the point where the paths of this leaf and of the last one part, every level has a sibling; above it only
    // those where the path comes from the right.
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = if inner == u64::BITS { 0 } else { (index >> inner).count_ones() };
    (inner + border) as usize
}

/// Whether the leaf with this hash is at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError`] says why not.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let needed = path_length(index, size);
    if proof.len() != needed {
        return Err(ProofError::Length { found: proof.len(), needed });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // Levels where the node has no right sibling: it is its own parent there.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root { found: hash, expected: *root }) }
}

/// Whether the tree of `new` leaves with root `new_root` begins with the tree of `old` leaves with root `old_root`.
///
/// # Errors
/// [`ProofError`] says why not.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk { old, new });
    }
    if old == new || old == 0 {
        if !proof.is_empty() {
            return Err(ProofError::Length { found: proof.len(), needed: 0 });
        }
        let expected = if old == 0 { &empty_root() } else { new_root };
        return if old_root == expected {
            Ok(())
        } else {
            Err(ProofError::OldRoot { found: *expected, expected: *old_root })
        };
    }
    // The last complete subtree of the old tree is where both walks begin.
    let shift = old.trailing_zeros();
    let power = old.is_power_of_two();
    let needed = path_length((old - 1) >> shift, ((new - 1) >> shift) + 1) + usize::from(!power);
    if proof.len() != needed {
        return Err(ProofError::Length { found: proof.len(), needed });
    }
    let mut hashes = proof.iter();
    let first = if power { *old_root } else { hashes.next().copied().unwrap_or_default() };
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in hashes {
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if old_hash != *old_root {
        return Err(ProofError::OldRoot { found: old_hash, expected: *old_root });
    }
    if new_hash != *new_root {
        return Err(ProofError::Root { found: new_hash, expected: *new_root });
    }
    Ok(())
}
