//! One evaluation's result: an outcome, an answer where there is one, and how it came about.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error_code::ErrorCode;
use super::rules::{RuleMask, RuleSet};

/// How an evaluation ended. Every evaluation has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has an answer (right or, under chaos, wrong).
    #[default]
    Ok,
    /// The caller may not evaluate this number.
    Denied,
    /// A breaker or a limit refused the call.
    Rejected,
    /// An error, injected or real.
    Failed,
    /// The answer did not come in time.
    TimedOut,
    /// The number is outside of what is accepted.
    Invalid,
}

impl Outcome {
    /// All six, in the order in which they are shown.
    pub const ALL: [Self; 6] = [Self::Ok, Self::Denied, Self::Rejected, Self::Failed, Self::TimedOut, Self::Invalid];

    /// As it is written in results: `ok`, `denied`, `rejected`, `failed`, `timed_out`, `invalid`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is shown to the caller. Text is joined only when somebody looks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Output {
    /// The number itself, in decimal.
    #[default]
    Decimal,
    /// The labels of these rules, joined.
    Labels(RuleMask),
    /// Another text: a translation, or a corruption.
    Text(Arc<str>),
}

impl Output {
    /// The honest output for these matches.
    pub const fn of(matched: RuleMask) -> Self {
        if matched.is_empty() { Self::Decimal } else { Self::Labels(matched) }
    }

    /// The text shown for `number` under `rules`.
    pub fn text<'a>(&'a self, number: i64, rules: &RuleSet) -> Cow<'a, str> {
        match self {
            Self::Decimal => Cow::Owned(number.to_string()),
            Self::Labels(mask) => Cow::Owned(rules.label(*mask).to_string()),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

/// Who gave the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Nobody: the evaluation ended before.
    #[default]
    None,
    /// The strategy computed it.
    Strategy,
    /// The cache had it.
    Cache,
}

impl Source {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Strategy => "strategy",
            Self::Cache => "cache",
        }
    }
}

/// Names a result for ever: the seed and the place in the session determine it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResultId(u128);

impl ResultId {
    /// The id of the evaluation with this sequence number in a session with this seed.
    ///
    /// Two rounds of `SplitMix64`'s finalizer (Steele, Lea, Flood 2014) over both, so that neighbours do not look alike.
    pub const fn new(seed: u64, sequence: u64) -> Self {
        let high = mix(seed ^ mix(sequence));
        let low = mix(high ^ sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self((high as u128) << 64 | low as u128)
    }
}

const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

impl fmt::Display for ResultId {
    /// A UUID of version 8 (RFC 9562, section 5.8: bits of one's own making).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Builder::from_custom_bytes(self.0.to_be_bytes()).into_uuid().fmt(f)
    }
}

/// A finished evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Its place in the session, from 0, in order of admission.
    pub sequence: u64,
    /// What was asked.
    pub number: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it did not end well; `None` when it did.
    pub error: Option<ErrorCode>,
    /// What is shown; meaningful when the outcome is `Ok`.
    pub output: Output,
    /// The rules that matched, as the answer claims.
    pub matched: RuleMask,
    /// Whether the answer is the right one; `false` also when there is no answer.
    pub correct: bool,
    /// Who gave the answer.
    pub source: Source,
    /// From admission to the end: waits for a place and between attempts, every attempt and injected latency included.
    /// Zero for what was refused on arrival.
    pub duration: Duration,
    /// When a rejected caller may try again.
    pub retry_after: Option<Duration>,
    /// The strategy's lowest confidence, where it has one, 0 to 1.
    pub confidence: Option<f32>,
    /// Injected faults that touched any of its attempts, a bit each in the order of the reference's table.
    pub faults: u8,
    /// How often it was tried; 0 where nothing is tried again.
    pub attempts: u32,
}

impl Evaluation {
    /// The right answer to `number`, computed by these rules, as a service without any mechanism gives it.
    pub fn computed(sequence: u64, number: i64, rules: &RuleSet, duration: Duration) -> Self {
        let matched = rules.matches(number, rules.all());
        Self {
            sequence,
            number,
            outcome: Outcome::Ok,
            error: None,
            output: Output::of(matched),
            matched,
            correct: true,
            source: Source::Strategy,
            duration,
            retry_after: None,
            confidence: None,
            faults: 0,
            attempts: 0,
        }
    }

    /// Its name, in a session with this seed.
    pub const fn id(&self, seed: u64) -> ResultId {
        ResultId::new(seed, self.sequence)
    }

    /// What a plain reader sees: the answer, or the outcome and the code in one word each.
    pub fn shown(&self, rules: &RuleSet) -> String {
        match (self.outcome, self.error) {
            (Outcome::Ok, _) => self.output.text(self.number, rules).into_owned(),
            (outcome, Some(code)) => format!("{} {}", outcome.name().to_uppercase(), code),
            (outcome, None) => outcome.name().to_uppercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_ids_are_uuids_that_the_seed_determines() {
        let id = ResultId::new(7, 0).to_string();
        assert_eq!(id, ResultId::new(7, 0).to_string());
        assert_ne!(id, ResultId::new(8, 0).to_string());
        assert_ne!(id, ResultId::new(7, 1).to_string());
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 8);
    }
}
