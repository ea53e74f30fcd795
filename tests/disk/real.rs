//! The disk of this machine.

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use stormglass::disk::real::RealDisk;
use stormglass::disk::{Disk, replace};
use stormglass::net::real::run;

#[test]
fn a_reader_never_sees_half_a_replacement() {
    const BYTES: usize = 1 << 18;
    let directory = tempfile::tempdir().expect("a directory");
    let disk = RealDisk::open(directory.path()).expect("it opens");
    run(replace(&disk, "state", &vec![b'0'; BYTES])).unwrap().unwrap();
    let done = AtomicBool::new(false);
    let path = directory.path().join("state");
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let content = fs::read(&path).expect("the name is always there");
                assert!(content.len() == BYTES && content.iter().all(|byte| *byte == content[0]), "a mix");
                seen.insert(content[0]);
            }
            seen
        });
        run(async {
            for round in 0..200 {
                replace(&disk, "state", &vec![b'0' + round % 10; BYTES]).await.expect("it is replaced");
            }
        })
        .unwrap();
        done.store(true, Ordering::Relaxed);
        reader.join().expect("the reader saw whole contents only")
    });
    assert!(seen.len() > 1, "the reader read while it was replaced: {seen:?}");
}

#[test]
fn a_directory_is_made_with_those_above_it_and_found_again() {
    let above = tempfile::tempdir().expect("a directory");
    let root = above.path().join("raft/n1");
    for round in ["first", "second"] {
        let disk = RealDisk::open(&root).expect("it opens");
        run(async {
            let before = disk.read("state").await.unwrap();
            assert_eq!(before.is_some(), round == "second");
            disk.append("state", round.as_bytes()).await.unwrap();
        })
        .unwrap();
    }
    assert_eq!(fs::read(root.join("state")).unwrap(), b"firstsecond");
    fs::create_dir(root.join("not a file")).unwrap();
    let listed = run(async { RealDisk::open(&root).unwrap().list().await }).unwrap().unwrap();
    assert_eq!(listed, ["state"]);
}

#[test]
fn a_directory_that_cannot_be_one_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    for root in [file.clone(), file.join("below")] {
        let error = RealDisk::open(&root).expect_err("there is a file in the way").to_string();
        assert!(error.starts_with(&format!("cannot use the directory {}: ", root.display())), "{error}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // For root, permissions are no obstacle; the directory of a process is.
    let root =
        if fs::write(directory.path().join("try"), b"").is_ok() { Path::new("/proc/self") } else { directory.path() };
    let disk = RealDisk::open(root).expect("it is there");
    let error = run(replace(&disk, "vote", b"1")).unwrap().expect_err("nothing can be written there");
    let expected = format!("cannot write {}: ", root.join("vote.tmp").display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        assert!(
            error.to_string().ends_with("this user must be able to write to the file and to its directory"),
            "{error}"
        );
    }
}

#[test]
fn a_directory_has_one_service_at_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let (disk, alone) = RealDisk::open_alone(directory.path()).expect("nobody is there");
    let error = RealDisk::open_alone(directory.path()).expect_err("it is in use").to_string();
    let expected = format!("the directory {} is used by another process: stop it, ", directory.path().display());
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(run(disk.list()).unwrap().unwrap(), [""; 0], "the lock is none of the service's files");
    drop(alone);
    RealDisk::open_alone(directory.path()).expect("it is free again");
}

#[test]
fn who_is_killed_in_the_middle_of_a_write_leaves_nobody_writing() {
    const BYTES: usize = 1 << 20;
    let directory = tempfile::tempdir().expect("a directory");
    let disk = RealDisk::open(directory.path()).expect("it opens");
    let bytes = vec![b'x'; BYTES];
    run(async {
        for round in 1..=20 {
            // The waker is nobody's: whether the write is done by then is chance, and dropped it is either way.
            let _ = pin!(disk.append("log", &bytes)).poll(&mut Context::from_waker(Waker::noop()));
            let length = fs::metadata(directory.path().join("log")).map_or(0, |found| found.len());
            assert_eq!(length, round * BYTES as u64);
        }
    })
    .expect("a runtime");
}

#[test]
fn a_service_goes_on_while_its_disk_works() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = RealDisk::open(directory.path()).expect("it opens");
    let bytes = vec![b'x'; 1 << 24];
    let turns = run(async {
        let mut written = pin!(disk.append_and_sync("log", &bytes));
        let mut turns = 0_u64;
        loop {
            tokio::select! {
                biased;
                done = &mut written => break done.map(|()| turns),
                () = tokio::task::yield_now() => turns += 1,
            }
        }
    });
    let turns = turns.expect("a runtime").expect("no error");
    assert!(turns > 0, "the service stood still while 16 MiB were written and synced");
}
