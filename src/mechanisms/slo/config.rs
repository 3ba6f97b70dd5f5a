//! The section `sla`: objectives, alerting, the budget policy, who is on call.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::alert::Severity;
use super::counters::Counters;
use super::error::SloError;
use super::rota::{OnCallConfig, Rota};
use super::spec::{Budgeting, BurnRule, Indicator, Op, SloSpec, Span, Unit, Window, percent};

/// The section `sla`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SloConfig {
    /// Whether service levels are watched.
    pub enabled: bool,
    /// Files of OpenSLO documents, in place of `slos`. Whoever loads the configuration reads them into `specs`.
    pub openslo: Vec<PathBuf>,
    /// The objectives, where no documents are named.
    pub slos: Objectives,
    /// The period of the error budgets.
    pub error_budget: BudgetConfig,
    /// When alerts fire.
    pub alerting: AlertingConfig,
    /// What happens when a budget runs low.
    pub budget_policy: PolicyConfig,
    /// For drills: periods, windows and waits of this section are this many times shorter. The rota is not.
    pub time_scale: u32,
    /// Who is called.
    pub on_call: OnCallConfig,
    /// The objectives that the files of `openslo` define; when empty, those of `slos`.
    #[serde(skip)]
    pub specs: Vec<SloSpec>,
}

/// The three objectives of the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objectives {
    /// Answers that came in time, among all answers and time-outs.
    pub latency: LatencyObjective,
    /// Right answers, among all answers.
    pub accuracy: Target,
    /// Evaluations that were answered, among all that the caller was entitled to.
    pub availability: Target,
}

/// An objective on latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyObjective {
    /// The share that must be good, between 0 and 1.
    pub target: f64,
    /// In time is up to this, milliseconds.
    pub threshold_ms: f64,
}

/// An objective on a share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The share that must be good, between 0 and 1.
    pub target: f64,
}

/// The period of the error budgets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// A budget is for the days up to now; factors are derived from it.
    pub window_days: u32,
    /// No more: factors are derived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burn_rate_threshold: Option<f64>,
}

/// When alerts fire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertingConfig {
    /// After an alert is resolved, none fires for the same objective for this long.
    pub cooldown_seconds: u64,
    /// No alert fires for a burn rate with fewer events than this in its long window.
    pub minimum_events: u64,
    /// An alert that nobody acknowledges goes one up the escalation chain after each of these.
    pub escalation_timeout_seconds: u64,
    /// When an alert fires; for objectives whose documents name no alert policy, too.
    pub rules: Vec<RuleConfig>,
}

/// A burn-rate rule: fires when this share of the budget is gone within the long window, and still burns so fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// The long window, as in 1h or 3d.
    pub long_window: Span,
    /// The short window; a twelfth of the long one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_window: Option<Span>,
    /// The share of the budget, above 0 and at most 1.
    pub budget_share: f64,
    /// How bad that is.
    pub severity: Severity,
}

/// What happens when a budget runs low. A share is what is left of any objective's budget, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Below this share no game day begins; never refused when null.
    pub refuse_game_days_below: Option<f64>,
    /// Below this share `flags` are turned off, once each time that a budget falls below it.
    pub turn_off_flags_below: Option<f64>,
    /// Which.
    pub flags: Vec<String>,
}

impl Default for SloConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            openslo: Vec::new(),
            slos: Objectives::default(),
            error_budget: BudgetConfig::default(),
            alerting: AlertingConfig::default(),
            budget_policy: PolicyConfig::default(),
            time_scale: 1,
            on_call: OnCallConfig::default(),
            specs: Vec::new(),
        }
    }
}

impl Default for Objectives {
    fn default() -> Self {
        Self {
            latency: LatencyObjective::default(),
            accuracy: Target { target: 0.999_99 },
            availability: Target { target: 0.999_9 },
        }
    }
}

impl Default for LatencyObjective {
    fn default() -> Self {
        Self { target: 0.999, threshold_ms: 100.0 }
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { window_days: 30, burn_rate_threshold: None }
    }
}

impl Default for AlertingConfig {
    /// The table of the SRE workbook, chapter 5, with the row that Sloth adds.
    fn default() -> Self {
        let rule = |count, unit, budget_share, severity| RuleConfig {
            long_window: Span { count, unit },
            short_window: None,
            budget_share,
            severity,
        };
        Self {
            cooldown_seconds: 60,
            minimum_events: 20,
            escalation_timeout_seconds: 300,
            rules: vec![
                rule(1, Unit::Hours, 0.02, Severity::P1),
                rule(6, Unit::Hours, 0.05, Severity::P2),
                rule(1, Unit::Days, 0.1, Severity::P3),
                rule(3, Unit::Days, 0.1, Severity::P4),
            ],
        }
    }
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self { refuse_game_days_below: Some(0.1), turn_off_flags_below: Some(0.25), flags: Vec::new() }
    }
}

const SERVICE: &str = "evaluation";

impl SloConfig {
    /// Whether every setting is possible.
    ///
    /// # Errors
    /// [`SloError`] for the first that is not.
    pub fn check(&self) -> Result<(), SloError> {
        if self.error_budget.burn_rate_threshold.is_some() {
            return Err(SloError::Replaced {
                key: "sla.error_budget.burn_rate_threshold",
                by: "sla.alerting.rules: each rule's factor follows from its budget_share and its windows",
            });
        }
        if !(1..=1_000_000).contains(&self.time_scale) {
            return Err(SloError::TimeScale(self.time_scale));
        }
        for (key, share) in [
            ("refuse_game_days_below", self.budget_policy.refuse_game_days_below),
            ("turn_off_flags_below", self.budget_policy.turn_off_flags_below),
        ] {
            if let Some(share) = share.filter(|share| !(0.0..=1.0).contains(share)) {
                let key = format!("sla.budget_policy.{key}");
                return Err(SloError::Share { key, share, bounds: "from 0 to 1" });
            }
        }
        Rota::new(&self.on_call)?;
        self.objectives().map(drop)
    }

    /// The objectives: those of the documents, or the reference's three with the section's targets.
    ///
    /// # Errors
    /// [`SloError`] for a target, a threshold, a period or a rule that is impossible.
    pub fn objectives(&self) -> Result<Vec<SloSpec>, SloError> {
        let days = self.error_budget.window_days;
        if !(1..=366).contains(&days) {
            return Err(SloError::Period(days));
        }
        let window = Window::Rolling(Span { count: days, unit: Unit::Days });
        self.rules(window.seconds(), "sla.alerting.rules")?;
        if !self.specs.is_empty() {
            return Ok(self.specs.clone());
        }
        let Objectives { latency, accuracy, availability } = &self.slos;
        let threshold = latency.threshold_ms;
        if !(threshold > 0.0 && threshold <= 86_400_000.0) {
            return Err(SloError::Threshold(threshold));
        }
        let answers = Counters::ANSWERED;
        let entitled = answers.or(Counters::REJECTED).or(Counters::FAILED).or(Counters::TIMED_OUT);
        let in_time = Indicator::Latency {
            op: Op::Lte,
            threshold_ns: (threshold * 1e6).round() as u64,
            total: answers.or(Counters::TIMED_OUT),
        };
        let objectives = [
            ("latency", latency.target, format!("of answers within {threshold} ms"), in_time),
            (
                "accuracy",
                accuracy.target,
                "of answers are right".into(),
                Indicator::Good { good: Counters::RIGHT, total: answers },
            ),
            (
                "availability",
                availability.target,
                "of evaluations are answered".into(),
                Indicator::Good { good: answers, total: entitled },
            ),
        ];
        objectives
            .into_iter()
            .map(|(name, target, promise, indicator)| {
                if !(target > 0.0 && target < 1.0) {
                    return Err(SloError::Target { name: name.into(), target });
                }
                Ok(SloSpec {
                    name: name.into(),
                    promise: format!("{} % {promise}", percent(target)),
                    service: SERVICE.into(),
                    indicator,
                    target,
                    budgeting: Budgeting::Occurrences,
                    rules: self.rules(window.seconds(), "sla.alerting.rules")?,
                    window: window.clone(),
                    minimum_events: None,
                })
            })
            .collect()
    }

    /// The section's rules for a budget of `period` seconds.
    ///
    /// # Errors
    /// [`SloError::Window`] or [`SloError::Share`] for a rule that does not fit.
    pub fn rules(&self, period: u64, place: &str) -> Result<Vec<BurnRule>, SloError> {
        let of = |(index, rule): (usize, &RuleConfig)| {
            let place = format!("{place}[{index}]");
            let share = rule.budget_share;
            if !(share > 0.0 && share <= 1.0) {
                let key = format!("{place}.budget_share");
                return Err(SloError::Share { key, share, bounds: "above 0 and at most 1" });
            }
            let (long, short) = (rule.long_window.seconds(), rule.short_window.map(Span::seconds));
            check_windows(long, short, period).map_err(|problem| SloError::Window { place, problem })?;
            Ok(BurnRule::of_share(rule.severity, share, period, long, short))
        };
        self.alerting.rules.iter().enumerate().map(of).collect()
    }
}

/// Whether a rule's windows fit into each other and into the period; all in seconds.
///
/// # Errors
/// What does not fit, in words.
pub(super) fn check_windows(long: u64, short: Option<u64>, period: u64) -> Result<(), String> {
    use super::spec::shorthand;
    if long > period {
        return Err(format!(
            "the long window of {} is longer than the objective's period of {}",
            shorthand(long),
            shorthand(period)
        ));
    }
    match short.filter(|short| *short >= long) {
        Some(short) => Err(format!(
            "the short window of {} must be shorter than the long one of {}",
            shorthand(short),
            shorthand(long)
        )),
        None => Ok(()),
    }
}
