//! The clients of an echo service: one on each host, or many.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::pending;

use tokio::task::JoinSet;

use crate::echo::client::Messages;
use crate::echo::request::request;
use crate::echo::{Event, tcp_client, udp_client};
use crate::events::Sink;
use crate::net::Net;
use crate::rng::{self, Rng};
use crate::sim::net::SimNet;
use crate::sim::{Events, Host, HostResult};

use super::{Options, PORT, SharedCheck, TransportName, record};

/// The clients of a host.
pub(super) async fn send(host: Host, clients: u64, options: Options, check: SharedCheck) -> HostResult {
    // An incarnation numbers its requests anew: its name is part of theirs.
    let name = format!("{}.{}", host.name, host.incarnation);
    if clients == 1 {
        let Host { net, rng, events, .. } = host;
        return Client { name, number: None, net, rng, events }.send(options, check).await;
    }
    let mut all = JoinSet::new();
    for number in 1..=clients {
        let (net, events, rng) = (host.net.clone(), host.events.clone(), rng::part(&host.rng, number));
        let client = Client { name: format!("{name}.{number}"), number: Some(number), net, rng, events };
        all.spawn_local(SimNet::task(client.send(options.clone(), check.clone())));
    }
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    Ok(())
}

/// Who sends numbered requests.
struct Client {
    name: String,
    /// Which of its host's clients it is, if there are several.
    number: Option<u64>,
    net: SimNet,
    rng: Rng,
    events: Events,
}

impl Client {
    async fn send(self, options: Options, check: SharedCheck) -> HostResult {
        let Self { name, number: of_host, net, rng, events } = self;
        let size = usize::try_from(options.size.0)?;
        let messages = (0..options.requests()).map({
            let name = name.clone();
            move |number| request(&name, number, size)
        });
        let retried = RefCell::new(BTreeSet::new());
        let sink = Sink::new(move |event: &Event| {
            let seen = (events.now(), record(&events, event, of_host));
            match event {
                Event::Retry { id, .. } => _ = retried.borrow_mut().insert(*id),
                Event::Answered { id, .. } if retried.borrow_mut().remove(id) => events.count("retries answered", 1),
                _ => {}
            }
            let breach = check.borrow_mut().client(&name, seen, event);
            breach.into_iter().for_each(|breach| events.breach(breach));
        });
        let (to, rate) = (format!("server:{PORT}"), options.rate());
        let Options { pipeline, retries, .. } = options;
        match options.transport {
            TransportName::Tcp => {
                let options = tcp_client::Options {
                    pipeline,
                    rate,
                    retries,
                    timeout: options.timeout.0,
                    connect_timeout: options.timeout.0,
                    read_delay: options.read_delay.map(|delay| delay.0),
                    ..Default::default()
                };
                tcp_client::run(&net, &to, Messages(messages), &options, rng, sink, pending()).await?;
            }
            TransportName::Udp => {
                let options = udp_client::Options {
                    pipeline,
                    rate,
                    retries,
                    timeout: options.timeout.0,
                    refusal_is_final: false,
                };
                udp_client::run(&net, &to, Messages(messages), &options, sink, pending()).await?;
            }
        }
        Ok(())
    }
}
