//! The provider `http`: one call, its time limit, and the answer.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Map, Value, json};
use ureq::http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, Error};

use super::document::{Node, Problem, kind};
use super::run::{Ended, Watch};
use super::values::{seconds, text};
use super::variables::Variables;
use super::{HTTP_SECONDS, MAX_OUTPUT};

/// A call to make.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCall {
    url: String,
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
    arguments: Option<Value>,
    json: bool,
    connect: Option<Duration>,
    timeout: Duration,
    verify: bool,
    retries: u64,
    expected: Option<u64>,
}

const KEYS: [&str; 10] = [
    "type",
    "url",
    "method",
    "headers",
    "arguments",
    "timeout",
    "verify_tls",
    "max_retries",
    "expected_status",
    "secrets",
];
/// The most attempts after the first one.
const MAX_RETRIES: u64 = 100;

impl HttpCall {
    /// Checks a provider.
    pub(super) fn parse(node: &Node<'_>, variables: &Variables) -> Result<Self, Problem> {
        node.no_misspelt_key(&KEYS)?;
        let Some(at) = node.get("url") else { return Err(node.problem("an HTTP call needs a `url`")) };
        let value = variables.substitute(at.value);
        let url = at.with(&value).text("`url`")?.to_owned();
        let wrong = |why: &str| at.problem(format!("this is no URL to call: {why}; write http://HOST/PATH"));
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(wrong("it has no http:// or https:// and host"));
        }
        let method = match node.get("method") {
            None => Method::GET,
            Some(at) => {
                let name = at.text("`method`")?.to_uppercase();
                name.parse().map_err(|_| at.problem(format!("`{name}` is no HTTP method")))?
            }
        };
        let (headers, json) = headers(node, variables)?;
        let arguments = node.get("arguments").map(|at| (variables.substitute(at.value), at));
        if let Some((value, at)) = &arguments {
            encodable(&at.with(value), json && method != Method::GET)?;
        }
        let (connect, timeout) = match node.get("timeout").filter(|timeout| timeout.value.is_array()) {
            None => (None, super::experiment::time_limit(node, "timeout", variables)?),
            Some(pair) => {
                let limits: Result<Vec<_>, _> =
                    pair.items().map(|item| super::experiment::limit(&item, "`timeout`", variables)).collect();
                match limits?.as_slice() {
                    &[connect, read] => (Some(connect), Some(read)),
                    _ => return Err(pair.problem("`timeout` is a number of seconds, or [CONNECT, READ]")),
                }
            }
        };
        let whole = |key: &str, most: u64| match node.get(key) {
            None => Ok(None),
            Some(at) => match at.value.as_u64().filter(|number| *number <= most) {
                None => Err(at.problem(format!("`{key}` is a whole number from 0 to {most}"))),
                number => Ok(number),
            },
        };
        Ok(Self {
            url,
            method,
            headers,
            arguments: arguments.map(|(value, _)| value),
            json,
            connect,
            timeout: timeout.unwrap_or(Duration::from_secs_f64(HTTP_SECONDS)),
            verify: node.get("verify_tls").map_or(Ok(true), |at| at.boolean("`verify_tls`"))?,
            retries: whole("max_retries", MAX_RETRIES)?.unwrap_or(0),
            expected: whole("expected_status", 599)?,
        })
    }

    /// The same with one more argument, `value`, as a tolerance's probe gets it.
    pub(super) fn with_value(&self, value: &Value) -> Self {
        let mut call = self.clone();
        let value = if self.json { value.clone() } else { Value::String(value.to_string()) };
        if let Value::Object(members) = call.arguments.get_or_insert_with(|| Value::Object(Map::new())) {
            members.insert("value".into(), value);
        }
        call
    }

    /// Makes the call, to its time limit or until the watch says stop. A call that is stopped is left to end by itself.
    pub(super) fn run(&self, watch: &Watch<'_>) -> Ended {
        let (sender, answer) = channel();
        let call = self.clone();
        std::thread::spawn(move || {
            let _ = sender.send(call.call());
        });
        loop {
            match answer.recv_timeout(watch.tick()) {
                Ok(Ok(output)) => return self.expected(output),
                Ok(Err(problem)) => return Ended::Failed(problem),
                Err(RecvTimeoutError::Timeout) if watch.stopped() => return Ended::Stopped,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ended::Failed("the call came to no end".into()),
            }
        }
    }

    fn expected(&self, output: Value) -> Ended {
        let status = output.get("status").and_then(Value::as_u64);
        match self.expected.filter(|expected| status != Some(*expected)) {
            Some(expected) => {
                Ended::Failed(format!("it was answered with status {}, not {expected}", status.unwrap_or(0)))
            }
            None => Ended::Output(output),
        }
    }

    fn call(&self) -> Result<Value, String> {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(30)
            .user_agent(concat!("fizzops/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().disable_verification(!self.verify).build())
            .timeout_global(Some(self.timeout + self.connect.unwrap_or_default()))
            .timeout_connect(self.connect)
            .build()
            .into();
        let mut left = self.retries;
        loop {
            match self.send(&agent) {
                // As Chaos Toolkit has it, only what never reached the service is tried again.
                Err(Error::ConnectionFailed | Error::HostNotFound) if left > 0 => left -= 1,
                Err(Error::Io(error)) if left > 0 && error.kind() == std::io::ErrorKind::ConnectionRefused => left -= 1,
                Ok(answer) => return read(answer),
                Err(error) => return Err(self.told(&error)),
            }
        }
    }

    fn told(&self, error: &Error) -> String {
        match error {
            Error::Timeout(_) => format!("it took longer than its time limit of {}", seconds(self.timeout)),
            error => format!("failed to call {}: {error}", self.url),
        }
    }

    fn send(&self, agent: &Agent) -> Result<Response<Body>, Error> {
        let mut url = self.url.clone();
        let mut body = None;
        let mut kind = None;
        match &self.arguments {
            Some(arguments) if self.method == Method::GET => {
                let query = form(arguments);
                if !query.is_empty() {
                    let (address, fragment) = url.split_once('#').map_or((url.as_str(), ""), |parts| parts);
                    let joint = if address.contains('?') { '&' } else { '?' };
                    let fragment = if fragment.is_empty() { String::new() } else { format!("#{fragment}") };
                    url = format!("{address}{joint}{query}{fragment}");
                }
            }
            Some(arguments) if self.json => body = Some(arguments.to_string()),
            Some(Value::String(raw)) => body = Some(raw.clone()),
            Some(arguments) => {
                body = Some(form(arguments));
                kind = Some("application/x-www-form-urlencoded");
            }
            None => {}
        }
        let mut request = Request::builder().method(self.method.clone()).uri(url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let typed = self.headers.iter().any(|(name, _)| name == "content-type");
        if let Some(kind) = kind.filter(|_| !typed) {
            request = request.header("content-type", kind);
        }
        match body {
            Some(body) => agent.run(request.body(body)?),
            None => agent.run(request.body(())?),
        }
    }
}

fn headers(node: &Node<'_>, variables: &Variables) -> Result<(Vec<(HeaderName, HeaderValue)>, bool), Problem> {
    let Some(at) = node.get("headers") else { return Ok((Vec::new(), false)) };
    at.mapping("`headers`")?;
    let mut found = Vec::new();
    let mut json = false;
    for (name, header) in at.members() {
        let value = variables.substitute(header.value);
        if value.is_object() || value.is_array() || value.is_null() {
            return Err(header.problem(format!("the header {name} is a text, not {}", kind(&value))));
        }
        let value = text(&value);
        json |= name == "Content-Type" && value == "application/json";
        let known = name.parse::<HeaderName>();
        let known = known.map_err(|_| at.key_problem(name, format!("`{name}` is no name of a header")))?;
        let value = value.parse::<HeaderValue>();
        // The value may be a secret and is not shown.
        let value =
            value.map_err(|_| header.problem(format!("the header {name} has a value that no header can carry")))?;
        found.push((known, value));
    }
    Ok((found, json))
}

/// Checks that arguments can be written as a query or a form: a text, or a mapping of plain values and lists of them.
fn encodable(node: &Node<'_>, json: bool) -> Result<(), Problem> {
    if json || node.value.is_string() {
        return Ok(());
    }
    let plain = |node: &Node<'_>| {
        let nested = node.value.is_object() || node.value.is_array();
        let problem = "an argument of a query or a form is a plain value or a list of them; for JSON give the header \
                       Content-Type: application/json";
        if nested { Err(node.problem(problem)) } else { Ok(()) }
    };
    node.mapping("`arguments`")?;
    node.members().try_for_each(|(_, value)| match value.value {
        Value::Array(_) => value.items().try_for_each(|item| plain(&item)),
        _ => plain(&value),
    })
}

/// As a query or a form: `a=1&b=x+y`.
fn form(arguments: &Value) -> String {
    let Value::Object(members) = arguments else { return text(arguments) };
    let mut pairs = Vec::new();
    for (key, value) in members {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values.iter().filter(|value| !value.is_null()) {
            pairs.push(format!("{}={}", quote(key), quote(&text(value))));
        }
    }
    pairs.join("&")
}

/// Percent-encoded, with `+` for a space.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn read(mut answer: Response<Body>) -> Result<Value, String> {
    let status = answer.status().as_u16();
    // More than one header of a name are one with commas (RFC 9110, section 5.3).
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in answer.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        let known = headers.entry(titled(name.as_str())).or_default();
        if !known.is_empty() {
            known.push_str(", ");
        }
        known.push_str(&value);
    }
    let limit = u64::try_from(MAX_OUTPUT).unwrap_or(u64::MAX);
    let bytes = answer.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| match error {
        Error::BodyExceedsLimit(_) => format!("the body is longer than {} MiB", MAX_OUTPUT / 1024 / 1024),
        Error::Timeout(_) => "the body took longer than the time limit".to_owned(),
        error => format!("the body cannot be read: {error}"),
    })?;
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let is_json = headers.get("Content-Type").is_some_and(|kind| kind == "application/json");
    let parsed = if is_json { serde_json::from_str(&body).ok() } else { None };
    Ok(json!({"status": status, "headers": headers, "body": parsed.unwrap_or(Value::String(body))}))
}

/// A header's name as it is usually written: `content-type` is `Content-Type`.
fn titled(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    parts.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_names_are_written_as_usual() {
        assert_eq!(form(&json!({"a": 1, "b": ["x y", true], "c": null, "d&": "ü"})), "a=1&b=x+y&b=True&d%26=%C3%BC");
        assert_eq!(form(&json!("a=b")), "a=b");
        assert_eq!(["content-type", "x", "etag"].map(titled), ["Content-Type", "X", "Etag"]);
    }
}
