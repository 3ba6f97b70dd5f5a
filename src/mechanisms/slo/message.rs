//! What an alert means, in a sentence.

use std::fmt::Write as _;

use super::counters::{Cause, Counters};
use super::ring::{Cell, Ratio};
use super::spec::{Budgeting, BurnRule, Indicator, SloSpec, shorthand};
use crate::domain::text::grouped;

/// What a bad event is, as in "4 % were wrong".
pub(super) fn bad(spec: &SloSpec) -> &'static str {
    match (&spec.indicator, spec.budgeting) {
        (_, Budgeting::Timeslices { .. }) => "of time slices were bad",
        (_, Budgeting::RatioTimeslices { .. }) => "were bad, slice by slice",
        (Indicator::Latency { .. }, _) => "of answers came late",
        (Indicator::Good { good: Counters::RIGHT, total: Counters::ANSWERED }, _) => "of answers were wrong",
        (Indicator::Good { good: Counters::ANSWERED, .. }, _) => "of evaluations got no answer",
        _ => "of events were bad",
    }
}

/// How many times faster than allowed.
pub(super) fn burns(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}x") } else { format!("{}x", grouped(rate.round() as u64)) }
}

/// A share in percent with as many digits as it takes to see that it is not 0.
pub(super) fn share(ratio: f64) -> String {
    let percent = ratio * 100.0;
    match percent {
        0.0 => "0 %".into(),
        percent if percent < 0.001 => format!("{percent:.5} %"),
        percent if percent < 0.1 || (99.95..100.0).contains(&percent) => format!("{percent:.3} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// A span in words: `12 s`, `3 min 20 s`, `4 h 10 min`, `12 d 3 h`.
pub fn span(milliseconds: u64) -> String {
    match milliseconds / 1_000 {
        0 => format!("{milliseconds} ms"),
        s if s < 60 => format!("{s} s"),
        s if s < 3_600 => format!("{} min {} s", s / 60, s % 60),
        s if s < 86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        s => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// Causes with their shares, the largest first; at most `most` of them.
pub(super) fn eaten(counts: &[u64; Cause::COUNT], most: usize) -> Vec<(String, f64)> {
    let all = counts.iter().sum::<u64>();
    let mut causes: Vec<(Cause, u64)> = Cause::all().zip(*counts).filter(|(_, count)| *count > 0).collect();
    causes.sort_by_key(|(cause, count)| (std::cmp::Reverse(*count), *cause));
    causes.truncate(most);
    causes.into_iter().map(|(cause, count)| (cause.name().to_owned(), count as f64 / all as f64)).collect()
}

/// What is known when an alert fires.
pub(super) struct Facts<'a> {
    pub spec: &'a SloSpec,
    pub rule: &'a BurnRule,
    pub long: Cell,
    pub short: Option<Ratio>,
    /// Of the budget.
    pub left: f64,
    /// At this rate, milliseconds of the engine's clock.
    pub lasts_ms: Option<u64>,
}

/// What it means: how much was bad, how fast the budget burns, when it is gone, what ate it.
pub(super) fn sentence(facts: &Facts<'_>) -> String {
    let Facts { spec, rule, long, short, left, lasts_ms } = facts;
    let window = shorthand(rule.long);
    if long.ratio.total == 0 {
        return format!("nothing was counted for {} in {window}: whether it is kept is not known", spec.name);
    }
    let mut text = format!("{} {} in {window}", share(long.ratio.error_ratio()), bad(spec));
    if let (Some(ratio), Some(seconds)) = (short, rule.short) {
        let _ = write!(text, " ({} in {})", share(ratio.error_ratio()), shorthand(seconds));
    }
    let burn = spec.burn_rate(long.ratio).unwrap_or_default();
    let _ = write!(text, ": the {} budget burns {} as fast as it may", spec.name, burns(burn));
    let _ = match lasts_ms {
        _ if *left <= 0.0 => write!(text, " and is gone"),
        Some(ms) => write!(text, ", and the {} that is left is gone in {}", share(*left), span(*ms)),
        None => write!(text, ", and the {} that is left outlasts its period", share(*left)),
    };
    let causes = eaten(&long.eaten, 3);
    if !causes.is_empty() {
        let each: Vec<String> = causes.iter().map(|(name, part)| format!("{name} ({:.0} %)", part * 100.0)).collect();
        let _ = write!(text, "; eaten by {}", each.join(", "));
    }
    text
}
