//! What the loader says of configurations that cannot be used: every fault at once, each with its path and
//! a hint, and never a value of the document.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "a test")]

use okta_proxy_wasm::config::{self, NativeCrypto};
use serde_json::{Value, json};

fn faults(document: &Value) -> Vec<String> {
    faults_of_text(document.to_string().as_bytes())
}

fn faults_of_text(document: &[u8]) -> Vec<String> {
    match config::load(document) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn provider(provider: Value) -> Value {
    json!({ "providers": { "okta": provider } })
}

/// A good Okta provider with some members replaced.
fn okta_with(changes: Value) -> Value {
    let mut members =
        json!({ "okta": { "domain": "acme.okta.com" }, "audiences": ["api://default"], "upstream": "okta" });
    for (name, value) in changes.as_object().unwrap() {
        members.as_object_mut().unwrap().insert(name.clone(), value.clone());
    }
    provider(members)
}

#[test]
fn the_smallest_configuration_is_complete() {
    let loaded = config::load(okta_with(json!({})).to_string().as_bytes()).unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    let (_, provider) = loaded.policy.provider_of("https://acme.okta.com/oauth2/default").unwrap();
    assert_eq!(provider.clock_skew.as_secs(), 120);
    assert_eq!(loaded.policy.token_source.max_bytes, 8192);
    assert!(!loaded.policy.token_source.forward);
}

#[test]
fn groups_stand_under_their_usual_name_or_at_the_path_that_is_written() {
    let groups = |changes: Value| {
        let loaded = config::load(okta_with(changes).to_string().as_bytes()).unwrap();
        let (_, provider) = loaded.policy.provider_of("https://acme.okta.com/oauth2/default").unwrap();
        provider.claim_names.groups.to_vec()
    };
    assert_eq!(groups(json!({})), ["groups"]);
    assert_eq!(groups(json!({ "groups_claim": "cognito:groups" })), ["cognito:groups"]);
    assert_eq!(groups(json!({ "groups_claim": ["realm_access", "roles"] })), ["realm_access", "roles"]);
    let hint = "expected a claim name, or a list of names that leads to a nested claim";
    for wrong in [json!([]), json!(""), json!(5), json!(["a", ""])] {
        assert_eq!(
            faults(&okta_with(json!({ "groups_claim": wrong }))),
            [format!("$.providers.okta.groups_claim: {hint}")]
        );
    }
}

#[test]
fn every_fault_is_listed_at_once_with_its_path_and_a_hint() {
    let document = json!({
        "providers": {
            "okta": { "okta": { "domain": "https://acme.okta.com" }, "audience": ["api://default"], "clock_skew": 60 },
            "other": { "issuer": "http://idp.example", "audiences": "api", "algorithms": ["HS256"], "upstream": "idp",
                       "jwks": { "uri": "https://idp.example/keys", "refresh": "2h", "max_stale": "1h" } }
        },
        "token": { "forward": "yes", "max_bytes": 5 },
        "claim_to_headers": [{ "header": "x y", "claim": "sub" }, { "claim": [] }],
        "rules": []
    });
    let found = faults(&document);
    let expected = [
        "$.rules: unknown field; remove it or check its spelling and place",
        "$.providers.okta.audience: unknown field; did you mean `audiences`?",
        "$.providers.okta.clock_skew: expected a duration such as \"30s\", \"1.5s\", \"5m\" or \"1h\"",
        "$.providers.okta.okta.domain: a domain only, such as acme.okta.com: no https://, no path",
        "$.providers.okta.audiences: missing; name who the tokens must be meant for, such as [\"api://default\"]",
        "$.providers.okta.upstream: missing; write the host's name for the connection to the issuer: on Envoy the name of a cluster",
        "$.providers.other.issuer: an issuer is an https URL; for a test, set \"insecure_http\": true",
        "$.providers.other.audiences: expected a list",
        "$.providers.other.jwks.max_stale: shorter than `refresh`: keys would be dropped before they are fetched again",
        "$.token.forward: expected true or false",
        "$.token.max_bytes: between 256 and 61440",
        "$.claim_to_headers[0].header: not a header name, or one that the request itself needs",
        "$.claim_to_headers[1].header: missing; write the name of the header the backend receives",
        "$.claim_to_headers[1].claim: expected a claim name, or a list of names that leads to a nested claim",
    ];
    for line in expected {
        assert!(found.iter().any(|fault| fault == line), "not said: {line}\nsaid:\n{}", found.join("\n"));
    }
    let algorithm = "$.providers.other.algorithms[0]: not an algorithm that can be allowed";
    assert!(found.iter().any(|fault| fault.starts_with(algorithm)), "{}", found.join("\n"));
    assert_eq!(found.len(), expected.len() + 1, "too much is said:\n{}", found.join("\n"));
}

#[test]
fn what_is_not_a_json_object_says_what_to_pass_instead() {
    let said = |text: &[u8]| faults_of_text(text).join("\n");
    assert!(said(b"").contains("there is no configuration"));
    assert!(said(b"  \n").contains("there is no configuration"));
    assert!(said(b"\x0a\x05hello").contains("google.protobuf.StringValue"));
    assert!(said(b"[]").contains("google.protobuf.StringValue"));
    assert_eq!(said(b"{\n  \"providers\": }"), "$: not valid JSON at line 2, column 16");
    assert_eq!(said(b"{\"token\":{},\"token\":{}}"), "$: a member stands twice in one object; remove one of them");
    assert_eq!(
        said(format!("{{\"a\":{}", "[".repeat(100_000)).as_bytes()),
        "$: nested too deeply, or too many members in one object"
    );
}

#[test]
fn a_configuration_without_a_provider_is_refused() {
    for document in [json!({}), json!({ "providers": {} }), json!({ "providers": null })] {
        let found = faults(&document);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found.iter().all(|fault| fault.starts_with("$.providers: missing; name at least one token issuer")),
            "{found:?}"
        );
    }
}

#[test]
fn the_okta_preset_refuses_what_cannot_be_meant() {
    let domains = [
        ("acme-admin.okta.com", "-admin"),
        ("{yourOktaDomain}", "placeholder"),
        ("yourOktaDomain.okta.com", "placeholder"),
        ("https://acme.okta.com", "a domain only"),
        ("acme.okta.com/oauth2", "a domain only"),
        ("user@acme.okta.com", "a domain only"),
        ("", "a domain only"),
    ];
    for (domain, hint) in domains {
        let found = faults(&okta_with(json!({ "okta": { "domain": domain } })));
        assert_eq!(found.len(), 1, "{domain:?}: {found:?}");
        assert!(
            found.iter().all(|fault| fault.starts_with("$.providers.okta.okta.domain: ") && fault.contains(hint)),
            "{found:?}"
        );
    }
    for server in ["org", "", "a/b", "../x", "a?b"] {
        let found =
            faults(&okta_with(json!({ "okta": { "domain": "acme.okta.com", "authorization_server": server } })));
        assert_eq!(found.len(), 1, "{server:?}: {found:?}");
    }
    let org = provider(
        json!({ "issuer": "https://acme.okta.com", "audiences": ["a"], "upstream": "okta", "jwks": { "uri": "https://acme.okta.com/oauth2/v1/keys" } }),
    );
    let found = faults(&org);
    assert!(found.iter().any(|fault| fault.contains("org authorization server")), "{found:?}");
    let both = faults(&okta_with(json!({ "issuer": "https://acme.okta.com/oauth2/default" })));
    assert_eq!(both, ["$.providers.okta.issuer: the okta preset gives the issuer; write one of the two"]);
}

#[test]
fn keys_in_two_places_or_at_no_usable_address_are_refused() {
    let said = |jwks: Value| {
        faults(&provider(
            json!({ "issuer": "https://idp.example", "audiences": ["a"], "upstream": "idp", "jwks": jwks }),
        ))
        .join("\n")
    };
    assert_eq!(said(json!({})), "", "the issuer's metadata says where its keys are");
    assert!(said(json!({ "uri": "http://idp.example/keys" })).contains("insecure_http"));
    assert!(said(json!({ "uri": "not a url" })).contains("not an absolute https URL"));
    assert!(
        said(json!({ "uri": "https://idp.example/keys", "inline": { "keys": [] } })).contains("contradicts `inline`")
    );
    assert!(said(json!({ "inline": { "keys": [] } })).contains("no key here can verify a signature"));
    assert!(said(json!({ "inline": {} })).contains("not a key set"));
    assert!(
        said(json!({ "uri": "https://idp.example/keys", "timeout": "0s" })).contains("$.providers.okta.jwks.timeout")
    );
    assert_eq!(said(json!({ "uri": "https://idp.example/keys" })), "");
}

#[test]
fn who_verifies_signatures_is_auto_or_off() {
    for (written, expected) in [
        (json!(null), Some(NativeCrypto::Auto)),
        (json!("auto"), Some(NativeCrypto::Auto)),
        (json!("off"), Some(NativeCrypto::Off)),
        (json!("on"), None),
        (json!("OFF"), None),
        (json!(false), None),
    ] {
        let mut document = okta_with(json!({}));
        document["native_crypto"] = written.clone();
        let loaded = config::load(document.to_string().as_bytes());
        assert_eq!(loaded.as_ref().ok().map(|loaded| loaded.native_crypto), expected, "{written}");
        if expected.is_none() {
            assert_eq!(faults(&document), ["$.native_crypto: expected one of \"auto\", \"off\""], "{written}");
        }
    }
}

#[test]
fn two_providers_of_one_issuer_are_refused() {
    let one = json!({ "okta": { "domain": "acme.okta.com" }, "audiences": ["a"], "upstream": "okta" });
    let found = faults(&json!({ "providers": { "a": one, "b": one } }));
    assert_eq!(found, ["$.providers.b: another provider has the same issuer; a token must belong to exactly one"]);
}

#[test]
fn what_weakens_has_insecure_in_its_name_and_warns() {
    let document = provider(
        json!({ "issuer": "http://127.0.0.1:9000", "insecure_http": true, "insecure_any_audience": true, "upstream": "idp",
        "jwks": { "uri": "http://127.0.0.1:9000/keys" } }),
    );
    let loaded = config::load(document.to_string().as_bytes()).unwrap();
    assert_eq!(loaded.warnings.len(), 2);
    assert!(loaded.warnings.iter().all(|warning| warning.contains("insecure_")), "{:?}", loaded.warnings);
    let found = faults(&okta_with(json!({ "insecure_any_audience": true })));
    assert_eq!(found, ["$.providers.okta.insecure_any_audience: contradicts `audiences`; write one of the two"]);
}

fn with_token(token: Value) -> Value {
    let mut document = okta_with(json!({}));
    document.as_object_mut().unwrap().insert("token".to_owned(), token);
    document
}

#[test]
fn places_for_a_token_that_cannot_be_meant_are_refused_each_with_its_path() {
    const NO_NAME: &str = "not a header name, or one that the request itself needs";
    const IDENTITY: &str = "a header of `claim_to_headers`: it tells the backend who the user is and is never read";
    let header = |name: &str| json!({ "from_headers": [{ "name": name }] });
    let with_cookie = |headers: Value| json!({ "from_headers": headers, "from_cookies": ["at"] });
    let mut rows = vec![
        (
            json!({ "from_headers": [] }),
            "",
            "there is nowhere to look for a token; name a header, a cookie or a query parameter, or leave `from_headers` out",
        ),
        (
            json!({ "from_headers": {}, "from_cookies": [], "from_params": [] }),
            "",
            "there is nowhere to look for a token; name a header, a cookie or a query parameter, or leave `from_headers` out",
        ),
        (json!({ "from_headers": "authorization" }), ".from_headers", "expected a list"),
        (json!({ "from_headers": ["authorization"] }), ".from_headers[0]", "expected an object"),
        (
            json!({ "from_headers": [{}] }),
            ".from_headers[0].name",
            "missing; write the name of the header that carries the token",
        ),
        (
            json!({ "from_headers": [{ "name": "x-a", "prefix": "x" }] }),
            ".from_headers[0].prefix",
            "unknown field; remove it or check its spelling and place",
        ),
        (
            json!({ "from_headers": [{ "name": "x-a", "shceme": "x" }] }),
            ".from_headers[0].shceme",
            "unknown field; did you mean `scheme`?",
        ),
        (json!({ "from_headers": [{ "name": "x-a", "scheme": 5 }] }), ".from_headers[0].scheme", "expected a string"),
        (
            header("Cookie"),
            ".from_headers[0].name",
            "cookies have a field of their own: name the cookie in `from_cookies`",
        ),
        (header("X_User.ID"), ".from_headers[0].name", IDENTITY),
        (with_cookie(json!([{ "name": "x-a" }, { "name": "X-A" }])), ".from_headers[1]", "another entry says the same"),
        (
            with_cookie(json!([{ "name": "x-a", "scheme": "Bearer" }, { "name": "x-a", "scheme": "bearer" }])),
            ".from_headers[1]",
            "another entry says the same",
        ),
        (
            with_cookie(json!([{ "name": "x-a", "scheme": "Bearer" }, { "name": "x-a" }])),
            ".from_headers[1]",
            "another entry reads the same header with a scheme, or without one; write one of the two",
        ),
        (
            with_cookie(json!([{ "name": "x-a" }, { "name": "x-a", "scheme": "Bearer" }])),
            ".from_headers[1]",
            "another entry reads the same header with a scheme, or without one; write one of the two",
        ),
        (
            with_cookie(json!([{ "name": "x-a" }, { "name": "x_a" }])),
            ".from_headers[1]",
            "another entry names the same header in another spelling",
        ),
        (json!({ "from_cookies": ["at", "AT", "at"] }), ".from_cookies[2]", "named twice"),
        (json!({ "from_params": ["at", "at"] }), ".from_params[1]", "named twice"),
        (json!({ "from_cookies": "at" }), ".from_cookies", "expected a list"),
        (json!({ "from_params": [5] }), ".from_params[0]", "expected a string"),
    ];
    for name in [
        "",
        "a b",
        ":path",
        ":authority",
        "host",
        "Host",
        "content-length",
        "transfer-encoding",
        "connection",
        "x-envoy-original-path",
        "x-forwarded-for",
        "x-request-id",
    ] {
        rows.push((header(name), ".from_headers[0].name", NO_NAME));
    }
    for scheme in ["", "Bearer ", "a b", "Bearer:", "é"] {
        rows.push((
            json!({ "from_headers": [{ "name": "x-a", "scheme": scheme }] }),
            ".from_headers[0].scheme",
            "the name of a scheme without blanks, such as \"Bearer\"",
        ));
    }
    for name in ["", "a b", "a=b", "a;b", "a,b", "\"a\"", "é"] {
        rows.push((json!({ "from_cookies": ["ok", name] }), ".from_cookies[1]", "not a cookie name (RFC 6265)"));
    }
    for name in ["", "a b", "a+b", "a&b", "a=b", "a%62", "a[]", "é"] {
        rows.push((
            json!({ "from_params": [name] }),
            ".from_params[0]",
            "a parameter name of letters, digits and `-._~` only",
        ));
    }
    for (token, path, hint) in rows {
        assert_eq!(faults(&with_token(token.clone())), [format!("$.token{path}: {hint}")], "{token}");
    }
}

#[test]
fn a_header_of_the_chosen_claims_is_no_place_for_a_token() {
    let mut document = with_token(json!({ "from_headers": [{ "name": "x_tenant" }] }));
    document["claim_to_headers"] = json!([{ "header": "X-Tenant", "claim": "tenant" }]);
    let found = faults(&document);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found.iter().all(|fault| fault.starts_with("$.token.from_headers[0].name: a header of `claim_to_headers`"))
    );
    document["token"] = json!({ "from_headers": [{ "name": "x-user-id" }] });
    assert_eq!(faults(&document), [""; 0], "the default identity headers are not in force here");
}

#[test]
fn places_for_a_token_are_read_and_the_risky_ones_warn() {
    let warnings = |token: Value| config::load(with_token(token).to_string().as_bytes()).unwrap().warnings;
    let good = json!({
        "from_headers": [{ "name": "Authorization", "scheme": "Bearer" }, { "name": "authorization", "scheme": "Token" },
                         { "name": "x-api-token", "scheme": null }],
        "from_cookies": ["access_token", "__Host-at"], "from_params": [] });
    assert_eq!(warnings(good), [""; 0]);
    assert_eq!(warnings(json!({ "from_headers": [], "from_cookies": ["at"] })), [""; 0]);
    let found = warnings(json!({ "from_params": ["access_token"] }));
    assert_eq!(found.len(), 1);
    assert!(found.iter().all(|line| line.contains("token.from_params") && !line.contains("access_token")), "{found:?}");
    let found = warnings(json!({ "from_headers": [{ "name": "authorization" }] }));
    assert_eq!(found.len(), 1);
    assert!(found.iter().all(|line| line.contains("without a scheme")), "{found:?}");
}

#[test]
fn the_forms_in_which_hosts_pass_numbers_and_empty_lists_are_understood() {
    let mut document = okta_with(json!({}));
    document.as_object_mut().unwrap().extend(
        json!({ "$schema": "./schema.json", "token": { "max_bytes": 4096.0 }, "claim_to_headers": {} })
            .as_object()
            .unwrap()
            .clone(),
    );
    let loaded = config::load(document.to_string().as_bytes()).unwrap();
    assert_eq!(loaded.policy.token_source.max_bytes, 4096);
    assert!(!faults(&okta_with(json!({ "$schema": "x" }))).is_empty(), "tolerated at the top only");
}

#[test]
fn no_value_of_the_document_is_ever_in_a_fault() {
    const SECRET: &str = "hunter2-secret";
    let document = json!({
        "providers": { "okta": { "okta": { "domain": SECRET.repeat(2) + "/", "authorization_server": format!("{SECRET}/") }, "issuer": SECRET,
            "audiences": SECRET, "upstream": [SECRET], "algorithms": [SECRET], "clock_skew": SECRET, "client_ids": SECRET,
            "jwks": { "uri": SECRET, "inline": SECRET, "refresh": SECRET, "max_stale": SECRET } } },
        "token": { "from_headers": [{ "name": format!("{SECRET} x"), "scheme": format!("{SECRET} x") }, SECRET],
            "from_cookies": [format!("{SECRET};")], "from_params": [format!("{SECRET}&")], "forward": SECRET },
        "claim_to_headers": [{ "header": format!("{SECRET} x"), "claim": [SECRET, 1], "format": SECRET }]
    });
    let found = faults(&document).join("\n");
    assert!(!found.contains("hunter2"), "{found}");
    assert!(found.lines().count() >= 10, "{found}");
}

#[test]
fn no_truncation_and_no_altered_byte_of_a_document_makes_the_loader_panic() {
    let text = okta_with(json!({ "jwks": { "refresh": "1h" } })).to_string();
    for end in 0..text.len() {
        let _ = config::load(&text.as_bytes()[..end]);
    }
    for at in 0..text.len() {
        for byte in [b'"', b'{', b'0', b'\\', 0, 0xff] {
            let mut altered = text.clone().into_bytes();
            altered[at] = byte;
            let _ = config::load(&altered);
        }
    }
}

#[test]
fn a_readiness_path_is_a_plain_path() {
    let mut document = okta_with(json!({}));
    for path in ["", "ready", "/a?b", "/a#b", "/a b", "/%61", "/a\\b"] {
        document["readiness_path"] = json!(path);
        let found = faults(&document);
        assert_eq!(found.len(), 1, "{path:?}: {found:?}");
        assert!(found.iter().all(|fault| fault.starts_with("$.readiness_path: ")), "{found:?}");
    }
    document["readiness_path"] = json!("/healthz/ready");
    assert!(faults(&document).is_empty());
}
