//! Hosts: as a rule names them, and as a request does.
//!
//! `API.acme.com`, `api.acme.com.` and `api.acme.com:443` are one host: a rule for it must not be dodged by another
//! spelling. The port is not looked at, for clients leave out the usual one. A host that cannot be brought to one
//! form is none that comes under the rules for all hosts: it is refused, where any rule names a host.
//!
//! Envoy's virtual hosts compare the host as written, with its port and trailing dot. The router therefore rejects a
//! request whose host comes under another rule as written than in normal form.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

use crate::policy::route::PatternFault;

/// The longest name that DNS knows, with its dot at the end.
const LONGEST_NAME: usize = 254;

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

/// The host that a request's `:authority` names, in normal form; `None` when that is not to be told.
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
    if host.len() > LONGEST_NAME {
        return None;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_name = name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_label_byte));
    // `127.1` and `0x7f.0.0.1` are the address 127.0.0.1 for some; names do not end in a number (URL standard, 3.5).
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

/// The host and what stands behind its last colon; the colons of an IPv6 address are its own.
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
    fn every_spelling_of_a_host_is_that_host() {
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
    fn what_is_not_plainly_a_host_is_none() {
        let long = format!("{}co.", "a.".repeat(126));
        for odd in [
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
            assert_eq!(read_host(odd.as_bytes()), None, "{odd:?}");
        }
        assert_eq!(read_host(b"api\xff.acme.com"), None);
    }

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
