//! Rates as people write them: `100/second`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::LimitsError;

/// So many calls in so much time. Written `N/unit` with a unit of second, minute, hour or day, in the singular or the
/// plural, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

impl Rate {
    /// So many per second; at least 1.
    pub const fn per_second(count: u32) -> Self {
        Self { count: if count == 0 { 1 } else { count }, unit: Unit::Second }
    }

    /// How many; never 0.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// In how much time.
    pub const fn per(self) -> Duration {
        Duration::from_secs(self.unit.seconds())
    }
}

impl FromStr for Rate {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let refuse = |reason| LimitsError::Rate { text: text.to_owned(), reason };
        let (count, unit) = text.trim().split_once('/').ok_or_else(|| refuse("write it as 100/second"))?;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse("the part before the slash is not a number"));
        }
        let count: u32 = count.parse().map_err(|_| refuse("the number is above 4294967295"))?;
        if count == 0 {
            return Err(refuse("a limit of 0 would refuse everything for ever"));
        }
        let word = unit.to_ascii_lowercase();
        let singular = word.strip_suffix('s').unwrap_or(&word);
        let unit = Unit::ALL.into_iter().find(|unit| unit.name() == singular);
        unit.map(|unit| Self { count, unit }).ok_or_else(|| refuse("units are second, minute, hour, day"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.name())
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rate_reads_back(count in 1_u32.., unit in 0_usize..4, plural in any::<bool>(), upper in any::<bool>()) {
            let rate = Rate { count, unit: Unit::ALL[unit] };
            let mut text = rate.to_string();
            text.push_str(if plural { "s" } else { "" });
            let text = if upper { format!(" {} ", text.to_uppercase()) } else { text };
            prop_assert_eq!(text.parse::<Rate>(), Ok(rate));
            let json = serde_json::to_string(&rate).unwrap();
            prop_assert_eq!(serde_json::from_str::<Rate>(&json).unwrap(), rate);
        }

        #[test]
        fn other_texts_are_refused_and_never_a_panic(text in "[0-9]{0,3}[/ ]?[a-z/ ]{0,8}") {
            if let Ok(rate) = text.parse::<Rate>() {
                prop_assert!(rate.count() > 0 && text.contains(rate.unit.name()));
            }
        }
    }

    #[test]
    fn what_is_no_rate_is_told_why() {
        for (text, reason) in [
            ("100", "write it as 100/second"),
            ("0/minute", "a limit of 0 would refuse everything for ever"),
            ("+5/day", "the part before the slash is not a number"),
            ("/day", "the part before the slash is not a number"),
            ("5/week", "units are second, minute, hour, day"),
            ("5/seconds/2", "units are second, minute, hour, day"),
            ("99999999999/day", "the number is above 4294967295"),
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` is no rate: {reason}"));
        }
        assert_eq!("60/MINUTES".parse::<Rate>().unwrap().per(), Duration::from_secs(60));
    }
}
