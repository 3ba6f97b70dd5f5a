//! Specifications: what a record must be like, written as a filter, evaluated in memory and compiled to SQL with the same
//! result. There are two truth values: a comparison with a field that has no value is false, and its negation true. It knows
//! no storage; what fields there are is a schema's matter.
//!
//! ```
//! use fizzops::records::specification::{Filter, results};
//!
//! let filter = Filter::parse(r#"number > 10 and output = "Fizz" and outcome != failed"#, &results::SCHEMA)?;
//! let sql = filter.sql();
//! assert_eq!(sql.clause, "(number > ? AND (output IS NOT NULL AND output = ?) AND outcome <> ?)");
//! let error = Filter::parse("nmber > 10", &results::SCHEMA).unwrap_err();
//! assert!(error.to_string().contains("did you mean `number`?"));
//! # Ok::<(), fizzops::records::specification::FilterError>(())
//! ```

pub mod events;
mod parser;
pub mod results;
mod sql;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

pub use parser::FilterError;
pub use sql::Sql;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A whole number.
    Integer,
    /// A number.
    Real,
    /// A text.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// True or false.
    Bool,
    /// A span in whole nanoseconds, written as `250us`, `5ms`, `1.5s`.
    Span,
    /// A moment in nanoseconds since the Unix epoch, written in RFC 3339.
    Time,
}

/// A field that filters may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As it is written in filters.
    pub name: &'static str,
    /// As it is named in tables.
    pub column: &'static str,
    /// What it holds.
    pub kind: Type,
    /// Whether it may have no value.
    pub nullable: bool,
}

/// The fields of one kind of record. Nothing else can reach SQL by name.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// All of them.
    pub fields: &'static [Field],
}

/// A value in a filter. Spans and times are integers.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number, a span or a moment.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(String),
    /// True or false.
    Bool(bool),
}

/// A field's value in a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum<'a> {
    /// It has none.
    Null,
    /// A whole number, a span or a moment.
    Integer(i64),
    /// A number; not NaN.
    Real(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// True or false.
    Bool(bool),
}

/// A record that a filter can be asked about.
pub trait Candidate {
    /// The value of the field at this place in the schema.
    fn field(&self, place: usize) -> Datum<'_>;
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what it is named")]
pub enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What of a text is compared, letter by letter: case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what it is named")]
pub enum Part {
    Contains,
    StartsWith,
    EndsWith,
}

/// What a record must be like.
#[derive(Debug, Clone, PartialEq)]
pub enum Specification {
    /// Anything.
    All,
    /// Nothing is.
    None,
    /// Not like this.
    Not(Box<Self>),
    /// Like all of these.
    And(Vec<Self>),
    /// Like one of these at least.
    Or(Vec<Self>),
    /// A field compares so with a value.
    Compare(usize, Op, Value),
    /// A field is one of these values.
    In(usize, Vec<Value>),
    /// A field is from the first to the second value, both included.
    Between(usize, Value, Value),
    /// A text is like a pattern: `%` is any run of characters, `_` any one; the case of ASCII letters does not matter.
    Like(usize, String),
    /// A text contains, begins with or ends with another.
    Part(usize, Part, String),
    /// A field has no value.
    Null(usize),
}

/// A specification over a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    schema: &'static Schema,
    root: Specification,
}

impl Filter {
    /// Anything at all.
    pub const fn all(schema: &'static Schema) -> Self {
        Self { schema, root: Specification::All }
    }

    /// A filter of its parts. The places in `root` are those of the schema's fields.
    pub const fn of(schema: &'static Schema, root: Specification) -> Self {
        Self { schema, root }
    }

    /// The filter that a text writes.
    ///
    /// # Errors
    /// [`FilterError`] with the place.
    pub fn parse(text: &str, schema: &'static Schema) -> Result<Self, FilterError> {
        Ok(Self { schema, root: parser::parse(text, schema)? })
    }

    /// Both of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { schema: self.schema, root: Specification::And(vec![self.root, other.root]) }
    }

    /// What must be.
    pub const fn specification(&self) -> &Specification {
        &self.root
    }

    /// Whether a record is so.
    pub fn matches(&self, candidate: &impl Candidate) -> bool {
        self.root.matches(candidate)
    }

    /// The condition of a `WHERE`, with its parameters.
    pub fn sql(&self) -> Sql {
        sql::compile(&self.root, self.schema)
    }
}

impl Value {
    fn compare(&self, datum: &Datum<'_>) -> Option<Ordering> {
        match (datum, self) {
            (Datum::Integer(left), Self::Integer(right)) => Some(left.cmp(right)),
            (Datum::Real(left), Self::Real(right)) => left.partial_cmp(right),
            (Datum::Text(left), Self::Text(right)) => Some(left.as_ref().cmp(right.as_str())),
            (Datum::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }
}

impl Op {
    const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    const fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Specification {
    fn matches(&self, candidate: &impl Candidate) -> bool {
        let holds = |place: usize, op: Op, value: &Value| {
            value.compare(&candidate.field(place)).is_some_and(|ordering| op.holds(ordering))
        };
        match self {
            Self::All => true,
            Self::None => false,
            Self::Not(inner) => !inner.matches(candidate),
            Self::And(all) => all.iter().all(|one| one.matches(candidate)),
            Self::Or(all) => all.iter().any(|one| one.matches(candidate)),
            Self::Compare(place, op, value) => holds(*place, *op, value),
            Self::In(place, values) => values.iter().any(|value| holds(*place, Op::Equal, value)),
            Self::Between(place, low, high) => {
                holds(*place, Op::GreaterOrEqual, low) && holds(*place, Op::LessOrEqual, high)
            }
            Self::Like(place, pattern) => {
                matches!(candidate.field(*place), Datum::Text(text) if like(&text, pattern))
            }
            Self::Part(place, part, wanted) => match candidate.field(*place) {
                Datum::Text(text) => match part {
                    Part::Contains => text.contains(wanted.as_str()),
                    Part::StartsWith => text.starts_with(wanted.as_str()),
                    Part::EndsWith => text.ends_with(wanted.as_str()),
                },
                _ => false,
            },
            Self::Null(place) => candidate.field(*place) == Datum::Null,
        }
    }
}

/// Whether a text is like a pattern, in time proportional to both lengths multiplied.
fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last `%` stands, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some('%') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(wanted) if *wanted == '_' || wanted.eq_ignore_ascii_case(&text[at]) => {
                at += 1;
                in_pattern += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, in_pattern) = (taken + 1, place + 1);
                }
                None => return false,
            },
        }
    }
    pattern[in_pattern..].iter().all(|rest| *rest == '%')
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}
