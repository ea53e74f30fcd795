//! Requests that nobody wrote down: inspected, and read by hyper.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::tests::{assert_hyper_agrees, chunked, get, inspect, with_fields};

/// Every byte of good requests, replaced by others: hyper never sees another number of requests than was counted.
#[test]
fn hyper_agrees_on_every_wrong_byte() {
    let good = [
        get("GET /a?b HTTP/1.1"),
        with_fields("Content-Length: 2\r\nConnection: close, a"),
        [chunked("2;a=b\r\nhe\r\n0\r\nSum: 1\r\n\r\n"), get("GET http://a:80/b HTTP/1.1")].concat(),
    ];
    for good in good {
        for at in 0..good.len() {
            for byte in *b"\0\t\n\r \"#%,0:;A`{\x7f\x80\xc3" {
                let mut stream = good.clone();
                stream[at] = byte;
                assert_hyper_agrees(&stream);
            }
        }
    }
}

/// Streams of whole requests, parts of requests, and other bytes, mixed.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        20 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSum: 1\r\n\r\n",
            "GET /3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: [::1]:1\r\nA: b\r\n\r\n",
            "GET http://a/4?b HTTP/1.1\r\nHost: c\r\n\r\n",
        ]).prop_map(|part| part.as_bytes().to_vec()),
        6 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "hello",
            "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n", "0\r\n\r\n", "0\r\n",
            "3;x=y\r\nabc\r\n", "Sum: 1\r\n", "\r\n", "Connection: close\r\n", "Host: a\r\n", "GET /d HTTP/1.1\r\n",
            "GET /e HTTP/1.0\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Connection: upgrade\r\n",
            "Upgrade: a\r\n", "Connection: keep-alive\r\n", "Expect: 100-continue\r\n",
        ]).prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => prop::sample::select(b"\0\t\n\r #*,/05:;Aaz".to_vec()).prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("seeds/proptest/balancer-framing.txt"))),
        cases: 512,
        ..ProptestConfig::default()
    })]

    /// Neither what passes nor the verdict depends on the pieces that the bytes come in.
    #[test]
    fn pieces_do_not_matter(stream in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        prop_assert_eq!(inspect(pieces), inspect([&stream[..]]));
    }

    /// What passes is the stream's beginning, and hyper reads exactly the counted requests from it.
    #[test]
    fn hyper_sees_what_was_counted(stream in stream()) {
        prop_assert!(stream.starts_with(&inspect([&stream[..]]).out));
        assert_hyper_agrees(&stream);
    }

    /// Bytes at random are refused or awaited, and never anybody's panic.
    #[test]
    fn noise_is_no_request(stream in prop::collection::vec(any::<u8>(), 0..2000)) {
        let outcome = inspect([&stream[..]]);
        prop_assert!(outcome.out.is_empty());
        prop_assert!(stream.len() < 700 || outcome.rejection.is_some());
    }
}
