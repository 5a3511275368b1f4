//! The challenges: which token would help (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9449 section 7.1, RFC 9470 section
//! 3). Each scheme has a field of its own, because some clients read only the first error of a field.

use std::fmt::Write as _;

use super::{Denial, Message};
use crate::http::HeaderValue;
use crate::jose::Algorithm;
use crate::policy::requirement::Term;
use crate::policy::{ConstraintMode, CredentialLocation, Policy, ProofKind, Provider};

/// The values of `WWW-Authenticate`; none if no other token is known to help.
pub(super) fn challenges(message: &Message<'_>, refusal: &Denial<'_>, policy: &Policy) -> Vec<HeaderValue> {
    if matches!(message, Message::Forbidden | Message::Unavailable(_)) {
        return Vec::new();
    }
    let realm = quoted(&policy.responses.realm);
    let (bearer, dpop) = (format!("Bearer realm={realm}"), format!("DPoP realm={realm}"));
    let algorithms = proof_algorithms(refusal.provider, policy);
    let with_algorithms = |mut challenge: String| {
        add(&mut challenge, "algs", &list(&algorithms));
        challenge
    };
    let error = parameters(message, refusal, policy);
    let help = parameters(&Message::NoCredential, refusal, policy);
    let is_malformed = matches!(message, Message::InvalidRequest);
    let (accepts_dpop, is_dpop) = (!algorithms.is_empty(), refusal.source == Some(CredentialLocation::DpopHeader));
    let accepts_bearer = accepts_bearer(refusal.provider, policy) && !needs_key(message, refusal);
    let challenges = match (accepts_bearer, accepts_dpop) {
        (_, true) if is_dpop => vec![with_algorithms(dpop + &error)],
        (false, true) => vec![with_algorithms(dpop + &error)],
        // Another token does not correct a malformed request.
        (true, true) if !is_malformed => vec![bearer + &error, with_algorithms(dpop + &help)],
        (_, _) => vec![bearer + &error],
    };
    // Not encoded: an encoded `%` would change the scope `a%b`. The loader rejects unsafe values.
    let value = |text: String| HeaderValue::parse(&text).unwrap_or_else(|| HeaderValue::encode(&text, None));
    challenges.into_iter().map(value).collect()
}

/// Whether the rule accepts only tokens that are bound to a key.
fn needs_key(message: &Message<'_>, refusal: &Denial<'_>) -> bool {
    let mut enforced = refusal.rule.requirement.iter().filter(|_| !refusal.rule.report_only);
    matches!(message, Message::BoundTokenRequired(ProofKind::Dpop))
        || enforced.any(|requirement| requirement.terms().contains(&Term::Proof(ProofKind::Dpop)))
}

/// Whether tokens without a proof are accepted: of the provider, or of any.
fn accepts_bearer(provider: Option<&Provider>, policy: &Policy) -> bool {
    let accepts = |provider: &Provider| provider.sender_constraint.dpop_mode() != ConstraintMode::Required;
    provider.map_or_else(|| policy.providers.iter().any(|(_, provider)| accepts(provider)), accepts)
}

/// The accepted algorithms of proofs: of the provider, or of any.
fn proof_algorithms(provider: Option<&Provider>, policy: &Policy) -> Vec<&'static str> {
    let is_accepted = |algorithm: &Algorithm| match provider {
        Some(provider) => provider.accepts_proof_algorithm(*algorithm),
        None => policy.providers.accept_proof_algorithm(*algorithm),
    };
    Algorithm::ALL.into_iter().filter(is_accepted).map(Algorithm::name).collect()
}

/// The parameters behind the realm.
fn parameters(message: &Message<'_>, refusal: &Denial<'_>, policy: &Policy) -> String {
    let mut parameters = String::new();
    match message {
        // There was no credential, so there is no error.
        Message::NoCredential | Message::Forbidden | Message::Unavailable(_) => {}
        Message::InvalidToken
        | Message::BoundTokenRequired(_)
        | Message::InvalidRequest
        | Message::InvalidProof
        | Message::NonceRequired => {
            add(&mut parameters, "error", &quoted(message.error()));
        }
        Message::ScopeMissing(scopes) => {
            add(&mut parameters, "error", &quoted(message.error()));
            add(&mut parameters, "scope", &list(scopes));
        }
        Message::StepUpRequired { acr_values, max_age, scopes } => {
            add(&mut parameters, "error", &quoted(message.error()));
            if !acr_values.is_empty() {
                add(&mut parameters, "acr_values", &list(acr_values));
            }
            if let Some(age) = max_age {
                add(&mut parameters, "max_age", &quoted(&age.as_secs().to_string()));
            }
            if !scopes.is_empty() {
                add(&mut parameters, "scope", &list(scopes));
            }
        }
    }
    let is_malformed = matches!(message, Message::InvalidRequest);
    if let (false, Some(resource)) = (is_malformed, policy.resources.find(refusal.head)) {
        // Without an authenticated token, MCP clients start with these scopes (MCP authorization, 2025-11-25).
        let enforced = refusal.rule.requirement.as_ref().filter(|_| !refusal.rule.report_only);
        let scopes = enforced.map(|requirement| requirement.scopes_to_request()).unwrap_or_default();
        if matches!(message, Message::NoCredential | Message::InvalidToken | Message::BoundTokenRequired(_))
            && !scopes.is_empty()
        {
            add(&mut parameters, "scope", &list(&scopes));
        }
        // RFC 9728 section 5.1
        add(&mut parameters, "resource_metadata", &quoted(resource.address.metadata_address()));
    }
    parameters
}

fn add(challenge: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = write!(challenge, ", {name}={value}");
}

fn list(items: &[&str]) -> String {
    quoted(&items.join(" "))
}

/// A quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
