//! DPoP proofs (RFC 9449 section 4.2), made by hand: good ones, and what a test makes of them. Real clients are in
//! `dpop-clients`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::authorization_server::now;

/// How long a nonce of the filter is the current one, in seconds.
pub const NONCE_SLOT: u64 = 120;

/// The nonce that the filter makes with this key in a slot of time, as `src/policy/dpop/nonce.rs` says.
pub fn nonce_of_slot(key: &str, issuer: &str, slot: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let text = [b"okta-proxy-wasm DPoP nonce\0", issuer.as_bytes(), &[0], &slot.to_be_bytes()].concat();
    URL_SAFE_NO_PAD.encode(&hmac::sign(&key, &text).as_ref()[..16])
}

/// A key pair of a client, P-256.
pub struct ProofKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl ProofKey {
    /// A new one.
    pub fn generate() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("the key again");
        Self { pair, random }
    }

    /// Its public half.
    pub fn jwk(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
    }

    /// Its thumbprint (RFC 7638), as tokens have it in `cnf.jkt`.
    pub fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }

    /// A new proof for a request with this token, if it has one.
    pub fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        self.sign(&self.claims(method, url, token))
    }

    /// The claims of such a proof.
    pub fn claims(&self, method: &str, url: &str, token: Option<&str>) -> Value {
        let mut id = [0; 16];
        self.random.fill(&mut id).expect("random bytes");
        let mut claims = json!({ "jti": URL_SAFE_NO_PAD.encode(id), "htm": method, "htu": url, "iat": now() });
        if let Some(token) = token {
            claims["ath"] = json!(URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())));
        }
        claims
    }

    /// A proof with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() });
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let input = format!("{header}.{claims}");
        let signature = self.pair.sign(&self.random, input.as_bytes()).expect("a signature");
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
