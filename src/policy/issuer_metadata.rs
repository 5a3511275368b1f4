//! Reads the addresses of keys and endpoints from the issuer's metadata (RFC 8414 section 3, OpenID Connect Discovery
//! 1.0 section 4).
//!
//! The document is fetched from the issuer's host through the configured upstream. It must name exactly the configured
//! issuer, and its addresses must be on the same host, so that a modified document cannot redirect callouts.

use serde_json::Value;

use crate::callout::HttpResponse;
use crate::jose::{JsonLimits, parse_object};
use crate::policy::{CalloutAddress, CalloutHeaders};

const LIMITS: JsonLimits = JsonLimits { depth: 8, members: 256 };

/// How to discover an issuer's keys and endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The issuer that the metadata must name.
    pub issuer: String,
    /// The possible addresses of the metadata, in the order of attempts.
    pub documents: Vec<CalloutAddress>,
}

impl Discovery {
    /// The metadata addresses of `issuer`. OpenID Connect appends the well-known name to the issuer (Discovery 1.0
    /// section 4). RFC 8414 section 3.1 inserts its name between host and path.
    pub fn of(issuer: &str, upstream: &str) -> Option<Self> {
        let home = CalloutAddress::parse(issuer, upstream)?;
        let path = home.path.trim_end_matches('/');
        let paths = [
            format!("{path}/.well-known/openid-configuration"),
            format!("/.well-known/oauth-authorization-server{path}"),
        ];
        let documents = paths.map(|path| CalloutAddress { path, ..home.clone() }).to_vec();
        Some(Self { issuer: issuer.to_owned(), documents })
    }

    /// Reads the address of `name`, such as `jwks_uri`, from the response to the callout for the document `at`.
    ///
    /// # Errors
    /// If there is no address, and no other document to try.
    pub fn read(&self, at: usize, response: &HttpResponse, name: &str) -> Result<DiscoveryStep, DiscoveryFault> {
        let fault = match response.status {
            200 => match address_in_metadata(&response.body, self, name) {
                Ok(address) => return Ok(DiscoveryStep::Address(address)),
                Err(fault) => fault,
            },
            400..=499 => MetadataFault::Malformed,
            status => return Err(DiscoveryFault::Status(status)),
        };
        let next = at.saturating_add(1);
        // Another issuer's document, or one with a foreign address, is no reason to try the next one.
        if fault == MetadataFault::Malformed && next < self.documents.len() {
            Ok(DiscoveryStep::Document(next))
        } else {
            Err(DiscoveryFault::Metadata(fault))
        }
    }

    /// Sets the headers of every callout.
    #[must_use]
    pub fn with_headers(self, headers: &CalloutHeaders) -> Self {
        let documents = self.documents.into_iter().map(|document| document.with_headers(headers)).collect();
        Self { documents, ..self }
    }
}

/// The address of the key set document or of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointAddress {
    /// Configured by the operator or the Okta preset.
    Known(CalloutAddress),
    /// Read from the issuer's metadata. It must be on the issuer's host.
    Discovered(Discovery),
}

impl EndpointAddress {
    /// Sets the headers of every callout.
    #[must_use]
    pub fn with_headers(self, headers: &CalloutHeaders) -> Self {
        match self {
            Self::Known(address) => Self::Known(address.with_headers(headers)),
            Self::Discovered(discovery) => Self::Discovered(discovery.with_headers(headers)),
        }
    }

    /// The host's name for its upstream.
    pub fn upstream(&self) -> Option<&str> {
        let address = match self {
            Self::Known(address) => Some(address),
            Self::Discovered(discovery) => discovery.documents.first(),
        };
        address.map(|address| &*address.upstream)
    }

    /// The parts that identify it: the issuer of the metadata, or the address itself.
    pub fn identity(&self) -> impl Iterator<Item = String> {
        let (issuer, address) = match self {
            Self::Known(address) => (None, Some(address)),
            Self::Discovered(discovery) => (Some(discovery.issuer.clone()), discovery.documents.first()),
        };
        issuer.into_iter().chain(address.into_iter().flat_map(CalloutAddress::identity))
    }
}

/// Where the response to a metadata callout leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscoveryStep {
    /// To this address.
    Address(CalloutAddress),
    /// To the document with this index.
    Document(usize),
}

/// Why a metadata callout leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryFault {
    /// The status is neither 200 nor 4xx.
    Status(u16),
    /// The metadata yields no address.
    Metadata(MetadataFault),
}

/// Why the metadata yields no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetadataFault {
    /// No metadata address responded with 200 and a JSON object.
    Malformed,
    /// The document describes another issuer (RFC 8414 section 3.3).
    IssuerMismatch,
    /// The document has no usable address of this name.
    NoAddress,
    /// The address is on another host than the issuer, or is not https.
    ForeignAddress,
}

/// The address of `name` in a metadata document.
fn address_in_metadata(document: &[u8], discovery: &Discovery, name: &str) -> Result<CalloutAddress, MetadataFault> {
    let members = parse_object(document, LIMITS).map_err(|_| MetadataFault::Malformed)?;
    if members.get("issuer").and_then(Value::as_str) != Some(discovery.issuer.as_str()) {
        return Err(MetadataFault::IssuerMismatch);
    }
    let base = discovery.documents.first().ok_or(MetadataFault::Malformed)?;
    let address = members
        .get(name)
        .and_then(single_string)
        .and_then(|uri| CalloutAddress::parse(uri, &base.upstream))
        .map(|address| address.with_headers(&base.headers))
        .ok_or(MetadataFault::NoAddress)?;
    let is_same_origin = address.scheme == base.scheme && address.authority == base.authority;
    if is_same_origin { Ok(address) } else { Err(MetadataFault::ForeignAddress) }
}

/// A string, or a list of one string: some serializers write every member as a list.
fn single_string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(items) if items.len() == 1 => items.first().and_then(Value::as_str),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderName;
    use crate::redacted::Redacted;
    use serde_json::json;

    fn address(document: &Value) -> Result<String, MetadataFault> {
        let discovery = Discovery::of("https://idp.example/realms/a", "idp").unwrap();
        address_in_metadata(document.to_string().as_bytes(), &discovery, "jwks_uri").map(|address| address.to_string())
    }

    #[test]
    fn metadata_addresses_follow_both_standards() {
        let paths = |issuer| {
            Discovery::of(issuer, "idp").unwrap().documents.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            paths("https://idp.example/realms/a"),
            [
                "https://idp.example/realms/a/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server/realms/a"
            ]
        );
        let at_the_root = [
            "https://idp.example/.well-known/openid-configuration",
            "https://idp.example/.well-known/oauth-authorization-server",
        ];
        assert_eq!(paths("https://idp.example"), at_the_root);
        assert_eq!(paths("https://idp.example/"), at_the_root);
    }

    #[test]
    fn key_address_is_read_from_the_issuers_document() {
        let document = json!({ "issuer": "https://idp.example/realms/a", "jwks_uri": "https://idp.example/keys?x=1", "other": [1] });
        assert_eq!(address(&document).as_deref(), Ok("https://idp.example/keys?x=1"));
        let listed = json!({ "issuer": "https://idp.example/realms/a", "jwks_uri": ["https://idp.example/keys"] });
        assert_eq!(address(&listed).as_deref(), Ok("https://idp.example/keys"));
    }

    #[test]
    fn address_from_metadata_keeps_the_headers_of_its_upstream() {
        let field = (HeaderName::parse("x-waf-key").unwrap(), Redacted::new(String::from("a")));
        let headers = CalloutHeaders::new(vec![field]);
        let discovery = Discovery::of("https://idp.example", "idp").unwrap().with_headers(&headers);
        assert!(discovery.documents.iter().all(|document| document.headers == headers));
        let document = br#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/k"}"#;
        assert_eq!(address_in_metadata(document, &discovery, "jwks_uri").unwrap().headers, headers);
    }

    #[test]
    fn address_is_read_from_its_own_member_only() {
        let discovery = Discovery::of("https://idp.example", "idp").unwrap();
        let document = br#"{"issuer":"https://idp.example","introspection_endpoint":"https://idp.example/i"}"#;
        let address = |name| address_in_metadata(document, &discovery, name).map(|address| address.path);
        assert_eq!(address("introspection_endpoint").as_deref(), Ok("/i"));
        assert_eq!(address("jwks_uri"), Err(MetadataFault::NoAddress));
    }

    /// The issuer is compared exactly (RFC 8414 section 3.3), addresses by RFC 3986 section 6.2.
    #[test]
    fn equivalent_spelling_of_the_issuers_host_is_accepted() {
        let with = |uri: &str| address(&json!({ "issuer": "https://idp.example/realms/a", "jwks_uri": uri }));
        for uri in ["https://IDP.example/k", "https://idp.example:443/k", "HTTPS://idp.example/%6b"] {
            assert_eq!(with(uri).as_deref(), Ok("https://idp.example/k"), "{uri}");
        }
        let issuer = json!({ "issuer": "https://IDP.example/realms/a", "jwks_uri": "https://idp.example/k" });
        assert_eq!(address(&issuer), Err(MetadataFault::IssuerMismatch));
    }

    #[test]
    fn document_of_another_issuer_and_foreign_addresses_are_rejected() {
        let with = |issuer: Value, uri: Value| address(&json!({ "issuer": issuer, "jwks_uri": uri }));
        let own_issuer = || json!("https://idp.example/realms/a");
        for issuer in [
            json!("https://idp.example/realms/a/"),
            json!("https://evil.example"),
            json!(null),
            json!(["https://idp.example/realms/a"]),
        ] {
            assert_eq!(
                with(issuer.clone(), json!("https://idp.example/k")),
                Err(MetadataFault::IssuerMismatch),
                "{issuer}"
            );
        }
        let two = json!(["https://idp.example/k", "https://idp.example/k2"]);
        for uri in [json!(null), json!([]), two, json!([null]), json!(5), json!("keys"), json!("")] {
            assert_eq!(with(own_issuer(), uri.clone()), Err(MetadataFault::NoAddress), "{uri}");
        }
        for uri in [
            "https://evil.example/k",
            "http://idp.example/k",
            "https://idp.example:8443/k",
            "https://idp.example.evil/k",
        ] {
            assert_eq!(with(own_issuer(), json!(uri)), Err(MetadataFault::ForeignAddress), "{uri}");
        }
        assert_eq!(address(&json!([])), Err(MetadataFault::Malformed));
        let discovery = Discovery::of("https://idp.example", "idp").unwrap();
        let twice =
            br#"{"issuer":"https://idp.example","issuer":"https://idp.example","jwks_uri":"https://idp.example/k"}"#;
        assert_eq!(address_in_metadata(twice, &discovery, "jwks_uri"), Err(MetadataFault::Malformed));
    }
}
