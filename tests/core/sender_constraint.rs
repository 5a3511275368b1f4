//! Tokens that are bound to a client certificate (RFC 8705): the certificate is compared for each request, also for cached,
//! pending and introspected tokens.

use crate::engine_harness::{Harness, NOW, Setup, get, published, response_of};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use okta_proxy_wasm::engine::{Attribute, Decision, Verdict};
use serde_json::{Value, json};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const BASE64URL: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
const OTHER_HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn configuration(mode: Option<&str>) -> Value {
    let mut provider = json!({ "issuer": ISSUER, "audiences": [AUDIENCE],
        "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } });
    if let Some(mode) = mode {
        provider["sender_constraint"] = json!({ "mtls": mode });
    }
    json!({ "providers": { "okta": provider }, "rules": [
        { "match": { "path": "/public" }, "access": "public" },
        { "match": { "path": "/optional" }, "access": "optional" },
        { "match": { "path": "/internal" }, "require": { "condition": "source.address == '192.0.2.1:1234'" } },
        { "match": { "path": "/closed" }, "access": "deny" },
    ] })
}

fn engine(mode: Option<&str>) -> Harness {
    Harness::new(&configuration(mode))
}

fn shown(engine: &mut Harness, digest: Option<&str>) {
    let address = (Attribute::SourceAddress, b"192.0.2.1:1234".to_vec());
    let digest = digest.map(|digest| (Attribute::PeerDigest, digest.as_bytes().to_vec()));
    engine.attributes = Some(digest.into_iter().chain([address]).collect());
}

fn token(cnf: Value) -> String {
    SigningKey::a("k1").token(&with(&payload(NOW), json!({ "cnf": cnf })))
}

fn bound() -> String {
    token(json!({ "x5t#S256": BASE64URL }))
}

fn status(decision: &Decision) -> u16 {
    match &decision.verdict {
        Verdict::Allow(_) => 200,
        Verdict::Deny(_) => response_of(decision).status,
    }
}

#[test]
fn each_mode_accepts_the_tokens_that_it_names() {
    let unbound = SigningKey::a("k1").token(&payload(NOW));
    let (bound, hex) = (bound(), token(json!({ "x5t#S256": HEX })));
    let dpop = token(json!({ "jkt": BASE64URL }));
    let both = token(json!({ "x5t#S256": BASE64URL, "jkt": BASE64URL }));
    let rows: [(&str, &str, Option<&str>, [&str; 4]); 9] = [
        // No setting, `off`, `if_bound`, `required`.
        ("unbound", &unbound, Some(HEX), ["authorized", "authorized", "authorized", "token_not_bound"]),
        ("unbound, no certificate", &unbound, None, ["authorized", "authorized", "authorized", "token_not_bound"]),
        ("bound", &bound, Some(HEX), ["sender_constrained", "sender_constrained", "authorized", "authorized"]),
        (
            "another certificate",
            &bound,
            Some(OTHER_HEX),
            ["sender_constrained", "sender_constrained", "certificate_mismatch", "certificate_mismatch"],
        ),
        (
            "no certificate",
            &bound,
            None,
            ["sender_constrained", "sender_constrained", "certificate_missing", "certificate_missing"],
        ),
        (
            "an empty digest",
            &bound,
            Some(""),
            ["sender_constrained", "sender_constrained", "certificate_missing", "certificate_missing"],
        ),
        (
            "a thumbprint in hex",
            &hex,
            Some(HEX),
            [
                "sender_constrained",
                "sender_constrained",
                "certificate_thumbprint_malformed",
                "certificate_thumbprint_malformed",
            ],
        ),
        ("DPoP", &dpop, Some(HEX), ["sender_constrained"; 4]),
        ("DPoP and a certificate", &both, Some(HEX), ["sender_constrained"; 4]),
    ];
    for (at, mode) in [None, Some("off"), Some("if_bound"), Some("required")].into_iter().enumerate() {
        for (name, token, digest, expected) in rows {
            let mut engine = engine(mode);
            shown(&mut engine, digest);
            // The second time it is cached, if it may be.
            for _ in 0..2 {
                let decision = engine.decide(&get("/", token, &[]));
                let reason = decision.audit.reason();
                assert_eq!(reason, expected[at], "{mode:?}: {name}");
                let expected_status = if reason == "authorized" { 200 } else { 401 };
                assert_eq!(status(&decision), expected_status, "{mode:?}: {name}");
                if reason != "authorized" {
                    let challenge = response_of(&decision).header(&okta_proxy_wasm::http::HeaderName::WWW_AUTHENTICATE);
                    assert!(challenge.is_some_and(|text| text.contains("error=\"invalid_token\"")), "{challenge:?}");
                }
            }
        }
    }
}

#[test]
fn a_cached_token_is_compared_with_the_certificate_of_each_connection() {
    let mut engine = engine(Some("if_bound"));
    let token = bound();
    for (digest, expected) in [
        (Some(HEX), "authorized"),
        (Some(OTHER_HEX), "certificate_mismatch"),
        (None, "certificate_missing"),
        (Some(HEX), "authorized"),
        (Some(&OTHER_HEX[..62]), "certificate_missing"),
    ] {
        shown(&mut engine, digest);
        assert_eq!(engine.reason(&get("/", &token, &[])), expected, "{digest:?}");
    }
    assert_eq!(engine.signatures_verified(), 1, "the cache holds the token");
}

#[test]
fn the_certificate_is_read_only_where_a_token_decides() {
    let mut engine = engine(Some("if_bound"));
    shown(&mut engine, Some(HEX));
    let token = bound();
    for (path, token, expected) in [
        ("/", &*token, &[Attribute::PeerDigest][..]),
        ("/", "", &[]),
        ("/public", &token, &[]),
        ("/optional", &token, &[Attribute::PeerDigest]),
        ("/optional", "", &[]),
        ("/internal", &token, &[Attribute::SourceAddress, Attribute::PeerDigest]),
        ("/closed", &token, &[]),
    ] {
        engine.decide(&get(path, token, &[]));
        assert_eq!(engine.asked, expected, "{path}");
    }
    // With a credential `optional` requires a good one.
    shown(&mut engine, Some(OTHER_HEX));
    assert_eq!(engine.reason(&get("/optional", &token, &[])), "certificate_mismatch");
    // Without the setting no host is asked.
    let mut off = self::engine(None);
    assert_eq!(off.reason(&get("/", &token, &[])), "sender_constrained");
    assert_eq!(off.asked, []);
}

#[test]
fn no_header_of_the_client_is_a_certificate() {
    let mut engine = engine(Some("required"));
    shown(&mut engine, None);
    let xfcc = format!("Hash={HEX}");
    for (name, value) in
        [("x-forwarded-client-cert", &*xfcc), ("client-cert", ":AA==:"), ("x-ssl-client-fingerprint", HEX)]
    {
        assert_eq!(engine.reason(&get("/", &bound(), &[(name, value)])), "certificate_missing", "{name}");
    }
}

#[test]
fn a_pending_request_is_compared_with_the_certificate_of_its_own_connection() {
    let mut configuration = configuration(Some("required"));
    configuration["providers"]["okta"]["upstream"] = json!("okta");
    configuration["providers"]["okta"]["jwks"] = json!({ "uri": "https://acme.okta.com/keys" });
    let mut engine = Harness::with(&configuration, Setup::default());
    let token = bound();
    for digest in [Some(HEX), Some(OTHER_HEX), None] {
        shown(&mut engine, digest);
        assert_eq!(engine.send(&get("/", &token, &[])).1, None, "the keys are fetched");
    }
    shown(&mut engine, Some(HEX));
    engine.fetch(published(&key_set(&[&SigningKey::a("k1")])));
    engine.tick();
    let mut reasons: Vec<_> = engine.take_decided().iter().map(|(_, decision)| decision.audit.reason()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["authorized", "certificate_mismatch", "certificate_missing"]);
}
