//! One of three backends is bad: what the client sees, and what is executed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Balancer;
use crate::backend::{Backend, Fault};

const QUICK: &str = "timeouts = { answer = '300ms', idle = '500ms', connect = '300ms' }";

/// The statuses of 30 GETs and 30 POSTs over two good backends and one with a fault, and how often the most frequent
/// request was executed.
fn served(fault: Fault) -> (Vec<u16>, Vec<u16>, usize) {
    let backends = [Backend::start(Fault::None), Backend::start(fault), Backend::start(Fault::None)];
    let balancer = Balancer::start(&backends.each_ref().map(Backend::url), QUICK);
    let gets = (0..30).map(|n| balancer.get(&format!("/get/{n}")).status).collect();
    let posts = (0..30).map(|n| balancer.post(&format!("/post/{n}"), "x").status).collect();
    let mut executed: Vec<String> = backends.iter().flat_map(Backend::take_executed).collect();
    executed.retain(|request| request.starts_with("POST"));
    executed.sort();
    let most = executed.chunk_by(|a, b| a == b).map(<[String]>::len).max().unwrap_or(0);
    (gets, posts, most)
}

fn all_200(statuses: &[u16]) -> bool {
    statuses.iter().all(|status| *status == 200)
}

#[test]
fn good_backends_share_in_turn() {
    let backends = [Backend::start(Fault::None), Backend::start(Fault::None), Backend::start(Fault::None)];
    let balancer = Balancer::start(&backends.each_ref().map(Backend::url), "");
    for n in 0..30 {
        assert_eq!(balancer.get(&format!("/{n}")).status, 200);
    }
    assert_eq!(backends.map(|backend| backend.take_executed().len()), [10, 10, 10]);
}

#[test]
fn one_that_refuses_is_gone_around() {
    let gone = Backend::start(Fault::None).stop();
    let backends = [Backend::start(Fault::None), Backend::start(Fault::None)];
    let urls = [backends[0].url(), format!("http://{gone}"), backends[1].url()];
    let balancer = Balancer::start(&urls, "checks.enabled = false");
    for n in 0..50 {
        assert_eq!(balancer.get(&format!("/get/{n}")).status, 200);
        assert_eq!(balancer.post(&format!("/post/{n}"), "x").status, 200);
    }
    let shares = backends.each_ref().map(|backend| backend.take_executed().len());
    assert_eq!(shares.iter().sum::<usize>(), 100);
    assert!(shares[0].abs_diff(shares[1]) <= 4, "the live ones share evenly: {shares:?}");
}

fn costs_no_get_and_runs_no_post_twice(fault: Fault) {
    let (gets, posts, most) = served(fault);
    assert!(all_200(&gets), "{gets:?}");
    assert!(posts.iter().all(|status| matches!(status, 200 | 502)), "{posts:?}");
    assert_eq!(most, 1);
}

#[test]
fn one_that_closes_on_accept_costs_no_get() {
    costs_no_get_and_runs_no_post_twice(Fault::ClosesOnAccept);
}

#[test]
fn one_that_closes_after_a_request_costs_no_get_and_runs_no_post_twice() {
    costs_no_get_and_runs_no_post_twice(Fault::ClosesAfterRequest);
}

#[test]
fn one_that_breaks_off_costs_no_get_and_runs_no_post_twice() {
    costs_no_get_and_runs_no_post_twice(Fault::BreaksOff);
}

#[test]
fn one_that_resets_costs_no_get_and_runs_no_post_twice() {
    costs_no_get_and_runs_no_post_twice(Fault::Resets);
}

#[test]
fn a_post_that_was_read_is_never_tried_again() {
    for fault in [Fault::ClosesAfterRequest, Fault::Resets] {
        let backends = [Backend::start(fault), Backend::start(fault)];
        let balancer = Balancer::start(&backends.each_ref().map(Backend::url), "");
        assert_eq!(balancer.post("/", "x").status, 502, "{fault:?}");
        assert_eq!(backends.iter().flat_map(Backend::take_executed).count(), 1, "{fault:?}");
        assert!(matches!(balancer.get("/").status, 502 | 503), "{fault:?}");
        assert!(backends.iter().flat_map(Backend::take_executed).count() > 1, "{fault:?}: a GET is");
    }
}

/// It is idempotent, but what has been read of its body is gone.
#[test]
fn a_put_whose_body_is_on_its_way_is_never_tried_again() {
    for fault in [Fault::ClosesAfterRequest, Fault::Hangs] {
        let backends = [Backend::start(fault), Backend::start(Fault::None)];
        let balancer = Balancer::start(&backends.each_ref().map(Backend::url), QUICK);
        let put = |path: &str| {
            let head = format!("PUT {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n");
            balancer.ask(format!("{head}Connection: close\r\n\r\nbody")).status
        };
        let lost = if fault == Fault::Hangs { 504 } else { 502 };
        assert_eq!([put("/1"), put("/2")], [lost, 200], "{fault:?}");
        assert_eq!(backends.map(|backend| backend.take_executed()), [["PUT /1 body"], ["PUT /2 body"]], "{fault:?}");
    }
}

#[test]
fn one_that_is_known_to_be_dead_leaves_the_others_even_shares() {
    let gone = Backend::start(Fault::None).stop();
    let backends = [Backend::start(Fault::None), Backend::start(Fault::None)];
    let urls = [backends[0].url(), format!("http://{gone}"), backends[1].url()];
    let balancer = Balancer::start(&urls, "checks.interval = '50ms'");
    while !balancer.page("/backends").contains("\"unhealthy\"") {
        std::thread::sleep(Duration::from_millis(20));
    }
    for n in 0..100 {
        assert_eq!(balancer.get(&format!("/get/{n}")).status, 200);
    }
    assert_eq!(backends.map(|backend| backend.take_executed().len()), [50, 50]);
}

#[test]
fn a_503_is_passed_on_and_tried_again_only_if_that_is_asked_for() {
    let backends = [Backend::start(Fault::Busy), Backend::start(Fault::None)];
    let urls = backends.each_ref().map(Backend::url);
    let never = "ejection = { consecutive_failures = 0, failure_percent = 0 }";
    let balancer = Balancer::start(&urls, never);
    let answers: Vec<_> = (0..10).map(|n| balancer.get(&format!("/{n}"))).collect();
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(busy.len(), 5, "{answers:?}");
    assert!(busy.iter().all(|answer| answer.head.to_ascii_lowercase().contains("\r\nretry-after: 7\r\n")));
    let balancer =
        Balancer::start(&urls, &format!("{never}\nretries = {{ on_503 = true, budget_floor_per_second = 100 }}"));
    let gets: Vec<_> = (0..10).map(|n| balancer.get(&format!("/{n}"))).collect();
    assert!(gets.iter().all(|answer| answer.status == 200), "{gets:?}");
    let posts: Vec<_> = (0..10).map(|n| balancer.post(&format!("/{n}"), "").status).collect();
    assert_eq!(posts.iter().filter(|status| **status == 503).count(), 5, "{posts:?}");
}

/// Backends that are processes: balancers themselves, each before a backend of its own.
#[test]
fn a_kill_of_a_backend_loses_no_get_and_runs_no_post_twice() {
    let backends: [Backend; 3] = std::array::from_fn(|_| Backend::start(Fault::None));
    let mut processes = backends.each_ref().map(|backend| Balancer::start(&[backend.url()], "")).map(Some);
    let urls = processes.each_ref().map(|process| format!("http://{}", process.as_ref().expect("it runs").addr));
    for threads in ["1", "2"] {
        let balancer = Balancer::start_with(&urls, QUICK, &["--threads", threads]);
        let killed = usize::from(threads == "2");
        let is_over = AtomicBool::new(false);
        let (gets, posts) = std::thread::scope(|scope| {
            let (balancer, is_over) = (&balancer, &is_over);
            let ask = move |who: u32| {
                let (mut gets, mut posts, mut n) = (Vec::new(), Vec::new(), 0);
                while !is_over.load(Ordering::Relaxed) {
                    gets.push(balancer.get(&format!("/get/{threads}/{who}/{n}")).status);
                    posts.push(balancer.post(&format!("/post/{threads}/{who}/{n}"), "x").status);
                    n += 1;
                }
                (gets, posts)
            };
            let askers: Vec<_> = (0..3).map(|who| scope.spawn(move || ask(who))).collect();
            std::thread::sleep(Duration::from_millis(300));
            // SIGKILL, as the kernel's killer sends it.
            processes[killed] = None;
            std::thread::sleep(Duration::from_millis(500));
            is_over.store(true, Ordering::Relaxed);
            let ends = askers.into_iter().map(|asker| asker.join().expect("all are answered"));
            ends.fold((Vec::new(), Vec::new()), |all, (gets, posts)| ([all.0, gets].concat(), [all.1, posts].concat()))
        });
        assert!(gets.len() > 30 && all_200(&gets), "{threads}: {gets:?}");
        assert!(posts.iter().all(|status| matches!(status, 200 | 502)), "{threads}: {posts:?}");
        assert!(posts.iter().filter(|status| **status == 502).count() <= 3, "{threads}: {posts:?}");
        let shown = balancer.page("/metrics");
        assert!(shown.contains("balancer_answers_total{status=\"200\"}"), "{shown}");
    }
    let mut executed: Vec<String> = backends.iter().flat_map(Backend::take_executed).collect();
    executed.retain(|request| request.starts_with("POST"));
    executed.sort();
    assert!(executed.windows(2).all(|two| two[0] != two[1]), "a POST is executed twice");
}

#[test]
fn one_that_hangs_is_given_up_in_time_and_ejected() {
    let began = Instant::now();
    let (gets, posts, most) = served(Fault::Hangs);
    assert!(gets.iter().chain(&posts).all(|status| matches!(status, 200 | 504)), "{gets:?} {posts:?}");
    let lost = gets.iter().chain(&posts).filter(|status| **status == 504).count();
    assert!(lost <= 12, "it is asked again and again: {lost} were lost");
    assert!(began.elapsed() < Duration::from_secs(15));
    assert_eq!(most, 1);
}

#[test]
fn errors_of_a_backend_are_passed_on_and_it_is_ejected() {
    let (gets, posts, _) = served(Fault::Fails);
    let failed = gets.iter().chain(&posts).filter(|status| **status == 500).count();
    assert!((1..20).contains(&failed), "{gets:?} {posts:?}");
    assert!(gets.iter().chain(&posts).all(|status| matches!(status, 200 | 500)), "{gets:?} {posts:?}");
}

#[test]
fn what_is_no_answer_is_502() {
    let backend = Backend::start(Fault::Garbles);
    let balancer = Balancer::start(&[backend.url()], "");
    assert_eq!(balancer.post("/", "x").status, 502);
}

#[test]
fn a_body_that_is_cut_is_seen_as_cut() {
    let backend = Backend::start(Fault::CutsBodies);
    let balancer = Balancer::start(&[backend.url()], "");
    let answer = balancer.get("/");
    assert_eq!((answer.status, answer.is_whole), (200, false));
    assert_eq!(answer.body, "half of it");
}

#[test]
fn connections_that_a_backend_closes_while_they_are_kept_cost_nothing() {
    let (gets, posts, most) = served(Fault::ClosesIdle);
    assert!(all_200(&gets) && all_200(&posts), "{gets:?} {posts:?}");
    assert_eq!(most, 1);
}

/// Four clients at once, over connections that are closed while they are taken up again.
#[test]
fn connections_that_all_backends_close_at_once_cost_nothing_and_blame_nobody() {
    let backends = [(); 3].map(|()| Backend::start(Fault::ClosesIdleSoon));
    let balancer = Balancer::start(&backends.each_ref().map(Backend::url), "retries.attempts_max = 0");
    let ask = |who: usize| -> Vec<u16> {
        let pause = |n: u64| std::thread::sleep(Duration::from_micros(300 * (n % 12)));
        (0..60).inspect(|n| pause(*n)).map(|n| balancer.get(&format!("/{who}/{n}")).status).collect()
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let askers = [0, 1, 2, 3].map(|who| scope.spawn(move || ask(who)));
        askers.into_iter().flat_map(|asker| asker.join().expect("all are answered")).collect()
    });
    assert!(all_200(&statuses), "{statuses:?}");
    let shown = balancer.page("/metrics");
    assert!(shown.contains("balancer_retries_total 0\n"), "{shown}");
    for backend in &backends {
        let blames_nobody = format!("balancer_backend_failures_total{{backend=\"{}\"}} 0\n", backend.url());
        assert!(shown.contains(&blames_nobody), "{shown}");
    }
}

#[test]
fn an_answer_with_too_many_headers_is_named_and_blames_nobody() {
    let backend = Backend::start(Fault::ManyHeaders);
    let balancer = Balancer::start(&[backend.url()], "");
    for n in 0..5 {
        let answer = balancer.get(&format!("/{n}"));
        assert_eq!(answer.status, 502, "{answer:?}");
        assert!(answer.body.contains("limits.answer_headers_max allows, which is 100"), "{}", answer.body);
    }
    assert_eq!(backend.take_executed().len(), 5, "the next one would say the same: none is tried again");
    let shown = balancer.page("/metrics");
    assert!(
        shown.contains(&format!("balancer_backend_failures_total{{backend=\"{}\"}} 0\n", backend.url())),
        "{shown}"
    );
    assert!(shown.contains("balancer_answers_over_limit_total 5\n"), "{shown}");
    let balancer = Balancer::start(&[backend.url()], "limits = { answer_headers_max = 160 }");
    assert_eq!(balancer.get("/").status, 200);
    let balancer =
        Balancer::start(&[backend.url()], "limits = { answer_headers_max = 160, answer_head_bytes_max = 1024 }");
    let answer = balancer.get("/");
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.body.contains("limits.answer_head_bytes_max allows, which is 1024 bytes"), "{}", answer.body);
}

#[test]
fn when_all_refuse_the_answer_says_so_and_when_one_returns_it_is_used() {
    let addr = Backend::start(Fault::None).stop();
    let balancer = Balancer::start(&[format!("http://{addr}")], "");
    let answer = balancer.get("/");
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1\r\n"), "{}", answer.head);
    assert!(answer.body.contains("connection refused"), "{}", answer.body);
    let _backend = Backend::start_at(&addr.to_string(), Fault::None);
    let returned = Instant::now();
    while balancer.get("/").status != 200 {
        // The interval of the checks is a second, and the machine may be busy.
        assert!(returned.elapsed() < Duration::from_millis(1500), "it is not used");
        std::thread::sleep(Duration::from_millis(50));
    }
}
