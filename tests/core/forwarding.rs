//! What is forwarded beside claim headers: the whole payload, filter state for other filters and the access log; and resource
//! metadata for clients without a token (RFC 9728). A row per case; runs natively and, as wasm, under Node.

use crate::engine_harness::{Harness, NOW, head};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, one_issuer, payload, with};
use crate::verdicts::{edits, reason};
use okta_proxy_wasm::engine::{Decision, Verdict};
use okta_proxy_wasm::http::{HeaderName, LocalResponse};
use serde_json::{Value, json};

const HOST: &str = "api.acme.com";
const METADATA: &str = "/.well-known/oauth-protected-resource";

struct Gate(Harness);

impl Gate {
    /// One issuer, with some members of the document besides.
    fn new(members: Value) -> Self {
        Self(Harness::new(&with(&one_issuer(), members)))
    }

    fn decide(&mut self, fields: &[(&str, &str)]) -> Decision {
        self.0.decide(&head(fields))
    }

    /// A `GET` of this path of this host with this token; none where it is empty.
    fn get(&mut self, host: &str, path: &str, token: &str) -> Decision {
        let bearer = format!("Bearer {token}");
        let mut fields = vec![(":method", "GET"), (":authority", host), (":path", path)];
        fields.extend((!token.is_empty()).then_some(("authorization", bearer.as_str())));
        self.decide(&fields)
    }

    /// The filter's own answer, if it gives one.
    fn answer(&mut self, method: &str, host: &str, path: &str) -> Option<LocalResponse> {
        self.0.local_response(&head(&[(":method", method), (":authority", host), (":path", path)]))
    }

    fn document(&mut self, host: &str, path: &str) -> Value {
        serde_json::from_slice(&self.answer("GET", host, path).unwrap().body).unwrap()
    }
}

/// A good token with some claims replaced.
fn token(changes: Value) -> String {
    SigningKey::a("k1").token(&with(&payload(NOW), changes))
}

/// The status and the challenge of a refusal.
fn refusal(decision: &Decision) -> (u16, String) {
    match &decision.verdict {
        Verdict::Allow(_) => panic!("allowed"),
        Verdict::Deny(reply) => (reply.status, reply.header(&HeaderName::WWW_AUTHENTICATE).unwrap_or("").to_owned()),
    }
}

/// What is told of a decision: `name=value`.
fn filter_state(decision: &Decision) -> Vec<String> {
    decision.filter_state.iter().map(|entry| format!("{}={}", entry.name, entry.value.as_str())).collect()
}

fn payload_of(token: &str) -> &str {
    token.split('.').nth(1).unwrap()
}

#[test]
fn payload_reaches_the_backend_as_signed_and_never_from_the_client() {
    let mut gate = Gate::new(json!({
        "claim_to_headers": [{ "header": "x-user-id", "claim": "sub" }],
        "forward_payload_header": "X-JWT-Payload",
        "rules": [{ "match": { "path": "/open" }, "access": "public" }],
    }));
    // Spelled as no serializer of ours would: what was signed is what goes on.
    let claims = payload(NOW).to_string().replace("\":", "\" : ");
    let token = SigningKey::a("k1").token_of_texts(r#"{"alg":"RS256","kid":"k1"}"#, &claims);
    let bearer = format!("Bearer {token}");
    let spoofed =
        [("x-jwt-payload", "e30"), ("X_Jwt_Payload", "e30"), ("x.jwt.payload", "e30"), ("x-jwt-payload", "e31")];
    let gone = ["-x-jwt-payload", "-x_jwt_payload", "-x.jwt.payload", "-authorization"];
    let head = |path| [(":method", "GET"), (":authority", HOST), (":path", path)];
    let expected = format!("x-jwt-payload={}", payload_of(&token));
    // Twice: the second time the token is known.
    for _ in 0..2 {
        let fields = [&head("/a")[..], &[("authorization", bearer.as_str())], &spoofed].concat();
        let expected = [&gone[..], &["x-user-id=alice@acme.com", expected.as_str()]].concat();
        assert_eq!(edits(&gate.decide(&fields)), expected);
    }
    let public = [&head("/open")[..], &[("authorization", bearer.as_str())], &spoofed].concat();
    assert_eq!(edits(&gate.decide(&public)), gone);
    for (name, expected) in [("x-jwt-payload", true), ("X_JWT.Payload", true), ("x-jwt-payloads", false)] {
        assert_eq!(gate.0.engine.is_managed_trailer(name), expected, "{name}");
    }
}

#[test]
fn identity_too_large_to_forward_is_rejected_without_a_challenge() {
    let long = token(json!({ "sub": "\u{e9}".repeat(1400) }));
    for members in [json!({}), json!({ "claim_to_headers": [], "filter_state": ["subject"] })] {
        let mut gate = Gate::new(members);
        for _ in 0..2 {
            let decision = gate.get(HOST, "/a", &long);
            assert_eq!((reason(&decision), refusal(&decision)), ("identity_too_long", (403, String::new())));
        }
        assert_eq!(reason(&gate.get(HOST, "/a", &token(json!({})))), "authorized");
    }
    let mut gate = Gate::new(json!({ "claim_to_headers": [], "forward_payload_header": "x-payload" }));
    let decision = gate.get(HOST, "/a", &long);
    assert_eq!(edits(&decision).last().unwrap(), &format!("x-payload={}", payload_of(&long)));
}

#[test]
fn filter_state_has_every_decision_and_the_identity_only_after_verification() {
    let mut gate = Gate::new(json!({
        "rules": [
            { "name": "open", "match": { "path": "/open" }, "access": "public" },
            { "name": "maybe", "match": { "path": "/maybe" }, "access": "optional" },
            { "name": "closed", "match": { "path": "/closed" }, "access": "deny" },
            { "name": "write", "match": { "path": "/write" }, "require": { "scopes": ["admin"] } },
            { "name": "trial", "match": { "path": "/trial" }, "require": { "scopes": ["admin"] }, "report_only": true },
        ],
        "filter_state": ["subject", "client", "scopes", "token_id", "rule", "reason", "provider",
            { "name": "tenant", "claim": ["https://acme.com/claims", "tenant"] },
            { "name": "groups", "claim": "groups", "format": "comma" }],
    }));
    let good =
        token(json!({ "jti": "AT.1", "groups": ["a", "b,c"], "https://acme.com/claims": { "tenant": "Zo\u{eb}\n" } }));
    let forged = SigningKey::b("k1").token(&payload(NOW));
    let expired = token(json!({ "exp": NOW - 600 }));
    let of_alice = [
        "auth_subject=alice@acme.com",
        "auth_client=0oa1client",
        "auth_scopes=read:accounts write:accounts",
        "auth_token_id=AT.1",
        "auth_tenant=Zo%C3%AB%0A",
        "auth_groups=a,b%2Cc",
    ];
    let with_alice = |decision: &[&'static str]| [decision, &of_alice].concat();
    let allow = "auth_decision=allow";
    let deny = "auth_decision=deny";
    let okta = "auth_provider=okta";
    for (path, token, expected) in [
        ("/a", good.as_str(), with_alice(&[allow, "auth_reason=authorized", okta])),
        ("/a", "", vec![deny, "auth_reason=token_missing"]),
        ("/a", "x", vec![deny, "auth_reason=token_opaque"]),
        ("/a", &forged, vec![deny, "auth_reason=signature_invalid", okta]),
        ("/a", &expired, vec![deny, "auth_reason=token_expired", okta]),
        ("/open", &good, vec![allow, "auth_rule=open", "auth_reason=no_token_required"]),
        ("/maybe", "", vec![allow, "auth_rule=maybe", "auth_reason=no_token_required"]),
        ("/maybe", &good, with_alice(&[allow, "auth_rule=maybe", "auth_reason=authorized", okta])),
        ("/closed", &good, vec![deny, "auth_rule=closed", "auth_reason=access_denied"]),
        ("/write", &good, with_alice(&[deny, "auth_rule=write", "auth_reason=scope_missing", okta])),
        ("/trial", &good, with_alice(&[allow, "auth_rule=trial", "auth_reason=authorized", okta])),
        ("/a%2fb", &good, vec![deny, "auth_reason=path_escaped_slash"]),
    ] {
        assert_eq!(filter_state(&gate.get(HOST, path, token)), expected, "{path} {token:.5}");
    }
    let silent = token(json!({ "sub": null, "cid": null, "scp": null, "jti": null }));
    assert_eq!(filter_state(&gate.get(HOST, "/a", &silent)), [allow, "auth_reason=authorized", okta]);
}

#[test]
fn filter_state_is_set_only_where_configured_with_the_decision_first() {
    let good = token(json!({}));
    assert_eq!(filter_state(&Gate::new(json!({})).get(HOST, "/a", &good)), [""; 0]);
    for list in [json!(["subject"]), json!(["subject", "decision"])] {
        let mut gate = Gate::new(json!({ "filter_state": list }));
        assert_eq!(filter_state(&gate.get(HOST, "/a", &good)), ["auth_decision=allow", "auth_subject=alice@acme.com"]);
        assert_eq!(filter_state(&gate.get(HOST, "/a", "")), ["auth_decision=deny"]);
    }
    for (written, expected) in [(json!(true), true), (json!(false), false), (json!(null), false)] {
        let decision = Gate::new(json!({ "clear_route_cache": written })).get(HOST, "/a", &good);
        assert_eq!(decision.filter_state.clears_route_cache, expected);
    }
}

#[test]
fn resource_metadata_reflect_the_configuration() {
    let mut gate = Gate::new(json!({
        "providers": {
            "okta": { "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "okta" },
            "other": { "issuer": "https://login.acme.com", "audiences": ["a"], "upstream": "other" },
        },
        "rules": [
            { "match": { "path_prefix": "/mcp/admin" }, "require": { "any_scope": ["mcp:admin", "mcp:root"] } },
            { "match": { "hosts": [HOST], "path_prefix": "/mcp" },
              "require": { "scopes": ["mcp:tools"], "not": { "scopes": ["mcp:banned"] } } },
            { "match": { "path_prefix": "/mcp/beta" }, "require": { "scopes": ["mcp:beta"] }, "report_only": true },
            { "match": { "path_prefix": "/accounts" }, "require": { "scopes": ["accounts"] } },
            { "match": { "hosts": ["other.acme.com"] }, "require": { "scopes": ["other"] } },
        ],
        "default_rule": { "require": { "scopes": ["base"] } },
        "protected_resources": [
            { "resource": "https://api.acme.com/mcp" },
            { "resource": "https://api.acme.com", "authorization_servers": [ISSUER], "scopes_supported": ["x"],
              "resource_name": "Acme \u{201c}API\u{201d}", "resource_documentation": "https://acme.com/docs",
              "resource_policy_uri": "https://acme.com/policy", "resource_tos_uri": "https://acme.com/tos" },
        ],
    }));
    assert_eq!(
        gate.document(HOST, &format!("{METADATA}/mcp")),
        json!({
            "resource": "https://api.acme.com/mcp",
            "authorization_servers": [ISSUER, "https://login.acme.com"],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["mcp:admin", "mcp:root", "mcp:tools", "base"],
        })
    );
    assert_eq!(
        gate.document(HOST, METADATA),
        json!({
            "resource": "https://api.acme.com", "authorization_servers": [ISSUER], "scopes_supported": ["x"],
            "bearer_methods_supported": ["header"], "resource_name": "Acme \u{201c}API\u{201d}",
            "resource_documentation": "https://acme.com/docs", "resource_policy_uri": "https://acme.com/policy",
            "resource_tos_uri": "https://acme.com/tos",
        })
    );
    let bound = |mode: &str| {
        let mut provider = one_issuer()["providers"]["okta"].take();
        provider["sender_constraint"] = json!({ "mtls": mode });
        let resources = json!([{ "resource": "https://api.acme.com" }]);
        let members = json!({ "providers": { "okta": provider }, "protected_resources": resources });
        Gate::new(members).document(HOST, METADATA)["tls_client_certificate_bound_access_tokens"].clone()
    };
    assert_eq!((bound("off"), bound("if_bound"), bound("required")), (Value::Null, json!(true), json!(true)));
    let methods = |token: Value| {
        let resources = json!([{ "resource": "https://api.acme.com" }]);
        let document = Gate::new(json!({ "token": token, "protected_resources": resources })).document(HOST, METADATA);
        assert_eq!(document.get("scopes_supported"), None, "no rule asks for one");
        document["bearer_methods_supported"].clone()
    };
    let header = |name: &str, scheme: &str| json!([{ "name": name, "scheme": scheme }]);
    assert_eq!(methods(json!({ "from_headers": header("Authorization", "bearer") })), json!(["header"]));
    assert_eq!(methods(json!({ "from_headers": header("x-token", "Bearer") })), json!([]));
    assert_eq!(methods(json!({ "from_headers": header("authorization", "Token") })), json!([]));
    assert_eq!(methods(json!({ "from_params": ["access_token"] })), json!(["header", "query"]));
    assert_eq!(methods(json!({ "from_headers": [], "from_params": ["at"], "from_cookies": ["at"] })), json!([]));
}

#[test]
fn resource_metadata_are_public_before_every_rule_and_other_paths_are_not() {
    let mut gate = Gate::new(json!({
        "default_rule": { "access": "deny" }, "rules": [{ "match": { "hosts": ["b.acme.com"] } }],
        "protected_resources": [{ "resource": "https://api.acme.com/mcp" }],
    }));
    let path = format!("{METADATA}/mcp");
    let fields = |reply: &LocalResponse| {
        reply.headers.iter().map(|(name, value)| format!("{}: {}", name.as_str(), value.as_str())).collect::<Vec<_>>()
    };
    for method in ["GET", "HEAD"] {
        let reply = gate.answer(method, HOST, &path).unwrap();
        assert_eq!(reply.status, 200);
        let expected =
            ["content-type: application/json", "cache-control: public, max-age=3600", "access-control-allow-origin: *"];
        assert_eq!(fields(&reply), expected, "{method}");
    }
    let preflight = gate.answer("OPTIONS", HOST, &path).unwrap();
    assert_eq!((preflight.status, preflight.body.len()), (204, 0));
    let expected = [
        "allow: GET, HEAD, OPTIONS",
        "access-control-allow-methods: GET, HEAD, OPTIONS",
        "access-control-allow-headers: *",
        "access-control-max-age: 3600",
        "access-control-allow-origin: *",
    ];
    assert_eq!(fields(&preflight), expected);
    for method in ["POST", "PUT", "DELETE", "get", "TRACE"] {
        let reply = gate.answer(method, HOST, &path).unwrap();
        assert_eq!((reply.status, reply.body.len()), (405, 0), "{method}");
        assert_eq!(reply.header(&HeaderName::ALLOW), Some("GET, HEAD, OPTIONS"));
    }
    for (host, path) in [
        (HOST, METADATA.to_owned()),
        (HOST, format!("{path}/")),
        (HOST, format!("{path}/tools")),
        (HOST, format!("/x{path}")),
        (HOST, format!("/{path}")),
        (HOST, path.to_uppercase()),
        ("b.acme.com", path.clone()),
        ("evil.example", path.clone()),
        ("", path.clone()),
    ] {
        assert!(gate.answer("GET", host, &path).is_none(), "{host} {path}");
    }
    assert!(Gate::new(json!({})).answer("GET", HOST, METADATA).is_none());
}

#[test]
fn challenge_names_the_metadata_of_the_requested_resource() {
    let mut gate = Gate::new(json!({
        "responses": { "realm": "acme" },
        "rules": [
            { "match": { "path": "/mcp/pay" }, "require": { "acr": "phr" } },
            { "match": { "path": "/mcp/none" }, "require": { "groups": ["g"] } },
            { "match": { "path": "/mcp/trial" }, "require": { "scopes": ["mcp:beta"] }, "report_only": true },
            { "match": { "path_prefix": "/mcp" }, "require": { "scopes": ["mcp:tools"], "any_scope": ["mcp:read", "mcp:write"] } },
        ],
        "protected_resources": [{ "resource": "https://api.acme.com/mcp" }, { "resource": "https://api.acme.com:8443" }],
    }));
    let (good, forged) = (token(json!({})), SigningKey::b("k1").token(&payload(NOW)));
    let metadata = r#"resource_metadata="https://api.acme.com/.well-known/oauth-protected-resource/mcp""#;
    let at_port = r#"resource_metadata="https://api.acme.com:8443/.well-known/oauth-protected-resource""#;
    let scope = r#"scope="mcp:tools mcp:read""#;
    let realm = r#"Bearer realm="acme""#;
    for (host, path, token, status, parameters) in [
        (HOST, "/mcp", "", 401, vec![scope, metadata]),
        (HOST, "/mcp/tools/", "", 401, vec![scope, metadata]),
        ("API.acme.com:443", "/mcp", "", 401, vec![scope, metadata]),
        (HOST, "/mcp", &forged, 401, vec![r#"error="invalid_token""#, scope, metadata]),
        (HOST, "/mcp", &good, 403, vec![r#"error="insufficient_scope""#, scope, metadata]),
        (HOST, "/mcp/trial", "", 401, vec![metadata]),
        (HOST, "/mcp/pay", "", 401, vec![metadata]),
        (
            HOST,
            "/mcp/pay",
            &good,
            401,
            vec![r#"error="insufficient_user_authentication""#, r#"acr_values="phr""#, metadata],
        ),
        (HOST, "/mcpx", "", 401, vec![]),
        (HOST, "/", "", 401, vec![]),
        ("api.acme.com:8443", "/mcpx", "", 401, vec![at_port]),
        ("api.acme.com:8443", "/mcp", "", 401, vec![scope, at_port]),
        ("evil.example", "/mcp", "", 401, vec![]),
        ("api.acme.com.evil.example", "/mcp", "", 401, vec![]),
        ("evil\"@api.acme.com", "/mcp", "", 401, vec![]),
        // A malformed request is mended first.
        (HOST, "/mcp%2f", "", 400, vec![r#"error="invalid_request""#]),
    ] {
        let expected = [&[realm], &parameters[..]].concat().join(", ");
        assert_eq!(refusal(&gate.get(host, path, token)), (status, expected), "{host} {path}");
    }
    // No other token is known to help.
    assert_eq!(refusal(&gate.get(HOST, "/mcp/none", &good)), (403, String::new()));
    let twice = [(":method", "GET"), (":authority", HOST), (":authority", "evil.example"), (":path", "/mcp")];
    assert_eq!(refusal(&gate.decide(&twice)).1, realm);
    // Other fields by which a host is told are not looked at.
    let mut fields = vec![(":method", "GET"), (":authority", "evil.example"), (":path", "/mcp")];
    fields.extend([("host", HOST), ("x-forwarded-host", HOST)]);
    assert_eq!(refusal(&gate.decide(&fields)).1, realm);
}

#[test]
fn without_rules_a_challenge_names_the_metadata_too() {
    let mut gate = Gate::new(json!({ "protected_resources": [{ "resource": "https://api.acme.com/mcp" }] }));
    let expected = concat!(
        r#"Bearer realm="okta-proxy-wasm", "#,
        r#"resource_metadata="https://api.acme.com/.well-known/oauth-protected-resource/mcp""#
    );
    assert_eq!(refusal(&gate.get(HOST, "/mcp/x", "")), (401, expected.to_owned()));
    assert_eq!(refusal(&gate.get(HOST, "/mcp%2f", "")).1, r#"Bearer realm="okta-proxy-wasm""#);
    assert_eq!(refusal(&Gate::new(json!({})).get(HOST, "/mcp", "")).1, r#"Bearer realm="okta-proxy-wasm""#);
}

#[test]
fn a_header_to_remove_is_removed_in_every_spelling_and_never_written() {
    let mut gate = Gate::new(json!({
        "claim_to_headers": [], "request_headers_to_remove": ["Kubeflow-Userid"],
        "rules": [{ "match": { "path": "/open" }, "access": "public" }, { "match": { "path": "/maybe" }, "access": "optional" }] }));
    let bearer = format!("Bearer {}", token(json!({})));
    let spoofed = [
        ("kubeflow-userid", "admin"),
        ("Kubeflow_Userid", "admin"),
        ("kubeflow.userid", "admin"),
        ("x-kubeflow-userid", "a"),
    ];
    for (path, authorization) in [("/", Some(bearer.as_str())), ("/maybe", None), ("/open", None)] {
        let mut fields = vec![(":method", "GET"), (":authority", HOST), (":path", path)];
        fields.extend(authorization.map(|value| ("authorization", value)));
        fields.extend(spoofed);
        let found = edits(&gate.decide(&fields));
        let removed: Vec<&String> = found.iter().filter(|edit| edit.contains("userid")).collect();
        assert_eq!(removed, ["-kubeflow-userid", "-kubeflow_userid", "-kubeflow.userid"], "{path}");
    }
    assert!(gate.0.engine.is_managed_trailer("KUBEFLOW_USERID") && !gate.0.engine.is_managed_trailer("x-other"));
}

#[test]
fn a_value_prefix_is_compared_byte_for_byte_and_rejected_elsewhere_in_the_value() {
    let mut gate = Gate::new(json!({
        "token": { "from_headers": [{ "name": "authorization", "value_prefix": "Bearer " }, { "name": "x-t", "value_prefix": "token=" }] },
        "default_rule": { "access": "optional" } }));
    let token = token(json!({}));
    for (name, value, expected) in [
        ("authorization", format!("Bearer {token}"), "authorized"),
        ("x-t", format!("token={token}"), "authorized"),
        ("authorization", String::from("Basic YTpi"), "no_token_required"),
        ("authorization", format!("bearer {token}"), "credential_malformed"),
        ("authorization", format!("xBearer {token}"), "credential_malformed"),
        ("authorization", format!("Basic YTpi Bearer {token}"), "credential_malformed"),
        ("authorization", format!("Bearer  {token}"), "credential_malformed"),
        ("x-t", format!("a; token={token}"), "credential_malformed"),
    ] {
        let fields = [(":method", "GET"), (":authority", HOST), (":path", "/"), (name, value.as_str())];
        assert_eq!(reason(&gate.decide(&fields)), expected, "{name}: {value}");
    }
}

#[test]
fn a_strict_path_spelling_rejects_a_path_whose_normal_form_matches_another_rule() {
    let rules = json!([{ "match": { "path_regex": "/keys:list" }, "access": "public" },
        { "match": { "path_regex": "/adm%69n.*" }, "access": "deny" }, { "match": { "path_regex": "/a.*" }, "access": "public" }]);
    let mut lenient = Gate::new(json!({ "rules": rules }));
    let mut strict = Gate::new(json!({ "rules": rules, "strict_path_spelling": true }));
    for (path, lenient_reason, strict_reason) in [
        ("/keys:list", "no_token_required", "no_token_required"),
        ("/keys%3Alist", "no_token_required", "path_ambiguous"),
        ("/%61", "no_token_required", "path_ambiguous"),
        ("/x/../a", "path_ambiguous", "path_ambiguous"),
        ("/adm%69n", "no_token_required", "path_ambiguous"),
        ("/a/%3A", "no_token_required", "no_token_required"),
        ("/b%3A", "token_missing", "token_missing"),
        ("/keys%3Alist?x=/a", "no_token_required", "path_ambiguous"),
    ] {
        assert_eq!(reason(&lenient.get(HOST, path, "")), lenient_reason, "{path}");
        assert_eq!(reason(&strict.get(HOST, path, "")), strict_reason, "{path}");
    }
}
