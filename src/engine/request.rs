//! One request's states; each consumes itself, so a request is decided once and in one place.
//!
//! [`identify`] turns a head into a [`NamedToken`] (its provider is known, nothing is proved) or refuses;
//! [`NamedToken::decide`] proves and judges it, or says that it must wait for keys and gives it back.

use crate::engine::audit::{AuditRecord, request_id_of};
use crate::engine::deny_reason::DenyReason;
use crate::engine::reply::reply_to;
use crate::http::{HeaderEdit, Reply, RequestHead};
use crate::jose::{Claim, SignatureVerifier, UnverifiedToken};
use crate::keys::{LookUp, ProviderKeys};
use crate::policy::token_source::Credential;
use crate::policy::{AdmittedToken, ClaimFault, Policy, Provider, ProviderId, Unwritable};
use crate::unix_time::UnixTime;

/// What is to be done with one request, and what is to be logged of it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What the host does.
    pub verdict: Verdict,
    /// What is logged.
    pub audit: AuditRecord,
}

/// What the host does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the backend with these edits.
    Allow(Vec<HeaderEdit>),
    /// It ends here with this reply.
    Deny(Reply),
}

/// What is kept of a request's head: enough to finish with it, without its bulk.
#[derive(Debug)]
pub(super) struct RequestFacts {
    request_id: Option<String>,
    /// What is taken out of the head before it goes on.
    stripping: Vec<HeaderEdit>,
}

/// A request with a token that names one of our providers.
#[derive(Debug)]
pub(super) struct NamedToken {
    facts: RequestFacts,
    token: UnverifiedToken,
    provider: ProviderId,
    /// When the request came: only keys published since can be missed.
    asked_at: UnixTime,
}

/// What a request's head says.
#[derive(Debug)]
pub(super) enum Identified {
    /// It has a token of one of our providers.
    Named(NamedToken),
    /// It is refused already.
    Refused(Decision),
}

/// How far a request got.
#[derive(Debug)]
pub(super) enum Progress {
    Decided(Decision),
    Waiting(NamedToken),
}

/// Finds the token of a request and the provider it names.
pub(super) fn identify(head: &RequestHead, policy: &Policy, now: UnixTime) -> Identified {
    let mut facts = RequestFacts { request_id: request_id_of(head), stripping: Vec::new() };
    let token = match find_token(head, policy) {
        Ok(token) => token,
        Err(reason) => return Identified::Refused(facts.deny(policy, None, reason)),
    };
    match policy.strip(head) {
        Ok(edits) => facts.stripping = edits,
        Err(Unwritable) => {
            return Identified::Refused(facts.deny(policy, None, DenyReason::CredentialMalformed));
        }
    }
    let issuer = match token.claimed_issuer() {
        Claim::Valid(issuer) => issuer,
        Claim::Absent | Claim::Malformed => {
            return Identified::Refused(facts.deny(policy, None, ClaimFault::IssuerMalformed.into()));
        }
    };
    let Some((id, provider)) = policy.provider_of(issuer) else {
        return Identified::Refused(facts.deny(policy, None, ClaimFault::IssuerUnknown.into()));
    };
    if !provider.algorithms.contains(&token.header().algorithm) {
        return Identified::Refused(facts.deny(policy, Some(provider), DenyReason::AlgorithmNotAllowed));
    }
    Identified::Named(NamedToken { facts, token, provider: id, asked_at: now })
}

fn find_token(head: &RequestHead, policy: &Policy) -> Result<UnverifiedToken, DenyReason> {
    let text = match policy.token_source.find(head) {
        Credential::Token(text) => text,
        Credential::Absent => return Err(DenyReason::TokenMissing),
        Credential::Repeated => return Err(DenyReason::CredentialRepeated),
        Credential::Malformed => return Err(DenyReason::CredentialMalformed),
        Credential::TooLarge => return Err(DenyReason::TokenTooLarge),
    };
    if !UnverifiedToken::has_three_parts(&text) {
        return Err(DenyReason::TokenOpaque);
    }
    Ok(UnverifiedToken::parse(&text)?)
}

impl NamedToken {
    /// Whose token it says it is.
    pub(super) const fn provider(&self) -> ProviderId {
        self.provider
    }

    /// About how many bytes it holds on to while it waits.
    pub(super) fn held_bytes(&self) -> usize {
        let edits: usize = self.facts.stripping.iter().map(HeaderEdit::held_bytes).sum();
        self.token.held_bytes().saturating_add(edits).saturating_add(512)
    }

    /// Decides, or waits when a fetch will tell more.
    pub(super) fn decide(
        self,
        policy: &Policy,
        keys: &mut ProviderKeys,
        verifier: &dyn SignatureVerifier,
        now: UnixTime,
    ) -> Progress {
        let Some(provider) = policy.provider(self.provider) else {
            return Progress::Decided(self.facts.deny(policy, None, ClaimFault::IssuerUnknown.into()));
        };
        let header = self.token.header();
        let candidates = match keys.look_up(header.key_id.as_deref(), header.algorithm, self.asked_at, now) {
            LookUp::Found(candidates) => candidates,
            LookUp::Wait => return Progress::Waiting(self),
            LookUp::Unknown => {
                return Progress::Decided(self.facts.deny(policy, Some(provider), DenyReason::KeyUnknown));
            }
            LookUp::Unavailable(retry_after) => {
                let reason = DenyReason::KeysUnavailable(retry_after);
                return Progress::Decided(self.facts.deny(policy, Some(provider), reason));
            }
        };
        let admitted = self
            .token
            .verify(&candidates, verifier)
            .map_err(DenyReason::from)
            .and_then(|token| AdmittedToken::admit(token, provider, now).map_err(DenyReason::from));
        Progress::Decided(match admitted {
            Ok(token) => self.facts.allow(policy, provider, &token),
            Err(reason) => self.facts.deny(policy, Some(provider), reason),
        })
    }

    /// Ends the wait with a refusal.
    pub(super) fn refuse(self, policy: &Policy, reason: DenyReason) -> Decision {
        let provider = policy.provider(self.provider);
        self.facts.deny(policy, provider, reason)
    }
}

impl RequestFacts {
    /// The only place that lets a request pass: it takes the proof.
    fn allow(self, policy: &Policy, provider: &Provider, token: &AdmittedToken) -> Decision {
        let mut edits = self.stripping;
        edits.extend(policy.forwarding.identity(token));
        Decision { verdict: Verdict::Allow(edits), audit: AuditRecord::allowed(self.request_id, provider, token) }
    }

    fn deny(self, policy: &Policy, provider: Option<&Provider>, reason: DenyReason) -> Decision {
        Decision {
            verdict: Verdict::Deny(reply_to(reason, &policy.realm)),
            audit: AuditRecord::denied(self.request_id, provider, reason),
        }
    }
}
