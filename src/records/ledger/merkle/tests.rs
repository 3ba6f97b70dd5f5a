//! The tree against the definition of RFC 6962, written as slowly as it is written there.

use proptest::prelude::*;

use super::*;

/// MTH of section 2.1.
fn slow_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let middle = leaves.len().next_power_of_two() / 2;
            node_hash(&slow_root(&leaves[..middle]), &slow_root(&leaves[middle..]))
        }
    }
}

/// PATH of section 2.1.1.
fn slow_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, sibling) = if index < left.len() {
        (slow_path(index, left), slow_root(right))
    } else {
        (slow_path(index - left.len(), right), slow_root(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF of section 2.1.2.
fn slow_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![slow_root(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut proof, sibling) = if old <= left.len() {
        (slow_subproof(old, left, whole), slow_root(right))
    } else {
        (slow_subproof(old - left.len(), right, false), slow_root(left))
    };
    proof.push(sibling);
    proof
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
}

fn tree(leaves: &[Hash]) -> Tree {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree
}

#[test]
fn the_known_hashes() {
    assert_eq!(empty_root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(leaf_hash(b"").to_string(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    assert_eq!(Tree::default().root(), empty_root());
}

#[test]
fn every_proof_of_every_small_tree_is_the_definitions() {
    let all = leaves(40);
    let tree = tree(&all);
    for size in 0..=all.len() {
        let now = &all[..size];
        let root = tree.root_at(size as u64).unwrap();
        assert_eq!(root, slow_root(now));
        for (index, leaf) in now.iter().enumerate() {
            let proof = tree.prove_inclusion(index as u64, size as u64).unwrap();
            assert_eq!(proof, slow_path(index, now));
            verify_inclusion(leaf, index as u64, size as u64, &proof, &root).unwrap();
        }
        for old in 1..=size {
            let proof = tree.prove_consistency(old as u64, size as u64).unwrap();
            assert_eq!(proof, slow_subproof(old, now, true));
            verify_consistency(old as u64, size as u64, &slow_root(&all[..old]), &root, &proof).unwrap();
        }
    }
    assert_eq!(tree.prove_inclusion(40, 40), Err(ProveError::Index { index: 40, size: 40 }));
    assert_eq!(tree.prove_consistency(5, 4), Err(ProveError::Shrunk { old: 5, new: 4 }));
    assert_eq!(tree.prove_inclusion(0, 41), Err(ProveError::Source(Missing)));
}

#[test]
fn the_edge_knows_the_root_from_wherever_a_subtree_begins() {
    let all = leaves(23);
    let mut edge = Frontier::default();
    all.iter().for_each(|leaf| edge.push(*leaf));
    for (start, known) in [(0, true), (16, true), (20, true), (22, true), (8, false), (21, false)] {
        let expected = known.then(|| slow_root(&all[start as usize..]));
        assert_eq!(edge.root_from(start), expected, "{start}");
    }
    assert_eq!(Frontier::new(23, edge.nodes().to_vec()), Some(edge.clone()));
    assert_eq!(Frontier::new(22, edge.nodes().to_vec()), None);
}

proptest! {
    #[test]
    fn a_grown_tree_is_the_definition(count in 0usize..700) {
        let all = leaves(count);
        let mut edge = Frontier::default();
        all.iter().for_each(|leaf| edge.push(*leaf));
        prop_assert_eq!((edge.root(), edge.size()), (slow_root(&all), count as u64));
    }

    #[test]
    fn no_other_leaf_index_hash_or_root_passes(
        count in 1u64..200, index in 0u64..200, other in 0u64..200, bit in 0usize..256,
    ) {
        let (all, index) = (leaves(count as usize), index % count);
        let tree = tree(&all);
        let (root, leaf) = (tree.root(), all[index as usize]);
        let proof = tree.prove_inclusion(index, count).unwrap();
        prop_assert!(verify_inclusion(&leaf, index, count, &proof, &root).is_ok());
        if other != index {
            prop_assert!(verify_inclusion(&leaf, other, count, &proof, &root).is_err());
        }
        let flip = |hash: &Hash| {
            let mut bytes = hash.0;
            bytes[bit / 8] ^= 1 << (bit % 8);
            Hash(bytes)
        };
        prop_assert!(verify_inclusion(&flip(&leaf), index, count, &proof, &root).is_err());
        prop_assert!(verify_inclusion(&leaf, index, count, &proof, &flip(&root)).is_err());
        for at in 0..proof.len() {
            let mut wrong = proof.clone();
            wrong[at] = flip(&wrong[at]);
            prop_assert!(verify_inclusion(&leaf, index, count, &wrong, &root).is_err());
        }
    }

    #[test]
    fn a_rewritten_past_is_not_consistent(old in 1u64..150, more in 0u64..150, at in 0u64..150) {
        let new = old + more;
        let mut all = leaves(new as usize);
        let before = tree(&all).root_at(old).unwrap();
        let proof = tree(&all).prove_consistency(old, new).unwrap();
        prop_assert!(verify_consistency(old, new, &before, &tree(&all).root(), &proof).is_ok());
        all[(at % old) as usize] = leaf_hash(b"another");
        let rewritten = tree(&all);
        let proof = rewritten.prove_consistency(old, new).unwrap();
        prop_assert!(verify_consistency(old, new, &before, &rewritten.root(), &proof).is_err());
    }

    #[test]
    fn nothing_makes_a_check_panic(
        old in any::<u64>(), new in any::<u64>(), count in 0usize..130, seed in any::<u8>(),
    ) {
        let proof = vec![Hash([seed; 32]); count];
        let root = Hash([seed; 32]);
        prop_assert!(verify_inclusion(&root, old, new, &proof, &Hash([!seed; 32])).is_err());
        prop_assert!(verify_consistency(old, new, &root, &Hash([!seed; 32]), &proof).is_err() || old == 0);
    }
}
