//! A limit for each key, in bounded memory.

use std::collections::BTreeMap;

use super::super::LimitsError;
use super::{Allowed, Limited, Limiter, LimiterConfig};
use crate::domain::Timestamp;

/// A limit for each caller. Keys that are as good as new are forgotten; when there are too many that are not, the
/// further ones share one limit, so that making up keys frees nobody from it.
///
/// ```
/// use fizzops::domain::Timestamp;
/// use fizzops::mechanisms::limits::{KeyedLimiter, LimiterConfig};
///
/// let config = LimiterConfig { limit: "1/minute".parse()?, ..LimiterConfig::default() };
/// let now = Timestamp::from_millis(1_000);
/// let mut limits = KeyedLimiter::new(&config, 1_000, now)?;
/// assert!(limits.check("user:ada", now).is_ok());
/// assert!(limits.check("user:ada", now).is_err());
/// assert!(limits.check("ip:192.0.2.7", now).is_ok());
/// # Ok::<(), fizzops::mechanisms::limits::LimitsError>(())
/// ```
#[derive(Debug)]
pub struct KeyedLimiter {
    config: LimiterConfig,
    most: usize,
    limits: BTreeMap<String, Limiter>,
    /// For the keys that there was no room for.
    shared: Limiter,
    /// No sweep before this moment: nothing can have become idle.
    next_sweep: Timestamp,
}

impl KeyedLimiter {
    /// Limits as `config` says for up to `most` keys at a time.
    ///
    /// # Errors
    /// [`LimitsError::Configuration`] names the key with an impossible value.
    pub fn new(config: &LimiterConfig, most: usize, now: Timestamp) -> Result<Self, LimitsError> {
        let shared = Limiter::new(config, now)?;
        Ok(Self { config: config.clone(), most, limits: BTreeMap::new(), shared, next_sweep: now })
    }

    /// Asks for one call by `key`.
    ///
    /// # Errors
    /// [`Limited`] with the time until the next one is allowed.
    pub fn check(&mut self, key: &str, now: Timestamp) -> Result<Allowed, Limited> {
        if let Some(limit) = self.limits.get_mut(key) {
            return limit.check(now);
        }
        if self.limits.len() >= self.most && now >= self.next_sweep {
            self.limits.retain(|_, limit| !limit.is_idle(now));
            // A sweep looks at every key, so there is one in a tenth of the span at most.
            self.next_sweep = now + self.config.limit.per() / 10;
        }
        if self.limits.len() >= self.most {
            return self.shared.check(now);
        }
        // The same configuration made the shared limit, so that it makes this one too.
        let Ok(mut limit) = Limiter::new(&self.config, now) else { return self.shared.check(now) };
        let answer = limit.check(now);
        self.limits.insert(key.to_owned(), limit);
        answer
    }

    /// Forgets one key; whether there was one.
    pub fn reset(&mut self, key: &str) -> bool {
        self.limits.remove(key).is_some()
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.limits.clear();
    }

    /// Keys that are remembered.
    pub fn len(&self) -> usize {
        self.limits.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }
}
