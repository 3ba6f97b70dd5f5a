//! How an answer is found: one port, several strategies behind it (the anti-corruption layer).
//!
//! The port's answer carries the matched rules, so that custom rules, flags and confidences survive the way through.
//! A strategy does not wait: one whose answer takes time says which checks it wants made, and the engine's driver makes
//! them, as many side by side as there are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::rules::divides;
use crate::domain::{ErrorCode, Rule, RuleMask, RuleSet};

/// The strategies by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyKind {
    /// Rule by rule, in order.
    #[default]
    Standard,
    /// A list of links, each testing its rule and passing the number on.
    ChainOfResponsibility,
    /// One task a rule, gathered; matches are put in order afterwards.
    ParallelAsync,
}

impl StrategyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Standard, Self::ChainOfResponsibility, Self::ParallelAsync];

    /// As it is written in files and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::ChainOfResponsibility => "chain_of_responsibility",
            Self::ParallelAsync => "parallel_async",
        }
    }
}

impl std::str::FromStr for StrategyKind {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownStrategy(text.to_owned()))
    }
}

/// The text names no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no strategy `{0}`; there are {names}", names = StrategyKind::ALL.map(StrategyKind::name).join(", "))]
pub struct UnknownStrategy(pub String);

impl UnknownStrategy {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::Configuration
    }
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Answer {
    /// The rules that matched.
    pub matched: RuleMask,
    /// The lowest confidence over the rules, 0 to 1, for strategies that have one.
    pub confidence: Option<f32>,
}

/// How the answer is to be had.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plan {
    /// Here it is.
    Answered(Answer),
    /// By checking each of these rules on its own, side by side.
    Concurrent(RuleMask),
}

/// The port that the engine asks.
pub trait Strategy: Send {
    /// Its name.
    fn kind(&self) -> StrategyKind;

    /// How the answer for `number` under the rules that are `on` is to be had.
    fn plan(&mut self, number: i64, on: RuleMask) -> Plan;
}

/// The strategy of this kind over these rules.
pub fn strategy(kind: StrategyKind, rules: &Arc<RuleSet>) -> Box<dyn Strategy> {
    match kind {
        StrategyKind::Standard => Box::new(Standard { rules: Arc::clone(rules) }),
        StrategyKind::ChainOfResponsibility => Box::new(ChainOfResponsibility::new(rules)),
        StrategyKind::ParallelAsync => Box::new(ParallelAsync),
    }
}

struct Standard {
    rules: Arc<RuleSet>,
}

impl Strategy for Standard {
    fn kind(&self) -> StrategyKind {
        StrategyKind::Standard
    }

    fn plan(&mut self, number: i64, on: RuleMask) -> Plan {
        Plan::Answered(Answer { matched: self.rules.matches(number, on), confidence: None })
    }
}

/// One link: its own rule, and the rest of the chain.
struct Link {
    rule: Rule,
    index: usize,
    next: Option<Box<Link>>,
}

impl Link {
    fn handle(&self, number: i64, on: RuleMask, matched: RuleMask) -> RuleMask {
        let matched = if on.contains(self.index) && divides(self.rule.divisor, number) {
            matched.with(self.index)
        } else {
            matched
        };
        self.next.as_ref().map_or(matched, |next| next.handle(number, on, matched))
    }
}

struct ChainOfResponsibility {
    first: Option<Box<Link>>,
}

impl ChainOfResponsibility {
    fn new(rules: &RuleSet) -> Self {
        let first = rules
            .rules()
            .iter()
            .enumerate()
            .rev()
            .fold(None, |next, (index, rule)| Some(Box::new(Link { rule: rule.clone(), index, next })));
        Self { first }
    }
}

impl Strategy for ChainOfResponsibility {
    fn kind(&self) -> StrategyKind {
        StrategyKind::ChainOfResponsibility
    }

    fn plan(&mut self, number: i64, on: RuleMask) -> Plan {
        let matched = self.first.as_ref().map_or(RuleMask::NONE, |link| link.handle(number, on, RuleMask::NONE));
        Plan::Answered(Answer { matched, confidence: None })
    }
}

struct ParallelAsync;

impl Strategy for ParallelAsync {
    fn kind(&self) -> StrategyKind {
        StrategyKind::ParallelAsync
    }

    fn plan(&mut self, _number: i64, on: RuleMask) -> Plan {
        if on.is_empty() { Plan::Answered(Answer::default()) } else { Plan::Concurrent(on) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Makes the checks of a concurrent plan here and now, last rule first: the order must not matter.
    fn answer(kind: StrategyKind, rules: &Arc<RuleSet>, number: i64, on: RuleMask) -> RuleMask {
        match strategy(kind, rules).plan(number, on) {
            Plan::Answered(answer) => answer.matched,
            Plan::Concurrent(checks) => {
                let mut indices: Vec<_> = checks.indices().collect();
                indices.reverse();
                indices.into_iter().fold(RuleMask::NONE, |matched, index| {
                    if divides(rules.rules()[index].divisor, number) { matched.with(index) } else { matched }
                })
            }
        }
    }

    proptest! {
        #[test]
        fn all_strategies_agree(
            number in any::<i64>(),
            divisors in prop::collection::vec(prop_oneof![1i64..20, -5i64..-1], 1..8),
            on in any::<u64>(),
        ) {
            let rules: Vec<_> =
                divisors.iter().enumerate().map(|(at, d)| Rule::new(&format!("r{at}"), *d, "x", 0)).collect();
            let rules = Arc::new(RuleSet::new(rules).unwrap());
            let on = RuleMask(on & rules.all().0);
            for kind in StrategyKind::ALL {
                prop_assert_eq!(answer(kind, &rules, number, on), rules.matches(number, on));
            }
        }
    }

    #[test]
    fn names_read_back_and_unknown_ones_list_the_rest() {
        for kind in StrategyKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("quantum".parse::<StrategyKind>().unwrap_err().to_string().contains("parallel_async"));
    }
}
