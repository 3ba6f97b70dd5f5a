//! Proofs as files: an entry's (C2SP tlog-proof), and that one tree continues another (the request of C2SP tlog-witness).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError, decimal};
use super::hash::Hash;
use super::merkle::{ProofError, leaf_hash, verify_consistency, verify_inclusion};
use super::note::{Note, VerifierKey};
use crate::domain::ErrorCode;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// No path is longer (C2SP tlog-witness).
const PATH_LIMIT: usize = 63;

/// Why a proof is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// It is something else.
    #[error("this is no proof: {0}")]
    Form(&'static str),
    /// Its checkpoint is not believed.
    #[error("the proof's checkpoint is not believed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// It proves nothing.
    #[error("the proof does not hold: {0}")]
    Proof(#[from] ProofError),
}

impl ProofFileError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::LedgerIntegrity
    }
}

/// That an entry is in a ledger, checked by anybody with the ledger's public key alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The entry's bytes, so that whoever has the file has what it proves; they are believed once the proof holds.
    pub entry: Option<Vec<u8>>,
    /// Its place, from 0.
    pub index: u64,
    /// From the entry's sibling up.
    pub path: Vec<Hash>,
    /// The checkpoint that it leads to.
    pub checkpoint: Note,
}

impl InclusionProof {
    /// Checks it: the checkpoint's signature, then that the entry leads to its root.
    ///
    /// # Errors
    /// [`ProofFileError`] says what does not hold.
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<Checkpoint, ProofFileError> {
        let (checkpoint, _) = Checkpoint::open(self.checkpoint.to_string().as_bytes(), key)?;
        verify_inclusion(&leaf_hash(entry), self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let (mut lines, checkpoint) = halves(bytes)?;
        if lines.next() != Some(HEADER) {
            return Err(ProofFileError::Form("its first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let mut line = lines.next();
        let mut entry = None;
        if let Some(extra) = line.and_then(|line| line.strip_prefix("extra ")) {
            entry = Some(STANDARD.decode(extra).map_err(|_| ProofFileError::Form("its entry is not base64"))?);
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(ProofFileError::Form("it has no index"))?;
        Ok(Self { entry, index, path: path(lines)?, checkpoint })
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(entry) = &self.entry {
            writeln!(f, "extra {}", STANDARD.encode(entry))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", hash.base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// That a checkpoint's tree begins with an older tree: what a witness is asked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The older tree's size.
    pub old: u64,
    /// RFC 6962, section 2.1.2.
    pub path: Vec<Hash>,
    /// The checkpoint of the newer tree.
    pub checkpoint: Note,
}

impl ConsistencyProof {
    /// Checks it against the older checkpoint, which whoever asks has kept.
    ///
    /// # Errors
    /// [`ProofFileError`] says what does not hold.
    pub fn verify(&self, old: &Checkpoint, key: &VerifierKey) -> Result<Checkpoint, ProofFileError> {
        let (checkpoint, _) = Checkpoint::open(self.checkpoint.to_string().as_bytes(), key)?;
        verify_consistency(old.size, checkpoint.size, &old.root, &checkpoint.root, &self.path)?;
        Ok(checkpoint)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let (mut lines, checkpoint) = halves(bytes)?;
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or(ProofFileError::Form("it does not begin with the old size"))?;
        Ok(Self { old, path: path(lines)?, checkpoint })
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", hash.base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// The lines before the first empty one, and the note after it.
fn halves(bytes: &[u8]) -> Result<(std::str::Split<'_, char>, Note), ProofFileError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ProofFileError::Form("it is not UTF-8"))?;
    let (head, note) = text.split_once("\n\n").ok_or(ProofFileError::Form("it has no checkpoint"))?;
    let note = Note::parse(note.as_bytes()).map_err(CheckpointError::from)?;
    Ok((head.split('\n'), note))
}

fn path<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, ProofFileError> {
    let path = lines.map(Hash::from_base64).collect::<Result<Vec<_>, _>>();
    let path = path.map_err(|_| ProofFileError::Form("one of its lines is no hash"))?;
    if path.len() > PATH_LIMIT { Err(ProofFileError::Form("it has more than 63 hashes")) } else { Ok(path) }
}
