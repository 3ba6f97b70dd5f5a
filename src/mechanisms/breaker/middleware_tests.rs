//! What the chain, the operator and a subscriber see of the breakers.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::domain::{ErrorCode, EventMask, Kind, Outcome, Payload, RuleMask, RuleSet, Source, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

struct Bench {
    breakers: BreakerMiddleware,
    out: Outbox,
    now: Timestamp,
    sequence: u64,
}

impl Bench {
    fn new(config: &BreakerConfig) -> Self {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let breakers = BreakerMiddleware::new(config, now, ChaCha8Rng::seed_from_u64(1)).unwrap();
        Self { breakers, out: Outbox::new(EventMask::ALL, 1_000), now, sequence: 0 }
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.out.now = self.now;
    }

    fn enter(&mut self, number: i64) -> (Context, Flow) {
        let mut context = Context::new(self.sequence, number, RuleMask::NONE, self.now);
        self.sequence += 1;
        let flow = self.breakers.enter(&mut context, &mut self.out);
        (context, flow)
    }

    fn leave(&mut self, mut context: Context, outcome: Outcome) -> Context {
        match outcome {
            Outcome::Ok => context.answer(RuleMask::NONE, Source::Strategy),
            other => context.fail(other, ErrorCode::ChaosInduced),
        }
        context.now = self.now;
        self.breakers.leave(&mut context, &mut self.out);
        context
    }

    /// One evaluation of `ms`; whether it was let through.
    fn evaluate(&mut self, number: i64, outcome: Outcome, ms: u64) -> bool {
        let (context, flow) = self.enter(number);
        if flow == Flow::Finish {
            return false;
        }
        self.pass(ms);
        self.leave(context, outcome);
        true
    }

    fn order(&mut self, command: BreakerCommand) -> Result<String, BreakerError> {
        self.breakers.command(&command, "operator", self.now, &mut self.out)
    }

    fn view(&self) -> BreakerView {
        self.breakers.view(self.now).swap_remove(0)
    }

    fn kinds(&mut self) -> Vec<Kind> {
        self.out.take().iter().map(crate::domain::Event::kind).collect()
    }
}

fn enabled() -> BreakerConfig {
    BreakerConfig { enabled: true, ..BreakerConfig::default() }
}

#[test]
fn five_failures_open_it_and_three_good_trials_close_it() {
    let mut bench = Bench::new(&enabled());
    for number in 1..=5 {
        assert!(bench.evaluate(number, Outcome::Failed, 1));
    }
    let events = bench.out.take();
    let [tripped, changed] = &events[..] else { panic!("{events:?}") };
    let circuit = "evaluation".to_owned();
    let expected =
        Payload::CircuitBreakerTripped { circuit: circuit.clone(), trips: 1, failures: 5, backoff_ms: 1_000 };
    assert_eq!(tripped.payload, expected);
    assert_eq!(
        changed.payload,
        Payload::CircuitBreakerStateChanged {
            circuit: circuit.clone(),
            from: "closed".into(),
            to: "open".into(),
            reason: "5 failures in a row (threshold 5); the call that tipped it: n = 5 EFP-CH01".into(),
        }
    );

    bench.pass(400);
    let (context, flow) = bench.enter(6);
    assert_eq!(flow, Flow::Finish);
    assert_eq!((context.outcome, context.error), (Outcome::Rejected, Some(ErrorCode::CircuitOpen)));
    assert_eq!((context.retry_after, context.permit), (Some(Duration::from_millis(600)), None));
    assert_eq!(
        bench.out.take()[0].payload,
        Payload::CircuitBreakerCallRejected { circuit, number: 6, retry_after_ms: 600, rejections: 1 }
    );
    assert_eq!(bench.view().totals.failures, 5, "a rejection is no failure");

    bench.pass(600);
    for number in 7..=9 {
        assert!(bench.evaluate(number, Outcome::Ok, 1));
    }
    use Kind::{CircuitBreakerHalfOpen, CircuitBreakerRecovered, CircuitBreakerStateChanged};
    assert_eq!(
        bench.kinds(),
        [CircuitBreakerHalfOpen, CircuitBreakerStateChanged, CircuitBreakerRecovered, CircuitBreakerStateChanged]
    );
    let view = bench.view();
    assert_eq!((view.state, view.attempt, view.window.calls), (State::Closed, 0, 0));
    assert_eq!(view.transitions.len(), 3);
    assert_eq!(view.window.recent, "XXXXX...");
}

#[test]
fn a_failed_trial_doubles_the_wait_up_to_the_longest() {
    let mut bench = Bench::new(&enabled());
    for number in 0..5 {
        bench.evaluate(number, Outcome::TimedOut, 0);
    }
    let mut waits = vec![];
    for number in 0..8 {
        let wait = bench.view().wait_ms.unwrap();
        waits.push(wait);
        bench.pass(wait - 1);
        assert!(!bench.evaluate(number, Outcome::Ok, 0), "one millisecond early");
        bench.pass(1);
        assert!(bench.evaluate(number, Outcome::Failed, 0), "right at the end of the wait");
    }
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
}

#[test]
fn only_answers_and_errors_count_and_everything_else_gives_its_permit_back() {
    let mut bench = Bench::new(&enabled());
    for outcome in [Outcome::Denied, Outcome::Invalid, Outcome::Rejected] {
        bench.evaluate(1, outcome, 1);
    }
    let (mut context, _) = bench.enter(2);
    context.cancelled = true;
    bench.leave(context, Outcome::Failed);
    let view = bench.view();
    assert_eq!((view.totals.released, view.totals.failures, view.window.calls), (4, 0, 0));

    for number in 0..5 {
        bench.evaluate(number, Outcome::Failed, 1);
    }
    bench.pass(1_000);
    for _ in 0..10 {
        assert!(bench.evaluate(3, Outcome::Invalid, 1), "released trials are there for others");
    }
    let trials = bench.view().trials.unwrap();
    assert_eq!((trials.left, trials.out, trials.passed), (3, 0, 0));
}

#[test]
fn a_slow_answer_is_taken_away_and_is_a_failure() {
    let mut bench = Bench::new(&enabled());
    let (context, _) = bench.enter(15);
    bench.pass(5_000);
    let context = bench.leave(context, Outcome::Ok);
    assert_eq!((context.outcome, context.error), (Outcome::Ok, None), "5 s are within the limit of 5 s");
    let (context, _) = bench.enter(15);
    bench.pass(5_001);
    let context = bench.leave(context, Outcome::Ok);
    assert_eq!((context.outcome, context.error), (Outcome::TimedOut, Some(ErrorCode::CallTimeout)));
    assert!(!context.is_answered() && context.permit.is_none());
    let view = bench.view();
    assert_eq!((view.totals.timeouts, view.totals.failures, view.totals.successes), (1, 1, 1));
    assert_eq!(view.window.marks, ".X");
}

#[test]
fn operators_move_it_where_it_may_go() {
    let mut bench = Bench::new(&enabled());
    let circuit = None;
    assert_eq!(
        bench.order(BreakerCommand::Trip { circuit: circuit.clone() }).unwrap(),
        "breaker evaluation tripped by operator"
    );
    assert!(!bench.evaluate(1, Outcome::Ok, 1_000));
    bench.pass(1_000);
    assert!(bench.evaluate(1, Outcome::Ok, 1), "a tripped breaker recovers by itself");
    bench.order(BreakerCommand::ForceOpen { circuit: circuit.clone() }).unwrap();
    bench.pass(3_600_000);
    let (context, flow) = bench.enter(1);
    assert_eq!((flow, context.retry_after), (Flow::Finish, None), "held open, and nobody knows how long");
    bench.order(BreakerCommand::Close { circuit: circuit.clone() }).unwrap();
    assert!(bench.evaluate(1, Outcome::Ok, 1));

    let refused = bench.order(BreakerCommand::ForceHalfOpen { circuit: circuit.clone() }).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CommandInvalid);
    assert_eq!(
        refused.to_string(),
        "breaker evaluation cannot go from closed to half_open; trip it instead, it becomes half-open by itself"
    );
    bench.order(BreakerCommand::Disable { circuit: circuit.clone() }).unwrap();
    let calls = bench.view().totals.calls;
    for number in 0..20 {
        assert!(bench.evaluate(number, Outcome::Failed, 1));
    }
    assert_eq!(bench.view().totals.calls, calls, "disabled records nothing");
    assert_eq!(bench.order(BreakerCommand::ResetAll {}).unwrap(), "1 breaker reset by operator");
    let view = bench.view();
    assert_eq!((view.state, view.totals.calls, view.totals.trips), (State::Closed, 0, 0));
    assert_eq!(view.transitions.last().unwrap().text, "disabled -> closed: reset by operator");
    let unknown = bench.order(BreakerCommand::Trip { circuit: Some("nowhere".into()) }).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no breaker `nowhere`; there are: evaluation");
}

#[test]
fn a_measuring_breaker_says_once_that_it_would_have_opened() {
    let mut bench = Bench::new(&enabled());
    bench.order(BreakerCommand::MetricsOnly { circuit: None }).unwrap();
    bench.out.take();
    for number in 0..20 {
        assert!(bench.evaluate(number, Outcome::Failed, 1));
    }
    let events = bench.out.take();
    let [event] = &events[..] else { panic!("{events:?}") };
    let Payload::CircuitBreakerStateChanged { from, to, reason, .. } = &event.payload else { panic!("{event:?}") };
    assert_eq!((from.as_str(), to.as_str()), ("metrics_only", "metrics_only"));
    assert!(reason.starts_with("would have opened: 5 failures in a row"), "{reason}");
    assert_eq!(bench.view().state, State::MetricsOnly);
}

#[test]
fn a_section_that_is_not_enabled_costs_and_does_nothing() {
    let mut bench = Bench::new(&BreakerConfig::default());
    for number in 0..20 {
        assert!(bench.evaluate(number, Outcome::Failed, 10_000));
    }
    let view = bench.view();
    assert_eq!((view.enabled, view.totals.calls), (false, 0));
    let refused = bench.order(BreakerCommand::Trip { circuit: None }).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotInitialised);
}

#[test]
fn instances_have_settings_and_lives_of_their_own() {
    let yaml = "
enabled: true
instances:
  upstream/payments: { preset: aref, failure_threshold: 2, timeout_ms: 500 }
";
    let mut bench = Bench::new(&serde_yaml::from_str(yaml).unwrap());
    let (now, out) = (bench.now, &mut bench.out);
    let registry = bench.breakers.registry_mut();
    let payments = registry.find("upstream/payments").unwrap();
    let orders = registry.slot(&BreakerKey::new("upstream", "orders"), now).unwrap();
    let ended = Ended { number: 1, failed: true, error: None, duration: Duration::from_millis(1), confidence: None };
    for slot in [payments, orders] {
        for _ in 0..2 {
            let permit = registry.acquire(slot, 1, now, out).unwrap();
            registry.finish(slot, permit, &ended, now, out);
        }
    }
    let names: Vec<_> = bench.breakers.view(now).iter().map(|view| (view.name.clone(), view.state)).collect();
    let expected =
        [("evaluation", State::Closed), ("upstream/payments", State::Open), ("upstream/orders", State::Closed)];
    assert_eq!(names, expected.map(|(name, state)| (name.to_owned(), state)));
    assert_eq!(bench.kinds(), [Kind::CircuitBreakerTripped, Kind::CircuitBreakerStateChanged]);
}

#[test]
fn views_and_commands_survive_json() {
    let mut bench = Bench::new(&enabled());
    for number in 0..7 {
        bench.evaluate(number, Outcome::Failed, 1);
    }
    let view = bench.view();
    let json = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<BreakerView>(&json).unwrap(), view);
    let command: BreakerCommand = serde_json::from_str(r#"{"trip":{}}"#).unwrap();
    assert_eq!(command, BreakerCommand::Trip { circuit: None });
    let text = serde_json::to_string(&BreakerCommand::ResetAll {}).unwrap();
    assert_eq!(serde_json::from_str::<BreakerCommand>(&text).unwrap(), BreakerCommand::ResetAll {});
}

#[test]
fn the_answer_of_a_number_is_left_as_it_is() {
    let rules = RuleSet::classic();
    let mut bench = Bench::new(&enabled());
    let (mut context, _) = bench.enter(15);
    context.answer(rules.matches(15, rules.all()), Source::Strategy);
    context.confidence = Some(0.5);
    context.now = bench.now;
    bench.breakers.leave(&mut context, &mut bench.out);
    assert_eq!(context.output.text(15, &rules), "FizzBuzz");
    let view = bench.view();
    assert_eq!((view.totals.degraded, view.window.average_confidence), (1, Some(0.5)));
}

#[test]
fn breakers_may_move_to_another_thread_and_be_looked_at_from_there() {
    fn both<T: Send + Sync>(_: &T) -> bool {
        true
    }
    assert!(both(&Bench::new(&enabled()).breakers));
}
