//! Configuration in layers: built-in values, one YAML file, environment variables, flags. It knows no setting by name;
//! what may be set is told by the type that is loaded.

mod diagnostic;

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

pub use diagnostic::{Diagnostic, parse};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file was named and cannot be read.
    #[error("the configuration file {path} cannot be read: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any configuration.
    #[error("the configuration file {path} is larger than 1 MiB", path = .0.display())]
    TooLarge(PathBuf),
    /// A file is not right.
    #[error(transparent)]
    Content(#[from] Diagnostic),
    /// A variable or a flag is not right.
    #[error("{origin}: {problem}")]
    Value {
        /// Which.
        origin: Origin,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// A configuration with where each value came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    /// Where values came from, by dotted path; what is not listed is built in.
    pub origins: BTreeMap<String, Origin>,
    tree: Value,
    text: String,
}

/// Layers that are being put on one another.
#[derive(Debug)]
pub struct Layers<T> {
    tree: Value,
    origins: BTreeMap<String, Origin>,
    text: String,
    kind: std::marker::PhantomData<T>,
}

const LIMIT: u64 = 1024 * 1024;

impl<T: Serialize + DeserializeOwned> Layers<T> {
    /// The built-in values.
    ///
    /// # Errors
    /// [`ConfigError::Value`] when they cannot be written as YAML; that would be a defect of the type.
    pub fn new(base: &T) -> Result<Self, ConfigError> {
        let tree = serde_yaml::to_value(base).map_err(|error| value_error(&Origin::Default, &error))?;
        Ok(Self { tree, origins: BTreeMap::new(), text: String::new(), kind: std::marker::PhantomData })
    }

    /// Puts a file on top.
    ///
    /// # Errors
    /// [`ConfigError`] when it cannot be read, or names its place when its content is not right.
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let io = |source| ConfigError::File { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(io)?.len() > LIMIT {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let name = path.display().to_string();
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(());
        }
        // Read as the type first: only then does an error know its line and column.
        let _: T = parse(&text, &name)?;
        let tree: Value = parse(&text, &name)?;
        merge(&mut self.tree, tree, "", &Origin::File(path.to_owned()), &mut self.origins);
        self.text = text;
        Ok(())
    }

    /// Sets one value by its dotted path, read as YAML.
    ///
    /// # Errors
    /// [`ConfigError::Value`] when there is no such value or it is of another type.
    pub fn set(&mut self, path: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let value: Value = serde_yaml::from_str(text).map_err(|error| value_error(&origin, &error))?;
        self.set_value(path, value, origin)
    }

    /// Sets one value by its dotted path.
    ///
    /// # Errors
    /// As [`Layers::set`].
    pub fn set_value(&mut self, path: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let mut tree = self.tree.clone();
        let mut place = &mut tree;
        for key in path.split('.') {
            place = match place {
                Value::Mapping(mapping) => mapping.entry(key.into()).or_insert(Value::Null),
                _ => {
                    let problem = format!("there is no setting `{path}`");
                    return Err(ConfigError::Value { origin, problem });
                }
            };
        }
        *place = value;
        serde_yaml::from_value::<T>(tree.clone()).map_err(|error| value_error(&origin, &error))?;
        self.tree = tree;
        self.origins.insert(path.to_owned(), origin);
        Ok(())
    }

    /// The result.
    ///
    /// # Errors
    /// [`ConfigError::Value`] never, after every layer was checked by itself.
    pub fn load(self) -> Result<Loaded<T>, ConfigError> {
        let value = serde_yaml::from_value(self.tree.clone()).map_err(|error| value_error(&Origin::Default, &error))?;
        Ok(Loaded { value, origins: self.origins, tree: self.tree, text: self.text })
    }
}

/// `base` with a part of a document on top of it, mapping by mapping.
///
/// # Errors
/// What is wrong with the part: an unknown key, a wrong type.
pub fn overlay<T: Serialize + DeserializeOwned>(base: &T, part: &Value) -> Result<T, String> {
    let explain = |error: serde_yaml::Error| diagnostic::explain(&error.to_string());
    let mut tree = serde_yaml::to_value(base).map_err(explain)?;
    merge(&mut tree, part.clone(), "", &Origin::Default, &mut BTreeMap::new());
    serde_yaml::from_value(tree).map_err(explain)
}

fn value_error(origin: &Origin, error: &serde_yaml::Error) -> ConfigError {
    ConfigError::Value { origin: origin.clone(), problem: diagnostic::explain(&error.to_string()) }
}

/// Puts `over` on `under`, mapping by mapping; anything else is replaced.
fn merge(under: &mut Value, over: Value, path: &str, origin: &Origin, origins: &mut BTreeMap<String, Origin>) {
    match (under, over) {
        (Value::Mapping(under), Value::Mapping(over)) => {
            for (key, value) in over {
                let name = key.as_str().unwrap_or_default();
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                merge(under.entry(key).or_insert(Value::Null), value, &path, origin, origins);
            }
        }
        (under, over) => {
            *under = over;
            origins.insert(path.to_owned(), origin.clone());
        }
    }
}

impl<T> Loaded<T> {
    /// Every value on a line, with where it came from.
    pub fn show(&self) -> String {
        let mut text = String::new();
        self.show_below(&self.tree, "", &mut text);
        text
    }

    fn show_below(&self, value: &Value, path: &str, text: &mut String) {
        match value {
            Value::Mapping(mapping) if !mapping.is_empty() => {
                for (key, value) in mapping {
                    let key = key.as_str().unwrap_or_default();
                    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    self.show_below(value, &path, text);
                }
            }
            value => {
                let origin = self.origin(path);
                // JSON is YAML on one line; writing to a string cannot fail.
                let value = serde_json::to_string(value).unwrap_or_default();
                let _ = writeln!(text, "{:<60} # {origin}", format!("{path}: {value}"));
            }
        }
    }

    /// A problem that begins with a setting's dotted path, told with the place where that setting was given.
    pub fn locate(&self, problem: &str) -> String {
        let path = problem.split([' ', ':']).next().unwrap_or_default();
        match self.origin(path) {
            Origin::Default => problem.to_owned(),
            Origin::File(file) => {
                Diagnostic::at_key(&self.text, &file.display().to_string(), path, problem.to_owned()).to_string()
            }
            origin => format!("{origin}: {problem}"),
        }
    }

    /// Where the value at a dotted path came from: its own origin, or that of the section that was set with it.
    pub fn origin(&self, path: &str) -> &Origin {
        let mut path = path;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return origin;
            }
            match path.rsplit_once('.') {
                Some((parent, _)) => path = parent,
                None => return &Origin::Default,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        level: u8,
        name: String,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        chaos: Inner,
        rate: u32,
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn stronger_layers_win_and_every_value_has_an_origin() {
        let file = file("chaos:\n  level: 2\nrate: 5\n");
        let mut layers = Layers::new(&Outer::default()).unwrap();
        layers.file(file.path()).unwrap();
        layers.set("chaos.level", "4", Origin::Flag("--chaos-level".into())).unwrap();
        let loaded = layers.load().unwrap();
        assert_eq!(loaded.value, Outer { chaos: Inner { level: 4, name: String::new() }, rate: 5 });
        assert_eq!(loaded.origin("chaos.level"), &Origin::Flag("--chaos-level".into()));
        assert_eq!(loaded.origin("rate"), &Origin::File(file.path().to_owned()));
        assert_eq!(loaded.origin("chaos.name"), &Origin::Default);
        assert!(loaded.show().contains("chaos.level: 4"));
    }

    #[test]
    fn an_unknown_key_is_told_with_its_place_and_the_nearest_one() {
        let file = file("rate: 1\nchaos:\n  levle: 2\n");
        let error = Layers::new(&Outer::default()).unwrap().file(file.path()).unwrap_err().to_string();
        assert!(error.contains(":3:3"), "{error}");
        assert!(error.contains("did you mean `level`?"), "{error}");
    }

    #[test]
    fn an_impossible_value_is_told_with_the_place_where_it_was_given() {
        let file = file("# ours\nchaos:\n  level: 9\n");
        let mut layers = Layers::new(&Outer::default()).unwrap();
        layers.file(file.path()).unwrap();
        layers.set("rate", "4", Origin::Flag("--rate".into())).unwrap();
        let loaded = layers.load().unwrap();
        let told = loaded.locate("chaos.level is 9; it must be from 0 to 5");
        assert!(told.contains(":3:3: chaos.level is 9") && told.contains("3 |   level: 9"), "{told}");
        assert_eq!(loaded.locate("rate: 4 is too few"), "--rate: rate: 4 is too few");
        assert_eq!(loaded.locate("chaos.name is empty"), "chaos.name is empty", "nobody gave it");
        assert_eq!(loaded.locate("there is no such thing"), "there is no such thing");
    }

    #[test]
    fn a_wrong_type_is_told_with_its_place() {
        let file = file("chaos:\n  level: high\n");
        let error = Layers::new(&Outer::default()).unwrap().file(file.path()).unwrap_err().to_string();
        assert!(error.contains(":2:10") && error.contains("level"), "{error}");
    }

    #[test]
    fn a_bad_variable_is_named_and_changes_nothing() {
        let mut layers = Layers::new(&Outer::default()).unwrap();
        let error = layers.set("rate", "many", Origin::Variable("EFP_RATE".into())).unwrap_err().to_string();
        assert!(error.starts_with("$EFP_RATE: "), "{error}");
        assert!(layers.set("no.such", "1", Origin::Default).is_err());
        assert_eq!(layers.load().unwrap().value, Outer::default());
    }
}
