//! The same conversation over the operating system's sockets and over simulated ones: what the two ends see is the same.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use stormglass::sim::{Host, Setup, Verdict};
use stormglass::sockets::tcp::{OwnedReadHalf, OwnedWriteHalf};
use stormglass::sockets::{TcpListener, TcpStream, UdpSocket, lookup_host};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, ReadBuf};
use tokio::time::{sleep, timeout};

use super::{ms, notes, simulate};

type Said = Vec<String>;

/// What can be sent between threads is: futures too.
fn sendable<T: Send>(value: T) -> T {
    value
}

/// Answers each connection by its first byte.
async fn serve_tcp(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut first = [0];
            if stream.read_exact(&mut first).await.is_err() {
                return;
            }
            match first[0] {
                b'e' => {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.map(|_| ()).unwrap_or_default();
                }
                b'r' => stream.set_zero_linger().expect("it is open"),
                b's' => sleep(ms(300)).await,
                _ => {}
            }
        });
    }
}

async fn serve_udp(socket: UdpSocket) -> std::io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..length], from).await?;
    }
}

async fn talk_tcp(addr: String) -> std::io::Result<Said> {
    let mut said = Said::new();
    let mut stream = TcpStream::connect(&addr).await?;
    said.push(format!("nodelay {} linger {:?}", stream.nodelay()?, stream.linger()?));
    stream.set_nodelay(true)?;
    said.push(format!("nodelay {} ttl {}", stream.nodelay()?, stream.ttl()?));
    said.push(format!(
        "ports {}",
        stream.peer_addr()?.port() == addr.rsplit(':').next().unwrap().parse::<u16>().unwrap()
    ));
    let unread = stream.try_read(&mut [0; 8]).map_err(|error| error.kind());
    said.push(format!("nothing yet: {unread:?}"));
    stream.write_all(b"ehello").await?;
    let mut buffer = [0; 3];
    stream.readable().await?;
    said.push(format!("peek {} {:?}", stream.peek(&mut buffer).await?, buffer));
    said.push(format!("read {} {:?}", stream.try_read(&mut buffer)?, buffer));
    let ready = stream.ready(Interest::READABLE | Interest::WRITABLE).await?;
    said.push(format!("ready {} {}", ready.is_readable(), ready.is_writable()));
    let mut rest = Vec::with_capacity(16);
    said.push(format!("read {} {rest:?}", stream.try_read_buf(&mut rest)?));
    said.push(format!("write {}", stream.try_write(b"again")?));
    let (read, write) = stream.into_split();
    said.extend(talk_in_halves(read, write).await?);
    Ok(said)
}

async fn talk_in_halves(mut read: OwnedReadHalf, mut write: OwnedWriteHalf) -> std::io::Result<Said> {
    let mut said = Said::new();
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        read.read_to_end(&mut all).await.map(|count| (count, all, read))
    });
    sleep(ms(100)).await;
    write.write_all(b", and again").await?;
    write.shutdown().await?;
    let (count, all, read) = reader.await.expect("it is well")?;
    said.push(format!("to the end {count} {:?}", String::from_utf8_lossy(&all)));
    let mut stream = read.reunite(write).expect("they are of one connection");
    said.push(format!("behind it {:?}", stream.write_all(b"x").await.map_err(|error| error.kind())));
    said.push(format!("and {}", stream.read(&mut [0; 4]).await?));
    Ok(said)
}

async fn talk_of_ends(addr: String) -> std::io::Result<Said> {
    let mut said = Said::new();
    for first in [b"q", b"r"] {
        let mut stream = TcpStream::connect(addr.as_str()).await?;
        stream.write_all(first).await?;
        said.push(format!("{} {:?}", first[0], stream.read(&mut [0; 4]).await.map_err(|error| error.kind())));
    }
    let (host, _) = addr.rsplit_once(':').expect("host and port");
    let nobody = TcpStream::connect((host, 1)).await.map(|_| ()).map_err(|error| error.kind());
    said.push(format!("nobody {nobody:?}"));
    let bound = TcpListener::bind(("0.0.0.0", 0)).await?;
    let taken = TcpListener::bind(bound.local_addr()?).await.map(|_| ()).map_err(|error| error.kind());
    said.push(format!("{} taken {taken:?}", bound.local_addr()?.ip()));
    // A dropped writing half ends its direction.
    let (mut read, mut write) = TcpStream::connect(&addr).await?.into_split();
    write.write_all(b"ebye").await?;
    drop(write);
    let mut all = String::new();
    read.read_to_string(&mut all).await?;
    said.push(format!("dropped {all}"));
    let mut slow = TcpStream::connect(&addr).await?;
    slow.write_all(b"s").await?;
    said.push(format!("late {}", timeout(ms(50), slow.readable()).await.is_err()));
    Ok(said)
}

async fn talk_udp(addr: String) -> std::io::Result<Said> {
    let mut said = Said::new();
    let to: SocketAddr = lookup_host(&addr).await?.next().expect("it has an address");
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    said.push(format!("no peer {:?}", socket.peer_addr().map_err(|error| error.kind())));
    said.push(format!("nowhere {:?}", socket.send(b"x").await.is_err()));
    said.push(format!("sent {}", socket.send_to(b"one", &addr).await?));
    let mut buffer = [0; 2];
    let (length, from) = socket.recv_from(&mut buffer).await?;
    said.push(format!("cut off {length} {buffer:?} {}", from == to));
    socket.connect(&addr).await?;
    said.push(format!("peer {}", socket.peer_addr()? == to));
    said.push(format!("nothing yet {:?}", socket.try_recv(&mut buffer).map_err(|error| error.kind())));
    said.push(format!("sent {} {}", socket.send(b"two").await?, socket.try_send(b"three")?));
    sleep(ms(50)).await;
    let mut buffer = [0; 16];
    said.push(format!("peek {}", socket.peek(&mut buffer).await?));
    said.push(format!("peek at once {}", socket.try_peek(&mut buffer)?));
    let sender = std::future::poll_fn(|cx| socket.poll_peek_sender(cx)).await?;
    said.push(format!("sender {} {}", sender == to, socket.try_peek_sender()? == to));
    said.push(format!("recv {}", socket.recv(&mut buffer).await?));
    let polled = std::future::poll_fn(|cx| {
        let mut buffer = ReadBuf::new(&mut buffer);
        match socket.poll_recv_from(cx, &mut buffer) {
            Poll::Ready(from) => Poll::Ready(from.map(|from| (buffer.filled().len(), from == to))),
            Poll::Pending => Poll::Pending,
        }
    });
    said.push(format!("polled {:?}", polled.await?));
    // Somebody else is not heard.
    let stranger = UdpSocket::bind(("0.0.0.0", 0)).await?;
    stranger.send_to(b"x", ("localhost", socket.local_addr()?.port())).await?;
    said.push(format!("stranger {}", timeout(ms(50), socket.recv(&mut buffer)).await.is_err()));
    let large = socket.send(&vec![0; 70_000]).await.is_err();
    said.push(format!("too large {large}"));
    Ok(said)
}

async fn talk(tcp: String, udp: String) -> std::io::Result<Said> {
    let mut said = tokio::spawn(sendable(talk_tcp(tcp.clone()))).await.expect("it is well")?;
    said.extend(tokio::spawn(sendable(talk_of_ends(tcp))).await.expect("it is well")?);
    said.extend(tokio::spawn(sendable(talk_udp(udp))).await.expect("it is well")?);
    Ok(said)
}

fn real() -> Said {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (tcp, udp) = (listener.local_addr().unwrap(), socket.local_addr().unwrap());
        tokio::spawn(sendable(serve_tcp(listener)));
        tokio::spawn(sendable(serve_udp(socket)));
        let talked = timeout(Duration::from_secs(20), talk(tcp.to_string(), udp.to_string()));
        talked.await.expect("it comes to an end").unwrap()
    })
}

fn simulated() -> Said {
    let outcome = simulate(1, "duration = '20s'\n[network]\nlatency = '2ms'", |setup: &mut Setup<'_>| {
        setup.process("server", async |_: Host| {
            tokio::spawn(serve_udp(UdpSocket::bind("0.0.0.0:9").await?));
            serve_tcp(TcpListener::bind("0.0.0.0:80").await?).await?;
            Ok(())
        });
        setup.process_workload("client", async |host: Host| {
            for line in talk("server:80".to_owned(), "server:9".to_owned()).await? {
                host.events.event("said", vec![("line", line.into())]);
            }
            host.events.work(1);
            Ok(())
        });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    super::super::texts(&outcome, "said")
}

#[test]
fn both_say_the_same() {
    assert_eq!(simulated(), real());
}

#[test]
fn a_socket_of_a_dead_process_is_nobodys() {
    use std::sync::{Arc, Mutex};
    let rest = "duration = '2s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '100ms'\nkill = 'server'\nfor = '100ms'";
    let outcome = simulate(1, rest, |setup: &mut Setup<'_>| {
        // What outlives the process: a static, say.
        let kept: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        setup.process("server", move |host: Host| {
            let kept = kept.clone();
            async move {
                let old = kept.lock().unwrap().pop();
                if let Some(old) = old {
                    let kind = old.try_write(b"x").expect_err("its process is dead").kind();
                    host.events.event("old", vec![("n", u64::from(kind == ErrorKind::Other).into())]);
                }
                let listener = TcpListener::bind("0.0.0.0:80").await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    kept.lock().unwrap().push(stream);
                }
            }
        });
        setup.process_workload("client", async |host: Host| {
            let mut stream = TcpStream::connect("server:80").await?;
            let ended = stream.read(&mut [0; 4]).await?;
            host.events.event("end", vec![("n", (ended as u64).into())]);
            host.events.work(1);
            sleep(ms(500)).await;
            Ok(())
        });
    });
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(notes(&outcome, "end"), [(ms(102), 0)], "its connections ended with it");
    assert_eq!(notes(&outcome, "old"), [(ms(200), 1)]);
}

#[test]
fn hosts_within_turmoil_have_them_too() {
    let outcome = simulate(1, "duration = '2s'\n[network]\nlatency = '2ms'", |setup: &mut Setup<'_>| {
        setup.host("server", async |_: Host| {
            let socket = UdpSocket::bind("0.0.0.0:9").await?;
            tokio::task::spawn_local(serve_udp(socket));
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            let (mut stream, _) = listener.accept().await?;
            stream.write_all(b"hello").await?;
            std::future::pending().await
        });
        setup.workload("client", async |host: Host| {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect("server:9").await?;
            socket.send(b"x").await?;
            socket.recv(&mut [0; 4]).await?;
            host.events.event("heard", vec![("n", 1.into())]);
            let mut stream = TcpStream::connect("server:80").await?;
            stream.read_exact(&mut [0; 5]).await?;
            host.events.event("read", vec![("n", 1.into())]);
            host.events.work(1);
            Ok(())
        });
    });
    assert_eq!(notes(&outcome, "heard"), [(ms(4), 1)]);
    assert_eq!(notes(&outcome, "read"), [(ms(12), 1)]);
}
