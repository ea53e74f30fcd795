//! How many may be out, what happens when too many are, and what is said when there is nobody.

use super::*;

const DOWN: Failure = Failure::ConnectRefused;

#[test]
fn at_most_half_are_ejected_however_all_fail() {
    for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let mut pool = Pool::new(plain(), count);
        pool.serve_with(100, |_| Outcome::Failure(DOWN));
        let ejected = |id: &u32| matches!(pool.state(*id), State::Ejected { .. });
        assert_eq!((1..=count).filter(ejected).count(), most, "of {count}");
        assert!(pool.status(count).totals.ejections_withheld > 0);
    }
}

#[test]
fn in_panic_all_are_used_and_it_is_told() {
    let mut pool = Pool::new(Settings { panic_percent: 50, ..plain() }, 3);
    pool.check(1, Err(DOWN));
    assert!(!pool.backends.snapshot(pool.now).is_panic, "two of three are left");
    pool.check(2, Err(DOWN));
    let snapshot = pool.backends.snapshot(pool.now);
    assert_eq!((snapshot.is_panic, snapshot.available, snapshot.configured), (true, 1, 3));
    assert!(pool.serve(30).contains(&1), "it is used though it is unhealthy");
    let pick = pool.pick();
    assert!(pick.in_panic && !pick.is_probe);
    pool.finish(pick, success());
    pool.check(2, Ok(()));
    assert_eq!(counts(&pool.serve(10)), [0, 5, 5]);
    let events = pool.events();
    assert_eq!(events[2], Event::PanicBegan { available: 1, configured: 3 });
    assert_eq!(events[4], Event::PanicEnded { available: 2, configured: 3 });
}

#[test]
fn a_single_backend_is_always_asked() {
    let mut pool = Pool::new(Settings::default(), 1);
    pool.check(1, Err(DOWN));
    pool.serve_with(20, |_| Outcome::Failure(DOWN));
    assert_eq!(pool.serve(1), [1]);
}

#[test]
fn who_has_as_much_as_it_may_is_passed_over_until_it_has_room() {
    let mut pool = Pool::new(Settings { in_flight_max: Some(1), ..plain() }, 2);
    let (first, second) = (pool.pick(), pool.pick());
    assert_eq!(pool.try_pick(&[]), Err(NoBackend::Busy));
    assert_eq!(pool.try_pick(&[1]), Err(NoBackend::Busy));
    assert_eq!(pool.try_pick(&[1, 2]), Err(NoBackend::AllTried));
    pool.finish(first, success());
    assert_eq!(pool.serve(3), [1, 1, 1]);
    pool.finish(second, success());
    assert_eq!(counts(&pool.serve(10))[..2], [5, 5], "what it has missed is not made up for");
}

#[test]
fn all_down_says_when_the_first_may_be_back() {
    let checks = Checks { interval: ms(1000), healthy_threshold: 2, unhealthy_threshold: 1 };
    let mut pool = Pool::new(Settings { checks: Some(checks), ..plain() }, 2);
    let all_down = |after: u64| Err(NoBackend::AllDown { retry_after: Some(ms(after)) });
    pool.check(1, Err(DOWN));
    pool.pass(500);
    pool.check(2, Err(DOWN));
    assert_eq!(pool.try_pick(&[]), all_down(1500), "the first needs two checks more, of which one is due in 500 ms");
    pool.pass(500);
    pool.check(1, Ok(()));
    assert_eq!(pool.try_pick(&[]), all_down(1000), "one more");
    pool.pass(5000);
    assert_eq!(pool.try_pick(&[]), all_down(0), "it should have been there");

    let mut pool = Pool::new(plain(), 2);
    pool.fail_until_ejected(1, Failure::Timeout);
    pool.check(2, Err(DOWN));
    pool.pass(100);
    assert_eq!(pool.try_pick(&[]), all_down(900), "the ejection ends before the next check");
    pool.pass(900);
    let probe = pool.pick();
    assert!(probe.is_probe);
    assert_eq!(pool.try_pick(&[]), all_down(0), "the probe may be back at any time");
    pool.finish(probe, success());
    assert_eq!(pool.serve(1), [1]);
}

#[test]
fn without_any_backend_nothing_is_promised() {
    let mut pool = Pool::new(Settings::default(), 0);
    assert_eq!(pool.try_pick(&[]), Err(NoBackend::AllDown { retry_after: None }));
    assert_eq!(pool.backends.next_deadline(), None);
}
