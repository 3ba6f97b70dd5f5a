//! What did the program say about itself?

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;
use tui_logger::{TuiLoggerLevelOutput, TuiLoggerWidget, TuiWidgetState};

use super::View;
use crate::console::theme::{Role, Theme};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    match view.timeline.missed() {
        0 => (Role::Info, "Newest at the bottom. Page up scrolls back, page down and G return.".into()),
        missed => (Role::Watch, format!("{missed} events came faster than they could be shown and are missing here.")),
    }
}

/// Draws the log, scrolled as `state` says.
pub fn draw(theme: &Theme, state: &TuiWidgetState, area: Rect, buf: &mut Buffer) {
    TuiLoggerWidget::default()
        .style(theme.style(Role::Text))
        .style_error(theme.style(Role::Bad))
        .style_warn(theme.style(Role::Watch))
        .style_info(theme.style(Role::Text))
        .style_debug(theme.style(Role::Muted))
        .style_trace(theme.style(Role::Muted))
        .output_timestamp(None)
        .output_level(Some(TuiLoggerLevelOutput::Long))
        .output_separator(' ')
        .output_target(false)
        .output_file(false)
        .output_line(false)
        .state(state)
        .render(area, buf);
}
