//! A game day in the engine: what its director sees, what it commands, how it begins and ends.

use super::director::{self, Direction, Director, Moment};
use super::{Command, Engine, Refusal};
use crate::domain::{Kind, Payload};
use crate::mechanisms::chaos::ChaosCommand;

/// As whom a game day commands.
pub(super) fn drill_name(scenario: &str) -> String {
    format!("game day {scenario}")
}

impl Engine {
    pub(super) fn moment(&self) -> Moment<'_> {
        let (chaos_level, armed) = self.mechanisms.chaos.armed();
        Moment {
            // While the session is paused no time passes for a game day, whatever else looks at the clock.
            now: self.paused_at.unwrap_or(self.now),
            counts: self.tally.counts(),
            breaker_trips: self.mechanisms.breaker.trips(),
            breakers_open: self.mechanisms.breaker.open(self.now),
            alerts_fired: self.mechanisms.slo.fired(),
            chaos_level,
            armed,
            injections_active: self.mechanisms.chaos.active() as u32,
            injections: self.mechanisms.chaos.injections(),
            cache: self.mechanisms.cache.looked_up(),
            retries: self.mechanisms.retry.retries(),
            levels: &self.levels,
            state: &self.mechanisms,
        }
    }

    pub(super) fn read_levels(&mut self) {
        self.levels = self.mechanisms.slo.levels(self.now);
    }

    /// Asks the running game day what is to be done, and does it.
    pub(super) fn direct(&mut self) {
        let Some(mut director) = self.director.take() else { return };
        let mut commands = Vec::new();
        let direction = director.direct(&self.moment(), &mut commands);
        self.carry_out(&mut *director, commands);
        match direction {
            Direction::Continue => self.director = Some(director),
            Direction::Done => self.end_drill(&mut *director),
        }
    }

    pub(super) fn carry_out(&mut self, director: &mut dyn Director, commands: Vec<Command>) {
        for decided in director.decided() {
            self.out.emit(Kind::GamedayExpectationDecided, || Payload::GamedayExpectationDecided {
                scenario: director.scenario().to_owned(),
                expectation: decided.text,
                held: decided.standing == director::Standing::Held,
                actual: decided.actual,
            });
        }
        if commands.is_empty() {
            return;
        }
        let by = drill_name(director.scenario());
        for command in commands {
            // What a validated scenario asks for is refused only if an operator got in its way; that is on record.
            let _ = self.carry(&by, None, command);
        }
    }

    pub(super) fn end_drill(&mut self, director: &mut dyn Director) {
        let view = director.view();
        self.out.emit(Kind::ChaosGamedayEnded, || Payload::ChaosGamedayEnded {
            scenario: view.scenario.clone(),
            verdict: view.verdict.text().to_owned(),
            phases_completed: view.phases.iter().filter(|phase| phase.ended.is_some()).count() as u32,
        });
        let by = format!("game day {}", view.scenario);
        // The expectations stand before the verdict that follows from them.
        self.tell_blocks();
        if let Some(ledger) = &mut self.ledger {
            ledger.command(self.now, &by, "", "\"verdict\"", &format!("{}: {}", view.verdict.text(), view.reason));
        }
        self.drill = Some(view);
        if self.stop_after_drill {
            self.halt();
        }
    }

    /// Ends the running game day's faults; it goes on only to see whether the steady state is back.
    pub(super) fn abort_drill(&mut self, by: &str) -> bool {
        let Some(mut director) = self.director.take() else { return false };
        let mut commands = Vec::new();
        director.abort(by, &self.moment(), &mut commands);
        self.carry_out(&mut *director, commands);
        self.director = Some(director);
        if self.paused || self.stopping {
            // Nothing will be evaluated that could show whether the steady state is back.
            self.close_drill(by);
        } else {
            self.direct();
        }
        true
    }

    /// Ends the running game day here and now.
    pub(super) fn close_drill(&mut self, by: &str) {
        let Some(mut director) = self.director.take() else { return };
        let mut commands = Vec::new();
        director.close(by, &self.moment(), &mut commands);
        self.carry_out(&mut *director, commands);
        self.end_drill(&mut *director);
    }

    pub(super) fn start_drill(&mut self, name: &str) -> Result<String, Refusal> {
        if let Some(director) = &self.director {
            return Err(Refusal(format!("game day {} is running; abort it first", director.scenario())));
        }
        let Some(playbook) = self.playbook.clone() else {
            return Err(Refusal("this session has no game days".into()));
        };
        self.read_levels();
        if let Some(reason) = self.mechanisms.slo.refuses_game_days(self.now) {
            return Err(Refusal(reason));
        }
        let director = playbook.start(name, &self.moment()).map_err(Refusal)?;
        let scenario = director.scenario().to_owned();
        self.out.emit(Kind::ChaosGamedayStarted, || Payload::ChaosGamedayStarted { scenario: scenario.clone() });
        self.director = Some(director);
        self.direct();
        Ok(format!("game day {scenario} begins"))
    }

    /// Ends the session once the running game day has come to its verdict.
    pub const fn stop_after_drill(&mut self) {
        self.stop_after_drill = true;
    }

    /// Takes back whatever fault injection does now: for drivers that end a session from outside.
    pub fn disarm(&mut self, by: &str) {
        self.close_drill(by);
        if self.mechanisms.chaos.armed().0 != 0 || self.mechanisms.chaos.active() > 0 {
            let _ = self.apply(by, Command::Chaos(ChaosCommand::RevertAll));
        }
    }
}
