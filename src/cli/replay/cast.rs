//! A recording as an asciicast, for asciinema and whatever else plays them. Versions 2 and 3 of the format:
//! <https://docs.asciinema.org/manual/asciicast/v2/> and v3.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::console::App;
use crate::console::picture::{Picture, picture};
use crate::domain::Timestamp;
use crate::engine::Frame;
use crate::recording::Mark;

/// A version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Version {
    /// Moments from the start
    #[value(name = "2")]
    Two,
    /// Intervals
    #[value(name = "3")]
    Three,
}

/// Writes frames as they are shown.
pub struct Cast<W> {
    file: W,
    version: Version,
    size: (u16, u16),
    speed: f64,
    began: Timestamp,
    /// The rows of the screen, as they were drawn last.
    rows: Vec<String>,
    /// When the last event was, from the start.
    last: Duration,
    drawn: Option<Duration>,
}

/// No more screens a second than this.
const INTERVAL: Duration = Duration::from_millis(33);

impl<W: Write> Cast<W> {
    /// Writes the header. `speed` is how many times as fast as it was it is shown.
    pub fn new(
        mut file: W,
        version: Version,
        size: (u16, u16),
        speed: f64,
        began: Timestamp,
        title: &str,
    ) -> io::Result<Self> {
        let (columns, rows) = size;
        let header = match version {
            Version::Two => json!({
                "version": 2, "width": columns, "height": rows, "timestamp": began.as_secs(), "title": title,
            }),
            Version::Three => json!({
                "version": 3, "term": { "cols": columns, "rows": rows, "type": "xterm-256color" },
                "timestamp": began.as_secs(), "title": title,
            }),
        };
        writeln!(file, "{header}")?;
        Ok(Self { file, version, size, speed, began, rows: Vec::new(), last: Duration::ZERO, drawn: None })
    }

    fn event(&mut self, at: Duration, code: &str, data: &str) -> io::Result<()> {
        let moment = match self.version {
            Version::Two => at,
            Version::Three => at.saturating_sub(self.last),
        };
        self.last = at;
        let micros = moment.as_micros() as f64 / 1e6;
        writeln!(self.file, "{}", json!([micros, code, data]))
    }

    /// Shows the app as it is after a frame; `last` is shown whatever came just before.
    pub fn frame(&mut self, app: &App, frame: &Arc<Frame>, last: bool) -> io::Result<()> {
        let at = frame.at.since(self.began).div_f64(self.speed);
        for mark in frame.events.iter().filter_map(Mark::of) {
            self.event(at, "m", mark.kind.name())?;
        }
        if self.drawn.is_some_and(|drawn| at.saturating_sub(drawn) < INTERVAL) && !last {
            return Ok(());
        }
        self.drawn = Some(at);
        let (columns, rows) = self.size;
        let screen = picture(app, columns, rows, Picture::Ansi);
        let rows: Vec<String> = screen.lines().map(str::to_owned).collect();
        // Without a cursor and without wrapping, so that the last column may be used.
        let mut text = String::from(if self.rows.is_empty() { "\x1b[?25l\x1b[?7l\x1b[2J" } else { "" });
        for (row, line) in rows.iter().enumerate().filter(|(row, line)| self.rows.get(*row) != Some(line)) {
            text.push_str(&format!("\x1b[{};1H{line}", row + 1));
        }
        self.rows = rows;
        if text.is_empty() { Ok(()) } else { self.event(at, "o", &text) }
    }

    /// Ends the file.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()
    }
}
