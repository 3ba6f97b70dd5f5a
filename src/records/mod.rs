//! What is kept: the journal of domain events and the audit ledger.

pub mod journal;
pub mod ledger;
