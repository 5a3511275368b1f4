//! The operator's rules: which requests are allowed under which rule, the response to the client and the audit record, a row
//! per case. Runs natively and, as wasm, under Node.

use crate::engine_harness::{Harness, NOW, get, head, published, status_of as status};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, one_issuer, payload, with};
use crate::verdicts::{edits, reason};
use okta_proxy_wasm::engine::{Decision, Verdict};
use okta_proxy_wasm::http::{HeaderName, RequestHead};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

/// Fields of a request.
type Fields<'a> = &'a [(&'a str, &'a str)];

/// An engine of one configuration.
struct Gate(Harness);

impl Gate {
    fn new(configuration: &Value) -> Self {
        Self(Harness::new(configuration))
    }

    /// The decision on exactly these fields.
    fn decide(&mut self, fields: &[(&str, &str)]) -> Decision {
        self.0.decide(&head(fields))
    }

    /// A `GET` of this path with this token; none where it is empty.
    fn get(&mut self, path: &str, token: &str) -> Decision {
        self.0.decide(&get(path, token, &[]))
    }

    fn send(&mut self, method: &str, path: &str, token: &str) -> Decision {
        let bearer = format!("Bearer {token}");
        let mut fields = vec![(":method", method), (":authority", "api.acme.com"), (":path", path)];
        fields.extend((!token.is_empty()).then_some(("authorization", bearer.as_str())));
        self.decide(&fields)
    }
}

/// One issuer, with some members of the document besides.
fn configured(members: Value) -> Value {
    with(&one_issuer(), members)
}

fn ruled(rules: Value) -> Gate {
    Gate::new(&configured(json!({ "rules": rules })))
}

/// A good token with some claims replaced.
fn token(changes: Value) -> String {
    SigningKey::a("k1").token(&with(&payload(NOW), changes))
}

fn challenge(decision: &Decision) -> Option<&str> {
    match &decision.verdict {
        Verdict::Allow(_) => panic!("allowed"),
        Verdict::Deny(reply) => reply.header(&HeaderName::WWW_AUTHENTICATE),
    }
}

fn error(decision: &Decision) -> String {
    match &decision.verdict {
        Verdict::Allow(_) => panic!("allowed"),
        Verdict::Deny(reply) => {
            assert_eq!(reply.header(&HeaderName::CACHE_CONTROL), Some("no-store"));
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            body["error"].as_str().unwrap().to_owned()
        }
    }
}

fn audit(decision: &Decision) -> Value {
    serde_json::from_str(&decision.audit.to_json()).unwrap()
}

#[test]
fn each_access_kind_decides_each_credential_as_documented() {
    let (good, expired) = (token(json!({})), token(json!({ "exp": NOW - 3600 })));
    let bad = SigningKey::b("k1").token(&payload(NOW));
    let credentials = [vec![], vec![&good], vec![&bad], vec![&expired], vec![&good, &good], vec![&good, &bad]];
    const PASSES: (u16, &str) = (200, "no_token_required");
    const DENIED: (u16, &str) = (403, "access_denied");
    let judged = [
        (200, "authorized"),
        (401, "signature_invalid"),
        (401, "token_expired"),
        (400, "multiple_credentials"),
        (400, "multiple_credentials"),
    ];
    let beside = |first: (u16, &'static str)| [&[first][..], &judged].concat();
    let kinds = [
        ("public", vec![PASSES; 6]),
        ("optional", beside(PASSES)),
        ("token", beside((401, "token_missing"))),
        ("deny", vec![DENIED; 6]),
    ];
    for (access, expected) in kinds {
        let documents = [
            json!({ "rules": [{ "name": "r", "match": { "path": "/a" }, "access": access }], "default_rule": { "access": "deny" } }),
            json!({ "rules": [{ "match": { "path": "/b" } }], "default_rule": { "access": access } }),
            json!({ "default_rule": { "access": access } }),
        ];
        for document in documents {
            let mut gate = Gate::new(&configured(document.clone()));
            for (credentials, expected) in credentials.iter().zip(&expected) {
                let bearers: Vec<String> = credentials.iter().map(|token| format!("Bearer {token}")).collect();
                let mut fields = vec![(":method", "GET"), (":path", "/a")];
                fields.extend(bearers.iter().map(|bearer| ("authorization", bearer.as_str())));
                let decision = gate.decide(&fields);
                assert_eq!((status(&decision), reason(&decision)), *expected, "{access} {document}");
                let identified = status(&decision) == 200 && edits(&decision).iter().any(|edit| edit.contains('='));
                assert_eq!(identified, reason(&decision) == "authorized", "an identity is that of a judged token");
            }
        }
    }
    // No rule says anything, and a token is needed.
    assert_eq!(reason(&Gate::new(&configured(json!({ "rules": [] }))).get("/a", "")), "token_missing");
    assert_eq!(reason(&Gate::new(&configured(json!({ "default_rule": {} }))).get("/a", "")), "token_missing");
}

#[test]
fn request_allowed_without_a_token_forwards_no_identity_and_no_credential() {
    let mut gate = Gate::new(&configured(json!({
        "rules": [{ "match": { "path": "/public" }, "access": "public" }, { "match": { "path": "/optional" }, "access": "optional" }],
        "bypass_cors_preflight": true,
        "token": { "from_headers": [{ "name": "authorization", "scheme": "Bearer" }], "from_cookies": ["at"], "from_params": ["at"] },
    })));
    let (good, bad) = (token(json!({})), SigningKey::b("k1").token(&payload(NOW)));
    let spoofed = [("x-user-id", "root"), ("X_User_Id", "root"), ("x.client.id", "root"), ("x-other", "stays")];
    let gone = ["-x-user-id", "-x_user_id", "-x.client.id", "-authorization"];
    for path in ["/public", "/optional"] {
        let fields = [&[(":method", "GET"), (":path", path)], &spoofed[..]].concat();
        assert_eq!(edits(&gate.decide(&fields)), gone, "{path}");
    }
    for credential in [&good, &bad, "opaque"] {
        let (bearer, cookie, target) =
            (format!("Bearer {credential}"), format!("a=1; at={credential}"), format!("/public?x=1&at={credential}"));
        let fields = [(":method", "GET"), (":path", target.as_str()), ("authorization", &bearer), ("cookie", &cookie)];
        let expected = [&gone[..], &["cookie~a=1", ":path~/public?x=1"]].concat();
        assert_eq!(edits(&gate.decide(&[&fields[..], &spoofed].concat())), expected);
    }
    // A preflight, with whatever it may bring.
    let bearer = format!("Bearer {good}");
    let fields = [
        (":method", "OPTIONS"),
        (":path", "/a"),
        ("origin", "https://app.acme.com"),
        ("access-control-request-method", "PUT"),
        ("authorization", &bearer),
    ];
    let decision = gate.decide(&[&fields[..], &spoofed].concat());
    assert_eq!((reason(&decision), edits(&decision)), ("no_token_required", gone.map(str::to_owned).to_vec()));
    assert_eq!(gate.0.signatures_verified(), 0, "nobody looks at a token that does not matter");
    // Nothing of a preflight reaches the backend as a checked credential, also where checked ones do.
    let mut forwarding = Gate::new(&configured(json!({
        "rules": [{ "match": { "path": "/optional" }, "access": "optional" }], "bypass_cors_preflight": true,
        "token": { "forward": true, "from_headers": [{ "name": "x-token" }], "from_cookies": ["at"], "from_params": ["at"] },
    })));
    for path in ["/optional?at=a&x=1", "/a?at=a&x=1"] {
        let credentials = [("x-token", "a"), ("authorization", "Basic YTpi"), ("cookie", "sid=1; at=a; At=b")];
        let decision = forwarding.decide(&[&[fields[0], (":path", path)][..], &fields[2..4], &credentials].concat());
        let rest = format!(":path~{}", path.replace("at=a&", ""));
        assert_eq!(edits(&decision), ["-x-token", "-authorization", "-cookie", &rest], "{path}");
    }
    // A credential that cannot be taken out safely goes nowhere, public or not.
    for path in ["/public?at=x;at=y", "/public?x;at=y"] {
        let decision = gate.decide(&[(":method", "GET"), (":path", path), ("cookie", "x=\r\ny: z; at=q")]);
        assert_eq!((status(&decision), reason(&decision)), (401, "credential_malformed"), "{path}");
    }
}

#[test]
fn bad_token_is_rejected_where_a_token_is_optional() {
    // H6 of `attack_cases.rs`: anonymous-allowed route + invalid token.
    let mut gate = ruled(json!([{ "match": { "path_prefix": "/shop" }, "access": "optional" }]));
    assert_eq!(edits(&gate.get("/shop", "")), ["-authorization"]);
    let good = gate.get("/shop/cart", &token(json!({})));
    assert!(edits(&good).contains(&"x-user-id=alice@acme.com".to_owned()));
    let bad = [
        ("signature_invalid", SigningKey::b("k1").token(&payload(NOW))),
        ("key_unknown", SigningKey::a("k2").token(&payload(NOW))),
        ("token_expired", token(json!({ "exp": NOW - 3600 }))),
        ("issuer_unknown", token(json!({ "iss": "https://evil.example" }))),
        ("audience_unexpected", token(json!({ "aud": "api://other" }))),
        ("token_opaque", "opaque".to_owned()),
        ("token_encoding", "a.b.c".to_owned()),
        ("credential_malformed", " a.b.c".to_owned()),
        ("token_too_large", "a".repeat(8193)),
    ];
    for (expected, token) in &bad {
        let decision = gate.get("/shop", token);
        assert_eq!((status(&decision), reason(&decision)), (401, *expected));
        assert_eq!(challenge(&decision), Some(r#"Bearer realm="okta-proxy-wasm", error="invalid_token""#));
    }
    // Another scheme is no credential of ours, as without rules.
    let basic = gate.decide(&[(":method", "GET"), (":path", "/shop"), ("authorization", "Basic YTpi")]);
    assert_eq!((reason(&basic), edits(&basic)), ("no_token_required", vec!["-authorization".to_owned()]));
}

#[test]
fn deny_rule_rejects_every_request_with_any_credential() {
    let mut gate = Gate::new(&configured(json!({
        "rules": [{ "name": "internal", "match": { "path_prefix": "/internal" }, "access": "deny" }],
        "bypass_cors_preflight": true,
    })));
    let bearer = format!("Bearer {}", token(json!({})));
    let preflight = [("origin", "https://app.acme.com"), ("access-control-request-method", "GET")];
    let rows: [Fields<'_>; 6] = [
        &[],
        &[("authorization", &bearer)],
        &preflight,
        &[("authorization", "Bearer x"), ("authorization", "Bearer y")],
        &[("x-original-url", "/public"), ("x-forwarded-uri", "/public"), ("x-http-method-override", "GET")],
        &[("authorization", "Bearer \r\n")],
    ];
    for fields in rows {
        for method in ["GET", "OPTIONS"] {
            let decision = gate.decide(&[&[(":method", method), (":path", "/internal/x")], fields].concat());
            assert_eq!((status(&decision), reason(&decision)), (403, "access_denied"));
            assert_eq!((challenge(&decision), error(&decision)), (None, "access_denied".to_owned()));
            let record = json!({ "schema": 1, "decision": "deny", "reason": "access_denied", "method": method,
                "path": "/internal/x", "rule": "internal" });
            assert_eq!(audit(&decision), record);
        }
    }
    assert_eq!(gate.0.signatures_verified(), 0);
}

#[test]
fn preflight_requires_all_headers_that_a_browser_sends() {
    let origin = ("origin", "https://app.acme.com");
    let wanted = ("access-control-request-method", "PUT");
    let rows: [(&str, Fields<'_>, bool); 21] = [
        ("OPTIONS", &[origin, wanted], true),
        ("OPTIONS", &[origin, wanted, ("access-control-request-headers", "authorization")], true),
        ("OPTIONS", &[("Origin", "null"), ("Access-Control-Request-Method", "PUT")], true),
        ("OPTIONS", &[], false),
        ("OPTIONS", &[origin], false),
        ("OPTIONS", &[wanted], false),
        ("OPTIONS", &[origin, ("access-control-request-method", "")], false),
        ("OPTIONS", &[("origin", ""), wanted], false),
        ("OPTIONS", &[origin, origin, wanted], false),
        ("OPTIONS", &[origin, wanted, wanted], false),
        // As Envoy hands over two lines.
        ("OPTIONS", &[("origin", "https://app.acme.com,https://evil.example"), wanted], false),
        ("OPTIONS", &[origin, ("access-control-request-method", "PUT,GET")], false),
        // A body, or a method of their own choice, for a backend that runs the handler of the path.
        ("OPTIONS", &[origin, wanted, ("content-length", "0")], true),
        ("OPTIONS", &[origin, wanted, ("content-length", "1")], false),
        ("OPTIONS", &[origin, wanted, ("content-length", "00")], false),
        ("OPTIONS", &[origin, wanted, ("transfer-encoding", "chunked")], false),
        ("OPTIONS", &[origin, wanted, ("x-http-method-override", "DELETE")], false),
        ("OPTIONS", &[origin, wanted, ("X_HTTP_Method", "DELETE")], false),
        ("OPTIONS", &[origin, wanted, ("x-method-override", "DELETE")], false),
        ("GET", &[origin, wanted], false),
        ("GET", &[origin, wanted, ("x-http-method-override", "OPTIONS")], false),
    ];
    for bypass in [true, false] {
        for document in [
            json!({ "bypass_cors_preflight": bypass }),
            json!({ "bypass_cors_preflight": bypass, "rules": [{ "match": { "path": "/a" }, "require": { "scopes": ["s"] } }] }),
            json!({ "bypass_cors_preflight": bypass, "rules": [{ "require": { "scopes": ["s"] }, "report_only": true }] }),
        ] {
            let mut gate = Gate::new(&configured(document));
            for (method, fields, is_one) in rows {
                let decision = gate.decide(&[&[(":method", method), (":path", "/a")], fields].concat());
                let expected = if is_one && bypass { "no_token_required" } else { "token_missing" };
                assert_eq!(reason(&decision), expected, "{method} {fields:?}");
            }
        }
    }
    let mut gate = Gate::new(&configured(json!({ "bypass_cors_preflight": true })));
    for (path, expected) in [
        ("/a?x=1", "no_token_required"),
        ("/a?_method=DELETE", "token_missing"),
        ("/a?x=1&%5Fmethod=DELETE", "token_missing"),
        ("/a?x=1;_Method=DELETE", "token_missing"),
    ] {
        let fields = [(":method", "OPTIONS"), (":path", path), origin, wanted];
        assert_eq!(reason(&gate.decide(&fields)), expected, "{path}");
    }
    // Over HTTP/2 a body needs no field that announces it.
    let fields = [(":method", "OPTIONS"), (":path", "/a"), origin, wanted];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
    let head = RequestHead::new(fields).with_body_or_trailers();
    assert_eq!(gate.0.reason(&head), "token_missing");
    // The method twice: it is not known which one counts.
    let decision = gate.decide(&[(":method", "OPTIONS"), (":method", "OPTIONS"), (":path", "/a"), origin, wanted]);
    assert_eq!(reason(&decision), "token_missing");
}

#[test]
fn challenge_names_the_missing_requirement_and_nothing_else() {
    let realm = r#"Bearer realm="acme \"a\\b\" 50%""#;
    let mut gate = Gate::new(&configured(json!({ "responses": { "realm": "acme \"a\\b\" 50%" }, "rules": [
        { "match": { "path": "/scopes" }, "require": { "scopes": ["read:accounts", "pay", "x%2Fy,z"] } },
        { "match": { "path": "/any" }, "require": { "any_scope": ["least", "most"] } },
        { "match": { "path": "/acr" }, "require": { "acr": ["urn:okta:loa:2fa:any", "phr"] } },
        { "match": { "path": "/age" }, "require": { "max_age": "15m" } },
        { "match": { "path": "/both" }, "require": { "acr": "phr", "max_age": "1h", "scopes": ["read:accounts"] } },
        { "match": { "path": "/all" }, "require": { "acr": "phr", "max_age": "1h", "scopes": ["read:accounts", "pay"] } },
        { "match": { "path": "/group" }, "require": { "groups": ["finance"] } },
        { "match": { "path": "/client" }, "require": { "client_ids": ["other"], "scopes": ["pay"], "acr": "phr" } },
        { "match": { "path": "/claim" }, "require": { "claims": { "department": "finance" } } },
        { "match": { "path": "/audience" }, "require": { "audiences": ["api://tenant-b"] } },
        { "match": { "path": "/not" }, "require": { "not": { "client_ids": ["0oa1client"] } } },
    ] })));
    let step_up = format!(r#"{realm}, error="insufficient_user_authentication""#);
    let rows: [(&str, u16, &str, Option<String>, &str); 11] = [
        (
            "/scopes",
            403,
            "scope_missing",
            Some(format!(r#"{realm}, error="insufficient_scope", scope="read:accounts pay x%2Fy,z""#)),
            "insufficient_scope",
        ),
        (
            "/any",
            403,
            "scope_missing",
            Some(format!(r#"{realm}, error="insufficient_scope", scope="least""#)),
            "insufficient_scope",
        ),
        (
            "/acr",
            401,
            "authentication_too_weak",
            Some(format!(r#"{step_up}, acr_values="urn:okta:loa:2fa:any phr""#)),
            "insufficient_user_authentication",
        ),
        (
            "/age",
            401,
            "authentication_too_old",
            Some(format!(r#"{step_up}, max_age="900""#)),
            "insufficient_user_authentication",
        ),
        (
            "/both",
            401,
            "authentication_too_weak",
            Some(format!(r#"{step_up}, acr_values="phr", max_age="3600""#)),
            "insufficient_user_authentication",
        ),
        (
            "/all",
            401,
            "authentication_too_weak",
            Some(format!(r#"{step_up}, acr_values="phr", max_age="3600", scope="read:accounts pay""#)),
            "insufficient_user_authentication",
        ),
        ("/group", 403, "group_missing", None, "access_denied"),
        ("/client", 403, "rule_client_not_allowed", None, "access_denied"),
        ("/claim", 403, "claim_unmet", None, "access_denied"),
        ("/audience", 403, "rule_audience_not_allowed", None, "access_denied"),
        ("/not", 403, "not_condition_matched", None, "access_denied"),
    ];
    let token = token(json!({ "acr": "urn:okta:loa:1fa:pwd", "auth_time": NOW - 3600 }));
    for (path, expected_status, expected_reason, expected_challenge, expected_error) in rows {
        let decision = gate.get(path, &token);
        assert_eq!((status(&decision), reason(&decision)), (expected_status, expected_reason), "{path}");
        assert_eq!(challenge(&decision), expected_challenge.as_deref(), "{path}");
        assert_eq!(error(&decision), expected_error, "{path}");
        // Who has no token, or a bad one, is told nothing of the rule.
        let decision = gate.get(path, "");
        assert_eq!((status(&decision), challenge(&decision)), (401, Some(realm)), "{path}");
        let decision = gate.get(path, "opaque");
        assert_eq!(challenge(&decision), Some(&*format!(r#"{realm}, error="invalid_token""#)), "{path}");
    }
    let mut meets = Gate::new(&configured(json!({ "rules": [{ "require": {
        "scopes": ["write:accounts"], "acr": "urn:okta:loa:2fa:any", "max_age": "15m", "groups": ["finance"] } }] })));
    let strong = json!({ "acr": "phr", "auth_time": NOW - 900, "groups": ["finance"] });
    assert_eq!(reason(&meets.get("/", &self::token(strong))), "authorized");
}

#[test]
fn only_the_first_matching_rule_decides() {
    let scoped = |scope: &str| json!({ "scopes": [scope] });
    let mut gate = Gate::new(&configured(json!({ "rules": [
        { "name": "health", "match": { "path": "/healthz" }, "access": "public" },
        { "name": "read", "match": { "path_prefix": "/accounts", "methods": ["GET", "HEAD"] }, "require": scoped("read:accounts") },
        { "name": "write", "match": { "path_prefix": "/accounts" }, "require": scoped("admin") },
        { "name": "open", "match": { "path_prefix": "/accounts" }, "access": "public" },
        { "name": "report", "match": { "path_regex": "/reports/[0-9]{4}" }, "require": scoped("write:accounts") },
        { "name": "reports", "match": { "path_prefix": "/reports" }, "access": "deny" },
    ], "default_rule": { "access": "deny" } })));
    let token = token(json!({}));
    let rows = [
        ("GET", "/healthz", "health", "no_token_required"),
        ("DELETE", "/healthz/?x=/accounts", "health", "no_token_required"),
        ("GET", "/healthz/x", "", "access_denied"),
        ("GET", "/accounts", "read", "authorized"),
        ("HEAD", "/accounts/1", "read", "authorized"),
        ("GET", "/accounts/x/..//1", "read", "authorized"),
        ("GET", "/%61ccounts", "read", "authorized"),
        ("POST", "/accounts/1", "write", "scope_missing"),
        ("PURGE", "/accounts/1", "write", "scope_missing"),
        ("OPTIONS", "/accounts/1", "write", "scope_missing"),
        ("GET", "/accountsx", "", "access_denied"),
        ("GET", "/Accounts", "", "access_denied"),
        ("GET", "/reports/2026", "report", "authorized"),
        ("GET", "/reports/2026/", "report", "authorized"),
        ("GET", "/reports/20260", "reports", "access_denied"),
        ("GET", "/", "", "access_denied"),
    ];
    for (method, path, rule, expected) in rows {
        let decision = gate.send(method, path, &token);
        assert_eq!(reason(&decision), expected, "{method} {path}");
        assert_eq!(audit(&decision)["rule"].as_str().unwrap_or_default(), rule, "{method} {path}");
    }
    // Nothing of a request but its own target names its path.
    for name in ["x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-envoy-original-path", "x-forwarded-prefix"] {
        let decision = gate.decide(&[(":method", "GET"), (":path", "/accounts"), (name, "/healthz")]);
        assert_eq!(reason(&decision), "token_missing", "{name}");
    }
}

#[test]
fn host_rule_matches_every_spelling_of_its_host_and_no_other() {
    let mut gate = Gate::new(&configured(json!({ "insecure_ambiguous_hosts": true, "rules": [
        { "name": "status", "match": { "hosts": ["status.acme.com"] }, "access": "public" },
        { "name": "partner", "match": { "hosts": ["*.partner.acme.com", "127.0.0.1"], "path": "/a" }, "access": "deny" },
        { "name": "rest", "require": { "scopes": ["read:accounts"] } },
    ] })));
    let bearer = format!("Bearer {}", token(json!({})));
    for (host, rule, expected) in [
        ("status.acme.com", "status", "no_token_required"),
        ("STATUS.acme.com.:8443", "status", "no_token_required"),
        ("x.status.acme.com", "rest", "authorized"),
        ("status.acme.com.evil.example", "rest", "authorized"),
        ("a.b.partner.acme.com", "partner", "access_denied"),
        ("127.0.0.1:80", "partner", "access_denied"),
        ("partner.acme.com", "rest", "authorized"),
    ] {
        let fields = [(":method", "GET"), (":authority", host), (":path", "/a"), ("authorization", &bearer)];
        let decision = gate.decide(&fields);
        assert_eq!((reason(&decision), audit(&decision)["rule"].as_str()), (expected, Some(rule)), "{host}");
    }
    let odd: [Fields<'_>; 6] = [
        &[],
        &[(":authority", "status.acme.com:")],
        &[(":authority", "status.acme.com"), (":authority", "status.acme.com")],
        &[(":authority", "status.acme.com,api.acme.com")],
        &[(":authority", "user@status.acme.com")],
        &[("host", "status.acme.com")],
    ];
    for fields in odd {
        let decision =
            gate.decide(&[&[(":method", "GET"), (":path", "/a"), ("authorization", &bearer)], fields].concat());
        assert_eq!((status(&decision), reason(&decision)), (400, "host_unusable"), "{fields:?}");
    }
    // Where no rule names one it does not matter.
    let mut gate = ruled(json!([{ "match": { "path": "/a" }, "access": "public" }]));
    assert_eq!(reason(&gate.decide(&[(":method", "GET"), (":path", "/a")])), "no_token_required");
}

/// Envoy's virtual hosts compare the host as written: `static.acme.com:81` is served by the virtual host `*`.
#[test]
fn host_that_matches_another_rule_before_normalisation_is_rejected() {
    let spellings = ["static.acme.com:81", "static.acme.com:80", "static.acme.com.", "Static.Acme.com.:443"];
    for access in ["public", "optional", "token", "deny"] {
        let rules = json!([{ "name": "static", "match": { "hosts": ["static.acme.com", "*.cdn.acme.com"] }, "access": access },
                           { "name": "reports", "match": { "path": "/reports" } }]);
        let mut gate = ruled(rules);
        for host in spellings.iter().chain(&["a.cdn.acme.com:81", "a.cdn.acme.com."]) {
            for path in ["/admin", "/reports"] {
                let decision = gate.decide(&[(":method", "GET"), (":authority", host), (":path", path)]);
                assert_eq!((status(&decision), reason(&decision)), (400, "host_ambiguous"), "{access} {host}{path}");
                assert_eq!(error(&decision), "invalid_request");
            }
        }
        let decision = gate.decide(&[(":method", "GET"), (":authority", "STATIC.acme.com"), (":path", "/admin")]);
        assert_eq!(audit(&decision)["rule"], "static", "letter case is the same for Envoy");
        // Any other host may be written with its port.
        for host in ["api.acme.com:8443", "api.acme.com."] {
            let decision = gate.decide(&[(":method", "GET"), (":authority", host), (":path", "/reports")]);
            assert_eq!(reason(&decision), "token_missing", "{host}");
        }
    }
    // Between tenants.
    let mut tenants = ruled(json!([
        { "match": { "hosts": ["a.acme.com"] }, "require": { "groups": ["a"] } },
        { "match": { "hosts": ["b.acme.com"] }, "require": { "groups": ["b"] } } ]));
    let bearer = format!("Bearer {}", token(json!({ "groups": ["a"] })));
    for (host, expected) in [
        ("a.acme.com", "authorized"),
        ("b.acme.com", "group_missing"),
        ("a.acme.com:81", "host_ambiguous"),
        ("b.acme.com.", "host_ambiguous"),
    ] {
        let fields = [(":method", "GET"), (":authority", host), (":path", "/"), ("authorization", &*bearer)];
        assert_eq!(reason(&tenants.decide(&fields)), expected, "{host}");
    }
    // An empty port is rejected whatever the rules.
    for mut gate in [Gate::new(&one_issuer()), ruled(json!([{ "access": "public" }]))] {
        for host in ["acme.com:", "acme.com.:", "[::1]:", ":"] {
            let decision = gate.decide(&[(":method", "GET"), (":authority", host), (":path", "/")]);
            assert_eq!((status(&decision), reason(&decision)), (400, "host_unusable"), "{host}");
        }
    }
}

/// uWSGI, mod_wsgi, werkzeug, wsgiref, Bottle and Hypercorn execute `delete` as `DELETE`.
#[test]
fn a_method_with_a_lower_case_letter_is_rejected() {
    let documents = [
        json!({}),
        json!({ "rules": [{ "match": { "methods": ["DELETE"] }, "require": { "scopes": ["write"] } }] }),
        json!({ "rules": [{ "match": { "methods": ["DELETE"] }, "access": "deny" }], "default_rule": { "access": "public" } }),
        json!({ "default_rule": { "require": { "condition": "request.method != 'DELETE' || 'admins' in claims.groups" } } }),
    ];
    let good = token(json!({}));
    for document in documents {
        let mut gate = Gate::new(&configured(document.clone()));
        for method in
            ["delete", "dElEtE", "DELETe", "get", "Options", "purge", "", "DELETE ", "\tDELETE", "PO\u{17f}T", "G(T"]
        {
            for credential in [&*good, ""] {
                let decision = gate.send(method, "/accounts/7", credential);
                assert_eq!((status(&decision), reason(&decision)), (400, "method_malformed"), "{method:?} {document}");
                assert_eq!(error(&decision), "invalid_request");
            }
        }
        for method in ["GET", "PROPFIND", "M-SEARCH", "PURGE"] {
            assert_ne!(reason(&gate.send(method, "/accounts/7", &good)), "method_malformed", "{method} {document}");
        }
    }
}

#[test]
fn ambiguous_target_is_rejected_before_any_rule_and_only_where_there_are_rules() {
    let rules = json!([{ "name": "all", "match": { "path_prefix": "/" }, "access": "public" },
                       { "match": { "path_prefix": "/admin" }, "access": "deny" }]);
    let mut gate = ruled(rules);
    let mut parameters = ruled(json!([{ "match": { "path_prefix": "/public" }, "access": "public" }]));
    let mut without = Gate::new(&one_issuer());
    let good = token(json!({}));
    for (target, expected) in [
        ("/a/..%2fadmin", "path_escaped_slash"),
        ("/a\\b", "path_backslash"),
        ("/a%5Cb", "path_backslash"),
        ("/a/..;/admin", "path_parameter_in_dot_segment"),
        ("/a%00", "path_control_byte"),
        ("/a%zz", "path_broken_escape"),
        ("/a#b", "path_fragment"),
        ("/a b", "path_raw_byte"),
        ("/%c0%ae", "path_not_utf8"),
        ("/a//../b", "path_dots_after_empty_segment"),
        ("/..", "path_above_root"),
        ("*", "path_malformed"),
        ("", "path_malformed"),
        ("https://api.acme.com/a", "path_malformed"),
        (&format!("/{}", "a".repeat(8192)), "path_too_long"),
    ] {
        for credential in [&good, "", "bad"] {
            let decision = gate.get(target, credential);
            assert_eq!((status(&decision), reason(&decision)), (400, expected), "{target}");
            let expected = r#"Bearer realm="okta-proxy-wasm", error="invalid_request""#;
            assert_eq!((challenge(&decision), &*error(&decision)), (Some(expected), "invalid_request"));
            assert_eq!(audit(&decision)["rule"], Value::Null, "no rule was tried");
        }
        assert_eq!(reason(&without.get(target, &good)), "authorized", "{target}: without rules nobody reads it");
        assert_eq!(reason(&without.get(target, "")), "token_missing");
    }
    // Read differently, and it matters only where the readings come under different rules.
    for (target, expected) in [
        ("/public;x/a", "path_ambiguous"),
        ("//public", "path_ambiguous"),
        ("/x;/../public/a", "path_ambiguous"),
        ("/x/../public/a", "path_ambiguous"),
        ("/public/../x", "path_ambiguous"),
        ("/public/%2e%2e/x", "path_ambiguous"),
        ("/public/a;x", "no_token_required"),
    ] {
        assert_eq!(reason(&parameters.get(target, "")), expected, "{target}");
    }
    for fields in [&[(":path", "/a"), (":path", "/a")][..], &[]] {
        let decision = gate.decide(&[&[(":method", "GET")], fields].concat());
        assert_eq!((status(&decision), reason(&decision)), (400, "path_malformed"));
    }
    // A rule for a method is not dodged by having two, or none.
    for fields in [&[(":method", "GET"), (":method", "POST")][..], &[]] {
        let decision = gate.decide(&[&[(":path", "/a")], fields].concat());
        assert_eq!((status(&decision), reason(&decision)), (400, "method_malformed"));
    }
    let mut lenient = Gate::new(&configured(json!({ "insecure_ambiguous_paths": true, "rules": [
        { "name": "admin", "match": { "path_prefix": "/admin" }, "access": "deny" },
        { "name": "files", "match": { "path_prefix": "/files" }, "access": "public" } ] })));
    for (target, expected) in
        [("/files/a%2fb", "no_token_required"), ("/files/%2e%2e/admin", "access_denied"), ("/x", "token_missing")]
    {
        assert_eq!(reason(&lenient.get(target, "")), expected, "{target}");
    }
}

#[test]
fn report_only_rule_allows_a_valid_token_and_rejects_any_other() {
    let documents = [
        json!({ "rules": [{ "name": "trial", "require": { "scopes": ["beta"], "groups": ["beta"] }, "report_only": true }] }),
        json!({ "default_rule": { "require": { "scopes": ["beta"], "groups": ["beta"] }, "report_only": true } }),
    ];
    for (document, name) in documents.into_iter().zip([json!("trial"), Value::Null]) {
        let mut gate = Gate::new(&configured(document));
        let unmet = gate.get("/a", &token(json!({ "groups": ["beta"] })));
        assert_eq!((status(&unmet), reason(&unmet)), (200, "authorized"));
        assert!(unmet.audit.would_deny().is_some());
        let expected = with(
            &json!({ "schema": 1, "decision": "allow", "reason": "authorized", "would_deny": "scope_missing",
                "method": "GET", "host": "api.acme.com", "path": "/a", "provider": "okta", "issuer": ISSUER, "subject": "alice@acme.com", "client": "0oa1client", "jti": "AT.k8vHqQ0p",
                "scopes": ["read:accounts", "write:accounts"], "required_scopes": ["beta"], "source": "header", "proof": "verified" }),
            json!({ "rule": name }),
        );
        assert_eq!(audit(&unmet), expected);
        assert!(edits(&unmet).contains(&"x-user-id=alice@acme.com".to_owned()));
        assert_eq!(audit(&gate.get("/a", &token(json!({}))))["would_deny"], "group_missing");
        let met = gate.get("/a", &token(json!({ "scp": ["beta"], "groups": ["beta"] })));
        assert_eq!((reason(&met), met.audit.would_deny()), ("authorized", None));
        assert_eq!(audit(&met)["would_deny"], Value::Null);
        for (credential, expected) in [
            (String::new(), "token_missing"),
            (token(json!({ "exp": NOW - 3600 })), "token_expired"),
            (SigningKey::b("k1").token(&payload(NOW)), "signature_invalid"),
            ("opaque".to_owned(), "token_opaque"),
        ] {
            let decision = gate.get("/a", &credential);
            assert_eq!((status(&decision), reason(&decision)), (401, expected));
            assert_eq!(decision.audit.would_deny(), None);
        }
        let twice = gate.decide(&[
            (":method", "GET"),
            (":path", "/a"),
            ("authorization", "Bearer a"),
            ("authorization", "Bearer a"),
        ]);
        assert_eq!(status(&twice), 400);
    }
}

#[test]
fn cached_token_is_checked_against_the_rule_of_each_request() {
    // K1 and F6 of `attack_cases.rs`: what a token is may be remembered, what it may do is not.
    let mut gate = ruled(json!([
        { "match": { "path": "/foo" }, "require": { "scopes": ["foo"] } },
        { "match": { "path": "/bar" }, "require": { "scopes": ["bar"] } },
        { "match": { "path": "/read" }, "require": { "scopes": ["read"] } },
        { "match": { "path": "/read-all" }, "require": { "scopes": ["read:all"] } },
        { "match": { "path": "/recent" }, "require": { "max_age": "10m" } },
        { "match": { "path": "/closed" }, "access": "deny" },
    ]));
    let token = token(json!({ "scp": ["foo", "read"], "auth_time": NOW - 60 }));
    for _ in 0..3 {
        assert_eq!(reason(&gate.get("/foo", &token)), "authorized");
        let refused = gate.get("/bar", &token);
        assert_eq!((status(&refused), reason(&refused)), (403, "scope_missing"));
        assert_eq!(reason(&gate.get("/read", &token)), "authorized");
        assert_eq!(reason(&gate.get("/read-all", &token)), "scope_missing");
        assert_eq!(reason(&gate.get("/recent", &token)), "authorized");
        assert_eq!(reason(&gate.get("/closed", &token)), "access_denied");
        assert_eq!(reason(&gate.get("/elsewhere", &token)), "authorized");
    }
    assert_eq!(gate.0.signatures_verified(), 1, "it was verified once");
    // What holds only for a while is judged now, too: the age, and a minute of skew.
    gate.0.now = UnixTime::from_secs(NOW + 600);
    assert_eq!(reason(&gate.get("/recent", &token)), "authorized");
    gate.0.now = UnixTime::from_secs(NOW + 601);
    assert_eq!(reason(&gate.get("/recent", &token)), "authentication_too_old");
    assert_eq!(gate.0.signatures_verified(), 1);
    // Nor does a scope stand for one that it is part of.
    for (scopes, path) in
        [(json!(["read:all"]), "/read"), (json!("readx read:"), "/read"), (json!(["foo bar"]), "/bar")]
    {
        let token = self::token(json!({ "scp": scopes }));
        assert_ne!(status(&gate.get(path, &token)), 200, "{scopes}");
    }
}

#[test]
fn token_of_one_tenant_is_rejected_on_the_route_of_another() {
    // F5 of `attack_cases.rs`: by audience, by claim, by client, and by issuer.
    let tenant = |tenant: &str| {
        json!([
            { "match": { "path_prefix": format!("/{tenant}/audience") }, "require": { "audiences": [format!("api://{tenant}")] } },
            { "match": { "path_prefix": format!("/{tenant}/claim") }, "require": { "claims": { "tenant": tenant } } },
            { "match": { "path_prefix": format!("/{tenant}/client") }, "require": { "client_ids": [format!("client-{tenant}")] } },
        ])
    };
    let rules: Vec<Value> = ["a", "b"].iter().flat_map(|name| tenant(name).as_array().unwrap().clone()).collect();
    let mut configuration = configured(json!({ "rules": rules, "default_rule": { "access": "deny" } }));
    configuration["providers"]["okta"]["audiences"] = json!(["api://a", "api://b"]);
    let mut gate = Gate::new(&configuration);
    for (own, other) in [("a", "b"), ("b", "a")] {
        let token = token(json!({ "aud": format!("api://{own}"), "tenant": own, "cid": format!("client-{own}") }));
        for way in ["audience", "claim", "client"] {
            assert_eq!(reason(&gate.get(&format!("/{own}/{way}/x"), &token)), "authorized", "{own} {way}");
            let refused = gate.get(&format!("/{other}/{way}/x"), &token);
            assert_eq!((status(&refused), challenge(&refused)), (403, None), "{other} {way}");
        }
    }
    let unnamed = token(json!({ "aud": "api://a", "cid": null }));
    assert_eq!(reason(&gate.get("/a/claim", &unnamed)), "claim_unmet");
    assert_eq!(reason(&gate.get("/a/client", &unnamed)), "rule_client_not_allowed");
    // Two issuers: what one of them says of tenants counts for its own tokens.
    let provider = |issuer: &str, key: &SigningKey| json!({ "issuer": issuer, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[key]) } });
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let mut gate = Gate::new(&json!({
        "providers": { "a": provider("https://a.example", &a), "b": provider("https://b.example", &b) },
        "rules": [{ "match": { "path": "/a" }, "require": { "claims": { "iss": "https://a.example" } } }],
    }));
    let of = |key: &SigningKey, issuer: &str| key.token(&with(&payload(NOW), json!({ "iss": issuer })));
    assert_eq!(reason(&gate.get("/a", &of(&a, "https://a.example"))), "authorized");
    assert_eq!(reason(&gate.get("/a", &of(&b, "https://b.example"))), "claim_unmet");
    assert_eq!(reason(&gate.get("/a", &of(&b, "https://a.example"))), "signature_invalid");
}

#[test]
fn audit_record_names_the_rule_and_the_rejected_subject() {
    let mut gate = ruled(json!([
        { "name": "open", "match": { "path": "/open" }, "access": "public" },
        { "name": "Pay-1.x_y", "match": { "path": "/pay" }, "require": { "scopes": ["pay"] } },
        { "match": { "path": "/nameless" }, "require": { "scopes": ["pay"] } },
    ]));
    let token = token(json!({}));
    let record = json!({ "schema": 1, "decision": "allow", "reason": "no_token_required", "rule": "open" });
    // It is not logged, so the head is not copied.
    assert_eq!(audit(&gate.get("/open", &token)), record);
    let refused = json!({ "schema": 1, "decision": "deny", "reason": "scope_missing", "method": "GET",
        "host": "api.acme.com", "path": "/pay", "provider": "okta", "issuer": ISSUER,
        "subject": "alice@acme.com", "client": "0oa1client", "jti": "AT.k8vHqQ0p", "scopes": ["read:accounts", "write:accounts"],
        "required_scopes": ["pay"], "source": "header", "proof": "cached" });
    let first = json!({ "rule": "Pay-1.x_y", "proof": "verified" });
    assert_eq!(audit(&gate.get("/pay", &token)), with(&refused, first));
    assert_eq!(
        audit(&gate.get("/pay", &token)),
        with(&refused, json!({ "rule": "Pay-1.x_y" })),
        "when it is known, too"
    );
    assert_eq!(audit(&gate.get("/nameless?at=x", &token)), with(&refused, json!({ "path": "/nameless" })));
    // Of a token that is not good nothing is told.
    let record = json!({ "schema": 1, "decision": "deny", "reason": "signature_invalid", "method": "GET",
        "host": "api.acme.com", "path": "/pay", "rule": "Pay-1.x_y", "provider": "okta", "issuer": ISSUER, "required_scopes": ["pay"], "source": "header" });
    assert_eq!(audit(&gate.get("/pay", &SigningKey::b("k1").token(&payload(NOW)))), record);
    let record = json!({ "schema": 1, "decision": "deny", "reason": "token_missing", "method": "GET",
        "host": "api.acme.com", "path": "/pay", "rule": "Pay-1.x_y", "required_scopes": ["pay"] });
    assert_eq!(audit(&gate.get("/pay", "")), record);
}

#[test]
fn pending_request_is_decided_under_the_rule_of_its_own_path() {
    let mut gate = Gate::new(&json!({
        "providers": { "okta": { "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta" } },
        "rules": [
            { "name": "open", "match": { "path": "/open" }, "access": "public" },
            { "name": "closed", "match": { "path": "/closed" }, "access": "deny" },
            { "name": "optional", "match": { "path": "/optional" }, "access": "optional" },
            { "name": "foo", "match": { "path": "/foo" }, "require": { "scopes": ["foo"] } },
            { "name": "bar", "match": { "path": "/bar" }, "require": { "scopes": ["bar"] } },
            { "name": "trial", "match": { "path": "/trial" }, "require": { "scopes": ["bar"] }, "report_only": true },
        ],
        "default_rule": { "require": { "groups": ["staff"] } },
    }));
    let key = SigningKey::a("k1");
    let bearers = [&key, &SigningKey::b("k1")]
        .map(|key| format!("Bearer {}", key.token(&with(&payload(NOW), json!({ "scp": ["foo"] })))));
    let [good, bad] = &bearers;
    // Who needs no keys does not wait for them.
    for (path, expected) in [("/open", "no_token_required"), ("/closed", "access_denied")] {
        assert_eq!(reason(&gate.decide(&[(":method", "GET"), (":path", path), ("authorization", good)])), expected);
    }
    assert_eq!(reason(&gate.decide(&[(":method", "GET"), (":path", "/optional")])), "no_token_required");
    let rows = [
        ("/foo", good, "foo", 200, "authorized"),
        ("/bar", good, "bar", 403, "scope_missing"),
        ("/trial", good, "trial", 200, "authorized"),
        ("/optional", good, "optional", 200, "authorized"),
        ("/x", good, "", 403, "group_missing"),
        ("/%62ar", good, "bar", 403, "scope_missing"),
        ("/optional", bad, "optional", 401, "signature_invalid"),
        ("/trial", bad, "trial", 401, "signature_invalid"),
    ];
    let mut streams = Vec::new();
    for (path, bearer, ..) in rows {
        let pending = gate.0.request(&head(&[(":method", "GET"), (":path", path), ("authorization", bearer)]));
        streams.push(pending.expect_err(path));
    }
    gate.0.fetch(published(&key_set(&[&key])));
    gate.0.drain();
    for (stream, (path, _, rule, expected_status, expected)) in streams.into_iter().zip(rows) {
        let decision = gate.0.decision_of(stream).expect(path);
        assert_eq!((status(decision), reason(decision)), (expected_status, expected), "{path}");
        assert_eq!(audit(decision)["rule"].as_str().unwrap_or_default(), rule, "{path}");
        assert_eq!(decision.audit.would_deny().is_some(), path == "/trial" && expected_status == 200, "{path}");
        let has_scope = matches!(path, "/bar" | "/%62ar");
        if expected_status == 403 {
            assert_eq!(challenge(decision).is_some_and(|text| text.ends_with(r#"scope="bar""#)), has_scope, "{path}");
        }
    }
}
