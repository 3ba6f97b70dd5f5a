//! Named dependencies: which of them answers for a number, so that each can have a breaker and faults of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::classification::Classifier;
use crate::domain::{RuleSet, Selection};

/// An entry of the section `dependencies`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DependencyConfig {
    /// Its name.
    pub name: String,
    /// The numbers that it answers for; the first entry that picks a number has it.
    #[serde(default)]
    pub numbers: Selection,
}

/// What is wrong with the section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    /// More than there can be.
    #[error("dependencies has {0} entries; there can be {MOST}")]
    TooMany(usize),
    /// No name, or one that others have.
    #[error("dependencies: the name `{0}` is empty or used twice")]
    Name(String),
    /// It can pick no number.
    #[error("dependencies: {name}: numbers.{key}: {rule}")]
    Numbers {
        /// Whose.
        name: String,
        /// Which condition.
        key: &'static str,
        /// What would be right.
        rule: String,
    },
}

/// As many as there can be.
const MOST: usize = 32;

/// The dependencies of a session.
#[derive(Debug)]
pub struct Dependencies {
    entries: Vec<DependencyConfig>,
    rules: Arc<RuleSet>,
    classifier: Classifier,
}

impl Dependencies {
    /// As configured.
    ///
    /// # Errors
    /// [`DependencyError`] for the first entry that is wrong.
    pub fn new(entries: &[DependencyConfig], rules: &Arc<RuleSet>) -> Result<Self, DependencyError> {
        if entries.len() > MOST {
            return Err(DependencyError::TooMany(entries.len()));
        }
        for (at, entry) in entries.iter().enumerate() {
            if entry.name.is_empty() || entries.iter().take(at).any(|other| other.name == entry.name) {
                return Err(DependencyError::Name(entry.name.clone()));
            }
            let wrong = |(key, rule)| DependencyError::Numbers { name: entry.name.clone(), key, rule };
            entry.numbers.check().map_err(wrong)?;
        }
        Ok(Self { entries: entries.to_vec(), rules: Arc::clone(rules), classifier: Classifier::new(rules) })
    }

    /// Their names, in order of their numbers, from 1.
    pub fn names(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.name.clone()).collect()
    }

    /// The number of the one that answers for `number`; 0 when there is none.
    pub fn of(&self, number: i64) -> u8 {
        if self.entries.is_empty() {
            return 0;
        }
        let class = self.classifier.classify(self.rules.matches(number, self.rules.all()));
        let at = self.entries.iter().position(|entry| entry.numbers.picks(number, class));
        // At most MOST, so it fits.
        at.map_or(0, |at| at as u8 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Classification;

    fn entry(name: &str, classes: &[Classification]) -> DependencyConfig {
        let numbers = Selection { classes: classes.to_vec(), ..Selection::default() };
        DependencyConfig { name: name.into(), numbers }
    }

    #[test]
    fn the_first_entry_that_picks_a_number_has_it() {
        let rules = Arc::new(RuleSet::classic());
        let entries = [
            entry("payments", &[Classification::Buzz]),
            entry("orders", &[Classification::Buzz, Classification::Fizz]),
        ];
        let dependencies = Dependencies::new(&entries, &rules).unwrap();
        assert_eq!((1..=6).map(|number| dependencies.of(number)).collect::<Vec<_>>(), [0, 0, 2, 0, 1, 2]);
        assert_eq!(Dependencies::new(&[], &rules).unwrap().of(5), 0);
        let twice = [entry("a", &[]), entry("a", &[])];
        assert_eq!(Dependencies::new(&twice, &rules).unwrap_err(), DependencyError::Name("a".into()));
    }
}
