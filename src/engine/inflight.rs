//! Evaluations that have been let in and wait for their answer or for their next attempt, and the order in which they
//! come due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::domain::{RuleMask, Timestamp};
use crate::mechanisms::strategy::Answer;
use crate::pipeline::Context;

/// Where a waiting evaluation is kept.
pub type Slot = usize;

/// One evaluation that waits.
#[derive(Debug)]
pub struct Waiting {
    /// What is known of it.
    pub context: Context,
    /// What the strategy answered; for checks made side by side, what they found so far.
    pub answer: Answer,
    /// Checks that have not reported yet.
    pub checks_left: u32,
    /// When its answer is due, once every check has reported.
    pub due: Timestamp,
    /// It waits for its next attempt, not for an answer.
    pub resting: bool,
    /// Told apart from a later evaluation in the same slot.
    ticket: u64,
}

/// All that wait. Slots are reused, so memory is bounded by how many may wait at once.
#[derive(Debug, Default)]
pub struct InFlight {
    slots: Vec<Option<Waiting>>,
    free: Vec<Slot>,
    due: BinaryHeap<Reverse<(Timestamp, u64, Slot)>>,
    tickets: u64,
    count: usize,
}

impl InFlight {
    /// How many wait.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Keeps `context`, which is due at `due` or as soon as `checks` have all reported, whichever is later.
    pub fn put(&mut self, context: Context, answer: Answer, checks: u32, due: Timestamp) -> (Slot, u64) {
        self.keep(Waiting { context, answer, checks_left: checks, due, resting: false, ticket: 0 })
    }

    /// Keeps `context` until its next attempt, which is due at `due`.
    pub fn rest(&mut self, context: Context, due: Timestamp) {
        self.keep(Waiting { context, answer: Answer::default(), checks_left: 0, due, resting: true, ticket: 0 });
    }

    /// Nobody waits for a next attempt any longer than until `now`.
    pub fn wake_resting(&mut self, now: Timestamp) {
        let slots = &self.slots;
        let resting = |slot: Slot| matches!(slots.get(slot), Some(Some(waiting)) if waiting.resting);
        let hurry =
            |Reverse((due, ticket, slot))| Reverse((if resting(slot) { now.min(due) } else { due }, ticket, slot));
        self.due = std::mem::take(&mut self.due).into_iter().map(hurry).collect();
    }

    fn keep(&mut self, mut waiting: Waiting) -> (Slot, u64) {
        self.tickets += 1;
        let ticket = self.tickets;
        waiting.ticket = ticket;
        let (checks, due) = (waiting.checks_left, waiting.due);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(waiting);
        }
        self.count += 1;
        if checks == 0 {
            self.due.push(Reverse((due, ticket, slot)));
        }
        (slot, ticket)
    }

    /// A check reports whether its rule matched. `now` is when the evaluation is due if this was the last check and
    /// its own moment has passed. Reports for evaluations that are gone are ignored.
    pub fn report(&mut self, slot: Slot, ticket: u64, matched: RuleMask, now: Timestamp) {
        let Some(Some(waiting)) = self.slots.get_mut(slot) else { return };
        if waiting.ticket != ticket || waiting.checks_left == 0 {
            return;
        }
        waiting.answer.matched = RuleMask(waiting.answer.matched.0 | matched.0);
        waiting.checks_left -= 1;
        if waiting.checks_left == 0 {
            self.due.push(Reverse((waiting.due.max(now), ticket, slot)));
        }
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((due, ..))| *due)
    }

    /// Takes the next one that is due at or before `now`, with its moment. Equal moments come in order of admission.
    pub fn take_due(&mut self, now: Timestamp) -> Option<(Timestamp, Waiting)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((due, _, slot)) = self.due.pop()?;
        let waiting = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        self.count -= 1;
        Some((due, waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(number: i64) -> Context {
        Context::new(0, number, RuleMask::NONE, Timestamp::EPOCH)
    }

    #[test]
    fn they_come_due_in_order_of_time_then_admission() {
        let mut inflight = InFlight::default();
        for (number, due) in [(1, 30), (2, 10), (3, 10), (4, 20)] {
            inflight.put(context(number), Answer::default(), 0, Timestamp::from_nanos(due));
        }
        let mut order = Vec::new();
        while let Some((_, waiting)) = inflight.take_due(Timestamp::from_nanos(25)) {
            order.push(waiting.context.number);
        }
        assert_eq!(order, [2, 3, 4]);
        assert_eq!(inflight.len(), 1);
    }

    #[test]
    fn checks_are_gathered_and_late_reports_are_ignored() {
        let mut inflight = InFlight::default();
        let (slot, ticket) = inflight.put(context(15), Answer::default(), 2, Timestamp::EPOCH);
        inflight.report(slot, ticket, RuleMask(1), Timestamp::from_nanos(5));
        assert!(inflight.take_due(Timestamp::MAX).is_none());
        inflight.report(slot, ticket, RuleMask(2), Timestamp::from_nanos(7));
        inflight.report(slot, ticket, RuleMask(4), Timestamp::from_nanos(8));
        let (due, waiting) = inflight.take_due(Timestamp::MAX).unwrap();
        assert_eq!((due, waiting.answer.matched), (Timestamp::from_nanos(7), RuleMask(3)));
        let (again, _) = inflight.put(context(1), Answer::default(), 1, Timestamp::EPOCH);
        assert_eq!(again, slot, "slots are reused");
        inflight.report(slot, ticket, RuleMask(1), Timestamp::EPOCH);
        assert!(inflight.take_due(Timestamp::MAX).is_none(), "an old ticket does not end a new evaluation");
    }
}
