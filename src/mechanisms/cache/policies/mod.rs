//! The orders in which entries leave, a file a family. Each does every step in O(1), and names where its rule is from.
//!
//! Indexing: slots are the store's; each order covers a slot in its own vectors when the slot is put in.

mod arc;
mod lfu;
mod lirs;
mod queues;
mod s3_fifo;
mod two_q;
mod w_tiny_lfu;

pub use arc::Arc;
pub use lfu::Lfu;
pub use lirs::Lirs;
pub use queues::{Clock, Fifo, Lru, Random, Sieve};
pub use s3_fifo::S3Fifo;
pub use two_q::TwoQ;
pub use w_tiny_lfu::WTinyLfu;

/// The value at `slot`, which grows the vector when the slot is new.
fn cover<T: Clone>(values: &mut Vec<T>, slot: u32, value: T) {
    let index = slot as usize;
    if index >= values.len() {
        values.resize(index + 1, value);
    } else {
        values[index] = value;
    }
}
