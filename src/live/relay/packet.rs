//! IPv4 packets as they come from a device, understood as far as a relay must.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// A packet, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    pub(super) body: Body,
    /// Where in the packet its payload is.
    pub(super) payload: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A datagram; where its checksum is.
    Udp {
        checksum: usize,
    },
    Tcp(Segment),
    /// Anything else, by its name: also a later piece of a datagram.
    Other(&'static str),
}

/// A TCP header as it is on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// Not scaled yet.
    pub(super) window: u16,
    pub(super) scale: Option<u8>,
    pub(super) sacks: Vec<(u32, u32)>,
    /// Its own stamp, and the one that it answers.
    pub(super) stamps: Option<(u32, u32)>,
}

/// Understands a packet; `None`: it is none of IPv4.
pub(super) fn understand(bytes: &[u8]) -> Option<Seen> {
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if *bytes.first()? >> 4 != 4 {
        return None;
    }
    let header = usize::from(bytes[0] & 15) * 4;
    let end = usize::from(word(2)?).min(bytes.len());
    let ip = |at: usize| Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?)));
    let (src, dst) = (ip(12)?, ip(16)?);
    let other = |name| Seen {
        src: SocketAddr::new(src, 0),
        dst: SocketAddr::new(dst, 0),
        body: Body::Other(name),
        payload: header.min(end)..end,
    };
    if word(6)? & 0x1fff != 0 {
        return Some(other("fragment"));
    }
    let ends = || Some((SocketAddr::new(src, word(header)?), SocketAddr::new(dst, word(header + 2)?)));
    match *bytes.get(9)? {
        UDP => {
            let (src, dst) = ends()?;
            let payload = (header + 8).min(end)..end;
            Some(Seen { src, dst, body: Body::Udp { checksum: header + 6 }, payload })
        }
        TCP => {
            let (src, dst) = ends()?;
            let (segment, length) = Segment::understand(bytes.get(header..end)?)?;
            Some(Seen { src, dst, body: Body::Tcp(segment), payload: (header + length).min(end)..end })
        }
        ICMP => Some(other("ICMP")),
        _ => Some(other("other")),
    }
}

impl Segment {
    /// The header, and how long it is.
    fn understand(bytes: &[u8]) -> Option<(Self, usize)> {
        let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let length = usize::from(bytes.get(12)? >> 4) * 4;
        let flags = *bytes.get(13)?;
        let mut segment = Self {
            seq: number(4)?,
            ack: if flags & 16 == 0 { None } else { Some(number(8)?) },
            syn: flags & 2 != 0,
            fin: flags & 1 != 0,
            rst: flags & 4 != 0,
            window: u16::from_be_bytes(bytes.get(14..16)?.try_into().ok()?),
            ..Self::default()
        };
        segment.take_options(bytes.get(20..length).unwrap_or_default());
        Some((segment, length))
    }

    fn take_options(&mut self, mut options: &[u8]) {
        while let [kind, rest @ ..] = options {
            match kind {
                0 => return,
                1 => options = rest,
                _ => {
                    let Some(length) = rest.first().map(|length| usize::from(*length)).filter(|length| *length >= 2)
                    else {
                        return;
                    };
                    let Some(value) = options.get(2..length) else { return };
                    self.take_option(*kind, value);
                    options = &options[length..];
                }
            }
        }
    }

    fn take_option(&mut self, kind: u8, value: &[u8]) {
        let pairs = || value.chunks_exact(8).map(|pair| (number(&pair[..4]), number(&pair[4..])));
        match kind {
            3 => self.scale = value.first().map(|scale| (*scale).min(14)),
            5 => self.sacks = pairs().collect(),
            8 => self.stamps = pairs().next(),
            _ => {}
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The packet with a bit of its payload flipped, and without the checksum by which its receiver would tell.
pub(super) fn flipped(bytes: &[u8], payload: usize, checksum: usize, bit: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = usize::try_from(bit / 8).map_or(usize::MAX, |byte| payload + byte);
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1 << (bit % 8);
    }
    // Of UDP over IPv4, 0 says that there is none (RFC 768).
    bytes.get_mut(checksum..checksum + 2).into_iter().for_each(|checksum| checksum.fill(0));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(protocol: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + rest.len()).unwrap().to_be_bytes();
        let mut bytes = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
        bytes.extend([10, 88, 0, 1, 10, 88, 0, 2]);
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn a_datagram_is_understood_and_a_bit_of_it_flipped() {
        let bytes = ip(UDP, &[&[0x1f, 0x90, 0, 53, 0, 10, 0xab, 0xcd][..], b"hi"].concat());
        let seen = understand(&bytes).unwrap();
        assert_eq!((seen.src.to_string(), seen.dst.to_string()), ("10.88.0.1:8080".into(), "10.88.0.2:53".into()));
        assert_eq!((&bytes[seen.payload.clone()], seen.body), (&b"hi"[..], Body::Udp { checksum: 26 }));
        let other = flipped(&bytes, seen.payload.start, 26, 9);
        assert_eq!((&other[28..], &other[26..28]), (&b"hk"[..], &[0, 0][..]));
    }

    #[test]
    fn a_segment_is_understood_with_its_options() {
        let options = [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 3, 3, 7, 1, 5, 10, 0, 0, 0, 20, 0, 0, 0, 30, 1, 1];
        let head = [0x1f, 0x90, 0, 53, 0, 0, 0, 5, 0, 0, 0, 6, 12 << 4, 0x12, 2, 0, 0, 0, 0, 0];
        let bytes = ip(TCP, &[&head[..], &options, b"data"].concat());
        let seen = understand(&bytes).unwrap();
        let Body::Tcp(segment) = seen.body else { panic!("no segment") };
        let expected = Segment {
            seq: 5,
            ack: Some(6),
            syn: true,
            window: 512,
            scale: Some(7),
            sacks: vec![(20, 30)],
            stamps: Some((7, 9)),
            ..Segment::default()
        };
        assert_eq!((segment, &bytes[seen.payload]), (expected, &b"data"[..]));
    }

    #[test]
    fn what_is_cut_off_or_of_another_kind_does_no_harm() {
        let whole = ip(TCP, &[[0; 12].as_slice(), &[0xf0, 2], &[0; 6], &[8, 200, 1]].concat());
        for length in 0..whole.len() {
            let _ = understand(&whole[..length]);
        }
        assert_eq!(understand(&[0x60; 40]), None, "IPv6");
        assert_eq!(understand(&ip(ICMP, &[3, 3])).map(|seen| seen.body), Some(Body::Other("ICMP")));
        let mut piece = ip(UDP, &[0; 8]);
        piece[7] = 3;
        assert_eq!(understand(&piece).map(|seen| seen.body), Some(Body::Other("fragment")));
    }
}
