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
        let told = inner.location().map(|at| (at.line(), at.column()));
        // A value that is wrong for a reason of ours has no place of its own, only its section's.
        let key = || told.is_none_or(|at| at == (1, 1)).then(|| find_key(text, path.split('.'))).flatten();
        let place = locate(text, &message, &path).or_else(key).or(told);
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

/// Where a key stands, with the sections above it from the outermost on, each with the index of an element after it where
/// the section is a list (`phases[2]`); line and column from 1. Blocks are followed down by their indentation; what is
/// written in braces or brackets is looked for on its line.
fn find_key<'a>(text: &str, keys: impl Iterator<Item = &'a str>) -> Option<(usize, usize)> {
    let mut block: Vec<Row<'_>> = text
        .lines()
        .enumerate()
        .map(|(at, line)| Row { at: at + 1, indent: line.len() - line.trim_start().len(), text: line.trim_start() })
        .filter(|row| !row.text.is_empty() && !row.text.starts_with('#'))
        .collect();
    let mut found = None;
    for key in keys.filter(|key| !key.is_empty()) {
        let (name, indexes) = key.split_once('[').map_or((key, ""), |(name, rest)| (name, rest.trim_end_matches(']')));
        if !name.is_empty() {
            let (place, inner) = within_mapping(&block, name)?;
            (found, block) = (Some(place), inner);
        }
        for index in indexes.split("][").filter(|index| !index.is_empty()) {
            let Some((place, inner)) = index.parse().ok().and_then(|index| element(&block, index)) else { break };
            (found, block) = (Some(place), inner);
        }
    }
    found
}

/// A line with something on it.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    at: usize,
    indent: usize,
    text: &'a str,
}

/// Where `name` stands in a block, and the block below it.
fn within_mapping<'a>(block: &[Row<'a>], name: &str) -> Option<((usize, usize), Vec<Row<'a>>)> {
    let first = block.first()?;
    let named = |row: &Row<'_>| {
        row.indent == first.indent
            && row.text.split(':').next().unwrap_or_default().trim().trim_matches(['"', '\'']) == name
    };
    if let Some(at) = block.iter().position(named) {
        let row = block.get(at)?;
        let after = row.text.split_once(':').map_or("", |(_, after)| after).trim_start();
        let below = block.iter().skip(at + 1);
        // The elements of a list may be indented as far as their key.
        let inner =
            |below: &&Row<'_>| below.indent > row.indent || (below.indent == row.indent && below.text.starts_with('-'));
        let mut rows: Vec<Row<'a>> = below.take_while(inner).copied().collect();
        if !after.is_empty() && !after.starts_with(['#', '|', '>']) {
            rows = vec![Row { at: row.at, indent: row.indent + row.text.len() - after.len(), text: after }];
        }
        return Some(((row.at, row.indent + 1), rows));
    }
    // In braces: on a line of the block.
    block.iter().find_map(|row| {
        let at = row.text.match_indices(name).find(|(at, _)| {
            let before = row.text.get(..*at).and_then(|before| before.chars().next_back());
            let after = row.text.get(at + name.len()..).unwrap_or_default().trim_start();
            before.is_some_and(|c| c == ' ' || c == '{' || c == ',') && after.starts_with(':')
        })?;
        let rest = row.text.get(at.0 + name.len() + 1..).unwrap_or_default();
        let inner = Row { at: row.at, indent: row.indent + at.0 + name.len() + 1, text: rest };
        Some(((row.at, row.indent + at.0 + 1), vec![inner]))
    })
}

/// Where element number `index` of a list stands, and what is in it.
fn element<'a>(block: &[Row<'a>], index: usize) -> Option<((usize, usize), Vec<Row<'a>>)> {
    let first = block.first()?;
    let mut starts =
        block.iter().enumerate().filter(|(_, row)| row.indent == first.indent && row.text.starts_with('-'));
    let (at, row) = starts.nth(index)?;
    let text = row.text.get(1..).unwrap_or_default();
    let own =
        Row { at: row.at, indent: row.indent + row.text.len() - text.trim_start().len(), text: text.trim_start() };
    let below = block.iter().skip(at + 1).take_while(|below| below.indent > row.indent);
    Some(((own.at, own.indent + 1), std::iter::once(own).chain(below.copied()).collect()))
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

    #[test]
    fn keys_are_found_in_blocks_lists_and_braces() {
        let text = "\
name: x
# a comment
phases:
  - name: A
    inject:
      - fault: hang
        rate: 2
      - { fault: slow, rate: 3 }
  - name: B
expect:
- { probe: a, at_least: 1 }
- probe: b
  at_most: 2
flow: { inner: { level: 3 }, list: [1, 2] }
";
        for (path, line, column) in [
            ("name", 1, 1),
            ("phases", 3, 1),
            ("phases[0].name", 4, 5),
            ("phases[1].name", 9, 5),
            ("phases[0].inject[0].rate", 7, 9),
            ("phases[0].inject[1].rate", 8, 24),
            ("expect[0].at_least", 11, 15),
            ("expect[1].at_most", 13, 3),
            ("expect[1]", 12, 3),
            ("flow.inner.level", 14, 18),
        ] {
            assert_eq!(find_key(text, path.split('.')), Some((line, column)), "{path}");
        }
        assert_eq!(find_key(text, "nowhere".split('.')), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_finding_a_key_panic(text in "(?s)[a-c:\\[\\]{}\\- \n,]{0,80}", path in "[a-c\\[\\]0-2.]{0,12}") {
            let _ = find_key(&text, path.split('.'));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(?s)[a-c:\\[\\]{}\\- \n\"'&*|>!%@#0-9]{0,120}") {
            let _ = parse::<std::collections::BTreeMap<String, u8>>(&text, "x").is_ok();
        }
    }
}
