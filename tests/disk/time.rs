//! Slow disks.

use stormglass::disk::{Disk, replace};
use stormglass::sim::{Host, HostResult, Verdict};

use super::{ms, note, notes, simulate};

#[test]
fn only_syncs_take_time_and_unless_a_script_says_so_not_even_they() {
    async fn times(host: Host) -> HostResult {
        let (disk, events) = (&host.disk, &host.events);
        disk.write("a", b"1").await?;
        disk.append("a", b"2").await?;
        disk.truncate("a", 1).await?;
        note(events, "written", 0);
        disk.sync("a").await?;
        note(events, "synced", 0);
        disk.rename("a", "b").await?;
        disk.read("b").await?;
        disk.list().await?;
        note(events, "renamed", 0);
        disk.sync_dir().await?;
        disk.remove("b").await?;
        note(events, "done", 0);
        Ok(())
    }
    for (rest, sync) in [("", 0), ("[disk]\nsync = '7ms'", 7), ("[disk]\nsync = '6100us'", 7)] {
        let outcome = simulate(1, rest, times);
        let at = |name| notes(&outcome, name)[0].0;
        assert_eq!((at("written"), at("synced"), at("renamed"), at("done")), (ms(0), ms(sync), ms(sync), ms(2 * sync)));
        assert_eq!(outcome.verdict, Verdict::Pass);
    }
}

/// Fifty replacements, and the moment of each.
async fn replacements(host: Host) -> HostResult {
    for n in 0..50 {
        replace(&host.disk, "state", b"x").await?;
        note(&host.events, "replaced", n);
    }
    Ok(())
}

#[test]
fn latencies_come_from_the_seed() {
    let rest = "[disk]\nsync = '0ms..20ms'";
    let [first, again, other] = [1, 1, 2].map(|seed| simulate(seed, rest, replacements));
    assert_eq!(first.hash, again.hash);
    assert_eq!(notes(&first, "replaced"), notes(&again, "replaced"));
    assert_ne!(notes(&first, "replaced"), notes(&other, "replaced"));
    let took: Vec<_> = notes(&first, "replaced").windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(took.iter().all(|took| *took <= ms(40)), "{took:?}");
    assert!(took.iter().any(|took| *took < ms(10)) && took.iter().any(|took| *took > ms(30)), "{took:?}");
}

#[test]
fn a_restart_does_not_change_the_latencies_that_come_after_it() {
    /// The latency of the first sync of the second incarnation, after so many syncs of the first one.
    async fn restarted(host: Host, syncs: u32) -> HostResult {
        if host.incarnation == 0 {
            for _ in 0..syncs {
                host.disk.sync_dir().await?;
            }
            return std::future::pending().await;
        }
        host.disk.sync_dir().await?;
        note(&host.events, "synced", 0);
        Ok(())
    }
    let rest = "[disk]\nsync = '0ms..500ms'\n[[step]]\nat = '5s'\nkill = 'a'\nfor = '1s'";
    let few = simulate(7, rest, |host| restarted(host, 1));
    let more = simulate(7, rest, |host| restarted(host, 5));
    assert!(notes(&few, "synced")[0].0 > ms(6_000));
    assert_eq!(notes(&few, "synced"), notes(&more, "synced"));
}

#[test]
fn a_process_that_stands_still_syncs_when_it_goes_on() {
    let rest = "[disk]\nsync = '10ms'\n[[step]]\nat = '5ms'\npause = 'a'\nfor = '100ms'";
    let outcome = simulate(1, rest, |host| async move {
        host.disk.sync_dir().await?;
        note(&host.events, "synced", 0);
        Ok(())
    });
    assert_eq!(notes(&outcome, "synced"), [(ms(105), 0)]);
}

/// Syncs one after the other for a second.
async fn syncs(host: Host) -> HostResult {
    while host.events.now() < ms(1000) {
        host.disk.sync_dir().await?;
        note(&host.events, "synced", 0);
    }
    Ok(())
}

#[test]
fn a_step_changes_how_long_syncs_take() {
    let took = |rest: &str| -> Vec<(u128, u128)> {
        let ends: Vec<_> = notes(&simulate(1, rest, syncs), "synced").iter().map(|(at, _)| at.as_millis()).collect();
        let mut took: Vec<_> = [0].iter().chain(&ends).zip(&ends).map(|(from, to)| (*from, to - from)).collect();
        took.dedup_by_key(|(_, took)| *took);
        took
    };
    let base = "[disk]\nsync = '10ms'\n";
    let slow = "[[step]]\nat = '95ms'\ndisk = { hosts = 'a', sync = '100ms' }\nfor = '400ms'\n";
    let over = "[[step]]\nat = '255ms'\ndisk = { sync = '50ms' }\nfor = '200ms'\n";
    // A sync takes what it took when it began.
    assert_eq!(took(&[base, slow].concat()), [(0, 10), (100, 100), (500, 10)]);
    assert_eq!(took(&[base, slow, over].concat()), [(0, 10), (100, 100), (300, 50), (500, 10)]);
    let heal = "[[step]]\nat = '295ms'\nheal = true\n";
    assert_eq!(took(&[base, slow, over, heal].concat()), [(0, 10), (100, 100), (300, 10)]);
    let longer = over.replace("200ms", "100ms");
    assert_eq!(took(&[base, slow, &longer].concat()), [(0, 10), (100, 100), (300, 50), (400, 100), (500, 10)]);
    let for_ever =
        "[[step]]\nat = '95ms'\ndisk = { sync = '100ms' }\n[[step]]\nat = '99ms'\npower = 'a'\nfor = '51ms'\n";
    let after = took(&[base, for_ever].concat()).pop().map(|(_, took)| took);
    assert_eq!(after, Some(100), "a change of the disk outlives a power loss");
    let outcome = simulate(1, &[base, slow, over].concat(), syncs);
    assert_eq!(outcome.faults.get("disk"), Some(&2));
}
