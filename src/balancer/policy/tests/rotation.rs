//! Whose turn it is, while health changes around it.

use super::*;

#[test]
fn three_backends_share_in_turn() {
    let mut pool = Pool::new(plain(), 3);
    assert_eq!(pool.serve(7), [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn two_live_ones_of_three_share_evenly_and_the_order_stays() {
    let mut pool = Pool::new(plain(), 3);
    pool.serve(1);
    pool.check(2, Err(Failure::ConnectRefused));
    let served = pool.serve(300);
    assert_eq!(counts(&served), [150, 0, 150]);
    assert_eq!(served[..4], [3, 1, 3, 1]);
    pool.check(2, Ok(()));
    assert_eq!(pool.serve(6), [2, 3, 1, 2, 3, 1]);
}

#[test]
fn a_dead_backend_that_is_not_found_out_leaves_the_others_an_even_share() {
    let never = Ejection { consecutive_failures: None, failure_rate: None, ..Ejection::default() };
    let mut pool = Pool::new(Settings { ejection: never, ..plain() }, 3);
    let mut served = Vec::new();
    for _ in 0..300 {
        let first = pool.pick();
        let BackendId(id) = first.id;
        if id == 2 {
            pool.finish(first, Outcome::Failure(Failure::ConnectRefused));
            let second = pool.retry(&[2]);
            served.push(second.id.0);
            pool.finish(second, success());
        } else {
            served.push(id);
            pool.finish(first, success());
        }
    }
    assert_eq!(
        counts(&served),
        [150, 0, 150],
        "retries go round by themselves, and first attempts as if there were none"
    );
}

#[test]
fn weights_are_kept_exactly_and_spread_out() {
    let mut pool = Pool::weighted(plain(), &[5, 1, 1]);
    assert_eq!(pool.serve(7), [1, 1, 2, 1, 3, 1, 1]);
    pool.check(2, Err(Failure::Timeout));
    assert_eq!(counts(&pool.serve(600)), [500, 0, 100]);
}

#[test]
fn requests_in_flight_decide_under_least_connections() {
    let mut pool = Pool::new(Settings { policy: Policy::LeastConnections, ..plain() }, 3);
    let (first, second, third) = (pool.pick(), pool.pick(), pool.pick());
    assert_eq!([first.id, second.id, third.id], [b(1), b(2), b(3)]);
    pool.finish(second, success());
    let again = pool.pick();
    assert_eq!(again.id, b(2), "the only one with nothing to do");
    for pick in [first, third, again] {
        pool.finish(pick, Outcome::Cancelled);
    }
}

#[test]
fn the_slow_one_gets_little_under_peak_ewma_and_failing_fast_does_not_help() {
    for bad in [Outcome::Success { latency: ms(400) }, Outcome::Failure(Failure::Status(500))] {
        let never = Ejection { consecutive_failures: None, failure_rate: None, ..Ejection::default() };
        let mut pool = Pool::new(Settings { policy: Policy::PeakEwma, ejection: never, ..plain() }, 3);
        let mut served = Vec::new();
        for _ in 0..300 {
            served.extend(pool.serve_with(1, |id| if id == 2 { bad } else { success() }));
            pool.pass(10);
        }
        let [first, second, third] = counts(&served);
        assert!(second < 10 && first > 80 && third > 80, "{first}, {second} and {third} with {bad:?}");
    }
}
