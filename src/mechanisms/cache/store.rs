//! The entries and the order in which they leave: slots in a vector, linked by index, so that every operation is O(1)
//! and a full cache allocates nothing.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::domain::{RuleMask, Timestamp};

/// Which entry leaves a full cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The one whose last use is longest ago.
    #[default]
    Lru,
    /// The one that came first.
    Fifo,
    /// Any, all equally likely.
    #[serde(alias = "dramatic_random")]
    Random,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lru, Self::Fifo, Self::Random];

    /// As it is written in files and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Fifo => "fifo",
            Self::Random => "random",
        }
    }
}

/// What an answer is kept under: the number, and the rules that were on for it. So an answer from before a flag
/// changed is never served after it.
pub type Key = (i64, RuleMask);

/// An answer that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is kept under.
    pub key: Key,
    /// The rules that matched.
    pub matched: RuleMask,
    /// When it came in.
    pub created: Timestamp,
    /// How often it was used.
    pub uses: u64,
}

const NIL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    entry: Entry,
    newer: u32,
    older: u32,
}

/// Entries up to a capacity.
#[derive(Debug)]
pub struct Store {
    policy: Policy,
    capacity: usize,
    places: FxHashMap<Key, u32>,
    nodes: Vec<Node>,
    newest: u32,
    oldest: u32,
    rng: ChaCha8Rng,
}

impl Store {
    /// Empty; `capacity` is at least 1 and below 2^32 - 1.
    pub fn new(policy: Policy, capacity: usize, rng: ChaCha8Rng) -> Self {
        let capacity = capacity.clamp(1, NIL as usize - 1);
        Self { policy, capacity, places: FxHashMap::default(), nodes: Vec::new(), newest: NIL, oldest: NIL, rng }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// It has none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The policy.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// From now on entries leave by this policy.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Looks `key` up without using it.
    pub fn peek(&self, key: &Key) -> Option<&Entry> {
        self.places.get(key).and_then(|place| self.nodes.get(*place as usize)).map(|node| &node.entry)
    }

    /// Uses `key`.
    pub fn get(&mut self, key: &Key) -> Option<RuleMask> {
        let place = *self.places.get(key)?;
        if self.policy == Policy::Lru && place != self.newest {
            self.unlink(place);
            self.link_newest(place);
        }
        let node = self.nodes.get_mut(place as usize)?;
        node.entry.uses += 1;
        Some(node.entry.matched)
    }

    /// Puts an answer in; the entry that had to leave for it is returned.
    pub fn put(&mut self, key: Key, matched: RuleMask, now: Timestamp) -> Option<Entry> {
        if let Some(place) = self.places.get(&key).copied() {
            if let Some(node) = self.nodes.get_mut(place as usize) {
                node.entry = Entry { key, matched, created: now, uses: node.entry.uses };
            }
            return None;
        }
        let evicted =
            if self.nodes.len() >= self.capacity { self.victim().and_then(|key| self.remove(&key)) } else { None };
        let place = self.nodes.len() as u32;
        self.nodes.push(Node { entry: Entry { key, matched, created: now, uses: 0 }, newer: NIL, older: NIL });
        self.places.insert(key, place);
        self.link_newest(place);
        evicted
    }

    fn victim(&mut self) -> Option<Key> {
        let place = match self.policy {
            Policy::Lru | Policy::Fifo => self.oldest as usize,
            Policy::Random => self.rng.random_range(0..self.nodes.len()),
        };
        self.nodes.get(place).map(|node| node.entry.key)
    }

    /// Takes an entry out. The last slot moves into its place, so that the slots stay dense.
    pub fn remove(&mut self, key: &Key) -> Option<Entry> {
        let place = self.places.remove(key)?;
        self.unlink(place);
        let node = self.nodes.swap_remove(place as usize);
        let moved_from = self.nodes.len() as u32;
        if place != moved_from
            && let Some(moved) = self.nodes.get(place as usize).copied()
        {
            self.places.insert(moved.entry.key, place);
            match self.nodes.get_mut(moved.newer as usize) {
                Some(newer) => newer.older = place,
                None => self.newest = place,
            }
            match self.nodes.get_mut(moved.older as usize) {
                Some(older) => older.newer = place,
                None => self.oldest = place,
            }
        }
        Some(node.entry)
    }

    /// Takes out every entry for which `gone` holds; how many that were. O(n), for commands only.
    pub fn remove_if(&mut self, mut gone: impl FnMut(&Entry) -> bool) -> usize {
        let keys: Vec<Key> = self.nodes.iter().filter(|node| gone(&node.entry)).map(|node| node.entry.key).collect();
        keys.iter().filter(|key| self.remove(key).is_some()).count()
    }

    /// Takes out everything; how many entries that were.
    pub fn clear(&mut self) -> usize {
        let count = self.nodes.len();
        self.places.clear();
        self.nodes.clear();
        self.newest = NIL;
        self.oldest = NIL;
        count
    }

    fn unlink(&mut self, place: u32) {
        let Some(Node { newer, older, .. }) = self.nodes.get(place as usize).copied() else { return };
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let was = self.newest;
        if let Some(node) = self.nodes.get_mut(place as usize) {
            node.newer = NIL;
            node.older = was;
        }
        match self.nodes.get_mut(was as usize) {
            Some(node) => node.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    fn store(policy: Policy, capacity: usize) -> Store {
        Store::new(policy, capacity, ChaCha8Rng::seed_from_u64(1))
    }

    /// The slow and obvious version: a list, oldest first.
    fn model(policy: Policy, list: &mut Vec<(i64, u64)>, capacity: usize, number: i64, value: u64) -> Option<u64> {
        if let Some(at) = list.iter().position(|entry| entry.0 == number) {
            let found = list[at].1;
            if policy == Policy::Lru {
                let entry = list.remove(at);
                list.push(entry);
            }
            return Some(found);
        }
        if list.len() == capacity {
            list.remove(0);
        }
        list.push((number, value));
        None
    }

    proptest! {
        #[test]
        fn lru_and_fifo_do_what_the_obvious_list_does(
            numbers in prop::collection::vec(0i64..40, 1..600),
            capacity in 1usize..20,
            lru in any::<bool>(),
        ) {
            let policy = if lru { Policy::Lru } else { Policy::Fifo };
            let mut store = store(policy, capacity);
            let mut list = Vec::new();
            for (value, number) in numbers.into_iter().enumerate() {
                let key = (number, RuleMask(3));
                let expected = model(policy, &mut list, capacity, number, value as u64);
                prop_assert_eq!(store.get(&key).map(|mask| mask.0), expected);
                if expected.is_none() {
                    store.put(key, RuleMask(value as u64), Timestamp::EPOCH);
                }
                prop_assert_eq!(store.len(), list.len());
            }
        }

        #[test]
        fn whatever_is_removed_the_rest_stays_linked(
            steps in prop::collection::vec((0i64..12, any::<bool>()), 1..300),
            policy in prop::sample::select(&Policy::ALL[..]),
        ) {
            let mut store = store(policy, 8);
            let mut known = std::collections::BTreeSet::new();
            for (number, put) in steps {
                let key = (number, RuleMask(1));
                if put {
                    if let Some(gone) = store.put(key, RuleMask(1), Timestamp::EPOCH) {
                        known.remove(&gone.key.0);
                    }
                    known.insert(number);
                } else {
                    prop_assert_eq!(store.remove(&key).is_some(), known.remove(&number));
                }
                prop_assert!(store.len() <= 8);
                prop_assert_eq!(store.len(), known.len());
                prop_assert!(known.iter().all(|number| store.peek(&(*number, RuleMask(1))).is_some()));
            }
        }
    }
}
