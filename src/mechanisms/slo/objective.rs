//! One objective: what is good, how much of it there must be, and how fast its error budget burns.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

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

    fn count(&mut self, good: bool) {
        self.good += u64::from(good);
        self.total += 1;
    }
}

/// The last minute, second by second, in constant memory.
#[derive(Debug, Clone)]
struct Minute {
    seconds: [Ratio; Self::SECONDS as usize],
    sum: Ratio,
    /// The second that is being counted, since the epoch.
    second: u64,
}

impl Minute {
    const SECONDS: u64 = 60;

    fn count(&mut self, good: bool, now: Timestamp) {
        self.slide(now);
        if let Some(ratio) = self.seconds.get_mut((self.second % Self::SECONDS) as usize) {
            ratio.count(good);
            self.sum.count(good);
        }
    }

    /// Forgets the seconds that are more than a minute ago.
    fn slide(&mut self, now: Timestamp) {
        let second = now.as_secs();
        if second <= self.second {
            return;
        }
        for step in 1..=(second - self.second).min(Self::SECONDS) {
            if let Some(ratio) = self.seconds.get_mut(((self.second + step) % Self::SECONDS) as usize) {
                self.sum.good -= ratio.good;
                self.sum.total -= ratio.total;
                *ratio = Ratio::default();
            }
        }
        self.second = second;
    }
}

/// An objective with what was counted for it.
#[derive(Debug, Clone)]
pub struct Objective {
    /// Its name.
    pub name: &'static str,
    /// The share that must be good, 0 to 1.
    pub target: f64,
    session: Ratio,
    minute: Minute,
}

impl Objective {
    /// With nothing counted yet.
    pub fn new(name: &'static str, target: f64) -> Self {
        let minute = Minute { seconds: [Ratio::default(); Minute::SECONDS as usize], sum: Ratio::default(), second: 0 };
        Self { name, target, session: Ratio::default(), minute }
    }

    /// Counts one event. O(1).
    pub fn count(&mut self, good: bool, now: Timestamp) {
        self.session.count(good);
        self.minute.count(good, now);
    }

    /// Over the whole session.
    pub const fn session(&self) -> Ratio {
        self.session
    }

    /// Over the last minute before `now`.
    pub fn minute(&mut self, now: Timestamp) -> Ratio {
        self.minute.slide(now);
        self.minute.sum
    }

    /// How many times faster than allowed the budget burns for this ratio: error ratio / (1 - target), as in the SRE
    /// workbook, chapter 5. `None` while nothing was counted.
    pub fn burn_rate(&self, ratio: Ratio) -> Option<f64> {
        (ratio.total > 0).then(|| ratio.bad() as f64 / ratio.total as f64 / (1.0 - self.target))
    }

    /// The share of the session's budget that is used up, from 0; above 1 when it is overspent.
    pub fn consumed(&self) -> f64 {
        self.burn_rate(self.session).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn burn_is_the_error_ratio_over_what_is_allowed() {
        let mut objective = Objective::new("availability", 0.999);
        for n in 0..1_000 {
            objective.count(n % 100 != 0, Timestamp::EPOCH);
        }
        let burn = objective.burn_rate(objective.session()).unwrap();
        assert!((burn - 10.0).abs() < 1e-9, "{burn}");
        assert_eq!(Objective::new("x", 0.9).burn_rate(Ratio::default()), None);
    }

    proptest! {
        #[test]
        fn the_minute_is_what_a_list_of_events_says(
            events in prop::collection::vec((0u64..20_000, any::<bool>()), 1..200),
        ) {
            let mut objective = Objective::new("x", 0.9);
            let mut list = Vec::new();
            let mut now = 0;
            for (advance, good) in events {
                now += advance;
                objective.count(good, Timestamp::from_millis(now));
                list.push((now / 1_000, good));
                let from = (now / 1_000).saturating_sub(59);
                let expected = Ratio {
                    good: list.iter().filter(|(second, good)| *second >= from && *good).count() as u64,
                    total: list.iter().filter(|(second, _)| *second >= from).count() as u64,
                };
                prop_assert_eq!(objective.minute(Timestamp::from_millis(now)), expected);
            }
        }
    }
}
