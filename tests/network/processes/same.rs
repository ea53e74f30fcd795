//! A host that can run within turmoil makes the same run in a process of its own.

use stormglass::net::{Listener, Net, Socket};
use stormglass::sim::{Host, HostResult, Outcome, Setup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::{ms, simulate};

/// Echoes datagrams and bytes.
async fn server(host: Host) -> HostResult {
    let socket = host.net.bind("0.0.0.0:9").await?;
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    let mut listener = host.net.listen("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let events = host.events.clone();
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 4_000];
            while let Ok(length) = stream.read(&mut buffer).await {
                if length == 0 || stream.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
                events.event("echoed", vec![("n", (length as u64).into())]);
            }
        });
    }
}

/// Asks again and again, on new connections if need be.
async fn client(host: Host) -> HostResult {
    let socket = host.net.bind("0.0.0.0:99").await?;
    let server = host.net.resolve("server:9").await?;
    for round in 0..60_u64 {
        socket.send_to(b"ping", server).await?;
        let heard = timeout(ms(30), socket.recv_from(&mut [0; 64])).await.is_ok();
        host.events.event("datagram", vec![("heard", heard.into())]);
        let asked = timeout(ms(400), async {
            let mut stream = host.net.connect("server:80").await?;
            stream.write_all(&[7; 9_000]).await?;
            let mut answer = vec![0; 9_000];
            stream.read_exact(&mut answer).await
        });
        let answered = matches!(asked.await, Ok(Ok(_)));
        host.events.event("asked", vec![("round", round.into()), ("answered", answered.into())]);
        host.events.work(1);
        sleep(ms(25)).await;
    }
    Ok(())
}

const STEPS: &str = "duration = '60s'\n[network]\nlatency = '1ms..9ms'\nloss = 0.05\nduplicate = 0.05\n\
    [[step]]\nat = '300ms'\npartition = [['client'], ['server']]\nfor = '300ms'\n\
    [[step]]\nat = '900ms'\nkill = 'server'\nfor = '200ms'\n\
    [[step]]\nat = '1500ms'\npause = 'server'\nfor = '333ms'\n\
    [[step]]\nat = '2100ms'\npower = 'server'\nfor = '200ms'\n\
    [[step]]\nat = '2600ms'\nrestart = 'client'\n\
    [[step]]\nat = '2700ms'\npause = 'client'\nfor = '100ms'";

fn run(seed: u64, tick: &str, [server_apart, client_apart]: [bool; 2]) -> Outcome {
    simulate(seed, &format!("tick = '{tick}'\n{STEPS}"), move |setup: &mut Setup<'_>| {
        if server_apart {
            setup.process("server", server);
        } else {
            setup.host("server", server);
        }
        if client_apart {
            setup.process_workload("client", client);
        } else {
            setup.workload("client", client);
        }
    })
}

#[test]
fn whoever_of_them_is_a_process_of_its_own() {
    for seed in 0..4 {
        let within = run(seed, "1ms", [false, false]);
        for apart in [[true, true], [true, false], [false, true]] {
            let other = run(seed, "1ms", apart);
            let differs = super::records(&within).iter().zip(super::records(&other)).find(|(a, b)| a != b);
            // Who of the two runs first in a step differs if one runs within turmoil and the other does not.
            if apart[0] == apart[1] {
                assert_eq!(differs, None, "seed {seed}");
                assert_eq!(within.hash, other.hash, "seed {seed}");
            }
            assert_eq!(within.verdict, other.verdict, "seed {seed}, {apart:?}");
            assert_eq!(run(seed, "1ms", apart).hash, other.hash, "the same again");
        }
    }
}

#[test]
fn longer_ticks_are_run_through() {
    for tick in ["2ms", "5ms"] {
        let (within, apart) = (run(1, tick, [false, false]), run(1, tick, [true, true]));
        assert_eq!(within.verdict, apart.verdict);
        assert_eq!(within.hash, apart.hash, "{tick}");
    }
}
