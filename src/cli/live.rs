//! live
use super::{Exit, Failure};
#[derive(Debug, clap::Args)]
pub struct LiveArgs {}
pub fn main(_: &LiveArgs) -> Result<Exit, Failure> {
    Ok(Exit::Done)
}
