//! Single packets that a script names, and hosts that die right after a record.

use std::time::Duration;

use stormglass::net::{Net as _, Socket as _};
use stormglass::sim::trace::{LossReason, What};
use stormglass::sim::{Outcome, Setup, Verdict};

use super::{assert_adds_up, ms, note, notes, records, simulate};

const QUIET: &str = "duration = '1s'\n[network]\nlatency = '5ms'\n";

/// `a` sends ten datagrams to `b`, one in 10 ms, by turns called `even` and `odd`; `b` notes which comes when.
fn counting(setup: &mut Setup<'_>) {
    setup.workload("a", |host| async move {
        let socket = host.net.bind("0.0.0.0:1").await?;
        let to = std::net::SocketAddr::new("192.168.0.2".parse()?, 1);
        for number in 0..10_u64 {
            let name = if number % 2 == 0 { "even" } else { "odd" };
            note(&host.events, "sending", number);
            socket.send_to(format!("{name} {number}").as_bytes(), to).await?;
            note(&host.events, "sent", number);
            tokio::time::sleep(ms(10)).await;
        }
        tokio::time::sleep(ms(60)).await;
        Ok(())
    });
    setup.host("b", |host| async move {
        let socket = host.net.bind("0.0.0.0:1").await?;
        let mut buffer = [0; 64];
        loop {
            let (length, _) = socket.recv_from(&mut buffer).await?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let number = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
            note(&host.events, "got", number.unwrap_or(u64::MAX));
        }
    });
}

fn arrivals(rest: &str) -> (Outcome, Vec<(u64, u64)>) {
    let outcome = simulate(3, &format!("{QUIET}{rest}"), counting);
    assert_adds_up(&outcome);
    let got = notes(&outcome, "got").into_iter().map(|(at, number)| (u64::try_from(at.as_millis()).unwrap(), number));
    let got = got.collect();
    (outcome, got)
}

/// What comes when nothing is in the way.
fn all() -> Vec<(u64, u64)> {
    (0..10).map(|number| (number * 10 + 5, number)).collect()
}

fn packet(message: &str, nth: u64, fate: &str) -> String {
    format!("[[packet]]\nfrom = 'a'\nto = 'b'\n{message}\nnth = {nth}\n{fate}\n")
}

#[test]
fn a_packet_meets_the_fate_that_the_script_has_for_it() {
    let (outcome, got) = arrivals("");
    assert_eq!((got, &outcome.verdict), (all(), &Verdict::Pass));
    let (outcome, got) = arrivals(&packet("", 3, "lose = true"));
    assert_eq!(got, all().into_iter().filter(|(_, number)| *number != 2).collect::<Vec<_>>());
    assert_eq!(outcome.faults["packet"], 1);
    let is_dropped = |what: &What| matches!(what, What::Lost { reason: LossReason::Dropped, .. });
    assert!(records(&outcome).iter().any(|record| is_dropped(&record.what)));
    // The second that is called `odd` is number 3.
    let (_, got) = arrivals(&packet("message = 'odd'", 2, "lose = true"));
    assert_eq!(got, all().into_iter().filter(|(_, number)| *number != 3).collect::<Vec<_>>());
    let (_, got) = arrivals(&packet("", 1, "latency = '32ms'"));
    assert_eq!(got[..5], [(15, 1), (25, 2), (32, 0), (35, 3), (45, 4)]);
    let (_, got) = arrivals(&(packet("", 1, "duplicate = true") + &packet("", 2, "duplicate = '7ms'")));
    assert_eq!(got[..5], [(5, 0), (5, 0), (15, 1), (17, 1), (25, 2)]);
    // The copy is none of the packets that are counted.
    let (_, got) = arrivals(&(packet("", 1, "duplicate = true") + &packet("", 2, "lose = true")));
    assert_eq!(got[..3], [(5, 0), (5, 0), (25, 2)]);
    let bit_of_the_digit = "even ".len() * 8;
    let (outcome, got) = arrivals(&packet("", 1, &format!("corrupt = {bit_of_the_digit}")));
    assert_eq!((got[0], outcome.packets.corrupted), ((5, 1), 1));
}

#[test]
fn a_fate_that_never_comes_to_pass_makes_a_run_inconclusive() {
    for (rule, reason) in [
        (packet("", 99, "lose = true"), "packet 1 (packet 99 a -> b: lost) never came"),
        (packet("message = 'none'", 1, "lose = true"), "packet 1 (none 1 a -> b: lost) never came"),
        (packet("", 1, "attempt = 1\nlose = true"), "packet 1 (packet 1 a -> b, attempt 1: lost) never came"),
    ] {
        let (outcome, _) = arrivals(&rule);
        assert_eq!(outcome.verdict, Verdict::Inconclusive { reason: reason.to_owned() });
    }
}

/// The first transmissions of the third segment are lost as often as the script says, and it comes that much later.
#[test]
fn a_segment_is_lost_once_for_each_attempt_that_is_named() {
    let served = |rest: &str| {
        simulate(3, &format!("duration = '20s'\n[network]\nlatency = '5ms'\n{rest}"), |setup| {
            setup.workload("a", |host| async move {
                use tokio::io::AsyncWriteExt as _;
                tokio::time::sleep(ms(5)).await;
                let mut stream = host.net.connect("b:1").await?;
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_secs(5)).await;
                Ok(())
            });
            setup.host("b", |host| async move {
                use stormglass::net::Listener as _;
                use tokio::io::AsyncReadExt as _;
                let mut listener = host.net.listen("0.0.0.0:1").await?;
                let (mut stream, _) = listener.accept().await?;
                stream.read_u8().await?;
                note(&host.events, "got", 1);
                Ok(())
            });
        })
    };
    let at = |outcome: &Outcome| notes(outcome, "got")[0].0;
    let lose = |attempt: u32| packet("", 3, &format!("attempt = {attempt}\nlose = true"));
    let on_time = at(&served(""));
    let once = served(&lose(0));
    let twice = served(&(lose(0) + &lose(1)));
    assert_eq!((once.packets.lost, twice.packets.lost), (1, 2));
    assert!(at(&once) >= on_time + ms(200) && at(&twice) >= at(&once) + ms(200), "{:?} {:?}", at(&once), at(&twice));
    let copied = served(&packet("", 3, "duplicate = true"));
    let reason = "packet 1 (packet 3 a -> b: twice) is TCP's, which the network neither copies nor corrupts";
    assert_eq!(copied.verdict, Verdict::Inconclusive { reason: reason.to_owned() });
}

/// TCP's own packets are named like any message: without the reset, a connect is refused when its SYN has come again.
#[test]
fn a_reset_is_dropped_by_its_name() {
    let refused_at = |rest: &str| {
        let outcome = simulate(3, &format!("{QUIET}{rest}").replace("'1s'", "'3s'"), |setup| {
            setup.workload("a", |host| async move {
                let error = host.net.connect("b:1").await.err().map(|error| error.kind());
                note(&host.events, "refused", u64::from(error == Some(std::io::ErrorKind::ConnectionRefused)));
                Ok(())
            });
            setup.host("b", |_| std::future::pending());
        });
        assert_adds_up(&outcome);
        let refused = notes(&outcome, "refused");
        assert!(matches!(refused[..], [(_, 1)]), "{refused:?}");
        (refused[0].0, outcome.packets.lost)
    };
    let reset = "[[packet]]\nfrom = 'b'\nto = 'a'\nmessage = 'RST'\nnth = 1\nlose = true\n";
    let (at_once, late) = (refused_at(""), refused_at(reset));
    assert_eq!((at_once, late.1), ((ms(10), 0), 1));
    assert!((ms(1_000)..ms(1_100)).contains(&late.0), "{late:?}");
}

/// Whatever the record, all up to it is as it was, and of the host that dies nothing comes between it and the death.
#[test]
fn a_host_dies_right_after_any_record() {
    let whole = simulate(3, QUIET, counting);
    let before = records(&whole);
    let mut in_the_middle_of_a_tick = 0;
    for number in 0..before.len() - 1 {
        for (action, host) in [("kill", "a"), ("power", "b"), ("kill", "b"), ("power", "a")] {
            let step = format!("[[step]]\nrecord = {number}\n{action} = '{host}'\nfor = '20ms'\n");
            let outcome = simulate(3, &format!("{QUIET}{step}"), counting);
            assert_adds_up(&outcome);
            let after = records(&outcome);
            assert_eq!(after[..=number], before[..=number], "{action} {host} after {number}");
            let of_host = |index: usize| after[index].host.is_some_and(|id| ["a", "b"][usize::from(id.0)] == host);
            let died = (number + 1..after.len()).find(|index| of_host(*index)).expect("it dies");
            let is_death = matches!(after[died].what, What::Killed | What::PowerLost | What::Started { .. });
            // A socket that closes says so, and nothing else.
            assert!(is_death, "{:?} comes after {number} and before the {action} of {host}", after[died]);
            in_the_middle_of_a_tick += u32::from(matches!(&before[number].what, What::Event { name: "sending", .. }));
        }
    }
    assert!(in_the_middle_of_a_tick >= 40);
}
