//! Permissions: `resource:range:action`, and whether one that is held covers one that is needed.

use std::fmt;
use std::str::FromStr;

/// Which numbers a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// `*`
    All,
    /// `fizz`: multiples of 3.
    Fizz,
    /// `buzz`: multiples of 5.
    Buzz,
    /// `fizzbuzz`: multiples of 15.
    FizzBuzz,
    /// `a-b`, both inclusive, or a single number. Negative ones are written as they are: `-5--1`.
    Between(i64, i64),
}

impl Range {
    /// Whether it covers `number`.
    pub const fn covers(self, number: i64) -> bool {
        match self {
            Self::All => true,
            Self::Fizz => number % 3 == 0,
            Self::Buzz => number % 5 == 0,
            Self::FizzBuzz => number % 15 == 0,
            Self::Between(from, to) => from <= number && number <= to,
        }
    }
}

/// A permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// On what: `numbers`.
    pub resource: String,
    /// On which of them.
    pub range: Range,
    /// To do what: `read`, `evaluate`, `configure`, `audit`.
    pub action: String,
}

/// The text is no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no permission; write resource:range:action, e.g. numbers:1-50:evaluate")]
pub struct PermissionError(pub String);

impl FromStr for Permission {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        let wrong = || PermissionError(text.to_owned());
        let parts: Vec<&str> = text.split(':').collect();
        let [resource, range, action] = parts[..] else { return Err(wrong()) };
        if resource.is_empty() || action.is_empty() {
            return Err(wrong());
        }
        let range = match range {
            "*" => Range::All,
            "fizz" => Range::Fizz,
            "buzz" => Range::Buzz,
            "fizzbuzz" => Range::FizzBuzz,
            numbers => between(numbers).ok_or_else(wrong)?,
        };
        Ok(Self { resource: resource.to_owned(), range, action: action.to_owned() })
    }
}

fn between(text: &str) -> Option<Range> {
    if let Ok(single) = text.parse() {
        return Some(Range::Between(single, single));
    }
    // The dash between two numbers is the first one that is not a sign.
    let dash = text.char_indices().skip(1).find(|(_, letter)| *letter == '-')?.0;
    let (from, to) = (text.get(..dash)?.parse().ok()?, text.get(dash + 1..)?.parse().ok()?);
    Some(Range::Between(from, to))
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, range, action } = self;
        match range {
            Range::All => write!(f, "{resource}:*:{action}"),
            Range::Fizz => write!(f, "{resource}:fizz:{action}"),
            Range::Buzz => write!(f, "{resource}:buzz:{action}"),
            Range::FizzBuzz => write!(f, "{resource}:fizzbuzz:{action}"),
            Range::Between(from, to) if from == to => write!(f, "{resource}:{from}:{action}"),
            Range::Between(from, to) => write!(f, "{resource}:{from}-{to}:{action}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_grammar_is_read_and_written() {
        for text in ["numbers:*:evaluate", "numbers:fizz:read", "numbers:1-50:evaluate", "numbers:7:read", "n:-5--1:x"]
        {
            assert_eq!(text.parse::<Permission>().unwrap().to_string(), text);
        }
        for text in ["numbers:evaluate", "a:b:c:d", "numbers:1-:read", "numbers::read", ":1:read", "numbers:-:read"] {
            assert!(text.parse::<Permission>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn ranges_of_any_sign_read_back(from in -100i64..100, to in -100i64..100, number in -120i64..120) {
            let permission: Permission = format!("numbers:{from}-{to}:read").parse().unwrap();
            prop_assert_eq!(permission.range.covers(number), (from..=to).contains(&number));
        }
    }
}
