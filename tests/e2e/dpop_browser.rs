//! A page in a real browser that makes DPoP proofs with WebCrypto, by a key that no script can export, and calls an API of
//! another origin. The browser's package is for x86-64 alone.

use std::sync::Arc;
use std::time::Duration;

use crate::dpop::{ORIGIN, configuration};
use crate::gateway::Setup;
use serde_json::{Value, json};
use testbed::authorization_server::ISSUER;
use testbed::polling::until;
use testbed::programs::Browser;
use testbed::{AuthorizationServer, ClientTokenRequest, ListenerOptions, ScriptedResponse, ScriptedServer};

const PAGE: &str = include_str!("../support/dpop-clients/page.html");
const IN_FRONT: &str = "cors in front";
const OURS: &str = "cors of ours";
const NOT_EXPOSED: &str = "nonce not exposed";
const NO_PREFLIGHT: &str = "dpop not allowed";

/// Serves the page and its plan, and gets its tokens.
fn site(calls: &Value, idp: &Arc<AuthorizationServer>) -> ScriptedServer {
    let plan = json!({ "token_url": format!("{ISSUER}/v1/token"), "calls": calls });
    let idp = Arc::clone(idp);
    ScriptedServer::start(move |received, _| {
        match received.path.as_str() {
            "/" => ScriptedResponse::new(200, PAGE).header("content-type", "text/html"),
            "/plan" => ScriptedResponse::json(200, &plan),
            "/token" => {
                let proof = received.headers.text("dpop").unwrap_or_default();
                let issued = idp.request_dpop_token("service", &ClientTokenRequest::default(), &proof);
                ScriptedResponse::json(issued.status, &issued.json())
            }
            "/results" => ScriptedResponse::new(204, ""),
            _ => ScriptedResponse::new(404, ""),
        }
        .into()
    })
}

/// A listener with Envoy's CORS filter in front of ours or behind it.
fn listener(name: &str, is_in_front: bool, allow_headers: &str, cors: Value) -> ListenerOptions {
    let mut configuration = configuration("required", json!({ "nonce": "required" }));
    configuration["bypass_cors_preflight"] = json!(true);
    if !cors.is_null() {
        configuration["responses"]["cors"] = cors;
    }
    let filter = vec![json!({
        "name": "envoy.filters.http.cors",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"},
    })];
    let (filters_before, filters_after) = if is_in_front { (filter, Vec::new()) } else { (Vec::new(), filter) };
    let policy = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"prefix": "http://127.0.0.1:"}],
        "allow_methods": "GET, PUT",
        "allow_headers": allow_headers,
        "expose_headers": "www-authenticate, dpop-nonce",
    });
    ListenerOptions {
        filters_before,
        filters_after,
        typed_per_filter_config: json!({ "envoy.filters.http.cors": policy }),
        ..ListenerOptions::filtered(name, &configuration)
    }
}

#[test]
fn page_with_a_key_that_no_script_can_read_gets_a_nonce_and_is_served() {
    let both = "authorization, dpop";
    let anybody = json!({ "allow_origins": ["*"] });
    let gateway = Setup {
        configuration: configuration("required", json!({})),
        more_listeners: vec![
            listener(IN_FRONT, true, both, Value::Null),
            listener(OURS, false, both, anybody.clone()),
            listener(
                NOT_EXPOSED,
                false,
                both,
                json!({ "allow_origins": ["*"], "expose_headers": ["www-authenticate"] }),
            ),
            listener(NO_PREFLIGHT, false, "authorization", anybody),
        ],
        workers: 1,
        ..Setup::default()
    }
    .start();
    gateway.wait_until_keys_are_held();
    let call = |listener: &str, path: &str| {
        let url = format!("http://127.0.0.1:{}/accounts/7?x=1", gateway.envoy.port(listener));
        json!({ "url": url, "htu": format!("{ORIGIN}{path}"), "method": "PUT" })
    };
    let nonce = r#"error="use_dpop_nonce""#;
    let rows = [
        (call(IN_FRONT, "/accounts/7"), vec![(401, nonce), (200, "")]),
        (call(OURS, "/accounts/7"), vec![(401, nonce), (200, "")]),
        // By default our refusals expose the nonce; where they do not, no script gets one.
        (call(NOT_EXPOSED, "/accounts/7"), vec![(401, nonce)]),
        // Without `dpop` in `allow_headers` the browser sends no request.
        (call(NO_PREFLIGHT, "/accounts/7"), vec![(0, "")]),
        (call(OURS, "/accounts/8"), vec![(401, r#"error="invalid_dpop_proof""#)]),
    ];
    let calls: Vec<&Value> = rows.iter().map(|(call, _)| call).collect();
    let site = site(&json!(calls), &gateway.idp);
    let _browser = Browser::open(&format!("http://127.0.0.1:{}/", site.port()));
    let seen: Value = until("the page's results", Duration::from_secs(90), || {
        let results = site.requests().into_iter().find(|request| request.path == "/results")?;
        Some(serde_json::from_slice(&results.body).expect("JSON"))
    });
    assert_eq!(seen["exported"], "InvalidAccessError", "{seen}");
    assert_eq!(seen["type"], "DPoP", "{seen}");
    for (number, (call, expected)) in rows.iter().enumerate() {
        let tries = seen["results"][number].as_array().expect("tries");
        assert_eq!(tries.len(), expected.len(), "{call}: {tries:?}");
        for (found, (status, challenge)) in tries.iter().zip(expected) {
            assert_eq!(found["status"].as_u64().unwrap_or(0), *status, "{call}: {found}");
            assert_eq!(found["error"].is_string(), *status == 0, "{call}: {found}");
            assert!(found["challenge"].as_str().unwrap_or_default().contains(challenge), "{call}: {found}");
        }
    }
    let received = gateway.backend.requests();
    assert_eq!(received.len(), 2);
    for request in received {
        assert_eq!((request.headers.first("authorization"), request.headers.first("dpop")), (None, None));
    }
    gateway.assert_no_trap();
}
