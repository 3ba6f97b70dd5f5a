//! Canonical CBOR of a JSON value (RFC 8949, section 4.2.1): shortest heads, sorted keys, the shortest float that holds
//! the value, and no float where an integer says the same. It exists to be hashed; nothing here reads CBOR.

use datalogic_rs::DataValue;
use datalogic_rs::datavalue::NumberValue;

use super::murmur::Murmur;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// Where the bytes go: to a hash, so that nothing is allocated.
pub trait Sink {
    /// Takes them.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Murmur {
    fn put(&mut self, bytes: &[u8]) {
        Self::put(self, bytes);
    }
}

/// Puts the encoding of `value` out. `None` for a number that JSON cannot hold (NaN, infinity).
pub fn encode(value: &DataValue<'_>, out: &mut impl Sink) -> Option<()> {
    match value {
        DataValue::Null => out.put(&[0xF6]),
        DataValue::Bool(false) => out.put(&[0xF4]),
        DataValue::Bool(true) => out.put(&[0xF5]),
        DataValue::Number(NumberValue::Integer(number)) => integer(*number, out),
        DataValue::Number(NumberValue::Float(number)) => float(*number, out)?,
        DataValue::String(text) => string(text, out),
        DataValue::Array(items) => {
            head(ARRAY, items.len() as u64, out);
            for item in *items {
                encode(item, out)?;
            }
        }
        DataValue::Object(entries) => map(entries, out)?,
    }
    Some(())
}

/// Puts the encoding of the array of two texts out.
pub fn pair(first: &str, second: &str, out: &mut impl Sink) {
    head(ARRAY, 2, out);
    string(first, out);
    string(second, out);
}

/// The head of a data item: major type and argument, in the fewest bytes.
fn head(major: u8, argument: u64, out: &mut impl Sink) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    // `bytes` has eight of them: the last one, two, four or all.
    match argument {
        ..24 => out.put(&[major | bytes[7]]),
        24..=0xFF => out.put(&[major | 24, bytes[7]]),
        0x100..=0xFFFF => out.put(&[major | 25, bytes[6], bytes[7]]),
        0x1_0000..=0xFFFF_FFFF => out.put(&[major | 26, bytes[4], bytes[5], bytes[6], bytes[7]]),
        _ => {
            out.put(&[major | 27]);
            out.put(&bytes);
        }
    }
}

fn integer(number: i64, out: &mut impl Sink) {
    match u64::try_from(number) {
        Ok(number) => head(UNSIGNED, number, out),
        Err(_) => head(NEGATIVE, !number as u64, out),
    }
}

fn string(text: &str, out: &mut impl Sink) {
    head(TEXT, text.len() as u64, out);
    out.put(text.as_bytes());
}

/// A float without a fraction is the integer that it equals, within -2^63 to 2^64-1 (flagd's decision on numbers,
/// open-feature/flagd#1963).
fn float(number: f64, out: &mut impl Sink) -> Option<()> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if !number.is_finite() {
        return None;
    }
    if number.fract() == 0.0 {
        if (-TWO_TO_63..TWO_TO_63).contains(&number) {
            integer(number as i64, out);
            return Some(());
        }
        if (TWO_TO_63..2.0 * TWO_TO_63).contains(&number) {
            head(UNSIGNED, number as u64, out);
            return Some(());
        }
    }
    let single = number as f32;
    if let Some(half) = half(number) {
        out.put(&[0xF9]);
        out.put(&half.to_be_bytes());
    } else if f64::from(single) == number {
        out.put(&[0xFA]);
        out.put(&single.to_be_bytes());
    } else {
        out.put(&[0xFB]);
        out.put(&number.to_be_bytes());
    }
    Some(())
}

/// The bits of the IEEE 754 half-precision float that equals `number`, if there is one. Zero never comes here.
fn half(number: f64) -> Option<u16> {
    let bits = number.to_bits();
    let sign = (bits >> 48) as u16 & 0x8000;
    let exponent = (bits >> 52 & 0x7FF) as i64 - 1023;
    match exponent {
        // Normal: ten bits of fraction.
        -14..=15 => {
            let fraction = bits & ((1 << 52) - 1);
            (fraction.trailing_zeros() >= 42).then(|| sign | ((exponent + 15) as u16) << 10 | (fraction >> 42) as u16)
        }
        // Subnormal: a multiple of 2^-24.
        -24..-14 => {
            let multiple = number.abs() * f64::from(1 << 24);
            (multiple.fract() == 0.0).then_some(sign | multiple as u16)
        }
        _ => None,
    }
}

/// Entries sorted by their encoded keys, which is by length, then by bytes; of equal keys the last one counts.
fn map(entries: &[(&str, DataValue<'_>)], out: &mut impl Sink) -> Option<()> {
    let mut sorted: Vec<(&str, &DataValue<'_>)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match sorted.binary_search_by_key(&(key.len(), *key), |(other, _)| (other.len(), *other)) {
            Ok(at) => {
                if let Some(entry) = sorted.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => sorted.insert(at, (key, value)),
        }
    }
    head(MAP, sorted.len() as u64, out);
    for (key, value) in sorted {
        string(key, out);
        encode(value, out)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use datalogic_rs::bumpalo::Bump;

    use super::*;

    impl Sink for Vec<u8> {
        fn put(&mut self, bytes: &[u8]) {
            self.extend_from_slice(bytes);
        }
    }

    fn hex(json: &str) -> String {
        let arena = Bump::new();
        let mut out = Vec::new();
        encode(&DataValue::from_str(json, &arena).unwrap(), &mut out).unwrap();
        out.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From RFC 8949, appendix A, where a float without a fraction is not an integer already.
    #[test]
    fn encodes_the_examples_of_the_rfc() {
        for (json, expected) in [
            ("0", "00"),
            ("23", "17"),
            ("24", "1818"),
            ("1000", "1903e8"),
            ("1000000", "1a000f4240"),
            ("1000000000000", "1b000000e8d4a51000"),
            ("-1", "20"),
            ("-1000", "3903e7"),
            ("1.5", "f93e00"),
            ("1.1", "fb3ff199999999999a"),
            ("3.4028234663852886e+38", "fa7f7fffff"),
            ("1.0e+300", "fb7e37e43c8800759c"),
            ("5.960464477539063e-8", "f90001"),
            ("0.00006103515625", "f90400"),
            ("-4.1", "fbc010666666666666"),
            ("false", "f4"),
            ("null", "f6"),
            ("\"\"", "60"),
            ("\"IETF\"", "6449455446"),
            ("\"\u{fc}\"", "62c3bc"),
            ("[]", "80"),
            ("[1,[2,3],[4,5]]", "8301820203820405"),
            ("{\"b\":[2,3],\"a\":1}", "a26161016162820203"),
        ] {
            assert_eq!(hex(json), expected, "{json}");
        }
    }

    #[test]
    fn numbers_that_are_equal_are_encoded_equally() {
        assert_eq!(hex("1.0"), hex("1"));
        assert_eq!(hex("-0.0"), hex("0"));
        assert_eq!(hex("-2.0"), hex("-2"));
        assert_eq!(hex("-9223372036854775808.0"), "3b7fffffffffffffff");
        assert_eq!(hex("9223372036854775808.0"), "1b8000000000000000");
        assert_eq!(hex("18446744073709551616.0"), "fa5f800000", "2^64 is beyond integers");
    }

    #[test]
    fn what_json_cannot_hold_has_no_encoding() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(encode(&DataValue::from_f64(number), &mut Vec::<u8>::new()), None);
        }
    }

    #[test]
    fn every_half_precision_float_is_found() {
        for bits in 1..0x7C00u16 {
            let (exponent, fraction) = (i32::from(bits >> 10), f64::from(bits & 0x3FF));
            let value = match exponent {
                0 => fraction * 2f64.powi(-24),
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            };
            assert_eq!(half(value), Some(bits));
            assert_eq!(half(-value), Some(bits | 0x8000));
            assert_eq!(half(value * (1.0 + f64::EPSILON)), None);
        }
        assert_eq!(half(65_536.0), None);
        assert_eq!(half(2f64.powi(-25)), None);
    }
}
