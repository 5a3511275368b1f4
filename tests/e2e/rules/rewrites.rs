//! The examples of `docs/rewrites.md`, in a real Envoy: bypasses by a rewrite, a mount or a disabled filter, and how to close
//! them.

use std::fs;

use serde::Deserialize as _;
use serde_json::{Value, json};
use testbed::{EnvoyBuilder, ListenerOptions, Request};

use crate::gateway::{Gateway, Setup};
use crate::pages::{blocks, root};

/// The name of the filter in the test's listeners; the page calls it `okta`.
const FILTER: &str = "envoy.filters.http.wasm";
const OPEN: &str = "open";
const CLOSED: &str = "closed";

/// The page's configurations and routes, the open ones first.
fn examples() -> ([Value; 2], [Vec<Value>; 2]) {
    let page = fs::read_to_string(root().join("docs/rewrites.md")).expect("the page is there");
    let (mut configurations, mut routes) = (Vec::new(), Vec::new());
    for block in blocks(&page) {
        match block.language.as_str() {
            "json" => configurations.push(serde_json::from_str(&block.text).expect("JSON")),
            "yaml" | "yaml theirs" => {
                let text = block.text.replace("          okta: {", &format!("          {FILTER}: {{"));
                let document = Value::deserialize(yaml_serde::Deserializer::from_str(&text)).expect("YAML");
                routes.push(document["routes"].as_array().expect("routes").clone());
            }
            _ => {}
        }
    }
    (configurations.try_into().expect("two configurations"), routes.try_into().expect("two lists of routes"))
}

/// The status, and the paths that the backend received.
fn outcome(gateway: &Gateway, listener: &str, request: Request) -> (u16, Vec<String>) {
    gateway.backend.clear();
    let status = request.send(gateway.envoy.port(listener)).status;
    (status, gateway.backend.requests().into_iter().map(|seen| seen.path).collect())
}

#[test]
fn bad_rewrites_bypass_rules_and_the_documented_ones_do_not() {
    let ([open, closed], [open_routes, closed_routes]) = examples();
    let listener = |name, configuration: &Value, routes_before| ListenerOptions {
        routes_before,
        ..ListenerOptions::filtered(name, configuration)
    };
    let more_listeners = vec![listener(OPEN, &open, open_routes), listener(CLOSED, &closed, closed_routes)];
    let gateway = Setup { more_listeners, workers: 1, ..Setup::default() }.start();
    let alice = gateway.alice();
    for (path, open, closed) in [
        ("/api/admin", None, None),
        ("/api/orders", Some("//orders"), Some("/orders")),
        ("/static/site.css", Some("/files//site.css"), Some("/files/site.css")),
        ("/apiadmin", Some("/admin"), Some("/apiadmin")),
        ("/static../secret/a", Some("/files/../secret/a"), Some("/static../secret/a")),
        ("/admin", Some("/admin"), None),
        ("/API/admin", Some("/API/admin"), None),
        ("/report.php", None, None),
        ("/report.php/x", Some("/report.php/x"), None),
    ] {
        for (listener, expected) in [(OPEN, open), (CLOSED, closed)] {
            let found = outcome(&gateway, listener, Request::get(path).bearer(&alice));
            let expected = match expected {
                Some(seen) => (200, vec![seen.to_owned()]),
                None => (403, Vec::new()),
            };
            assert_eq!(found, expected, "{listener}: {path}");
        }
    }
    // Where the filter is disabled, a client without a token says who it is.
    let forged = || Request::get("/canary").header("x-user-id", "admin");
    assert_eq!(outcome(&gateway, OPEN, forged()), (200, vec!["/canary".to_owned()]));
    let seen = gateway.backend.requests().remove(0);
    assert!(seen.headers.0.iter().any(|(name, value)| name == "x-user-id" && value == b"admin"), "{seen:?}");
    assert_eq!(outcome(&gateway, CLOSED, forged()), (401, Vec::new()));
    gateway.assert_no_trap();
}

/// What `envoy/envoy.yaml` does to hosts, without the filter: the table of `docs/deploying.md`.
#[test]
fn shipped_listener_routes_every_spelling_of_a_host_to_one_virtual_host() {
    let text = fs::read_to_string(root().join("envoy/envoy.yaml")).expect("the bootstrap is there");
    let bootstrap: Value = yaml_serde::from_str(&text).expect("YAML");
    let mut listener = bootstrap["static_resources"]["listeners"][0].clone();
    listener["address"]["socket_address"]["port_value"] = json!(0);
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    manager["http_filters"].as_array_mut().expect("filters").remove(0);
    let virtual_host = |name: &str, domain: &str, status: u16| {
        json!({ "name": name, "domains": [domain], "routes": [
            { "match": { "prefix": "/" }, "direct_response": { "status": status } }] })
    };
    manager["route_config"]["virtual_hosts"] =
        json!([virtual_host("static", "static.acme.com", 201), virtual_host("others", "*", 202)]);
    let envoy = EnvoyBuilder::new().start_as_written(&json!({
        "static_resources": { "listeners": [listener] },
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
    }));
    let port = envoy.listening_ports()["api"];
    for (host, status) in [
        ("static.acme.com", 201),
        ("STATIC.acme.com", 201),
        ("static.acme.com:81", 201),
        ("static.acme.com:081", 201),
        ("static.acme.com.", 201),
        ("static.acme.com.:81", 201),
        ("other.acme.com", 202),
        // The filter refuses the empty port.
        ("static.acme.com:", 202),
    ] {
        assert_eq!(Request::get("/").header("host", host).send(port).status, status, "{host}");
    }
}
