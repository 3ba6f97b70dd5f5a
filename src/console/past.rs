//! The last minutes of a live session, so that an operator can look back while it goes on. Memory is bounded by the number
//! of frames; single calls are not among them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::timeline::Timeline;
use crate::domain::Timestamp;
use crate::engine::Frame;

/// Frames of the past, and which of them is looked at.
#[derive(Debug, Default)]
pub struct Past {
    frames: VecDeque<Arc<Frame>>,
    /// What is looked at, as it was.
    shown: Option<Timeline>,
}

/// Two frames a second
const STEP: Duration = Duration::from_millis(500);
/// of ten minutes.
const FRAMES: usize = 1_200;

impl Past {
    /// Keeps a frame, unless one was kept just before.
    pub fn keep(&mut self, frame: &Arc<Frame>) {
        if self.frames.back().is_some_and(|last| frame.at.since(last.at) < STEP) {
            return;
        }
        if self.frames.len() == FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(Arc::clone(frame));
    }

    /// What is looked at; `None` for the present.
    pub const fn shown(&self) -> Option<&Timeline> {
        self.shown.as_ref()
    }

    /// Looks so far back from what is shown, or on; beyond the last frame is the present. `now` is as the session is.
    pub fn look(&mut self, now: &Timeline, span: Duration, forward: bool) {
        let Some(at) = self.shown.as_ref().unwrap_or(now).frame().map(|frame| frame.at) else { return };
        let target = if forward { at + span } else { at.before(span) };
        let last = now.frame().map_or(Timestamp::EPOCH, |frame| frame.at);
        if forward && target >= last {
            return self.now();
        }
        let place = self.frames.partition_point(|frame| frame.at <= target).saturating_sub(1);
        self.shown = self.frames.get(place).map(|frame| now.until(frame));
    }

    /// Back to the present.
    pub fn now(&mut self) {
        self.shown = None;
    }

    /// How many frames are kept.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.frames.len()
    }
}
