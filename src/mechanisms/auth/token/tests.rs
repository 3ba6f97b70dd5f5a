//! What is refused, claim by claim, in both forms.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use super::jwt::{JwtKey, new_es256, public_pem};
use super::*;

const NOW: f64 = 1_800_000_000.0;

fn policy() -> Policy {
    Policy { issuer: "issuer".into(), audience: "fizzops".into(), skew: 30 }
}

fn claims() -> Claims {
    Claims {
        sub: "ann".into(),
        role: Role::BuzzAdmin,
        iss: "issuer".into(),
        iat: NOW - 10.0,
        exp: NOW + 3_590.0,
        jti: "0b9f".into(),
    }
}

fn secret() -> Secret {
    Secret::new("0123456789abcdef0123456789abcdef")
}

fn es256() -> (JwtKey, Secret) {
    let private = new_es256(&[7; 32]).unwrap();
    (JwtKey::asymmetric(Algorithm::Es256, Some(&private), None).unwrap(), private)
}

/// A token of ours with other claims, signed with the right secret.
fn efp_with(change: impl FnOnce(&mut Value)) -> String {
    let token = efp::issue(&claims(), &secret(), 3).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let mut value: Value = serde_json::from_slice(&payload).unwrap();
    change(&mut value);
    let payload = URL_SAFE_NO_PAD.encode(value.to_string());
    let mac = Hmac::<Sha256>::new_from_slice(secret().expose()).unwrap().chain_update(&payload).finalize();
    let mac: String = mac.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("EFP.{payload}.{mac}")
}

/// The same as JWT.
fn jwt_with(
    key: &jsonwebtoken::EncodingKey,
    algorithm: jsonwebtoken::Algorithm,
    change: impl FnOnce(&mut Value),
) -> String {
    let mut value = json!({
        "iss": "issuer", "aud": "fizzops", "sub": "ann", "role": "BUZZ_ADMIN", "jti": "0b9f",
        "iat": NOW as u64 - 10, "exp": NOW as u64 + 3_590,
    });
    change(&mut value);
    jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), &value, key).unwrap()
}

/// Each claim missing, altered or of another type, with why it is refused.
fn wrong_claims() -> Vec<(&'static str, Value, TokenError)> {
    let mut all = Vec::new();
    for name in ["sub", "role", "iat", "exp", "jti", "iss"] {
        all.push((name, Value::Null, TokenError::Claim(name)));
        all.push((name, json!([1]), TokenError::Claim(name)));
    }
    all.extend([
        ("sub", json!(""), TokenError::Claim("sub")),
        ("jti", json!(""), TokenError::Claim("jti")),
        ("role", json!("KING"), TokenError::Role),
        ("role", json!("buzz_admin"), TokenError::Role),
        ("iss", json!("somebody"), TokenError::Issuer { wanted: "issuer".into() }),
        ("exp", json!(NOW as u64 - 100), TokenError::Claim("exp")),
        ("exp", json!("2099"), TokenError::Claim("exp")),
        ("iat", json!(NOW as u64 + 100), TokenError::Early(100)),
        ("iat", json!(-5), TokenError::Claim("iat")),
    ]);
    all
}

fn put(value: &mut Value, name: &str, claim: Value) {
    if claim.is_null() {
        value.as_object_mut().unwrap().remove(name);
    } else {
        value[name] = claim;
    }
}

#[test]
fn the_platforms_token_has_its_form_and_every_wrong_claim_is_named() {
    let token = efp::issue(&claims(), &secret(), 3).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    assert_eq!(
        String::from_utf8(payload).unwrap(),
        concat!(
            r#"{"buzz_clearance_level":4,"exp":1800003590.0,"favorite_prime":7,"fizz_clearance_level":2,"#,
            r#""iat":1799999990.0,"iss":"issuer","jti":"0b9f","role":"BUZZ_ADMIN","sub":"ann"}"#
        )
    );
    assert_eq!(efp::verify(&token, &secret(), &policy(), NOW), Ok(claims()));
    for (name, claim, error) in wrong_claims() {
        let token = efp_with(|value| put(value, name, claim.clone()));
        assert_eq!(efp::verify(&token, &secret(), &policy(), NOW), Err(error), "{name}: {claim}");
    }
    assert_eq!(efp::verify(&token, &secret(), &policy(), NOW + 3_700.0), Err(TokenError::Expired(110)));
    assert!(efp::verify(&token, &secret(), &policy(), NOW + 3_600.0).is_ok(), "clocks may differ by the skew");
    let other = Secret::new("another secret of at least 32 characters");
    assert_eq!(efp::verify(&token, &other, &policy(), NOW), Err(TokenError::Signature));
}

#[test]
fn jwt_with_es256_and_every_wrong_claim_is_named() {
    let (key, private) = es256();
    let token = key.issue(&claims(), &policy()).unwrap();
    assert_eq!(key.verify(&token, &policy(), NOW), Ok(claims()));
    let public = public_pem(&private).unwrap();
    let verifier = JwtKey::asymmetric(Algorithm::Es256, None, Some(public.as_bytes())).unwrap();
    assert_eq!(verifier.verify(&token, &policy(), NOW), Ok(claims()));
    assert!(matches!(verifier.issue(&claims(), &policy()), Err(TokenError::Key { .. })));
    let encoding = jsonwebtoken::EncodingKey::from_ec_pem(private.expose()).unwrap();
    let es256 = jsonwebtoken::Algorithm::ES256;
    for (name, claim, error) in wrong_claims() {
        let token = jwt_with(&encoding, es256, |value| put(value, name, claim.clone()));
        assert_eq!(key.verify(&token, &policy(), NOW), Err(error), "{name}: {claim}");
    }
    for (claim, error) in [
        (Value::Null, TokenError::Claim("aud")),
        (json!("others"), TokenError::Audience { wanted: "fizzops".into() }),
        (json!(["a", "b"]), TokenError::Audience { wanted: "fizzops".into() }),
    ] {
        let token = jwt_with(&encoding, es256, |value| put(value, "aud", claim));
        assert_eq!(key.verify(&token, &policy(), NOW), Err(error));
    }
    let token = jwt_with(&encoding, es256, |value| value["aud"] = json!(["a", "fizzops"]));
    assert_eq!(key.verify(&token, &policy(), NOW), Ok(claims()));
    let token = jwt_with(&encoding, es256, |value| value["nbf"] = json!(NOW as u64 + 500));
    assert_eq!(key.verify(&token, &policy(), NOW), Err(TokenError::Early(500)));
    assert_eq!(key.verify(&token, &policy(), NOW + 9_999.0), Err(TokenError::Expired(6_409)));
}

#[test]
fn jwt_with_rs256_and_every_wrong_claim_is_named() {
    // Made for this test alone; nothing else believes it.
    let private = Secret::new(include_str!("../../../../tests/it/data/rs256.pem"));
    let public = include_str!("../../../../tests/it/data/rs256.public.pem");
    let key = JwtKey::asymmetric(Algorithm::Rs256, Some(&private), Some(public.as_bytes())).unwrap();
    let token = key.issue(&claims(), &policy()).unwrap();
    let verifier = JwtKey::asymmetric(Algorithm::Rs256, None, Some(public.as_bytes())).unwrap();
    assert_eq!(verifier.verify(&token, &policy(), NOW), Ok(claims()));
    assert!(matches!(verifier.issue(&claims(), &policy()), Err(TokenError::Key { .. })));
    let encoding = jsonwebtoken::EncodingKey::from_rsa_pem(private.expose()).unwrap();
    for (name, claim, error) in wrong_claims() {
        let token = jwt_with(&encoding, jsonwebtoken::Algorithm::RS256, |value| put(value, name, claim.clone()));
        assert_eq!(verifier.verify(&token, &policy(), NOW), Err(error), "{name}: {claim}");
    }
    // The same key with another algorithm, and another key with the same one.
    for other in [jsonwebtoken::Algorithm::RS384, jsonwebtoken::Algorithm::PS256] {
        let token = jwt_with(&encoding, other, |_| {});
        assert!(matches!(verifier.verify(&token, &policy(), NOW), Err(TokenError::Algorithm { .. })));
    }
    let (es256, _) = es256();
    let foreign = es256.issue(&claims(), &policy()).unwrap();
    assert!(matches!(verifier.verify(&foreign, &policy(), NOW), Err(TokenError::Algorithm { .. })));
    assert!(matches!(es256.verify(&token, &policy(), NOW), Err(TokenError::Algorithm { .. })));
    let (head, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[17] ^= 1;
    let flipped = format!("{head}.{}", URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(verifier.verify(&flipped, &policy(), NOW), Err(TokenError::Signature));
}

#[test]
fn another_algorithm_is_refused_and_so_is_none() {
    let (key, private) = es256();
    let body = URL_SAFE_NO_PAD.encode(r#"{"sub":"ann"}"#);
    for alg in ["none", "None", "NONE", "nOnE", "HS256", "RS256", "ES384", "", "es256"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
        for signature in ["", "AAAA"] {
            let error = key.verify(&format!("{header}.{body}.{signature}"), &policy(), NOW);
            assert_eq!(error, Err(TokenError::Algorithm { found: alg.into(), wanted: "ES256" }), "{alg}");
        }
    }
    // The classical confusion: the public key as a shared secret.
    let public = public_pem(&private).unwrap();
    let confused = jsonwebtoken::EncodingKey::from_secret(public.as_bytes());
    let token = jwt_with(&confused, jsonwebtoken::Algorithm::HS256, |_| {});
    assert!(matches!(key.verify(&token, &policy(), NOW), Err(TokenError::Algorithm { .. })));
    assert!(matches!(JwtKey::shared(&Secret::new(public), true), Err(TokenError::Key { .. })));
    assert!(matches!(JwtKey::shared(&secret(), false), Err(TokenError::Development)));
    assert!(matches!(JwtKey::shared(&Secret::new("short"), true), Err(TokenError::Key { .. })));
    let shared = JwtKey::shared(&secret(), true).unwrap();
    let token = shared.issue(&claims(), &policy()).unwrap();
    assert_eq!(shared.verify(&token, &policy(), NOW), Ok(claims()));
    assert!(matches!(key.verify(&token, &policy(), NOW), Err(TokenError::Algorithm { .. })));
    assert!(matches!(JwtKey::asymmetric(Algorithm::Rs256, Some(&private), None), Err(TokenError::Key { .. })));
    let critical = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","crit":["b64"]}"#);
    assert!(matches!(key.verify(&format!("{critical}.{body}.AA"), &policy(), NOW), Err(TokenError::Malformed(_))));
    assert!(!format!("{key:?}{shared:?}").contains("0123456789"));
}

#[test]
fn revoked_tokens_are_refused_and_an_unreadable_list_refuses_all() {
    let mut list = RevocationList::default();
    assert_eq!(list.check(&claims()), Ok(()));
    assert!(list.revoke("0b9f", 5) && !list.revoke("0b9f", 6));
    assert_eq!((list.check(&claims()), list.len()), (Err(TokenError::Revoked), 1));
    let bytes = serde_json::to_vec(&list).unwrap();
    assert_eq!(RevocationList::read(Ok(bytes.clone())), Ok(list));
    let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
    for wrong in [Err(gone), Ok(Vec::new()), Ok(bytes[..bytes.len() / 2].to_vec()), Ok(b"{}".to_vec())] {
        assert!(matches!(RevocationList::read(wrong), Err(TokenError::Status(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_cut_or_flipped_token_passes(at in any::<prop::sample::Index>(), bit in 0u8..7, jwt in any::<bool>()) {
        let (key, _) = es256();
        let token = if jwt { key.issue(&claims(), &policy()).unwrap() } else { efp::issue(&claims(), &secret(), 0).unwrap() };
        let verify = |token: &str| if jwt {
            key.verify(token, &policy(), NOW)
        } else {
            efp::verify(token, &secret(), &policy(), NOW)
        };
        prop_assert!(verify(&token).is_ok());
        let place = at.index(token.len());
        prop_assert!(verify(&token[..place]).is_err());
        let mut bytes = token.clone().into_bytes();
        bytes[place] ^= 1 << bit;
        prop_assert!(verify(std::str::from_utf8(&bytes).unwrap()).is_err());
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        let (key, _) = es256();
        for token in [text, parts.join("."), format!("EFP.{}", parts.join("."))] {
            prop_assert!(key.verify(&token, &policy(), NOW).is_err());
            prop_assert!(efp::verify(&token, &secret(), &policy(), NOW).is_err());
        }
    }
}
