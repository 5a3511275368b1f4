//! The issuer's metadata (RFC 8414 section 3, OpenID Connect Discovery 1.0 section 4) -> the address of
//! its keys.
//!
//! The document is fetched from the issuer's own host through the configured upstream, must name exactly the
//! configured issuer, and may only point to that same host: whoever can alter it cannot send us elsewhere.

use serde_json::Value;

use crate::jose::{JsonLimits, parse_object};
use crate::keys::fetch::MetadataFault;
use crate::policy::{CalloutAddress, Discovery};

const LIMITS: JsonLimits = JsonLimits { depth: 8, members: 256 };

/// The key address that a metadata document gives.
pub(super) fn key_address(document: &[u8], discovery: &Discovery) -> Result<CalloutAddress, MetadataFault> {
    let members = parse_object(document, LIMITS).map_err(|_| MetadataFault::Malformed)?;
    if members.get("issuer").and_then(Value::as_str) != Some(discovery.issuer.as_str()) {
        return Err(MetadataFault::IssuerMismatch);
    }
    let home = discovery.documents.first().ok_or(MetadataFault::Malformed)?;
    let address = members
        .get("jwks_uri")
        .and_then(Value::as_str)
        .and_then(|uri| CalloutAddress::parse(uri, &home.upstream))
        .ok_or(MetadataFault::NoKeyAddress)?;
    let is_at_home = address.scheme == home.scheme && address.authority.eq_ignore_ascii_case(&home.authority);
    if is_at_home { Ok(address) } else { Err(MetadataFault::ForeignKeyAddress) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn address(document: &Value) -> Result<String, MetadataFault> {
        let discovery = Discovery::of("https://idp.example/realms/a", "idp").unwrap();
        key_address(document.to_string().as_bytes(), &discovery).map(|address| address.to_string())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_key_address_is_taken_from_the_issuers_own_document() {
        let document = json!({ "issuer": "https://idp.example/realms/a", "jwks_uri": "https://idp.example/keys?x=1", "other": [1] });
        assert_eq!(address(&document).as_deref(), Ok("https://idp.example/keys?x=1"));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn another_issuers_document_and_foreign_addresses_are_refused() {
        let with = |issuer: Value, uri: Value| address(&json!({ "issuer": issuer, "jwks_uri": uri }));
        let ours = || json!("https://idp.example/realms/a");
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
        for uri in [json!(null), json!(5), json!("keys"), json!("")] {
            assert_eq!(with(ours(), uri.clone()), Err(MetadataFault::NoKeyAddress), "{uri}");
        }
        for uri in [
            "https://evil.example/k",
            "http://idp.example/k",
            "https://idp.example:8443/k",
            "https://idp.example.evil/k",
        ] {
            assert_eq!(with(ours(), json!(uri)), Err(MetadataFault::ForeignKeyAddress), "{uri}");
        }
        assert_eq!(address(&json!([])), Err(MetadataFault::Malformed));
        let discovery = Discovery::of("https://idp.example", "idp").unwrap();
        let twice =
            br#"{"issuer":"https://idp.example","issuer":"https://idp.example","jwks_uri":"https://idp.example/k"}"#;
        assert_eq!(key_address(twice, &discovery), Err(MetadataFault::Malformed));
    }
}
