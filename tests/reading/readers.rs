//! All that reads what others wrote, each as a function of bytes: whatever they are, it returns.
//!
//! The test beside it and the fuzzer in `benches/fuzz/` share it.

use std::cell::RefCell;
use std::fs;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use stormglass::balancer;
use stormglass::disk::Disk;
use stormglass::explore::corpus::Case;
use stormglass::explore::sweep::merge;
use stormglass::explore::{Library, sweep};
use stormglass::raft::storage::Storage;
use stormglass::raft::{ClusterId, ClusterKey, Codec, NodeId};
use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::drawn;
use stormglass::systems;

/// A reader, and its name.
pub type Reader = (&'static str, fn(&[u8]));

/// All of them.
pub const READERS: [Reader; 8] = [
    ("script", script),
    ("case", case),
    ("sweep", sweep_json),
    ("balancer-file", balancer_file),
    ("framing", framing),
    ("datagram", datagram),
    ("datagram-with-key", datagram_with_key),
    ("hard-state", hard_state),
];

/// A script, what its system reads in it, and what a seed draws for it.
pub fn script(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let script = match Script::parse("fuzz.toml", text) {
        Ok(script) => script,
        Err(error) => return drop(error.to_string()),
    };
    for variant in &script.variants {
        let _ = variant.apply(text);
    }
    let system = systems::all().iter().find(|system| system.name() == script.system);
    if let Some(Err(error)) = system.map(|system| drawn(*system, &script, Seed(7))) {
        let _ = error.to_string();
    }
}

/// A case of `seeds/`.
pub fn case(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("case.toml");
    fs::write(&path, bytes).expect("it can be written");
    let library = Library::new(systems::all(), folder.path()).expect("the built-in sims");
    if let Err(error) = Case::load(&path, &library) {
        let _ = error.to_string();
    }
}

/// What `sweep --json` writes: twice, as two shards of one.
pub fn sweep_json(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok((name, part)) = merge::read("one.json", text) else { return };
    let shard =
        |index| sweep::SweepReport { shard: Some(sweep::report::ShardReport { index, count: 2 }), ..part.clone() };
    let _ = merge::merge(vec![(name.clone(), part.clone())]);
    if let Ok(whole) = merge::merge(vec![(name, shard(0)), ("other.json".to_owned(), shard(1))]) {
        let _ = (sweep::junit::document(&whole), sweep::github::summary(&whole), sweep::github::annotations(&whole));
    }
}

/// The balancer's settings.
pub fn balancer_file(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Err(error) = balancer::file::File::parse("fuzz.toml", text) {
        let _ = error.to_string();
    }
}

/// What a client of the balancer sends, in pieces whose lengths are of the bytes' own.
pub fn framing(bytes: &[u8]) {
    let mut inspector = balancer::framing::Inspector::new(balancer::framing::Limits::default());
    let (mut out, mut rest) = (BytesMut::new(), bytes);
    while !rest.is_empty() {
        let length = 1 + usize::from(rest[0]) % 97;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        if inspector.take_in(piece, &mut out).is_err() {
            break;
        }
        assert!(inspector.held_bytes() <= bytes.len(), "it holds no more than it was given");
        rest = behind;
    }
    let _ = (inspector.phase(), inspector.rejection(), inspector.take_held());
}

/// What comes to a node's port.
pub fn datagram(bytes: &[u8]) {
    let codec = Codec::new(ClusterId::named("simulated"), None);
    if let Ok(envelope) = codec.decode(bytes) {
        assert_eq!(codec.decode(&codec.encode(&envelope)).as_ref(), Ok(&envelope), "what is read can be written");
    }
}

/// The same of a cluster that has a key: nobody can forge one.
pub fn datagram_with_key(bytes: &[u8]) {
    let codec = Codec::new(ClusterId::named("simulated"), ClusterKey::new(b"correct horse battery"));
    let _ = codec.decode(bytes);
}

/// A node's file.
pub fn hard_state(bytes: &[u8]) {
    let disk = OneFile(Rc::new(RefCell::new(bytes.to_vec())));
    let storage = Storage::new(disk, ClusterId::named("simulated"), NodeId(1));
    let _ = at_once(storage.load());
}

/// A disk in memory with one file, whatever its name.
#[derive(Clone)]
struct OneFile(Rc<RefCell<Vec<u8>>>);

impl Disk for OneFile {
    async fn read(&self, _: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(Some(self.0.borrow().clone()))
    }

    async fn write(&self, _: &str, bytes: &[u8]) -> io::Result<()> {
        *self.0.borrow_mut() = bytes.to_vec();
        Ok(())
    }

    async fn append(&self, _: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    async fn truncate(&self, _: &str, length: u64) -> io::Result<()> {
        self.0.borrow_mut().resize(usize::try_from(length).expect("short"), 0);
        Ok(())
    }

    async fn sync(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    async fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    async fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    async fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        Ok(vec!["hard-state".to_owned()])
    }
}

/// What a future that waits for nothing comes to.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing is waited for"),
    }
}
