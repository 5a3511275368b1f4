//! Conditions and combined requirements in a real Envoy: every attribute comes from Envoy itself and has the value that the
//! expression expects, forged input has no effect, and a condition of a request pending on keys sees its attributes at arrival.
//!
//! A second Envoy plays the TLS clients ([`TlsClients`]).

mod second_spellings;

use std::time::Duration;

use crate::gateway::{API, Gateway, Setup, minimal_configuration};
use crate::tls_clients::TlsClients;
use serde_json::{Value, json};
use testbed::authorization_server::now;
use testbed::polling::until;
use testbed::{
    CertificateAuthority, ClientCertificates, Cluster, DownstreamTls, ListenerOptions, Mode, Request, TempDir,
    send_many,
};

/// The authorization server's client `service`.
const SERVICE: &str = "0oa1service0000000d7";
/// What the TLS listeners are called by their clients.
const SERVER_NAME: &str = "api.acme.com";
const TRUSTING: &str = "trusting";
const MTLS: &str = "mtls";
const UNVERIFIED: &str = "unverified";

/// A rule for `/<name>` and all below it.
fn rule(name: &str, require: Value) -> Value {
    json!({ "name": name, "match": { "path_prefix": format!("/{name}") }, "require": require })
}

fn condition(name: &str, text: &str) -> Value {
    rule(name, json!({ "condition": text }))
}

fn with_rules(rules: Vec<Value>) -> Value {
    let mut configuration = minimal_configuration();
    configuration["providers"]["okta"]["jwks"] = json!({ "timeout": "60s" });
    configuration["rules"] = json!(rules);
    configuration["default_rule"] = json!({ "access": "deny" });
    configuration
}

/// A condition on everything that Envoy alone knows, and on what comes with the head.
fn conditions() -> Value {
    with_rules(vec![
        condition("loopback", "ip_in(source.address, ['127.0.0.1/32'])"),
        condition("office", "ip_in(source.address, ['10.0.0.0/8', 'fd00::/8'])"),
        condition("outside", "!ip_in(source.address, ['127.0.0.0/8'])"),
        condition(
            "ends",
            "source.address == '127.0.0.1:' + string(source.port) && \
             destination.address == '127.0.0.1:' + string(destination.port) && destination.port == claims.port && \
             source.port > 0 && source.port < 65536",
        ),
        condition("http1", "request.protocol == 'HTTP/1.1'"),
        condition("http2", "request.protocol == 'HTTP/2'"),
        condition("until", "request.time < timestamp(claims.until)"),
        condition("hours", "request.time.getHours() in claims.hours"),
        condition("devices", "request.headers['x-device-id'] == claims.device"),
        condition("orgs", "claims.tenant == path_segment(request.url_path, 2)"),
        condition("identified", "request.id.matches('^[0-9a-f-]{36}$') && request.scheme == claims.scheme"),
        condition("shown", "connection.mtls"),
        condition("not-shown", "!connection.mtls"),
        condition("modern", "connection.tls_version in ['TLSv1.2', 'TLSv1.3']"),
        condition("named", &format!("connection.requested_server_name == '{SERVER_NAME}'")),
        condition("subject", "connection.subject_peer_certificate == claims.subject"),
        condition("uri", "connection.uri_san_peer_certificate == 'spiffe://acme/' + token.client_id"),
        condition("dns", "connection.dns_san_peer_certificate == claims.device + '.devices.acme.com'"),
        condition("bound", "connection.sha256_peer_certificate_digest == claims.digest"),
        condition("unbound", "connection.sha256_peer_certificate_digest != claims.digest"),
    ])
}

fn device(path: &str, id: &str) -> Request {
    Request::get(path).header("x-device-id", id)
}

/// Sends each request and holds status, reason and the backend against what is expected; `authorized` is a 200.
fn assert_rows(gateway: &Gateway, rows: &[(&str, u16, Request)]) {
    let mut wrong = Vec::new();
    for (expected, port, request) in rows {
        gateway.backend.clear();
        let logged = gateway.envoy.audit_records().len();
        let response = request.send(*port);
        let record = if response.status == 200 { Value::Null } else { gateway.record_number(logged + 1) };
        let reason = if response.status == 200 { "authorized" } else { record["reason"].as_str().unwrap_or_default() };
        let (status, forwarded) = if *expected == "authorized" { (200, 1) } else { (403, 0) };
        let is_as_expected = reason == *expected
            && response.status == status
            && gateway.backend.count() == forwarded
            && response.header("www-authenticate").is_none();
        if !is_as_expected {
            let head = request.head();
            let line =
                String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
            wrong.push(format!("{line} on {port}: expected {expected}, found {} {reason}", response.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    gateway.assert_no_trap();
}

#[test]
fn condition_sees_the_real_peer_and_the_original_request() {
    let configuration = conditions();
    let trusting = ListenerOptions { use_remote_address: false, ..ListenerOptions::filtered(TRUSTING, &configuration) };
    let gateway = Setup { configuration, more_listeners: vec![trusting], workers: 1, ..Setup::default() }.start();
    let (port, trusting) = (gateway.port(), gateway.envoy.port(TRUSTING));
    let token = gateway.alice();
    let with = |request: Request, claims: Value| request.bearer(&gateway.bent(claims));
    let get = |path: &str| Request::get(path).bearer(&token);
    let spoofed = |request: Request| {
        request
            .header("x-forwarded-for", "10.0.0.1")
            .header("X-Real-IP", "10.0.0.1")
            .header("forwarded", "for=10.0.0.1")
            .header("x-envoy-external-address", "10.0.0.1")
    };
    let hour = now() / 3600 % 24;
    let mut rows = vec![
        ("authorized", port, get("/loopback")),
        ("condition_unmet", port, get("/office")),
        ("condition_unmet", port, get("/outside")),
        ("condition_unmet", port, spoofed(get("/office"))),
        ("condition_unmet", port, spoofed(get("/outside"))),
        ("authorized", port, spoofed(get("/loopback"))),
        // What `use_remote_address: false` gives away: this test would have seen it.
        ("authorized", trusting, spoofed(get("/office"))),
        ("condition_unmet", trusting, spoofed(get("/loopback"))),
        ("authorized", trusting, get("/loopback")),
        ("authorized", port, with(Request::get("/ends"), json!({ "port": port }))),
        ("authorized", trusting, with(Request::get("/ends"), json!({ "port": trusting }))),
        ("condition_unmet", trusting, with(Request::get("/ends"), json!({ "port": port }))),
        ("authorized", port, get("/http1")),
        ("condition_unmet", port, get("/http2")),
        ("authorized", port, with(Request::get("/until"), json!({ "until": "2100-01-01T00:00:00Z" }))),
        ("condition_unmet", port, with(Request::get("/until"), json!({ "until": "2026-01-01T00:00:00Z" }))),
        ("authorized", port, with(Request::get("/hours"), json!({ "hours": [hour, (hour + 1) % 24] }))),
        ("condition_unmet", port, with(Request::get("/hours"), json!({ "hours": [(hour + 12) % 24] }))),
        ("authorized", port, with(device("/devices", "d-7"), json!({ "device": "d-7" }))),
        ("condition_unmet", port, with(device("/devices", "d-8"), json!({ "device": "d-7" }))),
        ("condition_value_missing", port, with(Request::get("/devices"), json!({ "device": "d-7" }))),
        ("condition_not_text", port, with(Request::get("/devices").header("x-device-id", b"d\xff"), json!({}))),
        ("authorized", port, with(Request::get("/orgs/acme/users"), json!({ "tenant": "acme" }))),
        ("authorized", port, with(Request::get("/orgs/%61cme?x"), json!({ "tenant": "acme" }))),
        ("condition_unmet", port, with(Request::get("/orgs/other/users"), json!({ "tenant": "acme" }))),
        ("condition_unmet", port, with(Request::get("/orgs/acme/../other"), json!({ "tenant": "acme" }))),
        ("condition_value_missing", port, get("/orgs/acme")),
        ("condition_wrong_type", port, with(Request::get("/orgs/5"), json!({ "tenant": 5 }))),
        ("authorized", port, with(Request::get("/identified"), json!({ "scheme": "http" }))),
        // Plain text: there is no certificate, and what is not there cannot be judged.
        ("condition_unmet", port, get("/shown")),
        ("authorized", port, get("/not-shown")),
        ("condition_value_missing", port, with(Request::get("/unbound"), json!({ "digest": "00" }))),
    ];
    let nothing = json!({ "device": "d-7", "subject": "", "digest": "" });
    for path in ["/modern", "/named", "/subject", "/uri", "/dns", "/bound"] {
        rows.push(("condition_value_missing", port, with(Request::get(path), nothing.clone())));
        // A header that Envoy would make of a certificate is no certificate.
        let forwarded =
            Request::get(path).header("x-forwarded-client-cert", "URI=spiffe://acme/x;DNS=d-7;Subject=\"\"");
        rows.push(("condition_value_missing", port, with(forwarded, nothing.clone())));
    }
    assert_rows(&gateway, &rows);
}

#[test]
fn condition_sees_the_certificate_of_the_client() {
    let directory = TempDir::with_prefix("conditions-").expect("a temporary directory");
    let authority = CertificateAuthority::create(directory.path());
    let application = "0oa1application000d7";
    let spiffe = |client: &str| format!("spiffe://acme/{client}");
    let device = authority.issue_to_client("d-7", &spiffe(application), "d-7.devices.acme.com");
    let other = authority.issue_to_client("d-8", &spiffe(SERVICE), "d-8.devices.acme.com");
    let foreign_directory = TempDir::with_prefix("conditions-").expect("a temporary directory");
    let foreign = CertificateAuthority::create(foreign_directory.path());
    let forged = foreign.issue_to_client("d-7", &spiffe(application), "d-7.devices.acme.com");

    let configuration = conditions();
    let server = authority.issue(SERVER_NAME);
    let listener = |name: &str, clients| ListenerOptions {
        tls: Some(DownstreamTls { tls_inspector: name == MTLS, certificate: server.clone(), clients }),
        ..ListenerOptions::filtered(name, &configuration)
    };
    let more_listeners = vec![
        listener(MTLS, ClientCertificates::FromCa(authority.ca_pem_path())),
        listener(UNVERIFIED, ClientCertificates::FromAnybody(authority.ca_pem_path())),
    ];
    let gateway =
        Setup { configuration: configuration.clone(), more_listeners, workers: 1, ..Setup::default() }.start();
    let over_tls = |name: &str, to: &str| {
        Cluster::identity_provider(name, gateway.envoy.port(to), SERVER_NAME, &authority.ca_pem_path())
    };
    let clients = TlsClients::start(vec![
        ("d-7", over_tls("d-7", MTLS).with_certificate(&device)),
        ("d-7 over HTTP/2", over_tls("d-7 over HTTP/2", MTLS).with_certificate(&device).http2()),
        ("d-8", over_tls("d-8", MTLS).with_certificate(&other)),
        ("nobody", over_tls("nobody", MTLS)),
        ("forged", over_tls("forged", MTLS).with_certificate(&forged)),
        ("unverified", over_tls("unverified", UNVERIFIED).with_certificate(&forged)),
    ]);
    let claims = |changes: Value| {
        let mut claims =
            json!({ "device": "d-7", "digest": device.sha256, "subject": "CN=d-7,O=ACME", "scheme": "https" });
        claims.as_object_mut().expect("claims").extend(changes.as_object().expect("claims").clone());
        gateway.bent(claims)
    };
    let token = claims(json!({}));
    assert_eq!(gateway.bent_payload(json!({}))["cid"], application);
    let at = |client: &str, path: &str| (clients.port(client), Request::get(path).bearer(&token));
    let row = |reason: &'static str, (port, request): (u16, Request)| (reason, port, request);
    let mut rows = Vec::new();
    for client in ["d-7", "d-7 over HTTP/2"] {
        for path in ["/shown", "/modern", "/named", "/subject", "/uri", "/dns", "/bound"] {
            rows.push(row("authorized", at(client, path)));
        }
        rows.push(row("condition_unmet", at(client, "/not-shown")));
        rows.push(row("condition_unmet", at(client, "/unbound")));
    }
    rows.extend([
        row("authorized", at("d-7", "/http1")),
        row("condition_unmet", at("d-7", "/http2")),
        row("authorized", at("d-7 over HTTP/2", "/http2")),
        row("condition_unmet", at("d-7 over HTTP/2", "/http1")),
        // Over HTTP/2 the scheme is what the client says, here that of a request which came to it in plain text.
        row("authorized", at("d-7", "/identified")),
        row("condition_unmet", at("d-7 over HTTP/2", "/identified")),
        // The token of one device with the certificate of another.
        row("authorized", at("d-8", "/shown")),
        row("condition_unmet", at("d-8", "/subject")),
        row("condition_unmet", at("d-8", "/uri")),
        row("condition_unmet", at("d-8", "/dns")),
        row("condition_unmet", at("d-8", "/bound")),
        // Without one: everything but the connection is as before, and no negation gets past what is not there.
        row("condition_unmet", at("nobody", "/shown")),
        row("authorized", at("nobody", "/not-shown")),
        row("authorized", at("nobody", "/modern")),
        row("authorized", at("nobody", "/named")),
    ]);
    for path in ["/subject", "/uri", "/dns", "/bound", "/unbound"] {
        rows.push(row("condition_value_missing", at("nobody", path)));
    }
    assert_rows(&gateway, &rows);
    // A certificate of another CA does not get as far as the filter.
    let (port, request) = at("forged", "/shown");
    assert_eq!(request.send(port).status, 503);
    // `connection.mtls` says that one was shown, and no more: whether it is anybody's word, the listener decides. And
    // without its TLS inspector Envoy does not know what name the client asked for.
    assert_rows(
        &gateway,
        &[
            row("authorized", at("unverified", "/shown")),
            row("authorized", at("unverified", "/uri")),
            row("condition_unmet", at("unverified", "/bound")),
            row("condition_value_missing", at("unverified", "/named")),
        ],
    );
}

/// Requests wait for the first keys, each under a condition, and are judged when these are there.
fn pending_request_is_evaluated_with_its_attributes_at_arrival(allow_on_headers_stop_iteration: Option<bool>) {
    let configuration = with_rules(vec![
        condition("loopback", "ip_in(source.address, ['127.0.0.1/32']) && request.protocol == 'HTTP/1.1'"),
        condition("office", "ip_in(source.address, ['10.0.0.0/8'])"),
        condition(
            "devices",
            "request.headers['x-device-id'] == claims.device && request.method == 'POST' && \
             path_segment(request.url_path, 2) == claims.device",
        ),
    ]);
    let listener = match allow_on_headers_stop_iteration {
        None => |listener| listener,
        Some(_) => |listener| ListenerOptions { allow_on_headers_stop_iteration: Some(true), ..listener },
    };
    let gateway = Setup { configuration, listener, gate: Mode::Hold, workers: 1, ..Setup::default() }.start();
    let token = gateway.bent(json!({ "device": "d-7" }));
    let body = [b'x'; 4096];
    let post = |path: &str| Request::post(path).bearer(&token).body(body);
    let spoofed = |request: Request| request.header("x-forwarded-for", "10.0.0.1");
    let rows = [
        (200, post("/loopback")),
        (200, Request::post("/loopback").bearer(&token).chunked(&[b"first", b"second"]).trailer("x-end", "1")),
        (403, spoofed(post("/office"))),
        (403, Request::post("/office").bearer(&token).chunked(&[b"first", b"second"]).trailer("x-end", "1")),
        (200, post("/devices/d-7").header("x-device-id", "d-7")),
        (403, post("/devices/d-7").header("x-device-id", "d-8")),
        (403, post("/devices/d-8").header("x-device-id", "d-7")),
        (403, Request::get("/devices/d-7").header("x-device-id", "d-7").bearer(&token)),
        (200, Request::get("/loopback").bearer(&token)),
        (403, Request::get("/office").bearer(&token)),
    ];
    let requests: Vec<Request> = rows.iter().map(|(_, request)| request.clone()).collect();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let answers = scope.spawn(|| send_many(gateway.port(), &requests, requests.len()));
        until("all to wait", Duration::from_secs(20), || {
            (gateway.envoy.stat(&format!("http.{API}.downstream_rq_active")) >= requests.len() as u64).then_some(())
        });
        assert_eq!(gateway.backend.count(), 0, "a request was forwarded undecided");
        gateway.gate.set(Mode::Pass);
        let answers = answers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        answers.into_iter().map(|answer| answer.expect("an answer").status).collect()
    });
    let expected: Vec<u16> = rows.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, expected);
    let mut bodies: Vec<usize> = gateway.backend.requests().iter().map(|request| request.body.len()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, [0, "firstsecond".len(), body.len(), body.len()], "what passes arrives whole");
    gateway.expect_reasons("condition_unmet", 6);
    gateway.assert_no_trap();
}

#[test]
fn condition_of_a_request_pending_on_keys_sees_its_peer() {
    pending_request_is_evaluated_with_its_attributes_at_arrival(None);
}

#[test]
fn post_with_a_body_is_held_until_its_condition_is_evaluated_with_allow_on_headers_stop_iteration() {
    pending_request_is_evaluated_with_its_attributes_at_arrival(Some(true));
}

#[test]
fn requirements_combine_in_every_way_with_tokens_of_a_real_server() {
    let claims = json!([
        { "claim": ["https://acme.com/claims", "tenant"], "equals": "emea" },
        { "claim": "roles", "contains": "auditor" },
        { "claim": "clearance", "one_of": [3, 4] },
        { "claim": "areas", "contains_all": ["north", "south"] },
        { "claim": "locale", "exists": true },
        { "claim": "legacy", "exists": false },
    ]);
    let mut configuration = with_rules(vec![
        rule(
            "any",
            json!({ "any_of": [
            { "groups": ["ops"] }, { "claims": { "department": "finance" }, "client_ids": [SERVICE] },
            { "condition": "path_segment(request.url_path, 2) == claims.tenant" } ] }),
        ),
        rule(
            "all",
            json!({ "scopes": ["read:accounts"], "all_of": [
            { "any_of": [{ "groups": ["ops"] }, { "acr": "phr" }] }, { "not": { "groups": ["trainee"] } } ] }),
        ),
        rule("not", json!({ "not": { "groups": ["suspended"] } })),
        rule(
            "neither",
            json!({ "not": { "any_of": [{ "client_ids": [SERVICE] }, { "claims": { "risk": "high" } }] } }),
        ),
        rule("claims", json!({ "claims": claims })),
        rule("amr", json!({ "amr": ["pwd", "otp"] })),
        rule("audience", json!({ "audiences": ["api://payments"] })),
        rule("some-scope", json!({ "any_scope": ["admin", "read:accounts"] })),
    ]);
    configuration["providers"]["okta"]["groups_claim"] = json!(["realm_access", "roles"]);
    let gateway = Setup { configuration, workers: 1, ..Setup::default() }.start();
    let groups = |names: &[&str]| json!({ "realm_access": { "roles": names } });
    let nested = |tenant: &str| json!({ "tenant": tenant });
    let all_claims = json!({ "https://acme.com/claims": nested("emea"), "roles": ["reader", "auditor"], "clearance": 4,
        "areas": ["south", "west", "north"], "locale": "en" });
    let but = |changes: Value| {
        let mut claims = all_claims.clone();
        claims.as_object_mut().expect("claims").extend(changes.as_object().expect("claims").clone());
        claims
    };
    let rows = [
        ("/any", groups(&["ops"]), "authorized"),
        ("/any", json!({ "department": "finance", "cid": SERVICE }), "authorized"),
        ("/any/acme", json!({ "tenant": "acme" }), "authorized"),
        ("/any", json!({ "department": "finance" }), "no_alternative_met"),
        ("/any/acme", json!({ "tenant": "other", "cid": SERVICE }), "no_alternative_met"),
        // The usual name is not looked at where another one is written.
        ("/any", json!({ "groups": ["ops"] }), "no_alternative_met"),
        ("/all", groups(&["ops"]), "authorized"),
        ("/all", json!({ "realm_access": { "roles": [] }, "acr": "phrh" }), "authorized"),
        ("/all", groups(&["ops", "trainee"]), "not_condition_matched"),
        ("/not", groups(&["ops"]), "authorized"),
        ("/not", groups(&["suspended"]), "not_condition_matched"),
        // A token that says nothing of groups, or nothing that means anything, is no proof of not being in one.
        ("/not", json!({}), "claim_missing"),
        ("/not", json!({ "realm_access": ["roles"] }), "claim_malformed"),
        ("/not", json!({ "realm_access": { "roles": [1] } }), "claim_malformed"),
        ("/neither", json!({ "risk": "low" }), "authorized"),
        ("/neither", json!({ "risk": "high" }), "not_condition_matched"),
        ("/neither", json!({ "risk": "low", "cid": SERVICE }), "not_condition_matched"),
        ("/claims", all_claims.clone(), "authorized"),
        ("/claims/tenant", but(json!({ "https://acme.com/claims": nested("apac") })), "claim_unmet"),
        ("/claims/tenant-text", but(json!({ "https://acme.com/claims": "emea" })), "claim_malformed"),
        ("/claims/roles", but(json!({ "roles": ["auditors"] })), "claim_unmet"),
        ("/claims/clearance", but(json!({ "clearance": "4" })), "claim_malformed"),
        ("/claims/areas", but(json!({ "areas": ["north"] })), "claim_unmet"),
        ("/claims/locale", but(json!({ "locale": null })), "claim_unmet"),
        ("/claims/legacy", but(json!({ "legacy": false })), "claim_unmet"),
        ("/amr", json!({ "amr": ["otp", "pwd", "mfa"] }), "authorized"),
        ("/amr", json!({ "amr": ["pwd"] }), "authentication_method_missing"),
        ("/amr", json!({ "amr": "pwd otp" }), "authentication_method_missing"),
        ("/amr", json!({}), "authentication_method_missing"),
        ("/audience", json!({ "aud": ["api://default", "api://payments"] }), "authorized"),
        ("/audience", json!({}), "rule_audience_not_allowed"),
        ("/some-scope", json!({}), "authorized"),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(path, claims, reason)| (reason, gateway.port(), Request::get(path).bearer(&gateway.bent(claims))))
        .collect();
    assert_rows(&gateway, &rows);
    // A token of the grant itself, not one that the test wrote.
    let service = gateway.idp.client_token(&testbed::ClientTokenRequest::default());
    assert_rows(&gateway, &[("not_condition_matched", gateway.port(), Request::get("/neither").bearer(&service))]);
    assert_rows(&gateway, &[("authorized", gateway.port(), Request::get("/neither").bearer(&gateway.alice()))]);
    // Of several ways in, the client is told one that would suffice: a scope, or a stronger log-in.
    let challenge = |path: &str, claims: Value| {
        let response = Request::get(path).bearer(&gateway.bent(claims)).send(gateway.port());
        (response.status, response.header("www-authenticate").unwrap_or_default())
    };
    let (status, told) = challenge("/some-scope", json!({ "scp": ["other"] }));
    assert!(status == 403 && told.contains(r#"scope="admin""#), "{status} {told}");
    let (status, told) = challenge("/all", groups(&["staff"]));
    assert!(status == 401 && told.contains(r#"acr_values="phr""#), "{status} {told}");
    let (status, told) = challenge("/all", groups(&["trainee"]));
    assert!(status == 403 && told.is_empty(), "{status} {told}");
    assert_eq!(gateway.backend.count(), 1, "of all these only alice's passed");
}
