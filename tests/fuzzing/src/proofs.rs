//! DPoP proofs: as they come, and signed by the client with any header and claims.

use std::sync::OnceLock;

use okta_proxy_wasm::http::RequestHead;
use okta_proxy_wasm::http_uri::{HttpUri, normal_path};
use okta_proxy_wasm::jose::{PortableVerifier, UnverifiedProof};
use serde_json::{Value, json};

use crate::engine_harness::{Harness, NOW, head};
use crate::proof_signer::{ProofSigner, claims};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};

fn client() -> &'static ProofSigner {
    static CLIENT: OnceLock<ProofSigner> = OnceLock::new();
    CLIENT.get_or_init(|| ProofSigner::new(1))
}

/// A token that is bound to the key of the client.
fn bound() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| {
        SigningKey::a("k1").token(&with(&payload(NOW), json!({ "cnf": { "jkt": client().thumbprint() } })))
    })
}

fn reason(proof: &str) -> &'static str {
    let mut engine = Harness::new(&json!({ "providers": { "okta": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) },
        "sender_constraint": { "dpop": "required", "proofs": { "origins": ["https://api.acme.com"] } } } } }));
    let credential = format!("DPoP {}", bound());
    let request: RequestHead = head(&[
        (":method", "GET"),
        (":authority", "api.acme.com"),
        (":path", "/orders"),
        ("authorization", &credential),
        ("dpop", proof),
    ]);
    engine.reason(&request)
}

/// A proof as a client sends it: only one that the client has signed is verified.
pub(crate) fn proof(input: &[u8]) {
    let Ok(proof) = UnverifiedProof::parse(input) else { return };
    assert!(input.is_ascii() && !input.contains(&b','), "not one JWS");
    let is_own = proof.thumbprint().to_string() == client().thumbprint();
    if let Ok(key) = proof.key()
        && let Some(verified) = proof.clone().verify(&key, &PortableVerifier)
    {
        assert_eq!(verified.thumbprint(), proof.thumbprint());
        assert!(!verified.id().is_empty());
    }
    let reason = reason(std::str::from_utf8(input).expect("ASCII"));
    assert!(is_own || reason == "proof_key_mismatch", "{reason}");
}

/// Header and claims of a proof, which the client signs: what is accepted says what it must.
pub(crate) fn signed_proof(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Some((header, claims)) = text.split_once('\0') else { return };
    let proof = client().sign_texts(header, claims);
    let reason = reason(&proof);
    if reason != "authorized" {
        return;
    }
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON that was accepted");
    let (header, claims) = (read(header), read(claims));
    assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
    assert!(header["jwk"]["d"].is_null(), "a private key");
    for member in ["kty", "crv", "x", "y"] {
        assert_eq!(header["jwk"][member], client().jwk()[member]);
    }
    let expected = crate::proof_signer::claims(bound(), NOW);
    assert_eq!((&claims["htm"], &claims["ath"]), (&json!("GET"), &expected["ath"]));
    assert!(claims["jti"].as_str().is_some_and(|id| !id.is_empty()));
    let issued_at = claims["iat"].as_f64().expect("a time");
    assert!((issued_at - 1_800_000_000.0).abs() < 61.0, "{issued_at}");
    let target = HttpUri::parse(claims["htu"].as_str().expect("a string")).expect("a URI");
    assert_eq!((target.origin.to_string().as_str(), target.path.as_str()), ("https://api.acme.com", "/orders"));
}

/// A path or URI: its normal form is its own normal form, and has no dot segments.
pub(crate) fn uri(input: &[u8]) {
    if let Some(path) = normal_path(input) {
        assert_eq!(normal_path(path.as_bytes()).as_deref(), Some(&*path));
        assert!(path.starts_with('/') && path.split('/').all(|segment| segment != "." && segment != ".."));
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(uri) = HttpUri::parse(text) {
        let written = format!("{}{}", uri.origin, uri.path);
        assert_eq!(HttpUri::parse(&written), Some(uri), "{written}");
    }
}

/// Inputs to begin with.
pub(crate) fn seeds(target: &str) -> Vec<(&'static str, Vec<u8>)> {
    let claims = with(&claims(bound(), NOW), json!({ "htu": "https://api.acme.com/orders" }));
    let header = client().header();
    let texts = |header: &Value, claims: &Value| format!("{header}\0{claims}").into_bytes();
    match target {
        "proof" => vec![
            ("good", client().sign(&header, &claims).into_bytes()),
            ("other_key", ProofSigner::new(2).sign(&ProofSigner::new(2).header(), &claims).into_bytes()),
            ("no_signature", format!("{}.", client().sign(&header, &claims).rsplit_once('.').expect("parts").0).into()),
        ],
        "signed_proof" => vec![
            ("good", texts(&header, &claims)),
            ("nonce", texts(&header, &with(&claims, json!({ "nonce": "n" })))),
            ("query", texts(&header, &with(&claims, json!({ "htu": "HTTPS://api.acme.com:443/a/../orders?x#y" })))),
            ("private", texts(&with(&header, json!({ "jwk": with(&client().jwk(), json!({ "d": "AQ" })) })), &claims)),
        ],
        _ => vec![
            ("path", b"/a/%2e%2E/b/./%7e?x#y".to_vec()),
            ("uri", b"HTTPS://API.acme.com:443/a/../%c3%a9?q".to_vec()),
            ("address", b"http://[::1]:8080".to_vec()),
        ],
    }
}
