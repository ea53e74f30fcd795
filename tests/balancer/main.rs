//! The load balancer as a process on real sockets, before good backends and bad ones.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "real processes and sockets, in real time")]

mod backend;
mod faults;
mod forwarding;
mod limits;
#[path = "../processes/mod.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod processes;
mod refusals;
mod settings;
mod streams;
mod upgrades;
mod uploads;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use processes::PATIENCE;

/// A balancer that does not outlive its test.
struct Balancer {
    child: Child,
    addr: SocketAddr,
    pages: SocketAddr,
    /// Its settings.
    config: tempfile::NamedTempFile,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: String,
    /// Whether the body is as long as its head says.
    is_whole: bool,
}

impl Balancer {
    /// Over these backends, with these settings on top of quick ones.
    fn start(urls: &[String], settings: &str) -> Self {
        Self::start_with(urls, settings, &[])
    }

    fn start_with(urls: &[String], settings: &str, options: &[&str]) -> Self {
        let mut config = tempfile::NamedTempFile::new().expect("a file");
        config.write_all(Self::settings(urls, settings).as_bytes()).expect("it can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_load-balancer"))
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
            .arg(config.path())
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the balancer starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("it says where it is");
        let (addr, pages) = line.trim_end().split_once(", pages on http://").expect(&line);
        let addr = addr.strip_prefix("listening on ").expect(&line).parse().expect(&line);
        Self { child, addr, pages: pages.parse().expect(&line), config }
    }

    fn settings(urls: &[String], settings: &str) -> String {
        let backends: Vec<_> = urls.iter().map(|url| format!("[[backend]]\nurl = '{url}'\n")).collect();
        format!("checks.path = '/healthz'\n{settings}\n{}", backends.concat())
    }

    /// Writes other settings into the file and has them read.
    fn reload(&mut self, text: &str) {
        std::fs::write(self.config.path(), text).expect("it can be written");
        self.signal("HUP");
        let mut line = String::new();
        let stderr = self.child.stderr.as_mut().expect("it is piped");
        let mut reader = BufReader::with_capacity(1, stderr);
        while !(line.contains("holds") || line.contains("stay as they were")) {
            line.clear();
            assert!(reader.read_line(&mut line).expect("it says what it has done") > 0, "it has ended");
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill starts").success());
    }

    fn wait(&mut self) -> Option<i32> {
        processes::wait(&mut self.child)
    }

    fn connect(&self) -> TcpStream {
        connect(self.addr)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"))
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n");
        self.ask(format!("{head}Connection: close\r\n\r\n{body}"))
    }

    /// Sends these bytes and reads the first answer to its end.
    fn ask(&self, raw: impl AsRef<[u8]>) -> Answer {
        ask(self.addr, raw.as_ref())
    }

    /// Sends these bytes and reads all answers, until the connection ends.
    fn ask_to_the_end(&self, raw: impl AsRef<[u8]>) -> Vec<Answer> {
        let mut stream = self.connect();
        stream.write_all(raw.as_ref()).expect("it takes what is sent");
        let mut reader = BufReader::new(stream);
        let mut answers = Vec::new();
        while !reader.fill_buf().expect("the connection ends in order").is_empty() {
            answers.push(read_answer(&mut reader));
        }
        answers
    }

    /// Resident memory in KiB.
    fn memory_kib(&self) -> u64 {
        processes::memory_kib(self.child.id())
    }

    fn page(&self, path: &str) -> String {
        self.page_answer(path).body
    }

    fn page_answer(&self, path: &str) -> Answer {
        ask(self.pages, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a stream has timeouts");
    stream
}

fn ask(addr: SocketAddr, raw: &[u8]) -> Answer {
    let mut stream = connect(addr);
    stream.write_all(raw).expect("it takes what is sent");
    read_answer(&mut BufReader::new(stream))
}

/// The next answer of a connection.
fn read_answer(reader: &mut impl BufRead) -> Answer {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("an answer comes in time") > 0, "it ends with: {head}");
    }
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect(&head);
    let field = |name: &str| {
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    let (mut body, mut is_whole) = (Vec::new(), true);
    if let Some(length) = field("content-length:").and_then(|length| length.parse::<u64>().ok()) {
        reader.take(length).read_to_end(&mut body).unwrap_or_else(|_| {
            is_whole = false;
            0
        });
        is_whole &= body.len() as u64 == length;
    }
    Answer { status, head, body: String::from_utf8_lossy(&body).into_owned(), is_whole }
}
