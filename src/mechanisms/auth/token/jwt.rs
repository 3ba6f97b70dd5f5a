//! JWT (RFC 7519) by the crate `jsonwebtoken`: RS256, ES256, and HS256 where development is switched on. The header is
//! looked at before anything else; times are checked against the time that is given.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm as Jws, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};

use super::{Algorithm, Claims, Policy, TokenError, check_secret, read_claims};
use crate::domain::Secret;

/// A key for one algorithm.
pub struct JwtKey {
    algorithm: Algorithm,
    jws: Jws,
    signing: Option<EncodingKey>,
    verifying: Option<DecodingKey>,
}

impl std::fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JwtKey({}, [secret])", self.algorithm.name())
    }
}

impl JwtKey {
    /// Of PEM texts: the private one signs, the public one verifies. For ES256 the public one follows from the private.
    ///
    /// # Errors
    /// [`TokenError::Key`].
    pub fn asymmetric(
        algorithm: Algorithm,
        private: Option<&Secret>,
        public: Option<&[u8]>,
    ) -> Result<Self, TokenError> {
        let name = algorithm.name();
        let wrong = |problem| TokenError::Key { algorithm: name, problem };
        let private_wrong = || wrong("the private key is not a PEM of this algorithm");
        let public_wrong = || wrong("the public key is not a PEM of this algorithm");
        let (jws, signing, verifying) = match algorithm {
            Algorithm::Rs256 => (
                Jws::RS256,
                private.map(|key| EncodingKey::from_rsa_pem(key.expose())).transpose().map_err(|_| private_wrong())?,
                public.map(DecodingKey::from_rsa_pem).transpose().map_err(|_| public_wrong())?,
            ),
            Algorithm::Es256 => {
                let derived = match (private, public) {
                    (Some(private), None) => Some(public_pem(private).ok_or_else(private_wrong)?),
                    _ => None,
                };
                let public = public.or(derived.as_deref().map(str::as_bytes));
                (
                    Jws::ES256,
                    private
                        .map(|key| EncodingKey::from_ec_pem(key.expose()))
                        .transpose()
                        .map_err(|_| private_wrong())?,
                    public.map(DecodingKey::from_ec_pem).transpose().map_err(|_| public_wrong())?,
                )
            }
            Algorithm::Efp | Algorithm::Hs256 => return Err(wrong("it needs a shared secret")),
        };
        Ok(Self { algorithm, jws, signing, verifying })
    }

    /// Of a shared secret, where development is switched on.
    ///
    /// # Errors
    /// [`TokenError::Development`], [`TokenError::Key`].
    pub fn shared(secret: &Secret, development: bool) -> Result<Self, TokenError> {
        if !development {
            return Err(TokenError::Development);
        }
        check_secret(secret, Algorithm::Hs256)?;
        Ok(Self {
            algorithm: Algorithm::Hs256,
            jws: Jws::HS256,
            signing: Some(EncodingKey::from_secret(secret.expose())),
            verifying: Some(DecodingKey::from_secret(secret.expose())),
        })
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`TokenError::Key`] without a private key.
    pub fn issue(&self, claims: &Claims, policy: &Policy) -> Result<String, TokenError> {
        let wrong = |problem| TokenError::Key { algorithm: self.algorithm.name(), problem };
        let key = self.signing.as_ref().ok_or_else(|| wrong("signing needs the private key"))?;
        let body = json!({
            "iss": claims.iss,
            "aud": policy.audience,
            "sub": claims.sub,
            "role": claims.role.name(),
            // NumericDate; whole seconds, as most readers expect.
            "iat": claims.iat as u64,
            "exp": claims.exp as u64,
            "jti": claims.jti,
        });
        encode(&Header::new(self.jws), &body, key).map_err(|_| wrong("it does not sign"))
    }

    /// Checks one: header, signature, claims, times, issuer, audience. `now` in seconds since the epoch. Revocation is
    /// looked up after.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, policy: &Policy, now: f64) -> Result<Claims, TokenError> {
        let wanted = self.algorithm.name();
        let parts: Vec<&str> = token.split('.').collect();
        let [header, body, signature] = parts[..] else {
            return Err(TokenError::Malformed("it is written HEADER.CLAIMS.SIGNATURE"));
        };
        let header = URL_SAFE_NO_PAD.decode(header).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let header = header.ok_or(TokenError::Malformed("its header is not JSON in base64url"))?;
        let found = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Malformed("its header has no alg"))?;
        if found != wanted {
            // `none` in any case is one of them.
            let found: String = found.chars().filter(char::is_ascii_graphic).take(16).collect();
            return Err(TokenError::Algorithm { found, wanted });
        }
        if header.get("crit").is_some() {
            return Err(TokenError::Malformed("its header asks for extensions"));
        }
        if signature.is_empty() {
            return Err(TokenError::Signature);
        }
        let problem = "verifying needs the public key";
        let key = self.verifying.as_ref().ok_or(TokenError::Key { algorithm: wanted, problem })?;
        let mut validation = Validation::new(self.jws);
        // Times are checked below, against the time that is given; audience and issuer too, so that each is named.
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        validation.required_spec_claims.clear();
        let body = URL_SAFE_NO_PAD.decode(body).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let body = decode::<Value>(token, key, &validation).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenError::Signature,
            ErrorKind::Base64(_) => TokenError::Malformed("a part is not base64url"),
            // The signature is right then, and what it signs is not: it is told which claim.
            ErrorKind::Json(_) | ErrorKind::Utf8(_) => body
                .and_then(|value| read_claims(&value).err())
                .unwrap_or(TokenError::Malformed("its claims are not JSON, or one is of another type")),
            _ => TokenError::Signature,
        })?;
        let claims = read_claims(&body.claims)?;
        claims.check(policy, now)?;
        if let Some(begins) = body.claims.get("nbf") {
            let begins = begins.as_f64().ok_or(TokenError::Claim("nbf"))?;
            if begins > now + policy.skew as f64 {
                return Err(TokenError::Early((begins - now) as u64));
            }
        }
        let meant = match body.claims.get("aud") {
            Some(Value::String(audience)) => *audience == policy.audience,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&policy.audience)),
            _ => return Err(TokenError::Claim("aud")),
        };
        if meant { Ok(claims) } else { Err(TokenError::Audience { wanted: policy.audience.clone() }) }
    }
}

/// A private key for ES256 of random bytes, as PEM; `None` for the few bytes that are no key.
pub fn new_es256(bytes: &[u8; 32]) -> Option<Secret> {
    use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
    let key = p256::SecretKey::from_slice(bytes).ok()?;
    key.to_pkcs8_pem(LineEnding::LF).ok().map(|pem| Secret::new(pem.as_bytes()))
}

/// The public half of a private key for ES256, as PEM.
pub fn public_pem(private: &Secret) -> Option<String> {
    use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
    let key = p256::SecretKey::from_pkcs8_pem(std::str::from_utf8(private.expose()).ok()?).ok()?;
    key.public_key().to_public_key_pem(LineEnding::LF).ok()
}
