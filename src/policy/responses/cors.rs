//! Which pages of other origins may read a denial (Fetch, section 3.2). Origins are compared byte for byte, as browsers
//! write them. The configuration must contain them in this form.

use crate::authority::split_port;
use crate::http::HeaderValue;

/// The operator's CORS settings for refusals.
#[derive(Debug)]
pub struct Cors {
    pub origins: AllowedOrigins,
    /// Whether pages may read responses to requests with cookies.
    pub allow_credentials: bool,
    pub expose: HeaderValue,
}

#[derive(Debug)]
pub enum AllowedOrigins {
    /// Every origin, without credentials.
    Any,
    These(Vec<OriginPattern>),
}

/// An origin, or all origins below a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `https://app.acme.com`
    Exact(String),
    /// `https://*.acme.com`: the parts around the labels.
    Subdomains {
        /// `https://`
        prefix: String,
        /// `.acme.com`
        suffix: String,
    },
}

impl OriginPattern {
    /// Parses `scheme://host[:port]` or `scheme://*.host[:port]`.
    ///
    /// # Errors
    /// A hint, if no browser would send the origin.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str =
            "an origin such as \"https://app.acme.com\": scheme, host and port only, no path and no slash at the end";
        if text == "null" {
            return Err("`null` is the origin of every sandboxed page, local file and redirect: never to be trusted");
        }
        if text == "*" {
            return Err("`*` stands alone: it allows every origin");
        }
        if text.len() > 300 || text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
            return Err("browsers send origins in lower case, international names as `xn--…`; write it so");
        }
        let (scheme, authority) = text.split_once("://").ok_or(SHAPE)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (below, authority) = match authority.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, authority),
        };
        let (host, port) = split_port(authority);
        let is_v6 = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':'));
        if !is_scheme || !(are_labels(host) || (is_v6 && !below)) {
            return Err(SHAPE);
        }
        match (scheme, port) {
            (_, None) => {}
            ("https", Some("443")) | ("http", Some("80")) => {
                return Err("browsers leave the usual port out; leave it out too");
            }
            (_, Some(port)) if port.starts_with('0') || !port.parse::<u16>().is_ok_and(|port| port > 0) => {
                return Err(SHAPE);
            }
            (_, Some(_)) => {}
        }
        if !below {
            return Ok(Self::Exact(text.to_owned()));
        }
        if !host.contains('.') {
            return Err("`*.` and a name of at least two labels: all below a top-level domain is everybody");
        }
        Ok(Self::Subdomains { prefix: format!("{scheme}://"), suffix: format!(".{authority}") })
    }

    fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Exact(allowed) => allowed == origin,
            Self::Subdomains { prefix, suffix } => {
                let labels = origin.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
                labels.is_some_and(are_labels)
            }
        }
    }
}

impl AllowedOrigins {
    /// The value of `Access-Control-Allow-Origin` for this `Origin`, if it is allowed.
    pub fn allow_origin_header(&self, origin: &[u8]) -> Option<HeaderValue> {
        let origin = std::str::from_utf8(origin).ok()?;
        match self {
            Self::Any => HeaderValue::parse("*"),
            Self::These(patterns) => {
                let allowed = patterns.iter().any(|pattern| pattern.allows(origin));
                allowed.then(|| HeaderValue::parse(origin)).flatten()
            }
        }
    }
}

/// One or more labels of a host name in lower case.
fn are_labels(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, origin: &str) -> bool {
        let origins = AllowedOrigins::These(vec![OriginPattern::parse(pattern).unwrap()]);
        let header = origins.allow_origin_header(origin.as_bytes());
        assert!(header.as_ref().is_none_or(|header| header.as_str() == origin), "{pattern}");
        header.is_some()
    }

    #[test]
    fn origin_is_compared_exactly() {
        for origin in ["https://app.acme.com", "http://localhost:3000", "https://[::1]:8443", "capacitor://localhost"] {
            assert!(allows(origin, origin), "{origin}");
        }
        for other in [
            "https://app.acme.com.evil.example",
            "https://app.acme.co",
            "https://app.acme.com:8443",
            "https://app.acme.com/",
            "https://App.acme.com",
            "http://app.acme.com",
            "https://evilapp.acme.com",
            "https://app.acme.com, https://app.acme.com",
            "https://app.acme.com\r\nset-cookie: a=1",
            "null",
            "",
        ] {
            assert!(!allows("https://app.acme.com", other), "{other}");
        }
    }

    #[test]
    fn wildcard_matches_whole_labels_only() {
        for origin in ["https://a.acme.com", "https://a.b.acme.com", "https://xn--a-1_x.acme.com"] {
            assert!(allows("https://*.acme.com", origin), "{origin}");
        }
        for other in [
            "https://acme.com",
            "https://.acme.com",
            "https://a..acme.com",
            "https://evilacme.com",
            "https://evil.example/.acme.com",
            "https://evil.example?.acme.com",
            "https://evil.example:1.acme.com",
            "https://u@a.acme.com",
            "https://a.acme.com:8443",
            "https://a.acme.com.",
            "http://a.acme.com",
            "https://A.acme.com",
        ] {
            assert!(!allows("https://*.acme.com", other), "{other}");
        }
        assert!(allows("http://*.local.test:3000", "http://a.local.test:3000"));
        assert!(!allows("http://*.local.test:3000", "http://a.local.test:3001"));
    }

    #[test]
    fn invalid_origin_is_rejected() {
        for text in [
            "",
            "null",
            "*",
            "https://",
            "app.acme.com",
            "https://app.acme.com/",
            "https://app.acme.com/x",
            "https://APP.acme.com",
            "HTTPS://app.acme.com",
            "https://é.example",
            "https://app.acme.com:443",
            "http://app.acme.com:80",
            "https://app.acme.com:0",
            "https://app.acme.com:08",
            "https://app.acme.com:99999",
            "https://u@app.acme.com",
            "https://*",
            "https://*.com",
            "https://a*.acme.com",
            "https://*.*.acme.com",
            "https://*.[::1]",
            "https://a..b",
            "https://app.acme.com ",
            "https://a b",
            "https://a\r\nb",
            "*://acme.com",
            "https://a?b",
            "https://a#b",
        ] {
            assert!(OriginPattern::parse(text).is_err(), "{text:?}");
        }
    }
}
