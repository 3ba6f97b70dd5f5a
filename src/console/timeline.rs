//! What the console remembers of the frames that it has seen. Live or replayed, the same frames give the same screens.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::{Event, Timestamp};
use crate::engine::Frame;
use crate::engine::tally::Sample;
use crate::recording::Moment;

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
pub const SAMPLES: usize = 600;
/// As many events.
pub const EVENTS: usize = 500;
/// Live, as much again is kept, for whoever scrolls back.
const BACK: usize = 2;

impl Timeline {
    /// Takes a frame in.
    pub fn fold(&mut self, frame: Arc<Frame>) {
        for event in &frame.events {
            self.missed += event.sequence.saturating_sub(self.next_event);
            self.next_event = event.sequence + 1;
            if self.events.len() == EVENTS * BACK {
                self.events.pop_front();
            }
            self.events.push_back(event.clone());
        }
        self.missed += frame.events_made.saturating_sub(self.next_event);
        self.next_event = frame.events_made;
        for sample in &frame.samples {
            if self.samples.len() == SAMPLES * BACK {
                self.samples.pop_front();
            }
            self.samples.push_back(sample.clone());
        }
        self.frame = Some(frame);
    }

    /// As it was at an earlier frame, as far as is known.
    #[must_use]
    pub fn until(&self, frame: &Arc<Frame>) -> Self {
        let made = frame.events_made;
        Self {
            frame: Some(Arc::clone(frame)),
            samples: self.samples.iter().filter(|sample| sample.at <= frame.at).cloned().collect(),
            events: self.events.iter().filter(|event| event.sequence < made).cloned().collect(),
            next_event: made,
            missed: self.missed,
        }
    }

    /// As it is at a moment of a recording.
    pub fn at(moment: Moment) -> Self {
        let Moment { frame, events, samples, missed } = moment;
        let before = frame.events.first().map_or(frame.events_made, |event| event.sequence);
        let mut timeline =
            Self { frame: None, samples: samples.into(), events: events.into(), next_event: before, missed };
        timeline.fold(frame);
        timeline
    }

    /// The last frame; `None` before the first.
    pub const fn frame(&self) -> Option<&Arc<Frame>> {
        self.frame.as_ref()
    }

    /// The last samples, at most `count`, oldest first.
    pub fn samples(&self, count: usize) -> impl Iterator<Item = &Sample> {
        self.samples.iter().skip(self.samples.len().saturating_sub(count.min(SAMPLES)))
    }

    /// The events, newest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().rev().take(EVENTS)
    }

    /// Events between two moments, oldest first.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Event> {
        let shown = self.events.iter().skip(self.events.len().saturating_sub(EVENTS));
        shown.filter(move |event| event.at > from && event.at <= to)
    }

    /// Events that were made and never seen.
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}
