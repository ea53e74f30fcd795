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
    /// It closes a connection on which it has answered once, without having said so.
    ClosesIdle,
    /// It answers with what is no HTTP.
    Garbles,
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
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut headers = String::new();
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
        let is_chunked = headers.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let mut body = vec![0; length];
        if is_chunked {
            body = read_chunks(&mut reader)?;
        } else {
            reader.read_exact(&mut body)?;
        }
        if line.contains(" /healthz ") {
            write!(out, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?;
            return Ok(());
        }
        let request = format!("{} {}", line.trim_end().trim_end_matches(" HTTP/1.1"), String::from_utf8_lossy(&body));
        executed.lock().expect("no thread panics with it").push(request.trim_end().to_owned());
        let answer = format!("{line}{headers}");
        let status = if fault == Fault::Fails { "500 Internal Server Error" } else { "200 OK" };
        match fault {
            Fault::ClosesAfterRequest => return Ok(()),
            Fault::Hangs => {
                thread::sleep(Duration::from_secs(30));
                return Ok(());
            }
            Fault::Garbles => return out.write_all(b"what?\r\n\r\n"),
            Fault::CutsBodies => {
                return write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it");
            }
            _ => write!(
                out,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-Own: 1\r\nConnection: x-own\r\n\r\n{answer}",
                answer.len()
            )?,
        }
        if fault == Fault::ClosesIdle {
            return Ok(());
        }
    }
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
