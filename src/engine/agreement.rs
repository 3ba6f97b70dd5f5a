//! Whether what was kept of sessions agrees: the ledger, the journal and the repository, which know nothing of one
//! another. It changes nothing, and takes the ledger for what the others are compared with.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{EventMask, Kind, Rule, RuleSet, Timestamp};
use crate::records::journal::JournalError;
use crate::records::journal::desk::OPERATIONS;
use crate::records::journal::log::{Item, Reader as Journal};
use crate::records::ledger::tiles::{WIDTH, read_entries};
use crate::records::ledger::{Entry, Reader as Ledger, Row, StoreError};
use crate::records::storage::{Repository, Shaper, StorageError};

/// The name of the ledger's entry with which a session begins.
pub const SESSION_RULES: &str = "SESSION_RULES";

/// What a session's results are made with: the facts of its first entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// Its id.
    pub session_id: String,
    /// Its seed.
    pub seed: u64,
    /// When it began, by its own clock.
    pub began: Timestamp,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Why what was kept does not agree, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is the error of the room that it names")]
pub enum Disagreement {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Ledger(#[from] StoreError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The first difference.
    #[error("session {session}: {problem}")]
    Differs {
        /// Whose.
        session: String,
        /// What differs, and where.
        problem: String,
    },
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// Sessions that both have.
    pub sessions: u64,
    /// Evaluations of theirs.
    pub evaluations: u64,
    /// Commands and events of theirs.
    pub operations: u64,
    /// Sessions that the ledger alone has.
    pub ledger_alone: u64,
    /// Sessions that the other one alone has.
    pub other_alone: u64,
    /// Sessions that were cut off, compared as far as both tell of them.
    pub cut: u64,
}

/// A session of the ledger.
#[derive(Debug)]
struct Told {
    facts: Option<SessionFacts>,
    id: String,
    first: u64,
    end: u64,
    ended: bool,
}

/// Every entry from `first` to `end` in order, until `visit` breaks.
fn entries(
    ledger: &Ledger,
    first: u64,
    end: u64,
    mut visit: impl FnMut(u64, Entry) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    for tile in first / WIDTH..end.div_ceil(WIDTH) {
        let (file, bundle) = ledger.bundle(tile)?;
        for (index, bytes) in (tile * WIDTH..).zip(read_entries(&bundle)) {
            if index < first || index >= end {
                continue;
            }
            let damaged = |problem: String| StoreError::Damaged { file: file.clone(), problem };
            let bytes = bytes.ok_or_else(|| damaged(format!("entry {index}: it is cut off")))?;
            let entry = Entry::decode(bytes).map_err(|error| damaged(format!("entry {index}: {error}")))?;
            if visit(index, entry).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The ledger's sessions, in order.
fn told(ledger: &Ledger) -> Result<Vec<Told>, StoreError> {
    let mut sessions: Vec<Told> = Vec::new();
    entries(ledger, 0, ledger.size(), |index, entry| {
        if let Entry::Event { name, facts, .. } = entry {
            if name == SESSION_RULES {
                let facts: Option<SessionFacts> = serde_json::from_str(&facts).ok();
                let id = facts.as_ref().map(|facts| facts.session_id.clone()).unwrap_or_default();
                if let Some(last) = sessions.last_mut().filter(|last| !last.ended) {
                    last.end = index;
                }
                sessions.push(Told { facts, id, first: index, end: ledger.size(), ended: false });
            } else if name == Kind::SessionEnded.name()
                && let Some(last) = sessions.last_mut()
            {
                // What follows is no part of it: somebody who was not let in, perhaps.
                if !last.ended {
                    (last.ended, last.end) = (true, index + 1);
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(sessions)
}

/// What of a session is compared beside its evaluations, as both write it.
#[derive(Debug, PartialEq)]
struct Operation {
    name: String,
    facts: Value,
}

/// A session of the journal, or of the ledger, one item after another.
#[derive(Debug, Default)]
struct Story {
    id: String,
    /// Each with its place: an event's number, or an entry's index.
    rows: Vec<(u64, Row)>,
    operations: Vec<(u64, Operation)>,
    ended: bool,
    /// Its beginning was compacted, or it lost events when they were made.
    partial: bool,
}

/// A command and its answer, or how it was refused.
fn command(by: &Value, command: &Value, answer: String) -> Operation {
    let facts = serde_json::json!({ "by": by, "command": command, "answer": answer });
    Operation { name: "COMMAND".into(), facts }
}

/// The kinds of events that both keep.
fn in_both(name: &str) -> bool {
    let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
    kind.is_some_and(|kind| EventMask::audited().contains(*kind) && EventMask::operations().contains(*kind))
}

fn ledger_story(ledger: &Ledger, session: &Told) -> Result<Story, StoreError> {
    let mut story = Story { id: session.id.clone(), ended: session.ended, ..Story::default() };
    entries(ledger, session.first, session.end, |index, entry| {
        match entry {
            Entry::Evaluations { rows, .. } => story.rows.extend(rows.into_iter().map(|row| (index, row))),
            // A verdict is a game day's, not a command of anybody.
            Entry::Command { command: text, .. } if text == "\"verdict\"" => {}
            Entry::Command { by, command: text, answer, .. } => {
                story.operations.push((index, command(&by.into(), &text.into(), answer)));
            }
            Entry::Event { name, facts, .. } if in_both(&name) => {
                let facts = serde_json::from_str(&facts).unwrap_or(Value::String(facts));
                story.operations.push((index, Operation { name, facts }));
            }
            Entry::Event { .. } => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(story)
}

impl Story {
    fn event(&mut self, version: u64, kind: &str, data: &str) {
        let facts: Value = serde_json::from_str(data).unwrap_or_default();
        let field = |name: &str| facts.get(name).cloned().unwrap_or_default();
        let text = |name: &str| field(name).as_str().unwrap_or_default().to_owned();
        if kind == Kind::CommandAccepted.name() {
            self.operations.push((version, command(&field("by"), &field("command"), text("answer"))));
        } else if kind == Kind::CommandRefused.name() {
            let answer = format!("refused: {}", text("reason"));
            self.operations.push((version, command(&field("by"), &field("command"), answer)));
        } else if in_both(kind) {
            self.operations.push((version, Operation { name: kind.to_owned(), facts }));
        } else if kind == Kind::EventsDropped.name() {
            self.partial = true;
        }
        self.ended |= kind == Kind::SessionEnded.name();
    }

    /// The first difference to a session of the ledger.
    fn difference(&self, ledger: &Self) -> Option<String> {
        let skip = match (self.partial, self.rows.first()) {
            (true, Some((_, first))) => ledger.rows.iter().position(|(_, row)| row == first).unwrap_or(0),
            _ => 0,
        };
        let rows = ledger.rows.get(skip..).unwrap_or_default();
        for ((version, one), (index, other)) in self.rows.iter().zip(rows) {
            if let Some(what) = first_field(one, other) {
                return Some(format!(
                    "the journal's event {version} (evaluation {}) and the ledger's entry {index} differ: {what}",
                    one.sequence
                ));
            }
        }
        // The ledger's end is signed: a journal that ends earlier was cut.
        let cut = !ledger.ended;
        if self.rows.len() != rows.len() && !(cut || self.partial && self.rows.is_empty()) {
            return Some(format!("the journal has {} evaluations of it, the ledger {}", self.rows.len(), rows.len()));
        }
        if self.partial {
            return None;
        }
        for ((version, one), (index, other)) in self.operations.iter().zip(&ledger.operations) {
            if one != other {
                return Some(format!(
                    "the journal's event {version} says {} {}, the ledger's entry {index} {} {}",
                    one.name, one.facts, other.name, other.facts
                ));
            }
        }
        let counts = (self.operations.len(), ledger.operations.len());
        (counts.0 != counts.1 && !cut)
            .then(|| format!("the journal has {} commands and events of it, the ledger {}", counts.0, counts.1))
    }
}

/// The first field in which two rows differ, with both values.
fn first_field(one: &impl Serialize, other: &impl Serialize) -> Option<String> {
    let (one, other) = (serde_json::to_value(one).ok()?, serde_json::to_value(other).ok()?);
    let fields = one.as_object()?;
    let (name, value) = fields.iter().find(|(name, value)| other.get(name.as_str()) != Some(*value))?;
    Some(format!("{name} is {value} and {}", other.get(name.as_str()).unwrap_or(&Value::Null)))
}

/// Walks the journal and the ledger, session by session, and stops at the first difference. Both must have been verified
/// by themselves.
///
/// # Errors
/// [`Disagreement`].
pub fn compare_journal(ledger: &Ledger, journal: &Journal) -> Result<Compared, Disagreement> {
    let sessions = told(ledger)?;
    if let Some((file, offset, bytes)) = journal.torn()?
        && sessions.last().is_none_or(|session| session.ended)
    {
        // The last session ended in order, and nothing was being written then.
        let problem = format!("the last {bytes} bytes are no record, and no session was cut off there");
        return Err(JournalError::Corrupt { path: file, offset, problem }.into());
    }
    let mut compared = Compared::default();
    let mut taken = vec![false; sessions.len()];
    for story in journal_stories(journal)? {
        settle(ledger, &sessions, &mut taken, story, &mut compared)?;
    }
    compared.ledger_alone = taken.iter().filter(|taken| !**taken).count() as u64;
    Ok(compared)
}

/// The journal's sessions. Evaluations and operations are streams of their own: in a commit one comes before the other. A
/// session's evaluations end where another id or an earlier time begins, its operations where another one starts.
fn journal_stories(journal: &Journal) -> Result<Vec<Story>, JournalError> {
    let partial = journal.first() > 1;
    let mut evaluated: Vec<Story> = Vec::new();
    let mut operated: Vec<Story> = Vec::new();
    let mut latest = Timestamp::EPOCH;
    journal.visit(journal.first() - 1, |item| {
        match item {
            Item::Evaluation { before, at, session, evaluation } => {
                if evaluated.last().is_none_or(|story| story.id != session.id) || at < latest {
                    evaluated.push(Story { id: session.id.clone(), ..Story::default() });
                }
                latest = at;
                if let Some(story) = evaluated.last_mut() {
                    story.rows.push((before + 1, Row::of(at, evaluation)));
                }
            }
            Item::Event(event) if event.stream == OPERATIONS => {
                if event.kind == Kind::SessionStarted.name() || operated.is_empty() {
                    let facts: Value = serde_json::from_str(&event.data).unwrap_or_default();
                    let id = facts.get("session_id").and_then(Value::as_str).unwrap_or_default().to_owned();
                    operated.push(Story { id, ..Story::default() });
                }
                if let Some(story) = operated.last_mut() {
                    story.event(event.version, &event.kind, &event.data);
                }
            }
            Item::Event(_) => {}
        }
        ControlFlow::Continue(())
    })?;
    let mut stories: Vec<Story> = Vec::new();
    for mut story in evaluated {
        if let Some(place) = operated.iter().position(|other| other.id == story.id) {
            let Story { operations, ended, partial, .. } = operated.remove(place);
            (story.operations, story.ended, story.partial) = (operations, ended, partial);
        }
        stories.push(story);
    }
    // Sessions in which nothing was evaluated.
    stories.extend(operated.into_iter().filter(|story| !story.id.is_empty()));
    if let Some(first) = stories.first_mut() {
        first.partial |= partial;
    }
    Ok(stories)
}

/// Compares a session of the journal with those of the same id in the ledger (on the virtual clock a session that is
/// repeated has the same one) and takes the first that agrees.
fn settle(
    ledger: &Ledger,
    sessions: &[Told],
    taken: &mut [bool],
    story: Story,
    compared: &mut Compared,
) -> Result<(), Disagreement> {
    let mut problem = None;
    let candidates = sessions.iter().zip(taken).filter(|(session, taken)| session.id == story.id && !**taken);
    for (session, taken) in candidates {
        let other = ledger_story(ledger, session)?;
        match story.difference(&other) {
            None => {
                *taken = true;
                compared.sessions += 1;
                compared.evaluations += story.rows.len().min(other.rows.len()) as u64;
                compared.operations += story.operations.len().min(other.operations.len()) as u64;
                compared.cut += u64::from(!other.ended);
                return Ok(());
            }
            Some(difference) => drop(problem.get_or_insert(difference)),
        }
    }
    match problem {
        Some(problem) => Err(Disagreement::Differs { session: story.id, problem }),
        None => {
            compared.other_alone += 1;
            Ok(())
        }
    }
}

/// Compares every result of the repository with the evaluation on the ledger that it is of. A session of which the
/// repository has no result at all was not kept there.
///
/// # Errors
/// [`Disagreement`] with the first difference.
pub fn compare_repository(ledger: &Ledger, repository: &dyn Repository) -> Result<Compared, Disagreement> {
    let mut compared = Compared::default();
    // A session that was repeated on the virtual clock has the ids of the first one; its results were refused then.
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for session in told(ledger)? {
        let differs = |problem: String| Disagreement::Differs { session: session.id.clone(), problem };
        let Some(facts) = &session.facts else { continue };
        let rules = RuleSet::new(facts.rules.clone()).map_err(|error| differs(format!("its rules: {error}")))?;
        let shaper = Shaper::new(&facts.session_id, facts.seed, Arc::new(rules));
        let story = ledger_story(ledger, &session)?;
        let (mut found, mut missing, mut problem) = (0u64, None, None);
        for (index, row) in &story.rows {
            let expected = shaper.shape(Timestamp::from_nanos(row.at), &row.evaluation());
            match repository.difference(&expected)? {
                Some(None) => found += 1,
                Some(Some(what)) => {
                    problem.get_or_insert_with(|| {
                        format!(
                            "the {} repository's result {} is not what the ledger's entry {index} says: {what}",
                            repository.name(),
                            expected.id
                        )
                    });
                }
                None => drop(missing.get_or_insert((*index, expected.id))),
            }
        }
        let known = seen.contains_key(&session.id);
        seen.insert(session.id.clone(), found);
        if let Some(problem) = problem.filter(|_| !known) {
            return Err(differs(problem));
        }
        if found == 0 {
            compared.ledger_alone += 1;
            continue;
        }
        if let (Some((index, id)), true, false) = (missing, session.ended, known) {
            let name = repository.name();
            return Err(differs(format!("the {name} repository has no result {id}, of the ledger's entry {index}")));
        }
        compared.sessions += 1;
        compared.cut += u64::from(!session.ended);
        compared.evaluations += if known { 0 } else { found };
    }
    compared.other_alone = repository.count()?.saturating_sub(compared.evaluations);
    Ok(compared)
}
