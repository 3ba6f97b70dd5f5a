//! One flag: what it is, and whether it is on for a number.

use serde::{Deserialize, Serialize};
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// Where a flag is in its life. Only `CREATED` and `ACTIVE` flags can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Lifecycle {
    /// Made, not yet in use.
    Created,
    /// In use.
    #[default]
    Active,
    /// On its way out.
    Deprecated,
    /// Gone for good.
    Archived,
}

impl Lifecycle {
    /// All, in the order of a life.
    pub const ALL: [Self; 4] = [Self::Created, Self::Active, Self::Deprecated, Self::Archived];

    /// Whether a flag in this state can be on.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Created | Self::Active)
    }

    /// Whether it may go from this state to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Created, Self::Active | Self::Archived)
                | (Self::Active, Self::Deprecated)
                | (Self::Deprecated, Self::Archived)
        )
    }

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Archived => "archived",
        }
    }
}

/// What decides whether an enabled flag is on for a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE", deny_unknown_fields)]
pub enum Rollout {
    /// Nothing else: it is on.
    Boolean,
    /// The share of numbers whose bucket is below it, 0 to 100.
    Percentage {
        /// 0 to 100.
        percentage: f64,
    },
    /// The numbers that a rule picks.
    Targeting {
        /// The rule.
        rule: Target,
    },
}

/// A targeting rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// Primes.
    Prime,
    /// Even numbers.
    Even,
    /// Odd numbers.
    Odd,
    /// From `min` to `max`, both inclusive.
    Range {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// Numbers that leave `remainder` when divided by `divisor` (Euclidean, so it is never negative).
    Modulo {
        /// Not 0.
        divisor: i64,
        /// From 0.
        remainder: i64,
    },
}

impl Target {
    /// Whether it picks `number`.
    pub fn picks(&self, number: i64) -> bool {
        match *self {
            Self::Prime => is_prime(number),
            Self::Even => number % 2 == 0,
            Self::Odd => number % 2 != 0,
            Self::Range { min, max } => (min..=max).contains(&number),
            Self::Modulo { divisor, remainder } => number.checked_rem_euclid(divisor).unwrap_or(0) == remainder,
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::Prime => "primes".into(),
            Self::Even => "even numbers".into(),
            Self::Odd => "odd numbers".into(),
            Self::Range { min, max } => format!("{min} to {max}"),
            Self::Modulo { divisor, remainder } => format!("n mod {divisor} = {remainder}"),
        }
    }
}

/// Whether it is prime: Miller's test with bases that leave no doubt below 2^64 (Sorenson and Webster 2015), after a
/// few divisions. A few microseconds at most, however large the number.
fn is_prime(number: i64) -> bool {
    const SMALL: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    let Ok(number) = u64::try_from(number) else { return false };
    if number < 2 {
        return false;
    }
    for prime in SMALL {
        if number.is_multiple_of(prime) {
            return number == prime;
        }
    }
    if number < 37 * 37 {
        return true;
    }
    // Three are enough below 4 759 123 141 (Jaeschke 1993).
    let bases: &[u64] = if number < 4_759_123_141 { &[2, 7, 61] } else { &SMALL };
    let twos = (number - 1).trailing_zeros();
    let odd = (number - 1) >> twos;
    bases.iter().filter(|base| **base % number != 0).all(|base| {
        let mut power = power(*base, odd, number);
        if power == 1 || power == number - 1 {
            return true;
        }
        (1..twos).any(|_| {
            power = product(power, power, number);
            power == number - 1
        })
    })
}

fn product(one: u64, other: u64, modulus: u64) -> u64 {
    match one.checked_mul(other) {
        Some(product) => product % modulus,
        // A remainder is below its modulus.
        None => (u128::from(one) * u128::from(other) % u128::from(modulus)) as u64,
    }
}

fn power(mut base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let mut result = 1;
    base %= modulus;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = product(result, base, modulus);
        }
        base = product(base, base, modulus);
        exponent >>= 1;
    }
    result
}

/// The primes below a limit, a bit for each odd number, so that a look is enough for most numbers.
#[derive(Debug, Clone)]
pub struct Sieve(Vec<u64>);

impl Sieve {
    /// Numbers from here on are tested instead.
    const LIMIT: usize = 1 << 20;

    /// Finds them (Eratosthenes).
    pub fn new() -> Self {
        let mut composite = vec![false; Self::LIMIT / 2];
        let mut bits = vec![0_u64; Self::LIMIT / 128];
        for at in 1..Self::LIMIT / 2 {
            if composite.get(at).copied().unwrap_or(true) {
                continue;
            }
            if let Some(word) = bits.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
            let prime = 2 * at + 1;
            for multiple in (prime * prime / 2..Self::LIMIT / 2).step_by(prime) {
                if let Some(one) = composite.get_mut(multiple) {
                    *one = true;
                }
            }
        }
        Self(bits)
    }

    /// Whether `number` is prime.
    #[inline]
    pub fn is_prime(&self, number: i64) -> bool {
        match usize::try_from(number) {
            Ok(2) => true,
            Ok(small) if small < Self::LIMIT => {
                let word = self.0.get(small / 128).copied().unwrap_or(0);
                small % 2 == 1 && word >> (small / 2 % 64) & 1 == 1
            }
            _ => is_prime(number),
        }
    }
}

impl Default for Sieve {
    fn default() -> Self {
        Self::new()
    }
}

impl Rollout {
    /// In words: `boolean`, `30 %` or what it targets.
    pub fn text(&self) -> String {
        match self {
            Self::Boolean => "boolean".into(),
            Self::Percentage { percentage } => format!("{percentage} %"),
            Self::Targeting { rule } => rule.text(),
        }
    }
}

/// A number's decimal text, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    /// The text, then zeros.
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Decimal {
    /// Nineteen digits and a sign.
    const LONGEST: usize = 20;

    /// Of `number`.
    #[inline]
    pub fn new(number: i64) -> Self {
        let mut bytes = [0; Self::LONGEST];
        bytes[0] = b'-';
        let mut rest = number.unsigned_abs();
        let digits = rest.checked_ilog10().unwrap_or(0) as usize + 1;
        let length = digits + usize::from(number < 0);
        for place in bytes.iter_mut().take(length).rev().take(digits) {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self { bytes, length }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// As text.
    pub fn text(&self) -> &str {
        // Digits and a sign are ASCII.
        str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

/// A flag's buckets, 0 to 2^32 - 1: the first four bytes of SHA-256 over `<flag>:<number>`. The same number always has
/// the same bucket, so a rollout only ever adds numbers as its percentage grows.
#[derive(Debug, Clone)]
pub struct Buckets {
    /// `<flag>:` and zeros.
    block: [u8; 64],
    /// How much of the block that is.
    length: usize,
    /// What goes on from `<flag>:` where it and a number may be longer than one block.
    long: Option<Sha256>,
}

impl Buckets {
    /// The state in which SHA-256 begins (FIPS 180-4, 5.3.3).
    const START: [u32; 8] =
        [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
    /// A block ends with a marker and the length in eight bytes; a number has at most twenty.
    const ROOM: usize = 64 - 9 - 20;

    /// Of the flag of this name.
    pub fn new(flag: &str) -> Self {
        let mut block = [0; 64];
        let prefix = flag.bytes().chain([b':']);
        block.iter_mut().zip(prefix).for_each(|(place, byte)| *place = byte);
        let length = flag.len() + 1;
        let long = (length > Self::ROOM).then(|| Sha256::new().chain_update(flag).chain_update(b":"));
        Self { block, length, long }
    }

    /// The bucket of the number with this text.
    #[inline]
    pub fn of(&self, number: &Decimal) -> u32 {
        if let Some(long) = &self.long {
            let digest = long.clone().chain_update(number.bytes()).finalize();
            return digest.iter().take(4).fold(0, |bucket, byte| bucket << 8 | u32::from(*byte));
        }
        // All of them at once, zeros behind included: that is quicker than as many as there are.
        let mut block = self.block;
        let end = self.length + number.length;
        if let Some((place, _)) =
            block.get_mut(self.length..).and_then(|rest| rest.split_first_chunk_mut::<{ Decimal::LONGEST }>())
        {
            *place = number.bytes;
        }
        if let Some(marker) = block.get_mut(end) {
            *marker = 0x80;
        }
        // Of the length in bits the last two bytes are enough.
        let [high, low] = (end as u16 * 8).to_be_bytes();
        block[62] = high;
        block[63] = low;
        let mut state = Self::START;
        compress256(&mut state, std::slice::from_ref(&block));
        state[0]
    }
}

/// Buckets of numbers that came lately, so that a number that comes again is not hashed again. A bucket never changes, so
/// nothing in here is ever wrong.
#[derive(Debug, Clone)]
pub struct Memo(Vec<(i64, u32)>);

impl Memo {
    /// How many numbers it holds; a power of two.
    const SIZE: usize = 1 << 14;

    /// An empty one.
    pub fn new() -> Self {
        // A number is only ever sought in its own place, so the number after it marks an empty one.
        Self((0..Self::SIZE).map(|place| (place as i64 + 1, 0)).collect())
    }

    /// The bucket of `number`, from `find` if it is not known.
    #[inline]
    pub fn of(&mut self, number: i64, find: impl FnOnce() -> u32) -> u32 {
        // The last bits, also of a negative number.
        let place = number as usize & (Self::SIZE - 1);
        match self.0.get_mut(place) {
            Some((known, bucket)) if *known == number => *bucket,
            Some(entry) => {
                *entry = (number, find());
                entry.1
            }
            None => find(),
        }
    }
}

impl Default for Memo {
    fn default() -> Self {
        Self::new()
    }
}

/// The first bucket that is not in a rollout of this percentage.
pub fn bound(percentage: f64) -> u64 {
    (percentage.clamp(0.0, 100.0) / 100.0 * 4_294_967_295.0).ceil() as u64 + u64::from(percentage >= 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_the_references() {
        let buckets = Buckets::new("wuzz_rule_experimental");
        let bucket = |number| buckets.of(&Decimal::new(number));
        for (number, percent) in [(1, 96.6924), (2, 32.02), (3, 48.9516), (7, 83.8071), (15, 17.0814), (21, 59.0894)] {
            let found = f64::from(bucket(number)) / 4_294_967_295.0 * 100.0;
            assert!((found - percent).abs() < 1e-4, "{number}: {found}");
        }
        let within: Vec<_> = (1..=30).filter(|n| u64::from(bucket(*n)) < bound(30.0)).collect();
        assert_eq!(within, [5, 14, 15, 18, 19, 26, 27]);
    }

    #[test]
    fn every_number_is_hashed_as_its_decimal_text_whatever_the_length_of_the_name() {
        for name in (0..80).map(|length| "f".repeat(length)) {
            for number in [0, -1, i64::MIN, i64::MAX, 10, 907] {
                let whole = Sha256::digest(format!("{name}:{number}"));
                let expected = u32::from_be_bytes(whole[..4].try_into().unwrap());
                let text = Decimal::new(number);
                assert_eq!(Buckets::new(&name).of(&text), expected, "{name} {number}");
                assert_eq!(text.text(), number.to_string());
            }
        }
    }

    #[test]
    fn a_memo_is_never_wrong() {
        let buckets = Buckets::new("wuzz_rule_experimental");
        let mut memo = Memo::new();
        let mut asked = 0;
        let size = Memo::SIZE as i64;
        let numbers = [0, 1, size, 0, size + 1, 1, -1, size - 1, -1, -size, i64::MIN, i64::MAX, 0, 0];
        for number in numbers.into_iter().chain(-3 * size..3 * size).chain(numbers) {
            let bucket = buckets.of(&Decimal::new(number));
            let found = memo.of(number, || {
                asked += 1;
                bucket
            });
            assert_eq!(found, bucket, "{number}");
        }
        assert!(memo.of(0, || unreachable!("it is known")) > 0);
        assert!(asked > 3 * size);
    }

    #[test]
    fn a_life_goes_one_way() {
        let steps: Vec<_> = Lifecycle::ALL
            .into_iter()
            .flat_map(|from| Lifecycle::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .map(|(from, to)| format!("{} {}", from.name(), to.name()))
            .collect();
        assert_eq!(steps, ["created active", "created archived", "active deprecated", "deprecated archived"]);
    }

    #[test]
    fn nothing_is_in_0_percent_and_everything_in_100() {
        assert_eq!(bound(0.0), 0);
        assert!(bound(100.0) > u64::from(u32::MAX));
    }

    #[test]
    fn targets_pick_what_they_say() {
        let picked = |target: Target| (-3..=13).filter(|n| target.picks(*n)).collect::<Vec<_>>();
        assert_eq!(picked(Target::Prime), [2, 3, 5, 7, 11, 13]);
        assert_eq!(picked(Target::Range { min: -1, max: 1 }), [-1, 0, 1]);
        assert_eq!(picked(Target::Modulo { divisor: 5, remainder: 2 }), [-3, 2, 7, 12]);
        assert_eq!(picked(Target::Odd).len() + picked(Target::Even).len(), 17);
        let slow = (2..2_000).filter(|n: &i64| (2..*n).all(|d| n % d != 0));
        assert!(slow.eq((0..2_000).filter(|n| Target::Prime.picks(*n))));
    }

    #[test]
    fn the_sieve_and_the_test_find_the_same_primes() {
        let sieve = Sieve::new();
        let mut primes = 0;
        for number in -3..=Sieve::LIMIT as i64 + 1_000 {
            assert_eq!(sieve.is_prime(number), is_prime(number), "{number}");
            primes += u32::from(number < 1_000_000 && is_prime(number));
        }
        assert_eq!(primes, 78_498, "below a million");
    }

    #[test]
    fn large_numbers_take_no_longer() {
        // Primes, squares of primes, products of two and a strong pseudoprime to the bases 2, 3, 5 and 7.
        for (number, prime) in [
            (i64::MAX, false),
            (9_223_372_036_854_775_783, true),
            (4_611_686_014_132_420_609, false),
            (3_215_031_751, false),
            (4_759_123_141, false),
            (2_147_483_647, true),
            (1_000_000_007 * 998_244_353, false),
            (i64::MIN, false),
        ] {
            assert_eq!(is_prime(number), prime, "{number}");
        }
    }
}
