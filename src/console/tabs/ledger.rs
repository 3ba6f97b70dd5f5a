//! Is the proof of what was done sound, and how far does it reach?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::View;
use crate::console::format::{ago, cut, grouped};
use crate::console::theme::Role;
use crate::console::widgets::{self, gauge, line};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let ledger = &view.now().ledger;
    if !ledger.enabled {
        return (Role::Info, "No ledger is kept: --set blockchain.enabled=true.".into());
    }
    let proved = format!("{} leaves in {} blocks are proved", grouped(ledger.leaves), grouped(ledger.blocks));
    if ledger.sound {
        let recent = ledger.recent.len();
        (Role::Good, format!("{proved}; the last {recent} blocks were hashed again just now and are sound."))
    } else {
        (Role::Bad, format!("{proved}, but one of the last blocks does not hash to what it says."))
    }
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let ledger = &view.now().ledger;
    let fill = if ledger.block_size > 0 { ledger.pending as f64 / ledger.block_size as f64 } else { 0.0 };
    let work = if ledger.blocks > 0 { ledger.hashes as f64 / ledger.blocks as f64 } else { 0.0 };
    let rows = vec![
        line(theme, [(Role::Muted, "head        ".into()), (Role::Text, ledger.head.clone())]),
        line(
            theme,
            [
                (Role::Muted, "next block  ".into()),
                (Role::Chart, gauge(theme, fill, 24)),
                (Role::Text, format!("  {} of {} leaves", grouped(ledger.pending), grouped(ledger.block_size))),
            ],
        ),
        line(
            theme,
            [
                (Role::Muted, "work        ".into()),
                (
                    Role::Text,
                    format!(
                        "difficulty {} zero digits, {} hashes, {work:.0} a block",
                        ledger.difficulty,
                        grouped(ledger.hashes)
                    ),
                ),
            ],
        ),
        line(
            theme,
            [
                (Role::Muted, "commands    ".into()),
                (Role::Text, format!("{} by operators and game days are among the leaves", grouped(ledger.commands))),
            ],
        ),
    ];
    widgets::lines(widgets::take(&mut area, 4), buf, rows);
    widgets::take(&mut area, 1);
    widgets::rule(theme, "last blocks", widgets::take(&mut area, 1), buf);
    let hash = if area.width >= 140 { 64 } else { usize::from(area.width).saturating_sub(52).clamp(8, 64) };
    let columns = [
        ("block", Constraint::Length(9), true),
        ("leaves", Constraint::Length(7), true),
        ("nonce", Constraint::Length(9), true),
        ("closed", Constraint::Length(14), true),
        ("hash", Constraint::Length(hash as u16), false),
    ];
    let rows = ledger.recent.iter().rev().map(|block| {
        vec![
            (Role::Text, grouped(block.index)),
            (Role::Text, grouped(block.leaves)),
            (Role::Text, grouped(block.nonce)),
            (Role::Muted, ago(block.timestamp, view.at())),
            (Role::Text, cut(&block.hash.to_string(), hash)),
        ]
    });
    widgets::table(theme, &columns, rows.collect(), None, area, buf);
}
