//! Tolerances: what a probe's output must be for the steady state to hold. Checked when the experiment is read, so that
//! one that could never be met is refused rather than found out during a run.

use fancy_regex::{Regex, RegexBuilder};
use serde_json::Value;
use serde_json_path::JsonPath;

use super::document::{Node, Problem, kind};
use super::experiment::{Kind, Provider, provider};
use super::values::{equal, excerpt, text};
use super::variables::Variables;

/// Steps that a pattern may take back before it is given up.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// What a probe's output must be. An output is `{status, stdout, stderr}` of a process or `{status, headers, body}` of a
/// call.
#[derive(Debug, Clone)]
pub enum Tolerance {
    /// The status is this number.
    Status(i64),
    /// The status is one of these.
    Statuses(Vec<i64>),
    /// A part of the output matches a pattern somewhere.
    Regex {
        /// Which part.
        target: String,
        /// Python's syntax.
        pattern: Box<Regex>,
    },
    /// A path finds something in the output, or in the JSON text of a part of it.
    JsonPath {
        /// Which part; all of it when left out.
        target: Option<String>,
        /// RFC 9535.
        path: JsonPath,
        /// How many values it must find.
        count: Option<u64>,
        /// The values that it must find; one value, or a list of all of them.
        expect: Option<Value>,
    },
    /// A part of the output is a number between two others, both included.
    Range {
        /// Which part.
        target: String,
        /// The smallest.
        least: f64,
        /// The largest.
        most: f64,
    },
    /// Another probe is given the output as its argument `value` and must do well: a process ends with status 0, a call is
    /// answered with a status below 400.
    Probe(Box<Provider>),
}

impl Tolerance {
    /// Checks a tolerance for the output of this kind of provider.
    pub(super) fn parse(node: &Node<'_>, of: Kind, variables: &Variables) -> Result<Self, Problem> {
        let right = format!("give a status number, a list of them, or a mapping {}", example(of));
        // Only a text as a whole has its variables put in, as Chaos Toolkit does it.
        let value = if node.value.is_string() { variables.substitute(node.value) } else { node.value.clone() };
        let node = &node.with(&value);
        match &value {
            Value::Number(number) => {
                let status = number.as_i64();
                let problem = || node.problem(format!("the tolerance {number} is no whole number; {right}"));
                status.map(Self::Status).ok_or_else(problem)
            }
            Value::Array(items) if items.is_empty() => {
                Err(node.problem(format!("the tolerance is an empty list, which nothing meets; {right}")))
            }
            Value::Array(_) => {
                let status = |item: Node<'_>| {
                    let found = kind(item.value);
                    let problem = format!("a list of tolerated status numbers holds {found}, which no status equals");
                    item.value.as_i64().ok_or_else(|| item.problem(problem))
                };
                node.items().map(status).collect::<Result<_, _>>().map(Self::Statuses)
            }
            Value::Object(_) => Self::typed(node, of, variables),
            other => Err(node.problem(format!(
                "the tolerance is {}, which the output of {} never equals; {right}",
                if other.is_null() { "null" } else { kind(other) },
                of.article()
            ))),
        }
    }

    fn typed(node: &Node<'_>, of: Kind, variables: &Variables) -> Result<Self, Problem> {
        let given = node.required_text("type", "a tolerance that is a mapping")?;
        let target = |parts: &[&str]| {
            let Some(target) = node.get("target") else { return Ok(None) };
            let name = target.text("`target`")?;
            if parts.contains(&name) {
                return Ok(Some(name.to_owned()));
            }
            let parts = parts.join(" or ");
            Err(target.problem(format!("the target `{name}` cannot be compared by {given}; give {parts}")))
        };
        let texts = of.texts();
        let needed = |target: Option<String>| {
            let parts = texts.join(" or ");
            target.ok_or_else(|| node.problem(format!("a {given} tolerance needs a `target`: {parts}")))
        };
        let substituted = |key: &str| node.get(key).map(|found| (variables.substitute(found.value), found));
        match given {
            "regex" => {
                node.no_misspelt_key(&["type", "target", "pattern"])?;
                let Some((pattern, at)) = substituted("pattern") else {
                    return Err(node.problem("a regex tolerance needs a `pattern`"));
                };
                let pattern = at.with(&pattern).text("`pattern`")?;
                let built = RegexBuilder::new(&python_pattern(pattern)).backtrack_limit(BACKTRACK_LIMIT).build();
                let built = built.map_err(|error| {
                    let error = error.to_string();
                    at.problem(format!("`{pattern}` is no pattern: {}", error.replace('\n', " ")))
                })?;
                Ok(Self::Regex { target: needed(target(texts)?)?, pattern: Box::new(built) })
            }
            "jsonpath" => {
                node.no_misspelt_key(&["type", "target", "path", "count", "expect"])?;
                let Some((path, at)) = substituted("path") else {
                    return Err(node.problem("a jsonpath tolerance needs a `path`"));
                };
                let path = at.with(&path).text("`path`")?.trim().to_owned();
                let parsed = JsonPath::parse(&path).map_err(|error| {
                    let place = error.position() + 1;
                    at.problem(format!("`{path}` is no JSON path (RFC 9535): {} at {place}", error.message()))
                })?;
                let count = node.get("count").map(|count| {
                    let problem = || count.problem("`count` is how many values are found: a whole number from 0");
                    count.value.as_u64().ok_or_else(problem)
                });
                // null may be expected, so that `get` does not do.
                let expect = node.value.get("expect").map(|expect| variables.substitute(expect));
                let target = target(of.parts())?;
                Ok(Self::JsonPath { target, path: parsed, count: count.transpose()?, expect })
            }
            "range" => {
                node.no_misspelt_key(&["type", "target", "range"])?;
                let Some(range) = node.get("range") else {
                    return Err(node.problem("a range tolerance needs a `range`, e.g. [0, 10]"));
                };
                let bounds: Vec<f64> = range.items().filter_map(|item| item.value.as_f64()).collect();
                match (bounds.as_slice(), range.value.as_array().map(Vec::len)) {
                    (&[least, most], Some(2)) if least <= most => {
                        let comparable: Vec<&str> = ["status"].iter().chain(texts).copied().collect();
                        Ok(Self::Range { target: needed(target(&comparable)?)?, least, most })
                    }
                    (&[least, most], Some(2)) => {
                        Err(range.problem(format!("nothing is from {least} to {most}; give the smaller number first")))
                    }
                    _ => Err(range.problem("`range` is a list of two numbers, e.g. [0, 10]")),
                }
            }
            "probe" => {
                let Some(found) = node.get("provider") else {
                    return Err(node.problem("a probe needs a `provider`"));
                };
                if let Some(arguments) = found.get("arguments") {
                    arguments.mapping("the `arguments` of a tolerance's probe, which get the output as `value`,")?;
                }
                Ok(Self::Probe(Box::new(provider(&found, variables)?)))
            }
            other => {
                let near = crate::domain::text::nearest(other, ["regex", "jsonpath", "range", "probe"]);
                let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                let at = node.get("type");
                let at = at.as_ref().unwrap_or(node);
                Err(at.problem(format!(
                    "there is no tolerance of type `{other}`{near} (there are regex, jsonpath, range, probe)"
                )))
            }
        }
    }

    /// Whether the output is tolerated, and why in words. A [`Tolerance::Probe`] is run by whoever runs probes.
    pub fn check(&self, output: &Value) -> (bool, String) {
        let status = || output.get("status").and_then(Value::as_i64);
        let told =
            |status: Option<i64>| status.map_or_else(|| "no status".to_owned(), |found| format!("status {found}"));
        match self {
            Self::Status(wanted) => (status() == Some(*wanted), format!("{}, tolerated is {wanted}", told(status()))),
            Self::Statuses(wanted) => {
                let all: Vec<String> = wanted.iter().map(i64::to_string).collect();
                let holds = status().is_some_and(|found| wanted.contains(&found));
                (holds, format!("{}, tolerated are {}", told(status()), all.join(", ")))
            }
            Self::Regex { target, pattern } => match output.get(target).and_then(Value::as_str) {
                None => (false, format!("{target} is no text")),
                Some(found) => match pattern.is_match(found) {
                    Ok(true) => (true, format!("{target} matches the pattern")),
                    Ok(false) => (false, format!("{target} does not match the pattern: `{}`", excerpt(found))),
                    Err(error) => (false, format!("the pattern was given up on {target}: {error}")),
                },
            },
            Self::JsonPath { target, path, count, expect } => {
                let part = target.as_deref().and_then(|target| output.get(target)).unwrap_or(output);
                let parsed = part.as_str().and_then(|text| serde_json::from_str(text).ok());
                let found = path.query(parsed.as_ref().unwrap_or(part)).all();
                let holds = match (expect, count) {
                    (Some(Value::Array(wanted)), _) => {
                        found.len() == wanted.len()
                            && found.iter().zip(wanted).all(|(found, wanted)| equal(found, wanted))
                    }
                    (Some(wanted), _) => matches!(found.as_slice(), [only] if equal(only, wanted)),
                    (None, Some(count)) => u64::try_from(found.len()) == Ok(*count),
                    (None, None) => !found.is_empty(),
                };
                let shown = Value::Array(found.iter().map(|value| (*value).clone()).collect()).to_string();
                (holds, format!("the path finds {}", excerpt(&shown)))
            }
            Self::Range { target, least, most } => {
                let found = output.get(target).unwrap_or(&Value::Null);
                let number = found.as_f64().or_else(|| found.as_str().and_then(|text| text.trim().parse().ok()));
                match number {
                    Some(number) => (
                        (*least..=*most).contains(&number),
                        format!("{target} {number}, tolerated is {least} to {most}"),
                    ),
                    None => (false, format!("{target} is no number: `{}`", excerpt(&text(found)))),
                }
            }
            Self::Probe(_) => {
                let well = status()
                    .is_some_and(|status| if output.get("body").is_some() { status < 400 } else { status == 0 });
                (well, format!("the probe of the tolerance ended with {}", told(status())))
            }
        }
    }
}

fn example(of: Kind) -> String {
    let target = of.texts().first().copied().unwrap_or_default();
    format!("such as {{type: regex, target: {target}, pattern: …}}; there are regex, jsonpath, range and probe")
}

/// A pattern of Python's with the meaning that it has there: `$` also matches before a line feed at the very end, and `\Z`
/// only at the very end.
fn python_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut letters = pattern.chars().peekable();
    // In a class `$` means itself, and `]` right after its start too.
    let mut class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('Z') if !class => out.push_str("\\z"),
                escaped => {
                    out.push('\\');
                    out.extend(escaped);
                }
            },
            '[' if !class => {
                class = true;
                out.push('[');
                out.extend(letters.next_if_eq(&'^'));
                if letters.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            // A class in a class is none to Python.
            '[' => out.push_str("\\["),
            ']' => {
                class = false;
                out.push(']');
            }
            '$' if !class => out.push_str("(?:$|(?=\\n\\z))"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tolerance(document: Value) -> Tolerance {
        Tolerance::parse(&Node::root(&document), Kind::Process, &Variables::default()).unwrap()
    }

    fn holds(document: Value, output: &Value) -> bool {
        tolerance(document).check(output).0
    }

    #[test]
    fn every_kind_of_tolerance_decides_as_chaos_toolkit_does() {
        let output = json!({"status": 2, "stdout": "{\"a\": [1, 2], \"ok\": true}\n", "stderr": " 3.5 \n"});
        for (document, expected) in [
            (json!(2), true),
            (json!(0), false),
            (json!([0, 2]), true),
            // Of a status two numbers are a choice, not a range.
            (json!([0, 5]), false),
            (json!({"type": "regex", "target": "stdout", "pattern": "\"ok\": true}$"}), true),
            (json!({"type": "regex", "target": "stdout", "pattern": "\"ok\": true}\\Z"}), false),
            (json!({"type": "regex", "target": "stdout", "pattern": "(?<=a\": )[$\\[]1"}), true),
            (json!({"type": "regex", "target": "stderr", "pattern": "^$"}), false),
            (json!({"type": "jsonpath", "target": "stdout", "path": "$.a[*]"}), true),
            (json!({"type": "jsonpath", "target": "stdout", "path": "$.b"}), false),
            (json!({"type": "jsonpath", "target": "stdout", "path": "$.a[*]", "count": 2}), true),
            (json!({"type": "jsonpath", "target": "stdout", "path": "$.a[*]", "count": 1}), false),
            (json!({"type": "jsonpath", "target": "stdout", "path": "$.a[*]", "expect": [1.0, 2]}), true),
            (json!({"type": "jsonpath", "target": "stdout", "path": "$.ok", "expect": true}), true),
            (json!({"type": "jsonpath", "target": "stdout", "path": "$.a[*]", "expect": 1}), false),
            (json!({"type": "jsonpath", "path": "$.status", "expect": 2}), true),
            (json!({"type": "range", "target": "stderr", "range": [3.5, 4]}), true),
            (json!({"type": "range", "target": "stderr", "range": [0, 3]}), false),
            (json!({"type": "range", "target": "stdout", "range": [0, 3]}), false),
            (json!({"type": "range", "target": "status", "range": [0, 3]}), true),
        ] {
            assert_eq!(holds(document.clone(), &output), expected, "{document}");
        }
    }

    #[test]
    fn a_pattern_that_takes_too_long_is_given_up() {
        let output = json!({"status": 0, "stdout": "a".repeat(40) + "b", "stderr": ""});
        let (held, why) =
            tolerance(json!({"type": "regex", "target": "stdout", "pattern": "^(?=(a|aa)+$)\\1+$"})).check(&output);
        assert!(!held && why.contains("stdout"), "{why}");
    }
}
