//! Commands to the engine: who gave them, whether they may, what they change; and giving them again when a session is
//! repeated.

use std::time::Duration;

use super::{Command, Engine, Instruction, MAX_RATE, Refusal};
use crate::domain::{Kind, Payload, Timestamp};
use crate::mechanisms::auth::Role;
use crate::mechanisms::i18n::I18nCommand;

impl Engine {
    /// Carries out a command of the program itself (a game day's, a signal's) at the engine's present moment. Every
    /// command and its answer go on the ledger.
    ///
    /// # Errors
    /// [`Refusal`] with the reason; nothing has changed then.
    pub fn apply(&mut self, by: &str, command: Command) -> Result<String, Refusal> {
        self.apply_as(by, None, command)
    }

    /// Carries out an operator's command, if that role may give it; what it may not is put on record as well.
    ///
    /// # Errors
    /// [`Refusal`] with the reason; nothing has changed then.
    pub fn apply_as(&mut self, by: &str, role: Option<Role>, command: Command) -> Result<String, Refusal> {
        self.note(by, role, Some(command.clone()));
        let result = self.carry(by, role, command);
        self.finish_if_done();
        result
    }

    /// Ends the session because whoever took its results is gone.
    pub(super) fn cut_short(&mut self) {
        self.note("the end of its results", None, None);
        self.halt();
        self.finish_if_done();
    }

    fn note(&mut self, by: &str, role: Option<Role>, command: Option<Command>) {
        if self.watched {
            self.instructions.push(Instruction { turn: self.turns, by: by.to_owned(), role, command });
        }
    }

    /// On the virtual clock: goes on until so many steps were made since the start, or nothing is left to be done.
    pub fn run_to_turn(&mut self, turn: u64) {
        self.last_turn = turn;
        self.advance(Timestamp::MAX.before(Duration::from_nanos(1)), usize::MAX);
        self.last_turn = u64::MAX;
    }

    /// On the virtual clock: goes on to where an instruction was given, and follows it as it was followed then.
    pub fn repeat(&mut self, instruction: &Instruction) {
        self.run_to_turn(instruction.turn);
        match &instruction.command {
            // Whether it was refused is among the events.
            Some(command) => drop(self.apply_as(&instruction.by, instruction.role, command.clone())),
            None => self.cut_short(),
        }
    }

    /// As [`Engine::apply`], but the session goes on: a game day that is closed with it has several commands to give.
    pub(super) fn carry(&mut self, by: &str, role: Option<Role>, command: Command) -> Result<String, Refusal> {
        if let Some(clock) = self.wall {
            self.now = self.now.max(clock.now());
        }
        self.out.now = self.now;
        let text = command.text();
        let denied = role.and_then(|role| role.refusal(command.duty()));
        let result = match denied {
            Some(reason) => Err(Refusal(reason)),
            None => self.execute(by, command),
        };
        // What a command brought about stands before it: it happened while it was carried out.
        self.tell_blocks();
        let answer = match &result {
            Ok(answer) => answer.clone(),
            Err(refusal) => format!("refused: {refusal}"),
        };
        if let Some(ledger) = &mut self.ledger {
            ledger.command(self.now, by, role.map_or("", Role::name), &text, &answer);
        }
        self.tell_blocks();
        let by = by.to_owned();
        match &result {
            Ok(_) => self.out.emit(Kind::CommandAccepted, || Payload::CommandAccepted { command: text, by, answer }),
            Err(refusal) => self.out.emit(Kind::CommandRefused, || Payload::CommandRefused {
                command: text,
                by,
                reason: refusal.0.clone(),
            }),
        }
        result
    }

    fn execute(&mut self, by: &str, command: Command) -> Result<String, Refusal> {
        let now = self.now;
        let refuse = |error: &dyn std::fmt::Display| Refusal(error.to_string());
        if self.finished {
            return Err(Refusal("the session is over".into()));
        }
        match command {
            Command::Pause => {
                self.paused = true;
                self.paused_at.get_or_insert(now);
                self.steps = 0;
                Ok("paused".into())
            }
            Command::Resume => {
                self.paused = false;
                self.arrivals.restart(now);
                if let (Some(since), Some(director)) = (self.paused_at.take(), &mut self.director) {
                    director.shift(now.since(since));
                }
                Ok("running".into())
            }
            Command::Step { count } if !self.paused => {
                Err(Refusal(format!("only a paused session can be stepped; pause it before stepping {count}")))
            }
            Command::Step { count } => {
                self.steps = self.steps.saturating_add(count.max(1));
                Ok(format!("{} evaluations are let in", count.max(1)))
            }
            Command::SetRate { per_second } if per_second > MAX_RATE => {
                Err(Refusal(format!("a rate is at most {MAX_RATE} a second; 0 is as fast as they go")))
            }
            Command::SetRate { per_second } => {
                self.arrivals.rate = per_second;
                self.arrivals.restart(now);
                Ok(match per_second {
                    0 => "evaluations come as fast as they go".into(),
                    rate => format!("{rate} evaluations a second"),
                })
            }
            Command::Limiter(command) => {
                self.mechanisms.limiter.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Bulkhead(command) => {
                self.mechanisms.bulkhead.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Retry(command) => {
                self.mechanisms.retry.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Breaker(command) => {
                self.mechanisms.breaker.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Flags(command) => {
                self.mechanisms.flags.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Cache(command) => Ok(self.mechanisms.cache.command(command, now, &mut self.out)),
            Command::Chaos(command) => {
                self.mechanisms.chaos.command(&command, by, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::Slo(command) => {
                self.mechanisms.slo.command(&command, by, now, &mut self.out).map_err(|error| refuse(&error))
            }
            Command::I18n(command) => {
                let answer = self.mechanisms.translator.command(&command, &mut self.out);
                if let (Ok(_), I18nCommand::SetLocale { locale }) = (&answer, &command) {
                    self.mechanisms.flags.attribute("locale", locale);
                }
                answer.map_err(|error| refuse(&error))
            }
            Command::Ledger(command) => match &mut self.ledger {
                Some(ledger) => ledger.order(&command).map_err(Refusal),
                None => Err(Refusal("no ledger is kept: blockchain.enabled is false".into())),
            },
            Command::StartGameDay { name } => self.start_drill(&name),
            Command::AbortGameDay => {
                if self.abort_drill(by) {
                    Ok("the game day is aborted and everything it injected is taken back".into())
                } else {
                    Err(Refusal("no game day is running".into()))
                }
            }
            Command::ExtendGameDay => match &mut self.director {
                Some(director) => director.extend().map_err(Refusal),
                None => Err(Refusal("no game day is running".into())),
            },
            Command::Stop => {
                self.halt();
                Ok("the session ends".into())
            }
        }
    }
}
