//! MurmurHash3 x86 32-bit (Appleby 2011), the hash under flagd's buckets, fed in pieces. Own code, because it is short,
//! allocates nothing and must never change.

/// The hash of what was put in, with seed 0.
#[derive(Debug, Clone, Default)]
pub struct Murmur {
    hash: u32,
    /// The last bytes, fewer than four, lowest first.
    rest: u32,
    length: u32,
}

impl Murmur {
    #[cfg(test)]
    fn of(bytes: &[u8]) -> u32 {
        let mut murmur = Self::default();
        murmur.put(bytes);
        murmur.finish()
    }

    /// Goes on with `bytes`.
    pub fn put(&mut self, mut bytes: &[u8]) {
        while !self.length.is_multiple_of(4)
            && let Some((first, others)) = bytes.split_first()
        {
            self.byte(*first);
            bytes = others;
        }
        let (blocks, tail) = bytes.as_chunks::<4>();
        for block in blocks {
            self.block(u32::from_le_bytes(*block));
            // The algorithm counts the length in 32 bits.
            self.length = self.length.wrapping_add(4);
        }
        for byte in tail {
            self.byte(*byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.rest |= u32::from(byte) << (8 * (self.length % 4));
        self.length = self.length.wrapping_add(1);
        if self.length.is_multiple_of(4) {
            let word = std::mem::take(&mut self.rest);
            self.block(word);
        }
    }

    const fn block(&mut self, word: u32) {
        self.hash = (self.hash ^ scrambled(word)).rotate_left(13);
        self.hash = self.hash.wrapping_mul(5).wrapping_add(0xE654_6B64);
    }

    /// The hash so far.
    pub const fn finish(&self) -> u32 {
        // Of no bytes left over the scrambled word is 0, which changes nothing.
        let mut hash = self.hash ^ scrambled(self.rest) ^ self.length;
        hash = (hash ^ hash >> 16).wrapping_mul(0x85EB_CA6B);
        hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
        hash ^ hash >> 16
    }
}

const fn scrambled(word: u32) -> u32 {
    word.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn agrees_with_published_values() {
        for (text, expected) in [
            ("", 0),
            ("test", 0xBA6B_D213),
            ("Hello, world!", 0xC036_3E43),
            ("The quick brown fox jumps over the lazy dog", 0x2E4F_F723),
        ] {
            assert_eq!(Murmur::of(text.as_bytes()), expected, "{text}");
        }
    }

    /// Keys that flagd's test bed found by search, because they hash to the ends of both signed and unsigned range.
    #[test]
    fn reaches_the_ends_of_its_range() {
        for (text, expected) in
            [("ejOoVL", 0), ("bY9fO-", 1), ("SI7p-", 0x7FFF_FFFF), ("6LvT0", 0x8000_0000), ("ceQdGm", 0xFFFF_FFFF)]
        {
            assert_eq!(Murmur::of(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_as_good_as_the_whole(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let mut murmur = Murmur::default();
            for piece in &pieces {
                murmur.put(piece);
            }
            prop_assert_eq!(murmur.finish(), Murmur::of(&pieces.concat()));
        }
    }
}
