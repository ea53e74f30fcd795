//! Keeps an echo server busy and prints the messages per second that it answered: `benches/echo-vs-go.sh` runs it.
//!
//! Each client is a thread that sends a message and waits for the answer, with blocking sockets, since those add the
//! least to what is measured.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this measures real servers: it needs the wall clock and threads"
)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

const MESSAGE: &[u8] = b"hello, this is a message\n";
const ANSWER: &[u8] = b"Echo: hello, this is a message\n";

/// An answer that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures an echo server
#[derive(Parser)]
struct Args {
    /// What the server speaks
    protocol: Protocol,
    /// The server, as ip:port
    addr: SocketAddr,
    /// Clients at the same time
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// How long to measure
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Tcp,
    Udp,
}

/// Sends messages one after the other until `stop`, and returns how many were answered.
fn exchange(args: &Args, start: &Barrier, stop: &AtomicBool) -> io::Result<u64> {
    let mut buffer = [0; ANSWER.len()];
    let mut count = 0;
    match args.protocol {
        Protocol::Tcp => {
            let mut stream = TcpStream::connect(args.addr)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            start.wait();
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(MESSAGE)?;
                stream.read_exact(&mut buffer)?;
                assert_eq!(buffer, ANSWER);
                count += 1;
            }
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(args.addr)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            start.wait();
            while !stop.load(Ordering::Relaxed) {
                socket.send(MESSAGE)?;
                let len = socket.recv(&mut buffer)?;
                assert_eq!(buffer[..len], *ANSWER);
                count += 1;
            }
        }
    }
    Ok(count)
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let (start, stop) = (Barrier::new(args.clients + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..args.clients).map(|_| scope.spawn(|| exchange(&args, &start, &stop))).collect();
        start.wait();
        let started = Instant::now();
        thread::sleep(Duration::from_secs(args.seconds));
        stop.store(true, Ordering::Relaxed);
        let mut count = 0;
        for client in clients {
            count += client.join().expect("a client does not panic")?;
        }
        println!("{:.0}", count as f64 / started.elapsed().as_secs_f64());
        Ok(())
    })
}
