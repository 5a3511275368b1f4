//! Suggestions: where a field belongs, and how a value is written.

use okta_proxy_wasm::config;
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "providers": { "okta": {
            "okta": { "domain": "acme.okta.com" }, "audiences": ["a"], "upstream": "okta", "jwks": {},
            "introspection": { "client_id": "c", "client_secret": { "env": "SECRET" } },
        } },
        "token": { "from_headers": [{ "name": "x-token" }] },
        "claim_to_headers": [{ "header": "x-user-id", "claim": "sub" }],
        "revocations": { "uri": "https://sec.acme.com/revoked.json", "upstream": "sec" },
        "responses": { "cors": { "allow_origins": ["https://app.acme.com"] }, "login": { "url": "https://app.acme.com/login" } },
        "audit": {},
        "default_rule": {},
        "rules": [{ "match": {}, "require": { "scopes": ["a"] } }],
    })
}

/// The message about a member of the object at a pointer, without its path.
fn message(pointer: &str, name: &str, value: &Value) -> Option<String> {
    let mut document = document();
    let object = document.pointer_mut(pointer).unwrap();
    if let Some(items) = object.as_array_mut() {
        items.push(value.clone());
    } else {
        object.as_object_mut().unwrap().insert(name.to_owned(), value.clone());
    }
    let errors = config::load(document.to_string().as_bytes(), &|_| Some(String::from("set-for-these-tests"))).err()?;
    let is_of_member = |path: &str| path.ends_with(&format!(".{name}")) || path.contains('[') && path.ends_with(']');
    let error = errors.iter().find(|error| is_of_member(&error.path))?;
    Some(error.to_string().strip_prefix(&error.path).unwrap().trim_start_matches(": ").to_owned())
}

const PROVIDER: &str = "/providers/okta";
const RULE: &str = "/rules/0";

#[test]
fn unknown_field_has_the_one_that_is_meant_wherever_it_belongs() {
    let mut wrong = Vec::new();
    for (pointer, name, meant) in [
        // In the same object.
        ("/rules/0/match", "prefix", "path_prefix"),
        ("/rules/0/match", "pathPrefix", "path_prefix"),
        ("/rules/0/match", "regex", "path_regex"),
        ("/rules/0/match", "safe_regex", "path_regex"),
        ("/rules/0/match", "method", "methods"),
        ("/rules/0/match", "host", "hosts"),
        ("/rules/0/match", "verbs", "methods"),
        (RULE, "requires", "require"),
        (RULE, "requirements", "require"),
        (RULE, "reportOnly", "report_only"),
        (RULE, "allow_missing", "access"),
        (PROVIDER, "audience", "audiences"),
        (PROVIDER, "aud", "audiences"),
        (PROVIDER, "isuer", "issuer"),
        (PROVIDER, "iss", "issuer"),
        (PROVIDER, "discovery", "issuer"),
        (PROVIDER, "cluster", "upstream"),
        (PROVIDER, "leeway", "clock_skew"),
        (PROVIDER, "clock_skew_seconds", "clock_skew"),
        (PROVIDER, "maximum_expiration", "max_token_lifetime"),
        (PROVIDER, "algs", "algorithms"),
        (PROVIDER, "issuers_allowed", "additional_issuers"),
        ("/rules/0/require", "scope", "scopes"),
        ("/rules/0/require", "scopes_required", "scopes"),
        ("/rules/0/require", "roles", "groups"),
        ("/rules/0/require", "requires_any", "any_of"),
        ("/claim_to_headers/0", "header_name", "header"),
        ("/claim_to_headers/0", "claim_name", "claim"),
        ("", "rule", "rules"),
        ("", "default_rules", "default_rule"),
        ("", "jwtRules", "providers"),
        ("", "outputPayloadToHeader", "forward_payload_header"),
        ("", "outputClaimToHeaders", "claim_to_headers"),
        ("", "claimToHeaders", "claim_to_headers"),
        ("", "recomputeRoute", "clear_route_cache"),
        ("", "payload_in_metadata", "filter_state"),
        // Below.
        (RULE, "scopes", "require.scopes"),
        (RULE, "scopes_required", "require.scopes"),
        (RULE, "condition", "require.condition"),
        (RULE, "path", "match.path"),
        (RULE, "path_prefix", "match.path_prefix"),
        (RULE, "methods", "match.methods"),
        (RULE, "hosts", "match.hosts"),
        (RULE, "acr", "require.acr"),
        (RULE, "groups", "require.groups"),
        (RULE, "requestPrincipals", "require.claims"),
        (PROVIDER, "jwks_uri", "jwks.uri"),
        (PROVIDER, "jwksUri", "jwks.uri"),
        (PROVIDER, "remote_jwks", "jwks.uri"),
        (PROVIDER, "remoteJWKS", "jwks.uri"),
        (PROVIDER, "local_jwks", "jwks.inline"),
        (PROVIDER, "cache_ttl", "introspection.cache_ttl"),
        (PROVIDER, "introspection_endpoint", "introspection.uri"),
        (PROVIDER, "client_secret", "introspection.client_secret"),
        (PROVIDER, "domain", "okta.domain"),
        (PROVIDER, "authorization_server", "okta.authorization_server"),
        (PROVIDER, "timeout", "introspection.timeout` or `jwks.timeout"),
        ("", "from_headers", "token.from_headers"),
        ("", "fromHeaders", "token.from_headers"),
        ("", "login", "responses.login"),
        ("", "realm", "responses.realm"),
        ("", "audiences", "providers.NAME.audiences"),
        ("", "issuer", "providers.NAME.issuer"),
        ("", "jwks_uri", "providers.NAME.jwks.uri"),
        ("", "max_bytes", "cache.max_bytes` or `token.max_bytes"),
        // Elsewhere.
        (PROVIDER, "from_headers", "token.from_headers"),
        (PROVIDER, "fromHeaders", "token.from_headers"),
        (PROVIDER, "forward_payload_header", "forward_payload_header"),
        (PROVIDER, "claim_to_headers", "claim_to_headers"),
        (PROVIDER, "outputPayloadToHeader", "forward_payload_header"),
        (PROVIDER, "forward", "token.forward"),
        (PROVIDER, "uri_param_names", "token.from_params"),
        (PROVIDER, "scopes", "default_rule.require.scopes` or `rules[].require.scopes"),
        ("/rules/0/match", "scopes", "default_rule.require.scopes` or `rules[].require.scopes"),
        ("/rules/0/require", "path_prefix", "rules[].match.path_prefix"),
        ("/token", "max_token_lifetime", "providers.NAME.max_token_lifetime"),
    ] {
        let found = message(pointer, name, &json!("x"));
        let expected = format!("unknown field; did you mean `{meant}`?");
        if found.as_deref() != Some(&expected) {
            wrong.push(format!("{pointer} {name}: {found:?} and not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unrelated_field_has_no_suggestion() {
    for (pointer, name) in
        [("", "unheard_of"), (PROVIDER, "x"), (RULE, "something else"), (RULE, "0"), ("/audit", "zzz")]
    {
        let found = message(pointer, name, &json!(1)).or_else(|| message(pointer, &format!("{name}\"]"), &json!(1)));
        assert!(found.as_ref().is_none_or(|found| !found.contains("did you mean")), "{name}: {found:?}");
    }
    assert_eq!(
        message("", "unheard_of", &json!(1)).as_deref(),
        Some("unknown field; remove it or check its spelling and place")
    );
}

#[test]
fn value_in_another_form_has_the_right_one() {
    let jwks = "/providers/okta/jwks";
    let mut wrong = Vec::new();
    for (pointer, name, value, suggestion) in [
        (jwks, "max_stale", json!("1d"), "write \"24h\""),
        (jwks, "max_stale", json!("2 days"), "write \"48h\""),
        (jwks, "max_stale", json!("1w"), "write \"168h\""),
        (jwks, "timeout", json!("500ms"), "write \"0.5s\""),
        (jwks, "timeout", json!(30), "write \"30s\""),
        (jwks, "timeout", json!(1.5), "write \"1.5s\""),
        (jwks, "timeout", json!("30"), "write \"30s\""),
        (jwks, "refresh", json!("5min"), "write \"5m\""),
        (jwks, "refresh", json!("5 minutes"), "write \"5m\""),
        (jwks, "refresh", json!("1H"), "write \"1h\""),
        (jwks, "refresh", json!("1h30m"), "write \"5400s\""),
        (jwks, "refresh", json!("30sec"), "write \"30s\""),
        (PROVIDER, "algorithms", json!(["rs256"]), "did you mean \"RS256\"?"),
        (PROVIDER, "algorithms", json!(["RS-256"]), "did you mean \"RS256\"?"),
        (PROVIDER, "algorithms", json!(["eddsa"]), "did you mean \"EdDSA\"?"),
        (
            PROVIDER,
            "algorithms",
            json!(["HS256"]),
            "it is symmetric: every backend that verifies could also sign; have the issuer sign with `RS256` or `ES256`",
        ),
        (PROVIDER, "algorithms", json!(["none"]), "it is no signature; have the issuer sign with `RS256` or `ES256`"),
        (PROVIDER, "algorithms", json!("RS256"), "write a list with a string for each: [\"a\"]"),
        ("/rules/0/match", "methods", json!(["get"]), "write \"GET\""),
        ("/rules/0/match", "methods", json!("GET"), "write a list with a string for each: [\"a\"]"),
        ("/rules/0/require", "scopes", json!("a b"), "write a list with a string for each: [\"a\", \"b\"]"),
        ("/rules/0/require", "groups", json!("a,b"), "write a list with a string for each: [\"a\", \"b\"]"),
        (RULE, "report_only", json!("true"), "write true without quotes"),
        (RULE, "report_only", json!("no"), "write false without quotes"),
        (RULE, "report_only", json!(1), "write true"),
        (RULE, "access", json!("PUBLIC"), "did you mean \"public\"?"),
        (RULE, "access", json!("tokens"), "did you mean \"token\"?"),
        ("", "native_crypto", json!("OFF"), "did you mean \"off\"?"),
        ("/audit", "denied", json!("All"), "did you mean \"all\"?"),
        ("/audit", "denied_per_second", json!("20"), "write the number without quotes"),
        ("/providers/okta/introspection", "client_auth", json!("private-key-jwt"), "did you mean \"private_key_jwt\"?"),
        (PROVIDER, "upstream", json!(["okta"]), "write the value without brackets"),
        (jwks, "uri", json!("idp.example.com/keys"), "begin it with https://"),
        (jwks, "uri", json!("http://idp.example.com/keys"), "begin it with https:// in place of http://"),
        ("/responses/login", "url", json!("app.acme.com/login"), "begin it with https://"),
    ] {
        let found = message(pointer, name, &value);
        if !found.as_ref().is_some_and(|found| found.ends_with(&format!("; {suggestion}"))) {
            wrong.push(format!("{name} {value}: {found:?} and not {suggestion}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What is suggested is accepted, as far as it is a value.
    for (name, value) in [("max_stale", "48h"), ("timeout", "0.5s"), ("refresh", "5400s")] {
        assert_eq!(message(jwks, name, &json!(value)), None);
    }
}

#[test]
fn value_without_a_likely_meaning_has_no_suggestion() {
    let plain = "expected a duration such as \"30s\", \"1.5s\", \"5m\" or \"1h\"";
    for value in
        [json!("soon"), json!(""), json!("-1s"), json!(-5), json!(true), json!("1e3s"), json!("5y"), json!([1])]
    {
        assert_eq!(message("/providers/okta/jwks", "timeout", &value).as_deref(), Some(plain), "{value}");
    }
    let found = message(RULE, "access", &json!("hunter2")).unwrap();
    assert!(found.starts_with("expected one of") && !found.contains(';'), "{found}");
}

#[test]
fn issuer_without_a_scheme_is_told_to_begin_with_https() {
    for (issuer, suggestion) in [
        ("idp.example.com", "; begin it with https://"),
        ("http://idp.example.com", "; begin it with https:// in place of http://"),
    ] {
        let document = json!({ "providers": { "idp": { "issuer": issuer, "audiences": ["a"], "upstream": "idp" } } });
        let errors = config::load(document.to_string().as_bytes(), &config::no_environment).unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().ends_with(suggestion)), "{errors:?}");
    }
}

#[test]
fn errors_are_in_the_order_of_the_text() {
    let text = r#"{
  "rules": [{"match": {"methods": ["get"]}, "name": ""}, {"requires": {}, "access": "x", "require": {"condition": "foo || bar"}}],
  "providers": {
    "z": {"upstream": "", "isuer": "https://idp.example"},
    "a": {"audiences": [], "issuer": "https://idp.example", "upstream": "x"}
  },
  "audit": {"sample": 2},
  "unheard_of": 1
}"#;
    let errors = config::load(text.as_bytes(), &config::no_environment).unwrap_err();
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "$.rules[0].match.methods[0]",
            "$.rules[0].name",
            "$.rules[1].requires",
            "$.rules[1].access",
            "$.rules[1].require.condition",
            "$.rules[1].require.condition",
            "$.providers.z.issuer",
            "$.providers.z.audiences",
            "$.providers.z.upstream",
            "$.providers.z.isuer",
            "$.providers.a.audiences",
            "$.audit.sample",
            "$.unheard_of",
        ]
    );
}
