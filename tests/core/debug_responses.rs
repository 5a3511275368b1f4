//! Clients with the operator's debug secret get the reason of a rejection, and no others: a row per case. Runs natively and,
//! as wasm, under Node.

use crate::engine_harness::{Harness, NOW, Setup, edits_of, head, response_of as reply};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use okta_proxy_wasm::analysis::{Warning, WarningCode};
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::Decision;
use okta_proxy_wasm::http::{HeaderEdit, HeaderValue, LocalResponse};
use serde_json::{Value, json};

const SECRET: &str = "debug-0123456789abcdef";
const SHOWN: (&str, &str) = ("X-Auth-Debug", SECRET);

fn environment(name: &str) -> Option<String> {
    (name == "AUTH_DEBUG_KEY").then(|| SECRET.to_owned())
}

fn configuration(responses: Value) -> Value {
    let rule =
        |path: &str, require: Value| json!({ "name": &path[1..], "match": { "path": path }, "require": require });
    let responses = with(&json!({ "debug": { "secret": { "env": "AUTH_DEBUG_KEY" } } }), responses);
    json!({
        "providers": { "okta": { "issuer": ISSUER, "audiences": [AUDIENCE], "groups_claim": ["realm", "roles"],
            "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } } },
        "token": { "from_headers": [{ "name": "authorization", "scheme": "Bearer" }], "from_params": ["at"] },
        "rules": [
            rule("/group", json!({ "groups": ["finance"], "scopes": ["read:accounts"] })),
            rule("/pay", json!({ "acr": "urn:okta:loa:2fa:any", "max_age": "15m", "scopes": ["pay"] })),
            rule("/claims", json!({ "claims": { "department": "sales" }, "client_ids": ["0oa2"], "audiences": ["x"], "amr": ["hwk"] })),
            rule("/any", json!({ "any_of": [{ "groups": ["a"] }, { "any_scope": ["b", "c"] }] })),
            rule("/not", json!({ "not": { "claims": { "department": "finance" } } })),
            rule("/condition", json!({ "condition": "claims.department == 'sales'" })),
            { "name": "closed", "match": { "path": "/closed" }, "access": "deny" },
            { "match": { "path": "/open" }, "access": "public" },
        ],
        "responses": responses,
    })
}

/// A good token that says much.
fn token() -> String {
    let claims = json!({ "department": "finance", "acr": "urn:okta:loa:1fa:any", "auth_time": NOW - 7200, "amr": ["pwd"],
        "realm": { "roles": ["staff"] } });
    SigningKey::a("k1").token(&with(&payload(NOW), claims))
}

fn engine(configuration: &Value) -> Harness {
    Harness::with(configuration, Setup { environment: &environment, ..Setup::default() })
}

fn decide(responses: Value, path: &str, token: Option<&str>, more: &[(&str, &str)]) -> Decision {
    let configuration = configuration(responses);
    let loaded = config::load(configuration.to_string().as_bytes(), &environment).unwrap();
    assert!(!format!("{:?}", loaded.policy).contains(&SECRET[..8]), "the policy shows the secret");
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut fields = vec![(":authority", "api.acme.com"), (":path", path)];
    if !more.iter().any(|(name, _)| *name == ":method") {
        fields.push((":method", "GET"));
    }
    fields.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    fields.extend(more);
    engine(&configuration).decide(&head(&fields))
}

/// What is told of the refusal beside what everybody is told.
fn debug_header(reply: &LocalResponse) -> Option<Value> {
    let mut values = reply.headers.iter().filter(|(name, _)| name.as_str() == "x-auth-debug").map(|(_, value)| value);
    let value = values.next()?;
    assert!(values.next().is_none() && HeaderValue::parse(value.as_str()).is_some(), "{value:?}");
    Some(serde_json::from_str(value.as_str()).unwrap())
}

#[test]
fn client_with_the_debug_secret_gets_reason_rule_provider_and_claims() {
    let good = token();
    let expired = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "exp": NOW - 3600 })));
    let of_rule = |reason: &str, rule: &str, claims: Value| json!({ "reason": reason, "rule": rule, "provider": "okta", "claims": claims });
    for (path, token, expected) in [
        ("/", None, json!({ "reason": "token_missing" })),
        ("/", Some("opaque"), json!({ "reason": "token_opaque" })),
        ("/", Some(&*expired), json!({ "reason": "token_expired", "provider": "okta" })),
        ("/group", Some(&*good), of_rule("group_missing", "group", json!([["realm", "roles"]]))),
        ("/pay", Some(&*good), of_rule("authentication_too_weak", "pay", json!(["acr", "auth_time", "scp"]))),
        (
            "/claims",
            Some(&*good),
            of_rule("rule_audience_not_allowed", "claims", json!(["aud", "cid", "department", "amr"])),
        ),
        ("/any", Some(&*good), of_rule("scope_missing", "any", json!([["realm", "roles"], "scp"]))),
        ("/not", Some(&*good), of_rule("not_condition_matched", "not", json!(["department"]))),
        ("/condition", Some(&*good), json!({ "reason": "condition_unmet", "rule": "condition", "provider": "okta" })),
        ("/closed", Some(&*good), json!({ "reason": "access_denied", "rule": "closed" })),
        ("/a%2fb", Some(&*good), json!({ "reason": "path_escaped_slash" })),
    ] {
        let decision = decide(json!({}), path, token, &[SHOWN]);
        assert_eq!(debug_header(reply(&decision)), Some(expected), "{path}");
        assert_eq!(decision.audit.reason(), debug_header(reply(&decision)).unwrap()["reason"], "as the log has it");
        // Names are the operator's; what the token says stays in it.
        let text = format!("{:?}", reply(&decision));
        for hidden in ["finance", "staff", "1fa", "pwd", "alice", &SECRET[..8], &good[..12]] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
        assert!(!format!("{decision:?} {}", decision.audit.to_json()).contains(&SECRET[..8]));
    }
}

#[test]
fn client_without_the_debug_secret_gets_the_ordinary_response() {
    let good = token();
    let shorter = &SECRET[..SECRET.len() - 1];
    let longer = format!("{SECRET}x");
    let plain = decide(json!({ "debug": null }), "/group", Some(&good), &[SHOWN]);
    for more in [
        &[][..],
        &[("x-auth-debug", "")],
        &[("x-auth-debug", shorter)],
        &[("x-auth-debug", &longer)],
        &[("x-auth-debug", "DEBUG-0123456789ABCDEF")],
        &[SHOWN, SHOWN],
        &[("x_auth_debug", SECRET)],
        &[("authorization-debug", SECRET)],
    ] {
        assert_eq!(decide(json!({}), "/group", Some(&good), more).verdict, plain.verdict, "{more:?}");
    }
}

#[test]
fn debug_header_is_the_only_difference_in_every_response_format() {
    let good = token();
    let page = ("accept", "text/html");
    let none: &[(&str, &str)] = &[];
    let forms = [
        (json!({ "format": "problem" }), "/group", none),
        (json!({ "custom": { "forbidden": { "body": "no", "headers": { "x-support": "help" } } } }), "/group", &[]),
        (json!({}), "/group", &[("content-type", "application/grpc")]),
        (json!({}), "/group", &[(":method", "HEAD")]),
        (
            json!({ "cors": { "allow_origins": ["https://app.acme.com"] } }),
            "/group",
            &[("origin", "https://app.acme.com")],
        ),
        (json!({ "login": { "url": "https://app.acme.com/login" } }), "/pay", &[page]),
    ];
    for (responses, path, more) in forms {
        let without = decide(responses.clone(), path, Some(&good), more);
        let with_secret: Vec<_> = more.iter().copied().chain([SHOWN]).collect();
        let found = decide(responses, path, Some(&good), &with_secret);
        let (mut found, without) = (reply(&found).clone(), reply(&without).clone());
        assert!(debug_header(&found).is_some() && debug_header(&without).is_none(), "{more:?}");
        found.headers.retain(|(name, _)| name.as_str() != "x-auth-debug");
        assert_eq!(found, without, "{more:?}");
        assert!(
            found.headers.iter().any(|(name, value)| name.as_str() == "cache-control" && value.as_str() == "no-store")
        );
    }
}

#[test]
fn debug_secret_is_never_forwarded_to_the_backend() {
    let good = token();
    for (path, token) in [("/", Some(&*good)), ("/open", None)] {
        for name in ["X-Auth-Debug", "x_auth_debug", "X.Auth-Debug"] {
            for value in [SECRET, "anything"] {
                let decision = decide(json!({}), path, token, &[(name, value)]);
                let edits = edits_of(&decision);
                let removal = HeaderEdit::Remove(name.to_ascii_lowercase());
                assert_eq!(edits.iter().filter(|edit| **edit == removal).count(), 1, "{path} {name}");
                assert!(!format!("{decision:?}").contains(&SECRET[..8]));
            }
        }
    }
    // Nor as a trailer; and where nobody is told more the header is the backend's business.
    let is_managed = |responses: Value, name: &str| engine(&configuration(responses)).engine.is_managed_trailer(name);
    assert!(is_managed(json!({}), "X_Auth_Debug"));
    assert!(!is_managed(json!({ "debug": null }), "x-auth-debug"));
    let decision = decide(json!({ "debug": null }), "/open", None, &[SHOWN]);
    assert!(!edits_of(&decision).iter().any(|edit| *edit == HeaderEdit::Remove("x-auth-debug".to_owned())));
}

#[test]
fn debug_header_name_is_configurable_and_logs_a_warning_at_start() {
    let responses = json!({ "debug": { "header": "X-Why", "secret": { "env": "AUTH_DEBUG_KEY" } } });
    let decision = decide(responses.clone(), "/", None, &[("x-why", SECRET)]);
    assert!(reply(&decision).headers.iter().any(|(name, _)| name.as_str() == "x-why"));
    let loaded = config::load(configuration(responses).to_string().as_bytes(), &environment).unwrap();
    let is_debug = |warning: &&Warning| warning.code == WarningCode::DebugResponses;
    let found: Vec<String> = loaded.warnings.iter().filter(is_debug).map(ToString::to_string).collect();
    assert!(matches!(&*found, [warning] if !warning.contains(SECRET)), "{found:?}");
    // A secret that could be guessed, or that no header can carry, is none.
    let document = configuration(json!({})).to_string();
    for secret in [
        "fifteen-letters",
        "sixteen-letters\n",
        " sixteen-letters",
        "seven-een letters",
        "sixteen-letters\u{e9}",
        &"x".repeat(257),
    ] {
        let faults = config::load(document.as_bytes(), &|_| Some(secret.to_owned())).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            matches!(&*told, [one] if one.starts_with("$.responses.debug.secret: the variable must hold 16")),
            "{told:?}"
        );
    }
    assert!(config::load(document.as_bytes(), &|_| Some("sixteen-letters!".to_owned())).is_ok());
    for unset in [None, Some(String::new()), Some(" ".repeat(16))] {
        let faults = config::load(document.as_bytes(), &|_| unset.clone()).unwrap_err();
        assert!(
            faults.iter().all(|fault| fault.to_string().starts_with("$.responses.debug.secret.env: ")),
            "{faults:?}"
        );
    }
}

/// What stood in such a field would be a request's id in our log, or missing behind us.
#[test]
fn header_with_another_meaning_is_rejected_as_the_debug_header() {
    for header in [
        "x-request-id",
        "X-Request-Id",
        "user-agent",
        "referer",
        "authorization",
        "cookie",
        "origin",
        "accept",
        "sec-fetch-mode",
        "x-forwarded-for",
        "x-envoy-original-path",
        "host",
        "content-length",
        "content-type",
        "www-authenticate",
        "grpc-status",
        "access-control-allow-origin",
        "x-user-id",
        "x_user_id",
        ":path",
        "two words",
        "",
    ] {
        let responses = json!({ "debug": { "header": header, "secret": { "env": "AUTH_DEBUG_KEY" } } });
        let faults = config::load(configuration(responses).to_string().as_bytes(), &environment).unwrap_err();
        assert!(faults.iter().all(|fault| fault.to_string().starts_with("$.responses.debug.header: ")), "{faults:?}");
    }
}

#[test]
fn configured_names_are_escaped_in_the_debug_header() {
    let hostile = "o\r\nset-cookie: a=b\u{7f}\u{e9}\u{1f511}\"";
    let mut document = configuration(json!({}));
    let provider = document["providers"]["okta"].take();
    document["providers"] = json!({ hostile: provider });
    document["rules"] = json!([{ "match": { "path": "/" }, "require": { "claims": { hostile: "x" } } }]);
    let bearer = format!("Bearer {}", token());
    let fields = [(":method", "GET"), (":authority", "a"), (":path", "/"), ("authorization", &*bearer), SHOWN];
    let decision = engine(&document).decide(&head(&fields));
    let reply = reply(&decision);
    let told = debug_header(reply);
    assert_eq!(told, Some(json!({ "reason": "claim_unmet", "provider": hostile, "claims": [hostile] })));
    let written = reply.headers.iter().flat_map(|(_, value)| value.as_str().bytes());
    assert!(written.into_iter().all(|byte| (b' '..=b'~').contains(&byte)), "{reply:?}");
}

/// A preflight that passes by itself, and a request whose token goes on too, are requests that go on.
#[test]
fn debug_secret_is_removed_from_every_allowed_request() {
    let mut document = configuration(json!({}));
    document["bypass_cors_preflight"] = json!(true);
    document["token"]["forward"] = json!(true);
    document["rules"] = json!([
        { "match": { "path": "/maybe" }, "access": "optional" },
        { "match": { "path": "/trial" }, "require": { "groups": ["nobody"] }, "report_only": true },
    ]);
    let mut engine = engine(&document);
    let bearer = format!("Bearer {}", token());
    let authorized = [("authorization", &*bearer)];
    let preflight = [("origin", "https://app.acme.com"), ("access-control-request-method", "PUT")];
    for (method, path, more) in [
        ("OPTIONS", "/", &preflight[..]),
        ("GET", "/maybe", &[]),
        ("GET", "/maybe", &authorized),
        ("GET", "/trial", &authorized),
        ("GET", "/", &authorized),
    ] {
        let fields = [(":method", method), (":authority", "a"), (":path", path), SHOWN, ("x_auth_debug", "other")];
        let fields: Vec<_> = fields.iter().chain(more).copied().collect();
        let decision = engine.decide(&head(&fields));
        let edits = edits_of(&decision);
        for name in ["x-auth-debug", "x_auth_debug"] {
            assert!(edits.iter().any(|edit| *edit == HeaderEdit::Remove(name.to_owned())), "{method} {path}: {name}");
        }
    }
}
