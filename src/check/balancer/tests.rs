//! Each invariant, broken on purpose.

use std::time::Duration;

use super::*;
use crate::balancer::config::{Backend, Origin};
use crate::balancer::policy::Failure;

fn config() -> Config {
    let backend = |name: &str| Backend { origin: Origin::parse(&format!("http://{name}:8081")).unwrap(), weight: 1 };
    Config::new(["b1", "b2", "b3"].map(backend).to_vec())
}

fn ms(ms: u64) -> Seen {
    (Duration::from_millis(ms), ms)
}

fn name(id: BackendId) -> String {
    format!("b{}", id.0 + 1)
}

/// A balancer that has been running for a while.
fn check() -> BalancerCheck {
    let mut check = BalancerCheck::new(&config(), Duration::from_mins(5));
    check.balancer_started(&config(), ms(0));
    check
}

fn request(id: &str, is_post: bool) -> Request {
    let body = if is_post { content(id, "client", 64) } else { Vec::new() };
    Request { client: "c1".to_owned(), id: id.to_owned(), is_post, body: Some(digest(&body)), upgrade: None }
}

fn answered(status: u16, backend: Option<&str>, is_mine: bool) -> End {
    End::Answered { status, backend: backend.map(ToOwned::to_owned), is_mine }
}

fn invariant(breach: Option<Breach>) -> Option<String> {
    breach.map(|breach| breach.invariant)
}

#[test]
fn a_post_runs_once_and_a_get_may_run_again() {
    let mut check = check();
    let (get, post) = (digest(b""), digest(&content("c1.0/2", "client", 64)));
    check.sent(ms(10), &request("c1.0/1", false));
    check.sent(ms(10), &request("c1.0/2", true));
    for backend in ["b1", "b2"] {
        assert_eq!(invariant(check.executed(ms(11), backend, false, "c1.0/1", get)), None);
    }
    assert_eq!(invariant(check.executed(ms(11), "b1", true, "c1.0/2", post)), None);
    let breach = check.executed(ms(12), "b2", true, "c1.0/2", post).expect("twice");
    assert_eq!((breach.invariant.as_str(), breach.facts.len()), ("a POST runs at most once", 2));
}

#[test]
fn what_arrives_and_comes_back_is_what_was_sent() {
    let mut check = check();
    let asked = request("c1.0/1", false);
    let arrives = Some("a request arrives as it was sent".to_owned());
    assert_eq!(invariant(check.executed(ms(9), "b1", false, "c1.0/1", digest(b""))), arrives, "nobody has sent it");
    check.sent(ms(10), &asked);
    assert_eq!(invariant(check.executed(ms(11), "b1", false, "c1.0/1", digest(b"x"))), arrives, "another body");
    assert_eq!(invariant(check.executed(ms(11), "b1", true, "c1.0/1", digest(b""))), arrives, "another method");
    let belongs = Some("an answer belongs to its request".to_owned());
    assert_eq!(invariant(check.ended(ms(20), &asked, &answered(200, Some("b1"), true))), belongs, "not executed");
    assert_eq!(invariant(check.executed(ms(21), "b1", false, "c1.0/1", digest(b""))), None);
    assert_eq!(invariant(check.ended(ms(22), &asked, &answered(200, Some("b1"), false))), belongs, "another's body");
    assert_eq!(invariant(check.ended(ms(22), &asked, &answered(200, Some("b1"), true))), None);
}

#[test]
fn no_answer_is_excused_only_by_what_was_seen() {
    let mut check = check();
    let asked = request("c1.0/1", false);
    check.sent(ms(10), &asked);
    let unanswered = Some("every request is answered".to_owned());
    assert_eq!(invariant(check.ended(ms(20), &asked, &End::Broken)), unanswered);
    assert_eq!(invariant(check.ended(ms(20), &asked, &answered(503, None, true))), None, "a clean error");
    check.balancer(ms(15), &Event::Draining { connections: 1 }, &name);
    assert_eq!(invariant(check.ended(ms(20), &asked, &End::Broken)), None);
}

#[test]
fn a_get_is_not_lost_while_somebody_serves() {
    let mut check = check();
    let asked = request("c1.0/1", false);
    let served = |id| Event::Finished { id: BackendId(id), outcome: Outcome::Success { latency: Duration::ZERO } };
    let failed = |id| Event::Finished { id: BackendId(id), outcome: Outcome::Failure(Failure::Reset) };
    check.sent(ms(10), &asked);
    check.balancer(ms(11), &failed(0), &name);
    let end = answered(502, None, true);
    assert_eq!(invariant(check.ended(ms(20), &asked, &end)), None, "nobody is known to serve");
    check.balancer(ms(12), &served(1), &name);
    let lost = Some("nothing is lost that could be served".to_owned());
    assert_eq!(invariant(check.ended(ms(20), &asked, &end)), lost);
    check.balancer(ms(13), &failed(1), &name);
    assert_eq!(invariant(check.ended(ms(20), &asked, &end)), None, "it fails as well");
    check.balancer(ms(14), &served(2), &name);
    check.balancer(ms(14), &Event::RetryRefused, &name);
    assert_eq!(invariant(check.ended(ms(20), &asked, &end)), None, "the budget is spent");
}

#[test]
fn round_robin_asks_in_turn() {
    let mut check = check();
    let pick = |id, is_first| Event::Picked { id: BackendId(id), is_probe: false, is_first };
    for id in [0, 1, 2, 1, 0, 2] {
        assert_eq!(invariant(check.balancer(ms(10), &pick(id, true), &name)), None);
    }
    assert_eq!(invariant(check.balancer(ms(11), &pick(0, true), &name)), None);
    assert_eq!(invariant(check.balancer(ms(11), &pick(0, true), &name)), Some("round robin is exact".to_owned()));
    assert_eq!(invariant(check.balancer(ms(12), &pick(0, false), &name)), None, "a retry could not choose freely");
    assert_eq!(invariant(check.balancer(ms(13), &pick(0, true), &name)), None);
}

#[test]
fn who_may_be_asked_is_asked_and_nobody_else() {
    let pick = |id, is_probe| Event::Picked { id: BackendId(id), is_probe, is_first: true };
    let tell = |event| Event::Policy { event, origin: None };
    let id = BackendId(0);
    let ejected = |until| policy::Event::Ejected {
        id,
        why: policy::Why::Probe(Failure::Reset),
        until: Duration::from_millis(until),
    };
    let mut check = check();
    check.balancer(ms(10), &tell(ejected(500)), &name);
    let avoided = Some("who is avoided is not asked".to_owned());
    assert_eq!(invariant(check.balancer(ms(11), &pick(0, false), &name)), avoided);
    check.balancer(ms(500), &tell(policy::Event::HalfOpened { id }), &name);
    assert_eq!(invariant(check.balancer(ms(501), &pick(0, true), &name)), None, "a probe");
    assert_eq!(invariant(check.balancer(ms(502), &pick(0, true), &name)), avoided, "a second one");
    check.balancer(ms(510), &tell(ejected(1_000)), &name);
    assert_eq!(invariant(check.balancer(ms(1_000), &pick(1, false), &name)), None);
    let late = Some("an ejection ends in time".to_owned());
    assert_eq!(invariant(check.balancer(ms(1_001), &pick(1, false), &name)), late);
    check.balancer(ms(1_002), &Event::Began, &name);
    let nobody = Some("somebody is always asked".to_owned());
    assert_eq!(
        invariant(check.balancer(ms(1_002), &Event::Answered { status: 503, after: Duration::ZERO }, &name)),
        nobody
    );
}

#[test]
fn retries_are_counted_over_the_window() {
    let mut check = check();
    let pick = Event::Picked { id: BackendId(0), is_probe: false, is_first: false };
    for _ in 0..100 {
        check.balancer(ms(10), &Event::Began, &name);
        check.balancer(ms(10), &pick, &name);
    }
    check.misbehaves("b1");
    let failed = Event::Finished { id: BackendId(0), outcome: Outcome::Failure(Failure::Reset) };
    for _ in 0..102 {
        check.balancer(ms(20), &failed, &name);
    }
    for _ in 0..100 {
        assert_eq!(invariant(check.balancer(ms(20), &Event::Retried, &name)), None, "the floor is 100 in 10 s");
    }
    assert_eq!(
        invariant(check.balancer(ms(20), &Event::Retried, &name)),
        Some("retries stay within the budget".to_owned())
    );
    assert_eq!(invariant(check.balancer(ms(10_021), &Event::Retried, &name)), None, "they are long ago");
}

#[test]
fn what_is_left_over_has_leaked() {
    let mut check = check();
    let at_end = |check: &BalancerCheck, in_flight| {
        invariant(check.at_end(Duration::from_secs(10), Duration::from_secs(2), Some((in_flight, 0))))
    };
    let leaks = Some("nothing leaks".to_owned());
    assert_eq!(at_end(&check, 1), None, "something is still disturbed");
    check.calm(Duration::from_secs(5));
    assert_eq!((at_end(&check, 0), at_end(&check, 1)), (None, leaks.clone()));
    let (id, outcome) = (BackendId(0), Outcome::Cancelled);
    for (begins, ends) in [
        (Event::Accepted, Event::Closed),
        (Event::Picked { id, is_probe: false, is_first: true }, Event::Finished { id, outcome }),
    ] {
        check.balancer(ms(10), &begins, &name);
        assert_eq!(at_end(&check, 0), leaks);
        check.balancer(ms(11), &ends, &name);
        assert_eq!(at_end(&check, 0), None);
    }
}

#[test]
fn contents_tell_requests_and_authors_apart() {
    let of = |id, author| content(id, author, 100);
    assert_eq!(of("a", "b1").len(), 100);
    assert_ne!(of("a", "b1")[20..], of("a", "b2")[20..]);
    assert_ne!(of("a", "b1")[20..], of("b", "b1")[20..]);
    assert!(content("a", "b1", 0).len() > 16);
}

#[test]
fn nobody_is_blamed_without_a_cause() {
    let failed = |failure| Event::Finished { id: BackendId(0), outcome: Outcome::Failure(failure) };
    let mut check = check();
    let blamed = Some("who is blamed has failed".to_owned());
    assert_eq!(invariant(check.balancer(ms(10), &failed(Failure::Reset), &name)), blamed);
    assert_eq!(invariant(check.balancer(ms(10), &failed(Failure::Timeout), &name)), None, "too slow is another matter");
    check.closes(Duration::from_millis(20), "b1", false);
    assert_eq!(invariant(check.balancer(ms(30), &failed(Failure::Reset), &name)), None, "it has just closed one");
    assert_eq!(invariant(check.balancer(ms(5_000), &failed(Failure::Reset), &name)), blamed);
    check.misbehaves("b2");
    assert_eq!(invariant(check.balancer(ms(5_000), &failed(Failure::Reset), &name)), blamed, "it is another one");
    check.misbehaves("b1");
    assert_eq!(invariant(check.balancer(ms(5_000), &failed(Failure::Reset), &name)), None);
}

#[test]
fn a_post_is_not_lost_while_nothing_is_wrong() {
    let mut check = check();
    let (post, end) = (request("c1.0/1", true), answered(502, None, true));
    check.sent(ms(10), &post);
    let lost = Some("nothing is lost that could be served".to_owned());
    assert_eq!(invariant(check.ended(ms(20), &post, &end)), lost);
    check.closes(Duration::from_millis(20), "b1", false);
    assert_eq!(invariant(check.ended(ms(20), &post, &end)), lost, "a POST has a connection of its own");
    assert_eq!(invariant(check.ended(ms(20), &post, &answered(504, None, true))), None, "that was too slow");
    check.closes(Duration::from_millis(20), "b1", true);
    assert_eq!(invariant(check.ended(ms(20), &post, &end)), None, "that may have been the one");
}

#[test]
fn who_comes_back_is_asked_as_often_as_its_share_has_grown() {
    let pick = |id| Event::Picked { id: BackendId(id), is_probe: false, is_first: true };
    let back = Event::Policy { event: policy::Event::CheckRecovered { id: BackendId(0) }, origin: None };
    let mut config = config();
    config.policy.slow_start = Some(policy::SlowStart { window: Duration::from_secs(10), share_percent_min: 10 });
    let slow = |turns: &[u32]| {
        let mut check = BalancerCheck::new(&config, Duration::from_mins(5));
        check.balancer_started(&config, ms(0));
        check.balancer(ms(1_000), &back, &name);
        // A second later its share has grown to 19 %.
        turns.iter().find_map(|id| invariant(check.balancer(ms(2_000), &pick(*id), &name)))
    };
    assert_eq!(slow(&[0, 1, 2].repeat(30)), Some("a slow start is slow".to_owned()));
    let turns = [1, 2, 1, 2, 1, 2, 1, 2, 1, 0, 2].repeat(10);
    assert_eq!(slow(&turns), None, "one of eleven");
}

fn speaks(id: &str, upgrade: Option<&str>) -> Request {
    Request { body: None, upgrade: upgrade.map(ToOwned::to_owned), ..request(id, true) }
}

#[test]
fn a_retry_makes_up_for_a_failure() {
    let mut check = check();
    let failed = Event::Finished { id: BackendId(0), outcome: Outcome::Failure(Failure::Reset) };
    check.misbehaves("b1");
    check.balancer(ms(10), &failed, &name);
    assert_eq!(invariant(check.balancer(ms(10), &Event::Retried, &name)), None);
    let cause = Some("a retry has a cause".to_owned());
    assert_eq!(invariant(check.balancer(ms(11), &Event::Retried, &name)), cause);
    assert_eq!(invariant(check.balancer(ms(11), &Event::RetryRefused, &name)), cause);
    let renewed = Event::Renewed { id: BackendId(0) };
    assert_eq!(invariant(check.balancer(ms(12), &renewed, &name)), None, "that costs nothing");
}

#[test]
fn a_backend_that_waits_for_a_client_is_not_too_slow() {
    let slow = Event::Finished { id: BackendId(0), outcome: Outcome::Failure(Failure::Timeout) };
    let pick = Event::Picked { id: BackendId(0), is_probe: false, is_first: false };
    let blamed = |tell: &dyn Fn(&mut BalancerCheck)| {
        let mut check = check();
        check.sent(ms(10), &speaks("h1.0/0.1", None));
        check.balancer(ms(10), &pick, &name);
        check.takes("b1", "h1.0/0.1");
        check.uploads("h1.0/0.1", true);
        tell(&mut check);
        invariant(check.balancer(ms(5_000), &slow, &name))
    };
    assert_eq!(blamed(&|_| ()), Some("who is slow is blamed".to_owned()));
    assert_eq!(blamed(&|check| check.uploads("h1.0/0.1", false)), None, "its client is done");
    assert_eq!(blamed(&|check| check.has_taken("b1", "h1.0/0.1")), None, "it has all of it");
    assert_eq!(blamed(&|check| check.misbehaves("b1")), None);
    assert_eq!(blamed(&|check| drop(check.balancer(ms(11), &pick, &name))), None, "it may be the other one");
}

#[test]
fn what_is_said_before_a_body_has_come_is_heard_and_heeded() {
    let mut check = check();
    for id in ["h1.0/0.1", "h1.0/0.2", "h1.0/0.3"] {
        check.sent(ms(10), &speaks(id, None));
    }
    assert_eq!(invariant(check.heard(ms(20), "h1.0/0.1", 100)), Some("100 is the backend's to say".to_owned()));
    assert_eq!(invariant(check.heard(ms(1_010), "h1.0/0.1", 100)), None, "it has waited for as long as is waited");
    check.continues("h1.0/0.1");
    assert_eq!(invariant(check.heard(ms(20), "h1.0/0.1", 100)), None);
    check.answers_early("h1.0/0.2", 413, true);
    assert_eq!(invariant(check.heard(ms(20), "h1.0/0.2", 413)), None);
    let lost = Some("an early answer reaches its client".to_owned());
    assert_eq!(invariant(check.heard(ms(20), "h1.0/0.2", 502)), lost);
    let unwanted = Some("a body that nobody wants stays".to_owned());
    assert_eq!(invariant(check.gets_body(ms(20), "b1", "h1.0/0.2")), unwanted);
    check.answers_early("h1.0/0.3", 413, false);
    assert_eq!(invariant(check.gets_body(ms(20), "b1", "h1.0/0.3")), None, "its client could not know");
}

#[test]
fn a_tunnel_is_of_the_protocol_that_was_asked_for() {
    let mut check = check();
    check.sent(ms(10), &speaks("h1.0/0.1", Some("shout, whisper")));
    check.sent(ms(10), &speaks("h1.0/0.2", None));
    let unasked = Some("a tunnel was asked for".to_owned());
    assert_eq!(invariant(check.is_in_tunnel(ms(20), "b1", "h1.0/0.1", "Whisper")), None);
    assert_eq!(invariant(check.is_in_tunnel(ms(20), "b1", "h1.0/0.1", "sing")), unasked);
    assert_eq!(invariant(check.is_in_tunnel(ms(20), "b1", "h1.0/0.2", "shout")), unasked);
}

#[test]
fn an_answer_above_a_limit_is_nobodys_fault() {
    let (mut check, post) = (check(), request("c1.0/1", true));
    check.sent(ms(10), &post);
    check.balancer(ms(15), &Event::OverLimit { id: BackendId(0) }, &name);
    assert_eq!(invariant(check.ended(ms(20), &post, &answered(502, None, true))), None);
}
