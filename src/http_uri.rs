//! `http` and `https` URIs in normal form (RFC 3986 section 6.2.2 and 6.2.3), to compare the URI that a client signed with that
//! of its request.

use std::fmt;

use crate::authority::{read_host, split_port};
use crate::encoding::{is_pchar, is_unreserved, percent_escape, push_percent_escape};

/// A URI without query and fragment, in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUri {
    pub origin: HttpOrigin,
    pub path: String,
}

/// Scheme, host and port in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOrigin {
    pub is_https: bool,
    pub host: String,
    pub port: u16,
}

impl HttpUri {
    /// Parses an absolute URI; query and fragment are ignored. `None`: it is none, or names a user.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        Some(Self { origin: HttpOrigin::of(scheme, authority)?, path: normal_path(path.as_bytes())? })
    }
}

impl HttpOrigin {
    /// Parses `https://host` or `https://host:port`, and nothing behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Self::of(scheme, authority)
    }

    fn of(scheme: &str, authority: &str) -> Option<Self> {
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let host = read_host(authority.as_bytes())?.into_owned();
        let port = match split_port(authority).1 {
            None => default_port(is_https),
            Some(port) => port.parse().ok()?,
        };
        Some(Self { is_https, host, port })
    }

    /// Whether a request with this `:authority` was sent to it. A request without a port was sent to the default one.
    pub fn is_of_authority(&self, authority: &[u8]) -> bool {
        let port = std::str::from_utf8(authority).ok().and_then(|text| split_port(text).1);
        let has_port = match port {
            None => self.port == default_port(self.is_https),
            Some(port) => port.parse() == Ok(self.port),
        };
        has_port && self.is_of_host(authority)
    }

    /// Whether a request with this `:authority` was sent to its host, at any port.
    pub fn is_of_host(&self, authority: &[u8]) -> bool {
        read_host(authority).is_some_and(|host| host == self.host)
    }
}

impl fmt::Display for HttpOrigin {
    /// As browsers write it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.host)?;
        if self.port == default_port(self.is_https) { Ok(()) } else { write!(formatter, ":{}", self.port) }
    }
}

const fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

/// The path of a URI or `:path` without query and fragment: escapes in upper case and only where one is needed, no dot
/// segments. `None`: it does not begin with a slash, or an escape is incomplete.
pub fn normal_path(target: &[u8]) -> Option<String> {
    let path = target.split(|byte| *byte == b'?' || *byte == b'#').next().unwrap_or_default();
    let mut rest = if path.is_empty() { b"/" } else { path };
    if rest.first() != Some(&b'/') {
        return None;
    }
    let mut text = String::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        rest = after;
        let byte = if *first == b'%' {
            let (byte, after) = percent_escape(after)?;
            rest = after;
            byte
        } else {
            *first
        };
        let is_plain = if *first == b'%' { is_unreserved(byte) } else { byte == b'/' || is_pchar(byte) };
        if is_plain {
            text.push(char::from(byte));
        } else {
            push_percent_escape(&mut text, byte);
        }
    }
    Some(without_dot_segments(&text))
}

/// RFC 3986 section 5.2.4, of an absolute path.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => {
                kept.push(other);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    let length = kept.iter().map(|segment| segment.len().saturating_add(1)).sum();
    kept.into_iter().fold(String::with_capacity(length), |text, segment| text + "/" + segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_that_rfc_3986_calls_equal_are_equal() {
        let normal = HttpUri::parse("https://api.acme.com/a/b%2Fc/~d").unwrap();
        for equal in [
            "HTTPS://API.Acme.com/a/b%2Fc/~d",
            "https://api.acme.com:443/a/b%2fc/%7Ed",
            "https://api.acme.com./a/b%2Fc/~d",
            "https://api.acme.com/%61/b%2Fc/~d",
            "https://api.acme.com/x/../a/./b%2Fc/~d",
            "https://api.acme.com/x/%2e%2e/a/b%2Fc/~d",
            "https://api.acme.com/../a/b%2Fc/~d",
            "https://api.acme.com/a/b%2Fc/~d?q=1",
            "https://api.acme.com/a/b%2Fc/~d#f",
            "https://api.acme.com/a/b%2Fc/~d?q=/../#f?",
        ] {
            assert_eq!(HttpUri::parse(equal), Some(normal.clone()), "{equal}");
        }
        for other in [
            "http://api.acme.com/a/b%2Fc/~d",
            "https://api.acme.com:8443/a/b%2Fc/~d",
            "https://api.acme.com:80/a/b%2Fc/~d",
            "https://acme.com/a/b%2Fc/~d",
            "https://api.acme.com/a/b/c/~d",
            "https://api.acme.com/A/b%2Fc/~d",
            "https://api.acme.com/a/b%2Fc/~d/",
            "https://api.acme.com//a/b%2Fc/~d",
            "https://api.acme.com/a//b%2Fc/~d",
            "https://api.acme.com/a/b%252Fc/~d",
            "https://api.acme.com/a/b%2Fc/~d%3Fq",
        ] {
            assert_ne!(HttpUri::parse(other), Some(normal.clone()), "{other}");
            assert!(HttpUri::parse(other).is_some(), "{other}");
        }
    }

    #[test]
    fn the_root_and_characters_that_need_an_escape_have_one_spelling() {
        let path = |text: &str| HttpUri::parse(text).map(|uri| uri.path);
        for root in
            ["https://a.b", "https://a.b/", "https://a.b?q", "https://a.b#f", "https://a.b/.", "https://a.b/x/.."]
        {
            assert_eq!(path(root).as_deref(), Some("/"), "{root}");
        }
        assert_eq!(path("https://a.b/{é|\"}").as_deref(), Some("/%7B%C3%A9%7C%22%7D"));
        assert_eq!(path("https://a.b/%7b%c3%a9%7c%22%7d").as_deref(), Some("/%7B%C3%A9%7C%22%7D"));
        assert_eq!(path("https://a.b/a/..").as_deref(), Some("/"));
        assert_eq!(path("https://a.b/a/b/..").as_deref(), Some("/a/"));
        assert_eq!(path("https://a.b/a/b/.").as_deref(), Some("/a/b/"));
        assert_eq!(path("https://a.b/...").as_deref(), Some("/..."));
    }

    #[test]
    fn what_is_no_http_uri_is_none() {
        for none in [
            "",
            "/a",
            "api.acme.com/a",
            "//api.acme.com/a",
            "ftp://api.acme.com/a",
            "https:/api.acme.com",
            "https://",
            "https:///a",
            "https://user@api.acme.com/a",
            "https://api.acme.com:/a",
            "https://api.acme.com:x/a",
            "https://api.acme.com:99999/a",
            "https://api.acme.com/%",
            "https://api.acme.com/%4",
            "https://api.acme.com/%zz",
            "https://api acme.com/",
            "https://api.acme.com\\x/a",
            " https://api.acme.com/a",
        ] {
            assert_eq!(HttpUri::parse(none), None, "{none}");
        }
    }

    #[test]
    fn an_origin_has_no_path_and_knows_the_requests_that_were_sent_to_it() {
        let origin = HttpOrigin::parse("https://API.acme.com").unwrap();
        for same in ["api.acme.com", "API.acme.com:443", "api.acme.com."] {
            assert!(origin.is_of_authority(same.as_bytes()), "{same}");
        }
        for other in ["api.acme.com:80", "api.acme.com:", "acme.com", "", "api.acme.com:x"] {
            assert!(!origin.is_of_authority(other.as_bytes()), "{other}");
        }
        assert!(origin.is_of_host(b"api.acme.com:8443"));
        for none in ["https://api.acme.com/", "https://api.acme.com?q", "https://api.acme.com#f", "api.acme.com"] {
            assert_eq!(HttpOrigin::parse(none), None, "{none}");
        }
    }
}
