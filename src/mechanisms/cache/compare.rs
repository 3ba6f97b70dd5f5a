//! What each policy would have made of a trace of keys, and what the best possible one would: Belady's MIN (IBM Systems
//! Journal 5, 1966), which knows the future and so cannot be had.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::{Deserialize, Serialize};

use super::order::Policy;
use super::store::{Found, Store};
use crate::domain::Timestamp;

/// How often the keys of `trace` were found in a cache of `capacity` entries that was empty before.
///
/// ```
/// use fizzops::mechanisms::cache::{Policy, compare};
///
/// let trace = [1, 2, 1, 3, 1, 2];
/// assert_eq!(compare::hits(Policy::Lru, 2, &trace), 2);
/// assert_eq!(compare::belady(2, &trace), 2);
/// ```
pub fn hits(policy: Policy, capacity: u64, trace: &[u64]) -> u64 {
    let mut store: Store<u64, ()> = Store::new(policy, capacity, ChaCha8Rng::seed_from_u64(0));
    let mut hits = 0;
    for key in trace {
        match store.get(key, Timestamp::EPOCH) {
            Found::Fresh(()) => hits += 1,
            Found::Stale(_) | Found::Nothing => {
                store.put(*key, (), 1, Timestamp::EPOCH, Timestamp::MAX, |_| {});
            }
        }
    }
    hits
}

/// The same by Belady's rule: the entry whose next use is farthest away leaves. O(n log n), for traces only.
pub fn belady(capacity: u64, trace: &[u64]) -> u64 {
    const NEVER: usize = usize::MAX;
    let mut later = vec![NEVER; trace.len()];
    let mut seen = rustc_hash::FxHashMap::default();
    for (at, key) in trace.iter().enumerate().rev() {
        if let Some(next) = seen.insert(*key, at)
            && let Some(slot) = later.get_mut(at)
        {
            *slot = next;
        }
    }
    // Entries by their next use.
    let mut there: BTreeSet<(usize, u64)> = BTreeSet::new();
    let mut hits = 0;
    for ((at, key), next) in trace.iter().enumerate().zip(&later) {
        if there.remove(&(at, *key)) {
            hits += 1;
        } else if there.len() as u64 >= capacity {
            there.pop_last();
        }
        there.insert((*next, *key));
    }
    hits
}

/// The hit ratios of all policies at one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The size, entries.
    pub size: u64,
    /// Hit ratios, 0 to 1, in the order of [`Policy::ALL`].
    pub policies: Vec<f64>,
    /// The best that there can be.
    pub belady: f64,
}

impl Row {
    /// All policies at this size.
    pub fn of(size: u64, trace: &[u64]) -> Self {
        let ratio = |hits: u64| if trace.is_empty() { 0.0 } else { hits as f64 / trace.len() as f64 };
        Self {
            size,
            policies: Policy::ALL.iter().map(|policy| ratio(hits(*policy, size, trace))).collect(),
            belady: ratio(belady(size, trace)),
        }
    }

    /// The ratio of one policy.
    pub fn ratio(&self, policy: Policy) -> f64 {
        Policy::ALL.iter().zip(&self.policies).find(|(one, _)| **one == policy).map_or(0.0, |(_, ratio)| *ratio)
    }

    /// The policy with the highest ratio; the first of several.
    pub fn best(&self) -> (Policy, f64) {
        let all = Policy::ALL.iter().copied().zip(self.policies.iter().copied());
        all.fold((Policy::Lru, -1.0), |best, one| if one.1 > best.1 { one } else { best })
    }
}

/// The smallest cache by `policy` that answers at least as much of the trace as `ratio`, if one of up to `most` does.
/// Found by halving: it takes for granted that a larger cache is no worse, which holds for lru and for a smooth curve.
pub fn break_even(policy: Policy, ratio: f64, most: u64, trace: &[u64]) -> Option<u64> {
    let enough = |size| hits(policy, size, trace) as f64 >= ratio * trace.len() as f64;
    if !enough(most) {
        return None;
    }
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}
