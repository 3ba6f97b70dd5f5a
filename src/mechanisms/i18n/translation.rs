//! The `.fizztranslation` file: one locale's texts, line by line.

use std::collections::BTreeMap;

/// A locale's file, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Translation {
    /// Its code, e.g. `ja`.
    pub locale: String,
    /// Its name in itself.
    pub name: String,
    /// The locale to ask next; `None` ends the chain.
    pub fallback: Option<String>,
    /// When the plural form is used.
    pub plural: Plural,
    /// Texts by `section.key`.
    pub texts: BTreeMap<String, String>,
}

/// When a count takes the plural form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plural {
    /// Never: there is one form.
    Never,
    /// `n != 1`.
    #[default]
    NotOne,
    /// `n > 1`.
    AboveOne,
}

impl Plural {
    /// Reads a rule.
    fn parse(text: &str) -> Option<Self> {
        match text.split_whitespace().collect::<String>().as_str() {
            "0" | "japanese" | "klingon" => Some(Self::Never),
            "n!=1" | "english" | "german" | "sindarin" | "quenya" => Some(Self::NotOne),
            "n>1" | "french" => Some(Self::AboveOne),
            _ => None,
        }
    }

    /// As it is written in files.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Never => "0",
            Self::NotOne => "n != 1",
            Self::AboveOne => "n > 1",
        }
    }
}

/// A line does not follow the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct TranslationError {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Translation {
    /// Reads a file's text; `file` is named in errors.
    ///
    /// # Errors
    /// [`TranslationError`] at the first line that does not follow the grammar.
    pub fn parse(text: &str, file: &str) -> Result<Self, TranslationError> {
        let mut translation = Self::default();
        let mut section = String::from("misc");
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        while let Some((line, raw)) = lines.next() {
            let trimmed = raw.trim();
            let column = raw.len() - raw.trim_start().len() + 1;
            let error = |problem: String| TranslationError { file: file.to_owned(), line, column, problem };
            if trimmed.is_empty() || trimmed.starts_with(";;") || trimmed.starts_with('#') {
                continue;
            }
            if let Some(meta) = trimmed.strip_prefix('@') {
                let (key, value) =
                    meta.split_once('=').ok_or_else(|| error("metadata is written `@key = value`".into()))?;
                translation.meta(key.trim(), value.trim()).map_err(error)?;
            } else if let Some(name) = trimmed.strip_prefix('[') {
                let name = name.strip_suffix(']').filter(|name| !name.trim().is_empty());
                section = name.ok_or_else(|| error("a section is written `[name]`".into()))?.trim().to_owned();
            } else {
                let (key, value) =
                    trimmed.split_once('=').ok_or_else(|| error("a text is written `key = text`".into()))?;
                let (key, mut value) = (key.trim(), value.trim().to_owned());
                if key.is_empty() {
                    return Err(error("the key before `=` is missing".into()));
                }
                if let Some(end) = value.strip_prefix("<<").map(|end| end.trim().to_owned()) {
                    let mut kept = Vec::new();
                    loop {
                        match lines.next() {
                            Some((_, line)) if line.trim() == end => break,
                            Some((_, line)) => kept.push(line),
                            None => {
                                return Err(error(format!("the text that starts here is not ended by a line `{end}`")));
                            }
                        }
                    }
                    value = kept.join("\n");
                }
                translation.texts.insert(format!("{section}.{key}"), value);
            }
        }
        if translation.locale.is_empty() {
            let problem = String::from("`@locale = CODE` is missing");
            return Err(TranslationError { file: file.to_owned(), line: 1, column: 1, problem });
        }
        Ok(translation)
    }

    fn meta(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "locale" => self.locale = value.to_owned(),
            "name" => self.name = value.to_owned(),
            "fallback" => self.fallback = (value != "none").then(|| value.to_owned()),
            "plural_rule" => {
                self.plural = Plural::parse(value)
                    .ok_or_else(|| format!("`{value}` is no plural rule; there are `0`, `n != 1` and `n > 1`"))?;
            }
            _ => return Err(format!("`@{key}` is unknown; there are @locale, @name, @fallback and @plural_rule")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_is_read() {
        let text = ";; a comment\n@locale = xx\n@fallback = none\n@plural_rule = n > 1\n\n[labels]\nFizz = F = f\n\
                    [banner]\ntitle = <<END\n two\nlines\nEND\n";
        let read = Translation::parse(text, "x").unwrap();
        assert_eq!((read.locale.as_str(), read.fallback, read.plural), ("xx", None, Plural::AboveOne));
        assert_eq!(read.texts["labels.Fizz"], "F = f");
        assert_eq!(read.texts["banner.title"], " two\nlines");
    }

    #[test]
    fn errors_name_the_place() {
        let place = |text: &str| Translation::parse(text, "x.fizztranslation").unwrap_err().to_string();
        assert!(place("@locale = x\n  nonsense").starts_with("x.fizztranslation:2:3: a text is written"));
        assert!(place("@locale = x\n[a]\nk = <<END\nmore").contains(":3:1: the text that starts here"));
        assert!(place("").contains("@locale"));
        assert!(place("@plural_rule = n % 2").contains("no plural rule"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s)[@\\[\\]=<;# \na-zF${}]{0,200}") {
            if let Err(error) = Translation::parse(&text, "x") {
                prop_assert!(error.line >= 1 && error.column >= 1);
            }
        }
    }
}
