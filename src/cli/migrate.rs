//! `fizzops migrate`: the schema of the repository's database, up, down and as it is.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::data::{DATABASE, SharedDataDirArg};
use super::{Exit, Failure};
use crate::domain::Timestamp;
use crate::engine::WallClock;
use crate::records::data_dir::DataDir;
use crate::records::storage::migrations::Migrator;

const AFTER_HELP: &str = "\
Examples:
  fizzops migrate up --data-dir ./data             apply everything that is pending
  fizzops migrate up --to m003
  fizzops migrate down --to m001                   take back what came after m001
  fizzops migrate down --steps 1                   take back the last one
  fizzops migrate status
  fizzops migrate seed --range 1 50                results to look at";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct MigrateArgs {
    #[command(flatten)]
    dir: SharedDataDirArg,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Apply what is pending
    Up {
        /// Up to and with this one, e.g. m003
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
    },
    /// Take back what was applied
    Down {
        /// Everything after this one; 0 for all
        #[arg(long, value_name = "NAME", required_unless_present = "steps", conflicts_with = "steps")]
        to: Option<String>,
        /// The last N
        #[arg(long, value_name = "N")]
        steps: Option<usize>,
    },
    /// What is applied, since when, with which checksum
    Status,
    /// Write the results of a range by the classic rules
    Seed {
        /// From and to
        #[arg(long, num_args = 2, value_names = ["START", "END"], default_values_t = [1, 50], allow_negative_numbers = true)]
        range: Vec<i64>,
    },
}

fn now() -> Timestamp {
    WallClock::start().now()
}

/// Runs.
pub fn main(args: &MigrateArgs) -> Result<Exit, Failure> {
    let path: PathBuf = args.dir.path()?;
    let _lock = match &args.command {
        Sub::Status => DataDir::read(&path)?,
        _ => DataDir::lock(&path)?,
    };
    let mut migrator = Migrator::open(&path.join(DATABASE))?;
    let text = match &args.command {
        Sub::Up { to } => told("applied", &migrator.up(to.as_deref(), &now)?, "nothing is pending"),
        Sub::Down { to, steps } => {
            let keep = match (to, steps) {
                (Some(to), _) => migrator.keep(to)?,
                (None, steps) => migrator.applied()?.len().saturating_sub(steps.unwrap_or_default()),
            };
            told("took back", &migrator.down(keep, &now)?, "nothing was to be taken back")
        }
        Sub::Seed { range } => {
            let (from, to) = (range.first().copied().unwrap_or(1), range.get(1).copied().unwrap_or(50));
            if from > to {
                return Err(Failure::usage(format!("--range {from} {to}: give the smaller number first")));
            }
            format!("seeded {} results\n", migrator.seed(from, to, now())?)
        }
        Sub::Status => {
            let line = |status: &crate::records::storage::migrations::MigrationStatus| {
                let when = match status.state.as_str() {
                    "applied" => status.applied_at.map(|at| format!("applied {at}")),
                    "rolled_back" => status.rolled_back_at.map(|at| format!("taken back {at}")),
                    "failed" => status.error.clone(),
                    _ => None,
                };
                let took = status.duration_ms.map_or_else(String::new, |ms| format!(" in {ms} ms"));
                let when = when.unwrap_or_else(|| status.state.clone());
                format!("{} {:<28} {}  {when}{took}\n", status.mark(), status.name, status.checksum)
            };
            migrator.status()?.iter().map(line).collect()
        }
    };
    super::output::print(&text)
}

fn told(verb: &str, names: &[String], nothing: &str) -> String {
    if names.is_empty() {
        return format!("{nothing}\n");
    }
    names.iter().map(|name| format!("{verb} {name}\n")).collect()
}
