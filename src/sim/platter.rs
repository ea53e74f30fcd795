//! What is on a host's disk: what was written, and what a power loss leaves of it.
//!
//! Files are inodes, and names lead to them, as in POSIX: a sync of a file makes its content durable under whatever
//! name, a sync of the directory makes the names durable. Both have a state that is seen and one that is durable; a
//! power loss makes the durable one the one that is seen. What was not synced is gone whole, unless a step has it torn.
//!
//! A sync that fails is what it is on Linux: what was to be written is taken for written, can be read, and is not on the
//! disk. No later sync makes it durable, and a power loss shows zeros in its place, or nothing.
//!
//! This is not turmoil's own file system (`unstable-fs`), which keeps paths instead of inodes and so loses or mixes up
//! synced content where a name is used again before the directory is synced: `tests/disk/turmoils.rs` shows it. Its
//! chances are drawn from one generator for the whole simulation, too.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::rng::Seed;
use crate::script::{DiskFault, Latency};

use super::deeds::Deeds;
use super::latency;
use super::links::Purpose;
use super::trace::HostId;

/// A host's disk. It outlives the host's processes.
pub(crate) struct Platter {
    /// How long a sync takes, unless a step changes it.
    sync: Latency,
    /// The steps in force that change it or have it fail: the last one wins.
    changes: RefCell<Vec<DiskChange>>,
    /// A step has spoilt what is on it, or had it fail.
    is_bad: Cell<bool>,
    /// A bit has flipped.
    is_flipped: Cell<bool>,
    /// The process that runs has found it empty, though it was not.
    was_emptied: Cell<bool>,
    directory: RefCell<Directory>,
    deeds: Deeds,
}

/// What a step does to a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskChange {
    pub(crate) step: usize,
    /// How long a sync takes.
    pub(crate) sync: Option<Latency>,
    pub(crate) fault: Option<DiskFault>,
}

#[derive(Default)]
struct Directory {
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Inode>,
    next: u64,
}

#[derive(Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// So many bytes from the start are the same in both: a sync of a long file that grew copies what is new.
    same: usize,
    /// From here on a sync writes: above `same` where one has failed.
    unwritten: usize,
}

impl Inode {
    fn set_len(&mut self, length: usize) {
        self.same = self.same.min(length);
        self.unwritten = self.unwritten.min(length);
        self.seen.resize(length, 0);
    }

    fn append(&mut self, bytes: &[u8]) {
        self.seen.extend_from_slice(bytes);
    }

    fn sync(&mut self) {
        self.durable.resize(self.unwritten, 0);
        self.durable.extend_from_slice(&self.seen[self.unwritten..]);
        if self.same == self.unwritten {
            self.same = self.durable.len();
        }
        self.unwritten = self.durable.len();
    }

    /// Nothing is written, and taken for written.
    fn fail_to_sync(&mut self) {
        self.unwritten = self.seen.len();
    }

    fn power_lost(&mut self) {
        self.seen.truncate(self.same);
        self.seen.extend_from_slice(&self.durable[self.same..]);
        self.same = self.seen.len();
        self.unwritten = self.seen.len();
    }

    /// Part of what was to be written has reached the disk when the power goes: as much as `share` of it, from 0 to 1.
    /// Whether anything was to be written.
    fn tear(&mut self, share: f64) -> bool {
        let unsynced = self.seen.len() - self.unwritten;
        if unsynced == 0 {
            return false;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of what is in memory")]
        let part = (share * (unsynced + 1) as f64) as usize;
        if part > 0 {
            self.durable.resize(self.unwritten, 0);
            self.durable.extend_from_slice(&self.seen[self.unwritten..self.unwritten + part.min(unsynced)]);
        }
        true
    }
}

impl Directory {
    fn number(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Inode> {
        let number = self.number(name)?;
        Ok(self.files.get_mut(&number).expect("a name leads to a file"))
    }

    fn file_or_new(&mut self, name: &str) -> &mut Inode {
        let next = &mut self.next;
        let number = *self.names.entry(name.to_owned()).or_insert_with(|| {
            *next += 1;
            *next
        });
        self.files.entry(number).or_default()
    }

    /// Files to which neither what is seen nor what is durable leads are gone.
    fn forget_unnamed(&mut self) {
        let Self { names, durable_names, files, .. } = self;
        files.retain(|number, _| names.values().chain(durable_names.values()).any(|named| named == number));
    }
}

impl Platter {
    pub(crate) fn new(sync: Latency, deeds: Deeds) -> Self {
        Self {
            sync,
            changes: RefCell::default(),
            is_bad: Cell::new(false),
            is_flipped: Cell::new(false),
            was_emptied: Cell::new(false),
            directory: RefCell::default(),
            deeds,
        }
    }

    /// Takes a step's change into force.
    pub(crate) fn change(&self, change: DiskChange, seed: Seed, host: HostId) {
        if change.fault == Some(DiskFault::BitFlip) {
            let key = |which: u64| [Purpose::DiskFlip as u64, u64::from(host.0), change.step as u64, which];
            if self.flip(seed.draw_unit(&key(0)), seed.draw_unit(&key(1))) {
                self.is_bad.set(true);
                self.is_flipped.set(true);
                self.deeds.acted(change.step);
            }
        }
        self.changes.borrow_mut().push(change);
    }

    /// Ends a step's change.
    pub(crate) fn unchange(&self, step: usize) {
        self.changes.borrow_mut().retain(|change| change.step != step);
    }

    /// Ends all changes of steps. `true`: there was one.
    pub(crate) fn heal(&self) -> bool {
        !std::mem::take(&mut *self.changes.borrow_mut()).is_empty()
    }

    /// Whether a change of a step is in force; that a bit has flipped is none.
    pub(crate) fn is_changed(&self) -> bool {
        let stays = |change: &DiskChange| change.sync.is_some() || change.fault != Some(DiskFault::BitFlip);
        self.changes.borrow().iter().any(stays)
    }

    /// Whether a process may end for what steps have done to the disk.
    pub(crate) fn is_bad(&self) -> bool {
        self.is_bad.get()
    }

    /// Whether the process that runs has found it empty, though it was not.
    pub(crate) fn was_emptied(&self) -> bool {
        self.was_emptied.get()
    }

    /// Whether a bit has flipped since it was made.
    pub(crate) fn was_flipped(&self) -> bool {
        self.is_flipped.get()
    }

    /// The step in force that has it fail so.
    fn failing(&self, fault: DiskFault) -> Option<usize> {
        let changes = self.changes.borrow();
        changes.iter().rev().find(|change| change.fault == Some(fault)).map(|change| change.step)
    }

    /// Whether it fails so, and then that it did.
    fn fails(&self, fault: DiskFault) -> bool {
        let Some(step) = self.failing(fault) else { return false };
        self.deeds.acted(step);
        true
    }

    /// A process is about to start.
    pub(crate) fn starts(&self) {
        let is_empty = self.directory.borrow().names.is_empty();
        let emptied = !is_empty && self.fails(DiskFault::Emptied);
        if emptied {
            *self.directory.borrow_mut() = Directory::default();
        }
        self.was_emptied.set(emptied);
    }

    /// Whether syncs hang.
    pub(crate) fn hangs(&self) -> bool {
        self.fails(DiskFault::SyncHangs)
    }

    /// How long the sync of this number takes.
    pub(crate) fn latency(&self, seed: Seed, host: HostId, incarnation: u32, number: u64) -> Duration {
        let key = [Purpose::DiskSync as u64, u64::from(host.0), u64::from(incarnation), number];
        let change = self.changes.borrow().iter().rev().find_map(|change| Some((change.step, change.sync?)));
        let sync = change.map_or(self.sync, |(step, sync)| {
            self.deeds.acted(step);
            sync
        });
        latency::sample(&sync, seed.draw_unit(&key))
    }

    /// Flips a bit of a file, both drawn from 0 to 1. Whether there was one.
    fn flip(&self, which: f64, place: f64) -> bool {
        let mut directory = self.directory.borrow_mut();
        let named: Vec<u64> = directory.names.values().copied().collect();
        let long =
            named.into_iter().filter(|number| directory.files.get(number).is_some_and(|f| !f.durable.is_empty()));
        let long: Vec<u64> = long.collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in what is in memory")]
        let nth = |share: f64, count: usize| ((share * count as f64) as usize).min(count.saturating_sub(1));
        let Some(number) = long.get(nth(which, long.len())) else { return false };
        let file = directory.files.get_mut(number).expect("a name leads to a file");
        let bit = nth(place, file.durable.len() * 8);
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        file.durable[byte] ^= mask;
        if byte < file.same {
            file.seen[byte] ^= mask;
        }
        true
    }

    fn room(&self) -> io::Result<()> {
        if self.fails(DiskFault::NoSpace) {
            self.is_bad.set(true);
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.directory.borrow_mut().file(name).ok().map(|file| file.seen.clone())
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.room()?;
        let mut directory = self.directory.borrow_mut();
        let file = directory.file_or_new(name);
        file.set_len(0);
        file.append(bytes);
        Ok(())
    }

    pub(crate) fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.room()?;
        self.directory.borrow_mut().file_or_new(name).append(bytes);
        Ok(())
    }

    pub(crate) fn truncate(&self, name: &str, length: usize) -> io::Result<()> {
        self.directory.borrow_mut().file(name).map(|file| file.set_len(length))
    }

    pub(crate) fn sync(&self, name: &str) -> io::Result<()> {
        let mut directory = self.directory.borrow_mut();
        let file = directory.file(name)?;
        if self.fails(DiskFault::SyncFails) {
            file.fail_to_sync();
            self.is_bad.set(true);
            return Err(io::Error::other("input/output error"));
        }
        file.sync();
        Ok(())
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut directory = self.directory.borrow_mut();
        let number = directory.number(from)?;
        directory.names.remove(from);
        directory.names.insert(to.to_owned(), number);
        directory.forget_unnamed();
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let mut directory = self.directory.borrow_mut();
        directory.number(name)?;
        directory.names.remove(name);
        directory.forget_unnamed();
        Ok(())
    }

    pub(crate) fn sync_dir(&self) {
        let mut directory = self.directory.borrow_mut();
        directory.durable_names = directory.names.clone();
        directory.forget_unnamed();
    }

    pub(crate) fn list(&self) -> Vec<String> {
        self.directory.borrow().names.keys().cloned().collect()
    }

    /// What was not durable is gone, or a part of it.
    pub(crate) fn power_lost(&self, seed: Seed, host: HostId, incarnation: u32) {
        let mut directory = self.directory.borrow_mut();
        if let Some(step) = self.failing(DiskFault::TornWrites) {
            for (number, file) in &mut directory.files {
                let key = [Purpose::DiskTear as u64, u64::from(host.0), u64::from(incarnation), *number];
                if file.tear(seed.draw_unit(&key)) {
                    self.deeds.acted(step);
                }
            }
        }
        directory.names = directory.durable_names.clone();
        directory.forget_unnamed();
        directory.files.values_mut().for_each(Inode::power_lost);
    }
}
