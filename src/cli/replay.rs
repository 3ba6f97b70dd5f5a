//! replay
use super::{Exit, Failure};
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {}
pub fn main(_: &ReplayArgs) -> Result<Exit, Failure> {
    Ok(Exit::Done)
}
