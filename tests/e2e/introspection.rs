//! Token introspection in a real Envoy, with a scripted endpoint.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::gateway::{self, Setup};
use crate::introspection_gateway::{
    SECRET, active, active_response, inactive, introspecting, start_gateway, start_gateway_with, with_environment,
};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::authorization_server::now;
use testbed::envoy::version;
use testbed::polling::until;
use testbed::programs::http2_requests;
use testbed::{Cluster, ListenerOptions, Request, Script, ScriptedResponse, ScriptedServer};

#[test]
fn introspection_response_decides_and_is_cached() {
    let (gateway, server) = start_gateway(json!({}), |token, _| match token {
        "good" => active(json!({})),
        "elsewhere" => active(json!({ "aud": "api://other" })),
        "expired" => active(json!({ "exp": now() - 600 })),
        _ => inactive(),
    });
    for (token, status) in [("good", 200), ("elsewhere", 401), ("expired", 401), ("unheard-of", 401)] {
        let before = server.count();
        for _ in 0..5 {
            assert_eq!(gateway.get(token).status, status, "{token}: {:?}", gateway.reasons());
        }
        assert_eq!(server.count() - before, 1, "{token}: all workers together ask once");
    }
    let received = &server.requests()[0];
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/oauth2/default/v1/introspect"));
    assert_eq!(received.headers.text("authorization").as_deref(), Some("Basic MG9hR2F0ZXdheTpodW50ZXIy"));
    let log = gateway.envoy.log();
    for hidden in ["unheard-of", SECRET, "MG9hR2F0ZXdheTpodW50ZXIy"] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
    gateway.assert_no_trap();
}

fn managed_trailers_of_an_introspected_request_are_removed(listener: fn(ListenerOptions) -> ListenerOptions) {
    let mut configuration = introspecting(json!({}));
    configuration["default_rule"] = json!({ "introspect": true });
    let setup = Setup { configuration, listener, ..Setup::default() };
    let slow = Duration::from_secs(1);
    let (gateway, server) =
        start_gateway_with(setup, move |_, _| Script::Slow { delay: slow, answer: active_response(json!({})) });
    let jwt = SigningKey::a("k1").token(&payload(now()));
    for (at, token) in ["opaque", jwt.as_str()].into_iter().enumerate() {
        let request = Request::post("/accounts").bearer(token).chunked(&[b"body"]);
        let request =
            request.trailer("x-user-id", "mallory").trailer("Authorization", "Bearer mallory").trailer("x-sum", "7");
        assert_eq!(request.send(gateway.port()).status, 200, "{:?}", gateway.reasons());
        assert_eq!(server.count(), at + 1, "the request was pending");
    }
    let over_http2 = json!([{ "port": gateway.port(), "method": "POST", "path": "/accounts", "chunks": ["body"],
        "headers": { "authorization": "Bearer another" },
        "trailers": { "x-user-id": "mallory", "x_client_id": "mallory", "x-sum": "7" } }]);
    assert_eq!(http2_requests(&over_http2)[0]["status"], 200, "{:?}", gateway.reasons());
    assert_eq!((server.count(), gateway.backend.count()), (3, 3));
    for request in gateway.backend.requests() {
        let names: Vec<&str> = request.trailers.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-sum"], "{request:?}");
    }
    gateway.assert_no_trap();
}

#[test]
fn managed_trailers_of_an_introspected_request_never_reach_the_backend_by_default() {
    managed_trailers_of_an_introspected_request_are_removed(with_environment);
}

#[test]
fn managed_trailers_of_an_introspected_request_never_reach_the_backend_with_allow_on_headers_stop_iteration() {
    managed_trailers_of_an_introspected_request_are_removed(|listener| ListenerOptions {
        allow_on_headers_stop_iteration: Some(true),
        ..with_environment(listener)
    });
}

/// AWS WAF and Cloudflare answer a callout without `user-agent` with 403; others ask for a key of their own.
#[test]
fn every_callout_carries_a_user_agent_and_the_operators_headers() {
    let user_agent = concat!("okta-proxy-wasm/", env!("CARGO_PKG_VERSION"));
    let server = ScriptedServer::start(move |received, _| {
        let has = |name: &str, value: &str| received.headers.all(name) == [value.as_bytes()];
        let of_list = has("user-agent", "acme-gateway/1") && has("authorization", SECRET);
        match received.path.as_str() {
            "/revoked" if of_list => ScriptedResponse::json(200, &json!({ "revoked": [] })).into(),
            _ if !has("user-agent", user_agent) || !has("x-waf-key", SECRET) => {
                ScriptedResponse::new(403, "blocked").into()
            }
            "/oauth2/default/.well-known/openid-configuration" => {
                let at = |path: &str| format!("https://acme.okta.com/{path}");
                let endpoints =
                    json!({ "issuer": ISSUER, "jwks_uri": at("keys"), "introspection_endpoint": at("ask") });
                ScriptedResponse::json(200, &endpoints).into()
            }
            "/keys" => ScriptedResponse::json(200, &key_set(&[&SigningKey::a("k1")])).into(),
            "/ask" => active(json!({})),
            _ => ScriptedResponse::new(404, "").into(),
        }
    });
    let secret = json!({ "env": "OKTA_CLIENT_SECRET" });
    let configuration = json!({
        "providers": { "idp": {
            "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "scripted", "callout_headers": { "X-WAF-Key": secret },
            "introspection": { "client_id": "0oaGateway", "client_secret": secret } } },
        "revocations": { "uri": "https://lists.acme.com/revoked", "upstream": "scripted",
            "callout_headers": { "user-agent": "acme-gateway/1", "authorization": secret } },
    });
    let gateway = Setup {
        configuration,
        listener: with_environment,
        more_clusters: vec![Cluster::plain("scripted", server.port())],
        environment: vec![("OKTA_CLIENT_SECRET", SECRET.to_owned())],
        ..Setup::default()
    }
    .start();
    let jwt = SigningKey::a("k1").token(&payload(now()));
    for token in [jwt.as_str(), "opaque"] {
        assert_eq!(gateway.get(token).status, 200, "{:?} {:?}", gateway.reasons(), server.requests());
    }
    let requests = server.requests();
    for path in ["/oauth2/default/.well-known/openid-configuration", "/keys", "/ask", "/revoked"] {
        assert!(requests.iter().any(|received| received.path == path), "no callout to {path}");
    }
    let log = gateway.envoy.log();
    assert!(!log.contains(SECRET) && !log.contains("(status)"), "{log}");
    gateway.assert_no_trap();
}

#[test]
fn envoy_signs_the_client_assertion_with_an_rsa_key() {
    let members =
        json!({ "client_auth": "private_key_jwt", "private_key": { "env": "OKTA_PRIVATE_KEY" }, "key_id": "k7" });
    let start = || start_gateway(members, |_, _| active(json!({})));
    // Envoy cannot sign before 1.37. There nobody is to find that out by a token that is not asked about.
    if version().starts_with("1.36.") {
        let refusal = catch_unwind(AssertUnwindSafe(start)).err().expect("the configuration is refused");
        let why = refusal.downcast_ref::<String>().expect("a text");
        assert!(why.contains("this Envoy does not sign with an RSA `private_key`"), "{why}");
        return;
    }
    let (gateway, server) = start();
    for token in ["one", "another"] {
        assert_eq!(gateway.get(token).status, 200, "{:?}", gateway.reasons());
    }
    let identifiers = [0, 1].map(|at| {
        let received = &server.requests()[at];
        assert_eq!(received.headers.first("authorization"), None);
        let body = String::from_utf8_lossy(&received.body).into_owned();
        let assertion = body.split('&').find_map(|parameter| parameter.strip_prefix("client_assertion="));
        let part = |number| {
            let text = assertion.and_then(|text| text.split('.').nth(number)).expect("a JWT");
            serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
        };
        let (header, claims) = (part(0), part(1));
        assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &json!("k7")));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("0oaGateway"), &json!("0oaGateway")));
        assert_eq!(claims["aud"], format!("{ISSUER}/v1/introspect"));
        claims["jti"].clone()
    });
    assert_ne!(identifiers[0], identifiers[1]);
    gateway.assert_no_trap();
}

#[test]
fn misbehaving_introspection_endpoint_allows_no_request_and_rejects_no_token() {
    let (gateway, server) = start_gateway(json!({ "timeout": "1s" }), |token, _| match token {
        "slow" => Script::Silent,
        "reset" => Script::Reset,
        "error" => ScriptedResponse::new(500, "").into(),
        "html" => ScriptedResponse::new(200, "<html></html>").header("content-type", "text/html").into(),
        "truncated" => Script::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"active\":true".to_vec()),
        "huge" => ScriptedResponse::new(200, vec![b' '; 10_000_000]).into(),
        "twice" => ScriptedResponse::new(200, r#"{"active":true,"active":true}"#).into(),
        "text" => ScriptedResponse::new(200, r#"{"active":"true"}"#).into(),
        _ => active(json!({})),
    });
    for token in ["slow", "reset", "error", "html", "truncated", "huge", "twice", "text"] {
        let response = gateway.get(token);
        assert_eq!(response.status, 503, "{token}: {:?}", gateway.reasons());
        assert!(response.header("retry-after").is_some(), "{token}");
        assert_eq!(response.header("www-authenticate"), None, "{token}: another one would not help");
    }
    assert_eq!(gateway.backend.count(), 0);
    assert!(server.count() >= 1);
    until("the endpoint to be asked again", Duration::from_secs(60), || {
        (gateway.get("good").status == 200).then_some(())
    });
    gateway.assert_no_trap();
}

#[test]
fn revoked_token_is_rejected_by_all_workers_also_when_the_list_is_unavailable() {
    let server = ScriptedServer::start(|received, nth| match (received.headers.text("if-none-match"), nth) {
        (None, 0..12) => ScriptedResponse::json(200, &json!({ "revoked": [] })).header("etag", "\"none\"").into(),
        (Some(tag), 0..12) if tag == "\"none\"" => ScriptedResponse::new(304, "").into(),
        (Some(tag), _) if tag == "\"none\"" => {
            ScriptedResponse::json(200, &json!({ "revoked": [{ "sub": "alice@acme.com" }] }))
                .header("etag", "\"alice\"")
                .into()
        }
        (None | Some(_), _) => ScriptedResponse::new(500, "").into(),
    });
    let mut configuration = gateway::minimal_configuration();
    configuration["revocations"] =
        json!({ "uri": "https://sec.acme.com/revoked.json", "upstream": "scripted", "refresh": "1s" });
    let more_clusters = vec![Cluster::plain("scripted", server.port())];
    let gateway = Setup { configuration, more_clusters, ..Setup::default() }.start();
    let token = gateway.alice();
    until("the first list and the keys", Duration::from_secs(20), || (gateway.get(&token).status == 200).then_some(()));
    until("the revocation", Duration::from_secs(30), || (gateway.get(&token).status == 401).then_some(()));
    gateway.envoy.wait_for_log("the list of revoked tokens could not be read");
    until("every worker to know", Duration::from_secs(20), || {
        (0..20).all(|_| gateway.get(&token).status == 401).then_some(())
    });
    assert!(gateway.reasons().contains(&"token_revoked".to_owned()));
    gateway.assert_no_trap();
}
