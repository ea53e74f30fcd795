//! What becomes of headers, paths and bodies on their way through.

use std::io::{BufRead, BufReader, Read, Write};

use crate::backend::{Backend, Fault, head, scripted};
use crate::{Answer, Balancer, read_answer};

fn one(settings: &str) -> (Backend, Balancer) {
    let backend = Backend::start(Fault::None);
    let balancer = Balancer::start(&[backend.url()], settings);
    (backend, balancer)
}

/// Over a backend that sends these bytes for whatever it is asked, and closes.
fn over(answer: &'static [u8]) -> Balancer {
    let url = scripted(move |reader, out| {
        head(reader);
        out.write_all(answer).unwrap();
    });
    Balancer::start(&[url], "checks.enabled = false")
}

fn says(answer: &Answer, header: &str) -> bool {
    answer.head.to_ascii_lowercase().contains(&format!("\r\n{}\r\n", header.to_ascii_lowercase()))
}

#[test]
fn headers_are_those_of_a_proxy() {
    let (_backend, balancer) = one("");
    let answer = balancer.ask(
        "GET /a%2Fb//c?x=%7e HTTP/1.1\r\nHost: a.example\r\nConnection: close, x-mine, host\r\n\
         X-Mine: 1\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Host: evil\r\nKeep-Alive: 5\r\nTE: gzip\r\n\
         Proxy-Authorization: x\r\n\r\n",
    );
    let seen = answer.body.to_ascii_lowercase();
    assert!(seen.starts_with("get /a%2fb//c?x=%7e http/1.1\r\n"), "{seen}");
    for header in [
        "host: a.example",
        "x-forwarded-for: 10.0.0.9, 127.0.0.1",
        "x-forwarded-host: a.example",
        "x-forwarded-proto: http",
    ] {
        assert!(seen.contains(&format!("{header}\r\n")), "{header} is not in\n{seen}");
    }
    for header in ["x-mine", "keep-alive", "te:", "evil", "connection:", "proxy-", "forwarded: ", "via:"] {
        assert!(!seen.contains(&format!("\r\n{header}")), "{header} is in\n{seen}");
    }
    assert!(!answer.head.contains("x-own"), "what the backend's Connection names is its own: {}", answer.head);
}

#[test]
fn what_a_client_names_in_connection_goes_even_where_it_came_from() {
    let (_backend, balancer) = one("");
    let seen = balancer.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Forwarded-For, Forwarded\r\nX-Forwarded-For: 10.0.0.9\r\n\
         Forwarded: for=10.0.0.9\r\n\r\n",
    );
    assert!(seen.body.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{}", seen.body);
    assert!(!seen.body.contains("10.0.0.9"), "{}", seen.body);
}

#[test]
fn what_a_trusted_proxy_says_stays() {
    let asks = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: https\r\n\r\n";
    for (trusted, proto) in [("127.0.0.0/8", "https"), ("10.0.0.0/8", "http")] {
        let (_backend, balancer) = one(&format!("forwarding = {{ trusted = ['{trusted}', 'fd00::/8'] }}"));
        let seen = balancer.ask(asks).body;
        assert!(seen.contains("\r\nx-forwarded-for: 10.0.0.9, 127.0.0.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("\r\nx-forwarded-proto: {proto}\r\n")), "{seen}");
    }
}

#[test]
fn via_and_forwarded_are_there_for_who_asks() {
    let (_backend, balancer) = one("forwarding = { forwarded = true, via = true }");
    let raw = "GET / HTTP/1.1\r\nHost: a.example:81\r\nVia: 1.0 fred\r\nForwarded: for=10.0.0.9\r\n\r\n";
    let answer = balancer.ask(raw);
    for header in
        ["via: 1.0 fred, 1.1 stormglass", "forwarded: for=10.0.0.9, for=127.0.0.1;host=\"a.example:81\";proto=http"]
    {
        assert!(answer.body.contains(&format!("{header}\r\n")), "{header} is not in\n{}", answer.body);
    }
    assert!(says(&answer, "via: 1.1 stormglass"), "{}", answer.head);
}

#[test]
fn who_takes_trailers_may_say_so() {
    let (_backend, balancer) = one("");
    let answer = balancer.ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate;q=0.5\r\nConnection: TE\r\n\r\n");
    let seen = answer.body.to_ascii_lowercase();
    assert!(seen.contains("te: trailers\r\n") && seen.contains("connection: te\r\n"), "{seen}");
}

#[test]
fn paths_go_as_they_came_below_the_base_path() {
    let backend = Backend::start(Fault::None);
    for (base, asked, expected) in [
        ("", "/a%2Fb//c?x=%7e", "/a%2Fb//c?x=%7e"),
        ("", "/%zz/%", "/%zz/%"),
        ("", "/?", "/?"),
        ("/base", "/a/../b", "/base/a/../b"),
        ("/base/", "/a", "/base/a"),
        ("/base/", "//a", "/base//a"),
        ("/base", "/", "/base/"),
        ("/base", "/%zz?q=%", "/base/%zz?q=%"),
        ("/base", "http://other.example/a", "/base/a"),
        ("/base", "http://other.example?q", "/base/?q"),
    ] {
        let balancer = Balancer::start(&[format!("{}{base}", backend.url())], "checks.enabled = false");
        let answer = balancer.get(asked);
        assert_eq!(answer.body.split(' ').nth(1), Some(expected), "{base} and {asked}: {}", answer.body);
    }
}

#[test]
fn the_authority_of_the_target_wins_over_host() {
    let (_backend, balancer) = one("");
    let answer = balancer.ask("GET http://right.example:81/a HTTP/1.1\r\nHost: wrong.example\r\n\r\n");
    let seen = answer.body.to_ascii_lowercase();
    assert!(seen.starts_with("get /a http/1.1\r\n"), "{seen}");
    assert!(seen.contains("\r\nhost: right.example:81\r\n"), "{seen}");
    assert!(seen.contains("\r\nx-forwarded-host: right.example:81\r\n") && !seen.contains("wrong"), "{seen}");
}

#[test]
fn options_of_the_server_are_asked_for_as_such() {
    let (_backend, balancer) = one("");
    let answer = balancer.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.body.starts_with("OPTIONS * HTTP/1.1\r\n"), "{}", answer.body);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_backend, balancer) = one("");
    let stream = balancer.connect();
    let requests: Vec<_> = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    (&stream).write_all(requests.concat().as_bytes()).unwrap();
    let mut reader = BufReader::new(&stream);
    for n in 0..20 {
        let answer = read_answer(&mut reader);
        assert!(answer.body.starts_with(&format!("GET /{n} HTTP/1.1\r\n")), "{}", answer.body);
    }
}

#[test]
fn a_body_goes_through_whole() {
    let (backend, balancer) = one("");
    let chunked = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    assert_eq!(balancer.post("/l", "hello").status, 200);
    assert_eq!(balancer.ask(format!("{chunked}2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n")).status, 200);
    assert_eq!(backend.take_executed(), ["POST /l hello", "POST /c hello"]);
}

/// The next answer follows on the same connection, so that a body that there is not is not waited for.
#[test]
fn answers_without_a_body_are_as_the_backend_gave_them() {
    for (request, answer, length) in [
        ("HEAD /", "200 OK\r\nContent-Length: 1234\r\nETag: \"1\"", Some("content-length: 1234")),
        ("HEAD /", "200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"1\"", None),
        ("GET /", "204 No Content\r\nETag: \"1\"", None),
        // hyper leaves the length of a 304 out, as it may be (RFC 9110, 15.4.5).
        ("GET /", "304 Not Modified\r\nContent-Length: 1234\r\nETag: \"1\"", None),
        ("GET /", "304 Not Modified\r\nETag: \"1\"", None),
    ] {
        let url = scripted(move |reader, out| {
            head(reader);
            write!(out, "HTTP/1.1 {answer}\r\n\r\n").unwrap();
            head(reader);
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext").unwrap();
        });
        let balancer = Balancer::start(&[url], "checks.enabled = false");
        let mut client = balancer.connect();
        write!(client, "{request} HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut reader = BufReader::new(client);
        let got = Answer { head: head(&mut reader), status: 0, body: String::new(), is_whole: true };
        assert!(got.head.starts_with(&format!("HTTP/1.1 {}\r\n", answer.split("\r\n").next().unwrap())), "{got:?}");
        assert!(says(&got, "etag: \"1\""), "{got:?}");
        assert_eq!(got.head.to_ascii_lowercase().contains("content-length"), length.is_some(), "{got:?}");
        assert!(length.is_none_or(|length| says(&got, length)), "{got:?}");
        assert_eq!(read_answer(&mut reader).body, "next", "{request}, {answer}");
    }
}

#[test]
fn http_10_is_spoken_to_who_speaks_it() {
    let (backend, balancer) = one("");
    let answers = balancer.ask_to_the_end("GET /old HTTP/1.0\r\n\r\nGET /next HTTP/1.0\r\n\r\n");
    assert_eq!(answers.len(), 1, "the connection ends with the answer: {answers:?}");
    assert_eq!((answers[0].status, answers[0].is_whole), (200, true));
    assert!(answers[0].body.starts_with("GET /old HTTP/1.1\r\n"), "{}", answers[0].body);
    assert_eq!(backend.take_executed(), ["GET /old"]);
    // Chunks are nothing to it, and the end of the connection is the end of the body.
    let balancer = over(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let mut client = balancer.connect();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("\r\n\r\nok") && !all.to_ascii_lowercase().contains("transfer-encoding"), "{all}");
}

/// Whatever it asks for: an end that is not told would be waited for.
#[test]
fn http_10_with_keep_alive_is_told_where_the_close_is_the_end() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
    for (answer, says) in [
        (&chunked[..], "close"),
        (b"HTTP/1.1 200 OK\r\n\r\nok", "close"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "keep-alive"),
    ] {
        let balancer = over(answer);
        let mut client = balancer.connect();
        client.write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).unwrap();
        let head = all.to_ascii_lowercase();
        assert!(head.contains(&format!("\r\nconnection: {says}\r\n")), "{all}");
        assert!(all.ends_with("\r\n\r\nok") && !head.contains("trailer"), "{all}");
    }
    // What is wrong with its body is the last thing it hears.
    let (_backend, balancer) = one("timeouts = { idle = '200ms' }");
    let answer = balancer.ask("POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\nhalf");
    assert!(answer.status == 408 && says(&answer, "connection: close"), "{answer:?}");
}

#[test]
fn a_backend_may_speak_http_10() {
    let balancer = over(b"HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nto the end");
    let mut client = balancer.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    assert!(all.ends_with("A\r\nto the end\r\n0\r\n\r\n"), "it is chunked, as its length is not known: {all}");
}

#[test]
fn what_comes_before_the_answer_is_not_taken_for_it() {
    for before in ["100 Continue\r\n", "103 Early Hints\r\nLink: </a>\r\n", "102 Processing\r\n"] {
        let url = scripted(move |reader, out| {
            head(reader);
            write!(out, "HTTP/1.1 {before}\r\n").unwrap();
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        });
        let balancer = Balancer::start(&[url], "checks.enabled = false");
        let answers = balancer.ask_to_the_end("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(answers.len(), 1, "{before}: {answers:?}");
        assert_eq!((answers[0].status, answers[0].body.as_str()), (200, "ok"), "{before}");
    }
}

#[test]
fn an_answer_that_can_be_read_in_two_ways_is_502() {
    let wrong: [&'static [u8]; 11] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"what?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName : value\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName: value\r\n folded\r\nContent-Length: 0\r\n\r\n",
    ];
    for answer in wrong {
        let balancer = over(answer);
        let got = balancer.post("/", "x");
        assert_eq!(got.status, 502, "{}: {got:?}", String::from_utf8_lossy(answer));
        let balancer = over(answer);
        let got = balancer.get("/");
        assert_eq!(
            got.status,
            502,
            "a GET is tried again, and in the end: {}: {got:?}",
            String::from_utf8_lossy(answer)
        );
    }
}

#[test]
fn trailers_pass() {
    let url = scripted(|reader, out| {
        assert!(head(reader).to_ascii_lowercase().contains("te: trailers"));
        out.write_all(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
        )
        .unwrap();
    });
    let balancer = Balancer::start(&[url], "checks.enabled = false");
    let mut client = balancer.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n").unwrap();
    let mut all = String::new();
    BufReader::new(client).read_to_string(&mut all).unwrap();
    assert!(all.contains("\r\n2\r\nok\r\n0\r\n") && all.to_ascii_lowercase().ends_with("x-sum: 7\r\n\r\n"), "{all}");
}

#[test]
fn trailers_that_cannot_pass_are_not_announced() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
    let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: X-Sum\r\n\r\nok";
    for (answer, te) in [(&chunked[..], ""), (sized, "TE: trailers\r\n")] {
        let balancer = over(answer);
        let mut client = balancer.connect();
        write!(client, "GET / HTTP/1.1\r\nHost: a\r\n{te}Connection: TE, close\r\n\r\n").unwrap();
        let mut all = String::new();
        BufReader::new(client).read_to_string(&mut all).unwrap();
        let all = all.to_ascii_lowercase();
        assert!(all.contains("ok") && !all.contains("trailer") && !all.contains("x-sum"), "{all}");
    }
}

#[test]
fn trailers_of_a_request_pass() {
    let url = scripted(|reader, out| {
        let asked = head(reader).to_ascii_lowercase();
        assert!(asked.contains("transfer-encoding: chunked") && asked.contains("trailer: x-sum"), "{asked}");
        let mut body = String::new();
        while !body.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut body).unwrap() > 0, "{body}");
        }
        assert_eq!(body.to_ascii_lowercase(), "2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n");
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let balancer = Balancer::start(&[url], "checks.enabled = false");
    let answer = balancer.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
}
