//! Whole numbers as text that packs well: a letter for the length of each, and its bits in base 64. zstd's entropy stage
//! does the rest; numbers of similar size cost about their information. It knows nothing of what the numbers mean.

use serde::{Deserialize, Serialize};

/// The digits of base 64; as a letter of a length, the 65th is for 64 bits.
const DIGITS: &[u8; 65] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

/// Packed numbers: lengths and bits, as a JSON array of two texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Packed(pub String, pub String);

/// How many bits `value` has without leading zeros.
pub const fn length(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Small numbers of either sign become small ones without.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The reverse.
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

const fn digit(value: u32) -> char {
    // Always below 65.
    DIGITS[(value % 65) as usize] as char
}

fn value(letter: u8) -> Option<u32> {
    Some(
        match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            b'.' => 64,
            _ => return None,
        }
        .into(),
    )
}

/// Packs.
pub fn pack(values: impl IntoIterator<Item = u64>) -> Packed {
    let (mut lengths, mut text) = (String::new(), String::new());
    let (mut held, mut count) = (0_u128, 0_u32);
    for value in values {
        let bits = length(value);
        lengths.push(digit(bits));
        // The first bit of a number is always 1 and is not written.
        if bits > 1 {
            let rest = bits - 1;
            held = held << rest | u128::from(value) & ((1 << rest) - 1);
            count += rest;
            while count >= 6 {
                count -= 6;
                text.push(digit((held >> count) as u32 & 63));
            }
            held &= (1 << count) - 1;
        }
    }
    if count > 0 {
        text.push(digit((held << (6 - count)) as u32 & 63));
    }
    Packed(lengths, text)
}

/// Unpacks; `None` for what was not packed by [`pack`]. There are as many numbers as lengths.
pub fn unpack(packed: &Packed) -> Option<Vec<u64>> {
    let mut text = packed.1.bytes();
    let (mut held, mut count) = (0_u128, 0_u32);
    let mut values = Vec::with_capacity(packed.0.len());
    for letter in packed.0.bytes() {
        let bits = value(letter)?;
        if bits == 0 {
            values.push(0);
            continue;
        }
        let rest = bits - 1;
        while count < rest {
            let six = text.next().and_then(value).filter(|six| *six < 64)?;
            held = held << 6 | u128::from(six);
            count += 6;
        }
        count -= rest;
        let low = (held >> count) as u64 & ((1_u64 << rest) - 1);
        values.push(1 << rest | low);
        held &= (1 << count) - 1;
    }
    text.next().is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn constant_steps_cost_a_letter_each() {
        assert_eq!(pack([0, 1, 2, 3, 64]), Packed("ABCCH".into(), "QA".into()));
        assert_eq!(pack([]), Packed::default());
        assert_eq!(unpack(&Packed("H".into(), String::new())), None, "its bits are missing");
        assert_eq!(unpack(&Packed("A".into(), "A".into())), None, "there are bits too many");
        assert_eq!(unpack(&Packed("%".into(), String::new())), None);
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(values in prop::collection::vec(any::<u64>().prop_flat_map(|value| (0..64_u32).prop_map(move |shift| value >> shift)), 0..200)) {
            prop_assert_eq!(unpack(&pack(values.iter().copied())), Some(values));
        }

        #[test]
        fn zigzag_turns_back(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }

        #[test]
        fn whatever_is_unpacked_does_not_panic(lengths in "[A-Za-z0-9_.-]{0,40}", bits in "[A-Za-z0-9_-]{0,40}") {
            if let Some(values) = unpack(&Packed(lengths.clone(), bits)) {
                prop_assert_eq!(values.len(), lengths.len());
            }
        }
    }
}
