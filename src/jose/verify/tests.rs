use super::*;
use crate::jose::signing_fixture::{TestKey, base64url};
use crate::jose::{Claim, KeySet};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{
    Claims as SignedClaims, Duration, ECDSAP256KeyPairLike as _, ECDSAP384KeyPairLike as _, ES256KeyPair, ES384KeyPair,
    Ed25519KeyPair, EdDSAKeyPairLike as _, JWTClaims, NoCustomClaims, PS256KeyPair, PS384KeyPair, PS512KeyPair,
    RS256KeyPair, RS384KeyPair, RS512KeyPair, RSAKeyPairLike as _,
};
use num_bigint::BigUint;
use serde_json::{Value, json};
use std::cell::RefCell;

const KEYS: [TestKey; 5] = [TestKey::RsaA, TestKey::P256, TestKey::P384, TestKey::P521, TestKey::Ed25519];
const P256_ORDER: &[u8] = b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const P384_ORDER: &[u8] =
    b"ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
const P521_ORDER: &[u8] = b"1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409";
const EC_KEYS: [(TestKey, &[u8]); 3] =
    [(TestKey::P256, P256_ORDER), (TestKey::P384, P384_ORDER), (TestKey::P521, P521_ORDER)];
const ED25519_ORDER: &[u8] = b"1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";

fn claims() -> JWTClaims<NoCustomClaims> {
    // Fixed times: signature verification reads no clock.
    let mut claims = SignedClaims::create(Duration::from_secs(60)).with_subject("alice");
    (claims.issued_at, claims.expires_at, claims.invalid_before) = (None, None, None);
    claims
}

/// The signing key of the other library, the algorithm, and the token.
fn tokens_signed_by_another_library() -> Vec<(TestKey, Algorithm, String)> {
    let rsa = TestKey::RsaA.pem();
    vec![
        (TestKey::RsaA, Algorithm::Rs256, RS256KeyPair::from_pem(rsa).unwrap().sign(claims()).unwrap()),
        (TestKey::RsaA, Algorithm::Rs384, RS384KeyPair::from_pem(rsa).unwrap().sign(claims()).unwrap()),
        (TestKey::RsaA, Algorithm::Rs512, RS512KeyPair::from_pem(rsa).unwrap().sign(claims()).unwrap()),
        (TestKey::RsaA, Algorithm::Ps256, PS256KeyPair::from_pem(rsa).unwrap().sign(claims()).unwrap()),
        (TestKey::RsaA, Algorithm::Ps384, PS384KeyPair::from_pem(rsa).unwrap().sign(claims()).unwrap()),
        (TestKey::RsaA, Algorithm::Ps512, PS512KeyPair::from_pem(rsa).unwrap().sign(claims()).unwrap()),
        (TestKey::P256, Algorithm::Es256, ES256KeyPair::from_pem(TestKey::P256.pem()).unwrap().sign(claims()).unwrap()),
        (TestKey::P384, Algorithm::Es384, ES384KeyPair::from_pem(TestKey::P384.pem()).unwrap().sign(claims()).unwrap()),
        (
            TestKey::Ed25519,
            Algorithm::EdDsa,
            Ed25519KeyPair::from_pem(TestKey::Ed25519.pem()).unwrap().sign(claims()).unwrap(),
        ),
    ]
}

fn verify(token: &str, keys: &KeySet) -> Result<VerifiedToken, TokenFault> {
    let token = UnverifiedToken::parse(token.as_bytes())?;
    let candidates = keys.candidates(token.header().key_id.as_deref(), token.header().algorithm);
    token.verify(&candidates, &PortableVerifier)
}

fn fault(token: &str, keys: &KeySet) -> Option<TokenFault> {
    verify(token, keys).err()
}

fn split(token: &str) -> (String, String, Vec<u8>) {
    let mut parts = token.split('.').map(str::to_owned);
    let (header, payload, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    (header, payload, URL_SAFE_NO_PAD.decode(signature).unwrap())
}

fn join(header: &str, payload: &str, signature: &[u8]) -> String {
    format!("{header}.{payload}.{}", base64url(signature))
}

fn number(hex: &[u8]) -> BigUint {
    BigUint::parse_bytes(hex, 16).unwrap()
}

fn bytes(number: &BigUint, length: usize) -> Vec<u8> {
    let digits = number.to_bytes_be();
    [vec![0; length - digits.len()], digits].concat()
}

#[test]
fn tokens_of_another_library_verify_with_their_key_only() {
    for (signer, algorithm, token) in tokens_signed_by_another_library() {
        let verified = verify(&token, &signer.key_set()).unwrap();
        assert_eq!(verified.header().algorithm, algorithm);
        assert_eq!(verified.claims().string("sub"), Claim::Valid("alice"), "{algorithm}");
        assert_eq!(verified.into_claims_and_payload().0.string("sub"), Claim::Valid("alice"), "{algorithm}");
        for other in [TestKey::RsaB].into_iter().chain(KEYS) {
            if other != signer {
                assert_eq!(
                    fault(&token, &other.key_set()),
                    Some(TokenFault::SignatureInvalid),
                    "{algorithm} {other:?}"
                );
            }
        }
    }
}

#[test]
fn signature_verifies_with_its_own_algorithm_only() {
    let keys = KeySet::parse(json!({"keys": KEYS.map(TestKey::public_jwk)}).to_string().as_bytes()).unwrap();
    for (_, algorithm, token) in tokens_signed_by_another_library() {
        let token = UnverifiedToken::parse(token.as_bytes()).unwrap();
        for key in &keys_of(&keys) {
            for other in Algorithm::ALL {
                let holds = PortableVerifier.verifies(other, key, token.signing_input(), token.signature());
                assert_eq!(holds, other == algorithm && key.supports(algorithm), "{algorithm} as {other} with {key:?}");
            }
        }
    }
}

fn keys_of(set: &KeySet) -> Vec<&Key> {
    KEYS.into_iter().flat_map(|key| set.candidates(None, key.algorithm())).collect()
}

#[test]
fn header_with_another_algorithm_is_rejected() {
    for (signer, algorithm, token) in tokens_signed_by_another_library() {
        let (_, payload, signature) = split(&token);
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            let header = base64url(json!({"alg": other.name(), "typ": "JWT"}).to_string());
            let forged = join(&header, &payload, &signature);
            assert_eq!(fault(&forged, &signer.key_set()), Some(TokenFault::SignatureInvalid), "{algorithm} as {other}");
        }
        for unsupported in ["none", "HS256", "HS384", "HS512"] {
            let header = base64url(json!({ "alg": unsupported }).to_string());
            for signature in [&signature[..], &[]] {
                let forged = join(&header, &payload, signature);
                assert_eq!(fault(&forged, &signer.key_set()), Some(TokenFault::AlgorithmUnsupported), "{unsupported}");
            }
        }
    }
}

#[test]
fn altered_byte_in_any_part_is_rejected() {
    for key in KEYS {
        let token = key.token(&json!({"alg": key.algorithm().name(), "kid": "k"}), &json!({"sub": "alice"}));
        let keys = key.key_set();
        assert_eq!(fault(&token, &keys), None, "{key:?}");
        let step = if cfg!(target_family = "wasm") { 7 } else { 1 };
        let signature_starts = token.rfind('.').unwrap();
        for at in (0..token.len()).step_by(step).chain([token.len() - 1]) {
            // RSA signatures are long, and their verification is slow without optimization.
            if at > signature_starts && at % 16 != 0 && at != token.len() - 1 && key == TestKey::RsaA {
                continue;
            }
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(fault(&altered, &keys).is_some(), "{key:?} at {at}: {altered}");
        }
    }
}

#[test]
fn signature_of_another_payload_or_header_is_rejected() {
    for key in KEYS {
        let (keys, name) = (key.key_set(), key.algorithm().name());
        let (header, payload, signature) = split(&key.token(&json!({ "alg": name }), &json!({"sub": "alice"})));
        let (_, other_payload, other_signature) =
            split(&key.token(&json!({ "alg": name }), &json!({"sub": "mallory"})));
        let other_header = base64url(json!({ "alg": name, "kid": "k" }).to_string());
        assert_eq!(fault(&join(&header, &payload, &signature), &keys), None, "{key:?}");
        assert_eq!(fault(&join(&header, &other_payload, &other_signature), &keys), None, "{key:?}");
        for forged in [
            join(&header, &other_payload, &signature),
            join(&header, &payload, &other_signature),
            join(&other_header, &payload, &signature),
        ] {
            assert_eq!(fault(&forged, &keys), Some(TokenFault::SignatureInvalid), "{key:?}");
        }
    }
}

#[test]
fn signature_of_wrong_length_is_rejected() {
    for (signer, algorithm, token) in tokens_signed_by_another_library() {
        let keys = signer.key_set();
        let (header, payload, good) = split(&token);
        let length = good.len();
        for signature in [
            Vec::new(),
            vec![0],
            good[..length - 1].to_vec(),
            good[1..].to_vec(),
            good[..length / 2].to_vec(),
            [&good[..], &[0]].concat(),
            [&[0], &good[..]].concat(),
            [&good[..], &[0; 4]].concat(),
            good.repeat(2),
        ] {
            let forged = join(&header, &payload, &signature);
            let context = format!("{algorithm}, {} bytes instead of {length}", signature.len());
            assert_eq!(fault(&forged, &keys), Some(TokenFault::SignatureInvalid), "{context}");
        }
    }
}

#[test]
fn signature_of_zeros_or_ones_is_rejected() {
    for (signer, algorithm, token) in tokens_signed_by_another_library() {
        let keys = signer.key_set();
        let (header, payload, good) = split(&token);
        let one = [&vec![0; good.len() - 1][..], &[1]].concat();
        for signature in [vec![0; good.len()], vec![0xff; good.len()], vec![1; good.len()], one] {
            let forged = join(&header, &payload, &signature);
            assert_eq!(fault(&forged, &keys), Some(TokenFault::SignatureInvalid), "{algorithm}");
        }
    }
}

/// DER's INTEGER: no leading zero byte except for the sign.
fn der_integer(big_endian: &[u8]) -> Vec<u8> {
    let start = big_endian.iter().position(|byte| *byte != 0).unwrap();
    let digits = &big_endian[start..];
    let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
    [&[2, u8::try_from(sign.len() + digits.len()).unwrap()], sign, digits].concat()
}

/// CVE-2022-21449: with r = 0 or s = 0 the equation holds for every message, if the code does not check the range.
#[test]
fn ecdsa_signature_out_of_range_or_in_der_is_rejected() {
    for (key, order) in EC_KEYS.map(|(key, order)| (key, number(order))) {
        let (header, payload, good) =
            split(&key.token(&json!({"alg": key.algorithm().name()}), &json!({"sub": "alice"})));
        let half = good.len() / 2;
        let (r, s) = good.split_at(half);
        let (zero, one, n) = (vec![0; half], bytes(&1_u32.into(), half), bytes(&order, half));
        let below = bytes(&(&order - 1_u32), half);
        let der_body = [der_integer(r), der_integer(s)].concat();
        let length = u8::try_from(der_body.len()).unwrap();
        let heading = if length < 0x80 { vec![0x30, length] } else { vec![0x30, 0x81, length] };
        let der = [heading, der_body].concat();
        let pair = |a: &[u8], b: &[u8]| [a, b].concat();
        for (what, signature) in [
            ("r = 0", pair(&zero, s)),
            ("s = 0", pair(r, &zero)),
            ("both 0", pair(&zero, &zero)),
            ("r = n", pair(&n, s)),
            ("s = n", pair(r, &n)),
            ("both n", pair(&n, &n)),
            ("r = n, s = 0", pair(&n, &zero)),
            ("both 1", pair(&one, &one)),
            ("r = n - 1", pair(&below, s)),
            ("s = n - 1", pair(r, &below)),
            ("swapped", pair(s, r)),
            ("DER", der),
            ("all ones", vec![0xff; 2 * half]),
        ] {
            let forged = join(&header, &payload, &signature);
            assert_eq!(fault(&forged, &key.key_set()), Some(TokenFault::SignatureInvalid), "{key:?} {what}");
        }
    }
}

/// Every ECDSA signature has a second valid form, so every token has a second valid serialization. No cache, replay or
/// deny list may use the serialized token as its key.
#[test]
fn both_forms_of_an_ecdsa_signature_verify() {
    for (key, order) in EC_KEYS.map(|(key, order)| (key, number(order))) {
        let (header, payload, good) =
            split(&key.token(&json!({"alg": key.algorithm().name()}), &json!({"sub": "alice"})));
        let (r, s) = good.split_at(good.len() / 2);
        let twin = [r, &bytes(&(order - BigUint::from_bytes_be(s)), s.len())].concat();
        assert_ne!(twin, good);
        assert_eq!(fault(&join(&header, &payload, &twin), &key.key_set()), None, "{key:?}");
    }
}

#[test]
fn an_ed25519_signature_has_no_twin_and_no_small_order_part() {
    let keys = TestKey::Ed25519.key_set();
    let (header, payload, good) = split(&TestKey::Ed25519.token(&json!({"alg": "EdDSA"}), &json!({"sub": "alice"})));
    let (r, s) = good.split_at(32);
    let s_number = BigUint::from_bytes_le(s);
    let little_endian = |number: &BigUint| {
        let mut digits = number.to_bytes_le();
        digits.resize(32, 0);
        digits
    };
    let order = number(ED25519_ORDER);
    let neutral = little_endian(&1_u32.into());
    let mut flipped_sign = r.to_vec();
    flipped_sign[31] ^= 0x80;
    for (what, signature) in [
        ("S + L", [r, &little_endian(&(&s_number + &order))].concat()),
        ("S + 2L", [r, &little_endian(&(&s_number + &order * 2_u32))].concat()),
        ("S = L", [r, &little_endian(&order)].concat()),
        ("S = 0", [r, &[0; 32]].concat()),
        ("R neutral", [&neutral, s].concat()),
        ("R neutral, S = 0", [&neutral[..], &[0; 32]].concat()),
        ("-R", [&flipped_sign, s].concat()),
        ("swapped", [s, r].concat()),
    ] {
        let forged = join(&header, &payload, &signature);
        assert_eq!(fault(&forged, &keys), Some(TokenFault::SignatureInvalid), "{what}");
    }
}

/// RFC 8725 section 3.10: key references in the token are ignored.
#[test]
fn key_in_the_token_header_is_ignored() {
    let attackers = [
        (TestKey::RsaB, TestKey::RsaA),
        (TestKey::RsaB, TestKey::P256),
        (TestKey::P384, TestKey::P256),
        (TestKey::Ed25519, TestKey::RsaA),
    ];
    for (attacker, issuer) in attackers {
        let issuer_set =
            KeySet::parse(json!({"keys": [merged(issuer.public_jwk(), &json!({"kid": "k1"}))]}).to_string().as_bytes())
                .unwrap();
        for offered in [
            json!({"jwk": attacker.public_jwk()}),
            json!({"jwk": merged(attacker.public_jwk(), &json!({"kid": "k1"}))}),
            json!({"jku": "https://attacker.example/keys", "jwk": attacker.public_jwk()}),
            json!({"x5c": ["AAAA"], "x5u": "https://attacker.example/cert"}),
        ] {
            let header = merged(json!({"alg": attacker.algorithm().name(), "kid": "k1"}), &offered);
            let token = attacker.token(&header, &json!({"sub": "alice"}));
            assert_eq!(fault(&token, &issuer_set), Some(TokenFault::SignatureInvalid), "{attacker:?} for {issuer:?}");
            assert_eq!(fault(&token, &attacker.key_set()), None, "the signature itself is valid");
        }
    }
}

fn merged(mut object: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

/// Accepts every signature and records the calls.
#[derive(Default)]
struct Yes(RefCell<Vec<(Algorithm, Option<String>)>>);

impl SignatureVerifier for Yes {
    fn verifies(&self, algorithm: Algorithm, key: &Key, _: &[u8], _: &[u8]) -> bool {
        self.0.borrow_mut().push((algorithm, key.id().map(str::to_owned)));
        true
    }
}

/// RFC 9864 deprecates `EdDSA` in favour of `Ed25519`. The signature is the same.
#[test]
fn ed25519_and_eddsa_name_one_algorithm_in_tokens_and_keys() {
    let (payload, names) = (json!({"sub": "alice"}), ["EdDSA", "Ed25519"]);
    for name in names {
        let token = TestKey::Ed25519.token(&json!({"alg": name, "kid": "k1"}), &payload);
        for other in names {
            let jwk = merged(TestKey::Ed25519.public_jwk(), &json!({"alg": other, "kid": "k1"}));
            let set = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
            assert_eq!(fault(&token, &set), None, "{name} {other}");
        }
        for key in KEYS.into_iter().filter(|key| *key != TestKey::Ed25519) {
            assert_eq!(fault(&token, &key.key_set()), Some(TokenFault::SignatureInvalid), "{name} {key:?}");
            let header = json!({"alg": name, "kid": "k1"});
            assert_eq!(fault(&key.token(&header, &payload), &key.key_set()), Some(TokenFault::SignatureInvalid));
            let jwk = merged(key.public_jwk(), &json!({"alg": name}));
            let set = json!({"keys": [jwk]}).to_string();
            assert!(KeySet::parse(set.as_bytes()).is_err(), "{name} {key:?}: the key and its alg do not agree");
        }
    }
}

/// A host's verifier accepts more than this project does, so it must not be called.
#[test]
fn verifier_is_not_called_for_a_key_that_does_not_support_the_algorithm() {
    let keys: Vec<Value> = [
        (TestKey::RsaA, json!({"kid": "PS256", "alg": "PS256"})),
        (TestKey::P384, json!({"kid": "ES384"})),
        (TestKey::Ed25519, json!({"kid": "EdDSA"})),
        (TestKey::P256, json!({"kid": "ES256"})),
    ]
    .map(|(key, members)| merged(key.public_jwk(), &members))
    .to_vec();
    let set = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    let all: Vec<&Key> = [Algorithm::Ps256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Es256]
        .into_iter()
        .flat_map(|algorithm| set.candidates(None, algorithm))
        .collect();
    for algorithm in Algorithm::ALL {
        let header = base64url(json!({"alg": algorithm.name()}).to_string());
        let token = UnverifiedToken::parse(join(&header, &base64url("{}"), b"x").as_bytes()).unwrap();
        let verifier = Yes::default();
        let proven = token.verify(&all, &verifier).is_ok();
        let calls = verifier.0.into_inner();
        let served = ["PS256", "ES384", "EdDSA", "ES256"].contains(&algorithm.name());
        assert_eq!(proven, served, "{algorithm}");
        let expected = if served { vec![(algorithm, Some(algorithm.name().to_owned()))] } else { Vec::new() };
        assert_eq!(calls, expected, "{algorithm}");
    }
}

#[test]
fn token_without_candidates_is_rejected() {
    let token = TestKey::P256.token(&json!({"alg": "ES256"}), &json!({}));
    let token = UnverifiedToken::parse(token.as_bytes()).unwrap();
    assert_eq!(token.verify(&[], &Yes::default()).unwrap_err(), TokenFault::SignatureInvalid);
}

#[test]
fn any_candidate_may_verify_the_token() {
    let set = json!({"keys": [TestKey::RsaB.public_jwk(), TestKey::RsaB.public_jwk(), TestKey::RsaA.public_jwk()]});
    let set = KeySet::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(fault(&TestKey::RsaA.token(&json!({"alg": "RS256"}), &json!({})), &set), None);
}

#[path = "published_tests.rs"]
mod published;
