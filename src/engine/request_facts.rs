//! What is known of one request while it is decided, and the decisions that are made of it.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::audit::{AuditRecord, Evidence, request_id_of};
use crate::engine::decision::{Decision, Verdict};
use crate::engine::deny_reason::DenyReason;
use crate::engine::inquiries::Question;
use crate::engine::reply::{Refusal, reply_to};
use crate::engine::token_cache::Grant;
use crate::engine::told::Told;
use crate::http::{HeadEdits, HeaderEdit, RequestHead};
use crate::introspection;
use crate::introspection::requester::Sender;
use crate::keys::Arrived;
use crate::policy::{
    AdmittedToken, Asked, AttributeValues, NoTokenNeeded, Place, Policy, Provider, Remedy, RuleId, UnmetReason,
    Unwritable,
};
use crate::unix_time::UnixTime;

/// A request whose rule is known. While it is decided at once its head stays where it is; one that waits takes it along.
#[derive(Debug)]
pub(super) struct RequestFacts<'a> {
    pub(super) head: Cow<'a, RequestHead>,
    /// When it came: what its conditions take for the time.
    pub(super) came_at: UnixTime,
    /// The same among its provider's fetches, once a key was looked for.
    pub(super) arrived: Option<Arrived>,
    /// The same among its provider's introspection calls, once its token was looked up.
    pub(super) arrived_for_answer: Option<introspection::Arrived>,
    /// What the host said of it, where its rule asks.
    pub(super) attributes: AttributeValues,
    pub(super) rule: RuleId,
    /// The edits that remove managed headers and credentials before the request is forwarded.
    pub(super) stripping: Vec<HeaderEdit>,
    /// Where its token stands.
    pub(super) source: Option<Place>,
    /// The configured issuer that its token names, proved or not.
    pub(super) issuer: Option<Rc<str>>,
    /// For whom a call is made about its token, if it is unknown.
    pub(super) sender: Sender,
}

impl RequestFacts<'_> {
    /// With these edits; rejects the request when a credential cannot be removed.
    pub(super) fn with_stripping(
        self,
        edits: Result<Vec<HeaderEdit>, Unwritable>,
        policy: &Policy,
    ) -> Result<Self, Box<Decision>> {
        match edits {
            Ok(stripping) => Ok(Self { stripping, ..self }),
            Err(Unwritable) => Err(Box::new(self.deny(policy, None, DenyReason::CredentialMalformed))),
        }
    }

    /// The question about its token. `arrived` is noted if this is the first one.
    pub(super) fn question<'b>(
        &mut self,
        text: &'b [u8],
        policy: &Policy,
        arrived: introspection::Arrived,
        now: UnixTime,
    ) -> Question<'b> {
        let introspects = policy.rules.rule(self.rule).introspects;
        let arrived = *self.arrived_for_answer.get_or_insert(arrived);
        Question { text, introspects, arrived, now }
    }

    pub(super) fn asked<'b>(&'b self, token: Option<(&'b AdmittedToken, &'b str)>, now: UnixTime) -> Asked<'b> {
        Asked { token, head: &self.head, attributes: &self.attributes, came_at: self.came_at, now }
    }

    /// What a good token may do is up to the rule, with every request.
    pub(super) fn decide_by(self, policy: &Policy, grant: &Grant, evidence: Evidence, now: UnixTime) -> Decision {
        let rule = policy.rules.rule(self.rule);
        let token = (grant.token.as_ref(), grant.issued_by.as_ref());
        match policy.rules.check(self.rule, &self.asked(Some(token), now)) {
            Ok(()) => self.allow(policy, grant, None, evidence),
            Err(unmet) if rule.report_only => self.allow(policy, grant, Some(unmet.reason), evidence),
            Err(unmet) => {
                let token = Rc::clone(&grant.token);
                let audit = AuditRecord::unmet(request_id_of(&self.head), rule, token, unmet.reason)
                    .issued_by(policy.providers.get(grant.provider), grant.issuer.clone())
                    .found_in(self.source)
                    .proved(evidence);
                let reason = DenyReason::Unmet(unmet.reason);
                let (provider, token) = (policy.providers.get(grant.provider), Some((grant.token.as_ref(), now)));
                let refusal = Refusal { reason, remedy: unmet.remedy, rule, provider, token, head: &self.head };
                let verdict = Verdict::Deny(reply_to(&refusal, policy));
                Decision { verdict, told: Told::of(&audit, Some(grant), policy), audit }
            }
        }
    }

    /// One of the two places that let a request pass: it takes the proof. `unmet` is what is only reported.
    pub(super) fn allow(
        self,
        policy: &Policy,
        grant: &Grant,
        unmet: Option<UnmetReason>,
        evidence: Evidence,
    ) -> Decision {
        let edits = HeadEdits::new(self.stripping, Rc::clone(&grant.identity));
        let rule = policy.rules.rule(self.rule);
        let audit = AuditRecord::allowed(request_id_of(&self.head), rule, Rc::clone(&grant.token), unmet)
            .issued_by(policy.providers.get(grant.provider), grant.issuer.clone())
            .found_in(self.source)
            .proved(evidence);
        Decision { verdict: Verdict::Allow(edits), told: Told::of(&audit, Some(grant), policy), audit }
    }

    /// The other one: it takes the rule's word for it.
    pub(super) fn allow_without_token(self, policy: &Policy, proof: &NoTokenNeeded) -> Decision {
        let edits = HeadEdits::new(self.stripping, Rc::from([]));
        let rule = policy.rules.rule(self.rule);
        let audit = AuditRecord::allowed_without_token(request_id_of(&self.head), rule, proof.would_deny());
        Decision { verdict: Verdict::Allow(edits), told: Told::of(&audit, None, policy), audit }
    }

    pub(super) fn deny(self, policy: &Policy, provider: Option<&Provider>, reason: DenyReason) -> Decision {
        let rule = policy.rules.rule(self.rule);
        let audit = AuditRecord::denied(request_id_of(&self.head), rule, reason)
            .issued_by(provider, self.issuer)
            .found_in(self.source);
        let refusal = Refusal { reason, remedy: Remedy::None, rule, provider, token: None, head: &self.head };
        let verdict = Verdict::Deny(reply_to(&refusal, policy));
        Decision { verdict, told: Told::of(&audit, None, policy), audit }
    }
}
