//! Commands: everything that changes a running engine, whoever asks for it.

use serde::{Deserialize, Serialize};

use crate::mechanisms::auth::Duty;
use crate::mechanisms::breaker::BreakerCommand;
use crate::mechanisms::cache::CacheCommand;
use crate::mechanisms::chaos::ChaosCommand;
use crate::mechanisms::flags::FlagsCommand;
use crate::mechanisms::i18n::I18nCommand;
use crate::mechanisms::limits::{BulkheadCommand, LimiterCommand, RetryCommand};
use crate::mechanisms::slo::SloCommand;
use crate::records::ledger::LedgerCommand;

/// A command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Admit no more evaluations; those that wait are finished.
    Pause,
    /// Go on admitting.
    Resume,
    /// While paused, admit this many.
    Step {
        /// At least 1.
        count: u32,
    },
    /// Evaluations a second; 0 is as fast as they go.
    SetRate {
        /// At most a million.
        per_second: u32,
    },
    /// To the rate limiter.
    Limiter(LimiterCommand),
    /// To the bulkhead.
    Bulkhead(BulkheadCommand),
    /// To the retries.
    Retry(RetryCommand),
    /// To the breakers.
    Breaker(BreakerCommand),
    /// To the flags.
    Flags(FlagsCommand),
    /// To the cache.
    Cache(CacheCommand),
    /// To fault injection.
    Chaos(ChaosCommand),
    /// To the service levels.
    Slo(SloCommand),
    /// To translation.
    I18n(I18nCommand),
    /// To the ledger.
    Ledger(LedgerCommand),
    /// Begin a game day.
    StartGameDay {
        /// The scenario's name.
        name: String,
    },
    /// End the running game day before its time: take back what it injected, and see whether the steady state is back.
    AbortGameDay,
    /// Make the running phase of the game day longer by its own length.
    ExtendGameDay,
    /// End the session: what waits for an answer or a place is finished, what waits for another attempt ends as its last
    /// one did, the ledger's last block is closed.
    Stop,
}

impl Command {
    /// What it is about: an operator's role must have this duty. A new command cannot be without one.
    pub const fn duty(&self) -> Duty {
        match self {
            Self::Pause | Self::Resume | Self::Step { .. } | Self::SetRate { .. } | Self::I18n(_) | Self::Stop => {
                Duty::Session
            }
            // Whoever may stop the session may take faults back.
            Self::AbortGameDay | Self::Chaos(ChaosCommand::Disarm | ChaosCommand::SetLevel { level: 0 }) => {
                Duty::Session
            }
            // A longer phase is a longer fault.
            Self::Chaos(_) | Self::StartGameDay { .. } | Self::ExtendGameDay => Duty::Chaos,
            Self::Breaker(_) | Self::Limiter(_) | Self::Bulkhead(_) | Self::Retry(_) => Duty::Breaker,
            Self::Flags(_) => Duty::Flag,
            Self::Cache(_) => Duty::Cache,
            Self::Slo(_) => Duty::Alert,
            Self::Ledger(_) => Duty::Ledger,
        }
    }

    /// As it is written in the ledger.
    pub fn text(&self) -> String {
        // Commands are plain data; writing them to memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Why a command was refused, in a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);
