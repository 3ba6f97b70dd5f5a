//! Frames as sections of a chunk, and back. It depends on the frame's outline alone (a snapshot of parts, lists, and single
//! values), not on which parts there are.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::calls;
use super::chunk::{Line, Section, redacted};
use super::grid::{self, Piece, State};
use crate::domain::Event;
use crate::engine::tally::Sample;
use crate::engine::{Frame, Instruction};
use crate::mechanisms::breaker::CallBlock;

/// The section of the frame's single values.
const FRAME: &str = "frame";
/// What the sections of the snapshot's parts begin with.
pub const SNAPSHOT: &str = "snapshot.";
/// The lists that tell what happened between frames, and are enough to draw charts and marks.
pub const LISTS: [&str; 3] = ["events", "samples", "instructions"];
/// The section of the calls.
pub const CALLS: &str = "calls";

/// What happened between the frames of a chunk: lists by their frame's place in it.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Events.
    pub events: BTreeMap<u32, Vec<Event>>,
    /// Intervals that ended.
    pub samples: BTreeMap<u32, Vec<Sample>>,
    /// What the engine was told.
    pub instructions: BTreeMap<u32, Vec<Instruction>>,
    /// Lists that were taken out.
    pub redacted: Vec<String>,
}

impl History {
    /// Reads a line of a chunk with so many frames.
    ///
    /// # Errors
    /// A sentence that names the section.
    pub fn read(line: &Line<'_>, count: u32) -> Result<Self, String> {
        fn list<T: serde::de::DeserializeOwned>(
            name: &str,
            text: &str,
            count: u32,
        ) -> Result<BTreeMap<u32, Vec<T>>, String> {
            let items: BTreeMap<u32, Vec<T>> =
                serde_json::from_str(text).map_err(|error| format!("section {name}: {error}"))?;
            match items.last_key_value() {
                Some((last, _)) if *last >= count => Err(format!("section {name}: there is no frame {last}")),
                _ => Ok(items),
            }
        }
        let mut found = Self::default();
        for (name, text) in line.sections() {
            match name {
                _ if redacted(text).is_some() => found.redacted.push(name.to_owned()),
                "events" => found.events = list(name, text, count)?,
                "samples" => found.samples = list(name, text, count)?,
                "instructions" => found.instructions = list(name, text, count)?,
                _ => return Err(format!("there is no section {name}")),
            }
        }
        Ok(found)
    }
}

/// Encodes the frames of one chunk after another.
#[derive(Debug, Default)]
pub struct Encoder {
    states: BTreeMap<String, State>,
}

/// The sections of a chunk, line by line.
#[derive(Debug, Default)]
pub struct Sections {
    /// What happened between frames.
    pub history: Vec<Section>,
    /// The grids.
    pub frames: Vec<Section>,
    /// The calls.
    pub calls: Vec<Section>,
}

fn keep<T>(lists: &mut BTreeMap<u32, Vec<T>>, at: u32, items: Vec<T>) {
    if !items.is_empty() {
        lists.insert(at, items);
    }
}

fn text(value: &impl serde::Serialize) -> std::io::Result<String> {
    serde_json::to_string(value).map_err(std::io::Error::from)
}

impl Encoder {
    /// Encodes a chunk; a `key` chunk needs none before.
    ///
    /// # Errors
    /// As writing JSON does: for a map whose keys are no texts.
    pub fn encode(&mut self, frames: Vec<Frame>, key: bool) -> std::io::Result<Sections> {
        if key {
            self.states.values_mut().for_each(State::forget);
        }
        let mut found = Sections::default();
        let mut history = History::default();
        let mut grids: Vec<(String, Vec<Value>)> = Vec::new();
        let mut all_calls = Vec::new();
        let count = frames.len();
        for (at, mut frame) in (0_u32..).zip(frames) {
            keep(&mut history.events, at, std::mem::take(&mut frame.events));
            keep(&mut history.samples, at, std::mem::take(&mut frame.samples));
            keep(&mut history.instructions, at, std::mem::take(&mut frame.instructions));
            let calls = std::mem::take(&mut frame.calls);
            if !calls.is_empty() {
                all_calls.push((at, calls));
            }
            let Value::Object(mut fields) = serde_json::to_value(&frame)? else { continue };
            let mut parts: Vec<(String, Value)> = Vec::new();
            if let Some(Value::Object(snapshot)) = fields.remove("snapshot") {
                parts.extend(snapshot.into_iter().map(|(name, part)| (format!("{SNAPSHOT}{name}"), part)));
            }
            LISTS.iter().for_each(|name| drop(fields.remove(*name)));
            parts.push((FRAME.to_owned(), Value::Object(fields)));
            for (name, part) in parts {
                match grids.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, rows)) => {
                        // A part that was away is told as nothing.
                        rows.resize(at as usize, Value::Null);
                        rows.push(part);
                    }
                    None => {
                        let mut rows = vec![Value::Null; at as usize];
                        rows.push(part);
                        grids.push((name, rows));
                    }
                }
            }
        }
        if !history.events.is_empty() {
            found.history.push(("events".into(), text(&history.events)?));
        }
        if !history.samples.is_empty() {
            found.history.push(("samples".into(), text(&history.samples)?));
        }
        if !history.instructions.is_empty() {
            found.history.push(("instructions".into(), text(&history.instructions)?));
        }
        for (name, mut rows) in grids {
            rows.resize(count, Value::Null);
            let pieces = self.states.entry(name.clone()).or_default().encode(rows);
            found.frames.push((name, text(&pieces)?));
        }
        if let Some(calls) = calls::encode(&all_calls) {
            found.calls.push((CALLS.into(), text(&calls)?));
        }
        Ok(found)
    }
}

/// Decodes the frames of one chunk after another.
#[derive(Debug, Default, Clone)]
pub struct Decoder {
    states: BTreeMap<String, State>,
}

/// The grids of a chunk: of each part its values in the frames that were wanted.
#[derive(Debug, Default)]
pub struct Grids {
    parts: Vec<(String, Vec<Value>)>,
    /// Parts whose content was taken out.
    pub redacted: Vec<String>,
}

impl Decoder {
    /// Reads the grids of the next chunk, which has `count` frames; keeps the values of those that are `wanted`.
    ///
    /// # Errors
    /// A sentence that names the section.
    pub fn decode(&mut self, line: &Line<'_>, count: u32, wanted: impl Fn(u32) -> bool) -> Result<Grids, String> {
        let mut grids = Grids::default();
        for (name, text) in line.sections() {
            if redacted(text).is_some() {
                grids.redacted.push(name.to_owned());
                continue;
            }
            let wrong = |problem: String| format!("section {name}: {problem}");
            let pieces: Vec<Piece> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
            if grid::frames(&pieces) != u64::from(count) {
                return Err(wrong(format!("it does not tell {count} frames")));
            }
            let (mut rows, mut at) = (Vec::new(), 0);
            let state = self.states.entry(name.to_owned()).or_default();
            let read = state.decode(pieces, |value| {
                if wanted(at) {
                    rows.push(value.clone());
                }
                at += 1;
            });
            read.map_err(|problem| wrong(problem.to_owned()))?;
            grids.parts.push((name.to_owned(), rows));
        }
        Ok(grids)
    }
}

/// Puts frames together: those that were wanted, each with its place in the chunk. `blank` stands in for parts that were
/// taken out.
///
/// # Errors
/// A sentence.
pub fn assemble(
    grids: Grids,
    history: &History,
    calls: Vec<(u32, CallBlock)>,
    places: &[u32],
    blank: impl Fn(&str) -> Option<Value>,
) -> Result<Vec<Frame>, String> {
    let mut frames: Vec<(Map<String, Value>, Map<String, Value>)> = vec![Default::default(); places.len()];
    let redacted = grids.redacted.iter().filter_map(|name| Some((name.clone(), vec![blank(name)?; places.len()])));
    for (name, rows) in grids.parts.into_iter().chain(redacted) {
        for ((fields, snapshot), value) in frames.iter_mut().zip(rows) {
            match (name.strip_prefix(SNAPSHOT), value) {
                // Nothing is told by leaving it away; where nothing may be, that is the same.
                (_, Value::Null) => {}
                (Some(part), value) => drop(snapshot.insert(part.to_owned(), value)),
                (None, Value::Object(values)) => fields.extend(values),
                (None, _) => return Err(format!("section {name}: no values")),
            }
        }
    }
    let mut found = Vec::with_capacity(places.len());
    for (place, (mut fields, snapshot)) in places.iter().zip(frames) {
        fields.insert("snapshot".into(), Value::Object(snapshot));
        for name in ["events", "samples"] {
            fields.insert(name.to_owned(), Value::Array(Vec::new()));
        }
        let frame = serde_json::from_value::<Frame>(Value::Object(fields));
        let mut frame = frame.map_err(|error| format!("frame {place} of the chunk: {error}"))?;
        frame.events = history.events.get(place).cloned().unwrap_or_default();
        frame.samples = history.samples.get(place).cloned().unwrap_or_default();
        frame.instructions = history.instructions.get(place).cloned().unwrap_or_default();
        found.push(frame);
    }
    for (at, block) in calls {
        if let Some(frame) = places.iter().position(|place| *place == at).and_then(|place| found.get_mut(place)) {
            frame.calls.push(block);
        }
    }
    Ok(found)
}
