//! Envoy's behaviour around the filter: internal redirects, routes that are selected again while clients leave, and callouts
//! to clusters without a usable endpoint. And tokens whose claims or issuer are easily misconfigured.

#![allow(clippy::disallowed_methods, reason = "the time until a response is measured")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::gateway::{Gateway, Setup, minimal_configuration};
use crate::introspection_gateway::{SECRET, introspecting, with_environment};
use crate::signing::{AUDIENCE, SigningKey, key_set, payload, with};
use serde_json::{Value, json};
use testbed::authorization_server::{DNS_NAME, now};
use testbed::backend::Behaviour;
use testbed::http1::Received;
use testbed::{Cluster, ListenerOptions, Mode, Request};

/// A gateway with keys in the configuration.
fn gateway(members: Value, listener: fn(ListenerOptions) -> ListenerOptions) -> Gateway {
    let mut configuration = json!({ "providers": { "okta": {
        "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } } } });
    for (name, value) in members.as_object().into_iter().flatten() {
        configuration[name] = value.clone();
    }
    Setup { configuration, listener, ..Setup::default() }.start()
}

fn token(changes: Value) -> String {
    SigningKey::a("k1").token(&with(&payload(now()), changes))
}

/// Envoy follows the redirects of the backend itself.
fn redirecting(listener: ListenerOptions) -> ListenerOptions {
    let route = json!({
        "match": { "prefix": "/" },
        "route": { "cluster": "backend", "internal_redirect_policy": { "redirect_response_codes": [302] } },
    });
    ListenerOptions { routes_before: vec![route], ..listener }
}

/// What the backend got, and the status that the client got, when the first response to each path is a redirect to
/// `location`: Envoy follows one redirect, so 302 at the client is that of the second request.
fn after_redirect(members: Value, location: &str) -> (u16, Vec<Received>) {
    let gateway = gateway(members, redirecting);
    let headers = BTreeMap::from([("location".to_owned(), location.to_owned())]);
    gateway.backend.behave(&Behaviour { answers: vec![302], headers, ..Behaviour::default() });
    let response = Request::get("/start").bearer(&token(json!({}))).header("x-user-id", "mallory").send(gateway.port());
    gateway.assert_no_trap();
    (response.status, gateway.backend.requests())
}

#[test]
fn an_internal_redirect_is_decided_again_and_without_the_token_it_is_rejected() {
    let (status, received) = after_redirect(json!({}), "http://api.acme.com/target");
    assert_eq!((status, received.len()), (401, 1));
}

#[test]
fn internal_redirect_is_allowed_where_the_token_is_forwarded() {
    let (status, received) = after_redirect(json!({ "token": { "forward": true } }), "http://api.acme.com/target");
    assert_eq!((status, received.len()), (302, 2));
    for request in received {
        assert_eq!(request.headers.text("x-user-id").as_deref(), Some("alice@acme.com"));
    }
}

#[test]
fn internal_redirect_is_decided_by_the_rule_of_its_target() {
    let admin = json!({ "name": "admin", "match": { "path_prefix": "/admin" }, "require": { "scopes": ["admin"] } });
    let (status, received) =
        after_redirect(json!({ "token": { "forward": true }, "rules": [admin] }), "http://api.acme.com/admin/users");
    assert_eq!((status, received.len()), (403, 1));
}

#[test]
fn an_internal_redirect_to_a_public_path_carries_no_identity() {
    let public = json!({ "name": "public", "match": { "path_prefix": "/public" }, "access": "public" });
    let (status, received) = after_redirect(json!({ "rules": [public] }), "http://api.acme.com/public/page");
    assert_eq!((status, received.len()), (302, 2));
    assert_eq!(received[1].headers.text("x-user-id"), None);
    assert_eq!(received[1].headers.text("authorization"), None);
}

#[test]
fn claims_with_objects_in_arrays_are_not_nested_claims_and_conditions_can_read_them() {
    let rule = |name: &str, require: Value| json!({ "name": name, "match": { "path": format!("/{name}") }, "require": require });
    let configuration = json!({
        "claim_to_headers": [
            { "header": "x-permissions", "claim": "permissions" },
            { "header": "x-listed", "claim": "permissions", "format": "comma" },
            { "header": "x-scopes", "claim": ["permissions", "scopes"] },
        ],
        "rules": [
            rule("path", json!({ "claims": [{ "claim": ["permissions", "scopes"], "contains": "write" }] })),
            rule("exists", json!({ "condition": "claims.permissions.exists(p, 'write' in p.scopes)" })),
            rule("none", json!({ "condition": "claims.permissions.exists(p, 'delete' in p.scopes)" })),
        ],
    });
    let gateway = gateway(configuration, |listener| listener);
    let permissions = json!([{ "on": "a", "scopes": ["read"] }, { "on": "b", "scopes": ["write"] }]);
    let token = token(json!({ "permissions": permissions }));
    for (path, status) in [("/exists", 200), ("/none", 403), ("/path", 403)] {
        let response = Request::get(path).bearer(&token).send(gateway.port());
        assert_eq!(response.status, status, "{path}: {:?}", gateway.reasons());
    }
    let received = &gateway.backend.requests()[0];
    assert_eq!(received.headers.text("x-permissions"), Some(permissions.to_string()));
    assert_eq!(received.headers.text("x-listed"), None);
    assert_eq!(received.headers.text("x-scopes"), None);
    gateway.assert_no_trap();
}

/// As in CVE-2024-45809: Envoy crashed when the route was chosen again for a request whose client had left.
#[test]
fn closed_streams_during_a_key_fetch_affect_no_other_request_where_the_route_is_selected_again() {
    let mut configuration = minimal_configuration();
    configuration["clear_route_cache"] = json!(true);
    configuration["filter_state"] = json!(["subject"]);
    let gateway = Setup { configuration, gate: Mode::Hold, ..Setup::default() }.start();
    let alice = gateway.alice();
    let pid = gateway.envoy.pid();
    let mut staying = gateway.connect();
    staying.send(&Request::get("/stays").bearer(&alice)).expect("sent");
    for _ in 0..100 {
        let mut leaving = gateway.connect();
        leaving.send(&Request::post("/leaves").bearer(&alice).body("x")).expect("sent");
    }
    gateway.gate.set(Mode::Pass);
    // Some leave at the moment when their decision is made.
    for _ in 0..100 {
        let mut leaving = gateway.connect();
        leaving.send(&Request::get("/leaves-later").bearer(&alice)).expect("sent");
    }
    assert_eq!(staying.read_response().expect("a response").status, 200);
    assert_eq!(gateway.get(&alice).status, 200);
    assert_eq!(gateway.envoy.pid(), pid);
    assert_eq!(gateway.envoy.admin("GET", "/ready").status, 200);
    gateway.assert_no_trap();
}

/// The configured time of a callout, and what Envoy and the machine may take beside it.
const TIMEOUT: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(1500);

/// Sends a request whose decision needs a callout to a cluster that cannot answer. Such callouts hung far beyond their timeout in
/// wasm-shim (issue 425).
fn is_rejected_in_time(configuration: Value, token: &str, reason: &str) {
    // Accepts connections and never answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let silent_port = silent.local_addr().expect("bound").port();
    let setup = Setup {
        configuration,
        listener: with_environment,
        more_clusters: vec![Cluster::unhealthy("unhealthy", 9), Cluster::panicking("panicking", silent_port)],
        environment: vec![("OKTA_CLIENT_SECRET", SECRET.to_owned())],
        ..Setup::default()
    };
    let gateway = setup.start();
    for path in ["/first", "/second"] {
        let began = Instant::now();
        let response = Request::get(path).bearer(token).send(gateway.port());
        assert_eq!(response.status, 503, "{reason}: {:?}", gateway.reasons());
        assert!(began.elapsed() < TIMEOUT + MARGIN, "{reason}: {:?}", began.elapsed());
        assert!(response.header("retry-after").is_some(), "{reason}");
    }
    let reasons = gateway.reasons();
    assert!(reasons.iter().all(|found| found == reason), "{reasons:?}");
    gateway.assert_no_trap();
}

/// A cluster without endpoints, and two whose only endpoint is unhealthy: one that Envoy sends nothing to, and one that it
/// sends requests to for want of a healthy one.
const UNUSABLE: [&str; 3] = ["nowhere", "unhealthy", "panicking"];

#[test]
fn requests_get_503_in_time_when_the_cluster_of_the_keys_has_no_usable_endpoint() {
    for upstream in UNUSABLE {
        let mut configuration = minimal_configuration();
        configuration["providers"]["okta"]["upstream"] = json!(upstream);
        configuration["providers"]["okta"]["jwks"] = json!({ "timeout": "1s" });
        let token = SigningKey::a("k1")
            .token(&with(&payload(now()), json!({ "iss": format!("https://{DNS_NAME}/oauth2/default") })));
        is_rejected_in_time(configuration, &token, "keys_unavailable");
    }
}

#[test]
fn requests_get_503_in_time_when_the_cluster_of_introspection_has_no_usable_endpoint() {
    for upstream in UNUSABLE {
        let mut configuration = introspecting(json!({ "timeout": "1s" }));
        configuration["providers"]["okta"]["upstream"] = json!(upstream);
        is_rejected_in_time(configuration, "opaque", "introspection_unavailable");
    }
}

#[test]
fn requests_get_503_in_time_when_the_cluster_of_the_revocation_list_has_no_usable_endpoint() {
    for upstream in UNUSABLE {
        let mut configuration = introspecting(json!({}));
        configuration["providers"]["okta"].as_object_mut().expect("an object").remove("introspection");
        configuration["providers"]["okta"].as_object_mut().expect("an object").remove("upstream");
        configuration["revocations"] =
            json!({ "uri": "https://sec.acme.com/revoked", "upstream": upstream, "timeout": "1s" });
        is_rejected_in_time(configuration, &token(json!({})), "revocations_unavailable");
    }
}

#[test]
fn a_token_of_the_okta_org_authorization_server_is_rejected_by_its_issuer() {
    let gateway = gateway(json!({}), |listener| listener);
    let org = token(json!({ "iss": "https://acme.okta.com", "aud": "https://acme.okta.com" }));
    let response = gateway.get(&org);
    assert_eq!(response.status, 401);
    gateway.expect_reasons("issuer_unknown", 1);
}
