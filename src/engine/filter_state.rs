//! What later filters and the access log are told of one request: of the decision always, of the token only where one
//! was proved, also when the rule refuses it.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::audit::AuditRecord;
use crate::engine::token_cache::AuthenticatedToken;
use crate::policy::{DecisionPart, Policy, StateEntry};

/// Values for the host's filter state; none unless the operator wants some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterStateValues {
    decision: Vec<StateEntry>,
    /// Made once for each token, and the same for all its requests.
    identity: Option<Rc<[StateEntry]>>,
    /// Whether the host is to choose the route anew, should the request go on.
    pub clears_route_cache: bool,
}

impl FilterStateValues {
    /// What is told with this record; `grant` is what a proved token gives.
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
            DecisionPart::Source => audit.source().map(Cow::from),
            DecisionPart::Proof => audit.proof().map(Cow::from),
            DecisionPart::Introspection => audit.introspection().map(Cow::from),
        });
        let identity = grant.map(|grant| Rc::clone(&grant.filter_state));
        Self { decision, identity, clears_route_cache: policy.clear_route_cache }
    }

    /// One value after the other, the verdict first.
    pub fn iter(&self) -> impl Iterator<Item = &StateEntry> {
        self.decision.iter().chain(self.identity.iter().flat_map(|identity| identity.iter()))
    }
}
