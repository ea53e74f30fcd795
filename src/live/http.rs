//! Just enough HTTP to ask a service how it is: one GET, by HTTP/1.0, whose answer ends with its connection.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What is asked for, and where: `http://server:8080/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Url {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

impl Url {
    /// What is expected of a text that is none.
    pub(super) const EXPECTED: &str = "a URL such as \"http://server:8080/health\"";

    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, 80),
        };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_url = !host.is_empty() && is_plain(host) && is_plain(path);
        is_url.then(|| Self { host: host.to_owned(), port, path: path.to_owned() })
    }

    /// Asks for it at an address.
    pub(super) fn get(&self, address: IpAddr, patience: Duration) -> io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, self.port), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        write!(stream, "GET {} HTTP/1.0\r\nHost: {}:{}\r\nConnection: close\r\n\r\n", self.path, self.host, self.port)?;
        let mut bytes = Vec::new();
        let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        match (Answer::read(&bytes), read) {
            (Some(answer), _) => Ok(answer),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(io::Error::other("what came back is no answer of HTTP")),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = str::from_utf8(&bytes[..end]).ok()?;
        let status = head.strip_prefix("HTTP/")?.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self { status, body: String::from_utf8_lossy(&bytes[end + 4..]).into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = |host: &str, port, path: &str| Some(Url { host: host.to_owned(), port, path: path.to_owned() });
        assert_eq!(Url::parse("http://server:8080/a?b=c"), url("server", 8080, "/a?b=c"));
        assert_eq!(Url::parse("http://server"), url("server", 80, "/"));
        for wrong in ["server:80/", "https://server/", "http:///x", "http://a:b/", "http://a b/"] {
            assert_eq!(Url::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = Answer::read(b"HTTP/1.1 503 Busy\r\nA: b\r\n\r\nwait").expect("an answer");
        assert_eq!(answer, Answer { status: 503, body: "wait".to_owned() });
        assert_eq!(Answer::read(b"SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(Answer::read(b"HTTP/1.1 200"), None);
    }
}
