//! What is kept: the journal of domain events, the ledger, and the storage under them.

pub mod journal;
pub mod ledger;
