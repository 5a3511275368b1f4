//! The trace of a request: each step once and in order, also where the request was parked and resumed.

use std::time::Duration;

use crate::engine_harness::{Harness, NOW as START, Setup, bearer, call_response, get, list_response, published};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, fetched_issuer, key_set, payload, with};
use okta_proxy_wasm::callout::TransportError;
use okta_proxy_wasm::engine::trace::{CheckResult, KeyLookUp, TraceEvent};
use okta_proxy_wasm::engine::{Decision, ParkingLimits, StreamId};
use serde_json::{Value, json};

/// The events of a JWT that is verified and allowed.
const VERIFIED: [&str; 10] =
    ["Rule", "Credential", "Jwt", "Provider", "Algorithm", "Keys", "Signature", "Claims", "Identity", "Requirement"];

fn recording(configuration: &Value, limits: ParkingLimits) -> Harness {
    let environment = |name: &str| (name == "OKTA_CLIENT_SECRET").then(|| String::from("hunter2"));
    let mut harness = Harness::with(configuration, Setup { environment: &environment, limits, ..Setup::default() });
    harness.engine = harness.engine.with_trace();
    harness
}

/// `/introspected` introspects JWTs, `/orders` requires a scope that the tokens lack.
fn introspecting() -> Value {
    json!({
        "providers": { "okta": {
            "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta",
            "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) },
            "introspection": { "client_id": "0oaGateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" } },
        } },
        "rules": [
            { "match": { "path": "/introspected" }, "introspect": true },
            { "match": { "path": "/orders" }, "require": { "scopes": ["orders:write"] } },
        ],
    })
}

fn active() -> String {
    json!({
        "active": true, "scope": "read:accounts", "client_id": "0oa1client", "sub": "alice@acme.com",
        "iss": ISSUER, "aud": AUDIENCE, "jti": "AT.k8vHqQ0p", "iat": START, "exp": START + 3600,
    })
    .to_string()
}

fn token() -> String {
    SigningKey::a("k1").token(&payload(START))
}

fn events(decision: &Decision) -> &[TraceEvent] {
    decision.trace.events()
}

/// The names of the events.
fn names(decision: &Decision) -> Vec<String> {
    let name = |event: &TraceEvent| {
        let text = format!("{event:?}");
        text.split(|character: char| !character.is_alphanumeric()).next().unwrap().to_owned()
    };
    events(decision).iter().map(name).collect()
}

/// The decision about a request that was parked.
fn resumed(harness: &Harness, stream: StreamId) -> &Decision {
    harness.decision_of(stream).unwrap()
}

#[test]
fn nothing_is_recorded_by_default() {
    let mut harness = Harness::new(&fetched_issuer());
    harness.fetch(published(&key_set(&[&SigningKey::a("k1")])));
    assert!(events(&harness.decide(&bearer(token()))).is_empty());
}

#[test]
fn cached_token_is_traced_without_its_verification() {
    let mut harness = recording(&fetched_issuer(), ParkingLimits::default());
    harness.fetch(published(&key_set(&[&SigningKey::a("k1")])));
    let verified = harness.decide(&bearer(token()));
    assert_eq!(names(&verified), VERIFIED);
    let cached = harness.decide(&bearer(token()));
    assert_eq!(names(&cached), ["Rule", "Credential", "CachedToken", "Identity", "Requirement"]);
}

#[test]
fn request_that_was_parked_for_keys_has_each_event_once() {
    let mut harness = recording(&fetched_issuer(), ParkingLimits::default());
    let (first, _) = harness.send(&bearer(token()));
    let (second, _) = harness.send(&bearer(token()));
    harness.fetch(published(&key_set(&[&SigningKey::a("k1")])));
    assert_eq!(names(resumed(&harness, first)), VERIFIED);
    let keys = events(resumed(&harness, first)).iter().find_map(|event| {
        let TraceEvent::Keys { count, result, .. } = event else { return None };
        Some((*count, result.clone()))
    });
    assert_eq!(keys, Some((1, KeyLookUp::Found(vec![Some(String::from("k1"))]))));
    // The first one's verification serves the second one.
    let cached = ["Rule", "Credential", "Jwt", "Provider", "Algorithm", "CachedToken", "Identity", "Requirement"];
    assert_eq!(names(resumed(&harness, second)), cached);
}

#[test]
fn signature_that_only_a_newer_key_verifies_is_traced_once() {
    let mut harness = recording(&fetched_issuer(), ParkingLimits::default());
    harness.fetch(published(&key_set(&[&SigningKey::b("k1")])));
    harness.pass(Duration::from_secs(60));
    let (stream, reason) = harness.send(&bearer(token()));
    assert_eq!(reason, None);
    harness.fetch(published(&key_set(&[&SigningKey::a("k1")])));
    assert_eq!(names(resumed(&harness, stream)), VERIFIED);
    let is_valid = |event: &TraceEvent| matches!(event, TraceEvent::Signature { is_valid: true });
    assert!(events(resumed(&harness, stream)).iter().any(is_valid));
    // No fetch ends in time for this one.
    harness.pass(Duration::from_secs(60));
    let (stream, reason) = harness.send(&bearer(SigningKey::b("k1").token(&payload(START))));
    assert_eq!(reason, None);
    while harness.reason_of(stream).is_none() {
        harness.pass(Duration::from_secs(1));
        harness.tick();
    }
    assert_eq!(resumed(&harness, stream).audit.reason(), "signature_invalid");
    assert_eq!(names(resumed(&harness, stream)), VERIFIED[..7]);
}

#[test]
fn jwt_that_is_introspected_keeps_the_events_of_its_verification() {
    let mut harness = recording(&introspecting(), ParkingLimits::default());
    let (stream, _) = harness.send(&get("/introspected", &token(), &[]));
    let call = harness.tick_begins_a_call();
    harness.done(call.id, call_response(200, active()));
    let mut expected = VERIFIED.to_vec();
    expected.insert(9, "Introspection");
    assert_eq!(names(resumed(&harness, stream)), expected);
    harness.pass(Duration::from_secs(1000));
    // Its token is in the cache, and its introspection response is not.
    let (stream, _) = harness.send(&get("/introspected", &token(), &[]));
    let call = harness.tick_begins_a_call();
    harness.done(call.id, call_response(200, r#"{"active":false}"#));
    let decision = resumed(&harness, stream);
    let expected = ["Rule", "Credential", "Jwt", "Provider", "Algorithm", "CachedToken", "Identity", "Introspection"];
    assert_eq!(names(decision), expected);
    let Some(TraceEvent::Introspection { result: CheckResult::Denied(reason), .. }) = events(decision).last() else {
        panic!("{:?}", events(decision))
    };
    assert_eq!(reason.name(), decision.audit.reason());
}

#[test]
fn opaque_token_is_traced_with_its_introspection_and_claims() {
    let trace_of = |response: String| {
        let mut harness = recording(&introspecting(), ParkingLimits::default());
        let (stream, _) = harness.send(&get("/", "opaque", &[]));
        let call = harness.tick_begins_a_call();
        harness.done(call.id, call_response(200, response));
        names(resumed(&harness, stream))
    };
    let begin = ["Rule", "Credential", "OpaqueToken", "Introspection"];
    assert_eq!(trace_of(active()), [&begin[..], &["Claims", "Identity", "Requirement"]].concat());
    assert_eq!(trace_of(String::from(r#"{"active":false}"#)), begin);
    assert_eq!(trace_of(String::from("nonsense")), begin);
    let other_audience = r#"{"active":true,"aud":"api://other"}"#;
    assert_eq!(trace_of(other_audience.to_owned()), [&begin[..], &["Claims"]].concat());
}

#[test]
fn revocation_list_is_traced_before_the_requirement() {
    let list = json!({ "revocations": { "upstream": "list", "uri": "https://list.acme.com/" } });
    let configuration = with(&fetched_issuer(), list);
    let mut harness = recording(&configuration, ParkingLimits::default());
    let (stream, _) = harness.send(&bearer(token()));
    let effects = harness.tick();
    harness.done(effects.fetches[0].id, published(&key_set(&[&SigningKey::a("k1")])));
    assert_eq!(harness.reason_of(stream), None, "the list is pending");
    harness.done(effects.poll.unwrap().id, list_response(200, &json!({ "revoked": [] })));
    let mut expected = VERIFIED.to_vec();
    expected.insert(9, "Revocation");
    assert_eq!(names(resumed(&harness, stream)), expected);
}

#[test]
fn denied_request_ends_with_the_event_that_denies_it() {
    let mut harness = recording(&introspecting(), ParkingLimits::default());
    let expired = SigningKey::a("k1").token(&payload(START - 9000));
    let stranger = SigningKey::b("k1").token(&payload(START));
    for (path, token, last, reason) in [
        ("/orders", &*token(), "Requirement", "scope_missing"),
        ("/", "", "Credential", "token_missing"),
        ("/", "x.y.z", "MalformedToken", "token_encoding"),
        ("/", &expired, "ClaimedExpiry", "token_expired"),
        ("/", &stranger, "Signature", "signature_invalid"),
        ("/%2f", "", "Rule", "path_escaped_slash"),
    ] {
        let decision = harness.decide(&get(path, token, &[]));
        assert_eq!(decision.audit.reason(), reason);
        assert_eq!(names(&decision).last().unwrap(), last, "{:?}", events(&decision));
    }
}

#[test]
fn request_that_may_not_be_pending_ends_with_that_event() {
    let limits = ParkingLimits { requests: 8, ..ParkingLimits::default() };
    let mut harness = recording(&fetched_issuer(), limits);
    let (parked, reason) = harness.send(&bearer(token()));
    assert_eq!(reason, None);
    let rejected = (0..8).find_map(|_| harness.request(&bearer(token())).ok()).unwrap();
    assert_eq!(rejected.audit.reason(), "too_many_pending");
    assert_eq!(names(&rejected), [&VERIFIED[..6], &["NotPending"]].concat());
    harness.fetch(Err(TransportError::ConnectionFailed));
    assert_eq!(names(resumed(&harness, parked)), VERIFIED[..6]);
    assert_eq!(resumed(&harness, parked).audit.reason(), "keys_unavailable");
}

#[test]
fn debug_output_contains_no_token() {
    let mut harness = recording(&introspecting(), ParkingLimits::default());
    let opaque = "2YotnFZFEjr1zCsicMWpAA";
    let (stream, _) = harness.send(&get("/", opaque, &[]));
    let call = harness.tick_begins_a_call();
    harness.done(call.id, call_response(200, active()));
    let stranger = SigningKey::a("k1").token(&with(&payload(START), json!({ "iss": "https://evil.example" })));
    let valid = token();
    let mut decisions = vec![resumed(&harness, stream).clone()];
    decisions.extend([&valid, &stranger].map(|token| harness.decide(&get("/", token, &[]))));
    for decision in &decisions {
        assert!(events(decision).len() > 3);
        let text = format!("{decision:?}");
        for secret in [opaque, "hunter2"].into_iter().chain(valid.split('.')).chain(stranger.split('.')) {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
