//! Verifies signatures. This module is the only one that creates a [`VerifiedToken`].
//!
//! This module and `jwk` restrict the key and algorithm before any signature code runs, because a host's verifier
//! accepts more than this project does (RSA 1024, a P-256 key with SHA-384).

use std::rc::Rc;

use p256::ecdsa::signature::Verifier as _;

use super::algorithm::Algorithm;
use super::claims::Claims;
use super::compact::{JoseHeader, TokenFault, UnverifiedToken};
use super::jwk::{Key, PublicKey};
use super::rsa::Hash;
use crate::redacted::Redacted;

/// A token with a valid signature of a candidate key. Its times, audience and other claims are not validated yet.
#[derive(Debug)]
pub struct VerifiedToken {
    serialized: Redacted<Rc<[u8]>>,
    header: JoseHeader,
    claims: Claims,
}

/// The payload of a verified token, in exactly the bytes that were signed. It shares the token's buffer and is redacted
/// like it.
#[derive(Clone, Debug)]
pub struct SignedPayload(Redacted<Rc<[u8]>>);

impl SignedPayload {
    /// The payload as base64url without padding: the second part of the token.
    pub fn as_base64url(&self) -> &str {
        let payload = self.0.reveal().split(|byte| *byte == b'.').nth(1);
        payload.and_then(|payload| std::str::from_utf8(payload).ok()).unwrap_or_default()
    }
}

impl VerifiedToken {
    pub const fn header(&self) -> &JoseHeader {
        &self.header
    }

    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Consumes the token and returns the claims and the payload they were parsed from.
    pub fn into_claims_and_payload(self) -> (Claims, SignedPayload) {
        (self.claims, SignedPayload(self.serialized))
    }
}

/// Verifies one signature. The host may provide a faster implementation.
pub trait SignatureVerifier {
    /// Whether `signature`, in JWS encoding, is a signature of `message` by `key`. Only called with an algorithm that
    /// `key` supports.
    fn verifies(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool;
}

impl UnverifiedToken {
    /// Verifies the token with the first of `candidates` that matches its signature.
    ///
    /// # Errors
    /// [`TokenFault::SignatureInvalid`] if no candidate verifies it.
    pub fn verify(self, candidates: &[&Key], verifier: &dyn SignatureVerifier) -> Result<VerifiedToken, TokenFault> {
        self.try_verify(candidates, verifier).map_err(|_| TokenFault::SignatureInvalid)
    }

    /// Like [`Self::verify`], for a token that may be verified again with other keys.
    ///
    /// # Errors
    /// The token, if no candidate verifies its signature.
    pub fn try_verify(self, candidates: &[&Key], verifier: &dyn SignatureVerifier) -> Result<VerifiedToken, Box<Self>> {
        let algorithm = self.header().algorithm;
        let verified = candidates
            .iter()
            .filter(|key| key.supports(algorithm))
            .any(|key| verifier.verifies(algorithm, key, self.signing_input(), self.signature()));
        if !verified {
            return Err(Box::new(self));
        }
        let (serialized, header, claims) = self.into_parts();
        Ok(VerifiedToken { serialized, header, claims })
    }
}

/// Verification in this module's own code, which works in every host.
#[derive(Clone, Copy, Debug, Default)]
pub struct PortableVerifier;

impl SignatureVerifier for PortableVerifier {
    fn verifies(&self, algorithm: Algorithm, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        match (&key.material, algorithm) {
            (PublicKey::Rsa(key), Algorithm::Rs256) => key.verifies_pkcs1(Hash::Sha256, message, signature),
            (PublicKey::Rsa(key), Algorithm::Rs384) => key.verifies_pkcs1(Hash::Sha384, message, signature),
            (PublicKey::Rsa(key), Algorithm::Rs512) => key.verifies_pkcs1(Hash::Sha512, message, signature),
            (PublicKey::Rsa(key), Algorithm::Ps256) => key.verifies_pss(Hash::Sha256, message, signature),
            (PublicKey::Rsa(key), Algorithm::Ps384) => key.verifies_pss(Hash::Sha384, message, signature),
            (PublicKey::Rsa(key), Algorithm::Ps512) => key.verifies_pss(Hash::Sha512, message, signature),
            (PublicKey::P256(key), Algorithm::Es256) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (PublicKey::P384(key), Algorithm::Es384) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (PublicKey::P521(key), Algorithm::Es512) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (PublicKey::Ed25519(key), Algorithm::EdDsa) => ed25519_compact::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            // Combinations that do not belong together. They are listed so that a new key type or algorithm does not
            // compile until it is handled.
            (PublicKey::Rsa(_), Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa)
            | (
                PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Ed25519(_),
                Algorithm::Rs256
                | Algorithm::Rs384
                | Algorithm::Rs512
                | Algorithm::Ps256
                | Algorithm::Ps384
                | Algorithm::Ps512,
            )
            | (PublicKey::P256(_), Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa)
            | (PublicKey::P384(_), Algorithm::Es256 | Algorithm::Es512 | Algorithm::EdDsa)
            | (PublicKey::P521(_), Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa)
            | (PublicKey::Ed25519(_), Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512) => false,
        }
    }
}

#[cfg(test)]
#[path = "verify/tests.rs"]
mod tests;
