use super::*;
use crate::jose::PortableVerifier;
use crate::jose::signing_fixture::{TestKey, base64url};
use serde_json::json;

const KEYS: [TestKey; 5] = [TestKey::RsaA, TestKey::P256, TestKey::P384, TestKey::P521, TestKey::Ed25519];

fn header(key: TestKey) -> Value {
    json!({ "typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": key.public_jwk() })
}

fn claims() -> Value {
    json!({ "jti": "e1j3V_bKic8-LAEB", "htm": "GET", "htu": "https://api.acme.com/orders", "iat": 1_700_000_000,
        "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo" })
}

/// With changes; `null` removes a member.
fn changed(mut members: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.as_object_mut().unwrap().remove(name);
        } else {
            members[name] = value.clone();
        }
    }
    members
}

fn fault(text: &str) -> Option<ProofFormatFault> {
    UnverifiedProof::parse(text.as_bytes()).err()
}

fn fault_of_header(changes: &Value) -> Option<ProofFormatFault> {
    fault(&TestKey::P256.token(&changed(header(TestKey::P256), changes), &claims()))
}

fn fault_of_claims(changes: &Value) -> Option<ProofFormatFault> {
    fault(&TestKey::P256.token(&header(TestKey::P256), &changed(claims(), changes)))
}

#[test]
fn a_proof_is_verified_with_its_own_key_of_every_kind() {
    for key in KEYS {
        let text = key.token(&header(key), &claims());
        let proof = UnverifiedProof::parse(text.as_bytes()).unwrap();
        assert_eq!((proof.algorithm(), proof.method(), proof.nonce()), (key.algorithm(), "GET", None), "{key:?}");
        let own = proof.key().unwrap();
        let verified = proof.clone().verify(&own, &PortableVerifier).unwrap();
        assert_eq!((verified.thumbprint(), verified.id()), (proof.thumbprint(), "e1j3V_bKic8-LAEB"));
        // The cached key of another proof is never used.
        let other = if key == TestKey::P256 { TestKey::P384 } else { TestKey::P256 };
        let other = other.token(&header(other), &claims());
        let other = UnverifiedProof::parse(other.as_bytes()).unwrap().key().unwrap();
        assert!(proof.clone().verify(&other, &PortableVerifier).is_none(), "{key:?}");
        for at in [0, text.rfind('.').unwrap() - 2] {
            let mut forged = text.clone().into_bytes();
            forged[at] ^= 1;
            let proof = UnverifiedProof::parse(&forged);
            assert!(proof.is_err() || proof.unwrap().verify(&own, &PortableVerifier).is_none(), "{key:?} {at}");
        }
    }
}

#[test]
fn a_thumbprint_is_the_one_of_the_standards() {
    let rfc_9449 = json!({ "kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA" });
    let rfc_7638 = json!({ "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29", "n":
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj\
         hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQv\
         RL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqD\
         Kgw" });
    // RFC 8037 appendix A.3
    let rfc_8037 = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    for (jwk, expected) in [
        (rfc_9449, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        (rfc_7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        (rfc_8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    ] {
        assert_eq!(thumbprint(jwk.as_object().unwrap()).unwrap().to_string(), expected);
    }
}

#[test]
fn every_member_of_the_header_is_checked() {
    let p256 = TestKey::P256.public_jwk();
    let jwk = |changes: Value| json!({ "jwk": changed(p256.clone(), &changes) });
    let malformed = Some(ProofFormatFault::Malformed);
    let unsupported = Some(ProofFormatFault::AlgorithmUnsupported);
    let unusable = Some(ProofFormatFault::KeyUnusable);
    for (changes, expected) in [
        (json!({}), None),
        (json!({ "kid": "ignored", "jku": "https://evil.example" }), None),
        (jwk(json!({ "kid": "k", "use": "sig", "key_ops": ["verify"], "ext": true, "alg": "ES256" })), None),
        (json!({ "typ": null }), malformed),
        (json!({ "typ": "JWT" }), malformed),
        (json!({ "typ": "dpop+JWT" }), malformed),
        (json!({ "typ": "application/dpop+jwt" }), malformed),
        (json!({ "typ": ["dpop+jwt"] }), malformed),
        (json!({ "alg": null }), malformed),
        (json!({ "alg": 7 }), malformed),
        (json!({ "alg": "none" }), unsupported),
        (json!({ "alg": "HS256" }), unsupported),
        (json!({ "alg": "es256" }), unsupported),
        (json!({ "jwk": null }), malformed),
        (json!({ "jwk": "key" }), malformed),
        (json!({ "jwk": [p256.clone()] }), malformed),
        (json!({ "crit": ["exp"] }), malformed),
        (json!({ "b64": false }), malformed),
        (json!({ "zip": "DEF" }), malformed),
        (json!({ "cty": "JWT" }), malformed),
        (json!({ "jwk": {} }), unusable),
        (json!({ "jwk": { "kty": "oct", "k": "c2VjcmV0" } }), unusable),
        (jwk(json!({ "kty": "oct" })), unusable),
        (jwk(json!({ "d": base64url(TestKey::P256.octets("d")) })), unusable),
        (jwk(json!({ "d": "" })), unusable),
        (jwk(json!({ "k": "c2VjcmV0" })), unusable),
        (jwk(json!({ "use": "enc" })), unusable),
        (jwk(json!({ "key_ops": ["sign"] })), unusable),
        (jwk(json!({ "alg": "ES384" })), unusable),
        (jwk(json!({ "alg": "none" })), unusable),
        (jwk(json!({ "x": null })), unusable),
        (jwk(json!({ "x": 1 })), unusable),
        (jwk(json!({ "x": "a\"b" })), unusable),
        (jwk(json!({ "crv": null })), unusable),
    ] {
        assert_eq!(fault_of_header(&changes), expected, "{changes}");
    }
}

#[test]
fn a_key_that_does_not_fit_the_algorithm_or_is_weak_verifies_nothing() {
    let mut rsa_1024 = TestKey::RsaA.public_jwk();
    rsa_1024["n"] = json!(base64url([&[0xc1][..], &[0x55; 127]].concat()));
    let mut rsa_huge = TestKey::RsaA.public_jwk();
    rsa_huge["n"] = json!(base64url([&[0xc1][..], &[0x55; 2047]].concat()));
    let mut exponent = TestKey::RsaA.public_jwk();
    exponent["e"] = json!("AQ");
    let mut off_curve = TestKey::P256.public_jwk();
    off_curve["y"] = off_curve["x"].clone();
    let mut padded = TestKey::P256.public_jwk();
    padded["x"] = json!(format!("{}=", padded["x"].as_str().unwrap()));
    for (name, algorithm, jwk) in [
        ("an RSA key of 1024 bits", "RS256", rsa_1024),
        ("an RSA key of 16384 bits", "RS256", rsa_huge),
        ("the exponent 1", "RS256", exponent),
        ("a point off the curve", "ES256", off_curve),
        ("padding", "ES256", padded),
        ("ES256 with P-384", "ES256", TestKey::P384.public_jwk()),
        ("RS256 with P-256", "RS256", TestKey::P256.public_jwk()),
        ("ES256 with RSA", "ES256", TestKey::RsaA.public_jwk()),
        ("ES256 with Ed25519", "ES256", TestKey::Ed25519.public_jwk()),
        ("EdDSA with X25519", "EdDSA", json!({ "kty": "OKP", "crv": "X25519", "x": base64url([9; 32]) })),
        ("secp256k1", "ES256", changed(TestKey::P256.public_jwk(), &json!({ "crv": "secp256k1" }))),
    ] {
        let header = json!({ "typ": "dpop+jwt", "alg": algorithm, "jwk": jwk });
        let text = TestKey::P256.token(&header, &claims());
        let verified = UnverifiedProof::parse(text.as_bytes()).ok().and_then(|proof| {
            let key = proof.key().ok()?;
            proof.verify(&key, &PortableVerifier)
        });
        assert!(verified.is_none(), "{name}");
    }
}

#[test]
fn every_claim_is_required_and_of_its_type() {
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        for wrong in [Value::Null, json!(""), json!(true), json!(["x"]), json!({})] {
            assert_eq!(fault_of_claims(&json!({ name: wrong })), Some(ProofFormatFault::Malformed), "{name} {wrong}");
        }
    }
    for (changes, is_accepted) in [
        (json!({ "nonce": "n" }), true),
        (json!({ "nonce": "" }), false),
        (json!({ "nonce": 1 }), false),
        (json!({ "iat": 1.5 }), true),
        (json!({ "iat": "1700000000" }), false),
        (json!({ "iat": 1e300 }), false),
        (json!({ "iat": -1 }), false),
        (json!({ "exp": 1, "nbf": 9e9, "unknown": {} }), true),
        (json!({ "exp": "soon" }), false),
        (json!({ "nbf": "soon" }), false),
    ] {
        assert_eq!(fault_of_claims(&changes).is_none(), is_accepted, "{changes}");
    }
}

#[test]
fn what_is_no_compact_jws_or_ambiguous_or_too_large_is_rejected() {
    let good = TestKey::P256.token(&header(TestKey::P256), &claims());
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let twice = header(TestKey::P256).to_string().replacen('{', "{\"alg\":\"none\",", 1);
    let nested = base64url(good.as_bytes());
    for text in [
        String::new(),
        String::from("."),
        format!("{head}.{body}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{good}=") + "=",
        format!(" {good}"),
        format!("{good}\n"),
        format!("{}.{body}.{signature}", base64url(twice)),
        format!("{head}.{nested}.{signature}"),
        format!("{head}.{}.{signature}", base64url("[]")),
    ] {
        assert_eq!(fault(&text), Some(ProofFormatFault::Malformed), "{text}");
    }
    let long = |length: usize| changed(claims(), &json!({ "jti": "x".repeat(length) }));
    let of_length = |length| TestKey::P256.token(&header(TestKey::P256), &long(length)).len();
    let longest = (5000..8000).rev().find(|length| of_length(*length) <= MAX_PROOF_BYTES).unwrap();
    assert_eq!(fault(&TestKey::P256.token(&header(TestKey::P256), &long(longest))), None);
    assert_eq!(
        fault(&TestKey::P256.token(&header(TestKey::P256), &long(longest + 3))),
        Some(ProofFormatFault::TooLarge)
    );
}

#[test]
fn debug_output_shows_no_proof() {
    let good = TestKey::P256.token(&header(TestKey::P256), &claims());
    let shown = format!("{:?}", UnverifiedProof::parse(good.as_bytes()).unwrap());
    assert!(good.split('.').all(|part| !shown.contains(part)), "{shown}");
}
