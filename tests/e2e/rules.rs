//! Rules in a real Envoy, with tokens of a real authorization server: which requests are allowed, the challenge of a
//! rejection, and what reaches the backend. Paths that bypassed other gateways are sent with and without Envoy's own
//! normalisation.

mod hosts_and_methods;
mod rewrites;

use std::time::Duration;

use crate::gateway::{API, Gateway, Setup, minimal_configuration};
use serde_json::{Value, json};
use testbed::authorization_server::{DEFAULT_AUDIENCE, now};
use testbed::polling::until;
use testbed::programs::http2_requests;
use testbed::{ClientTokenRequest, ListenerOptions, Request, Response, UserTokenRequest};

const TWO_FACTORS: &str = "urn:okta:loa:2fa:any";

/// The authorization server's client `service`.
const SERVICE: &str = "0oa1service0000000d7";

/// The configuration of most tests here.
fn with_rules() -> Value {
    let mut configuration = minimal_configuration();
    configuration["responses"] = json!({ "realm": "acme" });
    configuration["bypass_cors_preflight"] = json!(true);
    configuration["rules"] = json!([
        { "name": "health", "match": { "path": "/healthz" }, "access": "public" },
        { "name": "catalog", "match": { "path_prefix": "/catalog" }, "access": "optional" },
        { "name": "partner", "match": { "hosts": ["*.partner.acme.com"] }, "require": { "scopes": ["partner"] } },
        { "name": "read", "match": { "path_prefix": "/accounts", "methods": ["GET", "HEAD"] },
          "require": { "scopes": ["read:accounts"] } },
        { "name": "write", "match": { "path_prefix": "/accounts" },
          "require": { "scopes": ["read:accounts", "write:accounts"] } },
        { "name": "pay", "match": { "path_prefix": "/payments" }, "require": { "acr": TWO_FACTORS, "max_age": "15m" } },
        { "name": "closed", "match": { "path_prefix": "/internal" }, "access": "deny" },
        { "name": "finance", "match": { "path_regex": "/reports/[0-9]{4}" },
          "require": { "groups": ["finance_manager"] } },
        { "name": "batch", "match": { "path_prefix": "/batch" }, "require": { "client_ids": [SERVICE] } },
        { "name": "trial", "match": { "path_prefix": "/beta" }, "require": { "groups": ["beta"] }, "report_only": true },
    ]);
    configuration
}

fn start() -> Gateway {
    Setup { configuration: with_rules(), workers: 1, ..Setup::default() }.start()
}

/// The values of a header that the backend received, as its echo tells.
fn received(response: &Response, name: &str) -> Vec<String> {
    let echo = response.json();
    let pairs = echo["headers"].as_array().cloned().unwrap_or_default();
    pairs.iter().filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_str().map(str::to_owned)).collect()
}

#[test]
fn each_rule_enforces_its_requirements_and_a_rejection_names_the_missing_one() {
    let gateway = start();
    let user = |login, scopes, acr| {
        gateway.idp.user_token(&UserTokenRequest { login, scopes, audience: DEFAULT_AUDIENCE, acr })
    };
    let (alice, bob) = ("alice@acme.com", "bob@acme.com");
    let reader = gateway.alice();
    let writer = user(alice, "read:accounts write:accounts", None);
    let strong = user(alice, "read:accounts", Some(TWO_FACTORS));
    let stale = gateway.bent(json!({ "acr": TWO_FACTORS, "auth_time": now() - 2000 }));
    let phishing_resistant = gateway.bent(json!({ "acr": "phr", "auth_time": now() - 60 }));
    let weak = gateway.bent(json!({ "acr": "urn:okta:loa:1fa:any", "auth_time": now() }));
    let silent = gateway.bent(json!({ "acr": null, "auth_time": null }));
    let manager = user(bob, "read:accounts groups", None);
    let engineer = user(alice, "read:accounts groups", None);
    assert_eq!(gateway.idp.client_credentials("service").0, SERVICE);
    let service = gateway.idp.client_token(&ClientTokenRequest::default());
    let partner = gateway.bent(json!({ "scp": ["partner"] }));

    let body = b"{\"amount\": 7}";
    let at = |host: &str, request: Request| request.header("host", host);
    let passes = [
        ("read", Request::get("/accounts/7").bearer(&reader)),
        ("read", Request::new("HEAD", "/accounts").bearer(&reader)),
        ("read", Request::get("/accounts?write=1").bearer(&reader)),
        ("write", Request::post("/accounts").bearer(&writer).body(body)),
        ("write", Request::new("DELETE", "/accounts/7").bearer(&writer)),
        ("pay", Request::post("/payments").bearer(&strong).chunked(&[body])),
        ("pay", Request::post("/payments").bearer(&phishing_resistant).body(body)),
        ("finance", Request::get("/reports/2026").bearer(&manager)),
        ("batch", Request::post("/batch/1").bearer(&service)),
        ("partner", at("eu.partner.acme.com", Request::get("/accounts").bearer(&partner))),
        ("default", Request::get("/reports/2026/raw").bearer(&reader)),
        ("default", at("partner.acme.com", Request::get("/").bearer(&reader))),
    ];
    for (rule, request) in &passes {
        let before = gateway.backend.count();
        assert_eq!(request.send(gateway.port()).status, 200, "{rule}: {request:?}");
        assert_eq!(gateway.backend.count(), before + 1, "{rule}");
    }
    gateway.backend.clear();
    let logged = gateway.envoy.audit_records().len();

    let bare = Some(r#"Bearer realm="acme""#);
    let read = Some(r#"Bearer realm="acme", error="insufficient_scope", scope="read:accounts""#);
    let write = Some(r#"Bearer realm="acme", error="insufficient_scope", scope="read:accounts write:accounts""#);
    let partners = Some(r#"Bearer realm="acme", error="insufficient_scope", scope="partner""#);
    let step_up = Some(concat!(
        r#"Bearer realm="acme", error="insufficient_user_authentication", "#,
        r#"acr_values="urn:okta:loa:2fa:any", max_age="900""#
    ));
    let malformed = Some(r#"Bearer realm="acme", error="invalid_request""#);
    let refused = [
        (401, bare, "read", "token_missing", Request::get("/accounts")),
        (403, read, "read", "scope_missing", Request::get("/accounts").bearer(&partner)),
        (403, write, "write", "scope_missing", Request::post("/accounts").bearer(&reader).body(body)),
        (403, write, "write", "scope_missing", Request::post("/accounts").bearer(&reader).chunked(&[body, body])),
        (403, write, "write", "scope_missing", Request::new("PATCH", "/accounts/7").bearer(&reader)),
        (
            403,
            write,
            "write",
            "scope_missing",
            Request::post("/accounts").bearer(&reader).header("x-http-method-override", "GET"),
        ),
        (401, step_up, "pay", "authentication_too_weak", Request::post("/payments").bearer(&weak).body(body)),
        (401, step_up, "pay", "authentication_too_weak", Request::post("/payments").bearer(&reader).body(body)),
        (401, step_up, "pay", "authentication_too_weak", Request::post("/payments").bearer(&silent)),
        (401, step_up, "pay", "authentication_too_old", Request::post("/payments").bearer(&stale)),
        (403, None, "closed", "access_denied", Request::get("/internal").bearer(&writer)),
        (403, None, "closed", "access_denied", Request::post("/internal/x").body(body)),
        (403, None, "finance", "group_missing", Request::get("/reports/2026").bearer(&engineer)),
        (403, None, "finance", "group_missing", Request::get("/reports/2026").bearer(&reader)),
        (403, None, "batch", "rule_client_not_allowed", Request::post("/batch").bearer(&writer)),
        (403, partners, "partner", "scope_missing", at("EU.Partner.acme.com", Request::get("/")).bearer(&reader)),
        (400, malformed, "", "host_ambiguous", at("EU.Partner.acme.com:8443", Request::get("/")).bearer(&reader)),
        (400, malformed, "", "host_ambiguous", at("eu.partner.acme.com.", Request::get("/")).bearer(&reader)),
        (400, malformed, "", "host_unusable", at("a..b", Request::get("/accounts")).bearer(&reader)),
        (401, bare, "", "token_missing", Request::get("/elsewhere")),
    ];
    for (index, (status, challenge, rule, reason, request)) in refused.iter().enumerate() {
        let response = request.send(gateway.port());
        let record = gateway.record_number(logged + index + 1);
        let row = format!("{rule} {reason} {request:?} {record}");
        assert_eq!(response.status, *status, "{row}");
        assert_eq!(response.header("www-authenticate").as_deref(), *challenge, "{row}");
        assert_eq!(response.header("cache-control").as_deref(), Some("no-store"), "{row}");
        assert_eq!(record["reason"], *reason, "{row}");
        assert_eq!(record["rule"].as_str().unwrap_or_default(), *rule, "{row}");
    }
    assert_eq!(gateway.backend.count(), 0, "a refused request was forwarded");
    gateway.assert_no_trap();
}

#[test]
fn request_allowed_without_a_token_has_no_identity_and_each_route_checks_a_cached_token() {
    let gateway = start();
    let port = gateway.port();
    let token = gateway.alice();
    let nobody = [""; 0];

    // Public: a token is not looked at, good or bad, and neither it nor what a client says it is goes on.
    let spoofed = |request: Request| {
        request.header("X-User-ID", "mallory").header("x_user_id", "mallory").header("x-granted-scopes", "admin")
    };
    for request in
        [Request::get("/healthz"), Request::get("/healthz/").bearer(&token), Request::get("/healthz").bearer("x.y.z")]
    {
        let response = spoofed(request).send(port);
        assert_eq!(response.status, 200);
        for name in ["x-user-id", "x_user_id", "x-client-id", "x-granted-scopes", "authorization"] {
            assert_eq!(received(&response, name), nobody, "{name}");
        }
    }
    assert_eq!(Request::get("/healthz/deep").send(port).status, 401, "an exact path is no prefix");

    // Optional: no token passes, a good one with its identity, a bad one not at all.
    let anonymous = spoofed(Request::get("/catalog/1")).send(port);
    assert_eq!((anonymous.status, received(&anonymous, "x-user-id")), (200, Vec::new()));
    let known = spoofed(Request::get("/catalog/1").bearer(&token)).send(port);
    assert_eq!((known.status, received(&known, "x-user-id")), (200, vec!["alice@acme.com".to_owned()]));
    let seen = gateway.backend.count();
    let expired = gateway.bent(json!({ "exp": now() - 600 }));
    for (status, request) in [
        (401, Request::get("/catalog").bearer("x.y.z")),
        (401, Request::get("/catalog").bearer(&expired)),
        (401, Request::get("/catalog").header("authorization", "Bearer")),
        (400, Request::get("/catalog").bearer(&token).bearer(&token)),
    ] {
        assert_eq!(request.send(port).status, status, "{request:?}");
    }
    assert_eq!(gateway.backend.count(), seen, "a bad token passed where none is needed");

    only_preflights_are_allowed_without_a_token(&gateway);

    // One token, known to the worker by now: each route says for itself what it is worth.
    for _ in 0..3 {
        assert_eq!(Request::get("/accounts").bearer(&token).send(port).status, 200);
        assert_eq!(Request::post("/accounts").bearer(&token).send(port).status, 403);
        assert_eq!(Request::post("/payments").bearer(&token).send(port).status, 401);
        assert_eq!(Request::get("/internal").bearer(&token).send(port).status, 403);
        assert_eq!(Request::get("/reports/2026").bearer(&token).send(port).status, 403);
        assert_eq!(Request::get("/elsewhere").bearer(&token).send(port).status, 200);
    }

    // Only reported: it passes, the log says what it would have met. A bad token is refused all the same.
    let logged = gateway.envoy.audit_records().len();
    let reported = Request::get("/beta/x").bearer(&token).send(port);
    assert_eq!((reported.status, received(&reported, "x-user-id")), (200, vec!["alice@acme.com".to_owned()]));
    let record = gateway.record_number(logged + 1);
    assert_eq!(record["decision"], "allow", "{record}");
    assert_eq!((&record["would_deny"], &record["rule"]), (&json!("group_missing"), &json!("trial")), "{record}");
    let counter = "wasmcustom.okta_proxy_wasm.would_deny_total.reason.group_missing.rule.trial";
    until("the count", Duration::from_secs(10), || (gateway.envoy.stat(counter) == 1).then_some(()));
    assert_eq!(Request::get("/beta/x").bearer(&expired).send(port).status, 401);
    assert_eq!(Request::get("/beta/x").send(port).status, 401);
    gateway.assert_no_trap();
}

fn only_preflights_are_allowed_without_a_token(gateway: &Gateway) {
    let port = gateway.port();
    let seen = gateway.backend.count();
    let origin = |request: Request| request.header("origin", "https://app.acme.com");
    let preflight = |path: &str| origin(Request::new("OPTIONS", path)).header("access-control-request-method", "POST");
    for path in ["/accounts", "/payments", "/catalog", "/elsewhere"] {
        let bare = preflight(path).header("x-user-id", "mallory");
        let with_credentials = bare.clone().bearer("x.y.z").header("cookie", "sid=1").header("content-length", "0");
        let requests = if path == "/catalog" { vec![bare] } else { vec![bare, with_credentials] };
        for request in requests {
            let response = request.send(port);
            assert_eq!(response.status, 200, "{path}");
            for name in ["x-user-id", "authorization", "cookie"] {
                assert_eq!(received(&response, name), [""; 0], "{path}");
            }
        }
    }
    let over_http2 = |chunks: &[&str], method: &str| {
        let headers = json!({ "origin": "https://app.acme.com", "access-control-request-method": "POST" });
        let path = format!("/accounts{method}");
        let request = json!({ "port": port, "method": "OPTIONS", "path": path, "headers": headers, "chunks": chunks });
        http2_requests(&json!([request]))[0]["status"].clone()
    };
    assert_eq!(over_http2(&[], ""), 200);
    assert_eq!(gateway.backend.count(), seen + 8);
    assert_eq!(over_http2(&["amount=7"], ""), 401, "a body that no field announces");
    assert_eq!(over_http2(&[], "?_method=DELETE"), 401);
    for (status, request) in [
        (401, preflight("/accounts").body("amount=7")),
        (401, preflight("/accounts").chunked(&[b"amount=7"])),
        (401, preflight("/accounts").header("x-http-method-override", "DELETE")),
        (401, origin(Request::new("OPTIONS", "/accounts"))),
        (401, Request::new("OPTIONS", "/accounts").header("access-control-request-method", "POST")),
        (401, preflight("/accounts").header("origin", "https://two.acme.com")),
        (401, origin(Request::get("/accounts")).header("access-control-request-method", "GET")),
        (401, origin(Request::post("/accounts")).header("access-control-request-method", "POST").body("x")),
        (403, preflight("/internal")),
        (400, preflight("/accounts/..%2finternal")),
    ] {
        assert_eq!(request.send(port).status, status, "{request:?}");
    }
    assert_eq!(gateway.backend.count(), seen + 8, "what is no preflight passed as one");
}

/// What some server would serve for a path as it was received: `;…` taken out of the segments or not, before or
/// behind one decoding, `\` a slash or not, repeated slashes one or not, letters alike.
fn lenient_readings(target: &str) -> Vec<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut left = text.as_bytes();
        while let [byte, rest @ ..] = left {
            let hex = |at: usize| rest.get(at).and_then(|digit| char::from(*digit).to_digit(16));
            left = match (*byte, hex(0), hex(1)) {
                (b'%', Some(high), Some(low)) => {
                    bytes.extend(u8::try_from(high * 16 + low));
                    &rest[2..]
                }
                (byte, _, _) => {
                    bytes.push(byte);
                    rest
                }
            };
        }
        String::from_utf8_lossy(&bytes).split('\0').next().unwrap_or_default().to_owned()
    };
    let without_parameters = |text: &str| {
        let segments: Vec<_> = text.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
        segments.join("/")
    };
    let mut texts = vec![path.to_owned()];
    for _ in 0..2 {
        for text in texts.clone() {
            texts.extend([without_parameters(&text), decoded(&text), text.replace('\\', "/")]);
        }
    }
    let mut readings = Vec::new();
    for text in texts {
        for merged in [true, false] {
            let mut segments: Vec<&str> = Vec::new();
            for segment in text.split('/').skip(1).filter(|segment| !(merged && segment.is_empty())) {
                match segment {
                    "." => {}
                    ".." => drop(segments.pop()),
                    other => segments.push(other),
                }
            }
            readings.push(format!("/{}", segments.join("/")).to_lowercase());
        }
    }
    readings
}

#[test]
fn no_spelling_of_a_path_bypasses_the_token_requirement() {
    // Once with doors that are opened one by one, once with one that is closed in a wall of open ones.
    let mut opened = minimal_configuration();
    opened["rules"] = json!([{ "name": "public", "match": { "path_prefix": "/public" }, "access": "public" }]);
    let mut closed = minimal_configuration();
    closed["rules"] = json!([{ "name": "admin", "match": { "path_prefix": "/admin", "ignore_case": true } }]);
    closed["default_rule"] = json!({ "access": "public" });
    let mut lenient = opened.clone();
    lenient["insecure_ambiguous_paths"] = json!(true);
    let raw = |name, configuration| ListenerOptions {
        path_normalization: false,
        ..ListenerOptions::filtered(name, configuration)
    };
    let gateway = Setup {
        configuration: opened.clone(),
        more_listeners: vec![
            raw("opened, raw", &opened),
            ListenerOptions::filtered("closed", &closed),
            raw("closed, raw", &closed),
            raw("lenient", &lenient),
        ],
        workers: 1,
        ..Setup::default()
    }
    .start();
    let targets = [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E./admin",
        "/public/..%2fadmin",
        "/public%2f..%2fadmin",
        "/admin%2f..",
        "/admin%2f../public",
        "//admin",
        "///admin",
        "//public/../admin",
        "/public//../admin",
        "/public/..;/admin",
        "/public/..;x=1/admin",
        "/public/..%3b/admin",
        "/public;/../admin",
        "/public/.;/../admin",
        "/admin;/x",
        "/admin;x",
        "/admin%3bx",
        "/;x/admin",
        "/Admin",
        "/ADMIN/x",
        "/admin/",
        "/admin//",
        "/admin/.",
        "/admin/..;/admin",
        "/./admin",
        "/%61dmin",
        "/%41dmin",
        "/admin?x",
        "/admin?/../public",
        "/admin#/../public",
        "/admin%3f",
        "/admin%23",
        "/admin%00",
        "/admin%00/public",
        "/admin%0a",
        "/admin\\",
        "/public\\..\\admin",
        "/public/%5c../admin",
        "/public/..%5cadmin",
        "/../admin",
        "/public/../../admin",
        "/%c0%afadmin",
        "/public/%c0%ae%c0%ae/admin",
        "/%zzadmin",
        "/%",
        "http://api.acme.com/admin",
        "http://api.acme.com//admin",
        "http://api.acme.com/public/../admin",
        "http://api.acme.com/public/..;/admin",
        "*",
    ];
    let mut answers = Vec::new();
    for listener in [API, "opened, raw", "closed", "closed, raw"] {
        let port = gateway.envoy.port(listener);
        for target in targets {
            gateway.backend.clear();
            let status = Request::get(target).try_send(port).map_or(0, |response| response.status);
            answers.push(format!("{listener}: {target} {status}"));
            assert_eq!(gateway.backend.count(), usize::from(status == 200), "{listener}: {target} {status}");
            for seen in gateway.backend.requests() {
                let readings = lenient_readings(&seen.path);
                let to_admin = readings.iter().find(|path| *path == "/admin" || path.starts_with("/admin/"));
                assert_eq!(to_admin, None, "{listener}: {target} reached the backend as {}", seen.path);
            }
        }
        // It is no gateway that refuses everything.
        for target in
            ["/public", "/public/", "/public/x", "/public?/../admin", "/public/%252e%252e/x", "/public/caf%C3%A9"]
        {
            assert_eq!(Request::get(target).send(port).status, 200, "{listener}: {target}");
        }
        let token = gateway.alice();
        for target in ["/admin", "/admin/", "/admin?x", "/admin/%61"] {
            assert_eq!(Request::get(target).bearer(&token).send(port).status, 200, "{listener}: {target}");
        }
    }
    // What `insecure_ambiguous_paths` gives away, this test would have seen.
    let lenient = gateway.envoy.port("lenient");
    for (target, status) in [("/public/..;/admin", 200), ("/public/..%2fadmin", 200), ("/public/../admin", 401)] {
        gateway.backend.clear();
        assert_eq!(Request::get(target).send(lenient).status, status, "{target}");
        let seen = gateway.backend.requests();
        assert!(seen.iter().all(|seen| lenient_readings(&seen.path).contains(&"/admin".to_owned())), "{target}");
    }
    for expected in [
        "api: /public/../admin 401",
        "opened, raw: /public/../admin 400",
        "opened, raw: /public/%2e%2e/admin 400",
        "opened, raw: /public/..;/admin 400",
        "opened, raw: /admin%2f.. 400",
        "opened, raw: //admin 401",
        "api: //admin 401",
        "closed, raw: //admin 400",
        "closed: /Admin 401",
        "closed, raw: /admin/ 401",
        "closed, raw: /admin?x 401",
        "closed, raw: /admin;x 400",
    ] {
        assert!(answers.contains(&expected.to_owned()), "not so: {expected}\n{}", answers.join("\n"));
    }
    gateway.assert_no_trap();
}
