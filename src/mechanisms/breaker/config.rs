//! The section `circuit_breaker`: its keys, their defaults and the presets that fill in what is left out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::state::State;

/// Whose rules a breaker follows where the configuration says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Opens after consecutive failures, waits with exponential back-off, closes after consecutive successes.
    #[default]
    Efp,
    /// resilience4j 2.4: failure and slow-call rates over a count or time window.
    Resilience4j,
    /// Polly v8: failure ratio over a sampling duration, one probe while half-open.
    Polly,
    /// Consecutive failures, a fixed recovery timeout from the last failure, as many successes as trial calls.
    Aref,
}

impl Preset {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Efp, Self::Resilience4j, Self::Polly, Self::Aref];

    /// As it is written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Efp => "efp",
            Self::Resilience4j => "resilience4j",
            Self::Polly => "polly",
            Self::Aref => "aref",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a sliding window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowType {
    /// The last N calls.
    #[serde(alias = "COUNT_BASED")]
    CountBased,
    /// The calls of the last N seconds, in whole seconds of the clock.
    #[serde(alias = "TIME_BASED")]
    TimeBased,
}

/// Where a breaker goes when it has been half-open for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterHalfOpen {
    /// Back to open, with the next interval.
    #[serde(alias = "OPEN")]
    Open,
    /// To closed.
    #[serde(alias = "CLOSED")]
    Closed,
}

impl AfterHalfOpen {
    pub(super) const fn state(self) -> State {
        match self {
            Self::Open => State::Open,
            Self::Closed => State::Closed,
        }
    }
}

macro_rules! section {
    ($($(#[$note:meta])* $key:ident: $type:ty = $default:expr;)*) => {
        /// The section `circuit_breaker`. A key that is null has the preset's default
        /// ([`BreakerSettings::resolved`] tells it). A nullable key that the preset has no use for is an error when it is set.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct BreakerConfig {
            /// Whether calls go through breakers at all.
            pub enabled: bool,
            $($(#[$note])* pub $key: $type,)*
            /// Settings of single breakers, by `scope/dependency`. Each stands alone: a key left out has its preset's
            /// default, not the value of the section.
            pub instances: BTreeMap<String, BreakerSettings>,
        }

        impl Default for BreakerConfig {
            fn default() -> Self {
                Self { enabled: false, $($key: $default,)* instances: BTreeMap::new() }
            }
        }

        impl BreakerConfig {
            /// What a breaker without an entry in `instances` gets.
            pub fn settings(&self) -> BreakerSettings {
                BreakerSettings { $($key: self.$key.clone(),)* }
            }
        }

        /// The settings of one breaker.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct BreakerSettings {
            $($(#[$note])* pub $key: $type,)*
        }

        impl Default for BreakerSettings {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    };
}

section! {
    /// Whose rules apply.
    preset: Preset = Preset::Efp;
    /// Consecutive failures that open (efp, aref).
    failure_threshold: u32 = 5;
    /// Consecutive successful trial calls that close (efp, aref); at most `half_open_max_calls`.
    success_threshold: u32 = 3;
    /// aref: how long it stays open after the last failure. efp, where the back-off decides that: how long trial calls
    /// may stay out, once all are given away, before they count as failed; 0 is for ever. Milliseconds.
    timeout_ms: u64 = 30_000;
    /// Calls, or seconds, that the window holds. efp, aref 10; resilience4j 100; polly 30 (seconds).
    sliding_window_size: Option<u32> = None;
    /// Trial calls per half-open period (efp, aref).
    half_open_max_calls: u32 = 3;
    /// The first wait in open, milliseconds (efp).
    backoff_base_ms: u64 = 1_000;
    /// No wait is longer, milliseconds (efp).
    backoff_max_ms: u64 = 60_000;
    /// Each wait is this many times the one before (efp).
    backoff_multiplier: f64 = 2.0;
    /// The share of a wait that is drawn at random (efp): 0 none, 0.5 equal jitter, 1 full jitter.
    backoff_jitter: f64 = 0.0;
    /// Answers with a lower confidence are counted as degraded; the state does not depend on it.
    ml_confidence_threshold: f64 = 0.7;
    /// A longer call is a failure; 0 is no limit. efp 5000, others 0.
    call_timeout_ms: Option<u64> = None;
    /// Percent of failures in the window that opens, above 0 up to 100. resilience4j 50, polly 10, others none.
    failure_rate_threshold: Option<f64> = None;
    /// Percent of slow calls in the window that opens, above 0 up to 100. resilience4j 100, others none.
    slow_call_rate_threshold: Option<f64> = None;
    /// A call longer than this is slow, milliseconds. resilience4j 60000, others none.
    slow_call_duration_threshold_ms: Option<u64> = None;
    /// What the window holds. polly `time_based`, others `count_based`.
    sliding_window_type: Option<WindowType> = None;
    /// No rate counts before the window holds this many calls. resilience4j, polly 100; others the window's size.
    minimum_number_of_calls: Option<u32> = None;
    /// Trial calls per half-open period (resilience4j 10, polly 1).
    permitted_number_of_calls_in_half_open_state: Option<u32> = None;
    /// The first wait in open, milliseconds (resilience4j 60000, polly 5000).
    wait_duration_in_open_state_ms: Option<u64> = None;
    /// Each wait is this many times the one before, cut to whole milliseconds (resilience4j, polly; 1).
    exponential_backoff_multiplier: Option<f64> = None;
    /// No wait is longer, milliseconds (resilience4j, polly; no limit).
    exponential_max_wait_duration_in_open_state_ms: Option<u64> = None;
    /// A wait of x is drawn from x less to x plus this share of it, 0 up to 1 (resilience4j, polly; 0).
    randomized_wait_factor: Option<f64> = None;
    /// How long a half-open period may last, milliseconds; 0 is for ever.
    max_wait_duration_in_half_open_state_ms: u64 = 0;
    /// What follows then.
    transition_to_state_after_wait_duration: AfterHalfOpen = AfterHalfOpen::Open;
    /// Whether it becomes half-open as soon as the wait is over, not at the next call.
    automatic_transition_from_open_to_half_open_enabled: bool = false;
    /// The state to begin in.
    initial_state: State = State::Closed;
}

impl BreakerSettings {
    /// The defaults of `preset`.
    pub fn of(preset: Preset) -> Self {
        Self { preset, ..Self::default() }
    }

    /// The same settings with every key that the preset has a default for filled in, as they are in force.
    #[must_use]
    pub fn resolved(&self) -> Self {
        let mut all = self.clone();
        let rates = self.failure_rate_threshold.is_some() || self.slow_call_rate_threshold.is_some();
        let (size, timeout) = match self.preset {
            Preset::Efp => (10, 5_000),
            Preset::Aref => (10, 0),
            Preset::Resilience4j => (100, 0),
            Preset::Polly => (30, 0),
        };
        all.sliding_window_size.get_or_insert(size);
        all.call_timeout_ms.get_or_insert(timeout);
        all.sliding_window_type.get_or_insert(match self.preset {
            Preset::Polly => WindowType::TimeBased,
            _ => WindowType::CountBased,
        });
        match self.preset {
            Preset::Efp | Preset::Aref => {
                if rates {
                    all.minimum_number_of_calls.get_or_insert(all.sliding_window_size.unwrap_or(size));
                }
            }
            Preset::Resilience4j => {
                all.failure_rate_threshold.get_or_insert(50.0);
                all.slow_call_rate_threshold.get_or_insert(100.0);
                all.slow_call_duration_threshold_ms.get_or_insert(60_000);
                all.minimum_number_of_calls.get_or_insert(100);
                all.permitted_number_of_calls_in_half_open_state.get_or_insert(10);
                all.wait_duration_in_open_state_ms.get_or_insert(60_000);
            }
            Preset::Polly => {
                all.failure_rate_threshold.get_or_insert(10.0);
                all.minimum_number_of_calls.get_or_insert(100);
                all.permitted_number_of_calls_in_half_open_state.get_or_insert(1);
                all.wait_duration_in_open_state_ms.get_or_insert(5_000);
            }
        }
        if matches!(self.preset, Preset::Resilience4j | Preset::Polly) {
            all.exponential_backoff_multiplier.get_or_insert(1.0);
            all.randomized_wait_factor.get_or_insert(0.0);
        }
        if all.slow_call_rate_threshold.is_some() {
            all.slow_call_duration_threshold_ms.get_or_insert(60_000);
        }
        all
    }
}
