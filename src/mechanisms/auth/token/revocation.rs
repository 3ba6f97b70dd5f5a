//! Tokens that were taken back. The list fails closed: one that cannot be read refuses every token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Claims, TokenError};

/// The ids of revoked tokens, with when and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationList {
    format: String,
    version: u32,
    revoked: BTreeMap<String, u64>,
}

const FORMAT: &str = "fizzops-revocations";

impl Default for RevocationList {
    fn default() -> Self {
        Self { format: FORMAT.into(), version: 1, revoked: BTreeMap::new() }
    }
}

impl RevocationList {
    /// Reads one; `bytes` is what reading its file gave.
    ///
    /// # Errors
    /// [`TokenError::Status`] when it was not read or is something else.
    pub fn read(bytes: std::io::Result<Vec<u8>>) -> Result<Self, TokenError> {
        let status = |problem: String| TokenError::Status(problem);
        let bytes = bytes.map_err(|error| status(format!("the list of revoked tokens cannot be read: {error}")))?;
        let list: Self = serde_json::from_slice(&bytes)
            .map_err(|error| status(format!("the list of revoked tokens is damaged: {error}")))?;
        if list.format != FORMAT || list.version != 1 {
            return Err(status("the list of revoked tokens is of another format or version".into()));
        }
        Ok(list)
    }

    /// Takes a token back; `at` in seconds since the epoch. Whether it was not on the list yet.
    pub fn revoke(&mut self, jti: &str, at: u64) -> bool {
        self.revoked.insert(jti.to_owned(), at).is_none()
    }

    /// Whether these claims' token was taken back.
    ///
    /// # Errors
    /// [`TokenError::Revoked`].
    pub fn check(&self, claims: &Claims) -> Result<(), TokenError> {
        if self.revoked.contains_key(&claims.jti) { Err(TokenError::Revoked) } else { Ok(()) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }
}
