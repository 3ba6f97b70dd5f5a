//! Checks a targeting rule against what flagd's schema and its evaluators know, and puts shared rules in the place of
//! references to them. Evaluates nothing.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::domain::text::nearest;

use super::fractional::WEIGHT_LIMIT;
use super::operators::{COMPARISONS, version};
use super::problem::{Constraint, Finding, Path};

/// Operations without a shape of their own, and how many arguments they take.
const OPERATIONS: [(&str, RangeInclusive<usize>); 30] = [
    ("if", 1..=MANY),
    ("==", 2..=2),
    ("===", 2..=2),
    ("!=", 2..=2),
    ("!==", 2..=2),
    (">", 2..=2),
    (">=", 2..=2),
    ("<", 2..=3),
    ("<=", 2..=3),
    ("!", 1..=1),
    ("!!", 1..=1),
    ("or", 1..=MANY),
    ("and", 1..=MANY),
    ("+", 1..=MANY),
    ("-", 1..=2),
    ("*", 1..=MANY),
    ("/", 2..=2),
    ("%", 2..=2),
    ("min", 1..=MANY),
    ("max", 1..=MANY),
    ("map", 2..=2),
    ("filter", 2..=2),
    ("reduce", 3..=3),
    ("all", 2..=2),
    ("none", 2..=2),
    ("some", 2..=2),
    ("merge", 1..=MANY),
    ("in", 2..=2),
    ("cat", 1..=MANY),
    ("substr", 2..=3),
];
const MANY: usize = usize::MAX;

/// Operations with a shape of their own.
const SHAPED: [&str; 8] =
    ["$ref", "var", "missing", "missing_some", "fractional", "sem_ver", "starts_with", "ends_with"];

/// As many values a rule may have once its references are resolved.
const SIZE_LIMIT: usize = 100_000;

/// Looks at one rule, with the shared rules of its file at hand.
pub(super) struct Check<'a> {
    pub(super) evaluators: &'a Map<String, Value>,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    /// A whole targeting, or a whole shared rule.
    pub(super) fn rule(&mut self, rule: &Value, path: &Path) {
        match rule {
            Value::Object(_) => self.value(rule, path),
            _ => self.broken(Constraint::Operation, path, "a rule must be an object with one operation, e.g. `if`"),
        }
    }

    fn error(&mut self, path: &Path, message: impl Into<String>) {
        self.broken(Constraint::Arguments, path, message);
    }

    fn broken(&mut self, rule: Constraint, path: &Path, message: impl Into<String>) {
        self.findings.push(Finding::error(rule, path.clone(), message));
    }

    fn value(&mut self, value: &Value, path: &Path) {
        match value {
            Value::Object(entries) => {
                let mut names = entries.iter();
                match (names.next(), names.next()) {
                    (Some((name, args)), None) => self.operation(name, args, &path.key(name)),
                    (None, _) => self.broken(Constraint::Operation, path, "an operation is missing here"),
                    (Some((first, _)), Some((second, _))) => {
                        let message = format!("one object holds one operation; here are `{first}` and `{second}`");
                        self.broken(Constraint::Operation, path, message);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, &path.index(index));
                }
            }
            _ => {}
        }
    }

    fn operation(&mut self, name: &str, args: &Value, path: &Path) {
        match name {
            "$ref" => self.reference(args, path),
            "var" => self.var(args, path),
            "missing" => self.missing(args, path),
            "missing_some" => match args {
                Value::Array(items) if matches!(items.as_slice(), [Value::Number(_), Value::Array(_)]) => {
                    if let Some(keys) = items.get(1) {
                        self.missing(keys, &path.index(1));
                    }
                }
                _ => self.error(path, "`missing_some` takes a number and a list of keys"),
            },
            "fractional" => self.fractional(args, path),
            "sem_ver" => self.sem_ver(args, path),
            "starts_with" | "ends_with" => self.affix(name, args, path),
            _ => match OPERATIONS.iter().find(|(operation, _)| *operation == name) {
                Some((_, arity)) => self.plain(name, arity, args, path),
                None => {
                    let known = OPERATIONS.iter().map(|(operation, _)| *operation).chain(SHAPED);
                    let hint =
                        nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    self.broken(Constraint::Operation, path, format!("there is no operation `{name}`{hint}"));
                }
            },
        }
    }

    fn plain(&mut self, name: &str, arity: &RangeInclusive<usize>, args: &Value, path: &Path) {
        let count = args.as_array().map_or(1, Vec::len);
        if !arity.contains(&count) {
            let (least, most) = (*arity.start(), *arity.end());
            let wanted = match most {
                MANY => format!("at least {least}"),
                most if most == least => least.to_string(),
                most => format!("{least} to {most}"),
            };
            let arguments = if most == 1 || most == MANY && least == 1 { "argument" } else { "arguments" };
            self.error(path, format!("`{name}` takes {wanted} {arguments}, not {count}"));
        }
        self.value(args, path);
    }

    fn reference(&mut self, args: &Value, path: &Path) {
        match args.as_str() {
            Some(name) if self.evaluators.contains_key(name) => {}
            Some(name) => {
                let hint = nearest(name, self.evaluators.keys().map(String::as_str))
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                self.broken(Constraint::Reference, path, format!("`$evaluators` has no rule `{name}`{hint}"));
            }
            None => self.broken(Constraint::Reference, path, "`$ref` takes the name of a rule under `$evaluators`"),
        }
    }

    fn var(&mut self, args: &Value, path: &Path) {
        let key = match args {
            Value::Array(items) if (1..=2).contains(&items.len()) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(item, &path.index(index));
                }
                items.first().and_then(Value::as_str)
            }
            Value::Array(_) => return self.error(path, "`var` takes a key and at most a default"),
            Value::String(key) => Some(key.as_str()),
            Value::Number(_) | Value::Object(_) => return self.value(args, path),
            _ => return self.error(path, "`var` takes the key of a value in the context"),
        };
        if let Some(own) = key.and_then(|key| key.strip_prefix("$flagd."))
            && !["flagKey", "timestamp"].contains(&own)
        {
            self.error(path, format!("flagd gives `$flagd.flagKey` and `$flagd.timestamp`, not `$flagd.{own}`"));
        }
    }

    fn missing(&mut self, args: &Value, path: &Path) {
        match args {
            Value::Array(items) if items.iter().all(Value::is_string) => {}
            Value::String(_) => {}
            Value::Object(_) => self.value(args, path),
            _ => self.error(path, "`missing` takes a list of keys"),
        }
    }

    fn fractional(&mut self, args: &Value, path: &Path) {
        let Some(items) = args.as_array().filter(|items| !items.is_empty()) else {
            return self.error(path, "`fractional` takes a list of buckets, such as [\"on\", 25]");
        };
        let keyed = !items.first().is_some_and(Value::is_array);
        if keyed {
            if !matches!(items.first(), Some(Value::Object(_))) {
                self.error(
                    &path.index(0),
                    "the value to hash must be an operation, such as {\"var\": \"targetingKey\"}",
                );
            }
            items.first().iter().for_each(|key| self.value(key, &path.index(0)));
        }
        let mut total = Some(0u64);
        for (index, bucket) in items.iter().enumerate().skip(usize::from(keyed)) {
            let weight = self.bucket(bucket, &path.index(index));
            total = total.zip(weight).map(|(total, weight)| total.saturating_add(weight));
        }
        if items.len() == usize::from(keyed) {
            return self.error(path, "`fractional` has no bucket, such as [\"on\", 25]");
        }
        match total {
            Some(0) => {
                let message = "all weights are 0, so no bucket is ever chosen";
                self.findings.push(Finding::warning(Constraint::Weights, path.clone(), message));
            }
            Some(total) if total > WEIGHT_LIMIT => {
                let message = format!("the weights sum to {total}; {WEIGHT_LIMIT} is the most");
                self.broken(Constraint::Weights, path, message);
            }
            _ => {}
        }
    }

    /// Returns the weight where it is a constant.
    fn bucket(&mut self, bucket: &Value, path: &Path) -> Option<u64> {
        let (variant, rest) = match bucket.as_array().map(Vec::as_slice) {
            Some([variant, rest @ ..]) if rest.len() <= 1 => (variant, rest),
            _ => {
                self.error(path, "a bucket is a variant and a weight, such as [\"on\", 25]");
                return None;
            }
        };
        match variant {
            Value::Array(_) => self.error(&path.index(0), "a variant is named by a text or an operation"),
            variant => self.value(variant, &path.index(0)),
        }
        match rest.first() {
            None => Some(1),
            Some(operation @ Value::Object(_)) => {
                self.value(operation, &path.index(1));
                None
            }
            Some(weight) => {
                let whole = whole(weight);
                if whole.is_none() {
                    let message = format!("a weight is a whole number from 0 to {WEIGHT_LIMIT}, or an operation");
                    self.broken(Constraint::Weights, &path.index(1), message);
                } else if weight.as_f64().is_some_and(|weight| weight < 0.0) {
                    let message = "a negative weight counts as 0";
                    self.findings.push(Finding::warning(Constraint::Weights, path.index(1), message));
                }
                whole
            }
        }
    }

    fn sem_ver(&mut self, args: &Value, path: &Path) {
        let Some([left, operator, right]) = args.as_array().map(Vec::as_slice) else {
            return self.error(path, "`sem_ver` takes a version, a comparison and a version");
        };
        match operator {
            Value::String(operator) if COMPARISONS.contains(&operator.as_str()) => {}
            _ => self.error(&path.index(1), format!("the comparison must be one of {}", COMPARISONS.join(" "))),
        }
        for (index, side) in [(0, left), (2, right)] {
            match side {
                Value::Object(_) => self.value(side, &path.index(index)),
                Value::String(text) if version(text).is_some() => {}
                _ => self.error(&path.index(index), "a version is written as in \"1.2.3\", or is an operation"),
            }
        }
    }

    fn affix(&mut self, name: &str, args: &Value, path: &Path) {
        let Some(sides @ [_, _]) = args.as_array().map(Vec::as_slice) else {
            return self.error(path, format!("`{name}` takes two texts"));
        };
        for (index, side) in sides.iter().enumerate() {
            match side {
                Value::Object(_) => self.value(side, &path.index(index)),
                Value::String(_) => {}
                _ => self.error(&path.index(index), format!("`{name}` compares texts; write one, or an operation")),
            }
        }
    }
}

/// A constant as a weight, if it is a whole number; negative ones count as 0.
fn whole(weight: &Value) -> Option<u64> {
    let number = weight.as_f64().filter(|number| number.fract() == 0.0)?;
    // A sum of weights saturates, so a number beyond what is exact is still told as too large.
    Some(number.max(0.0) as u64)
}

/// Calls `look` with every constant that the rule can yield as a whole, as far as can be told without evaluating it.
pub(super) fn results(rule: &Value, path: &Path, look: &mut impl FnMut(&Value, Path)) {
    let Some((name, args)) = rule.as_object().and_then(|entries| entries.iter().next()) else {
        return look(rule, path.clone());
    };
    let path = path.key(name);
    let Some(items) = args.as_array() else { return };
    for (index, item) in items.iter().enumerate() {
        match name.as_str() {
            // Conditions are at even places, but for the last one, which is the answer if none of them holds.
            "if" if index % 2 == 1 || index + 1 == items.len() && index > 0 => results(item, &path.index(index), look),
            "fractional" => {
                if let Some(variant) = item.as_array().and_then(|bucket| bucket.first()) {
                    results(variant, &path.index(index).index(0), look);
                }
            }
            _ => {}
        }
    }
}

/// `rule` with shared rules in the place of references.
///
/// # Errors
/// When shared rules refer to each other in a circle or the rule becomes too large. References to what is not there are
/// left as they are; [`Check`] finds them.
pub(super) fn resolve(rule: &Value, evaluators: &Map<String, Value>) -> Result<Value, Unresolved> {
    Resolve { evaluators, within: Vec::new(), size: 0 }.value(rule)
}

/// Why references cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    /// The names on the way around, the first again at the end.
    #[error("shared rules refer to each other in a circle: {}", .0.join(" -> "))]
    Circle(Vec<String>),
    #[error("with its references resolved the rule has more than {SIZE_LIMIT} values")]
    TooLarge,
}

struct Resolve<'a> {
    evaluators: &'a Map<String, Value>,
    within: Vec<&'a str>,
    size: usize,
}

impl<'a> Resolve<'a> {
    fn value(&mut self, value: &Value) -> Result<Value, Unresolved> {
        self.size += 1;
        if self.size > SIZE_LIMIT {
            return Err(Unresolved::TooLarge);
        }
        Ok(match value {
            Value::Array(items) => Value::Array(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?),
            Value::Object(entries) => {
                if let Some(Value::String(name)) = entries.get("$ref")
                    && let Some((name, rule)) = self.evaluators.get_key_value(name)
                {
                    return self.shared(name, rule);
                }
                let entries = entries.iter().map(|(key, value)| Ok((key.clone(), self.value(value)?)));
                Value::Object(entries.collect::<Result<_, Unresolved>>()?)
            }
            other => other.clone(),
        })
    }

    fn shared(&mut self, name: &'a str, rule: &Value) -> Result<Value, Unresolved> {
        if let Some(start) = self.within.iter().position(|outer| *outer == name) {
            let circle = self.within.iter().skip(start).chain([&name]);
            return Err(Unresolved::Circle(circle.map(|name| (*name).to_owned()).collect()));
        }
        self.within.push(name);
        let resolved = self.value(rule);
        self.within.pop();
        resolved
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn findings(rule: &Value) -> Vec<String> {
        let evaluators = json!({"is_admin": {"==": [{"var": "role"}, "admin"]}});
        let mut findings = Vec::new();
        let mut check = Check { evaluators: evaluators.as_object().unwrap(), findings: &mut findings };
        check.rule(rule, &Path::default());
        findings.iter().map(|finding| format!("{}: {}", finding.path, finding.message)).collect()
    }

    #[test]
    fn rules_as_flagd_knows_them_pass() {
        for rule in [
            json!({"if": [{"$ref": "is_admin"}, "on"]}),
            json!({"if": [false, "a", false, "b", true, "c", null]}),
            json!({"!": true}),
            json!({"<": [1, {"var": ["n", 2]}, 3]}),
            json!({"in": [{"var": "$flagd.flagKey"}, ["a", "b"]]}),
            json!({"reduce": [{"var": "x"}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}),
            json!({"all": [[1, 2], {">": [{"var": ""}, 0]}]}),
            json!({"missing_some": [1, ["a", "b"]]}),
            json!({"fractional": [["heads"], ["tails", 1]]}),
            json!({"fractional": [{"cat": ["a", {"var": "b"}]}, [{"var": "c"}, {"var": "d"}], [true, 3]]}),
            json!({"sem_ver": [{"var": "v"}, "^", "1"]}),
            json!({"ends_with": [{"var": "email"}, "@example.com"]}),
        ] {
            assert_eq!(findings(&rule), Vec::<String>::new(), "{rule}");
        }
    }

    #[test]
    fn what_cannot_work_is_named_with_its_place() {
        for (rule, expected) in [
            (json!("on"), ": a rule must be an object with one operation, e.g. `if`"),
            (json!({"if": [true, {}]}), "if[1]: an operation is missing here"),
            (json!({"==": [1, 2], "in": []}), ": one object holds one operation; here are `==` and `in`"),
            (json!({"iff": [1]}), "iff: there is no operation `iff`; did you mean `if`?"),
            (json!({"==": [1]}), "==: `==` takes 2 arguments, not 1"),
            (json!({"!": [1, 2]}), "!: `!` takes 1 argument, not 2"),
            (json!({"<": [1]}), "<: `<` takes 2 to 3 arguments, not 1"),
            (json!({"or": []}), "or: `or` takes at least 1 argument, not 0"),
            (json!({"$ref": "is_admim"}), "$ref: `$evaluators` has no rule `is_admim`; did you mean `is_admin`?"),
            (
                json!({"var": "$flagd.key"}),
                "var: flagd gives `$flagd.flagKey` and `$flagd.timestamp`, not `$flagd.key`",
            ),
            (json!({"var": true}), "var: `var` takes the key of a value in the context"),
            (json!({"missing": [1]}), "missing: `missing` takes a list of keys"),
            (json!({"fractional": []}), "fractional: `fractional` takes a list of buckets, such as [\"on\", 25]"),
            (json!({"fractional": [{"var": "x"}]}), "fractional: `fractional` has no bucket, such as [\"on\", 25]"),
            (
                json!({"fractional": [5, ["a", 1]]}),
                "fractional[0]: the value to hash must be an operation, such as {\"var\": \"targetingKey\"}",
            ),
            (
                json!({"fractional": ["constant", ["a", 1]]}),
                "fractional[0]: the value to hash must be an operation, such as {\"var\": \"targetingKey\"}",
            ),
            (
                json!({"fractional": [["a", 1], "b"]}),
                "fractional[1]: a bucket is a variant and a weight, such as [\"on\", 25]",
            ),
            (
                json!({"fractional": [["a", 0.5]]}),
                "fractional[0][1]: a weight is a whole number from 0 to 2147483647, or an operation",
            ),
            (
                json!({"fractional": [["a", "25"]]}),
                "fractional[0][1]: a weight is a whole number from 0 to 2147483647, or an operation",
            ),
            (json!({"fractional": [["a", -1], ["b", 1]]}), "fractional[0][1]: a negative weight counts as 0"),
            (
                json!({"fractional": [["a", 1e30], ["b", 1]]}),
                "fractional: the weights sum to 18446744073709551615; 2147483647 is the most",
            ),
            (json!({"fractional": [["a", 0]]}), "fractional: all weights are 0, so no bucket is ever chosen"),
            (
                json!({"fractional": [["a", 2147483647], ["b"]]}),
                "fractional: the weights sum to 2147483648; 2147483647 is the most",
            ),
            (json!({"sem_ver": ["1.0.0", "="]}), "sem_ver: `sem_ver` takes a version, a comparison and a version"),
            (json!({"sem_ver": ["1.0.0", "==", "1"]}), "sem_ver[1]: the comparison must be one of = != < <= > >= ^ ~"),
            (
                json!({"sem_ver": ["1.0.0.0", "=", "1"]}),
                "sem_ver[0]: a version is written as in \"1.2.3\", or is an operation",
            ),
            (
                json!({"starts_with": [{"var": "x"}, 3]}),
                "starts_with[1]: `starts_with` compares texts; write one, or an operation",
            ),
            (json!({"ends_with": ["x"]}), "ends_with: `ends_with` takes two texts"),
        ] {
            assert_eq!(findings(&rule), [expected], "{rule}");
        }
    }

    #[test]
    fn results_are_what_branches_and_buckets_yield() {
        let rule = json!({"if": [{"var": "x"}, "a", "cond", {"fractional": [{"var": "k"}, ["b", 1], ["c", 1]]}, null]});
        let mut found = Vec::new();
        results(&rule, &Path::default(), &mut |value, path| found.push((value.clone(), path.to_string())));
        let expected = [
            (json!("a"), "if[1]"),
            (json!("b"), "if[3].fractional[1][0]"),
            (json!("c"), "if[3].fractional[2][0]"),
            (json!(null), "if[4]"),
        ];
        assert_eq!(found, expected.map(|(value, path)| (value, path.to_owned())));
    }

    #[test]
    fn references_are_resolved_within_each_other() {
        let evaluators = json!({"a": {"!": {"$ref": "b"}}, "b": {"var": "x"}});
        let rule = json!({"if": [{"$ref": "a"}, {"$ref": "b"}, {"$ref": "none"}]});
        let resolved = resolve(&rule, evaluators.as_object().unwrap()).unwrap();
        assert_eq!(resolved, json!({"if": [{"!": {"var": "x"}}, {"var": "x"}, {"$ref": "none"}]}));
    }

    #[test]
    fn circles_and_explosions_are_refused() {
        let evaluators = json!({"a": {"!": {"$ref": "b"}}, "b": {"!": {"$ref": "a"}}});
        let error = resolve(&json!({"$ref": "a"}), evaluators.as_object().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "shared rules refer to each other in a circle: a -> b -> a");
        let mut evaluators = Map::new();
        evaluators.insert("0".into(), json!({"var": "x"}));
        for level in 1..64 {
            let below = json!({"$ref": (level - 1).to_string()});
            evaluators.insert(level.to_string(), json!({"and": [below, below]}));
        }
        assert_eq!(resolve(&json!({"$ref": "63"}), &evaluators), Err(Unresolved::TooLarge));
    }
}
