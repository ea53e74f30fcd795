//! Term and vote in a directory of this machine, and what is made of a file that is not as it was.

use std::io;

use stormglass::disk::real::RealDisk;
use stormglass::disk::{Disk, HEADER_BYTES, seal};
use stormglass::net::real;
use stormglass::raft::storage::{FILE, Storage};
use stormglass::raft::{ClusterId, HardState, NodeId};

const STATE: HardState = HardState { term: 7, voted_for: Some(NodeId(3)) };

/// What is loaded from a directory in which a node of cluster 9 saved a state, after `change` was done to the file.
fn reloaded(cluster: ClusterId, id: NodeId, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<HardState> {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = RealDisk::open(directory.path()).expect("it opens");
    real::run(async {
        let written = Storage::new(disk.clone(), ClusterId(9), NodeId(1));
        written.save(STATE).await.expect("it is saved");
        let mut bytes = disk.read(FILE).await.expect("it can be read").expect("it is there");
        change(&mut bytes);
        disk.write(FILE, &bytes).await.expect("it can be written");
        Storage::new(disk, cluster, id).load().await
    })
    .expect("a runtime")
}

fn refused(cluster: ClusterId, id: NodeId, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let error = reloaded(cluster, id, change).expect_err("it must not be used");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let error = error.to_string();
    assert!(
        error.contains("the file `hard-state` cannot be used: ") && error.contains("; without its term"),
        "{error}"
    );
    error
}

#[test]
fn a_node_finds_what_it_saved_and_a_fresh_one_nothing() {
    assert_eq!(reloaded(ClusterId(9), NodeId(1), |_| ()).expect("it is whole"), STATE);
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::new(RealDisk::open(directory.path()).expect("it opens"), ClusterId(9), NodeId(1));
    let loaded = real::run(storage.load()).expect("a runtime").expect("nothing is wrong with nothing");
    assert_eq!(loaded, HardState::default());
}

#[test]
fn the_last_state_that_was_saved_is_the_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::new(RealDisk::open(directory.path()).expect("it opens"), ClusterId(9), NodeId(1));
    let loaded = real::run(async {
        for term in 1..=5 {
            storage.save(HardState { term, voted_for: None }).await.expect("it is saved");
        }
        storage.save(STATE).await.expect("it is saved");
        storage.load().await
    });
    assert_eq!(loaded.expect("a runtime").expect("it is whole"), STATE);
}

#[test]
fn a_file_that_is_not_as_it_was_saved_is_refused() {
    let (cluster, id) = (ClusterId(9), NodeId(1));
    let whole = HEADER_BYTES + 32;
    for length in [0, 1, HEADER_BYTES, whole - 1] {
        assert!(refused(cluster, id, |bytes| bytes.truncate(length)).contains("written in part"), "{length} bytes");
    }
    for at in 0..whole {
        refused(cluster, id, |bytes| bytes[at] ^= 0x10);
    }
    assert!(refused(cluster, id, |bytes| bytes.push(0)).contains("a payload of 32 bytes, and 33 are there"));
    let newer = seal(b"RAFT", 2, &[0; 32]);
    assert!(refused(cluster, id, |bytes| *bytes = newer).contains("this program reads version 1"));
    let short = seal(b"RAFT", 1, &[0; 31]);
    assert!(refused(cluster, id, |bytes| *bytes = short).contains("31 bytes where there should be 32"));
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let other = refused(ClusterId(9), NodeId(2), |_| ());
    assert!(other.contains("it belongs to n1, and this is n2"), "{other}");
    let foreign = refused(ClusterId(8), NodeId(1), |_| ());
    assert!(foreign.contains("another cluster"), "{foreign}");
}
