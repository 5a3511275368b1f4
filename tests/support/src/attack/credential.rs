//! The subjects of the requests of an attack, and their tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::authorization_server::now;

/// The issuer of the tokens.
pub const ISSUER: &str = "https://issuer.acme.com";
/// Their audience.
pub const AUDIENCE: &str = "api://attack";
/// What the attacker writes wherever an identity or a credential of its own could be believed.
pub const MARKER: &str = "mallory";

/// A good token, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// No token.
    Anonymous,
    /// A user without rights of the tenant `acme inc`.
    Alice,
    /// A user in the group `admin`.
    Admin,
    /// A user without rights of a tenant that is called `acme%20inc`.
    Eve,
    /// A user without rights whose subject is an encoded word (RFC 2047) for `root`.
    Quentin,
}

impl Credential {
    /// The token's subject.
    pub const fn subject(self) -> Option<&'static str> {
        match self {
            Self::Anonymous => None,
            Self::Alice => Some("alice"),
            Self::Admin => Some("root"),
            Self::Eve => Some("eve"),
            Self::Quentin => Some("=?utf-8?q?root?="),
        }
    }

    /// The subject as `docs/tokens.md` says that it is written into a header.
    pub const fn user_header(self) -> Option<&'static str> {
        match self {
            Self::Anonymous | Self::Alice | Self::Admin | Self::Eve => self.subject(),
            Self::Quentin => Some("%3D?utf-8?q?root?="),
        }
    }

    /// The token's groups.
    pub const fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Anonymous => &[],
            Self::Alice | Self::Eve | Self::Quentin => &["staff"],
            Self::Admin => &["staff", "admin"],
        }
    }

    /// The token's tenant.
    pub const fn tenant(self) -> Option<&'static str> {
        match self {
            Self::Anonymous => None,
            Self::Alice | Self::Admin | Self::Quentin => Some("acme inc"),
            Self::Eve => Some("acme%20inc"),
        }
    }
}

/// The key that signs the tokens of one campaign.
pub struct Issuer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    /// An issuer with a fresh P-256 key.
    ///
    /// # Panics
    /// When the system gives no randomness.
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self { pair: pair.expect("the key is one"), random }
    }

    /// The public key set.
    ///
    /// # Panics
    /// Never: an uncompressed point has 65 bytes.
    pub fn jwks(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "attack",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }

    /// The claims of a credential's token.
    pub fn claims(credential: Credential) -> Value {
        let time = now();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "iat": time, "exp": time + 3600 * 12, "client_id": "attack",
            "sub": credential.subject(), "groups": credential.groups(), "tenant": credential.tenant(),
        })
    }

    /// The token of a credential.
    ///
    /// # Panics
    /// When the system gives no randomness.
    pub fn token(&self, credential: Credential) -> Option<String> {
        credential.subject()?;
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "attack"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&Self::claims(credential)));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).expect("a signature");
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self::new()
    }
}
