//! Makes DPoP proofs for tests (RFC 9449 section 4.2), right ones and wrong ones.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot sign has failed")]

use base64::Engine as _;
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::signing::{encode, with};

/// A key of a client, and its proofs.
pub struct ProofSigner {
    key: p256::ecdsa::SigningKey,
}

impl ProofSigner {
    /// The key of this number.
    pub fn new(number: u8) -> Self {
        Self { key: p256::ecdsa::SigningKey::from_slice(&[number.max(1); 32]).unwrap() }
    }

    /// The public key.
    pub fn jwk(&self) -> Value {
        let point = self.key.verifying_key().to_sec1_point(false);
        let member = |bytes: &[u8]| encode_bytes(bytes);
        json!({ "kty": "EC", "crv": "P-256", "x": member(point.x().unwrap()), "y": member(point.y().unwrap()) })
    }

    /// `cnf.jkt` of its tokens (RFC 7638).
    pub fn thumbprint(&self) -> String {
        let Value::Object(jwk) = self.jwk() else { panic!("an object") };
        let [crv, kty, x, y] = ["crv", "kty", "x", "y"].map(|name| jwk[name].as_str().unwrap());
        encode_bytes(&Sha256::digest(format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#)))
    }

    pub fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() })
    }

    /// A proof for `GET https://api.acme.com/` with this token, with changes to its claims.
    pub fn proof(&self, token: &str, now: u64, changes: Value) -> String {
        self.sign(&self.header(), &with(&claims(token, now), changes))
    }

    /// A proof of any header and claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_texts(&header.to_string(), &claims.to_string())
    }

    /// A proof of any two texts.
    pub fn sign_texts(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature: p256::ecdsa::Signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", encode_bytes(&signature.to_bytes()))
    }
}

/// The claims of a proof for `GET https://api.acme.com/` with this token.
pub fn claims(token: &str, now: u64) -> Value {
    json!({ "jti": "proof-1", "htm": "GET", "htu": "https://api.acme.com/", "iat": now,
        "ath": encode_bytes(&Sha256::digest(token)) })
}

fn encode_bytes(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
