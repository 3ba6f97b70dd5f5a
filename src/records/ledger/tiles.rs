//! Tiles (C2SP tlog-tiles): where the hashes and the entries of a tree lie in a directory. 256 hashes a tile; only full
//! tiles hash upwards; the last tile of a level is partial and has its width in its name.

/// Hashes in a full tile.
pub const WIDTH: u64 = 256;

/// `123 456` as `x123/456`.
fn number(index: u64) -> String {
    let mut text = format!("{:03}", index % 1_000);
    let mut rest = index / 1_000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1_000);
        rest /= 1_000;
    }
    text
}

fn path(folder: &str, index: u64, width: u64) -> String {
    let number = number(index);
    if width == WIDTH { format!("tile/{folder}/{number}") } else { format!("tile/{folder}/{number}.p/{width}") }
}

/// Where the hashes of a tile lie.
pub fn hashes(level: u32, index: u64, width: u64) -> String {
    path(&level.to_string(), index, width)
}

/// Where the entries below a tile of level 0 lie.
pub fn entries(index: u64, width: u64) -> String {
    path("entries", index, width)
}

/// How many hashes tile `index` of `level` has in a tree of `size` leaves.
pub fn width(level: u32, index: u64, size: u64) -> u64 {
    let hashes = size.checked_shr(level * 8).unwrap_or(0);
    hashes.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH)
}

/// Adds an entry to a bundle: its length as two bytes, then itself.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries of a bundle; `None` at the place where it is cut off.
pub fn read_entries(bundle: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(bundle).filter(|bundle| !bundle.is_empty());
    std::iter::from_fn(move || {
        let bytes = rest.take()?;
        let found = bytes
            .split_first_chunk::<2>()
            .and_then(|(length, after)| after.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        Some(found.map(|(entry, after)| {
            rest = Some(after).filter(|after| !after.is_empty());
            entry
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(hashes(0, 0, 256), "tile/0/000");
        assert_eq!(hashes(1, 1_234_067, 256), "tile/1/x001/x234/067");
        assert_eq!(hashes(0, 273, 112), "tile/0/273.p/112");
        assert_eq!(entries(1_000, 256), "tile/entries/x001/000");
    }

    #[test]
    fn widths_follow_from_the_size() {
        assert_eq!((width(0, 0, 70_000), width(0, 273, 70_000), width(0, 274, 70_000)), (256, 112, 0));
        assert_eq!((width(1, 0, 70_000), width(1, 1, 70_000), width(2, 0, 70_000)), (256, 17, 1));
        assert_eq!(width(9, 0, u64::MAX), 0);
    }

    #[test]
    fn bundles_read_back_and_cuts_are_seen() {
        let mut bundle = Vec::new();
        assert!(push_entry(&mut bundle, b"one") && push_entry(&mut bundle, b"") && push_entry(&mut bundle, b"three"));
        let read: Vec<_> = read_entries(&bundle).collect();
        assert_eq!(read, [Some(&b"one"[..]), Some(b""), Some(b"three")]);
        assert_eq!(read_entries(&bundle[..bundle.len() - 1]).last(), Some(None));
        assert!(!push_entry(&mut bundle, &[0; 65_536]));
    }
}
