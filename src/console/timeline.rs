//! What the console remembers of the frames that it has seen. Live or replayed, the same frames give the same screens.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::{Event, Timestamp};
use crate::engine::Frame;
use crate::engine::tally::Sample;

/// The last frame, and the history that came with the frames.
#[derive(Debug, Default)]
pub struct Timeline {
    frame: Option<Arc<Frame>>,
    samples: VecDeque<Sample>,
    events: VecDeque<Event>,
    /// The next event's number, if none is missed.
    next_event: u64,
    missed: u64,
}

/// Ten minutes of samples.
const SAMPLES: usize = 600;
const EVENTS: usize = 500;

impl Timeline {
    /// Takes a frame in.
    pub fn fold(&mut self, frame: Arc<Frame>) {
        for event in &frame.events {
            self.missed += event.sequence.saturating_sub(self.next_event);
            self.next_event = event.sequence + 1;
            if self.events.len() == EVENTS {
                self.events.pop_front();
            }
            self.events.push_back(event.clone());
        }
        self.missed += frame.events_made.saturating_sub(self.next_event);
        self.next_event = frame.events_made;
        for sample in &frame.samples {
            if self.samples.len() == SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(sample.clone());
        }
        self.frame = Some(frame);
    }

    /// The last frame; `None` before the first.
    pub const fn frame(&self) -> Option<&Arc<Frame>> {
        self.frame.as_ref()
    }

    /// The last samples, at most `count`, oldest first.
    pub fn samples(&self, count: usize) -> impl Iterator<Item = &Sample> {
        self.samples.iter().skip(self.samples.len().saturating_sub(count))
    }

    /// The events, newest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().rev()
    }

    /// Events between two moments, oldest first.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.at > from && event.at <= to)
    }

    /// Events that were made and never seen.
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}
