//! The walk over a whole directory: every entry, every tile, every block, up to the signed root. The first thing that is
//! wrong is named with its file and place.

use std::path::Path;

use super::block::Header;
use super::checkpoint::Checkpoint;
use super::entry::Entry;
use super::hash::Hash;
use super::merkle::leaf_hash;
use super::note::VerifierKey;
use super::store::{BLOCKS, CHECKPOINT, Edge, Reader, StoreError, read_blocks};
use super::tiles::{self, WIDTH};

/// What a whole ledger holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its head, as it is signed.
    pub checkpoint: Checkpoint,
    /// Evaluations in it.
    pub evaluations: u64,
    /// Commands in it, refused ones included.
    pub commands: u64,
    /// Events in it.
    pub events: u64,
    /// Blocks, the genesis block included.
    pub blocks: u64,
    /// Leaves that are in blocks.
    pub in_blocks: u64,
    /// Zero digits that each block's hash begins with.
    pub difficulty: u32,
    /// The older checkpoint's size, when there was one to compare with.
    pub continues: Option<u64>,
}

/// A tile of level 0 whose entries were compared with it.
struct Leaves {
    hashes: Vec<Hash>,
    counts: Counts,
}

/// Evaluations, commands, events.
type Counts = [u64; 3];

impl Leaves {
    fn read(reader: &Reader, tile: u64) -> Result<Self, StoreError> {
        let hashes = reader.tile(0, tile)?;
        let (file, bundle) = reader.bundle(tile)?;
        let mut entries = tiles::read_entries(&bundle);
        let mut counts = Counts::default();
        for (place, hash) in hashes.iter().enumerate() {
            let index = tile * WIDTH + place as u64;
            let wrong = |problem: String| StoreError::damaged(file.clone(), format!("entry {index}: {problem}"));
            let bytes = entries.next().flatten().ok_or_else(|| wrong("it is cut off or missing".into()))?;
            let found = leaf_hash(bytes);
            if found != *hash {
                let width = hashes.len() as u64;
                return Err(wrong(format!(
                    "it gives the hash {found}, {} has {hash}: one of the two was changed",
                    tiles::hashes(0, tile, width)
                )));
            }
            match Entry::decode(bytes).map_err(|error| wrong(error.to_string()))? {
                Entry::Evaluations { rows, .. } => counts[0] += rows.len() as u64,
                Entry::Command { .. } => counts[1] += 1,
                Entry::Event { .. } => counts[2] += 1,
            }
        }
        if entries.next().is_some() {
            return Err(StoreError::damaged(file.clone(), "something follows its last entry"));
        }
        Ok(Self { hashes, counts })
    }
}

/// Tiles that are read ahead of the tree that is built of them.
const AHEAD: usize = 32;

/// Checks everything with the public key alone, and that the ledger continues `old`, a checkpoint that somebody kept.
///
/// # Errors
/// [`StoreError`] for the first thing that is not right, with its place.
pub fn verify(folder: &Path, key: &VerifierKey, old: Option<&Checkpoint>) -> Result<Report, StoreError> {
    let reader = Reader::open(folder, key)?;
    if let Some(old) = old {
        if old.origin != reader.checkpoint().origin {
            let problem =
                format!("the kept checkpoint is of `{}`, the ledger is `{}`", old.origin, reader.checkpoint().origin);
            return Err(StoreError::damaged(CHECKPOINT, problem));
        }
        if old.size > reader.size() {
            let problem = format!(
                "the kept checkpoint has {} leaves, the ledger has {}: leaves were taken away",
                old.size,
                reader.size()
            );
            return Err(StoreError::damaged(CHECKPOINT, problem));
        }
    }
    let blocks = read_blocks(folder)?;
    let size = reader.size();
    let mut walk = Walk {
        reader: &reader,
        edge: Edge::default(),
        blocks: &blocks,
        checked: 0,
        old: old.map(|old| (old.size, old.root)),
        counts: Counts::default(),
    };
    walk.mark()?;
    let (sender, pieces) = std::sync::mpsc::sync_channel(AHEAD);
    std::thread::scope(|scope| {
        // Half of the hashing is the leaves', half the nodes': each half has a thread. Another reader: the first one's
        // cache belongs to this thread.
        let reader = Reader::open(folder, key)?;
        scope.spawn(move || {
            for tile in 0..size.div_ceil(WIDTH) {
                let leaves = Leaves::read(&reader, tile);
                let last = leaves.is_err();
                // A walk that has ended needs no more.
                if sender.send(leaves).is_err() || last {
                    return;
                }
            }
        });
        for leaves in pieces {
            walk.leaves(&leaves?)?;
        }
        Ok::<_, StoreError>(())
    })?;
    let [evaluations, commands, events] = walk.counts;
    walk.finish()?;
    let in_blocks = blocks.last().map_or(0, |block| block.size);
    Ok(Report {
        checkpoint: reader.checkpoint().clone(),
        evaluations,
        commands,
        events,
        blocks: blocks.len() as u64,
        in_blocks,
        difficulty: blocks.last().map_or(0, |block| block.difficulty),
        continues: old.map(|old| old.size),
    })
}

struct Walk<'a> {
    reader: &'a Reader,
    edge: Edge,
    blocks: &'a [Header],
    /// Blocks that were checked.
    checked: usize,
    /// The kept checkpoint, until the walk has come past it.
    old: Option<(u64, Hash)>,
    counts: Counts,
}

impl Walk<'_> {
    /// Whatever speaks of the tree at its present size is compared with it.
    #[inline]
    fn mark(&mut self) -> Result<(), StoreError> {
        let size = self.edge.size();
        let due = |block: Option<&Header>| block.is_some_and(|block| block.size <= size);
        if !due(self.blocks.get(self.checked)) && self.old.is_none_or(|(old, _)| old != size) {
            return Ok(());
        }
        let root = self.edge.frontier().root();
        if let Some((_, kept)) = self.old.take_if(|(old, _)| *old == size)
            && kept != root
        {
            let problem = format!(
                "at {size} leaves the kept checkpoint has the root {kept}, the ledger's leaves give {root}: \
                 history was rewritten"
            );
            return Err(StoreError::damaged(CHECKPOINT, problem));
        }
        while let Some(block) = self.blocks.get(self.checked).filter(|block| due(Some(block))) {
            let line = self.checked + 2;
            let wrong =
                |problem: String| StoreError::damaged(BLOCKS, format!("line {line}, block {}: {problem}", line - 2));
            block.check(self.checked.checked_sub(1).and_then(|last| self.blocks.get(last))).map_err(wrong)?;
            if block.size != size || block.root != root {
                return Err(wrong(format!(
                    "it says that {} leaves give the root {}, they give {root}",
                    block.size, block.root
                )));
            }
            self.checked += 1;
        }
        Ok(())
    }

    fn leaves(&mut self, leaves: &Leaves) -> Result<(), StoreError> {
        for hash in &leaves.hashes {
            let reader = self.reader;
            self.edge.push(*hash, |level, tile, hashes| compare(reader, level, tile, hashes))?;
            self.mark()?;
        }
        self.counts.iter_mut().zip(leaves.counts).for_each(|(sum, count)| *sum += count);
        Ok(())
    }

    fn finish(self) -> Result<(), StoreError> {
        for (level, tile, hashes) in self.edge.partial() {
            compare(self.reader, level, tile, hashes)?;
        }
        let (root, checkpoint) = (self.edge.frontier().root(), self.reader.checkpoint());
        if root != checkpoint.root {
            let problem = format!("the ledger's leaves give the root {root}, it says {}", checkpoint.root);
            return Err(StoreError::damaged(CHECKPOINT, problem));
        }
        if let Some(block) = self.blocks.get(self.checked) {
            let problem = format!(
                "line {}, block {}: it says that there are {} leaves, the checkpoint has {}",
                self.checked + 2,
                self.checked,
                block.size,
                checkpoint.size
            );
            return Err(StoreError::damaged(BLOCKS, problem));
        }
        Ok(())
    }
}

/// A tile above the leaves says what the tiles below it give. Tiles of level 0 were compared hash by hash.
fn compare(reader: &Reader, level: u32, tile: u64, hashes: &[Hash]) -> Result<(), StoreError> {
    if level == 0 {
        return Ok(());
    }
    let found = reader.tile(level, tile)?;
    let Some(place) = found.iter().zip(hashes).position(|(found, hash)| found != hash) else { return Ok(()) };
    let file = tiles::hashes(level, tile, hashes.len() as u64);
    Err(StoreError::damaged(file, format!("hash {place} is not what the tiles below it give")))
}
