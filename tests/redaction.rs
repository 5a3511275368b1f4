//! Every decision under a capturing logger and every text that the core makes of one: none contains a byte of a token, of its
//! signature or of a configured value.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod engine_harness;
mod signing;

use std::iter;
use std::sync::Mutex;
use std::time::Duration;

use engine_harness::{Effects, Harness, NOW, Setup, bearer, get, head, response_of};
use log::{LevelFilter, Log, Metadata, Record};
use okta_proxy_wasm::callout::{HttpResponse, TransportError};
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{
    Callout, Decision, LeaseOutcome, LimitReached, Message, ParkingLimits, Sequence, StreamId, Verdict,
};
use serde_json::{Value, json};
use signing::{AUDIENCE, ISSUER, SigningKey, fetched_issuer, key_set, payload, with};

struct Capture(Mutex<String>);

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push_str(&format!("{}\n", record.args()));
    }

    fn flush(&self) {}
}

static CAPTURED: Capture = Capture(Mutex::new(String::new()));

fn capture() {
    // Another test of this file may have been first.
    let _ = log::set_logger(&CAPTURED);
    log::set_max_level(LevelFilter::Trace);
}

#[test]
fn no_decision_contains_a_token_in_any_form() {
    capture();
    let key = SigningKey::a("k1");
    let configuration = json!({ "providers": { "okta": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&key]) } } },
        "token": { "from_headers": [{ "name": "authorization", "scheme": "Bearer" }, { "name": "x-api-token" }],
            "from_cookies": ["access_token"], "from_params": ["access_token"] } });
    let mut engine = Harness::new(&configuration);
    let bent = |changes| key.token(&with(&payload(NOW), changes));
    let tokens = [
        bent(json!({})),
        bent(json!({ "exp": NOW - 7200 })),
        bent(json!({ "aud": "x" })),
        bent(json!({ "iss": "https://evil.example" })),
        bent(json!({ "iss": 5 })),
        SigningKey::b("k1").token(&payload(NOW)),
        SigningKey::b("k9").token(&payload(NOW)),
        key.token_with_header(&json!({ "alg": "none" }), &payload(NOW)),
        key.token_of_texts("{", "{}"),
        "opaque-9f8e7d6c5b4a39281706".to_owned(),
        format!("{}!!!!", bent(json!({}))),
        "secretsecretsecret ".repeat(1000),
    ];
    let (mut decided, mut admitted) = (0, 0);
    for (at, token) in tokens.iter().enumerate() {
        let authorized = |credential: String| ("authorization", credential);
        let heads: [&[(&str, String)]; 12] = [
            &[(":authority", if token.starts_with("eyJ") { token.clone() } else { "x".to_owned() })],
            &[(":path", format!("/x#access_token={token}"))],
            &[(":path", format!("/x/{}", if token.starts_with("eyJ") { token } else { "x" }))],
            &[(":path", format!("/x?access_token={token}"))],
            &[(":path", format!("/x?session=sessionsecret&access_token={token}"))],
            &[(":path", format!("/x?access_token={token}")), authorized(format!("Bearer {token}"))],
            &[("cookie", format!("sid=sessionsecret; access_token={token}"))],
            &[("cookie", format!("access_token={token}; access_token={token}"))],
            &[("x-api-token", token.clone()), (":path", format!("/x?token={token}"))],
            &[authorized(format!("Bearer {token}"))],
            &[authorized(format!("Bearer {token}, Bearer {token}"))],
            &[authorized(format!("Basic {token}"))],
        ];
        for fields in heads {
            let head = head(fields);
            let decision = engine.decide(&head);
            let reply = match &decision.verdict {
                Verdict::Deny(reply) => format!("{reply:?}{}", String::from_utf8_lossy(&reply.body)),
                Verdict::Allow(edits) => format!("{edits:?}"),
            };
            let texts = [reply, decision.audit.to_json(), format!("{decision:?}"), format!("{head:?}")];
            // What stays in a cookie or query that was rewritten is as secret as the token.
            for secret in token.split('.').filter(|part| part.len() > 8).chain(iter::once("sessionsecret")) {
                for text in &texts {
                    assert!(!text.contains(&secret[..8]), "token {at} shows in {text}");
                }
                assert!(!CAPTURED.0.lock().unwrap().contains(&secret[..8]), "token {at} was logged");
            }
            decided += 1;
            admitted += usize::from(matches!(decision.verdict, Verdict::Allow(_)));
        }
    }
    assert_eq!(decided, tokens.len() * 12);
    assert_eq!(admitted, 5, "the good token from each place is rewritten, and that shows nothing either");
}

/// The decisions that no key was needed for, or that came too late: what was parked shows as little.
#[test]
fn no_parked_token_is_printed_in_any_form() {
    let limits = ParkingLimits { requests: 2, bytes: usize::MAX };
    let mut engine = Harness::with(&fetched_issuer(), Setup { limits, ..Setup::default() });
    let token = SigningKey::a("k1").token(&payload(NOW));
    let head = bearer(&token);
    assert_eq!(engine.request(&head).err(), Some(StreamId(1)));
    let mut texts = Vec::new();
    let mut reasons = Vec::new();
    let mut take = |decision: &Decision| {
        let reply = response_of(decision);
        texts.extend([
            format!("{decision:?}"),
            decision.audit.to_json(),
            String::from_utf8_lossy(&reply.body).into_owned(),
        ]);
        reasons.push(decision.audit.reason());
    };
    take(&engine.decide(&head));
    engine.pass(Duration::from_secs(60));
    let late = engine.tick();
    let decided = engine.take_decided();
    assert_eq!(decided.len(), 1);
    take(&decided[0].1);
    engine.pass(Duration::from_secs(1));
    let failed = Err(TransportError::ConnectionFailed);
    let effects = engine.done(late.fetches[0].id, failed);
    let effects = format!("{effects:?} {late:?} {:?} {decided:?}", engine.decided);
    take(&engine.decide(&head));
    texts.push(effects);
    assert_eq!(reasons, ["too_many_pending", "pending_timed_out", "keys_unavailable"]);
    for part in token.split('.') {
        for text in &texts {
            assert!(!text.contains(&part[..8]), "{text}");
        }
    }
}

/// Refusals by a rule and passages that are only reported tell whom they are about, and show nothing of the token.
#[test]
fn no_token_that_a_rule_rejects_is_printed_in_any_form() {
    let token = SigningKey::a("k1").token(&payload(NOW));
    for (report_only, subject) in [(false, "deny"), (true, "allow")] {
        let configuration = json!({
            "providers": { "okta": { "issuer": ISSUER, "audiences": [AUDIENCE],
                "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } } },
            "rules": [{ "name": "r", "require": { "scopes": ["pay"] }, "report_only": report_only }],
        });
        let decision = Harness::new(&configuration).decide(&get("/", &token, &[]));
        let record = decision.audit.to_json();
        assert!(record.contains("alice@acme.com") && record.contains(subject), "{record}");
        let text = format!("{decision:?} {record}");
        for part in token.split('.') {
            assert!(!text.contains(&part[..8]), "{text}");
        }
    }
}

const CLIENT_SECRET: &str = "clientsecret-5Gh2kQ";
const P256_KEY: &str = include_str!("data/keys/ec-p256.pem");
/// What an endpoint says of a person beside what the log is to tell.
const PRIVATE: &str = "privatedetail-of-alice";
const OPAQUE: &str = "opaque-9f8e7d6c5b4a39281706";

fn environment(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some(CLIENT_SECRET.to_owned()),
        "KEY" => Some(P256_KEY.to_owned()),
        _ => None,
    }
}

/// An engine that asks about every token, in one of the ways to say who asks.
fn introspecting(who: &Value) -> Harness {
    let mut introspection =
        json!({ "client_id": "gateway", "requests_per_minute": 4, "cache_ttl": "1s", "stale_if_error": "1m" });
    for (name, value) in who.as_object().unwrap() {
        introspection[name] = value.clone();
    }
    let configuration = json!({
        "providers": { "okta": { "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta",
            "callout_headers": { "x-waf-key": { "env": "SECRET" } },
            "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "introspection": introspection } },
        "default_rule": { "introspect": true } });
    let loaded = config::load(configuration.to_string().as_bytes(), &environment).unwrap();
    assert!(!format!("{:?}", loaded.policy).contains(CLIENT_SECRET), "the policy shows the secret");
    Harness::with(&configuration, Setup { environment: &environment, ..Setup::default() })
}

/// An engine and every text that was made of what it did.
struct Recorder {
    engine: Harness,
    texts: Vec<String>,
    reasons: Vec<&'static str>,
}

impl Recorder {
    fn request(&mut self, token: &str) {
        let head = bearer(token);
        self.texts.push(format!("{head:?}"));
        if let Ok(decision) = self.engine.request(&head) {
            self.decided(&decision);
        }
    }

    fn decided(&mut self, decision: &Decision) {
        if let Verdict::Deny(reply) = &decision.verdict {
            self.texts.push(String::from_utf8_lossy(&reply.body).into_owned());
        }
        self.texts.extend([format!("{decision:?}"), decision.audit.to_json()]);
        self.reasons.push(decision.audit.reason());
    }

    fn take(&mut self, effects: Effects) -> Vec<Callout> {
        // The response for the other workers is theirs to read; what is shown of it is not.
        self.texts.push(format!("{effects:?}"));
        self.engine.take_decided().iter().for_each(|(_, decision)| self.decided(decision));
        effects.calls
    }

    /// The call that is due, and the secrets that it sends.
    fn call(&mut self) -> (Callout, Vec<String>) {
        let effects = self.engine.tick();
        let call = self.take(effects).remove(0);
        let Message::PostForm { authorization, body } = call.request.message.clone() else { panic!("a POST") };
        let assertion = body.reveal().split("client_assertion=").nth(1).into_iter().flat_map(|text| text.split('.'));
        let secrets =
            assertion.map(str::to_owned).chain(authorization.iter().map(|value| value.reveal()[6..].to_owned()));
        (call, secrets.collect())
    }
}

/// Whatever is asked and answered about a token, nothing shows that is only the issuer's and ours to know.
#[test]
fn no_introspection_request_or_response_is_printed_in_any_form() {
    capture();
    let answer = |changes: Value| {
        let members = json!({ "active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "alice@acme.com", "jti": "AT.1",
            "email": PRIVATE, "exp": NOW + 3600 });
        with(&members, changes).to_string()
    };
    let said = |status: u16, body: &str| {
        let headers = ["retry-after", "x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"];
        let response = HttpResponse::new(status, body.as_bytes().to_vec());
        Ok(headers.into_iter().fold(response, |response, name| response.with_header(name, Some(PRIVATE))))
    };
    let outcomes = [
        said(200, &answer(json!({}))),
        said(200, &answer(json!({ "active": false }))),
        said(200, &answer(json!({ "aud": PRIVATE }))),
        said(200, &answer(json!({ "iss": PRIVATE }))),
        said(200, &answer(json!({ "jti": "AT.2" }))),
        said(200, &answer(json!({ "exp": PRIVATE }))),
        said(200, &format!("<html>{PRIVATE}")),
        said(401, &format!("{{\"error_description\":\"{PRIVATE}\"}}")),
        said(429, PRIVATE),
        said(500, PRIVATE),
        Err(TransportError::TimedOut),
    ];
    let secret = |way: &str| json!({ "client_secret": { "env": "SECRET" }, "client_auth": way });
    let key = json!({ "private_key": { "env": "KEY" }, "client_auth": "private_key_jwt" });
    let jwt = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "jti": "AT.1" })));
    let mut reasons = Vec::new();
    for who in [secret("client_secret_basic"), secret("client_secret_post"), key] {
        for (token, outcome) in outcomes.iter().flat_map(|outcome| [(OPAQUE, outcome), (jwt.as_str(), outcome)]) {
            let mut recorder = Recorder { engine: introspecting(&who), texts: Vec::new(), reasons: Vec::new() };
            recorder.request(token);
            let (call, mut secrets) = recorder.call();
            recorder.engine.lease_done(call.id, LeaseOutcome::Acquired(Sequence::new(1)));
            let ended = recorder.engine.done(call.id, outcome.clone());
            recorder.take(ended);
            // Once more when it has aged: postponed, and then refused or stale, as others have spent the budget.
            recorder.engine.pass(Duration::from_secs(700));
            recorder.request(token);
            secrets.extend(recorder.call().1);
            let spent = LeaseOutcome::LimitReached(LimitReached::Exhausted(Duration::from_secs(30)));
            let postponed = recorder.engine.lease_done(call.id, spent);
            recorder.take(postponed);
            for seconds in [1, 60] {
                recorder.engine.pass(Duration::from_secs(seconds));
                let ticked = recorder.engine.tick();
                recorder.take(ticked);
            }
            let of_token = token.split('.').filter(|part| part.len() > 8);
            let of_key = P256_KEY.lines().filter(|line| !line.starts_with('-'));
            let hidden: Vec<&str> = of_token
                .chain(of_key)
                .chain(secrets.iter().map(String::as_str))
                .chain([CLIENT_SECRET, PRIVATE])
                .map(|secret| &secret[..8])
                .collect();
            let logged = CAPTURED.0.lock().unwrap().clone();
            for text in recorder.texts.iter().chain([&logged]) {
                let shown = hidden.iter().find(|secret| text.contains(**secret));
                assert_eq!(shown, None, "{outcome:?} shows in {text}");
            }
            assert_eq!(recorder.engine.pending(), 0, "{outcome:?}: somebody waits for ever");
            reasons.extend(recorder.reasons);
        }
    }
    reasons.sort_unstable();
    reasons.dedup();
    let all = [
        "authorized",
        "audience_unexpected",
        "introspection_mismatch",
        "introspection_unavailable",
        "issuer_unknown",
        "time_malformed",
        "token_inactive",
    ];
    assert!(all.iter().all(|reason| reasons.contains(reason)), "not every way was gone: {reasons:?}");
}
