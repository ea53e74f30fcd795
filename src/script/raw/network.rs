//! `[network]`, `[[link]]` and the links of steps.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::document::Document;
use super::super::document::Part::{self, Key};
use super::super::units::{ByteSize, Chance};
use super::super::{Burst, HostPattern, Latency, LinkRule, LinkSettings, Reorder, ScriptError, TcpSettings};
use super::hosts::{Hosts, Table};
use super::tcp::RawTcp;

/// What every link does, in each direction, and the constants of the transports.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Network")]
pub(super) struct RawNetwork {
    /// The one-way latency of a packet. Without it: "1ms..5ms".
    latency: Option<Latency>,
    /// The chance that a packet is lost: a datagram, a TCP segment, an acknowledgement.
    loss: Option<Chance>,
    /// Losses that come in bursts.
    burst: Option<Table<RawBurst>>,
    /// The chance that a datagram arrives twice.
    duplicate: Option<Chance>,
    /// The chance that a bit of a datagram is flipped. A TCP segment with one is lost: its checksum tells.
    corrupt: Option<Chance>,
    /// Datagrams that arrive out of order.
    reorder: Option<Table<RawReorder>>,
    /// The bytes that a UDP socket's receive buffer holds; a datagram that does not fit is lost.
    #[schemars(extend("default" = "208KiB"))]
    udp_buffer: Option<ByteSize>,
    /// What Linux lets one set of TCP, with Linux's defaults.
    tcp: Option<Table<RawTcp>>,
}

/// What some links do instead of what [network] says: either all links between some hosts, or those from some hosts to
/// others.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Link")]
#[schemars(extend("oneOf" = [
    { "required": ["between"], "not": { "anyOf": [{ "required": ["from"] }, { "required": ["to"] }] } },
    { "required": ["from", "to"] },
]))]
pub(super) struct RawLink {
    /// Two or more hosts: all links between them, both ways.
    between: Option<Hosts>,
    /// The senders; the way back is another link.
    from: Option<Hosts>,
    /// The receivers.
    to: Option<Hosts>,
    /// The one-way latency of a packet.
    latency: Option<Latency>,
    /// The chance that a packet is lost: a datagram, a TCP segment, an acknowledgement.
    loss: Option<Chance>,
    /// Losses that come in bursts.
    burst: Option<Table<RawBurst>>,
    /// The chance that a datagram arrives twice.
    duplicate: Option<Chance>,
    /// The chance that a bit of a datagram is flipped. A TCP segment with one is lost: its checksum tells.
    corrupt: Option<Chance>,
    /// Datagrams that arrive out of order.
    reorder: Option<Table<RawReorder>>,
}

/// Losses in bursts (Gilbert and Elliott): a link is good or bad, and may change at each packet.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Burst")]
pub(super) struct RawBurst {
    /// The chance that a good link turns bad at a packet.
    enter: Chance,
    /// The chance that a bad link turns good at a packet. A burst is `1 / leave` packets long, on average.
    leave: Chance,
    /// The chance that a packet is lost on a bad link.
    #[serde(default = "certain")]
    loss: Chance,
}

/// Datagrams held back for longer than their latency, so that later ones overtake them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Reorder")]
pub(super) struct RawReorder {
    /// The chance that a datagram is held back.
    chance: Chance,
    /// By how much.
    extra: Latency,
}

const fn certain() -> Chance {
    Chance(1.0)
}

/// What Linux gives a socket (`net.core.rmem_default`).
const UDP_BUFFER_BYTES: u64 = 212_992;

impl RawNetwork {
    pub(super) fn into_settings(self) -> LinkSettings {
        let Self { latency, loss, burst, duplicate, corrupt, reorder, .. } = self;
        settings(latency, [loss, duplicate, corrupt], burst, reorder)
    }

    pub(super) fn udp_buffer_bytes(&self, document: &Document<'_>) -> Result<u64, ScriptError> {
        match self.udp_buffer {
            None => Ok(UDP_BUFFER_BYTES),
            Some(ByteSize(0)) => Err(no_room(document, &[Key("network"), Key("udp_buffer")])),
            Some(ByteSize(bytes)) => Ok(bytes),
        }
    }

    pub(super) fn tcp_settings(&self, document: &Document<'_>) -> Result<TcpSettings, ScriptError> {
        self.tcp.as_ref().map_or(Ok(TcpSettings::default()), |Table(tcp)| tcp.settings(document))
    }
}

pub(super) fn no_room(document: &Document<'_>, path: &[Part<'_>]) -> ScriptError {
    document.error_at(path, "nothing fits in 0 bytes").with_expected("a size of at least 1")
}

fn settings(
    latency: Option<Latency>,
    chances: [Option<Chance>; 3],
    burst: Option<Table<RawBurst>>,
    reorder: Option<Table<RawReorder>>,
) -> LinkSettings {
    let [loss, duplicate, corrupt] = chances.map(|chance| chance.map(|Chance(chance)| chance));
    let burst = burst.map(|Table(burst)| Burst { enter: burst.enter.0, leave: burst.leave.0, loss: burst.loss.0 });
    let reorder = reorder.map(|Table(reorder)| Reorder { chance: reorder.chance.0, extra: reorder.extra });
    LinkSettings { latency, loss, burst, duplicate, corrupt, reorder }
}

impl RawLink {
    /// The rule, if the table at this path makes one.
    pub(super) fn into_rule(self, document: &Document<'_>, path: &[Part<'_>]) -> Result<LinkRule, ScriptError> {
        let Self { between, from, to, latency, loss, burst, duplicate, corrupt, reorder } = self;
        let settings = settings(latency, [loss, duplicate, corrupt], burst, reorder);
        if settings == LinkSettings::default() {
            let error = document.error_at(path, "it changes nothing about its links");
            let expected = "one of `latency`, `loss`, `burst`, `duplicate`, `corrupt`, `reorder`";
            return Err(error.with_expected(expected));
        }
        let line = document.line_at(path);
        match (between, from, to) {
            (Some(between), None, None) => {
                if let [HostPattern(host)] = between.patterns()
                    && !host.ends_with('*')
                {
                    let path: Vec<Part<'_>> = path.iter().copied().chain([Key("between")]).collect();
                    return Err(document.error_at(&path, "one host has no links").with_expected("two or more hosts"));
                }
                let hosts = Vec::from(between);
                Ok(LinkRule { from: hosts.clone(), to: hosts, both_ways: true, settings, line })
            }
            (None, Some(from), Some(to)) => {
                check_ends(document, path, &from, &to)?;
                Ok(LinkRule { from: from.into(), to: to.into(), both_ways: false, settings, line })
            }
            (Some(_), _, _) => Err(ends_missing(document, path, "it has `between`, and `from` or `to` as well")),
            (None, Some(_), None) => Err(ends_missing(document, path, "it has `from` and no `to`")),
            (None, None, Some(_)) => Err(ends_missing(document, path, "it has `to` and no `from`")),
            (None, None, None) => Err(ends_missing(document, path, "it does not say which links")),
        }
    }
}

fn ends_missing(document: &Document<'_>, path: &[Part<'_>], message: &str) -> ScriptError {
    document.error_at(path, message).with_expected("either `between` (both ways), or `from` and `to` (one way)")
}

/// A host has no link to itself.
pub(super) fn check_ends(
    document: &Document<'_>,
    path: &[Part<'_>],
    from: &Hosts,
    to: &Hosts,
) -> Result<(), ScriptError> {
    match (from.patterns(), to.patterns()) {
        ([from], [to]) if from == to && !from.0.ends_with('*') => {
            Err(document.error_at(path, &format!("`{}` has no link to itself", from.0)))
        }
        _ => Ok(()),
    }
}
