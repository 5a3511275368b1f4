//! Configurations that the loader accepts and rejects, a fault at a time; whole documents with all their faults are in
//! `tests/core/golden_faults.rs`.

mod issuers;
mod json;
mod responses;
mod suggestions;

use okta_proxy_wasm::config::{self, NativeCrypto};
use okta_proxy_wasm::policy::{ClientAuthentication, EndpointAddress};
use serde_json::{Value, json};

const ONE_OF_LIST: &str = "expected a list; write a list with a string for each: [\"a\"]";

fn faults(document: &Value) -> Vec<String> {
    faults_of_text(document.to_string().as_bytes())
}

fn faults_of_text(document: &[u8]) -> Vec<String> {
    match config::load(document, &config::no_environment) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// The code and the path of each warning.
fn warnings(document: &Value) -> Vec<String> {
    let loaded = config::load(document.to_string().as_bytes(), &environment).unwrap();
    loaded.warnings.iter().map(|warning| format!("{} {}", warning.code.name(), warning.path.as_str())).collect()
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
    let loaded = config::load(okta_with(json!({})).to_string().as_bytes(), &config::no_environment).unwrap();
    assert_eq!(loaded.warnings, []);
    let (_, provider) = loaded.policy.providers.of_issuer("https://acme.okta.com/oauth2/default").next().unwrap();
    assert_eq!(provider.clock_skew.as_secs(), 120);
    assert_eq!(loaded.policy.token_source.max_bytes, 8192);
    assert!(!loaded.policy.token_source.forward);
}

#[test]
fn groups_are_read_from_the_default_claim_or_the_configured_path() {
    let groups = |changes: Value| {
        let loaded = config::load(okta_with(changes).to_string().as_bytes(), &config::no_environment).unwrap();
        let (_, provider) = loaded.policy.providers.of_issuer("https://acme.okta.com/oauth2/default").next().unwrap();
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
fn configuration_that_is_not_a_json_object_is_rejected_with_a_hint() {
    let said = |text: &[u8]| faults_of_text(text).join("\n");
    assert!(said(b"").contains("there is no configuration"));
    assert!(said(b"  \n").contains("there is no configuration"));
    assert!(said(b"\x0a\x05hello").contains("google.protobuf.StringValue"));
    assert!(said(b"[]").contains("google.protobuf.StringValue"));
    assert_eq!(said(b"{\n  \"providers\": }"), "$: not valid JSON at line 2, column 16: missing value");
}

#[test]
fn configuration_without_a_provider_is_rejected() {
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
fn okta_preset_rejects_contradictory_settings() {
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
    assert_eq!(found.iter().filter(|fault| fault.contains("org authorization server")).count(), 2, "{found:?}");
    let both = faults(&okta_with(json!({ "issuer": "https://acme.okta.com/oauth2/default" })));
    assert_eq!(both, ["$.providers.okta.issuer: the okta preset gives the issuer; write one of the two"]);
}

#[test]
fn keys_from_two_sources_or_an_unusable_address_are_rejected() {
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
fn native_crypto_is_auto_or_off() {
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
        let loaded = config::load(document.to_string().as_bytes(), &config::no_environment);
        assert_eq!(loaded.as_ref().ok().map(|loaded| loaded.native_crypto), expected, "{written}");
        if expected.is_none() {
            let near = if written == json!("OFF") { "; did you mean \"off\"?" } else { "" };
            assert_eq!(
                faults(&document),
                [format!("$.native_crypto: expected one of \"auto\", \"off\"{near}")],
                "{written}"
            );
        }
    }
}

#[test]
fn insecure_settings_have_insecure_in_their_name_and_warn() {
    let document = provider(
        json!({ "issuer": "http://127.0.0.1:9000", "insecure_http": true, "insecure_any_audience": true, "upstream": "idp",
        "jwks": { "uri": "http://127.0.0.1:9000/keys" } }),
    );
    let at = |field: &str| format!("insecure_setting $.providers.okta.{field}");
    assert_eq!(warnings(&document), [at("insecure_http"), at("insecure_any_audience")]);
    let found = faults(&okta_with(json!({ "insecure_any_audience": true })));
    assert_eq!(found, ["$.providers.okta.insecure_any_audience: contradicts `audiences`; write one of the two"]);
}

fn with_token(token: Value) -> Value {
    let mut document = okta_with(json!({}));
    document.as_object_mut().unwrap().insert("token".to_owned(), token);
    document
}

#[test]
fn invalid_token_locations_are_rejected_each_with_its_path() {
    const NO_NAME: &str = "not a header name (RFC 9110 section 5.1)";
    const FRAMING: &str = "reserved: it frames the message or belongs to the connection; choose a header of your own";
    const PROXY: &str = "reserved: Envoy and other proxies write it; choose a header of your own";
    const TARGET: &str =
        "reserved: backends read the target of the request from it (docs/security.md); choose a header of your own";
    const IDENTITY: &str = "a header of `claim_to_headers`, `forward_payload_header` or `request_headers_to_remove`: it tells the backend who the user is and is never read";
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
        (json!({ "from_headers": "authorization" }), ".from_headers", ONE_OF_LIST),
        (json!({ "from_headers": ["authorization"] }), ".from_headers[0]", "expected an object"),
        (
            json!({ "from_headers": [{}] }),
            ".from_headers[0].name",
            "missing; write the name of the header that carries the token",
        ),
        (
            json!({ "from_headers": [{ "name": "x-a", "prefix": "x" }] }),
            ".from_headers[0].prefix",
            "unknown field; did you mean `value_prefix`?",
        ),
        (
            json!({ "from_headers": [{ "name": "x-a", "shceme": "x" }] }),
            ".from_headers[0].shceme",
            "unknown field; did you mean `scheme`?",
        ),
        (json!({ "from_headers": [{ "name": "x-a", "scheme": 5 }] }), ".from_headers[0].scheme", "expected a string"),
        (
            json!({ "from_headers": [{ "name": "x-a", "value_prefix": " x" }] }),
            ".from_headers[0].value_prefix",
            "printable ASCII that does not begin with a space, such as \"Bearer \"",
        ),
        (
            json!({ "from_headers": [{ "name": "x-a", "scheme": "Bearer", "value_prefix": "x" }] }),
            ".from_headers[0].value_prefix",
            "not together with `scheme`; write one of the two",
        ),
        (
            with_cookie(
                json!([{ "name": "x-a", "value_prefix": "Token " }, { "name": "x-a", "value_prefix": "token" }]),
            ),
            ".from_headers[1]",
            "another entry has the same `value_prefix`, or one that contains it",
        ),
        (
            with_cookie(json!([{ "name": "x-a", "value_prefix": "Token " }, { "name": "x-a" }])),
            ".from_headers[1]",
            "another entry reads the same header with a `value_prefix`, or without one; write one of the two",
        ),
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
        (json!({ "from_cookies": "at" }), ".from_cookies", ONE_OF_LIST),
        (json!({ "from_params": [5] }), ".from_params[0]", "expected a string"),
    ];
    for (name, hint) in [
        ("", NO_NAME),
        ("a b", NO_NAME),
        (":path", NO_NAME),
        (":authority", NO_NAME),
        ("host", FRAMING),
        ("Host", FRAMING),
        ("content-length", FRAMING),
        ("transfer-encoding", FRAMING),
        ("connection", FRAMING),
        ("x-envoy-original-path", TARGET),
        ("x-envoy-internal", PROXY),
        ("x-forwarded-for", PROXY),
        ("x-forwarded-proto", PROXY),
        ("x-forwarded-host", TARGET),
        ("x-forwarded-port", TARGET),
        ("x-forwarded-client-cert", PROXY),
        ("x-request-id", PROXY),
    ] {
        rows.push((header(name), ".from_headers[0].name", hint));
    }
    for scheme in ["", "Bearer ", "a b", "Bearer:", "é"] {
        rows.push((
            json!({ "from_headers": [{ "name": "x-a", "scheme": scheme }] }),
            ".from_headers[0].scheme",
            "the name of a scheme without spaces, such as \"Bearer\"",
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
fn claim_header_is_rejected_as_a_token_location() {
    let mut document = with_token(json!({ "from_headers": [{ "name": "x_tenant" }] }));
    document["claim_to_headers"] = json!([{ "header": "X-Tenant", "claim": "tenant" }]);
    let found = faults(&document);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found.iter().all(|fault| fault.starts_with("$.token.from_headers[0].name: a header of `claim_to_headers`,"))
    );
    document["token"] = json!({ "from_headers": [{ "name": "x-user-id" }] });
    assert_eq!(faults(&document), [""; 0], "the default identity headers are not in force here");
}

#[test]
fn token_locations_are_read_and_risky_ones_warn() {
    let warnings = |token: Value| warnings(&with_token(token));
    let good = json!({
        "from_headers": [{ "name": "Authorization", "scheme": "Bearer" }, { "name": "authorization", "scheme": "Token" },
                         { "name": "x-api-token", "scheme": null }],
        "from_cookies": ["access_token", "__Host-at"], "from_params": [] });
    assert_eq!(warnings(good), [""; 0]);
    assert_eq!(warnings(json!({ "from_headers": [], "from_cookies": ["at"] })), [""; 0]);
    assert_eq!(warnings(json!({ "from_params": ["access_token"] })), ["token_in_query $.token.from_params"]);
    let found = warnings(json!({ "from_cookies": ["at"], "insecure_exact_names": true }));
    assert_eq!(found, ["insecure_setting $.token.insecure_exact_names"]);
    let found = warnings(json!({ "from_headers": [{ "name": "authorization" }] }));
    assert_eq!(found, ["authorization_without_scheme $.token.from_headers[0].name"]);
}

fn with_rules(members: Value) -> Value {
    let mut document = okta_with(json!({}));
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    document
}

#[test]
fn invalid_rules_are_rejected_each_with_its_path() {
    const NEVER_LOOKED_AT: &str =
        "with this `access` no token is looked at; there can be a `condition` on the request alone";
    const OPTIONAL: &str =
        "who leaves the token out would pass, and who has one might not; use \"token\", or a rule each";
    const NOTHING_TO_REPORT: &str = "there is no `require` whose refusals could be reported";
    const ONE_PATH: &str = "one of `path`, `path_prefix` and `path_regex`";
    const CASE: &str = "not for a rule that lets requests pass without a token: where the backend tells letters apart, it would open other paths too";
    const NAME: &str = "1 to 64 letters, digits, `-`, `_` and `.`: it becomes part of logs and metrics";
    const ACCESS: &str = "expected one of \"public\", \"optional\", \"token\", \"deny\"";
    const NO_REQUEST: &str = "an empty list: no request would come under this rule";
    const PORT: &str = "write the host without a port; a request's port is not looked at";
    const METHOD: &str = "expected a method as clients send it, in capitals: `GET`; write \"GET\"";
    const NOT_NORMAL: &str = "paths are compared in normal form: no `.`, `..` or empty segments, no escapes for characters that need none, capitals in the others (`%C3%A9`)";
    const PLACEHOLDER: &str =
        "`*`, `{` and `}` are no placeholders here; use `path_prefix` for whole segments, or `path_regex`";
    const REFUSED: &str = "every request for this path is refused, because servers may read it differently";
    const REGEX: &str = "not a regular expression; look-around and back-references are not available";
    const QUERY: &str = "rules do not look at the query; write the path alone";
    let scoped = json!({ "scopes": ["a"] });
    let of_match = |conditions: Value| json!({ "match": conditions });
    // The one rule, where the fault is in it, and what is said.
    let mut rows = vec![
        (json!("x"), "", "expected an object"),
        (json!({ "path": "/a" }), ".path", "unknown field; did you mean `match.path`?"),
        (json!({ "requires": scoped }), ".requires", "unknown field; did you mean `require`?"),
        (json!({ "access": "public", "require": scoped }), ".require", NEVER_LOOKED_AT),
        (
            json!({ "access": "deny", "require": scoped }),
            ".require",
            "never looked at: with this `access` nobody passes",
        ),
        (json!({ "access": "optional", "require": scoped }), ".require", OPTIONAL),
        (json!({ "report_only": true }), ".report_only", NOTHING_TO_REPORT),
        (json!({ "access": "deny", "report_only": true }), ".report_only", NOTHING_TO_REPORT),
        (
            json!({ "report_only": "yes", "require": scoped }),
            ".report_only",
            "expected a boolean; write true without quotes",
        ),
        (json!({ "require": {} }), ".require", "requires nothing; remove it, or write what the token must have"),
        (json!({ "require": { "scope": "a" } }), ".require.scope", "unknown field; did you mean `scopes`?"),
        (
            json!({ "require": { "scopes": [] } }),
            ".require.scopes",
            "an empty list; leave the field out or name at least one",
        ),
        (of_match(json!({ "path": "/a", "path_prefix": "/a" })), ".match", ONE_PATH),
        (of_match(json!({ "path": "/a", "path_regex": "/a" })), ".match", ONE_PATH),
        (of_match(json!({ "path_prefix": "/a", "path_regex": "/a" })), ".match", ONE_PATH),
        (of_match(json!({ "host": "a.example" })), ".match.host", "unknown field; did you mean `hosts`?"),
        (of_match(json!({ "hosts": [] })), ".match.hosts", NO_REQUEST),
        (of_match(json!({ "hosts": "a.example" })), ".match.hosts", ONE_OF_LIST),
        (of_match(json!({ "hosts": ["a.example", "a.example:443"] })), ".match.hosts[1]", PORT),
        (of_match(json!({ "hosts": ["[::1]:80"] })), ".match.hosts[0]", PORT),
        (of_match(json!({ "methods": [] })), ".match.methods", NO_REQUEST),
        (of_match(json!({ "methods": ["GET", "get"] })), ".match.methods[1]", METHOD),
        (of_match(json!({ "path": "a" })), ".match.path", "a path begins with `/`"),
        (of_match(json!({ "path": "/a?x" })), ".match.path", QUERY),
        (of_match(json!({ "path": "/a/*" })), ".match.path", PLACEHOLDER),
        (of_match(json!({ "path_prefix": "/a/{id}" })), ".match.path_prefix", PLACEHOLDER),
        (of_match(json!({ "path_prefix": "/a//b" })), ".match.path_prefix", NOT_NORMAL),
        (of_match(json!({ "path_prefix": "/a%2fb" })), ".match.path_prefix", REFUSED),
        (of_match(json!({ "path_regex": "/a(" })), ".match.path_regex", REGEX),
        (of_match(json!({ "path_regex": "/a(?=b)" })), ".match.path_regex", REGEX),
        (of_match(json!({ "path_regex": "a/b" })), ".match.path_regex", "a path begins with `/`"),
        (json!({ "access": "public", "match": { "path": "/a", "ignore_case": true } }), ".match.ignore_case", CASE),
        (
            json!({ "access": "optional", "match": { "path_prefix": "/a", "ignore_case": true } }),
            ".match.ignore_case",
            CASE,
        ),
    ];
    let long = "a".repeat(65);
    for name in ["", " ", "a b", "a/b", "\u{e9}", "a\n", &long] {
        rows.push((json!({ "name": name }), ".name", NAME));
    }
    const PUBLIC: &str = "expected one of \"public\", \"optional\", \"token\", \"deny\"; did you mean \"public\"?";
    rows.push((json!({ "access": "Public" }), ".access", PUBLIC));
    for access in [json!("jwt"), json!(true), json!("")] {
        rows.push((json!({ "access": access }), ".access", ACCESS));
    }
    for host in ["", "*", "a_b.*", "http://a", "a/b", "127.1"] {
        rows.push((
            of_match(json!({ "hosts": [host] })),
            ".match.hosts[0]",
            if host == "http://a" {
                PORT
            } else {
                "expected a host such as `api.acme.com`, `*.acme.com` or `[::1]`; for every host leave `hosts` out"
            },
        ));
    }
    for (rule, path, hint) in rows {
        let found = faults(&with_rules(json!({ "rules": [{ "name": "fine" }, rule] })));
        assert_eq!(found, [format!("$.rules[1]{path}: {hint}")], "{rule}");
        // Elsewhere it is the same, without name and conditions.
        if !path.starts_with(".match") && path != ".name" && !path.is_empty() && path != ".path" {
            let found = faults(&with_rules(json!({ "default_rule": rule })));
            assert_eq!(found, [format!("$.default_rule{path}: {hint}")], "{rule}");
        }
    }
    for unknown in ["match", "name"] {
        let found = faults(&with_rules(json!({ "default_rule": { unknown: {} } })));
        assert!(found.iter().all(|fault| fault.starts_with(&format!("$.default_rule.{unknown}: unknown field"))));
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

#[test]
fn a_realm_is_a_short_line_of_plain_text() {
    let long = "a".repeat(129);
    for realm in [json!(""), json!("a\r\nb"), json!("\u{e9}"), json!("a\tb"), json!("\u{7f}"), json!(long)] {
        let found = faults(&with_rules(json!({ "responses": { "realm": realm } })));
        assert_eq!(found, ["$.responses.realm: 1 to 128 printable ASCII characters"], "{realm}");
    }
    for realm in [json!(null), json!("acme"), json!("acme \"a\\b\" 50%"), json!(long[..128])] {
        assert_eq!(faults(&with_rules(json!({ "responses": { "realm": realm } }))), [""; 0], "{realm}");
    }
    assert_eq!(faults(&with_rules(json!({ "responses": { "realm": 5 } }))), ["$.responses.realm: expected a string"]);
}

#[test]
fn rules_in_every_form_are_read_and_weak_ones_warn() {
    let warnings = |members: Value| warnings(&with_rules(members));
    let good = json!({
        "rules": [
            { "name": "health", "match": { "path": "/healthz" }, "access": "public" },
            { "name": "Read-1.x_y", "match": { "path_prefix": "/a", "methods": ["GET", "HEAD", "M-SEARCH"], "hosts": ["a.example", "*.b.example", "[::1]"] },
              "require": { "scopes": ["a"] }, "report_only": true },
            { "match": { "path_regex": "/r/[0-9]{4}", "ignore_case": true }, "access": "deny" },
            { "match": { "path_prefix": "/b" }, "report_only": false, "access": "optional" },
            { "match": { "path_prefix": "/c" }, "require": { "scopes": ["c"] } },
            {},
        ],
        "default_rule": { "access": "deny", "require": null }, "bypass_cors_preflight": true,
        "insecure_ambiguous_paths": false, "responses": {},
    });
    assert_eq!(warnings(good), [""; 0]);
    assert_eq!(warnings(json!({ "rules": {}, "default_rule": {} })), [""; 0], "an empty list as some hosts pass it");
    let many: Vec<Value> = (0..5000)
        .map(|number| {
            json!({ "name": format!("r{number}"), "match": { "path_prefix": format!("/r{number}"), "methods": ["GET", "HEAD"] },
                "require": { "scopes": [format!("s{number}")] } })
        })
        .collect();
    let thousands = json!({ "rules": many, "default_rule": { "access": "deny" } });
    assert_eq!(warnings(thousands), [""; 0], "thousands");
    let found = warnings(json!({ "insecure_ambiguous_paths": true, "rules": [{ "match": { "path": "/a%2Fb" } }] }));
    assert_eq!(found, ["insecure_setting $.insecure_ambiguous_paths"]);
    let found =
        warnings(json!({ "insecure_ambiguous_hosts": true, "rules": [{ "match": { "hosts": ["a.acme.com"] } }] }));
    assert_eq!(found, ["insecure_setting $.insecure_ambiguous_hosts"]);
}

#[test]
fn host_encodings_of_numbers_and_empty_lists_are_accepted() {
    let mut document = okta_with(json!({}));
    document.as_object_mut().unwrap().extend(
        json!({ "$schema": "./schema.json", "token": { "max_bytes": 4096.0 }, "claim_to_headers": {} })
            .as_object()
            .unwrap()
            .clone(),
    );
    let loaded = config::load(document.to_string().as_bytes(), &config::no_environment).unwrap();
    assert_eq!(loaded.policy.token_source.max_bytes, 4096);
    assert!(!faults(&okta_with(json!({ "$schema": "x" }))).is_empty(), "tolerated at the top only");
}

#[test]
fn no_truncation_and_no_altered_byte_of_a_document_makes_the_loader_panic() {
    let text = okta_with(json!({ "jwks": { "refresh": "1h" } })).to_string();
    for end in 0..text.len() {
        let _ = config::load(&text.as_bytes()[..end], &config::no_environment);
    }
    for at in 0..text.len() {
        for byte in [b'"', b'{', b'0', b'\\', 0, 0xff] {
            let mut altered = text.clone().into_bytes();
            altered[at] = byte;
            let _ = config::load(&altered, &config::no_environment);
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

#[test]
fn invalid_forwarding_settings_are_rejected() {
    let header = "not a header name (RFC 9110 section 5.1)";
    let credential = "reserved: it carries credentials; choose a header of your own";
    let proxy = "reserved: Envoy and other proxies write it; choose a header of your own";
    let needed = "not a header name, or one that the request itself needs";
    let duplicate = "duplicate entry: this header, or another spelling of it, is removed already";
    let word = "one of \"decision\", \"reason\", \"rule\", \"would_deny\", \"provider\", \"issuer\", \"subject\", \"client\", \"token_id\", \"scopes\", \"required_scopes\", \"acr\", \"sender_constraint\", \"jkt\", \"x5t_s256\", \"source\", \"proof\", \"introspection\", or an object with `name` and `claim`";
    let host =
        "the host in lower case, without user and without the port 443: clients compare the URL letter by letter";
    let query = "a resource has no query and no fragment; write host and path alone";
    let alike = "another entry is for the same resource, but for a slash at its end perhaps";
    let name = "1 to 64 lower-case letters, digits and `_`";
    let api = "https://api.acme.com/mcp";
    let rows = [
        ("forward_payload_header", json!("x y"), "", header),
        ("forward_payload_header", json!("authorization"), "", credential),
        ("forward_payload_header", json!("x-forwarded-for"), "", proxy),
        ("forward_payload_header", json!(":path"), "", header),
        ("forward_payload_header", json!(5), "", "expected a string"),
        ("request_headers_to_remove", json!(["x y"]), "[0]", needed),
        ("request_headers_to_remove", json!(["cookie"]), "[0]", needed),
        ("request_headers_to_remove", json!(["x-a", "X_A"]), "[1]", duplicate),
        ("request_headers_to_remove", json!(["X-User.Id"]), "[0]", duplicate),
        (
            "forward_payload_header",
            json!("X_User.ID"),
            "",
            "a header of `claim_to_headers`, or another spelling of one",
        ),
        ("filter_state", json!("subject"), "", ONE_OF_LIST),
        ("filter_state", json!(["sub"]), "[0]", word),
        ("filter_state", json!(["subject", 5]), "[1]", word),
        ("filter_state", json!(["subject", "subject"]), "[1]", "another entry has this name"),
        ("filter_state", json!([{ "name": "Tenant", "claim": "t" }]), "[0].name", name),
        ("filter_state", json!([{ "name": "a.b", "claim": "t" }]), "[0].name", name),
        (
            "filter_state",
            json!([{ "name": "subject", "claim": "t" }]),
            "[0].name",
            "this name is used for something else; choose another",
        ),
        ("filter_state", json!([{ "name": "t" }]), "[0].claim", "missing; write the name of the claim"),
        (
            "filter_state",
            json!([{ "claim": "t" }]),
            "[0].name",
            "missing; write what it is to be called, such as \"tenant\"",
        ),
        ("clear_route_cache", json!("yes"), "", "expected a boolean; write true without quotes"),
        (
            "protected_resources",
            json!([{ "resource": "http://api.acme.com" }]),
            "[0].resource",
            "a resource is an https URL, such as \"https://api.acme.com/mcp\" (RFC 9728 section 1.2); begin it with https:// in place of http://",
        ),
        ("protected_resources", json!([{}]), "[0].resource", "missing; write the resource's `https` URL"),
        ("protected_resources", json!([{ "resource": "https://API.acme.com" }]), "[0].resource", host),
        ("protected_resources", json!([{ "resource": "https://api.acme.com?a" }]), "[0].resource", query),
        ("protected_resources", json!([{ "resource": api }, { "resource": api }]), "[1].resource", alike),
        ("protected_resources", json!([{ "resource": api }, { "resource": format!("{api}/") }]), "[1].resource", alike),
        (
            "protected_resources",
            json!([{ "resource": "https://api.acme.com" }, { "resource": "https://api.acme.com/" }]),
            "[1].resource",
            alike,
        ),
        (
            "protected_resources",
            json!([{ "resource": api, "scopes_supported": [] }]),
            "[0].scopes_supported",
            "an empty list; leave the field out or name at least one",
        ),
        (
            "protected_resources",
            json!([{ "resource": api, "scopes_supported": ["a b"] }]),
            "[0].scopes_supported[0]",
            "one scope: ASCII without spaces, quotes and backslashes (RFC 6749 section 3.3); write several as several",
        ),
        (
            "protected_resources",
            json!([{ "resource": api, "authorization_servers": ["acme"] }]),
            "[0].authorization_servers[0]",
            "the https URL of an issuer, as its own metadata have it",
        ),
        (
            "protected_resources",
            json!([{ "resource": api, "resource_documentation": "acme.com" }]),
            "[0].resource_documentation",
            "the https URL of a page",
        ),
        (
            "protected_resources",
            json!([{ "resource": api, "resource_name": "" }]),
            "[0].resource_name",
            "a name of at most 256 bytes, without control characters",
        ),
    ];
    for (field, value, path, hint) in rows {
        let mut document = okta_with(json!({}));
        document[field] = value.clone();
        assert_eq!(faults(&document), [format!("$.{field}{path}: {hint}")], "{value}");
    }
    // Beside faults elsewhere these are told too.
    let document = json!({ "providers": {}, "protected_resources": [{ "resource": "x" }], "filter_state": ["x"] });
    assert_eq!(faults(&document).len(), 3, "{:?}", faults(&document));
}

#[test]
fn payload_header_is_rejected_as_a_token_location_and_metadata_paths_are_not_shadowed() {
    let mut document = with_token(json!({ "from_headers": [{ "name": "x_payload" }] }));
    document["forward_payload_header"] = json!("x-payload");
    let found = faults(&document);
    assert!(found.len() == 1 && found[0].starts_with("$.token.from_headers[0].name: a header of"), "{found:?}");

    let mut document = okta_with(json!({}));
    document["protected_resources"] = json!([{ "resource": "https://api.acme.com/mcp" }]);
    document["readiness_path"] = json!("/.well-known/oauth-protected-resource/mcp");
    let hint = "`readiness_path` is where the metadata of this resource stand";
    assert_eq!(faults(&document), [format!("$.protected_resources[0].resource: {hint}")]);

    let mut document = okta_with(json!({}));
    document["protected_resources"] =
        json!([{ "resource": "https://api.acme.com/mcp", "authorization_servers": ["https://login.acme.com"] }]);
    let metadata = "/.well-known/oauth-protected-resource/mcp";
    document["rules"] = json!([
        { "name": "a", "match": { "path": metadata } },
        { "name": "b", "match": { "path": metadata, "hosts": ["other.acme.com"] } },
        { "name": "c", "match": { "path_prefix": metadata } },
    ]);
    let server = "unknown_authorization_server $.protected_resources[0].authorization_servers[0]";
    assert_eq!(warnings(&document)[..2], [server, "metadata_rule $.rules[0]"]);
}

/// The secret where it is looked for.
fn environment(name: &str) -> Option<String> {
    (name == "OKTA_CLIENT_SECRET").then(|| String::from("hunter2"))
}

fn introspecting(changes: Value) -> Value {
    let mut members = json!({ "client_id": "0oa1", "client_secret": { "env": "OKTA_CLIENT_SECRET" } });
    for (name, value) in changes.as_object().unwrap() {
        members.as_object_mut().unwrap().insert(name.clone(), value.clone());
    }
    members
}

#[test]
fn introspection_has_its_defaults_and_its_secret_from_the_environment() {
    let text = okta_with(json!({ "introspection": introspecting(json!({})) })).to_string();
    let loaded = config::load(text.as_bytes(), &environment).unwrap();
    assert_eq!(loaded.warnings, []);
    let (id, provider) = loaded.policy.providers.opaque_token_provider().unwrap();
    assert_eq!(loaded.policy.providers.of_issuer(&provider.issuer).next().unwrap().0, id);
    let settings = provider.introspection.as_ref().unwrap();
    let times = [settings.cache_ttl, settings.inactive_cache_ttl, settings.timeout, settings.stale_if_error];
    assert_eq!(times.map(|time| time.as_secs()), [30, 5, 2, 0]);
    assert_eq!(settings.requests_per_minute.get(), 150);
    let EndpointAddress::Known(address) = &settings.address else { panic!("it is derived") };
    assert_eq!(address.to_string(), "https://acme.okta.com/oauth2/default/v1/introspect");
    let ClientAuthentication::SecretBasic { client_id, secret } = &settings.client else { panic!("by default") };
    assert_eq!((client_id.as_str(), secret.reveal().as_str()), ("0oa1", "hunter2"));
    assert!(!format!("{:?}", loaded.policy).contains("hunter2"));
}

#[test]
fn settings_that_weaken_introspection_warn() {
    let stale = warnings(&okta_with(json!({ "introspection": introspecting(json!({ "stale_if_error": "5m" })) })));
    assert_eq!(stale, ["stale_if_error $.providers.okta.introspection.stale_if_error"]);
    let any = json!({ "audiences": null, "insecure_any_audience": true, "introspection": introspecting(json!({})) });
    assert_eq!(warnings(&okta_with(any))[1], "any_opaque_token $.providers.okta.introspection");
}

#[test]
fn opaque_tokens_belong_to_at_most_one_provider() {
    let two = |first: Value, second: Value| {
        json!({ "providers": {
            "a": { "issuer": "https://a.example", "audiences": ["x"], "upstream": "a", "introspection": introspecting(first) },
            "b": { "issuer": "https://b.example", "audiences": ["x"], "upstream": "b", "introspection": introspecting(second) },
        } })
    };
    let taker = |document: Value| {
        let policy = config::load(document.to_string().as_bytes(), &environment).unwrap().policy;
        policy.providers.opaque_token_provider().map(|(_, provider)| provider.name.to_string())
    };
    let says = |takes: bool| json!({ "opaque_tokens": takes });
    assert_eq!(taker(two(says(false), says(true))).as_deref(), Some("b"));
    assert_eq!(taker(two(says(true), says(false))).as_deref(), Some("a"));
    assert_eq!(taker(two(says(false), says(false))), None);
    assert_eq!(taker(okta_with(json!({ "introspection": introspecting(says(false)) }))), None);
    assert_eq!(taker(okta_with(json!({}))), None);
}

#[test]
fn private_key_is_read_from_the_environment() {
    let key = r#"{"kty":"EC","crv":"P-256","kid":"own","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;
    let environment = |name: &str| (name == "KEY_1").then(|| key.to_owned());
    let id = |changes: Value| {
        let mut members =
            json!({ "client_id": "0oa1", "client_auth": "private_key_jwt", "private_key": { "env": "KEY_1" } });
        for (name, value) in changes.as_object().unwrap() {
            members.as_object_mut().unwrap().insert(name.clone(), value.clone());
        }
        let text = okta_with(json!({ "introspection": members })).to_string();
        let policy = config::load(text.as_bytes(), &environment).unwrap().policy;
        let (_, provider) = policy.providers.opaque_token_provider().unwrap();
        match &provider.introspection.as_ref().unwrap().client {
            ClientAuthentication::PrivateKeyJwt { key, .. } => key.id().map(str::to_owned),
            ClientAuthentication::SecretBasic { .. } | ClientAuthentication::SecretPost { .. } => None,
        }
    };
    assert_eq!(id(json!({})).as_deref(), Some("own"));
    assert_eq!(id(json!({ "key_id": "k1" })).as_deref(), Some("k1"));
}

#[test]
fn a_revocation_list_has_its_defaults() {
    let mut document = okta_with(json!({}));
    document["revocations"] = json!({ "uri": "https://sec.acme.com/revoked", "upstream": "sec" });
    let source = config::load(document.to_string().as_bytes(), &environment).unwrap().policy.revocations.unwrap();
    assert_eq!((source.refresh.as_secs(), source.timeout.as_secs()), (10, 2));
    assert_eq!(
        (source.address.to_string().as_str(), source.address.upstream.as_str()),
        ("https://sec.acme.com/revoked", "sec")
    );
}

#[test]
fn claim_headers_that_are_reserved_or_fold_to_another_are_rejected() {
    let entry = |header: &str| json!({ "header": header, "claim": "sub" });
    let found = |headers: &[&str]| {
        let mut document = okta_with(json!({}));
        document["claim_to_headers"] = headers.iter().map(|header| entry(header)).collect();
        faults(&document)
    };
    for name in [
        "content_length",
        "Content.Length",
        "x_forwarded_for",
        "x-forwarded-proto",
        "proxy",
        "via",
        "forwarded",
        "host",
        "te",
        "trailer",
        "transfer_encoding",
        "upgrade",
        "expect",
        "cookie",
        "authorization",
        "connection",
        "keep_alive",
        "x-request-id",
        "x_envoy_internal",
        "x-original-url",
        "script_name",
        "x-http-method-override",
        "user-agent",
        "sec-fetch-mode",
        "grpc-metadata-authorization",
        "Grpc-Metadata-Forwarded",
        "grpc-metadata-",
    ] {
        let found = found(&[name]);
        assert!(
            matches!(&*found, [fault] if fault.starts_with("$.claim_to_headers[0].header: reserved: ")),
            "{name} {found:?}"
        );
    }
    let another = "another entry writes the same header, or another spelling of it that backends fold to one";
    for other in
        ["x-user-id", "X-User-Id", "x_user_id", "x.user.id", "grpc-metadata-x-user-id", "Grpc_Metadata.X_User_Id"]
    {
        assert_eq!(found(&["x-user-id", other]), [format!("$.claim_to_headers[1].header: {another}")], "{other}");
    }
    let free = [
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "x-forwarded-access-token",
        "grpc-metadata-x-tenant",
        "remote-user",
    ];
    assert_eq!(found(&free), [""; 0]);
    let mut document = okta_with(json!({}));
    document["forward_payload_header"] = json!("Grpc-Metadata-X-User-Id");
    assert_eq!(
        faults(&document),
        ["$.forward_payload_header: a header of `claim_to_headers`, or another spelling of one"]
    );
    let carrier = json!({ "from_headers": [{ "name": "x-token" }, { "name": "grpc-metadata-x-token" }] });
    let found = faults(&with_token(carrier));
    assert_eq!(found, ["$.token.from_headers[1]: another entry names the same header in another spelling"]);
    for name in ["x-original-url", "proxy", "x_forwarded_for"] {
        let found = faults(&with_token(json!({ "from_headers": [{ "name": name }] })));
        assert_eq!(found.len(), 1, "{name} {found:?}");
    }
    assert_eq!(faults(&with_token(json!({ "from_headers": [{ "name": "x-forwarded-access-token" }] }))), [""; 0]);
}

#[test]
fn target_headers_are_kept_by_name_only_and_each_warns() {
    let kept = |names: Value| {
        let mut document = okta_with(json!({}));
        document["insecure_keep_target_headers"] = names;
        document
    };
    let document = kept(json!(["X-Forwarded-Host", "script_name"]));
    let at = |index: usize| format!("insecure_setting $.insecure_keep_target_headers[{index}]");
    assert_eq!(warnings(&document), [at(0), at(1)]);
    let loaded = config::load(document.to_string().as_bytes(), &config::no_environment).unwrap();
    assert_eq!(loaded.insecure_settings, 2);
    let unknown = "not a header that is removed because it changes the target; docs/security.md lists them";
    for name in ["x-user-id", "x_forwarded_host", "x-forwarded-for", "*", ""] {
        let found = faults(&kept(json!([name])));
        assert_eq!(found, [format!("$.insecure_keep_target_headers[0]: {unknown}")], "{name}");
    }
    assert_eq!(
        faults(&kept(json!(["forwarded", "Forwarded"]))),
        ["$.insecure_keep_target_headers[1]: duplicate entry"]
    );
    assert_eq!(faults(&kept(json!([]))).len(), 1);
    assert_eq!(faults(&kept(json!("forwarded"))).len(), 1);
}

#[test]
fn hops_are_named_by_what_their_connections_show() {
    let with = |client_certificate: Value| {
        let mut document = okta_with(json!({ "sender_constraint": { "mtls": "required" } }));
        document["client_certificate"] = client_certificate;
        document
    };
    let hash = "5d95c3876576b207c0c104e82a4fa5a2573b365e0ed565ee6de6022c03027ad4";
    let hops = |hops: Value| with(json!({ "header": "client-cert", "hops": hops }));
    for good in [
        json!({ "certificate_hashes": [hash] }),
        json!({ "certificate_hashes": [hash.to_uppercase(), "0".repeat(64)] }),
        json!({ "uri_sans": ["spiffe://acme/edge"], "dns_sans": ["edge.acme.com", "localhost"] }),
    ] {
        assert_eq!(faults(&hops(good.clone())), [""; 0], "{good}");
        assert_eq!(warnings(&hops(good)), [""; 0]);
    }
    let addresses = hops(json!({ "insecure_addresses": ["10.0.0.0/8", "2001:db8::7"] }));
    assert_eq!(warnings(&addresses), ["insecure_setting $.client_certificate.hops.insecure_addresses"]);
    let loaded = config::load(addresses.to_string().as_bytes(), &config::no_environment).unwrap();
    assert_eq!(loaded.insecure_settings, 1);
    for (name, list) in [
        ("certificate_hashes", json!([])),
        ("certificate_hashes", json!([&hash[1..]])),
        ("certificate_hashes", json!([format!("sha256:{hash}")])),
        ("certificate_hashes", json!(["5D:95"])),
        ("certificate_hashes", json!([hash, hash.to_uppercase()])),
        ("uri_sans", json!([""])),
        ("uri_sans", json!(["edge.acme.com"])),
        ("uri_sans", json!(["spiffe://acme/an edge"])),
        ("dns_sans", json!(["*.acme.com"])),
        ("dns_sans", json!(["Edge.acme.com"])),
        ("dns_sans", json!(["edge.acme.com."])),
        ("dns_sans", json!(["a", "a"])),
        ("insecure_addresses", json!(["10.0.0.1/8"])),
        ("insecure_addresses", json!(["edge"])),
        ("insecure_addresses", json!(["10.0.0.1:80"])),
        ("insecure_addresses", json!("10.0.0.1")),
        ("address", json!(["10.0.0.1"])),
    ] {
        let found = faults(&hops(json!({ name: list })));
        assert_eq!(found.len(), 1, "{name} {list}: {found:?}");
        assert!(found[0].starts_with(&format!("$.client_certificate.hops.{name}")), "{found:?}");
    }
    for (document, at) in [
        (with(json!({ "hops": { "dns_sans": ["a"] } })), "$.client_certificate.header: "),
        (with(json!({ "header": "x-client-cert", "hops": { "dns_sans": ["a"] } })), "$.client_certificate.header: "),
        (with(json!({ "header": "client-cert" })), "$.client_certificate.hops: "),
        (hops(json!({})), "$.client_certificate.hops: "),
    ] {
        let found = faults(&document);
        assert!(found.len() == 1 && found[0].starts_with(at), "{document} {found:?}");
    }
    // Nothing reads it.
    let mut unused = hops(json!({ "dns_sans": ["a"] }));
    unused["providers"]["okta"].as_object_mut().unwrap().remove("sender_constraint");
    let found = faults(&unused);
    assert!(found.len() == 1 && found[0].starts_with("$.client_certificate: no certificate is read"), "{found:?}");
}
