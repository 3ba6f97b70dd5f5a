//! Where do evaluations spend their time, and who ends them early?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::View;
use crate::console::format::{grouped, share, span};
use crate::console::theme::Role;
use crate::console::widgets::{self, gauge};
use crate::engine::Snapshot;
use crate::pipeline::chain::LayerView;

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let layers = &view.now().pipeline;
    let ender = layers.iter().max_by_key(|layer| layer.short_circuits).filter(|layer| layer.short_circuits > 0);
    let ended = ender.map_or_else(String::new, |layer| {
        format!(" {} ends the most early: {}.", layer.name, share(layer.short_circuits, layer.calls))
    });
    let costs = layers.iter().filter_map(|layer| Some((layer.time_per_call()?, layer)));
    match costs.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        Some((cost, layer)) => {
            let total = total(layers);
            let part = if total > 0.0 { cost / total * 100.0 } else { 0.0 };
            (
                Role::Info,
                format!(
                    "The chain itself takes {} an evaluation, {part:.0} % of it in {}.{ended}",
                    nanos(total),
                    layer.name
                ),
            )
        }
        None => (Role::Info, format!("{} middleware are in the chain.{ended}", layers.len())),
    }
}

fn total(layers: &[LayerView]) -> f64 {
    layers.iter().filter_map(LayerView::time_per_call).sum()
}

fn nanos(figure: f64) -> String {
    span(figure.round() as u64)
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let layers = &view.now().pipeline;
    let total = total(layers);
    let most = layers.iter().filter_map(LayerView::time_per_call).fold(0.0, f64::max);
    let wide = area.width >= 110;
    let columns = [
        ("order", Constraint::Length(5), true),
        ("middleware", Constraint::Length(16), false),
        ("came", Constraint::Length(if wide { 14 } else { 10 }), true),
        ("ended", Constraint::Length(if wide { 12 } else { 9 }), true),
        ("own time", Constraint::Length(8), true),
        ("share", Constraint::Length(if wide { 30 } else { 9 }), false),
        ("added", Constraint::Length(9), true),
    ];
    let rows = layers.iter().map(|layer| {
        let cost = layer.time_per_call();
        let bar = cost.filter(|_| most > 0.0).map_or_else(String::new, |cost| {
            gauge(view.theme, cost / most, if wide { 22 } else { 3 }) + &format!(" {:>3.0} %", cost / total * 100.0)
        });
        vec![
            (Role::Muted, layer.priority.to_string()),
            (Role::Text, layer.name.clone()),
            (Role::Text, grouped(layer.calls)),
            (if layer.short_circuits > 0 { Role::Watch } else { Role::Muted }, grouped(layer.short_circuits)),
            (Role::Text, cost.map_or_else(|| "-".into(), nanos)),
            (Role::Chart, bar),
            (Role::Muted, span(layer.delay_ns)),
        ]
    });
    let height = layers.len() as u16 + 1;
    widgets::table(view.theme, &columns, rows.collect(), None, widgets::take(&mut area, height), buf);
    let note = if layers.iter().any(|layer| layer.timed > 0) {
        "own time: a sample of one evaluation in 256. added: latency that evaluations were made to wait."
    } else {
        "own time is measured on the wall clock only. added: latency that evaluations were made to wait."
    };
    if area.height > 1 {
        widgets::take(&mut area, 1);
        widgets::wrapped(view.theme, Role::Muted, note, widgets::take(&mut area, 2), buf);
    }
    if area.height > LIMITS + 1 {
        widgets::rule(view.theme, "limits", widgets::take(&mut area, 1), buf);
        limits(view, widgets::take(&mut area, LIMITS), buf);
        widgets::take(&mut area, 1);
    }
    if area.height > 4 {
        widgets::rule(view.theme, "traces", widgets::take(&mut area, 1), buf);
        traces(view, area, buf);
    }
}

/// A line for each limit.
const LIMITS: u16 = 3;

fn limits(view: &View<'_>, area: Rect, buf: &mut Buffer) {
    let Snapshot { limiter, bulkhead, retry, .. } = view.now();
    let mean = |ms: Option<f64>| ms.map_or_else(|| "-".into(), |ms| span((ms * 1e6) as u64));
    let budget = retry.budget.map_or_else(|| "no budget".into(), |left| format!("budget for {} more", grouped(left)));
    let limits = [
        (
            "rate limiter",
            limiter.enabled,
            "limiter",
            limiter.rejected,
            vec![
                format!("{} {}", limiter.algorithm, limiter.limit),
                format!("{} allowed", grouped(limiter.allowed)),
                format!("{} rejected", grouped(limiter.rejected)),
            ],
        ),
        (
            "bulkhead",
            bulkhead.enabled,
            "bulkhead",
            bulkhead.rejected + bulkhead.expired,
            vec![
                format!("{}/{} places, peak {}", bulkhead.active, bulkhead.max_concurrent, bulkhead.peak),
                format!("{}/{} wait, mean {}", bulkhead.queued, bulkhead.max_queue, mean(bulkhead.average_wait_ms)),
                format!("{} rejected", grouped(bulkhead.rejected)),
                format!("{} expired", grouped(bulkhead.expired)),
            ],
        ),
        (
            "retry",
            retry.enabled,
            "retry",
            retry.exhausted + retry.over_budget,
            vec![
                format!("{} attempts", grouped(retry.requests + retry.retries)),
                format!("{} retries", grouped(retry.retries)),
                format!("{} given up", grouped(retry.exhausted + retry.over_budget)),
                budget,
            ],
        ),
    ];
    let lines = limits.into_iter().map(|(name, enabled, key, refused, figures)| {
        let role = match (enabled, refused) {
            (false, _) => Role::Muted,
            (true, 0) => Role::Text,
            (true, _) => Role::Watch,
        };
        let figures = if enabled { figures.join("  ") } else { format!("off: --set limits.{key}.enabled=true") };
        widgets::line(view.theme, [(Role::Text, format!(" {name:<13}")), (role, figures)])
    });
    widgets::lines(area, buf, lines.collect());
}

fn traces(view: &View<'_>, area: Rect, buf: &mut Buffer) {
    let traces = &view.now().traces;
    if !traces.enabled {
        widgets::wrapped(view.theme, Role::Muted, "Tracing is off: --set otel.enabled=true turns it on.", area, buf);
        return;
    }
    let columns = [
        ("trace id", Constraint::Length(32), false),
        ("number", Constraint::Length(10), true),
        ("outcome", Constraint::Length(10), false),
        ("took", Constraint::Length(10), true),
    ];
    let rows = traces.recent.iter().rev().map(|trace| {
        vec![
            (Role::Text, trace.trace_id.clone()),
            (Role::Text, trace.number.to_string()),
            (Role::Text, trace.outcome.name().to_owned()),
            (Role::Text, span(trace.duration_ns)),
        ]
    });
    widgets::table(view.theme, &columns, rows.collect(), Some(view.selected), area, buf);
}
