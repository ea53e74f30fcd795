//! One packet as bytes: Ethernet, IP, and UDP or TCP.

use std::io;
use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, PacketBuilderStep, TcpOptionElement};

/// The window that every segment advertises, in bytes: half of it, scaled by one bit.
pub const WINDOW_BYTES: u32 = 65_536;

const WINDOW_SCALE: u8 = 1;
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
    /// Whether the run does not have it.
    pub(super) is_filled_in: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Udp { payload: Vec<u8> },
    Tcp(Segment),
}

/// A TCP segment; `ack` is set on all but a first SYN.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let ethernet = PacketBuilder::ethernet2(mac(self.interface), mac(self.peer));
        let ip = match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => ethernet.ipv4(src.octets(), dst.octets(), HOPS),
            (IpAddr::V6(src), IpAddr::V6(dst)) => ethernet.ipv6(src.octets(), dst.octets(), HOPS),
            _ => return Err(io::Error::other(format!("{} and {} are of two families", self.src, self.dst))),
        };
        let mut bytes = Vec::new();
        let written = match &self.body {
            Body::Udp { payload } => ip.udp(self.src.port(), self.dst.port()).write(&mut bytes, payload),
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
        // The window of a SYN is not scaled.
        let window = if self.syn { u16::MAX } else { u16::try_from(WINDOW_BYTES >> WINDOW_SCALE).unwrap_or(u16::MAX) };
        let mut tcp = ip.tcp(src, dst, self.seq, window);
        if self.syn {
            let options =
                [TcpOptionElement::MaximumSegmentSize(SEGMENT_BYTES_MAX), TcpOptionElement::WindowScale(WINDOW_SCALE)];
            tcp = tcp.syn().options(&options).map_err(io::Error::other)?;
        }
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
