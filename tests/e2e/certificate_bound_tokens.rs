//! Tokens that are bound to a client certificate (RFC 8705), in a real Envoy with real TLS clients: TLS 1.2 and 1.3, resumed
//! sessions, HTTP/2, self-signed certificates and those of no trusted CA, and clients without one.

use crate::gateway::{Gateway, Setup, minimal_configuration};
use crate::tls_clients::TlsClients;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::Duration;
use testbed::polling::until;
use testbed::programs::curl;
use testbed::prometheus_text::samples;
use testbed::{
    Certificate, CertificateAuthority, ClientCertificates, ClientTokenRequest, Cluster, DownstreamTls, ListenerOptions,
    Request, TempDir,
};

const SERVER_NAME: &str = "api.acme.com";
/// Certificates of the CA, and of anybody.
const MTLS: &str = "mtls";
const UNVERIFIED: &str = "unverified";

fn bound(gateway: &Gateway, certificate: &Certificate) -> String {
    gateway.bent(json!({ "cnf": { "x5t#S256": certificate.thumbprint() } }))
}

#[test]
fn a_bound_token_is_accepted_from_the_client_with_its_certificate_and_from_nobody_else() {
    let directory = TempDir::with_prefix("bound-tokens-").expect("a temporary directory");
    let authority = CertificateAuthority::create(directory.path());
    let device = authority.issue_to_client("d-7", "spiffe://acme/d-7", "d-7.devices.acme.com");
    let other = authority.issue_to_client("d-8", "spiffe://acme/d-8", "d-8.devices.acme.com");
    let foreign_directory = TempDir::with_prefix("bound-tokens-").expect("a temporary directory");
    let foreign = CertificateAuthority::create(foreign_directory.path());
    let untrusted = foreign.issue_to_client("d-9", "spiffe://acme/d-9", "d-9.devices.acme.com");
    let self_signed = Certificate::self_signed("d-10", directory.path());

    let mut configuration = minimal_configuration();
    configuration["providers"]["okta"]["sender_constraint"] = json!({ "mtls": "if_bound" });
    let server = authority.issue(SERVER_NAME);
    let listener = |name: &str, clients| ListenerOptions {
        tls: Some(DownstreamTls { tls_inspector: false, certificate: server.clone(), clients }),
        ..ListenerOptions::filtered(name, &configuration)
    };
    let more_listeners = vec![
        listener(MTLS, ClientCertificates::FromCa(authority.ca_pem_path())),
        listener(UNVERIFIED, ClientCertificates::FromAnybody(authority.ca_pem_path())),
    ];
    let gateway =
        Setup { configuration: configuration.clone(), more_listeners, workers: 2, ..Setup::default() }.start();
    let over_tls = |name: &str, to: &str| {
        Cluster::identity_provider(name, gateway.envoy.port(to), SERVER_NAME, &authority.ca_pem_path())
    };
    let clients = TlsClients::start(vec![
        ("d-7", over_tls("d-7", MTLS).with_certificate(&device).tls_version("TLSv1_3").one_request_per_connection()),
        (
            "d-7 by TLS 1.2",
            over_tls("d-7 by TLS 1.2", MTLS)
                .with_certificate(&device)
                .tls_version("TLSv1_2")
                .one_request_per_connection(),
        ),
        ("d-7 by HTTP/2", over_tls("d-7 by HTTP/2", MTLS).with_certificate(&device).http2()),
        ("d-8", over_tls("d-8", MTLS).with_certificate(&other)),
        ("no certificate", over_tls("no certificate", MTLS)),
        ("untrusted", over_tls("untrusted", UNVERIFIED).with_certificate(&untrusted)),
        ("self-signed", over_tls("self-signed", UNVERIFIED).with_certificate(&self_signed)),
        ("d-7 untrusted listener", over_tls("d-7 untrusted listener", UNVERIFIED).with_certificate(&device)),
    ]);
    let of_device = bound(&gateway, &device);
    let of_untrusted = bound(&gateway, &untrusted);
    let of_self_signed = bound(&gateway, &self_signed);
    let unbound = gateway.alice();
    let hex = gateway.bent(json!({ "cnf": { "x5t#S256": device.sha256 } }));
    let dpop = gateway.bent(json!({ "cnf": { "jkt": device.thumbprint() } }));
    let xfcc = format!("Hash={}", device.sha256);
    let ask = |port: u16, token: &str| {
        Request::get("/accounts").bearer(token).header("x-forwarded-client-cert", &xfcc).send(port)
    };
    let mut wrong = Vec::new();
    let mut denied = 0;
    let mut row = |name: &str, port: u16, token: &str, expected: &str| {
        // Cached tokens too, and sessions that are resumed.
        for _ in 0..4 {
            let response = ask(port, token);
            let status = if expected == "authorized" { 200 } else { 401 };
            if expected != "authorized" {
                denied += 1;
            }
            let reason = if response.status == 200 {
                String::from("authorized")
            } else {
                gateway.record_number(denied)["reason"].as_str().unwrap_or_default().to_owned()
            };
            if (response.status, &*reason) != (status, expected) {
                wrong.push(format!("{name}: {} {reason} instead of {expected}", response.status));
            }
        }
    };
    for client in ["d-7", "d-7 by TLS 1.2", "d-7 by HTTP/2", "d-7 untrusted listener"] {
        row(client, clients.port(client), &of_device, "authorized");
    }
    row("another client", clients.port("d-8"), &of_device, "certificate_mismatch");
    row("no certificate", clients.port("no certificate"), &of_device, "certificate_missing");
    row("plain text", gateway.port(), &of_device, "certificate_missing");
    // Only the digest counts: a certificate that no CA has signed is as good (RFC 8705 section 2.2).
    row("untrusted", clients.port("untrusted"), &of_untrusted, "authorized");
    row("self-signed", clients.port("self-signed"), &of_self_signed, "authorized");
    row("self-signed with another token", clients.port("self-signed"), &of_device, "certificate_mismatch");
    row("untrusted with another token", clients.port("untrusted"), &of_device, "certificate_mismatch");
    for client in ["d-7", "no certificate"] {
        row(client, clients.port(client), &unbound, "authorized");
        row(client, clients.port(client), &hex, "certificate_thumbprint_malformed");
        row(client, clients.port(client), &dpop, "sender_constrained");
    }
    // After all others, when every worker has the token in its cache.
    row("another client again", clients.port("d-8"), &of_device, "certificate_mismatch");
    row("d-7 again", clients.port("d-7"), &of_device, "authorized");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let stats: Value =
        Request::get("/stats?filter=ssl.session_reused&format=json").send(gateway.envoy.admin_port()).json();
    let reused: u64 = stats["stats"].as_array().into_iter().flatten().filter_map(|stat| stat["value"].as_u64()).sum();
    assert!(reused >= 4, "no session was resumed: {stats}");
    gateway.assert_no_trap();
}

/// What curl does at both servers: it gets a token at the mTLS port of the authorization server, which binds it to curl's
/// certificate, and calls the API.
#[test]
fn curl_gets_bound_tokens_of_a_real_authorization_server_and_uses_them_with_its_certificate() {
    let directory = TempDir::with_prefix("bound-tokens-").expect("a temporary directory");
    let authority = CertificateAuthority::create(directory.path());
    let device = authority.issue_to_client("d-7", "spiffe://acme/d-7", "d-7.devices.acme.com");
    let other = authority.issue_to_client("d-8", "spiffe://acme/d-8", "d-8.devices.acme.com");
    let mut configuration = minimal_configuration();
    configuration["providers"]["okta"]["sender_constraint"] = json!({ "mtls": "required" });
    configuration["responses"] = json!({ "detail": "reason" });
    let over_tls = ListenerOptions {
        tls: Some(DownstreamTls {
            tls_inspector: false,
            certificate: authority.issue(SERVER_NAME),
            clients: ClientCertificates::FromCa(authority.ca_pem_path()),
        }),
        ..ListenerOptions::filtered(MTLS, &configuration)
    };
    let gateway = Setup { configuration, more_listeners: vec![over_tls], ..Setup::default() }.start();
    gateway.wait_until_keys_are_held();

    let idp = &gateway.idp;
    let (id, secret) = idp.client_credentials("mtls_service");
    let authorization = format!("Authorization: Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let with = |mut transfer: Value, certificate: Option<&Certificate>| {
        if let Some(files) = certificate {
            transfer["certificate"] = json!(files.certificate);
            transfer["key"] = json!(files.private_key);
        }
        transfer
    };
    let token_request = json!({
        "url": format!("{}:{}/oauth2/default/v1/token", "https://acme.okta.com", idp.mtls_port()), "method": "POST", "http": "1.1",
        "headers": [authorization], "body": "grant_type=client_credentials&scope=read:accounts&resource=api://default",
        "ca": idp.ca_pem_path(), "resolve": [format!("acme.okta.com:{}:127.0.0.1", idp.mtls_port())],
    });
    let issued = curl(&json!([with(token_request.clone(), Some(&device)), with(token_request, None)]));
    assert_eq!(issued[0]["status"], 200, "{}", issued[0]);
    assert_eq!(issued[1]["status"], 400, "no certificate, no token: {}", issued[1]);
    let body: Value = serde_json::from_str(issued[0]["body"].as_str().unwrap_or_default()).expect("JSON");
    let of_device = body["access_token"].as_str().expect("a token").to_owned();
    let of_other = idp.certificate_bound_token(&ClientTokenRequest::default(), &other);
    assert_eq!(confirmation(&of_device), json!({ "x5t#S256": device.thumbprint() }));
    assert_eq!(confirmation(&of_other), json!({ "x5t#S256": other.thumbprint() }));

    let port = gateway.envoy.port(MTLS);
    let mut rows = Vec::new();
    for http in ["1.1", "2"] {
        rows.extend([
            (http, &of_device, Some(&device), ""),
            (http, &of_device, Some(&other), "certificate_mismatch"),
            (http, &of_device, None, "certificate_missing"),
            (http, &of_other, Some(&other), ""),
            (http, &of_other, Some(&device), "certificate_mismatch"),
        ]);
    }
    let transfers: Vec<Value> = rows
        .iter()
        .map(|(http, token, certificate, _)| {
            let transfer = json!({
                "url": format!("https://{SERVER_NAME}:{port}/accounts"), "method": "GET", "http": http,
                "headers": [format!("Authorization: Bearer {token}")], "ca": authority.ca_pem_path(),
                "resolve": [format!("{SERVER_NAME}:{port}:127.0.0.1")],
            });
            with(transfer, *certificate)
        })
        .collect();
    for ((http, _, certificate, expected), response) in rows.iter().zip(curl(&json!(transfers))) {
        let row = format!("{http} {certificate:?}: {response}");
        assert_eq!(response["status"], if expected.is_empty() { 200 } else { 401 }, "{row}");
        assert_eq!(response["http"], *http, "{row}");
        let body: Value = serde_json::from_str(response["body"].as_str().unwrap_or_default()).expect("JSON");
        assert_eq!(body["reason"].as_str().unwrap_or_default(), *expected, "{row}");
    }
    for request in gateway.backend.requests() {
        assert_eq!(request.headers.text("x-client-id").as_deref(), Some(&*id));
        assert_eq!(request.headers.first("authorization"), None);
    }
    gateway.assert_no_trap();
}

/// `cnf` of a JWT.
fn confirmation(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("a JWT")).expect("base64url");
    serde_json::from_slice::<Value>(&payload).expect("JSON")["cnf"].clone()
}

/// A migration: one rule requires the certificate, another one only reports who has none.
#[test]
fn a_rule_that_requires_a_proof_denies_unbound_tokens_and_one_on_trial_counts_them() {
    let directory = TempDir::with_prefix("proof-rule-").expect("a temporary directory");
    let authority = CertificateAuthority::create(directory.path());
    let device = authority.issue_to_client("d-7", "spiffe://acme/d-7", "d-7.devices.acme.com");
    let mut configuration = minimal_configuration();
    configuration["providers"]["okta"]["sender_constraint"] = json!({ "mtls": "if_bound" });
    configuration["rules"] = json!([
        { "name": "payments", "match": { "path_prefix": "/payments" }, "require": { "proof": "mtls" } },
        { "name": "keys", "match": { "path_prefix": "/keys" }, "require": { "proof": "dpop" } },
        { "name": "trial", "match": { "path_prefix": "/trial" }, "require": { "proof": "mtls" }, "report_only": true },
    ]);
    configuration["audit"] = json!({ "allowed": "all" });
    let listener = ListenerOptions {
        tls: Some(DownstreamTls {
            tls_inspector: false,
            certificate: authority.issue(SERVER_NAME),
            clients: ClientCertificates::FromCa(authority.ca_pem_path()),
        }),
        ..ListenerOptions::filtered(MTLS, &configuration)
    };
    let gateway = Setup { configuration, more_listeners: vec![listener], ..Setup::default() }.start();
    let over_tls =
        |name: &str| Cluster::identity_provider(name, gateway.envoy.port(MTLS), SERVER_NAME, &authority.ca_pem_path());
    let clients =
        TlsClients::start(vec![("with", over_tls("with").with_certificate(&device)), ("without", over_tls("without"))]);
    let (of_device, unbound) = (bound(&gateway, &device), gateway.alice());
    let thumbprint = device.thumbprint();
    const NEEDS_TOKEN: &str = "Bearer realm=\"okta-proxy-wasm\", error=\"invalid_token\"";
    let mut records = 0;
    for (client, path, token, status, reason, would_deny, challenge) in [
        ("with", "/payments", &of_device, 200, "authorized", None, None),
        ("with", "/payments", &unbound, 401, "proof_required", None, Some(NEEDS_TOKEN)),
        ("without", "/payments", &unbound, 401, "proof_required", None, Some(NEEDS_TOKEN)),
        ("without", "/payments", &of_device, 401, "certificate_missing", None, Some(NEEDS_TOKEN)),
        // The provider accepts no token that would help.
        ("with", "/keys", &of_device, 403, "proof_required", None, None),
        ("with", "/trial", &of_device, 200, "authorized", None, None),
        ("with", "/trial", &unbound, 200, "authorized", Some("proof_required"), None),
        ("without", "/trial", &unbound, 200, "authorized", Some("proof_required"), None),
        ("without", "/trial", &of_device, 401, "certificate_missing", None, Some(NEEDS_TOKEN)),
    ] {
        let response = Request::get(path).bearer(token).send(clients.port(client));
        records += 1;
        let record = gateway.record_number(records);
        let row = format!("{client} {path} {reason}: {record}");
        assert_eq!((response.status, record["reason"].as_str()), (status, Some(reason)), "{row}");
        assert_eq!(record["would_deny"].as_str(), would_deny, "{row}");
        assert_eq!(response.header("www-authenticate"), challenge.map(str::to_owned), "{row}");
        let is_proved = token == &of_device && reason != "certificate_missing";
        let constraint = (record["sender_constraint"].as_str(), record["x5t_s256"].as_str());
        assert_eq!(constraint, if is_proved { (Some("mtls"), Some(&*thumbprint)) } else { (None, None) }, "{row}");
    }
    let counted = |verdict: &str, constraint: &str| {
        format!("sender_constraints_total.verdict.{verdict}.constraint.{constraint}.provider.okta")
    };
    for (name, count) in [
        (counted("allow", "mtls"), 2),
        (counted("deny", "mtls"), 1),
        (counted("allow", "none"), 2),
        (counted("deny", "none"), 2),
        (String::from("would_deny_total.reason.proof_required.rule.trial"), 2),
    ] {
        let name = format!("wasmcustom.okta_proxy_wasm.{name}");
        until(&name, Duration::from_secs(10), || (gateway.envoy.stat(&name) == count).then_some(()));
    }
    // Each label becomes one of Prometheus.
    let exposition = gateway.envoy.admin("GET", "/stats/prometheus").text();
    let name = "okta_proxy_wasm_sender_constraints_total";
    let series = samples(&exposition, name).into_iter().filter(|sample| sample.name == name);
    let labels: Vec<_> = series.map(|sample| sample.labels.into_iter().collect::<Vec<_>>()).collect();
    assert_eq!(labels.len(), 4, "{labels:?}");
    let names = |labels: &Vec<(String, String)>| labels.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert!(labels.iter().all(|labels| names(labels) == ["constraint", "provider", "verdict"]), "{labels:?}");
    gateway.assert_no_trap();
}
