//! Plays recorded frames: at a speed, from anywhere.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::Timestamp;
use crate::engine::Frame;

/// What an operator does with a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayerAction {
    /// Plays or pauses; at the end, plays again from the start.
    Toggle,
    /// Twice as fast, at most 1024 times.
    Faster,
    /// Half as fast, at least a quarter.
    Slower,
    /// Five seconds back.
    Back,
    /// Five seconds on.
    Forward,
    /// To the first frame.
    ToStart,
    /// To the last frame.
    ToEnd,
}

/// What a player tells of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlayerView {
    /// Whether it plays.
    pub playing: bool,
    /// How many times as fast as it was.
    pub speed: f64,
    /// Where it is, from the start.
    pub position: Duration,
    /// How long the recording is.
    pub length: Duration,
}

/// A recording that is being played.
#[derive(Debug)]
pub struct Player {
    frames: Vec<Arc<Frame>>,
    /// How many frames have been shown.
    shown: usize,
    at: Timestamp,
    playing: bool,
    speed: f64,
}

const STEP: Duration = Duration::from_secs(5);

impl Player {
    /// At the start, playing.
    pub fn new(frames: Vec<Frame>) -> Self {
        let at = frames.first().map_or(Timestamp::EPOCH, |frame| frame.at);
        Self { frames: frames.into_iter().map(Arc::new).collect(), shown: 0, at, playing: true, speed: 1.0 }
    }

    fn first(&self) -> Timestamp {
        self.frames.first().map_or(Timestamp::EPOCH, |frame| frame.at)
    }

    fn last(&self) -> Timestamp {
        self.frames.last().map_or(Timestamp::EPOCH, |frame| frame.at)
    }

    /// As it is shown.
    pub fn view(&self) -> PlayerView {
        PlayerView {
            playing: self.playing,
            speed: self.speed,
            position: self.at.since(self.first()),
            length: self.last().since(self.first()),
        }
    }

    /// Whether time moves it.
    pub const fn is_playing(&self) -> bool {
        self.playing
    }

    /// Lets time pass.
    pub fn pass(&mut self, elapsed: Duration) {
        if self.playing {
            self.at = (self.at + elapsed.mul_f64(self.speed)).min(self.last());
            self.playing = self.at < self.last();
        }
    }

    /// Does what the operator wants; `true` when it went back, so that what was shown must be shown anew.
    pub fn act(&mut self, action: PlayerAction) -> bool {
        let before = self.at;
        match action {
            PlayerAction::Toggle if !self.playing && self.at >= self.last() => {
                self.at = self.first();
                self.playing = true;
            }
            PlayerAction::Toggle => self.playing = !self.playing,
            PlayerAction::Faster => self.speed = (self.speed * 2.0).min(1024.0),
            PlayerAction::Slower => self.speed = (self.speed / 2.0).max(0.25),
            PlayerAction::Back => self.at = self.at.before(STEP).max(self.first()),
            PlayerAction::Forward => self.at = (self.at + STEP).min(self.last()),
            PlayerAction::ToStart => self.at = self.first(),
            PlayerAction::ToEnd => self.at = self.last(),
        }
        let back = self.at < before;
        if back {
            self.shown = 0;
        }
        back
    }

    /// The frames up to the present place that have not been shown yet.
    pub fn due(&mut self) -> &[Arc<Frame>] {
        let from = self.shown;
        let at = self.at;
        let more = self.frames.iter().skip(from).take_while(|frame| frame.at <= at).count();
        // The first frame is always shown, even before its time.
        self.shown = (from + more).max(1).min(self.frames.len());
        self.frames.get(from..self.shown).unwrap_or_default()
    }
}
