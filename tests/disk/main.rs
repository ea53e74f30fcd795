//! The disk: what a kill, a power loss and a slow disk do to files, and that both worlds agree on all the rest.

mod crashes;
mod faults;
mod real;
mod time;
mod turmoils;

use std::io::ErrorKind;
use std::time::Duration;

use stormglass::disk::{Disk, replace};
use stormglass::rng::Seed;
use stormglass::script::{Script, ScriptError};
use stormglass::sim::System;
use stormglass::sim::trace::What;
use stormglass::sim::{Events, Host, HostResult, Outcome, RunOptions, Setup, Verdict, run};

/// A system made of a closure, for one test.
struct Bench<F>(F);

impl<F: Fn(&mut Setup<'_>) + Sync> System for Bench<F> {
    fn name(&self) -> &'static str {
        "bench"
    }

    fn about(&self) -> &'static str {
        "a test's own hosts"
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        (self.0)(setup);
        Ok(())
    }
}

/// Runs one host, called `a`, to its end: `rest` is what follows the script's first lines.
fn simulate<R>(seed: u64, rest: &str, host: impl Fn(Host) -> R + Clone + Sync + 'static) -> Outcome
where
    R: Future<Output = HostResult> + 'static,
{
    let text = format!("about = \"a test\"\nsystem = \"bench\"\nduration = \"60s\"\n{rest}");
    let script = Script::parse("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let system: &'static Bench<_> =
        Box::leak(Box::new(Bench(move |setup: &mut Setup<'_>| setup.workload("a", host.clone()))));
    let options = RunOptions { keep_records: true, watch: None };
    run(system, &script, Seed(seed), &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Writes into the trace that `name` happened, and how much of it.
fn note(events: &Events, name: &'static str, amount: u64) {
    events.event(name, vec![("n", amount.into())]);
    events.work(1);
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// All notes, in order.
fn all_notes(outcome: &Outcome) -> impl Iterator<Item = (Duration, &str, u64)> {
    let records = &outcome.trace.as_ref().expect("the records are kept").records;
    records.iter().filter_map(|record| match &record.what {
        What::Event { name, fields } => {
            let amount = fields[0].1.to_string().parse().expect("a number");
            Some((record.at, *name, amount))
        }
        _ => None,
    })
}

/// Times and amounts of the notes of this name.
fn notes(outcome: &Outcome, wanted: &str) -> Vec<(Duration, u64)> {
    all_notes(outcome).filter(|(_, name, _)| *name == wanted).map(|(at, _, amount)| (at, amount)).collect()
}

async fn text<D: Disk>(disk: &D, name: &str) -> Option<String> {
    let bytes = disk.read(name).await.expect("it can be read");
    bytes.map(|bytes| String::from_utf8(bytes).expect("it is text"))
}

/// What a host may do with its files, whatever they are on.
async fn files<D: Disk>(disk: D) -> HostResult {
    assert_eq!(disk.list().await?, [""; 0], "it begins empty");
    assert_eq!(text(&disk, "log").await, None);
    disk.append("log", b"one ").await?;
    disk.append("log", b"two ").await?;
    disk.sync("log").await?;
    disk.sync_dir().await?;
    assert_eq!(text(&disk, "log").await.unwrap(), "one two ");
    disk.truncate("log", 4).await?;
    disk.append("log", b"more").await?;
    assert_eq!(text(&disk, "log").await.unwrap(), "one more");
    disk.truncate("log", 10).await?;
    assert_eq!(text(&disk, "log").await.unwrap(), "one more\0\0");
    disk.write("log", b"new").await?;
    assert_eq!(text(&disk, "log").await.unwrap(), "new");
    disk.write("empty", b"").await?;
    assert_eq!(disk.clone().list().await?, ["empty", "log"], "clones are the same directory");
    disk.rename("log", "old").await?;
    disk.append("old", b"er").await?;
    disk.write("log", b"other").await?;
    disk.rename("log", "empty").await?;
    assert_eq!((disk.list().await?, text(&disk, "empty").await.unwrap()), (names(&["empty", "old"]), "other".into()));
    disk.rename("old", "old").await?;
    disk.append_and_sync("old", b" still").await?;
    assert_eq!(text(&disk, "old").await.unwrap(), "newer still");
    disk.remove("old").await?;
    replace(&disk, "empty", b"replaced").await?;
    replace(&disk, "fresh", b"first").await?;
    assert_eq!(
        (disk.list().await?, text(&disk, "empty").await.unwrap()),
        (names(&["empty", "fresh"]), "replaced".into())
    );
    mistakes(disk).await
}

async fn mistakes<D: Disk>(disk: D) -> HostResult {
    let missing = [
        ("sync", disk.sync("none").await),
        ("truncate", disk.truncate("none", 0).await),
        ("rename", disk.rename("none", "other").await),
        ("remove", disk.remove("none").await),
    ];
    for (operation, result) in missing {
        let error = result.expect_err(operation);
        assert_eq!(error.kind(), ErrorKind::NotFound, "{operation}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot {operation} ")) && text.contains("none"), "{text}");
    }
    let outside = [
        disk.write("a/b", b"").await,
        disk.append("", b"").await,
        disk.sync("..").await,
        disk.rename("empty", "/empty").await,
        disk.read("../secret").await.map(|_| ()),
    ];
    assert!(outside.iter().all(|result| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidInput)));
    Ok(())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn both_worlds_do_the_same_with_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = stormglass::disk::real::RealDisk::open(directory.path()).expect("it opens");
    stormglass::net::real::run(files(disk)).expect("a runtime").expect("no error");
    let outcome = simulate(1, "", |host| async move {
        note(&host.events, "up", 0);
        files(host.disk).await
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
}
