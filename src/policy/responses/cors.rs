//! Which pages of other origins may read a refusal (Fetch, section 3.2). Origins are compared as browsers write them,
//! byte for byte: what would have to be normalised first is refused when it is configured.

use crate::authority::split_port;
use crate::http::HeaderValue;

/// The operator's CORS settings for refusals.
#[derive(Debug)]
pub struct Cors {
    /// Who may read.
    pub origins: AllowedOrigins,
    /// Also when the browser sent cookies.
    pub allow_credentials: bool,
    /// `Access-Control-Expose-Headers`
    pub expose: HeaderValue,
}

/// Who may read.
#[derive(Debug)]
pub enum AllowedOrigins {
    /// Every page; never with credentials.
    Any,
    /// Pages of these origins.
    These(Vec<OriginPattern>),
}

/// An origin, or all below a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `https://app.acme.com`
    Exact(String),
    /// `https://*.acme.com`: what stands before and behind the labels.
    Below {
        /// `https://`
        before: String,
        /// `.acme.com`
        behind: String,
    },
}

impl OriginPattern {
    /// Reads `scheme://host[:port]`, or `scheme://*.host[:port]`.
    ///
    /// # Errors
    /// A hint, for what no browser would send.
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
        Ok(Self::Below { before: format!("{scheme}://"), behind: format!(".{authority}") })
    }

    fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Exact(allowed) => allowed == origin,
            Self::Below { before, behind } => {
                let labels = origin.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(behind.as_str()));
                labels.is_some_and(are_labels)
            }
        }
    }
}

impl AllowedOrigins {
    /// What `Access-Control-Allow-Origin` says to a request with this one `Origin`, if it may read.
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
    use wasm_bindgen_test::wasm_bindgen_test;

    fn allows(pattern: &str, origin: &str) -> bool {
        let origins = AllowedOrigins::These(vec![OriginPattern::parse(pattern).unwrap()]);
        let answer = origins.allow_origin_header(origin.as_bytes());
        assert!(answer.as_ref().is_none_or(|answer| answer.as_str() == origin), "{pattern}");
        answer.is_some()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_origin_is_compared_whole() {
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

    #[wasm_bindgen_test(unsupported = test)]
    fn all_below_a_name_is_by_whole_labels() {
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

    #[wasm_bindgen_test(unsupported = test)]
    fn what_no_browser_sends_is_no_origin() {
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
