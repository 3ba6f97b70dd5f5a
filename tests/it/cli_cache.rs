//! `fizzops cache compare` and the cache's flags as a shell sees them.

use std::io::Write as _;

use crate::common::fizzops;
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tempfile::TempDir;

/// Writes a file, and says where.
fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Twenty keys that everybody asks for, and a scan in between.
fn trace() -> String {
    let mut text = String::new();
    for at in 0..4_000_u32 {
        let key = if at % 3 == 0 { 1_000 + at } else { at * 7 % 20 };
        text.push_str(&format!("key-{key}\n"));
    }
    text
}

#[test]
fn a_trace_is_compared_plain_or_packed() {
    let folder = tempfile::tempdir().unwrap();
    let plain = file(&folder, "keys.txt", trace().as_bytes());
    let gzip = file(&folder, "keys.txt.gz", &packed(&trace()));
    let compare = |path: &str| fizzops(&format!("cache compare --trace {path} --sizes 50,10 --format json"));
    let (ran, again) = (compare(&plain), compare(&gzip));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, again.stdout, "packed or not, the keys are the same");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["requests"], 4_000);
    let sizes: Vec<_> = document["sizes"].as_array().unwrap().iter().map(|row| row["size"].clone()).collect();
    assert_eq!(sizes, [10, 50], "sizes ascend");
    for row in document["sizes"].as_array().unwrap() {
        let belady = row["belady"].as_f64().unwrap();
        let policies = row["policies"].as_array().unwrap();
        assert_eq!(policies.len(), document["policies"].as_array().unwrap().len());
        assert!(policies.iter().all(|ratio| ratio.as_f64().unwrap() <= belady), "nobody beats belady: {row}");
    }
    let text = fizzops(&format!("cache compare --trace {plain} --sizes 10,50 --baseline fifo"));
    for part in ["4 000 requests", "belady", "break-even", "fifo", "misses, %"] {
        assert!(text.stdout.contains(part), "`{part}` is missing:\n{}", text.stdout);
    }
}

#[test]
fn a_bad_trace_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let cut = packed(&trace());
    let long = "x".repeat(5_000);
    for (name, bytes, says) in [
        ("empty-line.txt", b"a\nb\n\nc\n".as_slice(), "empty-line.txt:3: the line is empty"),
        ("empty.txt", b"", "empty.txt has no key"),
        ("plain.gz", b"a\nb\n", "plain.gz is not gzip"),
        ("cut.gz", cut.get(..cut.len() / 2).unwrap(), "cut.gz:"),
        ("long.txt", long.as_bytes(), "long.txt:1: a key is at most"),
    ] {
        let path = file(&folder, name, bytes);
        let ran = fizzops(&format!("cache compare --trace {path}"));
        assert_eq!(ran.code, 2, "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(says) && ran.stdout.is_empty(), "{name}: {}", ran.stderr);
    }
    for (args, says) in [
        ("--trace /nowhere/keys", "/nowhere/keys"),
        ("--trace /dev/null --sizes 0", "0 is not in 1.."),
        ("--trace /dev/null --baseline lur", "did you mean lru?"),
        ("", "--trace"),
        ("--trace a --recording b", "cannot be used with"),
        ("--recording /nowhere/day.fizz", "/nowhere/day.fizz"),
    ] {
        let ran = fizzops(&format!("cache compare {args}"));
        assert_eq!(ran.code, 2, "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args}: {}", ran.stderr);
    }
}

#[test]
fn a_recording_is_a_trace_and_warms_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let day = folder.path().join("day.fizz").display().to_string();
    let drawn = "run --virtual --seed 3 --no-summary --draw zipf --count 3000 --range 1 500";
    let ran = fizzops(&format!("{drawn} --circuit-breaker --record {day}"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = fizzops(&format!("cache compare --recording {day} --sizes 500 --format json"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["requests"], 3_000);
    let keys = document["keys"].as_f64().unwrap();
    let found = document["sizes"][0]["belady"].as_f64().unwrap();
    assert!((found - (1.0 - keys / 3_000.0)).abs() < 1e-9, "only first requests miss a cache that has room for all");
    // The same numbers again: cold, each key misses at least once; warmed from the recording, none does.
    let misses = |more: &str| {
        let ran = fizzops(&format!("{drawn} --cache --cache-size 500 --cache-stats {more}"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let line =
            ran.stderr.lines().chain(ran.stdout.lines()).find(|line| line.contains("misses")).unwrap_or_default();
        line.to_owned()
    };
    let (cold, warm) = (misses(""), misses(&format!("--cache-warm-from {day}")));
    assert!(cold.contains(" misses") && !cold.contains(" 0 misses"), "{cold}");
    assert!(warm.contains("3 000 hits, 0 misses"), "{warm}");
    let ran = fizzops("run --range 1 3 --cache-warm-from /nowhere/day.fizz");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
}
