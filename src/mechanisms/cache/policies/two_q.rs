//! 2Q, the full version of Johnson and Shasha (VLDB 1994): new entries wait in a first-in-first-out queue; who comes back
//! after leaving it, while still remembered, is kept by last use.

use std::hash::Hash;

use super::super::ghost::Ghosts;
use super::super::list::{Links, List};
use super::super::order::Order;
use super::cover;

/// The order. Kin is a quarter of the capacity, Kout half of it, as the paper advises.
#[derive(Debug)]
pub struct TwoQ<K> {
    k_in: u64,
    k_out: u64,
    links: Links,
    a1_in: List,
    a_m: List,
    a1_out: Ghosts<K>,
    /// Whether each slot is in Am.
    in_a_m: Vec<bool>,
    returning: bool,
}

impl<K: Copy + Eq + Hash> TwoQ<K> {
    /// Empty.
    pub fn new(capacity: u64) -> Self {
        Self {
            k_in: (capacity / 4).max(1),
            k_out: (capacity / 2).max(1),
            links: Links::default(),
            a1_in: List::default(),
            a_m: List::default(),
            a1_out: Ghosts::default(),
            in_a_m: Vec::new(),
            returning: false,
        }
    }
}

impl<K: Copy + Eq + Hash> Order<K> for TwoQ<K> {
    fn hit(&mut self, slot: u32, _: &K) {
        if self.in_a_m[slot as usize] {
            self.links.renew(&mut self.a_m, slot);
        }
    }

    fn miss(&mut self, key: &K) {
        self.returning = self.a1_out.forget(key);
    }

    fn evict(&mut self, key_of: &dyn Fn(u32) -> K) -> Option<u32> {
        if self.a1_in.weight > self.k_in || self.a_m.len == 0 {
            let slot = self.links.pop(&mut self.a1_in)?;
            self.a1_out.push(key_of(slot), self.links.weight(slot));
            self.a1_out.shrink(self.k_out);
            return Some(slot);
        }
        self.links.pop(&mut self.a_m)
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        self.links.cover(slot, weight);
        cover(&mut self.in_a_m, slot, self.returning);
        let list = if self.returning { &mut self.a_m } else { &mut self.a1_in };
        self.links.push(list, slot);
        self.returning = false;
    }

    fn remove(&mut self, slot: u32) {
        let list = if self.in_a_m[slot as usize] { &mut self.a_m } else { &mut self.a1_in };
        self.links.unlink(list, slot);
    }
}
