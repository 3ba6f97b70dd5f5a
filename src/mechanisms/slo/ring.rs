//! Counts over a window that slides by time: a ring of slots in constant memory, with its sum at hand.

use serde::{Deserialize, Serialize};

use super::counters::Cause;

/// Good and counted events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ratio {
    /// Events that met the objective.
    pub good: u64,
    /// Events that count for it.
    pub total: u64,
}

impl Ratio {
    /// Good among all, 0 to 1; `None` while nothing was counted.
    pub fn compliance(self) -> Option<f64> {
        (self.total > 0).then(|| self.good as f64 / self.total as f64)
    }

    /// Events that did not meet the objective.
    pub const fn bad(self) -> u64 {
        self.total - self.good
    }

    /// Those that did not among all, 0 to 1; 0 while nothing was counted.
    pub fn error_ratio(self) -> f64 {
        if self.total == 0 { 0.0 } else { self.bad() as f64 / self.total as f64 }
    }
}

/// What was counted in a stretch of time, with what caused the bad ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cell {
    /// Good and all.
    pub ratio: Ratio,
    /// Bad evaluations by cause, in the order of [`Cause::all`].
    pub eaten: [u64; Cause::COUNT],
}

impl Cell {
    /// Puts `other` in too.
    pub fn add(&mut self, other: &Self) {
        self.ratio.good += other.ratio.good;
        self.ratio.total += other.ratio.total;
        if other.ratio.good != other.ratio.total {
            self.eaten.iter_mut().zip(other.eaten).for_each(|(sum, one)| *sum += one);
        }
    }

    fn take(&mut self, other: &Self) {
        self.ratio.good -= other.ratio.good;
        self.ratio.total -= other.ratio.total;
        if other.ratio.good != other.ratio.total {
            self.eaten.iter_mut().zip(other.eaten).for_each(|(sum, one)| *sum -= one);
        }
    }
}

/// A window of a whole number of slots; the last one is the present one. Time is in whole seconds and never goes back.
#[derive(Debug, Clone)]
pub struct Ring {
    slots: Vec<Cell>,
    /// Seconds.
    width: u64,
    /// The present slot's number since the epoch.
    slot: u64,
    sum: Cell,
}

impl Ring {
    /// No ring has more slots: a window's edge is off by at most this part of it.
    pub const SLOTS: u64 = 360;

    /// How wide the slots of a window of `seconds` are: the smallest whole number of seconds that divides it into at
    /// most [`Ring::SLOTS`].
    pub fn width(seconds: u64) -> u64 {
        let least = seconds.div_ceil(Self::SLOTS).max(1);
        (least..=seconds.max(1)).find(|width| seconds.is_multiple_of(*width)).unwrap_or(1)
    }

    /// An empty window of `seconds`, at least 1.
    pub fn new(seconds: u64) -> Self {
        let width = Self::width(seconds.max(1));
        let count = usize::try_from(seconds.max(1) / width).unwrap_or(1);
        Self { slots: vec![Cell::default(); count], width, slot: 0, sum: Cell::default() }
    }

    /// Its length, seconds.
    pub fn seconds(&self) -> u64 {
        self.width * self.slots.len() as u64
    }

    /// Counts what happened in the second `second`, which is not before any that was told before.
    pub fn add(&mut self, second: u64, cell: &Cell) {
        self.slide(second);
        let place = (self.slot % self.slots.len().max(1) as u64) as usize;
        if let Some(slot) = self.slots.get_mut(place) {
            slot.add(cell);
            self.sum.add(cell);
        }
    }

    /// Forgets what is no longer in the window at `second`.
    #[inline]
    pub fn slide(&mut self, second: u64) {
        let slot = second / self.width;
        if slot > self.slot {
            self.forget(slot);
        }
    }

    fn forget(&mut self, slot: u64) {
        let count = self.slots.len() as u64;
        if slot - self.slot >= count {
            self.slots.fill(Cell::default());
            self.sum = Cell::default();
        } else {
            for old in self.slot + 1..=slot {
                if let Some(cell) = self.slots.get_mut((old % count) as usize) {
                    self.sum.take(cell);
                    *cell = Cell::default();
                }
            }
        }
        self.slot = slot;
    }

    /// What is in the window at `second`.
    pub fn sum(&mut self, second: u64) -> &Cell {
        self.slide(second);
        &self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_are_cut_into_whole_slots() {
        for minutes in (1..2_000).chain([10_080, 43_200, 525_600, 2_147_483]) {
            let ring = Ring::new(minutes * 60);
            assert_eq!(ring.seconds(), minutes * 60);
            assert!(ring.slots.len() as u64 <= Ring::SLOTS);
        }
        assert_eq!([300, 3_600, 2_592_000].map(Ring::width), [1, 10, 7_200]);
    }

    proptest! {
        #[test]
        fn a_window_is_what_a_list_of_events_says(
            minutes in 1u64..20,
            events in prop::collection::vec((0u64..900, 0u64..4, 0u64..4), 1..120),
        ) {
            let mut ring = Ring::new(minutes * 60);
            let (width, count) = (Ring::width(minutes * 60), ring.slots.len() as u64);
            let mut list: Vec<(u64, u64, u64)> = Vec::new();
            let mut now = 1_000;
            for (advance, good, bad) in events {
                now += advance;
                let mut cell = Cell { ratio: Ratio { good, total: good + bad }, ..Cell::default() };
                cell.eaten[3] = bad;
                ring.add(now, &cell);
                list.push((now / width, good, bad));
                let within = list.iter().filter(|(slot, ..)| slot + count > now / width);
                let (good, bad) = within.fold((0, 0), |sum, one| (sum.0 + one.1, sum.1 + one.2));
                let sum = ring.sum(now);
                prop_assert_eq!((sum.ratio.good, sum.ratio.bad(), sum.eaten[3]), (good, bad, bad));
            }
        }
    }
}
