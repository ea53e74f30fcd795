//! When the testbed says that it has stopped interfering.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use stormglass::net::{Net, Socket};
use stormglass::sim::trace::What;
use stormglass::sim::{Calm, Host, HostResult, Outcome, Setup, Verdict};

use super::{ms, note, records, simulate};

/// Sends `b` a datagram every 10 ms.
async fn send(host: Host) -> HostResult {
    let socket = host.net.bind("0.0.0.0:7000").await?;
    let to = host.net.resolve("b:7000").await?;
    loop {
        socket.send_to(b"beat", to).await?;
        note(&host.events, "sent", 0);
        tokio::time::sleep(ms(10)).await;
    }
}

/// A run of a second, which ends with a violation that tells when it was calm: first as the hooks heard it, then as the
/// end knows it.
fn told(seed: u64, rest: &str) -> Outcome {
    let build = |setup: &mut Setup<'_>| {
        setup.host("a", send);
        setup.host("b", |_| std::future::pending());
        let heard: Rc<RefCell<Vec<(Calm, Duration)>>> = Rc::default();
        // The order in which they ask is not the one in which they hear of it.
        for calm in [Calm::Healed, Calm::Scheduled, Calm::Healed] {
            let heard = heard.clone();
            setup.calm(calm, move |at| heard.borrow_mut().push((calm, at)));
        }
        setup.at_end(move |report| {
            let known = [Calm::Scheduled, Calm::Healed].map(|calm| report.calm_since(calm));
            report.violation("calm", format!("{:?}, {known:?}", heard.borrow()));
        });
    };
    simulate(seed, &format!("duration = '1s'\n{rest}"), build)
}

/// What a run tells that was calm at these times.
fn tale(scheduled: Option<Duration>, healed: Option<Duration>) -> String {
    let heard: Vec<_> =
        [(Calm::Scheduled, scheduled), (Calm::Healed, healed), (Calm::Healed, healed)].into_iter().collect();
    let heard: Vec<_> = heard.into_iter().filter_map(|(calm, at)| Some((calm, at?))).collect();
    format!("{heard:?}, {:?}", [scheduled, healed])
}

fn message(outcome: &Outcome) -> &str {
    match &outcome.verdict {
        Verdict::Violation(finding) => &finding.message,
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn it_is_calm_when_all_has_ended_and_healed_when_nothing_is_left() {
    let cases = [
        ("", Some(0), Some(0)),
        (
            "[network]\nloss = 0.1\n[[link]]\nfrom = 'a'\nto = 'b'\nlatency = '9ms'\n[disk]\nsync = '9ms'",
            Some(0),
            Some(0),
        ),
        // Nobody misses a host that the script never starts.
        ("waiting = ['b']", Some(0), Some(0)),
        ("waiting = ['b']\n[[step]]\nat = '50ms'\nrestart = 'b'", Some(50), Some(50)),
        ("[[step]]\nat = '100ms'\nkill = 'b'\nfor = '50ms'", Some(150), Some(150)),
        ("[[step]]\nat = '100ms'\nkill = 'b'", Some(100), None),
        ("[[step]]\nat = '100ms'\nkill = 'b'\n[[step]]\nafter = '20ms'\nrestart = 'b'", Some(120), Some(120)),
        ("[[step]]\nat = '100ms'\npower = 'b'", Some(100), None),
        ("[[step]]\nat = '100ms'\npower = 'b'\nfor = '50ms'", Some(150), Some(150)),
        ("[[step]]\nat = '100ms'\npause = 'b'", Some(100), None),
        ("[[step]]\nat = '100ms'\npause = 'b'\n[[step]]\nat = '300ms'\nresume = 'b'", Some(300), Some(300)),
        ("[[step]]\nat = '100ms'\npartition = [['a'], ['b']]", Some(100), None),
        ("[[step]]\nat = '100ms'\npartition = [['a'], ['b']]\nfor = '1ms'", Some(101), Some(101)),
        ("[[step]]\ncut = { from = 'a', to = 'b' }\n[[step]]\nat = '300ms'\nheal = true", Some(300), Some(300)),
        ("[[step]]\nlink = { between = '*', loss = 0.5 }", Some(0), None),
        ("[[step]]\nlink = { between = '*', loss = 0.5 }\nfor = '70ms'", Some(70), Some(70)),
        ("[[step]]\ndisk = { sync = '5ms' }", Some(0), None),
        ("[[step]]\ndisk = { sync = '5ms' }\nfor = '70ms'", Some(70), Some(70)),
        ("[[step]]\nat = '100ms'\nhold = { count = 1 }", Some(100), None),
        ("[[step]]\nhold = { count = 1 }\n[[step]]\nat = '100ms'\nrelease = true", Some(100), Some(100)),
        ("[[step]]\nat = '100ms'\ndrop = {}", Some(100), None),
        // The third datagram after it is sent at 120 ms, and taken up one tick later.
        ("[[step]]\nat = '95ms'\ndrop = { count = 3 }", Some(95), Some(121)),
        ("[[step]]\nat = '900ms'\nkill = 'b'\nfor = '200ms'", None, None),
        ("[[step]]\nat = '100ms'\nkill = 'b'\nfor = '50ms'\n[[step]]\npause = 'a'\nfor = '90ms'", Some(190), Some(190)),
        ("[[step]]\nat = '100ms'\nkill = 'b'\n[[step]]\npause = 'a'\nfor = '90ms'", Some(190), None),
        ("tick = '5ms'\n[[step]]\nat = '101ms'\nkill = 'b'\nfor = '50ms'", Some(155), Some(155)),
    ];
    for (rest, scheduled, healed) in cases {
        let outcome = told(1, rest);
        assert_eq!(message(&outcome), tale(scheduled.map(ms), healed.map(ms)), "{rest}");
    }
}

#[test]
fn chaos_is_calm_when_its_last_fault_has_ended() {
    for seed in 0..50 {
        let outcome = told(seed, "[chaos]\nuntil = '500ms'\nevery = '50ms'\nlasts = '10ms..100ms'");
        let of_faults = |what: &What| matches!(what, What::Fault { .. } | What::FaultEnded { .. });
        let last = records(&outcome).iter().rev().find(|record| of_faults(&record.what));
        let last = last.map_or(Duration::ZERO, |record| record.at);
        assert!(last <= ms(500), "seed {seed}: {last:?}");
        assert_eq!(message(&outcome), tale(Some(last), Some(last)), "seed {seed}");
    }
}
