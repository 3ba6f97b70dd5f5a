//! Several caches, one a worker, that never disagree: MESI (Papamarcos and Patel, ISCA 1984). A line that one shard alone
//! has is its own, clean (EXCLUSIVE) or changed (MODIFIED); one that several have is SHARED; who writes takes the others'
//! copies away. With one shard only EXCLUSIVE, MODIFIED and INVALID are left.

use std::fmt;
use std::hash::Hash;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use rand_chacha::rand_core::SeedableRng as _;
use serde::{Deserialize, Serialize};

use super::order::Policy;
use super::store::{Entry, Found, Store};
use crate::domain::Timestamp;

/// Where a line stands in one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Coherence {
    /// This shard alone has it, and has written it.
    Modified,
    /// This shard alone has it.
    Exclusive,
    /// Others may have it too.
    Shared,
    /// It is not there.
    Invalid,
}

/// A step that the protocol does not have (EFP-CA02).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line does not go from {from} to {to}")]
pub struct IllegalStep {
    /// From where.
    pub from: Coherence,
    /// To where.
    pub to: Coherence,
}

impl Coherence {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Modified, Self::Exclusive, Self::Shared, Self::Invalid];

    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modified => "MODIFIED",
            Self::Exclusive => "EXCLUSIVE",
            Self::Shared => "SHARED",
            Self::Invalid => "INVALID",
        }
    }

    /// The next state, if the protocol has that step: a line that is not there is read alone, read with others, or
    /// written; one that is there is written, seen by another, written back, or lost.
    ///
    /// # Errors
    /// [`IllegalStep`]; staying is no step.
    pub fn step(self, to: Self) -> Result<Self, IllegalStep> {
        use Coherence::{Exclusive, Invalid, Modified, Shared};
        match (self, to) {
            (Invalid, Exclusive | Shared | Modified)
            | (Exclusive, Modified | Shared | Invalid)
            | (Shared, Modified | Invalid)
            | (Modified, Exclusive | Shared | Invalid) => Ok(to),
            (from, to) => Err(IllegalStep { from, to }),
        }
    }
}

impl fmt::Display for Coherence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A value with where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<V> {
    /// The value.
    pub value: V,
    /// Where it stands in this shard.
    pub state: Coherence,
}

/// Why an entry left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There was no room.
    Capacity,
    /// It was too old.
    Expired,
    /// Somebody said so.
    Invalidated,
    /// It was written anew, by another shard or in another weight.
    Coherence,
}

impl Reason {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Expired => "expired",
            Self::Invalidated => "invalidated",
            Self::Coherence => "coherence",
        }
    }
}

/// What a call made happen, for whoever tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened<K, V> {
    /// A line changed its state in a shard.
    Step {
        /// Which.
        key: K,
        /// Where.
        shard: u32,
        /// From.
        from: Coherence,
        /// To.
        to: Coherence,
    },
    /// An entry left; its step to INVALID comes before.
    Left(Entry<K, Line<V>>, Reason),
}

/// Who had what was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read<V> {
    /// The shard itself.
    Own(V),
    /// Another shard; this one has a copy now.
    Peer(V),
    /// Nobody.
    Nothing,
}

/// The shards.
#[derive(Debug)]
pub struct Shards<K, V> {
    stores: Vec<Store<K, Line<V>>>,
    /// Steps so far.
    steps: u64,
    /// Lines in each state, INVALID always 0.
    lines: [u64; 4],
}

/// How many shards there may be.
pub const MOST_SHARDS: u32 = 64;

impl<K: Copy + Eq + Hash, V: Copy> Shards<K, V> {
    /// `count` empty shards that share the capacity.
    pub fn new(count: u32, policy: Policy, capacity: u64, mut rng: ChaCha8Rng) -> Self {
        let count = count.clamp(1, MOST_SHARDS);
        let each = capacity.div_ceil(u64::from(count)).max(1);
        let store = |_| Store::new(policy, each, ChaCha8Rng::seed_from_u64(rng.next_u64()));
        Self { stores: (0..count).map(store).collect(), steps: 0, lines: [0; 4] }
    }

    /// How many shards there are.
    pub fn count(&self) -> u32 {
        self.stores.len() as u32
    }

    /// Steps so far.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Lines in each state, in the order of [`Coherence::ALL`].
    pub const fn lines(&self) -> [u64; 4] {
        self.lines
    }

    /// The stores.
    pub fn stores(&self) -> &[Store<K, Line<V>>] {
        &self.stores
    }

    /// From now on entries leave by this policy.
    pub fn set_policy(&mut self, policy: Policy) {
        self.stores.iter_mut().for_each(|store| store.set_policy(policy));
    }

    /// The policy.
    pub fn policy(&self) -> Policy {
        self.stores.first().map_or(Policy::default(), Store::policy)
    }

    /// Reads in `shard`. What another shard has is copied: both have it SHARED then.
    pub fn read(&mut self, shard: u32, key: &K, now: Timestamp, happened: &mut impl FnMut(Happened<K, V>)) -> Read<V> {
        let Some(store) = self.stores.get_mut(shard as usize) else { return Read::Nothing };
        match store.get(key, now) {
            Found::Fresh(line) => return Read::Own(line.value),
            Found::Stale(entry) => self.lost(shard, entry, Reason::Expired, happened),
            Found::Nothing => {}
        }
        if self.stores.len() == 1 {
            return Read::Nothing;
        }
        let mut copy = None;
        for peer in (0..self.count()).filter(|peer| *peer != shard) {
            let Some(entry) = self.stores.get(peer as usize).and_then(|store| store.peek(key)) else { continue };
            if entry.expires < now {
                continue;
            }
            copy = Some(*entry);
            self.turn(peer, key, Coherence::Shared, happened);
        }
        let Some(entry) = copy else { return Read::Nothing };
        let line = Line { value: entry.value.value, state: Coherence::Shared };
        self.keep(shard, *key, line, entry.weight, entry.created, entry.expires, happened);
        Read::Peer(line.value)
    }

    /// Writes in `shard`: the others' copies are taken away. A value that nobody had is EXCLUSIVE, another MODIFIED.
    #[expect(clippy::too_many_arguments, reason = "an entry has these parts, and a writer and a listener")]
    pub fn write(
        &mut self,
        shard: u32,
        key: K,
        value: V,
        weight: u32,
        now: Timestamp,
        expires: Timestamp,
        happened: &mut impl FnMut(Happened<K, V>),
    ) {
        let mut known = false;
        if self.stores.len() > 1 {
            for peer in (0..self.count()).filter(|peer| *peer != shard) {
                let taken = self.stores.get_mut(peer as usize).and_then(|store| store.remove(&key));
                if let Some(entry) = taken {
                    known = true;
                    self.lost(peer, entry, Reason::Coherence, happened);
                }
            }
        }
        let own = self.stores.get(shard as usize).and_then(|store| store.peek(&key));
        if own.is_some_and(|entry| entry.weight == weight) {
            self.turn(shard, &key, Coherence::Modified, happened);
            if let Some(store) = self.stores.get_mut(shard as usize) {
                // One of the same weight is replaced where it is; nothing leaves for it.
                store.put(key, Line { value, state: Coherence::Modified }, weight, now, expires, |_| {});
            }
            return;
        }
        if own.is_some() {
            known = true;
            if let Some(entry) = self.stores.get_mut(shard as usize).and_then(|store| store.remove(&key)) {
                self.lost(shard, entry, Reason::Coherence, happened);
            }
        }
        let state = if known { Coherence::Modified } else { Coherence::Exclusive };
        self.keep(shard, key, Line { value, state }, weight, now, expires, happened);
    }

    #[expect(clippy::too_many_arguments, reason = "an entry has these parts, and a listener")]
    fn keep(
        &mut self,
        shard: u32,
        key: K,
        line: Line<V>,
        weight: u32,
        created: Timestamp,
        expires: Timestamp,
        happened: &mut impl FnMut(Happened<K, V>),
    ) {
        let Self { stores, steps, lines } = self;
        let Some(store) = stores.get_mut(shard as usize) else { return };
        store.put(key, line, weight, created, expires, |entry| {
            let from = entry.value.state;
            *steps += 1;
            lines[from as usize] -= 1;
            happened(Happened::Step { key: entry.key, shard, from, to: Coherence::Invalid });
            happened(Happened::Left(entry, Reason::Capacity));
        });
        if store.peek(&key).is_some() {
            *steps += 1;
            lines[line.state as usize] += 1;
            happened(Happened::Step { key, shard, from: Coherence::Invalid, to: line.state });
        }
    }

    /// Turns a line that is there to another state; nothing happens when it is in that state.
    fn turn(&mut self, shard: u32, key: &K, to: Coherence, happened: &mut impl FnMut(Happened<K, V>)) {
        let line = self.stores.get_mut(shard as usize).and_then(|store| store.value_mut(key));
        let Some(line) = line else { return };
        let from = line.state;
        // Every caller asks for a step that the protocol has; staying is none.
        if let Ok(to) = from.step(to) {
            line.state = to;
            self.steps += 1;
            self.lines[from as usize] -= 1;
            self.lines[to as usize] += 1;
            happened(Happened::Step { key: *key, shard, from, to });
        }
    }

    /// An entry is no longer in its store.
    fn lost(
        &mut self,
        shard: u32,
        entry: Entry<K, Line<V>>,
        reason: Reason,
        happened: &mut impl FnMut(Happened<K, V>),
    ) {
        let from = entry.value.state;
        self.steps += 1;
        self.lines[from as usize] -= 1;
        happened(Happened::Step { key: entry.key, shard, from, to: Coherence::Invalid });
        happened(Happened::Left(entry, reason));
    }

    /// Takes out, in every shard, what `gone` holds for. O(n), for commands only.
    pub fn invalidate(
        &mut self,
        mut gone: impl FnMut(&Entry<K, Line<V>>) -> bool,
        happened: &mut impl FnMut(Happened<K, V>),
    ) {
        for shard in 0..self.count() {
            let mut left = Vec::new();
            if let Some(store) = self.stores.get_mut(shard as usize) {
                store.remove_if(&mut gone, |entry| left.push(entry));
            }
            left.into_iter().for_each(|entry| self.lost(shard, entry, Reason::Invalidated, happened));
        }
    }

    /// Looks at a few slots of `shard` for what is no longer good.
    pub fn sweep(&mut self, shard: u32, count: usize, now: Timestamp, happened: &mut impl FnMut(Happened<K, V>)) {
        let Self { stores, steps, lines } = self;
        let Some(store) = stores.get_mut(shard as usize) else { return };
        store.sweep(count, now, |entry| {
            let from = entry.value.state;
            *steps += 1;
            lines[from as usize] -= 1;
            happened(Happened::Step { key: entry.key, shard, from, to: Coherence::Invalid });
            happened(Happened::Left(entry, Reason::Expired));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shards(count: u32, capacity: u64) -> Shards<i64, u64> {
        Shards::new(count, Policy::Lru, capacity, ChaCha8Rng::seed_from_u64(1))
    }

    fn state(shards: &Shards<i64, u64>, shard: usize, key: i64) -> Coherence {
        shards.stores()[shard].peek(&key).map_or(Coherence::Invalid, |entry| entry.value.state)
    }

    #[test]
    fn two_readers_share_and_a_writer_takes_the_others_copy_away() {
        use Coherence::{Exclusive, Invalid, Modified, Shared};
        let mut shards = shards(2, 10);
        let mut steps = Vec::new();
        let mut watch = |happened| {
            if let Happened::Step { shard, from, to, .. } = happened {
                steps.push((shard, from, to));
            }
        };
        let now = Timestamp::EPOCH;
        assert_eq!(shards.read(0, &15, now, &mut watch), Read::Nothing);
        shards.write(0, 15, 1, 1, now, Timestamp::MAX, &mut watch);
        assert_eq!(shards.read(1, &15, now, &mut watch), Read::Peer(1));
        assert_eq!(shards.read(1, &15, now, &mut watch), Read::Own(1));
        shards.write(1, 15, 2, 1, now, Timestamp::MAX, &mut watch);
        assert_eq!(
            steps,
            [
                (0, Invalid, Exclusive),
                (0, Exclusive, Shared),
                (1, Invalid, Shared),
                (0, Shared, Invalid),
                (1, Shared, Modified)
            ]
        );
        assert_eq!(shards.lines(), [1, 0, 0, 0]);
        assert_eq!(shards.steps(), 5);
    }

    #[test]
    fn one_shard_knows_exclusive_modified_and_invalid() {
        let mut shards = shards(1, 1);
        let mut seen = std::collections::BTreeSet::new();
        let mut watch = |happened| {
            if let Happened::Step { to, .. } = happened {
                seen.insert(to);
            }
        };
        for key in [1, 1, 2, 2, 1] {
            shards.write(0, key, 0, 1, Timestamp::EPOCH, Timestamp::MAX, &mut watch);
        }
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            [Coherence::Modified, Coherence::Exclusive, Coherence::Invalid]
        );
    }

    #[test]
    fn steps_that_the_protocol_does_not_have_are_errors() {
        use Coherence::{Exclusive, Invalid, Modified, Shared};
        for (from, to) in [(Shared, Exclusive), (Invalid, Invalid), (Modified, Modified), (Exclusive, Exclusive)] {
            assert_eq!(from.step(to), Err(IllegalStep { from, to }));
        }
        let legal = Coherence::ALL.iter().flat_map(|from| Coherence::ALL.map(|to| from.step(to).is_ok()));
        assert_eq!(legal.filter(|legal| *legal).count(), 11);
    }

    proptest! {
        /// Random reads, writes, expiry, invalidations: no two owners, no stale value, counts that are right.
        #[test]
        fn shards_never_disagree(
            count in 1u32..5,
            capacity in 1u64..30,
            policy in prop::sample::select(&Policy::ALL[..]),
            steps in prop::collection::vec((0u32..5, 0i64..12, 0u8..10), 1..400),
        ) {
            let mut shards: Shards<i64, u64> = Shards::new(count, policy, capacity, ChaCha8Rng::seed_from_u64(1));
            let mut newest = std::collections::BTreeMap::new();
            let mut told = 0u64;
            for (at, (shard, key, what)) in (0u64..).zip(steps) {
                let shard = shard % count;
                let now = Timestamp::from_millis(at);
                let mut watch = |happened| {
                    if let Happened::Step { from, to, .. } = happened {
                        told += 1;
                        assert!(from.step(to).is_ok(), "{from} to {to}");
                    }
                };
                match what {
                    0 => {
                        shards.invalidate(|entry| entry.key == key, &mut watch);
                        newest.remove(&key);
                    }
                    1..=5 => match shards.read(shard, &key, now, &mut watch) {
                        Read::Own(value) | Read::Peer(value) => {
                            let known = newest.get(&key).map(|(value, until)| (*value, *until >= now));
                            prop_assert_eq!(Some((value, true)), known);
                        }
                        Read::Nothing => {}
                    },
                    _ => {
                        let until = Timestamp::from_millis(at + 20);
                        shards.write(shard, key, at, 1 + (at % 3) as u32, now, until, &mut watch);
                        newest.insert(key, (at, until));
                    }
                }
                shards.sweep(shard, 1, now, &mut watch);
                let mut lines = [0; 4];
                for key in 0..12 {
                    let states: Vec<_> = (0..count as usize).map(|shard| state(&shards, shard, key)).collect();
                    let there = states.iter().filter(|state| **state != Coherence::Invalid).count();
                    let owners = states.iter().filter(|state| **state < Coherence::Shared).count();
                    prop_assert!(owners == 0 || there == 1, "{:?}", states);
                    states.iter().filter(|state| **state != Coherence::Invalid).for_each(|state| lines[*state as usize] += 1);
                }
                prop_assert_eq!(lines, shards.lines());
                let each = capacity.div_ceil(u64::from(count)).max(1);
                prop_assert!(shards.stores().iter().all(|store| store.weight() <= each));
            }
            prop_assert_eq!(told, shards.steps());
        }
    }
}
