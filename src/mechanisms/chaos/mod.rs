//! Fault injection: five faults at five levels, drawn from a generator of its own so that a seed repeats a session.
//!
//! What is armed is injected into a share of evaluations that depends on the level. Two of the faults come before the
//! answer (latency, an exception), three after it (corruption, a failing rule engine, manipulated confidence). The
//! cache sits inside of this middleware and keeps canonical answers, so a corrupted answer is never served twice.
//!
//! ```
//! use fizzops::domain::{EventMask, Outcome, RuleSet, Source, Timestamp};
//! use fizzops::mechanisms::chaos::{Chaos, ChaosCommand, ChaosConfig, Fault};
//! use fizzops::pipeline::{Context, Flow, Middleware, Outbox};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let rules = RuleSet::classic();
//! let mut chaos = Chaos::new(&ChaosConfig::default(), &rules, ChaCha8Rng::seed_from_u64(7)).unwrap();
//! let mut out = Outbox::new(EventMask::NONE, 0);
//! let arm = ChaosCommand::Arm { level: 5, faults: vec![Fault::ExceptionInjection] };
//! chaos.command(&arm, "operator", &mut out).unwrap();
//!
//! let failed = (0..1000).filter(|&number| {
//!     let mut context = Context::new(0, number, rules.all(), Timestamp::EPOCH);
//!     chaos.enter(&mut context, &mut out) == Flow::Finish && context.outcome == Outcome::Failed
//! });
//! let share = failed.count() as f64 / 1000.0;
//! assert!((0.75..0.85).contains(&share), "level 5 injects into 80 %");
//! ```

mod fault;

use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use fault::{Fault, Level};

use crate::domain::{ErrorCode, Kind, Outcome, Output, Payload, RuleMask, RuleSet};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// The section `chaos`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChaosConfig {
    /// Whether faults are injected from the start.
    pub enabled: bool,
    /// 1 (5 % of evaluations) to 5 (80 %).
    pub level: u8,
    /// What is armed from the start.
    pub fault_types: Vec<Fault>,
    /// How long injected latency is.
    pub latency: LatencyConfig,
    /// A seed of its own; the session's when absent.
    pub seed: Option<u64>,
}

/// The section `chaos.latency`, milliseconds. Level `l` draws from `min` to `min + (max - min) * l / 5`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyConfig {
    /// The shortest.
    pub min_ms: u64,
    /// The longest, at level 5.
    pub max_ms: u64,
}

impl Default for LatencyConfig {
    fn default() -> Self {
        Self { min_ms: 10, max_ms: 500 }
    }
}

impl Default for ChaosConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            level: 1,
            fault_types: Fault::ALL.to_vec(),
            latency: LatencyConfig::default(),
            seed: None,
        }
    }
}

/// Why a setting or a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChaosError {
    /// Not a level.
    #[error("chaos.level is {0}; levels are 1 (5 %) to 5 (80 %), 0 turns chaos off")]
    Level(u8),
    /// Min above max, or longer than allowed.
    #[error(
        "injected latency from {min_ms} ms to {max_ms} ms is impossible; min must not exceed max, max not 60 000 ms"
    )]
    Latency {
        /// As configured.
        min_ms: u64,
        /// As configured.
        max_ms: u64,
    },
    /// Nothing to inject.
    #[error("chaos is armed with no fault type; name at least one of {}", Fault::names())]
    NoFault,
}

impl ChaosError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::ChaosConfiguration
    }
}

/// What an operator or a game day may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChaosCommand {
    /// Level 1 to 5 with what is armed, or else what the configuration names; 0 to turn it off.
    SetLevel {
        /// 0 to 5.
        level: u8,
    },
    /// Exactly these faults at this level.
    Arm {
        /// 1 to 5.
        level: u8,
        /// At least one.
        faults: Vec<Fault>,
    },
    /// Nothing any more.
    Disarm,
}

/// What has been injected of one fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultView {
    /// Which.
    pub fault: Fault,
    /// Whether it is armed now.
    pub armed: bool,
    /// Injections so far.
    pub injected: u64,
}

/// The mechanism, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChaosView {
    /// 0 when off.
    pub level: u8,
    /// The level's name; "off" for 0.
    pub label: String,
    /// The share of evaluations that a first draw hits, 0 to 1.
    pub probability: f64,
    /// Who armed it last.
    pub by: String,
    /// The five faults.
    pub faults: Vec<FaultView>,
    /// Evaluations that came by while something was armed.
    pub exposed: u64,
    /// Injections so far, all faults together.
    pub injected: u64,
}

/// The middleware, at priority 3.
#[derive(Debug)]
pub struct Chaos {
    level: Option<Level>,
    armed: Vec<Fault>,
    /// What the next level arms after everything was disarmed.
    configured: Vec<Fault>,
    by: String,
    latency: LatencyConfig,
    rng: ChaCha8Rng,
    words: Words,
    injected: [u64; Fault::ALL.len()],
    exposed: u64,
}

/// The wrong answers, made once: corruption must not allocate.
#[derive(Debug)]
struct Words {
    fizz: RuleMask,
    buzz: RuleMask,
    for_fizz: [Arc<str>; 5],
    for_buzz: [Arc<str>; 5],
    for_fizzbuzz: [Arc<str>; 5],
    for_others: [Arc<str>; 3],
}

impl Words {
    fn new(rules: &RuleSet) -> Self {
        let mask = |label| rules.by_label(label).map_or(RuleMask::NONE, |index| RuleMask::NONE.with(index));
        Self {
            fizz: mask("Fizz"),
            buzz: mask("Buzz"),
            for_fizz: ["Buzz", "FizzBuzz", "Bazz", "Fuzz", "Enterprise"].map(Arc::from),
            for_buzz: ["Fizz", "FizzBuzz", "Bozz", "Jazz", "Synergy"].map(Arc::from),
            for_fizzbuzz: ["Fizz", "Buzz", "BuzzFizz", "FazzBozz", "Agile"].map(Arc::from),
            for_others: ["Fizz", "Buzz", "FizzBuzz"].map(Arc::from),
        }
    }

    /// Every word here differs from the right text for these matches.
    fn wrong_for(&self, matched: RuleMask) -> &[Arc<str>] {
        let both = RuleMask(self.fizz.0 | self.buzz.0);
        match matched {
            mask if mask.is_empty() => &self.for_others,
            mask if mask == self.fizz => &self.for_fizz,
            mask if mask == self.buzz => &self.for_buzz,
            mask if mask == both => &self.for_fizzbuzz,
            _ => &self.for_others,
        }
    }
}

impl Chaos {
    /// With a generator of its own.
    ///
    /// # Errors
    /// [`ChaosError`] for a setting that is impossible.
    pub fn new(config: &ChaosConfig, rules: &RuleSet, rng: ChaCha8Rng) -> Result<Self, ChaosError> {
        let LatencyConfig { min_ms, max_ms } = config.latency;
        if min_ms > max_ms || max_ms > 60_000 {
            return Err(ChaosError::Latency { min_ms, max_ms });
        }
        let level = Level::new(config.level).ok_or(ChaosError::Level(config.level))?;
        if config.enabled && config.fault_types.is_empty() {
            return Err(ChaosError::NoFault);
        }
        let none = config.fault_types.is_empty();
        let configured = if none { Fault::ALL.to_vec() } else { sorted(&config.fault_types) };
        Ok(Self {
            level: config.enabled.then_some(level),
            armed: configured.clone(),
            configured,
            by: String::from("configuration"),
            latency: config.latency.clone(),
            rng,
            words: Words::new(rules),
            injected: [0; Fault::ALL.len()],
            exposed: 0,
        })
    }

    /// Carries out a command; the answer is a sentence for the operator.
    ///
    /// # Errors
    /// [`ChaosError`] when the command asks for the impossible; nothing is changed then.
    pub fn command(&mut self, command: &ChaosCommand, by: &str, out: &mut Outbox) -> Result<String, ChaosError> {
        match command {
            ChaosCommand::SetLevel { level: 0 } | ChaosCommand::Disarm => {
                self.level = None;
                self.armed.clone_from(&self.configured);
            }
            ChaosCommand::SetLevel { level } => {
                self.level = Some(Level::new(*level).ok_or(ChaosError::Level(*level))?);
            }
            ChaosCommand::Arm { level, faults } => {
                if faults.is_empty() {
                    return Err(ChaosError::NoFault);
                }
                self.level = Some(Level::new(*level).ok_or(ChaosError::Level(*level))?);
                self.armed = sorted(faults);
            }
        }
        self.by = by.to_owned();
        let view = self.view();
        out.emit(Kind::ChaosMonkeyActivated, || Payload::ChaosMonkeyActivated {
            level: view.level,
            label: view.label.clone(),
            faults: view.faults.iter().filter(|fault| fault.armed).map(|fault| fault.fault.name().to_owned()).collect(),
            by: by.to_owned(),
        });
        Ok(match self.level {
            None => String::from("chaos is off"),
            Some(level) => format!(
                "chaos level {} ({}): {} into {:.0} % of evaluations",
                level.number(),
                level.label(),
                self.armed.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", "),
                level.probability() * 100.0
            ),
        })
    }

    /// What is armed now: level (0 for off) and faults.
    pub fn armed(&self) -> (u8, &[Fault]) {
        (self.level.map_or(0, Level::number), &self.armed)
    }

    /// Injections so far.
    pub fn injections(&self) -> u64 {
        self.injected.iter().sum()
    }

    /// The mechanism, as it is shown.
    pub fn view(&self) -> ChaosView {
        ChaosView {
            level: self.level.map_or(0, Level::number),
            label: self.level.map_or("off", Level::label).to_owned(),
            probability: self.level.map_or(0.0, Level::probability),
            by: self.by.clone(),
            faults: Fault::ALL
                .iter()
                .zip(self.injected)
                .map(|(&fault, injected)| FaultView {
                    fault,
                    armed: self.level.is_some() && self.armed.contains(&fault),
                    injected,
                })
                .collect(),
            exposed: self.exposed,
            injected: self.injections(),
        }
    }

    /// One draw: `None` when it misses.
    fn draw(&mut self, level: Level) -> Option<Fault> {
        if self.rng.next_u32() >= level.threshold() || self.armed.is_empty() {
            return None;
        }
        let index = self.rng.random_range(0..self.armed.len());
        self.armed.get(index).copied()
    }

    fn note(&mut self, fault: Fault, context: &mut Context) {
        context.faults |= fault.bit();
        if let Some(count) = self.injected.get_mut(fault as usize) {
            *count += 1;
        }
    }

    fn announce(&self, fault: Fault, number: i64, out: &mut Outbox, description: impl FnOnce() -> String) {
        let level = self.level.map_or(0, Level::number);
        out.emit(Kind::ChaosFaultInjected, || Payload::ChaosFaultInjected {
            fault: fault.name().to_owned(),
            level,
            number,
            description: description(),
        });
    }

    fn delay(&mut self, level: Level, context: &mut Context, out: &mut Outbox) {
        let LatencyConfig { min_ms, max_ms } = self.latency;
        let longest = min_ms * 1_000_000 + (max_ms - min_ms) * 1_000_000 / 5 * u64::from(level.number());
        let latency = Duration::from_nanos(self.rng.random_range(min_ms * 1_000_000..=longest));
        context.delay += latency;
        self.note(Fault::LatencyInjection, context);
        let (number, latency_ms) = (context.number, latency.as_secs_f64() * 1_000.0);
        out.emit(Kind::ChaosLatencyInjected, || Payload::ChaosLatencyInjected { number, latency_ms });
        self.announce(Fault::LatencyInjection, number, out, || format!("waits {latency_ms:.1} ms"));
    }

    fn raise(&mut self, context: &mut Context, out: &mut Outbox) {
        const MESSAGES: [&str; 8] = [
            "the remainder went missing",
            "the divisor is on strike",
            "modulo unit overheated",
            "the quotient was already sold",
            "integer escaped through an open window",
            "the number declined to be evaluated",
            "arithmetic is closed for stocktaking",
            "division of labour dispute",
        ];
        let number = context.number;
        let message = MESSAGES.get(self.rng.random_range(0..MESSAGES.len())).copied().unwrap_or_default();
        context.fail(Outcome::Failed, ErrorCode::ChaosInduced);
        self.note(Fault::ExceptionInjection, context);
        out.emit(Kind::ChaosExceptionInjected, || Payload::ChaosExceptionInjected {
            number,
            message: message.to_owned(),
        });
        self.announce(Fault::ExceptionInjection, number, out, || message.to_owned());
    }

    fn spoil(&mut self, fault: Fault, level: Level, context: &mut Context, out: &mut Outbox) {
        let number = context.number;
        match fault {
            Fault::ResultCorruption => {
                let words = self.words.wrong_for(context.matched);
                let Some(word) = words.get(self.rng.random_range(0..words.len())).cloned() else { return };
                out.emit(Kind::ChaosResultCorrupted, || Payload::ChaosResultCorrupted {
                    number,
                    from: match &context.output {
                        Output::Text(text) => text.to_string(),
                        Output::Decimal | Output::Labels(_) => format!("{} matched", context.matched.count()),
                    },
                    to: word.to_string(),
                });
                self.announce(fault, number, out, || format!("answers {word}"));
                context.output = Output::Text(word);
            }
            Fault::RuleEngineFailure => {
                context.matched = RuleMask::NONE;
                context.output = Output::Decimal;
                self.announce(fault, number, out, || String::from("forgets every rule"));
            }
            Fault::ConfidenceManipulation => {
                let highest = (1.0 - 0.15 * f32::from(level.number())).max(0.02);
                let confidence = self.rng.random_range(0.01..highest);
                context.confidence = Some(confidence);
                self.announce(fault, number, out, || format!("claims a confidence of {confidence:.2}"));
            }
            Fault::LatencyInjection | Fault::ExceptionInjection => return,
        }
        self.note(fault, context);
    }
}

fn sorted(faults: &[Fault]) -> Vec<Fault> {
    let mut faults = faults.to_vec();
    faults.sort_unstable();
    faults.dedup();
    faults
}

impl Middleware for Chaos {
    fn name(&self) -> &'static str {
        "chaos"
    }

    fn priority(&self) -> i16 {
        3
    }

    fn enter(&mut self, context: &mut Context, out: &mut Outbox) -> Flow {
        let Some(level) = self.level else { return Flow::Continue };
        self.exposed += 1;
        match self.draw(level) {
            Some(Fault::LatencyInjection) => self.delay(level, context, out),
            Some(Fault::ExceptionInjection) => {
                self.raise(context, out);
                return Flow::Finish;
            }
            Some(fault) => context.planned_fault = Some(fault as u8),
            None => {}
        }
        Flow::Continue
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        let Some(level) = self.level else { return };
        // Drawn on the way in: injected now. Otherwise there is a second draw, of which only faults after the answer
        // count; so the share of touched evaluations is above the level's probability, as in the reference.
        let fault = match context.planned_fault.take() {
            Some(planned) => Fault::ALL.get(usize::from(planned)).copied(),
            None => self.draw(level).filter(|fault| fault.comes_after()),
        };
        if let Some(fault) = fault
            && context.is_answered()
        {
            self.spoil(fault, level, context, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, Source, Timestamp};
    use rand_chacha::rand_core::SeedableRng;

    fn chaos(level: u8, faults: &[Fault]) -> Chaos {
        let config = ChaosConfig { enabled: true, level, fault_types: faults.to_vec(), ..ChaosConfig::default() };
        Chaos::new(&config, &RuleSet::classic(), ChaCha8Rng::seed_from_u64(42)).unwrap()
    }

    fn evaluate(chaos: &mut Chaos, number: i64) -> Context {
        let rules = RuleSet::classic();
        let mut out = Outbox::new(EventMask::ALL, 100);
        let mut context = Context::new(0, number, rules.all(), Timestamp::EPOCH);
        if chaos.enter(&mut context, &mut out) == Flow::Continue {
            context.answer(rules.matches(number, rules.all()), Source::Strategy);
            chaos.leave(&mut context, &mut out);
        }
        context
    }

    #[test]
    fn a_corrupted_answer_is_always_wrong_and_keeps_its_matches() {
        let mut chaos = chaos(5, &[Fault::ResultCorruption]);
        let rules = RuleSet::classic();
        let mut corrupted = 0;
        for number in 1..2_000 {
            let context = evaluate(&mut chaos, number);
            let right = rules.matches(number, rules.all());
            assert_eq!(context.matched, right);
            if context.faults & Fault::ResultCorruption.bit() != 0 {
                corrupted += 1;
                assert_ne!(context.output.text(number, &rules), Output::of(right).text(number, &rules));
            }
        }
        // One draw of 80 %, and a second one of 80 % for those that the first one missed: 96 %.
        assert!((1_850..1_980).contains(&corrupted), "{corrupted}");
        assert_eq!(chaos.view().injected, corrupted);
    }

    #[test]
    fn injected_latency_stays_within_the_levels_bounds() {
        for level in 1..=5 {
            let mut chaos = chaos(level, &[Fault::LatencyInjection]);
            let longest = 10 + 490 * u64::from(level) / 5;
            let delays: Vec<_> = (0..2_000).map(|number| evaluate(&mut chaos, number).delay).collect();
            assert!(delays.iter().all(|delay| delay.is_zero() || *delay >= Duration::from_millis(10)));
            assert!(delays.iter().all(|delay| *delay <= Duration::from_millis(longest)), "level {level}");
            assert!(delays.iter().any(|delay| !delay.is_zero()));
        }
    }

    #[test]
    fn every_fault_is_counted_and_a_seed_repeats_the_session() {
        let run = || {
            let mut chaos = chaos(5, &Fault::ALL);
            let contexts: Vec<_> = (0..500).map(|number| format!("{:?}", evaluate(&mut chaos, number))).collect();
            (contexts, chaos.view())
        };
        let (contexts, view) = run();
        assert_eq!((contexts, view.clone()), run());
        assert!(view.faults.iter().all(|fault| fault.injected > 0), "{view:?}");
    }

    #[test]
    fn commands_arm_disarm_and_refuse() {
        let mut chaos = chaos(1, &[Fault::LatencyInjection]);
        let mut out = Outbox::new(EventMask::operations(), 10);
        assert_eq!(chaos.command(&ChaosCommand::SetLevel { level: 6 }, "t", &mut out), Err(ChaosError::Level(6)));
        let arm = ChaosCommand::Arm { level: 3, faults: vec![] };
        assert_eq!(chaos.command(&arm, "t", &mut out), Err(ChaosError::NoFault));
        assert_eq!(chaos.armed(), (1, &[Fault::LatencyInjection][..]), "a refused command changes nothing");
        chaos.command(&ChaosCommand::Disarm, "t", &mut out).unwrap();
        assert!((0..100).all(|number| evaluate(&mut chaos, number).faults == 0));
        assert_eq!(out.take().len(), 1);
        let arm = ChaosCommand::Arm { level: 4, faults: vec![Fault::ResultCorruption] };
        for command in [arm, ChaosCommand::Disarm, ChaosCommand::SetLevel { level: 2 }] {
            chaos.command(&command, "t", &mut out).unwrap();
        }
        assert_eq!(chaos.armed(), (2, &[Fault::LatencyInjection][..]), "what a drill armed is not armed again");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let new = |config: ChaosConfig| {
            Chaos::new(&config, &RuleSet::classic(), ChaCha8Rng::seed_from_u64(1)).map(|_| ()).unwrap_err()
        };
        assert_eq!(new(ChaosConfig { level: 9, ..ChaosConfig::default() }), ChaosError::Level(9));
        let latency = LatencyConfig { min_ms: 9, max_ms: 8 };
        assert_eq!(
            new(ChaosConfig { latency, ..ChaosConfig::default() }),
            ChaosError::Latency { min_ms: 9, max_ms: 8 }
        );
    }
}
