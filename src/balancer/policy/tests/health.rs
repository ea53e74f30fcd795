//! Checks, ejection, probes and slow start.

use super::*;

const REFUSED: Failure = Failure::ConnectRefused;
const BAD: Failure = Failure::Status(500);

#[test]
fn the_first_check_decides_alone_and_later_ones_by_their_thresholds() {
    let checks = Checks { healthy_threshold: 2, unhealthy_threshold: 3, ..Checks::default() };
    let mut pool = Pool::new(Settings { checks: Some(checks), ..plain() }, 2);
    pool.check(1, Err(REFUSED));
    assert_eq!(pool.state(1), State::Unhealthy, "the first check that it ever had");
    pool.check(2, Ok(()));
    (0..2).for_each(|_| pool.check(2, Err(REFUSED)));
    pool.check(2, Ok(()));
    (0..2).for_each(|_| pool.check(2, Err(REFUSED)));
    assert_eq!(pool.state(2), State::Healthy, "never three in a row");
    pool.check(2, Err(Failure::Timeout));
    assert_eq!(pool.state(2), State::Unhealthy);
    pool.check(1, Ok(()));
    assert_eq!(pool.state(1), State::Unhealthy, "one of two");
    pool.check(1, Ok(()));
    assert_eq!(pool.state(1), State::Healthy);
    let failed = |id, failure| Event::CheckFailed { id: b(id), failure };
    let recovered = Event::CheckRecovered { id: b(1) };
    assert_eq!(pool.events(), [failed(1, REFUSED), failed(2, Failure::Timeout), recovered]);
}

#[test]
fn failures_in_a_row_eject_and_a_success_between_them_forgives() {
    let mut pool = Pool::new(plain(), 2);
    for outcome in [Outcome::Failure(BAD), Outcome::Failure(BAD), success(), Outcome::Failure(BAD)] {
        pool.serve_with(2, |id| if id == 1 { outcome } else { success() });
    }
    assert_eq!((pool.state(1), pool.status(1).consecutive_failures), (State::Healthy, 1));
    pool.fail_until_ejected(1, BAD);
    let why = Why::Consecutive { failures: 3, last: BAD };
    assert_eq!(pool.events(), [Event::Ejected { id: b(1), why, until: ms(1000) }]);
    assert_eq!(pool.serve(3), [2, 2, 2]);
}

#[test]
fn a_client_that_goes_away_is_neither_failure_nor_success() {
    let mut pool = Pool::new(plain(), 2);
    for outcome in [Outcome::Failure(BAD), Outcome::Cancelled, Outcome::Failure(BAD), Outcome::Cancelled] {
        pool.serve_with(2, |id| if id == 1 { outcome } else { success() });
    }
    assert_eq!(pool.status(1).consecutive_failures, 2, "and so it does not end the row either");
    assert_eq!(pool.status(1).rate, Some((2, 2)));
    assert_eq!(pool.status(1).totals.cancelled, 2);
}

/// Every second answer is good, and all checks pass.
fn gray_failure(settings: Settings) -> Pool {
    let mut pool = Pool::new(settings, 2);
    for round in 0..30 {
        let outcome = if round % 2 == 0 { success() } else { Outcome::Failure(BAD) };
        pool.serve_with(2, |id| if id == 1 { outcome } else { success() });
        pool.pass(100);
        pool.check(1, Ok(()));
    }
    pool
}

#[test]
fn gray_failure_is_not_seen_by_failures_in_a_row() {
    let ejection = Ejection { failure_rate: None, ..Ejection::default() };
    let mut pool = gray_failure(Settings { ejection, ..plain() });
    assert_eq!((pool.state(1), pool.events()), (State::Healthy, vec![]));
}

#[test]
fn gray_failure_is_seen_by_the_failure_rate_and_passed_checks_do_not_hide_it() {
    let mut pool = gray_failure(plain());
    let why = Why::Rate { failures: 5, requests: 10 };
    assert_eq!(pool.events()[0], Event::Ejected { id: b(1), why, until: ms(1900) }, "ten requests are the least");

    let ejection = Ejection { check_readmits: true, ..Ejection::default() };
    let mut pool = gray_failure(Settings { ejection, ..plain() });
    assert_eq!(pool.events()[1], Event::Readmitted { id: b(1), by: Readmission::Check }, "for those who want it");
}

#[test]
fn a_failure_rate_forgets() {
    let mut pool = Pool::new(plain(), 2);
    pool.serve_with(4, |id| if id == 1 { Outcome::Failure(BAD) } else { success() });
    assert_eq!(pool.status(1).rate, Some((2, 2)));
    pool.pass(10_000);
    pool.serve(40);
    assert_eq!(pool.status(1).rate, Some((0, 20)));
}

#[test]
fn half_open_lets_one_probe_through_at_a_time() {
    let mut pool = Pool::new(plain(), 2);
    pool.fail_until_ejected(1, BAD);
    pool.pass(999);
    assert_eq!(pool.serve(2), [2, 2]);
    pool.pass(1);
    assert_eq!(pool.state(1), State::HalfOpen { is_probed: false });
    let probe = pool.pick();
    assert_eq!((probe.id, probe.is_probe), (b(1), true));
    assert_eq!(pool.serve(3), [2, 2, 2], "while its probe is out");
    pool.finish(probe, Outcome::Cancelled);
    let probe = pool.pick();
    assert!(probe.is_probe, "a cancelled probe has decided nothing");
    pool.finish(probe, success());
    assert_eq!(pool.state(1), State::Healthy);
    assert_eq!(
        pool.events()[1..],
        [Event::HalfOpened { id: b(1) }, Event::Readmitted { id: b(1), by: Readmission::Probe }]
    );
    assert_eq!(counts(&pool.serve(10))[..2], [5, 5]);
}

#[test]
fn a_failed_probe_ejects_for_longer_and_health_makes_it_shorter_again() {
    let mut pool = Pool::new(plain(), 2);
    pool.fail_until_ejected(1, BAD);
    let mut lasted = vec![];
    for _ in 0..40 {
        let State::Ejected { until, .. } = pool.state(1) else { panic!("it is ejected") };
        lasted.push((until - pool.now).as_secs());
        let left = u64::try_from((until - pool.now).as_millis()).expect("a short time");
        pool.pass(left);
        pool.serve_with(1, |_| Outcome::Failure(BAD));
    }
    assert_eq!(lasted[..4], [1, 2, 3, 4]);
    assert_eq!(lasted[28..32], [29, 30, 30, 30]);

    pool.pass(30_000);
    pool.serve(1);
    assert_eq!((pool.state(1), pool.status(1).ejections_in_a_row), (State::Healthy, 41));
    pool.pass(39 * 30_000);
    pool.fail_until_ejected(1, BAD);
    assert_eq!(pool.status(1).ejections_in_a_row, 3, "39 are forgiven, and one is new");
}

#[test]
fn what_was_sent_before_an_ejection_is_not_held_against_what_came_after() {
    let mut pool = Pool::new(plain(), 2);
    let old: Vec<_> = (0..8).map(|_| pool.pick()).collect();
    pool.fail_until_ejected(1, BAD);
    pool.pass(1000);
    pool.serve(1);
    assert_eq!(pool.state(1), State::Healthy);
    for pick in old {
        let outcome = if pick.id == b(1) { Outcome::Failure(BAD) } else { success() };
        pool.finish(pick, outcome);
    }
    assert_eq!((pool.state(1), pool.status(1).in_flight), (State::Healthy, 0));
}

#[test]
fn what_was_sent_in_panic_is_not_held_against_what_comes_after() {
    let mut pool = Pool::new(Settings { panic_percent: 100, ..plain() }, 2);
    pool.fail_until_ejected(1, BAD);
    let in_panic: Vec<_> = (0..8).map(|_| pool.pick()).collect();
    pool.pass(1000);
    pool.serve(2);
    assert_eq!(pool.state(1), State::Healthy, "in panic a probe is whoever's turn it is");
    for pick in in_panic {
        assert!(pick.in_panic && !pick.is_probe);
        let outcome = if pick.id == b(1) { Outcome::Failure(BAD) } else { success() };
        pool.finish(pick, outcome);
    }
    assert_eq!(pool.state(1), State::Healthy);
}

#[test]
fn who_is_readmitted_has_a_clean_record() {
    let mut pool = Pool::new(plain(), 2);
    let bad = |id| if id == 1 { Outcome::Failure(BAD) } else { success() };
    for _ in 0..5 {
        pool.serve_with(2, bad);
        pool.serve(2);
    }
    pool.serve_with(2, bad);
    assert!(matches!(pool.state(1), State::Ejected { why: Why::Rate { .. }, .. }));
    pool.pass(1000);
    pool.serve(1);
    pool.serve_with(2, bad);
    assert_eq!((pool.state(1), pool.status(1).rate), (State::Healthy, Some((1, 1))));
}

#[test]
fn who_is_unhealthy_does_not_take_the_room_of_one_to_be_ejected() {
    let mut pool = Pool::new(plain(), 3);
    let held: Vec<_> = (0..9).map(|_| pool.pick()).collect();
    pool.check(1, Err(REFUSED));
    for pick in held {
        let outcome = if pick.id == b(1) { Outcome::Failure(BAD) } else { success() };
        pool.finish(pick, outcome);
    }
    assert_eq!(pool.status(1).totals.ejections, 0);
    pool.fail_until_ejected(2, BAD);
}

#[test]
fn a_retry_is_no_probe_unless_nobody_else_is_left() {
    let mut pool = Pool::new(plain(), 3);
    pool.fail_until_ejected(1, BAD);
    pool.pass(1000);
    let retry = pool.retry(&[2]);
    assert_eq!((retry.id, retry.is_probe), (b(3), false));
    let last = pool.retry(&[2, 3]);
    assert_eq!((last.id, last.is_probe), (b(1), true));
    pool.finish(retry, success());
    pool.finish(last, success());
}

#[test]
fn a_crash_that_is_over_is_forgotten_at_the_next_passed_check() {
    let mut pool = Pool::new(plain(), 2);
    pool.fail_until_ejected(1, REFUSED);
    pool.pass(300);
    pool.check(1, Ok(()));
    assert_eq!(pool.state(1), State::Healthy, "what the check has seen is what was wrong");

    pool.fail_until_ejected(1, Failure::Timeout);
    pool.check(1, Ok(()));
    assert!(matches!(pool.state(1), State::Ejected { .. }), "this the check cannot see");
    (0..2).for_each(|_| pool.check(1, Err(REFUSED)));
    assert_eq!(pool.state(1), State::Unhealthy);
    pool.check(1, Ok(()));
    assert_eq!(pool.state(1), State::Healthy, "it went down and came back");
    let readmitted = Event::Readmitted { id: b(1), by: Readmission::Check };
    assert_eq!(
        pool.events()[3..],
        [Event::CheckFailed { id: b(1), failure: REFUSED }, Event::CheckRecovered { id: b(1) }, readmitted]
    );
}

#[test]
fn an_unhealthy_backend_is_not_probed() {
    let mut pool = Pool::new(plain(), 2);
    pool.fail_until_ejected(1, BAD);
    pool.check(1, Err(REFUSED));
    pool.pass(5000);
    assert_eq!(pool.serve(2), [2, 2]);
}

#[test]
fn the_share_of_a_backend_that_returns_grows_linearly() {
    let mut pool = Pool::new(Settings { slow_start: Some(SlowStart::default()), ..plain() }, 3);
    assert_eq!(pool.state(3), State::Healthy, "nobody is slow at the start, for nobody would be quick");
    pool.check(3, Err(REFUSED));
    pool.pass(1000);
    pool.check(3, Ok(()));
    let mut shares = vec![];
    while let State::SlowStart { share_permille, until } = pool.state(3) {
        assert_eq!(until, ms(11_000));
        // Time stands still while these are served: of 2 + share parts, share are its.
        let [first, second, third] = counts(&pool.serve(2100));
        let expected = 2100 * share_permille as usize / (2000 + share_permille as usize);
        assert!(third.abs_diff(expected) <= 3, "{third} of 2100 at {share_permille}");
        assert!(first.abs_diff(second) <= 2, "{first} and {second}");
        shares.push(share_permille);
        pool.pass(2500);
    }
    assert_eq!(shares, [100, 325, 550, 775]);
    assert_eq!(pool.events().last(), Some(&Event::SlowStartEnded { id: b(3) }));
    assert_eq!(counts(&pool.serve(300)), [100, 100, 100]);
}
