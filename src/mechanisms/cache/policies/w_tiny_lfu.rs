//! W-TinyLFU (Einziger, Friedman and Manes, ACM TOS 2017): a small window for what is new, a segmented main part, and a
//! sketch of how often keys were asked for that decides who of the two on the threshold stays.

use std::hash::{BuildHasher as _, Hash};

use rustc_hash::FxBuildHasher;

use super::super::list::{Links, List};
use super::super::order::Order;
use super::cover;

/// How often keys were asked for, lately: four rows of 4-bit counters, all halved after ten times the capacity.
#[derive(Debug)]
struct Sketch {
    /// Sixteen counters a word.
    words: Vec<u64>,
    mask: u64,
    additions: u64,
    period: u64,
}

/// Odd constants, one a row, that spread a hash differently each.
const SEEDS: [u64; 4] = [0xc3a5_c85c_97cb_3127, 0xb492_b66f_be98_f273, 0x9ae1_6a3b_2f90_404f, 0xcbf2_9ce4_8422_2325];

impl Sketch {
    fn new(capacity: u64) -> Self {
        // A counter a row and entry: sixteen of them a word, four rows.
        let words = (capacity.clamp(16, 1 << 26).next_power_of_two() / 4).max(8);
        Self { words: vec![0; words as usize], mask: words - 1, additions: 0, period: capacity.max(16) * 10 }
    }

    /// The word and the shift of a hash's counter in a row.
    fn place(&self, hash: u64, row: usize) -> (usize, u32) {
        let mixed = (hash.wrapping_add(SEEDS[row])).wrapping_mul(SEEDS[row]);
        let mixed = mixed ^ (mixed >> 32);
        (((mixed >> 4) & self.mask) as usize, ((mixed & 15) * 4) as u32)
    }

    fn add(&mut self, hash: u64) {
        let mut added = false;
        for row in 0..SEEDS.len() {
            let (word, shift) = self.place(hash, row);
            if self.words[word] >> shift & 15 < 15 {
                self.words[word] += 1 << shift;
                added = true;
            }
        }
        self.additions += u64::from(added);
        if self.additions >= self.period {
            self.words.iter_mut().for_each(|word| *word = *word >> 1 & 0x7777_7777_7777_7777);
            self.additions /= 2;
        }
    }

    fn count(&self, hash: u64) -> u64 {
        let counts = (0..SEEDS.len()).map(|row| {
            let (word, shift) = self.place(hash, row);
            self.words[word] >> shift & 15
        });
        counts.min().unwrap_or(0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Window,
    Probation,
    Protected,
}

/// The order. The window has a hundredth of the capacity, the protected part four fifths of the rest.
#[derive(Debug)]
pub struct WTinyLfu {
    window_weight: u64,
    protected_weight: u64,
    links: Links,
    window: List,
    probation: List,
    protected: List,
    part_of: Vec<Part>,
    sketch: Sketch,
}

impl WTinyLfu {
    /// Empty.
    pub fn new(capacity: u64) -> Self {
        let window_weight = (capacity / 100).max(1);
        Self {
            window_weight,
            protected_weight: capacity.saturating_sub(window_weight) * 4 / 5,
            links: Links::default(),
            window: List::default(),
            probation: List::default(),
            protected: List::default(),
            part_of: Vec::new(),
            sketch: Sketch::new(capacity),
        }
    }

    fn demote(&mut self, slot: u32) {
        self.part_of[slot as usize] = Part::Probation;
        self.links.push(&mut self.probation, slot);
    }

    /// The one of the main part that would leave.
    const fn victim(&self) -> Option<(u32, Part)> {
        if self.probation.len > 0 {
            Some((self.probation.oldest, Part::Probation))
        } else if self.protected.len > 0 {
            Some((self.protected.oldest, Part::Protected))
        } else {
            None
        }
    }

    const fn list(&mut self, part: Part) -> &mut List {
        match part {
            Part::Window => &mut self.window,
            Part::Probation => &mut self.probation,
            Part::Protected => &mut self.protected,
        }
    }

    fn unlink(&mut self, slot: u32, part: Part) {
        let mut list = *self.list(part);
        self.links.unlink(&mut list, slot);
        *self.list(part) = list;
    }
}

impl<K: Copy + Eq + Hash> Order<K> for WTinyLfu {
    fn hit(&mut self, slot: u32, key: &K) {
        self.sketch.add(FxBuildHasher.hash_one(key));
        match self.part_of[slot as usize] {
            Part::Window => self.links.renew(&mut self.window, slot),
            Part::Protected => self.links.renew(&mut self.protected, slot),
            Part::Probation => {
                self.links.unlink(&mut self.probation, slot);
                self.links.push(&mut self.protected, slot);
                self.part_of[slot as usize] = Part::Protected;
                while self.protected.weight > self.protected_weight
                    && let Some(slot) = self.links.pop(&mut self.protected)
                {
                    self.demote(slot);
                }
            }
        }
    }

    fn miss(&mut self, key: &K) {
        self.sketch.add(FxBuildHasher.hash_one(key));
    }

    fn evict(&mut self, key_of: &dyn Fn(u32) -> K) -> Option<u32> {
        let candidate = (self.window.weight >= self.window_weight).then_some(self.window.oldest);
        let (victim, part) = match (self.victim(), candidate) {
            (None, _) => return self.links.pop(&mut self.window),
            (Some((victim, part)), None) => (victim, part),
            (Some((victim, part)), Some(candidate)) => {
                let count = |slot| self.sketch.count(FxBuildHasher.hash_one(key_of(slot)));
                let wins = count(candidate) > count(victim);
                self.links.unlink(&mut self.window, candidate);
                // Who stays of the two is in the main part.
                if !wins {
                    return Some(candidate);
                }
                self.demote(candidate);
                (victim, part)
            }
        };
        self.unlink(victim, part);
        Some(victim)
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        self.links.cover(slot, weight);
        cover(&mut self.part_of, slot, Part::Window);
        self.links.push(&mut self.window, slot);
        while self.window.weight > self.window_weight
            && self.window.len > 1
            && let Some(slot) = self.links.pop(&mut self.window)
        {
            self.demote(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        self.unlink(slot, self.part_of[slot as usize]);
    }
}
