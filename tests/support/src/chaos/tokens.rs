//! The tokens of a run and their issuers' keys, with the facts that the checks need.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::clock::Moment;

pub const JWT_ISSUER: &str = "https://jwt.test";
pub const OPAQUE_ISSUER: &str = "https://opaque.test";
pub const AUDIENCE: &str = "api://chaos";

/// A key of the issuer of JWTs.
pub struct SigningKey {
    pub kid: String,
    pair: EcdsaKeyPair,
    random: SystemRandom,
    /// Since when it is in the key set.
    pub published: OnceLock<Moment>,
    /// Since when it is no longer.
    pub retired: OnceLock<Moment>,
    /// When the first request with a token by it was sent.
    pub first_used: OnceLock<Moment>,
}

impl SigningKey {
    pub fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self {
            kid: kid.to_owned(),
            pair: pair.expect("the key is one"),
            random,
            published: OnceLock::new(),
            retired: OnceLock::new(),
            first_used: OnceLock::new(),
        }
    }

    pub fn jwk(&self) -> Value {
        // An uncompressed point has 65 bytes.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// A token of this header and payload.
    pub fn sign(&self, header: &Value, payload: &Value) -> String {
        let signed = unsigned(header, payload);
        let signature = self.pair.sign(&self.random, signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Header and payload of a token, without the dot behind them.
pub fn unsigned(header: &Value, payload: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload.to_string()))
}

/// Whom a token speaks for.
#[derive(Debug)]
pub struct User {
    pub name: String,
    pub client: String,
    pub scopes: &'static [&'static str],
    /// When all tokens of the user were put on the revocation list.
    pub revoked: OnceLock<Moment>,
}

impl User {
    pub fn new(name: String, scopes: &'static [&'static str]) -> Arc<Self> {
        Arc::new(Self { client: format!("client-{name}"), name, scopes, revoked: OnceLock::new() })
    }
}

/// A JWT that was valid when it was made.
pub struct Jwt {
    pub text: String,
    pub id: String,
    pub user: Arc<User>,
    pub key: Arc<SigningKey>,
    pub expires: Moment,
    /// When it was put on the revocation list.
    pub revoked: OnceLock<Moment>,
}

/// An opaque token that was active when it was made.
pub struct Opaque {
    pub text: String,
    pub user: Arc<User>,
    /// Since when the issuer says that it is not active.
    pub ended: OnceLock<Moment>,
    /// Whether every worker has seen it active before the faults began.
    pub is_established: bool,
}

/// What a request shows.
#[derive(Clone)]
pub enum Credential {
    /// No token where the filter looks for one.
    Missing,
    /// A token that was never valid.
    NeverValid,
    /// Several tokens.
    Multiple,
    Jwt(Arc<Jwt>),
    Opaque(Arc<Opaque>),
}

impl Credential {
    /// Whom the token speaks for, if it is or was valid.
    pub fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::Missing | Self::NeverValid | Self::Multiple => None,
            Self::Jwt(token) => Some(&token.user),
            Self::Opaque(token) => Some(&token.user),
        }
    }
}
