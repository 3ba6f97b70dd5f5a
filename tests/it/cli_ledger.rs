//! `fizzops ledger`, as its user sees it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::common::{Ran, fizzops};

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `@name` stands for a file in this home.
    fn run(&self, args: &str) -> Ran {
        let args = args.replace('@', &format!("{}/", self.folder.path().display()));
        fizzops(&format!("{args} --data-dir {}", self.folder.path().display()))
    }

    fn session(&self, ledger: &str, more: &str) {
        let ran = self.run(&format!("run --all --virtual --quiet --ledger @{ledger} {more}"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
}

fn refused(ran: &Ran, code: i32, says: &[&str]) {
    let stderr = &ran.stderr;
    assert_eq!(ran.code, code, "{stderr}");
    assert_eq!(stderr.matches("error:").count(), 1, "one message: {stderr}");
    for text in says {
        assert!(stderr.contains(text), "`{text}` is missing in:\n{stderr}");
    }
}

fn done(ran: Ran) -> String {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

#[test]
fn a_ledger_is_shown_proved_verified_and_exported() {
    let home = Home::new();
    home.session("audit", "--range 1 3000 --seed 5");
    let shown = done(home.run("ledger show --ledger @audit"));
    assert!(shown.contains("fizzops.local/ledger") && shown.contains("SESSION_ENDED"), "{shown}");
    assert!(shown.contains("whoever holds the ledger's key"), "the honest sentence: {shown}");
    let verified = done(home.run("ledger verify @audit"));
    assert!(verified.contains("3 000 evaluations") && verified.contains("--key from elsewhere"), "{verified}");

    let proved = done(home.run("ledger prove --number 15 --ledger @audit --out @15.tlog-proof"));
    assert!(proved.contains("evaluations") && proved.contains("15.tlog-proof"), "{proved}");
    let text = fs::read_to_string(home.path("15.tlog-proof")).unwrap();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{text}");
    // Offline: with nothing but the proof and the public key.
    let elsewhere = Home::new();
    fs::copy(home.path("15.tlog-proof"), elsewhere.path("p")).unwrap();
    fs::copy(home.path("audit/verifier.key"), elsewhere.path("key")).unwrap();
    let held = done(elsewhere.run("ledger verify @p --key @key"));
    assert!(held.contains("proof holds") && held.contains("256 evaluations") && held.contains("251 more"), "{held}");
    let held = done(elsewhere.run("ledger verify @p --key @key --number 15"));
    assert!(held.contains("\"number\":15,") && held.lines().count() == 2, "{held}");
    let not = elsewhere.run("ledger verify @p --key @key --number 999999");
    assert_eq!(not.code, 1, "{}{}", not.stdout, not.stderr);
    assert!(not.stdout.contains("nothing was evaluated for 999999"), "{}", not.stdout);
    refused(&elsewhere.run("ledger verify @p"), 2, &["--key"]);

    let exported = done(home.run("ledger export --ledger @audit"));
    let lines: Vec<serde_json::Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rows: usize = lines.iter().filter_map(|line| line["entry"]["rows"].as_array()).map(Vec::len).sum();
    assert_eq!(rows, 3_000);
    assert!(lines.iter().enumerate().all(|(place, line)| line["index"] == place));
}

#[test]
fn sessions_go_on_in_one_ledger_and_a_kept_checkpoint_sees_rewriting() {
    let home = Home::new();
    home.session("audit", "--range 1 2000 --seed 5");
    fs::copy(home.path("audit/checkpoint"), home.path("kept")).unwrap();
    home.session("audit", "--range 1 900 --seed 6");
    let verified = done(home.run("ledger verify @audit --checkpoint @kept"));
    assert!(verified.contains("continues the kept checkpoint") && verified.contains("2 900 evaluations"), "{verified}");
    done(home.run("ledger prove --from @kept --ledger @audit --out @grown"));
    let held = done(home.run("ledger verify @grown --checkpoint @kept --key @audit/verifier.key"));
    assert!(held.contains("proof holds"), "{held}");
    refused(&home.run("ledger verify @grown --key @audit/verifier.key"), 2, &["--checkpoint"]);

    // The same key writes another history: by itself it verifies.
    home.session("rewritten", "--range 1 4000 --seed 7");
    done(home.run("ledger verify @rewritten"));
    refused(&home.run("ledger verify @rewritten --checkpoint @kept"), 4, &["history was rewritten"]);
    refused(&home.run("ledger prove --from @kept --ledger @rewritten"), 4, &["history was rewritten"]);
}

#[test]
fn a_witness_signs_what_continues_and_refuses_forks_and_rollbacks() {
    let home = Home::new();
    home.session("audit", "--range 1 2000 --seed 5");
    let signed = done(home.run("ledger witness --ledger @audit --state @w.json --out @cosigned"));
    let key = signed.lines().find_map(|line| line.strip_prefix("witness key ")).unwrap().to_owned();
    done(home.run(&format!("ledger verify @audit --checkpoint @cosigned --witness-key {key}")));
    let unsigned = home.run(&format!("ledger verify @audit --checkpoint @audit/checkpoint --witness-key {key}"));
    refused(&unsigned, 4, &["fizzops.local/witness"]);
    fs::create_dir(home.path("old")).unwrap();
    fs::copy(home.path("audit/checkpoint"), home.path("old/checkpoint")).unwrap();
    fs::copy(home.path("audit/verifier.key"), home.path("old/verifier.key")).unwrap();
    home.session("audit", "--range 1 900 --seed 6");
    done(home.run("ledger witness --ledger @audit --state @w.json --out @cosigned"));
    let before = fs::read(home.path("w.json")).unwrap();
    home.session("fork", "--range 1 9000 --seed 7");
    refused(&home.run("ledger witness --ledger @fork --state @w.json"), 4, &["fork", "does not sign"]);
    refused(&home.run("ledger witness --ledger @old --state @w.json"), 4, &["fork", "cannot have grown"]);
    assert_eq!(fs::read(home.path("w.json")).unwrap(), before, "what it refuses it does not remember");
}

#[test]
fn keys_are_made_for_their_owner_alone_and_refused_when_others_may_read_them() {
    let home = Home::new();
    home.session("audit", "--range 1 100");
    let key = home.path("ledger.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = home.run("run --range 1 10 --quiet --ledger @audit");
    refused(&ran, 2, &["ledger.key", "may be read by others", "640", "chmod 600"]);
    let secret = fs::read_to_string(&key).unwrap();
    assert!(!ran.stderr.contains(secret.trim().rsplit('+').next().unwrap()));
}

#[test]
fn bad_input_has_one_message_and_the_right_exit_code() {
    let home = Home::new();
    home.session("one", "--range 1 600");
    home.session("other", "--range 1 700 --seed 9");
    done(home.run("ledger prove 0 --ledger @one --out @proof"));
    // A proof for another tree: its path under the other's checkpoint.
    let (proof, other) =
        (fs::read_to_string(home.path("proof")).unwrap(), fs::read_to_string(home.path("other/checkpoint")).unwrap());
    let head = proof.split("\n\n").next().unwrap();
    fs::write(home.path("mixed"), format!("{head}\n\n{other}")).unwrap();
    refused(&home.run("ledger verify @mixed --key @one/verifier.key"), 4, &["the proof does not hold"]);
    // A checkpoint of another origin.
    let elsewhere = Home::new();
    elsewhere.session("far", "--range 1 600 --set blockchain.origin=example.org/far");
    fs::copy(elsewhere.path("far/checkpoint"), home.path("far")).unwrap();
    refused(&home.run("ledger verify @one --checkpoint @far"), 4, &["`example.org/far`", "`fizzops.local/ledger`"]);
    // Another key.
    refused(
        &home.run(&format!("ledger verify @one --key {}/far/verifier.key", elsewhere.folder.path().display())),
        4,
        &["example.org/far"],
    );
    refused(&home.run("run --range 1 5 --ledger @one --set blockchain.origin=example.org/far"), 2, &["ledger.key"]);
    refused(&home.run("run --range 1 5 --mining-difficulty 9"), 2, &["4 hours", "0 to 6", "EFP-B001"]);
    refused(&home.run("ledger prove 99999 --ledger @one"), 2, &["there is no entry 99999"]);
    refused(&home.run("ledger prove --number 601 --ledger @one"), 2, &["601 was not evaluated"]);
    refused(&home.run("ledger verify @nothing"), 2, &["no ledger"]);
    refused(&home.run("ledger verify @one --key nonsense"), 2, &["--key"]);
    fs::write(home.path("cut"), &proof[..proof.len() - 20]).unwrap();
    refused(&home.run("ledger verify @cut --key @one/verifier.key"), 4, &["cut"]);
    fs::create_dir(home.path("full")).unwrap();
    fs::write(home.path("full/letter"), "dear").unwrap();
    refused(&home.run("run --range 1 5 --ledger @full"), 2, &["no ledger"]);
    let entries = home.path("one/tile/entries/000.p");
    let file = fs::read_dir(entries).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 4;
    fs::write(&file, bytes).unwrap();
    refused(&home.run("ledger verify @one"), 4, &["tile/entries/000.p/", "entry 0", "EFP-B000"]);
    refused(&home.run("ledger prove 0 --ledger @one"), 4, &["does not hold"]);
    refused(&home.run("ledger export --ledger @one"), 4, &["entry 0"]);
}

#[test]
fn two_runs_of_a_game_day_have_one_head_and_a_recording_repeats_it() {
    let (one, other) = (Home::new(), Home::new());
    let head = |home: &Home, seed: u64| {
        let args =
            format!("gameday run modulo_meltdown --virtual --quiet --seed {seed} --ledger @audit --record @d.fizz");
        let ran = home.run(&args);
        assert!(ran.code < 2, "{}", ran.stderr);
        let text = fs::read_to_string(home.path("audit/checkpoint")).unwrap();
        text.lines().take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    let (first, second) = (head(&one, 3), head(&other, 3));
    assert_eq!(first, second);
    // The ledger goes on; the recording knows from where.
    let (first, second) = (head(&one, 4), head(&other, 5));
    assert_ne!(first, second);
    let verified = done(fizzops(&format!("replay {} --verify", one.path("d.fizz").display())));
    assert!(verified.contains(&format!("ledger head  {} ", first[1])), "{verified}");
    assert!(verified.contains("repeated"), "{verified}");
}

#[test]
fn a_ledger_is_in_the_data_directory_unless_told_and_one_engine_holds_it() {
    let home = Home::new();
    let ran = home.run("run --all --virtual --quiet --range 1 50 --journal --ledger");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(home.path("ledger/checkpoint").is_file() && home.path("journal").is_dir() && home.path("lock").is_file());
    let verified = done(home.run("ledger verify"));
    assert!(verified.contains("it agrees with the ledger in 1 sessions, 50 evaluations"), "{verified}");
    let held = fizzops::records::data_dir::DataDir::lock(home.folder.path()).unwrap();
    refused(&home.run("run --range 1 5 --quiet --ledger"), 2, &["in use"]);
    drop(held);
    done(home.run("run --range 1 5 --no-summary --quiet --ledger"));
}
