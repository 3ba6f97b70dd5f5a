//! The body of a denial: 47 fields that say what was asked, by whom, why it was denied and what can be done about it.

use serde_json::{Map, Value, json};

use super::{AuthConfig, Permission};
use crate::domain::Timestamp;

/// Who is asked for access unless the configuration says otherwise.
pub const CONTACT: &str = "fizzbuzz-security@enterprise.example.com";
/// When the next training begins unless the configuration says otherwise.
pub const TRAINING: &str = "2026-04-01T09:00:00Z";

/// How many numbers from 1 to `|number|` divide it; 0 for 0.
fn factors(number: u64) -> u64 {
    let mut count = 0;
    let mut divisor = 1;
    while divisor <= number / divisor.max(1) && number > 0 {
        if number.is_multiple_of(divisor) {
            count += 1 + u64::from(divisor != number / divisor);
        }
        divisor += 1;
    }
    count
}

fn is_prime(number: i64) -> bool {
    number > 1 && factors(number.unsigned_abs()) == 2
}

fn with_sign(number: i64, digits: String) -> String {
    if number < 0 { format!("-{digits}") } else { digits }
}

/// The last moment of the appeal: in this month, thirty days on, but no later than the 28th.
fn deadline(at: Timestamp) -> String {
    let now = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default();
    let date = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = (date.day() + 30).min(28);
    format!("{:04}-{:02}-{day:02}T23:59:59Z", date.year(), date.month())
}

/// The body, its fields in the platform's order. `id` is the denial's.
pub fn body(config: &AuthConfig, granted: &[Permission], number: i64, id: &str, at: Timestamp) -> Map<String, Value> {
    let prime = is_prime(number);
    let size = number.unsigned_abs();
    let required = format!("numbers:{number}:evaluate");
    let held: Vec<_> = granted.iter().map(Permission::to_string).collect();
    let trust = granted.len() as f64 / 5.0 * 42.0 + if prime { 0.1 } else { 0.0 };
    let incident: String = id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let role = config.role.name();
    let display: Vec<_> = role
        .split('_')
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            format!("{first}{}", rest.to_lowercase())
        })
        .collect();
    let fields = [
        ("denied", json!(true)),
        ("denial_reason", json!(format!("{role} has no permission {required}"))),
        ("denial_code", json!("EFP-A001")),
        ("denial_timestamp", json!(at.to_string())),
        ("denial_id", json!(id)),
        ("user", json!(config.user)),
        ("user_role", json!(role)),
        ("user_role_display_name", json!(display.join(" "))),
        ("user_trust_score", json!((trust * 10_000.0).round() / 10_000.0)),
        ("user_permissions_count", json!(granted.len())),
        ("required_permission", json!(required)),
        ("granted_permissions", json!(held)),
        ("permission_gap", json!([required])),
        ("permission_model_version", json!("2.0")),
        ("rbac_policy_revision", json!("1")),
        ("requested_number", json!(number)),
        ("number_is_prime", json!(prime)),
        ("number_is_even", json!(number % 2 == 0)),
        ("number_would_be_fizz", json!(number % 3 == 0)),
        ("number_would_be_buzz", json!(number % 5 == 0)),
        ("number_would_be_fizzbuzz", json!(number % 15 == 0)),
        ("number_binary", json!(with_sign(number, format!("0b{size:b}")))),
        ("number_hexadecimal", json!(with_sign(number, format!("0x{size:x}")))),
        ("number_roman_numeral_available", json!(0 < number && number < 4_000)),
        ("number_factors_count", json!(factors(size))),
        ("suggested_role_upgrade_path", json!(format!("{role} -> {}", config.role.upgrade().name()))),
        ("hr_contact_email", json!(config.access_denied_contact_email)),
        ("next_available_training_session", json!(config.next_training_session)),
        ("escalation_procedure", json!("Ask whoever issued the token for the role named above.")),
        ("self_service_portal_url", json!("https://fizzbuzz.example.com/access")),
        ("incident_auto_filed", json!(false)),
        ("incident_id", json!(format!("INC-{}", incident.to_uppercase()))),
        ("incident_severity", json!("P4 - Cosmetic")),
        ("incident_assigned_to", json!(config.access_denied_contact_email)),
        ("sla_response_time_hours", json!(72)),
        ("compliance_frameworks", json!(["SOC2", "ISO27001", "FizzBuzz-RBAC-v2"])),
        ("audit_trail_enabled", json!(true)),
        ("data_classification", json!("internal")),
        ("legal_disclaimer", json!("A denial is no judgement about the number.")),
        ("retention_period_days", json!(365)),
        ("platform_version", json!(env!("CARGO_PKG_VERSION"))),
        ("rbac_engine_version", json!(env!("CARGO_PKG_VERSION"))),
        ("motivational_quote", json!("Every number is somebody's favourite.")),
        ("support_ticket_url", json!(format!("https://fizzbuzz.example.com/tickets/{id}"))),
        ("denial_appeal_deadline_utc", json!(deadline(at))),
        ("response_content_type", json!("application/json")),
        ("cache_control", json!("no-store")),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanisms::auth::Role;

    #[test]
    fn a_denial_has_47_fields_and_its_figures_are_computed() {
        let config = AuthConfig { enabled: true, user: "ann".into(), role: Role::FizzReader, ..AuthConfig::default() };
        let granted = config.role.permissions().unwrap();
        let at = Timestamp::from_millis(1_767_225_600_000);
        let body = body(&config, &granted, 97, "ann-1-abcdef123", at);
        assert_eq!(body.len(), 47);
        let keys: Vec<_> = body.keys().map(String::as_str).collect();
        assert_eq!(
            (keys[0], keys[9], keys[24], keys[46]),
            ("denied", "user_permissions_count", "number_factors_count", "cache_control",)
        );
        assert_eq!(body["user_trust_score"], 25.3, "three permissions of five, and a prime");
        assert_eq!((&body["number_binary"], &body["number_hexadecimal"]), (&json!("0b1100001"), &json!("0x61")));
        assert_eq!((&body["incident_id"], &body["number_factors_count"]), (&json!("INC-ANN1ABCD"), &json!(2)));
        assert_eq!(body["denial_appeal_deadline_utc"], "2026-01-28T23:59:59Z");
        assert_eq!(body["user_role_display_name"], "Fizz Reader");
    }

    #[test]
    fn factors_are_those_of_trial_division() {
        for number in 0u64..2_000 {
            let slow = (1..=number).filter(|divisor| number.is_multiple_of(*divisor)).count() as u64;
            assert_eq!(factors(number), slow, "{number}");
        }
        assert_eq!((is_prime(-7), is_prime(1), is_prime(2), is_prime(47)), (false, false, true, true));
    }
}
