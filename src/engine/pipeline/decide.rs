//! Last step: the decision and its audit record. Only this function allows a request, and it takes the proof.

use std::rc::Rc;

use super::Resources;
use super::outcome::Conclusion;
use super::request::RequestContext;
use crate::engine::audit::{AuditRecord, Outcome};
use crate::engine::decision::{Decision, Verdict};
use crate::engine::deny_reason::DenyReason;
use crate::engine::filter_state::FilterStateValues;
use crate::engine::proofs::Proofs;
use crate::engine::response::{Denial, deny_response};
use crate::engine::token_cache::AuthenticatedToken;
use crate::http::{HeadEdits, HeaderName, HeaderValue, RequestHead};
use crate::policy::{ConstraintFault, NonceAge, Policy, ProofFault, Remedy};
use crate::unix_time::UnixTime;

pub(super) fn decide(
    context: RequestContext<'_>,
    resources: &mut Resources<'_>,
    conclusion: Conclusion<'_>,
) -> Decision {
    let Resources { policy, proofs, sampler, now, .. } = resources;
    let (policy, now) = (*policy, *now);
    let nonce = next_nonce(&context, &conclusion, proofs, now);
    let rule = policy.rules.rule(context.rule);
    let provider = context.provider.and_then(|id| policy.providers.get(id));
    let deny = |reason, remedy, token: Option<&AuthenticatedToken>| {
        let token = token.map(|token| (token.token.as_ref(), now));
        let denial = Denial { reason, remedy, rule, provider, token, source: context.source, head: &context.head };
        let mut response = deny_response(&denial, policy);
        response.headers.extend(nonce.iter().map(|nonce| (HeaderName::DPOP_NONCE, nonce.clone())));
        Verdict::Deny(response)
    };
    let (outcome, verdict, authenticated) = match conclusion {
        Conclusion::Authorized { token, verification, report } => {
            let validated = Rc::clone(&token.token);
            let outcome = match report {
                None => Outcome::Allowed(validated),
                Some(reason) => Outcome::Reported(validated, reason),
            };
            let edits = HeadEdits::new(context.removals, Rc::clone(&token.identity_headers));
            (outcome, Verdict::Allow(edits), Some((token, verification)))
        }
        Conclusion::Anonymous(access) => {
            let edits = HeadEdits::new(context.removals, Rc::from([]));
            (Outcome::AllowedWithoutToken(access.would_deny()), Verdict::Allow(edits), None)
        }
        Conclusion::Unmet { token, verification, unmet } => {
            let outcome = Outcome::Unmet(Rc::clone(&token.token), unmet.reason);
            let verdict = deny(DenyReason::Unmet(unmet.reason), unmet.remedy, Some(&token));
            (outcome, verdict, Some((token, verification)))
        }
        Conclusion::Denied(reason) => (Outcome::Denied(reason), deny(reason, Remedy::None, None), None),
    };
    // A response that is denied has the nonce already.
    let response_headers = match verdict {
        Verdict::Allow(_) => nonce.map(|nonce| renewal_headers(nonce, &context.head, policy)).unwrap_or_default(),
        Verdict::Deny(_) => Vec::new(),
    };
    let mut audit = AuditRecord::new(rule, outcome)
        .with_issuer(provider, context.issuer)
        .with_unknown_issuer(context.unknown_issuer)
        .with_source(context.source)
        .with_verification(authenticated.as_ref().map(|(_, verification)| *verification));
    audit.set_sampling(sampler.sample(&audit, now));
    if audit.is_logged() || context.trace.is_recording() {
        audit.set_request(&context.head);
    }
    let token = authenticated.as_ref().map(|(token, _)| token.as_ref());
    Decision {
        verdict,
        response_headers,
        filter_state: FilterStateValues::new(&audit, token, policy),
        audit,
        trace: context.trace,
    }
}

/// The nonce for the next proof (RFC 9449 section 8.2), where the client has none or should change it.
fn next_nonce(
    context: &RequestContext<'_>,
    conclusion: &Conclusion<'_>,
    proofs: &Proofs,
    now: UnixTime,
) -> Option<HeaderValue> {
    let is_missing =
        matches!(conclusion, Conclusion::Denied(DenyReason::Constraint(ConstraintFault::Proof(ProofFault::Nonce(_)))));
    let is_ending = context.proof.and_then(|proof| proof.nonce_age) == Some(NonceAge::Ending);
    let nonces = context.provider.and_then(|provider| proofs.nonces(provider));
    let nonces = nonces.filter(|_| is_missing || is_ending)?;
    Some(HeaderValue::encode(&nonces.current(now), None))
}

/// The fields by which the response of the backend gives the client its next nonce. No cache may store it.
fn renewal_headers(nonce: HeaderValue, head: &RequestHead, policy: &Policy) -> Vec<(HeaderName, HeaderValue)> {
    let no_store = HeaderValue::encode("no-store", None);
    let mut headers = vec![(HeaderName::DPOP_NONCE, nonce), (HeaderName::CACHE_CONTROL, no_store)];
    // Without it no page of another origin sees the nonce; fields of this name add up.
    let origin = head.single("origin");
    if policy.responses.cors.is_some() && origin.is_some() {
        headers.push((HeaderName::EXPOSE_HEADERS, HeaderValue::encode("DPoP-Nonce", None)));
    }
    headers
}
