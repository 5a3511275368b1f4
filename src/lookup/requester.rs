//! For whom a call is made: the address of a client, or a name that its credential proves, of which only a hash is kept and
//! shared; and what the credential is known to be.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::encoding::hex;

/// One client, for fair shares of calls. Hashes of addresses and of client ids never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requester([u8; 16]);

/// Which part of the limit a call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BudgetClass {
    /// For a credential that nobody can make up: it was accepted before, or its signature is valid.
    Established,
    /// For any string.
    Unknown,
}

/// For whom a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Of the credential.
    pub class: BudgetClass,
    /// Whose share of the calls it counts against; `None`: unknown, and only the common limit applies.
    pub requester: Option<Requester>,
}

impl BudgetClass {
    /// Both classes.
    pub(crate) const ALL: [Self; 2] = [Self::Established, Self::Unknown];
}

impl From<BudgetClass> for Caller {
    fn from(class: BudgetClass) -> Self {
        Self { class, requester: None }
    }
}

/// One value for each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PerClass<T> {
    pub(crate) established: T,
    pub(crate) unknown: T,
}

impl<T> PerClass<T> {
    pub(crate) const fn get(&self, class: BudgetClass) -> &T {
        match class {
            BudgetClass::Established => &self.established,
            BudgetClass::Unknown => &self.unknown,
        }
    }

    pub(crate) const fn get_mut(&mut self, class: BudgetClass) -> &mut T {
        match class {
            BudgetClass::Established => &mut self.established,
            BudgetClass::Unknown => &mut self.unknown,
        }
    }
}

/// The sender of a request with an unknown credential, as far as the host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The address was not requested from the host yet, and can be.
    NotRequested,
    /// The host has no address. All such requests share the common limit.
    Anonymous,
    /// Requests of one address, or of one network of IPv6.
    Known(Requester),
}

impl Requester {
    /// The client at an address with or without port, as hosts write it; `None` if it is no IP address. An IPv6 client
    /// has a /64 to choose addresses from, so that all of it counts as one.
    pub fn at_address(property: &[u8]) -> Option<Self> {
        let network = match without_port(std::str::from_utf8(property).ok()?)?.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)),
        };
        Some(Self::of(b"address:", &network.octets()))
    }

    /// All requests whose address can no longer be read from the host, as one client.
    fn of_the_rest() -> Self {
        Self::of(b"rest:", b"")
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The client of that name, among those of its kind.
    pub fn of(kind: &[u8], name: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(kind);
        hasher.update(name);
        let digest: [u8; 32] = hasher.finalize().into();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

impl Sender {
    /// The sender by the host's property, which is empty without an address; `None`: it was not requested.
    pub(crate) fn at_address(property: Option<&[u8]>) -> Self {
        match property {
            None => Self::NotRequested,
            Some(address) => Requester::at_address(address).map_or(Self::Anonymous, Self::Known),
        }
    }

    /// That of a parked request: the host can be asked only while the callback of its head runs.
    pub(crate) fn settled(self) -> Self {
        match self {
            Self::NotRequested => Self::Known(Requester::of_the_rest()),
            Self::Anonymous | Self::Known(_) => self,
        }
    }
}

/// Enough to distinguish two.
impl fmt::Debug for Requester {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Requester({})", hex(self.0.get(..4).unwrap_or_default()))
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `::1` or `[::1]:80`.
fn without_port(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<Requester> {
        Requester::at_address(address.as_bytes())
    }

    #[test]
    fn ports_and_spellings_of_one_address_are_one_requester() {
        for (one, other) in [
            ("192.0.2.1:1234", "192.0.2.1"),
            ("192.0.2.1:0", "192.0.2.1:65535"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
            ("[2001:db8::1]:80", "2001:db8::ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(at(one), at(other), "{one} {other}");
            assert!(at(one).is_some(), "{one}");
        }
    }

    #[test]
    fn other_addresses_and_other_networks_are_other_requesters() {
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_ne!(at("192.0.2.1"), Some(Requester::of_the_rest()));
        for other in ["", "localhost:80", "/run/envoy.sock", "@/abstract", "envoy://internal", "192.0.2.1:", "\u{ff}"] {
            assert_eq!(at(other), None, "{other}");
        }
        assert_eq!(Requester::at_address(b"\xff\xfe"), None);
    }
}
