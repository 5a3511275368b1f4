//! IP addresses and address ranges.
//!
//! An IPv4-mapped address (`::ffff:10.0.0.1`, as a dual-stack listener sees it) is that IPv4 address. `core::net` has the
//! types without the sockets of `std::net`.

use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::borrow::Cow;

/// A range of addresses, `10.0.0.0/8`; one address is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// As IPv6, without host bits.
    base: u128,
    /// Of the 128.
    prefix: u32,
}

impl Network {
    /// Rejects host bits that are set (`10.1.2.3/8`): they are more likely a mistake than meant.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, unused) = match address {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        let prefix = match prefix {
            None => bits,
            Some(digits) if is_plain_number(digits) => digits.parse::<u32>().ok().filter(|prefix| *prefix <= bits)?,
            Some(_) => return None,
        };
        let prefix = prefix.checked_add(unused)?;
        let base = as_bits(address);
        (base & mask(prefix) == base).then_some(Self { base, prefix })
    }

    pub fn contains(self, address: IpAddr) -> bool {
        as_bits(address) & mask(self.prefix) == self.base
    }
}

/// Whether that address, with or without a port, is in one of the ranges; `None` when it is not an address.
pub(super) fn is_in(address: &str, networks: &[Network]) -> Option<bool> {
    let address = parse_address(address)?;
    Some(networks.iter().any(|network| network.contains(address)))
}

/// `10.0.0.1`, `10.0.0.1:80`, `::1`, `[::1]` or `[::1]:80`.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// An address of Envoy, with an IPv4-mapped one (`[::ffff:10.0.0.1]:80`) as IPv4.
pub(super) fn without_mapping(text: &str) -> Cow<'_, str> {
    let mapped = text.strip_prefix('[').and_then(|_| text.parse::<SocketAddrV6>().ok());
    let address = mapped.and_then(|address| Some((address.ip().to_ipv4_mapped()?, address.port())));
    address.map_or(Cow::Borrowed(text), |(address, port)| Cow::Owned(format!("{address}:{port}")))
}

/// Digits alone, without leading zero: `parse` also accepts `+8` and `08`.
fn is_plain_number(digits: &str) -> bool {
    digits.bytes().all(|digit| digit.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'))
}

fn as_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `prefix` bits of 128.
fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or_default()
}
