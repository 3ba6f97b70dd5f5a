//! Signed notes (C2SP signed-note) with Ed25519 keys: a text, and under it a line for each signature. The algorithm is
//! part of a key's id, so that others can be added.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::domain::{ErrorCode, Secret};

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The text itself: what a log signs its checkpoints with (signature type 1).
    Log,
    /// The text with a time: a witness's cosignature (signature type 4, C2SP tlog-cosignature).
    Witness,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Log),
            0x04 => Some(Self::Witness),
            _ => None,
        }
    }
}

/// Why a note or a key is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no note.
    #[error("this is no signed note: {0}")]
    Form(&'static str),
    /// It is no verifier key.
    #[error("this is no verifier key: {0}; it is written NAME+ID+KEY")]
    Key(&'static str),
    /// It is no private key. The text itself is never told.
    #[error("this is no private key of a ledger: {0}")]
    PrivateKey(&'static str),
    /// A key's name cannot be used.
    #[error("`{0}` is no name for a key: it must be some characters without white space and without `+`")]
    Name(String),
    /// Somebody else has signed it.
    #[error("it is signed by {found}, and not by {wanted}")]
    Unsigned {
        /// Who has.
        found: String,
        /// Who should have.
        wanted: String,
    },
    /// The signature is another text's.
    #[error("the signature by {0} does not fit the text: one of them was changed")]
    Signature(String),
}

impl NoteError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Name(_) => ErrorCode::Configuration,
            _ => ErrorCode::LedgerIntegrity,
        }
    }
}

fn name_is_valid(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|letter| letter.is_whitespace() || letter.is_control() || letter == '+')
}

fn key_id(name: &str, kind: KeyKind, key: &VerifyingKey) -> [u8; 4] {
    let hash =
        Sha256::new().chain_update(name).chain_update([b'\n', kind.byte()]).chain_update(key.as_bytes()).finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn hex4(id: [u8; 4]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A public key with its name: written and read as `NAME+ID+KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The signature line of this key in a note, checked; for a witness with the time of its cosignature, seconds since
    /// the epoch.
    ///
    /// # Errors
    /// [`NoteError`] when there is none or it does not fit.
    pub fn verify<'a>(&self, note: &'a Note) -> Result<(&'a SignatureLine, Option<u64>), NoteError> {
        let line = note.signatures.iter().find(|line| line.name == self.name && line.id == self.id);
        let line = line.ok_or_else(|| NoteError::Unsigned {
            found: note.signatures.iter().map(|line| line.key()).collect::<Vec<_>>().join(", "),
            wanted: format!("{} (key {})", self.name, hex4(self.id)),
        })?;
        let wrong = || NoteError::Signature(self.name.clone());
        let (time, signature) = match self.kind {
            KeyKind::Log => (None, line.signature.as_slice()),
            KeyKind::Witness => {
                let (time, signature) = line.signature.split_first_chunk::<8>().ok_or_else(wrong)?;
                (Some(u64::from_be_bytes(*time)), signature)
            }
        };
        let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
        let message = time.map_or_else(|| note.text.clone(), |time| cosigned(time, &note.text));
        self.key.verify_strict(message.as_bytes(), &signature).map_err(|_| wrong())?;
        Ok((line, time))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex4(self.id), STANDARD.encode(bytes))
    }
}

impl std::str::FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("a part is missing"));
        };
        if !name_is_valid(name) {
            return Err(NoteError::Name(name.to_owned()));
        }
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Key("the last part is not base64"))?;
        let (kind, key) = bytes.split_first().ok_or(NoteError::Key("the last part is empty"))?;
        let kind = KeyKind::of(*kind).ok_or(NoteError::Key("it is of another algorithm than Ed25519"))?;
        let key: &[u8; 32] = key.try_into().map_err(|_| NoteError::Key("the last part has not 33 bytes"))?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| NoteError::Key("it is no point of the curve"))?;
        let found = Self { name: name.to_owned(), kind, id: key_id(name, kind, &key), key };
        if hex4(found.id) == id { Ok(found) } else { Err(NoteError::Key("its id does not belong to its name and key")) }
    }
}

fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A private key with its name.
#[derive(Clone)]
pub struct NoteSigner {
    name: String,
    kind: KeyKind,
    key: SigningKey,
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({}, [secret])", self.name)
    }
}

impl NoteSigner {
    /// Of 32 random bytes.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, NoteError> {
        if !name_is_valid(name) {
            return Err(NoteError::Name(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), kind, key: SigningKey::from_bytes(seed) })
    }

    /// Its public half.
    pub fn verifier(&self) -> VerifierKey {
        let key = self.key.verifying_key();
        VerifierKey { name: self.name.clone(), kind: self.kind, id: key_id(&self.name, self.kind, &key), key }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As it is kept in a file: `PRIVATE+KEY+NAME+ID+KEY`, the form of other programs that sign notes.
    pub fn to_secret(&self) -> Secret {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend(self.key.as_bytes());
        let id = hex4(self.verifier().id);
        Secret::new(format!("PRIVATE+KEY+{}+{id}+{}\n", self.name, STANDARD.encode(bytes)))
    }

    /// Reads [`NoteSigner::to_secret`].
    ///
    /// # Errors
    /// [`NoteError::PrivateKey`], which does not tell what was read.
    pub fn from_secret(secret: &Secret) -> Result<Self, NoteError> {
        let text = std::str::from_utf8(secret.expose()).map_err(|_| NoteError::PrivateKey("it is not text"))?;
        let rest = text.trim().strip_prefix("PRIVATE+KEY+").ok_or(NoteError::PrivateKey("it has another beginning"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::PrivateKey("a part is missing"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::PrivateKey("its last part is not base64"))?;
        let (kind, seed) = bytes.split_first().ok_or(NoteError::PrivateKey("its last part is empty"))?;
        let kind = KeyKind::of(*kind).ok_or(NoteError::PrivateKey("it is of another algorithm than Ed25519"))?;
        let seed = seed.try_into().map_err(|_| NoteError::PrivateKey("its last part has not 33 bytes"))?;
        let found = Self::new(name, kind, seed)?;
        if hex4(found.verifier().id) == id {
            Ok(found)
        } else {
            Err(NoteError::PrivateKey("its id does not belong to its name and key"))
        }
    }

    /// Signs a text that ends with a line's end. A witness's signature has the `time` in it, seconds since the epoch.
    pub fn sign(&self, text: &str, time: u64) -> SignatureLine {
        let signature = match self.kind {
            KeyKind::Log => self.key.sign(text.as_bytes()).to_bytes().to_vec(),
            KeyKind::Witness => {
                let mut bytes = time.to_be_bytes().to_vec();
                bytes.extend(self.key.sign(cosigned(time, text).as_bytes()).to_bytes());
                bytes
            }
        };
        SignatureLine { name: self.name.clone(), id: self.verifier().id, signature }
    }
}

/// A signature in a note: `— NAME base64(ID, SIGNATURE)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl SignatureLine {
    /// The key's name and id.
    pub fn key(&self) -> String {
        format!("{} (key {})", self.name, hex4(self.id))
    }

    fn parse(line: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Form("a signature is written `— NAME SIGNATURE`");
        let (name, signature) =
            line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or_else(|| wrong.clone())?;
        let bytes = STANDARD.decode(signature).map_err(|_| wrong.clone())?;
        let (id, signature) = bytes.split_first_chunk::<4>().ok_or_else(|| wrong.clone())?;
        if !name_is_valid(name) || signature.is_empty() {
            return Err(wrong);
        }
        Ok(Self { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_vec();
        bytes.extend(&self.signature);
        writeln!(f, "— {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A text with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The text, which ends with a line's end.
    pub text: String,
    /// Who signed it.
    pub signatures: Vec<SignatureLine>,
}

/// No note of ours is longer.
const NOTE_LIMIT: usize = 64 * 1024;
/// Nor has more signatures (C2SP signed-note asks for room for at least 16).
const SIGNATURE_LIMIT: usize = 100;

impl Note {
    /// Reads one, to the byte.
    ///
    /// # Errors
    /// [`NoteError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_LIMIT {
            return Err(NoteError::Form("it is too long"));
        }
        let all = std::str::from_utf8(bytes).map_err(|_| NoteError::Form("it is not UTF-8"))?;
        if all.chars().any(|letter| letter != '\n' && letter < ' ') {
            return Err(NoteError::Form("it has control characters"));
        }
        let at = all.rfind("\n\n").ok_or(NoteError::Form("it has no empty line before its signatures"))?;
        let (text, below) = (all.get(..=at).unwrap_or_default(), all.get(at + 2..).unwrap_or_default());
        let below = below.strip_suffix('\n').ok_or(NoteError::Form("its last line is cut off"))?;
        let signatures = below.split('\n').map(SignatureLine::parse).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURE_LIMIT {
            return Err(NoteError::Form("it has too many signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}
