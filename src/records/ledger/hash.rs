//! A SHA-256 and how it is written: hexadecimal where people read it, base64 where C2SP's formats do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

/// The text or the bytes are no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lower-case hexadecimal digits")]
pub struct NoHash;

impl Hash {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Whether it begins with this many zero digits.
    pub fn has_zeros(&self, digits: u32) -> bool {
        let digits = digits as usize;
        let whole = self.0.iter().take(digits / 2).all(|byte| *byte == 0);
        whole && (digits.is_multiple_of(2) || self.0.get(digits / 2).is_some_and(|byte| byte >> 4 == 0))
    }

    /// As C2SP's formats write it: base64 with padding.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads [`Hash::base64`]; no other spelling of the same bytes is taken.
    ///
    /// # Errors
    /// [`NoHash`] for anything else.
    pub fn from_base64(text: &str) -> Result<Self, NoHash> {
        STANDARD.decode(text).ok().and_then(|bytes| bytes.as_slice().try_into().ok()).ok_or(NoHash)
    }

    /// Its first digits, for where there is little room.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = NoHash;

    fn try_from(bytes: &[u8]) -> Result<Self, NoHash> {
        bytes.try_into().map(Self).map_err(|_| NoHash)
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = NoHash;

    fn try_from(text: String) -> Result<Self, NoHash> {
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NoHash);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(at * 2..at * 2 + 2).ok_or(NoHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NoHash)?;
        }
        Ok(Self(bytes))
    }
}
