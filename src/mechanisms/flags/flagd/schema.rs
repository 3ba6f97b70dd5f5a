//! Reads a document as definitions and finds everything in it that flagd's schema, its evaluators or this project would
//! not take. Knows nothing of text or places in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datalogic_rs::Engine;
use serde_json::{Map, Value};

use crate::domain::text::nearest;

use super::super::config::FlagConfig;
use super::super::error::FlagsError;
use super::super::flag::Lifecycle;
use super::super::order::{Needs, order};
use super::definitions::{Definition, Targeting};
use super::problem::{Constraint, Finding, Path, Severity, Step};
use super::rules::{Check, Unresolved, resolve, results};

/// The greatest whole number that a double holds without doubt, and so the greatest value of a variant (flagd's limit).
const SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// What happens to a flag whose targeting cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is an error of the file.
    Strict,
    /// It is kept, and every evaluation of it is an error.
    Lenient,
}

/// What a document holds.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub flags: BTreeMap<String, Arc<Definition>>,
    pub native: BTreeMap<String, FlagConfig>,
    pub evaluators: Map<String, Value>,
}

/// Reads `document`, with what is wrong in it; what is wrong is not in the result.
pub(super) fn read(document: &Value, engine: &Engine, mode: Mode) -> (Read, Vec<Finding>) {
    let root = Path::default();
    let mut findings = Vec::new();
    let Value::Object(top) = document else {
        findings.push(Finding::error(Constraint::Shape, root, "a file of definitions is an object with `flags`"));
        return (Read::default(), findings);
    };
    known(top, &["flags", "native", "$evaluators", "metadata", "$schema"], &root, mode, &mut findings);
    if !top.contains_key("flags") && !top.contains_key("native") {
        let message = "there are neither `flags` (as flagd defines them) nor `native` ones";
        findings.push(Finding::error(Constraint::RequiredKey, root.clone(), message));
    }
    let empty = Map::new();
    let mut object = |name: &str| match top.get(name) {
        Some(Value::Object(entries)) => entries,
        None => &empty,
        Some(other) => {
            let array = name == "flags" && other.is_array();
            let only = if array { "; the form of a list is for flagd's daemon alone" } else { "" };
            let message = format!("`{name}` is an object by name{only}");
            findings.push(Finding::error(Constraint::Shape, root.key(name), message));
            &empty
        }
    };
    let (flags, native, evaluators, metadata) =
        (object("flags"), object("native"), object("$evaluators"), object("metadata"));
    let mut reader = Reader { evaluators, metadata, engine, mode, findings: &mut findings };
    reader.flat(metadata, &root.key("metadata"));
    reader.shared(&root.key("$evaluators"));
    let flags = reader.flags(flags, &root.key("flags"));
    let native = reader.native(native, &root.key("native"));
    reader.dependencies(&flags, &native);
    (Read { flags, native, evaluators: evaluators.clone() }, findings)
}

/// Finds keys that nothing reads. flagd's schema allows them in places, but one that is there is a slip more often than
/// not.
fn known(entries: &Map<String, Value>, keys: &[&str], path: &Path, mode: Mode, findings: &mut Vec<Finding>) {
    if mode == Mode::Lenient {
        return;
    }
    for key in entries.keys().filter(|key| !keys.contains(&key.as_str())) {
        let hint = nearest(key, keys.iter().copied())
            .map_or_else(|| format!("; there are {}", keys.join(", ")), |near| format!("; did you mean `{near}`?"));
        findings.push(Finding::error(Constraint::KnownKey, path.key(key), format!("nothing reads this key{hint}")));
    }
}

type Flags = BTreeMap<String, Arc<Definition>>;
type Native = BTreeMap<String, FlagConfig>;

struct Reader<'a> {
    evaluators: &'a Map<String, Value>,
    metadata: &'a Map<String, Value>,
    engine: &'a Engine,
    mode: Mode,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn error(&mut self, rule: Constraint, path: &Path, message: impl Into<String>) {
        self.findings.push(Finding::error(rule, path.clone(), message));
    }

    fn flat(&mut self, metadata: &Map<String, Value>, path: &Path) {
        for (key, value) in metadata {
            if !matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
                self.error(Constraint::Metadata, &path.key(key), "metadata are texts, numbers and truth values");
            }
        }
    }

    fn shared(&mut self, path: &Path) {
        if self.mode == Mode::Lenient {
            return;
        }
        // A circle is told once, at the first of its rules.
        let mut circles: Vec<String> = Vec::new();
        for (name, rule) in self.evaluators {
            let path = path.key(name);
            Check { evaluators: self.evaluators, findings: self.findings }.rule(rule, &path);
            match resolve(rule, self.evaluators) {
                Err(Unresolved::Circle(circle)) if circle.iter().any(|name| circles.contains(name)) => {}
                Err(error) => {
                    self.error(Constraint::ReferenceCycle, &path, error.to_string());
                    if let Unresolved::Circle(circle) = error {
                        circles.extend(circle);
                    }
                }
                Ok(_) => {}
            }
        }
    }

    fn flags(&mut self, flags: &Map<String, Value>, path: &Path) -> Flags {
        let mut read = Flags::new();
        for (name, flag) in flags {
            let path = path.key(name);
            if name.is_empty() {
                self.error(Constraint::Shape, &path, "a flag needs a name");
            }
            match flag {
                Value::Object(flag) => {
                    if let Some(flag) = self.flag(flag, &path) {
                        read.insert(name.clone(), Arc::new(flag));
                    }
                }
                _ => self.error(Constraint::Shape, &path, "a flag is an object with `state` and `variants`"),
            }
        }
        read
    }

    fn flag(&mut self, flag: &Map<String, Value>, path: &Path) -> Option<Definition> {
        let keys = ["state", "variants", "defaultVariant", "targeting", "metadata"];
        known(flag, &keys, path, self.mode, self.findings);
        let enabled = match flag.get("state") {
            Some(Value::String(state)) if state == "ENABLED" => Some(true),
            Some(Value::String(state)) if state == "DISABLED" => Some(false),
            Some(_) => {
                self.error(Constraint::Shape, &path.key("state"), "the state is ENABLED or DISABLED");
                None
            }
            None => {
                self.error(Constraint::RequiredKey, path, "`state` is missing: ENABLED or DISABLED");
                None
            }
        };
        let variants = self.variants(flag.get("variants"), path)?;
        let variant = |name: &str| variants.iter().position(|(variant, _)| variant == name);
        let default = match flag.get("defaultVariant") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => {
                let default = variant(name);
                if default.is_none() {
                    let hint = nearest(name, variants.iter().map(|(variant, _)| variant.as_str()))
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    let message = format!("there is no variant `{name}`{hint}");
                    self.error(Constraint::DefaultVariant, &path.key("defaultVariant"), message);
                }
                default
            }
            Some(_) => {
                let message = "the default variant is the name of a variant, or null";
                self.error(Constraint::DefaultVariant, &path.key("defaultVariant"), message);
                None
            }
        };
        let rule = flag.get("targeting").filter(|rule| !rule.is_null() && !rule.as_object().is_some_and(Map::is_empty));
        let targeting = rule.and_then(|rule| self.targeting(rule, &variants, &path.key("targeting")));
        let mut definition = Definition {
            enabled: enabled?,
            variants,
            default,
            rule: rule.cloned(),
            targeting,
            metadata: BTreeMap::new(),
            description: String::new(),
            label: None,
            depends_on: Vec::new(),
            lifecycle: Lifecycle::Active,
        };
        self.metadata(flag.get("metadata"), &mut definition, &path.key("metadata"));
        Some(definition)
    }

    fn variants(&mut self, variants: Option<&Value>, path: &Path) -> Option<Vec<(String, Value)>> {
        let Some(variants) = variants else {
            self.error(
                Constraint::RequiredKey,
                path,
                "`variants` is missing: values by name, e.g. {\"on\": true, \"off\": false}",
            );
            return None;
        };
        let path = path.key("variants");
        let Some(variants) = variants.as_object().filter(|variants| !variants.is_empty()) else {
            self.error(
                Constraint::Shape,
                &path,
                "a flag has at least one variant, e.g. {\"on\": true, \"off\": false}",
            );
            return None;
        };
        let kind = |value: &Value| match value {
            Value::Bool(_) => Some("a truth value"),
            Value::Number(_) => Some("a number"),
            Value::String(_) => Some("a text"),
            Value::Object(_) => Some("an object"),
            Value::Null | Value::Array(_) => None,
        };
        let first = variants.values().next().and_then(kind);
        for (name, value) in variants {
            let path = path.key(name);
            match (kind(value), first) {
                (None, _) => {
                    self.error(Constraint::Shape, &path, "a variant is a truth value, a number, a text or an object")
                }
                (Some(_), _) if name.is_empty() => self.error(Constraint::Shape, &path, "a variant needs a name"),
                (Some(kind), Some(first)) if kind != first => {
                    let message = format!("all variants are of one type; the first is {first}, this is {kind}");
                    self.error(Constraint::VariantType, &path, message);
                }
                _ => {}
            }
            if value.as_f64().is_some_and(|number| number.fract() == 0.0 && number.abs() > SAFE_INTEGER) {
                self.error(
                    Constraint::Shape,
                    &path,
                    format!("{value} is beyond the whole numbers that every reader can hold"),
                );
            }
        }
        Some(variants.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The rule, if it can be evaluated; in lenient definitions also if it cannot.
    fn targeting(&mut self, rule: &Value, variants: &[(String, Value)], path: &Path) -> Option<Targeting> {
        let before = self.findings.len();
        if self.mode == Mode::Strict {
            Check { evaluators: self.evaluators, findings: self.findings }.rule(rule, path);
            results(rule, path, &mut |value, path| {
                let name = match value {
                    Value::String(name) => name.clone(),
                    Value::Bool(_) | Value::Number(_) => value.to_string(),
                    _ => return,
                };
                if !variants.iter().any(|(variant, _)| *variant == name) {
                    let hint = nearest(&name, variants.iter().map(|(variant, _)| variant.as_str()))
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    let message = format!("the rule can yield `{name}`, but there is no variant of this name{hint}");
                    self.findings.push(Finding::warning(Constraint::TargetingVariant, path, message));
                }
            });
        }
        let compiled = match resolve(rule, self.evaluators) {
            Ok(rule) => match missing(&rule) {
                Some(name) => Err((Constraint::Reference, format!("`$evaluators` has no rule `{name}`"))),
                None => self
                    .engine
                    .compile(&rule)
                    .map(|logic| Targeting::Rule { logic, fractional: mentions(&rule, "fractional") })
                    .map_err(|error| (Constraint::Operation, format!("the rule cannot be compiled: {error}"))),
            },
            // In strict definitions it was told where it is.
            Err(Unresolved::Circle(_)) if self.mode == Mode::Strict => return None,
            Err(error) => Err((Constraint::ReferenceCycle, error.to_string())),
        };
        match (compiled, self.mode) {
            (Ok(targeting), _) => Some(targeting),
            (Err((_, message)), Mode::Lenient) => Some(Targeting::Broken(message)),
            (Err((rule, message)), Mode::Strict) => {
                // What is wrong with it may have been told already, and in more detail.
                if self.findings.iter().skip(before).all(|found| found.severity == Severity::Warning) {
                    self.error(rule, path, message);
                }
                None
            }
        }
    }

    /// Reads a flag's metadata; some of them mean something here.
    fn metadata(&mut self, own: Option<&Value>, flag: &mut Definition, path: &Path) {
        const MEANT: [&str; 3] = ["fizzops.rule", "fizzops.depends_on", "fizzops.lifecycle"];
        let empty = Map::new();
        let own = match own {
            None => &empty,
            Some(Value::Object(own)) => own,
            Some(_) => return self.error(Constraint::Shape, path, "`metadata` is an object by name"),
        };
        self.flat(own, path);
        let all = self.metadata.iter().chain(own);
        flag.metadata = all.map(|(key, value)| (key.clone(), value.clone())).collect();
        for (key, value) in own {
            let path = path.key(key);
            match (key.as_str(), value) {
                ("description", Value::String(text)) => flag.description = text.clone(),
                ("fizzops.rule", Value::String(label)) => {
                    flag.label = Some(label.clone());
                    if !flag.is_boolean() {
                        self.error(
                            Constraint::Metadata,
                            &path,
                            "a flag that decides a rule has truth values for variants",
                        );
                    }
                }
                ("fizzops.depends_on", Value::String(names)) => {
                    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
                    flag.depends_on = names.map(str::to_owned).collect();
                }
                ("fizzops.lifecycle", Value::String(name)) => {
                    match Lifecycle::ALL.into_iter().find(|state| state.name() == name) {
                        Some(lifecycle) => flag.lifecycle = lifecycle,
                        None => {
                            let all = Lifecycle::ALL.map(Lifecycle::name).join(", ");
                            self.error(Constraint::Metadata, &path, format!("`{name}` is none of the states {all}"));
                        }
                    }
                }
                (key, _) if MEANT.contains(&key) => self.error(Constraint::Metadata, &path, "this is a text"),
                (key, _) if key.starts_with("fizzops.") => {
                    let hint = nearest(key, MEANT).unwrap_or("fizzops.rule");
                    let message = format!("nothing has this name; did you mean `{hint}`?");
                    self.error(Constraint::Metadata, &path, message);
                }
                _ => {}
            }
        }
    }

    fn native(&mut self, flags: &Map<String, Value>, path: &Path) -> Native {
        let mut read = Native::new();
        for (name, flag) in flags {
            let path = path.key(name);
            if name.is_empty() {
                self.error(Constraint::Shape, &path, "a flag needs a name");
            }
            match serde_path_to_error::deserialize::<_, FlagConfig>(flag) {
                Ok(flag) => {
                    if let Err(error) = flag.check(name) {
                        let key = match &error {
                            FlagsError::Percentage { .. } => path.key("rollout").key("percentage"),
                            _ => path.key("rollout").key("rule"),
                        };
                        self.error(Constraint::Rollout, &key, error.to_string());
                    }
                    read.insert(name.clone(), flag);
                }
                Err(error) => {
                    let path = error.path().iter().fold(path, |path, segment| match segment {
                        serde_path_to_error::Segment::Map { key } => path.key(key),
                        serde_path_to_error::Segment::Seq { index } => path.then(Step::Index(*index)),
                        _ => path,
                    });
                    let message = error.into_inner().to_string();
                    let (rule, key) = match message.split('`').nth(1) {
                        Some(key) if message.starts_with("unknown field") => (Constraint::KnownKey, Some(key)),
                        _ if message.starts_with("missing field") => (Constraint::RequiredKey, None),
                        _ => (Constraint::Shape, None),
                    };
                    // Whether the path ends with the unknown key depends on where it is.
                    let ends = matches!((path.0.last(), key), (Some(Step::Key(last)), Some(key)) if last == key);
                    let path = key.filter(|_| !ends).map_or_else(|| path.clone(), |key| path.key(key));
                    self.error(rule, &path, message);
                }
            }
        }
        read
    }

    /// Names that are given twice, dependencies that cannot be, and circles of them.
    fn dependencies(&mut self, flags: &Flags, native: &Native) {
        for name in native.keys().filter(|name| flags.contains_key(*name)) {
            let message = format!("there is a flag `{name}` under `flags`, too");
            self.error(Constraint::Syntax, &Path::of(&["native", name]), message);
        }
        let of_flags = flags.iter().map(|(name, flag)| (name.as_str(), flag.depends_on.as_slice()));
        let of_native = native.iter().map(|(name, flag)| (name.as_str(), flag.depends_on.as_slice()));
        let needs: Needs<'_> = of_flags.chain(of_native).collect();
        let path = |name: &str| match native.contains_key(name) {
            true => Path::of(&["native", name, "depends_on"]),
            false => Path::of(&["flags", name, "metadata", "fizzops.depends_on"]),
        };
        for (name, list) in &needs {
            for need in *list {
                if flags.get(need).is_some_and(|flag| !flag.is_boolean()) {
                    let message = format!("`{need}` cannot be depended on: its variants are no truth values");
                    self.error(Constraint::Dependency, &path(name), message);
                } else if !needs.contains_key(need.as_str()) {
                    let hint = nearest(need, needs.keys().copied())
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    self.error(Constraint::Dependency, &path(name), format!("there is no flag `{need}`{hint}"));
                }
            }
        }
        if let Err(circle) = order(&needs)
            && let Some(first) = circle.first()
        {
            let message = format!("flags depend on each other in a circle: {}", circle.join(" -> "));
            self.error(Constraint::DependencyCycle, &path(first), message);
        }
    }
}

/// The name of a reference that is left in a resolved rule.
fn missing(rule: &Value) -> Option<String> {
    match rule {
        Value::Array(items) => items.iter().find_map(missing),
        Value::Object(entries) => match entries.get("$ref") {
            Some(name) => Some(name.as_str().map_or_else(|| name.to_string(), str::to_owned)),
            None => entries.values().find_map(missing),
        },
        _ => None,
    }
}

/// Whether an operation of this name is in the rule.
fn mentions(rule: &Value, operation: &str) -> bool {
    match rule {
        Value::Array(items) => items.iter().any(|item| mentions(item, operation)),
        Value::Object(entries) => {
            entries.contains_key(operation) || entries.values().any(|value| mentions(value, operation))
        }
        _ => false,
    }
}
