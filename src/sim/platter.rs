//! What is on a host's disk: what was written, and what a power loss leaves of it.
//!
//! Files are inodes, and names lead to them, as in POSIX: a sync of a file makes its content durable under whatever
//! name, a sync of the directory makes the names durable. Both have a state that is seen and one that is durable; a
//! power loss makes the durable one the one that is seen. What was not synced is gone whole.
//!
//! This is not turmoil's own file system (`unstable-fs`), which keeps paths instead of inodes and so loses or mixes up
//! synced content where a name is used again before the directory is synced: `tests/disk/turmoils.rs` shows it. Its
//! chances are drawn from one generator for the whole simulation, too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::rng::Seed;
use crate::script::Latency;

use super::deeds::Deeds;
use super::latency;
use super::links::Purpose;
use super::trace::HostId;

/// A host's disk. It outlives the host's processes.
pub(crate) struct Platter {
    /// How long a sync takes, unless a step changes it.
    sync: Latency,
    /// The steps in force that change it: the last one wins.
    changes: RefCell<Vec<(usize, Latency)>>,
    directory: RefCell<Directory>,
    deeds: Deeds,
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
}

impl Inode {
    fn set_len(&mut self, length: usize) {
        self.same = self.same.min(length);
        self.seen.resize(length, 0);
    }

    fn append(&mut self, bytes: &[u8]) {
        self.seen.extend_from_slice(bytes);
    }

    fn sync(&mut self) {
        self.durable.truncate(self.same);
        self.durable.extend_from_slice(&self.seen[self.same..]);
        self.same = self.durable.len();
    }

    fn power_lost(&mut self) {
        self.seen.truncate(self.same);
        self.seen.extend_from_slice(&self.durable[self.same..]);
        self.same = self.seen.len();
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
        Self { sync, changes: RefCell::default(), directory: RefCell::default(), deeds }
    }

    /// Takes a step's change of the time that a sync takes into force.
    pub(crate) fn change(&self, step: usize, sync: Latency) {
        self.changes.borrow_mut().push((step, sync));
    }

    /// Ends a step's change.
    pub(crate) fn unchange(&self, step: usize) {
        self.changes.borrow_mut().retain(|(of, _)| *of != step);
    }

    /// Ends all changes of steps. `true`: there was one.
    pub(crate) fn heal(&self) -> bool {
        !std::mem::take(&mut *self.changes.borrow_mut()).is_empty()
    }

    /// Whether a change of a step is in force.
    pub(crate) fn is_changed(&self) -> bool {
        !self.changes.borrow().is_empty()
    }

    /// How long the sync of this number takes.
    pub(crate) fn latency(&self, seed: Seed, host: HostId, incarnation: u32, number: u64) -> Duration {
        let key = [Purpose::DiskSync as u64, u64::from(host.0), u64::from(incarnation), number];
        let change = self.changes.borrow().last().copied();
        let sync = change.map_or(self.sync, |(step, sync)| {
            self.deeds.acted(step);
            sync
        });
        latency::sample(&sync, seed.draw_unit(&key))
    }

    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.directory.borrow_mut().file(name).ok().map(|file| file.seen.clone())
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let mut directory = self.directory.borrow_mut();
        let file = directory.file_or_new(name);
        file.set_len(0);
        file.append(bytes);
    }

    pub(crate) fn append(&self, name: &str, bytes: &[u8]) {
        self.directory.borrow_mut().file_or_new(name).append(bytes);
    }

    pub(crate) fn truncate(&self, name: &str, length: usize) -> io::Result<()> {
        self.directory.borrow_mut().file(name).map(|file| file.set_len(length))
    }

    pub(crate) fn sync(&self, name: &str) -> io::Result<()> {
        self.directory.borrow_mut().file(name).map(Inode::sync)
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

    /// What was not durable is gone.
    pub(crate) fn power_lost(&self) {
        let mut directory = self.directory.borrow_mut();
        directory.names = directory.durable_names.clone();
        directory.forget_unnamed();
        directory.files.values_mut().for_each(Inode::power_lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Platter {
        Platter::new(Latency::Constant(Duration::ZERO), Deeds::default())
    }

    fn read(disk: &Platter, name: &str) -> Option<String> {
        disk.read(name).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_content_and_a_name_are_durable_each_for_itself() {
        let disk = disk();
        disk.write("both", b"1");
        disk.sync("both").unwrap();
        disk.write("name", b"1");
        disk.sync_dir();
        disk.write("content", b"1");
        disk.sync("content").unwrap();
        disk.power_lost();
        assert_eq!(disk.list(), ["both", "name"]);
        assert_eq!(read(&disk, "both").unwrap(), "1");
        assert_eq!(read(&disk, "name").unwrap(), "", "the name was durable, and the content was not");
    }

    #[test]
    fn a_power_loss_takes_back_what_came_after_the_sync() {
        let disk = disk();
        disk.write("log", b"abc");
        disk.sync("log").unwrap();
        disk.sync_dir();
        disk.append("log", b"def");
        disk.power_lost();
        assert_eq!(read(&disk, "log").unwrap(), "abc");
        disk.truncate("log", 1).unwrap();
        disk.append("log", b"xyz");
        disk.power_lost();
        assert_eq!(read(&disk, "log").unwrap(), "abc");
        disk.truncate("log", 1).unwrap();
        disk.append("log", b"x");
        disk.sync("log").unwrap();
        disk.write("log", b"all new");
        disk.power_lost();
        assert_eq!(read(&disk, "log").unwrap(), "ax");
        disk.truncate("log", 4).unwrap();
        assert_eq!(read(&disk, "log").unwrap(), "ax\0\0");
    }

    #[test]
    fn a_removal_and_a_rename_are_durable_with_the_directory() {
        let disk = disk();
        for name in ["a", "b"] {
            disk.write(name, name.as_bytes());
            disk.sync(name).unwrap();
        }
        disk.sync_dir();
        disk.remove("a").unwrap();
        disk.rename("b", "c").unwrap();
        assert_eq!((disk.list(), read(&disk, "c").unwrap()), (vec!["c".to_owned()], "b".to_owned()));
        disk.power_lost();
        assert_eq!((disk.list(), read(&disk, "a").unwrap()), (vec!["a".to_owned(), "b".to_owned()], "a".to_owned()));
        disk.rename("b", "a").unwrap();
        disk.sync_dir();
        disk.power_lost();
        assert_eq!((disk.list(), read(&disk, "a").unwrap()), (vec!["a".to_owned()], "b".to_owned()));
        assert_eq!(disk.directory.borrow().files.len(), 1, "files without a name take no room");
    }

    #[test]
    fn a_name_may_be_used_again_before_the_directory_is_synced() {
        let disk = disk();
        disk.write("a", b"old");
        disk.sync("a").unwrap();
        disk.sync_dir();
        disk.remove("a").unwrap();
        disk.write("a", b"new");
        disk.sync("a").unwrap();
        assert_eq!(read(&disk, "a").unwrap(), "new");
        disk.sync_dir();
        disk.power_lost();
        assert_eq!(read(&disk, "a").unwrap(), "new");
        disk.rename("a", "b").unwrap();
        disk.write("a", b"other");
        disk.append("b", b"er");
        disk.sync("b").unwrap();
        disk.power_lost();
        assert_eq!((disk.list(), read(&disk, "a").unwrap()), (vec!["a".to_owned()], "newer".to_owned()));
    }

    #[test]
    fn the_latest_change_in_force_wins() {
        let ms = Duration::from_millis;
        let deeds = Deeds::new(6);
        (3..6).for_each(|step| {
            deeds.begin(step);
            deeds.done(step, true);
        });
        let disk = Platter::new(Latency::Constant(ms(1)), deeds.clone());
        let latency = || disk.latency(Seed(1), HostId(0), 0, 0);
        assert_eq!(latency(), ms(1));
        disk.change(3, Latency::Constant(ms(30)));
        disk.change(4, Latency::Constant(ms(40)));
        disk.change(5, Latency::Constant(ms(50)));
        assert_eq!(latency(), ms(50));
        disk.unchange(4);
        assert_eq!(latency(), ms(50), "one below has ended");
        disk.unchange(5);
        assert_eq!(latency(), ms(30), "the one below is uncovered");
        assert!(disk.heal());
        assert_eq!(latency(), ms(1));
        assert!(!disk.heal());
        assert_eq!(deeds.inert(false), [4], "no sync was ever made under it");
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let disk = disk();
        assert_eq!(disk.read("a"), None);
        for missing in [disk.sync("a"), disk.truncate("a", 0), disk.remove("a"), disk.rename("a", "b")] {
            assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}
