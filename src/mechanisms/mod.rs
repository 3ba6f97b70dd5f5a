//! What protects, answers or disturbs an evaluation, a folder each. No mechanism imports another.
pub mod auth;
pub mod breaker;
pub mod cache;
pub mod chaos;
pub mod flags;
pub mod i18n;
pub mod limits;
pub mod slo;
pub mod strategy;
