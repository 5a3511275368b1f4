//! Providers that share an issuer: `aud` selects one, and that one alone validates the token.

use okta_proxy_wasm::engine::{Decision, StreamId, Verdict};
use serde_json::{Value, json};

use super::{NOW, decide, decide_at, reply};
use crate::engine_harness::{Harness, bearer, published};
use crate::random::Random;
use crate::signing::{ISSUER, SigningKey, key_set, payload, with};
use crate::verdicts::{edits, reason};

const A: &str = "api://a";
const B: &str = "api://b";

/// Two providers of one issuer with keys of their own, both of the same `kid`.
fn two_providers() -> Value {
    let provider = |audiences: Value, key: &SigningKey| json!({ "issuer": ISSUER, "audiences": audiences, "jwks": { "inline": key_set(&[key]) } });
    json!({ "providers": {
        "a": provider(json!([A, "api://a2"]), &SigningKey::a("k1")),
        "b": provider(json!([B]), &SigningKey::b("k1")),
    } })
}

fn claims(audience: &str, changes: Value) -> Value {
    with(&with(&payload(NOW), json!({ "aud": audience })), changes)
}

fn decided(configuration: &Value, token: &str) -> Decision {
    decide(configuration, &[("authorization", &format!("Bearer {token}"))])
}

fn record(decision: &Decision) -> Value {
    serde_json::from_str(&decision.audit.to_json()).unwrap()
}

#[test]
fn audience_selects_the_provider_whose_keys_verify_the_token() {
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k1"));
    for (key, audience, expected, provider) in [
        (&a, json!(A), "authorized", Some("a")),
        (&a, json!([A]), "authorized", Some("a")),
        (&a, json!([A, "api://a2"]), "authorized", Some("a")),
        (&a, json!([A, A]), "authorized", Some("a")),
        (&a, json!(["api://other", "api://a2"]), "authorized", Some("a")),
        (&b, json!(B), "authorized", Some("b")),
        (&b, json!(["api://other", B]), "authorized", Some("b")),
        (&a, json!(B), "signature_invalid", Some("b")),
        (&b, json!(A), "signature_invalid", Some("a")),
        (&a, json!([A, B]), "audience_ambiguous", None),
        (&a, json!([B, A]), "audience_ambiguous", None),
        (&b, json!([A, B]), "audience_ambiguous", None),
        (&b, json!([B, "api://other", "api://a2"]), "audience_ambiguous", None),
        (&a, json!("api://other"), "audience_unexpected", None),
        (&a, json!("API://a"), "audience_unexpected", None),
        (&a, json!("api://a/"), "audience_unexpected", None),
        (&a, json!("api://a api://b"), "audience_unexpected", None),
        (&a, json!(""), "audience_unexpected", None),
        (&a, json!([]), "audience_malformed", None),
        (&a, json!(null), "audience_malformed", None),
        (&a, json!(5), "audience_malformed", None),
        (&a, json!([A, 5]), "audience_malformed", None),
        (&a, json!([[A]]), "audience_malformed", None),
        (&a, json!({ "a": A }), "audience_malformed", None),
    ] {
        let mut payload = payload(NOW);
        payload["aud"] = audience.clone();
        let decision = decided(&two_providers(), &key.token(&payload));
        assert_eq!(reason(&decision), expected, "{audience}");
        assert_eq!(record(&decision)["provider"].as_str(), provider, "{audience}");
        if expected != "authorized" {
            let unknown =
                decided(&two_providers(), &a.token(&with(&payload, json!({ "iss": "https://other.example" }))));
            assert_eq!(reply(&decision), reply(&unknown), "the client can tell {expected} apart");
        }
    }
    let missing = decided(&two_providers(), &a.token(&with(&payload(NOW), json!({ "aud": null }))));
    assert_eq!(reason(&missing), "audience_missing");
}

/// With an unsigned token: what is rejected before the signature needs none.
#[test]
fn audience_of_no_provider_is_rejected_with_any_key_algorithm_and_signature() {
    for header in [
        json!({ "alg": "RS256", "kid": "k1" }),
        json!({ "alg": "RS256", "kid": "k9" }),
        json!({ "alg": "RS512", "kid": "k1" }),
        json!({ "alg": "RS256" }),
    ] {
        for (audience, expected) in
            [(json!("api://other"), "audience_unexpected"), (json!([A, B]), "audience_ambiguous")]
        {
            let claims = claims(A, json!({ "aud": audience, "exp": NOW - 3600 }));
            let token = SigningKey::a("k1").token_with_header(&header, &claims);
            let forged = format!("{}.AAAA", token.rsplit_once('.').unwrap().0);
            for token in [token, forged] {
                assert_eq!(reason(&decided(&two_providers(), &token)), expected, "{header}");
            }
        }
    }
}

#[test]
fn no_setting_of_one_provider_applies_to_tokens_of_the_other() {
    let rows = [
        ("a", json!({ "clock_skew": "300s" }), json!({ "exp": NOW - 200 }), "token_expired"),
        ("a", json!({ "clock_skew": "300s" }), json!({ "nbf": NOW + 200 }), "token_not_yet_valid"),
        ("a", json!({ "accept_nonce": true }), json!({ "nonce": "n", "typ": "Bearer" }), "not_an_access_token"),
        ("b", json!({ "client_ids": ["0oa2other"] }), json!({}), "client_unexpected"),
        ("b", json!({ "max_token_lifetime": "10m" }), json!({}), "token_lifetime_too_long"),
        ("b", json!({ "subject_claim": "ver" }), json!({}), "identity_malformed"),
        ("b", json!({ "client_claim": "ver" }), json!({}), "identity_malformed"),
        ("b", json!({ "scope_claim": "ver" }), json!({}), "identity_malformed"),
    ];
    for (name, settings, changes, rejected_by_b) in rows {
        // As it is written, and with the two providers in the other order.
        for (relaxed, strict) in [("a", "b"), ("z", "b")] {
            let mut configuration = two_providers();
            let providers = configuration["providers"].as_object_mut().unwrap();
            for (field, value) in settings.as_object().unwrap() {
                providers[name][field] = value.clone();
            }
            let first = providers.remove("a").unwrap();
            providers.insert(relaxed.to_owned(), first);
            let of_a = decided(&configuration, &SigningKey::a("k1").token(&claims(A, changes.clone())));
            assert_eq!((reason(&of_a), &record(&of_a)["provider"]), ("authorized", &json!(relaxed)), "{settings}");
            let of_b = decided(&configuration, &SigningKey::b("k1").token(&claims(B, changes.clone())));
            assert_eq!((reason(&of_b), &record(&of_b)["provider"]), (rejected_by_b, &json!(strict)), "{settings}");
        }
    }
    let mut configuration = two_providers();
    configuration["providers"]["a"]["algorithms"] = json!(["RS256", "RS512"]);
    let with_rs512 = |key: &SigningKey, audience: &str| {
        let token = key.token_with_header(&json!({ "alg": "RS512", "kid": "k1" }), &claims(audience, json!({})));
        reason(&decided(&configuration, &token))
    };
    assert_ne!(with_rs512(&SigningKey::a("k1"), A), "algorithm_not_allowed");
    assert_eq!(with_rs512(&SigningKey::b("k1"), B), "algorithm_not_allowed");
}

#[test]
fn each_provider_reads_identity_by_its_own_claim_names() {
    let mut configuration = two_providers();
    configuration["providers"]["b"]["subject_claim"] = json!("uid");
    let of = |key: SigningKey, audience| edits(&decided(&configuration, &key.token(&claims(audience, json!({})))));
    assert!(of(SigningKey::a("k1"), A).contains(&"x-user-id=alice@acme.com".to_owned()));
    assert!(of(SigningKey::b("k1"), B).contains(&"x-user-id=00u1alice".to_owned()));
}

#[test]
fn rule_tells_the_providers_of_one_issuer_apart() {
    let mut configuration = two_providers();
    configuration["rules"] = json!([
        { "match": { "path": "/b" }, "require": { "condition": "token.provider == 'b'" } },
        { "match": { "path": "/audience-b" }, "require": { "audiences": [B] } },
    ]);
    let (a, b) = (SigningKey::a("k1").token(&claims(A, json!({}))), SigningKey::b("k1").token(&claims(B, json!({}))));
    let at = |path: &str, token: &str| {
        let fields = [(":method", "GET"), (":path", path), ("authorization", &format!("Bearer {token}"))];
        reason(&decide_at(&configuration, &fields))
    };
    assert_eq!((at("/b", &a), at("/audience-b", &a)), ("condition_unmet", "rule_audience_not_allowed"));
    assert_eq!((at("/b", &b), at("/audience-b", &b)), ("authorized", "authorized"));
    assert_eq!((at("/", &a), at("/", &b)), ("authorized", "authorized"), "a rule that names neither takes both");
}

#[test]
fn cached_tokens_of_one_issuer_stay_with_their_providers() {
    let mut engine = Harness::new(&two_providers());
    let mut ask = |token: &str| {
        let decision = engine.decide(&bearer(token));
        let record = record(&decision);
        (reason(&decision), record["provider"].as_str().map(str::to_owned), record["proof"] == "cached")
    };
    let a = SigningKey::a("k1").token(&claims(A, json!({})));
    let b = SigningKey::b("k1").token(&claims(B, json!({})));
    let forged = SigningKey::a("k1").token(&claims(B, json!({})));
    for is_known in [false, true, true] {
        assert_eq!(ask(&a), ("authorized", Some("a".to_owned()), is_known));
        assert_eq!(ask(&forged), ("signature_invalid", Some("b".to_owned()), false));
        assert_eq!(ask(&b), ("authorized", Some("b".to_owned()), is_known));
    }
}

/// Neither waits, fetches nor learns of a key what does not belong to one provider; the others wait for their own keys.
#[test]
fn token_waits_for_the_keys_of_its_provider_only() {
    let provider = |audience: &str, keys: &str| {
        json!({ "issuer": ISSUER, "audiences": [audience], "upstream": "idp",
            "jwks": { "uri": format!("https://idp.example/{keys}") } })
    };
    let configuration = json!({ "providers": { "a": provider(A, "a"), "b": provider(B, "b") } });
    let mut engine = Harness::new(&configuration);
    let (a, b) = (SigningKey::a("k1"), SigningKey::b("k1"));
    let ask = |engine: &mut Harness, stream: u32, key: &SigningKey, audience: Value| {
        let token = key.token(&claims(A, json!({ "aud": audience })));
        engine.request_as(StreamId(stream), &bearer(token)).ok().map(|decision| reason(&decision))
    };
    assert_eq!(ask(&mut engine, 1, &a, json!("api://other")), Some("audience_unexpected"));
    assert_eq!(ask(&mut engine, 2, &a, json!([A, B])), Some("audience_ambiguous"));
    assert_eq!(ask(&mut engine, 3, &a, json!(A)), None);
    assert_eq!(ask(&mut engine, 4, &a, json!(B)), None, "signed with the key of the other provider");
    assert_eq!(ask(&mut engine, 5, &b, json!(B)), None);
    let fetches = engine.tick().fetches;
    let addresses: Vec<String> = fetches.iter().map(|fetch| fetch.request.address.to_string()).collect();
    assert_eq!(addresses, ["https://idp.example/a", "https://idp.example/b"]);
    let answer = |engine: &mut Harness, at: usize, key: &SigningKey| {
        engine.done(fetches[at].id, published(&key_set(&[key])));
        let decided = engine.take_decided();
        decided.iter().map(|(stream, decision)| (stream.0, reason(decision))).collect::<Vec<_>>()
    };
    assert_eq!(answer(&mut engine, 0, &a), [(3, "authorized")]);
    assert_eq!(answer(&mut engine, 1, &b), [(4, "signature_invalid"), (5, "authorized")]);
    for audience in [json!("api://other"), json!([A, B])] {
        for kid in ["k1", "k9"] {
            let reason = ask(&mut engine, 6, &SigningKey::a(kid), audience.clone());
            assert!(reason.is_some_and(|reason| reason.starts_with("audience_")), "{reason:?}");
        }
    }
    assert!(engine.tick().fetches.is_empty(), "an unknown key id of no provider causes no fetch");
}

#[test]
fn providers_that_share_some_issuers_keep_the_others_to_themselves() {
    let mut configuration = two_providers();
    configuration["providers"]["a"]["additional_issuers"] = json!(["https://only-a.example", "https://both.example"]);
    configuration["providers"]["b"]["additional_issuers"] = json!(["https://both.example", "https://only-b.example"]);
    for (issuer, key, audience, expected) in [
        ("https://both.example", SigningKey::a("k1"), json!(A), "authorized"),
        ("https://both.example", SigningKey::b("k1"), json!(B), "authorized"),
        ("https://both.example", SigningKey::b("k1"), json!(A), "signature_invalid"),
        ("https://both.example", SigningKey::a("k1"), json!([A, B]), "audience_ambiguous"),
        ("https://only-a.example", SigningKey::a("k1"), json!(A), "authorized"),
        ("https://only-a.example", SigningKey::a("k1"), json!([A, B]), "authorized"),
        ("https://only-a.example", SigningKey::b("k1"), json!(B), "signature_invalid"),
        ("https://only-a.example", SigningKey::a("k1"), json!(B), "audience_unexpected"),
        ("https://only-b.example", SigningKey::b("k1"), json!(B), "authorized"),
    ] {
        let token = key.token(&claims(A, json!({ "iss": issuer, "aud": audience })));
        assert_eq!(reason(&decided(&configuration, &token)), expected, "{issuer} {audience}");
    }
}

impl Random {
    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        self.pick(choices).clone()
    }

    fn some_of(&mut self, choices: &[&str], one_in: usize) -> Vec<String> {
        choices.iter().filter(|_| self.index(one_in) == 0).map(|&choice| choice.to_owned()).collect()
    }
}

const ISSUERS: [&str; 3] = [ISSUER, "https://login.acme.com/oauth2/default", "acme.com"];
const AUDIENCES: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

/// Providers with random settings, random issuers and disjoint audiences.
fn random_providers(random: &mut Random) -> Vec<(String, Value)> {
    let owners: Vec<usize> = AUDIENCES.iter().map(|_| random.index(3)).collect();
    let provider = |at: usize| {
        let is_own = |name: &usize| owners[*name] == at;
        let audiences: Vec<&str> = (0..AUDIENCES.len()).filter(is_own).map(|name| AUDIENCES[name]).collect();
        let mut issuers = random.some_of(&ISSUERS, 2);
        if audiences.is_empty() || issuers.is_empty() {
            return None;
        }
        let key = if random.index(2) == 0 { SigningKey::a("k1") } else { SigningKey::b("k1") };
        let mut provider = json!({ "issuer": issuers.remove(0), "audiences": audiences,
            "jwks": { "inline": key_set(&[&key]) }, "clock_skew": random.one_of(&["0s", "60s", "300s"]),
            "accept_nonce": random.index(2) == 0, "subject_claim": random.one_of(&["sub", "uid"]),
            "algorithms": random.one_of(&[json!(["RS256"]), json!(["RS256", "RS512"]), json!(["ES256"])]) });
        if !issuers.is_empty() {
            provider["additional_issuers"] = json!(issuers);
        }
        if random.index(3) == 0 {
            provider["client_ids"] = json!(["0oa1client"]);
        }
        if random.index(3) == 0 {
            provider["max_token_lifetime"] = json!("1h");
        }
        Some((format!("p{at}"), provider))
    };
    (0..3).filter_map(provider).collect()
}

fn random_token(random: &mut Random) -> (Value, String) {
    let mut audience = json!(random.some_of(&AUDIENCES, 4));
    match random.index(12) {
        0 => audience = json!(5),
        1 => audience = json!("7"),
        2..=5 => audience = json!(random.one_of(&AUDIENCES)),
        _ => {}
    }
    let issuers = ISSUERS.iter().copied().chain(["https://other.example"]).collect::<Vec<_>>();
    let mut claims = with(&payload(NOW), json!({ "iss": random.one_of(&issuers) }));
    claims["aud"] = audience;
    claims["exp"] = json!(random.one_of(&[NOW - 600, NOW - 100, NOW - 30, NOW + 60, NOW + 3600, NOW + 7200]));
    if random.index(4) == 0 {
        claims = with(&claims, json!({ "nonce": "n", "typ": "Bearer" }));
    }
    if random.index(4) == 0 {
        claims["cid"] = json!("0oa2other");
    }
    let key = if random.index(2) == 0 { SigningKey::a("k1") } else { SigningKey::b("k1") };
    let algorithm = random.one_of(&["RS256", "RS256", "RS256", "RS512"]);
    let token = key.token_with_header(&json!({ "alg": algorithm, "kid": "k1" }), &claims);
    (claims, token)
}

/// All that a decision does and says.
fn whole(decision: &Decision) -> String {
    let verdict = match &decision.verdict {
        Verdict::Allow(_) => format!("{:?}", edits(decision)),
        Verdict::Deny(reply) => format!("{reply:?}"),
    };
    format!("{} {verdict} {:?}", decision.audit.to_json(), decision.filter_state)
}

#[test]
fn providers_with_disjoint_audiences_decide_each_token_as_its_one_provider_alone() {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let (mut admitted, mut selected, mut ambiguous, mut unmatched) = (0, 0, 0, 0);
    for _ in 0..60 {
        let providers = random_providers(&mut random);
        if providers.is_empty() {
            continue;
        }
        let document = |providers: &[(String, Value)]| {
            json!({ "providers": providers.iter().cloned().collect::<serde_json::Map<_, _>>(),
                "filter_state": ["provider", "issuer", "subject"] })
        };
        let all = document(&providers);
        for _ in 0..8 {
            let (claims, token) = random_token(&mut random);
            let found = decided(&all, &token);
            let has_issuer = |(_, provider): &&(String, Value)| {
                provider["issuer"] == claims["iss"]
                    || provider["additional_issuers"].as_array().is_some_and(|all| all.contains(&claims["iss"]))
            };
            let named = claims["aud"].as_array().cloned().unwrap_or_else(|| vec![claims["aud"].clone()]);
            let has_audience = |(_, provider): &&(String, Value)| {
                provider["audiences"].as_array().unwrap().iter().any(|audience| named.contains(audience))
            };
            let of_issuer: Vec<_> = providers.iter().filter(has_issuer).cloned().collect();
            let candidates: Vec<_> = of_issuer.iter().filter(has_audience).cloned().collect();
            match (of_issuer.as_slice(), candidates.as_slice()) {
                ([only], _) | ([_, _, ..], [only]) => {
                    let alone = decided(&document(std::slice::from_ref(only)), &token);
                    assert_eq!(whole(&found), whole(&alone), "{all} {claims}");
                    selected += i32::from(of_issuer.len() > 1);
                    admitted += i32::from(of_issuer.len() > 1 && reason(&found) == "authorized");
                }
                ([], _) => assert_eq!(reason(&found), "issuer_unknown", "{all} {claims}"),
                ([_, _, ..], []) => {
                    unmatched += 1;
                    assert!(
                        ["audience_unexpected", "audience_malformed"].contains(&reason(&found)),
                        "{all} {claims}: {}",
                        reason(&found)
                    );
                }
                ([_, _, ..], [_, _, ..]) => {
                    ambiguous += 1;
                    assert_eq!(reason(&found), "audience_ambiguous", "{all} {claims}");
                }
            }
        }
    }
    let counts = (selected, admitted, ambiguous, unmatched);
    assert!(selected > 40 && admitted > 4 && ambiguous > 10 && unmatched > 20, "{counts:?}");
}
