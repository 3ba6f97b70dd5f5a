//! Keys and secrets: from files that their owner alone may read, or from environment variables; never from the command
//! line, never printed.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::{Exit, Failure};
use crate::domain::Secret;
use crate::records::ledger::{KeyKind, NoteSigner, write_whole};

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::usage(format!("the system gives no random numbers: {error}")))?;
    Ok(bytes)
}

/// No key file is longer.
const LIMIT: u64 = 64 * 1024;

/// Reads a file that its owner alone may read; one that others may read is refused.
pub fn read_private(path: &Path) -> Result<Secret, Failure> {
    let cannot = |error| Failure::usage(format!("the key file {} cannot be read: {error}", path.display()));
    let metadata = fs::metadata(path).map_err(cannot)?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(Failure::usage(format!(
            "the key file {path} may be read by others (mode {:03o}); it is not used. chmod 600 {path} and make a new key \
             if others may have seen it",
            mode & 0o777
        )));
    }
    if metadata.len() > LIMIT {
        return Err(Failure::usage(format!("the key file {} is longer than any key", path.display())));
    }
    fs::read(path).map(Secret::new).map_err(cannot)
}

/// Makes the folder of a private file, for its owner alone where it was not there.
fn private_folder(path: &Path) -> Result<(), Failure> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|error| Failure::write(folder, &error))?;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    Ok(())
}

/// Writes a file that its owner alone may read; one that is there already stays. Whether it was written.
pub fn create_private(path: &Path, secret: &Secret) -> Result<bool, Failure> {
    private_folder(path)?;
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let written = file.write_all(secret.expose()).and_then(|()| file.sync_all());
            written.map(|()| true).map_err(|error| Failure::write(path, &error))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::write(path, &error)),
    }
}

/// Puts another secret in the place of the one that is there; at every moment there is one.
pub fn replace_private(path: &Path, secret: &Secret) -> Result<(), Failure> {
    private_folder(path)?;
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    create_private(&new, secret)?;
    fs::rename(&new, path).map_err(|error| Failure::write(path, &error))
}

/// The key that signs checkpoints, made at the first run.
pub fn note_signer(path: &Path, name: &str, kind: KeyKind) -> Result<NoteSigner, Failure> {
    if !path.exists() {
        let signer = NoteSigner::new(name, kind, &random()?).map_err(|error| Failure::usage(error.to_string()))?;
        create_private(path, &signer.to_secret())?;
    }
    let signer = NoteSigner::from_secret(&read_private(path)?)
        .map_err(|error| Failure::new(Exit::Usage, Some(error.code()), format!("{}: {error}", path.display())))?;
    if signer.name() != name {
        return Err(Failure::usage(format!(
            "{} is the key of `{}`, and `{name}` is wanted; correct the name or use another --data-dir",
            path.display(),
            signer.name()
        )));
    }
    Ok(signer)
}

/// Writes a file so that a reader finds the old one or the new one.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| Failure::write(folder, &error))?;
    }
    write_whole(path, text.as_bytes()).map_err(|error| Failure::write(path, &error))
}
