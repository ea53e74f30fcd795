//! Settings that change while requests come, and the end.

use std::io::{BufReader, Read, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Balancer;
use crate::backend::{Backend, Fault};

#[test]
fn other_settings_are_taken_and_wrong_ones_are_not() {
    let backends = [Backend::start(Fault::None), Backend::start(Fault::None)];
    let mut balancer = Balancer::start(&[backends[0].url()], "");
    assert_eq!(balancer.get("/").status, 200);
    balancer.reload("polcy = 'x'");
    assert_eq!(balancer.get("/").status, 200);
    assert_eq!(backends[0].take_executed().len(), 2);
    balancer.reload(&Balancer::settings(&[backends[1].url()], ""));
    for _ in 0..10 {
        assert_eq!(balancer.get("/").status, 200);
    }
    assert_eq!((backends[0].take_executed().len(), backends[1].take_executed().len()), (0, 10));
}

#[test]
fn a_reload_under_load_loses_nothing() {
    reload_under_load("1");
}

#[test]
fn a_reload_of_two_threads_loses_nothing() {
    reload_under_load("2");
}

/// Requests on connections that are kept and on new ones, while the backends are others each time.
fn reload_under_load(threads: &str) {
    let backends: [Backend; 4] = std::array::from_fn(|_| Backend::start(Fault::None));
    let urls = backends.each_ref().map(Backend::url);
    let mut balancer = Balancer::start_with(&urls[..2], "", &["--threads", threads]);
    let (addr, is_over) = (balancer.addr, &AtomicBool::new(false));
    let asked = thread::scope(|scope| {
        let askers: Vec<_> = (0..4).map(|who| scope.spawn(move || ask_until(is_over, addr, who))).collect();
        for round in 0..12 {
            thread::sleep(Duration::from_millis(50));
            let now = if round % 2 == 0 { &urls[2..] } else { &urls[..2] };
            balancer.reload(&Balancer::settings(now, &format!("limits.pool_max = {}", round % 3)));
        }
        is_over.store(true, Ordering::Relaxed);
        askers.into_iter().map(|asker| asker.join().expect("all are answered")).sum::<usize>()
    });
    let executed = backends.map(|backend| backend.take_executed().len());
    assert_eq!(executed.iter().sum::<usize>(), asked, "each was executed once");
    assert!(executed.iter().all(|count| *count > 0), "{executed:?}");
    // What other threads have done is shown a moment later.
    thread::sleep(Duration::from_millis(300));
    let shown = balancer.page("/metrics");
    assert!(shown.contains("balancer_reloads_total 12\n"), "{shown}");
    assert!(shown.contains(&format!("balancer_answers_total{{status=\"200\"}} {asked}\n")), "{asked}: {shown}");
    balancer.signal("TERM");
    assert_eq!(balancer.wait(), Some(0));
}

/// GETs and POSTs by turns until it is over, a new connection each tenth time; how many. All have to be answered with 200.
fn ask_until(is_over: &AtomicBool, addr: std::net::SocketAddr, who: u32) -> usize {
    let mut asked = 0;
    let mut reader = BufReader::new(crate::connect(addr));
    while !is_over.load(Ordering::Relaxed) {
        if asked % 10 == 9 {
            reader = BufReader::new(crate::connect(addr));
        }
        let method = if asked % 2 == 0 { "GET" } else { "POST" };
        let request = format!("{method} /{who}/{asked} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        reader.get_ref().write_all(request.as_bytes()).expect("it takes what is sent");
        let answer = crate::read_answer(&mut reader);
        assert_eq!(answer.status, 200, "{request}{}", answer.body);
        asked += 1;
    }
    asked
}

#[test]
fn a_drain_has_a_limit() {
    let backend = Backend::start(Fault::Hangs);
    let mut balancer = Balancer::start(&[backend.url()], "timeouts = { drain = '400ms' }");
    let (mut waiting, mut idle) = (balancer.connect(), balancer.connect());
    waiting.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    while !balancer.page("/metrics").contains("balancer_requests_in_flight 1\n") {
        thread::sleep(Duration::from_millis(10));
    }
    let told = Instant::now();
    balancer.signal("TERM");
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "who asks for nothing is let go at once");
    assert!(told.elapsed() < Duration::from_millis(300), "{:?}", told.elapsed());
    drop(idle);
    assert!(std::net::TcpStream::connect(balancer.addr).is_err(), "nobody is taken on");
    assert_eq!(balancer.wait(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    assert!(!matches!(waiting.read(&mut [0]), Ok(1..)), "what is cut off is no answer");
    let mut said = String::new();
    balancer.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("cuts 1 connections off"), "{said}");
}

#[test]
fn a_balancer_that_is_told_to_end_finishes_what_it_has() {
    let backend = Backend::start(Fault::Hangs);
    let mut balancer = Balancer::start(&[backend.url()], "timeouts = { answer = '500ms' }");
    let mut stream = balancer.connect();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    balancer.signal("TERM");
    let answer = crate::read_answer(&mut std::io::BufReader::new(stream));
    assert_eq!(answer.status, 504);
    assert_eq!(balancer.wait(), Some(0));
}

#[test]
fn the_pages_tell_of_backends() {
    let backend = Backend::start(Fault::None);
    let balancer = Balancer::start(&[backend.url()], "");
    assert_eq!(balancer.get("/").status, 200);
    assert_eq!(balancer.page("/healthz"), "1 of 1 backends are available\n");
    let rows: serde_json::Value = serde_json::from_str(&balancer.page("/backends")).expect("it is JSON");
    assert_eq!((rows[0]["url"].as_str(), rows[0]["state"].as_str()), (Some(backend.url().as_str()), Some("healthy")));
    assert_eq!(rows[0]["requests"], 1);
    assert!(balancer.page("/metrics").contains("balancer_answers_total{status=\"200\"} 1\n"));
}

#[test]
fn a_call_that_makes_no_sense_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lb.toml");
    std::fs::write(&path, "policy = 'round-robin'\n[[backend]]\nurl = 'localhost:80'\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_load-balancer")).arg("--config").arg(&path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("lb.toml:3:7: `localhost:80` does not begin with http://"), "{told}");
}
