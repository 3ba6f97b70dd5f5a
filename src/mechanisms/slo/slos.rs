//! All objectives together: counting evaluations, firing and resolving alerts, and what follows when a budget runs low.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::{Alert, AlertState, CHAIN};
use super::config::SloConfig;
use super::counters::Observation;
use super::error::SloError;
use super::message::{self, Facts, sentence};
use super::rota::Rota;
use super::spec::{Budgeting, BurnRule, Indicator, SloSpec, shorthand};
use super::tracker::{Budget, Meter, Tracker};
use super::view::{LinkView, RuleView, ServiceLevel, SloView, SlosView, tier};
use crate::domain::time::nanos;
use crate::domain::{Kind, Payload, Timestamp};
use crate::pipeline::Outbox;

/// What an operator may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SloCommand {
    /// Somebody is on this alert.
    Acknowledge {
        /// Which; all that are firing when absent.
        alert: Option<u64>,
    },
    /// Watch other objectives. Those that are the same as before keep what was counted. Refused whole when a document is
    /// not right; nothing changes then.
    Load {
        /// What the documents are called in messages.
        file: String,
        /// OpenSLO documents, YAML.
        documents: String,
    },
}

/// What the budget policy asks for; whoever composes the mechanisms sees to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyAction {
    /// Turn this flag off.
    TurnOff {
        /// Which.
        flag: String,
        /// Why, for the record.
        reason: String,
    },
}

/// The mechanism's clock: the engine's, sped up from the moment at which watching began.
#[derive(Debug, Clone, Copy)]
struct Pace {
    origin: u64,
    scale: u64,
}

const BILLION: u64 = 1_000_000_000;

impl Pace {
    /// Nanoseconds of the scaled clock.
    const fn at(self, now: Timestamp) -> u64 {
        let passed = now.as_nanos().saturating_sub(self.origin);
        self.origin.saturating_add(passed.saturating_mul(self.scale))
    }

    /// The first moment of the engine's clock at which the scaled one has reached `nanos`.
    const fn reaches(self, nanos: u64) -> Timestamp {
        let passed = nanos.saturating_sub(self.origin).div_ceil(self.scale);
        Timestamp::from_nanos(self.origin.saturating_add(passed))
    }

    /// Seconds of the scaled clock as milliseconds of the engine's.
    fn milliseconds(self, seconds: f64) -> u64 {
        (seconds * 1_000.0 / self.scale as f64) as u64
    }
}

/// What an objective remembers of its alerts.
#[derive(Debug, Clone, Default)]
struct Memory {
    /// When its last alert was resolved, nanoseconds of the scaled clock.
    quiet_since: Option<u64>,
    exhausted: bool,
    /// Its budget is below the share at which flags are turned off.
    low: bool,
}

/// Service levels, usable by themselves: tell it every observation, and look now and then.
#[derive(Debug)]
pub struct Slos {
    config: SloConfig,
    rota: Rota,
    pace: Pace,
    meters: Vec<Meter>,
    trackers: Vec<Tracker>,
    memories: Vec<Memory>,
    /// The second of the scaled clock that is being counted.
    second: u64,
    /// When the next one begins.
    next_second: Timestamp,
    /// How often rules are looked at.
    interval: Duration,
    next_check: Timestamp,
    active: Vec<Alert>,
    resolved: VecDeque<Alert>,
    fired: u64,
    actions: Vec<PolicyAction>,
}

const RESOLVED: usize = 20;
/// How often rules are looked at, at most.
const INTERVAL: Duration = Duration::from_millis(250);

impl Slos {
    /// As configured, from `now` on.
    ///
    /// # Errors
    /// [`SloError`] for a setting that is impossible.
    pub fn new(config: &SloConfig, now: Timestamp) -> Result<Self, SloError> {
        config.check()?;
        let scale = u64::from(config.time_scale);
        let mut slos = Self {
            rota: Rota::new(&config.on_call)?,
            pace: Pace { origin: now.as_nanos(), scale },
            meters: Vec::new(),
            trackers: Vec::new(),
            memories: Vec::new(),
            second: now.as_secs(),
            next_second: Timestamp::from_nanos((now.as_secs() + 1) * BILLION),
            interval: INTERVAL,
            next_check: now,
            active: Vec::new(),
            resolved: VecDeque::with_capacity(RESOLVED),
            fired: 0,
            actions: Vec::new(),
            config: config.clone(),
        };
        slos.next_second = slos.pace.reaches((slos.second + 1) * BILLION);
        slos.watch(config.objectives()?)?;
        Ok(slos)
    }

    /// Watches these objectives from now on; those that are watched already go on.
    fn watch(&mut self, specs: Vec<SloSpec>) -> Result<(), SloError> {
        if specs.is_empty() {
            return Err(SloError::NoObjective);
        }
        if let Some(spec) = specs.iter().find(|spec| matches!(spec.indicator, Indicator::Query { .. })) {
            return Err(SloError::NotOurs { slo: spec.name.clone(), source_type: "Prometheus".into() });
        }
        let (mut meters, mut trackers, mut memories) = (Vec::new(), Vec::new(), Vec::new());
        let mut shortest = u64::MAX;
        for spec in specs {
            let windows = spec.rules.iter().map(|rule| rule.short.unwrap_or(rule.long));
            shortest = windows.fold(shortest, u64::min);
            match self.trackers.iter().position(|tracker| tracker.spec == spec) {
                Some(place) => {
                    meters.extend(self.meters.get(place).copied());
                    trackers.extend(self.trackers.get(place).cloned());
                    memories.extend(self.memories.get(place).cloned());
                }
                None => {
                    let minimum = self.config.alerting.minimum_events;
                    let (meter, tracker) = Tracker::new(spec, minimum, self.pace.scale, self.second);
                    meters.push(meter);
                    trackers.push(tracker);
                    memories.push(Memory::default());
                }
            }
        }
        // With time sped up a short window may last less than the usual interval: a twentieth of it is soon enough.
        let least = Duration::from_nanos(shortest.saturating_mul(BILLION / 20) / self.pace.scale);
        self.interval = INTERVAL.min(least).max(Duration::from_millis(1));
        (self.meters, self.trackers, self.memories) = (meters, trackers, memories);
        Ok(())
    }

    /// Counts a finished evaluation at `now`. Constant time, however long the session is.
    #[inline]
    pub fn record(&mut self, observation: &Observation, now: Timestamp) {
        if now >= self.next_second {
            self.advance(now);
        }
        for (meter, tracker) in self.meters.iter_mut().zip(&mut self.trackers) {
            if !meter.count(observation) {
                tracker.blame(observation);
            }
        }
    }

    /// Whether [`Slos::check`] has something to do at `now`.
    #[inline]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.next_check
    }

    fn flush(&mut self) {
        for (meter, tracker) in self.meters.iter_mut().zip(&mut self.trackers) {
            tracker.flush(meter, self.second);
        }
    }

    #[cold]
    fn advance(&mut self, now: Timestamp) {
        self.flush();
        let second = self.pace.at(now) / BILLION;
        // Clocks may be set back; time here does not go back.
        if second > self.second {
            self.second = second;
            self.trackers.iter_mut().for_each(|tracker| tracker.turn(second));
        }
        self.next_second = self.pace.reaches((self.second + 1).saturating_mul(BILLION));
    }

    /// Fires, raises, escalates and resolves alerts. To be called every now and then, also while nothing is recorded.
    pub fn check(&mut self, now: Timestamp, out: &mut Outbox) {
        if !self.is_due(now) {
            return;
        }
        self.next_check = now + self.interval;
        self.advance(now);
        let nanos = self.pace.at(now).max(self.second.saturating_mul(BILLION));
        for place in 0..self.trackers.len() {
            self.judge(place, nanos, now, out);
        }
        self.escalate(now, out);
    }

    fn judge(&mut self, place: usize, nanos: u64, now: Timestamp, out: &mut Outbox) {
        let second = self.second;
        let Some(tracker) = self.trackers.get_mut(place) else { return };
        tracker.judge(second, nanos);
        let worst = tracker.worst();
        let budget = tracker.budget(second);
        if out.wants(Kind::SlaErrorBudgetUpdated) || out.wants(Kind::SlaSloChecked) {
            tell_budget(tracker, second, &budget, out);
        }
        let spec = &tracker.spec;
        let severity = worst.and_then(|worst| spec.rules.get(worst)).map(|rule| rule.severity);
        let active = self.active.iter().position(|alert| alert.slo == spec.name);
        match (active, worst, severity) {
            (None, Some(rule), _) if self.cooled(place, nanos) => self.fire(place, rule, &budget, now, out),
            (Some(at), Some(rule), Some(severity)) => {
                let raise = self.active.get(at).is_some_and(|alert| severity < alert.severity);
                if raise {
                    self.raise(at, place, rule, &budget, now, out);
                }
            }
            (Some(at), None, _) => {
                self.resolve(at, now, out);
                if let Some(memory) = self.memories.get_mut(place) {
                    memory.quiet_since = Some(nanos);
                }
            }
            _ => {}
        }
        self.policy(place, &budget, out);
    }

    fn cooled(&self, place: usize, nanos: u64) -> bool {
        let cooldown = self.config.alerting.cooldown_seconds.saturating_mul(BILLION);
        let quiet = self.memories.get(place).and_then(|memory| memory.quiet_since);
        quiet.is_none_or(|since| nanos.saturating_sub(since) >= cooldown)
    }

    fn describe(&mut self, place: usize, rule: usize, budget: &Budget) -> Option<(BurnRule, String, f64)> {
        let (second, pace) = (self.second, self.pace);
        let tracker = self.trackers.get_mut(place)?;
        let (long, short) = tracker.windows(rule, second);
        let spec = &tracker.spec;
        let burn = spec.burn_rate(short.unwrap_or(long.ratio)).or_else(|| spec.burn_rate(long.ratio));
        let rule = spec.rules.get(rule)?;
        let lasts_ms = lasts(budget, burn).map(|seconds| pace.milliseconds(seconds));
        let text = sentence(&Facts { spec, rule, long, short, left: budget.left, lasts_ms });
        Some((rule.clone(), text, 1.0 - long.ratio.error_ratio()))
    }

    fn fire(&mut self, place: usize, rule: usize, budget: &Budget, now: Timestamp, out: &mut Outbox) {
        let Some((rule, message, actual)) = self.describe(place, rule, budget) else { return };
        let Some(spec) = self.trackers.get(place).map(|tracker| &tracker.spec) else { return };
        self.fired += 1;
        let (slo, target) = (spec.name.clone(), spec.target);
        out.emit(Kind::SlaSloViolation, || Payload::SlaSloViolation { slo: slo.clone(), target, actual });
        let alert = Alert {
            id: self.fired,
            slo,
            severity: rule.severity,
            rule: rule.name,
            message,
            state: AlertState::Firing,
            fired: now,
            raised: None,
            level: 1,
            channels: rule.channels,
            acknowledged: None,
            resolved: None,
        };
        tell_fired(&alert, out);
        self.active.push(alert);
    }

    /// What holds now is worse: whoever acknowledged it acknowledged something less.
    fn raise(&mut self, at: usize, place: usize, rule: usize, budget: &Budget, now: Timestamp, out: &mut Outbox) {
        let Some((rule, message, _)) = self.describe(place, rule, budget) else { return };
        let Some(alert) = self.active.get_mut(at) else { return };
        alert.severity = rule.severity;
        alert.rule = rule.name;
        alert.message = message;
        alert.channels = rule.channels;
        alert.state = AlertState::Firing;
        alert.acknowledged = None;
        alert.raised = Some(now);
        alert.level = 1;
        tell_fired(alert, out);
    }

    fn resolve(&mut self, at: usize, now: Timestamp, out: &mut Outbox) {
        let mut alert = self.active.remove(at);
        alert.state = AlertState::Resolved;
        alert.resolved = Some(now);
        let after_ms = u64::try_from(now.since(alert.fired).as_millis()).unwrap_or(u64::MAX);
        out.emit(Kind::SlaAlertResolved, || Payload::SlaAlertResolved {
            alert: alert.id,
            slo: alert.slo.clone(),
            after_ms,
        });
        if self.resolved.len() == RESOLVED {
            self.resolved.pop_front();
        }
        self.resolved.push_back(alert);
    }

    /// An alert that nobody acknowledged in time goes one up the chain.
    fn escalate(&mut self, now: Timestamp, out: &mut Outbox) {
        let timeout = self.config.alerting.escalation_timeout_seconds.saturating_mul(BILLION);
        for alert in self.active.iter_mut().filter(|alert| alert.state == AlertState::Firing) {
            let since = alert.raised.unwrap_or(alert.fired);
            let waited = nanos(now.since(since)).saturating_mul(self.pace.scale);
            let due = waited.checked_div(timeout).map_or(1, |times| times.saturating_add(1).min(CHAIN.len() as u64));
            let due = u8::try_from(due).unwrap_or(1);
            if due <= alert.level {
                continue;
            }
            alert.level = due;
            let chain = self.rota.chain(now);
            let link = chain.get(usize::from(due) - 1).map(|(_, title, who, _)| format!("{title} ({})", who.name));
            let waited = message::span(nanos(now.since(since)) / 1_000_000);
            let text = format!("nobody acknowledged it in {waited}: it goes to the {}", link.unwrap_or_default());
            out.emit(Kind::SlaAlertFired, || Payload::SlaAlertFired {
                alert: alert.id,
                slo: alert.slo.clone(),
                severity: alert.severity.name().to_owned(),
                message: text,
            });
        }
    }

    fn policy(&mut self, place: usize, budget: &Budget, out: &mut Outbox) {
        let (Some(tracker), Some(memory)) = (self.trackers.get(place), self.memories.get_mut(place)) else { return };
        let name = &tracker.spec.name;
        let exhausted = budget.left <= 0.0;
        if exhausted && !memory.exhausted {
            out.emit(Kind::SlaErrorBudgetExhausted, || Payload::SlaErrorBudgetExhausted { slo: name.clone() });
        }
        memory.exhausted = exhausted;
        let Some(bound) = self.config.budget_policy.turn_off_flags_below else { return };
        let low = budget.left < bound;
        if low && !memory.low {
            let reason = low_budget(name, budget.left, bound);
            let flags = self.config.budget_policy.flags.iter();
            let action = |flag: &String| PolicyAction::TurnOff { flag: flag.clone(), reason: reason.clone() };
            self.actions.extend(flags.map(action));
        }
        memory.low = low;
    }

    /// Whether the budget policy asks for something.
    #[inline]
    pub const fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// What it asks for, once.
    pub fn take_actions(&mut self) -> Vec<PolicyAction> {
        std::mem::take(&mut self.actions)
    }

    /// Why no game day may begin at `now`, if so.
    pub fn refuses_game_days(&mut self, now: Timestamp) -> Option<String> {
        let bound = self.config.budget_policy.refuse_game_days_below.filter(|_| self.config.enabled)?;
        self.advance(now);
        let second = self.second;
        let low = self.trackers.iter_mut().find_map(|tracker| {
            let left = tracker.budget(second).left;
            (left < bound).then(|| low_budget(&tracker.spec.name, left, bound))
        });
        low.map(|low| format!("{low}: no game day begins (sla.budget_policy)"))
    }

    /// Carries out a command; the answer is a sentence for the operator.
    ///
    /// # Errors
    /// [`SloError::NoAlert`] when there is nothing to acknowledge; [`SloError`] for documents that are not right.
    pub fn command(
        &mut self,
        command: &SloCommand,
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<String, SloError> {
        match command {
            SloCommand::Acknowledge { alert } => self.acknowledge(*alert, by, now, out),
            SloCommand::Load { file, documents } => {
                let specs = super::openslo::read(documents, file)?.objectives(&self.config)?;
                self.advance(now);
                self.watch(specs)?;
                let names: Vec<String> = self.trackers.iter().map(|tracker| tracker.spec.name.clone()).collect();
                while let Some(at) = self.active.iter().position(|alert| !names.contains(&alert.slo)) {
                    self.resolve(at, now, out);
                }
                Ok(format!("watching {} from {file}", names.join(", ")))
            }
        }
    }

    fn acknowledge(
        &mut self,
        wanted: Option<u64>,
        by: &str,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<String, SloError> {
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

    /// Alerts that fired so far.
    pub const fn fired(&self) -> u64 {
        self.fired
    }

    /// How many times faster than allowed each budget burned lately.
    pub fn burn_rates(&mut self, now: Timestamp) -> Vec<Option<f64>> {
        self.advance(now);
        let second = self.second;
        self.trackers.iter_mut().map(|tracker| tracker.burn_rate(second)).collect()
    }

    /// Each objective's figures.
    pub fn levels(&mut self, now: Timestamp) -> Vec<ServiceLevel> {
        self.advance(now);
        let (second, active) = (self.second, &self.active);
        let level = |tracker: &mut Tracker| ServiceLevel {
            name: tracker.spec.name.clone(),
            burn_rate: tracker.burn_rate(second),
            budget_left: tracker.budget(second).left,
            alerting: active.iter().any(|alert| alert.slo == tracker.spec.name),
        };
        self.trackers.iter_mut().map(level).collect()
    }

    /// As it is shown.
    pub fn view(&mut self, now: Timestamp) -> SlosView {
        self.advance(now);
        let (second, pace) = (self.second, self.pace);
        let active = &self.active;
        let view = |tracker: &mut Tracker| {
            let budget = tracker.budget(second);
            let burn_rate = tracker.burn_rate(second);
            let rules = (0..tracker.rules.len()).filter_map(|place| rule_view(tracker, place, second)).collect();
            let (session, minute) = (tracker.session(), tracker.recent(second));
            let spec = &tracker.spec;
            SloView {
                name: spec.name.clone(),
                objective: spec.promise.clone(),
                bad: message::bad(spec).to_owned(),
                target: spec.target,
                window: spec.window.to_string(),
                budgeting: match spec.budgeting {
                    Budgeting::Occurrences => "occurrences".into(),
                    Budgeting::Timeslices { .. } => "timeslices".into(),
                    Budgeting::RatioTimeslices { .. } => "ratio timeslices".into(),
                },
                session,
                minute,
                period: budget.ratio,
                burn_rate,
                budget_left: budget.left,
                tier: tier(budget.left).into(),
                lasts_ms: lasts(&budget, burn_rate).map(|seconds| pace.milliseconds(seconds)),
                eaten: message::eaten(&budget.eaten, 3),
                rules,
                alert: active.iter().find(|alert| alert.slo == spec.name).map(|alert| alert.severity),
            }
        };
        let slos = self.trackers.iter_mut().map(view).collect();
        let game_days_refused = self.refuses_game_days(now);
        let (turn, next) = (self.rota.at(now), self.rota.next(now));
        let link = |(level, title, who, _): (u8, &str, &super::rota::Engineer, &str)| LinkView {
            level,
            title: title.to_owned(),
            name: who.name.clone(),
        };
        SlosView {
            enabled: self.config.enabled,
            time_scale: self.config.time_scale,
            slos,
            active: self.active.clone(),
            resolved: self.resolved.iter().cloned().collect(),
            fired: self.fired,
            game_days_refused,
            on_call: turn.engineer.name.clone(),
            on_call_until: turn.until,
            on_call_next: next.engineer.name.clone(),
            team: self.rota.team().to_owned(),
            escalation: self.rota.chain(now).into_iter().map(link).collect(),
        }
    }
}

fn low_budget(slo: &str, left: f64, bound: f64) -> String {
    let left = if left < 0.0 { "none".to_owned() } else { message::share(left) };
    format!("the {slo} budget has {left} left, below {:.0} %", bound * 100.0)
}

fn tell_fired(alert: &Alert, out: &mut Outbox) {
    out.emit(Kind::SlaAlertFired, || Payload::SlaAlertFired {
        alert: alert.id,
        slo: alert.slo.clone(),
        severity: alert.severity.name().to_owned(),
        message: alert.message.clone(),
    });
}

fn tell_budget(tracker: &mut Tracker, second: u64, budget: &Budget, out: &mut Outbox) {
    let burn_rate = tracker.burn_rate(second).unwrap_or(0.0);
    let spec = &tracker.spec;
    let current = 1.0 - budget.ratio.error_ratio();
    out.emit(Kind::SlaErrorBudgetUpdated, || Payload::SlaErrorBudgetUpdated {
        slo: spec.name.clone(),
        consumed: 1.0 - budget.left,
        remaining: budget.left.max(0.0),
        burn_rate,
    });
    out.emit(Kind::SlaSloChecked, || Payload::SlaSloChecked {
        slo: spec.name.clone(),
        target: spec.target,
        current,
        violated: current < spec.target,
    });
}

fn rule_view(tracker: &mut Tracker, place: usize, second: u64) -> Option<RuleView> {
    let (long, short) = tracker.windows(place, second);
    let (spec, state) = (&tracker.spec, tracker.rules.get(place)?);
    let rule = spec.rules.get(place)?;
    Some(RuleView {
        name: rule.name.clone(),
        severity: rule.severity,
        long: shorthand(rule.long),
        short: rule.short.map(shorthand),
        op: rule.op.sign().to_owned(),
        factor: rule.factor.value(),
        long_burn: spec.burn_rate(long.ratio),
        short_burn: short.and_then(|ratio| spec.burn_rate(ratio)),
        holds: state.holds,
    })
}

/// How long what is left of the budget lasts at this burn rate, seconds of the scaled clock: left x period / burn rate.
/// `None` when it does not run out within its period.
fn lasts(budget: &Budget, burn: Option<f64>) -> Option<f64> {
    let burn = burn.filter(|burn| *burn > 0.0)?;
    if budget.left <= 0.0 {
        return Some(0.0);
    }
    let lasts = budget.left * budget.period as f64 / burn;
    // A rolling budget that burns no faster than it may is filled up as fast as it is eaten.
    let outlasts = budget.ends_in.map_or(burn <= 1.0, |end| lasts >= end as f64);
    (!outlasts).then_some(lasts)
}
