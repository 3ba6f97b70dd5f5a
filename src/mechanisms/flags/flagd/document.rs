//! A file's text as a document, JSON or YAML: reads it into one kind of value, refuses keys that are there twice, and
//! finds the line and column of any value in it.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problem::{Constraint, Finding, Problem, Severity, Step};

/// A document and where it came from.
#[derive(Debug)]
pub(in crate::mechanisms::flags) struct Document<'a> {
    text: &'a str,
    file: &'a str,
    json: bool,
    pub(super) value: Value,
}

impl<'a> Document<'a> {
    /// Reads `text`: JSON when the file's name ends so, or the text begins with a brace and the name does not say YAML.
    ///
    /// # Errors
    /// The [`Problem`] that the text has as JSON or YAML.
    pub(in crate::mechanisms::flags) fn read(text: &'a str, file: &'a str) -> Result<Self, Problem> {
        let ends =
            |end: &str| file.get(file.len().saturating_sub(end.len())..).is_some_and(|e| e.eq_ignore_ascii_case(end));
        let yaml = ends(".yaml") || ends(".yml");
        let json = ends(".json") || (!yaml && text.trim_start().starts_with('{'));
        let problem = |place: Option<(usize, usize)>, message: String| Problem {
            severity: Severity::Error,
            rule: Constraint::Syntax,
            file: file.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            path: String::new(),
            message,
        };
        let value = if json {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let value = ReadValue.deserialize(&mut deserializer);
            value.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
                problem(Some((error.line().max(1), error.column().max(1))), format!("not valid JSON: {}", bare(&error)))
            })?
        } else {
            ReadValue.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
                let place = error.location().map(|place| (place.line(), place.column()));
                problem(place, format!("not valid YAML: {}", bare(&error)))
            })?
        };
        Ok(Self { text, file, json, value })
    }

    /// The problem that `finding` is at its place in the text.
    pub(in crate::mechanisms::flags) fn place(&self, finding: &Finding) -> Problem {
        let place = self.locate(&finding.path.0);
        Problem {
            severity: finding.severity,
            rule: finding.rule,
            file: self.file.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            path: finding.path.to_string(),
            message: finding.message.clone(),
        }
    }

    /// The line and column, from 1, of the key or item that `path` ends with.
    ///
    /// Nothing keeps places while a document is read; instead it is read once more by a visitor that fails on purpose
    /// when it arrives, and the failure has the place.
    fn locate(&self, path: &[Step]) -> Option<(usize, usize)> {
        // YAML tells where a token begins, JSON where it ends; most JSON is YAML, too.
        let error = Seek { path }.deserialize(serde_yaml::Deserializer::from_str(self.text)).err();
        let found = error.filter(|error| error.to_string().contains(FOUND)).and_then(|error| error.location());
        if let Some(place) = found {
            return Some((place.line(), place.column()));
        }
        if !self.json {
            return None;
        }
        let error = Seek { path }.deserialize(&mut serde_json::Deserializer::from_str(self.text)).err()?;
        error.to_string().contains(FOUND).then(|| (error.line(), error.column()))
    }
}

/// The message of an error without its own place, which it repeats; where something began that is not finished, stays.
fn bare(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let Some((what, place)) = text.split_once(" at line ") else { return text };
    let digits = |text: &str| text.trim_start_matches(|letter: char| letter.is_ascii_digit()).to_owned();
    let rest = digits(place);
    let rest = rest.strip_prefix(" column ").map_or_else(|| rest.clone(), digits);
    format!("{what}{rest}")
}

/// Reads any value.
struct ReadValue;

impl<'de> DeserializeSeed<'de> for ReadValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(ReadValue)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (mut map, mut seen) = (Map::new(), BTreeSet::new());
        while let Some(key) = entries.next_key_seed(NewKey(&mut seen))? {
            map.insert(key, entries.next_value_seed(ReadValue)?);
        }
        Ok(Value::Object(map))
    }
}

/// Reads a key that is not among those seen.
struct NewKey<'s>(&'s mut BTreeSet<String>);

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a text")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        if self.0.insert(key.to_owned()) {
            Ok(key.to_owned())
        } else {
            Err(E::custom(format!("the key `{key}` is there twice")))
        }
    }
}

/// Marks the failure that is a find.
const FOUND: &str = "\u{1}found\u{1}";

/// Walks to the end of a path and fails there.
struct Seek<'p> {
    path: &'p [Step],
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    /// Also what a value is refused with for which there is no `visit_` below: the end of the path, if it is a scalar.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() { FOUND } else { "something with more in it" })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Index(index), rest)) = self.path.split_first() else {
            return Err(A::Error::custom(if self.path.is_empty() { FOUND } else { "not there" }));
        };
        for _ in 0..*index {
            if items.next_element::<serde::de::IgnoredAny>()?.is_none() {
                return Err(A::Error::custom("not there"));
            }
        }
        items.next_element_seed(Seek { path: rest })?;
        Err(A::Error::custom("not there"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((Step::Key(key), rest)) = self.path.split_first() else {
            return Err(A::Error::custom(if self.path.is_empty() { FOUND } else { "not there" }));
        };
        while let Some(right) = entries.next_key_seed(SeekKey { key, last: rest.is_empty() })? {
            if right {
                entries.next_value_seed(Seek { path: rest })?;
            } else {
                entries.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Err(A::Error::custom("not there"))
    }
}

/// Tells whether a key is the one sought; fails at it when the path ends with it.
struct SeekKey<'p> {
    key: &'p str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for SeekKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for SeekKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a text")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        match (key == self.key, self.last) {
            (true, true) => Err(E::custom(FOUND)),
            (right, _) => Ok(right),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str =
        "flags:\n  one: # a comment\n    state: ENABLED\n    targeting:\n      in: [1, {var: x}, [2, 3]]\n";
    const JSON: &str = "{\n  \"flags\": {\n    \"one\": {\"targeting\": {\"in\": [1, {\"var\": \"x\"}]}}\n  }\n}";

    fn path(text: &str) -> Vec<Step> {
        text.split('.').map(|step| step.parse().map_or_else(|_| Step::Key(step.into()), Step::Index)).collect()
    }

    #[test]
    fn every_value_has_a_place() {
        let yaml = Document::read(YAML, "flags.yaml").unwrap();
        for (steps, place) in [
            ("flags", (1, 1)),
            ("flags.one", (2, 3)),
            ("flags.one.targeting", (4, 5)),
            ("flags.one.targeting.in", (5, 7)),
            ("flags.one.targeting.in.0", (5, 12)),
            ("flags.one.targeting.in.1", (5, 15)),
            ("flags.one.targeting.in.1.var", (5, 16)),
            ("flags.one.targeting.in.2.1", (5, 29)),
        ] {
            assert_eq!(yaml.locate(&path(steps)), Some(place), "{steps}");
        }
        assert_eq!(yaml.locate(&path("flags.two")), None);
        assert_eq!(yaml.locate(&path("flags.one.targeting.in.7")), None);
        assert_eq!(yaml.locate(&[]), Some((1, 1)));
        let json = Document::read(JSON, "flags.json").unwrap();
        assert_eq!(json.locate(&path("flags.one.targeting.in")), Some((3, 27)));
    }

    #[test]
    fn json_that_is_no_yaml_has_places_too() {
        let text = "{\"a\": \"\\ud83d\\ude00\", \"b\": {\"c\": 1}}";
        let json = Document::read(text, "flags.json").unwrap();
        assert_eq!(json.value["a"], "\u{1F600}");
        let (line, column) = json.locate(&path("b.c")).unwrap();
        assert_eq!(line, 1);
        assert!((28..=35).contains(&column), "{column}");
    }

    #[test]
    fn a_broken_text_is_refused_where_it_breaks() {
        let problem = Document::read("flags:\n  a: [1, 2\n", "x.yaml").unwrap_err();
        assert_eq!(problem.line, Some(3), "{problem}");
        assert!(
            problem.message.ends_with("expected ',' or ']', while parsing a flow sequence at line 2 column 6"),
            "{problem}"
        );
        let problem = Document::read("{\"flags\": {\n\"a\": }}", "x.json").unwrap_err();
        assert_eq!((problem.line, problem.column), (Some(2), Some(6)), "{problem}");
        assert!(problem.to_string().starts_with("x.json:2:6: not valid JSON: expected value"), "{problem}");
        let problem = Document::read("{} {}", "x.json").unwrap_err();
        assert!(problem.message.contains("trailing characters"), "{problem}");
        assert!(Document::read("a: .nan", "x").unwrap_err().message.contains("finite"));
        assert!(Document::read("a: !tag 1", "x").is_err());
    }

    #[test]
    fn keys_that_are_there_twice_are_refused() {
        let problem = Document::read("flags:\n  a: 1\n  a: 2\n", "x.yaml").unwrap_err();
        assert_eq!((problem.line, problem.column), (Some(3), Some(3)), "{problem}");
        assert!(problem.message.contains("the key `a` is there twice"), "{problem}");
        assert!(Document::read("{\"a\": 1, \"a\": 2}", "x.json").unwrap_err().message.contains("twice"));
    }

    #[test]
    fn the_name_or_the_first_character_tells_json_from_yaml() {
        assert!(Document::read("{a: 1}", "x.yaml").is_ok());
        assert!(Document::read("{a: 1}", "x.json").is_err());
        assert!(Document::read("{a: 1}", "x").is_err());
        assert!(Document::read("a: 1", "é").is_ok());
        assert_eq!(Document::read("true: yes", "x").unwrap().value["true"], "yes", "keys are texts, and yes is, too");
    }
}
