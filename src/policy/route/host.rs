//! Hosts: as a rule names them, and as a request does.
//!
//! `API.acme.com`, `api.acme.com.` and `api.acme.com:443` are one host: a rule for it must not be dodged by another
//! spelling. The port is not looked at, for clients leave out the usual one. A host that cannot be brought to one
//! form is none that comes under the rules for all hosts: it is refused, where any rule names a host.
//!
//! Envoy's virtual hosts compare the host as written, with its port and trailing dot. The router therefore rejects a
//! request whose host comes under another rule as written than in normal form.

use core::net::Ipv4Addr;

use crate::authority::{read_host, split_port};
use crate::policy::route::PatternFault;

/// The hosts that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This one.
    Exact(HostName),
    /// Every one below it, at any depth, and not itself; as Envoy's `*.acme.com`.
    Below(HostName),
}

/// A host in normal form: in small letters, without port and without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

/// Where a URL or a request's `:authority` leads: a host in normal form, and the port where one is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: HostName,
    port: Option<u16>,
}

impl Authority {
    /// Reads one; `None` when it is not to be told where it leads.
    pub fn read(text: &[u8]) -> Option<Self> {
        let host = HostName(read_host(text)?.into_owned());
        let port = match split_port(std::str::from_utf8(text).ok()?).1 {
            None => None,
            Some(port) => Some(port.parse().ok()?),
        };
        Some(Self { host, port })
    }

    /// The port, where one is written.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both lead to one host, whatever the ports.
    pub fn is_same_host(&self, other: &Self) -> bool {
        self.host == other.host
    }

    /// Whether this is how it is written, and not another spelling of it.
    pub fn is_written_as(&self, text: &str) -> bool {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        text.strip_prefix(self.host.as_str()) == Some(&port)
    }

    /// Whether it is one of the hosts of a rule.
    pub fn meets(&self, pattern: &HostPattern) -> bool {
        match pattern {
            HostPattern::Exact(name) => self.host == *name,
            HostPattern::Below(name) => name.is_above(&self.host),
        }
    }
}

impl HostPattern {
    /// `api.acme.com`, `*.acme.com`, `127.0.0.1` or `[::1]`.
    ///
    /// # Errors
    /// When it is something else, or has a port.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        let (name, is_below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        if split_port(name).1.is_some() {
            return Err(PatternFault::HostPort);
        }
        let host = read_host(name.as_bytes()).ok_or(PatternFault::Host)?;
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        match (is_below, is_address) {
            (true, true) => Err(PatternFault::Host),
            (true, false) => Ok(Self::Below(HostName(host.into_owned()))),
            (false, _) => Ok(Self::Exact(HostName(host.into_owned()))),
        }
    }
}

impl HostPattern {
    /// Whether every host of `other` is one of this pattern.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(own), Self::Exact(name)) => own == name,
            (Self::Exact(_), Self::Below(_)) => false,
            (Self::Below(own), Self::Exact(name)) => own.is_above(name),
            (Self::Below(own), Self::Below(name)) => own == name || own.is_above(name),
        }
    }
}

impl HostName {
    fn is_above(&self, other: &Self) -> bool {
        other.0.strip_suffix(&self.0).is_some_and(|labels| labels.ends_with('.'))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn a_rule_names_one_host_or_all_below_one_and_no_port() {
        let exact = |name: &str| Ok(HostPattern::Exact(HostName(name.to_owned())));
        let below = |name: &str| Ok(HostPattern::Below(HostName(name.to_owned())));
        assert_eq!(HostPattern::parse("API.acme.com."), exact("api.acme.com"));
        assert_eq!(HostPattern::parse("*.Acme.com"), below("acme.com"));
        assert_eq!(HostPattern::parse("[::0:1]"), exact("[::1]"));
        for with_port in ["api.acme.com:443", "*.acme.com:443", "[::1]:443", "api.acme.com:", "localhost:http"] {
            assert_eq!(HostPattern::parse(with_port), Err(PatternFault::HostPort), "{with_port}");
        }
        for bad in ["", "*", "*.", "*.*.com", "api.*", "a*.com", "*.127.0.0.1", "*.[::1]", "é.com", "a/b"] {
            assert_eq!(HostPattern::parse(bad), Err(PatternFault::Host), "{bad}");
        }
    }
}
