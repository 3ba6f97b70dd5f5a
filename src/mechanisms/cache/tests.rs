//! The middleware, the policies against slow and obvious versions, and against others' figures on a trace.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;
use crate::domain::{ErrorCode, EventMask, Kind, Outcome, RuleMask, RuleSet, Source, Timestamp};
use crate::pipeline::{Context, Flow, Middleware as _, Outbox};

fn cache(config: CacheConfig) -> Result<CacheMiddleware, CacheError> {
    let config = CacheConfig { enabled: true, ..config };
    CacheMiddleware::new(&config, &Arc::new(RuleSet::classic()), ChaCha8Rng::seed_from_u64(1))
}

fn ask_as(cache: &mut CacheMiddleware, sequence: u64, number: i64, rules: RuleMask, now: u64) -> Source {
    let mut out = Outbox::new(EventMask::NONE, 0);
    let mut context = Context::new(sequence, number, rules, Timestamp::from_millis(now));
    if cache.enter(&mut context, &mut out) == Flow::Continue {
        context.answer(RuleSet::classic().matches(number, rules), Source::Strategy);
        cache.leave(&mut context, &mut out);
    }
    context.source
}

fn ask(cache: &mut CacheMiddleware, number: i64, rules: RuleMask, now: u64) -> Source {
    ask_as(cache, 0, number, rules, now)
}

#[test]
fn another_set_of_rules_is_another_answer() {
    let mut cache = cache(CacheConfig::default()).unwrap();
    assert_eq!(ask(&mut cache, 15, RuleMask(3), 0), Source::Strategy);
    assert_eq!(ask(&mut cache, 15, RuleMask(2), 0), Source::Strategy);
    assert_eq!(ask(&mut cache, 15, RuleMask(3), 0), Source::Cache);
    assert_eq!(cache.view().hit_ratio(), Some(1.0 / 3.0));
}

#[test]
fn an_answer_is_good_for_its_time_to_live() {
    let mut cache = cache(CacheConfig { ttl_seconds: 1.0, ..CacheConfig::default() }).unwrap();
    ask(&mut cache, 1, RuleMask(3), 0);
    assert_eq!(ask(&mut cache, 1, RuleMask(3), 1_000), Source::Cache);
    assert_eq!(ask(&mut cache, 1, RuleMask(3), 1_001), Source::Strategy);
    let view = cache.view();
    assert_eq!((view.recent[0].reason.as_str(), view.recent[0].dignity), ("expired", 0.0));
    assert!(view.recent[0].eulogy.as_ref().is_some_and(|text| text.contains('1')));
    // What nobody asks for again is swept out by what comes later.
    for number in 2..40u64 {
        ask(&mut cache, number.cast_signed(), RuleMask(3), 5_000 + number);
    }
    assert!(cache.view().expired >= 2 && cache.view().entries <= 39, "{:?}", cache.view());
}

#[test]
fn what_failed_is_not_kept() {
    let mut cache = cache(CacheConfig::default()).unwrap();
    let mut out = Outbox::new(EventMask::NONE, 0);
    let mut context = Context::new(0, 1, RuleMask(3), Timestamp::EPOCH);
    assert_eq!(cache.enter(&mut context, &mut out), Flow::Continue);
    context.fail(Outcome::TimedOut, ErrorCode::CallTimeout);
    cache.leave(&mut context, &mut out);
    assert_eq!(cache.view().entries, 0);
}

#[test]
fn it_is_warmed_and_emptied_on_request() {
    let warming = WarmingConfig { enabled: true, range_start: 1, range_end: 100 };
    let mut cache = cache(CacheConfig { warming, max_size: 60, ..CacheConfig::default() }).unwrap();
    let mut out = Outbox::new(EventMask::operations(), 10);
    let now = Timestamp::EPOCH;
    assert_eq!(cache.warm(now, &mut out), 60);
    assert_eq!(ask(&mut cache, 60, RuleMask(3), 0), Source::Cache);
    cache.command(CacheCommand::Invalidate { number: 60 }, now, &mut out);
    assert_eq!(ask(&mut cache, 60, RuleMask(3), 0), Source::Strategy);
    cache.command(CacheCommand::InvalidateRange { from: 1, to: 10 }, now, &mut out);
    assert_eq!((cache.view().entries, cache.view().invalidated), (50, 11));
    cache.command(CacheCommand::Clear, now, &mut out);
    assert_eq!((cache.view().entries, cache.view().invalidated), (0, 61));
}

#[test]
fn capacity_may_count_bytes_of_output() {
    let mut cache = cache(CacheConfig { max_weight: Some(12), ..CacheConfig::default() }).unwrap();
    ask(&mut cache, 15, RuleMask(3), 0);
    ask(&mut cache, -22, RuleMask(3), 0);
    assert_eq!((cache.view().weight, cache.view().entries, cache.view().unit.as_str()), (11, 2, "bytes"));
    ask(&mut cache, 3, RuleMask(3), 0);
    assert_eq!((cache.view().weight, cache.view().evicted), (7, 1), "FizzBuzz left for Fizz");
}

#[test]
fn workers_share_what_one_of_them_has() {
    let mut cache = cache(CacheConfig { shards: 2, ..CacheConfig::default() }).unwrap();
    let all = RuleSet::classic().all();
    assert_eq!(ask_as(&mut cache, 0, 15, all, 0), Source::Strategy);
    assert_eq!(ask_as(&mut cache, 1, 15, all, 0), Source::Cache);
    let view = cache.view();
    assert_eq!((view.peer_hits, view.lines, view.shards.as_slice()), (1, [0, 0, 2], &[1, 1][..]));
    let mut out = Outbox::new(EventMask::ALL, 10);
    cache.command(CacheCommand::Clear, Timestamp::EPOCH, &mut out);
    let kinds: Vec<_> = out.take().iter().map(crate::domain::Event::kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::CacheCoherenceTransition).count(), 2);
}

#[test]
fn impossible_settings_are_refused() {
    let refused = |config: CacheConfig| cache(config).unwrap_err().to_string();
    assert_eq!(
        refused(CacheConfig { max_size: 0, ..CacheConfig::default() }),
        "cache.max_size is 0; it must be from 1 to 100000000"
    );
    assert!(refused(CacheConfig { ttl_seconds: f64::NAN, ..CacheConfig::default() }).contains("above 0"));
    assert!(refused(CacheConfig { shards: 65, ..CacheConfig::default() }).contains("1 to 64"));
    assert!(refused(CacheConfig { max_weight: Some(0), ..CacheConfig::default() }).contains("max_weight is 0"));
}

/// The slow and obvious versions: a list searched from the front, keys and what the rule needs beside them. Each yields
/// for a key whether it was found.
mod obvious {
    use std::collections::VecDeque;

    pub trait Model {
        fn ask(&mut self, key: u64) -> bool;
    }

    /// lru, fifo and lfu: the entry with the smallest of (count, last moved) leaves.
    pub struct Ranked {
        pub capacity: usize,
        pub entries: Vec<(u64, u64, u64)>,
        pub now: u64,
        pub renews: bool,
        pub counts: bool,
    }

    impl Model for Ranked {
        fn ask(&mut self, key: u64) -> bool {
            self.now += 1;
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.0 == key) {
                entry.1 += u64::from(self.counts);
                if self.renews {
                    entry.2 = self.now;
                }
                return true;
            }
            if self.entries.len() == self.capacity {
                let least = self.entries.iter().copied().min_by_key(|entry| (entry.1, entry.2)).unwrap();
                self.entries.retain(|entry| *entry != least);
            }
            self.entries.push((key, 1, self.now));
            false
        }
    }

    /// clock: oldest first, with a bit.
    pub struct Clock {
        pub capacity: usize,
        pub queue: VecDeque<(u64, bool)>,
    }

    impl Model for Clock {
        fn ask(&mut self, key: u64) -> bool {
            if let Some(entry) = self.queue.iter_mut().find(|entry| entry.0 == key) {
                entry.1 = true;
                return true;
            }
            if self.queue.len() == self.capacity {
                while let Some((key, true)) = self.queue.pop_front() {
                    self.queue.push_back((key, false));
                }
            }
            self.queue.push_back((key, false));
            false
        }
    }

    /// sieve: oldest first; the hand is a place in the queue.
    pub struct Sieve {
        pub capacity: usize,
        pub queue: Vec<(u64, bool)>,
        pub hand: usize,
    }

    impl Model for Sieve {
        fn ask(&mut self, key: u64) -> bool {
            if let Some(entry) = self.queue.iter_mut().find(|entry| entry.0 == key) {
                entry.1 = true;
                return true;
            }
            if self.queue.len() == self.capacity {
                loop {
                    if self.hand >= self.queue.len() {
                        self.hand = 0;
                    }
                    if !std::mem::take(&mut self.queue[self.hand].1) {
                        break;
                    }
                    self.hand += 1;
                }
                self.queue.remove(self.hand);
                // Behind the newest the hand begins anew; it does not wait for what comes next.
                if self.hand == self.queue.len() {
                    self.hand = 0;
                }
            }
            self.queue.push((key, false));
            false
        }
    }

    /// 2q: oldest first in each.
    pub struct TwoQ {
        pub capacity: usize,
        pub a1_in: Vec<u64>,
        pub a_m: Vec<u64>,
        pub a1_out: Vec<u64>,
    }

    impl Model for TwoQ {
        fn ask(&mut self, key: u64) -> bool {
            if let Some(at) = self.a_m.iter().position(|one| *one == key) {
                let key = self.a_m.remove(at);
                self.a_m.push(key);
                return true;
            }
            if self.a1_in.contains(&key) {
                return true;
            }
            let returning = self.a1_out.contains(&key);
            self.a1_out.retain(|one| *one != key);
            if self.a1_in.len() + self.a_m.len() == self.capacity {
                if self.a1_in.len() > (self.capacity / 4).max(1) || self.a_m.is_empty() {
                    self.a1_out.push(self.a1_in.remove(0));
                    if self.a1_out.len() > (self.capacity / 2).max(1) {
                        self.a1_out.remove(0);
                    }
                } else {
                    self.a_m.remove(0);
                }
            }
            if returning {
                self.a_m.push(key)
            } else {
                self.a1_in.push(key)
            }
            false
        }
    }

    /// arc, figure 4 of the paper word for word.
    pub struct Arc {
        pub capacity: usize,
        pub target: usize,
        pub t1: Vec<u64>,
        pub t2: Vec<u64>,
        pub b1: Vec<u64>,
        pub b2: Vec<u64>,
    }

    impl Arc {
        fn replace(&mut self, in_b2: bool) {
            if !self.t1.is_empty() && ((in_b2 && self.t1.len() == self.target) || self.t1.len() > self.target) {
                self.b1.push(self.t1.remove(0));
            } else if !self.t2.is_empty() {
                self.b2.push(self.t2.remove(0));
            } else {
                self.b1.push(self.t1.remove(0));
            }
        }
    }

    impl Model for Arc {
        fn ask(&mut self, key: u64) -> bool {
            if self.t1.contains(&key) || self.t2.contains(&key) {
                self.t1.retain(|one| *one != key);
                self.t2.retain(|one| *one != key);
                self.t2.push(key);
                return true;
            }
            let full = self.t1.len() + self.t2.len() == self.capacity;
            if self.b1.contains(&key) {
                self.target = (self.target + (self.b2.len() / self.b1.len()).max(1)).min(self.capacity);
                self.b1.retain(|one| *one != key);
                if full {
                    self.replace(false);
                }
                self.t2.push(key);
            } else if self.b2.contains(&key) {
                self.target = self.target.saturating_sub((self.b1.len() / self.b2.len()).max(1));
                self.b2.retain(|one| *one != key);
                if full {
                    self.replace(true);
                }
                self.t2.push(key);
            } else {
                let all = self.t1.len() + self.t2.len() + self.b1.len() + self.b2.len();
                if self.t1.len() + self.b1.len() == self.capacity {
                    if self.t1.len() < self.capacity {
                        self.b1.remove(0);
                        if full {
                            self.replace(false);
                        }
                    } else {
                        self.t1.remove(0);
                    }
                } else if all >= self.capacity {
                    if all == 2 * self.capacity {
                        self.b2.remove(0);
                    }
                    if full {
                        self.replace(false);
                    }
                }
                self.t1.push(key);
            }
            false
        }
    }

    /// s3_fifo: oldest first, with uses.
    pub struct S3Fifo {
        pub capacity: usize,
        pub small: VecDeque<(u64, u8)>,
        pub main: VecDeque<(u64, u8)>,
        pub ghosts: Vec<u64>,
        pub evicted: bool,
    }

    impl S3Fifo {
        fn evict_main(&mut self) -> bool {
            while let Some((key, uses)) = self.main.pop_front() {
                if uses == 0 {
                    return true;
                }
                self.main.push_back((key, uses - 1));
            }
            false
        }

        fn evict(&mut self) {
            self.evicted = true;
            if self.main.len() > self.main_size() && self.evict_main() {
                return;
            }
            while let Some((key, uses)) = self.small.pop_front() {
                if uses <= 1 {
                    self.ghosts.push(key);
                    if self.ghosts.len() > self.main_size() {
                        self.ghosts.remove(0);
                    }
                    return;
                }
                self.main.push_back((key, 0));
            }
            self.evict_main();
        }

        fn small_size(&self) -> usize {
            (self.capacity / 10).max(1)
        }

        fn main_size(&self) -> usize {
            self.capacity.saturating_sub(self.small_size()).max(1)
        }
    }

    impl Model for S3Fifo {
        fn ask(&mut self, key: u64) -> bool {
            if let Some(entry) = self.small.iter_mut().chain(&mut self.main).find(|entry| entry.0 == key) {
                entry.1 = (entry.1 + 1).min(3);
                return true;
            }
            let returning = self.ghosts.contains(&key);
            self.ghosts.retain(|one| *one != key);
            if self.small.len() + self.main.len() == self.capacity {
                self.evict();
            }
            let fills = !self.evicted && self.small.len() >= self.small_size();
            if returning || fills {
                self.main.push_back((key, 0))
            } else {
                self.small.push_back((key, 0))
            }
            false
        }
    }

    /// lirs: the stack from its bottom up, the queue from its oldest.
    pub struct Lirs {
        pub capacity: usize,
        pub stack: Vec<u64>,
        pub queue: Vec<u64>,
        pub low: Vec<u64>,
        /// Keys that left and are in the stack, in the order in which they left.
        pub left: Vec<u64>,
    }

    impl Lirs {
        fn low_size(&self) -> usize {
            (self.capacity - (self.capacity / 100).max(1).min(self.capacity)).max(1)
        }

        fn prune(&mut self) {
            while self.stack.first().is_some_and(|key| !self.low.contains(key)) {
                let key = self.stack.remove(0);
                self.left.retain(|one| *one != key);
            }
        }

        fn promote(&mut self, key: u64) {
            self.low.push(key);
            while self.low.len() > self.low_size() && self.stack[0] != key {
                let lowest = self.stack.remove(0);
                self.low.retain(|one| *one != lowest);
                self.queue.push(lowest);
                self.prune();
            }
        }
    }

    impl Model for Lirs {
        fn ask(&mut self, key: u64) -> bool {
            let in_stack = self.stack.contains(&key);
            if self.low.contains(&key) {
                self.stack.retain(|one| *one != key);
                self.stack.push(key);
                self.prune();
                return true;
            }
            if self.queue.contains(&key) {
                self.stack.retain(|one| *one != key);
                self.stack.push(key);
                self.queue.retain(|one| *one != key);
                if in_stack {
                    self.promote(key);
                    self.prune();
                } else {
                    self.queue.push(key);
                }
                return true;
            }
            self.stack.retain(|one| *one != key);
            self.left.retain(|one| *one != key);
            if self.low.len() + self.queue.len() == self.capacity {
                if self.queue.is_empty() {
                    let key = self.stack.remove(0);
                    self.low.retain(|one| *one != key);
                    self.prune();
                } else {
                    let gone = self.queue.remove(0);
                    if self.stack.contains(&gone) {
                        self.left.push(gone);
                        while self.left.len() > self.capacity * 2 {
                            let oldest = self.left.remove(0);
                            self.stack.retain(|one| *one != oldest);
                        }
                    }
                }
            }
            self.stack.push(key);
            if in_stack || self.low.len() < self.low_size() {
                self.promote(key);
            } else {
                self.queue.push(key);
            }
            self.prune();
            false
        }
    }
}

fn model(policy: Policy, capacity: usize) -> Option<Box<dyn obvious::Model>> {
    let ranked = |renews, counts| {
        Box::new(obvious::Ranked { capacity, entries: Vec::new(), now: 0, renews, counts }) as Box<dyn obvious::Model>
    };
    Some(match policy {
        Policy::Lru => ranked(true, false),
        Policy::Fifo => ranked(false, false),
        Policy::Lfu => ranked(true, true),
        Policy::Clock => Box::new(obvious::Clock { capacity, queue: Default::default() }),
        Policy::Sieve => Box::new(obvious::Sieve { capacity, queue: Vec::new(), hand: 0 }),
        Policy::TwoQ => Box::new(obvious::TwoQ { capacity, a1_in: vec![], a_m: vec![], a1_out: vec![] }),
        Policy::Arc => Box::new(obvious::Arc { capacity, target: 0, t1: vec![], t2: vec![], b1: vec![], b2: vec![] }),
        Policy::S3Fifo => Box::new(obvious::S3Fifo {
            capacity,
            small: Default::default(),
            main: Default::default(),
            ghosts: vec![],
            evicted: false,
        }),
        Policy::Lirs => Box::new(obvious::Lirs { capacity, stack: vec![], queue: vec![], low: vec![], left: vec![] }),
        // The one draws, the other counts by a sketch of hashes: both are tested by what holds of them.
        Policy::Random | Policy::WTinyLfu => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_policy_does_what_the_obvious_version_does(
        policy in prop::sample::select(&Policy::ALL[..]),
        capacity in 1usize..24,
        trace in prop::collection::vec(prop_oneof![0u64..12, 0u64..80], 1..600),
    ) {
        let Some(mut model) = model(policy, capacity) else { return Ok(()) };
        let mut store: Store<u64, u64> = Store::new(policy, capacity as u64, ChaCha8Rng::seed_from_u64(1));
        for (at, key) in trace.iter().enumerate() {
            let found = matches!(store.get(key, Timestamp::EPOCH), Found::Fresh(_));
            prop_assert_eq!(found, model.ask(*key), "{} at step {}", policy, at);
            if !found {
                store.put(*key, 0, 1, Timestamp::EPOCH, Timestamp::MAX, |_| {});
            }
        }
    }

    /// Whatever is put, used, removed and swept, in whatever weights: the right values, never more than the capacity.
    #[test]
    fn a_store_is_a_map_that_forgets(
        policy in prop::sample::select(&Policy::ALL[..]),
        capacity in 1u64..40,
        steps in prop::collection::vec((0u64..30, 0u8..10, 1u32..9), 1..500),
    ) {
        let mut store: Store<u64, u64> = Store::new(policy, capacity, ChaCha8Rng::seed_from_u64(1));
        let mut there = std::collections::BTreeMap::new();
        for (at, (key, what, weight)) in (0u64..).zip(steps) {
            let now = Timestamp::from_millis(at);
            match what {
                0 => prop_assert_eq!(store.remove(&key).map(|entry| entry.value), there.remove(&key)),
                1 => store.sweep(3, now, |entry| { there.remove(&entry.key); }),
                2..=5 => match store.get(&key, now) {
                    Found::Fresh(value) => prop_assert_eq!(Some(&value), there.get(&key)),
                    Found::Stale(entry) => prop_assert!(entry.expires < now && there.remove(&key).is_some()),
                    Found::Nothing => prop_assert!(!there.contains_key(&key)),
                },
                6 => store.set_policy(Policy::ALL[at as usize % Policy::ALL.len()]),
                _ => {
                    let known = there.contains_key(&key);
                    store.put(key, at, weight, now, Timestamp::from_millis(at + 60), |entry| {
                        there.remove(&entry.key);
                    });
                    if store.peek(&key).is_some() {
                        there.insert(key, at);
                    } else {
                        prop_assert!(u64::from(weight) > capacity, "{}", known);
                        there.remove(&key);
                    }
                }
            }
            prop_assert_eq!(store.len(), there.len());
            prop_assert!(store.weight() <= capacity);
            prop_assert!(there.iter().all(|(key, value)| store.peek(key).map(|entry| entry.value) == Some(*value)));
        }
    }

    #[test]
    fn nobody_is_better_than_who_knows_the_future(
        policy in prop::sample::select(&Policy::ALL[..]),
        capacity in 1u64..20,
        trace in prop::collection::vec(0u64..40, 1..400),
    ) {
        prop_assert!(compare::hits(policy, capacity, &trace) <= compare::belady(capacity, &trace));
    }
}

/// The trace of others' figures, if it is there.
fn multi1() -> Option<Vec<u64>> {
    let folder = std::env::var_os("FIZZOPS_VECTORS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors")), PathBuf::from);
    let path = folder.join("cache/multi1.trace.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(text.lines().map(|line| line.trim().parse().unwrap()).collect())
}

#[test]
fn figures_on_a_trace_are_those_of_libcachesim() {
    let Some(trace) = multi1() else { return };
    assert_eq!(trace.len(), 15_858);
    let percent = |policy| compare::hits(policy, 500, &trace) as f64 * 100.0 / trace.len() as f64;
    for (policy, theirs, points) in [
        (Policy::Fifo, 40.72, 0.005),
        (Policy::Lru, 46.51, 0.005),
        (Policy::Lfu, 49.27, 0.005),
        (Policy::Clock, 47.38, 0.5),
        (Policy::Arc, 49.39, 0.5),
        (Policy::TwoQ, 47.96, 0.5),
        (Policy::Lirs, 55.91, 0.5),
        (Policy::S3Fifo, 55.25, 0.5),
        (Policy::Sieve, 49.27, 0.5),
        (Policy::WTinyLfu, 54.17, 3.0),
    ] {
        let ours = percent(policy);
        eprintln!("{policy}: {ours:.2} %, theirs {theirs} %");
        assert!((ours - theirs).abs() <= points, "{policy}: {ours:.2} %, theirs {theirs} %");
    }
    let row = compare::Row::of(500, &trace);
    assert!(row.policies.iter().all(|ratio| *ratio < row.belady), "{row:?}");
}
