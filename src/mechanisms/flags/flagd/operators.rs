//! The logic engine with flagd's own operators. An operator that cannot work on what it was given yields null, so that
//! the default variant is served.

use std::cmp::Ordering;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::operator::EvalContext;
use datalogic_rs::{
    ArenaExt, CustomOperator, DataValue, DivisionByZeroHandling, Engine, EvaluationConfig, NanHandling,
};
use semver::Version;

use super::fractional::{Fractional, Generation};

/// An engine in which `fractional` is of this generation.
///
/// Loose equality and sums of what is no number yield false or null and are no errors (an order between a text and a
/// number, or a remainder by 0, is one). Constants are not folded, because flagd's operators look at the context behind their arguments.
pub(in crate::mechanisms::flags) fn engine(generation: Generation) -> Engine {
    let config = EvaluationConfig::default()
        .with_loose_equality_errors(false)
        .with_arithmetic_nan_handling(NanHandling::ReturnNull)
        .with_division_by_zero(DivisionByZeroHandling::ReturnNull);
    Engine::builder()
        .with_config(config)
        .with_constant_folding(false)
        .add_operator("fractional", Fractional(generation))
        .add_operator("starts_with", Affix(|text, affix| text.starts_with(affix)))
        .add_operator("ends_with", Affix(|text, affix| text.ends_with(affix)))
        .add_operator("sem_ver", SemVer)
        .build()
}

/// `starts_with` and `ends_with`: two strings.
struct Affix(fn(&str, &str) -> bool);

impl CustomOperator for Affix {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _context: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> datalogic_rs::Result<&'a DataValue<'a>> {
        Ok(match args {
            [DataValue::String(text), DataValue::String(affix)] => arena.bool((self.0)(text, affix)),
            _ => arena.null(),
        })
    }
}

/// `sem_ver`: a version, an operator, a version.
struct SemVer;

impl CustomOperator for SemVer {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _context: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> datalogic_rs::Result<&'a DataValue<'a>> {
        let holds = match args {
            [left, DataValue::String(operator), right] => holds(&text(left), operator, &text(right)),
            _ => None,
        };
        Ok(holds.map_or_else(|| arena.null(), |holds| arena.bool(holds)))
    }
}

/// The comparisons of `sem_ver`.
pub(super) const COMPARISONS: [&str; 8] = ["=", "!=", "<", "<=", ">", ">=", "^", "~"];

fn text(value: &DataValue<'_>) -> String {
    match value {
        DataValue::String(text) => (*text).to_owned(),
        DataValue::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn holds(left: &str, operator: &str, right: &str) -> Option<bool> {
    let (left, right) = (version(left)?, version(right)?);
    let order = left.cmp_precedence(&right);
    Some(match operator {
        "=" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        "^" => left.major == right.major,
        "~" => left.major == right.major && left.minor == right.minor,
        _ => return None,
    })
}

/// A version, which may begin with `v` and leave out minor and patch numbers; what follows `+` does not count.
pub(super) fn version(text: &str) -> Option<Version> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split('+').next()?;
    let (core, pre) = text.split_at(text.find('-').unwrap_or(text.len()));
    let padding = match core.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    Version::parse(&format!("{core}{padding}{pre}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rule: &str, data: &str) -> String {
        engine(Generation::V3).eval_str(rule, data).unwrap()
    }

    #[test]
    fn versions_compare_by_precedence() {
        for (left, operator, right, expected) in [
            ("2.0.0", "=", "2.0.0", Some(true)),
            ("2.0.0-alpha", "<", "2.0.0", Some(true)),
            ("2.0.0-alpha.2", "<", "2.0.0-alpha.10", Some(true)),
            ("v1.0.0", "=", "V1.0.0", Some(true)),
            ("1", "=", "1.0.0+build", Some(true)),
            ("1.2", ">=", "1.2.0", Some(true)),
            ("1.2", "<=", "1.1.9", Some(false)),
            ("1.2.3", "!=", "1.2.3+other", Some(false)),
            ("3.0.1", "~", "3.0.0", Some(true)),
            ("3.1.0", "~", "3.0.0", Some(false)),
            ("3.1.0", "^", "3.0.0", Some(true)),
            ("4.0.0", "^", "3.0.0", Some(false)),
            ("2.0.0.0", "=", "2.0.0", None),
            ("", "=", "1.0.0", None),
            ("1.0.0", "===", "1.0.0", None),
            ("01.0.0", "=", "1.0.0", None),
        ] {
            assert_eq!(holds(left, operator, right), expected, "{left} {operator} {right}");
        }
    }

    #[test]
    fn numbers_are_read_as_versions() {
        assert_eq!(answer(r#"{"sem_ver": [{"var": "v"}, "=", "1.2.0"]}"#, r#"{"v": 1.2}"#), "true");
        assert_eq!(answer(r#"{"sem_ver": [{"var": "v"}, "^", "1"]}"#, r#"{"v": 1.0}"#), "true");
        assert_eq!(answer(r#"{"sem_ver": [{"var": "v"}, "^", "1"]}"#, r#"{"v": true}"#), "null");
        assert_eq!(answer(r#"{"sem_ver": ["1.0.0", "="]}"#, "{}"), "null");
    }

    #[test]
    fn affixes_need_two_texts() {
        assert_eq!(answer(r#"{"starts_with": [{"var": "id"}, "abc"]}"#, r#"{"id": "abcdef"}"#), "true");
        assert_eq!(answer(r#"{"ends_with": [{"var": "id"}, "abc"]}"#, r#"{"id": "abcdef"}"#), "false");
        assert_eq!(answer(r#"{"ends_with": [{"var": "id"}, "3"]}"#, r#"{"id": 3}"#), "null");
        assert_eq!(answer(r#"{"starts_with": ["abc"]}"#, "{}"), "null");
    }

    #[test]
    fn equality_and_sums_of_what_is_no_number_are_no_errors() {
        assert_eq!(answer(r#"{"==": [{"var": "x"}, 1]}"#, r#"{"x": "abc"}"#), "false");
        assert_eq!(answer(r#"{"+": [{"var": "x"}, 1]}"#, r#"{"x": "abc"}"#), "null");
        assert_eq!(answer(r#"{"in": ["a", {"var": "x"}]}"#, r#"{"x": 7}"#), "false");
    }

    /// The logic crate offers no choice here; the flag's evaluation fails, and says why.
    #[test]
    fn ordering_a_text_against_a_number_and_remainders_by_zero_are_errors() {
        let engine = engine(Generation::V3);
        assert!(engine.eval_str(r#"{"<": [{"var": "x"}, 1]}"#, r#"{"x": "abc"}"#).is_err());
        assert!(engine.eval_str(r#"{"%": [{"var": "x"}, 0]}"#, r#"{"x": 7}"#).is_err());
        assert_eq!(answer(r#"{"<": [{"var": "x"}, 1]}"#, "{}"), "true", "what is missing counts as 0");
        assert_eq!(answer(r#"{"<": ["abc", "abd"]}"#, "{}"), "true");
    }

    #[test]
    fn the_shorthand_looks_at_the_context_though_its_arguments_are_constant() {
        let rule = r#"{"fractional": [["heads"], ["tails", 1]]}"#;
        let data =
            |key: &str| format!(r#"{{"targetingKey": "{key}", "$flagd": {{"flagKey": "fractional-flag-shorthand"}}}}"#);
        assert_eq!(answer(rule, &data("user-1")), "\"heads\"");
        assert_eq!(answer(rule, &data("user-2")), "\"tails\"");
        assert_eq!(answer(rule, "{}"), "null");
    }
}
