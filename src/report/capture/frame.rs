//! One packet as bytes: Ethernet, IP, and UDP or TCP.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use etherparse::{PacketBuilder, PacketBuilderStep, TcpOptionElement};

/// Windows are told in steps of 128 bytes.
const WINDOW_SCALE: u8 = 7;
const SEGMENT_BYTES_MAX: u16 = 1_460;
const HOPS: u8 = 64;

/// A packet that is seen.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Since the run began.
    pub(super) t_ns: u64,
    /// The place of the host that it leaves, and of the one that it is for.
    pub(super) interface: u32,
    pub(super) peer: u32,
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    pub(super) body: Body,
    pub(super) comment: String,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Udp {
        payload: Vec<u8>,
    },
    Tcp(Segment),
    /// An IPv4 packet as it was on the wire.
    Wire(Bytes),
}

/// A TCP segment; `ack` is set on all but a first SYN.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    /// In bytes.
    pub(super) window: u64,
    pub(super) sacks: Vec<(u32, u32)>,
    /// Its own stamp, and the one that it answers.
    pub(super) stamps: Option<(u32, u32)>,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        if let Body::Wire(packet) = &self.body {
            const IPV4: [u8; 2] = [8, 0];
            return Ok([&mac(self.peer)[..], &mac(self.interface), &IPV4, packet].concat());
        }
        let ethernet = PacketBuilder::ethernet2(mac(self.interface), mac(self.peer));
        let ip = match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => ethernet.ipv4(src.octets(), dst.octets(), HOPS),
            (IpAddr::V6(src), IpAddr::V6(dst)) => ethernet.ipv6(src.octets(), dst.octets(), HOPS),
            _ => return Err(io::Error::other(format!("{} and {} are of two families", self.src, self.dst))),
        };
        let mut bytes = Vec::new();
        let written = match &self.body {
            Body::Udp { payload } => ip.udp(self.src.port(), self.dst.port()).write(&mut bytes, payload),
            Body::Wire(_) => Ok(()),
            Body::Tcp(segment) => {
                segment.over(ip, (self.src.port(), self.dst.port()))?.write(&mut bytes, &segment.payload)
            }
        };
        written.map_err(io::Error::other)?;
        Ok(bytes)
    }
}

impl Segment {
    fn over(
        &self,
        ip: PacketBuilderStep<etherparse::IpHeaders>,
        (src, dst): (u16, u16),
    ) -> io::Result<PacketBuilderStep<etherparse::TcpHeader>> {
        // The window of a SYN is not scaled; of others, what is not a whole step is rounded up: only nothing is nothing.
        let window = if self.syn { self.window } else { self.window.div_ceil(1 << WINDOW_SCALE) };
        let mut tcp = ip.tcp(src, dst, self.seq, u16::try_from(window).unwrap_or(u16::MAX));
        if self.syn {
            tcp = tcp.syn();
        }
        tcp = tcp.options(&self.options()).map_err(io::Error::other)?;
        if let Some(ack) = self.ack {
            tcp = tcp.ack(ack);
        }
        if !self.payload.is_empty() {
            tcp = tcp.psh();
        }
        if self.fin {
            tcp = tcp.fin();
        }
        if self.rst {
            tcp = tcp.rst();
        }
        Ok(tcp)
    }

    /// As Linux orders them.
    fn options(&self) -> Vec<TcpOptionElement> {
        use TcpOptionElement::{
            MaximumSegmentSize, Noop, SelectiveAcknowledgement, SelectiveAcknowledgementPermitted, Timestamp,
            WindowScale,
        };
        let mut options = Vec::new();
        if self.syn {
            options.extend([MaximumSegmentSize(SEGMENT_BYTES_MAX), SelectiveAcknowledgementPermitted]);
        } else if self.stamps.is_some() {
            options.extend([Noop, Noop]);
        }
        options.extend(self.stamps.map(|(own, echo)| Timestamp(own, echo)));
        if self.syn {
            options.extend([Noop, WindowScale(WINDOW_SCALE)]);
        }
        if let Some((first, rest)) = self.sacks.split_first() {
            let rest = [0, 1, 2].map(|place| rest.get(place).copied());
            options.extend([Noop, Noop, SelectiveAcknowledgement(*first, rest)]);
        }
        options
    }
}

/// The address of a host's interface: locally administered, and its place.
fn mac(place: u32) -> [u8; 6] {
    let [a, b, c, d] = (place + 1).to_be_bytes();
    [2, 0, a, b, c, d]
}

/// What a record's payload says in hexadecimal.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
