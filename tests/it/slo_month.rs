//! Half a month on the virtual clock with a fault that begins on day 12: the alerts of the SRE workbook's table, at the
//! times that follow from it. One evaluation a second instead of ten, so that a test takes seconds.

use std::time::Duration;

use fizzops::domain::{Event, EventMask, Kind, Payload, Timestamp};
use fizzops::engine::{Command, Engine, Options, Settings, WorkloadKind};
use fizzops::mechanisms::chaos::{ChaosCommand, Fault};

const DAY: u64 = 86_400;

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.sla.enabled = true;
    // Chaos at level 1 makes 5 % of the evaluations fail.
    settings.sla.slos.availability.target = 0.995;
    settings.sla.alerting.escalation_timeout_seconds = 0;
    settings.workload.kind = WorkloadKind::Range;
    (settings.workload.from, settings.workload.to, settings.workload.rate) = (1, i64::MAX, 1);
    settings
}

fn advance(engine: &mut Engine, until: Timestamp, events: &mut Vec<Event>) {
    while engine.now() < until && engine.next_due().is_some_and(|due| due <= until) {
        engine.advance(until, 100_000);
        events.extend(engine.frame().events);
    }
}

#[test]
fn a_slow_burn_from_day_12_on_raises_the_alerts_of_the_workbooks_table() {
    let options = Options {
        events: EventMask::NONE.with(Kind::SlaAlertFired).with(Kind::SlaAlertResolved),
        ..Options::simulated(7)
    };
    let mut engine = Engine::new(&settings(), options).unwrap();
    let began = engine.now();
    let day = |days: u64| began + Duration::from_secs(days * DAY);
    let mut events = Vec::new();
    advance(&mut engine, day(12), &mut events);
    assert_eq!(events, [], "eleven days of peace");
    let arm = ChaosCommand::Arm { level: 1, faults: vec![Fault::ExceptionInjection] };
    engine.apply("test", Command::Chaos(arm)).unwrap();
    let armed = engine.now();
    // 5 % of a budget of 0.5 % are 10 times too fast.
    let burn: f64 = 0.05 / 0.005;
    let mut holding: Vec<(String, f64)> = Vec::new();
    let mut left_at_day_14 = None;
    for five in 1..=2 * 24 * 12 {
        advance(&mut engine, armed + Duration::from_secs(five * 300), &mut events);
        let snapshot = engine.snapshot();
        let slo = snapshot.slos.slos.iter().find(|slo| slo.name == "availability").unwrap();
        for rule in slo.rules.iter().filter(|rule| rule.holds) {
            if holding.iter().all(|(name, _)| *name != rule.name) {
                holding.push((rule.name.clone(), five as f64 / 12.0));
            }
        }
        left_at_day_14 = Some(slo.budget_left);
    }
    // The table: 5 % of the budget in 6 h, 10 % in a day or in three; 2 % in an hour would be 14.4 times too fast.
    let names: Vec<&str> = holding.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names[0] == "burn-6h" && names.len() == 3 && !names.contains(&"burn-1h"), "{holding:?}");
    for (name, hours) in &holding {
        let expected = match name.as_str() {
            "burn-6h" => 6.0 * 6.0 / burn,
            "burn-1d" => 3.0 * 24.0 / burn,
            _ => 1.0 * 72.0 / burn,
        };
        // Faults are drawn: of some 650 of them a twelfth is two standard deviations.
        assert!((hours / expected - 1.0).abs() < 0.08, "{name} after {hours:.2} h instead of {expected:.2} h");
    }
    // Two days of 14 that were watched, of a budget of 30.
    let left = left_at_day_14.unwrap();
    assert!((left - (1.0 - 2.0 * burn / 30.0)).abs() < 0.03, "{left}");
    engine.apply("test", Command::Chaos(ChaosCommand::Disarm)).unwrap();
    let calm = engine.now();
    advance(&mut engine, day(15), &mut events);
    let told: Vec<(String, Timestamp)> = events
        .iter()
        .filter_map(|event| match &event.payload {
            Payload::SlaAlertFired { slo, severity, .. } => Some((format!("{slo} {severity}"), event.at)),
            Payload::SlaAlertResolved { slo, .. } => Some((format!("{slo} resolved"), event.at)),
            _ => None,
        })
        .collect();
    // One alert: what holds later is less. It ends with the short window of the last rule that holds, six hours.
    let what: Vec<&str> = told.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(what, ["availability P2", "availability resolved"], "{told:?}");
    let hours = told[1].1.since(calm).as_secs_f64() / 3_600.0;
    let short = 6.0 * (1.0 - 1.0 / burn);
    assert!((hours - short).abs() < 0.3, "{hours} instead of {short}");
    assert!(engine.counts().evaluations > 1_290_000);
    let message = events.iter().find_map(|event| match &event.payload {
        Payload::SlaAlertFired { message, .. } => Some(message.clone()),
        _ => None,
    });
    let message = message.unwrap();
    assert!(message.contains("of evaluations got no answer in 6h"), "{message}");
    assert!(message.contains("eaten by fault exception_injection (100 %)"), "{message}");
}
