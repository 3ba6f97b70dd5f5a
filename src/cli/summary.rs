//! What a session came to, as text for stderr.

use std::fmt::Write as _;
use std::time::Duration;

use super::output::{Outcomes, Summary};
use crate::domain::text::grouped;
use crate::domain::{Classification, Outcome};
use crate::engine::Engine;
use crate::mechanisms::breaker::BreakerView;
use crate::mechanisms::cache::CacheView;
use crate::mechanisms::flags::FlagsView;
use crate::mechanisms::slo::SlosView;

/// The figures. `took` is measured; on the virtual clock it is the session's own time instead.
pub fn of(engine: &Engine, took: Option<Duration>, ledger_head: Option<String>) -> Summary {
    let counts = engine.counts();
    let span = took.unwrap_or_else(|| engine.now().since(engine.info().began));
    let seconds = span.as_secs_f64();
    Summary {
        session_id: engine.info().session_id.clone(),
        seed: engine.seed().0,
        total_numbers: counts.evaluations,
        fizz_count: counts.class(Classification::Fizz),
        buzz_count: counts.class(Classification::Buzz),
        fizzbuzz_count: counts.class(Classification::FizzBuzz),
        plain_count: counts.class(Classification::Plain),
        wrong_count: counts.wrong,
        outcomes: Outcomes {
            ok: counts.of(Outcome::Ok),
            denied: counts.of(Outcome::Denied),
            rejected: counts.of(Outcome::Rejected),
            failed: counts.of(Outcome::Failed),
            timed_out: counts.of(Outcome::TimedOut),
            invalid: counts.of(Outcome::Invalid),
        },
        processing_time_ms: seconds * 1_000.0,
        numbers_per_second: (seconds > 0.0).then(|| counts.evaluations as f64 / seconds),
        ledger_head,
    }
}

/// As text.
pub fn text(summary: &Summary, took: Duration) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<14} {value}");
    };
    line("numbers", grouped(summary.total_numbers));
    line("Fizz", grouped(summary.fizz_count));
    line("Buzz", grouped(summary.buzz_count));
    line("FizzBuzz", grouped(summary.fizzbuzz_count));
    line("plain", grouped(summary.plain_count));
    let outcomes = &summary.outcomes;
    for (name, count) in [
        ("wrong", summary.wrong_count),
        ("denied", outcomes.denied),
        ("rejected", outcomes.rejected),
        ("failed", outcomes.failed),
        ("timed out", outcomes.timed_out),
        ("invalid", outcomes.invalid),
    ] {
        if count > 0 {
            line(name, grouped(count));
        }
    }
    if let Some(head) = &summary.ledger_head {
        line("ledger head", head.clone());
    }
    let rate = summary.total_numbers as f64 / took.as_secs_f64().max(1e-9);
    line("took", format!("{:.3} s, {} a second", took.as_secs_f64(), grouped(rate as u64)));
    line("session", format!("{}  seed {}", summary.session_id, summary.seed));
    text
}

/// The flags as a table.
pub fn flags(view: &FlagsView) -> String {
    let mut text = format!("{:<24} {:<4} {:<16} {:<10} description\n", "flag", "is", "rollout", "rule");
    for flag in &view.flags {
        let state = if flag.enabled { "on" } else { "off" };
        let rule = flag.rule.as_deref().unwrap_or("-");
        let _ = writeln!(text, "{:<24} {state:<4} {:<16} {rule:<10} {}", flag.name, flag.rollout, flag.description);
    }
    text
}

/// The breakers as text.
pub fn breakers(breakers: &[BreakerView]) -> String {
    let mut text = String::new();
    for breaker in breakers {
        let totals = &breaker.totals;
        let _ = writeln!(
            text,
            "breaker {} -> {}: {}, {} calls, {} failures, {} refused, tripped {} times, last calls {}",
            breaker.scope,
            breaker.dependency,
            breaker.state.name(),
            grouped(totals.calls),
            grouped(totals.failures),
            grouped(totals.rejections),
            grouped(totals.trips),
            breaker.window.recent
        );
        if let Some(last) = breaker.transitions.last() {
            let _ = writeln!(text, "  last: {}", last.text);
        }
    }
    text
}

/// The cache as text.
pub fn cache(cache: &CacheView) -> String {
    let ratio = cache.hit_ratio().map_or("no look-up yet".into(), |ratio| format!("{:.1} % hits", ratio * 100.0));
    format!(
        "cache {}: {} of {} {}, {ratio} ({} hits, {} misses), {} evicted, {} expired, {} invalidated\n",
        cache.policy,
        grouped(cache.weight),
        grouped(cache.capacity),
        cache.unit,
        grouped(cache.hits),
        grouped(cache.misses),
        grouped(cache.evicted),
        grouped(cache.expired),
        grouped(cache.invalidated)
    )
}

/// The service levels as text.
pub fn slos(view: &SlosView) -> String {
    let mut text = String::new();
    for slo in &view.slos {
        let compliance = slo.session.compliance();
        let share = compliance.map_or("nothing counted".into(), |share| format!("{:.4} %", share * 100.0));
        let state = if compliance.is_none_or(|share| share >= slo.target) { "kept" } else { "BROKEN" };
        let _ = writeln!(
            text,
            "slo {:<13} {share:>15}  {state:<6}  budget left {:>5.1} %  ({})",
            slo.name,
            slo.budget_left * 100.0,
            slo.objective
        );
    }
    for alert in &view.active {
        let _ = writeln!(text, "alert {} {} {}: {}", alert.id, alert.severity.name(), alert.slo, alert.message);
    }
    text
}
