use super::*;

#[test]
fn document_that_is_not_a_key_set_is_rejected() {
    for (text, expected) in [
        ("", KeySetFault::Malformed),
        ("[]", KeySetFault::Malformed),
        ("null", KeySetFault::Malformed),
        ("{}", KeySetFault::Malformed),
        (r#"{"keys":{}}"#, KeySetFault::Malformed),
        (r#"{"keys":null}"#, KeySetFault::Malformed),
        (r#"{"keys":"[]"}"#, KeySetFault::Malformed),
        (r#"{"Keys":[]}"#, KeySetFault::Malformed),
        (r#"{"keys":["#, KeySetFault::Malformed),
        (r#"{"keys":[]}x"#, KeySetFault::Malformed),
        ("<html><body>Bad gateway</body></html>", KeySetFault::Malformed),
        (r#"{"keys":[]}"#, KeySetFault::NoUsableKey),
        (r#"{"keys":[null,5,{"kty":"oct","k":"AAAA"}]}"#, KeySetFault::NoUsableKey),
    ] {
        assert_eq!(KeySet::parse(text.as_bytes()).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn duplicate_member_rejects_the_document() {
    let good = TestKey::P256.public_jwk().to_string();
    let twice = |member: &str| format!(r#"{{"keys":[{},{member}}}]}}"#, good.strip_suffix('}').unwrap());
    assert!(KeySet::parse(twice(r#""kid":"a""#).as_bytes()).is_ok());
    for member in [r#""kid":"a","kid":"b""#, r#""kty":"oct""#, r#""\u006bty":"EC""#, r#""a":{"b":1,"b":1}"#] {
        assert_eq!(KeySet::parse(twice(member).as_bytes()).unwrap_err(), KeySetFault::Malformed, "{member}");
    }
    let keys_twice = format!(r#"{{"keys":[{good}],"keys":[{good}]}}"#);
    assert_eq!(KeySet::parse(keys_twice.as_bytes()).unwrap_err(), KeySetFault::Malformed);
}

/// A large set must not fail every request of the issuer.
#[test]
fn keys_over_the_limit_are_skipped_and_counted() {
    let keys = |count: usize| (0..count).map(|at| named(TestKey::P256, &format!("k{at}"))).collect::<Vec<_>>();
    for count in [1, 64, 65, 511, 512] {
        let set = set(&keys(count).into()).unwrap();
        assert_eq!((set.len(), set.skipped().len()), (count, 0));
    }
    let large = set(&keys(515).into()).unwrap();
    assert_eq!((large.len(), large.skipped()), (512, &[KeyFault::OverLimit; 3][..]));
    assert_eq!(ids(&large, Some("k511"), Algorithm::Es256), [Some("k511".to_owned())]);
    assert_eq!(ids(&large, Some("k512"), Algorithm::Es256), [None; 0]);
    // Skipped keys count too, because the limit bounds the work.
    let mut unusable = vec![json!({"kty": "oct"}); 511];
    unusable.extend(keys(2));
    let set = set(&unusable.clone().into()).unwrap();
    assert_eq!((set.len(), set.skipped().len(), set.skipped().last()), (1, 512, Some(&KeyFault::OverLimit)));
    unusable.insert(0, json!({"kty": "oct"}));
    assert_eq!(self::set(&unusable.into()).unwrap_err(), KeySetFault::NoUsableKey);
}

#[test]
fn document_over_the_size_limit_is_rejected() {
    let mut text = json!({"keys": [TestKey::Ed25519.public_jwk()]}).to_string().into_bytes();
    text.resize(MAX_KEY_SET_BYTES, b' ');
    assert!(KeySet::parse(&text).is_ok());
    text.push(b' ');
    assert_eq!(KeySet::parse(&text).unwrap_err(), KeySetFault::TooLarge);
    let deep = format!(r#"{{"keys":[{}"#, "[".repeat(100_000));
    assert_eq!(KeySet::parse(deep.as_bytes()).unwrap_err(), KeySetFault::Malformed);
    let wide: Map<String, Value> = (0..257).map(|at| (at.to_string(), json!(0))).collect();
    assert_eq!(set(&json!([wide, TestKey::P256.public_jwk()])).unwrap_err(), KeySetFault::Malformed);
}

fn named(key: TestKey, id: &str) -> Value {
    with(key, &json!({ "kid": id }))
}

#[test]
fn kid_is_compared_byte_for_byte() {
    let composed = "caf\u{e9}";
    let decomposed = "cafe\u{301}";
    let set =
        set(&json!([named(TestKey::RsaA, composed), named(TestKey::RsaB, "k1"), named(TestKey::RsaB, "")])).unwrap();
    assert_eq!(ids(&set, Some(composed), Algorithm::Rs256), [Some(composed.to_owned())]);
    assert_eq!(ids(&set, Some(""), Algorithm::Rs256), [Some(String::new())]);
    for other in [decomposed, "K1", "k1 ", " k1", "k", "k11", "\u{43a}1", "k1\0"] {
        assert_eq!(ids(&set, Some(other), Algorithm::Rs256), [None; 0], "{other:?}");
    }
}

#[test]
fn token_without_kid_has_at_most_four_candidates() {
    let keys: Vec<Value> = (0..9)
        .flat_map(|at| [named(TestKey::RsaA, &format!("rsa-{at}")), named(TestKey::P256, &format!("ec-{at}"))])
        .collect();
    let set = set(&keys.into()).unwrap();
    let first_four = |prefix: &str| (0..4).map(|at| Some(format!("{prefix}-{at}"))).collect::<Vec<_>>();
    assert_eq!(ids(&set, None, Algorithm::Rs256), first_four("rsa"));
    assert_eq!(ids(&set, None, Algorithm::Ps512), first_four("rsa"));
    assert_eq!(ids(&set, None, Algorithm::Es256), first_four("ec"));
    assert_eq!(ids(&set, None, Algorithm::EdDsa), [None; 0]);
}

#[test]
fn keys_with_the_same_kid_are_all_candidates_up_to_four() {
    let set = set(&json!([
        named(TestKey::RsaA, "same"),
        named(TestKey::RsaB, "same"),
        named(TestKey::P256, "same"),
        named(TestKey::RsaB, "other"),
    ]))
    .unwrap();
    let found = set.candidates(Some("same"), Algorithm::Rs256);
    assert_eq!(found.len(), 2);
    assert!(matches!((&found[0].material, &found[1].material), (PublicKey::Rsa(a), PublicKey::Rsa(b)) if a != b));
    assert_eq!(set.candidates(Some("same"), Algorithm::Es256).len(), 1);
    let many = self::set(&vec![named(TestKey::RsaA, "same"); 6].into()).unwrap();
    assert_eq!(many.candidates(Some("same"), Algorithm::Rs256).len(), 4);
}

#[test]
fn keys_without_kid_are_candidates_for_an_unknown_kid() {
    let mut keys = vec![named(TestKey::RsaA, "k1")];
    keys.extend(vec![TestKey::RsaB.public_jwk(); 6]);
    keys.push(TestKey::P256.public_jwk());
    let set = set(&keys.into()).unwrap();
    assert_eq!(ids(&set, Some("k1"), Algorithm::Rs256), [Some("k1".to_owned())]);
    assert_eq!(ids(&set, Some("unknown"), Algorithm::Rs256), [None, None, None, None]);
    assert_eq!(ids(&set, Some("unknown"), Algorithm::Es256), [None]);
    assert_eq!(ids(&set, Some("unknown"), Algorithm::EdDsa), [None; 0]);
}

#[test]
fn key_supports_its_alg_or_all_algorithms_of_its_type() {
    let set =
        set(&json!([with(TestKey::RsaA, &json!({"kid": "k1", "alg": "PS256"})), named(TestKey::P384, "k2")])).unwrap();
    for algorithm in Algorithm::ALL {
        let expected = usize::from(algorithm == Algorithm::Ps256);
        assert_eq!(set.candidates(Some("k1"), algorithm).len(), expected, "{algorithm}");
        let expected = usize::from(algorithm == Algorithm::Es384);
        assert_eq!(set.candidates(Some("k2"), algorithm).len(), expected, "{algorithm}");
        let expected = usize::from(matches!(algorithm, Algorithm::Ps256 | Algorithm::Es384));
        assert_eq!(set.candidates(None, algorithm).len(), expected, "{algorithm}");
    }
    for key in KEYS {
        let set = key.key_set();
        let served: Vec<Algorithm> =
            Algorithm::ALL.into_iter().filter(|algorithm| !set.candidates(None, *algorithm).is_empty()).collect();
        let expected = if key == TestKey::RsaA { Algorithm::ALL[..6].to_vec() } else { vec![key.algorithm()] };
        assert_eq!(served, expected, "{key:?}");
    }
}

#[test]
fn debug_output_of_a_key_shows_id_and_algorithm_only() {
    let set = set(&json!([with(TestKey::Ed25519, &json!({"kid": "k1", "alg": "EdDSA"}))])).unwrap();
    let shown = format!("{set:?}");
    assert_eq!(shown, r#"KeySet { keys: [Key { id: Some("k1"), algorithm: Some(EdDsa), .. }], skipped: [] }"#);
}
