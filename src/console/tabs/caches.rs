//! How much work does the cache save, and what leaves it?

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};

use super::{View, chart_rows, charts, per_second, ratio};
use crate::console::format::{ago, grouped, long, percent};
use crate::console::theme::Role;
use crate::console::widgets::{self, Chart, gauge, line};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let cache = &view.now().cache;
    if !cache.enabled {
        return (Role::Info, "The cache is off: --set cache.enabled=true turns it on.".into());
    }
    let minute = view.lately(60);
    let lately = percent(ratio(minute.cached, minute.evaluations));
    let all = percent(cache.hit_ratio());
    match cache.hit_ratio() {
        None => (Role::Info, "Nothing has been looked up yet.".into()),
        Some(_) => (
            Role::Good,
            format!("{lately} of the last minute's evaluations were answered by the cache; {all} of all look-ups."),
        ),
    }
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let cache = &view.now().cache;
    let full = if cache.capacity > 0 { cache.weight as f64 / cache.capacity as f64 } else { 0.0 };
    let width = usize::from(area.width).saturating_sub(50).clamp(10, 60);
    let mut rows = vec![
        line(
            theme,
            [
                (Role::Muted, "fill      ".into()),
                (Role::Chart, gauge(theme, full, width)),
                (Role::Text, format!("  {} of {} {}", grouped(cache.weight), grouped(cache.capacity), cache.unit)),
            ],
        ),
        line(
            theme,
            [
                (Role::Muted, "rules     ".into()),
                (Role::Text, format!("policy {}, an answer is good for {}", cache.policy, long(cache.ttl_ms / 1_000))),
            ],
        ),
        line(
            theme,
            [
                (Role::Muted, "look-ups  ".into()),
                (Role::Good, format!("{} hits", grouped(cache.hits))),
                (Role::Text, format!("  {} misses", grouped(cache.misses))),
            ],
        ),
        line(
            theme,
            [
                (Role::Muted, "left      ".into()),
                (
                    Role::Text,
                    format!(
                        "{} for room, {} too old, {} invalidated",
                        grouped(cache.evicted),
                        grouped(cache.expired),
                        grouped(cache.invalidated)
                    ),
                ),
            ],
        ),
    ];
    let [modified, exclusive, shared] = cache.lines;
    // The lines' states come first: on a narrow screen the end of the row is cut.
    let states = format!(
        "{} exclusive, {} modified, {} shared; {} steps",
        grouped(exclusive),
        grouped(modified),
        grouped(shared),
        grouped(cache.steps)
    );
    let states = match cache.shards.as_slice() {
        [_] => format!("1 shard: {states}"),
        many => format!("{} shards: {states}, {} hits by peers", many.len(), grouped(cache.peer_hits)),
    };
    rows.push(line(theme, [(Role::Muted, "coherence ".to_owned()), (Role::Text, states)]));
    widgets::lines(widgets::take(&mut area, 5), buf, rows);
    widgets::take(&mut area, 1);
    let rows = chart_rows(area, 6, 2).min(8);
    charts(
        view,
        &[
            Chart {
                title: "hit ratio",
                figure: &|sample| ratio(sample.counts.cached, sample.counts.evaluations),
                text: &|figure| percent(Some(figure)),
                full: Some(1.0),
                role: Role::Good,
            },
            Chart {
                title: "throughput",
                figure: &per_second,
                text: &|figure| format!("{}/s", grouped(figure.round() as u64)),
                full: None,
                role: Role::Chart,
            },
        ],
        rows,
        &mut area,
        buf,
    );
    widgets::take(&mut area, 1);
    widgets::rule(theme, "what left last", widgets::take(&mut area, 1), buf);
    if cache.recent.is_empty() {
        widgets::wrapped(theme, Role::Muted, "Nothing has left yet. c clears the cache.", area, buf);
        return;
    }
    let columns = [
        ("number", Constraint::Length(12), true),
        ("reason", Constraint::Length(12), false),
        ("used", Constraint::Length(8), true),
        ("age", Constraint::Length(12), true),
        ("dignity", Constraint::Length(7), true),
        ("when", Constraint::Length(14), true),
        ("", Constraint::Fill(1), false),
    ];
    let rows = cache.recent.iter().rev().map(|eviction| {
        vec![
            (Role::Text, eviction.number.to_string()),
            (Role::Text, eviction.reason.clone()),
            (Role::Text, grouped(eviction.uses)),
            (Role::Text, format!("{:.1} s", eviction.age_ms as f64 / 1_000.0)),
            (Role::Text, format!("{:.0} %", eviction.dignity * 100.0)),
            (Role::Muted, ago(eviction.at, view.at())),
            (Role::Muted, eviction.eulogy.clone().unwrap_or_default()),
        ]
    });
    widgets::table(theme, &columns, rows.collect(), None, area, buf);
}
