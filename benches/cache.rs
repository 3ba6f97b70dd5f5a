//! What a cache costs per operation at 100 000 entries, beside caches that are in wide use. Goals: a hit in at most 20 ns,
//! a put that makes another entry leave in at most 90 ns, for lru, sieve and s3_fifo. The ratio to quick_cache's unsync
//! cache and to moka is what to quote.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot be set up stops")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fizzops::domain::Timestamp;
use fizzops::mechanisms::cache::{Policy, Store, compare};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rand_distr::{Distribution as _, Zipf};

const ENTRIES: u64 = 100_000;
const NOW: Timestamp = Timestamp::EPOCH;

/// Keys that are there, most asked for a few of them, as services see them.
fn asked() -> Vec<u64> {
    let zipf = Zipf::new(ENTRIES as f64, 1.0).expect("a distribution");
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    (0..1 << 16).map(|_| spread(zipf.sample(&mut rng) as u64 - 1)).collect()
}

/// Keys in no order: neighbours in rank are not neighbours in memory.
const fn spread(rank: u64) -> u64 {
    rank.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn full(policy: Policy) -> Store<u64, u64> {
    let mut store = Store::new(policy, ENTRIES, ChaCha8Rng::seed_from_u64(1));
    for rank in 0..ENTRIES {
        store.put(spread(rank), rank, 1, NOW, Timestamp::MAX, |_| {});
    }
    assert_eq!(store.len() as u64, ENTRIES);
    store
}

fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache/get of a hit");
    let asked = asked();
    let next = |at: &mut usize| {
        *at = (*at + 1) & (asked.len() - 1);
        asked[*at]
    };
    for policy in Policy::ALL {
        let mut store = full(policy);
        let mut at = 0;
        group.bench_function(BenchmarkId::from_parameter(policy), |bencher| {
            bencher.iter(|| black_box(store.get(&next(&mut at), NOW)));
        });
        assert_eq!(store.len() as u64, ENTRIES, "nothing else was measured");
    }
    let mut quick = quick_cache::unsync::Cache::new(ENTRIES as usize * 2);
    (0..ENTRIES).for_each(|rank| quick.insert(spread(rank), rank));
    let mut at = 0;
    group
        .bench_function("quick_cache unsync", |bencher| bencher.iter(|| black_box(quick.get(&next(&mut at)).copied())));
    let moka = moka::sync::Cache::new(ENTRIES * 2);
    (0..ENTRIES).for_each(|rank| moka.insert(spread(rank), rank));
    group.bench_function("moka", |bencher| bencher.iter(|| black_box(moka.get(&next(&mut at)))));
    group.finish();
}

fn insert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache/put that makes another leave");
    for policy in Policy::ALL {
        let mut store = full(policy);
        let mut rank = ENTRIES;
        group.bench_function(BenchmarkId::from_parameter(policy), |bencher| {
            bencher.iter(|| {
                rank += 1;
                store.put(black_box(spread(rank)), rank, 1, NOW, Timestamp::MAX, |entry| {
                    black_box(entry);
                });
            });
        });
        assert_eq!(store.len() as u64, ENTRIES, "each put made room for itself");
    }
    let mut quick = quick_cache::unsync::Cache::new(ENTRIES as usize);
    let mut rank = 0;
    let mut next = || {
        rank += 1;
        spread(rank)
    };
    (0..ENTRIES * 2).for_each(|value| quick.insert(next(), value));
    group.bench_function("quick_cache unsync", |bencher| bencher.iter(|| quick.insert(black_box(next()), 1)));
    let moka = moka::sync::Cache::new(ENTRIES);
    (0..ENTRIES * 2).for_each(|value| moka.insert(next(), value));
    group.bench_function("moka", |bencher| bencher.iter(|| moka.insert(black_box(next()), 1)));
    group.finish();
}

fn trace(criterion: &mut Criterion) {
    let zipf = Zipf::new(10_000.0, 0.9).expect("a distribution");
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let trace: Vec<u64> = (0..20_000).map(|_| zipf.sample(&mut rng) as u64).collect();
    let mut group = criterion.benchmark_group("cache/trace of 20 000");
    group.sample_size(20).bench_function("all policies and belady at 500", |bencher| {
        bencher.iter(|| black_box(compare::Row::of(500, &trace)));
    });
    group.finish();
}

criterion_group!(benches, hit, insert, trace);
criterion_main!(benches);
