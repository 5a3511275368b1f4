//! Sender-constrained tokens: tokens that are bound to the client's certificate (RFC 8705 section 3). The engine compares the
//! certificate for each request, also for cached tokens.

use serde_json::Value;

use crate::cel::{Attribute, AttributeValues};
use crate::encoding::{base64url, base64url_decoded};
use crate::jose::Claims;

/// The member of `cnf` with the thumbprint (RFC 8705 section 3.1).
const THUMBPRINT: &str = "x5t#S256";

/// Which tokens of a provider are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConstraintMode {
    /// Those without a constraint: it is not verified.
    #[default]
    Off,
    /// Those without a constraint, and those whose constraint the client meets.
    IfBound,
    /// Those whose constraint the client meets.
    Required,
}

/// The SHA-256 digest of a certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateThumbprint([u8; 32]);

/// Why the client does not meet the constraint of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConstraintFault {
    /// The client has shown no certificate, or the host does not know it.
    CertificateMissing,
    /// The certificate is another one.
    CertificateMismatch,
}

/// Why the constraint of a token is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindingFault {
    /// It is one that the filter does not verify.
    Unverified,
    /// The thumbprint is not base64url of a SHA-256 digest.
    ThumbprintMalformed,
    /// There is none, and one is required.
    Missing,
}

impl CertificateThumbprint {
    /// Parses base64url without padding (RFC 7515 appendix C), in its only spelling.
    fn parse(text: &str) -> Option<Self> {
        let digest: [u8; 32] = base64url_decoded(text)?.try_into().ok()?;
        (base64url(digest) == text).then_some(Self(digest))
    }

    /// Parses 64 hexadecimal digits, as hosts write a digest.
    fn of_hex(text: &[u8]) -> Option<Self> {
        let mut digest = [0_u8; 32];
        let (pairs, []) = text.as_chunks::<2>() else { return None };
        if pairs.len() != digest.len() {
            return None;
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(digest))
    }

    /// Whether the host's certificate of this request's client is the one.
    ///
    /// # Errors
    /// If there is none, or another one.
    pub fn check(self, attributes: &AttributeValues) -> Result<(), ConstraintFault> {
        let shown = attributes.get(Attribute::PeerDigest).and_then(Self::of_hex);
        match shown.ok_or(ConstraintFault::CertificateMissing)? {
            shown if shown == self => Ok(()),
            _ => Err(ConstraintFault::CertificateMismatch),
        }
    }
}

/// The certificate that a token is bound to.
///
/// # Errors
/// If the constraint is one that the filter does not verify, or there is none and one is required.
pub(super) fn bound_certificate(
    claims: &Claims,
    mode: ConstraintMode,
) -> Result<Option<CertificateThumbprint>, BindingFault> {
    let confirmation = claims.contains("cnf").then(|| claims.members().get("cnf"));
    match (mode, confirmation) {
        (ConstraintMode::Off | ConstraintMode::IfBound, None) => Ok(None),
        (ConstraintMode::Required, None) => Err(BindingFault::Missing),
        (ConstraintMode::Off, Some(_)) => Err(BindingFault::Unverified),
        (ConstraintMode::IfBound | ConstraintMode::Required, Some(confirmation)) => {
            // Every other member is another constraint, such as `jkt` of DPoP.
            let members = confirmation.and_then(Value::as_object).filter(|members| members.len() == 1);
            let thumbprint = members.and_then(|members| members.get(THUMBPRINT)).ok_or(BindingFault::Unverified)?;
            let thumbprint = thumbprint.as_str().and_then(CertificateThumbprint::parse);
            thumbprint.map(Some).ok_or(BindingFault::ThumbprintMalformed)
        }
    }
}

#[cfg(test)]
#[path = "sender_constraint/tests.rs"]
mod tests;
