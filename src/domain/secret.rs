//! A secret: it is handed on and compared, and never shown. It has no `Display` and no `Serialize`; its memory is
//! overwritten when it is dropped.

use zeroize::Zeroizing;

/// Bytes that must not be seen.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for the one computation that needs them. Whoever calls this must not print, log or keep them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are the same, in a time that depends on the lengths alone.
    pub fn matches(&self, other: &[u8]) -> bool {
        let differing = self.0.iter().zip(other).fold(0, |all, (one, another)| all | (one ^ another));
        std::hint::black_box(differing) == 0 && self.0.len() == other.len()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {secret:#?} {:?}", Some(&secret)), "[secret] [secret] Some([secret])");
        assert!(secret.matches(b"hunter2"));
        for other in ["hunter", "hunter22", "hunter3", ""] {
            assert!(!secret.matches(other.as_bytes()), "{other}");
        }
    }
}
