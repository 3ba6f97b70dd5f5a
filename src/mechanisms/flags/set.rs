//! Flags together: in the order of their dependencies, evaluated for one number after another without an allocation
//! (but for what targeting needs), or for any context with the story of how it came about.

use std::collections::BTreeMap;
use std::sync::Arc;

use datalogic_rs::DataValue;
use datalogic_rs::bumpalo::Bump;
use serde_json::{Map, Value, json};

use crate::domain::text::nearest;
use crate::domain::{RuleMask, RuleSet, Timestamp};

use super::config::FlagConfig;
use super::entry::{Decider, Flag, Source};
use super::error::FlagsError;
use super::flag::Decimal;
use super::flagd::{Definitions, Explanation, FailureKind, Generation, Node, Resolution};
use super::order::{Needs, order};
use super::reason::Reason;
use super::view::FlagView;

/// How a set differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Flags that were not there before.
    pub added: Vec<String>,
    /// Flags that were there, but otherwise.
    pub changed: Vec<String>,
    /// Flags that are no more.
    pub removed: Vec<String>,
    /// How many are as they were.
    pub kept: usize,
}

/// Flags that were checked and put in order.
///
/// ```
/// use fizzops::domain::{RuleSet, Timestamp};
/// use fizzops::mechanisms::flags::{FlagSet, FlagsConfig, Reason};
///
/// let flags = FlagSet::of(&FlagsConfig::default().predefined_flags, &RuleSet::classic()).unwrap();
/// let context = serde_json::json!({"number": 14});
/// let answer = flags.resolve("wuzz_rule_experimental", context.as_object().unwrap(), Timestamp::EPOCH);
/// assert_eq!((answer.variant.as_deref(), answer.reason), (Some("on"), Reason::Split));
/// ```
#[derive(Debug)]
pub struct FlagSet {
    /// Each after those it depends on; otherwise by name.
    flags: Vec<Flag>,
    /// Whether each is on for the number at hand; kept to save an allocation per evaluation.
    on: Vec<bool>,
    definitions: Option<Definitions>,
    /// Where targeting keeps what it needs while it is evaluated.
    arena: Bump,
}

/// What targeting may know beside the number.
pub(super) type Attributes = Vec<(String, String)>;

impl FlagSet {
    /// The flags of a configuration, over `rules`. A flag whose rule is not among them decides nothing.
    ///
    /// # Errors
    /// [`FlagsError`] for a flag that is impossible, a dependency that is not there, or a circle of them.
    pub fn of(flags: &BTreeMap<String, FlagConfig>, rules: &RuleSet) -> Result<Self, FlagsError> {
        for (name, flag) in flags {
            flag.check(name)?;
            if let Some(unknown) = flag.depends_on.iter().find(|need| !flags.contains_key(*need)) {
                let hint = format!(", which `{name}` depends on");
                return Err(FlagsError::NotFound { name: unknown.clone(), hint });
            }
        }
        let sources = flags.iter().map(|(name, flag)| (name.as_str(), Source::Native(flag.clone())));
        Self::build(sources.collect(), None, rules)
    }

    /// The flags of a file, over `rules`.
    ///
    /// # Errors
    /// None that [`Definitions::parse`] did not find, as both know the same rules.
    pub fn load(definitions: &Definitions, rules: &RuleSet) -> Result<Self, FlagsError> {
        let native = definitions.native().iter();
        let native = native.map(|(name, flag)| (name.as_str(), Source::Native(flag.clone())));
        let flags = definitions.flags().iter();
        let flags = flags.map(|(name, flag)| (name.as_str(), Source::Flagd(Arc::clone(flag))));
        Self::build(native.chain(flags).collect(), Some(definitions.clone()), rules)
    }

    fn build(
        mut sources: BTreeMap<&str, Source>,
        definitions: Option<Definitions>,
        rules: &RuleSet,
    ) -> Result<Self, FlagsError> {
        let lists: BTreeMap<&str, Vec<String>> = sources
            .iter()
            .map(|(name, source)| match source {
                Source::Native(flag) => (*name, flag.depends_on.clone()),
                Source::Flagd(flag) => (*name, flag.depends_on.clone()),
            })
            .collect();
        let needs: Needs<'_> = lists.iter().map(|(name, list)| (*name, list.as_slice())).collect();
        let order = order(&needs).map_err(|circle| FlagsError::Cycle(circle.join(" -> ")))?;
        let order: Vec<String> = order.into_iter().map(str::to_owned).collect();
        let names: BTreeMap<&str, usize> = order.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let mut flags: Vec<Flag> = Vec::with_capacity(order.len());
        for name in &order {
            let Some(source) = sources.remove(name.as_str()) else { continue };
            flags.push(Flag::new(name, source, &names, rules));
        }
        for place in (0..flags.len()).rev() {
            let Some(flag) = flags.get(place).filter(|flag| flag.decides) else { continue };
            for need in flag.needs.clone() {
                if let Some(needed) = flags.get_mut(need) {
                    needed.decides = true;
                }
            }
        }
        Ok(Self { on: vec![false; flags.len()], flags, definitions, arena: Bump::new() })
    }

    /// The flags go on as those of `old` did where their definitions are the same.
    pub(super) fn continues(&mut self, old: &mut Self) -> Difference {
        let mut difference = Difference::default();
        for flag in &mut self.flags {
            match old.flags.iter_mut().find(|one| one.name == flag.name) {
                Some(one) if one.source == flag.source => {
                    flag.continues(one);
                    difference.kept += 1;
                }
                Some(_) => difference.changed.push(flag.name.clone()),
                None => difference.added.push(flag.name.clone()),
            }
        }
        let gone = old.flags.iter().filter(|one| !self.flags.iter().any(|flag| flag.name == one.name));
        difference.removed = gone.map(|flag| flag.name.clone()).collect();
        difference
    }

    /// The names of all flags, each after those it depends on.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.flags.iter().map(|flag| flag.name.as_str())
    }

    /// Where the flags come from, when that is a file.
    pub const fn definitions(&self) -> Option<&Definitions> {
        self.definitions.as_ref()
    }

    fn generation(&self) -> Generation {
        self.definitions.as_ref().map_or_else(Generation::default, Definitions::generation)
    }

    /// The rules that some flag switches.
    pub(super) fn governed(&self) -> RuleMask {
        RuleMask(self.flags.iter().fold(0, |mask, flag| mask | flag.mask))
    }

    /// The flags with whether each was on for the last number.
    pub(super) fn each(&self) -> impl Iterator<Item = (&Flag, bool)> {
        self.flags.iter().zip(self.on.iter().copied())
    }

    pub(super) fn find(&mut self, name: &str) -> Result<&mut Flag, FlagsError> {
        let at = self.place(name)?;
        // The place was just found.
        self.flags.get_mut(at).ok_or_else(|| FlagsError::Override(name.to_owned()))
    }

    fn place(&self, name: &str) -> Result<usize, FlagsError> {
        self.flags.iter().position(|flag| flag.name == name).ok_or_else(|| {
            let hint = nearest(name, self.names()).map_or_else(
                || "; `fizzops flags list` shows all".to_owned(),
                |near| format!("; did you mean `{near}`? `fizzops flags list` shows all"),
            );
            FlagsError::NotFound { name: name.to_owned(), hint }
        })
    }

    /// The flags, as they are shown.
    pub fn views(&self) -> Vec<FlagView> {
        let mut views: Vec<_> = self.flags.iter().map(|flag| flag.view(self.generation())).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    /// Evaluates every flag for `number`; [`FlagSet::is_on`] tells what became of each.
    pub fn evaluate_all(&mut self, number: i64, now: Timestamp) {
        self.evaluate(number, now, &[], true);
    }

    /// Whether the flag of this name was on for the last number it was evaluated for.
    pub fn is_on(&self, name: &str) -> Option<bool> {
        self.each().find(|(flag, _)| flag.name == name).map(|(_, on)| on)
    }

    /// Evaluates flags for `number`, those that decide a rule or all of them, and tells which rules they turn off.
    pub(super) fn evaluate(
        &mut self,
        number: i64,
        now: Timestamp,
        attributes: &[(String, String)],
        all: bool,
    ) -> RuleMask {
        let Self { flags, on, definitions, arena } = self;
        let mut off = RuleMask::NONE;
        // Made when the first flag needs it.
        let mut text: Option<Decimal> = None;
        for place in 0..flags.len() {
            let Some(flag) = flags.get_mut(place).filter(|flag| all || flag.decides) else { continue };
            let (is_on, variant, reason) = match flag.held_back(on) {
                Some(reason) => (false, None, reason),
                None => match &mut flag.decider {
                    Decider::Boolean => (true, None, Reason::Static),
                    Decider::Percentage { bound, buckets, memo, .. } => {
                        let is_in = match *bound {
                            0 => false,
                            all if all > u64::from(u32::MAX) => true,
                            bound => {
                                let bucket =
                                    memo.of(number, || buckets.of(text.get_or_insert_with(|| Decimal::new(number))));
                                u64::from(bucket) < bound
                            }
                        };
                        (is_in, None, Reason::Split)
                    }
                    Decider::Target(target) => picked(target.picks(number)),
                    Decider::Prime(sieve) => picked(sieve.is_prime(number)),
                    Decider::Flagd(definition) => {
                        let Some(definitions) = &*definitions else { continue };
                        let text = &*text.get_or_insert_with(|| Decimal::new(number));
                        let context = || context(arena, &flag.name, number, text, now, attributes);
                        let decision = definition.decide(definitions.engine(), arena, context);
                        if let Some(failure) = decision.failure
                            && flag.tally.error.as_ref() != Some(&failure.message)
                        {
                            flag.tally.error = Some(failure.message);
                        }
                        let is_on = definition.is_on(decision.variant);
                        if definition.targeting.is_some() {
                            arena.reset();
                        }
                        (is_on, decision.variant, decision.reason)
                    }
                },
            };
            flag.tally.reasons.count(reason);
            flag.tally.on += u64::from(is_on);
            if let Some(count) = variant.and_then(|at| flag.tally.variants.get_mut(at)) {
                *count += 1;
            }
            // Without a branch, as nobody can tell beforehand which numbers are in a rollout.
            off.0 |= flag.mask * u64::from(!is_on);
            if let Some(place) = on.get_mut(place) {
                *place = is_on;
            }
        }
        off
    }

    /// What the flag of this name is for any context: its dependencies too are evaluated for it. A flag of the reference's
    /// kinds needs a `number`, or a `targetingKey` that is one.
    pub fn resolve(&self, name: &str, context: &Map<String, Value>, now: Timestamp) -> Resolution {
        match self.place(name) {
            Err(error) => Resolution::failed(FailureKind::FlagNotFound, error.to_string(), BTreeMap::new()),
            Ok(at) => self.resolve_at(at, context, now),
        }
    }

    fn resolve_at(&self, at: usize, context: &Map<String, Value>, now: Timestamp) -> Resolution {
        let Some(flag) = self.flags.get(at) else {
            return Resolution::failed(FailureKind::FlagNotFound, "there is no such flag".into(), BTreeMap::new());
        };
        let metadata = match &flag.source {
            Source::Flagd(definition) => definition.metadata.clone(),
            Source::Native(_) => BTreeMap::new(),
        };
        let is_on = |need: &usize| self.resolve_at(*need, context, now).value == Some(Value::Bool(true));
        let held_back = flag.held_back_by(|| flag.needs.iter().all(is_on));
        let known = |is_on: bool, reason| Resolution {
            value: Some(Value::Bool(is_on)),
            variant: Some(if is_on { "on" } else { "off" }.into()),
            reason,
            error: None,
            metadata: metadata.clone(),
        };
        let number = || {
            let key = context.get("targetingKey").and_then(Value::as_str).and_then(|key| key.parse().ok());
            context.get("number").and_then(Value::as_i64).or(key)
        };
        match (held_back, &flag.decider, number()) {
            (Some(reason), Decider::Flagd(_), _) => Resolution { value: None, variant: None, ..known(false, reason) },
            (Some(reason), _, _) => known(false, reason),
            (None, Decider::Flagd(_), _) => match &self.definitions {
                Some(definitions) => definitions.resolve(&flag.name, context, now),
                // Only definitions have flagd's flags.
                None => known(false, Reason::Error),
            },
            (None, Decider::Boolean, _) => known(true, Reason::Static),
            (None, Decider::Percentage { bound, buckets, .. }, Some(number)) => {
                known(u64::from(buckets.of(&Decimal::new(number))) < *bound, Reason::Split)
            }
            (None, Decider::Target(target), Some(number)) => {
                let (is_on, _, reason) = picked(target.picks(number));
                known(is_on, reason)
            }
            (None, Decider::Prime(sieve), Some(number)) => {
                let (is_on, _, reason) = picked(sieve.is_prime(number));
                known(is_on, reason)
            }
            (None, _, None) => {
                let message = format!("flag `{}` needs a `number` in the context", flag.name);
                Resolution::failed(FailureKind::General, message, metadata)
            }
        }
    }

    /// As [`FlagSet::resolve`], with every step of it.
    ///
    /// # Errors
    /// [`FlagsError::NotFound`].
    pub fn explain(&self, name: &str, context: &Map<String, Value>, now: Timestamp) -> Result<Explanation, FlagsError> {
        let at = self.place(name)?;
        let resolution = self.resolve_at(at, context, now);
        let mut nodes = Vec::new();
        let mut told = |path: &str, rule: String, value: Value, note: Option<String>| {
            nodes.push(Node { depth: 0, path: path.to_owned(), rule, value: Some(value), note });
        };
        let Some(flag) = self.flags.get(at) else { return Err(FlagsError::Override(name.to_owned())) };
        told("enabled", "is it enabled?".into(), flag.enabled.into(), None);
        let lifecycle = flag.lifecycle;
        told(
            "lifecycle",
            "may it be on?".into(),
            lifecycle.is_live().into(),
            Some(format!("it is {}", lifecycle.name())),
        );
        for (need, at) in flag.depends_on().iter().zip(&flag.needs) {
            let resolution = self.resolve_at(*at, context, now);
            let value = (resolution.value == Some(Value::Bool(true))).into();
            told("depends_on", format!("is {need} on?"), value, Some(resolution.reason.to_string()));
        }
        let decided = resolution.value.clone().unwrap_or(Value::Null);
        let bucket = context.get("number").and_then(Value::as_i64).and_then(|number| flag.bucket(number));
        match &flag.decider {
            Decider::Flagd(_) => {}
            Decider::Percentage { percentage, .. } => {
                let note = bucket.map(|(bucket, _)| {
                    let share = f64::from(bucket) / f64::from(u32::MAX) * 100.0;
                    format!("bucket {share:.4} of 100, in below {percentage}")
                });
                told("rollout", flag.rollout(self.generation()), decided, note);
            }
            _ => told("rollout", flag.rollout(self.generation()), decided, None),
        }
        if let (Decider::Flagd(_), Some(definitions)) = (&flag.decider, &self.definitions) {
            nodes.extend(definitions.explain(name, context, now).nodes);
        }
        Ok(Explanation { flag: name.to_owned(), generation: self.generation(), resolution, nodes })
    }
}

/// What a targeting rule of the reference's kinds decides.
const fn picked(is_in: bool) -> (bool, Option<usize>, Reason) {
    (is_in, None, if is_in { Reason::TargetingMatch } else { Reason::Default })
}

/// What targeting sees of a number.
fn context<'a>(
    arena: &'a Bump,
    flag: &'a str,
    number: i64,
    text: &'a Decimal,
    now: Timestamp,
    attributes: &'a [(String, String)],
) -> DataValue<'a> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let own: &[_] =
        arena.alloc_slice_copy(&[("flagKey", DataValue::String(flag)), ("timestamp", DataValue::from_i64(seconds))]);
    let entries: &[_] = arena.alloc_slice_fill_with(3 + attributes.len(), |at| match at {
        0 => ("number", DataValue::from_i64(number)),
        1 => ("targetingKey", DataValue::String(text.text())),
        2 => ("$flagd", DataValue::Object(own)),
        _ => match attributes.get(at - 3) {
            Some((name, value)) => (name.as_str(), DataValue::String(value)),
            None => ("", DataValue::Null),
        },
    });
    DataValue::Object(entries)
}

/// The same as a document, for a context that is asked for from outside.
pub fn context_of(number: i64, attributes: &[(String, String)]) -> Map<String, Value> {
    let attributes = attributes.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
    let own = [("number".to_owned(), json!(number)), ("targetingKey".to_owned(), json!(number.to_string()))];
    own.into_iter().chain(attributes).collect()
}
