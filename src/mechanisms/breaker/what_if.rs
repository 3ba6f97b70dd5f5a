//! The same recorded calls under two configurations: when each would have opened, and which calls it would have refused.
//!
//! A replay of what happened, not a forecast: a call keeps the outcome and the duration that were recorded, although
//! under another configuration the load, and with it the outcomes, might have been different. How a call that was
//! refused in the recording would have ended is not known: where a configuration lets it through, it counts for nothing,
//! and [`Timeline::unjudged`] says how many there were. Under the recorded configuration none is let through, and the
//! replay makes the transitions that the recorded breaker made.
//!
//! ```
//! use std::time::Duration;
//! use fizzops::domain::Timestamp;
//! use fizzops::mechanisms::breaker::{BreakerSettings, Recorded, RecordedCall, Verdict, what_if};
//!
//! let calls = (0..20)
//!     .map(|number| RecordedCall {
//!         at: Timestamp::from_millis(1_000 + 50 * number as u64),
//!         duration: Duration::from_millis(10),
//!         verdict: if number < 3 { Verdict::Success } else { Verdict::Failure(None) },
//!         number,
//!     })
//!     .collect();
//! let five = BreakerSettings::default();
//! let nine = BreakerSettings { failure_threshold: 9, ..five.clone() };
//! let answer = what_if(&Recorded::of(calls, 0), &five, &nine)?;
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

use super::calls::{RecordedCall, RecordedCommand, Verdict};
use super::config::BreakerSettings;
use super::error::BreakerError;
use super::explain::Transition;
use super::machine::{Breaker, Ended, Permit};
use super::middleware::BreakerCommand;
use super::state::State;
use crate::domain::{Timestamp, time};

/// What reached one breaker in a session.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When the session began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The calls; those that arrived at the same moment in the order in which they did. They may overlap.
    pub calls: Vec<RecordedCall>,
    /// What the breaker was told, in order. Their places are among the calls in order of arrival.
    pub commands: Vec<RecordedCommand>,
    /// Calls and commands that the recording had no room for; the replay is without them.
    pub dropped: u64,
    /// For jitter, the same for every replay.
    pub rng: ChaCha8Rng,
}

impl Recorded {
    /// Calls alone, with jitter from `seed`. The session begins with the first of them.
    pub fn of(calls: Vec<RecordedCall>, seed: u64) -> Self {
        let began = calls.iter().map(|call| call.at).min().unwrap_or_default();
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { began, ended: began, calls, commands: Vec::new(), dropped: 0, rng }
    }
}

/// What one configuration would have made of the calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Every change of state, in order.
    pub transitions: Vec<Transition>,
    /// The calls that would have been refused: their places in the recording, ascending.
    pub refused: Vec<usize>,
    /// Calls that failed among the refused: what the breaker would have spared.
    pub spared: u64,
    /// Calls that succeeded among the refused: what it would have cost.
    pub lost: u64,
    /// Calls that would have been let through and were refused in the recording: nobody knows how they would have ended.
    pub unjudged: u64,
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

/// Replays what was recorded under both configurations. A call that ends when another arrives has ended before.
///
/// # Errors
/// [`BreakerError::Configuration`] for an impossible value in either.
pub fn what_if(recorded: &Recorded, first: &BreakerSettings, second: &BreakerSettings) -> Result<WhatIf, BreakerError> {
    let mut order: Vec<usize> = (0..recorded.calls.len()).collect();
    order.sort_by_key(|index| recorded.calls.get(*index).map(|call| call.at));
    Ok(WhatIf {
        calls: recorded.calls.len(),
        first: replay(recorded, &order, first)?,
        second: replay(recorded, &order, second)?,
    })
}

struct Replay<'a> {
    calls: &'a [RecordedCall],
    breaker: Breaker,
    /// Calls on their way: when each ends, its rank by arrival, its place, its ticket.
    out: BinaryHeap<Reverse<(Timestamp, usize, usize, u64)>>,
    transitions: Vec<Transition>,
    now: Timestamp,
}

fn replay(recorded: &Recorded, order: &[usize], settings: &BreakerSettings) -> Result<Timeline, BreakerError> {
    let (calls, start) = (recorded.calls.as_slice(), recorded.began);
    let breaker = Breaker::new(settings, start, recorded.rng.clone())?;
    let initial = breaker.state();
    let mut replay = Replay { calls, breaker, out: BinaryHeap::new(), transitions: Vec::new(), now: start };
    let (mut refused, mut spared, mut lost, mut unjudged) = (Vec::new(), 0, 0, 0);
    let mut commands = recorded.commands.iter().peekable();
    for (rank, index) in order.iter().enumerate() {
        while let Some(command) = commands.next_if(|command| command.begun <= rank) {
            replay.command(command);
        }
        let Some(call) = calls.get(*index) else { continue };
        replay.finish_until(call.at, usize::MAX);
        replay.pass(call.at);
        match (replay.breaker.acquire(call.at), call.verdict) {
            (Ok(permit), Verdict::Refused) => {
                replay.breaker.release(permit, call.at);
                unjudged += 1;
            }
            (Ok(permit), _) => replay.out.push(Reverse((call.at + call.duration, rank, *index, permit.ticket()))),
            (Err(_), verdict) => {
                refused.push(*index);
                spared += u64::from(matches!(verdict, Verdict::Failure(_)));
                lost += u64::from(verdict == Verdict::Success);
            }
        }
        replay.collect();
    }
    commands.for_each(|command| replay.command(command));
    replay.finish_until(Timestamp::MAX, usize::MAX);
    replay.pass(recorded.ended);
    refused.sort_unstable();
    let Replay { transitions, now, .. } = replay;
    let opened = match initial {
        State::Open | State::ForcedOpen => Some(start),
        _ => transitions.iter().find(|transition| transition.to == State::Open).map(|transition| transition.at),
    };
    let open_ms = open_time(initial, start, &transitions, now).as_secs_f64() * 1e3;
    Ok(Timeline { transitions, refused, spared, lost, unjudged, opened, open_ms })
}

impl Replay<'_> {
    /// More changes of state in one silence are not followed.
    const SILENCE: usize = 100_000;

    /// Ends the calls that end before `moment`, and those of rank below `below` that end at it.
    fn finish_until(&mut self, moment: Timestamp, below: usize) {
        while let Some(Reverse((at, rank, index, ticket))) = self.out.peek().copied() {
            if at > moment || at == moment && rank >= below {
                return;
            }
            self.out.pop();
            self.pass(at);
            let permit = Permit::from_ticket(ticket);
            if let Some(&RecordedCall { number, duration, verdict, .. }) = self.calls.get(index) {
                let ended = |failed, error| Ended { number, failed, error, duration, confidence: None };
                match verdict {
                    Verdict::Success => self.breaker.finish(permit, &ended(false, None), at),
                    Verdict::Failure(error) => self.breaker.finish(permit, &ended(true, error), at),
                    Verdict::NoVerdict | Verdict::Refused => self.breaker.release(permit, at),
                }
            }
            self.collect();
        }
    }

    /// Time passes: what it alone brings about comes about when it is due, as in the engine.
    fn pass(&mut self, moment: Timestamp) {
        for _ in 0..Self::SILENCE {
            let Some(due) = self.breaker.next_transition().filter(|due| *due <= moment) else { break };
            self.breaker.tick(due);
            self.collect();
        }
        self.now = self.now.max(moment);
    }

    /// What an operator ordered then would have been ordered under any configuration; where it cannot be done, it is not.
    fn command(&mut self, RecordedCommand { at, ended, by, command, .. }: &RecordedCommand) {
        self.finish_until(*at, *ended);
        self.pass(*at);
        match command {
            BreakerCommand::Reset { .. } | BreakerCommand::ResetAll {} => self.breaker.reset(by, *at),
            _ => {
                let (word, to, _) = command.effect();
                let _ = self.breaker.command(to, word, by, *at);
            }
        }
        self.collect();
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
                verdict: if bad.contains(&place) { Verdict::Failure(None) } else { Verdict::Success },
                number: place as i64,
            })
            .collect()
    }

    #[test]
    fn a_higher_threshold_opens_later_and_refuses_less() {
        let five = BreakerSettings::default();
        let nine = BreakerSettings { failure_threshold: 9, ..BreakerSettings::default() };
        let answer = what_if(&Recorded::of(calls(60, 10..30), 0), &five, &nine).unwrap();
        assert_eq!(answer.first.opened, Some(Timestamp::from_millis(1_001_410)), "the fifth failure ends");
        assert_eq!(answer.second.opened, Some(Timestamp::from_millis(1_001_810)));
        // Open for 1 s, then the first trial fails at 25, then 2 s: 15..=24, 26..=45.
        let refused: Vec<usize> = (15..=24).chain(26..=45).collect();
        assert_eq!(answer.first.refused, refused);
        assert_eq!((answer.first.spared, answer.first.lost), (14, 16));
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
        let answer = what_if(&Recorded::of(calls(50, 0..50), 0), &never, &BreakerSettings::default()).unwrap();
        assert!(answer.first.transitions.is_empty() && answer.first.refused.is_empty());
        assert_eq!((answer.first.opened, answer.first.open_ms), (None, 0.0), "50 calls are below the minimum of 100");
        assert!(answer.to_string().starts_with("would have opened, which the other did not, and refused"));
        let empty = what_if(&Recorded::of(vec![], 0), &never, &never).unwrap();
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
        let answer = what_if(&Recorded::of(recorded.clone(), 0), &restless, &restless).unwrap();
        let transitions = &answer.first.transitions;
        assert_eq!(transitions.len(), 1 + 99 * 2, "opened once, then half-open and open again for every call");
        assert!(transitions.iter().enumerate().all(|(place, entry)| entry.sequence == place as u64));
        recorded.reverse();
        let reversed = what_if(&Recorded::of(recorded.clone(), 0), &restless, &restless).unwrap();
        assert_eq!(reversed.first.transitions, *transitions);
    }

    #[test]
    fn overlapping_calls_are_judged_when_they_end() {
        let mut recorded = calls(8, 0..5);
        for call in &mut recorded {
            call.duration = Duration::from_millis(450);
        }
        let answer =
            what_if(&Recorded::of(recorded, 0), &BreakerSettings::default(), &BreakerSettings::default()).unwrap();
        // The fifth failure began at 400 and ends at 850 ms; the last call began at 700.
        assert_eq!(answer.first.opened, Some(Timestamp::from_millis(1_000_850)));
        assert!(answer.first.refused.is_empty());
        assert_eq!(answer.first.open_ms, 300.0, "until the last call ended at 1150 ms");
    }

    #[test]
    fn a_call_refused_in_the_recording_counts_for_nothing_where_it_is_let_through() {
        let mut recorded = calls(40, 10..30);
        let five = BreakerSettings::default();
        let once = what_if(&Recorded::of(recorded.clone(), 0), &five, &five).unwrap().first;
        for place in &once.refused {
            recorded[*place].verdict = Verdict::Refused;
            recorded[*place].duration = Duration::ZERO;
        }
        // As a session under five would have been recorded: its replay is the same.
        let hundred = BreakerSettings { failure_threshold: 100, ..BreakerSettings::default() };
        let answer = what_if(&Recorded::of(recorded, 0), &five, &hundred).unwrap();
        assert_eq!(answer.first.transitions, once.transitions);
        assert_eq!(answer.first.refused, once.refused);
        assert_eq!((answer.first.unjudged, answer.first.spared, answer.first.lost), (0, 0, 0));
        assert_eq!((answer.second.transitions.len(), answer.second.refused.len()), (0, 0));
        assert_eq!(answer.second.unjudged, once.refused.len() as u64);
    }

    #[test]
    fn commands_hold_for_both_and_time_alone_brings_about_what_is_due() {
        let calls = calls(10, 0..0);
        let at = calls[5].at;
        let command = BreakerCommand::Trip { circuit: None };
        let trip = RecordedCommand { at, begun: 5, ended: 5, by: "ops".into(), command };
        let ended = at + Duration::from_secs(60);
        let recorded = Recorded { commands: vec![trip], ended, ..Recorded::of(calls, 0) };
        let automatic = BreakerSettings {
            automatic_transition_from_open_to_half_open_enabled: true,
            max_wait_duration_in_half_open_state_ms: 10,
            backoff_base_ms: 100,
            backoff_max_ms: 100,
            ..BreakerSettings::default()
        };
        let answer = what_if(&recorded, &BreakerSettings::default(), &automatic).unwrap();
        assert_eq!(answer.first.transitions.len(), 1);
        assert_eq!(answer.first.transitions[0].to_string(), "closed -> open: trip by ops");
        assert_eq!((answer.first.opened, answer.first.refused.len()), (Some(at), 5));
        assert_eq!(answer.first.open_ms, 60_000.0, "until the end of the session");
        // Open for 100 ms; half-open at 600, with the call at 600 as a trial that succeeds, and so on.
        assert!(answer.second.transitions.len() > 100, "{}", answer.second.transitions.len());
        assert!(answer.second.transitions.is_sorted_by_key(|transition| transition.at));
    }
}
