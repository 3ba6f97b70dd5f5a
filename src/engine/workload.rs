//! Which numbers are asked for: a range, a list from outside, or endless draws.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use serde::{Deserialize, Serialize};

/// The section `workload`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkloadConfig {
    /// What kind of draws.
    pub kind: WorkloadKind,
    /// The smallest number.
    pub from: i64,
    /// The largest number.
    pub to: i64,
    /// For `zipf`: how much more often the small numbers come; above 0.
    pub exponent: f64,
    /// Evaluations a second; 0 is as fast as they go.
    pub rate: u32,
}

impl Default for WorkloadConfig {
    fn default() -> Self {
        Self { kind: WorkloadKind::Zipf, from: 1, to: 10_000, exponent: 1.07, rate: 1_000 }
    }
}

/// The kinds of workload that need nothing from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// Each number once, ascending, then the end.
    Range,
    /// Endless draws, every number equally likely.
    Uniform,
    /// Endless draws, the k-th number with a probability proportional to 1 / k^exponent.
    Zipf,
}

/// Why there is no workload.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WorkloadError {
    /// Start after end.
    #[error("the range starts at {from}, after its end {to}; give the smaller number first")]
    Range {
        /// As given.
        from: i64,
        /// As given.
        to: i64,
    },
    /// No such distribution.
    #[error("workload.exponent is {0}; it must be a number above 0")]
    Exponent(f64),
}

/// A number list from outside went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct InputError {
    /// File, line and column.
    pub place: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// What a workload says when it is asked for the next number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This one.
    Number(i64),
    /// None yet; ask again later.
    Later,
    /// No more.
    End,
    /// No more, because the input is broken here.
    Broken(InputError),
}

/// A source of numbers from outside: a file, standard input.
pub type Feed = Box<dyn FnMut() -> Next + Send>;

enum Kind {
    Range { next: i128 },
    Uniform,
    Zipf(Zipf<f64>),
    Feed(Feed),
}

/// Numbers, one after another.
pub struct Workload {
    kind: Kind,
    from: i64,
    to: i64,
    rng: ChaCha8Rng,
    text: String,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Workload {
    /// As configured, drawing from `rng`.
    ///
    /// # Errors
    /// [`WorkloadError`] for an empty range or an impossible distribution.
    pub fn new(config: &WorkloadConfig, rng: ChaCha8Rng) -> Result<Self, WorkloadError> {
        let WorkloadConfig { kind, from, to, exponent, .. } = *config;
        if from > to {
            return Err(WorkloadError::Range { from, to });
        }
        let count = to as i128 - from as i128 + 1;
        let (kind, text) = match kind {
            WorkloadKind::Range => (Kind::Range { next: from.into() }, format!("range {from} to {to}")),
            WorkloadKind::Uniform => (Kind::Uniform, format!("uniform draws of {from} to {to}")),
            WorkloadKind::Zipf => {
                let zipf = Some(exponent)
                    .filter(|exponent| exponent.is_finite() && *exponent > 0.0)
                    .and_then(|exponent| Zipf::new(count as f64, exponent).ok())
                    .ok_or(WorkloadError::Exponent(exponent))?;
                (Kind::Zipf(zipf), format!("Zipf draws of {from} to {to}, exponent {exponent}"))
            }
        };
        Ok(Self { kind, from, to, rng, text })
    }

    /// As configured, but `count` numbers at most.
    ///
    /// # Errors
    /// As [`Workload::new`].
    pub fn counted(config: &WorkloadConfig, count: u64, rng: ChaCha8Rng) -> Result<Self, WorkloadError> {
        let mut inner = Self::new(config, rng.clone())?;
        let text = format!("{count} of {}", inner.text());
        let mut left = count;
        let feed = move || {
            if left == 0 {
                return Next::End;
            }
            let next = inner.draw();
            left -= u64::from(matches!(next, Next::Number(_)));
            next
        };
        Ok(Self::feed(Box::new(feed), text, rng))
    }

    /// Numbers from outside; `text` says where from.
    pub fn feed(feed: Feed, text: String, rng: ChaCha8Rng) -> Self {
        Self { kind: Kind::Feed(feed), from: 0, to: 0, rng, text }
    }

    /// The next number.
    pub fn draw(&mut self) -> Next {
        match &mut self.kind {
            Kind::Range { next } => match i64::try_from(*next) {
                Ok(number) if number <= self.to => {
                    *next += 1;
                    Next::Number(number)
                }
                _ => Next::End,
            },
            Kind::Uniform => Next::Number(self.rng.random_range(self.from..=self.to)),
            Kind::Zipf(zipf) => {
                // A Zipf draw is a rank from 1; the smallest number has rank 1.
                let rank = zipf.sample(&mut self.rng) as i128;
                let number = i128::from(self.from) + rank - 1;
                Next::Number(i64::try_from(number).unwrap_or(self.to).min(self.to))
            }
            Kind::Feed(feed) => feed(),
        }
    }

    /// How many numbers it has in all, when that is known.
    pub fn total(&self) -> Option<u64> {
        match self.kind {
            Kind::Range { .. } => u64::try_from(i128::from(self.to) - i128::from(self.from) + 1).ok(),
            Kind::Uniform | Kind::Zipf(_) | Kind::Feed(_) => None,
        }
    }

    /// What it is, for people.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seed::{Seed, Stream};

    fn workload(kind: WorkloadKind, from: i64, to: i64) -> Result<Workload, WorkloadError> {
        let config = WorkloadConfig { kind, from, to, ..WorkloadConfig::default() };
        Workload::new(&config, Seed(7).stream(Stream::Workload))
    }

    fn numbers(workload: &mut Workload, count: usize) -> Vec<i64> {
        (0..count).map_while(|_| if let Next::Number(number) = workload.draw() { Some(number) } else { None }).collect()
    }

    #[test]
    fn a_range_is_inclusive_and_may_end_at_the_last_number() {
        let mut range = workload(WorkloadKind::Range, i64::MAX - 2, i64::MAX).unwrap();
        assert_eq!(range.total(), Some(3));
        assert_eq!(numbers(&mut range, 9), [i64::MAX - 2, i64::MAX - 1, i64::MAX]);
        assert_eq!(range.draw(), Next::End);
        assert!(workload(WorkloadKind::Range, 2, 1).is_err());
    }

    #[test]
    fn draws_stay_in_range_and_a_seed_repeats_them() {
        for kind in [WorkloadKind::Uniform, WorkloadKind::Zipf] {
            let first = numbers(&mut workload(kind, -5, 10_000).unwrap(), 5_000);
            assert!(first.iter().all(|number| (-5..=10_000).contains(number)));
            assert_eq!(first, numbers(&mut workload(kind, -5, 10_000).unwrap(), 5_000));
        }
    }

    #[test]
    fn zipf_draws_are_the_same_on_every_machine() {
        let drawn = numbers(&mut workload(WorkloadKind::Zipf, 1, 10_000).unwrap(), 12);
        insta::assert_compact_debug_snapshot!(drawn);
    }

    #[test]
    fn zipf_prefers_small_numbers() {
        let drawn = numbers(&mut workload(WorkloadKind::Zipf, 1, 10_000).unwrap(), 20_000);
        let ones = drawn.iter().filter(|number| **number == 1).count();
        let twos = drawn.iter().filter(|number| **number == 2).count();
        assert!(ones > twos && twos > 100, "{ones} {twos}");
    }

    #[test]
    fn an_impossible_exponent_is_refused() {
        for exponent in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let config = WorkloadConfig { exponent, ..WorkloadConfig::default() };
            assert!(Workload::new(&config, Seed(7).stream(Stream::Workload)).is_err(), "{exponent}");
        }
    }
}
