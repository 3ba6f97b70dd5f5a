//! The policies that need one queue, or none: lru, fifo, clock, sieve, random.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::super::list::{Links, List, NIL};
use super::super::order::Order;
use super::cover;

/// The one whose last use is longest ago leaves.
#[derive(Debug, Default)]
pub struct Lru {
    links: Links,
    list: List,
}

impl<K> Order<K> for Lru {
    fn hit(&mut self, slot: u32, _: &K) {
        self.links.renew(&mut self.list, slot);
    }

    fn evict(&mut self, _: &dyn Fn(u32) -> K) -> Option<u32> {
        self.links.pop(&mut self.list)
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        self.links.cover(slot, weight);
        self.links.push(&mut self.list, slot);
    }

    fn remove(&mut self, slot: u32) {
        self.links.unlink(&mut self.list, slot);
    }
}

/// The one that came first leaves.
#[derive(Debug, Default)]
pub struct Fifo {
    links: Links,
    list: List,
}

impl<K> Order<K> for Fifo {
    fn hit(&mut self, _: u32, _: &K) {}

    fn evict(&mut self, _: &dyn Fn(u32) -> K) -> Option<u32> {
        self.links.pop(&mut self.list)
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        self.links.cover(slot, weight);
        self.links.push(&mut self.list, slot);
    }

    fn remove(&mut self, slot: u32) {
        self.links.unlink(&mut self.list, slot);
    }
}

/// The hand goes around: who was used since it last came by is spared once, who was not leaves.
#[derive(Debug, Default)]
pub struct Clock {
    links: Links,
    list: List,
    used: Vec<bool>,
}

impl<K> Order<K> for Clock {
    fn hit(&mut self, slot: u32, _: &K) {
        self.used[slot as usize] = true;
    }

    fn evict(&mut self, _: &dyn Fn(u32) -> K) -> Option<u32> {
        while let Some(slot) = self.links.pop(&mut self.list) {
            if !std::mem::take(&mut self.used[slot as usize]) {
                return Some(slot);
            }
            self.links.push(&mut self.list, slot);
        }
        None
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        cover(&mut self.used, slot, false);
        self.links.cover(slot, weight);
        self.links.push(&mut self.list, slot);
    }

    fn remove(&mut self, slot: u32) {
        self.links.unlink(&mut self.list, slot);
    }
}

/// As clock, but who is spared stays where it is: the hand walks from old to new, clears what it passes, and stays where
/// it found the one that left.
#[derive(Debug)]
pub struct Sieve {
    links: Links,
    list: List,
    used: Vec<bool>,
    hand: u32,
}

impl Default for Sieve {
    fn default() -> Self {
        Self { links: Links::default(), list: List::default(), used: Vec::new(), hand: NIL }
    }
}

impl Sieve {
    fn unlink(&mut self, slot: u32) {
        if self.hand == slot {
            self.hand = self.links.newer(slot);
        }
        self.links.unlink(&mut self.list, slot);
    }
}

impl<K> Order<K> for Sieve {
    fn hit(&mut self, slot: u32, _: &K) {
        self.used[slot as usize] = true;
    }

    fn evict(&mut self, _: &dyn Fn(u32) -> K) -> Option<u32> {
        if self.list.len == 0 {
            return None;
        }
        let mut slot = if self.hand == NIL { self.list.oldest } else { self.hand };
        while std::mem::take(&mut self.used[slot as usize]) {
            let newer = self.links.newer(slot);
            slot = if newer == NIL { self.list.oldest } else { newer };
        }
        self.hand = slot;
        self.unlink(slot);
        Some(slot)
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        cover(&mut self.used, slot, false);
        self.links.cover(slot, weight);
        self.links.push(&mut self.list, slot);
    }

    fn remove(&mut self, slot: u32) {
        self.unlink(slot);
    }
}

/// Any leaves, all equally likely.
#[derive(Debug)]
pub struct Random {
    rng: ChaCha8Rng,
    slots: Vec<u32>,
    /// Where each slot is among them.
    places: Vec<u32>,
}

impl Random {
    /// With a generator of its own.
    pub const fn new(rng: ChaCha8Rng) -> Self {
        Self { rng, slots: Vec::new(), places: Vec::new() }
    }

    fn take(&mut self, slot: u32) {
        let place = self.places[slot as usize];
        self.slots.swap_remove(place as usize);
        if let Some(moved) = self.slots.get(place as usize) {
            self.places[*moved as usize] = place;
        }
    }
}

impl<K> Order<K> for Random {
    fn hit(&mut self, _: u32, _: &K) {}

    fn evict(&mut self, _: &dyn Fn(u32) -> K) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = self.slots[self.rng.random_range(0..self.slots.len())];
        self.take(slot);
        Some(slot)
    }

    fn insert(&mut self, slot: u32, _: &K, _: u32) {
        cover(&mut self.places, slot, self.slots.len() as u32);
        self.slots.push(slot);
    }

    fn remove(&mut self, slot: u32) {
        self.take(slot);
    }
}
