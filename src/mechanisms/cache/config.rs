//! The section `cache`, what can be wrong with it, and what an operator may do.

use serde::{Deserialize, Serialize};

use super::order::Policy;
use super::shards::MOST_SHARDS;
use crate::domain::ErrorCode;

/// The section `cache`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Whether it is in force.
    pub enabled: bool,
    /// How many answers it keeps, in all shards together.
    pub max_size: u64,
    /// How many bytes of output it keeps instead; `max_size` does not count then.
    pub max_weight: Option<u64>,
    /// How long an answer is good, seconds.
    pub ttl_seconds: f64,
    /// Which answer leaves when it is full.
    pub eviction_policy: Policy,
    /// Workers with caches of their own, kept coherent by MESI; evaluations go to them in turn.
    pub shards: u32,
    /// Whether answers that left get a few words.
    pub enable_eulogies: bool,
    /// Answers that are put in before the first evaluation.
    pub warming: WarmingConfig,
}

/// The section `cache.warming`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmingConfig {
    /// Whether it is done.
    pub enabled: bool,
    /// The first number.
    pub range_start: i64,
    /// The last number.
    pub range_end: i64,
}

impl Default for WarmingConfig {
    fn default() -> Self {
        Self { enabled: false, range_start: 1, range_end: 100 }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            max_size: 1_024,
            max_weight: None,
            ttl_seconds: 3_600.0,
            eviction_policy: Policy::Lru,
            shards: 1,
            enable_eulogies: true,
            warming: WarmingConfig::default(),
        }
    }
}

/// A setting is impossible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CacheError {
    /// No room, or more than memory should be spent on.
    #[error("cache.{key} is {value}; it must be from 1 to {most}")]
    Capacity {
        /// Which setting.
        key: &'static str,
        /// What it is.
        value: u64,
        /// The most that it may be.
        most: u64,
    },
    /// Not a time.
    #[error("cache.ttl_seconds is {0}; it must be above 0")]
    Ttl(f64),
    /// Start after end.
    #[error("cache.warming.range_start is {0}, after range_end, {1}")]
    Warming(i64, i64),
}

impl CacheError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Capacity { .. } => ErrorCode::CacheCapacity,
            Self::Ttl(_) => ErrorCode::Configuration,
            Self::Warming(..) => ErrorCode::CacheWarming,
        }
    }
}

const MOST_ENTRIES: u64 = 100_000_000;
const MOST_WEIGHT: u64 = 1 << 40;

impl CacheConfig {
    /// Whether it is possible.
    ///
    /// # Errors
    /// [`CacheError`] for the first setting that is not.
    pub fn check(&self) -> Result<(), CacheError> {
        let within = |key, value: u64, most| {
            if (1..=most).contains(&value) { Ok(()) } else { Err(CacheError::Capacity { key, value, most }) }
        };
        within("max_size", self.max_size, MOST_ENTRIES)?;
        within("max_weight", self.max_weight.unwrap_or(1), MOST_WEIGHT)?;
        within("shards", self.shards.into(), MOST_SHARDS.into())?;
        let WarmingConfig { range_start, range_end, .. } = self.warming;
        if range_start > range_end {
            return Err(CacheError::Warming(range_start, range_end));
        }
        Ok(())
    }
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheCommand {
    /// Forget every answer.
    Clear,
    /// Forget the answers for one number.
    Invalidate {
        /// Which.
        number: i64,
    },
    /// Forget the answers for a range of numbers.
    InvalidateRange {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// Let its clock be ahead of the session's by this much, or behind: what is kept grows old by its own clock.
    SkewClock {
        /// Milliseconds; 0 sets it right.
        by_ms: i64,
    },
    /// Let answers leave by another policy from now on.
    SetPolicy {
        /// Which.
        policy: Policy,
    },
}
