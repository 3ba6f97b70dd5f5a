//! The audit ledger: a Merkle tree (RFC 6962) over everything that was evaluated, commanded and told, kept as tiles with
//! signed checkpoints in C2SP's formats, and a chain of blocks with proof of work over the same leaves.
//!
//! What it proves: whoever has kept a checkpoint can tell that nothing before it was changed, with the public key alone.
//! What it does not prove: that an entry was true when it was written.
//!
//! ```
//! use fizzops::domain::Timestamp;
//! use fizzops::records::ledger::{
//!     Kept, KeyKind, Ledger, LedgerConfig, Mining, NoteSigner, Start, Writer, verify,
//! };
//!
//! let config = LedgerConfig { enabled: true, ..LedgerConfig::default() };
//! let mut ledger = Ledger::new(&config, Start::default(), Mining::Inline, Timestamp::EPOCH).unwrap();
//! ledger.keep();
//! ledger.command(Timestamp::EPOCH, "ann", "BUZZ_ADMIN", "\"pause\"", "paused");
//! ledger.close(Timestamp::EPOCH);
//!
//! let folder = tempfile::tempdir().unwrap();
//! let signer = NoteSigner::new("example.org/ledger", KeyKind::Log, &[7; 32]).unwrap();
//! let key = signer.verifier();
//! let mut writer = Writer::open(folder.path(), signer).unwrap();
//! for kept in ledger.take() {
//!     match kept {
//!         Kept::Entry(bytes) => drop(writer.append(&bytes).unwrap()),
//!         Kept::Block(block) => writer.push_block(&block).unwrap(),
//!     }
//! }
//! writer.checkpoint().unwrap();
//! let report = verify(folder.path(), &key, None).unwrap();
//! assert_eq!((report.commands, report.blocks, report.checkpoint.root), (1, 2, ledger.root()));
//! ```

mod audit;
mod block;
mod checkpoint;
mod entry;
mod hash;
pub mod merkle;
mod note;
mod proof_file;
mod store;
#[cfg(test)]
mod tests;
pub mod tiles;
mod verify;
mod witness;

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

pub use audit::{AuditView, ProofView};
pub use block::{HONEST, Header};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use entry::{BATCH_LIMIT, Batch, Entry, NoEntry, Row, Shown};
pub use hash::{Hash, NoHash};
pub use note::{KeyKind, Note, NoteError, NoteSigner, SignatureLine, VerifierKey};
pub use proof_file::{ConsistencyProof, InclusionProof, ProofFileError};
pub use store::{BLOCKS, CHECKPOINT, Reader, Start, StoreError, VERIFIER_KEY, Writer, write_whole};
pub use verify::{Report, verify};
pub use witness::{WitnessRefusal, WitnessState};

use crate::domain::{ErrorCode, Evaluation, Timestamp};
use audit::Audit;
use entry::{encode_command, encode_event};
use merkle::{Frontier, leaf_hash};

/// The section `blockchain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// Whether a ledger is kept.
    pub enabled: bool,
    /// The ledger's name, which is also its key's: a URL without the scheme, of one's own.
    pub origin: String,
    /// Evaluations in a leaf, at most; a leaf is closed earlier by whatever else is recorded and at the end of a second.
    pub batch: u32,
    /// How many zero digits each block's hash begins with.
    pub difficulty: u32,
    /// Leaves that close a block.
    pub block_size: u64,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self { enabled: false, origin: "fizzops.local/ledger".into(), batch: 256, difficulty: 2, block_size: 16 }
    }
}

/// The greatest difficulty: a block takes seconds then.
pub const MAX_DIFFICULTY: u32 = 6;
/// What the estimate of a refused difficulty assumes: hashes a second on one core.
const ASSUMED_RATE: f64 = 5e6;

/// A setting is impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It would take too long.
    #[error(
        "a mining difficulty of {digits} is beyond reach: about 16^{digits} hashes a block, {} at 5 million a second; \
         it must be from 0 to {MAX_DIFFICULTY}",
        estimate(*.digits)
    )]
    Difficulty {
        /// Asked for.
        digits: u32,
    },
    /// The ledger that is there has another one.
    #[error(
        "the ledger's blocks have the difficulty {found}, the configuration says {wanted}; begin another ledger for it"
    )]
    OtherDifficulty {
        /// In its last block.
        found: u32,
        /// Configured.
        wanted: u32,
    },
    /// No leaf, or too many for memory.
    #[error("blockchain.block_size is {0}; it must be from 1 to 1000000")]
    BlockSize(u64),
    /// No evaluation, or too many for a leaf.
    #[error("blockchain.batch is {0}; it must be from 1 to {BATCH_LIMIT}")]
    Batch(u32),
    /// The name cannot be a key's.
    #[error("blockchain.origin: {0}")]
    Origin(NoteError),
}

impl LedgerError {
    /// Its code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Difficulty { .. } => ErrorCode::LedgerDifficulty,
            _ => ErrorCode::Configuration,
        }
    }
}

/// How long a block of this difficulty takes, in words.
fn estimate(difficulty: u32) -> String {
    let seconds = 16f64.powi(difficulty.min(1_000).cast_signed()) / ASSUMED_RATE;
    match seconds {
        s if s < 120.0 => format!("{s:.0} seconds"),
        s if s < 7_200.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} hours", s / 3_600.0),
        s if s < 3.2e7 * 2.0 => format!("{:.0} days", s / 86_400.0),
        s if s < 3.2e12 => format!("{:.0} years", s / 31_557_600.0),
        _ => "more than a hundred thousand years".into(),
    }
}

/// What an operator asks of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerCommand {
    /// Show the proof that this leaf is in the tree; of the last commands and events.
    Prove {
        /// The leaf's place, from 0.
        index: u64,
    },
}

/// Who finds the nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mining {
    /// The ledger, at once: on the virtual clock a block is part of what repeats itself.
    Inline,
    /// Whoever asks for [`Ledger::take_mining`], beside the evaluations.
    Aside,
}

/// Something for the ledger's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The next leaf's bytes.
    Entry(Vec<u8>),
    /// The next block.
    Block(Header),
}

/// A complete subtree at the tree's edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeView {
    /// Its leaves, a power of two.
    pub leaves: u64,
    /// Its root.
    pub hash: Hash,
}

/// The ledger, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LedgerView {
    /// Whether a ledger is kept.
    pub enabled: bool,
    /// Its name.
    pub origin: String,
    /// Leaves of the tree.
    pub leaves: u64,
    /// The tree's root.
    pub root: Hash,
    /// The complete subtrees at its edge, the largest first.
    pub edge: Vec<EdgeView>,
    /// Evaluations that wait for the next leaf.
    pub pending: u64,
    /// Evaluations in a leaf, at most.
    pub batch: u64,
    /// Evaluations in all leaves.
    pub evaluations: u64,
    /// Commands among the leaves.
    pub commands: u64,
    /// Events among the leaves.
    pub events: u64,
    /// The last commands and events, oldest first.
    pub audit: Vec<AuditView>,
    /// The proof that was asked for last.
    pub proof: Option<ProofView>,
    /// Blocks so far, the genesis block included.
    pub blocks: u64,
    /// Leaves that no block has yet.
    pub waiting: u64,
    /// Leaves that close a block.
    pub block_size: u64,
    /// Zero digits of each block's hash.
    pub difficulty: u32,
    /// Hashes tried so far.
    pub hashes: u64,
    /// The last block's hash.
    pub head: String,
    /// The last blocks, oldest first.
    pub recent: Vec<Header>,
    /// Whether the last blocks' hashes, links and work were right when they were looked at for this view.
    pub sound: bool,
}

const RECENT: usize = 8;
/// The last block of a session is looked for this long, in hashes: about a second.
const LAST_TRIES: u64 = 1 << 22;

/// A growing ledger. Only its edge and the last blocks, commands and events are in memory.
#[derive(Debug)]
pub struct Ledger {
    config: LedgerConfig,
    mining: Mining,
    frontier: Frontier,
    batch: Batch,
    audit: VecDeque<Audit>,
    proof: Option<ProofView>,
    /// For whoever writes them, when somebody does.
    kept: Option<Vec<Kept>>,
    /// Blocks that were not told of yet.
    closed: Vec<Header>,
    head: Option<Header>,
    recent: VecDeque<Header>,
    /// When the first leaf came or the session began: the genesis block's date.
    began: Timestamp,
    latest: Timestamp,
    /// A block is being mined elsewhere.
    busy: bool,
    ending: bool,
    /// The one that is being mined is the session's last.
    last: bool,
    evaluations: u64,
    commands: u64,
    events: u64,
    hashes: u64,
}

impl Ledger {
    /// A ledger that goes on at `start`.
    ///
    /// # Errors
    /// [`LedgerError`] for a setting that is impossible.
    pub fn new(config: &LedgerConfig, start: Start, mining: Mining, now: Timestamp) -> Result<Self, LedgerError> {
        if config.difficulty > MAX_DIFFICULTY {
            return Err(LedgerError::Difficulty { digits: config.difficulty });
        }
        if !(1..=1_000_000).contains(&config.block_size) {
            return Err(LedgerError::BlockSize(config.block_size));
        }
        if config.batch == 0 || config.batch as usize > BATCH_LIMIT {
            return Err(LedgerError::Batch(config.batch));
        }
        NoteSigner::new(&config.origin, KeyKind::Log, &[0; 32]).map_err(LedgerError::Origin)?;
        if let Some(block) = start.block.as_ref().filter(|block| block.difficulty != config.difficulty) {
            return Err(LedgerError::OtherDifficulty { found: block.difficulty, wanted: config.difficulty });
        }
        let mut ledger = Self {
            config: config.clone(),
            mining,
            frontier: start.frontier,
            batch: Batch::default(),
            audit: VecDeque::new(),
            proof: None,
            kept: None,
            closed: Vec::new(),
            recent: start.block.iter().cloned().collect(),
            head: start.block,
            began: now,
            latest: now,
            busy: false,
            ending: false,
            last: false,
            evaluations: 0,
            commands: 0,
            events: 0,
            hashes: 0,
        };
        ledger.mine_inline();
        Ok(ledger)
    }

    /// Keeps what is to be written, for whoever takes it.
    pub fn keep(&mut self) {
        if self.kept.is_none() {
            // Blocks that are there already were closed before anybody asked: the genesis block.
            self.kept = Some(self.closed.iter().cloned().map(Kept::Block).collect());
        }
    }

    /// Adds a finished evaluation.
    #[inline]
    pub fn evaluation(&mut self, evaluation: &Evaluation, now: Timestamp) {
        self.batch.push(now, evaluation);
        if self.batch.count() >= self.config.batch || self.batch.is_full() {
            self.flush(now);
        }
    }

    /// Adds a command, with its answer; `role` is empty for the engine's own and game days'.
    pub fn command(&mut self, now: Timestamp, by: &str, role: &str, command: &str, answer: &str) {
        self.commands += 1;
        self.flush(now);
        self.append(encode_command(now.as_nanos(), by, role, command, answer), now, true);
    }

    /// Adds an event, with its facts as JSON.
    pub fn event(&mut self, now: Timestamp, name: &str, facts: &str) {
        self.events += 1;
        self.flush(now);
        self.append(encode_event(now.as_nanos(), name, facts), now, true);
    }

    /// Closes the leaf that is being filled, unless it is empty.
    pub fn flush(&mut self, now: Timestamp) {
        let count = self.batch.count();
        if count > 0 {
            self.evaluations += u64::from(count);
            let bytes = self.batch.close(now.as_nanos());
            self.append(bytes, now, false);
        }
    }

    fn append(&mut self, bytes: Vec<u8>, now: Timestamp, audited: bool) {
        self.latest = self.latest.max(now);
        let leaf = leaf_hash(&bytes);
        let new = audited.then(|| Audit::new(&self.frontier, leaf, &bytes));
        let audit = &mut self.audit;
        self.frontier.push_with(leaf, |level, index, hash| {
            audit.iter_mut().for_each(|entry| entry.see(level, index, hash));
        });
        if let Some(new) = new {
            if audit.len() == audit::KEPT {
                audit.pop_front();
            }
            audit.push_back(new);
        }
        if let Some(kept) = &mut self.kept {
            kept.push(Kept::Entry(bytes));
        }
        self.mine_inline();
    }

    /// Closes the last leaf and, as far as a second of work finds it, the last block: the session is over.
    pub fn close(&mut self, now: Timestamp) {
        self.flush(now);
        self.ending = true;
        self.mine_inline();
    }

    fn mine_inline(&mut self) {
        if self.mining == Mining::Aside {
            return;
        }
        while let Some((mut block, tries)) = self.take_mining() {
            let hashes = block.mine(tries, &AtomicBool::new(false));
            self.mined(hashes.map(|hashes| (block, hashes)));
        }
    }

    /// The block that is to be mined next, and how many nonces it is worth; `None` while one is being mined or there is
    /// none yet. Whoever takes it answers with [`Ledger::mined`].
    pub fn take_mining(&mut self) -> Option<(Header, u64)> {
        if self.busy {
            return None;
        }
        let (size, difficulty) = (self.frontier.size(), self.config.difficulty);
        let block = match &self.head {
            None => Header {
                index: 0,
                timestamp: self.began,
                leaves: 0,
                size: 0,
                root: merkle::empty_root(),
                previous: Hash::default(),
                difficulty,
                nonce: 0,
                hash: Hash::default(),
            },
            Some(head) => {
                let leaves = size - head.size;
                if leaves < self.config.block_size && !(self.ending && leaves > 0) {
                    return None;
                }
                Header {
                    index: head.index + 1,
                    timestamp: self.latest.max(head.timestamp),
                    leaves,
                    size,
                    root: self.frontier.root(),
                    previous: head.hash,
                    difficulty,
                    nonce: 0,
                    hash: Hash::default(),
                }
            }
        };
        self.busy = true;
        self.last = self.ending;
        Some((block, if self.ending { LAST_TRIES } else { u64::MAX }))
    }

    /// What became of the block that was taken: itself and the hashes that it took, or nothing when it was given up.
    pub fn mined(&mut self, found: Option<(Header, u64)>) {
        let Some((block, hashes)) = found else {
            // The last one is not tried again: `busy` stays, and its leaves stay without a block.
            self.busy = self.last;
            return;
        };
        self.busy = false;
        self.hashes += hashes;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(block.clone());
        if let Some(kept) = &mut self.kept {
            kept.push(Kept::Block(block.clone()));
        }
        self.head = Some(block.clone());
        self.closed.push(block);
    }

    /// What is to be written, since the last call.
    pub fn take(&mut self) -> Vec<Kept> {
        self.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The blocks that were closed since this was last asked.
    pub fn newly_closed(&mut self) -> Vec<Header> {
        std::mem::take(&mut self.closed)
    }

    /// Carries a command out; the answer is a sentence.
    ///
    /// # Errors
    /// A sentence too.
    pub fn order(&mut self, command: &LedgerCommand) -> Result<String, String> {
        let LedgerCommand::Prove { index } = command;
        let audit = self.audit.iter().find(|audit| audit.index() == *index).ok_or_else(|| {
            format!("leaf {index} is not among the last commands and events; `fizzops ledger prove {index}` proves any")
        })?;
        let proof = audit.prove(&self.frontier).ok_or("the proof cannot be made")?;
        let answer = format!(
            "leaf {index} is proved by {} hashes: it leads to the root {} of {} leaves",
            proof.path.len(),
            proof.root.short(),
            proof.size
        );
        self.proof = Some(proof);
        Ok(answer)
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The tree's size and root, in a word each.
    pub fn head(&self) -> String {
        format!("{} {}", self.size(), self.root())
    }

    /// As it is shown. Recomputes the hashes of the last blocks, so that `sound` is a finding and not a claim.
    pub fn view(&self) -> LedgerView {
        let mut at = self.frontier.size();
        let mut edge: Vec<_> = self
            .frontier
            .nodes()
            .iter()
            .rev()
            .map(|hash| {
                let leaves = 1 << at.trailing_zeros();
                at -= leaves;
                EdgeView { leaves, hash: *hash }
            })
            .collect();
        edge.reverse();
        let sound = self.recent.iter().zip(self.recent.iter().skip(1)).all(|(one, next)| next.check(Some(one)).is_ok())
            && self.recent.front().is_none_or(|block| block.compute() == block.hash);
        LedgerView {
            enabled: self.config.enabled,
            origin: self.config.origin.clone(),
            leaves: self.size(),
            root: self.root(),
            edge,
            pending: self.batch.count().into(),
            batch: self.config.batch.into(),
            evaluations: self.evaluations,
            commands: self.commands,
            events: self.events,
            audit: self.audit.iter().map(Audit::view).collect(),
            proof: self.proof.clone(),
            blocks: self.head.as_ref().map_or(0, |block| block.index + 1),
            waiting: self.size() - self.head.as_ref().map_or(0, |block| block.size),
            block_size: self.config.block_size,
            difficulty: self.config.difficulty,
            hashes: self.hashes,
            head: self.head.as_ref().map(|block| block.hash.to_string()).unwrap_or_default(),
            recent: self.recent.iter().cloned().collect(),
            sound,
        }
    }
}
