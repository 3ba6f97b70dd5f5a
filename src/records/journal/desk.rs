//! What can be asked of a durable journal and done to it, as messages of a [`bus`](crate::records::bus): the command line and
//! any other front end say the same things, and none of them can leave out a step that keeps the records whole.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::JournalError;
use super::log::{
    Appended, CompactReport, Expected, Item, Log, LogConfig, Moment, NewEvent, Reader, Retention, Totals,
};
use super::outbox::{Outbox, OutboxError};
use super::projection::CurrentResults;
use crate::domain::{Kind, Timestamp};
use crate::records::bus::{Call, Handler, Message, Middleware, Nature};
use crate::records::files::Files;
use crate::records::specification::Filter;

use super::row::EvaluationRow;

/// A journal in a data directory. Whoever lets it write holds the directory's lock.
#[derive(Debug)]
pub struct Desk {
    files: Arc<dyn Files>,
    folder: String,
    log: Option<Log>,
    now: Timestamp,
}

impl Desk {
    /// For queries, and for commands that need no lock.
    pub fn reading(files: Arc<dyn Files>, folder: &str, now: Timestamp) -> Self {
        Self { files, folder: folder.to_owned(), log: None, now }
    }

    /// For all messages; a torn tail is cut.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn writing(files: Arc<dyn Files>, folder: &str, now: Timestamp) -> Result<Self, JournalError> {
        let log = Log::open(Arc::clone(&files), folder, LogConfig::default())?;
        Ok(Self { log: Some(log), ..Self::reading(files, folder, now) })
    }

    fn reader(&self) -> Result<Reader, JournalError> {
        Reader::open(Arc::clone(&self.files), &self.folder)
    }

    fn log(&mut self) -> Result<&mut Log, JournalError> {
        let closed = || JournalError::Invalid("the journal is open for reading only".into());
        self.log.as_mut().ok_or_else(closed)
    }
}

impl From<String> for JournalError {
    fn from(problem: String) -> Self {
        Self::Invalid(problem)
    }
}

impl From<String> for OutboxError {
    fn from(problem: String) -> Self {
        Self::Configuration(problem)
    }
}

/// Append an event to a stream; answered when it is durable.
#[derive(Debug)]
pub struct Append {
    /// The stream.
    pub stream: String,
    /// Where it must be.
    pub expected: Expected,
    /// The event; without a time it happens now.
    pub event: NewEvent,
}

impl Message for Append {
    type Answer = Appended;
    const NAME: &'static str = "append";
    const NATURE: Nature = Nature::Command;

    fn validate(&self) -> Result<(), String> {
        if self.stream == OPERATIONS {
            return Err(format!("the stream {OPERATIONS} is the engine's own; choose another name"));
        }
        Ok(())
    }
}

impl Handler<Append> for Desk {
    type Error = JournalError;

    fn handle(&mut self, message: Append) -> Result<Appended, JournalError> {
        let now = self.now;
        let at = if message.event.at == Timestamp::EPOCH { now } else { message.event.at };
        let log = self.log()?;
        let appended = log.append(&message.stream, message.expected, &[NewEvent { at, ..message.event }])?;
        log.commit()?;
        Ok(appended)
    }
}

/// Let go of old events. What no receiver has yet is kept, and the last results are kept as a snapshot.
#[derive(Debug)]
pub struct Compact(pub Retention);

impl Message for Compact {
    type Answer = CompactReport;
    const NAME: &'static str = "compact";
    const NATURE: Nature = Nature::Command;

    fn validate(&self) -> Result<(), String> {
        match self.0 {
            Retention { events: None, since: None } => Err("a compaction must say what is kept".into()),
            _ => Ok(()),
        }
    }
}

impl Handler<Compact> for Desk {
    type Error = OutboxError;

    fn handle(&mut self, Compact(mut retention): Compact) -> Result<CompactReport, OutboxError> {
        let outbox = Outbox::read(Arc::clone(&self.files))?;
        let last = self.log()?.acknowledged();
        if outbox.is_used()? {
            let behind = last.saturating_sub(outbox.state().cursor);
            retention.events = Some(retention.events.unwrap_or_default().max(behind));
        }
        CurrentResults::as_of(&*self.files, &self.reader()?, last)?.save(&*self.files)?;
        Ok(self.log()?.compact(retention)?)
    }
}

/// Have dead letters sent again, all or those with these ids: how many are now.
#[derive(Debug)]
pub struct RetryDeadLetters(pub Option<Vec<String>>);

impl Message for RetryDeadLetters {
    type Answer = u64;
    const NAME: &'static str = "retry dead letters";
    const NATURE: Nature = Nature::Command;
}

impl Handler<RetryDeadLetters> for Desk {
    type Error = OutboxError;

    fn handle(&mut self, RetryDeadLetters(ids): RetryDeadLetters) -> Result<u64, OutboxError> {
        Outbox::read(Arc::clone(&self.files))?.retry(ids.as_deref())
    }
}

/// What was known at a moment.
#[derive(Debug)]
pub struct AsOf {
    /// The moment.
    pub moment: Moment,
    /// Whether every number's last result is wanted too.
    pub results: bool,
}

impl Message for AsOf {
    type Answer = (Totals, Option<CurrentResults>);
    const NAME: &'static str = "as of";
    const NATURE: Nature = Nature::Query;
}

impl Handler<AsOf> for Desk {
    type Error = JournalError;

    fn handle(&mut self, message: AsOf) -> Result<(Totals, Option<CurrentResults>), JournalError> {
        let reader = self.reader()?;
        let state = reader.as_of(message.moment)?;
        let results = || CurrentResults::as_of(&*self.files, &reader, state.version);
        let results = message.results.then(results).transpose()?;
        Ok((state, results))
    }
}

/// What is looked for.
#[derive(Debug)]
pub enum Wanted {
    /// Evaluations that a filter accepts.
    Evaluations(Filter),
    /// Events of a stream.
    Stream(String),
}

/// The first or last so many of what is looked for, each as `told` makes of it.
pub struct Find<T> {
    /// What.
    pub wanted: Wanted,
    /// At most so many.
    pub limit: usize,
    /// The last ones, not the first.
    pub last: bool,
    /// What is made of each.
    pub told: fn(&Item<'_>) -> T,
}

impl<T> Message for Find<T> {
    type Answer = VecDeque<T>;
    const NAME: &'static str = "find";
    const NATURE: Nature = Nature::Query;
}

impl<T> Handler<Find<T>> for Desk {
    type Error = JournalError;

    fn handle(&mut self, message: Find<T>) -> Result<VecDeque<T>, JournalError> {
        let Find { wanted, limit, last, told } = message;
        let mut found = VecDeque::new();
        if limit == 0 {
            return Ok(found);
        }
        let mut take = |item: &Item<'_>| {
            if found.len() == limit {
                if !last {
                    return ControlFlow::Break(());
                }
                found.pop_front();
            }
            found.push_back(told(item));
            ControlFlow::Continue(())
        };
        let reader = self.reader()?;
        let from = reader.first() - 1;
        match &wanted {
            Wanted::Stream(stream) => reader.events(from, |event| {
                if event.stream == *stream { take(&Item::Event(event)) } else { ControlFlow::Continue(()) }
            })?,
            Wanted::Evaluations(filter) => reader.visit(from, |item| match &item {
                Item::Evaluation { at, session, evaluation, .. }
                    if filter.matches(&EvaluationRow { at: *at, session, evaluation }) =>
                {
                    take(&item)
                }
                _ => ControlFlow::Continue(()),
            })?,
        }
        Ok(found)
    }
}

/// The stream of what operators want to know of.
pub const OPERATIONS: &str = "operations";

/// Writes down in the journal who had it changed: an event of the stream [`OPERATIONS`] for each command that was carried out
/// by a desk that may write, an append excepted, which is its own record.
#[derive(Debug, Clone, Copy)]
pub struct Audit;

impl Middleware<Desk> for Audit {
    fn after(&mut self, call: &Call<'_>, desk: &mut Desk) -> Result<(), String> {
        if call.nature == Nature::Query || call.done != Some(true) || call.name == Append::NAME {
            return Ok(());
        }
        let now = desk.now;
        let Some(log) = &mut desk.log else { return Ok(()) };
        let data = serde_json::json!({ "command": call.name, "by": call.by }).to_string();
        let event = NewEvent { at: now, ..NewEvent::new(Kind::EsCommandHandled.name(), &data) };
        let written = log.append(OPERATIONS, Expected::Any, &[event]).and_then(|_| log.commit());
        written.map(drop).map_err(|error| format!("{} was done, but is not on record: {error}", call.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::bus::Bus;
    use crate::records::files::simulated::SimulatedDisk;

    fn note(stream: &str) -> Append {
        Append { stream: stream.into(), expected: Expected::Any, event: NewEvent::new("Note", "1") }
    }

    fn events(bus: &mut Bus<Desk>, stream: &str) -> Vec<String> {
        let told = |item: &Item<'_>| match item {
            Item::Event(event) => format!("{} {}", event.kind, event.data),
            Item::Evaluation { .. } => String::new(),
        };
        bus.send(Find { wanted: Wanted::Stream(stream.into()), limit: 9, last: false, told }).unwrap().into()
    }

    #[test]
    fn a_compaction_keeps_what_is_not_delivered() {
        let files = Arc::new(SimulatedDisk::new(1));
        let mut log = Log::open(files.clone(), "journal", LogConfig { segment_bytes: 400 }).unwrap();
        for _ in 0..40 {
            log.append("a", Expected::Any, &[NewEvent::new("Note", "1")]).unwrap();
            log.commit().unwrap();
        }
        drop(log);
        let config =
            super::super::outbox::OutboxConfig { batch: 15, filter: "type = Note".into(), ..Default::default() };
        let folder = tempfile::tempdir().unwrap();
        let address = format!("file:{}", folder.path().join("events").display());
        let receiver = super::super::outbox::sink::open(&address, std::time::Duration::from_secs(1), None).unwrap();
        let outbox = Outbox::open(files.clone()).unwrap();
        let mut sender = super::super::outbox::Sender::new(outbox, &config, receiver, 1).unwrap();
        let reader = Reader::open(files.clone(), "journal").unwrap();
        assert_eq!(sender.step(&reader, 40, Timestamp::EPOCH).unwrap(), super::super::outbox::Step::Went(15));
        let desk = Desk::writing(files, "journal", Timestamp::EPOCH).unwrap();
        let report = Bus::new(desk, "ada").send(Compact(Retention { events: Some(1), since: None })).unwrap();
        assert!((2..=16).contains(&report.first), "{report:?}: events 16 to 40 wait for their receiver");
    }

    #[test]
    fn who_changes_the_journal_is_in_it_and_who_asks_is_not() {
        let files = Arc::new(SimulatedDisk::new(1));
        let desk = Desk::writing(files.clone(), "journal", Timestamp::from_millis(5)).unwrap();
        let mut bus = Bus::new(desk, "ada").with(Audit);
        assert_eq!(bus.send(note("a")).unwrap().version, 1);
        assert_eq!(events(&mut bus, "a"), ["Note 1"]);
        assert!(bus.send(note(OPERATIONS)).unwrap_err().to_string().contains("the engine's own"));
        let nothing = bus.send(Compact(Retention::default())).unwrap_err();
        assert!(nothing.to_string().contains("must say what is kept"), "{nothing}");
        bus.send(Compact(Retention { events: Some(1), since: None })).unwrap();
        let told = [r#"ES_COMMAND_HANDLED {"command":"compact","by":"ada"}"#];
        assert_eq!(events(&mut bus, OPERATIONS), told);
        let (state, results) = bus.send(AsOf { moment: Moment::Version(1), results: true }).unwrap();
        assert_eq!((state.others, results.map(|all| all.results.len())), (1, Some(0)));
        let mut reader = Bus::new(Desk::reading(files, "journal", Timestamp::EPOCH), "bob").with(Audit);
        assert!(reader.send(note("a")).unwrap_err().to_string().contains("reading only"));
        assert_eq!(reader.send(RetryDeadLetters(None)).unwrap(), 0);
        assert_eq!(events(&mut reader, OPERATIONS), told);
    }
}
