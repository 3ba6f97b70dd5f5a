//! Is it healthy, and if not, what is wrong?

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{View, bad, chart_rows, charts, per_second, ratio};
use crate::console::format::{ago, elapsed, grouped, long, percent, share, span};
use crate::console::narrate;
use crate::console::theme::Role;
use crate::console::widgets::{self, Chart, Part, line, sign};
use crate::domain::Outcome;
use crate::mechanisms::breaker::{BreakerView, State};
use crate::mechanisms::slo::{AlertState, SloView};

pub fn sentence(view: &View<'_>) -> (Role, String) {
    let now = view.now();
    let minute = view.lately(60);
    let firing: Vec<_> = now.slos.active.iter().filter(|alert| alert.state == AlertState::Firing).collect();
    let cause = match now.chaos.level {
        0 => String::new(),
        level => format!(" Chaos level {level} is on, by {}.", now.chaos.by),
    };
    if let Some(worst) = firing.iter().min_by_key(|alert| alert.severity) {
        let since = long(view.at().since(worst.fired).as_secs());
        let others = match firing.len() - 1 {
            0 => String::new(),
            more => format!(" And {more} more."),
        };
        let slo = now.slos.slos.iter().find(|slo| slo.name == worst.slo);
        let figures = slo.map_or_else(String::new, |slo| {
            let burn = slo.burn_rate.map_or_else(|| "-".into(), |burn| grouped(burn.round() as u64));
            let bad = share(slo.minute.bad(), slo.minute.total);
            format!("{bad} {} in the last minute, the {} budget burns {burn}x too fast", slo.bad, slo.name)
        });
        return (Role::Bad, format!("{} since {since}: {figures}.{others}{cause}", worst.severity.name()));
    }
    let refusing: Vec<_> = now.breakers.iter().filter(|breaker| breaker.enabled && breaker.state.refuses()).collect();
    if let Some(breaker) = refusing.first() {
        let refused = share(minute.of(Outcome::Rejected), minute.evaluations);
        let state = breaker.state.name();
        return (
            Role::Bad,
            format!("Breaker {} is {state}: {refused} refused in the last minute.{cause}", breaker.name),
        );
    }
    if now.finished {
        let counts = &now.counts;
        let text = format!(
            "The session is over after {} evaluations in {}: {} right.",
            grouped(counts.evaluations),
            long(view.at().since(view.info.began).as_secs()),
            share(counts.right(), counts.evaluations)
        );
        return (Role::Info, text);
    }
    if now.paused {
        return (
            Role::Held,
            format!("Paused at {} evaluations. Space goes on, . lets one in.", grouped(now.counts.evaluations)),
        );
    }
    if let Some(alert) = now.slos.active.first() {
        return (Role::Watch, format!("Acknowledged: {}.{cause}", alert.message));
    }
    if minute.wrong + bad(&minute) > 0 {
        let wrong = share(minute.wrong, minute.evaluations);
        let failed = share(bad(&minute), minute.evaluations);
        return (
            Role::Watch,
            format!("{wrong} wrong and {failed} failed in the last minute, within the objectives.{cause}"),
        );
    }
    if now.chaos.level > 0 {
        return (Role::Watch, format!("Nothing is wrong yet.{cause}"));
    }
    match view.throughput() {
        None => (Role::Info, "The session has just begun.".into()),
        Some(rate) => {
            (Role::Good, format!("Healthy: {} answers a second, all of them right.", grouped(rate.round() as u64)))
        }
    }
}

pub fn draw(view: &View<'_>, mut area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    let now = view.now();
    let counts = view.lately(60);
    let all = counts.evaluations;
    let alarm = |count: u64| if count > 0 { Role::Bad } else { Role::Muted };
    let failed = counts.of(Outcome::Failed) + counts.of(Outcome::TimedOut);
    let rejected = counts.of(Outcome::Rejected);
    let other = counts.of(Outcome::Denied) + counts.of(Outcome::Invalid);
    let answers: Vec<Part> = vec![
        (Role::Muted, "last minute  ".into()),
        (Role::Text, format!("right {}  ", share(counts.right(), all))),
        (alarm(counts.wrong), format!("wrong {}  ", share(counts.wrong, all))),
        (alarm(failed), format!("failed {}  ", share(failed, all))),
        (alarm(rejected), format!("rejected {}  ", share(rejected, all))),
        (if other > 0 { Role::Watch } else { Role::Muted }, format!("other {}", share(other, all))),
    ];
    let latency: Vec<Part> = vec![
        (Role::Muted, "session      ".into()),
        (
            Role::Text,
            format!(
                "p50 {}  p90 {}  p99 {}  ",
                span(now.latency.p50_ns),
                span(now.latency.p90_ns),
                span(now.latency.p99_ns)
            ),
        ),
        (Role::Muted, format!("max {}  in flight {}", span(now.latency.max_ns), now.in_flight)),
    ];
    widgets::lines(widgets::take(&mut area, 2), buf, vec![line(theme, answers), line(theme, latency)]);
    widgets::take(&mut area, 1);
    let rows = chart_rows(area, 13, 3).min(5);
    let rate = |figure: f64| format!("{}/s", grouped(figure.round() as u64));
    let wrong = |figure: f64| percent(Some(figure));
    charts(
        view,
        &[
            Chart { title: "throughput", figure: &per_second, text: &rate, full: None, role: Role::Chart },
            Chart {
                title: "p99 latency",
                figure: &|sample| (sample.counts.evaluations > 0).then_some(sample.p99_ns as f64),
                text: &|figure| span(figure as u64),
                full: None,
                role: Role::Chart,
            },
            Chart {
                title: "not right",
                figure: &|sample| ratio(sample.counts.evaluations - sample.counts.right(), sample.counts.evaluations),
                text: &wrong,
                full: None,
                role: Role::Bad,
            },
        ],
        rows,
        &mut area,
        buf,
    );
    widgets::take(&mut area, 1);
    let half = area.width / 2;
    let left = left(view, half < 44);
    let right: Vec<Vec<Part>> = right(view);
    let status = widgets::take(&mut area, left.len().max(right.len()) as u16);
    let column = |x, width| Rect { x, width, ..status };
    let render = |parts: Vec<Vec<Part>>| parts.into_iter().map(|parts| line(theme, parts)).collect::<Vec<_>>();
    widgets::lines(column(status.x, half.saturating_sub(1)), buf, render(left));
    widgets::lines(column(status.x + half, status.width - half), buf, render(right));
    if area.height < 2 {
        return;
    }
    widgets::rule(theme, "last", widgets::take(&mut area, 1), buf);
    let (events, recent) = if area.width >= 130 {
        let events = Rect { width: area.width - 52, ..area };
        (events, Some(Rect { x: area.x + area.width - 50, width: 50, ..area }))
    } else {
        (area, None)
    };
    widgets::lines(events, buf, last(view, events.height.into()));
    if let Some(area) = recent {
        widgets::lines(area, buf, recently(view, area.height.into()));
    }
}

/// What happened last, newest first.
fn last(view: &View<'_>, rows: usize) -> Vec<ratatui::text::Line<'static>> {
    let told = view.timeline.events().map(|event| (event.at, narrate::tell(event)));
    // Debug-level news belongs to the logs.
    let notable = told.filter(|(_, told)| told.level <= tracing::Level::INFO);
    let mut lines: Vec<_> = notable
        .take(rows)
        .map(|(at, told)| {
            let role = match told.level {
                tracing::Level::ERROR => Role::Bad,
                tracing::Level::WARN => Role::Watch,
                _ => Role::Text,
            };
            let mark = told.mark.unwrap_or(' ');
            line(
                view.theme,
                [
                    (Role::Muted, format!("{}  ", elapsed(view.info.began, at))),
                    (Role::Mark, format!("{mark} ")),
                    (Role::Muted, format!("{:<8} ", told.topic)),
                    (role, told.text),
                ],
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push(line(view.theme, [(Role::Muted, "Nothing yet. x injects faults, 7 has game days.".to_owned())]));
    }
    lines
}

/// The last evaluations, newest first.
fn recently(view: &View<'_>, rows: usize) -> Vec<ratatui::text::Line<'static>> {
    let recent = view.now().recent.iter().rev().take(rows).map(|one| {
        let (role, word) = match (one.outcome, one.correct) {
            (Outcome::Ok, true) => (Role::Text, one.output.clone()),
            (Outcome::Ok, false) => (Role::Bad, format!("{} (wrong)", one.output)),
            (outcome, _) => (Role::Watch, outcome.name().to_owned()),
        };
        line(
            view.theme,
            [
                (Role::Muted, format!("{:>8}  ", one.number)),
                (role, format!("{word:<20} ")),
                (Role::Muted, format!("{:<8} {:>9}", one.source.name(), span(one.duration_ns))),
            ],
        )
    });
    recent.collect()
}

fn status(view: &View<'_>, name: &str, role: Role, state: String, detail: String) -> Vec<Part> {
    vec![
        (Role::Muted, format!("{name:<9} ")),
        (role, format!("{} {state:<11} ", sign(view.theme, role))),
        (Role::Text, detail),
    ]
}

/// `narrow`: there is room for one figure.
fn left(view: &View<'_>, narrow: bool) -> Vec<Vec<Part>> {
    let now = view.now();
    let off = |name: &str| status(view, name, Role::Muted, "off".into(), String::new());
    let breakers: Vec<&BreakerView> = now.breakers.iter().filter(|breaker| breaker.enabled).collect();
    let breaker = match breakers.iter().max_by_key(|breaker| gravity(breaker.state)) {
        None => off("Breakers"),
        Some(worst) => {
            let (role, word) = breaker_state(worst.state);
            let detail = match worst.trials {
                Some(trials) => format!("{} of {} trials passed", trials.passed, trials.needed),
                None => {
                    let (trips, refused) = (grouped(worst.totals.trips), grouped(worst.totals.rejections));
                    match (narrow, worst.totals.rejections) {
                        (false, _) => format!("{trips} trips, {refused} refused"),
                        (true, 0) => format!("{trips} trips"),
                        (true, _) => format!("{refused} refused"),
                    }
                }
            };
            status(view, "Breakers", role, word.into(), detail)
        }
    };
    let cache = if now.cache.enabled {
        let minute = view.lately(60);
        let hit = percent(ratio(minute.cached, minute.evaluations));
        let entries = format!("{} of {}", grouped(now.cache.entries), grouped(now.cache.capacity));
        status(view, "Cache", Role::Good, format!("hit {hit}"), entries)
    } else {
        off("Cache")
    };
    let flags = if now.flags.enabled {
        let on = now.flags.flags.iter().filter(|flag| flag.enabled).count();
        let latest = now.flags.flags.iter().filter_map(|flag| flag.changed.as_ref()).max_by_key(|(_, at)| *at);
        let detail =
            latest.map_or_else(|| "none changed".into(), |(by, at)| format!("by {by} {}", ago(*at, view.at())));
        status(view, "Flags", Role::Good, format!("{on} on"), detail)
    } else {
        off("Flags")
    };
    let chaos = match now.chaos.level {
        0 => status(view, "Chaos", Role::Good, "off".into(), format!("{} injected", grouped(now.chaos.injected))),
        level => {
            let armed: Vec<_> =
                now.chaos.faults.iter().filter(|fault| fault.armed).map(|one| one.fault.name()).collect();
            status(view, "Chaos", Role::Bad, format!("level {level}"), short_faults(&armed))
        }
    };
    vec![breaker, cache, flags, chaos]
}

/// Armed faults by their first word: there is not much room.
fn short_faults(names: &[&str]) -> String {
    match names.len() {
        5 => "all five faults".into(),
        _ => names.iter().map(|name| name.split('_').next().unwrap_or(name)).collect::<Vec<_>>().join(", "),
    }
}

fn right(view: &View<'_>) -> Vec<Vec<Part>> {
    let now = view.now();
    let mut rows: Vec<Vec<Part>> = Vec::new();
    if now.slos.enabled {
        for slo in &now.slos.slos {
            let (role, state) = slo_state(slo);
            let left = format!("left {}", percent(Some(slo.budget_left)));
            rows.push(status(view, short_slo(&slo.name), role, state, left));
        }
    } else {
        rows.push(status(view, "SLOs", Role::Muted, "off".into(), String::new()));
    }
    rows.push(if now.ledger.enabled {
        let (role, word) = if now.ledger.sound { (Role::Good, "sound") } else { (Role::Bad, "broken") };
        status(view, "Ledger", role, word.into(), format!("{} blocks", grouped(now.ledger.blocks)))
    } else {
        status(view, "Ledger", Role::Muted, "off".into(), String::new())
    });
    rows
}

/// A name that fits: the objectives of the reference by their own words.
fn short_slo(name: &str) -> &str {
    match name {
        "availability" => "Available",
        "accuracy" => "Accuracy",
        "latency" => "Latency",
        other => other,
    }
}

/// How an objective stands: its last minute in a word and a colour.
pub fn slo_state(slo: &SloView) -> (Role, String) {
    let minute = percent(slo.minute.compliance());
    match (slo.alert, slo.burn_rate) {
        (Some(severity), _) if severity.pages() => (Role::Bad, minute),
        (Some(_), _) => (Role::Watch, minute),
        (None, Some(burn)) if burn > 1.0 => (Role::Watch, minute),
        (None, Some(_)) => (Role::Good, minute),
        (None, None) => (Role::Muted, "-".into()),
    }
}

/// How a breaker stands, in a word and a colour.
pub const fn breaker_state(state: State) -> (Role, &'static str) {
    match state {
        State::Closed => (Role::Good, "closed"),
        State::HalfOpen => (Role::Held, "half-open"),
        State::Open => (Role::Bad, "open"),
        State::ForcedOpen => (Role::Bad, "forced open"),
        State::Disabled => (Role::Muted, "disabled"),
        State::MetricsOnly => (Role::Info, "metrics"),
    }
}

const fn gravity(state: State) -> u8 {
    match state {
        State::ForcedOpen => 5,
        State::Open => 4,
        State::HalfOpen => 3,
        State::MetricsOnly => 2,
        State::Disabled => 1,
        State::Closed => 0,
    }
}
