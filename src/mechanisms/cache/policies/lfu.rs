//! lfu: the one that was used least often leaves; of several, the one that has been at its count longest. Counts are of
//! the present stay only. A list for each count, the lists linked in order (Shah, Mitra and Matani 2010).

use super::super::list::{Links, List, NIL};
use super::super::order::Order;
use super::cover;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    count: u64,
    list: List,
    fewer: u32,
    more: u32,
}

/// The order.
#[derive(Debug)]
pub struct Lfu {
    links: Links,
    /// The bucket of each slot.
    bucket_of: Vec<u32>,
    buckets: Vec<Bucket>,
    free: Vec<u32>,
    fewest: u32,
}

impl Default for Lfu {
    fn default() -> Self {
        Self { links: Links::default(), bucket_of: Vec::new(), buckets: Vec::new(), free: Vec::new(), fewest: NIL }
    }
}

impl Lfu {
    /// The bucket for `count`, behind `fewer` (`NIL` for the front), where it is if it is anywhere.
    fn bucket(&mut self, count: u64, fewer: u32) -> u32 {
        let more = self.buckets.get(fewer as usize).map_or(self.fewest, |bucket| bucket.more);
        if self.buckets.get(more as usize).is_some_and(|bucket| bucket.count == count) {
            return more;
        }
        let bucket = Bucket { count, list: List::default(), fewer, more };
        let at = match self.free.pop() {
            Some(at) => {
                self.buckets[at as usize] = bucket;
                at
            }
            None => {
                self.buckets.push(bucket);
                (self.buckets.len() - 1) as u32
            }
        };
        match self.buckets.get_mut(fewer as usize) {
            Some(bucket) => bucket.more = at,
            None => self.fewest = at,
        }
        if let Some(bucket) = self.buckets.get_mut(more as usize) {
            bucket.fewer = at;
        }
        at
    }

    fn take(&mut self, slot: u32) {
        let at = self.bucket_of[slot as usize];
        let bucket = &mut self.buckets[at as usize];
        self.links.unlink(&mut bucket.list, slot);
        if bucket.list.len > 0 {
            return;
        }
        let Bucket { fewer, more, .. } = *bucket;
        match self.buckets.get_mut(fewer as usize) {
            Some(bucket) => bucket.more = more,
            None => self.fewest = more,
        }
        if let Some(bucket) = self.buckets.get_mut(more as usize) {
            bucket.fewer = fewer;
        }
        self.free.push(at);
    }

    fn put(&mut self, slot: u32, at: u32) {
        cover(&mut self.bucket_of, slot, at);
        self.links.push(&mut self.buckets[at as usize].list, slot);
    }
}

impl<K> Order<K> for Lfu {
    fn hit(&mut self, slot: u32, _: &K) {
        let from = self.bucket_of[slot as usize];
        let count = self.buckets[from as usize].count + 1;
        // The new bucket is made while the old one still marks its place.
        let to = self.bucket(count, from);
        self.take(slot);
        self.put(slot, to);
    }

    fn evict(&mut self, _: &dyn Fn(u32) -> K) -> Option<u32> {
        let slot = self.buckets.get(self.fewest as usize)?.list.oldest;
        self.take(slot);
        Some(slot)
    }

    fn insert(&mut self, slot: u32, _: &K, weight: u32) {
        self.links.cover(slot, weight);
        let at = self.bucket(1, NIL);
        self.put(slot, at);
    }

    fn remove(&mut self, slot: u32) {
        self.take(slot);
    }
}
