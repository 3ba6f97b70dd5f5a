//! Stop conditions: a small language over probes, `wrong_ratio > 5 % or burn_rate(availability) > 14.4`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::probe::Probe;

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

impl Compare {
    const ALL: [(&str, Self); 4] =
        [(">=", Self::AtLeast), ("<=", Self::AtMost), (">", Self::Above), ("<", Self::Below)];

    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
        }
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A probe against a limit. What cannot be measured meets nothing.
    Is(Probe, Compare, f64),
    /// All of them.
    All(Vec<Condition>),
    /// At least one of them.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
}

/// Nested deeper than this is refused.
const DEEPEST: usize = 32;

impl Condition {
    /// Whether it is met, with `measure` for the probes.
    pub fn is_met(&self, measure: &dyn Fn(&Probe) -> Option<f64>) -> bool {
        match self {
            Self::Is(probe, compare, limit) => measure(probe).is_some_and(|value| compare.holds(value, *limit)),
            Self::All(all) => all.iter().all(|one| one.is_met(measure)),
            Self::Any(any) => any.iter().any(|one| one.is_met(measure)),
            Self::Not(one) => !one.is_met(measure),
        }
    }

    /// Its probes with their limits, in the order in which they are written.
    pub fn probes(&self) -> Vec<(&Probe, f64)> {
        match self {
            Self::Is(probe, _, limit) => vec![(probe, *limit)],
            Self::All(many) | Self::Any(many) => many.iter().flat_map(Self::probes).collect(),
            Self::Not(one) => one.probes(),
        }
    }
}

/// Reads a condition from left to right.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Whether `word` comes next; it is taken then.
    fn takes(&mut self, word: &str) -> bool {
        self.skip();
        let rest = self.rest();
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let found = rest.strip_prefix(word).is_some_and(|after| !word.starts_with(char::is_alphabetic) || ends(after));
        if found {
            self.at += word.len();
        }
        found
    }

    fn wrong<T>(&self, expected: &str) -> Result<T, String> {
        let found: String = self.rest().chars().take(20).collect();
        let found = if found.is_empty() { "the end".into() } else { format!("`{found}`") };
        Err(format!("`{}` at character {}: {expected}, found {found}", self.text, self.at + 1))
    }

    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut many = vec![self.all(depth)?];
        while self.takes("or") {
            many.push(self.all(depth)?);
        }
        Ok(if many.len() == 1 { many.swap_remove(0) } else { Condition::Any(many) })
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut many = vec![self.one(depth)?];
        while self.takes("and") {
            many.push(self.one(depth)?);
        }
        Ok(if many.len() == 1 { many.swap_remove(0) } else { Condition::All(many) })
    }

    fn one(&mut self, depth: usize) -> Result<Condition, String> {
        if depth == DEEPEST {
            return self.wrong("nested less deeply");
        }
        if self.takes("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes("(") {
            let inner = self.any(depth + 1)?;
            return if self.takes(")") { Ok(inner) } else { self.wrong("expected `)`") };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Condition, String> {
        self.skip();
        let rest = self.rest();
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let mut end = word;
        let after = rest.get(word..).unwrap_or_default();
        if after.trim_start().starts_with('(') {
            let Some(close) = after.find(')') else { return self.wrong("expected a name in parentheses") };
            end = word + close + 1;
        }
        if end == 0 {
            return self.wrong("expected a probe, as in `wrong_ratio > 5 %`");
        }
        let probe = rest
            .get(..end)
            .unwrap_or_default()
            .parse::<Probe>()
            .map_err(|problem| format!("`{}` at character {}: {problem}", self.text, self.at + 1))?;
        self.at += end;
        let Some((_, compare)) = Compare::ALL.into_iter().find(|(sign, _)| self.takes(sign)) else {
            return self.wrong("expected >, >=, < or <=");
        };
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(rest.len());
        let Ok(limit) = rest.get(..end).unwrap_or_default().parse::<f64>() else {
            return self.wrong("expected a number");
        };
        self.at += end;
        let limit = if self.takes("%") { limit / 100.0 } else { limit };
        Ok(Condition::Is(probe, compare, limit))
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let condition = reader.any(0)?;
        reader.skip();
        if reader.rest().is_empty() { Ok(condition) } else { reader.wrong("expected `and`, `or` or the end") }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, many: &[Self], word: &str| {
            for (at, one) in many.iter().enumerate() {
                if at > 0 {
                    write!(f, " {word} ")?;
                }
                match one {
                    Self::Is(..) | Self::Not(_) => write!(f, "{one}")?,
                    _ => write!(f, "({one})")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Is(probe, compare, limit) => {
                let sign = Compare::ALL.iter().find(|(_, one)| one == compare).map_or("", |(sign, _)| sign);
                write!(f, "{probe} {sign} {limit}")
            }
            Self::All(many) => join(f, many, "and"),
            Self::Any(many) => join(f, many, "or"),
            Self::Not(one) => match **one {
                Self::Is(..) => write!(f, "not {one}"),
                _ => write!(f, "not ({one})"),
            },
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Condition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Comparisons of probes with numbers, joined by and, or, not and parentheses: \
                            wrong_ratio > 5 % or burn_rate(availability) > 14.4"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn met(text: &str) -> bool {
        text.parse::<Condition>().unwrap().is_met(&|probe| match probe.kind.name() {
            "wrong_ratio" => Some(0.1),
            "injections" => Some(7.0),
            _ => None,
        })
    }

    #[test]
    fn conditions_mean_what_they_say() {
        assert!(met("wrong_ratio > 5 %") && met("wrong_ratio >= 0.1") && !met("wrong_ratio > 10%"));
        assert!(met("injections > 10 or wrong_ratio > 5 % and injections >= 7"));
        assert!(!met("(injections > 10 or wrong_ratio > 5 %) and injections < 7"));
        assert!(met("not injections > 10") && met("not (injections > 10 or wrong_ratio < 0)"));
        assert!(!met("burn_rate(latency) > -1"), "what cannot be measured meets nothing");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, says) in [
            ("", "expected a probe"),
            ("wrong_ratio", "expected >"),
            ("wrong_ratio > much", "expected a number, found `much`"),
            ("wrong_rati > 5 %", "did you mean `wrong_ratio`"),
            ("wrong_ratio > 5 % injections > 1", "character 19"),
            ("(wrong_ratio > 5 %", "expected `)`"),
            ("burn_rate(latency > 5", "parentheses"),
        ] {
            let error = text.parse::<Condition>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let probe = prop::sample::select(vec!["wrong_ratio", "injections", "burn_rate(latency)", "flag(a b)"]);
        let compare = prop::sample::select(Compare::ALL.map(|(_, compare)| compare).to_vec());
        let leaf = (probe, compare, 0_u32..1_000)
            .prop_map(|(probe, compare, limit)| Condition::Is(probe.parse().unwrap(), compare, f64::from(limit) / 8.0));
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::All),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Any),
                inner.prop_map(|one| Condition::Not(Box::new(one))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(condition in condition()) {
            prop_assert_eq!(condition.to_string().parse::<Condition>(), Ok(condition));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a-z_()<>=% 0-9.]{0,60}|\\PC{0,40}") {
            let _ = text.parse::<Condition>().is_ok();
        }
    }
}
