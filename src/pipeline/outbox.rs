//! Where mechanisms put their events. Nothing is built that nobody subscribed to.

use crate::domain::{Event, EventMask, Kind, Payload, Timestamp};

/// Collects events between two frames, up to a limit; counts what it had to drop.
#[derive(Debug)]
pub struct Outbox {
    /// The engine's present moment; every event made is stamped with it.
    pub now: Timestamp,
    mask: EventMask,
    events: Vec<Event>,
    limit: usize,
    made: u64,
    dropped: u64,
    /// Kinds that are put on record, whoever else subscribes.
    audited: EventMask,
    audit: Vec<Payload>,
}

impl Outbox {
    /// For subscribers to `mask`, holding at most `limit` events until they are taken.
    pub fn new(mask: EventMask, limit: usize) -> Self {
        Self {
            now: Timestamp::EPOCH,
            mask,
            events: Vec::new(),
            limit,
            made: 0,
            dropped: 0,
            audited: EventMask::NONE,
            audit: Vec::new(),
        }
    }

    /// Whether an event of this kind would be seen by anybody. Ask before gathering costly facts.
    pub const fn wants(&self, kind: Kind) -> bool {
        self.mask.contains(kind) || self.audited.contains(kind)
    }

    /// Puts in what `payload` makes, if anybody wants `kind`.
    #[inline]
    pub fn emit(&mut self, kind: Kind, payload: impl FnOnce() -> Payload) {
        let (wanted, audited) = (self.mask.contains(kind), self.audited.contains(kind));
        if wanted || audited {
            let payload = payload();
            debug_assert_eq!(payload.kind(), kind);
            if audited {
                self.audit.push(payload.clone());
            }
            if wanted {
                self.push(payload);
            }
        }
    }

    /// Puts what `mask` names on record too, for [`Outbox::take_audit`]; it has no place in the events' numbering.
    pub fn audit(&mut self, mask: EventMask) {
        self.audited = mask;
    }

    /// What was put on record since the last call, in order.
    #[inline]
    pub fn take_audit(&mut self) -> Option<Vec<Payload>> {
        (!self.audit.is_empty()).then(|| std::mem::take(&mut self.audit))
    }

    fn push(&mut self, payload: Payload) {
        let sequence = self.made;
        self.made += 1;
        if self.events.len() < self.limit {
            self.events.push(Event { sequence, at: self.now, payload });
        } else {
            self.dropped += 1;
        }
    }

    /// Also keeps what `mask` names from now on.
    pub fn subscribe(&mut self, mask: EventMask) {
        self.mask = self.mask.union(mask);
    }

    /// Events made so far in the session, those dropped included.
    pub const fn made(&self) -> u64 {
        self.made
    }

    /// Events dropped so far because they were not taken in time.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The events since the last call.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The events since the last `take`, without taking them.
    pub fn pending(&self) -> &[Event] {
        &self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_only_what_is_wanted_and_counts_what_it_drops() {
        let mut out = Outbox::new(EventMask::NONE.with(Kind::FizzDetected), 2);
        out.emit(Kind::BuzzDetected, || unreachable!("nobody wants it, so it is not made"));
        for number in 0..3 {
            out.emit(Kind::FizzDetected, || Payload::FizzDetected { number });
        }
        assert_eq!((out.made(), out.dropped(), out.take().len()), (3, 1, 2));
        out.emit(Kind::FizzDetected, || Payload::FizzDetected { number: 9 });
        assert_eq!(out.take()[0].sequence, 3, "a gap in the sequence tells a reader what it missed");
    }
}
