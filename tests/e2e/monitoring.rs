//! The dashboard and the alert rules in a real Prometheus that scrapes a real Envoy under traffic of every kind: a query that
//! names a series which does not exist leaves a panel empty, or an alert that never fires.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::gateway::{API, Gateway, Setup};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use serde_json::{Value, json};
use testbed::authorization_server::{DNS_NAME, now};
use testbed::module::project_root;
use testbed::polling::{until, within};
use testbed::prometheus::Prometheus;
use testbed::{Cluster, ListenerOptions, ListenerUpdate, Request, ScriptedResponse, ScriptedServer};

const A_WHILE: Duration = Duration::from_secs(90);

/// Three issuers: one whose keys are fetched and whose tokens may be bound to a key of the client, one that is asked about
/// tokens, one whose keys cannot be had.
fn configuration(key: &SigningKey) -> Value {
    json!({
        "providers": {
            "okta": { "okta": { "domain": DNS_NAME }, "audiences": [AUDIENCE], "upstream": "okta",
                "jwks": { "unknown_kid_cooldown": "1s" }, "sender_constraint": { "dpop": "if_bound", "proofs": { "origins": ["https://api.acme.com"] } } },
            "opaque": { "issuer": "https://opaque.example", "insecure_any_audience": true, "upstream": "scripted",
                "jwks": { "inline": key_set(&[key]) },
                "introspection": { "uri": "https://opaque.example/introspect", "client_id": "0oaGateway",
                    "client_secret": { "env": "OKTA_CLIENT_SECRET" }, "requests_per_minute": 24,
                    "cache_ttl": "1s", "stale_if_error": "600s" } },
            "down": { "issuer": "https://down.example", "audiences": [AUDIENCE], "upstream": "nowhere" },
        },
        "rules": [{ "name": "trial", "match": { "path_prefix": "/beta" }, "require": { "groups": ["x"] }, "report_only": true }],
        "revocations": { "uri": "https://sec.acme.com/revoked.json", "upstream": "scripted", "refresh": "1s" },
    })
}

fn issuer() -> ScriptedServer {
    ScriptedServer::start(|received, _| {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        match body.split('&').find_map(|parameter| parameter.strip_prefix("token=")) {
            None => ScriptedResponse::json(200, &json!({ "revoked": [{ "sub": "mallory" }] })).into(),
            Some("good") => ScriptedResponse::json(
                200,
                &json!({ "active": true, "token_type": "Bearer", "client_id": "c",
                "sub": "alice", "iss": "https://opaque.example", "exp": now() + 3600 }),
            )
            .into(),
            Some("fails") => ScriptedResponse::new(500, "").into(),
            Some(_) => ScriptedResponse::json(200, &json!({ "active": false })).into(),
        }
    })
}

fn listener(configuration: &Value) -> ListenerOptions {
    ListenerOptions {
        host_env_keys: vec!["OKTA_CLIENT_SECRET".to_owned()],
        ..ListenerOptions::filtered(API, configuration)
    }
}

/// Requests of every kind that some number is about.
fn traffic(gateway: &Gateway, key: &SigningKey, alice: &str, round: usize) {
    let elsewhere = key.token(&with(&payload(now()), json!({ "iss": "https://down.example" })));
    let unknown_key =
        SigningKey::a(&format!("unheard-of-{round}")).token(&with(&payload(now()), json!({ "iss": ISSUER })));
    let (signed, _) = alice.rsplit_once('.').expect("a JWT");
    let forged = format!("{signed}.{}", "A".repeat(342));
    // Rejected for its missing proof, and counted by what it is bound to.
    let bound = gateway.bent(json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }));
    Request::get("/accounts").header("authorization", format!("DPoP {bound}")).send(gateway.port());
    for token in ["good", "fails", "bad", &format!("bad-{round}"), alice, &elsewhere, &unknown_key, &forged] {
        Request::get("/accounts").bearer(token).send(gateway.port());
    }
    Request::get("/beta/x").bearer(alice).send(gateway.port());
    Request::get("/accounts").send(gateway.port());
}

/// The series that an expression names, each with the labels it asks for.
fn selectors(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in expression.match_indices("okta_proxy_wasm_") {
        let rest = &expression[at..];
        let name =
            rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_').unwrap_or(rest.len());
        let end = if rest[name..].starts_with('{') { name + rest[name..].find('}').expect("closed") + 1 } else { name };
        found.insert(rest[..end].to_owned());
    }
    found
}

/// The expressions of the dashboard's panels, as Grafana sends them.
fn dashboard_queries() -> Vec<(String, String)> {
    let text = fs::read_to_string(project_root().join("monitoring/dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            let sent = expression.replace("$__rate_interval", "30s").replace("$job", ".*").replace("$instance", ".*");
            assert!(!sent.contains('$'), "a variable that this test does not know: {sent}");
            queries.push((panel["title"].as_str().expect("a title").to_owned(), sent));
        }
    }
    assert!(queries.len() > 30, "only {} queries", queries.len());
    queries
}

#[test]
fn every_dashboard_query_and_every_alert_series_has_data() {
    let (key, server) = (SigningKey::a("k1"), issuer());
    let configuration = configuration(&key);
    let gateway = Setup {
        configuration: configuration.clone(),
        listener: |listener| ListenerOptions { host_env_keys: vec!["OKTA_CLIENT_SECRET".to_owned()], ..listener },
        more_clusters: vec![Cluster::plain("scripted", server.port())],
        environment: vec![("OKTA_CLIENT_SECRET", "hunter2".to_owned())],
        shares_authorization_server: false,
        ..Setup::default()
    }
    .start();
    let prometheus = Prometheus::scraping(gateway.envoy.admin_port());
    let alice = gateway.alice();
    for round in 0..5 {
        traffic(&gateway, &key, &alice, round);
    }
    gateway.idp.rotate();
    until("the new key", A_WHILE, || (gateway.get(&gateway.alice()).status == 200).then_some(()));
    let refused_so_far = r#"okta_proxy_wasm_configurations_total{outcome="refused"} == 0"#;
    until("the first scrape", A_WHILE, || (!prometheus.query(refused_so_far).is_empty()).then_some(()));
    let mut faulty = configuration.clone();
    faulty["providers"] = json!({});
    assert!(matches!(gateway.envoy.replace_listener(listener(&faulty)), ListenerUpdate::Rejected(_)));

    let queries = dashboard_queries();
    let mut round = 5;
    let mut silent = Vec::new();
    let all_speak = within(A_WHILE, || {
        traffic(&gateway, &key, &alice, round);
        round += 1;
        silent = queries.iter().filter(|(_, query)| !has_data(&prometheus, query)).collect();
        silent.is_empty().then_some(())
    });
    assert!(all_speak.is_some(), "nothing is said to {silent:#?}");
    assert_eq!(prometheus.targets(), [("up".to_owned(), String::new())]);

    let alerts = prometheus.alerts();
    assert!(alerts.len() >= 15, "{alerts:?}");
    for alert in &alerts {
        assert_eq!((&alert["health"], &alert["lastError"]), (&json!("ok"), &Value::Null), "{alert}");
        for selector in selectors(alert["query"].as_str().expect("a query")) {
            assert!(!prometheus.query(&selector).is_empty(), "{}: nobody tells {selector}", alert["name"]);
        }
    }
    // What is wrong here is noticed, and what is not, not.
    let inactive = || {
        let is_inactive = |alert: &&Value| alert["state"] == "inactive";
        let name = |alert: &Value| alert["name"].as_str().expect("a name").replace("OktaProxy", "");
        prometheus.alerts().iter().filter(is_inactive).map(name).collect::<Vec<_>>()
    };
    for name in ["KeysMissing", "ChecksRelaxed", "CannotDecide", "KeyFetchesFailing", "ConfigurationRefused"] {
        // Some want several failures, which come one after the other.
        until(name, A_WHILE, || (!inactive().contains(&name.to_owned())).then_some(()));
    }
    for name in ["KeysOld", "RevocationListMissing", "RevocationListOld", "VerificationInDoubt"] {
        assert!(inactive().contains(&name.to_owned()), "{name}");
    }
    // It is pending from the first scrape until the second report, for some seconds of the two minutes before it fires.
    until("the second report", A_WHILE, || {
        let alerts = prometheus.alerts();
        let not_reporting = alerts.iter().find(|alert| alert["name"] == "OktaProxyNotReporting").expect("the alert");
        assert_ne!(not_reporting["state"], "firing", "{not_reporting}");
        (not_reporting["state"] == "inactive").then_some(())
    });
}

/// A number, and one that is neither below nothing nor none.
fn has_data(prometheus: &Prometheus, query: &str) -> bool {
    let samples = prometheus.query(query);
    samples.iter().any(|(_, value)| value.is_finite() && *value >= 0.0)
}
