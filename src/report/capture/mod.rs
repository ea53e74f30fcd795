//! A run as a packet capture, for Wireshark and its kin: pcapng, one interface for each host, simulated time.
//!
//! Every packet is seen once: where and when it leaves its sender. So a capture reads as one taken at all senders at
//! once, and Wireshark's own analysis finds what happened: a segment that was lost is there, and comes again. Each packet
//! has a comment with its record and its fate, since a capture alone cannot tell the one that was lost from the one that
//! arrived.
//!
//! Nothing is filled in: handshakes and acknowledgements are packets of the run, with the headers that they had there. What
//! is no packet (the run's begin, its faults, what it broke) stands between them as entries of a journal. The first is at the
//! run's zero, midnight UTC, so that Wireshark's relative times, and times of day, are times of the run.

mod fates;
mod frame;
mod journal;
mod tcp;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::name_resolution::{Ipv4Record, Ipv6Record, NameResolutionBlock, Record};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError};

use super::recording::Recording;
use super::records::{Header, SentLine, WhatLine};
use fates::Fates;
use frame::{Body, Frame};
use tcp::Connections;

/// Nanoseconds, as a power of ten.
const RESOLUTION: u8 = 9;

/// How many packets a capture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Packets of the run, sent again or not.
    pub packets: u64,
}

/// Writes the capture of a run.
///
/// `wire` has the packets of a live run as they were, by their numbers: these then stand in it, and nothing is made up.
pub fn write(run: &Recording, wire: Option<&BTreeMap<u64, Bytes>>, to: &mut impl Write) -> io::Result<Written> {
    let seen = seen(run, wire);
    let mut writer = PcapNgWriter::with_section_header(to, section(run)).map_err(io_error)?;
    for host in run.hosts() {
        writer.write_pcapng_block(interface(&host.name, &host.addr)).map_err(io_error)?;
    }
    writer.write_pcapng_block(names(run)).map_err(io_error)?;
    let epoch = Duration::from_secs(crate::sim::EPOCH_SECONDS);
    let mut written = Written { packets: 0 };
    for seen in seen {
        let frame = match seen {
            Seen::Packet(frame) => frame,
            Seen::Said(t_ns, text) => {
                writer.write_pcapng_block(journal::entry(t_ns, &text)).map_err(io_error)?;
                continue;
            }
        };
        let data = frame.bytes()?;
        written.packets += 1;
        let block = EnhancedPacketBlock {
            interface_id: frame.interface,
            timestamp: epoch + Duration::from_nanos(frame.t_ns),
            original_len: u32::try_from(data.len()).map_err(io::Error::other)?,
            data: Cow::Owned(data),
            options: vec![EnhancedPacketOption::Comment(Cow::Owned(frame.comment))],
        };
        writer.write_pcapng_block(block).map_err(io_error)?;
    }
    Ok(written)
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

fn section(run: &Recording) -> SectionHeaderBlock<'static> {
    let verdict = &run.end.verdict;
    let live = if run.header.live { "; live: not deterministic" } else { "" };
    let Header { sim, seed, .. } = &run.header;
    let comment = format!("{sim} seed {seed}: {verdict}{live}; made again by `{}`", run.reproduce);
    let program = format!("stormglass {}", env!("CARGO_PKG_VERSION"));
    let options = vec![
        SectionHeaderOption::UserApplication(Cow::Owned(program)),
        SectionHeaderOption::Comment(Cow::Owned(comment)),
    ];
    SectionHeaderBlock { endianness: Endianness::Little, options, ..SectionHeaderBlock::default() }
}

fn interface(name: &str, addr: &str) -> InterfaceDescriptionBlock<'static> {
    let description = format!("what leaves {name}, {addr}");
    InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: 0,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Owned(name.to_owned())),
            InterfaceDescriptionOption::IfDescription(Cow::Owned(description)),
            InterfaceDescriptionOption::IfTsResol(RESOLUTION),
        ],
    }
}

/// So that Wireshark can show hosts by their names.
fn names(run: &Recording) -> NameResolutionBlock<'static> {
    let record = |name: &str, addr: &str| {
        let names = vec![Cow::Owned(name.to_owned())];
        Some(match addr.parse().ok()? {
            IpAddr::V4(ip) => Record::Ipv4(Ipv4Record { ip_addr: Cow::Owned(ip.octets().to_vec()), names }),
            IpAddr::V6(ip) => Record::Ipv6(Ipv6Record { ip_addr: Cow::Owned(ip.octets().to_vec()), names }),
        })
    };
    let mut records: Vec<_> = run.hosts().iter().filter_map(|host| record(&host.name, &host.addr)).collect();
    records.push(Record::End);
    NameResolutionBlock { records, options: Vec::new() }
}

/// A packet as it was sent, with its ends understood.
struct Packet<'a> {
    sent: &'a SentLine,
    src: SocketAddr,
    dst: SocketAddr,
    /// The sender's and the receiver's places among the hosts.
    from: u32,
    to: u32,
}

/// What a capture shows.
enum Seen {
    Packet(Frame),
    /// When, since the run began, and what.
    Said(u64, String),
}

/// All that is seen, in the order of time.
fn seen(run: &Recording, wire: Option<&BTreeMap<u64, Bytes>>) -> Vec<Seen> {
    let fates = Fates::new(&run.records);
    let places: BTreeMap<&str, u32> = run.hosts().iter().map(|host| host.name.as_str()).zip(0..).collect();
    let mut packets: BTreeMap<u64, Packet<'_>> = BTreeMap::new();
    let mut connections = Connections::default();
    let begin = format!("the run of {} with seed {} begins", run.header.sim, run.header.seed);
    let mut seen = vec![Seen::Said(0, begin)];
    for record in &run.records {
        match &record.what {
            WhatLine::Sent(sent) => {
                let Some(packet) = understand(sent, &places) else { continue };
                let comment = fates.comment(record, sent.packet, 0);
                let as_it_was = wire.and_then(|wire| wire.get(&sent.packet));
                seen.push(Seen::Packet(if let Some(bytes) = as_it_was {
                    as_on_the_wire(record.t_ns, &packet, bytes, comment)
                } else if sent.transport == "udp" {
                    datagram(record.t_ns, &packet, comment)
                } else {
                    connections.sent(record.t_ns, &packet, comment)
                }));
                packets.insert(sent.packet, packet);
            }
            WhatLine::Duplicated { packet, copy } => {
                let as_it_was = wire.and_then(|wire| wire.get(packet));
                if let Some(packet) = packets.get(packet) {
                    let comment = fates.comment(record, *copy, 0);
                    seen.push(Seen::Packet(match as_it_was {
                        Some(bytes) => as_on_the_wire(record.t_ns, packet, bytes, comment),
                        None => datagram(record.t_ns, packet, comment),
                    }));
                }
            }
            WhatLine::Retransmitted { packet, attempt, len, tcp, .. } => {
                if let Some(sent) = packets.get(packet) {
                    let comment = fates.comment(record, *packet, *attempt);
                    seen.push(Seen::Packet(connections.again(record.t_ns, sent, (tcp.as_ref(), *len), comment)));
                }
            }
            WhatLine::Delivered { packet, .. } => {
                if let Some(packet) = packets.get(packet) {
                    connections.delivered(packet);
                }
            }
            _ => seen.extend(journal::words(record).map(|text| Seen::Said(record.t_ns, text))),
        }
    }
    seen
}

fn understand<'a>(sent: &'a SentLine, places: &BTreeMap<&str, u32>) -> Option<Packet<'a>> {
    let (from, to) = (*places.get(sent.from.as_str())?, *places.get(sent.to.as_str())?);
    Some(Packet { sent, src: sent.src.parse().ok()?, dst: sent.dst.parse().ok()?, from, to })
}

fn as_on_the_wire(t_ns: u64, packet: &Packet<'_>, bytes: &Bytes, comment: String) -> Frame {
    let Packet { src, dst, from, to, .. } = *packet;
    Frame { t_ns, interface: from, peer: to, src, dst, body: Body::Wire(bytes.clone()), comment }
}

fn datagram(t_ns: u64, packet: &Packet<'_>, comment: String) -> Frame {
    let body = Body::Udp { payload: frame::bytes(&packet.sent.payload_hex) };
    let Packet { src, dst, from, to, .. } = *packet;
    Frame { t_ns, interface: from, peer: to, src, dst, body, comment }
}
