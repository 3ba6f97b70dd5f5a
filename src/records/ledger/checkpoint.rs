//! Checkpoints (C2SP tlog-checkpoint): the size and the root of a ledger's tree, signed.

use std::fmt;

use super::hash::Hash;
use super::note::{Note, NoteError, NoteSigner, VerifierKey};
use crate::domain::ErrorCode;

/// A tree's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Further lines, which ours never have.
    pub extensions: Vec<String>,
}

/// Why a checkpoint is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is something else.
    #[error("this is no checkpoint: {0}")]
    Form(&'static str),
    /// It is another ledger's.
    #[error("it is a checkpoint of `{found}`, and not of `{wanted}`")]
    Origin {
        /// In it.
        found: String,
        /// Asked for.
        wanted: String,
    },
}

impl CheckpointError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::LedgerIntegrity
    }
}

/// A decimal number as C2SP's formats write it: no sign, no leading zeroes.
pub(super) fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

impl Checkpoint {
    /// Signs it.
    pub fn sign(&self, signer: &NoteSigner) -> Note {
        let text = self.to_string();
        let signature = signer.sign(&text, 0);
        Note { text, signatures: vec![signature] }
    }

    /// Reads a note's text, whoever signed it.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn of_note(note: &Note) -> Result<Self, CheckpointError> {
        let text = note.text.strip_suffix('\n').ok_or(CheckpointError::Form("its last line is cut off"))?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Form("it has fewer than three lines"));
        };
        let size = decimal(size).ok_or(CheckpointError::Form("its second line is no size"))?;
        let root = Hash::from_base64(root).map_err(|_| CheckpointError::Form("its third line is no hash"))?;
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        if origin.is_empty() || extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Form("it has an empty line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Reads a note, whose text must be a checkpoint of the ledger whose key this is, signed with it.
    ///
    /// # Errors
    /// [`CheckpointError`] says what is wrong.
    pub fn open(bytes: &[u8], key: &VerifierKey) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Self::of_note(&note)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin { found: checkpoint.origin, wanted: key.name().to_owned() });
        }
        key.verify(&note)?;
        Ok((checkpoint, note))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root.base64())?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
