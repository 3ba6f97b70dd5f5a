//! `fizzops ledger verify FILE`.

use std::fs::File;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Exit, Failure};
use crate::domain::text::grouped;
use crate::records::ledger::{VerifyError, verify};

#[derive(Debug, Args)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Check every block of a ledger: genesis, links, leaves, hashes and proof of work
    Verify {
        /// A file written by --ledger
        file: PathBuf,
    },
}

pub fn main(args: &LedgerArgs) -> Result<Exit, Failure> {
    let Sub::Verify { file: path } = &args.command;
    let file =
        File::open(path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
    match verify(file) {
        Ok(report) => super::output::print(&format!(
            "ledger verified: {} blocks, {} evaluations, {} commands, difficulty {}\nhead {}\n",
            grouped(report.blocks),
            grouped(report.evaluations),
            grouped(report.commands),
            report.difficulty,
            report.head
        )),
        Err(VerifyError::Io(error)) => Err(Failure::usage(format!("{} cannot be read: {error}", path.display()))),
        Err(error) => Err(Failure::new(Exit::Integrity, Some(error.code()), format!("{}: {error}", path.display()))),
    }
}
