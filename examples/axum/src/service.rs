//! The service. Keys have values with versions; a write is answered once it is on disk, and an older version than the one
//! that is there changes nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;
use stormglass::disk::Disk;
use tokio::sync::{mpsc, oneshot};

const LOG: &str = "log";

/// A value, and how often its client has changed it.
type Versioned = (u64, String);

/// A write on its way to the disk, and whom to tell.
type Write = (String, Versioned, oneshot::Sender<()>);

/// What all requests share.
#[derive(Clone)]
pub struct Store {
    values: Arc<Mutex<BTreeMap<String, Versioned>>>,
    log: mpsc::Sender<Write>,
}

/// Opens the store that is on a disk. The second value writes to it, for as long as it is polled.
pub async fn open<D: Disk>(disk: D) -> io::Result<(Store, impl Future<Output = io::Result<()>>)> {
    let mut values = BTreeMap::new();
    let log = disk.read(LOG).await?.unwrap_or_default();
    for line in String::from_utf8_lossy(&log).lines() {
        let mut fields = line.splitn(3, ' ');
        if let (Some(key), Some(Ok(version)), Some(value)) =
            (fields.next(), fields.next().map(str::parse), fields.next())
        {
            put(&mut values, key.to_owned(), (version, value.to_owned()));
        }
    }
    let (log, writes) = mpsc::channel(64);
    let store = Store { values: Arc::new(Mutex::new(values)), log };
    Ok((store.clone(), write(disk, store.values, writes)))
}

async fn write<D: Disk>(
    disk: D,
    values: Arc<Mutex<BTreeMap<String, Versioned>>>,
    mut writes: mpsc::Receiver<Write>,
) -> io::Result<()> {
    // The file's name is on disk before anything that it holds is promised.
    disk.append(LOG, b"").await?;
    disk.sync(LOG).await?;
    disk.sync_dir().await?;
    while let Some((key, (version, value), done)) = writes.recv().await {
        disk.append(LOG, format!("{key} {version} {value}\n").as_bytes()).await?;
        disk.sync(LOG).await?;
        put(&mut values.lock().expect("nobody panics with it"), key, (version, value));
        // Who asked may be gone.
        let _ = done.send(());
    }
    Ok(())
}

fn put(values: &mut BTreeMap<String, Versioned>, key: String, new: Versioned) {
    let known = values.entry(key).or_default();
    if new.0 >= known.0 {
        *known = new;
    }
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// The service's routes.
pub fn app(store: Store) -> Router {
    Router::new().route("/kv/{key}", get(read).put(change)).with_state(store)
}

async fn read(State(store): State<Store>, Path(key): Path<String>) -> Result<String, StatusCode> {
    let values = store.values.lock().expect("nobody panics with it");
    values.get(&key).map(|(version, value)| format!("{version} {value}")).ok_or(StatusCode::NOT_FOUND)
}

async fn change(
    State(store): State<Store>,
    Path(key): Path<String>,
    Query(Version { version }): Query<Version>,
    value: String,
) -> StatusCode {
    if key.contains(' ') || value.contains('\n') {
        return StatusCode::BAD_REQUEST;
    }
    let (done, is_done) = oneshot::channel();
    // A task of its own: a client that hangs up does not take back what it asked for.
    tokio::spawn(async move { store.log.send((key, (version, value), done)).await });
    match tokio::time::timeout(Duration::from_secs(1), is_done).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
