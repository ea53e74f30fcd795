//! A directory of this machine.
//!
//! What changes files is done on another thread, tokio's for blocking work. The thread that a service runs on goes on
//! meanwhile: it hears its peers, and gathers what goes to the disk next. Files are read on the service's own thread, for
//! that is done once, at its start.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc;

use tokio::task::spawn_blocking;

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

    /// The same on another thread.
    async fn beside(
        &self,
        what: &str,
        name: &str,
        act: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let path = self.path(name)?;
        let done = on_another_thread({
            let path = path.clone();
            move || act(&path)
        });
        done.await.map_err(|error| cannot(what, path.display(), &error))
    }
}

/// Does something on another thread. Whoever drops the future waits until it is done: who opens the directory next must not
/// find somebody still writing there.
#[expect(clippy::disallowed_methods, reason = "no run of the testbed has this disk")]
async fn on_another_thread(act: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let (running, ended) = mpsc::channel();
    let _ends = Ends(ended);
    let done = spawn_blocking(move || {
        let result = act();
        drop(running);
        result
    });
    done.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Nothing is ever sent to it: that the other side is dropped is what it waits for.
struct Ends(mpsc::Receiver<std::convert::Infallible>);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.recv();
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

fn append(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

impl Disk for RealDisk {
    async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.with("read", name, |path| match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        })
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_vec();
        self.beside("write", name, move |path| fs::write(path, bytes)).await
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_vec();
        self.beside("append to", name, move |path| append(path, &bytes).map(drop)).await
    }

    async fn append_and_sync(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_vec();
        // How long the file is, is data in this sense; when it was changed is not.
        self.beside("append to and sync", name, move |path| append(path, &bytes)?.sync_data()).await
    }

    async fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.beside("truncate", name, move |path| OpenOptions::new().write(true).open(path)?.set_len(length)).await
    }

    async fn sync(&self, name: &str) -> io::Result<()> {
        self.beside("sync", name, |path| File::open(path)?.sync_all()).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.path(to)?;
        let what = format!("rename to {}", to.display());
        self.beside(&what, from, move |from| fs::rename(from, &to)).await
    }

    async fn sync_dir(&self) -> io::Result<()> {
        let root = self.root.to_path_buf();
        let synced = on_another_thread(move || File::open(&root)?.sync_all()).await;
        synced.map_err(|error| cannot("sync the directory", self.root.display(), &error))
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.beside("remove", name, |path| fs::remove_file(path)).await
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
