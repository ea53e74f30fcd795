//! Settings that change while requests come, and the end.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

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
