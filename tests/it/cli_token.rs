//! `fizzops token`, who comes in with one, and that no secret is seen anywhere.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::{Ran, program};

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
    fn run_with(&self, args: &str, variables: &[(&str, &str)], input: &str) -> Ran {
        let args = args.replace('@', &format!("{}/", self.folder.path().display()));
        let mut child = program()
            .args(args.split_whitespace())
            .env("EFP_DATA_DIR", self.folder.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read its input closes it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    fn run(&self, args: &str) -> Ran {
        self.run_with(args, &[], "")
    }

    fn issue(&self, more: &str) -> String {
        let ran = self.run(&format!("token issue --user ann --role BUZZ_ADMIN {more}"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let token = ran.stdout.trim().to_owned();
        fs::write(self.path("ann.token"), &token).unwrap();
        token
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

#[test]
fn a_token_is_issued_inspected_used_and_revoked() {
    for more in ["", "--set rbac.token_algorithm=ES256", "--set rbac.token_algorithm=HS256 --set rbac.development=true"]
    {
        let home = Home::new();
        let token = home.issue(more);
        let ran = home.run(&format!("token inspect @ann.token {more}"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("valid: ann in the role BUZZ_ADMIN"), "{}", ran.stdout);
        let ran =
            home.run_with(&format!("run --range 99 101 --no-summary --quiet {more}"), &[("EFP_TOKEN", &token)], "");
        assert_eq!(ran.stdout, "Fizz\nBuzz\nDENIED EFP-A001\n", "a BUZZ_ADMIN evaluates 1 to 100");
        let ran = home.run(&format!("token revoke @ann.token {more}"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        refused(&home.run(&format!("token inspect @ann.token {more}")), 3, &["revoked", "EFP-A003"]);
        refused(&home.run(&format!("run --range 1 5 --token-file @ann.token {more}")), 3, &["revoked"]);
    }
}

#[test]
fn what_is_no_valid_token_does_not_come_in() {
    let home = Home::new();
    let token = home.issue("");
    for cut in [0, 1, 4, token.len() / 2, token.len() - 1] {
        fs::write(home.path("cut"), &token[..cut]).unwrap();
        let ran = home.run("run --range 1 5 --token-file @cut");
        refused(&ran, 3, &["token"]);
        assert_eq!(ran.stdout, "", "nothing ran");
        assert!(cut < 20 || !ran.stderr.contains(&token[..cut]), "the token is not told");
    }
    let ran = home.run("token issue --user ann --role BUZZ_ADMIN --set rbac.token_issuer=elsewhere");
    fs::write(home.path("other"), ran.stdout).unwrap();
    refused(&home.run("token inspect @other"), 3, &["issuer", "enterprise-fizzbuzz-platform"]);
    let ran = home.run("token issue --user ann --role BUZZ_ADMIN --ttl 1s --set rbac.token_skew_seconds=0");
    fs::write(home.path("old"), ran.stdout).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    refused(&home.run("token inspect @old --set rbac.token_skew_seconds=0"), 3, &["expired"]);
    // Another algorithm's token against this key.
    home.issue("--set rbac.token_algorithm=ES256");
    refused(&home.run("token inspect @ann.token"), 3, &["malformed"]);
    let hs = "--set rbac.token_algorithm=HS256 --set rbac.development=true";
    home.issue(hs);
    refused(&home.run("token inspect @ann.token --set rbac.token_algorithm=ES256"), 3, &["HS256", "ES256"]);
    refused(&home.run("token issue --user a --role ANONYMOUS --set rbac.token_algorithm=HS256"), 2, &["development"]);
    refused(&home.run("token issue --user a --role ANONYMOUS --set rbac.token_algorithm=RS256"), 2, &["openssl"]);
    refused(&home.run("token issue --user ann"), 2, &["--role"]);
    // Rotation ends what was issued before.
    home.issue("");
    assert_eq!(home.run("token inspect @ann.token").code, 0);
    assert_eq!(home.run("token rotate-key").code, 0);
    refused(&home.run("token inspect @ann.token"), 3, &["signature"]);
}

#[test]
fn revocation_fails_closed() {
    let home = Home::new();
    home.issue("");
    let list = home.path("token-revoked.json");
    let whole = fs::read(&list).unwrap();
    for damaged in [&b""[..], b"{}", &whole[..whole.len() / 2]] {
        fs::write(&list, damaged).unwrap();
        refused(&home.run("token inspect @ann.token"), 3, &["status cannot be verified"]);
    }
    fs::remove_file(&list).unwrap();
    refused(&home.run("run --range 1 5 --token-file @ann.token"), 3, &["status cannot be verified"]);
    // Issuing another one does not make the list anew: what was on it is not forgotten.
    home.issue("");
    refused(&home.run("token inspect @ann.token"), 3, &["status cannot be verified"]);
}

#[test]
fn a_default_install_makes_a_secret_of_its_own_for_its_owner_alone() {
    let (one, other) = (Home::new(), Home::new());
    one.issue("");
    other.issue("");
    let file = one.path("token-efp.secret");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(fs::read(&file).unwrap(), fs::read(other.path("token-efp.secret")).unwrap());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&one.run("token inspect @ann.token"), 2, &["token-efp.secret", "may be read by others", "644"]);
    let short = [("EFP_TOKEN_SECRET", "short")];
    refused(&one.run_with("token inspect @ann.token", &short, ""), 2, &["32 characters"]);
}

#[test]
fn users_with_passwords() {
    let home = Home::new();
    let hash = home.run_with("token hash-password", &[], "correct horse\n").stdout;
    let config =
        format!("rbac:\n  users:\n    - {{name: ann, role: FIZZ_READER, password_hash: \"{}\"}}\n", hash.trim());
    fs::write(home.path("c.yaml"), config).unwrap();
    let right = [("EFP_PASSWORD", "correct horse")];
    let ran = home.run_with("run --config @c.yaml --user ann --range 50 51 --no-summary --quiet", &right, "");
    assert_eq!(ran.stdout, "Buzz\nDENIED EFP-A001\n", "{}", ran.stderr);
    for (user, password) in [("ann", "incorrect-17"), ("eve", "correct horse")] {
        let ran = home.run_with(
            &format!("run --config @c.yaml --user {user} --range 1 2"),
            &[("EFP_PASSWORD", password)],
            "",
        );
        refused(&ran, 3, &["the name or the password is wrong"]);
        assert!(!ran.stderr.contains(password));
    }
    refused(&home.run("run --config @c.yaml --user ann --range 1 2"), 3, &["EFP_PASSWORD"]);
    let ran = home.run_with("token issue --config @c.yaml --user ann", &right, "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ran = home.run_with("token issue --config @c.yaml --user ann --role FIZZBUZZ_SUPERUSER", &right, "");
    refused(&ran, 3, &["FIZZ_READER"]);
    refused(&home.run_with("token hash-password", &[], "\n"), 2, &["empty password"]);
}

#[test]
fn whoever_is_not_let_in_is_on_the_ledger() {
    let home = Home::new();
    let token = home.issue("");
    let mut other = token.clone().into_bytes();
    let last = other.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let other = String::from_utf8(other).unwrap();
    let failed = home.run_with("run --range 1 5 --quiet --ledger @audit", &[("EFP_TOKEN", &other)], "");
    refused(&failed, 3, &["signature"]);
    let cut = [("EFP_TOKEN", &token[..20])];
    refused(&home.run_with("--duration 1s --ledger @audit", &cut, ""), 3, &["malformed"]);
    let ran = home.run_with("run --range 1 5 --quiet --ledger @audit", &[("EFP_TOKEN", &token)], "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let verified = home.run("ledger verify @audit");
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let exported = home.run("ledger export --ledger @audit").stdout;
    assert_eq!(exported.matches("TOKEN_VALIDATION_FAILED").count(), 2, "{exported}");
    assert_eq!(exported.matches("TOKEN_VALIDATED").count(), 1);
    assert!(exported.contains("signature") && exported.contains("malformed"), "{exported}");
    assert!(!exported.contains(&other) && !exported.contains(&token[..20]), "no token is told");
}

#[test]
fn other_peoples_tokens_and_the_key_are_for_whoever_administers_users() {
    let home = Home::new();
    let hash = |password: &str| home.run_with("token hash-password", &[], password).stdout.trim().to_owned();
    let config = format!(
        "rbac:\n  users:\n    - {{name: ann, role: BUZZ_ADMIN, password_hash: \"{}\"}}\n    - {{name: root, role: \
         FIZZBUZZ_SUPERUSER, password_hash: \"{}\"}}\n",
        hash("anns-own"),
        hash("roots-own")
    );
    fs::write(home.path("c.yaml"), config).unwrap();
    let (ann, root) = ([("EFP_PASSWORD", "anns-own")], [("EFP_PASSWORD", "roots-own")]);
    let issued = |args: &str, with: &[(&str, &str)]| {
        let ran = home.run_with(args, with, "");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout.trim().to_owned()
    };
    let anns = issued("token issue --config @c.yaml --user ann", &ann);
    let roots = issued("token issue --config @c.yaml --user root", &root);
    let (as_ann, as_root) = ([("EFP_TOKEN", anns.as_str())], [("EFP_TOKEN", roots.as_str())]);
    for args in ["token issue --user root", "token revoke --id x", "token rotate-key"] {
        let ran = home.run_with(&format!("{args} --config @c.yaml"), &as_ann, "");
        refused(&ran, 3, &["user:*:administer", "FIZZBUZZ_SUPERUSER"]);
        assert!(ran.stdout.is_empty(), "{args}");
        refused(&home.run(&format!("{args} --config @c.yaml --set rbac.user=ann")), 3, &["EFP_PASSWORD"]);
    }
    issued("token issue --user ann --config @c.yaml", &as_root);
    issued("token revoke --id x --config @c.yaml", &as_root);
    fs::write(home.path("own"), &anns).unwrap();
    issued("token revoke @own --config @c.yaml", &as_ann);
    refused(&home.run_with("run --range 1 5 --config @c.yaml", &as_ann, ""), 3, &["revoked"]);
    issued("token rotate-key --config @c.yaml --set rbac.user=root", &root);
    refused(&home.run_with("token rotate-key --config @c.yaml", &as_root, ""), 3, &["signature"]);
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// Whatever a run wrote: its files, and a recording unpacked.
fn left_behind(home: &Home) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    files(home.folder.path(), &mut found);
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let unpacked = zstd::decode_all(&bytes[..]).unwrap_or_default();
        (path.display().to_string(), [bytes, unpacked].concat())
    };
    found.into_iter().map(read).collect()
}

#[test]
fn a_secret_is_in_none_of_the_files_and_outputs_that_a_run_leaves() {
    use base64::Engine as _;
    let home = Home::new();
    let secret = "SECRET-of-forty-characters-0123456789-abc";
    let password = "PASSWORD-of-ann-17";
    let hash = home.run_with("token hash-password", &[], password).stdout;
    let config =
        format!("rbac:\n  users:\n    - {{name: ann, role: BUZZ_ADMIN, password_hash: \"{}\"}}\n", hash.trim());
    fs::write(home.path("c.yaml"), config).unwrap();
    let given = [("EFP_TOKEN_SECRET", secret), ("EFP_PASSWORD", password), ("RUST_LOG", "trace")];
    let token = home.run_with("token issue --config @c.yaml --user ann", &given, "").stdout.trim().to_owned();
    assert!(token.starts_with("EFP."), "{token}");
    let with_token = [given[0], given[1], given[2], ("EFP_TOKEN", &token)];
    let mut outputs = String::new();
    for args in [
        "run --config @c.yaml --all --range 1 400 --verbose --format json --metadata --ledger @audit --record @day.fizz \
         --journal --repository filesystem",
        "run --config @c.yaml --range 1 5 --set rbac.token_secret=nonsense",
        "run --config @c.yaml --range 1 5 --chaos-level 9",
        "--config @c.yaml --duration 1500ms --ledger @audit --record @live.fizz",
        "gameday run modulo_meltdown --config @c.yaml --virtual --ledger @audit --record @drill.fizz",
        "config show --config @c.yaml",
        "token inspect --config @c.yaml",
        "token revoke --config @c.yaml --id x",
        "ledger show --ledger @audit --last 99999",
        "ledger export --ledger @audit",
        "replay @day.fizz",
        "run --help",
        "token --help",
    ] {
        let ran = home.run_with(args, &with_token, "");
        outputs.push_str(&ran.stdout);
        outputs.push_str(&ran.stderr);
    }
    assert!(home.path("journal").is_dir() && home.path("results").is_dir());
    assert!(outputs.contains("TOKEN_VALIDATED") && outputs.contains("valid: ann"), "the secret was in use");
    let mut seen = left_behind(&home);
    assert!(seen.iter().any(|(name, _)| name.ends_with("day.fizz")) && seen.len() > 10, "{}", seen.len());
    seen.push(("the outputs".into(), outputs.into_bytes()));
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(secret);
    let key_file = fs::read_to_string(home.path("ledger.key")).unwrap();
    let key = key_file.trim().rsplit('+').next().unwrap();
    for (name, bytes) in &seen {
        for needle in [secret, password, &hex, &base64[..40], &token, token.rsplit('.').next().unwrap(), key] {
            if needle == key && name.ends_with("ledger.key") {
                continue;
            }
            let found = bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
            assert!(!found, "{name} has a secret in it");
        }
    }
}
