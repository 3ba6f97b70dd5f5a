//! Numbers and texts as bytes: little-endian, and LEB128 for what is small most of the time.

/// The bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable(pub &'static str);

/// Appends `value` in 1 to 10 bytes, seven bits each.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a difference: small ones of either sign are short.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value << 1 ^ value >> 63) as u64);
}

/// Appends a text with its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads what was put.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// From the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Undecodable> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Undecodable("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        self.take(N)?.try_into().map_err(|_| Undecodable("it ends too early"))
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, Undecodable> {
        let (first, rest) = self.rest.split_first().ok_or(Undecodable("it ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, Undecodable> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, Undecodable> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128, Undecodable> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// What [`put`] wrote.
    #[inline]
    pub fn number(&mut self) -> Result<u64, Undecodable> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Undecodable("a number is too long"))
    }

    /// A length that is to be read or kept: not more than is left, so that a wrong one takes no memory.
    pub fn length(&mut self) -> Result<usize, Undecodable> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if length > self.rest.len() { Err(Undecodable("a length is too large")) } else { Ok(length) }
    }

    /// What [`put_signed`] wrote.
    #[inline]
    pub fn signed(&mut self) -> Result<i64, Undecodable> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// What [`put_text`] wrote.
    pub fn text(&mut self) -> Result<&'a str, Undecodable> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Undecodable("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_comes_back(numbers in prop::collection::vec(any::<(u64, i64)>(), 0..20), text in ".{0,40}") {
            let mut bytes = Vec::new();
            for (number, signed) in &numbers {
                put(&mut bytes, *number);
                put_signed(&mut bytes, *signed);
            }
            put_text(&mut bytes, &text);
            let mut cursor = Cursor::new(&bytes);
            for (number, signed) in &numbers {
                prop_assert_eq!(cursor.number(), Ok(*number));
                prop_assert_eq!(cursor.signed(), Ok(*signed));
            }
            prop_assert_eq!(cursor.text(), Ok(text.as_str()));
            prop_assert!(cursor.is_empty());
        }
    }
}
