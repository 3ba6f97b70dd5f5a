//! What is kept: the journal of domain events, the results, and the audit ledger.

pub mod bus;
pub mod data_dir;
pub mod files;
pub mod journal;
pub mod ledger;
pub mod specification;
pub mod storage;
