//! A record: what one commit writes, with its length, its checksum and its link in the chain of hashes.
//!
//! Layout: magic (4 bytes), length of the payload (u32), CRC-32C of length and payload (u32), payload. The payload ends with
//! the chain's new hash: SHA-256 over the one before and the SHA-256 of the payload without its last 32 bytes. A record is
//! written and synced before the next one begins, so whatever a crash tears is in the last record alone: a bad record with
//! a good one behind it was damaged later.

use sha2::{Digest as _, Sha256};

use super::bytes::{Cursor, Undecodable};

/// A hash of the chain.
pub type Hash = [u8; 32];

const MAGIC: [u8; 4] = *b"FzR\x01";
/// Bytes before the payload.
pub const HEAD: usize = 12;
/// The largest payload that is written or believed.
pub const LARGEST: usize = 64 * 1024 * 1024;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Events.
    Commit = 1,
    /// The end of a segment, with its index.
    Footer = 2,
    /// What compaction left of a segment.
    Compacted = 3,
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// Commits before it.
    pub commit: u64,
    /// Its content.
    pub body: &'a [u8],
    /// The hash of its payload: its link in the chain.
    pub link: Hash,
    /// The chain after it, as it says.
    pub chain: Hash,
    /// How long it is in the file.
    pub length: usize,
}

/// The chain after a payload with this hash.
pub fn chained(before: &Hash, link: &Hash) -> Hash {
    Sha256::new().chain_update(before).chain_update(link).finalize().into()
}

/// Appends a record to `out`; the chain after it.
pub fn put(out: &mut Vec<u8>, kind: RecordKind, commit: u64, body: &[u8], before: &Hash) -> Hash {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 8]);
    out.push(kind as u8);
    out.extend_from_slice(&commit.to_le_bytes());
    out.extend_from_slice(body);
    let link: Hash = Sha256::digest(&out[start + HEAD..]).into();
    let chain = chained(before, &link);
    out.extend_from_slice(&chain);
    let length = (out.len() - start - HEAD) as u32;
    let checksum = checksum(length, &out[start + HEAD..]);
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    out[start + 8..start + 12].copy_from_slice(&checksum.to_le_bytes());
    chain
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), payload)
}

/// Reads the record at the beginning of `bytes`; its checksum is compared, the chain is the caller's.
pub fn read(bytes: &[u8]) -> Result<Record<'_>, Undecodable> {
    let mut cursor = Cursor::new(bytes);
    if cursor.take(4)? != MAGIC {
        return Err(Undecodable("no record begins there"));
    }
    let (length, expected) = (cursor.u32()?, cursor.u32()?);
    let size = length as usize;
    if !(41..=LARGEST).contains(&size) {
        return Err(Undecodable("a record's length is impossible"));
    }
    let payload = cursor.take(size)?;
    if checksum(length, payload) != expected {
        return Err(Undecodable("a record's checksum differs"));
    }
    let (content, chain) = payload.split_at(size - 32);
    let mut inner = Cursor::new(content);
    let kind = match inner.byte()? {
        1 => RecordKind::Commit,
        2 => RecordKind::Footer,
        3 => RecordKind::Compacted,
        _ => return Err(Undecodable("a record is of an unknown kind")),
    };
    let commit = inner.u64()?;
    Ok(Record {
        kind,
        commit,
        body: &content[9..],
        link: Sha256::digest(content).into(),
        chain: chain.try_into().map_err(|_| Undecodable("a record has no hash"))?,
        length: HEAD + size,
    })
}

/// Where in `bytes` the first good record begins, if there is one: what tells a torn tail from damage.
pub fn find(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].windows(4).position(|window| window == MAGIC) {
        if read(&bytes[from + at..]).is_ok() {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let mut bytes = Vec::new();
        let chain = put(&mut bytes, RecordKind::Commit, 7, b"hello", &[1; 32]);
        let record = read(&bytes).unwrap();
        assert_eq!((record.kind, record.commit, record.body), (RecordKind::Commit, 7, &b"hello"[..]));
        assert_eq!((record.chain, record.length), (chain, bytes.len()));
        assert_eq!(chained(&[1; 32], &record.link), chain);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(read(&changed).is_err(), "byte {at}");
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_good_record_is_found_behind_a_bad_one() {
        let mut bytes = Vec::new();
        let chain = put(&mut bytes, RecordKind::Commit, 0, b"one", &[0; 32]);
        let second = bytes.len();
        put(&mut bytes, RecordKind::Commit, 1, b"two", &chain);
        bytes[14] ^= 1;
        assert_eq!(find(&bytes), Some(second));
        assert_eq!(find(&bytes[..second]), None);
    }
}
