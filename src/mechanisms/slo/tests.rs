use std::sync::Arc;
use std::time::Duration;

use super::openslo;
use super::*;
use crate::domain::{ErrorCode, EventMask, Kind, Outcome, Payload, RuleSet, Source, Timestamp};
use crate::pipeline::{Context, Middleware, Outbox};

const LATENCY: usize = 0;
const ACCURACY: usize = 1;
const AVAILABILITY: usize = 2;

fn config() -> SloConfig {
    SloConfig { enabled: true, ..SloConfig::default() }
}

fn slo() -> SloMiddleware {
    SloMiddleware::new(&config(), Arc::new(RuleSet::classic()), Timestamp::EPOCH).unwrap()
}

fn finish(slo: &mut SloMiddleware, out: &mut Outbox, now: u64, outcome: Outcome, matched_of: i64, faults: u8) -> bool {
    let rules = RuleSet::classic();
    let mut context = Context::new(0, 15, rules.all(), Timestamp::from_millis(now));
    context.answer(rules.matches(matched_of, rules.all()), Source::Strategy);
    context.faults = faults;
    if outcome != Outcome::Ok {
        context.fail(outcome, ErrorCode::ChaosInduced);
    }
    slo.leave(&mut context, out);
    context.correct
}

#[test]
fn only_the_right_uncorrupted_answer_is_right() {
    let (mut slo, mut out) = (slo(), Outbox::new(EventMask::NONE, 0));
    assert!(finish(&mut slo, &mut out, 0, Outcome::Ok, 15, 0));
    assert!(!finish(&mut slo, &mut out, 0, Outcome::Ok, 3, 0));
    assert!(!finish(&mut slo, &mut out, 0, Outcome::Ok, 15, 1));
    assert!(finish(&mut slo, &mut out, 0, Outcome::Ok, 15, 2), "a late answer may be right");
    assert!(!finish(&mut slo, &mut out, 0, Outcome::Failed, 15, 0));
    let view = slo.view(Timestamp::EPOCH);
    let ratios: Vec<_> = view.slos.iter().map(|slo| (slo.session.good, slo.session.total)).collect();
    assert_eq!(ratios, [(4, 4), (2, 4), (4, 5)]);
}

#[test]
fn the_callers_mistakes_cost_no_budget() {
    let (mut slo, mut out) = (slo(), Outbox::new(EventMask::NONE, 0));
    finish(&mut slo, &mut out, 0, Outcome::Denied, 15, 0);
    finish(&mut slo, &mut out, 0, Outcome::Invalid, 15, 0);
    assert!(slo.view(Timestamp::EPOCH).slos.iter().all(|slo| slo.session.total == 0));
    finish(&mut slo, &mut out, 0, Outcome::Rejected, 15, 0);
    let view = slo.view(Timestamp::EPOCH);
    assert_eq!(view.slos[AVAILABILITY].session, Ratio { good: 0, total: 1 });
    finish(&mut slo, &mut out, 0, Outcome::TimedOut, 15, 0);
    assert_eq!(slo.view(Timestamp::EPOCH).slos[LATENCY].session, Ratio { good: 0, total: 1 });
}

#[test]
fn one_alert_fires_is_acknowledged_and_resolves_when_its_condition_ends() {
    let (mut slo, mut out) = (slo(), Outbox::new(EventMask::operations(), 1_000));
    for step in 0..1_000 {
        finish(&mut slo, &mut out, step, Outcome::Failed, 15, 4);
    }
    let view = slo.view(Timestamp::from_millis(1_000));
    assert_eq!((view.active.len(), view.fired), (1, 1), "four rules hold, and there is one alert");
    let alert = &view.active[0];
    assert_eq!((alert.severity, alert.rule.as_str(), alert.level), (Severity::P1, "burn-1h", 1));
    assert_eq!(alert.channels, ["phone", "SMS", "email", "chat"]);
    // A budget of a ten-thousandth, all of it failing: 10 000 times too fast; 30 days last 4 min 19 s.
    let meaning = "100.0 % of evaluations got no answer in 1h (100.0 % in 5m): the availability budget burns 10 000x as \
                   fast as it may, and the 99.6 % that is left is gone in 4 min 18 s; eaten by fault \
                   exception_injection (100 %)";
    assert_eq!(alert.message, meaning);
    let all = SloCommand::Acknowledge { alert: None };
    slo.command(&all, "operator", Timestamp::from_millis(1_000), &mut out).unwrap();
    // Five minutes later the short windows of the page are clean; the others still hold.
    for step in 0..100 {
        finish(&mut slo, &mut out, 310_000 + step * 10, Outcome::Ok, 15, 0);
    }
    assert_eq!(slo.view(Timestamp::from_millis(311_000)).active[0].state, AlertState::Acknowledged);
    for step in 0..100 {
        finish(&mut slo, &mut out, 6 * 3_600_000 + 60_000 + step * 10, Outcome::Ok, 15, 0);
    }
    let view = slo.view(Timestamp::from_millis(6 * 3_600_000 + 62_000));
    assert_eq!((view.active.len(), view.resolved.len(), view.fired), (0, 1, 1));
    let kinds: Vec<_> = out.take().iter().map(|event| event.kind()).collect();
    use Kind::*;
    // Six hours in which five of six evaluations failed are more than a month may have.
    let expected = [SlaSloViolation, SlaAlertFired, SlaAlertAcknowledged, SlaErrorBudgetExhausted, SlaAlertResolved];
    assert_eq!(kinds, expected);
    let none = SloCommand::Acknowledge { alert: Some(9) };
    assert_eq!(slo.command(&none, "t", Timestamp::EPOCH, &mut out), Err(SloError::NoAlert(9)));
}

#[test]
fn little_traffic_fires_nothing() {
    let (mut slo, mut out) = (slo(), Outbox::new(EventMask::operations(), 100));
    for step in 0..19 {
        finish(&mut slo, &mut out, step * 300, Outcome::Failed, 15, 0);
    }
    assert_eq!(slo.fired(), 0);
    for step in 19..22 {
        finish(&mut slo, &mut out, step * 300, Outcome::Failed, 15, 0);
    }
    assert_eq!(slo.fired(), 1);
}

/// One objective of 99.9 % over 30 days, told once a second that `bad` of a thousand failed.
struct Bench {
    slos: Slos,
    out: Outbox,
    second: u64,
}

impl Bench {
    fn new(config: SloConfig) -> Self {
        let mut config = config;
        config.enabled = true;
        config.slos.availability.target = 0.999;
        config.slos.accuracy.target = 0.5;
        Self {
            slos: Slos::new(&config, Timestamp::EPOCH).unwrap(),
            out: Outbox::new(EventMask::operations(), 100_000),
            second: 0,
        }
    }

    /// Goes on for this many seconds; every event is weighed by its place, so that `bad` of a thousand are bad.
    fn go(&mut self, seconds: u64, bad: u64) {
        for _ in 0..seconds {
            self.second += 1;
            let now = Timestamp::from_millis(self.second * 1_000);
            // Spread evenly: event k is bad when the running share steps over a whole one.
            let failed = self.second * bad / 1_000 != (self.second - 1) * bad / 1_000;
            let one =
                if failed { Observation::failed(Duration::ZERO) } else { Observation::answered(true, Duration::ZERO) };
            self.slos.record(&one, now);
            self.out.now = now;
            self.slos.check(now, &mut self.out);
        }
    }

    /// What was told of alerts since the last look: the second, and what.
    fn told(&mut self) -> Vec<(u64, String)> {
        let tell = |event: crate::domain::Event| {
            let second = event.at.as_secs();
            match event.payload {
                Payload::SlaAlertFired { severity, message, .. } if message.starts_with("nobody") => {
                    Some((second, format!("escalated {severity}: {message}")))
                }
                Payload::SlaAlertFired { severity, .. } => Some((second, format!("fired {severity}"))),
                Payload::SlaAlertResolved { .. } => Some((second, "resolved".into())),
                Payload::SlaErrorBudgetExhausted { slo } => Some((second, format!("exhausted {slo}"))),
                _ => None,
            }
        };
        self.out.take().into_iter().filter_map(tell).collect()
    }
}

fn patient() -> SloConfig {
    let mut config = SloConfig::default();
    config.alerting.escalation_timeout_seconds = 0;
    config
}

#[test]
fn what_gets_worse_raises_the_same_alert() {
    let mut bench = Bench::new(patient());
    bench.go(3 * 86_400, 0);
    assert_eq!(bench.told(), []);
    // 0.7 % is 7 times too fast: 6 x 6 h / 7 = 5.14 h until 5 % of the budget is gone; tickets come at 10.29 h.
    bench.go(6 * 3_600, 7);
    let told = bench.told();
    assert_eq!(told.len(), 1, "{told:?}");
    let hours = (told[0].0 - 3 * 86_400) as f64 / 3_600.0;
    assert!(told[0].1 == "fired P2" && (hours - 36.0 / 7.0).abs() < 0.05, "{hours} {told:?}");
    // 5 % is 50 times too fast: 14.4 / 50 of an hour, less what was bad before.
    let from = bench.second;
    bench.go(3_600, 50);
    let told = bench.told();
    let minutes = (told[0].0 - from) as f64 / 60.0;
    let expected = 60.0 * (0.0144 - 0.007) / (0.05 - 0.007);
    assert!(told.len() == 1 && told[0].1 == "fired P1", "{told:?}");
    assert!((minutes - expected).abs() < 1.0, "{minutes} instead of {expected}");
    let view = bench.slos.view(Timestamp::from_millis(bench.second * 1_000));
    assert_eq!((view.active.len(), view.fired, view.active[0].severity), (1, 1, Severity::P1));
    assert!(view.active[0].raised.is_some());
}

#[test]
fn nothing_fires_at_exactly_the_factor() {
    let mut config = patient();
    config.alerting.rules.truncate(1);
    let mut bench = Bench::new(config);
    // 1.44 % of 100 000 events is 14.4 times a thousandth; one more is more.
    let rule = bench.slos.view(Timestamp::EPOCH).slos[AVAILABILITY].rules[0].clone();
    assert!((rule.factor - 14.4).abs() < 1e-12);
    let now = Timestamp::from_millis(500);
    for event in 0..10_000 {
        let one =
            if event < 144 { Observation::failed(Duration::ZERO) } else { Observation::answered(true, Duration::ZERO) };
        bench.slos.record(&one, now);
    }
    bench.slos.check(now, &mut bench.out);
    assert_eq!(bench.slos.fired(), 0);
    bench.slos.record(&Observation::failed(Duration::ZERO), now);
    bench.slos.check(now + Duration::from_secs(1), &mut bench.out);
    assert_eq!(bench.slos.fired(), 1);
}

#[test]
fn an_alert_that_nobody_takes_goes_up_the_chain() {
    let mut config = SloConfig::default();
    config.on_call.rotation_interval_hours = 1;
    config.on_call.engineers = ["ann", "ben"]
        .map(|name| Engineer { name: name.into(), email: String::new(), phone: String::new(), title: String::new() })
        .to_vec();
    let mut bench = Bench::new(config);
    bench.go(1_500, 1_000);
    let told = bench.told();
    let escalated: Vec<_> = told.iter().filter(|(_, what)| what.starts_with("escalated")).collect();
    let times: Vec<u64> = escalated.iter().map(|(second, _)| second - told[0].0).collect();
    assert_eq!(times, [300, 600, 900], "{told:?}");
    assert!(escalated[0].1.ends_with("nobody acknowledged it in 5 min 0 s: it goes to the Senior Engineer (ben)"));
    let now = Timestamp::from_millis(bench.second * 1_000);
    assert_eq!(bench.slos.view(now).active[0].level, 4);
    assert_eq!(bench.slos.view(now).escalation.len(), 4);
}

#[test]
fn a_resolved_alert_is_followed_by_a_cool_down() {
    let mut config = patient();
    config.alerting.rules.truncate(1);
    config.alerting.cooldown_seconds = 600;
    let mut bench = Bench::new(config);
    bench.go(60, 1_000);
    // The short window is 5 minutes: it ends 5 minutes after the last failure.
    bench.go(400, 0);
    bench.go(700, 1_000);
    let told = bench.told();
    let what: Vec<&str> = told.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(what, ["fired P1", "resolved", "fired P1"], "{told:?}");
    assert!((told[2].0 - told[1].0).abs_diff(600) <= 1, "{told:?}");
}

#[test]
fn a_time_scale_makes_a_month_a_matter_of_minutes() {
    let mut config = config();
    config.time_scale = 3_600;
    config.slos.availability.target = 0.9;
    config.alerting.rules = config.alerting.rules[1..2].to_vec();
    let mut slos = Slos::new(&config, Timestamp::from_millis(1_767_225_600_000)).unwrap();
    let mut out = Outbox::new(EventMask::operations(), 1_000);
    let at = |ms: u64| Timestamp::from_millis(1_767_225_600_000 + ms);
    // A second is an hour; ten minutes of the wall are 25 days.
    let mut fired = None;
    for ms in 0..40_000 {
        let one =
            if ms < 20_000 { Observation::answered(true, Duration::ZERO) } else { Observation::failed(Duration::ZERO) };
        slos.record(&one, at(ms));
        out.now = at(ms);
        slos.check(at(ms), &mut out);
        if slos.fired() > 0 && fired.is_none() {
            fired = Some(ms - 20_000);
        }
    }
    // All failing is 10 times too fast: 6 x 6 h / 10 = 3.6 h are 3.6 s.
    let fired = fired.unwrap();
    assert!((3_590..3_620).contains(&fired), "{fired}");
    let view = slos.view(at(40_000));
    let slo = &view.slos[AVAILABILITY];
    // 20 h of 10x are 200 of 720 hours.
    assert!((slo.budget_left - (1.0 - 200.0 / 720.0)).abs() < 0.01, "{}", slo.budget_left);
    // The last minute of the wall is all there is: half of it failed, 5 times too fast, so 520 h of 720 last 104 h.
    assert_eq!(slo.minute.total, 40_000);
    assert!((103_500..104_500).contains(&slo.lasts_ms.unwrap()), "told in time of the wall: {:?}", slo.lasts_ms);
}

#[test]
fn a_budget_that_runs_low_turns_flags_off_once_and_refuses_game_days() {
    let mut config = config();
    config.budget_policy.flags = vec!["wuzz_rule_experimental".into()];
    config.time_scale = 100_000;
    let mut slos = Slos::new(&config, Timestamp::EPOCH).unwrap();
    let mut out = Outbox::new(EventMask::operations(), 1_000);
    assert_eq!(slos.refuses_game_days(Timestamp::EPOCH), None);
    for ms in 1..=2_000 {
        let now = Timestamp::from_millis(ms);
        let one = if ms % 500 == 0 {
            Observation::answered(false, Duration::ZERO)
        } else {
            Observation::answered(true, Duration::ZERO)
        };
        slos.record(&one, now);
        slos.check(now, &mut out);
    }
    assert!(slos.has_actions());
    let actions = slos.take_actions();
    let [PolicyAction::TurnOff { flag, reason }] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(flag, "wuzz_rule_experimental");
    assert!(reason.starts_with("the accuracy budget has") && reason.ends_with("left, below 25 %"), "{reason}");
    assert!(!slos.has_actions());
    let refusal = slos.refuses_game_days(Timestamp::from_millis(2_000)).unwrap();
    assert!(refusal.contains("no game day begins (sla.budget_policy)"), "{refusal}");
    let kinds: Vec<Kind> = out.take().iter().map(|event| event.kind()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::SlaErrorBudgetExhausted).count(), 1, "{kinds:?}");
}

#[test]
fn other_documents_are_watched_and_bad_ones_are_refused_whole() {
    let (mut slo, mut out) = (slo(), Outbox::new(EventMask::NONE, 0));
    for step in 0..100 {
        finish(&mut slo, &mut out, step, Outcome::Ok, 3, 0);
    }
    let before = slo.view(Timestamp::from_millis(100));
    let shipped = include_str!("../../../config/slo.yaml");
    let load = |documents: String| SloCommand::Load { file: "slo.yaml".into(), documents };
    let now = Timestamp::from_millis(100);
    for bad in [
        shipped.replace("- target: 0.99999", "- target: 0.99999\n      targetPercent: 99.999"),
        shipped.replace("kind: SLI", "kind: SLY"),
        "# nothing".into(),
    ] {
        let error = slo.command(&load(bad), "operator", now, &mut out).unwrap_err();
        assert_eq!(error.code(), ErrorCode::SloConfiguration, "{error}");
        assert_eq!(slo.view(now), before, "{error}");
    }
    let done = slo.command(&load(shipped.into()), "operator", now, &mut out).unwrap();
    assert_eq!(done, "watching latency, accuracy, availability from slo.yaml");
    assert_eq!(slo.view(now), before, "the same objectives go on with what they counted");
    let fewer = shipped.replace("target: 0.99999\n", "target: 0.9999\n");
    slo.command(&load(fewer), "operator", now, &mut out).unwrap();
    let after = slo.view(now);
    assert_eq!((after.slos[LATENCY].session.total, after.slos[ACCURACY].session.total), (100, 0));
}

#[test]
fn the_shipped_documents_are_the_defaults() {
    let config = SloConfig::default();
    let shipped = openslo::read(include_str!("../../../config/slo.yaml"), "slo.yaml").unwrap();
    assert_eq!(shipped.objectives(&config).unwrap(), config.objectives().unwrap());
}

#[test]
fn impossible_settings_are_refused() {
    let refused = |change: &dyn Fn(&mut SloConfig)| {
        let mut config = config();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    assert_eq!(
        refused(&|config| config.slos.accuracy.target = 1.0),
        "sla.slos.accuracy.target is 1; it must be above 0 and below 1"
    );
    assert!(refused(&|config| config.slos.latency.threshold_ms = f64::NAN).contains("threshold_ms is NaN"));
    assert!(
        refused(&|config| config.error_budget.burn_rate_threshold = Some(2.0)).contains("is replaced by sla.alerting")
    );
    assert!(refused(&|config| config.error_budget.window_days = 0).contains("window_days is 0"));
    assert!(refused(&|config| config.time_scale = 0).contains("time_scale is 0"));
    assert!(refused(&|config| config.alerting.rules[2].budget_share = 0.0).contains("rules[2].budget_share is 0"));
    assert!(
        refused(&|config| config.error_budget.window_days = 2).contains("rules[3]: the long window of 3d is longer")
    );
    assert!(refused(&|config| config.budget_policy.turn_off_flags_below = Some(1.5)).contains("turn_off_flags_below"));
    assert!(refused(&|config| config.on_call.engineers.clear()).contains("engineers is empty"));
}

#[test]
fn a_rule_that_can_never_fire_is_told() {
    let mut config = config();
    config.slos.availability.target = 0.9;
    let specs = config.objectives().unwrap();
    let doubts = specs[AVAILABILITY].doubts();
    let told = "availability: rule burn-1h can never fire: its factor is 14.4, and at a target of 90 % nothing burns faster \
                than 10.0x";
    assert_eq!(doubts, [told]);
    config.error_budget.window_days = 7;
    assert!(config.objectives().unwrap()[ACCURACY].doubts()[0].contains("burn-1d fires at 0.7x"));
}
