//! Keys that left a cache and are remembered for a while: they weigh what their entries did, and hold no value.

use std::hash::{BuildHasher as _, Hash};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::list::{Links, List};

/// Remembered keys, in the order in which they came.
#[derive(Debug, Clone)]
pub struct Ghosts<K> {
    places: HashTable<u32>,
    keys: Vec<K>,
    free: Vec<u32>,
    links: Links,
    list: List,
}

impl<K> Default for Ghosts<K> {
    fn default() -> Self {
        Self {
            places: HashTable::new(),
            keys: Vec::new(),
            free: Vec::new(),
            links: Links::default(),
            list: List::default(),
        }
    }
}

impl<K: Copy + Eq + Hash> Ghosts<K> {
    /// What they weigh together.
    pub const fn weight(&self) -> u64 {
        self.list.weight
    }

    /// Remembers a key as the newest.
    pub fn push(&mut self, key: K, weight: u32) {
        self.forget(&key);
        let place = match self.free.pop() {
            Some(place) => {
                self.keys[place as usize] = key;
                place
            }
            None => {
                self.keys.push(key);
                (self.keys.len() - 1) as u32
            }
        };
        self.links.cover(place, weight);
        self.links.push(&mut self.list, place);
        let keys = &self.keys;
        let hash = |place: &u32| FxBuildHasher.hash_one(keys[*place as usize]);
        self.places.insert_unique(FxBuildHasher.hash_one(key), place, hash);
    }

    /// Forgets a key; whether it was remembered.
    pub fn forget(&mut self, key: &K) -> bool {
        let keys = &self.keys;
        let found = self.places.find_entry(FxBuildHasher.hash_one(key), |place| keys[*place as usize] == *key);
        let Ok(found) = found else { return false };
        let (place, _) = found.remove();
        self.links.unlink(&mut self.list, place);
        self.free.push(place);
        true
    }

    /// Forgets the oldest key.
    pub fn pop(&mut self) -> Option<K> {
        let key = *self.keys.get(self.list.oldest as usize)?;
        self.forget(&key);
        Some(key)
    }

    /// Forgets the oldest keys until the rest weighs at most this much.
    pub fn shrink(&mut self, weight: u64) {
        while self.list.weight > weight && self.pop().is_some() {}
    }
}
