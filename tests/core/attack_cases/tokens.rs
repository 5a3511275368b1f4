//! Groups A to F: contents and encodings of a token.

use num_bigint::BigUint;
use serde_json::{Value, json};
use superboring::pkey::PKey;
use superboring::rsa::Padding;
use superboring::sign::{RsaPssSaltlen, Signer};

use super::{NOW, OTHER_ISSUER, Row, Scene, check, claiming, faults_of, headed, one_issuer, row, saying, two_issuers};
use crate::forge::{
    self, Forge, SHA256_PREFIX, base64url, halves, hmac_token, joined, order, pkcs1, signature_of, signing_input,
    with_signature,
};
use crate::signing::{ISSUER, payload, with};

/// A header with these members beside `alg` and `kid`, correctly signed.
fn with_members(members: Value) -> String {
    Forge::RsaA.token("RS256", "rsa", members, &payload(NOW))
}

fn good(key: Forge, algorithm: &str, kid: &str) -> String {
    key.token(algorithm, kid, json!({}), &payload(NOW))
}

#[test]
fn good_tokens_of_every_algorithm_pass() {
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    let mut rows: Vec<Row> = rsa.map(|name| row("OK RSA", "authorized", good(Forge::RsaA, name, "rsa"))).into();
    rows.push(row("OK ES256", "authorized", good(Forge::P256, "ES256", "p256")));
    rows.push(row("OK ES384", "authorized", good(Forge::P384, "ES384", "p384")));
    rows.push(row("OK EdDSA", "authorized", good(Forge::Ed25519, "EdDSA", "ed25519")));
    rows.push(row("OK Ed25519", "authorized", headed(Forge::Ed25519, "EdDSA", r#"{"alg":"Ed25519","kid":"ed25519"}"#)));
    check(&two_issuers(), rows);
}

#[test]
fn algorithm_outside_the_allowed_list_is_rejected() {
    let unsigned = |header: &str| format!("{}.", signing_input(header, &payload(NOW).to_string()));
    let signed = |header: &str| headed(Forge::RsaA, "RS256", header);
    let of_b = |key: Forge, algorithm: &str, kid: &str| {
        key.token(algorithm, kid, json!({}), &with(&payload(NOW), json!({ "iss": OTHER_ISSUER })))
    };
    check(
        &two_issuers(),
        vec![
            row("A1 alg none, empty signature", "algorithm_unsupported", unsigned(r#"{"alg":"none"}"#)),
            row(
                "A1 alg none with typ, RFC 7515 A.5",
                "algorithm_unsupported",
                unsigned(r#"{"typ":"JWT","alg":"none"}"#),
            ),
            row("A1 alg none with kid", "algorithm_unsupported", unsigned(r#"{"alg":"none","kid":"rsa"}"#)),
            row("A1 alg none, signature kept", "algorithm_unsupported", signed(r#"{"alg":"none","kid":"rsa"}"#)),
            row("A1 RS256 without a signature", "signature_invalid", unsigned(r#"{"alg":"RS256","kid":"rsa"}"#)),
            row("A2 None", "algorithm_unsupported", unsigned(r#"{"alg":"None"}"#)),
            row("A2 NONE", "algorithm_unsupported", unsigned(r#"{"alg":"NONE"}"#)),
            row("A2 nOnE", "algorithm_unsupported", unsigned(r#"{"alg":"nOnE"}"#)),
            row("A2 none and a blank", "algorithm_unsupported", unsigned(r#"{"alg":"none "}"#)),
            row("A2 hs256", "algorithm_unsupported", signed(r#"{"alg":"hs256","kid":"rsa"}"#)),
            row("A2 ed25519", "algorithm_unsupported", signed(r#"{"alg":"ed25519","kid":"ed25519"}"#)),
            row("A2 Ed448", "algorithm_unsupported", signed(r#"{"alg":"Ed448","kid":"ed25519"}"#)),
            row(
                "A5 Ed25519 with an RSA signature",
                "signature_invalid",
                signed(r#"{"alg":"Ed25519","kid":"ed25519"}"#),
            ),
            row("A5 Ed25519 with an RSA key", "key_unknown", signed(r#"{"alg":"Ed25519","kid":"rsa"}"#)),
            row(
                "A5 Ed25519 with an EC key",
                "key_unknown",
                headed(Forge::P256, "ES256", r#"{"alg":"Ed25519","kid":"p256"}"#),
            ),
            row("A2 rs256", "algorithm_unsupported", signed(r#"{"alg":"rs256","kid":"rsa"}"#)),
            row("A2 RS256 and a blank", "algorithm_unsupported", signed(r#"{"alg":"RS256 ","kid":"rsa"}"#)),
            row("A2 RS256 and NUL", "algorithm_unsupported", signed(r#"{"alg":"RS256\u0000","kid":"rsa"}"#)),
            row("A2 RS256 in full width", "algorithm_unsupported", signed("{\"alg\":\"\u{ff32}\u{ff33}256\"}")),
            row("A2 RS256 escaped is RS256", "authorized", signed(r#"{"alg":"\u0052S256","kid":"rsa"}"#)),
            row("A2 ES256K", "algorithm_unsupported", signed(r#"{"alg":"ES256K","kid":"rsa"}"#)),
            row("A2 RS1", "algorithm_unsupported", signed(r#"{"alg":"RS1","kid":"rsa"}"#)),
            row("A3 alg missing", "algorithm_malformed", signed(r#"{"kid":"rsa"}"#)),
            row("A3 alg number", "algorithm_malformed", signed(r#"{"alg":256,"kid":"rsa"}"#)),
            row("A3 alg null", "algorithm_malformed", signed(r#"{"alg":null,"kid":"rsa"}"#)),
            row("A3 alg array", "algorithm_malformed", signed(r#"{"alg":["RS256"],"kid":"rsa"}"#)),
            row("A3 alg object", "algorithm_malformed", signed(r#"{"alg":{"RS256":1},"kid":"rsa"}"#)),
            row("A3 alg true", "algorithm_malformed", signed(r#"{"alg":true,"kid":"rsa"}"#)),
            row("A3 alg empty", "algorithm_unsupported", signed(r#"{"alg":"","kid":"rsa"}"#)),
            row("A3 ALG", "algorithm_malformed", signed(r#"{"ALG":"RS256","kid":"rsa"}"#)),
            row(
                "A5 allowed for the other issuer: RS256 at b",
                "algorithm_not_allowed",
                of_b(Forge::RsaB, "RS256", "rsa"),
            ),
            row(
                "A5 allowed for the other issuer: EdDSA at b",
                "algorithm_not_allowed",
                of_b(Forge::Ed25519, "EdDSA", "ed25519"),
            ),
            row("A5 its own algorithm passes", "authorized", of_b(Forge::P256, "ES256", "p256")),
            row("A5 a key of another kind under the kid", "key_unknown", good(Forge::P256, "ES256", "rsa")),
        ],
    );
}

#[test]
fn ed25519_in_the_configuration_allows_both_names_of_the_algorithm_and_no_other() {
    for names in [json!(["Ed25519"]), json!(["EdDSA"]), json!(["EdDSA", "Ed25519"])] {
        let mut configuration = two_issuers();
        configuration["providers"]["a"]["algorithms"] = names;
        let ed25519 = |header: &str| headed(Forge::Ed25519, "EdDSA", header);
        check(
            &configuration,
            vec![
                row("A5 Ed25519", "authorized", ed25519(r#"{"alg":"Ed25519","kid":"ed25519"}"#)),
                row("A5 EdDSA", "authorized", ed25519(r#"{"alg":"EdDSA","kid":"ed25519"}"#)),
                row("A5 RS256", "algorithm_not_allowed", good(Forge::RsaA, "RS256", "rsa")),
                row("A5 ES256", "algorithm_not_allowed", good(Forge::P256, "ES256", "p256")),
            ],
        );
    }
}

#[test]
fn public_key_is_not_an_hmac_secret() {
    let header = |algorithm: &str, kid: &str| json!({ "alg": algorithm, "kid": kid }).to_string();
    let claims = payload(NOW).to_string();
    let public = Forge::RsaA.rsa().public_key().unwrap();
    let pem = public.public_key_to_pem().unwrap();
    let p256 = Forge::P256.jwk("p256");
    let [x, y] = ["x", "y"].map(|name| forge::unbase64url(p256[name].as_str().unwrap()));
    let jwk = Forge::RsaA.jwk("rsa");
    let secrets: Vec<(&'static str, &str, Vec<u8>)> = vec![
        ("A4 HS under the PEM", "rsa", pem.clone()),
        ("A4 HS under the PEM without its last newline", "rsa", pem.trim_ascii_end().to_vec()),
        ("A4 HS under the PKCS#1 PEM", "rsa", public.public_key_to_pem_pkcs1().unwrap()),
        ("A4 HS under the DER", "rsa", public.public_key_to_der().unwrap()),
        ("A4 HS under the PKCS#1 DER", "rsa", public.public_key_to_der_pkcs1().unwrap()),
        ("A4 HS under the JWK JSON", "rsa", jwk.to_string().into_bytes()),
        ("A4 HS under the key set JSON", "rsa", json!({ "keys": [jwk] }).to_string().into_bytes()),
        ("A4 HS under n", "rsa", public.n().to_vec()),
        ("A4 HS under n in base64url", "rsa", base64url(public.n().to_vec()).into_bytes()),
        ("A4 HS under x,y bytes", "p256", [x.clone(), y.clone()].concat()),
        ("A4 HS under the SEC 1 point", "p256", [vec![4], x.clone(), y].concat()),
        ("A4 HS under x", "p256", x),
        ("A4 HS under the kid", "rsa", b"rsa".to_vec()),
        ("A4 HS under 32 zeros", "rsa", vec![0; 32]),
    ];
    let mut rows = Vec::new();
    for (label, kid, secret) in &secrets {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let token = hmac_token(algorithm, &header(algorithm, kid), &claims, secret);
            rows.push(row(label, "algorithm_unsupported", token));
        }
        let public_algorithm = if *kid == "rsa" { "RS256" } else { "ES256" };
        let input = hmac_token("HS256", &header(public_algorithm, kid), &claims, secret);
        rows.push(row(label, "signature_invalid", input));
        let without_kid = hmac_token("HS256", &json!({ "alg": "HS256" }).to_string(), &claims, secret);
        rows.push(row(label, "algorithm_unsupported", without_kid));
    }
    check(&two_issuers(), rows);
    for name in ["HS256", "HS384", "HS512", "none", "hs256"] {
        let mut configuration = two_issuers();
        configuration["providers"]["a"]["algorithms"] = json!([name]);
        assert!(faults_of(&configuration).contains("algorithms[0]"), "A7 {name} can be configured");
    }
}

#[test]
fn key_material_in_a_token_is_ignored() {
    let mallory = Forge::RsaB.jwk("rsa");
    let by_mallory = |members: Value| Forge::RsaB.token("RS256", "rsa", members, &payload(NOW));
    let url = "https://evil.example/keys";
    let without_kid = json!({ "alg": "RS256", "jwk": mallory }).to_string();
    check(
        &two_issuers(),
        vec![
            row("A8 jwk with attacker key, valid under it", "signature_invalid", by_mallory(json!({ "jwk": mallory }))),
            row("A8 jwk, no kid", "signature_invalid", headed(Forge::RsaB, "RS256", &without_kid)),
            row(
                "A8 jwk, its own kid",
                "key_unknown",
                Forge::RsaB.token("RS256", "evil", json!({ "jwk": mallory }), &payload(NOW)),
            ),
            row("A8 jwk is ignored where the signature is ours", "authorized", with_members(json!({ "jwk": mallory }))),
            row("A8 jwk of nonsense is ignored too", "authorized", with_members(json!({ "jwk": 5 }))),
            row("A9 jku", "signature_invalid", by_mallory(json!({ "jku": url }))),
            row("A9 x5u", "signature_invalid", by_mallory(json!({ "x5u": url }))),
            row(
                "A9 jku is ignored where the signature is ours",
                "authorized",
                with_members(json!({ "jku": url, "x5u": url })),
            ),
            row(
                "A10 x5c",
                "signature_invalid",
                by_mallory(json!({ "x5c": ["MIIB"], "x5t": "AAAA", "x5t#S256": "AAAA" })),
            ),
            row(
                "A10 x5c is ignored where the signature is ours",
                "authorized",
                with_members(json!({ "x5c": ["MIIB"] })),
            ),
        ],
    );
}

#[test]
fn key_id_is_a_string_compared_byte_for_byte() {
    let kid = |kid: Value| headed(Forge::RsaA, "RS256", &json!({ "alg": "RS256", "kid": kid }).to_string());
    let mut rows = Vec::new();
    for value in [json!(5), json!(["rsa"]), json!(null), json!({ "rsa": 1 }), json!(true)] {
        rows.push(row("A11 kid of another type", "token_header_malformed", kid(value)));
    }
    for value in ["Rsa", "rsa ", " rsa", "rs", "rsaa", "", "r\u{455}a", "rsa\0", "../rsa", "rsa' OR '1'='1", "$rsa"] {
        rows.push(row("A12 kid that only looks alike", "key_unknown", kid(json!(value))));
    }
    rows.push(row("A12 exactly", "authorized", kid(json!("rsa"))));
    rows.push(row(
        "A12 escaped is the same text",
        "authorized",
        headed(Forge::RsaA, "RS256", r#"{"alg":"RS256","kid":"\u0072sa"}"#),
    ));
    check(&two_issuers(), rows);
    let (composed, decomposed) = ("cl\u{e9}", "cle\u{301}");
    check(
        &one_issuer(&[Forge::RsaA.jwk(composed)]),
        vec![
            row("A12 kid in NFC", "authorized", kid(json!(composed))),
            row("A12 kid in NFD", "key_unknown", kid(json!(decomposed))),
        ],
    );
}

#[test]
fn a_token_without_a_key_id_is_tried_with_few_keys() {
    let without_kid = || headed(Forge::RsaA, "RS256", r#"{"alg":"RS256"}"#);
    check(
        &one_issuer(&[Forge::RsaA.jwk("rsa"), Forge::P256.jwk("p256")]),
        vec![row("A13 kid absent: one matching key", "authorized", without_kid())],
    );
    for (others, reason, verifications) in
        [(0, "authorized", 1), (3, "authorized", 4), (4, "signature_invalid", 4), (20, "signature_invalid", 4)]
    {
        let mut keys: Vec<Value> = (0..others).map(|number| Forge::RsaB.jwk(&format!("b{number}"))).collect();
        keys.push(Forge::RsaA.jwk("rsa"));
        let mut scene = Scene::new(&one_issuer(&keys));
        assert_eq!(scene.reason(without_kid()), reason, "A13 kid absent: {others} other keys before the right one");
        assert_eq!(scene.signatures_verified(), verifications, "A13 {others} others");
    }
    // Twenty keys of one id are tried no more than four times either.
    let keys: Vec<Value> = (0..20).map(|_| Forge::RsaB.jwk("rsa")).collect();
    let mut scene = Scene::new(&one_issuer(&keys));
    assert_eq!(scene.reason(headed(Forge::RsaA, "RS256", r#"{"alg":"RS256","kid":"rsa"}"#)), "signature_invalid");
    assert_eq!(scene.signatures_verified(), 4);
    // `alg` and `use` of a key that only looks right keep it from being tried at all.
    let mut other_algorithm = Forge::RsaA.jwk("rsa");
    other_algorithm["alg"] = json!("RS512");
    check(
        &one_issuer(&[other_algorithm, Forge::RsaB.jwk("b")]),
        vec![row("A13 the key's alg is another", "signature_invalid", without_kid())],
    );
}

#[test]
fn keys_of_one_issuer_do_not_verify_tokens_of_the_others() {
    let token =
        |key: Forge, issuer: &str| key.token("ES256", "k", json!({}), &with(&payload(NOW), json!({ "iss": issuer })));
    // The only P-256 key pair is a's; b publishes the point of its opposite sign, another key, under the same id.
    let mut opposite = Forge::P256.jwk("k");
    let prime = BigUint::parse_bytes(b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16).unwrap();
    let y = BigUint::from_bytes_be(&forge::unbase64url(opposite["y"].as_str().unwrap()));
    opposite["y"] = json!(base64url(forge::fixed(&(prime - y), 32)));
    let mut configuration = two_issuers();
    configuration["providers"]["a"]["jwks"]["inline"] = json!({ "keys": [Forge::P256.jwk("k"), Forge::RsaA.jwk("r")] });
    configuration["providers"]["b"]["jwks"]["inline"] = json!({ "keys": [opposite, Forge::RsaB.jwk("r")] });
    configuration["providers"]["b"]["algorithms"] = json!(["ES256", "RS256"]);
    let rsa =
        |key: Forge, issuer: &str| key.token("RS256", "r", json!({}), &with(&payload(NOW), json!({ "iss": issuer })));
    check(
        &configuration,
        vec![
            row("A14 a's token under a's key", "authorized", token(Forge::P256, ISSUER)),
            row("A14 b's token under a's key", "signature_invalid", token(Forge::P256, OTHER_ISSUER)),
            row("A14 a's under a's, RSA", "authorized", rsa(Forge::RsaA, ISSUER)),
            row("A14 b's under b's, RSA", "authorized", rsa(Forge::RsaB, OTHER_ISSUER)),
            row("A14 a's token signed by b's key", "signature_invalid", rsa(Forge::RsaB, ISSUER)),
            row("A14 b's token signed by a's key", "signature_invalid", rsa(Forge::RsaA, OTHER_ISSUER)),
        ],
    );
}

#[test]
fn ecdsa_signature_with_values_out_of_range_is_rejected() {
    let mut rows = Vec::new();
    for (key, algorithm, kid, length) in [(Forge::P256, "ES256", "p256", 32), (Forge::P384, "ES384", "p384", 48)] {
        let token = good(key, algorithm, kid);
        let bytes = signature_of(&token);
        let (r, s) = halves(&bytes);
        let (zero, one, n) = (BigUint::ZERO, BigUint::from(1_u8), order(key));
        let bent = |signature: Vec<u8>| with_signature(&token, signature);
        for (label, r, s) in [
            ("B1 (0,0) psychic", &zero, &zero),
            ("B1 r=0", &zero, &s),
            ("B1 s=0", &r, &zero),
            ("B1 r=n", &n, &s),
            ("B1 s=n", &r, &n),
            ("B1 (n,n)", &n, &n),
            ("B1 (0,1)", &zero, &one),
            ("B1 (1,0)", &one, &zero),
            ("B1 (1,1)", &one, &one),
            ("B1 swapped", &s, &r),
            ("B1 r=n-r", &(&n - &r), &s),
            ("B1 s=s+1", &r, &(&s + 1_u8)),
        ] {
            rows.push(row(label, "signature_invalid", bent(joined(key, r, s))));
        }
        rows.push(row("B1 all ones", "signature_invalid", bent(vec![0xff; 2 * length])));
        rows.push(row("B2 DER", "signature_invalid", bent(forge::der(&bytes))));
        rows.push(row("B2 a zero behind", "signature_invalid", bent([&bytes[..], &[0]].concat())));
        rows.push(row("B2 a zero before", "signature_invalid", bent([&[0], &bytes[..]].concat())));
        rows.push(row("B2 one byte short", "signature_invalid", bent(bytes[..2 * length - 1].to_vec())));
        rows.push(row("B2 r alone", "signature_invalid", bent(bytes[..length].to_vec())));
        rows.push(row("B2 twice", "signature_invalid", bent([&bytes[..], &bytes[..]].concat())));
        rows.push(row("B3 (r, n-s) twin", "authorized", bent(forge::twin(key, &bytes))));
        rows.push(row("B3 the token itself", "authorized", token.clone()));
    }
    check(&two_issuers(), rows);
}

#[test]
fn rsa_signature_with_another_encoding_is_rejected() {
    let token = good(Forge::RsaA, "RS256", "rsa");
    let input = token.rsplit_once('.').unwrap().0.as_bytes();
    let encoded = |first, filler, prefix: &[u8], trailer: &[u8]| {
        with_signature(&token, Forge::RsaA.private_operation(&pkcs1(first, filler, prefix, input, trailer)))
    };
    let sha384: &[u8] = b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30";
    let missing_null: &[u8] = b"\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20";
    let long_length: &[u8] = b"\x30\x81\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    let mut short_padding = pkcs1([0, 1], 0xff, SHA256_PREFIX, input, &[]);
    short_padding.drain(2..202);
    let garbage: Vec<u8> = [&short_padding[..], &[0x5a; 200]].concat();
    let mut ps_rows = Vec::new();
    for salt in [0, 1, 20, 31, 33, 64] {
        let header = json!({ "alg": "PS256", "kid": "rsa" }).to_string();
        let input = signing_input(&header, &payload(NOW).to_string());
        let pair = PKey::from_rsa(Forge::RsaA.rsa().clone()).unwrap();
        let mut signer = Signer::new(superboring::hash::MessageDigest::sha256(), &pair).unwrap();
        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        signer.set_rsa_pss_saltlen(RsaPssSaltlen::custom(salt)).unwrap();
        let signature = signer.sign_oneshot_to_vec(input.as_bytes()).unwrap();
        ps_rows.push(row(
            "B5 PSS salt length != hash length",
            "signature_invalid",
            format!("{input}.{}", base64url(signature)),
        ));
    }
    let bytes = signature_of(&token);
    let modulus = BigUint::from_bytes_be(&Forge::RsaA.rsa().n().to_vec());
    let plus_n = BigUint::from_bytes_be(&bytes) + &modulus;
    let pss_as_pkcs1 = Forge::RsaA.token_of_texts("PS256", r#"{"alg":"RS256","kid":"rsa"}"#, &payload(NOW).to_string());
    let pkcs1_as_pss = Forge::RsaA.token_of_texts("RS256", r#"{"alg":"PS256","kid":"rsa"}"#, &payload(NOW).to_string());
    let sha512 = Forge::RsaA.token_of_texts("RS512", r#"{"alg":"RS256","kid":"rsa"}"#, &payload(NOW).to_string());
    let mut rows = vec![
        row("B4 made by hand, as it must be", "authorized", encoded([0, 1], 0xff, SHA256_PREFIX, &[])),
        row("B4 block type 2", "signature_invalid", encoded([0, 2], 0xff, SHA256_PREFIX, &[])),
        row("B4 bad padding: 00 for FF", "signature_invalid", encoded([0, 1], 0, SHA256_PREFIX, &[])),
        row("B4 bad padding: FE for FF", "signature_invalid", encoded([0, 1], 0xfe, SHA256_PREFIX, &[])),
        row("B4 trailing garbage", "signature_invalid", encoded([0, 1], 0xff, SHA256_PREFIX, &[0; 8])),
        row(
            "B4 short padding and garbage (Bleichenbacher 2006)",
            "signature_invalid",
            with_signature(&token, Forge::RsaA.private_operation(&garbage)),
        ),
        row("B4 BER length", "signature_invalid", encoded([0, 1], 0xff, long_length, &[])),
        row("B4 missing NULL", "signature_invalid", encoded([0, 1], 0xff, missing_null, &[])),
        row("B4 wrong hash OID", "signature_invalid", encoded([0, 1], 0xff, sha384, &[])),
        row("B4 no DigestInfo", "signature_invalid", encoded([0, 1], 0xff, &[], &[])),
        row("B4 signature + n", "signature_invalid", with_signature(&token, plus_n.to_bytes_be())),
        row("B4 PSS called RS256", "signature_invalid", pss_as_pkcs1),
        row("B4 SHA-512 called RS256", "signature_invalid", sha512),
        row("B5 PKCS#1 called PS256", "signature_invalid", pkcs1_as_pss),
        row(
            "B6 signature of another token",
            "signature_invalid",
            with_signature(&token, signature_of(&claiming(json!({ "sub": "mallory" })))),
        ),
        row("B6 empty", "signature_invalid", with_signature(&token, [])),
        row("B6 truncated", "signature_invalid", with_signature(&token, &bytes[..255])),
        row("B6 one byte", "signature_invalid", with_signature(&token, [1])),
        row("B6 extended", "signature_invalid", with_signature(&token, [&bytes[..], &[0]].concat())),
        row("B6 zero before", "signature_invalid", with_signature(&token, [&[0], &bytes[..]].concat())),
        row("B6 zeros", "signature_invalid", with_signature(&token, [0; 256])),
        row("B6 one", "signature_invalid", with_signature(&token, [&[0_u8; 255][..], &[1]].concat())),
        row("B6 n - 1", "signature_invalid", with_signature(&token, (&modulus - 1_u8).to_bytes_be())),
        row("B6 n", "signature_invalid", with_signature(&token, modulus.to_bytes_be())),
    ];
    rows.extend(ps_rows);
    check(&two_issuers(), rows);
}

#[test]
fn non_canonical_ed25519_signature_is_rejected() {
    let token = good(Forge::Ed25519, "EdDSA", "ed25519");
    let bytes = signature_of(&token);
    // The order of the group, little-endian.
    let order =
        (BigUint::from(1_u8) << 252_u32) + BigUint::parse_bytes(b"27742317777372353535851937790883648493", 10).unwrap();
    let s_plus_l = BigUint::from_bytes_le(&bytes[32..]) + &order;
    let mut s = s_plus_l.to_bytes_le();
    s.resize(32, 0);
    let bent = |signature: Vec<u8>| with_signature(&token, signature);
    let identity = [&[1_u8][..], &[0; 31]].concat();
    let non_canonical_identity = {
        // p + 1 encodes the same y as 1.
        let mut y = [0xff_u8; 32];
        (y[0], y[31]) = (0xee, 0x7f);
        y.to_vec()
    };
    check(
        &two_issuers(),
        vec![
            row("A21 S >= L", "signature_invalid", bent([&bytes[..32], &s].concat())),
            row("A21 R of low order, S = 0", "signature_invalid", bent([identity.clone(), vec![0; 32]].concat())),
            row(
                "A21 R non-canonical, S = 0",
                "signature_invalid",
                bent([non_canonical_identity.clone(), vec![0; 32]].concat()),
            ),
            row("A21 R of low order, S kept", "signature_invalid", bent([&identity[..], &bytes[32..]].concat())),
            row("A21 zeros", "signature_invalid", bent(vec![0; 64])),
            row("A21 65 bytes", "signature_invalid", bent([&bytes[..], &[0]].concat())),
            row("A21 63 bytes", "signature_invalid", bent(bytes[..63].to_vec())),
        ],
    );
    for (label, x) in [
        ("A21 low-order A", identity),
        ("A21 non-canonical A", non_canonical_identity),
        ("A21 A = 0", vec![0; 32]),
        ("A21 A is no point", [&[2_u8][..], &[0; 31]].concat()),
        ("A21 31 bytes", vec![5; 31]),
    ] {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "x", "x": base64url(x) });
        assert!(faults_of(&one_issuer(&[key])).contains("no key here can verify"), "{label}");
    }
}

#[test]
fn token_in_any_second_encoding_is_rejected() {
    let token = good(Forge::RsaA, "RS256", "rsa");
    let es = good(Forge::P256, "ES256", "p256");
    let (signed_part, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed_part.split_once('.').unwrap();
    // 64 bytes end in a character of which two bits are used: 15 others decode to the same bytes, loosely.
    let es_last = es.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let neighbour = alphabet.chars().nth(alphabet.find(es_last).unwrap() + 1).unwrap();
    let mut rows = vec![
        row("C1 == behind", "token_encoding", format!("{token}==")),
        row("C1 = behind", "token_encoding", format!("{token}=")),
        row("C1 = inside: the header padded", "credential_malformed", format!("{header}==.{claims}.{signature}")),
        row("C1 = inside: the claims padded", "credential_malformed", format!("{header}.{claims}=.{signature}")),
        row("C1 unused bits set", "token_encoding", format!("{}{neighbour}", &es[..es.len() - 1])),
        row("C1 %2B", "credential_malformed", format!("{header}.{claims}.%2B{signature}")),
        row("C1 %2E for a dot", "credential_malformed", format!("{header}%2E{claims}.{signature}")),
        row("C1 U+FF0E dot", "credential_malformed", format!("{header}\u{ff0e}{claims}.{signature}")),
        row("C1 NUL behind", "credential_malformed", format!("{token}\0")),
        row("C1 a byte that is not UTF-8", "credential_malformed", [token.as_bytes(), &[0xff]].concat()),
        row("C1 in quotes", "credential_malformed", format!("\"{token}\"")),
        row("C1 letter A behind", "token_encoding", format!("{token}AAA")),
        row("C2 !!!! appended", "credential_malformed", format!("{token}!!!!")),
        row("C2 ? appended", "credential_malformed", format!("{token}?")),
        row("C2 ~~~~ appended", "token_encoding", format!("{token}~~~~")),
        row("C2 # appended", "credential_malformed", format!("{token}#")),
        row("C2 ; appended", "credential_malformed", format!("{token};")),
        row("C2 AAAA appended", "signature_invalid", format!("{token}AAAA")),
        row("C3 0 segments", "credential_malformed", ""),
        row("C3 1 segment", "token_opaque", header),
        row("C3 2 segments", "token_opaque", signed_part),
        row("C3 4 segments", "token_opaque", format!("{token}.{signature}")),
        row("C3 5 segments", "token_opaque", format!("{token}.{claims}.{signature}")),
        row("C3 trailing dot", "token_opaque", format!("{token}.")),
        row("C3 leading dot", "token_opaque", format!(".{token}")),
        row("C3 leading dot of two segments", "token_header_json", format!(".{signed_part}")),
        row("C3 one dot", "token_opaque", "."),
        row("C3 two dots", "token_header_json", ".."),
        row("C3 twice", "token_opaque", format!("{token}.{token}")),
        row(
            "C4 JWE of 5 segments",
            "token_opaque",
            format!("{}.AAAA.AAAA.AAAA.AAAA", base64url(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#)),
        ),
        row(
            "C4 a JWE header over 3 segments",
            "algorithm_unsupported",
            headed(Forge::RsaA, "RS256", r#"{"alg":"dir","enc":"A256GCM","kid":"rsa"}"#),
        ),
        row("C4 5 segments, the first 3 a good token", "token_opaque", format!("{token}.AAAA.AAAA")),
        row("C5 detached payload", "token_claims_json", format!("{header}..{signature}")),
        row(
            "C5 b64 false with crit",
            "token_extension_unsupported",
            with_members(json!({ "b64": false, "crit": ["b64"] })),
        ),
        row("C5 b64 false without crit", "token_extension_unsupported", with_members(json!({ "b64": false }))),
        row("C5 b64 true", "token_extension_unsupported", with_members(json!({ "b64": true }))),
        row("C5 b64 null", "token_extension_unsupported", with_members(json!({ "b64": null }))),
    ];
    for foreign in [" ", "\r\n", "\n", "\t", "\u{a0}"] {
        rows.push(row("C1 blank inside", "credential_malformed", format!("{header}.{foreign}{claims}.{signature}")));
        rows.push(row("C1 blank behind", "credential_malformed", format!("{token}{foreign}")));
        rows.push(row("C1 blank before", "credential_malformed", format!("{foreign}{token}")));
    }
    for foreign in ["+", "/", "~"] {
        rows.push(row(
            "C1 a character of another alphabet",
            "token_encoding",
            format!("{header}.{claims}.{foreign}{}", &signature[1..]),
        ));
        rows.push(row(
            "C1 the same in the header",
            "token_encoding",
            format!("{foreign}{}.{claims}.{signature}", &header[1..]),
        ));
    }
    check(&two_issuers(), rows);
}

#[test]
fn header_that_requires_other_processing_is_rejected() {
    let mut rows = Vec::new();
    let crit = [
        json!(["exp"]),
        json!(["alg"]),
        json!(["b64"]),
        json!(["http://example.invalid/UNDEFINED"]),
        json!([]),
        json!([""]),
        json!("exp"),
        json!({}),
        json!(null),
        json!(0),
        json!(false),
        json!(["kid", "kid"]),
        json!([1]),
        json!([null]),
        json!(["crit"]),
    ];
    for value in crit {
        rows.push(row(
            "C6 crit of any value",
            "token_extension_unsupported",
            with_members(json!({ "crit": value, "exp": 1 })),
        ));
    }
    rows.push(row("C6 CRIT is no crit", "authorized", with_members(json!({ "CRIT": ["exp"] }))));
    for value in [json!("DEF"), json!("none"), json!(""), json!(null), json!(1)] {
        rows.push(row("C7 zip", "token_extension_unsupported", with_members(json!({ "zip": value }))));
    }
    for value in [
        json!("JWT"),
        json!("jwt"),
        json!("application/jwt"),
        json!("application/JWT"),
        json!(5),
        json!(null),
        json!(["JWT"]),
    ] {
        rows.push(row("C8 cty", "token_extension_unsupported", with_members(json!({ "cty": value }))));
    }
    rows.push(row("C8 cty of something else", "authorized", with_members(json!({ "cty": "json" }))));
    let nested = good(Forge::RsaA, "RS256", "rsa");
    rows.push(row("C8 a token as the payload", "token_claims_json", saying(&nested)));
    rows.push(row("C8 a token as the payload, quoted", "token_claims_json", saying(&format!("\"{nested}\""))));
    rows.push(row(
        "C8 what is not known is ignored",
        "authorized",
        with_members(json!({ "x": [1, { "y": null }], "x5t": 1, "url": "u" })),
    ));
    check(&two_issuers(), rows);
}

#[test]
fn json_must_be_one_object_without_duplicate_members() {
    let claims = payload(NOW).to_string();
    let inner = &claims[1..claims.len() - 1];
    let raw = |header: &[u8], claims: &[u8]| {
        let input = format!("{}.{}", base64url(header), base64url(claims));
        let signature = Forge::RsaA.sign("RS256", input.as_bytes());
        format!("{input}.{}", base64url(signature))
    };
    let header = |text: &str| raw(text.as_bytes(), claims.as_bytes());
    let right = r#"{"alg":"RS256","kid":"rsa"}"#;
    let mut rows = vec![
        row("D1 alg twice", "token_header_json", header(r#"{"alg":"RS256","alg":"RS256","kid":"rsa"}"#)),
        row("D1 alg twice, none first", "token_header_json", header(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#)),
        row("D1 \\u0061lg", "token_header_json", header(r#"{"alg":"RS256","\u0061lg":"none","kid":"rsa"}"#)),
        row("D1 kid twice", "token_header_json", header(r#"{"alg":"RS256","kid":"rsa","kid":"x"}"#)),
        row(
            "D1 a member unknown to us twice",
            "token_header_json",
            header(r#"{"alg":"RS256","kid":"rsa","x":1,"x":1}"#),
        ),
        row("D1 nested, in a jwk", "token_header_json", header(r#"{"alg":"RS256","kid":"rsa","jwk":{"k":1,"k":2}}"#)),
        row("D1 exp twice", "token_claims_json", saying(&format!("{{{inner},\"exp\":99999999999}}"))),
        row(
            "D1 iss twice, escaped",
            "token_claims_json",
            saying(&format!("{{{inner},\"i\\u0073s\":\"https://evil.example\"}}")),
        ),
        row(
            "D1 sub twice in a nested object",
            "token_claims_json",
            saying(&format!("{{{inner},\"act\":{{\"sub\":1,\"sub\":2}}}}")),
        ),
        row(
            "D1 a name that differs in case is another",
            "authorized",
            saying(&format!("{{{inner},\"SUB\":\"mallory\"}}")),
        ),
        row("D2 nothing behind the header", "token_header_json", raw(b"", claims.as_bytes())),
        row("D2 nothing behind the payload", "token_claims_json", raw(right.as_bytes(), b"")),
        row("D2 blanks around are JSON", "authorized", header(" {\"alg\" : \"RS256\",\n\"kid\":\t\"rsa\"}\r\n")),
    ];
    let nonsense: [(&str, &'static [u8]); 17] = [
        ("array", b"[]"),
        ("string", b"\"{}\""),
        ("number", b"1"),
        ("null", b"null"),
        ("true", b"true"),
        ("junk behind", b"{\"alg\":\"RS256\"}x"),
        ("two objects", b"{} {}"),
        ("BOM", b"\xef\xbb\xbf{}"),
        ("UTF-16", b"{\0}\0"),
        ("invalid UTF-8", b"{\"a\":\"\xff\"}"),
        ("overlong UTF-8", b"{\"a\":\"\xc0\xae\"}"),
        ("lone surrogate", b"{\"a\":\"\\ud800\"}"),
        ("encoded surrogate", b"{\"a\":\"\xed\xa0\x80\"}"),
        ("comment", b"{/**/}"),
        ("single quotes", b"{'alg':'RS256'}"),
        ("trailing comma", b"{\"a\":1,}"),
        ("control byte in a text", b"{\"a\":\"\n\"}"),
    ];
    for (_, text) in nonsense {
        rows.push(row("D2 header of another shape", "token_header_json", raw(text, claims.as_bytes())));
        rows.push(row("D2 payload of another shape", "token_claims_json", raw(right.as_bytes(), text)));
    }
    for text in [
        "{\"exp\":01}",
        "{\"exp\":+1}",
        "{\"exp\":.5}",
        "{\"exp\":0x10}",
        "{\"exp\":1e400}",
        "{\"exp\":NaN}",
        "{\"exp\":Infinity}",
        "{\"exp\":-}",
    ] {
        rows.push(row("D2 a number that is none", "token_claims_json", saying(text)));
    }
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(1000), close.repeat(1000));
    rows.push(row(
        "D3 depth 1000 in the payload",
        "token_claims_json",
        saying(&format!("{{{inner},\"x\":{}}}", deep("[", "]"))),
    ));
    rows.push(row(
        "D3 depth 800 of objects",
        "token_claims_json",
        saying(&format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(800), "}".repeat(800))),
    ));
    rows.push(row("D3 depth 1000 never closed", "token_claims_json", saying(&format!("{{\"a\":{}", "[".repeat(1000)))));
    rows.push(row(
        "D3 header: over its 2 KiB",
        "token_header_too_large",
        header(&format!("{{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":{}}}", deep("[", "]"))),
    ));
    rows.push(row(
        "D3 header: depth 500",
        "token_header_json",
        header(&format!("{{\"alg\":\"RS256\",\"kid\":\"rsa\",\"x\":{}", "[".repeat(500))),
    ));
    rows.push(row(
        "D3 depth 31 below the object",
        "authorized",
        saying(&format!("{{{inner},\"x\":{}{}}}", "[".repeat(31), "]".repeat(31))),
    ));
    rows.push(row(
        "D3 depth 32 below the object",
        "token_claims_json",
        saying(&format!("{{{inner},\"x\":{}{}}}", "[".repeat(32), "]".repeat(32))),
    ));
    rows.push(row("D5 EXP", "expiry_missing", claiming(json!({ "exp": null, "EXP": NOW + 60 }))));
    rows.push(row(
        "D5 Exp beside a past exp",
        "token_expired",
        claiming(json!({ "exp": NOW - 3600, "Exp": NOW + 60 })),
    ));
    rows.push(row("D5 ISS", "issuer_malformed", claiming(json!({ "iss": null, "ISS": ISSUER }))));
    rows.push(row("D5 Aud", "audience_missing", claiming(json!({ "aud": null, "Aud": "api://default" }))));
    check(&two_issuers(), rows);
}

#[test]
fn time_claim_must_be_a_representable_number() {
    let exp = |text: &str| {
        let mut claims = payload(NOW);
        claims.as_object_mut().unwrap().remove("exp");
        let claims = claims.to_string();
        saying(&format!("{},\"exp\":{text}}}", &claims[..claims.len() - 1]))
    };
    let mut rows = Vec::new();
    for text in [
        "\"99999999999\"",
        "\"1800003600\"",
        "\"\"",
        "true",
        "false",
        "null",
        "[1800003600]",
        "[]",
        "{}",
        "{\"exp\":1800003600}",
    ] {
        rows.push(row("E1 exp of another type", "time_malformed", exp(text)));
    }
    rows.push(row("E2 exp missing", "expiry_missing", claiming(json!({ "exp": null }))));
    for name in ["nbf", "iat"] {
        for value in [json!("0"), json!(true), json!([]), json!({}), json!("x")] {
            rows.push(row("E1 nbf and iat of another type", "time_malformed", claiming(json!({ name: value }))));
        }
        let claims = payload(NOW).to_string().replace("\"iat\":1800000000,", "");
        rows.push(row(
            "E1 nbf and iat null",
            "time_malformed",
            saying(&format!("{},\"{name}\":null}}", &claims[..claims.len() - 1])),
        ));
    }
    rows.push(row("E3 exp float", "authorized", exp("1800003600.9")));
    rows.push(row("E3 exp 1.8e9 and some", "authorized", exp("1.8000036e9")));
    rows.push(row("E3 exp 1.80E+10", "authorized", exp("1.80E+10")));
    rows.push(row("E3 exp float, past", "token_expired", exp("1700000000.9")));
    rows.push(row("E3 floored: now - 60 s and 0.9 s is past", "token_expired", exp("1799999940.9")));
    for text in ["1e400", "NaN", "Infinity", "-Infinity", "1e", "1_000"] {
        rows.push(row("E3 what is no number", "token_claims_json", exp(text)));
    }
    for text in [
        "9007199254740992",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "-1",
        "-0.5",
        "253402300800",
        "1e30",
    ] {
        rows.push(row("E4 exp out of range", "time_malformed", exp(text)));
    }
    rows.push(row("E4 the last second of the year 9999", "authorized", exp("253402300799")));
    rows.push(row("E4 exp 0", "token_expired", exp("0")));
    rows.push(row("E5 now == exp + leeway", "token_expired", claiming(json!({ "exp": NOW - 60 }))));
    rows.push(row("E5 now == exp + leeway - 1 s", "authorized", claiming(json!({ "exp": NOW - 59 }))));
    rows.push(row("E6 nbf far future", "token_not_yet_valid", claiming(json!({ "nbf": NOW + 86_400 }))));
    rows.push(row("E6 nbf one second beyond the leeway", "token_not_yet_valid", claiming(json!({ "nbf": NOW + 61 }))));
    for text in ["1800000060.5", "1800000060.000001"] {
        rows.push(row(
            "E6 nbf a fraction beyond the leeway",
            "token_not_yet_valid",
            claiming(json!({ "nbf": text.parse::<f64>().unwrap() })),
        ));
    }
    rows.push(row("E6 nbf a fraction within", "authorized", claiming(json!({ "nbf": 1_800_000_059.5 }))));
    rows.push(row("E6 nbf at the leeway", "authorized", claiming(json!({ "nbf": NOW + 60 }))));
    rows.push(row("E6 iat beyond leeway", "token_issued_in_the_future", claiming(json!({ "iat": NOW + 61 }))));
    rows.push(row("E6 iat at the leeway", "authorized", claiming(json!({ "iat": NOW + 60 }))));
    rows.push(row("E6 iat after exp", "token_issued_in_the_future", claiming(json!({ "iat": NOW + 7200 }))));
    check(&two_issuers(), rows);

    let limited = |skew: &str| {
        let mut configuration = two_issuers();
        configuration["providers"]["a"]["max_token_lifetime"] = json!("1h");
        configuration["providers"]["a"]["clock_skew"] = json!(skew);
        configuration
    };
    check(
        &limited("0s"),
        vec![
            row("E5 no leeway: now == exp", "token_expired", claiming(json!({ "exp": NOW, "iat": NOW - 60 }))),
            row("E5 no leeway: a second left", "authorized", claiming(json!({ "exp": NOW + 1, "iat": NOW - 60 }))),
            row("E7 exp - iat at the limit", "authorized", claiming(json!({}))),
            row("E7 exp - iat > max lifetime", "token_lifetime_too_long", claiming(json!({ "exp": NOW + 3601 }))),
            row("E7 no iat", "token_lifetime_too_long", claiming(json!({ "iat": null }))),
            row("E7 exp far off", "token_lifetime_too_long", claiming(json!({ "exp": 253_402_300_799_u64 }))),
            row("E7 exp before iat", "token_expired", claiming(json!({ "exp": NOW - 10, "iat": NOW }))),
        ],
    );
    assert_eq!(faults_of(&limited("300s")), "");
    assert!(faults_of(&limited("301s")).contains("clock_skew"), "E5 leeway > 300 s -> cfg");
}

#[test]
fn token_times_are_checked_at_each_request_also_after_a_cache_hit() {
    let mut scene = Scene::new(&two_issuers());
    let token = claiming(json!({}));
    assert_eq!(scene.reason(&token), "authorized");
    scene.pass(3660);
    assert_eq!(scene.reason(&token), "token_expired", "E8 the same token after its time");
    scene.now = okta_proxy_wasm::unix_time::UnixTime::from_secs(NOW);
    assert_eq!(scene.reason(&token), "authorized", "E8 the clock went back by an hour");
    scene.now = okta_proxy_wasm::unix_time::UnixTime::from_secs(NOW - 86_400);
    assert_eq!(scene.reason(&token), "token_issued_in_the_future", "E8 the clock went back by a day");
    scene.now = okta_proxy_wasm::unix_time::UnixTime::from_secs(NOW + 86_400);
    assert_eq!(scene.reason(&token), "token_expired", "E8 forward by a day");
    check(&two_issuers(), vec![row("E8 and another engine agrees", "authorized", token)]);
}

#[test]
fn issuer_and_audience_are_compared_as_whole_strings() {
    let iss = |value: Value| claiming(json!({ "iss": value }));
    let mut rows = vec![
        row("F1 iss missing", "issuer_malformed", iss(json!(null))),
        row(
            "F1 iss null",
            "issuer_malformed",
            saying(&payload(NOW).to_string().replace(&json!(ISSUER).to_string(), "null")),
        ),
    ];
    for value in [json!([ISSUER]), json!({ "iss": ISSUER }), json!(5), json!(true), json!([])] {
        rows.push(row("F1 iss of another type", "issuer_malformed", iss(value)));
    }
    for value in [
        "https://acme.okta.com/oauth2",
        "https://acme.okta.com/oauth2/defaul",
        "acme.okta.com/oauth2/default",
        "https://acme.okta.com/oauth2/default/",
        "https://acme.okta.com/oauth2/defaultx",
        "https://ACME.okta.com/oauth2/default",
        "HTTPS://acme.okta.com/oauth2/default",
        "http://acme.okta.com/oauth2/default",
        "https://acme.okta.com:443/oauth2/default",
        " https://acme.okta.com/oauth2/default",
        "https://acme.okta.com/oauth2/default ",
        "https://acme.okta.com/oauth2/default\0",
        "https://acme.okta.com/./oauth2/default",
        "https://acme.okta.com/oauth2/%64efault",
        "https://acme.okta.com/oauth2/default?x",
        "https://acme.okta.com/oauth2/default#x",
        "https://acme.okta.com@evil.example/oauth2/default",
        "",
        "a",
        "*",
        "null",
        "https://evil.example/https://acme.okta.com/oauth2/default",
        "https://acme.okta.c\u{43e}m/oauth2/default",
    ] {
        rows.push(row("F1 iss that is another", "issuer_unknown", iss(json!(value))));
    }
    let aud = |value: Value| claiming(json!({ "aud": value }));
    rows.push(row("F3 aud missing", "audience_missing", aud(json!(null))));
    rows.push(row("F3 array with one match", "authorized", aud(json!(["x", "api://default", "y"]))));
    rows.push(row("F3 array with the match alone", "authorized", aud(json!(["api://default"]))));
    for value in [
        json!(["api://default", 5]),
        json!(["api://default", null]),
        json!([["api://default"]]),
        json!([]),
        json!({}),
        json!({ "0": "api://default" }),
        json!(5),
        json!(true),
    ] {
        rows.push(row("F3 aud with what is no text", "audience_malformed", aud(value)));
    }
    for value in [
        json!("api://defaul"),
        json!("api://default/"),
        json!("api://DEFAULT"),
        json!("api://defaultx"),
        json!("x api://default"),
        json!("api://default,x"),
        json!(""),
        json!(["api://"]),
        json!("*"),
    ] {
        rows.push(row("F3 aud that is another", "audience_unexpected", aud(value)));
    }
    check(&two_issuers(), rows);
    let mut configuration = one_issuer(&[Forge::RsaA.jwk("rsa")]);
    configuration["providers"]["a"].as_object_mut().unwrap().remove("issuer");
    assert!(faults_of(&configuration).contains("issuer: missing"), "F2 single provider configured without issuer");
    configuration["providers"]["a"]["issuer"] = json!("");
    assert!(faults_of(&configuration).contains("$.providers.a.issuer"), "F2 an empty issuer");
    configuration["providers"]["a"]["issuer"] = json!("*");
    assert!(faults_of(&configuration).contains("$.providers.a.issuer"), "F2 a pattern");
}

#[test]
fn only_access_tokens_are_accepted() {
    let typ = |typ: Value| with_members(json!({ "typ": typ }));
    let mut rows = vec![
        row("F4 ID token: nonce", "not_an_access_token", claiming(json!({ "nonce": "n" }))),
        row("F4 ID token: at_hash", "not_an_access_token", claiming(json!({ "at_hash": "h" }))),
        row("F4 ID token: c_hash", "not_an_access_token", claiming(json!({ "c_hash": "h" }))),
        row("F4 ID token: Okta's jti", "not_an_access_token", claiming(json!({ "jti": "ID.x" }))),
        row("F4 ID token: Cognito's token_use", "not_an_access_token", claiming(json!({ "token_use": "id" }))),
        row("F4 ID token: Keycloak's typ", "not_an_access_token", claiming(json!({ "typ": "ID" }))),
        row("F4 refresh token: Keycloak's typ", "not_an_access_token", claiming(json!({ "typ": "Refresh" }))),
        row("F4 offline token: Keycloak's typ", "not_an_access_token", claiming(json!({ "typ": "Offline" }))),
        row("F4 refresh token: token_type", "not_an_access_token", claiming(json!({ "token_type": "refresh" }))),
        row(
            "F4 refresh token: token_usage",
            "not_an_access_token",
            claiming(json!({ "token_usage": "refresh_token" })),
        ),
        row("F4 kind of another type", "not_an_access_token", claiming(json!({ "token_use": 5 }))),
        row("F4 DPoP without proof", "sender_constrained", claiming(json!({ "token_type": "DPoP" }))),
        row("F4 access token: Cognito's token_use", "authorized", claiming(json!({ "token_use": "access" }))),
        row("F4 access token: Keycloak's typ", "authorized", claiming(json!({ "typ": "Bearer" }))),
        row("F4 jti of another type", "identity_malformed", claiming(json!({ "jti": 5 }))),
        row("F4 ID token: aud=client", "audience_unexpected", claiming(json!({ "aud": "0oa1client" }))),
        row(
            "F4 logout token",
            "not_an_access_token",
            claiming(json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } })),
        ),
        row("F4 bound to its sender", "sender_constrained", claiming(json!({ "cnf": { "jkt": "x" } }))),
        row("F4 bound by an empty cnf", "sender_constrained", claiming(json!({ "cnf": {} }))),
    ];
    for value in
        ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt", "Application/AT+jwt", "JOSE"]
    {
        rows.push(row("F4 typ of an access token", "authorized", typ(json!(value))));
    }
    for value in [
        "dpop+jwt",
        "secevent+jwt",
        "logout+jwt",
        "id+jwt",
        "JOSE+JSON",
        "jwt ",
        "",
        "at+jwt,JWT",
        "application/",
        "text/jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
    ] {
        rows.push(row("F4 typ of something else", "not_an_access_token", typ(json!(value))));
    }
    for value in [json!(5), json!(null), json!(["JWT"]), json!({})] {
        rows.push(row("F4 typ of another type", "token_header_malformed", typ(value)));
    }
    check(&two_issuers(), rows);
}
