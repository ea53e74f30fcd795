//! A part of the addresses that there are, as `10.0.0.0/8` writes it (RFC 4632, RFC 4291).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    addr: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Whether the address is one of its. An IPv4 address that an IPv6 socket shows as `::ffff:10.0.0.1` is that IPv4
    /// address.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(addr)) => {
                (own.to_bits() ^ addr.to_bits()).checked_shr(32 - self.prefix_bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(addr)) => {
                (own.to_bits() ^ addr.to_bits()).checked_shr(128 - self.prefix_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a network such as \"10.0.0.0/8\" or \"fd00::/8\", or one address";
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| format!("`{text}` does not begin with an address: {expected}"))?;
        let bits_max = if addr.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits_max,
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|bits| *bits <= bits_max && prefix.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or_else(|| format!("`{text}` does not end with a number of bits up to {bits_max}: {expected}"))?,
        };
        Ok(Self { addr, prefix_bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_networks_whose_bits_it_begins_with() {
        let contains = |network: &str, addr: &str| {
            network.parse::<Network>().expect(network).contains(addr.parse().expect("an address"))
        };
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.9.9.9", "9.1.2.3"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.0/31", "192.0.2.1", "192.0.2.2"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            assert!(contains(network, inside), "{inside} is in {network}");
            assert!(!contains(network, outside), "{outside} is not in {network}");
        }
        assert!(contains("0.0.0.0/0", "255.1.2.3") && contains("::/0", "ffff::") && !contains("0.0.0.0/0", "::1"));
    }

    #[test]
    fn what_is_no_network_says_what_one_is() {
        for (text, reason) in [
            ("10.0.0/8", "does not begin with an address"),
            ("local", "does not begin with an address"),
            ("10.0.0.0/33", "a number of bits up to 32"),
            ("10.0.0.0/+8", "a number of bits up to 32"),
            ("10.0.0.0/", "a number of bits up to 32"),
            ("::/129", "a number of bits up to 128"),
        ] {
            let error = text.parse::<Network>().expect_err(text);
            assert!(error.contains(reason) && error.contains("\"10.0.0.0/8\""), "{error}");
        }
        assert_eq!("10.0.0.0/8".parse::<Network>().expect("it is one").to_string(), "10.0.0.0/8");
    }
}
