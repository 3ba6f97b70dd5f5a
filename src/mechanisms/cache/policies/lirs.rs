//! LIRS (Jiang and Zhang, SIGMETRICS 2002): entries that come back soon are kept, judged by how many others were used
//! between their last two uses. The stack S has every entry that could become one of those; the queue Q has the others.

use std::hash::{BuildHasher as _, Hash};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::super::list::{Links, List, NIL};
use super::super::order::Order;
use super::cover;

/// A place in the stack: an entry that is there, or a key that left and may come back.
#[derive(Debug, Clone, Copy)]
struct Frame<K> {
    key: K,
    /// `NIL` for a key that left.
    slot: u32,
}

/// Of each slot.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Kept (LIR), or on trial (HIR).
    low: bool,
    /// Its place in the stack, or `NIL`.
    frame: u32,
}

/// The order. A hundredth of the capacity is for entries on trial; at most twice the capacity of keys that left are
/// remembered, the oldest ones first to go.
#[derive(Debug)]
pub struct Lirs<K> {
    low_weight: u64,
    remembered_weight: u64,
    states: Vec<State>,
    /// What the kept entries weigh.
    low: u64,
    queue: List,
    queue_links: Links,
    frames: Vec<Frame<K>>,
    free: Vec<u32>,
    stack: List,
    stack_links: Links,
    /// Frames of keys that left, in the order in which they did.
    left: List,
    left_links: Links,
    places: HashTable<u32>,
    returning: bool,
}

impl<K: Copy + Eq + Hash> Lirs<K> {
    /// Empty.
    pub fn new(capacity: u64) -> Self {
        Self {
            low_weight: (capacity - (capacity / 100).max(1).min(capacity)).max(1),
            remembered_weight: capacity * 2,
            states: Vec::new(),
            low: 0,
            queue: List::default(),
            queue_links: Links::default(),
            frames: Vec::new(),
            free: Vec::new(),
            stack: List::default(),
            stack_links: Links::default(),
            left: List::default(),
            left_links: Links::default(),
            places: HashTable::new(),
            returning: false,
        }
    }

    /// Puts an entry on top of the stack.
    fn stack_push(&mut self, slot: u32, key: K, weight: u32) {
        let frame = Frame { key, slot };
        let at = match self.free.pop() {
            Some(at) => {
                self.frames[at as usize] = frame;
                at
            }
            None => {
                self.frames.push(frame);
                (self.frames.len() - 1) as u32
            }
        };
        self.stack_links.cover(at, weight);
        self.left_links.cover(at, weight);
        self.stack_links.push(&mut self.stack, at);
        self.states[slot as usize].frame = at;
    }

    /// Takes a frame out of the stack.
    fn stack_remove(&mut self, at: u32) {
        let Frame { key, slot } = self.frames[at as usize];
        self.stack_links.unlink(&mut self.stack, at);
        if slot == NIL {
            self.left_links.unlink(&mut self.left, at);
            if let Ok(found) = self.places.find_entry(FxBuildHasher.hash_one(key), |place| *place == at) {
                found.remove();
            }
        } else {
            self.states[slot as usize].frame = NIL;
        }
        self.free.push(at);
    }

    /// The bottom of the stack is always a kept entry: what is below the lowest of those can never become one.
    fn prune(&mut self) {
        while let Some(frame) = self.frames.get(self.stack.oldest as usize) {
            if frame.slot != NIL && self.states[frame.slot as usize].low {
                return;
            }
            self.stack_remove(self.stack.oldest);
        }
    }

    /// The lowest kept entry goes on trial.
    fn demote(&mut self) {
        let Some(frame) = self.frames.get(self.stack.oldest as usize).copied() else { return };
        // After pruning the bottom is a kept entry.
        let slot = frame.slot;
        self.stack_remove(self.stack.oldest);
        self.states[slot as usize].low = false;
        self.low -= u64::from(self.queue_links.weight(slot));
        self.queue_links.push(&mut self.queue, slot);
        self.prune();
    }

    fn promote(&mut self, slot: u32) {
        self.states[slot as usize].low = true;
        self.low += u64::from(self.queue_links.weight(slot));
        while self.low > self.low_weight && self.stack.oldest != self.states[slot as usize].frame {
            self.demote();
        }
    }

    fn raise(&mut self, at: u32) {
        self.stack_links.renew(&mut self.stack, at);
    }
}

impl<K: Copy + Eq + Hash> Order<K> for Lirs<K> {
    fn hit(&mut self, slot: u32, key: &K) {
        let State { low, frame } = self.states[slot as usize];
        let weight = self.queue_links.weight(slot);
        if low {
            self.raise(frame);
            self.prune();
        } else if frame != NIL {
            self.raise(frame);
            self.queue_links.unlink(&mut self.queue, slot);
            self.promote(slot);
            self.prune();
        } else {
            self.stack_push(slot, *key, weight);
            self.queue_links.renew(&mut self.queue, slot);
        }
    }

    fn miss(&mut self, key: &K) {
        let frames = &self.frames;
        let found = self.places.find(FxBuildHasher.hash_one(key), |place| frames[*place as usize].key == *key).copied();
        self.returning = found.is_some();
        if let Some(at) = found {
            self.stack_remove(at);
        }
    }

    fn evict(&mut self, _: &dyn Fn(u32) -> K) -> Option<u32> {
        if let Some(slot) = self.queue_links.pop(&mut self.queue) {
            let at = self.states[slot as usize].frame;
            if at != NIL {
                // It stays in the stack as a key that left.
                self.frames[at as usize].slot = NIL;
                self.left_links.push(&mut self.left, at);
                let frames = &self.frames;
                let hash = |place: &u32| FxBuildHasher.hash_one(frames[*place as usize].key);
                self.places.insert_unique(FxBuildHasher.hash_one(frames[at as usize].key), at, hash);
                while self.left.weight > self.remembered_weight && self.left.len > 0 {
                    self.stack_remove(self.left.oldest);
                }
            }
            return Some(slot);
        }
        // Only kept entries are there: the one whose last use is longest ago leaves.
        let slot = self.frames.get(self.stack.oldest as usize)?.slot;
        <Self as Order<K>>::remove(self, slot);
        Some(slot)
    }

    fn insert(&mut self, slot: u32, key: &K, weight: u32) {
        cover(&mut self.states, slot, State { low: false, frame: NIL });
        self.queue_links.cover(slot, weight);
        self.stack_push(slot, *key, weight);
        if self.returning || self.low + u64::from(weight) <= self.low_weight {
            self.promote(slot);
        } else {
            self.queue_links.push(&mut self.queue, slot);
        }
        self.prune();
        self.returning = false;
    }

    fn remove(&mut self, slot: u32) {
        let State { low, frame } = self.states[slot as usize];
        if low {
            self.low -= u64::from(self.queue_links.weight(slot));
        } else {
            self.queue_links.unlink(&mut self.queue, slot);
        }
        if frame != NIL {
            self.stack_remove(frame);
        }
        self.prune();
    }
}
