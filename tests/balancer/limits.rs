//! Connections and requests, at the most that there may be; and `curl`, which knows nothing of any of this.

use std::io::{BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Fault};
use crate::{Balancer, read_answer};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn one_connection_too_many_is_told_so() {
    let backend = Backend::start(Fault::None);
    let balancer = Balancer::start(&[backend.url()], "limits = { connections_max = 2 }");
    let mut kept: Vec<_> = (0..2).map(|_| balancer.connect()).collect();
    for stream in &mut kept {
        stream.write_all(ASK).unwrap();
        assert_eq!(read_answer(&mut BufReader::new(stream)).status, 200);
    }
    let answers = balancer.ask_to_the_end(ASK);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].status, 503);
    assert_eq!(answers[0].body, "the balancer has as many connections as it may.\n");
    drop(kept.pop());
    let closed = Instant::now();
    while balancer.get("/").status != 200 {
        assert!(closed.elapsed() < Duration::from_secs(3), "there is room again");
        sleep(Duration::from_millis(20));
    }
    kept[0].write_all(ASK).unwrap();
    assert_eq!(read_answer(&mut BufReader::new(&mut kept[0])).status, 200, "who was there first stays");
}

#[test]
fn one_request_too_many_is_told_so() {
    let backend = Backend::start(Fault::Hangs);
    let settings = "limits = { in_flight_max = 1 }\ntimeouts = { answer = '700ms' }";
    let balancer = Balancer::start(&[backend.url()], settings);
    let mut first = balancer.connect();
    first.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").unwrap();
    while !balancer.page("/metrics").contains("balancer_requests_in_flight 1\n") {
        sleep(Duration::from_millis(10));
    }
    let answer = balancer.get("/");
    assert_eq!(answer.status, 503);
    assert!(answer.head.to_ascii_lowercase().contains("\r\nretry-after: 1\r\n"), "{}", answer.head);
    assert!(answer.body.contains("as many requests in flight as it may"), "{}", answer.body);
    assert_eq!(read_answer(&mut BufReader::new(first)).status, 504);
}

#[test]
fn without_a_backend_the_balancer_is_of_no_use_and_says_so() {
    let gone = Backend::start(Fault::None).stop();
    let balancer = Balancer::start(&[format!("http://{gone}")], "checks.interval = '50ms'");
    let began = Instant::now();
    loop {
        let answer = balancer.page_answer("/healthz");
        // In panic even those are asked that are not well.
        if (answer.status, answer.body.as_str()) == (503, "0 of 1 backends are available, all are used\n") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{answer:?}");
        sleep(Duration::from_millis(20));
    }
    assert!(balancer.page("/metrics").contains(&format!("balancer_backend_up{{backend=\"http://{gone}\"}} 0\n")));
    assert_eq!(balancer.get("/").status, 503);
    assert_eq!(balancer.page_answer("/nothing").status, 404);
}

/// What `curl` prints; `None`, with a printed reason, where it is not installed.
fn curl(arguments: &[&str], stdin: &[u8]) -> Option<String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]).args(arguments);
    let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        println!("skipped: curl is not installed");
        return None;
    };
    child.stdin.take().expect("it is piped").write_all(stdin).expect("curl reads it");
    let (mut out, mut errors) = (String::new(), String::new());
    child.stdout.take().expect("it is piped").read_to_string(&mut out).expect("text");
    child.stderr.take().expect("it is piped").read_to_string(&mut errors).expect("text");
    assert!(child.wait().expect("it ends").success(), "{arguments:?}: {errors}");
    Some(out)
}

#[test]
fn curl_is_served() {
    let backend = Backend::start(Fault::None);
    let balancer = Balancer::start(&[backend.url()], "");
    let url = format!("http://{}/a%20b?c", balancer.addr);
    let Some(got) = curl(&[&url, &url], b"") else { return };
    assert_eq!(got.matches("GET /a%20b?c HTTP/1.1\r\n").count(), 2, "{got}");
    assert_eq!(backend.take_executed(), ["GET /a%20b?c", "GET /a%20b?c"]);
    let status = ["--output", "/dev/null", "--write-out", "%{http_code} %{num_connects}"];
    for (arguments, stdin, executed) in [
        (&["--data", "x=1"][..], "", "POST /a%20b?c x=1"),
        (&["--upload-file", "-"], "in chunks", "PUT /a%20b?c in chunks"),
        (&["--data-binary", "@-", "--header", "Expect: 100-continue"], "hello", "POST /a%20b?c hello"),
        (&["--head"], "", "HEAD /a%20b?c"),
        (&["--request", "DELETE"], "", "DELETE /a%20b?c"),
        (&["--http1.0"], "", "GET /a%20b?c"),
    ] {
        let got = curl(&[&status, arguments, &[&url]].concat(), stdin.as_bytes());
        assert_eq!(got.as_deref(), Some("200 1"), "{arguments:?}");
        assert_eq!(backend.take_executed(), [executed], "{arguments:?}");
    }
    let refused = ["--header", "Content-Length: 3", "--header", "Transfer-Encoding: chunked", "--data", "abc"];
    assert!(curl(&[&status[..], &refused, &[&url]].concat(), b"").is_some_and(|got| got.starts_with("400")));
    assert_eq!(backend.take_executed(), [""; 0]);
}
