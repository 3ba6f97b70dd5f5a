//! The policies by name, and what each must be able to do. A policy knows slots, not values; it sees keys only to
//! remember those that left.

use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::policies::{Arc, Clock, Fifo, Lfu, Lirs, Lru, Random, S3Fifo, Sieve, TwoQ, WTinyLfu};
use crate::domain::text::nearest;

/// Which entry leaves a full cache. Every policy does each step in O(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Policy {
    /// The one whose last use is longest ago.
    #[default]
    Lru,
    /// The one that was used least often; of several, the one that has been at its count longest.
    Lfu,
    /// The one that came first.
    Fifo,
    /// Any, all equally likely; also read as `dramatic_random`.
    Random,
    /// The one that came first and was not used since the hand passed it (Corbató 1968, one bit).
    Clock,
    /// 2Q, full version (Johnson and Shasha, VLDB 1994): Kin a quarter, Kout half of the capacity.
    TwoQ,
    /// ARC (Megiddo and Modha, FAST 2003).
    Arc,
    /// LIRS (Jiang and Zhang, SIGMETRICS 2002): resident HIR blocks 1 % of the capacity.
    Lirs,
    /// SIEVE (Zhang and others, NSDI 2024).
    Sieve,
    /// S3-FIFO (Yang and others, SOSP 2023) in the version of libCacheSim 0.3.5: small queue a tenth, ghosts of the main
    /// queue's size, two uses for the way to the main queue.
    S3Fifo,
    /// W-TinyLFU (Einziger, Friedman and Manes, ACM TOS 2017): window 1 %, no adaptation of its size.
    WTinyLfu,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Lru,
        Self::Lfu,
        Self::Fifo,
        Self::Random,
        Self::Clock,
        Self::TwoQ,
        Self::Arc,
        Self::Lirs,
        Self::Sieve,
        Self::S3Fifo,
        Self::WTinyLfu,
    ];

    /// As it is written in files and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Lfu => "lfu",
            Self::Fifo => "fifo",
            Self::Random => "random",
            Self::Clock => "clock",
            Self::TwoQ => "2q",
            Self::Arc => "arc",
            Self::Lirs => "lirs",
            Self::Sieve => "sieve",
            Self::S3Fifo => "s3_fifo",
            Self::WTinyLfu => "w_tinylfu",
        }
    }
}

impl From<Policy> for String {
    fn from(policy: Policy) -> Self {
        policy.name().to_owned()
    }
}

impl TryFrom<String> for Policy {
    type Error = UnknownPolicy;

    fn try_from(text: String) -> Result<Self, UnknownPolicy> {
        text.parse()
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no cache policy{1}; there are {known}", known = Policy::ALL.map(Policy::name).join(", "))]
pub struct UnknownPolicy(pub String, String);

impl FromStr for Policy {
    type Err = UnknownPolicy;

    /// Case does not matter, nor whether words are joined by `-` or `_` or not at all.
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
        let wanted = plain(text);
        let wanted = if wanted == "dramaticrandom" { "random".into() } else { wanted };
        Self::ALL.into_iter().find(|policy| plain(policy.name()) == wanted).ok_or_else(|| {
            let hint = nearest(text, Self::ALL.map(Self::name))
                .map_or_else(String::new, |name| format!(", did you mean {name}?"));
            UnknownPolicy(text.to_owned(), hint)
        })
    }
}

/// What a policy is told, and asked.
pub trait Order<K> {
    /// `slot` was used.
    fn hit(&mut self, slot: u32, key: &K);

    /// `key` was looked for and is not there; it may be put in next.
    fn miss(&mut self, _key: &K) {}

    /// Which slot leaves? It is no longer in the order then. `None` only when there is none.
    fn evict(&mut self, key_of: &dyn Fn(u32) -> K) -> Option<u32>;

    /// The key of the last [`Order::miss`] was put in at `slot`.
    fn insert(&mut self, slot: u32, key: &K, weight: u32);

    /// `slot` was taken out, for another reason than room.
    fn remove(&mut self, slot: u32);
}

/// One of the orders.
#[derive(Debug)]
pub enum AnyOrder<K> {
    Lru(Lru),
    Lfu(Lfu),
    Fifo(Fifo),
    Random(Random),
    Clock(Clock),
    TwoQ(TwoQ<K>),
    Arc(Arc<K>),
    Lirs(Lirs<K>),
    Sieve(Sieve),
    S3Fifo(S3Fifo<K>),
    WTinyLfu(WTinyLfu),
}

impl<K: Copy + Eq + Hash> AnyOrder<K> {
    /// Empty, for this capacity.
    pub fn new(policy: Policy, capacity: u64, rng: &ChaCha8Rng) -> Self {
        match policy {
            Policy::Lru => Self::Lru(Lru::default()),
            Policy::Lfu => Self::Lfu(Lfu::default()),
            Policy::Fifo => Self::Fifo(Fifo::default()),
            Policy::Random => Self::Random(Random::new(rng.clone())),
            Policy::Clock => Self::Clock(Clock::default()),
            Policy::TwoQ => Self::TwoQ(TwoQ::new(capacity)),
            Policy::Arc => Self::Arc(Arc::new(capacity)),
            Policy::Lirs => Self::Lirs(Lirs::new(capacity)),
            Policy::Sieve => Self::Sieve(Sieve::default()),
            Policy::S3Fifo => Self::S3Fifo(S3Fifo::new(capacity)),
            Policy::WTinyLfu => Self::WTinyLfu(WTinyLfu::new(capacity)),
        }
    }
}

/// Calls the same function of whichever order it is, without a table of functions between.
macro_rules! each {
    ($order:expr, $one:ident => $call:expr) => {
        match $order {
            Self::Lru($one) => $call,
            Self::Lfu($one) => $call,
            Self::Fifo($one) => $call,
            Self::Random($one) => $call,
            Self::Clock($one) => $call,
            Self::TwoQ($one) => $call,
            Self::Arc($one) => $call,
            Self::Lirs($one) => $call,
            Self::Sieve($one) => $call,
            Self::S3Fifo($one) => $call,
            Self::WTinyLfu($one) => $call,
        }
    };
}

impl<K: Copy + Eq + Hash> Order<K> for AnyOrder<K> {
    fn hit(&mut self, slot: u32, key: &K) {
        each!(self, order => order.hit(slot, key));
    }

    fn miss(&mut self, key: &K) {
        each!(self, order => order.miss(key));
    }

    fn evict(&mut self, key_of: &dyn Fn(u32) -> K) -> Option<u32> {
        each!(self, order => order.evict(key_of))
    }

    fn insert(&mut self, slot: u32, key: &K, weight: u32) {
        each!(self, order => order.insert(slot, key, weight));
    }

    fn remove(&mut self, slot: u32) {
        each!(self, order => Order::<K>::remove(order, slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_in_any_spelling() {
        for policy in Policy::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
            assert_eq!(policy.name().to_uppercase().replace('_', "-").parse(), Ok(policy));
            let json = serde_json::to_string(&policy).unwrap();
            assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
            assert_eq!(json, format!("\"{}\"", policy.name()));
        }
        assert_eq!("dramatic_random".parse(), Ok(Policy::Random));
        let error = "lri".parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains("did you mean lr") && error.contains("sieve"), "{error}");
    }
}
