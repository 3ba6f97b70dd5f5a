//! `fizzops config show`: every setting, and where it came from.

use clap::{Args, Subcommand};

use super::session::{ConfigSource, load};
use super::{Exit, Failure};
use crate::engine::Settings;

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Print every setting with where it came from
    Show {
        #[command(flatten)]
        source: ConfigSource,
        /// As the console begins: with every mechanism on
        #[arg(long)]
        console: bool,
    },
}

pub fn main(args: &ConfigArgs) -> Result<Exit, Failure> {
    let Sub::Show { source, console } = &args.command;
    let base = if *console { Settings::everything() } else { Settings::default() };
    let loaded = load(&base, source, &[])?;
    super::output::print(&loaded.show())
}
