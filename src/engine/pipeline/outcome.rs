//! What a step returns where it stops a request.

use std::rc::Rc;

use crate::engine::audit::Verification;
use crate::engine::deny_reason::DenyReason;
use crate::engine::token_cache::AuthenticatedToken;
use crate::introspection::call::TokenDigest;
use crate::lookup::rate_limiter::BudgetClass;
use crate::policy::{AnonymousAccess, Attribute, ProviderId, Unmet, UnmetReason};

/// Why a request leaves the steps early.
#[derive(Debug)]
pub(in crate::engine) enum Stop<'p> {
    Concluded(Conclusion<'p>),
    Suspended(Suspension),
}

/// What a request needs before it can be decided.
#[derive(Debug)]
pub(in crate::engine) enum Suspension {
    /// The end of a fetch or a call that is under way.
    Pending(PendingOn),
    /// These attributes, of the host.
    NeedAttributes(Rc<[Attribute]>),
}

/// What the decision is made of.
#[derive(Debug)]
pub(in crate::engine) enum Conclusion<'p> {
    /// The token meets the rule, or the rule only reports that it does not.
    Authorized {
        token: Rc<AuthenticatedToken>,
        verification: Verification,
        report: Option<UnmetReason>,
    },
    /// The rule needs no token.
    Anonymous(AnonymousAccess),
    /// The token is authenticated and does not meet the rule.
    Unmet {
        token: Rc<AuthenticatedToken>,
        verification: Verification,
        unmet: Unmet<'p>,
    },
    Denied(DenyReason),
}

impl From<PendingOn> for Stop<'_> {
    fn from(pending_on: PendingOn) -> Self {
        Self::Suspended(Suspension::Pending(pending_on))
    }
}

impl<R: Into<DenyReason>> From<R> for Stop<'_> {
    fn from(reason: R) -> Self {
        Self::Concluded(Conclusion::Denied(reason.into()))
    }
}

/// What a request is pending on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum PendingOn {
    /// The keys of a provider.
    Keys(ProviderId),
    /// A newer key set of a provider, because the signature fails with the keys held.
    NewerKeys(ProviderId),
    /// The introspection of a token.
    Introspection { of: ProviderId, about: TokenDigest, class: BudgetClass },
    /// The first revocation list.
    Revocations,
}
