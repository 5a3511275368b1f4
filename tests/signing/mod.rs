//! Makes tokens for tests, any header and any payload, signed with the fixed RSA keys under `tests/data/keys`.
//! Shared by the integration tests of the core; the library that signs here is not the one that verifies.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot sign has failed")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use superboring::hash::MessageDigest;
use superboring::pkey::{PKey, Private};
use superboring::rsa::{Padding, Rsa};
use superboring::sign::Signer;

/// Issuer, audience and client of the tokens that [`payload`] makes.
pub const ISSUER: &str = "https://acme.okta.com/oauth2/default";
pub const AUDIENCE: &str = "api://default";

/// An RSA key pair that signs RS256.
pub struct SigningKey {
    id: String,
    pair: Rsa<Private>,
}

impl SigningKey {
    /// The first key, under an id of the caller's choice.
    pub fn a(id: &str) -> Self {
        Self::from_pem(id, include_bytes!("../data/keys/rsa-2048-a.pem"))
    }

    /// Another key.
    pub fn b(id: &str) -> Self {
        Self::from_pem(id, include_bytes!("../data/keys/rsa-2048-b.pem"))
    }

    fn from_pem(id: &str, pem: &[u8]) -> Self {
        Self { id: id.to_owned(), pair: Rsa::private_key_from_pem(pem).unwrap() }
    }

    /// Its public half as an issuer publishes it.
    pub fn jwk(&self) -> Value {
        let encode = |number: Vec<u8>| URL_SAFE_NO_PAD.encode(number);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            "n": encode(self.pair.n().to_vec()), "e": encode(self.pair.e().to_vec()),
        })
    }

    /// A token with `alg` and `kid` as they should be.
    pub fn token(&self, payload: &Value) -> String {
        self.token_with_header(&json!({ "alg": "RS256", "kid": self.id }), payload)
    }

    /// A token with any header.
    pub fn token_with_header(&self, header: &Value, payload: &Value) -> String {
        self.token_of_texts(&header.to_string(), &payload.to_string())
    }

    /// A token of any two texts, correctly signed.
    pub fn token_of_texts(&self, header: &str, payload: &str) -> String {
        let signing_input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(self.signature(signing_input.as_bytes())))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let pair = PKey::from_rsa(self.pair.clone()).unwrap();
        let mut signer = Signer::new(MessageDigest::sha256(), &pair).unwrap();
        signer.set_rsa_padding(Padding::PKCS1).unwrap();
        signer.sign_oneshot_to_vec(message).unwrap()
    }
}

/// As it stands in a token.
pub fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A key set document of these keys.
pub fn key_set(keys: &[&SigningKey]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() })
}

/// A configuration with one issuer, whose first key stands in it under the id `k1`.
pub fn one_issuer() -> Value {
    json!({ "providers": { "okta": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) } } } })
}

/// A configuration with one issuer, whose keys are fetched.
pub fn fetched_issuer() -> Value {
    json!({ "providers": { "okta": {
        "okta": { "domain": "acme.okta.com" }, "audiences": [AUDIENCE], "upstream": "okta" } } })
}

/// The payload of a good Okta user token at the second `now`.
pub fn payload(now: u64) -> Value {
    json!({
        "ver": 1, "jti": "AT.k8vHqQ0p", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3600,
        "cid": "0oa1client", "uid": "00u1alice", "scp": ["read:accounts", "write:accounts"], "sub": "alice@acme.com",
    })
}

/// `payload` with some members replaced; `null` removes one.
pub fn with(payload: &Value, changes: Value) -> Value {
    let mut changed = payload.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap().clone() {
        if value.is_null() {
            changed.remove(&name);
        } else {
            changed.insert(name, value);
        }
    }
    Value::Object(changed)
}
