//! Requests pending on keys, and the keys over time: sequences of engine inputs with exact times.
//! Runs natively and, as wasm, under Node.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::engine_harness::{self, Harness, NOW as START, Setup, bearer, call_response, fetch_response, head};
use crate::signing::{self, SigningKey, fetched_issuer, key_set, payload, with};
use okta_proxy_wasm::callout::{CalloutResult, HttpResponse, TransportError};
use okta_proxy_wasm::engine::{
    BATCH, Callout, CalloutId, FetchCause, FetchResult, Jitter, KeyFetch, KeyLease, Lease, LeaseOutcome, LeaseRequest,
    ParkingLimits, Sequence, SharedOutcome, StreamId, TokenBucket,
};
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

/// An engine, the result of its last fetch, and what the last one shared.
struct Scene {
    harness: Harness,
    last_result: Option<FetchResult>,
    shared: Option<SharedOutcome>,
}

/// A fetch that needs a lease.
struct WantedLease {
    id: CalloutId,
    fetch: KeyFetch,
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

impl Scene {
    fn new() -> Self {
        Self::with_limits(ParkingLimits::default())
    }

    fn with_limits(limits: ParkingLimits) -> Self {
        Self::of(&fetched_issuer(), limits)
    }

    fn of(configuration: &Value, limits: ParkingLimits) -> Self {
        Self::with(configuration, Setup { limits, ..Setup::default() })
    }

    /// A worker of several.
    fn sharing() -> Self {
        Self::with(&fetched_issuer(), Setup { shares: true, ..Setup::default() })
    }

    fn with(configuration: &Value, setup: Setup<'_>) -> Self {
        let secret = |_: &str| Some(String::from("secret"));
        let harness = Harness::with(configuration, Setup { environment: &secret, ..setup });
        Self { harness, last_result: None, shared: None }
    }

    fn pass(&mut self, seconds: u64) {
        self.harness.pass(Duration::from_secs(seconds));
    }

    /// A request with this token: its stream, and the reason if it was decided at once.
    fn request(&mut self, token: &str) -> (StreamId, Option<&'static str>) {
        self.send(&bearer(token))
    }

    fn tick(&mut self) -> Vec<Callout> {
        let effects = self.harness.tick();
        self.take(effects)
    }

    fn answer(&mut self, fetch: &Callout, outcome: CalloutResult) {
        self.end(fetch.id, outcome);
    }

    fn end(&mut self, fetch: CalloutId, outcome: CalloutResult) {
        let effects = self.done(fetch, outcome);
        self.take(effects);
    }

    /// The one fetch that the next tick wants a lease for.
    fn tick_wants_a_lease(&mut self) -> WantedLease {
        let mut leases = self.harness.tick().leases;
        assert_eq!(leases.len(), 1);
        match leases.remove(0) {
            (id, LeaseRequest::Keys { fetch, .. }) => WantedLease { id, fetch },
            (id, LeaseRequest::Introspection { .. }) => panic!("{id:?}"),
        }
    }

    /// The next callout of the same fetch.
    fn answer_starts_fetch(&mut self, fetch: &Callout, outcome: CalloutResult) -> Callout {
        let mut effects = self.done(fetch.id, outcome);
        let next = effects.follow_ups.remove(0);
        self.take(effects);
        next
    }

    /// Another worker has learned this.
    fn learn(&mut self, outcome: &SharedOutcome) {
        let (provider, _) = self.engine.shared_records().remove(0);
        let effects = self.keys_shared(provider, outcome.clone());
        self.take(effects);
    }

    fn take(&mut self, effects: engine_harness::Effects) -> Vec<Callout> {
        if let Some((_, result)) = effects.fetch_result {
            self.last_result = Some(result);
        }
        self.shared = effects.shared_keys.or(self.shared.take());
        effects.fetches
    }

    fn retry_after(&self, stream: StreamId) -> Option<String> {
        engine_harness::retry_after_of(self.decision_of(stream)?).map(str::to_owned)
    }
}

fn published(keys: &[&SigningKey]) -> CalloutResult {
    answer_of(200, None, &key_set(keys))
}

fn answer_of(status: u16, cache_control: Option<&str>, body: &Value) -> CalloutResult {
    fetch_response(status, cache_control, body.to_string())
}

const UNREACHABLE: CalloutResult = Err(TransportError::ConnectionFailed);

/// A scene in which the keys `k1` are held since its start.
fn with_keys(key: &SigningKey) -> Scene {
    let mut scene = Scene::new();
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[key]));
    scene
}

#[test]
fn keys_are_fetched_before_the_first_request() {
    let mut scene = Scene::new();
    let fetch = scene.tick_begins_a_fetch();
    assert_eq!(fetch.request.address.to_string(), "https://acme.okta.com/oauth2/default/v1/keys");
    assert_eq!(fetch.request.address.upstream, "okta");
    assert_eq!(fetch.timeout, Duration::from_secs(5));
    assert_eq!(scene.tick(), [], "one fetch at a time");
    scene.answer(&fetch, published(&[&SigningKey::a("k1")]));
    assert_eq!(
        scene.last_result,
        Some(FetchResult::Replaced { usable: 1, skipped: 0, is_other: false, fetched_here: true })
    );
    assert_eq!(scene.request(&SigningKey::a("k1").token(&payload(START))).1, Some("authorized"));
}

#[test]
fn requests_before_the_keys_are_parked_and_decided_in_bounded_batches() {
    let mut scene = Scene::new();
    let key = SigningKey::a("k1");
    let (good, bad) = (key.token(&payload(START)), SigningKey::b("k1").token(&payload(START)));
    let fetch = scene.tick_begins_a_fetch();
    let streams: Vec<StreamId> = (0..100).map(|n| scene.request(if n % 2 == 0 { &good } else { &bad }).0).collect();
    assert_eq!(scene.pending(), 100);
    scene.answer(&fetch, published(&[&key]));
    let mut ticks = 0;
    while scene.pending() > 0 {
        assert_eq!(scene.next_tick, Some(scene.now.plus(Duration::from_millis(1))));
        scene.tick();
        ticks += 1;
    }
    assert_eq!(ticks, 100_usize.div_ceil(BATCH) - 1);
    for (at, stream) in streams.iter().enumerate() {
        let expected = if at % 2 == 0 { "authorized" } else { "signature_invalid" };
        assert_eq!(scene.reason_of(*stream), Some(expected));
    }
}

#[test]
fn without_keys_and_without_a_working_endpoint_the_response_is_503_with_retry_after() {
    let mut scene = Scene::new();
    let token = SigningKey::a("k1").token(&payload(START));
    let fetch = scene.tick_begins_a_fetch();
    let (waiting, _) = scene.request(&token);
    scene.answer(&fetch, UNREACHABLE);
    assert_eq!(scene.reason_of(waiting), Some("keys_unavailable"));
    let (next, reason) = scene.request(&token);
    assert_eq!(reason, Some("keys_unavailable"), "no waiting while it is known to be down");
    assert_eq!(scene.retry_after(next).as_deref(), Some("1"));
    // The next attempt comes by itself, and finds the server back.
    scene.pass(1);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&SigningKey::a("k1")]));
    assert_eq!(scene.request(&token).1, Some("authorized"));
}

#[test]
fn back_off_grows_and_stays_short_while_there_are_no_keys_at_all() {
    let mut scene = Scene::new();
    let mut waits = Vec::new();
    for _ in 0..6 {
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, UNREACHABLE);
        let Some(FetchResult::Failed { retry_in, .. }) = scene.last_result else { panic!("not failed") };
        waits.push(retry_in.as_secs_f64().round() as u64);
        scene.now = scene.now.plus(retry_in);
    }
    assert_eq!(waits, [1, 2, 4, 5, 5, 5]);
}

#[test]
fn fetches_for_unknown_key_ids_use_a_token_bucket_that_refills_in_seconds() {
    let known = SigningKey::a("k1");
    let mut scene = with_keys(&known);
    for kid in ["other-1", "other-2", "other-3"] {
        assert_eq!(scene.request(&SigningKey::b(kid).token(&payload(START))).1, None, "it waits for the fetch");
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, published(&[&known]));
    }
    scene.pass(1);
    let new = SigningKey::b("new");
    let (waiting, reason) = scene.request(&new.token(&payload(START)));
    assert_eq!((reason, scene.tick()), (None, vec![]), "none is left, and the next one is near");
    assert_eq!(scene.next_tick, Some(UnixTime::from_secs(START + 4)));
    assert_eq!(scene.request(&known.token(&payload(START))).1, Some("authorized"), "known keys are not touched by it");
    scene.pass(3);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&known, &new]));
    assert_eq!(scene.reason_of(waiting), Some("authorized"));
}

#[test]
fn unknown_key_id_is_rejected_one_cooldown_after_its_first_token() {
    let known = SigningKey::a("k1");
    let mut scene = with_keys(&known);
    let forged = SigningKey::b("other").token(&payload(START));
    let (first, reason) = scene.request(&forged);
    assert_eq!(reason, None);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&known]));
    assert_eq!(scene.reason_of(first), None, "the key may be about to be published");
    scene.pass(3);
    assert_eq!(scene.tick(), []);
    scene.pass(1);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&known]));
    assert_eq!(scene.reason_of(first), Some("key_unknown"));
    scene.pass(3);
    assert_eq!(scene.request(&forged).1, Some("key_unknown"), "remembered, for seconds");
    assert_eq!(scene.tick(), []);
    scene.pass(1);
    let (again, reason) = scene.request(&forged);
    assert_eq!(reason, None);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&known]));
    assert_eq!(scene.reason_of(again), Some("key_unknown"), "and its first token was long ago");
}

#[test]
fn key_published_two_seconds_after_its_first_token_is_never_unknown() {
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    for timeout in ["5s", "0.5s"] {
        let mut scene = Scene::of(
            &json!({ "providers": { "okta": { "okta": { "domain": "acme.okta.com" }, "audiences": ["api://default"],
                "upstream": "okta", "jwks": { "timeout": timeout } } } }),
            ParkingLimits::default(),
        );
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, published(&[&old]));
        let mut streams = Vec::new();
        for tenth in 0..60 {
            let keys: &[&SigningKey] = if tenth < 20 { &[&old] } else { &[&old, &new] };
            streams.push((tenth, scene.request(&new.token(&payload(START))).0));
            for fetch in scene.tick() {
                scene.answer(&fetch, published(keys));
            }
            scene.now = scene.now.plus(Duration::from_millis(100));
        }
        for (tenth, stream) in streams {
            let reason = scene.reason_of(stream).unwrap();
            assert!(["authorized", "keys_unavailable"].contains(&reason), "{timeout} {tenth}: {reason}");
            assert!(reason == "authorized" || (timeout == "0.5s" && tenth < 40), "{timeout} {tenth}: {reason}");
            assert!(reason == "authorized" || scene.retry_after(stream).is_some(), "{timeout} {tenth}");
        }
    }
}

#[test]
fn in_a_flood_of_unknown_key_ids_a_rotated_key_works_within_five_seconds() {
    if !engine_harness::IS_NATIVE {
        return;
    }
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    let (genuine, forged) = (new.token(&payload(START)), SigningKey::b("forged").token(&payload(START)));
    let (_, signed) = forged.split_once('.').unwrap();
    let header = |number: u64| signing::encode(&json!({ "alg": "RS256", "kid": format!("{number}") }).to_string());
    // Whatever the state of the bucket at the rotation.
    for rotation in [20_000, 20_050, 22_000, 23_950] {
        let mut scene = with_keys(&old);
        let (mut fetches, mut works) = (0, None);
        for tick in 0..600_u64 {
            let millis = tick * 50;
            for number in 0..10 {
                scene.request(&format!("{}.{signed}", header(tick * 10 + number)));
            }
            if millis >= rotation {
                let (stream, reason) = scene.request(&genuine);
                assert_ne!(reason, Some("key_unknown"));
                if reason == Some("authorized") {
                    works = works.or(Some(millis - rotation));
                }
                scene.close(stream);
            }
            for fetch in scene.tick() {
                fetches += 1;
                let keys: &[&SigningKey] = if millis < rotation { &[&old] } else { &[&old, &new] };
                scene.now = scene.now.plus(Duration::from_millis(20));
                scene.answer(&fetch, published(keys));
                scene.now = UnixTime::from_millis(START * 1000 + millis);
            }
            scene.decided.clear();
            scene.now = UnixTime::from_millis(START * 1000 + millis + 50);
        }
        assert!(works.is_some_and(|millis| millis <= 5000), "rotated at {rotation}: works after {works:?} ms");
        assert!((8..=3 + 30 / 4).contains(&fetches), "{fetches} fetches in 30 s");
    }
}

#[test]
fn new_key_is_found_after_the_clock_was_set_back() {
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    let mut scene = with_keys(&old);
    scene.now = UnixTime::from_secs(START - 3600);
    let (stream, reason) = scene.request(&new.token(&payload(START - 3600)));
    assert_eq!(reason, None, "the set was fetched before the request came, whatever the clock says");
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&old, &new]));
    assert_eq!(scene.reason_of(stream), Some("authorized"));
    // And what lies ahead by the old clock is not an hour off.
    let mut scene = with_keys(&old);
    for kid in ["x", "y", "z"] {
        scene.request(&SigningKey::b(kid).token(&payload(START)));
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, published(&[&old]));
    }
    scene.request(&new.token(&payload(START)));
    scene.now = UnixTime::from_secs(START - 3600);
    let (stream, _) = scene.request(&new.token(&payload(START - 3600)));
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&old, &new]));
    assert_eq!(scene.reason_of(stream), Some("authorized"));
}

#[test]
fn a_new_key_is_found_by_the_request_that_brings_it() {
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    let mut scene = with_keys(&old);
    let (stream, reason) = scene.request(&new.token(&payload(START)));
    assert_eq!(reason, None);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&old, &new]));
    assert_eq!(scene.reason_of(stream), Some("authorized"));
}

#[test]
fn unknown_key_id_is_rejected_only_by_a_fetch_that_began_after_its_request() {
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    let mut scene = with_keys(&old);
    scene.pass(3600);
    let refresh = scene.tick_begins_a_fetch();
    // The issuer publishes `new` now: the refresh under way was answered from the old set.
    let (stream, _) = scene.request(&new.token(&payload(START)));
    scene.answer(&refresh, published(&[&old]));
    assert_eq!(scene.reason_of(stream), None, "the old answer does not condemn it");
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&old, &new]));
    assert_eq!(scene.reason_of(stream), Some("authorized"));
}

#[test]
fn key_that_is_no_longer_published_verifies_nothing() {
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    let mut scene = with_keys(&old);
    let token = old.token(&payload(START));
    assert_eq!(scene.request(&token).1, Some("authorized"));
    scene.pass(3600);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&new]));
    let (stream, _) = scene.request(&token);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&new]));
    assert_eq!(scene.reason_of(stream), None, "it is unknown for the first time");
    scene.pass(4);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&new]));
    assert_eq!(scene.reason_of(stream), Some("key_unknown"));
}

#[test]
fn the_last_good_set_survives_every_kind_of_failure_until_it_is_too_old() {
    let key = SigningKey::a("k1");
    let mut scene = with_keys(&key);
    let failures = [
        UNREACHABLE,
        Err(TransportError::TimedOut),
        answer_of(500, None, &json!({})),
        answer_of(302, None, &json!({})),
        answer_of(204, None, &json!({})),
        answer_of(200, None, &json!({})),
        answer_of(200, None, &json!({ "keys": [] })),
        answer_of(200, None, &json!({ "keys": {} })),
        answer_of(200, None, &json!({ "keys": [{ "kty": "oct", "k": "YQ" }] })),
        answer_of(200, None, &json!("<html>")),
        Ok(HttpResponse::new(200, b"{\"keys\":[{\"kty\":\"RSA\"".to_vec())),
        Ok(HttpResponse::new(200, vec![b' '; 300 * 1024])),
    ];
    scene.pass(3600);
    for failure in failures {
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, failure.clone());
        assert!(matches!(scene.last_result, Some(FetchResult::Failed { .. })), "{failure:?}");
        assert_eq!(scene.request(&key.token(&payload(scene.now.as_secs()))).1, Some("authorized"), "{failure:?}");
        scene.pass(60);
    }
    let last_moment = UnixTime::from_millis(UnixTime::from_secs(START + 86_400).as_millis() - 1);
    scene.now = last_moment;
    let token = key.token(&payload(START + 86_400));
    assert_eq!(scene.request(&token).1, Some("authorized"));
    scene.now = UnixTime::from_secs(START + 86_400);
    let (stale, _) = scene.request(&token);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, UNREACHABLE);
    assert_eq!(scene.reason_of(stale), Some("keys_unavailable"));
}

#[test]
fn refresh_is_early_and_cache_control_can_only_shorten_it() {
    let key = SigningKey::a("k1");
    // With full jitter a refresh comes at the end of the freshness, with none at four fifths of it.
    for (cache_control, freshness) in [
        (None, 3600),
        (Some("max-age=3832304, must-revalidate"), 3600),
        (Some("max-age=600"), 600),
        (Some("max-age=0"), 60),
        (Some("no-store"), 60),
        (Some("max-age=-5"), 3600),
    ] {
        let mut scene = Scene::new();
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, answer_of(200, cache_control, &key_set(&[&key])));
        scene.pass(freshness - 1);
        assert_eq!(scene.tick().len(), 0, "{cache_control:?}: too early");
        scene.pass(1);
        assert_eq!(scene.tick().len(), 1, "{cache_control:?}: too late");
    }
    let mut scene = Scene::new();
    scene.jitter = Jitter(0);
    let fetch = scene.tick_begins_a_fetch();
    scene.jitter = engine_harness::NO_JITTER;
    scene.answer(&fetch, published(&[&key]));
    scene.pass(3600 * 8 / 10);
    assert_eq!(scene.tick().len(), 1);
}

#[test]
fn request_has_its_own_deadline_when_the_callout_never_ends() {
    let mut scene = Scene::new();
    let token = SigningKey::a("k1").token(&payload(START));
    let fetch = scene.tick_begins_a_fetch();
    let (stream, _) = scene.request(&token);
    scene.tick();
    assert_eq!(scene.next_tick, Some(UnixTime::from_secs(START + 6)));
    scene.pass(5);
    scene.tick();
    assert_eq!(scene.reason_of(stream), None);
    scene.pass(1);
    scene.tick();
    assert_eq!(scene.reason_of(stream), Some("pending_timed_out"));
    assert_eq!(scene.retry_after(stream).as_deref(), Some("1"));
    // The lost fetch is given up, another one is made, and the late answer changes nothing.
    scene.pass(1);
    scene.tick();
    scene.pass(5);
    let next = scene.tick_begins_a_fetch();
    scene.last_result = None;
    scene.answer(&fetch, published(&[&SigningKey::b("k1")]));
    assert_eq!(scene.last_result, None);
    scene.answer(&next, published(&[&SigningKey::a("k1")]));
    assert_eq!(scene.request(&token).1, Some("authorized"));
}

#[test]
fn closed_stream_is_never_decided_and_strands_no_other_request() {
    let mut scene = Scene::new();
    let key = SigningKey::a("k1");
    let fetch = scene.tick_begins_a_fetch();
    let (gone, _) = scene.request(&key.token(&payload(START)));
    let (stays, _) = scene.request(&key.token(&payload(START)));
    scene.close(gone);
    scene.answer(&fetch, published(&[&key]));
    assert_eq!(scene.reason_of(gone), None);
    assert_eq!(scene.reason_of(stays), Some("authorized"));
    // Also between the keys' coming and its own batch.
    let mut scene = Scene::new();
    let fetch = scene.tick_begins_a_fetch();
    let streams: Vec<StreamId> = (0..BATCH + 1).map(|_| scene.request(&key.token(&payload(START))).0).collect();
    scene.answer(&fetch, published(&[&key]));
    scene.close(streams[BATCH]);
    scene.tick();
    assert_eq!(scene.reason_of(streams[BATCH]), None);
    assert_eq!(scene.decided.len(), BATCH);
}

#[test]
fn pending_requests_are_bounded_in_number_and_bytes() {
    let token = SigningKey::a("k1").token(&payload(START));
    // Anybody can make up a token that waits for a key: half of the places are for them.
    let mut scene = Scene::with_limits(ParkingLimits { requests: 4, bytes: usize::MAX });
    assert_eq!(scene.request(&token).1, None);
    let (second, reason) = scene.request(&token);
    assert_eq!(reason, None);
    let (third, reason) = scene.request(&token);
    assert_eq!(reason, Some("too_many_pending"));
    assert_eq!(scene.retry_after(third).as_deref(), Some("1"));
    scene.close(second);
    assert_eq!(scene.request(&token).1, None, "a place that is free again");

    let mut scene = Scene::with_limits(ParkingLimits { requests: usize::MAX, bytes: 40_000 });
    let parked = (0..1000).filter(|_| scene.request(&token).1.is_none()).count();
    assert!((2..20).contains(&parked), "{parked}");
}

/// A flood of tokens of one issuer takes no place of another one's, nor of a token that is known.
#[test]
fn unknown_key_ids_use_their_issuers_share_of_half_of_the_capacity() {
    let (old, opaque) = (SigningKey::a("old"), "0123456789abcdef");
    let configuration = json!({
        "providers": {
            "flooded": { "issuer": "https://a.example", "audiences": ["api"], "upstream": "a",
                "jwks": { "uri": "https://a.example/keys" } },
            "other": { "issuer": "https://b.example", "audiences": ["api"], "upstream": "b",
                "jwks": { "uri": "https://b.example/keys" } },
            "opaque": { "issuer": "https://c.example", "audiences": ["api"], "upstream": "c",
                "jwks": { "inline": key_set(&[&old]) },
                "introspection": { "uri": "https://c.example/introspect", "client_id": "x",
                    "client_secret": { "env": "SECRET" }, "opaque_tokens": true, "cache_ttl": "1s" } },
        },
    });
    let mut scene = Scene::of(&configuration, ParkingLimits { requests: 600, bytes: usize::MAX });
    for fetch in scene.tick() {
        scene.answer(&fetch, published(&[&old]));
    }
    // The opaque token is known from now on.
    let (stream, _) = scene.request(opaque);
    let call = scene.tick_begins_a_call();
    let body = br#"{"active":true,"iss":"https://c.example","aud":"api","exp":4102444800,"sub":"alice"}"#;
    scene.done(call.id, call_response(200, *body));
    assert_eq!(scene.reason_of(stream), Some("authorized"));
    scene.pass(60);

    let token = |issuer: &str, kid: usize| {
        let header = json!({ "alg": "RS256", "kid": format!("unknown-{kid}") }).to_string();
        let payload = json!({ "iss": issuer, "aud": "api", "exp": 4_102_444_800_u64 }).to_string();
        format!("{}.{}.c2ln", signing::encode(&header), signing::encode(&payload))
    };
    let parked = |scene: &mut Scene, issuer: &str| {
        (0..1000).filter(|kid| scene.request(&token(issuer, *kid)).1.is_none()).count()
    };
    assert_eq!(parked(&mut scene, "https://a.example"), 100, "a third of the half");
    assert_eq!(scene.request(&token("https://a.example", 0)).1, Some("too_many_pending"));
    assert_eq!(scene.request(opaque).1, None, "a known token waits for its renewal");
    assert_eq!(parked(&mut scene, "https://b.example"), 100, "another issuer's part is untouched");
    let strangers = (0..1000).filter(|number| scene.request(&format!("unknown-opaque-{number:08}")).1.is_none());
    assert_eq!(strangers.count(), 100, "so is that of opaque tokens");
    assert_eq!(scene.request(opaque).1, None);
}

#[test]
fn a_clock_that_jumps_neither_stops_refreshes_nor_drops_keys() {
    let key = SigningKey::a("k1");
    let mut scene = with_keys(&key);
    scene.now = UnixTime::from_secs(START - 86_400);
    let token = key.token(&payload(scene.now.as_secs()));
    assert_eq!(scene.request(&token).1, Some("authorized"));
    assert_eq!(scene.tick(), []);
    scene.pass(3600);
    assert_eq!(scene.tick().len(), 1, "the refresh is not put off for a day");
}

#[test]
fn rejections_that_need_no_key_are_immediate_and_cause_no_fetch() {
    let mut scene = Scene::new();
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, UNREACHABLE);
    let foreign = SigningKey::a("k1").token(&json!({ "iss": "https://evil.example", "exp": START + 60 }));
    assert_eq!(scene.request(&foreign).1, Some("issuer_unknown"));
    assert_eq!(scene.request("opaque").1, Some("token_opaque"));
    let wrong_algorithm =
        SigningKey::a("k1").token_with_header(&json!({ "alg": "ES256", "kid": "new" }), &payload(START));
    assert_eq!(scene.request(&wrong_algorithm).1, Some("algorithm_not_allowed"));
    assert_eq!(scene.tick(), []);
}

/// A scene whose issuer is not Okta: its keys are found by its metadata.
fn discovering() -> Scene {
    Scene::of(
        &json!({ "providers": { "idp": {
            "issuer": "https://idp.example/realms/a", "audiences": ["api://default"], "upstream": "idp" } } }),
        ParkingLimits::default(),
    )
}

fn metadata(issuer: &str, jwks_uri: &str) -> CalloutResult {
    answer_of(200, None, &json!({ "issuer": issuer, "jwks_uri": jwks_uri }))
}

#[test]
fn keys_of_an_issuer_are_found_by_its_metadata() {
    let mut scene = discovering();
    let key = SigningKey::a("k1");
    let token = key.token(&with(&payload(START), json!({ "iss": "https://idp.example/realms/a" })));
    let fetch = scene.tick_begins_a_fetch();
    assert_eq!(fetch.request.address.to_string(), "https://idp.example/realms/a/.well-known/openid-configuration");
    let (stream, _) = scene.request(&token);
    let next = scene.answer_starts_fetch(&fetch, answer_of(404, None, &json!({})));
    assert_eq!(next.request.address.to_string(), "https://idp.example/.well-known/oauth-authorization-server/realms/a");
    scene.pass(2);
    let next = scene.answer_starts_fetch(&next, metadata("https://idp.example/realms/a", "https://idp.example/keys"));
    assert_eq!(next.request.address.to_string(), "https://idp.example/keys");
    assert_eq!(next.request.address.upstream, "idp");
    assert_eq!(next.timeout, Duration::from_secs(3), "all callouts of a fetch share its time");
    scene.answer(&next, published(&[&key]));
    assert_eq!(scene.reason_of(stream), Some("authorized"));
    // The address is known from then on.
    scene.pass(3600);
    assert_eq!(scene.tick_begins_a_fetch().request.address.to_string(), "https://idp.example/keys");
}

#[test]
fn metadata_with_a_foreign_issuer_or_key_address_are_rejected() {
    let ours = "https://idp.example/realms/a";
    for (answer, name) in [
        (metadata("https://evil.example", "https://idp.example/keys"), "metadata_issuer_mismatch"),
        (metadata("https://idp.example/realms/a/", "https://idp.example/keys"), "metadata_issuer_mismatch"),
        (metadata(ours, "https://evil.example/keys"), "metadata_key_address_foreign"),
        (metadata(ours, "http://idp.example/keys"), "metadata_key_address_foreign"),
        (answer_of(200, None, &json!({ "issuer": ours })), "metadata_without_key_address"),
        (answer_of(500, None, &json!({})), "status"),
        (answer_of(302, None, &json!({})), "status"),
        (UNREACHABLE, "connection_failed"),
    ] {
        let mut scene = discovering();
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, answer.clone());
        let Some(FetchResult::Failed { fault, .. }) = scene.last_result else { panic!("{answer:?} was taken") };
        assert_eq!(fault.name(), name, "{answer:?}");
    }
    let mut scene = discovering();
    let fetch = scene.tick_begins_a_fetch();
    let next = scene.answer_starts_fetch(&fetch, answer_of(200, None, &json!("<html>")));
    scene.answer(&next, answer_of(404, None, &json!({})));
    let Some(FetchResult::Failed { fault, .. }) = scene.last_result else { panic!("not failed") };
    assert_eq!(fault.name(), "no_metadata");
}

#[test]
fn keys_fetched_by_another_worker_decide_pending_requests() {
    let key = SigningKey::a("k1");
    let token = key.token(&payload(START));
    let (mut here, mut there) = (Scene::new(), Scene::new());
    let (waiting, _) = here.request(&token);
    let unmade = here.tick_begins_a_fetch();
    here.pass(1);
    there.pass(1);
    let fetch = there.tick_begins_a_fetch();
    there.answer(&fetch, published(&[&key]));
    let shared = there.shared.take().unwrap();
    here.learn(&shared);
    assert_eq!(here.reason_of(waiting), Some("authorized"));
    assert!(!here.engine.is_under_way(unmade.id), "its own fetch is needed no more");
    assert_eq!(
        here.last_result,
        Some(FetchResult::Replaced { usable: 1, skipped: 0, is_other: false, fetched_here: false })
    );
    here.last_result = None;
    here.learn(&shared);
    assert_eq!(here.last_result, None, "the same again is no news");
    // A failure elsewhere is one here as well, and changes nothing that is held.
    there.pass(3600);
    here.pass(3599);
    let fetch = there.tick_begins_a_fetch();
    there.answer(&fetch, UNREACHABLE);
    here.pass(1);
    here.learn(&there.shared.take().unwrap());
    assert!(matches!(here.last_result, Some(FetchResult::Failed { .. })));
    assert_eq!(here.tick(), [], "nobody here asks a server that has just failed");
    assert_eq!(here.request(&key.token(&payload(here.now.as_secs()))).1, Some("authorized"));
}

#[test]
fn key_set_of_another_worker_saves_the_fetch_requested_before_the_first_tick() {
    let key = SigningKey::a("k1");
    let (mut here, mut there) = (Scene::new(), Scene::new());
    let fetch = there.tick_begins_a_fetch();
    there.answer(&fetch, published(&[&key]));
    let (waiting, _) = here.request(&key.token(&payload(START)));
    here.learn(&there.shared.take().unwrap());
    assert_eq!(here.reason_of(waiting), Some("authorized"));
    assert_eq!(here.tick(), [], "it has the keys");
}

/// What the lease of the process says of a fetch.
fn acquire_lease(scene: &mut Scene, lease: &mut Option<KeyLease>, wanted: &WantedLease) -> Lease<TokenBucket> {
    let turn = Lease::for_fetch(&wanted.fetch, *lease, scene.now);
    if let Lease::Acquired(taken) = turn {
        *lease = Some(taken);
    }
    scene.lease_done(wanted.id, turn.into());
    turn
}

/// Two workers that hold the same keys, and the lease of their process.
fn two_workers(key: &SigningKey) -> (Scene, Scene, Option<KeyLease>) {
    let (mut here, mut there, mut lease) = (Scene::sharing(), Scene::sharing(), None);
    let fetch = here.tick_wants_a_lease();
    assert!(matches!(acquire_lease(&mut here, &mut lease, &fetch), Lease::Acquired(_)));
    here.end(fetch.id, published(&[key]));
    there.learn(&here.shared.take().unwrap());
    (here, there, lease.map(KeyLease::given_back))
}

/// A worker fetches for a key id that nobody knows, and has the lease.
fn fetches_for(worker: &mut Scene, lease: &mut Option<KeyLease>, kid: &str) -> WantedLease {
    worker.request(&SigningKey::b(kid).token(&payload(START)));
    let fetch = worker.tick_wants_a_lease();
    assert!(matches!(acquire_lease(worker, lease, &fetch), Lease::Acquired(_)));
    fetch
}

#[test]
fn earlier_fetch_of_another_worker_does_not_make_a_key_id_unknown() {
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    let (mut here, mut there, mut lease) = two_workers(&old);
    let early = fetches_for(&mut there, &mut lease, "another");
    let (waiting, _) = here.request(&new.token(&payload(START)));
    let own = here.tick_wants_a_lease();
    assert!(matches!(acquire_lease(&mut here, &mut lease, &own), Lease::HeldByOther(_)));
    there.end(early.id, published(&[&old]));
    lease = lease.map(KeyLease::given_back);
    here.learn(&there.shared.take().unwrap());
    assert_eq!(here.reason_of(waiting), None);
    assert!(here.engine.is_under_way(own.id));
    assert!(matches!(acquire_lease(&mut here, &mut lease, &own), Lease::Acquired(_)));
    here.end(own.id, published(&[&old, &new]));
    assert_eq!(here.reason_of(waiting), Some("authorized"));
}

/// What a worker reads in the lease tells it which fetches began later.
#[test]
fn later_fetch_of_another_worker_decides_like_a_local_fetch() {
    let old = SigningKey::a("old");
    let (mut here, mut there, mut lease) = two_workers(&old);
    let (waiting, _) = here.request(&SigningKey::b("new").token(&payload(START)));
    let own = here.tick_wants_a_lease();
    for kid in ["x", "y", "z"] {
        let fetch = fetches_for(&mut there, &mut lease, kid);
        if kid != "z" {
            assert!(matches!(acquire_lease(&mut here, &mut lease, &own), Lease::HeldByOther(_)));
        }
        there.end(fetch.id, published(&[&old]));
        lease = lease.map(KeyLease::given_back);
        assert_eq!(here.reason_of(waiting), None, "{kid}");
        here.learn(&there.shared.take().unwrap());
        if kid == "x" {
            assert!(here.engine.is_under_way(own.id), "that fetch was under way when the lease was read");
            here.pass(4);
            there.pass(4);
        }
    }
    assert_eq!(here.reason_of(waiting), Some("key_unknown"), "the last one began after the lease was read");
}

#[test]
fn fetch_postponed_for_another_worker_is_made_later() {
    let key = SigningKey::a("k1");
    let mut scene = with_keys(&key);
    let (waiting, _) = scene.request(&SigningKey::b("unknown").token(&payload(START)));
    let fetch = scene.tick_begins_a_fetch();
    let outcome = LeaseOutcome::Cooldown { wait: Duration::from_secs(20), sequence: Sequence::new(2) };
    scene.lease_done(fetch.id, outcome);
    assert_eq!(scene.reason_of(waiting), Some("keys_unavailable"));
    assert_eq!(scene.retry_after(waiting).as_deref(), Some("20"));
    assert_eq!(scene.tick(), []);
    scene.pass(20);
    assert_eq!(scene.tick().len(), 1);
}

#[test]
fn broken_or_stale_shared_records_are_ignored() {
    let key = SigningKey::a("k1");
    let mut there = Scene::new();
    let fetch = there.tick_begins_a_fetch();
    there.answer(&fetch, published(&[&key]));
    let shared = there.shared.take().unwrap();
    let broken = SharedOutcome {
        response: shared.response.as_ref().map(|_| HttpResponse::new(200, b"{}".to_vec())),
        ..shared.clone()
    };
    let mut here = Scene::new();
    here.learn(&broken);
    assert_eq!(here.last_result, None);
    assert_eq!(here.request(&key.token(&payload(START))).1, None);
    let mut here = Scene::new();
    here.pass(86_400);
    here.learn(&shared);
    assert_eq!(here.last_result, None, "older than max_stale");
}

/// After the clock was set back all that was shared ended in the future.
#[test]
fn record_from_before_a_clock_step_back_is_used_then_renewed_and_blocks_no_later_record() {
    let (old, new) = (SigningKey::a("old"), SigningKey::b("new"));
    let mut there = Scene::new();
    let fetch = there.tick_begins_a_fetch();
    there.answer(&fetch, published(&[&old]));
    let shared = there.shared.take().unwrap();
    let mut here = Scene::new();
    here.now = UnixTime::from_secs(START - 3600);
    here.learn(&shared);
    assert_eq!(here.request(&old.token(&payload(START - 3600))).1, Some("authorized"));
    assert_eq!(here.tick().len(), 1, "nobody knows how old it is");
    there.now = here.now;
    there.tick();
    there.pass(3600);
    let fetch = there.tick_begins_a_fetch();
    there.answer(&fetch, published(&[&old, &new]));
    here.pass(3600);
    here.learn(&there.shared.take().unwrap());
    assert_eq!(here.request(&new.token(&payload(START))).1, Some("authorized"));
}

#[test]
fn a_worker_is_ready_when_it_holds_keys_of_every_provider() {
    let provider = |domain: &str| json!({ "okta": { "domain": domain }, "audiences": ["a"], "upstream": "okta" });
    let configuration = json!({ "readiness_path": "/ready",
        "providers": { "a": provider("a.okta.com"), "b": provider("b.okta.com") } });
    let mut scene = Scene::of(&configuration, ParkingLimits::default());
    let ask = |scene: &mut Scene, method: &str, path: &str| {
        scene.local_response(&head(&[(":method", method), (":path", path)])).map_or(0, |reply| reply.status)
    };
    assert_eq!(ask(&mut scene, "GET", "/ready"), 503);
    let fetches = scene.tick();
    scene.answer(&fetches[0], published(&[&SigningKey::a("k1")]));
    assert_eq!(ask(&mut scene, "GET", "/ready"), 503, "one of two");
    scene.answer(&fetches[1], published(&[&SigningKey::a("k1")]));
    assert_eq!(ask(&mut scene, "GET", "/ready?x=1"), 200);
    assert_eq!(ask(&mut scene, "HEAD", "/ready"), 200);
    for (method, path) in
        [("POST", "/ready"), ("GET", "/ready/"), ("GET", "/readyx"), ("GET", "/x?/ready"), ("GET", "/%72eady")]
    {
        assert_eq!(ask(&mut scene, method, path), 0, "{method} {path} is a request like any other");
    }
    scene.pass(86_400);
    assert_eq!(ask(&mut scene, "GET", "/ready"), 503, "keys that are too old are no keys");
}

#[test]
fn deadline_of_a_pending_request_is_not_extended_when_the_clock_is_set_back() {
    let mut scene = Scene::new();
    let (stream, reason) = scene.request(&SigningKey::a("k1").token(&payload(START)));
    assert_eq!(reason, None);
    scene.now = UnixTime::from_secs(START - 3600);
    for _ in 0..3 {
        for fetch in scene.tick() {
            scene.answer(&fetch, UNREACHABLE);
        }
        scene.pass(1);
    }
    assert!(
        matches!(scene.reason_of(stream), Some("pending_timed_out" | "keys_unavailable")),
        "{stream:?} waits still"
    );
}

/// A token with this `kid` and a false signature of the right length; each number makes another token.
fn forged(kid: &str, number: usize) -> String {
    let header = json!({ "alg": "RS256", "kid": kid }).to_string();
    let signature = format!("{number:0>256}");
    format!(
        "{}.{}.{}",
        signing::encode(&header),
        signing::encode(&payload(START).to_string()),
        signing::encode(&signature)
    )
}

#[test]
fn a_key_replaced_under_the_same_kid_is_found_by_the_request_that_brings_it() {
    let (old, new) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let mut scene = with_keys(&old);
    let (of_old, of_new) = (old.token(&payload(START)), new.token(&payload(START)));
    assert_eq!(scene.request(&of_old).1, Some("authorized"));
    let (first, reason) = scene.request(&of_new);
    assert_eq!(reason, None, "it waits for the fetch");
    assert!(scene.next_tick.is_some());
    let (second, _) = scene.request(&of_new);
    let fetch = scene.tick_begins_a_fetch();
    let (third, _) = scene.request(&of_new);
    scene.answer(&fetch, published(&[&new]));
    for stream in [first, second, third] {
        assert_eq!(scene.reason_of(stream), Some("authorized"));
    }
    assert_eq!(scene.request(&of_new).1, Some("authorized"));
    assert_eq!(scene.request(&of_old).1, Some("signature_invalid"), "the old key verifies nothing any more");
    assert_eq!(scene.tick(), []);
}

#[test]
fn forged_tokens_with_a_cached_kid_cause_one_fetch_in_ten_seconds_and_only_the_first_waits() {
    let key = SigningKey::a("k1");
    let mut scene = with_keys(&key);
    for round in 0..3 {
        let (first, reason) = scene.request(&forged("k1", 1000 * round));
        assert_eq!(reason, None, "{round}");
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, published(&[&key]));
        assert_eq!(scene.reason_of(first), Some("signature_invalid"));
        for number in 1..100 {
            assert_eq!(scene.request(&forged("k1", 1000 * round + number)).1, Some("signature_invalid"), "{number}");
            assert_eq!(scene.tick(), []);
            scene.now = scene.now.plus(Duration::from_millis(100));
        }
        assert_eq!(scene.request(&key.token(&payload(START))).1, Some("authorized"));
        scene.now = scene.now.plus(Duration::from_millis(100));
    }
}

/// A token that was rejected is remembered for seconds. That must not keep its client from the key that replaced the one held.
#[test]
fn a_token_that_was_rejected_before_is_verified_with_the_key_that_replaced_the_one_held() {
    let (old, new) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let token = new.token(&payload(START));
    let mut scene = with_keys(&old);
    // The key server is down, and then up again within the time that a bad signature is remembered.
    let (first, _) = scene.request(&token);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, UNREACHABLE);
    assert_eq!(scene.reason_of(first), Some("signature_invalid"));
    assert_eq!(scene.request(&token).1, Some("signature_invalid"), "no fetch is made now");
    scene.pass(2);
    let (retry, reason) = scene.request(&token);
    assert_eq!(reason, None);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&new]));
    assert_eq!(scene.reason_of(retry), Some("authorized"));
    // The issuer signs with the new key before it publishes it.
    let mut scene = with_keys(&old);
    let (first, _) = scene.request(&token);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&old]));
    assert_eq!(scene.reason_of(first), Some("signature_invalid"));
    scene.pass(9);
    assert_eq!(scene.request(&token).1, Some("signature_invalid"));
    scene.pass(1);
    let (retry, _) = scene.request(&token);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&new]));
    assert_eq!(scene.reason_of(retry), Some("authorized"));
}

#[test]
fn failed_signature_is_401_also_when_no_fetch_can_be_made() {
    let key = SigningKey::a("k1");
    let is_rejected_at_once = |scene: &mut Scene, context: &str| {
        assert_eq!(scene.request(&forged("k1", 1)).1, Some("signature_invalid"), "{context}");
        assert_eq!(scene.tick(), [], "{context}");
    };
    // The fetch fails, and none is made during the back-off.
    let mut scene = with_keys(&key);
    let (stream, reason) = scene.request(&forged("k1", 0));
    assert_eq!(reason, None);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, UNREACHABLE);
    assert_eq!(scene.reason_of(stream), Some("signature_invalid"));
    is_rejected_at_once(&mut scene, "back-off");
    // The host does not answer the callout.
    let mut scene = with_keys(&key);
    let (stream, reason) = scene.request(&forged("k1", 0));
    assert_eq!(reason, None);
    scene.tick_begins_a_fetch();
    scene.pass(6);
    scene.tick();
    assert_eq!(scene.reason_of(stream), Some("signature_invalid"));
    // Unknown key ids have taken all fetches.
    let mut scene = with_keys(&key);
    for kid in ["x", "y", "z"] {
        scene.request(&SigningKey::b(kid).token(&payload(START)));
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, published(&[&key]));
    }
    is_rejected_at_once(&mut scene, "no fetch is left");
    scene.pass(4);
    scene.tick();
    // The process has none left.
    let mut scene = with_keys(&key);
    let (stream, reason) = scene.request(&forged("k1", 0));
    assert_eq!(reason, None);
    let fetch = scene.tick_begins_a_fetch();
    let outcome = LeaseOutcome::Cooldown { wait: Duration::from_secs(4), sequence: Sequence::new(2) };
    scene.lease_done(fetch.id, outcome);
    assert_eq!(scene.reason_of(stream), Some("signature_invalid"));
    is_rejected_at_once(&mut scene, "the process has none left");
    // A key that is not held is looked for all the same: the last fetch is kept for those.
    assert_eq!(scene.request(&SigningKey::b("new").token(&payload(START))).1, None);
    let mut effects = scene.harness.tick();
    assert_eq!(effects.fetch_causes, [FetchCause::UnknownKeyId]);
    let fetch = effects.fetches.remove(0);
    scene.answer(&fetch, published(&[&key]));
    scene.pass(4);
    assert_eq!(scene.request(&forged("k1", 2)).1, Some("signature_invalid"), "that fetch began after its failure");
}

#[test]
fn forged_tokens_with_every_cached_kid_leave_a_fetch_for_a_new_key() {
    if !engine_harness::IS_NATIVE {
        return;
    }
    let keys: Vec<SigningKey> = (0..20).map(|number| SigningKey::a(&format!("k{number}"))).collect();
    let held: Vec<&SigningKey> = keys.iter().collect();
    let new = SigningKey::b("new");
    let all: Vec<&SigningKey> = keys.iter().chain([&new]).collect();
    // Whatever the state of the bucket at the rotation.
    for rotation in [0, 50, 20_000, 22_000, 23_950] {
        let mut scene = Scene::new();
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, published(&held));
        let (mut fetches, mut works) = (0, None);
        for tick in 0..600_u64 {
            let millis = tick * 50;
            for kid in 0..20_usize {
                let number = usize::try_from(tick).unwrap() * 20 + kid;
                let (stream, reason) = scene.request(&forged(&format!("k{kid}"), number));
                assert!([None, Some("signature_invalid")].contains(&reason), "{reason:?}");
                scene.close(stream);
            }
            if millis >= rotation && works.is_none() {
                let (stream, reason) = scene.request(&new.token(&payload(START)));
                assert_ne!(reason, Some("key_unknown"));
                scene.close(stream);
                works = works.or((reason == Some("authorized")).then_some(millis - rotation));
            }
            for fetch in scene.tick() {
                fetches += 1;
                scene.now = scene.now.plus(Duration::from_millis(20));
                scene.answer(&fetch, published(if millis < rotation { &held } else { &all }));
                scene.now = UnixTime::from_millis(START * 1000 + millis);
            }
            assert!(scene.decided.drain(..).all(|(_, decision)| {
                ["signature_invalid", "authorized", "keys_unavailable"].contains(&decision.audit.reason())
            }));
            scene.now = UnixTime::from_millis(START * 1000 + millis + 50);
        }
        assert!(works.is_some_and(|millis| millis <= 100), "rotated at {rotation}: works after {works:?} ms");
        assert!((3..=3 + 30 / 4).contains(&fetches), "{fetches} fetches in 30 s");
    }
}

/// Hardly any token whose signature fails is genuine: those that wait take few places.
#[test]
fn failed_signatures_use_an_eighth_of_their_issuers_capacity() {
    let key = SigningKey::a("k1");
    let mut scene = Scene::with_limits(ParkingLimits { requests: 600, bytes: usize::MAX });
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&key]));
    let reasons: Vec<_> = (0..100).map(|number| scene.request(&forged("k1", number)).1).collect();
    let waiting = reasons.iter().filter(|reason| reason.is_none()).count();
    assert_eq!(waiting, 38, "of 300");
    assert!(reasons[waiting..].iter().all(|reason| *reason == Some("signature_invalid")));
    let unknown = (0..600).filter(|number| scene.request(&forged(&format!("x{number}"), 0)).1.is_none()).count();
    assert_eq!(unknown, 300 - waiting, "the others wait for keys that are not held");
    assert_eq!(scene.request(&forged("k1", 1000)).1, Some("signature_invalid"));
}

/// A set with keys that have no id has candidates for every token: what it names is not remembered.
#[test]
fn forged_key_ids_for_keys_without_an_id_count_as_one() {
    let old = SigningKey::a("k1");
    let mut without_id = key_set(&[&old]);
    without_id["keys"][0].as_object_mut().unwrap().remove("kid");
    let mut scene = Scene::new();
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, answer_of(200, None, &without_id));
    assert_eq!(scene.request(&old.token(&payload(START))).1, Some("authorized"));
    let (first, reason) = scene.request(&forged("x", 0));
    assert_eq!(reason, None);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, answer_of(200, None, &without_id));
    assert_eq!(scene.reason_of(first), Some("signature_invalid"));
    for number in 0..1000 {
        assert_eq!(scene.request(&forged(&format!("x{number}"), number)).1, Some("signature_invalid"));
    }
    assert_eq!(scene.tick(), []);
    scene.pass(10);
    let new = SigningKey::b("k2");
    let (waiting, _) = scene.request(&new.token(&payload(START)));
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[&old, &new]));
    assert_eq!(scene.reason_of(waiting), Some("authorized"));
}

#[test]
fn inline_keys_are_never_fetched_again() {
    let key = SigningKey::a("k1");
    let configuration = json!({ "providers": { "a": { "issuer": signing::ISSUER, "audiences": ["api://default"],
        "jwks": { "inline": key_set(&[&key]) } } } });
    let mut scene = Scene::of(&configuration, ParkingLimits::default());
    assert_eq!(scene.request(&forged("k1", 0)).1, Some("signature_invalid"));
    assert_eq!(scene.request(&SigningKey::b("k1").token(&payload(START))).1, Some("signature_invalid"));
    assert_eq!(scene.tick(), []);
}

#[test]
fn a_key_replaced_under_the_same_kid_is_found_by_the_fetch_of_another_worker() {
    let (old, new) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let (mut here, mut there, mut lease) = two_workers(&old);
    let early = fetches_for(&mut there, &mut lease, "another");
    let (waiting, _) = here.request(&new.token(&payload(START)));
    let own = here.tick_wants_a_lease();
    assert_eq!(own.fetch.cause, FetchCause::SignatureInvalid);
    assert!(matches!(acquire_lease(&mut here, &mut lease, &own), Lease::HeldByOther(_)));
    // That one began too early to reject it, and may well bring the new key.
    there.end(early.id, published(&[&old]));
    lease = lease.map(KeyLease::given_back);
    here.learn(&there.shared.take().unwrap());
    assert_eq!(here.reason_of(waiting), None);
    assert!(here.engine.is_under_way(own.id));
    let late = fetches_for(&mut there, &mut lease, "a third");
    there.end(late.id, published(&[&new]));
    lease = lease.map(KeyLease::given_back);
    here.learn(&there.shared.take().unwrap());
    assert_eq!(here.reason_of(waiting), Some("authorized"));
    assert!(!here.engine.is_under_way(own.id), "its own fetch is needed no more");
    assert!(lease.is_some());
}

/// What that fetch brought is judged first; no second one is made where it is enough.
#[test]
fn other_keys_fetched_by_another_worker_save_the_fetch_for_a_failed_signature() {
    let (old, new) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let (mut here, mut there, mut lease) = two_workers(&old);
    let early = fetches_for(&mut there, &mut lease, "another");
    let (waiting, _) = here.request(&new.token(&payload(START)));
    let (forged, _) = here.request(&forged("k1", 0));
    let own = here.tick_wants_a_lease();
    assert!(matches!(acquire_lease(&mut here, &mut lease, &own), Lease::HeldByOther(_)));
    there.end(early.id, published(&[&new]));
    lease = lease.map(KeyLease::given_back);
    here.learn(&there.shared.take().unwrap());
    assert_eq!(here.reason_of(waiting), Some("authorized"));
    assert!(!here.engine.is_under_way(own.id));
    // When that fetch began is not known here: another one is made for the request that still waits.
    assert_eq!(here.reason_of(forged), None);
    let own = here.tick_wants_a_lease();
    assert!(matches!(acquire_lease(&mut here, &mut lease, &own), Lease::Acquired(_)));
    here.end(own.id, published(&[&new]));
    assert_eq!(here.reason_of(forged), Some("signature_invalid"));
}

/// Another worker's set may be an hour old when this one takes it over.
#[test]
fn failed_signature_is_verified_again_after_an_old_set_of_another_worker() {
    let (old, new) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let mut there = with_keys(&old);
    let mut here = Scene::new();
    let (waiting, reason) = here.request(&new.token(&payload(START)));
    assert_eq!(reason, None, "for the first keys");
    here.learn(&there.shared.take().unwrap());
    assert_eq!(here.reason_of(waiting), None);
    let fetch = here.tick_begins_a_fetch();
    here.answer(&fetch, published(&[&new]));
    assert_eq!(here.reason_of(waiting), Some("authorized"));
}
