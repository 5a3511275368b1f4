//! DPoP (RFC 9449): the settings of a provider, and the checks of a proof (section 4.3) against its request and its token.
//! The engine verifies the signature of a proof that passes them, and rejects a proof that it has seen.

mod nonce;

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::encoding::base64url;
use crate::http::{HeaderName, RequestHead};
use crate::http_uri::{HttpOrigin, HttpUri, normal_path};
use crate::jose::{Algorithm, ProofFormatFault, UnverifiedProof};
use crate::redacted::Redacted;
use crate::thumbprint::Thumbprint;
use crate::unix_time::UnixTime;

pub use nonce::{NonceAge, NonceFault, NonceIssuer};

/// The field with the proof.
pub const PROOF_HEADER: HeaderName = HeaderName::DPOP;

/// The settings of DPoP for the tokens of a provider.
#[derive(Debug)]
pub struct Dpop {
    /// Whether tokens that are bound to no key are rejected.
    pub is_required: bool,
    /// The accepted algorithms of proofs.
    pub algorithms: Vec<Algorithm>,
    /// The greatest accepted difference between `iat` of a proof and the time here.
    pub max_age: Duration,
    /// Whether proofs must have a nonce of the gateway.
    pub nonce: NonceMode,
    /// The origins of the URLs that clients use.
    pub origins: Vec<PublicOrigin>,
}

/// Whether proofs must have a nonce.
#[derive(Debug)]
pub enum NonceMode {
    Off,
    /// They must, and nonces are made with a key of this process.
    OfProcess,
    /// They must, and nonces are made with this key. Gateways with the same key accept each other's.
    WithKey(Redacted<String>),
}

/// An origin of the gateway, as clients write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicOrigin {
    text: String,
    origin: HttpOrigin,
}

/// Why a proof is rejected. The names are those of section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProofFault {
    /// The request has no field `DPoP`.
    Missing,
    /// There are two of it, or it has two values.
    Multiple,
    TooLarge,
    /// It is not a JWS with `typ` `dpop+jwt`, or a claim is missing or of the wrong type.
    Malformed,
    /// The provider does not accept its algorithm, or it is none for proofs.
    AlgorithmNotAllowed,
    /// `jwk` is not a public key for signatures of `alg`.
    KeyUnusable,
    /// It is made with another key than the one that the token is bound to.
    KeyMismatch,
    /// `htm` is not the method of the request.
    MethodMismatch,
    /// `htu` is not the URL of the request.
    TargetMismatch,
    /// `ath` is not the hash of the token.
    TokenMismatch,
    /// `iat` is too long ago, or `exp` is over.
    Expired,
    /// `iat` is too far in the future, or `nbf` is in the future.
    IssuedInTheFuture,
    Nonce(NonceFault),
    SignatureInvalid,
    /// It was used before.
    Replayed,
}

impl ProofFault {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "proof_missing",
            Self::Multiple => "multiple_proofs",
            Self::TooLarge => "proof_too_large",
            Self::Malformed => "proof_malformed",
            Self::AlgorithmNotAllowed => "proof_algorithm_not_allowed",
            Self::KeyUnusable => "proof_key_unusable",
            Self::KeyMismatch => "proof_key_mismatch",
            Self::MethodMismatch => "proof_htm_mismatch",
            Self::TargetMismatch => "proof_htu_mismatch",
            Self::TokenMismatch => "proof_ath_mismatch",
            Self::Expired => "proof_expired",
            Self::IssuedInTheFuture => "proof_issued_in_the_future",
            Self::Nonce(NonceFault::Missing) => "nonce_required",
            Self::Nonce(NonceFault::Invalid) => "nonce_invalid",
            Self::SignatureInvalid => "proof_signature_invalid",
            Self::Replayed => "proof_replayed",
        }
    }
}

/// What a proof must be about.
#[derive(Debug)]
pub struct ProofContext<'a> {
    pub head: &'a RequestHead,
    pub token: &'a [u8],
    /// The key that the token is bound to.
    pub key: Thumbprint,
    /// The nonces of the provider, if proofs must have one.
    pub nonces: Option<&'a NonceIssuer>,
    pub now: UnixTime,
}

impl PublicOrigin {
    /// Parses an origin in the form of browsers: lower case, without a default port and without a slash behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let origin = HttpOrigin::parse(text)?;
        (origin.to_string() == text).then(|| Self { text: text.to_owned(), origin })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub const fn is_https(&self) -> bool {
        self.origin.is_https
    }
}

/// The proof of a request.
///
/// # Errors
/// If there is none, or more than one. Hosts join repeated fields with a comma, which no proof contains.
pub fn find_proof(head: &RequestHead) -> Result<&[u8], ProofFault> {
    let mut values = head.values(PROOF_HEADER.as_str());
    let proof = values.next().ok_or(ProofFault::Missing)?;
    if values.next().is_some() || proof.contains(&b',') { Err(ProofFault::Multiple) } else { Ok(proof) }
}

impl Dpop {
    /// Checks everything of a proof but its signature and whether it was used before. Returns the age of its nonce, if proofs
    /// must have one.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(
        &self,
        proof: &UnverifiedProof<'_>,
        context: &ProofContext<'_>,
    ) -> Result<Option<NonceAge>, ProofFault> {
        let ProofContext { head, token, key, nonces, now } = context;
        if !self.algorithms.contains(&proof.algorithm()) {
            return Err(ProofFault::AlgorithmNotAllowed);
        }
        if proof.thumbprint() != *key {
            return Err(ProofFault::KeyMismatch);
        }
        if head.single(":method") != Some(proof.method().as_bytes()) {
            return Err(ProofFault::MethodMismatch);
        }
        if !self.is_target(proof.target(), head) {
            return Err(ProofFault::TargetMismatch);
        }
        if proof.token_hash() != base64url(Sha256::digest(token)) {
            return Err(ProofFault::TokenMismatch);
        }
        if self.end_of(proof.issued_at()) < *now || proof.expiry().is_some_and(|expiry| expiry <= *now) {
            return Err(ProofFault::Expired);
        }
        if now.plus(self.max_age) < proof.issued_at() || proof.not_before().is_some_and(|start| *now < start) {
            return Err(ProofFault::IssuedInTheFuture);
        }
        nonces.map(|nonces| nonces.check(proof.nonce(), *now)).transpose().map_err(ProofFault::Nonce)
    }

    /// The last moment at which a proof of this `iat` is accepted.
    pub fn end_of(&self, issued_at: UnixTime) -> UnixTime {
        issued_at.plus(self.max_age)
    }

    /// Whether a proof for this URI is one for the request. The origin is configured, because a proxy in front may have
    /// ended TLS. Of several origins the host of the request selects, so that a proof for one is none for another.
    fn is_target(&self, target: &str, head: &RequestHead) -> bool {
        let Some(target) = HttpUri::parse(target) else { return false };
        let authority = head.single(":authority").unwrap_or_default();
        let is_expected = |select: fn(&HttpOrigin, &[u8]) -> bool| {
            let mut selected = self.origins.iter().filter(|public| select(&public.origin, authority)).peekable();
            selected.peek().is_some().then(|| selected.any(|public| public.origin == target.origin))
        };
        let is_origin = match self.origins.as_slice() {
            [only] => only.origin == target.origin,
            _ => is_expected(HttpOrigin::is_of_authority)
                .or_else(|| is_expected(HttpOrigin::is_of_host))
                .unwrap_or(false),
        };
        is_origin && head.single(":path").and_then(normal_path).is_some_and(|path| path == target.path)
    }
}

impl From<ProofFormatFault> for ProofFault {
    fn from(fault: ProofFormatFault) -> Self {
        match fault {
            ProofFormatFault::TooLarge => Self::TooLarge,
            ProofFormatFault::Malformed => Self::Malformed,
            ProofFormatFault::AlgorithmUnsupported => Self::AlgorithmNotAllowed,
            ProofFormatFault::KeyUnusable => Self::KeyUnusable,
        }
    }
}

#[cfg(test)]
mod tests;
