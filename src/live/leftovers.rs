//! The directory of a run, and those of runs that could not remove theirs.
//!
//! A run holds a lock on a file in its directory for as long as it lives. The kernel takes the lock from who was killed,
//! so that a directory whose lock is free belongs to nobody.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const BEGIN: &str = "stormglass-live-";
const LOCK: &str = "lock";

/// The directory of one run: removed when it is dropped.
pub(super) struct Place {
    directory: TempDir,
    _lock: File,
}

impl Place {
    pub(super) fn new() -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(BEGIN).tempdir()?;
        let lock = File::create(directory.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { directory, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the directories of runs that were killed, and names them.
pub(super) fn clean() -> Vec<PathBuf> {
    clean_in(&std::env::temp_dir())
}

fn clean_in(around: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(around) else { return Vec::new() };
    let is_ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(BEGIN));
    let mut removed: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_ours).collect();
    removed.retain(|path| is_left(path) && fs::remove_dir_all(path).is_ok());
    removed.sort();
    removed
}

/// Whether the run of a directory is gone. One that has just been made has no lock yet, and is let be.
fn is_left(path: &Path) -> bool {
    let Ok(lock) = File::open(path.join(LOCK)) else { return false };
    !matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let around = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = around.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let (left, held, new, other) =
            (make("stormglass-live-a"), make("stormglass-live-b"), make("stormglass-live-c"), make("something"));
        fs::write(left.join(LOCK), "").unwrap();
        fs::write(left.join("data"), "x").unwrap();
        let lock = File::create(held.join(LOCK)).unwrap();
        lock.lock().unwrap();
        assert_eq!(clean_in(around.path()), std::slice::from_ref(&left));
        assert!(!left.exists() && held.exists() && new.exists() && other.exists());
        drop(lock);
        assert_eq!(clean_in(around.path()), [held]);
    }
}
