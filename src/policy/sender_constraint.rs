//! Sender-constrained tokens: tokens that are bound to the client's certificate (RFC 8705 section 3) or to a key of which
//! the client makes proofs (DPoP, RFC 9449). The engine checks the constraint for each request, also for cached tokens.

use serde_json::Value;

use super::dpop::{Dpop, ProofFault};
use crate::jose::Claims;
use crate::thumbprint::Thumbprint;

/// The member of `cnf` with the thumbprint of a certificate (RFC 8705 section 3.1).
const CERTIFICATE: &str = "x5t#S256";
/// The member of `cnf` with the thumbprint of a key (RFC 9449 section 6.1).
const KEY: &str = "jkt";

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

/// The constraints that a provider's tokens may have, or must have.
#[derive(Debug, Default)]
pub struct SenderConstraint {
    /// Whether tokens may, or must, be bound to the client's certificate.
    pub mtls: ConstraintMode,
    /// The settings of DPoP. `None`: tokens that are bound to a key are rejected.
    pub dpop: Option<Dpop>,
}

/// What a token is bound to (`cnf`, RFC 7800 section 3.1). With both, the client must meet both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// The client's certificate.
    pub certificate: Option<Thumbprint>,
    /// The key of the client's proofs.
    pub key: Option<Thumbprint>,
}

/// What the client must have proved to possess, where a rule requires a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProofKind {
    /// The key of the token, by a DPoP proof.
    Dpop,
    /// The private key of the token's certificate, by mutual TLS.
    Mtls,
    /// One of these.
    Any,
}

/// What a bound token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingKind {
    Dpop,
    Mtls,
    DpopMtls,
}

/// Whether tokens of a provider may, or must, be bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConstraintModes {
    pub dpop: ConstraintMode,
    pub mtls: ConstraintMode,
}

/// Why the client does not meet the constraint of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConstraintFault {
    /// The client has shown no certificate, or neither the host nor a proxy in front tells it.
    CertificateMissing,
    /// The header of a proxy in front does not describe exactly one certificate.
    CertificateHeaderMalformed,
    /// The certificate is another one.
    CertificateMismatch,
    /// The token is bound to a key and came with another scheme than `DPoP`.
    SchemeNotDpop,
    /// The token is bound to no key and came with the scheme `DPoP`.
    NotBoundToKey,
    /// The client has not proved that it has the key.
    Proof(ProofFault),
}

/// Why the constraint of a token is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindingFault {
    /// It is one that the filter does not verify.
    Unverified,
    /// The thumbprint of the certificate is not base64url of a SHA-256 digest.
    CertificateMalformed,
    /// The thumbprint of the key is not base64url of a SHA-256 digest.
    KeyMalformed,
    /// There is none, and one is required.
    Missing,
}

impl From<ProofFault> for ConstraintFault {
    fn from(fault: ProofFault) -> Self {
        Self::Proof(fault)
    }
}

impl SenderConstraint {
    /// Whether tokens may, or must, be bound to a key.
    pub const fn dpop_mode(&self) -> ConstraintMode {
        match &self.dpop {
            None => ConstraintMode::Off,
            Some(Dpop { is_required: false, .. }) => ConstraintMode::IfBound,
            Some(Dpop { is_required: true, .. }) => ConstraintMode::Required,
        }
    }

    pub const fn modes(&self) -> ConstraintModes {
        ConstraintModes { dpop: self.dpop_mode(), mtls: self.mtls }
    }
}

impl ProofKind {
    /// The value of `proof` in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::Any => "any",
        }
    }

    const fn is_among(self, has_key: bool, has_certificate: bool) -> bool {
        match self {
            Self::Dpop => has_key,
            Self::Mtls => has_certificate,
            Self::Any => has_key || has_certificate,
        }
    }
}

impl BindingKind {
    /// The stable name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::DpopMtls => "dpop_mtls",
        }
    }
}

impl ConstraintModes {
    /// Whether a token may be bound in any way.
    pub fn accept_some(self) -> bool {
        self.accept(ProofKind::Any)
    }

    /// Whether a token may be one for which the client proves this.
    pub fn accept(self, kind: ProofKind) -> bool {
        kind.is_among(self.dpop != ConstraintMode::Off, self.mtls != ConstraintMode::Off)
    }

    /// Whether the client proves this for every accepted token.
    pub fn require(self, kind: ProofKind) -> bool {
        kind.is_among(self.dpop == ConstraintMode::Required, self.mtls == ConstraintMode::Required)
    }
}

impl Binding {
    /// What a token with these claims is bound to.
    ///
    /// # Errors
    /// If the constraint is one that the filter does not verify, or there is none and one is required.
    pub(super) fn of(claims: &Claims, allowed: &SenderConstraint) -> Result<Self, BindingFault> {
        let mut binding = Self::default();
        if claims.contains("cnf") {
            let members = claims.members().get("cnf").and_then(Value::as_object).filter(|members| !members.is_empty());
            for (name, value) in members.ok_or(BindingFault::Unverified)? {
                let thumbprint = value.as_str().and_then(Thumbprint::parse);
                // Every other member is a constraint that is not known here.
                match (name.as_str(), allowed.mtls, allowed.dpop_mode()) {
                    (CERTIFICATE, ConstraintMode::IfBound | ConstraintMode::Required, _) => {
                        binding.certificate = Some(thumbprint.ok_or(BindingFault::CertificateMalformed)?);
                    }
                    (KEY, _, ConstraintMode::IfBound | ConstraintMode::Required) => {
                        binding.key = Some(thumbprint.ok_or(BindingFault::KeyMalformed)?);
                    }
                    _ => return Err(BindingFault::Unverified),
                }
            }
        }
        let lacks = |bound: Option<Thumbprint>, mode| bound.is_none() && mode == ConstraintMode::Required;
        if lacks(binding.certificate, allowed.mtls) || lacks(binding.key, allowed.dpop_mode()) {
            return Err(BindingFault::Missing);
        }
        Ok(binding)
    }

    /// What it binds to; `None` if to nothing.
    pub const fn kind(&self) -> Option<BindingKind> {
        match (self.key, self.certificate) {
            (None, None) => None,
            (Some(_), None) => Some(BindingKind::Dpop),
            (None, Some(_)) => Some(BindingKind::Mtls),
            (Some(_), Some(_)) => Some(BindingKind::DpopMtls),
        }
    }

    /// Whether a client that meets the constraint has proved this.
    pub const fn proves(&self, kind: ProofKind) -> bool {
        kind.is_among(self.key.is_some(), self.certificate.is_some())
    }

    /// Whether the certificate that the client has shown is the one that the token is bound to.
    ///
    /// # Errors
    /// If there is none, or another one.
    pub fn check_certificate(&self, shown: Option<Thumbprint>) -> Result<(), ConstraintFault> {
        let Some(bound) = self.certificate else { return Ok(()) };
        match shown.ok_or(ConstraintFault::CertificateMissing)? {
            shown if shown == bound => Ok(()),
            _ => Err(ConstraintFault::CertificateMismatch),
        }
    }
}

#[cfg(test)]
#[path = "sender_constraint/tests.rs"]
mod tests;
