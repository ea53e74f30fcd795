//! What a new network namespace needs to be told: that its loopback is up, and which address its device has. By rtnetlink
//! (rtnetlink(7)), so that no `ip` has to be there.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, recv, send, socket_with};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const ERROR: u16 = 2;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE_EXCLUSIVE: u16 = 0x200 | 0x400;
const UP: u32 = 1;
const MTU: u16 = 4;
const QUEUE_PACKETS: u16 = 13;
const PEER: u16 = 1;
const LOCAL: u16 = 2;
const HEADER_BYTES: usize = 16;

/// A conversation with the kernel about the network namespace of this thread.
pub(super) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket })
    }

    /// Sets a device up, with settings of its own.
    pub(super) fn up(&self, device: &str, settings: &[(Setting, u32)]) -> io::Result<()> {
        let index = index(device)?;
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(UP.to_ne_bytes());
        body.extend(UP.to_ne_bytes());
        for (setting, value) in settings {
            attribute(&mut body, setting.number(), &value.to_ne_bytes());
        }
        self.ask(NEW_LINK, 0, &body)
    }

    /// Gives a device an address; `prefix` bits of it name what can be reached through the device.
    pub(super) fn address(&self, device: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let index = index(device)?;
        // IPv4, universe.
        let mut body = vec![2, prefix, 0, 0];
        body.extend(index.to_ne_bytes());
        attribute(&mut body, LOCAL, &address.octets());
        attribute(&mut body, PEER, &address.octets());
        self.ask(NEW_ADDRESS, CREATE_EXCLUSIVE, &body)
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        send(&self.socket, &message(kind, flags | REQUEST_ACK, body), SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (length, _) = recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
        understand(&answer[..length])
    }
}

/// What of a device is set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setting {
    Mtu,
    QueuePackets,
}

impl Setting {
    fn number(self) -> u16 {
        match self {
            Self::Mtu => MTU,
            Self::QueuePackets => QUEUE_PACKETS,
        }
    }
}

fn index(device: &str) -> io::Result<u32> {
    let any = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::name_to_index(any, device)?)
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).expect("it is short");
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // A sequence number, and the port of the sender, which the kernel knows.
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("it is short");
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// An acknowledgement is an error whose number is 0.
fn understand(answer: &[u8]) -> io::Result<()> {
    let strange = || io::Error::other("the kernel gave no answer that netlink has");
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let number = answer.get(HEADER_BYTES..HEADER_BYTES + 4).and_then(|bytes| bytes.try_into().ok());
    match (kind, number.map(i32::from_ne_bytes)) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(number)) => Err(io::Error::from_raw_os_error(-number)),
        _ => Err(strange()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_netlink_7_lays_them_out() {
        let mut body = Vec::new();
        attribute(&mut body, LOCAL, &[10, 0, 0]);
        assert_eq!(body, [&7_u16.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &[10, 0, 0, 0]].concat(), "padded to four");
        let bytes = message(NEW_LINK, 5, &body);
        assert_eq!((bytes.len(), &bytes[..4]), (24, &24_u32.to_ne_bytes()[..]));
    }

    #[test]
    fn an_error_has_the_kernels_number() {
        let answer = |number: i32| [message(ERROR, 0, &number.to_ne_bytes()), vec![0; 16]].concat();
        assert!(understand(&answer(0)).is_ok());
        assert_eq!(understand(&answer(-17)).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(understand(&[0; 3]).is_err());
    }
}
