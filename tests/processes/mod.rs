//! Servers and clients as processes, for tests on real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No wait in these tests is longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A process that does not outlive its test.
pub struct Process {
    /// The process, with its streams as pipes.
    pub child: Child,
    /// The server's address.
    pub addr: SocketAddr,
}

impl Process {
    /// Starts `serve` on a port of its own.
    pub fn serve(binary: &str, options: &[&str]) -> Self {
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let addr = line.trim_end().strip_prefix("listening on ").expect(&line).parse().expect(&line);
        Self { child, addr }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.addr, PATIENCE).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a stream has timeouts");
        stream.set_write_timeout(Some(PATIENCE)).expect("a stream has timeouts");
        stream
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill starts").success());
    }

    /// Waits for the end, and returns the exit code and what was written to stderr.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child);
        let mut stderr = String::new();
        self.child.stderr.take().expect("stderr is piped").read_to_string(&mut stderr).expect("stderr is text");
        (status, stderr)
    }

    /// Resident memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        memory_kib(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Resident memory of a process in KiB.
pub fn memory_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}

pub fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status.code();
        }
        if Instant::now() > deadline {
            _ = child.kill();
            panic!("the process did not end in {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `send` to its end with `stdin`.
pub fn send(binary: &str, to: SocketAddr, options: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(binary)
        .args(["send", "--to", &to.to_string()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let (mut input, bytes) = (child.stdin.take().expect("stdin is piped"), stdin.to_vec());
    // A client that is done does not read the rest.
    let feeder = thread::spawn(move || _ = input.write_all(&bytes));
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes).expect("stdout can be read")
    });
    let err = thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes).expect("stderr can be read")
    });
    wait(&mut child);
    let status = child.wait().expect("it has ended");
    feeder.join().expect("the feeder ends");
    Output { status, stdout: out.join().expect("stdout ends"), stderr: err.join().expect("stderr ends") }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the server closes the connection in order");
    bytes
}

pub fn read_line(stream: &TcpStream) -> Vec<u8> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        let mut stream = stream;
        stream.read_exact(&mut byte).expect("an answer comes");
        line.push(byte[0]);
    }
    line
}

pub fn udp_socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket can be bound");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    socket
}
