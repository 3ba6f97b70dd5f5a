//! Finished evaluations, handed out in order of admission however late some of them finish.

use std::collections::VecDeque;

use crate::domain::Evaluation;

/// A window over the evaluations that have been admitted and not handed out.
#[derive(Debug, Default)]
pub struct Results {
    /// The sequence number of the first place.
    first: u64,
    places: VecDeque<Option<Evaluation>>,
}

/// No more are admitted while this many wait for an earlier one.
const LIMIT: usize = 16_384;

impl Results {
    /// An evaluation was admitted.
    pub fn expect(&mut self) {
        self.places.push_back(None);
    }

    /// It has finished.
    pub fn put(&mut self, evaluation: Evaluation) {
        let place = evaluation.sequence.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(place) = place.and_then(|place| self.places.get_mut(place)) {
            *place = Some(evaluation);
        }
    }

    /// The next in order, if it has finished.
    pub fn take(&mut self) -> Option<Evaluation> {
        self.places.front()?.as_ref()?;
        self.first += 1;
        self.places.pop_front()?
    }

    /// Whether another may be admitted.
    pub fn has_room(&self) -> bool {
        self.places.len() < LIMIT
    }
}
