//! The provider `process`: a program with arguments, its time limit, and its output. It runs in a process group of its own,
//! so that a Ctrl-C in the terminal does not end it before its time, and ending it ends what it started.

use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use super::document::{Node, Problem};
use super::run::{Ended, Watch};
use super::values::{seconds, text};
use super::variables::Variables;
use super::{MAX_OUTPUT, PROCESS_SECONDS};

/// A program to run.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessCall {
    program: PathBuf,
    arguments: Arguments,
    timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
enum Arguments {
    /// A line for the shell.
    Line(String),
    /// One by one.
    List(Vec<String>),
}

const KEYS: [&str; 5] = ["type", "path", "arguments", "timeout", "secrets"];

impl ProcessCall {
    /// Checks a provider.
    pub(super) fn parse(node: &Node<'_>, variables: &Variables) -> Result<Self, Problem> {
        node.no_misspelt_key(&KEYS)?;
        let path = node.required_text("path", "a process")?;
        let at = node.get("path");
        let at = at.as_ref().unwrap_or(node);
        let program = which(path).map_err(|problem| at.problem(problem))?;
        let timeout = super::experiment::time_limit(node, "timeout", variables)?;
        let arguments = match node.get("arguments") {
            None => Arguments::List(Vec::new()),
            Some(arguments) => {
                let value = arguments.value;
                // Without variables Chaos Toolkit leaves even `$$` alone.
                let value = if variables.is_empty() { value.clone() } else { variables.substitute(value) };
                listed(&arguments.with(&value))?
            }
        };
        let timeout = timeout.unwrap_or(Duration::from_secs_f64(PROCESS_SECONDS));
        Ok(Self { program, arguments, timeout })
    }

    /// The same with one more argument, `value`, as a tolerance's probe gets it.
    pub(super) fn with_value(&self, value: &Value) -> Self {
        let mut call = self.clone();
        if let Arguments::List(list) = &mut call.arguments {
            list.extend(["value".to_owned(), text(value)]);
        }
        call
    }

    fn command(&self) -> Command {
        let mut command = match &self.arguments {
            Arguments::List(list) => {
                let mut command = Command::new(&self.program);
                command.args(list);
                command
            }
            Arguments::Line(line) => {
                let program = self.program.display().to_string();
                let plain = program.chars().all(|letter| letter.is_alphanumeric() || "/._-+".contains(letter));
                let program = if plain { program } else { format!("'{}'", program.replace('\'', "'\\''")) };
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(format!("{program} {line}"));
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }

    /// Runs it to its end, to its time limit, or until the watch says stop.
    pub(super) fn run(&self, watch: &Watch<'_>) -> Ended {
        let mut child = match self.command().spawn() {
            Ok(child) => child,
            Err(error) => return Ended::Failed(format!("{} cannot be started: {error}", self.program.display())),
        };
        let (sender, streams) = channel();
        let stdout = child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
        let stderr = child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
        for (stream, name) in [(stdout, "stdout"), (stderr, "stderr")] {
            let sender = sender.clone();
            // They end with their streams. One whose stream a process that escaped holds open is left behind.
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let limit = u64::try_from(MAX_OUTPUT).unwrap_or(u64::MAX).saturating_add(1);
                let read = stream.map(|stream| stream.take(limit).read_to_end(&mut bytes));
                let read = read.map_or(Ok(0), |read| read).map(|_| bytes);
                let _ = sender.send((name, read));
            });
        }
        drop(sender);
        self.wait(&mut child, &streams, watch)
    }

    fn wait(&self, child: &mut Child, streams: &Receiver<Stream>, watch: &Watch<'_>) -> Ended {
        let began = watch.now();
        let mut output = json!({"status": null, "stdout": "", "stderr": ""});
        let mut open = 2;
        let mut status = None;
        while open > 0 || status.is_none() {
            let reason = if watch.stopped() {
                Some(Ended::Stopped)
            } else if watch.now().since(began) >= self.timeout {
                Some(Ended::Failed(format!("it took longer than its time limit of {}", seconds(self.timeout))))
            } else {
                None
            };
            if let Some(ended) = reason {
                end(child, watch);
                return ended;
            }
            if status.is_none() {
                match child.try_wait() {
                    Ok(found) => status = found,
                    Err(error) => return Ended::Failed(format!("its end cannot be waited for: {error}")),
                }
            }
            let arrived =
                if open > 0 { streams.recv_timeout(watch.tick()) } else { Err(RecvTimeoutError::Disconnected) };
            match arrived {
                Ok((name, Ok(bytes))) if bytes.len() <= MAX_OUTPUT => {
                    output[name] = String::from_utf8_lossy(&bytes).into_owned().into();
                    open -= 1;
                }
                Ok((name, Ok(_))) => {
                    end(child, watch);
                    return Ended::Failed(format!("it wrote more than {} MiB to {name}", MAX_OUTPUT / 1024 / 1024));
                }
                Ok((name, Err(error))) => {
                    end(child, watch);
                    return Ended::Failed(format!("its {name} cannot be read: {error}"));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    open = 0;
                    if status.is_none() {
                        std::thread::sleep(watch.tick());
                    }
                }
            }
        }
        // As Python has it: a process that a signal ended has that signal's number, negative.
        let code = status.map(|status| {
            use std::os::unix::process::ExitStatusExt as _;
            status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
        });
        output["status"] = code.into();
        Ended::Output(output)
    }
}

type Stream = (&'static str, std::io::Result<Vec<u8>>);

/// How long a process may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// Ends a process and what it started: asks, waits, then does not ask.
fn end(child: &mut Child, watch: &Watch<'_>) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group {
            // A group that has ended already is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    };
    signal(Signal::TERM);
    let began = watch.now();
    while matches!(child.try_wait(), Ok(None)) && watch.now().since(began) < GRACE {
        std::thread::sleep(watch.tick());
    }
    signal(Signal::KILL);
    let _ = child.wait();
}

fn listed(node: &Node<'_>) -> Result<Arguments, Problem> {
    let scalar = |node: &Node<'_>| {
        let plain = !node.value.is_object() && !node.value.is_array();
        if plain { Ok(()) } else { Err(node.problem("an argument is a text, a number or true or false")) }
    };
    match node.value {
        Value::String(line) => Ok(Arguments::Line(line.clone())),
        Value::Array(items) => {
            node.items().try_for_each(|item| scalar(&item))?;
            let given = items.iter().filter(|item| !item.is_null() && item.as_str() != Some(""));
            Ok(Arguments::List(given.map(text).collect()))
        }
        Value::Object(members) => {
            node.members().try_for_each(|(_, value)| scalar(&value))?;
            let pairs = members.iter().flat_map(|(key, value)| [Value::from(key.as_str()), value.clone()]);
            let given = pairs.filter(|item| !item.is_null() && item.as_str() != Some(""));
            Ok(Arguments::List(given.map(|item| text(&item)).collect()))
        }
        _ => Err(node.problem("`arguments` is a list, or one text for the shell")),
    }
}

/// The program that a path or a name stands for.
fn which(path: &str) -> Result<PathBuf, String> {
    let expanded = match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    };
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if expanded.components().count() > 1 || path.contains('/') {
        if runs(&expanded) {
            return Ok(expanded);
        }
        let there = expanded.exists();
        let problem = if there { "is no program that may be run" } else { "is not there" };
        return Err(format!("`{path}` {problem}; give the path of a program, or its name if it is on PATH"));
    }
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places).map(|place| place.join(&expanded)).find(|path| runs(path));
    found.ok_or_else(|| format!("there is no program `{path}` on PATH; install it, or give the whole path"))
}
