//! The middleware: look-ups on the way in, answers kept on the way out, and the figures that are shown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::config::{CacheCommand, CacheConfig, CacheError, WarmingConfig};
use super::eulogy::{Departed, eulogy};
use super::shards::{Happened, Line, Read, Reason, Shards};
use super::store::Entry;
use crate::domain::{Kind, Output, Payload, RuleMask, RuleSet, Source, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// What an answer is kept under: the number, and the rules that were on for it. So an answer from before a flag
/// changed is never served after it.
pub type Key = (i64, RuleMask);

/// An answer that left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvictionView {
    /// When.
    pub at: Timestamp,
    /// For which number.
    pub number: i64,
    /// `capacity`, `expired`, `invalidated` or `coherence`.
    pub reason: String,
    /// How old it was, milliseconds.
    pub age_ms: u64,
    /// How often it had been used.
    pub uses: u64,
    /// What was left of its time, 0 to 1.
    pub dignity: f64,
    /// A few words, if they are wanted.
    pub eulogy: Option<String>,
}

/// The cache, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheView {
    /// Whether it is in force.
    pub enabled: bool,
    /// The policy's name.
    pub policy: String,
    /// Answers that it has, copies in several shards counted each.
    pub entries: u64,
    /// How much of the capacity is taken.
    pub weight: u64,
    /// Its capacity: answers, or bytes of output.
    pub capacity: u64,
    /// What the capacity counts: `answers` or `bytes`.
    pub unit: String,
    /// How long an answer is good, milliseconds.
    pub ttl_ms: u64,
    /// Look-ups that found an answer, in the worker's own shard or another.
    pub hits: u64,
    /// Those among them that another shard had.
    pub peer_hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Answers that left because it was full.
    pub evicted: u64,
    /// Answers that left because they were too old.
    pub expired: u64,
    /// Answers that left because somebody said so.
    pub invalidated: u64,
    /// Copies that left because another shard wrote.
    pub superseded: u64,
    /// Workers with caches of their own, with how many answers each has.
    pub shards: Vec<u64>,
    /// Answers that are MODIFIED, EXCLUSIVE, SHARED.
    pub lines: [u64; 3],
    /// Steps of the coherence protocol so far.
    pub steps: u64,
    /// The last answers that left, oldest first.
    pub recent: Vec<EvictionView>,
}

impl CacheView {
    /// Hits among look-ups, 0 to 1; `None` before the first look-up.
    pub fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.hits + self.misses;
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }
}

/// How many of those that left are remembered, and how many of them are shown.
const HISTORY: usize = 50;
const SHOWN: usize = 10;
/// How many slots are looked at for old answers with each answer that is put in.
const SWEPT: usize = 2;

/// The middleware, at priority 4.
#[derive(Debug)]
pub struct CacheMiddleware {
    config: CacheConfig,
    ttl: Duration,
    rules: Arc<RuleSet>,
    shards: Shards<Key, RuleMask>,
    record: Record,
    /// How far its clock is ahead.
    skew_ms: i64,
}

/// What is counted, and who left last.
#[derive(Debug, Default)]
struct Record {
    hits: u64,
    peer_hits: u64,
    misses: u64,
    /// By reason.
    left: [u64; 4],
    history: VecDeque<(Timestamp, Entry<Key, Line<RuleMask>>, Reason)>,
}

impl Record {
    fn happened(&mut self, happened: Happened<Key, RuleMask>, now: Timestamp, out: &mut Outbox) {
        match happened {
            Happened::Step { key: (number, _), shard, from, to } => {
                out.emit(Kind::CacheCoherenceTransition, || Payload::CacheCoherenceTransition {
                    number,
                    shard,
                    from: from.name().to_owned(),
                    to: to.name().to_owned(),
                });
            }
            Happened::Left(entry, reason) => {
                self.left[reason as usize] += 1;
                if self.history.len() == HISTORY {
                    self.history.pop_front();
                }
                self.history.push_back((now, entry, reason));
                out.emit(Kind::CacheEviction, || Payload::CacheEviction {
                    number: entry.key.0,
                    reason: reason.name().to_owned(),
                });
            }
        }
    }
}

impl CacheMiddleware {
    /// As configured, empty.
    ///
    /// # Errors
    /// [`CacheError`] for a setting that is impossible.
    pub fn new(config: &CacheConfig, rules: &Arc<RuleSet>, rng: ChaCha8Rng) -> Result<Self, CacheError> {
        config.check()?;
        let ttl = Duration::try_from_secs_f64(config.ttl_seconds)
            .ok()
            .filter(|ttl| !ttl.is_zero())
            .ok_or(CacheError::Ttl(config.ttl_seconds))?;
        let capacity = config.max_weight.unwrap_or(config.max_size);
        Ok(Self {
            config: config.clone(),
            ttl,
            rules: Arc::clone(rules),
            shards: Shards::new(config.shards, config.eviction_policy, capacity, rng),
            record: Record::default(),
            skew_ms: 0,
        })
    }

    /// What an answer takes of the capacity: one place, or the bytes of its output.
    fn weight(&self, number: i64, matched: RuleMask) -> u32 {
        if self.config.max_weight.is_none() {
            return 1;
        }
        if matched.is_empty() {
            // The digits, and the sign.
            return number.unsigned_abs().checked_ilog10().unwrap_or(0) + 1 + u32::from(number < 0);
        }
        let labels = matched.indices().filter_map(|rule| self.rules.rules().get(rule));
        labels.map(|rule| rule.label.len() as u32).sum()
    }

    /// Puts in the answers for the configured range, if that is configured; how many that were.
    pub fn warm(&mut self, now: Timestamp, out: &mut Outbox) -> u64 {
        let WarmingConfig { enabled, range_start: from, range_end: to } = self.config.warming;
        if !(enabled && self.config.enabled) {
            return 0;
        }
        // Answers beyond the capacity would only push the first ones out again.
        let entries =
            self.put_all((from..=to).take(usize::try_from(self.config.max_size).unwrap_or(usize::MAX)), now, out);
        out.emit(Kind::CacheWarming, || Payload::CacheWarming { entries, from, to });
        entries
    }

    /// Look-ups that found an answer, and those that did not.
    pub const fn looked_up(&self) -> [u64; 2] {
        [self.record.hits, self.record.misses]
    }

    /// What its own clock says.
    fn clock(&self, now: Timestamp) -> Timestamp {
        let skew = Duration::from_millis(self.skew_ms.unsigned_abs());
        if self.skew_ms < 0 { now.before(skew) } else { now + skew }
    }

    /// Puts in the answers for the last of these numbers, as many as there is room for; how many that were.
    pub fn warm_with(&mut self, numbers: &[i64], now: Timestamp, out: &mut Outbox) -> u64 {
        if !self.config.enabled {
            return 0;
        }
        let room = usize::try_from(self.config.max_size).unwrap_or(usize::MAX);
        // The latest first, each once; then put in so that the latest is the newest.
        let mut latest: Vec<i64> = Vec::new();
        let mut seen = rustc_hash::FxHashSet::default();
        for number in numbers.iter().rev().filter(|number| seen.insert(**number)).take(room) {
            latest.push(*number);
        }
        let entries = self.put_all(latest.into_iter().rev(), now, out);
        let (from, to) = (numbers.first().copied().unwrap_or(0), numbers.last().copied().unwrap_or(0));
        out.emit(Kind::CacheWarming, || Payload::CacheWarming { entries, from, to });
        entries
    }

    /// Puts in answers as they are where all rules are on.
    fn put_all(&mut self, numbers: impl Iterator<Item = i64>, now: Timestamp, out: &mut Outbox) -> u64 {
        let rules = Arc::clone(&self.rules);
        let mut entries = 0;
        for number in numbers {
            self.keep(
                entries % u64::from(self.shards.count()),
                number,
                rules.all(),
                rules.matches(number, rules.all()),
                now,
                out,
            );
            entries += 1;
        }
        entries
    }

    fn keep(&mut self, shard: u64, number: i64, on: RuleMask, matched: RuleMask, now: Timestamp, out: &mut Outbox) {
        let weight = self.weight(number, matched);
        let Self { shards, record, .. } = self;
        let mut watch = |happened| record.happened(happened, now, out);
        let shard = shard as u32;
        shards.write(shard, (number, on), matched, weight, now, now + self.ttl, &mut watch);
        shards.sweep(shard, SWEPT, now, &mut watch);
    }

    /// Carries out a command; the answer is a sentence for the operator.
    pub fn command(&mut self, command: CacheCommand, now: Timestamp, out: &mut Outbox) -> String {
        match command {
            CacheCommand::Clear => {
                let entries = self.invalidate("all".into(), |_| true, now, out);
                format!("cache is empty; {entries} answers are forgotten")
            }
            CacheCommand::Invalidate { number } => {
                let entries = self.invalidate(number.to_string(), |one| one == number, now, out);
                format!("cache has forgotten {entries} answers for {number}")
            }
            CacheCommand::InvalidateRange { from, to } => {
                let entries = self.invalidate(format!("{from} to {to}"), |one| (from..=to).contains(&one), now, out);
                format!("cache has forgotten {entries} answers for {from} to {to}")
            }
            CacheCommand::SkewClock { by_ms } => {
                self.skew_ms = by_ms;
                let ms = by_ms.unsigned_abs();
                match by_ms {
                    0 => "the cache's clock is right".into(),
                    1.. => format!("the cache's clock is {ms} ms ahead"),
                    _ => format!("the cache's clock is {ms} ms behind"),
                }
            }
            CacheCommand::SetPolicy { policy } => {
                self.shards.set_policy(policy);
                format!("cache evicts by {policy} from now on")
            }
        }
    }

    fn invalidate(&mut self, what: String, gone: impl Fn(i64) -> bool, now: Timestamp, out: &mut Outbox) -> u64 {
        let Self { shards, record, .. } = self;
        let before = record.left[Reason::Invalidated as usize];
        shards.invalidate(|entry| gone(entry.key.0), &mut |happened| record.happened(happened, now, out));
        let entries = record.left[Reason::Invalidated as usize] - before;
        out.emit(Kind::CacheInvalidation, || Payload::CacheInvalidation { what, entries });
        entries
    }

    /// As it is shown.
    pub fn view(&self) -> CacheView {
        let [modified, exclusive, shared, _] = self.shards.lines();
        let stores = self.shards.stores();
        let record = &self.record;
        let left = |reason: Reason| record.left[reason as usize];
        let recent = record.history.iter().skip(record.history.len().saturating_sub(SHOWN));
        CacheView {
            enabled: self.config.enabled,
            policy: self.shards.policy().name().to_owned(),
            entries: stores.iter().map(|store| store.len() as u64).sum(),
            weight: stores.iter().map(super::store::Store::weight).sum(),
            capacity: self.config.max_weight.unwrap_or(self.config.max_size),
            unit: if self.config.max_weight.is_some() { "bytes" } else { "answers" }.to_owned(),
            ttl_ms: u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            hits: record.hits,
            peer_hits: record.peer_hits,
            misses: record.misses,
            evicted: left(Reason::Capacity),
            expired: left(Reason::Expired),
            invalidated: left(Reason::Invalidated),
            superseded: left(Reason::Coherence),
            shards: stores.iter().map(|store| store.len() as u64).collect(),
            lines: [modified, exclusive, shared],
            steps: self.shards.steps(),
            recent: recent.map(|(at, entry, reason)| self.eviction(*at, entry, *reason)).collect(),
        }
    }

    fn eviction(&self, at: Timestamp, entry: &Entry<Key, Line<RuleMask>>, reason: Reason) -> EvictionView {
        let number = entry.key.0;
        let age = at.since(entry.created);
        let dignity = (1.0 - age.as_secs_f64() / self.ttl.as_secs_f64()).max(0.0);
        let output = Output::of(entry.value.value);
        let departed = Departed {
            number,
            output: &output.text(number, &self.rules),
            uses: entry.uses,
            age: age.as_secs_f64(),
            dignity,
            policy: self.shards.policy().name(),
        };
        EvictionView {
            at,
            number,
            reason: reason.name().to_owned(),
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            uses: entry.uses.into(),
            dignity,
            // The same answer gets the same words, whenever it is looked at.
            eulogy: self
                .config
                .enable_eulogies
                .then(|| eulogy(&departed, number.unsigned_abs() ^ entry.created.as_nanos())),
        }
    }
}

impl Middleware for CacheMiddleware {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn priority(&self) -> i16 {
        4
    }

    fn enter(&mut self, context: &mut Context, out: &mut Outbox) -> Flow {
        if !self.config.enabled {
            return Flow::Continue;
        }
        let (number, now) = (context.number, self.clock(context.now));
        let shard = (context.sequence % u64::from(self.shards.count())) as u32;
        let Self { shards, record, .. } = self;
        let found =
            shards.read(shard, &(number, context.rules), now, &mut |happened| record.happened(happened, now, out));
        let (matched, peer) = match found {
            Read::Own(matched) => (matched, false),
            Read::Peer(matched) => (matched, true),
            Read::Nothing => {
                record.misses += 1;
                out.emit(Kind::CacheMiss, || Payload::CacheMiss { number });
                return Flow::Continue;
            }
        };
        record.hits += 1;
        record.peer_hits += u64::from(peer);
        context.answer(matched, Source::Cache);
        out.emit(Kind::CacheHit, || Payload::CacheHit { number });
        Flow::Finish
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        if self.config.enabled && context.is_answered() {
            let shard = context.sequence % u64::from(self.shards.count());
            let now = self.clock(context.now);
            self.keep(shard, context.number, context.rules, context.matched, now, out);
        }
    }
}
