//! A drill: before, phase by phase, after; what it counts, when it stops, and the verdict it comes to.

use std::time::Duration;

use super::inject::Before;
use super::measure::{Measure, Series};
use super::probe::{Part, Probe};
use super::scenario::{Check, During, Phase, Rollback, Scenario, armed};
use super::span::Span;
use crate::domain::time::nanos;
use crate::domain::{ErrorCode, Evaluation, Outcome, Source, Timestamp};
use crate::engine::Command;
use crate::engine::director::{
    Absorbed, Direction, Director, DrillView, ExpectationView, Incident, Moment, PhaseView, Standing, StopView, Verdict,
};
use crate::engine::tally::Counts;
use crate::mechanisms::breaker::BreakerCommand;
use crate::mechanisms::cache::CacheCommand;
use crate::mechanisms::chaos::{ChaosCommand, Fault};
use crate::mechanisms::flags::FlagsCommand;

/// Where a drill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Phase(usize),
    /// Everything is taken back; the system has time to come back.
    Settle,
    /// The steady state is watched again.
    After,
    Over,
}

/// When the present stage ends.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// At this many evaluations of the session.
    Evaluations(u64),
    Time(Timestamp),
}

/// What is expected, in the order of the view: the steady state before, the expectations, the steady state after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Before,
    Drill(usize),
    After,
}

/// How often a stop condition is looked at, at least.
const LOOK: Duration = Duration::from_millis(100);
/// A stop condition is not judged by fewer evaluations of a phase than this.
const FEWEST: u64 = 20;

/// A running drill.
#[derive(Debug)]
pub struct Drill {
    scenario: Scenario,
    stage: Stage,
    until: Until,
    stage_began: Timestamp,
    stage_measure: Measure,
    /// From the first phase on.
    all: Measure,
    /// The phases only, without the recovery.
    phases_part: Part,
    /// What was armed before, to be put back.
    found: (u8, Vec<Fault>),
    before: Before,
    /// The commands that take back what the present phase did.
    undo: Vec<Command>,
    /// When the first phase began.
    first: Option<Timestamp>,
    /// Why it ends before its time.
    stopped: Option<String>,
    next_look: Timestamp,
    /// The session's alerts and trips at the last look, to see the first new one.
    seen: (u64, u64),
    last_bad: Option<Timestamp>,
    expected: Vec<(Expected, Check)>,
    decided: Vec<ExpectationView>,
    series: Series,
    view: DrillView,
}

impl Drill {
    /// A drill at its start.
    pub fn new(scenario: &Scenario, moment: &Moment<'_>) -> Self {
        let phase = |name: &str, armed: String, planned: Span| PhaseView {
            name: name.to_owned(),
            armed,
            planned: planned.to_string(),
            done: 0.0,
            began: None,
            ended: None,
            counts: Counts::default(),
            p50_ns: 0,
            p99_ns: 0,
            response_p99_ns: 0,
            response_max_ns: 0,
            injections: 0,
            breaker_trips: 0,
            alerts: 0,
            retries: 0,
        };
        let mut phases = vec![phase("Before", "nothing".into(), scenario.steady_state.span)];
        phases.extend(scenario.phases.iter().map(|one| phase(&one.name, armed(one, &scenario.blast_radius), one.span)));
        phases.push(phase("Settling", "nothing".into(), scenario.recovery.settle));
        phases.push(phase("After", "nothing".into(), scenario.recovery.span));
        if let Some(first) = phases.first_mut() {
            first.began = Some(moment.now);
        }
        let steady = &scenario.steady_state.expect;
        let (mut expected, mut expectations) = (Vec::new(), Vec::new());
        let mut expect = |what, check: Check, text| {
            expected.push((what, check));
            expectations.push(ExpectationView { text, standing: Standing::Pending, actual: String::new(), at: None });
        };
        steady.iter().for_each(|check| expect(Expected::Before, check.clone(), format!("before: {}", check.text())));
        for (at, one) in scenario.expect.iter().enumerate() {
            expect(Expected::Drill(at), one.check(), one.text());
        }
        steady.iter().for_each(|check| expect(Expected::After, check.clone(), format!("after: {}", check.text())));
        let stop =
            scenario.stop_when.as_ref().map(|stop| StopView { text: stop.to_string(), now: String::new(), met: false });
        let mut drill = Self {
            stage: Stage::Before,
            until: Until::Evaluations(0),
            stage_began: moment.now,
            stage_measure: Measure::new(moment),
            all: Measure::new(moment),
            phases_part: Part::default(),
            found: (moment.chaos_level, moment.armed.to_vec()),
            before: Before::of(scenario.phases.iter().flat_map(|phase| &phase.inject), moment.state),
            undo: Vec::new(),
            first: None,
            stopped: None,
            next_look: moment.now,
            seen: (moment.alerts_fired, moment.breaker_trips),
            last_bad: None,
            expected,
            decided: Vec::new(),
            series: Series::new(moment.now),
            view: DrillView {
                scenario: scenario.name.clone(),
                title: scenario.title.clone(),
                hypothesis: scenario.hypothesis.trim().to_owned(),
                began: moment.now,
                ended: None,
                phase: 0,
                phases,
                expectations,
                stop,
                incident: Incident::default(),
                absorbed: Absorbed::default(),
                injections: 0,
                series: Vec::new(),
                verdict: Verdict::Running,
                reason: String::new(),
            },
            scenario: scenario.clone(),
        };
        drill.plan(scenario.steady_state.span, moment);
        drill
    }

    fn plan(&mut self, span: Span, moment: &Moment<'_>) {
        self.stage_began = moment.now;
        self.until = match span {
            Span::Evaluations(count) => Until::Evaluations(moment.counts.evaluations.saturating_add(count)),
            Span::Time(time) => Until::Time(moment.now + time),
        };
    }

    /// The place of the present stage among the view's phases.
    fn place(&self) -> usize {
        match self.stage {
            Stage::Before => 0,
            Stage::Phase(index) => index + 1,
            Stage::Settle => self.scenario.phases.len() + 1,
            Stage::After | Stage::Over => self.scenario.phases.len() + 2,
        }
    }

    const fn injects(&self) -> bool {
        matches!(self.stage, Stage::Phase(_))
    }

    fn update(&mut self, moment: &Moment<'_>) {
        self.stage_measure.update(moment);
        if self.stage != Stage::Before {
            self.all.update(moment);
        }
        if self.injects() {
            self.phases_part = self.all.part;
            self.incident(moment);
        }
        self.seen = (moment.alerts_fired, moment.breaker_trips);
        self.view.injections = moment.injections_active;
    }

    /// Notes the first alert or open breaker after the first hit.
    fn incident(&mut self, moment: &Moment<'_>) {
        let incident = &mut self.view.incident;
        if incident.onset.is_none() {
            return;
        }
        let (alert, trip) = (moment.alerts_fired > self.seen.0, moment.breaker_trips > self.seen.1);
        if incident.detected.is_none() && (alert || trip) {
            incident.detected = Some(moment.now);
            incident.detected_by = if alert { "an alert" } else { "a breaker" }.into();
        }
        if trip && incident.mitigated.is_none() {
            incident.mitigated = Some(moment.now);
        }
    }

    fn is_over(&self, moment: &Moment<'_>) -> bool {
        match self.until {
            Until::Evaluations(count) => moment.counts.evaluations >= count,
            Until::Time(at) => moment.now >= at,
        }
    }

    /// Ends the present stage and begins the next one; `true` when that was the last.
    fn next_stage(&mut self, moment: &Moment<'_>, commands: &mut Vec<Command>) -> bool {
        self.show_phase(moment);
        let place = self.place();
        if let Some(phase) = self.view.phases.get_mut(place) {
            phase.ended = Some(moment.now);
            phase.done = 1.0;
        }
        let next = match self.stage {
            Stage::Before => {
                if let Some(reason) = self.unsteady(moment) {
                    self.end(moment, Verdict::NeverRan, reason);
                    return true;
                }
                self.all = Measure::new(moment);
                self.first = Some(moment.now);
                Stage::Phase(0)
            }
            Stage::Phase(index) if index + 1 < self.scenario.phases.len() => Stage::Phase(index + 1),
            Stage::Phase(_) => Stage::Settle,
            Stage::Settle => Stage::After,
            Stage::After | Stage::Over => {
                self.judge(moment);
                return true;
            }
        };
        if self.injects() {
            commands.append(&mut self.undo);
        }
        self.enter(next, moment, commands);
        false
    }

    fn enter(&mut self, stage: Stage, moment: &Moment<'_>, commands: &mut Vec<Command>) {
        self.stage = stage;
        self.stage_measure = Measure::new(moment);
        let span = match stage {
            Stage::Phase(index) => self.scenario.phases.get(index).cloned().map_or(Span::NONE, |phase| {
                self.arm(index, &phase, commands);
                phase.span
            }),
            Stage::Settle => {
                commands.extend(self.scenario.rollbacks.iter().map(rollback));
                self.view.incident.mitigated.get_or_insert(moment.now);
                self.scenario.recovery.settle
            }
            _ => self.scenario.recovery.span,
        };
        self.plan(span, moment);
        let place = self.place();
        self.view.phase = place;
        if let Some(phase) = self.view.phases.get_mut(place) {
            phase.began = Some(moment.now);
        }
    }

    fn arm(&mut self, index: usize, phase: &Phase, commands: &mut Vec<Command>) {
        if let Some(level) = phase.level {
            commands.push(Command::Chaos(ChaosCommand::Arm { level, faults: phase.faults.clone() }));
            self.undo.push(Command::Chaos(match &self.found {
                (0, _) => ChaosCommand::Disarm,
                (level, faults) => ChaosCommand::Arm { level: *level, faults: faults.clone() },
            }));
        }
        for (at, inject) in phase.inject.iter().enumerate() {
            let id = format!("{}/{}/{}", self.scenario.name, index + 1, at + 1);
            let (mut done, undo) = inject.commands(&id, &self.scenario.blast_radius, &self.before);
            commands.append(&mut done);
            self.undo.extend(undo);
        }
    }

    /// Judges the steady state over the present stage; the reason when it does not hold.
    fn steady(&mut self, which: Expected, moment: &Moment<'_>) -> Option<String> {
        let mut reason = None;
        for at in 0..self.expected.len() {
            let Some((_, check)) = self.expected.get(at).filter(|(what, _)| *what == which) else { continue };
            let found = check.probe.measure(&self.stage_measure.part, moment);
            let text = check.text();
            let (standing, actual) = verdict_on(check, found);
            if standing != Standing::Held && reason.is_none() {
                reason = Some(format!("{text}, found {actual}"));
            }
            self.decide(at, standing, actual, moment.now);
        }
        reason
    }

    fn unsteady(&mut self, moment: &Moment<'_>) -> Option<String> {
        self.steady(Expected::Before, moment).map(|reason| format!("before anything was injected: {reason}"))
    }

    fn decide(&mut self, at: usize, standing: Standing, actual: String, now: Timestamp) {
        if let Some(view) = self.view.expectations.get_mut(at).filter(|view| view.standing == Standing::Pending) {
            view.standing = standing;
            view.actual = actual;
            view.at = Some(now);
            self.decided.push(view.clone());
        }
    }

    /// Looks at the deadlines: what is met is held from then on, what is not met in time has failed.
    fn deadlines(&mut self, moment: &Moment<'_>) {
        let Some(first) = self.first else { return };
        for at in 0..self.expected.len() {
            let Some((Expected::Drill(index), check)) = self.expected.get(at) else { continue };
            let Some(within) = self.scenario.expect.get(*index).and_then(|expect| expect.within).and_then(Span::time)
            else {
                continue;
            };
            if self.view.expectations.get(at).is_none_or(|view| view.standing != Standing::Pending) {
                continue;
            }
            let found = check.probe.measure(&self.all.part, moment);
            if found.is_some_and(|value| check.holds(value)) {
                let after = moment.now.since(first).as_secs_f64();
                let actual = format!("{} after {after:.1} s", check.probe.figure(found.unwrap_or_default()));
                self.decide(at, Standing::Held, actual, moment.now);
            } else if moment.now >= first + within {
                let (_, actual) = verdict_on(check, found);
                self.decide(at, Standing::Failed, actual, moment.now);
            }
        }
    }

    fn judge(&mut self, moment: &Moment<'_>) {
        for at in 0..self.expected.len() {
            let Some((Expected::Drill(index), check)) = self.expected.get(at) else { continue };
            let Some(expect) = self.scenario.expect.get(*index) else { continue };
            let part = match expect.during.unwrap_or_default() {
                During::Phases => &self.phases_part,
                During::Recovery => &self.stage_measure.part,
                During::All => &self.all.part,
            };
            let found = check.probe.measure(part, moment);
            let (standing, actual) = match expect.within {
                // The drill was over before its deadline.
                Some(_) => (Standing::Failed, verdict_on(check, found).1),
                None if part.counts.evaluations < expect.minimum => (
                    Standing::Inconclusive,
                    format!("{} evaluations, {} are needed to judge", part.counts.evaluations, expect.minimum),
                ),
                None => verdict_on(check, found),
            };
            self.decide(at, standing, actual, moment.now);
        }
        let back = self.steady(Expected::After, moment);
        if back.is_none() {
            let mitigated = self.view.incident.mitigated;
            self.view.incident.recovered = self.last_bad.max(mitigated).filter(|_| self.view.incident.onset.is_some());
        }
        if let Some(stopped) = self.stopped.take() {
            let back = match back {
                None => "the steady state holds again".to_owned(),
                Some(reason) => format!("the steady state does not hold again: {reason}"),
            };
            self.end(moment, Verdict::Aborted, format!("{stopped}; everything was taken back, {back}"));
            return;
        }
        let with = |standing| self.view.expectations.iter().filter(move |one| one.standing == standing);
        let told = |one: &ExpectationView| format!("{}: found {}", one.text, one.actual);
        let failed: Vec<_> = with(Standing::Failed).map(told).collect();
        let open: Vec<_> = with(Standing::Inconclusive).map(told).collect();
        let (verdict, reason) = match (failed.is_empty(), open.is_empty()) {
            (false, _) => (Verdict::NotHeld, failed.join("; ")),
            (true, false) => (Verdict::Inconclusive, open.join("; ")),
            (true, true) => {
                let count = self.scenario.expect.len();
                let expected = match count {
                    0 => "nothing was expected".to_owned(),
                    1 => "the expectation held".to_owned(),
                    count => format!("all {count} expectations held"),
                };
                (Verdict::Held, format!("{expected}, and the steady state is back"))
            }
        };
        self.end(moment, verdict, reason);
    }

    fn end(&mut self, moment: &Moment<'_>, verdict: Verdict, reason: String) {
        self.stage = Stage::Over;
        self.view.ended = Some(moment.now);
        self.view.verdict = verdict;
        self.view.reason = reason;
        self.view.injections = moment.injections_active;
    }

    /// Whether the stop condition is met over the present phase; what it is about is kept for the view.
    fn is_stopped(&mut self, moment: &Moment<'_>) -> bool {
        let Some(condition) = self.scenario.stop_when.as_ref().filter(|_| self.injects()) else { return false };
        let part = &self.stage_measure.part;
        let judged = |probe: &Probe| probe.is_state() || part.counts.evaluations >= FEWEST;
        let measure = |probe: &Probe| probe.measure(part, moment).filter(|_| judged(probe));
        let met = condition.is_met(&measure);
        if let Some(view) = &mut self.view.stop {
            let figures = condition.probes().into_iter().map(|(probe, limit)| {
                let now = measure(probe).map_or("-".into(), |value| probe.figure(value));
                format!("{} {now} of {}", probe.text(), probe.figure(limit))
            });
            view.now = figures.collect::<Vec<_>>().join(", ");
            view.met = met;
        }
        met
    }

    /// Takes everything back, and goes on to see whether the steady state is back.
    fn stop(&mut self, why: String, moment: &Moment<'_>, commands: &mut Vec<Command>) {
        self.show_phase(moment);
        let place = self.place();
        let phase = self.view.phases.get_mut(place).map(|phase| {
            phase.ended = Some(moment.now);
            phase.name.clone()
        });
        let why = format!("{why} in phase {}", phase.unwrap_or_default());
        match self.stage {
            Stage::Before => {
                self.end(moment, Verdict::Aborted, format!("{why}; nothing had been injected"));
                self.view.phase = place;
            }
            Stage::Phase(_) => {
                commands.append(&mut self.undo);
                self.stopped = Some(why);
                self.enter(Stage::Settle, moment, commands);
            }
            Stage::Settle | Stage::After => {
                self.stopped.get_or_insert(why);
            }
            Stage::Over => {}
        }
    }

    fn show_phase(&mut self, moment: &Moment<'_>) {
        let (part, place) = (self.stage_measure.shown(), self.place());
        let done = match self.until {
            Until::Evaluations(until) => {
                let left = until.saturating_sub(moment.counts.evaluations);
                let done = part.counts.evaluations;
                done as f64 / (done + left).max(1) as f64
            }
            Until::Time(at) => {
                let all = at.since(self.stage_began).as_secs_f64();
                (moment.now.since(self.stage_began).as_secs_f64() / all.max(1e-9)).min(1.0)
            }
        };
        if let Some(phase) = self.view.phases.get_mut(place).filter(|_| self.stage != Stage::Over) {
            phase.done = done;
            phase.counts = part.counts;
            phase.p50_ns = part.p50_ns;
            phase.p99_ns = part.p99_ns;
            phase.response_p99_ns = part.response_p99_ns;
            phase.response_max_ns = part.response_max_ns;
            phase.injections = part.injections;
            phase.breaker_trips = part.breaker_trips;
            phase.alerts = part.alerts;
            phase.retries = part.retries;
        }
    }

    fn absorb(&mut self, evaluation: &Evaluation) {
        let absorbed = &mut self.view.absorbed;
        let right = evaluation.outcome == Outcome::Ok && evaluation.correct;
        if evaluation.faults != 0 {
            absorbed.hit += 1;
            match right {
                true if evaluation.attempts > 1 => absorbed.by_retry += 1,
                true => absorbed.late += 1,
                false => absorbed.reached += 1,
            }
        }
        absorbed.refused_by_breaker += u64::from(evaluation.error == Some(ErrorCode::CircuitOpen));
        absorbed.answered_by_cache += u64::from(right && evaluation.source == Source::Cache);
    }
}

/// How a check stands with what was found, and that in words.
fn verdict_on(check: &Check, found: Option<f64>) -> (Standing, String) {
    match found {
        None => (Standing::Inconclusive, "nothing to measure it by".into()),
        Some(value) if check.holds(value) => (Standing::Held, check.probe.figure(value)),
        Some(value) => (Standing::Failed, check.misses(value)),
    }
}

fn rollback(rollback: &Rollback) -> Command {
    match rollback {
        Rollback::ResetBreakers => Command::Breaker(BreakerCommand::ResetAll {}),
        Rollback::FlushCache => Command::Cache(CacheCommand::Clear),
        Rollback::SetFlag { flag, enabled } => {
            Command::Flags(FlagsCommand::Set { flag: flag.clone(), enabled: *enabled })
        }
    }
}

impl Director for Drill {
    fn observe(&mut self, at: Timestamp, evaluation: &Evaluation, response: Duration) {
        let (latency, response) = (nanos(evaluation.duration), nanos(response));
        self.stage_measure.record(latency, response);
        self.series.record(at, evaluation);
        if self.stage == Stage::Before {
            return;
        }
        self.all.record(latency, response);
        let right = evaluation.outcome == Outcome::Ok && evaluation.correct;
        if !right && self.view.incident.onset.is_some() {
            self.last_bad = Some(at);
        }
        if self.injects() {
            if evaluation.faults != 0 {
                self.view.incident.onset.get_or_insert(at);
            }
            if !right && evaluation.faults != 0 {
                self.last_bad = Some(at);
            }
            self.absorb(evaluation);
        }
    }

    fn direct(&mut self, moment: &Moment<'_>, commands: &mut Vec<Command>) -> Direction {
        if self.stage == Stage::Over {
            return Direction::Done;
        }
        self.update(moment);
        self.series.state(moment);
        self.deadlines(moment);
        // With few evaluations each counts; with many a look ten times a second is enough.
        let look = self.stage_measure.part.counts.evaluations <= 1_000 || moment.now >= self.next_look;
        if look && self.injects() {
            self.next_look = moment.now + LOOK;
            if self.is_stopped(moment) {
                let text =
                    self.view.stop.as_ref().map_or(String::new(), |stop| format!("{} ({})", stop.text, stop.now));
                self.stop(format!("by its stop condition {text}"), moment, commands);
            }
        }
        // A stage of no evaluations ends as it begins.
        while self.is_over(moment) {
            if self.next_stage(moment, commands) {
                return Direction::Done;
            }
        }
        Direction::Continue
    }

    fn wake(&self) -> Option<Timestamp> {
        let end = match self.until {
            Until::Time(at) => Some(at),
            Until::Evaluations(_) => None,
        };
        let pending = |at: usize| self.view.expectations.get(at).is_some_and(|view| view.standing == Standing::Pending);
        let deadlines = self.expected.iter().enumerate().filter(|(at, _)| pending(*at)).filter_map(|(_, (what, _))| {
            let Expected::Drill(index) = what else { return None };
            let within = self.scenario.expect.get(*index)?.within?.time()?;
            Some(self.first? + within)
        });
        end.into_iter().chain(deadlines).min()
    }

    fn abort(&mut self, by: &str, moment: &Moment<'_>, commands: &mut Vec<Command>) {
        self.update(moment);
        self.stop(format!("by {by}"), moment, commands);
    }

    fn close(&mut self, by: &str, moment: &Moment<'_>, commands: &mut Vec<Command>) {
        if self.stage == Stage::Over {
            return;
        }
        self.update(moment);
        self.stop(format!("by {by}"), moment, commands);
        if self.stage == Stage::Over {
            return;
        }
        self.show_phase(moment);
        let place = self.view.phase;
        let stopped = self.stopped.take().unwrap_or_default();
        let reason = format!("{stopped}; everything was taken back, whether the steady state is back was not seen");
        self.end(moment, Verdict::Aborted, reason);
        self.view.phase = place;
    }

    fn extend(&mut self) -> Result<String, String> {
        let Stage::Phase(index) = self.stage else {
            return Err("only a phase that injects something can be made longer".into());
        };
        let Some(phase) = self.scenario.phases.get(index) else { return Err("there is no such phase".into()) };
        let span = phase.span;
        let most = self.scenario.safety.max_duration.time();
        let began = self.first.unwrap_or(self.stage_began);
        match (&mut self.until, span) {
            (Until::Evaluations(until), Span::Evaluations(count)) => *until = until.saturating_add(count),
            (Until::Time(at), Span::Time(time)) => {
                if most.is_some_and(|most| (*at + time).since(began) > most) {
                    return Err(format!("phase {} would end beyond safety.max_duration", phase.name));
                }
                *at += time;
            }
            _ => return Err("the phase cannot be made longer".into()),
        }
        Ok(format!("phase {} takes {span} more", phase.name))
    }

    fn shift(&mut self, by: Duration) {
        if let Until::Time(at) = &mut self.until {
            *at += by;
        }
        self.stage_began += by;
        self.first = self.first.map(|first| first + by);
    }

    fn decided(&mut self) -> Vec<ExpectationView> {
        std::mem::take(&mut self.decided)
    }

    fn scenario(&self) -> &str {
        &self.scenario.name
    }

    fn view(&self) -> DrillView {
        let mut view = self.view.clone();
        view.series = self.series.buckets();
        view
    }
}
