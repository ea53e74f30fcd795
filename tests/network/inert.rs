//! Steps that did nothing are named, and what did something is not.

use std::time::Duration;

use stormglass::net::{Net, Socket};
use stormglass::sim::{Outcome, Setup, Verdict};
use tokio::time::sleep;

use super::simulate;

/// `a` sends `b` a datagram each 10 ms, for half a second; `c` is there, and speaks to nobody.
fn talk(setup: &mut Setup<'_>) {
    setup.workload("a", async |host| {
        let socket = host.net.bind("0.0.0.0:0").await?;
        let to = host.net.resolve("b:9").await?;
        for _ in 0..50 {
            socket.send_to(b"tick", to).await?;
            host.events.work(1);
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    });
    setup.host("b", async |host| {
        let socket = host.net.bind("0.0.0.0:9").await?;
        let mut buffer = [0; 16];
        loop {
            socket.recv_from(&mut buffer).await?;
        }
    });
    setup.host("c", |_| std::future::pending());
    setup.role("talker", || vec!["a".to_owned()]);
    setup.role("nobody", Vec::new);
}

fn steps(steps: &[&str]) -> Outcome {
    let steps = steps.iter().map(|step| format!("[[step]]\n{step}\n")).collect::<Vec<_>>().concat();
    simulate(1, &format!("duration = '2s'\n[network]\nlatency = '1ms'\n{steps}"), talk)
}

/// The numbers of the steps that did nothing, and whether that makes the run say nothing.
fn inert(said: &[&str]) -> (Vec<u64>, bool) {
    let outcome = steps(said);
    let is_inconclusive = matches!(&outcome.verdict, Verdict::Inconclusive { reason } if reason.contains("was inert"));
    (outcome.inert_steps.iter().map(|step| step.step).collect(), is_inconclusive)
}

#[test]
fn a_step_that_touches_nothing_is_inert() {
    for vain in [
        "at = '100ms'\npartition = [['a'], ['c']]",
        "at = '100ms'\npartition = [['a'], ['c']]\nfor = '100ms'",
        "at = '100ms'\ncut = { from = 'b', to = 'a' }",
        "at = '100ms'\nlink = { between = ['a', 'c'], latency = '5ms' }",
        "at = '100ms'\nlink = { between = ['a', 'c'], loss = 1.0 }",
        "at = '100ms'\nlink = { between = ['a', 'b'], loss = 0.000001 }\nfor = '100ms'",
        "at = '100ms'\ndisk = { hosts = 'a', sync = '5ms' }",
        "at = '100ms'\nhold = { from = 'c' }",
        "at = '100ms'\ndrop = { message = 'tock' }",
        "at = '100ms'\nheal = true",
        "at = '100ms'\nrelease = true",
        "at = '100ms'\nresume = 'a'",
        "at = '100ms'\nkill = '@nobody'",
    ] {
        assert_eq!(inert(&[vain]), (vec![1], true), "{vain}");
        assert_eq!(inert(&[&format!("{vain}\nmay_be_inert = true")]), (vec![1], false), "{vain}");
    }
}

#[test]
fn a_step_that_acts_is_not() {
    for acts in [
        "at = '100ms'\npartition = [['a'], ['b']]\nfor = '100ms'",
        "at = '100ms'\ncut = { from = 'a', to = 'b' }",
        "at = '100ms'\nlink = { between = ['a', 'b'], latency = '5ms' }",
        "at = '100ms'\nlink = { between = ['a', 'b'], loss = 0.0 }",
        "at = '100ms'\nlink = { between = ['a', 'b'], duplicate = 0.0 }",
        "at = '100ms'\nlink = { between = ['a', 'b'], loss = 0.5 }",
        "at = '100ms'\nlink = { between = ['a', 'b'], duplicate = 0.5 }",
        "at = '100ms'\nlink = { between = ['a', 'b'], corrupt = 0.5 }",
        "at = '100ms'\nlink = { between = ['a', 'b'], reorder = { chance = 0.5, extra = '3ms' } }",
        "at = '100ms'\nlink = { between = ['a', 'b'], burst = { enter = 0.5, leave = 0.5, loss = 1.0 } }",
        "at = '100ms'\nhold = { message = 'tick', count = 1 }",
        "at = '100ms'\ndrop = { message = 'tick', count = 1 }",
        "at = '100ms'\nkill = 'b'",
        "at = '100ms'\npower = 'c'",
        "at = '100ms'\npause = 'b'\nfor = '100ms'",
        "at = '100ms'\nrestart = 'b'",
        "at = '100ms'\nkill = '@talker'\nfor = '10ms'",
        "at = '100ms'\npartition = [['@talker'], ['@others']]\nfor = '50ms'",
        "record = 30\nkill = 'b'",
    ] {
        let (vain, is_inconclusive) = inert(&[acts]);
        assert!(vain.is_empty() && !is_inconclusive, "{acts}");
    }
}

#[test]
fn what_is_done_twice_is_done_once() {
    let kill = "at = '100ms'\nkill = 'b'";
    assert_eq!(inert(&[kill, kill]), (vec![2], true), "the dead do not die");
    let pause = "at = '100ms'\npause = 'b'";
    assert_eq!(inert(&[pause, pause, "resume = 'b'", "resume = 'b'"]), (vec![2, 4], true));
    assert_eq!(
        inert(&["at = '100ms'\ncut = { from = 'a', to = 'b' }", "after = '50ms'\nheal = true", "heal = true"]),
        (vec![3], true)
    );
    let hold = "at = '100ms'\nhold = { from = 'a' }";
    assert_eq!(inert(&[hold, "after = '50ms'\nrelease = true", "release = true"]), (vec![3], true));
    // Of two settings that lie over each other, the upper one is felt.
    let link = |ms: u32| format!("at = '100ms'\nlink = {{ between = ['a', 'b'], latency = '{ms}ms' }}");
    assert_eq!(inert(&[&link(5), &link(9)]), (vec![1], true));
    assert_eq!(
        inert(&["at = '600ms'\nkill = 'a'\nfor = '1ms'"]),
        (vec![], false),
        "a process that has ended is started again"
    );
}

#[test]
fn a_role_is_written_out_as_who_had_it() {
    let outcome = steps(&["at = '100ms'\nkill = '@any-talker'\nfor = '10ms'"]);
    let records = outcome.trace.expect("records are kept").records;
    let fault = records.iter().find_map(|record| match &record.what {
        stormglass::sim::trace::What::Fault { action, .. } => Some(action.clone()),
        _ => None,
    });
    assert_eq!(fault.as_deref(), Some("kill a (@any-talker = a)"));
}

#[test]
fn inert_faults_are_counted_by_family() {
    let kill = "at = '100ms'\nkill = 'b'\nmay_be_inert = true";
    let outcome = steps(&[kill, kill, "partition = [['a'], ['c']]\nmay_be_inert = true"]);
    let count = |name: &str| outcome.counter(name);
    assert_eq!(["faults.kill", "inert.kill", "acted.kill"].map(count), [2, 1, 1]);
    assert_eq!(["faults.partition", "inert.partition", "acted.partition"].map(count), [1, 1, 0]);
    let chaos = "duration = '2s'\n[chaos]\nuntil = '450ms'\nfamilies = ['one-way']\nevery = '20ms'\nlasts = '5ms'\n";
    let outcome = simulate(1, chaos, talk);
    let count = |name: &str| outcome.counter(name);
    let [begun, inert, acted] = ["faults.one-way", "inert.one-way", "acted.one-way"].map(count);
    assert!(inert > 0 && acted > 0 && begun == inert + acted, "{begun} = {inert} + {acted}");
    assert_eq!(outcome.verdict, Verdict::Pass, "what chaos does in vain is counted, and no more");
}
