//! What stands before and after the frames: what the session was, and how it ended.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FORMAT, VERSION};
use crate::engine::{Authenticated, SessionInfo, Settings};
use crate::records::ledger::Start;

/// Which events a session made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Events {
    /// What operators look at; the numbers of events count these alone.
    #[default]
    Operations,
    /// All of them, though only those that operators look at are recorded.
    All,
}

/// What a session was given beside its settings: with it a session on the virtual clock can be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Given {
    /// Which events it made.
    pub events: Events,
    /// Flags set before its start, `NAME=VALUE`.
    pub flags: Vec<String>,
    /// At most so many numbers of its workload.
    pub count: Option<u64>,
    /// It ended with its game day.
    pub stop_after_drill: bool,
    /// Its game days, as their files say them.
    pub scenarios: Vec<String>,
    /// Why it cannot be repeated, if it cannot: its numbers came from outside.
    pub unrepeatable: Option<String>,
    /// Where its ledger went on.
    #[serde(skip_serializing_if = "is_begin")]
    pub ledger: Start,
    /// Who came in with a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<Authenticated>,
    /// Settings whose values were left out because they are secret.
    pub removed: Vec<String>,
}

fn is_begin(start: &Start) -> bool {
    *start == Start::default()
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// What does not change in the session.
    pub info: SessionInfo,
    /// Its resolved configuration, without secrets.
    pub settings: Settings,
    /// What else it was given.
    pub given: Given,
}

impl Header {
    /// Of a session that was given nothing else.
    pub fn new(info: &SessionInfo, settings: &Settings) -> Self {
        Self::with(info, settings, Given::default())
    }

    /// Of a session that was given this. Secrets in the settings are left out.
    pub fn with(info: &SessionInfo, settings: &Settings, mut given: Given) -> Self {
        let mut kept = settings.clone();
        if let Ok(mut value) = serde_json::to_value(settings) {
            remove_secrets(&mut value, "", &mut given.removed);
            // A text in place of a text is of the same type.
            if !given.removed.is_empty()
                && let Ok(without) = serde_json::from_value(value)
            {
                kept = without;
            }
        }
        Self { format: FORMAT.into(), version: VERSION, info: info.clone(), settings: kept, given }
    }
}

/// Parts of the names of settings that hold secrets.
const SECRET: [&str; 5] = ["secret", "password", "private_key", "api_key", "credential"];

/// Whether a key's name says that it holds a secret: a token, but not what is said about tokens (`token_issuer`).
fn is_secret(key: &str) -> bool {
    SECRET.iter().any(|part| key.contains(part)) || key == "token" || key.ends_with("_token")
}

/// Empties every text whose key's name says that it is secret; `removed` gets the keys.
fn remove_secrets(value: &mut Value, path: &str, removed: &mut Vec<String>) {
    match value {
        Value::Object(items) => {
            for (key, item) in items.iter_mut() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match item {
                    Value::String(text) if is_secret(key) => {
                        if !text.is_empty() {
                            text.clear();
                            removed.push(path);
                        }
                    }
                    item => remove_secrets(item, &path, removed),
                }
            }
        }
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(at, item)| remove_secrets(item, &format!("{path}.{at}"), removed));
        }
        _ => {}
    }
}

/// The last line of a session that ended in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    /// How many frames there are.
    pub frames: u64,
    /// How many events there are.
    pub events: u64,
    /// The ledger's head at the end.
    pub ledger_head: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_named() {
        let mut settings = serde_json::json!({
            "rbac": { "user": "ada", "token_secret": "hunter2", "token_issuer": "acme", "keys": [{ "api_key": "k" }], "tokens": 5 },
            "remote": { "password": "", "access_token": "hunter3" },
        });
        let mut removed = Vec::new();
        remove_secrets(&mut settings, "", &mut removed);
        assert_eq!(removed, ["rbac.token_secret", "rbac.keys.0.api_key", "remote.access_token"]);
        let text = settings.to_string();
        assert!(
            !text.contains("hunter") && text.contains("acme") && !text.contains("\"k\"") && text.contains("ada"),
            "{text}"
        );
    }
}
