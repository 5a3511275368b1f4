//! What a step returns where it stops a request.

use std::rc::Rc;

use crate::engine::audit::Verification;
use crate::engine::deny_reason::DenyReason;
use crate::engine::token_cache::AuthenticatedToken;
use crate::engine::trace::CheckResult;
use crate::introspection::call::TokenDigest;
use crate::lookup::requester::BudgetClass;
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

/// The result of a check, for the trace.
pub(super) const fn check_result<T>(checked: &Result<T, Stop<'_>>) -> CheckResult {
    match checked {
        Err(Stop::Suspended(_)) => CheckResult::Pending,
        Err(Stop::Concluded(Conclusion::Denied(reason))) => CheckResult::Denied(*reason),
        Err(Stop::Concluded(Conclusion::Unmet { unmet, .. })) => CheckResult::Denied(DenyReason::Unmet(unmet.reason)),
        Ok(_) | Err(Stop::Concluded(Conclusion::Authorized { .. } | Conclusion::Anonymous(_))) => CheckResult::Passed,
    }
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
    Keys(ProviderId),
    /// A newer key set of a provider, because the signature fails with the keys held.
    NewerKeys(ProviderId),
    Introspection {
        of: ProviderId,
        about: TokenDigest,
        class: BudgetClass,
    },
    /// The first revocation list.
    Revocations,
}
