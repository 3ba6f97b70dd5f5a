//! Settings checked and put into the form that the state machine works with. Nothing here changes once made.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::config::{BreakerSettings, Preset, WindowType};
use super::error::BreakerError;
use super::state::State;

/// Milliseconds as nanoseconds, saturating.
const fn nanos(millis: u64) -> u64 {
    millis.saturating_mul(1_000_000)
}

/// How long it stays open, as a function of how often in a row it opened (1 is the first time).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wait {
    /// `base * multiplier^(n-1)`, at most `max`, in whole milliseconds; `jitter` of it is drawn at random.
    Backoff { base_ms: u64, multiplier: f64, max_ms: u64, jitter: f64 },
    /// resilience4j's interval: whole milliseconds, cut at every step, then `random` of it to either side.
    Interval { initial_ms: u64, multiplier: f64, max_ms: u64, random: f64 },
}

impl Wait {
    /// The wait before chance comes in, nanoseconds.
    pub(super) fn planned(&self, attempt: u32) -> u64 {
        match *self {
            Self::Backoff { base_ms, multiplier, max_ms, .. } => {
                let steps = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
                // A float that is too large for the integer saturates, and the cap cuts it.
                nanos(((base_ms as f64 * multiplier.powi(steps)) as u64).min(max_ms))
            }
            Self::Interval { initial_ms, multiplier, max_ms, .. } => {
                nanos(interval(initial_ms, multiplier, attempt).min(max_ms))
            }
        }
    }

    /// The wait of this time, nanoseconds.
    pub(super) fn draw(&self, attempt: u32, rng: &mut ChaCha8Rng) -> u64 {
        let planned = self.planned(attempt);
        match *self {
            Self::Backoff { jitter, .. } if jitter > 0.0 => {
                let ms = (planned / 1_000_000) as f64;
                nanos(((ms * (1.0 - jitter * rng.random::<f64>())) as u64).max(1))
            }
            Self::Interval { initial_ms, multiplier, max_ms, random } if random > 0.0 => {
                let ms = interval(initial_ms, multiplier, attempt) as f64;
                let low = ms - ms * random;
                let drawn = (low + rng.random::<f64>() * (2.0 * ms * random + 1.0)) as u64;
                nanos(drawn.clamp(1, max_ms))
            }
            _ => planned,
        }
    }
}

/// resilience4j's interval for the `attempt`-th time: every step is cut to whole milliseconds.
fn interval(initial_ms: u64, multiplier: f64, attempt: u32) -> u64 {
    let mut interval = initial_ms;
    for _ in 1..attempt {
        // Standing still (a multiplier of 1, a step of less than 1 ms, the end of the integer) ends the walk.
        let next = (interval as f64 * multiplier) as u64;
        if next == interval {
            break;
        }
        interval = next;
    }
    interval
}

/// The shape of the window over which closed is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The last so many calls.
    Calls(u32),
    /// So many seconds.
    Seconds(u32),
}

/// What one breaker goes by.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Policy {
    pub(super) preset: Preset,
    /// Consecutive failures that open.
    pub(super) consecutive: Option<u32>,
    /// Percent.
    pub(super) failure_rate: Option<f64>,
    /// Percent.
    pub(super) slow_rate: Option<f64>,
    /// A longer call is slow, nanoseconds.
    pub(super) slow_after: Option<u64>,
    /// Calls before a rate counts, in closed.
    pub(super) minimum: u32,
    /// Calls before a rate counts, in half-open.
    pub(super) trial_minimum: u32,
    /// Only a failure can be what tips it (Polly looks at the ratio when a call failed).
    pub(super) failures_tip: bool,
    pub(super) shape: Shape,
    /// Trial calls per half-open period.
    pub(super) trials: u32,
    /// Consecutive successes that close; without it the trial calls' rates decide.
    pub(super) successes: Option<u32>,
    /// Calls of an earlier period count in the present one, and any release frees a trial (resilience4j).
    pub(super) counts_late: bool,
    pub(super) wait: Wait,
    /// The wait is over strictly after its end (resilience4j), not at it.
    pub(super) strictly_after: bool,
    /// The wait runs from the last failure, a late one included (aref).
    pub(super) from_last_failure: bool,
    /// Longest half-open period, nanoseconds, and what follows.
    pub(super) half_open_limit: Option<(u64, State)>,
    /// Trial calls out for longer count as failed once no trial is left, nanoseconds.
    pub(super) abandon: Option<u64>,
    pub(super) automatic: bool,
    /// A longer call is a failure, nanoseconds.
    pub(super) call_timeout: Option<u64>,
    pub(super) confidence: f32,
    pub(super) initial: State,
}

/// The most calls that a window may hold: 16 MB.
const MOST_CALLS: u32 = 1_000_000;
/// The most seconds that a window may span: a day.
const MOST_SECONDS: u32 = 86_400;

fn within<T: PartialOrd + std::fmt::Display + Copy>(
    key: &str,
    value: T,
    least: T,
    most: T,
) -> Result<(), BreakerError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(BreakerError::configuration(key, format!("{value} is not between {least} and {most}")))
}

fn percent(key: &str, value: Option<f64>) -> Result<(), BreakerError> {
    match value {
        Some(value) if !(value > 0.0 && value <= 100.0) => {
            Err(BreakerError::configuration(key, format!("{value} is not above 0 and at most 100 (percent)")))
        }
        _ => Ok(()),
    }
}

fn unused(preset: Preset, keys: &[(&str, bool, &str)]) -> Result<(), BreakerError> {
    match keys.iter().find(|(_, set, _)| *set) {
        Some((key, _, instead)) => Err(BreakerError::configuration(
            *key,
            format!(
                "the preset {preset} does not use it{comma}{instead}",
                comma = if instead.is_empty() { "" } else { "; set " }
            ),
        )),
        None => Ok(()),
    }
}

impl Policy {
    /// Checks `settings`.
    pub(super) fn new(settings: &BreakerSettings) -> Result<Self, BreakerError> {
        let set = settings.resolved();
        let size = set.sliding_window_size.unwrap_or_default();
        let shape = match set.sliding_window_type {
            Some(WindowType::TimeBased) => Shape::Seconds(size),
            _ => Shape::Calls(size),
        };
        let most = if matches!(shape, Shape::Seconds(_)) { MOST_SECONDS } else { MOST_CALLS };
        within("sliding_window_size", size, 1, most)?;
        percent("failure_rate_threshold", set.failure_rate_threshold)?;
        percent("slow_call_rate_threshold", set.slow_call_rate_threshold)?;
        if set.slow_call_duration_threshold_ms == Some(0) {
            return Err(BreakerError::configuration("slow_call_duration_threshold_ms", "0 would make every call slow"));
        }
        within("ml_confidence_threshold", set.ml_confidence_threshold, 0.0, 1.0)?;
        if let Some(minimum) = set.minimum_number_of_calls {
            within("minimum_number_of_calls", minimum, 1, MOST_CALLS)?;
        }
        let minimum = set.minimum_number_of_calls.unwrap_or(1);
        let common = Self {
            preset: set.preset,
            consecutive: None,
            failure_rate: set.failure_rate_threshold,
            slow_rate: set.slow_call_rate_threshold,
            slow_after: set.slow_call_duration_threshold_ms.map(nanos),
            // A count window never holds more calls than its size, so a larger minimum would switch the rates off.
            minimum: if let Shape::Calls(size) = shape { minimum.min(size) } else { minimum },
            trial_minimum: 1,
            failures_tip: set.preset == Preset::Polly,
            shape,
            trials: 1,
            successes: None,
            counts_late: set.preset == Preset::Resilience4j,
            wait: Wait::Interval { initial_ms: 1, multiplier: 1.0, max_ms: u64::MAX, random: 0.0 },
            // Its timer for the automatic transition goes off at the end.
            strictly_after: set.preset == Preset::Resilience4j
                && !set.automatic_transition_from_open_to_half_open_enabled,
            from_last_failure: set.preset == Preset::Aref,
            half_open_limit: (set.max_wait_duration_in_half_open_state_ms > 0).then(|| {
                (
                    nanos(set.max_wait_duration_in_half_open_state_ms),
                    set.transition_to_state_after_wait_duration.state(),
                )
            }),
            abandon: None,
            automatic: set.automatic_transition_from_open_to_half_open_enabled,
            call_timeout: set.call_timeout_ms.filter(|ms| *ms > 0).map(nanos),
            confidence: set.ml_confidence_threshold as f32,
            initial: set.initial_state,
        };
        match set.preset {
            Preset::Efp | Preset::Aref => common.consecutive(&set, settings),
            Preset::Resilience4j | Preset::Polly => common.rates(&set),
        }
    }

    /// What the presets that count consecutive failures add.
    fn consecutive(mut self, set: &BreakerSettings, given: &BreakerSettings) -> Result<Self, BreakerError> {
        let no_rate = self.failure_rate.is_none() && self.slow_rate.is_none();
        let threshold = "failure_rate_threshold too, or leave it out";
        let wait = if set.preset == Preset::Efp { "backoff_base_ms" } else { "timeout_ms" };
        unused(
            set.preset,
            &[
                (
                    "permitted_number_of_calls_in_half_open_state",
                    given.permitted_number_of_calls_in_half_open_state.is_some(),
                    "half_open_max_calls",
                ),
                ("wait_duration_in_open_state_ms", given.wait_duration_in_open_state_ms.is_some(), wait),
                (
                    "exponential_backoff_multiplier",
                    given.exponential_backoff_multiplier.is_some(),
                    "backoff_multiplier",
                ),
                (
                    "exponential_max_wait_duration_in_open_state_ms",
                    given.exponential_max_wait_duration_in_open_state_ms.is_some(),
                    "backoff_max_ms",
                ),
                ("randomized_wait_factor", given.randomized_wait_factor.is_some(), "backoff_jitter"),
                ("minimum_number_of_calls", no_rate && given.minimum_number_of_calls.is_some(), threshold),
            ],
        )?;
        within("failure_threshold", set.failure_threshold, 1, u32::MAX)?;
        within("half_open_max_calls", set.half_open_max_calls, 1, MOST_CALLS)?;
        within("success_threshold", set.success_threshold, 1, u32::MAX)?;
        if set.success_threshold > set.half_open_max_calls {
            return Err(BreakerError::configuration(
                "success_threshold",
                format!(
                    "{} successes cannot come from half_open_max_calls = {} trial calls: it would never close",
                    set.success_threshold, set.half_open_max_calls
                ),
            ));
        }
        self.consecutive = Some(set.failure_threshold);
        self.trials = set.half_open_max_calls;
        self.successes = Some(set.success_threshold);
        if set.preset == Preset::Aref {
            within("timeout_ms", set.timeout_ms, 1, u64::MAX)?;
            self.wait = Wait::Interval { initial_ms: set.timeout_ms, multiplier: 1.0, max_ms: u64::MAX, random: 0.0 };
            return Ok(self);
        }
        within("backoff_base_ms", set.backoff_base_ms, 1, u64::MAX)?;
        within("backoff_max_ms", set.backoff_max_ms, set.backoff_base_ms, u64::MAX)?;
        within("backoff_multiplier", set.backoff_multiplier, 1.0, f64::MAX)?;
        within("backoff_jitter", set.backoff_jitter, 0.0, 1.0)?;
        self.wait = Wait::Backoff {
            base_ms: set.backoff_base_ms,
            multiplier: set.backoff_multiplier,
            max_ms: set.backoff_max_ms,
            jitter: set.backoff_jitter,
        };
        self.abandon = (set.timeout_ms > 0).then(|| nanos(set.timeout_ms));
        Ok(self)
    }

    /// What the presets that go by rates add.
    fn rates(mut self, set: &BreakerSettings) -> Result<Self, BreakerError> {
        let trials = set.permitted_number_of_calls_in_half_open_state.unwrap_or(1);
        within("permitted_number_of_calls_in_half_open_state", trials, 1, MOST_CALLS)?;
        let wait_ms = set.wait_duration_in_open_state_ms.unwrap_or_default();
        if set.preset == Preset::Polly {
            within("minimum_number_of_calls", set.minimum_number_of_calls.unwrap_or_default(), 2, MOST_CALLS)?;
            within("wait_duration_in_open_state_ms", wait_ms, 500, 86_400_000)?;
        } else {
            within("wait_duration_in_open_state_ms", wait_ms, 1, u64::MAX)?;
        }
        let multiplier = set.exponential_backoff_multiplier.unwrap_or(1.0);
        within("exponential_backoff_multiplier", multiplier, 1.0, f64::MAX)?;
        let random = set.randomized_wait_factor.unwrap_or_default();
        within("randomized_wait_factor", random, 0.0, 1.0)?;
        let max_ms = set.exponential_max_wait_duration_in_open_state_ms.unwrap_or(u64::MAX);
        within("exponential_max_wait_duration_in_open_state_ms", max_ms, wait_ms, u64::MAX)?;
        self.trials = trials;
        self.trial_minimum = set.minimum_number_of_calls.unwrap_or(1).min(trials);
        self.wait = Wait::Interval { initial_ms: wait_ms, multiplier, max_ms, random };
        Ok(self)
    }
}
