//! The part of group A that concerns key sets, and group J: key sets over time.

use num_bigint::BigUint;
use okta_proxy_wasm::callout::{CalloutResult, HttpResponse, TransportError};
use okta_proxy_wasm::jose::KeySet;
use serde_json::{Value, json};

use super::{FetchResult, NOW, OTHER_ISSUER, Scene, StreamId, claiming, faults_of, one_issuer};
use crate::forge::{Forge, base64url, fixed, hmac_token};
use crate::signing::{AUDIENCE, ISSUER, payload, with};

/// One provider whose keys are fetched from `keys_of_a`.
pub fn fetching() -> Value {
    json!({ "providers": { "a": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "upstream": "cluster-a", "jwks": { "uri": "https://a.example/keys" } } } })
}

pub fn published(keys: &[Value]) -> CalloutResult {
    body(200, json!({ "keys": keys }).to_string())
}

pub fn body(status: u16, body: impl Into<Vec<u8>>) -> CalloutResult {
    Ok(HttpResponse::new(status, body.into()))
}

/// A scene that holds these keys.
pub fn holding(keys: &[Value]) -> Scene {
    let mut scene = Scene::new(&fetching());
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(keys));
    scene
}

/// Such a key is skipped, in a set and alone, and the good key beside it is not the worse for it.
fn unusable(label: &str, key: &Value) {
    let good = Forge::RsaA.jwk("rsa");
    let set = json!({ "keys": [key, good] }).to_string();
    let set = KeySet::parse(set.as_bytes()).unwrap();
    assert_eq!((set.len(), set.skipped().len()), (1, 1), "{label}: taken");
    assert!(
        faults_of(&one_issuer(std::slice::from_ref(key))).contains("no key here can verify"),
        "{label}: configured"
    );
    let mut scene = holding(&[key.clone(), good]);
    assert!(matches!(scene.notes[..], [(_, FetchResult::Replaced { .. })]), "{label}: spoils the set");
    assert_eq!(scene.reason(claiming(json!({}))), "authorized", "{label}: the good key suffers");
}

fn usable(label: &str, key: &Value) {
    assert_eq!(faults_of(&one_issuer(std::slice::from_ref(key))), "", "{label}: refused");
}

/// `key` with some members replaced; `null` removes one.
fn changed(key: Forge, changes: Value) -> Value {
    with(&key.jwk("k"), changes)
}

fn rsa(n: &BigUint, e: &BigUint) -> Value {
    json!({ "kty": "RSA", "kid": "k", "n": base64url(n.to_bytes_be()), "e": base64url(e.to_bytes_be()) })
}

/// The first number from `from` on that no prime below 10 000 divides: nothing but its size can be at fault.
fn without_small_factors(from: BigUint) -> BigUint {
    let primes: Vec<u32> = primes_below(10_000);
    let mut number = from | BigUint::from(1_u8);
    while primes.iter().any(|prime| (&number % prime) == BigUint::ZERO) {
        number += 2_u8;
    }
    number
}

fn primes_below(limit: u32) -> Vec<u32> {
    (2..limit).filter(|number| (2..*number).take_while(|d| d * d <= *number).all(|d| number % d != 0)).collect()
}

/// A number of exactly so many bits that looks arbitrary.
fn modulus_of(bits: u32) -> BigUint {
    let n = BigUint::from_bytes_be(&Forge::RsaA.rsa().n().to_vec());
    let mut digits = n.clone();
    while digits.bits() < u64::from(bits) {
        digits = (digits << 2048_u32) + &n;
    }
    let digits = &digits >> (digits.bits() - u64::from(bits));
    without_small_factors(digits)
}

#[test]
fn a_symmetric_key_in_a_key_set_is_ignored() {
    let secret = [7_u8; 32];
    for (label, key) in [
        ("A6 any oct key", json!({ "kty": "oct", "kid": "k", "k": base64url(secret) })),
        ("A6 oct with alg", json!({ "kty": "oct", "kid": "k", "k": base64url(secret), "alg": "HS256", "use": "sig" })),
        ("A6 oct that says RS256", json!({ "kty": "oct", "kid": "rsa", "k": base64url(secret), "alg": "RS256" })),
        ("A7 an empty oct key", json!({ "kty": "oct", "kid": "k", "k": "" })),
        ("A7 a short oct key", json!({ "kty": "oct", "kid": "k", "k": "c2hvcnQ" })),
        ("A6 k in an RSA key", changed(Forge::RsaB, json!({ "k": base64url(secret) }))),
    ] {
        unusable(label, &key);
    }
    let mut scene = holding(&[json!({ "kty": "oct", "kid": "k", "k": base64url(secret) }), Forge::RsaA.jwk("rsa")]);
    let token = hmac_token("HS256", r#"{"alg":"HS256","kid":"k"}"#, &payload(NOW).to_string(), &secret);
    assert_eq!(scene.reason(token), "algorithm_unsupported");
}

#[test]
fn key_with_another_use_verifies_nothing() {
    for (label, changes) in [
        ("A15 use enc", json!({ "use": "enc" })),
        ("A15 use x509-svid", json!({ "use": "x509-svid" })),
        ("A15 use SIG", json!({ "use": "SIG" })),
        ("A15 use of another type", json!({ "use": ["sig"] })),
        ("A15 key_ops without verify", json!({ "key_ops": ["encrypt"] })),
        ("A15 key_ops sign alone", json!({ "key_ops": ["sign"] })),
        ("A15 key_ops no list", json!({ "key_ops": "verify" })),
        ("A15 use sig and key_ops encrypt", json!({ "use": "sig", "key_ops": ["encrypt"] })),
        ("A15 use enc and key_ops verify", json!({ "use": "enc", "key_ops": ["verify"] })),
        ("A15 alg of encryption", json!({ "alg": "RSA-OAEP" })),
        ("A19 alg of another kind", json!({ "alg": "ES256" })),
        ("A19 alg none", json!({ "alg": "none" })),
        ("A19 alg HS256", json!({ "alg": "HS256" })),
        ("A19 alg number", json!({ "alg": 1 })),
        ("A19 wrong kty", json!({ "kty": "EC" })),
        ("A19 kty in lower case", json!({ "kty": "rsa" })),
        ("A19 kty missing", json!({ "kty": null })),
        ("A19 kty number", json!({ "kty": 1 })),
        ("A11 kid number", json!({ "kid": 5 })),
        ("A11 kid array", json!({ "kid": ["k"] })),
        ("A20 d", json!({ "d": "AQAB" })),
        ("A20 p", json!({ "p": "AQAB" })),
        ("A20 dp of another type", json!({ "dp": 5 })),
        ("A20 oth", json!({ "oth": [{ "r": "AQAB", "d": "AQAB", "t": "AQAB" }] })),
        ("A20 d empty", json!({ "d": "" })),
        ("A16 n missing", json!({ "n": null })),
        ("A16 n number", json!({ "n": 5 })),
        ("A16 n padded", json!({ "n": "AQAB==" })),
        ("A16 n empty", json!({ "n": "" })),
        ("A17 e missing", json!({ "e": null })),
        ("A17 e padded", json!({ "e": "AQAB=" })),
        ("A17 e empty", json!({ "e": "" })),
    ] {
        unusable(label, &changed(Forge::RsaB, changes));
    }
    for (label, changes) in [
        ("A15 use sig", json!({ "use": "sig" })),
        ("A15 key_ops verify", json!({ "key_ops": ["verify"] })),
        ("A15 key_ops sign and verify", json!({ "key_ops": ["sign", "verify"] })),
        ("A15 use jwt-svid", json!({ "use": "jwt-svid" })),
        ("A15 use empty", json!({ "use": "" })),
        ("A15 key_ops empty", json!({ "key_ops": [] })),
        ("A20 oth without an item", json!({ "oth": [] })),
        ("A15 unknown members", json!({ "x5t": "x", "exp": 5, "ext": true })),
    ] {
        usable(label, &changed(Forge::RsaB, changes));
    }
    unusable("A20 an EC key with d", &changed(Forge::P256, json!({ "d": base64url(Forge::P256.secret()) })));
    unusable("A20 an OKP key with d", &changed(Forge::Ed25519, json!({ "d": base64url(Forge::Ed25519.secret()) })));
    for item in [json!(null), json!(5), json!("key"), json!([]), json!({})] {
        unusable("A19 no key at all", &item);
    }
}

#[test]
fn rsa_key_with_unsafe_size_exponent_or_modulus_is_rejected() {
    let e = BigUint::from(65_537_u32);
    let n = BigUint::from_bytes_be(&Forge::RsaB.rsa().n().to_vec());
    for bits in [2048, 3072, 4096, 8192] {
        usable("A16 a size that is right", &rsa(&modulus_of(bits), &e));
    }
    for (label, bits) in
        [("A16 512", 512), ("A16 1024", 1024), ("A16 2047", 2047), ("A16 8193", 8193), ("A16 16384", 16_384)]
    {
        unusable(label, &rsa(&modulus_of(bits), &e));
    }
    let padded = [vec![0; 128], modulus_of(1024).to_bytes_be()].concat();
    unusable("A16 1024 bits behind zeros", &json!({ "kty": "RSA", "kid": "k", "n": base64url(padded), "e": "AQAB" }));
    for exponent in [0_u64, 1, 2, 3, 5, 17, 257, 65_535, 65_536, 65_538, (1 << 33) + 1, 1 << 40, u64::MAX] {
        unusable("A17 e", &rsa(&n, &BigUint::from(exponent)));
    }
    unusable("A17 e as long as n", &rsa(&n, &(&n - 2_u8)));
    for exponent in [65_537_u64, 65_539, (1 << 32) + 1] {
        usable("A17 e that is right", &rsa(&n, &BigUint::from(exponent)));
    }
    unusable("A18 modulus even", &rsa(&(&n - 1_u8), &e));
    for factor in [3_u32, 5, 7, 97] {
        let quotient = modulus_of(2040) / factor;
        let multiple = (quotient * factor) << 9_u32;
        let odd = &multiple + u32::from(factor % 2 == 1) * factor;
        unusable("A18 modulus with small factors", &rsa(&odd, &e));
    }
    unusable("A18 roca fingerprint, CVE-2017-15361", &rsa(&roca_modulus(), &e));
}

/// 65537^k mod M, plus a multiple of M, M the product of the first 126 primes: what the weak generator makes.
pub fn roca_modulus() -> BigUint {
    let product: BigUint = primes_below(702).into_iter().map(BigUint::from).product();
    let residue = BigUint::from(65_537_u32).modpow(&BigUint::from(1_000_003_u32), &product);
    let start = (BigUint::from(3_u8) << 2046_u32) / &product;
    residue + start * product
}

#[test]
fn elliptic_curve_key_off_its_curve_is_rejected() {
    let x = Forge::P256.jwk("k")["x"].as_str().unwrap().to_owned();
    let y = Forge::P256.jwk("k")["y"].as_str().unwrap().to_owned();
    let prime = BigUint::parse_bytes(b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16).unwrap();
    let short = base64url(&crate::forge::unbase64url(&x)[1..]);
    let long = base64url([vec![0], crate::forge::unbase64url(&x)].concat());
    for (label, changes) in [
        ("A19 off curve", json!({ "y": x })),
        ("A19 (0,0)", json!({ "x": base64url([0; 32]), "y": base64url([0; 32]) })),
        ("A19 x = p", json!({ "x": base64url(fixed(&prime, 32)) })),
        ("A19 x, y swapped", json!({ "x": y, "y": x })),
        ("A19 x too short: leading zeros missing", json!({ "x": short })),
        ("A19 x too long", json!({ "x": long })),
        ("A19 x empty", json!({ "x": "" })),
        ("A19 y missing", json!({ "y": null })),
        ("A19 y boolean, compressed", json!({ "y": true })),
        ("A19 crv mismatch", json!({ "crv": "P-384" })),
        ("A19 crv unknown", json!({ "crv": "secp256k1" })),
        ("A19 crv missing", json!({ "crv": null })),
        ("A19 crv in lower case", json!({ "crv": "p-256" })),
        ("A19 alg mismatch", json!({ "alg": "ES384" })),
        ("A19 alg of RSA", json!({ "alg": "RS256" })),
        ("A19 wrong kty", json!({ "kty": "OKP" })),
        ("A19 padded", json!({ "x": format!("{x}=") })),
        ("A19 standard base64", json!({ "x": format!("+{}", &x[1..]) })),
    ] {
        unusable(label, &changed(Forge::P256, changes));
    }
    usable("A19 the key as it is", &Forge::P256.jwk("k"));
    usable("A19 with its alg", &changed(Forge::P256, json!({ "alg": "ES256" })));
    unusable("A19 P-384 off curve", &changed(Forge::P384, json!({ "y": Forge::P384.jwk("k")["x"] })));
    for (label, changes) in [
        ("A21 Ed448", json!({ "crv": "Ed448" })),
        ("A21 X25519", json!({ "crv": "X25519" })),
        ("A21 alg of ECDSA", json!({ "alg": "ES256" })),
        ("A21 wrong kty", json!({ "kty": "EC" })),
    ] {
        unusable(label, &changed(Forge::Ed25519, changes));
    }
}

#[test]
fn a_flood_of_unknown_key_ids_gets_a_burst_of_fetches_and_then_one_per_cooldown() {
    let mut scene = holding(&[Forge::RsaA.jwk("rsa")]);
    let forged = Forge::RsaB.sign("RS256", b"x");
    let token = |number: usize| {
        let input = crate::forge::signing_input(
            &json!({ "alg": "RS256", "kid": format!("unknown-{number}") }).to_string(),
            &payload(NOW).to_string(),
        );
        format!("{input}.{}", base64url(&forged))
    };
    let mut fetches = 0;
    for second in 0..95 {
        for number in 0..20 {
            let reason = scene.reason(token(second * 20 + number));
            assert!(["parked", "key_unknown", "keys_unavailable"].contains(&reason), "J1 unknown kid flood: {reason}");
        }
        for fetch in scene.tick() {
            fetches += 1;
            scene.answer(&fetch, published(&[Forge::RsaA.jwk("rsa")]));
        }
        // They wait for the fetch at the end of the cooldown.
        assert!(scene.pending() <= 6 * 20, "J1 {} wait", scene.pending());
        assert_eq!(scene.reason(claiming(json!({}))), "authorized", "J1 the known key is served throughout");
        scene.pass(1);
    }
    assert_eq!(fetches, 3 + 92 / 4, "J1 at most 1 fetch per cooldown (4 s) in 95 s, and the burst");
    assert_eq!(scene.signatures_verified(), 1, "J1 the known token is verified once, and nothing for them");
}

/// Every kind of bad answer.
pub fn bad_responses() -> Vec<(&'static str, CalloutResult)> {
    let good = json!({ "keys": [Forge::RsaB.jwk("rsa")] }).to_string();
    let with_control = |control: &str, status| {
        Ok(HttpResponse::new(status, good.clone().into_bytes()).with_header("cache-control", Some(control)))
    };
    let one_key = Forge::RsaB.jwk("rsa").to_string();
    vec![
        ("J2 timeout", Err(TransportError::TimedOut)),
        ("J2 reset", Err(TransportError::ConnectionFailed)),
        ("J2 closed", Err(TransportError::ConnectionClosed)),
        ("J2 broken off", Err(TransportError::Incomplete)),
        ("J2 no endpoint", Err(TransportError::UpstreamUnavailable)),
        ("J2 500", body(500, good.clone())),
        ("J2 204", body(204, "")),
        ("J2 204 with a body", body(204, good.clone())),
        ("J2 302", body(302, good.clone())),
        ("J2 301 with a long freshness", with_control("max-age=86400", 301)),
        ("J2 307", body(307, good.clone())),
        ("J2 201", body(201, good.clone())),
        ("J2 206", body(206, good.clone())),
        ("J2 304", body(304, good.clone())),
        ("J2 401", body(401, good.clone())),
        ("J2 status 0", body(0, good.clone())),
        ("J2 HTML 200", body(200, "<!doctype html><html><body>Sign in</body></html>")),
        ("J2 empty 200", body(200, "")),
        ("J2 truncated JSON", body(200, &good.as_bytes()[..good.len() - 9])),
        ("J2 JSON and junk", body(200, format!("{good}x"))),
        ("J2 two documents", body(200, format!("{good}{good}"))),
        ("J2 {}", body(200, "{}")),
        ("J2 []", body(200, "[]")),
        ("J2 null", body(200, "null")),
        ("J2 a list of keys without an object", body(200, format!("[{one_key}]"))),
        ("J2 a key without a set", body(200, one_key.clone())),
        ("J2 keys:{}", body(200, "{\"keys\":{}}")),
        ("J2 keys:null", body(200, "{\"keys\":null}")),
        ("J2 keys:[]", body(200, "{\"keys\":[]}")),
        ("J2 keys:[[]]", body(200, "{\"keys\":[[]]}")),
        ("J2 KEYS", body(200, good.replace("keys", "KEYS"))),
        ("J2 keys twice", body(200, format!("{{\"keys\":[],{}", &good[1..]))),
        ("J2 n twice in one key", body(200, good.replace("\"kty\"", "\"n\":\"AQAB\",\"kty\""))),
        ("J2 BOM", body(200, format!("\u{feff}{good}"))),
        ("J2 not UTF-8", body(200, [good.as_bytes(), &[0xff]].concat())),
        ("J2 10 MB of blanks", body(200, vec![b' '; 10 << 20])),
        ("J2 10 MB of brackets", body(200, vec![b'['; 10 << 20])),
        ("J2 10 MB behind a good set", body(200, [good.into_bytes(), vec![b' '; 10 << 20]].concat())),
        ("J2 deep", body(200, format!("{{\"keys\":{}", "[".repeat(100_000)))),
        ("J2 oct alone", body(200, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}")),
        ("J2 an error document", body(200, "{\"errorCode\":\"E0000022\",\"errorSummary\":\"not enabled\"}")),
    ]
}

#[test]
fn bad_response_keeps_the_cached_keys_until_max_stale() {
    let mut scene = holding(&[Forge::RsaA.jwk("rsa")]);
    let fresh = |scene: &Scene| {
        let now = scene.now.as_secs();
        Forge::RsaA.token("RS256", "rsa", json!({}), &payload(now))
    };
    let answers = bad_responses();
    let count = answers.len();
    for (label, answer) in answers {
        scene.pass(3600 / 2 + 1800);
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, answer.clone());
        assert!(matches!(scene.notes.last(), Some((_, FetchResult::Failed { .. }))), "{label}: taken");
        if scene.now.as_secs() < NOW + 86_400 {
            let token = fresh(&scene);
            assert_eq!(scene.reason(token), "authorized", "{label}: the old keys are gone");
        }
        // From the start, without any key, each of them ends in a 503 and never in a verdict.
        let mut empty = Scene::new(&fetching());
        let fetch = empty.tick_begins_a_fetch();
        let Err(stream) = empty.bearer(claiming(json!({}))) else { panic!("{label}: decided without keys") };
        empty.answer(&fetch, answer);
        assert_eq!(empty.reason_of(stream), Some("keys_unavailable"), "{label}: without keys");
        assert_eq!(empty.signatures_verified(), 0, "{label}: verified with what?");
    }
    println!("{count} rows");
    let token = fresh(&scene);
    assert_eq!(scene.reason(&token), "keys_unavailable", "J2 after max-stale 503");
    assert!(count >= 40, "{count}");
}

/// A token whose signature fails is judged again with the set that is fetched then.
fn reason_after_a_fetch(scene: &mut Scene, token: &str, keys: &[Value]) -> &'static str {
    assert_eq!(scene.reason(token), "parked", "a key may be replaced under its id");
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(keys));
    scene.decided.last().unwrap().1.audit.reason()
}

#[test]
fn key_set_with_bad_keys_keeps_the_good_ones() {
    let mut scene = holding(&[
        json!(null),
        json!({ "kty": "oct", "kid": "rsa", "k": "AAAA" }),
        changed(Forge::RsaB, json!({ "kid": "rsa", "use": "enc" })),
        changed(Forge::P256, json!({ "kid": "rsa" })),
        Forge::RsaA.jwk("rsa"),
        changed(Forge::RsaB, json!({ "kid": "rsa", "n": "AQAB" })),
    ]);
    assert!(matches!(scene.notes[..], [(_, FetchResult::Replaced { usable: 2, skipped: 4, .. })]), "J2 mixed");
    assert_eq!(scene.reason(claiming(json!({}))), "authorized");
    let by_b = Forge::RsaB.token("RS256", "rsa", json!({}), &payload(NOW));
    let same = [changed(Forge::RsaB, json!({ "kid": "rsa", "use": "enc" })), Forge::RsaA.jwk("rsa")];
    assert_eq!(reason_after_a_fetch(&mut scene, &by_b, &same), "signature_invalid", "J2 mixed: an unusable key");
    assert_eq!(scene.reason(by_b), "signature_invalid", "J2 mixed: the unusable key verifies nothing");
    // A large set works up to its limit: 503 for everybody would be worse.
    scene.pass(3600);
    let fetch = scene.tick_begins_a_fetch();
    let many: Vec<Value> = (0..600).map(|at| Forge::P256.jwk(&format!("k{at}"))).collect();
    scene.answer(&fetch, published(&[vec![Forge::RsaA.jwk("rsa")], many].concat()));
    let replaced = scene.notes.last().map(|(_, result)| *result);
    assert!(matches!(replaced, Some(FetchResult::Replaced { usable: 512, skipped: 89, .. })), "J2 601 keys");
    assert_eq!(scene.reason(claiming(json!({}))), "authorized", "J2 601 keys");
    // JSON of any other form of the same document is the same document.
    let spaced = serde_json::to_string_pretty(&json!({ "keys": [Forge::RsaA.jwk("rsa")], "x": 1 })).unwrap();
    scene.pass(3600);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, body(200, format!("\r\n {spaced} \n")));
    assert!(matches!(scene.notes.last(), Some((_, FetchResult::Replaced { .. }))), "J2 blanks around");
}

#[test]
fn a_key_that_is_removed_verifies_nothing_after_the_next_refresh() {
    let mut scene = holding(&[Forge::RsaA.jwk("old"), Forge::RsaB.jwk("new")]);
    let old = Forge::RsaA.token("RS256", "old", json!({}), &with(&payload(NOW), json!({ "exp": NOW + 86_400 })));
    assert_eq!(scene.reason(&old), "authorized");
    scene.pass(3600);
    let fetch = scene.tick_begins_a_fetch();
    assert_eq!(scene.reason(&old), "authorized", "J3 until the refresh");
    scene.answer(&fetch, published(&[Forge::RsaB.jwk("new")]));
    let first = scene.reason(&old);
    assert_eq!(first, "parked", "J3 a removed key is an unknown one");
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[Forge::RsaB.jwk("new")]));
    scene.pass(4);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[Forge::RsaB.jwk("new")]));
    assert_eq!(scene.decided.last().unwrap().1.audit.reason(), "key_unknown", "J3 refused");
    // The id is given to another key: the old one's tokens fail by their signature.
    scene.pass(3600);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[Forge::RsaB.jwk("old")]));
    let same = [Forge::RsaB.jwk("old")];
    assert_eq!(reason_after_a_fetch(&mut scene, &old, &same), "signature_invalid", "J3 the id is used again");
    assert_eq!(scene.reason(&old), "signature_invalid", "J3 the id is used again");
    // Removed for one who sends no `kid` as well.
    let mut scene = holding(&[Forge::RsaA.jwk("old"), Forge::RsaB.jwk("new")]);
    let nameless = Forge::RsaA.token_of_texts("RS256", r#"{"alg":"RS256"}"#, &payload(NOW).to_string());
    assert_eq!(scene.reason(&nameless), "authorized");
    scene.pass(3600);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[Forge::RsaB.jwk("new")]));
    let same = [Forge::RsaB.jwk("new")];
    assert_eq!(reason_after_a_fetch(&mut scene, &nameless, &same), "signature_invalid", "J3 without kid");
    assert_eq!(scene.reason(&nameless), "signature_invalid", "J3 without kid");
}

#[test]
fn no_member_of_a_token_selects_what_is_fetched() {
    let mut scene = holding(&[Forge::RsaA.jwk("rsa")]);
    for issuer in [
        "https://evil.example",
        "https://evil.example/.well-known/openid-configuration",
        "http://169.254.169.254/latest",
        "https://a.example/keys?x=",
        "cluster-a",
        "",
        "https://acme.okta.com/oauth2/default/../evil",
    ] {
        let token = Forge::RsaB.token(
            "RS256",
            "evil",
            json!({ "jku": issuer, "x5u": issuer }),
            &with(&payload(NOW), json!({ "iss": issuer })),
        );
        assert_eq!(scene.reason(token), "issuer_unknown", "J4 iss chosen by the attacker: {issuer}");
        assert_eq!(scene.tick(), [], "J4 no fetch for {issuer}");
    }
    // What a token of a listed issuer can cause is a fetch to the configured address, the same to the byte.
    let evil = Forge::RsaB.token(
        "RS256",
        "https://evil.example/?\r\nHost: x",
        json!({ "jku": "https://evil.example" }),
        &payload(NOW),
    );
    assert_eq!(scene.reason(evil), "parked");
    let fetch = scene.tick_begins_a_fetch();
    assert_eq!(fetch.request.address.to_string(), "https://a.example/keys", "J5 authority only from config");
    assert_eq!(fetch.request.address.upstream, "cluster-a", "J5 cluster only from config");
}

#[test]
fn cache_control_lifetime_is_clamped() {
    for (control, refresh, freshness) in [
        (None, "1h", 3600),
        (Some("max-age=0"), "1h", 60),
        (Some("max-age=1"), "1h", 60),
        (Some("max-age=1000000000000"), "1h", 3600),
        (Some("max-age=99999999999999999999999999"), "1h", 3600),
        (Some("max-age=-1"), "1h", 3600),
        (Some("max-age=abc"), "1h", 3600),
        (Some("max-age=1e3"), "1h", 3600),
        (Some("max-age"), "1h", 3600),
        (Some(""), "1h", 3600),
        (Some("no-store"), "1h", 60),
        (Some("no-cache, max-age=600"), "1h", 60),
        (Some("s-maxage=5"), "1h", 3600),
        (Some("MAX-AGE=600"), "1h", 600),
        (Some("public, max-age=600, must-revalidate"), "1h", 600),
        (Some("max-age=1000000000000"), "24h", 86_400),
    ] {
        let mut configuration = fetching();
        configuration["providers"]["a"]["jwks"]["refresh"] = json!(refresh);
        configuration["providers"]["a"]["jwks"]["max_stale"] = json!("48h");
        let mut scene = Scene::new(&configuration);
        let fetch = scene.tick_begins_a_fetch();
        let document = json!({ "keys": [Forge::RsaA.jwk("rsa")] }).to_string().into_bytes();
        let answer = Ok(HttpResponse::new(200, document).with_header("cache-control", control));
        scene.answer(&fetch, answer);
        scene.pass(freshness - 1);
        assert_eq!(scene.tick().len(), 0, "J6 {control:?} of {refresh}: too early");
        scene.pass(1);
        assert_eq!(scene.tick().len(), 1, "J6 {control:?} of {refresh}: too late");
    }
}

#[test]
fn keys_of_one_provider_are_fetched_while_another_is_down() {
    let mut configuration = fetching();
    configuration["providers"]["b"] = json!({ "issuer": OTHER_ISSUER, "audiences": [AUDIENCE], "upstream": "cluster-b",
        "jwks": { "uri": "https://b.example/keys" } });
    let mut scene = Scene::new(&configuration);
    let fetches = scene.tick();
    assert_eq!(fetches.len(), 2);
    let of = |upstream: &str| fetches.iter().find(|fetch| fetch.request.address.upstream == upstream).unwrap();
    let of_b = Forge::RsaB.token("RS256", "rsa", json!({}), &with(&payload(NOW), json!({ "iss": OTHER_ISSUER })));
    let streams: Vec<StreamId> =
        [claiming(json!({})), of_b.clone()].iter().map(|token| scene.bearer(token).unwrap_err()).collect();
    scene.answer(of("cluster-b"), Err(TransportError::TimedOut));
    assert_eq!(scene.reason_of(streams[0]), None, "J7 a still waits");
    assert_eq!(scene.reason_of(streams[1]), Some("keys_unavailable"), "J7 b is down");
    scene.answer(of("cluster-a"), published(&[Forge::RsaA.jwk("rsa")]));
    assert_eq!(scene.reason_of(streams[0]), Some("authorized"), "J7 a is served");
    assert_eq!(scene.reason(of_b), "keys_unavailable", "J7 b is still down, and a's keys do not serve it");
}
