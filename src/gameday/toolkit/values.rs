//! Values as Chaos Toolkit's Python treats them: how they are written as text, and when two are equal.

use serde_json::Value;

/// A value written as text, as `str()` writes it; a list or a mapping is written as JSON, since Python's own notation is
/// of no use to a process.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether two values are equal as Python has it: numbers by value, so 1 equals 1.0, and true equals 1.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => match (number(left), number(right)) {
            (Some(left), Some(right)) => left == right,
            _ => left == right,
        },
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

/// Seconds as they are told: at most three decimals, none that say nothing.
pub(super) fn seconds(span: std::time::Duration) -> String {
    let text = format!("{:.3}", span.as_secs_f64());
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The first line of a text, cut to what fits on a line of progress.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 120;
    let line = text.trim().lines().next().unwrap_or_default();
    let cut: String = line.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
    if cut.len() < text.trim().len() { format!("{cut} …") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equality_and_text_are_pythons() {
        assert!(equal(&json!([1, true]), &json!([1.0, 1])));
        assert!(equal(&json!({"a": 1, "b": 2}), &json!({"b": 2, "a": 1.0})));
        assert!(!equal(&json!("1"), &json!(1)));
        assert!(!equal(&json!([1]), &json!([1, 2])));
        assert_eq!([json!(true), json!(1.0), json!("x"), json!(null)].map(|v| text(&v)), ["True", "1.0", "x", "None"]);
    }

    #[test]
    fn texts_are_cut_and_seconds_rounded() {
        assert_eq!(excerpt("one\ntwo"), "one …");
        assert_eq!(excerpt(" one \n"), "one");
        assert_eq!(seconds(std::time::Duration::from_millis(1_500)), "1.5 s");
        assert_eq!(seconds(std::time::Duration::from_secs(100)), "100 s");
    }
}
