//! S3-FIFO (Yang and others, SOSP 2023) in the version of its authors' simulator, libCacheSim 0.3.5: a small queue that
//! most entries never leave but for the door, a main queue, and ghosts. It differs from the paper's algorithm 1 in two
//! rules: the small queue gives way however short it is, unless the main one is over its size; and entries that come
//! before anything has left fill the main queue once the small one is full.

use std::hash::Hash;

use super::super::ghost::Ghosts;
use super::super::list::{Links, List};
use super::super::order::Order;
use super::cover;

/// The order. The small queue is a tenth of the capacity; as many keys are remembered as fit into the main queue.
#[derive(Debug)]
pub struct S3Fifo<K> {
    small_weight: u64,
    main_weight: u64,
    links: Links,
    small: List,
    main: List,
    ghosts: Ghosts<K>,
    /// Uses of each slot, at most 3.
    uses: Vec<u8>,
    in_main: Vec<bool>,
    returning: bool,
    evicted: bool,
}

/// More than this many uses in the small queue lead to the main one.
const USES_FOR_MAIN: u8 = 1;
const USES_COUNTED: u8 = 3;

impl<K: Copy + Eq + Hash> S3Fifo<K> {
    /// Empty.
    pub fn new(capacity: u64) -> Self {
        let small_weight = (capacity / 10).max(1);
        Self {
            small_weight,
            main_weight: capacity.saturating_sub(small_weight).max(1),
            links: Links::default(),
            small: List::default(),
            main: List::default(),
            ghosts: Ghosts::default(),
            uses: Vec::new(),
            in_main: Vec::new(),
            returning: false,
            evicted: false,
        }
    }

    fn evict_main(&mut self) -> Option<u32> {
        while let Some(slot) = self.links.pop(&mut self.main) {
            let uses = &mut self.uses[slot as usize];
            if *uses == 0 {
                return Some(slot);
            }
            *uses -= 1;
            self.links.push(&mut self.main, slot);
        }
        None
    }
}

impl<K: Copy + Eq + Hash> Order<K> for S3Fifo<K> {
    fn hit(&mut self, slot: u32, _: &K) {
        let uses = &mut self.uses[slot as usize];
        *uses = (*uses + 1).min(USES_COUNTED);
    }

    fn miss(&mut self, key: &K) {
        self.returning = self.ghosts.forget(key);
    }

    fn evict(&mut self, key_of: &dyn Fn(u32) -> K) -> Option<u32> {
        self.evicted = true;
        if self.main.weight > self.main_weight
            && let Some(slot) = self.evict_main()
        {
            return Some(slot);
        }
        while let Some(slot) = self.links.pop(&mut self.small) {
            if self.uses[slot as usize] <= USES_FOR_MAIN {
                self.ghosts.push(key_of(slot), self.links.weight(slot));
                self.ghosts.shrink(self.main_weight);
                return Some(slot);
            }
            self.uses[slot as usize] = 0;
            self.in_main[slot as usize] = true;
            self.links.push(&mut self.main, slot);
        }
        self.evict_main()
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        self.links.cover(slot, weight);
        cover(&mut self.uses, slot, 0);
        // While nothing has left yet there is no telling what is worth the main queue; it is filled in order.
        let to_main = self.returning || (!self.evicted && self.small.weight >= self.small_weight);
        cover(&mut self.in_main, slot, to_main);
        self.links.push(if to_main { &mut self.main } else { &mut self.small }, slot);
        self.returning = false;
    }

    fn remove(&mut self, slot: u32) {
        let list = if self.in_main[slot as usize] { &mut self.main } else { &mut self.small };
        self.links.unlink(list, slot);
    }
}
