//! What is promised, as the mechanism keeps it: an objective with its indicator, its period and its alert rules. Made of
//! the section `sla` or of OpenSLO documents; knows neither.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::alert::Severity;
use super::calendar::Calendar;
use super::counters::Counters;
use super::ring::Ratio;

/// The units of OpenSLO's duration shorthand, each with its letter and its nominal length in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Unit {
    Minutes,
    Hours,
    Days,
    Weeks,
    Months,
    Quarters,
    Years,
}

impl Unit {
    const ALL: [(char, Self, u64); 7] = [
        ('m', Self::Minutes, 60),
        ('h', Self::Hours, 3_600),
        ('d', Self::Days, 86_400),
        ('w', Self::Weeks, 7 * 86_400),
        ('M', Self::Months, 30 * 86_400),
        ('Q', Self::Quarters, 90 * 86_400),
        ('Y', Self::Years, 365 * 86_400),
    ];
}

/// A span in OpenSLO's duration shorthand: a whole number and one of `m h d w M Q Y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// How many.
    pub count: u32,
    /// Of what.
    pub unit: Unit,
}

impl Span {
    /// The nominal length: a month has 30 days, a quarter 90, a year 365.
    pub fn seconds(self) -> u64 {
        let unit = Unit::ALL.iter().find(|(_, unit, _)| *unit == self.unit).map_or(60, |(.., seconds)| *seconds);
        u64::from(self.count) * unit
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = Unit::ALL.iter().find(|(_, unit, _)| *unit == self.unit).map_or('m', |(letter, ..)| *letter);
        write!(f, "{}{letter}", self.count)
    }
}

/// The text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration; write a whole number and one of m h d w M Q Y, as in 5m, 4w or 1M")]
pub struct NotASpan(pub String);

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let wrong = || NotASpan(text.to_owned());
        let letter = text.chars().last().ok_or_else(wrong)?;
        let (_, unit, _) = Unit::ALL.into_iter().find(|(known, ..)| *known == letter).ok_or_else(wrong)?;
        let digits = text.trim_end_matches(letter);
        let plain = digits.len() + letter.len_utf8() == text.len() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count = digits.parse().ok().filter(|count| plain && *count > 0).ok_or_else(wrong)?;
        Ok(Self { count, unit })
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Seconds in the shortest shorthand that says them exactly: `90m`, `6h`, `30d`.
pub fn shorthand(seconds: u64) -> String {
    match seconds {
        s if s.is_multiple_of(86_400) && s > 0 => format!("{}d", s / 86_400),
        s if s.is_multiple_of(3_600) && s > 0 => format!("{}h", s / 3_600),
        s if s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// How a figure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "OpenSLO's names: less, greater, or equal")]
pub enum Op {
    Lte,
    Gte,
    Lt,
    Gt,
}

impl Op {
    /// As Prometheus writes it.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Lte => "<=",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Gt => ">",
        }
    }

    /// Whether `left` stands so to `right`.
    pub fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Lte => left <= right,
            Self::Gte => left >= right,
            Self::Lt => left < right,
            Self::Gt => left > right,
        }
    }
}

/// Which evaluations count, and which of them are good.
#[derive(Debug, Clone, PartialEq)]
pub enum Indicator {
    /// Those of `total` that are also in `good`.
    Good {
        /// Which are good.
        good: Counters,
        /// Which count.
        total: Counters,
    },
    /// Those of `total` that are not in `bad`.
    Bad {
        /// Which are bad.
        bad: Counters,
        /// Which count.
        total: Counters,
    },
    /// Those of `total` that were answered with such a latency.
    Latency {
        /// How it is compared with the threshold.
        op: Op,
        /// Nanoseconds.
        threshold_ns: u64,
        /// Which count.
        total: Counters,
    },
    /// What another system counts; only rules can be written for it.
    Query {
        /// The good or, with `bad`, the bad events: PromQL with `{{.window}}` for the range.
        part: String,
        /// Whether `part` are the bad ones.
        bad: bool,
        /// All events, likewise.
        total: String,
    },
}

/// What the budget is counted in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budgeting {
    /// Events.
    Occurrences,
    /// Slices of time; one is good when at least this share of its events is. A slice without events does not count.
    Timeslices {
        /// A slice's length, seconds.
        seconds: u64,
        /// The share that makes it good.
        target: f64,
    },
    /// The average of the slices' shares.
    RatioTimeslices {
        /// A slice's length, seconds.
        seconds: u64,
    },
}

impl Budgeting {
    /// The slices' length, where there are slices.
    pub const fn slice(self) -> Option<u64> {
        match self {
            Self::Occurrences => None,
            Self::Timeslices { seconds, .. } | Self::RatioTimeslices { seconds } => Some(seconds),
        }
    }
}

/// Over which time the promise is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Window {
    /// The time up to now.
    Rolling(Span),
    /// A period of the calendar; the budget is whole again when the next one begins.
    Calendar(Calendar),
}

impl Window {
    /// Its nominal length, seconds: what burn-rate factors are derived from.
    pub fn seconds(&self) -> u64 {
        match self {
            Self::Rolling(span) => span.seconds(),
            Self::Calendar(calendar) => calendar.every.seconds(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rolling(span) => write!(f, "rolling {span}"),
            Self::Calendar(calendar) => {
                write!(f, "calendar {} from {} {}", calendar.every, calendar.start, calendar.zone)
            }
        }
    }
}

/// How many times faster than allowed the budget must burn, as a fraction, so that comparing needs no rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    num: u64,
    den: u64,
}

/// Parts of a million in which shares and thresholds are kept.
const MILLION: u64 = 1_000_000;
/// Parts in which error budgets are kept.
const BILLION: u64 = 1_000_000_000;

impl Factor {
    /// The burn rate at which `share` of the budget of `period` is gone within `long`, both in seconds:
    /// share x period / long (SRE workbook, chapter 5).
    pub fn of_share(share: f64, period: u64, long: u64) -> Self {
        let share = (share * MILLION as f64).round() as u64;
        Self::of(share * period, long.max(1) * MILLION)
    }

    /// This burn rate, to a millionth.
    pub fn of_rate(rate: f64) -> Self {
        Self::of((rate * MILLION as f64).round() as u64, MILLION)
    }

    fn of(num: u64, den: u64) -> Self {
        let (mut one, mut other) = (num, den);
        while other != 0 {
            (one, other) = (other, one % other);
        }
        let common = one.max(1);
        Self { num: num / common, den: den / common }
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// Whether `ratio` burns a budget of `budget` billionths so much faster (or slower, as `op` says): exactly.
    pub fn compare(self, op: Op, ratio: Ratio, budget: u64) -> bool {
        let burnt = u128::from(ratio.bad()).saturating_mul(u128::from(self.den) * u128::from(BILLION));
        let bound = u128::from(ratio.total).saturating_mul(u128::from(self.num).saturating_mul(u128::from(budget)));
        ratio.total > 0 && op.holds(burnt, bound)
    }
}

impl fmt::Display for Factor {
    /// With at most four digits after the point: `14.4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.value() * 1e4).round() / 1e4)
    }
}

/// When an alert fires: the burn rate over the long window and over the short one is beyond the factor.
#[derive(Debug, Clone, PartialEq)]
pub struct BurnRule {
    /// Its name, unique in its objective.
    pub name: String,
    /// The window that says that it matters, seconds.
    pub long: u64,
    /// The window that says that it still goes on, seconds.
    pub short: Option<u64>,
    /// How the burn rate is compared; `Gt` but for documents that ask for another.
    pub op: Op,
    /// With what.
    pub factor: Factor,
    /// The share of the budget that the factor was derived from.
    pub budget_share: Option<f64>,
    /// How bad it is.
    pub severity: Severity,
    /// For how long it must hold before it fires, seconds.
    pub after: u64,
    /// Fires when the burn rate is beyond the factor.
    pub when_breaching: bool,
    /// Whoever was told of it is told of its end.
    pub when_resolved: bool,
    /// Fires when nothing was counted for the whole long window.
    pub when_no_data: bool,
    /// How people are told.
    pub channels: Vec<String>,
}

impl BurnRule {
    /// The rule for this share of the budget of `period` within `long` (all spans in seconds), with the short window
    /// that the SRE workbook recommends: a twelfth of the long one.
    pub fn of_share(severity: Severity, share: f64, period: u64, long: u64, short: Option<u64>) -> Self {
        Self {
            name: format!("burn-{}", shorthand(long)),
            long,
            short: Some(short.unwrap_or((long / 12 / 60).max(1) * 60)),
            op: Op::Gt,
            factor: Factor::of_share(share, period, long),
            budget_share: Some(share),
            severity,
            after: 0,
            when_breaching: true,
            when_resolved: true,
            when_no_data: false,
            channels: severity.channels().iter().map(|channel| (*channel).to_owned()).collect(),
        }
    }
}

/// An objective.
#[derive(Debug, Clone, PartialEq)]
pub struct SloSpec {
    /// Its name, unique.
    pub name: String,
    /// What is promised, in words.
    pub promise: String,
    /// Of which service.
    pub service: String,
    /// What is counted.
    pub indicator: Indicator,
    /// The share that must be good, from 0 to below 1.
    pub target: f64,
    /// In what.
    pub budgeting: Budgeting,
    /// Over which time.
    pub window: Window,
    /// When alerts fire.
    pub rules: Vec<BurnRule>,
    /// No alert for a burn rate fires with fewer events than this in its long window; the section's when absent.
    pub minimum_events: Option<u64>,
}

impl SloSpec {
    /// The share that may be bad, billionths.
    pub fn budget(&self) -> u64 {
        // The target is checked to lie between 0 and 1, so this is from 1 to a billion.
        ((1.0 - self.target) * BILLION as f64).round().max(1.0) as u64
    }

    /// The share that may be bad, 0 to 1, without the noise of a binary fraction.
    pub fn allowed(&self) -> f64 {
        self.budget() as f64 / BILLION as f64
    }

    /// How many times faster than allowed this burns the budget: error ratio / (1 - target). `None` for nothing.
    pub fn burn_rate(&self, ratio: Ratio) -> Option<f64> {
        (ratio.total > 0).then(|| ratio.error_ratio() / self.allowed())
    }

    /// What of its rules will not work as its reader may think, a sentence each.
    pub fn doubts(&self) -> Vec<String> {
        let most = 1.0 / self.allowed();
        let mut doubts = Vec::new();
        for rule in &self.rules {
            let factor = rule.factor.value();
            let BurnRule { name, op, .. } = rule;
            if matches!(op, Op::Lt | Op::Lte) {
                doubts.push(format!("{}: rule {name} fires while the budget burns slowly ({})", self.name, op.sign()));
            } else if factor >= most {
                let target = percent(self.target);
                doubts.push(format!(
                    "{}: rule {name} can never fire: its factor is {}, and at a target of {target} % nothing burns \
                     faster than {most:.1}x",
                    self.name, rule.factor
                ));
            } else if factor < 1.0 {
                doubts.push(format!(
                    "{}: rule {name} fires at {}x, while the budget would last its period",
                    self.name, rule.factor
                ));
            }
        }
        doubts
    }
}

/// A share in percent, without the noise of a binary fraction: 99.999.
pub fn percent(share: f64) -> f64 {
    (share * 1e9).round() / 1e7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_and_anything_else_is_refused() {
        for text in ["5m", "12h", "30d", "4w", "1M", "1Q", "1Y"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["", "m", "5", "0m", "-1h", "5 m", "5s", "1.5h", "5mm", "99999999999d", "1é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    /// The table of the SRE workbook, chapter 5, with the row that Sloth adds.
    #[test]
    fn factors_follow_from_the_share_and_the_period() {
        let hour = 3_600;
        let factor =
            |share: f64, days: u64, hours: u64| Factor::of_share(share, days * 86_400, hours * hour).to_string();
        assert_eq!(factor(0.02, 30, 1), "14.4");
        assert_eq!(factor(0.05, 30, 6), "6");
        assert_eq!(factor(0.1, 30, 24), "3");
        assert_eq!(factor(0.1, 30, 72), "1");
        // A week's budget is another one: the factor must follow it.
        assert_eq!(factor(0.02, 7, 1), "3.36");
        assert_eq!(factor(0.05, 28, 6), "5.6");
    }

    #[test]
    fn comparing_is_strict_and_exact() {
        // 14.4 times a budget of a thousandth is 1.44 %: 144 of 10 000 are not more than that.
        let factor = Factor::of_share(0.02, 30 * 86_400, 3_600);
        let bad = |bad: u64| factor.compare(Op::Gt, Ratio { good: 10_000 - bad, total: 10_000 }, 1_000_000);
        assert_eq!((bad(144), bad(145)), (false, true));
        assert!(!factor.compare(Op::Gt, Ratio::default(), 1_000_000), "nothing burns nothing");
        assert!(factor.compare(Op::Gte, Ratio { good: 9_856, total: 10_000 }, 1_000_000));
    }
}
