//! `fizzops ledger`: look at a ledger, prove what is in it, verify it, export it, witness it.

mod keeper;
mod witness;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

pub use keeper::Keeper;

use super::data::{DATABASE, DataDirArg, JOURNAL, LEDGER, RESULTS};
use super::keys::read_private;
use super::{Exit, Failure};
use crate::domain::text::grouped;
use crate::domain::{ErrorCode, Timestamp};
use crate::engine::agreement::{Compared, Disagreement, compare_journal, compare_repository};
use crate::records::files::Disk;
use crate::records::journal::log::Reader as Journal;
use crate::records::ledger::merkle::{prove_consistency, prove_inclusion};
use crate::records::ledger::{
    BLOCKS, CHECKPOINT, Checkpoint, ConsistencyProof, Entry, HONEST, InclusionProof, NoteSigner, Reader, Report, Row,
    VERIFIER_KEY, VerifierKey, verify,
};
use crate::records::storage::{FileRepository, Repository, SqliteRepository};

/// The private key that signs checkpoints, below the data directory.
pub const KEY_FILE: &str = "ledger.key";

const AFTER_HELP: &str = "\
Examples:
  fizzops run --range 1 100000 --ledger audit       keep a ledger in the directory audit
  fizzops ledger show --ledger audit
  fizzops ledger prove 17 --ledger audit --out pause.tlog-proof
  fizzops ledger prove --number 15 --ledger audit --out fifteen.tlog-proof
  fizzops ledger verify fifteen.tlog-proof --key audit/verifier.key --number 15
  cp audit/checkpoint kept; (later)
  fizzops ledger verify audit --checkpoint kept     nothing before the kept checkpoint was changed
  fizzops ledger witness --ledger audit --state w1.json --out cosigned

A kept checkpoint and the public key are all that an auditor needs. 4 is the exit code of whatever does not hold.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// The head, the blocks and the last entries
    Show(ShowArgs),
    /// Prove that an entry is in the ledger, as a tlog-proof; or with --from that it continues an older checkpoint
    Prove(ProveArgs),
    /// Check a whole ledger (and that the data directory's journal and repository agree with it) or a proof
    Verify(VerifyArgs),
    /// Every entry as a line of JSON, after the ledger was verified
    Export(Place),
    /// Co-sign the ledger's checkpoint if it continues what this witness has seen
    Witness(witness::WitnessArgs),
}

/// Which ledger, and whose key.
#[derive(Debug, Args)]
struct Place {
    /// The ledger's directory [default: `ledger` in the data directory]
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// The public key, or a file with it [default: the one that lies in the ledger's directory]
    #[arg(long, value_name = "KEY|FILE")]
    key: Option<String>,
    #[command(flatten)]
    dir: DataDirArg,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// How many of the last entries
    #[arg(long, value_name = "N", default_value_t = 12)]
    last: u64,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
struct ProveArgs {
    /// The entry's place in the ledger, from 0
    #[arg(group = "what")]
    index: Option<u64>,
    /// The last entry with an evaluation of this number
    #[arg(long, value_name = "N", group = "what", allow_negative_numbers = true)]
    number: Option<i64>,
    /// That the ledger continues this older checkpoint
    #[arg(long, value_name = "CHECKPOINT", group = "what")]
    from: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Write the proof to FILE [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// A ledger's directory, or a proof [default: the directory of --ledger]
    path: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// A checkpoint that was kept: the ledger must continue it
    #[arg(long, value_name = "OLD")]
    checkpoint: Option<PathBuf>,
    /// The checkpoint must be co-signed with this witness's public key (or the key in this file)
    #[arg(long, value_name = "KEY|FILE")]
    witness_key: Option<String>,
    /// Of the entry that a proof is about, show what was evaluated for this number; 1 if nothing was
    #[arg(long, allow_hyphen_values = true)]
    number: Option<i64>,
}

impl Place {
    fn folder(&self) -> Result<PathBuf, Failure> {
        match &self.ledger {
            Some(folder) => Ok(folder.clone()),
            None => Ok(self.dir.path()?.join(LEDGER)),
        }
    }

    /// The public key, and whether it is the ledger's own word for itself.
    fn key(&self, folder: Option<&Path>) -> Result<(VerifierKey, bool), Failure> {
        if let Some(key) = &self.key {
            return Ok((public_key(key)?, false));
        }
        if let Some(file) = folder.map(|folder| folder.join(VERIFIER_KEY)) {
            let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            return Ok((parse_key(&text, &file.display().to_string())?, true));
        }
        let file = self.dir.path()?.join(KEY_FILE);
        if !file.exists() {
            return Err(Failure::usage("whose proof? Give the ledger's public key with --key"));
        }
        let signer = NoteSigner::from_secret(&read_private(&file)?)
            .map_err(|error| Failure::new(Exit::Usage, Some(error.code()), format!("{}: {error}", file.display())))?;
        Ok((signer.verifier(), false))
    }

    fn reader(&self) -> Result<Reader, Failure> {
        let folder = self.folder()?;
        existing(&folder)?;
        let (key, _) = self.key(Some(&folder))?;
        Ok(Reader::open(&folder, &key)?)
    }
}

fn existing(folder: &Path) -> Result<(), Failure> {
    if folder.join(CHECKPOINT).exists() {
        return Ok(());
    }
    let folder = folder.display();
    Err(Failure::usage(format!("{folder} is no ledger: it has no checkpoint. `--ledger DIR` on a run makes one")))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read: {error}", file.display()))
}

/// A key itself, or the file that it is in.
fn public_key(text: &str) -> Result<VerifierKey, Failure> {
    let file = Path::new(text);
    if file.exists() {
        let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
        return parse_key(&text, &file.display().to_string());
    }
    parse_key(text, "--key")
}

fn parse_key(text: &str, place: &str) -> Result<VerifierKey, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{place}: {error}")))
}

fn broken(place: &Path, code: ErrorCode, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Integrity, Some(code), format!("{}: {error}", place.display()))
}

pub fn main(args: &LedgerArgs) -> Result<Exit, Failure> {
    match &args.command {
        Sub::Show(args) => show(args),
        Sub::Prove(args) => prove(args),
        Sub::Verify(args) => check(args),
        Sub::Export(place) => export(place),
        Sub::Witness(args) => witness::main(args),
    }
}

fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let reader = args.place.reader()?;
    let checkpoint = reader.checkpoint();
    let mut text =
        format!("origin  {}\nleaves  {}\nroot    {}\n", checkpoint.origin, grouped(checkpoint.size), checkpoint.root);
    let blocks = fs::read_to_string(reader.folder().join(BLOCKS)).unwrap_or_default();
    let count = blocks.lines().count().saturating_sub(1);
    text.push_str(&format!("blocks  {}\n\n{HONEST}\n\n", grouped(count as u64)));
    for index in checkpoint.size.saturating_sub(args.last)..checkpoint.size {
        let bytes = reader.entry(index)?.unwrap_or_default();
        let line = Entry::decode(&bytes).map_or_else(
            |error| error.to_string(),
            |entry| format!("{}  {:<11}  {}", Timestamp::from_nanos(entry.at()), entry.kind(), entry.text()),
        );
        text.push_str(&format!("{index:>9}  {line}\n"));
    }
    super::output::print(&text)
}

fn prove(args: &ProveArgs) -> Result<Exit, Failure> {
    let reader = args.place.reader()?;
    let size = reader.size();
    if let Some(from) = &args.from {
        let bytes = fs::read(from).map_err(|error| unreadable(from, &error))?;
        let (key, _) = args.place.key(Some(reader.folder()))?;
        let (old, _) = Checkpoint::open(&bytes, &key).map_err(|error| broken(from, error.code(), &error))?;
        let path = prove_consistency(&reader, old.size, size)
            .map_err(|error| broken(from, ErrorCode::LedgerIntegrity, &error))?;
        let proof = ConsistencyProof { old: old.size, path, checkpoint: reader.note().clone() };
        proof.verify(&old, &key).map_err(|error| broken(from, error.code(), &error))?;
        return write(args, &proof.to_string(), &format!("the ledger of {size} leaves continues {} leaves", old.size));
    }
    let index = match (args.index, args.number) {
        (Some(index), _) => index,
        (None, Some(number)) => find(&reader, number)?,
        // The command line needs one of the three.
        (None, None) => return Err(Failure::usage("what is to be proved? Give an index, --number or --from")),
    };
    let Some(entry) = reader.entry(index)? else {
        return Err(Failure::usage(format!("there is no entry {index}; the ledger has {size}, from 0")));
    };
    let path = prove_inclusion(&reader, index, size)
        .map_err(|error| broken(reader.folder(), ErrorCode::LedgerIntegrity, &error))?;
    let proof = InclusionProof { entry: Some(entry.clone()), index, path, checkpoint: reader.note().clone() };
    let (key, _) = args.place.key(Some(reader.folder()))?;
    // What does not hold is not handed out.
    proof.verify(&entry, &key).map_err(|error| broken(reader.folder(), error.code(), &error))?;
    write(args, &proof.to_string(), &format!("entry {index} of {size}: {}", told(&entry)))
}

fn told(entry: &[u8]) -> String {
    Entry::decode(entry).map_or_else(|error| error.to_string(), |entry| entry.text())
}

/// The last entry with an evaluation of this number.
fn find(reader: &Reader, number: i64) -> Result<u64, Failure> {
    for index in (0..reader.size()).rev() {
        let bytes = reader.entry(index)?.unwrap_or_default();
        if let Ok(Entry::Evaluations { rows, .. }) = Entry::decode(&bytes)
            && rows.iter().any(|row| row.number == number)
        {
            return Ok(index);
        }
    }
    Err(Failure::usage(format!("{number} was not evaluated in any of the ledger's {} entries", reader.size())))
}

fn write(args: &ProveArgs, proof: &str, sentence: &str) -> Result<Exit, Failure> {
    match &args.out {
        None => super::output::print(proof),
        Some(file) => {
            super::keys::write(file, proof)?;
            super::output::print(&format!("{sentence}\nproof written: {}\n", file.display()))
        }
    }
}

fn check(args: &VerifyArgs) -> Result<Exit, Failure> {
    let path = match &args.path {
        Some(path) => path.clone(),
        None => args.place.folder()?,
    };
    if path.is_file() { check_proof(args, &path) } else { check_ledger(args, &path) }
}

/// A kept checkpoint, with the witness's signature where one is asked for.
fn kept(args: &VerifyArgs, file: &Path, key: &VerifierKey) -> Result<Checkpoint, Failure> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    let (checkpoint, note) = Checkpoint::open(&bytes, key).map_err(|error| broken(file, error.code(), &error))?;
    if let Some(witness) = &args.witness_key {
        public_key(witness)?.verify(&note).map_err(|error| broken(file, error.code(), &error))?;
    }
    Ok(checkpoint)
}

fn check_ledger(args: &VerifyArgs, folder: &Path) -> Result<Exit, Failure> {
    existing(folder)?;
    let (key, own) = args.place.key(Some(folder))?;
    let old = args.checkpoint.as_deref().map(|file| kept(args, file, &key)).transpose()?;
    if let (Some(witness), None) = (&args.witness_key, &old) {
        let reader = Reader::open(folder, &key)?;
        public_key(witness)?.verify(reader.note()).map_err(|error| broken(folder, error.code(), &error))?;
    }
    let report = verify(folder, &key, old.as_ref()).map_err(|error| {
        let failure = Failure::from(error);
        Failure { message: format!("{}: {}", folder.display(), failure.message), ..failure }
    })?;
    let Report { checkpoint, evaluations, commands, events, blocks, in_blocks, difficulty, continues } = report;
    let mut text = format!(
        "ledger verified: {} leaves with {} evaluations, {} commands, {} events\nsigned by {}, root {}\n",
        grouped(checkpoint.size),
        grouped(evaluations),
        grouped(commands),
        grouped(events),
        key.name(),
        checkpoint.root
    );
    text.push_str(&format!(
        "{} blocks of difficulty {difficulty} over {} leaves. {HONEST}\n",
        grouped(blocks),
        grouped(in_blocks)
    ));
    if let Some(old) = continues {
        text.push_str(&format!("it continues the kept checkpoint of {} leaves\n", grouped(old)));
    }
    text.push_str(&others(args, folder, &key)?);
    if own {
        text.push_str(
            "checked with the key in the directory itself; who signed it is known only with --key from elsewhere\n",
        );
    }
    super::output::print(&text)
}

/// What else the data directory keeps of the same sessions, compared with the ledger.
fn others(args: &VerifyArgs, folder: &Path, key: &VerifierKey) -> Result<String, Failure> {
    let data = match (&args.place.dir.data_dir, folder.parent()) {
        // A ledger elsewhere has nothing to do with a data directory that nobody named.
        (None, Some(parent)) if folder.ends_with(LEDGER) => parent.to_owned(),
        (None, _) => return Ok(String::new()),
        (Some(data), _) => data.clone(),
    };
    let reader = Reader::open(folder, key)?;
    let mut text = String::new();
    let files = || Disk::new(&data).map(Arc::new).map_err(|error| unreadable(&data, &error));
    if data.join(JOURNAL).is_dir() {
        let place = data.join(JOURNAL);
        let wrong = |error: Disagreement| disagreement(&place, error);
        let journal = Journal::open(files()?, JOURNAL).map_err(|error| wrong(error.into()))?;
        journal.verify().map_err(|error| wrong(error.into()))?;
        let compared = compare_journal(&reader, &journal).map_err(wrong)?;
        text.push_str(&format!(
            "journal verified; it agrees with the ledger in {} sessions, {} evaluations, {} commands and events{}\n",
            compared.sessions,
            grouped(compared.evaluations),
            grouped(compared.operations),
            alone(&compared, "the journal")
        ));
    }
    let mut repositories: Vec<Box<dyn Repository>> = Vec::new();
    if data.join(DATABASE).is_file() {
        repositories.push(Box::new(SqliteRepository::open(&data.join(DATABASE), Timestamp::EPOCH)?));
    }
    if data.join(RESULTS).is_dir() {
        repositories.push(Box::new(FileRepository::open(files()?, RESULTS)?));
    }
    for repository in repositories {
        let compared = compare_repository(&reader, &*repository).map_err(|error| disagreement(&data, error))?;
        text.push_str(&format!(
            "repository {}: {} results of {} sessions are as the ledger says, {} are of sessions without a ledger\n",
            repository.name(),
            grouped(compared.evaluations),
            compared.sessions,
            grouped(compared.other_alone)
        ));
    }
    Ok(text)
}

fn alone(compared: &Compared, other: &str) -> String {
    let mut text = String::new();
    for (count, who) in [(compared.ledger_alone, "the ledger"), (compared.other_alone, other)] {
        if count > 0 {
            text.push_str(&format!("; {count} sessions are in {who} alone"));
        }
    }
    if compared.cut > 0 {
        text.push_str(&format!("; {} were cut off", compared.cut));
    }
    text
}

fn disagreement(place: &Path, error: Disagreement) -> Failure {
    match error {
        Disagreement::Journal(error) => error.into(),
        Disagreement::Ledger(error) => error.into(),
        Disagreement::Storage(error) => error.into(),
        Disagreement::Differs { .. } => broken(place, ErrorCode::LedgerIntegrity, &error),
    }
}

fn check_proof(args: &VerifyArgs, file: &Path) -> Result<Exit, Failure> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    let folder = args.place.ledger.as_deref();
    let (key, _) = args.place.key(folder)?;
    let failed = |error: crate::records::ledger::ProofFileError| broken(file, error.code(), &error);
    let mut exit = Exit::Done;
    let (text, note) = if bytes.starts_with(b"old ") {
        let proof = ConsistencyProof::parse(&bytes).map_err(failed)?;
        let old = args.checkpoint.as_deref().ok_or_else(|| {
            Failure::usage("the proof continues an older checkpoint; give the one that was kept with --checkpoint")
        })?;
        let old = kept(args, old, &key)?;
        let new = proof.verify(&old, &key).map_err(failed)?;
        (format!("proof holds: {} leaves of {} continue {} leaves\n", new.size, new.origin, old.size), proof.checkpoint)
    } else {
        let proof = InclusionProof::parse(&bytes).map_err(failed)?;
        let entry = proof.entry.clone().ok_or_else(|| Failure::usage("the proof has no entry in it to check"))?;
        let checkpoint = proof.verify(&entry, &key).map_err(failed)?;
        let place = format!("entry {} of {} leaves of {}", proof.index, checkpoint.size, checkpoint.origin);
        let (rows, shown) = contents(&entry, args.number);
        if shown == 0 {
            exit = Exit::NotHeld;
        }
        (format!("proof holds: {place}, {}\n{rows}", told(&entry)), proof.checkpoint)
    };
    if let Some(witness) = &args.witness_key {
        public_key(witness)?.verify(&note).map_err(|error| broken(file, error.code(), &error))?;
    }
    super::output::print(&text).map(|_| exit)
}

/// So many evaluations of an entry are shown when none is asked for by its number.
const SHOWN: usize = 5;

/// What is in an entry: its evaluations of `number`, or its first ones, a line of JSON each; and how many are shown.
fn contents(entry: &[u8], number: Option<i64>) -> (String, usize) {
    let Ok(Entry::Evaluations { rows, .. }) = Entry::decode(entry) else {
        let text = number.map(|number| format!("nothing was evaluated for {number} in it\n"));
        return (text.unwrap_or_default(), usize::from(number.is_none()));
    };
    let line = |row: &Row| serde_json::to_string(row).unwrap_or_default() + "\n";
    match number {
        None => {
            let mut text: String = rows.iter().take(SHOWN).map(line).collect();
            if let Some(more) = rows.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                text.push_str(&format!("and {more} more; --number N shows those of one number\n"));
            }
            (text, rows.len())
        }
        Some(number) => {
            let found: Vec<String> = rows.iter().filter(|row| row.number == number).map(line).collect();
            let nothing = found.is_empty().then(|| format!("nothing was evaluated for {number} in it\n"));
            (nothing.unwrap_or_else(|| found.concat()), found.len())
        }
    }
}

/// An entry, evaluation by evaluation.
fn details(entry: &[u8]) -> String {
    Entry::decode(entry)
        .map_or_else(|error| error.to_string(), |entry| serde_json::to_string(&entry).unwrap_or_default())
}

fn export(place: &Place) -> Result<Exit, Failure> {
    let folder = place.folder()?;
    existing(&folder)?;
    let (key, _) = place.key(Some(&folder))?;
    verify(&folder, &key, None)?;
    let reader = Reader::open(&folder, &key)?;
    for index in 0..reader.size() {
        let entry = reader.entry(index)?.unwrap_or_default();
        let line = format!("{{\"index\":{index},\"entry\":{}}}\n", details(&entry));
        super::output::print(&line)?;
    }
    Ok(Exit::Done)
}
