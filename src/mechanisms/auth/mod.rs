//! Authorization: who may evaluate which numbers. Five roles, each with what it is granted and what it inherits.
//!
//! A denied evaluation is a result with the outcome denied; the session goes on.
//!
//! ```
//! use fizzops::domain::{EventMask, Outcome, RuleSet, Timestamp};
//! use fizzops::mechanisms::auth::{AuthConfig, AuthMiddleware, Role};
//! use fizzops::pipeline::{Context, Flow, Middleware, Outbox};
//!
//! let config = AuthConfig { enabled: true, user: "ann".into(), role: Role::FizzReader, ..AuthConfig::default() };
//! let mut auth = AuthMiddleware::new(&config).unwrap();
//! let mut out = Outbox::new(EventMask::NONE, 0);
//! let mut context = Context::new(0, 51, RuleSet::classic().all(), Timestamp::EPOCH);
//! assert_eq!(auth.enter(&mut context, &mut out), Flow::Finish);
//! assert_eq!(context.outcome, Outcome::Denied);
//! ```

pub mod denial;
mod duty;
pub mod password;
mod permission;
pub mod token;

use std::collections::VecDeque;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use duty::Duty;
pub use permission::{Permission, PermissionError, Range};

use crate::domain::text::nearest;
use crate::domain::{ErrorCode, Kind, Outcome, Payload, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

/// The roles, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// Reads multiples of 3, evaluates 1 to 50.
    FizzReader,
    /// Reads and configures multiples of 5, evaluates 1 to 100.
    BuzzAdmin,
    /// Everything.
    #[serde(rename = "FIZZBUZZ_SUPERUSER")]
    FizzBuzzSuperuser,
    /// Reads and audits everything, evaluates what a reader may.
    NumberAuditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Anonymous, Self::FizzReader, Self::BuzzAdmin, Self::FizzBuzzSuperuser, Self::NumberAuditor];

    /// As it is written in files and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::FizzReader => "FIZZ_READER",
            Self::BuzzAdmin => "BUZZ_ADMIN",
            Self::FizzBuzzSuperuser => "FIZZBUZZ_SUPERUSER",
            Self::NumberAuditor => "NUMBER_AUDITOR",
        }
    }

    const fn parent(self) -> Option<Self> {
        match self {
            Self::Anonymous => None,
            Self::FizzReader => Some(Self::Anonymous),
            Self::BuzzAdmin | Self::NumberAuditor => Some(Self::FizzReader),
            Self::FizzBuzzSuperuser => Some(Self::BuzzAdmin),
        }
    }

    const fn granted(self) -> &'static [&'static str] {
        match self {
            Self::Anonymous => &["numbers:1:read"],
            Self::FizzReader => &["numbers:fizz:read", "numbers:1-50:evaluate"],
            Self::BuzzAdmin => &["numbers:buzz:read", "numbers:buzz:configure", "numbers:1-100:evaluate"],
            Self::FizzBuzzSuperuser => &["numbers:*:evaluate", "numbers:*:read", "numbers:*:configure"],
            Self::NumberAuditor => &["numbers:*:audit", "numbers:*:read"],
        }
    }

    /// What it may: its own grants first, then what it inherits.
    ///
    /// # Errors
    /// [`PermissionError`] never, unless a grant above was mistyped; a test reads all.
    pub fn permissions(self) -> Result<Vec<Permission>, PermissionError> {
        let mut permissions: Vec<Permission> = Vec::new();
        let mut next = Some(self);
        while let Some(role) = next {
            for grant in role.granted() {
                let permission = grant.parse()?;
                if !permissions.contains(&permission) {
                    permissions.push(permission);
                }
            }
            next = role.parent();
        }
        Ok(permissions)
    }

    /// The role to ask for when this one is not enough.
    pub const fn upgrade(self) -> Self {
        match self {
            Self::Anonymous => Self::FizzReader,
            Self::FizzReader => Self::BuzzAdmin,
            Self::BuzzAdmin | Self::FizzBuzzSuperuser | Self::NumberAuditor => Self::FizzBuzzSuperuser,
        }
    }
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no role `{name}`{hint}; there are {names}", names = Role::ALL.map(Role::name).join(", "))]
pub struct UnknownRole {
    name: String,
    hint: String,
}

impl std::str::FromStr for Role {
    type Err = UnknownRole;

    /// In either case.
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name().eq_ignore_ascii_case(text)).ok_or_else(|| UnknownRole {
            name: text.to_owned(),
            hint: nearest(text, Self::ALL.map(Self::name))
                .map_or(String::new(), |near| format!("; did you mean `{near}`?")),
        })
    }
}

/// The section `rbac`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Whether numbers are permitted by role.
    pub enabled: bool,
    /// Who evaluates.
    pub user: String,
    /// In which role.
    #[serde(alias = "default_role")]
    pub role: Role,
    /// How tokens are signed.
    pub token_algorithm: token::Algorithm,
    /// The file with the shared secret or the private key; in the data directory by default. Secrets themselves are never
    /// in the configuration.
    pub token_key_file: Option<PathBuf>,
    /// The file with the public key, for RS256 and for whoever only verifies.
    pub token_public_key_file: Option<PathBuf>,
    /// The file with the revoked tokens; in the data directory by default.
    pub token_revocation_file: Option<PathBuf>,
    /// How long a token is valid, seconds.
    pub token_ttl_seconds: u64,
    /// Who issues tokens; no other issuer is taken.
    pub token_issuer: String,
    /// Whom JWTs are for; no other audience is taken.
    pub token_audience: String,
    /// How far clocks may differ, seconds.
    pub token_skew_seconds: u64,
    /// Permits HS256.
    pub development: bool,
    /// Who may come in with a password. While there is anybody, a name alone is not believed.
    pub users: Vec<password::User>,
    /// Who is asked for access.
    pub access_denied_contact_email: String,
    /// When the next training begins.
    pub next_training_session: String,
}

impl AuthConfig {
    /// What tokens are checked against.
    pub fn policy(&self) -> token::Policy {
        token::Policy {
            issuer: self.token_issuer.clone(),
            audience: self.token_audience.clone(),
            skew: self.token_skew_seconds,
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            user: "anonymous".into(),
            role: Role::Anonymous,
            token_algorithm: token::Algorithm::Efp,
            token_key_file: None,
            token_public_key_file: None,
            token_revocation_file: None,
            token_ttl_seconds: 3_600,
            token_issuer: "enterprise-fizzbuzz-platform".into(),
            token_audience: "fizzops".into(),
            token_skew_seconds: 30,
            development: false,
            users: Vec::new(),
            access_denied_contact_email: denial::CONTACT.into(),
            next_training_session: denial::TRAINING.into(),
        }
    }
}

/// An evaluation that was denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialView {
    /// When.
    pub at: Timestamp,
    /// For which number.
    pub number: i64,
}

/// The mechanism, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthView {
    /// Whether it is in force.
    pub enabled: bool,
    /// Who evaluates.
    pub user: String,
    /// In which role.
    pub role: String,
    /// What the role may.
    pub permissions: Vec<String>,
    /// Evaluations that were permitted.
    pub granted: u64,
    /// Evaluations that were not.
    pub denied: u64,
    /// The last ones that were not, oldest first.
    pub recent: Vec<DenialView>,
    /// The role to ask for.
    pub upgrade: String,
}

const RECENT: usize = 8;

/// The middleware, at priority -10.
#[derive(Debug)]
pub struct AuthMiddleware {
    config: AuthConfig,
    permissions: Vec<Permission>,
    /// The ranges of numbers that may be evaluated.
    evaluate: Vec<Range>,
    granted: u64,
    denied: u64,
    recent: VecDeque<DenialView>,
}

impl AuthMiddleware {
    /// As configured.
    ///
    /// # Errors
    /// As [`Role::permissions`].
    pub fn new(config: &AuthConfig) -> Result<Self, PermissionError> {
        let permissions = config.role.permissions()?;
        let evaluate = permissions
            .iter()
            .filter(|permission| permission.resource == "numbers" && permission.action == "evaluate")
            .map(|permission| permission.range)
            .collect();
        Ok(Self {
            config: config.clone(),
            permissions,
            evaluate,
            granted: 0,
            denied: 0,
            recent: VecDeque::with_capacity(RECENT),
        })
    }

    /// As it is shown.
    pub fn view(&self) -> AuthView {
        AuthView {
            enabled: self.config.enabled,
            user: self.config.user.clone(),
            role: self.config.role.name().to_owned(),
            permissions: self.permissions.iter().map(Permission::to_string).collect(),
            granted: self.granted,
            denied: self.denied,
            recent: self.recent.iter().cloned().collect(),
            upgrade: self.config.role.upgrade().name().to_owned(),
        }
    }
}

impl Middleware for AuthMiddleware {
    fn name(&self) -> &'static str {
        "authorization"
    }

    fn priority(&self) -> i16 {
        -10
    }

    fn enter(&mut self, context: &mut Context, out: &mut Outbox) -> Flow {
        if !self.config.enabled {
            return Flow::Continue;
        }
        let number = context.number;
        let permission = || format!("numbers:{number}:evaluate");
        let (user, role) = (|| self.config.user.clone(), || self.config.role.name().to_owned());
        if self.evaluate.iter().any(|range| range.covers(number)) {
            self.granted += 1;
            out.emit(Kind::AuthorizationGranted, || Payload::AuthorizationGranted {
                user: user(),
                role: role(),
                number,
                permission: permission(),
            });
            return Flow::Continue;
        }
        self.denied += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(DenialView { at: context.now, number });
        context.fail(Outcome::Denied, ErrorCode::InsufficientPrivileges);
        let denial_id = || format!("{}-{}", self.config.user, self.denied);
        let now = context.now;
        let denial = || denial::body(&self.config, &self.permissions, number, &denial_id(), now);
        out.emit(Kind::AuthorizationDenied, || Payload::AuthorizationDenied {
            user: user(),
            role: role(),
            number,
            permission: permission(),
            denial_id: denial_id(),
            denial: denial(),
        });
        Flow::Finish
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, RuleSet};

    #[test]
    fn each_role_may_evaluate_what_it_is_granted() {
        let table = [
            (Role::Anonymous, vec![]),
            (Role::FizzReader, vec![1, 50]),
            (Role::BuzzAdmin, vec![1, 50, 51, 100]),
            (Role::FizzBuzzSuperuser, vec![-1, 0, 1, 50, 51, 100, 101]),
            (Role::NumberAuditor, vec![1, 50]),
        ];
        for (role, expected) in table {
            let config = AuthConfig { enabled: true, user: "u".into(), role, ..AuthConfig::default() };
            let mut auth = AuthMiddleware::new(&config).unwrap();
            let mut out = Outbox::new(EventMask::ALL, 100);
            let permitted: Vec<_> = [-1, 0, 1, 50, 51, 100, 101]
                .into_iter()
                .filter(|number| {
                    let mut context = Context::new(0, *number, RuleSet::classic().all(), Timestamp::EPOCH);
                    auth.enter(&mut context, &mut out) == Flow::Continue
                })
                .collect();
            assert_eq!(permitted, expected, "{role:?}");
            assert_eq!((auth.granted + auth.denied, out.made()), (7, 7));
        }
    }

    #[test]
    fn roles_inherit_without_duplicates_and_read_back_by_name() {
        assert_eq!(Role::FizzBuzzSuperuser.permissions().unwrap().len(), 9);
        for role in Role::ALL {
            assert_eq!(role.name().to_lowercase().parse(), Ok(role));
            let json = serde_json::to_string(&role).unwrap();
            assert_eq!(json, format!("\"{}\"", role.name()));
        }
        assert!("BUZZ_ADMN".parse::<Role>().unwrap_err().to_string().contains("did you mean `BUZZ_ADMIN`?"));
    }
}
