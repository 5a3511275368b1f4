//! Hosts of rules and requests.
//!
//! `API.acme.com`, `api.acme.com.` and `api.acme.com:443` are one host, so that another spelling cannot bypass a rule.
//! The port is ignored, because clients omit the default port. A host that cannot be normalized must not fall through
//! to the rules for all hosts. If any rule names a host, such a request is rejected.
//!
//! Envoy's virtual hosts compare the host as written, with port and trailing dot. So the router rejects a request whose
//! host matches one rule as written and another rule in normal form.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

use crate::policy::route::PatternFault;

/// The longest name of DNS, with its trailing dot.
const MAX_NAME_BYTES: usize = 254;

/// The hosts that a rule matches.
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
}

impl HostPattern {
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

    /// The normalized name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The normalized host of a request's `:authority`. `None` if it is invalid.
pub(in crate::policy) fn read_host(authority: &[u8]) -> Option<Cow<'_, str>> {
    let (host, port) = split_port(std::str::from_utf8(authority).ok()?);
    // No client sends an empty port, and servers disagree whether `acme.com:` is `acme.com`.
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    if host.len() > MAX_NAME_BYTES {
        return None;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_name = name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_label_byte));
    // Some read `127.1` and `0x7f.0.0.1` as the address 127.0.0.1. Names do not end in a number (URL standard, 3.5).
    let last_label = name.rsplit('.').next().unwrap_or_default();
    let ends_in_number = last_label.bytes().all(|byte| byte.is_ascii_digit()) || is_hexadecimal(last_label);
    if !is_name || (ends_in_number && name.parse::<Ipv4Addr>().is_err()) {
        return None;
    }
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) })
}

fn is_hexadecimal(label: &str) -> bool {
    let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The host, and the part after the last colon unless it is inside an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test(unsupported = test)]
    fn all_spellings_of_a_host_are_normalized() {
        let spellings = ["api.acme.com", "API.acme.COM", "api.acme.com.", "api.acme.com:443", "Api.Acme.Com.:8443"];
        for spelling in spellings {
            assert_eq!(read_host(spelling.as_bytes()).as_deref(), Some("api.acme.com"), "{spelling}");
        }
        for (spelling, host) in [("[::1]", "[::1]"), ("[0:0::0:1]:443", "[::1]"), ("[FE80::A]", "[fe80::a]")] {
            assert_eq!(read_host(spelling.as_bytes()).as_deref(), Some(host), "{spelling}");
        }
        let longest = format!("{}c.", "a.".repeat(126));
        assert_eq!(read_host(longest.as_bytes()).as_deref(), longest.strip_suffix('.'));
        assert_eq!(read_host(b"127.0.0.1:80").as_deref(), Some("127.0.0.1"));
        assert_eq!(read_host(b"orders_v2").as_deref(), Some("orders_v2"));
        assert_eq!(read_host(b"4.acme.com").as_deref(), Some("4.acme.com"));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn invalid_host_is_rejected() {
        let long = format!("{}co.", "a.".repeat(126));
        for invalid in [
            "",
            ".",
            ":443",
            "api.acme.com..",
            ".api.acme.com",
            "api..acme.com",
            "api.acme.com:x",
            "api.acme.com:",
            "api.acme.com.:",
            "[::1]:",
            "api.acme.com:443:443",
            "user@api.acme.com",
            "api.acme.com/x",
            "api.acme.com,evil.com",
            "api.acme.com evil.com",
            "api%2eacme.com",
            "api\u{3002}acme.com",
            "*.acme.com",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "127.0.0.01",
            "1.2.3.4.5",
            "a.0x",
            "::1",
            "[::1",
            "[]",
            "[::1%25eth0]",
            "[::1]x",
            "x[::1]",
            "api.acme.com\0",
            &long,
        ] {
            assert_eq!(read_host(invalid.as_bytes()), None, "{invalid:?}");
        }
        assert_eq!(read_host(b"api\xff.acme.com"), None);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn host_pattern_is_a_host_or_wildcard_without_port() {
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
