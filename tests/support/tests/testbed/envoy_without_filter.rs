//! A real Envoy without the filter: the behaviour that the end-to-end tests rely on.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::authorization_server::DNS_NAME;
use testbed::tls::CertificateAuthority;
use testbed::{
    AuthorizationServer, Backend, Cluster, EnvoyBuilder, Gate, ListenerOptions, ListenerUpdate, Mode, Request, envoy,
    send_many,
};

const KEYS: &str = "/oauth2/default/v1/keys";

fn in_front_of(backend: &Backend) -> EnvoyBuilder {
    EnvoyBuilder::new().cluster(Cluster::backend("backend", backend.port()))
}

/// An RBAC filter that allows nothing.
fn deny_everything() -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {}},
        },
    })
}

fn broken_script() -> Value {
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": "no lua at all"},
        },
    })
}

#[test]
fn forwards_header_body_and_trailers_as_they_are() {
    let backend = Backend::start();
    let envoy = in_front_of(&backend).listener(ListenerOptions::unfiltered("plain")).start();
    let request = Request::post("/a/../accounts?q=1")
        .header("x-role", "one")
        .header("x-role", b"\xff")
        .chunked(&[b"first, ", b"second"])
        .trailer("x-sum", "7");

    let response = request.send(envoy.port("plain"));

    assert_eq!((response.status, response.json()["path"].as_str()), (200, Some("/accounts?q=1")));
    let received = backend.requests().remove(0);
    assert_eq!(received.headers.all("x-role"), [&b"one"[..], b"\xff"]);
    assert_eq!(received.body, b"first, second");
    assert_eq!(received.trailers.text("x-sum").as_deref(), Some("7"));
    let logged = envoy.wait_for_log("access listener=plain");
    let request_id = received.headers.text("x-request-id").unwrap();
    assert!(logged.contains(&request_id), "{logged}");
    assert!(logged.ends_with("POST /accounts code=200 details=via_upstream flags=-"), "{logged}");
    assert_eq!(envoy.stat("http.plain.downstream_rq_total"), 1);
    assert_eq!(Request::get("/a%2fb").send(envoy.port("plain")).status, 400);
}

#[test]
fn a_replaced_listener_serves_the_very_next_request() {
    let backend = Backend::start();
    let open = ListenerOptions::unfiltered("api");
    let closed = ListenerOptions { filters_before: vec![deny_everything()], ..open.clone() };
    let other = ListenerOptions::unfiltered("other");
    let envoy = in_front_of(&backend).concurrency(2).listener(open.clone()).listener(other).start();
    let port = envoy.port("api");

    for _ in 0..5 {
        assert_eq!(envoy.replace_listener(closed.clone()), ListenerUpdate::Accepted);
        assert_eq!(Request::get("/").send(port).status, 403);
        assert_eq!(envoy.replace_listener(closed.clone()), ListenerUpdate::Accepted);
        assert_eq!(envoy.replace_listener(open.clone()), ListenerUpdate::Accepted);
        assert_eq!(Request::get("/").send(port).status, 200);
    }
    assert_eq!(Request::get("/").send(envoy.port("other")).status, 200);
}

#[test]
fn rejected_listener_leaves_the_old_one_serving() {
    let backend = Backend::start();
    let open = ListenerOptions::unfiltered("api");
    let envoy = in_front_of(&backend).listener(open.clone()).start();
    let faulty = ListenerOptions { filters_after: vec![broken_script()], ..open.clone() };
    let closed = ListenerOptions { filters_before: vec![deny_everything()], ..open };

    for _ in 0..2 {
        let ListenerUpdate::Rejected(reason) = envoy.replace_listener(faulty.clone()) else { panic!("accepted") };
        assert!(reason.contains("script load error"), "{reason}");
        assert_eq!(Request::get("/").send(envoy.port("api")).status, 200);
    }
    assert_eq!(envoy.replace_listener(closed), ListenerUpdate::Accepted);
    assert_eq!(Request::get("/").send(envoy.port("api")).status, 403);
}

#[test]
fn faulty_listener_of_any_source_is_reported_at_start() {
    let backend = Backend::start();
    let faulty = ListenerOptions { filters_before: vec![broken_script()], ..ListenerOptions::unfiltered("api") };
    let builder = in_front_of(&backend).listener(faulty);
    for builder in [builder.clone(), builder.static_listeners()] {
        let log = builder.try_start().err().expect("no start");
        assert!(log.contains("script load error"), "{log}");
    }
}

#[test]
fn a_thousand_requests_are_in_flight_at_once() {
    let backend = Backend::start();
    let envoy = in_front_of(&backend).concurrency(2).listener(ListenerOptions::unfiltered("plain")).start();
    let requests = vec![Request::get("/"); 1000];

    let responses = send_many(envoy.port("plain"), &requests, requests.len());

    assert!(responses.into_iter().all(|response| response.is_ok_and(|response| response.status == 200)));
    assert_eq!(backend.count(), 1000);
}

#[test]
fn cluster_without_endpoints_returns_503() {
    let listener = ListenerOptions { backend: "nowhere".to_owned(), ..ListenerOptions::unfiltered("plain") };
    let envoy = EnvoyBuilder::new().cluster(Cluster::without_endpoints("nowhere")).listener(listener).start();
    assert_eq!(Request::get("/").send(envoy.port("plain")).status, 503);
    assert!(envoy.wait_for_log("access ").ends_with("flags=UH"));
}

#[test]
fn the_identity_provider_is_reached_over_verified_tls_through_a_gate() {
    let server = AuthorizationServer::start();
    let gate = Gate::in_front_of(server.port());
    let elsewhere = TempDir::new().unwrap();
    let other_ca = CertificateAuthority::create(elsewhere.path()).ca_pem_path();
    let towards =
        |cluster: &str| ListenerOptions { backend: cluster.to_owned(), ..ListenerOptions::unfiltered(cluster) };
    let envoy = EnvoyBuilder::new()
        .cluster(Cluster::identity_provider("okta", gate.port(), DNS_NAME, &server.ca_pem_path()))
        .cluster(Cluster::identity_provider("wrong_ca", gate.port(), DNS_NAME, &other_ca))
        .cluster(Cluster::identity_provider("wrong_name", gate.port(), "evil.example", &server.ca_pem_path()))
        .listener(towards("okta"))
        .listener(towards("wrong_ca"))
        .listener(towards("wrong_name"))
        .start();
    let keys_from = |listener: &str| Request::get(KEYS).send(envoy.port(listener));

    assert_eq!(keys_from("okta").json(), server.jwks());
    assert_eq!(keys_from("wrong_ca").status, 503);
    assert_eq!(keys_from("wrong_name").status, 503);
    gate.set(Mode::Refuse);
    assert_eq!(keys_from("okta").status, 503);
    gate.set(Mode::Pass);
    assert_eq!(keys_from("okta").status, 200);
    assert_eq!(server.key_fetches(), 2);
}

#[test]
fn a_configuration_can_be_checked_without_serving() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("envoy.yaml");
    fs::write(&config, "static_resources: {clusters: []}").unwrap();
    assert_eq!(envoy::validate(&config), Ok(()));
    fs::write(&config, "static_resources: {klusters: []}").unwrap();
    assert!(envoy::validate(&config).unwrap_err().contains("klusters"));
}
