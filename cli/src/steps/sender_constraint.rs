//! The step about the sender constraint: which proof the client made, and what is wrong with it.

use super::{Step, StepOutcome};
use okta_proxy_wasm::policy::{Binding, CertificateSource, ConstraintFault, NonceFault, ProofFault};

/// What a token is bound to, and whether the client meets it.
pub(super) fn step(
    binding: &Binding,
    certificate: Option<CertificateSource>,
    checked: Result<(), ConstraintFault>,
) -> Option<Step> {
    let proved = match (binding.certificate, binding.key) {
        (None, None) if checked.is_ok() => return None,
        (Some(certificate), None) => format!("the certificate {certificate}"),
        (None, Some(key)) => format!("the key {key} (DPoP)"),
        (Some(certificate), Some(key)) => format!("the certificate {certificate} and the key {key} (DPoP)"),
        (None, None) => String::from("nothing"),
    };
    let (outcome, message) = match checked {
        Ok(()) => {
            let from = certificate.map(source).unwrap_or_default();
            (
                StepOutcome::Pass,
                format!("the token is bound to {proved}, and the client has proved that it has it{from}"),
            )
        }
        Err(fault) => (StepOutcome::Fail, format!("the token is bound to {proved}; {}", describe(fault, certificate))),
    };
    Some(Step::new("constraint", outcome, message))
}

/// Where the certificate was found.
fn source(certificate: CertificateSource) -> String {
    match certificate {
        CertificateSource::Connection => String::from("; the certificate is that of the connection"),
        CertificateSource::Header(header) => {
            format!("; the certificate is the one in the header `{}` of a hop (`client_certificate`)", header.name())
        }
    }
}

pub(super) const fn describe(fault: ConstraintFault, certificate: Option<CertificateSource>) -> &'static str {
    match (fault, certificate) {
        (ConstraintFault::CertificateMissing, Some(CertificateSource::Header(_))) => {
            "the connection is that of a hop (`client_certificate`), whose header with the certificate of the client is missing"
        }
        (ConstraintFault::CertificateMismatch, Some(CertificateSource::Header(_))) => {
            "the header of the hop (`client_certificate`) describes another certificate"
        }
        (fault, _) => describe_fault(fault),
    }
}

const fn describe_fault(fault: ConstraintFault) -> &'static str {
    match fault {
        ConstraintFault::CertificateMissing => {
            "the client has shown no certificate: give its digest with \
             --attribute connection.sha256_peer_certificate_digest=HEX"
        }
        ConstraintFault::CertificateHeaderMalformed => {
            "the header of the hop (`client_certificate`) does not describe exactly one certificate other than the hop's own"
        }
        ConstraintFault::CertificateMismatch => "the client has shown another certificate",
        ConstraintFault::SchemeNotDpop => "it came as `Bearer`, and such a token must come as `Authorization: DPoP …`",
        ConstraintFault::NotBoundToKey => "it came as `DPoP`, which is only for tokens that are bound to a key",
        ConstraintFault::Proof(fault) => describe_proof(fault),
    }
}

const fn describe_proof(fault: ProofFault) -> &'static str {
    match fault {
        ProofFault::Missing => "the request has no header `DPoP`: --dpop-key makes one",
        ProofFault::Multiple => "the request has more than one proof",
        ProofFault::TooLarge => "the proof is larger than 8192 bytes",
        ProofFault::Malformed => {
            "the proof is not a JWT with `typ` `dpop+jwt` and `jwk` in its header and the claims `jti`, `htm`, `htu`, `iat` and `ath`"
        }
        ProofFault::AlgorithmNotAllowed => {
            "the provider does not accept the `alg` of the proof: see `proofs.algorithms`"
        }
        ProofFault::KeyUnusable => "`jwk` of the proof is not a public key for signatures of its `alg`",
        ProofFault::KeyMismatch => "the proof is made with another key",
        ProofFault::MethodMismatch => "`htm` of the proof is not the method of the request",
        ProofFault::TargetMismatch => {
            "`htu` of the proof is not the URL of the request: one of `proofs.origins` and the path, without a query"
        }
        ProofFault::TokenMismatch => "`ath` of the proof is not the hash of this token",
        ProofFault::Expired => "the proof was made longer ago than `proofs.max_age`",
        ProofFault::IssuedInTheFuture => "`iat` of the proof is further in the future than `proofs.max_age`",
        ProofFault::Nonce(NonceFault::Missing) => "the proof has no `nonce`, and `proofs.nonce` is `required`",
        ProofFault::Nonce(NonceFault::Invalid) => "`nonce` of the proof is too old, or one of another gateway",
        ProofFault::SignatureInvalid => "the signature of the proof is invalid",
        ProofFault::Replayed => "the proof was used before",
    }
}
