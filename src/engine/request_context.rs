//! What is known of one request while it is decided, and the decisions that are made of it.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::audit::{AuditRecord, Verification, request_id_of};
use crate::engine::decision::{Decision, Verdict};
use crate::engine::deny_reason::DenyReason;
use crate::engine::filter_state::FilterStateValues;
use crate::engine::response::{Denial, deny_response};
use crate::engine::token_cache::AuthenticatedToken;
use crate::engine::token_status::StatusQuery;
use crate::http::{HeadEdits, HeaderEdit, RequestHead};
use crate::introspection;
use crate::introspection::requester::Sender;
use crate::keys::Arrived;
use crate::policy::{
    AnonymousAccess, AttributeValues, AuthorizationRequest, CredentialLocation, Policy, Provider, Remedy, RuleId,
    UnmetReason, UnremovableCredential, ValidatedToken,
};
use crate::unix_time::UnixTime;

/// A request whose rule is known. While it is decided at once its head stays where it is; one that waits takes it along.
#[derive(Debug)]
pub(super) struct RequestContext<'a> {
    pub(super) head: Cow<'a, RequestHead>,
    /// When it came: what its conditions take for the time.
    pub(super) arrived_at: UnixTime,
    /// The same among its provider's fetches, once a key was looked for.
    pub(super) key_arrival: Option<Arrived>,
    /// The same among its provider's introspection calls, once its token was looked up.
    pub(super) status_arrival: Option<introspection::Arrived>,
    /// What the host said of it, where its rule asks.
    pub(super) attributes: AttributeValues,
    pub(super) rule: RuleId,
    /// The edits that remove managed headers and credentials before the request is forwarded.
    pub(super) stripping: Vec<HeaderEdit>,
    /// Where its token stands.
    pub(super) source: Option<CredentialLocation>,
    /// The configured issuer that its token names, proved or not.
    pub(super) issuer: Option<Rc<str>>,
    /// For whom a call is made about its token, if it is unknown.
    pub(super) sender: Sender,
}

impl RequestContext<'_> {
    /// With these edits; rejects the request when a credential cannot be removed.
    pub(super) fn with_stripping(
        self,
        edits: Result<Vec<HeaderEdit>, UnremovableCredential>,
        policy: &Policy,
    ) -> Result<Self, Box<Decision>> {
        match edits {
            Ok(stripping) => Ok(Self { stripping, ..self }),
            Err(UnremovableCredential) => Err(Box::new(self.deny(policy, None, DenyReason::CredentialMalformed))),
        }
    }

    /// The question about its token. `arrived` is noted if this is the first one.
    pub(super) fn status_query<'b>(
        &mut self,
        text: &'b [u8],
        policy: &Policy,
        arrived: introspection::Arrived,
        now: UnixTime,
    ) -> StatusQuery<'b> {
        let introspects = policy.rules.rule(self.rule).introspects;
        let arrived = *self.status_arrival.get_or_insert(arrived);
        StatusQuery { text, introspects, arrived, now }
    }

    pub(super) fn authorization_request<'b>(
        &'b self,
        token: Option<(&'b ValidatedToken, &'b str)>,
        now: UnixTime,
    ) -> AuthorizationRequest<'b> {
        AuthorizationRequest { token, head: &self.head, attributes: &self.attributes, arrived_at: self.arrived_at, now }
    }

    /// What a good token may do is up to the rule, with every request.
    pub(super) fn authorize(
        self,
        policy: &Policy,
        grant: &AuthenticatedToken,
        evidence: Verification,
        now: UnixTime,
    ) -> Decision {
        let rule = policy.rules.rule(self.rule);
        let token = (grant.token.as_ref(), grant.provider_name.as_ref());
        match policy.rules.check(self.rule, &self.authorization_request(Some(token), now)) {
            Ok(()) => self.allow(policy, grant, None, evidence),
            Err(unmet) if rule.report_only => self.allow(policy, grant, Some(unmet.reason), evidence),
            Err(unmet) => {
                let token = Rc::clone(&grant.token);
                let audit = AuditRecord::unmet(request_id_of(&self.head), rule, token, unmet.reason)
                    .issued_by(policy.providers.get(grant.provider), grant.issuer.clone())
                    .with_source(self.source)
                    .with_verification(evidence);
                let reason = DenyReason::Unmet(unmet.reason);
                let (provider, token) = (policy.providers.get(grant.provider), Some((grant.token.as_ref(), now)));
                let refusal = Denial { reason, remedy: unmet.remedy, rule, provider, token, head: &self.head };
                let verdict = Verdict::Deny(deny_response(&refusal, policy));
                Decision { verdict, filter_state: FilterStateValues::new(&audit, Some(grant), policy), audit }
            }
        }
    }

    /// One of the two places that let a request pass: it takes the proof. `unmet` is what is only reported.
    pub(super) fn allow(
        self,
        policy: &Policy,
        grant: &AuthenticatedToken,
        unmet: Option<UnmetReason>,
        evidence: Verification,
    ) -> Decision {
        let edits = HeadEdits::new(self.stripping, Rc::clone(&grant.identity_headers));
        let rule = policy.rules.rule(self.rule);
        let audit = AuditRecord::allowed(request_id_of(&self.head), rule, Rc::clone(&grant.token), unmet)
            .issued_by(policy.providers.get(grant.provider), grant.issuer.clone())
            .with_source(self.source)
            .with_verification(evidence);
        Decision {
            verdict: Verdict::Allow(edits),
            filter_state: FilterStateValues::new(&audit, Some(grant), policy),
            audit,
        }
    }

    /// The other one: it takes the rule's word for it.
    pub(super) fn allow_without_token(self, policy: &Policy, proof: &AnonymousAccess) -> Decision {
        let edits = HeadEdits::new(self.stripping, Rc::from([]));
        let rule = policy.rules.rule(self.rule);
        let audit = AuditRecord::allowed_without_token(request_id_of(&self.head), rule, proof.would_deny());
        Decision { verdict: Verdict::Allow(edits), filter_state: FilterStateValues::new(&audit, None, policy), audit }
    }

    pub(super) fn deny(self, policy: &Policy, provider: Option<&Provider>, reason: DenyReason) -> Decision {
        let rule = policy.rules.rule(self.rule);
        let audit = AuditRecord::denied(request_id_of(&self.head), rule, reason)
            .issued_by(provider, self.issuer)
            .with_source(self.source);
        let refusal = Denial { reason, remedy: Remedy::None, rule, provider, token: None, head: &self.head };
        let verdict = Verdict::Deny(deny_response(&refusal, policy));
        Decision { verdict, filter_state: FilterStateValues::new(&audit, None, policy), audit }
    }
}
