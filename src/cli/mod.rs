//! The command line: one file a subcommand, and what they share. Results go to stdout; everything else to stderr.

mod breaker;
mod cache;
mod config;
mod data;
mod exit;
mod explain;
mod flags;
mod gameday;
mod gameday_toolkit;
mod journal;
mod keys;
mod ledger;
mod live;
mod migrate;
mod outbox;
mod output;
mod replay;
mod run;
mod session;
mod slo;
mod summary;
mod token;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};

const AFTER_HELP: &str = "\
Examples:
  fizzops                                     the console over a live engine
  fizzops run --range 1 100                   the classic hundred lines
  fizzops run --range 1 30 --format json      one JSON document on stdout
  fizzops gameday run modulo_meltdown         a drill with a verdict for CI
  fizzops --record day.fizz                   record what the console shows
  fizzops replay day.fizz                     and look at it again
  fizzops breaker what-if day.fizz --set failure_threshold=9
                                              what if the breaker had waited longer?

Exit codes:
  0    done
  1    the run finished, but a hypothesis, an SLO gate or a comparison did not hold
  2    usage or configuration
  3    not authenticated or not permitted
  4    integrity: a ledger, a recording or a database is not what it claims
  5    a scenario never ran, because its steady state did not hold before
  130  interrupted";

/// An operations console for rehearsing failure.
#[derive(Debug, Parser)]
#[command(name = "fizzops", version, about, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    live: live::LiveArgs,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Evaluate a range, a file or draws, without a console
    Run(Box<run::RunArgs>),
    /// Drills with a hypothesis and a verdict
    Gameday(gameday::GamedayArgs),
    /// Show a recorded session in the console
    Replay(replay::ReplayArgs),
    /// A recorded session's calls under another breaker configuration
    Breaker(breaker::BreakerArgs),
    /// The audit ledger
    Ledger(ledger::LedgerArgs),
    /// Tokens: who may come in, and in which role
    Token(token::TokenArgs),
    /// The durable journal: ask, look back, verify, export
    Journal(journal::JournalArgs),
    /// Events that leave the process: what waits, what no receiver took, send again
    Outbox(outbox::OutboxArgs),
    /// One number's way through the chain, middleware by middleware
    Trace(trace::TraceArgs),
    /// The schema of the repository's database
    Migrate(migrate::MigrateArgs),
    /// Cache policies, compared on what was really asked for
    Cache(cache::CacheArgs),
    /// Feature flags: list, evaluate, check and compare definitions
    Flags(flags::FlagsArgs),
    /// Service level objectives: list, check, Prometheus rules, who is on call
    Slo(slo::SloArgs),
    /// The resolved configuration
    Config(config::ConfigArgs),
    /// What an error code means, and what to do about it
    Explain(explain::ExplainArgs),
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; a closed pipe behind them is none either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let result = match cli.command {
        None => live::main(&cli.live),
        Some(Sub::Run(args)) => run::main(&args),
        Some(Sub::Gameday(args)) => gameday::main(&args),
        Some(Sub::Replay(args)) => replay::main(&args),
        Some(Sub::Breaker(args)) => breaker::main(&args),
        Some(Sub::Ledger(args)) => ledger::main(&args),
        Some(Sub::Token(args)) => token::main(&args),
        Some(Sub::Journal(args)) => journal::main(&args),
        Some(Sub::Outbox(args)) => outbox::main(&args),
        Some(Sub::Trace(args)) => trace::main(&args),
        Some(Sub::Migrate(args)) => migrate::main(&args),
        Some(Sub::Cache(args)) => cache::main(&args),
        Some(Sub::Flags(args)) => flags::main(&args),
        Some(Sub::Slo(args)) => slo::main(&args),
        Some(Sub::Config(args)) => config::main(&args),
        Some(Sub::Explain(args)) => explain::main(&args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit.into()
        }
    }
}
