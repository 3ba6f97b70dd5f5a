//! Keys that left a cache and are remembered for a while: they weigh what their entries did, and hold no value. They are
//! written one after another, so that remembering and forgetting the oldest touches little memory.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hash};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

#[derive(Debug, Clone, Copy)]
struct Ghost<K> {
    key: K,
    /// 0 for one that was forgotten before its turn.
    weight: u32,
}

/// Remembered keys, in the order in which they came.
#[derive(Debug, Clone)]
pub struct Ghosts<K> {
    queue: VecDeque<Ghost<K>>,
    /// How many have left the queue's front: a key's number less this is its place in the queue.
    passed: u32,
    numbers: HashTable<u32>,
    weight: u64,
}

impl<K> Default for Ghosts<K> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), passed: 0, numbers: HashTable::new(), weight: 0 }
    }
}

fn hash<K: Hash>(key: &K) -> u64 {
    FxBuildHasher.hash_one(key)
}

impl<K: Copy + Eq + Hash> Ghosts<K> {
    /// What they weigh together.
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// Remembers a key as the newest.
    pub fn push(&mut self, key: K, weight: u32) {
        self.forget(&key);
        let most_numbers = self.passed as usize + self.queue.len() >= u32::MAX as usize;
        if most_numbers || self.queue.len() > 2 * self.numbers.len() + 64 {
            self.close_ranks();
        }
        let number = self.passed + self.queue.len() as u32;
        self.queue.push_back(Ghost { key, weight });
        self.weight += u64::from(weight);
        let Self { queue, passed, numbers, .. } = self;
        // A number in the table has its place in the queue.
        let rehash = |number: &u32| queue.get((number - *passed) as usize).map_or(0, |ghost| hash(&ghost.key));
        numbers.insert_unique(hash(&key), number, rehash);
    }

    /// Leaves no gaps in the queue; done so rarely that a push stays O(1) on average.
    fn close_ranks(&mut self) {
        self.queue.retain(|ghost| ghost.weight > 0);
        self.passed = 0;
        self.numbers.clear();
        let Self { queue, numbers, .. } = self;
        for (number, ghost) in (0..).zip(&*queue) {
            let rehash = |number: &u32| queue.get(*number as usize).map_or(0, |ghost| hash(&ghost.key));
            numbers.insert_unique(hash(&ghost.key), number, rehash);
        }
    }

    /// Forgets a key; whether it was remembered.
    pub fn forget(&mut self, key: &K) -> bool {
        let Self { queue, passed, numbers, weight } = self;
        let same = |number: &u32| queue.get((number - *passed) as usize).is_some_and(|ghost| ghost.key == *key);
        let Ok(found) = numbers.find_entry(hash(key), same) else { return false };
        let (number, _) = found.remove();
        if let Some(ghost) = queue.get_mut((number - *passed) as usize) {
            *weight -= u64::from(std::mem::take(&mut ghost.weight));
        }
        true
    }

    /// Forgets the oldest key; whether there was one.
    pub fn pop(&mut self) -> bool {
        while let Some(ghost) = self.queue.pop_front() {
            let number = self.passed;
            self.passed += 1;
            if ghost.weight == 0 {
                continue;
            }
            self.weight -= u64::from(ghost.weight);
            if let Ok(found) = self.numbers.find_entry(hash(&ghost.key), |one| *one == number) {
                found.remove();
            }
            return true;
        }
        false
    }

    /// Forgets the oldest keys until the rest weighs at most this much.
    pub fn shrink(&mut self, weight: u64) {
        while self.weight > weight && self.pop() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_remembered_as_an_obvious_list_does(steps in prop::collection::vec((0u64..40, 0u8..8, 1u32..5), 1..900)) {
            let mut ghosts = Ghosts::default();
            let mut list: Vec<(u64, u32)> = Vec::new();
            for (key, what, weight) in steps {
                match what {
                    0 => {
                        let known = list.iter().any(|one| one.0 == key);
                        list.retain(|one| one.0 != key);
                        prop_assert_eq!(ghosts.forget(&key), known);
                    }
                    1 => {
                        prop_assert_eq!(ghosts.pop(), !list.is_empty());
                        list.drain(..list.len().min(1));
                    }
                    _ => {
                        ghosts.push(key, weight);
                        list.retain(|one| one.0 != key);
                        list.push((key, weight));
                        ghosts.shrink(40);
                        while list.iter().map(|one| one.1).sum::<u32>() > 40 {
                            list.remove(0);
                        }
                    }
                }
                prop_assert_eq!(ghosts.weight(), list.iter().map(|one| u64::from(one.1)).sum::<u64>());
                prop_assert_eq!(ghosts.numbers.len(), list.len());
                prop_assert!(ghosts.queue.len() <= 2 * list.len() + 66);
            }
        }
    }
}
