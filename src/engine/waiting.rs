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

    /// Keeps an evaluation that has to wait for a place.
    pub(super) fn park(&mut self, context: Context) {
        self.parked.push_back(context);
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
                self.complete(context, None, now, None);
            }
        }
        true
    }

    /// An attempt has ended. When it is to be tried again, the context is kept until then and `None` comes back;
    /// otherwise it is given back as it is to end. It has left everything inside of the retries.
    pub(super) fn attempted(&mut self, mut context: Context, stopwatch: Option<Stopwatch<'_>>) -> Option<Context> {
        let retries = self.retries;
        self.chain.leave_attempt(&mut self.mechanisms, &mut context, retries, &mut self.out, stopwatch);
        if self.halted && context.outcome != Outcome::Ok {
            return Some(context);
        }
        let Some(wait) = self.mechanisms.retry.again(&mut context) else { return Some(context) };
        let due = self.now + wait;
        self.inflight.rest(context, due);
        None
    }

    /// The wait between two attempts is over.
    pub(super) fn try_again(&mut self, mut context: Context, at: Timestamp) {
        self.now = self.now.max(at);
        self.out.now = self.now;
        if self.halted {
            self.mechanisms.retry.forgo(&mut context);
            context.complete(self.now);
            return self.end(context, None);
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
