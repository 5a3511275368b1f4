//! Hosts of rules and requests.
//!
//! `API.acme.com`, `api.acme.com.` and `api.acme.com:443` are one host, so that another spelling cannot bypass a rule.
//! The port is ignored, because clients omit the default port. A host that cannot be normalized must not fall through
//! to the rules for all hosts. If any rule names a host, such a request is rejected.
//!
//! Envoy's virtual hosts compare the host as written, with port and trailing dot. So the router rejects a request whose
//! host matches one rule as written and another rule in normal form.

use core::net::Ipv4Addr;

use crate::authority::{read_host, split_port};
use crate::policy::route::PatternFault;

/// The hosts that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host.
    Exact(HostName),
    /// Every subdomain at any depth, but not the host itself, like `*.acme.com` in Envoy.
    Subdomains(HostName),
}

/// A normalized host: lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

/// The authority of a URL or request: a normalized host, and the port if present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: HostName,
    port: Option<u16>,
}

impl Authority {
    /// Parses an authority. `None` if it is invalid.
    pub fn read(text: &[u8]) -> Option<Self> {
        let host = HostName(read_host(text)?.into_owned());
        let port = match split_port(std::str::from_utf8(text).ok()?).1 {
            None => None,
            Some(port) => Some(port.parse().ok()?),
        };
        Some(Self { host, port })
    }

    /// The port, if present.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both have the same host, with any port.
    pub fn is_same_host(&self, other: &Self) -> bool {
        self.host == other.host
    }

    /// Whether `text` is the normalized spelling of this authority.
    pub fn is_written_as(&self, text: &str) -> bool {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        text.strip_prefix(self.host.as_str()) == Some(&port)
    }

    /// Whether the host matches a rule's pattern.
    pub fn matches(&self, pattern: &HostPattern) -> bool {
        match pattern {
            HostPattern::Exact(name) => self.host == *name,
            HostPattern::Subdomains(name) => name.is_parent_of(&self.host),
        }
    }
}

impl HostPattern {
    /// Parses `api.acme.com`, `*.acme.com`, `127.0.0.1` or `[::1]`.
    ///
    /// # Errors
    /// If it is another form or has a port.
    pub fn parse(text: &str) -> Result<Self, PatternFault> {
        let (name, is_below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        if split_port(name).1.is_some() {
            return Err(PatternFault::HostPort);
        }
        let host = read_host(name.as_bytes()).ok_or(PatternFault::Host)?;
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        match (is_below, is_address) {
            (true, true) => Err(PatternFault::Host),
            (true, false) => Ok(Self::Subdomains(HostName(host.into_owned()))),
            (false, _) => Ok(Self::Exact(HostName(host.into_owned()))),
        }
    }

    /// Whether every host of `other` matches this pattern.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(own), Self::Exact(name)) => own == name,
            (Self::Exact(_), Self::Subdomains(_)) => false,
            (Self::Subdomains(own), Self::Exact(name)) => own.is_parent_of(name),
            (Self::Subdomains(own), Self::Subdomains(name)) => own == name || own.is_parent_of(name),
        }
    }
}

impl HostName {
    fn is_parent_of(&self, other: &Self) -> bool {
        other.0.strip_suffix(&self.0).is_some_and(|labels| labels.ends_with('.'))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_one_host_or_all_below_one_and_no_port() {
        let exact = |name: &str| Ok(HostPattern::Exact(HostName(name.to_owned())));
        let below = |name: &str| Ok(HostPattern::Subdomains(HostName(name.to_owned())));
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
