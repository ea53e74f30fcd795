//! The service. A record comes on a stream of its own, and is answered, with how many there are, once it is on disk. It is
//! kept once, however often it is sent.

use std::collections::BTreeSet;
use std::io;

use anyhow::{Result, ensure};
use quinn::{Endpoint, RecvStream, SendStream};
use stormglass::disk::Disk;
use tokio::sync::{mpsc, oneshot};

const LOG: &str = "log";

/// The longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 16;

/// A record on its way to the disk, and whom to tell how many there are then.
type Write = (String, oneshot::Sender<usize>);

/// Serves the records that are on a disk, until the endpoint is closed.
pub async fn serve<D: Disk>(endpoint: Endpoint, disk: D) -> Result<()> {
    let (log, writes) = mpsc::channel(64);
    let accept = async {
        while let Some(incoming) = endpoint.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                while let Ok(stream) = connection.accept_bi().await {
                    // Who gets no answer asks again.
                    let log = log.clone();
                    tokio::spawn(async move { answer(log, stream).await.unwrap_or_default() });
                }
            });
        }
        Ok(())
    };
    tokio::select! {
        accepted = accept => accepted,
        written = write(disk, writes) => Ok(written?),
    }
}

async fn answer(log: mpsc::Sender<Write>, (mut answers, mut asks): (SendStream, RecvStream)) -> Result<()> {
    let record = String::from_utf8(asks.read_to_end(RECORD_BYTES_MAX).await?)?;
    ensure!(!record.is_empty() && !record.contains(['\n', '\0']), "it is no line");
    let (done, is_done) = oneshot::channel();
    log.send((record, done)).await?;
    answers.write_all(is_done.await?.to_string().as_bytes()).await?;
    Ok(answers.finish()?)
}

async fn write<D: Disk>(disk: D, mut writes: mpsc::Receiver<Write>) -> io::Result<()> {
    let text = String::from_utf8_lossy(&disk.read(LOG).await?.unwrap_or_default()).into_owned();
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let mut records: BTreeSet<String> = lines.filter(|line| !line.ends_with('\0')).map(str::to_owned).collect();
    // What a loss of power cut off is no record, and never becomes one. The file's name is on disk before anything that it
    // holds is promised.
    disk.append(LOG, if text.is_empty() || text.ends_with('\n') { b"" } else { b"\0\n" }).await?;
    disk.sync(LOG).await?;
    disk.sync_dir().await?;
    while let Some((record, done)) = writes.recv().await {
        if !records.contains(&record) {
            disk.append(LOG, format!("{record}\n").as_bytes()).await?;
            disk.sync(LOG).await?;
            records.insert(record);
        }
        // Who asked may be gone.
        let _ = done.send(records.len());
    }
    Ok(())
}
