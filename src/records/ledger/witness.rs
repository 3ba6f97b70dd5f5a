//! A witness: it remembers the last checkpoint of each ledger that it has seen and co-signs another one only when that
//! continues it (C2SP tlog-witness, tlog-cosignature). Whoever trusts it cannot be shown two histories.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::hash::Hash;
use super::merkle::{ProofError, verify_consistency};
use super::note::{NoteSigner, SignatureLine, VerifierKey};
use super::proof_file::ConsistencyProof;
use crate::domain::ErrorCode;

/// What a witness remembers; kept in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessState {
    format: String,
    version: u32,
    logs: BTreeMap<String, Seen>,
}

const FORMAT: &str = "fizzops-witness";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    size: u64,
    root: Hash,
    /// As it was signed: the evidence, should another history turn up.
    checkpoint: String,
}

/// Why a witness does not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// Its checkpoint is not believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The proof begins elsewhere.
    #[error("the proof begins at size {found}; the witness has seen {seen} leaves of `{origin}`")]
    Conflict {
        /// Which ledger.
        origin: String,
        /// In the proof.
        found: u64,
        /// In the witness's memory.
        seen: u64,
    },
    /// Another history.
    #[error(
        "fork: at {seen} leaves `{origin}` had the root {root}, and what it shows now does not continue that ({reason}); \
         both signed checkpoints are the evidence"
    )]
    Fork {
        /// Which ledger.
        origin: String,
        /// In the witness's memory.
        seen: u64,
        /// In the witness's memory.
        root: Hash,
        /// What the proof leads to.
        reason: Box<ProofError>,
    },
    /// The file is none of its.
    #[error("the witness's state is of another format or version")]
    State,
}

impl WitnessRefusal {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::LedgerIntegrity
    }
}

impl Default for WitnessState {
    fn default() -> Self {
        Self { format: FORMAT.into(), version: 1, logs: BTreeMap::new() }
    }
}

impl WitnessState {
    /// Reads what [`serde_json`] wrote.
    ///
    /// # Errors
    /// [`WitnessRefusal::State`].
    pub fn read(bytes: &[u8]) -> Result<Self, WitnessRefusal> {
        let state: Self = serde_json::from_slice(bytes).map_err(|_| WitnessRefusal::State)?;
        if state.format == FORMAT && state.version == 1 { Ok(state) } else { Err(WitnessRefusal::State) }
    }

    /// How many leaves of this ledger it has seen: where a proof for it must begin.
    pub fn size(&self, origin: &str) -> u64 {
        self.logs.get(origin).map_or(0, |seen| seen.size)
    }

    /// Judges a checkpoint with its proof. When it continues what was seen, it is remembered, and here is the
    /// cosignature, which must not be handed out before the state is on disk. `time` is in seconds since the epoch.
    ///
    /// # Errors
    /// [`WitnessRefusal`]; nothing is remembered then.
    pub fn judge(
        &mut self,
        request: &ConsistencyProof,
        key: &VerifierKey,
        witness: &NoteSigner,
        time: u64,
    ) -> Result<(Checkpoint, SignatureLine), WitnessRefusal> {
        let text = request.checkpoint.to_string();
        let (checkpoint, _) = Checkpoint::open(text.as_bytes(), key)?;
        let origin = checkpoint.origin.clone();
        match self.logs.get(&origin) {
            Some(seen) => {
                let fork = |reason| WitnessRefusal::Fork {
                    origin: origin.clone(),
                    seen: seen.size,
                    root: seen.root,
                    reason: Box::new(reason),
                };
                if checkpoint.size < seen.size {
                    return Err(fork(ProofError::Shrunk { old: seen.size, new: checkpoint.size }));
                }
                if request.old != seen.size {
                    return Err(WitnessRefusal::Conflict { origin, found: request.old, seen: seen.size });
                }
                verify_consistency(seen.size, checkpoint.size, &seen.root, &checkpoint.root, &request.path)
                    .map_err(fork)?;
            }
            None if request.old != 0 => {
                return Err(WitnessRefusal::Conflict { origin, found: request.old, seen: 0 });
            }
            None => {}
        }
        let seen = Seen { size: checkpoint.size, root: checkpoint.root, checkpoint: text };
        self.logs.insert(origin, seen);
        let line = witness.sign(&request.checkpoint.text, time);
        Ok((checkpoint, line))
    }
}
