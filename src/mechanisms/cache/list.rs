//! Lists of slots, linked by index: every step is O(1) and nothing is allocated while a cache is full. A slot is in at
//! most one list of its [`Links`].
//!
//! Indexing: a policy calls [`Links::cover`] for a slot before it links it, so every slot that is used is within bounds.

/// No slot.
pub const NIL: u32 = u32::MAX;

/// One list: its ends, how many slots are in it, and what they weigh together.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// The slot that was put in last.
    pub newest: u32,
    /// The slot that was put in first.
    pub oldest: u32,
    /// How many.
    pub len: u32,
    /// Their weight.
    pub weight: u64,
}

impl Default for List {
    fn default() -> Self {
        Self { newest: NIL, oldest: NIL, len: 0, weight: 0 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Link {
    newer: u32,
    older: u32,
}

/// The links of all slots. Weights are apart from them: a hit relinks three slots and weighs none, and the fewer bytes it
/// touches the more of them stay in the processor's cache.
#[derive(Debug, Clone, Default)]
pub struct Links {
    links: Vec<Link>,
    weights: Vec<u32>,
}

impl Links {
    /// Makes room for `slot`, which weighs this much.
    pub fn cover(&mut self, slot: u32, weight: u32) {
        let index = slot as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, Link { newer: NIL, older: NIL });
            self.weights.resize(index + 1, 0);
        }
        self.weights[index] = weight;
    }

    /// The neighbour that was put in after `slot`.
    pub fn newer(&self, slot: u32) -> u32 {
        self.links[slot as usize].newer
    }

    /// What `slot` weighs.
    pub fn weight(&self, slot: u32) -> u32 {
        self.weights[slot as usize]
    }

    /// Puts `slot` in, as the newest.
    pub fn push(&mut self, list: &mut List, slot: u32) {
        list.weight += u64::from(self.weight(slot));
        list.len += 1;
        self.attach(list, slot);
    }

    fn attach(&mut self, list: &mut List, slot: u32) {
        let was = std::mem::replace(&mut list.newest, slot);
        self.links[slot as usize] = Link { newer: NIL, older: was };
        match self.links.get_mut(was as usize) {
            Some(link) => link.newer = slot,
            None => list.oldest = slot,
        }
    }

    /// Takes `slot` out.
    pub fn unlink(&mut self, list: &mut List, slot: u32) {
        list.weight -= u64::from(self.weight(slot));
        list.len -= 1;
        self.detach(list, slot);
    }

    fn detach(&mut self, list: &mut List, slot: u32) {
        let Link { newer, older } = self.links[slot as usize];
        match self.links.get_mut(newer as usize) {
            Some(link) => link.older = older,
            None => list.newest = older,
        }
        match self.links.get_mut(older as usize) {
            Some(link) => link.newer = newer,
            None => list.oldest = newer,
        }
    }

    /// Makes `slot`, which is in `list`, its newest.
    pub fn renew(&mut self, list: &mut List, slot: u32) {
        if list.newest != slot {
            self.detach(list, slot);
            self.attach(list, slot);
        }
    }

    /// Takes the oldest out.
    pub fn pop(&mut self, list: &mut List) -> Option<u32> {
        let slot = list.oldest;
        if slot == NIL {
            return None;
        }
        self.unlink(list, slot);
        Some(slot)
    }
}
