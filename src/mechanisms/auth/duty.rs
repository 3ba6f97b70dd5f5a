//! What operators may: every command belongs to a duty, and a role has duties, its own and those that it inherits.

use serde::{Deserialize, Serialize};

use super::Role;

/// What a command is about, for the question who may give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Looking at the console and at recordings.
    View,
    /// Acknowledging and silencing alerts.
    Alert,
    /// Pausing, stepping, the rate, the language, ending; taking back what fault injection does.
    Session,
    /// Breakers, limits and retries.
    Breaker,
    /// Feature flags.
    Flag,
    /// The cache.
    Cache,
    /// Injecting faults: levels and game days.
    Chaos,
    /// Proofs of the ledger.
    Ledger,
    /// Tokens and who may what.
    User,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::View,
        Self::Alert,
        Self::Session,
        Self::Breaker,
        Self::Flag,
        Self::Cache,
        Self::Chaos,
        Self::Ledger,
        Self::User,
    ];

    /// The permission that it needs, in the grammar of permissions.
    pub const fn permission(self) -> &'static str {
        match self {
            Self::View => "console:*:view",
            Self::Alert => "alert:*:operate",
            Self::Session => "session:*:operate",
            Self::Breaker => "breaker:*:operate",
            Self::Flag => "flag:*:operate",
            Self::Cache => "cache:*:operate",
            Self::Chaos => "chaos:*:operate",
            Self::Ledger => "ledger:*:prove",
            Self::User => "user:*:administer",
        }
    }
}

impl Role {
    const fn own_duties(self) -> &'static [Duty] {
        match self {
            Self::Anonymous => &[Duty::View],
            Self::FizzReader => &[Duty::Alert],
            Self::BuzzAdmin => &[Duty::Session, Duty::Breaker, Duty::Flag, Duty::Cache],
            Self::FizzBuzzSuperuser => &[Duty::Chaos, Duty::Ledger, Duty::User],
            Self::NumberAuditor => &[Duty::Ledger],
        }
    }

    /// Whether an operator in this role may give commands of this duty.
    pub fn may(self, duty: Duty) -> bool {
        self.own_duties().contains(&duty) || self.parent().is_some_and(|parent| parent.may(duty))
    }

    /// Why an operator in this role may not give commands of this duty, in a sentence; `None` when it may.
    pub fn refusal(self, duty: Duty) -> Option<String> {
        if self.may(duty) {
            return None;
        }
        let able: Vec<_> = Self::ALL.into_iter().filter(|role| role.may(duty)).map(Self::name).collect();
        Some(format!("{} has no permission {}; {} has", self.name(), duty.permission(), able.join(" or ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanisms::auth::Permission;

    #[test]
    fn each_role_has_its_duties() {
        use Duty::*;
        let table: [(Role, &[Duty]); 5] = [
            (Role::Anonymous, &[View]),
            (Role::FizzReader, &[View, Alert]),
            (Role::BuzzAdmin, &[View, Alert, Session, Breaker, Flag, Cache]),
            (Role::FizzBuzzSuperuser, &[View, Alert, Session, Breaker, Flag, Cache, Chaos, Ledger, User]),
            (Role::NumberAuditor, &[View, Alert, Ledger]),
        ];
        for (role, duties) in table {
            for duty in Duty::ALL {
                assert_eq!(role.may(duty), duties.contains(&duty), "{role:?} {duty:?}");
                assert_eq!(role.refusal(duty).is_none(), role.may(duty));
            }
        }
        let refusal = Role::FizzReader.refusal(Duty::Ledger).unwrap();
        assert_eq!(refusal, "FIZZ_READER has no permission ledger:*:prove; FIZZBUZZ_SUPERUSER or NUMBER_AUDITOR has");
    }

    #[test]
    fn duties_are_written_in_the_grammar_of_permissions() {
        for duty in Duty::ALL {
            assert_eq!(duty.permission().parse::<Permission>().unwrap().to_string(), duty.permission());
        }
    }
}
