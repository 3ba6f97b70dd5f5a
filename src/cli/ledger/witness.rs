//! `fizzops ledger witness`: a process of its own, with its own key and memory, that co-signs a ledger's checkpoint only
//! when it continues what it has seen.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::super::keys::{note_signer, write};
use super::super::{Exit, Failure};
use super::{Place, broken, unreadable};
use crate::domain::ErrorCode;
use crate::records::ledger::merkle::{ProveError, prove_consistency};
use crate::records::ledger::{ConsistencyProof, KeyKind, WitnessRefusal, WitnessState};

#[derive(Debug, Args)]
pub struct WitnessArgs {
    #[command(flatten)]
    place: Place,
    /// Judge this request (a proof written by `prove --from`) instead of the directory's present checkpoint
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// What the witness remembers; made at its first use
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// The witness's private key; made at its first use [default: STATE.key]
    #[arg(long, value_name = "FILE")]
    witness_key: Option<PathBuf>,
    /// The witness's name
    #[arg(long, value_name = "NAME", default_value = "fizzops.local/witness")]
    name: String,
    /// Write the co-signed checkpoint to FILE [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn main(args: &WitnessArgs) -> Result<Exit, Failure> {
    let key_file = args.witness_key.clone().unwrap_or_else(|| args.state.with_extension("key"));
    let witness = note_signer(&key_file, &args.name, KeyKind::Witness)?;
    // Judging and remembering are one step: a second witness on the same memory waits.
    let lock_file = args.state.with_extension("lock");
    let failed = |error| Failure::write(&lock_file, &error);
    let lock: File = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_file).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut state = match fs::read(&args.state) {
        Ok(bytes) => WitnessState::read(&bytes).map_err(|error| broken(&args.state, error.code(), &error))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => WitnessState::default(),
        Err(error) => return Err(unreadable(&args.state, &error)),
    };
    let folder = args.place.folder()?;
    let (key, _) = args.place.key(args.request.is_none().then_some(folder.as_path()))?;
    let request = match &args.request {
        Some(file) => {
            let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
            ConsistencyProof::parse(&bytes).map_err(|error| broken(file, error.code(), &error))?
        }
        None => {
            let reader = args.place.reader()?;
            let old = state.size(key.name());
            let path = match prove_consistency(&reader, old, reader.size()) {
                Ok(path) => path,
                // A ledger that has shrunk has no proof; the judge says what that means.
                Err(ProveError::Shrunk { .. }) => Vec::new(),
                Err(error) => return Err(broken(&folder, ErrorCode::LedgerIntegrity, &error)),
            };
            ConsistencyProof { old, path, checkpoint: reader.note().clone() }
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (checkpoint, line) = state.judge(&request, &key, &witness, now).map_err(|refusal| {
        let exit = if matches!(refusal, WitnessRefusal::Conflict { .. }) { Exit::NotHeld } else { Exit::Integrity };
        Failure::new(exit, Some(refusal.code()), format!("the witness does not sign: {refusal}"))
    })?;
    // Remembered before it is handed out.
    write(&args.state, &(serde_json::to_string_pretty(&state).unwrap_or_default() + "\n"))?;
    let mut note = request.checkpoint;
    note.signatures.push(line);
    match &args.out {
        None => super::super::output::print(&note.to_string()),
        Some(file) => {
            write(file, &note.to_string())?;
            super::super::output::print(&format!(
                "co-signed: {} leaves of {}\nwitness key {}\n",
                checkpoint.size,
                checkpoint.origin,
                witness.verifier()
            ))
        }
    }
}
