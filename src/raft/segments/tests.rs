//! Logs on a disk that forgets, tears and damages.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::raft::testing::entries;

const SMALL: u64 = 200;

/// A disk in memory, on which everything is done at once.
#[derive(Clone, Debug, Default)]
struct Memory(Rc<RefCell<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    done: Vec<String>,
    fails: Option<&'static str>,
}

impl Memory {
    fn did(&self, what: &'static str, name: &str) -> io::Result<std::cell::RefMut<'_, State>> {
        let mut state = self.0.borrow_mut();
        if state.fails == Some(what) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.done.push(format!("{what} {}", name.trim_start_matches("log-").trim_start_matches('0')));
        Ok(state)
    }

    fn last_file(&self) -> String {
        self.0.borrow().files.keys().next_back().expect("there is one").clone()
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(self.0.borrow_mut().files.get_mut(name).expect("it is there"));
    }
}

impl Disk for Memory {
    async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.borrow().files.get(name).cloned())
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.did("write", name)?.files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.did("append", name)?.files.entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    async fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).expect("small");
        self.did("truncate", name)?.files.get_mut(name).expect("it is there").truncate(length);
        Ok(())
    }

    async fn sync(&self, name: &str) -> io::Result<()> {
        self.did("sync", name).map(drop)
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.did("rename", from)?;
        let bytes = state.files.remove(from).expect("it is there");
        state.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    async fn sync_dir(&self) -> io::Result<()> {
        self.did("sync_dir", "").map(drop)
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.did("remove", name)?.files.remove(name);
        Ok(())
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().files.keys().cloned().collect())
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("it is done at once"),
    }
}

fn load_as(disk: &Memory, cluster: u64, id: u64) -> io::Result<(Segments<Memory>, Loaded)> {
    now(Segments::load(disk.clone(), ClusterId(cluster), NodeId(id), SMALL))
}

fn load(disk: &Memory) -> io::Result<(Segments<Memory>, Loaded)> {
    load_as(disk, 9, 1)
}

fn appended(first: LogIndex, shown: &[&str]) -> Rc<LogWrite> {
    Rc::new(LogWrite { number: 1, change: LogChange::Append { first, entries: entries(shown) } })
}

fn truncated(from: LogIndex) -> Rc<LogWrite> {
    Rc::new(LogWrite { number: 1, change: LogChange::Truncate { from } })
}

fn log(shown: &[&str]) -> Log {
    Log::new(LogPosition::default(), entries(shown))
}

/// A disk with this log.
fn disk(shown: &[&str]) -> Memory {
    let disk = Memory::default();
    let (mut segments, _) = load(&disk).expect("an empty disk");
    for (index, entry) in (1..).zip(shown) {
        now(segments.write(&[appended(index, &[entry])])).expect("there is room");
    }
    disk
}

fn refused(disk: &Memory) -> String {
    load(disk).expect_err("nothing is to be guessed at").to_string()
}

#[test]
fn a_new_node_has_an_empty_log_and_writes_nothing() {
    let disk = Memory::default();
    let (_, loaded) = load(&disk).expect("an empty disk");
    assert_eq!(loaded, Loaded { log: Log::default(), torn: None });
    assert!(disk.0.borrow().done.is_empty());
}

#[test]
fn what_is_read_is_written_anew_before_it_is_relied_on() {
    let disk = disk(&["1:", "1:a"]);
    now(disk.write("log-00000000000000000001.tmp", b"left over")).expect("there is room");
    disk.0.borrow_mut().done.clear();
    assert_eq!(load(&disk).expect("it is whole").1.log, log(&["1:", "1:a"]));
    let done = disk.0.borrow().done.join(", ");
    assert_eq!(done, "remove 1.tmp, write 1.tmp, sync 1.tmp, rename 1.tmp, sync_dir ");
}

#[test]
fn what_is_written_is_synced_before_it_is_done_and_names_before_what_they_name() {
    let disk = Memory::default();
    let (mut segments, _) = load(&disk).expect("an empty disk");
    now(segments.write(&[appended(1, &["1:", "1:a"]), appended(3, &["1:b"])])).expect("there is room");
    assert_eq!(disk.0.borrow().done, ["write 1", "sync_dir ", "append 1", "sync 1"]);
    assert_eq!(load(&disk).expect("it is whole").1, Loaded { log: log(&["1:", "1:a", "1:b"]), torn: None });
    disk.0.borrow_mut().done.clear();
    // What is cut off again before it was written is written all the same: the order is the caller's.
    now(segments.write(&[appended(4, &["1:c"]), truncated(3), appended(3, &["2:d"])])).expect("there is room");
    assert_eq!(disk.0.borrow().done, ["append 1", "truncate 1", "append 1", "sync 1"]);
}

#[test]
fn a_full_segment_is_durable_before_the_next_one_begins() {
    let long = "1:a value of some length, so that few fill a segment, which is small here";
    let disk = Memory::default();
    let (mut segments, _) = load(&disk).expect("an empty disk");
    now(segments.write(&[appended(1, &[long, long, long])])).expect("there is room");
    let done = disk.0.borrow().done.join(", ");
    assert_eq!(done, "write 1, sync_dir , append 1, sync 1, write 3, sync_dir , append 3, sync 3");
    assert_eq!(load(&disk).expect("it is whole").1.log, log(&[long, long, long]));
}

#[test]
fn a_cut_removes_later_segments_durably_before_it_shortens_one() {
    let long = "1:a value of some length, so that few fill a segment, which is small here";
    let disk = disk(&[long; 5]);
    let (mut segments, _) = load(&disk).expect("it is whole");
    disk.0.borrow_mut().done.clear();
    now(segments.write(&[truncated(2), appended(2, &["2:x"])])).expect("there is room");
    let done = disk.0.borrow().done.join(", ");
    assert_eq!(done, "remove 5, remove 3, sync_dir , truncate 1, append 1, sync 1");
    assert_eq!(load(&disk).expect("it is whole").1.log, log(&[long, "2:x"]));
    now(segments.write(&[truncated(1), appended(1, &["3:"])])).expect("there is room");
    assert_eq!(load(&disk).expect("it is whole").1.log, log(&["3:"]));
}

#[test]
fn a_torn_end_is_cut_off_before_anything_comes_after_it() {
    let whole = disk(&["1:", "1:a", "1:b"]);
    let file = whole.last_file();
    let length = whole.0.borrow().files[&file].len();
    for torn in 1..length {
        let disk = Memory(Rc::new(RefCell::new(whole.0.borrow().clone())));
        disk.edit(&file, |bytes| bytes.truncate(torn));
        let (mut segments, loaded) = load(&disk).unwrap_or_else(|error| panic!("{torn}: {error}"));
        let last = loaded.log.last().last_index;
        assert!(last < 3);
        now(segments.write(&[appended(last + 1, &["2:x"])])).expect("there is room");
        let (_, again) = load(&disk).expect("the tear is gone");
        assert_eq!((again.log.last().last_index, again.torn), (last + 1, None), "torn at {torn}");
    }
}

#[test]
fn rubbish_after_the_end_is_cut_off_and_said() {
    let disk = disk(&["1:", "1:a"]);
    let file = disk.last_file();
    let length = disk.0.borrow().files[&file].len() as u64;
    disk.edit(&file, |bytes| bytes.extend([0; 300]));
    let (_, loaded) = load(&disk).expect("zeros are what a file system leaves");
    assert_eq!(loaded, Loaded { log: log(&["1:", "1:a"]), torn: Some(Torn { file, at: length, bytes: 300 }) });
}

#[test]
fn a_segment_that_was_not_begun_wholly_is_removed() {
    let long = "1:a value of some length, so that few fill a segment, which is small here";
    for torn in [0, 20, HEADER_BYTES - 1] {
        let disk = disk(&[long; 3]);
        let file = disk.last_file();
        disk.edit(&file, |bytes| bytes.truncate(torn));
        let (_, loaded) = load(&disk).expect("nothing in it was acknowledged");
        assert_eq!(loaded.log, log(&[long; 2]));
        assert_ne!(disk.last_file(), file);
    }
}

#[test]
fn damage_in_the_middle_is_an_error_and_nothing_is_cut_off() {
    let disk = disk(&["1:", "1:a", "1:b"]);
    let before = disk.0.borrow().files.clone();
    disk.edit(&disk.last_file(), |bytes| bytes[HEADER_BYTES + 20] ^= 1);
    let damaged = disk.0.borrow().files.clone();
    let error = refused(&disk);
    assert!(error.contains("entry 1, at byte 45, is damaged, and what comes after it is there"), "{error}");
    assert!(error.contains("bring the file back"), "{error}");
    assert!(damaged == disk.0.borrow().files && damaged != before);
}

#[test]
fn a_length_that_is_damaged_does_not_hide_what_comes_after_it() {
    let disk = disk(&["1:", "1:a", "1:b"]);
    disk.edit(&disk.last_file(), |bytes| bytes[HEADER_BYTES] = 0xff);
    assert!(refused(&disk).contains("entry 1, at byte 45, is damaged"));
}

#[test]
fn a_segment_before_the_last_is_whole_or_damaged() {
    let long = "1:a value of some length, so that few fill a segment, which is small here";
    let disk = disk(&[long; 5]);
    let first = disk.0.borrow().files.keys().next().expect("three").clone();
    disk.edit(&first, |bytes| bytes.truncate(bytes.len() - 1));
    assert!(refused(&disk).contains("entry 2, at byte"));
    disk.0.borrow_mut().files.remove(&first);
    assert!(
        refused(&disk).contains("it begins with entry 3 after one of term 1, and the log before it ends with entry 0")
    );
}

#[test]
fn anothers_log_is_an_error() {
    let disk = disk(&["1:"]);
    assert!(load_as(&disk, 9, 2).unwrap_err().to_string().contains("it belongs to n1, and this is n2"));
    assert!(load_as(&disk, 8, 1).unwrap_err().to_string().contains("another cluster"));
}

#[test]
fn what_fails_is_reported() {
    for what in ["append", "sync", "truncate"] {
        let disk = disk(&["1:", "1:a"]);
        let (mut segments, _) = load(&disk).expect("it is whole");
        disk.0.borrow_mut().fails = Some(what);
        assert!(now(segments.write(&[truncated(2), appended(2, &["2:x"])])).is_err(), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_has_what_was_written_whatever_that_was(
        steps in prop::collection::vec((any::<bool>(), 0..6_u64, 0..90_usize), 1..20),
    ) {
        let disk = Memory::default();
        let (mut segments, _) = load(&disk).expect("an empty disk");
        let (mut known, mut term) = (Vec::<Entry>::new(), 1);
        for (cuts, back, length) in steps {
            let last = known.len() as u64;
            let write = if cuts && last > 0 {
                let from = last - back.min(last - 1);
                known.truncate(usize::try_from(from - 1).unwrap());
                term += 1;
                truncated(from)
            } else {
                let shown = format!("{term}:{}", "x".repeat(length));
                let more = entries(&vec![shown.as_str(); usize::try_from(back).unwrap() + 1]);
                known.extend(more.clone());
                Rc::new(LogWrite { number: 1, change: LogChange::Append { first: last + 1, entries: more } })
            };
            now(segments.write(&[write])).expect("there is room");
            let (again, loaded) = load(&disk).expect("it is whole");
            prop_assert_eq!(loaded, Loaded { log: Log::new(LogPosition::default(), known.clone()), torn: None });
            segments = again;
        }
    }
}
