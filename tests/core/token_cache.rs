//! Cached tokens: which are verified again and which are not, with exact times and a count of every signature verification.
//! Runs natively and, as wasm, under Node.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::engine_harness::{Harness, NOW as START, bearer, edits_of, head, published};
use crate::signing::{SigningKey, fetched_issuer, key_set, payload, with};
use okta_proxy_wasm::engine::Decision;
use okta_proxy_wasm::http::HeaderEdit;
use okta_proxy_wasm::unix_time::UnixTime;
use serde_json::{Value, json};

const SKEW: u64 = 120;

/// An engine that has its keys from their server.
struct Scene(Harness);

impl Deref for Scene {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.0
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Harness {
        &mut self.0
    }
}

impl Scene {
    /// Holds these keys.
    fn holding(keys: &[&SigningKey]) -> Self {
        Self::of(&json!({}), keys)
    }

    /// With this `cache` in the configuration.
    fn of(cache: &Value, keys: &[&SigningKey]) -> Self {
        let configuration = with(&fetched_issuer(), json!({ "cache": cache }));
        let mut scene = Self(Harness::new(&configuration));
        scene.fetch_keys(keys);
        scene
    }

    /// The issuer publishes these keys, and they are fetched.
    fn fetch_keys(&mut self, keys: &[&SigningKey]) {
        self.fetch(published(&key_set(keys)));
    }

    fn at(&mut self, second: u64) -> &mut Self {
        self.now = UnixTime::from_secs(second);
        self
    }

    fn decision(&mut self, fields: &[(&str, &str)]) -> Decision {
        self.decide(&head(fields))
    }

    /// The reason for this token, and how many signatures were checked for it.
    fn decide_token(&mut self, token: &str) -> (&'static str, usize) {
        let before = self.signatures_verified();
        let reason = self.request(&bearer(token)).map_or("parked", |decision| decision.audit.reason());
        (reason, self.signatures_verified() - before)
    }
}

fn edits(decision: &Decision) -> Vec<HeaderEdit> {
    edits_of(decision).iter().cloned().collect()
}

/// A different good token for each number.
fn numbered(key: &SigningKey, number: usize) -> String {
    key.token(&with(&payload(START), json!({ "jti": format!("AT.{number}") })))
}

#[test]
fn token_is_verified_once_and_decided_alike_afterwards() {
    let key = SigningKey::a("k1");
    let mut scene = Scene::holding(&[&key]);
    let bearer = format!("Bearer {}", key.token(&payload(START)));
    let head = [("authorization", bearer.as_str()), ("X-User_Id", "mallory"), ("x-request-id", "r-1")];
    let (first, second) = (scene.decision(&head), scene.decision(&head));
    assert_eq!(scene.signatures_verified(), 1);
    assert_eq!(first.verdict, second.verdict);
    // The record alone tells them apart.
    let [verified, remembered] = [r#""proof":"verified""#, r#""proof":"cached""#];
    assert_eq!(first.audit.to_json().replace(verified, remembered), second.audit.to_json());
    assert!(first.audit.to_json().contains(verified));
    assert!(edits(&second).contains(&HeaderEdit::Remove("x-user_id".to_owned())), "each request is stripped");
    assert!(edits(&second).contains(&HeaderEdit::Remove("authorization".to_owned())));
    // What is taken out is this request's own.
    assert!(!edits(&scene.decision(&head[..1])).contains(&HeaderEdit::Remove("x-user_id".to_owned())));
    assert_eq!(scene.signatures_verified(), 1);
}

#[test]
fn another_encoding_of_a_cached_token_is_verified_by_itself() {
    let key = SigningKey::a("k1");
    let mut scene = Scene::holding(&[&key]);
    let token = key.token(&payload(START));
    assert_eq!(scene.decide_token(&token), ("authorized", 1));
    for at in 0..token.len() {
        let mut other = token.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        assert_ne!(scene.decide_token(&other).0, "authorized", "byte {at}");
    }
    for other in [format!("{token}="), format!("{token}A"), token[1..].to_owned(), token[..token.len() - 1].to_owned()]
    {
        assert_ne!(scene.decide_token(&other).0, "authorized", "{} bytes", other.len());
    }
    // The known signature under another payload: found by its end, and told apart.
    let end = token.rfind('.').unwrap();
    let other = numbered(&key, 1);
    let swapped = format!("{}{}", &other[..other.rfind('.').unwrap()], &token[end..]);
    assert_eq!(scene.decide_token(&swapped), ("signature_invalid", 1));
    assert_eq!(scene.decide_token(&token), ("authorized", 0));
}

#[test]
fn cached_token_is_rejected_after_exp_and_before_nbf() {
    let key = SigningKey::a("k1");
    let token = key.token(&with(&payload(START), json!({ "nbf": START + 5 })));
    let mut scene = Scene::holding(&[&key]);
    assert_eq!(scene.decide_token(&token), ("authorized", 1));
    let end = START + 3600 + SKEW;
    assert_eq!(scene.at(end - 1).decide_token(&token), ("authorized", 0));
    assert_eq!(scene.at(end).decide_token(&token), ("token_expired", 0));
    assert_eq!(scene.at(end + 1_000_000).decide_token(&token), ("token_expired", 0));
    // The clock went back, to before the token was issued.
    let mut scene = Scene::holding(&[&key]);
    assert_eq!(scene.decide_token(&token).0, "authorized");
    assert_eq!(scene.at(START + 5 - SKEW).decide_token(&token), ("authorized", 0));
    assert_eq!(scene.at(START + 4 - SKEW).decide_token(&token).0, "token_not_yet_valid");
    assert_eq!(scene.at(START).decide_token(&token).0, "authorized");
}

#[test]
fn withdrawn_key_invalidates_the_cached_tokens_that_it_verified() {
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k2"));
    let (by_a, by_b) = (a.token(&payload(START)), b.token(&payload(START)));
    let mut scene = Scene::holding(&[&a, &b]);
    assert_eq!([scene.decide_token(&by_a), scene.decide_token(&by_b)], [("authorized", 1), ("authorized", 1)]);
    // The same keys again change nothing.
    scene.at(START + 3600).fetch_keys(&[&a, &b]);
    assert_eq!([scene.decide_token(&by_a), scene.decide_token(&by_b)], [("authorized", 0), ("authorized", 0)]);
    // Without `k1` its tokens are unknown at once, and those of `k2` are verified by the new set.
    let mut scene = Scene::holding(&[&a, &b]);
    scene.decide_token(&by_a);
    scene.decide_token(&by_b);
    scene.at(START + 3600).fetch_keys(&[&b]);
    assert_eq!(scene.decide_token(&by_b), ("authorized", 1));
    assert_eq!(scene.decide_token(&by_a), ("parked", 0));
    // Another key under the same id.
    let mut scene = Scene::holding(&[&a]);
    assert_eq!(scene.decide_token(&by_a), ("authorized", 1));
    scene.at(START + 3600).fetch_keys(&[&SigningKey::b("k1")]);
    assert_eq!(scene.decide_token(&by_a), ("parked", 1), "it may have been replaced again");
    scene.fetch_keys(&[&SigningKey::b("k1")]);
    assert_eq!(scene.decide_token(&by_a), ("signature_invalid", 0));
}

#[test]
fn key_set_older_than_max_stale_validates_no_token() {
    let key = SigningKey::a("k1");
    let long = key.token(&with(&payload(START), json!({ "exp": START + 200_000 })));
    let mut scene = Scene::holding(&[&key]);
    assert_eq!(scene.decide_token(&long), ("authorized", 1));
    assert_eq!(scene.at(START + 24 * 3600 - 1).decide_token(&long), ("authorized", 0));
    assert_eq!(scene.at(START + 24 * 3600).decide_token(&long), ("parked", 0));
}

#[test]
fn bad_tokens_never_evict_a_good_one() {
    let (key, other) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let mut scene = Scene::of(&json!({ "max_tokens": 1 }), &[&key]);
    let good = key.token(&payload(START));
    assert_eq!(scene.decide_token(&good), ("authorized", 1));
    let mut bad: Vec<String> = vec![other.token(&payload(START)), "a.b.c".to_owned(), "opaque".to_owned()];
    for change in [json!({"aud": "api://other"}), json!({"iss": "https://evil.example"}), json!({"exp": START - 1000})]
    {
        bad.push(key.token(&with(&payload(START), change)));
    }
    let signature = good.rfind('.').unwrap();
    bad.extend(
        (0..2000)
            .map(|number| {
                let forged = with(&payload(START), json!({ "jti": number }));
                let unsigned = key.token_of_texts(r#"{"alg":"RS256","kid":"k1"}"#, &forged.to_string());
                // Signing takes long: the good one's signature under another payload.
                format!("{}{}", &unsigned[..unsigned.rfind('.').unwrap()], &good[signature..])
            })
            .take(20),
    );
    for token in &bad {
        assert_ne!(scene.decide_token(token).0, "authorized");
        assert_eq!(scene.decide_token(&good), ("authorized", 0));
    }
}

#[test]
fn bad_signature_is_cached_for_five_seconds_and_only_with_the_same_keys() {
    let key = SigningKey::a("k1");
    let mut scene = Scene::holding(&[&key]);
    let bad = SigningKey::b("k1").token(&payload(START));
    assert_eq!(scene.decide_token(&bad), ("parked", 1));
    scene.fetch_keys(&[&key]);
    assert_eq!(scene.decide_token(&bad), ("signature_invalid", 0));
    scene.now = scene.now.plus(Duration::from_millis(4999));
    assert_eq!(scene.decide_token(&bad), ("signature_invalid", 0));
    assert_eq!(scene.at(START + 5).decide_token(&bad), ("signature_invalid", 1));
    assert_eq!(scene.at(START + 4).decide_token(&bad), ("signature_invalid", 1), "the clock went back");
    // A rotation under the same id makes it good.
    let mut scene = Scene::holding(&[&key]);
    scene.decide_token(&bad);
    scene.fetch_keys(&[&key]);
    assert_eq!(scene.at(START + 1).decide_token(&bad), ("signature_invalid", 0));
    scene.decide_token(&SigningKey::b("k2").token(&payload(START)));
    scene.fetch_keys(&[&SigningKey::b("k1")]);
    assert_eq!(scene.decide_token(&bad), ("authorized", 1));
}

#[test]
fn least_recently_used_entry_is_evicted() {
    let key = SigningKey::a("k1");
    let mut scene = Scene::of(&json!({ "max_tokens": 2 }), &[&key]);
    let tokens: Vec<String> = (0..3).map(|number| numbered(&key, number)).collect();
    let mut checked: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for number in [0, 1, 0, 2, 2, 2, 0, 1] {
        let (reason, checks) = scene.decide_token(&tokens[number]);
        assert_eq!(reason, "authorized");
        checked.entry(number).or_default().push(checks);
    }
    // 2 pushed 1 out when it came again, not 0, which was used since.
    assert_eq!(checked, BTreeMap::from([(0, vec![1, 0, 0]), (1, vec![1, 1]), (2, vec![1, 1, 0])]));
}

#[test]
fn cache_bytes_are_bounded_and_without_capacity_every_token_is_verified() {
    let key = SigningKey::a("k1");
    let judged = |cache: Value, tokens: &[&String]| {
        let mut scene = Scene::of(&cache, &[&key]);
        tokens.iter().map(|token| scene.decide_token(token)).map(|(_, checks)| checks).collect::<Vec<_>>()
    };
    let (one, two) = (&numbered(&key, 1), &numbered(&key, 2));
    let takes = one.len() * 4;
    assert_eq!(judged(json!({}), &[one, two, one, two]), [1, 1, 0, 0]);
    assert_eq!(judged(json!({ "max_bytes": takes * 2 }), &[one, two, one, two, two, one]), [1, 1, 0, 1, 0, 1]);
    assert_eq!(judged(json!({ "max_bytes": takes }), &[one, one]), [1, 1]);
    let bad = &SigningKey::b("k1").token(&payload(START));
    assert_eq!(judged(json!({ "max_tokens": 0 }), &[one, one, bad, bad]), [1, 1, 1, 1]);
}

#[test]
fn many_pending_requests_with_one_token_cause_one_verification() {
    let key = SigningKey::a("k1");
    let mut scene = Scene::holding(&[]);
    let token = key.token(&payload(START));
    scene.at(START + 5);
    let fetch = scene.tick_begins_a_fetch();
    for _ in 0..100 {
        assert!(scene.request(&bearer(&token)).is_err(), "it is pending");
    }
    scene.done(fetch.id, published(&key_set(&[&key])));
    scene.drain();
    assert_eq!(scene.decided.len(), 100);
    assert!(scene.decided.iter().all(|(_, decision)| decision.audit.reason() == "authorized"));
    assert_eq!(scene.signatures_verified(), 1);
}
