//! flagd's operator `fractional`: spreads keys over weighted variants by hash, always the same way. Three generations of
//! it are in use, and they bucket the same key differently.

use std::fmt;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::operator::EvalContext;
use datalogic_rs::{ArenaExt, CustomOperator, DataValue};
use serde::{Deserialize, Serialize};

use super::cbor;
use super::murmur::Murmur;

/// A generation of `fractional`. All hash with MurmurHash3 x86 32-bit, seed 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// The key's text; the signed hash's distance from 0 as a percentage, a float.
    V1,
    /// The key's text; the unsigned hash scaled to the sum of weights, an integer.
    V2,
    /// Canonical CBOR of the key, which may be of any type; buckets as in v2.
    #[default]
    V3,
}

impl Generation {
    /// All, oldest first.
    pub const ALL: [Self; 3] = [Self::V1, Self::V2, Self::V3];

    /// As it is written: `v1`, `v2`, `v3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Generation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|generation| generation.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("`{text}` is no generation of fractional; there are v1, v2 and v3"))
    }
}

/// Weights sum to at most this (flagd's limit).
pub const WEIGHT_LIMIT: u64 = i32::MAX as u64;

/// Where a hash fell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Of the key.
    pub hash: u32,
    /// The sum of weights.
    pub total: u64,
    /// In v1 0 to 100; from v2 on a whole number below `total`.
    pub bucket: f64,
    /// The place of the variant among the weights. `None` in v1 for the two greatest hashes, which lie beyond its 100 percent.
    pub at: Option<usize>,
}

/// Where `hash` falls among `weights`. `None` when all of them are 0, or their sum is above [`WEIGHT_LIMIT`].
pub fn draw(generation: Generation, hash: u32, weights: impl Iterator<Item = u64> + Clone) -> Option<Draw> {
    let total = weights.clone().try_fold(0u64, u64::checked_add).filter(|total| (1..=WEIGHT_LIMIT).contains(total))?;
    if generation == Generation::V1 {
        let bucket = f64::from(hash.cast_signed()).abs() / f64::from(i32::MAX) * 100.0;
        let mut end = 0.0;
        let at = weights.into_iter().position(|weight| {
            end += 100.0 * weight as f64 / total as f64;
            bucket < end
        });
        return Some(Draw { hash, total, bucket, at });
    }
    let bucket = (u64::from(hash) * total) >> 32;
    let mut end = 0;
    let at = weights.into_iter().position(|weight| {
        end += weight;
        bucket < end
    });
    Some(Draw { hash, total, bucket: bucket as f64, at })
}

/// The operator in one generation.
#[derive(Debug)]
pub(super) struct Fractional(pub(super) Generation);

impl CustomOperator for Fractional {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        context: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> datalogic_rs::Result<&'a DataValue<'a>> {
        Ok(self.drawn(args, context.root_input()).and_then(|(_, variant)| variant).unwrap_or_else(|| arena.null()))
    }
}

impl Fractional {
    /// Where the key fell and what is in that bucket; `None` when there is no key to hash or the buckets are malformed.
    pub(super) fn drawn<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        root: &DataValue<'a>,
    ) -> Option<(Draw, Option<&'a DataValue<'a>>)> {
        let (first, rest) = args.split_first()?;
        let mut murmur = Murmur::default();
        let buckets = match (self.0, first) {
            (Generation::V3, DataValue::Null) => return None,
            (Generation::V3, DataValue::Array(_)) => {
                let (flag, key) = implied(root)?;
                if key.is_empty() {
                    return None;
                }
                cbor::pair(flag, key, &mut murmur);
                args
            }
            (Generation::V3, key) => {
                cbor::encode(key, &mut murmur)?;
                rest
            }
            (_, DataValue::String(key)) => {
                murmur.put(key.as_bytes());
                rest
            }
            (_, other) => {
                let (flag, key) = implied(root)?;
                murmur.put(flag.as_bytes());
                murmur.put(key.as_bytes());
                if other.is_null() { rest } else { args }
            }
        };
        // Every bucket is looked at before one is chosen: a malformed one spoils them all, wherever the key falls.
        if !buckets.iter().all(|bucket| weighted(bucket).is_some()) {
            return None;
        }
        let weights = buckets.iter().filter_map(|bucket| weighted(bucket));
        let draw = draw(self.0, murmur.finish(), weights.clone().map(|(_, weight)| weight))?;
        Some((draw, draw.at.and_then(|at| weights.clone().nth(at)).map(|(variant, _)| variant)))
    }
}

/// The flag's key and the targeting key of the context.
fn implied<'a>(root: &DataValue<'a>) -> Option<(&'a str, &'a str)> {
    let flag = root.get("$flagd").and_then(|own| own.get("flagKey")).and_then(DataValue::as_str).unwrap_or("");
    Some((flag, root.get("targetingKey").and_then(DataValue::as_str)?))
}

/// A bucket is an array of a variant and a weight. A missing weight is 1, a negative one counts as 0.
fn weighted<'a>(bucket: &'a DataValue<'a>) -> Option<(&'a DataValue<'a>, u64)> {
    let (variant, rest) = bucket.as_array()?.split_first()?;
    if matches!(variant, DataValue::Array(_) | DataValue::Object(_)) {
        return None;
    }
    let weight = match rest.first() {
        None | Some(DataValue::Null) => 1,
        Some(weight) => whole(weight)?,
    };
    (weight <= WEIGHT_LIMIT).then_some((variant, weight))
}

fn whole(weight: &DataValue<'_>) -> Option<u64> {
    match (weight.as_i64(), weight.as_f64()) {
        (Some(weight), _) => Some(u64::try_from(weight).unwrap_or(0)),
        (None, Some(weight)) if weight.fract() == 0.0 => Some(weight.max(0.0) as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(generation: Generation, hash: u32, weights: impl Iterator<Item = u64> + Clone) -> Option<usize> {
        draw(generation, hash, weights)?.at
    }

    fn shares(weights: &[u64]) -> Vec<u64> {
        let total: u64 = weights.iter().sum();
        let first_hash = |bucket: u64| (bucket << 32).div_ceil(total);
        let ends = weights.iter().scan(0, |end, weight| {
            *end += weight;
            Some(*end)
        });
        ends.zip(weights).map(|(end, weight)| first_hash(end) - first_hash(end - weight)).collect()
    }

    proptest! {
        #[test]
        fn every_hash_falls_to_one_place_and_shares_are_as_the_weights_say(
            weights in prop::collection::vec(0u64..1_000_000, 1..12),
            hashes in prop::collection::vec(any::<u32>(), 64),
        ) {
            prop_assume!(weights.iter().sum::<u64>() > 0);
            let total: u64 = weights.iter().sum();
            let shares = shares(&weights);
            prop_assert_eq!(shares.iter().sum::<u64>(), 1 << 32, "the whole range is given out");
            for (share, weight) in shares.iter().zip(&weights) {
                let exact = *weight as f64 / total as f64 * 2f64.powi(32);
                prop_assert!((*share as f64 - exact).abs() < 1.0);
            }
            let (mut end, mut ends) = (0, Vec::new());
            for share in &shares {
                end += share;
                ends.push(end);
            }
            for hash in hashes {
                let slow = ends.iter().position(|end| u64::from(hash) < *end);
                prop_assert_eq!(place(Generation::V2, hash, weights.iter().copied()), slow);
                prop_assert_eq!(place(Generation::V3, hash, weights.iter().copied()), slow);
            }
        }

        #[test]
        fn the_first_generation_never_gives_to_a_weight_of_zero(
            weights in prop::collection::vec(0u64..1000, 1..12),
            hash in any::<u32>(),
        ) {
            if let Some(at) = place(Generation::V1, hash, weights.iter().copied()) {
                prop_assert!(weights[at] > 0);
            }
        }
    }

    #[test]
    fn impossible_weights_have_no_place() {
        for generation in [Generation::V1, Generation::V2, Generation::V3] {
            assert_eq!(place(generation, 7, [0, 0].into_iter()), None);
            assert_eq!(place(generation, 7, [WEIGHT_LIMIT, 1].into_iter()), None);
            assert_eq!(place(generation, 7, [u64::MAX, 1].into_iter()), None);
            assert_eq!(place(generation, 7, [0, WEIGHT_LIMIT].into_iter()), Some(1));
        }
    }

    #[test]
    fn the_first_generation_has_no_place_for_its_greatest_hashes() {
        assert_eq!(place(Generation::V1, 0x8000_0000, [50, 50].into_iter()), None);
        assert_eq!(place(Generation::V1, 0x7FFF_FFFF, [50, 50].into_iter()), None);
        assert_eq!(place(Generation::V1, 0x7FFF_FFFE, [50, 50].into_iter()), Some(1));
    }
}
