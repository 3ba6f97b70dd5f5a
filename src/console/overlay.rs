//! What lies over a screen: the searchable help, a question before something disturbs, the chaos levels. A key goes to
//! the topmost one.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::commands::{self, Entry, TABLE, Tab};
use super::filter::Chosen;
use super::format::cut;
use super::theme::{Role, Theme};
use super::way::Way;
use super::widgets::{self, line};
use crate::engine::Command;
use crate::mechanisms::auth;
use crate::mechanisms::chaos::{ChaosCommand, Level};

/// An overlay.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    /// Every command that applies, to be searched and done.
    Help {
        /// What was typed.
        filter: String,
        /// The selected line among those that match.
        selected: usize,
    },
    /// Something would disturb the service.
    Confirm {
        /// What would happen, naming its target.
        question: String,
        /// The command for it.
        command: Command,
    },
    /// The levels of fault injection.
    Chaos {
        /// The selected one.
        level: u8,
    },
    /// One evaluation's way through the chain.
    Way(Box<Way>),
    /// A filter is to be typed.
    Filter {
        /// As far as it is.
        text: String,
        /// What is wrong with it, with a caret under the place.
        problem: Option<String>,
    },
    /// Something is to be typed.
    Prompt {
        /// What.
        ask: Ask,
        /// As far as it is.
        text: String,
    },
}

/// What is asked for in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// What is to be said of this moment.
    Note,
    /// Where a replay is to go.
    Time,
}

impl Ask {
    const fn title(self) -> &'static str {
        match self {
            Self::Note => "A note of this moment",
            Self::Time => "Go to, after the start: 75s, 1m15s or 1:15",
        }
    }
}

/// What becomes of an overlay after a key.
#[derive(Debug, PartialEq)]
pub enum After {
    /// It stays.
    Stay,
    /// It goes.
    Close,
    /// It goes, and this is sent.
    Send(Command),
    /// It goes, and this is done.
    Do(&'static Entry),
    /// It goes, and this was typed.
    Say(Ask, String),
    /// It goes, and lists are filtered so.
    Choose(Option<Chosen>),
}

/// Over what an overlay lies, and who looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The open tab.
    pub tab: Tab,
    /// Of a replay.
    pub replay: bool,
    /// The operator's role.
    pub role: auth::Role,
}

impl Place {
    /// Whether the operator may do what an entry does; a replay changes nothing.
    pub fn permits(self, entry: &Entry) -> bool {
        self.replay || entry.action.duty().is_none_or(|duty| self.role.may(duty))
    }
}

impl Overlay {
    /// Takes a key.
    pub fn on_key(&mut self, key: &KeyEvent, tab: Tab, replay: bool) -> After {
        match (self, key.code) {
            (_, KeyCode::Esc) => After::Close,
            (Self::Confirm { command, .. }, KeyCode::Char('y' | 'Y') | KeyCode::Enter) => After::Send(command.clone()),
            (Self::Confirm { .. }, KeyCode::Char('n' | 'N' | 'q')) => After::Close,
            (Self::Confirm { .. }, _) => After::Stay,
            (Self::Chaos { level }, code) => match code {
                KeyCode::Char(digit @ '0'..='5') => After::Send(set_level(digit as u8 - b'0')),
                KeyCode::Up | KeyCode::Char('k') => {
                    *level = level.saturating_sub(1);
                    After::Stay
                }
                KeyCode::Down | KeyCode::Char('j') => {
                    *level = (*level + 1).min(5);
                    After::Stay
                }
                KeyCode::Enter => After::Send(set_level(*level)),
                KeyCode::Char('q' | 'x') => After::Close,
                _ => After::Stay,
            },
            (Self::Way(way), code) => {
                if way.on_key(code) {
                    After::Close
                } else {
                    After::Stay
                }
            }
            (Self::Filter { text, problem }, code) => {
                match code {
                    KeyCode::Enter if text.trim().is_empty() => return After::Choose(None),
                    KeyCode::Enter => match Chosen::parse(text) {
                        Ok(chosen) => return After::Choose(Some(chosen)),
                        Err(wrong) => *problem = Some(wrong),
                    },
                    KeyCode::Backspace => {
                        text.pop();
                        *problem = None;
                    }
                    KeyCode::Char(letter)
                        if key.modifiers.difference(KeyModifiers::SHIFT).is_empty() && text.chars().count() < 400 =>
                    {
                        text.push(letter);
                        *problem = None;
                    }
                    _ => {}
                }
                After::Stay
            }
            (Self::Prompt { ask, text }, code) => match code {
                KeyCode::Enter if text.trim().is_empty() => After::Close,
                KeyCode::Enter => After::Say(*ask, std::mem::take(text)),
                KeyCode::Backspace => {
                    text.pop();
                    After::Stay
                }
                KeyCode::Char(letter)
                    if key.modifiers.difference(KeyModifiers::SHIFT).is_empty() && text.chars().count() < 400 =>
                {
                    text.push(letter);
                    After::Stay
                }
                _ => After::Stay,
            },
            (Self::Help { filter, selected }, code) => {
                match code {
                    KeyCode::Up => *selected = selected.saturating_sub(1),
                    KeyCode::Down => {
                        *selected = (*selected + 1).min(matching(filter, tab, replay).len().saturating_sub(1))
                    }
                    KeyCode::Enter => {
                        return matching(filter, tab, replay)
                            .get(*selected)
                            .map_or(After::Close, |entry| After::Do(entry));
                    }
                    KeyCode::Backspace => {
                        filter.pop();
                        *selected = 0;
                    }
                    // The key that opened the help closes it, unless it is part of a search.
                    KeyCode::Char('?') if filter.is_empty() => return After::Close,
                    KeyCode::Char(letter)
                        if key.modifiers.difference(KeyModifiers::SHIFT).is_empty() && filter.chars().count() < 40 =>
                    {
                        filter.push(letter);
                        *selected = 0;
                    }
                    _ => {}
                }
                After::Stay
            }
        }
    }

    /// Draws it over `area`.
    pub fn draw(&self, theme: &Theme, place: Place, area: Rect, buf: &mut Buffer) {
        match self {
            Self::Help { filter, selected } => help(theme, filter, *selected, place, area, buf),
            Self::Confirm { question, .. } => {
                let mut inner = widgets::overlay(theme, "This disturbs the service", 64, 7, area, buf);
                widgets::take(&mut inner, 1);
                widgets::wrapped(theme, Role::Text, question.as_str(), widgets::take(&mut inner, 3), buf);
                let keys = [
                    (Role::Accent, "y ".into()),
                    (Role::Text, "yes   ".into()),
                    (Role::Accent, "n ".into()),
                    (Role::Text, "no".into()),
                ];
                widgets::lines(inner, buf, vec![line(theme, keys)]);
            }
            Self::Way(way) => way.draw(theme, area, buf),
            Self::Filter { text, problem } => filter(theme, text, problem.as_deref(), area, buf),
            Self::Prompt { ask, text } => {
                let mut inner = widgets::overlay(theme, ask.title(), 64, 7, area, buf);
                widgets::take(&mut inner, 1);
                let typed = format!("{text}{}", theme.glyphs.bars[8]);
                widgets::wrapped(theme, Role::Text, typed, widgets::take(&mut inner, 3), buf);
                let hint = [(Role::Muted, "Enter takes it, Esc leaves".to_owned())];
                widgets::lines(inner, buf, vec![line(theme, hint)]);
            }
            Self::Chaos { level } => {
                let inner = widgets::overlay(theme, "Chaos level", 54, 10, area, buf);
                let mut lines = vec![line(theme, [(Role::Text, "0  off".to_owned())])];
                lines.extend((1..=5).filter_map(Level::new).map(|level| {
                    let percent = level.probability() * 100.0;
                    line(
                        theme,
                        [
                            (Role::Text, format!("{}  {:<22}", level.number(), level.label())),
                            (Role::Muted, format!("{percent:>3.0} % of evaluations")),
                        ],
                    )
                }));
                lines.push(line(theme, []));
                lines.push(line(theme, [(Role::Muted, "a digit or Enter sets it; Esc leaves".to_owned())]));
                widgets::lines(inner, buf, lines);
                if u16::from(*level) < inner.height {
                    widgets::reverse(theme, Rect { y: inner.y + u16::from(*level), height: 1, ..inner }, buf);
                }
            }
        }
    }
}

/// The caret stays in sight, however long the filter is.
fn filter(theme: &Theme, text: &str, problem: Option<&str>, area: Rect, buf: &mut Buffer) {
    let mut inner = widgets::overlay(theme, "Show evaluations where", 76, 10, area, buf);
    widgets::take(&mut inner, 1);
    let room = usize::from(inner.width).saturating_sub(2);
    match problem.and_then(|problem| problem.split_once('\n')) {
        None => {
            let typed = format!("{text}{}", theme.glyphs.bars[8]);
            widgets::wrapped(theme, Role::Text, typed, widgets::take(&mut inner, 5), buf);
        }
        Some((what, place)) => {
            widgets::wrapped(theme, Role::Bad, what, widgets::take(&mut inner, 3), buf);
            let caret = place.lines().nth(1).map_or(0, |line| line.chars().take_while(|letter| *letter == ' ').count());
            let skip = (caret + 8).saturating_sub(room);
            for shown in place.lines() {
                let shown: String = shown.chars().skip(skip).collect();
                let row = widgets::take(&mut inner, 1);
                widgets::lines(row, buf, vec![line(theme, [(Role::Text, shown)])]);
            }
        }
    }
    let hint = "e.g. number > 10 and output = \"Fizz\"; Enter takes it, Esc leaves, empty shows all";
    let last = Rect { y: inner.bottom().saturating_sub(1), height: inner.height.min(1), ..inner };
    widgets::lines(last, buf, vec![line(theme, [(Role::Muted, cut(hint, room + 2))])]);
}

fn set_level(level: u8) -> Command {
    Command::Chaos(if level == 0 { ChaosCommand::Disarm } else { ChaosCommand::SetLevel { level } })
}

/// The entries that apply here and contain every typed word.
fn matching(filter: &str, tab: Tab, replay: bool) -> Vec<&'static Entry> {
    let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
    let fits = |entry: &&Entry| {
        let text = format!("{} {}", entry.title, place(entry)).to_lowercase();
        entry.applies(tab, replay) && words.iter().all(|word| text.contains(word.as_str()))
    };
    TABLE.iter().filter(fits).collect()
}

fn place(entry: &Entry) -> &'static str {
    match entry.place {
        commands::Place::Everywhere => "everywhere",
        commands::Place::Live => "live session",
        commands::Place::On(tab) | commands::Place::Shared(tab) => tab.title(),
        commands::Place::Replay => "replay",
    }
}

fn help(theme: &Theme, filter: &str, selected: usize, place: Place, area: Rect, buf: &mut Buffer) {
    let entries = matching(filter, place.tab, place.replay);
    let mut inner = widgets::overlay(theme, "What can be done here", 66, entries.len() as u16 + 5, area, buf);
    let typed =
        [(Role::Muted, "search  ".to_owned()), (Role::Text, format!("{}{}", cut(filter, 40), theme.glyphs.bars[8]))];
    widgets::lines(widgets::take(&mut inner, 1), buf, vec![line(theme, typed)]);
    widgets::take(&mut inner, 1);
    let hint = Rect { y: inner.bottom().saturating_sub(1), height: inner.height.min(1), ..inner };
    inner.height = inner.height.saturating_sub(1);
    let first = selected.saturating_sub(usize::from(inner.height).saturating_sub(1));
    let lines = entries.iter().skip(first).map(|entry| {
        let ask = match (place.permits(entry), entry.disturbs) {
            (false, _) => "not permitted",
            (true, true) => "asks first",
            (true, false) => "",
        };
        line(
            theme,
            [
                (Role::Accent, format!("{:<18}", entry.keys.join(" "))),
                (Role::Text, format!("{:<32}", entry.title)),
                (Role::Muted, ask.to_owned()),
            ],
        )
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        widgets::lines(inner, buf, vec![line(theme, [(Role::Muted, "nothing here matches".to_owned())])]);
    } else {
        widgets::lines(inner, buf, lines);
        let row = (selected - first) as u16;
        if row < inner.height {
            widgets::reverse(theme, Rect { y: inner.y + row, height: 1, ..inner }, buf);
        }
    }
    widgets::lines(hint, buf, vec![line(theme, [(Role::Muted, "Enter does the selected one; Esc closes".to_owned())])]);
}
