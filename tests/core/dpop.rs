//! Tokens that are bound to a key of the client (DPoP, RFC 9449): each request needs a proof of its own, also for cached,
//! pending and introspected tokens.

use std::time::Duration;

use crate::engine_harness::{
    Harness, NOW, Setup, SharedProofs, call_response, edits_of, head, published, response_of, status_of,
};
use crate::proof_signer::{ProofSigner, claims};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use okta_proxy_wasm::engine::{Attribute, Decision, Verdict};
use okta_proxy_wasm::http::{HeaderEdit, HeaderName, RequestHead};
use serde_json::{Value, json};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const CERTIFICATE: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// One provider with this `sender_constraint`.
fn configuration(constraint: Value) -> Value {
    json!({ "providers": { "okta": { "issuer": ISSUER, "audiences": [AUDIENCE],
        "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "sender_constraint": constraint } },
        "rules": [{ "match": { "path": "/public" }, "access": "public" }] })
}

fn proofs(changes: Value) -> Value {
    with(&json!({ "origins": ["https://api.acme.com"] }), changes)
}

fn if_bound() -> Value {
    configuration(json!({ "dpop": "if_bound", "proofs": proofs(json!({})) }))
}

fn requiring_nonces(key: Option<&str>) -> Value {
    let mut changes = json!({ "nonce": "required" });
    if let Some(key) = key {
        changes["nonce_key"] = json!({ "env": key });
    }
    configuration(json!({ "dpop": "if_bound", "proofs": proofs(changes) }))
}

fn environment(name: &str) -> Option<String> {
    Some(format!("{name} and thirty-two bytes or more of it"))
}

/// A worker of the process with these shared proofs.
fn worker(configuration: &Value, shared: &SharedProofs) -> Harness {
    Harness::with(configuration, Setup { proofs: Some(shared.clone()), environment: &environment, ..Setup::default() })
}

fn client() -> ProofSigner {
    ProofSigner::new(1)
}

fn token(cnf: Value) -> String {
    SigningKey::a("k1").token(&with(&payload(NOW), json!({ "cnf": cnf })))
}

/// A token that is bound to the key of [`client`].
fn bound() -> String {
    token(json!({ "jkt": client().thumbprint() }))
}

fn request(scheme: &str, token: &str, proofs: &[&str]) -> RequestHead {
    with_target("GET", "api.acme.com", "/", scheme, token, proofs)
}

fn with_target(method: &str, host: &str, path: &str, scheme: &str, token: &str, proofs: &[&str]) -> RequestHead {
    let credential = format!("{scheme} {token}");
    let mut fields = vec![(":method", method), (":authority", host), (":path", path), ("authorization", &*credential)];
    fields.extend(proofs.iter().map(|proof| ("dpop", *proof)));
    head(&fields)
}

/// With this `jti`.
fn proof(token: &str, id: &str) -> String {
    client().proof(token, NOW, json!({ "jti": id }))
}

fn challenges(decision: &Decision) -> Vec<String> {
    let fields = response_of(decision).headers.iter();
    fields
        .filter(|(name, _)| *name == HeaderName::WWW_AUTHENTICATE)
        .map(|(_, value)| value.as_str().to_owned())
        .collect()
}

/// The nonce that the client gets with a response.
fn nonce_of(decision: &Decision) -> Option<String> {
    let fields = match &decision.verdict {
        Verdict::Allow(_) => &decision.response_headers,
        Verdict::Deny(response) => &response.headers,
    };
    fields.iter().find(|(name, _)| *name == HeaderName::DPOP_NONCE).map(|(_, value)| value.as_str().to_owned())
}

#[test]
fn each_check_of_a_proof_rejects_alone_also_for_a_cached_token() {
    let token = bound();
    let (own, other) = (client(), ProofSigner::new(2));
    let changed = |changes: Value| vec![own.proof(&token, NOW, changes)];
    let signed = |header: Value| vec![own.sign(&with(&own.header(), header), &claims(&token, NOW))];
    let good = own.proof(&token, NOW, json!({}));
    let private = with(&own.jwk(), json!({ "d": "AQ" }));
    let other_token =
        SigningKey::a("k1").token(&with(&payload(NOW + 1), json!({ "cnf": { "jkt": own.thumbprint() } })));
    let mut forged = good.clone().into_bytes();
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let rows: Vec<(&str, Vec<String>, &str)> = vec![
        ("no proof", vec![], "proof_missing"),
        ("an empty proof", vec![String::new()], "proof_malformed"),
        ("two proofs", vec![good.clone(), proof(&token, "2")], "multiple_proofs"),
        ("the same proof twice", vec![good.clone(), good.clone()], "multiple_proofs"),
        ("joined proofs", vec![format!("{good}, {}", proof(&token, "2"))], "multiple_proofs"),
        ("a large proof", changed(json!({ "jti": "x".repeat(9000) })), "proof_too_large"),
        ("the token as proof", vec![token.clone()], "proof_malformed"),
        ("another typ", signed(json!({ "typ": "JWT" })), "proof_malformed"),
        ("no typ", signed(json!({ "typ": null })), "proof_malformed"),
        ("alg none", signed(json!({ "alg": "none" })), "proof_algorithm_not_allowed"),
        ("a symmetric alg", signed(json!({ "alg": "HS256" })), "proof_algorithm_not_allowed"),
        ("an alg of another key", signed(json!({ "alg": "RS256" })), "proof_signature_invalid"),
        ("no jwk", signed(json!({ "jwk": null })), "proof_malformed"),
        ("a private jwk", signed(json!({ "jwk": private })), "proof_key_unusable"),
        ("a symmetric jwk", signed(json!({ "jwk": { "kty": "oct", "k": "AQ" } })), "proof_key_unusable"),
        ("crit", signed(json!({ "crit": ["x"], "x": 1 })), "proof_malformed"),
        ("a forged signature", vec![forged], "proof_signature_invalid"),
        ("another key", vec![other.proof(&token, NOW, json!({}))], "proof_key_mismatch"),
        ("another key with our jwk", vec![other.sign(&own.header(), &claims(&token, NOW))], "proof_signature_invalid"),
        ("no jti", changed(json!({ "jti": null })), "proof_malformed"),
        ("another method", changed(json!({ "htm": "POST" })), "proof_htm_mismatch"),
        ("the method in lower case", changed(json!({ "htm": "get" })), "proof_htm_mismatch"),
        ("another path", changed(json!({ "htu": "https://api.acme.com/orders" })), "proof_htu_mismatch"),
        ("another host", changed(json!({ "htu": "https://evil.example/" })), "proof_htu_mismatch"),
        ("another scheme", changed(json!({ "htu": "http://api.acme.com/" })), "proof_htu_mismatch"),
        ("another port", changed(json!({ "htu": "https://api.acme.com:8443/" })), "proof_htu_mismatch"),
        ("a relative htu", changed(json!({ "htu": "/" })), "proof_htu_mismatch"),
        ("no ath", changed(json!({ "ath": null })), "proof_malformed"),
        ("a proof of another token", vec![own.proof(&other_token, NOW, json!({}))], "proof_ath_mismatch"),
        ("an ath with padding", changed(json!({ "ath": "AA==" })), "proof_ath_mismatch"),
        ("too old", changed(json!({ "iat": NOW - 61 })), "proof_expired"),
        ("too far in the future", changed(json!({ "iat": NOW + 61 })), "proof_issued_in_the_future"),
        ("past exp", changed(json!({ "exp": NOW })), "proof_expired"),
        ("future nbf", changed(json!({ "nbf": NOW + 1 })), "proof_issued_in_the_future"),
        ("no iat", changed(json!({ "iat": null })), "proof_malformed"),
        ("iat as a string", changed(json!({ "iat": NOW.to_string() })), "proof_malformed"),
    ];
    for cached in [false, true] {
        for (name, proofs, expected) in &rows {
            let mut engine = Harness::new(&if_bound());
            if cached {
                let warm = request("DPoP", &token, &[&proof(&token, &format!("warm, {name}"))]);
                assert_eq!(engine.reason(&warm), "authorized");
            }
            let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
            let decision = engine.decide(&request("DPoP", &token, &proofs));
            assert_eq!(decision.audit.reason(), *expected, "{name}, cached: {cached}");
            assert_eq!(status_of(&decision), 401, "{name}");
            // What was rejected is not used up.
            let unused = proof(&token, &format!("unused, {name}, {cached}"));
            assert_eq!(engine.reason(&request("DPoP", &token, &[&unused])), "authorized", "{name}");
        }
    }
}

#[test]
fn the_window_includes_its_ends() {
    let token = bound();
    let proof = |id: &str, iat: i64| client().proof(&token, NOW, json!({ "jti": id, "iat": iat }));
    let now = i64::try_from(NOW).unwrap();
    let mut engine = Harness::new(&if_bound());
    assert_eq!(engine.reason(&request("DPoP", &token, &[&proof("old", now - 60)])), "authorized");
    assert_eq!(engine.reason(&request("DPoP", &token, &[&proof("new", now + 60)])), "authorized");
    // The newest is accepted for the longest time, and only once in it.
    for (seconds, expected) in [(1, "proof_replayed"), (119, "proof_replayed"), (1, "proof_expired")] {
        engine.pass(Duration::from_secs(seconds));
        assert_eq!(engine.reason(&request("DPoP", &token, &[&proof("new", now + 60)])), expected, "{seconds}");
    }
}

#[test]
fn a_proof_for_this_request_is_one_whatever_its_query_and_spelling() {
    let token = bound();
    for (number, (path, htu)) in [
        ("/", "https://api.acme.com"),
        ("/?q=1", "https://api.acme.com/"),
        ("/?q=1", "https://api.acme.com/?q=2#f"),
        ("/a/%7Eb", "HTTPS://API.ACME.COM:443/x/../a/~b"),
        ("/a%20b", "https://api.acme.com/a b"),
    ]
    .into_iter()
    .enumerate()
    {
        let proof = client().proof(&token, NOW, json!({ "htu": htu, "jti": number.to_string() }));
        let request = with_target("GET", "10.1.2.3:8080", path, "dpop", &token, &[&proof]);
        assert_eq!(Harness::new(&if_bound()).reason(&request), "authorized", "{path} {htu}");
    }
    // gRPC
    let path = "/acme.Orders/List";
    let changes = json!({ "htm": "POST", "htu": format!("https://api.acme.com{path}") });
    let request = with_target("POST", "api.acme.com", path, "DPoP", &token, &[&client().proof(&token, NOW, changes)]);
    assert_eq!(Harness::new(&if_bound()).reason(&request), "authorized");
}

#[test]
fn each_mode_accepts_the_tokens_and_schemes_that_it_names() {
    let unbound = SigningKey::a("k1").token(&payload(NOW));
    let key = client().thumbprint();
    let malformed = token(json!({ "jkt": "short" }));
    let both = token(json!({ "jkt": key, "x5t#S256": CERTIFICATE }));
    let named = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "token_type": "DPoP" })));
    let bound_and_named =
        SigningKey::a("k1").token(&with(&payload(NOW), json!({ "token_type": "DPoP", "cnf": { "jkt": key } })));
    let bound = bound();
    let rows: [(&str, &str, &str, bool, [&str; 3]); 11] = [
        // `off`, `if_bound`, `required`.
        ("Bearer", &unbound, "Bearer", false, ["authorized", "authorized", "token_not_bound"]),
        ("Bearer and a proof", &unbound, "Bearer", true, ["authorized", "authorized", "token_not_bound"]),
        ("unbound as DPoP", &unbound, "DPoP", true, ["token_missing", "token_not_bound_to_key", "token_not_bound"]),
        ("DPoP", &bound, "DPoP", true, ["token_missing", "authorized", "authorized"]),
        ("dpop", &bound, "dpop", true, ["token_missing", "authorized", "authorized"]),
        ("downgrade", &bound, "Bearer", false, ["sender_constrained", "dpop_scheme_required", "dpop_scheme_required"]),
        (
            "downgrade with a proof",
            &bound,
            "Bearer",
            true,
            ["sender_constrained", "dpop_scheme_required", "dpop_scheme_required"],
        ),
        (
            "malformed",
            &malformed,
            "DPoP",
            true,
            ["token_missing", "key_thumbprint_malformed", "key_thumbprint_malformed"],
        ),
        // mTLS is off.
        ("both", &both, "DPoP", true, ["token_missing", "sender_constrained", "sender_constrained"]),
        ("named DPoP", &named, "Bearer", false, ["sender_constrained"; 3]),
        ("bound and named", &bound_and_named, "DPoP", true, ["token_missing", "authorized", "authorized"]),
    ];
    for (at, mode) in ["off", "if_bound", "required"].into_iter().enumerate() {
        let constraint = match mode {
            "off" => json!({ "dpop": mode }),
            _ => json!({ "dpop": mode, "proofs": proofs(json!({})) }),
        };
        for (name, token, scheme, has_proof, expected) in rows {
            let proof = proof(token, &format!("{mode}, {name}"));
            let proofs: &[&str] = if has_proof { &[&proof] } else { &[] };
            let mut engine = Harness::new(&configuration(constraint.clone()));
            assert_eq!(engine.reason(&request(scheme, token, proofs)), expected[at], "{mode}: {name}");
        }
    }
}

#[test]
fn a_token_with_both_constraints_needs_both() {
    let token = token(json!({ "jkt": client().thumbprint(), "x5t#S256": CERTIFICATE }));
    let constraint = json!({ "mtls": "if_bound", "dpop": "if_bound", "proofs": proofs(json!({})) });
    for (digest, has_proof, expected) in [
        (Some(HEX), true, "authorized"),
        (None, true, "certificate_missing"),
        (Some(HEX), false, "proof_missing"),
        (None, false, "certificate_missing"),
    ] {
        let mut engine = Harness::new(&configuration(constraint.clone()));
        engine.attributes =
            Some(digest.map(|digest| (Attribute::PeerDigest, digest.as_bytes().to_vec())).into_iter().collect());
        let proof = proof(&token, "1");
        let proofs: &[&str] = if has_proof { &[&proof] } else { &[] };
        assert_eq!(engine.reason(&request("DPoP", &token, proofs)), expected);
    }
}

#[test]
fn a_proof_is_accepted_once_by_all_workers_and_after_a_reload() {
    let token = bound();
    let shared = SharedProofs::new(1);
    let (mut first, mut second) = (worker(&if_bound(), &shared), worker(&if_bound(), &shared));
    let one = request("DPoP", &token, &[&proof(&token, "1")]);
    assert_eq!(first.reason(&one), "authorized");
    assert_eq!((first.reason(&one), second.reason(&one)), ("proof_replayed", "proof_replayed"));
    // Of another request the same `jti` is the same proof.
    let again = client().proof(&token, NOW, json!({ "jti": "1", "htu": "https://api.acme.com/other" }));
    let again = with_target("GET", "api.acme.com", "/other", "DPoP", &token, &[&again]);
    assert_eq!(second.reason(&again), "proof_replayed");
    assert_eq!(second.reason(&request("DPoP", &token, &[&proof(&token, "2")])), "authorized");
    // A new configuration accepts older proofs.
    let longer = configuration(json!({ "dpop": "required", "proofs": proofs(json!({ "max_age": "300s" })) }));
    let mut reloaded = worker(&longer, &shared);
    assert_eq!(reloaded.reason(&one), "proof_replayed");
    reloaded.pass(Duration::from_secs(299));
    assert_eq!(reloaded.reason(&one), "proof_replayed");
    reloaded.pass(Duration::from_secs(2));
    assert_eq!(reloaded.reason(&one), "proof_expired");
    // The same `jti` of another client is another proof.
    let other = ProofSigner::new(2);
    let other_token = self::token(json!({ "jkt": other.thumbprint() }));
    let other_proof = other.proof(&other_token, NOW, json!({ "jti": "2" }));
    assert_eq!(first.reason(&request("DPoP", &other_token, &[&other_proof])), "authorized");
}

#[test]
fn a_full_memory_rejects_with_503_and_one_client_does_not_take_the_share_of_others() {
    let mut configuration = if_bound();
    configuration["replay_detection"] = json!({ "max_proofs": 16384 });
    let mut engine = Harness::new(&configuration);
    let token = bound();
    let other = SigningKey::a("k1")
        .token(&with(&payload(NOW), json!({ "cnf": { "jkt": client().thumbprint() }, "sub": "bob@acme.com" })));
    let rejected = (0..40_000).find_map(|number| {
        let decision = engine.decide(&request("DPoP", &token, &[&proof(&token, &number.to_string())]));
        (decision.audit.reason() != "authorized").then_some((number, decision))
    });
    let (accepted, decision) = rejected.expect("the memory has an end");
    assert!(accepted > 16384 / 16, "{accepted}");
    assert_eq!((decision.audit.reason(), status_of(&decision)), ("replay_detection_full", 503));
    assert_eq!(challenges(&decision), [""; 0]);
    assert!(response_of(&decision).header(&HeaderName::RETRY_AFTER).is_some());
    // It was not used up, and the next one is a replay if it was accepted.
    for number in 0..200 {
        let other = request("DPoP", &other, &[&proof(&other, &format!("other {number}"))]);
        assert_eq!(engine.reason(&other), "authorized", "{number}");
    }
    engine.pass(Duration::from_secs(61));
    let later = client().proof(&token, NOW + 61, json!({ "jti": accepted.to_string() }));
    assert_eq!(engine.reason(&request("DPoP", &token, &[&later])), "authorized");
}

#[test]
fn a_pending_request_does_not_find_its_own_proof_used() {
    let mut configuration = if_bound();
    configuration["providers"]["okta"]["upstream"] = json!("okta");
    configuration["providers"]["okta"]["jwks"] = json!({ "uri": "https://acme.okta.com/keys" });
    let mut engine = Harness::new(&configuration);
    let token = bound();
    for proof in ["1", "1", "2"] {
        let request = request("DPoP", &token, &[&self::proof(&token, proof)]);
        assert_eq!(engine.send(&request).1, None, "the keys are fetched");
    }
    engine.fetch(published(&key_set(&[&SigningKey::a("k1")])));
    engine.tick();
    let mut reasons: Vec<_> = engine.take_decided().iter().map(|(_, decision)| decision.audit.reason()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["authorized", "authorized", "proof_replayed"]);
}

#[test]
fn an_opaque_token_is_bound_by_its_introspection_response() {
    let mut configuration = if_bound();
    let provider = &mut configuration["providers"]["okta"];
    provider["upstream"] = json!("okta");
    provider["introspection"] = json!({ "uri": "https://acme.okta.com/introspect", "client_id": "gateway",
        "client_secret": { "env": "OKTA_CLIENT_SECRET" }, "opaque_tokens": true });
    let active = |changes: Value| {
        let response = json!({ "active": true, "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600, "sub": "alice" });
        call_response(200, with(&response, changes).to_string())
    };
    let bound = json!({ "cnf": { "jkt": client().thumbprint() }, "token_type": "DPoP" });
    let other = json!({ "cnf": { "jkt": ProofSigner::new(2).thumbprint() } });
    for (name, changes, scheme, has_proof, expected) in [
        ("bound", bound.clone(), "DPoP", true, "authorized"),
        ("bound, called Bearer", with(&bound, json!({ "token_type": "Bearer" })), "DPoP", true, "authorized"),
        ("no proof", bound.clone(), "DPoP", false, "proof_missing"),
        ("downgrade", bound.clone(), "Bearer", true, "dpop_scheme_required"),
        ("another key", other, "DPoP", true, "proof_key_mismatch"),
        ("unbound", json!({}), "DPoP", true, "token_not_bound_to_key"),
        ("unbound as Bearer", json!({}), "Bearer", false, "authorized"),
        ("named DPoP, unbound", json!({ "token_type": "DPoP" }), "DPoP", true, "sender_constrained"),
    ] {
        let mut engine = Harness::with(&configuration, Setup { environment: &environment, ..Setup::default() });
        let send = |engine: &mut Harness, id: &str| {
            let proof = proof("opaque", &format!("{name}, {id}"));
            let proofs: &[&str] = if has_proof { &[&proof] } else { &[] };
            engine.send(&request(scheme, "opaque", proofs)).1
        };
        assert_eq!(send(&mut engine, "1"), None, "{name}");
        let call = engine.tick_begins_a_call();
        engine.done(call.id, active(changes));
        engine.tick();
        let reasons: Vec<_> = engine.take_decided().iter().map(|(_, decision)| decision.audit.reason()).collect();
        assert_eq!(reasons, [expected], "{name}");
        // From the cache.
        assert_eq!(send(&mut engine, "2"), Some(expected), "{name}");
        let replayed =
            if expected == "authorized" && has_proof && scheme == "DPoP" { "proof_replayed" } else { expected };
        assert_eq!(send(&mut engine, "2"), Some(replayed), "{name}");
    }
}

#[test]
fn a_jwt_that_is_introspected_agrees_with_the_response_about_its_key() {
    let mut configuration = if_bound();
    let provider = &mut configuration["providers"]["okta"];
    provider["upstream"] = json!("okta");
    provider["introspection"] = json!({ "uri": "https://acme.okta.com/introspect", "client_id": "gateway",
        "client_secret": { "env": "OKTA_CLIENT_SECRET" } });
    configuration["default_rule"] = json!({ "introspect": true });
    let unbound = SigningKey::a("k1").token(&payload(NOW));
    let key = json!({ "jkt": client().thumbprint() });
    for (name, token, scheme, response, expected) in [
        ("bound", bound(), "DPoP", json!({ "cnf": key }), "authorized"),
        ("bound and named", bound(), "DPoP", json!({ "cnf": key, "token_type": "DPoP" }), "authorized"),
        ("not said", bound(), "DPoP", json!({}), "authorized"),
        ("Okta", bound(), "DPoP", json!({ "token_type": "Bearer" }), "authorized"),
        ("another key", bound(), "DPoP", json!({ "cnf": { "jkt": CERTIFICATE } }), "introspection_mismatch"),
        ("only the response is bound", unbound.clone(), "Bearer", json!({ "cnf": key }), "introspection_mismatch"),
        ("only the response is named", unbound, "Bearer", json!({ "token_type": "DPoP" }), "introspection_mismatch"),
    ] {
        let mut engine = Harness::with(&configuration, Setup { environment: &environment, ..Setup::default() });
        let proof = proof(&token, name);
        let proofs: &[&str] = if scheme == "DPoP" { &[&proof] } else { &[] };
        assert_eq!(engine.send(&request(scheme, &token, proofs)).1, None, "{name}");
        let call = engine.tick_begins_a_call();
        engine.done(call.id, call_response(200, with(&json!({ "active": true }), response).to_string()));
        engine.tick();
        let reasons: Vec<_> = engine.take_decided().iter().map(|(_, decision)| decision.audit.reason()).collect();
        assert_eq!(reasons, [expected], "{name}");
    }
}

#[test]
fn a_nonce_is_required_given_and_renewed() {
    let token = bound();
    let shared = SharedProofs::new(1);
    let configuration = requiring_nonces(None);
    let (mut first, mut second) = (worker(&configuration, &shared), worker(&configuration, &shared));
    let at = |engine: &mut Harness, seconds: u64, nonce: Option<&str>, id: &str| {
        engine.now = okta_proxy_wasm::unix_time::UnixTime::from_secs(NOW + seconds);
        let changes = json!({ "nonce": nonce, "jti": id, "iat": NOW + seconds });
        engine.decide(&request("DPoP", &token, &[&client().proof(&token, NOW, changes)]))
    };
    // NOW is the first second of a slot of 120 s.
    let missing = at(&mut first, 0, None, "1");
    assert_eq!((missing.audit.reason(), status_of(&missing)), ("nonce_required", 401));
    let algorithms = "algs=\"RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA\"";
    assert_eq!(
        challenges(&missing),
        [format!("DPoP realm=\"okta-proxy-wasm\", error=\"use_dpop_nonce\", {algorithms}")]
    );
    assert_eq!(response_of(&missing).header(&HeaderName::CACHE_CONTROL), Some("no-store"));
    let nonce = nonce_of(&missing).expect("a nonce");
    // Another worker made the nonce, and the proof with it is not used up by the first try.
    let accepted = at(&mut second, 0, Some(&nonce), "1");
    assert_eq!((accepted.audit.reason(), nonce_of(&accepted)), ("authorized", None));
    // In the next slot it is still accepted, and the client gets the next one.
    let renewed = at(&mut second, 120, Some(&nonce), "2");
    let next = nonce_of(&renewed).expect("a new nonce");
    assert_eq!((renewed.audit.reason(), next != nonce), ("authorized", true));
    let cache_control = renewed.response_headers.iter().find(|(name, _)| *name == HeaderName::CACHE_CONTROL);
    assert_eq!(cache_control.map(|(_, value)| value.as_str()), Some("no-store"));
    // A denial renews it too.
    let replayed = at(&mut second, 121, Some(&nonce), "2");
    assert_eq!((replayed.audit.reason(), nonce_of(&replayed)), ("proof_replayed", Some(next.clone())));
    let late = at(&mut second, 240, Some(&nonce), "3");
    assert_eq!((late.audit.reason(), nonce_of(&late).is_some()), ("nonce_invalid", true));
    assert_eq!(at(&mut first, 240, Some(&next), "4").audit.reason(), "authorized");
    for (wrong, id) in [("", "5"), ("x", "6"), (&nonce[1..], "7"), (&*format!("{next}A"), "8")] {
        let expected = if wrong.is_empty() { "proof_malformed" } else { "nonce_invalid" };
        assert_eq!(at(&mut first, 240, Some(wrong), id).audit.reason(), expected, "{wrong}");
    }
}

#[test]
fn gateways_with_the_same_key_accept_each_others_nonces_and_no_others() {
    let token = bound();
    let nonce = |engine: &mut Harness, nonce: Option<&str>, id: &str| {
        let proof = client().proof(&token, NOW, json!({ "nonce": nonce, "jti": id }));
        let decision = engine.decide(&request("DPoP", &token, &[&proof]));
        (decision.audit.reason(), nonce_of(&decision))
    };
    let with_key = requiring_nonces(Some("KEY"));
    let mut one = worker(&with_key, &SharedProofs::new(1));
    let given = nonce(&mut one, None, "1").1.expect("a nonce");
    for (configuration, secret, expected) in [
        (with_key, 2, "authorized"),
        (requiring_nonces(Some("OTHER_KEY")), 1, "nonce_invalid"),
        (requiring_nonces(None), 1, "nonce_invalid"),
    ] {
        let mut other = worker(&configuration, &SharedProofs::new(secret));
        assert_eq!(nonce(&mut other, Some(&given), "2").0, expected);
    }
    let of_process = requiring_nonces(None);
    let given = nonce(&mut worker(&of_process, &SharedProofs::new(1)), None, "1").1.expect("a nonce");
    for (secret, expected) in [(1, "authorized"), (2, "nonce_invalid")] {
        let mut other = worker(&of_process, &SharedProofs::new(secret));
        assert_eq!(nonce(&mut other, Some(&given), "2").0, expected, "the secret of process {secret}");
    }
}

#[test]
fn challenges_name_the_schemes_that_help() {
    let modes = |mode: &str| {
        configuration(json!({ "dpop": mode, "proofs": proofs(json!({ "algorithms": ["ES256", "EdDSA", "Ed25519"] })) }))
    };
    let unbound = SigningKey::a("k1").token(&payload(NOW));
    let expired =
        SigningKey::a("k1").token(&with(&payload(NOW - 10_000), json!({ "cnf": { "jkt": client().thumbprint() } })));
    let bound = bound();
    let bearer = |error: &str| format!("Bearer realm=\"okta-proxy-wasm\"{error}");
    let dpop = |error: &str| format!("DPoP realm=\"okta-proxy-wasm\"{error}, algs=\"ES256 EdDSA\"");
    let invalid = ", error=\"invalid_token\"";
    let none = head(&[(":method", "GET"), (":authority", "api.acme.com"), (":path", "/")]);
    let twice = head(&[(":method", "GET"), (":path", "/"), ("authorization", "DPoP a"), ("authorization", "Bearer b")]);
    let malformed = ", error=\"invalid_request\"";
    for (mode, request, expected) in [
        ("if_bound", none.clone(), vec![bearer(""), dpop("")]),
        ("required", none, vec![dpop("")]),
        ("if_bound", request("Bearer", &bound, &[]), vec![bearer(invalid), dpop("")]),
        ("required", request("Bearer", &unbound, &[]), vec![dpop(invalid)]),
        ("if_bound", request("DPoP", &unbound, &[]), vec![dpop(invalid)]),
        ("if_bound", request("DPoP", &expired, &[]), vec![dpop(invalid)]),
        ("if_bound", request("DPoP", &bound, &[]), vec![dpop(", error=\"invalid_dpop_proof\"")]),
        ("if_bound", twice.clone(), vec![bearer(malformed)]),
        ("required", twice, vec![dpop(malformed)]),
    ] {
        let decision = Harness::new(&modes(mode)).decide(&request);
        assert_eq!(challenges(&decision), expected, "{mode} {}", decision.audit.reason());
    }
}

#[test]
fn the_backend_gets_neither_the_proof_nor_the_token() {
    let mut engine = Harness::new(&if_bound());
    let token = bound();
    let public = with_target("GET", "api.acme.com", "/public", "DPoP", "x", &["p", "q"]);
    for request in [request("DPoP", &token, &[&proof(&token, "1")]), public] {
        let decision = engine.decide(&request);
        let edits: Vec<HeaderEdit> = edits_of(&decision).iter().cloned().collect();
        for name in ["dpop", "authorization"] {
            assert!(edits.contains(&HeaderEdit::Remove(name.to_owned())), "{name} {edits:?}");
        }
    }
    assert!(engine.engine.is_managed_trailer("DPoP"));
    let unbound = SigningKey::a("k1").token(&payload(NOW));
    assert!(!Harness::new(&configuration(json!({}))).engine.is_managed_trailer("DPoP"));
    let decision = engine.decide(&request("Bearer", &unbound, &["unread"]));
    assert!(edits_of(&decision).iter().any(|edit| *edit == HeaderEdit::Remove(String::from("dpop"))));
}

#[test]
fn a_known_key_is_parsed_once_and_every_proof_is_verified() {
    let mut engine = Harness::new(&if_bound());
    let token = bound();
    for number in 0..3 {
        assert_eq!(engine.reason(&request("DPoP", &token, &[&proof(&token, &number.to_string())])), "authorized");
    }
    assert_eq!(engine.signatures_verified(), 1 + 3, "the token once, each proof");
    // What fails another check costs no verification.
    for proof in
        [client().proof(&token, NOW, json!({ "htm": "PUT" })), ProofSigner::new(2).proof(&token, NOW, json!({}))]
    {
        engine.decide(&request("DPoP", &token, &[&proof]));
    }
    assert_eq!(engine.signatures_verified(), 1 + 3);
}
