//! Which keys get another variant when definitions change: from one generation of `fractional` to another, or from one
//! file to another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::Timestamp;

use super::definitions::Definitions;
use super::resolve::Resolution;

/// Keys that go from one variant to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The variant's name; `-` where there is none.
    pub from: String,
    /// The variant's name; `-` where there is none.
    pub to: String,
    /// How many keys.
    pub keys: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

/// What became of one flag's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebucketed {
    /// The flag.
    pub flag: String,
    /// How many keys were asked for.
    pub keys: u64,
    /// How many get another variant.
    pub moved: u64,
    /// Between which variants, those that move most first.
    pub moves: Vec<Move>,
    /// How many keys each variant has before.
    pub before: BTreeMap<String, u64>,
    /// How many keys each variant has after.
    pub after: BTreeMap<String, u64>,
}

/// Evaluates `flag` before and after for each of `keys`, put into `context` at the path `by` (`targetingKey`,
/// `user.name`), and keeps `examples` keys of each move.
///
/// ```
/// use fizzops::domain::Timestamp;
/// use fizzops::mechanisms::flags::flagd::{Definitions, Generation, rebucket};
///
/// let text = r#"{"flags": {"beta": {
///     "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
///     "targeting": {"fractional": [["on", 25], ["off", 75]]}
/// }}}"#;
/// let v2 = Definitions::parse(text, "flags.json", Generation::V2).unwrap();
/// let v3 = v2.with_generation(Generation::V3).unwrap();
/// let keys = (1..=1_000).map(|key| key.to_string());
/// let told = rebucket((&v2, &v3), "beta", keys, "targetingKey", &Default::default(), Timestamp::EPOCH, 3);
/// assert_eq!(told.keys, 1_000);
/// assert_eq!(told.moved, told.moves.iter().map(|one| one.keys).sum::<u64>());
/// // Nothing was to change, and yet 2 x 25 % x 75 % of the keys do.
/// assert!((325..425).contains(&told.moved), "{told:?}");
/// ```
pub fn rebucket(
    (before, after): (&Definitions, &Definitions),
    flag: &str,
    keys: impl IntoIterator<Item = String>,
    by: &str,
    context: &Map<String, Value>,
    now: Timestamp,
    examples: usize,
) -> Rebucketed {
    let mut told = Rebucketed {
        flag: flag.to_owned(),
        keys: 0,
        moved: 0,
        moves: Vec::new(),
        before: BTreeMap::new(),
        after: BTreeMap::new(),
    };
    let mut moves: BTreeMap<(String, String), (u64, Vec<String>)> = BTreeMap::new();
    let mut context = context.clone();
    let name = |resolution: Resolution| resolution.variant.unwrap_or_else(|| "-".into());
    for key in keys {
        put(&mut context, by, Value::String(key.clone()));
        let from = name(before.resolve(flag, &context, now));
        let to = name(after.resolve(flag, &context, now));
        told.keys += 1;
        *told.before.entry(from.clone()).or_default() += 1;
        *told.after.entry(to.clone()).or_default() += 1;
        if from != to {
            told.moved += 1;
            let (count, kept) = moves.entry((from, to)).or_default();
            *count += 1;
            if kept.len() < examples {
                kept.push(key);
            }
        }
    }
    told.moves = moves.into_iter().map(|((from, to), (keys, examples))| Move { from, to, keys, examples }).collect();
    told.moves.sort_by_key(|one| std::cmp::Reverse(one.keys));
    told
}

/// Puts `value` at a path of keys with dots between; what is in its way is replaced.
fn put(context: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            context.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = context.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
