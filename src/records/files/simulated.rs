//! A disk in memory that fails as real ones do, by a seed: at a crash it drops, tears and reorders what was not synced;
//! before it, it may answer with EIO or ENOSPC. It shares no code with the real one, and it is for tests.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Append, Files};

/// What a disk writes at once or not at all.
const SECTOR: usize = 512;

/// How likely each fault is, of a million calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// A write fails with EIO after a part of it.
    pub write_eio: u32,
    /// A write fails with ENOSPC after a part of it.
    pub write_enospc: u32,
    /// A sync fails with EIO; what it should have made durable is so in parts, and the next sync succeeds as if nothing
    /// had been (as Linux does since 4.13).
    pub sync_eio: u32,
    /// Another call fails with EIO.
    pub other_eio: u32,
}

#[derive(Debug, Default)]
struct Content {
    /// What a crash leaves.
    durable: Vec<u8>,
    /// What a reader sees.
    seen: Vec<u8>,
    /// Where they differ.
    dirty: Vec<Range<usize>>,
}

impl Content {
    /// Makes what is dirty durable, sector by sector as `survives` says: how many bytes of it.
    fn settle(&mut self, mut survives: impl FnMut(usize) -> usize) {
        for range in std::mem::take(&mut self.dirty) {
            let mut at = range.start;
            while at < range.end {
                let end = ((at / SECTOR + 1) * SECTOR).min(range.end);
                let kept = at + survives(end - at).min(end - at);
                if kept > at {
                    if self.durable.len() < kept {
                        self.durable.resize(kept, 0);
                    }
                    self.durable[at..kept].copy_from_slice(&self.seen[at..kept]);
                }
                at = end;
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Name {
    Made(String, u64),
    Renamed(String, String),
    Removed(String),
}

#[derive(Debug)]
struct State {
    contents: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names that are not durable yet, in order.
    pending: Vec<Name>,
    next: u64,
    /// Counts crashes: what was opened before one is gone.
    boot: u64,
    faults: Faults,
    rng: ChaCha8Rng,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    /// An empty disk whose failures follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            contents: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            next: 0,
            boot: 0,
            faults: Faults::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        })))
    }

    /// From now on calls fail like this.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The power fails. What was synced is there afterwards; of the rest any sectors, whole or torn, and of the changes
    /// of names the first so many.
    pub fn crash(&self) {
        let mut state = self.state();
        let State { contents, names, durable_names, pending, rng, boot, .. } = &mut *state;
        *boot += 1;
        // Nothing, everything, or any part of it.
        let odds = [0.0, 0.5, 0.9, 1.0][rng.random_range(0..4)];
        for content in contents.values_mut() {
            content.settle(|length| {
                if !rng.random_bool(odds) {
                    0
                } else if rng.random_bool(0.1) {
                    rng.random_range(0..=length)
                } else {
                    length
                }
            });
            content.seen.clone_from(&content.durable);
        }
        let kept = rng.random_range(0..=pending.len());
        for change in pending.drain(..).take(kept) {
            rename(durable_names, change);
        }
        names.clone_from(durable_names);
        let alive: std::collections::BTreeSet<u64> = names.values().copied().collect();
        contents.retain(|id, _| alive.contains(id));
    }

    /// Changes the byte at `at` of a file, durably: what a bad sector or a wrong hand does.
    ///
    /// # Errors
    /// When there is no such file or byte.
    pub fn flip(&self, path: &str, at: usize) -> io::Result<()> {
        let mut state = self.state();
        let content = state.content(path)?;
        let byte = content.seen.get_mut(at).ok_or(io::ErrorKind::UnexpectedEof)?;
        *byte ^= 0x20;
        let flipped = *byte;
        if let Some(byte) = content.durable.get_mut(at) {
            *byte = flipped;
        }
        Ok(())
    }

    /// A poisoned lock is a test that failed already.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rename(names: &mut BTreeMap<String, u64>, change: Name) {
    match change {
        Name::Made(name, id) => {
            names.insert(name, id);
        }
        Name::Renamed(from, to) => {
            if let Some(id) = names.remove(&from) {
                names.insert(to, id);
            }
        }
        Name::Removed(name) => {
            names.remove(&name);
        }
    }
}

fn eio() -> io::Error {
    io::Error::other("simulated: input/output error (EIO)")
}

impl State {
    fn fails(&mut self, of_a_million: u32) -> bool {
        of_a_million > 0 && self.rng.random_range(0..1_000_000) < of_a_million
    }

    fn other(&mut self) -> io::Result<()> {
        let odds = self.faults.other_eio;
        if self.fails(odds) { Err(eio()) } else { Ok(()) }
    }

    fn content(&mut self, path: &str) -> io::Result<&mut Content> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("simulated: no file {path}"));
        let id = self.names.get(path).copied().ok_or_else(missing)?;
        self.contents.get_mut(&id).ok_or_else(missing)
    }

    fn change(&mut self, change: Name) {
        rename(&mut self.names, change.clone());
        self.pending.push(change);
    }
}

#[derive(Debug)]
struct Open {
    disk: SimulatedDisk,
    id: u64,
    boot: u64,
}

impl Append for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.boot != self.boot {
            return Err(eio());
        }
        let Faults { write_eio, write_enospc, .. } = state.faults;
        let error = if state.fails(write_enospc) {
            Some(io::Error::new(io::ErrorKind::StorageFull, "simulated: no space left on device (ENOSPC)"))
        } else if state.fails(write_eio) {
            Some(eio())
        } else {
            None
        };
        let written = if error.is_some() { state.rng.random_range(0..=bytes.len()) } else { bytes.len() };
        let content = state.contents.get_mut(&self.id).ok_or_else(eio)?;
        let start = content.seen.len();
        content.seen.extend_from_slice(&bytes[..written]);
        content.dirty.push(start..start + written);
        error.map_or(Ok(()), Err)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.boot != self.boot {
            return Err(eio());
        }
        let odds = state.faults.sync_eio;
        let failed = state.fails(odds);
        let State { contents, rng, .. } = &mut *state;
        let content = contents.get_mut(&self.id).ok_or_else(eio)?;
        content.settle(|length| if !failed || rng.random_bool(0.5) { length } else { 0 });
        if failed { Err(eio()) } else { Ok(()) }
    }
}

impl Files for SimulatedDisk {
    fn append(&self, path: &str) -> io::Result<Box<dyn Append>> {
        let mut state = self.state();
        state.other()?;
        let id = match state.names.get(path) {
            Some(id) => *id,
            None => {
                let id = state.next;
                state.next += 1;
                state.contents.insert(id, Content::default());
                state.change(Name::Made(path.to_owned(), id));
                id
            }
        };
        Ok(Box::new(Open { disk: self.clone(), id, boot: state.boot }))
    }

    fn read(&self, path: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let seen = &state.content(path)?.seen;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(seen.len());
        Ok(seen[start..start.saturating_add(length).min(seen.len())].to_vec())
    }

    fn size(&self, path: &str) -> io::Result<u64> {
        Ok(self.state().content(path)?.seen.len() as u64)
    }

    fn truncate(&self, path: &str, size: u64) -> io::Result<()> {
        let mut state = self.state();
        state.other()?;
        let content = state.content(path)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        content.seen.truncate(size);
        content.durable.truncate(size);
        for range in &mut content.dirty {
            range.end = range.end.min(size);
        }
        content.dirty.retain(|range| range.start < range.end);
        content.settle(|length| length);
        Ok(())
    }

    fn rewrite(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.other()?;
        let content = state.content(path)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        content.seen.get_mut(start..end).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
        content.dirty.push(start..end);
        content.settle(|length| length);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.other()?;
        state.content(from)?;
        state.change(Name::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.content(path)?;
        state.other()?;
        state.change(Name::Removed(path.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{folder}/");
        Ok(self.state().names.keys().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    fn make_folder(&self, _folder: &str) -> io::Result<()> {
        self.state().other()
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.state();
        state.other()?;
        let prefix = format!("{folder}/");
        let State { pending, durable_names, .. } = &mut *state;
        let (done, rest): (Vec<_>, Vec<_>) = std::mem::take(pending).into_iter().partition(|change| match change {
            Name::Made(name, _) | Name::Renamed(_, name) | Name::Removed(name) => name.starts_with(&prefix),
        });
        for change in done {
            rename(durable_names, change);
        }
        *pending = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_anything_of_the_rest() {
        let (mut lost, mut torn, mut whole) = (0, 0, 0);
        for seed in 0..200 {
            let disk = SimulatedDisk::new(seed);
            let mut file = disk.append("a/log").unwrap();
            file.write(&[1; 700]).unwrap();
            file.sync().unwrap();
            disk.sync_folder("a").unwrap();
            file.write(&[2; 2_000]).unwrap();
            disk.append("a/new").unwrap();
            disk.crash();
            let left = disk.read("a/log", 0, 10_000).unwrap();
            assert!(left.len() >= 700 && left[..700].iter().all(|byte| *byte == 1), "seed {seed}");
            match left.iter().filter(|byte| **byte == 2).count() {
                0 => lost += 1,
                2_000 => whole += 1,
                _ => torn += 1,
            }
            assert!(file.write(b"x").is_err(), "what was open before the crash is gone");
        }
        assert!(lost > 20 && torn > 20 && whole > 20, "{lost} {torn} {whole}");
    }

    #[test]
    fn a_file_whose_name_was_not_synced_may_be_gone() {
        let gone = (0..100)
            .filter(|seed| {
                let disk = SimulatedDisk::new(*seed);
                let mut file = disk.append("a/log").unwrap();
                file.write(b"x").unwrap();
                file.sync().unwrap();
                disk.crash();
                disk.size("a/log").is_err()
            })
            .count();
        assert!((20..80).contains(&gone), "{gone}");
    }

    #[test]
    fn faults_come_as_often_as_they_are_asked_for() {
        let disk = SimulatedDisk::new(1);
        let mut file = disk.append("a/log").unwrap();
        disk.set_faults(Faults { write_enospc: 500_000, ..Faults::default() });
        let full = (0..100).filter(|_| file.write(b"x").is_err()).count();
        assert!((30..70).contains(&full), "{full}");
        disk.set_faults(Faults { sync_eio: 1_000_000, ..Faults::default() });
        assert!(file.sync().is_err());
        disk.set_faults(Faults::default());
        assert!(file.sync().is_ok(), "the error is told once");
    }
}
