//! What is wrong with a YAML file, where, and what would be right.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::domain::text::nearest;

/// An error in a file that a user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: String,
    /// Line and column, from 1, where they are known.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and what would be right.
    pub problem: String,
    /// The line itself.
    pub source: String,
}

impl std::error::Error for Diagnostic {}

impl Diagnostic {
    /// A problem with the value of a key, given by its dotted path. Where the key cannot be found the file is named.
    pub fn at_key(text: &str, file: &str, path: &str, problem: String) -> Self {
        let place = find_key(text, path.split('.'));
        let source = place.and_then(|(line, _)| text.lines().nth(line - 1)).unwrap_or_default();
        Self { file: file.to_owned(), place, problem, source: source.to_owned() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            None => write!(f, "{}: {}", self.file, self.problem),
            Some((line, column)) => {
                let margin = line.to_string().len();
                writeln!(f, "{}:{line}:{column}: {}", self.file, self.problem)?;
                writeln!(f, "{:margin$} |", "")?;
                writeln!(f, "{line} | {}", self.source)?;
                write!(f, "{:margin$} | {:>column$}", "", "^")
            }
        }
    }
}

/// Reads a YAML file's text as `T`.
///
/// # Errors
/// [`Diagnostic`] with the place and the nearest valid name.
pub fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, Diagnostic> {
    let deserializer = serde_yaml::Deserializer::from_str(text);
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let message = inner.to_string();
        let place = locate(text, &message, &path).or_else(|| inner.location().map(|at| (at.line(), at.column())));
        let source = place.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1))).unwrap_or_default();
        // Some parsers put the section in front, which the path says in full.
        let section = path.split('.').next().unwrap_or_default();
        let said = message.strip_prefix(section).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&message);
        let problem = explain(said);
        let problem = if path == "." || problem.contains(&path) { problem } else { format!("{path}: {problem}") };
        Diagnostic { file: file.to_owned(), place, problem, source: source.to_owned() }
    })
}

/// The place of an unknown key: the parser only knows where its section began. The last part of the path is the key.
fn locate(text: &str, message: &str, path: &str) -> Option<(usize, usize)> {
    if !message.contains("unknown field") {
        return None;
    }
    let unknown = message.split('`').nth(1)?;
    // Sections above it are followed down by their indentation.
    let mut keys: Vec<&str> = path.split('.').filter(|key| *key != ".").collect();
    if keys.last() != Some(&unknown) {
        keys.push(unknown);
    }
    find_key(text, keys.into_iter())
}

/// Where a key stands, with the sections above it from the outermost on; line and column from 1. Sections are followed down
/// by their indentation.
fn find_key<'a>(text: &str, keys: impl Iterator<Item = &'a str>) -> Option<(usize, usize)> {
    let mut wanted = keys.map(|key| key.split('[').next().unwrap_or(key)).filter(|key| !key.is_empty()).peekable();
    // The column of the section's keys, once its first one was seen.
    let mut column = None;
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim_start_matches([' ', '-']);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let indent = line.len() - trimmed.len();
        let key = trimmed.split(':').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        if *column.get_or_insert(indent) == indent && wanted.peek() == Some(&key) {
            wanted.next();
            column = None;
            if wanted.peek().is_none() {
                return Some((at + 1, indent + 1));
            }
        }
    }
    None
}

/// A parser's message in our words: without its place, with the nearest valid name.
pub(super) fn explain(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = message.contains("unknown field") || message.contains("unknown variant");
    let Some(wrong) = names.next().filter(|_| unknown) else { return message.to_owned() };
    let valid: Vec<&str> = names.collect();
    let near = nearest(wrong, valid.iter().copied()).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let what = if message.contains("unknown field") { "unknown key" } else { "unknown value" };
    if valid.is_empty() {
        return format!("{what} `{wrong}`");
    }
    format!("{what} `{wrong}`{near} (there are {})", valid.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_yaml_is_told_with_its_place() {
        let error = parse::<serde_yaml::Value>("a: [1, 2\nb: 3\n", "x.yaml").unwrap_err();
        assert!(error.place.is_some(), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s)[a-c:\\[\\]{}\\- \n\"'&*|>!%@#0-9]{0,120}") {
            let _ = parse::<std::collections::BTreeMap<String, u8>>(&text, "x").is_ok();
        }
    }
}
