//! A ledger's directory: its tiles, its entries, its checkpoint and its blocks, written and read. It hashes what it
//! writes; it decides nothing about what is written.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::block::Header;
use super::checkpoint::{Checkpoint, CheckpointError};
use super::hash::Hash;
use super::merkle::{Frontier, Nodes, leaf_hash, node_hash};
use super::note::{Note, NoteSigner, VerifierKey};
use super::tiles::{self, WIDTH};
use crate::domain::ErrorCode;

/// The signed head of the tree.
pub const CHECKPOINT: &str = "checkpoint";
/// The blocks with proof of work, a line each, after a line that says what this is.
pub const BLOCKS: &str = "blocks.jsonl";
/// The public key, for whoever has no better source of it.
pub const VERIFIER_KEY: &str = "verifier.key";

/// The first line of the blocks' file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Format {
    format: String,
    version: u32,
}

impl Format {
    pub(super) fn current() -> Self {
        Self { format: "fizzops-ledger".into(), version: 2 }
    }
}

/// Why a directory cannot be used as a ledger.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("{file} cannot be {what}: {error}")]
    Io {
        /// Which.
        file: String,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Another program writes it.
    #[error("{0}: another program writes this ledger")]
    Busy(String),
    /// There is something else.
    #[error("{0} is no ledger: it has files, and none of them is a checkpoint")]
    NotALedger(String),
    /// Its checkpoint is not believed.
    #[error("{CHECKPOINT}: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Its files are not what the checkpoint says.
    #[error("{file}: {problem}")]
    Damaged {
        /// Which.
        file: String,
        /// What differs.
        problem: String,
    },
}

impl StoreError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. } | Self::NotALedger(_) | Self::Busy(_) => ErrorCode::Configuration,
            Self::Checkpoint(_) | Self::Damaged { .. } => ErrorCode::LedgerIntegrity,
        }
    }

    pub(super) fn read(file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |error| Self::Io { file, what: "read", error }
    }

    fn written(file: &Path) -> impl FnOnce(io::Error) -> Self {
        let file = file.display().to_string();
        move |error| Self::Io { file, what: "written", error }
    }

    pub(super) fn damaged(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), problem: problem.into() }
    }
}

/// Writes bytes so that a reader finds the old file or the new one, never half of it.
///
/// # Errors
/// As the file system does.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// Where a ledger goes on: the edge of its tree and its last block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Start {
    /// The tree so far.
    pub frontier: Frontier,
    /// The last block.
    pub block: Option<Header>,
}

/// The last tile of each level of a growing tree, as long as it is not full.
#[derive(Debug, Clone, Default)]
pub(super) struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash; `full` is told of every tile that it fills: level, index, hashes.
    pub(super) fn push<E>(
        &mut self,
        leaf: Hash,
        mut full: impl FnMut(u32, u64, &[Hash]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.size += 1;
        let mut hash = leaf;
        for level in 0u32..8 {
            let place = level as usize;
            if self.levels.len() == place {
                self.levels.push(Vec::with_capacity(WIDTH as usize));
            }
            let Some(hashes) = self.levels.get_mut(place) else { break };
            hashes.push(hash);
            if (hashes.len() as u64) < WIDTH {
                break;
            }
            full(level, (self.size >> ((level + 1) * 8)) - 1, hashes)?;
            hash = subtree(hashes);
            hashes.clear();
        }
        Ok(())
    }

    /// The edge of the tree.
    pub(super) fn frontier(&self) -> Frontier {
        let mut nodes = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut from = 0;
            for bit in (0..8).rev() {
                let count = 1 << bit;
                if hashes.len() & count != 0 {
                    nodes.push(subtree(hashes.get(from..from + count).unwrap_or_default()));
                    from += count;
                }
            }
        }
        Frontier::new(self.size, nodes).unwrap_or_default()
    }

    /// The tiles that are not full: level, index, hashes.
    pub(super) fn partial(&self) -> impl Iterator<Item = (u32, u64, &[Hash])> {
        let size = self.size;
        (0u32..)
            .zip(&self.levels)
            .filter(|(_, hashes)| !hashes.is_empty())
            .map(move |(level, hashes)| (level, (size >> (level * 8)) / WIDTH, hashes.as_slice()))
    }
}

/// Appends to a directory.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    /// The directory itself, locked as long as this lives.
    _lock: File,
    signer: NoteSigner,
    edge: Edge,
    /// The entries below the last tile of level 0.
    bundle: Vec<u8>,
    blocks: File,
    /// The partial files of the checkpoint before.
    partial: Vec<PathBuf>,
    /// Written since the last checkpoint; not yet known to be on the disk.
    unsynced: Vec<File>,
    signed: Option<u64>,
    block: Option<Header>,
}

impl Writer {
    /// Begins a ledger, or goes on with the one that is there: its checkpoint must be signed with this key and its last
    /// tiles must give the checkpoint's root. What was written after its last checkpoint was never signed; it is written
    /// over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(folder: &Path, signer: NoteSigner) -> Result<Self, StoreError> {
        let there = folder.join(CHECKPOINT).exists();
        if !there && fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
            return Err(StoreError::NotALedger(folder.display().to_string()));
        }
        if !folder.is_dir() {
            // One folder, not a path of them: a mistyped name is to be told.
            fs::create_dir(folder).map_err(StoreError::written(folder))?;
        }
        let lock = File::open(folder).map_err(StoreError::written(folder))?;
        lock.try_lock().map_err(|_| StoreError::Busy(folder.display().to_string()))?;
        let blocks_path = folder.join(BLOCKS);
        let failed = |error| StoreError::written(&blocks_path)(error);
        let blocks = fs::OpenOptions::new().create(true).append(true).open(&blocks_path).map_err(failed)?;
        let mut writer = Self {
            folder: folder.to_owned(),
            _lock: lock,
            signer,
            edge: Edge::default(),
            bundle: Vec::new(),
            blocks,
            partial: Vec::new(),
            unsynced: Vec::new(),
            signed: None,
            block: None,
        };
        if there {
            writer.resume()?;
        } else {
            let line = serde_json::to_string(&Format::current()).unwrap_or_default();
            writer.blocks.write_all(format!("{line}\n").as_bytes()).map_err(failed)?;
            let key = folder.join(VERIFIER_KEY);
            let text = format!("{}\n", writer.signer.verifier());
            write_whole(&key, text.as_bytes()).map_err(StoreError::written(&key))?;
            writer.checkpoint()?;
        }
        Ok(writer)
    }

    fn resume(&mut self) -> Result<(), StoreError> {
        let reader = Reader::open(&self.folder, &self.signer.verifier())?;
        let size = reader.size();
        self.signed = Some(size);
        self.edge.size = size;
        for level in (0u32..8).take_while(|level| size >> (level * 8) > 0) {
            let index = (size >> (level * 8)) / WIDTH;
            let width = tiles::width(level, index, size);
            let mut hashes = Vec::new();
            if width > 0 {
                hashes = reader.tile(level, index)?;
                self.partial.push(self.folder.join(tiles::hashes(level, index, width)));
                if level == 0 {
                    let (file, bundle) = reader.bundle(index)?;
                    self.bundle = bundle;
                    self.partial.push(self.folder.join(file));
                }
            }
            self.edge.levels.push(hashes);
        }
        let root = self.frontier().root();
        if root != reader.checkpoint().root {
            let problem = format!("the last tiles give the root {root}, it says {}", reader.checkpoint().root);
            return Err(StoreError::damaged(CHECKPOINT, problem));
        }
        let blocks = read_blocks(&self.folder)?;
        let kept: Vec<_> = blocks.into_iter().take_while(|block| block.size <= size).collect();
        // Blocks over leaves that were never signed go with them.
        let mut text = serde_json::to_string(&Format::current()).unwrap_or_default() + "\n";
        for block in &kept {
            text.push_str(&serde_json::to_string(block).unwrap_or_default());
            text.push('\n');
        }
        let path = self.folder.join(BLOCKS);
        write_whole(&path, text.as_bytes()).map_err(StoreError::written(&path))?;
        self.blocks = fs::OpenOptions::new().append(true).open(&path).map_err(StoreError::written(&path))?;
        self.block = kept.into_iter().next_back();
        Ok(())
    }

    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.edge.size
    }

    /// Where an engine goes on from here.
    pub fn start(&self) -> Start {
        Start { frontier: self.frontier(), block: self.block.clone() }
    }

    /// The edge of the tree.
    pub fn frontier(&self) -> Frontier {
        self.edge.frontier()
    }

    /// Appends an entry; its place. It is proved from the next checkpoint on.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn append(&mut self, entry: &[u8]) -> Result<u64, StoreError> {
        if !tiles::push_entry(&mut self.bundle, entry) {
            let problem = format!("an entry of {} bytes is too long", entry.len());
            return Err(StoreError::damaged(tiles::entries(self.size() / WIDTH, WIDTH), problem));
        }
        let index = self.size();
        let mut full = Vec::new();
        self.edge.push(leaf_hash(entry), |level, tile, hashes| {
            full.push((level, tile, hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>()));
            Ok::<_, StoreError>(())
        })?;
        for (level, tile, bytes) in full {
            self.write(&tiles::hashes(level, tile, WIDTH), &bytes)?;
            if level == 0 {
                let bundle = std::mem::take(&mut self.bundle);
                self.write(&tiles::entries(tile, WIDTH), &bundle)?;
            }
        }
        Ok(index)
    }

    fn write(&mut self, file: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.folder.join(file);
        let failed = |error| StoreError::written(&path)(error);
        let created = match File::create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(&self.folder)).map_err(failed)?;
                File::create(&path)
            }
            created => created,
        };
        let mut created = created.map_err(failed)?;
        created.write_all(bytes).map_err(failed)?;
        self.unsynced.push(created);
        if self.unsynced.len() >= 128 {
            self.sync()?;
        }
        Ok(path)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        for file in self.unsynced.drain(..) {
            file.sync_data().map_err(StoreError::written(&self.folder))?;
        }
        Ok(())
    }

    /// Adds a block.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn push_block(&mut self, block: &Header) -> Result<(), StoreError> {
        let mut line = serde_json::to_string(block).unwrap_or_default();
        line.push('\n');
        self.blocks.write_all(line.as_bytes()).map_err(StoreError::written(&self.folder.join(BLOCKS)))?;
        self.block = Some(block.clone());
        Ok(())
    }

    /// Puts everything so far on the disk and signs it. Nothing to sign is no error.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.signed == Some(self.size()) {
            return Ok(());
        }
        let mut partial = Vec::new();
        let tiles: Vec<_> = self.edge.partial().map(|(level, index, hashes)| (level, index, hashes.to_vec())).collect();
        for (level, index, hashes) in tiles {
            let width = hashes.len() as u64;
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            partial.push(self.write(&tiles::hashes(level, index, width), &bytes)?);
            if level == 0 {
                let bundle = self.bundle.clone();
                partial.push(self.write(&tiles::entries(index, width), &bundle)?);
            }
        }
        self.sync()?;
        self.blocks.sync_data().map_err(StoreError::written(&self.folder.join(BLOCKS)))?;
        let origin = self.signer.name().to_owned();
        let checkpoint = Checkpoint { origin, size: self.size(), root: self.frontier().root(), extensions: Vec::new() };
        let note = checkpoint.sign(&self.signer).to_string();
        let path = self.folder.join(CHECKPOINT);
        write_whole(&path, note.as_bytes()).map_err(StoreError::written(&path))?;
        // Readers of the older checkpoint find its tiles in the wider ones.
        for old in std::mem::replace(&mut self.partial, partial) {
            if !self.partial.contains(&old) {
                // A file that stays is only in the way of nobody.
                let _ = fs::remove_file(&old);
                if let Some(folder) = old.parent() {
                    let _ = fs::remove_dir(folder);
                }
            }
        }
        self.signed = Some(self.size());
        Ok(())
    }
}

/// The root over at most a tile's hashes, their number a power of two.
fn subtree(hashes: &[Hash]) -> Hash {
    let mut level = [Hash::default(); WIDTH as usize];
    let mut count = hashes.len().min(level.len());
    level[..count].copy_from_slice(&hashes[..count]);
    while count > 1 {
        count /= 2;
        for at in 0..count {
            level[at] = node_hash(&level[at * 2], &level[at * 2 + 1]);
        }
    }
    level[0]
}

/// The blocks of a directory, in the form in which they are written and in no other.
pub(super) fn read_blocks(folder: &Path) -> Result<Vec<Header>, StoreError> {
    let text = fs::read(folder.join(BLOCKS)).map_err(StoreError::read(BLOCKS))?;
    let text = std::str::from_utf8(&text).map_err(|_| StoreError::damaged(BLOCKS, "it is not UTF-8"))?;
    let mut lines = text.split_inclusive('\n').zip(1u64..);
    let format = serde_json::to_string(&Format::current()).unwrap_or_default() + "\n";
    if lines.next().is_none_or(|(line, _)| line != format) {
        return Err(StoreError::damaged(BLOCKS, format!("line 1: it should be {}", format.trim_end())));
    }
    let mut blocks = Vec::new();
    for (line, number) in lines {
        let place = |problem: String| StoreError::damaged(BLOCKS, format!("line {number}: {problem}"));
        let whole = line.strip_suffix('\n').ok_or_else(|| place("it is cut off".into()))?;
        let block: Header = serde_json::from_str(whole).map_err(|error| place(format!("no block: {error}")))?;
        if serde_json::to_string(&block).unwrap_or_default() != whole {
            return Err(place("it is not written as the program writes it; it was changed".into()));
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// Reads a directory as of its checkpoint. Tiles are read as they are needed; what they say is to be checked against the
/// checkpoint's root by whoever asks.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    checkpoint: Checkpoint,
    note: Note,
    kept: RefCell<BTreeMap<(u32, u64), Vec<Hash>>>,
}

/// Tiles that are kept in memory.
const KEPT: usize = 64;

impl Reader {
    /// Opens a directory whose checkpoint is signed with this key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(folder: &Path, key: &VerifierKey) -> Result<Self, StoreError> {
        let bytes = fs::read(folder.join(CHECKPOINT))
            .map_err(|error| StoreError::read(folder.join(CHECKPOINT).display().to_string())(error))?;
        let (checkpoint, note) = Checkpoint::open(&bytes, key)?;
        Ok(Self { folder: folder.to_owned(), checkpoint, note, kept: RefCell::default() })
    }

    /// The directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its checkpoint.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint as it is signed.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// How many leaves are signed.
    pub const fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The hashes of a tile.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or has another length.
    pub fn tile(&self, level: u32, index: u64) -> Result<Vec<Hash>, StoreError> {
        let width = tiles::width(level, index, self.size());
        let file = tiles::hashes(level, index, width);
        let bytes = fs::read(self.folder.join(&file)).map_err(StoreError::read(file.clone()))?;
        let hashes: Vec<_> = bytes.chunks_exact(32).filter_map(|bytes| Hash::try_from(bytes).ok()).collect();
        if bytes.len() as u64 != width * 32 {
            return Err(StoreError::damaged(file, format!("it has {} bytes and not {}", bytes.len(), width * 32)));
        }
        Ok(hashes)
    }

    /// The bytes of the entries below tile `index` of level 0, with the name of their file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn bundle(&self, index: u64) -> Result<(String, Vec<u8>), StoreError> {
        let file = tiles::entries(index, tiles::width(0, index, self.size()));
        let bytes = fs::read(self.folder.join(&file)).map_err(StoreError::read(file.clone()))?;
        Ok((file, bytes))
    }

    /// An entry's bytes; `None` when there are not so many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entry(&self, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        if index >= self.size() {
            return Ok(None);
        }
        let (_, bytes) = self.bundle(index / WIDTH)?;
        Ok(tiles::read_entries(&bytes).nth((index % WIDTH) as usize).flatten().map(<[u8]>::to_vec))
    }
}

impl Nodes for Reader {
    type Error = StoreError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, StoreError> {
        let (tile_level, within) = (level / 8, level % 8);
        let first = index << within;
        let tile = first / WIDTH;
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT {
            kept.clear();
        }
        let hashes = match kept.entry((tile_level, tile)) {
            std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(self.tile(tile_level, tile)?),
        };
        let from = (first % WIDTH) as usize;
        let some = hashes.get(from..from + (1 << within));
        some.map(subtree).ok_or_else(|| StoreError::damaged(tiles::hashes(tile_level, tile, WIDTH), "it is too short"))
    }
}
