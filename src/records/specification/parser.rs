//! Filters as people write them. Words of the grammar are `and`, `or`, `not`, `in`, `like`, `between`, `is`, `null`,
//! `contains`, `starts_with`, `ends_with`, `true` and `false`; `not` binds closest, then `and`, then `or`.

use std::fmt;
use std::ops::Range;

use super::{Field, Op, Part, Schema, Specification, Type, Value};
use crate::domain::text::nearest;

/// The longest filter, bytes.
const LONGEST: usize = 4_000;
/// The deepest nesting.
const DEEPEST: usize = 100;

/// A filter that cannot be read: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    /// The filter.
    pub filter: String,
    /// The place, in bytes.
    pub place: Range<usize>,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.filter.get(..self.place.start).unwrap_or_default();
        let inside = self.filter.get(self.place.clone()).unwrap_or_default();
        let column = before.chars().count();
        let width = inside.chars().count().max(1);
        // A long filter is shown around the place.
        let from = column.saturating_sub(60);
        let shown: String = self
            .filter
            .chars()
            .skip(from)
            .take(100)
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        writeln!(f, "the filter is wrong at character {}: {}", column + 1, self.problem)?;
        writeln!(f, "  {shown}")?;
        write!(f, "  {}{}", " ".repeat(column - from), "^".repeat(width.min(100)))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word,
    /// Digits with what follows them directly: a number or a span.
    Number,
    Text(String),
    Op(Op),
    Open,
    Close,
    Comma,
    End,
}

struct Parser<'a> {
    text: &'a str,
    schema: &'static Schema,
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
}

type Parsed<T> = Result<T, FilterError>;

pub(super) fn parse(text: &str, schema: &'static Schema) -> Parsed<Specification> {
    let mut parser = Parser { text, schema, tokens: Vec::new(), at: 0 };
    if text.len() > LONGEST {
        return parser.fail(0..1, format!("it is longer than {LONGEST} bytes"));
    }
    parser.split()?;
    let root = parser.or(0)?;
    match parser.peek() {
        (Token::End, _) => Ok(root),
        (_, place) => {
            let place = place.clone();
            parser.fail(place, "`and`, `or` or the end was expected".into())
        }
    }
}

impl<'a> Parser<'a> {
    fn fail<T>(&self, place: Range<usize>, problem: String) -> Parsed<T> {
        Err(FilterError { filter: self.text.to_owned(), place, problem })
    }

    fn split(&mut self) -> Parsed<()> {
        let text = self.text;
        let mut letters = text.char_indices().peekable();
        while let Some((start, letter)) = letters.next() {
            let after = |letter: char| start + letter.len_utf8();
            let mut follows = |wanted: char| letters.next_if(|(_, next)| *next == wanted).is_some();
            let (token, end) = match letter {
                letter if letter.is_whitespace() => continue,
                '(' => (Token::Open, after('(')),
                ')' => (Token::Close, after(')')),
                ',' => (Token::Comma, after(',')),
                '=' if follows('=') => (Token::Op(Op::Equal), start + 2),
                '=' => (Token::Op(Op::Equal), after('=')),
                '!' if follows('=') => (Token::Op(Op::NotEqual), start + 2),
                '<' if follows('=') => (Token::Op(Op::LessOrEqual), start + 2),
                '<' if follows('>') => (Token::Op(Op::NotEqual), start + 2),
                '<' => (Token::Op(Op::Less), after('<')),
                '>' if follows('=') => (Token::Op(Op::GreaterOrEqual), start + 2),
                '>' => (Token::Op(Op::Greater), after('>')),
                quote @ ('"' | '\'') => {
                    let mut content = String::new();
                    let mut end = None;
                    while let Some((at, letter)) = letters.next() {
                        match letter {
                            letter if letter == quote => {
                                end = Some(at + 1);
                                break;
                            }
                            '\0' => return self.fail(at..at + 1, "a text cannot contain the character NUL".into()),
                            '\\' => match letters.next() {
                                Some((_, escaped @ ('"' | '\'' | '\\'))) => content.push(escaped),
                                Some((_, 'n')) => content.push('\n'),
                                Some((_, 't')) => content.push('\t'),
                                Some((next, other)) => {
                                    let place = at..next + other.len_utf8();
                                    return self
                                        .fail(place, "after a backslash comes a quote, a backslash, n or t".into());
                                }
                                None => break,
                            },
                            letter => content.push(letter),
                        }
                    }
                    let Some(end) = end else {
                        return self.fail(start..text.len(), "this text has no closing quote".into());
                    };
                    (Token::Text(content), end)
                }
                letter if letter.is_alphabetic() || letter == '_' => {
                    let mut end = after(letter);
                    while let Some((at, next)) =
                        letters.next_if(|(_, next)| next.is_alphanumeric() || matches!(next, '_' | '-' | '.'))
                    {
                        end = at + next.len_utf8();
                    }
                    (Token::Word, end)
                }
                letter if letter.is_ascii_digit() || letter == '-' || letter == '+' => {
                    let mut end = after(letter);
                    while let Some((at, next)) =
                        letters.next_if(|(_, next)| next.is_alphanumeric() || matches!(next, '.' | '_'))
                    {
                        end = at + next.len_utf8();
                    }
                    (Token::Number, end)
                }
                other => return self.fail(start..after(other), format!("`{other}` is not a part of a filter")),
            };
            self.tokens.push((token, start..end));
        }
        self.tokens.push((Token::End, text.len()..text.len()));
        Ok(())
    }

    fn peek(&self) -> &(Token, Range<usize>) {
        // The last token is the end, and `next` never goes beyond it.
        &self.tokens[self.at]
    }

    fn next(&mut self) -> (Token, Range<usize>) {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn slice(&self, place: &Range<usize>) -> &'a str {
        self.text.get(place.clone()).unwrap_or_default()
    }

    /// Takes the next token if it is this word.
    fn word(&mut self, word: &str) -> bool {
        let (token, place) = self.peek();
        let is = *token == Token::Word && self.slice(place).eq_ignore_ascii_case(word);
        if is {
            self.next();
        }
        is
    }

    fn or(&mut self, depth: usize) -> Parsed<Specification> {
        let mut all = vec![self.and(depth)?];
        while self.word("or") {
            all.push(self.and(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Specification::Or(all) })
    }

    fn and(&mut self, depth: usize) -> Parsed<Specification> {
        let mut all = vec![self.not(depth)?];
        while self.word("and") {
            all.push(self.not(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Specification::And(all) })
    }

    fn not(&mut self, depth: usize) -> Parsed<Specification> {
        let place = self.peek().1.clone();
        if depth > DEEPEST {
            return self.fail(place, format!("it is nested deeper than {DEEPEST} levels"));
        }
        if self.word("not") {
            return Ok(Specification::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.peek().0 == Token::Open {
            self.next();
            let inner = self.or(depth + 1)?;
            return match self.next() {
                (Token::Close, _) => Ok(inner),
                (_, found) => {
                    let opened = self.text.get(..place.start).unwrap_or_default().chars().count() + 1;
                    self.fail(found, format!("`)` was expected for the `(` at character {opened}"))
                }
            };
        }
        if self.word("true") {
            return Ok(Specification::All);
        }
        if self.word("false") {
            return Ok(Specification::None);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed<Specification> {
        let (place, field) = self.field()?;
        let negated = self.word("not");
        let (token, at) = self.peek().clone();
        let word = self.slice(&at).to_ascii_lowercase();
        let found = match (&token, word.as_str()) {
            (Token::Op(op), _) if !negated => {
                self.next();
                let ordered = !matches!(op, Op::Equal | Op::NotEqual);
                if ordered && matches!(field.kind, Type::Bool | Type::Choice(_)) {
                    return self.fail(at, format!("`{}` has no order: compare it with = or !=", field.name));
                }
                Specification::Compare(place, *op, self.value(field)?)
            }
            (Token::Word, "in") => {
                self.next();
                Specification::In(place, self.list(field)?)
            }
            (Token::Word, "between") => {
                self.next();
                if matches!(field.kind, Type::Bool | Type::Choice(_)) {
                    return self.fail(at, format!("`{}` has no order", field.name));
                }
                let low = self.value(field)?;
                if !self.word("and") {
                    let found = self.peek().1.clone();
                    return self.fail(found, "`and` was expected between the two ends".into());
                }
                Specification::Between(place, low, self.value(field)?)
            }
            (Token::Word, "like") => {
                self.next();
                Specification::Like(place, self.text_for(field, &at)?)
            }
            (Token::Word, "contains" | "starts_with" | "ends_with") => {
                self.next();
                let part = match word.as_str() {
                    "contains" => Part::Contains,
                    "starts_with" => Part::StartsWith,
                    _ => Part::EndsWith,
                };
                Specification::Part(place, part, self.text_for(field, &at)?)
            }
            (Token::Word, "is") if !negated => {
                self.next();
                let not = self.word("not");
                let found = self.peek().1.clone();
                if !self.word("null") {
                    return self.fail(found, "`null` or `not null` was expected".into());
                }
                let null = Specification::Null(place);
                return Ok(if not { Specification::Not(Box::new(null)) } else { null });
            }
            _ if field.kind == Type::Bool && !negated => Specification::Compare(place, Op::Equal, Value::Bool(true)),
            _ if negated => {
                return self
                    .fail(at, "`in`, `like`, `between`, `contains`, `starts_with` or `ends_with` was expected".into());
            }
            _ => {
                let problem = format!("a comparison of `{}` was expected, such as = or in (...)", field.name);
                return self.fail(at, problem);
            }
        };
        Ok(if negated { Specification::Not(Box::new(found)) } else { found })
    }

    fn field(&mut self) -> Parsed<(usize, &'static Field)> {
        let (token, place) = self.next();
        let name = self.slice(&place);
        if token != Token::Word {
            return self.fail(place, "the name of a field was expected".into());
        }
        match self.schema.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name)) {
            Some(at) => Ok((at, &self.schema.fields[at])),
            None => {
                let names: Vec<_> = self.schema.fields.iter().map(|field| field.name).collect();
                let hint = nearest(name, names.iter().copied()).map_or_else(
                    || format!("; there are {}", names.join(", ")),
                    |near| format!("; did you mean `{near}`?"),
                );
                self.fail(place, format!("`{name}` is no field{hint}"))
            }
        }
    }

    fn list(&mut self, field: &Field) -> Parsed<Vec<Value>> {
        let (token, place) = self.next();
        if token != Token::Open {
            return self.fail(place, "a list was expected: in (1, 2, 3)".into());
        }
        let mut values = Vec::new();
        if self.peek().0 == Token::Close {
            self.next();
            return Ok(values);
        }
        loop {
            values.push(self.value(field)?);
            match self.next() {
                (Token::Comma, _) => {}
                (Token::Close, _) => return Ok(values),
                (_, place) => return self.fail(place, "`,` or `)` was expected".into()),
            }
        }
    }

    fn text_for(&mut self, field: &Field, op: &Range<usize>) -> Parsed<String> {
        if !matches!(field.kind, Type::Text | Type::Choice(_)) {
            return self.fail(op.clone(), format!("`{}` is no text", field.name));
        }
        match self.next() {
            (Token::Text(text), _) => Ok(text),
            (Token::Word | Token::Number, place) => Ok(self.slice(&place).to_owned()),
            (_, place) => self.fail(place, "a text was expected".into()),
        }
    }

    fn value(&mut self, field: &Field) -> Parsed<Value> {
        let (token, place) = self.next();
        let written = match &token {
            Token::Text(text) => text.clone(),
            Token::Word | Token::Number => self.slice(&place).to_owned(),
            _ => return self.fail(place, format!("a value for `{}` was expected", field.name)),
        };
        let quoted = matches!(token, Token::Text(_));
        let wrong = |what: &str| format!("`{}` is {what}, and this is none", field.name);
        match field.kind {
            Type::Text => Ok(Value::Text(written)),
            Type::Choice(choices) => match choices.iter().find(|choice| choice.eq_ignore_ascii_case(&written)) {
                Some(choice) => Ok(Value::Text((*choice).to_owned())),
                None => {
                    let hint = nearest(&written, choices.iter().copied())
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    self.fail(place, format!("`{}` is one of {}{hint}", field.name, choices.join(", ")))
                }
            },
            Type::Bool if written.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
            Type::Bool if written.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
            Type::Bool => self.fail(place, format!("`{}` is true or false", field.name)),
            Type::Integer => match written.replace('_', "").parse() {
                Ok(value) if !quoted => Ok(Value::Integer(value)),
                _ => self.fail(place, wrong("a whole number of at most 64 bits")),
            },
            Type::Real => match written.parse::<f64>() {
                Ok(value) if !quoted && value.is_finite() => Ok(Value::Real(value)),
                _ => self.fail(place, wrong("a number")),
            },
            Type::Span => match span(&written) {
                Some(value) => Ok(Value::Integer(value)),
                None => self.fail(place, format!("`{}` is a span, such as 250us, 5ms or 1.5s", field.name)),
            },
            Type::Time => match written.parse::<jiff::Timestamp>() {
                Ok(moment) => Ok(Value::Integer(i64::try_from(moment.as_nanosecond()).unwrap_or(i64::MAX))),
                Err(_) => {
                    let example = "\"2026-01-01T00:00:00Z\"";
                    self.fail(place, format!("`{}` is a moment, such as {example} (in quotes)", field.name))
                }
            },
        }
    }
}

/// A span with its unit, in whole nanoseconds.
fn span(text: &str) -> Option<i64> {
    let at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3_600e9,
        _ => return None,
    };
    let value = number.parse::<f64>().ok()? * scale;
    // Beyond 2^53 a float is no whole number any more; nothing takes that long.
    (value.is_finite() && value.abs() < 9e15).then(|| value.round() as i64)
}
