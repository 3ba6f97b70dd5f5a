//! The text of an experiment as a tree of values, and where in the text each of them stands.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::ToolkitError;
use crate::config::{Diagnostic, parse};
use crate::domain::text::nearest;

/// One step down a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// Something wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Where it stands in the tree.
    at: Vec<Step>,
    /// Whether its key is meant rather than its value.
    key: bool,
    /// What is wrong, and what would be right.
    text: String,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    /// The value.
    pub value: &'a Value,
    at: Vec<Step>,
}

impl<'a> Node<'a> {
    /// The document itself.
    pub const fn root(value: &'a Value) -> Self {
        Self { value, at: Vec::new() }
    }

    /// Another value in this one's place: the same with its variables put in.
    pub fn with<'b>(&self, value: &'b Value) -> Node<'b> {
        Node { value, at: self.at.clone() }
    }

    /// The value of a key; one that is null counts as left out.
    pub fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Self { value, at: self.below(Step::Key(key.to_owned())) })
    }

    /// The members of a mapping.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(key, value)| (key.as_str(), Node { value, at: self.below(Step::Key(key.clone())) }))
    }

    /// The items of a list.
    pub fn items(&self) -> impl Iterator<Item = Node<'a>> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(index, value)| Node { value, at: self.below(Step::Index(index)) })
    }

    fn below(&self, step: Step) -> Vec<Step> {
        let mut at = self.at.clone();
        at.push(step);
        at
    }

    /// That this value is wrong.
    pub fn problem(&self, text: impl Into<String>) -> Problem {
        Problem { at: self.at.clone(), key: false, text: text.into() }
    }

    /// That this key is wrong.
    pub fn key_problem(&self, key: &str, text: impl Into<String>) -> Problem {
        Problem { at: self.below(Step::Key(key.to_owned())), key: true, text: text.into() }
    }

    /// As a mapping.
    pub fn mapping(&self, what: &str) -> Result<(), Problem> {
        let found = kind(self.value);
        if self.value.is_object() { Ok(()) } else { Err(self.problem(format!("{what} is a mapping, not {found}"))) }
    }

    /// As a list.
    pub fn list(&self, what: &str) -> Result<(), Problem> {
        let found = kind(self.value);
        if self.value.is_array() { Ok(()) } else { Err(self.problem(format!("{what} is a list, not {found}"))) }
    }

    /// As a text that is not empty.
    pub fn text(&self, what: &str) -> Result<&'a str, Problem> {
        match self.value.as_str() {
            Some("") => Err(self.problem(format!("{what} is empty"))),
            Some(text) => Ok(text),
            None => Err(self.problem(format!("{what} is a text, not {}", kind(self.value)))),
        }
    }

    /// As yes or no.
    pub fn boolean(&self, what: &str) -> Result<bool, Problem> {
        let found = kind(self.value);
        self.value.as_bool().ok_or_else(|| self.problem(format!("{what} is true or false, not {found}")))
    }

    /// The text of a key that must be there.
    pub fn required_text(&self, key: &str, what: &str) -> Result<&'a str, Problem> {
        self.get(key).ok_or_else(|| self.problem(format!("{what} needs a `{key}`")))?.text(&format!("`{key}`"))
    }

    /// Refuses a key that is none of `known` but nearly one that is left out: a misspelt `rollbacks` would never be played.
    /// Any other key is kept and has no effect, as the format has it.
    pub fn no_misspelt_key(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.members().map(|(key, _)| key).filter(|key| !known.contains(key) && !key.starts_with("x-"));
        for key in unknown {
            let left_out = known.iter().copied().filter(|known| self.get(known).is_none());
            if let Some(near) = nearest(key, left_out) {
                return Err(self.key_problem(key, format!("unknown key `{key}`; did you mean `{near}`?")));
            }
        }
        Ok(())
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Reads JSON or YAML, by the file's name.
pub(super) fn read(text: &str, file: &str) -> Result<Value, ToolkitError> {
    if super::is_json(file).ok_or_else(|| ToolkitError::Extension(file.to_owned()))? {
        return serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let problem = message.split(" at line ").next().unwrap_or(&message).to_owned();
            ToolkitError::Content(diagnostic(text, file, Some((error.line(), error.column().max(1))), problem))
        });
    }
    let mut value: serde_yaml::Value = parse(text, file)?;
    let wrong = |error: String| ToolkitError::Content(diagnostic(text, file, None, error));
    value.apply_merge().map_err(|error| wrong(error.to_string()))?;
    serde_json::to_value(&value).map_err(|error| wrong(format!("this cannot be told in JSON: {error}")))
}

/// Whether a document is an experiment rather than a scenario of ours, by its keys. A .json file always is one.
///
/// A text that cannot be read is none, unless its name says so: whoever reads it next tells what is wrong.
pub fn is_experiment(text: &str, file: &str) -> bool {
    match super::is_json(file) {
        Some(true) => true,
        Some(false) => serde_yaml::from_str::<serde_yaml::Value>(text).is_ok_and(|document| {
            document.get("phases").is_none()
                && (document.get("method").is_some() || document.get("steady-state-hypothesis").is_some())
        }),
        None => false,
    }
}

/// A problem with its place in the text.
pub(super) fn placed(text: &str, file: &str, problem: Problem) -> Diagnostic {
    diagnostic(text, file, locate(text, &problem.at, problem.key), problem.text)
}

/// Lines longer than this are not shown: a document on one line would hide the message.
const LONGEST_LINE: usize = 200;

fn diagnostic(text: &str, file: &str, place: Option<(usize, usize)>, problem: String) -> Diagnostic {
    let line = place.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1))).unwrap_or_default();
    match place {
        Some((at, column)) if line.len() > LONGEST_LINE => {
            Diagnostic { file: format!("{file}:{at}:{column}"), place: None, problem, source: String::new() }
        }
        _ => Diagnostic { file: file.to_owned(), place, problem, source: line.to_owned() },
    }
}

/// Where a value, or its key, stands; line and column from 1. JSON is read as the YAML that it is. What cannot be found
/// has its parent's place.
fn locate(text: &str, at: &[Step], key: bool) -> Option<(usize, usize)> {
    let found = find(text, at, key);
    found.or_else(|| at.split_last().and_then(|(_, parent)| locate(text, parent, false)))
}

/// The parser tells the place of an error, so the walk ends with one at what is looked for.
fn find(text: &str, at: &[Step], key: bool) -> Option<(usize, usize)> {
    let walk = Walk { at, key };
    let error = walk.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    // The parser puts the path in front.
    error.to_string().contains(HERE).then_some(())?;
    error.location().map(|place| (place.line(), place.column()))
}

const HERE: &str = "here it is";

struct Walk<'a> {
    at: &'a [Step],
    key: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_> {
    /// The end of the walk, or a value on the way that does not go on downwards.
    fn leaf<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.at.is_empty() { Err(E::custom(HERE)) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.leaf()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.leaf()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.leaf()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.leaf()
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.leaf()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.leaf()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.leaf()?;
        let (Some(Step::Key(wanted)), rest) = (self.at.first(), self.at.get(1..).unwrap_or_default()) else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let stop = self.key && rest.is_empty();
        while let Some(matches) = map.next_key_seed(Key { wanted, stop })? {
            if matches {
                map.next_value_seed(Walk { at: rest, key: self.key })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.leaf()?;
        let (Some(Step::Index(wanted)), rest) = (self.at.first(), self.at.get(1..).unwrap_or_default()) else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        for index in 0.. {
            let more = if index == *wanted {
                list.next_element_seed(Walk { at: rest, key: self.key })?.is_some()
            } else {
                list.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// A key that is compared; with `stop` the walk ends at the one wanted.
struct Key<'a> {
    wanted: &'a str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        let matches = key == self.wanted;
        if matches && self.stop { Err(E::custom(HERE)) } else { Ok(matches) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JSON: &str = "{\n  \"a\": [\n    {\"b\": 1},\n\t{\"c\": \"x\"}\n  ],\n  \"d\": {}\n}\n";
    const YAML: &str = "a:\n  - b: 1\n  - c: x\nd: {}\n";

    fn path(text: &str) -> Vec<Step> {
        let step = |part: &str| part.parse().map_or_else(|_| Step::Key(part.to_owned()), Step::Index);
        text.split('.').filter(|part| !part.is_empty()).map(step).collect()
    }

    #[test]
    fn every_value_and_key_is_found_in_json_and_yaml() {
        for (at, key, json, yaml) in [
            ("a.0.b", false, (3, 11), (2, 8)),
            ("a.0.b", true, (3, 6), (2, 5)),
            ("a.1.c", false, (4, 8), (3, 8)),
            ("a.1", false, (4, 2), (3, 5)),
            ("d", true, (6, 3), (4, 1)),
            ("d", false, (6, 8), (4, 4)),
            ("d.missing", false, (6, 8), (4, 4)),
        ] {
            assert_eq!(locate(JSON, &path(at), key), Some(json), "{at} in JSON");
            assert_eq!(locate(YAML, &path(at), key), Some(yaml), "{at} in YAML");
        }
    }

    #[test]
    fn an_experiment_is_told_from_a_scenario_by_its_keys() {
        assert!(is_experiment("title: x\nmethod: []\n", "x.yaml"));
        assert!(is_experiment("steady-state-hypothesis: {}\n", "x.yml"));
        assert!(is_experiment("broken", "x.json"));
        assert!(!is_experiment("name: x\nphases: []\n", "x.yaml"));
        assert!(!is_experiment("broken: [", "x.yaml"));
        assert!(!is_experiment("method: []", "modulo_meltdown"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s)[a-c:\\[\\]{}\\- \n\"'&*|>!%@#0-9]{0,120}", key: bool) {
            let _ = locate(&text, &path("a.0.b"), key);
            let _ = is_experiment(&text, "x.yaml");
            let _ = read(&text, "x.json").is_ok();
        }
    }
}
