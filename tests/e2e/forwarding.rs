//! Forwarded values in a real Envoy: its access log, RBAC, rate limits and routes use filter state and claim headers, and a
//! client can change none of them.

#![allow(clippy::disallowed_methods, reason = "records are limited by the second")]

use std::time::{Duration, Instant};

use crate::gateway::{API, Gateway, Setup, minimal_configuration};
use serde_json::{Value, json};
use testbed::polling::until;
use testbed::{ListenerOptions, ListenerUpdate, Mode, Request, Response, SigningKey};

const TYPE: &str = "type.googleapis.com";
const FIELDS: &str = "decision=%FILTER_STATE(wasm.auth_decision:PLAIN)% reason=%FILTER_STATE(wasm.auth_reason:PLAIN)% \
    rule=%FILTER_STATE(wasm.auth_rule:PLAIN)% provider=%FILTER_STATE(wasm.auth_provider:PLAIN)% \
    subject=%FILTER_STATE(wasm.auth_subject:PLAIN)% tenant=%FILTER_STATE(wasm.auth_tenant:PLAIN)%";
const ALICE: &str = "alice@acme.com";

fn configured(members: Value) -> Value {
    let mut configuration = minimal_configuration();
    for (name, value) in members.as_object().into_iter().flatten() {
        configuration[name] = value.clone();
    }
    configuration
}

/// Everything that can be told, and a rule for each way to be decided.
fn with_filter_state() -> Value {
    configured(json!({
        "filter_state": ["decision", "reason", "rule", "provider", "subject", "client", "scopes", "token_id",
            { "name": "tenant", "claim": "tenant" }],
        "rules": [
            { "name": "open", "match": { "path_prefix": "/open" }, "access": "public" },
            { "name": "admin", "match": { "path_prefix": "/admin" }, "require": { "scopes": ["admin"] } },
        ],
        "readiness_path": "/ready",
    }))
}

fn logged(listener: ListenerOptions) -> ListenerOptions {
    ListenerOptions { access_log_fields: FIELDS.to_owned(), ..listener }
}

/// Sends a request and waits for the line of its path in the access log: what it tells of filter state.
fn line_of(gateway: &Gateway, listener: &str, path: &str, request: &Request) -> (Response, String) {
    let response = request.send(gateway.envoy.port(listener));
    (response, logged_line(gateway, path))
}

fn logged_line(gateway: &Gateway, path: &str) -> String {
    let line = gateway.envoy.wait_for_log(&format!(" {path} code="));
    let (_, fields) = line.split_once("decision=").expect("the fields");
    format!("decision={fields}")
}

fn direct(body: &str) -> Value {
    json!({ "status": 200, "body": { "inline_string": body } })
}

/// Every value of the file that a body of a 200 tells.
fn echoed(response: &Response, name: &str) -> Vec<String> {
    let echo = response.json();
    let pairs = echo["headers"].as_array().cloned().unwrap_or_default();
    pairs.iter().filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_str().map(str::to_owned)).collect()
}

#[test]
fn access_log_has_every_decision_and_no_client_input() {
    let setup = Setup {
        configuration: with_filter_state(),
        listener: |listener| ListenerOptions {
            access_log_fields: format!("{FIELDS} cel=%CEL(filter_state['wasm.auth_subject'] == 'alice@acme.com')%"),
            ..listener
        },
        workers: 1,
        gate: Mode::Hold,
        ..Setup::default()
    };
    let gateway = setup.start();
    // Before there are keys: these wait, and the root tells of them when it decides.
    let (alice, unpublished) =
        (gateway.alice(), gateway.idp.sign(&json!({}), &gateway.bent_payload(json!({})), SigningKey::Unpublished));
    let mut waiting = gateway.connect();
    let mut refused = gateway.connect();
    waiting.send(&Request::get("/waited").bearer(&alice)).expect("sent");
    refused.send(&Request::get("/waited-in-vain").bearer(&unpublished)).expect("sent");
    std::thread::sleep(Duration::from_millis(100));
    gateway.gate.set(Mode::Pass);
    assert_eq!(waiting.read_response().expect("an answer").status, 200);
    assert_eq!(refused.read_response().expect("an answer").status, 401);
    let of_alice = "rule=- provider=okta subject=alice@acme.com tenant=- cel=true";
    assert_eq!(logged_line(&gateway, "/waited"), format!("decision=allow reason=authorized {of_alice}"));
    let unknown = "rule=- provider=okta subject=- tenant=- cel=-";
    assert_eq!(logged_line(&gateway, "/waited-in-vain"), format!("decision=deny reason=key_unknown {unknown}"));

    let forged = gateway.idp.sign(
        &json!({ "kid": gateway.idp.kid(SigningKey::Active) }),
        &gateway.bent_payload(json!({ "sub": "root" })),
        SigningKey::Unpublished,
    );
    let strange = gateway.bent(json!({ "sub": "bob\nrequest=forged", "tenant": "caf\u{e9}" }));
    let rows = [
        ("/ok", 200, Request::get("/ok").bearer(&alice), format!("decision=allow reason=authorized {of_alice}")),
        ("/none", 401, Request::get("/none"),
            "decision=deny reason=token_missing rule=- provider=- subject=- tenant=- cel=-".to_owned(),
        ),
        ("/forged", 401, Request::get("/forged").bearer(&forged),
            format!("decision=deny reason=signature_invalid {unknown}"),
        ),
        ("/admin/unmet", 403, Request::get("/admin/unmet").bearer(&alice),
            "decision=deny reason=scope_missing rule=admin provider=okta subject=alice@acme.com tenant=- cel=true"
                .to_owned(),
        ),
        ("/open/x", 200, Request::get("/open/x").bearer(&alice),
            "decision=allow reason=no_token_required rule=open provider=- subject=- tenant=- cel=-".to_owned(),
        ),
        ("/strange", 200, Request::get("/strange").bearer(&strange),
            "decision=allow reason=authorized rule=- provider=okta subject=bob%0Arequest=forged tenant=caf%C3%A9 cel=false"
                .to_owned(),
        ),
    ];
    for (path, status, request, expected) in rows {
        // Names by which a client might hope to reach filter state.
        let request =
            request.header("wasm.auth_subject", b"root").header("x-envoy-filter-state", b"wasm.auth_subject=root");
        let (response, line) = line_of(&gateway, API, path, &request);
        assert_eq!((response.status, line), (status, expected), "{path}");
    }
    // On one connection the next request inherits nothing.
    let mut connection = gateway.connect();
    for (path, token, subject) in [("/1st", Some(&alice), ALICE), ("/2nd", None, "-"), ("/3rd", Some(&alice), ALICE)] {
        let request = Request::get(path);
        connection.send(&token.map_or(request.clone(), |token| request.bearer(token))).expect("sent");
        connection.read_response().expect("an answer");
        assert!(logged_line(&gateway, path).contains(&format!("subject={subject} ")), "{path}");
    }
    let (_, ready) = line_of(&gateway, API, "/ready", &Request::get("/ready"));
    assert!(ready.starts_with("decision=- reason=- "), "{ready}");
    // A changed configuration declares its names anew.
    let changed = logged(ListenerOptions::filtered(API, &configured(json!({ "filter_state": ["subject", "rule"] }))));
    assert_eq!(gateway.envoy.replace_listener(changed), ListenerUpdate::Accepted);
    let (_, line) = line_of(&gateway, API, "/changed", &Request::get("/changed").bearer(&alice));
    assert_eq!(line, "decision=allow reason=- rule=- provider=- subject=alice@acme.com tenant=-");
    gateway.assert_no_trap();
}

/// From the 401 that a user reports to its reason: the request id of the response, the access log, the audit record.
#[test]
fn response_code_details_have_the_reason_and_all_logs_have_the_request_id_of_the_response() {
    let gateway = Setup { configuration: with_filter_state(), listener: logged, ..Setup::default() }.start();
    let (alice, expired) = (gateway.alice(), gateway.bent(json!({ "exp": 1 })));
    let elsewhere = gateway.bent(json!({ "iss": "https://evil.example/\n" }));
    let rows = [
        ("/ok", Some(&alice), 200, "via_upstream"),
        ("/none", None, 401, "okta_proxy_wasm{token_missing}"),
        ("/expired", Some(&expired), 401, "okta_proxy_wasm{token_expired}"),
        ("/elsewhere", Some(&elsewhere), 401, "okta_proxy_wasm{issuer_unknown}"),
        ("/admin/x", Some(&alice), 403, "okta_proxy_wasm{scope_missing}"),
        ("/ready", None, 200, "okta_proxy_wasm{served_by_filter}"),
    ];
    for (path, token, status, details) in rows {
        let request = Request::get(format!("{path}?q=secret"));
        let request = token.map_or(request.clone(), |token| request.bearer(token));
        let response = request.send(gateway.port());
        let line = gateway.envoy.wait_for_log(&format!(" {path} code={status} "));
        assert!(line.contains(&format!(" details={details} ")), "{path}: {line}");
        let id = response.header("x-request-id").unwrap_or_else(|| panic!("{path}: no request id: {response:?}"));
        assert!(line.contains(&format!(" request={id} ")), "{path}: {line}");
        let body = String::from_utf8_lossy(&response.body);
        assert!(!body.contains("okta_proxy_wasm{"), "{path}: the client gets {body}");
        if let Some(reason) = details.strip_prefix("okta_proxy_wasm{").filter(|_| status != 200) {
            let record = gateway.envoy.wait_for_log(&format!("\"request_id\":\"{id}\""));
            let expected = format!("\"reason\":\"{}\"", reason.trim_end_matches('}'));
            assert!(record.contains(&expected) && record.contains(&format!("\"path\":\"{path}\"")), "{record}");
            assert!(record.contains("\"method\":\"GET\"") && !record.contains("secret"), "{record}");
            let names_issuer = record.contains("\"unknown_issuer\":\"https://evil.example/%0A\"");
            assert_eq!(names_issuer, path == "/elsewhere", "{record}");
        }
    }
    gateway.assert_no_trap();
}

fn rbac() -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": format!("{TYPE}/envoy.extensions.filters.http.rbac.v3.RBAC"),
            "rules": { "action": "ALLOW", "policies": { "alice": {
                "permissions": [{ "any": true }],
                "principals": [{ "filter_state": { "key": "wasm.auth_subject", "string_match": { "exact": ALICE } } }],
            } } },
        },
    })
}

/// Two requests of alice's, and no limit for others.
fn rate_limit() -> Value {
    let always = json!({ "default_value": { "numerator": 100, "denominator": "HUNDRED" } });
    let bucket = |tokens: u32| json!({ "max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": "600s" });
    json!({
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": format!("{TYPE}/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"),
            "stat_prefix": "by_subject", "filter_enabled": always, "filter_enforced": always, "token_bucket": bucket(1000),
            "descriptors": [{ "entries": [{ "key": "subject", "value": ALICE }], "token_bucket": bucket(2) }],
            "rate_limits": [{ "actions": [{ "extension": {
                "name": "envoy.rate_limit_descriptors.expr",
                "typed_config": {
                    "@type": format!("{TYPE}/envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor"),
                    "descriptor_key": "subject", "text": "filter_state['wasm.auth_subject']",
                },
            } }] }],
        },
    })
}

/// A route for a tenant, by what the filter handed over.
fn tenant_route(by: Value) -> Value {
    let mut route = json!({ "match": { "prefix": "/" }, "direct_response": direct("gold") });
    for (name, value) in by.as_object().into_iter().flatten() {
        route["match"][name] = value.clone();
    }
    route
}

#[test]
fn other_filters_and_routes_use_forwarded_values_and_never_client_input() {
    let by_header = tenant_route(json!({ "headers": [{ "name": "x-tenant", "string_match": { "exact": "gold" } }] }));
    let by_state =
        tenant_route(json!({ "filter_state": [{ "key": "wasm.auth_tenant", "string_match": { "exact": "gold" } }] }));
    // Nothing of the request is changed here, so that nothing but the option clears the route cache.
    let untouched = |clear: bool| {
        configured(json!({
            "token": { "forward": true }, "claim_to_headers": [], "clear_route_cache": clear,
            "filter_state": [{ "name": "tenant", "claim": "tenant" }],
        }))
    };
    let by_claim = configured(json!({ "claim_to_headers": [{ "header": "x-tenant", "claim": "tenant" }] }));
    let payload = configured(json!({ "forward_payload_header": "x-jwt-payload" }));
    let mut forwarding = with_filter_state();
    forwarding["token"] = json!({ "forward": true });
    let second = ListenerOptions::filtered("second", &configured(json!({ "filter_state": ["subject"] }))).filter();
    let setup = Setup {
        configuration: with_filter_state(),
        listener: |listener| ListenerOptions { filters_after: vec![rbac()], ..listener },
        more_listeners: vec![
            ListenerOptions {
                filters_after: vec![rate_limit()],
                ..ListenerOptions::filtered("limited", &with_filter_state())
            },
            ListenerOptions { routes_before: vec![by_header], ..ListenerOptions::filtered("by-header", &by_claim) },
            ListenerOptions {
                routes_before: vec![by_state.clone()],
                ..ListenerOptions::filtered("by-state", &untouched(true))
            },
            ListenerOptions { routes_before: vec![by_state], ..ListenerOptions::filtered("stale", &untouched(false)) },
            ListenerOptions { filters_after: vec![second], ..logged(ListenerOptions::filtered("twice", &forwarding)) },
            ListenerOptions::filtered("payload", &payload),
        ],
        workers: 1,
        ..Setup::default()
    };
    let gateway = setup.start();
    let alice = gateway.alice();
    let bob = gateway.bent(json!({ "sub": "bob" }));
    let gold = gateway.bent(json!({ "tenant": "gold" }));
    let status = |listener: &str, request: Request| request.send(gateway.envoy.port(listener)).status;
    let body = |listener: &str, request: Request| request.send(gateway.envoy.port(listener)).text();

    // RBAC behind the filter.
    assert_eq!(status(API, Request::get("/").bearer(&alice)), 200);
    assert_eq!(status(API, Request::get("/").bearer(&bob)), 403);
    assert_eq!(status(API, Request::get("/open").header("wasm.auth_subject", ALICE).header("x-user-id", ALICE)), 403);

    // A rate limit by subject.
    let statuses = |token: &str| [(); 4].map(|()| status("limited", Request::get("/").bearer(token)));
    assert_eq!(statuses(&alice), [200, 200, 429, 429]);
    assert_eq!(statuses(&bob), [200; 4]);
    assert_eq!(status("limited", Request::get("/open")), 200);

    // Routes by a claim's header.
    assert_eq!(body("by-header", Request::get("/").bearer(&gold)), "gold");
    for spoofed in ["x-tenant", "X-Tenant", "x_tenant"] {
        let text = body("by-header", Request::get("/").bearer(&alice).header(spoofed, "gold"));
        assert!(text.contains("\"path\""), "{spoofed}: {text}");
    }

    // Routes by filter state, when nothing else makes Envoy choose anew.
    assert_eq!(body("by-state", Request::get("/").bearer(&gold)), "gold");
    assert!(body("by-state", Request::get("/").bearer(&alice)).contains("\"path\""));
    let stale = body("stale", Request::get("/").bearer(&gold));
    assert!(stale.contains("\"path\""), "clear_route_cache is not needed any more: {stale}");

    // Two filters that want to tell in one chain: the first has told, and nothing passes the second.
    let (response, line) = line_of(&gateway, "twice", "/twice", &Request::get("/twice").bearer(&alice));
    assert_eq!(response.status, 503);
    assert!(line.contains("subject=alice@acme.com"), "{line}");
    gateway.envoy.wait_for_log("set `filter_state` in one plugin of the chain only");
    assert_eq!(status("twice", Request::get("/")), 401, "a refusal of the first is its own");

    // The payload as it was signed; copies of the client's are gone, trailers too, and `Connection` takes nothing away.
    let request = Request::post("/")
        .bearer(&alice)
        .header("x-jwt-payload", "e30")
        .header("X_JWT_Payload", "e30")
        .header("x.jwt.payload", "e30")
        .header("x-jwt-payload", "e31")
        .header("connection", "x-jwt-payload, x-user-id, X_User_Id")
        .header("x_user_id", "root")
        .chunked(&[b"body"])
        .trailer("x-jwt_payload", "e30");
    let before = gateway.backend.count();
    let response = request.send(gateway.envoy.port("payload"));
    assert_eq!(echoed(&response, "x-jwt-payload"), [alice.split('.').nth(1).unwrap_or_default()]);
    assert_eq!(echoed(&response, "x-user-id"), [ALICE], "a nomination took the identity away");
    let seen = until("the request", Duration::from_secs(5), || gateway.backend.requests().into_iter().nth(before));
    let seen = format!("{:?} {:?}", seen.headers, seen.trailers).to_lowercase();
    for gone in ["e30", "e31", "x_jwt", "x.jwt", "x_user", "root"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    gateway.assert_no_trap();
}

/// A client that sends bad requests as fast as it can does not fill the disk, and no refusal is lost.
#[test]
fn in_a_flood_of_rejections_the_log_has_a_few_and_the_number_of_the_others() {
    const SENT: u64 = 3000;
    let gateway = Setup { configuration: configured(json!({})), workers: 1, ..Setup::default() }.start();
    let began = Instant::now();
    for number in 0..SENT {
        let status = Request::get("/").bearer(&format!("forged-{number}")).send(gateway.port()).status;
        assert_eq!(status, 401);
    }
    let seconds = began.elapsed().as_secs() + 2;
    let sum = |records: &[Value]| records.iter().map(|record| record["suppressed"].as_u64().unwrap_or(1)).sum::<u64>();
    let records = until("a record of every refusal", Duration::from_secs(30), || {
        Some(gateway.envoy.audit_records()).filter(|records| sum(records) >= SENT)
    });
    assert_eq!(sum(&records), SENT, "{records:?}");
    let own = records.iter().filter(|record| record["suppressed"].is_null()).count();
    assert!(own >= 20 && u64::try_from(own).is_ok_and(|own| own <= 20 * seconds), "{own} lines in {seconds} s");
    assert!(own < records.len() && records.iter().all(|record| record["reason"] == "token_opaque"), "{records:?}");
    gateway.assert_no_trap();
}

#[test]
fn log_has_the_decisions_that_are_configured() {
    let audited = |audit: Value| configured(json!({ "audit": audit }));
    let more = ListenerOptions::filtered("more", &audited(json!({ "allowed": "sampled", "sample": 1 })));
    let configuration = audited(json!({ "allowed": "all", "denied": "none" }));
    let gateway = Setup { configuration, more_listeners: vec![more], workers: 1, ..Setup::default() }.start();
    let token = gateway.alice();
    for port in [gateway.port(), gateway.envoy.port("more")] {
        for (token, status) in [(&*token, 200), ("x", 401)] {
            assert_eq!(Request::get("/").bearer(token).send(port).status, status);
        }
    }
    let records = until("three records", Duration::from_secs(10), || {
        Some(gateway.envoy.audit_records()).filter(|records| records.len() >= 3)
    });
    let told: Vec<_> = records.iter().map(|record| json!([record["decision"], record["sampled"]])).collect();
    assert_eq!(told, [json!(["allow", null]), json!(["allow", 1.0]), json!(["deny", null])], "{records:?}");
    assert!(gateway.envoy.log().contains("[denials_not_logged] $.audit.denied: "), "no warning");
}
