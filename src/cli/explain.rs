//! `fizzops explain CODE`.

use clap::Args;

use super::{Exit, Failure};
use crate::domain::ErrorCode;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// An error code, e.g. EFP-CB00 or cb00; all of them when left out
    code: Option<String>,
}

pub fn main(args: &ExplainArgs) -> Result<Exit, Failure> {
    let text = match &args.code {
        None => ErrorCode::ALL.iter().map(|code| format!("{code}  {}\n", code.meaning())).collect(),
        Some(text) => {
            let code: ErrorCode = text.parse().map_err(|error| {
                let near = ErrorCode::nearest(text).map_or(String::new(), |near| format!("; did you mean {near}?"));
                Failure::usage(format!("{error}{near}"))
            })?;
            format!("{code}  {}\n\n  {}\n", code.meaning(), code.hint())
        }
    };
    super::output::print(&text)
}
