//! Whose address a request comes from, when it may have come through a proxy.
//!
//! Neighbours: the listeners and REST ask it, throttles and connection limits count by its
//! `AddressKey`. It never believes a header of a peer that the settings do not trust.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// More hops than any chain of proxies has; what is left of them is not looked at.
const HOPS_MAX: usize = 16;

/// A range of addresses, as `10.0.0.0/8` or `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether the address lies in the range. IPv4 written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not an address or a range such as 10.0.0.0/8");
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base = base.parse::<IpAddr>().map_err(|_| wrong())?.to_canonical();
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest { Err(wrong()) } else { Ok(Self { base, prefix }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The proxies whose `X-Forwarded-For` is believed. Empty by default: then the header is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<Cidr>);

impl TrustedProxies {
    /// The client's address: the socket's peer, or what the trusted proxies say. `forwarded` are
    /// the values of `X-Forwarded-For` in the order of the head. Each proxy appends whom it heard
    /// from, so the list is read from its end, and only as far as its writers are trusted: what a
    /// client wrote itself stands to the left of the first untrusted hop.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut client = peer.to_canonical();
        let hops = forwarded.rev().flat_map(|value| value.rsplit(','));
        for hop in hops.take(HOPS_MAX) {
            if !self.trusts(client) {
                break;
            }
            match parse_hop(hop.trim()) {
                Some(address) => client = address.to_canonical(),
                None => break,
            }
        }
        client
    }

    /// Whether this is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }
}

/// An address, with or without a port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    hop.parse::<IpAddr>()
        .or_else(|_| hop.parse::<std::net::SocketAddr>().map(|address| address.ip()))
        .ok()
}

/// What limits by address count by: an IPv4 address, or the /64 of an IPv6 address, because one
/// household or one machine holds a whole /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey(u128);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() & (u128::MAX << 64)),
        }
    }
}

impl AddressKey {
    /// As it is kept on disk.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From what `to_bytes` gave.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::V6(Ipv6Addr::from_bits(self.0)).to_canonical().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(ranges: &[&str]) -> TrustedProxies {
        TrustedProxies(ranges.iter().map(|range| range.parse().unwrap()).collect())
    }

    #[test]
    fn the_header_is_read_from_its_end_and_only_as_far_as_it_is_trusted() {
        // (trusted ranges, peer, X-Forwarded-For values, whose address it is)
        let cases: &[(&[&str], &str, &[&str], &str)] = &[
            (&[], "1.1.1.1", &["2.2.2.2"], "1.1.1.1"),
            (&[], "1.1.1.1", &[], "1.1.1.1"),
            (&["10.0.0.0/8"], "1.1.1.1", &["2.2.2.2"], "1.1.1.1"),
            (&["10.0.0.0/8"], "10.0.0.1", &[], "10.0.0.1"),
            (&["10.0.0.0/8"], "10.0.0.1", &["2.2.2.2"], "2.2.2.2"),
            // the client's own claim stands left of its address and is not believed
            (&["10.0.0.0/8"], "10.0.0.1", &["9.9.9.9, 2.2.2.2"], "2.2.2.2"),
            (&["10.0.0.0/8"], "10.0.0.1", &["9.9.9.9", "2.2.2.2"], "2.2.2.2"),
            // a chain of trusted proxies
            (&["10.0.0.0/8"], "10.0.0.1", &["2.2.2.2, 10.0.0.9"], "2.2.2.2"),
            (&["10.0.0.0/8"], "10.0.0.1", &["2.2.2.2 ,10.0.0.9", "10.0.0.8"], "2.2.2.2"),
            (&["10.0.0.0/8"], "10.0.0.1", &["9.9.9.9, 2.2.2.2, 10.0.0.9"], "2.2.2.2"),
            // nonsense ends the reading at the last address that was vouched for
            (&["10.0.0.0/8"], "10.0.0.1", &["2.2.2.2, unknown"], "10.0.0.1"),
            (&["10.0.0.0/8"], "10.0.0.1", &[""], "10.0.0.1"),
            // ports, IPv6, IPv4 written as IPv6
            (&["10.0.0.0/8"], "::ffff:10.0.0.1", &["2.2.2.2:55"], "2.2.2.2"),
            (&["fd00::/8"], "fd00::1", &["[2001:db8::5]:443"], "2001:db8::5"),
            (&["127.0.0.1", "::1"], "::1", &["2.2.2.2, 127.0.0.1"], "2.2.2.2"),
        ];
        for (ranges, peer, values, expected) in cases {
            let client = proxies(ranges).client(peer.parse().unwrap(), values.iter().copied());
            assert_eq!(client.to_string(), *expected, "{ranges:?} {peer} {values:?}");
        }
    }

    #[test]
    fn a_chain_longer_than_the_bound_ends_the_reading() {
        let header = vec!["10.0.0.2"; HOPS_MAX].join(",");
        let header = format!("2.2.2.2,{header}");
        let client = proxies(&["10.0.0.0/8"])
            .client("10.0.0.1".parse().unwrap(), [header.as_str()].into_iter());
        assert_eq!(client.to_string(), "10.0.0.2");
    }

    #[test]
    fn a_range_holds_its_ends_and_nothing_beside_them() {
        let range: Cidr = "10.1.0.0/16".parse().unwrap();
        assert!(range.contains("10.1.0.0".parse().unwrap()));
        assert!(range.contains("10.1.255.255".parse().unwrap()));
        assert!(!range.contains("10.2.0.0".parse().unwrap()));
        assert!(!range.contains("::1".parse().unwrap()));
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("255.255.255.255".parse().unwrap()));
        let one: Cidr = "::1".parse().unwrap();
        assert!(one.contains("::1".parse().unwrap()) && !one.contains("::2".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/x", "host/8", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_household_counts_once() {
        let key = |text: &str| AddressKey::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_eq!(key("1.2.3.4"), key("::ffff:1.2.3.4"));
        assert_ne!(key("1.2.3.4"), key("1.2.3.5"));
        assert_eq!(key("1.2.3.4").to_string(), "1.2.3.4");
    }
}
