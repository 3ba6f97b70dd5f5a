#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::borrow::Cow;

use proptest::prelude::*;

use super::results::SCHEMA;
use super::*;

#[derive(Debug, Clone)]
struct Row(Vec<Datum<'static>>);

impl Candidate for Row {
    fn field(&self, place: usize) -> Datum<'_> {
        self.0[place].clone()
    }
}

const TEXTS: [&str; 9] = ["Fizz", "fizz", "FizzBuzz", "7", "", "Fußball", "100%", "a_b", "FIZZ.*"];
const INTEGERS: [i64; 8] = [i64::MIN, -3, 0, 1, 15, 15_000_000, i64::MAX - 1, i64::MAX];
const REALS: [f64; 4] = [-0.5, 0.0, 0.25, 1.0];
const PATTERNS: [&str; 9] = ["%", "", "f%", "%ZZ", "F_zz", "_", "%u%", "100%", "%.*"];

fn datum(field: &Field) -> BoxedStrategy<Datum<'static>> {
    let text = |texts: &'static [&'static str]| {
        prop::sample::select(texts).prop_map(|text| Datum::Text(Cow::Borrowed(text))).boxed()
    };
    let some = match field.kind {
        Type::Integer | Type::Span | Type::Time => prop::sample::select(&INTEGERS).prop_map(Datum::Integer).boxed(),
        Type::Real => prop::sample::select(&REALS).prop_map(Datum::Real).boxed(),
        Type::Text => text(&TEXTS),
        Type::Choice(choices) => text(choices),
        Type::Bool => any::<bool>().prop_map(Datum::Bool).boxed(),
    };
    if field.nullable { prop_oneof![1 => Just(Datum::Null), 3 => some].boxed() } else { some }
}

fn value(field: &Field) -> BoxedStrategy<Value> {
    let whole = Field { nullable: false, ..*field };
    datum(&whole)
        .prop_map(|datum| match datum {
            Datum::Integer(value) => Value::Integer(value),
            Datum::Real(value) => Value::Real(value),
            Datum::Text(value) => Value::Text(value.into_owned()),
            Datum::Bool(value) => Value::Bool(value),
            Datum::Null => unreachable!("a field that is not nullable"),
        })
        .boxed()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = SCHEMA.fields.iter().map(datum).collect::<Vec<_>>().prop_map(Row);
    prop::collection::vec(row, 0..12)
}

fn leaf() -> impl Strategy<Value = Specification> {
    let ops = [Op::Equal, Op::NotEqual, Op::Less, Op::LessOrEqual, Op::Greater, Op::GreaterOrEqual];
    (0..SCHEMA.fields.len()).prop_flat_map(move |place| {
        let field = &SCHEMA.fields[place];
        let text = matches!(field.kind, Type::Text | Type::Choice(_));
        let compare = (prop::sample::select(ops.to_vec()), value(field))
            .prop_map(move |(op, value)| Specification::Compare(place, op, value));
        let list = prop::collection::vec(value(field), 0..4).prop_map(move |values| Specification::In(place, values));
        let between =
            (value(field), value(field)).prop_map(move |(low, high)| Specification::Between(place, low, high));
        let like =
            prop::sample::select(&PATTERNS).prop_map(move |pattern| Specification::Like(place, (*pattern).to_owned()));
        let part = (prop::sample::select(&TEXTS), 0..3usize).prop_map(move |(text, part)| {
            Specification::Part(place, [Part::Contains, Part::StartsWith, Part::EndsWith][part], (*text).to_owned())
        });
        let null = Just(Specification::Null(place));
        if text {
            prop_oneof![compare, list, between, like, part, null].boxed()
        } else {
            prop_oneof![compare, list, between, null].boxed()
        }
    })
}

fn specifications() -> impl Strategy<Value = Specification> {
    let leaf = prop_oneof![8 => leaf(), 1 => Just(Specification::All), 1 => Just(Specification::None)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Specification::Not(Box::new(one))),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Specification::And),
            prop::collection::vec(inner, 0..4).prop_map(Specification::Or),
        ]
    })
}

fn parameter(value: &Value) -> rusqlite::types::Value {
    match value {
        Value::Integer(value) => (*value).into(),
        Value::Real(value) => (*value).into(),
        Value::Text(value) => value.clone().into(),
        Value::Bool(value) => i64::from(*value).into(),
    }
}

fn stored(datum: &Datum<'_>) -> rusqlite::types::Value {
    match datum {
        Datum::Null => rusqlite::types::Value::Null,
        Datum::Integer(value) => (*value).into(),
        Datum::Real(value) => (*value).into(),
        Datum::Text(value) => value.clone().into_owned().into(),
        Datum::Bool(value) => i64::from(*value).into(),
    }
}

/// The places of the rows that SQLite finds.
fn by_sqlite(rows: &[Row], filter: &Filter) -> Vec<usize> {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    let columns: Vec<_> = SCHEMA
        .fields
        .iter()
        .map(|field| {
            let kind = match field.kind {
                Type::Real => "REAL",
                Type::Text | Type::Choice(_) => "TEXT",
                _ => "INTEGER",
            };
            format!("{} {kind}", field.column)
        })
        .collect();
    database.execute(&format!("CREATE TABLE t (place INTEGER PRIMARY KEY, {})", columns.join(", ")), ()).unwrap();
    for (place, row) in rows.iter().enumerate() {
        let mut values = vec![rusqlite::types::Value::Integer(place as i64)];
        values.extend(row.0.iter().map(stored));
        let marks = vec!["?"; values.len()].join(", ");
        database.execute(&format!("INSERT INTO t VALUES ({marks})"), rusqlite::params_from_iter(values)).unwrap();
    }
    let sql = filter.sql();
    let mut statement = database.prepare(&format!("SELECT place FROM t WHERE {} ORDER BY place", sql.clause)).unwrap();
    let parameters = rusqlite::params_from_iter(sql.parameters.iter().map(parameter));
    let found = statement.query_map(parameters, |row| row.get::<_, i64>(0)).unwrap();
    found.map(|place| place.unwrap() as usize).collect()
}

fn by_memory(rows: &[Row], filter: &Filter) -> Vec<usize> {
    rows.iter().enumerate().filter(|(_, row)| filter.matches(*row)).map(|(place, _)| place).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn memory_and_sqlite_give_the_same_rows(rows in rows(), root in specifications()) {
        let filter = Filter::of(&SCHEMA, root);
        prop_assert_eq!(by_memory(&rows, &filter), by_sqlite(&rows, &filter), "{:?}", filter.sql());
    }

    #[test]
    fn the_laws_of_logic_hold(rows in rows(), a in specifications(), b in specifications()) {
        use Specification::{All, And, None, Not, Or};
        let not = |one: &Specification| Not(Box::new(one.clone()));
        let (a_, b_) = (&a, &b);
        let laws = [
            (a.clone(), not(&not(a_))),
            (not(&And(vec![a.clone(), b.clone()])), Or(vec![not(a_), not(b_)])),
            (not(&Or(vec![a.clone(), b.clone()])), And(vec![not(a_), not(b_)])),
            (And(vec![a.clone(), b.clone()]), And(vec![b.clone(), a.clone()])),
            (Or(vec![a.clone(), b.clone()]), Or(vec![b.clone(), a.clone()])),
            (And(vec![a.clone(), All]), a.clone()),
            (Or(vec![a.clone(), None]), a.clone()),
            (And(vec![a.clone(), None]), None),
            (Or(vec![a.clone(), All]), All),
        ];
        for (left, right) in laws {
            let (left, right) = (Filter::of(&SCHEMA, left), Filter::of(&SCHEMA, right));
            prop_assert_eq!(by_memory(&rows, &left), by_memory(&rows, &right));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        if let Err(error) = Filter::parse(&text, &SCHEMA) {
            let _ = error.to_string();
        }
    }

    #[test]
    fn no_row_of_words_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "number", "output", "outcome", "correct", "duration", "at", "and", "or", "not", "in", "like", "between", "is",
            "null", "contains", "(", ")", ",", "=", "!=", "<", ">=", "5", "-1", "5ms", "\"Fizz\"", "ok", "true", "'", "é",
        ]), 0..30),
    ) {
        match Filter::parse(&words.join(" "), &SCHEMA) {
            Err(error) => prop_assert!(error.to_string().contains('^')),
            Ok(filter) => {
                // What parses is SQL that SQLite takes.
                by_sqlite(&[], &filter);
            }
        }
    }
}

fn told(text: &str) -> String {
    Filter::parse(text, &SCHEMA).unwrap_err().to_string()
}

#[test]
fn filters_are_read_as_they_are_written() {
    let sql =
        |text: &str| Filter::parse(text, &SCHEMA).map(|filter| filter.sql().clause).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(sql("number > 10 and not correct or faults=0"), "((number > ? AND NOT (correct = ?)) OR faults = ?)");
    assert_eq!(sql("number not in (1, 2)"), "NOT (number IN (?, ?))");
    assert_eq!(sql("error is not null"), "NOT (error IS NULL)");
    assert_eq!(sql("duration between 1ms and 2.5s"), "processing_time_ns BETWEEN ? AND ?");
    assert_eq!(sql("OUTCOME <> OK AND source == cache"), "(outcome <> ? AND source = ?)");
    let filter = Filter::parse("duration > 1.5ms and at >= '2026-01-01T00:00:00Z'", &SCHEMA).unwrap();
    assert_eq!(filter.sql().parameters, [Value::Integer(1_500_000), Value::Integer(1_767_225_600_000_000_000)]);
    let robbed = Filter::parse(r#"output = "x'; DROP TABLE t; --""#, &SCHEMA).unwrap().sql();
    assert_eq!(robbed.clause, "(output IS NOT NULL AND output = ?)", "a value is never part of the statement");
}

#[test]
fn errors_name_the_place_with_a_caret() {
    let text = told("number > 10 and outcom != ok");
    assert_eq!(
        text,
        "the filter is wrong at character 17: `outcom` is no field; did you mean `outcome`?\n  \
         number > 10 and outcom != ok\n                  ^^^^^^"
    );
    assert!(told("outcome = rejektd").contains("did you mean `rejected`?"));
    assert!(told("number > \"ten\"").contains("is a whole number"));
    assert!(told("number >").contains("at character 9: a value for `number` was expected"));
    assert!(told("(number > 1").contains("`)` was expected for the `(` at character 1"));
    assert!(told("output = \"Fizz").contains("no closing quote"));
    assert!(told("number > 1 2").contains("`and`, `or` or the end was expected"));
    assert!(told("duration > 5").contains("such as 250us, 5ms or 1.5s"));
    assert!(told("correct > true").contains("has no order"));
    assert!(told("number like '1%'").contains("is no text"));
    assert!(told("").contains("the name of a field was expected"));
    assert!(told(&"(".repeat(3_000)).contains("nested deeper"));
    assert!(told(&"not ".repeat(900)).contains("nested deeper"));
    assert!(told(&"x".repeat(5_000)).contains("longer than"));
}

#[test]
fn patterns_are_no_regular_expressions() {
    assert!(like("FizzBuzz", "f%b_zz") && like("a.c", "a.c") && !like("abc", "a.c"));
    assert!(like("", "%") && like("", "") && !like("x", ""));
    assert!(like("aaaaaaaaab", "%a%a%a%b") && !like("aaaaaaaaaa", "%a%a%a%b"));
}
