//! What is left after a kill, and after a power loss.

use stormglass::disk::{Disk, open, replace, seal};
use stormglass::sim::{Host, HostResult, Outcome, Verdict};

use super::{all_notes, ms, note, notes, simulate, text};

/// A step that takes the host down at 100 ms, and starts it again.
fn crash(kind: &str) -> String {
    format!("[[step]]\nat = '100ms'\n{kind} = 'a'\nfor = '100ms'")
}

/// Syncs some files, changes them without a sync, and looks after its death at what is left.
async fn writer(host: Host) -> HostResult {
    let disk = &host.disk;
    if host.incarnation == 0 {
        for (name, content) in [("grown", "old"), ("cut", "whole"), ("removed", "still here")] {
            disk.write(name, content.as_bytes()).await?;
            disk.sync(name).await?;
        }
        disk.sync_dir().await?;
        disk.append("grown", b"er").await?;
        disk.truncate("cut", 1).await?;
        disk.remove("removed").await?;
        disk.write("new", b"content").await?;
        disk.sync("new").await?;
        return std::future::pending().await;
    }
    for (name, last) in [("grown", "older"), ("cut", "w"), ("removed", ""), ("new", "content")] {
        let found = text(disk, name).await.unwrap_or_default();
        note(&host.events, name, u64::from(found == last));
    }
    Ok(())
}

/// Of which files the end is as the process left it: it grew, was cut, was removed, was new.
fn kept(outcome: &Outcome) -> [bool; 4] {
    assert_eq!(outcome.verdict, Verdict::Pass);
    ["grown", "cut", "removed", "new"].map(|name| notes(outcome, name)[0].1 == 1)
}

#[test]
fn a_kill_keeps_what_was_written() {
    let outcome = simulate(1, &crash("kill"), writer);
    assert_eq!(kept(&outcome), [true; 4]);
}

#[test]
fn a_power_loss_keeps_what_was_synced_and_nothing_else() {
    // The new file's content was synced, and its directory was not.
    let outcome = simulate(1, &crash("power"), writer);
    assert_eq!(kept(&outcome), [false; 4]);
}

#[test]
fn a_power_loss_takes_what_a_killed_process_left_unsynced() {
    let steps = "[[step]]\nat = '100ms'\nkill = 'a'\n[[step]]\nat = '110ms'\npower = 'a'\nfor = '10ms'";
    assert_eq!(kept(&simulate(1, steps, writer)), [false; 4]);
}

#[test]
fn a_rename_of_what_was_never_synced_is_empty_after_a_power_loss() {
    let outcome = simulate(1, &crash("power"), |host| async move {
        if host.incarnation == 0 {
            host.disk.write("new", b"content").await?;
            host.disk.rename("new", "name").await?;
            host.disk.sync_dir().await?;
            assert_eq!(text(&host.disk, "name").await.unwrap(), "content");
            return std::future::pending().await;
        }
        assert_eq!(text(&host.disk, "name").await.unwrap(), "");
        note(&host.events, "looked", 1);
        Ok(())
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
}

/// Replaces generation 1 by generation 2 from 95 ms on, on a disk of 5 ms, and says after its end which one it has.
async fn replacer(host: Host) -> HostResult {
    let disk = &host.disk;
    if host.incarnation == 0 {
        replace(disk, "state", &sealed(1)).await?;
        tokio::time::sleep(ms(95) - host.events.now()).await;
        replace(disk, "state", &sealed(2)).await?;
        note(&host.events, "replaced", 2);
        return std::future::pending().await;
    }
    note(&host.events, "found", generation(disk).await.expect("the first replacement was complete"));
    // Whatever the last one left behind, the next one succeeds.
    replace(disk, "state", &sealed(3)).await?;
    note(&host.events, "then", generation(disk).await.expect("it is there"));
    Ok(())
}

/// As much of a generation's content as no disk writes at once.
fn sealed(generation: u64) -> Vec<u8> {
    seal(b"TEST", 1, &generation.to_le_bytes().repeat(4_000))
}

async fn generation<D: Disk>(disk: &D) -> Option<u64> {
    let bytes = disk.read("state").await.expect("it can be read")?;
    let content = open(b"TEST", 1, &bytes).unwrap_or_else(|corrupt| panic!("{corrupt}"));
    let (words, _) = content.as_chunks::<8>();
    assert!(words.len() == 4_000 && words.iter().all(|word| *word == words[0]), "a mix");
    Some(u64::from_le_bytes(words[0]))
}

#[test]
fn a_replacement_that_is_interrupted_leaves_the_old_or_the_new_content() {
    for kind in ["kill", "power"] {
        for at in 90..=110 {
            let rest = format!("[disk]\nsync = '5ms'\n[[step]]\nat = '{at}ms'\n{kind} = 'a'\nfor = '20ms'");
            let outcome = simulate(1, &rest, replacer);
            assert_eq!(outcome.verdict, Verdict::Pass, "{kind} at {at} ms");
            // It is renamed at 100 ms and durable at 105 ms; a fault comes before what the host does at the same time.
            let renamed = if kind == "kill" { 100 } else { 105 };
            let expected = if at <= renamed { 1 } else { 2 };
            assert_eq!(notes(&outcome, "found")[0].1, expected, "{kind} at {at} ms");
            assert_eq!(notes(&outcome, "then")[0].1, 3, "{kind} at {at} ms");
            assert_eq!(notes(&outcome, "replaced").len(), usize::from(at > 105), "{kind} at {at} ms");
        }
    }
}

/// Counts up for ever, each number durable before the next, and says at each start where it stands.
async fn counter(host: Host) -> HostResult {
    let mut next = generation(&host.disk).await.unwrap_or(0);
    note(&host.events, "found", next);
    while next < 400 {
        next += 1;
        note(&host.events, "begun", next);
        replace(&host.disk, "state", &sealed(next)).await?;
        note(&host.events, "durable", next);
    }
    Ok(())
}

#[test]
fn what_was_durable_once_is_never_lost() {
    let mut lost = 0;
    for seed in 1..=30 {
        let chaos = "[disk]\nsync = '0ms..9ms'\n[chaos]\nfamilies = ['kill', 'power', 'pause']\n\
                     every = '5ms..80ms'\nlasts = '1ms..20ms'\nuntil = '10s'";
        let outcome = simulate(seed, chaos, counter);
        assert_eq!(outcome.verdict, Verdict::Pass, "seed {seed}");
        let (mut begun, mut durable) = (0, 0);
        for (_, name, n) in all_notes(&outcome) {
            match name {
                "begun" => begun = n,
                "durable" => durable = n,
                _ => {
                    assert!((durable..=begun).contains(&n), "seed {seed}: {n} is not in {durable}..={begun}");
                    lost += begun - n;
                }
            }
        }
    }
    assert!(lost > 30, "power losses came between writing and syncing: {lost}");
}
