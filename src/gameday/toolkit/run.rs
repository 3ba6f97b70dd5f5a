//! The run of an experiment: the hypothesis, the method, the hypothesis again, the way back. Whatever happens after the
//! method began, rollbacks are played, unless the experiment itself says never.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::experiment::{Activity, Experiment, Hypothesis, HypothesisStrategy, Provider, Role, RollbackStrategy};
use super::journal;
use super::tolerance::Tolerance;
use super::values::{excerpt, seconds};
use crate::domain::Timestamp;
use crate::engine::WallClock;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The hypothesis held.
    Held,
    /// There is no hypothesis that could have held; the method was played.
    Completed,
    /// The hypothesis did not hold after the method.
    NotHeld,
    /// An action of the method could not be done, so that the hypothesis was not put to the test.
    Inconclusive,
    /// The hypothesis did not hold before; nothing was done.
    NeverRan,
    /// Somebody interrupted it.
    Interrupted,
}

impl Verdict {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Completed => "completed",
            Self::NotHeld => "not held",
            Self::Inconclusive => "inconclusive",
            Self::NeverRan => "never ran",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a run left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// Rollbacks that could not be done: what they were to take back may still be there.
    pub failed_rollbacks: Vec<String>,
    /// Chaos Toolkit's journal, without secrets.
    pub journal: Value,
}

/// The wish to stop; clones are the same wish. The first ends what is going on and rollbacks are played; one more while
/// they are gives them up.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Wishes once more.
    pub fn raise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a run tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A part begins: its name.
    Part(String),
    /// An activity begins.
    Began {
        /// What it is called.
        name: String,
        /// Action or probe.
        role: Role,
        /// Whether it is not waited for.
        background: bool,
    },
    /// The wait before or after an activity.
    Pause {
        /// Of which activity.
        name: String,
        /// How long.
        span: Duration,
    },
    /// An activity ended.
    Ended {
        /// What it is called.
        name: String,
        /// Whether it did what it should: an output, within its tolerance if it has one.
        well: bool,
        /// `succeeded`, `failed` or `aborted`.
        status: &'static str,
        /// How long it took.
        took: Duration,
        /// What came of it.
        note: String,
    },
}

/// How a provider's work ended.
pub(super) enum Ended {
    /// With an output.
    Output(Value),
    /// Without one, for this reason.
    Failed(String),
    /// It was stopped.
    Stopped,
}

/// The time, and whether to go on.
pub(super) struct Watch<'a> {
    clock: WallClock,
    interrupt: &'a Interrupt,
    /// How many wishes it takes.
    patience: usize,
}

impl Watch<'_> {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn stopped(&self) -> bool {
        self.interrupt.count() >= self.patience
    }

    /// How long to sleep between two looks.
    #[expect(clippy::unused_self, reason = "it belongs to the watch")]
    pub const fn tick(&self) -> Duration {
        Duration::from_millis(10)
    }

    /// Waits; false when it was stopped before.
    fn pause(&self, span: Duration) -> bool {
        let until = self.now() + span;
        while self.now() < until {
            if self.stopped() {
                return false;
            }
            std::thread::sleep(self.tick().min(until.since(self.now())));
        }
        true
    }
}

/// The entries of a part of the journal, in the order in which activities began.
#[derive(Default)]
struct Entries(Mutex<Vec<Map<String, Value>>>);

impl Entries {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Map<String, Value>>) -> T) -> T {
        // An entry is written in one step, so that one left by a panic is whole.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn taken(&self) -> Value {
        self.with(std::mem::take).into_iter().map(Value::Object).collect()
    }
}

/// What became of an activity.
struct Done {
    output: Option<Value>,
    tolerated: Option<bool>,
    stopped: bool,
    note: String,
}

/// Runs an experiment.
pub struct Runner<'a> {
    experiment: &'a Experiment,
    interrupt: &'a Interrupt,
    clock: WallClock,
    report: &'a (dyn Fn(&Progress) + Sync),
}

/// What a hypothesis came to.
struct State {
    /// `None` when it was interrupted.
    met: Option<bool>,
    /// Whether a probe had no output.
    failed: bool,
    /// What was not met.
    reason: String,
    entry: Value,
}

impl<'a> Runner<'a> {
    /// Prepares a run. `report` is called from several threads when activities run in the background; what it is told is
    /// without secrets.
    pub fn new(experiment: &'a Experiment, interrupt: &'a Interrupt, report: &'a (dyn Fn(&Progress) + Sync)) -> Self {
        Self { experiment, interrupt, clock: WallClock::start(), report }
    }

    /// Runs it to its end.
    pub fn run(&self) -> Outcome {
        let experiment = self.experiment;
        let start = self.clock.now();
        let strategy = experiment.hypothesis_strategy;
        let hypothesis = experiment.hypothesis.as_ref().filter(|hypothesis| !hypothesis.probes.is_empty());
        let wanted = |when: &[HypothesisStrategy]| hypothesis.filter(|_| when.contains(&strategy));
        let before = wanted(&[HypothesisStrategy::Default, HypothesisStrategy::Before]);
        let before = before.map(|hypothesis| self.hypothesis(hypothesis, "before"));
        let plays = before.as_ref().is_none_or(|state| state.met == Some(true)) && self.interrupt.count() == 0;
        let (method, failed_actions) = if plays { self.method() } else { (json!([]), Vec::new()) };
        let after = if plays && self.interrupt.count() == 0 {
            let after = wanted(&[HypothesisStrategy::Default, HypothesisStrategy::After]);
            after.map(|hypothesis| self.hypothesis(hypothesis, "after"))
        } else {
            None
        };
        let interrupted_before_rollbacks = self.interrupt.count() > 0;
        let deviated = after.as_ref().is_some_and(|state| state.met == Some(false));
        let back = match experiment.rollback_strategy {
            RollbackStrategy::Always => true,
            RollbackStrategy::Never => false,
            RollbackStrategy::Default => plays,
            RollbackStrategy::Deviated => plays && (deviated || interrupted_before_rollbacks),
        };
        let (rollbacks, failed_rollbacks) = if back { self.rollbacks() } else { (json!([]), Vec::new()) };
        let end = self.clock.now();
        let never = before.as_ref().is_some_and(|state| state.met == Some(false));
        let failed = [&before, &after].into_iter().flatten().any(|state| state.failed && state.met == Some(false));
        let interrupted = self.interrupt.count() > 0;
        let status = match (interrupted, failed) {
            (true, _) => "interrupted",
            (false, true) => "failed",
            (false, false) => "completed",
        };
        let told = |state: &Option<State>| state.as_ref().map_or(String::new(), |state| state.reason.clone());
        let (verdict, reason) = if interrupted {
            let back = match (plays, back) {
                (false, _) => "before the method began; there is nothing to take back",
                (true, false) => "and rollbacks are switched off by the experiment",
                (true, true) if failed_rollbacks.is_empty() => "and rollbacks were played",
                (true, true) => "and rollbacks were played as far as they could be",
            };
            (Verdict::Interrupted, format!("interrupted, {back}"))
        } else if never {
            (Verdict::NeverRan, format!("the steady state did not hold before: {}; nothing was done", told(&before)))
        } else if deviated {
            (Verdict::NotHeld, format!("the steady state did not hold after the method: {}", told(&after)))
        } else if let Some(first) = failed_actions.first() {
            (Verdict::Inconclusive, format!("the method was not played as it is written: {first}"))
        } else {
            match (before.is_some(), after.is_some()) {
                (true, true) => (Verdict::Held, "the steady state held before and after the method".into()),
                (false, true) => (Verdict::Held, "the steady state held after the method".into()),
                (true, false) => {
                    (Verdict::Held, "the steady state held before the method, and was not asked for after".into())
                }
                (false, false) => (Verdict::Completed, "the method was played; no hypothesis was looked at".into()),
            }
        };
        let entry = |state: Option<State>| state.map_or(Value::Null, |state| state.entry);
        let mut journal = journal::frame(&experiment.document, start, end);
        experiment.redactor.value(&mut journal["experiment"]);
        journal["experiment"]["title"] = experiment.title.as_str().into();
        journal["status"] = status.into();
        journal["deviated"] = deviated.into();
        journal["steady_states"] = json!({"before": entry(before), "after": entry(after), "during": []});
        journal["run"] = method;
        journal["rollbacks"] = rollbacks;
        Outcome { verdict, reason: self.clean(&reason), failed_rollbacks, journal }
    }

    fn watch(&self, patience: usize) -> Watch<'_> {
        Watch { clock: self.clock, interrupt: self.interrupt, patience }
    }

    fn clean(&self, text: &str) -> String {
        self.experiment.redactor.text(text)
    }

    fn tell(&self, progress: &Progress) {
        (self.report)(progress);
    }

    fn hypothesis(&self, hypothesis: &Hypothesis, when: &str) -> State {
        self.tell(&Progress::Part(self.clean(&format!("steady state {when} the method: {}", hypothesis.title))));
        let entries = Entries::default();
        let watch = self.watch(1);
        let mut state = State { met: Some(true), failed: false, reason: String::new(), entry: Value::Null };
        for probe in &hypothesis.probes {
            let done = self.activity(probe, &watch, &entries, None);
            if done.tolerated == Some(true) {
                continue;
            }
            state.met = (!done.stopped).then_some(false);
            state.failed = done.output.is_none();
            state.reason = format!("`{}`: {}", probe.name, done.note);
            break;
        }
        state.entry = json!({"steady_state_met": state.met, "probes": entries.taken()});
        state
    }

    fn method(&self) -> (Value, Vec<String>) {
        self.tell(&Progress::Part("method".into()));
        let (entries, failed) = self.play(&self.experiment.method, &self.watch(1));
        let failed = failed.into_iter().filter(|(role, _)| *role == Role::Action).map(|(_, text)| text).collect();
        (entries, failed)
    }

    fn rollbacks(&self) -> (Value, Vec<String>) {
        if !self.experiment.rollbacks.is_empty() {
            self.tell(&Progress::Part("rollbacks".into()));
        }
        // Somebody who pressed Ctrl-C twice in a hurry still wants the way back; only one more gives it up.
        let patience = self.interrupt.count().max(1) + 1;
        let (entries, failed) = self.play(&self.experiment.rollbacks, &self.watch(patience));
        (entries, failed.into_iter().map(|(_, text)| text).collect())
    }

    /// Plays activities; what has no output is told with why.
    fn play(&self, activities: &[Activity], watch: &Watch<'_>) -> (Value, Vec<(Role, String)>) {
        let entries = Entries::default();
        let failed = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for activity in activities {
                if watch.stopped() {
                    break;
                }
                // Here rather than in its thread, so that entries stand in the order of the method.
                let opened = activity.before.is_zero().then(|| self.open(activity, &entries));
                let (entries, failed) = (&entries, &failed);
                let run = move || {
                    let done = self.activity(activity, watch, entries, opened);
                    if done.output.is_none() {
                        let text =
                            format!("the {} `{}`: {}", activity.role.name(), self.clean(&activity.name), done.note);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push((activity.role, text));
                    }
                };
                if activity.background {
                    let _ = scope.spawn(run);
                } else {
                    run();
                }
            }
        });
        (entries.taken(), failed.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins an activity's entry; where it stands, and when.
    fn open(&self, activity: &Activity, entries: &Entries) -> (usize, Timestamp) {
        let (name, role) = (self.clean(&activity.name), activity.role);
        self.tell(&Progress::Began { name, role, background: activity.background });
        let start = self.clock.now();
        let mut document = activity.document.clone();
        self.experiment.redactor.value(&mut document);
        let index = entries.with(|entries| {
            let mut entry = Map::new();
            entry.insert("activity".into(), document);
            entry.insert("output".into(), Value::Null);
            entry.insert("start".into(), journal::moment(start).into());
            entries.push(entry);
            entries.len() - 1
        });
        (index, start)
    }

    /// One activity with its pauses, and its entry, which is begun after the first pause unless it was `opened` already.
    fn activity(
        &self,
        activity: &Activity,
        watch: &Watch<'_>,
        entries: &Entries,
        opened: Option<(usize, Timestamp)>,
    ) -> Done {
        let name = self.clean(&activity.name);
        if !activity.before.is_zero() {
            self.tell(&Progress::Pause { name: name.clone(), span: activity.before });
            if !watch.pause(activity.before) {
                return Done { output: None, tolerated: None, stopped: true, note: "interrupted".into() };
            }
        }
        let (index, start) = opened.unwrap_or_else(|| self.open(activity, entries));
        let done = self.perform(activity, watch);
        let end = self.clock.now();
        let status = match (&done.output, done.stopped) {
            (Some(_), _) => "succeeded",
            (None, true) => "aborted",
            (None, false) => "failed",
        };
        entries.with(|entries| {
            let Some(entry) = entries.get_mut(index) else { return };
            entry.insert("status".into(), status.into());
            match &done.output {
                Some(output) => {
                    let mut output = output.clone();
                    self.experiment.redactor.value(&mut output);
                    entry.insert("output".into(), output);
                }
                None => {
                    entry.insert("exception".into(), json!([done.note]));
                }
            }
            entry.insert("end".into(), journal::moment(end).into());
            entry.insert("duration".into(), end.since(start).as_secs_f64().into());
            if activity.tolerance.is_some() {
                entry.insert("tolerance_met".into(), (done.tolerated == Some(true)).into());
            }
        });
        let well = done.output.is_some() && done.tolerated != Some(false);
        let (took, note) = (end.since(start), done.note.clone());
        self.tell(&Progress::Ended { name: name.clone(), well, status, took, note });
        if !activity.after.is_zero() && !done.stopped {
            self.tell(&Progress::Pause { name, span: activity.after });
            watch.pause(activity.after);
        }
        done
    }

    fn perform(&self, activity: &Activity, watch: &Watch<'_>) -> Done {
        let none = |stopped, note: String| Done { output: None, tolerated: None, stopped, note };
        match call(&activity.provider, watch) {
            Ended::Failed(problem) => none(false, self.clean(&problem)),
            Ended::Stopped => none(true, "interrupted".into()),
            Ended::Output(output) => {
                let (tolerated, note) = match &activity.tolerance {
                    None => (None, told(&output)),
                    Some(Tolerance::Probe(provider)) => {
                        let asked = match provider.as_ref() {
                            Provider::Process(call) => call.with_value(&output).run(watch),
                            Provider::Http(call) => call.with_value(&output).run(watch),
                        };
                        match (asked, &activity.tolerance) {
                            (Ended::Output(answer), Some(tolerance)) => {
                                let (met, why) = tolerance.check(&answer);
                                (Some(met), why)
                            }
                            (Ended::Stopped, _) => return none(true, "interrupted".into()),
                            (Ended::Failed(problem), _) => (Some(false), format!("the tolerance's probe: {problem}")),
                            (Ended::Output(_), None) => (None, String::new()),
                        }
                    }
                    Some(tolerance) => {
                        let (met, why) = tolerance.check(&output);
                        (Some(met), why)
                    }
                };
                Done { output: Some(output), tolerated, stopped: false, note: self.clean(&note) }
            }
        }
    }
}

fn call(provider: &Provider, watch: &Watch<'_>) -> Ended {
    match provider {
        Provider::Process(call) => call.run(watch),
        Provider::Http(call) => call.run(watch),
    }
}

/// An output in a few words.
fn told(output: &Value) -> String {
    let status = output.get("status").map_or(String::new(), ToString::to_string);
    let texts = ["stdout", "body", "stderr"].into_iter().filter_map(|part| output.get(part).and_then(Value::as_str));
    let first = texts.map(excerpt).find(|text| !text.is_empty());
    first.map_or_else(|| format!("status {status}"), |text| format!("status {status}: {text}"))
}

impl Progress {
    /// A line of text.
    pub fn text(&self) -> String {
        match self {
            Self::Part(name) => name.clone(),
            Self::Began { name, role, background } => {
                format!("  {} {name}{}", role.name(), if *background { " in the background" } else { "" })
            }
            Self::Pause { name, span } => format!("  pause of {} at {name}", seconds(*span)),
            Self::Ended { name, well, status, took, note } => {
                let mark = if *well { "ok  " } else { "FAIL" };
                format!("  {mark} {name}: {status} in {}; {note}", seconds(*took))
            }
        }
    }
}
