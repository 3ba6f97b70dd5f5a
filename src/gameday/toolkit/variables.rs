//! The configuration and the secrets of an experiment: read from the environment once, put in where `${name}` stands, and
//! kept out of everything that is written.

use serde_json::{Map, Value};

use super::document::{Node, Problem, kind};
use super::values::text;

/// Looks up a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What `${name}` may stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    configuration: Map<String, Value>,
    /// In the order of their targets, the name and the value.
    secrets: Vec<(String, String)>,
}

impl Variables {
    /// Reads both sections. A configuration is a value, or `{type: env, key, default, env_var_type}`; a secret is always
    /// `{type: env, key}` below its target.
    pub fn load(experiment: &Node<'_>, environment: Environment<'_>) -> Result<Self, Problem> {
        let mut variables = Self::default();
        if let Some(section) = experiment.get("configuration") {
            section.mapping("`configuration`")?;
            for (name, node) in section.members() {
                let value = configured(name, &node, environment)?;
                variables.configuration.insert(name.to_owned(), value);
            }
        }
        let Some(section) = experiment.get("secrets") else { return Ok(variables) };
        section.mapping("`secrets`")?;
        for (target, names) in section.members() {
            if names.value.get("type").is_some_and(Value::is_string) {
                let problem = "secrets stand below a target: write {TARGET: {NAME: {type: env, key: VARIABLE}}}";
                return Err(names.problem(problem));
            }
            names.mapping(&format!("the target `{target}` of `secrets`"))?;
            for (name, node) in names.members() {
                let value = secret(&format!("{target}.{name}"), &node, environment)?;
                variables.secrets.push((name.to_owned(), value));
            }
        }
        Ok(variables)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.configuration.is_empty() && self.secrets.is_empty()
    }

    /// The configuration goes before secrets, and an earlier target before a later one.
    fn get(&self, name: &str) -> Option<Value> {
        let secret = || self.secrets.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str().into());
        self.configuration.get(name).cloned().or_else(secret)
    }

    /// The value with variables put in, at any depth. A text that is nothing but `${name}` takes the type of what it
    /// stands for. A name that is not known stays as it is, since a shell may know it.
    pub fn substitute(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.expand(text),
            Value::Array(items) => items.iter().map(|item| self.substitute(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(key, value)| (key.clone(), self.substitute(value))).collect()
            }
            other => other.clone(),
        }
    }

    /// Python's `string.Template`: `$name`, `${name}` and `$$`.
    fn expand(&self, template: &str) -> Value {
        let whole = template.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        if let Some(value) = whole.filter(|name| identifier(name) == name.len()).and_then(|name| self.get(name)) {
            return value;
        }
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let braced = rest.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let braced = braced.filter(|(name, _)| !name.is_empty() && identifier(name) == name.len());
            let (name, after) = braced.unwrap_or_else(|| rest.split_at(identifier(rest)));
            match self.get(name) {
                Some(value) => {
                    out.push_str(&text(&value));
                    rest = after;
                }
                None => out.push('$'),
            }
        }
        out.push_str(rest);
        Value::String(out)
    }

    /// What keeps the secrets out of a text.
    pub fn redactor(&self) -> Redactor {
        let mut needles = Vec::new();
        for (name, value) in self.secrets.iter().filter(|(_, value)| !value.is_empty()) {
            let mark = format!("[secret {name}]");
            let quoted = Value::from(value.as_str()).to_string();
            let forms = [value.clone(), super::http::quote(value), quoted.trim_matches('"').to_owned()];
            needles.extend(forms.into_iter().map(|form| (form, mark.clone())));
        }
        // A secret that contains another one goes first.
        needles.sort_by_key(|(needle, _)| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Redactor { needles }
    }
}

/// How long the name at the start of a text is: ASCII letters, digits and `_`, no digit first.
fn identifier(text: &str) -> usize {
    let letters = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    if text.starts_with(|first: char| first.is_ascii_digit()) { 0 } else { letters }
}

fn configured(name: &str, node: &Node<'_>, environment: Environment<'_>) -> Result<Value, Problem> {
    match node.value.get("type").and_then(Value::as_str) {
        Some("env") => {}
        Some("probe") => {
            return Err(node.problem(format!(
                "`{name}` is found by a probe, which is not supported: everything is checked before anything runs; give it by \
                 the environment, {{type: env, key: VARIABLE}}"
            )));
        }
        _ => return Ok(node.value.clone()),
    }
    let key = node.required_text("key", &format!("`{name}` with the type env"))?;
    let default = node.value.get("default");
    let value = match (environment(key), default) {
        (Some(value), _) => Value::String(value),
        (None, Some(default)) => default.clone(),
        (None, None) => {
            return Err(node.problem(format!(
                "`{name}` needs the environment variable {key}, which is not set; set it or give a `default`"
            )));
        }
    };
    let kind = node.get("env_var_type").map(|kind| kind.text("`env_var_type`")).transpose()?;
    converted(kind, &value).map_err(|wanted| {
        let from = if environment(key).is_some() { key } else { "default" };
        node.problem(format!("`{name}` must be {wanted}; {from} is `{}`", text(&value)))
    })
}

/// As the type that `env_var_type` names; else what it should have been.
fn converted(kind: Option<&str>, value: &Value) -> Result<Value, &'static str> {
    let plain = text(value);
    let trimmed = plain.trim();
    match kind {
        None | Some("str" | "string" | "bytes") => Ok(value.clone()),
        Some("int" | "integer") => trimmed.parse::<i64>().map(Value::from).map_err(|_| "a whole number"),
        Some("float" | "number") => {
            let number = trimmed.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            number.map(Value::Number).ok_or("a number")
        }
        Some("bool") if value.is_boolean() => Ok(value.clone()),
        Some("bool") => Ok(Value::Bool(!matches!(plain.to_lowercase().as_str(), "false" | "0" | "no"))),
        Some("json") if value.is_string() && !plain.is_empty() => serde_json::from_str(&plain).map_err(|_| "JSON"),
        Some("json") => Ok(value.clone()),
        Some(_) => Err("of the `env_var_type` str, int, float, bool, bytes or json"),
    }
}

fn secret(name: &str, node: &Node<'_>, environment: Environment<'_>) -> Result<String, Problem> {
    let right = "write {type: env, key: VARIABLE}";
    match node.value.get("type").and_then(Value::as_str) {
        Some("env") => {}
        Some(other) => {
            let problem = format!("the secret `{name}` comes from `{other}`; only the environment is read: {right}");
            return Err(node.problem(problem));
        }
        None => {
            let found = kind(node.value);
            let problem = format!("the secret `{name}` is {found} in the file, where it is none; {right}");
            return Err(node.problem(problem));
        }
    }
    let key = node.required_text("key", &format!("the secret `{name}`"))?;
    environment(key).ok_or_else(|| {
        node.problem(format!("the secret `{name}` needs the environment variable {key}, which is not set"))
    })
}

/// Takes secrets out of what is written: as they are, percent-encoded, and as JSON escapes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Redactor {
    needles: Vec<(String, String)>,
}

/// Numbers of fewer digits are not taken for a secret.
const SHORTEST_NUMBER: usize = 4;

impl Redactor {
    /// A text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (needle, mark) in self.needles.iter().filter(|(needle, _)| text.contains(needle.as_str())) {
            out = out.replace(needle, mark);
        }
        out
    }

    /// A value without secrets, at any depth; keys too.
    pub fn value(&self, value: &mut Value) {
        if self.needles.is_empty() {
            return;
        }
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(members) => {
                let taken = std::mem::take(members);
                members.extend(taken.into_iter().map(|(key, mut value)| {
                    self.value(&mut value);
                    (self.text(&key), value)
                }));
            }
            Value::Number(number) => {
                let digits = number.to_string();
                let known = self.needles.iter().find(|(needle, _)| *needle == digits);
                if let Some((_, mark)) = known.filter(|_| digits.len() >= SHORTEST_NUMBER) {
                    *value = Value::String(mark.clone());
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(document: &Value) -> Result<Variables, Problem> {
        Variables::load(&Node::root(document), &|name| match name {
            "PORT" => Some("8080".into()),
            "TOKEN" => Some("s3cr\"t/x".into()),
            "PIN" => Some("123456".into()),
            _ => None,
        })
    }

    #[test]
    fn templates_are_pythons() {
        let document = json!({
            "configuration": {"port": {"type": "env", "key": "PORT", "env_var_type": "int"}, "host": "h", "on": true},
            "secrets": {"api": {"token": {"type": "env", "key": "TOKEN"}, "host": {"type": "env", "key": "PORT"}}}
        });
        let variables = load(&document).unwrap();
        for (template, expanded) in [
            ("${port}", json!(8080)),
            ("$port", json!("8080")),
            ("http://${host}:${port}/", json!("http://h:8080/")),
            ("$$port $", json!("$port $")),
            ("${nobody} $nobody ${", json!("${nobody} $nobody ${")),
            ("^ok$", json!("^ok$")),
            ("${on}!", json!("True!")),
            ("${}$1", json!("${}$1")),
            ("$porthole", json!("$porthole")),
            ("", json!("")),
        ] {
            assert_eq!(variables.substitute(&json!([template])), json!([expanded]), "{template}");
        }
    }

    #[test]
    fn secrets_are_taken_out_in_every_form() {
        let secrets = json!({"secrets": {
            "api": {"token": {"type": "env", "key": "TOKEN"}, "pin": {"type": "env", "key": "PIN"}}
        }});
        let mut seen =
            json!({"s3cr\"t/x": ["a s3cr\"t/x b", "s3cr%22t%2Fx", "{\"a\": \"s3cr\\\"t/x\"}", 123456, 1234567]});
        load(&secrets).unwrap().redactor().value(&mut seen);
        let mark = "[secret token]";
        let clean =
            json!({mark: [format!("a {mark} b"), mark, format!("{{\"a\": \"{mark}\"}}"), "[secret pin]", 1234567]});
        assert_eq!(seen, clean);
    }
}
