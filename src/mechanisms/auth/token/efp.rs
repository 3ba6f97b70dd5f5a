//! The platform's own tokens: `EFP.<base64url of JSON>.<hexadecimal HMAC-SHA256 over the middle>`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::{Algorithm, Claims, Policy, TokenError, check_secret, read_claims};
use crate::domain::Secret;
use crate::mechanisms::auth::Role;

/// The primes that a token may like best.
const PRIMES: [u8; 15] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47];

/// How well a role knows Fizz and Buzz, 0 to 5.
const fn clearances(role: Role) -> (u8, u8) {
    match role {
        Role::Anonymous => (0, 0),
        Role::FizzReader => (2, 0),
        Role::BuzzAdmin => (2, 4),
        Role::FizzBuzzSuperuser => (5, 5),
        Role::NumberAuditor => (3, 3),
    }
}

fn mac(secret: &Secret, payload: &str) -> Result<Hmac<Sha256>, TokenError> {
    check_secret(secret, Algorithm::Efp)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose())
        .map_err(|_| TokenError::Key { algorithm: "EFP", problem: "it has an impossible length" })?;
    mac.update(payload.as_bytes());
    Ok(mac)
}

/// Issues one; `luck` chooses the favourite prime.
///
/// # Errors
/// [`TokenError::Key`].
pub fn issue(claims: &Claims, secret: &Secret, luck: u8) -> Result<String, TokenError> {
    let (fizz, buzz) = clearances(claims.role);
    // In the order of their names, as the form asks for.
    let payload = json!({
        "buzz_clearance_level": buzz,
        "exp": claims.exp,
        "favorite_prime": PRIMES[usize::from(luck) % PRIMES.len()],
        "fizz_clearance_level": fizz,
        "iat": claims.iat,
        "iss": claims.iss,
        "jti": claims.jti,
        "role": claims.role.name(),
        "sub": claims.sub,
    });
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    let mac = mac(secret, &payload)?.finalize().into_bytes();
    let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("EFP.{payload}.{mac}"))
}

/// Checks one: form, signature, claims, times, issuer. `now` in seconds since the epoch. Revocation is looked up after.
///
/// # Errors
/// [`TokenError`].
pub fn verify(token: &str, secret: &Secret, policy: &Policy, now: f64) -> Result<Claims, TokenError> {
    let parts: Vec<&str> = token.split('.').collect();
    let ["EFP", payload, signature] = parts[..] else {
        return Err(TokenError::Malformed("it is written EFP.CLAIMS.SIGNATURE"));
    };
    if signature.len() != 64 || !signature.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(TokenError::Malformed("its signature is not 64 hexadecimal digits; it may have been cut short"));
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        let digits = signature.get(place * 2..place * 2 + 2).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).map_err(|_| TokenError::Signature)?;
    }
    // Compared in constant time.
    mac(secret, payload)?.verify_slice(&bytes).map_err(|_| TokenError::Signature)?;
    let claims = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed("its claims are not base64url"))?;
    let claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed("its claims are not JSON"))?;
    let claims = read_claims(&claims)?;
    claims.check(policy, now)?;
    Ok(claims)
}
