//! Where two sessions part: their configurations, the first event that differs, the first frame that does.

use std::time::Duration;

use super::repeat::{first_leaf, snapshot_difference};
use super::{Recording, RecordingError};
use crate::domain::Event;

/// What differs first, of each kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// Settings that differ, as `key: one, other`; the first of each section.
    pub settings: Vec<String>,
    /// How long after the start the first event differs, with both; `None` for one that has no more.
    pub event: Option<(Duration, Option<Event>, Option<Event>)>,
    /// So many events are the same before that.
    pub events: u64,
    /// How long after the start the first frame made at the same moment differs, and where.
    pub frame: Option<(Duration, String)>,
}

impl Difference {
    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.settings.is_empty() && self.event.is_none() && self.frame.is_none()
    }
}

/// The events of a recording, one after another.
struct Told<'a> {
    recording: &'a mut Recording,
    next: usize,
    ready: std::vec::IntoIter<Event>,
}

impl Told<'_> {
    fn next(&mut self) -> Result<Option<Event>, RecordingError> {
        loop {
            if let Some(event) = self.ready.next() {
                return Ok(Some(event));
            }
            if self.next >= self.recording.chunks().len() {
                return Ok(None);
            }
            let events: Vec<Event> = self.recording.history(self.next)?.events.into_values().flatten().collect();
            self.ready = events.into_iter();
            self.next += 1;
        }
    }
}

/// Compares two recordings. Moments are compared from each one's start, ids are not.
///
/// # Errors
/// [`RecordingError`] for one that cannot be read.
pub fn compare(one: &mut Recording, other: &mut Recording) -> Result<Difference, RecordingError> {
    let mut found = Difference::default();
    let headers = (&one.header, &other.header);
    if headers.0.info.seed != headers.1.info.seed {
        found.settings.push(format!("seed: {}, {}", headers.0.info.seed, headers.1.info.seed));
    }
    if headers.0.info.clock != headers.1.info.clock {
        found.settings.push(format!("clock: {}, {}", headers.0.info.clock.name(), headers.1.info.clock.name()));
    }
    if let (Ok(serde_json::Value::Object(settings)), Ok(others)) =
        (serde_json::to_value(&headers.0.settings), serde_json::to_value(&headers.1.settings))
    {
        found.settings.extend(settings.iter().filter_map(|(section, settings)| {
            first_leaf(section, settings, others.get(section).unwrap_or(&serde_json::Value::Null))
        }));
    }
    let (began, other_began) = (one.header.info.began, other.header.info.began);
    let ids = (one.header.info.session_id.clone(), other.header.info.session_id.clone());
    {
        let mut told = Told { recording: one, next: 0, ready: Vec::new().into_iter() };
        let mut others = Told { recording: other, next: 0, ready: Vec::new().into_iter() };
        loop {
            let (event, other) = (told.next()?, others.next()?);
            let same = match (&event, &other) {
                (None, None) => break,
                (Some(event), Some(other)) => {
                    let payload = |event: &Event, id: &str| {
                        serde_json::to_string(&event.payload).map(|text| text.replace(id, "")).unwrap_or_default()
                    };
                    event.at.since(began) == other.at.since(other_began)
                        && payload(event, &ids.0) == payload(other, &ids.1)
                }
                _ => false,
            };
            if !same {
                let first = event.as_ref().map(|event| event.at.since(began));
                let second = other.as_ref().map(|event| event.at.since(other_began));
                let after = [first, second].into_iter().flatten().min().unwrap_or_default();
                found.event = Some((after, event, other));
                break;
            }
            found.events += 1;
        }
    }
    let redacted: Vec<String> = one.redacted().iter().chain(other.redacted()).cloned().collect();
    let (mut at, mut other_at) = (0, 0);
    while at < one.frames() && other_at < other.frames() {
        let (frame, second) = (one.frame(at)?, other.frame(other_at)?);
        let (after, other_after) = (frame.at.since(began), second.at.since(other_began));
        if after < other_after {
            at += 1;
            continue;
        }
        if other_after < after {
            other_at += 1;
            continue;
        }
        (at, other_at) = (at + 1, other_at + 1);
        if frame.snapshot != second.snapshot
            && began == other_began
            && let (Ok(frame), Ok(second)) =
                (serde_json::to_value(&frame.snapshot), serde_json::to_value(&second.snapshot))
            && let Some(place) = snapshot_difference(&frame, &second, &redacted)
        {
            found.frame = Some((after, place));
            break;
        }
    }
    Ok(found)
}
