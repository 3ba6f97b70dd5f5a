//! ARC (Megiddo and Modha, FAST 2003, figure 4): entries used once and entries used again, each with the keys that left
//! it; which list gives way follows from where the keys that come back left.

use std::hash::Hash;

use super::super::ghost::Ghosts;
use super::super::list::{Links, List};
use super::super::order::Order;
use super::cover;

/// The order.
#[derive(Debug)]
pub struct Arc<K> {
    capacity: u64,
    /// How much of the capacity the entries used once should have.
    target: u64,
    links: Links,
    once: List,
    again: List,
    left_once: Ghosts<K>,
    left_again: Ghosts<K>,
    in_again: Vec<bool>,
    /// Where the missing key was remembered.
    from: From,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Nowhere,
    LeftOnce,
    LeftAgain,
}

impl<K: Copy + Eq + Hash> Arc<K> {
    /// Empty.
    pub fn new(capacity: u64) -> Self {
        Self {
            capacity,
            target: 0,
            links: Links::default(),
            once: List::default(),
            again: List::default(),
            left_once: Ghosts::default(),
            left_again: Ghosts::default(),
            in_again: Vec::new(),
            from: From::Nowhere,
        }
    }
}

impl<K: Copy + Eq + Hash> Order<K> for Arc<K> {
    fn hit(&mut self, slot: u32, _: &K) {
        if self.in_again[slot as usize] {
            self.links.renew(&mut self.again, slot);
        } else {
            self.links.unlink(&mut self.once, slot);
            self.links.push(&mut self.again, slot);
            self.in_again[slot as usize] = true;
        }
    }

    fn miss(&mut self, key: &K) {
        let (once, again) = (self.left_once.weight(), self.left_again.weight());
        self.from = if self.left_once.forget(key) {
            self.target = (self.target + (again / once.max(1)).max(1)).min(self.capacity);
            From::LeftOnce
        } else if self.left_again.forget(key) {
            self.target = self.target.saturating_sub((once / again.max(1)).max(1));
            From::LeftAgain
        } else {
            // Case IV: what is used once, with what is remembered of it, has at most the capacity; all of it twice that.
            if self.once.weight + self.left_once.weight() >= self.capacity {
                if self.once.weight < self.capacity {
                    self.left_once.pop();
                }
            } else if self.once.weight + self.again.weight + self.left_once.weight() + self.left_again.weight()
                >= 2 * self.capacity
            {
                self.left_again.pop();
            }
            From::Nowhere
        };
    }

    fn evict(&mut self, key_of: &dyn Fn(u32) -> K) -> Option<u32> {
        // The list of entries used once fills the cache by itself: its oldest is not remembered.
        let alone = self.from == From::Nowhere && self.once.weight >= self.capacity;
        let over = self.once.weight > self.target
            || (self.from == From::LeftAgain && self.once.weight == self.target && self.once.len > 0);
        if self.once.len > 0 && (alone || over || self.again.len == 0) {
            let slot = self.links.pop(&mut self.once)?;
            if !alone {
                self.left_once.push(key_of(slot), self.links.weight(slot));
            }
            return Some(slot);
        }
        let slot = self.links.pop(&mut self.again)?;
        self.left_again.push(key_of(slot), self.links.weight(slot));
        Some(slot)
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        self.links.cover(slot, weight);
        let known = self.from != From::Nowhere;
        cover(&mut self.in_again, slot, known);
        self.links.push(if known { &mut self.again } else { &mut self.once }, slot);
        self.from = From::Nowhere;
        self.left_once.shrink(self.capacity.saturating_sub(self.once.weight));
        let held = self.once.weight + self.again.weight + self.left_once.weight();
        self.left_again.shrink((2 * self.capacity).saturating_sub(held));
    }

    fn remove(&mut self, slot: u32) {
        let list = if self.in_again[slot as usize] { &mut self.again } else { &mut self.once };
        self.links.unlink(list, slot);
    }
}
