//! One flag of a set: what decides it, what operators made of it, and what was counted. Knows its dependencies by place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{RuleMask, RuleSet, Timestamp};

use super::config::FlagConfig;
use super::error::FlagsError;
use super::flag::{self, Buckets, Decimal, Lifecycle, Memo, Rollout, Sieve, Target};
use super::flagd::Generation;
use super::flagd::definitions::Definition;
use super::reason::{Reason, Reasons};
use super::view::FlagView;

/// As it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Native(FlagConfig),
    Flagd(Arc<Definition>),
}

/// What decides beyond being enabled.
#[derive(Debug)]
pub(super) enum Decider {
    Boolean,
    Percentage { percentage: f64, bound: u64, buckets: Buckets, memo: Memo },
    Target(Target),
    Prime(Sieve),
    Flagd(Arc<Definition>),
}

/// One flag with what became of it.
#[derive(Debug)]
pub(super) struct Flag {
    pub name: String,
    pub enabled: bool,
    pub lifecycle: Lifecycle,
    pub source: Source,
    pub decider: Decider,
    /// Places of the flags that it depends on; all before its own.
    pub needs: Vec<usize>,
    /// The bit of its rule, if it has one.
    pub mask: u64,
    /// Whether a rule depends on it, itself or through others.
    pub decides: bool,
    pub tally: Tally,
    pub changed: Option<(String, Timestamp)>,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub on: u64,
    pub reasons: Reasons,
    pub variants: Vec<u64>,
    pub error: Option<String>,
}

impl Flag {
    pub fn new(name: &str, source: Source, names: &BTreeMap<&str, usize>, rules: &RuleSet) -> Self {
        let (enabled, lifecycle, decider, variants) = match &source {
            Source::Native(config) => {
                let decider = match &config.rollout {
                    Rollout::Boolean => Decider::Boolean,
                    Rollout::Percentage { percentage } => Decider::Percentage {
                        percentage: *percentage,
                        bound: flag::bound(*percentage),
                        buckets: Buckets::new(name),
                        memo: Memo::new(),
                    },
                    Rollout::Targeting { rule: Target::Prime } => Decider::Prime(Sieve::new()),
                    Rollout::Targeting { rule } => Decider::Target(rule.clone()),
                };
                (config.enabled, config.lifecycle, decider, 0)
            }
            Source::Flagd(definition) => {
                let decider = Decider::Flagd(Arc::clone(definition));
                (definition.enabled, definition.lifecycle, decider, definition.variants.len())
            }
        };
        let mut flag = Self {
            name: name.to_owned(),
            enabled,
            lifecycle,
            source,
            decider,
            needs: Vec::new(),
            mask: 0,
            decides: false,
            tally: Tally { variants: vec![0; variants], ..Tally::default() },
            changed: None,
        };
        flag.needs = flag.depends_on().iter().filter_map(|need| names.get(need.as_str()).copied()).collect();
        let rule = flag.label().and_then(|label| rules.rules().iter().position(|rule| rule.label == label));
        flag.mask = rule.map_or(0, |at| RuleMask::NONE.with(at).0);
        flag.decides = rule.is_some();
        flag
    }

    pub fn depends_on(&self) -> &[String] {
        match &self.source {
            Source::Native(config) => &config.depends_on,
            Source::Flagd(definition) => &definition.depends_on,
        }
    }

    fn label(&self) -> Option<&str> {
        match &self.source {
            Source::Native(config) => config.rule.as_deref(),
            Source::Flagd(definition) => definition.label.as_deref(),
        }
    }

    /// In words; see [`FlagView::rollout`].
    pub fn rollout(&self, generation: Generation) -> String {
        match &self.decider {
            Decider::Boolean => Rollout::Boolean.text(),
            Decider::Percentage { percentage, .. } => Rollout::Percentage { percentage: *percentage }.text(),
            Decider::Target(target) => target.text(),
            Decider::Prime(_) => Target::Prime.text(),
            Decider::Flagd(definition) if definition.is_split() => format!("fractional {generation}"),
            Decider::Flagd(definition) if definition.targeting.is_some() => "targeting".into(),
            Decider::Flagd(definition) => definition
                .default
                .and_then(|at| definition.variants.get(at))
                .map_or_else(|| "-".into(), |(name, _)| name.clone()),
        }
    }

    /// Rolls it out to another share.
    pub fn roll(&mut self, to: f64) -> Result<(), FlagsError> {
        if !(0.0..=100.0).contains(&to) {
            return Err(FlagsError::Percentage { flag: self.name.clone(), percentage: to });
        }
        let Decider::Percentage { percentage, bound, .. } = &mut self.decider else {
            return Err(FlagsError::NotPercentage(self.name.clone()));
        };
        *percentage = to;
        *bound = flag::bound(to);
        Ok(())
    }

    /// Takes it on in its life.
    pub fn become_(&mut self, to: Lifecycle) -> Result<(), FlagsError> {
        if !self.lifecycle.may_become(to) {
            return Err(FlagsError::Lifecycle { flag: self.name.clone(), from: self.lifecycle, to });
        }
        self.lifecycle = to;
        Ok(())
    }

    pub const fn lifecycle(&self) -> Lifecycle {
        self.lifecycle
    }

    /// A number's bucket and the first that is not in the rollout, of a flag that is rolled out by percentage.
    pub fn bucket(&self, number: i64) -> Option<(u32, u64)> {
        match &self.decider {
            Decider::Percentage { bound, buckets, .. } => Some((buckets.of(&Decimal::new(number)), *bound)),
            _ => None,
        }
    }

    /// The flag goes on as `old` did, whose definition is the same: what operators set and what was counted.
    pub fn continues(&mut self, old: &mut Self) {
        self.enabled = old.enabled;
        self.lifecycle = old.lifecycle;
        if let Decider::Percentage { percentage, .. } = &old.decider {
            // It was a percentage before.
            let _ = self.roll(*percentage);
        }
        self.tally = std::mem::take(&mut old.tally);
        self.changed = old.changed.take();
    }

    pub fn view(&self, generation: Generation) -> FlagView {
        let definition = match &self.source {
            Source::Flagd(definition) => Some(definition),
            Source::Native(_) => None,
        };
        let variants = definition.map(|definition| {
            let names = definition.variants.iter().map(|(name, _)| name.clone());
            names.zip(self.tally.variants.iter().copied()).collect()
        });
        let targeting =
            definition.and_then(|definition| definition.rule.as_ref()).map(|rule| shortened(&rule.to_string()));
        FlagView {
            name: self.name.clone(),
            rollout: self.rollout(generation),
            enabled: self.enabled,
            lifecycle: self.lifecycle,
            description: match &self.source {
                Source::Native(config) => config.description.clone(),
                Source::Flagd(definition) => definition.description.clone(),
            },
            depends_on: self.depends_on().to_vec(),
            rule: self.label().map(str::to_owned),
            evaluations: self.tally.reasons.total(),
            on: self.tally.on,
            reasons: self.tally.reasons.given(),
            variants: variants.unwrap_or_default(),
            targeting,
            error: self.tally.error.clone(),
            changed: self.changed.clone(),
        }
    }
}

/// A text of at most 400 characters.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 400;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Flag {
    /// Why it is off before anything is decided.
    pub fn held_back(&self, on: &[bool]) -> Option<Reason> {
        self.held_back_by(|| self.needs.iter().all(|need| on.get(*need).copied().unwrap_or(false)))
    }

    pub fn held_back_by(&self, met: impl FnOnce() -> bool) -> Option<Reason> {
        if !self.enabled {
            Some(Reason::Disabled)
        } else if !self.lifecycle.is_live() {
            Some(Reason::Inactive)
        } else if !met() {
            Some(Reason::DependencyNotMet)
        } else {
            None
        }
    }
}
