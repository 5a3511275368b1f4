//! Reads the addresses of keys and endpoints from the issuer's metadata (RFC 8414 section 3, OpenID Connect Discovery
//! 1.0 section 4).
//!
//! The document is fetched from the issuer's host through the configured upstream. It must name exactly the configured
//! issuer, and its addresses must be on the same host, so that a modified document cannot redirect callouts.

use serde_json::Value;

use crate::jose::{JsonLimits, parse_object};
use crate::policy::{CalloutAddress, Discovery};

const LIMITS: JsonLimits = JsonLimits { depth: 8, members: 256 };

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

/// The address of `name` in a metadata document, such as `jwks_uri`.
///
/// # Errors
/// If the document is not the issuer's, or the address is missing or foreign.
pub fn address_in_metadata(
    document: &[u8],
    discovery: &Discovery,
    name: &str,
) -> Result<CalloutAddress, MetadataFault> {
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
    use crate::policy::CalloutHeaders;
    use crate::redacted::Redacted;
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn address(document: &Value) -> Result<String, MetadataFault> {
        let discovery = Discovery::of("https://idp.example/realms/a", "idp").unwrap();
        address_in_metadata(document.to_string().as_bytes(), &discovery, "jwks_uri").map(|address| address.to_string())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn key_address_is_read_from_the_issuers_document() {
        let document = json!({ "issuer": "https://idp.example/realms/a", "jwks_uri": "https://idp.example/keys?x=1", "other": [1] });
        assert_eq!(address(&document).as_deref(), Ok("https://idp.example/keys?x=1"));
        let listed = json!({ "issuer": "https://idp.example/realms/a", "jwks_uri": ["https://idp.example/keys"] });
        assert_eq!(address(&listed).as_deref(), Ok("https://idp.example/keys"));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn address_from_metadata_keeps_the_headers_of_its_upstream() {
        let field = (HeaderName::parse("x-waf-key").unwrap(), Redacted::new(String::from("a")));
        let headers = CalloutHeaders::new(vec![field]);
        let discovery = Discovery::of("https://idp.example", "idp").unwrap().with_headers(&headers);
        assert!(discovery.documents.iter().all(|document| document.headers == headers));
        let document = br#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/k"}"#;
        assert_eq!(address_in_metadata(document, &discovery, "jwks_uri").unwrap().headers, headers);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn address_is_read_from_its_own_member_only() {
        let discovery = Discovery::of("https://idp.example", "idp").unwrap();
        let document = br#"{"issuer":"https://idp.example","introspection_endpoint":"https://idp.example/i"}"#;
        let address = |name| address_in_metadata(document, &discovery, name).map(|address| address.path);
        assert_eq!(address("introspection_endpoint").as_deref(), Ok("/i"));
        assert_eq!(address("jwks_uri"), Err(MetadataFault::NoAddress));
    }

    /// The issuer is compared exactly (RFC 8414 section 3.3), addresses by RFC 3986 section 6.2.
    #[wasm_bindgen_test(unsupported = test)]
    fn equivalent_spelling_of_the_issuers_host_is_accepted() {
        let with = |uri: &str| address(&json!({ "issuer": "https://idp.example/realms/a", "jwks_uri": uri }));
        for uri in ["https://IDP.example/k", "https://idp.example:443/k", "HTTPS://idp.example/%6b"] {
            assert_eq!(with(uri).as_deref(), Ok("https://idp.example/k"), "{uri}");
        }
        let issuer = json!({ "issuer": "https://IDP.example/realms/a", "jwks_uri": "https://idp.example/k" });
        assert_eq!(address(&issuer), Err(MetadataFault::IssuerMismatch));
    }

    #[wasm_bindgen_test(unsupported = test)]
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
