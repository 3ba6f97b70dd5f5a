//! A drill: before, phase by phase, after; what it counts, and the verdict it comes to.

use crate::domain::time::nanos;
use crate::domain::{Evaluation, Timestamp};
use crate::engine::Command;
use crate::engine::director::{Direction, Director, DrillView, ExpectationView, Moment, PhaseView, Standing, Verdict};
use crate::engine::tally::Counts;
use crate::mechanisms::chaos::{ChaosCommand, Fault};
use crate::pipeline::timing::Latencies;

use super::scenario::{During, Part, Scenario, armed};

/// A part of the drill while it is counted.
#[derive(Debug)]
struct Measure {
    /// The session's figures when it began.
    began: Part,
    latencies: Latencies,
    part: Part,
}

impl Measure {
    fn new(moment: &Moment<'_>) -> Self {
        let began = Part {
            counts: *moment.counts,
            p99_ns: 0,
            injections: moment.injections,
            breaker_trips: moment.breaker_trips,
        };
        Self { began, latencies: Latencies::default(), part: Part::default() }
    }

    fn update(&mut self, moment: &Moment<'_>) {
        self.part = Part {
            counts: moment.counts.since(&self.began.counts),
            p99_ns: self.latencies.quantile(0.99),
            injections: moment.injections - self.began.injections,
            breaker_trips: moment.breaker_trips - self.began.breaker_trips,
        };
    }
}

/// Where a drill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Phase(usize),
    Recovery,
    Over,
}

/// A running drill.
#[derive(Debug)]
pub struct Drill {
    scenario: Scenario,
    stage: Stage,
    /// Evaluations of the session at which the present stage ends.
    until: u64,
    stage_measure: Measure,
    /// From the first phase on.
    all: Measure,
    /// The phases only, without the recovery.
    phases_part: Part,
    /// What was armed before, to be put back.
    found: (u8, Vec<Fault>),
    view: DrillView,
}

impl Drill {
    /// A drill at its start.
    pub fn new(scenario: &Scenario, moment: &Moment<'_>) -> Self {
        let phase = |name: &str, armed: String, planned| PhaseView {
            name: name.to_owned(),
            armed,
            planned,
            began: None,
            ended: None,
            counts: Counts::default(),
            p99_ns: 0,
            injections: 0,
            breaker_trips: 0,
        };
        let mut phases = vec![phase("Before", "nothing".into(), scenario.steady_state.evaluations)];
        phases.extend(scenario.phases.iter().map(|one| phase(&one.name, armed(one), one.evaluations)));
        phases.push(phase("After", "nothing".into(), scenario.recovery_evaluations));
        if let Some(first) = phases.first_mut() {
            first.began = Some(moment.now);
        }
        let steady = scenario.steady_state.expect.iter().map(|check| format!("before: {}", check.text()));
        let expectations = steady
            .chain(scenario.expect.iter().map(super::scenario::Expectation::text))
            .map(|text| ExpectationView { text, standing: Standing::Pending, actual: String::new() })
            .collect();
        Self {
            stage: Stage::Before,
            until: moment.counts.evaluations + scenario.steady_state.evaluations,
            stage_measure: Measure::new(moment),
            all: Measure::new(moment),
            phases_part: Part::default(),
            found: (moment.chaos_level, moment.armed.to_vec()),
            view: DrillView {
                scenario: scenario.name.clone(),
                title: scenario.title.clone(),
                began: moment.now,
                ended: None,
                phase: 0,
                phases,
                expectations,
                verdict: Verdict::Running,
                reason: String::new(),
            },
            scenario: scenario.clone(),
        }
    }

    /// The place of the present stage among the view's phases.
    fn place(&self) -> usize {
        match self.stage {
            Stage::Before => 0,
            Stage::Phase(index) => index + 1,
            Stage::Recovery | Stage::Over => self.scenario.phases.len() + 1,
        }
    }

    fn update(&mut self, moment: &Moment<'_>) {
        self.stage_measure.update(moment);
        self.all.update(moment);
        let place = self.place();
        let part = self.stage_measure.part;
        if let Some(phase) = self.view.phases.get_mut(place) {
            phase.counts = part.counts;
            phase.p99_ns = part.p99_ns;
            phase.injections = part.injections;
            phase.breaker_trips = part.breaker_trips;
        }
        self.view.phase = place;
        if matches!(self.stage, Stage::Phase(_)) {
            self.phases_part = self.all.part;
        }
    }

    /// Ends the present stage and begins the next one; `true` when that was the last.
    fn next_stage(&mut self, moment: &Moment<'_>, commands: &mut Vec<Command>) -> bool {
        let place = self.place();
        if let Some(phase) = self.view.phases.get_mut(place) {
            phase.ended = Some(moment.now);
        }
        let next = match self.stage {
            Stage::Before => {
                if let Some(reason) = self.unsteady() {
                    self.end(moment.now, Verdict::NeverRan, reason);
                    return true;
                }
                self.all = Measure::new(moment);
                Stage::Phase(0)
            }
            Stage::Phase(index) if index + 1 < self.scenario.phases.len() => Stage::Phase(index + 1),
            Stage::Phase(_) => Stage::Recovery,
            Stage::Recovery | Stage::Over => {
                self.judge(moment.now);
                return true;
            }
        };
        self.stage = next;
        self.stage_measure = Measure::new(moment);
        let planned = match next {
            Stage::Phase(index) => self.scenario.phases.get(index).map_or(0, |phase| {
                commands.push(Command::Chaos(ChaosCommand::Arm { level: phase.level, faults: phase.faults.clone() }));
                phase.evaluations
            }),
            _ => {
                commands.push(self.take_back());
                self.scenario.recovery_evaluations
            }
        };
        self.until = moment.counts.evaluations + planned;
        let place = self.place();
        self.view.phase = place;
        if let Some(phase) = self.view.phases.get_mut(place) {
            phase.began = Some(moment.now);
        }
        false
    }

    /// The command that puts back what was armed before the drill.
    fn take_back(&self) -> Command {
        Command::Chaos(match &self.found {
            (0, _) => ChaosCommand::Disarm,
            (level, faults) => ChaosCommand::Arm { level: *level, faults: faults.clone() },
        })
    }

    fn unsteady(&mut self) -> Option<String> {
        let mut reason = None;
        for (check, view) in self.scenario.steady_state.expect.iter().zip(&mut self.view.expectations) {
            let (holds, actual) = check.holds(&self.stage_measure.part);
            view.standing = if holds { Standing::Held } else { Standing::Failed };
            if !holds && reason.is_none() {
                reason = Some(format!("before anything was injected: {}, found {actual}", check.text()));
            }
            view.actual = actual;
        }
        reason
    }

    fn judge(&mut self, now: Timestamp) {
        let steady = self.scenario.steady_state.expect.len();
        let mut failed = Vec::new();
        for (expectation, view) in self.scenario.expect.iter().zip(self.view.expectations.iter_mut().skip(steady)) {
            let part = match expectation.during {
                During::Phases => &self.phases_part,
                During::Recovery => &self.stage_measure.part,
                During::All => &self.all.part,
            };
            let (holds, actual) = expectation.check().holds(part);
            view.standing = if holds { Standing::Held } else { Standing::Failed };
            if !holds {
                failed.push(format!("{}: found {actual}", expectation.text()));
            }
            view.actual = actual;
        }
        if failed.is_empty() {
            let count = self.scenario.expect.len();
            let reason =
                if count == 0 { "nothing was expected".into() } else { format!("all {count} expectations held") };
            self.end(now, Verdict::Held, reason);
        } else {
            self.end(now, Verdict::NotHeld, failed.join("; "));
        }
    }

    fn end(&mut self, now: Timestamp, verdict: Verdict, reason: String) {
        self.stage = Stage::Over;
        self.view.ended = Some(now);
        self.view.verdict = verdict;
        self.view.reason = reason;
    }
}

impl Director for Drill {
    fn observe(&mut self, _at: Timestamp, evaluation: &Evaluation) {
        let latency = nanos(evaluation.duration);
        self.stage_measure.latencies.record(latency);
        self.all.latencies.record(latency);
    }

    fn direct(&mut self, moment: &Moment<'_>, commands: &mut Vec<Command>) -> Direction {
        self.update(moment);
        // A stage of no evaluations ends as it begins.
        while moment.counts.evaluations >= self.until {
            if self.next_stage(moment, commands) {
                return Direction::Done;
            }
        }
        Direction::Continue
    }

    fn wake(&self) -> Option<Timestamp> {
        None
    }

    fn abort(&mut self, by: &str, moment: &Moment<'_>, commands: &mut Vec<Command>) {
        self.update(moment);
        if self.stage != Stage::Before {
            commands.push(self.take_back());
        }
        let place = self.place();
        let phase = self.view.phases.get_mut(place).map(|phase| {
            phase.ended = Some(moment.now);
            phase.name.clone()
        });
        let reason = format!("by {by} in phase {}", phase.unwrap_or_default());
        self.end(moment.now, Verdict::Aborted, reason);
        self.view.phase = place;
    }

    fn view(&self) -> DrillView {
        self.view.clone()
    }
}
