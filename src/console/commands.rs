//! The one table of what can be done: it feeds the keys, the footer, the help and the palette.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::player::PlayerAction;
use crate::mechanisms::auth::Duty;
use crate::recording::MarkKind;

/// The tabs, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[allow(missing_docs, reason = "a tab is its title")]
pub enum Tab {
    Overview,
    Pipeline,
    Breakers,
    Caches,
    Slos,
    Flags,
    GameDays,
    Ledger,
    Journal,
    Logs,
}

impl Tab {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Overview,
        Self::Pipeline,
        Self::Breakers,
        Self::Caches,
        Self::Slos,
        Self::Flags,
        Self::GameDays,
        Self::Ledger,
        Self::Journal,
        Self::Logs,
    ];

    /// As the tab bar shows it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Pipeline => "Pipeline",
            Self::Breakers => "Breakers",
            Self::Caches => "Caches",
            Self::Slos => "SLOs",
            Self::Flags => "Flags",
            Self::GameDays => "Game days",
            Self::Ledger => "Ledger",
            Self::Journal => "Journal",
            Self::Logs => "Logs",
        }
    }
}

impl Tab {
    /// Where the bar has no room for titles.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Overview => "Over",
            Self::Pipeline => "Pipe",
            Self::Breakers => "Brkr",
            Self::Caches => "Cach",
            Self::Slos => "SLOs",
            Self::Flags => "Flag",
            Self::GameDays => "Game",
            Self::Ledger => "Ledg",
            Self::Journal => "Jrnl",
            Self::Logs => "Logs",
        }
    }

    /// The one `step` places on, around the end.
    pub fn step(self, step: isize) -> Self {
        let count = Self::ALL.len() as isize;
        // The remainder of a division by ten, made positive, is a place.
        Self::ALL[(self as isize + step).rem_euclid(count) as usize]
    }
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table's titles say what each does")]
pub enum Action {
    Open(Tab),
    NextTab,
    PreviousTab,
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Pause,
    Step,
    Faster,
    Slower,
    TripBreaker,
    ForceBreaker,
    ResetBreaker,
    ToggleFlag,
    RollUp,
    RollDown,
    ClearCache,
    NextPolicy,
    ChaosLevel,
    Acknowledge,
    StartGameDay,
    AbortGameDay,
    ProveEntry,
    ExtendGameDay,
    NextLocale,
    Play(Step),
    Earlier,
    Later,
    Now,
    Annotate,
    OpenWay,
    Filter,
    NoFilter,
    GoTo,
    Help,
    Quit,
}

/// A step within a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table's titles say what each does")]
pub enum Step {
    Back,
    On,
    ToStart,
    ToEnd,
    Frame(bool),
    Event(bool),
    Mark(MarkKind, bool),
    Marker,
    NextMarker,
    LoopFrom,
    LoopTo,
    NoLoop,
}

impl Step {
    /// What the player is told.
    pub const fn action(self) -> PlayerAction {
        match self {
            Self::Back => PlayerAction::Back,
            Self::On => PlayerAction::Forward,
            Self::ToStart => PlayerAction::ToStart,
            Self::ToEnd => PlayerAction::ToEnd,
            Self::Frame(forward) => PlayerAction::Frame { forward },
            Self::Event(forward) => PlayerAction::Event { forward },
            Self::Mark(kind, forward) => PlayerAction::Mark { kind, forward },
            Self::Marker => PlayerAction::Marker,
            Self::NextMarker => PlayerAction::NextMarker,
            Self::LoopFrom => PlayerAction::LoopFrom,
            Self::LoopTo => PlayerAction::LoopTo,
            Self::NoLoop => PlayerAction::NoLoop,
        }
    }
}

/// Where a command applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On every tab of a live session and of a replay.
    Everywhere,
    /// On every tab of a live session.
    Live,
    /// On one tab of a live session.
    On(Tab),
    /// On one tab of a live session and of a replay.
    Shared(Tab),
    /// On every tab of a replay.
    Replay,
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it does.
    pub action: Action,
    /// In a few words.
    pub title: &'static str,
    /// Its keys, as they are shown; the first one is in the footer.
    pub keys: &'static [&'static str],
    /// Where it applies.
    pub place: Place,
    /// Whether it disturbs the service and so asks first.
    pub disturbs: bool,
    /// Whether the footer has room for it.
    pub footer: bool,
}

const fn entry(action: Action, title: &'static str, keys: &'static [&'static str], place: Place) -> Entry {
    Entry { action, title, keys, place, disturbs: false, footer: true }
}

const fn quiet(action: Action, title: &'static str, keys: &'static [&'static str], place: Place) -> Entry {
    Entry { action, title, keys, place, disturbs: false, footer: false }
}

const fn disturbing(action: Action, title: &'static str, keys: &'static [&'static str], place: Place) -> Entry {
    Entry { action, title, keys, place, disturbs: true, footer: true }
}

/// The table. What belongs to a tab comes first, so that its keys win there and lead the footer.
pub const TABLE: &[Entry] = &[
    disturbing(Action::StartGameDay, "start game day", &["enter"], Place::On(Tab::GameDays)),
    entry(Action::ExtendGameDay, "longer phase", &["e"], Place::On(Tab::GameDays)),
    disturbing(Action::TripBreaker, "trip", &["t"], Place::On(Tab::Breakers)),
    disturbing(Action::ForceBreaker, "hold open", &["f"], Place::On(Tab::Breakers)),
    entry(Action::ResetBreaker, "reset", &["r"], Place::On(Tab::Breakers)),
    disturbing(Action::ToggleFlag, "turn on or off", &["enter", "e"], Place::On(Tab::Flags)),
    disturbing(Action::RollUp, "roll out to 10 % more", &["]"], Place::On(Tab::Flags)),
    disturbing(Action::RollDown, "roll out to 10 % less", &["["], Place::On(Tab::Flags)),
    disturbing(Action::ClearCache, "clear", &["c"], Place::On(Tab::Caches)),
    disturbing(Action::NextPolicy, "next policy", &["p"], Place::On(Tab::Caches)),
    entry(Action::ProveEntry, "prove this line", &["enter", "v"], Place::On(Tab::Ledger)),
    entry(Action::OpenWay, "its trace", &["enter"], Place::Shared(Tab::Journal)),
    entry(Action::Filter, "filter", &["/"], Place::Shared(Tab::Journal)),
    entry(Action::NoFilter, "no filter", &["esc"], Place::Shared(Tab::Journal)),
    entry(Action::OpenWay, "its trace", &["enter"], Place::Shared(Tab::Pipeline)),
    entry(Action::Acknowledge, "acknowledge", &["a"], Place::Live),
    entry(Action::AbortGameDay, "abort game day", &["A"], Place::Live),
    entry(Action::ChaosLevel, "chaos level", &["x"], Place::Live),
    entry(Action::Pause, "pause", &["space", "p"], Place::Everywhere),
    quiet(Action::Step, "one evaluation while paused", &["."], Place::Live),
    entry(Action::Faster, "faster", &["+", "="], Place::Everywhere),
    entry(Action::Slower, "slower", &["-"], Place::Everywhere),
    entry(Action::Play(Step::Back), "5 s back", &["left"], Place::Replay),
    entry(Action::Play(Step::On), "5 s on", &["right"], Place::Replay),
    entry(Action::GoTo, "go to a time", &["t"], Place::Replay),
    entry(Action::Play(Step::Mark(MarkKind::Alert, true)), "next alert", &["a"], Place::Replay),
    quiet(Action::Play(Step::Mark(MarkKind::Alert, false)), "alert before", &["A"], Place::Replay),
    quiet(Action::Play(Step::Mark(MarkKind::Fault, true)), "next fault", &["f"], Place::Replay),
    quiet(Action::Play(Step::Mark(MarkKind::Fault, false)), "fault before", &["F"], Place::Replay),
    quiet(Action::Play(Step::Mark(MarkKind::Breaker, true)), "next breaker transition", &["b"], Place::Replay),
    quiet(Action::Play(Step::Mark(MarkKind::Breaker, false)), "breaker transition before", &["B"], Place::Replay),
    quiet(Action::Play(Step::Mark(MarkKind::Command, true)), "next command", &["c"], Place::Replay),
    quiet(Action::Play(Step::Mark(MarkKind::Command, false)), "command before", &["C"], Place::Replay),
    quiet(Action::Play(Step::Event(true)), "next event", &[">"], Place::Replay),
    quiet(Action::Play(Step::Event(false)), "event before", &["<"], Place::Replay),
    quiet(Action::Play(Step::Frame(true)), "next frame", &["."], Place::Replay),
    quiet(Action::Play(Step::Frame(false)), "frame before", &[","], Place::Replay),
    quiet(Action::Play(Step::Marker), "set a marker, or take it away", &["m"], Place::Replay),
    quiet(Action::Play(Step::NextMarker), "next marker or note", &["n"], Place::Replay),
    quiet(Action::Play(Step::LoopFrom), "a loop begins here", &["["], Place::Replay),
    quiet(Action::Play(Step::LoopTo), "the loop ends here", &["]"], Place::Replay),
    quiet(Action::Play(Step::NoLoop), "no loop", &["\\"], Place::Replay),
    quiet(Action::Play(Step::ToStart), "to the session's start", &["home"], Place::Replay),
    quiet(Action::Play(Step::ToEnd), "to the session's end", &["end"], Place::Replay),
    entry(Action::Later, "later", &[">"], Place::Live),
    entry(Action::Now, "now", &["esc"], Place::Live),
    quiet(Action::Earlier, "look 5 s back", &["<"], Place::Live),
    quiet(Action::Annotate, "note", &["i"], Place::Everywhere),
    quiet(Action::NextLocale, "outputs in the next language", &["L"], Place::Live),
    quiet(Action::Up, "up", &["k", "up"], Place::Everywhere),
    quiet(Action::Down, "down", &["j", "down"], Place::Everywhere),
    quiet(Action::PageUp, "page up", &["pgup"], Place::Everywhere),
    quiet(Action::PageDown, "page down", &["pgdn"], Place::Everywhere),
    quiet(Action::Top, "to the top", &["g", "home"], Place::Everywhere),
    quiet(Action::Bottom, "to the bottom", &["G", "end"], Place::Everywhere),
    quiet(Action::NextTab, "next tab", &["tab", "l", "right"], Place::Everywhere),
    quiet(Action::PreviousTab, "previous tab", &["backtab", "h", "left"], Place::Everywhere),
    quiet(Action::Open(Tab::Overview), "Overview", &["1"], Place::Everywhere),
    quiet(Action::Open(Tab::Pipeline), "Pipeline", &["2"], Place::Everywhere),
    quiet(Action::Open(Tab::Breakers), "Breakers", &["3"], Place::Everywhere),
    quiet(Action::Open(Tab::Caches), "Caches", &["4"], Place::Everywhere),
    quiet(Action::Open(Tab::Slos), "SLOs", &["5"], Place::Everywhere),
    quiet(Action::Open(Tab::Flags), "Flags", &["6"], Place::Everywhere),
    quiet(Action::Open(Tab::GameDays), "Game days", &["7"], Place::Everywhere),
    quiet(Action::Open(Tab::Ledger), "Ledger", &["8"], Place::Everywhere),
    quiet(Action::Open(Tab::Journal), "Journal", &["9"], Place::Everywhere),
    quiet(Action::Open(Tab::Logs), "Logs", &["0"], Place::Everywhere),
    entry(Action::Help, "help", &["?", ":"], Place::Everywhere),
    entry(Action::Quit, "quit", &["q", "ctrl-c"], Place::Everywhere),
];

impl Action {
    /// What an operator needs for it; `None` for what changes nothing in the engine.
    pub const fn duty(self) -> Option<Duty> {
        Some(match self {
            Self::Pause | Self::Step | Self::Faster | Self::Slower | Self::AbortGameDay | Self::NextLocale => {
                Duty::Session
            }
            Self::TripBreaker | Self::ForceBreaker | Self::ResetBreaker => Duty::Breaker,
            Self::ToggleFlag | Self::RollUp | Self::RollDown => Duty::Flag,
            Self::ClearCache | Self::NextPolicy => Duty::Cache,
            Self::ChaosLevel | Self::StartGameDay | Self::ExtendGameDay => Duty::Chaos,
            Self::Acknowledge => Duty::Alert,
            Self::ProveEntry => Duty::Ledger,
            Self::Open(_)
            | Self::NextTab
            | Self::PreviousTab
            | Self::Up
            | Self::Down
            | Self::PageUp
            | Self::PageDown
            | Self::Top
            | Self::Bottom
            | Self::Play(_)
            | Self::Earlier
            | Self::Later
            | Self::Now
            | Self::Annotate
            | Self::GoTo
            | Self::OpenWay
            | Self::Filter
            | Self::NoFilter
            | Self::Help
            | Self::Quit => return None,
        })
    }
}

impl Entry {
    /// Whether it applies on this tab of a live session, or of a replay.
    pub fn applies(&self, tab: Tab, replay: bool) -> bool {
        match self.place {
            Place::Everywhere => true,
            Place::Live => !replay,
            Place::On(place) => !replay && place == tab,
            Place::Shared(place) => place == tab,
            Place::Replay => replay,
        }
    }
}

/// What this key does here.
pub fn lookup(key: &KeyEvent, tab: Tab, replay: bool) -> Option<&'static Entry> {
    let name = name(key)?;
    TABLE.iter().find(|entry| entry.applies(tab, replay) && entry.keys.contains(&name.as_str()))
}

/// A key, as the table writes it.
fn name(key: &KeyEvent) -> Option<String> {
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => "ctrl-c".into(),
        KeyCode::Char(' ') => "space".into(),
        KeyCode::Char(letter) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => letter.into(),
        KeyCode::Enter => "enter".into(),
        KeyCode::Esc => "esc".into(),
        KeyCode::Tab => "tab".into(),
        KeyCode::BackTab => "backtab".into(),
        KeyCode::Up => "up".into(),
        KeyCode::Down => "down".into(),
        KeyCode::Left => "left".into(),
        KeyCode::Right => "right".into(),
        KeyCode::Home => "home".into(),
        KeyCode::End => "end".into(),
        KeyCode::PageUp => "pgup".into(),
        KeyCode::PageDown => "pgdn".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tab_has_a_key_and_every_key_of_a_place_is_seen() {
        for tab in Tab::ALL {
            assert!(TABLE.iter().any(|entry| entry.action == Action::Open(tab)));
        }
        for entry in TABLE {
            assert!(!entry.keys.is_empty() && !entry.title.is_empty());
            if let Place::On(tab) = entry.place {
                let first = TABLE.iter().find(|other| other.applies(tab, false) && other.keys.contains(&entry.keys[0]));
                assert_eq!(first.unwrap().action, entry.action, "{} hides {}", first.unwrap().title, entry.title);
            }
        }
    }
}
