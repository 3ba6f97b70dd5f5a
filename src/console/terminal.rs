//! The terminal: taken over, and given back whatever ends the program.

use std::io::{self, Write as _, stdout};

use crossterm::execute;
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::DefaultTerminal;

use super::app::App;

/// The screen while the console has it. Dropped, it is restored; a panic restores it before it is reported.
pub struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes it over.
    ///
    /// # Errors
    /// As the terminal does.
    pub fn enter() -> io::Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    /// Draws, bracketed by synchronized update, so that no half of a frame is seen.
    ///
    /// # Errors
    /// As writing to the terminal does.
    pub fn draw(&mut self, app: &App) -> io::Result<()> {
        execute!(stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| app.draw(frame.area(), frame.buffer_mut()))?;
        execute!(stdout(), EndSynchronizedUpdate)
    }

    /// Gives the terminal back, stops until the shell continues the program, and takes it over again.
    ///
    /// # Errors
    /// As the terminal does.
    pub fn suspend(&mut self) -> io::Result<()> {
        ratatui::restore();
        stdout().flush()?;
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        self.terminal = ratatui::try_init()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
