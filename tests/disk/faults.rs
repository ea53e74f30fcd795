//! Disks that fail, as steps of a script have them.

use stormglass::disk::Disk;
use stormglass::sim::{Host, HostResult, Verdict};

use super::{ms, note, notes, simulate};

/// Appends a byte each 10 ms and syncs it, for a second.
async fn appends(host: Host) -> HostResult {
    note(&host.events, "started", host.disk.read("log").await?.unwrap_or_default().len() as u64);
    while host.events.now() < ms(1000) {
        host.disk.append("log", b"x").await?;
        host.disk.sync("log").await?;
        note(&host.events, "synced", 0);
        tokio::time::sleep(ms(10)).await;
    }
    host.disk.sync_dir().await?;
    Ok(())
}

fn failing(fault: &str, rest: &str) -> String {
    format!("[[step]]\nat = '205ms'\ndisk = {{ fault = '{fault}' }}\nfor = '100ms'\n{rest}")
}

#[test]
fn who_ends_for_its_disk_is_right_and_starts_again_when_the_disk_is_well() {
    for fault in ["sync-fails", "no-space"] {
        let outcome = simulate(1, &failing(fault, ""), appends);
        assert_eq!(outcome.verdict, Verdict::Pass, "{fault}");
        let started = notes(&outcome, "started");
        assert_eq!(started.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [ms(0), ms(305)], "{fault}");
        assert_eq!(outcome.faults["bad-disk"], 1);
    }
}

#[test]
fn who_ends_without_such_a_cause_is_wrong() {
    let outcome = simulate(1, "", |host| async move {
        host.events.work(1);
        host.disk.sync("none").await?;
        Ok(())
    });
    let finding = outcome.verdict.finding().expect("it ended with an error");
    assert_eq!(finding.invariant, "host error");
}

#[test]
fn a_sync_that_hangs_ends_with_its_step() {
    let outcome = simulate(1, &failing("sync-hangs", ""), appends);
    assert_eq!(outcome.verdict, Verdict::Pass);
    let within = notes(&outcome, "synced").into_iter().filter(|(at, _)| (ms(205)..ms(305)).contains(at)).count();
    assert_eq!(within, 0);
    assert_eq!(notes(&outcome, "started").len(), 1);
}

#[test]
fn what_no_step_touched_is_inert() {
    for fault in ["torn-writes", "emptied"] {
        let outcome = simulate(1, &failing(fault, ""), appends);
        assert!(matches!(outcome.verdict, Verdict::Inconclusive { .. }), "{fault}: nobody lost power or started");
    }
}

#[test]
fn an_emptied_disk_has_nothing_when_its_host_starts() {
    let rest = failing("emptied", "[[step]]\nat = '250ms'\nkill = 'a'\nfor = '10ms'\n");
    let outcome = simulate(1, &rest, |host| async move {
        let was_emptied = host.disk.was_emptied();
        note(&host.events, "emptied", u64::from(was_emptied));
        appends(host).await
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    let amounts = |name| notes(&outcome, name).into_iter().map(|(_, amount)| amount).collect::<Vec<_>>();
    assert_eq!((amounts("emptied"), amounts("started")), (vec![0, 1], vec![0, 0]));
}
