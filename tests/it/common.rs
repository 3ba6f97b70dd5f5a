//! Runs the real program and looks at what it says.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// What a run left behind.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

/// Where the runs of this process keep their keys: a folder of its own, below the build's.
fn data_home() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("data-{}", std::process::id()))
}

/// The program, away from whatever configuration the machine has.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fizzops"));
    command
        .current_dir(std::env::temp_dir())
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("XDG_DATA_HOME", data_home())
        .stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("EFP_")) {
        command.env_remove(name);
    }
    command
}

/// Runs it with arguments as a shell would split them (no quoting).
pub fn fizzops(args: &str) -> Ran {
    program().args(args.split_whitespace()).output().expect("the program starts").into()
}

/// Runs it with this on its standard input.
pub fn fizzops_reading(args: &str, input: &str) -> Ran {
    let mut child = program()
        .args(args.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A program that stops reading closes the pipe; that is its right.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends");
    output.into()
}
