//! Spellings of hosts and methods that Envoy or a backend reads differently from a rule.

use serde_json::{Value, json};
use testbed::programs::curl;
use testbed::{Backend, Cluster, EnvoyBuilder, ListenerOptions, Request};

use crate::gateway::minimal_configuration;

/// A virtual host that answers with its own name.
fn virtual_host(name: &str, domains: &[&str]) -> Value {
    json!({ "name": name, "domains": domains, "routes": [{ "match": { "prefix": "/" },
        "direct_response": { "status": 200, "body": { "inline_string": name } } }] })
}

/// A listener with the virtual hosts `static` and `*`, and these options of its connection manager and its routes.
fn listener(name: &str, configuration: &Value, manager: Value, routes: &Value) -> ListenerOptions {
    let mut fields = manager;
    fields["route_config"] = json!({ "name": name, "virtual_hosts": [
        virtual_host("static", &["static.acme.com", "*.cdn.acme.com", "[2001:db8::1]"]),
        virtual_host("everything else", &["*"]) ] });
    for (field, value) in routes.as_object().into_iter().flatten() {
        fields["route_config"][field] = value.clone();
    }
    ListenerOptions { connection_manager_fields: fields, ..ListenerOptions::filtered(name, configuration) }
}

/// The body of a request without a token to this host, or the status of its rejection.
fn served(port: u16, host: &str) -> String {
    let response = Request::get("/admin").header("host", host).send(port);
    match response.status {
        200 => String::from_utf8_lossy(&response.body).into_owned(),
        status => status.to_string(),
    }
}

#[test]
fn a_host_spelling_that_envoy_routes_elsewhere_is_not_served_by_a_public_rule() {
    let mut configuration = minimal_configuration();
    configuration["rules"] = json!([{ "name": "static", "access": "public",
        "match": { "hosts": ["static.acme.com", "*.cdn.acme.com", "[2001:db8::1]"] } }]);
    let mut insecure = configuration.clone();
    insecure["insecure_ambiguous_hosts"] = json!(true);
    let shipped = json!({ "strip_any_host_port": true, "strip_trailing_host_dot": true });
    let no_options = json!({});
    let variants = [
        ("plain", json!({}), &no_options),
        ("matching port", json!({ "strip_matching_host_port": true }), &no_options),
        ("any port", json!({ "strip_any_host_port": true }), &no_options),
        ("trailing dot", json!({ "strip_trailing_host_dot": true }), &no_options),
        ("shipped", shipped, &no_options),
        ("ignored port", json!({}), &json!({ "ignore_port_in_host_matching": true })),
    ];
    let builder = EnvoyBuilder::new().listener(listener("insecure", &insecure, json!({}), &no_options));
    let envoy = variants
        .iter()
        .map(|(name, manager, routes)| listener(name, &configuration, manager.clone(), routes))
        .fold(builder, EnvoyBuilder::listener)
        .start();
    let spellings = [
        "static.acme.com:81",
        "static.acme.com:443",
        "static.acme.com.",
        "static.acme.com.:81",
        "static.acme.com:",
        "STATIC.acme.com.",
        "a.cdn.acme.com:81",
        "a.cdn.acme.com.",
        "[2001:db8::1]:81",
        "[2001:db8:0::1]",
        "[2001:DB8::1]",
    ];
    for (name, ..) in &variants {
        let port = envoy.port(name);
        assert_eq!(served(port, "static.acme.com"), "static", "{name}");
        assert_eq!(served(port, "other.acme.com:81"), "401", "{name}");
        for host in spellings {
            let served = served(port, host);
            assert!(matches!(served.as_str(), "static" | "400" | "401"), "{name}: {host} is served by {served}");
        }
    }
    let shipped = envoy.port("shipped");
    for host in
        ["static.acme.com:81", "static.acme.com.", "static.acme.com.:81", "a.cdn.acme.com:81", "[2001:db8::1]:81"]
    {
        assert_eq!(served(shipped, host), "static", "{host}");
    }
    // Without the check this test would have seen the bypass.
    for host in ["static.acme.com:81", "static.acme.com.", "a.cdn.acme.com:81", "[2001:db8:0::1]"] {
        assert_eq!(served(envoy.port("insecure"), host), "everything else", "{host}");
    }
    assert_eq!(served(envoy.port("insecure"), "static.acme.com:"), "400");
}

#[test]
fn a_method_with_a_lower_case_letter_reaches_no_backend_over_http_1_and_http_2() {
    let backend = Backend::start();
    let mut configuration = minimal_configuration();
    configuration["rules"] = json!([{ "match": { "methods": ["DELETE"] }, "access": "deny" }]);
    configuration["default_rule"] = json!({ "access": "public" });
    let custom = json!({ "http_protocol_options": { "allow_custom_methods": true } });
    let listener =
        ListenerOptions { connection_manager_fields: custom, ..ListenerOptions::filtered("api", &configuration) };
    let envoy = EnvoyBuilder::new().listener(listener).cluster(Cluster::backend("backend", backend.port())).start();
    let port = envoy.port("api");
    let methods = ["delete", "dElEtE", "DELETe", "get", "purge"];
    for method in methods {
        assert_eq!(Request::new(method, "/accounts/7").send(port).status, 400, "{method}");
    }
    let transfers: Vec<Value> = methods
        .iter()
        .map(|method| json!({ "url": format!("http://127.0.0.1:{port}/accounts/7"), "method": method, "http": "2-prior" }))
        .collect();
    for (response, method) in curl(&json!(transfers)).iter().zip(methods) {
        assert_eq!((&response["status"], &response["http"]), (&json!(400), &json!("2")), "{method}: {response}");
    }
    assert_eq!(backend.count(), 0, "a rejected request was forwarded");
    assert_eq!(Request::new("PURGE", "/accounts/7").send(port).status, 200);
    assert_eq!(Request::new("DELETE", "/accounts/7").send(port).status, 403);
}
