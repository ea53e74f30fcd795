//! A directory of this machine.
//!
//! The calls are plain blocking ones. A service runs on one thread and syncs a few bytes before it answers, so nothing is
//! there that it could do meanwhile, and a thread of its own for each sync would cost more than it saves. While a disk is
//! slow the service stands still, timers included, as it does in the testbed when it is paused.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Disk, cannot, checked};

/// The file that [`RealDisk::open_alone`] locks. It stays, for a lock on a file that was removed keeps nobody out.
const LOCK: &str = ".lock";

/// A directory, and the files in it.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: Rc<Path>,
}

impl RealDisk {
    /// The disk rooted at a directory, which is created, with those above it, unless it exists. Nothing is locked: that is
    /// [`RealDisk::open_alone`]'s.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root: PathBuf = root.into();
        create(&root).map_err(|error| cannot("use the directory", root.display(), &error))?;
        Ok(Self { root: root.into() })
    }

    /// The same for a service that must be alone in its directory: while the guard is held, nobody else gets one. A
    /// process that ends, however it does, gives it back.
    pub fn open_alone(root: impl Into<PathBuf>) -> io::Result<(Self, Alone)> {
        let disk = Self::open(root)?;
        let lock =
            disk.with("open", LOCK, |path| OpenOptions::new().write(true).create(true).truncate(false).open(path))?;
        match lock.try_lock() {
            Ok(()) => Ok((disk, Alone(lock))),
            Err(TryLockError::WouldBlock) => {
                let root = disk.root.display();
                let message = format!(
                    "the directory {root} is used by another process: stop it, or choose another directory; no two may \
                     write there"
                );
                Err(io::Error::new(ErrorKind::ResourceBusy, message))
            }
            Err(TryLockError::Error(error)) => Err(cannot("lock", disk.root.join(LOCK).display(), &error)),
        }
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        Ok(self.root.join(checked(name)?))
    }

    /// Does something with a file, and names both if it fails.
    fn with<T>(&self, what: &str, name: &str, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let path = self.path(name)?;
        act(&path).map_err(|error| cannot(what, path.display(), &error))
    }
}

/// Keeps everybody else out of a directory until it is dropped; see [`RealDisk::open_alone`].
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "it is the open file that holds the lock")] File);

/// Creates a directory and those above it, durably.
fn create(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = match directory.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Err(ErrorKind::NotADirectory.into()),
    };
    create(above)?;
    fs::create_dir(directory)?;
    File::open(above)?.sync_all()
}

impl Disk for RealDisk {
    async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.with("read", name, |path| match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        })
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with("write", name, |path| fs::write(path, bytes))
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with("append to", name, |path| OpenOptions::new().append(true).create(true).open(path)?.write_all(bytes))
    }

    async fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.with("truncate", name, |path| OpenOptions::new().write(true).open(path)?.set_len(length))
    }

    async fn sync(&self, name: &str) -> io::Result<()> {
        self.with("sync", name, |path| File::open(path)?.sync_all())
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.path(to)?;
        self.with(&format!("rename to {}", to.display()), from, |from| fs::rename(from, &to))
    }

    async fn sync_dir(&self) -> io::Result<()> {
        let synced = File::open(&self.root).and_then(|directory| directory.sync_all());
        synced.map_err(|error| cannot("sync the directory", self.root.display(), &error))
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.with("remove", name, |path| fs::remove_file(path))
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        let failed = |error: io::Error| cannot("list", self.root.display(), &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // What is no file, or has a name that is no text, is not of this disk's making.
            if let (true, Ok(name)) = (entry.file_type().map_err(failed)?.is_file(), entry.file_name().into_string())
                && name != LOCK
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}
