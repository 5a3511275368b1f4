//! The authority of a URL or request: `host`, `host:port` or `[ipv6]:port` (RFC 3986 section 3.2).

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

/// The longest DNS name, with its trailing dot.
const MAX_NAME_BYTES: usize = 254;

/// The host of an authority in normal form: lower case, without port and trailing dot. `None` for anything that servers
/// may read differently.
pub fn read_host(authority: &[u8]) -> Option<Cow<'_, str>> {
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
    // Some servers read `127.1` and `0x7f.0.0.1` as 127.0.0.1; names do not end in a number (URL standard, section 3.5).
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

/// Host and port of an authority; the colons in the brackets of an IPv6 address separate neither.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
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

    #[test]
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
}
