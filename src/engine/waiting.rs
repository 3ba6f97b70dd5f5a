//! Evaluations that wait for something else than their answer: for a place in the bulkhead, or for their next attempt.
//! Both are moments among others that the engine goes to; nothing is asked over and over.

use super::Engine;
use crate::domain::{Outcome, Timestamp};
use crate::mechanisms::limits::Turn;
use crate::pipeline::Context;
use crate::pipeline::chain::Stopwatch;

impl Engine {
    /// When the bulkhead has a place for the first who waits, or the first has waited too long.
    pub(super) fn turn(&self) -> Option<Timestamp> {
        self.mechanisms.bulkhead.next_turn(self.now)
    }

    /// The wait of the first one is over: it goes on, or it is refused.
    pub(super) fn take_turn(&mut self) -> bool {
        let now = self.now;
        let Some(turn) = self.mechanisms.bulkhead.poll(now) else { return false };
        // The bulkhead queues tickets in the order in which contexts were parked.
        let Some(mut context) = self.parked.pop_front() else { return false };
        match turn {
            Turn::Admitted(sequence) => {
                debug_assert_eq!(sequence, context.sequence);
                let flow = self.chain.resume(&mut self.mechanisms, &mut context, now, &mut self.out, None);
                self.go(context, flow, None);
            }
            Turn::Expired(sequence) => {
                debug_assert_eq!(sequence, context.sequence);
                self.mechanisms.bulkhead.refuse(&mut context);
                self.chain.refuse(&mut context, now);
                self.complete(&mut context, None, now, None);
            }
        }
        true
    }

    /// An attempt has ended, and the context leaves everything inside of the retries. Whether it will be tried again:
    /// then it is kept until that is due, and `context` is empty.
    pub(super) fn goes_on(&mut self, context: &mut Context, stopwatch: Option<Stopwatch<'_>>) -> bool {
        self.chain.leave_attempt(&mut self.mechanisms, context, self.retries, &mut self.out, stopwatch);
        if self.halted && context.outcome != Outcome::Ok {
            return false;
        }
        let Some(wait) = self.mechanisms.retry.again(context) else { return false };
        self.inflight.rest(std::mem::take(context), self.now + wait);
        true
    }

    /// The wait between two attempts is over.
    pub(super) fn try_again(&mut self, mut context: Context, at: Timestamp) {
        self.now = self.now.max(at);
        self.out.now = self.now;
        if self.halted {
            self.mechanisms.retry.forgo(&mut context);
            context.complete(self.now);
            return self.end(&mut context, None);
        }
        let flow = self.chain.enter_again(&mut self.mechanisms, &mut context, self.now, &mut self.out);
        self.go(context, flow, None);
    }

    /// Ends the session: what waits for an answer or a place is finished, what waits for another attempt ends as its
    /// last one did.
    pub(super) fn halt(&mut self) {
        self.stopping = true;
        self.halted = true;
        self.inflight.wake_resting(self.now);
    }

    /// How many have been admitted and have not finished.
    pub(super) fn under_way(&self) -> usize {
        self.inflight.len() + self.parked.len()
    }
}
