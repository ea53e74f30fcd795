//! A client that hides a request in another one: whoever finds the outer one to end elsewhere finds the hidden one
//! behind it.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use crate::check::balancer::{Request, digest};
use crate::net::Net as _;
use crate::sim::net::SimNet;
use crate::sim::{Host, HostResult};

use super::fleet::Fleet;
use super::{ID_HEADER, PORT};

/// The time between two of its requests.
const PAUSE: Duration = Duration::from_millis(250);

/// How long it waits for the balancer to close the connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fields that say in two ways where a body ends: `{}` is the length to the end of the hidden request.
const WAYS: [&str; 5] = [
    "Content-Length: {}\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: {}",
    "Content-Length: 5\r\nContent-Length: {}",
    "Content-Length: +{}",
    "Transfer-Encoding: chunked, identity\r\nContent-Length: {}",
];

/// A smuggler's life.
pub(super) async fn smuggle(fleet: Rc<Fleet>, host: Host) -> HostResult {
    let end = Instant::now() + fleet.options.load_for();
    for (number, way) in (0_u64..).zip(WAYS.iter().cycle()) {
        if Instant::now() >= end {
            break;
        }
        let id = format!("{}.{}/{number}", host.name, host.incarnation);
        // The outer one may be served, and the hidden one is nobody's.
        let body = Some(digest(b""));
        let outer = Request { client: host.name.clone(), id: id.clone(), is_post: true, body, upgrade: None };
        fleet.check.borrow_mut().sent((host.events.now(), host.events.next_record()), &outer);
        let answer = timeout(PATIENCE, exchange(&host, &message(&id, way))).await;
        let is_refused = matches!(&answer, Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 400 "));
        host.events.count(if is_refused { "smugglers told 400" } else { "smugglers not told 400" }, 1);
        sleep(PAUSE).await;
    }
    sleep(fleet.options.settle()).await;
    Ok(())
}

fn message(id: &str, way: &str) -> String {
    let name = ID_HEADER;
    let body = format!("0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: service\r\n{name}: {id}/hidden\r\n\r\n");
    let framing = way.replace("{}", &body.len().to_string());
    format!("POST /outer HTTP/1.1\r\nHost: service\r\n{name}: {id}\r\n{framing}\r\n\r\n{body}")
}

/// Sends it, and reads until the balancer closes.
async fn exchange(host: &Host, message: &str) -> std::io::Result<Vec<u8>> {
    let mut stream: <SimNet as crate::net::Net>::Stream = host.net.connect(&format!("balancer:{PORT}")).await?;
    stream.write_all(message.as_bytes()).await?;
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).await?;
    Ok(answers)
}
