//! A part of the snapshot over the frames of a chunk, as what changed. The part is any JSON value: its leaves make the
//! columns of a grid, its frames the rows. Each column is told as differences from whichever neighbour tells it best.
//! When the part takes another shape (a list grew), it is told whole.

use std::collections::BTreeMap;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::pack::{Packed, length, pack, unpack, unzigzag, zigzag};

/// Some frames of a part: a number, a list or an object in JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// So many frames in which nothing changed.
    Same(u32),
    /// Frames in which leaves changed.
    Cells(Box<Cells>),
    /// One frame, told whole: `{"whole": ...}`.
    Whole(Box<Value>),
}

/// So many frames, the changed columns, their predictors, the residuals, and the texts that are new.
pub type Cells = (u32, Packed, String, Packed, Vec<Value>);

impl Serialize for Piece {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Same(frames) => serializer.serialize_u32(*frames),
            Self::Cells(cells) => cells.serialize(serializer),
            Self::Whole(whole) => serializer.collect_map([("whole", whole)]),
        }
    }
}

struct PieceVisitor;

impl<'de> Visitor<'de> for PieceVisitor {
    type Value = Piece;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number of frames, changed cells, or a whole frame")
    }

    fn visit_u64<E: serde::de::Error>(self, frames: u64) -> Result<Piece, E> {
        u32::try_from(frames).map(Piece::Same).map_err(|_| E::custom("there are too many frames"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Piece, A::Error> {
        Cells::deserialize(SeqAccessDeserializer::new(seq)).map(|cells| Piece::Cells(Box::new(cells)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Piece, A::Error> {
        match map.next_entry::<String, Value>()? {
            Some((key, whole)) if key == "whole" => match map.next_key::<String>()? {
                None => Ok(Piece::Whole(Box::new(whole))),
                Some(_) => Err(serde::de::Error::custom("there is more than a whole frame")),
            },
            _ => Err(serde::de::Error::custom("the whole frame is missing")),
        }
    }
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PieceVisitor)
    }
}

/// No part has more leaves.
const LEAVES: usize = 100_000;
/// No text is split into more numbers.
const SLOTS: usize = 6;
/// Stands for a number in a template. A text that has it is told literally.
const SLOT: char = '\u{1}';

/// Why pieces cannot be read.
pub type Problem = &'static str;

/// What is known of a part after the last frame.
#[derive(Debug, Clone, Default)]
pub struct State {
    value: Option<Value>,
}

/// Whether two values differ in leaves only.
fn same_shape(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_shape(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|((key, one), (name, other))| key == name && same_shape(one, other))
        }
        (one, other) => is_leaf(one) && is_leaf(other),
    }
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => true,
    }
}

fn leaves<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(items) if !items.is_empty() => items.values().for_each(|item| leaves(item, found)),
        leaf => found.push(leaf),
    }
}

fn leaves_mut<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    if is_leaf(value) {
        found.push(value);
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| leaves_mut(item, found)),
        Value::Object(items) => items.values_mut().for_each(|item| leaves_mut(item, found)),
        _ => {}
    }
}

/// Of each leaf, the one in the same place of the row before it in its outermost list.
fn lefts(value: &Value) -> Vec<Option<usize>> {
    fn walk(value: &Value, path: &str, row: Option<(usize, &str)>, found: &mut Vec<(String, Option<String>)>) {
        match value {
            Value::Array(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    match row {
                        None => walk(item, "", Some((index, &format!("{path}/"))), found),
                        Some(_) => walk(item, &format!("{path}/{index}"), row, found),
                    }
                }
            }
            Value::Object(items) if !items.is_empty() => {
                items.iter().for_each(|(key, item)| walk(item, &format!("{path}/{key}"), row, found));
            }
            _ => found.push(match row {
                None => (path.to_owned(), None),
                Some((index, list)) => {
                    let left = index.checked_sub(1).map(|left| format!("{list}{left}{path}"));
                    (format!("{list}{index}{path}"), left)
                }
            }),
        }
    }
    let mut found = Vec::new();
    walk(value, "", None, &mut found);
    let places: BTreeMap<&str, usize> = found.iter().enumerate().map(|(at, (path, _))| (path.as_str(), at)).collect();
    found.iter().map(|(_, left)| left.as_ref().and_then(|left| places.get(left.as_str()).copied())).collect()
}

fn whole_number(value: &Value) -> Option<i64> {
    value.as_i64()
}

/// A text as a template and the numbers in it; `None` when it has too many.
fn split_text(text: &str) -> Option<(String, Vec<i64>)> {
    let (mut template, mut numbers) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(begin) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, from) = rest.split_at(begin);
        let digits = from.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(from.len());
        let (run, after) = from.split_at(digits);
        template.push_str(before);
        match run.parse::<i64>() {
            // A number that would be written otherwise stays a part of the text.
            Ok(number) if digits <= 18 && (digits == 1 || !run.starts_with('0')) => {
                template.push(SLOT);
                numbers.push(number);
            }
            _ => template.push_str(run),
        }
        rest = after;
    }
    template.push_str(rest);
    (numbers.len() <= SLOTS).then_some((template, numbers))
}

fn join_text(template: &str, numbers: &[i64]) -> Result<String, Problem> {
    let mut text = String::with_capacity(template.len() + 16);
    let mut numbers = numbers.iter();
    for letter in template.chars() {
        if letter == SLOT {
            text.push_str(&numbers.next().ok_or("a number is missing")?.to_string());
        } else {
            text.push(letter);
        }
    }
    Ok(text)
}

/// A leaf as a template and the numbers in it: a text is one, `[text]` one of a fraction, null that of a whole number;
/// whatever else is told literally.
fn split(value: &Value) -> (Value, Vec<i64>) {
    let literally = || (serde_json::json!({ "raw": value }), Vec::new());
    match value {
        Value::String(text) if !text.contains(SLOT) => {
            split_text(text).map_or_else(literally, |(template, numbers)| (Value::String(template), numbers))
        }
        Value::Number(number) if number.is_f64() => split_text(&number.to_string())
            .map_or_else(literally, |(template, numbers)| (Value::Array(vec![Value::String(template)]), numbers)),
        value => whole_number(value).map_or_else(literally, |number| (Value::Null, vec![number])),
    }
}

/// The reverse; `numbers` has at least as many as the template has slots.
fn join(template: &Value, numbers: &[i64]) -> Result<Value, Problem> {
    match template {
        Value::Null => numbers.first().map(|number| Value::from(*number)).ok_or("a number is missing"),
        Value::String(template) => join_text(template, numbers).map(Value::String),
        Value::Array(one) => {
            let [Value::String(template)] = one.as_slice() else { return Err("a fraction has no template") };
            let number: f64 = join_text(template, numbers)?.parse().map_err(|_| "a fraction is none")?;
            Ok(Value::from(number))
        }
        Value::Object(literal) => literal.get("raw").cloned().ok_or("a text is neither template nor literal"),
        _ => Err("a text is neither template nor literal"),
    }
}

fn slots(template: &Value) -> usize {
    match template {
        Value::Null => 1,
        Value::String(text) => text.matches(SLOT).count(),
        Value::Array(one) => one.first().map_or(0, slots),
        _ => 0,
    }
}

/// Where a column's numbers come from: a leaf's own number, the name of its template, or a number within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    leaf: usize,
    /// 0 for the number or the template.
    part: usize,
    textual: bool,
}

/// The columns' neighbours.
struct Columns {
    sources: Vec<Source>,
    left: Vec<Option<usize>>,
    right: Vec<Option<usize>>,
}

impl Columns {
    /// `changed`: of each leaf that changed how many numbers its texts have, or `None` for a number.
    fn new(changed: &[(usize, Option<usize>)], lefts: &[Option<usize>]) -> Self {
        let mut sources = Vec::new();
        let mut first: BTreeMap<usize, (usize, Option<usize>)> = BTreeMap::new();
        for (leaf, parts) in changed {
            first.insert(*leaf, (sources.len(), *parts));
            let textual = parts.is_some();
            sources.extend((0..=parts.unwrap_or(0)).map(|part| Source { leaf: *leaf, part, textual }));
        }
        let neighbour = |source: &Source| {
            let left = lefts.get(source.leaf).copied().flatten()?;
            let (column, parts) = first.get(&left)?;
            (parts.is_some() == source.textual && source.part <= parts.unwrap_or(0)).then_some(column + source.part)
        };
        let left: Vec<Option<usize>> = sources.iter().map(neighbour).collect();
        let mut right = vec![None; sources.len()];
        for (column, left) in left.iter().enumerate() {
            if let Some(slot) = left.and_then(|left| right.get_mut(left)) {
                *slot = Some(column);
            }
        }
        Self { sources, left, right }
    }
}

/// What a number is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Predictor {
    /// As in the frame before.
    Time,
    /// As much more as in the frame before.
    Trend,
    /// As in the row before.
    Left,
    /// As in the row after, in the frame before: the list moved on by one.
    Shift,
}

impl Predictor {
    const ALL: [(Self, char); 4] = [(Self::Time, 'T'), (Self::Trend, 'U'), (Self::Left, 'L'), (Self::Shift, 'S')];
}

/// The numbers of all columns up to the present frame, as predictors look at them.
struct Past<'a> {
    columns: &'a Columns,
    now: Vec<i64>,
    before: Vec<i64>,
    earlier: Vec<i64>,
}

impl<'a> Past<'a> {
    fn new(columns: &'a Columns, prior: Vec<i64>) -> Self {
        Self { columns, now: prior.clone(), before: prior.clone(), earlier: prior }
    }

    fn next_frame(&mut self) {
        std::mem::swap(&mut self.earlier, &mut self.before);
        self.before.clone_from(&self.now);
    }

    fn predict(&self, column: usize, predictor: Predictor) -> i64 {
        let of = |numbers: &[i64], column: usize| numbers.get(column).copied().unwrap_or_default();
        match predictor {
            Predictor::Time => of(&self.before, column),
            Predictor::Trend => {
                let before = of(&self.before, column);
                before.wrapping_add(before.wrapping_sub(of(&self.earlier, column)))
            }
            Predictor::Left => self.columns.left.get(column).copied().flatten().map_or(0, |left| of(&self.now, left)),
            Predictor::Shift => {
                self.columns.right.get(column).copied().flatten().map_or(0, |right| of(&self.before, right))
            }
        }
    }
}

/// The texts that columns name by number: first those that the part had before, which are known, then new ones.
#[derive(Default)]
struct Texts {
    known: Vec<Value>,
    places: BTreeMap<String, i64>,
}

impl Texts {
    fn place(&mut self, template: Value) -> i64 {
        let next = self.known.len() as i64;
        // A template's text is its own key: two that are written alike are alike.
        let place = *self.places.entry(template.to_string()).or_insert(next);
        if place == next {
            self.known.push(template);
        }
        place
    }
}

impl State {
    /// Forgets, so that the next piece is whole: a reader may begin there.
    pub fn forget(&mut self) {
        self.value = None;
    }

    /// Tells these frames.
    pub fn encode(&mut self, frames: Vec<Value>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut run: Vec<Value> = Vec::new();
        let mut last = self.value.take();
        for frame in frames {
            let present = run.last().or(last.as_ref());
            if present.is_some_and(|present| same_shape(present, &frame)) {
                run.push(frame);
                continue;
            }
            if let Some(prior) = &last
                && !run.is_empty()
            {
                pieces.push(cells(prior, &run));
            }
            run.clear();
            pieces.push(Piece::Whole(Box::new(frame.clone())));
            last = Some(frame);
        }
        if let Some(prior) = &last
            && !run.is_empty()
        {
            pieces.push(cells(prior, &run));
        }
        self.value = run.pop().or(last);
        pieces
    }

    /// Reads pieces, calling `each` with the part as it is in each frame, in order.
    ///
    /// # Errors
    /// [`Problem`] when they are not what [`State::encode`] made.
    pub fn decode(&mut self, pieces: Vec<Piece>, mut each: impl FnMut(&Value)) -> Result<(), Problem> {
        for piece in pieces {
            match piece {
                Piece::Whole(whole) => each(self.value.insert(*whole)),
                Piece::Same(frames) => {
                    let value = self.value.as_ref().ok_or("nothing is known before")?;
                    (0..frames).for_each(|_| each(value));
                }
                Piece::Cells(cells) => {
                    let value = self.value.as_mut().ok_or("nothing is known before")?;
                    read_cells(value, *cells, &mut each)?;
                }
            }
        }
        Ok(())
    }
}

/// How many frames pieces tell.
pub fn frames(pieces: &[Piece]) -> u64 {
    let of = |piece: &Piece| match piece {
        Piece::Same(frames) => u64::from(*frames),
        Piece::Cells(cells) => u64::from(cells.0),
        Piece::Whole(_) => 1,
    };
    pieces.iter().map(of).sum()
}

fn cells(prior: &Value, run: &[Value]) -> Piece {
    let count = run.len() as u32;
    let (mut before, mut rows) = (Vec::new(), Vec::with_capacity(run.len()));
    leaves(prior, &mut before);
    for frame in run {
        let mut row = Vec::with_capacity(before.len());
        leaves(frame, &mut row);
        rows.push(row);
    }
    let cell = |row: &[&Value], leaf: usize| row.get(leaf).map_or(Value::Null, |value| (*value).clone());
    let all_numbers = |leaf: usize| {
        std::iter::once(&before).chain(&rows).all(|row| row.get(leaf).is_some_and(|leaf| whole_number(leaf).is_some()))
    };
    let mut changed = Vec::new();
    let mut texts = Texts::default();
    // Template and numbers of each textual leaf, before and in each row.
    let mut split_leaves: BTreeMap<usize, Vec<(Value, Vec<i64>)>> = BTreeMap::new();
    for (leaf, old) in before.iter().enumerate() {
        if rows.iter().all(|row| row.get(leaf).is_some_and(|new| new == old)) {
            continue;
        }
        if all_numbers(leaf) {
            changed.push((leaf, None));
            continue;
        }
        let parts: Vec<_> = std::iter::once(&before).chain(&rows).map(|row| split(&cell(row, leaf))).collect();
        let most = parts.iter().map(|(_, numbers)| numbers.len()).max().unwrap_or(0);
        changed.push((leaf, Some(most)));
        if let Some((template, _)) = parts.first() {
            texts.place(template.clone());
        }
        split_leaves.insert(leaf, parts);
    }
    if changed.is_empty() {
        return Piece::Same(count);
    }
    let known = texts.known.len();
    let columns = Columns::new(&changed, &lefts(prior));
    // The numbers of each column: before, and in each row.
    let mut numbers: Vec<Vec<i64>> = Vec::with_capacity(columns.sources.len());
    for source in &columns.sources {
        let mut held = 0;
        let column = (0..=rows.len()).map(|row| {
            let old =
                if row == 0 { before.get(source.leaf) } else { rows.get(row - 1).and_then(|row| row.get(source.leaf)) };
            match (source.textual, split_leaves.get(&source.leaf).and_then(|parts| parts.get(row))) {
                (true, Some((template, _))) if source.part == 0 => texts.place(template.clone()),
                (true, Some((_, parts))) => {
                    // A text with fewer numbers leaves the others as they were.
                    held = parts.get(source.part - 1).copied().unwrap_or(held);
                    held
                }
                _ => old.and_then(|value| whole_number(value)).unwrap_or_default(),
            }
        });
        numbers.push(column.collect());
    }
    let row = |at: usize| numbers.iter().map(|column| column.get(at).copied().unwrap_or_default()).collect::<Vec<_>>();
    let mut costs = vec![[0_u32; 4]; numbers.len()];
    let mut guesses: Vec<[Vec<u64>; 4]> = vec![Default::default(); numbers.len()];
    let mut past = Past::new(&columns, row(0));
    for at in 1..=rows.len() {
        past.next_frame();
        past.now = row(at);
        for (column, (costs, guesses)) in costs.iter_mut().zip(&mut guesses).enumerate() {
            let number = past.now.get(column).copied().unwrap_or_default();
            for ((predictor, _), (cost, guess)) in Predictor::ALL.iter().zip(costs.iter_mut().zip(guesses)) {
                let residual = zigzag(number.wrapping_sub(past.predict(column, *predictor)));
                // A letter that is not A costs something too.
                *cost += length(residual) + u32::from(residual != 0);
                guess.push(residual);
            }
        }
    }
    let (mut predictors, mut residuals) = (String::new(), Vec::new());
    for (costs, mut guesses) in costs.into_iter().zip(guesses) {
        let best = (0..4).min_by_key(|at| costs.get(*at).copied().unwrap_or(u32::MAX)).unwrap_or(0);
        predictors.push(Predictor::ALL.get(best).map_or('T', |(_, letter)| *letter));
        residuals.append(&mut guesses.get_mut(best).map(std::mem::take).unwrap_or_default());
    }
    let mut place = 0;
    let list = changed.iter().flat_map(|(leaf, parts)| {
        let step = leaf - place;
        place = leaf + 1;
        [step as u64, parts.map_or(0, |parts| parts as u64 + 1)]
    });
    let new = texts.known.split_off(known.min(texts.known.len()));
    Piece::Cells(Box::new((count, pack(list.collect::<Vec<_>>()), predictors, pack(residuals), new)))
}

fn read_cells(value: &mut Value, cells: Cells, each: &mut impl FnMut(&Value)) -> Result<(), Problem> {
    let (frames, changed, predictors, residuals, new) = cells;
    let shape = lefts(value);
    if shape.len() > LEAVES {
        return Err("the part is too large");
    }
    let list = unpack(&changed).ok_or("the list of changed columns is damaged")?;
    let mut place = 0_usize;
    let mut leaves_changed = Vec::with_capacity(list.len() / 2);
    for pair in list.chunks(2) {
        let [step, parts] = pair else { return Err("the list of changed columns is cut") };
        let leaf =
            usize::try_from(*step).ok().and_then(|step| place.checked_add(step)).filter(|leaf| *leaf < shape.len());
        let leaf = leaf.ok_or("a column is of no leaf")?;
        let parts =
            usize::try_from(*parts).ok().filter(|parts| *parts <= SLOTS + 1).ok_or("a text has too many numbers")?;
        leaves_changed.push((leaf, parts.checked_sub(1)));
        place = leaf + 1;
    }
    let columns = Columns::new(&leaves_changed, &shape);
    let count = columns.sources.len();
    let predictors: Vec<Predictor> = predictors
        .chars()
        .map(|letter| Predictor::ALL.iter().find(|(_, known)| *known == letter).map(|(predictor, _)| *predictor))
        .collect::<Option<_>>()
        .ok_or("there is no such predictor")?;
    let residuals = unpack(&residuals).ok_or("the residuals are damaged")?;
    let rows = frames as usize;
    if predictors.len() != count || count.checked_mul(rows) != Some(residuals.len()) {
        return Err("the columns are not complete");
    }
    // What was known before, in the order in which it was named.
    let mut texts = Texts::default();
    let mut prior = Vec::with_capacity(count);
    let mut old = Vec::with_capacity(shape.len());
    leaves(value, &mut old);
    for (leaf, parts) in &leaves_changed {
        let leaf = old.get(*leaf).ok_or("a column is of no leaf")?;
        match parts {
            None => prior.push(whole_number(leaf).ok_or("a column of numbers begins with none")?),
            Some(parts) => {
                let (template, numbers) = split(leaf);
                prior.push(texts.place(template));
                prior.extend((0..*parts).map(|part| numbers.get(part).copied().unwrap_or_default()));
            }
        }
    }
    texts.known.extend(new);
    let mut past = Past::new(&columns, prior);
    for row in 0..rows {
        past.next_frame();
        for (column, predictor) in predictors.iter().enumerate() {
            let residual = residuals.get(column * rows + row).copied().unwrap_or_default();
            let number = past.predict(column, *predictor).wrapping_add(unzigzag(residual));
            if let Some(slot) = past.now.get_mut(column) {
                *slot = number;
            }
        }
        let mut places = Vec::with_capacity(shape.len());
        leaves_mut(value, &mut places);
        let mut column = 0;
        for (leaf, parts) in &leaves_changed {
            let width = parts.map_or(1, |parts| parts + 1);
            let numbers = past.now.get(column..column + width).ok_or("a column is missing")?;
            column += width;
            let slot = places.get_mut(*leaf).ok_or("a column is of no leaf")?;
            **slot = match (parts, numbers) {
                (None, [number]) => Value::from(*number),
                (Some(_), [template, numbers @ ..]) => {
                    let template = usize::try_from(*template).ok().and_then(|place| texts.known.get(place));
                    let template = template.ok_or("there is no such text")?;
                    if slots(template) > numbers.len() {
                        return Err("a number is missing");
                    }
                    join(template, numbers)?
                }
                _ => return Err("a column is missing"),
            };
            if !is_leaf(slot) {
                return Err("a leaf is none");
            }
        }
        each(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn round(frames: &[Value]) -> Vec<Piece> {
        let pieces = State::default().encode(frames.to_vec());
        assert_eq!(super::frames(&pieces), frames.len() as u64);
        let text = serde_json::to_string(&pieces).unwrap();
        let mut read = Vec::new();
        State::default().decode(serde_json::from_str(&text).unwrap(), |value| read.push(value.clone())).unwrap();
        assert_eq!(read, frames);
        pieces
    }

    #[test]
    fn a_list_that_moves_on_costs_next_to_nothing() {
        let frame = |at: i64| json!({ "rows": (at..at + 20).map(|row| json!({ "at": row * 1_000, "text": format!("{row} is here") })).collect::<Vec<_>>() });
        let pieces = round(&(0..10).map(frame).collect::<Vec<_>>());
        let Some(Piece::Cells(cells)) = pieces.get(1) else { panic!("{pieces:?}") };
        let (9, _, _, residuals, texts) = &**cells else { panic!("{cells:?}") };
        assert!(texts.is_empty() && residuals.1.len() < 250, "{residuals:?}");
    }

    #[test]
    fn whatever_is_no_number_is_kept_as_it_is() {
        let frames = [
            json!([1, null, "a", 1.5, [], {}, "007", "\u{1}", u64::MAX, true]),
            json!([null, 7, "a 5 b 6", "x", {}, [], "7", "1\u{1}", 3, false]),
            json!([-5, "5", 1.25, null, 1, {}, "0", "", -1, {}]),
            json!([-5, "5", 1.25, null, 1, {}, "0", "", -1]),
            json!({ "other": [] }),
        ];
        assert_eq!(round(&frames).iter().filter(|piece| matches!(piece, Piece::Whole(_))).count(), 3);
    }

    #[test]
    fn what_was_changed_is_refused_or_read_and_never_panics() {
        let frames: Vec<Value> = (0..5).map(|at| json!({ "a": [at, at + 1, format!("n {at}")], "b": 0.5 })).collect();
        let text = serde_json::to_string(&State::default().encode(frames)).unwrap();
        let mut read = 0;
        for at in 0..text.len() {
            for letter in [b'0', b'A', b'9', b'"', b',', b'S', b'-'] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = letter;
                if let Ok(pieces) = serde_json::from_slice::<Vec<Piece>>(&bytes)
                    && super::frames(&pieces) < 1_000
                {
                    read += usize::from(State::default().decode(pieces, |_| {}).is_ok());
                }
            }
        }
        assert!(read > 0);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-5..5_i64).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            "[a-c]{0,2}[0-9]{0,3}[a-c\u{1}]{0,2}[0-9]{0,17}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_frames_are_read_back(frames in prop::collection::vec(value(), 1..6), repeat in 1..4_usize) {
            let frames: Vec<Value> = frames.into_iter().flat_map(|frame| vec![frame; repeat]).collect();
            round(&frames);
        }

        #[test]
        fn rows_of_one_shape_are_read_back(
            rows in prop::collection::vec(prop::collection::vec((any::<i64>(), "[a-b]{0,1}[0-9]{0,3}", prop::option::of(0..9_u8)), 4), 1..8),
        ) {
            round(&rows.into_iter().map(|row| json!({ "list": row, "n": 3 })).collect::<Vec<_>>());
        }
    }
}
