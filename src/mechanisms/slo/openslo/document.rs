//! The shapes of OpenSLO v1 objects, as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::Value;

use crate::mechanisms::slo::spec::{Op, Span};

/// An object of any kind, with its spec.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Object<S> {
    #[serde(rename = "apiVersion")]
    pub _api_version: Option<String>,
    pub kind: Option<String>,
    pub metadata: Metadata,
    pub spec: S,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    pub name: String,
    #[serde(rename = "displayName")]
    pub _display_name: Option<String>,
    #[serde(default, rename = "labels")]
    pub _labels: BTreeMap<String, Label>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Label {
    One(#[allow(dead_code, reason = "labels are read to be checked")] String),
    Many(#[allow(dead_code, reason = "labels are read to be checked")] Vec<String>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSpec {
    #[serde(default)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataSourceSpec {
    #[serde(default)]
    pub description: Option<String>,
    pub r#type: String,
    #[serde(default, rename = "connectionDetails")]
    pub _connection_details: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetSpec {
    pub target: String,
    #[serde(default)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliSpec {
    #[serde(default)]
    pub description: Option<String>,
    pub threshold_metric: Option<Metric>,
    pub ratio_metric: Option<RatioMetric>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RatioMetric {
    #[serde(default, rename = "counter")]
    pub _counter: Option<bool>,
    pub good: Option<Metric>,
    pub bad: Option<Metric>,
    pub total: Option<Metric>,
    pub raw_type: Option<RawType>,
    pub raw: Option<Metric>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawType {
    Success,
    Failure,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metric {
    pub metric_source: MetricSource,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricSource {
    pub metric_source_ref: Option<String>,
    pub r#type: Option<String>,
    #[serde(default)]
    pub spec: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SloDocument {
    #[serde(default)]
    pub description: Option<String>,
    pub service: String,
    pub indicator: Option<Object<SliSpec>>,
    pub indicator_ref: Option<String>,
    #[serde(default)]
    pub time_window: Vec<TimeWindow>,
    pub budgeting_method: Method,
    #[serde(default)]
    pub objectives: Vec<Objective>,
    pub alert_policies: Option<Vec<PolicyEntry>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Method {
    Occurrences,
    Timeslices,
    RatioTimeslices,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeWindow {
    pub duration: Span,
    pub is_rolling: Option<bool>,
    pub calendar: Option<CalendarDocument>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalendarDocument {
    pub start_time: String,
    pub time_zone: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objective {
    #[serde(rename = "displayName")]
    pub _display_name: Option<String>,
    pub op: Option<Op>,
    pub value: Option<f64>,
    pub target: Option<f64>,
    pub target_percent: Option<f64>,
    pub time_slice_target: Option<f64>,
    pub time_slice_window: Option<SliceWindow>,
}

/// A number of minutes, or a duration.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum SliceWindow {
    Minutes(u32),
    Span(Span),
}

/// An alert policy where it is used: by name, or written out.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyEntry {
    pub alert_policy_ref: Option<String>,
    #[serde(rename = "apiVersion")]
    pub _api_version: Option<String>,
    pub kind: Option<String>,
    pub metadata: Option<Metadata>,
    pub spec: Option<PolicySpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub alert_when_no_data: bool,
    #[serde(default)]
    pub alert_when_resolved: bool,
    #[serde(default)]
    pub alert_when_breaching: bool,
    #[serde(default)]
    pub conditions: Vec<ConditionEntry>,
    #[serde(default)]
    pub notification_targets: Vec<TargetEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionEntry {
    pub condition_ref: Option<String>,
    #[serde(rename = "apiVersion")]
    pub _api_version: Option<String>,
    pub kind: Option<String>,
    pub metadata: Option<Metadata>,
    pub spec: Option<ConditionSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetEntry {
    pub target_ref: Option<String>,
    #[serde(rename = "apiVersion")]
    pub _api_version: Option<String>,
    pub kind: Option<String>,
    #[serde(rename = "metadata")]
    pub _metadata: Option<Metadata>,
    pub spec: Option<TargetSpec>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionSpec {
    #[serde(default)]
    pub description: Option<String>,
    pub severity: String,
    pub condition: Condition,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    #[serde(default, rename = "kind")]
    pub _kind: ConditionKind,
    pub op: Op,
    pub threshold: Option<f64>,
    pub lookback_window: Span,
    /// A duration, or `0m`.
    #[serde(default)]
    pub alert_after: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionKind {
    #[default]
    Burnrate,
}
