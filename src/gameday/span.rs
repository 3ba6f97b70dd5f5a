//! How long a part of a drill takes: in evaluations or in time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `20 evaluations`, or a time such as `500ms`, `30s`, `5m`, `2h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Finished evaluations.
    Evaluations(u64),
    /// Time of the engine's clock.
    Time(Duration),
}

/// A part of a drill is never longer: a hundred million evaluations, or a year.
pub const LONGEST: (u64, Duration) = (100_000_000, Duration::from_secs(366 * 86_400));

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Span {
    /// Nothing at all.
    pub const NONE: Self = Self::Evaluations(0);

    /// It takes nothing.
    pub const fn is_zero(self) -> bool {
        match self {
            Self::Evaluations(count) => count == 0,
            Self::Time(time) => time.is_zero(),
        }
    }

    /// Its length in time, if it has one.
    pub const fn time(self) -> Option<Duration> {
        match self {
            Self::Evaluations(_) => None,
            Self::Time(time) => Some(time),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no length; write 20 evaluations, or a time such as 500ms, 30s, 5m, 2h, 30d");
        let text = text.trim();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (figure, unit) = text.split_at(split);
        let unit = unit.trim();
        if unit.is_empty() || unit == "evaluations" || unit == "evaluation" {
            let count: u64 = figure.parse().map_err(|_| wrong())?;
            return if count <= LONGEST.0 {
                Ok(Self::Evaluations(count))
            } else {
                Err(format!("{count} evaluations are more than {}", LONGEST.0))
            };
        }
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let figure: f64 = figure.parse().map_err(|_| wrong())?;
        let longest = LONGEST.1.as_millis() as f64;
        // Whole milliseconds: far below 2^53, so nothing is lost.
        let time = Duration::from_millis((figure * *millis as f64).round().min(longest + 1.0) as u64);
        if time <= LONGEST.1 { Ok(Self::Time(time)) } else { Err(format!("{text} is longer than a year")) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evaluations(1) => f.pad("1 evaluation"),
            Self::Evaluations(count) => f.pad(&format!("{count} evaluations")),
            Self::Time(time) => {
                let millis = time.as_millis();
                let (name, unit) = UNITS
                    .iter()
                    .rev()
                    .find(|(_, unit)| millis >= u128::from(*unit) && millis.is_multiple_of(u128::from(*unit)))
                    .unwrap_or(&UNITS[0]);
                f.pad(&format!("{}{name}", millis / u128::from(*unit)))
            }
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Count(u64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Count(count) => count.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How long: a number of evaluations, or a time",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": LONGEST.0 },
                { "type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(evaluations?|ms|s|m|h|d)?\s*$" }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_read_and_written() {
        for (text, span, written) in [
            ("20", Span::Evaluations(20), "20 evaluations"),
            ("1 evaluation", Span::Evaluations(1), "1 evaluation"),
            ("30s", Span::Time(Duration::from_secs(30)), "30s"),
            ("1.5 m", Span::Time(Duration::from_secs(90)), "90s"),
            ("30d", Span::Time(Duration::from_secs(30 * 86_400)), "30d"),
            ("250ms", Span::Time(Duration::from_millis(250)), "250ms"),
        ] {
            assert_eq!(text.parse(), Ok(span));
            assert_eq!(span.to_string(), written);
        }
        for text in ["", "s", "-5s", "5 weeks", "1.5 evaluations", "9999999999", "9000d", "1e400s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0_u64..366 * 86_400_000, count in 0..LONGEST.0) {
            let time = Span::Time(Duration::from_millis(millis));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
            let count = Span::Evaluations(count);
            prop_assert_eq!(count.to_string().parse(), Ok(count));
        }
    }
}
