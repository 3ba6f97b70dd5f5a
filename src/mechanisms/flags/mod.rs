//! Feature flags: which rules are on for a number. Switched by operators, rolled out to a share of the numbers, aimed
//! at some of them, and depending on each other without circles.
//!
//! ```
//! use fizzops::domain::{EventMask, Rule, RuleSet, Timestamp};
//! use fizzops::mechanisms::flags::{FlagsConfig, FlagsMiddleware};
//! use fizzops::pipeline::{Context, Flow, Middleware, Outbox};
//!
//! let rules = RuleSet::classic();
//! let config = FlagsConfig { enabled: true, ..FlagsConfig::default() };
//! let mut flags = FlagsMiddleware::new(&config, &rules).unwrap();
//! flags.override_with("fizz_rule_enabled=off").unwrap();
//! let mut context = Context::new(0, 15, rules.all(), Timestamp::EPOCH);
//! assert_eq!(flags.enter(&mut context, &mut Outbox::new(EventMask::NONE, 0)), Flow::Continue);
//! assert_eq!(&*rules.label(rules.matches(15, context.rules)), "Buzz");
//! ```

pub mod flag;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::text::nearest;
use crate::domain::{ErrorCode, Kind, Payload, RuleMask, RuleSet, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};
use flag::{Lifecycle, Rollout, Target};

/// The section `feature_flags`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlagsConfig {
    /// Whether flags decide anything.
    pub enabled: bool,
    /// The flags by name.
    pub predefined_flags: BTreeMap<String, FlagConfig>,
}

/// One flag in `feature_flags.predefined_flags`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagConfig {
    /// Whether it can be on at all.
    pub enabled: bool,
    /// What decides beyond that.
    pub rollout: Rollout,
    /// Where it is in its life.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Flags that must be on for it to be on.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// The label of the rule that it switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

impl Default for FlagsConfig {
    fn default() -> Self {
        let flag = |enabled, rollout, description: &str, rule: Option<&str>| FlagConfig {
            enabled,
            rollout,
            lifecycle: Lifecycle::Active,
            description: description.into(),
            depends_on: Vec::new(),
            rule: rule.map(str::to_owned),
        };
        let primes = FlagConfig {
            depends_on: vec!["wuzz_rule_experimental".into()],
            ..flag(true, Rollout::Targeting { rule: Target::Prime }, "The experiment's numbers that are prime", None)
        };
        let tenth = Rollout::Percentage { percentage: 10.0 };
        let third = Rollout::Percentage { percentage: 30.0 };
        let predefined_flags = [
            ("fizz_rule_enabled", flag(true, Rollout::Boolean, "The rule for multiples of 3", Some("Fizz"))),
            ("buzz_rule_enabled", flag(true, Rollout::Boolean, "The rule for multiples of 5", Some("Buzz"))),
            ("wuzz_rule_experimental", flag(true, third, "An experiment: a rule for multiples of 7", Some("Wuzz"))),
            ("wuzz_prime_targeting", primes),
            ("ml_strategy_canary", flag(false, tenth, "Numbers for the machine learning strategy", None)),
            ("blockchain_audit", flag(false, Rollout::Boolean, "Audit of every evaluation", None)),
            ("tracing_enabled", flag(false, Rollout::Boolean, "A trace of every evaluation", None)),
        ];
        let predefined_flags = predefined_flags.into_iter().map(|(name, flag)| (name.to_owned(), flag)).collect();
        Self { enabled: false, predefined_flags }
    }
}

/// Why a definition or a command is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FlagsError {
    /// No such flag.
    #[error("there is no flag `{name}`{hint}")]
    NotFound {
        /// As given.
        name: String,
        /// The nearest one, and how to see all.
        hint: String,
    },
    /// A circle of dependencies.
    #[error("flags depend on each other in a circle: {0}")]
    Cycle(String),
    /// Not a percentage.
    #[error("flag `{flag}` has a percentage of {percentage}; it must be from 0 to 100")]
    Percentage {
        /// Which.
        flag: String,
        /// As given.
        percentage: f64,
    },
    /// Division by 0.
    #[error("flag `{0}` targets by a divisor of 0; every divisor must be another number")]
    Divisor(String),
    /// Not NAME=VALUE.
    #[error("`{0}` is no flag setting; write NAME=on or NAME=off")]
    Override(String),
    /// Only percentages can be changed like this.
    #[error("flag `{0}` is not rolled out by percentage")]
    NotPercentage(String),
}

impl FlagsError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } | Self::Override(_) => ErrorCode::FlagNotFound,
            Self::Cycle(_) => ErrorCode::FlagCycle,
            Self::Percentage { .. } | Self::NotPercentage(_) => ErrorCode::FlagRollout,
            Self::Divisor(_) => ErrorCode::FlagTargeting,
        }
    }
}

/// What an operator may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlagsCommand {
    /// Turn a flag on or off.
    Set {
        /// Which.
        flag: String,
        /// On or off.
        enabled: bool,
    },
    /// Turn a flag to what it is not.
    Toggle {
        /// Which.
        flag: String,
    },
    /// Roll a flag out to another share.
    Roll {
        /// Which.
        flag: String,
        /// 0 to 100.
        percentage: f64,
    },
}

/// A flag, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagView {
    /// Its name.
    pub name: String,
    /// `boolean`, `30 %` or what it targets.
    pub rollout: String,
    /// Whether it can be on at all.
    pub enabled: bool,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// What it is for.
    pub description: String,
    /// Flags that must be on for it to be on.
    pub depends_on: Vec<String>,
    /// The label of the rule that it switches; a flag without one is evaluated only when something asks for it.
    pub rule: Option<String>,
    /// Numbers that it was evaluated for.
    pub evaluations: u64,
    /// Numbers among them that it was on for.
    pub on: u64,
    /// Who changed it last, and when.
    pub changed: Option<(String, Timestamp)>,
}

/// The mechanism, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagsView {
    /// Whether flags decide anything.
    pub enabled: bool,
    /// The flags, by name.
    pub flags: Vec<FlagView>,
    /// Changes by operators so far.
    pub changes: u64,
}

#[derive(Debug)]
struct Flag {
    name: String,
    config: FlagConfig,
    prefix: Sha256,
    bound: u64,
    /// Places of the flags that it depends on; all before its own.
    needs: Vec<usize>,
    /// The bit of its rule.
    rule: Option<usize>,
    /// Whether a rule depends on it, itself or through others.
    decides: bool,
    evaluations: u64,
    on: u64,
    changed: Option<(String, Timestamp)>,
}

impl Flag {
    fn is_on(&self, number: i64) -> bool {
        self.config.enabled
            && matches!(self.config.lifecycle, Lifecycle::Active | Lifecycle::Created)
            && match &self.config.rollout {
                Rollout::Boolean => true,
                Rollout::Percentage { .. } => u64::from(flag::bucket(&self.prefix, number)) < self.bound,
                Rollout::Targeting { rule } => rule.picks(number),
            }
    }
}

/// The middleware, at priority -3.
#[derive(Debug)]
pub struct FlagsMiddleware {
    enabled: bool,
    /// Each after those it depends on; otherwise by name.
    flags: Vec<Flag>,
    /// Whether each is on for the number at hand; kept to save an allocation per evaluation.
    on: Vec<bool>,
    rules: RuleSet,
    changes: u64,
}

impl FlagsMiddleware {
    /// As configured, over `rules`. A flag whose rule is not among them decides nothing.
    ///
    /// # Errors
    /// [`FlagsError`] for a definition that is impossible.
    pub fn new(config: &FlagsConfig, rules: &RuleSet) -> Result<Self, FlagsError> {
        let order = order(&config.predefined_flags)?;
        let mut flags: Vec<Flag> = Vec::with_capacity(order.len());
        for name in &order {
            let Some(definition) = config.predefined_flags.get(name) else { continue };
            let bound = match definition.rollout {
                Rollout::Percentage { percentage } => checked_bound(name, percentage)?,
                Rollout::Targeting { rule: Target::Modulo { divisor: 0, .. } } => {
                    return Err(FlagsError::Divisor(name.clone()));
                }
                Rollout::Boolean | Rollout::Targeting { .. } => 0,
            };
            let needs = definition.depends_on.iter().filter_map(|need| order.iter().position(|name| name == need));
            flags.push(Flag {
                name: name.clone(),
                prefix: flag::prefix(name),
                bound,
                needs: needs.collect(),
                rule: definition.rule.as_deref().and_then(|label| rules.by_label(label)),
                decides: false,
                evaluations: 0,
                on: 0,
                changed: None,
                config: definition.clone(),
            });
        }
        for place in (0..flags.len()).rev() {
            let Some(flag) = flags.get_mut(place) else { continue };
            flag.decides |= flag.rule.is_some();
            if flag.decides {
                for need in flag.needs.clone() {
                    if let Some(needed) = flags.get_mut(need) {
                        needed.decides = true;
                    }
                }
            }
        }
        Ok(Self { enabled: config.enabled, on: vec![false; flags.len()], flags, rules: rules.clone(), changes: 0 })
    }

    /// Sets a flag from the command line: `NAME=on`, also true/1/yes and off/false/0/no, in any case.
    ///
    /// # Errors
    /// [`FlagsError`] for an unknown flag or another form.
    pub fn override_with(&mut self, setting: &str) -> Result<(), FlagsError> {
        let wrong = || FlagsError::Override(setting.to_owned());
        let (name, value) = setting.split_once('=').ok_or_else(wrong)?;
        let enabled = match value.trim().to_ascii_lowercase().as_str() {
            "on" | "true" | "1" | "yes" => true,
            "off" | "false" | "0" | "no" => false,
            _ => return Err(wrong()),
        };
        self.find(name.trim())?.config.enabled = enabled;
        Ok(())
    }

    /// Carries out a command; the answer is a sentence for the operator.
    ///
    /// # Errors
    /// [`FlagsError`] when the command asks for the impossible; nothing is changed then.
    pub fn command(
        &mut self,
        command: &FlagsCommand,
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<String, FlagsError> {
        let (name, enabled, percentage) = match command {
            FlagsCommand::Set { flag, enabled } => (flag, Some(*enabled), None),
            FlagsCommand::Toggle { flag } => (flag, Some(!self.find(flag)?.config.enabled), None),
            FlagsCommand::Roll { flag, percentage } => (flag, None, Some(*percentage)),
        };
        let flag = self.find(name)?;
        if let Some(to) = percentage {
            let bound = checked_bound(name, to)?;
            let Rollout::Percentage { percentage } = &mut flag.config.rollout else {
                return Err(FlagsError::NotPercentage(name.clone()));
            };
            *percentage = to;
            flag.bound = bound;
        }
        if let Some(enabled) = enabled {
            flag.config.enabled = enabled;
        }
        flag.changed = Some((by.to_owned(), now));
        let enabled = flag.config.enabled;
        let (state, text) = (if enabled { "on" } else { "off" }, text(&flag.config.rollout));
        self.changes += 1;
        out.emit(Kind::FlagStateChanged, || Payload::FlagStateChanged {
            flag: name.clone(),
            enabled,
            by: by.to_owned(),
        });
        Ok(format!("flag {name} is {state} ({text})"))
    }

    fn find(&mut self, name: &str) -> Result<&mut Flag, FlagsError> {
        match self.flags.iter().position(|flag| flag.name == name) {
            // The position was just found.
            Some(place) => self.flags.get_mut(place).ok_or_else(|| FlagsError::Override(name.to_owned())),
            None => {
                let names = self.flags.iter().map(|flag| flag.name.as_str());
                let hint = nearest(name, names).map_or_else(
                    || "; `fizzops run --list-flags` shows all".to_owned(),
                    |near| format!("; did you mean `{near}`? `fizzops run --list-flags` shows all"),
                );
                Err(FlagsError::NotFound { name: name.to_owned(), hint })
            }
        }
    }

    /// As it is shown.
    pub fn view(&self) -> FlagsView {
        let mut flags: Vec<_> = self
            .flags
            .iter()
            .map(|flag| FlagView {
                name: flag.name.clone(),
                rollout: text(&flag.config.rollout),
                enabled: flag.config.enabled,
                lifecycle: flag.config.lifecycle,
                description: flag.config.description.clone(),
                depends_on: flag.config.depends_on.clone(),
                rule: flag.config.rule.clone(),
                evaluations: flag.evaluations,
                on: flag.on,
                changed: flag.changed.clone(),
            })
            .collect();
        flags.sort_by(|one, other| one.name.cmp(&other.name));
        FlagsView { enabled: self.enabled, flags, changes: self.changes }
    }

    fn announce(&self, context: &Context, out: &mut Outbox) {
        let number = context.number;
        let evaluated = || self.flags.iter().zip(&self.on).filter(|(flag, _)| flag.decides);
        if out.wants(Kind::FlagRolloutDecision) {
            for (flag, _) in evaluated().filter(|(flag, _)| matches!(flag.config.rollout, Rollout::Percentage { .. })) {
                let bucket = flag::bucket(&flag.prefix, number);
                out.emit(Kind::FlagRolloutDecision, || Payload::FlagRolloutDecision {
                    flag: flag.name.clone(),
                    number,
                    bucket: f64::from(bucket) / f64::from(u32::MAX) * 100.0,
                    included: u64::from(bucket) < flag.bound,
                });
            }
        }
        let labels = |mask: RuleMask| self.rules.named(mask).map(|rule| rule.label.clone()).collect();
        out.emit(Kind::FlagEvaluated, || Payload::FlagEvaluated {
            number,
            on: evaluated().filter(|(_, on)| **on).map(|(flag, _)| flag.name.clone()).collect(),
            active_labels: labels(context.rules),
            disabled_labels: labels(RuleMask(self.rules.all().0 & !context.rules.0)),
        });
    }
}

fn text(rollout: &Rollout) -> String {
    match rollout {
        Rollout::Boolean => "boolean".into(),
        Rollout::Percentage { percentage } => format!("{percentage} %"),
        Rollout::Targeting { rule } => rule.text(),
    }
}

fn checked_bound(flag: &str, percentage: f64) -> Result<u64, FlagsError> {
    if (0.0..=100.0).contains(&percentage) {
        Ok(flag::bound(percentage))
    } else {
        Err(FlagsError::Percentage { flag: flag.to_owned(), percentage })
    }
}

/// The flags in an order in which each comes after those it depends on (Kahn), by name where that leaves a choice.
fn order(flags: &BTreeMap<String, FlagConfig>) -> Result<Vec<String>, FlagsError> {
    let mut order: Vec<String> = Vec::with_capacity(flags.len());
    let mut left: BTreeSet<&String> = flags.keys().collect();
    for (name, flag) in flags {
        if let Some(unknown) = flag.depends_on.iter().find(|need| !flags.contains_key(*need)) {
            let hint = format!(", which `{name}` depends on");
            return Err(FlagsError::NotFound { name: unknown.clone(), hint });
        }
    }
    let needs = |name: &String| flags.get(name).map_or(&[][..], |flag| &flag.depends_on);
    while !left.is_empty() {
        let Some(ready) = left.iter().copied().find(|name| needs(name).iter().all(|need| !left.contains(need))) else {
            return Err(FlagsError::Cycle(cycle(&left, needs)));
        };
        left.remove(ready);
        order.push(ready.clone());
    }
    Ok(order)
}

/// A circle among flags none of which is ready: whoever follows the first unready dependency must come back.
fn cycle<'a>(left: &BTreeSet<&'a String>, needs: impl Fn(&String) -> &'a [String]) -> String {
    let mut path: Vec<&String> = Vec::new();
    let mut next = left.first().copied();
    while let Some(name) = next {
        if let Some(start) = path.iter().position(|seen| *seen == name) {
            let mut circle: Vec<&str> = path.iter().skip(start).map(|name| name.as_str()).collect();
            circle.push(name);
            return circle.join(" -> ");
        }
        path.push(name);
        next = needs(name).iter().find(|need| left.contains(need));
    }
    String::new()
}

impl Middleware for FlagsMiddleware {
    fn name(&self) -> &'static str {
        "flags"
    }

    fn priority(&self) -> i16 {
        -3
    }

    fn enter(&mut self, context: &mut Context, out: &mut Outbox) -> Flow {
        if !self.enabled {
            return Flow::Continue;
        }
        for place in 0..self.flags.len() {
            let Some(flag) = self.flags.get_mut(place).filter(|flag| flag.decides) else { continue };
            let needs_met = flag.needs.iter().all(|need| self.on.get(*need).copied().unwrap_or(false));
            let on = needs_met && flag.is_on(context.number);
            flag.evaluations += 1;
            flag.on += u64::from(on);
            if let (Some(rule), false) = (flag.rule, on) {
                context.rules = context.rules.without(rule);
            }
            if let Some(place) = self.on.get_mut(place) {
                *place = on;
            }
        }
        if out.wants(Kind::FlagEvaluated) || out.wants(Kind::FlagRolloutDecision) {
            self.announce(context, out);
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, Rule};

    fn rules() -> RuleSet {
        let mut rules = RuleSet::classic().rules().to_vec();
        rules.push(Rule::new("WuzzRule", 7, "Wuzz", 3));
        RuleSet::new(rules).unwrap()
    }

    fn flags() -> FlagsMiddleware {
        FlagsMiddleware::new(&FlagsConfig { enabled: true, ..FlagsConfig::default() }, &rules()).unwrap()
    }

    fn output(flags: &mut FlagsMiddleware, number: i64) -> String {
        let mut context = Context::new(0, number, rules().all(), Timestamp::EPOCH);
        assert_eq!(flags.enter(&mut context, &mut Outbox::new(EventMask::ALL, 100)), Flow::Continue);
        let matched = rules().matches(number, context.rules);
        if matched.is_empty() { number.to_string() } else { rules().label(matched).to_string() }
    }

    #[test]
    fn the_experiment_shows_for_the_numbers_that_are_in_it() {
        let mut flags = flags();
        assert_eq!(output(&mut flags, 14), "Wuzz");
        assert_eq!(output(&mut flags, 7), "7");
        let mut out = Outbox::new(EventMask::NONE, 0);
        let all = FlagsCommand::Roll { flag: "wuzz_rule_experimental".into(), percentage: 100.0 };
        flags.command(&all, "operator", Timestamp::EPOCH, &mut out).unwrap();
        assert_eq!(output(&mut flags, 105), "FizzBuzzWuzz");
    }

    #[test]
    fn a_rule_that_is_off_does_not_show() {
        let mut flags = flags();
        flags.override_with("fizz_rule_enabled=NO").unwrap();
        assert_eq!((output(&mut flags, 3), output(&mut flags, 15)), ("3".into(), "Buzz".into()));
        let view = flags.view();
        let fizz = view.flags.iter().find(|flag| flag.name == "fizz_rule_enabled").unwrap();
        assert_eq!((fizz.enabled, fizz.evaluations, fizz.on), (false, 2, 0));
    }

    #[test]
    fn a_flag_is_off_when_one_that_it_needs_is() {
        let mut config = FlagsConfig { enabled: true, ..FlagsConfig::default() };
        config.predefined_flags.get_mut("buzz_rule_enabled").unwrap().depends_on = vec!["fizz_rule_enabled".into()];
        let mut flags = FlagsMiddleware::new(&config, &rules()).unwrap();
        assert_eq!(output(&mut flags, 5), "Buzz");
        flags.override_with("fizz_rule_enabled=0").unwrap();
        assert_eq!(output(&mut flags, 5), "5");
    }

    #[test]
    fn circles_and_unknown_names_are_told() {
        let mut config = FlagsConfig::default();
        let mut depend = |flag: &str, on: &str| {
            config.predefined_flags.get_mut(flag).unwrap().depends_on = vec![on.into()];
        };
        depend("wuzz_rule_experimental", "wuzz_prime_targeting");
        let error = FlagsMiddleware::new(&config, &rules()).unwrap_err();
        let path = "wuzz_prime_targeting -> wuzz_rule_experimental -> wuzz_prime_targeting";
        assert_eq!(error, FlagsError::Cycle(path.into()));
        let error = flags().override_with("fizz_rule_enabld=on").unwrap_err();
        assert!(error.to_string().contains("did you mean `fizz_rule_enabled`?"), "{error}");
        assert!(flags().override_with("fizz_rule_enabled").is_err());
        assert!(flags().override_with("fizz_rule_enabled=perhaps").is_err());
    }
}
