//! What a reload changes, and what it leaves.

use super::*;

impl Pool {
    fn reload(&mut self, settings: Settings, list: &[(u32, u32)]) {
        let list: Vec<_> = list.iter().map(|(id, weight)| (b(*id), *weight)).collect();
        self.backends.reconfigure(settings, &list, self.now).expect("it makes sense");
    }
}

#[test]
fn a_reload_that_changes_nothing_changes_nothing() {
    let mut pool = Pool::weighted(plain(), &[3, 1]);
    pool.serve_with(2, |_| Outcome::Failure(Failure::Timeout));
    let held = pool.pick();
    let before = pool.backends.snapshot(pool.now);
    pool.reload(plain(), &[(2, 1), (1, 3)]);
    assert_eq!((pool.backends.snapshot(pool.now), pool.events()), (before, vec![]));
    pool.finish(held, success());
    assert_eq!(pool.serve(1), [1], "the cycle goes on where it was");
}

#[test]
fn who_stays_keeps_its_ejection_and_its_requests_in_flight() {
    let mut pool = Pool::new(plain(), 2);
    let held = (pool.pick(), pool.pick());
    pool.fail_until_ejected(1, Failure::Timeout);
    let before = pool.status(1);
    pool.reload(plain(), &[(1, 7), (2, 1), (3, 1)]);
    assert_eq!(pool.status(1), BackendStatus { weight: 7, ..before });
    assert_eq!(pool.status(2).in_flight, 1);
    pool.finish(held.0, success());
    pool.finish(held.1, success());
}

#[test]
fn who_is_removed_finishes_what_it_has_and_is_forgotten() {
    let mut pool = Pool::new(plain(), 2);
    let held = pool.pick();
    pool.reload(plain(), &[(2, 1)]);
    assert_eq!(pool.state(1), State::Draining);
    assert_eq!(pool.serve(3), [2, 2, 2]);
    pool.check(1, Err(Failure::ConnectRefused));
    pool.finish(held, success());
    let began = Event::DrainBegan { id: b(1), in_flight: 1 };
    assert_eq!(pool.events(), [began, Event::Drained { id: b(1) }]);
    assert_eq!(pool.backends.snapshot(pool.now).backends.len(), 1);
}

#[test]
fn who_comes_back_while_draining_is_who_it_was() {
    let mut pool = Pool::new(plain(), 2);
    let held = pool.pick();
    pool.reload(plain(), &[(2, 1)]);
    pool.reload(plain(), &[(1, 1), (2, 1)]);
    assert_eq!((pool.state(1), pool.status(1).in_flight), (State::Healthy, 1));
    pool.finish(held, success());
    assert_eq!(pool.events().last(), Some(&Event::DrainEnded { id: b(1) }));
    assert_eq!(counts(&pool.serve(10))[..2], [5, 5]);
}

#[test]
fn who_is_new_starts_slowly() {
    let mut pool = Pool::new(Settings::default(), 2);
    pool.reload(Settings::default(), &[(1, 1), (2, 1), (3, 1)]);
    assert_eq!(pool.state(3), State::SlowStart { share_permille: 100, until: ms(10_000) });
    pool.reload(plain(), &[(1, 1), (2, 1), (3, 1)]);
    assert_eq!(counts(&pool.serve(9)), [3, 3, 3], "a reload without slow start ends it");
    assert_eq!(pool.events(), [Event::Added { id: b(3) }, Event::SlowStartEnded { id: b(3) }]);
}

#[test]
fn fewer_backends_let_fewer_be_ejected() {
    let mut pool = Pool::new(plain(), 4);
    pool.fail_until_ejected(1, Failure::Timeout);
    pool.fail_until_ejected(2, Failure::Timeout);
    pool.events();
    pool.reload(plain(), &[(1, 1), (2, 1)]);
    let back = pool.events();
    assert!(back.contains(&Event::Readmitted { id: b(1), by: Readmission::EjectedPercentMax }), "{back:?}");
    assert!(matches!(pool.state(2), State::Ejected { .. }));
}

#[test]
fn without_checks_nobody_stays_unhealthy_for_ever() {
    let mut pool = Pool::new(plain(), 2);
    pool.check(1, Err(Failure::Timeout));
    pool.reload(Settings { checks: None, ..plain() }, &[(1, 1), (2, 1)]);
    assert_eq!(pool.state(1), State::Healthy);
    pool.check(1, Err(Failure::Timeout));
    assert_eq!(pool.state(1), State::Healthy, "nobody asked for it");
}

#[test]
fn a_list_that_makes_no_sense_changes_nothing() {
    let mut pool = Pool::new(plain(), 2);
    let twice = [(b(1), 1), (b(1), 1)];
    assert_eq!(pool.backends.reconfigure(plain(), &twice, ms(5)), Err(SettingsError::Twice(b(1))));
    assert_eq!(pool.serve(2), [1, 2]);
}
