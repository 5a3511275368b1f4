//! Which issuers a provider may have.

use okta_proxy_wasm::config;
use okta_proxy_wasm::http::RequestHead;
use serde_json::{Value, json};

use super::{asking, environment, faults, provider};

/// A provider of this issuer whose keys are at a configured address.
fn with_keys(issuer: &str) -> Value {
    json!({ "issuer": issuer, "audiences": ["a"], "upstream": "idp", "jwks": { "uri": "https://idp.example/keys" } })
}

#[test]
fn issuer_is_any_string_when_no_address_is_derived_from_it() {
    for issuer in [
        "accounts.google.com",
        "acme.com",
        "issuer@project.iam.gserviceaccount.com",
        "urn:acme:idp",
        "my issuer",
        "http://idp.internal/realms/a",
        "https://idp.example/?tenant=a",
        "https://idp.example/#a",
        "kubernetes/serviceaccount",
        "Ausstellerin für alle",
    ] {
        let document = provider(with_keys(issuer));
        let loaded = config::load(document.to_string().as_bytes(), &config::no_environment).unwrap();
        assert_eq!(loaded.warnings, [""; 0], "{issuer}");
        assert!(loaded.policy.providers.of_issuer(issuer).is_some(), "{issuer}");
    }
}

#[test]
fn issuer_must_be_an_https_url_when_an_address_is_derived_from_it() {
    for issuer in ["accounts.google.com", "http://idp.internal", "https://idp.example/?tenant=a"] {
        let mut members = with_keys(issuer);
        members["jwks"] = json!({ "refresh": "1h" });
        let found = faults(&provider(members.clone()));
        assert_eq!(found.len(), 1, "{issuer}: {found:?}");
        assert!(found[0].starts_with("$.providers.okta.issuer: the keys cannot be found by this issuer"), "{found:?}");
        members["jwks"] = json!({ "uri": "https://idp.example/keys" });
        members["introspection"] = asking(json!({}));
        let text = provider(members.clone()).to_string();
        let found = config::load(text.as_bytes(), &environment).unwrap_err();
        assert_eq!(found.len(), 1, "{issuer}: {found:?}");
        assert!(
            found[0].to_string().contains("the introspection endpoint cannot be found by this issuer"),
            "{found:?}"
        );
        members["introspection"] = asking(json!({ "uri": "https://idp.example/introspect" }));
        let text = provider(members).to_string();
        assert!(config::load(text.as_bytes(), &environment).is_ok(), "{issuer}");
    }
}

#[test]
fn issuer_that_no_token_can_have_is_a_fault() {
    let long = "a".repeat(2049);
    for (issuer, hint) in [
        ("", "an empty string"),
        ("a\u{0}", "a control character"),
        ("a\nb", "a control character"),
        ("a\u{85}b", "a control character"),
        (" accounts.google.com", "a control character, or a space"),
        ("accounts.google.com ", "a control character, or a space"),
        ("*", "a pattern or a placeholder"),
        ("https://*.example", "a pattern or a placeholder"),
        ("https://login.microsoftonline.com/{tenantid}/v2.0", "a pattern or a placeholder"),
        ("https://<tenant>.auth0.com/", "a pattern or a placeholder"),
        (long.as_str(), "longer than 2048 bytes"),
    ] {
        let found = faults(&provider(with_keys(issuer)));
        assert_eq!(found.len(), 1, "{issuer:?}: {found:?}");
        assert!(found[0].starts_with("$.providers.okta.issuer: ") && found[0].contains(hint), "{found:?}");
    }
}

#[test]
fn metadata_of_resources_names_only_issuers_that_are_urls() {
    let with = |servers: Value| {
        let mut document = provider(with_keys("accounts.google.com"));
        document["providers"]["other"] = with_keys("https://idp.example");
        document["protected_resources"] =
            json!([{ "resource": "https://api.acme.com/", "authorization_servers": servers }]);
        document
    };
    let loaded = config::load(with(Value::Null).to_string().as_bytes(), &config::no_environment).unwrap();
    let fields =
        [(":method", "GET"), (":authority", "api.acme.com"), (":path", "/.well-known/oauth-protected-resource")];
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let resource = loaded.policy.resources.described_at(&RequestHead::new(fields)).unwrap();
    let metadata: Value = serde_json::from_slice(&resource.document).unwrap();
    assert_eq!(metadata["authorization_servers"], json!(["https://idp.example"]));
    assert_eq!(
        faults(&with(json!(["accounts.google.com"]))),
        ["$.protected_resources[0].authorization_servers[0]: the https URL of an issuer, as its own metadata have it"]
    );
}
