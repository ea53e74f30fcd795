//! Addresses and names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::sim::socket::{self, Machine};

/// What an address was written as.
#[derive(Clone, Debug)]
pub enum Written {
    /// Addresses.
    Addresses(Vec<SocketAddr>),
    /// A name, and a port.
    Name(String, u16),
    /// `host:port`.
    Text(String),
}

/// What can be written for an address: all that tokio's trait of this name takes.
pub trait ToSocketAddrs {
    /// What was written.
    fn written(&self) -> Written;
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn written(&self) -> Written {
        (**self).written()
    }
}

impl ToSocketAddrs for str {
    fn written(&self) -> Written {
        self.parse().map_or_else(|_| Written::Text(self.to_owned()), |addr| Written::Addresses(vec![addr]))
    }
}

impl ToSocketAddrs for String {
    fn written(&self) -> Written {
        self.as_str().written()
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn written(&self) -> Written {
        let name = |_| Written::Name(self.0.to_owned(), self.1);
        self.0.parse().map_or_else(name, |ip| Written::Addresses(vec![SocketAddr::new(ip, self.1)]))
    }
}

impl ToSocketAddrs for (String, u16) {
    fn written(&self) -> Written {
        (self.0.as_str(), self.1).written()
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn written(&self) -> Written {
        Written::Addresses(self.to_vec())
    }
}

/// Of types that are one address each.
macro_rules! addresses {
    ($($type:ty),*) => {
        $(impl ToSocketAddrs for $type {
            fn written(&self) -> Written {
                Written::Addresses(vec![(*self).into()])
            }
        })*
    };
}

addresses!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl Written {
    /// What it stands for in a run.
    pub(super) fn simulated(self, machine: &Machine) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Addresses(addresses) => Ok(addresses),
            Self::Name(name, port) => machine.resolve(&name, port),
            Self::Text(text) => {
                let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
                let (name, port) =
                    text.rsplit_once(':').ok_or_else(|| invalid(format!("`{text}` is not host:port")))?;
                let port = port.parse().map_err(|_| invalid(format!("`{port}` in `{text}` is not a port")))?;
                machine.resolve(name, port)
            }
        }
    }

    /// What it stands for in the run of this thread, if there is one.
    pub(super) fn here(&self) -> io::Result<Option<Vec<SocketAddr>>> {
        socket::machine()?.map(|machine| self.clone().simulated(&machine)).transpose()
    }

    /// What it stands for outside of one.
    pub(super) async fn real(self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Addresses(addresses) => Ok(addresses),
            Self::Name(name, port) => Ok(tokio::net::lookup_host((name, port)).await?.collect()),
            Self::Text(text) => Ok(tokio::net::lookup_host(text).await?.collect()),
        }
    }
}

/// Tries one address after the other.
pub(super) fn first<T>(
    addresses: &[SocketAddr],
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addresses {
        match attempt(*addr) {
            Ok(made) => return Ok(made),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(nowhere))
}

pub(super) fn nowhere() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any address")
}

/// The addresses that a name and a port stand for.
pub async fn lookup_host(host: impl ToSocketAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let written = host.written();
    let addresses = match written.here()? {
        Some(addresses) => addresses,
        None => written.real().await?,
    };
    Ok(addresses.into_iter())
}
