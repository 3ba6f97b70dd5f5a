//! The faults and the levels at which they are injected.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What can be injected. The order is that of the bits in an evaluation's `faults`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The answer is replaced by a wrong one.
    ResultCorruption,
    /// The answer comes late.
    LatencyInjection,
    /// There is an error instead of an answer.
    ExceptionInjection,
    /// The answer is the bare number, whatever matched.
    RuleEngineFailure,
    /// The answer's confidence is made up.
    ConfidenceManipulation,
}

impl Fault {
    /// All five.
    pub const ALL: [Self; 5] = [
        Self::ResultCorruption,
        Self::LatencyInjection,
        Self::ExceptionInjection,
        Self::RuleEngineFailure,
        Self::ConfidenceManipulation,
    ];

    /// As it is written in files and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResultCorruption => "result_corruption",
            Self::LatencyInjection => "latency_injection",
            Self::ExceptionInjection => "exception_injection",
            Self::RuleEngineFailure => "rule_engine_failure",
            Self::ConfidenceManipulation => "confidence_manipulation",
        }
    }

    /// All names, for a message.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Its bit in an evaluation's `faults`.
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Whether it touches the answer, rather than the way to it.
    pub const fn comes_after(self) -> bool {
        !matches!(self, Self::LatencyInjection | Self::ExceptionInjection)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How much is injected: 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    /// 5.
    pub const HIGHEST: Self = Self(5);

    /// 1 to 5; `None` for any other number.
    pub const fn new(number: u8) -> Option<Self> {
        if number >= 1 && number <= 5 { Some(Self(number)) } else { None }
    }

    /// 1 to 5.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The share of evaluations that one draw hits, in percent.
    const fn percent(self) -> u64 {
        match self.0 {
            1 => 5,
            2 => 15,
            3 => 30,
            4 => 50,
            _ => 80,
        }
    }

    /// The share of evaluations that one draw hits, 0 to 1.
    pub fn probability(self) -> f64 {
        self.percent() as f64 / 100.0
    }

    /// A draw of 32 random bits hits when it is below this.
    pub const fn threshold(self) -> u32 {
        // At most 80 % of 2^32, so it fits.
        (self.percent() * (1 << 32) / 100) as u32
    }

    /// Its name.
    pub const fn label(self) -> &'static str {
        match self.0 {
            1 => "Gentle Breeze",
            2 => "Stiff Wind",
            3 => "Proper Storm",
            4 => "Hurricane",
            _ => "Apocalypse",
        }
    }
}
