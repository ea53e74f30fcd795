//! A service that is told to stop, over the same code as on real sockets.

use stormglass::echo::tcp::{self, Summary};
use stormglass::events::Sink;
use stormglass::net::Net;
use stormglass::sim::net::SimNet;
use stormglass::sim::{Host, HostResult, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::{ms, note, notes, simulate};

/// An echo server that is told to stop while it stands still, from 95 to 195 ms.
fn stopped(client: impl AsyncFn(Host) -> HostResult + Copy + Send + Sync + 'static) -> Outcome {
    let rest = "duration = '20s'\n[network]\nlatency = '2ms'\n[[step]]\nat = '95ms'\npause = 'server'\nfor = '100ms'";
    simulate(1, rest, move |setup| {
        setup.workload("client", move |host| async move {
            client(host).await?;
            // The run goes on until the server has ended too.
            sleep(ms(1000)).await;
            Ok(())
        });
        setup.host("server", |host| async move {
            let listener = host.net.listen("0.0.0.0:80").await?;
            let told = sleep(ms(150));
            let Summary { accepted, answered, .. } =
                tcp::serve::<SimNet>(listener, tcp::ServeOptions::default(), Sink::none(), told).await?;
            note(&host.events, "accepted", accepted);
            note(&host.events, "answered", answered);
            Ok(())
        });
    })
}

#[test]
fn what_has_arrived_when_a_service_is_told_to_stop_is_answered() {
    let outcome = stopped(async |host| {
        let mut accepted = host.net.connect("server:80").await?;
        sleep(ms(100)).await;
        accepted.write_all(b"x\ny").await?;
        let mut waiting = host.net.connect("server:80").await?;
        waiting.write_all(b"z\n").await?;
        for mut stream in [accepted, waiting] {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            note(&host.events, "got", answer.len() as u64);
        }
        Ok(())
    });
    assert_eq!(notes(&outcome, "got").iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>(), [8, 8]);
    assert_eq!(notes(&outcome, "accepted")[0].1, 2);
    assert_eq!(notes(&outcome, "answered")[0].1, 2);
}

#[test]
fn a_client_that_goes_on_sending_is_read_from_until_it_is_silent() {
    let outcome = stopped(async |host| {
        let mut stream = host.net.connect("server:80").await?;
        stream.write_all(b"x\n").await?;
        for _ in 0..20 {
            sleep(ms(100)).await;
            stream.write_all(b"y\n").await?;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        note(&host.events, "got", answer.len() as u64);
        Ok(())
    });
    // One line before the server stands still, one while it does.
    assert_eq!(notes(&outcome, "got")[0].1, 16);
    let (at, answered) = notes(&outcome, "answered")[0];
    assert_eq!(answered, 2);
    assert!(at >= ms(2000), "the server ended at {at:?}, while its client was sending");
}
