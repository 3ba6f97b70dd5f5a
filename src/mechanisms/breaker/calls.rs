//! The calls of a session as a recording keeps them: what a breaker was asked, what became of it, and what operators
//! ordered meanwhile. It only keeps and restores; what follows from the calls is [`what_if`](mod@super::what_if)'s business.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::middleware::BreakerCommand;
use super::what_if::Recorded;
use crate::domain::{ErrorCode, Timestamp, time};
use crate::pipeline::Context;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It succeeded. Whether it took too long is for the breaker to say that it is replayed to.
    Success,
    /// It failed, with this error where it had one.
    Failure(Option<ErrorCode>),
    /// It was let through and says nothing about what is protected: invalid, cancelled, rejected further in.
    NoVerdict,
    /// The breaker refused it: how it would have ended is not known.
    Refused,
}

impl Verdict {
    const fn letter(self) -> char {
        match self {
            Self::Success => 's',
            Self::Failure(_) => 'f',
            Self::NoVerdict => 'n',
            Self::Refused => 'r',
        }
    }
}

/// A call that reached a breaker, as it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCall {
    /// When it arrived.
    pub at: Timestamp,
    /// How long it took; zero for a refused one.
    pub duration: Duration,
    /// What became of it.
    pub verdict: Verdict,
    /// What was asked.
    pub number: i64,
}

/// What somebody told the breaker, with its place among the calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCommand {
    /// When.
    pub at: Timestamp,
    /// So many calls had arrived.
    pub begun: usize,
    /// Of the calls that end at this moment, those at places below this one had ended.
    pub ended: usize,
    /// Who said so.
    pub by: String,
    /// What.
    pub command: BreakerCommand,
}

/// A command of a [`CallBlock`]: as [`RecordedCommand`], with the calls' numbers in place of places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockCommand {
    /// When, nanoseconds since the Unix epoch.
    pub at: Timestamp,
    /// Calls below this number had begun.
    pub begun: u64,
    /// Of those that end at this moment, calls below this number had ended.
    pub ended: u64,
    /// Who said so.
    pub by: String,
    /// What.
    pub command: BreakerCommand,
}

/// The calls to one breaker that ended, or were refused, within one frame. A column each, in order of arrival; what
/// ascends is kept as the difference from the call before (the first: from 0), because that packs best.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallBlock {
    /// Which breaker.
    pub circuit: String,
    /// A letter a call: `s` success, `f` failure, `n` no verdict, `r` refused.
    pub verdicts: String,
    /// The call's number, from 0 in order of arrival (an evaluation that is tried again is another call), as a difference.
    pub sequences: Vec<i64>,
    /// When it arrived, nanoseconds since the Unix epoch, as a difference.
    pub at: Vec<i64>,
    /// How long it took, nanoseconds, of each call that was not refused.
    pub durations_ns: Vec<u64>,
    /// What was asked, as a difference (wrapping).
    pub numbers: Vec<i64>,
    /// The error of each failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Option<ErrorCode>>,
    /// What the breaker was told meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<BlockCommand>,
    /// Calls and commands that found no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sequence: u64,
    call: RecordedCall,
}

/// Collects calls between two frames.
#[derive(Debug, Default)]
pub(super) struct CallLog {
    entries: Vec<Entry>,
    commands: Vec<BlockCommand>,
    dropped: u64,
    begun: u64,
    ended: u64,
}

impl CallLog {
    /// As many calls as are kept between two frames: about 12 MB.
    pub(super) const LIMIT: usize = 262_144;
    /// As many commands.
    const COMMANDS: usize = 1_024;

    /// A call was let through.
    #[inline]
    pub(super) const fn begin(&mut self, context: &mut Context) {
        context.call = self.begun;
        self.begun += 1;
    }

    /// A call was refused.
    pub(super) fn refuse(&mut self, context: &mut Context) {
        self.begin(context);
        self.keep(context, Verdict::Refused, Duration::ZERO);
    }

    /// A call that was let through has ended: failed or not, or without saying anything.
    pub(super) fn end(&mut self, context: &Context, failed: Option<bool>, duration: Duration) {
        self.ended = context.call + 1;
        let verdict = match failed {
            Some(true) => Verdict::Failure(context.error),
            Some(false) => Verdict::Success,
            None => Verdict::NoVerdict,
        };
        self.keep(context, verdict, duration);
    }

    /// The breaker was told something, and did it.
    pub(super) fn command(&mut self, command: &BreakerCommand, by: &str, at: Timestamp) {
        if self.commands.len() == Self::COMMANDS {
            self.dropped += 1;
            return;
        }
        let (begun, ended) = (self.begun, self.ended);
        self.commands.push(BlockCommand { at, begun, ended, by: by.to_owned(), command: command.clone() });
    }

    fn keep(&mut self, context: &Context, verdict: Verdict, duration: Duration) {
        if self.entries.len() == Self::LIMIT {
            self.dropped += 1;
            return;
        }
        let call = RecordedCall { at: context.attempted, duration, verdict, number: context.number };
        self.entries.push(Entry { sequence: context.call, call });
    }

    /// What was collected since the last time, if anything was.
    pub(super) fn take(&mut self, circuit: &str) -> Option<CallBlock> {
        if self.entries.is_empty() && self.commands.is_empty() && self.dropped == 0 {
            return None;
        }
        self.entries.sort_unstable_by_key(|entry| entry.sequence);
        let count = self.entries.len();
        let mut block = CallBlock {
            circuit: circuit.to_owned(),
            verdicts: String::with_capacity(count),
            sequences: Vec::with_capacity(count),
            at: Vec::with_capacity(count),
            durations_ns: Vec::with_capacity(count),
            numbers: Vec::with_capacity(count),
            commands: std::mem::take(&mut self.commands),
            dropped: std::mem::take(&mut self.dropped),
            ..CallBlock::default()
        };
        let (mut sequence, mut at, mut number) = (0_u64, 0_u64, 0_i64);
        for entry in self.entries.drain(..) {
            let RecordedCall { at: arrived, duration, verdict, number: asked } = entry.call;
            block.verdicts.push(verdict.letter());
            block.sequences.push(entry.sequence.wrapping_sub(sequence).cast_signed());
            block.at.push(arrived.as_nanos().wrapping_sub(at).cast_signed());
            block.numbers.push(asked.wrapping_sub(number));
            if verdict != Verdict::Refused {
                block.durations_ns.push(time::nanos(duration));
            }
            if let Verdict::Failure(error) = verdict {
                block.errors.push(error);
            }
            (sequence, at, number) = (entry.sequence, arrived.as_nanos(), asked);
        }
        Some(block)
    }
}

/// A block's columns do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the columns of its calls do not fit together")]
pub struct MalformedCalls;

/// The calls to one breaker, put together again from the blocks of a recording's frames.
#[derive(Debug, Default)]
pub struct CallHistory {
    entries: Vec<Entry>,
    commands: Vec<BlockCommand>,
    dropped: u64,
}

impl CallHistory {
    /// Adds a frame's block.
    ///
    /// # Errors
    /// [`MalformedCalls`] when no recorder wrote it; nothing of it is added then.
    pub fn add(&mut self, block: &CallBlock) -> Result<(), MalformedCalls> {
        let count = block.verdicts.len();
        let tally = |letter| block.verdicts.chars().filter(|one| *one == letter).count();
        let (failures, refused) = (tally('f'), tally('r'));
        let fits = [block.sequences.len(), block.at.len(), block.numbers.len(), block.durations_ns.len() + refused]
            .iter()
            .all(|length| *length == count);
        if !fits || failures != block.errors.len() || failures + refused + tally('s') + tally('n') != count {
            return Err(MalformedCalls);
        }
        let (mut sequence, mut at, mut number) = (0_u64, 0_u64, 0_i64);
        let (mut durations, mut errors) = (block.durations_ns.iter(), block.errors.iter());
        let columns = block.sequences.iter().zip(&block.at).zip(&block.numbers);
        for (letter, ((sequences, arrived), asked)) in block.verdicts.chars().zip(columns) {
            sequence = sequence.wrapping_add_signed(*sequences);
            at = at.wrapping_add_signed(*arrived);
            number = number.wrapping_add(*asked);
            let verdict = match letter {
                's' => Verdict::Success,
                'f' => Verdict::Failure(errors.next().copied().flatten()),
                'n' => Verdict::NoVerdict,
                _ => Verdict::Refused,
            };
            let nanos = if verdict == Verdict::Refused { None } else { durations.next() };
            let duration = Duration::from_nanos(nanos.copied().unwrap_or_default());
            let call = RecordedCall { at: Timestamp::from_nanos(at), duration, verdict, number };
            self.entries.push(Entry { sequence, call });
        }
        self.commands.extend_from_slice(&block.commands);
        self.dropped = self.dropped.saturating_add(block.dropped);
        Ok(())
    }

    /// What was asked, in order of arrival.
    pub fn numbers(mut self) -> Vec<i64> {
        self.entries.sort_by_key(|entry| entry.sequence);
        self.entries.iter().map(|entry| entry.call.number).collect()
    }

    /// All of it in order of arrival, of a session from `began` to `ended`. `rng` is the breaker's, for jitter
    /// ([`super::Slot::stream`]).
    pub fn recorded(mut self, began: Timestamp, ended: Timestamp, rng: ChaCha8Rng) -> Recorded {
        self.entries.sort_by_key(|entry| entry.sequence);
        let below = |sequence| self.entries.partition_point(|entry| entry.sequence < sequence);
        let commands = self.commands.iter().map(|command| RecordedCommand {
            at: command.at,
            begun: below(command.begun),
            ended: below(command.ended),
            by: command.by.clone(),
            command: command.command.clone(),
        });
        let commands = commands.collect();
        let calls = self.entries.iter().map(|entry| entry.call).collect();
        Recorded { began, ended, calls, commands, dropped: self.dropped, rng }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::domain::RuleMask;

    fn context(sequence: u64, number: i64, at: u64) -> Context {
        Context::new(sequence, number, RuleMask::NONE, Timestamp::from_nanos(at))
    }

    fn restored(blocks: &[CallBlock]) -> Recorded {
        let mut history = CallHistory::default();
        blocks.iter().for_each(|block| history.add(block).unwrap());
        history.recorded(Timestamp::EPOCH, Timestamp::MAX, ChaCha8Rng::seed_from_u64(0))
    }

    proptest! {
        #[test]
        fn what_was_kept_is_restored_in_order_of_arrival(
            // Number, kind, duration, time since the call before, whether a frame is taken after it.
            calls in prop::collection::vec((any::<i64>(), 0..4_u8, any::<u32>(), 0..2_000_u64, any::<bool>()), 0..40),
            order in any::<u64>(),
        ) {
            let (mut log, mut blocks, mut expected, mut at) = (CallLog::default(), Vec::new(), Vec::new(), 5);
            let mut kept = Vec::new();
            for (sequence, (number, kind, nanos, later, frame)) in calls.into_iter().enumerate() {
                at += later;
                let mut context = context(sequence as u64 * 2, number, at);
                let (mut duration, mut failed) = (Duration::from_nanos(u64::from(nanos)), Some(kind == 1));
                let verdict = match kind {
                    0 => Verdict::Success,
                    1 => {
                        context.error = (nanos % 2 == 0).then_some(ErrorCode::ChaosInduced);
                        Verdict::Failure(context.error)
                    }
                    2 => {
                        failed = None;
                        Verdict::NoVerdict
                    }
                    _ => {
                        duration = Duration::ZERO;
                        Verdict::Refused
                    }
                };
                expected.push(RecordedCall { at: Timestamp::from_nanos(at), duration, verdict, number });
                if verdict == Verdict::Refused {
                    log.refuse(&mut context);
                } else {
                    log.begin(&mut context);
                    kept.push((context, failed, duration, frame));
                }
            }
            // They end in another order than they arrived in.
            kept.sort_by_key(|(context, ..)| context.sequence.wrapping_mul(order | 1));
            for (context, failed, duration, frame) in kept {
                log.end(&context, failed, duration);
                if frame {
                    blocks.extend(log.take("evaluation"));
                }
            }
            blocks.extend(log.take("evaluation"));
            let text = serde_json::to_string(&blocks).unwrap();
            let blocks: Vec<CallBlock> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(restored(&blocks).calls, expected);
        }
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut log = CallLog::default();
        for sequence in 0..CallLog::LIMIT as u64 + 3 {
            log.refuse(&mut context(sequence, 7, sequence));
        }
        let block = log.take("evaluation").unwrap();
        assert_eq!((block.verdicts.len(), block.dropped), (CallLog::LIMIT, 3));
        assert_eq!(restored(&[block.clone(), block]).dropped, 6);
        assert_eq!(log.take("evaluation"), None, "taken is taken");
    }

    #[test]
    fn commands_keep_their_place_among_the_calls() {
        let mut log = CallLog::default();
        let mut contexts: Vec<Context> = (0..3).map(|sequence| context(sequence * 10, 1, 100)).collect();
        contexts.iter_mut().for_each(|context| log.begin(context));
        log.end(&contexts[0], Some(false), Duration::from_nanos(5));
        log.command(&BreakerCommand::Trip { circuit: None }, "operator", Timestamp::from_nanos(105));
        log.end(&contexts[1], Some(false), Duration::from_nanos(5));
        log.end(&contexts[2], Some(false), Duration::from_nanos(5));
        let recorded = restored(&[log.take("evaluation").unwrap()]);
        assert_eq!(recorded.calls.len(), 3);
        let [command] = recorded.commands.as_slice() else { panic!("{:?}", recorded.commands) };
        assert_eq!((command.begun, command.ended, command.by.as_str()), (3, 1, "operator"));
    }

    #[test]
    fn columns_that_do_not_fit_are_refused_whole() {
        let mut log = CallLog::default();
        let mut first = context(0, 1, 1);
        log.begin(&mut first);
        log.end(&first, Some(true), Duration::ZERO);
        log.refuse(&mut context(1, 2, 2));
        let good = log.take("evaluation").unwrap();
        let broken: [fn(&mut CallBlock); 6] = [
            |block| block.verdicts.push('s'),
            |block| block.verdicts = "fx".into(),
            |block| block.verdicts = "ss".into(),
            |block| block.errors.clear(),
            |block| block.at.push(1),
            |block| block.durations_ns.clear(),
        ];
        for breaks in broken {
            let mut block = good.clone();
            breaks(&mut block);
            let mut history = CallHistory::default();
            assert_eq!(history.add(&block), Err(MalformedCalls), "{block:?}");
            assert!(history.entries.is_empty());
        }
        assert_eq!(CallHistory::default().add(&good), Ok(()));
    }
}
