//! All randomness of a session comes from one seed. Each mechanism draws from a stream of its own, so that turning one
//! of them on does not change what the others draw.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Who draws. The numbers are part of the determinism: never reuse one.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub enum Stream {
    /// Which numbers are asked for.
    Workload = 1,
    /// How long answers take on the virtual clock.
    ServiceTime = 2,
    /// Fault injection.
    Chaos = 3,
    /// Back-off jitter.
    Breaker = 4,
    /// Evictions at random, farewells.
    Cache = 5,
    /// Denial ids.
    Auth = 6,
    /// The waits between attempts.
    Retry = 7,
}

/// The seed of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The generator of one stream: ChaCha8 (portable: the same numbers on every machine).
    pub fn stream(self, stream: Stream) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.0);
        rng.set_stream(stream as u64);
        rng
    }

    /// A seed that nobody chose, for sessions that were not given one.
    pub fn from_entropy() -> Self {
        // The hasher's keys are the standard library's only portable entropy; a seed needs no more.
        use std::hash::{BuildHasher, Hasher};
        // Its half is enough to vary, and can be read aloud.
        Self(std::collections::hash_map::RandomState::new().build_hasher().finish() >> 32)
    }
}
