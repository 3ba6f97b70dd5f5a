//! What the console looks like: a theme of a dozen roles, brought down to what the terminal can show.

use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use serde::Deserialize;

use crate::config::{Diagnostic, parse};

/// What a piece of the screen means. Colour is never alone: a word or a sign says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "a role is its name")]
pub enum Role {
    Text,
    Muted,
    Title,
    Accent,
    Border,
    Good,
    Watch,
    Bad,
    Held,
    Info,
    Chart,
    Mark,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    background: String,
    text: String,
    muted: String,
    title: String,
    accent: String,
    border: String,
    good: String,
    watch: String,
    bad: String,
    held: String,
    info: String,
    chart: String,
    mark: String,
}

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// None: bold, dim and reversed only.
    None,
    /// The 16 of ANSI.
    Ansi,
    /// The 256 of xterm.
    Indexed,
    /// Any.
    True,
}

impl Depth {
    /// As the environment says: `NO_COLOR`, `COLORTERM`, `TERM`.
    pub fn of(no_color: bool, colorterm: &str, term: &str) -> Self {
        if no_color || term == "dumb" {
            Self::None
        } else if colorterm.contains("truecolor") || colorterm.contains("24bit") {
            Self::True
        } else if term.contains("256") {
            Self::Indexed
        } else {
            Self::Ansi
        }
    }
}

/// The signs that go with states and charts.
#[derive(Debug, Clone, Copy)]
pub struct Glyphs {
    /// All is well.
    pub good: &'static str,
    /// Look at this.
    pub watch: &'static str,
    /// This is wrong.
    pub bad: &'static str,
    /// In between.
    pub held: &'static str,
    /// The selected row.
    pub cursor: &'static str,
    /// A rule between regions.
    pub rule: &'static str,
    /// Between two words of a line.
    pub dot: &'static str,
    /// From empty to full, upwards.
    pub bars: [&'static str; 9],
    /// From empty to full, to the right.
    pub gauge: [&'static str; 9],
    /// The part of a gauge that is not filled.
    pub empty: &'static str,
    /// Around overlays.
    pub border: border::Set<'static>,
}

/// Signs of Unicode, all one column wide.
pub const UNICODE: Glyphs = Glyphs {
    good: "●",
    watch: "▲",
    bad: "✖",
    held: "◐",
    cursor: "▸",
    rule: "─",
    dot: "·",
    bars: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    gauge: [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"],
    empty: "·",
    border: border::ROUNDED,
};

/// Signs for terminals that have only ASCII.
pub const ASCII: Glyphs = Glyphs {
    good: "o",
    watch: "!",
    bad: "X",
    held: "~",
    cursor: ">",
    rule: "-",
    dot: "|",
    bars: [" ", "_", "_", ".", "-", "-", "=", "#", "#"],
    gauge: [".", ".", ".", ".", "#", "#", "#", "#", "#"],
    empty: ".",
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
};

/// A theme for a terminal.
#[derive(Debug, Clone)]
pub struct Theme {
    styles: [Style; 12],
    background: Option<Color>,
    /// The signs.
    pub glyphs: Glyphs,
}

impl Theme {
    /// The names of those that are built in.
    pub const NAMES: [&'static str; 2] = ["dark", "light"];

    /// One that is built in; `None` for another name.
    pub fn built_in(name: &str, depth: Depth) -> Option<Result<Self, Diagnostic>> {
        match name {
            "dark" => Some(Self::load(include_str!("../../themes/dark.yaml"), "themes/dark.yaml", depth)),
            "light" => Some(Self::load(include_str!("../../themes/light.yaml"), "themes/light.yaml", depth)),
            _ => None,
        }
    }

    /// Reads a theme file's text.
    ///
    /// # Errors
    /// [`Diagnostic`] for an unknown role or something that is no colour.
    pub fn load(text: &str, file: &str, depth: Depth) -> Result<Self, Diagnostic> {
        let roles: File = parse(text, file)?;
        let colours = [
            &roles.text,
            &roles.muted,
            &roles.title,
            &roles.accent,
            &roles.border,
            &roles.good,
            &roles.watch,
            &roles.bad,
            &roles.held,
            &roles.info,
            &roles.chart,
            &roles.mark,
        ];
        let read = |colour: &str| {
            Color::from_str(colour).map_err(|_| {
                let at = text.lines().enumerate().find_map(|(at, line)| line.find(colour).map(|col| (at + 1, col + 1)));
                Diagnostic {
                    file: file.to_owned(),
                    place: at,
                    problem: format!("`{colour}` is no colour; write #rrggbb, an ANSI name, or 0 to 255"),
                    source: at.and_then(|(line, _)| text.lines().nth(line - 1)).unwrap_or_default().to_owned(),
                }
            })
        };
        let mut styles = [Style::new(); 12];
        for (style, colour) in styles.iter_mut().zip(colours) {
            *style = down(read(colour)?, depth).map_or(Style::new(), |colour| Style::new().fg(colour));
        }
        // With 16 colours the terminal's own background is the better guess.
        let background = Some(read(&roles.background)?).filter(|_| matches!(depth, Depth::Indexed | Depth::True));
        let background = background.and_then(|colour| down(colour, depth));
        let mut theme = Self { styles, background, glyphs: UNICODE };
        for (role, modifier) in
            [(Role::Title, Modifier::BOLD), (Role::Accent, Modifier::BOLD), (Role::Bad, Modifier::BOLD)]
        {
            theme.styles[role as usize] = theme.style(role).add_modifier(modifier);
        }
        if depth == Depth::None {
            for role in [Role::Muted, Role::Border] {
                theme.styles[role as usize] = theme.style(role).add_modifier(Modifier::DIM);
            }
        }
        Ok(theme)
    }

    /// Without colours, for tests and snapshots.
    pub fn plain() -> Self {
        Self { styles: [Style::new(); 12], background: None, glyphs: UNICODE }
    }

    /// How the screen is drawn before anything is on it.
    pub fn base(&self) -> Style {
        let text = self.style(Role::Text);
        self.background.map_or(text, |colour| text.bg(colour))
    }

    /// How this role is drawn.
    pub const fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }

    /// How the selected row is drawn.
    pub fn selected(&self) -> Style {
        self.style(Role::Text).add_modifier(Modifier::REVERSED)
    }
}

/// A colour as the terminal can show it.
fn down(colour: Color, depth: Depth) -> Option<Color> {
    let Color::Rgb(red, green, blue) = colour else { return (depth != Depth::None).then_some(colour) };
    match depth {
        Depth::None => None,
        Depth::True => Some(colour),
        Depth::Indexed => {
            let step = |part: u8| (u16::from(part) * 5 + 127) / 255;
            Some(Color::Indexed((16 + 36 * step(red) + 6 * step(green) + step(blue)) as u8))
        }
        Depth::Ansi => {
            // Grey tones are left to the terminal's own foreground, which suits its background.
            let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
            if most - least < 48 {
                return Some(if (64..200).contains(&most) { Color::DarkGray } else { Color::Reset });
            }
            let strong = |part: u8| part > most / 2 + least / 4;
            Some(match (strong(red), strong(green), strong(blue)) {
                (true, true, false) => Color::Yellow,
                (true, false, true) => Color::Magenta,
                (true, false, false) => Color::Red,
                (false, true, true) => Color::Cyan,
                (false, true, false) => Color::Green,
                _ => Color::Blue,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(colour: Color) -> f64 {
        let Color::Rgb(red, green, blue) = colour else { panic!("{colour} is not of the theme") };
        let part = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue)
    }

    #[test]
    fn every_role_but_borders_is_readable_on_its_background() {
        for (name, theme) in Theme::NAMES.map(|name| (name, Theme::built_in(name, Depth::True).unwrap().unwrap())) {
            let background = theme.background.unwrap();
            for (index, style) in theme.styles.iter().enumerate().filter(|(index, _)| *index != Role::Border as usize) {
                let (one, other) = (luminance(style.fg.unwrap()), luminance(background));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                assert!(contrast >= 4.5, "{name} role {index}: WCAG contrast {contrast:.1}");
            }
        }
    }

    #[test]
    fn fewer_colours_still_tell_states_apart() {
        for depth in [Depth::Indexed, Depth::Ansi] {
            for name in Theme::NAMES {
                let theme = Theme::built_in(name, depth).unwrap().unwrap();
                let states = [Role::Good, Role::Bad, Role::Held].map(|role| theme.style(role).fg);
                assert!(states[0] != states[1] && states[1] != states[2] && states[0] != states[2], "{states:?}");
            }
        }
        assert_eq!(Theme::built_in("dark", Depth::None).unwrap().unwrap().style(Role::Good).fg, None);
        assert_eq!(Depth::of(true, "truecolor", "xterm-256color"), Depth::None);
        assert_eq!(Depth::of(false, "", "xterm-256color"), Depth::Indexed);
    }

    #[test]
    fn a_bad_theme_is_told_with_its_place() {
        let text = include_str!("../../themes/dark.yaml").replace("\"#57d98c\"", "greenish");
        let error = Theme::load(&text, "x.yaml", Depth::True).unwrap_err().to_string();
        assert!(error.starts_with("x.yaml:8:7: `greenish` is no colour"), "{error}");
    }
}
