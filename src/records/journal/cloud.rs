//! Events as others read them: CloudEvents 1.0 in JSON, and upcasters that bring older forms of an event's data up to the
//! one of today. Nothing is changed in the journal for it.

use serde_json::{Map, Value, json};

use super::JournalError;
use super::log::{Item, StoredEvent, facts};
use super::{FACTS, Fact};
use crate::domain::time::nanos;

/// Brings the data of one type of event from a form to the next.
pub type Upcaster = fn(Value) -> Value;

/// The known steps between forms.
#[derive(Debug, Default)]
pub struct Upcasters {
    steps: Vec<(&'static str, u16, Upcaster)>,
}

impl Upcasters {
    /// The steps that the program knows: `NumberReceived` got its priority in form 2.
    pub fn known() -> Self {
        let mut known = Self::default();
        known.add("NumberReceived", 1, |mut data| {
            if let Value::Object(fields) = &mut data {
                fields.entry("priority").or_insert_with(|| "normal".into());
            }
            data
        });
        known
    }

    /// Adds the step of `kind` from `form` to the next.
    pub fn add(&mut self, kind: &'static str, form: u16, step: Upcaster) {
        self.steps.push((kind, form, step));
    }

    /// The newest form of a type; 1 for one without steps.
    pub fn newest(&self, kind: &str) -> u16 {
        self.steps.iter().filter(|(known, ..)| *known == kind).map(|(_, form, _)| form + 1).max().unwrap_or(1)
    }

    /// An event's data in the newest form, with the form. A type without steps stays as it is.
    ///
    /// # Errors
    /// [`JournalError::Upcast`] when a step is missing, or the event's form is newer than any that is known.
    pub fn apply(&self, kind: &str, form: u16, mut data: Value) -> Result<(u16, Value), JournalError> {
        if !self.steps.iter().any(|(known, ..)| *known == kind) {
            return Ok((form, data));
        }
        let wanted = self.newest(kind);
        let mut at = form;
        while at != wanted {
            let step = self.steps.iter().find(|(known, from, _)| *known == kind && *from == at);
            let Some((.., step)) = step else {
                return Err(JournalError::Upcast { kind: kind.to_owned(), found: form, wanted, stuck: at });
            };
            data = step(data);
            at += 1;
        }
        Ok((at, data))
    }
}

fn envelope(id: String, source: String, kind: &str, version: u64, data: Value) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("specversion".into(), "1.0".into());
    event.insert("id".into(), id.into());
    event.insert("source".into(), source.into());
    event.insert("type".into(), format!("fizzops.{kind}").into());
    event.insert("datacontenttype".into(), "application/json".into());
    // An extension attribute; integers of 32 bits are all that CloudEvents has, so it is a text, made to sort.
    event.insert("sequence".into(), format!("{version:020}").into());
    event.insert("data".into(), data);
    event
}

/// What an item is as CloudEvents: one for an event or an evaluation, or with `as_facts` one for each domain event of an
/// evaluation.
///
/// # Errors
/// [`JournalError::Upcast`], [`JournalError::Invalid`] for data that is no JSON.
pub fn cloud_events(item: &Item<'_>, upcasters: &Upcasters, as_facts: bool) -> Result<Vec<Value>, JournalError> {
    match item {
        Item::Event(event) => stored(event, upcasters).map(|event| vec![event]),
        Item::Evaluation { before, at, session, evaluation } => {
            let id = session.result_id(evaluation.sequence).to_string();
            let source = format!("/fizzops/sessions/{}", session.id);
            let whole = |event: &mut Map<String, Value>| {
                event.insert("subject".into(), evaluation.number.to_string().into());
                event.insert("time".into(), at.to_string().into());
            };
            if as_facts {
                return facts(evaluation)
                    .zip(1u64..)
                    .map(|(fact, place)| {
                        let kind = FACTS[fact.kind()];
                        let (form, data) = upcasters.apply(kind, 1, fact_data(fact, item))?;
                        let mut event = envelope(format!("{id}/{place}"), source.clone(), kind, before + place, data);
                        event.insert("dataschemaversion".into(), form.to_string().into());
                        whole(&mut event);
                        Ok(event.into())
                    })
                    .collect();
            }
            let version = before + super::log::fact_count(evaluation);
            let mut event = envelope(id, source, "EvaluationCompleted", version, evaluation_data(item));
            whole(&mut event);
            Ok(vec![event.into()])
        }
    }
}

fn stored(event: &StoredEvent, upcasters: &Upcasters) -> Result<Value, JournalError> {
    let data = serde_json::from_str(&event.data)
        .map_err(|error| JournalError::Invalid(format!("event {}: its data is no JSON: {error}", event.version)))?;
    let (form, data) = upcasters.apply(&event.kind, event.form, data)?;
    let source = format!("/fizzops/streams/{}", event.stream);
    let mut cloud = envelope(event.id.to_string(), source, &event.kind, event.version, data);
    cloud.insert("time".into(), event.at.to_string().into());
    cloud.insert("subject".into(), event.position.to_string().into());
    cloud.insert("dataschemaversion".into(), form.to_string().into());
    Ok(cloud.into())
}

fn fact_data(fact: Fact, item: &Item<'_>) -> Value {
    let Item::Evaluation { session, evaluation, .. } = item else { return Value::Null };
    let number = evaluation.number;
    let rule = |index: u8| session.rules.rules().get(usize::from(index));
    match fact {
        Fact::NumberReceived => json!({ "number": number, "session_id": session.id }),
        Fact::DivisibilityChecked(index) => match index.and_then(rule) {
            Some(rule) => {
                json!({ "number": number, "divisor": rule.divisor, "is_divisible": true, "rule_name": rule.name })
            }
            None => json!({ "number": number, "divisor": 0, "is_divisible": false, "rule_name": "(none)" }),
        },
        Fact::RuleMatched(index) => match rule(index) {
            Some(rule) => json!({ "number": number, "rule_name": rule.name, "label": rule.label }),
            None => json!({ "number": number }),
        },
        Fact::LabelAssigned(count) => {
            let label = evaluation.output.text(number, &session.rules);
            json!({ "number": number, "label": label, "matched_rule_count": count })
        }
        Fact::EvaluationCompleted => evaluation_data(item),
    }
}

/// An evaluation's own data.
pub fn evaluation_data(item: &Item<'_>) -> Value {
    let Item::Evaluation { session, evaluation, .. } = item else { return Value::Null };
    let ok = evaluation.outcome == crate::domain::Outcome::Ok;
    json!({
        "number": evaluation.number,
        "output": ok.then(|| evaluation.output.text(evaluation.number, &session.rules)),
        "outcome": evaluation.outcome,
        "error": evaluation.error,
        "correct": evaluation.correct,
        "source": evaluation.source,
        "sequence": evaluation.sequence,
        "processing_time_ns": nanos(evaluation.duration),
        "faults": evaluation.faults,
        "attempts": evaluation.attempts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_brought_up_and_a_missing_step_is_told() {
        let known = Upcasters::known();
        let (form, data) = known.apply("NumberReceived", 1, json!({ "number": 3 })).unwrap();
        assert_eq!((form, data), (2, json!({ "number": 3, "priority": "normal" })));
        assert_eq!(known.apply("NumberReceived", 2, json!(1)).unwrap(), (2, json!(1)));
        assert_eq!(known.apply("Other", 7, json!(1)).unwrap(), (7, json!(1)));
        let error = known.apply("NumberReceived", 3, json!(1)).unwrap_err().to_string();
        assert!(error.contains("no step leads on from version 3"), "{error}");
        let mut gap = Upcasters::default();
        gap.add("A", 1, |data| data);
        gap.add("A", 3, |data| data);
        assert!(gap.apply("A", 1, json!(1)).is_err(), "a chain with a gap does not end quietly");
    }
}
