//! The entries: slots in a vector, found by a table of slot numbers, so that a full cache allocates nothing. Which of
//! them leaves is the order's to say.
//!
//! ```
//! use fizzops::domain::Timestamp;
//! use fizzops::mechanisms::cache::{Found, Policy, Store};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let now = Timestamp::EPOCH;
//! let mut store: Store<u64, &str> = Store::new(Policy::Sieve, 2, ChaCha8Rng::seed_from_u64(1));
//! let mut left = Vec::new();
//! for (key, value) in [(1, "one"), (2, "two")] {
//!     store.put(key, value, 1, now, Timestamp::MAX, |entry| left.push(entry.key));
//! }
//! assert!(matches!(store.get(&1, now), Found::Fresh("one")));
//! assert!(matches!(store.get(&3, now), Found::Nothing));
//! store.put(3, "three", 1, now, Timestamp::MAX, |entry| left.push(entry.key));
//! assert_eq!(left, [2], "1 was used, so it is spared");
//! ```

use std::hash::{BuildHasher as _, Hash};

use hashbrown::HashTable;
use rand_chacha::ChaCha8Rng;
use rustc_hash::FxBuildHasher;

use super::order::{AnyOrder, Order, Policy};
use crate::domain::Timestamp;

/// A value that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<K, V> {
    /// What it is kept under.
    pub key: K,
    /// The value.
    pub value: V,
    /// When it came in.
    pub created: Timestamp,
    /// After this it is no longer good.
    pub expires: Timestamp,
    /// How often it was used.
    pub uses: u32,
    /// How much of the capacity it takes.
    pub weight: u32,
}

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<K, V> {
    /// A value that is good.
    Fresh(V),
    /// One that was no longer good; it has been taken out.
    Stale(Entry<K, V>),
    /// None.
    Nothing,
}

/// Entries up to a capacity, in units of weight.
#[derive(Debug)]
pub struct Store<K, V> {
    policy: Policy,
    capacity: u64,
    weight: u64,
    places: HashTable<u32>,
    /// Empty ones are `None`; a slot keeps its number for as long as its entry is there.
    slots: Vec<Option<Entry<K, V>>>,
    free: Vec<u32>,
    order: AnyOrder<K>,
    /// The slot that is looked at next for an entry that is no longer good.
    sweep: usize,
    rng: ChaCha8Rng,
}

/// More entries than this have no number.
const SLOTS: u64 = u32::MAX as u64 - 1;

impl<K: Copy + Eq + Hash, V: Copy> Store<K, V> {
    /// Empty; `capacity` is at least 1.
    pub fn new(policy: Policy, capacity: u64, rng: ChaCha8Rng) -> Self {
        let capacity = capacity.max(1);
        Self {
            policy,
            capacity,
            weight: 0,
            places: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            order: AnyOrder::new(policy, capacity, &rng),
            sweep: 0,
            rng,
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// It has none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What its entries weigh together; never more than the capacity.
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// The policy.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// From now on entries leave by this policy. Those that are there are to it as if they had come in just now, one
    /// after another.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        self.order = AnyOrder::new(policy, self.capacity, &self.rng);
        let mut there: Vec<u32> = self.places.iter().copied().collect();
        there.sort_unstable_by_key(|slot| self.entry(*slot).map(|entry| (entry.created, *slot)));
        for slot in there {
            if let Some(entry) = self.entry(slot) {
                let (key, weight) = (entry.key, entry.weight);
                self.order.miss(&key);
                self.order.insert(slot, &key, weight);
            }
        }
    }

    fn entry(&self, slot: u32) -> Option<&Entry<K, V>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn find(&self, key: &K) -> Option<u32> {
        let slots = &self.slots;
        let same = |slot: &u32| matches!(slots.get(*slot as usize), Some(Some(entry)) if entry.key == *key);
        self.places.find(FxBuildHasher.hash_one(key), same).copied()
    }

    /// Looks `key` up without using it.
    pub fn peek(&self, key: &K) -> Option<&Entry<K, V>> {
        self.find(key).and_then(|slot| self.entry(slot))
    }

    /// The value of `key`, to be changed in place without being a use.
    pub fn value_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.find(key)?;
        self.slots.get_mut(slot as usize)?.as_mut().map(|entry| &mut entry.value)
    }

    /// Uses `key`. What is no longer good at `now` is taken out.
    pub fn get(&mut self, key: &K, now: Timestamp) -> Found<K, V> {
        let Some(slot) = self.find(key) else {
            self.order.miss(key);
            return Found::Nothing;
        };
        match self.slots.get_mut(slot as usize) {
            Some(Some(entry)) if entry.expires >= now => {
                entry.uses = entry.uses.saturating_add(1);
                let value = entry.value;
                self.order.hit(slot, key);
                Found::Fresh(value)
            }
            _ => {
                let stale = self.remove(key);
                self.order.miss(key);
                stale.map_or(Found::Nothing, Found::Stale)
            }
        }
    }

    /// Puts a value in, after a look-up that did not find it; each entry that has to leave for it goes to `left`. What
    /// weighs more than the capacity is not put in. A value that is there already is replaced, and keeps its uses.
    pub fn put(
        &mut self,
        key: K,
        value: V,
        weight: u32,
        now: Timestamp,
        expires: Timestamp,
        mut left: impl FnMut(Entry<K, V>),
    ) {
        let weight = weight.max(1);
        if let Some(slot) = self.find(&key) {
            if let Some(Some(entry)) = self.slots.get_mut(slot as usize)
                && entry.weight == weight
            {
                *entry = Entry { value, created: now, expires, ..*entry };
                return;
            }
            self.remove(&key);
        }
        if u64::from(weight) > self.capacity {
            return;
        }
        while self.weight + u64::from(weight) > self.capacity || self.len() as u64 >= SLOTS {
            match self.evict() {
                Some(entry) => left(entry),
                None => return,
            }
        }
        let entry = Some(Entry { key, value, created: now, expires, uses: 0, weight });
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = entry;
                }
                slot
            }
            None => {
                self.slots.push(entry);
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        let hash = |slot: &u32| match slots.get(*slot as usize) {
            Some(Some(entry)) => FxBuildHasher.hash_one(entry.key),
            // A slot in the table has an entry.
            _ => 0,
        };
        self.places.insert_unique(FxBuildHasher.hash_one(key), slot, hash);
        self.weight += u64::from(weight);
        self.order.insert(slot, &key, weight);
    }

    fn evict(&mut self) -> Option<Entry<K, V>> {
        let slots = &self.slots;
        #[expect(clippy::expect_used, reason = "an order has only slots that were put in and not taken out since")]
        let key_of = |slot: u32| slots.get(slot as usize).and_then(Option::as_ref).expect("the slot is in use").key;
        let slot = self.order.evict(&key_of)?;
        self.take(slot)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<Entry<K, V>> {
        let slot = self.find(key)?;
        self.order.remove(slot);
        self.take(slot)
    }

    fn take(&mut self, slot: u32) -> Option<Entry<K, V>> {
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        if let Ok(found) = self.places.find_entry(FxBuildHasher.hash_one(entry.key), |place| *place == slot) {
            found.remove();
        }
        self.free.push(slot);
        self.weight -= u64::from(entry.weight);
        Some(entry)
    }

    /// Looks at the next `count` slots, and takes out what is no longer good at `now`. Called with a small count at each
    /// put, it keeps what nobody asks for from staying for ever, in O(1).
    pub fn sweep(&mut self, count: usize, now: Timestamp, mut left: impl FnMut(Entry<K, V>)) {
        for _ in 0..count.min(self.slots.len()) {
            self.sweep = if self.sweep + 1 < self.slots.len() { self.sweep + 1 } else { 0 };
            let gone = match self.slots.get(self.sweep) {
                Some(Some(entry)) if entry.expires < now => entry.key,
                _ => continue,
            };
            if let Some(entry) = self.remove(&gone) {
                left(entry);
            }
        }
    }

    /// Takes out every entry for which `gone` holds, to `left`. O(n), for commands only.
    pub fn remove_if(&mut self, mut gone: impl FnMut(&Entry<K, V>) -> bool, mut left: impl FnMut(Entry<K, V>)) {
        let keys: Vec<K> = self.slots.iter().flatten().filter(|entry| gone(entry)).map(|entry| entry.key).collect();
        keys.iter().filter_map(|key| self.remove(key)).for_each(&mut left);
    }

    /// The entries, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<K, V>> {
        self.slots.iter().flatten()
    }
}
