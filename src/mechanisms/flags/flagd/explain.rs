//! Tells how a targeting rule came to its value: each operation in it with what it yielded. For people; never in the
//! hot path.

use datalogic_rs::DataValue;
use datalogic_rs::bumpalo::Bump;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::Timestamp;

use super::definitions::Definitions;
use super::fractional::{Fractional, Generation};
use super::resolve::{Resolution, enriched};
use super::rules::resolve;

/// One operation of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// How deep it is in the rule, from 0.
    pub depth: usize,
    /// Where it is, e.g. `targeting.if[0].==`; below a reference `$evaluators.NAME…`.
    pub path: String,
    /// As it is written, in JSON.
    pub rule: String,
    /// What it yielded; `None` when it was not reached, failed, or is evaluated for each item of a list.
    pub value: Option<Value>,
    /// Why there is no value, or what more there is to say: a bucket.
    pub note: Option<String>,
}

/// A flag's value with how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The flag.
    pub flag: String,
    /// The generation of `fractional`.
    pub generation: Generation,
    /// What it is.
    pub resolution: Resolution,
    /// The operations of its rule, each before what is in it; none without targeting.
    pub nodes: Vec<Node>,
}

impl Definitions {
    /// What the flagd flag `flag` is for `context`, and each operation of its rule with its value.
    ///
    /// ```
    /// use fizzops::domain::Timestamp;
    /// use fizzops::mechanisms::flags::flagd::{Definitions, Generation};
    ///
    /// let text = r#"{"flags": {"beta": {
    ///     "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
    ///     "targeting": {"if": [{"==": [{"var": "tier"}, "gold"]}, "on", "off"]}
    /// }}}"#;
    /// let definitions = Definitions::parse(text, "flags.json", Generation::V3).unwrap();
    /// let context = serde_json::json!({"tier": "gold"});
    /// let told = definitions.explain("beta", context.as_object().unwrap(), Timestamp::EPOCH);
    /// assert_eq!(told.resolution.variant.as_deref(), Some("on"));
    /// let values: Vec<_> = told.nodes.iter().map(|node| (node.path.as_str(), node.value.clone().unwrap())).collect();
    /// assert_eq!(values, [
    ///     ("targeting.if", "on".into()),
    ///     ("targeting.if[0].==", true.into()),
    ///     ("targeting.if[0].==[0].var", "gold".into()),
    /// ]);
    /// ```
    pub fn explain(&self, flag: &str, context: &Map<String, Value>, now: Timestamp) -> Explanation {
        let resolution = self.resolve(flag, context, now);
        let mut walk = Walk { definitions: self, context: enriched(context, flag, now), within: 0, nodes: Vec::new() };
        let definition = self.flags().get(flag);
        if let Some(rule) = definition.filter(|flag| flag.enabled).and_then(|flag| flag.rule.as_ref()) {
            walk.value(rule, "targeting", 0, None);
        }
        Explanation { flag: flag.to_owned(), generation: self.generation(), resolution, nodes: walk.nodes }
    }
}

/// Operations whose later arguments are evaluated for each item of the first, or only as far as they are needed.
const PER_ITEM: [&str; 6] = ["map", "filter", "reduce", "all", "some", "none"];

/// References deeper than this are circles.
const REFERENCES: usize = 64;

struct Walk<'d> {
    definitions: &'d Definitions,
    context: Value,
    /// How many references lead here.
    within: usize,
    nodes: Vec<Node>,
}

impl Walk<'_> {
    /// Adds the operations in `rule`. `unreached` says why it has no value.
    fn value(&mut self, rule: &Value, path: &str, depth: usize, unreached: Option<&str>) {
        match rule {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.value(item, &format!("{path}[{at}]"), depth, unreached);
                }
            }
            Value::Object(entries) => {
                if let Some((name, args)) = entries.iter().next() {
                    self.operation(rule, name, args, &format!("{path}.{name}"), depth, unreached);
                }
            }
            _ => {}
        }
    }

    fn operation(&mut self, rule: &Value, name: &str, args: &Value, path: &str, depth: usize, unreached: Option<&str>) {
        let (value, note) = match unreached {
            Some(why) => (None, Some(why.to_owned())),
            None => match self.evaluate(rule) {
                Ok(value) => (Some(value), (name == "fractional").then(|| self.draw(args))),
                Err(error) => (None, Some(error)),
            },
        };
        self.nodes.push(Node { depth, path: path.to_owned(), rule: rule.to_string(), value, note });
        let depth = depth + 1;
        if name == "$ref" {
            let shared = args.as_str().and_then(|name| self.definitions.evaluators().get_key_value(name));
            if let Some((name, shared)) = shared.filter(|_| self.within < REFERENCES) {
                self.within += 1;
                self.value(shared, &format!("$evaluators.{name}"), depth, unreached);
                self.within -= 1;
            }
            return;
        }
        let items = match args {
            Value::Array(items) => items.as_slice(),
            one => return self.value(one, path, depth, unreached),
        };
        match name {
            "if" => {
                let mut decided = unreached.is_some();
                for (at, pair) in items.chunks(2).enumerate() {
                    let at = at * 2;
                    let why = if decided { Some(unreached.unwrap_or("not reached")) } else { None };
                    let [condition, then] = pair else {
                        // The last one alone is the answer if no condition holds.
                        pair.iter().for_each(|other| self.value(other, &format!("{path}[{at}]"), depth, why));
                        break;
                    };
                    self.value(condition, &format!("{path}[{at}]"), depth, why);
                    let holds = !decided && self.holds(condition);
                    let why = if holds { None } else { Some(unreached.unwrap_or("not reached")) };
                    self.value(then, &format!("{path}[{}]", at + 1), depth, why);
                    decided |= holds;
                }
            }
            "and" | "or" => {
                let mut decided = unreached.is_some();
                for (at, item) in items.iter().enumerate() {
                    let why = if decided { Some(unreached.unwrap_or("not reached")) } else { None };
                    self.value(item, &format!("{path}[{at}]"), depth, why);
                    decided = decided || self.holds(item) == (name == "or");
                }
            }
            _ => {
                for (at, item) in items.iter().enumerate() {
                    let each = at == 1 && PER_ITEM.contains(&name);
                    let why = if each { Some(unreached.unwrap_or("for each item")) } else { unreached };
                    self.value(item, &format!("{path}[{at}]"), depth, why);
                }
            }
        }
    }

    fn evaluate(&self, rule: &Value) -> Result<Value, String> {
        let rule = resolve(rule, self.definitions.evaluators()).map_err(|error| error.to_string())?;
        let engine = self.definitions.engine();
        let logic = engine.compile(&rule).map_err(|error| error.to_string())?;
        let arena = Bump::new();
        let context = DataValue::from_serde_value_in(&self.context, &arena);
        let value = engine.evaluate(&logic, context, &arena).map_err(|error| error.to_string())?;
        Ok(value.to_serde_value())
    }

    /// Whether it counts as true; what fails does not.
    fn holds(&self, condition: &Value) -> bool {
        let arena = Bump::new();
        let truthy = |value| self.definitions.engine().truthy(&DataValue::from_serde_value_in(&value, &arena));
        self.evaluate(condition).is_ok_and(truthy)
    }

    /// Where `fractional` put its key.
    fn draw(&self, args: &Value) -> String {
        let arena = Bump::new();
        let items = args.as_array().map(Vec::as_slice).unwrap_or_default();
        let evaluated: Result<Vec<_>, _> = items
            .iter()
            .map(|item| self.evaluate(item).map(|value| &*arena.alloc(DataValue::from_serde_value_in(&value, &arena))))
            .collect();
        let root = DataValue::from_serde_value_in(&self.context, &arena);
        let generation = self.definitions.generation();
        let drawn = evaluated.ok().and_then(|args| Fractional(generation).drawn(&args, &root));
        match drawn {
            None => format!("{generation}: no key to hash, or no weights to share out"),
            Some((draw, variant)) => {
                let of = if generation == Generation::V1 { "%".to_owned() } else { format!("of {}", draw.total) };
                let what = variant.map_or_else(|| "beyond all of them".into(), |it| it.to_serde_value().to_string());
                format!("{generation}: hash 0x{:08x}, bucket {:.4} {of} -> {what}", draw.hash, draw.bucket)
            }
        }
    }
}
