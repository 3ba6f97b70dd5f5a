//! One screen as text, as text with ANSI colours, or as a picture (SVG): for pages, reports and pipes.

use std::fmt::Write as _;

use quick_xml::escape::escape;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use unicode_width::UnicodeWidthStr as _;

use super::app::App;

/// How a screen is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Picture {
    /// Without colours
    Text,
    /// With ANSI colours, for a terminal
    Ansi,
    /// As an image
    Svg,
}

/// Draws the app on a screen of this size and writes it.
pub fn picture(app: &App, width: u16, height: u16, kind: Picture) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    app.draw(area, &mut buffer);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match kind {
        Picture::Text => plain(&buffer, &mut text),
        Picture::Ansi => ansi(&buffer, &mut text),
        Picture::Svg => svg(&buffer, &mut text),
    };
    text
}

/// A buffer as text without colours.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = plain(buffer, &mut text);
    text
}

/// Rows of runs of cells of the same style: where each begins, and its text.
fn runs(buffer: &Buffer) -> impl Iterator<Item = Vec<(u16, Style, String)>> {
    let area = buffer.area;
    (area.top()..area.bottom()).map(move |y| {
        let mut row: Vec<(u16, Style, String)> = Vec::new();
        let mut x = area.left();
        while x < area.right() {
            let Some(cell) = buffer.cell((x, y)) else { break };
            let style = visible(cell);
            match row.last_mut() {
                Some((_, last, text)) if *last == style => text.push_str(cell.symbol()),
                _ => row.push((x, style, cell.symbol().to_owned())),
            }
            // A wide letter has the next cell too.
            x += (cell.symbol().width() as u16).max(1);
        }
        row
    })
}

/// A cell's style, the reversed one turned around.
fn visible(cell: &Cell) -> Style {
    let style = Style::new().fg(cell.fg).bg(cell.bg).add_modifier(cell.modifier);
    if cell.modifier.contains(Modifier::REVERSED) {
        let paper = if cell.bg == Color::Reset { Color::Black } else { cell.bg };
        style.fg(paper).bg(cell.fg).remove_modifier(Modifier::REVERSED)
    } else {
        style
    }
}

fn plain(buffer: &Buffer, text: &mut String) -> std::fmt::Result {
    for row in runs(buffer) {
        let line: String = row.into_iter().map(|(_, _, text)| text).collect();
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

fn ansi(buffer: &Buffer, text: &mut String) -> std::fmt::Result {
    for row in runs(buffer) {
        for (_, style, run) in row {
            text.push_str("\x1b[0");
            if style.add_modifier.contains(Modifier::BOLD) {
                text.push_str(";1");
            }
            for (colour, ground) in [(style.fg, 38), (style.bg, 48)] {
                match colour {
                    Some(Color::Rgb(red, green, blue)) => write!(text, ";{ground};2;{red};{green};{blue}")?,
                    Some(Color::Indexed(index)) => write!(text, ";{ground};5;{index}")?,
                    _ => {}
                }
            }
            write!(text, "m{run}")?;
        }
        text.push_str("\x1b[0m\n");
    }
    Ok(())
}

/// The width and height of a letter, pixels.
const CELL: (f64, f64) = (8.4, 18.0);

fn svg(buffer: &Buffer, text: &mut String) -> std::fmt::Result {
    let area = buffer.area;
    let (width, height) = (f64::from(area.width) * CELL.0 + 16.0, f64::from(area.height) * CELL.1 + 16.0);
    let paper = buffer.cell((area.x, area.y)).map_or(Color::Reset, |cell| cell.bg);
    writeln!(
        text,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">"#
    )?;
    writeln!(text, r#"<rect width="100%" height="100%" rx="8" fill="{}"/>"#, hex(paper, "#10141a"))?;
    for (row, runs) in runs(buffer).enumerate() {
        let top = 8.0 + row as f64 * CELL.1;
        for (column, style, run) in runs {
            let (x, span) = (8.0 + f64::from(column) * CELL.0, run.width() as f64 * CELL.0);
            if let Some(ground) = style.bg.filter(|ground| *ground != paper && *ground != Color::Reset) {
                let fill = hex(ground, "#10141a");
                writeln!(
                    text,
                    r#"<rect x="{x:.1}" y="{top:.1}" width="{span:.1}" height="{}" fill="{fill}"/>"#,
                    CELL.1
                )?;
            }
            if run.trim().is_empty() {
                continue;
            }
            let ink = hex(style.fg.unwrap_or(Color::Reset), "#d6dae0");
            let weight = if style.add_modifier.contains(Modifier::BOLD) { r#" font-weight="bold""# } else { "" };
            writeln!(
                text,
                r#"<text x="{x:.1}" y="{:.1}" textLength="{span:.1}" lengthAdjust="spacingAndGlyphs" fill="{ink}"{weight} xml:space="preserve">{}</text>"#,
                top + 14.0,
                escape(run.as_str())
            )?;
        }
    }
    writeln!(text, "</svg>")
}

fn hex(colour: Color, otherwise: &str) -> String {
    match colour {
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        _ => otherwise.to_owned(),
    }
}

/// A size as people write it: 120x40.
///
/// # Errors
/// A sentence that says what would be right.
pub fn size(text: &str) -> Result<(u16, u16), String> {
    let parts = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parts
        .filter(|(width, height)| (1..=1_000).contains(width) && (1..=1_000).contains(height))
        .ok_or_else(|| "write columns x rows, e.g. 120x40, at most 1000 of each".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_style_are_written_together() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 2));
        buffer.set_string(0, 0, "フィ<b>", Style::new().fg(Color::Rgb(1, 2, 3)));
        buffer.set_string(0, 1, "x", Style::new().add_modifier(Modifier::BOLD));
        let mut text = String::new();
        plain(&buffer, &mut text).unwrap();
        assert_eq!(text, "フィ<b>\nx\n");
        text.clear();
        svg(&buffer, &mut text).unwrap();
        assert!(text.contains(r##"fill="#010203" xml:space="preserve">フィ&lt;b&gt;</text>"##), "{text}");
        text.clear();
        ansi(&buffer, &mut text).unwrap();
        assert!(text.starts_with("\x1b[0;38;2;1;2;3mフィ<b>"), "{text:?}");
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("120x40"), Ok((120, 40)));
        assert!(size("120").is_err() && size("0x4").is_err() && size("99999x4").is_err());
    }
}
