//! What we write is read and verified by others' implementations: checkpoints by `signed_note`, tiles by `tlog_tiles`.

use std::path::{Path, PathBuf};

use crate::common::fizzops;
use fizzops::records::ledger::{Checkpoint as OurCheckpoint, KeyKind, NoteSigner};
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, HashReader as _, Tile, TileHashReader, TileReader};

fn ledger() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("audit");
    let ran = fizzops(&format!(
        "run --all --range 1 5000 --virtual --seed 5 --set blockchain.batch=7 --ledger {} --data-dir {} --quiet",
        folder.display(),
        home.path().display()
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    (home, folder)
}

fn verified(folder: &Path) -> Checkpoint {
    let key = std::fs::read_to_string(folder.join("verifier.key")).unwrap();
    let verifier = StandardVerifier::new(key.trim()).unwrap();
    let note = Note::from_bytes(&std::fs::read(folder.join("checkpoint")).unwrap()).unwrap();
    let (signatures, unknown) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((signatures.len(), unknown.len()), (1, 0));
    Checkpoint::from_bytes(note.text()).unwrap()
}

#[test]
fn a_checkpoint_is_verified_by_signed_note_with_the_public_key_alone() {
    let (home, folder) = ledger();
    let checkpoint = verified(&folder);
    assert_eq!(checkpoint.origin(), "fizzops.local/ledger");
    assert!(checkpoint.size() > 700, "{}", checkpoint.size());
    // The private key file is read by others too, and what they sign is read by us.
    let text = std::fs::read_to_string(home.path().join("ledger.key")).unwrap();
    let signer = StandardSigner::new(text.trim()).unwrap();
    let mut note = Note::new(&checkpoint.to_bytes(), &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    let key = std::fs::read_to_string(folder.join("verifier.key")).unwrap().parse().unwrap();
    let (ours, _) = OurCheckpoint::open(&note.to_bytes(), &key).unwrap();
    assert_eq!((ours.size, ours.root.0), (checkpoint.size(), checkpoint.hash().0));
    let ours = NoteSigner::new("example.org/x", KeyKind::Log, &[1; 32]).unwrap();
    assert!(StandardVerifier::new(&ours.verifier().to_string()).is_ok());
}

struct Folder(PathBuf);

impl TileReader for Folder {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // Their paths begin with the height, those of the specification do not.
        Ok(tiles
            .iter()
            .map(|tile| std::fs::read(self.0.join(tile.path().replacen("tile/8/", "tile/", 1))).unwrap())
            .collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// The entries in order, read as the specification says, by nothing of ours.
fn entries(folder: &Path, size: u64) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for tile in 0..size.div_ceil(256) {
        let width = (size - tile * 256).min(256);
        let suffix = if width < 256 { format!(".p/{width}") } else { String::new() };
        let bytes = std::fs::read(folder.join(format!("tile/entries/{tile:03}{suffix}"))).unwrap();
        let mut rest = &bytes[..];
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            found.push(entry.to_vec());
            rest = after;
        }
    }
    found
}

#[test]
fn a_tile_directory_is_verified_by_tlog_tiles_entry_by_entry() {
    let (_home, folder) = ledger();
    let checkpoint = verified(&folder);
    let size = checkpoint.size();
    let entries = entries(&folder, size);
    assert_eq!(entries.len() as u64, size);
    let tiles = Folder(folder);
    // Their reader checks every tile that it loads against the root.
    let reader = TileHashReader::new(size, *checkpoint.hash(), &tiles);
    let indexes: Vec<u64> = (0..size).map(|leaf| tlog_tiles::stored_hash_index(0, leaf)).collect();
    let hashes = reader.read_hashes(&indexes).unwrap();
    for (hash, entry) in hashes.iter().zip(&entries) {
        assert_eq!(*hash, tlog_tiles::record_hash(entry));
    }
    for index in [0, 1, 255, 256, size / 2, size - 1] {
        let proof = tlog_tiles::prove_record(size, index, &reader).unwrap();
        let leaf = tlog_tiles::record_hash(&entries[index as usize]);
        tlog_tiles::check_record(&proof, size, *checkpoint.hash(), index, leaf).unwrap();
    }
}
