//! Parses a DPoP proof (RFC 9449 section 4.2) strictly and verifies its signature. Only this module creates a
//! [`VerifiedProof`].
//!
//! A proof is a JWS like a token, with its own public key in the header. The caller compares the key's thumbprint with the
//! one that the token is bound to, and the claims with the request.

use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::algorithm::Algorithm;
use super::claims::{Claim, Claims};
use super::compact::{CompactParts, requires_extension};
use super::jwk::{Key, KeyFault};
use super::strict_json::{JsonLimits, parse_object};
use super::verify::SignatureVerifier;
use crate::thumbprint::Thumbprint;
use crate::unix_time::UnixTime;

/// The longest proof that is parsed.
pub const MAX_PROOF_BYTES: usize = 8192;
const TYPE: &str = "dpop+jwt";
const HEADER_LIMITS: JsonLimits = JsonLimits { depth: 8, members: 64 };
const CLAIMS_LIMITS: JsonLimits = JsonLimits { depth: 8, members: 64 };

/// A parsed proof whose signature is not verified. All members that a proof must have are there.
#[derive(Clone)]
pub struct UnverifiedProof<'a> {
    signing_input: &'a [u8],
    signature: Vec<u8>,
    algorithm: Algorithm,
    jwk: Map<String, Value>,
    thumbprint: Thumbprint,
    claims: ProofClaims,
}

/// The claims of a proof (RFC 9449 section 4.2).
#[derive(Clone, Debug)]
struct ProofClaims {
    id: String,
    method: String,
    target: String,
    issued_at: UnixTime,
    not_before: Option<UnixTime>,
    expiry: Option<UnixTime>,
    token_hash: String,
    nonce: Option<String>,
}

/// The public key of a proof.
#[derive(Clone, Debug)]
pub struct ProofKey {
    key: Key,
    thumbprint: Thumbprint,
}

/// A proof whose signature is valid.
#[derive(Clone, Debug)]
pub struct VerifiedProof {
    thumbprint: Thumbprint,
    id: String,
    issued_at: UnixTime,
}

/// Why a proof cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofFormatFault {
    /// It is longer than the limit.
    TooLarge,
    /// It is not a JWS with `typ` `dpop+jwt`, or a claim is missing or of the wrong type.
    Malformed,
    /// `alg` is `none`, symmetric, or unknown.
    AlgorithmUnsupported,
    /// `jwk` is not a public key for signatures of `alg`.
    KeyUnusable,
}

impl<'a> UnverifiedProof<'a> {
    /// Parses the value of the `DPoP` field.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &'a [u8]) -> Result<Self, ProofFormatFault> {
        if text.len() > MAX_PROOF_BYTES {
            return Err(ProofFormatFault::TooLarge);
        }
        let parts = CompactParts::split(text).map_err(|_| ProofFormatFault::Malformed)?;
        let header = parts.header().map_err(|_| ProofFormatFault::Malformed)?;
        let mut header = parse_object(&header, HEADER_LIMITS).map_err(|_| ProofFormatFault::Malformed)?;
        if header.get("typ").and_then(Value::as_str) != Some(TYPE) || requires_extension(&header) {
            return Err(ProofFormatFault::Malformed);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(ProofFormatFault::Malformed)?;
        let algorithm = Algorithm::parse(algorithm).ok_or(ProofFormatFault::AlgorithmUnsupported)?;
        let Some(Value::Object(jwk)) = header.remove("jwk") else { return Err(ProofFormatFault::Malformed) };
        let thumbprint = thumbprint(&jwk).ok_or(ProofFormatFault::KeyUnusable)?;
        Key::check_use(&jwk, algorithm).map_err(|_| ProofFormatFault::KeyUnusable)?;
        let claims = parts.payload().map_err(|_| ProofFormatFault::Malformed)?;
        let claims = parse_object(&claims, CLAIMS_LIMITS).map_err(|_| ProofFormatFault::Malformed)?;
        let claims = ProofClaims::read(&Claims::new(claims)).ok_or(ProofFormatFault::Malformed)?;
        let signature = parts.signature().map_err(|_| ProofFormatFault::Malformed)?;
        Ok(Self { signing_input: parts.signing_input(), signature, algorithm, jwk, thumbprint, claims })
    }

    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The thumbprint of its key (RFC 7638).
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// `htm`
    pub fn method(&self) -> &str {
        &self.claims.method
    }

    /// `htu`
    pub fn target(&self) -> &str {
        &self.claims.target
    }

    /// `iat`
    pub const fn issued_at(&self) -> UnixTime {
        self.claims.issued_at
    }

    /// `nbf`, which no proof needs
    pub const fn not_before(&self) -> Option<UnixTime> {
        self.claims.not_before
    }

    /// `exp`, which no proof needs
    pub const fn expiry(&self) -> Option<UnixTime> {
        self.claims.expiry
    }

    /// `ath`
    pub fn token_hash(&self) -> &str {
        &self.claims.token_hash
    }

    /// `nonce`
    pub fn nonce(&self) -> Option<&str> {
        self.claims.nonce.as_deref()
    }

    /// Its key, which takes longer than its thumbprint.
    ///
    /// # Errors
    /// If it is weak, or no point of its curve.
    pub fn key(&self) -> Result<ProofKey, KeyFault> {
        Ok(ProofKey { key: Key::from_required_members(&self.jwk)?, thumbprint: self.thumbprint })
    }

    /// Verifies the signature with its key, which may be cached. `None`: it is invalid, or the key is another one.
    pub fn verify(self, key: &ProofKey, verifier: &dyn SignatureVerifier) -> Option<VerifiedProof> {
        let is_own_key = key.thumbprint == self.thumbprint && key.key.supports(self.algorithm);
        let is_valid = is_own_key && verifier.verifies(self.algorithm, &key.key, self.signing_input, &self.signature);
        let ProofClaims { id, issued_at, .. } = self.claims;
        is_valid.then_some(VerifiedProof { thumbprint: self.thumbprint, id, issued_at })
    }
}

impl ProofKey {
    /// The memory that its encoding takes.
    pub fn held_bytes(&self) -> usize {
        // The parsed key has about the same length.
        self.key.subject_public_key_info().len().saturating_mul(3)
    }
}

impl fmt::Debug for UnverifiedProof<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UnverifiedProof").field("claims", &self.claims).finish_non_exhaustive()
    }
}

impl VerifiedProof {
    /// The thumbprint of the key that signed it.
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// `jti`
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `iat`
    pub const fn issued_at(&self) -> UnixTime {
        self.issued_at
    }
}

impl ProofClaims {
    /// `None` if one is missing, empty or of the wrong type.
    fn read(claims: &Claims) -> Option<Self> {
        let text = |name| match claims.string(name) {
            Claim::Valid(text) if !text.is_empty() => Some(text.to_owned()),
            Claim::Valid(_) | Claim::Absent | Claim::Malformed => None,
        };
        let time = |claim| match claim {
            Claim::Valid(time) => Some(Some(time)),
            Claim::Absent => Some(None),
            Claim::Malformed => None,
        };
        let issued_at = time(claims.time("iat"))??;
        let (not_before, expiry) = (time(claims.start_time("nbf"))?, time(claims.time("exp"))?);
        let nonce = if claims.contains("nonce") { Some(text("nonce")?) } else { None };
        let (id, method, target) = (text("jti")?, text("htm")?, text("htu")?);
        Some(Self { id, method, target, issued_at, not_before, expiry, token_hash: text("ath")?, nonce })
    }
}

/// RFC 7638 section 3: the required members of the key, in lexical order, without white space.
fn thumbprint(jwk: &Map<String, Value>) -> Option<Thumbprint> {
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut members = String::with_capacity(1024);
    for name in names {
        let value = jwk.get(*name)?.as_str()?;
        // A value that JSON escapes is none of a key.
        let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        members.push(if members.is_empty() { '{' } else { ',' });
        members.extend(is_plain.then_some(["\"", name, "\":\"", value, "\""])?);
    }
    members.push('}');
    Some(Thumbprint::new(Sha256::digest(members).into()))
}

#[cfg(test)]
#[path = "dpop_proof/tests.rs"]
mod tests;
