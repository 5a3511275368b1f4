//! The filter state of one request, for later filters and the access log: the decision always, the identity only of an
//! authenticated token, also if the rule denies it.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::audit::AuditRecord;
use crate::engine::token_cache::AuthenticatedToken;
use crate::policy::{DecisionPart, Policy, StateEntry};

/// The values; none unless configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterStateValues {
    decision: Vec<StateEntry>,
    /// Shared by all requests of a token.
    identity: Option<Rc<[StateEntry]>>,
    /// Whether the host clears its route cache before it forwards the request.
    pub clears_route_cache: bool,
}

impl FilterStateValues {
    /// The values of a decision.
    pub(super) fn new(audit: &AuditRecord, grant: Option<&AuthenticatedToken>, policy: &Policy) -> Self {
        let decision = policy.filter_state.of_decision(|part| match part {
            DecisionPart::Verdict => Some(audit.verdict().into()),
            DecisionPart::Reason => Some(audit.reason().into()),
            DecisionPart::Rule => audit.rule().map(|name| Cow::from(&**name)),
            DecisionPart::Provider => audit.provider().map(|name| Cow::from(&**name)),
            DecisionPart::Issuer => audit.issuer().map(Cow::from),
            DecisionPart::WouldDeny => audit.would_deny().map(Cow::from),
            DecisionPart::RequiredScopes => {
                Some(audit.required_scopes().join(" ").into()).filter(|scopes: &Cow<'_, str>| !scopes.is_empty())
            }
            DecisionPart::SenderConstraint => audit.sender_constraint().map(Cow::from),
            DecisionPart::Source => audit.source().map(Cow::from),
            DecisionPart::Proof => audit.proof().map(Cow::from),
            DecisionPart::Introspection => audit.introspection().map(Cow::from),
        });
        let identity = grant.map(|grant| Rc::clone(&grant.filter_state));
        Self { decision, identity, clears_route_cache: policy.clear_route_cache }
    }

    /// The values, the decision first.
    pub fn iter(&self) -> impl Iterator<Item = &StateEntry> {
        self.decision.iter().chain(self.identity.iter().flat_map(|identity| identity.iter()))
    }
}
