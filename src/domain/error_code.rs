//! Error codes: one catalogue for results, messages and `fizzops explain`. The families are the platform's (EFP-…).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($variant:ident $code:literal $meaning:literal $hint:literal;)*) => {
        /// A reason with a stable code, a meaning in one line and a hint at the remedy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the catalogue's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it is written, e.g. `EFP-CB00`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => concat!("EFP-", $code),)* }
            }

            /// What it means, in one line.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What to do about it.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }
        }
    };
}

codes! {
    Generic "0000" "An error without a family of its own." "Read the message beside the code; run again with --verbose to see the events that led to it.";
    Configuration "1000" "A configuration value is missing, unknown or impossible." "Correct the key that the message names; `fizzops config show` prints every value and where it came from.";
    RuleEvaluation "2000" "A rule could not be evaluated, or two rules conflict." "Check divisors (not 0), labels and names under `rules`.";
    Middleware "4000" "A middleware failed in itself, not the evaluation behind it." "The Pipeline tab names the middleware; its section in the configuration can turn it off.";
    Formatter "5000" "A result could not be written in the chosen format." "Check that the output can still be written to (disk space, a closed pipe).";
    Observer "6000" "A consumer of events failed or fell behind." "The engine went on; read the recording for what was missed.";
    NotInitialised "7000" "Something was asked of a subsystem that is not enabled." "Enable it with its flag or in its section of the configuration.";
    InvalidRange "8000" "The start of a range is greater than its end." "Give the smaller number first: --range 1 100.";
    InvalidNumber "8001" "The number is outside of the accepted limits." "Raise validation.min or validation.max, or leave the number out.";
    Cancelled "8002" "The evaluation was cancelled before it had an answer." "Nothing is wrong with the number: the session was stopped or a drill was aborted.";
    NotConverged "9000" "A model did not converge in training." "The answer is still given; compare with --strategy standard.";
    LedgerIntegrity "B000" "The ledger does not prove what it claims: a block, a hash or the proof of work is wrong." "Keep the file as it is and find the named block in a copy that verifies.";
    LedgerDifficulty "B001" "The proof of work asked for is beyond reach." "Lower --mining-difficulty; each step costs sixteen times more hashes.";
    CircuitOpen "CB00" "The circuit breaker refused the call because too many calls before it failed." "Wait for retry-after, or find what fails: the Breakers tab names the calls that tripped it.";
    CallTimeout "CB01" "The call took longer than its time limit." "Look for injected latency (Chaos) or raise circuit_breaker.call_timeout_ms.";
    Authentication "A000" "The caller could not be authenticated." "Give --user and --role, or a valid --token.";
    InsufficientPrivileges "A001" "The caller's role does not permit this." "Use a role that grants it; the denial names the missing permission and the next role up.";
    NumberClassificationExceeded "A002" "The number is above the caller's clearance." "Ask for a role with a higher clearance.";
    Token "A003" "The token is malformed, forged, expired or of an unknown role." "Issue a new token; check the clock and the secret on both sides.";
    Locale "I000" "A translation could not be made." "Check the locale's file; the fallback chain is used meanwhile.";
    LocaleNotFound "I001" "There is no such locale." "`fizzops run --list-locales` shows those that there are.";
    TranslationKeyMissing "I002" "A translation key is missing and the mode is strict." "Add the key to the locale's file or turn i18n.strict_mode off.";
    TranslationParse "I003" "A translation file does not follow the grammar." "The message names the line and what would be right.";
    Plural "I004" "A plural rule is not an expression in n." "Use a comparison such as `n != 1`, or 0.";
    FallbackChain "I005" "No locale of the fallback chain has the key." "Add the key to the locale `en`, which ends every chain.";
    EventStore "ES00" "The event store failed." "Check the data directory: space, permissions, and whether another engine holds it.";
    EventSequence "ES01" "An event's sequence number is not the next one." "The store is damaged or was written by two programs at once.";
    EventDecode "ES02" "An event cannot be decoded." "The file is of a newer version, or damaged at the place that the message names.";
    SnapshotCorrupt "ES03" "A snapshot does not match its checksum." "Delete the snapshot; it is rebuilt from the events.";
    CommandInvalid "ES04" "A command is not valid." "The message says which part; the help lists the commands.";
    NoCommandHandler "ES05" "Nothing handles this command." "The subsystem behind it is not enabled.";
    NoQueryHandler "ES06" "Nothing answers this query." "The subsystem behind it is not enabled.";
    Projection "ES07" "A projection could not be brought up to date." "Rebuild it; the events themselves are whole.";
    TemporalQuery "ES08" "A question about the past cannot be answered." "Ask for a sequence or a time within what is kept.";
    VersionConflict "ES09" "The stream is not at the expected version." "Read the stream again and retry with its actual version.";
    Chaos "CH00" "Fault injection failed." "No fault is armed now; check the chaos section of the configuration.";
    ChaosInduced "CH01" "An exception that was injected on purpose." "Working as told: lower the chaos level or abort the drill to end it.";
    ChaosExperiment "CH02" "There is no such game day, or its file is not valid." "`fizzops gameday list` shows those that there are.";
    ChaosConfiguration "CH03" "A chaos setting is impossible." "Levels are 1 to 5; fault types are listed in the chaos section's documentation.";
    CorruptionDetected "CH04" "An answer differs from the right one." "Find the fault that was active at that moment; the SLO tab counts it against accuracy.";
    Flags "FF00" "Feature flags failed." "The last good definitions stay in force.";
    FlagNotFound "FF01" "There is no such flag." "The message names the nearest one; `fizzops flags list` shows all.";
    FlagCycle "FF02" "Flags depend on each other in a circle." "Remove one of the dependencies on the path that the message names.";
    FlagLifecycle "FF03" "A flag cannot go from its state to that one." "CREATED to ACTIVE or ARCHIVED, ACTIVE to DEPRECATED, DEPRECATED to ARCHIVED.";
    FlagDependency "FF04" "A flag that this one depends on is off." "Turn the dependency on first.";
    FlagRollout "FF05" "A rollout percentage is not between 0 and 100, or weights are impossible." "Correct the flag's percentage, or its weights: whole numbers that sum to at most 2147483647.";
    FlagTargeting "FF06" "A targeting rule is missing or of an unknown kind." "Kinds: prime, even, odd, range, modulo; a file's rules are JSONLogic, see `fizzops flags validate`.";
    Slo "SL00" "The SLO mechanism failed." "Check the sla section of the configuration.";
    SloViolation "SL01" "A service level is below its objective." "The SLOs tab says what ate the budget and how long it lasts.";
    BudgetExhausted "SL02" "An error budget is used up." "Stop what spends it (drills, rollouts) until the window has moved on.";
    Escalation "SL03" "An alert could not be escalated." "Check the escalation chain under sla.";
    NobodyOnCall "SL04" "Nobody is on call." "Name at least one engineer under sla.on_call.engineers.";
    SloConfiguration "SL05" "An SLO is defined impossibly." "Targets lie between 0 and 1, thresholds above 0.";
    Cache "CA00" "The cache failed." "Evaluations go on without it.";
    CacheCapacity "CA01" "The cache has no room that it may use." "Raise cache.max_size to at least 1.";
    CacheCoherence "CA02" "A cache line made a step that the coherence protocol does not know." "This is a defect of the program; please report the two states.";
    CacheExpired "CA03" "A cached answer is older than its time to live." "Nothing to do: the answer is computed again.";
    CacheWarming "CA04" "The cache could not be warmed." "Check the range under cache.warming.";
    CachePolicy "CA05" "There is no such eviction policy." "The message lists those that there are.";
    CacheCascade "CA06" "An invalidation set off more invalidations than allowed." "Invalidate by range instead of one by one.";
    CacheEulogy "CA07" "An eviction's farewell could not be written." "Harmless; the eviction itself is done.";
    RateLimited "RL00" "A rate limiter refused the call." "Wait for retry-after, or raise the limit.";
    BulkheadFull "RL01" "A bulkhead has no free place, nor one in its queue." "Lower the load or raise limits.bulkhead.";
    RetriesExhausted "RL02" "Every permitted attempt failed." "The first attempt's error is the cause; look there.";
    Repository "RP00" "The repository failed." "Check its path, space and permissions.";
    ResultNotFound "RP01" "There is no such result." "Check the id; results are kept as long as the repository is configured to.";
    UnitOfWork "RP02" "A unit of work was used after it ended." "This is a defect of the program; please report it.";
    Rollback "RP03" "A unit of work could not be rolled back." "The repository is unchanged since the last commit; open it again.";
    Migration "MG00" "A migration failed." "It was rolled back; the message names the statement.";
    MigrationNotFound "MG01" "There is no such migration." "`--migrate-status` lists them.";
    MigrationApplied "MG02" "The migration is applied already." "Nothing to do.";
    MigrationRollback "MG03" "The migration cannot be rolled back." "Restore the database from a copy.";
    MigrationDependency "MG04" "A migration that this one needs is not applied." "Apply them in order.";
    MigrationConflict "MG05" "An applied migration's checksum has changed." "The program and the database are of different versions.";
    MigrationSchema "MG06" "The schema is not what the migration expects." "The database was changed by hand; restore it or start a new one.";
    MigrationSeed "MG07" "Seed data could not be written." "Apply the first migration before seeding.";
    Outbox "OB00" "An event could not be delivered to its receiver." "It is kept: `fizzops outbox status` says what waits, `fizzops outbox retry` and `send` try again.";
    OutboxConfiguration "OB01" "The outbox is configured impossibly." "A receiver is an http://, https:// or file: address; the filter's fields are in `fizzops outbox --help`.";
    Recording "RC00" "The file is no session recording, or of a newer version." "Record with this version, or replay with the one that wrote the file.";
    RecordingDamaged "RC01" "A recording is cut or changed." "Everything up to the named chunk is shown; the rest is not trusted.";
}

impl ErrorCode {
    /// The code nearest to `text`, for an error message.
    pub fn nearest(text: &str) -> Option<Self> {
        let wanted = normal(text);
        Self::ALL.iter().copied().min_by_key(|code| strsim::damerau_levenshtein(&wanted, code.code()))
    }
}

fn normal(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    if upper.starts_with("EFP-") { upper } else { format!("EFP-{upper}") }
}

/// The text is no code of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no error code of the catalogue")]
pub struct UnknownCode(pub String);

impl FromStr for ErrorCode {
    type Err = UnknownCode;

    /// With or without the leading `EFP-`, in either case.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let wanted = normal(text);
        Self::ALL.iter().copied().find(|code| code.code() == wanted).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_own_and_reads_back() {
        let mut seen = std::collections::BTreeSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.code()), "{code} is there twice");
            assert_eq!(code.code().parse(), Ok(*code));
            assert_eq!(code.code().to_lowercase().trim_start_matches("efp-").parse(), Ok(*code));
            assert!(!code.meaning().is_empty() && !code.hint().is_empty());
        }
    }

    #[test]
    fn the_nearest_code_is_offered() {
        assert_eq!("CB99".parse::<ErrorCode>(), Err(UnknownCode("CB99".into())));
        assert_eq!(ErrorCode::nearest("cb0O"), Some(ErrorCode::CircuitOpen));
    }
}
