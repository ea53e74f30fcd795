//! The service. An entry is answered once it is on disk, and counts once, however often it is sent.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt as _};
use stormglass::disk::Disk;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::WatchStream;
use tonic::Status;

use crate::rpc::{Entry, Total};

const LOG: &str = "log";

/// The ledger. Clones are the same one.
#[derive(Clone)]
pub struct Ledger {
    log: mpsc::Sender<(Entry, oneshot::Sender<()>)>,
    total: watch::Receiver<u64>,
}

/// What is booked.
struct Book {
    entries: Mutex<BTreeMap<String, u64>>,
    total: watch::Sender<u64>,
}

impl Book {
    fn has(&self, entry: &Entry) -> bool {
        self.entries.lock().expect("nobody panics with it").contains_key(&entry.id)
    }

    fn book(&self, entry: Entry) {
        let before = self.entries.lock().expect("nobody panics with it").insert(entry.id, entry.amount);
        self.total.send_modify(|total| *total += entry.amount - before.unwrap_or_default());
    }
}

/// Opens the ledger that is on a disk. The second value writes to it, for as long as it is polled.
pub async fn open<D: Disk>(disk: D) -> io::Result<(Ledger, impl Future<Output = io::Result<()>>)> {
    let (total_now, total) = watch::channel(0);
    let book = Arc::new(Book { entries: Mutex::default(), total: total_now });
    let log = disk.read(LOG).await?.unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if let Some((id, Ok(amount))) = line.split_once(' ').map(|(id, amount)| (id, amount.parse())) {
            book.book(Entry { id: id.to_owned(), amount });
        }
    }
    // What a loss of power cut off is no entry, and never becomes one.
    let end: &'static [u8] = if text.is_empty() || text.ends_with('\n') { b"" } else { b" was cut off\n" };
    let (log, entries) = mpsc::channel(64);
    Ok((Ledger { log, total }, write(disk, book, entries, end)))
}

async fn write<D: Disk>(
    disk: D,
    book: Arc<Book>,
    mut entries: mpsc::Receiver<(Entry, oneshot::Sender<()>)>,
    end: &'static [u8],
) -> io::Result<()> {
    // The file's name is on disk before anything that it holds is promised.
    disk.append(LOG, end).await?;
    disk.sync(LOG).await?;
    disk.sync_dir().await?;
    while let Some((entry, done)) = entries.recv().await {
        if !book.has(&entry) {
            disk.append(LOG, format!("{} {}\n", entry.id, entry.amount).as_bytes()).await?;
            disk.sync(LOG).await?;
            book.book(entry);
        }
        // Who asked may be gone.
        let _ = done.send(());
    }
    Ok(())
}

impl Ledger {
    /// Books an entry, if it is not booked.
    pub async fn add(&self, entry: Entry) -> Result<Total, Status> {
        if entry.id.is_empty() || entry.id.contains([' ', '\n']) {
            return Err(Status::invalid_argument("an id is a word"));
        }
        let (done, is_done) = oneshot::channel();
        self.log.send((entry, done)).await.map_err(|_| Status::unavailable("the log is closed"))?;
        is_done.await.map_err(|_| Status::unavailable("the log is closed"))?;
        Ok(Total { total: *self.total.borrow() })
    }

    /// The total, and every later one.
    pub fn watch(&self) -> impl Stream<Item = Result<Total, Status>> + Send + use<> {
        WatchStream::new(self.total.clone()).map(|total| Ok(Total { total }))
    }
}
