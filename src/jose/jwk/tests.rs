use super::*;
use crate::jose::signing_fixture::{TestKey, base64url};
use serde_json::json;

const KEYS: [TestKey; 5] = [TestKey::RsaA, TestKey::P256, TestKey::P384, TestKey::P521, TestKey::Ed25519];

fn set(keys: &Value) -> Result<KeySet, KeySetFault> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

/// The fault of one key. A valid key beside it makes the set usable.
fn fault(jwk: &Value) -> Option<KeyFault> {
    let set = set(&json!([jwk, TestKey::P384.public_jwk()])).unwrap();
    assert_eq!(set.len() + set.skipped().len(), 2);
    set.skipped().first().copied()
}

fn with(key: TestKey, members: &Value) -> Value {
    let mut jwk = key.public_jwk();
    for (name, value) in members.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

fn without(key: TestKey, name: &str) -> Value {
    let mut jwk = key.public_jwk();
    jwk.as_object_mut().unwrap().remove(name).unwrap();
    jwk
}

fn ids(set: &KeySet, key_id: Option<&str>, algorithm: Algorithm) -> Vec<Option<String>> {
    set.candidates(key_id, algorithm).into_iter().map(|key| key.id().map(str::to_owned)).collect()
}

#[test]
fn supported_key_types_are_parsed_with_and_without_optional_members() {
    for key in KEYS {
        assert_eq!(fault(&key.public_jwk()), None, "{key:?}");
        let optional = json!({
            "use": "sig", "key_ops": ["verify"], "alg": key.algorithm().name(), "kid": "k1",
            "x5c": ["AAAA"], "x5t": 5, "x5u": null, "unknown": {"a": [1]},
        });
        assert_eq!(fault(&with(key, &optional)), None, "{key:?}");
    }
}

#[test]
fn unusable_keys_of_a_mixed_set_are_skipped_with_their_fault() {
    let mixed = set(&json!([
        with(TestKey::RsaA, &json!({"kid": "good-1"})),
        {"kty": "oct", "k": "AAAA", "kid": "symmetric"},
        with(TestKey::RsaA, &json!({"kid": "encrypting", "use": "enc"})),
        with(TestKey::P256, &json!({"kid": "private", "d": "AAAA"})),
        with(TestKey::RsaA, &json!({"kid": "weak", "e": "Aw"})),
        with(TestKey::P256, &json!({"kid": "inconsistent", "alg": "ES384"})),
        "not an object",
        with(TestKey::Ed25519, &json!({"kid": "good-2"})),
        null,
    ]))
    .unwrap();
    assert_eq!(mixed.len(), 2);
    assert!(!mixed.is_empty());
    assert_eq!(ids(&mixed, None, Algorithm::Rs256), [Some("good-1".to_owned())]);
    assert_eq!(ids(&mixed, None, Algorithm::EdDsa), [Some("good-2".to_owned())]);
    assert_eq!(ids(&mixed, None, Algorithm::Es256), [None; 0]);
    let expected = [
        KeyFault::Unsupported,
        KeyFault::NotForVerification,
        KeyFault::Private,
        KeyFault::Weak,
        KeyFault::Inconsistent,
        KeyFault::Malformed,
        KeyFault::Malformed,
    ];
    assert_eq!(mixed.skipped(), expected);
}

#[test]
fn symmetric_key_is_rejected_whatever_its_other_members() {
    for jwk in [
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kty": "oct", "k": "AAAA", "alg": "HS256", "use": "sig"}),
        json!({"kty": "oct", "k": "AAAA", "alg": "RS256"}),
        json!({"kty": "oct", "k": ""}),
        with(TestKey::RsaA, &json!({"kty": "oct"})),
        with(TestKey::RsaA, &json!({"alg": "HS256"})),
        with(TestKey::RsaA, &json!({"alg": "none"})),
    ] {
        assert_eq!(fault(&jwk), Some(KeyFault::Unsupported), "{jwk}");
    }
    // A symmetric and an asymmetric key in one.
    assert_eq!(fault(&with(TestKey::RsaA, &json!({"k": "AAAA"}))), Some(KeyFault::Private));
}

/// The members that hold a key's private half or a part of it.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

#[test]
fn private_member_is_rejected_also_when_empty() {
    for key in KEYS {
        for member in PRIVATE {
            let values = [json!("AAAA"), json!(""), json!(0), json!(false), json!({}), json!([[]]), json!([null])];
            let empty_list = (member != "oth").then_some(json!([]));
            for value in values.into_iter().chain(empty_list) {
                let jwk = with(key, &json!({ member: value, "use": "enc" }));
                assert_eq!(fault(&jwk), Some(KeyFault::Private), "{jwk}");
            }
        }
    }
    let additional_prime = json!({ "oth": [{"r": "AAAA", "d": "AAAA", "t": "AAAA"}] });
    assert_eq!(fault(&with(TestKey::RsaA, &additional_prime)), Some(KeyFault::Private));
}

#[test]
fn null_member_is_absent() {
    const OPTIONAL: [&str; 10] = ["alg", "use", "key_ops", "kid", "x5u", "x5c", "x5t", "x5t#S256", "exp", "unknown"];
    for key in KEYS {
        for member in OPTIONAL.into_iter().chain(PRIVATE) {
            assert_eq!(fault(&with(key, &json!({ member: null }))), None, "{key:?} {member}");
        }
        let all: Map<String, Value> =
            OPTIONAL.into_iter().chain(PRIVATE).map(|name| (name.to_owned(), Value::Null)).collect();
        let set = set(&json!([with(key, &all.into())])).unwrap();
        assert_eq!(ids(&set, None, key.algorithm()), [None], "{key:?}");
    }
    assert_eq!(fault(&with(TestKey::RsaA, &json!({"crv": null, "x": null, "y": null}))), None);
    assert_eq!(fault(&with(TestKey::P256, &json!({"n": null, "e": null}))), None);
    // A private member among `null` members, and a symmetric key without its secret.
    assert_eq!(fault(&with(TestKey::RsaA, &json!({"d": "AAAA", "p": null}))), Some(KeyFault::Private));
    assert_eq!(fault(&json!({"kty": "oct", "k": null})), Some(KeyFault::Unsupported));
}

/// All members of the class, as `JsonWebKey` of Microsoft.IdentityModel and Jackson beans are serialized.
#[test]
fn key_with_all_members_of_a_serialized_class_is_usable() {
    for members in [
        json!({"alg": null, "crv": null, "d": null, "dp": null, "dq": null, "e": "AQAB", "k": null, "key_ops": [],
            "kid": "k1", "kty": "RSA", "oth": [], "p": null, "q": null, "qi": null, "use": null, "x": null,
            "x5c": [], "x5t": null, "x5t#S256": null, "x5u": null, "y": null}),
        json!({"key_ops": [], "oth": null, "x5c": [], "use": "sig", "alg": "RS256", "kid": "k1"}),
        json!({"key_ops": ["verify"], "use": "", "alg": "", "x5t": "", "kid": "k1"}),
    ] {
        let set = set(&json!([with(TestKey::RsaA, &members)])).unwrap();
        assert_eq!(ids(&set, Some("k1"), Algorithm::Rs256), [Some("k1".to_owned())], "{members}");
    }
}

#[test]
fn use_and_key_ops_are_both_checked() {
    for (members, expected) in [
        (json!({"use": "enc"}), Some(KeyFault::NotForVerification)),
        (json!({"use": "SIG"}), Some(KeyFault::NotForVerification)),
        (json!({"use": "sig "}), Some(KeyFault::NotForVerification)),
        (json!({"use": "jwt-svid"}), None),
        (json!({"use": "jwt-svid", "key_ops": ["sign"]}), Some(KeyFault::NotForVerification)),
        (json!({"use": "x509-svid"}), Some(KeyFault::NotForVerification)),
        (json!({"use": "JWT-SVID"}), Some(KeyFault::NotForVerification)),
        (json!({"use": " "}), Some(KeyFault::NotForVerification)),
        (json!({"use": ""}), None),
        (json!({"use": ["sig"]}), Some(KeyFault::Malformed)),
        (json!({"key_ops": []}), None),
        (json!({"use": "sig", "key_ops": []}), None),
        (json!({"use": "enc", "key_ops": []}), Some(KeyFault::NotForVerification)),
        (json!({"key_ops": [null]}), Some(KeyFault::NotForVerification)),
        (json!({"key_ops": [""]}), Some(KeyFault::NotForVerification)),
        (json!({"key_ops": ["sign"]}), Some(KeyFault::NotForVerification)),
        (json!({"key_ops": ["Verify"]}), Some(KeyFault::NotForVerification)),
        (json!({"key_ops": ["encrypt", "wrapKey"]}), Some(KeyFault::NotForVerification)),
        (json!({"key_ops": [["verify"]]}), Some(KeyFault::NotForVerification)),
        (json!({"key_ops": "verify"}), Some(KeyFault::Malformed)),
        (json!({"key_ops": ""}), Some(KeyFault::Malformed)),
        (json!({"key_ops": {"verify": true}}), Some(KeyFault::Malformed)),
        (json!({"use": "sig", "key_ops": ["sign"]}), Some(KeyFault::NotForVerification)),
        (json!({"use": "enc", "key_ops": ["verify"]}), Some(KeyFault::NotForVerification)),
        (json!({"use": "sig", "key_ops": ["sign", "verify"]}), None),
        (json!({"key_ops": ["verify"]}), None),
    ] {
        assert_eq!(fault(&with(TestKey::RsaA, &members)), expected, "{members}");
    }
}

#[test]
fn mismatched_alg_is_inconsistent_and_unknown_alg_is_unsupported() {
    for key in KEYS {
        for algorithm in Algorithm::ALL {
            let jwk = with(key, &json!({"alg": algorithm.name()}));
            let name = algorithm.name();
            let is_rsa = name.starts_with("RS") || name.starts_with("PS");
            let serves = if key == TestKey::RsaA { is_rsa } else { algorithm == key.algorithm() };
            assert_eq!(fault(&jwk), (!serves).then_some(KeyFault::Inconsistent), "{key:?} {name}");
        }
        for name in ["RSA-OAEP", "ES521", "ES256K", "rs256", "RS256 ", " ", "ECDH-ES", "HS256"] {
            assert_eq!(fault(&with(key, &json!({ "alg": name }))), Some(KeyFault::Unsupported), "{key:?} {name}");
        }
        for not_text in [json!(5), json!(["RS256"])] {
            assert_eq!(fault(&with(key, &json!({ "alg": not_text }))), Some(KeyFault::Malformed), "{key:?} {not_text}");
        }
    }
}

#[test]
fn key_type_and_curve_are_case_sensitive_and_must_match() {
    for (key, members) in [
        (TestKey::RsaA, json!({"kty": "rsa"})),
        (TestKey::RsaA, json!({"kty": ""})),
        (TestKey::P256, json!({"kty": "ec"})),
        (TestKey::P256, json!({"kty": "OKP"})),
        (TestKey::P256, json!({"crv": "p-256"})),
        (TestKey::P256, json!({"crv": "secp256k1"})),
        (TestKey::P521, json!({"crv": "P-512"})),
        (TestKey::P256, json!({"crv": "Ed25519"})),
        (TestKey::Ed25519, json!({"kty": "EC"})),
        (TestKey::Ed25519, json!({"crv": "Ed448"})),
        (TestKey::Ed25519, json!({"crv": "X25519"})),
        (TestKey::Ed25519, json!({"crv": "P-256"})),
    ] {
        assert_eq!(fault(&with(key, &members)), Some(KeyFault::Unsupported), "{key:?} {members}");
    }
    // A point of another curve has the wrong length.
    for key in [TestKey::P256, TestKey::P384, TestKey::P521] {
        for curve in ["P-256", "P-384", "P-521"] {
            let expected = (key.public_jwk()["crv"] != curve).then_some(KeyFault::Malformed);
            assert_eq!(fault(&with(key, &json!({"crv": curve}))), expected, "{key:?} as {curve}");
        }
    }
    // An EC key with `kty: RSA` has no modulus.
    assert_eq!(fault(&with(TestKey::P256, &json!({"kty": "RSA"}))), Some(KeyFault::Malformed));
}

#[test]
fn required_member_that_is_missing_or_not_a_string_is_malformed() {
    for (key, names) in [
        (TestKey::RsaA, &["kty", "n", "e"][..]),
        (TestKey::P256, &["kty", "crv", "x", "y"]),
        (TestKey::P384, &["kty", "crv", "x", "y"]),
        (TestKey::P521, &["kty", "crv", "x", "y"]),
        (TestKey::Ed25519, &["kty", "crv", "x"]),
    ] {
        for name in names {
            assert_eq!(fault(&without(key, name)), Some(KeyFault::Malformed), "{key:?} without {name}");
            for value in [json!(null), json!(65_537), json!(["AQAB"]), json!({"a": 1}), json!(true)] {
                let jwk = with(key, &json!({ *name: value }));
                assert_eq!(fault(&jwk), Some(KeyFault::Malformed), "{key:?} {name}: {value}");
            }
        }
    }
    for not_text in [json!(1), json!(["k1"]), json!({})] {
        assert_eq!(fault(&with(TestKey::RsaA, &json!({ "kid": not_text }))), Some(KeyFault::Malformed), "{not_text}");
    }
    for not_an_object in [json!(null), json!("AAAA"), json!([]), json!(5), json!({})] {
        assert_eq!(fault(&not_an_object), Some(KeyFault::Malformed), "{not_an_object}");
    }
}

#[test]
fn non_canonical_base64url_member_is_malformed() {
    for (key, name) in [(TestKey::RsaA, "n"), (TestKey::P256, "x"), (TestKey::P256, "y"), (TestKey::Ed25519, "x")] {
        let good = key.public_jwk()[name].as_str().unwrap().to_owned();
        for bad in [
            format!("{good}="),
            format!("{good}=="),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}!"),
            good.replacen(|_: char| true, "+", 1),
            good.replacen(|_: char| true, "/", 1),
            good.replacen(|_: char| true, "%41", 1),
        ] {
            assert_eq!(fault(&with(key, &json!({ name: bad }))), Some(KeyFault::Malformed), "{key:?} {bad}");
        }
    }
    // 65537 is "AQAB"; "AQAC" is another number. 32 bytes leave two unused bits, which must be zero.
    let x = TestKey::Ed25519.public_jwk()["x"].as_str().unwrap().to_owned();
    let (last, alphabet) =
        (x.chars().last().unwrap(), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    let at = alphabet.find(last).unwrap();
    for loose in 1..=3 {
        let loose_x = format!("{}{}", &x[..x.len() - 1], &alphabet[at + loose..=at + loose]);
        assert_eq!(fault(&with(TestKey::Ed25519, &json!({ "x": loose_x }))), Some(KeyFault::Malformed), "{loose_x}");
    }
}

#[test]
fn coordinate_of_another_length_than_its_field_is_malformed() {
    for (key, names) in [(TestKey::P256, &["x", "y"][..]), (TestKey::P384, &["x", "y"]), (TestKey::Ed25519, &["x"])] {
        for name in names {
            let octets = key.octets(name);
            let lengths = [
                [&[0], &octets[..]].concat(),
                [&octets[..], &[0]].concat(),
                octets[1..].to_vec(),
                octets[..octets.len() - 1].to_vec(),
                Vec::new(),
                octets.repeat(2),
            ];
            for wrong in lengths {
                let jwk = with(key, &json!({ *name: base64url(&wrong) }));
                assert_eq!(fault(&jwk), Some(KeyFault::Malformed), "{key:?} {name} of {} bytes", wrong.len());
            }
        }
    }
    // The other coordinate must not make up for a short one: 31 + 33 = 64.
    let (x, y) = (TestKey::P256.octets("x"), TestKey::P256.octets("y"));
    let shifted = json!({"x": base64url(&x[..31]), "y": base64url([&x[31..], &y[..]].concat())});
    assert_eq!(fault(&with(TestKey::P256, &shifted)), Some(KeyFault::Malformed));
}

#[test]
fn point_off_its_curve_is_weak() {
    for (key, length) in [(TestKey::P256, 32), (TestKey::P384, 48), (TestKey::P521, 66)] {
        let (x, y) = (key.octets("x"), key.octets("y"));
        let altered = |octets: &[u8], at: usize| {
            let mut octets = octets.to_vec();
            octets[at] ^= 1;
            octets
        };
        for (x, y) in [
            (x.clone(), altered(&y, length - 1)),
            (altered(&x, length - 1), y.clone()),
            (altered(&x, 0), y.clone()),
            (y.clone(), x.clone()),
            (vec![0; length], vec![0; length]),
            (vec![0xff; length], y.clone()),
            (x.clone(), vec![0xff; length]),
            (x.clone(), vec![0; length]),
        ] {
            let jwk = with(key, &json!({"x": base64url(&x), "y": base64url(&y)}));
            assert_eq!(fault(&jwk), Some(KeyFault::Weak), "{jwk}");
        }
    }
}

/// With such a key some signatures verify for every message. See RFC 8032 section 5.1.7 and table 1 of "Taming the many
/// EdDSAs" (Chalkias, Garillot, Nikolaenko 2020).
#[test]
fn ed25519_key_of_small_order_non_canonical_or_off_curve_is_weak() {
    let last = |first: u8, middle: u8, last: u8| [&[first], &[middle; 30][..], &[last]].concat();
    let order_eight = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    let mut order_eight_negated = order_eight;
    order_eight_negated[31] |= 0x80;
    for (what, encoded) in [
        ("the neutral element", last(1, 0, 0)),
        ("the neutral element with a sign", last(1, 0, 0x80)),
        ("order 2", last(0xec, 0xff, 0x7f)),
        ("order 2 with a sign", last(0xec, 0xff, 0xff)),
        ("order 4", last(0, 0, 0)),
        ("order 4 with a sign", last(0, 0, 0x80)),
        ("order 8", order_eight.to_vec()),
        ("order 8 with a sign", order_eight_negated.to_vec()),
        ("0 written as p", last(0xed, 0xff, 0x7f)),
        ("0 written as p with a sign", last(0xed, 0xff, 0xff)),
        ("1 written as p + 1", last(0xee, 0xff, 0x7f)),
        ("4 written as p + 4", last(0xf1, 0xff, 0x7f)),
        ("all ones", vec![0xff; 32]),
        ("no point has this y", last(2, 0, 0)),
    ] {
        assert_eq!(fault(&with(TestKey::Ed25519, &json!({"x": base64url(encoded)}))), Some(KeyFault::Weak), "{what}");
    }
}

#[test]
fn weak_rsa_key_is_rejected_and_leading_zeros_are_ignored() {
    let n = TestKey::RsaA.octets("n");
    let even = [&n[..255], &[n[255] - 1]].concat();
    for members in [
        json!({"e": "AQ"}),
        json!({"e": "Aw"}),
        json!({"e": "AQAA"}),
        json!({"e": "AgAAAAE"}),
        json!({"e": ""}),
        json!({"n": ""}),
        json!({"n": "AA"}),
        json!({"n": base64url(&n[..128])}),
        json!({"n": base64url(&n[1..])}),
        json!({"n": base64url(even)}),
        json!({"n": base64url(n.repeat(5))}),
    ] {
        assert_eq!(fault(&with(TestKey::RsaA, &members)), Some(KeyFault::Weak), "{members}");
    }
    let padded = json!({"n": base64url([&[0, 0, 0], &n[..]].concat()), "e": "AAAAAQAB"});
    assert_eq!(fault(&with(TestKey::RsaA, &padded)), None);
}

#[path = "set_tests.rs"]
mod set;
