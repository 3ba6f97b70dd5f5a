//! Tokens: who somebody is and in which role, signed. Two forms: the platform's own (`EFP.…`, HMAC-SHA256) and JWT. A key
//! has one algorithm; a token with another one is refused before its signature is looked at. Time and random bytes are
//! given; keys come from outside and are never told.

pub mod efp;
pub mod jwt;
mod revocation;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use revocation::RevocationList;

use super::Role;
use crate::domain::{ErrorCode, Secret};

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// The platform's own form.
    #[default]
    #[serde(rename = "EFP")]
    Efp,
    /// JWT with RSA.
    #[serde(rename = "RS256")]
    Rs256,
    /// JWT with P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// JWT with a shared secret; for development.
    #[serde(rename = "HS256")]
    Hs256,
}

impl Algorithm {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Efp => "EFP",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
        }
    }

    /// Whether both sides share the key.
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::Efp | Self::Hs256)
    }
}

/// What a valid token says. Times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Who.
    pub sub: String,
    /// In which role.
    pub role: Role,
    /// Who issued it.
    pub iss: String,
    /// When.
    pub iat: f64,
    /// Until when.
    pub exp: f64,
    /// Its id, for revocation.
    pub jti: String,
}

/// What every token is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The only issuer.
    pub issuer: String,
    /// The only audience; the platform's own form has none.
    pub audience: String,
    /// How far clocks may differ, seconds.
    pub skew: u64,
}

/// Why a token is refused. No part of a token or a key is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is something else, or was cut short.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// It is signed with another key, or was changed.
    #[error("the token's signature is wrong: it was changed or signed with another key")]
    Signature,
    /// It is signed another way.
    #[error("the token is signed with {found}; this key is for {wanted} alone")]
    Algorithm {
        /// In its header.
        found: String,
        /// The key's.
        wanted: &'static str,
    },
    /// A claim is missing or of the wrong type.
    #[error("the token's claim `{0}` is missing or impossible")]
    Claim(&'static str),
    /// It is too old.
    #[error("the token expired {0} seconds ago")]
    Expired(u64),
    /// It is from the future.
    #[error("the token is not valid yet: it begins {0} seconds from now")]
    Early(u64),
    /// Somebody else issued it.
    #[error("the token's issuer is not `{wanted}`")]
    Issuer {
        /// The only one.
        wanted: String,
    },
    /// It is for somebody else.
    #[error("the token's audience is not `{wanted}`")]
    Audience {
        /// The only one.
        wanted: String,
    },
    /// It names no role.
    #[error("the token's role is unknown")]
    Role,
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
    /// Nobody can say whether it was taken back.
    #[error("the token's status cannot be verified, so it is refused: {0}")]
    Status(String),
    /// The key cannot be used.
    #[error("the key cannot be used for {algorithm}: {problem}")]
    Key {
        /// For what.
        algorithm: &'static str,
        /// Why.
        problem: &'static str,
    },
    /// A shared secret outside of development.
    #[error("HS256 shares its secret with everybody who verifies; it needs rbac.development: true, or use ES256")]
    Development,
}

impl TokenError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Key { .. } | Self::Development => ErrorCode::Configuration,
            _ => ErrorCode::Token,
        }
    }
}

/// The least length of a shared secret, bytes.
pub const SECRET_LEAST: usize = 32;

/// A shared secret, if it can be one: long enough, and no key of another algorithm.
///
/// # Errors
/// [`TokenError::Key`].
pub fn check_secret(secret: &Secret, algorithm: Algorithm) -> Result<(), TokenError> {
    let wrong = |problem| Err(TokenError::Key { algorithm: algorithm.name(), problem });
    if secret.expose().len() < SECRET_LEAST {
        return wrong("a shared secret has at least 32 characters");
    }
    if secret.expose().windows(10).any(|part| part == b"-----BEGIN") {
        return wrong("it is a PEM key, and a public key is no secret");
    }
    Ok(())
}

impl Claims {
    /// Checks times and issuer; `now` in seconds since the epoch.
    pub(crate) fn check(&self, policy: &Policy, now: f64) -> Result<(), TokenError> {
        let skew = policy.skew as f64;
        if self.sub.is_empty() {
            return Err(TokenError::Claim("sub"));
        }
        if self.jti.is_empty() {
            return Err(TokenError::Claim("jti"));
        }
        if !self.iat.is_finite() || self.iat < 0.0 {
            return Err(TokenError::Claim("iat"));
        }
        if !self.exp.is_finite() || self.exp <= self.iat {
            return Err(TokenError::Claim("exp"));
        }
        // A cast of a number that is not negative; what is beyond u64 is its end.
        if now >= self.exp + skew {
            return Err(TokenError::Expired((now - self.exp) as u64));
        }
        if self.iat > now + skew {
            return Err(TokenError::Early((self.iat - now) as u64));
        }
        if self.iss != policy.issuer {
            return Err(TokenError::Issuer { wanted: policy.issuer.clone() });
        }
        Ok(())
    }
}

/// The claims that every token must have, read one by one so that the missing one is named.
pub(crate) fn read_claims(value: &serde_json::Value) -> Result<Claims, TokenError> {
    let text = |name: &'static str| value.get(name).and_then(|claim| claim.as_str()).ok_or(TokenError::Claim(name));
    let time = |name: &'static str| value.get(name).and_then(|claim| claim.as_f64()).ok_or(TokenError::Claim(name));
    let (sub, role) = (text("sub")?, text("role")?);
    let (iat, exp) = (time("iat")?, time("exp")?);
    let (jti, iss) = (text("jti")?, text("iss")?);
    let role = Role::ALL.into_iter().find(|known| known.name() == role).ok_or(TokenError::Role)?;
    Ok(Claims { sub: sub.to_owned(), role, iss: iss.to_owned(), iat, exp, jti: jti.to_owned() })
}
