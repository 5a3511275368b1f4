//! Which issuers a provider may have.

use okta_proxy_wasm::config;
use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::policy::{EndpointAddress, KeyOrigin};
use serde_json::{Value, json};

use super::{environment, faults, introspecting, okta_with, provider, warnings};

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
        assert_eq!(loaded.warnings, [], "{issuer}");
        assert!(loaded.policy.providers.of_issuer(issuer).next().is_some(), "{issuer}");
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
        members["introspection"] = introspecting(json!({}));
        let text = provider(members.clone()).to_string();
        let found = config::load(text.as_bytes(), &environment).unwrap_err();
        assert_eq!(found.len(), 1, "{issuer}: {found:?}");
        assert!(
            found[0].to_string().contains("the introspection endpoint cannot be found by this issuer"),
            "{found:?}"
        );
        members["introspection"] = introspecting(json!({ "uri": "https://idp.example/introspect" }));
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
    let resource = loaded.policy.resources.find_by_metadata_path(&RequestHead::new(fields)).unwrap();
    let metadata: Value = serde_json::from_slice(&resource.document).unwrap();
    assert_eq!(metadata["authorization_servers"], json!(["https://idp.example"]));
    assert_eq!(
        faults(&with(json!(["accounts.google.com"]))),
        ["$.protected_resources[0].authorization_servers[0]: the https URL of an issuer, as its own metadata have it"]
    );
}

#[test]
fn domain_of_the_okta_preset_is_converted_to_lower_case() {
    for domain in ["ACME.Okta.com", "acme.okta.com", "Acme.OktaPreview.com", "Login.ACME.com"] {
        let document = okta_with(json!({ "okta": { "domain": domain } }));
        let loaded = config::load(document.to_string().as_bytes(), &config::no_environment).unwrap();
        let issuer = format!("https://{}/oauth2/default", domain.to_ascii_lowercase());
        let (_, provider) = loaded.policy.providers.of_issuer(&issuer).next().unwrap();
        let KeyOrigin::Remote(keys) = &provider.keys else { panic!("the keys are fetched") };
        let EndpointAddress::Known(address) = &keys.address else { panic!("the address is derived") };
        assert_eq!(address.to_string(), format!("{issuer}/v1/keys"));
    }
    for (domain, hint) in [
        ("acme.okta.com:443", "leave the port out"),
        ("ACME.okta.com:8443", "leave the port out"),
        ("login.acme.com:443", "leave the port out"),
        ("acme.okta.com.", "a domain only"),
    ] {
        let found = faults(&okta_with(json!({ "okta": { "domain": domain } })));
        assert_eq!(found.len(), 1, "{domain}: {found:?}");
        assert!(found[0].starts_with("$.providers.okta.okta.domain: ") && found[0].contains(hint), "{found:?}");
    }
}

#[test]
fn issuer_that_is_the_address_of_metadata_is_a_fault() {
    for issuer in [
        "https://idp.example/.well-known/openid-configuration",
        "https://idp.example/realms/a/.well-known/openid-configuration",
        "https://idp.example/.well-known/oauth-authorization-server",
        "https://idp.example/.well-known/oauth-authorization-server/realms/a",
    ] {
        let found = faults(&provider(with_keys(issuer)));
        assert_eq!(found.len(), 1, "{issuer}: {found:?}");
        assert!(found[0].contains("this is the address of the metadata; write the `issuer`"), "{found:?}");
    }
}

#[test]
fn okta_issuer_that_no_token_of_okta_has_is_a_fault() {
    for (issuer, hint) in [
        ("https://ACME.okta.com/oauth2/default", "no token of Okta has this `iss`"),
        ("https://acme.okta.com:443/oauth2/default", "no token of Okta has this `iss`"),
        ("https://acme.okta.com/oauth2/default/", "no token of Okta has this `iss`"),
        ("http://acme.okta.com/oauth2/default", "no token of Okta has this `iss`"),
        ("acme.okta.com:443", "no token of Okta has this `iss`"),
        ("acme.okta.com", "no token of Okta has this `iss`"),
        ("https://acme-admin.okta.com/oauth2/default", "-admin"),
        ("https://yourOktaDomain.okta.com/oauth2/default", "placeholder"),
    ] {
        let found = faults(&provider(with_keys(issuer)));
        assert_eq!(found.len(), 1, "{issuer}: {found:?}");
        assert!(found[0].starts_with("$.providers.okta.issuer: ") && found[0].contains(hint), "{found:?}");
    }
    for issuer in ["alice@acme.okta.com", "https://okta.acme.com/", "https://acme.okta.com.example/"] {
        assert_eq!(warnings(&provider(with_keys(issuer))), [""; 0], "{issuer}");
    }
}

#[test]
fn okta_issuer_without_the_preset_is_warned_of_unless_everything_is_written() {
    let okta = "https://acme.okta.com/oauth2/default";
    for (changes, is_warned_of) in [
        (json!({ "jwks": {} }), true),
        (json!({}), true),
        (json!({ "jwks": {}, "clock_skew": "120s" }), true),
        (json!({ "clock_skew": "120s" }), false),
    ] {
        let mut members = with_keys(okta);
        members.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let found = warnings(&provider(members));
        assert_eq!(found.len(), usize::from(is_warned_of), "{changes}: {found:?}");
        assert!(found.iter().all(|warning| warning == "issuer_without_preset $.providers.okta.issuer"), "{found:?}");
    }
    let port = warnings(&provider(with_keys("https://idp.example:443/")));
    assert_eq!(port, ["issuer_port $.providers.okta.issuer"]);
}

#[test]
fn provider_has_each_listed_issuer_and_one_for_each_tenant() {
    let mut members = with_keys("https://login.microsoftonline.com/{tenant}/v2.0");
    members["additional_issuers"] = json!(["https://sts.windows.net/{tenant}/", "acme.com"]);
    members["tenants"] = json!(["0a1b", "2c3d"]);
    let document = provider(members);
    let loaded = config::load(document.to_string().as_bytes(), &config::no_environment).unwrap();
    let issuers = [
        "https://login.microsoftonline.com/0a1b/v2.0",
        "https://login.microsoftonline.com/2c3d/v2.0",
        "https://sts.windows.net/0a1b/",
        "https://sts.windows.net/2c3d/",
        "acme.com",
    ];
    let (_, provider) = loaded.policy.providers.of_issuer("acme.com").next().unwrap();
    assert_eq!(provider.issuers().map(|issuer| &**issuer).collect::<Vec<_>>(), issuers);
    for issuer in issuers {
        assert!(loaded.policy.providers.of_issuer(issuer).next().is_some(), "{issuer}");
    }
    for issuer in ["https://login.microsoftonline.com/{tenant}/v2.0", "https://login.microsoftonline.com/4e5f/v2.0"] {
        assert!(loaded.policy.providers.of_issuer(issuer).next().is_none(), "{issuer}");
    }
}

#[test]
fn addresses_are_derived_from_the_first_issuer_alone() {
    let loaded = |members: Value| {
        let document = provider(members);
        config::load(document.to_string().as_bytes(), &config::no_environment).unwrap()
    };
    let preset = loaded(json!({ "okta": { "domain": "acme.okta.com" }, "audiences": ["a"], "upstream": "okta",
        "additional_issuers": ["https://login.acme.com/oauth2/default"] }));
    let (_, provider) = preset.policy.providers.of_issuer("https://login.acme.com/oauth2/default").next().unwrap();
    let KeyOrigin::Remote(keys) = &provider.keys else { panic!("the keys are fetched") };
    let EndpointAddress::Known(address) = &keys.address else { panic!("the address is derived") };
    assert_eq!(address.to_string(), "https://acme.okta.com/oauth2/default/v1/keys");
    let metadata = loaded(json!({ "issuer": "https://idp.example", "audiences": ["a"], "upstream": "idp",
        "additional_issuers": ["https://other.example"] }));
    let (_, provider) = metadata.policy.providers.of_issuer("https://other.example").next().unwrap();
    let KeyOrigin::Remote(keys) = &provider.keys else { panic!("the keys are fetched") };
    let EndpointAddress::Discovered(discovery) = &keys.address else { panic!("the metadata has the address") };
    assert_eq!(discovery.issuer, "https://idp.example");
    assert!(discovery.documents.iter().all(|document| document.authority == "idp.example"));
}

/// Name, issuers and audiences of a provider; no audiences: any.
type Sharing<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

fn sharing(providers: &[Sharing<'_>]) -> Value {
    let provider = |(name, issuers, audiences): &Sharing<'_>| {
        let mut provider = with_keys(issuers[0]);
        if issuers.len() > 1 {
            provider["additional_issuers"] = json!(issuers[1..]);
        }
        provider["audiences"] = json!(audiences);
        if audiences.is_empty() {
            provider.as_object_mut().unwrap().remove("audiences");
            provider["insecure_any_audience"] = json!(true);
        }
        ((*name).to_owned(), provider)
    };
    json!({ "providers": providers.iter().map(provider).collect::<serde_json::Map<_, _>>() })
}

#[test]
fn providers_with_a_common_issuer_need_disjoint_audiences() {
    const ANY: &str = "another provider has the same issuer, and only `audiences` can select the provider of a token; write `audiences` for each";
    const COMMON: &str = "another provider has the same issuer and this audience; a token must belong to exactly one: remove the audience here or there, or merge the providers";
    let (x, y, z) = ("https://x.example", "https://y.example", "z");
    let accepted: [&[Sharing<'_>]; 5] = [
        &[("a", &[x], &["1"]), ("b", &[x], &["2"])],
        &[("a", &[x], &["1", "2"]), ("b", &[x, y], &["3"]), ("c", &[y], &["1", "4"])],
        &[("a", &[x], &["1"]), ("b", &[y], &["1"]), ("c", &[z], &[])],
        &[("a", &[x, y, z], &["1"]), ("b", &[z, y, x], &["A", "1 ", "api://1"])],
        &[("a", &[x], &["1", "1"]), ("b", &[x], &["2"])],
    ];
    for providers in accepted {
        assert_eq!(faults(&sharing(providers)), [""; 0], "{providers:?}");
    }
    let rejected: [(&[Sharing<'_>], &[String]); 6] = [
        (&[("a", &[x], &["1"]), ("b", &[x], &["1"])], &[format!("$.providers.b.audiences[0]: {COMMON}")]),
        (
            &[("a", &[x], &["1", "2"]), ("b", &[y, x], &["3", "2", "1"])],
            &[format!("$.providers.b.audiences[1]: {COMMON}"), format!("$.providers.b.audiences[2]: {COMMON}")],
        ),
        // Each pair counts, not only neighbours.
        (
            &[("a", &[x], &["1"]), ("b", &[y], &["1"]), ("c", &[z, x], &["1"])],
            &[format!("$.providers.c.audiences[0]: {COMMON}")],
        ),
        (&[("a", &[x], &[]), ("b", &[x], &["1"])], &[format!("$.providers.a.insecure_any_audience: {ANY}")]),
        (&[("a", &[x], &["1"]), ("b", &[z, x], &[])], &[format!("$.providers.b.insecure_any_audience: {ANY}")]),
        (
            &[("a", &[x], &[]), ("b", &[x], &[]), ("c", &[x], &["1"])],
            &[
                format!("$.providers.a.insecure_any_audience: {ANY}"),
                format!("$.providers.b.insecure_any_audience: {ANY}"),
            ],
        ),
    ];
    for (providers, expected) in rejected {
        assert_eq!(faults(&sharing(providers)), expected, "{providers:?}");
    }
    let mut tenants =
        sharing(&[("a", &["https://idp.example/{tenant}"], &["1"]), ("b", &["https://idp.example/t2"], &["1"])]);
    tenants["providers"]["a"]["tenants"] = json!(["t1", "t2"]);
    assert_eq!(faults(&tenants), [format!("$.providers.b.audiences[0]: {COMMON}")]);
    let preset = json!({ "okta": { "domain": "acme.okta.com" }, "audiences": ["1"], "upstream": "okta" });
    let written = json!({ "issuer": "https://acme.okta.com/oauth2/default", "audiences": ["1"], "upstream": "okta" });
    let found = faults(&json!({ "providers": { "a": preset, "b": written } }));
    assert_eq!(found, [format!("$.providers.b.audiences[0]: {COMMON}")]);
}

#[test]
fn metadata_of_resources_names_a_common_issuer_once() {
    let (x, y) = ("https://x.example", "https://y.example");
    let mut document = sharing(&[("a", &[x, y], &["1"]), ("b", &[y], &["2"]), ("c", &[x], &["3"])]);
    document["protected_resources"] = json!([{ "resource": "https://api.acme.com/" }]);
    let loaded = config::load(document.to_string().as_bytes(), &config::no_environment).unwrap();
    let fields =
        [(":method", "GET"), (":authority", "api.acme.com"), (":path", "/.well-known/oauth-protected-resource")];
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let resource = loaded.policy.resources.find_by_metadata_path(&RequestHead::new(fields)).unwrap();
    let metadata: Value = serde_json::from_slice(&resource.document).unwrap();
    assert_eq!(metadata["authorization_servers"], json!([x, y]));
}
