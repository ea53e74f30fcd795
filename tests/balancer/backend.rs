//! Backends, good and bad, on real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is wrong with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It closes each connection before it has read anything.
    ClosesOnAccept,
    /// It reads a request, acts on it, and closes.
    ClosesAfterRequest,
    /// It reads a request and never answers.
    Hangs,
    /// It answers with 500.
    Fails,
    /// It ends its answers in the middle.
    CutsBodies,
    /// It says nothing more in the middle of its answers.
    StallsBodies,
    /// It acts on a request of which it has read the first line, and resets the connection.
    Resets,
    /// It answers with 503 and says when to come again.
    Busy,
    /// It closes a connection on which it has answered once, without having said so.
    ClosesIdle,
    /// It closes a connection 2 ms after it has answered on it, without having said so.
    ClosesIdleSoon,
    /// It answers with what is no HTTP.
    Garbles,
    /// It breaks off in the middle of the head of an answer.
    BreaksOff,
    /// It switches to another protocol, whatever it is asked.
    Switches,
    /// It answers with 413 as soon as it has a head with a body, and closes with whatever has come.
    RefusesBodies,
    /// It answers with more headers than are taken.
    ManyHeaders,
}

/// A backend in threads of its own. Health checks (`/healthz`) it answers well whatever is wrong with it.
pub struct Backend {
    pub addr: SocketAddr,
    /// The requests that it has acted on: method, path and body.
    executed: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Backend {
    pub fn start(fault: Fault) -> Self {
        Self::start_at("127.0.0.1:0", fault)
    }

    pub fn start_at(addr: &str, fault: Fault) -> Self {
        let listener = TcpListener::bind(addr).expect("a port is free");
        let backend =
            Self { addr: listener.local_addr().expect("it is bound"), executed: Arc::default(), stop: Arc::default() };
        let (executed, stop) = (backend.executed.clone(), backend.stop.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let executed = executed.clone();
                // A client may go away at any time.
                thread::spawn(move || _ = converse(&stream, fault, &executed));
            }
        });
        backend
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it has acted on since it was asked last.
    pub fn take_executed(&self) -> Vec<String> {
        std::mem::take(&mut self.executed.lock().expect("no thread panics with it"))
    }

    /// Takes no connections from now on.
    pub fn stop(self) -> SocketAddr {
        self.stop.store(true, Ordering::Relaxed);
        // The listener is dropped by whoever accepts next.
        _ = TcpStream::connect(self.addr);
        thread::sleep(Duration::from_millis(50));
        self.addr
    }
}

fn converse(stream: &TcpStream, fault: Fault, executed: &Mutex<Vec<String>>) -> std::io::Result<()> {
    if fault == Fault::ClosesOnAccept {
        return Ok(());
    }
    // One that resets must not have read more than it says.
    let capacity = if fault == Fault::Resets { 1 } else { 8192 };
    let mut reader = BufReader::with_capacity(capacity, stream);
    let execute = |request: &str| {
        let request = request.trim_end().replace(" HTTP/1.1", "");
        executed.lock().expect("no thread panics with it").push(request);
    };
    let mut out = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if fault == Fault::Resets && !line.contains(" /healthz ") {
            execute(&line);
            // What is unread when the stream is closed makes it a reset.
            return Ok(());
        }
        if fault == Fault::RefusesBodies && line.starts_with("POST ") {
            // It reads a little, as a server does that looks at what comes; the rest makes the close a reset.
            _ = reader.fill_buf()?;
            return out.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large");
        }
        let (headers, body) = read_message(&mut reader)?;
        if line.contains(" /healthz ") {
            return write!(out, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
        execute(&format!("{} {}", line.trim_end(), String::from_utf8_lossy(&body)));
        answer(&mut out, fault, &line, &headers)?;
        if fault == Fault::ClosesIdleSoon {
            thread::sleep(Duration::from_millis(2));
        }
        if !matches!(fault, Fault::None | Fault::Fails | Fault::Busy | Fault::RefusesBodies | Fault::ManyHeaders) {
            return Ok(());
        }
    }
}

/// The header lines of a request, and its body.
fn read_message(reader: &mut impl BufRead) -> std::io::Result<(String, Vec<u8>)> {
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim_end().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        headers += &header;
    }
    if headers.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return Ok((headers, read_chunks(reader)?));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((headers, body))
}

/// Says what was asked, unless something is wrong.
fn answer(out: &mut impl Write, fault: Fault, line: &str, headers: &str) -> std::io::Result<()> {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it";
    let status = match fault {
        Fault::ClosesAfterRequest => return Ok(()),
        Fault::Garbles => return out.write_all(b"what?\r\n\r\n"),
        Fault::BreaksOff => return out.write_all(b"HTTP/1.1 200 OK\r\nContent-Le"),
        Fault::Switches => {
            return out.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        }
        Fault::CutsBodies => return out.write_all(half.as_bytes()),
        Fault::StallsBodies | Fault::Hangs => {
            if fault == Fault::StallsBodies {
                out.write_all(half.as_bytes())?;
            }
            thread::sleep(Duration::from_secs(30));
            return Ok(());
        }
        Fault::Fails => "500 Internal Server Error",
        Fault::Busy => "503 Service Unavailable\r\nRetry-After: 7",
        _ => "200 OK",
    };
    let more = if fault == Fault::ManyHeaders { "X-Many: 1\r\n".repeat(150) } else { String::new() };
    let said = format!("{line}{headers}");
    let length = said.len();
    write!(out, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nX-Own: 1\r\n{more}Connection: x-own\r\n\r\n")?;
    if line.starts_with("HEAD ") { Ok(()) } else { out.write_all(said.as_bytes()) }
}

fn read_chunks(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = u64::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
        let end = body.len() as u64 + size;
        reader.by_ref().take(size).read_to_end(&mut body)?;
        if (body.len() as u64) < end || reader.read_line(&mut String::new())? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

/// A backend that takes one connection and does with it what it is told.
pub fn scripted(serve: impl FnOnce(&mut BufReader<TcpStream>, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the balancer connects");
        let mut reader = BufReader::new(stream.try_clone().expect("a stream has clones"));
        serve(&mut reader, &mut stream);
    });
    url
}

/// A head, to the empty line that ends it.
pub fn head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("a head comes") > 0, "it ends with: {head}");
    }
    head
}
