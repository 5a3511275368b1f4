//! The gateway's private key, which signs client assertions to the issuer (RFC 7523).
//!
//! ES256 is signed in this module, deterministically (RFC 6979), so it needs no randomness. RS256 needs constant-time
//! private RSA arithmetic, which this module lacks: the host signs ([`RsaSigner`]). Its signature is verified before it
//! is used, so that an arithmetic fault of the host cannot leak the key. Keys are read from PKCS#8 in PEM, or from a
//! JWK as Okta's console shows it.

use std::fmt;

use p256::ecdsa::signature::Signer as _;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::der;
use super::jwk::{KeyFault, PublicKey, octets, optional_string};
use super::pkcs8::{self, Parts, PrivateKeyFault};
use super::rsa::{Hash, RsaPublicKey};
use super::strict_json::{JsonLimits, parse_object};
use crate::encoding::base64url;

const LIMITS: JsonLimits = JsonLimits { depth: 4, members: 64 };

/// A private key. `Debug` prints its id and algorithm only.
#[derive(Clone)]
pub struct PrivateKey {
    id: Option<String>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    P256(Box<p256::ecdsa::SigningKey>),
    Rsa { pkcs8: Vec<u8>, public: RsaPublicKey },
}

/// Which side signs with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// This module.
    Module,
    /// The host. If it cannot sign, the configuration is rejected.
    Host,
}

/// Signs with RSASSA-PKCS1-v1_5 and SHA-256. Implemented by the host.
pub trait RsaSigner {
    /// The signature of `message` with the key `pkcs8` (DER). `None` if the host returns none.
    fn sign_rs256(&self, pkcs8: &[u8], message: &[u8]) -> Option<Vec<u8>>;
}

impl PrivateKey {
    /// Parses PKCS#8 in PEM or a JWK.
    ///
    /// # Errors
    /// Why the key is not usable.
    pub fn parse(text: &str) -> Result<Self, PrivateKeyFault> {
        let text = text.trim();
        if text.starts_with('{') {
            let members = parse_object(text.as_bytes(), LIMITS).map_err(|_| PrivateKeyFault::Malformed)?;
            Self::from_members(&members)
        } else {
            Self::from_pem(text)
        }
    }

    fn from_pem(pem: &str) -> Result<Self, PrivateKeyFault> {
        let document = pkcs8::from_pem(pem)?;
        let material = match pkcs8::parts(&document)? {
            Parts::Rsa { n, e } => {
                let public = RsaPublicKey::new(n, e).ok_or(PrivateKeyFault::Weak)?;
                Material::Rsa { pkcs8: document, public }
            }
            Parts::P256 { secret, public } => {
                let key = p256_key(secret)?;
                let is_consistent = public.is_none_or(|public| {
                    p256::ecdsa::VerifyingKey::from_sec1_bytes(public)
                        .is_ok_and(|public| public == *key.verifying_key())
                });
                if !is_consistent {
                    return Err(PrivateKeyFault::Inconsistent);
                }
                Material::P256(Box::new(key))
            }
        };
        Ok(Self { id: None, material })
    }

    fn from_members(members: &Map<String, Value>) -> Result<Self, PrivateKeyFault> {
        let kind = optional_string(members, "kty")?.ok_or(PrivateKeyFault::Malformed)?;
        if !members.contains_key("d") {
            return Err(PrivateKeyFault::NotPrivate);
        }
        if optional_string(members, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(PrivateKeyFault::Inconsistent);
        }
        let material = match PublicKey::from_members(kind, members)?.0 {
            PublicKey::Rsa(public) => {
                let names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
                let numbers: Vec<_> = names.iter().map(|name| octets(members, name)).collect::<Result<_, _>>()?;
                Material::Rsa { pkcs8: der::rsa_private_key(&numbers), public }
            }
            PublicKey::P256(public) => {
                let key = p256_key(&octets(members, "d")?)?;
                if *key.verifying_key() != public {
                    return Err(PrivateKeyFault::Inconsistent);
                }
                Material::P256(Box::new(key))
            }
            PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Ed25519(_) => {
                return Err(PrivateKeyFault::Unsupported);
            }
        };
        let key = Self { id: optional_string(members, "kid")?.map(str::to_owned), material };
        match optional_string(members, "alg")? {
            Some(name) if name != key.algorithm().name() => Err(PrivateKeyFault::Unsupported),
            Some(_) | None => Ok(key),
        }
    }

    #[must_use]
    pub fn with_id(self, id: String) -> Self {
        Self { id: Some(id), ..self }
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub const fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::P256(_) => Algorithm::Es256,
            Material::Rsa { .. } => Algorithm::Rs256,
        }
    }

    pub const fn signed_by(&self) -> SignedBy {
        match self.material {
            Material::P256(_) => SignedBy::Module,
            Material::Rsa { .. } => SignedBy::Host,
        }
    }

    /// The public half as a JWK; `None` for an RSA key.
    pub fn public_jwk(&self) -> Option<Map<String, Value>> {
        let Material::P256(key) = &self.material else { return None };
        let point = key.verifying_key().to_sec1_point(false);
        let members = [
            ("kty", String::from("EC")),
            ("crv", String::from("P-256")),
            ("x", base64url(point.x()?)),
            ("y", base64url(point.y()?)),
        ];
        Some(members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect())
    }

    /// The JWS signature of `message`. `None` if the host returns no valid one.
    pub fn sign(&self, message: &[u8], host: &dyn RsaSigner) -> Option<Vec<u8>> {
        match &self.material {
            Material::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(signature.to_bytes().to_vec())
            }
            Material::Rsa { pkcs8, public } => {
                let signature = host.sign_rs256(pkcs8, message)?;
                public.verifies_pkcs1(Hash::Sha256, message, &signature).then_some(signature)
            }
        }
    }
}

/// An [`RsaSigner`] that cannot sign, for hosts without the function.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRsaSigner;

impl RsaSigner for NoRsaSigner {
    fn sign_rs256(&self, _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

fn p256_key(secret: &[u8]) -> Result<p256::ecdsa::SigningKey, PrivateKeyFault> {
    p256::ecdsa::SigningKey::from_slice(secret).map_err(|_| PrivateKeyFault::Malformed)
}

impl From<KeyFault> for PrivateKeyFault {
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Malformed => Self::Malformed,
            KeyFault::Unsupported => Self::Unsupported,
            KeyFault::NotForVerification | KeyFault::Private | KeyFault::Inconsistent | KeyFault::OverLimit => {
                Self::Inconsistent
            }
            KeyFault::Weak => Self::Weak,
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrivateKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "private_key/tests.rs"]
mod tests;
