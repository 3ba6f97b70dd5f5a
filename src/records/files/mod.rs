//! The files that records are kept in, behind a port: the disk, and a simulated disk that fails as real ones do. It knows
//! no format, and it says honestly what is durable: only what was synced, under a name whose folder was synced.

pub mod simulated;

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// A folder with files and one level of folders in it. Paths are relative, with `/` between the parts.
pub trait Files: Debug + Send + Sync {
    /// Opens a file for appending, made empty when there is none.
    ///
    /// # Errors
    /// As the system says.
    fn append(&self, path: &str) -> io::Result<Box<dyn Append>>;

    /// At most `length` bytes from `offset` on; fewer at the file's end.
    ///
    /// # Errors
    /// As the system says.
    fn read(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// How long a file is, bytes.
    ///
    /// # Errors
    /// As the system says.
    fn size(&self, path: &str) -> io::Result<u64>;

    /// Cuts a file to `size` bytes, durably.
    ///
    /// # Errors
    /// As the system says.
    fn truncate(&self, path: &str, size: u64) -> io::Result<()>;

    /// Writes bytes that a file has at `offset` once more, durably: whatever was said of them before, they are on the disk
    /// when this returns.
    ///
    /// # Errors
    /// As the system says.
    fn rewrite(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name, in the place of what had it. Durable after [`Files::sync_folder`].
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Files::sync_folder`].
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The names of the files in a folder, sorted.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes a folder unless it is there, durably.
    ///
    /// # Errors
    /// As the system says.
    fn make_folder(&self, folder: &str) -> io::Result<()>;

    /// The names in a folder are durable when this returns.
    ///
    /// # Errors
    /// As the system says.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
}

/// A file that is open for appending.
pub trait Append: Debug + Send {
    /// Puts bytes at its end. After an error any part of them may be there.
    ///
    /// # Errors
    /// As the system says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// What was written is durable when this returns. After an error nothing is known of what was written since the last
    /// sync, and another call proves nothing: the kernel may have dropped it and forgotten the error.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder on the disk.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The files below `root`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self { root: root.to_owned() })
    }
}

#[derive(Debug)]
struct DiskFile(File);

impl Append for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Files for Disk {
    fn append(&self, path: &str) -> io::Result<Box<dyn Append>> {
        let file = OpenOptions::new().append(true).create(true).open(self.root.join(path))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn read(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.root.join(path))?;
        let length = (length as u64).min(file.metadata()?.len().saturating_sub(offset));
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn size(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.root.join(path))?.len())
    }

    fn truncate(&self, path: &str, size: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.root.join(path))?;
        file.set_len(size)?;
        file.sync_all()
    }

    fn rewrite(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.root.join(path))?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(folder))?;
        File::open(&self.root)?.sync_all()
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.root.join(folder))?.sync_all()
    }
}

/// Puts a whole file in the place of the one with this name, so that a reader sees the old one or the new one and a
/// crash leaves one of the two: a temporary file, its sync, a rename, the folder's sync.
///
/// # Errors
/// As the system says; the old file is as it was then.
pub fn replace(files: &dyn Files, folder: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{folder}/{name}.tmp");
    let written = (|| {
        match files.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = files.append(&temporary)?;
        file.write(bytes)?;
        file.sync()
    })();
    if let Err(error) = written {
        // What is left of it is replaced next time.
        let _ = files.remove(&temporary);
        return Err(error);
    }
    files.rename(&temporary, &format!("{folder}/{name}"))?;
    files.sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::simulated::SimulatedDisk;
    use super::*;

    fn exercise(files: &dyn Files) {
        files.make_folder("a").unwrap();
        let mut file = files.append("a/one").unwrap();
        file.write(b"hello ").unwrap();
        file.write(b"world").unwrap();
        file.sync().unwrap();
        assert_eq!(files.read("a/one", 6, 100).unwrap(), b"world");
        assert_eq!(files.read("a/one", 600, 100).unwrap(), b"");
        files.truncate("a/one", 5).unwrap();
        assert_eq!(files.size("a/one").unwrap(), 5);
        replace(files, "a", "two", b"first").unwrap();
        replace(files, "a", "two", b"second").unwrap();
        assert_eq!(files.read("a/two", 0, 100).unwrap(), b"second");
        assert_eq!(files.list("a").unwrap(), ["one", "two"]);
        files.rename("a/one", "a/three").unwrap();
        files.remove("a/two").unwrap();
        assert_eq!(files.list("a").unwrap(), ["three"]);
        assert_eq!(files.read("a/one", 0, 1).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(files.remove("a/one").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_disk_and_the_simulated_one_do_the_same() {
        let folder = tempfile::tempdir().unwrap();
        exercise(&Disk::new(folder.path()).unwrap());
        exercise(&SimulatedDisk::new(7));
    }
}
