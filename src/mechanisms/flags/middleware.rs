//! The middleware: takes the rules away whose flags are off for a number, and does what operators command.

use serde::{Deserialize, Serialize};

use crate::domain::{Kind, Payload, RuleMask, RuleSet, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

use super::config::FlagsConfig;
use super::error::FlagsError;
use super::flag::Lifecycle;
use super::flagd::{Definitions, Generation};
use super::set::{Attributes, FlagSet};
use super::view::{FileView, FlagsView};

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
    /// Take a flag on in its life.
    Lifecycle {
        /// Which.
        flag: String,
        /// Where to.
        to: Lifecycle,
    },
    /// Put other definitions in the place of those in force, all at once. What operators set, and what was counted, stays
    /// with flags whose definition is the same.
    Reload {
        /// Checked and compiled.
        definitions: Definitions,
    },
    /// The file changed, but cannot be used; the definitions in force stay.
    ReloadFailed {
        /// Its name.
        file: String,
        /// What is wrong with it, with the place.
        problem: String,
    },
}

/// The middleware, at priority -3.
#[derive(Debug)]
pub struct FlagsMiddleware {
    enabled: bool,
    set: FlagSet,
    rules: RuleSet,
    /// Rules that are off unless a flag turns them on.
    experiments: RuleMask,
    /// Those of them that no flag switches.
    without_flag: RuleMask,
    attributes: Attributes,
    loaded: Option<Timestamp>,
    refused: Option<(String, Timestamp)>,
    changes: u64,
}

impl FlagsMiddleware {
    /// As configured, over `rules`, with the configuration's own flags; a file's are given to
    /// [`FlagsMiddleware::load`]. A flag whose rule is not among `rules` decides nothing.
    ///
    /// # Errors
    /// [`FlagsError`] for a definition that is impossible.
    pub fn new(config: &FlagsConfig, rules: &RuleSet) -> Result<Self, FlagsError> {
        Ok(Self {
            enabled: config.enabled,
            set: FlagSet::of(&config.predefined_flags, rules)?,
            rules: rules.clone(),
            experiments: RuleMask::NONE,
            without_flag: RuleMask::NONE,
            attributes: Attributes::new(),
            loaded: None,
            refused: None,
            changes: 0,
        })
    }

    /// Puts a file's flags in the place of the configuration's, before the first number.
    ///
    /// # Errors
    /// [`FlagsError`] as for [`FlagSet::load`].
    pub fn load(&mut self, definitions: &Definitions) -> Result<(), FlagsError> {
        self.set = FlagSet::load(definitions, &self.rules)?;
        self.govern();
        Ok(())
    }

    /// From now on these rules are off where no flag switches them.
    pub fn experiment(&mut self, rules: RuleMask) {
        self.experiments = rules;
        self.govern();
    }

    fn govern(&mut self) {
        self.without_flag = RuleMask(self.experiments.0 & !self.set.governed().0);
    }

    /// What targeting may know of every number: `locale`, `strategy`.
    pub fn attribute(&mut self, name: &str, value: &str) {
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.attributes.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The flags.
    pub const fn set(&self) -> &FlagSet {
        &self.set
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
        self.set.find(name.trim())?.enabled = enabled;
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
        let generation = self.set.definitions().map_or_else(Generation::default, Definitions::generation);
        let name = match command {
            FlagsCommand::Set { flag, .. }
            | FlagsCommand::Toggle { flag }
            | FlagsCommand::Roll { flag, .. }
            | FlagsCommand::Lifecycle { flag, .. } => flag,
            FlagsCommand::Reload { definitions } => return self.reload(definitions, by, now, out),
            FlagsCommand::ReloadFailed { file, problem } => {
                self.refused = Some((problem.clone(), now));
                return Err(FlagsError::Refused { file: file.clone(), problem: problem.clone() });
            }
        };
        let flag = self.set.find(name)?;
        match command {
            FlagsCommand::Set { enabled, .. } => flag.enabled = *enabled,
            FlagsCommand::Roll { percentage, .. } => flag.roll(*percentage)?,
            FlagsCommand::Lifecycle { to, .. } => flag.become_(*to)?,
            _ => flag.enabled = !flag.enabled,
        }
        flag.changed = Some((by.to_owned(), now));
        let enabled = flag.enabled;
        let (state, text) = (if enabled { "on" } else { "off" }, flag.rollout(generation));
        let life = match flag.lifecycle() {
            Lifecycle::Active => String::new(),
            other => format!(", {}", other.name()),
        };
        self.changes += 1;
        out.emit(Kind::FlagStateChanged, || Payload::FlagStateChanged {
            flag: name.clone(),
            enabled,
            by: by.to_owned(),
        });
        Ok(format!("flag {name} is {state} ({text}{life})"))
    }

    fn reload(
        &mut self,
        definitions: &Definitions,
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<String, FlagsError> {
        let mut set = FlagSet::load(definitions, &self.rules)?;
        let difference = set.continues(&mut self.set);
        self.set = set;
        self.govern();
        self.loaded = Some(now);
        self.refused = None;
        for name in difference.added.iter().chain(&difference.changed) {
            let flag = self.set.find(name)?;
            flag.changed = Some((by.to_owned(), now));
            let enabled = flag.enabled;
            out.emit(Kind::FlagStateChanged, || Payload::FlagStateChanged {
                flag: name.clone(),
                enabled,
                by: by.to_owned(),
            });
        }
        for name in &difference.removed {
            out.emit(Kind::FlagStateChanged, || Payload::FlagStateChanged {
                flag: name.clone(),
                enabled: false,
                by: by.to_owned(),
            });
        }
        let altered = difference.added.len() + difference.changed.len() + difference.removed.len();
        self.changes += altered as u64;
        let part = |word: &str, names: &[String]| match names {
            [] => String::new(),
            [one] => format!("{word} {one}, "),
            many => format!("{word} {} flags, ", many.len()),
        };
        Ok(format!(
            "{} is in force: {}{}{}{} as before",
            definitions.file(),
            part("added", &difference.added),
            part("changed", &difference.changed),
            part("removed", &difference.removed),
            difference.kept,
        ))
    }

    /// As it is shown.
    pub fn view(&self) -> FlagsView {
        let file = self.set.definitions().map(|definitions| FileView {
            file: definitions.file().to_owned(),
            generation: definitions.generation(),
            loaded: self.loaded,
            refused: self.refused.clone(),
        });
        FlagsView { enabled: self.enabled, file, flags: self.set.views(), changes: self.changes }
    }

    fn announce(&self, context: &Context, out: &mut Outbox) {
        let number = context.number;
        let evaluated = || self.set.each().filter(|(flag, _)| flag.decides);
        if out.wants(Kind::FlagRolloutDecision) {
            for (flag, _) in evaluated() {
                let Some((bucket, bound)) = flag.bucket(number) else { continue };
                out.emit(Kind::FlagRolloutDecision, || Payload::FlagRolloutDecision {
                    flag: flag.name.clone(),
                    number,
                    bucket: f64::from(bucket) / f64::from(u32::MAX) * 100.0,
                    included: u64::from(bucket) < bound,
                });
            }
        }
        let labels = |mask: RuleMask| self.rules.named(mask).map(|rule| rule.label.clone()).collect();
        out.emit(Kind::FlagEvaluated, || Payload::FlagEvaluated {
            number,
            on: evaluated().filter(|(_, on)| *on).map(|(flag, _)| flag.name.clone()).collect(),
            active_labels: labels(context.rules),
            disabled_labels: labels(RuleMask(self.rules.all().0 & !context.rules.0)),
        });
    }
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
        let off = self.set.evaluate(context.number, context.now, &self.attributes, false);
        context.rules = RuleMask(context.rules.0 & !(off.0 | self.without_flag.0));
        if out.wants(Kind::FlagEvaluated) || out.wants(Kind::FlagRolloutDecision) {
            self.announce(context, out);
        }
        Flow::Continue
    }
}
