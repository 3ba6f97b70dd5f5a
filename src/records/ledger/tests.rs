//! The ledger as a whole: what it keeps, what its proofs are worth, what its directory is checked against.

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::domain::{Outcome, Output, RuleMask, Source};

fn evaluation(sequence: u64) -> Evaluation {
    Evaluation {
        sequence,
        number: sequence as i64 - 2,
        outcome: Outcome::ALL[sequence as usize % 6],
        error: None,
        output: Output::Decimal,
        matched: RuleMask(sequence),
        correct: sequence.is_multiple_of(2),
        source: Source::Strategy,
        duration: Duration::ZERO,
        retry_after: None,
        confidence: None,
        faults: 0,
        attempts: 0,
    }
}

fn config() -> LedgerConfig {
    LedgerConfig { enabled: true, difficulty: 1, block_size: 3, batch: 4, ..LedgerConfig::default() }
}

fn signer() -> NoteSigner {
    NoteSigner::new("example.org/ledger", KeyKind::Log, &[7; 32]).unwrap()
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// A ledger with some of everything, `evaluations` long.
fn filled(evaluations: u64) -> Ledger {
    let mut ledger = Ledger::new(&config(), Start::default(), Mining::Inline, at(5)).unwrap();
    ledger.keep();
    for sequence in 0..evaluations {
        ledger.evaluation(&evaluation(sequence), at(10 + sequence));
        if sequence % 50 == 7 {
            ledger.command(at(10 + sequence), "ann", "BUZZ_ADMIN", "\"pause\"", "paused \"now\"");
            ledger.event(at(10 + sequence), "FLAG_STATE_CHANGED", r#"{"flag":"wuzz"}"#);
        }
    }
    ledger.close(at(10 + evaluations));
    ledger
}

fn write(ledger: &mut Ledger, writer: &mut Writer) {
    for kept in ledger.take() {
        match kept {
            Kept::Entry(bytes) => {
                writer.append(&bytes).unwrap();
            }
            Kept::Block(block) => writer.push_block(&block).unwrap(),
        }
    }
    writer.checkpoint().unwrap();
}

fn on_disk(evaluations: u64) -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = filled(evaluations);
    write(&mut ledger, &mut Writer::open(folder.path(), signer()).unwrap());
    (folder, ledger)
}

fn files(folder: &Path) -> BTreeSet<std::path::PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.append(&mut files(&entry.path()));
        } else {
            found.insert(entry.path());
        }
    }
    found
}

#[test]
fn a_whole_ledger_is_believed() {
    let (folder, ledger) = on_disk(3_000);
    let report = verify(folder.path(), &signer().verifier(), None).unwrap();
    assert_eq!((report.evaluations, report.commands, report.events, report.difficulty), (3_000, 60, 60, 1));
    assert_eq!((report.checkpoint.size, report.checkpoint.root), (ledger.size(), ledger.root()));
    assert_eq!(report.in_blocks, ledger.size());
    let view = ledger.view();
    assert!(view.sound && view.blocks == report.blocks && view.waiting == 0);
    assert_eq!(view.edge.iter().map(|one| one.leaves).sum::<u64>(), ledger.size());
    assert!(report.checkpoint.size > 256 * 3, "more than one level of tiles: {}", report.checkpoint.size);
}

#[test]
fn every_entry_of_a_directory_is_proved_and_every_other_entry_is_not() {
    let (folder, ledger) = on_disk(700);
    let key = signer().verifier();
    let reader = Reader::open(folder.path(), &key).unwrap();
    for index in 0..reader.size() {
        let entry = reader.entry(index).unwrap().unwrap();
        let proof = InclusionProof {
            entry: Some(entry.clone()),
            index,
            path: merkle::prove_inclusion(&reader, index, reader.size()).unwrap(),
            checkpoint: reader.note().clone(),
        };
        let read = InclusionProof::parse(proof.to_string().as_bytes()).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.verify(&entry, &key).unwrap().root, ledger.root());
        let mut other = entry;
        other[0] ^= 1;
        assert!(matches!(read.verify(&other, &key), Err(ProofFileError::Proof(_))));
    }
    assert_eq!(reader.entry(reader.size()).unwrap(), None);
}

#[test]
fn a_flipped_bit_in_every_byte_of_a_small_ledger_is_found_and_named() {
    let (folder, _) = on_disk(20);
    let key = signer().verifier();
    for file in files(folder.path()) {
        let name = file.strip_prefix(folder.path()).unwrap().display().to_string();
        if name == VERIFIER_KEY {
            continue; // For whoever has no better source: the key is given from outside here.
        }
        let whole = std::fs::read(&file).unwrap();
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1 << (place % 8);
            std::fs::write(&file, &changed).unwrap();
            let error = verify(folder.path(), &key, None).expect_err(&format!("{name} byte {place}"));
            let text = error.to_string();
            let folder_of = name.split(".p/").next().unwrap();
            assert!(text.contains(folder_of) || name == CHECKPOINT, "{name}: {text}");
        }
        std::fs::write(&file, &whole).unwrap();
    }
    verify(folder.path(), &key, None).unwrap();
}

#[test]
fn cuts_additions_and_missing_files_are_found() {
    let (folder, _) = on_disk(1_500);
    let key = signer().verifier();
    for file in files(folder.path()) {
        if file.ends_with(VERIFIER_KEY) {
            continue;
        }
        let whole = std::fs::read(&file).unwrap();
        for changed in [&whole[..whole.len() - 1], &[&whole[..], b"x"].concat(), b""] {
            std::fs::write(&file, changed).unwrap();
            assert!(verify(folder.path(), &key, None).is_err(), "{}", file.display());
        }
        std::fs::remove_file(&file).unwrap();
        assert!(verify(folder.path(), &key, None).is_err(), "{}", file.display());
        std::fs::write(&file, &whole).unwrap();
    }
    verify(folder.path(), &key, None).unwrap();
}

#[test]
fn a_rewritten_history_with_a_valid_new_chain_is_found_by_a_kept_checkpoint_and_by_a_witness() {
    let (folder, _) = on_disk(200);
    let key = signer().verifier();
    let kept = Reader::open(folder.path(), &key).unwrap();
    let witness = NoteSigner::new("witness.example/w1", KeyKind::Witness, &[9; 32]).unwrap();
    let mut state = WitnessState::default();
    let first = ConsistencyProof { old: 0, path: Vec::new(), checkpoint: kept.note().clone() };
    let (_, line) = state.judge(&first, &key, &witness, 1_700_000_000).unwrap();
    let mut cosigned = kept.note().clone();
    cosigned.signatures.push(line);
    assert_eq!(witness.verifier().verify(&cosigned).unwrap().1, Some(1_700_000_000));

    // The key's holder writes another history, longer, with new blocks and a valid signature.
    let forged = tempfile::tempdir().unwrap();
    let mut other = Ledger::new(&config(), Start::default(), Mining::Inline, at(5)).unwrap();
    other.keep();
    (0..900).for_each(|sequence| other.evaluation(&evaluation(sequence), at(10 + sequence)));
    other.close(at(2_000));
    write(&mut other, &mut Writer::open(forged.path(), signer()).unwrap());
    verify(forged.path(), &key, None).expect("by itself it is a valid ledger");
    let error = verify(forged.path(), &key, Some(kept.checkpoint())).unwrap_err().to_string();
    assert!(error.contains("history was rewritten"), "{error}");

    let new = Reader::open(forged.path(), &key).unwrap();
    let old = state.size("example.org/ledger");
    let path = merkle::prove_consistency(&new, old, new.size()).unwrap();
    let request = ConsistencyProof { old, path, checkpoint: new.note().clone() };
    let before = state.clone();
    let refusal = state.judge(&request, &key, &witness, 1).unwrap_err();
    assert!(matches!(refusal, WitnessRefusal::Fork { .. }), "{refusal}");
    assert_eq!(state, before, "a witness forgets nothing");
    let request = ConsistencyProof { old: 0, path: Vec::new(), checkpoint: new.note().clone() };
    assert!(matches!(state.judge(&request, &key, &witness, 1), Err(WitnessRefusal::Conflict { .. })));
}

#[test]
fn a_ledger_is_gone_on_with_and_what_was_never_signed_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let key = signer().verifier();
    let mut roots = Vec::new();
    for round in 0..4 {
        let mut writer = Writer::open(folder.path(), signer()).unwrap();
        let mut ledger = Ledger::new(&config(), writer.start(), Mining::Inline, at(1_000 * round)).unwrap();
        ledger.keep();
        let now = at(1_000 * round + 1);
        (0..1_100).for_each(|sequence| ledger.evaluation(&evaluation(sequence), now));
        ledger.close(now);
        write(&mut ledger, &mut writer);
        roots.push(Reader::open(folder.path(), &key).unwrap().checkpoint().clone());
        // A crash: leaves, tiles and a block that no checkpoint has.
        for _ in 0..400 {
            writer.append(b"lost").unwrap();
        }
        writer.push_block(&Header { size: writer.size(), ..ledger.view().recent[0].clone() }).unwrap();
    }
    let mut writer = Writer::open(folder.path(), signer()).unwrap();
    let mut ledger = Ledger::new(&config(), writer.start(), Mining::Inline, at(9_999)).unwrap();
    ledger.keep();
    ledger.command(at(9_999), "ann", "", "\"stop\"", "the session ends");
    ledger.close(at(9_999));
    write(&mut ledger, &mut writer);
    for old in &roots {
        let report = verify(folder.path(), &key, Some(old)).unwrap();
        assert_eq!((report.evaluations, report.commands, report.continues), (4_400, 1, Some(old.size)));
    }
    let other = NoteSigner::new("example.org/ledger", KeyKind::Log, &[8; 32]).unwrap();
    assert!(matches!(Writer::open(folder.path(), other.clone()), Err(StoreError::Busy(_))), "one writer at a time");
    let start = writer.start();
    drop(writer);
    assert!(matches!(Writer::open(folder.path(), other), Err(StoreError::Checkpoint(_))));
    let error = Ledger::new(&LedgerConfig { difficulty: 2, ..config() }, start, Mining::Inline, at(0));
    assert!(matches!(error, Err(LedgerError::OtherDifficulty { found: 1, wanted: 2 })));
}

#[test]
fn checkpoints_of_others_are_refused() {
    let (folder, _) = on_disk(30);
    let other = NoteSigner::new("example.org/another", KeyKind::Log, &[7; 32]).unwrap().verifier();
    let error = Reader::open(folder.path(), &other).unwrap_err().to_string();
    assert!(error.contains("`example.org/ledger`") && error.contains("`example.org/another`"), "{error}");
    let same_name = NoteSigner::new("example.org/ledger", KeyKind::Log, &[8; 32]).unwrap().verifier();
    let error = Reader::open(folder.path(), &same_name).unwrap_err().to_string();
    assert!(error.contains("signed by"), "{error}");
    let old = Checkpoint { origin: "else".into(), size: 1, root: Hash::default(), extensions: Vec::new() };
    let error = verify(folder.path(), &signer().verifier(), Some(&old)).unwrap_err().to_string();
    assert!(error.contains("`else`"), "{error}");
    let old = Checkpoint { origin: "example.org/ledger".into(), size: 1_000_000, ..old };
    let error = verify(folder.path(), &signer().verifier(), Some(&old)).unwrap_err().to_string();
    assert!(error.contains("taken away"), "{error}");
}

#[test]
fn keys_read_back_and_damaged_ones_are_refused_without_being_told() {
    let signer = signer();
    let secret = signer.to_secret();
    assert_eq!(NoteSigner::from_secret(&secret).unwrap().verifier(), signer.verifier());
    let text = String::from_utf8(secret.expose().to_vec()).unwrap();
    for wrong in ["", "PRIVATE+KEY+x", &text[..text.len() - 9], &text.replacen("example", "exbmple", 1)] {
        let error = NoteSigner::from_secret(&crate::domain::Secret::new(wrong)).unwrap_err().to_string();
        assert!(wrong.is_empty() || !error.contains(wrong.trim()), "{error}");
    }
    assert!(!format!("{signer:?}").contains(text.trim().rsplit('+').next().unwrap()));
    let key = signer.verifier().to_string();
    assert_eq!(key.parse::<VerifierKey>().unwrap(), signer.verifier());
    for wrong in [&key[1..], &key[..key.len() - 4], "a+b", &key.replacen('+', "+0", 1)] {
        assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
    }
    assert!(NoteSigner::new("two words", KeyKind::Log, &[0; 32]).is_err());
}

#[test]
fn a_difficulty_beyond_reach_is_refused_with_the_estimate() {
    let new = |difficulty| {
        Ledger::new(&LedgerConfig { difficulty, ..config() }, Start::default(), Mining::Aside, at(0)).map(drop)
    };
    assert_eq!(new(6), Ok(()));
    let error = new(9).unwrap_err();
    assert_eq!(error.code(), ErrorCode::LedgerDifficulty);
    let text = error.to_string();
    assert!(text.contains("16^9 hashes a block, 4 hours at 5 million a second") && text.contains("0 to 6"), "{text}");
    assert!(new(u32::MAX).unwrap_err().to_string().contains("hundred thousand years"));
}

#[test]
fn mining_aside_is_cancelled_and_goes_on() {
    let mut ledger = Ledger::new(&config(), Start::default(), Mining::Aside, at(5)).unwrap();
    let (mut genesis, tries) = ledger.take_mining().unwrap();
    assert_eq!(ledger.take_mining(), None, "one at a time");
    assert_eq!(genesis.mine(tries, &AtomicBool::new(true)), None, "cancelled at once");
    ledger.mined(None);
    let (mut genesis, tries) = ledger.take_mining().unwrap();
    let hashes = genesis.mine(tries, &AtomicBool::new(false)).unwrap();
    ledger.mined(Some((genesis, hashes)));
    (0..100).for_each(|sequence| ledger.evaluation(&evaluation(sequence), at(10)));
    assert_eq!((ledger.view().blocks, ledger.view().waiting), (1, 25), "a slow miner gets larger blocks");
    let (mut block, tries) = ledger.take_mining().unwrap();
    assert_eq!(block.leaves, 25);
    let hashes = block.mine(tries, &AtomicBool::new(false)).unwrap();
    ledger.mined(Some((block, hashes)));
    assert_eq!((ledger.view().waiting, ledger.newly_closed().len()), (0, 2));
    let mut hard = ledger.view().recent[0].clone();
    hard.difficulty = 64;
    assert_eq!(hard.mine(100_000, &AtomicBool::new(false)), None, "no more than it is worth");
}

#[test]
fn the_last_commands_are_proved_at_any_size() {
    let mut ledger = Ledger::new(&config(), Start::default(), Mining::Inline, at(5)).unwrap();
    let mut sequence = 0;
    for round in 0..300u64 {
        ledger.command(at(round), "ann", "", "\"pause\"", &format!("round {round}"));
        for _ in 0..(round % 23) {
            ledger.evaluation(&evaluation(sequence), at(round));
            sequence += 1;
        }
        for audit in ledger.view().audit {
            ledger.order(&LedgerCommand::Prove { index: audit.index }).unwrap();
            let proof = ledger.view().proof.unwrap();
            assert!(proof.holds() && proof.size == ledger.size() && proof.root == ledger.root());
        }
    }
    let refusal = ledger.order(&LedgerCommand::Prove { index: 0 }).unwrap_err();
    assert!(refusal.contains("fizzops ledger prove 0"), "{refusal}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_flipped_bit_of_a_large_ledger_is_found(
        evaluations in 1u64..4_000, file in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let (folder, _) = on_disk(evaluations);
        let all: Vec<_> = files(folder.path()).into_iter().filter(|file| !file.ends_with(VERIFIER_KEY)).collect();
        let file = &all[file.index(all.len())];
        let mut bytes = std::fs::read(file).unwrap();
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(file, bytes).unwrap();
        prop_assert!(verify(folder.path(), &signer().verifier(), None).is_err(), "{}", file.display());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[ -~\n—]{0,200}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let _ = Note::parse(bytes).is_ok();
            let _ = InclusionProof::parse(bytes).is_ok();
            let _ = ConsistencyProof::parse(bytes).is_ok();
            let _ = WitnessState::read(bytes).is_ok();
        }
        let _ = text.parse::<VerifierKey>().is_ok();
    }
}
