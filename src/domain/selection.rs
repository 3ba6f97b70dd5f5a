//! A selection of numbers: which evaluations a blast radius covers, or which dependency answers for them.

use serde::{Deserialize, Serialize};

use super::classification::Classification;

/// Which numbers. All conditions that are given must hold; with none given every number is picked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Numbers of these classes, by the right answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Classification>,
    /// Numbers from this one on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Numbers up to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Numbers that leave this remainder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulo: Option<Modulo>,
    /// This share of the numbers, above 0 and at most 1. It is always the same numbers, whoever asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// Numbers that leave `remainder` when divided by `divisor` (Euclidean, so never negative).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modulo {
    /// From 1.
    pub divisor: i64,
    /// From 0, below the divisor.
    #[serde(default)]
    pub remainder: i64,
}

impl Selection {
    /// Whether it picks `number`, whose right answer is of `class`.
    pub fn picks(&self, number: i64, class: Classification) -> bool {
        (self.classes.is_empty() || self.classes.contains(&class))
            && self.from.is_none_or(|from| number >= from)
            && self.to.is_none_or(|to| number <= to)
            && self.modulo.is_none_or(|Modulo { divisor, remainder }| {
                number.checked_rem_euclid(divisor).unwrap_or(0) == remainder
            })
            && self.share.is_none_or(|share| unit(number) < share)
    }

    /// Every number is picked.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with it: the key, and the rule.
    ///
    /// # Errors
    /// The key of the first condition that can pick no number, with what would be right.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            return Err(("from", format!("{from} to {to} matches no number; give the smaller one first")));
        }
        if let Some(Modulo { divisor, remainder }) = self.modulo {
            if divisor < 1 {
                return Err(("modulo", format!("the divisor is {divisor}; it must be at least 1")));
            }
            if !(0..divisor).contains(&remainder) {
                let rule = format!("remainder {remainder} matches no number; it must be from 0 to {}", divisor - 1);
                return Err(("modulo", rule));
            }
        }
        if let Some(share) = self.share
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(("share", format!("{share} matches no number; it must be above 0 and at most 1")));
        }
        Ok(())
    }

    /// In words.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(share) = self.share {
            parts.push(format!("{} % of numbers", share * 100.0));
        }
        if !self.classes.is_empty() {
            parts.push(self.classes.iter().map(|class| class.name()).collect::<Vec<_>>().join(", "));
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) => parts.push(format!("{from} to {to}")),
            (Some(from), None) => parts.push(format!("from {from}")),
            (None, Some(to)) => parts.push(format!("up to {to}")),
            (None, None) => {}
        }
        if let Some(Modulo { divisor, remainder }) = self.modulo {
            parts.push(format!("n mod {divisor} = {remainder}"));
        }
        if parts.is_empty() { "every number".into() } else { parts.join(", ") }
    }
}

/// A number's fixed place between 0 and 1: the finaliser of `SplitMix64` (Steele, Lea, Flood 2014) over it.
fn unit(number: i64) -> f64 {
    let mut bits = number.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ bits >> 31) as f64 / 2_f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(selection: &Selection) -> Vec<i64> {
        let class = |number: i64| match (number % 3, number % 5) {
            (0, 0) => Classification::FizzBuzz,
            (0, _) => Classification::Fizz,
            (_, 0) => Classification::Buzz,
            _ => Classification::Plain,
        };
        (1..=30).filter(|number| selection.picks(*number, class(*number))).collect()
    }

    #[test]
    fn all_conditions_must_hold() {
        assert_eq!(picked(&Selection::default()).len(), 30);
        let selection = Selection {
            classes: vec![Classification::Fizz],
            from: Some(6),
            to: Some(24),
            modulo: Some(Modulo { divisor: 2, remainder: 0 }),
            share: None,
        };
        assert_eq!(picked(&selection), [6, 12, 18, 24]);
    }

    #[test]
    fn a_share_is_always_the_same_numbers_and_about_as_many() {
        let selection = |share| Selection { share: Some(share), ..Selection::default() };
        let many = |share| (0..20_000).filter(|n| selection(share).picks(*n, Classification::Plain)).count();
        assert!((4_700..5_300).contains(&many(0.25)), "{}", many(0.25));
        let (quarter, half) = (selection(0.25), selection(0.5));
        assert!((0..1_000).all(|n| !quarter.picks(n, Classification::Plain) || half.picks(n, Classification::Plain)));
    }

    #[test]
    fn what_matches_no_number_is_told() {
        let wrong = [
            Selection { from: Some(5), to: Some(4), ..Selection::default() },
            Selection { modulo: Some(Modulo { divisor: 0, remainder: 0 }), ..Selection::default() },
            Selection { modulo: Some(Modulo { divisor: 3, remainder: 3 }), ..Selection::default() },
            Selection { share: Some(0.0), ..Selection::default() },
            Selection { share: Some(f64::NAN), ..Selection::default() },
        ];
        for selection in wrong {
            assert!(selection.check().is_err(), "{selection:?}");
        }
        assert_eq!(Selection::default().check(), Ok(()));
    }
}
