//! The least that an echo server can do, for `benches/echo-vs-go.sh` to measure ours against: no line limit, no timeout,
//! no count, no clean end. It takes every read for a whole message.
//!
//! `blocking` is a thread for each connection: one system call reads a message and one answers it, and no server does
//! with fewer. `tokio` is what a runtime adds to that.
#![allow(clippy::disallowed_methods, reason = "this measures real servers: it needs threads")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;

use clap::{Parser, ValueEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions};

const PREFIX: &[u8] = b"Echo: ";
const MESSAGE_BYTES_MAX: usize = 4096;

/// An echo server that does nothing else
#[derive(Parser)]
struct Args {
    /// How it waits
    kind: Kind,
    /// What it speaks
    protocol: Protocol,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Blocking,
    Tokio,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Tcp,
    Udp,
}

/// Room for a message behind the prefix, so that the answer is one write.
struct Buffer([u8; PREFIX.len() + MESSAGE_BYTES_MAX]);

impl Buffer {
    fn new() -> Self {
        let mut bytes = [0; PREFIX.len() + MESSAGE_BYTES_MAX];
        bytes[..PREFIX.len()].copy_from_slice(PREFIX);
        Self(bytes)
    }

    fn message(&mut self) -> &mut [u8] {
        &mut self.0[PREFIX.len()..]
    }

    fn answer(&self, message_bytes: usize) -> &[u8] {
        &self.0[..PREFIX.len() + message_bytes]
    }
}

fn blocking(protocol: Protocol) -> io::Result<()> {
    match protocol {
        Protocol::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            println!("listening on {}", listener.local_addr()?);
            loop {
                let (mut stream, _) = listener.accept()?;
                thread::spawn(move || -> io::Result<()> {
                    stream.set_nodelay(true)?;
                    let mut buffer = Buffer::new();
                    loop {
                        match stream.read(buffer.message())? {
                            0 => return Ok(()),
                            bytes => stream.write_all(buffer.answer(bytes))?,
                        }
                    }
                });
            }
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            println!("listening on {}", socket.local_addr()?);
            let mut buffer = Buffer::new();
            loop {
                let (bytes, peer) = socket.recv_from(buffer.message())?;
                socket.send_to(buffer.answer(bytes), peer)?;
            }
        }
    }
}

async fn on_tokio(protocol: Protocol) -> io::Result<()> {
    match protocol {
        Protocol::Tcp => {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            println!("listening on {}", listener.local_addr()?);
            loop {
                let (mut stream, _) = listener.accept().await?;
                tokio::task::spawn_local(async move {
                    stream.set_nodelay(true)?;
                    let mut buffer = Buffer::new();
                    loop {
                        match stream.read(buffer.message()).await? {
                            0 => return io::Result::Ok(()),
                            bytes => stream.write_all(buffer.answer(bytes)).await?,
                        }
                    }
                });
            }
        }
        Protocol::Udp => {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
            println!("listening on {}", socket.local_addr()?);
            let mut buffer = Buffer::new();
            loop {
                let (bytes, peer) = socket.recv_from(buffer.message()).await?;
                socket.send_to(buffer.answer(bytes), peer).await?;
            }
        }
    }
}

fn main() -> io::Result<()> {
    let Args { kind, protocol } = Args::parse();
    match kind {
        Kind::Blocking => blocking(protocol),
        Kind::Tokio => {
            let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
            runtime.block_on(on_tokio(protocol))
        }
    }
}
