//! Why a breaker changed its state: the rule, its figures and the calls behind them, as data and as a sentence.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::domain::{ErrorCode, Timestamp};

/// A call that counted against the breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// When it ended.
    pub at: Timestamp,
    /// What was asked.
    pub number: i64,
    /// What went wrong; `None` for a call that was only slow.
    pub error: Option<ErrorCode>,
    /// How long it took, milliseconds.
    pub duration_ms: f64,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it took longer than a call may without being slow.
    pub slow: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n = {}", self.number)?;
        match (self.error, self.failed) {
            (Some(code), _) => write!(f, " {code}"),
            (None, true) => f.write_str(" failed"),
            (None, false) => write!(f, " took {:.1} ms", self.duration_ms),
        }
    }
}

/// What a rate was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The last so many calls.
    Calls(u64),
    /// So many calls in the last so many seconds.
    Seconds {
        /// Calls.
        calls: u64,
        /// Seconds, the running one included.
        seconds: u32,
    },
    /// So many trial calls.
    Trials(u64),
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => write!(f, "the last {calls} calls"),
            Self::Seconds { calls, seconds } => write!(f, "{calls} calls in the last {seconds} s"),
            Self::Trials(calls) => write!(f, "{calls} trial calls"),
        }
    }
}

/// A rate against its threshold, both percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Percent of the calls.
    pub rate: f64,
    /// Percent from which on it is too much.
    pub threshold: f64,
    /// The calls that it counts, e.g. the failed ones.
    pub counted: u64,
}

/// The rule that decided, with the figures it saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// So many failures in a row.
    ConsecutiveFailures {
        /// In a row, up to the last one.
        failures: u64,
        /// As many open the breaker.
        threshold: u32,
    },
    /// One or both rates reached their threshold.
    Rates {
        /// The failure rate, when it was too high.
        failure: Option<Rate>,
        /// The slow-call rate, when it was too high.
        slow: Option<Rate>,
        /// A call was slow above this, milliseconds.
        slow_ms: Option<u64>,
        /// What they were taken over.
        span: Span,
        /// Fewer calls have no rate.
        minimum: u32,
    },
    /// A trial call failed.
    TrialFailed {
        /// Trial calls that had succeeded before it.
        passed: u32,
    },
    /// Trial calls were out for too long.
    TrialsAbandoned {
        /// How many did not come back.
        missing: u32,
        /// How long each of them was waited for at least, milliseconds.
        after_ms: u64,
    },
    /// Enough trial calls in a row succeeded.
    TrialsPassed {
        /// How many.
        passed: u32,
    },
    /// The trial calls' rates were below their thresholds.
    TrialRates {
        /// Failures among them, percent.
        failure_rate: f64,
        /// Slow ones among them, percent.
        slow_rate: f64,
        /// How many there were.
        calls: u64,
    },
    /// The wait in open is over.
    WaitOver {
        /// How long it was, milliseconds.
        waited_ms: u64,
        /// Which opening in a row it was, from 1.
        attempt: u32,
        /// The next wait before jitter, should the trial fail, milliseconds.
        next_ms: u64,
    },
    /// Half-open for as long as is allowed.
    HalfOpenExpired {
        /// The limit, milliseconds.
        after_ms: u64,
        /// Trial calls that had ended by then.
        ended: u64,
    },
    /// Somebody said so.
    Operator {
        /// The command: `trip`, `close`, …
        command: String,
        /// Who.
        by: String,
    },
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures { failures, threshold } => {
                write!(f, "{} in a row (threshold {threshold})", plural(*failures, "failure", "failures"))
            }
            Self::Rates { failure, slow, slow_ms, span, minimum } => {
                if let Some(Rate { rate, threshold, .. }) = failure {
                    write!(f, "failure rate {rate:.1} % >= {threshold} %")?;
                }
                if failure.is_some() && slow.is_some() {
                    f.write_str(" and ")?;
                }
                if let Some(Rate { rate, threshold, .. }) = slow {
                    write!(f, "slow-call rate {rate:.1} % >= {threshold} %")?;
                    if let Some(ms) = slow_ms {
                        write!(f, " (slower than {ms} ms)")?;
                    }
                }
                write!(f, " over {span} (minimum {minimum})")
            }
            Self::TrialFailed { passed } => {
                write!(f, "a trial call failed after {}", plural(u64::from(*passed), "success", "successes"))
            }
            Self::TrialsAbandoned { missing, after_ms } => {
                let calls = plural(u64::from(*missing), "trial call", "trial calls");
                write!(f, "{calls} did not end within {after_ms} ms")
            }
            Self::TrialsPassed { passed } => {
                write!(f, "{} in a row succeeded", plural(u64::from(*passed), "trial call", "trial calls"))
            }
            Self::TrialRates { failure_rate, slow_rate, calls } => {
                let calls = plural(*calls, "trial call", "trial calls");
                write!(f, "failure rate {failure_rate:.1} % and slow-call rate {slow_rate:.1} % over {calls}")
            }
            Self::WaitOver { waited_ms, attempt, next_ms } => {
                write!(f, "{waited_ms} ms waited (attempt {attempt}); the next wait would be {next_ms} ms")
            }
            Self::HalfOpenExpired { after_ms, ended } => {
                write!(f, "half-open for {after_ms} ms, {} ended", plural(*ended, "trial call", "trial calls"))
            }
            Self::Operator { command, by } => write!(f, "{command} by {by}"),
        }
    }
}

/// A change of state, or for a breaker that only measures the change that it would have made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Its place in the breaker's life, from 0.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub from: State,
    /// To where. The same as `from` when a breaker in `metrics_only` would have opened, and when an operator closes a
    /// closed one.
    pub to: State,
    /// The rule that decided.
    pub cause: Cause,
    /// Openings in a row without a recovery, this one included; 0 after closing.
    pub attempt: u32,
    /// The wait that began with it, milliseconds; `None` where none did.
    pub wait_ms: Option<u64>,
    /// Times it had opened by then, this one included.
    pub trips: u64,
    /// The call that tipped it, where one did.
    pub tipped_by: Option<Call>,
    /// The failed and slow calls that the rule counted, the latest [`Transition::CALLS`] of them, oldest first.
    pub calls: Vec<Call>,
}

impl Transition {
    /// As many calls as a transition names.
    pub const CALLS: usize = 16;

    /// The reason alone: the rule with its figures, and the call that tipped it.
    pub fn reason(&self) -> String {
        let would = if self.from == State::MetricsOnly && self.to == self.from && !self.by_operator() {
            "would have opened: "
        } else {
            ""
        };
        match &self.tipped_by {
            Some(call) => format!("{would}{}; the call that tipped it: {call}", self.cause),
            None => format!("{would}{}", self.cause),
        }
    }

    /// Whether somebody ordered it.
    pub const fn by_operator(&self) -> bool {
        matches!(self.cause, Cause::Operator { .. })
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}: {}", self.from, self.to, self.reason())
    }
}

/// A call against the breaker as it is kept until a transition names it.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    at: Timestamp,
    number: i64,
    error: Option<ErrorCode>,
    duration_ns: u64,
    failed: bool,
    slow: bool,
    /// Its place among the calls of the window's period, from 1.
    place: u64,
}

/// The latest calls that counted against the breaker in the present window.
#[derive(Debug, Clone)]
pub(super) struct Suspects {
    ring: Vec<Suspect>,
    next: usize,
    /// Calls of the period, good ones included.
    calls: u64,
}

impl Suspects {
    pub(super) fn new() -> Self {
        Self { ring: Vec::with_capacity(Transition::CALLS), next: 0, calls: 0 }
    }

    pub(super) const fn pass(&mut self) {
        self.calls += 1;
    }

    pub(super) fn note(
        &mut self,
        at: Timestamp,
        number: i64,
        error: Option<ErrorCode>,
        (failed, slow, duration_ns): (bool, bool, u64),
    ) {
        self.calls += 1;
        let suspect = Suspect { at, number, error, duration_ns, failed, slow, place: self.calls };
        if self.ring.len() < Transition::CALLS {
            self.ring.push(suspect);
        } else if let Some(oldest) = self.ring.get_mut(self.next) {
            *oldest = suspect;
            self.next = (self.next + 1) % Transition::CALLS;
        }
    }

    pub(super) fn clear(&mut self) {
        self.ring.clear();
        self.next = 0;
        self.calls = 0;
    }

    /// Those among the last `calls` calls that `wanted` takes, oldest first.
    pub(super) fn among(&self, calls: u64, wanted: impl Fn(bool, bool) -> bool) -> Vec<Call> {
        let after = self.calls.saturating_sub(calls);
        let (newer, older) = self.ring.split_at(self.next.min(self.ring.len()));
        older
            .iter()
            .chain(newer)
            .filter(|suspect| suspect.place > after && wanted(suspect.failed, suspect.slow))
            .map(Suspect::call)
            .collect()
    }
}

impl Suspect {
    fn call(&self) -> Call {
        Call {
            at: self.at,
            number: self.number,
            error: self.error,
            duration_ms: self.duration_ns as f64 / 1e6,
            failed: self.failed,
            slow: self.slow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: i64, error: Option<ErrorCode>, failed: bool) -> Call {
        Call { at: Timestamp::EPOCH, number, error, duration_ms: 12.34, failed, slow: !failed }
    }

    fn told(from: State, to: State, cause: Cause, tipped_by: Option<Call>) -> String {
        let (sequence, at, calls) = (0, Timestamp::EPOCH, vec![]);
        let (attempt, wait_ms, trips) = (1, None, 1);
        Transition { sequence, at, from, to, cause, attempt, wait_ms, trips, tipped_by, calls }.to_string()
    }

    #[test]
    fn sentences_name_the_rule_its_figures_and_the_call() {
        let failure = Some(Rate { rate: 60.0, threshold: 50.0, counted: 6 });
        let cause = Cause::Rates { failure, slow: None, slow_ms: None, span: Span::Calls(10), minimum: 5 };
        let tipped = Some(call(4215, Some(ErrorCode::ChaosInduced), true));
        assert_eq!(
            told(State::Closed, State::Open, cause.clone(), tipped),
            "closed -> open: failure rate 60.0 % >= 50 % over the last 10 calls (minimum 5); \
             the call that tipped it: n = 4215 EFP-CH01"
        );
        let slow = Some(Rate { rate: 80.0, threshold: 75.5, counted: 8 });
        let span = Span::Seconds { calls: 10, seconds: 9 };
        let both = Cause::Rates { failure, slow, slow_ms: Some(54), span, minimum: 1 };
        assert_eq!(
            told(State::MetricsOnly, State::MetricsOnly, both, Some(call(7, None, false))),
            "metrics_only -> metrics_only: would have opened: failure rate 60.0 % >= 50 % and \
             slow-call rate 80.0 % >= 75.5 % (slower than 54 ms) over 10 calls in the last 9 s (minimum 1); \
             the call that tipped it: n = 7 took 12.3 ms"
        );
        assert_eq!(
            told(State::Open, State::HalfOpen, Cause::WaitOver { waited_ms: 1000, attempt: 1, next_ms: 2000 }, None),
            "open -> half_open: 1000 ms waited (attempt 1); the next wait would be 2000 ms"
        );
        let cause = Cause::Operator { command: "metrics_only".into(), by: "ops".into() };
        assert_eq!(
            told(State::MetricsOnly, State::MetricsOnly, cause, None),
            "metrics_only -> metrics_only: metrics_only by ops"
        );
        assert_eq!(
            told(State::HalfOpen, State::Open, Cause::TrialsAbandoned { missing: 1, after_ms: 9 }, None),
            "half_open -> open: 1 trial call did not end within 9 ms"
        );
    }

    #[test]
    fn suspects_are_the_latest_of_the_window_in_order() {
        let mut suspects = Suspects::new();
        for number in 0..40 {
            if number % 2 == 0 {
                suspects.pass();
            } else {
                suspects.note(Timestamp::EPOCH, number, None, (number % 4 == 1, true, 1));
            }
        }
        let numbers = |calls, wanted: fn(bool, bool) -> bool| {
            suspects.among(calls, wanted).iter().map(|call| call.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(6, |_, _| true), [35, 37, 39]);
        assert_eq!(numbers(10, |failed, _| failed), [33, 37]);
        assert_eq!(numbers(1_000, |_, _| true).len(), Transition::CALLS);
    }
}
