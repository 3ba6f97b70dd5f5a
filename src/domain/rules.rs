//! Rules, and sets of them: which labels a number earns.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One rule: a number divisible by `divisor` earns `label`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique in its set, e.g. `FizzRule`.
    pub name: String,
    /// Not zero; its sign does not matter.
    pub divisor: i64,
    /// The text that a match contributes to the output.
    pub label: String,
    /// Lower comes earlier in the output.
    #[serde(default)]
    pub priority: i32,
}

impl Rule {
    /// A rule of the given parts.
    pub fn new(name: &str, divisor: i64, label: &str, priority: i32) -> Self {
        Self { name: name.into(), divisor, label: label.into(), priority }
    }
}

/// A set of rules of one [`RuleSet`], a bit each, bit 0 being the rule that comes first in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleMask(pub u64);

impl RuleMask {
    /// No rule.
    pub const NONE: Self = Self(0);

    /// No rule is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the rule at `index` is in it.
    pub const fn contains(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }

    /// With the rule at `index` too.
    #[must_use]
    pub const fn with(self, index: usize) -> Self {
        Self(self.0 | 1 << index)
    }

    /// Without the rule at `index`.
    #[must_use]
    pub const fn without(self, index: usize) -> Self {
        Self(self.0 & !(1 << index))
    }

    /// How many rules are in it.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The indices of its rules, in output order.
    pub fn indices(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let index = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                index
            })
        })
    }
}

/// Why a list of rules is not a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is none.
    #[error("a rule set needs at least one rule")]
    Empty,
    /// More than [`RuleSet::LIMIT`].
    #[error("{0} rules are more than the {limit} that a set can hold", limit = RuleSet::LIMIT)]
    TooMany(usize),
    /// Division by zero.
    #[error("rule `{0}` has divisor 0; every divisor must be another number")]
    ZeroDivisor(String),
    /// An output would be empty.
    #[error("rule `{0}` has an empty label")]
    EmptyLabel(String),
    /// Two of a name.
    #[error("two rules are named `{0}`")]
    DuplicateName(String),
}

/// Rules in output order: by priority, then as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// Labels joined for every mask of the first few rules, so that an output is a look-up.
    joined: Vec<Arc<str>>,
}

impl RuleSet {
    /// As many rules as a [`RuleMask`] has bits.
    pub const LIMIT: usize = 64;
    /// Sets up to this size have all their outputs joined beforehand (at most 64 texts).
    const JOINED: usize = 6;

    /// A set of `rules`.
    ///
    /// # Errors
    /// [`RuleError`] when the list is empty or too long, or a rule cannot work.
    pub fn new(mut rules: Vec<Rule>) -> Result<Self, RuleError> {
        if rules.is_empty() {
            return Err(RuleError::Empty);
        }
        if rules.len() > Self::LIMIT {
            return Err(RuleError::TooMany(rules.len()));
        }
        rules.sort_by_key(|rule| rule.priority);
        for (index, rule) in rules.iter().enumerate() {
            if rule.divisor == 0 {
                return Err(RuleError::ZeroDivisor(rule.name.clone()));
            }
            if rule.label.is_empty() {
                return Err(RuleError::EmptyLabel(rule.name.clone()));
            }
            if rules.iter().skip(index + 1).any(|other| other.name == rule.name) {
                return Err(RuleError::DuplicateName(rule.name.clone()));
            }
        }
        let mut set = Self { rules, joined: Vec::new() };
        if set.rules.len() <= Self::JOINED {
            set.joined = (0..1u64 << set.rules.len()).map(|mask| set.join(RuleMask(mask))).collect();
        }
        Ok(set)
    }

    /// The two rules of the classic game: 3 is Fizz, 5 is Buzz.
    pub fn classic() -> Self {
        let rules = vec![Rule::new("FizzRule", 3, "Fizz", 1), Rule::new("BuzzRule", 5, "Buzz", 2)];
        let mut set = Self { rules, joined: Vec::new() };
        set.joined = (0..4).map(|mask| set.join(RuleMask(mask))).collect();
        set
    }

    /// The rules, in output order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// All of them.
    pub fn all(&self) -> RuleMask {
        RuleMask(u64::MAX >> (Self::LIMIT - self.rules.len()))
    }

    /// Those of `on` that `number` matches. This is the right answer, by definition.
    pub fn matches(&self, number: i64, on: RuleMask) -> RuleMask {
        let mut matched = RuleMask::NONE;
        for (index, rule) in self.rules.iter().enumerate() {
            if on.contains(index) && divides(rule.divisor, number) {
                matched = matched.with(index);
            }
        }
        matched
    }

    /// Where the rule with this label stands.
    pub fn by_label(&self, label: &str) -> Option<usize> {
        self.rules.iter().position(|rule| rule.label == label)
    }

    /// The labels of `mask` joined in output order; empty for no rule.
    pub fn label(&self, mask: RuleMask) -> Arc<str> {
        usize::try_from(mask.0).ok().and_then(|at| self.joined.get(at)).map_or_else(|| self.join(mask), Arc::clone)
    }

    fn join(&self, mask: RuleMask) -> Arc<str> {
        self.named(mask).map(|rule| rule.label.as_str()).collect::<String>().into()
    }

    /// The rules of `mask`, in output order.
    pub fn named(&self, mask: RuleMask) -> impl Iterator<Item = &Rule> {
        mask.indices().filter_map(|index| self.rules.get(index))
    }
}

/// Whether `divisor` divides `number`; total over all of i64, 0 divides nothing.
pub fn divides(divisor: i64, number: i64) -> bool {
    number.checked_rem(divisor).map_or(divisor == -1, |rest| rest == 0)
}

impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", rule.divisor, rule.label)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(set: &RuleSet, number: i64) -> String {
        let mask = set.matches(number, set.all());
        if mask.is_empty() { number.to_string() } else { set.label(mask).to_string() }
    }

    #[test]
    fn classic_answers_hold_for_zero_negatives_and_the_ends_of_the_range() {
        let set = RuleSet::classic();
        for (number, expected) in [(1, "1"), (3, "Fizz"), (5, "Buzz"), (15, "FizzBuzz"), (0, "FizzBuzz"), (-3, "Fizz")]
        {
            assert_eq!(text(&set, number), expected);
        }
        assert_eq!(text(&set, i64::MIN), i64::MIN.to_string());
        assert!(divides(-1, i64::MIN), "the one remainder that overflows in two's complement");
        assert!(!divides(0, 5));
    }

    #[test]
    fn labels_are_joined_by_priority_not_by_place() {
        let set = RuleSet::new(vec![
            Rule::new("W", 7, "Wuzz", 3),
            Rule::new("B", 5, "Buzz", 2),
            Rule::new("F", 3, "Fizz", 1),
        ])
        .unwrap();
        assert_eq!(text(&set, 105), "FizzBuzzWuzz");
        assert_eq!(&*set.label(set.all().without(1)), "FizzWuzz");
    }

    #[test]
    fn impossible_sets_are_refused() {
        assert_eq!(RuleSet::new(vec![]), Err(RuleError::Empty));
        assert_eq!(RuleSet::new(vec![Rule::new("Z", 0, "Z", 1)]), Err(RuleError::ZeroDivisor("Z".into())));
        assert_eq!(RuleSet::new(vec![Rule::new("E", 1, "", 1)]), Err(RuleError::EmptyLabel("E".into())));
        let twice = vec![Rule::new("A", 1, "a", 1), Rule::new("A", 2, "b", 1)];
        assert_eq!(RuleSet::new(twice), Err(RuleError::DuplicateName("A".into())));
        let many: Vec<_> = (1..=65).map(|n| Rule::new(&n.to_string(), n, "x", 1)).collect();
        assert_eq!(RuleSet::new(many), Err(RuleError::TooMany(65)));
    }

    #[test]
    fn a_full_set_uses_every_bit() {
        let set = RuleSet::new((1..=64).map(|n| Rule::new(&n.to_string(), n, "x", 1)).collect()).unwrap();
        assert_eq!(set.all().count(), 64);
        assert_eq!(set.label(set.all()).len(), 64);
    }
}
