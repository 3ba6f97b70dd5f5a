//! Repeats a session on the virtual clock from what its recording says it was given, and compares what happens with what
//! was recorded: events one by one, and every part of each frame.

use std::sync::Arc;

use serde_json::Value;

use super::sections::SNAPSHOT;
use super::{Events, Recording, RecordingError};
use crate::domain::{Event, EventMask};
use crate::engine::seed::Stream;
use crate::engine::{ClockKind, Engine, EngineError, Options, Playbook, Seed, Workload};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeated {
    /// The same.
    Same {
        /// So many events.
        events: u64,
    },
    /// Something else.
    Differs {
        /// The frame, from 0.
        frame: u64,
        /// Where, and what was recorded and what came of the repetition.
        problem: String,
    },
    /// It cannot be repeated, and why.
    Not(String),
}

/// Repeats a session. `playbook` has the scenarios of its header.
///
/// # Errors
/// [`RecordingError`] for a recording that cannot be read to its end.
pub fn repeat(recording: &mut Recording, playbook: Option<Arc<dyn Playbook>>) -> Result<Repeated, RecordingError> {
    let header = recording.header.clone();
    let (info, given) = (&header.info, &header.given);
    let without = |name: &str| recording.redacted().iter().any(|redacted| redacted == name);
    let why_not = if info.clock != ClockKind::Virtual {
        Some("it ran on the wall clock".to_owned())
    } else if without("events") || without("instructions") {
        Some("its events or instructions were taken out".into())
    } else if let [removed, ..] = given.removed.as_slice() {
        Some(format!("its setting {removed} is secret and was not recorded"))
    } else {
        given.unrepeatable.clone()
    };
    if let Some(why_not) = why_not {
        return Ok(Repeated::Not(why_not));
    }
    let operations = EventMask::operations();
    let mask = if given.events == Events::All { EventMask::ALL } else { operations };
    let rng = Seed(info.seed).stream(Stream::Workload);
    let workload = given.count.map(|count| Workload::counted(&header.settings.workload, count, rng)).transpose();
    let made = workload.map_err(EngineError::from).and_then(|workload| {
        let options = Options {
            events: mask,
            event_limit: usize::MAX,
            flags: given.flags.clone(),
            workload,
            playbook,
            ledger: given.ledger.clone(),
            authenticated: given.authenticated.clone(),
            ..Options::simulated(info.seed)
        };
        Engine::new(&header.settings, options)
    });
    let mut engine = match made {
        Ok(engine) => engine,
        Err(error) => {
            return Ok(Repeated::Differs { frame: 0, problem: format!("no engine can be made of it: {error}") });
        }
    };
    if engine.info() != info {
        let problem = format!("its header says {info:?}; its settings make {:?}", engine.info());
        return Ok(Repeated::Differs { frame: 0, problem });
    }
    if given.stop_after_drill {
        engine.stop_after_drill();
    }
    let redacted = recording.redacted().to_vec();
    let mut events = 0;
    for place in 0..recording.chunks().len() {
        for (frame, recorded) in
            (recording.chunks().get(place).map_or(0, |chunk| chunk.first)..).zip(recording.chunk_frames(place)?)
        {
            recorded.instructions.iter().for_each(|instruction| engine.repeat(instruction));
            engine.run_to_turn(recorded.turn);
            let mut again = engine.frame();
            again.events.retain(|event| operations.contains(event.kind()));
            if let Some(problem) = first_difference(&recorded.events, &again.events) {
                return Ok(Repeated::Differs { frame, problem });
            }
            events += recorded.events.len() as u64;
            if recorded.at != again.at {
                let problem = format!("it was made at {}, repeated it is {}", recorded.at, again.at);
                return Ok(Repeated::Differs { frame, problem });
            }
            if recorded.snapshot != again.snapshot
                && let (Ok(one), Ok(other)) =
                    (serde_json::to_value(&recorded.snapshot), serde_json::to_value(&again.snapshot))
                && let Some(problem) = snapshot_difference(&one, &other, &redacted)
            {
                return Ok(Repeated::Differs { frame, problem: format!("{problem} (recorded, repeated)") });
            }
        }
    }
    if let (Some(recorded), Some(again)) = (recording.ledger_head(), engine.ledger_head())
        && recorded != again
    {
        let problem = format!("the ledger's head is {recorded}, repeated it is {again}");
        return Ok(Repeated::Differs { frame: recording.frames().saturating_sub(1), problem });
    }
    Ok(Repeated::Same { events })
}

/// The first event of a frame that was not repeated. Events that were dropped when they were made are no difference.
fn first_difference(recorded: &[Event], again: &[Event]) -> Option<String> {
    let tell = |event: &Event| serde_json::to_string(event).unwrap_or_default();
    let mut again = again.iter();
    for event in recorded {
        match again.find(|other| other.sequence >= event.sequence) {
            Some(other) if other == event => {}
            Some(other) => {
                return Some(format!("event {}: recorded {}, repeated {}", event.sequence, tell(event), tell(other)));
            }
            None => return Some(format!("event {}: recorded {}, not repeated", event.sequence, tell(event))),
        }
    }
    match again.next() {
        // With a gap after the last one, nobody knows what it was.
        Some(more) if recorded.last().is_none_or(|last| last.sequence + 1 == more.sequence) => {
            Some(format!("event {}: not recorded, repeated {}", more.sequence, tell(more)))
        }
        _ => None,
    }
}

/// The first leaf of a snapshot that differs, beside what was taken out.
pub(super) fn snapshot_difference(one: &Value, other: &Value, redacted: &[String]) -> Option<String> {
    let (Value::Object(parts), Value::Object(others)) = (one, other) else { return None };
    parts.iter().filter(|(name, _)| !redacted.contains(&format!("{SNAPSHOT}{name}"))).find_map(|(name, part)| {
        let other = others.get(name).unwrap_or(&Value::Null);
        first_leaf(&format!("{SNAPSHOT}{name}"), part, other)
    })
}

/// The first leaf that differs, as `path: one, other`.
pub(super) fn first_leaf(path: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(items), Value::Object(others)) => items
            .iter()
            .find_map(|(key, item)| first_leaf(&format!("{path}.{key}"), item, others.get(key).unwrap_or(&Value::Null)))
            .or_else(|| {
                let more = others.keys().find(|key| !items.contains_key(*key))?;
                Some(format!("{path}.{more}: none, {}", others.get(more)?))
            }),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => (0..)
            .zip(items.iter().zip(others))
            .find_map(|(at, (item, other)): (usize, _)| first_leaf(&format!("{path}.{at}"), item, other)),
        (one, other) if one == other => None,
        (one, other) => Some(format!("{path}: {one}, {other}")),
    }
}
