//! The three algorithms against obvious versions, what they promise in common, and the limiter in the chain.

use proptest::prelude::*;

use super::*;
use crate::domain::{ErrorCode, EventMask, Outcome, RuleMask};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;

fn config(algorithm: Algorithm, limit: u32) -> LimiterConfig {
    LimiterConfig { enabled: true, algorithm, limit: Rate::per_second(limit), burst: None }
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(vec![Algorithm::Gcra, Algorithm::SlidingLog, Algorithm::WeightedWindow])
}

/// Gaps between calls, nanoseconds: none, short, long, and more than two windows.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![4 => Just(0_u64), 6 => 0..SECOND / 4, 2 => 0..SECOND, 1 => 0..4 * SECOND];
    prop::collection::vec(gap, 1..150)
}

/// A token bucket in whole units: a token is `interval` units, a nanosecond brings one.
fn token_bucket(limit: u32, burst: u32, arrivals: &[u64]) -> Vec<bool> {
    let interval = SECOND / u64::from(limit);
    let (mut level, mut last) = (interval * u64::from(burst), START);
    let full = level;
    arrivals
        .iter()
        .map(|at| {
            level = full.min(level + (at - last));
            last = *at;
            let allowed = level >= interval;
            level -= if allowed { interval } else { 0 };
            allowed
        })
        .collect()
}

fn sliding_log(limit: u32, arrivals: &[u64]) -> Vec<bool> {
    let mut allowed: Vec<u64> = vec![];
    arrivals
        .iter()
        .map(|at| {
            let within = allowed.iter().filter(|before| *before + SECOND > *at).count();
            let allow = within < limit as usize;
            allowed.extend(allow.then_some(*at));
            allow
        })
        .collect()
}

/// The formula in fractions: weights of a thousandth of a window are too coarse, so exact ones.
fn weighted_window(limit: u32, arrivals: &[u64]) -> Vec<bool> {
    let mut allowed: Vec<u64> = vec![];
    arrivals
        .iter()
        .map(|at| {
            let (window, elapsed) = (at / SECOND, at % SECOND);
            let count = |which: u64| allowed.iter().filter(|before| *before / SECOND == which).count() as u128;
            let weighted = count(window - 1) * u128::from(SECOND - elapsed) + count(window) * u128::from(SECOND);
            let allow = weighted < u128::from(limit) * u128::from(SECOND);
            allowed.extend(allow.then_some(*at));
            allow
        })
        .collect()
}

proptest! {
    #[test]
    fn each_answers_as_its_obvious_version(limit in 1_u32..12, burst in 1_u32..8, gaps in gaps()) {
        let arrivals: Vec<u64> = gaps.iter().scan(START, |at, gap| { *at += gap; Some(*at) }).collect();
        let answers = |config: &LimiterConfig| -> Vec<bool> {
            let mut limiter = Limiter::new(config, Timestamp::from_nanos(START)).unwrap();
            arrivals.iter().map(|at| limiter.check(Timestamp::from_nanos(*at)).is_ok()).collect()
        };
        let gcra = LimiterConfig { burst: Some(burst), ..config(Algorithm::Gcra, limit) };
        prop_assert_eq!(answers(&gcra), token_bucket(limit, burst, &arrivals));
        let strict = answers(&config(Algorithm::SlidingLog, limit));
        prop_assert_eq!(&strict, &sliding_log(limit, &arrivals));
        prop_assert_eq!(answers(&config(Algorithm::WeightedWindow, limit)), weighted_window(limit, &arrivals));

        let allowed: Vec<u64> =
            arrivals.iter().zip(&strict).filter(|(_, allowed)| **allowed).map(|(at, _)| *at).collect();
        for span in allowed.windows(limit as usize + 1) {
            prop_assert!(span[span.len() - 1] - span[0] >= SECOND, "more than {} within a second", limit);
        }
    }

    #[test]
    fn whoever_waits_as_told_is_let_through_and_not_a_nanosecond_earlier(
        algorithm in algorithms(),
        limit in 1_u32..12,
        gaps in gaps(),
    ) {
        let start = Timestamp::from_nanos(START);
        let fresh = || Limiter::new(&config(algorithm, limit), start).unwrap();
        let mut limiter = fresh();
        let mut asked = vec![];
        let mut now = start;
        for gap in gaps {
            now += Duration::from_nanos(gap);
            asked.push(now);
            let Err(Limited { retry_after }) = limiter.check(now) else { continue };
            prop_assert!(retry_after > Duration::ZERO);
            for (wait, allowed) in [(retry_after - Duration::from_nanos(1), false), (retry_after, true)] {
                let mut again = fresh();
                for at in &asked {
                    let _ = again.check(*at);
                }
                prop_assert_eq!(again.check(now + wait).is_ok(), allowed, "{:?} after {:?}", wait, now);
            }
        }
    }

    #[test]
    fn an_idle_limit_is_as_good_as_new(algorithm in algorithms(), limit in 1_u32..12, gaps in gaps(), rest in 0..3 * SECOND) {
        let mut now = Timestamp::from_nanos(START);
        let mut used = Limiter::new(&config(algorithm, limit), now).unwrap();
        for gap in gaps {
            now += Duration::from_nanos(gap);
            let _ = used.check(now);
        }
        now += Duration::from_nanos(rest);
        if used.is_idle(now) {
            let mut fresh = Limiter::new(&config(algorithm, limit), now).unwrap();
            for _ in 0..=limit {
                prop_assert_eq!(used.check(now), fresh.check(now));
            }
        }
        prop_assert!(used.is_idle(now + Duration::from_secs(3)), "in the end it is idle");
    }

    #[test]
    fn remaining_says_how_many_more_are_let_through_at_once(
        algorithm in algorithms(),
        limit in 1_u32..12,
        gaps in gaps(),
    ) {
        let mut now = Timestamp::from_nanos(START);
        let mut limiter = Limiter::new(&config(algorithm, limit), now).unwrap();
        let mut expected = None;
        for gap in gaps {
            now += Duration::from_nanos(gap);
            let answer = limiter.check(now);
            if let (0, Some(before)) = (gap, expected) {
                prop_assert_eq!(answer.is_ok(), before > 0);
                if let Ok(Allowed { remaining }) = answer {
                    prop_assert_eq!(remaining, before - 1);
                }
            }
            // The weighted window rounds its count down: a fraction of a call still lets one through.
            expected = answer.ok().map(|allowed| allowed.remaining).filter(|_| algorithm != Algorithm::WeightedWindow);
        }
    }
}

#[test]
fn the_window_before_the_last_counts_for_nothing() {
    let mut limit = WeightedWindow::new(Rate::per_second(4));
    let at = |second: u64, ms: u64| Timestamp::from_nanos(START + second * SECOND + ms * 1_000_000);
    for _ in 0..4 {
        assert!(limit.check(at(0, 0)).is_ok());
    }
    assert_eq!(limit.check(at(0, 0)).unwrap_err().retry_after, Duration::from_nanos(SECOND + 1));
    let fresh: Vec<u32> = (0..4).map(|_| limit.check(at(2, 0)).unwrap().remaining).collect();
    assert_eq!(fresh, [3, 2, 1, 0], "the first window is two back");
}

#[test]
fn what_cannot_be_enforced_is_refused() {
    let refused = |config: LimiterConfig| {
        let error = LimiterMiddleware::new(&config, Timestamp::EPOCH).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Configuration);
        error.to_string()
    };
    let burst = Some(3);
    assert_eq!(
        refused(LimiterConfig { burst, ..config(Algorithm::SlidingLog, 5) }),
        "limits.limiter.burst: the algorithm sliding_log has no bursts; leave it out"
    );
    assert_eq!(
        refused(config(Algorithm::SlidingLog, 1_000_001)),
        "limits.limiter.limit: a sliding log remembers at most 1000000 calls; use gcra for 1000001/second"
    );
    assert_eq!(
        refused(config(Algorithm::Gcra, 1_000_000_001)),
        "limits.limiter.limit: 1000000001/second is more than one per nanosecond"
    );
    let burst = Some(0);
    assert_eq!(
        refused(LimiterConfig { burst, ..config(Algorithm::Gcra, 5) }),
        "limits.limiter.burst: 0 would refuse everything for ever"
    );
    let (limit, burst) = ("1/day".parse().unwrap(), Some(u32::MAX));
    assert_eq!(
        refused(LimiterConfig { limit, burst, ..LimiterConfig::default() }),
        "limits.limiter.burst: 4294967295 calls at 1/day take more than 30 years"
    );
    assert!(serde_yaml::from_str::<LimiterConfig>("limit: 5/week").is_err());
    assert!(serde_yaml::from_str::<LimiterConfig>("rate: 5/day").is_err());
}

#[test]
fn in_the_chain_a_refused_evaluation_knows_when_to_come_back() {
    let now = Timestamp::from_nanos(START);
    let mut limiter = LimiterMiddleware::new(&config(Algorithm::Gcra, 2), now).unwrap();
    let mut out = Outbox::new(EventMask::NONE, 0);
    let mut enter = |limiter: &mut LimiterMiddleware, at| {
        let mut context = Context::new(0, 15, RuleMask::NONE, at);
        (limiter.enter(&mut context, &mut out), context)
    };
    assert_eq!(enter(&mut limiter, now).0, Flow::Continue);
    assert_eq!(enter(&mut limiter, now).0, Flow::Continue);
    let (flow, context) = enter(&mut limiter, now);
    assert_eq!(flow, Flow::Finish);
    assert_eq!((context.outcome, context.error), (Outcome::Rejected, Some(ErrorCode::RateLimited)));
    assert_eq!(context.retry_after, Some(Duration::from_millis(500)));
    let view = limiter.view(now);
    assert_eq!((view.allowed, view.rejected, view.remaining), (2, 1, Some(0)));
    assert_eq!((view.burst, view.last_retry_after_ms), (Some(2), Some(500.0)));
    assert_eq!(serde_json::from_str::<LimiterView>(&serde_json::to_string(&view).unwrap()).unwrap(), view);

    let mut quiet = Outbox::new(EventMask::NONE, 0);
    let wider = LimiterCommand::Limit { limit: Rate::per_second(3), burst: None };
    let answer = limiter.command(&wider, "ops", now, &mut quiet).unwrap();
    assert_eq!(answer, "rate limiter set to 3/second by ops");
    let through = (0..5).filter(|_| enter(&mut limiter, now).0 == Flow::Continue).count();
    assert_eq!(through, 3);
    limiter.command(&LimiterCommand::Disable, "ops", now, &mut quiet).unwrap();
    assert_eq!(enter(&mut limiter, now).0, Flow::Continue);
    limiter.command(&LimiterCommand::Reset, "ops", now, &mut quiet).unwrap();
    let view = limiter.view(now);
    assert_eq!((view.allowed, view.rejected, view.remaining, view.enabled), (0, 0, None, false));
    let off = LimiterMiddleware::new(&LimiterConfig::default(), now).unwrap();
    assert!(!off.view(now).enabled);
}

#[test]
fn idle_keys_are_forgotten_and_made_up_ones_share_a_limit() {
    let mut now = Timestamp::from_nanos(START);
    let mut limits = KeyedLimiter::new(&config(Algorithm::WeightedWindow, 1), 3, now).unwrap();
    for key in ["a", "b", "c"] {
        assert!(limits.check(key, now).is_ok());
        assert!(limits.check(key, now).is_err());
    }
    assert!(limits.check("d", now).is_ok());
    assert!(limits.check("e", now).is_err(), "d and e are one");
    assert_eq!(limits.len(), 3);
    now += Duration::from_secs(2);
    assert!(limits.check("a", now).is_ok());
    assert!(limits.check("d", now).is_ok());
    assert_eq!(limits.len(), 2, "b and c were idle, a was not");
    assert!(limits.reset("a") && !limits.reset("b"));
    limits.clear();
    assert!(limits.is_empty());
}
