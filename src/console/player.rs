//! Plays a recording: at a speed, from anywhere, between two marks, step by step. It reads no more of the file than it shows.

use std::sync::Arc;
use std::time::Duration;

use super::timeline;
use crate::domain::Timestamp;
use crate::engine::Frame;
use crate::recording::{Mark, MarkKind, Moment, Note, Notes, Recording, RecordingError};

/// What an operator does with a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlayerAction {
    /// Plays or pauses; at the end, plays again from the start.
    Toggle,
    /// The next speed up, at most 100 times.
    Faster,
    /// The next speed down, at least a tenth.
    Slower,
    /// Five seconds back.
    Back,
    /// Five seconds on.
    Forward,
    /// To the first frame.
    ToStart,
    /// To the last frame.
    ToEnd,
    /// To the next frame, or the one before, and pauses.
    Frame {
        /// On, or back.
        forward: bool,
    },
    /// To the next frame that tells an event, or the last one that did, and pauses.
    Event {
        /// On, or back.
        forward: bool,
    },
    /// To the next moment of a kind, or the last one, and pauses.
    Mark {
        /// Which kind.
        kind: MarkKind,
        /// On, or back.
        forward: bool,
    },
    /// To this long after the start.
    Seek(Duration),
    /// Sets a marker here, or takes the one that is here away.
    Marker,
    /// To the next marker or note, around the end.
    NextMarker,
    /// What is played again and again begins here.
    LoopFrom,
    /// It ends here.
    LoopTo,
    /// Nothing is played again and again.
    NoLoop,
}

/// What a player tells of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayerView {
    /// Whether it plays.
    pub playing: bool,
    /// How many times as fast as it was.
    pub speed: f64,
    /// Where it is.
    pub at: Timestamp,
    /// When the recording begins.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
    /// The events that are worth a look.
    pub marks: Arc<[Mark]>,
    /// What people said.
    pub notes: Arc<[Note]>,
    /// Markers of this replay.
    pub markers: Vec<Timestamp>,
    /// What is played again and again.
    pub span: (Option<Timestamp>, Option<Timestamp>),
    /// Sections that were taken out of the recording.
    pub redacted: usize,
}

/// What is to be shown now.
#[derive(Debug)]
pub enum Due {
    /// The next frames; often none.
    Frames(Vec<Arc<Frame>>),
    /// A moment, in place of everything shown so far.
    Moment(Box<Moment>),
}

/// A recording that is being played.
pub struct Player {
    recording: Recording,
    marks: Arc<[Mark]>,
    kept: Notes,
    notes: Arc<[Note]>,
    markers: Vec<Timestamp>,
    span: (Option<Timestamp>, Option<Timestamp>),
    /// The next frame to be shown.
    next: u64,
    /// A frame that is to be shown at once.
    jump: Option<u64>,
    at: Timestamp,
    /// The last frame that was shown.
    shown: Timestamp,
    playing: bool,
    speed: f64,
}

const STEP: Duration = Duration::from_secs(5);
/// The speeds that there are.
const SPEEDS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0];
/// So many frames are folded one by one; beyond, the moment is looked up.
const FOLD: u64 = 64;

impl Player {
    /// At the start, playing.
    pub fn new(recording: Recording) -> Self {
        let kept = Notes::beside(recording.path().as_ref(), &recording.header.info.session_id);
        let mut player = Self {
            marks: recording.marks().into(),
            at: recording.from(),
            shown: recording.from(),
            recording,
            kept,
            notes: Arc::new([]),
            markers: Vec::new(),
            span: (None, None),
            next: 0,
            jump: None,
            playing: true,
            speed: 1.0,
        };
        // Notes that cannot be read are missed by nobody who plays; whoever writes one is told.
        player.read_notes();
        player
    }

    fn read_notes(&mut self) {
        if let Ok((notes, _)) = self.kept.read() {
            self.notes = notes.into();
        }
    }

    /// As it is shown.
    pub fn view(&self) -> PlayerView {
        PlayerView {
            playing: self.playing,
            speed: self.speed,
            at: self.at,
            from: self.recording.from(),
            to: self.recording.to(),
            marks: Arc::clone(&self.marks),
            notes: Arc::clone(&self.notes),
            markers: self.markers.clone(),
            span: self.span,
            redacted: self.recording.redacted().len(),
        }
    }

    /// Whether time moves it.
    pub const fn is_playing(&self) -> bool {
        self.playing
    }

    /// What is wrong with the recording.
    pub fn damage(&self) -> Option<&str> {
        self.recording.damage()
    }

    /// Lets time pass.
    pub fn pass(&mut self, elapsed: Duration) {
        if !self.playing {
            return;
        }
        self.at = (self.at + elapsed.mul_f64(self.speed)).min(self.recording.to());
        if let (Some(from), Some(to)) = self.span
            && self.at >= to
        {
            self.seek(from);
        }
        self.playing = self.at < self.recording.to();
    }

    /// Keeps a note of the present moment.
    ///
    /// # Errors
    /// A sentence.
    pub fn annotate(&mut self, by: &str, text: &str) -> Result<String, String> {
        self.kept.add(self.at, by, text).map_err(|error| format!("the note is not kept: {error}"))?;
        // With it, what others have written meanwhile.
        self.read_notes();
        Ok(format!("noted in {}", self.kept.path().display()))
    }

    fn seek(&mut self, moment: Timestamp) {
        self.at = moment.clamp(self.recording.from(), self.recording.to());
        self.jump = self.recording.at(self.at).ok();
    }

    /// To a frame, which it shows while it pauses.
    fn step_to(&mut self, frame: Option<u64>) -> Result<(), String> {
        self.playing = false;
        if let Some(frame) = frame.filter(|frame| *frame < self.recording.frames()) {
            self.at = self.recording.frame(frame).map_err(|error| error.to_string())?.at;
            self.jump = Some(frame);
        }
        Ok(())
    }

    /// Does what the operator wants.
    ///
    /// # Errors
    /// A sentence: there is no such moment, or it cannot be read.
    pub fn act(&mut self, action: &PlayerAction) -> Result<(), String> {
        let shown = self.next.saturating_sub(1);
        let failed = |error: RecordingError| error.to_string();
        match action {
            PlayerAction::Toggle if !self.playing && self.at >= self.recording.to() => {
                self.seek(self.recording.from());
                self.playing = true;
            }
            PlayerAction::Toggle => self.playing = !self.playing,
            PlayerAction::Faster => self.speed = SPEEDS.into_iter().find(|one| *one > self.speed).unwrap_or(100.0),
            PlayerAction::Slower => self.speed = SPEEDS.into_iter().rfind(|one| *one < self.speed).unwrap_or(0.1),
            PlayerAction::Back => self.seek(self.at.before(STEP)),
            PlayerAction::Forward => self.seek(self.at + STEP),
            PlayerAction::ToStart => self.seek(self.recording.from()),
            PlayerAction::ToEnd => self.seek(self.recording.to()),
            PlayerAction::Frame { forward: true } => self.step_to(Some(self.next))?,
            PlayerAction::Frame { forward: false } => self.step_to(shown.checked_sub(1))?,
            PlayerAction::Event { forward } => {
                let found = self.recording.frame_with_event(shown, *forward).map_err(failed)?;
                let word = if *forward { "later" } else { "earlier" };
                self.step_to(Some(found.ok_or_else(|| format!("there is no {word} event"))?))?;
            }
            PlayerAction::Mark { kind, forward } => self.find_mark(*kind, *forward, shown)?,
            PlayerAction::Seek(after) => {
                let length = self.recording.to().since(self.recording.from());
                if *after > length {
                    return Err(format!("the recording ends after {:.1} s", length.as_secs_f64()));
                }
                self.seek(self.recording.from() + *after);
            }
            PlayerAction::Marker => match self.markers.iter().position(|marker| *marker == self.at) {
                Some(place) => drop(self.markers.remove(place)),
                None => {
                    self.markers.push(self.at);
                    self.markers.sort();
                }
            },
            PlayerAction::NextMarker => {
                let mut all: Vec<Timestamp> =
                    self.notes.iter().map(|note| note.at).chain(self.markers.clone()).collect();
                all.sort();
                let next = all.iter().find(|marker| **marker > self.at).or_else(|| all.first());
                self.seek(*next.ok_or("there is no marker and no note: m sets one, i writes one")?);
            }
            PlayerAction::LoopFrom => {
                self.span.0 = Some(self.at);
                self.span.1 = self.span.1.filter(|to| *to > self.at);
            }
            PlayerAction::LoopTo if self.span.0.is_none_or(|from| from < self.at) => {
                self.span = (self.span.0.or(Some(self.recording.from())), Some(self.at));
            }
            PlayerAction::LoopTo => return Err("a loop ends after it begins".into()),
            PlayerAction::NoLoop => self.span = (None, None),
        }
        Ok(())
    }

    fn find_mark(&mut self, kind: MarkKind, forward: bool, shown: u64) -> Result<(), String> {
        // Of a frame that tells several, one step passes all.
        let upto = self.recording.frame(shown).map_err(|error| error.to_string())?;
        let (first, next) = match upto.events.first() {
            Some(event) => (event.sequence, upto.events_made),
            None => (upto.events_made, upto.events_made),
        };
        let mut marks = self.marks.iter().filter(|mark| mark.kind == kind);
        let found =
            if forward { marks.find(|mark| mark.event >= next) } else { marks.rfind(|mark| mark.event < first) };
        let word = if forward { "later" } else { "earlier" };
        let Mark { event, at, .. } = *found.ok_or_else(|| format!("there is no {word} {}", kind.name()))?;
        let frame = self.recording.event(event, at).map_err(|error| error.to_string())?;
        self.step_to(frame)
    }

    /// What is to be shown now.
    ///
    /// # Errors
    /// A sentence: what follows cannot be read. The replay ends there then.
    pub fn due(&mut self) -> Result<Due, String> {
        let read = self.read_due();
        read.map_err(|error| {
            // It stays where it was shown last, so that this is told once.
            self.playing = false;
            self.at = self.shown;
            error.to_string()
        })
    }

    fn read_due(&mut self) -> Result<Due, RecordingError> {
        let target = match self.jump.take() {
            Some(frame) => frame,
            None => {
                let target = self.recording.at(self.at)?;
                if target < self.next {
                    return Ok(Due::Frames(Vec::new()));
                }
                if target - self.next < FOLD {
                    let frames = (self.next..=target).map(|frame| self.recording.frame(frame));
                    let frames = frames.collect::<Result<Vec<_>, _>>()?;
                    self.next = target + 1;
                    self.shown = frames.last().map_or(self.shown, |frame| frame.at);
                    return Ok(Due::Frames(frames));
                }
                target
            }
        };
        let moment = self.recording.moment(target, timeline::EVENTS, timeline::SAMPLES)?;
        self.next = target + 1;
        self.shown = moment.frame.at;
        Ok(Due::Moment(Box::new(moment)))
    }
}
