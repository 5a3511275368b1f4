//! Third step: whether the client is the one that the token is bound to. It runs for each request, also for cached tokens.

use super::Resources;
use super::outcome::Stop;
use super::request::{CheckedProof, Request};
use crate::engine::deny_reason::DenyReason;
use crate::engine::token_cache::AuthenticatedToken;
use crate::engine::trace::TraceEvent;
use crate::jose::UnverifiedProof;
use crate::policy::dpop::{ProofContext, find_proof};
use crate::policy::{ConstraintFault, CredentialLocation, ProofFault};
use crate::replay::{Holder, ProofDigest, Recorded, UsedProof};
use crate::thumbprint::Thumbprint;

/// Everything but whether the proof was used before.
pub(super) fn check(
    request: &mut Request<'_>,
    token: &AuthenticatedToken,
    resources: &mut Resources<'_>,
) -> Result<(), ConstraintFault> {
    let checked = check_binding(request, token, resources);
    let binding = *token.token.binding();
    if binding.kind().is_some() || checked.is_err() {
        let source = || resources.policy.certificate_source(&request.context.attributes);
        let certificate = binding.certificate.map(|_| source());
        request.context.trace.record(|| TraceEvent::SenderConstraint { binding, certificate, checked });
    }
    checked
}

fn check_binding(
    request: &mut Request<'_>,
    token: &AuthenticatedToken,
    resources: &mut Resources<'_>,
) -> Result<(), ConstraintFault> {
    let binding = token.token.binding();
    if binding.certificate.is_some() {
        let shown = resources.policy.client_certificate(&request.context.head, &request.context.attributes)?;
        binding.check_certificate(shown)?;
    }
    let is_dpop = request.context.source == Some(CredentialLocation::DpopHeader);
    match (binding.key, is_dpop) {
        (None, false) => Ok(()),
        (None, true) => Err(ConstraintFault::NotBoundToKey),
        // RFC 9449 section 7.2: the other scheme would need no proof.
        (Some(_), false) => Err(ConstraintFault::SchemeNotDpop),
        (Some(key), true) => match &request.context.proof {
            // Of a request that was pending since.
            Some(proof) if proof.key == key => Ok(()),
            Some(_) => Err(ProofFault::KeyMismatch.into()),
            None => {
                request.context.proof = Some(check_proof(request, token, key, resources)?);
                Ok(())
            }
        },
    }
}

fn check_proof(
    request: &Request<'_>,
    token: &AuthenticatedToken,
    key: Thumbprint,
    resources: &mut Resources<'_>,
) -> Result<CheckedProof, ProofFault> {
    let Resources { policy, proofs, verifier, now, .. } = resources;
    let dpop = policy.providers.get(token.provider).and_then(|provider| provider.sender_constraint.dpop.as_ref());
    // A token of a provider without DPoP is never bound to a key.
    let dpop = dpop.ok_or(ProofFault::KeyMismatch)?;
    let proof = UnverifiedProof::parse(find_proof(&request.context.head)?)?;
    let nonces = proofs.nonces(token.provider);
    let context = ProofContext { head: &request.context.head, token: request.token.text(), key, nonces, now: *now };
    let nonce_age = dpop.check(&proof, &context)?;
    let proof = proofs.verify(proof, *verifier)?;
    let identity = [Some(&*token.provider_name), token.token.subject(), token.token.client()];
    let is_named = token.token.subject().or(token.token.client()).is_some();
    let holder = match is_named {
        true => Holder::new(identity.map(|part| part.unwrap_or_default().as_bytes())),
        false => Holder::new([key.as_bytes().as_slice()]),
    };
    let digest = ProofDigest::new(proof.thumbprint(), proof.id());
    let used = UsedProof { digest, holder, until: dpop.end_of(proof.issued_at()) };
    Ok(CheckedProof { key, used, nonce_age })
}

/// Uses the proof up. No request that gets here is parked again: it would find its own proof used.
pub(super) fn use_proof(request: &mut Request<'_>, resources: &Resources<'_>) -> Result<(), Stop<'static>> {
    let Some(proof) = &request.context.proof else { return Ok(()) };
    match resources.proofs.record(&proof.used, resources.now) {
        Recorded::First => Ok(()),
        Recorded::NoSpace => Err(DenyReason::ReplayDetectionFull.into()),
        Recorded::Again => {
            let fault = ConstraintFault::Proof(ProofFault::Replayed);
            request.context.trace.record(|| TraceEvent::UsedProof(fault));
            Err(fault.into())
        }
    }
}
