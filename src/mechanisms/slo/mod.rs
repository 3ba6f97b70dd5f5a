//! Service levels as the caller sees them: latency, accuracy and availability, their error budgets, and the alerts
//! that say when a budget burns too fast.
//!
//! It runs on every finished evaluation, whichever way it finished, so corrupted answers, injected latency, cache hits
//! and rejections all count. The right answer is the one that the rules give that the flags left on.
//!
//! ```
//! use std::sync::Arc;
//! use fizzops::domain::{EventMask, RuleSet, Source, Timestamp};
//! use fizzops::mechanisms::slo::{SloConfig, SloMiddleware};
//! use fizzops::pipeline::{Context, Middleware, Outbox};
//!
//! let rules = Arc::new(RuleSet::classic());
//! let config = SloConfig { enabled: true, ..SloConfig::default() };
//! let mut slo = SloMiddleware::new(&config, Arc::clone(&rules)).unwrap();
//! let mut context = Context::new(0, 15, rules.all(), Timestamp::EPOCH);
//! context.answer(rules.matches(3, rules.all()), Source::Strategy);
//! slo.leave(&mut context, &mut Outbox::new(EventMask::NONE, 0));
//! assert!(!context.correct, "Fizz is not the right answer for 15");
//! ```

mod alert;
mod config;
mod objective;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use alert::{Alert, AlertState, Severity};
pub use config::{Engineer, Objectives, SloConfig, SloError};
pub use objective::{Objective, Ratio};

use crate::domain::{ErrorCode, Kind, Outcome, Payload, RuleSet, Timestamp};
use crate::pipeline::{Context, Middleware, Outbox};

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SloCommand {
    /// Somebody is on this alert.
    Acknowledge {
        /// Which; all that are firing when absent.
        alert: Option<u64>,
    },
}

/// An objective, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SloView {
    /// `latency`, `accuracy` or `availability`.
    pub name: String,
    /// What is promised, in words.
    pub objective: String,
    /// The share that must be good.
    pub target: f64,
    /// Over the session.
    pub session: Ratio,
    /// Over the last minute.
    pub minute: Ratio,
    /// How many times faster than allowed the last minute burned the budget; absent while it is empty.
    pub burn_rate: Option<f64>,
    /// The share of the session's budget that is left, from 0 to 1.
    pub budget_left: f64,
    /// How long the rest lasts at the last minute's rate of errors, milliseconds; absent while it does not shrink.
    pub lasts_ms: Option<u64>,
}

/// The mechanism, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlosView {
    /// Whether service levels are watched.
    pub enabled: bool,
    /// The objectives.
    pub slos: Vec<SloView>,
    /// Alerts that have not been resolved, oldest first.
    pub active: Vec<Alert>,
    /// The last ones that have, oldest first.
    pub resolved: Vec<Alert>,
    /// Alerts that fired so far.
    pub fired: u64,
    /// An alert fires above this burn rate.
    pub burn_rate_threshold: f64,
    /// Who is on call, and until when.
    pub on_call: String,
    /// When the next engineer takes over.
    pub on_call_until: Timestamp,
    /// Who is next.
    pub on_call_next: String,
    /// The team.
    pub team: String,
}

const RESOLVED: usize = 20;
const CHECK: Duration = Duration::from_millis(250);
const LATENCY: usize = 0;
const ACCURACY: usize = 1;
const AVAILABILITY: usize = 2;

/// The middleware, at priority 55.
#[derive(Debug)]
pub struct SloMiddleware {
    config: SloConfig,
    threshold: Duration,
    rules: Arc<RuleSet>,
    objectives: [Objective; 3],
    /// Bad events of each objective by what caused them: a fault, the breaker, a time-out, anything else.
    eaten: [[u64; CAUSES.len()]; 3],
    active: Vec<Alert>,
    resolved: VecDeque<Alert>,
    /// Since when each objective has no alert, for the cool-down.
    quiet_since: [Option<Timestamp>; 3],
    fired: u64,
    next_check: Timestamp,
}

const CAUSES: [&str; 4] = ["injected faults", "the open breaker", "time-outs", "other errors"];

fn cause(context: &Context) -> usize {
    match context.error {
        Some(ErrorCode::CircuitOpen) => 1,
        Some(ErrorCode::CallTimeout) => 2,
        _ if context.faults != 0 => 0,
        _ => 3,
    }
}

impl SloMiddleware {
    /// As configured, judging by `rules`.
    ///
    /// # Errors
    /// [`SloError`] for a setting that is impossible.
    pub fn new(config: &SloConfig, rules: Arc<RuleSet>) -> Result<Self, SloError> {
        config.check()?;
        let threshold = config.slos.latency.threshold_ms;
        Ok(Self {
            threshold: Duration::try_from_secs_f64(threshold / 1_000.0).map_err(|_| SloError::Threshold(threshold))?,
            objectives: [
                Objective::new("latency", config.slos.latency.target),
                Objective::new("accuracy", config.slos.accuracy.target),
                Objective::new("availability", config.slos.availability.target),
            ],
            config: config.clone(),
            rules,
            eaten: [[0; CAUSES.len()]; 3],
            active: Vec::new(),
            resolved: VecDeque::with_capacity(RESOLVED),
            quiet_since: [None; 3],
            fired: 0,
            next_check: Timestamp::EPOCH,
        })
    }

    /// Carries out a command; the answer is a sentence for the operator.
    ///
    /// # Errors
    /// [`SloError::NoAlert`] when there is nothing to acknowledge.
    pub fn command(
        &mut self,
        command: SloCommand,
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<String, SloError> {
        let SloCommand::Acknowledge { alert: wanted } = command;
        let mut told = Vec::new();
        for alert in &mut self.active {
            if alert.state == AlertState::Firing && wanted.is_none_or(|id| id == alert.id) {
                alert.state = AlertState::Acknowledged;
                alert.acknowledged = Some((by.to_owned(), now));
                told.push(format!("{} ({})", alert.id, alert.slo));
                out.emit(Kind::SlaAlertAcknowledged, || Payload::SlaAlertAcknowledged {
                    alert: alert.id,
                    slo: alert.slo.clone(),
                    by: by.to_owned(),
                });
            }
        }
        match (told.is_empty(), wanted) {
            (true, Some(id)) => Err(SloError::NoAlert(id)),
            (true, None) => Ok("no alert is firing".into()),
            (false, _) => Ok(format!("acknowledged alert {}", told.join(", "))),
        }
    }

    /// Fires and resolves alerts. Called by itself while evaluations finish; the engine calls it when none do.
    pub fn check(&mut self, now: Timestamp, out: &mut Outbox) {
        if !self.config.enabled || now < self.next_check {
            return;
        }
        self.next_check = now + CHECK;
        for place in 0..self.objectives.len() {
            let Some(objective) = self.objectives.get_mut(place) else { continue };
            let minute = objective.minute(now);
            let burn = objective.burn_rate(minute).unwrap_or(0.0);
            let gap = objective.target - minute.compliance().unwrap_or(1.0);
            let name = objective.name;
            let active = self.active.iter().position(|alert| alert.slo == name);
            match active {
                Some(at) if burn <= 1.0 => {
                    let mut alert = self.active.remove(at);
                    alert.state = AlertState::Resolved;
                    alert.resolved = Some(now);
                    let after_ms = u64::try_from(now.since(alert.fired).as_millis()).unwrap_or(u64::MAX);
                    out.emit(Kind::SlaAlertResolved, || Payload::SlaAlertResolved {
                        alert: alert.id,
                        slo: name.to_owned(),
                        after_ms,
                    });
                    if self.resolved.len() == RESOLVED {
                        self.resolved.pop_front();
                    }
                    self.resolved.push_back(alert);
                    if let Some(quiet) = self.quiet_since.get_mut(place) {
                        *quiet = Some(now);
                    }
                }
                Some(at) => {
                    if let Some(alert) = self.active.get_mut(at) {
                        alert.severity = alert.severity.min(Severity::of_gap(gap));
                    }
                }
                None if burn > self.config.error_budget.burn_rate_threshold
                    && minute.total >= self.config.alerting.minimum_events
                    && self.cooled(place, now) =>
                {
                    self.fire(place, minute, burn, now, out);
                }
                None => {}
            }
        }
    }

    fn cooled(&self, place: usize, now: Timestamp) -> bool {
        let cooldown = Duration::from_secs(self.config.alerting.cooldown_seconds);
        self.quiet_since.get(place).copied().flatten().is_none_or(|since| now.since(since) >= cooldown)
    }

    fn fire(&mut self, place: usize, minute: Ratio, burn: f64, now: Timestamp, out: &mut Outbox) {
        let Some(objective) = self.objectives.get(place) else { return };
        let actual = minute.compliance().unwrap_or(1.0);
        let severity = Severity::of_gap(objective.target - actual);
        let name = objective.name;
        let bad = minute.bad() as f64 / minute.total.max(1) as f64 * 100.0;
        let what = match place {
            LATENCY => "of answers are late",
            ACCURACY => "of answers are wrong",
            _ => "of evaluations get no answer",
        };
        let eaten = self.eaten.get(place).copied().unwrap_or_default();
        let worst = eaten.iter().zip(CAUSES).max_by_key(|(count, _)| **count).map_or("", |(_, cause)| cause);
        // Of a budget of 0.001 % a tenth of a percent is a lot.
        let digits = if bad < 0.1 { 3 } else { 1 };
        let message =
            format!("{bad:.digits$} % {what}: the {name} budget burns {burn:.0}x too fast, mostly by {worst}");
        self.fired += 1;
        let alert = self.fired;
        out.emit(Kind::SlaSloViolation, || Payload::SlaSloViolation {
            slo: name.to_owned(),
            target: objective.target,
            actual,
        });
        out.emit(Kind::SlaAlertFired, || Payload::SlaAlertFired {
            alert,
            slo: name.to_owned(),
            severity: severity.name().to_owned(),
            message: message.clone(),
        });
        if objective.consumed() >= 1.0 {
            out.emit(Kind::SlaErrorBudgetExhausted, || Payload::SlaErrorBudgetExhausted { slo: name.to_owned() });
        }
        self.active.push(Alert {
            id: alert,
            slo: name.to_owned(),
            severity,
            message,
            state: AlertState::Firing,
            fired: now,
            acknowledged: None,
            resolved: None,
        });
    }

    /// Alerts that fired so far.
    pub const fn fired(&self) -> u64 {
        self.fired
    }

    /// How many times faster than allowed each budget burned in the last minute.
    pub fn burn_rates(&mut self, now: Timestamp) -> Vec<Option<f64>> {
        self.objectives
            .iter_mut()
            .map(|objective| {
                let minute = objective.minute(now);
                objective.burn_rate(minute)
            })
            .collect()
    }

    /// As it is shown.
    pub fn view(&mut self, now: Timestamp) -> SlosView {
        let threshold = self.config.slos.latency.threshold_ms;
        let slos = self
            .objectives
            .iter_mut()
            .map(|objective| {
                let (session, minute) = (objective.session(), objective.minute(now));
                let promise = match objective.name {
                    "latency" => format!("{} % of answers within {threshold} ms", percent(objective.target)),
                    "accuracy" => format!("{} % of answers are right", percent(objective.target)),
                    _ => format!("{} % of evaluations are answered", percent(objective.target)),
                };
                SloView {
                    name: objective.name.to_owned(),
                    objective: promise,
                    target: objective.target,
                    session,
                    minute,
                    burn_rate: objective.burn_rate(minute),
                    budget_left: (1.0 - objective.consumed()).clamp(0.0, 1.0),
                    lasts_ms: lasts(objective, session, minute),
                }
            })
            .collect();
        let on_call = &self.config.on_call;
        let hours = now.as_secs() / 3_600;
        let turn = hours / on_call.rotation_interval_hours.max(1);
        let engineer = |turn: u64| {
            let count = on_call.engineers.len().max(1) as u64;
            on_call.engineers.get((turn % count) as usize).map_or(String::new(), |engineer| engineer.name.clone())
        };
        SlosView {
            enabled: self.config.enabled,
            slos,
            active: self.active.clone(),
            resolved: self.resolved.iter().cloned().collect(),
            fired: self.fired,
            burn_rate_threshold: self.config.error_budget.burn_rate_threshold,
            on_call: engineer(turn),
            on_call_until: Timestamp::from_millis((turn + 1) * on_call.rotation_interval_hours * 3_600_000),
            on_call_next: engineer(turn + 1),
            team: on_call.team_name.clone(),
        }
    }

    fn count(&mut self, place: usize, good: bool, context: &Context) {
        if let Some(objective) = self.objectives.get_mut(place) {
            objective.count(good, context.now);
        }
        if !good && let Some(eaten) = self.eaten.get_mut(place).and_then(|eaten| eaten.get_mut(cause(context))) {
            *eaten += 1;
        }
    }
}

fn percent(share: f64) -> f64 {
    (share * 1e7).round() / 1e5
}

/// How long the rest of the session's budget lasts if the last minute's traffic and errors go on: the budget grows
/// with every event by (1 - target) and shrinks by the bad ones.
fn lasts(objective: &Objective, session: Ratio, minute: Ratio) -> Option<u64> {
    let allowed = 1.0 - objective.target;
    let left = session.total as f64 * allowed - session.bad() as f64;
    let shrinks_per_ms = (minute.bad() as f64 - minute.total as f64 * allowed) / 60_000.0;
    if left <= 0.0 {
        return (minute.bad() > 0).then_some(0);
    }
    (shrinks_per_ms > 0.0).then(|| (left / shrinks_per_ms) as u64)
}

impl Middleware for SloMiddleware {
    fn name(&self) -> &'static str {
        "slo"
    }

    fn priority(&self) -> i16 {
        55
    }

    fn leave(&mut self, context: &mut Context, out: &mut Outbox) {
        const CORRUPTED: u8 = 1;
        let right = self.rules.matches(context.number, context.rules);
        context.correct = context.is_answered() && context.matched == right && context.faults & CORRUPTED == 0;
        if !self.config.enabled {
            return;
        }
        let answered = context.is_answered();
        let in_time = answered && context.duration <= self.threshold;
        if answered || context.outcome == Outcome::TimedOut {
            self.count(LATENCY, in_time, context);
        }
        if answered {
            self.count(ACCURACY, context.correct, context);
        }
        // What the caller may not do, or asked wrongly, is no failure of the service.
        if !matches!(context.outcome, Outcome::Denied | Outcome::Invalid) {
            self.count(AVAILABILITY, answered, context);
        }
        let (number, latency_ms) = (context.number, context.duration.as_secs_f64() * 1_000.0);
        let accurate = context.correct;
        out.emit(Kind::SlaEvaluationRecorded, || Payload::SlaEvaluationRecorded {
            number,
            latency_ms,
            accurate,
            available: answered,
        });
        if context.now >= self.next_check {
            self.check(context.now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, Source};

    fn slo() -> SloMiddleware {
        let config = SloConfig { enabled: true, ..SloConfig::default() };
        SloMiddleware::new(&config, Arc::new(RuleSet::classic())).unwrap()
    }

    fn finish(
        slo: &mut SloMiddleware,
        out: &mut Outbox,
        now: u64,
        outcome: Outcome,
        matched_of: i64,
        faults: u8,
    ) -> bool {
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
        assert_eq!(slo.view(Timestamp::EPOCH).slos[AVAILABILITY].session, Ratio { good: 0, total: 1 });
    }

    #[test]
    fn one_alert_fires_is_acknowledged_and_resolves_when_its_condition_ends() {
        let (mut slo, mut out) = (slo(), Outbox::new(EventMask::operations(), 1_000));
        for step in 0..1_000 {
            finish(&mut slo, &mut out, step, Outcome::Failed, 15, 4);
        }
        let view = slo.view(Timestamp::from_millis(1_000));
        assert_eq!((view.active.len(), view.fired), (1, 1), "one condition, one alert");
        assert_eq!(view.active[0].severity, Severity::P1);
        assert!(view.active[0].message.contains("mostly by injected faults"), "{}", view.active[0].message);
        let all = SloCommand::Acknowledge { alert: None };
        slo.command(all, "operator", Timestamp::from_millis(1_000), &mut out).unwrap();
        for step in 0..100 {
            finish(&mut slo, &mut out, 70_000 + step * 10, Outcome::Ok, 15, 0);
        }
        let view = slo.view(Timestamp::from_millis(71_000));
        assert_eq!((view.active.len(), view.resolved.len()), (0, 1));
        let kinds: Vec<_> = out.take().iter().map(|event| event.kind()).collect();
        use Kind::*;
        assert_eq!(
            kinds,
            [SlaSloViolation, SlaAlertFired, SlaErrorBudgetExhausted, SlaAlertAcknowledged, SlaAlertResolved]
        );
        let none = SloCommand::Acknowledge { alert: Some(9) };
        assert_eq!(slo.command(none, "t", Timestamp::EPOCH, &mut out), Err(SloError::NoAlert(9)));
    }

    #[test]
    fn little_traffic_fires_nothing() {
        let (mut slo, mut out) = (slo(), Outbox::new(EventMask::operations(), 100));
        for step in 0..19 {
            finish(&mut slo, &mut out, step * 300, Outcome::Failed, 15, 0);
        }
        assert_eq!(slo.fired(), 0);
    }

    #[test]
    fn the_rota_turns() {
        let mut config = SloConfig { enabled: true, ..SloConfig::default() };
        let engineer = |name: &str| Engineer {
            name: name.into(),
            email: String::new(),
            phone: String::new(),
            title: String::new(),
        };
        config.on_call.engineers = vec![engineer("ann"), engineer("ben")];
        config.on_call.rotation_interval_hours = 1;
        let mut slo = SloMiddleware::new(&config, Arc::new(RuleSet::classic())).unwrap();
        let view = slo.view(Timestamp::from_millis(3_600_000 + 5));
        assert_eq!((view.on_call.as_str(), view.on_call_next.as_str()), ("ben", "ann"));
        assert_eq!(view.on_call_until, Timestamp::from_millis(7_200_000));
    }
}
