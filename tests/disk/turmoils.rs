//! Why a simulated disk is not turmoil's own file system: it keeps paths where POSIX keeps inodes, so that what was
//! synced is lost or mixed up where a name is used again before the directory is synced. Each test does what POSIX allows
//! and asserts what comes of it, so that a version that does it right is noticed.

use std::io::Write as _;

use turmoil::fs::shim::std::fs::{self, File, OpenOptions};

fn write(path: &str, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

fn synced(path: &str, bytes: &[u8]) {
    write(path, bytes);
    OpenOptions::new().write(true).open(path).unwrap().sync_all().unwrap();
}

fn append(path: &str, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Does something in a host of its own, which is never crashed, with a durable directory `/data`.
fn in_a_host(act: impl FnOnce() + 'static) {
    let mut sim = turmoil::Builder::new().build();
    sim.client("a", async {
        fs::create_dir("/data")?;
        fs::sync_dir("/")?;
        act();
        Ok(())
    });
    sim.run().unwrap();
}

#[test]
fn it_empties_a_synced_file_whose_name_was_removed_before() {
    in_a_host(|| {
        synced("/data/a", b"old");
        fs::sync_dir("/data").unwrap();
        fs::remove_file("/data/a").unwrap();
        synced("/data/a", b"new");
        fs::sync_dir("/data").unwrap();
        assert_eq!(fs::read("/data/a").unwrap(), b"", "POSIX: new");
    });
}

#[test]
fn it_empties_a_file_that_is_replaced_after_a_replacement_that_a_kill_interrupted() {
    in_a_host(|| {
        // The process dies before it syncs the directory.
        synced("/data/a.tmp", b"1");
        fs::rename("/data/a.tmp", "/data/a").unwrap();
        // Its next incarnation replaces the file as it should be done.
        synced("/data/a.tmp", b"2");
        assert_eq!(fs::read("/data/a").unwrap(), b"2", "POSIX: 1, since nothing is renamed yet");
        fs::rename("/data/a.tmp", "/data/a").unwrap();
        fs::sync_dir("/data").unwrap();
        assert_eq!(fs::read("/data/a").unwrap(), b"", "POSIX: 2");
    });
}

#[test]
fn it_loses_what_is_appended_to_a_renamed_file() {
    in_a_host(|| {
        synced("/data/a", b"1");
        fs::rename("/data/a", "/data/b").unwrap();
        append("/data/b", b"2");
        assert_eq!(fs::read("/data/b").unwrap(), b"1", "POSIX: 12");
        File::open("/data/b").unwrap().sync_all().unwrap();
        fs::sync_dir("/data").unwrap();
        assert_eq!(fs::read("/data/b").unwrap(), b"1", "POSIX: 12");
    });
}

#[test]
fn it_empties_an_unsynced_file_that_is_renamed() {
    in_a_host(|| {
        write("/data/a", b"1");
        fs::rename("/data/a", "/data/b").unwrap();
        fs::sync_dir("/data").unwrap();
        assert_eq!(fs::read("/data/b").unwrap(), b"", "POSIX: 1, until the power is lost");
    });
}

#[test]
fn it_mixes_what_was_unsynced_into_what_is_renamed_over_it() {
    in_a_host(|| {
        write("/data/a", b"unsynced");
        synced("/data/a.tmp", b"new");
        fs::rename("/data/a.tmp", "/data/a").unwrap();
        fs::sync_dir("/data").unwrap();
        assert_eq!(fs::read("/data/a").unwrap(), b"unsynced", "POSIX: new");
    });
}
