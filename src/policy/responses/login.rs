//! The sign-in page to which a rule redirects browsers. Only the configuration selects it, never a field of a request:
//! with a forged `Host` header an attacker could redirect users to any site.

use crate::policy::callout_address::{CalloutAddress, Scheme};
use crate::policy::token_source::ParamName;

/// The application's sign-in page.
#[derive(Debug)]
pub struct Login {
    /// The URL of the page.
    pub address: LoginAddress,
    /// The parameter with the original URL of the browser.
    pub return_to: ParamName,
    /// The origin of that URL.
    pub return_base: Option<ReturnBase>,
    /// Query parameters that carry credentials and are removed from that URL.
    pub credential_params: Vec<ParamName>,
}

/// An `https` URL, which may have a query. `http` is accepted for the local machine only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginAddress(String);

impl LoginAddress {
    /// The URL, or `None` if it is invalid.
    pub fn parse(url: &str) -> Option<Self> {
        let is_safe = url.len() <= 2048 && parts(url).is_some();
        is_safe.then(|| Self(url.to_owned()))
    }

    /// The URL with additional parameters. Their values are already encoded.
    pub fn with(&self, params: &[(&str, String)]) -> String {
        let mut url = self.0.clone();
        for (name, value) in params {
            let has_query = url.contains('?');
            if !has_query {
                url.push('?');
            } else if !url.ends_with(['?', '&']) {
                url.push('&');
            }
            url.push_str(name);
            url.push('=');
            url.push_str(value);
        }
        url
    }

    /// Whether its query has a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        let query = self.0.split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|param| param.split('=').next() == Some(name))
    }
}

/// An origin such as `https://shop.acme.com`, for absolute return URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnBase(String);

impl ReturnBase {
    /// The origin, or `None` if it is invalid.
    pub fn parse(url: &str) -> Option<Self> {
        let parts = parts(url)?;
        let is_origin = url.len() == parts.scheme.as_str().len() + "://".len() + parts.authority.len();
        is_origin.then(|| Self(url.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parts of a URL that is safe as a redirect target: https, or the local machine.
fn parts(url: &str) -> Option<CalloutAddress> {
    let parts = CalloutAddress::parse(url, "")?;
    let is_host =
        |name: &str| parts.authority.strip_prefix(name).is_some_and(|port| port.is_empty() || port.starts_with(':'));
    let is_safe = match parts.scheme {
        Scheme::Https => true,
        Scheme::Http => ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| is_host(name)),
    };
    is_safe.then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_in_page_must_be_https_or_local() {
        for url in
            ["https://app.acme.com/login", "https://a:8443/?x=1", "http://localhost:3000/login", "http://[::1]:1/"]
        {
            assert!(LoginAddress::parse(url).is_some(), "{url}");
        }
        for url in [
            "",
            "/login",
            "//app.acme.com/login",
            "http://app.acme.com/login",
            "http://localhost.evil.example/",
            "javascript:alert(1)",
            "https://u@app.acme.com/",
            "https://app.acme.com/#x",
            "https://app.acme.com/\r\nx: y",
            "https://app.acme.com/a b",
            "http://localhost@evil.example/",
            "https:\\\\app.acme.com",
            "https://",
        ] {
            assert_eq!(LoginAddress::parse(url), None, "{url}");
        }
        assert!(
            ReturnBase::parse("https://shop.acme.com").is_some()
                && ReturnBase::parse("http://localhost:8080").is_some()
        );
        for url in [
            "https://shop.acme.com/",
            "https://shop.acme.com/x",
            "https://shop.acme.com?x",
            "http://shop.acme.com",
            "shop.acme.com",
        ] {
            assert_eq!(ReturnBase::parse(url), None, "{url}");
        }
    }

    #[test]
    fn query_of_the_sign_in_page_is_kept() {
        let params = [("a", "1".to_owned()), ("b", "2".to_owned())];
        for (url, expected) in [
            ("https://x.example", "https://x.example?a=1&b=2"),
            ("https://x.example/l?c=3", "https://x.example/l?c=3&a=1&b=2"),
            ("https://x.example/l?", "https://x.example/l?a=1&b=2"),
            ("https://x.example/l?c=3&", "https://x.example/l?c=3&a=1&b=2"),
        ] {
            let address = LoginAddress::parse(url).unwrap();
            assert_eq!(address.with(&params), expected);
            assert_eq!(address.with(&[]), url);
            assert_eq!(address.has("c"), url.contains("c=3"));
            assert!(!address.has("3") && !address.has("a"));
        }
    }
}
