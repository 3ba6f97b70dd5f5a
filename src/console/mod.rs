//! The console: frames come in, a screen comes out, keys become commands. It changes an engine by nothing else, and
//! cannot tell a live one from a recorded one.

mod app;
pub mod commands;
mod drill_chart;
mod filter;
pub mod format;
pub mod narrate;
mod overlay;
mod past;
pub mod picture;
mod player;
mod scrubber;
mod session;
mod tabs;
mod terminal;
pub mod theme;
pub mod timeline;
mod way;
mod widgets;

pub use app::{App, Effect, OPERATOR, Operator};
pub use commands::Tab;
pub use player::{Due, Player, PlayerAction, PlayerView};
pub use session::{Ended, Source, run};

#[cfg(test)]
mod tests;
