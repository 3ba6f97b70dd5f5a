//! Specifications as SQL: column names come from the schema alone, values are parameters.

use super::{Part, Schema, Specification, Value};

/// The condition of a `WHERE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sql {
    /// With a `?` for each parameter.
    pub clause: String,
    /// In the order of their question marks.
    pub parameters: Vec<Value>,
}

pub(super) fn compile(root: &Specification, schema: &Schema) -> Sql {
    let mut sql = Sql { clause: String::new(), parameters: Vec::new() };
    sql.put(root, schema);
    sql
}

impl Sql {
    fn put(&mut self, specification: &Specification, schema: &Schema) {
        match specification {
            Specification::All => self.clause.push('1'),
            Specification::None => self.clause.push('0'),
            Specification::Not(inner) => {
                self.clause.push_str("NOT (");
                self.put(inner, schema);
                self.clause.push(')');
            }
            Specification::And(all) => self.join(all, " AND ", "1", schema),
            Specification::Or(all) => self.join(all, " OR ", "0", schema),
            Specification::Compare(place, op, value) => self.with_value(*place, schema, |sql, column| {
                sql.clause.push_str(&format!("{column} {} ?", op.sql()));
                sql.parameters.push(value.clone());
            }),
            Specification::In(place, values) => self.with_value(*place, schema, |sql, column| {
                let marks = vec!["?"; values.len()].join(", ");
                sql.clause.push_str(&format!("{column} IN ({marks})"));
                sql.parameters.extend(values.iter().cloned());
            }),
            Specification::Between(place, low, high) => self.with_value(*place, schema, |sql, column| {
                sql.clause.push_str(&format!("{column} BETWEEN ? AND ?"));
                sql.parameters.extend([low.clone(), high.clone()]);
            }),
            Specification::Like(place, pattern) => self.with_value(*place, schema, |sql, column| {
                sql.clause.push_str(&format!("{column} LIKE ?"));
                sql.parameters.push(Value::Text(pattern.clone()));
            }),
            Specification::Part(place, part, text) => self.with_value(*place, schema, |sql, column| {
                let text = || Value::Text(text.clone());
                match part {
                    Part::Contains => {
                        sql.clause.push_str(&format!("instr({column}, ?) > 0"));
                        sql.parameters.push(text());
                    }
                    Part::StartsWith => {
                        sql.clause.push_str(&format!("substr({column}, 1, length(?)) = ?"));
                        sql.parameters.extend([text(), text()]);
                    }
                    Part::EndsWith => {
                        // `substr(x, -0)` is all of x, so the empty text is its own case.
                        sql.clause.push_str(&format!("(length(?) = 0 OR substr({column}, -length(?)) = ?)"));
                        sql.parameters.extend([text(), text(), text()]);
                    }
                }
            }),
            Specification::Null(place) => {
                let column = schema.fields.get(*place).map_or("NULL", |field| field.column);
                self.clause.push_str(&format!("{column} IS NULL"));
            }
        }
    }

    /// A comparison of a column; where it may have no value the comparison is false then, not unknown.
    fn with_value(&mut self, place: usize, schema: &Schema, put: impl FnOnce(&mut Self, &str)) {
        match schema.fields.get(place) {
            Some(field) if field.nullable => {
                self.clause.push_str(&format!("({} IS NOT NULL AND ", field.column));
                put(self, field.column);
                self.clause.push(')');
            }
            Some(field) => put(self, field.column),
            None => self.clause.push('0'),
        }
    }

    fn join(&mut self, all: &[Specification], between: &str, empty: &str, schema: &Schema) {
        if all.is_empty() {
            self.clause.push_str(empty);
            return;
        }
        self.clause.push('(');
        for (at, one) in all.iter().enumerate() {
            if at > 0 {
                self.clause.push_str(between);
            }
            self.put(one, schema);
        }
        self.clause.push(')');
    }
}
