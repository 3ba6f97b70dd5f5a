//! The house's rules, read from the source: who may import whom, and who may look at a clock.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each source file with its path below `src` and its code without comment lines.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    found.sort();
    assert!(found.len() > 50, "the sources are there");
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    found.iter().map(|path| (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), code(path))).collect()
}

/// The room of a path of ours: `mechanisms/cache` for a mechanism, else the first folder.
fn room(path: &str) -> String {
    let mut parts = path.split(['/', ':']).filter(|part| !part.is_empty());
    let first = parts.next().unwrap_or_default().trim_end_matches(".rs");
    match first {
        "mechanisms" | "records" | "telemetry" | "upstream" => match parts.next() {
            Some(second) => format!("{first}/{}", second.trim_end_matches(".rs")),
            None => first.to_owned(),
        },
        _ => first.to_owned(),
    }
}

/// Every `crate::…` path in a code, with brace groups of rooms opened.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` is a macro's, `pub(crate)` is none.
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let inside = group.split('}').next().unwrap_or_default();
            found.extend(inside.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
            continue;
        }
        let path: String =
            rest.chars().take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':')).collect();
        match rest[path.len()..].strip_prefix('{') {
            Some(group) if matches!(path.as_str(), "mechanisms::" | "records::" | "telemetry::") => {
                let inside = group.split('}').next().unwrap_or_default();
                found.extend(inside.split(',').map(|part| format!("{path}{}", part.trim())));
            }
            _ => found.push(path),
        }
    }
    found
}

/// How high a room stands; it may import what stands lower.
fn floor(room: &str) -> u32 {
    // What the rooms of records stand on: the way of messages, files behind a port, their directory, filters over records.
    if matches!(room, "records/bus" | "records/files" | "records/data_dir" | "records/specification") {
        return 1;
    }
    match room.split('/').next().unwrap_or_default() {
        "domain" => 0,
        "pipeline" | "config" => 1,
        "mechanisms" | "records" | "upstream" | "telemetry" => 2,
        "engine" => 3,
        "gameday" | "recording" => 4,
        "console" | "server" => 5,
        "cli" => 6,
        "lib" | "main" => 7,
        other => panic!("{other} is no room of the house: see the design before adding one"),
    }
}

#[test]
fn dependencies_go_down_the_list_of_rooms_and_never_up() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (file, code) in files() {
        let own = room(&file);
        for import in imports(&code) {
            let other = room(&import);
            if other == own {
                continue;
            }
            seen += 1;
            let allowed = floor(&other) < floor(&own) && !(own == "pipeline" && other == "config");
            if !allowed {
                wrong.push(format!("{file} imports {import}"));
            }
        }
    }
    assert!(seen > 100, "imports are seen: {seen}");
    assert!(wrong.is_empty(), "against the dependency rule:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_clock_and_the_front_ends_look_at_the_time() {
    let looks = |code: &str| {
        ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now"].iter().any(|call| code.contains(call))
    };
    let lookers: Vec<_> = files().into_iter().filter(|(_, code)| looks(code)).map(|(file, _)| file).collect();
    assert!(lookers.iter().any(|file| file == "engine/clock.rs"), "{lookers:?}");
    let others: Vec<_> = lookers
        .iter()
        .filter(|file| *file != "engine/clock.rs" && !file.starts_with("cli/") && !file.starts_with("console/"))
        .collect();
    assert!(others.is_empty(), "{others:?} look at a clock of their own");
}

#[test]
fn unordered_maps_are_only_where_their_order_cannot_be_seen() {
    // `FxHashMap` and `HashMap` are for look-ups; whoever uses one here says why beside it.
    let known = ["mechanisms/cache", "mechanisms/limits", "mechanisms/breaker", "engine/seed.rs", "cli/cache.rs"];
    for (file, code) in files() {
        let used = code.lines().any(|line| line.contains("HashMap") || line.contains("HashSet"));
        assert!(!used || known.iter().any(|place| file.starts_with(place)), "{file} uses an unordered map");
    }
}
