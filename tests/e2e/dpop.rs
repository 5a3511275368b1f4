//! Tokens that are bound to a key (DPoP, RFC 9449) in a real Envoy: issued by a real authorization server, sent by real clients
//! (`tests/support/dpop-clients`) and with proofs made by hand.

use std::collections::HashSet;
use std::fmt::Debug;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::gateway::{API, Gateway, Setup, minimal_configuration};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::authorization_server::{DEFAULT_AUDIENCE, ISSUER, OPAQUE_AUDIENCE, now};
use testbed::dpop::{NONCE_SLOT, nonce_of_slot};
use testbed::polling::until;
use testbed::programs::{GrpcServer, dpop_client, grpc_calls};
use testbed::{
    Certificate, CertificateAuthority, ClientCertificates, ClientTokenRequest, Cluster, DownstreamTls, ListenerOptions,
    Mode, ProofKey, Request, Response, TempDir, send_many, tls,
};

pub const ORIGIN: &str = "https://api.acme.com";
const READ: &str = "read:accounts";
/// The filter's, of all that it supports.
const ALGORITHMS: &str = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA";

/// The plain configuration with DPoP; responses tell the reason.
pub fn configuration(mode: &str, proofs: Value) -> Value {
    let mut configuration = minimal_configuration();
    let mut settings = json!({ "origins": [ORIGIN] });
    for (name, value) in proofs.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    configuration["providers"]["okta"]["sender_constraint"] = json!({ "dpop": mode, "proofs": settings });
    configuration["responses"] = json!({ "realm": "acme", "detail": "reason" });
    configuration
}

fn start(mode: &str, proofs: Value) -> Gateway {
    start_with(configuration(mode, proofs))
}

fn start_with(configuration: Value) -> Gateway {
    let gateway = Setup { configuration, ..Setup::default() }.start();
    gateway.wait_until_keys_are_held();
    gateway
}

/// A client: its key, and a token of the real server that is bound to it.
struct Client {
    key: ProofKey,
    token: String,
}

impl Client {
    fn of(gateway: &Gateway, name: &str) -> Self {
        let key = ProofKey::generate();
        let token = gateway.idp.dpop_token_of(name, &ClientTokenRequest::default(), &key);
        Self { key, token }
    }

    fn new(gateway: &Gateway) -> Self {
        Self::of(gateway, "service")
    }

    fn proof(&self, method: &str, path: &str) -> String {
        self.key.proof(method, &format!("{ORIGIN}{path}"), Some(&self.token))
    }

    fn request(&self, method: &str, path: &str) -> Request {
        self.with_proof(method, path, &self.proof(method, path))
    }

    fn with_proof(&self, method: &str, path: &str, proof: &str) -> Request {
        Request::new(method, path).header("authorization", format!("DPoP {}", self.token)).header("dpop", proof)
    }

    /// A proof for `GET /accounts` whose claims are changed; `null` removes one.
    fn changed_proof(&self, changes: Value) -> String {
        let mut claims = self.key.claims("GET", &format!("{ORIGIN}/accounts"), Some(&self.token));
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        self.key.sign(&claims)
    }
}

/// The reason of a denial; `""` for other responses.
fn reason(response: &Response) -> String {
    match response.status {
        200 => String::new(),
        _ => response.json()["reason"].as_str().unwrap_or_default().to_owned(),
    }
}

fn assert_denied(response: &Response, status: u16, expected: &str, what: &impl Debug) {
    assert_eq!((response.status, &*reason(response)), (status, expected), "{what:?}: {}", response.text());
}

fn payload_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// What a client of `dpop-clients` is told.
fn client_input(gateway: &Gateway, library: &str, algorithm: &str, issuer_client: &str, calls: Value) -> Value {
    let (client_id, client_secret) = gateway.idp.client_credentials(issuer_client);
    json!({
        "library": library, "algorithm": algorithm, "issuer": ISSUER, "client_id": client_id,
        "client_secret": client_secret, "scope": READ, "resource": DEFAULT_AUDIENCE, "calls": calls,
        "ports": { "https://acme.okta.com": gateway.idp.plain_http_port(), ORIGIN: gateway.port() },
    })
}

/// The values of a header field in an exchange of a client.
fn fields(exchange: &Value, name: &str) -> Vec<String> {
    let fields = exchange["headers"].as_array().cloned().unwrap_or_default();
    fields.iter().filter(|field| field[0] == name).filter_map(|field| field[1].as_str().map(str::to_owned)).collect()
}

fn statuses(exchanges: &Value) -> Vec<u64> {
    exchanges.as_array().into_iter().flatten().filter_map(|exchange| exchange["status"].as_u64()).collect()
}

#[test]
fn real_clients_call_with_each_algorithm_and_neither_token_nor_proof_reaches_the_backend() {
    let gateway = start("required", json!({}));
    let service = gateway.idp.client_credentials("service").0;
    let calls = json!([
        { "method": "GET", "url": format!("{ORIGIN}/accounts?first=1&last=%C3%A9") },
        { "method": "POST", "url": format!("{ORIGIN}/accounts/7"), "body": "amount=7" },
        { "method": "GET", "url": format!("{ORIGIN}/acc%6Funts/a%20b/") },
    ]);
    let mut forwarded = 0;
    for library in ["openid-client", "dpop"] {
        for algorithm in ["ES256", "RS256", "PS256", "Ed25519"] {
            let seen = dpop_client(&client_input(&gateway, library, algorithm, "service", calls.clone()));
            let what = format!("{library} {algorithm}: {seen}");
            assert!(seen["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("dpop")), "{what}");
            let jkt = payload_of(seen["token"].as_str().expect("a token"))["cnf"]["jkt"].clone();
            assert_eq!(jkt.as_str().map(str::len), Some(43), "{what}");
            for call in seen["calls"].as_array().expect("calls") {
                assert_eq!(statuses(&call["exchanges"]), [200], "{what}");
                assert_eq!(fields(&call["exchanges"][0], "dpop-nonce"), [""; 0], "{what}");
                forwarded += 1;
            }
        }
    }
    let received = gateway.backend.requests();
    assert_eq!(received.len(), forwarded);
    for request in received {
        assert_eq!(request.headers.text("x-client-id").as_deref(), Some(&*service));
        assert_eq!(request.headers.text("x-granted-scopes").as_deref(), Some(READ));
        for name in ["authorization", "dpop"] {
            assert_eq!(request.headers.first(name), None, "{name} goes no further");
        }
    }
    gateway.assert_no_trap();
}

#[test]
fn real_clients_retry_with_the_nonces_of_the_authorization_server_and_of_the_gateway() {
    let gateway = start("required", json!({ "nonce": "required" }));
    let call = json!({ "method": "GET", "url": format!("{ORIGIN}/accounts") });
    for library in ["openid-client", "dpop"] {
        gateway.backend.clear();
        let calls = json!([call, call, call]);
        let seen = dpop_client(&client_input(&gateway, library, "ES256", "nonce_service", calls));
        let what = format!("{library}: {seen}");
        let of_token_endpoint: Vec<_> =
            seen["issuer_exchanges"].as_array().into_iter().flatten().filter(|it| it["method"] == "POST").collect();
        assert_eq!(of_token_endpoint.len(), 2, "{what}");
        assert_eq!((&of_token_endpoint[0]["status"], &of_token_endpoint[1]["status"]), (&json!(400), &json!(200)));
        let calls = seen["calls"].as_array().expect("calls");
        assert_eq!(statuses(&calls[0]["exchanges"]), [401, 200], "{what}");
        let refused = &calls[0]["exchanges"][0];
        let challenge = format!(r#"DPoP realm="acme", error="use_dpop_nonce", algs="{ALGORITHMS}""#);
        assert_eq!(fields(refused, "www-authenticate"), [challenge], "{what}");
        assert_eq!(fields(refused, "cache-control"), ["no-store"], "{what}");
        let nonces = fields(refused, "dpop-nonce");
        assert_eq!(nonces.len(), 1, "{what}");
        let own = fields(of_token_endpoint[0], "dpop-nonce");
        assert_ne!(nonces, own, "each server has nonces of its own");
        // The client keeps the nonce.
        for call in &calls[1..] {
            assert_eq!(statuses(&call["exchanges"]), [200], "{what}");
        }
        let proof = calls[0]["exchanges"][1]["proof"].as_str().expect("a proof");
        assert_eq!(payload_of(proof)["nonce"], json!(nonces[0]), "{what}");
        assert_eq!(gateway.backend.count(), 3, "{what}");
    }
    gateway.assert_no_trap();
}

#[test]
fn nonces_of_another_key_or_issuer_are_answered_with_the_current_one_by_every_worker() {
    let gateway = start("required", json!({ "nonce": "required" }));
    let client = Client::new(&gateway);
    let mut nonces = HashSet::new();
    // Connections of their own, so that both workers answer.
    for nonce in [Value::Null, json!("x"), json!("47DEQpj8HBSa-_TImW-5JA"), json!("é")].iter().cycle().take(24) {
        let proof = client.changed_proof(json!({ "nonce": nonce }));
        let refused = client.with_proof("GET", "/accounts", &proof).send(gateway.port());
        assert_denied(&refused, 401, if nonce.is_null() { "nonce_required" } else { "nonce_invalid" }, nonce);
        assert_eq!(refused.headers("dpop-nonce").len(), 1);
        nonces.extend(refused.header("dpop-nonce"));
    }
    // The next slot of time may have begun.
    assert!((1..=2).contains(&nonces.len()), "{nonces:?}");
    for nonce in &nonces {
        for _ in 0..16 {
            let proof = client.changed_proof(json!({ "nonce": nonce }));
            let response = client.with_proof("GET", "/accounts", &proof).send(gateway.port());
            assert_eq!(response.status, 200, "{}", response.text());
        }
    }
    // A wrong proof learns no nonce.
    let proof = client.changed_proof(json!({ "htm": "PUT" }));
    let refused = client.with_proof("GET", "/accounts", &proof).send(gateway.port());
    assert_denied(&refused, 401, "proof_htm_mismatch", &"without a nonce");
    assert_eq!(refused.header("dpop-nonce"), None);
    gateway.assert_no_trap();
}

const NONCE_KEY_VARIABLE: &str = "DPOP_NONCE_KEY";
const NONCE_KEY: &str = "q4J0hU3m1Rk8fT6yVb2nXw7sZc5dEg9a";

fn nonce_of(slot: u64) -> String {
    nonce_of_slot(NONCE_KEY, ISSUER, slot)
}

/// Repeats what was true of one slot of time and began in it, if it ended in the next one.
fn in_one_slot<T>(act: impl Fn(u64) -> T) -> T {
    loop {
        let slot = now() / NONCE_SLOT;
        let result = act(slot);
        if now() / NONCE_SLOT == slot {
            return result;
        }
    }
}

#[test]
fn a_nonce_that_ends_is_renewed_with_the_response_and_gateways_with_one_key_accept_each_other_s() {
    let mut configuration = configuration("required", json!({ "nonce": "required" }));
    configuration["providers"]["okta"]["sender_constraint"]["proofs"]["nonce_key"] =
        json!({ "env": NONCE_KEY_VARIABLE });
    let start = || {
        let gateway = Setup {
            configuration: configuration.clone(),
            listener: |listener| ListenerOptions { host_env_keys: vec![NONCE_KEY_VARIABLE.to_owned()], ..listener },
            environment: vec![(NONCE_KEY_VARIABLE, NONCE_KEY.to_owned())],
            ..Setup::default()
        }
        .start();
        gateway.wait_until_keys_are_held();
        gateway
    };
    for gateway in [start(), start()] {
        let client = Client::new(&gateway);
        let send = |nonce: String, path: &str| {
            let mut claims = client.key.claims("GET", &format!("{ORIGIN}{path}"), Some(&client.token));
            claims["nonce"] = json!(nonce);
            client.with_proof("GET", path, &client.key.sign(&claims)).send(gateway.port())
        };
        for _ in 0..8 {
            let (slot, response) = in_one_slot(|slot| (slot, send(nonce_of(slot - 1), "/accounts")));
            assert_eq!(response.status, 200, "{}", response.text());
            assert_eq!(response.headers("dpop-nonce"), [nonce_of(slot)]);
            let (_, response) = in_one_slot(|slot| (slot, send(nonce_of(slot), "/accounts")));
            assert_eq!((response.status, response.headers("dpop-nonce")), (200, Vec::new()));
            let (slot, response) = in_one_slot(|slot| (slot, send(nonce_of(slot - 2), "/accounts")));
            assert_denied(&response, 401, "nonce_invalid", &"two slots ago");
            assert_eq!(response.headers("dpop-nonce"), [nonce_of(slot)]);
        }
        for request in gateway.backend.requests() {
            assert_eq!(request.headers.first("dpop-nonce"), None, "the backend sees no nonce");
        }
        assert!(!gateway.envoy.log().contains(NONCE_KEY), "the key is in the log");
        gateway.assert_no_trap();
    }
}

#[test]
fn a_token_that_is_bound_to_a_key_and_a_certificate_needs_both() {
    const TLS: &str = "tls";
    let directory = TempDir::with_prefix("dpop-").expect("a temporary directory");
    let authority = CertificateAuthority::create(directory.path());
    let device = authority.issue_to_client("d-7", "spiffe://acme/d-7", "d-7.devices.acme.com");
    let other = authority.issue_to_client("d-8", "spiffe://acme/d-8", "d-8.devices.acme.com");
    let mut configuration = configuration("if_bound", json!({}));
    configuration["providers"]["okta"]["sender_constraint"]["mtls"] = json!("if_bound");
    let over_tls = ListenerOptions {
        tls: Some(DownstreamTls {
            tls_inspector: false,
            certificate: authority.issue("api.acme.com"),
            clients: ClientCertificates::FromCa(authority.ca_pem_path()),
        }),
        ..ListenerOptions::filtered(TLS, &configuration)
    };
    let gateway = Setup { configuration, more_listeners: vec![over_tls], ..Setup::default() }.start();
    gateway.wait_until_keys_are_held();
    let key = ProofKey::generate();
    // The authorization server of the tests binds a token to one of them only.
    let token = gateway.bent(json!({ "cnf": { "x5t#S256": device.thumbprint(), "jkt": key.thumbprint() } }));
    let client = Client { key, token };
    let thief = Client { key: ProofKey::generate(), token: client.token.clone() };
    let send = |request: &Request, certificate: Option<&Certificate>| {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.envoy.port(TLS))).expect("it listens");
        tls::send(request, stream, "api.acme.com", &authority.ca_pem_path(), certificate).expect("a response")
    };
    for _ in 0..4 {
        let response = send(&client.request("GET", "/accounts"), Some(&device));
        assert_eq!(response.status, 200, "{}", response.text());
        for (certificate, reason) in [(Some(&other), "certificate_mismatch"), (None, "certificate_missing")] {
            assert_denied(&send(&client.request("GET", "/accounts"), certificate), 401, reason, &"a good proof");
        }
        let of_thief = send(&thief.request("GET", "/accounts"), Some(&device));
        assert_denied(&of_thief, 401, "proof_key_mismatch", &"a good certificate");
        let bearer = send(&Request::get("/accounts").bearer(&client.token), Some(&device));
        assert_denied(&bearer, 401, "dpop_scheme_required", &"a good certificate");
    }
    // A proof that came with another certificate is not used up by it.
    let request = client.request("GET", "/accounts");
    assert_denied(&send(&request, Some(&other)), 401, "certificate_mismatch", &"another certificate");
    assert_eq!(send(&request, Some(&device)).status, 200);
    gateway.assert_no_trap();
}

#[test]
fn a_proof_that_is_sent_many_times_at_once_is_accepted_once() {
    let gateway = start("required", json!({}));
    let client = Client::new(&gateway);
    let mut rounds = vec![2; 150];
    rounds.extend([16; 20]);
    for (round, copies) in rounds.iter().enumerate() {
        let request = client.request("GET", "/accounts");
        let responses = send_many(gateway.port(), &vec![request; *copies], *copies);
        let mut reasons: Vec<String> =
            responses.into_iter().map(|response| reason(&response.expect("a response"))).collect();
        reasons.sort();
        let mut expected = vec!["proof_replayed".to_owned(); copies - 1];
        expected.insert(0, String::new());
        assert_eq!(reasons, expected, "round {round}");
        assert_eq!(gateway.backend.count(), round + 1, "round {round}");
    }
    // Both workers took part: connections are spread over them.
    let handled: Vec<u64> = (0..2)
        .map(|worker| {
            gateway.envoy.stat(&format!("listener.127.0.0.1_{}.worker_{worker}.downstream_cx_total", gateway.port()))
        })
        .collect();
    assert!(handled.iter().all(|count| *count > 50), "{handled:?}");
    gateway.assert_no_trap();
}

#[test]
fn a_used_proof_is_rejected_after_the_configuration_has_changed() {
    let gateway = start("if_bound", json!({}));
    let client = Client::new(&gateway);
    let used = client.request("GET", "/accounts");
    assert_eq!(used.send(gateway.port()).status, 200);
    assert_denied(&used.send(gateway.port()), 401, "proof_replayed", &"before");
    let mut smaller = configuration("required", json!({ "max_age": "300s" }));
    smaller["replay_detection"] = json!({ "max_proofs": 16_384 });
    let changes =
        [configuration("required", json!({})), configuration("required", json!({ "max_age": "300s" })), smaller];
    for (number, mut changed) in changes.into_iter().enumerate() {
        let realm = format!("acme-{number}");
        changed["responses"]["realm"] = json!(realm);
        gateway.envoy.replace_listener(ListenerOptions::filtered(API, &changed));
        until("the new configuration", Duration::from_secs(20), || {
            let challenge = Request::get("/accounts").send(gateway.port()).header("www-authenticate")?;
            challenge.contains(&realm).then_some(())
        });
        for _ in 0..8 {
            assert_denied(&used.send(gateway.port()), 401, "proof_replayed", &changed);
        }
        assert_eq!(client.request("GET", "/accounts").send(gateway.port()).status, 200);
    }
    gateway.assert_no_trap();
}

#[test]
fn every_proof_that_is_for_something_else_is_rejected() {
    let gateway = start("if_bound", json!({}));
    let client = Client::new(&gateway);
    let other = Client::new(&gateway);
    let url = |url: &str| json!({ "htu": url });
    let foreign = other.key.proof("GET", &format!("{ORIGIN}/accounts"), Some(&client.token));
    let of_other_token = client.key.proof("GET", &format!("{ORIGIN}/accounts"), Some(&other.token));
    let rows = [
        ("another method", client.proof("PUT", "/accounts"), "proof_htm_mismatch"),
        ("the method in lower case", client.changed_proof(json!({ "htm": "get" })), "proof_htm_mismatch"),
        ("another path", client.proof("GET", "/accounts/7"), "proof_htu_mismatch"),
        ("another case of the path", client.proof("GET", "/Accounts"), "proof_htu_mismatch"),
        ("a slash behind the path", client.proof("GET", "/accounts/"), "proof_htu_mismatch"),
        ("another host", client.changed_proof(url("https://evil.example/accounts")), "proof_htu_mismatch"),
        ("another port", client.changed_proof(url("https://api.acme.com:8443/accounts")), "proof_htu_mismatch"),
        ("http", client.changed_proof(url("http://api.acme.com/accounts")), "proof_htu_mismatch"),
        ("a path alone", client.changed_proof(url("/accounts")), "proof_htu_mismatch"),
        (
            "user information",
            client.changed_proof(url("https://api.acme.com@evil.example/accounts")),
            "proof_htu_mismatch",
        ),
        ("another token", of_other_token, "proof_ath_mismatch"),
        ("no token", client.changed_proof(json!({ "ath": null })), "proof_malformed"),
        ("another key", foreign, "proof_key_mismatch"),
        ("long ago", client.changed_proof(json!({ "iat": now() - 120 })), "proof_expired"),
        ("later", client.changed_proof(json!({ "iat": now() + 120 })), "proof_issued_in_the_future"),
        ("no `jti`", client.changed_proof(json!({ "jti": null })), "proof_malformed"),
        ("no proof", "x".to_owned(), "proof_malformed"),
        ("an empty one", String::new(), "proof_malformed"),
        ("a token in place of the proof", client.token.clone(), "proof_malformed"),
        ("two in one field", format!("{}, {0}", client.proof("GET", "/accounts")), "multiple_proofs"),
    ];
    let mut wrong = Vec::new();
    for (what, proof, expected) in &rows {
        let response = client.with_proof("GET", "/accounts", proof).send(gateway.port());
        let found = reason(&response);
        if (response.status, found.as_str()) != (401, expected) {
            wrong.push(format!("{what}: {} {found} instead of {expected}", response.status));
        }
        let error = if *expected == "proof_key_mismatch" { "invalid_token" } else { "invalid_dpop_proof" };
        let challenge = format!(r#"DPoP realm="acme", error="{error}", algs="{ALGORITHMS}""#);
        if response.headers("www-authenticate") != [challenge] {
            wrong.push(format!("{what}: {:?}", response.headers("www-authenticate")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Two fields, of which each is good.
    let proofs = [client.proof("GET", "/accounts"), client.proof("GET", "/accounts")];
    let two = client.with_proof("GET", "/accounts", &proofs[0]).header("DPoP", &proofs[1]).send(gateway.port());
    assert_denied(&two, 401, "multiple_proofs", &"two fields");
    let missing = Request::get("/accounts").header("authorization", format!("DPoP {}", client.token));
    assert_denied(&missing.send(gateway.port()), 401, "proof_missing", &"no field");
    // The signature is checked last, and none of the rows used a proof up.
    let mut broken = proofs[0].clone();
    let last = broken.len() - 10;
    let replacement = if broken.as_bytes()[last] == b'A' { "B" } else { "A" };
    broken.replace_range(last..=last, replacement);
    let response = client.with_proof("GET", "/accounts", &broken).send(gateway.port());
    assert_denied(&response, 401, "proof_signature_invalid", &"a broken signature");
    assert_eq!(gateway.backend.count(), 0);
    for proof in &proofs {
        assert_eq!(client.with_proof("GET", "/accounts", proof).send(gateway.port()).status, 200);
    }
    gateway.assert_no_trap();
}

#[test]
fn spellings_of_one_url_are_equal() {
    let gateway = start("if_bound", json!({}));
    let client = Client::new(&gateway);
    for url in [
        "https://api.acme.com/accounts/a%20b",
        "HTTPS://API.ACME.COM/accounts/a%20b",
        "https://api.acme.com:443/accounts/a%20b",
        "https://api.acme.com/acc%6Funts/a%20b",
        "https://api.acme.com/x/../accounts/./a%20b",
        "https://api.acme.com/accounts/a%20b?query=none",
        "https://api.acme.com/accounts/a%20b#fragment",
    ] {
        for target in ["/accounts/a%20b", "/accounts/a%20b?x=1"] {
            let proof = client.changed_proof(json!({ "htu": url }));
            let response = client.with_proof("GET", target, &proof).send(gateway.port());
            assert_eq!(response.status, 200, "{url} {target}: {}", response.text());
        }
    }
    gateway.assert_no_trap();
}

#[test]
fn bearer_and_dpop_work_side_by_side_and_a_bound_token_is_no_bearer_token() {
    let gateway = start("if_bound", json!({}));
    let port = gateway.port();
    let client = Client::new(&gateway);
    let unbound = gateway.alice();
    let bearer = r#"Bearer realm="acme""#.to_owned();
    let dpop = format!(r#"DPoP realm="acme", algs="{ALGORITHMS}""#);
    // In both orders, and when both tokens are cached.
    for _ in 0..6 {
        assert_eq!(gateway.get(&unbound).status, 200);
        assert_eq!(client.request("GET", "/accounts").send(port).status, 200);
        let downgraded = gateway.get(&client.token);
        assert_denied(&downgraded, 401, "dpop_scheme_required", &"Bearer");
        let error = format!(r#"{bearer}, error="invalid_token""#);
        assert_eq!(downgraded.headers("www-authenticate"), [error.clone(), dpop.clone()]);
        // Nor with a proof beside it.
        let with_proof =
            Request::get("/accounts").bearer(&client.token).header("dpop", client.proof("GET", "/accounts"));
        assert_denied(&with_proof.send(port), 401, "dpop_scheme_required", &"Bearer with a proof");
        let upgraded = Client { key: ProofKey::generate(), token: unbound.clone() };
        assert_denied(&upgraded.request("GET", "/accounts").send(port), 401, "token_not_bound_to_key", &"DPoP");
    }
    let bare = Request::get("/accounts").send(port);
    assert_denied(&bare, 401, "token_missing", &"no token");
    assert_eq!(bare.headers("www-authenticate"), [bearer, dpop]);
    let both = client.request("GET", "/accounts").bearer(&unbound).send(port);
    assert_denied(&both, 400, "multiple_credentials", &"both");
    // The scheme and the field in any case.
    for (scheme, field) in [("dpop", "dpop"), ("DPOP", "DPOP"), ("DPoP", "DPoP")] {
        let request = Request::get("/accounts").header("authorization", format!("{scheme} {}", client.token));
        let response = request.header(field, client.proof("GET", "/accounts")).send(port);
        assert_eq!(response.status, 200, "{scheme}: {}", response.text());
    }
    gateway.assert_no_trap();
}

#[test]
fn required_proofs_reject_bearer_tokens_of_the_provider() {
    let gateway = start("required", json!({}));
    let unbound = gateway.get(&gateway.alice());
    assert_denied(&unbound, 401, "token_not_bound", &"Bearer");
    let client = Client::new(&gateway);
    let downgraded = gateway.get(&client.token);
    assert_denied(&downgraded, 401, "dpop_scheme_required", &"Bearer");
    let error = format!(r#"DPoP realm="acme", error="invalid_token", algs="{ALGORITHMS}""#);
    for response in [unbound, downgraded] {
        assert_eq!(response.headers("www-authenticate"), std::slice::from_ref(&error));
    }
    assert_eq!(client.request("GET", "/accounts").send(gateway.port()).status, 200);
    gateway.assert_no_trap();
}

#[test]
fn a_client_that_fills_its_share_of_the_memory_gets_503_and_others_do_not() {
    let mut configuration = configuration("required", json!({ "max_age": "300s" }));
    configuration["replay_detection"] = json!({ "max_proofs": 16_384 });
    let gateway = start_with(configuration);
    let (greedy, other) = (Client::of(&gateway, "service"), Client::of(&gateway, "nonce_service"));
    let (mut accepted, mut full) = (Vec::new(), 0);
    // Its share is less than all of the memory.
    while full < 20 {
        assert!(accepted.len() < 16_384, "the memory has no bound for one client");
        let requests: Vec<_> = (0..256).map(|_| greedy.request("GET", "/accounts")).collect();
        for (request, response) in requests.iter().zip(send_many(gateway.port(), &requests, 8)) {
            let response = response.expect("a response");
            match response.status {
                200 => accepted.push(request.clone()),
                _ => {
                    assert_denied(&response, 503, "replay_detection_full", &"greedy");
                    assert_eq!(response.headers("www-authenticate"), [""; 0], "another proof does not help now");
                    assert!(response.header("retry-after").is_some());
                    full += 1;
                }
            }
        }
    }
    assert!(accepted.len() > 1000, "only {} accepted", accepted.len());
    for number in 0..100 {
        let response = other.request("GET", "/accounts").send(gateway.port());
        assert_eq!(response.status, 200, "{number}: {}", response.text());
    }
    // What was accepted stays used.
    for request in accepted.iter().step_by(accepted.len() / 50) {
        assert_denied(&request.send(gateway.port()), 401, "proof_replayed", &"again");
    }
    gateway.assert_no_trap();
}

#[test]
fn grpc_client_makes_proofs_for_the_full_method_path() {
    const OK: u64 = 0;
    const UNAUTHENTICATED: u64 = 16;
    let server = GrpcServer::start();
    let gateway = Setup {
        configuration: configuration("required", json!({})),
        listener: |listener| ListenerOptions { backend: "grpc".to_owned(), ..listener },
        more_clusters: vec![Cluster::http2_backend("grpc", server.port())],
        ..Setup::default()
    }
    .start();
    gateway.wait_until_keys_are_held();
    let client = Client::new(&gateway);
    let call = |proof: &str| {
        let metadata = json!({ "authorization": format!("DPoP {}", client.token), "dpop": proof });
        let calls = json!([{ "port": gateway.port(), "metadata": metadata, "message": "seven" }]);
        grpc_calls(&calls).remove(0)
    };
    let good = client.proof("POST", "/acme.Accounts/Get");
    let served = call(&good);
    assert_eq!((&served["code"], &served["answer"]["message"]), (&json!(OK), &json!("seven")), "{served}");
    let seen = &served["answer"]["metadata"];
    assert!(seen["x-client-id"].is_string(), "{seen}");
    for name in ["authorization", "dpop"] {
        assert_eq!(seen[name], Value::Null, "{name} goes no further: {seen}");
    }
    for proof in [good, client.proof("POST", "/acme.Accounts/Put"), client.proof("GET", "/acme.Accounts/Get")] {
        let refused = call(&proof);
        assert_eq!(refused["code"], UNAUTHENTICATED, "{refused}");
        let challenge = format!(r#"DPoP realm="acme", error="invalid_dpop_proof", algs="{ALGORITHMS}""#);
        assert_eq!(refused["metadata"]["www-authenticate"], json!(challenge), "{refused}");
    }
    gateway.assert_no_trap();
}

#[test]
fn of_several_origins_the_host_selects_the_one_of_the_proof() {
    let origins = json!({ "origins": ["https://api.acme.com", "https://admin.acme.com:8443"] });
    let gateway = start("required", origins);
    let client = Client::new(&gateway);
    let mut wrong = Vec::new();
    for (host, target, expected) in [
        ("api.acme.com", "https://api.acme.com/accounts", ""),
        ("API.acme.com:443", "https://api.acme.com/accounts", ""),
        ("admin.acme.com:8443", "https://admin.acme.com:8443/accounts", ""),
        ("api.acme.com", "https://admin.acme.com:8443/accounts", "proof_htu_mismatch"),
        ("admin.acme.com:8443", "https://api.acme.com/accounts", "proof_htu_mismatch"),
        ("evil.example", "https://api.acme.com/accounts", "proof_htu_mismatch"),
        ("evil.example", "https://evil.example/accounts", "proof_htu_mismatch"),
    ] {
        let proof = client.changed_proof(json!({ "htu": target }));
        let request = client.with_proof("GET", "/accounts", &proof).header("host", host);
        // No header of a client changes what the URL was.
        let request = request.header("x-forwarded-host", "api.acme.com").header("x-forwarded-proto", "https");
        let found = reason(&request.send(gateway.port()));
        if found != expected {
            wrong.push(format!("{host} {target}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    gateway.assert_no_trap();
}

const SECRET_VARIABLE: &str = "OKTA_CLIENT_SECRET";

/// A gateway that introspects opaque tokens, and JWTs below `/asked`.
fn introspecting(mode: &str, proofs: Value) -> Gateway {
    let mut configuration = configuration(mode, proofs);
    let provider = &mut configuration["providers"]["okta"];
    provider["audiences"] = json!([DEFAULT_AUDIENCE, OPAQUE_AUDIENCE]);
    provider["introspection"] =
        json!({ "client_id": "0oa1gateway0000000d7", "client_secret": { "env": SECRET_VARIABLE } });
    configuration["rules"] = json!([{ "name": "asked", "match": { "path_prefix": "/asked" }, "introspect": true }]);
    let gateway = Setup {
        configuration,
        listener: |listener| ListenerOptions { host_env_keys: vec![SECRET_VARIABLE.to_owned()], ..listener },
        environment: vec![(SECRET_VARIABLE, "gateway-secret-Jw81".to_owned())],
        shares_authorization_server: false,
        ..Setup::default()
    }
    .start();
    gateway.wait_until_keys_are_held();
    gateway
}

fn opaque_client(gateway: &Gateway) -> Client {
    let key = ProofKey::generate();
    let request = ClientTokenRequest { audience: OPAQUE_AUDIENCE, ..ClientTokenRequest::default() };
    let token = gateway.idp.dpop_token(&request, &key);
    assert!(!token.contains('.'), "not opaque");
    Client { key, token }
}

#[test]
fn opaque_tokens_are_bound_by_their_introspection_response() {
    for mode in ["if_bound", "required"] {
        let gateway = introspecting(mode, json!({}));
        let client = opaque_client(&gateway);
        let before = gateway.idp.introspections();
        // The first request waits for the introspection response; the others find it in the cache.
        for _ in 0..8 {
            let thief = Client { key: ProofKey::generate(), token: client.token.clone() };
            assert_denied(&thief.request("GET", "/accounts").send(gateway.port()), 401, "proof_key_mismatch", &mode);
            assert_denied(&gateway.get(&client.token), 401, "dpop_scheme_required", &mode);
            let request = client.request("GET", "/accounts");
            let response = request.send(gateway.port());
            assert_eq!(response.status, 200, "{}", response.text());
            assert_denied(&request.send(gateway.port()), 401, "proof_replayed", &mode);
        }
        assert_eq!(gateway.idp.introspections() - before, 1, "all workers together ask once");
        let request = ClientTokenRequest { audience: OPAQUE_AUDIENCE, ..ClientTokenRequest::default() };
        let unbound = gateway.idp.client_token(&request);
        let upgraded = Client { key: ProofKey::generate(), token: unbound.clone() };
        let (as_bearer, as_dpop) = match mode {
            "required" => ("token_not_bound", "token_not_bound"),
            _ => ("", "token_not_bound_to_key"),
        };
        assert_eq!(reason(&gateway.get(&unbound)), as_bearer);
        assert_eq!(reason(&upgraded.request("GET", "/accounts").send(gateway.port())), as_dpop);
        for request in gateway.backend.requests() {
            assert!(request.headers.text("x-client-id").is_some());
            assert_eq!((request.headers.first("authorization"), request.headers.first("dpop")), (None, None));
        }
        gateway.assert_no_trap();
    }
}

/// Requests that wait for an introspection response, and are resumed together.
#[test]
fn a_proof_of_pending_requests_is_accepted_once() {
    let gateway = introspecting("required", json!({}));
    for (path, of_client) in
        [("/accounts", opaque_client as fn(&Gateway) -> Client), ("/asked", Client::new as fn(&Gateway) -> Client)]
    {
        for round in 0..10 {
            let client = of_client(&gateway);
            gateway.backend.clear();
            // Nobody answers before all of them are there.
            gateway.gate.set(Mode::Hold);
            let request = client.request("GET", path);
            let mut connections: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
            for connection in &mut connections {
                connection.send(&request).expect("it is sent");
            }
            gateway.gate.set(Mode::Pass);
            let mut reasons: Vec<String> = connections
                .iter_mut()
                .map(|connection| reason(&connection.read_response().expect("a response")))
                .collect();
            reasons.sort();
            let mut expected = vec!["proof_replayed".to_owned(); 7];
            expected.insert(0, String::new());
            assert_eq!(reasons, expected, "{path} round {round}");
            assert_eq!(gateway.backend.count(), 1, "{path} round {round}");
        }
    }
    gateway.assert_no_trap();
}

#[test]
fn metadata_of_the_resource_tell_what_clients_must_prove() {
    for (mode, is_required) in [("off", Value::Null), ("if_bound", Value::Null), ("required", json!(true))] {
        let mut configuration = configuration(mode, json!({ "algorithms": ["ES256", "EdDSA"] }));
        if mode == "off" {
            configuration["providers"]["okta"]["sender_constraint"] = json!({ "dpop": "off" });
        }
        configuration["protected_resources"] = json!([{ "resource": "https://api.acme.com/accounts" }]);
        let gateway = Setup { configuration, workers: 1, ..Setup::default() }.start();
        let metadata = Request::get("/.well-known/oauth-protected-resource/accounts").send(gateway.port());
        assert_eq!(metadata.status, 200);
        let metadata = metadata.json();
        let algorithms = if mode == "off" { Value::Null } else { json!(["ES256", "EdDSA"]) };
        assert_eq!(metadata["dpop_signing_alg_values_supported"], algorithms, "{mode}: {metadata}");
        assert_eq!(metadata["dpop_bound_access_tokens_required"], is_required, "{mode}: {metadata}");
        // The challenge says the same.
        let challenges = Request::get("/accounts").send(gateway.port()).headers("www-authenticate");
        let of_dpop: Vec<_> = challenges.iter().filter(|challenge| challenge.starts_with("DPoP ")).collect();
        assert_eq!(of_dpop.len(), usize::from(mode != "off"), "{challenges:?}");
        assert!(of_dpop.iter().all(|challenge| challenge.contains(r#"algs="ES256 EdDSA""#)), "{challenges:?}");
        assert_eq!(challenges.len() - of_dpop.len(), usize::from(mode != "required"), "{challenges:?}");
        gateway.assert_no_trap();
    }
}
