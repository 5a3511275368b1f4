//! Groups L and K2: responses of an introspection endpoint, which endpoint receives a token, and which tokens a response
//! applies to.

use okta_proxy_wasm::callout::{CalloutResult, HttpResponse, TransportError};
use okta_proxy_wasm::engine::{Callout, LeaseOutcome, Message, Sequence};
use serde_json::{Value, json};

use super::{
    CLIENT_SECRET, Decision, NOW, OTHER_ISSUER, Scene, StreamId, claiming, row, saying, status_for, two_issuers,
};
use crate::engine_harness::{call_response as said, retry_after_of, status_of};
use crate::forge::Forge;
use crate::signing::{AUDIENCE, ISSUER, payload, with};

const OPAQUE: &str = "opaque-token-of-alice";

/// Both issuers are asked, the first one about opaque tokens too. Every rule asks.
fn introspecting() -> Value {
    let mut configuration = two_issuers();
    for (name, host, takes_opaque) in [("a", "a.example", true), ("b", "b.example", false)] {
        configuration["providers"][name]["upstream"] = json!(format!("cluster-{name}"));
        configuration["providers"][name]["introspection"] = json!({
            "uri": format!("https://{host}/introspect"), "client_id": "gateway",
            "client_secret": { "env": "CLIENT_SECRET" }, "opaque_tokens": takes_opaque });
    }
    configuration["default_rule"] = json!({ "introspect": true });
    configuration
}

/// A good answer, some of its members changed; `null` removes one.
fn active(changes: Value) -> CalloutResult {
    let answer = json!({ "active": true, "token_type": "Bearer", "scope": "read:accounts", "client_id": "0oa1client",
        "sub": "alice@acme.com", "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 3600 });
    said(200, with(&answer, changes).to_string())
}

impl Scene {
    fn calls(&mut self) -> Vec<Callout> {
        self.harness.tick().calls
    }

    /// A request that has to wait, and the call that it leads to.
    fn start_call(&mut self, token: &str) -> (StreamId, Callout) {
        let stream = self.bearer(token).expect_err("it waits");
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1);
        (stream, calls.remove(0))
    }

    fn end(&mut self, call: &Callout, outcome: CalloutResult) {
        self.done(call.id, outcome);
    }

    /// Ends a call that has a lease. Returns the name of the record of active responses about its token.
    fn end_with_lease(&mut self, call: &Callout, outcome: CalloutResult) -> String {
        self.lease_done(call.id, LeaseOutcome::Acquired(Sequence::new(1)));
        self.done(call.id, outcome).shared_response.expect("a response to share").0.active
    }

    /// What becomes of a token about which this is said.
    fn decision_after(&mut self, token: &str, outcome: CalloutResult) -> &Decision {
        let (stream, call) = self.start_call(token);
        self.end(&call, outcome);
        self.decision_of(stream).expect("it is decided")
    }
}

/// The status of an answer, for which a 503 must say when to come back.
fn status(decision: &Decision) -> u16 {
    let status = status_of(decision);
    assert_eq!(retry_after_of(decision).is_some(), status == 503);
    status
}

/// Each answer to a question about each of these tokens, and the reason that is expected.
fn check_responses(tokens: &[&str], rows: Vec<(&'static str, &'static str, CalloutResult)>) {
    for (label, expected, outcome) in rows {
        for token in tokens {
            let mut scene = Scene::new(&introspecting());
            let decision = scene.decision_after(token, outcome.clone());
            assert_eq!((decision.audit.reason(), status(decision)), (expected, status_for(expected)), "{label}");
        }
    }
}

#[test]
fn only_active_true_makes_a_token_active() {
    let body = |label, body: &str| (label, "introspection_unavailable", said(200, body));
    check_responses(
        &[OPAQUE, &claiming(json!({}))],
        vec![
            ("L1 the control", "authorized", active(json!({}))),
            ("L1 inactive", "token_inactive", said(200, r#"{"active":false}"#)),
            ("L1 inactive, and what it was", "token_inactive", active(json!({ "active": false }))),
            body("L1 \"true\"", r#"{"active":"true"}"#),
            body("L1 1", r#"{"active":1}"#),
            body("L1 null", r#"{"active":null}"#),
            body("L1 missing", r#"{"sub":"alice@acme.com"}"#),
            body("L1 in capitals", r#"{"ACTIVE":true}"#),
            body("L1 twice", r#"{"active":false,"active":true}"#),
            body("L1 twice the other way", r#"{"active":true,"active":false}"#),
            body("L1 twice, escaped", r#"{"active":true,"\u0061ctive":false}"#),
            body("L1 in a list", r#"[{"active":true}]"#),
            body("L1 further in", r#"{"token":{"active":true}}"#),
            body("L1 alone", "true"),
            body("L1 with junk behind", r#"{"active":true} {}"#),
            body("L1 with a byte order mark", "\u{feff}{\"active\":true}"),
        ],
    );
}

#[test]
fn failing_introspection_endpoint_allows_no_request_and_rejects_no_token() {
    let good = active(json!({}));
    let Ok(HttpResponse { body, .. }) = &good else { panic!("an answer") };
    let unavailable = |label, outcome| (label, "introspection_unavailable", outcome);
    check_responses(
        &[OPAQUE, &claiming(json!({}))],
        vec![
            unavailable("L2 HTML", said(200, "<html><body>{\"active\":true}</body></html>")),
            unavailable("L2 other JSON", said(200, r#"{"error":"invalid_client"}"#)),
            unavailable("L2 nothing", said(200, "")),
            unavailable("L2 cut off", said(200, &body[..body.len() - 1])),
            unavailable("L2 201", said(201, body.clone())),
            unavailable("L2 206", said(206, body.clone())),
            unavailable("L2 302", said(302, body.clone())),
            unavailable("L2 401", said(401, body.clone())),
            unavailable("L2 403", said(403, body.clone())),
            unavailable("L2 429", said(429, body.clone())),
            unavailable("L2 500", said(500, body.clone())),
            unavailable("L2 timeout", Err(TransportError::TimedOut)),
            unavailable("L2 no connection", Err(TransportError::ConnectionFailed)),
        ],
    );
}

#[test]
fn introspection_response_with_invalid_claims_is_rejected() {
    check_responses(
        &[OPAQUE],
        vec![
            ("L3 iss", "issuer_unknown", active(json!({ "iss": OTHER_ISSUER }))),
            ("L3 iss with a slash", "issuer_unknown", active(json!({ "iss": format!("{ISSUER}/") }))),
            ("L3 iss is a list", "issuer_malformed", active(json!({ "iss": [ISSUER] }))),
            ("L3 aud", "audience_unexpected", active(json!({ "aud": "api://other" }))),
            ("L3 no aud", "audience_missing", active(json!({ "aud": null }))),
            ("L3 aud is a number", "audience_malformed", active(json!({ "aud": 5 }))),
            ("L3 exp", "token_expired", active(json!({ "exp": NOW - 3600 }))),
            ("L3 exp is text", "time_malformed", active(json!({ "exp": "9999999999" }))),
            ("L3 token_type", "not_an_access_token", active(json!({ "token_type": "refresh_token" }))),
            ("L3 bound to a key", "sender_constrained", active(json!({ "cnf": { "jkt": "x" } }))),
        ],
    );
    let mut only_ours = introspecting();
    only_ours["providers"]["a"]["client_ids"] = json!(["0oa1client"]);
    let mut scene = Scene::new(&only_ours);
    let decision = scene.decision_after(OPAQUE, active(json!({ "client_id": "0oa9evil" })));
    assert_eq!((decision.audit.reason(), status(decision)), ("client_unexpected", 401), "L3 client_id");
    check_responses(
        &[&claiming(json!({ "jti": "AT.1" }))],
        vec![
            ("L3 another sub", "introspection_mismatch", active(json!({ "sub": "bob@acme.com" }))),
            ("L3 another jti", "introspection_mismatch", active(json!({ "jti": "AT.2" }))),
            ("L3 another client", "introspection_mismatch", active(json!({ "client_id": "0oa9evil" }))),
            ("L3 another issuer", "introspection_mismatch", active(json!({ "iss": OTHER_ISSUER }))),
            ("L3 sub is a number", "introspection_mismatch", active(json!({ "sub": 5 }))),
            ("L3 exp of a JWT is text", "time_malformed", active(json!({ "exp": "9999999999" }))),
        ],
    );
}

#[test]
fn introspection_request_has_the_token_in_the_body_and_the_secret_once() {
    for (way, secret_in_body) in [("client_secret_basic", false), ("client_secret_post", true)] {
        let mut configuration = introspecting();
        configuration["providers"]["a"]["introspection"]["client_auth"] = json!(way);
        let mut scene = Scene::new(&configuration);
        // What means something in a URL or a form is nothing but its text.
        let token = "opaque+evil/https//evil.example/~=";
        let (_, call) = scene.start_call(token);
        let request = &call.request;
        assert_eq!(request.address.to_string(), "https://a.example/introspect", "L4 token not in URL");
        assert_eq!(request.address.upstream, "cluster-a", "L4");
        let Message::PostForm { authorization, body } = &request.message else { panic!("L4 not a POST") };
        let names: Vec<&str> = body.reveal().split('&').map(|pair| pair.split_once('=').unwrap().0).collect();
        let expected: &[&str] = if secret_in_body {
            &["token", "token_type_hint", "client_id", "client_secret"]
        } else {
            &["token", "token_type_hint"]
        };
        assert_eq!(names, expected, "L4 {way}: one token and no more");
        assert_eq!((body.reveal().contains(CLIENT_SECRET), authorization.is_some()), (secret_in_body, !secret_in_body));
        let shown = format!("{request:?} {call:?} {:?}", scene.decided);
        assert!(!shown.contains(CLIENT_SECRET) && !shown.contains("evil"), "L4 {shown}");
    }
}

#[test]
fn format_of_a_token_does_not_select_its_validator() {
    let forged = Forge::RsaB.token("RS256", "rsa", json!({}), &payload(NOW));
    let foreign = claiming(json!({ "iss": "https://evil.example" }));
    for (label, expected, token) in [
        row("L5 a forged JWT is nobody's to ask about", "signature_invalid", forged),
        row("L5 of an issuer that is not configured", "issuer_unknown", foreign),
        row("L5 three parts that are no JWT", "token_encoding", "opaque.token.ofalice"),
        row("L5 a JWT that says nothing", "token_claims_json", saying("[]")),
    ] {
        let mut scene = Scene::new(&introspecting());
        assert_eq!(scene.reason(&token), expected, "{label}");
        assert_eq!(scene.calls(), [], "{label}: a call");
    }
    // Of no three parts: whoever takes opaque tokens is asked, and nobody else.
    for token in [OPAQUE, "a.b", "a.b.c.d.e", "ey.", "eyJhbGciOiJub25lIn0"] {
        let mut scene = Scene::new(&introspecting());
        let (_, call) = scene.start_call(token);
        let request = &call.request;
        assert_eq!(request.address.authority, "a.example", "L5 {token}");
        // It is whose the configuration says, also where it says to be the other's.
        scene.end(&call, active(json!({ "iss": OTHER_ISSUER })));
        assert_eq!(scene.decided[0].1.audit.reason(), "issuer_unknown", "L5 {token}");
    }
    let mut nobody = introspecting();
    nobody["providers"]["a"]["introspection"]["opaque_tokens"] = json!(false);
    let mut scene = Scene::new(&nobody);
    assert_eq!(scene.reason(OPAQUE), "token_opaque", "L5 nobody takes them");
    assert_eq!(scene.calls(), [], "L5 nobody is asked");
}

#[test]
fn introspection_response_of_one_issuer_does_not_apply_to_tokens_of_another() {
    let mut scene = Scene::new(&introspecting());
    let of_a = Forge::P256.token("ES256", "p256", json!({}), &payload(NOW));
    // The same keys, the same claims: only the issuer is another one.
    let of_b = Forge::P256.token("ES256", "p256", json!({}), &with(&payload(NOW), json!({ "iss": OTHER_ISSUER })));
    assert_eq!(scene.decision_after(&of_a, active(json!({}))).audit.reason(), "authorized", "K2 A says yes");
    let (stream, call) = scene.start_call(&of_b);
    let request = &call.request;
    assert_eq!(request.address.to_string(), "https://b.example/introspect", "K2 B is asked about its own");
    let of_b_record = scene.end_with_lease(&call, said(200, r#"{"active":false}"#));
    assert_eq!(scene.reason_of(stream), Some("token_inactive"), "K2 B says no");
    assert_eq!((scene.reason(&of_a), scene.reason(&of_b)), ("authorized", "token_inactive"), "K2 and so it stays");
    let (_, call) = scene.start_call(OPAQUE);
    let of_a_record = scene.end_with_lease(&call, active(json!({})));
    assert_ne!(of_a_record.split('/').next(), of_b_record.split('/').next(), "K2 in shared data too");
}
