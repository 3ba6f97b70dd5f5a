//! A chunk on disk: its head in a skippable zstd frame, then its body in zstd frames of one JSON line each; the commitments
//! that link chunks. It does not know what the lines are about.
//!
//! A section's digest is salted, and a chunk commits to the digests of its sections: a copy in which sections are replaced by
//! their digests has the same commitments, and its salts tell nothing of what was taken out.

use std::io::{self, Read, Write};

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::VERSION;
use crate::domain::Timestamp;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The skippable frame's magic number, and a zstd frame's.
pub const SKIPPABLE: [u8; 4] = 0x184D_2A57_u32.to_le_bytes();
pub const ZSTD: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// What a head begins with.
const MAGIC: [u8; 4] = *b"FIZZ";
/// How long a head is without the eight bytes of its skippable frame.
const CONTENT: usize = 128;
/// How long it is with them.
pub const HEAD: usize = CONTENT + 8;

/// No line of frames, nor that of the header or the footer, is longer unpacked.
pub const LINE: u64 = 2 * 1024 * 1024;
/// No line of calls is.
pub const CALLS: u64 = 8 * 1024 * 1024;
/// No line of events is.
pub const HISTORY: u64 = 24 * 1024 * 1024;
/// How far back zstd may look: the limits above fit.
const WINDOW_LOG: u32 = 25;

/// What a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first one, with the header.
    Header,
    /// Frames that can be read without those before.
    Key,
    /// Frames that follow on those before.
    Frames,
    /// The last one of a session that ended in order.
    Footer,
}

impl Kind {
    const ALL: [(Self, u8); 4] = [(Self::Header, b'H'), (Self::Key, b'K'), (Self::Frames, b'C'), (Self::Footer, b'E')];

    fn letter(self) -> u8 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, letter)| *letter)
    }
}

/// What stands before a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// From 0, gapless.
    pub number: u64,
    /// The place of its first frame among all, from 0.
    pub first: u64,
    /// How many frames it has.
    pub frames: u32,
    /// How many events.
    pub events: u32,
    /// When its first frame was made.
    pub from: Timestamp,
    /// When its last one was.
    pub to: Timestamp,
    /// How long its zstd frames are: events, frames, calls.
    pub lengths: [u32; 3],
    /// The commitment of the chunk before; zeros for the first one.
    pub previous: Hash,
    /// The first half of the SHA-256 of the body's bytes.
    pub body: [u8; 16],
}

/// Why a head cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadHead {
    /// It is something else, or was changed.
    Damaged(&'static str),
    /// It is of another version.
    Version(u32),
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut found = [0; N];
    if let Some(bytes) = bytes.get(at..at + N) {
        found.copy_from_slice(bytes);
    }
    found
}

impl Head {
    /// As it is written, its skippable frame included.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend(SKIPPABLE);
        bytes.extend((CONTENT as u32).to_le_bytes());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([self.kind.letter(), 0, 0, 0]);
        bytes.extend((self.number as u32).to_le_bytes());
        bytes.extend((self.first as u32).to_le_bytes());
        bytes.extend(self.frames.to_le_bytes());
        bytes.extend(self.events.to_le_bytes());
        bytes.extend(self.from.as_nanos().to_le_bytes());
        bytes.extend(self.to.as_nanos().to_le_bytes());
        self.lengths.iter().for_each(|length| bytes.extend(length.to_le_bytes()));
        bytes.extend(self.previous);
        bytes.extend(self.body);
        let check: Hash = Sha256::digest(bytes.get(8..).unwrap_or_default()).into();
        bytes.extend(array::<24>(&check, 0));
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`BadHead`] for anything that [`Head::bytes`] did not write.
    pub fn read(bytes: &[u8]) -> Result<Self, BadHead> {
        let damaged = BadHead::Damaged;
        if bytes.len() < HEAD {
            return Err(damaged("its head is cut off"));
        }
        if array(bytes, 0) != SKIPPABLE || array(bytes, 8) != MAGIC {
            return Err(damaged("there is no chunk where one should be"));
        }
        let word = |at| u32::from_le_bytes(array(bytes, at));
        let long = |at| u64::from_le_bytes(array(bytes, at));
        if word(4) as usize != CONTENT && word(12) == VERSION {
            return Err(damaged("its head is of a wrong length"));
        }
        let check: Hash = Sha256::digest(bytes.get(8..HEAD - 24).unwrap_or_default()).into();
        if array::<24>(&check, 0) != array::<24>(bytes, HEAD - 24) {
            // A version is believed only where everything else may be another format's.
            let other = word(12) != VERSION && word(12) < 1_000 && word(12) > 0;
            return Err(if other { BadHead::Version(word(12)) } else { damaged("its head was changed") });
        }
        if word(12) != VERSION {
            return Err(BadHead::Version(word(12)));
        }
        let letter = array::<4>(bytes, 16);
        let kind = Kind::ALL.iter().find(|(_, known)| letter == [*known, 0, 0, 0]).map(|(kind, _)| *kind);
        Ok(Self {
            kind: kind.ok_or(damaged("it is of no known kind"))?,
            number: word(20).into(),
            first: word(24).into(),
            frames: word(28),
            events: word(32),
            from: Timestamp::from_nanos(long(36)),
            to: Timestamp::from_nanos(long(44)),
            lengths: [word(52), word(56), word(60)],
            previous: array(bytes, 64),
            body: array(bytes, 96),
        })
    }

    /// How long its body is.
    pub fn body_length(&self) -> u64 {
        self.lengths.iter().map(|length| u64::from(*length)).sum()
    }
}

/// A section: its name and its JSON text.
pub type Section = (String, String);

/// A section's digest.
pub fn digest(salt: &str, text: &str) -> Hash {
    Sha256::new()
        .chain_update("fizzops section\n")
        .chain_update(salt)
        .chain_update("\n")
        .chain_update(text)
        .finalize()
        .into()
}

/// The salt of one section, from its chunk's.
pub fn salt(chunk_salt: &str, name: &str) -> String {
    let hash: Hash = Sha256::new().chain_update(chunk_salt).chain_update("\n").chain_update(name).finalize().into();
    hex(hash.get(..16).unwrap_or_default())
}

/// What a chunk commits to: its place, its span, and each section's digest, after what the chunk before committed to.
pub fn commitment(head: &Head, digests: &[(String, Hash)]) -> Hash {
    let mut hasher = Sha256::new()
        .chain_update("fizzops chunk\n")
        .chain_update(head.previous)
        .chain_update([head.kind.letter()])
        .chain_update(head.number.to_be_bytes())
        .chain_update(head.first.to_be_bytes())
        .chain_update(head.frames.to_be_bytes())
        .chain_update(head.events.to_be_bytes())
        .chain_update(head.from.as_nanos().to_be_bytes())
        .chain_update(head.to.as_nanos().to_be_bytes());
    for (name, digest) in digests {
        hasher.update((name.len() as u64).to_be_bytes());
        hasher.update(name);
        hasher.update(digest);
    }
    hasher.finalize().into()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A body's check.
pub fn check(body: &[u8]) -> [u8; 16] {
    let hash: Hash = Sha256::digest(body).into();
    array(&hash, 0)
}

/// The names of the three lines of a chunk, in order.
pub const LINES: [&str; 3] = ["history", "frames", "calls"];

/// A line of sections: `{"NAME":{"chunk":N,"KEY":TEXT,...}}`. `extra` stands before the sections.
pub fn line(name: &str, number: u64, extra: &str, sections: &[Section]) -> String {
    let mut text = format!("{{\"{name}\":{{\"chunk\":{number}{extra}");
    for (key, section) in sections {
        text.push_str(",\"");
        // Names of sections are identifiers with dots; they need no escape.
        text.push_str(key);
        text.push_str("\":");
        text.push_str(section);
    }
    text.push_str("}}\n");
    text
}

/// Packs a line.
///
/// # Errors
/// As zstd does.
pub fn pack(text: &str, level: i32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(text.len() as u64))?;
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

/// Unpacks one, at most `limit` bytes of it.
///
/// # Errors
/// A sentence.
pub fn unpack(bytes: &[u8], limit: u64) -> Result<String, String> {
    let failed = |error: io::Error| format!("it cannot be unpacked ({error})");
    let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(failed)?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(failed)?;
    let mut text = Vec::new();
    (&mut decoder).take(limit + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > limit {
        return Err(format!("a line is longer than {limit} bytes"));
    }
    if !decoder.finish().is_empty() {
        return Err("there is more in it than its line".into());
    }
    String::from_utf8(text).map_err(|_| "a line is no text".into())
}

/// A line that was read: what stands in it by name, in order.
pub struct Line<'a> {
    /// The items, `chunk` and `salt` among them.
    pub items: Vec<(String, &'a RawValue)>,
}

struct Items;

impl<'de> serde::de::Visitor<'de> for Items {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut items: Self::Value = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            if items.iter().any(|(known, _)| *known == key) {
                return Err(serde::de::Error::custom("a name is there twice"));
            }
            if items.len() >= 1_000 {
                return Err(serde::de::Error::custom("there are too many names"));
            }
            items.push((key, value));
        }
        Ok(items)
    }
}

fn items(text: &str) -> Result<Vec<(String, &RawValue)>, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let items = serde::Deserializer::deserialize_map(&mut deserializer, Items).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(items)
}

impl<'a> Line<'a> {
    /// Reads a line of this name.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(text: &'a str, name: &str) -> Result<Self, String> {
        let outer = items(text)?;
        match outer.as_slice() {
            [(found, inner)] if found == name => Ok(Self { items: items(inner.get())? }),
            _ => Err(format!("its line is no {name}")),
        }
    }

    /// An item's text.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.items.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }

    /// The sections: whatever is neither the chunk's number nor a salt.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let known = |name: &str| matches!(name, "chunk" | "salt" | "salts" | "redacted");
        self.items.iter().filter(move |(key, _)| !known(key)).map(|(key, value)| (key.as_str(), value.get()))
    }
}

/// What stands in a redacted section's place.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redacted {
    /// Its digest.
    pub redacted: String,
}

/// The digest in a redacted section's place; `None` for one that is whole.
pub fn redacted(text: &str) -> Option<Hash> {
    if !text.starts_with("{\"redacted\":") {
        return None;
    }
    let Redacted { redacted } = serde_json::from_str(text).ok()?;
    let mut hash = [0; 32];
    if redacted.len() != 64 {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(redacted.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written_and_every_change_is_seen() {
        let head = Head {
            kind: Kind::Key,
            number: 5,
            first: 120,
            frames: 10,
            events: 3,
            from: Timestamp::from_millis(5),
            to: Timestamp::from_millis(1_005),
            lengths: [10, 2_000, 30],
            previous: [7; 32],
            body: [9; 16],
        };
        let bytes = head.bytes();
        assert_eq!(bytes.len(), HEAD);
        assert_eq!(Head::read(&bytes), Ok(head));
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                assert!(Head::read(&bytes).is_err(), "byte {at}");
            }
        }
        assert_eq!(Head::read(&bytes[..HEAD - 1]), Err(BadHead::Damaged("its head is cut off")));
    }

    #[test]
    fn lines_are_bounded_and_named() {
        let text = line(
            "frames",
            3,
            ",\"salt\":\"ab\"",
            &[("frame".into(), "[5]".into()), ("snapshot.x".into(), "{}".into())],
        );
        assert_eq!(text, "{\"frames\":{\"chunk\":3,\"salt\":\"ab\",\"frame\":[5],\"snapshot.x\":{}}}\n");
        let bytes = pack(&text, 3).unwrap();
        assert_eq!(unpack(&bytes, LINE).unwrap(), text);
        assert!(unpack(&bytes, 10).unwrap_err().contains("longer than 10"));
        let line = Line::read(&text, "frames").unwrap();
        assert_eq!(line.get("salt"), Some("\"ab\""));
        assert_eq!(line.sections().collect::<Vec<_>>(), [("frame", "[5]"), ("snapshot.x", "{}")]);
        assert!(Line::read(&text, "calls").is_err());
        assert!(Line::read("{\"calls\":{\"a\":1,\"a\":2}}", "calls").is_err());
        let twice = [bytes.as_slice(), bytes.as_slice()].concat();
        assert!(unpack(&twice, LINE).is_err());
    }
}
