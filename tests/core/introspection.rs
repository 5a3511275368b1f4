//! Token introspection and the revocation list: sequences of engine inputs with exact times.
//! Runs natively and, as wasm, under Node.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::engine_harness::{
    Harness, NOW as START, Setup, bearer, call_response as response, edits_of, get, head, list_response,
    retry_after_of, status_of,
};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use okta_proxy_wasm::callout::{CalloutResult, TransportError};
use okta_proxy_wasm::encoding::base64url_decode;
use okta_proxy_wasm::engine::{
    Attribute, BATCH, CallResult, Callout, Decision, LeaseOutcome, LimitReached, Message, ParkingLimits, StreamId,
};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

const SECRET: &str = "hunter2";

/// An engine, and the result of its last call.
struct Scene {
    harness: Harness,
    last_result: Option<CallResult>,
}

impl Deref for Scene {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.harness
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Harness {
        &mut self.harness
    }
}

/// Two providers, of which one introspects; `/asked` introspects, `/orders` wants a scope, `/open` is optional.
fn configuration(introspection: Value) -> Value {
    let members =
        with(&json!({ "client_id": "0oaGateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" } }), introspection);
    json!({
        "providers": { "okta": {
            "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta",
            "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "introspection": members,
        } },
        "rules": [
            { "name": "asked", "match": { "path": "/asked" }, "introspect": true },
            { "name": "orders", "match": { "path": "/orders" }, "require": { "scopes": ["orders:write"] } },
            { "name": "open", "match": { "path": "/open" }, "access": "optional" },
        ],
    })
}

/// An answer as Okta gives it.
fn active(changes: Value) -> CalloutResult {
    let members = json!({
        "active": true, "token_type": "Bearer", "scope": "read:accounts", "client_id": "0oa1client", "sub": "alice@acme.com",
        "iss": ISSUER, "aud": AUDIENCE, "jti": "AT.k8vHqQ0p", "iat": START, "exp": START + 3600,
    });
    response(200, with(&members, changes).to_string())
}

fn inactive() -> CalloutResult {
    response(200, r#"{"active":false}"#)
}

fn jwt() -> String {
    SigningKey::a("k1").token(&payload(START))
}

impl Scene {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(introspection: Value) -> Self {
        Self::of(&configuration(introspection), ParkingLimits::default())
    }

    fn of(configuration: &Value, limits: ParkingLimits) -> Self {
        Self::with_setup(configuration, Setup { limits, ..Setup::default() })
    }

    fn with_setup(configuration: &Value, setup: Setup<'_>) -> Self {
        let environment = |name: &str| (name == "OKTA_CLIENT_SECRET").then(|| SECRET.to_owned());
        let harness = Harness::with(configuration, Setup { environment: &environment, ..setup });
        Self { harness, last_result: None }
    }

    fn pass(&mut self, millis: u64) {
        self.harness.pass(Duration::from_millis(millis));
    }

    /// A request with this token for this path: its stream, and the reason if it was decided at once.
    fn request_for(&mut self, path: &str, token: &str) -> (StreamId, Option<&'static str>) {
        self.send(&get(path, token, &[("x-user-id", "root")]))
    }

    fn request(&mut self, token: &str) -> (StreamId, Option<&'static str>) {
        self.request_for("/", token)
    }

    fn tick(&mut self) -> Vec<Callout> {
        self.harness.tick().calls
    }

    fn answer(&mut self, call: &Callout, outcome: CalloutResult) {
        let effects = self.done(call.id, outcome);
        self.last_result = effects.call_result.or(self.last_result);
    }

    /// Asks for `token` at `path`, answers the one call that this takes, and says what became of it.
    fn introspect(&mut self, path: &str, token: &str, outcome: CalloutResult) -> &'static str {
        let (stream, reason) = self.request_for(path, token);
        assert_eq!(reason, None, "it waits");
        let call = self.tick_begins_a_call();
        assert_eq!(self.reason_of(stream), None, "it still waits");
        self.answer(&call, outcome);
        self.reason_of(stream).unwrap()
    }

    fn last(&self) -> &Decision {
        &self.decided.last().unwrap().1
    }

    /// Status and `Retry-After` of the last reply.
    fn last_reply(&self) -> (u16, Option<String>) {
        (status_of(self.last()), retry_after_of(self.last()).map(str::to_owned))
    }

    fn last_line(&self) -> Value {
        serde_json::from_str(&self.last().audit.to_json()).unwrap()
    }
}

#[test]
fn pending_request_uses_a_response_requested_after_the_clock_was_set_back() {
    let mut scene = Scene::with(json!({ "cache_ttl": "0s" }));
    let (stream, reason) = scene.request("opaque");
    assert_eq!(reason, None);
    let call = scene.tick_begins_a_call();
    scene.now = UnixTime::from_secs(START - 3600);
    assert_eq!(scene.tick(), [], "the call goes on");
    assert_eq!(scene.reason_of(stream), None);
    scene.pass(100);
    // One that comes now has to be asked about again.
    let (second, _) = scene.request("opaque");
    scene.answer(&call, active(json!({ "iat": null, "exp": null })));
    assert_eq!((scene.reason_of(stream), scene.reason_of(second)), (Some("authorized"), None));
    // And nobody waits until the clock has caught up.
    let call = scene.tick_begins_a_call();
    scene.now = UnixTime::from_secs(START - 7200);
    scene.tick();
    scene.pass(3100);
    scene.tick();
    assert_eq!(scene.reason_of(second), Some("introspection_unavailable"));
    scene.answer(&call, active(json!({})));
    assert_eq!(scene.reason_of(second), Some("introspection_unavailable"), "too late");
}

#[test]
fn active_opaque_token_is_allowed_with_its_identity_and_cached_for_cache_ttl() {
    let mut scene = Scene::new();
    assert_eq!(scene.introspect("/", "opaque", active(json!({}))), "authorized");
    let shown = format!("{:?}", edits_of(scene.last()).iter().collect::<Vec<_>>());
    for (header, value) in
        [("x-user-id", "alice@acme.com"), ("x-client-id", "0oa1client"), ("x-granted-scopes", "read:accounts")]
    {
        assert!(shown.contains(header) && shown.contains(value), "{shown}");
    }
    let line = scene.last_line();
    let wanted = ["authorized", "okta", "alice@acme.com", "0oa1client", "AT.k8vHqQ0p", "fresh"];
    let names = ["reason", "provider", "subject", "client", "jti", "introspection"];
    assert_eq!(names.map(|name| line[name].as_str().unwrap()), wanted);
    assert!(!line.to_string().contains("opaque"), "{line}");
    scene.pass(29_999);
    assert_eq!(scene.request("opaque").1, Some("authorized"));
    scene.pass(1);
    assert_eq!(scene.request("opaque").1, None, "it is asked about again");
    assert_eq!(scene.tick().len(), 1);
}

#[test]
fn introspection_request_holds_the_token_in_the_body_and_the_client_credentials() {
    let mut scene = Scene::new();
    scene.request("opa+que");
    let call = scene.tick_begins_a_call();
    assert_eq!(call.timeout, Duration::from_secs(2));
    let request = &call.request;
    assert_eq!(request.address.to_string(), format!("{ISSUER}/v1/introspect"));
    let Message::PostForm { authorization, body } = &request.message else { panic!("a POST") };
    assert_eq!(body.reveal(), "token=opa%2Bque&token_type_hint=access_token");
    assert!(authorization.as_ref().unwrap().reveal().starts_with("Basic "));
    assert!(!format!("{request:?} {call:?}").contains("opa"));
}

/// One tick may begin the calls of several providers; their call numbers are the same.
#[test]
fn assertions_of_one_tick_have_different_jti() {
    let provider = |audience: &str| {
        json!({ "okta": { "domain": "acme.okta.com" }, "audiences": [audience], "upstream": "okta",
            "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "introspection": { "client_id": "0oaGateway",
                "opaque_tokens": false, "client_auth": "private_key_jwt", "private_key": { "env": "KEY" } } })
    };
    let configuration = json!({ "providers": { "a": provider("api://a"), "b": provider("api://b") },
        "default_rule": { "introspect": true } });
    let key = |_: &str| Some(String::from(include_str!("../data/keys/ec-p256.pem")));
    let mut harness = Harness::with(&configuration, Setup { environment: &key, ..Setup::default() });
    for audience in ["api://a", "api://b"] {
        let token = SigningKey::a("k1").token(&with(&payload(START), json!({ "aud": audience })));
        assert_eq!(harness.send(&bearer(token)).1, None);
    }
    let assertions: Vec<Value> = harness.tick().calls.iter().map(assertion_claims).collect();
    assert_eq!(assertions.len(), 2);
    assert_eq!(assertions[0]["aud"], assertions[1]["aud"]);
    assert_ne!(assertions[0]["jti"], assertions[1]["jti"]);
}

/// The claims of the client assertion that a call sends.
fn assertion_claims(call: &Callout) -> Value {
    let Message::PostForm { body, .. } = &call.request.message else { panic!("a POST") };
    let assertion = body.reveal().split("client_assertion=").nth(1).expect("an assertion");
    let claims = assertion.split('.').nth(1).expect("claims");
    serde_json::from_slice(&base64url_decode(claims.as_bytes()).expect("base64url")).unwrap()
}

#[test]
fn opaque_token_is_rejected_by_the_claims_of_the_introspection_response() {
    let expired = json!({ "exp": START - 3600, "iat": START - 7200 });
    for (path, outcome, reason, status) in [
        ("/", inactive(), "token_inactive", 401),
        ("/", active(json!({ "aud": "api://other" })), "audience_unexpected", 401),
        ("/", active(json!({ "aud": null })), "audience_missing", 401),
        ("/", active(json!({ "iss": "https://evil.example" })), "issuer_unknown", 401),
        ("/", active(expired), "token_expired", 401),
        ("/", active(json!({ "cnf": { "jkt": "x" } })), "sender_constrained", 401),
        ("/", active(json!({ "token_type": "refresh_token" })), "not_an_access_token", 401),
        ("/orders", active(json!({})), "scope_missing", 403),
        ("/orders", active(json!({ "scope": "orders:write" })), "authorized", 200),
        ("/open", inactive(), "token_inactive", 401),
    ] {
        let mut scene = Scene::new();
        assert_eq!(scene.introspect(path, "opaque", outcome), reason);
        assert_eq!(scene.last_reply(), (status, None), "{reason}");
        let line = scene.last_line();
        let is_identity_told = line.get("subject").is_some();
        assert_eq!(is_identity_told, status != 401, "{line}");
        assert_eq!(scene.request_for(path, "opaque").1, Some(reason), "from the cache");
    }
}

#[test]
fn opaque_token_without_an_introspection_provider_is_rejected_at_once() {
    let mut nobody = configuration(json!({ "opaque_tokens": false }));
    let mut scene = Scene::of(&nobody, ParkingLimits::default());
    assert_eq!(scene.request("opaque").1, Some("token_opaque"));
    nobody["providers"]["okta"].as_object_mut().unwrap().remove("introspection");
    nobody["rules"] = json!([]);
    let mut scene = Scene::of(&nobody, ParkingLimits::default());
    assert_eq!(scene.request("opaque").1, Some("token_opaque"));
    assert_eq!(scene.tick().len(), 0);
}

#[test]
fn jwt_is_introspected_only_where_its_rule_requires_it() {
    let mut scene = Scene::new();
    assert_eq!(scene.request(&jwt()).1, Some("authorized"));
    assert_eq!(scene.last_line().get("introspection"), None);
    // It is remembered, and waits all the same.
    assert_eq!(scene.introspect("/asked", &jwt(), active(json!({}))), "authorized");
    assert_eq!(scene.last_line()["introspection"], "fresh");
    // What it grants is what it says itself.
    assert!(
        format!("{:?}", edits_of(scene.last()).iter().collect::<Vec<_>>()).contains("read:accounts write:accounts")
    );
    scene.pass(30_000);
    assert_eq!(scene.introspect("/asked", &jwt(), inactive()), "token_inactive", "revoked");
    assert_eq!(scene.last_reply(), (401, None));
    assert_eq!(scene.request(&jwt()).1, Some("authorized"), "where nobody asks");
}

#[test]
fn new_jwt_is_verified_before_introspection() {
    for cache in [json!({}), json!({ "max_tokens": 0 })] {
        let mut document = configuration(json!({}));
        document["cache"] = cache;
        let mut scene = Scene::of(&document, ParkingLimits::default());
        assert_eq!(scene.introspect("/asked", &jwt(), active(json!({}))), "authorized");
        for (answer, reason) in [
            (json!({ "sub": "bob@acme.com" }), "introspection_mismatch"),
            (json!({ "jti": "AT.other" }), "introspection_mismatch"),
            (json!({ "client_id": "0oa2" }), "introspection_mismatch"),
        ] {
            let mut scene = Scene::new();
            assert_eq!(scene.introspect("/asked", &jwt(), active(answer)), reason);
            assert_eq!(scene.last_reply(), (401, None));
        }
    }
}

#[test]
fn locally_invalid_jwt_causes_no_introspection_call() {
    let mut scene = Scene::new();
    let key = SigningKey::a("k1");
    for (token, reason) in [
        (SigningKey::b("k1").token(&payload(START)), "signature_invalid"),
        (key.token(&with(&payload(START), json!({ "exp": START - 3600 }))), "token_expired"),
        (key.token(&with(&payload(START), json!({ "aud": "api://other" }))), "audience_unexpected"),
        (key.token(&with(&payload(START), json!({ "iss": "https://evil.example" }))), "issuer_unknown"),
        (format!("{}x", "a.b.c"), "token_encoding"),
    ] {
        assert_eq!(scene.request_for("/asked", &token).1, Some(reason));
    }
    assert_eq!(scene.tick().len(), 0);
}

#[test]
fn introspection_only_tokens_are_introspected_in_any_format() {
    let org = "https://acme.okta.com";
    let introspection = json!({ "client_id": "0oaGateway", "client_secret": { "env": "OKTA_CLIENT_SECRET" } });
    let configuration = json!({ "providers": { "okta": {
        "okta": { "domain": "acme.okta.com", "authorization_server": "org" }, "audiences": [org], "upstream": "okta",
        "introspection": introspection,
    } } });
    let of_org =
        |changes| with(&json!({ "iss": org, "aud": org, "exp": START + 600, "sub": "alice@acme.com" }), changes);
    let (jwt, answer) = (SigningKey::a("k1").token(&of_org(json!({}))), || active(json!({ "iss": org, "aud": org })));
    let mut scene = Scene::of(&configuration, ParkingLimits::default());
    assert_eq!(scene.request(&jwt).1, None, "nothing of it is believed here");
    let call = scene.tick_begins_a_call();
    let request = &call.request;
    assert_eq!(request.address.to_string(), format!("{org}/oauth2/v1/introspect"));
    scene.answer(&call, inactive());
    assert_eq!(scene.decided.last().map(|(_, decision)| decision.audit.reason()), Some("token_inactive"));
    scene.pass(10_000);
    assert_eq!(scene.introspect("/", &jwt, active(json!({ "iss": org }))), "audience_unexpected");
    scene.pass(10_000);
    assert_eq!(scene.introspect("/", &jwt, active(json!({ "aud": org }))), "issuer_unknown");
    scene.pass(10_000);
    assert_eq!(scene.introspect("/", &jwt, answer()), "authorized");
    assert_eq!(scene.request(&jwt).1, Some("authorized"));
    assert_eq!(scene.introspect("/", "opaque", answer()), "authorized");
    // What says itself that it will not do costs no call.
    for (changes, reason) in [
        (json!({ "exp": START - 3600 }), "token_expired"),
        (json!({ "iss": "https://acme.okta.com/oauth2/default" }), "issuer_unknown"),
    ] {
        assert_eq!(scene.request(&SigningKey::a("k1").token(&of_org(changes))).1, Some(reason));
    }
    assert_eq!(scene.tick().len(), 0);
}

/// Two providers of the org authorization server, which alone judges its tokens.
#[test]
fn provider_selected_by_audience_is_introspected_with_its_audiences() {
    let org = "https://acme.okta.com";
    let provider = |client: &str, audience: &str, takes_opaque: bool| {
        json!({ "okta": { "domain": "acme.okta.com", "authorization_server": "org" }, "audiences": [audience],
            "upstream": "okta", "introspection": { "client_id": client, "opaque_tokens": takes_opaque,
                "client_secret": { "env": "OKTA_CLIENT_SECRET" } } })
    };
    let configuration =
        json!({ "providers": { "a": provider("0oaA", "api://a", true), "b": provider("0oaB", "api://b", false) } });
    let mut scene = Scene::of(&configuration, ParkingLimits::default());
    let jwt = |audience: Value| {
        SigningKey::a("k1").token(&json!({ "iss": org, "aud": audience, "exp": START + 600, "sub": "alice@acme.com" }))
    };
    let answer = |audience: Value| active(json!({ "iss": org, "aud": audience }));
    let mut ask = |token: &str, said: Value| {
        scene.pass(10_000);
        let (stream, decided) = scene.request(token);
        if let Some(reason) = decided {
            return (None, reason);
        }
        let call = scene.tick_begins_a_call();
        let asked =
            call.id.provider().and_then(|provider| scene.engine.provider_name(provider)).map(|name| name.to_string());
        scene.answer(&call, answer(said));
        (asked, scene.reason_of(stream).unwrap())
    };
    let (a, b) = (Some(String::from("a")), Some(String::from("b")));
    let (of_a, of_b, of_both) = (json!("api://a"), json!("api://b"), json!(["api://a", "api://b"]));
    assert_eq!(ask(&jwt(of_a.clone()), of_b.clone()), (a.clone(), "audience_unexpected"));
    assert_eq!(ask(&jwt(of_b.clone()), of_a.clone()), (b.clone(), "audience_unexpected"));
    assert_eq!(ask(&jwt(of_a.clone()), of_a.clone()), (a.clone(), "authorized"));
    assert_eq!(ask(&jwt(of_b.clone()), of_b.clone()), (b, "authorized"));
    assert_eq!(ask(&jwt(of_both.clone()), of_both.clone()), (None, "audience_ambiguous"));
    assert_eq!(ask(&jwt(json!("api://c")), of_a.clone()), (None, "audience_unexpected"));
    assert_eq!(ask("opaque-1", of_b), (a.clone(), "audience_unexpected"));
    assert_eq!(ask("opaque-2", of_a), (a.clone(), "authorized"));
    assert_eq!(ask("opaque-3", of_both), (a, "authorized"), "the operator chose the provider, not the token");
}

/// A rule has the provider of a JWT asked, with its own settings.
#[test]
fn rule_introspects_a_jwt_at_its_selected_provider() {
    let mut configuration = configuration(json!({ "opaque_tokens": false }));
    let mut second = configuration["providers"]["okta"].clone();
    second["audiences"] = json!(["api://second"]);
    second["jwks"]["inline"] = key_set(&[&SigningKey::b("k1")]);
    second["introspection"]["client_id"] = json!("0oaSecond");
    configuration["providers"]["second"] = second;
    for (key, audience, provider) in
        [(SigningKey::a("k1"), AUDIENCE, "okta"), (SigningKey::b("k1"), "api://second", "second")]
    {
        let mut scene = Scene::of(&configuration, ParkingLimits::default());
        let token = key.token(&with(&payload(START), json!({ "aud": audience })));
        let (stream, decided) = scene.request_for("/asked", &token);
        assert_eq!(decided, None);
        let call = scene.tick_begins_a_call();
        assert_eq!(
            call.id.provider().and_then(|provider| scene.engine.provider_name(provider)).as_deref(),
            Some(provider)
        );
        scene.answer(&call, inactive());
        assert_eq!(scene.reason_of(stream), Some("token_inactive"));
    }
}

#[test]
fn two_thousand_requests_with_one_uncached_token_cause_one_call_and_resume_in_batches() {
    for (path, token) in [("/", "opaque".to_owned()), ("/asked", jwt())] {
        let mut scene = Scene::new();
        for _ in 0..2000 {
            assert_eq!(scene.request_for(path, &token).1, None);
        }
        let call = scene.tick_begins_a_call();
        scene.pass(100);
        assert_eq!(scene.tick().len(), 0);
        scene.answer(&call, active(json!({})));
        let mut ticks = 0;
        while scene.pending() > 0 {
            assert_eq!(scene.next_tick, Some(scene.now.plus(Duration::from_millis(1))));
            scene.pass(1);
            assert_eq!(scene.tick().len(), 0, "nobody asks again");
            ticks += 1;
        }
        assert_eq!(ticks, (2000 - 1) / BATCH);
        let admitted = scene.decided.iter().filter(|(_, decision)| decision.audit.reason() == "authorized").count();
        assert_eq!((admitted, scene.decided.len()), (2000, 2000));
    }
}

#[test]
fn introspection_response_resumes_only_the_requests_pending_on_it() {
    let mut scene = Scene::new();
    let (first, _) = scene.request("first");
    let (second, _) = scene.request("second");
    let (gone, _) = scene.request("first");
    let calls = scene.tick();
    assert_eq!(calls.len(), 2);
    scene.close(gone);
    scene.answer(&calls[0], active(json!({})));
    assert_eq!([first, second, gone].map(|stream| scene.reason_of(stream)), [Some("authorized"), None, None]);
    scene.answer(&calls[1], inactive());
    assert_eq!(scene.reason_of(second), Some("token_inactive"));
    assert_eq!(scene.pending(), 0);
}

#[test]
fn failing_introspection_endpoint_is_a_503_with_retry_after() {
    for outcome in [
        Err(TransportError::ConnectionFailed),
        response(500, ""),
        response(401, ""),
        response(429, ""),
        response(302, ""),
        response(200, "<html>"),
        response(200, r#"{"active":"true"}"#),
        response(200, r#"{"active":true,"active":false}"#),
        response(200, r#"{"active":tr"#),
    ] {
        for (path, token) in [("/", "opaque".to_owned()), ("/asked", jwt())] {
            let mut scene = Scene::new();
            assert_eq!(scene.introspect(path, &token, outcome.clone()), "introspection_unavailable");
            let (status, retry_after) = scene.last_reply();
            assert_eq!(status, 503, "{outcome:?}");
            assert!(retry_after.is_some_and(|seconds| seconds.parse::<u32>().unwrap() >= 1));
            assert!(matches!(scene.last_result, Some(CallResult::Failed { .. })));
        }
    }
}

#[test]
fn request_pending_on_an_endless_call_ends_at_its_deadline() {
    let mut scene = Scene::new();
    let (stream, _) = scene.request("opaque");
    scene.tick_begins_a_call();
    scene.pass(2_999);
    scene.tick();
    assert_eq!(scene.reason_of(stream), None);
    scene.pass(1);
    scene.tick();
    assert_eq!((scene.reason_of(stream), scene.last_reply().0), (Some("introspection_unavailable"), 503));
    // Behind as many calls as there may be nobody asks for it at all.
    let mut scene = Scene::new();
    for token in 0..33 {
        scene.request(&format!("opaque{token}"));
    }
    let last = StreamId(33);
    assert_eq!(scene.tick().len(), 32);
    scene.pass(3_000);
    while scene.pending() > 0 {
        scene.tick();
        scene.pass(1);
    }
    assert_eq!(scene.decision_of(last).map(|decision| decision.audit.verdict()), Some("deny"));
    assert!(["pending_timed_out", "introspection_unavailable"].contains(&scene.reason_of(last).unwrap()));
}

#[test]
fn exhausted_budget_is_a_503_with_retry_after_and_cached_tokens_are_allowed() {
    let mut scene = Scene::with(json!({ "requests_per_minute": 2 }));
    assert_eq!(scene.introspect("/", "first", active(json!({}))), "authorized");
    assert_eq!(scene.request("second").1, Some("introspection_rate_limited"), "unknown ones have their half");
    let (status, retry_after) = scene.last_reply();
    assert_eq!(status, 503);
    assert!((50..=60).contains(&retry_after.unwrap().parse::<u32>().unwrap()));
    assert_eq!(scene.request("first").1, Some("authorized"));
    assert_eq!(scene.tick().len(), 0);
    scene.pass(30_000);
    assert_eq!(scene.introspect("/", "first", active(json!({}))), "authorized", "and the known ones theirs");
}

#[test]
fn stale_response_is_used_only_where_configured_and_is_marked() {
    for (settings, reason, marked) in [
        (json!({}), "introspection_unavailable", None),
        (json!({ "stale_if_error": "60s" }), "authorized", Some("stale")),
    ] {
        for (path, token) in [("/", "opaque".to_owned()), ("/asked", jwt())] {
            let mut scene = Scene::with(settings.clone());
            assert_eq!(scene.introspect(path, &token, active(json!({}))), "authorized");
            scene.pass(30_000);
            assert_eq!(scene.introspect(path, &token, response(500, "")), reason);
            assert_eq!(scene.last_line()["introspection"].as_str(), marked);
            // It says no: that ends it.
            scene.pass(2_000);
            assert_eq!(scene.introspect(path, &token, inactive()), "token_inactive");
        }
    }
}

#[test]
fn uncached_tokens_use_at_most_half_of_the_pending_capacity() {
    let limits = ParkingLimits { requests: 8, bytes: 1024 * 1024 };
    let mut scene = Scene::of(&configuration(json!({})), limits);
    assert_eq!(scene.introspect("/", "known", active(json!({}))), "authorized");
    scene.pass(30_000);
    for token in 0..4 {
        assert_eq!(scene.request(&format!("random{token}")).1, None);
    }
    assert_eq!(scene.request("random4").1, Some("too_many_pending"));
    assert_eq!(scene.last_reply().0, 503);
    for (path, token) in [("/", "known".to_owned()), ("/asked", jwt()), ("/", "known".to_owned()), ("/asked", jwt())] {
        assert_eq!(scene.request_for(path, &token).1, None);
    }
    assert_eq!(scene.request("known").1, Some("too_many_pending"));
    // Who leaves makes room for another of the same standing.
    scene.close(StreamId(2));
    assert_eq!(scene.request("random5").1, None);
}

#[test]
fn token_rejected_by_its_introspection_response_is_not_in_the_token_cache() {
    // The answer is all there is: once it is over the token is nothing.
    let mut scene = Scene::with(json!({ "cache_ttl": "0s", "inactive_cache_ttl": "0s" }));
    for _ in 0..3 {
        assert_eq!(scene.introspect("/", "opaque", active(json!({}))), "authorized");
        scene.pass(1);
    }
    assert_eq!(scene.introspect("/", "opaque", inactive()), "token_inactive");
}

#[test]
fn a_queued_call_is_dropped_when_the_last_request_that_waits_for_it_closes() {
    let mut scene = Scene::new();
    let (first, _) = scene.request("opaque");
    let (second, _) = scene.request("opaque");
    scene.close(first);
    assert_eq!(scene.tick().len(), 1, "another request waits");
    scene.close(second);
    // Thousands that come and go at once cost nothing, JWTs neither, and leave the minute's calls to others.
    let mut scene = Scene::with(json!({ "requests_per_minute": 10 }));
    for number in 0..3000 {
        let (stream, reason) = scene.request(&format!("random{number}"));
        assert_eq!(reason, None, "{number}");
        scene.close(stream);
        if number % 100 == 0 {
            assert_eq!(scene.tick().len(), 0, "{number}");
        }
    }
    let (stream, _) = scene.request_for("/asked", &jwt());
    scene.close(stream);
    assert_eq!(scene.tick().len(), 0);
    assert_eq!(scene.introspect("/", "honest", active(json!({}))), "authorized");
    let figures = scene.engine.stats(scene.now).providers[0].introspection.unwrap();
    assert_eq!((figures.asked, scene.pending()), (0, 0));
}

#[test]
fn request_rejected_for_a_full_parking_space_causes_no_call() {
    let limits = ParkingLimits { requests: 8, bytes: 1024 * 1024 };
    let mut scene = Scene::of(&configuration(json!({})), limits);
    for token in 0..4 {
        assert_eq!(scene.request(&format!("random{token}")).1, None);
    }
    for token in 4..8 {
        assert_eq!(scene.request(&format!("random{token}")).1, Some("too_many_pending"));
    }
    assert_eq!(scene.request("random0").1, Some("too_many_pending"), "and nobody else's call is dropped");
    assert_eq!(scene.tick().len(), 4);
}

/// A scene on a host that knows where requests come from, with a rule that wants to know the server's name.
struct Addressed(Scene);

impl Addressed {
    fn new(introspection: Value) -> Self {
        let mut document = configuration(introspection);
        let condition = "connection.requested_server_name == 'api.acme.com'";
        document["rules"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "name": "named", "match": { "path": "/named" }, "require": { "condition": condition } }));
        let setup = Setup { knows_addresses: true, ..Setup::default() };
        Self(Scene::with_setup(&document, setup))
    }

    /// What becomes of a request, and what the host was asked for.
    fn request(&mut self, path: &str, token: &str, address: &str) -> (Option<&'static str>, Vec<Attribute>) {
        let scene = &mut self.0;
        scene.attributes = Some(vec![
            (Attribute::SourceAddress, address.as_bytes().to_vec()),
            (Attribute::RequestedServerName, b"api.acme.com".to_vec()),
        ]);
        let (_, reason) = scene.send(&get(path, token, &[]));
        (reason, scene.asked.clone())
    }
}

#[test]
fn client_address_is_read_only_before_a_call_for_an_unknown_token() {
    let mut scene = Addressed::new(json!({ "requests_per_minute": 20 }));
    let address = Attribute::SourceAddress;
    let name = Attribute::RequestedServerName;
    assert_eq!(scene.request("/", &jwt(), "192.0.2.1:80"), (Some("authorized"), vec![]));
    assert_eq!(scene.request("/asked", &jwt(), "192.0.2.1:80"), (None, vec![]), "its client is in the token");
    assert_eq!(scene.request("/", "opaque", "192.0.2.1:80"), (None, vec![address]));
    assert_eq!(scene.request("/named", "another", "192.0.2.1:80"), (None, vec![name, address]));
    for call in scene.0.tick() {
        scene.0.answer(&call, active(json!({})));
    }
    assert_eq!(scene.request("/", "opaque", "192.0.2.1:80"), (Some("authorized"), vec![]), "cached");
    assert_eq!(scene.request("/named", "another", "192.0.2.1:80"), (Some("authorized"), vec![name]));
}

#[test]
fn address_over_its_share_gets_503_and_other_addresses_get_calls() {
    let mut scene = Addressed::new(json!({ "requests_per_minute": 60 }));
    let flood = |scene: &mut Addressed, of: &str, address: &str| {
        let mut calls = 0;
        for number in 0..100 {
            let (reason, _) = scene.request("/", &format!("random{number}-{of}"), address);
            assert!(reason.is_none_or(|reason| reason == "introspection_rate_limited"), "{reason:?}");
            for call in scene.0.tick() {
                calls += 1;
                scene.0.answer(&call, inactive());
            }
        }
        calls
    };
    assert_eq!(flood(&mut scene, "a", "192.0.2.1:80"), 10, "a third of the half of 60");
    // Ports are free to choose, and so are the addresses of an IPv6 network.
    assert_eq!(flood(&mut scene, "b", "192.0.2.1:81"), 0);
    assert_eq!(flood(&mut scene, "c", "[2001:db8::1]:80"), 7, "a third of the rest, and one for the fraction");
    assert_eq!(flood(&mut scene, "d", "[2001:db8::2]:80"), 0);
    assert_eq!(scene.request("/", "visitor", "192.0.2.2:80").0, None);
    // A host that has no address: what is left for all.
    assert_eq!(scene.request("/", "somebody", "").0, None);
    assert_eq!(scene.0.tick().len(), 2);
}

#[test]
fn token_cache_counts_hits_and_misses_of_jwts_only() {
    let mut scene = Scene::new();
    for token in ["a.b.c", "a.b", "~~"] {
        scene.request(token);
    }
    scene.tick();
    assert_eq!(scene.introspect("/", "another", active(json!({}))), "authorized");
    scene.request("another");
    let counted = |scene: &Scene| {
        let figures = scene.engine.stats(scene.now).token_cache;
        (figures.hits, figures.misses)
    };
    assert_eq!(counted(&scene), (0, 0), "opaque tokens, and what is no token");
    scene.request(&jwt());
    scene.request(&jwt());
    assert_eq!(counted(&scene), (1, 1));
}

#[test]
fn rate_limit_met_by_another_worker_is_an_endpoint_failure_and_not_an_exhausted_budget() {
    for (why, reason) in [
        (LeaseOutcome::LimitReached(LimitReached::Blocked(Duration::from_secs(20))), "introspection_unavailable"),
        (LeaseOutcome::LimitReached(LimitReached::Exhausted(Duration::from_secs(20))), "introspection_rate_limited"),
        (
            LeaseOutcome::LimitReached(LimitReached::ShareExhausted(Duration::from_secs(20))),
            "introspection_rate_limited",
        ),
    ] {
        let mut scene = Scene::new();
        let (stream, _) = scene.request("opaque");
        let call = scene.tick_begins_a_call();
        scene.lease_done(call.id, why);
        assert_eq!(scene.reason_of(stream), Some(reason));
        assert_eq!(scene.last_reply(), (503, Some("20".to_owned())));
    }
}

/// A list at this address.
fn with_list(introspection: Value) -> Value {
    let mut document = configuration(introspection);
    document["revocations"] = json!({ "uri": "https://sec.acme.com/revoked", "upstream": "sec" });
    document["readiness_path"] = json!("/ready");
    document
}

impl Scene {
    fn tick_begins_a_poll(&mut self) -> Callout {
        self.harness.tick().poll.unwrap()
    }

    fn list(&mut self, status: u16, body: &Value) {
        let poll = self.tick_begins_a_poll();
        self.done(poll.id, list_response(status, body));
    }

    fn is_ready(&mut self) -> bool {
        let response = self.local_response(&head(&[(":method", "GET"), (":path", "/ready")]));
        response.expect("the filter's own").status == 200
    }
}

#[test]
fn revoked_token_is_rejected_at_once_cached_or_not() {
    let mut scene = Scene::of(&with_list(json!({})), ParkingLimits::default());
    let (waits, reason) = scene.request(&jwt());
    assert_eq!(reason, None, "the first poll comes");
    scene.list(500, &json!({}));
    assert_eq!(scene.reason_of(waits), Some("revocations_unavailable"), "nobody knows who is on it");
    assert_eq!(scene.request(&jwt()).1, Some("revocations_unavailable"));
    assert_eq!(scene.last_reply().0, 503);
    assert!(scene.last_reply().1.is_some() && !scene.is_ready());
    scene.pass(1_000);
    scene.list(200, &json!({ "revoked": [] }));
    assert!(scene.is_ready());
    assert_eq!(scene.request(&jwt()).1, Some("authorized"));
    assert_eq!(scene.introspect("/", "opaque", active(json!({}))), "authorized");
    scene.pass(10_000);
    scene.list(200, &json!({ "revoked": [{ "sub": "alice@acme.com" }] }));
    for (path, token) in [("/", jwt()), ("/", "opaque".to_owned()), ("/asked", jwt()), ("/open", jwt())] {
        assert_eq!(scene.request_for(path, &token).1, Some("token_revoked"), "{path}");
        assert_eq!(scene.last_reply(), (401, None));
    }
    assert_eq!(scene.tick().len(), 0, "and nobody is asked about it");
    // A list that cannot be had, or read, changes nothing.
    for (status, body) in [(500, json!({})), (200, json!({ "revoked": [{}] })), (304, json!({}))] {
        scene.pass(60_000);
        scene.list(status, &body);
        assert_eq!(scene.request(&jwt()).1, Some("token_revoked"), "{status}");
    }
    scene.pass(60_000);
    scene.list(200, &json!({ "revoked": [{ "jti": "AT.other" }] }));
    assert_eq!(scene.request(&jwt()).1, Some("authorized"));
}

#[test]
fn requests_before_the_first_revocation_list_wait_and_are_decided_by_it() {
    let mut scene = Scene::of(&with_list(json!({})), ParkingLimits::default());
    let revoked = SigningKey::a("k1").token(&with(&payload(START), json!({ "sub": "mallory" })));
    let (bad, _) = scene.request(&revoked);
    let (good, _) = scene.request(&jwt());
    let (asked, _) = scene.request_for("/asked", &jwt());
    let (opaque, _) = scene.request("opaque");
    let effects = scene.harness.tick();
    let poll = effects.poll.unwrap();
    let about_opaque = &effects.calls[0];
    scene.answer(about_opaque, active(json!({})));
    for stream in [bad, good, asked, opaque] {
        assert_eq!(scene.reason_of(stream), None, "it waits for the list");
    }
    scene.pass(1_500);
    let (later, reason) = scene.request(&jwt());
    assert_eq!(reason, None, "the poll is under way");
    scene.done(poll.id, list_response(200, &json!({ "revoked": [{ "sub": "mallory" }] })));
    let reasons = [bad, good, opaque, later].map(|stream| scene.reason_of(stream));
    assert_eq!(reasons, [Some("token_revoked"), Some("authorized"), Some("authorized"), Some("authorized")]);
    assert_eq!(scene.reason_of(asked), None, "now its issuer is asked");
    let about_jwt = scene.tick_begins_a_call();
    scene.answer(&about_jwt, active(json!({})));
    assert_eq!(scene.reason_of(asked), Some("authorized"));
}

#[test]
fn request_pending_on_the_first_revocation_list_uses_the_list_of_another_worker() {
    let mut holder = Scene::of(&with_list(json!({})), ParkingLimits::default());
    let poll = holder.tick_begins_a_poll();
    let outcome = list_response(200, &json!({ "revoked": [{ "sub": "mallory" }] }));
    let news = holder.done(poll.id, outcome).shared_list.unwrap();
    let mut scene = Scene::of(&with_list(json!({})), ParkingLimits::default());
    assert!(scene.engine.lacks_list() && scene.engine.list_record() == holder.engine.list_record());
    let revoked = SigningKey::a("k1").token(&with(&payload(START), json!({ "sub": "mallory" })));
    let waiting = [revoked, jwt()].map(|token| scene.request(&token).0);
    scene.list_shared(news.state, &news.document.unwrap());
    assert_eq!(waiting.map(|stream| scene.reason_of(stream)), [Some("token_revoked"), Some("authorized")]);
    assert!(!scene.engine.lacks_list() && scene.is_ready());
}

/// The provider has two issuers; both sign with the same keys and are asked at one endpoint.
fn with_two_issuers() -> Value {
    let mut document = with_list(json!({}));
    document["providers"]["okta"]["additional_issuers"] = json!(["https://login.acme.com/oauth2/default"]);
    document
}

#[test]
fn issuer_of_an_opaque_token_is_the_one_in_the_introspection_response() {
    let mut scene = Scene::of(&with_two_issuers(), ParkingLimits::default());
    scene.list(200, &json!({ "revoked": [] }));
    for (token, issuer) in [("o1", ISSUER), ("o2", "https://login.acme.com/oauth2/default")] {
        assert_eq!(scene.introspect("/", token, active(json!({ "iss": issuer }))), "authorized");
        assert_eq!(scene.last_line()["issuer"], issuer);
    }
    assert_eq!(scene.introspect("/", "o3", active(json!({ "iss": null }))), "authorized");
    assert_eq!(scene.last_line().get("issuer"), None, "it may be each of the two");
    assert_eq!(scene.last_line()["provider"], "okta");
    let other = active(json!({ "iss": "https://login.acme.com/oauth2/other" }));
    assert_eq!(scene.introspect("/", "o4", other), "issuer_unknown");
    let second = active(json!({ "iss": "https://login.acme.com/oauth2/default" }));
    assert_eq!(scene.introspect("/asked", &jwt(), second), "introspection_mismatch", "the token names the first");
}

#[test]
fn entry_of_the_revocation_list_is_for_the_issuer_that_the_token_names() {
    let mut scene = Scene::of(&with_two_issuers(), ParkingLimits::default());
    let second = "https://login.acme.com/oauth2/default";
    let jwt_of = |issuer: &str| SigningKey::a("k1").token(&with(&payload(START), json!({ "iss": issuer })));
    scene.list(200, &json!({ "revoked": [] }));
    for (token, issuer) in [("o1", json!(ISSUER)), ("o2", json!(second)), ("o3", Value::Null)] {
        assert_eq!(scene.introspect("/", token, active(json!({ "iss": issuer }))), "authorized");
    }
    scene.pass(10_000);
    scene.list(200, &json!({ "revoked": [{ "sub": "alice@acme.com", "iss": second }] }));
    for (token, expected) in [
        (jwt_of(ISSUER), "authorized"),
        (jwt_of(second), "token_revoked"),
        ("o1".to_owned(), "authorized"),
        ("o2".to_owned(), "token_revoked"),
        ("o3".to_owned(), "token_revoked"),
    ] {
        assert_eq!(scene.request(&token).1, Some(expected), "{token}");
    }
    assert_eq!(scene.request(&jwt_of(second)).1, Some("token_revoked"));
    assert_eq!(scene.last_line()["issuer"], second);
}
