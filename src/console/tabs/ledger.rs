//! Is the proof of what was done sound, how far does it reach, and does this line belong to it?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::View;
use crate::console::format::{clock, grouped};
use crate::console::theme::Role;
use crate::console::widgets::{self, Part, gauge, line};
use crate::records::ledger::LedgerView;

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let ledger = &view.now().ledger;
    if !ledger.enabled {
        return (Role::Info, "No ledger is kept: --set blockchain.enabled=true.".into());
    }
    let proved =
        format!("{} leaves are in the tree, {} blocks over them", grouped(ledger.leaves), grouped(ledger.blocks));
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
    let fill = if ledger.batch > 0 { ledger.pending as f64 / ledger.batch as f64 } else { 0.0 };
    let row = |name: &str, parts: Vec<Part>| {
        let first = (Role::Muted, format!("{name:<12}"));
        line(theme, std::iter::once(first).chain(parts))
    };
    let rows = vec![
        row("root", vec![(Role::Text, ledger.root.to_string())]),
        row("tree", tree(ledger)),
        row(
            "next leaf",
            vec![
                (Role::Chart, gauge(theme, fill, 24)),
                (Role::Text, format!("  {} of {} evaluations", grouped(ledger.pending), grouped(ledger.batch))),
            ],
        ),
        row(
            "leaves",
            vec![(
                Role::Text,
                format!(
                    "{} evaluations, {} commands, {} events",
                    grouped(ledger.evaluations),
                    grouped(ledger.commands),
                    grouped(ledger.events)
                ),
            )],
        ),
        row("chain", chain(ledger, area.width)),
        row(
            "work",
            vec![(
                Role::Text,
                format!(
                    "{} zero digits, {} hashes so far; {} leaves wait for a block",
                    ledger.difficulty,
                    grouped(ledger.hashes),
                    grouped(ledger.waiting)
                ),
            )],
        ),
    ];
    widgets::lines(widgets::take(&mut area, rows.len() as u16), buf, rows);
    let proof = proof(view, ledger);
    // The list keeps at least a few rows; the proof is above it, where it does not move.
    if !proof.is_empty() && area.height > 8 {
        widgets::rule(theme, "proof", widgets::take(&mut area, 1), buf);
        widgets::lines(widgets::take(&mut area, proof.len() as u16), buf, proof);
    }
    widgets::rule(theme, "last commands and events", widgets::take(&mut area, 1), buf);
    let columns = [
        ("leaf", Constraint::Length(9), true),
        ("at", Constraint::Length(13), false),
        ("what", Constraint::Fill(1), false),
    ];
    let rows = ledger.audit.iter().rev().map(|entry| {
        vec![(Role::Text, grouped(entry.index)), (Role::Muted, clock(entry.at)), (Role::Text, entry.text.clone())]
    });
    let selected = (!ledger.audit.is_empty()).then_some(view.selected);
    widgets::table(theme, &columns, rows.collect(), selected, area, buf);
}

/// The complete subtrees at the edge: their sizes are the bits of the number of leaves, and grow into one another.
fn tree(ledger: &LedgerView) -> Vec<Part> {
    if ledger.edge.is_empty() {
        return vec![(Role::Muted, "no leaf yet".into())];
    }
    let parts: Vec<_> = ledger.edge.iter().map(|one| grouped(one.leaves)).collect();
    vec![
        (Role::Text, grouped(ledger.leaves)),
        (Role::Muted, " leaves = ".into()),
        (Role::Accent, parts.join(" + ")),
        (Role::Muted, " in complete subtrees".into()),
    ]
}

/// The last blocks, as far as there is room, each with the beginning of its hash.
fn chain(ledger: &LedgerView, width: u16) -> Vec<Part> {
    let room = (usize::from(width).saturating_sub(14) / 24).clamp(1, 8);
    let skip = ledger.recent.len().saturating_sub(room);
    let mut parts = Vec::new();
    for (place, block) in ledger.recent.iter().skip(skip).enumerate() {
        if place > 0 || skip > 0 || block.index > 0 {
            parts.push((Role::Muted, " < ".into()));
        }
        parts.push((Role::Accent, format!("#{}", block.index)));
        let hash: String = block.hash.to_string().chars().take(8).collect();
        parts.push((Role::Text, format!(" {hash}")));
        parts.push((Role::Muted, format!(" +{}", block.leaves)));
    }
    if parts.is_empty() { vec![(Role::Muted, "the first block is being mined".into())] } else { parts }
}

/// The proof that was asked for last, checked here and now.
fn proof<'a>(view: &View<'a>, ledger: &LedgerView) -> Vec<ratatui::text::Line<'a>> {
    let Some(proof) = &ledger.proof else { return Vec::new() };
    let (role, word) = if proof.holds() { (Role::Good, "holds") } else { (Role::Bad, "does not hold") };
    let path: Vec<_> = proof.path.iter().map(|hash| hash.to_string().chars().take(8).collect::<String>()).collect();
    vec![
        line(
            view.theme,
            [
                (Role::Muted, format!("{:<12}", format!("leaf {}", proof.index))),
                (role, format!("{} {word}", widgets::sign(view.theme, role))),
                (Role::Text, format!("  checked here against {} leaves, root {}", proof.size, proof.root.short())),
            ],
        ),
        line(view.theme, [(Role::Muted, format!("{:<12}", "says")), (Role::Text, proof.text.clone())]),
        line(view.theme, [(Role::Muted, format!("{:<12}", "path")), (Role::Text, path.join(" "))]),
    ]
}
