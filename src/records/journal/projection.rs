//! A projection of its own: the last result of every number. It reads the journal up to any event, is saved as a snapshot
//! beside it, and rebuilt from the nearest snapshot or from nothing with the same result. A snapshot that does not match
//! its checksum is not used.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::JournalError;
use super::log::{Item, Reader, fact_count};
use crate::domain::Outcome;
use crate::records::files::{Files, replace};

/// The last result of a number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Current {
    /// What was shown, or the outcome and the code.
    pub shown: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The number of the event that completed it.
    pub version: u64,
}

/// The last result of every number, as of one event.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct CurrentResults {
    /// The event that it is brought up to.
    pub version: u64,
    /// By number.
    pub results: BTreeMap<i64, Current>,
}

const FOLDER: &str = "projections";
const PREFIX: &str = "current_results-";

impl CurrentResults {
    /// Goes on to the event number `until`. An evaluation counts with its last event; `version` is then at most as far
    /// as the last evaluation that counts, so that the rest of one is not lost.
    ///
    /// # Errors
    /// As [`Reader::visit`].
    pub fn bring_to(&mut self, reader: &Reader, until: u64) -> Result<(), JournalError> {
        let mut reached = self.version;
        reader.visit(self.version, |item| {
            match item {
                Item::Evaluation { before, session, evaluation, .. } => {
                    let version = before + fact_count(evaluation);
                    if version > until {
                        return ControlFlow::Break(());
                    }
                    reached = version;
                    let current =
                        Current { shown: evaluation.shown(&session.rules), outcome: evaluation.outcome, version };
                    self.results.insert(evaluation.number, current);
                }
                Item::Event(event) if event.version > until => return ControlFlow::Break(()),
                Item::Event(event) => reached = event.version,
            }
            ControlFlow::Continue(())
        })?;
        self.version = reached;
        Ok(())
    }

    /// As of the event number `until`, from the nearest snapshot that is not after it.
    ///
    /// # Errors
    /// As [`Reader::visit`].
    pub fn as_of(files: &dyn Files, reader: &Reader, until: u64) -> Result<Self, JournalError> {
        let mut state = Self::nearest(files, until).unwrap_or_default();
        state.bring_to(reader, until)?;
        Ok(state)
    }

    /// The newest snapshot that is not after `until`; one that is damaged is passed over.
    fn nearest(files: &dyn Files, until: u64) -> Option<Self> {
        let mut names = files.list(FOLDER).ok()?;
        names.retain(|name| version_of(name).is_some_and(|version| version <= until));
        names.iter().rev().find_map(|name| {
            let bytes = files.read(&format!("{FOLDER}/{name}"), 0, usize::MAX).ok()?;
            let (checksum, content) = bytes.split_first_chunk::<4>()?;
            if crc32c::crc32c(content).to_le_bytes() != *checksum {
                return None;
            }
            serde_json::from_slice(content).ok()
        })
    }

    /// Saves a snapshot; the two newest are kept.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn save(&self, files: &dyn Files) -> Result<(), JournalError> {
        let io = |error| JournalError::io("written", FOLDER, error);
        files.make_folder(FOLDER).map_err(io)?;
        // Plain data; writing it to memory cannot fail.
        let content = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = crc32c::crc32c(&content).to_le_bytes().to_vec();
        bytes.extend(content);
        replace(files, FOLDER, &format!("{PREFIX}{:020}.snap", self.version), &bytes).map_err(io)?;
        let mut names = files.list(FOLDER).map_err(io)?;
        names.retain(|name| version_of(name).is_some());
        for name in names.iter().rev().skip(2) {
            files.remove(&format!("{FOLDER}/{name}")).map_err(io)?;
        }
        Ok(())
    }
}

fn version_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.strip_suffix(".snap")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::log::{Log, LogConfig, Session};
    use super::*;
    use crate::domain::{Evaluation, RuleSet, Source, Timestamp};
    use crate::records::files::simulated::SimulatedDisk;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn from_nothing_from_a_snapshot_and_kept_up_live_are_the_same(
            numbers in prop::collection::vec(-20i64..20, 1..150),
            each in 1usize..20,
            snapshot in 0usize..150,
            question in 0u64..600,
        ) {
            let disk = SimulatedDisk::new(1);
            let rules = Arc::new(RuleSet::classic());
            let mut log = Log::open(Arc::new(disk.clone()), "journal", LogConfig { segment_bytes: 800 }).unwrap();
            let id = "s".to_owned();
            log.begin_session(Session { id, seed: 1, began: Timestamp::EPOCH, rules: Arc::clone(&rules) });
            let mut live = CurrentResults::default();
            for (sequence, number) in (0u64..).zip(&numbers) {
                let duration = std::time::Duration::from_nanos(sequence);
                let evaluation = Evaluation {
                    source: if sequence % 3 == 0 { Source::Cache } else { Source::Strategy },
                    ..Evaluation::computed(sequence, *number, &rules, duration)
                };
                log.evaluation(Timestamp::from_nanos(sequence), &evaluation).unwrap();
                if (sequence as usize).is_multiple_of(each) {
                    log.commit().unwrap();
                    let reader = Reader::open(Arc::new(disk.clone()), "journal").unwrap();
                    live.bring_to(&reader, log.acknowledged()).unwrap();
                    if sequence as usize >= snapshot {
                        live.save(&disk).unwrap();
                    }
                }
            }
            log.commit().unwrap();
            let reader = Reader::open(Arc::new(disk.clone()), "journal").unwrap();
            live.bring_to(&reader, log.acknowledged()).unwrap();
            let mut fresh = CurrentResults::default();
            fresh.bring_to(&reader, log.acknowledged()).unwrap();
            prop_assert_eq!(&fresh, &live);
            prop_assert_eq!(&CurrentResults::as_of(&disk, &reader, log.acknowledged()).unwrap(), &fresh);
            let until = question.min(log.acknowledged());
            let mut then = CurrentResults::default();
            then.bring_to(&reader, until).unwrap();
            prop_assert_eq!(CurrentResults::as_of(&disk, &reader, until).unwrap(), then);
        }
    }

    #[test]
    fn a_damaged_snapshot_is_passed_over() {
        let disk = SimulatedDisk::new(1);
        let mut state = CurrentResults { version: 5, ..CurrentResults::default() };
        state.save(&disk).unwrap();
        state.version = 9;
        state.save(&disk).unwrap();
        disk.flip(&format!("{FOLDER}/{PREFIX}{:020}.snap", 9), 8).unwrap();
        assert_eq!(CurrentResults::nearest(&disk, 100).unwrap().version, 5);
        assert!(CurrentResults::nearest(&disk, 4).is_none());
    }
}
