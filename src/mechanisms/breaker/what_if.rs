//! The same recorded calls under two configurations: when each would have opened, and which calls it would have refused.
//!
//! A replay of what happened, not a forecast: a call keeps the outcome and the duration that were recorded, although
//! under another configuration the load, and with it the outcomes, might have been different.
//!
//! ```
//! use std::time::Duration;
//! use fizzops::domain::Timestamp;
//! use fizzops::mechanisms::breaker::{BreakerSettings, RecordedCall, what_if};
//!
//! let calls: Vec<_> = (0..20)
//!     .map(|number| RecordedCall {
//!         at: Timestamp::from_millis(1_000 + 50 * number as u64),
//!         duration: Duration::from_millis(10),
//!         success: number < 3,
//!         number,
//!     })
//!     .collect();
//! let five = BreakerSettings::default();
//! let nine = BreakerSettings { failure_threshold: 9, ..five.clone() };
//! let answer = what_if(&calls, &five, &nine, 0)?;
//! assert_eq!(answer.to_string(), "would have opened 0.2 s later and refused 4 calls fewer");
//! # Ok::<(), fizzops::mechanisms::breaker::BreakerError>(())
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::config::BreakerSettings;
use super::error::BreakerError;
use super::explain::Transition;
use super::machine::{Breaker, Ended, Permit};
use super::state::State;
use crate::domain::{Timestamp, time};

/// A call that was made, as it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCall {
    /// When it was admitted.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Whether it succeeded.
    pub success: bool,
    /// What was asked.
    pub number: i64,
}

/// What one configuration would have made of the calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Every change of state, in order.
    pub transitions: Vec<Transition>,
    /// The calls that would have been refused: their places in the recording, ascending.
    pub refused: Vec<usize>,
    /// Failed calls among the refused: what the breaker would have spared.
    pub spared: u64,
    /// When it would have opened first.
    pub opened: Option<Timestamp>,
    /// How long it would have been open altogether, milliseconds.
    pub open_ms: f64,
}

/// Two timelines of one recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhatIf {
    /// Calls in the recording.
    pub calls: usize,
    /// Under the first configuration.
    pub first: Timeline,
    /// Under the second.
    pub second: Timeline,
}

/// Replays `calls` under both configurations. Calls may overlap and need not be in order; a call that ends when
/// another begins has ended before. `seed` is for jitter, the same for both.
///
/// # Errors
/// [`BreakerError::Configuration`] for an impossible value in either.
pub fn what_if(
    calls: &[RecordedCall],
    first: &BreakerSettings,
    second: &BreakerSettings,
    seed: u64,
) -> Result<WhatIf, BreakerError> {
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(|index| calls.get(*index).map(|call| call.at));
    Ok(WhatIf {
        calls: calls.len(),
        first: replay(calls, &order, first, seed)?,
        second: replay(calls, &order, second, seed)?,
    })
}

struct Replay<'a> {
    calls: &'a [RecordedCall],
    breaker: Breaker,
    /// Calls on their way: when each ends, its place, its ticket.
    out: BinaryHeap<Reverse<(Timestamp, usize, u64)>>,
    transitions: Vec<Transition>,
    now: Timestamp,
}

fn replay(
    calls: &[RecordedCall],
    order: &[usize],
    settings: &BreakerSettings,
    seed: u64,
) -> Result<Timeline, BreakerError> {
    let start = order.first().and_then(|index| calls.get(*index)).map_or(Timestamp::EPOCH, |call| call.at);
    let breaker = Breaker::new(settings, start, ChaCha8Rng::seed_from_u64(seed))?;
    let initial = breaker.state();
    let mut replay = Replay { calls, breaker, out: BinaryHeap::new(), transitions: Vec::new(), now: start };
    let (mut refused, mut spared) = (Vec::new(), 0);
    for index in order {
        let Some(call) = calls.get(*index) else { continue };
        replay.finish_until(call.at);
        replay.now = call.at;
        match replay.breaker.acquire(call.at) {
            Ok(permit) => replay.out.push(Reverse((call.at + call.duration, *index, permit.ticket()))),
            Err(_) => {
                refused.push(*index);
                spared += u64::from(!call.success);
            }
        }
        replay.collect();
    }
    replay.finish_until(Timestamp::MAX);
    refused.sort_unstable();
    let Replay { transitions, now, .. } = replay;
    let opened = match initial {
        State::Open | State::ForcedOpen => Some(start),
        _ => transitions.iter().find(|transition| transition.to == State::Open).map(|transition| transition.at),
    };
    let open_ms = open_time(initial, start, &transitions, now).as_secs_f64() * 1e3;
    Ok(Timeline { transitions, refused, spared, opened, open_ms })
}

impl Replay<'_> {
    fn finish_until(&mut self, moment: Timestamp) {
        while let Some(Reverse((at, index, ticket))) = self.out.peek().copied() {
            if at > moment {
                return;
            }
            self.out.pop();
            self.now = at;
            if let Some(call) = self.calls.get(index) {
                let (number, duration) = (call.number, call.duration);
                let ended = Ended { number, failed: !call.success, error: None, duration, confidence: None };
                self.breaker.finish(Permit::from_ticket(ticket), &ended, at);
            }
            self.collect();
        }
    }

    /// The breaker itself remembers only the latest transitions.
    fn collect(&mut self) {
        let known = self.transitions.len() as u64;
        let fresh = self.breaker.entries.saturating_sub(known);
        if fresh > 0 {
            self.transitions.extend(self.breaker.history.iter().filter(|entry| entry.sequence >= known).cloned());
        }
    }
}

fn open_time(initial: State, start: Timestamp, transitions: &[Transition], end: Timestamp) -> Duration {
    let mut open = Duration::ZERO;
    let (mut state, mut since) = (initial, start);
    for (next, at) in transitions.iter().map(|transition| (transition.to, transition.at)).chain([(state, end)]) {
        if state.refuses() {
            open = open.saturating_add(at.since(since));
        }
        (state, since) = (next, at);
    }
    open
}

impl fmt::Display for WhatIf {
    /// How the second differs from the first: `would have opened 4.0 s later and refused 38 calls fewer`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |span: Duration| time::nanos(span) as f64 / 1e9;
        match (self.first.opened, self.second.opened) {
            (None, None) => f.write_str("would not have opened either")?,
            (None, Some(_)) => f.write_str("would have opened, which the other did not,")?,
            (Some(_), None) => f.write_str("would not have opened")?,
            (Some(first), Some(second)) if second > first => {
                write!(f, "would have opened {:.1} s later", seconds(second.since(first)))?;
            }
            (Some(first), Some(second)) if second < first => {
                write!(f, "would have opened {:.1} s earlier", seconds(first.since(second)))?;
            }
            _ => f.write_str("would have opened at the same moment")?,
        }
        let (first, second) = (self.first.refused.len(), self.second.refused.len());
        let plural = if first.abs_diff(second) == 1 { "" } else { "s" };
        match second.cmp(&first) {
            std::cmp::Ordering::Equal => write!(f, " and refused as many calls"),
            std::cmp::Ordering::Less => write!(f, " and refused {} call{plural} fewer", first - second),
            std::cmp::Ordering::Greater => write!(f, " and refused {} call{plural} more", second - first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cause, Preset};
    use super::*;

    /// A call every 100 ms that takes 10 ms; those in `bad` fail.
    fn calls(count: u64, bad: std::ops::Range<u64>) -> Vec<RecordedCall> {
        (0..count)
            .map(|place| RecordedCall {
                at: Timestamp::from_millis(1_000_000 + place * 100),
                duration: Duration::from_millis(10),
                success: !bad.contains(&place),
                number: place as i64,
            })
            .collect()
    }

    #[test]
    fn a_higher_threshold_opens_later_and_refuses_less() {
        let five = BreakerSettings::default();
        let nine = BreakerSettings { failure_threshold: 9, ..BreakerSettings::default() };
        let answer = what_if(&calls(60, 10..30), &five, &nine, 0).unwrap();
        assert_eq!(answer.first.opened, Some(Timestamp::from_millis(1_001_410)), "the fifth failure ends");
        assert_eq!(answer.second.opened, Some(Timestamp::from_millis(1_001_810)));
        // Open for 1 s, then the first trial fails at 25, then 2 s: 15..=24, 26..=45.
        let refused: Vec<usize> = (15..=24).chain(26..=45).collect();
        assert_eq!(answer.first.refused, refused);
        assert_eq!(answer.first.spared, 14);
        assert_eq!(answer.second.refused, (19..=28).chain(30..=49).filter(|at| *at != 29).collect::<Vec<_>>()[..]);
        assert!(answer.to_string().starts_with("would have opened 0.4 s later and refused"), "{answer}");
        let Some(Transition { cause: Cause::ConsecutiveFailures { failures: 9, threshold: 9 }, tipped_by, .. }) =
            answer.second.transitions.first()
        else {
            panic!("{:?}", answer.second.transitions)
        };
        assert_eq!(tipped_by.as_ref().map(|call| call.number), Some(18));
    }

    #[test]
    fn nothing_is_refused_by_a_breaker_that_never_opens() {
        let never = BreakerSettings::of(Preset::Resilience4j);
        let answer = what_if(&calls(50, 0..50), &never, &BreakerSettings::default(), 0).unwrap();
        assert!(answer.first.transitions.is_empty() && answer.first.refused.is_empty());
        assert_eq!((answer.first.opened, answer.first.open_ms), (None, 0.0), "50 calls are below the minimum of 100");
        assert!(answer.to_string().starts_with("would have opened, which the other did not, and refused"));
        let empty = what_if(&[], &never, &never, 0).unwrap();
        assert_eq!(empty.to_string(), "would not have opened either and refused as many calls");
    }

    #[test]
    fn every_transition_is_told_however_many_there_are_and_the_order_of_the_recording_does_not_matter() {
        let restless = BreakerSettings {
            failure_threshold: 1,
            half_open_max_calls: 1,
            success_threshold: 1,
            backoff_base_ms: 1,
            backoff_max_ms: 1,
            ..BreakerSettings::default()
        };
        let mut recorded = calls(100, 0..100);
        let answer = what_if(&recorded, &restless, &restless, 0).unwrap();
        let transitions = &answer.first.transitions;
        assert_eq!(transitions.len(), 1 + 99 * 2, "opened once, then half-open and open again for every call");
        assert!(transitions.iter().enumerate().all(|(place, entry)| entry.sequence == place as u64));
        recorded.reverse();
        let reversed = what_if(&recorded, &restless, &restless, 0).unwrap();
        assert_eq!(reversed.first.transitions, *transitions);
    }

    #[test]
    fn overlapping_calls_are_judged_when_they_end() {
        let mut recorded = calls(8, 0..5);
        for call in &mut recorded {
            call.duration = Duration::from_millis(450);
        }
        let answer = what_if(&recorded, &BreakerSettings::default(), &BreakerSettings::default(), 0).unwrap();
        // The fifth failure began at 400 and ends at 850 ms; the last call began at 700.
        assert_eq!(answer.first.opened, Some(Timestamp::from_millis(1_000_850)));
        assert!(answer.first.refused.is_empty());
        assert_eq!(answer.first.open_ms, 300.0, "until the last call ended at 1150 ms");
    }
}
