//! The console's own small state: which tab, which row, what lies over it. Keys go in, effects come out; it draws itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use super::commands::{Action, Entry, TABLE, Tab, lookup};
use super::filter::Chosen;
use super::format::{cut, elapsed, grouped, long, share};
use super::overlay::{After, Ask, Overlay, Place};
use super::past::Past;
use super::player::{PlayerAction, PlayerView};
use super::scrubber;
use super::tabs::{self, View};
use super::theme::{Role, Theme};
use super::timeline::Timeline;
use super::way::Way;
use super::widgets::{self, Part, line, sign};
use crate::domain::{Outcome, Payload, Timestamp};
use crate::engine::director::Verdict;
use crate::engine::{Command, Frame, SessionInfo, Snapshot};
use crate::mechanisms::auth;
use crate::mechanisms::breaker::BreakerCommand;
use crate::mechanisms::cache::{CacheCommand, Policy};
use crate::mechanisms::flags::FlagsCommand;
use crate::mechanisms::i18n::I18nCommand;
use crate::mechanisms::slo::{AlertState, SloCommand};
use crate::recording::Moment;
use crate::records::ledger::LedgerCommand;

/// Who gives the console's commands unless it is told.
pub const OPERATOR: &str = "operator";

/// Who gives the console's commands, and in which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The name.
    pub name: String,
    /// What it may.
    pub role: auth::Role,
}

/// What a key leads to outside of the console.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// To the engine.
    Send(Command),
    /// To the player of a replay.
    Play(PlayerAction),
    /// A note of the moment that is shown.
    Annotate {
        /// Which moment.
        at: Timestamp,
        /// What is said of it.
        text: String,
    },
    /// The program steps into the background (Ctrl-Z).
    Suspend,
    /// It ends.
    Quit,
    /// It ends, interrupted (Ctrl-C).
    Interrupt,
}

/// The console.
pub struct App {
    info: SessionInfo,
    theme: Theme,
    timeline: Timeline,
    /// Of a live session, what it showed before.
    past: Past,
    tab: Tab,
    /// What is selected on each tab, by id, so that new rows do not move it.
    selected: BTreeMap<Tab, String>,
    overlays: Vec<Overlay>,
    /// Which evaluations are listed.
    filter: Option<Chosen>,
    /// Something to tell that the engine does not know of; gone with the next key.
    notice: Option<String>,
    player: Option<PlayerView>,
    operator: Operator,
    /// How many lines the logs are scrolled back.
    logs_back: usize,
}

/// Beside what the operator's role does not permit.
const NOT_PERMITTED: &str = " (not permitted)";
/// The least that a screen makes sense on.
const LEAST: (u16, u16) = (60, 15);
/// How long the answer to a command is shown.
const ANSWER_SPAN: Duration = Duration::from_secs(6);
/// How long a note is shown in a replay.
const NOTE_SPAN: Duration = Duration::from_secs(5);
/// How far one key looks back in a live session.
const LOOK: Duration = Duration::from_secs(5);
/// The rates that + and - go through; 0 is as fast as they go.
const RATES: [u32; 19] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 0];

impl App {
    /// Before the first frame.
    pub fn new(info: SessionInfo, theme: Theme) -> Self {
        Self {
            info,
            theme,
            timeline: Timeline::default(),
            past: Past::default(),
            tab: Tab::Overview,
            selected: BTreeMap::new(),
            overlays: Vec::new(),
            filter: None,
            notice: None,
            player: None,
            operator: Operator { name: OPERATOR.into(), role: auth::Role::FizzBuzzSuperuser },
            logs_back: 0,
        }
    }

    /// Who sits here.
    pub const fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Whoever sits here is this operator.
    pub fn operate_as(&mut self, operator: Operator) {
        self.operator = operator;
    }

    /// Takes a frame in.
    pub fn fold(&mut self, frame: Arc<Frame>) {
        if self.player.is_none() {
            self.past.keep(&frame);
        }
        self.timeline.fold(frame);
    }

    /// Shows a moment of a recording in place of everything before.
    pub fn show(&mut self, moment: Moment) {
        self.timeline = Timeline::at(moment);
    }

    /// What is looked at: the present, or the past of a live session.
    fn timeline(&self) -> &Timeline {
        self.past.shown().unwrap_or(&self.timeline)
    }

    /// Makes it a replay that stands as `view` says.
    pub fn set_player(&mut self, view: PlayerView) {
        self.player = Some(view);
    }

    /// Tells something until the next key.
    pub fn notify(&mut self, text: impl Into<String>) {
        self.notice = Some(text.into());
    }

    /// Opens a tab.
    pub const fn open(&mut self, tab: Tab) {
        self.tab = tab;
    }

    /// The tab that is open.
    pub const fn tab(&self) -> Tab {
        self.tab
    }

    /// The last frame.
    pub fn frame(&self) -> Option<&Arc<Frame>> {
        self.timeline().frame()
    }

    const fn is_replay(&self) -> bool {
        self.player.is_some()
    }

    fn snapshot(&self) -> Option<&Snapshot> {
        self.timeline().frame().map(|frame| &frame.snapshot)
    }

    /// Takes a key.
    pub fn on_key(&mut self, key: &KeyEvent) -> Option<Effect> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.notice = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Some(Effect::Interrupt),
                KeyCode::Char('z') => return Some(Effect::Suspend),
                _ => {}
            }
        }
        if let Some(top) = self.overlays.last_mut() {
            let after = top.on_key(key, self.tab, self.player.is_some());
            if after != After::Stay {
                self.overlays.pop();
            }
            return match after {
                After::Stay | After::Close => None,
                After::Send(command) => Some(Effect::Send(command)),
                After::Do(entry) => self.perform(entry),
                After::Say(ask, text) => self.said(ask, &text),
                After::Choose(filter) => {
                    self.filter = filter;
                    None
                }
            };
        }
        self.perform(lookup(key, self.tab, self.is_replay())?)
    }

    fn perform(&mut self, entry: &Entry) -> Option<Effect> {
        match entry.action {
            Action::Open(tab) => self.tab = tab,
            Action::NextTab => self.tab = self.tab.step(1),
            Action::PreviousTab => self.tab = self.tab.step(-1),
            Action::Up => self.select(-1),
            Action::Down => self.select(1),
            Action::Bottom if self.tab == Tab::Logs => self.logs_back = 0,
            Action::PageUp => self.select(-10),
            Action::PageDown => self.select(10),
            Action::Top => self.select(isize::MIN / 2),
            Action::Bottom => self.select(isize::MAX / 2),
            Action::Help => self.overlays.push(Overlay::Help { filter: String::new(), selected: 0 }),
            Action::ChaosLevel => {
                let level = self.snapshot()?.chaos.level;
                self.overlays.push(Overlay::Chaos { level });
            }
            Action::Quit => return Some(Effect::Quit),
            Action::Play(step) => return Some(Effect::Play(step.action())),
            Action::Earlier => self.past.look(&self.timeline, LOOK, false),
            Action::Later => self.past.look(&self.timeline, LOOK, true),
            Action::Now => self.past.now(),
            Action::OpenWay => {
                let snapshot = self.snapshot()?;
                let way = self.selection(snapshot).and_then(|id| Way::of(&id, &self.info, snapshot));
                match way {
                    Some(way) => self.overlays.push(Overlay::Way(Box::new(way))),
                    None => self.notify("there is no evaluation to open"),
                }
            }
            Action::Filter => {
                let text = self.filter.as_ref().map_or_else(String::new, |filter| filter.text.clone());
                self.overlays.push(Overlay::Filter { text, problem: None });
            }
            Action::NoFilter if self.filter.is_some() => self.filter = None,
            Action::NoFilter => self.past.now(),
            Action::Annotate => self.overlays.push(Overlay::Prompt { ask: Ask::Note, text: String::new() }),
            Action::GoTo => self.overlays.push(Overlay::Prompt { ask: Ask::Time, text: String::new() }),
            Action::Pause if self.is_replay() => return Some(Effect::Play(PlayerAction::Toggle)),
            Action::Faster if self.is_replay() => return Some(Effect::Play(PlayerAction::Faster)),
            Action::Slower if self.is_replay() => return Some(Effect::Play(PlayerAction::Slower)),
            action => {
                let (command, question) = match self.command(action)? {
                    Ok(found) => found,
                    Err(why_not) => {
                        self.notice = Some(why_not);
                        return None;
                    }
                };
                if !entry.disturbs {
                    return Some(Effect::Send(command));
                }
                // What is not permitted is told before it is asked about; the attempt goes to the engine all the same,
                // which refuses it and puts it on record.
                if self.operator.role.refusal(command.duty()).is_some() {
                    return Some(Effect::Send(command));
                }
                self.overlays.push(Overlay::Confirm { question, command });
            }
        }
        None
    }

    /// What was typed at a prompt.
    fn said(&mut self, ask: Ask, text: &str) -> Option<Effect> {
        match ask {
            Ask::Note => {
                let at = self.frame().map_or(self.info.began, |frame| frame.at);
                return Some(Effect::Annotate { at, text: text.to_owned() });
            }
            Ask::Time => match super::format::position(text) {
                Some(after) => return Some(Effect::Play(PlayerAction::Seek(after))),
                None => self.notify(format!("`{text}` is no time: write 75s, 1m15s or 1:15")),
            },
        }
        None
    }

    /// The command for an action on what is selected, with the question to ask first; or why there is none.
    fn command(&self, action: Action) -> Option<Result<(Command, String), String>> {
        let snapshot = self.snapshot()?;
        let named = |nothing: &str| self.selection(snapshot).ok_or_else(|| nothing.to_owned());
        let breaker = |make: fn(Option<String>) -> BreakerCommand, question: &str| {
            named("there is no breaker").map(|name| {
                let question = question.replace("{}", &name);
                (Command::Breaker(make(Some(name))), question)
            })
        };
        let plain = |command: Command| Ok((command, String::new()));
        Some(match action {
            Action::Pause if snapshot.paused => plain(Command::Resume),
            Action::Pause => plain(Command::Pause),
            Action::Step => plain(Command::Step { count: 1 }),
            Action::Faster => plain(Command::SetRate { per_second: next_rate(snapshot.rate, true) }),
            Action::Slower => plain(Command::SetRate { per_second: next_rate(snapshot.rate, false) }),
            Action::TripBreaker => breaker(
                |circuit| BreakerCommand::Trip { circuit },
                "Trip breaker {}? Calls are refused until its wait is over.",
            ),
            Action::ForceBreaker => breaker(
                |circuit| BreakerCommand::ForceOpen { circuit },
                "Hold breaker {} open? Calls are refused until somebody resets it.",
            ),
            Action::ResetBreaker => breaker(|circuit| BreakerCommand::Close { circuit }, ""),
            Action::ToggleFlag => named("there is no flag").map(|flag| {
                let on = snapshot.flags.flags.iter().any(|one| one.name == flag && one.enabled);
                let question =
                    format!("Turn flag {flag} {}? It changes answers at once.", if on { "off" } else { "on" });
                (Command::Flags(FlagsCommand::Toggle { flag }), question)
            }),
            Action::RollUp => self.roll(snapshot, 10.0),
            Action::RollDown => self.roll(snapshot, -10.0),
            Action::ClearCache => {
                let entries = grouped(snapshot.cache.entries);
                let question = format!("Clear the cache? {entries} answers must be computed again.");
                Ok((Command::Cache(CacheCommand::Clear), question))
            }
            Action::NextPolicy => {
                let all = Policy::ALL;
                let at = all.iter().position(|policy| policy.name() == snapshot.cache.policy).map_or(0, |at| at + 1);
                let policy = all.get(at).copied().unwrap_or_default();
                let question = format!("Let the cache evict by {policy} instead of {}?", snapshot.cache.policy);
                Ok((Command::Cache(CacheCommand::SetPolicy { policy }), question))
            }
            Action::Acknowledge => plain(Command::Slo(SloCommand::Acknowledge { alert: None })),
            Action::StartGameDay => named("this session has no game days").map(|name| {
                let scenario = self.info.scenarios.iter().find(|one| one.name == name);
                let length = scenario.map_or("", |one| one.length.as_str());
                let question = format!("Start game day {name}? It takes {length}.");
                (Command::StartGameDay { name }, question)
            }),
            Action::AbortGameDay => plain(Command::AbortGameDay),
            Action::ProveEntry => match named("no command or event is on the ledger yet").map(|row| row.parse()) {
                Ok(Ok(index)) => plain(Command::Ledger(LedgerCommand::Prove { index })),
                Ok(Err(_)) => Err("this row is no entry of the ledger".into()),
                Err(why_not) => Err(why_not),
            },
            Action::ExtendGameDay => plain(Command::ExtendGameDay),
            Action::NextLocale => {
                let locales = &snapshot.i18n.locales;
                let at = locales.iter().position(|locale| *locale == snapshot.i18n.locale).map_or(0, |at| at + 1);
                match locales.get(at).or_else(|| locales.first()) {
                    Some(locale) => plain(Command::I18n(I18nCommand::SetLocale { locale: locale.clone() })),
                    None => Err("there are no locales".into()),
                }
            }
            _ => return None,
        })
    }

    fn roll(&self, snapshot: &Snapshot, by: f64) -> Result<(Command, String), String> {
        let flag = self.selection(snapshot).ok_or("there is no flag")?;
        let view = snapshot.flags.flags.iter().find(|one| one.name == flag).ok_or("the flag is gone")?;
        let present: f64 = view
            .rollout
            .strip_suffix('%')
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| format!("flag {flag} has no percentage: it is {}", view.rollout))?;
        let percentage = (present + by).clamp(0.0, 100.0);
        let question = format!("Roll flag {flag} out to {percentage} % of numbers, from {present} %?");
        Ok((Command::Flags(FlagsCommand::Roll { flag, percentage }), question))
    }

    fn rows(&self, snapshot: &Snapshot) -> Vec<String> {
        tabs::rows(self.tab, &self.info, snapshot, self.filter.as_ref())
    }

    /// The id of what is selected on this tab.
    fn selection(&self, snapshot: &Snapshot) -> Option<String> {
        self.rows(snapshot).into_iter().nth(self.place(snapshot))
    }

    /// The row of what is selected on this tab.
    fn place(&self, snapshot: &Snapshot) -> usize {
        let selected = self.selected.get(&self.tab);
        self.rows(snapshot).iter().position(|id| Some(id) == selected).unwrap_or(0)
    }

    fn select(&mut self, step: isize) {
        if self.tab == Tab::Logs {
            let last = self.timeline().events().count().saturating_sub(1);
            self.logs_back = self.logs_back.saturating_add_signed(-step).min(last);
            return;
        }
        let Some(snapshot) = self.snapshot() else { return };
        let mut rows = self.rows(snapshot);
        if rows.is_empty() {
            return;
        }
        let place = self.place(snapshot).saturating_add_signed(step).min(rows.len() - 1);
        self.selected.insert(self.tab, rows.swap_remove(place));
    }

    /// Draws everything. Any size is drawn without a panic.
    pub fn draw(&self, area: Rect, buf: &mut Buffer) {
        buf.set_style(area, self.theme.base());
        if area.width < LEAST.0 || area.height < LEAST.1 {
            let (width, height) = LEAST;
            let text = format!("FizzOps needs {width}x{height}, this is {}x{}. q quits.", area.width, area.height);
            widgets::wrapped(&self.theme, Role::Watch, text, area, buf);
            return;
        }
        let mut rest = area;
        let header = widgets::take(&mut rest, 1);
        let bar = widgets::take(&mut rest, 1);
        widgets::rule(&self.theme, "", widgets::take(&mut rest, 1), buf);
        let footer = Rect { y: rest.bottom() - 1, height: 1, ..rest };
        let news = Rect { y: rest.bottom() - 2, height: 1, ..rest };
        rest.height -= 2;
        self.draw_tabs(bar, buf);
        let timeline = self.timeline();
        let Some(frame) = timeline.frame() else {
            widgets::wrapped(&self.theme, Role::Muted, " Waiting for the first frame.", rest, buf);
            return;
        };
        let view = View {
            info: &self.info,
            frame,
            timeline,
            theme: &self.theme,
            selected: self.place(&frame.snapshot),
            filter: self.filter.as_ref(),
        };
        self.draw_header(&view, header, buf);
        let mut body = Rect { x: rest.x + 1, width: rest.width - 2, ..rest };
        let (role, sentence) = tabs::sentence(self.tab, &view);
        let height = sentence_height(&sentence, body.width);
        let top = widgets::take(&mut body, height);
        let text = format!("{} {sentence}", sign(&self.theme, role));
        widgets::wrapped(&self.theme, role, text, top, buf);
        widgets::rule(&self.theme, "", widgets::take(&mut body, 1), buf);
        if self.tab == Tab::Logs {
            tabs::draw_logs(&view, self.logs_back, body, buf);
        } else {
            tabs::draw(self.tab, &view, body, buf);
        }
        self.draw_news(&view, news, buf);
        self.draw_footer(&frame.snapshot, footer, buf);
        for overlay in &self.overlays {
            let place = Place { tab: self.tab, replay: self.is_replay(), role: self.operator.role };
            overlay.draw(&self.theme, place, rest, buf);
        }
    }

    fn draw_tabs(&self, area: Rect, buf: &mut Buffer) {
        let room = area.width >= 105;
        let gap = if room { "  " } else { " " };
        let mut parts: Vec<Part> = vec![(Role::Muted, " ".into())];
        for (index, tab) in (1..).zip(Tab::ALL) {
            let open = tab == self.tab;
            let title = if room || open { tab.title() } else { tab.short() };
            let role = if open { Role::Accent } else { Role::Muted };
            parts.push((role, format!("{} {title}", index % 10)));
            parts.push((Role::Muted, gap.into()));
        }
        widgets::lines(area, buf, vec![line(&self.theme, parts)]);
        // Where there is no colour, the open tab is still told apart.
        let before: usize = Tab::ALL
            .iter()
            .take_while(|tab| **tab != self.tab)
            .map(|tab| if room { tab.title() } else { tab.short() }.len() + 2 + gap.len())
            .sum();
        let width = self.tab.title().len() + 2;
        let open = Rect { x: area.x + 1 + before as u16, width: width as u16, ..area }.intersection(area);
        widgets::reverse(&self.theme, open, buf);
    }

    /// Session, clock, running or paused, rate, outcome mix, alerts, on-call: what has room, the most needed first.
    fn draw_header(&self, view: &View<'_>, area: Rect, buf: &mut Buffer) {
        let now = view.now();
        let (state, word) = match (now.finished, now.paused) {
            (true, _) => (Role::Info, "ended"),
            (_, true) => (Role::Held, "paused"),
            _ => (Role::Good, "running"),
        };
        let lately = view.lately(10);
        let right = share(lately.right(), lately.evaluations);
        let failed = tabs::bad(&lately);
        let rate = match now.rate {
            0 => "unlimited".into(),
            rate => format!("{}/s", grouped(rate.into())),
        };
        let rejected = lately.of(Outcome::Rejected);
        let mut ills = [("wrong", lately.wrong), ("failed", failed - rejected), ("rejected", rejected)];
        ills.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let firing = now.slos.active.iter().filter(|alert| alert.state == AlertState::Firing).count();
        let alerts = match firing {
            0 => (Role::Muted, "  no alert".to_owned()),
            1 => (Role::Bad, format!("  {} 1 alert", self.theme.glyphs.bad)),
            many => (Role::Bad, format!("  {} {many} alerts", self.theme.glyphs.bad)),
        };
        let session: String = self.info.session_id.chars().take(8).collect();
        let running = now.drill.as_ref().filter(|drill| drill.verdict == Verdict::Running);
        let drill = running.map(|drill| format!("  drill {}", drill.scenario));
        // Each with how soon it goes when there is no room.
        let mut segments: Vec<(u8, Part)> = vec![
            (5, (Role::Title, " fizzops".into())),
            (0, (Role::Muted, format!(" {session}"))),
            (0, (Role::Text, format!("  {}", elapsed(self.info.began, view.at())))),
            (6, (Role::Muted, format!(" {} clock", self.info.clock.name()))),
            (0, (state, format!("  {} {word}", sign(&self.theme, state)))),
            (0, (Role::Text, format!(" {rate}"))),
            (0, alerts),
            (0, (Role::Text, format!("  right {right}"))),
        ];
        segments.extend(
            (2..).zip(ills).filter(|(_, (_, count))| *count > 0).map(|(rank, (word, count))| {
                (rank, (Role::Bad, format!(" {word} {}", share(count, lately.evaluations))))
            }),
        );
        segments.extend(drill.map(|text| (1, (Role::Held, text))));
        segments.push((7, (Role::Muted, format!("  on call {}", now.slos.on_call))));
        segments.push((8, (Role::Muted, format!("  seed {}", self.info.seed))));
        let width = |segments: &[(u8, Part)]| -> usize { segments.iter().map(|(_, (_, text))| text.width()).sum() };
        while width(&segments) > usize::from(area.width) && segments.iter().any(|(rank, _)| *rank > 0) {
            let last = segments.iter().map(|(rank, _)| *rank).max();
            segments.retain(|(rank, _)| Some(*rank) != last);
        }
        widgets::lines(area, buf, vec![line(&self.theme, segments.into_iter().map(|(_, part)| part))]);
    }

    /// The rule above the footer: the answer to the last command, or where a replay stands.
    fn draw_news(&self, view: &View<'_>, area: Rect, buf: &mut Buffer) {
        widgets::rule(&self.theme, "", area, buf);
        let Some((role, text)) = self.news(view) else { return };
        let text = format!(" {} ", cut(&text, usize::from(area.width).saturating_sub(6)));
        widgets::put(area.x + 2, area.y, &text, self.theme.style(role), area, buf);
        if let (Some(player), None) = (&self.player, &self.notice) {
            let begins = (text.width() as u16 + 3).min(area.width);
            let rest = Rect { x: area.x + begins, width: (area.width - begins).saturating_sub(1), ..area };
            scrubber::draw(&self.theme, player, rest, buf);
        }
    }

    fn news(&self, view: &View<'_>) -> Option<(Role, String)> {
        if let Some(notice) = &self.notice {
            return Some((Role::Watch, notice.clone()));
        }
        if let Some(player) = &self.player {
            let word = if player.playing { "playing" } else { "paused" };
            let speed = player.speed;
            let at = long(player.at.since(player.from).as_secs());
            let of = long(player.to.since(player.from).as_secs());
            let less = match player.redacted {
                0 => String::new(),
                count => format!(", {count} sections redacted"),
            };
            // A note is read where it was written.
            let near = |at: Timestamp| player.at.since(at) < NOTE_SPAN && at <= player.at;
            return Some(match player.notes.iter().rfind(|note| near(note.at)) {
                Some(note) => (Role::Info, format!("{at} of {of}, {}: {}", note.by, cut(&note.text, 60))),
                None => (Role::Accent, format!("replay {word} x{speed}: {at} of {of}{less}")),
            });
        }
        if self.past.shown().is_some() {
            let now = self.timeline.frame().map_or(view.at(), |frame| frame.at);
            let ago = long(now.since(view.at()).as_secs());
            return Some((Role::Watch, format!("as it was {ago} ago; the session goes on: > later, esc now")));
        }
        view.timeline.events().take_while(|event| view.at().since(event.at) < ANSWER_SPAN).find_map(
            |event| match &event.payload {
                Payload::CommandAccepted { by, answer, .. } if *by == self.operator.name => {
                    Some((Role::Good, answer.clone()))
                }
                Payload::CommandRefused { by, reason, .. } if *by == self.operator.name => {
                    Some((Role::Watch, format!("refused: {reason}")))
                }
                _ => None,
            },
        )
    }

    /// Whether the operator's role permits what an entry does.
    fn permits(&self, entry: &Entry) -> bool {
        Place { tab: self.tab, replay: self.is_replay(), role: self.operator.role }.permits(entry)
    }

    /// Whether the command of an entry has something to act on right now.
    fn applies_now(&self, entry: &Entry, snapshot: &Snapshot) -> bool {
        let running = snapshot.drill.as_ref().is_some_and(|drill| drill.verdict == Verdict::Running);
        match entry.action {
            Action::Acknowledge => snapshot.slos.active.iter().any(|alert| alert.state == AlertState::Firing),
            Action::AbortGameDay | Action::ExtendGameDay => running,
            Action::ProveEntry => !snapshot.ledger.audit.is_empty(),
            Action::Now | Action::Later => self.past.shown().is_some(),
            Action::NoFilter => self.filter.is_some(),
            Action::OpenWay => self.selection(snapshot).is_some(),
            Action::StartGameDay => !running && !self.info.scenarios.is_empty(),
            Action::RollUp | Action::RollDown => self
                .selection(snapshot)
                .and_then(|id| snapshot.flags.flags.iter().find(|flag| flag.name == id))
                .is_some_and(|flag| flag.rollout.ends_with('%')),
            _ => true,
        }
    }

    fn draw_footer(&self, snapshot: &Snapshot, area: Rect, buf: &mut Buffer) {
        let text = |entry: &Entry| {
            let title = match entry.action {
                Action::Pause if self.player.as_ref().is_some_and(|player| !player.playing) => "play",
                Action::Pause if self.player.is_none() && snapshot.paused => "go on",
                _ => entry.title,
            };
            (entry.keys[0], title)
        };
        let shown = TABLE
            .iter()
            .filter(|entry| entry.footer && entry.applies(self.tab, self.is_replay()))
            .filter(|entry| self.applies_now(entry, snapshot));
        let (ends, others): (Vec<&Entry>, Vec<&Entry>) =
            shown.partition(|entry| matches!(entry.action, Action::Help | Action::Quit));
        let width = |entry: &Entry| {
            let (key, title) = text(entry);
            key.width() + title.width() + 3 + if self.permits(entry) { 0 } else { NOT_PERMITTED.len() }
        };
        let mut room = usize::from(area.width).saturating_sub(1 + ends.iter().map(|entry| width(entry)).sum::<usize>());
        let mut parts: Vec<Part> = vec![(Role::Muted, " ".into())];
        let fitting = others.into_iter().take_while(|entry| {
            let needed = width(entry);
            let fits = needed <= room;
            room = room.saturating_sub(needed);
            fits
        });
        for entry in fitting.collect::<Vec<_>>().into_iter().chain(ends) {
            let (key, title) = text(entry);
            let permitted = self.permits(entry);
            parts.push((if permitted { Role::Accent } else { Role::Muted }, key.into()));
            parts.push((Role::Muted, format!(" {title}{}  ", if permitted { "" } else { NOT_PERMITTED })));
        }
        widgets::lines(area, buf, vec![line(&self.theme, parts)]);
    }
}

fn sentence_height(sentence: &str, width: u16) -> u16 {
    if sentence.width() + 2 > usize::from(width) { 2 } else { 1 }
}

/// The rate after this one, upwards or downwards.
fn next_rate(rate: u32, up: bool) -> u32 {
    // Unlimited is the last and the fastest.
    let order = |rate: u32| if rate == 0 { u32::MAX } else { rate };
    let mut rates = RATES.into_iter();
    if up {
        rates.find(|next| order(*next) > order(rate)).unwrap_or(0)
    } else {
        rates.rev().find(|next| order(*next) < order(rate)).unwrap_or(1)
    }
}
