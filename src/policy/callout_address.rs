//! The address of a callout: the host's name for the upstream, and the parts of the URL. It is built from the
//! configuration and the issuer's metadata only, never from a token.
//!
//! Addresses are normalized (RFC 3986 sections 6.2.2 and 6.2.3: case of scheme and host, default port, escapes), so
//! that equivalent addresses are equal. Issuers are not addresses: `iss` and the `issuer` of metadata are compared
//! exactly (RFC 8414 section 3.3).

use std::fmt;

use super::callout_headers::CalloutHeaders;
use crate::authority::split_port;
use crate::encoding::{is_unreserved, percent_encode, percent_escape};

/// An address that the host can fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalloutAddress {
    /// The host's name for the upstream: an Envoy cluster.
    pub upstream: String,
    /// `https`, or `http` if the operator allows it explicitly.
    pub scheme: Scheme,
    /// `:authority`: host and optional port.
    pub authority: String,
    /// `:path`: path and optional query.
    pub path: String,
    pub headers: CalloutHeaders,
}

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// The scheme in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl CalloutAddress {
    /// The normalized address of `url` via `upstream`. `None` unless it is an absolute `http` or `https` URL of
    /// printable ASCII without user information and fragment.
    pub fn parse(url: &str, upstream: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "https" => (Scheme::Https, ":443"),
            "http" => (Scheme::Http, ":80"),
            _ => return None,
        };
        let (authority, path) = match rest.find(['/', '?']) {
            None => (rest, String::from("/")),
            Some(at) => {
                let (authority, path) = rest.split_at(at);
                (authority, if path.starts_with('?') { format!("/{path}") } else { path.to_owned() })
            }
        };
        let is_printable = url.bytes().all(|byte| byte.is_ascii_graphic());
        let is_plain = !url.contains(['#', '\\', '"', '<', '>', '{', '}']) && !authority.contains('@');
        (is_printable && is_plain && is_authority(authority)).then(|| Self {
            upstream: upstream.to_owned(),
            scheme,
            authority: authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase(),
            path: normal_escapes(&path),
            headers: CalloutHeaders::default(),
        })
    }

    #[must_use]
    pub fn with_headers(self, headers: &CalloutHeaders) -> Self {
        Self { headers: headers.clone(), ..self }
    }

    /// The parts that identify the address. The workers of a process share fetched documents by them.
    pub fn identity(&self) -> impl Iterator<Item = String> {
        let headers = self.headers.configured().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
        [self.upstream.clone(), self.to_string()].into_iter().chain(headers)
    }
}

/// Decodes escapes of unreserved characters and writes the others in upper case (RFC 3986 sections 6.2.2.1, 6.2.2.2).
fn normal_escapes(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut parts = text.split('%');
    normal.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match percent_escape(part.as_bytes()) {
            Some((byte, _)) => {
                normal.push_str(&percent_encode(&[byte], |_, byte| is_unreserved(byte)));
                normal.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                normal.push('%');
                normal.push_str(part);
            }
        }
    }
    normal
}

/// `host`, `host:port` or `[v6]:port`.
fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    let is_host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => {
            !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.')
        }
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

impl fmt::Display for CalloutAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme.as_str(), self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_url_is_split_into_its_parts() {
        let address =
            CalloutAddress::parse("https://acme.okta.com:8443/oauth2/default/v1/keys?client_id=0oa1", "okta").unwrap();
        assert_eq!(address.authority, "acme.okta.com:8443");
        assert_eq!(address.path, "/oauth2/default/v1/keys?client_id=0oa1");
        assert_eq!(address.scheme, Scheme::Https);
        assert_eq!(CalloutAddress::parse("http://[::1]:80", "x").unwrap().path, "/");
        assert_eq!(CalloutAddress::parse("https://a?b", "x").unwrap().path, "/?b");
    }

    #[test]
    fn only_equivalent_addresses_are_equal() {
        let parse = |url| CalloutAddress::parse(url, "idp").unwrap();
        let address = parse("https://idp.example/keys/~a?x=%2F");
        for equivalent in [
            "HTTPS://idp.example/keys/~a?x=%2F",
            "https://IDP.Example/keys/~a?x=%2F",
            "https://idp.example:443/keys/~a?x=%2F",
            "https://idp.example/%6beys/%7Ea?x=%2f",
        ] {
            assert_eq!(parse(equivalent), address, "{equivalent}");
        }
        for other in [
            "http://idp.example/keys/~a?x=%2F",
            "https://idp.example:80/keys/~a?x=%2F",
            "https://idp.example:8443/keys/~a?x=%2F",
            "https://idp.example./keys/~a?x=%2F",
            "https://idp.example/Keys/~a?x=%2F",
            "https://idp.example/keys/~a/?x=%2F",
            "https://idp.example/keys/~a?x=/",
            "https://idp.example/keys%2F~a?x=%2F",
            "https://idp.example/keys/%257Ea?x=%2F",
        ] {
            assert_ne!(parse(other), address, "{other}");
        }
        assert_eq!(parse("http://idp.example:80/"), parse("http://idp.example"));
        assert_eq!(parse("https://[::A]:443/"), parse("https://[::a]"));
        for unchanged in ["/%", "/%4", "/%+1", "/%zz", "/a%"] {
            let url = format!("https://idp.example{unchanged}");
            assert_eq!(CalloutAddress::parse(&url, "idp").unwrap().path, unchanged);
        }
    }

    #[test]
    fn invalid_url_is_rejected() {
        for url in [
            "",
            "acme.okta.com",
            "ftp://a",
            "https://",
            "https:///x",
            "https://user@a/",
            "https://a/#f",
            "https://a/\r\nx: y",
            "https://a b/",
            "https://{yourOktaDomain}/",
            "https://a:0/",
            "https://a:99999/",
            "https://a:x/",
            "https://é/",
            "https://[]/",
            "https://:1/",
        ] {
            assert_eq!(CalloutAddress::parse(url, "x"), None, "{url:?}");
        }
    }
}
