//! Chaos Toolkit's journal: what a run left behind, written as a whole or not at all; and the verdict that a journal, ours
//! or theirs, comes to.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::run::Verdict;
use super::{ToolkitError, read};
use crate::domain::Timestamp;

/// A moment as the journal writes it: UTC, microseconds, `+00:00`.
pub(super) fn moment(moment: Timestamp) -> String {
    let micros = i64::try_from(moment.as_nanos() / 1_000).unwrap_or(i64::MAX);
    let civil = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    civil.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// A journal in which nothing has happened yet, with Chaos Toolkit's keys in its order.
pub(super) fn frame(experiment: &Value, start: Timestamp, end: Timestamp) -> Value {
    let machine = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let platform = [machine.sysname(), machine.release(), machine.machine()].map(text).join("-");
    json!({
        "chaoslib-version": concat!("fizzops-", env!("CARGO_PKG_VERSION")),
        "platform": platform,
        "node": text(machine.nodename()),
        "experiment": experiment,
        "start": moment(start),
        "status": null,
        "deviated": false,
        "steady_states": {"before": null, "after": null, "during": []},
        "run": [],
        "rollbacks": [],
        "end": moment(end),
        "duration": end.since(start).as_secs_f64(),
    })
}

/// The journal of a drill of ours, so that tools that read Chaos Toolkit's journals read it too. `experiment` is the
/// scenario as [`export`](super::export()) writes it; the drill itself is the one entry of the run.
pub fn of_drill(experiment: &Value, verdict: Verdict, reason: &str, start: Timestamp, end: Timestamp) -> Value {
    let mut journal = frame(experiment, start, end);
    journal["status"] = if verdict == Verdict::Interrupted { "interrupted" } else { "completed" }.into();
    journal["deviated"] = matches!(verdict, Verdict::NotHeld | Verdict::Inconclusive).into();
    let met = |met: bool| json!({"steady_state_met": met, "probes": []});
    journal["steady_states"]["before"] = met(verdict != Verdict::NeverRan);
    if matches!(verdict, Verdict::Held | Verdict::NotHeld | Verdict::Inconclusive) {
        journal["steady_states"]["after"] = met(verdict == Verdict::Held);
    }
    if verdict != Verdict::NeverRan {
        let method = experiment["method"].as_array().and_then(|method| method.last());
        journal["run"] = json!([{
            "activity": method.cloned().unwrap_or_default(),
            "output": {"verdict": verdict.text(), "reason": reason},
            "start": moment(start),
            "status": if verdict == Verdict::Interrupted { "aborted" } else { "succeeded" },
            "end": moment(end),
            "duration": end.since(start).as_secs_f64(),
        }]);
    }
    journal
}

/// A journal that will be written: its place is tried before anything runs, and the file appears only once it is whole.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl JournalFile {
    /// Tries the place. An older journal there is taken away, so that it cannot be mistaken for the one to come.
    ///
    /// # Errors
    /// [`ToolkitError::Write`] when nothing can be written there.
    pub fn create(path: &Path) -> Result<Self, ToolkitError> {
        let fail = |source| ToolkitError::Write { path: path.display().to_string(), source };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary).map_err(fail)?;
        let this = Self { path: path.to_owned(), temporary, file };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fail(error)),
            _ => Ok(this),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`ToolkitError::Write`] when it cannot be written; then there is no file.
    pub fn finish(mut self, journal: &Value) -> Result<(), ToolkitError> {
        let written = serde_json::to_vec_pretty(journal).map_err(std::io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            self.file.write_all(&text)?;
            self.file.sync_all()?;
            std::fs::rename(&self.temporary, &self.path)
        });
        written.map_err(|source| ToolkitError::Write { path: self.path.display().to_string(), source })
    }
}

impl Drop for JournalFile {
    fn drop(&mut self) {
        // After `finish` it has its name already, and there is nothing to take away.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// What a journal comes to, with why; also for those that `chaos run` wrote, whose exit code is 0 for an experiment that
/// never ran.
///
/// # Errors
/// [`ToolkitError`] when it cannot be read or is no journal.
pub fn verdict_of(path: &Path) -> Result<(Verdict, String), ToolkitError> {
    let text = read_journal(path)?;
    let wrong = |problem: String| ToolkitError::Journal { path: path.display().to_string(), problem };
    let journal: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let Some(status) = journal.get("status").and_then(Value::as_str) else {
        return Err(wrong("it has no `status`".into()));
    };
    let (Some(deviated), Some(states)) =
        (journal.get("deviated").and_then(Value::as_bool), journal.get("steady_states"))
    else {
        return Err(wrong("it has no `deviated` and `steady_states`".into()));
    };
    let met = |when: &str| states.get(when).and_then(|state| state.get("steady_state_met")).and_then(Value::as_bool);
    let missed = |when: &str| {
        let probes = states.get(when).and_then(|state| state.get("probes")).and_then(Value::as_array);
        let last = probes.and_then(|probes| probes.last()).and_then(|probe| probe.pointer("/activity/name"));
        last.and_then(Value::as_str).map_or(String::new(), |name| format!(" (`{name}`)"))
    };
    Ok(match status {
        "interrupted" => (Verdict::Interrupted, "the run was interrupted".into()),
        _ if met("before") == Some(false) => {
            (Verdict::NeverRan, format!("the steady state did not hold before{}", missed("before")))
        }
        _ if deviated => {
            let reason = journal.pointer("/run/0/output/reason").and_then(Value::as_str);
            let deviated = || format!("the steady state did not hold after the method{}", missed("after"));
            (Verdict::NotHeld, reason.map_or_else(deviated, str::to_owned))
        }
        "completed" if met("before").or(met("after")).is_some() => (Verdict::Held, "the steady state held".into()),
        "completed" => (Verdict::Completed, "no hypothesis was looked at".into()),
        "failed" | "aborted" => (Verdict::Inconclusive, format!("the run {status}")),
        other => return Err(wrong(format!("its status is `{other}`"))),
    })
}

/// Journals hold outputs and may be long.
const MAX_JOURNAL: u64 = 256 * 1024 * 1024;

fn read_journal(path: &Path) -> Result<String, ToolkitError> {
    let length = std::fs::metadata(path).map_or(0, |found| found.len());
    if length <= super::MAX_FILE {
        return read(path);
    }
    let name = path.display().to_string();
    if length > MAX_JOURNAL {
        return Err(ToolkitError::Journal { path: name, problem: "it is longer than 256 MiB".into() });
    }
    std::fs::read_to_string(path).map_err(|source| ToolkitError::Read { path: name, source })
}
