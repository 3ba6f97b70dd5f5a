//! What follows from all events up to one of them: the counts that every question about a moment begins with.

use serde::{Deserialize, Serialize};

use super::bytes::{Cursor, Undecodable};
use crate::domain::classification::Classifier;
use crate::domain::time::nanos;
use crate::domain::{Evaluation, Outcome, Source};
use crate::records::journal::Fact;

/// Counts over all events up to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// The last event's number, from 1, gapless over everything in the journal.
    pub version: u64,
    /// Evaluations that were complete.
    pub evaluations: u64,
    /// Domain events of evaluations by kind, in the order of [`FACTS`](crate::records::journal::FACTS).
    pub facts: [u64; 5],
    /// Events of other streams.
    pub others: u64,
    /// Evaluations by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 6],
    /// Those with outcome ok by class, in the order of [`Classification::ALL`](crate::domain::Classification::ALL).
    pub classes: [u64; 4],
    /// With outcome ok, but the answer was wrong.
    pub wrong: u64,
    /// Answered by the cache.
    pub cached: u64,
    /// The durations of all evaluations together, nanoseconds; stops at the type's end.
    pub duration_ns: u64,
}

/// The domain events of one evaluation, in order.
///
/// What was computed was received, checked (by each rule that matched, or by none), matched, labelled and completed; of
/// anything else it is known that it came in and how it ended.
pub fn facts(evaluation: &Evaluation) -> impl Iterator<Item = Fact> {
    let computed = is_computed(evaluation);
    let matched = evaluation.matched;
    let checks = matched.indices().flat_map(|index| {
        // A rule set has at most 64 rules.
        let index = index as u8;
        [Fact::DivisibilityChecked(Some(index)), Fact::RuleMatched(index)]
    });
    let none = matched.is_empty().then_some(Fact::DivisibilityChecked(None));
    let middle = none.into_iter().chain(checks).chain([Fact::LabelAssigned(matched.count() as u8)]);
    [Fact::NumberReceived].into_iter().chain(middle.filter(move |_| computed)).chain([Fact::EvaluationCompleted])
}

/// How many domain events an evaluation has: 2, or for a computed one 3 and one or two for each match.
#[inline]
pub fn fact_count(evaluation: &Evaluation) -> u64 {
    if is_computed(evaluation) { 3 + u64::from(evaluation.matched.count() * 2).max(1) } else { 2 }
}

fn is_computed(evaluation: &Evaluation) -> bool {
    evaluation.outcome == Outcome::Ok && evaluation.source == Source::Strategy
}

impl Totals {
    /// How many bytes it takes in a file.
    pub const BYTES: usize = 21 * 8;

    /// An evaluation with all of its domain events.
    #[inline]
    pub fn evaluation(&mut self, evaluation: &Evaluation, classifier: Classifier) {
        let matches = u64::from(evaluation.matched.count());
        self.version += fact_count(evaluation);
        self.facts[0] += 1;
        if is_computed(evaluation) {
            self.facts[1] += matches.max(1);
            self.facts[2] += matches;
            self.facts[3] += 1;
        }
        self.facts[4] += 1;
        self.complete(evaluation, classifier);
    }

    #[inline]
    fn complete(&mut self, evaluation: &Evaluation, classifier: Classifier) {
        self.evaluations += 1;
        self.outcomes[evaluation.outcome as usize] += 1;
        if evaluation.outcome == Outcome::Ok {
            self.classes[classifier.classify(evaluation.matched) as usize] += 1;
            self.wrong += u64::from(!evaluation.correct);
        }
        self.cached += u64::from(evaluation.source == Source::Cache);
        self.duration_ns = self.duration_ns.saturating_add(nanos(evaluation.duration));
    }

    /// The first so many of its domain events; it is complete with the last one.
    pub fn part_of(&mut self, evaluation: &Evaluation, classifier: Classifier, count: u64) {
        for fact in facts(evaluation).take(usize::try_from(count).unwrap_or(usize::MAX)) {
            self.version += 1;
            self.facts[fact.kind()] += 1;
            if fact == Fact::EvaluationCompleted {
                self.complete(evaluation, classifier);
            }
        }
    }

    /// An event of another stream.
    pub const fn other(&mut self) {
        self.version += 1;
        self.others += 1;
    }

    /// The mean duration of an evaluation, microseconds.
    pub fn mean_us(&self) -> Option<f64> {
        (self.evaluations > 0).then(|| self.duration_ns as f64 / self.evaluations as f64 / 1e3)
    }

    fn numbers(&self) -> [u64; 21] {
        let mut all = [0; 21];
        let parts: [&[u64]; 5] = [
            &[self.version, self.evaluations],
            &self.facts,
            &[self.others],
            &self.outcomes,
            &[
                self.classes[0],
                self.classes[1],
                self.classes[2],
                self.classes[3],
                self.wrong,
                self.cached,
                self.duration_ns,
            ],
        ];
        for (slot, number) in all.iter_mut().zip(parts.into_iter().flatten()) {
            *slot = *number;
        }
        all
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for number in self.numbers() {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Undecodable> {
        let mut next = || cursor.u64();
        let mut totals = Self { version: next()?, evaluations: next()?, ..Self::default() };
        for slot in &mut totals.facts {
            *slot = next()?;
        }
        totals.others = next()?;
        for slot in totals.outcomes.iter_mut().chain(&mut totals.classes) {
            *slot = next()?;
        }
        (totals.wrong, totals.cached, totals.duration_ns) = (next()?, next()?, next()?);
        Ok(totals)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::RuleSet;

    fn computed(number: i64) -> Evaluation {
        let rules = RuleSet::classic();
        Evaluation::computed(0, number, &rules, Duration::from_nanos(5))
    }

    #[test]
    fn one_to_thirty_is_the_known_count_and_event_fifty_is_in_the_twelfth_evaluation() {
        let classifier = Classifier::new(&RuleSet::classic());
        let mut totals = Totals::default();
        let mut at_fifty = None;
        for number in 1..=30 {
            let evaluation = computed(number);
            let left = 50u64.saturating_sub(totals.version);
            if at_fifty.is_none() && fact_count(&evaluation) > left {
                let mut part = totals;
                part.part_of(&evaluation, classifier, left);
                at_fifty = Some(part);
            }
            totals.evaluation(&evaluation, classifier);
        }
        assert_eq!((totals.version, totals.facts, totals.classes), (138, [30, 32, 16, 30, 30], [8, 4, 2, 16]));
        let at_fifty = at_fifty.unwrap();
        assert_eq!((at_fifty.version, at_fifty.evaluations), (50, 11));
    }

    #[test]
    fn parts_add_up_and_bytes_come_back() {
        let classifier = Classifier::new(&RuleSet::classic());
        for number in [1, 3, 15] {
            let mut cached = computed(number);
            cached.source = Source::Cache;
            for evaluation in [computed(number), cached] {
                let mut whole = Totals::default();
                whole.evaluation(&evaluation, classifier);
                assert_eq!(facts(&evaluation).count() as u64, fact_count(&evaluation));
                let mut parts = Totals::default();
                parts.part_of(&evaluation, classifier, u64::MAX);
                assert_eq!(parts, whole);
                let mut bytes = Vec::new();
                whole.put(&mut bytes);
                assert_eq!(bytes.len(), Totals::BYTES);
                assert_eq!(Totals::read(&mut Cursor::new(&bytes)), Ok(whole));
            }
        }
    }
}
