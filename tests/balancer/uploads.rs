//! Bodies of requests: that wait to be asked for, that nobody wants, that come slowly.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Fault, head, scripted};
use crate::{Balancer, read_answer};

const EXPECTS: &[u8] =
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";

fn over(url: String, settings: &str) -> Balancer {
    Balancer::start(&[url], &format!("checks.enabled = false\n{settings}"))
}

/// Nothing comes on this connection for a while.
fn is_silent(client: &mut TcpStream) -> bool {
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let read = client.read(&mut [0]);
    client.set_read_timeout(Some(crate::processes::PATIENCE)).unwrap();
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on_when_the_backend_says_so() {
    let (go_on, may_go_on) = mpsc::channel();
    let balancer = over(
        scripted(move |reader, out| {
            assert!(head(reader).to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n"));
            may_go_on.recv().unwrap();
            out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            let mut body = [0; 5];
            reader.read_exact(&mut body).unwrap();
            assert_eq!(&body, b"hello");
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }),
        "timeouts.expect = '1m'",
    );
    let mut client = balancer.connect();
    client.write_all(EXPECTS).unwrap();
    assert!(is_silent(&mut client), "the backend has said nothing yet");
    go_on.send(()).unwrap();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let told = head(&mut reader);
    assert!(told.starts_with("HTTP/1.1 100 "), "{told}");
    client.write_all(b"hello").unwrap();
    assert_eq!(read_answer(&mut reader).body, "ok");
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on_after_a_while() {
    let balancer = over(
        scripted(|reader, out| {
            head(reader);
            let mut body = [0; 5];
            reader.read_exact(&mut body).unwrap();
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }),
        "timeouts.expect = '400ms'",
    );
    let mut client = balancer.connect();
    let began = Instant::now();
    client.write_all(EXPECTS).unwrap();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    assert!(head(&mut reader).starts_with("HTTP/1.1 100 "));
    assert!(began.elapsed() >= Duration::from_millis(390), "{:?}", began.elapsed());
    client.write_all(b"hello").unwrap();
    assert_eq!(read_answer(&mut reader).body, "ok");
}

/// The client has sent nothing of its body, and the backend has got nothing.
#[test]
fn a_backend_that_refuses_a_body_unseen_gets_none() {
    for (status, line) in [(413, "413 Content Too Large"), (417, "417 Expectation Failed"), (401, "401 Unauthorized")] {
        let (tell, told) = mpsc::channel();
        let url = scripted(move |reader, out| {
            head(reader);
            write!(out, "HTTP/1.1 {line}\r\nContent-Length: 3\r\n\r\nno\n").unwrap();
            let mut rest = Vec::new();
            // It is closed or reset, as nothing is kept of it.
            _ = reader.read_to_end(&mut rest);
            tell.send(rest).unwrap();
        });
        let balancer = over(url, "");
        let mut client = balancer.connect();
        // `Connection: close` is for the balancer to say.
        let expects = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(expects).unwrap();
        let answer = read_answer(&mut BufReader::new(client.try_clone().unwrap()));
        assert_eq!((answer.status, answer.body.as_str()), (status, "no\n"), "{answer:?}");
        assert!(answer.head.to_ascii_lowercase().contains("connection: close"), "{}", answer.head);
        assert_eq!(told.recv_timeout(crate::processes::PATIENCE).unwrap(), b"", "{line}");
    }
    let gone = Backend::start(Fault::None).stop();
    let answer = over(format!("http://{gone}"), "").ask(EXPECTS);
    assert_eq!(answer.status, 503, "nobody is there, and the body is not asked for: {}", answer.head);
}

/// Clients that write all before they read: the answer is there, however the backend has closed.
#[test]
fn what_a_backend_answers_early_reaches_the_client() {
    let backends = [(); 3].map(|()| Backend::start(Fault::RefusesBodies));
    let balancer = Balancer::start(&backends.each_ref().map(Backend::url), "");
    let body = vec![b'a'; 4 << 20];
    let ask = |_: usize| -> Vec<u16> {
        let ask = |_| {
            let mut client = balancer.connect();
            write!(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
            for piece in body.chunks(16 << 10) {
                // It may say that it takes no more.
                if client.write_all(piece).is_err() {
                    break;
                }
            }
            read_answer(&mut BufReader::new(client)).status
        };
        (0..30).map(ask).collect()
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = &ask;
        let askers = [0, 1, 2, 3].map(|who| scope.spawn(move || ask(who)));
        askers.into_iter().flat_map(|asker| asker.join().expect("all are answered")).collect()
    });
    assert!(statuses.iter().all(|status| *status == 413), "{statuses:?}");
    assert_eq!(balancer.get("/").status, 200);
}

/// Sends a byte at a time until there is an answer.
fn trickle(balancer: &Balancer, pause: Duration) -> (u16, Duration) {
    let mut client = balancer.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").unwrap();
    let began = Instant::now();
    client.set_read_timeout(Some(pause)).unwrap();
    let mut peeked = [0];
    while client.peek(&mut peeked).is_err() {
        // It may be told while it writes.
        _ = client.write_all(b"x");
        assert!(began.elapsed() < crate::processes::PATIENCE, "there is no answer");
    }
    client.set_read_timeout(Some(crate::processes::PATIENCE)).unwrap();
    (read_answer(&mut BufReader::new(client)).status, began.elapsed())
}

#[test]
fn a_slow_upload_is_the_clients_and_blames_no_backend() {
    let backend = Backend::start(Fault::None);
    let balancer =
        Balancer::start(&[backend.url()], "timeouts = { upload = '1s', answer = '200ms', request = '400ms' }");
    for _ in 0..2 {
        let (status, after) = trickle(&balancer, Duration::from_millis(50));
        assert_eq!(status, 408);
        assert!((Duration::from_millis(950)..Duration::from_secs(4)).contains(&after), "{after:?}");
    }
    assert_eq!(backend.take_executed(), [""; 0]);
    assert_eq!(balancer.get("/").status, 200);
    let shown = balancer.page("/metrics");
    assert!(
        shown.contains(&format!("balancer_backend_failures_total{{backend=\"{}\"}} 0\n", backend.url())),
        "{shown}"
    );
}

/// What the upload has taken is not taken from the backend's time.
#[test]
fn an_upload_and_its_answer_have_limits_of_their_own() {
    let slow = || {
        scripted(|reader, out| {
            head(reader);
            let mut body = [0; 4];
            reader.read_exact(&mut body).unwrap();
            sleep(Duration::from_millis(500));
            // Whoever waited no longer has closed.
            _ = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        })
    };
    for (answer, status) in [("1s", 200), ("250ms", 504)] {
        let balancer = over(slow(), &format!("timeouts = {{ answer = '{answer}', request = '1s' }}"));
        let mut client = balancer.connect();
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").unwrap();
        for byte in b"abcd" {
            sleep(Duration::from_millis(300));
            client.write_all(&[*byte]).unwrap();
        }
        assert_eq!(read_answer(&mut BufReader::new(client)).status, status, "an answer may take {answer}");
    }
}

/// A backend that takes nothing of what is there for it is not excused by the client's body.
#[test]
fn a_backend_that_takes_nothing_is_given_up() {
    let (done, is_done) = mpsc::channel::<()>();
    let url = scripted(move |reader, _| {
        head(reader);
        // The other end drops it when the test is over.
        _ = is_done.recv();
    });
    let balancer = over(url, "timeouts = { idle = '500ms' }");
    let mut client = balancer.connect();
    write!(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 64 << 20).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let chunk = vec![b'a'; 64 << 10];
    let began = Instant::now();
    let mut peeked = [0];
    client.set_nonblocking(true).unwrap();
    while client.peek(&mut peeked).is_err() {
        // As much as is taken.
        while client.write(&chunk).is_ok_and(|bytes| bytes > 0) {}
        sleep(Duration::from_millis(20));
        assert!(began.elapsed() < crate::processes::PATIENCE, "there is no answer");
    }
    client.set_nonblocking(false).unwrap();
    let answer = read_answer(&mut BufReader::new(client));
    assert_eq!(answer.status, 504, "{answer:?}");
    drop(done);
}
