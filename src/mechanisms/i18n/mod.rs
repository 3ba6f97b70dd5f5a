//! Translation: the label in the active locale, and the program's own messages.
//!
//! Only the outputs Fizz, Buzz and FizzBuzz have translations. Whether an answer is right is judged by its matches, so
//! a locale never changes accuracy.
//!
//! ```
//! use fizzops::domain::{EventMask, Output, RuleSet, Source, Timestamp};
//! use fizzops::mechanisms::i18n::{I18nConfig, Translator};
//! use fizzops::pipeline::{Context, Middleware, Outbox};
//!
//! let rules = RuleSet::classic();
//! let mut translator = Translator::new(&I18nConfig { locale: "ja".into(), ..I18nConfig::default() }, &rules).unwrap();
//! let mut context = Context::new(0, 15, rules.all(), Timestamp::EPOCH);
//! context.answer(rules.matches(15, rules.all()), Source::Strategy);
//! translator.leave(&mut context, &mut Outbox::new(EventMask::NONE, 0));
//! assert_eq!(context.output, Output::Text("フィズバズ".into()));
//! ```

mod translation;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use translation::{Plural, Translation, TranslationError};

use crate::domain::text::nearest;
use crate::domain::{ErrorCode, Kind, Output, Payload, RuleMask, RuleSet};
use crate::pipeline::{Context, Middleware, Outbox};

/// The section `i18n`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct I18nConfig {
    /// Whether outputs are translated.
    pub enabled: bool,
    /// The locale at the start.
    pub locale: String,
}

impl Default for I18nConfig {
    fn default() -> Self {
        Self { enabled: true, locale: "en".into() }
    }
}

/// Why a locale is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum I18nError {
    /// No such locale.
    #[error("there is no locale `{name}`{hint}; there are {known}")]
    NotFound {
        /// As given.
        name: String,
        /// The nearest one.
        hint: String,
        /// All of them.
        known: String,
    },
    /// A file does not follow the grammar.
    #[error(transparent)]
    Parse(#[from] TranslationError),
}

impl I18nError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::LocaleNotFound,
            Self::Parse(_) => ErrorCode::TranslationParse,
        }
    }
}

/// What an operator may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum I18nCommand {
    /// Translate into another locale from now on.
    SetLocale {
        /// Its code.
        locale: String,
    },
}

/// The mechanism, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct I18nView {
    /// The active locale's code.
    pub locale: String,
    /// Its name.
    pub name: String,
    /// All codes.
    pub locales: Vec<String>,
    /// Outputs translated so far.
    pub translated: u64,
}

/// The locales that the program has.
#[derive(Debug, Clone)]
pub struct Catalogue {
    translations: Vec<Translation>,
}

impl Catalogue {
    /// The seven that are built in.
    ///
    /// # Errors
    /// [`TranslationError`] never, unless a file in locales/ was broken before the program was built; a test reads all.
    pub fn built_in() -> Result<Self, TranslationError> {
        const FILES: [(&str, &str); 7] = [
            ("de.fizztranslation", include_str!("../../../locales/de.fizztranslation")),
            ("en.fizztranslation", include_str!("../../../locales/en.fizztranslation")),
            ("fr.fizztranslation", include_str!("../../../locales/fr.fizztranslation")),
            ("ja.fizztranslation", include_str!("../../../locales/ja.fizztranslation")),
            ("qya.fizztranslation", include_str!("../../../locales/qya.fizztranslation")),
            ("sjn.fizztranslation", include_str!("../../../locales/sjn.fizztranslation")),
            ("tlh.fizztranslation", include_str!("../../../locales/tlh.fizztranslation")),
        ];
        let translations = FILES.iter().map(|(file, text)| Translation::parse(text, file)).collect::<Result<_, _>>()?;
        Ok(Self { translations })
    }

    /// The locales, by code.
    pub fn translations(&self) -> &[Translation] {
        &self.translations
    }

    /// One locale.
    ///
    /// # Errors
    /// [`I18nError::NotFound`] with the nearest code and all of them.
    pub fn get(&self, locale: &str) -> Result<&Translation, I18nError> {
        self.find(locale).ok_or_else(|| {
            let codes = || self.translations.iter().map(|translation| translation.locale.as_str());
            I18nError::NotFound {
                name: locale.to_owned(),
                hint: nearest(locale, codes()).map_or(String::new(), |near| format!("; did you mean `{near}`?")),
                known: codes().collect::<Vec<_>>().join(", "),
            }
        })
    }

    fn find(&self, locale: &str) -> Option<&Translation> {
        self.translations.iter().find(|translation| translation.locale == locale)
    }

    /// The text of `key` in `locale`, else in the locales that it falls back to, else in English, else the key itself.
    pub fn text<'a>(&'a self, locale: &str, key: &'a str) -> &'a str {
        let mut next = self.find(locale);
        // A chain cannot be longer than there are locales, so a circle ends too.
        for _ in 0..self.translations.len() {
            let Some(translation) = next else { break };
            if let Some(text) = translation.texts.get(key) {
                return text;
            }
            next = translation.fallback.as_deref().and_then(|fallback| self.find(fallback));
        }
        self.find("en").and_then(|english| english.texts.get(key)).map_or(key, String::as_str)
    }

    /// The text of `key` with each `${name}` replaced; placeholders that are not given stay.
    pub fn filled(&self, locale: &str, key: &str, values: &[(&str, String)]) -> String {
        values
            .iter()
            .fold(self.text(locale, key).to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
    }
}

/// The middleware, at priority 50.
#[derive(Debug)]
pub struct Translator {
    enabled: bool,
    catalogue: Catalogue,
    locale: String,
    /// The active locale's labels with the matches that they stand for; none where nothing changes.
    labels: Vec<(RuleMask, Arc<str>, Arc<str>)>,
    fizz: RuleMask,
    buzz: RuleMask,
    translated: u64,
}

impl Translator {
    /// As configured, over `rules`.
    ///
    /// # Errors
    /// [`I18nError::NotFound`] for an unknown locale.
    pub fn new(config: &I18nConfig, rules: &RuleSet) -> Result<Self, I18nError> {
        let mask = |label| rules.by_label(label).map_or(RuleMask::NONE, |index| RuleMask::NONE.with(index));
        let mut translator = Self {
            enabled: config.enabled,
            catalogue: Catalogue::built_in()?,
            locale: String::new(),
            labels: Vec::new(),
            fizz: mask("Fizz"),
            buzz: mask("Buzz"),
            translated: 0,
        };
        translator.switch(&config.locale)?;
        Ok(translator)
    }

    fn switch(&mut self, locale: &str) -> Result<(), I18nError> {
        self.catalogue.get(locale)?;
        let both = RuleMask(self.fizz.0 | self.buzz.0);
        self.labels = [(self.fizz, "Fizz"), (self.buzz, "Buzz"), (both, "FizzBuzz")]
            .into_iter()
            .map(|(mask, word)| (mask, word, self.catalogue.text(locale, &format!("labels.{word}")).to_owned()))
            .filter(|(_, word, label)| word != label)
            .map(|(mask, word, label)| (mask, Arc::from(word), Arc::from(label)))
            .collect();
        self.locale = locale.to_owned();
        Ok(())
    }

    /// Carries out a command; the answer is a sentence for the operator.
    ///
    /// # Errors
    /// [`I18nError::NotFound`] for an unknown locale; the old one stays.
    pub fn command(&mut self, command: &I18nCommand, out: &mut Outbox) -> Result<String, I18nError> {
        let I18nCommand::SetLocale { locale } = command;
        let from = self.locale.clone();
        self.switch(locale)?;
        out.emit(Kind::LocaleChanged, || Payload::LocaleChanged { from, to: locale.clone() });
        Ok(format!("outputs are in {locale} from now on"))
    }

    /// As it is shown.
    pub fn view(&self) -> I18nView {
        I18nView {
            locale: self.locale.clone(),
            name: self.catalogue.get(&self.locale).map(|found| found.name.clone()).unwrap_or_default(),
            locales: self.catalogue.translations().iter().map(|translation| translation.locale.clone()).collect(),
            translated: self.translated,
        }
    }
}

impl Middleware for Translator {
    fn name(&self) -> &'static str {
        "translation"
    }

    fn priority(&self) -> i16 {
        50
    }

    fn leave(&mut self, context: &mut Context, _out: &mut Outbox) {
        if !self.enabled || self.labels.is_empty() || !context.is_answered() {
            return;
        }
        let label = match &context.output {
            Output::Decimal => None,
            Output::Labels(matched) => self.labels.iter().find(|(mask, ..)| mask == matched),
            Output::Text(text) => self.labels.iter().find(|(_, word, _)| word == text),
        };
        if let Some((.., label)) = label {
            context.output = Output::Text(Arc::clone(label));
            self.translated += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, Rule, Source, Timestamp};

    #[test]
    fn the_seven_locales_have_the_same_keys_and_the_known_labels() {
        let catalogue = Catalogue::built_in().unwrap();
        let english: Vec<_> = catalogue.get("en").unwrap().texts.keys().collect();
        let mut labels = Vec::new();
        for translation in catalogue.translations() {
            assert_eq!(translation.texts.keys().collect::<Vec<_>>(), english, "{}", translation.locale);
            let words = ["Fizz", "Buzz", "FizzBuzz"].map(|word| catalogue.text(&translation.locale, word).to_owned());
            assert_eq!(words, ["Fizz", "Buzz", "FizzBuzz"], "a key needs its section");
            labels.push(catalogue.text(&translation.locale, "labels.FizzBuzz").to_owned());
        }
        let expected = [
            "SprudelSummen",
            "FizzBuzz",
            "PetillementBourdonnement",
            "フィズバズ",
            "WingeLáma",
            "HithGlamor",
            "ghumwab",
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn combinations_without_a_translation_stay() {
        let mut rules = RuleSet::classic().rules().to_vec();
        rules.push(Rule::new("WuzzRule", 7, "Wuzz", 3));
        let rules = RuleSet::new(rules).unwrap();
        let mut translator =
            Translator::new(&I18nConfig { locale: "de".into(), ..I18nConfig::default() }, &rules).unwrap();
        let mut out = Outbox::new(EventMask::NONE, 0);
        for (number, expected) in [(3, "Sprudel"), (21, "FizzWuzz"), (7, "Wuzz"), (1, "1")] {
            let mut context = Context::new(0, number, rules.all(), Timestamp::EPOCH);
            context.answer(rules.matches(number, rules.all()), Source::Strategy);
            translator.leave(&mut context, &mut out);
            assert_eq!(context.output.text(number, &rules), expected);
        }
        assert_eq!(translator.view().translated, 1);
    }

    #[test]
    fn an_unknown_locale_is_refused_and_the_old_one_stays() {
        let mut translator = Translator::new(&I18nConfig::default(), &RuleSet::classic()).unwrap();
        let mut out = Outbox::new(EventMask::NONE, 0);
        let error = translator.command(&I18nCommand::SetLocale { locale: "jp".into() }, &mut out).unwrap_err();
        assert!(error.to_string().contains("did you mean `ja`?"), "{error}");
        assert_eq!(translator.view().locale, "en");
    }

    #[test]
    fn messages_are_filled() {
        let catalogue = Catalogue::built_in().unwrap();
        let values = [("start", "1".to_owned()), ("end", "9".to_owned())];
        assert_eq!(catalogue.filled("en", "messages.evaluating", &values), "Evaluating 1 to 9");
        assert_eq!(catalogue.text("en", "no.such"), "no.such");
    }
}
