//! The journal: the domain events of every evaluation that was computed, appended in order, with the figures that
//! follow from them. What the cache answers is not computed, so it leaves no domain events. The [`log`] keeps every finished
//! evaluation on the disk, whichever way it finished; the middleware here is what a session without a data directory has.
//!
//! ```
//! use std::sync::Arc;
//! use fizzops::domain::{EventMask, RuleSet, Source, Timestamp};
//! use fizzops::pipeline::{Context, Middleware, Outbox};
//! use fizzops::records::journal::{Journal, JournalConfig};
//!
//! let rules = Arc::new(RuleSet::classic());
//! let mut journal = Journal::new(&JournalConfig { enabled: true, ..JournalConfig::default() }, Arc::clone(&rules));
//! for number in 1..=30 {
//!     let mut context = Context::new(0, number, rules.all(), Timestamp::EPOCH);
//!     context.answer(rules.matches(number, rules.all()), Source::Strategy);
//!     journal.leave(&mut context, &mut Outbox::new(EventMask::NONE, 0));
//! }
//! assert_eq!(journal.view().events, 138);
//! ```

pub mod cloud;
pub mod desk;
mod error;
pub mod log;
pub mod outbox;
pub mod projection;
pub mod projector;
mod row;
pub mod store;

use std::collections::VecDeque;
use std::sync::Arc;

pub use error::JournalError;
pub use row::EvaluationRow;
use serde::{Deserialize, Serialize};

use crate::domain::classification::Classifier;
use crate::domain::{Classification, Kind, Payload, RuleSet, Timestamp};
use crate::pipeline::{Context, Middleware, Outbox};

/// The section `event_sourcing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Whether domain events are kept.
    pub enabled: bool,
    /// Evaluations between two snapshots of the statistics; at least 1.
    pub snapshot_interval: u64,
    /// How many of the last events are kept in memory; the figures are over all of them.
    pub retain: usize,
    /// How long a commit of the durable journal waits for company, milliseconds; at most 100.
    pub commit_interval_ms: u64,
    /// A segment of the durable journal is closed once it is this long, bytes; at least 4096.
    pub segment_bytes: u64,
    /// Seconds between two checkpoints of the current results, which a thread keeps up beside the session; 0 for none:
    /// they are rebuilt from the last checkpoint when somebody asks.
    pub checkpoint_seconds: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            snapshot_interval: 1_000,
            retain: 4_096,
            commit_interval_ms: 20,
            segment_bytes: 16 * 1024 * 1024,
            checkpoint_seconds: 0,
        }
    }
}

/// A domain event. It is told as text only when somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The number came in.
    NumberReceived,
    /// It was divided by the rule at this index; `None` stands for "by no rule".
    DivisibilityChecked(Option<u8>),
    /// The rule at this index matched.
    RuleMatched(u8),
    /// As many rules matched.
    LabelAssigned(u8),
    /// It was done.
    EvaluationCompleted,
}

/// How many kinds of facts there are.
const KINDS: usize = 5;

impl Fact {
    pub(crate) const fn kind(self) -> usize {
        match self {
            Self::NumberReceived => 0,
            Self::DivisibilityChecked(_) => 1,
            Self::RuleMatched(_) => 2,
            Self::LabelAssigned(_) => 3,
            Self::EvaluationCompleted => 4,
        }
    }
}

/// The names of the kinds, in the order of their counts.
pub const FACTS: [&str; KINDS] =
    ["NumberReceived", "DivisibilityChecked", "RuleMatched", "LabelAssigned", "EvaluationCompleted"];

#[derive(Debug, Clone, Copy)]
struct Entry {
    version: u64,
    number: i64,
    at: Timestamp,
    fact: Fact,
}

/// The statistics that follow from the events up to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// The last event's number, from 1.
    pub version: u64,
    /// Evaluations completed.
    pub evaluations: u64,
    /// By class, in the order of [`Classification::ALL`].
    pub classes: [u64; 4],
}

/// The last events, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryView {
    /// Its number, from 1.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// What, in words.
    pub text: String,
}

/// The journal, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalView {
    /// Whether domain events are kept.
    pub enabled: bool,
    /// Events so far; also the last one's number.
    pub events: u64,
    /// By kind, in the order of [`FACTS`].
    pub by_kind: [u64; KINDS],
    /// What follows from all of them.
    pub statistics: Statistics,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Events that are still in memory.
    pub retained: u64,
    /// The last events, oldest first.
    pub tail: Vec<EntryView>,
    /// What is on the disk, in a session that keeps its journal there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<store::DurableView>,
}

const TAIL: usize = 24;
const SNAPSHOTS: usize = 64;

/// The middleware, at priority 5.
#[derive(Debug)]
pub struct Journal {
    config: JournalConfig,
    rules: Arc<RuleSet>,
    classifier: Classifier,
    entries: VecDeque<Entry>,
    by_kind: [u64; KINDS],
    statistics: Statistics,
    snapshots: VecDeque<Statistics>,
    taken: u64,
    /// Where the durable journal is, to be asked how it stands.
    durable: Option<store::Appender>,
    /// How it stood when it was let go.
    last: Option<store::DurableView>,
}

impl Journal {
    /// As configured, naming the rules of `rules`.
    pub fn new(config: &JournalConfig, rules: Arc<RuleSet>) -> Self {
        Self {
            config: JournalConfig {
                snapshot_interval: config.snapshot_interval.max(1),
                retain: config.retain.clamp(1, 10_000_000),
                ..config.clone()
            },
            classifier: Classifier::new(&rules),
            rules,
            entries: VecDeque::new(),
            by_kind: [0; KINDS],
            statistics: Statistics::default(),
            snapshots: VecDeque::with_capacity(SNAPSHOTS),
            taken: 0,
            durable: None,
            last: None,
        }
    }

    /// From now on the view tells of the durable journal too.
    pub fn show(&mut self, durable: store::Appender) {
        self.durable = Some(durable);
    }

    /// Lets go of the durable journal; the view tells how it stood last.
    pub fn hide(&mut self) {
        self.last = self.durable.take().map(|durable| durable.view());
    }

    fn append(&mut self, number: i64, at: Timestamp, fact: Fact) {
        self.statistics.version += 1;
        if let Some(count) = self.by_kind.get_mut(fact.kind()) {
            *count += 1;
        }
        if self.entries.len() >= self.config.retain {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { version: self.statistics.version, number, at, fact });
    }

    /// The statistics after the event with this number, from the nearest snapshot on; `None` when that is before
    /// what is kept, or not yet.
    pub fn as_of(&self, version: u64) -> Option<Statistics> {
        if version > self.statistics.version {
            return None;
        }
        let start = Statistics::default();
        let mut state =
            self.snapshots.iter().rev().find(|snapshot| snapshot.version <= version).copied().unwrap_or(start);
        let oldest = self.entries.front().map_or(1, |entry| entry.version);
        if state.version + 1 < oldest && state.version != version {
            return None;
        }
        // Which rules matched is told before the evaluation is complete.
        let mut matched = crate::domain::RuleMask::NONE;
        for entry in self.entries.iter().filter(|entry| entry.version > state.version && entry.version <= version) {
            match entry.fact {
                Fact::NumberReceived => matched = crate::domain::RuleMask::NONE,
                Fact::RuleMatched(rule) => matched = matched.with(rule.into()),
                Fact::EvaluationCompleted => {
                    state.evaluations += 1;
                    state.classes[self.classifier.classify(matched) as usize] += 1;
                }
                Fact::DivisibilityChecked(_) | Fact::LabelAssigned(_) => {}
            }
        }
        state.version = version;
        Some(state)
    }

    /// As it is shown.
    pub fn view(&self) -> JournalView {
        let tail = self.entries.len().saturating_sub(TAIL);
        JournalView {
            enabled: self.config.enabled,
            events: self.statistics.version,
            by_kind: self.by_kind,
            statistics: self.statistics,
            snapshots: self.taken,
            retained: self.entries.len() as u64,
            tail: self.entries.iter().skip(tail).map(|entry| self.tell(entry)).collect(),
            durable: self.durable.as_ref().map(store::Appender::view).or_else(|| self.last.clone()),
        }
    }

    fn tell(&self, entry: &Entry) -> EntryView {
        let number = entry.number;
        let rule = |index: u8| self.rules.rules().get(usize::from(index));
        let text = match entry.fact {
            Fact::NumberReceived => format!("NumberReceived {number}"),
            Fact::DivisibilityChecked(index) => match index.and_then(rule) {
                Some(rule) => format!("DivisibilityChecked {number} by {} ({}): yes", rule.divisor, rule.name),
                None => format!("DivisibilityChecked {number}: by none"),
            },
            Fact::RuleMatched(index) => {
                format!("RuleMatched {number} {}", rule(index).map_or("", |rule| rule.label.as_str()))
            }
            Fact::LabelAssigned(matched) => format!("LabelAssigned {number}, {matched} matched"),
            Fact::EvaluationCompleted => format!("EvaluationCompleted {number}"),
        };
        EntryView { version: entry.version, at: entry.at, text }
    }

    fn announce(&self, from: u64, context: &Context, out: &mut Outbox) {
        let number = context.number;
        let matched = context.matched;
        let label = || self.rules.label(matched).to_string();
        let output = || context.output.text(number, &self.rules).into_owned();
        let mut version = from;
        let mut next = || {
            version += 1;
            version
        };
        let received = next();
        out.emit(Kind::EsNumberReceived, || Payload::EsNumberReceived { version: received, number });
        if matched.is_empty() {
            let version = next();
            out.emit(Kind::EsDivisibilityChecked, || Payload::EsDivisibilityChecked {
                version,
                number,
                divisor: 0,
                divisible: false,
                rule: "(none)".into(),
            });
        }
        for rule in self.rules.named(matched) {
            let (checked, hit) = (next(), next());
            out.emit(Kind::EsDivisibilityChecked, || Payload::EsDivisibilityChecked {
                version: checked,
                number,
                divisor: rule.divisor,
                divisible: true,
                rule: rule.name.clone(),
            });
            out.emit(Kind::EsRuleMatched, || Payload::EsRuleMatched {
                version: hit,
                number,
                rule: rule.name.clone(),
                label: rule.label.clone(),
            });
        }
        let (assigned, completed) = (next(), next());
        out.emit(Kind::EsLabelAssigned, || Payload::EsLabelAssigned {
            version: assigned,
            number,
            label: if matched.is_empty() { number.to_string() } else { label() },
            matched: matched.count(),
        });
        out.emit(Kind::EsEvaluationCompleted, || Payload::EsEvaluationCompleted {
            version: completed,
            number,
            output: output(),
            duration_us: context.now.since(context.attempted).as_secs_f64() * 1e6,
        });
    }
}

impl Middleware for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn priority(&self) -> i16 {
        5
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        if !self.config.enabled || !context.is_answered() {
            return;
        }
        let (number, at, matched) = (context.number, context.now, context.matched);
        let before = self.statistics.version;
        self.append(number, at, Fact::NumberReceived);
        if matched.is_empty() {
            self.append(number, at, Fact::DivisibilityChecked(None));
        }
        for index in matched.indices() {
            // A rule set has at most 64 rules.
            let index = index as u8;
            self.append(number, at, Fact::DivisibilityChecked(Some(index)));
            self.append(number, at, Fact::RuleMatched(index));
        }
        self.append(number, at, Fact::LabelAssigned(matched.count() as u8));
        self.append(number, at, Fact::EvaluationCompleted);
        self.statistics.evaluations += 1;
        self.statistics.classes[self.classifier.classify(matched) as usize] += 1;
        if self.statistics.evaluations.is_multiple_of(self.config.snapshot_interval) {
            if self.snapshots.len() == SNAPSHOTS {
                self.snapshots.pop_front();
            }
            self.snapshots.push_back(self.statistics);
            self.taken += 1;
            let Statistics { version, evaluations, .. } = self.statistics;
            out.emit(Kind::EsSnapshotTaken, || Payload::EsSnapshotTaken { version, evaluations });
        }
        if out.wants(Kind::EsNumberReceived) {
            self.announce(before, context, out);
        }
    }
}

/// The class names in the order of [`Statistics::classes`].
pub fn class_names() -> [&'static str; 4] {
    Classification::ALL.map(Classification::name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, Source};

    fn journal(snapshot_interval: u64, retain: usize, numbers: std::ops::RangeInclusive<i64>) -> (Journal, Outbox) {
        let rules = Arc::new(RuleSet::classic());
        let config = JournalConfig { enabled: true, snapshot_interval, retain, ..JournalConfig::default() };
        let mut journal = Journal::new(&config, Arc::clone(&rules));
        let mut out = Outbox::new(EventMask::ALL, 100_000);
        for number in numbers {
            let mut context = Context::new(0, number, rules.all(), Timestamp::EPOCH);
            context.answer(rules.matches(number, rules.all()), Source::Strategy);
            journal.leave(&mut context, &mut out);
        }
        (journal, out)
    }

    #[test]
    fn one_to_thirty_leaves_the_known_events() {
        let (journal, mut out) = journal(1_000, 1_000, 1..=30);
        let view = journal.view();
        assert_eq!((view.events, view.by_kind), (138, [30, 32, 16, 30, 30]));
        assert_eq!(view.statistics.classes, [8, 4, 2, 16]);
        assert_eq!(journal.as_of(50).unwrap().evaluations, 11);
        assert_eq!(out.take().len(), 138, "every domain event can be subscribed to");
    }

    #[test]
    fn the_past_is_the_same_with_and_without_snapshots() {
        let (plain, _) = journal(1_000_000, 100_000, 1..=500);
        let (snapped, _) = journal(7, 100_000, 1..=500);
        for version in 0..=plain.view().events {
            assert_eq!(plain.as_of(version), snapped.as_of(version), "{version}");
        }
        assert_eq!(plain.as_of(plain.view().events), Some(plain.view().statistics));
        assert_eq!(plain.as_of(plain.view().events + 1), None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_gone_is_not_made_up() {
        let (journal, _) = journal(1_000_000, 64, 1..=1_000);
        assert_eq!(journal.view().retained, 64);
        assert_eq!(journal.as_of(10), None);
        assert_eq!(journal.view().by_kind[0], 1_000);
    }
}
