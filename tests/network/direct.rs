//! Software that uses turmoil's sockets directly: latency, partitions and crashes apply, and TCP loss too.

use stormglass::sim::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream, UdpSocket};

use super::{assert_adds_up, ms, note, notes, simulate};

fn run(rest: &str) -> Outcome {
    let outcome = simulate(1, rest, |setup| {
        setup.workload("a", |host| async move {
            let mut stream = TcpStream::connect("b:80").await?;
            note(&host.events, "connected", 0);
            for n in 0..10 {
                stream.write_all(b"ping").await?;
                stream.read_exact(&mut [0; 4]).await?;
                note(&host.events, "pong", n);
                tokio::time::sleep(ms(20)).await;
            }
            let socket = UdpSocket::bind("0.0.0.0:9").await?;
            for n in 0..10 {
                socket.send_to(b"ping", "b:9").await?;
                let answer = tokio::time::timeout(ms(50), socket.recv_from(&mut [0; 4])).await;
                if answer.is_ok() {
                    note(&host.events, "datagram", n);
                }
            }
            Ok(())
        });
        setup.host("b", |_| async move {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            tokio::task::spawn_local(async move {
                let socket = UdpSocket::bind("0.0.0.0:9").await.expect("the port is free");
                let mut buffer = [0; 10];
                while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                    socket.send_to(&buffer[..length], from).await.expect("the sender is a host");
                }
            });
            loop {
                let (mut stream, _) = listener.accept().await?;
                tokio::task::spawn_local(async move {
                    let mut bytes = [0; 4];
                    while stream.read_exact(&mut bytes).await.is_ok() && stream.write_all(&bytes).await.is_ok() {}
                });
            }
        });
    });
    assert_adds_up(&outcome);
    outcome
}

#[test]
fn latency_applies() {
    let outcome = run("duration = '20s'\n[network]\nlatency = '4ms'");
    assert!(notes(&outcome, "connected")[0].0 <= ms(8));
    let pongs = notes(&outcome, "pong");
    assert_eq!(pongs[1].0 - pongs[0].0, ms(28));
    assert_eq!(notes(&outcome, "datagram").len(), 10);
    assert_eq!((outcome.packets.sent, outcome.packets.lost), (1 + 20 + 20 + 1, 0), "SYN, data, datagrams, FIN");
}

#[test]
fn a_partition_and_loss_delay_tcp_and_cut_datagrams() {
    let outcome = run("duration = '60s'\n[network]\nlatency = '4ms'\nloss = 0.1\n\
                       [[step]]\nat = '50ms'\npartition = [['a'], ['b']]\nfor = '1s'");
    assert_eq!(notes(&outcome, "pong").len(), 10);
    assert!(outcome.packets.retransmitted > 0);
    let cut = run("duration = '60s'\n[network]\nlatency = '4ms'\n[[step]]\nat = '300ms'\npartition = [['a'], ['b']]");
    assert!(notes(&cut, "datagram").len() < 10);
}

#[test]
fn a_kill_and_a_power_loss_reach_it() {
    let outcome = simulate(
        1,
        "duration = '60s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '100ms'\nkill = 'b'\nfor = '1s'",
        |setup| {
            setup.workload("a", |host| async move {
                let mut stream = TcpStream::connect("b:80").await?;
                assert_eq!(stream.read(&mut [0; 1]).await?, 0);
                note(&host.events, "eof", 0);
                Ok(())
            });
            setup.host("b", |_| async move {
                let listener = TcpListener::bind("0.0.0.0:80").await?;
                let (_stream, _) = listener.accept().await?;
                std::future::pending().await
            });
        },
    );
    assert_eq!(notes(&outcome, "eof"), [(ms(102), 0)]);
}
