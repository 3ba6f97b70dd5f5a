//! Passwords of a configured user store: Argon2id (RFC 9106). Hashing needs a salt from outside; verifying an unknown user
//! takes as long as verifying a known one.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use serde::{Deserialize, Serialize};

use super::Role;
use crate::domain::Secret;

/// Memory in KiB, passes and lanes: 19 MiB, 2 and 1, the least of the usual guidance.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// A hash that fits no password: what an unknown user's is compared with.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A user of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The password's hash, as `fizzops token hash-password` prints it.
    pub password_hash: String,
}

/// The password cannot be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PasswordError(&'static str);

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(COST.0, COST.1, COST.2, None).map_err(|_| PasswordError("the cost is impossible"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The hash of a password, as a PHC string.
///
/// # Errors
/// [`PasswordError`] for an empty password.
pub fn hash(password: &Secret, salt: &[u8; 16]) -> Result<String, PasswordError> {
    if password.expose().is_empty() {
        return Err(PasswordError("an empty password protects nothing"));
    }
    let hash = argon2()?.hash_password_with_salt(password.expose(), salt);
    hash.map(|hash| hash.to_string()).map_err(|_| PasswordError("the password cannot be hashed"))
}

fn fits(password: &Secret, hash: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(hash) else { return false };
    argon2().is_ok_and(|argon2| argon2.verify_password(password.expose(), &parsed).is_ok())
}

/// The user with this name and password; `None` for a wrong password, an unknown name or an unreadable hash, which take
/// about the same time and are not told apart.
pub fn authenticate<'a>(users: &'a [User], name: &str, password: &Secret) -> Option<&'a User> {
    let user = users.iter().find(|user| user.name == name);
    let hash = user.map_or(NOBODY, |user| user.password_hash.as_str());
    let known = fits(password, hash) && !password.expose().is_empty();
    user.filter(|_| known)
}

/// Whether a hash should be made anew: it is unreadable, of another kind, or cheaper than today's.
pub fn needs_rehash(hash: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(hash) else { return true };
    let params = Params::try_from(&parsed);
    parsed.algorithm.as_str() != "argon2id"
        || params
            .map_or(true, |params| params.m_cost() < COST.0 || params.t_cost() < COST.1 || params.p_cost() < COST.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hashed_with_argon2id_and_only_the_right_one_fits() {
        let right = Secret::new("correct horse");
        let hash = hash(&right, &[7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !needs_rehash(&hash), "{hash}");
        let users = [
            User { name: "ann".into(), role: Role::BuzzAdmin, password_hash: hash.clone() },
            User { name: "bob".into(), role: Role::FizzReader, password_hash: "plain".into() },
        ];
        assert_eq!(authenticate(&users, "ann", &right).unwrap().role, Role::BuzzAdmin);
        for (name, password) in [("ann", "wrong horse"), ("ann", ""), ("bob", "plain"), ("eve", "correct horse")] {
            assert_eq!(authenticate(&users, name, &Secret::new(password)), None, "{name}");
        }
        assert!(super::hash(&Secret::new(""), &[0; 16]).is_err());
        assert!(PasswordHash::new(NOBODY).is_ok(), "an unknown user's time is a known one's");
        for weak in [
            "",
            "plain",
            "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(needs_rehash(weak), "{weak}");
        }
        assert!(needs_rehash(&NOBODY.replace("m=19456", "m=1024")));
    }
}
