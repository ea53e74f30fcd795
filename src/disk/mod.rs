//! The seam between a host and its disk.
//!
//! A host is generic over [`Disk`] and knows nothing else of where its files are: [`real`] is a directory of this machine;
//! the testbed has one of a simulated machine, which can lose power. Both are in every build. Names are of files in the disk's one
//! directory; there are no directories within it.
//!
//! What a host may rely on is what POSIX gives, and no more:
//!
//! | done | survives a kill of the process | survives a power loss |
//! |---|---|---|
//! | [`write`](Disk::write), [`append`](Disk::append), [`truncate`](Disk::truncate) | yes | after [`sync`](Disk::sync) of the file |
//! | the name of a new file, [`rename`](Disk::rename), [`remove`](Disk::remove) | yes | after [`sync_dir`](Disk::sync_dir) |
//!
//! So a new file is there for good after both. Small state that must never be lost or half written goes through
//! [`replace`], inside an envelope ([`seal`] and [`open`]) that tells whether it came back as it was written.
//!
//! **Invariant:** `real.rs` is the only file that hosts reach and that names `std::fs`.

mod envelope;
pub mod real;

use std::future::Future;
use std::io::{self, ErrorKind};

pub use envelope::{Corrupt, HEADER_BYTES, open, seal};

/// A disk: one directory of files. Clones are the same directory.
///
/// Errors name the operation and the file. After a failed sync nobody knows what is on the disk, and a second try that
/// succeeds proves nothing: whoever depends on what was written stops.
pub trait Disk: Clone + 'static {
    /// A file's whole content; `None`: there is no such file.
    fn read(&self, name: &str) -> impl Future<Output = io::Result<Option<Vec<u8>>>>;
    /// Makes these bytes a file's whole content; the file is created unless it exists.
    fn write(&self, name: &str, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;
    /// Adds to the end of a file, which is created unless it exists.
    fn append(&self, name: &str, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;
    /// Cuts a file to so many bytes. One that was shorter is filled up with zeros.
    fn truncate(&self, name: &str, length: u64) -> impl Future<Output = io::Result<()>>;
    /// Resolves when a file's content is durable. Its name need not be: that is [`Disk::sync_dir`]'s.
    fn sync(&self, name: &str) -> impl Future<Output = io::Result<()>>;
    /// [`Disk::append`], and then [`Disk::sync`]: in one go, where that spares something.
    fn append_and_sync(&self, name: &str, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
        async move {
            self.append(name, bytes).await?;
            self.sync(name).await
        }
    }
    /// Gives a file another name, at once: whoever reads `to` finds the old file or the new one, whole.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = io::Result<()>>;
    /// Resolves when it is durable which files there are, and how they are called.
    fn sync_dir(&self) -> impl Future<Output = io::Result<()>>;
    /// Removes a file.
    fn remove(&self, name: &str) -> impl Future<Output = io::Result<()>>;
    /// The names of all files, in order.
    fn list(&self) -> impl Future<Output = io::Result<Vec<String>>>;
}

/// Replaces a file's content as a whole. At whatever point the process is killed or the power is lost, the file has its old
/// content or the new one; once this has returned, it has the new one for good.
///
/// It writes `NAME.tmp`, which may be left over, and which one replacement of a name at a time may use.
pub async fn replace<D: Disk>(disk: &D, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    disk.write(&temporary, bytes).await?;
    // A rename that reaches the disk before the content it names would leave an empty file.
    disk.sync(&temporary).await?;
    disk.rename(&temporary, name).await?;
    disk.sync_dir().await
}

/// A name is that of a file in the directory itself.
pub(crate) fn checked(name: &str) -> io::Result<&str> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        let message = format!("`{name}` is not the name of a file: it stands for one in the disk's own directory");
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(name)
}

/// The same kind of error, with the operation, the file and what to do about it.
pub(crate) fn cannot(what: &str, file: impl std::fmt::Display, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => ": this user must be able to write to the file and to its directory",
        ErrorKind::ReadOnlyFilesystem => ": the file system is mounted read-only, choose another directory",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ": make room on the disk and start again",
        ErrorKind::NotADirectory => ": a file is in the way, choose another directory",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot {what} {file}: {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_files_are_names() {
        for name in ["vote", "log.1", ".hidden", "with space", "é"] {
            assert_eq!(checked(name).unwrap(), name);
        }
        for name in ["", ".", "..", "/vote", "logs/1", "../vote", "vo\0te"] {
            assert_eq!(checked(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn an_error_says_what_failed_and_what_to_do() {
        let error = cannot("write", "/data/vote", &ErrorKind::PermissionDenied.into());
        let expected = "cannot write /data/vote: permission denied: this user must be able to write to the file and to \
                        its directory";
        assert_eq!((error.to_string().as_str(), error.kind()), (expected, ErrorKind::PermissionDenied));
        let error = cannot("sync", "/data/vote", &ErrorKind::StorageFull.into()).to_string();
        assert!(error.ends_with("make room on the disk and start again"), "{error}");
    }
}
