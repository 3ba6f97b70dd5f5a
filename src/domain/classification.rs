//! What kind of answer a number got, by the rules that matched (never by the text that was shown).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rules::{RuleMask, RuleSet};

/// The four classes that the counts are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Classification {
    /// "Fizz" among the matches, "Buzz" not.
    Fizz,
    /// "Buzz" among the matches, "Fizz" not.
    Buzz,
    /// Both among the matches.
    FizzBuzz,
    /// Neither.
    Plain,
}

/// Which bits of a mask mean Fizz and Buzz in one rule set; made once, asked for every evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Classifier {
    fizz: u64,
    buzz: u64,
}

impl Classifier {
    /// For the rules of `set`.
    pub fn new(set: &RuleSet) -> Self {
        let bits = |label: &str| {
            set.rules()
                .iter()
                .enumerate()
                .filter(|(_, rule)| rule.label == label)
                .fold(0, |bits, (at, _)| bits | 1 << at)
        };
        Self { fizz: bits("Fizz"), buzz: bits("Buzz") }
    }

    /// The class of an answer with these matches.
    pub fn classify(self, matched: RuleMask) -> Classification {
        match (matched.0 & self.fizz != 0, matched.0 & self.buzz != 0) {
            (true, true) => Classification::FizzBuzz,
            (true, false) => Classification::Fizz,
            (false, true) => Classification::Buzz,
            (false, false) => Classification::Plain,
        }
    }
}

impl Classification {
    /// All four, in the order of the summary.
    pub const ALL: [Self; 4] = [Self::Fizz, Self::Buzz, Self::FizzBuzz, Self::Plain];

    /// `fizz`, `buzz`, `fizzbuzz` or `plain`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fizz => "fizz",
            Self::Buzz => "buzz",
            Self::FizzBuzz => "fizzbuzz",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_thirty_has_the_known_counts() {
        let set = RuleSet::classic();
        let classifier = Classifier::new(&set);
        let mut counts = [0; 4];
        for number in 1..=30 {
            counts[classifier.classify(set.matches(number, set.all())) as usize] += 1;
        }
        assert_eq!(counts, [8, 4, 2, 16]);
    }
}
