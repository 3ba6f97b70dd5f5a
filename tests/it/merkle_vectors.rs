//! RFC 6962 proofs, good and bad, as others' implementations answer them: <https://github.com/transparency-dev/merkle>.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fizzops::records::ledger::Hash;
use fizzops::records::ledger::merkle::{verify_consistency, verify_inclusion};
use serde_json::Value;

fn folder(kind: &str) -> Option<PathBuf> {
    let root = std::env::var("FIZZOPS_VECTORS").unwrap_or_else(|_| "../shared/vectors".into());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(root).join("merkle").join(kind);
    if !path.is_dir() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn cases(folder: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for group in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        for file in std::fs::read_dir(group.path()).unwrap().map(Result::unwrap) {
            let value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
            found.push((file.path().display().to_string(), value));
        }
    }
    found
}

/// A hash; `None` for what has not the length of one, which is a refusal too.
fn hash(value: &Value) -> Option<Hash> {
    Hash::try_from(STANDARD.decode(value.as_str()?).ok()?.as_slice()).ok()
}

fn proof(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
}

fn check(kind: &str, least: usize, verify: impl Fn(&Value) -> Option<bool>) {
    let Some(folder) = folder(kind) else { return };
    let cases = cases(&folder);
    let mut refused = 0;
    for (file, case) in &cases {
        let wanted = !case["wantErr"].as_bool().unwrap();
        assert_eq!(verify(case).unwrap_or(false), wanted, "{file}: {}", case["desc"]);
        refused += usize::from(!wanted);
    }
    println!("{} {kind} cases, {refused} of them refused", cases.len());
    assert!(cases.len() >= least && refused > 0 && refused < cases.len());
}

#[test]
fn inclusion() {
    check("inclusion", 40, |case| {
        let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
        let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
        Some(verify_inclusion(&leaf, index, size, &proof(&case["proof"])?, &root).is_ok())
    });
}

#[test]
fn consistency() {
    check("consistency", 40, |case| {
        let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
        let (old_root, new_root) = (hash(&case["root1"])?, hash(&case["root2"])?);
        Some(verify_consistency(old, new, &old_root, &new_root, &proof(&case["proof"])?).is_ok())
    });
}
