//! Checks of single rules, which a driver makes side by side.

use super::inflight::Slot;
use crate::domain::RuleMask;
use crate::domain::rules::divides;

/// A check that the driver makes, side by side with others: does this rule match?
#[derive(Debug, Clone, Copy)]
pub struct Check {
    pub(super) slot: Slot,
    pub(super) ticket: u64,
    pub(super) rule: usize,
    pub(super) divisor: i64,
    pub(super) number: i64,
}

/// What a check found.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    pub(super) slot: Slot,
    pub(super) ticket: u64,
    pub(super) matched: RuleMask,
}

impl Check {
    /// Makes it.
    pub fn make(self) -> Checked {
        let hit = divides(self.divisor, self.number);
        let matched = if hit { RuleMask::NONE.with(self.rule) } else { RuleMask::NONE };
        Checked { slot: self.slot, ticket: self.ticket, matched }
    }
}
