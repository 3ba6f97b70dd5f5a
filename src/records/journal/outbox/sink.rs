//! Receivers of events: a web address, or a file of lines. A receiver says what became of a delivery and decides nothing.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{Request, Uri};

use super::OutboxError;

/// Why nothing of a delivery counts as delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// The receiver cannot be reached or takes nothing now: whatever is sent, it is waited for.
    Unavailable {
        /// Why.
        why: String,
        /// How long it asked to be left alone.
        after: Option<Duration>,
    },
    /// It was reached and does not take this.
    Refused(String),
}

/// Where events are delivered to.
pub trait Sink: Debug + Send {
    /// Delivers events, all of them or, as far as it is known, none: what is sent again has the same ids.
    ///
    /// # Errors
    /// [`Undelivered`].
    fn send(&mut self, events: &[Value]) -> Result<(), Undelivered>;
}

/// The receiver at an address: `http://…`, `https://…` or `file:PATH`. `token` goes along as `Authorization: Bearer`.
///
/// # Errors
/// [`OutboxError::Configuration`]; [`OutboxError::Io`] for a file that cannot be opened.
pub fn open(address: &str, timeout: Duration, token: Option<String>) -> Result<Box<dyn Sink>, OutboxError> {
    check(address)?;
    Ok(match address.strip_prefix("file:") {
        Some(path) => Box::new(FileSink::open(Path::new(path))?),
        None => Box::new(HttpSink::new(address, timeout, token)),
    })
}

/// Whether an address can be one.
///
/// # Errors
/// [`OutboxError::Configuration`].
pub fn check(address: &str) -> Result<(), OutboxError> {
    let wrong = |problem: &str| Err(OutboxError::Configuration(format!("outbox.sink: {problem}")));
    match address.strip_prefix("file:") {
        Some("") => wrong("file: is followed by a path"),
        Some(_) => Ok(()),
        None => match address.parse::<Uri>() {
            Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
                wrong("an address must not hold a password; give a token in EFP_OUTBOX_TOKEN")
            }
            Ok(uri)
                if matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some_and(|host| !host.is_empty()) =>
            {
                Ok(())
            }
            _ => wrong(&format!("`{address}` is none of http://HOST/PATH, https://HOST/PATH and file:PATH")),
        },
    }
}

/// Posts CloudEvents by their HTTP binding: one in structured mode, more in batched mode.
#[derive(Debug)]
struct HttpSink {
    agent: Agent,
    address: String,
    token: Option<String>,
}

impl HttpSink {
    fn new(address: &str, timeout: Duration, token: Option<String>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("fizzops/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            .build()
            .into();
        Self { agent, address: address.to_owned(), token }
    }
}

/// Answers that say "not now" rather than "not this": time-outs, too many requests, and gateways without a service.
const NOT_NOW: [u16; 6] = [408, 425, 429, 502, 503, 504];

impl Sink for HttpSink {
    fn send(&mut self, events: &[Value]) -> Result<(), Undelivered> {
        let (kind, body) = match events {
            [one] => ("application/cloudevents+json; charset=utf-8", one.to_string()),
            // Values are plain data; writing them to memory cannot fail.
            many => {
                ("application/cloudevents-batch+json; charset=utf-8", serde_json::to_string(many).unwrap_or_default())
            }
        };
        let mut request = Request::builder().method("POST").uri(&self.address).header("content-type", kind);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| Undelivered::Refused(error.to_string()))?;
        let answer = self.agent.run(request);
        let answer = answer.map_err(|error| Undelivered::Unavailable { why: error.to_string(), after: None })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let why = format!("{} answered {status}", self.address);
        if !NOT_NOW.contains(&status.as_u16()) {
            return Err(Undelivered::Refused(why));
        }
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Err(Undelivered::Unavailable { why, after: after.map(Duration::from_secs) })
    }
}

/// Appends an event a line and syncs them.
#[derive(Debug)]
struct FileSink {
    file: File,
    path: PathBuf,
    /// A write that failed may have left a part of a line.
    torn: bool,
}

/// How our lines begin.
const OURS: &[u8] = b"{\"specversion\"";

impl FileSink {
    fn open(path: &Path) -> Result<Self, OutboxError> {
        let open = || {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
            mend(&mut file)?;
            Ok(file)
        };
        let file = open().map_err(|source| OutboxError::Io { path: path.display().to_string(), source })?;
        Ok(Self { file, path: path.to_owned(), torn: false })
    }
}

/// Cuts a line of ours that a crash left without its end: its event was not acknowledged and is sent again. What somebody
/// else left without an end gets one.
fn mend(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(4 * 1024 * 1024);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let last = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = tail.get(last..).unwrap_or_default();
    if torn.is_empty() {
        return Ok(());
    }
    if torn.starts_with(OURS) || OURS.starts_with(torn) {
        file.set_len(from + last as u64)
    } else {
        file.write_all(b"\n")
    }
}

impl Sink for FileSink {
    fn send(&mut self, events: &[Value]) -> Result<(), Undelivered> {
        let mut lines = Vec::new();
        for event in events {
            lines.extend_from_slice(event.to_string().as_bytes());
            lines.push(b'\n');
        }
        let written = (|| {
            if self.torn {
                mend(&mut self.file)?;
            }
            self.torn = true;
            self.file.write_all(&lines)?;
            self.torn = false;
            self.file.sync_data()
        })();
        let path = self.path.display();
        written.map_err(|error| Undelivered::Unavailable { why: format!("{path}: {error}"), after: None })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["http://localhost:8080/events", "https://example.org", "file:events.ndjson", "file:/tmp/x"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for (bad, says) in [
            ("ftp://example.org", "is none of http://"),
            ("events.ndjson", "is none of http://"),
            ("file:", "followed by a path"),
            ("https://me:secret@example.org/", "EFP_OUTBOX_TOKEN"),
        ] {
            let error = check(bad).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_torn_line_is_cut_and_a_foreign_one_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        let event = json!({ "specversion": "1.0", "id": "1" });
        let send = || FileSink::open(&path).unwrap().send(std::slice::from_ref(&event)).unwrap();
        std::fs::write(&path, format!("{event}\n{{\"specversion\":\"1.0\",\"i")).unwrap();
        send();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{event}\n{event}\n"));
        std::fs::write(&path, "a note without an end").unwrap();
        send();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("a note without an end\n{event}\n"));
    }
}
