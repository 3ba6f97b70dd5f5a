//! The fields of the journal's events that are no evaluations: alerts, verdicts, transitions, operators' commands.

use super::{Field, Schema, Type};

/// The places of the fields in [`SCHEMA`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the field of its name")]
#[repr(usize)]
pub enum EventField {
    Type,
    Group,
    Stream,
    Event,
    Position,
    At,
    Data,
}

impl EventField {
    /// All of them, in their places.
    pub const ALL: [Self; 7] =
        [Self::Type, Self::Group, Self::Stream, Self::Event, Self::Position, Self::At, Self::Data];
}

const fn field(name: &'static str, kind: Type) -> Field {
    Field { name, column: name, kind, nullable: false }
}

/// What a filter over events may name. `group` is the catalogue's, and there for types of the catalogue alone; `data` is
/// the event's JSON as a text.
pub static SCHEMA: Schema = Schema {
    fields: &[
        field("type", Type::Text),
        Field { name: "group", column: "group", kind: Type::Text, nullable: true },
        field("stream", Type::Text),
        field("event", Type::Integer),
        field("position", Type::Integer),
        field("at", Type::Time),
        field("data", Type::Text),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::specification::Filter;

    #[test]
    fn the_places_are_the_fields() {
        assert_eq!(SCHEMA.fields.len(), EventField::ALL.len());
        assert_eq!(SCHEMA.fields[EventField::Data as usize].name, "data");
        let filter = "type = SLA_ALERT_FIRED and data contains \"page\" or group in (operation, chaos)";
        assert!(Filter::parse(filter, &SCHEMA).is_ok());
        assert!(Filter::parse("typ = X", &SCHEMA).unwrap_err().to_string().contains("did you mean `type`?"));
    }
}
